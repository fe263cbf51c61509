//! The stored marks of a replay (S23). They are kept for a few seconds in a row, every half minute, of
//! what somebody held.

use crate::command::error::{CommandError, away};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::price::{Market, Reference};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::Store;
use tradewarden_store::marks::{self, StoredMark};

/// Marks that are read at one time.
const PAGE: u32 = 5_000;
/// A step looks so far back, so that it begins with the marks that are fresh.
const BACK: Duration = Duration::from_secs(61);
/// Marks of the moments before are no older than that.
const EARLIER_WITHIN: Duration = Duration::from_secs(5);

/// Marks in the order of their time.
pub(super) struct Quotes {
    /// The newest of each, and the two before, newest first.
    known: BTreeMap<(String, Symbol), [Option<Reference>; 3]>,
    read: (Timestamp, String, String),
    end: Timestamp,
    queue: VecDeque<StoredMark>,
    is_read: bool,
}

impl Quotes {
    /// Those from shortly before `from` on, and before `end`.
    pub(super) fn from(from: Timestamp, end: Timestamp) -> Self {
        Self {
            known: BTreeMap::new(),
            read: (from.minus(BACK), String::new(), String::new()),
            end,
            queue: VecDeque::new(),
            is_read: false,
        }
    }

    /// When the next one was, if it was before `before`.
    pub(super) async fn next_at(
        &mut self,
        store: &Store,
        before: Timestamp,
    ) -> Result<Option<Timestamp>, CommandError> {
        if self.queue.is_empty() && !self.is_read {
            let (at, broker, symbol) = &self.read;
            let page = marks::after(store, (*at, broker, symbol), self.end, PAGE).await;
            let page = page.map_err(|error| away(&error))?;
            self.is_read = u32::try_from(page.len()).unwrap_or(PAGE) < PAGE;
            if let Some(last) = page.last() {
                self.read = (last.at, last.broker.clone(), last.symbol.to_string());
            }
            self.queue = page.into();
        }
        Ok(self.queue.front().map(|mark| mark.at).filter(|at| *at < before))
    }

    /// Takes the next one, and says of what it is.
    pub(super) fn take(&mut self) -> Option<(String, Symbol)> {
        let StoredMark { at, broker, symbol, bid, ask, is_closed } = self.queue.pop_front()?;
        let market = if is_closed { Market::Closed } else { Market::Open };
        let reference = Reference { quote: Some((bid, ask, at)), market, ..Reference::NONE };
        let name = (broker, symbol);
        let known = self.known.entry(name.clone()).or_default();
        let [newest, before, _] = *known;
        *known = [Some(reference), newest, before];
        Some(name)
    }

    /// The newest of an instrument.
    pub(super) fn reference(&self, account: &Account, symbol: &Symbol) -> Reference {
        let [newest, ..] = self.of(account, symbol);
        newest.unwrap_or(Reference::NONE)
    }

    /// What was known of it a second or two before.
    pub(super) fn earlier(&self, account: &Account, symbol: &Symbol) -> Reference {
        let [newest, newer, older] = self.of(account, symbol);
        let at = |of: Option<Reference>| of.and_then(|of| of.quote).map(|(_, _, at)| at);
        let is_near = |of: &Reference| {
            at(Some(*of))
                .zip(at(newest))
                .is_some_and(|(at, newest)| at.plus(EARLIER_WITHIN) >= newest)
        };
        older.filter(is_near).or(newer.filter(is_near)).unwrap_or(Reference::NONE)
    }

    fn of(&self, account: &Account, symbol: &Symbol) -> [Option<Reference>; 3] {
        let name = (account.broker.clone(), symbol.clone());
        self.known.get(&name).copied().unwrap_or_default()
    }
}
