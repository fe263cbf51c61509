//! Profit and loss: exact over every split of the fills, and marked at what closing would bring.
//!
//! A position knows two sums: what it cost, and what was made of what was closed. Both are products
//! of prices and quantities that are never rounded; money is rounded once, when it is shown. So for
//! any sequence of fills and any mark, profit and what is still open are together exactly the worth
//! of what is held less what was paid for it: no split of a fill changes that by the smallest unit.

use crate::exchange::{Conversion, RateGap};
use crate::exposure::Exposure;
use crate::instrument::{Instrument, Symbol};
use crate::money::{Money, Price, Quantity};
use crate::price::{Market, Reference};
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// A price times a quantity, signed, in units of 10^-16, before the point value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Points(i128);

impl Points {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From the stored number, in units of 10^-16.
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// The stored number, in units of 10^-16.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// So much at this price, exactly; both may be negative.
    pub const fn of(price: Price, quantity: Quantity) -> Self {
        // Two numbers of 64 bits have a product of 128 bits.
        Self(widen(price.units()).saturating_mul(widen(quantity.units())))
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

    /// The same size with the other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// What `part` of `whole` comes to, cut toward zero; all of it, exactly, when they are the same.
    /// `None` if the whole is nothing or a number does not fit.
    pub fn share(self, part: Quantity, whole: Quantity) -> Option<Self> {
        if part == whole {
            return Some(self);
        }
        let (part, whole) = (i128::from(part.units()), i128::from(whole.units()));
        // Taken apart so that nothing between is larger than what goes in.
        let times = self.0.checked_div(whole)?.checked_mul(part)?;
        let rest = self.0.checked_rem(whole)?.checked_mul(part)?.checked_div(whole)?;
        times.checked_add(rest).map(Self)
    }

    /// The price at which `quantity` comes to this, cut to eight decimals; `None` if the quantity is
    /// zero.
    pub fn price(self, quantity: Quantity) -> Option<Price> {
        let price = self.0.checked_div(i128::from(quantity.units()))?;
        i64::try_from(price).ok().map(Price::from_units)
    }

    /// As money at `point_value`, rounded down, so that what is shown is never more than what there
    /// is. `None` if it does not fit.
    pub fn money(self, point_value: Quantity) -> Option<Money> {
        let value = i128::from(point_value.units());
        let whole = self.0.checked_div_euclid(POINT)?.checked_mul(value)?;
        let rest = self.0.checked_rem_euclid(POINT)?.checked_mul(value)?;
        let units = whole.checked_add(rest.checked_div_euclid(POINT)?)?;
        i64::try_from(units).ok().map(Money::from_units)
    }
}

/// Points of one unit of money at a point value of one: 10^16 points by 10^8, over 10^8.
const POINT: i128 = 10_000_000_000_000_000;

#[expect(clippy::as_conversions, reason = "`From` is not const; widening loses nothing")]
const fn widen(units: i64) -> i128 {
    units as i128
}

/// A mark may be this old while the instrument trades (S23).
pub const MARK_AGE_MAX: Duration = Duration::from_mins(1);

/// What closing a position would bring: the bid for what is long, the ask for what is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The price.
    pub price: Price,
    /// When it was quoted.
    pub at: Timestamp,
    /// Whether it is fresh: at most [`MARK_AGE_MAX`] old, or the market is closed and it is the last.
    pub is_fresh: bool,
    /// Whether the instrument trades, so that newer marks are to come.
    pub is_moving: bool,
}

impl Mark {
    /// The mark of a position of this sign; `None` if there never was a quote.
    pub fn of(reference: &Reference, quantity: Quantity, now: Timestamp) -> Option<Self> {
        let (bid, ask, at) = reference
            .quote
            .filter(|(bid, ask, _)| is_price(*bid) && is_price(*ask) && ask >= bid)?;
        let is_moving = reference.market != Market::Closed;
        Some(Self {
            price: if quantity.is_positive() { bid } else { ask },
            at,
            is_fresh: !is_moving || at.plus(MARK_AGE_MAX) >= now,
            is_moving,
        })
    }
}

/// Some instruments trade below zero. Zero is what venues say where there is no bid or ask.
fn is_price(price: Price) -> bool {
    price != Price::ZERO
}

/// Why a sum cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// The instrument has no mark, or none that is fresh.
    Mark(Symbol),
    /// The account cannot trade the instrument any more, so nobody says what a point is worth.
    Instrument(Symbol),
    /// A rate of exchange is missing or too old.
    Rate(RateGap),
    /// The broker has not said the account's equity, of which a limit is a part.
    Equity,
    /// The sum is larger than can be counted.
    TooLarge,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(symbol) => write!(f, "{symbol}: no bid and ask of the last 60 seconds"),
            Self::Instrument(symbol) => {
                write!(f, "{symbol}: the account does not trade it any more")
            }
            Self::Rate(gap) => gap.fmt(f),
            Self::Equity => f.write_str("no equity was heard in the last 60 seconds"),
            Self::TooLarge => f.write_str("the sum is larger than can be counted"),
        }
    }
}

