//! The task that owns the exchange and its journal, and the desk where commands are handed in.

use super::claim::Claim;
use super::fault::{Delivery, Fault, Faults};
use super::file::{Journal, PaperError};
use super::link::Lost;
use super::message::{Command, Reply};
use super::record::Record;
use super::state::{Applied, PaperExchange, Twist};
use crate::port::Placement;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tradewarden_domain::time::Clock;

/// Commands that wait for the task; more wait for a place.
const QUEUE_MAX: usize = 4_096;
/// Commands that share one sync.
const GROUP_MAX: usize = 256;

/// How a paper exchange is set up.
#[derive(Debug, Clone, Copy)]
pub struct PaperSettings {
    /// Where synthetic prices come from; the same seed makes the same chart.
    pub seed: u64,
    /// Beyond so many bytes the journal is compacted.
    pub compact_at_bytes: u64,
}

impl Default for PaperSettings {
    fn default() -> Self {
        Self { seed: 1, compact_at_bytes: Journal::COMPACT_AT }
    }
}

/// The owner of the exchange. It blocks on the disk, so it runs on a thread of its own.
pub struct PaperTask {
    exchange: PaperExchange,
    journal: Journal,
    clock: Arc<dyn Clock>,
    faults: Faults,
    queue: mpsc::Receiver<Request>,
}

/// A command and where its answer goes.
struct Request {
    command: Command,
    claim: Claim,
    answer: oneshot::Sender<Delivered>,
}

/// An answer and how it travels.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) reply: Reply,
    pub(crate) delivery: Delivery,
}

impl PaperTask {
    /// Loads the exchange of `directory` (made if it is not there); the desk hands commands to the
    /// task.
    pub fn open(
        directory: &Path,
        settings: PaperSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, PaperDesk), PaperError> {
        let (journal, exchange) =
            Journal::open(directory, settings.seed, settings.compact_at_bytes)?;
        let (hand_in, queue) = mpsc::channel(QUEUE_MAX);
        let task = Self { exchange, journal, clock, faults: Faults::default(), queue };
        Ok((task, PaperDesk { queue: hand_in }))
    }

    /// Runs until every desk is gone (`Ok`) or the journal fails (`Err`). After an error nothing
    /// more is answered: those who wait hear that they have not heard.
    ///
    /// It must run on a thread of its own: it panics on a thread of the runtime.
    pub fn run_blocking(mut self) -> Result<(), PaperError> {
        while let Some(first) = self.queue.blocking_recv() {
            self.group(first)?;
        }
        Ok(())
    }

    /// Does what is in the queue now, without waiting; returns how many commands there were. For
    /// tests that run everything on one thread.
    pub fn run_queued(&mut self) -> Result<usize, PaperError> {
        let mut done = 0_usize;
        while let Ok(first) = self.queue.try_recv() {
            done = done.saturating_add(self.group(first)?);
        }
        Ok(done)
    }

    /// Does a group of commands: apply all, sync once, answer all.
    ///
    /// A crash before the sync ends leaves none of the group or, if the frame was whole, all of
    /// it, and nobody was answered. A crash after it leaves all of it, and some were answered.
    fn group(&mut self, first: Request) -> Result<usize, PaperError> {
        let mut records = Vec::new();
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(Request { command, claim, answer }) = next {
            // Whoever gave up waiting was told that nothing was sent.
            if claim.take() {
                answers.push((self.one(command, &mut records)?, answer));
            }
            next = if answers.len() < GROUP_MAX { self.queue.try_recv().ok() } else { None };
        }
        if !records.is_empty() {
            self.journal.append(&records)?;
        }
        let count = answers.len();
        for (delivered, answer) in answers {
            // Who does not wait any more has its own word for that.
            drop(answer.send(delivered));
        }
        if self.journal.is_long() {
            self.journal.compact(&mut self.exchange, self.clock.now())?;
        }
        Ok(count)
    }

    fn one(
        &mut self,
        command: Command,
        records: &mut Vec<Record>,
    ) -> Result<Delivered, PaperError> {
        let at_once = |reply| Delivered { reply, delivery: Delivery::AtOnce };
        match command {
            Command::Inject(injection) => {
                let armed = self.faults.arm(injection);
                let full = || Reply::refused("too_many_faults", "at most 64 are armed at once");
                return Ok(at_once(if armed { Reply::Done } else { full() }));
            }
            Command::ClearFaults => {
                self.faults.clear();
                return Ok(at_once(Reply::Done));
            }
            _ => {}
        }
        let fault = self.faults.strike(&command);
        let twist = fault.map_or(Twist::None, Fault::twist);
        let Applied { records: new, mut reply } =
            self.exchange.apply(command, self.clock.now(), twist)?;
        records.extend(new);
        if fault == Some(Fault::DuplicateFillReport) {
            report_twice(&mut reply);
        }
        Ok(Delivered { reply, delivery: fault.map_or(Delivery::AtOnce, Fault::delivery) })
    }
}

