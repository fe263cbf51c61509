//! Nonces: each signed request is taken once.
//!
//! Every nonce is remembered in memory for as long as its request could be taken again. A request
//! that changes something claims its nonce in the transaction of the change too, so that a replay at
//! another node, or after a restart, finds the row. Crash story: before that commit neither the
//! change nor the nonce is there; after it both are. The nonce of a request that changed nothing,
//! because it was refused, is written within a second; one of a read is not written, for after a
//! start nobody reads with a signature from before it (C17).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::quota::Budget;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::Digest;
use tradewarden_store::nonces::{self, NonceRow};
use tradewarden_store::{Error, Tx};

/// Nonces that are remembered of one key and budget; one more request is not taken. It is more than
/// the fastest tier may use in the time for which a signature holds.
const PER_BUDGET_MAX: usize = 100_000;
/// Nonces that wait to be written; more are remembered in memory only.
const WAITING_MAX: usize = 10_000;
/// Entries of a key below which what has ended is not looked for.
const TIDY_FROM: usize = 1_024;

/// Every nonce of the last minute.
#[derive(Default)]
pub(crate) struct Nonces {
    seen: Mutex<HashMap<Id<id::Key>, [Seen; 3]>>,
    waiting: Arc<Waiting>,
}

/// Nonces of one key and budget, each with the end of its request.
#[derive(Default)]
struct Seen {
    ends: HashMap<[u8; 32], Timestamp>,
    tidy_at: usize,
}

type Waiting = Mutex<Vec<NonceRow>>;

/// The nonce of one request, on its way to being written.
#[derive(Debug)]
pub(crate) struct Nonce {
    row: NonceRow,
    is_durable: AtomicBool,
    waiting: Arc<Waiting>,
}

/// What became of a nonce in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is new.
    First,
    /// It was shown before.
    Again,
    /// There is no room to remember it.
    Full,
}

impl Seen {
    fn take(&mut self, hash: [u8; 32], ends_at: Timestamp, now: Timestamp) -> Taken {
        if self.ends.len() >= self.tidy_at.max(TIDY_FROM) {
            self.tidy(now);
        }
        if self.ends.contains_key(&hash) {
            return Taken::Again;
        }
        if self.ends.len() >= PER_BUDGET_MAX {
            return Taken::Full;
        }
        self.ends.insert(hash, ends_at);
        Taken::First
    }

    /// Forgets what can no longer be taken; looks again when there is twice as much.
    fn tidy(&mut self, now: Timestamp) {
        self.ends.retain(|_, ends_at| *ends_at > now);
        self.tidy_at = self.ends.len().saturating_mul(2).min(PER_BUDGET_MAX);
    }
}

impl Nonces {
    /// Those that were written, after a start.
    pub(crate) fn from_stored(rows: Vec<NonceRow>) -> Self {
        let nonces = Self::default();
        {
            let mut seen = nonces.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                let [requests, _, _] = seen.entry(row.key_id).or_default();
                requests.ends.insert(row.nonce_hash, row.at);
            }
        }
        nonces
    }

    /// Takes a nonce if it was never shown with this key.
    pub(crate) fn take(&self, row: NonceRow, budget: Budget, now: Timestamp) -> Taken {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let [requests, orders, reducing] = seen.entry(row.key_id).or_default();
        // What was taken under one budget is not taken under another.
        let shown = [&*requests, &*orders, &*reducing];
        if shown.iter().any(|of_budget| of_budget.ends.contains_key(&row.nonce_hash)) {
            return Taken::Again;
        }
        let of_budget = match budget {
            Budget::Requests => requests,
            Budget::Orders => orders,
            Budget::Reducing => reducing,
        };
        of_budget.take(row.nonce_hash, row.at, now)
    }

    /// A nonce that is written when its request is over, unless a change wrote it before.
    pub(crate) fn to_be_written(&self, row: NonceRow) -> Nonce {
        Nonce { row, is_durable: AtomicBool::new(false), waiting: Arc::clone(&self.waiting) }
    }

    /// Those of requests that are over and changed nothing.
    pub(crate) fn take_waiting(&self) -> Vec<NonceRow> {
        let mut rows =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        rows.sort_unstable();
        rows.dedup_by_key(|row| (row.key_id, row.nonce_hash));
        rows
    }

    /// They were not written.
    pub(crate) fn put_back(&self, rows: &[NonceRow]) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(rows);
    }

    /// Forgets what can no longer be taken.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, budgets| {
            for of_budget in budgets.iter_mut() {
                of_budget.tidy(now);
            }
            budgets.iter().any(|of_budget| !of_budget.ends.is_empty())
        });
    }
}

