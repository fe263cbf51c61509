//! Orders of which the broker shows more filled than it tells fills (S3).
//!
//! Such a fill is usually on its way. When it stays away, the position is larger than our book, and
//! nothing protects it: then the order explains no difference any more.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tradewarden_broker::port::BrokerOrder;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::Order;
use tradewarden_domain::time::Timestamp;

/// A fill that is not told within this is missing.
const ON_ITS_WAY_FOR: Duration = Duration::from_secs(10);

/// What the broker shows of an order whose fills are missing.
#[derive(Clone)]
pub(crate) struct Shown {
    account_id: Id<id::Account>,
    symbol: Symbol,
    /// How much has filled. What has filled stays so: what was shown once holds.
    pub(crate) filled: Quantity,
    /// At which price on average, where the venue shows it.
    pub(crate) average_price: Option<Price>,
    /// Since when.
    since: Timestamp,
    /// Whether people were told.
    is_told: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Missing {
    orders: Mutex<BTreeMap<Id<id::Order>, Shown>>,
}

impl Missing {
    fn orders(&self) -> MutexGuard<'_, BTreeMap<Id<id::Order>, Shown>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the broker shows of an order, if it shows more filled than is known.
    pub(crate) fn note(&self, order: &Order, more: Option<&BrokerOrder>, now: Timestamp) {
        let mut orders = self.orders();
        let Some(there) = more else {
            orders.remove(&order.id);
            return;
        };
        let shown = orders.entry(order.id).or_insert_with(|| Shown {
            account_id: order.account_id,
            symbol: order.symbol.clone(),
            filled: there.filled_quantity,
            average_price: there.average_price,
            since: now,
            is_told: false,
        });
        shown.filled = shown.filled.max(there.filled_quantity);
        shown.average_price = there.average_price.or(shown.average_price);
    }

    /// What is shown of orders on a pair, oldest first.
    pub(crate) fn on_pair(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
    ) -> BTreeMap<Id<id::Order>, Shown> {
        let is_there = |shown: &Shown| shown.account_id == account && shown.symbol == *symbol;
        let orders = self.orders();
        let there = orders.iter().filter(|(_, shown)| is_there(shown));
        there.map(|(id, shown)| (*id, shown.clone())).collect()
    }

    /// Forgets an order that has ended.
    pub(crate) fn forget(&self, order: Id<id::Order>) {
        self.orders().remove(&order);
    }

    /// Whether fills of an order have been missing for long.
    pub(crate) fn has(&self, order: Id<id::Order>, now: Timestamp) -> bool {
        let since = self.orders().get(&order).map(|shown| shown.since);
        since.is_some_and(|since| since.plus(ON_ITS_WAY_FOR) <= now)
    }

    /// Whether people are to be told of it: once.
    pub(crate) fn is_to_be_told(&self, order: Id<id::Order>) -> bool {
        let mut orders = self.orders();
        orders.get_mut(&order).is_some_and(|shown| !std::mem::replace(&mut shown.is_told, true))
    }
}
