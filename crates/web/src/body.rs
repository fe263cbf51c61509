//! The bodies of answers, and knowing when one was taken for writing.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tradewarden_engine::intake::Delivery;

/// The body of an answer.
pub struct AnswerBody(Kind);

enum Kind {
    /// One frame, or none.
    Whole(Bytes),
    /// The answer to a signal. The delivery is dropped with it, which tells the engine that the
    /// sender did not get it, unless the server took the frame.
    Signal(Bytes, Option<Delivery>),
    /// What the router answered.
    Routed(axum::body::Body),
}

impl AnswerBody {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(bytes.into()))
    }

    pub(crate) fn signal(bytes: impl Into<Bytes>, delivery: Delivery) -> Self {
        Self(Kind::Signal(bytes.into(), Some(delivery)))
    }

    pub(crate) fn routed(body: axum::body::Body) -> Self {
        Self(Kind::Routed(body))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let bytes = match &mut self.get_mut().0 {
            Kind::Routed(body) => return Pin::new(body).poll_frame(context),
            Kind::Whole(bytes) => bytes,
            Kind::Signal(bytes, delivery) => {
                // The server asks for the frame when it can write it; a connection that broke
                // before is dropped without asking.
                if let Some(delivery) = delivery.take() {
                    delivery.delivered();
                }
                bytes
            }
        };
        let bytes = std::mem::take(bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) | Kind::Signal(bytes, _) => bytes.is_empty(),
            Kind::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) | Kind::Signal(bytes, _) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Kind::Routed(body) => body.size_hint(),
        }
    }
}
