//! Reconcile: fills are read from the broker and folded in, each once; positions are compared.

mod unknown;

use crate::Shared;
use crate::attempt::{self, Learned};
use crate::book::{Book, Scope};
use crate::effects::Severity;
use crate::excess::Excesses;
use crate::journal::Urgency;
use crate::lacking::Standing;
use crate::link::Link;
use crate::orders::live;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tradewarden_broker::port::{Broker, BrokerAccount, Execution};
use tradewarden_domain::account::Account;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::HaltScope;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::order::{Order, OrderState, OrderType, Side};
use tradewarden_domain::profit::Points;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Tx, directory as rows, exposures};

/// Fills of one page.
const PAGE: usize = 500;
/// Pages of one account in one round, so that one account cannot keep the others waiting.
const PAGES_OF_ROUND_MAX: usize = 100;
/// Fills whose identifiers are remembered, so that they need not be looked up.
const SEEN_MAX: usize = 200_000;
/// Accounts without live orders are asked so often.
const IDLE_EVERY: Duration = Duration::from_secs(5);
/// So often as long as entries wait for that.
const UNRECONCILED_EVERY: Duration = Duration::from_secs(1);
/// Two readings of a difference must be this far apart (S3).
const MISMATCH_AFTER: Duration = Duration::from_secs(5);
/// A broker that is not heard for so long while something is held there is told of (S24).
const LINK_LOST_AFTER: Duration = Duration::from_secs(30);
/// So are fills that are not heard while something may fill, although positions are.
const FILLS_UNHEARD_AFTER: Duration = Duration::from_secs(10);
/// A broker that has not answered after this is not waited for: the other accounts have their turn.
const HEARD_WITHIN: Duration = Duration::from_secs(15);

/// A fill, by its account and the broker's identifier.
type FillName = (Id<id::Account>, String);

/// Fills that are known to be folded in.
#[derive(Default)]
pub(crate) struct Seen {
    inner: Mutex<(HashSet<FillName>, VecDeque<FillName>)>,
}

impl Seen {
    pub(crate) fn add(&self, account: Id<id::Account>, fill: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account, fill.to_owned());
        if inner.0.insert(key.clone()) {
            inner.1.push_back(key);
            if inner.1.len() > SEEN_MAX
                && let Some(oldest) = inner.1.pop_front()
            {
                inner.0.remove(&oldest);
            }
        }
    }

    fn holds(&self, account: Id<id::Account>, fill: &str) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.contains(&(account, fill.to_owned()))
    }
}

/// How far the broker's position is from ours.
struct Difference {
    quantity: Quantity,
    /// What we hold, what it cost and the fees. As long as that stays, no fill was heard that would
    /// explain the difference.
    ours: (Quantity, Points, Money),
    since: Timestamp,
}

/// See the module.
pub(crate) struct Reconciler {
    shared: Arc<Shared>,
    /// The kind of broker whose accounts it looks at.
    kind: String,
    cursors: BTreeMap<Id<id::Account>, Option<String>>,
    idle_at: Timestamp,
    /// When accounts are next asked whose entries wait for it.
    hurry_at: Timestamp,
    differences: BTreeMap<(Id<id::Account>, Symbol), Difference>,
    excesses: Excesses,
    /// Since when the broker of an account is not heard, and whether a person was told.
    silences: BTreeMap<Id<id::Account>, (Timestamp, bool)>,
    /// The same of its fills.
    unread: BTreeMap<Id<id::Account>, (Timestamp, bool)>,
    /// Open orders that are not as they are stored, by the broker's names, which were told.
    strange: BTreeMap<Id<id::Account>, BTreeSet<String>>,
}

impl Reconciler {
    pub(crate) fn new(shared: Arc<Shared>, kind: String) -> Self {
        Self {
            shared,
            kind,
            cursors: BTreeMap::new(),
            idle_at: Timestamp::default(),
            hurry_at: Timestamp::default(),
            differences: BTreeMap::new(),
            excesses: Excesses::default(),
            silences: BTreeMap::new(),
            unread: BTreeMap::new(),
            strange: BTreeMap::new(),
        }
    }

