//! The stream over WebSocket (RFC 6455): the same events as the server-sent ones, each a text frame
//! of JSON.
//!
//! The listener is never dropped between two events: it asks each second whether the caller may
//! still listen, and a client that keeps sending must not put that off.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tradewarden_domain::id::{self, Id};
use tradewarden_engine::stream::{Event, Heard, Listener};

use crate::body::AnswerBody;
use crate::listen::{Handover, Stop};
use crate::problem::Problem;
use crate::stream::next;

/// The only version there is (RFC 6455 section 4.1).
const VERSION: &str = "13";
/// A nonce of 16 bytes in base64.
const KEY_LENGTH: usize = 24;
/// What a client may send in one frame, in bytes; nothing that it says is used.
const FRAME_BYTES_MAX: usize = 4 * 1024;
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What may wait to be written. One event waits at a time, and an event is far smaller.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// The silence after which a client is pinged, and within which it has to answer.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long a client may take to take one frame.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers a request that wants it. A refusal says what would be understood (RFC 6455 section 4.4).
pub(crate) fn answer(
    head: &mut Parts,
    listener: Listener,
    request_id: Id<id::Request>,
) -> Response<AnswerBody> {
    match Handshake::read(head) {
        Ok(handshake) => handshake.answer(listener),
        Err(problem) => {
            let mut refusal = problem.answer(request_id);
            refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            refusal
        }
    }
}

/// A handshake that can be answered.
struct Handshake {
    accept: HeaderValue,
    upgraded: OnUpgrade,
    handover: Handover,
}

/// Whether a request wants WebSocket. HTTP/2 has no such header (RFC 9113 section 8.2.2).
pub(crate) fn is_wanted(head: &Parts) -> bool {
    head.version == Version::HTTP_11 && has_word(&head.headers, &UPGRADE, "websocket")
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

impl Handshake {
    /// Reads the client's side of it (RFC 6455 section 4.2.1); the problem names the header that is
    /// wrong.
    fn read(head: &mut Parts) -> Result<Self, Problem> {
        let once = |name: &HeaderName| {
            let mut values = head.headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())
        };
        if !has_word(&head.headers, &CONNECTION, "upgrade") {
            return Err(Problem::field("Connection", "It must name the upgrade."));
        }
        if once(&SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(Problem::field("Sec-WebSocket-Version", "The version must be 13."));
        }
        let accept = once(&SEC_WEBSOCKET_KEY)
            .filter(|key| key.len() == KEY_LENGTH)
            .and_then(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok())
            .ok_or_else(|| {
                Problem::field("Sec-WebSocket-Key", "It must be there once: 16 bytes in base64.")
            })?;
        let upgraded = head.extensions.remove::<OnUpgrade>();
        let handover = head.extensions.remove::<Handover>();
        match (upgraded, handover) {
            (Some(upgraded), Some(handover)) => Ok(Self { accept, upgraded, handover }),
            _ => Err(Problem::field("Upgrade", "This connection cannot be upgraded.")),
        }
    }

    /// The answer; what is heard is told once it is out.
    fn answer(self, listener: Listener) -> Response<AnswerBody> {
        let upgraded = self.upgraded;
        self.handover.give(|stop| tell(upgraded, listener, stop));
        let mut response = Response::new(AnswerBody::whole(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        response
    }
}

/// How a conversation ends.
enum End {
    /// We say why.
    With(CloseCode),
    /// The client began to close.
    Theirs,
    /// Nobody is there.
    Gone,
}

async fn tell(upgraded: OnUpgrade, listener: Listener, stop: Stop) {
    let Ok(upgraded) = upgraded.await else { return };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let end = match talk(&mut socket, listener, stop).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    let goodbye = async {
        match end {
            End::Gone => return,
            End::Theirs => {}
            End::With(code) => {
                let frame = CloseFrame { code, reason: "".into() };
                if socket.close(Some(frame)).await.is_err() {
                    return;
                }
            }
        }
        // The other half of the closing: their answer, or ours to them.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let in_time = timeout(GOODBYE_LIMIT, goodbye).await;
    let ended = timeout(GOODBYE_LIMIT, socket.get_mut().shutdown()).await;
    tracing::debug!(in_time = in_time.is_ok(), ended = ended.is_ok(), "a stream ended");
}

async fn talk(
    socket: &mut Socket,
    listener: Listener,
    mut stop: Stop,
) -> Result<std::convert::Infallible, End> {
    let ready = Event { event: "ready", data: serde_json::json!({}) };
    say(socket, text(&ready)).await?;
    let mut heard = next(listener);
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut awaits_pong = false;
    loop {
        tokio::select! {
            () = &mut stop => return Err(End::With(CloseCode::Away)),
            (listener, now_heard) = &mut heard => {
                heard = next(listener);
                match now_heard {
                    None => return Err(End::With(CloseCode::Policy)),
                    Some(Heard::Silence) => {}
                    Some(Heard::Event(event)) => {
                        say(socket, text(&event)).await?;
                        pings.reset();
                    }
                }
            }
            said = socket.next() => {
                heed(said.as_ref())?;
                awaits_pong = false;
            }
            _ = pings.tick() => {
                if awaits_pong {
                    return Err(End::Gone);
                }
                awaits_pong = true;
                say(socket, Message::Ping(Bytes::new())).await?;
            }
        }
    }
}

/// Pings are answered below; text and pongs only show that the client is there.
fn heed(said: Option<&Result<Message, Error>>) -> Result<(), End> {
    match said {
        Some(Ok(Message::Close(_))) => Err(End::Theirs),
        Some(Ok(_)) => Ok(()),
        Some(Err(Error::Capacity(_))) => Err(End::With(CloseCode::Size)),
        Some(Err(Error::Utf8(_))) => Err(End::With(CloseCode::Invalid)),
        Some(Err(Error::Protocol(_))) => Err(End::With(CloseCode::Protocol)),
        None | Some(Err(_)) => Err(End::Gone),
    }
}

/// Strings and numbers only: writing them cannot fail.
fn text(event: &Event) -> Message {
    Message::text(serde_json::to_string(event).unwrap_or_default())
}

async fn say(socket: &mut Socket, message: Message) -> Result<(), End> {
    match timeout(SEND_LIMIT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
