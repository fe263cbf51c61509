//! What happens on one connection, seen cheaply enough to be looked at on every request.
//!
//! Requests only move counters. Reading the clock and judging is left to a slow tick of the
//! connection ([`Watch`]), so that no request pays for a timer of its own. Hyper has a timer for
//! the headers, but it allocates one for each request, counts the silence between two requests as
//! slow headers, and says nothing about HTTP/2.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::UPGRADE;
use hyper::service::Service;
use hyper::{Request, Response, StatusCode, Version};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::handover::Handover;
use super::wire::{AnswerUnreadable, UnreadableHead};

/// What happened on a connection so far.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Goes up with every step of a request: begun, answered, a frame taken, done.
    steps: AtomicU64,
    /// The requests for which it is our turn: the service is working.
    at_work: AtomicUsize,
    /// The requests that have not ended: being answered, or their answer being taken.
    open: AtomicUsize,
    /// The requests that have begun.
    begun: AtomicU64,
    /// The last answer was given before its request had been read.
    early: AtomicBool,
    /// What is spoken is no longer HTTP.
    handed_over: AtomicBool,
    /// Goes up with everything the peer sends.
    pub(super) reads: AtomicU64,
    /// Whether requests came by HTTP/2.
    multiplexed: AtomicBool,
}

impl Activity {
    fn step(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    /// The requests that have begun, if all of them have ended.
    pub(super) fn begun_if_all_ended(&self) -> Option<u64> {
        (self.open.load(Relaxed) == 0).then(|| self.begun.load(Relaxed))
    }

    /// Whether nothing has begun since so many had, and all of them have ended.
    pub(super) fn is_settled(&self, begun: u64) -> bool {
        self.begun_if_all_ended() == Some(begun)
    }

    /// The connection ends although the peer may still be sending.
    pub(super) fn answered_early(&self) {
        self.early.store(true, Relaxed);
    }

    /// From now on it is not HTTP that is spoken, and the peer may be sending when it ends.
    pub(super) fn hand_over(&self) {
        self.handed_over.store(true, Relaxed);
        self.answered_early();
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Relaxed)
    }

    pub(super) fn was_answered_early(&self) -> bool {
        self.early.load(Relaxed)
    }
}

/// Judges from time to time whether a connection may stay.
#[derive(Debug)]
pub(super) struct Watch {
    activity: Arc<Activity>,
    header_read_timeout: Duration,
    idle_timeout: Duration,
    steps: u64,
    reads: u64,
    /// Since when nothing was at work and no step was made.
    quiet_since: Instant,
    /// Since when headers are due or on their way.
    head_since: Option<Instant>,
}

/// Whether a connection may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Stay,
    /// The headers of a request take too long.
    HeadersTooSlow,
    /// Nothing was asked, or nothing of an answer taken, for too long.
    Idle,
}

impl Watch {
    /// From now on the first headers are due.
    pub(super) fn new(
        activity: Arc<Activity>,
        header_read_timeout: Duration,
        idle_timeout: Duration,
        now: Instant,
    ) -> Self {
        Self {
            activity,
            header_read_timeout,
            idle_timeout,
            steps: 0,
            reads: 0,
            quiet_since: now,
            head_since: Some(now),
        }
    }

    /// How often [`Self::judge`] wants to be asked.
    pub(super) fn tick(&self) -> Duration {
        (self.header_read_timeout.min(self.idle_timeout) / 8)
            .clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        let steps = self.activity.steps.load(Relaxed);
        let reads = self.activity.reads.load(Relaxed);
        if self.activity.at_work.load(Relaxed) > 0 || steps != self.steps {
            self.steps = steps;
            self.reads = reads;
            self.quiet_since = now;
            self.head_since = None;
            return Verdict::Stay;
        }
        // On HTTP/1.1 the peer has nothing to say between requests but the next headers. On HTTP/2
        // it may be answering a ping; there half a header block blocks the connection, and the
        // silence that follows is what ends it.
        if reads != self.reads && !self.activity.multiplexed.load(Relaxed) {
            self.head_since.get_or_insert(now);
        }
        self.reads = reads;
        match self.head_since {
            Some(since) if now.duration_since(since) >= self.header_read_timeout => {
                Verdict::HeadersTooSlow
            }
            _ if now.duration_since(self.quiet_since) >= self.idle_timeout => Verdict::Idle,
            _ => Verdict::Stay,
        }
    }
}

/// One request, and whose turn it is: ours while the service works, the peer's while it has yet to
/// take what is there.
#[derive(Debug)]
struct Turn {
    activity: Arc<Activity>,
    ours: bool,
}

impl Turn {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.step();
        activity.at_work.fetch_add(1, Relaxed);
        activity.open.fetch_add(1, Relaxed);
        activity.begun.fetch_add(1, Relaxed);
        activity.early.store(false, Relaxed);
        Self { activity: Arc::clone(activity), ours: true }
    }

    fn pass_to_peer(&mut self) {
        self.activity.step();
        if self.ours {
            self.ours = false;
            self.activity.at_work.fetch_sub(1, Relaxed);
        }
    }

    fn take_back(&mut self) {
        if !self.ours {
            self.ours = true;
            self.activity.at_work.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pass_to_peer();
        self.activity.open.fetch_sub(1, Relaxed);
    }
}

