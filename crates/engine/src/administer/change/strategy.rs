//! Changing a strategy, switching it on and off (S18), and taking one away.
//!
//! A position belongs to the strategy that opened it, and only its signals close it (S3). So while
//! anything is held or may still fill, the strategy stays where its exits find it.

use super::policy::{Amendment, drop_scope};
use super::{Stop, begin, differences, enter, lock, refused};
use crate::actor::Actor;
use crate::administer::create::{
    blind_quantity, entry_ttl, expected_every, fee, fits, followers, is_alone, may_roll, may_trade,
    percent, within,
};
use crate::administer::source::{fits_source, source, usable};
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, OrderNo, invalid, parse_id, to_value};
use crate::command::{Change, Delete, Setting, StrategyChanges};
use crate::effects::Effects;
use crate::free_text::name;
use crate::orders::{Closed, close_part};
use crate::reads::strategy_view;
use crate::tag::IfMatch;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::KeyState;
use tradewarden_domain::limit::LimitScope;
use tradewarden_domain::permission::Permission;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::{
    OpenPosition, SEND_WITHIN_S_DEFAULT, STOP_TICKS_MIN_DEFAULT, ShortSelling, Strategy,
    StrategyState, SymbolSource,
};
use tradewarden_store::exposures::{self, Place};
use tradewarden_store::{Tx, directory as rows};

/// What happens to a strategy that is to be off while it holds something, if nobody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::administer) enum Unsaid {
    /// It is asked.
    Ask,
    /// It takes exits only.
    ExitsOnly,
}

/// Which strategy, and on which content of it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) org: Id<id::Org>,
    pub(super) id: Id<id::Strategy>,
    pub(super) if_match: IfMatch,
}

/// Something that a strategy holds, or that may still fill.
type Open = Vec<(Place, Exposure)>;

impl Engine {
    pub(in crate::administer) async fn change_strategy(
        &self,
        org: Id<id::Org>,
        change: Change<StrategyChanges>,
        unsaid: Unsaid,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let Change { id, changes, if_match } = change;
        let id: Id<id::Strategy> = parse_id(&id)?;
        if changes.open_position == Some(OpenPosition::Flatten) {
            actor.allowed(&[Permission::PositionsClose])?;
        }
        let moves = changes.account.is_some() || changes.followers.is_some();
        if changes.state == Some(StrategyState::On) || moves {
            let known = self.parts.directory.load().strategies.get(&id).cloned();
            let is_own = |found: &Arc<Strategy>| found.org_id == org && actor.reaches_all_of(found);
            let known = known.filter(is_own).ok_or(CommandError::NotFound)?;
            if changes.state.unwrap_or(known.state) == StrategyState::On {
                self.may_all_trade_live(&applied(&known, &changes)?).await?;
            }
        }
        let target = Target { org, id, if_match };
        if changes.adopts() {
            self.adopt(&target, &changes, actor).await?;
            return self.shown_strategy(id);
        }
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            change_in(tx, &shared, &target, &changes, unsaid, &claimant, effects).await
        })
        .await?;
        self.shown_strategy(id)
    }

    fn shown_strategy(&self, id: Id<id::Strategy>) -> Result<Value, CommandError> {
        let directory = self.parts.directory.load_full();
        let strategy = directory.strategies.get(&id).ok_or(CommandError::NotFound)?;
        to_value(&strategy_view(strategy))
    }

    /// Whether a strategy that is on may trade on each of its accounts (S24). What is no account of its
    /// organization is refused elsewhere.
    pub(in crate::administer) async fn may_all_trade_live(
        &self,
        strategy: &Strategy,
    ) -> Result<(), CommandError> {
        let directory = self.parts.directory.load_full();
        for id in strategy.accounts() {
            let known = directory.accounts.get(&id);
            if known.is_some_and(|account| account.org_id == strategy.org_id) {
                self.may_trade_live(id).await?;
            }
        }
        Ok(())
    }

    pub(in crate::administer) async fn delete_strategy(
        &self,
        org: Id<id::Org>,
        delete: Delete,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Strategy> = parse_id(&delete.id)?;
        let target = Target { org, id, if_match: delete.if_match };
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            delete_in(tx, &shared, &target, &claimant, effects).await
        })
        .await?;
        Ok(json!({ "deleted": true, "id": id }))
    }
}

