//! The state of the paper exchange, and the one function that changes it.
//!
//! Pure: no file, no clock, no channel. [`PaperExchange::apply`] judges a command against the
//! state at a given instant; whatever it decides happens through [`PaperExchange::fold`], one
//! [`Record`] at a time, and the same records folded again after a crash make the same state.
//! Only how much liquidity the present tick has left is not in a record: a restart begins a tick.

use super::book::Book;
use super::message::{Command, PaperCounts, Reply};
use super::order::{PaperFill, PaperOrder};
use super::position::Position;
use super::price::{Listing, default_listings};
use super::record::{NewOrder, NoOrder, Record};
use crate::port::{BrokerAccount, BrokerOrderState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::order::TimeInForce;
use tradewarden_domain::time::Timestamp;

/// The exchange: accounts, listings, orders, and the indexes that find them.
#[derive(Debug)]
pub struct PaperExchange {
    /// Where synthetic prices come from.
    pub(super) seed: u64,
    pub(super) accounts: BTreeMap<BrokerAccount, Account>,
    pub(super) listings: BTreeMap<Symbol, Listing>,
    /// Every order that is kept, by number.
    pub(super) orders: BTreeMap<u64, PaperOrder>,
    /// Live day orders by the day they were made on.
    pub(super) days: BTreeSet<(i64, u64)>,
    /// In symbol order, so that a tick does the same everywhere.
    pub(super) books: BTreeMap<Symbol, Book>,
    /// What filled since the last tick; not durable.
    pub(super) used: HashMap<Symbol, Quantity>,
    pub(super) last_order: u64,
    pub(super) last_fill: u64,
    pub(super) counts: PaperCounts,
}

/// An account.
#[derive(Debug)]
pub(crate) struct Account {
    /// What it started with.
    pub(super) opening: Money,
    pub(super) currency: String,
    pub(super) fees: Money,
    pub(super) positions: BTreeMap<Symbol, Position>,
    /// Every client order id ever received.
    pub(super) ids: HashMap<String, ClientId>,
    /// Live orders by number.
    pub(super) open: BTreeSet<u64>,
    /// Fills by number, of the orders that are kept.
    pub(super) fills: BTreeMap<u64, PaperFill>,
    /// The highest number of a fill that is not kept any more; 0 for none.
    pub(super) fills_dropped_through: u64,
}

/// What is known of a client order id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientId {
    /// How many place commands named it.
    pub(super) received: u32,
    /// The order that came of it.
    pub(super) order: IdOrder,
}

/// The order that came of a client order id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IdOrder {
    /// None: it was lost before it was judged.
    #[default]
    None,
    /// The one of this number.
    Kept(u64),
    /// One that ended long ago and is not kept.
    Dropped,
}

/// What a fault does to a command before it is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    #[default]
    None,
    /// The command is lost; a placement is counted.
    Lost,
    /// The answer is no.
    Reject,
    /// The answer is that there are too many commands.
    Throttle,
    /// At most so much of a placement fills at once.
    Partial(Quantity),
    /// A placement is held back until the next tick.
    Late,
}

/// What a command did and what it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What happened; already folded. To be durable before the reply leaves.
    pub records: Vec<Record>,
    /// The answer.
    pub reply: Reply,
}

/// A record does not fit the state: the journal is not this exchange's, or there is a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inconsistent(pub(super) &'static str);

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record does not fit the state of the paper exchange: {}", self.0)
    }
}

impl std::error::Error for Inconsistent {}

