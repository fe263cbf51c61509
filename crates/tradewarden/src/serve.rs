//! `tradewarden serve`: the gateway with its doors, from the start to the last sealed entry.
//!
//! Everything that runs is started here and joined here. The stop goes against the flow: first the
//! doors close and what is under way is answered, then the engine finishes the journal and seals,
//! then the paper broker ends, and last the lock is given back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tradewarden_domain::time::Clock;
use tradewarden_engine::Engine;
use tradewarden_seal::SystemRandomness;
use tradewarden_web::listen::{Listener, ListenerOptions, ProxyProtocol, Transport};
use tradewarden_web::plain::PlainSite;
use tradewarden_web::service::{Exposure, NamedListener, Site, SiteOptions};
use tradewarden_web::tls::{Challenges, Tls};

use crate::certificates::TlsFiles;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::Control;
use crate::data::Data;
use crate::gateway::{self, Gateway};
use crate::outcome::Failure;
use crate::{acme, doctor, key_sources, output, signals, upkeep};

/// How long the public door waits for the first prices.
const FIRST_PRICES: Duration = Duration::from_secs(5);

/// What a gateway says about itself when it is ready; the keys are those of the product page.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Announcement {
    pub(crate) base_url: String,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) console_url: String,
    pub(crate) internal_url: String,
    /// Where it is answered without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_url: Option<String>,
    pub(crate) org_id: Option<String>,
    /// The demo's owner.
    pub(crate) owner: Option<AnnouncedOwner>,
    pub(crate) account_id: Option<String>,
    pub(crate) strategy_id: Option<String>,
    pub(crate) webhook: Option<AnnouncedWebhook>,
    pub(crate) api_keys: Option<Vec<AnnouncedKey>>,
    pub(crate) data_dir: PathBuf,
    pub(crate) pid: u32,
}

/// The demo's owner, with the password that the demo made up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AnnouncedOwner {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// The demo's webhook. It, the owner and the keys are the only secrets that are announced.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AnnouncedWebhook {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) secret: String,
    pub(crate) url: String,
}

/// One of the demo's API keys.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AnnouncedKey {
    pub(crate) key_id: String,
    pub(crate) algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_key_file: Option<PathBuf>,
}

/// Runs until it is asked to stop, and says on standard output with `json` that it is ready.
pub(crate) async fn run(config: &Config, json: bool) -> Result<(), Failure> {
    config.refuse_insecure_start()?;
    doctor::refuse_red(config, &Data::at(config), SystemClock.now())?;
    run_with(config, async |engine, announcement| {
        tell_how_to_begin(&engine, &announcement.console_url).await?;
        if json {
            print_announcement(&announcement)?;
        }
        Ok(Then::Serve)
    })
    .await
}

/// Without an owner nobody can log in: says how the first one is made, to whoever started us. Not in
/// the log, which others may read.
async fn tell_how_to_begin(engine: &Engine, console_url: &str) -> Result<(), Failure> {
    if let Some(token) = engine.set_up_token().await? {
        output::note(&format!(
            "nobody owns this installation yet. Within 24 hours, make the first owner at\n  \
             {console_url}/setup?token={token}\nor send that token with an email and a password to \
             POST /api/v1/auth/setup, or use `tradewarden user create`",
            token = token.expose()
        ));
    }
    Ok(())
}

/// What comes after a gateway is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves until it is asked to stop.
    Serve,
    /// It stops.
    Stop,
}

/// Prints the one JSON object of a gateway that is ready.
pub(crate) fn print_announcement(announcement: &Announcement) -> Result<(), Failure> {
    let text = serde_json::to_string(announcement)
        .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
    output::print(&text)
}

