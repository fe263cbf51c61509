//! `tradewarden bench`. `bench intake`: how many signals become durable, audited and sent orders, beside
//! what the same machine does with nothing of ours in between.
//!
//! One run measures the disk's own sync (4 KiB appended and synced), a bare echo behind the same
//! listener and TLS, and intake, in turn, because a shared machine changes its speed from minute to
//! minute: only ratios within one run mean something (C28). Dispatch, the paper broker and sealing
//! are on.

mod disk;
mod fill;
pub(crate) mod halt;
pub(crate) mod keys;
mod load;
pub(crate) mod loaded;
pub(crate) mod risk;
pub(crate) mod tls;
pub(crate) mod vault;
mod verify;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tradewarden_domain::time::Clock;
use tradewarden_engine::Engine;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{Command, Search};
use tradewarden_seal::SystemRandomness;
use tradewarden_web::listen::Listener;
use tradewarden_web::tls::Challenges;

use self::disk::Sync;
use self::load::{Figures, Target};
use crate::certificates::TlsFiles;
use crate::cli::Load;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data::Data;
use crate::outcome::Failure;
use crate::serve::{self, Announcement, Then};
use crate::{files, output};

pub(crate) const DATA_DEFAULT: &str = "tradewarden-bench";

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    connections: u16,
    seconds: u16,
    rounds: u16,
    accounts: u16,
    organizations: u16,
    database: String,
    fdatasync: Sync,
    echo: Figures,
    intake: Figures,
    one_connection: Figures,
    /// Intake by echo, the median of the rounds.
    ratio: f64,
    /// Median latency of one connection by that of one sync.
    one_connection_p50_ratio: f64,
    /// The same at the 99th percentile.
    one_connection_p99_ratio: f64,
    accepted: u64,
    orders_sent: u64,
    audit_entries: u64,
    /// Milliseconds after the last answer until every order was sent.
    dispatch_lag_ms: u64,
}

/// A bench does not meet a gateway that serves.
pub(crate) fn anywhere(config: Config) -> Config {
    let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
    Config { listen: anywhere, internal_listen: anywhere, ..config }
}

/// Measures and prints.
pub(crate) async fn intake(config: Config, load: Load, json: bool) -> Result<(), Failure> {
    let data = Data::at(&config);
    if data.exists() {
        return Err(Failure::usage(format!(
            "{} exists; bench makes a data directory of its own and removes it: name another with \
             --data",
            data.root().display()
        )));
    }
    let (echo, stop_echo, mut echoing) = echo_server(&config, &data).await?;
    let measured = serve::run_with(&config, async |engine, announcement| {
        let report = measure(&config, &data, &engine, &announcement, &load, echo).await?;
        print(&report, json)?;
        Ok(Then::Stop)
    })
    .await;
    let _ended_already = stop_echo.send(());
    while echoing.join_next().await.is_some() {}
    let removed = std::fs::remove_dir_all(data.root());
    measured?;
    removed.map_err(|cause| {
        Failure::unavailable(format!("{} was not removed: {cause}", data.root().display()))
    })
}

/// A bare echo behind the same listener and the same certificate.
async fn echo_server(
    config: &Config,
    data: &Data,
) -> Result<(SocketAddr, oneshot::Sender<()>, JoinSet<()>), Failure> {
    data.create()?;
    let tls = TlsFiles::prepare(config, data, SystemClock.now(), &mut SystemRandomness::new())?;
    let options = serve::public_options(config, tls.public(&Challenges::default())?)?;
    let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
    let bound = Listener::bind(anywhere, options).await;
    let listener = bound.map_err(|error| Failure::unavailable(error.to_string()))?;
    let address = listener.local_addr();
    let (stop, stopped) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let echo = |_peer| service_fn(answer_echo);
        let _cut = listener.serve(echo, async move { drop::<Result<(), _>>(stopped.await) }).await;
    });
    Ok((address, stop, tasks))
}

async fn answer_echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    Ok(Response::new(Full::new(body.unwrap_or_default())))
}

async fn measure(
    config: &Config,
    data: &Data,
    engine: &Engine,
    announcement: &Announcement,
    load: &Load,
    echo: SocketAddr,
) -> Result<Report, Failure> {
    let targets = prepare(engine, load.accounts).await?;
    let ca_file = announcement.ca_file.clone().ok_or_else(|| {
        Failure::usage("bench needs the generated certificate: leave [tls] out".to_owned())
    })?;
    let client = load::Client::trusting(&files::read_text(&ca_file, 64 * 1024)?)?;
    let gateway: SocketAddr = announcement
        .base_url
        .trim_start_matches("https://")
        .parse()
        .map_err(|_| Failure::unavailable("the gateway's own address is unreadable"))?;
    let span = Duration::from_secs(u64::from(load.seconds));
    let warm_up = Duration::from_secs(1);
    let echo_target = [Target::echo()];
    client.drive(echo, &echo_target, load.connections, warm_up).await?;
    client.drive(gateway, &targets, load.connections, warm_up).await?;
    let fdatasync = disk::probe(&data.root(), 2_000)?;
    let one_connection = client.drive(gateway, &targets, 1, span).await?;
    let (mut echoes, mut intakes) = (Vec::new(), Vec::new());
    for _ in 0..load.rounds {
        echoes.push(client.drive(echo, &echo_target, load.connections, span).await?);
        intakes.push(client.drive(gateway, &targets, load.connections, span).await?);
    }
    let accepted = client.accepted();
    let dispatch_lag_ms = wait_until_sent(engine, accepted).await?;
    let counts = engine.counts();
    let mut ratios: Vec<f64> =
        echoes.iter().zip(&intakes).map(|(echo, intake)| intake.per_s / echo.per_s).collect();
    Ok(Report {
        connections: load.connections,
        seconds: load.seconds,
        rounds: load.rounds,
        accounts: load.accounts,
        organizations: 1,
        database: config.database.to_string(),
        ratio: load::median(&mut ratios),
        one_connection_p50_ratio: one_connection.p50_us / fdatasync.p50_us,
        one_connection_p99_ratio: one_connection.p99_us / fdatasync.p99_us,
        fdatasync,
        echo: Figures::middle(echoes),
        intake: Figures::middle(intakes),
        one_connection,
        accepted,
        orders_sent: counts.orders_sent,
        audit_entries: counts.audit_entries,
        dispatch_lag_ms,
    })
}

