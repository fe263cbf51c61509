//! How many orders count for whom, as one transaction sees it.
//!
//! Orders and changes of the last minute stand in the rows of their accounts, and live orders in
//! their own. What a limit counts beyond one account is the sum over all accounts of the organization,
//! read after a lock that everybody takes who may let such an order in: until this transaction ends,
//! none is let in anywhere else, on no node.

use super::{AccountState, Book, Scope};
use crate::around::Judged;
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{ByLevel, LimitBook, LimitName, LimitScope};
use tradewarden_domain::order::Order;
use tradewarden_domain::rate::{OrderCounter, Recent, Source};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{NO_STRATEGY, Place};
use tradewarden_store::{Error, Tx, directory as rows, orders};

/// What a transaction may let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lets {
    /// Nothing that is counted: the counts are not read.
    #[default]
    Nothing,
    /// What was counted before, judged once more.
    Counted,
    /// Orders and changes that count from now on.
    New,
}

const RATES: &[LimitName] = &[LimitName::MaxOrdersPerMinute, LimitName::MaxOrdersPerSecond];
const OPEN: &[LimitName] = &[LimitName::MaxOpenOrders];

/// The limits of each organization.
pub(super) type Limits = BTreeMap<Id<id::Org>, Arc<LimitBook>>;

/// Locks what stands for the counts of an organization, where they go beyond an account: one of those
/// limits, the same for everybody who sees this version of them. Organizations are locked before,
/// accounts after it; the rows of the organizations stay free for whatever lets nothing in.
pub(super) async fn lock(tx: &mut Tx<'_>, limits: &Limits) -> Result<(), Error> {
    let first = limits.iter().filter_map(|(org, book)| {
        let (scope, name) = book.first_count_beyond_accounts()?;
        Some((*org, scope.clone(), name))
    });
    let first: Vec<_> = first.collect();
    rows::lock_limits(tx, &first).await
}

/// Locks the accounts, and reads what was ordered on them lately.
pub(super) async fn lock_accounts(
    tx: &mut Tx<'_>,
    scope: &Scope,
) -> Result<BTreeMap<Id<id::Account>, AccountState>, Error> {
    let orgs: BTreeMap<_, _> = scope.accounts.iter().map(|(org, id)| (*id, *org)).collect();
    let ids: Vec<_> = orgs.keys().copied().collect();
    let locked = rows::lock_accounts(tx, &ids).await?;
    let state = |((id, org_id), row): (_, rows::LockedAccount)| {
        let counter = OrderCounter::from_bytes(&row.orders_minute);
        (id, AccountState { org_id, activity: row.state, counter, counted: false })
    };
    Ok(orgs.into_iter().zip(locked).map(state).collect())
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    recent: Recent,
    open: u64,
}

impl Tally {
    const fn and(self, other: Self) -> Self {
        Self {
            recent: Recent {
                minute: self.recent.minute.saturating_add(other.recent.minute),
                second: self.recent.second.saturating_add(other.recent.second),
            },
            open: self.open.saturating_add(other.open),
        }
    }
}

/// What is counted of an order at each level.
pub(crate) struct Counted {
    pub(crate) last_minute: ByLevel<u64>,
    pub(crate) last_second: ByLevel<u64>,
    pub(crate) open: ByLevel<u64>,
}

/// An account and its organization.
type Of = (Id<id::Org>, Id<id::Account>);

/// See the module. Only what some limit asks for is there.
#[derive(Clone, Default)]
pub(super) struct Counts {
    tallies: BTreeMap<(Id<id::Org>, LimitScope), Tally>,
    /// What may be of any strategy, key and instrument.
    of_any: BTreeMap<Id<id::Org>, Tally>,
}

impl Counts {
    /// Counts what the limits ask for, with the accounts locked.
    pub(super) async fn load(
        tx: &mut Tx<'_>,
        lets: Lets,
        limits: &Limits,
        accounts: &BTreeMap<Id<id::Account>, AccountState>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        if lets == Lets::Nothing {
            return Ok(Self::default());
        }
        let mut counts = Self::of_recent(accounts, now);
        for (org, book) in limits {
            if book.counts_beyond_accounts(RATES) {
                for (account, bytes) in rows::orders_minute_of(tx, *org).await? {
                    if !accounts.contains_key(&account) {
                        counts.add_recent((*org, account), &OrderCounter::from_bytes(&bytes), now);
                    }
                }
            }
            if book.counts_beyond_accounts(OPEN) {
                for (account, source, open) in orders::live_by_source(tx, *org).await? {
                    let tally = Tally { open, ..Tally::default() };
                    counts.add((*org, account), Some(&source), tally);
                }
            } else if book.has_any(OPEN) {
                for (account, _) in accounts.iter().filter(|(_, state)| state.org_id == *org) {
                    let open = orders::count_live(tx, *account).await?;
                    counts.at_mut(*org, LimitScope::Account(*account)).open = open;
                }
            }
        }
        Ok(counts)
    }

