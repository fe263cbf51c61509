//! The state that a transaction judges and changes: loaded at its beginning, under locks, written
//! back at its end.

mod counts;
mod engaged;
mod imagined;
mod rolling;
mod unclosed;
mod usable;

use self::counts::Counts;
pub(crate) use self::counts::{Counted, Lets, source_of};
pub(crate) use self::imagined::{Imagined, KnownOrder, Moment, Open};
pub(crate) use self::rolling::Ended;
use self::rolling::Rolling;
use crate::directory::{Directory, Rolls};
use crate::effects::{Effects, Severity};

use crate::around::Around;
use crate::entry::entry;
use crate::payload::Payload;
use crate::seals::{Against, inside};
use crate::{Shared, row_code};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::alert::{GROUPED_WITHIN, Telling, telling};
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::LimitBook;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{ChangeState, Order, OrderEvent, Purpose, Side, after};
use tradewarden_domain::overrides::Override;
use tradewarden_domain::rate::OrderCounter;
use tradewarden_domain::roll::RollTable;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::alerts::{self, Alert};
use tradewarden_store::audit::{self, Entry};
use tradewarden_store::directory as rows;
use tradewarden_store::exposures::{self, NO_STRATEGY, Place};
use tradewarden_store::findings::{self, Finding};
use tradewarden_store::orders::{self};
use tradewarden_store::overrides;
use tradewarden_store::{Error, Lock, Tx};

/// An account inside a transaction.
#[derive(Clone)]
struct AccountState {
    org_id: Id<id::Org>,
    activity: Activity,
    counter: OrderCounter,
    counted: bool,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Book {
    pub(crate) now: Timestamp,
    /// What is engaged, in the database and beside it.
    pub(crate) halts: Vec<Halt>,
    /// Those of them that this transaction engages.
    engaged: Vec<Halt>,
    pub(crate) limits: BTreeMap<Id<id::Org>, Arc<LimitBook>>,
    /// The versions of the organizations' strategies.
    strategies: BTreeMap<Id<id::Org>, i64>,
    accounts: BTreeMap<Id<id::Account>, AccountState>,
    exposures: BTreeMap<Place, Exposure>,
    changed_places: BTreeSet<Place>,
    live: BTreeMap<(Id<id::Account>, Symbol), Vec<Order>>,
    changed_orders: BTreeMap<Id<id::Order>, Order>,
    entries: Vec<Entry>,
    findings: Vec<Finding>,
    alerts: Vec<Alert>,
    rolls: Rolls,
    rolling: Rolling,
    pub(crate) around: Around,
    counts: Counts,
    /// The overrides that an order of these accounts can use.
    overrides: Vec<Override>,
    /// Those that orders of this transaction use.
    used_overrides: Vec<(Id<id::Override>, Id<id::Order>)>,
    /// Prices that stand in for those of the market, in a replay.
    imagined: Option<Imagined>,
    /// Exits that were refused, each told by itself: of which signal, strategy and account.
    pub(crate) told_exits: BTreeSet<(Id<id::Signal>, Id<id::Strategy>, Id<id::Account>)>,
}

/// What a transaction is about.
#[derive(Default)]
pub(crate) struct Scope {
    pub(crate) lets: Lets,
    /// Rolls are read though the organization may have no roll table any more.
    pub(crate) rolls: bool,
    pub(crate) accounts: BTreeSet<(Id<id::Org>, Id<id::Account>)>,
    pub(crate) pairs: BTreeSet<(Id<id::Account>, Symbol)>,
    pub(crate) pairs_with_live_orders: BTreeSet<(Id<id::Account>, Symbol)>,
    /// Pairs whose live orders matter only if entries on this side, or exits of them, are among them.
    pub(crate) pairs_with_live_entries: BTreeSet<(Id<id::Account>, Symbol, Side)>,
}

impl Scope {
    /// Adds an order's account and pair.
    pub(crate) fn add(&mut self, org: Id<id::Org>, account: Id<id::Account>, symbol: &Symbol) {
        self.accounts.insert((org, account));
        self.pairs.insert((account, symbol.clone()));
    }

