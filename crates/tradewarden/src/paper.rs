//! The paper broker (C8): in this process, on a thread of its own, or behind the socket of another
//! process that outlives the gateway.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tradewarden_broker::paper::{
    self, PaperAdmin, PaperBroker, PaperError, PaperLink, PaperSettings, PaperSocket, PaperTask,
    PaperTicker, PriceSource, ServeLimits,
};
use tradewarden_broker::port::{Answer, BrokerAccount};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::Clock;
use tradewarden_engine::PaperDesk;

use crate::config::{Config, PaperMode};
use crate::data::Data;
use crate::files;
use crate::outcome::Failure;
use crate::socket_place::SocketPlace;

/// How often resting orders are looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long a stop waits for the exchange's thread.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// A running paper broker and the way to it.
pub(crate) struct Paper {
    link: PaperLink,
    tasks: JoinSet<()>,
    ended: Option<oneshot::Receiver<Result<(), PaperError>>>,
    _place: Option<SocketPlace>,
}

impl Paper {
    /// Starts it as configured; must be called on the runtime.
    pub(crate) fn start(
        config: &Config,
        data: &Data,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        match config.paper.mode {
            PaperMode::InProcess => Self::in_process(config, data, clock),
            PaperMode::Socket => Self::behind_socket(data),
        }
    }

    fn in_process(config: &Config, data: &Data, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let (desk, ended) = exchange(config, data, clock)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(PaperTicker::new(desk.clone(), TICK).run());
        let link = PaperLink::InProcess(desk);
        Ok(Self { link, tasks, ended: Some(ended), _place: None })
    }

    fn behind_socket(data: &Data) -> Result<Self, Failure> {
        let place = SocketPlace::of(&data.paper_socket())?;
        let (socket, driver) = PaperSocket::new(place.path().to_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        Ok(Self { link: PaperLink::Socket(socket), tasks, ended: None, _place: Some(place) })
    }

    /// The broker's port over it.
    pub(crate) fn broker(&self) -> PaperBroker {
        PaperBroker::new(self.link.clone())
    }

    /// The operator's desk over it.
    pub(crate) fn desk(&self) -> Desk {
        Desk(PaperAdmin::new(self.link.clone()))
    }

    /// Ends with the reason when the exchange in this process cannot go on; else never.
    pub(crate) async fn failed(&mut self) -> Failure {
        match self.ended.take() {
            Some(ended) => stopped(ended.await.ok().and_then(Result::err).as_ref()),
            None => std::future::pending().await,
        }
    }

    /// Lets go of the exchange. Its thread ends with the last broker and desk made from it. What was
    /// answered is on disk; it is waited for only so that this process may open the directory again.
    pub(crate) async fn stop(self) {
        let Self { link, mut tasks, ended, _place } = self;
        tasks.shutdown().await;
        drop(link);
        if let Some(ended) = ended {
            // Somebody may hold on to a desk; then the next to open it says so.
            drop(timeout(ENDS_WITHIN, ended).await);
        }
    }
}

/// The paper exchange's operator, as the engine asks for it.
pub(crate) struct Desk(PaperAdmin);

impl PaperDesk for Desk {
    fn open_account(
        &self,
        broker_account: String,
        cash: Money,
        currency: String,
    ) -> Answer<'_, Result<(), String>> {
        Box::pin(async move {
            let account = BrokerAccount::new(&broker_account);
            let opened = self.0.open_account(account, cash, &currency).await;
            opened.map_err(|error| error.to_string())
        })
    }

    fn set_price(
        &self,
        symbol: Symbol,
        price: Option<Price>,
        market: Trading,
    ) -> Answer<'_, Result<(), String>> {
        Box::pin(async move {
            let source = price.map_or(PriceSource::Synthetic, PriceSource::Fixed);
            let set = self.0.set_price(symbol, source, market).await;
            set.map_err(|error| error.to_string())
        })
    }
}

/// `tradewarden paper-broker`: the exchange as a process of its own, until it is told to stop.
pub(crate) async fn serve(config: &Config, clock: Arc<dyn Clock>) -> Result<(), Failure> {
    let data = Data::at(config);
    data.create()?;
    let (desk, ended) = exchange(config, &data, clock)?;
    let path = data.paper_socket();
    let place = SocketPlace::of(&path)?;
    let listener = paper::bind_socket(place.path())
        .map_err(|cause| files::failed("listen at", &path, &cause))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(PaperTicker::new(desk.clone(), TICK).run());
    tracing::info!(socket = %path.display(), "the paper exchange is ready");
    let outcome = tokio::select! {
        served = paper::serve_socket(listener, desk, ServeLimits::default()) => match served {
            Ok(()) => Err(stopped(None)),
            Err(cause) => Err(files::failed("accept at", &path, &cause)),
        },
        end = ended => Err(stopped(end.ok().and_then(Result::err).as_ref())),
        () = crate::signals::stop()? => Ok(()),
    };
    tasks.shutdown().await;
    outcome
}

/// The exchange of this data directory on a thread of its own, which ends when the last desk is
/// gone.
fn exchange(
    config: &Config,
    data: &Data,
    clock: Arc<dyn Clock>,
) -> Result<(paper::PaperDesk, oneshot::Receiver<Result<(), PaperError>>), Failure> {
    let settings = PaperSettings { seed: config.paper.seed, ..PaperSettings::default() };
    let (task, desk) = PaperTask::open(&data.paper(), settings, clock)
        .map_err(|error| Failure::unavailable(error.to_string()))?;
    let (tell, ended) = oneshot::channel();
    let run = move || {
        // Nobody listens any more only when the gateway is on its way out.
        drop(tell.send(task.run_blocking()));
    };
    thread::Builder::new().name("paper".to_owned()).spawn(run).map_err(|cause| {
        Failure::unavailable(format!("cannot start the paper exchange's thread: {cause}"))
    })?;
    Ok((desk, ended))
}

fn stopped(error: Option<&PaperError>) -> Failure {
    Failure::unavailable(match error {
        Some(error) => format!("the paper exchange cannot go on: {error}"),
        None => "the paper exchange has stopped".to_owned(),
    })
}
