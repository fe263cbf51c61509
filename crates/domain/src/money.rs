//! Prices, quantities and money: fixed point with eight decimals, checked arithmetic only.
//!
//! One unit of the underlying integer is 10^-8. The largest value is 92,233,720,368.54775807; what
//! does not fit is refused, never rounded or wrapped.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;

const DECIMALS: usize = 8;
const SCALE: i64 = 100_000_000;

/// A number that is no price, quantity or amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberError {
    /// Not a decimal number.
    Malformed,
    /// More than eight decimals.
    TooFine,
    /// Larger than 92,233,720,368.
    TooLarge,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a decimal number",
            Self::TooFine => "more than 8 decimals",
            Self::TooLarge => "larger than 92233720368",
        })
    }
}

impl std::error::Error for NumberError {}

/// Which way an inexact value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
}

macro_rules! fixed_point {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(i64::MAX);

            /// From the stored integer, in units of 10^-8.
            pub const fn from_units(units: i64) -> Self {
                Self(units)
            }

            /// The stored integer, in units of 10^-8.
            pub const fn units(self) -> i64 {
                self.0
            }

            /// A whole number; `None` if it does not fit.
            pub const fn from_whole(whole: i64) -> Option<Self> {
                match whole.checked_mul(SCALE) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }

            /// Greater than zero.
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }

            /// Exactly zero.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// Sum, or `None` if it does not fit.
            pub const fn plus(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }

            /// Difference, or `None` if it does not fit.
            pub const fn minus(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }

            /// Sum that stays at the end of the range.
            #[must_use]
            pub const fn saturating_plus(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// Difference that stays at the end of the range.
            #[must_use]
            pub const fn saturating_minus(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// The size without the sign.
            #[must_use]
            pub const fn magnitude(self) -> Self {
                Self(self.0.saturating_abs())
            }

            /// The same size with the other sign.
            #[must_use]
            pub const fn negated(self) -> Self {
                Self(self.0.saturating_neg())
            }

            /// The nearest multiple of `step` in the given direction; unchanged if `step` is not
            /// positive.
            #[must_use]
            pub const fn to_step(self, step: Self, round: Round) -> Self {
                if step.0 <= 0 {
                    return self;
                }
                let over = self.0.rem_euclid(step.0);
                if over == 0 {
                    return self;
                }
                let down = self.0.saturating_sub(over);
                match round {
                    Round::Down => Self(down),
                    Round::Up => Self(down.saturating_add(step.0)),
                }
            }

            /// `self * numerator / denominator`; `None` if the denominator is zero or the result
            /// does not fit.
            pub fn ratio(self, numerator: i64, denominator: i64, round: Round) -> Option<Self> {
                let product = i128::from(self.0).checked_mul(i128::from(numerator))?;
                divide(product, i128::from(denominator), round).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<Self, NumberError> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                print(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                print(self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

// A macro because the three share all their arithmetic and must never mix; a generic number with a
// marker would let one be made of another by inference.
fixed_point! {
    /// A price in the instrument's currency, for one unit.
    Price;
    /// A number of units or contracts; a position's sign is its side.
    Quantity;
    /// An amount of money in a stated currency.
    Money;
}

impl Price {
    /// One.
    pub const ONE: Self = Self(SCALE);

    /// `self * quantity * point_value`, rounded away from zero, so that a limit on it errs to the
    /// safe side. `None` if it does not fit.
    pub fn notional(self, quantity: Quantity, point_value: Quantity) -> Option<Money> {
        let product = i128::from(self.0).checked_mul(i128::from(quantity.0))?;
        let per_unit = divide_away(product, i128::from(SCALE))?;
        let value = per_unit.checked_mul(i128::from(point_value.0))?;
        i64::try_from(divide_away(value, i128::from(SCALE))?).ok().map(Money)
    }
}

impl Money {
    /// The average price of `quantity` units that cost `self` at `point_value`; `None` if the
    /// quantity is zero.
    pub fn average_price(self, quantity: Quantity, point_value: Quantity) -> Option<Price> {
        let scaled = i128::from(self.0).checked_mul(i128::from(SCALE))?;
        let per_point = divide(scaled, i128::from(point_value.0), Round::Down)?;
        let scaled = i128::from(per_point).checked_mul(i128::from(SCALE))?;
        divide(scaled, i128::from(quantity.0), Round::Down).map(Price)
    }
}

fn divide(product: i128, denominator: i128, round: Round) -> Option<i64> {
    let down = product.checked_div_euclid(denominator)?;
    let exact = product.checked_rem_euclid(denominator)? == 0;
    let floor = if exact || denominator > 0 { down } else { down.checked_sub(1)? };
    let value = match round {
        _ if exact => down,
        Round::Down => floor,
        Round::Up => floor.checked_add(1)?,
    };
    i64::try_from(value).ok()
}

fn divide_away(product: i128, denominator: i128) -> Option<i128> {
    let quotient = product.checked_div(denominator)?;
    match product.checked_rem(denominator)? {
        0 => Some(quotient),
        rest if rest > 0 => quotient.checked_add(1),
        _ => quotient.checked_sub(1),
    }
}

/// Reads `[-]digits[.digits][e[+-]digits]`, at most 64 characters.
fn parse(text: &str) -> Result<i64, NumberError> {
    if text.is_empty() || text.len() > 64 {
        return Err(NumberError::Malformed);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NumberError::Malformed);
            }
            let size: i64 = digits.parse().map_err(|_| NumberError::TooLarge)?;
            (mantissa, if exponent.starts_with('-') { size.saturating_neg() } else { size })
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(NumberError::Malformed);
    }
    let mut digits = 0_i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = i128::from(byte.saturating_sub(b'0'));
        digits = digits
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit))
            .ok_or(NumberError::TooLarge)?;
    }
    let decimals = i64::try_from(fraction.len()).map_err(|_| NumberError::TooFine)?;
    let shift = exponent.saturating_sub(decimals).saturating_add(8);
    let units = scale_by_ten(digits, shift)?;
    let units = i64::try_from(units).map_err(|_| NumberError::TooLarge)?;
    Ok(if negative { units.saturating_neg() } else { units })
}

