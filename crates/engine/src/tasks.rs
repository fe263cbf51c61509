//! The background tasks: started in one place, named, ended in order.

use crate::brackets::Keeper;
use crate::clock::ClockWatch;
use crate::dead_man::Watch;
use crate::dispatch::Dispatcher;
use crate::journal::{Fatal, JournalTask, Urgency};
use crate::lease::lead;
use crate::notice::Heard;
use crate::pulse::Pulse;
use crate::quotes::{CLOSES_EVERY, first_quotes, keep_closes, refresh_quotes_of};
use crate::reconcile::Reconciler;
use crate::unwind::{Closer, Emergencies, TakenBack, Unwinder};
use crate::{
    Shared, accesses, alerts, crowd, denials, funds, keys, ledger, local_halt, lockdown, loss,
    marks, once, orders, outbox, people, rolls, seals, usage, vault,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tradewarden_store::outbox::Kind;
use tradewarden_store::{Location, changes, directory, equities, signals};

const CROWDS_EVERY: Duration = Duration::from_secs(1);
const QUOTES_EVERY: Duration = Duration::from_millis(500);
const FUNDS_EVERY: Duration = Duration::from_secs(5);
/// What is heard so often is never too old for a replay.
const OTHER_FUNDS_EVERY: Duration = Duration::from_secs(30);
const FUNDS_WRITTEN_EVERY: Duration = Duration::from_secs(5);
const LOSSES_EVERY: Duration = Duration::from_secs(1);
const FILLS_EVERY: Duration = Duration::from_millis(100);
/// A leg follows what is held within a second (S9).
const BRACKETS_EVERY: Duration = Duration::from_millis(250);
const SILENCE_LOOKED_FOR_EVERY: Duration = Duration::from_secs(15);
const SEAL_EVERY: Duration = Duration::from_millis(150);
/// What another node changed is known within a second, the reading of it included.
const RELOAD_EVERY: Duration = Duration::from_millis(500);
const LEASE_EVERY: Duration = Duration::from_secs(2);
const DENIALS_EVERY: Duration = Duration::from_secs(1);
const LOCAL_HALTS_EVERY: Duration = Duration::from_millis(50);
const JOURNAL_LOCAL_HALTS_EVERY: Duration = Duration::from_secs(1);
const MESSAGES_EVERY: Duration = Duration::from_millis(500);
const UNWIND_EVERY: Duration = Duration::from_millis(50);
const LOCKDOWNS_EVERY: Duration = Duration::from_millis(250);
const DEAD_MEN_EVERY: Duration = Duration::from_secs(1);
const CLOCK_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
const EXPIRY_EVERY: Duration = Duration::from_millis(500);
const USAGE_EVERY: Duration = Duration::from_secs(1);
const KEYS_LOOKED_AT_EVERY: Duration = Duration::from_mins(10);
const OLD_MONTHS_EVERY: Duration = Duration::from_secs(1);
const ROLLED_EVERY: Duration = Duration::from_secs(1);
const KEY_SOURCE_ASKED_EVERY: Duration = Duration::from_secs(5);
const DATA_KEYS_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_mins(10);
const SEEN_EVERY: Duration = Duration::from_mins(1);
const KEYS_KEPT: Duration = Duration::from_hours(25);

/// Everything that runs beside the requests.
pub struct Tasks {
    shared: Arc<Shared>,
    journal: JournalTask,
    notices: Heard,
    location: Location,
}

impl Tasks {
    pub(crate) fn new(
        shared: Arc<Shared>,
        journal: JournalTask,
        notices: Heard,
        location: Location,
    ) -> Self {
        Self { shared, journal, notices, location }
    }

    /// Runs everything until `shutdown`, then seals what is left. An error means that durable data
    /// could not be written: the process must end (C14).
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Fatal> {
        let ended = journal_thread(self.journal, self.location, Arc::clone(&self.shared))?;
        run_beside(&self.shared, self.notices, shutdown, ended).await
    }

    /// The same with the journal on this thread: for simulations. Must run inside a `LocalSet`.
    pub async fn run_local(self, shutdown: impl Future<Output = ()>) -> Result<(), Fatal> {
        let (report, ended) = oneshot::channel();
        let (shared, location, journal) = (Arc::clone(&self.shared), self.location, self.journal);
        let _journal = tokio::task::spawn_local(async move {
            let _gone = report.send(journal.run(&location, &shared).await);
        });
        run_beside(&self.shared, self.notices, shutdown, ended).await
    }

    /// Runs only the journal until `shutdown`: for commands while no server runs.
    pub async fn run_quiet(self, shutdown: impl Future<Output = ()>) -> Result<(), Fatal> {
        let mut ended = journal_thread(self.journal, self.location, Arc::clone(&self.shared))?;
        lead(&self.shared).await;
        first_quotes(&self.shared).await;
        tokio::select! {
            ended = &mut ended => return ended.unwrap_or(Ok(())),
            () = shutdown => {}
        }
        finish(&self.shared, ended).await
    }
}

/// The journal has a thread of its own: SQLite's writes and syncs block it, and nothing else.
fn journal_thread(
    journal: JournalTask,
    location: Location,
    shared: Arc<Shared>,
) -> Result<oneshot::Receiver<Result<(), Fatal>>, Fatal> {
    let (report, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal(format!("the journal's thread did not start: {error}")))?;
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let outcome = runtime.block_on(journal.run(&location, &shared));
            let _gone = report.send(outcome);
        })
        .map_err(|error| Fatal(format!("the journal's thread did not start: {error}")))?;
    Ok(ended)
}

