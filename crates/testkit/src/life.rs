//! One life of the gateway's process: it ends at a chosen commit, at a chosen call, or when the
//! test says so. After its end nothing it does leaves it any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use tradewarden_engine::CommitFate;

/// When a life ends by itself. Commits and calls are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It does not.
    Never,
    /// At this commit, which was not carried out.
    BeforeCommit(u64),
    /// At this commit, which was carried out.
    AfterCommit(u64),
    /// At this call of the broker, which did not reach it.
    BeforeCall(u64),
    /// At this call of the broker, which it carried out; its answer was not heard.
    AfterCall(u64),
}

/// See the module.
#[derive(Debug)]
pub struct Life {
    /// Which life it is, counted from 1.
    pub number: u64,
    death: Death,
    ended: AtomicBool,
    bell: Notify,
    commits: AtomicU64,
    calls: AtomicU64,
    /// How long the write-ahead log was at each commit, before it was carried out.
    written: Mutex<Vec<u64>>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFate {
    Proceed,
    NotDone,
    DoneUnheard,
}

impl Life {
    /// A life that ends like this.
    #[must_use]
    pub fn new(number: u64, death: Death) -> Self {
        Self {
            number,
            death,
            ended: AtomicBool::new(false),
            bell: Notify::new(),
            commits: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            written: Mutex::new(Vec::new()),
        }
    }

    /// Ends it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        let rung = self.bell.notified();
        if !self.has_ended() {
            rung.await;
        }
    }

    /// Commits so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// The commits that wrote something, by number; the log is `now` so long.
    pub fn commits_that_wrote(&self, now: u64) -> Vec<u64> {
        let mut lengths = self.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lengths.push(now);
        let wrote = |(number, pair): (u64, &[u64])| (pair[0] != pair[1]).then_some(number);
        (1..).zip(lengths.windows(2)).filter_map(wrote).collect()
    }

    /// Calls of the broker so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Counts a commit and says what becomes of it.
    pub(crate) fn commit(&self, written: u64) -> CommitFate {
        if self.has_ended() {
            return CommitFate::DieBefore;
        }
        let number = self.commits.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(written);
        let fate = match self.death {
            Death::BeforeCommit(last) if last == number => CommitFate::DieBefore,
            Death::AfterCommit(last) if last == number => CommitFate::DieAfter,
            _ => return CommitFate::Proceed,
        };
        self.end();
        fate
    }

    /// Counts a call and says what becomes of it. A call that is done must be followed by
    /// [`Life::end`] by whoever carries it out.
    pub(crate) fn call(&self) -> CallFate {
        let number = self.calls.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        match self.death {
            Death::BeforeCall(last) if last == number => {
                self.end();
                CallFate::NotDone
            }
            Death::AfterCall(last) if last == number => CallFate::DoneUnheard,
            _ => CallFate::Proceed,
        }
    }
}
