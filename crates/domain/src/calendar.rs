//! Calendars of our own: when kinds of instruments trade, as far as nobody better says (S14).
//!
//! They are data: a [`Schedule`] each, with the holidays of the years that it knows. Outside of these
//! years it knows nothing, which counts as closed for entries. What a broker says comes first.

use crate::order::words;
use crate::price::Market;
use crate::schedule::Schedule;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

words! {
    /// When a kind of instruments trades.
    Calendar {
        /// At any time, as crypto does.
        Always = "always",
        /// The core session of New York's stock exchanges.
        UsEquities = "us_equities",
        /// The electronic sessions of CME's equity indexes, with the break of an hour each day.
        UsFutures = "us_futures",
        /// From Sunday to Friday, 17:00 in New York.
        FxWeek = "fx_week",
    }
}

/// Holidays by NYSE Rule 7.2 and as NYSE publishes them for 2026 to 2028, with the days that close at
/// 13:00.
const US_EQUITIES: &str = "mon-fri 09:30-16:00 America/New_York except \
    2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 2026-07-03 2026-09-07 \
    2026-11-26 2026-11-27=09:30-13:00 2026-12-24=09:30-13:00 2026-12-25 \
    2027-01-01 2027-01-18 2027-02-15 2027-03-26 2027-05-31 2027-06-18 2027-07-05 2027-09-06 \
    2027-11-25 2027-11-26=09:30-13:00 2027-12-24 \
    2028-01-17 2028-02-21 2028-04-14 2028-05-29 2028-06-19 2028-07-03=09:30-13:00 2028-07-04 \
    2028-09-04 2028-11-23 2028-11-24=09:30-13:00 2028-12-25";

/// A session begins on the evening before its trading day. No session is on New Year's Day, Good
/// Friday and Christmas; on the other holidays of the stock exchanges trading halts at 13:00, on
/// the days after Thanksgiving and before Christmas it ends at 13:15. Good Friday of 2026 was a
/// short one, because of the employment report.
const US_FUTURES: &str = "sun-thu 18:00-17:00 America/New_York except \
    2026-01-18=18:00-13:00 2026-02-15=18:00-13:00 2026-04-02=18:00-09:15 2026-05-24=18:00-13:00 \
    2026-06-18=18:00-13:00 2026-07-02=18:00-13:00 2026-09-06=18:00-13:00 2026-11-25=18:00-13:00 \
    2026-11-26=18:00-13:15 2026-12-23=18:00-13:15 2026-12-24 2026-12-31 \
    2027-01-17=18:00-13:00 2027-02-14=18:00-13:00 2027-03-25 2027-05-30=18:00-13:00 \
    2027-06-17=18:00-13:00 2027-07-04=18:00-13:00 2027-09-05=18:00-13:00 2027-11-24=18:00-13:00 \
    2027-11-25=18:00-13:15 2027-12-23 \
    2028-01-16=18:00-13:00 2028-02-20=18:00-13:00 2028-04-13 2028-05-28=18:00-13:00 \
    2028-06-18=18:00-13:00 2028-07-02=18:00-13:15 2028-07-03=18:00-13:00 2028-09-03=18:00-13:00 \
    2028-11-22=18:00-13:00 2028-11-23=18:00-13:15 2028-12-24 2028-12-31";

/// Christmas and New Year's Day are left out where they are not on a weekend.
const FX_WEEK: &str = "sun-thu 17:00-17:00 America/New_York except \
    2026-12-24 2026-12-31 2028-12-24 2028-12-31";

const FIRST_YEAR: i64 = 2026;
/// The last year whose holidays are known.
const LAST_YEAR: i64 = 2028;

static EQUITIES: LazyLock<Option<Schedule>> = LazyLock::new(|| US_EQUITIES.parse().ok());
static FUTURES: LazyLock<Option<Schedule>> = LazyLock::new(|| US_FUTURES.parse().ok());
static FX: LazyLock<Option<Schedule>> = LazyLock::new(|| FX_WEEK.parse().ok());