impl Nonce {
    /// Takes it in the transaction of a change; a no means that it was taken before.
    pub(crate) async fn claim(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        Ok(nonces::claim(tx, &[self.row]).await? == 1)
    }

    /// The transaction that claimed it is committed.
    pub(crate) fn is_written(&self) {
        self.is_durable.store(true, Ordering::Release);
    }
}

impl Drop for Nonce {
    fn drop(&mut self) {
        if !self.is_durable.load(Ordering::Acquire) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() < WAITING_MAX {
                waiting.push(self.row);
            }
        }
    }
}

/// The row of a nonce.
pub(crate) fn row(key_id: Id<id::Key>, nonce: &str, ends_at: Timestamp) -> NonceRow {
    NonceRow { key_id, nonce_hash: *Digest::sha256(nonce.as_bytes()).as_bytes(), at: ends_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_micros(1_000_000);

    fn nonce(key: u8, number: u32, ends_at_s: i64) -> NonceRow {
        let ends_at = Timestamp::from_unix_micros(ends_at_s * 1_000_000);
        row(Id::from_bytes([key; 16]), &number.to_string(), ends_at)
    }

    #[test]
    fn a_nonce_is_taken_once_for_its_key() {
        let nonces = Nonces::default();
        assert_eq!(nonces.take(nonce(1, 1, 60), Budget::Requests, NOW), Taken::First);
        for budget in [Budget::Requests, Budget::Orders, Budget::Reducing] {
            assert_eq!(nonces.take(nonce(1, 1, 60), budget, NOW), Taken::Again);
        }
        assert_eq!(nonces.take(nonce(2, 1, 60), Budget::Orders, NOW), Taken::First);
        let stored = Nonces::from_stored(vec![nonce(3, 1, 60)]);
        assert_eq!(stored.take(nonce(3, 1, 60), Budget::Orders, NOW), Taken::Again);
    }

    #[test]
    fn a_full_memory_takes_nothing_and_leaves_room_to_cancel() {
        let nonces = Nonces::default();
        for number in 0..u32::try_from(PER_BUDGET_MAX).unwrap() {
            assert_eq!(nonces.take(nonce(1, number, 60), Budget::Requests, NOW), Taken::First);
        }
        assert_eq!(nonces.take(nonce(1, 999_999, 60), Budget::Requests, NOW), Taken::Full);
        assert_eq!(nonces.take(nonce(1, 999_999, 60), Budget::Reducing, NOW), Taken::First);
        assert_eq!(nonces.take(nonce(2, 999_999, 60), Budget::Requests, NOW), Taken::First);
        // What has ended makes room.
        let later = Timestamp::from_unix_micros(60_000_000);
        assert_eq!(nonces.take(nonce(1, 999_998, 120), Budget::Requests, later), Taken::First);
        nonces.tidy(later);
        assert_eq!(nonces.seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_no_change_wrote_waits_to_be_written() {
        let nonces = Nonces::default();
        let (refused, changed) = (nonce(1, 1, 60), nonce(1, 2, 60));
        drop(nonces.to_be_written(refused));
        let written = nonces.to_be_written(changed);
        written.is_written();
        drop(written);
        assert_eq!(nonces.take_waiting(), [refused]);
        nonces.put_back(&[changed, refused, changed]);
        assert_eq!(nonces.take_waiting().len(), 2);
        assert!(nonces.take_waiting().is_empty());
    }
}
