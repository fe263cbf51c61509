//! A book that no transaction loaded: what a replay imagines of positions and prices. It is never
//! written.

use super::{AccountState, Book, Counts, Rolling, place_of, source_of};
use crate::Shared;
use crate::around::Around;
use crate::directory::Rolls;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::account::Account;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::LimitBook;
use tradewarden_domain::loss::Lost;
use tradewarden_domain::money::{Money, Price, Quantity, Round};
use tradewarden_domain::order::{Order, Purpose, Side};
use tradewarden_domain::price::{Market, Reference};
use tradewarden_domain::profit::Points;
use tradewarden_domain::rate::{OrderCounter, Source};
use tradewarden_domain::recent::RecentEntries;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::Place;
use tradewarden_store::losses::Watched;
use tradewarden_store::orders::Trade;

/// What a replay knows of the moment of a signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    /// The last price that is known of each instrument.
    pub(crate) prices: BTreeMap<Symbol, Price>,
    /// Whether the market was closed when the signal came.
    pub(crate) is_closed: bool,
    /// The orders that came of the signal in truth, and when they ended.
    pub(crate) orders: Vec<KnownOrder>,
    /// What is lost of what may be, by account.
    pub(crate) lost: BTreeMap<Id<id::Account>, Vec<(Watched, Lost)>>,
    /// The equity of the accounts of which one was stored.
    pub(crate) equities: BTreeMap<Id<id::Account>, Money>,
    /// Whether the gateway knew of none, and said so.
    pub(crate) is_unheard: bool,
}

/// An order that there was in truth.
#[derive(Debug, Clone)]
pub(crate) struct KnownOrder {
    pub(crate) purpose: Purpose,
    pub(crate) open: Open,
    /// What it filled.
    pub(crate) fills: Vec<Trade>,
}

/// An order that is open.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) account_id: Id<id::Account>,
    pub(crate) source: Source,
    /// When it ends; `None` if it never did.
    pub(crate) until: Option<Timestamp>,
}

/// What a replay imagines.
#[derive(Clone, Default)]
pub(crate) struct Imagined {
    moment: Moment,
    /// What counts as open, for as long as it was open in truth.
    open: Vec<Open>,
}

/// Orders that count as open; of more, none does.
const OPEN_MAX: usize = 4_000;

impl Imagined {
    /// An order is open for as long as the one that the signal came to in truth. What that one filled.
    fn keep_open(&mut self, order: &Order, now: Timestamp) -> Vec<Trade> {
        let source = source_of(order);
        let is_like = |known: &KnownOrder| {
            known.purpose == order.purpose
                && known.open.account_id == order.account_id
                && known.open.source == source
        };
        let Some(place) = self.moment.orders.iter().position(is_like) else { return Vec::new() };
        let KnownOrder { open, fills, .. } = self.moment.orders.swap_remove(place);
        if open.until.is_none_or(|until| until > now) && self.open.len() < OPEN_MAX {
            self.open.push(open);
        }
        fills
    }
}

impl Book {
    /// A book of these accounts, with what they hold, what was sent lately and what is open.
    pub(crate) fn imagined<'a>(
        rolls: Rolls,
        accounts: impl Iterator<Item = (&'a Account, OrderCounter)>,
        exposures: BTreeMap<Place, Exposure>,
        around: Around,
        open: Vec<Open>,
    ) -> Self {
        let state = |(account, counter): (&'a Account, OrderCounter)| {
            let (org_id, activity) = (account.org_id, account.state);
            (account.id, AccountState { org_id, activity, counter, counted: false })
        };
        Self {
            now: Timestamp::default(),
            halts: Vec::new(),
            engaged: Vec::new(),
            limits: BTreeMap::new(),
            strategies: BTreeMap::new(),
            accounts: accounts.map(state).collect(),
            exposures,
            changed_places: BTreeSet::new(),
            live: BTreeMap::new(),
            changed_orders: BTreeMap::new(),
            entries: Vec::new(),
            findings: Vec::new(),
            rolls,
            rolling: Rolling::default(),
            around,
            counts: Counts::default(),
            alerts: Vec::new(),
            overrides: Vec::new(),
            used_overrides: Vec::new(),
            imagined: Some(Imagined { open, ..Imagined::default() }),
            told_exits: BTreeSet::new(),
        }
    }

    /// Puts the book at the moment of a signal.
    pub(crate) fn imagine(
        &mut self,
        now: Timestamp,
        halts: Vec<Halt>,
        (org, limits): (Id<id::Org>, Arc<LimitBook>),
        moment: Moment,
    ) {
        (self.now, self.halts) = (now, halts);
        self.around.imagine(&limits);
        self.limits = BTreeMap::from([(org, limits)]);
        self.counts = Counts::of_recent(&self.accounts, now);
        let Some(imagined) = &mut self.imagined else { return };
        imagined.moment = moment;
        imagined.open.retain(|open| open.until.is_none_or(|until| until > now));
        for Open { account_id, source, .. } in &imagined.open {
            self.counts.opened((org, *account_id), source);
        }
    }

