//! A whole engine in a test: one thread, simulated time, a real database, a scripted broker.
//!
//! The gateway's process may die at any commit or call and be started again on what it left; the
//! broker and the test live on. Time stands still while anything computes and jumps to the next
//! timer when nothing does, so a simulated minute takes as long as what happens in it.

mod reading;
mod rival;
mod signed;
mod words;

pub use words::{halt_engage, limit_set, raw, signal, strategy};

use crate::broker::{ScriptedBroker, Venue};
use crate::clock::{MORNING, SimClock};
use crate::key_source::ScriptedKeys;
use crate::life::{Death, Life};
use crate::post::ScriptedPost;
use crate::postgres::TestDatabase;
use crate::randomness::Seeded;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tradewarden_broker::port::Broker;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::person::Profile;
use tradewarden_domain::price::Trading;
use tradewarden_domain::tier::Tiers;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{
    AccountCreate, ById, Command, CommandError, StrategyCreate, WebhookCreate,
};
use tradewarden_engine::incarnation::{self, Begun, Restoring};
use tradewarden_engine::intake::{AccountResult, RawSignal, Received, SignalStatus};
use tradewarden_engine::{CallLimits, CommitFate, Engine, PaperDesk, Parts, Settings};
use tradewarden_seal::{Keyring, PasswordCost};
use tradewarden_store::{Location, Store};

/// Runs a scenario on a runtime of its own, with time standing still.
///
/// # Panics
///
/// When the machine has no thread to give, or the scenario panics.
pub fn simulate<T>(scenario: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(scenario())
}

/// Opens an account at each of these, and sets prices at each.
struct Desks(Vec<ScriptedBroker>);

impl PaperDesk for Desks {
    fn open_account(
        &self,
        broker_account: String,
        cash: Money,
        currency: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            for desk in &self.0 {
                desk.open_account(broker_account.clone(), cash, currency.clone()).await?;
            }
            Ok(())
        })
    }

    fn set_price(
        &self,
        symbol: Symbol,
        price: Option<Price>,
        market: Trading,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            for desk in &self.0 {
                desk.set_price(symbol.clone(), price, market).await?;
            }
            Ok(())
        })
    }
}

/// A webhook as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its identifier's text.
    pub id: String,
    /// The token in its path.
    pub token: String,
    /// Its secret.
    pub secret: String,
}

/// What a sender heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This.
    Answer(Reply),
    /// 503.
    Unavailable(Code),
    /// 401.
    Unauthenticated,
    /// Nothing: the gateway died.
    Silence,
}

/// An answer to a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The signal; of a duplicate, the first one.
    pub signal_id: Id<id::Signal>,
    /// What became of it.
    pub status: SignalStatus,
    /// Why.
    pub code: Option<Code>,
    /// In a sentence.
    pub message: String,
    /// By account.
    pub accounts: Vec<AccountResult>,
    /// The field that is wrong.
    pub field: Option<String>,
    /// What was asked for.
    pub input: Option<String>,
    /// What is allowed.
    pub limit: Option<String>,
}

impl Heard {
    /// The answer.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn answer(self) -> Reply {
        match self {
            Self::Answer(reply) => reply,
            other => panic!("an answer was expected, not {other:?}"),
        }
    }
}

/// Where the data is, and what takes it away afterwards.
enum Data {
    Sqlite(PathBuf),
    Postgres(TestDatabase),
}

/// A gateway process that runs.
struct Running {
    engine: Engine,
    local: LocalSet,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), tradewarden_engine::Fatal>>,
}

