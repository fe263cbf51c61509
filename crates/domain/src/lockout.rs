//! Lockout: what repeated failures at one authenticator of one person lead to (NIST SP 800-63B-4
//! section 3.2.2). Failures are counted since the last success; the passkey path has a count of
//! its own, so that nobody can lock a person out by guessing passwords.

use std::time::Duration;

/// Failures in a row after which an authenticator is disabled and has to be bound again.
pub const FAILURES_MAX: u32 = 100;
/// Failures in a row from which on people are told.
pub const FAILURES_ALERT: u32 = 10;

/// What comes after a number of failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    /// Another try may be made at once.
    None,
    /// Another try may be made after so long.
    Wait(Duration),
    /// The authenticator is disabled.
    Disabled,
}

/// The ladder: four failures are free, then waits from 30 seconds up to an hour, and an end.
pub const fn after(failures: u32) -> Lockout {
    Lockout::Wait(match failures {
        0..=4 => return Lockout::None,
        5 => Duration::from_secs(30),
        6 => Duration::from_mins(1),
        7 => Duration::from_mins(2),
        8 => Duration::from_mins(5),
        9 => Duration::from_mins(15),
        10 => Duration::from_mins(30),
        11..FAILURES_MAX => Duration::from_hours(1),
        FAILURES_MAX.. => return Lockout::Disabled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_only_climbs() {
        let mut last = Duration::ZERO;
        for failures in 0..FAILURES_MAX {
            let wait = match after(failures) {
                Lockout::None => Duration::ZERO,
                Lockout::Wait(wait) => wait,
                Lockout::Disabled => panic!("disabled after {failures}"),
            };
            assert!(wait >= last && wait <= Duration::from_hours(1));
            last = wait;
        }
        assert_eq!(after(4), Lockout::None);
        assert_eq!(after(5), Lockout::Wait(Duration::from_secs(30)));
        assert_eq!(after(FAILURES_MAX), Lockout::Disabled);
    }
}
