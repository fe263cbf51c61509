//! Orders of which the broker shows more filled than it tells fills (S3).
//!
//! Such a fill is usually on its way. When it stays away, the position is larger than our book, and
//! nothing protects it: then the order explains no difference any more.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

/// A fill that is not told within this is missing.
const ON_ITS_WAY_FOR: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(crate) struct Missing {
    /// Since when fills of an order are missing, and whether people were told.
    orders: Mutex<BTreeMap<Id<id::Order>, (Timestamp, bool)>>,
}

impl Missing {
    fn orders(&self) -> MutexGuard<'_, BTreeMap<Id<id::Order>, (Timestamp, bool)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the broker shows more of an order filled than is known.
    pub(crate) fn note(&self, order: Id<id::Order>, is_more: bool, now: Timestamp) {
        let mut orders = self.orders();
        if is_more {
            orders.entry(order).or_insert((now, false));
        } else {
            orders.remove(&order);
        }
    }

    /// Forgets an order that has ended.
    pub(crate) fn forget(&self, order: Id<id::Order>) {
        self.orders().remove(&order);
    }

    /// Whether fills of an order have been missing for long.
    pub(crate) fn has(&self, order: Id<id::Order>, now: Timestamp) -> bool {
        let since = self.orders().get(&order).map(|(since, _)| *since);
        since.is_some_and(|since| since.plus(ON_ITS_WAY_FOR) <= now)
    }

    /// Whether people are to be told of it: once.
    pub(crate) fn is_to_be_told(&self, order: Id<id::Order>) -> bool {
        let mut orders = self.orders();
        orders.get_mut(&order).is_some_and(|(_, is_told)| !std::mem::replace(is_told, true))
    }
}