/// Runs until it is asked to stop; `when_ready` is called once everything serves.
pub(crate) async fn run_with(
    config: &Config,
    when_ready: impl AsyncFnOnce(Engine, Announcement) -> Result<Then, Failure>,
) -> Result<(), Failure> {
    config.refuse_insecure_start()?;
    let data = Data::at(config);
    data.create()?;
    let lock = data.lock_for_start().await?;
    let stop = signals::stop()?;
    let doors = Doors::open(config, &data).await?;
    let origin = config.origin_at(doors.public.local_addr());
    let Gateway { engine, tasks, mut paper } =
        Gateway::open(config, &data, origin.clone(), &lock).await?;
    engine.look_at_machine_by(doctor::of_this_node(config));
    let announcement = doors.announcement(config, &data, &engine, origin);

    let (stop_engine, engine_stop) = oneshot::channel();
    let mut running = JoinSet::new();
    running.spawn(tasks.run(async move { drop::<Result<(), _>>(engine_stop.await) }));
    let renewed = Arc::new(Notify::new());
    let (mut doors, tls) =
        doors.serve(config, &data, &engine, announcement.base_url.clone(), &renewed)?;
    let ready = {
        let (engine, upkeeping) = (engine.clone(), engine.clone());
        async {
            first_prices(&engine).await;
            tracing::info!(
                base_url = announcement.base_url, internal_url = announcement.internal_url,
                data_dir = %announcement.data_dir.display(), database = %config.database,
                "the gateway is ready"
            );
            match when_ready(engine, announcement).await? {
                Then::Serve => {
                    let keys = key_sources::keep(config, &data, upkeeping.clone());
                    let certificates = upkeep::keep(tls, config.pins.as_ref(), upkeeping, renewed);
                    tokio::try_join!(keys, certificates).map(drop)
                }
                Then::Stop => Ok(()),
            }
        }
    };
    let outcome = tokio::select! {
        biased;
        () = stop => Ok(()),
        ended = running.join_next() => Err(gateway::ended_early(ended)),
        failure = paper.failed() => Err(failure),
        failure = doors.failed() => Err(failure),
        ended = ready => ended,
    };

    tracing::info!("the gateway stops");
    doors.close().await;
    // An error means that the engine has ended already, and why is in the outcome.
    let _ended_already = stop_engine.send(());
    let ended = running.join_next().await;
    drop(engine);
    paper.stop().await;
    drop(lock);
    match (outcome, ended) {
        (Ok(()), Some(Ok(Err(fatal)))) => Err(gateway::fatal_failure(&fatal)),
        (Ok(()), Some(Err(error))) => Err(gateway::ended_early(Some(Err(error)))),
        (outcome, _) => {
            tracing::info!("the gateway has stopped");
            outcome
        }
    }
}

/// Bound listeners, not serving yet.
struct Doors {
    public: Listener,
    internal: Listener,
    /// Port 80.
    plain: Option<Listener>,
    tls: TlsFiles,
    challenges: Challenges,
}

impl Doors {
    async fn open(config: &Config, data: &Data) -> Result<Self, Failure> {
        let mut randomness = SystemRandomness::new();
        let tls = TlsFiles::prepare(config, data, SystemClock.now(), &mut randomness)?;
        let challenges = Challenges::default();
        let public = public_options(config, tls.public(&challenges)?)?;
        let public = Listener::bind(config.listen, public).await.map_err(unbound)?;
        let internal = internal_options(config, tls.internal()?);
        let internal = Listener::bind(config.internal_listen, internal).await.map_err(unbound)?;
        let plain = match config.http_listen {
            None => None,
            Some(address) => {
                let options = plain_options(config)?;
                Some(Listener::bind(address, options).await.map_err(unbound)?)
            }
        };
        Ok(Self { public, internal, plain, tls, challenges })
    }

    fn announcement(
        &self,
        config: &Config,
        data: &Data,
        engine: &Engine,
        origin: String,
    ) -> Announcement {
        Announcement {
            console_url: config.console_origin(&origin),
            base_url: origin,
            ca_file: self.tls.ca_file().map(|path| std::path::absolute(&path).unwrap_or(path)),
            internal_url: format!("https://{}", self.internal.local_addr()),
            http_url: self.plain.as_ref().map(|plain| format!("http://{}", plain.local_addr())),
            org_id: engine.org_id().map(|id| id.to_string()),
            owner: None,
            account_id: None,
            strategy_id: None,
            webhook: None,
            api_keys: None,
            data_dir: data.root(),
            pid: std::process::id(),
        }
    }
}

