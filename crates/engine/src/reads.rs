//! Reads: everything that is shown, from reading connections that never wait for the journal.

mod lists;

use crate::command::error::{CommandError, away, no};
pub(crate) use lists::sieve;

use crate::actor::Actor;
use crate::command::{Paging, Search};
use crate::profit::by_symbol;
use crate::view::{
    AccountView, FindingView, HaltView, LimitView, NextDaysView, OrderView, Page, PositionView,
    ProofView, SignalView, StrategyPosition, StrategyView, WebhookView,
};
use crate::{Engine, Shared, ledger};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tradewarden_domain::account::Account;
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::Limit;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::profit::Profit;
use tradewarden_domain::signal::Percentage;
use tradewarden_domain::strategy::{ShortSelling, Strategy};
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::Webhook;
use tradewarden_seal::merkle::{TileAddress, parse_tile_path};
use tradewarden_seal::{Digest, base64_encode};
use tradewarden_store::audit::{self, Placed};
use tradewarden_store::exposures::{self, NO_STRATEGY};
use tradewarden_store::findings::Finding;
use tradewarden_store::signals::StoredSignal;
use tradewarden_store::{orders, signals};

/// Whether requests can be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// They can.
    pub ready: bool,
    /// Why not, in sentences.
    pub reasons: Vec<String>,
}

/// What a path below `/audit/tile/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TilePath {
    /// Hashes.
    Hashes {
        /// The level, 0 for leaves.
        level: u8,
        /// The tile's number on its level.
        number: u64,
        /// How many hashes, 1 to 256.
        width: u16,
    },
    /// Entries.
    Entries {
        /// The bundle's number.
        number: u64,
        /// How many entries, 1 to 256.
        width: u16,
    },
}

const ITEMS_DEFAULT: u32 = 50;
const ITEMS_MAX: u32 = 200;
const PROVABLE_MAX: i64 = 16;

impl Engine {
    /// Whether requests can be served.
    pub fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if !self.parts.has_quotes() {
            reasons.push("no prices have been heard yet".to_owned());
        }
        if self.parts.is_leader() && !self.parts.has_recovered() {
            reasons.push("live orders have not been read yet".to_owned());
        }
        if !self.parts.is_writable() {
            reasons.push("nothing can be written to the database".to_owned());
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }

    /// The newest signed checkpoint of the audit log.
    pub async fn checkpoint(&self) -> Result<String, CommandError> {
        let head = audit::ledger(&self.parts.store).await.map_err(|error| away(&error))?;
        head.map(|head| head.checkpoint).ok_or(CommandError::NotFound)
    }

    /// The first `width` hashes of a tile, if the published log has as many.
    pub async fn tile(
        &self,
        level: u8,
        number: u64,
        width: u16,
    ) -> Result<Option<Vec<u8>>, CommandError> {
        let bytes = usize::from(width).saturating_mul(32);
        let stored = audit::tile(&self.parts.store, level, number).await;
        let stored = stored.map_err(|error| away(&error))?;
        Ok(stored.and_then(|hashes| hashes.get(..bytes).map(<[u8]>::to_vec)))
    }

    /// The first `width` entries of a bundle, each with its length in two bytes before it. Of the
    /// entries of other organizations there is the length zero: their hashes are in the tiles (C18).
    pub async fn entries(
        &self,
        number: u64,
        width: u16,
        actor: &Actor,
    ) -> Result<Option<Vec<u8>>, CommandError> {
        let org = self.org_of(actor)?;
        // The log is the organization's: an entry does not say of which account it is.
        if !actor.reaches_all() {
            return Err(no(Code::AuthPermission));
        }
        let Some(start) = number.checked_mul(256) else { return Ok(None) };
        let end = start.saturating_add(u64::from(width));
        let entries = audit::range(&self.parts.store, start, end).await;
        let entries = entries.map_err(|error| away(&error))?;
        if entries.len() != usize::from(width) {
            return Ok(None);
        }
        let mut bundle = Vec::new();
        for entry in entries {
            let own = if entry.org_id == org { entry.leaf.as_bytes() } else { b"" };
            let length = u16::try_from(own.len()).map_err(|_| CommandError::Unavailable {
                detail: "an entry is too long".to_owned(),
            })?;
            bundle.extend_from_slice(&length.to_be_bytes());
            bundle.extend_from_slice(own);
        }
        Ok(Some(bundle))
    }

    /// What a path below `/audit/tile/` names, if it names anything.
    pub fn parse_tile_path(path: &str) -> Option<TilePath> {
        match parse_tile_path(&format!("tile/{path}")).or_else(|_| parse_tile_path(path)).ok()? {
            TileAddress::Hashes(tile) => Some(TilePath::Hashes {
                level: tile.level(),
                number: tile.index(),
                width: tile.width(),
            }),
            TileAddress::Entries(tile) => {
                Some(TilePath::Entries { number: tile.index(), width: tile.width() })
            }
        }
    }

