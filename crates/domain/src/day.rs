//! Dates without a time, as contracts have them.

use crate::calendar::Calendar;
use crate::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// A date of the Gregorian calendar: `2026-12-18`. Contracts begin and end on New York's dates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

/// The text is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayError;

impl fmt::Display for DayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a date like 2026-12-18")
    }
}

impl std::error::Error for DayError {}

static NEW_YORK: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC));

impl Day {
    /// The date in New York at an instant.
    pub fn at(at: Timestamp) -> Self {
        let instant = jiff::Timestamp::from_microsecond(at.unix_micros());
        Self(NEW_YORK.to_datetime(instant.unwrap_or_default()).date())
    }

    /// The instant at which it begins in New York.
    pub fn begins(self) -> Timestamp {
        let midnight = self.0.to_datetime(jiff::civil::Time::midnight());
        let begins = NEW_YORK.to_ambiguous_timestamp(midnight).compatible().unwrap_or_default();
        Timestamp::from_unix_micros(begins.as_microsecond())
    }

    /// So many calendar days before.
    #[must_use]
    pub fn minus_days(self, days: u8) -> Self {
        Self(self.0.saturating_sub(jiff::Span::new().days(days)))
    }

    /// So many calendar days after.
    #[must_use]
    pub fn plus_days(self, days: u8) -> Self {
        Self(self.0.saturating_add(jiff::Span::new().days(days)))
    }

    /// So many trading days before: weekdays on which New York's exchanges open.
    #[must_use]
    pub fn minus_trading_days(self, days: u8) -> Self {
        let mut day = self;
        for _ in 0..days {
            day = day.minus_days(1);
            // Exchanges have never been closed for so long.
            for _ in 0..14 {
                if day.is_trading_day() {
                    break;
                }
                day = day.minus_days(1);
            }
        }
        day
    }

    fn is_trading_day(self) -> bool {
        let calendar = Calendar::UsEquities.schedule();
        calendar.is_some_and(|schedule| schedule.begins_something_on(self))
    }

    pub(crate) const fn date(self) -> Date {
        self.0
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let has_form = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        text.parse().ok().filter(|_| has_form).map(Self).ok_or(DayError)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;

    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn dates_are_read_in_one_form() {
        assert_eq!(day("2026-12-18").to_string(), "2026-12-18");
        for text in ["", "2026-02-30", "2026-1-1", "20261218", "2026-12-18T00:00", "+2026-12-1"] {
            assert_eq!(text.parse::<Day>(), Err(DayError), "{text}");
        }
    }

    #[test]
    fn days_are_those_of_new_york() {
        assert_eq!(Day::at("2026-12-18T04:59:59Z".parse().unwrap()), day("2026-12-17"));
        assert_eq!(Day::at("2026-12-18T05:00:00Z".parse().unwrap()), day("2026-12-18"));
        assert_eq!(day("2026-12-18").begins().to_string(), "2026-12-18T05:00:00.000000Z");
        assert_eq!(day("2026-07-01").begins().to_string(), "2026-07-01T04:00:00.000000Z");
    }

    #[test]
    fn trading_days_leave_out_weekends_and_holidays() {
        assert_eq!(day("2026-12-18").minus_days(8), day("2026-12-10"));
        assert_eq!(day("2026-11-25").minus_trading_days(2), day("2026-11-23"));
        // 2026-11-30 is a Monday; Friday is a short day, Thursday Thanksgiving.
        assert_eq!(day("2026-11-30").minus_trading_days(1), day("2026-11-27"));
        assert_eq!(day("2026-11-30").minus_trading_days(2), day("2026-11-25"));
    }
}