    /// The orders of the last minute of these accounts, and none that are live.
    pub(super) fn of_recent(
        accounts: &BTreeMap<Id<id::Account>, AccountState>,
        now: Timestamp,
    ) -> Self {
        let mut counts = Self::default();
        for (account, state) in accounts {
            counts.add_recent((state.org_id, *account), &state.counter, now);
        }
        counts
    }

    /// One order more is live.
    pub(super) fn opened(&mut self, of: Of, source: &Source) {
        self.add(of, Some(source), Tally { open: 1, ..Tally::default() });
    }

    fn add_recent(&mut self, of: Of, counter: &OrderCounter, now: Timestamp) {
        for (source, recent) in counter.recent(now) {
            self.add(of, source, Tally { recent, ..Tally::default() });
        }
    }

    fn add(&mut self, of: Of, source: Option<&Source>, more: Tally) {
        if source.is_none() {
            let any = self.of_any.entry(of.0).or_default();
            *any = any.and(more);
        }
        for scope in scopes(of.1, source).into_iter().flatten() {
            let tally = self.at_mut(of.0, scope);
            *tally = tally.and(more);
        }
    }

    fn at_mut(&mut self, org: Id<id::Org>, scope: LimitScope) -> &mut Tally {
        self.tallies.entry((org, scope)).or_default()
    }

    fn at(&self, (org, account): Of, source: &Source) -> ByLevel<Tally> {
        let at = |scope| self.tallies.get(&(org, scope)).copied().unwrap_or_default();
        let any = self.of_any.get(&org).copied().unwrap_or_default();
        let below = |scope: Option<LimitScope>| scope.map_or(Tally::default(), at).and(any);
        ByLevel {
            org: at(LimitScope::Org),
            account: at(LimitScope::Account(account)),
            strategy: below(source.strategy.map(LimitScope::Strategy)),
            key: below(source.key.map(LimitScope::Key)),
            instrument: below(Some(LimitScope::Instrument(source.symbol.clone()))),
        }
    }
}

/// Everything that an order counts for.
fn scopes(account: Id<id::Account>, source: Option<&Source>) -> [Option<LimitScope>; 5] {
    [
        Some(LimitScope::Org),
        Some(LimitScope::Account(account)),
        source.and_then(|of| of.strategy).map(LimitScope::Strategy),
        source.and_then(|of| of.key).map(LimitScope::Key),
        source.map(|of| LimitScope::Instrument(of.symbol.clone())),
    ]
}

/// Whom an order counts for.
pub(crate) fn source_of(order: &Order) -> Source {
    Source { strategy: order.strategy_id, key: order.key_id, symbol: order.symbol.clone() }
}

impl Book {
    /// Counts one more risk-increasing order, or a change of one.
    pub(crate) fn count_order(&mut self, order: &Order) {
        let source = source_of(order);
        let recent = Recent { minute: 1, second: 1 };
        let tally = Tally { recent, ..Tally::default() };
        self.counts.add((order.org_id, order.account_id), Some(&source), tally);
        if let Some(state) = self.accounts.get_mut(&order.account_id) {
            state.counter.add(self.now, source);
            state.counted = true;
        }
    }

    /// One order more is live.
    pub(crate) fn opened(&mut self, order: &Order) {
        self.counts.opened((order.org_id, order.account_id), &source_of(order));
    }

    /// One order fewer is live.
    pub(super) fn ended(&mut self, order: &Order) {
        for scope in scopes(order.account_id, Some(&source_of(order))).into_iter().flatten() {
            let tally = self.counts.at_mut(order.org_id, scope);
            tally.open = tally.open.saturating_sub(1);
        }
    }

    /// What is counted beside an order of this place and key, at each level.
    pub(crate) fn counted(
        &self,
        org: Id<id::Org>,
        place: &Place,
        key: Option<Id<id::Key>>,
        judged: Judged,
    ) -> Counted {
        let strategy = (place.strategy_id != NO_STRATEGY).then_some(place.strategy_id);
        let source = Source { strategy, key, symbol: place.symbol.clone() };
        // A change adds no order, but is one more that is asked for; what is judged again is neither.
        let (open, recent) = match judged {
            Judged::New => (0, 0),
            Judged::Change => (1, 0),
            Judged::Again => (1, 1),
        };
        let tallies = self.counts.at((org, place.account_id), &source);
        Counted {
            last_minute: tallies.map(|tally| tally.recent.minute.saturating_sub(recent)),
            last_second: tallies.map(|tally| tally.recent.second.saturating_sub(recent)),
            open: tallies.map(|tally| tally.open.saturating_sub(open)),
        }
    }
}
