//! Reference prices: what an order's price is measured against, and how old that may be (S22).

use crate::money::Price;
use crate::order::words;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether an instrument trades now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Market {
    /// It trades.
    Open,
    /// It does not.
    Closed,
    /// Nobody says; counts as closed for entries (S14).
    Unknown,
}

words! {
    /// When an instrument of a paper exchange trades.
    Trading {
        /// At any time.
        Open = "open",
        /// Not at all.
        Closed = "closed",
        /// At the hours of its calendar.
        Hours = "hours",
    }
}

/// What is known about an instrument's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Best bid and ask, and when they were seen.
    pub quote: Option<(Price, Price, Timestamp)>,
    /// Last trade, and when.
    pub last: Option<(Price, Timestamp)>,
    /// What it last closed at, and when that was seen: its broker's word, or what was last heard while it
    /// traded.
    pub prior_close: Option<(Price, Timestamp)>,
    /// Whether it trades now.
    pub market: Market,
}

impl Reference {
    /// Nothing is known.
    pub const NONE: Self =
        Self { quote: None, last: None, prior_close: None, market: Market::Unknown };

    /// A quote may be this old.
    pub const QUOTE_AGE_MAX: Duration = Duration::from_secs(2);
    /// A last trade may be this old.
    pub const LAST_AGE_MAX: Duration = Duration::from_mins(1);

    /// A prior close may be this old: longer than the longest that exchanges stay closed.
    pub const PRIOR_CLOSE_AGE_MAX: Duration = Duration::from_hours(14 * 24);

    /// The price to measure against: the middle of a quote at most 2 s old, else a trade at most
    /// 60 s old, else, while the market is closed, its prior close; else nothing.
    pub fn price(&self, now: Timestamp) -> Option<Price> {
        let fresh = |at: Timestamp, age: Duration| at.plus(age) >= now;
        let quoted = self.middle().filter(|(_, at)| fresh(*at, Self::QUOTE_AGE_MAX));
        if let Some((middle, _)) = quoted {
            return Some(middle);
        }
        let traded =
            self.last.filter(|(price, at)| fresh(*at, Self::LAST_AGE_MAX) && price.is_positive());
        let closed = self.prior_close.filter(|(price, at)| {
            let fits = fresh(*at, Self::PRIOR_CLOSE_AGE_MAX) && price.is_positive();
            self.market == Market::Closed && fits
        });
        traded.or(closed).map(|(price, _)| price)
    }

    /// The best price that is known, however old: the newer of quote and trade, else what it last
    /// closed at. Nothing is measured against it; it may only be held against a band that somebody set.
    pub fn last_known(&self) -> Option<Price> {
        let positive = |known: &(Price, Timestamp)| known.0.is_positive();
        let traded = self.last.filter(positive);
        let newest = match (self.middle(), traded) {
            (Some(quoted), Some(traded)) if traded.1 > quoted.1 => Some(traded),
            (quoted, traded) => quoted.or(traded),
        };
        newest.or(self.prior_close.filter(positive)).map(|(price, _)| price)
    }

    /// The middle of a usable quote, and when it was seen.
    fn middle(&self) -> Option<(Price, Timestamp)> {
        let (bid, ask, at) = self.quote.filter(|(bid, ask, _)| bid.is_positive() && ask >= bid)?;
        let half = ask.units().checked_sub(bid.units())?.checked_div(2)?;
        Some((Price::from_units(bid.units().checked_add(half)?), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S22: quote at most 2 s old, then last trade at most 60 s old, then the prior close while the
    /// market is closed, then nothing.
    #[test]
    fn s22_ladder() {
        let now = Timestamp::from_unix_micros(100_000_000);
        let before = |seconds| now.minus(Duration::from_secs(seconds));
        let price = |text: &str| text.parse::<Price>().unwrap();
        let reference = |quote_age, last_age| Reference {
            quote: Some((price("99"), price("101"), before(quote_age))),
            last: Some((price("98"), before(last_age))),
            prior_close: None,
            market: Market::Open,
        };
        assert_eq!(reference(2, 0).price(now), Some(price("100")));
        assert_eq!(reference(3, 60).price(now), Some(price("98")));
        assert_eq!(reference(3, 61).price(now), None);
        assert_eq!(Reference::NONE.price(now), None);
        let close = |quote_age, last_age, market, text, hours: u64| {
            let closed = Some((price(text), before(hours * 3_600)));
            Reference { prior_close: closed, market, ..reference(quote_age, last_age) }.price(now)
        };
        assert_eq!(close(2, 0, Market::Closed, "97", 16), Some(price("100")));
        assert_eq!(close(3, 60, Market::Closed, "97", 16), Some(price("98")));
        assert_eq!(close(3, 61, Market::Closed, "97", 16), Some(price("97")));
        assert_eq!(close(3, 61, Market::Closed, "97", 14 * 24), Some(price("97")));
        assert_eq!(close(3, 61, Market::Closed, "97", 14 * 24 + 1), None);
        assert_eq!(close(3, 61, Market::Closed, "0", 16), None);
        for market in [Market::Open, Market::Unknown] {
            assert_eq!(close(3, 61, market, "97", 16), None, "only outside of trading");
        }
    }

    /// S22: what a band is held against is the newest that was heard, of any age.
    #[test]
    fn s22_the_best_price_of_any_age() {
        let at = |seconds: i64| Timestamp::from_unix_micros(seconds * 1_000_000);
        let price = |text: &str| text.parse::<Price>().unwrap();
        let quote = |text: &str, seconds| Some((price(text), price(text), at(seconds)));
        let of = |text: &str, seconds| Some((price(text), at(seconds)));
        for (quote, last, prior_close, known) in [
            (quote("100", 5), of("98", 5), of("97", 9), Some("100")),
            (quote("100", 5), of("98", 6), of("97", 9), Some("98")),
            (quote("100", 6), of("98", 5), None, Some("100")),
            (quote("0", 6), of("98", 5), None, Some("98")),
            (None, of("-1", 5), of("97", 1), Some("97")),
            (None, None, of("97", 1), Some("97")),
            (None, None, of("0", 1), None),
            (None, None, None, None),
        ] {
            let reference = Reference { quote, last, prior_close, ..Reference::NONE };
            assert_eq!(reference.last_known(), known.map(price), "{reference:?}");
        }
        assert_eq!(Reference::NONE.price(at(0)), None);
    }
}
