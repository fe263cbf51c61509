//! When people are told that a certificate ends.

use crate::time::Timestamp;
use std::time::Duration;

const FORTNIGHT: Duration = Duration::from_hours(24 * 14);
const THREE_DAYS: Duration = Duration::from_hours(24 * 3);

/// How near a certificate's end is, the nearest last. Whatever renews it does so earlier: each of these
/// says that it has failed for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Less than a third of its life is left.
    Third,
    /// Less than 14 days; of a short life, less than a sixth of it.
    Soon,
    /// Less than 3 days; of a short life, less than a twelfth of it.
    Now,
    /// It has ended: no client that checks it connects.
    Over,
}

impl Ending {
    /// How near the end is at `now`; `None` while at least a third is left.
    pub fn at(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Option<Self> {
        let life = not_after.since(not_before);
        let left = not_after.since(now);
        let within = |most: Duration, share: u32| {
            left < most.min(life.checked_div(share).unwrap_or_default())
        };
        if left.is_zero() {
            Some(Self::Over)
        } else if within(THREE_DAYS, 12) {
            Some(Self::Now)
        } else if within(FORTNIGHT, 6) {
            Some(Self::Soon)
        } else {
            within(Duration::MAX, 3).then_some(Self::Third)
        }
    }

    /// One word.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Third => "third",
            Self::Soon => "soon",
            Self::Now => "now",
            Self::Over => "over",
        }
    }

    /// Whether money is in danger: soon nobody gets in to stop or close anything.
    pub const fn is_critical(self) -> bool {
        matches!(self, Self::Now | Self::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(life_h: u64, left_h: u64) -> Option<Ending> {
        let begin = Timestamp::from_unix_micros(1_795_219_200_000_000);
        let end = begin.plus(Duration::from_hours(life_h));
        Ending::at(begin, end, end.minus(Duration::from_hours(left_h)))
    }

    #[test]
    fn a_third_14_days_and_3_days() {
        for (left_days, expected) in [
            (90, None),
            (30, None),
            (29, Some(Ending::Third)),
            (14, Some(Ending::Third)),
            (13, Some(Ending::Soon)),
            (3, Some(Ending::Soon)),
            (2, Some(Ending::Now)),
            (0, Some(Ending::Over)),
        ] {
            assert_eq!(ending(90 * 24, left_days * 24), expected, "{left_days} days of 90");
        }
    }

    #[test]
    fn a_short_life_is_not_always_near_its_end() {
        for (left_h, expected) in [
            (144, None),
            (48, None),
            (47, Some(Ending::Third)),
            (23, Some(Ending::Soon)),
            (11, Some(Ending::Now)),
        ] {
            assert_eq!(ending(144, left_h), expected, "{left_h} hours of 6 days");
        }
    }

    #[test]
    fn what_has_ended_is_over_however_long_ago() {
        let begin = Timestamp::from_unix_micros(0);
        let end = begin.plus(Duration::from_hours(1));
        assert_eq!(Ending::at(begin, end, end.plus(Duration::from_hours(9))), Some(Ending::Over));
        assert!(Ending::Over.is_critical() && !Ending::Soon.is_critical());
    }
}
