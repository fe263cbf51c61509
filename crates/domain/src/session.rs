//! When a day of trading begins: a time of day in a place, whatever its clocks do (S23).

use crate::calendar::Calendar;
use crate::loss::LossReset;
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

/// When an account's days of trading begin and who ends a loss of one, and what both are to become once
/// the session that runs is over: no loss of today is forgotten because the beginning moves (S23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradingDays {
    /// When they begin.
    pub session: SessionStart,
    /// Who lets the account trade on after a loss of one.
    pub loss_reset: LossReset,
    /// What becomes of that, or became of it since it was written.
    pub next: Option<NextDays>,
}

/// What days of trading become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextDays {
    /// When they begin.
    pub session: SessionStart,
    /// Who lets the account trade on after a loss of one.
    pub loss_reset: LossReset,
    /// When the session began that runs until then.
    pub running_since: Timestamp,
    /// The first of their beginnings that the running session is not cut short by: no day of trading
    /// becomes shorter than a day by it, so nobody is let lose a day's limit more often.
    pub begins_at: Timestamp,
}

impl TradingDays {
    /// Days that stay as they are.
    pub const fn new(session: SessionStart, loss_reset: LossReset) -> Self {
        Self { session, loss_reset, next: None }
    }

    /// What is to come, if anything is.
    pub fn to_come(&self, now: Timestamp) -> Option<&NextDays> {
        self.next.as_ref().filter(|next| now < next.begins_at)
    }

    /// When they begin, and who ends a loss of one, as it holds now.
    pub fn in_force(&self, now: Timestamp) -> (&SessionStart, LossReset) {
        match &self.next {
            Some(next) if next.begins_at <= now => (&next.session, next.loss_reset),
            _ => (&self.session, self.loss_reset),
        }
    }

    /// When the session began that `now` is in. `now` may be before the change that is to come was said:
    /// then it is the session of what held, as far as that is known.
    pub fn began(&self, now: Timestamp) -> Timestamp {
        match self.to_come(now).filter(|next| next.running_since <= now) {
            Some(next) => next.running_since,
            None => self.in_force(now).0.before(now),
        }
    }

