//! What is listed, and the prices nobody made: synthetic, and the same for the same seed.

use crate::port::MarketState;
use serde::{Deserialize, Serialize};
use tradewarden_domain::calendar::Calendar;
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Money, NumberError, Price, Quantity, Round};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::Timestamp;

/// An instrument of the paper exchange, and where its price comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Its rules.
    pub instrument: Instrument,
    /// The price around which the synthetic one moves.
    pub base: Price,
    /// The price that was set, if one was.
    pub fixed: Option<Price>,
    /// Whether it trades.
    pub market: Trading,
    /// How much fills between two ticks; `None` is without end.
    pub liquidity: Option<Quantity>,
    /// Fee for each unit traded.
    pub fee_per_unit: Money,
}

/// A listing's prices at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prices {
    pub(crate) bid: Price,
    pub(crate) mid: Price,
    pub(crate) ask: Price,
}

impl Listing {
    /// Bid and ask one tick around the fixed or synthetic price.
    pub(crate) fn prices(&self, seed: u64, now: Timestamp) -> Prices {
        let Instrument { symbol, tick, .. } = &self.instrument;
        let mid =
            self.fixed.unwrap_or_else(|| synthetic_price(seed, symbol, self.base, *tick, now));
        Prices { bid: mid.saturating_minus(*tick), mid, ask: mid.saturating_plus(*tick) }
    }

    /// Whether it trades at one instant. Nobody knows the hours of an instrument without a calendar.
    pub(crate) fn market_at(&self, now: Timestamp) -> MarketState {
        match self.market {
            Trading::Open => MarketState::Open,
            Trading::Closed => MarketState::Closed,
            Trading::Hours => {
                let calendar = self.instrument.calendar;
                calendar.map_or(MarketState::Unknown, |calendar| calendar.market(now))
            }
        }
    }

    /// Whether `price` can be the middle: a positive multiple of the tick that leaves room for a
    /// bid and for a fill one tick worse.
    pub(crate) fn takes_price(&self, price: Price) -> bool {
        let tick = self.instrument.tick;
        price.to_step(tick, Round::Down) == price
            && price > tick.saturating_plus(tick)
            && price.notional(self.instrument.quantity_min, self.instrument.point_value).is_some()
    }
}

/// Period in seconds and weight in millionths of the base of each octave of noise: an hour's
/// drift, minutes, half-minutes, seconds. The weights sum to 29,500, so the price stays within
/// 3 % of the base.
const OCTAVES: [(i64, i64); 4] = [(3_600, 17_000), (300, 8_000), (30, 3_500), (4, 1_000)];

/// The synthetic price of `symbol` at `now`: value noise around `base`, cut down to the tick.
///
/// A pure function of its arguments in integers, so that every machine shows the same chart for
/// the same seed.
pub fn synthetic_price(
    seed: u64,
    symbol: &Symbol,
    base: Price,
    tick: Price,
    now: Timestamp,
) -> Price {
    let name = symbol.as_str().bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let micros = now.unix_micros();
    let mut swing = 0_i128;
    for (period, weight) in OCTAVES {
        let span = period.saturating_mul(1_000_000);
        let (cell, place) = (micros.div_euclid(span), micros.rem_euclid(span));
        let from = lattice(name, period, cell);
        let to = lattice(name, period, cell.wrapping_add(1));
        let step = i128::from(to.saturating_sub(from)).saturating_mul(i128::from(place));
        let value = i128::from(from).saturating_add(step.div_euclid(i128::from(span)));
        swing = swing.saturating_add(value.saturating_mul(i128::from(weight)));
    }
    // A lattice value is in millionths, and so is a weight.
    let shift = i128::from(base.units()).saturating_mul(swing).div_euclid(1_000_000_000_000);
    let units = base.units().saturating_add(i64::try_from(shift).unwrap_or(0));
    Price::from_units(units).to_step(tick, Round::Down)
}

/// The noise at one lattice point: -1,000,000 ..= 1,000,000, by the `SplitMix64` finalizer.
fn lattice(name: u64, period: i64, cell: i64) -> i64 {
    let mixed = mix(name ^ mix(period.cast_unsigned()) ^ mix(cell.cast_unsigned()).rotate_left(17));
    i64::try_from(mixed % 2_000_001).unwrap_or(0).saturating_sub(1_000_000)
}

/// One step of `SplitMix64`.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Symbol, tick, lot, point value, base, calendar.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, Calendar);

