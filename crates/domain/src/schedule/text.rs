//! The text form of a schedule, for the command line, the API and the database:
//!
//! ```text
//! DAYS WINDOWS[; DAYS WINDOWS]... ZONE [except DATE[=WINDOWS]...]
//! ```
//!
//! - `DAYS`: `mon`, `mon-fri`, `sun-thu` (around the week's end), or several with commas.
//! - `WINDOWS`: `09:30-16:00`, or several with commas. A window whose end is not after its beginning
//!   ends on the next day: `18:00-17:00` lasts 23 hours, `17:00-17:00` a day. `24:00` is the end of
//!   the day.
//! - `ZONE`: a name of the IANA time zone database.
//! - `DATE`: `2026-12-25`, on which nothing begins, or `2026-11-27=09:30-13:00`, on which these
//!   windows begin instead.
//!
//! What is printed is what can be read again, the shortest way to say the same.

use super::{DAY, Schedule, Window, Windows};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Longest text, in bytes.
const TEXT_MAX: usize = 16 * 1024;
const EXCEPTIONS_MAX: usize = 400;
const WINDOWS_MAX: usize = 8;

/// The text is no schedule; says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError(String);

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected for example `mon-fri 09:30-16:00 America/New_York`", self.0)
    }
}

impl std::error::Error for ScheduleError {}

fn wrong<T>(what: impl Into<String>) -> Result<T, ScheduleError> {
    Err(ScheduleError(what.into()))
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > TEXT_MAX {
            return wrong(format!("a schedule has at most {TEXT_MAX} bytes"));
        }
        let (regular, exceptions) = match text.split_once(" except ") {
            Some((regular, exceptions)) => (regular, read_exceptions(exceptions)?),
            None => (text, BTreeMap::new()),
        };
        let Some((rules, zone)) = regular.trim().rsplit_once(char::is_whitespace) else {
            return wrong("a schedule has days, windows and a time zone");
        };
        let mut week: [Windows; 7] = Default::default();
        for rule in rules.split(';') {
            let mut words = rule.split_whitespace();
            let (Some(days), Some(windows), None) = (words.next(), words.next(), words.next())
            else {
                return wrong(format!(
                    "{:?} is not one word of days and one of windows",
                    rule.trim()
                ));
            };
            let windows = read_windows(windows)?;
            for day in read_days(days)? {
                match week.get_mut(day) {
                    Some(place) if place.is_empty() => place.clone_from(&windows),
                    _ => return wrong(format!("{days} names a day that was named before")),
                }
            }
        }
        let zone = read_zone(zone)?;
        let mut schedule = Self { week, exceptions: BTreeMap::new(), zone, regular: Arc::from("") };
        schedule.regular = schedule.to_string().into();
        Ok(Self { exceptions, ..schedule })
    }
}

fn read_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    // By its name alone: what else the library reads as a zone has none to print.
    match TimeZone::get(name) {
        Ok(zone) if zone.iana_name().is_some() => Ok(zone),
        _ => wrong(format!("{name:?} is no time zone of the IANA database")),
    }
}

/// Indexes of days, Monday 0.
fn read_days(text: &str) -> Result<Vec<usize>, ScheduleError> {
    let index = |name: &str| match NAMES.iter().position(|known| *known == name) {
        Some(index) => Ok(index),
        None => wrong(format!("{name:?} is no day: they are mon, tue, wed, thu, fri, sat, sun")),
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        let around = NAMES.iter().enumerate().map(|(day, _)| day).cycle().skip(first);
        let count = if last >= first {
            last.abs_diff(first)
        } else {
            7_usize.abs_diff(first.abs_diff(last))
        };
        days.extend(around.take(count.saturating_add(1)));
    }
    Ok(days)
}

fn read_windows(text: &str) -> Result<Windows, ScheduleError> {
    let mut windows = Vec::new();
    for part in text.split(',') {
        let Some((from, until)) = part.split_once('-') else {
            return wrong(format!("{part:?} is no window"));
        };
        let (from, until) = (read_minute(from)?, read_minute(until)?);
        if from == DAY {
            return wrong("a window begins before 24:00");
        }
        let until = if until > from { until } else { until.saturating_add(DAY) };
        windows.push(Window { from, until });
    }
    windows.sort_unstable();
    let apart = windows.iter().zip(windows.iter().skip(1)).all(|(one, next)| one.until < next.from);
    if windows.len() > WINDOWS_MAX || !apart {
        return wrong(format!(
            "a day has at most {WINDOWS_MAX} windows, and they do not touch: {text}"
        ));
    }
    Ok(windows)
}

