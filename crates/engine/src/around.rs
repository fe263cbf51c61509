//! What stands around an order on its account, read in the order's transaction and only as far as
//! some limit of its organization asks for it.

use crate::Shared;
use crate::book::{Book, Counted};
use crate::directory::Directory;
use crate::loss;
use crate::profit::{Holdings, conversion, tally};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::account::Account;
use tradewarden_domain::exchange::{Conversion, ExchangeRate, RateGap};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::{ByLevel, LimitBook, LimitName};
use tradewarden_domain::loss::Lost;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::order::Side;
use tradewarden_domain::portfolio::{Worth, counted_at};
use tradewarden_domain::profit::Gap;
use tradewarden_domain::recent::RecentEntries;
use tradewarden_domain::risk::Surroundings;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{self, NO_STRATEGY, Place};
use tradewarden_store::losses::{self, StoredWatch};
use tradewarden_store::{Error, Tx, rates, recent};

/// What a transaction read of the accounts that it is about.
#[derive(Clone, Default)]
pub(crate) struct Around {
    /// Accounts all of whose exposure was read.
    whole: BTreeSet<Id<id::Account>>,
    rates: BTreeMap<Id<id::Org>, Vec<ExchangeRate>>,
    recent: BTreeMap<Place, RecentEntries>,
    keeps_recent: BTreeSet<Id<id::Account>>,
    changed_recent: BTreeSet<Place>,
    watches: BTreeMap<Id<id::Account>, Vec<StoredWatch>>,
}

/// Limits over all that an account holds.
const OVER_ALL: &[LimitName] = &[
    LimitName::MaxGrossExposure,
    LimitName::MaxNetExposure,
    LimitName::CreditPercent,
    LimitName::DailyLoss,
    LimitName::Drawdown,
    LimitName::DrawdownPercent,
];
/// Limits that compare with what was sent before.
const OVER_RECENT: &[LimitName] = &[LimitName::MaxSizeMultiple, LimitName::MaxRepeatedEntries];

impl Around {
    /// Reads what the limits of these accounts ask for, and gives back the exposures that were read.
    pub(crate) async fn load(
        tx: &mut Tx<'_>,
        directory: &Directory,
        accounts: &BTreeSet<(Id<id::Org>, Id<id::Account>)>,
        pairs: &[(Id<id::Account>, Symbol)],
        limits: &BTreeMap<Id<id::Org>, Arc<LimitBook>>,
    ) -> Result<(Self, Vec<(Place, Exposure)>), Error> {
        let mut around = Self::default();
        let mut held = Vec::new();
        for (org, account) in accounts {
            let Some(book) = limits.get(org) else { continue };
            let is_whole = book.has_any(OVER_ALL);
            if is_whole {
                held.extend(exposures::of_account_in(tx, *account).await?);
                around.whole.insert(*account);
            }
            let mut own = pairs.iter().filter(|(of, _)| of == account);
            let is_abroad = own.any(|(of, symbol)| is_abroad(directory, *of, symbol));
            if (is_whole || is_abroad) && !around.rates.contains_key(org) {
                around.rates.insert(*org, rates::of_org_in(tx, *org).await?);
            }
            if book.has_any(loss::OF_LOSSES) {
                around.watches.insert(*account, losses::of_account_in(tx, *account).await?);
            }
            if book.has_any(OVER_RECENT) {
                around.keeps_recent.insert(*account);
            }
        }
        let kept =
            |(account, _): &&(Id<id::Account>, Symbol)| around.keeps_recent.contains(account);
        let pairs: Vec<_> = pairs.iter().filter(kept).cloned().collect();
        around.recent = recent::of_pairs(tx, &pairs).await?.into_iter().collect();
        Ok((around, held))
    }

    /// What a replay imagines of these accounts; its rates of exchange do not end.
    pub(crate) fn imagined(
        org: Id<id::Org>,
        accounts: impl Iterator<Item = Id<id::Account>>,
        rates: Vec<ExchangeRate>,
        recent: BTreeMap<Place, RecentEntries>,
    ) -> Self {
        let rates = BTreeMap::from([(org, rates)]);
        Self { keeps_recent: accounts.collect(), rates, recent, ..Self::default() }
    }

    /// Looks at whole accounts of a replay where these limits ask for it.
    pub(crate) fn imagine(&mut self, limits: &LimitBook) {
        self.changed_recent.clear();
        self.whole.clear();
        if limits.has_any(OVER_ALL) {
            self.whole.clone_from(&self.keeps_recent);
        }
    }

    /// What was sent lately, as far as it is kept.
    pub(crate) fn recent(&self) -> impl Iterator<Item = (&Place, &RecentEntries)> {
        self.recent.iter()
    }

    /// What is stored of an account's losses, if they are limited.
    pub(crate) fn watches(&self, account: Id<id::Account>) -> &[StoredWatch] {
        self.watches.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Writes what is to be remembered.
    pub(crate) async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let changed = self.changed_recent.iter();
        let entries =
            changed.filter_map(|place| self.recent.get(place).map(|recent| (place, recent)));
        recent::put(tx, entries).await
    }

    /// An entry was let through.
    pub(crate) fn entered(
        &mut self,
        place: &Place,
        side: Side,
        quantity: Quantity,
        now: Timestamp,
    ) {
        if self.keeps_recent.contains(&place.account_id) {
            self.recent.entry(place.clone()).or_default().add(now, side, quantity);
            self.changed_recent.insert(place.clone());
        }
    }
}

/// Whether an order is new, or one that is live already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    New,
    Change,
    /// It is counted already, and about to leave.
    Again,
}

