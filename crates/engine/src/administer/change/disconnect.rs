//! Disconnecting an account from its broker (S21): nothing is opened there any more, and what trades there
//! alone is off, at once. Where positions are open they are listed, and a person types the phrase that is
//! shown with the list: after this no signal closes them.
//!
//! Crash story: account and strategies go off in one transaction with their audit entries; entries are
//! taken back after it. A crash in between leaves entries that may still fill, on an account that is off:
//! asking once more takes them back.

use super::{Stop, begin, enter, lock};
use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::AccountDisconnect;
use crate::command::error::{CommandError, away, parse_id, to_value};
use crate::effects::Effects;
use crate::lockdown::phrase;
use crate::orders::{TOGETHER, live};
use crate::view::{DisconnectedView, LockdownPositionView};
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, Purpose};
use tradewarden_domain::strategy::{Strategy, StrategyState};
use tradewarden_store::{Tx, directory as rows, exposures};

/// Positions that a refusal and an audit entry name.
const NAMED_MAX: usize = 50;

impl Engine {
    pub(in crate::administer) async fn disconnect_account(
        &self,
        org: Id<id::Org>,
        disconnect: AccountDisconnect,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Account> = parse_id(&disconnect.id)?;
        let known = self.parts.directory.load().accounts.get(&id).cloned();
        known
            .filter(|known| known.org_id == org && actor.reaches(id))
            .ok_or(CommandError::NotFound)?;
        let open = self.open_positions(org, Some(id)).await?;
        confirmed(&open, disconnect.phrase.as_deref())?;
        let listed = Arc::new(open);
        let (shared, claimant, list) =
            (Arc::clone(&self.parts), actor.clone(), Arc::clone(&listed));
        let strategies = self
            .amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                disconnect_in(tx, &shared, (org, id), &list, &claimant, effects).await
            })
            .await?;
        let canceled = self.take_back_entries(org, id, actor).await?;
        to_value(&DisconnectedView {
            account_id: id,
            state: Activity::Disabled.to_string(),
            strategies,
            canceled,
            open_positions: Arc::unwrap_or_clone(listed),
        })
    }

    /// Asks back what could still open something on the account.
    async fn take_back_entries(
        &self,
        org: Id<id::Org>,
        account: Id<id::Account>,
        actor: &Actor,
    ) -> Result<Vec<Id<id::Order>>, CommandError> {
        let live = live::of(&self.parts.store, Some(org)).await;
        let mut entries = live.map_err(|error| away(&error))?;
        let opens = |order: &Order| {
            order.account_id == account
                && order.purpose == Purpose::Entry
                && !order.cancel_requested
        };
        entries.retain(opens);
        let mut canceled = Vec::with_capacity(entries.len());
        for some in entries.chunks(TOGETHER) {
            let ended = self.cancel(some.to_vec(), actor, false).await?;
            canceled.extend(ended.into_iter().map(|order| order.id));
        }
        Ok(canceled)
    }
}

/// Whether a person read what is open: the phrase is that of this list, and of no other.
fn confirmed(open: &[LockdownPositionView], said: Option<&str>) -> Result<(), CommandError> {
    let wanted = phrase(open);
    if open.is_empty() || said.is_some_and(|said| said.trim() == wanted) {
        return Ok(());
    }
    let of = |position: &LockdownPositionView| {
        let LockdownPositionView { symbol, quantity, broker_quantity, .. } = position;
        match broker_quantity {
            Some(theirs) => format!("{quantity} {symbol} ({theirs} at the broker)"),
            None => format!("{quantity} {symbol} (the broker was not heard)"),
        }
    };
    let named: Vec<_> = open.iter().take(NAMED_MAX).map(of).collect();
    let more = open.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let code = Code::AccountOpenPosition;
    let detail = format!(
        "{} Open: {}{more}. To disconnect it all the same, say the phrase `{wanted}`.",
        code.meaning(),
        named.join("; ")
    );
    Err(CommandError::Refused { code, detail })
}

async fn disconnect_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    (org, id): (Id<id::Org>, Id<id::Account>),
    listed: &[LockdownPositionView],
    actor: &Actor,
    effects: &mut Effects,
) -> Result<Vec<Id<id::Strategy>>, Stop> {
    let versions = lock(tx, org).await?;
    let settings = rows::account_settings(tx, id).await?;
    let (_, name, before) = settings.ok_or(CommandError::NotFound)?;
    is_still_so(tx, id, listed).await?;
    let mut trading = rows::strategies_of(tx, org).await?;
    trading.retain(|strategy| strategy.state != StrategyState::Off && trades_only(strategy, id));
    let mut book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    rows::update_account(tx, id, &name, Activity::Disabled).await?;
    let mut off = Vec::with_capacity(trading.len());
    for strategy in trading {
        let was = strategy.state;
        let after = Strategy { state: StrategyState::Off, ..strategy };
        rows::update_strategy(tx, &after).await?;
        let mut payload = changed(was.text(), StrategyState::Off.text());
        actor.sign(&mut payload);
        book.enter(shared, org, after.id, "strategy.changed", &payload);
        off.push(after.id);
    }
    if !off.is_empty() {
        rows::set_strategies_version(tx, org, versions.strategies.saturating_add(1)).await?;
    }
    let mut payload = changed(before.text(), Activity::Disabled.text());
    if let Some(payload) = payload.as_object_mut() {
        let named: Vec<_> = listed.iter().take(NAMED_MAX).collect();
        payload.insert("count".to_owned(), json!(listed.len().to_string()));
        payload.insert("open_positions".to_owned(), json!(named));
        payload.insert("strategies".to_owned(), json!(off.len().to_string()));
    }
    enter(tx, shared, book, effects, (org, id), "account.disconnected", (actor, payload)).await?;
    Ok(off)
}

fn changed(was: &str, is: &str) -> Value {
    json!({ "changed": { "state": { "after": is, "before": was } } })
}

/// Whether every account of the strategy is this one. Those that trade elsewhere too go on there: here
/// their entries are refused with the account's.
fn trades_only(strategy: &Strategy, account: Id<id::Account>) -> bool {
    strategy.accounts().all(|of| of == account)
}

/// A fill since the list was made makes another list, which somebody has to read.
async fn is_still_so(
    tx: &mut Tx<'_>,
    account: Id<id::Account>,
    listed: &[LockdownPositionView],
) -> Result<(), Stop> {
    let mut held: BTreeMap<Symbol, Quantity> = BTreeMap::new();
    for (place, exposure) in exposures::of_account_in(tx, account).await? {
        let sum = held.entry(place.symbol).or_default();
        *sum = sum.saturating_plus(exposure.quantity);
    }
    held.retain(|_, quantity| !quantity.is_zero());
    let ours = listed.iter().filter(|position| !position.quantity.is_zero());
    let ours: BTreeMap<_, _> =
        ours.map(|position| (position.symbol.clone(), position.quantity)).collect();
    if held == ours {
        return Ok(());
    }
    let code = Code::AccountOpenPosition;
    let detail = "A fill came in meanwhile: ask once more, and read what is open now.".to_owned();
    Err(CommandError::Refused { code, detail }.into())
}