async fn change_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    target: &Target,
    changes: &StrategyChanges,
    unsaid: Unsaid,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let versions = lock(tx, target.org).await?;
    let before = &found(tx, target, actor).await?;
    let open = held(tx, target.id).await?;
    let mut after = applied(before, changes)?;
    if after.source != before.source {
        let now = shared.environment.now();
        after.source = usable(&shared.directory.load(), after.source, target.org, actor, now)?;
    }
    after.state = switched(before.state, changes, unsaid, &open)?;
    stays_reachable(before, &after, &open)?;
    if after.blind() > before.blind() || (after.auto_roll && !before.auto_roll) {
        // It lets more be traded.
        actor.fresh(shared.environment.now())?;
    }
    if let Source::Webhook(id) = after.source
        && after.source != before.source
    {
        webhook_is_there(tx, target, id, actor).await?;
    }
    let others = |other: &Strategy| (other.account_id, other.followers.clone());
    let trades_otherwise = others(&after) != others(before)
        || (&after.symbol, after.symbol_source) != (&before.symbol, before.symbol_source);
    let sizes = |of: &Strategy| {
        (of.quantity, of.sizing, of.on_opposite, of.quantity_fallback, of.quantity_clamp)
    };
    let sizes_otherwise = sizes(&after) != sizes(before);
    let rolls = crate::book::rolls(shared, target.org);
    if trades_otherwise || sizes_otherwise {
        fits(&shared.directory.load(), &after, actor, shared.environment.now())?;
    }
    if trades_otherwise {
        may_trade(actor, &after)?;
    }
    if trades_otherwise || after.source != before.source {
        fits_source(&shared.directory.load(), &after)?;
    }
    let moves = others(&after) != others(before)
        || (&after.symbol, after.symbol_source) != (&before.symbol, before.symbol_source);
    let wakes = before.state == StrategyState::Off && after.state != StrategyState::Off;
    if (moves || wakes) && !changes.shared_position {
        is_alone(tx, &after, &rolls).await?;
    }
    let differences = differences(&strategy_view(before), &strategy_view(&after))?;
    let flattens = changes.open_position == Some(OpenPosition::Flatten) && !open.is_empty();
    let book = Book::load(tx, shared, &scope(target.org, &open, flattens)).await?;
    let (book, closed) =
        if flattens { flattened(shared, book, &open, actor)? } else { (book, Closed::default()) };
    begin(tx, shared, actor).await?;
    if differences.is_empty() && !flattens {
        return Ok(());
    }
    rows::update_strategy(tx, &after).await?;
    rows::set_strategies_version(tx, target.org, versions.strategies.saturating_add(1)).await?;
    let mut payload = json!({ "changed": differences });
    if let Some(payload) = payload.as_object_mut().filter(|_| changes.open_position.is_some()) {
        let ids = |orders: &[Id<id::Order>]| json!(orders);
        let placed: Vec<_> = closed.placed.iter().map(|order| order.id).collect();
        payload.insert("canceled".to_owned(), ids(&closed.canceled));
        payload.insert("closed_by".to_owned(), ids(&placed));
        payload.insert("open_position".to_owned(), json!(changes.open_position));
    }
    let object = (target.org, target.id);
    enter(tx, shared, book, effects, object, "strategy.changed", (actor, payload)).await
}

async fn delete_in(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    target: &Target,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let versions = lock(tx, target.org).await?;
    let before = &found(tx, target, actor).await?;
    let open = held(tx, target.id).await?;
    if before.state != StrategyState::Off {
        return Err(refused(Code::StrategyNotOff).into());
    }
    if !open.is_empty() {
        return Err(holds(&open, "It can be deleted once that is closed.").into());
    }
    let directory = shared.directory.load_full();
    let keys = directory
        .keys
        .values()
        .map(|known| &known.key)
        .filter(|key| key.strategy_id == Some(target.id) && key.state != KeyState::Revoked);
    let keys: Vec<_> = keys.map(|key| key.id.to_string()).collect();
    if !keys.is_empty() {
        let detail = format!("API keys trade for it: {}. Revoke them first.", keys.join(", "));
        return Err(CommandError::Refused { code: Code::StrategyInUse, detail }.into());
    }
    let book = Book::load(tx, shared, &Scope::default()).await?;
    begin(tx, shared, actor).await?;
    rows::delete_strategy(tx, target.id).await?;
    rows::set_strategies_version(tx, target.org, versions.strategies.saturating_add(1)).await?;
    let scope = LimitScope::Strategy(target.id);
    let reason = Some("the strategy was deleted");
    let asked = Amendment { org: target.org, actor, reason, event: "strategy.deleted" };
    let limits_version = drop_scope(tx, shared, &asked, &scope, versions.limits).await?;
    let before = to_value(&strategy_view(before))?;
    let payload = json!({ "before": before, "limits_version": limits_version });
    let object = (target.org, target.id);
    enter(tx, shared, book, effects, object, "strategy.deleted", (actor, payload)).await
}

