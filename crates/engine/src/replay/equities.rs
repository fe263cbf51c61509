//! The stored equity of accounts in a replay (S8, S23): at most one row a minute of each.

use crate::command::error::{CommandError, away};
use crate::funds::AGE_MAX;
use std::collections::{BTreeMap, VecDeque};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::Store;
use tradewarden_store::equities::{self, StoredEquity};

/// Rows that are read at one time.
const PAGE: u32 = 5_000;

/// What brokers had said until now.
pub(super) struct Equities {
    org: Id<id::Org>,
    /// The newest of each account.
    known: BTreeMap<Id<id::Account>, StoredEquity>,
    read: (Timestamp, Id<id::Account>),
    end: Timestamp,
    queue: VecDeque<StoredEquity>,
    is_read: bool,
}

impl Equities {
    /// What was known at `from`, and what was said from then on and before `end`.
    pub(super) async fn from(
        store: &Store,
        org: Id<id::Org>,
        (from, end): (Timestamp, Timestamp),
    ) -> Result<Self, CommandError> {
        let newest = equities::newest_before(store, org, from).await;
        let newest = newest.map_err(|error| away(&error))?.into_iter();
        Ok(Self {
            org,
            known: newest.map(|said| (said.account_id, said)).collect(),
            read: (from, Id::from_bytes([0; 16])),
            end,
            queue: VecDeque::new(),
            is_read: false,
        })
    }

    /// Takes in what was said until `to`.
    pub(super) async fn advance(
        &mut self,
        store: &Store,
        to: Timestamp,
    ) -> Result<(), CommandError> {
        loop {
            if self.queue.is_empty() && !self.is_read {
                let page = equities::after(store, self.org, self.read, self.end, PAGE).await;
                let page = page.map_err(|error| away(&error))?;
                self.is_read = u32::try_from(page.len()).unwrap_or(PAGE) < PAGE;
                if let Some(last) = page.last() {
                    self.read = (last.at, last.account_id);
                }
                self.queue = page.into();
            }
            let Some(said) = self.queue.pop_front_if(|said| said.at <= to) else { return Ok(()) };
            self.known.insert(said.account_id, said);
        }
    }

    /// The equity of an account, if its broker was heard within the minute before.
    pub(super) fn of(&self, account: Id<id::Account>, at: Timestamp) -> Option<Money> {
        let known = self.known.get(&account)?;
        (known.heard_until.plus(AGE_MAX) >= at).then_some(known.equity)
    }

    /// That of all accounts of which it is known.
    pub(super) fn at(&self, at: Timestamp) -> BTreeMap<Id<id::Account>, Money> {
        let known =
            self.known.keys().filter_map(|account| Some((*account, self.of(*account, at)?)));
        known.collect()
    }
}
