//! Rate windows, exact: no window of the stated length ever holds more than the stated count.

mod orders;

pub use orders::{OrderCounter, Recent, Source};

use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// At most so many within any span of the stated length. Keeps the times of the last `count`
/// admissions, so its size is bounded by the count.
#[derive(Debug, Clone)]
pub struct SlidingWindow {
    count: usize,
    span: Duration,
    times: VecDeque<Timestamp>,
}

impl SlidingWindow {
    /// At most `count` within any `span`.
    pub fn new(count: u32, span: Duration) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Self { count, span, times: VecDeque::new() }
    }

    /// Admits one now, or says how long to wait until one would be admitted.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), Duration> {
        let (_, wait) = self.used(now);
        if self.times.len() < self.count {
            self.times.push_back(now);
            return Ok(());
        }
        Err(wait)
    }

    /// How many the window holds, and how long until it holds fewer.
    pub fn used(&mut self, now: Timestamp) -> (u64, Duration) {
        let horizon = now.minus(self.span);
        while self.times.front().is_some_and(|time| *time <= horizon) {
            self.times.pop_front();
        }
        let reset = self.times.front().map_or(self.span, |first| first.plus(self.span).since(now));
        (u64::try_from(self.times.len()).unwrap_or(u64::MAX), reset)
    }
}

/// A steady rate with a burst (generic cell rate algorithm, ITU-T I.371): one number of state.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    full_at: Timestamp,
}

impl Bucket {
    /// `rate_per_s` a second on average, at most `burst` at once.
    pub fn new(rate_per_s: u32, burst: u32) -> Self {
        let interval =
            Duration::from_secs(1).checked_div(rate_per_s.max(1)).unwrap_or(Duration::from_secs(1));
        Self { interval, burst: burst.max(1), full_at: Timestamp::default() }
    }

    /// Admits one now, or says how long to wait until one would be admitted.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), Duration> {
        let start = self.full_at.max(now);
        let tolerance = self.interval.saturating_mul(self.burst.saturating_sub(1));
        let ahead = start.since(now);
        if ahead > tolerance {
            return Err(ahead.saturating_sub(tolerance));
        }
        self.full_at = start.plus(self.interval);
        Ok(())
    }
}

/// How many there were in each quarter of an hour of the last 24 hours. It counts whole quarters, so
/// it holds each one for 24 to 24 and a quarter hours: no 24 hours ever hold more than the limit that
/// it is held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayWindow {
    quarters: VecDeque<(i64, u32)>,
}

impl DayWindow {
    const QUARTER_S: i64 = 900;
    /// Quarters after which one is forgotten: those of a day, and the one that it began in.
    const QUARTERS: i64 = 97;

    /// From the stored form; what is malformed counts as nothing stored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut quarters: VecDeque<(i64, u32)> = VecDeque::new();
        for chunk in bytes.chunks_exact(12) {
            if let (Some(quarter), Some(count)) =
                (chunk.first_chunk::<8>(), chunk.last_chunk::<4>())
            {
                quarters.push_back((i64::from_be_bytes(*quarter), u32::from_be_bytes(*count)));
            }
        }
        Self { quarters }
    }

    /// The stored form, at most 97 times 12 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.quarters.len().saturating_mul(12));
        for (quarter, count) in &self.quarters {
            bytes.extend_from_slice(&quarter.to_be_bytes());
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        bytes
    }

    /// How long until one more is within `limit`; nothing if it is now.
    pub fn wait(&mut self, limit: u32, now: Timestamp) -> Option<Duration> {
        let (used, reset) = self.used(now);
        (used >= u64::from(limit)).then_some(reset)
    }

    /// How many there were in the last 24 hours, and how long until some of them are forgotten.
    pub fn used(&mut self, now: Timestamp) -> (u64, Duration) {
        let horizon = quarter_of(now).saturating_sub(Self::QUARTERS);
        while self.quarters.front().is_some_and(|(quarter, _)| *quarter <= horizon) {
            self.quarters.pop_front();
        }
        let used = self
            .quarters
            .iter()
            .fold(0_u64, |sum, (_, count)| sum.saturating_add(u64::from(*count)));
        let oldest = self.quarters.front().map_or_else(|| quarter_of(now), |(quarter, _)| *quarter);
        let forgotten_s = oldest.saturating_add(Self::QUARTERS).saturating_mul(Self::QUARTER_S);
        let forgotten = Timestamp::from_unix_micros(forgotten_s.saturating_mul(1_000_000));
        (used, forgotten.since(now))
    }

    /// Counts one more.
    pub fn add(&mut self, now: Timestamp) {
        let quarter = quarter_of(now);
        match self.quarters.back_mut() {
            // A clock that steps back counts into the newest quarter: too much, never too little.
            Some((last, count)) if *last >= quarter => *count = count.saturating_add(1),
            _ => self.quarters.push_back((quarter, 1)),
        }
    }
}

