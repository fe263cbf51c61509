//! When a day of trading begins: a time of day in a place, whatever its clocks do (S23).

use crate::calendar::Calendar;
use crate::order::UnknownWord;
use crate::price::Market;
use crate::time::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The beginning of a session, for example `17:00 America/New_York`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStart {
    time: Time,
    zone: TimeZone,
    name: String,
}

impl SessionStart {
    /// Futures and currencies; also what holds unless an account says otherwise.
    pub const FUTURES: &'static str = "17:00 America/New_York";
    /// Crypto.
    pub const CRYPTO: &'static str = "00:00 UTC";
    /// Equities.
    pub const EQUITIES: &'static str = "00:00 America/New_York";

    /// What suits an account that trades instruments of these calendars: that of the one kind, if it
    /// is one. Of several, of what has none and of currencies it is the one of futures.
    pub fn usual(mut calendars: impl Iterator<Item = Option<Calendar>>) -> &'static str {
        let Some(first) = calendars.next() else { return Self::FUTURES };
        let is_one = calendars.all(|other| other == first);
        match first.filter(|_| is_one) {
            Some(Calendar::Always) => Self::CRYPTO,
            Some(Calendar::UsEquities) => Self::EQUITIES,
            Some(Calendar::UsFutures | Calendar::FxWeek) | None => Self::FUTURES,
        }
    }

    /// When the session began that `now` is in.
    pub fn before(&self, now: Timestamp) -> Timestamp {
        // Only years that no clock shows are out of range; then the session is as old as time.
        self.began(now).unwrap_or_default()
    }

    /// The last instant of the session that an instrument of this calendar is in: before the calendar
    /// next closes, or before the next session begins here, whatever comes first (S12). An instrument
    /// without a calendar of ours has only the latter.
    pub fn ends_after(&self, calendar: Option<Calendar>, now: Timestamp) -> Timestamp {
        let closes = calendar
            .filter(|calendar| calendar.market(now) == Market::Open)
            .and_then(|calendar| calendar.schedule()?.changes_after(now));
        let next = self.begins_after(now);
        closes.map_or(next, |closes| closes.min(next)).minus(Duration::from_micros(1))
    }

    /// When the next session begins.
    fn begins_after(&self, now: Timestamp) -> Timestamp {
        // A day of trading is never longer, whatever clocks do.
        let latest = now.plus(Duration::from_hours(26));
        let starts = |at: Timestamp| {
            let began = self.before(at);
            (began > now).then_some(began)
        };
        let sooner = starts(now.plus(Duration::from_hours(23)));
        sooner.or_else(|| starts(latest)).unwrap_or(latest)
    }

    fn began(&self, now: Timestamp) -> Option<Timestamp> {
        let now = jiff::Timestamp::from_microsecond(now.unix_micros()).ok()?;
        let today = now.to_zoned(self.zone.clone()).date();
        // A clock that was put back, or a zone that skipped a day, may make it the day before that.
        let days = [Some(today), today.yesterday().ok()];
        let begun = days.into_iter().flatten().filter_map(|day| self.on(day));
        let begun = begun.filter(|begun| *begun <= now).max()?;
        Some(Timestamp::from_unix_micros(begun.as_microsecond()))
    }

    /// A time that the clocks skip is as much later as they skip; of one that they show twice it is
    /// the first.
    fn on(&self, day: Date) -> Option<jiff::Timestamp> {
        let zoned = day.to_datetime(self.time).to_zoned(self.zone.clone()).ok()?;
        Some(zoned.timestamp())
    }
}

impl FromStr for SessionStart {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let (time, name) = text.split_once(' ').ok_or(UnknownWord)?;
        let (hour, minute) = time.split_once(':').ok_or(UnknownWord)?;
        let two = |digits: &str| {
            let is_two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
            is_two.then(|| digits.parse::<i8>().ok()).flatten().ok_or(UnknownWord)
        };
        let time = Time::new(two(hour)?, two(minute)?, 0, 0).map_err(|_| UnknownWord)?;
        let zone = TimeZone::get(name).map_err(|_| UnknownWord)?;
        // By the name that the database has for it, so that there is one way to write it.
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { time, zone, name })
    }
}