    /// The pairs whose live orders are to be read, sorted.
    fn live_pairs(&self, exposures: &BTreeMap<Place, Exposure>) -> Vec<(Id<id::Account>, Symbol)> {
        let mut pairs = self.pairs_with_live_orders.clone();
        for (account, symbol, side) in &self.pairs_with_live_entries {
            let entering = exposures.iter().any(|(place, exposure)| {
                let slot = match side {
                    Side::Buy => exposure.entry_buy.saturating_plus(exposure.exit_sell),
                    Side::Sell => exposure.entry_sell.saturating_plus(exposure.exit_buy),
                };
                place.account_id == *account && place.symbol == *symbol && slot.is_positive()
            });
            if entering {
                pairs.insert((*account, symbol.clone()));
            }
        }
        pairs.into_iter().collect()
    }
}

impl Book {
    /// Locks and reads: organizations, what stands for their counts, then accounts, each in the order of
    /// their identifiers (C13), then halts, limits, exposures.
    pub(crate) async fn load(
        tx: &mut Tx<'_>,
        shared: &Shared,
        scope: &Scope,
    ) -> Result<Self, Error> {
        let now = shared.environment.now();
        let directory = shared.directory.load();
        let orgs: Vec<_> = scope
            .accounts
            .iter()
            .map(|(org, _)| *org)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let versions = rows::lock_organizations(tx, &orgs, Lock::Share).await?;
        let known: BTreeMap<_, _> = orgs
            .iter()
            .filter_map(|org| directory.books.get(org).map(|book| (*org, Arc::clone(book))))
            .collect();
        let current = orgs
            .iter()
            .zip(&versions)
            .all(|(org, now)| known.get(org).is_some_and(|book| book.version() == now.limits));
        let against = Against {
            seals: &directory.seals,
            halts: &directory.halts,
            sealer: &shared.row_sealer,
            doubted: &shared.doubted,
        };
        let mut stand_in = Vec::new();
        let limits = if current {
            known
        } else {
            // Another node has set a limit that this one has not heard of yet.
            let (all, stand) = inside::limits(tx, against, &orgs).await?;
            stand_in = stand;
            let of = |(org, now): (&Id<id::Org>, &rows::Versions)| {
                let own = all.iter().filter(|limit| limit.org_id == *org);
                (*org, Arc::new(LimitBook::of(now.limits, own)))
            };
            orgs.iter().zip(&versions).map(of).collect()
        };
        if scope.lets == Lets::New {
            counts::lock(tx, &limits).await?;
        }
        let accounts = counts::lock_accounts(tx, scope).await?;
        let rolling = Rolling::load(tx, &directory, scope).await?;
        let counts = Counts::load(tx, scope.lets, &limits, &accounts, now).await?;
        let pairs: Vec<_> = scope.pairs.iter().cloned().collect();
        let mut exposures: BTreeMap<_, _> =
            exposures::of_pairs(tx, &pairs).await?.into_iter().collect();
        let (around, held) = Around::load(tx, &directory, &scope.accounts, &pairs, &limits).await?;
        exposures.extend(held);
        // Hardly ever is there one; then nobody looks for it.
        let overrides = if versions.iter().any(|of| of.overrides_until > now) {
            let of: Vec<_> = accounts.keys().copied().collect();
            row_code::usable(&shared.row_sealer, overrides::usable(tx, &of, now).await?)
        } else {
            Vec::new()
        };
        let live_pairs = scope.live_pairs(&exposures);
        let live = orders::live_on_pairs(tx, &live_pairs).await?;
        let (mut halts, stand) = inside::halts(tx, against).await?;
        halts.extend(stand_in.into_iter().chain(stand));
        halts.extend(shared.local_halts.in_force().iter().cloned());
        halts.extend_from_slice(directory.seals.halts());
        Ok(Self {
            now,
            halts,
            engaged: Vec::new(),
            limits,
            strategies: orgs
                .iter()
                .zip(&versions)
                .map(|(org, now)| (*org, now.strategies))
                .collect(),
            accounts,
            exposures,
            changed_places: BTreeSet::new(),
            live: live_pairs.into_iter().zip(live).collect(),
            changed_orders: BTreeMap::new(),
            entries: Vec::new(),
            findings: Vec::new(),
            alerts: Vec::new(),
            rolls: Arc::clone(&directory.rolls),
            rolling,
            around,
            counts,
            overrides,
            used_overrides: Vec::new(),
            imagined: None,
            told_exits: BTreeSet::new(),
        })
    }

