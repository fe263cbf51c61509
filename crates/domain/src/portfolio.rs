//! What everything on an account comes to at its worst: gross and net, live and unknown orders
//! counted as if they filled.

use crate::exchange::Conversion;
use crate::exposure::Exposure;
use crate::instrument::Instrument;
use crate::money::{Money, Price, Quantity};
use crate::price::{Market, Reference};
use crate::time::Timestamp;

/// Worths of positions and live orders, in the account's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Worth {
    /// Each instrument at its larger side, added up.
    pub gross: Money,
    /// The net if all that buys fills and nothing that sells does; negative is short.
    pub long: Money,
    /// The net if all that sells fills and nothing that buys does.
    pub short: Money,
}

impl Worth {
    /// The worth of one instrument; `None` if it does not fit. Rounded away from zero.
    pub fn of(
        exposure: &Exposure,
        price: Price,
        instrument: &Instrument,
        conversion: Conversion,
    ) -> Option<Self> {
        let held = exposure.quantity;
        let long = held.plus(exposure.entry_buy)?.plus(exposure.exit_buy)?;
        let short = held.minus(exposure.entry_sell)?.minus(exposure.exit_sell)?;
        let worth = |quantity: Quantity| {
            let money = price.notional(quantity, instrument.point_value)?;
            if money.is_positive() { conversion.up(money) } else { conversion.down(money) }
        };
        let (long, short) = (worth(long)?, worth(short)?);
        Some(Self { gross: long.magnitude().max(short.magnitude()), long, short })
    }

    /// Both together; `None` if it does not fit.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        Some(Self {
            gross: self.gross.plus(other.gross)?,
            long: self.long.plus(other.long)?,
            short: self.short.plus(other.short)?,
        })
    }

    /// The larger of the two nets, without its sign.
    pub fn net(self) -> Money {
        self.long.magnitude().max(self.short.magnitude())
    }
}

/// The price at which what is held is counted: the reference price; outside continuous trading the
/// higher side of the last quote, however old, if that is more (S22).
pub fn counted_at(reference: &Reference, now: Timestamp) -> Option<Price> {
    let closed = reference.market == Market::Closed;
    let prior = reference.quote.map(|(_, ask, _)| ask).filter(|ask| closed && ask.is_positive());
    reference.price(now).max(prior)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    fn instrument() -> Instrument {
        Instrument {
            symbol: "NQ".parse().unwrap(),
            tick: "0.25".parse().unwrap(),
            lot: quantity("1"),
            quantity_min: quantity("1"),
            point_value: quantity("20"),
            currency: "USD".to_owned(),
            calendar: None,
        }
    }

    #[test]
    fn every_live_order_counts_at_its_worst() {
        let exposure = Exposure {
            quantity: quantity("2"),
            entry_buy: quantity("1"),
            exit_buy: quantity("1"),
            entry_sell: quantity("3"),
            exit_sell: quantity("5"),
            ..Exposure::default()
        };
        let price: Price = "100".parse().unwrap();
        let worth = Worth::of(&exposure, price, &instrument(), Conversion::Same).unwrap();
        let money = |text: &str| text.parse::<Money>().unwrap();
        // 2 + 1 + 1 long, 2 - 3 - 5 short; a point is worth 20.
        assert_eq!((worth.long, worth.short), (money("8000"), money("-12000")));
        assert_eq!((worth.gross, worth.net()), (money("12000"), money("12000")));
        let both = worth.and(Worth { gross: money("1"), long: money("9000"), short: money("0.5") });
        let both = both.unwrap();
        assert_eq!((both.gross, both.net()), (money("12001"), money("17000")));
        let rate = Conversion::At("0.33333333".parse().unwrap());
        let abroad = Worth::of(&exposure, "0.01".parse().unwrap(), &instrument(), rate).unwrap();
        assert_eq!(abroad.short, money("-0.4"), "rounded away from zero");
        assert_eq!(worth.and(Worth { gross: Money::MAX, ..Worth::default() }), None);
    }

    #[test]
    fn a_closed_market_keeps_its_last_price() {
        let now = Timestamp::from_unix_micros(1_790_000_000_000_000);
        let old = now.minus(Duration::from_hours(30));
        let quote = Some(("99".parse().unwrap(), "101".parse().unwrap(), old));
        let with = |market| counted_at(&Reference { quote, market, ..Reference::NONE }, now);
        assert_eq!(with(Market::Closed), Some("101".parse().unwrap()));
        assert_eq!((with(Market::Open), with(Market::Unknown)), (None, None));
        let closed = |prior_close: &str| {
            let prior_close = Some((prior_close.parse().unwrap(), old));
            let reference = Reference { prior_close, market: Market::Closed, ..Reference::NONE };
            let quoted = Reference { quote, ..reference };
            (counted_at(&reference, now), counted_at(&quoted, now))
        };
        let price = |text: &str| Some(text.parse().unwrap());
        assert_eq!(closed("100"), (price("100"), price("101")), "what is higher");
        assert_eq!(closed("102"), (price("102"), price("102")));
    }
}