impl fmt::Display for SessionStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02} {}", self.time.hour(), self.time.minute(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(start: &str, now: &str) -> String {
        let now: jiff::Timestamp = now.parse().unwrap();
        let start: SessionStart = start.parse().unwrap();
        let began = start.before(Timestamp::from_unix_micros(now.as_microsecond()));
        jiff::Timestamp::from_microsecond(began.unix_micros()).unwrap().to_string()
    }

    /// S12: a session of an instrument ends when its calendar closes, or when the next one begins.
    #[test]
    fn s12_a_session_ends_by_its_calendar_or_with_the_next() {
        let (equities, futures, fx) = (Calendar::UsEquities, Calendar::UsFutures, Calendar::FxWeek);
        for (start, calendar, now, ends) in [
            (
                SessionStart::EQUITIES,
                Some(equities),
                "2026-11-23T15:00:00Z",
                "2026-11-23T21:00:00Z",
            ),
            // The day after Thanksgiving ends early.
            (
                SessionStart::EQUITIES,
                Some(equities),
                "2026-11-27T15:00:00Z",
                "2026-11-27T18:00:00Z",
            ),
            (SessionStart::FUTURES, Some(futures), "2026-11-23T15:00:00Z", "2026-11-23T22:00:00Z"),
            (SessionStart::FUTURES, Some(futures), "2026-11-23T23:00:00Z", "2026-11-24T22:00:00Z"),
            // Currencies close on Friday only; their day still ends at 17:00.
            (SessionStart::FUTURES, Some(fx), "2026-11-23T23:00:00Z", "2026-11-24T22:00:00Z"),
            (
                SessionStart::CRYPTO,
                Some(Calendar::Always),
                "2026-11-21T23:59:59Z",
                "2026-11-22T00:00:00Z",
            ),
            (
                SessionStart::CRYPTO,
                Some(Calendar::Always),
                "2026-11-22T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (SessionStart::FUTURES, None, "2026-11-23T15:00:00Z", "2026-11-23T22:00:00Z"),
            // Where our calendar says closed, or nothing, there is only the next session.
            (
                SessionStart::EQUITIES,
                Some(equities),
                "2026-11-23T22:00:00Z",
                "2026-11-24T05:00:00Z",
            ),
            (
                SessionStart::EQUITIES,
                Some(equities),
                "2031-01-06T16:00:00Z",
                "2031-01-07T05:00:00Z",
            ),
            // A day of 23 hours, and one of 25.
            (SessionStart::FUTURES, None, "2026-03-07T22:00:00Z", "2026-03-08T21:00:00Z"),
            (SessionStart::FUTURES, None, "2026-10-31T21:00:00Z", "2026-11-01T22:00:00Z"),
        ] {
            let start: SessionStart = start.parse().unwrap();
            let (now, ends): (Timestamp, Timestamp) = (now.parse().unwrap(), ends.parse().unwrap());
            let last = ends.minus(Duration::from_micros(1));
            assert_eq!(start.ends_after(calendar, now), last, "{start} {calendar:?} {now}");
        }
    }

    /// S23: 17:00 New York, 00:00 UTC, 00:00 New York; also across the changes of the clocks.
    #[test]
    fn s23_a_session_begins_by_the_clocks_of_its_place() {
        for (start, now, expected) in [
            (SessionStart::FUTURES, "2026-11-20T21:59:59Z", "2026-11-19T22:00:00Z"),
            (SessionStart::FUTURES, "2026-11-20T22:00:00Z", "2026-11-20T22:00:00Z"),
            (SessionStart::FUTURES, "2026-07-01T12:00:00Z", "2026-06-30T21:00:00Z"),
            (SessionStart::CRYPTO, "2026-11-20T23:59:59.999999Z", "2026-11-20T00:00:00Z"),
            (SessionStart::EQUITIES, "2026-11-20T04:59:59Z", "2026-11-19T05:00:00Z"),
            (SessionStart::EQUITIES, "2026-11-20T05:00:00Z", "2026-11-20T05:00:00Z"),
            // New York puts its clocks forward on 8 March 2026 and back on 1 November.
            (SessionStart::FUTURES, "2026-03-08T20:59:59Z", "2026-03-07T22:00:00Z"),
            (SessionStart::FUTURES, "2026-03-08T21:00:00Z", "2026-03-08T21:00:00Z"),
            (SessionStart::FUTURES, "2026-11-01T21:59:59Z", "2026-10-31T21:00:00Z"),
            (SessionStart::FUTURES, "2026-11-01T22:00:00Z", "2026-11-01T22:00:00Z"),
            // 02:30 does not exist on that day, and 01:30 is there twice.
            ("02:30 America/New_York", "2026-03-08T07:30:00Z", "2026-03-08T07:30:00Z"),
            ("01:30 America/New_York", "2026-11-01T06:30:00Z", "2026-11-01T05:30:00Z"),
        ] {
            assert_eq!(began(start, now), expected, "{start} at {now}");
        }
    }

    #[test]
    fn s23_each_kind_of_instruments_has_its_own() {
        let (always, equities) = (Some(Calendar::Always), Some(Calendar::UsEquities));
        let (futures, currencies) = (Some(Calendar::UsFutures), Some(Calendar::FxWeek));
        for (calendars, expected) in [
            (vec![always, always], SessionStart::CRYPTO),
            (vec![equities, equities], SessionStart::EQUITIES),
            (vec![futures], SessionStart::FUTURES),
            (vec![currencies], SessionStart::FUTURES),
            (vec![equities, always], SessionStart::FUTURES),
            (vec![equities, None], SessionStart::FUTURES),
            (vec![None], SessionStart::FUTURES),
            (Vec::new(), SessionStart::FUTURES),
        ] {
            assert_eq!(SessionStart::usual(calendars.iter().copied()), expected, "{calendars:?}");
        }
    }

    #[test]
    fn what_is_no_beginning_is_refused() {
        for text in
            ["", "17:00", "24:00 UTC", "7:00 UTC", "07:60 UTC", "17:00 Atlantis", "17:00  UTC"]
        {
            assert!(text.parse::<SessionStart>().is_err(), "{text}");
        }
        for text in [SessionStart::FUTURES, SessionStart::CRYPTO, SessionStart::EQUITIES] {
            assert_eq!(text.parse::<SessionStart>().unwrap().to_string(), text);
        }
    }
}