    pub(crate) async fn signal(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        id: Id<id::Signal>,
    ) -> Result<SignalView, CommandError> {
        let stored = signals::find(&self.parts.store, id).await.map_err(|error| away(&error))?;
        let stored = stored.filter(|row| row.org_id == org && may_see(actor, row));
        signal_view(&self.parts, stored.ok_or(CommandError::NotFound)?).await
    }

    pub(crate) async fn order(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        id: Id<id::Order>,
    ) -> Result<OrderView, CommandError> {
        let stored = orders::find(&self.parts.store, id).await.map_err(|error| away(&error))?;
        stored
            .filter(|order| order.org_id == org && actor.reaches(order.account_id))
            .map(OrderView::from)
            .ok_or(CommandError::NotFound)
    }

    pub(crate) async fn positions(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        search: &Search,
    ) -> Result<Page<PositionView>, CommandError> {
        let directory = self.parts.directory.load_full();
        let mut items = Vec::new();
        let own = |account: &&Arc<Account>| account.org_id == org && actor.reaches(account.id);
        for account in directory.accounts.values().filter(own) {
            let rows = exposures::of_account(&self.parts.store, account.id).await;
            let holdings = by_symbol(rows.map_err(|error| away(&error))?);
            let view = |(symbol, parts): (Symbol, Vec<_>)| self.position(account, symbol, &parts);
            items.extend(holdings.into_iter().map(view));
        }
        Ok(lists::held(&search.filter, items))
    }

    fn position(
        &self,
        account: &Account,
        symbol: Symbol,
        parts: &[(Id<id::Strategy>, Exposure)],
    ) -> PositionView {
        let sum = parts.iter().fold(Exposure::default(), |sum, (_, part)| sum.and(part));
        let holders: Vec<_> = parts.iter().filter(|(_, part)| !part.quantity.is_zero()).collect();
        let instrument = account.instruments.get(&symbol);
        let reference = self.parts.market.reference(account, &symbol, self.now());
        let now = self.now();
        let profit = instrument.and_then(|found| Profit::of(&sum, found, &reference, now).ok());
        let realized = profit.as_ref().map_or(Money::ZERO, |profit| profit.realized);
        PositionView {
            account_id: account.id,
            quantity: sum.quantity,
            average_price: match holders.as_slice() {
                [(_, one)] => one.average_price(),
                _ => None,
            },
            projected_quantity: sum.projected(),
            realized_pnl: realized.minus(sum.fees).unwrap_or(Money::ZERO),
            mark: profit.as_ref().and_then(|profit| profit.mark).map(|mark| mark.price),
            unrealized_pnl: profit.and_then(|profit| profit.unrealized.ok()),
            currency: instrument.map(|instrument| instrument.currency.clone()),
            strategies: parts.iter().map(strategy_position).collect(),
            symbol,
        }
    }

    /// Proves the entry with this identifier, or the one that made the thing with it: an order is
    /// proven by the entry of its signal.
    pub(crate) async fn prove(
        &self,
        org: Id<id::Org>,
        text: &str,
    ) -> Result<ProofView, CommandError> {
        let entry = self.provable(org, text).await?;
        let entry = entry.filter(|entry| entry.org_id == org).ok_or(CommandError::NotFound)?;
        let mut proof = ledger::prove(&self.parts, &entry).await.map_err(|error| away(&error))?;
        if proof.is_none() && self.parts.is_leader() {
            // Sealing is at most a moment away; whoever asks need not ask twice.
            if let Err(error) = ledger::seal(&self.parts).await {
                tracing::error!(error, "the audit log was not sealed");
            }
            let sealed = self.provable(org, text).await?.unwrap_or(entry.clone());
            proof = ledger::prove(&self.parts, &sealed).await.map_err(|error| away(&error))?;
        }
        let proof = proof.ok_or_else(|| CommandError::Unavailable {
            detail: "the entry has no place in the log yet: ask again in a second".to_owned(),
        })?;
        Ok(ProofView {
            entry_id: entry.id,
            index: proof.index,
            proof: proof.to_string(),
            leaf: entry.leaf,
            payload: entry.payload,
            salt: base64_encode(&entry.salt),
            verifier_key: self.parts.ledger_key.verifier().to_string(),
        })
    }