/// What a new exchange lists.
const DEFAULTS: [Row; 12] = [
    ("BTCUSD", "0.01", "0.0001", "1", "65000", Calendar::Always),
    ("ETHUSD", "0.01", "0.001", "1", "3400", Calendar::Always),
    ("AAPL", "0.01", "1", "1", "230", Calendar::UsEquities),
    ("MSFT", "0.01", "1", "1", "430", Calendar::UsEquities),
    ("SPY", "0.01", "1", "1", "560", Calendar::UsEquities),
    ("EURUSD", "0.00001", "1", "1", "1.08", Calendar::FxWeek),
    ("ES", "0.25", "1", "50", "5600", Calendar::UsFutures),
    ("NQ", "0.25", "1", "20", "19500", Calendar::UsFutures),
    ("ESZ26", "0.25", "1", "50", "5600", Calendar::UsFutures),
    ("ESH27", "0.25", "1", "50", "5650", Calendar::UsFutures),
    ("NQZ26", "0.25", "1", "20", "19500", Calendar::UsFutures),
    ("NQH27", "0.25", "1", "20", "19700", Calendar::UsFutures),
];

/// The currency in which the paper exchange settles everything.
pub(crate) const CURRENCY: &str = "USD";

/// The listings of a new exchange, all trading at any hour, synthetic and without end of liquidity.
pub(crate) fn default_listings() -> impl Iterator<Item = Listing> {
    // A row that did not parse would be missing from the list; a test counts them.
    DEFAULTS.iter().filter_map(|row| listing(row).ok())
}

fn listing(row: &Row) -> Result<Listing, NumberError> {
    let (symbol, tick, lot, point_value, base, calendar) = row;
    Ok(Listing {
        instrument: Instrument {
            symbol: symbol.parse().map_err(|_| NumberError::Malformed)?,
            tick: tick.parse()?,
            lot: lot.parse()?,
            quantity_min: lot.parse()?,
            point_value: point_value.parse()?,
            currency: CURRENCY.to_owned(),
            calendar: Some(*calendar),
        },
        base: base.parse()?,
        fixed: None,
        market: Trading::Open,
        liquidity: None,
        fee_per_unit: Money::ZERO,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_default_is_listed() {
        assert_eq!(default_listings().count(), DEFAULTS.len());
        assert!(default_listings().all(|listing| listing.takes_price(listing.base)));
    }

    /// Frozen: another value here means that every recorded demo chart changed.
    #[test]
    fn synthetic_prices_are_frozen() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let price = |seed, symbol: &str, base: &str, tick: &str, time: &str| {
            let symbol = symbol.parse().unwrap();
            let (base, tick) = (base.parse().unwrap(), tick.parse().unwrap());
            synthetic_price(seed, &symbol, base, tick, at(time)).to_string()
        };
        let cases = [
            (1, "BTCUSD", "65000", "0.01", "2026-11-22T00:00:00Z", "65584.53"),
            (1, "BTCUSD", "65000", "0.01", "2026-11-22T00:00:00.5Z", "65595.66"),
            (2, "BTCUSD", "65000", "0.01", "2026-11-22T00:00:00Z", "64579.48"),
            (1, "EURUSD", "1.08", "0.00001", "2026-11-22T12:34:56Z", "1.0903"),
            (1, "ES", "5600", "0.25", "2026-11-22T12:34:56Z", "5589"),
            (1, "ES", "5600", "0.25", "1969-12-31T23:59:59Z", "5680.25"),
        ];
        let found: Vec<String> = cases
            .iter()
            .map(|(seed, s, base, tick, time, _)| price(*seed, s, base, tick, time))
            .collect();
        assert_eq!(found, cases.map(|case| case.5.to_owned()));
    }

    proptest! {
        #[test]
        fn prices_stay_within_three_percent(seed: u64, micros: i64) {
            for listing in default_listings() {
                let prices = listing.prices(seed, Timestamp::from_unix_micros(micros));
                let base = listing.base.units();
                let distance = (prices.mid.units() - base).abs();
                prop_assert!(distance * 100 <= base * 3);
                prop_assert!(prices.bid.is_positive() && prices.bid < prices.ask);
                prop_assert!(listing.takes_price(prices.mid));
            }
        }

        /// The chart has no cliffs: at most 0.5 % within a second.
        #[test]
        fn prices_move_smoothly(seed: u64, second in 0_i64..4_000_000_000) {
            for listing in default_listings() {
                let at = |s: i64| listing.prices(seed, Timestamp::from_unix_micros(s * 1_000_000)).mid;
                let distance = (at(second + 1).units() - at(second).units()).abs();
                prop_assert!(distance * 200 <= listing.base.units());
            }
        }
    }
}