/// What stands around one order; [`Scene::view`] is what the rules see of it.
pub(crate) struct Scene {
    others: Option<Result<(Worth, Conversion), Gap>>,
    unmarked: Option<Gap>,
    losses: Vec<Lost>,
    equity: Option<Money>,
    counted: Counted,
    repeated_entries: u64,
    usual_size: Option<Quantity>,
}

impl Scene {
    /// See [`tradewarden_domain::risk::Context::orders_last_minute`].
    pub(crate) const fn orders_last_minute(&self) -> ByLevel<u64> {
        self.counted.last_minute
    }

    /// So many orders of the organization are live, whether they were counted or not.
    pub(crate) fn open_at_least(&mut self, count: u64) {
        self.counted.open.org = self.counted.open.org.max(count);
    }

    pub(crate) fn view(&self) -> Surroundings<'_> {
        Surroundings {
            others: self.others.as_ref().map(|others| others.as_ref().copied()),
            unmarked: self.unmarked.as_ref(),
            losses: &self.losses,
            equity: self.equity,
            open_orders: self.counted.open,
            orders_last_second: self.counted.last_second,
            repeated_entries: self.repeated_entries,
            usual_size: self.usual_size,
        }
    }
}

/// Whether an instrument is in another currency than the account: then its size needs a rate.
fn is_abroad(directory: &Directory, account: Id<id::Account>, symbol: &Symbol) -> bool {
    let account = directory.accounts.get(&account);
    account.is_some_and(|account| {
        let instrument = account.instruments.get(symbol);
        instrument.is_some_and(|instrument| instrument.currency != account.currency)
    })
}

impl Book {
    /// From an instrument's currency into its account's.
    pub(crate) fn conversion(
        &self,
        account: &Account,
        symbol: &Symbol,
    ) -> Result<Conversion, RateGap> {
        let rates = self.around.rates.get(&account.org_id);
        conversion(account, symbol, rates.map_or(&[], Vec::as_slice), self.now)
    }

    /// What stands around an order of this place, key and side.
    pub(crate) fn scene(
        &self,
        shared: &Shared,
        account: &Account,
        (place, key): (&Place, Option<Id<id::Key>>),
        side: Side,
        judged: Judged,
    ) -> Scene {
        let around = &self.around;
        let none = Vec::new();
        let rates = around.rates.get(&account.org_id).unwrap_or(&none);
        let is_whole = around.whole.contains(&account.id);
        let recent = around.recent.get(place);
        let repeated = recent.map_or(0, |recent| recent.repeated(side, self.now));
        // No signal stands behind a change.
        let repeated = match judged {
            Judged::New => u64::try_from(repeated).unwrap_or(u64::MAX),
            Judged::Change | Judged::Again => 0,
        };
        Scene {
            others: is_whole.then(|| self.others(shared, account, &place.symbol, rates)),
            unmarked: if is_whole { self.unmarked(shared, account, place, rates) } else { None },
            losses: loss::lost(shared, self, account, place.strategy_id, rates),
            equity: self.equity(shared, account.id),
            counted: self.counted(account.org_id, place, key, judged),
            repeated_entries: repeated,
            usual_size: recent.and_then(RecentEntries::usual_size),
        }
    }

    /// What everything but one instrument comes to.
    fn others(
        &self,
        shared: &Shared,
        account: &Account,
        except: &Symbol,
        rates: &[ExchangeRate],
    ) -> Result<(Worth, Conversion), Gap> {
        let mut sum = Worth::default();
        for (symbol, parts) in self.holdings(account.id) {
            let exposure = parts.iter().fold(Exposure::default(), |sum, (_, part)| sum.and(part));
            if symbol == *except || exposure.is_idle() {
                continue;
            }
            let instrument =
                account.instruments.get(&symbol).ok_or_else(|| Gap::Instrument(symbol.clone()))?;
            let reference = self.reference(shared, account, &symbol);
            let price =
                counted_at(&reference, self.now).ok_or_else(|| Gap::Mark(symbol.clone()))?;
            let rate = conversion(account, &symbol, rates, self.now).map_err(Gap::Rate)?;
            let worth = Worth::of(&exposure, price, instrument, rate).ok_or(Gap::TooLarge)?;
            sum = sum.and(worth).ok_or(Gap::TooLarge)?;
        }
        let own = conversion(account, except, rates, self.now).map_err(Gap::Rate)?;
        Ok((sum, own))
    }

    /// A position whose losses are limited and cannot be told (S23).
    fn unmarked(
        &self,
        shared: &Shared,
        account: &Account,
        place: &Place,
        rates: &[ExchangeRate],
    ) -> Option<Gap> {
        let limits = self.limits.get(&account.org_id)?;
        // A part of an equity that nobody knows bounds nothing.
        if limits.of_account(account.id).drawdown_percent.is_some()
            && self.equity(shared, account.id).is_none()
            && !self.lacks_equity(account.id)
        {
            return Some(Gap::Equity);
        }
        // Where a replay has no marks, it judges by what was realised, and says so.
        if self.is_imagined() {
            return None;
        }
        let strategy = (place.strategy_id != NO_STRATEGY).then_some(place.strategy_id);
        let of_strategy = strategy.filter(|id| limits.of_strategy(*id).is_any());
        let watched = match (limits.of_account(account.id).is_any(), of_strategy) {
            (true, _) => None,
            (false, Some(strategy)) => Some(strategy),
            (false, None) => return None,
        };
        let holdings = self.holdings(account.id);
        tally(shared, account, &holdings, rates, watched, self.now).total().err()
    }

    /// All that was read of an account, as this transaction sees it.
    pub(crate) fn holdings(&self, account: Id<id::Account>) -> Holdings {
        let mut holdings = Holdings::new();
        for (place, exposure) in self.exposures_of(account) {
            let parts = holdings.entry(place.symbol.clone()).or_default();
            parts.push((place.strategy_id, *exposure));
        }
        holdings
    }
}
