//! The accounts whose broker does not tell what is held there: exits go by the journal (S1).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tradewarden_domain::id::{self, Id};

/// See the module.
#[derive(Default)]
pub(crate) struct Unheard {
    accounts: Mutex<BTreeSet<Id<id::Account>>>,
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
}