impl Calendar {
    /// Its schedule; none for what trades always.
    pub fn schedule(self) -> Option<&'static Schedule> {
        match self {
            Self::Always => None,
            Self::UsEquities => EQUITIES.as_ref(),
            Self::UsFutures => FUTURES.as_ref(),
            Self::FxWeek => FX.as_ref(),
        }
    }

    /// Whether the market is open at an instant, as far as the calendar knows.
    pub fn market(self, at: Timestamp) -> Market {
        if self == Self::Always {
            return Market::Open;
        }
        let (year, ..) = at.date();
        match self.schedule() {
            Some(schedule) if (FIRST_YEAR..=LAST_YEAR).contains(&year) => {
                if schedule.is_open(at) {
                    Market::Open
                } else {
                    Market::Closed
                }
            }
            _ => Market::Unknown,
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::many_single_char_names,
    reason = "dates of three years, and a formula whose letters are its authors'"
)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;
    use jiff::civil::{Date, Weekday, date};
    use std::collections::BTreeSet;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_calendar_can_be_read() {
        for calendar in Calendar::ALL {
            assert_eq!(calendar.schedule().is_none(), *calendar == Calendar::Always, "{calendar}");
        }
    }

    #[test]
    fn sessions_and_breaks() {
        use Market::{Closed, Open, Unknown};
        let cases = [
            (Calendar::Always, "2099-01-01T00:00:00Z", Open),
            (Calendar::UsEquities, "2026-11-23T14:30:00Z", Open),
            (Calendar::UsEquities, "2026-11-23T21:00:00Z", Closed),
            (Calendar::UsEquities, "2026-11-26T16:00:00Z", Closed), // Thanksgiving
            (Calendar::UsEquities, "2026-11-27T17:59:59Z", Open),
            (Calendar::UsEquities, "2026-11-27T18:00:00Z", Closed),
            (Calendar::UsEquities, "2029-01-03T16:00:00Z", Unknown),
            (Calendar::UsEquities, "2025-12-31T16:00:00Z", Unknown),
            (Calendar::UsFutures, "2026-11-22T22:59:59Z", Closed), // Sunday 17:59:59
            (Calendar::UsFutures, "2026-11-22T23:00:00Z", Open),
            (Calendar::UsFutures, "2026-11-23T21:59:59Z", Open),
            (Calendar::UsFutures, "2026-11-23T22:00:00Z", Closed), // the daily break
            (Calendar::UsFutures, "2026-11-23T23:00:00Z", Open),
            (Calendar::UsFutures, "2026-11-26T18:00:00Z", Closed), // Thanksgiving 13:00
            (Calendar::UsFutures, "2026-12-25T15:00:00Z", Closed),
            (Calendar::UsFutures, "2026-12-27T23:00:00Z", Open),
            (Calendar::FxWeek, "2026-11-22T21:59:59Z", Closed),
            (Calendar::FxWeek, "2026-11-22T22:00:00Z", Open),
            (Calendar::FxWeek, "2026-11-27T21:59:59Z", Open),
            (Calendar::FxWeek, "2026-11-27T22:00:00Z", Closed),
            (Calendar::FxWeek, "2026-12-25T12:00:00Z", Closed),
        ];
        for (calendar, instant, market) in cases {
            assert_eq!(calendar.market(at(instant)), market, "{calendar} at {instant}");
        }
    }

    /// The holidays again, by the rules of NYSE Rule 7.2 rather than by list: weekdays of the year on
    /// which nothing opens.
    #[test]
    fn the_list_of_holidays_is_what_the_rules_say() {
        let schedule = Calendar::UsEquities.schedule().unwrap();
        for year in 2026..=2028 {
            let is_weekend =
                |day: Date| matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
            let closed: BTreeSet<Date> = (0..366)
                .map(|days| date(year, 1, 1) + days.days())
                .filter(|day| day.year() == year && !is_weekend(*day))
                .filter(|day| {
                    let noon: Timestamp = format!("{day}T16:00:00Z").parse().unwrap();
                    !schedule.is_open(noon)
                })
                .collect();
            assert_eq!(closed, holidays(year), "{year}");
        }
    }

    fn holidays(year: i16) -> BTreeSet<Date> {
        let nth =
            |month, nth, weekday| date(year, month, 1).nth_weekday_of_month(nth, weekday).unwrap();
        let observed = |day: Date| match day.weekday() {
            Weekday::Saturday => day - 1.day(),
            Weekday::Sunday => day + 1.day(),
            _ => day,
        };
        let mut days = BTreeSet::from([
            nth(1, 3, Weekday::Monday),
            nth(2, 3, Weekday::Monday),
            easter(year) - 2.days(),
            nth(5, -1, Weekday::Monday),
            observed(date(year, 6, 19)),
            observed(date(year, 7, 4)),
            nth(9, 1, Weekday::Monday),
            nth(11, 4, Weekday::Thursday),
            observed(date(year, 12, 25)),
        ]);
        // New Year's Day on a Saturday is not observed: its Friday ends a year of account.
        if date(year, 1, 1).weekday() != Weekday::Saturday {
            days.insert(observed(date(year, 1, 1)));
        }
        days
    }

    /// The Gregorian computus of Meeus, Jones and Butcher.
    fn easter(year: i16) -> Date {
        let y = i32::from(year);
        let (a, b, c) = (y % 19, y / 100, y % 100);
        let (d, e) = (b / 4, b % 4);
        let g = (8 * b + 13) / 25;
        let h = (19 * a + b - d - g + 15) % 30;
        let (i, k) = (c / 4, c % 4);
        let l = (32 + 2 * e + 2 * i - h - k) % 7;
        let m = (a + 11 * h + 19 * l) / 433;
        let month = (h + l - 7 * m + 90) / 25;
        let day = (h + l - 7 * m + 33 * month + 19) % 32;
        date(year, i8::try_from(month).unwrap(), i8::try_from(day).unwrap())
    }
}