const fn quarter_of(now: Timestamp) -> i64 {
    now.unix_seconds().div_euclid(DayWindow::QUARTER_S)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_000_000_000 + micros)
    }

    #[test]
    fn ten_pass_the_eleventh_waits() {
        let mut window = SlidingWindow::new(10, Duration::from_secs(1));
        for step in 0..10 {
            assert_eq!(window.admit(at(step * 50_000)), Ok(()));
        }
        assert_eq!(window.admit(at(600_000)), Err(Duration::from_millis(400)));
        assert_eq!(window.admit(at(1_000_000)), Ok(()));
    }

    #[test]
    fn a_bucket_holds_its_burst_and_refills() {
        let mut bucket = Bucket::new(50, 200);
        for _ in 0..200 {
            assert_eq!(bucket.admit(at(0)), Ok(()));
        }
        assert_eq!(bucket.admit(at(0)), Err(Duration::from_millis(20)));
        assert_eq!(bucket.admit(at(20_000)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_count(gaps in prop::collection::vec(0_i64..400_000, 1..80)) {
            let mut window = SlidingWindow::new(5, Duration::from_secs(1));
            let (mut time, mut admitted) = (0, Vec::new());
            for gap in gaps {
                time += gap;
                if window.admit(at(time)).is_ok() {
                    admitted.push(time);
                }
            }
            for (place, start) in admitted.iter().enumerate() {
                let inside = admitted[place..].iter().filter(|t| **t < start + 1_000_000).count();
                prop_assert!(inside <= 5);
            }
        }

        #[test]
        fn no_day_holds_more_than_the_limit_and_the_wait_is_true(
            gaps in prop::collection::vec(0_i64..20_000_000_000, 1..120),
        ) {
            const DAY: i64 = 86_400_000_000;
            let mut window = DayWindow::default();
            let (mut time, mut admitted) = (0, Vec::new());
            for gap in gaps {
                time += gap;
                match window.wait(5, at(time)) {
                    None => {
                        window.add(at(time));
                        admitted.push(time);
                    }
                    Some(wait) => {
                        prop_assert!(wait > Duration::ZERO);
                        prop_assert!(wait <= Duration::from_mins(24 * 60 + 15));
                        let then = at(time).plus(wait);
                        prop_assert!(window.clone().wait(5, then).is_none());
                        let before = then.minus(Duration::from_micros(1));
                        prop_assert!(window.clone().wait(5, before).is_some());
                    }
                }
                prop_assert_eq!(DayWindow::from_bytes(&window.to_bytes()), window.clone());
            }
            for (place, start) in admitted.iter().enumerate() {
                let inside = admitted[place..].iter().filter(|t| **t < start + DAY).count();
                prop_assert!(inside <= 5);
            }
            prop_assert!(window.to_bytes().len() <= 97 * 12);
        }
    }
}