/// See the module.
pub struct Harness {
    /// The time.
    pub clock: SimClock,
    /// The broker.
    pub broker: ScriptedBroker,
    /// Another broker, of the kind `other`; none unless a test says so.
    pub second: Option<ScriptedBroker>,
    /// Who carries messages; nobody unless a test says so.
    pub post: ScriptedPost,
    /// How long a commit takes by the clock.
    pub commit_takes: Duration,
    /// How strict the rules for people are, from the next start on.
    pub profile: Profile,
    /// Most live orders of an organization, from the next start on.
    pub live_orders_max: u64,
    /// How long a data key seals, from the next start on.
    pub data_keys_last: Option<Duration>,
    /// What wraps data keys.
    pub keys: ScriptedKeys,
    life: Arc<Life>,
    running: Option<Running>,
    store: Option<Store>,
    data: Data,
    directory: PathBuf,
    keyring: Arc<Keyring>,
    seed: u64,
    /// Keeps time from jumping while a database server is waited for.
    hold: Option<mpsc::Sender<()>>,
}

/// How long what is open stays open while the key source is away.
pub const OPEN_FOR: Duration = Duration::from_hours(1);

impl Harness {
    /// A gateway on a new SQLite file, started and ready.
    pub async fn sqlite(seed: u64, venue: Venue) -> Self {
        Self::sqlite_until(seed, venue, Death::Never).await
    }

    /// The same, with its first life ending like this.
    pub async fn sqlite_until(seed: u64, venue: Venue, death: Death) -> Self {
        let directory = new_directory();
        let file = directory.join("tradewarden.db");
        let mut harness = Self::new(Data::Sqlite(file), directory, seed, venue);
        harness.start(death).await;
        harness
    }

    /// A gateway on a new PostgreSQL database, started and ready. Ends with [`Harness::finish`].
    pub async fn postgres(seed: u64, venue: Venue) -> Self {
        let database = TestDatabase::create().await;
        let directory = new_directory();
        let mut harness = Self::new(Data::Postgres(database), directory, seed, venue);
        let (hold, held) = mpsc::channel::<()>();
        // While a blocking task runs, tokio does not let paused time jump.
        let _until_dropped = tokio::task::spawn_blocking(move || held.recv());
        harness.hold = Some(hold);
        harness.start(Death::Never).await;
        harness
    }

    fn new(data: Data, directory: PathBuf, seed: u64, venue: Venue) -> Self {
        let clock = SimClock::with_timers(MORNING);
        let keys = ScriptedKeys::new(seed);
        let keyring = Keyring::new(keys.clone()).staying_open(Some(OPEN_FOR));
        Self {
            broker: ScriptedBroker::new(clock.clone(), venue),
            second: None,
            clock,
            post: ScriptedPost::default(),
            commit_takes: Duration::ZERO,
            profile: Profile::Standard,
            live_orders_max: 10_000,
            data_keys_last: None,
            life: Arc::new(Life::new(0, Death::Never)),
            running: None,
            store: None,
            data,
            directory,
            keyring: Arc::new(keyring),
            keys,
            seed,
            hold: None,
        }
    }

    fn location(&self) -> Location {
        match &self.data {
            Data::Sqlite(file) => Location::Sqlite(file.clone()),
            Data::Postgres(database) => Location::Postgres(database.url().to_owned()),
        }
    }

    fn parts(&self) -> Parts {
        let broker = self.broker.for_life(Arc::clone(&self.life));
        let second = self.second.as_ref().map(|second| second.for_life(Arc::clone(&self.life)));
        let desks = std::iter::once(broker.clone()).chain(second.clone()).collect();
        let desk: Arc<dyn PaperDesk> = Arc::new(Desks(desks));
        let broker: Arc<dyn Broker> = Arc::new(broker);
        let mut brokers = BTreeMap::from([("paper".to_owned(), broker)]);
        if let Some(second) = second {
            brokers.insert("other".to_owned(), Arc::new(second));
        }
        // No two lives may draw the same identifiers.
        let seed = self.seed ^ self.life.number.wrapping_mul(0x5851_f42d_4c95_7f2d);
        Parts {
            location: self.location(),
            clock: Arc::new(self.clock.clone()),
            randomness: Box::new(Seeded::new(seed)),
            keyring: Arc::clone(&self.keyring),
            brokers,
            desk: Some(desk),
            messengers: self.post.messengers(),
            settings: Settings {
                public_origin: "https://localhost".to_owned(),
                hooks_origin: None,
                halt_file: Some(self.directory.join("halt")),
                further_origins: Vec::new(),
                tiers: Tiers::default(),
                call_limits: CallLimits::default(),
                live_orders_max: self.live_orders_max,
                log_origin: "localhost/simulation".to_owned(),
                checkpoint_file: Some(self.directory.join("checkpoint")),
                node: "node-1".to_owned(),
                console_origin: "https://localhost".to_owned(),
                profile: self.profile,
                require_classes: false,
                password_cost: PasswordCost::new(8, 1, 1).unwrap(),
                data_keys_last: self.data_keys_last,
            },
        }
    }

