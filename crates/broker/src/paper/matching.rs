//! When orders fill, and at what price.
//!
//! The exchange is pessimistic: what takes liquidity pays one tick more than the quote (S24), a
//! limit is never improved while it rests, and nothing fills while the market is closed.

use super::price::Prices;
use super::record::Record;
use super::state::{Inconsistent, PaperExchange, day};
use crate::port::{BrokerAccount, BrokerOrderState, MarketState, ReduceOnly};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity, Round};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// A tick looks at so many orders of one instrument; the rest wait for the next. It bounds how long
/// a tick keeps commands waiting and how large its record can be.
const TICK_MAX: usize = 2_048;

/// Whether an order meets the market as it arrives, or was resting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    Arrives,
    Rests,
}

impl PaperExchange {
    /// One look at everything that rests: fills what trades, ends what has expired.
    pub(super) fn tick(
        &mut self,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Inconsistent> {
        self.used.clear();
        self.books.retain(|_, book| !book.is_empty());
        let symbols: Vec<Symbol> = self.books.keys().cloned().collect();
        for symbol in symbols {
            let Some(listing) = self.listings.get(&symbol) else { continue };
            if listing.market_at(now) == MarketState::Open {
                let prices = listing.prices(self.seed, now);
                self.tick_symbol(&symbol, prices, now, records)?;
            }
        }
        let over: Vec<u64> =
            self.days.range(..(day(now), 0)).map(|(_, number)| *number).take(TICK_MAX).collect();
        for order in over {
            self.emit(Record::Ended { order, state: BrokerOrderState::Expired, at: now }, records)?;
        }
        Ok(())
    }

    fn tick_symbol(
        &mut self,
        symbol: &Symbol,
        prices: Prices,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Inconsistent> {
        let Some(book) = self.books.get(symbol) else { return Ok(()) };
        for order in book.held_back(TICK_MAX) {
            self.emit(Record::Released { order }, records)?;
            self.meet(order, prices, None, now, Meeting::Arrives, records)?;
        }
        let Some(book) = self.books.get(symbol) else { return Ok(()) };
        for order in book.triggered(prices.bid, prices.ask, TICK_MAX) {
            self.emit(Record::Triggered { order }, records)?;
        }
        let Some(book) = self.books.get(symbol) else { return Ok(()) };
        for order in book.marketable(prices.bid, prices.ask, TICK_MAX) {
            if self.liquidity_left(symbol).is_some_and(|left| !left.is_positive()) {
                break;
            }
            self.meet(order, prices, None, now, Meeting::Rests, records)?;
        }
        Ok(())
    }

    /// A new or changed order meets the market; at most `cap` of it fills now.
    pub(super) fn arrive(
        &mut self,
        number: u64,
        cap: Option<Quantity>,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Inconsistent> {
        let Some(listing) = self.orders.get(&number).and_then(|o| self.listings.get(&o.symbol))
        else {
            return Err(Inconsistent("an order arrives that is not there"));
        };
        if listing.market_at(now) != MarketState::Open {
            return Ok(());
        }
        let prices = listing.prices(self.seed, now);
        self.meet(number, prices, cap, now, Meeting::Arrives, records)
    }

    /// Fills as much of an order as the market gives, and cancels what may not wait.
    fn meet(
        &mut self,
        number: u64,
        prices: Prices,
        cap: Option<Quantity>,
        now: Timestamp,
        meeting: Meeting,
        records: &mut Vec<Record>,
    ) -> Result<(), Inconsistent> {
        if self.stop_has_traded(number, prices) {
            self.emit(Record::Triggered { order: number }, records)?;
        }
        let (quantity, price) = self.given(number, prices, cap, meeting);
        if quantity.is_positive() {
            let fee = self.fee(number, quantity);
            let fill = self.last_fill.saturating_add(1);
            let filled = Record::Filled { fill, order: number, quantity, price, fee, at: now };
            self.emit(filled, records)?;
        }
        if self.may_not_wait(number) {
            let state = BrokerOrderState::Canceled;
            self.emit(Record::Ended { order: number, state, at: now }, records)?;
        }
        Ok(())
    }

    fn stop_has_traded(&self, number: u64, prices: Prices) -> bool {
        self.orders.get(&number).is_some_and(|order| {
            let is_stop = matches!(order.order_type, OrderType::Stop | OrderType::StopLimit);
            let waits = is_stop && !order.triggered && order.state.is_live();
            waits
                && order.stop_price.is_some_and(|stop| match order.side {
                    Side::Buy => prices.ask >= stop,
                    Side::Sell => prices.bid <= stop,
                })
        })
    }

    /// How much of the order the market gives now, and at what price.
    fn given(
        &self,
        number: u64,
        prices: Prices,
        cap: Option<Quantity>,
        meeting: Meeting,
    ) -> (Quantity, Price) {
        const NOTHING: (Quantity, Price) = (Quantity::ZERO, Price::ZERO);
        let Some(order) = self.orders.get(&number) else { return NOTHING };
        let Some(listing) = self.listings.get(&order.symbol) else { return NOTHING };
        let (tick, lot) = (listing.instrument.tick, listing.instrument.lot);
        let (quote, taking) = match order.side {
            Side::Buy => (prices.ask, prices.ask.saturating_plus(tick)),
            Side::Sell => (prices.bid, prices.bid.saturating_minus(tick)),
        };
        let is_stop = matches!(order.order_type, OrderType::Stop | OrderType::StopLimit);
        if is_stop && !order.triggered {
            return NOTHING;
        }
        let limit = order.limit_price.map(|limit| match order.side {
            Side::Buy => (quote <= limit, taking.min(limit), limit),
            Side::Sell => (quote >= limit, taking.max(limit), limit),
        });
        let price = match (limit, meeting) {
            (None, _) => taking,
            (Some((false, ..)), _) => return NOTHING,
            (Some((true, on_arrival, _)), Meeting::Arrives) => on_arrival,
            (Some((true, _, at_rest)), Meeting::Rests) => at_rest,
        };
        let remaining = order.remaining().min(self.may_reduce(number));
        let mut offered = self.liquidity_left(&order.symbol).unwrap_or(Quantity::MAX);
        if let Some(cap) = cap {
            offered = offered.min(cap);
        }
        let quantity = if offered >= remaining {
            remaining
        } else if order.time_in_force == TimeInForce::Fok {
            Quantity::ZERO
        } else {
            offered.to_step(lot, Round::Down)
        };
        (quantity, price)
    }

    /// How much of a reduce-only order the position allows; without end for any other.
    fn may_reduce(&self, number: u64) -> Quantity {
        match self.orders.get(&number) {
            Some(order) if order.reduce_only == ReduceOnly::Yes => {
                self.reducible(&order.account, &order.symbol, order.side)
            }
            Some(_) => Quantity::MAX,
            None => Quantity::ZERO,
        }
    }

    /// How much an order on `side` can take off the account's position.
    pub(super) fn reducible(
        &self,
        account: &BrokerAccount,
        symbol: &Symbol,
        side: Side,
    ) -> Quantity {
        let account = self.accounts.get(account);
        let held = account.map_or(Quantity::ZERO, |account| account.held(symbol));
        side.opposite().signed(held).max(Quantity::ZERO)
    }

    /// Whether what is left of the order must be canceled: it may only be filled at once, or it
    /// may only reduce and nothing is left to be reduced.
    fn may_not_wait(&self, number: u64) -> bool {
        let Some(order) = self.orders.get(&number).filter(|order| order.state.is_live()) else {
            return false;
        };
        match order.time_in_force {
            TimeInForce::Ioc | TimeInForce::Fok => true,
            TimeInForce::Day | TimeInForce::Gtc => self.may_reduce(number).is_zero(),
        }
    }

    /// How much of the instrument still fills before the next tick; `None` is without end.
    fn liquidity_left(&self, symbol: &Symbol) -> Option<Quantity> {
        let limit = self.listings.get(symbol)?.liquidity?;
        let used = self.used.get(symbol).copied().unwrap_or_default();
        Some(limit.saturating_minus(used).max(Quantity::ZERO))
    }

    fn fee(&self, number: u64, quantity: Quantity) -> Money {
        let listing = self.orders.get(&number).and_then(|order| self.listings.get(&order.symbol));
        let per_unit = listing.map_or(Money::ZERO, |listing| listing.fee_per_unit);
        per_unit.ratio(quantity.units(), 100_000_000, Round::Up).unwrap_or(Money::ZERO)
    }
}
