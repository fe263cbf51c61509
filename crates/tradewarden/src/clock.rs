//! The system's clock: the one place where the gateway learns what time it is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use tradewarden_domain::time::{Clock, Timestamp};

/// Less than this is what clocks that are kept right do all day, microseconds.
const STEP_MICROS: i64 = 1_000_000;
/// What a clock that is ahead gives back: one part in so many of the time that passes.
const GIVEN_BACK: i64 = 10;

/// Tells the time of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything is given")]
    fn now(&self) -> Timestamp {
        // A machine that believes in a time before 1970 is at 1970 for us: every freshness check
        // then refuses, which is the safe side.
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn ahead(&self) -> Duration {
        Duration::ZERO
    }
}

/// Tells the time of the machine, and never goes back while the process lives.
///
/// What is waited for, ordered or kept for a while is reckoned by it. Set forward, it follows at once: what
/// is too late must not be taken for timely. Set back, it goes on from where it was, by the machine's own
/// counting, nine tenths as fast until the machine has caught up. So a jump forward that is taken back
/// leaves it ahead for ten times the jump; what fell due in the jump stays due. A restart takes the
/// machine's time at once.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    begun: Instant,
    reckoning: Mutex<Reckoning>,
}

/// How the time told follows from the time that has passed since the start. In microseconds.
#[derive(Debug, Default)]
struct Reckoning {
    /// What is added to the time passed.
    offset: i64,
    /// Up to this time passed, what was to be given back is.
    given_until: i64,
    /// By how much the machine was behind at the last look.
    ahead: i64,
}

impl SteadyClock {
    /// A clock that begins with the machine's time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything is given")]
    pub(crate) fn new() -> Self {
        let offset = SystemClock.now().unix_micros();
        let reckoning = Reckoning { offset, ..Reckoning::default() };
        Self { begun: Instant::now(), reckoning: Mutex::new(reckoning) }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut reckoning = self.reckoning.lock().unwrap_or_else(PoisonError::into_inner);
        // Both are read under the lock: in another order two threads would see a step that was none.
        let passed = i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let machine = SystemClock.now().unix_micros();
        Timestamp::from_unix_micros(reckoning.tell(passed, machine))
    }

    fn ahead(&self) -> Duration {
        let ahead = self.reckoning.lock().unwrap_or_else(PoisonError::into_inner).ahead;
        Duration::from_micros(u64::try_from(ahead).unwrap_or(0))
    }
}

impl Reckoning {
    /// The time to tell when so much has passed and the machine's clock says this.
    fn tell(&mut self, passed: i64, machine: i64) -> i64 {
        let natural = passed.saturating_add(self.offset);
        let forward = machine.saturating_sub(natural);
        if forward >= 0 {
            if forward >= STEP_MICROS {
                tracing::warn!(micros = forward, "the machine's clock was set forward");
            }
            (self.offset, self.given_until, self.ahead) =
                (self.offset.saturating_add(forward), passed, 0);
            return machine;
        }
        let behind = forward.saturating_neg();
        if behind.saturating_sub(self.ahead) >= STEP_MICROS {
            tracing::error!(micros = behind, "the machine's clock was set back; ours goes on");
        }
        let parts = passed.saturating_sub(self.given_until).max(0).div_euclid(GIVEN_BACK);
        let given = parts.min(behind);
        self.given_until = self.given_until.saturating_add(parts.saturating_mul(GIVEN_BACK));
        self.offset = self.offset.saturating_sub(given);
        self.ahead = behind.saturating_sub(given);
        natural.saturating_sub(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn the_clock_is_in_this_century() {
        for now in [SystemClock.now(), SteadyClock::new().now()] {
            let (year, _, _) = now.date();
            assert!((2020..2100).contains(&year), "{year}");
        }
    }

    #[test]
    fn it_never_goes_back_when_the_machine_does() {
        let mut clock = Reckoning { offset: 1_000 * SECOND, ..Reckoning::default() };
        assert_eq!(clock.tell(SECOND, 1_001 * SECOND), 1_001 * SECOND);
        // Ten minutes back.
        let (mut before, mut caught_up_after) = (1_001 * SECOND, None);
        for second in 2..10_000 {
            let (passed, machine) = (second * SECOND, (400 + second) * SECOND);
            let told = clock.tell(passed, machine);
            assert!(told > before, "it goes on");
            assert!(told - before >= 9 * SECOND / 10, "and hardly slower");
            before = told;
            if told == machine && caught_up_after.is_none() {
                caught_up_after = Some(second);
            }
        }
        assert_eq!(caught_up_after, Some(6_001), "ten times the ten minutes");
        assert_eq!(clock.ahead, 0);
    }

    #[test]
    fn it_gives_back_however_often_it_is_asked() {
        let mut clock = Reckoning::default();
        let mut before = clock.tell(0, 0);
        for passed in 1..200_000 {
            // A hundred milliseconds back, asked each microsecond.
            let told = clock.tell(passed, passed - 100_000);
            assert!(told >= before);
            before = told;
        }
        assert_eq!(clock.ahead, 100_000 - 20_000 + 1);
    }

    #[test]
    fn a_jump_forward_that_is_taken_back_turns_nothing_back() {
        let mut clock = Reckoning::default();
        let hour = 3_600 * SECOND;
        assert_eq!(clock.tell(SECOND, SECOND), SECOND);
        assert_eq!(clock.tell(2 * SECOND, hour), hour, "what is too late is too late at once");
        assert_eq!(clock.ahead, 0);
        let told = clock.tell(3 * SECOND, 3 * SECOND);
        assert!(told > hour && told < hour + SECOND, "{told}");
        assert_eq!(clock.ahead, told - 3 * SECOND);
    }

    #[test]
    fn small_differences_are_no_step() {
        let mut clock = Reckoning::default();
        for passed in 1..1_000 {
            let machine = passed * 10 - passed % 7;
            let told = clock.tell(passed * 10, machine);
            assert!((machine..machine + 10).contains(&told), "{told} for {machine}");
        }
    }
}
