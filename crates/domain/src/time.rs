//! Time as microseconds since 1970 in UTC, and the clock that tells it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An instant: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Tells the time. Everything that needs the time is given a clock.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// How far this clock is ahead of the machine's, because that was set back and this one never goes
    /// back; zero where they are one.
    fn ahead(&self) -> Duration;
}

impl Timestamp {
    /// The instant so many microseconds after 1970.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant and `span` later; stays at the end of time on overflow.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant less `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Year, month, day of the UTC date.
    pub fn date(self) -> (i64, i64, i64) {
        civil_from_days(self.0.div_euclid(MICROS_PER_DAY))
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days to a proleptic Gregorian date, by counting in 400-year eras of 146,097 days that begin in
/// March, so that a leap day is the last day of its year.
#[expect(clippy::arithmetic_side_effects, reason = "bounded by the range of i64 microseconds")]
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[expect(clippy::arithmetic_side_effects, reason = "callers bound year, month and day")]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with six decimals: `2026-11-22T02:03:04.000005Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let seconds = micros / 1_000_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
            micros % 1_000_000
        )
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeError;

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a time like 2026-11-22T02:03:04Z (RFC 3339)")
    }
}

impl std::error::Error for TimeError {}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// Reads RFC 3339 with `Z` or a numeric offset and up to nine decimals (cut to microseconds).
    #[expect(clippy::arithmetic_side_effects, reason = "every part is bounded by its digits")]
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let number = |range: std::ops::Range<usize>| -> Result<i64, TimeError> {
            let part = text.get(range).ok_or(TimeError)?;
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(TimeError);
            }
            part.parse().map_err(|_| TimeError)
        };
        let mark = |place: usize, allowed: &[u8]| -> Result<(), TimeError> {
            match text.as_bytes().get(place) {
                Some(byte) if allowed.contains(byte) => Ok(()),
                _ => Err(TimeError),
            }
        };
        mark(4, b"-")?;
        mark(7, b"-")?;
        mark(10, b"Tt ")?;
        mark(13, b":")?;
        mark(16, b":")?;
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
            return Err(TimeError);
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return Err(TimeError);
        }
        let rest = text.get(19..).ok_or(TimeError)?;
        let (micros, zone) = match rest.strip_prefix('.') {
            None => (0, rest),
            Some(after) => {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 || digits > 9 {
                    return Err(TimeError);
                }
                let padded: String =
                    after.chars().take(digits).chain("000000".chars()).take(6).collect();
                (
                    padded.parse::<i64>().map_err(|_| TimeError)?,
                    after.get(digits..).ok_or(TimeError)?,
                )
            }
        };
        let offset_minutes = match zone.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let start = text.len() - 5;
                let (hours, minutes) = (number(start..start + 2)?, number(start + 3..start + 5)?);
                if hours > 23 || minutes > 59 {
                    return Err(TimeError);
                }
                let minutes = hours * 60 + minutes;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return Err(TimeError),
        };
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_minutes * 60;
        Ok(Self(seconds * 1_000_000 + micros))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        let cases = [
            ("1970-01-01T00:00:00.000000Z", 0),
            ("2000-02-29T12:30:45.000001Z", 951_827_445_000_001),
            ("2026-11-22T02:03:04.500000Z", 1_795_312_984_500_000),
        ];
        for (text, micros) in cases {
            assert_eq!(text.parse(), Ok(Timestamp(micros)), "{text}");
            assert_eq!(Timestamp(micros).to_string(), text);
        }
    }

    #[test]
    fn offsets_and_short_fractions() {
        let utc: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        assert_eq!("2026-03-01T12:00:00+02:00".parse(), Ok(utc));
        assert_eq!("2026-03-01T09:30:00.0-00:30".parse(), Ok(utc));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "2026",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+2:00",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(micros in 0_i64..4_102_444_800_000_000) {
            prop_assert_eq!(Timestamp(micros).to_string().parse(), Ok(Timestamp(micros)));
        }

        #[test]
        fn garbage_is_refused_without_panic(text in ".{0,40}") {
            let _parsed = text.parse::<Timestamp>();
        }
    }
}