/// The strategy as it is stored, if the actor may know of it and trade what it trades.
pub(super) async fn found(
    tx: &mut Tx<'_>,
    target: &Target,
    actor: &Actor,
) -> Result<Strategy, Stop> {
    let found = rows::strategy_in(tx, target.id).await?;
    let is_own =
        |strategy: &Strategy| strategy.org_id == target.org && actor.reaches_all_of(strategy);
    let found = found.filter(is_own).ok_or(CommandError::NotFound)?;
    may_trade(actor, &found)?;
    target.if_match.check(&strategy_view(&found))?;
    Ok(found)
}

/// Where the strategy holds something, or may still come to.
async fn held(tx: &mut Tx<'_>, strategy: Id<id::Strategy>) -> Result<Open, Stop> {
    let mut all = exposures::of_strategy(tx, strategy).await?;
    all.retain(|(_, exposure)| !exposure.is_idle());
    Ok(all)
}

/// The strategy as it would be, but for its state.
fn applied(before: &Strategy, changes: &StrategyChanges) -> Result<Strategy, CommandError> {
    let mut after = before.clone();
    if let Some(text) = &changes.name {
        name(text)?.clone_into(&mut after.name);
    }
    let named = source((changes.webhook.as_deref(), changes.key.as_deref()))?;
    after.source = named.unwrap_or(after.source);
    if let Some(text) = &changes.account {
        after.account_id = text.parse().map_err(|error| invalid("account", &error))?;
    }
    let texts = |all: &[Id<id::Account>]| all.iter().map(ToString::to_string).collect();
    let named: Vec<_> = changes.followers.clone().unwrap_or_else(|| texts(&after.followers));
    after.followers = followers(after.account_id, &named)?;
    after.require_leader = changes.require_leader.unwrap_or(after.require_leader);
    if let Some(text) = &changes.symbol {
        after.symbol = text.parse().map_err(|error| invalid("symbol", &error))?;
    }
    after.quantity = changes.quantity.unwrap_or(after.quantity);
    after.sizing = changes.sizing.unwrap_or(after.sizing);
    after.quantity_fallback = changes.quantity_fallback.unwrap_or(after.quantity_fallback);
    after.quantity_clamp = changes.quantity_clamp.unwrap_or(after.quantity_clamp);
    after.percent = percent(changes.percent)?.or(after.percent);
    after.fee_per_unit = fee(changes.fee_per_unit.unwrap_or(after.fee_per_unit))?;
    let ticks = changes.stop_ticks_min.unwrap_or(after.stop_ticks_min);
    after.stop_ticks_min = within("stop_ticks_min", Some(ticks), STOP_TICKS_MIN_DEFAULT, 10_000)?;
    after.on_opposite = changes.on_opposite.unwrap_or(after.on_opposite);
    after.pyramiding = changes.pyramiding.unwrap_or(after.pyramiding);
    after.symbol_source = changes.symbol_source.unwrap_or(after.symbol_source);
    set(&mut after.schedule, &changes.schedule);
    set(&mut after.take_profit, &changes.take_profit);
    set(&mut after.stop_loss, &changes.stop_loss);
    after.on_naked = changes.on_naked.unwrap_or(after.on_naked);
    set(&mut after.expected_every_s, &changes.expected_every_s);
    after.expected_every_s = expected_every(after.expected_every_s)?;
    after.adopt = changes.adopt.unwrap_or(after.adopt);
    after.auto_roll = changes.auto_roll.unwrap_or(after.auto_roll);
    may_roll(&after)?;
    after.blind_market = changes.blind_market.unwrap_or(after.blind_market);
    after.blind_quantity_max =
        blind_quantity(changes.blind_quantity_max.or(Some(after.blind_quantity_max)))?;
    set(&mut after.entry_ttl_s, &changes.entry_ttl_s);
    after.entry_ttl_s = entry_ttl(after.entry_ttl_s)?;
    if let Some(allow_short) = changes.allow_short {
        after.short_selling = if allow_short { ShortSelling::Allow } else { ShortSelling::Ignore };
    }
    if changes.send_within_s.is_some() {
        let seconds = within("send_within_s", changes.send_within_s, SEND_WITHIN_S_DEFAULT, 300)?;
        after.send_within_s = seconds;
    }
    Ok(after)
}

fn set<T: Clone>(kept: &mut Option<T>, setting: &Setting<T>) {
    match setting {
        Setting::Keep => {}
        Setting::Clear => *kept = None,
        Setting::Set(value) => *kept = Some(value.clone()),
    }
}

