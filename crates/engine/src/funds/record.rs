//! Keeping what brokers said of the equity of accounts, so that a replay can hold limits in percent of it
//! against what it was (S8, S23): at most one row a minute of each account, when it changed.
//!
//! Crash story: a row is written within seconds of its beginning, and until when it was heard every half
//! minute. A crash loses the last half minute of that at most, which is less than what was said may be
//! old.

use super::AGE_MAX;
use crate::Shared;
use crate::effects::Effects;
use crate::journal::Urgency;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::equities::{self, StoredEquity};
use tradewarden_store::{Error, Tx};

/// Of what changes all the time, one is kept so often.
const ROW_EVERY: Duration = Duration::from_mins(1);
/// Until when the same was heard is written so often.
const EXTENDED_EVERY: Duration = Duration::from_secs(30);
/// Rows of one transaction; the others wait for the next.
const ROWS_MAX: usize = 2_000;
/// Rows that are over and not written yet. While the database is away for long, of more none is kept.
const OVER_MAX: usize = 20_000;

/// The newest row of an account.
struct Newest {
    row: StoredEquity,
    /// Until when it was heard, as far as that is written.
    written: Option<Timestamp>,
}

impl Newest {
    fn is_due(&self) -> bool {
        self.written.is_none_or(|written| written.plus(EXTENDED_EVERY) <= self.row.heard_until)
    }
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Record {
    newest: BTreeMap<Id<id::Account>, Newest>,
    over: Vec<StoredEquity>,
}

impl Record {
    /// Takes in what a broker said. What is not newer says nothing.
    pub(super) fn hear(&mut self, account: &Account, equity: Money, at: Timestamp) {
        let row = StoredEquity {
            org_id: account.org_id,
            at,
            account_id: account.id,
            equity,
            heard_until: at,
        };
        let Some(newest) = self.newest.get_mut(&account.id) else {
            self.newest.insert(account.id, Newest { row, written: None });
            return;
        };
        let known = &mut newest.row;
        if at <= known.heard_until {
            return;
        }
        let was_silent = known.heard_until.plus(AGE_MAX) < at;
        let is_other = known.equity != equity && known.at.plus(ROW_EVERY) <= at;
        if !was_silent && !is_other {
            known.heard_until = at;
            return;
        }
        let Newest { row, written } = std::mem::replace(newest, Newest { row, written: None });
        if written != Some(row.heard_until) {
            self.end(row);
        }
    }

    fn end(&mut self, row: StoredEquity) {
        if self.over.len() < OVER_MAX {
            self.over.push(row);
        }
    }

    /// What is to be written now.
    fn take(&mut self) -> Vec<StoredEquity> {
        let over = self.over.len().min(ROWS_MAX);
        let mut rows: Vec<_> = self.over.drain(..over).collect();
        let room = ROWS_MAX.saturating_sub(rows.len());
        for newest in self.newest.values_mut().filter(|newest| newest.is_due()).take(room) {
            newest.written = Some(newest.row.heard_until);
            rows.push(newest.row.clone());
        }
        rows
    }

    /// It was not written.
    fn give_back(&mut self, rows: Vec<StoredEquity>) {
        for row in rows {
            match self.newest.get_mut(&row.account_id) {
                Some(newest) if newest.row.at == row.at => newest.written = None,
                _ => self.end(row),
            }
        }
    }

    /// Another node writes.
    fn forget(&mut self) {
        self.newest.clear();
        self.over.clear();
    }
}

/// Writes what is due, if this node leads.
pub(crate) async fn write(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        shared.funds.with_record(Record::forget);
        return;
    }
    let rows = shared.funds.with_record(Record::take);
    if rows.is_empty() {
        return;
    }
    let inner = rows.clone();
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, _: &mut Effects| {
            equities::put(tx, &inner).await?;
            Ok::<_, Error>(())
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "equities were not written");
        shared.funds.with_record(|record| record.give_back(rows));
    }
}

#[cfg(test)]
mod tests;