    /// Writes everything that changed and says what others must hear.
    pub(crate) async fn write(self, tx: &mut Tx<'_>, effects: &mut Effects) -> Result<(), Error> {
        let changed = self
            .changed_places
            .iter()
            .filter_map(|place| self.exposures.get(place).map(|exposure| (place, exposure)));
        exposures::put(tx, changed, self.now).await?;
        for halt in &self.engaged {
            rows::insert_halt(tx, halt).await?;
        }
        if !self.engaged.is_empty() {
            effects.halts = Some(rows::halts_in(tx).await?);
        }
        let counters: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, state)| state.counted)
            .map(|(id, state)| (*id, state.counter.to_bytes()))
            .collect();
        rows::set_orders_minute(tx, counters).await?;
        self.around.write(tx).await?;
        self.rolling.write(tx).await?;
        for (one, order) in &self.used_overrides {
            overrides::used(tx, *one, *order, self.now).await?;
        }
        let orders: Vec<_> = self.changed_orders.into_values().collect();
        orders::put(tx, &orders).await?;
        effects.orders.extend(orders);
        effects.entries =
            effects.entries.saturating_add(u64::try_from(self.entries.len()).unwrap_or(0));
        audit::insert(tx, self.entries).await?;
        for finding in &self.findings {
            findings::insert(tx, finding).await?;
        }
        for alert in &self.alerts {
            let since = self.now.minus(GROUPED_WITHIN);
            let was_told = match &alert.grouped_by {
                Some(group) => alerts::was_raised(tx, alert.org_id, group, since).await?,
                None => false,
            };
            if !was_told {
                alerts::insert(tx, alert).await?;
            }
        }
        effects.findings.extend(self.findings);
        Ok(())
    }

    /// Whether this directory knows the strategies as this transaction has them locked.
    pub(crate) fn has_strategies_of(&self, directory: &Directory) -> bool {
        let is_known = |(org, version): (&Id<id::Org>, &i64)| {
            directory.strategies_version(*org) == Some(*version)
        };
        self.strategies.iter().all(is_known)
    }

    /// The same by the roll tables that its scope was made with.
    pub(crate) fn with_rolls(self, rolls: Rolls) -> Self {
        Self { rolls, ..self }
    }

    /// Whether the account takes orders.
    pub(crate) fn is_active(&self, account: Id<id::Account>) -> bool {
        self.accounts.get(&account).is_some_and(|state| state.activity == Activity::Active)
    }

    /// One strategy's exposure on a pair.
    pub(crate) fn exposure(&self, place: &Place) -> Exposure {
        self.exposures.get(place).copied().unwrap_or_default()
    }

    /// Everything that was read of an account's exposure.
    pub(crate) fn exposures_of(
        &self,
        account: Id<id::Account>,
    ) -> impl Iterator<Item = (&Place, &Exposure)> {
        self.exposures.iter().filter(move |(place, _)| place.account_id == account)
    }

    /// All strategies' exposure on a pair together.
    pub(crate) fn pair_exposure(&self, account: Id<id::Account>, symbol: &Symbol) -> Exposure {
        let place = |strategy: u8| Place {
            account_id: account,
            symbol: symbol.clone(),
            strategy_id: Id::from_bytes([strategy; 16]),
        };
        self.exposures
            .range(place(0)..=place(255))
            .fold(Exposure::default(), |sum, (_, exposure)| sum.and(exposure))
    }

    /// The same as an exit on `side` finds it: with what the broker reports beyond the fills.
    pub(crate) fn pair_there(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
        side: Side,
    ) -> Quantity {
        let of_pair =
            |(place, _): &(&Place, _)| place.account_id == account && place.symbol == *symbol;
        let parts = self.exposures.iter().filter(of_pair);
        parts.fold(Quantity::ZERO, |sum, (_, part)| sum.saturating_plus(part.there(side)))
    }

    /// The strategies that have an exposure on a pair; [`NO_STRATEGY`] stands for none.
    pub(crate) fn holders(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
    ) -> Vec<Id<id::Strategy>> {
        let of_pair = |place: &&Place| place.account_id == account && place.symbol == *symbol;
        self.exposures.keys().filter(of_pair).map(|place| place.strategy_id).collect()
    }

    /// Changes an exposure.
    pub(crate) fn change_exposure(&mut self, place: &Place, change: impl FnOnce(&mut Exposure)) {
        let mut exposure = self.exposure(place);
        change(&mut exposure);
        self.exposures.insert(place.clone(), exposure);
        self.changed_places.insert(place.clone());
    }

    /// The live orders of a strategy on a pair, as this transaction sees them.
    pub(crate) fn live_orders(&self, place: &Place) -> Vec<Order> {
        let mut orders = self.live_on_pair(place);
        orders.retain(|order| place_of(order) == *place);
        orders
    }

    /// The live orders of all strategies on a strategy's pair, as this transaction sees them.
    pub(crate) fn live_on_pair(&self, place: &Place) -> Vec<Order> {
        let pair = (place.account_id, place.symbol.clone());
        let stored = self.live.get(&pair).map_or(&[][..], Vec::as_slice);
        let unchanged = stored.iter().filter(|order| !self.changed_orders.contains_key(&order.id));
        unchanged
            .chain(self.changed_orders.values().filter(|order| order.state.is_live()))
            .filter(|order| order.account_id == pair.0 && order.symbol == pair.1)
            .cloned()
            .collect()
    }

    /// Reads the live orders of these pairs as well.
    pub(crate) async fn load_live(
        &mut self,
        tx: &mut Tx<'_>,
        pairs: Vec<(Id<id::Account>, Symbol)>,
    ) -> Result<(), Error> {
        let live = orders::live_on_pairs(tx, &pairs).await?;
        self.live.extend(pairs.into_iter().zip(live));
        Ok(())
    }

    /// The live orders of an account that were read, as this transaction sees them.
    pub(crate) fn live_of(&self, account: Id<id::Account>) -> Vec<Order> {
        let pairs = self.live.keys().filter(|(of, _)| *of == account);
        let places = pairs.map(|(account_id, symbol)| Place {
            account_id: *account_id,
            symbol: symbol.clone(),
            strategy_id: NO_STRATEGY,
        });
        places.flat_map(|place| self.live_on_pair(&place)).collect()
    }

    /// An order that this transaction made or changed.
    pub(crate) fn changed_order(&self, id: Id<id::Order>) -> Option<&Order> {
        self.changed_orders.get(&id)
    }

    /// Puts a new or changed order into the transaction.
    pub(crate) fn put_order(&mut self, mut order: Order) {
        // Not before what was: who knows it by heart takes the newer, also after the clock was set back.
        order.updated_at = self.now.max(order.updated_at);
        self.changed_orders.insert(order.id, order);
    }

    /// Lets something happen to an order; what it no longer may fill leaves the exposure when it
    /// ends, and so does what a change in flight was to add. An event that the transition table does
    /// not know leaves the state as it is.
    pub(crate) fn advance(&mut self, order: &mut Order, event: OrderEvent, code: Option<Code>) {
        let Some(next) = after(order.state, event) else {
            tracing::warn!(order.id = %order.id, state = %order.state, ?event, "impossible event");
            return;
        };
        let ends = order.state.is_live() && !next.is_live();
        order.state = next;
        let before = order.code;
        if code.is_some() {
            order.code = code;
        }
        if ends {
            self.ended(order);
            self.release(order, order.reserved());
            self.exit_ended(order, before);
            if let Some(change) = order.change.as_mut().filter(|change| change.is_in_flight()) {
                change.state = ChangeState::Refused;
                change.code = Some(Code::OrderChangeOvertaken);
            }
        }
    }

    /// Takes so much of an order out of the exposure.
    pub(crate) fn release(&mut self, order: &Order, quantity: Quantity) {
        if quantity.is_positive() {
            let (purpose, side) = (order.purpose, order.side);
            self.change_exposure(&place_of(order), |exposure| {
                exposure.release(purpose, side, quantity);
            });
        }
    }

    /// Adds an audit entry. The identifiers of a transaction's entries follow one another, so that
    /// the log holds them as one run.
    pub(crate) fn enter<K: Kind>(
        &mut self,
        shared: &Shared,
        org: Id<id::Org>,
        object: Id<K>,
        event: &'static str,
        payload: impl Into<Payload>,
    ) {
        let last = self.entries.last().map(|last| last.id);
        let id = shared.environment.id_following(last, self.now);
        let payload = payload.into();
        self.entries.push(entry(&shared.environment, id, org, object, event, self.now, payload));
    }

    /// Records something a person should look at, with its audit entry.
    pub(crate) fn find(
        &mut self,
        shared: &Shared,
        org: Id<id::Org>,
        code: &'static str,
        severity: Severity,
        subject: String,
        detail: String,
    ) {
        let finding = Finding {
            id: shared.environment.id(self.now),
            org_id: org,
            at: self.now,
            code: code.to_owned(),
            severity: severity.text().to_owned(),
            subject,
            detail,
        };
        tracing::warn!(
            finding.id = %finding.id, code, severity = severity.text(),
            subject = %finding.subject, detail = %finding.detail, "finding"
        );
        let payload = json!({
            "code": code, "detail": finding.detail, "severity": finding.severity,
            "subject": finding.subject,
        });
        self.enter(shared, org, finding.id, "finding.opened", &payload);
        match telling(code, severity == Severity::Critical) {
            Telling::UntilAcknowledged => {
                let (subject, detail) = (finding.subject.clone(), finding.detail.clone());
                self.raise(shared, org, code, severity, subject, detail);
            }
            Telling::Grouped => {
                let by = self.group_of(code, &finding.subject);
                self.warn(shared, org, code, by, (&finding.subject, &finding.detail));
            }
            Telling::Listed => {}
        }
        self.findings.push(finding);
    }

    /// Raises an alert: people are told at once, and again until one acknowledges it (S24).
    pub(crate) fn raise(
        &mut self,
        shared: &Shared,
        org: Id<id::Org>,
        code: &'static str,
        severity: Severity,
        subject: String,
        detail: String,
    ) {
        let alert = self.alert(shared, org, code, severity, (subject, detail));
        self.alerts.push(alert);
    }

    /// Tells people once of everything that goes by one name within 15 minutes (S24).
    pub(crate) fn warn(
        &mut self,
        shared: &Shared,
        org: Id<id::Org>,
        code: &'static str,
        grouped_by: String,
        (subject, detail): (&str, &str),
    ) {
        let is_told = |alert: &Alert| alert.grouped_by.as_ref() == Some(&grouped_by);
        if !self.alerts.iter().any(is_told) {
            let about = (subject.to_owned(), detail.to_owned());
            let alert = self.alert(shared, org, code, Severity::Warning, about);
            self.alerts.push(Alert { grouped_by: Some(grouped_by), ..alert });
        }
    }

    fn alert(
        &self,
        shared: &Shared,
        org: Id<id::Org>,
        code: &'static str,
        severity: Severity,
        (subject, detail): (String, String),
    ) -> Alert {
        Alert {
            id: shared.environment.id(self.now),
            org_id: org,
            code: code.to_owned(),
            severity: severity.text().to_owned(),
            subject,
            detail,
            raised_at: self.now,
            grouped_by: None,
            told: 0,
            next_at: Some(self.now),
            acknowledged_by: None,
            acknowledged_at: None,
        }
    }

    /// The strategy of the entry that a finding is about, if it is about one of this transaction.
    fn group_of(&self, code: &str, subject: &str) -> String {
        let order = subject.parse().ok().and_then(|id| self.changed_orders.get(&id));
        match order.filter(|of| of.purpose == Purpose::Entry).and_then(|of| of.strategy_id) {
            Some(strategy) => format!("entries {strategy}"),
            None => format!("{code} {subject}"),
        }
    }
}

