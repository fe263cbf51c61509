//! The journal: the one task that writes (C12). It takes what is waiting, judges it inside one
//! transaction, commits with a real sync, and answers all. A batch of one and a batch of hundreds
//! take the same path; the batch is what makes durable orders fast.
//!
//! Crash story: before the commit nothing has happened and nobody was answered; after it everything
//! is on disk, and an answer that was not heard is asked for again by the sender (signals, by their
//! keys) or found by reading live orders (dispatch). A failed sync ends the process (C14).

use crate::Shared;
use crate::actor::Actor;
use crate::book::Effects;
use crate::intake::{AccountResult, NotAdmitted, SignalStatus};
use crate::judge;
use crate::once::OnceKey;
use crate::seals;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::signal::Signal;
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::idempotency::Claim;
use tradewarden_store::{Error, Kind, Location, Tx, Writer};

/// Requests that may wait; one more is told to come again.
const QUEUE_MAX: usize = 4_096;
/// Requests of one transaction.
const BATCH_MAX: usize = 256;
/// How long work that nobody waits for lets itself be carried along by a signal.
const RIDE_ALONG: Duration = Duration::from_millis(1);
const BUSY_RETRIES: usize = 3;
/// How long after a batch that was not written it is tried whether one can be, if nobody asks for any.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(500);

const UNWRITTEN: &str = "it could not be written to disk";

/// A signal on its way into the journal.
pub(crate) struct SignalWork {
    pub(crate) signal_id: Id<id::Signal>,
    pub(crate) received_at: Timestamp,
    pub(crate) org_id: Id<id::Org>,
    pub(crate) source: Source,
    /// Which of the source's strategies it means; all of them if it names none.
    pub(crate) strategy_id: Option<Id<id::Strategy>>,
    /// What the request of a signal has that a key signed.
    pub(crate) signed: Option<Box<Signed>>,
    pub(crate) admission: Admission,
    pub(crate) dry_run: bool,
    pub(crate) answer_was_lost: bool,
    /// The stated time of sending, where it lies so far ahead that it counts as absent (S13).
    pub(crate) sent_ahead: Option<Timestamp>,
    pub(crate) body: Vec<u8>,
    pub(crate) body_sha256: [u8; 32],
    pub(crate) trace: Trace,
}

/// What a signed request with a signal claims beside it.
pub(crate) struct Signed {
    /// The key, with the request's nonce.
    pub(crate) actor: Actor,
    /// The caller's own key for the request.
    pub(crate) once: Option<(Claim, OnceKey)>,
}

/// Whether a signal may be judged.
pub(crate) enum Admission {
    /// It may.
    Admitted(Box<Signal>),
    /// It is only stored.
    Refused(NotAdmitted),
}

impl Admission {
    /// Whether the body itself asks for judgement only.
    pub(crate) fn asks_dry_run(&self) -> bool {
        matches!(self, Self::Admitted(signal) if signal.dry_run)
    }

    /// Whether the signal by its own words only reduces.
    pub(crate) fn reduces(&self) -> bool {
        match self {
            Self::Admitted(signal) => signal.only_reduces(),
            Self::Refused(no) => no.reduces,
        }
    }
}

/// What the journal answers to a signal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SignalOutcome {
    pub(crate) signal_id: Id<id::Signal>,
    pub(crate) status: SignalStatus,
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
    pub(crate) accounts: Vec<AccountResult>,
    pub(crate) field: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) limit: Option<String>,
    pub(crate) retry_after_s: Option<u64>,
}

/// Whether somebody waits for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A person or a halt waits.
    Now,
    /// It may wait for a signal to share the sync with.
    Soon,
}

/// Why a step did not become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotWritten(pub(crate) String);

/// A change other than a signal. It may be run more than once; only the last run is committed.
trait Step: Send {
    fn run<'a, 'w: 'a>(
        &'a mut self,
        tx: &'a mut Tx<'w>,
        effects: &'a mut Effects,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

    fn finish(self: Box<Self>, written: Result<(), NotWritten>);
}

enum Work {
    Signal(Box<SignalWork>, oneshot::Sender<Result<SignalOutcome, Code>>),
    Step(Box<dyn Step>, Urgency),
    /// Nothing after this is written.
    Stop,
}

struct StepOf<F, T> {
    change: F,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T, NotWritten>>,
}

