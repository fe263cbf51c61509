//! The exchange's end of the socket, for the process that only is a paper exchange.

use super::claim::Claim;
use super::fault::Delivery;
use super::task::{Delivered, PaperDesk};
use super::wire::{Answered, Asked, Frames, encode};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How much one server takes on.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Connections at once; one more is closed as soon as it is accepted.
    pub connections_max: usize,
    /// Requests under way on one connection; more wait in the socket.
    pub requests_max: usize,
    /// A client that does not take its answers for so long is disconnected.
    pub write_timeout: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self { connections_max: 64, requests_max: 1_024, write_timeout: Duration::from_secs(5) }
    }
}

/// Listens at `path`, readable and writable by the owner only from the first moment. What was
/// there before is replaced: who calls this has the journal's lock.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

/// Serves until the exchange behind the desk has stopped (`Ok`) or accepting fails (`Err`).
/// Dropping the future ends every connection.
pub async fn serve_socket(
    listener: UnixListener,
    desk: PaperDesk,
    limits: ServeLimits,
) -> io::Result<()> {
    let mut connections: JoinSet<Closed> = JoinSet::new();
    loop {
        tokio::select! {
            Some(closed) = connections.join_next() => {
                if matches!(closed, Ok(Closed::ExchangeStopped)) {
                    return Ok(());
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < limits.connections_max => {
                    connections.spawn(serve(stream, desk.clone(), limits));
                }
                Ok(_) => tracing::warn!("paper exchange: too many connections, one was closed"),
                Err(cause) if is_passing(&cause) => {
                    tracing::warn!(%cause, "paper exchange: cannot accept");
                    sleep(Duration::from_millis(100)).await;
                }
                Err(cause) => return Err(cause),
            },
        }
    }
}

/// Errors of `accept` that pass by themselves: the client went away, or descriptors are short.
fn is_passing(cause: &io::Error) -> bool {
    const TOO_MANY_HERE: i32 = 24;
    const TOO_MANY_ON_THE_MACHINE: i32 = 23;
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) || matches!(cause.raw_os_error(), Some(TOO_MANY_HERE | TOO_MANY_ON_THE_MACHINE))
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// By the client, an unreadable frame, or a fault.
    Connection,
    /// There is no exchange any more.
    ExchangeStopped,
}

/// What became of one request.
enum Outcome {
    Answer(Answered),
    Silence,
    HangUp,
    ExchangeStopped,
}

/// One connection. Commands are handed in one after the other as they arrive, so their order
/// stays; answers leave as they come.
async fn serve(stream: UnixStream, desk: PaperDesk, limits: ServeLimits) -> Closed {
    let (reading, mut writing) = stream.into_split();
    let mut frames = Frames::new(reading);
    let mut under_way: JoinSet<Outcome> = JoinSet::new();
    let mut is_reading = true;
    loop {
        let takes_more = is_reading && under_way.len() < limits.requests_max;
        if !is_reading && under_way.is_empty() {
            return Closed::Connection;
        }
        tokio::select! {
            Some(outcome) = under_way.join_next() => {
                let bytes = match outcome {
                    Ok(Outcome::Answer(answered)) => encode(&answered),
                    Ok(Outcome::Silence) => continue,
                    Ok(Outcome::HangUp) | Err(_) => return Closed::Connection,
                    Ok(Outcome::ExchangeStopped) => return Closed::ExchangeStopped,
                };
                let Ok(bytes) = bytes else { return Closed::Connection };
                let sent = timeout(limits.write_timeout, writing.write_all(&bytes)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Closed::Connection;
                }
            }
            asked = frames.next::<Asked>(), if takes_more => match asked {
                Ok(Some(Asked { id, command })) => match desk.hand_in(command, Claim::default()).await {
                    Ok(heard) => { under_way.spawn(answer(id, heard)); }
                    Err(_) => return Closed::ExchangeStopped,
                },
                Ok(None) => is_reading = false,
                Err(cause) => {
                    tracing::warn!(%cause, "paper exchange: an unreadable frame");
                    return Closed::Connection;
                }
            },
        }
    }
}

/// Waits for one answer, as long as its delivery says.
async fn answer(id: u64, heard: oneshot::Receiver<Delivered>) -> Outcome {
    let Ok(Delivered { reply, delivery }) = heard.await else { return Outcome::ExchangeStopped };
    match delivery {
        Delivery::AtOnce => {}
        Delivery::After(delay) => sleep(delay).await,
        Delivery::Silence => return Outcome::Silence,
        Delivery::HangUp => return Outcome::HangUp,
    }
    Outcome::Answer(Answered { id, reply })
}