/// The state that the strategy would have. Off with something open is asked about (S18).
fn switched(
    before: StrategyState,
    changes: &StrategyChanges,
    unsaid: Unsaid,
    open: &Open,
) -> Result<StrategyState, CommandError> {
    let wanted = changes.state.unwrap_or(before);
    if changes.open_position.is_some() && changes.state != Some(StrategyState::Off) {
        return Err(invalid("open_position", &"belongs to the state off"));
    }
    let must_ask = wanted == StrategyState::Off && before != wanted && !open.is_empty();
    match (must_ask && changes.open_position.is_none(), unsaid) {
        (false, _) => Ok(wanted),
        (true, Unsaid::ExitsOnly) => Ok(StrategyState::ExitsOnly),
        (true, Unsaid::Ask) => {
            Err(holds(open, "Say what becomes of it: open_position `flatten` or `leave`."))
        }
    }
}

/// Whether the strategy's signals would still reach what it holds.
fn stays_reachable(before: &Strategy, after: &Strategy, open: &Open) -> Result<(), CommandError> {
    let is_left = |(place, _): &(Place, Exposure)| {
        !after.accounts().any(|account| account == place.account_id)
    };
    let moves = after.symbol != before.symbol || open.iter().any(is_left);
    let of_another_symbol = |(place, _): &(Place, Exposure)| place.symbol != after.symbol;
    let loses = after.symbol_source == SymbolSource::Strategy && open.iter().any(of_another_symbol);
    if !open.is_empty() && (moves || (loses && before.symbol_source != after.symbol_source)) {
        return Err(holds(open, "Its accounts and symbol can change once that is closed."));
    }
    Ok(())
}

/// Whether there is such a webhook that the actor may know of.
async fn webhook_is_there(
    tx: &mut Tx<'_>,
    target: &Target,
    webhook: Id<id::Webhook>,
    actor: &Actor,
) -> Result<(), Stop> {
    let row = rows::webhook_in(tx, webhook).await?.filter(|row| row.org_id == target.org);
    let followers = rows::followers(tx, &[Source::Webhook(webhook)]).await?;
    let reaches = followers.values().flatten().all(|follower| actor.reaches_all_of(follower));
    row.filter(|_| reaches).map(|_| ()).ok_or_else(|| CommandError::NotFound.into())
}

/// A no because of what is open, which it lists.
fn holds(open: &Open, advice: &str) -> CommandError {
    let of = |(place, exposure): &(Place, Exposure)| {
        let Place { account_id, symbol, .. } = place;
        let orders = Exposure { quantity: tradewarden_domain::money::Quantity::ZERO, ..*exposure };
        let under_way = if orders.is_idle() { "" } else { ", orders under way" };
        format!("{} {symbol} on {account_id}{under_way}", exposure.quantity)
    };
    let all: Vec<_> = open.iter().map(of).collect();
    let detail = format!("The strategy holds {}. {advice}", all.join("; "));
    CommandError::Refused { code: Code::StrategyOpenPosition, detail }
}

/// What the transaction needs to know: what is open, where that is to be closed.
fn scope(org: Id<id::Org>, open: &Open, flattens: bool) -> Scope {
    let mut scope = Scope::default();
    for (place, _) in open.iter().filter(|_| flattens) {
        scope.add(org, place.account_id, &place.symbol);
        scope.pairs_with_live_orders.insert((place.account_id, place.symbol.clone()));
    }
    scope
}

/// The book in which everything open is being closed; only in memory until it is written.
fn flattened(
    shared: &Arc<Shared>,
    mut book: Book,
    open: &Open,
    actor: &Actor,
) -> Result<(Book, Closed), CommandError> {
    let mut closed = Closed::default();
    for (place, _) in open {
        let account = crate::book::account(shared, place.account_id)
            .filter(|account| actor.reaches(account.id))
            .ok_or(CommandError::NotFound)?;
        let instrument = account
            .instruments
            .get(&place.symbol)
            .ok_or_else(|| OrderNo::of(Refusal::plain(Code::RiskUnknownInstrument), None))?;
        close_part(shared, &mut book, &account, instrument, place, actor, &mut closed)
            .map_err(|refusal| OrderNo::of(refusal, None))?;
    }
    if closed.is_netted && closed.placed.is_empty() && closed.canceled.is_empty() {
        let detail = "Other strategies hold as much against it, so nothing can be closed; say \
                      open_position `leave`, or close those first.";
        return Err(OrderNo::of(Refusal::because(Code::PositionFlat, detail), None).into());
    }
    Ok((book, closed))
}
