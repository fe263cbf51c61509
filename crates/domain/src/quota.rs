//! Quotas: how much one caller may ask for, within any second and within any 24 hours.
//!
//! Both windows are exact in one direction: no span of their length ever holds more than the limit.
//! A wait that is named is true: after it, one is admitted if nobody else came.

use crate::code::Code;
use crate::rate::{DayWindow, SlidingWindow};
use crate::tier::Allowance;
use crate::time::Timestamp;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What a request draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Everything that is neither of the others.
    Requests,
    /// New orders and changed ones.
    Orders,
    /// Cancelling, closing, halting: what takes risk away is never kept waiting by what adds it (S18).
    Reducing,
}

/// The budgets of one caller.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// [`Budget::Requests`]
    pub requests: Quota,
    /// [`Budget::Orders`]
    pub orders: Quota,
    /// [`Budget::Reducing`]
    pub reducing: Quota,
}

impl Quotas {
    /// Risk may be reduced at least so often in a second, whatever the tier.
    const REDUCING_PER_S_MIN: u32 = 50;

    /// What was asked for within the day before a restart still counts.
    pub fn resumed(allowance: Allowance, requests: DayWindow, orders: DayWindow) -> Self {
        Self {
            requests: Quota::resumed(allowance, requests),
            orders: Quota::resumed(allowance, orders),
            reducing: Quota::resumed(Self::reducing(allowance), DayWindow::default()),
        }
    }

    /// The same asked for, against another allowance.
    pub fn put_under(&mut self, allowance: Allowance) {
        self.requests.put_under(allowance);
        self.orders.put_under(allowance);
        self.reducing.put_under(Self::reducing(allowance));
    }

    /// One of them.
    pub const fn of(&mut self, budget: Budget) -> &mut Quota {
        match budget {
            Budget::Requests => &mut self.requests,
            Budget::Orders => &mut self.orders,
            Budget::Reducing => &mut self.reducing,
        }
    }

    fn reducing(allowance: Allowance) -> Allowance {
        Allowance { per_s: allowance.per_s.max(Self::REDUCING_PER_S_MIN), per_day: None }
    }
}

/// What one caller has asked for, against what it may.
#[derive(Debug, Clone)]
pub struct Quota {
    allowance: Allowance,
    second: SlidingWindow,
    day: DayWindow,
    newest: Timestamp,
}

/// How full one window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// How many the window takes.
    pub limit: u32,
    /// How many more it takes now.
    pub remaining: u32,
    /// How long until it takes more than now.
    pub reset: Duration,
}

/// How full a quota is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Within a second.
    pub second: Fill,
    /// Within 24 hours, if that is limited.
    pub day: Option<Fill>,
}

/// One more would be too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit: [`Code::LimitRate`] or [`Code::LimitDaily`].
    pub code: Code,
    /// How long until one more is taken.
    pub wait: Duration,
}

impl Quota {
    /// Nothing asked for yet.
    pub fn new(allowance: Allowance) -> Self {
        Self::resumed(allowance, DayWindow::default())
    }

    /// What was asked for within the day before a restart still counts.
    pub fn resumed(allowance: Allowance, day: DayWindow) -> Self {
        let second = SlidingWindow::new(allowance.per_s, SECOND);
        Self { allowance, second, day, newest: Timestamp::default() }
    }

    /// The same asked for, against another allowance.
    pub fn put_under(&mut self, allowance: Allowance) {
        if self.allowance != allowance {
            *self = Self::resumed(allowance, std::mem::take(&mut self.day));
        }
    }

    /// Takes one more, or says why not and takes nothing.
    pub fn draw(&mut self, now: Timestamp) -> Result<(), Exceeded> {
        let now = self.forward(now);
        if let Some(per_day) = self.allowance.per_day
            && let Some(wait) = self.day.wait(per_day, now)
        {
            return Err(Exceeded { code: Code::LimitDaily, wait });
        }
        self.second.admit(now).map_err(|wait| Exceeded { code: Code::LimitRate, wait })?;
        self.day.add(now);
        Ok(())
    }

    /// How full it is.
    pub fn standing(&mut self, now: Timestamp) -> Standing {
        let now = self.forward(now);
        let (used, reset) = self.second.used(now);
        Standing {
            second: fill(self.allowance.per_s, used, reset),
            day: self.allowance.per_day.map(|per_day| {
                let (used, reset) = self.day.used(now);
                fill(per_day, used, reset)
            }),
        }
    }

    /// What was asked for within the day, to be stored.
    pub const fn day(&self) -> &DayWindow {
        &self.day
    }

    /// A clock that steps back does not reopen a window.
    fn forward(&mut self, now: Timestamp) -> Timestamp {
        self.newest = self.newest.max(now);
        self.newest
    }
}

