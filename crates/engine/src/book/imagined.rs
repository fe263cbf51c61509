//! A book that no transaction loaded: what a replay imagines of positions and prices. It is never
//! written.

use super::{AccountState, Book, Counts, Rolls, place_of};
use crate::Shared;
use crate::around::Around;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::account::Account;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::LimitBook;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::{Market, Reference};
use tradewarden_domain::rate::OrderCounter;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::Place;

/// The prices of a replay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Imagined {
    /// The last price that is known of each instrument.
    pub(crate) prices: BTreeMap<Symbol, Price>,
    /// Whether the market was closed when the signal came.
    pub(crate) is_closed: bool,
}

impl Book {
    /// A book of these accounts and positions, with nothing under way.
    pub(crate) fn imagined<'a>(
        rolls: Rolls,
        accounts: impl Iterator<Item = (&'a Account, OrderCounter)>,
        exposures: BTreeMap<Place, Exposure>,
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
            around: Around::default(),
            counts: Counts::default(),
            alerts: Vec::new(),
            overrides: Vec::new(),
            used_overrides: Vec::new(),
            imagined: Some(Imagined::default()),
        }
    }

    /// Puts the book at the moment of a signal.
    pub(crate) fn imagine(
        &mut self,
        now: Timestamp,
        halts: Vec<Halt>,
        limits: (Id<id::Org>, Arc<LimitBook>),
        imagined: Imagined,
    ) {
        (self.now, self.halts, self.imagined) = (now, halts, Some(imagined));
        self.limits = BTreeMap::from([limits]);
        self.counts = Counts::of_recent(&self.accounts, now);
    }

    /// Every order that was made fills whole, at once, at the price of the moment; then nothing of the
    /// signal is left but positions and counters.
    pub(crate) fn fill_all(&mut self) {
        for (_, order) in std::mem::take(&mut self.changed_orders) {
            if !order.state.is_live() {
                continue;
            }
            let known =
                self.imagined.as_ref().and_then(|imagined| imagined.prices.get(&order.symbol));
            let price = known.copied().or(order.limit_price).unwrap_or_default();
            self.change_exposure(&place_of(&order), |exposure| {
                exposure.release(order.purpose, order.side, order.quantity);
                let filled = exposure.fill(order.side, order.quantity, price, Money::ZERO);
                if filled.is_none() {
                    tracing::debug!(order.id = %order.id, "an imagined fill does not fit");
                }
            });
        }
        self.changed_places.clear();
        self.entries.clear();
        self.findings.clear();
    }

    /// What is held, as far as anything is.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&Place, &Exposure)> {
        self.exposures.iter().filter(|(_, exposure)| {
            !exposure.quantity.is_zero() || exposure.entry_sent_at.is_some()
        })
    }

    /// The accounts that made orders within the last minute.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (Id<id::Account>, &OrderCounter)> {
        let busy = self.accounts.iter().filter(|(_, state)| !state.counter.is_idle(self.now));
        busy.map(|(id, state)| (*id, &state.counter))
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
            last: imagined.prices.get(symbol).map(|price| (*price, self.now)),
            market: if imagined.is_closed { Market::Closed } else { Market::Open },
        }
    }
}