/// What was made with an instrument, in its own currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profit {
    /// Of what was closed, fees not taken off.
    pub realized: Money,
    /// Of what is held, at its mark; zero when flat.
    pub unrealized: Result<Money, Gap>,
    /// The mark, unless flat.
    pub mark: Option<Mark>,
}

impl Profit {
    /// What was made with `exposure`, marked by `reference`.
    pub fn of(
        exposure: &Exposure,
        instrument: &Instrument,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Self, Gap> {
        let money = |points: Points| points.money(instrument.point_value).ok_or(Gap::TooLarge);
        let realized = money(exposure.realized)?;
        if exposure.quantity.is_zero() {
            // Of strategies that hold both sides, what the two sides cost apart from each other.
            let unrealized = money(exposure.cost.negated());
            return Ok(Self { realized, unrealized, mark: None });
        }
        let mark = Mark::of(reference, exposure.quantity, now);
        let unrealized = match mark.filter(|mark| mark.is_fresh) {
            None => Err(Gap::Mark(instrument.symbol.clone())),
            Some(mark) => Points::of(mark.price, exposure.quantity)
                .minus(exposure.cost)
                .ok_or(Gap::TooLarge)
                .and_then(money),
        };
        Ok(Self { realized, unrealized, mark })
    }
}

/// What an account, or a strategy on it, made with all its instruments, in the account's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Of what was closed, less fees.
    pub realized: Result<Money, Gap>,
    /// Of what is held, at its marks.
    pub unrealized: Result<Money, Gap>,
    moving: Option<Timestamp>,
    resting: Option<Timestamp>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { realized: Ok(Money::ZERO), unrealized: Ok(Money::ZERO), moving: None, resting: None }
    }
}

/// One instrument of a tally.
#[derive(Debug)]
pub struct Part<'a> {
    /// Its name.
    pub symbol: &'a Symbol,
    /// All that is held of it.
    pub exposure: &'a Exposure,
    /// Its rules, if the account still trades it.
    pub instrument: Option<&'a Instrument>,
    /// What is known about its price.
    pub reference: &'a Reference,
    /// From its currency into the account's.
    pub conversion: &'a Result<Conversion, RateGap>,
}

impl Tally {
    /// Counts an instrument in. A gap that is there already stays: the first one is told.
    pub fn add(&mut self, part: &Part<'_>, now: Timestamp) {
        let profit = part
            .instrument
            .ok_or_else(|| Gap::Instrument(part.symbol.clone()))
            .and_then(|instrument| Profit::of(part.exposure, instrument, part.reference, now));
        let convert = |money: Money| match part.conversion {
            _ if money.is_zero() => Ok(Money::ZERO),
            Ok(conversion) => conversion.down(money).ok_or(Gap::TooLarge),
            Err(gap) => Err(Gap::Rate(gap.clone())),
        };
        let (realized, unrealized) = match profit {
            Ok(profit) => {
                self.mark(profit.mark);
                let realized = convert(profit.realized)
                    .and_then(|money| money.minus(part.exposure.fees).ok_or(Gap::TooLarge));
                (realized, profit.unrealized.and_then(convert))
            }
            Err(gap) => (Err(gap.clone()), Err(gap)),
        };
        add(&mut self.realized, realized);
        add(&mut self.unrealized, unrealized);
    }

    fn mark(&mut self, mark: Option<Mark>) {
        let at = mark.map(|mark| mark.at);
        let is_moving = mark.is_some_and(|mark| mark.is_moving);
        let slot = if is_moving { &mut self.moving } else { &mut self.resting };
        *slot = [*slot, at].into_iter().flatten().min();
    }

    /// When the oldest mark was quoted: of the instruments that trade, or if none does, of all. `None`
    /// if nothing is held.
    pub fn marked_at(&self) -> Option<Timestamp> {
        self.moving.or(self.resting)
    }

    /// Both together: what there is more than if nothing had ever been traded.
    pub fn total(&self) -> Result<Money, Gap> {
        match (&self.realized, &self.unrealized) {
            (Ok(realized), Ok(unrealized)) => realized.plus(*unrealized).ok_or(Gap::TooLarge),
            (Err(gap), _) | (_, Err(gap)) => Err(gap.clone()),
        }
    }
}

fn add(sum: &mut Result<Money, Gap>, more: Result<Money, Gap>) {
    if let Ok(before) = *sum {
        *sum = more.and_then(|more| before.plus(more).ok_or(Gap::TooLarge));
    }
}

#[cfg(test)]
mod tests;