    /// When the next session begins.
    fn begins_after(&self, now: Timestamp) -> Timestamp {
        match self.to_come(now) {
            Some(next) => next.begins_at,
            None => self.in_force(now).0.begins_after(now),
        }
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

    /// The same days where they are to be others after the running session. To say what holds takes back
    /// what was to come, unless the running session is longer for it already.
    #[must_use]
    pub fn changed(&self, session: SessionStart, loss_reset: LossReset, now: Timestamp) -> Self {
        let (running, held) = self.in_force(now);
        let running_since = self.began(now);
        let by_itself = running.begins_after(running_since);
        let is_longer = by_itself <= now;
        let days = Self::new(running.clone(), held);
        if !is_longer && (running, held) == (&session, loss_reset) {
            return days;
        }
        let ends = if is_longer { self.begins_after(now) } else { by_itself };
        let begins_at = session.begins_after(ends.minus(Duration::from_micros(1)));
        Self { next: Some(NextDays { session, loss_reset, running_since, begins_at }), ..days }
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
            let days = TradingDays::new(start.parse().unwrap(), LossReset::Session);
            let (now, ends): (Timestamp, Timestamp) = (now.parse().unwrap(), ends.parse().unwrap());
            let last = ends.minus(Duration::from_micros(1));
            assert_eq!(days.ends_after(calendar, now), last, "{start} {calendar:?} {now}");
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

    fn instant(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_unix_micros(instant.as_microsecond())
    }

    fn days(start: &str) -> TradingDays {
        TradingDays::new(start.parse().unwrap(), LossReset::Person)
    }

    /// S23: a session that runs is neither cut short nor forgotten by what its account's days become.
    #[test]
    fn s23_other_days_begin_after_the_running_session() {
        let said = instant("2026-11-20T12:00:00Z");
        let now_and_then = |days: &TradingDays, at: &str| {
            let (session, loss_reset) = days.in_force(instant(at));
            (days.began(instant(at)), session.to_string(), loss_reset)
        };
        // Said at noon of a session that ends at 22:00; the next word has its first beginning after that
        // at midnight, at 21:00 of the day after, or at 22:00 itself.
        for (word, begins) in [
            ("00:00 UTC", "2026-11-21T00:00:00Z"),
            ("21:00 UTC", "2026-11-21T21:00:00Z"),
            ("22:00 UTC", "2026-11-20T22:00:00Z"),
            (SessionStart::FUTURES, "2026-11-20T22:00:00Z"),
        ] {
            let changed = days(SessionStart::FUTURES).changed(
                word.parse().unwrap(),
                LossReset::Session,
                said,
            );
            let since = instant("2026-11-19T22:00:00Z");
            let before = (since, SessionStart::FUTURES.to_owned(), LossReset::Person);
            for at in ["2026-11-20T12:00:00Z", "2026-11-20T21:59:59.999999Z"] {
                assert_eq!(now_and_then(&changed, at), before, "{word} {at}");
            }
            let last = instant(begins).minus(Duration::from_micros(1));
            assert_eq!(changed.began(last), since, "{word}");
            assert_eq!(changed.ends_after(None, said), last, "{word}");
            let after = (instant(begins), word.to_owned(), LossReset::Session);
            assert_eq!(now_and_then(&changed, begins), after, "{word}");
            assert!(changed.to_come(last).is_some() && changed.to_come(instant(begins)).is_none());
            let later = instant(begins).plus(Duration::from_hours(30));
            assert_eq!(changed.began(later), word.parse::<SessionStart>().unwrap().before(later));
        }
    }

    /// S23: what is asked of a time before the session that runs until they hold is told as it was.
    #[test]
    fn s23_what_was_before_the_running_session_stays() {
        let said = instant("2026-11-20T12:00:00Z");
        let changed = days(SessionStart::FUTURES).changed(
            "02:00 UTC".parse().unwrap(),
            LossReset::Session,
            said,
        );
        for (at, began) in [
            ("2026-11-18T12:00:00Z", "2026-11-17T22:00:00Z"),
            ("2026-11-19T21:59:59.999999Z", "2026-11-18T22:00:00Z"),
            ("2026-11-19T22:00:00Z", "2026-11-19T22:00:00Z"),
            ("2026-11-21T01:00:00Z", "2026-11-19T22:00:00Z"),
            ("2026-11-21T02:00:00Z", "2026-11-21T02:00:00Z"),
        ] {
            assert_eq!(changed.began(instant(at)), instant(began), "{at}");
        }
    }

    /// S23: however often they are changed, no session is shorter than a day.
    #[test]
    fn s23_changing_days_again_cuts_no_session_short() {
        let futures = days(SessionStart::FUTURES);
        let said = instant("2026-11-20T12:00:00Z");
        let moved = futures.changed("02:00 UTC".parse().unwrap(), LossReset::Person, said);
        // Corrected in time, the running session ends by its own word.
        let corrected = moved.changed("23:00 UTC".parse().unwrap(), LossReset::Person, said);
        assert_eq!(corrected.next.unwrap().begins_at, instant("2026-11-20T23:00:00Z"));
        let back = moved.changed(futures.session.clone(), LossReset::Person, said);
        assert_eq!(back, futures);
        // While it lasts longer than by its own word, it lasts as long as was said.
        let late = instant("2026-11-20T23:30:00Z");
        let since = instant("2026-11-19T22:00:00Z");
        for (word, begins) in [
            (SessionStart::FUTURES, "2026-11-21T22:00:00Z"),
            ("23:45 UTC", "2026-11-21T23:45:00Z"),
            ("02:00 UTC", "2026-11-21T02:00:00Z"),
        ] {
            let again = moved.changed(word.parse().unwrap(), LossReset::Person, late);
            assert_eq!(again.began(late), since, "{word}");
            assert_eq!(again.next.unwrap().begins_at, instant(begins), "{word}");
        }
        // Once it holds, it is what the next change begins from.
        let held = instant("2026-11-21T03:00:00Z");
        let next = moved.changed("04:00 UTC".parse().unwrap(), LossReset::Session, held);
        assert_eq!(next.session.to_string(), "02:00 UTC");
        assert_eq!(next.began(held), instant("2026-11-21T02:00:00Z"));
        assert_eq!(next.next.unwrap().begins_at, instant("2026-11-22T04:00:00Z"));
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