impl Doors {
    /// Serves at every door, the control socket included.
    fn serve(
        self,
        config: &Config,
        data: &Data,
        engine: &Engine,
        origin: String,
        renewed: &Arc<Notify>,
    ) -> Result<(Serving, TlsFiles), Failure> {
        let Self { public, internal, plain, tls, challenges } = self;
        let control = Control::bind(data)?;
        let [public_ends, internal_ends] = tls.ends_unix_s();
        let options = SiteOptions {
            hsts_preload: config.preloads_hsts(),
            trusted_proxies: config.trusted_proxies()?,
            listeners: vec![
                NamedListener {
                    name: "public",
                    counters: public.counters(),
                    certificate_ends_unix_s: public_ends,
                },
                NamedListener {
                    name: "internal",
                    counters: internal.counters(),
                    certificate_ends_unix_s: internal_ends,
                },
            ],
            ..SiteOptions::default()
        };
        let site = Site::new(engine.clone(), options);
        let (stop, _) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (listener, exposure) in [(public, Exposure::Public), (internal, Exposure::Internal)] {
            let site = site.clone();
            let stopped = stopped(&stop);
            let engine = engine.clone();
            tasks.spawn(async move {
                if exposure == Exposure::Public {
                    first_prices(&engine).await;
                }
                let unreadable = site.clone();
                let listener =
                    listener.answering_unreadable(move |head| unreadable.unreadable(head));
                let answering = move |peer| site.service(peer, exposure);
                let serving = listener.serve(answering, stopped).await;
                if serving.cut_connections > 0 {
                    tracing::warn!(cut = serving.cut_connections, "connections were cut");
                }
            });
        }
        if let Some(plain) = plain {
            let site = PlainSite::new(site.clone(), challenges.clone(), origin);
            let stopped = stopped(&stop);
            tasks.spawn(async move {
                let unreadable = site.clone();
                let plain = plain.answering_unreadable(move |_| unreadable.unreadable());
                let _drained = plain.serve(move |_| site.service(), stopped).await;
            });
        }
        if let Some(acme) = &config.acme {
            let keeper =
                acme::Keeper::new(acme, &config.outbound, data, challenges, engine.clone())?;
            let renewed = Arc::clone(renewed);
            let stopped = stopped(&stop);
            tasks.spawn(async move {
                tokio::select! {
                    () = stopped => {}
                    () = keeper.keep(renewed) => {}
                }
            });
        }
        tasks.spawn(control.serve(engine.clone(), stopped(&stop)));
        Ok((Serving { tasks, stop }, tls))
    }
}

/// Waits until the engine can judge a signal: one that came before the first prices would be refused
/// as if its market were closed, and its sender would not send it again. A broker that does not
/// answer holds nobody up for ever: exits are taken without a price.
async fn first_prices(engine: &Engine) {
    let heard = async {
        while !engine.readiness().ready {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(FIRST_PRICES, heard).await.is_err() {
        tracing::warn!(reasons = ?engine.readiness().reasons, "serving although not all is ready");
    }
    // A fraction of a second after a restart, and nothing at the first start.
    tokio::time::sleep(engine.opens_at().since(engine.now())).await;
}

fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        // A sender that is gone means the same.
        let _either_way = stop.wait_for(|stop| *stop).await;
    }
}

/// What serves, and the string to pull.
struct Serving {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Serving {
    /// Ends when a door has closed by itself, which only a defect can do.
    async fn failed(&mut self) -> Failure {
        let ended = self.tasks.join_next().await;
        let cause = match ended {
            Some(Err(error)) => error.to_string(),
            _ => "it closed by itself".to_owned(),
        };
        Failure::unavailable(format!(
            "stopped because a listener failed ({cause}); please report this"
        ))
    }

    /// Stops accepting and waits until what was under way is answered or cut.
    async fn close(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

pub(crate) fn public_options(config: &Config, tls: Tls) -> Result<ListenerOptions, Failure> {
    let mut options = ListenerOptions::new(Transport::Tls(tls));
    if config.proxy_protocol {
        options.proxy_protocol = ProxyProtocol::Required { from: config.trusted_proxies()? };
    }
    let limits = &config.listener;
    options.connections_max = limits.connections_max;
    options.connections_per_address_max = limits.connections_per_address_max;
    options.handshake_timeout_ms = limits.header_timeout_ms;
    options.header_read_timeout_ms = limits.header_timeout_ms;
    options.drain_ms = limits.drain_ms;
    Ok(options)
}

/// Port 80 has the limits of the public listener, behind the same proxies.
fn plain_options(config: &Config) -> Result<ListenerOptions, Failure> {
    let mut options = ListenerOptions::new(Transport::PlainForAnybody);
    if config.proxy_protocol {
        options.proxy_protocol = ProxyProtocol::Required { from: config.trusted_proxies()? };
    }
    let limits = &config.listener;
    options.connections_max = limits.connections_max;
    options.connections_per_address_max = limits.connections_per_address_max;
    options.header_read_timeout_ms = limits.header_timeout_ms;
    options.drain_ms = limits.drain_ms.min(1_000);
    Ok(options)
}

/// The internal listener has few clients, all of them ours.
fn internal_options(config: &Config, tls: Tls) -> ListenerOptions {
    let mut options = ListenerOptions::new(Transport::Tls(tls));
    options.connections_max = 256;
    options.drain_ms = config.listener.drain_ms.min(1_000);
    options
}

fn unbound(error: impl std::fmt::Display) -> Failure {
    Failure::unavailable(format!(
        "{error}; stop what listens there, or choose another address (port 0 takes any free one)"
    ))
}