impl<F, T> Step for StepOf<F, T>
where
    F: AsyncFnMut(&mut Tx<'_>, &mut Effects) -> Result<T, Error> + Send,
    T: Send,
{
    fn run<'a, 'w: 'a>(
        &'a mut self,
        tx: &'a mut Tx<'w>,
        effects: &'a mut Effects,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>> {
        Box::pin(async move {
            self.answer = Some((self.change)(tx, effects).await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, written: Result<(), NotWritten>) {
        let missing = || NotWritten("the step was not run".to_owned());
        let Self { answer, reply, .. } = *self;
        // Whoever asked may have gone away.
        let _gone = reply.send(written.and_then(|()| answer.ok_or_else(missing)));
    }
}

/// The way into the journal.
#[derive(Clone)]
pub(crate) struct Journal {
    queue: mpsc::Sender<Work>,
}

/// The writing end, before it runs.
pub(crate) struct JournalTask {
    queue: mpsc::Receiver<Work>,
}

/// A new journal.
pub(crate) fn journal() -> (Journal, JournalTask) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    (Journal { queue: sender }, JournalTask { queue: receiver })
}

impl Journal {
    /// Journals a signal. When this answers, the answer is durable.
    pub(crate) async fn signal(&self, work: SignalWork) -> Result<SignalOutcome, Code> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Work::Signal(Box::new(work), reply)) {
            Ok(()) => answer.await.unwrap_or(Err(Code::NotDurable)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Code::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Code::NotDurable),
        }
    }

    /// Ends the journal once everything before this is written.
    pub(crate) async fn stop(&self) {
        // An error means that it has ended already.
        let _ended_already = self.queue.send(Work::Stop).await;
    }

    /// Makes a change durable and answers what it made.
    pub(crate) async fn write<T, F>(&self, urgency: Urgency, change: F) -> Result<T, NotWritten>
    where
        T: Send + 'static,
        F: AsyncFnMut(&mut Tx<'_>, &mut Effects) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let step = StepOf { change, answer: None, reply };
        let closed = || NotWritten("the journal has stopped".to_owned());
        self.queue.send(Work::Step(Box::new(step), urgency)).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

/// What happens to a commit. Production always proceeds; the simulation crashes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// It is carried out.
    Proceed,
    /// The process dies before it.
    DieBefore,
    /// It is carried out and the process dies before it hears so.
    DieAfter,
}

/// Decides about every commit.
pub type Fate = Arc<dyn Fn() -> CommitFate + Send + Sync>;

/// Durable data could not be written: the process must end.
#[derive(Debug)]
pub struct Fatal(pub(crate) String);

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// Whether anybody can still ask for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Somebody,
    Nobody,
}

impl Asks {
    const fn of(received: usize) -> Self {
        if received == 0 { Self::Nobody } else { Self::Somebody }
    }
}

impl JournalTask {
    /// Writes until it is told to stop, or durable data cannot be written.
    pub(crate) async fn run(mut self, location: &Location, shared: &Shared) -> Result<(), Fatal> {
        let opened = Writer::open(location).await;
        let mut writer = opened.map_err(|error| Fatal(error.to_string()))?;
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            batch.clear();
            let asks = if shared.is_writable() {
                Asks::of(self.queue.recv_many(&mut batch, BATCH_MAX).await)
            } else {
                self.after_failure(&mut batch).await
            };
            if asks == Asks::Nobody {
                return Ok(());
            }
            if !batch.is_empty() && batch.iter().all(Work::may_ride_along) {
                self.wait_for_company(&mut batch).await;
            }
            let stop = batch.iter().position(|work| matches!(work, Work::Stop));
            if let Some(place) = stop {
                batch.truncate(place);
            }
            write_batch(&mut writer, shared, std::mem::take(&mut batch)).await?;
            if stop.is_some() {
                return Ok(());
            }
        }
    }

    /// After a batch that was not written: the signals that waited behind it are answered at once, so
    /// that their senders hear of it before they give up, and send again. Everything else is tried.
    /// Nothing may be left to try, and the batch that is written then tells whether one can be.
    async fn after_failure(&mut self, batch: &mut Vec<Work>) -> Asks {
        while batch.len() < BATCH_MAX {
            match self.queue.try_recv() {
                Ok(signal @ Work::Signal(..)) => signal.fail(UNWRITTEN),
                Ok(work) => batch.push(work),
                Err(_) => break,
            }
        }
        if !batch.is_empty() {
            return Asks::Somebody;
        }
        let next = self.queue.recv_many(batch, BATCH_MAX);
        let came = tokio::time::timeout(TRIED_AGAIN_AFTER, next).await;
        came.map_or(Asks::Somebody, Asks::of)
    }

    /// Lets work that nobody waits for wait a moment for a signal to share the sync with.
    async fn wait_for_company(&mut self, batch: &mut Vec<Work>) {
        let company = async {
            while batch.len() < BATCH_MAX {
                let Some(work) = self.queue.recv().await else { return };
                let alone = work.may_ride_along();
                batch.push(work);
                if !alone {
                    return;
                }
            }
        };
        // Either somebody came or the moment has passed; both are fine.
        let _passed = tokio::time::timeout(RIDE_ALONG, company).await;
        while batch.len() < BATCH_MAX {
            let Ok(work) = self.queue.try_recv() else { return };
            batch.push(work);
        }
    }
}

