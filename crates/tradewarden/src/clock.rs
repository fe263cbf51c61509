//! The system's clock: the one place where the gateway learns what time it is.

use std::time::UNIX_EPOCH;

use tradewarden_domain::time::{Clock, Timestamp};

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_in_this_century() {
        let (year, _, _) = SystemClock.now().date();
        assert!((2020..2100).contains(&year), "{year}");
    }
}
