//! What the broker lacks of a position that our book holds.
//!
//! Somebody closed it by hand, or we did, in what a restore lost (C16). An exit or a stop for all that the
//! book holds would then open the other side, wherever the venue does not itself see to it that an exit
//! only reduces (S4). So exits close, and stops protect, what both the book and the broker hold. The book is
//! left as it is: that is a person's to put right.
//!
//! A difference is believed as everywhere (S3): two readings far enough apart, between which nothing was
//! told. What was believed is kept in memory only, so after a start a first difference is waited out; a broker
//! that is not heard holds up no exit then (C14). After a restore they wait until it is known how their pair stands, and no venue's own care is
//! relied on: what comes back there is not what the venue remembers.

use crate::Shared;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tradewarden_broker::port::Capability;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::time::Timestamp;

/// So long after a start a first difference may be one that was believed before.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How an account's pair stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The broker holds what our book holds.
    Even,
    /// It does not, by this much at several readings: what it holds less what our book holds.
    Differs(Quantity),
    /// It differed at one reading.
    Unsettled,
    /// A fill is on its way: it stands as before.
    Moving,
}

/// How pairs stood when their accounts were last read.
#[derive(Default)]
pub(crate) struct Lacking {
    accounts: Mutex<BTreeMap<Id<id::Account>, BTreeMap<Symbol, Standing>>>,
    /// Since when readings count.
    since: Mutex<Timestamp>,
}

impl Lacking {
    /// Notes a reading of an account. A pair that is not among these is even. One that is unsettled was
    /// settled before, or is `from_doubt`; otherwise a first difference says nothing yet.
    pub(crate) fn note(
        &self,
        account: Id<id::Account>,
        mut pairs: BTreeMap<Symbol, Standing>,
        from_doubt: bool,
    ) {
        let first = if from_doubt { Standing::Unsettled } else { Standing::Even };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = accounts.remove(&account).unwrap_or_default();
        for (symbol, standing) in &mut pairs {
            let before = known.get(symbol).copied().unwrap_or(first);
            *standing = match (*standing, before) {
                (Standing::Moving, before) => before,
                (Standing::Unsettled, Standing::Differs(_) | Standing::Unsettled) => {
                    Standing::Unsettled
                }
                (Standing::Unsettled, _) => first,
                (settled, _) => settled,
            };
        }
        accounts.insert(account, pairs);
    }

    /// Another node may have traded since: nothing is known any more.
    pub(crate) fn forget(&self, now: Timestamp) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether readings have only begun.
    fn begins(&self, now: Timestamp) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        now < since.plus(READ_WITHIN)
    }

    fn of(&self, account: Id<id::Account>, symbol: &Symbol) -> Option<Standing> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = accounts.get(&account)?;
        Some(pairs.get(symbol).copied().unwrap_or(Standing::Even))
    }
}

impl Shared {
    /// Whether a first difference is not yet known to be none.
    pub(crate) fn doubts_positions(&self) -> bool {
        let is_restoring = self.is_restored && self.is_restoring();
        is_restoring || self.lacking.begins(self.environment.now())
    }

    /// How much less the broker holds of a position that exits on `side` close than our book does; `None`
    /// as long as that has to be known and is not.
    pub(crate) fn lacking(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
        side: Side,
    ) -> Option<Quantity> {
        let restoring = self.is_restored && self.is_restoring();
        if !restoring && self.reduces_natively(account) {
            return Some(Quantity::ZERO);
        }
        match self.lacking.of(account, symbol) {
            Some(Standing::Even) => Some(Quantity::ZERO),
            Some(Standing::Differs(more)) => Some(side.signed(more).max(Quantity::ZERO)),
            Some(Standing::Unsettled | Standing::Moving) => None,
            None => Some(Quantity::ZERO).filter(|_| !restoring),
        }
    }

    /// Whether the account's venue itself sees to it that an exit only reduces (S4).
    pub(crate) fn reduces_natively(&self, account: Id<id::Account>) -> bool {
        let account = self.directory.load().accounts.get(&account).cloned();
        let broker = account.and_then(|account| self.brokers.get(&account.broker).cloned());
        broker.is_some_and(|broker| broker.capabilities().reduce_only == Capability::Native)
    }
}
