//! The engine with everything it needs: the same parts whether a server runs on it or one command.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tradewarden_broker::port::Broker;
use tradewarden_domain::time::Clock;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::Command;
use tradewarden_engine::{Engine, Fatal, PaperDesk, Parts, Settings, Tasks};
use tradewarden_seal::{PasswordCost, SystemRandomness};

use crate::clock::{SteadyClock, SystemClock};
use crate::config::Config;
use crate::data::{Data, Lock, Locking};
use crate::outcome::Failure;
use crate::paper::Paper;

/// An engine, the work it needs done, and the paper broker behind it.
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) tasks: Tasks,
    pub(crate) paper: Paper,
}

impl Gateway {
    /// Opens the data directory, which is locked by `_lock`; makes what is missing in it.
    pub(crate) async fn open(
        config: &Config,
        data: &Data,
        origin: String,
        _lock: &Lock,
    ) -> Result<Self, Failure> {
        data.refuse_amid_restore()?;
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::new());
        let mut randomness = SystemRandomness::new();
        let location = config.database.location(data.database())?;
        let keyring = Arc::new(data.keyring(config, &mut randomness)?);
        data.remove_operator_token()?;
        let log_origin = data.log_origin(config, &mut randomness)?;
        let node = data.node(&mut randomness)?;
        let paper = Paper::start(config, data, Arc::clone(&clock))?;
        let console_origin = config.console_origin(&origin);
        let broker: Arc<dyn Broker> = Arc::new(paper.broker());
        let desk: Arc<dyn PaperDesk> = Arc::new(paper.desk());
        let opened = Engine::create(Parts {
            location,
            clock,
            randomness: Box::new(randomness),
            keyring,
            brokers: BTreeMap::from([("paper".to_owned(), broker)]),
            desk: Some(desk),
            messengers: config.messengers(&console_origin)?,
            settings: Settings {
                hooks_origin: config.hooks_origin(&origin),
                further_origins: config.further_origins(&origin),
                tiers: config.tiers_of_this_node()?,
                call_limits: config.call_limits(),
                live_orders_max: config.live_orders_max,
                public_origin: origin,
                log_origin,
                checkpoint_file: Some(data.checkpoint()),
                halt_file: Some(data.halt()),
                node,
                console_origin,
                profile: config.profile,
                require_classes: config.require_classes,
                password_cost: PasswordCost::standard(),
                data_keys_last: config.vault.data_keys_last(),
            },
        });
        let (engine, tasks) =
            opened.await.map_err(|error| Failure::unavailable(error.to_string()))?;
        Ok(Self { engine, tasks, paper })
    }

    /// Runs just the journal, carries out what `work` asks for, and shuts down.
    pub(crate) async fn quietly<T>(
        self,
        work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Self { engine, tasks, paper } = self;
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(tasks.run_quiet(async move { drop::<Result<(), _>>(stopped.await) }));
        let outcome = tokio::select! {
            biased;
            ended = running.join_next() => Err(ended_early(ended)),
            outcome = work(&engine) => outcome,
        };
        // An error here means that the tasks have ended already.
        let _ended_already = stop.send(());
        drop(engine);
        let ended = running.join_next().await;
        paper.stop().await;
        match ended {
            Some(Ok(Err(fatal))) => Err(fatal_failure(&fatal)),
            _ => outcome,
        }
    }
}

/// Carries out one command without a server.
pub(crate) async fn execute(
    config: &Config,
    data: &Data,
    lock: Lock,
    organization: Option<&str>,
    command: Command,
) -> Result<serde_json::Value, Failure> {
    let gateway = Gateway::open(config, data, config.origin_at(config.listen), &lock).await?;
    let outcome = gateway
        .quietly(async |engine| {
            let operator = engine.operator(organization)?;
            Ok(engine.execute(command, &operator).await?)
        })
        .await;
    drop(lock);
    outcome
}

/// `tradewarden init`: everything that `serve` would make, and nothing that runs. Carries `first` out
/// on it, and gives its answer.
pub(crate) async fn init(
    config: &Config,
    first: Option<Command>,
) -> Result<(Data, Option<Value>), Failure> {
    config.refuse_insecure_start()?;
    let data = Data::at(config);
    data.create()?;
    let lock = match data.lock()? {
        Locking::Held(lock) => lock,
        Locking::Taken => return Err(data.in_use()),
    };
    let mut randomness = SystemRandomness::new();
    crate::certificates::TlsFiles::prepare(config, &data, SystemClock.now(), &mut randomness)?;
    let gateway = Gateway::open(config, &data, config.origin_at(config.listen), &lock).await?;
    let answer = gateway
        .quietly(async |engine| match first {
            Some(command) => Ok(Some(engine.execute(command, &Actor::operator()).await?)),
            None => Ok(None),
        })
        .await?;
    Ok((data, answer))
}

/// The last sentence of a gateway whose durable data failed (C14).
pub(crate) fn fatal_failure(fatal: &Fatal) -> Failure {
    Failure::unavailable(format!(
        "stopped because durable data could not be read or written: {fatal}; see to the disk or \
         the database, then start again"
    ))
}

/// Tasks ended although nobody asked them to.
pub(crate) fn ended_early(ended: Option<Result<Result<(), Fatal>, JoinError>>) -> Failure {
    match ended {
        Some(Ok(Err(fatal))) => fatal_failure(&fatal),
        Some(Err(error)) => Failure::unavailable(format!(
            "stopped because a part of the program failed ({error}); please report this"
        )),
        Some(Ok(Ok(()))) | None => Failure::unavailable("the engine has stopped"),
    }
}
