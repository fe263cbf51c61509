//! The journal: the one task that writes (C12). It takes what is waiting, judges it inside one
//! transaction, commits with a real sync, and answers all. A batch of one and a batch of hundreds
//! take the same path; the batch is what makes durable orders fast.
//!
//! Crash story: before the commit nothing has happened and nobody was answered; after it everything
//! is on disk, and an answer that was not heard is asked for again by the sender (signals, by their
//! keys) or found by reading live orders (dispatch). A failed sync ends the process (C14).

mod writer;

use crate::effects::Effects;
use crate::signal::{SignalOutcome, SignalWork};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tradewarden_domain::code::Code;
use tradewarden_store::{Error, Tx};

/// Requests that may wait; one more is told to come again.
const QUEUE_MAX: usize = 4_096;
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
