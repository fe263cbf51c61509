//! The control socket (C12): how the command line asks a running gateway.
//!
//! `DATA/control.sock` is readable and writable by its owner only and lies in a directory that is
//! closed to others; still each peer must be of our own user. One connection carries one request
//! and one answer, each one line of JSON within its bound.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tradewarden_engine::Engine;
use tradewarden_engine::command::{Command, CommandError};

use crate::data::Data;
use crate::files;
use crate::outcome::Failure;
use crate::socket_place::SocketPlace;

/// Largest request line, in bytes: a policy of as many limits as there may be.
const REQUEST_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Largest answer line, in bytes: a page of 200 signals with their traces.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long a peer may take to say its request or to take its answer.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The same for a halt, which has another way when the gateway hangs.
const HALT_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Conversations at one time; one more waits to be accepted.
const CONVERSATIONS_MAX: usize = 16;
/// Raised when requests or answers change their meaning.
const PROTOCOL: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    protocol: u32,
    /// The one that the command is about, where it has to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    command: Command,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Done(Value),
    Failed(Failure),
}

/// Asks the gateway on this data directory. `None` if none listens.
pub(crate) async fn ask(
    data: &Data,
    organization: Option<&str>,
    command: &Command,
) -> Result<Option<Value>, Failure> {
    if !data.control_socket().exists() {
        return Ok(None);
    }
    let place = SocketPlace::of(&data.control_socket())?;
    let mut stream = match UnixStream::connect(place.path()).await {
        Ok(stream) => stream,
        Err(cause) if nobody_listens(&cause) => return Ok(None),
        Err(cause) => return Err(files::failed("reach the gateway at", place.path(), &cause)),
    };
    let organization = organization.map(str::to_owned);
    let request = Request { protocol: PROTOCOL, organization, command: command.clone() };
    let conversation = async {
        write_line(&mut stream, &request).await?;
        read_line(&mut stream, ANSWER_BYTES_MAX).await
    };
    let wait = match command {
        Command::HaltEngage(_) => HALT_ANSWER_TIMEOUT,
        _ => ANSWER_TIMEOUT,
    };
    let heard = timeout(wait, conversation).await.unwrap_or(Err(unheard("in time")));
    match serde_json::from_slice(&heard?) {
        Ok(Answer::Done(value)) => Ok(Some(value)),
        Ok(Answer::Failed(failure)) => Err(failure),
        Err(_) => Err(unheard("that this version understands: use the gateway's own program")),
    }
}

/// Whether a gateway listens on this data directory.
pub(crate) async fn is_answered(data: &Data) -> bool {
    match SocketPlace::of(&data.control_socket()) {
        Ok(place) => UnixStream::connect(place.path()).await.is_ok(),
        Err(_) => false,
    }
}

/// The gateway's end of the socket.
pub(crate) struct Control {
    listener: UnixListener,
    /// Keeps the place where the socket lies.
    _place: SocketPlace,
    data: Data,
}

impl Control {
    /// Binds the socket. What was there before is left over from a crash: who calls this holds the
    /// directory's lock.
    pub(crate) fn bind(data: &Data) -> Result<Self, Failure> {
        let path = data.control_socket();
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(files::failed("remove", &path, &cause));
            }
            _ => {}
        }
        let place = SocketPlace::of(&path)?;
        let listener = UnixListener::bind(place.path())
            .map_err(|cause| files::failed("listen at", &path, &cause))?;
        files::make_private(&path)?;
        Ok(Self { listener, _place: place, data: data.clone() })
    }

    /// Answers until `shutdown`; requests under way are finished.
    pub(crate) async fn serve(self, engine: Engine, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut conversations = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_ended) = conversations.join_next() => {}
                accepted = self.listener.accept(), if conversations.len() < CONVERSATIONS_MAX => {
                    match accepted {
                        Ok((stream, _)) => {
                            conversations.spawn(converse(stream, engine.clone()));
                        }
                        Err(cause) => {
                            tracing::warn!(%cause, "control socket: cannot accept");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
            }
        }
        let path = self.data.control_socket();
        if let Err(cause) = std::fs::remove_file(&path) {
            tracing::warn!(%cause, path = %path.display(), "control socket: cannot remove");
        }
        while conversations.join_next().await.is_some() {}
    }
}

async fn converse(mut stream: UnixStream, engine: Engine) {
    let answer = match request(&mut stream).await {
        Ok(request) => match carried_out(request, &engine).await {
            Ok(value) => Answer::Done(value),
            Err(error) => Answer::Failed(error.into()),
        },
        Err(failure) => Answer::Failed(failure),
    };
    if let Err(failure) = write_line(&mut stream, &answer).await {
        tracing::debug!(%failure, "control socket: the answer was not taken");
    }
}