/// A service whose requests are seen by an [`Activity`], and that refuses a request with too many
/// headers, or too much of them, before the service hears of it. For HTTP/2: there hyper does not
/// count them, and would answer too much of them in one bare line.
pub(super) struct Watched<S> {
    pub(super) service: S,
    pub(super) activity: Arc<Activity>,
    pub(super) handover: Handover,
    pub(super) header_count_max: usize,
    pub(super) header_bytes_max: usize,
    pub(super) answer_unreadable: Option<AnswerUnreadable>,
}

impl<S, B> Service<Request<Incoming>> for Watched<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<WatchedBody<B>>;
    type Error = Infallible;
    type Future = WatchedAnswer<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if request.version() == Version::HTTP_11 && request.headers().contains_key(UPGRADE) {
            request.extensions_mut().insert(self.handover.clone());
        }
        let mut fits = request.headers().len() <= self.header_count_max;
        if request.version() == Version::HTTP_2 {
            self.activity.multiplexed.store(true, Relaxed);
            fits = fits && header_bytes(&request) <= self.header_bytes_max;
        }
        WatchedAnswer {
            answer: fits.then(|| self.service.call(request)),
            answer_unreadable: self.answer_unreadable.clone(),
            turn: Some(Turn::begin(&self.activity)),
        }
    }
}

/// The size of a request's headers as RFC 9113 section 10.5.1 counts it, 32 bytes for each beside its
/// name and value, with the target.
fn header_bytes<B>(request: &Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.headers().iter().fold(target, |sum, (name, value)| {
        sum.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(32)
    })
}

pin_project! {
    /// The answer to come; none is asked for if the request was refused.
    pub(super) struct WatchedAnswer<A> {
        #[pin]
        answer: Option<A>,
        answer_unreadable: Option<AnswerUnreadable>,
        turn: Option<Turn>,
    }
}

impl<A, B> Future for WatchedAnswer<A>
where
    A: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<WatchedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            let turn = this.turn.take();
            let own = this.answer_unreadable.take().map(|answer| answer(UnreadableHead::TooLarge));
            let refusal = own.unwrap_or_else(|| {
                let mut bare = Response::new(Bytes::new());
                *bare.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                bare
            });
            return Poll::Ready(Ok(refusal.map(|own| WatchedBody { body: None, own, turn })));
        };
        let response = match ready!(answer.poll(context)) {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let mut turn = this.turn.take();
        if let Some(turn) = &turn
            && matches!(
                response.status(),
                StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
            )
        {
            turn.activity.answered_early();
        }
        if let Some(turn) = &mut turn {
            turn.pass_to_peer();
        }
        Poll::Ready(Ok(response.map(|body| WatchedBody {
            body: Some(body),
            own: Bytes::new(),
            turn,
        })))
    }
}

pin_project! {
    /// The body of an answer, or our own if the request was refused.
    pub(super) struct WatchedBody<B> {
        #[pin]
        body: Option<B>,
        own: Bytes,
        turn: Option<Turn>,
    }
}

impl<B: Body<Data = Bytes>> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else {
            let own = std::mem::take(this.own);
            return Poll::Ready((!own.is_empty()).then(|| Ok(Frame::data(own))));
        };
        let frame = body.poll_frame(context);
        if let Some(turn) = this.turn {
            match frame {
                Poll::Ready(_) => turn.pass_to_peer(),
                Poll::Pending => turn.take_back(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().map_or_else(|| self.own.is_empty(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let own = || SizeHint::with_exact(u64::try_from(self.own.len()).unwrap_or(u64::MAX));
        self.body.as_ref().map_or_else(own, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);

    fn watched() -> (Arc<Activity>, Watch, Instant) {
        let activity = Arc::new(Activity::default());
        let start = Instant::now();
        (Arc::clone(&activity), Watch::new(activity, HEADERS, IDLE, start), start)
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_headers_are_due_at_once() {
        let (_activity, mut watch, start) = watched();
        assert_eq!(watch.judge(after(start, 9)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 10)), Verdict::HeadersTooSlow);
    }

    #[test]
    fn silence_between_requests_is_idle_and_a_started_head_is_slow() {
        let (activity, mut watch, start) = watched();
        drop(Turn::begin(&activity));
        assert_eq!(watch.judge(after(start, 5)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 64)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 65)), Verdict::Idle);
        drop(Turn::begin(&activity));
        assert_eq!(watch.judge(after(start, 70)), Verdict::Stay);
        activity.reads.fetch_add(1, Relaxed);
        assert_eq!(watch.judge(after(start, 75)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 84)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 85)), Verdict::HeadersTooSlow);
    }

    #[test]
    fn a_service_may_take_its_time_and_a_peer_may_not() {
        let (activity, mut watch, start) = watched();
        let mut turn = Turn::begin(&activity);
        assert_eq!(watch.judge(after(start, 500)), Verdict::Stay);
        turn.pass_to_peer();
        assert_eq!(watch.judge(after(start, 501)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 561)), Verdict::Idle);
        turn.take_back();
        assert_eq!(watch.judge(after(start, 999)), Verdict::Stay);
        drop(turn);
        assert_eq!(activity.at_work.load(Relaxed), 0);
    }

    #[test]
    fn pings_of_http_2_are_no_headers() {
        let (activity, mut watch, start) = watched();
        activity.multiplexed.store(true, Relaxed);
        drop(Turn::begin(&activity));
        assert_eq!(watch.judge(after(start, 1)), Verdict::Stay);
        activity.reads.fetch_add(1, Relaxed);
        assert_eq!(watch.judge(after(start, 30)), Verdict::Stay);
        assert_eq!(watch.judge(after(start, 61)), Verdict::Idle);
    }
}