impl PaperExchange {
    /// An exchange with the default listings and no accounts, whose synthetic prices follow `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            accounts: BTreeMap::new(),
            listings: default_listings()
                .map(|listing| (listing.instrument.symbol.clone(), listing))
                .collect(),
            orders: BTreeMap::new(),
            days: BTreeSet::new(),
            books: BTreeMap::new(),
            used: HashMap::new(),
            last_order: 0,
            last_fill: 0,
            counts: PaperCounts::default(),
        }
    }

    /// Judges `command` at `now` and does what it decides. An error is a defect: the exchange must
    /// not be used after it.
    pub fn apply(
        &mut self,
        command: Command,
        now: Timestamp,
        twist: Twist,
    ) -> Result<Applied, Inconsistent> {
        let mut records = Vec::new();
        let reply = self.judge(command, now, twist, &mut records)?;
        Ok(Applied { records, reply })
    }

    /// Folds a record and notes it for the journal.
    pub(super) fn emit(
        &mut self,
        record: Record,
        records: &mut Vec<Record>,
    ) -> Result<(), Inconsistent> {
        self.fold(&record)?;
        records.push(record);
        Ok(())
    }

    /// Makes `record` have happened. An error means that it cannot have; the state is then not to
    /// be used.
    pub fn fold(&mut self, record: &Record) -> Result<(), Inconsistent> {
        match record {
            Record::Opened { account, cash, currency } => {
                let opened = Account::new(*cash, currency.clone());
                match self.accounts.insert(account.clone(), opened) {
                    None => Ok(()),
                    Some(_) => Err(Inconsistent("an account is opened twice")),
                }
            }
            Record::Listed(listing) => {
                let symbol = listing.instrument.symbol.clone();
                self.listings.insert(symbol, listing.as_ref().clone());
                Ok(())
            }
            Record::Priced { symbol, fixed, market } => {
                let listing = self.listings.get_mut(symbol).ok_or(NOT_LISTED)?;
                listing.fixed = *fixed;
                listing.market = *market;
                Ok(())
            }
            Record::Liquidity { symbol, per_tick } => {
                self.listings.get_mut(symbol).ok_or(NOT_LISTED)?.liquidity = *per_tick;
                Ok(())
            }
            Record::Received { account, client_order_id, why } => {
                self.count_received(account, client_order_id.as_deref(), *why);
                Ok(())
            }
            Record::Created(order) => self.create(order),
            Record::Triggered { order } => self.rearrange(*order, |order| order.triggered = true),
            Record::Released { order } => self.release(*order),
            Record::Filled { fill, order, quantity, price, fee, at } => {
                let filled = PaperFill {
                    order: *order,
                    quantity: *quantity,
                    price: *price,
                    fee: *fee,
                    at: *at,
                };
                self.fill(*fill, filled)
            }
            Record::Ended { order, state, at } => self.end(*order, *state, *at),
            Record::Replaced { order, quantity, limit_price, stop_price, at } => {
                self.rearrange(*order, |order| {
                    order.quantity = *quantity;
                    order.limit_price = *limit_price;
                    order.stop_price = *stop_price;
                    order.updated_at = *at;
                })
            }
            Record::ByHand { account, symbol, change, price } => {
                let account = self.accounts.get_mut(account).ok_or(NO_ACCOUNT)?;
                account.position_mut(symbol).trade(*change, *price);
                Ok(())
            }
        }
    }

    fn count_received(&mut self, account: &BrokerAccount, id: Option<&str>, why: NoOrder) {
        self.counts.place_received = self.counts.place_received.saturating_add(1);
        if why == NoOrder::Duplicate {
            self.counts.duplicates_refused = self.counts.duplicates_refused.saturating_add(1);
        }
        if let (Some(account), Some(id)) = (self.accounts.get_mut(account), id) {
            account.receive(id);
        }
    }

    fn create(&mut self, new: &NewOrder) -> Result<(), Inconsistent> {
        let account = self.accounts.get_mut(&new.account).ok_or(NO_ACCOUNT)?;
        let order = PaperOrder::from(new);
        let id = account.receive(&new.client_order_id);
        if id.order != IdOrder::None {
            return Err(Inconsistent("a client order id makes a second order"));
        }
        id.order = IdOrder::Kept(order.number);
        self.counts.place_received = self.counts.place_received.saturating_add(1);
        self.last_order = self.last_order.max(order.number);
        if order.state.is_live() {
            self.counts.orders_created = self.counts.orders_created.saturating_add(1);
            account.open.insert(order.number);
        }
        self.index(&order);
        match self.orders.insert(order.number, order) {
            None => Ok(()),
            Some(_) => Err(Inconsistent("an order number is used twice")),
        }
    }

    /// Puts a live or held back order where ticks look for it.
    pub(super) fn index(&mut self, order: &PaperOrder) {
        if order.rests() {
            self.books.entry(order.symbol.clone()).or_default().insert(order);
        }
        if order.state.is_live() && order.time_in_force == TimeInForce::Day {
            self.days.insert((day(order.created_at), order.number));
        }
    }

    /// Changes an order that rests, and where it rests.
    fn rearrange(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut PaperOrder),
    ) -> Result<(), Inconsistent> {
        let order = self.orders.get_mut(&number).ok_or(NO_ORDER)?;
        let book = self.books.get_mut(&order.symbol).ok_or(NO_BOOK)?;
        book.remove(order);
        change(order);
        if order.rests() {
            book.insert(order);
        }
        Ok(())
    }

    /// What is held back is looked at from now on; where it rests if it is still live.
    fn release(&mut self, number: u64) -> Result<(), Inconsistent> {
        self.rearrange(number, |order| order.held_back = false)
    }

    fn fill(&mut self, number: u64, fill: PaperFill) -> Result<(), Inconsistent> {
        let order = self.orders.get_mut(&fill.order).ok_or(NO_ORDER)?;
        let account = self.accounts.get_mut(&order.account).ok_or(NO_ACCOUNT)?;
        let worth =
            i128::from(fill.price.units()).saturating_mul(i128::from(fill.quantity.units()));
        order.filled = order.filled.saturating_plus(fill.quantity);
        order.paid = order.paid.saturating_add(worth);
        order.updated_at = fill.at;
        if order.filled > order.quantity {
            return Err(Inconsistent("an order is filled beyond its quantity"));
        }
        let done = order.filled == order.quantity;
        if done && order.rests() {
            self.books.get_mut(&order.symbol).ok_or(NO_BOOK)?.remove(order);
        }
        if done {
            account.open.remove(&order.number);
            self.days.remove(&(day(order.created_at), order.number));
        }
        // A fill after a cancel leaves the order canceled until all of it is filled.
        order.state = match (done, order.state) {
            (true, _) => BrokerOrderState::Filled,
            (false, BrokerOrderState::Working) => BrokerOrderState::PartiallyFilled,
            (false, state) => state,
        };
        account.position_mut(&order.symbol).trade(order.side.signed(fill.quantity), fill.price);
        account.fees = account.fees.saturating_plus(fill.fee);
        let used = self.used.entry(order.symbol.clone()).or_default();
        *used = used.saturating_plus(fill.quantity);
        self.counts.fills = self.counts.fills.saturating_add(1);
        self.last_fill = self.last_fill.max(number);
        match account.fills.insert(number, fill) {
            None => Ok(()),
            Some(_) => Err(Inconsistent("a fill number is used twice")),
        }
    }

    fn end(
        &mut self,
        number: u64,
        state: BrokerOrderState,
        at: Timestamp,
    ) -> Result<(), Inconsistent> {
        let order = self.orders.get_mut(&number).ok_or(NO_ORDER)?;
        if state.is_live() || !order.state.is_live() {
            return Err(Inconsistent("an order ends that cannot"));
        }
        let account = self.accounts.get_mut(&order.account).ok_or(NO_ACCOUNT)?;
        account.open.remove(&number);
        self.days.remove(&(day(order.created_at), number));
        // What is held back may still fill after a cancel: that is the fault.
        if !order.held_back {
            self.books.get_mut(&order.symbol).ok_or(NO_BOOK)?.remove(order);
        }
        order.state = state;
        order.updated_at = at;
        Ok(())
    }
}