async fn carried_out(request: Request, engine: &Engine) -> Result<Value, CommandError> {
    let operator = engine.operator(request.organization.as_deref())?;
    engine.execute(request.command, &operator).await
}

/// The request of a peer that is allowed to ask.
async fn request(stream: &mut UnixStream) -> Result<Request, Failure> {
    if !is_own_user(stream) {
        return Err(Failure::not_found("only the user who runs the gateway may ask it"));
    }
    let line = timeout(LINE_TIMEOUT, read_line(stream, REQUEST_BYTES_MAX)).await;
    let line =
        line.unwrap_or_else(|_| Err(Failure::usage("the request did not arrive in time")))?;
    let request: Request = serde_json::from_slice(&line).map_err(|error| {
        Failure::usage(format!("the gateway does not understand the request: {error}"))
    })?;
    if request.protocol != PROTOCOL {
        return Err(Failure::usage("the command is of another version than the gateway"));
    }
    Ok(request)
}

/// Whether the peer's user is ours. Ours is what a socket made here has.
fn is_own_user(stream: &UnixStream) -> bool {
    let own = UnixStream::pair().and_then(|(one, _other)| one.peer_cred());
    match (stream.peer_cred(), own) {
        (Ok(peer), Ok(own)) => peer.uid() == own.uid(),
        _ => false,
    }
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value)
        .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
    line.push(b'\n');
    let written = timeout(LINE_TIMEOUT, stream.write_all(&line)).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(unheard("any more")),
    }
}

/// A line without its end, at most `bytes_max` long.
async fn read_line(stream: &mut UnixStream, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    let mut bounded = BufReader::new(stream.take(bytes_max));
    bounded.read_until(b'\n', &mut line).await.map_err(|_| unheard("any more"))?;
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(unheard("in full")) }
}

fn nobody_listens(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn unheard(how: &str) -> Failure {
    Failure::unavailable(format!(
        "the gateway did not answer {how}; whether the command was carried out is not known, look \
         with the matching `list` command before you repeat it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::outcome::Exit;
    use crate::scratch::Scratch;
    use std::os::unix::fs::MetadataExt;

    fn data(scratch: &Scratch) -> Data {
        Data::at(&Config { data: scratch.path().to_owned(), ..Config::default() })
    }

    async fn answered(line: &'static [u8]) -> Result<Request, Failure> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            let _may_be_cut = theirs.write_all(line).await;
        });
        let answer = request(&mut ours).await;
        writing.shutdown().await;
        answer
    }

    #[tokio::test]
    async fn a_request_is_one_bounded_line_of_this_version() {
        let good = b"{\"protocol\":1,\"command\":{\"command\":\"halt-status\"}}\n";
        let request = answered(good).await.unwrap();
        assert!(matches!(request.command, Command::HaltStatus));
        assert_eq!(request.organization, None);
        for wrong in [
            b"{\"protocol\":2,\"command\":{\"command\":\"halt-status\"}}\n".as_slice(),
            b"{\"protocol\":1,\"command\":{\"command\":\"withdraw\"}}\n",
            b"not json\n",
            b"{\"protocol\":1",
        ] {
            assert!(answered(wrong).await.is_err());
        }
        let long: &'static [u8] = vec![b' '; 300 * 1024].leak();
        assert!(answered(long).await.is_err());
    }

    #[tokio::test]
    async fn without_a_gateway_there_is_no_answer_and_that_is_no_failure() {
        let scratch = Scratch::new();
        let data = data(&scratch);
        assert_eq!(ask(&data, None, &Command::HaltStatus).await, Ok(None));
        // Left over from a crash: nobody listens.
        drop(Control::bind(&data).unwrap());
        assert!(data.control_socket().exists());
        assert_eq!(ask(&data, None, &Command::HaltStatus).await, Ok(None));
    }

    #[tokio::test]
    async fn the_socket_is_the_owners_only() {
        let scratch = Scratch::new();
        let data = data(&scratch);
        let _control = Control::bind(&data).unwrap();
        let mode = std::fs::metadata(data.control_socket()).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[tokio::test]
    async fn a_gateway_that_hangs_up_leaves_the_outcome_open() {
        let scratch = Scratch::new();
        let data = data(&scratch);
        let control = Control::bind(&data).unwrap();
        let mut gateway = JoinSet::new();
        gateway.spawn(async move { drop(control.listener.accept().await) });
        let failure = ask(&data, None, &Command::HaltStatus).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        gateway.shutdown().await;
    }
}
