//! The resting orders of one instrument, each in the one place where a tick will look for it.

use super::order::PaperOrder;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use tradewarden_domain::money::Price;
use tradewarden_domain::order::{OrderType, Side};

/// Resting orders by how they will be found; in each set the first to be served comes first.
///
/// An order is in exactly one set while it is live or held back, and in none otherwise.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Held back by a fault, whatever their kind; also after they were canceled.
    held_back: BTreeSet<u64>,
    /// To be filled at the market: what is left of market and triggered stop orders.
    at_market: BTreeSet<u64>,
    limit_buys: BTreeSet<(Reverse<Price>, u64)>,
    limit_sells: BTreeSet<(Price, u64)>,
    stop_buys: BTreeSet<(Price, u64)>,
    stop_sells: BTreeSet<(Reverse<Price>, u64)>,
}

/// Where an order rests.
enum Place {
    HeldBack,
    AtMarket,
    Limit(Side, Price),
    Stop(Side, Price),
}

fn place(order: &PaperOrder) -> Place {
    if order.held_back {
        return Place::HeldBack;
    }
    let stop = order.stop_price.filter(|_| !order.triggered);
    match (order.order_type, stop, order.limit_price) {
        (OrderType::Stop | OrderType::StopLimit, Some(stop), _) => Place::Stop(order.side, stop),
        (OrderType::Limit | OrderType::StopLimit, _, Some(limit)) => {
            Place::Limit(order.side, limit)
        }
        _ => Place::AtMarket,
    }
}

impl Book {
    pub(crate) fn insert(&mut self, order: &PaperOrder) {
        let number = order.number;
        let _is_new = match place(order) {
            Place::HeldBack => self.held_back.insert(number),
            Place::AtMarket => self.at_market.insert(number),
            Place::Limit(Side::Buy, price) => self.limit_buys.insert((Reverse(price), number)),
            Place::Limit(Side::Sell, price) => self.limit_sells.insert((price, number)),
            Place::Stop(Side::Buy, price) => self.stop_buys.insert((price, number)),
            Place::Stop(Side::Sell, price) => self.stop_sells.insert((Reverse(price), number)),
        };
    }

    /// Removes the order; it must be as it was when it was inserted.
    pub(crate) fn remove(&mut self, order: &PaperOrder) {
        let number = order.number;
        let _was_there = match place(order) {
            Place::HeldBack => self.held_back.remove(&number),
            Place::AtMarket => self.at_market.remove(&number),
            Place::Limit(Side::Buy, price) => self.limit_buys.remove(&(Reverse(price), number)),
            Place::Limit(Side::Sell, price) => self.limit_sells.remove(&(price, number)),
            Place::Stop(Side::Buy, price) => self.stop_buys.remove(&(price, number)),
            Place::Stop(Side::Sell, price) => self.stop_sells.remove(&(Reverse(price), number)),
        };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held_back.is_empty()
            && self.at_market.is_empty()
            && self.limit_buys.is_empty()
            && self.limit_sells.is_empty()
            && self.stop_buys.is_empty()
            && self.stop_sells.is_empty()
    }

    pub(crate) fn held_back(&self, most: usize) -> Vec<u64> {
        self.held_back.iter().take(most).copied().collect()
    }

    /// Stops that have traded: buys at or under the ask, sells at or over the bid.
    pub(crate) fn triggered(&self, bid: Price, ask: Price, most: usize) -> Vec<u64> {
        let buys = self.stop_buys.range(..=(ask, u64::MAX)).map(|(_, number)| *number);
        let sells = self.stop_sells.range(..=(Reverse(bid), u64::MAX)).map(|(_, number)| *number);
        buys.chain(sells).take(most).collect()
    }

    /// What can fill now: first at the market in order of arrival, then limits, best price first.
    pub(crate) fn marketable(&self, bid: Price, ask: Price, most: usize) -> Vec<u64> {
        let buys = self.limit_buys.range(..=(Reverse(ask), u64::MAX)).map(|(_, number)| *number);
        let sells = self.limit_sells.range(..=(bid, u64::MAX)).map(|(_, number)| *number);
        self.at_market.iter().copied().chain(buys).chain(sells).take(most).collect()
    }
}