/// Accounts, webhooks and strategies with limits that let everything through.
async fn prepare(engine: &Engine, accounts: u16) -> Result<Vec<Target>, Failure> {
    for (name, value) in [
        ("max_order_quantity", "1000"),
        ("max_order_notional", "1000000000"),
        ("max_position", "1000000000"),
        ("price_collar_percent", "50"),
        ("max_orders_per_minute", "1000000000"),
    ] {
        ask(
            engine,
            json!({ "command": "limit-set", "scope": "org", "name": name, "value": value }),
        )
        .await?;
    }
    let mut targets = Vec::new();
    for number in 0..accounts {
        let account = ask(
            engine,
            json!({ "command": "account-create", "broker": "paper", "name": format!("bench {number}"),
                    "cash": "1000000000" }),
        )
        .await?;
        let webhook = ask(
            engine,
            json!({ "command": "webhook-create", "name": format!("bench {number}"),
                    "rate_per_s": 1_000_000 }),
        )
        .await?;
        ask(
            engine,
            json!({ "command": "strategy-create", "name": format!("bench {number}"),
                    "webhook": text(&webhook, "id")?, "account": text(&account, "id")?,
                    "symbol": "AAPL", "quantity": "1", "pyramiding": "allow" }),
        )
        .await?;
        targets.push(Target::webhook(text(&webhook, "token")?, text(&webhook, "secret")?));
    }
    Ok(targets)
}

async fn ask(engine: &Engine, command: Value) -> Result<Value, Failure> {
    let command: Command = serde_json::from_value(command)
        .map_err(|error| Failure::unavailable(format!("bench asks wrongly: {error}")))?;
    Ok(engine.execute(command, &Actor::operator()).await?)
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, Failure> {
    value
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::unavailable(format!("an answer has no {name}")))
}

/// Waits until as many orders were sent as were accepted, and no order is left unsent.
async fn wait_until_sent(engine: &Engine, accepted: u64) -> Result<u64, Failure> {
    let started = SystemClock.now();
    let patience = Duration::from_mins(1);
    loop {
        let lag = SystemClock.now().since(started);
        let newest = engine
            .execute(
                Command::OrderList(Search { limit: Some(200), ..Search::default() }),
                &Actor::operator(),
            )
            .await?;
        let unsent = newest.get("items").and_then(Value::as_array).is_some_and(|orders| {
            orders
                .iter()
                .any(|order| matches!(text(order, "state"), Ok("accepted" | "sending" | "unknown")))
        });
        if engine.counts().orders_sent >= accepted && !unsent || lag > patience {
            return Ok(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(report)
            .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
        return output::print(&text);
    }
    let line = |name: &str, figures: &Figures| {
        format!(
            "{name:<16} {:>9.0}/s   p50 {:>7.0} us   p99 {:>7.0} us   p99.9 {:>7.0} us\n",
            figures.per_s, figures.p50_us, figures.p99_us, figures.p999_us
        )
    };
    let mut text = format!(
        "{} connections, {} x {} s, {} accounts, {}, dispatch and sealing on\n\n",
        report.connections, report.rounds, report.seconds, report.accounts, report.database
    );
    text.push_str(&line("echo", &report.echo));
    text.push_str(&line("intake", &report.intake));
    text.push_str(&line("one connection", &report.one_connection));
    // Writing to a String cannot fail.
    let _written = write!(
        text,
        "fdatasync                      p50 {:>7.0} us   p99 {:>7.0} us\n\n\
         intake / echo               {:.3}\n\
         one connection / fdatasync  p50 {:.2}, p99 {:.2}\n\
         accepted {}, orders sent {}, audit entries {}; the last order left {} ms after the last \
         answer\n",
        report.fdatasync.p50_us,
        report.fdatasync.p99_us,
        report.ratio,
        report.one_connection_p50_ratio,
        report.one_connection_p99_ratio,
        report.accepted,
        report.orders_sent,
        report.audit_entries,
        report.dispatch_lag_ms,
    );
    output::print(&text)
}

/// Where the disk is probed: the data directory's own disk.
pub(crate) fn probe_file(directory: &Path) -> std::path::PathBuf {
    directory.join("probe")
}
