//! The bytes of one connection below HTTP, and what hyper would say without asking.
//!
//! Hyper answers a head that it cannot read by itself, in two bare lines. Such an answer is told by
//! when it comes, not by how it looks: no request is being answered, everything of ours has been
//! written out, and yet there is something to write that begins like an answer. It is replaced by one
//! of ours. HTTP/2 frames never begin like that.
//!
//! An answer to a request that is still being sent is lost if we close on top of it: the system then
//! resets the connection, and the sender may drop what it has not read yet. So after such an answer
//! what still comes is read and thrown away for a moment.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONNECTION, CONTENT_LENGTH};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;

/// How long what comes after an early answer is thrown away.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it, in bytes.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// What is wrong with the head of a request that no service hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableHead {
    /// It is no HTTP.
    Malformed,
    /// It has too many headers, or too much of them, or too long a target.
    TooLarge,
}

/// Makes the answer to such a head.
pub(super) type AnswerUnreadable =
    Arc<dyn Fn(UnreadableHead) -> Response<Bytes> + Send + Sync + 'static>;

/// A stream whose reads are seen by an [`Activity`]; see the module.
pub(super) struct Wire<T> {
    stream: T,
    activity: Arc<Activity>,
    answer: Option<AnswerUnreadable>,
    /// The requests that had begun when everything was last written out.
    settled: u64,
    own: Option<Own>,
    linger: Option<Lingering>,
}

/// An answer of ours, on its way in the place of hyper's.
struct Own {
    bytes: Vec<u8>,
    written: usize,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<T> Wire<T> {
    pub(super) fn new(
        stream: T,
        activity: Arc<Activity>,
        answer: Option<AnswerUnreadable>,
    ) -> Self {
        Self { stream, activity, answer, settled: 0, own: None, linger: None }
    }

    /// Whether these bytes go nowhere, because ours go out in their place.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        if self.own.is_some() {
            return true;
        }
        let Some(answer) = &self.answer else { return false };
        // The rest of a frame may begin with anything.
        if self.activity.is_handed_over()
            || !self.activity.is_settled(self.settled)
            || !bytes.starts_with(b"HTTP/1.")
        {
            return false;
        }
        let head = match bytes.get(b"HTTP/1.x ".len()..) {
            Some([b'4', b'3', b'1', ..] | [b'4', b'1', b'4', ..]) => UnreadableHead::TooLarge,
            _ => UnreadableHead::Malformed,
        };
        self.own = Some(Own { bytes: written_out(&answer(head), date_in(bytes)), written: 0 });
        self.activity.answered_early();
        true
    }
}

/// The line of a head that says when it was written, which hyper keeps at hand.
fn date_in(head: &[u8]) -> &[u8] {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    lines.find(|line| line.starts_with(b"date: ")).unwrap_or_default()
}

/// An answer as HTTP/1.1 that ends the connection.
fn written_out(answer: &Response<Bytes>, date: &[u8]) -> Vec<u8> {
    let body = answer.body();
    let mut bytes = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        if *name != CONNECTION && *name != CONTENT_LENGTH {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(date);
    bytes.extend_from_slice(
        format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(),
    );
    bytes.extend_from_slice(body);
    bytes
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(own) = &mut self.own else { return Poll::Ready(Ok(())) };
        while let Some(rest) = own.bytes.get(own.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            own.written = own.written.saturating_add(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> Wire<T> {
    /// Ready when the peer has closed, too, or has had its time.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering = self.linger.get_or_insert_with(|| Lingering {
            until: Box::pin(sleep(LINGER)),
            bytes_left: LINGER_BYTES_MAX,
        });
        let mut room = [0; 8 * 1024];
        while lingering.bytes_left > 0 && lingering.until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    lingering.bytes_left =
                        lingering.bytes_left.saturating_sub(buffer.filled().len());
                }
                // The end, orderly or not.
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() != before {
            self.activity.reads.fetch_add(1, Relaxed);
        }
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        if first.is_some_and(|first| self.replaces(first)) {
            let all = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
            return Poll::Ready(Ok(all));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if let Some(begun) = self.activity.begun_if_all_ended() {
            self.settled = begun;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.poll_own(context))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.activity.was_answered_early() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(context).map(Ok)
    }
}
