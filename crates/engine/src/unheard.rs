//! The accounts whose broker does not tell what is held there: exits go by the journal (S1). And those whose
//! fills were read since this node leads: before that, what had filled may not be known.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tradewarden_domain::id::{self, Id};

/// See the module.
#[derive(Default)]
pub(crate) struct Unheard {
    accounts: Mutex<BTreeSet<Id<id::Account>>>,
    read: Mutex<BTreeSet<Id<id::Account>>>,
}

impl Unheard {
    /// Whether the last reading of the account's positions failed.
    pub(crate) fn has(&self, account: Id<id::Account>) -> bool {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).contains(&account)
    }

    /// Notes how a reading ended.
    pub(crate) fn note(&self, account: Id<id::Account>, is_heard: bool) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if is_heard {
            accounts.remove(&account);
        } else {
            accounts.insert(account);
        }
    }

    /// Whether all fills of the account that its broker tells were read since this node leads.
    pub(crate) fn has_read_fills(&self, account: Id<id::Account>) -> bool {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).contains(&account)
    }

    /// They were read.
    pub(crate) fn note_fills(&self, account: Id<id::Account>) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
    }

    /// Another node may have traded since they were.
    pub(crate) fn forget_fills(&self) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
