//! The gateway's end of the socket: one connection, many requests under way, made again when lost.

use super::claim::Claim;
use super::link::Lost;
use super::message::{Command, Reply};
use super::wire::{Answered, Asked, Frames, encode};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Requests that wait for the connection.
const QUEUE_MAX: usize = 1_024;
/// Beyond so many unanswered requests those are forgotten for which nobody waits any more.
const PENDING_MAX: usize = 4_096;

/// A paper exchange in another process.
#[derive(Debug, Clone)]
pub struct PaperSocket {
    queue: mpsc::Sender<Outgoing>,
}

/// What keeps the connection; the caller runs it.
#[derive(Debug)]
pub struct PaperSocketDriver {
    path: PathBuf,
    queue: mpsc::Receiver<Outgoing>,
    last_id: u64,
}

#[derive(Debug)]
struct Outgoing {
    command: Command,
    claim: Claim,
    answer: oneshot::Sender<Result<Reply, Lost>>,
}

type Pending = Mutex<HashMap<u64, oneshot::Sender<Result<Reply, Lost>>>>;

/// Whether the connection may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    ConnectionLost,
    NobodyAsks,
}

impl PaperSocket {
    /// The exchange behind the socket at `path`. Nothing happens before the driver runs.
    pub fn new(path: PathBuf) -> (Self, PaperSocketDriver) {
        let (hand_in, queue) = mpsc::channel(QUEUE_MAX);
        (Self { queue: hand_in }, PaperSocketDriver { path, queue, last_id: 0 })
    }

    /// Asks and waits for the answer, at most so long.
    pub(crate) async fn ask(&self, command: Command, deadline: Duration) -> Result<Reply, Lost> {
        let claim = Claim::default();
        let conversation = async {
            let (answer, heard) = oneshot::channel();
            let gone = "the connection's driver has stopped";
            let outgoing = Outgoing { command, claim: claim.clone(), answer };
            self.queue.send(outgoing).await.map_err(|_| claim.lost(gone))?;
            heard.await.map_err(|_| claim.lost("the connection was lost"))?
        };
        let late = |_| Err(claim.lost("no answer before the deadline"));
        timeout(deadline, conversation).await.unwrap_or_else(late)
    }
}

impl PaperSocketDriver {
    /// Runs until every [`PaperSocket`] is gone. Connects when there is something to send.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            if first.answer.is_closed() {
                continue;
            }
            match UnixStream::connect(&self.path).await {
                Ok(stream) => {
                    if self.converse(stream, first).await == Ended::NobodyAsks {
                        return;
                    }
                }
                Err(cause) => {
                    let why = format!("cannot connect to {}: {cause}", self.path.display());
                    drop(first.answer.send(Err(Lost::NotSent { why })));
                }
            }
        }
    }

    /// One connection, from its first request to its end.
    async fn converse(&mut self, stream: UnixStream, first: Outgoing) -> Ended {
        let (reading, writing) = stream.into_split();
        let pending = Pending::default();
        let ended = tokio::select! {
            ended = self.write(writing, first, &pending) => ended,
            () = read(reading, &pending) => Ended::ConnectionLost,
        };
        let under_way =
            std::mem::take(&mut *pending.lock().unwrap_or_else(PoisonError::into_inner));
        for answer in under_way.into_values() {
            drop(answer.send(Err(Lost::unknown("the connection was lost before the answer"))));
        }
        ended
    }

    async fn write(
        &mut self,
        mut writing: OwnedWriteHalf,
        first: Outgoing,
        pending: &Pending,
    ) -> Ended {
        let mut next = Some(first);
        while let Some(Outgoing { command, claim, answer }) = next {
            // Whoever gave up waiting was told that nothing was sent.
            if claim.take() {
                self.last_id = self.last_id.wrapping_add(1);
                let id = self.last_id;
                match encode(&Asked { id, command }) {
                    Err(cause) => drop(answer.send(Err(Lost::NotSent { why: cause.to_string() }))),
                    Ok(bytes) => {
                        expect(pending, id, answer);
                        if !send(&mut writing, &bytes, id, pending).await {
                            return Ended::ConnectionLost;
                        }
                    }
                }
            }
            next = self.queue.recv().await;
        }
        Ended::NobodyAsks
    }
}

/// Notes who waits for answer `id`.
fn expect(pending: &Pending, id: u64, answer: oneshot::Sender<Result<Reply, Lost>>) {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    if pending.len() >= PENDING_MAX {
        pending.retain(|_, answer| !answer.is_closed());
    }
    pending.insert(id, answer);
}

/// Writes one frame; `false` when the connection is lost. If its first byte was refused, the
/// request provably was not sent.
async fn send(writing: &mut OwnedWriteHalf, bytes: &[u8], id: u64, pending: &Pending) -> bool {
    let first = match writing.write(bytes).await {
        Ok(count) => count,
        Err(cause) => {
            let unsent = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let why = format!("the connection refused the first byte: {cause}");
            if let Some(answer) = unsent {
                drop(answer.send(Err(Lost::NotSent { why })));
            }
            return false;
        }
    };
    writing.write_all(bytes.get(first..).unwrap_or_default()).await.is_ok()
}

/// Hands answers to those who wait, until the connection ends.
async fn read(reading: OwnedReadHalf, pending: &Pending) {
    let mut frames = Frames::new(reading);
    while let Ok(Some(Answered { id, reply })) = frames.next().await {
        let waits = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(answer) = waits {
            drop(answer.send(Ok(reply)));
        }
    }
}