impl Work {
    const fn may_ride_along(&self) -> bool {
        matches!(self, Self::Step(_, Urgency::Soon))
    }

    fn fail(self, reason: &str) {
        match self {
            Self::Signal(_, reply) => {
                let _gone = reply.send(Err(Code::NotDurable));
            }
            Self::Step(step, _) => step.finish(Err(NotWritten(reason.to_owned()))),
            Self::Stop => {}
        }
    }
}

/// Writes a batch; if one statement fails for what it was given, each half alone, and so on, so that
/// one bad request never fails its neighbours and costs two transactions for each halving (C13).
async fn write_batch(writer: &mut Writer, shared: &Shared, batch: Vec<Work>) -> Result<(), Fatal> {
    // The last one is the next to be written.
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        if part.is_empty() && shared.is_writable() {
            continue;
        }
        let error = match write_together(writer, shared, &mut part).await {
            Ok(answers) => {
                shared.set_writable(true);
                answer_all(part, answers);
                continue;
            }
            Err(Failed::Fatal(fatal)) => return Err(fatal),
            Err(Failed::Error(error)) => error,
        };
        let requests = part.len();
        if requests == 0 {
            tracing::debug!(error = %error, "still nothing can be written");
            continue;
        }
        if requests > 1 && matches!(error.kind(), Kind::Broken | Kind::Exists) {
            tracing::warn!(error = %error, requests, "a batch failed and is written in halves");
            let second = part.split_off(requests.div_ceil(2));
            parts.push(second);
            parts.push(part);
            continue;
        }
        tracing::error!(error = %error, requests, "a batch was not written");
        // What one request was given may be what is wrong; anything else stands in everybody's way.
        shared.set_writable(matches!(error.kind(), Kind::Broken | Kind::Exists));
        for work in part {
            work.fail(UNWRITTEN);
        }
        shared.resync();
    }
    Ok(())
}

enum Failed {
    Error(Error),
    Fatal(Fatal),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if error.kind() == Kind::Fatal {
            Self::Fatal(Fatal(format!("durable data cannot be written: {error}")))
        } else {
            Self::Error(error)
        }
    }
}

fn answer_all(batch: Vec<Work>, outcomes: Vec<Result<SignalOutcome, Code>>) {
    let mut outcomes = outcomes.into_iter();
    for work in batch {
        match work {
            Work::Signal(_, reply) => {
                let _gone = reply.send(outcomes.next().unwrap_or(Err(Code::NotDurable)));
            }
            Work::Step(step, _) => step.finish(Ok(())),
            Work::Stop => {}
        }
    }
}

/// Runs the whole batch in one transaction, again when another writer was in the way.
async fn write_together(
    writer: &mut Writer,
    shared: &Shared,
    batch: &mut [Work],
) -> Result<Vec<Result<SignalOutcome, Code>>, Failed> {
    let mut tries = 0_usize;
    loop {
        tries = tries.saturating_add(1);
        match write_once(writer, shared, batch).await {
            Err(Failed::Error(error)) if tries <= BUSY_RETRIES && error.kind() == Kind::Busy => {
                tracing::debug!(error = %error, tries, "a batch is written again");
            }
            outcome => return outcome,
        }
    }
}

async fn write_once(
    writer: &mut Writer,
    shared: &Shared,
    batch: &mut [Work],
) -> Result<Vec<Result<SignalOutcome, Code>>, Failed> {
    let mut effects = Effects::default();
    let mut tx = writer.begin().await?;
    let mut signals = Vec::new();
    for work in batch.iter_mut() {
        match work {
            Work::Signal(signal, _) => signals.push(&**signal),
            Work::Step(step, _) => step.run(&mut tx, &mut effects).await?,
            Work::Stop => {}
        }
    }
    let outcomes = judge::judge(&mut tx, shared, &signals, &mut effects).await?;
    let entered = seals::enter(&mut tx, &shared.environment, &shared.row_sealer).await?;
    effects.entries = effects.entries.saturating_add(entered);
    let died = || Failed::Fatal(Fatal("the process died at a commit".to_owned()));
    match (shared.fate)() {
        CommitFate::Proceed => tx.commit().await?,
        CommitFate::DieBefore => return Err(died()),
        CommitFate::DieAfter => {
            tx.commit().await?;
            return Err(died());
        }
    }
    shared.after_commit(effects);
    Ok(outcomes)
}
