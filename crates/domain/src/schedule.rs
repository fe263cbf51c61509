//! Schedules: at which local times something trades, by day of the week, in a time zone.
//!
//! What decides is the clock on the wall of the zone, in whole minutes: a schedule is open while
//! that clock shows a time inside one of its windows. So the days on which clocks change need no
//! rule of their own:
//! - Where clocks jump ahead, the times in the gap are shown by no clock. A window that begins in the
//!   gap begins at its end, one that ends in it ends there, and one that lies inside is not open.
//! - Where clocks are set back, an hour is shown twice, and both count: a window inside it is open
//!   twice, one that reaches into it from before is open again when the hour comes back.
//!
//! A window belongs to the day on which it begins, also where it crosses midnight. A dated exception
//! replaces the windows that begin on its date, and leaves alone what began the day before.

mod text;

pub use self::text::ScheduleError;

use crate::day::Day;
use crate::time::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Days and windows of local time in a time zone, with dated exceptions. Its text form is that of
/// [`std::fmt::Display`], for example `mon-fri 09:30-16:00 America/New_York except 2026-12-25`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    /// The windows that begin on each day of the week, Monday first.
    week: [Windows; 7],
    exceptions: BTreeMap<Date, Windows>,
    zone: TimeZone,
    /// The text form without the dated exceptions.
    regular: Arc<str>,
}

/// What the clock on the wall of a zone shows; text only when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WallClock {
    local: Option<DateTime>,
    zone: TimeZone,
}

/// The windows that begin on one day, in order, at least a minute apart.
type Windows = Vec<Window>;

/// Minutes of local time since the midnight on which the window's day begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    /// The first minute that is open, 0 to 1439.
    from: u16,
    /// The first that is not any more, up to a day after `from`.
    until: u16,
}

const DAY: u16 = 1_440;
/// How far ahead a change is looked for: beyond the longest closing of an exchange.
const DAYS_AHEAD: i32 = 14;

impl Schedule {
    /// Whether it is open at an instant.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.local(at).is_some_and(|local| self.shows(local))
    }

    /// When it next opens or closes after `at`; nothing if that is more than 14 days away.
    pub fn changes_after(&self, at: Timestamp) -> Option<Timestamp> {
        let from = jiff::Timestamp::from_microsecond(at.unix_micros()).ok()?;
        let today = self.zone.to_datetime(from).date();
        // Every instant at which the wall clock can show the bound of a window, or jump over one.
        let mut instants: Vec<jiff::Timestamp> =
            self.zone.following(from).take(4).map(|transition| transition.timestamp()).collect();
        for days in -1..=DAYS_AHEAD {
            let date = today.checked_add(jiff::Span::new().days(days)).ok()?;
            for window in self.windows_of(date) {
                for minute in [window.from, window.until] {
                    self.instants_of(date, minute, &mut instants);
                }
            }
        }
        instants.retain(|instant| *instant > from);
        instants.sort_unstable();
        let now = self.is_open(at);
        instants
            .into_iter()
            .map(|instant| Timestamp::from_unix_micros(instant.as_microsecond()))
            .find(|instant| self.is_open(*instant) != now)
            .filter(|instant| instant.unix_seconds() <= at.unix_seconds().saturating_add(AHEAD_S))
    }

    /// How long it was open between two instants; of more than a thousand changes only the first count.
    pub fn open_between(&self, from: Timestamp, until: Timestamp) -> Duration {
        let (mut sum, mut at) = (Duration::ZERO, from);
        for _ in 0..CHANGES_MAX {
            if at >= until {
                break;
            }
            let next = self.changes_after(at).map_or(until, |next| next.min(until));
            if self.is_open(at) {
                sum = sum.saturating_add(next.since(at));
            }
            at = next;
        }
        sum
    }

    /// What the wall clock shows, as a person reads it: `Sun 2026-11-22 18:05 America/New_York`.
    pub fn wall_clock(&self, at: Timestamp) -> WallClock {
        WallClock { local: self.local(at), zone: self.zone.clone() }
    }

    /// What the wall clock shows, and whether it is open then.
    pub fn shown(&self, at: Timestamp) -> (WallClock, bool) {
        let clock = self.wall_clock(at);
        let is_open = clock.local.is_some_and(|local| self.shows(local));
        (clock, is_open)
    }

    /// The windows of the week without the dated exceptions, in the text form.
    pub fn regular(&self) -> Arc<str> {
        Arc::clone(&self.regular)
    }

    /// Whether a window begins on this day, exceptions counted.
    pub fn begins_something_on(&self, day: Day) -> bool {
        !self.windows_of(day.date()).is_empty()
    }

    fn zone_name(&self) -> &str {
        name_of(&self.zone)
    }

    fn local(&self, at: Timestamp) -> Option<DateTime> {
        let instant = jiff::Timestamp::from_microsecond(at.unix_micros()).ok()?;
        Some(self.zone.to_datetime(instant))
    }

    fn shows(&self, local: DateTime) -> bool {
        let hours = u16::try_from(local.hour()).unwrap_or(0);
        let minutes = u16::try_from(local.minute()).unwrap_or(0);
        let minute = hours.saturating_mul(60).saturating_add(minutes);
        let holds = |date: Date, minute: u16| {
            let windows = self.windows_of(date);
            windows.iter().any(|window| window.from <= minute && minute < window.until)
        };
        let date = local.date();
        holds(date, minute)
            || date.yesterday().is_ok_and(|before| holds(before, minute.saturating_add(DAY)))
    }

    fn windows_of(&self, date: Date) -> &[Window] {
        if let Some(windows) = self.exceptions.get(&date) {
            return windows;
        }
        let place = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        self.week.get(place).map_or(&[], Vec::as_slice)
    }

    /// The instants at which the wall clock shows that minute of that day: one, two, or none.
    fn instants_of(&self, date: Date, minute: u16, instants: &mut Vec<jiff::Timestamp>) {
        let span = jiff::Span::new().minutes(minute);
        let Ok(local) = date.to_datetime(jiff::civil::Time::midnight()).checked_add(span) else {
            return;
        };
        let offsets = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
            // The transition itself is looked at anyway.
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
        };
        let found = offsets.into_iter().flatten();
        instants.extend(found.filter_map(|offset| offset.to_timestamp(local).ok()));
    }
}

const CHANGES_MAX: usize = 1_000;
const AHEAD_S: i64 = 14 * 86_400;

/// Every zone here was found by its name.
fn name_of(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

impl fmt::Display for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(local) = self.local else { return Ok(()) };
        let (day, date, zone) = (text::day_name(local.date()), local.date(), name_of(&self.zone));
        write!(f, "{day} {date} {:02}:{:02} {zone}", local.hour(), local.minute())
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "minutes of a few weeks")]
mod tests;