    /// Starts the gateway on the data that is there; its life ends like this.
    ///
    /// # Panics
    ///
    /// When it runs already or does not open.
    pub async fn start(&mut self, death: Death) {
        assert!(self.running.is_none(), "it runs already");
        self.life = Arc::new(Life::new(self.life.number + 1, death));
        let (life, clock, takes) = (Arc::clone(&self.life), self.clock.clone(), self.commit_takes);
        let log = self.write_ahead_log();
        let fate = Arc::new(move || {
            let fate = life.commit(length_of(&log));
            if fate != CommitFate::DieBefore {
                clock.advance(takes);
            }
            fate
        });
        let opening = Engine::create_with_fate(self.parts(), fate);
        let (engine, tasks) = self.wait_for(opening).await.expect("the gateway opens");
        let (stop, stopped) = oneshot::channel::<()>();
        let local = LocalSet::new();
        let ended = local.spawn_local(tasks.run_local(async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        self.running = Some(Running { engine, local, stop, ended });
        if self.store.is_none() {
            let store = Store::open(self.location());
            self.store = Some(self.wait_for(store).await.unwrap());
        }
    }

    /// The process is killed.
    pub async fn crash(&mut self) {
        self.life.end();
        let Some(running) = self.running.take() else { return };
        drop(running);
        // Tasks that were aborted are dropped when the runtime next looks at them.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    /// The process is asked to stop, and seals what is left.
    ///
    /// # Panics
    ///
    /// When it ends with an error though nothing killed it.
    pub async fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let Running { engine, local, stop, ended } = running;
        let _gone = stop.send(());
        let life = Arc::clone(&self.life);
        let outcome = self
            .wait_for(local.run_until(async {
                tokio::select! {
                    () = life.ended() => None,
                    outcome = ended => Some(outcome),
                }
            }))
            .await;
        if let Some(outcome) = outcome {
            outcome.expect("the tasks do not panic").expect("nothing was fatal");
        }
        drop(engine);
        drop(local);
        self.crash().await;
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits at most so long for the process to end by itself; answers why it did.
    pub async fn ends_by_itself(&mut self, within: Duration) -> Option<String> {
        let Running { engine, local, stop, ended } = self.running.take()?;
        let waiting = local.run_until(tokio::time::timeout(within, ended));
        let outcome = self.wait_for(waiting).await;
        drop((engine, stop));
        match outcome {
            Ok(Ok(Err(fatal))) => Some(fatal.to_string()),
            _ => None,
        }
    }

    /// Kills the process, if it still lives, and starts it again.
    pub async fn restart(&mut self) {
        self.crash().await;
        self.start(Death::Never).await;
    }

    /// A copy of the SQLite database as it is now.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub async fn copy(&self) -> PathBuf {
        let copy = self.directory.join(format!("copy-{}.db", self.life.number));
        let store = self.store.as_ref().expect("the gateway was started");
        self.wait_for(store.backup(copy.clone())).await.expect("the copy is made");
        copy
    }

    /// Changes a copy, as if it had been made at another moment.
    ///
    /// # Panics
    ///
    /// When the statements are wrong.
    pub fn change_copy(copy: &Path, sql: &str) {
        rusqlite::Connection::open(copy).unwrap().execute_batch(sql).unwrap();
    }

    /// Stops the gateway, puts a copy back without saying so, and answers why it does not start on it;
    /// `None` if it would.
    ///
    /// # Panics
    ///
    /// When the copy cannot be put in place.
    pub async fn refuses(&mut self, copy: &Path) -> Option<String> {
        self.put_in_place(copy).await;
        let opening = Engine::create(self.parts());
        self.wait_for(opening).await.err().map(|error| error.to_string())
    }

    async fn put_in_place(&mut self, copy: &Path) {
        self.stop().await;
        self.store = None;
        let Location::Sqlite(database) = self.location() else {
            panic!("only files are copied");
        };
        for companion in ["-wal", "-shm"] {
            let mut name = database.clone().into_os_string();
            name.push(companion);
            let _is_not_there = std::fs::remove_file(name);
        }
        std::fs::copy(copy, &database).expect("the copy is put in place");
    }

    /// Stops the gateway, puts a copy back as another incarnation, and starts it again.
    ///
    /// # Panics
    ///
    /// When the copy is not taken.
    pub async fn restore(&mut self, copy: &Path) -> Begun {
        let begun = self.try_restore(copy).await.expect("it begins");
        self.start(Death::Never).await;
        begun
    }

    /// The same without the start, or why the copy is not taken.
    ///
    /// # Errors
    ///
    /// Those of [`incarnation::begin`].
    ///
    /// # Panics
    ///
    /// When the copy cannot be put in place.
    pub async fn try_restore(&mut self, copy: &Path) -> Result<Begun, String> {
        self.put_in_place(copy).await;
        let restoring = Restoring {
            location: self.location(),
            clock: Arc::new(self.clock.clone()),
            randomness: Box::new(Seeded::new(!self.seed)),
            keyring: Arc::clone(&self.keyring),
            published: std::fs::read_to_string(self.directory.join("checkpoint")).ok(),
            from: "a copy".to_owned(),
        };
        let begun = self.wait_for(incarnation::begin(restoring)).await;
        let begun = begun.map_err(|error| error.to_string())?;
        let checkpoint = self.directory.join("checkpoint");
        std::fs::write(checkpoint, &begun.checkpoint).expect("the checkpoint is written");
        Ok(begun)
    }

    /// Whether the process lives.
    pub fn is_alive(&self) -> bool {
        self.running.is_some() && !self.life.has_ended()
    }

    /// The life that is being lived, or was last.
    pub fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// The engine, while it lives.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn engine(&self) -> Engine {
        self.running.as_ref().expect("the gateway runs").engine.clone()
    }

    /// Waits for something that is no part of the gateway.
    async fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        if self.hold.is_none() {
            return work.await;
        }
        tokio::select! {
            biased;
            done = work => done,
            () = pump() => unreachable!("the pump does not end"),
        }
    }

