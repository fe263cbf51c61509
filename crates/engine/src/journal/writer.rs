//! The one task that writes: what is waiting is judged inside one transaction, committed with a real
//! sync, and answered.

use super::{CommitFate, Fatal, JournalTask, NotWritten, Urgency, Work};
use crate::effects::Effects;
use crate::signal::SignalOutcome;
use crate::{Shared, judge, seals};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_store::{Error, Kind, Location, Writer};

/// Requests of one transaction.
const BATCH_MAX: usize = 256;

/// How long work that nobody waits for lets itself be carried along by a signal.
const RIDE_ALONG: Duration = Duration::from_millis(1);

const BUSY_RETRIES: usize = 3;

/// How long after a batch that was not written it is tried whether one can be, if nobody asks for any.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(500);

const UNWRITTEN: &str = "it could not be written to disk";

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
                // Whoever copies the file of a gateway that stopped has everything.
                if let Err(error) = writer.fold() {
                    tracing::warn!(error = %error, "the write-ahead log stays beside the database");
                }
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