const NO_ACCOUNT: Inconsistent = Inconsistent("there is no such account");
const NO_ORDER: Inconsistent = Inconsistent("there is no such order");
const NO_BOOK: Inconsistent = Inconsistent("a resting order is in no book");
const NOT_LISTED: Inconsistent = Inconsistent("there is no such instrument");

/// The UTC day, counted from 1970.
pub(super) fn day(at: Timestamp) -> i64 {
    at.unix_seconds().div_euclid(86_400)
}

impl Account {
    pub(super) fn new(opening: Money, currency: String) -> Self {
        Self {
            opening,
            currency,
            fees: Money::ZERO,
            positions: BTreeMap::new(),
            ids: HashMap::new(),
            open: BTreeSet::new(),
            fills: BTreeMap::new(),
            fills_dropped_through: 0,
        }
    }

    /// Counts one more place command of this id.
    fn receive(&mut self, id: &str) -> &mut ClientId {
        let known = self.ids.entry(id.to_owned()).or_default();
        known.received = known.received.saturating_add(1);
        known
    }

    fn position_mut(&mut self, symbol: &Symbol) -> &mut Position {
        self.positions.entry(symbol.clone()).or_default()
    }

    pub(super) fn held(&self, symbol: &Symbol) -> Quantity {
        self.positions.get(symbol).map_or(Quantity::ZERO, |position| position.quantity)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::port::{BrokerAccount, PlaceOrder, ReduceOnly};
    use tradewarden_domain::order::{OrderType, Side, TimeInForce};
    use tradewarden_domain::time::Timestamp;

    /// A market order to buy one BTCUSD that never expires.
    pub(in crate::paper) fn order(client_order_id: &str) -> PlaceOrder {
        PlaceOrder {
            account: BrokerAccount::new("paper-1"),
            client_order_id: client_order_id.to_owned(),
            symbol: "BTCUSD".parse().unwrap(),
            side: Side::Buy,
            order_type: OrderType::Market,
            quantity: "1".parse().unwrap(),
            limit_price: None,
            stop_price: None,
            time_in_force: TimeInForce::Day,
            reduce_only: ReduceOnly::No,
            expires_at: Timestamp::from_unix_micros(i64::MAX),
        }
    }
}