fn fill(limit: u32, used: u64, reset: Duration) -> Fill {
    let used = u32::try_from(used).unwrap_or(u32::MAX);
    Fill { limit, remaining: limit.saturating_sub(used), reset }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use super::*;
    use crate::tier::Tier;

    const START: i64 = 1_790_000_000_123_456;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(START + micros)
    }

    fn seconds(count: i64) -> i64 {
        count * 1_000_000
    }

    #[test]
    fn a_simulated_day_takes_what_the_tier_says_and_no_more() {
        let mut quota = Quota::new(Tier::Free.allowance());
        let mut taken = Vec::new();
        // Two days of somebody who asks twice a second, which is under the limit by second.
        for step in 0..2 * 2 * 86_400 {
            let now = at(step * 500_000);
            match quota.draw(now) {
                Ok(()) => taken.push(now),
                Err(no) => assert_eq!(no.code, Code::LimitDaily),
            }
        }
        let day = Duration::from_hours(24);
        for (place, first) in taken.iter().enumerate() {
            let until = first.plus(day);
            let within = taken[place..].partition_point(|time| *time < until);
            assert!(within <= 10_000, "{within} from {first} on");
        }
        // The limit is used in full, once on each day.
        assert_eq!(taken.len(), 20_000);
    }

    #[test]
    fn the_wait_until_tomorrow_is_true_and_tight_to_a_quarter_hour() {
        let allowance = Allowance { per_s: 100, per_day: Some(50) };
        let mut quota = Quota::new(allowance);
        for step in 0..50 {
            assert_eq!(quota.draw(at(seconds(step))), Ok(()));
        }
        let now = at(seconds(60));
        let no = quota.draw(now).unwrap_err();
        assert_eq!(no.code, Code::LimitDaily);
        assert!(no.wait <= Duration::from_mins(24 * 60 + 15), "{:?}", no.wait);
        assert!(no.wait >= Duration::from_mins(24 * 60 - 1), "{:?}", no.wait);
        let early = now.plus(no.wait).minus(Duration::from_micros(1));
        assert!(quota.clone().draw(early).is_err());
        assert_eq!(quota.draw(now.plus(no.wait)), Ok(()));
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let mut quota = Quota::new(Allowance { per_s: 2, per_day: Some(3) });
        assert_eq!((quota.draw(at(0)), quota.draw(at(1))), (Ok(()), Ok(())));
        for _ in 0..10 {
            assert_eq!(quota.draw(at(2)).unwrap_err().code, Code::LimitRate);
        }
        let standing = quota.standing(at(2));
        assert_eq!((standing.second.limit, standing.second.remaining), (2, 0));
        assert_eq!(standing.day.unwrap().remaining, 1);
        assert_eq!(standing.second.reset, Duration::from_micros(999_998));
        assert_eq!(quota.draw(at(seconds(1))), Ok(()));
        assert_eq!(quota.draw(at(seconds(3))).unwrap_err().code, Code::LimitDaily);
    }

    #[test]
    fn another_tier_keeps_the_day_and_a_clock_that_steps_back_gives_nothing() {
        let mut quota = Quota::new(Allowance { per_s: 1, per_day: Some(2) });
        assert_eq!(quota.draw(at(seconds(10))), Ok(()));
        assert!(quota.draw(at(seconds(5))).is_err());
        quota.put_under(Allowance { per_s: 5, per_day: Some(2) });
        assert_eq!(quota.draw(at(seconds(11))), Ok(()));
        assert_eq!(quota.draw(at(seconds(12))).unwrap_err().code, Code::LimitDaily);
        quota.put_under(Allowance { per_s: 5, per_day: None });
        assert_eq!(quota.draw(at(seconds(13))), Ok(()));
        assert_eq!(quota.standing(at(seconds(13))).day, None);
    }

    #[test]
    fn whoever_has_used_everything_up_may_still_cancel() {
        let allowance = Allowance { per_s: 2, per_day: Some(2) };
        let mut quotas = Quotas::resumed(allowance, DayWindow::default(), DayWindow::default());
        for budget in [Budget::Requests, Budget::Orders] {
            while quotas.of(budget).draw(at(0)).is_ok() {}
        }
        for _ in 0..50 {
            assert_eq!(quotas.of(Budget::Reducing).draw(at(0)), Ok(()));
        }
        assert_eq!(quotas.of(Budget::Reducing).draw(at(0)).unwrap_err().code, Code::LimitRate);
        quotas.put_under(Tier::Pro.allowance());
        assert_eq!(quotas.of(Budget::Orders).standing(at(1)).day.unwrap().remaining, 999_998);
    }
}
