//! What the broker lacks of a position that our book holds.
//!
//! Somebody closed it by hand, or we did, in what a restore lost (C16). An exit or a stop for all that the
//! book holds would then open the other side, wherever the venue does not itself see to it that an exit
//! only reduces (S4). So exits close, and stops protect, what both the book and the broker hold. The book is
//! left as it is: that is a person's to put right.
//!
//! A difference is believed as everywhere (S3): two readings far enough apart, between which nothing was
//! told. What was believed is kept in memory only, so after a start a first difference is waited out; a broker
//! that is not heard holds up no exit then (C14). After a restore exits wait until it is known how their pair
//! stands, and no venue's own care is relied on: what comes back there is not what the venue remembers.

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

/// So long after a start a first difference may be one that was believed before, and so long an exit waits for
/// the next reading.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How an account's pair stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The broker holds what our book holds.
    Even,
    /// It does not, by this much at several readings: what it holds less what our book holds.
    Differs {
        /// Signed.
        more: Quantity,
        /// Several strategies hold something there, and nobody knows whose part it is.
        is_shared: bool,
    },
    /// It differed at one reading; since when that is so.
    Unsettled(Timestamp),
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
    fn is_compared_anew(&self) -> bool {
        self.is_restored && self.is_restoring()
    }

    /// Notes a reading of an account. A pair that is not among these is even. A first difference says nothing
    /// yet, but after a start, a restore, and where another one was known.
    pub(crate) fn note_standings(
        &self,
        account: Id<id::Account>,
        mut pairs: BTreeMap<Symbol, Standing>,
    ) {
        let (now, restoring) = (self.environment.now(), self.is_compared_anew());
        let doubts = restoring || self.lacking.begins(now);
        let lacking = &self.lacking;
        let mut accounts = lacking.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = accounts.remove(&account).unwrap_or_default();
        for (symbol, standing) in &mut pairs {
            *standing = match (*standing, known.get(symbol).copied()) {
                (Standing::Moving, Some(before))
                | (Standing::Unsettled(_), Some(before @ Standing::Unsettled(_))) => before,
                (Standing::Moving, None) if restoring => Standing::Unsettled(now),
                (Standing::Unsettled(_), None | Some(Standing::Even)) if !doubts => Standing::Even,
                (Standing::Moving, None) => Standing::Even,
                (told, _) => told,
            };
        }
        accounts.insert(account, pairs);
    }

    /// How much less the broker holds of a position that exits on `side` close than our book does; `None`
    /// as long as that has to be known and is not.
    pub(crate) fn lacking(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
        side: Side,
    ) -> Option<Quantity> {
        let restoring = self.is_compared_anew();
        if !restoring && self.reduces_natively(account) {
            return Some(Quantity::ZERO);
        }
        match self.lacking.of(account, symbol) {
            Some(Standing::Differs { more, .. }) => Some(side.signed(more).max(Quantity::ZERO)),
            Some(Standing::Unsettled(since)) => {
                let waits = restoring || self.environment.now() < since.plus(READ_WITHIN);
                (!waits).then_some(Quantity::ZERO)
            }
            None if restoring => None,
            None | Some(Standing::Even | Standing::Moving) => Some(Quantity::ZERO),
        }
    }

    /// The same for what protects a position. No stop waits for a reading but after a restore, and where
    /// several strategies hold the pair, none loses its stop for what nobody knows to be its own.
    pub(crate) fn lacking_of_legs(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
        side: Side,
    ) -> Option<Quantity> {
        if self.is_compared_anew() {
            return self.lacking(account, symbol, side);
        }
        match self.lacking.of(account, symbol) {
            Some(Standing::Differs { is_shared: true, .. }) => Some(Quantity::ZERO),
            _ => self.lacking(account, symbol, side).or(Some(Quantity::ZERO)),
        }
    }

    /// Whether the account's venue itself sees to it that an exit only reduces (S4).
    pub(crate) fn reduces_natively(&self, account: Id<id::Account>) -> bool {
        let account = self.directory.load().accounts.get(&account).cloned();
        let broker = account.and_then(|account| self.brokers.get(&account.broker).cloned());
        broker.is_some_and(|broker| broker.capabilities().reduce_only == Capability::Native)
    }
}
