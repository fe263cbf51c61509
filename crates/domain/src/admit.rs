//! Freshness: how old a signal may be (S13).

use crate::code::{Code, Refusal};
use crate::time::Timestamp;
use std::time::Duration;

/// How far in the future a stated time may lie before it is treated as not stated.
pub const FUTURE_MAX: Duration = Duration::from_secs(10);

/// What the stated time of sending says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// No time was stated.
    Unstated,
    /// It is recent enough, or age does not matter for it.
    Fresh,
    /// It lies so far in the future that it is treated as not stated.
    Future,
    /// It is too old for an entry.
    Stale(Refusal),
}

/// Judges the age of a signal. An exit is never refused for its age.
pub fn freshness(
    sent_at: Option<Timestamp>,
    received_at: Timestamp,
    max_age_s: u32,
    is_exit: bool,
) -> Freshness {
    let Some(sent_at) = sent_at else {
        return Freshness::Unstated;
    };
    if sent_at > received_at.plus(FUTURE_MAX) {
        return Freshness::Future;
    }
    let age = received_at.since(sent_at);
    if is_exit || age <= Duration::from_secs(u64::from(max_age_s)) {
        return Freshness::Fresh;
    }
    Freshness::Stale(Refusal::over(
        Code::SignalStale,
        format_args!("{} s old", age.as_secs()),
        format_args!("{max_age_s} s"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S13: 90 s for entries, never for exits; more than 10 s ahead counts as absent.
    #[test]
    fn s13_age() {
        let now = Timestamp::from_unix_micros(1_000_000_000_000);
        let ago = |seconds| Some(now.minus(Duration::from_secs(seconds)));
        assert_eq!(freshness(None, now, 90, false), Freshness::Unstated);
        assert_eq!(freshness(ago(90), now, 90, false), Freshness::Fresh);
        assert!(matches!(freshness(ago(91), now, 90, false), Freshness::Stale(_)));
        assert_eq!(freshness(ago(86_400), now, 90, true), Freshness::Fresh);
        let ahead = |seconds| Some(now.plus(Duration::from_secs(seconds)));
        assert_eq!(freshness(ahead(10), now, 90, false), Freshness::Fresh);
        assert_eq!(freshness(ahead(11), now, 90, false), Freshness::Future);
    }
}