fn scale_by_ten(digits: i128, shift: i64) -> Result<i128, NumberError> {
    if digits == 0 {
        return Ok(0);
    }
    let mut value = digits;
    for _ in 0..shift.unsigned_abs().min(64) {
        if shift > 0 {
            value = value.checked_mul(10).ok_or(NumberError::TooLarge)?;
        } else if value.checked_rem(10) == Some(0) {
            value = value.checked_div(10).unwrap_or(0);
        } else {
            return Err(NumberError::TooFine);
        }
    }
    match shift {
        65.. => Err(NumberError::TooLarge),
        ..=-65 => Err(NumberError::TooFine),
        _ => Ok(value),
    }
}

fn print(units: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let size = units.unsigned_abs();
    let scale = SCALE.unsigned_abs();
    let (whole, fraction) =
        (size.checked_div(scale).unwrap_or(0), size.checked_rem(scale).unwrap_or(0));
    let sign = if units < 0 { "-" } else { "" };
    if fraction == 0 {
        return f.pad(&format!("{sign}{whole}"));
    }
    let padded = format!("{fraction:0DECIMALS$}");
    f.pad(&format!("{sign}{whole}.{}", padded.trim_end_matches('0')))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn reads_and_prints() {
        for (text, printed) in [
            ("1", "1"),
            ("1.50", "1.5"),
            ("-0.00000001", "-0.00000001"),
            ("1e3", "1000"),
            ("2.5E-1", "0.25"),
            ("0.000000010", "0.00000001"),
            ("-0", "0"),
            ("92233720368.54775807", "92233720368.54775807"),
        ] {
            assert_eq!(quantity(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        use NumberError::{Malformed, TooFine, TooLarge};
        for (text, error) in [
            ("", Malformed),
            ("NaN", Malformed),
            ("Infinity", Malformed),
            ("1,5", Malformed),
            (".5", Malformed),
            ("5.", Malformed),
            ("+1", Malformed),
            ("1e", Malformed),
            ("0x10", Malformed),
            ("1 ", Malformed),
            ("0.000000001", TooFine),
            ("1e-9", TooFine),
            ("1e30", TooLarge),
            ("92233720369", TooLarge),
            ("1e99999999999999999999", TooLarge),
            ("1e-400", TooFine),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
        }
    }

    #[test]
    fn notional_errs_to_the_larger_side() {
        let price: Price = "0.00000003".parse().unwrap();
        let one = quantity("1");
        assert_eq!(price.notional(quantity("0.5"), one).unwrap().to_string(), "0.00000002");
        let index: Price = "4500.25".parse().unwrap();
        assert_eq!(index.notional(quantity("2"), quantity("50")).unwrap().to_string(), "450025");
        assert_eq!(Price::MAX.notional(quantity("2"), one), None);
    }

    proptest! {
        #[test]
        fn text_round_trips(units: i64) {
            let value = Money::from_units(units.max(-i64::MAX));
            prop_assert_eq!(value.to_string().parse::<Money>(), Ok(value));
        }

        #[test]
        fn steps_bracket_the_value(units in -1_000_000_i64..1_000_000, step in 1_i64..1_000) {
            let (value, step) = (Price::from_units(units), Price::from_units(step));
            let (down, up) = (value.to_step(step, Round::Down), value.to_step(step, Round::Up));
            prop_assert!(down <= value && value <= up);
            prop_assert!(up.units() - down.units() <= step.units());
            prop_assert_eq!(down.units().rem_euclid(step.units()), 0);
        }

        #[test]
        fn ratio_rounds_as_told(units in 0_i64..1_000_000, percent in 1_i64..=100) {
            let value = Quantity::from_units(units);
            let up = value.ratio(percent, 100, Round::Up).unwrap().units();
            let down = value.ratio(percent, 100, Round::Down).unwrap().units();
            prop_assert!(down * 100 <= units * percent && units * percent <= up * 100);
            prop_assert!(up - down <= 1);
        }

        #[test]
        fn garbage_is_refused_without_panic(text in ".{0,70}") {
            let _parsed = text.parse::<Price>();
        }
    }
}