    /// Waits for something while the gateway runs; `None` if it dies before.
    pub async fn drive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let running = self.running.as_ref()?;
        let life = &self.life;
        let living = running.local.run_until(async {
            tokio::select! {
                biased;
                () = life.ended() => None,
                done = work => (!life.has_ended()).then_some(done),
            }
        });
        self.wait_for(living).await
    }

    /// Lets so much time pass; ends early if the gateway dies.
    pub async fn elapse(&self, span: Duration) {
        let _died = self.drive(tokio::time::sleep(span)).await;
    }

    /// Lets time pass until `condition` holds, at most for a simulated minute.
    ///
    /// # Panics
    ///
    /// When it does not hold by then.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        for _ in 0..1_200 {
            if condition(self).await {
                return;
            }
            self.elapse(Duration::from_millis(50)).await;
            if !self.is_alive() {
                return;
            }
        }
        panic!("waited in vain: {what}; orders: {:#?}", self.orders().await);
    }

    /// Waits until the gateway says that it is ready.
    pub async fn ready(&self) {
        self.until("ready", async |h: &Self| h.engine().readiness().ready).await;
    }

    /// Waits until no order is live any more.
    pub async fn quiet(&self) {
        self.until("no live order", async |h: &Self| {
            h.broker.is_quiet() && h.orders().await.iter().all(|order| !order.state.is_live())
        })
        .await;
        // Fills that were told late are read within the idle round.
        self.elapse(Duration::from_millis(5_500)).await;
    }

    /// An operator's command; `None` if the gateway died before it answered.
    pub async fn try_command(&self, command: Command) -> Option<Result<Value, CommandError>> {
        let engine = self.running.as_ref()?.engine.clone();
        let actor = Actor::operator();
        self.drive(async move { engine.execute(command, &actor).await }).await
    }

    /// An operator's command that is carried out.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn command(&self, command: Command) -> Value {
        self.try_command(command).await.expect("the gateway lives").expect("it is carried out")
    }

    /// Opens an account; answers its identifier.
    pub async fn account(&self, name: &str) -> String {
        self.account_with(name, |_| {}).await
    }

    /// Opens an account that is changed before; answers its identifier.
    pub async fn account_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut AccountCreate),
    ) -> String {
        let mut new = AccountCreate {
            broker: "paper".to_owned(),
            name: name.to_owned(),
            cash: None,
            session: None,
            loss_reset: None,
        };
        change(&mut new);
        text(&self.command(Command::AccountCreate(new)).await, "id")
    }

    /// Makes a webhook that takes so many entries a second.
    pub async fn webhook(&self, name: &str, rate_per_s: u32) -> Hook {
        let new = WebhookCreate {
            name: name.to_owned(),
            allow: Vec::new(),
            preset: None,
            client_certificate: None,
            symbols: Vec::new(),
            dry_run: false,
            rate_per_s: Some(rate_per_s),
            max_age_s: None,
            forms: None,
            mapping: None,
        };
        let made = self.command(Command::WebhookCreate(new)).await;
        Hook { id: text(&made, "id"), token: text(&made, "token"), secret: text(&made, "secret") }
    }

    /// Makes a strategy; answers its identifier.
    pub async fn strategy(&self, new: StrategyCreate) -> String {
        text(&self.command(Command::StrategyCreate(new)).await, "id")
    }

    /// Sets a limit.
    pub async fn limit(&self, scope: &str, name: &str, value: &str) {
        let command = limit_set(scope, name, value);
        self.command(command).await;
    }

    /// Limits that let ordinary signals pass.
    pub async fn sane_limits(&self) {
        for (name, value) in [
            ("max_order_quantity", "10"),
            ("max_order_notional", "5000000"),
            ("max_position", "20"),
            ("price_collar_percent", "5"),
            ("max_orders_per_minute", "600"),
        ] {
            self.limit("org", name, value).await;
        }
    }

    /// Engages a halt; answers its identifier.
    pub async fn halt(&self, scope: Option<&str>, mode: &str) -> String {
        text(&self.command(halt_engage(scope, mode)).await, "id")
    }

    /// Ends a halt.
    pub async fn resume(&self, id: &str) {
        self.command(Command::HaltResume(ById { id: id.to_owned() })).await;
    }

    /// Sends a signal with the right secret in the header and waits for the answer.
    pub async fn send(&self, hook: &Hook, body: &Value) -> Heard {
        self.send_raw(raw(hook, body)).await
    }

    /// Sends a request as it is.
    pub async fn send_raw(&self, raw: RawSignal) -> Heard {
        let Some(running) = &self.running else { return Heard::Silence };
        let engine = running.engine.clone();
        let received = self.drive(async move { engine.receive(raw).await }).await;
        received.map_or(Heard::Silence, heard)
    }

    /// Sends several at once, so that they may share a transaction.
    ///
    /// # Panics
    ///
    /// When a request panics.
    pub async fn send_together(&self, requests: Vec<RawSignal>) -> Vec<Heard> {
        let Some(running) = &self.running else { return vec![Heard::Silence; requests.len()] };
        let engine = &running.engine;
        let waiting: Vec<_> = requests
            .into_iter()
            .map(|raw| {
                let engine = engine.clone();
                running.local.spawn_local(async move { heard(engine.receive(raw).await) })
            })
            .collect();
        let mut answers = Vec::new();
        for answer in waiting {
            let answer = self.drive(answer).await;
            answers.push(answer.map_or(Heard::Silence, |answer| answer.expect("no panic")));
        }
        answers
    }

    /// The broker's name for an account.
    #[must_use]
    pub fn broker_account(account: &str) -> &str {
        account.trim_start_matches("acc_")
    }

    /// Runs statements on the database file behind the gateway's back.
    ///
    /// # Panics
    ///
    /// When it is not SQLite, or the statements are wrong.
    pub fn sabotage(&self, sql: &str) {
        let Data::Sqlite(file) = &self.data else { panic!("only for SQLite") };
        rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
    }

    /// The same, as soon as the gateway is in the middle of no transaction.
    ///
    /// # Panics
    ///
    /// When it is not SQLite, or the statements are wrong.
    pub async fn sabotage_soon(&self, sql: &str) {
        let Data::Sqlite(file) = &self.data else { panic!("only for SQLite") };
        loop {
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.busy_timeout(Duration::ZERO).unwrap();
            match connection.execute_batch(sql) {
                Ok(()) => return,
                Err(error)
                    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {}
                Err(error) => panic!("{error}"),
            }
            self.elapse(Duration::from_millis(7)).await;
        }
    }

    /// The same on either database.
    pub async fn change_behind(&self, sql: &str) {
        match &self.data {
            Data::Sqlite(_) => self.sabotage_soon(sql).await,
            Data::Postgres(database) => self.wait_for(database.execute(sql)).await,
        }
    }

    fn write_ahead_log(&self) -> PathBuf {
        self.directory.join("tradewarden.db-wal")
    }

    /// The commits of this life that wrote something, by number from 1. Only for SQLite.
    pub fn commits_that_wrote(&self) -> Vec<u64> {
        self.life.commits_that_wrote(length_of(&self.write_ahead_log()))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends everything and takes the data away.
    pub async fn finish(mut self) {
        self.crash().await;
        self.store = None;
        let directory = std::mem::take(&mut self.directory);
        let _left_behind = std::fs::remove_dir_all(directory);
        let data = std::mem::replace(&mut self.data, Data::Sqlite(PathBuf::new()));
        if let Data::Postgres(database) = data {
            self.wait_for(database.drop_database()).await;
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.running = None;
        self.store = None;
        if !self.directory.as_os_str().is_empty() {
            let _left_behind = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Lets real time pass while a database server works, and simulated time go on beside it.
async fn pump() {
    loop {
        let (alive, silent) = mpsc::channel::<()>();
        let waited = tokio::task::spawn_blocking(move || {
            let _nothing = silent.recv_timeout(Duration::from_millis(1));
        });
        let _woken = waited.await;
        drop(alive);
        tokio::time::advance(Duration::from_millis(2)).await;
    }
}

fn heard(received: Received) -> Heard {
    match received {
        Received::Unauthenticated => Heard::Unauthenticated,
        Received::Unavailable(code) => Heard::Unavailable(code),
        Received::Answer(answer) => {
            answer.delivery.delivered();
            Heard::Answer(Reply {
                signal_id: answer.signal_id,
                status: answer.status,
                code: answer.code,
                message: answer.message,
                accounts: answer.accounts,
                field: answer.field,
                input: answer.input,
                limit: answer.limit,
            })
        }
    }
}

/// A member of a JSON object that is a text.
#[track_caller]
fn text(object: &Value, name: &str) -> String {
    object.get(name).and_then(Value::as_str).expect("a text member").to_owned()
}

fn length_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn new_directory() -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("tradewarden-simulation-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    // What a killed run with this process id left.
    let _nothing_there = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