/// The exposure row that an order belongs to.
pub(crate) fn place_of(order: &Order) -> Place {
    Place {
        account_id: order.account_id,
        symbol: order.symbol.clone(),
        strategy_id: order.strategy_id.unwrap_or(NO_STRATEGY),
    }
}

/// The account with this identifier, if it is known.
pub(crate) fn account(shared: &Shared, id: Id<id::Account>) -> Option<Arc<Account>> {
    shared.directory.load().accounts.get(&id).cloned()
}

/// The roll table of an organization.
pub(crate) fn rolls(shared: &Shared, org: Id<id::Org>) -> Arc<RollTable> {
    shared.directory.load().rolls.get(&org).cloned().unwrap_or_default()
}

/// The strategy with this identifier, if there is one and it is known.
pub(crate) fn strategy(shared: &Shared, id: Option<Id<id::Strategy>>) -> Option<Arc<Strategy>> {
    shared.directory.load().strategies.get(&id?).cloned()
}

/// The webhook that an order's signal came through, as far as its strategy is known: a halt of it
/// covers the order too.
pub(crate) fn webhook_of(shared: &Shared, order: &Order) -> Option<Id<id::Webhook>> {
    let directory = shared.directory.load();
    directory.strategies.get(&order.strategy_id?)?.source.webhook()
}
