//! The stream as server-sent events (WHATWG HTML, section 9.2): one connection that tells what
//! happens until the caller goes, or may not listen any more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tradewarden_engine::stream::{Heard, Listener};

/// Seconds of silence after which a comment keeps the connection alive.
const SILENT_SECONDS_MAX: u32 = 10;

pub(crate) type Step = Pin<Box<dyn Future<Output = (Listener, Option<Heard>)> + Send>>;

/// The body of such an answer.
pub(crate) struct EventBody {
    step: Option<Step>,
    greeted: bool,
    silent_seconds: u32,
}

impl EventBody {
    pub(crate) fn new(listener: Listener) -> Self {
        Self { step: Some(next(listener)), greeted: false, silent_seconds: 0 }
    }
}

/// What is heard next, and the listener again: kept between two polls, because a listener that is
/// dropped while it waits begins its second anew.
pub(crate) fn next(mut listener: Listener) -> Step {
    Box::pin(async move {
        let heard = listener.next().await;
        (listener, heard)
    })
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if !this.greeted {
            this.greeted = true;
            let greeting = "retry: 2000\nevent: ready\ndata: {}\n\n";
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(greeting.as_bytes())))));
        }
        loop {
            let Some(waiting) = &mut this.step else { return Poll::Ready(None) };
            let (listener, heard) = ready!(waiting.as_mut().poll(context));
            this.step = heard.is_some().then(|| next(listener));
            match heard {
                None => return Poll::Ready(None),
                Some(Heard::Event(event)) => {
                    this.silent_seconds = 0;
                    let text = format!("event: {}\ndata: {}\n\n", event.event, event.data);
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))));
                }
                Some(Heard::Silence) => {
                    this.silent_seconds = this.silent_seconds.saturating_add(1);
                    if this.silent_seconds >= SILENT_SECONDS_MAX {
                        this.silent_seconds = 0;
                        return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))));
                    }
                }
            }
        }
    }
}
