//! Positions that are on their way from a month to the next (S11), as a transaction sees them.

use super::{Book, Scope};
use crate::Shared;
use crate::directory::Directory;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::roll::RollTable;
use tradewarden_store::auto_rolls::{self, AutoRoll};
use tradewarden_store::exposures::Place;
use tradewarden_store::{Error, Tx};

/// Those of the accounts of a transaction.
#[derive(Clone, Default)]
pub(super) struct Rolling {
    rolls: BTreeMap<Place, AutoRoll>,
    changed: BTreeSet<Place>,
}

impl Rolling {
    /// Reads them under the locks of their accounts. Who has no roll table rolls nothing, and nobody
    /// looks.
    pub(super) async fn load(
        tx: &mut Tx<'_>,
        directory: &Directory,
        scope: &Scope,
    ) -> Result<Self, Error> {
        let has_table = |org: &Id<id::Org>| scope.rolls || directory.rolls.contains_key(org);
        let accounts: BTreeSet<_> = scope
            .accounts
            .iter()
            .filter(|(org, _)| has_table(org))
            .map(|(_, account)| *account)
            .collect();
        if accounts.is_empty() {
            return Ok(Self::default());
        }
        let accounts: Vec<_> = accounts.into_iter().collect();
        let rolls = auto_rolls::of_accounts(tx, &accounts).await?;
        let by_place = rolls.into_iter().map(|roll| (roll.place.clone(), roll)).collect();
        Ok(Self { rolls: by_place, changed: BTreeSet::new() })
    }

    pub(super) async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        for place in &self.changed {
            match self.rolls.get(place) {
                Some(roll) => auto_rolls::put(tx, roll).await?,
                None => auto_rolls::remove(tx, place).await?,
            }
        }
        Ok(())
    }
}

impl Book {
    /// The roll table of an organization.
    pub(crate) fn rolls(&self, org: Id<id::Org>) -> Arc<RollTable> {
        self.rolls.get(&org).cloned().unwrap_or_default()
    }

    /// The roll of what a place held.
    pub(crate) fn roll_of(&self, place: &Place) -> Option<&AutoRoll> {
        self.rolling.rolls.get(place)
    }

    /// Whether an order is one half of a roll.
    pub(crate) fn is_of_roll(&self, order: Id<id::Order>) -> bool {
        let is_half = |roll: &AutoRoll| roll.exit_id == order || roll.entry_id == Some(order);
        self.rolling.rolls.values().any(is_half)
    }

    /// The rolls on an account whose entry is still to come, from or to one of these months; of one
    /// strategy or of all.
    pub(crate) fn rolls_to_come(
        &self,
        account: Id<id::Account>,
        strategy: Option<Id<id::Strategy>>,
        months: &[Symbol],
    ) -> Vec<AutoRoll> {
        let is_meant = |roll: &&AutoRoll| {
            let is_own = strategy.is_none_or(|strategy| roll.place.strategy_id == strategy);
            let is_there = [&roll.place.symbol, &roll.next_symbol];
            roll.place.account_id == account
                && is_own
                && roll.entry_id.is_none()
                && roll.to_open().is_positive()
                && is_there.iter().any(|of| months.contains(of))
        };
        self.rolling.rolls.values().filter(is_meant).cloned().collect()
    }

    /// Begins a roll, or notes how far it is.
    pub(crate) fn put_roll(&mut self, roll: AutoRoll) {
        self.rolling.changed.insert(roll.place.clone());
        self.rolling.rolls.insert(roll.place.clone(), roll);
    }

    /// Ends a roll: what it has not opened it opens no more.
    pub(crate) fn end_roll(
        &mut self,
        shared: &Shared,
        roll: &AutoRoll,
        (event, why): (&'static str, &str),
    ) {
        if self.rolling.rolls.remove(&roll.place).is_none() {
            return;
        }
        self.rolling.changed.insert(roll.place.clone());
        self.enter(shared, roll.org_id, roll.exit_id, event, &payload(roll, why));
    }

    /// So much more of what is on its way is not opened again, because somebody closes it. The roll stays
    /// until its exit has closed that much: until then nobody knows that it is closed.
    pub(crate) fn keep_closed(
        &mut self,
        shared: &Shared,
        roll: &AutoRoll,
        quantity: Quantity,
        why: &str,
    ) {
        let stays_closed = roll.stays_closed.saturating_plus(quantity).min(roll.quantity);
        let roll = AutoRoll { stays_closed, ..roll.clone() };
        let event = "position.roll_reduced";
        self.enter(shared, roll.org_id, roll.exit_id, event, &payload(&roll, why));
        self.put_roll(roll);
    }

    /// Opens nothing more of the rolls whose entry is still to come, because everything in one of these
    /// months is closed; answers whether there were any.
    pub(crate) fn end_rolls_to_come(
        &mut self,
        shared: &Shared,
        (account, strategy): (Id<id::Account>, Option<Id<id::Strategy>>),
        symbol: &Symbol,
        why: &str,
    ) -> Ended {
        let rolls = self.rolls_to_come(account, strategy, std::slice::from_ref(symbol));
        for roll in &rolls {
            self.keep_closed(shared, roll, roll.quantity, why);
        }
        if rolls.is_empty() { Ended::None } else { Ended::Some }
    }
}

fn payload(roll: &AutoRoll, why: &str) -> serde_json::Value {
    json!({
        "account_id": roll.place.account_id, "entry_id": roll.entry_id, "exit_id": roll.exit_id,
        "next_symbol": roll.next_symbol, "quantity": roll.quantity, "side": roll.side,
        "stays_closed": roll.stays_closed, "strategy_id": roll.place.strategy_id,
        "symbol": roll.place.symbol, "why": why,
    })
}

/// Whether rolls were ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There were some.
    Some,
    /// There were none.
    #[default]
    None,
}