/// `HH:MM` as minutes since midnight, up to 24:00.
fn read_minute(text: &str) -> Result<u16, ScheduleError> {
    let two = |digits: &str| -> Option<u16> {
        let digits = (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then_some(digits);
        digits?.parse().ok()
    };
    let parts =
        text.split_once(':').and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)));
    match parts {
        Some((hours, minutes)) if minutes < 60 && (hours < 24 || (hours, minutes) == (24, 0)) => {
            Ok(hours.saturating_mul(60).saturating_add(minutes))
        }
        _ => wrong(format!("{text:?} is no time of day from 00:00 to 24:00")),
    }
}

fn read_exceptions(text: &str) -> Result<BTreeMap<Date, Windows>, ScheduleError> {
    let mut exceptions = BTreeMap::new();
    for part in text.split_whitespace() {
        let (date, windows) = match part.split_once('=') {
            Some((date, windows)) => (date, read_windows(windows)?),
            None => (part, Vec::new()),
        };
        let is_date = date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = match date.parse() {
            Ok(parsed) if is_date => parsed,
            _ => return wrong(format!("{date:?} is no date like 2026-12-25")),
        };
        if exceptions.insert(date, windows).is_some() {
            return wrong(format!("{date} is named twice"));
        }
    }
    if exceptions.is_empty() || exceptions.len() > EXCEPTIONS_MAX {
        return wrong(format!("except takes 1 to {EXCEPTIONS_MAX} dates"));
    }
    Ok(exceptions)
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (first, last) in self.runs() {
            f.write_str(separator)?;
            separator = "; ";
            let (from, to) = (name_of(first), name_of(last));
            if first == last {
                f.write_str(from)?;
            } else {
                write!(f, "{from}-{to}")?;
            }
            f.write_char(' ')?;
            write_windows(f, self.week.get(first).map_or(&[], Vec::as_slice))?;
        }
        write!(f, " {}", self.zone_name())?;
        if !self.exceptions.is_empty() {
            f.write_str(" except")?;
        }
        for (date, windows) in &self.exceptions {
            write!(f, " {date}")?;
            if !windows.is_empty() {
                f.write_char('=')?;
                write_windows(f, windows)?;
            }
        }
        Ok(())
    }
}

impl Schedule {
    /// Days that follow one another and have the same windows, around the week's end too; first and
    /// last of each run.
    fn runs(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (day, windows) in self.week.iter().enumerate() {
            if windows.is_empty() {
                continue;
            }
            match runs.last_mut() {
                Some((first, last))
                    if last.abs_diff(day) == 1 && self.week.get(*first) == Some(windows) =>
                {
                    *last = day;
                }
                _ => runs.push((day, day)),
            }
        }
        // sun-thu rather than mon-thu and sun.
        if let (Some((0, early_end)), Some((late, 6))) =
            (runs.first().copied(), runs.last().copied())
            && runs.len() > 1
            && self.week.first() == self.week.get(late)
        {
            runs.remove(0);
            runs.pop();
            runs.push((late, early_end));
        }
        runs
    }
}

fn name_of(day: usize) -> &'static str {
    NAMES.get(day).copied().unwrap_or_default()
}

fn write_windows(f: &mut fmt::Formatter<'_>, windows: &[Window]) -> fmt::Result {
    let mut separator = "";
    for window in windows {
        // The end of a day is written 24:00 where the window began on it.
        let until =
            if window.until > DAY { window.until.saturating_sub(DAY) } else { window.until };
        let (from, until) = (clock(window.from), clock(until));
        write!(f, "{separator}{from}-{until}")?;
        separator = ",";
    }
    Ok(())
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute.div_euclid(60), minute.rem_euclid(60))
}

/// `Mon` to `Sun`.
pub(super) fn day_name(date: Date) -> &'static str {
    match date.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}
