//! The whole durable state at once, and what it leaves behind.

use super::message::PaperCounts;
use super::order::{PaperFill, PaperOrder};
use super::position::Position;
use super::price::Listing;
use super::state::{Account, ClientId, IdOrder, Inconsistent, PaperExchange};
use crate::port::BrokerAccount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;

/// Ended orders are kept at least so long, unless there are too many.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// At most so many ended orders are kept.
const KEPT_MAX: usize = 100_000;

/// Everything durable, in one order, so that equal states make equal snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    accounts: Vec<AccountRow>,
    listings: Vec<Listing>,
    orders: Vec<PaperOrder>,
    last_order: u64,
    last_fill: u64,
    counts: PaperCounts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountRow {
    name: BrokerAccount,
    opening: Money,
    currency: String,
    fees: Money,
    positions: Vec<(Symbol, Position)>,
    ids: Vec<(String, ClientId)>,
    fills: Vec<(u64, PaperFill)>,
    fills_dropped_through: u64,
}

impl PaperExchange {
    /// The whole durable state.
    pub fn snapshot(&self) -> Snapshot {
        let row = |(name, account): (&BrokerAccount, &Account)| {
            let mut ids: Vec<_> =
                account.ids.iter().map(|(id, known)| (id.clone(), *known)).collect();
            ids.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
            AccountRow {
                name: name.clone(),
                opening: account.opening,
                currency: account.currency.clone(),
                fees: account.fees,
                positions: account.positions.iter().map(|(s, p)| (s.clone(), *p)).collect(),
                ids,
                fills: account.fills.iter().map(|(number, fill)| (*number, *fill)).collect(),
                fills_dropped_through: account.fills_dropped_through,
            }
        };
        Snapshot {
            accounts: self.accounts.iter().map(row).collect(),
            listings: self.listings.values().cloned().collect(),
            orders: self.orders.values().cloned().collect(),
            last_order: self.last_order,
            last_fill: self.last_fill,
            counts: self.counts,
        }
    }

    /// The exchange of that state. Listings that this version adds are added.
    pub fn from_snapshot(seed: u64, snapshot: Snapshot) -> Result<Self, Inconsistent> {
        let mut exchange = Self::new(seed);
        for listing in snapshot.listings {
            exchange.listings.insert(listing.instrument.symbol.clone(), listing);
        }
        for row in snapshot.accounts {
            let mut account = Account::new(row.opening, row.currency);
            account.fees = row.fees;
            account.positions = row.positions.into_iter().collect();
            account.ids = row.ids.into_iter().collect();
            account.fills = row.fills.into_iter().collect();
            account.fills_dropped_through = row.fills_dropped_through;
            exchange.accounts.insert(row.name, account);
        }
        for order in snapshot.orders {
            let Some(account) = exchange.accounts.get_mut(&order.account) else {
                return Err(Inconsistent("an order is of no account"));
            };
            if order.state.is_live() {
                account.open.insert(order.number);
            }
            exchange.index(&order);
            exchange.orders.insert(order.number, order);
        }
        exchange.last_order = snapshot.last_order;
        exchange.last_fill = snapshot.last_fill;
        exchange.counts = snapshot.counts;
        Ok(exchange)
    }

    /// Drops what is old: orders that ended more than seven days before `now`, and the oldest
    /// ended ones beyond 100,000, each with all its fills.
    ///
    /// What stays for ever: every client order id with its count, so that a used id never makes a
    /// second order and `find` never calls a dropped order absent; positions, cash and counters;
    /// and up to which fill number fills were dropped, so that an old cursor is refused instead of
    /// being answered with a gap. Returns how many orders were dropped.
    pub fn forget(&mut self, now: Timestamp) -> usize {
        let oldest = now.minus(KEPT_FOR);
        let ended = self.orders.values().filter(|order| !order.rests());
        let mut ended: Vec<(Timestamp, u64)> =
            ended.map(|order| (order.updated_at, order.number)).collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(KEPT_MAX);
        let dropped: BTreeSet<u64> = ended
            .iter()
            .enumerate()
            .filter(|(place, (updated_at, _))| *place < surplus || *updated_at < oldest)
            .map(|(_, (_, number))| *number)
            .collect();
        for number in &dropped {
            let Some(order) = self.orders.remove(number) else { continue };
            let known = self.accounts.get_mut(&order.account);
            if let Some(id) = known.and_then(|known| known.ids.get_mut(&order.client_order_id)) {
                id.order = IdOrder::Dropped;
            }
        }
        for account in self.accounts.values_mut() {
            let last = account.fills.iter().rfind(|(_, fill)| dropped.contains(&fill.order));
            let last = last.map_or(0, |(number, _)| *number);
            account.fills_dropped_through = account.fills_dropped_through.max(last);
            account.fills.retain(|_, fill| !dropped.contains(&fill.order));
        }
        dropped.len()
    }
}