    /// Every order that was made fills whole, at once, at the price of the moment, and counts as open for
    /// as long as its like was in truth; then nothing of the signal is left but positions and counts.
    pub(crate) fn fill_all(&mut self) {
        for (_, order) in std::mem::take(&mut self.changed_orders) {
            if !order.state.is_live() {
                continue;
            }
            let now = self.now;
            let (fills, known) = self.imagined.as_mut().map_or_else(Default::default, |imagined| {
                let fills = imagined.keep_open(&order, now);
                (fills, imagined.moment.prices.get(&order.symbol).copied())
            });
            let place = place_of(&order);
            self.change_exposure(&place, |exposure| {
                exposure.release(order.purpose, order.side, order.quantity);
            });
            let (filled, fees) = fills.iter().fold(<(Quantity, Money)>::default(), |sum, fill| {
                (sum.0.saturating_plus(fill.quantity), sum.1.saturating_plus(fill.fee))
            });
            if filled == order.quantity {
                for fill in &fills {
                    self.take_fill(&place, fill.side, fill.quantity, fill.price, fill.fee);
                }
            } else {
                let price = known.or(order.limit_price).unwrap_or_default();
                let fee = fees.ratio(order.quantity.units(), filled.units(), Round::Up);
                let fee = fee.unwrap_or_default();
                self.take_fill(&place, order.side, order.quantity, price, fee);
            }
        }
        self.changed_places.clear();
        self.entries.clear();
        self.findings.clear();
    }

    /// Something filled.
    pub(crate) fn take_fill(
        &mut self,
        place: &Place,
        side: Side,
        quantity: Quantity,
        price: Price,
        fee: Money,
    ) {
        self.change_exposure(place, |exposure| {
            if exposure.fill(side, quantity, price, fee).is_none() {
                tracing::debug!(symbol = %place.symbol, "an imagined fill does not fit");
            }
        });
        self.changed_places.clear();
    }

    /// What is lost of what an account and one strategy on it may lose, if this book is imagined.
    pub(crate) fn imagined_losses(
        &self,
        account: Id<id::Account>,
        strategy: Id<id::Strategy>,
    ) -> Option<Vec<Lost>> {
        let known = self.imagined.as_ref()?.moment.lost.get(&account);
        let wanted = [Watched::Account, Watched::Strategy(strategy)];
        let lost = known.into_iter().flatten().filter(|(of, _)| wanted.contains(of));
        Some(lost.map(|(_, lost)| *lost).collect())
    }

    /// Whether an account holds something of an instrument.
    pub(crate) fn holds(&self, account: Id<id::Account>, symbol: &Symbol) -> bool {
        let mut held = self.exposures_of(account);
        held.any(|(place, exposure)| place.symbol == *symbol && !exposure.quantity.is_zero())
    }

    /// Whether no transaction loaded it.
    pub(crate) const fn is_imagined(&self) -> bool {
        self.imagined.is_some()
    }

    /// What is held or was made, as far as anything is.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&Place, &Exposure)> {
        self.exposures.iter().filter(|(_, exposure)| {
            let is_made = exposure.realized != Points::ZERO || !exposure.fees.is_zero();
            !exposure.quantity.is_zero() || exposure.entry_sent_at.is_some() || is_made
        })
    }

    /// What was sent lately on each place.
    pub(crate) fn recent(&self) -> impl Iterator<Item = (&Place, &RecentEntries)> {
        self.around.recent()
    }

    /// What counts as open.
    pub(crate) fn open(&self) -> &[Open] {
        self.imagined.as_ref().map_or(&[], |imagined| imagined.open.as_slice())
    }

    /// The accounts that made orders within the last minute.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (Id<id::Account>, &OrderCounter)> {
        let busy = self.accounts.iter().filter(|(_, state)| !state.counter.is_idle(self.now));
        busy.map(|(id, state)| (*id, &state.counter))
    }

    /// An account's equity: what was heard within the last minute, or what was stored of it.
    pub(crate) fn equity(&self, shared: &Shared, account: Id<id::Account>) -> Option<Money> {
        match &self.imagined {
            None => shared.funds.equity(account, self.now),
            Some(imagined) => imagined.moment.equities.get(&account).copied(),
        }
    }

    /// Whether the gateway may have known an equity that was not stored: a replay leaves out what is a
    /// part of it, and says so.
    pub(crate) fn lacks_equity(&self, account: Id<id::Account>) -> bool {
        self.imagined.as_ref().is_some_and(|Imagined { moment, .. }| {
            !moment.is_unheard && !moment.equities.contains_key(&account)
        })
    }

    /// What is known about an instrument's price: what was heard, or what is imagined.
    pub(crate) fn reference(
        &self,
        shared: &Shared,
        account: &Account,
        symbol: &Symbol,
    ) -> Reference {
        let Some(imagined) = &self.imagined else {
            return shared.market.reference(account, symbol, self.now);
        };
        Reference {
            quote: None,
            prior_close: None,
            last: imagined.moment.prices.get(symbol).map(|price| (*price, self.now)),
            market: if imagined.moment.is_closed { Market::Closed } else { Market::Open },
        }
    }
}