    /// One round: fills of the accounts where something is live, and now and then of all.
    pub(crate) async fn round(&mut self) {
        let now = self.shared.environment.now();
        let all = self.idle_at <= now;
        if all {
            self.idle_at = now.plus(IDLE_EVERY);
        }
        let mut waiting = BTreeSet::new();
        if self.hurry_at <= now {
            self.hurry_at = now.plus(UNRECONCILED_EVERY);
            waiting = self.shared.unreconciled();
        }
        let watched = self.shared.watched();
        let Some(link) = self.shared.links.get(&self.kind).cloned() else { return };
        let accounts: Vec<Arc<Account>> = self
            .shared
            .directory
            .load()
            .accounts
            .values()
            .filter(|account| account.broker == self.kind)
            .filter(|account| all || watched.contains(&account.id) || waiting.contains(&account.id))
            .cloned()
            .collect();
        for account in accounts {
            let are_read = self.read_fills(&account, link.as_ref()).await;
            if are_read {
                self.shared.unheard.note_fills(account.id);
            }
            if !all && !waiting.contains(&account.id) {
                continue;
            }
            let are_known = self.are_orders_known(&account, link.as_ref()).await;
            if self.compare(&account, link.as_ref()).await && are_read && are_known {
                self.shared.set_reconciled(account.id);
            }
        }
    }

    /// Reads what is new; answers whether that is all.
    async fn read_fills(&mut self, account: &Account, broker: &dyn Broker) -> bool {
        let name = BrokerAccount::new(&account.broker_account);
        for _ in 0..PAGES_OF_ROUND_MAX {
            let Some(cursor) = self.cursor(account.id).await else { return false };
            let asked = broker.fills_since(name.clone(), cursor.clone(), PAGE);
            let page = match timeout(HEARD_WITHIN, asked).await {
                Ok(Ok(page)) => page,
                Ok(Err(unheard)) => {
                    self.fills_unheard(account, &unheard.to_string()).await;
                    return false;
                }
                Err(_elapsed) => {
                    self.fills_unheard(account, "no answer in time").await;
                    return false;
                }
            };
            self.unread.remove(&account.id);
            if page.items.is_empty() || page.next_cursor == cursor {
                return true;
            }
            if !self.learn(account, page.items, page.next_cursor).await {
                return false;
            }
        }
        false
    }

    /// Where the reading of an account's fills stands.
    async fn cursor(&mut self, account: Id<id::Account>) -> Option<Option<String>> {
        if let Some(cursor) = self.cursors.get(&account) {
            return Some(cursor.clone());
        }
        let stored = rows::fills_cursor(&self.shared.store, account).await.ok()?;
        self.cursors.insert(account, stored.clone());
        Some(stored)
    }

    async fn learn(
        &mut self,
        account: &Account,
        fills: Vec<Execution>,
        next: Option<String>,
    ) -> bool {
        let mut by_order: BTreeMap<Id<id::Order>, Vec<Execution>> = BTreeMap::new();
        let mut foreign = Vec::new();
        for fill in fills {
            if self.shared.seen.holds(account.id, &fill.broker_fill_id) {
                continue;
            }
            match Id::from_bare_text(&fill.client_order_id) {
                Ok(id) => match self.is_stored(id).await {
                    Some(true) => by_order.entry(id).or_default().push(fill),
                    Some(false) => foreign.push(fill),
                    None => return false,
                },
                Err(_) => foreign.push(fill),
            }
        }
        let nothing_new = by_order.is_empty();
        if !foreign.is_empty() {
            let cursor = next.clone().filter(|_| nothing_new);
            if !self.tell_foreign(account, &foreign, cursor).await {
                return false;
            }
        }
        if nothing_new {
            // The cursor is only a place to begin reading: losing it costs a second look.
            self.cursors.insert(account.id, next);
            return true;
        }
        let told: Vec<String> =
            by_order.values().flatten().map(|fill| fill.broker_fill_id.clone()).collect();
        let learned: Vec<_> =
            by_order.into_iter().map(|(id, fills)| (id, Learned::Fills(fills))).collect();
        let cursor = next.clone().map(|next| (account.id, next));
        let shared = Arc::clone(&self.shared);
        let written = self
            .shared
            .journal
            .write(Urgency::Soon, async move |tx, effects| {
                attempt::learn(tx, &shared, &learned, cursor.as_ref(), effects).await
            })
            .await;
        if let Err(error) = written {
            tracing::error!(account.id = %account.id, error = %error.0, "fills were not journaled");
            return false;
        }
        for fill in told {
            self.shared.seen.add(account.id, &fill);
        }
        self.cursors.insert(account.id, next);
        true
    }