    async fn provable(&self, org: Id<id::Org>, text: &str) -> Result<Option<Placed>, CommandError> {
        let store = &self.parts.store;
        if let Ok(id) = text.parse::<Id<id::Entry>>() {
            return audit::entry(store, id).await.map_err(|error| away(&error));
        }
        let mut object = any_id(text).ok_or(CommandError::Invalid {
            field: "id",
            detail: format!("{text:?} is no identifier of anything that the audit log is about"),
        })?;
        if let Ok(id) = text.parse::<Id<id::Order>>() {
            let order = orders::find(store, id).await.map_err(|error| away(&error))?;
            let signal = order.and_then(|order| order.signal_id);
            object = signal.map_or(object, Id::to_bytes);
        }
        let entries = audit::of_object(store, object, PROVABLE_MAX).await;
        let mut entries = entries.map_err(|error| away(&error))?.into_iter();
        Ok(entries.find(|entry| entry.org_id == org))
    }
}

/// The bytes of an identifier of any kind that entries are about.
fn any_id(text: &str) -> Option<[u8; 16]> {
    fn of<K: Kind>(text: &str) -> Option<[u8; 16]> {
        text.parse::<Id<K>>().ok().map(Id::to_bytes)
    }
    of::<id::Order>(text)
        .or_else(|| of::<id::Signal>(text))
        .or_else(|| of::<id::Webhook>(text))
        .or_else(|| of::<id::Strategy>(text))
        .or_else(|| of::<id::Account>(text))
        .or_else(|| of::<id::Halt>(text))
        .or_else(|| of::<id::Finding>(text))
        .or_else(|| of::<id::Org>(text))
}

/// The identifier before which a page begins, and how many it may hold.
/// How many items a page has at most.
pub(crate) fn page_size(paging: &Paging) -> Result<u32, CommandError> {
    let count = paging.limit.unwrap_or(ITEMS_DEFAULT);
    if (1..=ITEMS_MAX).contains(&count) {
        return Ok(count);
    }
    let detail = format!("must be from 1 to {ITEMS_MAX}");
    Err(CommandError::Invalid { field: "limit", detail })
}

pub(crate) fn window<K: Kind>(paging: &Paging) -> Result<(Id<K>, u32), CommandError> {
    let count = page_size(paging)?;
    let before = match &paging.cursor {
        None => Id::from_bytes([255; 16]),
        Some(cursor) => Id::from_bare_text(cursor).map_err(|_| CommandError::Invalid {
            field: "cursor",
            detail: "is not the `next` of a page".to_owned(),
        })?,
    };
    Ok((before, count))
}

/// Cuts the one row too many off, which only told that there is a next page.
pub(crate) fn cut<T, K>(
    mut rows: Vec<T>,
    count: u32,
    id: impl Fn(&T) -> Id<K>,
) -> (Vec<T>, Option<String>) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let more = rows.len() > count;
    rows.truncate(count);
    let next = rows.last().filter(|_| more).map(|row| id(row).bare_text());
    (rows, next)
}

async fn signal_view(shared: &Shared, row: StoredSignal) -> Result<SignalView, CommandError> {
    let broken =
        |_| CommandError::Unavailable { detail: "a stored signal is unreadable".to_owned() };
    let mut views = Vec::new();
    for id in order_ids(&row.accounts) {
        if let Some(order) = orders::find(&shared.store, id).await.map_err(|error| away(&error))? {
            views.push(OrderView::from(order));
        }
    }
    Ok(SignalView {
        id: row.id,
        received_at: row.received_at,
        source: row.source,
        status: row.status,
        code: row.code,
        message: row.message,
        body_sha256: Digest::from_bytes(row.body_sha256).to_string(),
        checks: RawValue::from_string(row.checks).map_err(broken)?,
        accounts: RawValue::from_string(row.accounts).map_err(broken)?,
        orders: views,
    })
}

/// Whether the actor may know of a signal: of every account that it came to. What came to none is
/// the organization's.
pub(crate) fn may_see(actor: &Actor, row: &StoredSignal) -> bool {
    #[derive(serde::Deserialize)]
    struct Result {
        account_id: Id<id::Account>,
    }
    if actor.reaches_all() {
        return true;
    }
    let results: Vec<Result> = serde_json::from_str(&row.accounts).unwrap_or_default();
    !results.is_empty() && results.iter().all(|result| actor.reaches(result.account_id))
}

/// The orders that a stored signal's results name.
fn order_ids(accounts: &str) -> Vec<Id<id::Order>> {
    #[derive(serde::Deserialize)]
    struct Result {
        #[serde(default)]
        order_ids: Vec<Id<id::Order>>,
    }
    let results: Vec<Result> = serde_json::from_str(accounts).unwrap_or_default();
    results.into_iter().flat_map(|result| result.order_ids).collect()
}

fn strategy_position((strategy, part): &(Id<id::Strategy>, Exposure)) -> StrategyPosition {
    StrategyPosition {
        strategy_id: (*strategy != NO_STRATEGY).then_some(*strategy),
        quantity: part.quantity,
        average_price: part.average_price(),
        working_entry_buy: part.entry_buy,
        working_entry_sell: part.entry_sell,
        working_exit_buy: part.exit_buy,
        working_exit_sell: part.exit_sell,
    }
}

