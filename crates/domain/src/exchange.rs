//! Rates of exchange: said by somebody, at a time, for a while. What was not said is not known; no
//! rate is ever taken to be one because there is none.

use crate::id::{self, Id};
use crate::money::{Money, Price, Round};
use crate::time::Timestamp;
use std::fmt;

/// How many units of one currency a unit of another is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRate {
    /// The owner.
    pub org_id: Id<id::Org>,
    /// The currency whose unit is valued, three letters.
    pub base: String,
    /// The currency it is valued in, three letters.
    pub quote: String,
    /// How many of `quote` one `base` is worth; greater than zero.
    pub rate: Price,
    /// Where it comes from, in words.
    pub source: String,
    /// When it was so.
    pub at: Timestamp,
    /// Until when it may be counted with.
    pub valid_until: Timestamp,
}

/// A rate that is needed and not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateGap {
    /// Nobody ever said it.
    Missing {
        /// From this currency.
        base: String,
        /// Into this one.
        quote: String,
    },
    /// Its time is over.
    Stale {
        /// From this currency.
        base: String,
        /// Into this one.
        quote: String,
        /// When it was over.
        valid_until: Timestamp,
    },
}

impl fmt::Display for RateGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { base, quote } => write!(f, "{base}/{quote}: there is no rate"),
            Self::Stale { base, quote, valid_until } => {
                write!(f, "{base}/{quote}: the rate was valid until {valid_until}")
            }
        }
    }
}

/// From one currency into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// They are the same.
    Same,
    /// At this rate.
    At(Price),
}

/// What one unit of rate is: eight decimals.
const SCALE: i64 = 100_000_000;

impl Conversion {
    /// From `base` into `quote` by the rates that are known. The rate must have been said this way
    /// round: none is turned around or put together from others.
    pub fn find(
        rates: &[ExchangeRate],
        base: &str,
        quote: &str,
        now: Timestamp,
    ) -> Result<Self, RateGap> {
        if base == quote {
            return Ok(Self::Same);
        }
        let found = rates.iter().find(|rate| rate.base == base && rate.quote == quote);
        match found {
            None => Err(RateGap::Missing { base: base.to_owned(), quote: quote.to_owned() }),
            Some(rate) if rate.valid_until < now => Err(RateGap::Stale {
                base: base.to_owned(),
                quote: quote.to_owned(),
                valid_until: rate.valid_until,
            }),
            Some(rate) => Ok(Self::At(rate.rate)),
        }
    }

    /// Converted, rounded down: a profit is not overstated, a loss not understated.
    pub fn down(self, money: Money) -> Option<Money> {
        self.convert(money, Round::Down)
    }

    /// Converted, rounded up: a size is not understated.
    pub fn up(self, money: Money) -> Option<Money> {
        self.convert(money, Round::Up)
    }

    fn convert(self, money: Money, round: Round) -> Option<Money> {
        match self {
            Self::Same => Some(money),
            Self::At(rate) => money.ratio(rate.units(), SCALE, round),
        }
    }
}

/// Whether the text is three capital letters.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);

    fn euro(valid_until: Timestamp) -> ExchangeRate {
        ExchangeRate {
            org_id: Id::from_bytes([1; 16]),
            base: "EUR".to_owned(),
            quote: "USD".to_owned(),
            rate: "1.0873".parse().unwrap(),
            source: "ECB".to_owned(),
            at: NOW,
            valid_until,
        }
    }

    #[test]
    fn a_rate_that_nobody_said_is_not_one() {
        let rates = [euro(NOW)];
        let find = |base: &str, quote: &str, now| Conversion::find(&rates, base, quote, now);
        assert_eq!(find("USD", "USD", NOW), Ok(Conversion::Same));
        assert_eq!(find("EUR", "USD", NOW), Ok(Conversion::At("1.0873".parse().unwrap())));
        assert!(
            matches!(find("USD", "EUR", NOW), Err(RateGap::Missing { .. })),
            "not turned round"
        );
        assert!(matches!(find("GBP", "USD", NOW), Err(RateGap::Missing { .. })));
        let later = NOW.plus(Duration::from_micros(1));
        assert!(matches!(find("EUR", "USD", later), Err(RateGap::Stale { .. })));
    }

    #[test]
    fn conversions_round_to_the_careful_side() {
        let third = Conversion::At("0.33333333".parse().unwrap());
        let money = |text: &str| text.parse::<Money>().unwrap();
        assert_eq!(third.down(money("0.00000001")), Some(Money::ZERO));
        assert_eq!(third.up(money("0.00000001")), Some(money("0.00000001")));
        assert_eq!(third.down(money("-0.00000001")), Some(money("-0.00000001")));
        assert_eq!(Conversion::Same.down(money("-7.5")), Some(money("-7.5")));
        assert_eq!(third.down(money("300")), Some(money("99.999999")));
        assert_eq!(Conversion::At(Price::MAX).down(Money::MAX), None);
    }
}