async fn run_beside(
    shared: &Arc<Shared>,
    notices: Heard,
    shutdown: impl Future<Output = ()>,
    mut ended: oneshot::Receiver<Result<(), Fatal>>,
) -> Result<(), Fatal> {
    lead(shared).await;
    first_quotes(shared).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(Dispatcher::new(Arc::clone(shared)).run(notices));
    spawn_for_each_broker(&mut tasks, shared);
    spawn_halts(&mut tasks, shared);
    tasks.spawn(keep_brackets(Arc::clone(shared)));
    tasks.spawn(watch_the_living(Arc::clone(shared)));
    tasks.spawn(watch_the_clock(Arc::clone(shared)));
    tasks.spawn(listen_for_silence(Arc::clone(shared)));
    tasks.spawn(every(Arc::clone(shared), CLOSES_EVERY, async |shared| {
        if shared.is_leader() {
            keep_closes(shared).await;
        }
    }));
    tasks.spawn(keep_marks(Arc::clone(shared)));
    tasks.spawn(every(Arc::clone(shared), FUNDS_WRITTEN_EVERY, async |shared| {
        funds::write(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), CROWDS_EVERY, async |shared| {
        crowd::look(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), LOSSES_EVERY, async |shared| {
        if shared.is_leader() {
            loss::round(shared).await;
        }
    }));
    tasks.spawn(every(Arc::clone(shared), SEAL_EVERY, async |shared| seal(shared).await));
    tasks.spawn(every(Arc::clone(shared), RELOAD_EVERY, async |shared| read_again(shared).await));
    tasks.spawn(every(Arc::clone(shared), SEEN_EVERY, async |shared| {
        people::note_seen(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), LEASE_EVERY, async |shared| lead(shared).await));
    tasks.spawn(every(Arc::clone(shared), DENIALS_EVERY, async |shared| {
        denials::record(shared).await;
        accesses::record(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), LOCAL_HALTS_EVERY, async |shared| {
        shared.local_halts.look(&shared.environment);
    }));
    tasks.spawn(every(Arc::clone(shared), JOURNAL_LOCAL_HALTS_EVERY, async |shared| {
        local_halt::journal(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), USAGE_EVERY, async |shared| usage::record(shared).await));
    tasks.spawn(every(Arc::clone(shared), KEYS_LOOKED_AT_EVERY, async |shared| {
        keys::inspect(shared).await;
    }));
    tasks.spawn(look_at_old_months(Arc::clone(shared)));
    tasks.spawn(roll_positions(Arc::clone(shared)));
    tasks.spawn(every(Arc::clone(shared), KEY_SOURCE_ASKED_EVERY, async |shared| {
        vault::watch::look(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), DATA_KEYS_LOOKED_AT_EVERY, async |shared| {
        if shared.is_leader() {
            vault::data_keys::look(shared).await;
            vault::watch::tell_older(shared).await;
        }
    }));
    tasks.spawn(every(Arc::clone(shared), PURGE_EVERY, async |shared| purge(shared).await));
    tasks.spawn(every(Arc::clone(shared), EXPIRY_EVERY, async |shared| {
        if shared.is_leader() {
            orders::expire(shared).await;
        }
    }));
    tasks.spawn(every(Arc::clone(shared), LOCKDOWNS_EVERY, async |shared| {
        if shared.is_leader() {
            lockdown::round(shared).await;
        }
    }));
    tasks.spawn(every(Arc::clone(shared), MESSAGES_EVERY, async |shared| {
        people::answer_requests(shared).await;
    }));
    tasks.spawn(every(Arc::clone(shared), MESSAGES_EVERY, async |shared| {
        alerts::tell(shared).await;
    }));
    // Each on its own: who carries one kind slowly holds up no other, and no notice an alert.
    for channel in shared.messengers.keys().copied() {
        for kind in [Kind::Alerts, Kind::Others] {
            tasks.spawn(every(Arc::clone(shared), MESSAGES_EVERY, async move |shared| {
                outbox::drain(shared, channel, kind).await;
            }));
        }
    }
    tokio::select! {
        ended = &mut ended => return ended.unwrap_or(Ok(())),
        // They have no end. Without one of them signals would be taken and not carried out.
        Some(lost) = tasks.join_next() => {
            let why = lost.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
            return Err(Fatal(format!("a background task was lost: {why}")));
        }
        () = shutdown => {}
    }
    tasks.shutdown().await;
    finish(shared, ended).await
}

/// Takes in what changed, and tells of what was changed past us.
async fn read_again(shared: &Arc<Shared>) {
    shared.reload().await;
    shared.look_at_people().await;
    seals::tell(shared).await;
    shared.tell_of_strangers().await;
}

async fn every(shared: Arc<Shared>, span: Duration, work: impl AsyncFn(&Arc<Shared>)) {
    loop {
        tokio::time::sleep(span).await;
        work(&shared).await;
    }
}

async fn look_at_old_months(shared: Arc<Shared>) {
    let mut old_months = rolls::OldMonths::new(Arc::clone(&shared));
    loop {
        tokio::time::sleep(OLD_MONTHS_EVERY).await;
        if shared.is_leader() {
            old_months.round().await;
        }
    }
}

async fn roll_positions(shared: Arc<Shared>) {
    let mut roller = rolls::Roller::new(Arc::clone(&shared));
    loop {
        tokio::time::sleep(ROLLED_EVERY).await;
        if shared.is_leader() {
            roller.round().await;
        }
    }
}

/// Each broker is asked by itself: one that is slow to answer holds up no other.
fn spawn_for_each_broker(tasks: &mut JoinSet<()>, shared: &Arc<Shared>) {
    for kind in shared.links.keys() {
        tasks.spawn(reconcile(Arc::clone(shared), kind.clone()));
        let (quoted, asked, others) = (kind.clone(), kind.clone(), kind.clone());
        tasks.spawn(every(Arc::clone(shared), QUOTES_EVERY, async move |shared| {
            refresh_quotes_of(shared, &quoted).await;
        }));
        tasks.spawn(every(Arc::clone(shared), FUNDS_EVERY, async move |shared| {
            funds::refresh(shared, &asked).await;
        }));
        tasks.spawn(every(Arc::clone(shared), OTHER_FUNDS_EVERY, async move |shared| {
            funds::refresh_others(shared, &others).await;
        }));
    }
}

async fn reconcile(shared: Arc<Shared>, kind: String) {
    let mut reconciler = Reconciler::new(Arc::clone(&shared), kind);
    loop {
        tokio::time::sleep(FILLS_EVERY).await;
        if shared.is_leader() {
            reconciler.round().await;
        }
    }
}

/// Carries out what halts that cancel and close ask for.
fn spawn_halts(tasks: &mut JoinSet<()>, shared: &Arc<Shared>) {
    let taken_back = Arc::new(TakenBack::default());
    tasks.spawn(cancel_in_emergencies(Arc::clone(shared)));
    tasks.spawn(take_back(Arc::clone(shared), Arc::clone(&taken_back)));
    tasks.spawn(close(Arc::clone(shared), taken_back));
}

async fn cancel_in_emergencies(shared: Arc<Shared>) {
    let mut emergencies = Emergencies::new(shared);
    loop {
        tokio::time::sleep(UNWIND_EVERY).await;
        // Whether this node leads is not known without the database either.
        emergencies.round();
    }
}

async fn take_back(shared: Arc<Shared>, taken_back: Arc<TakenBack>) {
    let mut unwinder = Unwinder::new(Arc::clone(&shared), taken_back);
    loop {
        tokio::time::sleep(UNWIND_EVERY).await;
        if shared.is_leader() {
            unwinder.round().await;
        }
    }
}

async fn close(shared: Arc<Shared>, taken_back: Arc<TakenBack>) {
    let mut closer = Closer::new(Arc::clone(&shared), taken_back);
    loop {
        tokio::time::sleep(UNWIND_EVERY).await;
        if shared.is_leader() {
            closer.round().await;
        }
    }
}

async fn listen_for_silence(shared: Arc<Shared>) {
    let mut pulse = Pulse::default();
    loop {
        tokio::time::sleep(SILENCE_LOOKED_FOR_EVERY).await;
        if shared.is_leader() {
            pulse.look(&shared).await;
        }
    }
}

async fn keep_brackets(shared: Arc<Shared>) {
    let mut keeper = Keeper::new(Arc::clone(&shared));
    loop {
        tokio::time::sleep(BRACKETS_EVERY).await;
        if shared.is_leader() && shared.has_recovered() {
            keeper.round().await;
        }
    }
}

/// Keeps marks of what is held.
async fn keep_marks(shared: Arc<Shared>) {
    let mut keeper = marks::Keeper::default();
    loop {
        tokio::time::sleep(marks::LOOKED_AT_EVERY).await;
        if shared.is_leader() {
            keeper.round(&shared).await;
        }
    }
}

/// Tells people when the machine's clock was set back.
async fn watch_the_clock(shared: Arc<Shared>) {
    let mut watch = ClockWatch::default();
    loop {
        tokio::time::sleep(CLOCK_LOOKED_AT_EVERY).await;
        watch.look(&shared).await;
    }
}

/// Engages the halts of dead-man switches that nobody renews.
async fn watch_the_living(shared: Arc<Shared>) {
    let mut watch = Watch::new(shared);
    loop {
        tokio::time::sleep(DEAD_MEN_EVERY).await;
        watch.look().await;
    }
}

async fn seal(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        return;
    }
    loop {
        match ledger::seal(shared).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error, "the audit log was not sealed");
                return;
            }
        }
    }
}

/// Seals what is left, and lets the journal close the database.
async fn finish(
    shared: &Arc<Shared>,
    ended: oneshot::Receiver<Result<(), Fatal>>,
) -> Result<(), Fatal> {
    denials::record(shared).await;
    usage::record(shared).await;
    seal(shared).await;
    shared.journal.stop().await;
    ended.await.unwrap_or(Ok(()))
}

async fn purge(shared: &Arc<Shared>) {
    people::purge(shared).await;
    people::renew(shared).await;
    once::purge(shared).await;
    outbox::purge(shared).await;
    alerts::purge(shared).await;
    let now = shared.environment.now();
    shared.nonces.tidy(now);
    shared.usage.tidy(now);
    let purged = shared
        .journal
        .write(Urgency::Soon, async move |tx, _effects| {
            usage::purge(tx, now).await?;
            changes::forget(tx, changes::KEPT).await?;
            equities::forget(tx, now.minus(marks::KEPT_FOR)).await?;
            directory::forget_past_days(tx, now.minus(marks::KEPT_FOR)).await?;
            signals::purge_keys(tx, now.minus(KEYS_KEPT)).await
        })
        .await;
    if let Err(error) = purged {
        tracing::error!(error = %error.0, "old duplicate keys were not removed");
    }
}