pub(crate) fn account_view(account: &Account, now: Timestamp) -> AccountView {
    let (session, loss_reset) = account.days.in_force(now);
    AccountView {
        id: account.id,
        name: account.name.clone(),
        broker: account.broker.clone(),
        currency: account.currency.clone(),
        state: account.state.to_string(),
        session: session.to_string(),
        loss_reset: loss_reset.text(),
        next_days: account.days.to_come(now).map(|next| NextDaysView {
            session: next.session.to_string(),
            loss_reset: next.loss_reset.text(),
            begins_at: next.begins_at,
        }),
        instruments: account.instruments.keys().cloned().collect(),
        created_at: account.created_at,
    }
}

pub(crate) fn webhook_view(shared: &Shared, webhook: &Webhook) -> WebhookView {
    let forms = [
        (webhook.forms.query, "query"),
        (webhook.forms.header, "header"),
        (webhook.forms.body, "body"),
        (webhook.forms.signature, "signature"),
    ];
    let settings = &shared.settings;
    // Where no certificate is asked for, none is shown.
    let origin = match (&webhook.client_certificate, &settings.hooks_origin) {
        (Some(_), Some(hooks_origin)) => hooks_origin,
        _ => &settings.public_origin,
    };
    WebhookView {
        id: webhook.id,
        name: webhook.name.to_string(),
        url: format!("{origin}/api/v1/webhooks/{}", webhook.token),
        token: webhook.token.to_string(),
        secret: None,
        signing_secret: None,
        forms: forms.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect(),
        allow: webhook.allow.to_vec(),
        client_certificate: webhook.client_certificate.as_ref().map(ToString::to_string),
        symbols: webhook.symbols.to_vec(),
        dry_run: webhook.dry_run,
        rate_per_s: webhook.rate_per_s,
        max_age_s: webhook.max_age_s,
        mapping: webhook.mapping.as_deref().cloned(),
        state: webhook.state.to_string(),
        created_at: webhook.created_at,
    }
}

pub(crate) fn strategy_view(strategy: &Strategy) -> StrategyView {
    StrategyView {
        id: strategy.id,
        name: strategy.name.clone(),
        webhook_id: strategy.source.webhook(),
        key_id: strategy.source.key(),
        account_id: strategy.account_id,
        followers: strategy.followers.clone(),
        require_leader: strategy.require_leader,
        symbol: strategy.symbol.clone(),
        symbol_source: strategy.symbol_source.to_string(),
        quantity: strategy.quantity,
        sizing: strategy.sizing.to_string(),
        quantity_fallback: strategy.quantity_fallback,
        quantity_clamp: strategy.quantity_clamp,
        percent: strategy.percent.map(Percentage::number),
        fee_per_unit: strategy.fee_per_unit,
        stop_ticks_min: strategy.stop_ticks_min,
        on_opposite: strategy.on_opposite.to_string(),
        pyramiding: strategy.pyramiding.to_string(),
        allow_short: strategy.short_selling == ShortSelling::Allow,
        send_within_s: strategy.send_within_s,
        entry_ttl_s: strategy.entry_ttl_s,
        schedule: strategy.schedule.clone(),
        take_profit: strategy.take_profit,
        stop_loss: strategy.stop_loss,
        on_naked: strategy.on_naked.to_string(),
        expected_every_s: strategy.expected_every_s,
        adopt: strategy.adopt,
        auto_roll: strategy.auto_roll,
        blind_market: strategy.blind_market,
        blind_quantity_max: strategy.blind_quantity_max,
        state: strategy.state.to_string(),
        created_at: strategy.created_at,
    }
}

pub(crate) fn limit_view(limit: &Limit) -> LimitView {
    LimitView {
        scope: limit.scope.to_string(),
        name: limit.name.to_string(),
        value: Quantity::from_units(limit.value),
        version: limit.version,
        updated_at: limit.updated_at,
    }
}

pub(crate) fn finding_view(finding: Finding) -> FindingView {
    FindingView {
        id: finding.id,
        at: finding.at,
        code: finding.code,
        severity: finding.severity,
        subject: finding.subject,
        detail: finding.detail,
    }
}

/// A halt as it is shown; `local` while the database does not have it.
pub fn halt_view(halt: &Halt, local: bool) -> HaltView {
    HaltView {
        id: halt.id,
        scope: halt.scope.to_string(),
        mode: halt.mode.to_string(),
        include_protective: halt.include_protective,
        reason: halt.reason.clone(),
        engaged_by: halt.engaged_by.clone(),
        engaged_at: halt.engaged_at,
        local,
        resumed_by: None,
        resumed_at: None,
        progress: None,
    }
}
