//! A clock that a test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tradewarden_domain::time::{Clock, Timestamp};

/// Where every simulated day begins: 2026-03-02T14:30:00Z, a Monday, New York just open.
pub const MORNING: Timestamp = Timestamp::from_unix_micros(1_772_461_800_000_000);

/// Shared by everything in a test; clones tell the same time.
///
/// One made by [`SimClock::with_timers`] goes with tokio's paused time, so that timers and times
/// agree; it can be set ahead of the timers besides, as if the disk or the machine had been slow.
#[derive(Debug, Clone)]
pub struct SimClock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The time, or where it was when `begun` was.
    micros: AtomicI64,
    begun: Option<Instant>,
    ahead: AtomicI64,
}

impl SimClock {
    /// A clock that stands still until it is turned.
    #[must_use]
    pub fn frozen(at: Timestamp) -> Self {
        Self::new(at, None)
    }

    /// A clock that goes with the runtime's timers. The runtime must have been started paused, and
    /// the clock must be read on it.
    #[must_use]
    pub fn with_timers(at: Timestamp) -> Self {
        Self::new(at, Some(Instant::now()))
    }

    fn new(at: Timestamp, begun: Option<Instant>) -> Self {
        let micros = AtomicI64::new(at.unix_micros());
        Self { inner: Arc::new(Inner { micros, begun, ahead: AtomicI64::new(0) }) }
    }

    /// Sets it so much ahead, without letting a timer fire.
    pub fn advance(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        self.inner.micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets it, without letting a timer fire.
    pub fn set(&self, at: Timestamp) {
        let gone = self.gone();
        self.inner.micros.store(at.unix_micros().saturating_sub(gone), Ordering::SeqCst);
    }

    /// From now on it says that it is so far ahead of the machine's clock.
    pub fn be_ahead(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        self.inner.ahead.store(micros, Ordering::SeqCst);
    }

    fn gone(&self) -> i64 {
        let gone = self.inner.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        i64::try_from(gone.as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let micros = self.inner.micros.load(Ordering::SeqCst);
        Timestamp::from_unix_micros(micros.saturating_add(self.gone()))
    }

    fn ahead(&self) -> Duration {
        let micros = self.inner.ahead.load(Ordering::SeqCst);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_moves_only_when_told() {
        let clock = SimClock::frozen(MORNING);
        assert_eq!(clock.now().to_string(), "2026-03-02T14:30:00.000000Z");
        let other = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!(other.now(), MORNING.plus(Duration::from_secs(2)));
        clock.set(MORNING);
        assert_eq!(other.now(), MORNING);
    }

    #[tokio::test(start_paused = true)]
    async fn timers_take_it_along() {
        let clock = SimClock::with_timers(MORNING);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), MORNING.plus(Duration::from_secs(5)));
        clock.set(MORNING);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), MORNING.plus(Duration::from_secs(1)));
    }
}
