//! Changing the roll table. A continuous symbol stands for the months of its root: one that is taken
//! out, or put under another root, is closed by no signal any more. So it stays while anything is
//! held in it (S11).

use super::{Stop, begin, enter, lock};
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::RollSet;
use crate::command::error::{CommandError, to_value};
use crate::effects::Effects;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::roll::Contract;
use tradewarden_store::{Tx, directory as rows, exposures};

/// What becomes of a month.
#[derive(Clone)]
enum Fate {
    Set(Contract),
    Removed,
}

impl Engine {
    pub(crate) async fn set_roll(
        &self,
        org: Id<id::Org>,
        new: RollSet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let contract = self.contract_to_be(org, &new)?;
        let symbol = contract.symbol.clone();
        self.change_roll(org, &symbol, Fate::Set(contract), actor).await?;
        let table = crate::book::rolls(&self.parts, org);
        let contract = table.contract(&symbol).ok_or(CommandError::NotFound)?;
        to_value(&self.roll_view(&table, contract))
    }

    pub(crate) async fn remove_roll(
        &self,
        org: Id<id::Org>,
        symbol: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let symbol: Symbol = symbol.parse().map_err(|_| CommandError::NotFound)?;
        let table = crate::book::rolls(&self.parts, org);
        let contract = table.contract(&symbol).ok_or(CommandError::NotFound)?;
        self.change_roll(org, &symbol, Fate::Removed, actor).await?;
        to_value(&self.roll_view(&table, contract))
    }

    async fn change_roll(
        &self,
        org: Id<id::Org>,
        symbol: &Symbol,
        fate: Fate,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let symbol = symbol.clone();
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            change_in(tx, &shared, (org, &symbol), &fate, &claimant, effects).await
        })
        .await
    }
}

async fn change_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    (org, symbol): (Id<id::Org>, &Symbol),
    fate: &Fate,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    lock(tx, org).await?;
    let root = crate::book::rolls(shared, org).contract(symbol).map(|known| known.root.clone());
    let stays = match fate {
        Fate::Set(contract) => root.as_ref().is_none_or(|root| *root == contract.root),
        Fate::Removed => false,
    };
    if !stays {
        is_unheld(tx, shared, org, symbol).await?;
    }
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    let (event, payload) = match fate {
        Fate::Set(contract) => {
            rows::put_roll(tx, contract).await?;
            let payload = json!({
                "contract": symbol, "expires_on": contract.expires_on,
                "first_notice_on": contract.first_notice_on, "roll_at": contract.roll_at,
                "root": contract.root,
            });
            ("roll.set", payload)
        }
        Fate::Removed => {
            rows::remove_roll(tx, org, symbol).await?;
            ("roll.removed", json!({ "contract": symbol, "root": root }))
        }
    };
    enter(tx, shared, book, effects, (org, org), event, (actor, payload)).await
}

/// Whether nobody in the organization holds anything in this month, or may still come to.
async fn is_unheld(
    tx: &mut Tx<'_>,
    shared: &Shared,
    org: Id<id::Org>,
    symbol: &Symbol,
) -> Result<(), Stop> {
    let directory = shared.directory.load_full();
    let own = directory.accounts.values().filter(|account| account.org_id == org);
    let pairs: Vec<_> = own.map(|account| (account.id, symbol.clone())).collect();
    let mut held = exposures::of_pairs(tx, &pairs).await?;
    held.retain(|(_, exposure)| !exposure.is_idle());
    let Some((place, exposure)) = held.first() else { return Ok(()) };
    let detail = format!(
        "{} of {symbol} is held on {} by {}, or orders are under way; the month can go, or change its \
         root, once that is closed.",
        exposure.quantity, place.account_id, place.strategy_id
    );
    Err(CommandError::Refused { code: Code::StrategyOpenPosition, detail }.into())
}