    /// Tells of the fills of a page that are not ours, once for each instrument, and notes with it where
    /// the reading stands. Answers whether that is durable.
    async fn tell_foreign(
        &self,
        account: &Account,
        foreign: &[Execution],
        cursor: Option<String>,
    ) -> bool {
        let mut by_symbol: BTreeMap<&Symbol, Vec<&Execution>> = BTreeMap::new();
        for fill in foreign {
            by_symbol.entry(&fill.symbol).or_default().push(fill);
        }
        let mut told = Vec::new();
        for (symbol, fills) in by_symbol {
            let Some(newest) = fills.last() else { continue };
            let detail = format!(
                "The broker reports fills that are not ours: {} in {symbol}, the newest {} {} at {}.",
                fills.len(),
                newest.side,
                newest.quantity,
                newest.price
            );
            told.push((format!("{} {symbol}", account.id), detail));
        }
        let (inner, org, id) = (Arc::clone(&self.shared), account.org_id, account.id);
        let written = self
            .shared
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                for (subject, detail) in &told {
                    let (subject, detail) = (subject.clone(), detail.clone());
                    book.find(&inner, org, "position.foreign", Severity::Critical, subject, detail);
                }
                if let Some(cursor) = &cursor {
                    rows::set_fills_cursor(tx, id, cursor).await?;
                }
                Ok(())
            })
            .await;
        if let Err(error) = written {
            tracing::error!(account.id = %account.id, %error, "foreign fills were not journaled");
            return false;
        }
        for fill in foreign {
            self.shared.seen.add(account.id, &fill.broker_fill_id);
        }
        true
    }

    /// Compares positions with the broker's; a difference that lasts sets the pair to reduce-only
    /// and tells a person (S3). Answers whether it is known how every pair stands.
    async fn compare(&mut self, account: &Arc<Account>, link: &Link) -> bool {
        let name = BrokerAccount::new(&account.broker_account);
        let Ok(Ok(theirs)) = timeout(HEARD_WITHIN, link.positions_routinely(name)).await else {
            self.silent(account).await;
            return false;
        };
        self.shared.unheard.note(account.id, true);
        self.silences.remove(&account.id);
        let ours = exposures::of_account(&self.shared.store, account.id).await;
        let Ok(ours) = ours else { return false };
        self.excesses.look(&self.shared, account, &theirs, &ours).await;
        let mut differences: BTreeMap<Symbol, i64> = BTreeMap::new();
        for position in theirs {
            let slot = differences.entry(position.symbol).or_default();
            *slot = slot.saturating_add(position.quantity.units());
        }
        let mut held: BTreeMap<Symbol, Exposure> = BTreeMap::new();
        let mut parts: BTreeMap<Symbol, usize> = BTreeMap::new();
        for (place, exposure) in ours {
            let slot = differences.entry(place.symbol.clone()).or_default();
            *slot = slot.saturating_sub(exposure.quantity.units());
            let count = parts.entry(place.symbol.clone()).or_default();
            *count = count.saturating_add(usize::from(!exposure.quantity.is_zero()));
            let sum = held.entry(place.symbol).or_default();
            *sum = sum.and(&exposure);
        }
        let differ = differences.values().any(|units| *units != 0);
        let moving = if differ { self.moving(account).await } else { Some(HashSet::new()) };
        let Some(moving) = moving else { return false };
        let now = self.shared.environment.now();
        let mut is_known = true;
        let mut standings = BTreeMap::new();
        for (symbol, units) in differences {
            let key = (account.id, symbol.clone());
            let quantity = Quantity::from_units(units);
            if quantity.is_zero() || moving.contains(&symbol) {
                is_known &= quantity.is_zero();
                self.differences.remove(&key);
                if !quantity.is_zero() {
                    standings.insert(symbol, Standing::Moving);
                }
                continue;
            }
            let ours = held.get(&symbol).copied().unwrap_or_default();
            let ours = (ours.quantity, ours.cost, ours.fees);
            let before = self.differences.get(&key);
            let before = before.filter(|before| (before.quantity, before.ours) == (quantity, ours));
            let Some(since) = before.map(|before| before.since) else {
                self.differences.insert(key, Difference { quantity, ours, since: now });
                standings.insert(symbol, Standing::Unsettled(now));
                is_known = false;
                continue;
            };
            if since.plus(MISMATCH_AFTER) <= now {
                self.mismatch(account, &symbol, quantity).await;
                let is_shared = parts.get(&symbol).is_some_and(|count| *count > 1);
                standings.insert(symbol, Standing::Differs { more: quantity, is_shared });
            } else {
                standings.insert(symbol, Standing::Unsettled(now));
                is_known = false;
            }
        }
        self.shared.note_standings(account.id, standings);
        is_known
    }

    /// The instruments in which a fill may be on its way: an order at the market works there, or
    /// nobody knows how one stands. One that has not left moves nothing, and one that rests may rest for
    /// days and hides nothing. Nor does one whose fill has been on its way for too long.
    async fn moving(&self, account: &Account) -> Option<HashSet<Symbol>> {
        let live = live::of(&self.shared.store, Some(account.org_id)).await.ok()?;
        let now = self.shared.environment.now();
        for order in live.iter().filter(|order| order.account_id == account.id) {
            if self.shared.missing.has(order.id, now) && self.shared.missing.is_to_be_told(order.id)
            {
                self.tell_missing(order).await;
            }
        }
        let moves = |order: &Order| {
            let waits_in_vain = self.shared.missing.has(order.id, now);
            order.account_id == account.id && may_move(order) && !waits_in_vain
        };
        Some(live.into_iter().filter(moves).map(|order| order.symbol).collect())
    }

    async fn tell_missing(&self, order: &Order) {
        let detail = format!(
            "The broker shows more of the order filled than the {} of {} {} whose fills it tells. The \
             position may be larger than is known here, and unprotected.",
            order.filled_quantity, order.quantity, order.symbol
        );
        let (org, code, subject) = (order.org_id, "order.fills_missing", order.id.to_string());
        self.shared.tell(org, code, Severity::Critical, subject, detail).await;
    }

    /// Fills of an account were not heard: tells a person once when that lasts, something may fill there
    /// and positions are heard. Where nothing is heard, the link is lost and that is told.
    async fn fills_unheard(&mut self, account: &Account, why: &str) {
        tracing::debug!(account.id = %account.id, why, "no fills heard");
        let now = self.shared.environment.now();
        let (since, is_told) = *self.unread.entry(account.id).or_insert((now, false));
        let may_fill = self.shared.watched().contains(&account.id);
        let is_all_silent = self.shared.unheard.has(account.id);
        if is_told || since.plus(FILLS_UNHEARD_AFTER) > now || !may_fill || is_all_silent {
            return;
        }
        self.unread.insert(account.id, (since, true));
        let detail = format!(
            "Fills of account {} have not been heard since {since}, though its broker tells positions. \
             What has filled since then is not known here, and not protected.",
            account.name
        );
        let (org, code, subject) = (account.org_id, "broker.fills_unheard", account.id.to_string());
        self.shared.tell(org, code, Severity::Critical, subject, detail).await;
    }

    /// The broker was not heard: tells a person once when that lasts and something is held there.
    async fn silent(&mut self, account: &Account) {
        self.shared.unheard.note(account.id, false);
        let now = self.shared.environment.now();
        let (since, is_told) = *self.silences.entry(account.id).or_insert((now, false));
        if is_told || since.plus(LINK_LOST_AFTER) > now {
            return;
        }
        let Ok(ours) = exposures::of_account(&self.shared.store, account.id).await else { return };
        let held: Vec<_> = ours
            .iter()
            .map(|(place, exposure)| (place, exposure.there(Side::Sell)))
            .filter(|(_, there)| !there.is_zero())
            .map(|(place, there)| format!("{there} {}", place.symbol))
            .collect();
        if held.is_empty() {
            return;
        }
        self.silences.insert(account.id, (since, true));
        let detail = format!(
            "The broker of account {} has not been heard since {since}; held there: {}.",
            account.name,
            held.join(", ")
        );
        let (org, code, subject) = (account.org_id, "broker.link_lost", account.id.to_string());
        self.shared.tell(org, code, Severity::Critical, subject, detail).await;
    }

    async fn mismatch(&self, account: &Account, symbol: &Symbol, difference: Quantity) {
        let scope = HaltScope::Pair(account.id, symbol.clone());
        let halted = self.shared.directory.load().halts.iter().any(|halt| halt.scope == scope);
        if halted {
            return;
        }
        let detail = format!(
            "The broker's position in {symbol} differs from ours by {difference} at two readings; \
             the pair is reduce-only until a person resumes it."
        );
        let shared = Arc::clone(&self.shared);
        let (org, subject) = (account.org_id, format!("{} {symbol}", account.id));
        let written = self
            .shared
            .journal
            .write(Urgency::Now, async move |tx, effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                book.reduce_only(&shared, org, scope.clone(), "reconcile", detail.clone());
                book.find(
                    &shared,
                    org,
                    "position.mismatch",
                    Severity::Critical,
                    subject.clone(),
                    detail.clone(),
                );
                book.write(tx, effects).await
            })
            .await;
        match written {
            Ok(()) => self.shared.reload().await,
            Err(error) => tracing::error!(error = %error.0, "a mismatch was not journaled"),
        }
    }
}

/// Whether a fill of an order may be on its way at any moment: it is at the market, or nobody knows how
/// it stands. One that has not left moves nothing, and one that rests may rest for days.
pub(crate) fn may_move(order: &Order) -> bool {
    let works = matches!(order.state, OrderState::Working | OrderState::PartiallyFilled);
    let is_changing = order.change.is_some_and(|change| change.is_in_flight());
    let rests =
        works && order.order_type != OrderType::Market && !order.cancel_requested && !is_changing;
    order.leg.is_none() && !rests && order.state != OrderState::Accepted
}