/// Repeats the last fill of an answer.
fn report_twice(reply: &mut Reply) {
    let fills = match reply {
        Reply::Placement(Placement::Accepted { fills, .. }) => fills,
        Reply::Fills(page) => &mut page.items,
        _ => return,
    };
    fills.extend(fills.last().cloned());
}

/// Where commands are handed in, inside the process. The task ends when the last desk is gone.
#[derive(Debug, Clone)]
pub struct PaperDesk {
    queue: mpsc::Sender<Request>,
}

impl PaperDesk {
    /// Hands a command in; waits for a place in the queue. `Err` if there is no task any more.
    pub(crate) async fn hand_in(
        &self,
        command: Command,
        claim: Claim,
    ) -> Result<oneshot::Receiver<Delivered>, Lost> {
        let gone = |_| Lost::NotSent { why: "the paper exchange has stopped".to_owned() };
        let place = self.queue.reserve().await.map_err(gone)?;
        let (answer, heard) = oneshot::channel();
        place.send(Request { command, claim, answer });
        Ok(heard)
    }

    /// Asks and waits for the answer, at most so long.
    pub async fn ask(&self, command: Command, deadline: Duration) -> Result<Reply, Lost> {
        let claim = Claim::default();
        let conversation = async {
            let heard = self.hand_in(command, claim.clone()).await?;
            let delivered = heard.await.map_err(|_| claim.lost("the paper exchange stopped"))?;
            match delivered.delivery {
                Delivery::AtOnce => Ok(delivered.reply),
                Delivery::After(delay) => {
                    sleep(delay).await;
                    Ok(delivered.reply)
                }
                Delivery::Silence => Err(Lost::unknown("the answer was lost")),
                Delivery::HangUp => Err(Lost::unknown("the connection ended before the answer")),
            }
        };
        let late = |_| Err(claim.lost("no answer before the deadline"));
        timeout(deadline, conversation).await.unwrap_or_else(late)
    }
}

/// Has resting orders looked at, again and again.
#[derive(Debug)]
pub struct PaperTicker {
    desk: PaperDesk,
    period: Duration,
}

impl PaperTicker {
    /// A ticker of that period; 200 ms is usual.
    pub const fn new(desk: PaperDesk, period: Duration) -> Self {
        Self { desk, period }
    }

    /// Runs until the task is gone. A tick that takes longer than the period delays the next.
    pub async fn run(self) {
        let mut beat = interval(self.period.max(Duration::from_millis(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let Ok(heard) = self.desk.hand_in(Command::Tick, Claim::default()).await else {
                return;
            };
            if heard.await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::state::tests::order;
    use std::path::PathBuf;
    use tradewarden_domain::time::Timestamp;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_micros(1_795_348_800_000_000)
        }

        fn ahead(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }
    }

    fn opened(name: &str) -> (PathBuf, PaperTask, PaperDesk) {
        let directory = std::env::temp_dir().join(format!("tw-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        let (task, desk) =
            PaperTask::open(&directory, PaperSettings::default(), Arc::new(Still)).unwrap();
        (directory, task, desk)
    }

    fn open_account() -> Command {
        let (account, currency) = (order("a").account, "USD".to_owned());
        Command::OpenAccount { account, cash: "1000".parse().unwrap(), currency }
    }

    const SOON: Duration = Duration::from_millis(50);

    /// A failed write ends the task; who was waiting has not heard, who comes later is not sent.
    #[tokio::test]
    async fn a_failed_write_answers_nobody() {
        let (directory, mut task, desk) = opened("dying-disk");
        let asked = tokio::join!(desk.ask(open_account(), SOON), async { task.run_queued() });
        assert_eq!((asked.0, asked.1.unwrap()), (Ok(Reply::Done), 1));
        task.journal.break_disk();
        let place = || Command::Place(order("a"));
        let (placed, read, failed) =
            tokio::join!(desk.ask(place(), SOON), desk.ask(Command::Counts, SOON), async {
                let failed = task.run_queued();
                drop(task);
                failed
            });
        assert!(matches!(failed, Err(PaperError::Io { .. })), "{failed:?}");
        // The read came after the placement in the group: its answer told of what is not durable.
        assert!(matches!(placed, Err(Lost::Unknown { .. })), "{placed:?}");
        assert!(matches!(read, Err(Lost::Unknown { .. })), "{read:?}");
        let later = desk.ask(place(), SOON).await;
        assert!(matches!(later, Err(Lost::NotSent { .. })), "{later:?}");
        std::fs::remove_dir_all(directory).unwrap();
    }

    /// What was given up before its turn was not sent, and is not done afterwards.
    #[tokio::test]
    async fn what_was_given_up_is_never_done() {
        let (directory, mut task, desk) = opened("given-up");
        let asked = tokio::join!(desk.ask(open_account(), SOON), async { task.run_queued() });
        assert_eq!(asked.0, Ok(Reply::Done));
        let placed = desk.ask(Command::Place(order("a")), SOON).await;
        assert!(matches!(placed, Err(Lost::NotSent { .. })), "{placed:?}");
        task.run_queued().unwrap();
        assert_eq!(task.exchange.times_received("a"), 0);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
