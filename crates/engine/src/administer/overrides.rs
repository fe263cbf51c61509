//! Overrides: somebody asks that one order may pass one limit, somebody else says yes, and then one
//! order may, once and soon (product.md section 5). Never a halt.
//!
//! Crash story: asking, confirming and taking back are a transaction each, with its entry. An override
//! is used up in the transaction that journals its order, under the lock of its account: either both
//! are there or neither is, on whichever node.

use super::change::{Stop, begin, enter, lock};
use crate::actor::{Actor, Who};
use crate::administer::change::reason_of;
use crate::book::{Book, Scope};
use crate::command::error::{CommandError, invalid, no, parse_id, to_value};
use crate::command::{OverrideRequest, Paging, Search};
use crate::effects::Effects;
use crate::free_text;
use crate::reads::sieve;
use crate::view::{OverrideView, Page};
use crate::{Engine, row_code};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::overrides::{Override, SPAN_MAX};
use tradewarden_domain::permission::Permission;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::Tx;
use tradewarden_store::overrides::{self, OverrideRow};

const MINUTES_MAX: u32 = 15;
/// Overrides of one organization that may wait or be unused at one time.
const OPEN_MAX: i64 = 100;
/// Who may ask for one.
pub(crate) const ASKING: &[Permission] = &[Permission::LimitsManage, Permission::OrdersCreate];

impl Engine {
    pub(super) async fn request_override(
        &self,
        org: Id<id::Org>,
        new: OverrideRequest,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if matches!(actor.who(), Who::Key(_)) {
            return Err(no(Code::AuthPermission));
        }
        let account = self.account_of(org, actor, &new.account_id)?;
        let symbol = free_text::symbol("symbol", &new.symbol)?;
        if !account.instruments.contains_key(&symbol) {
            let detail = format!("{symbol} cannot be traded on account {}.", account.id);
            return Err(CommandError::Refused { code: Code::RiskUnknownInstrument, detail });
        }
        if !new.quantity.is_positive() {
            return Err(invalid("quantity", &"must be greater than zero"));
        }
        if new.limit.overridden_code().is_none() {
            return Err(invalid("limit", &format_args!("{} is never overridden", new.limit)));
        }
        let minutes = new.minutes.unwrap_or(MINUTES_MAX);
        if !(1..=MINUTES_MAX).contains(&minutes) {
            return Err(invalid("minutes", &format_args!("must be from 1 to {MINUTES_MAX}")));
        }
        let reason = reason_of(Some(&new.reason))?.unwrap_or_default();
        let now = self.now();
        let mut row = OverrideRow {
            code: [0; 32],
            terms: Override {
                id: self.parts.environment.id(now),
                org_id: org,
                account_id: account.id,
                symbol,
                side: new.side,
                quantity: new.quantity,
                limit: new.limit,
                expires_at: now.plus(SPAN_MAX),
            },
            reason,
            valid_s: minutes.saturating_mul(60),
            requested_by: actor.name(),
            requested_at: now,
            confirmed_by: None,
            confirmed_at: None,
            withdrawn_by: None,
            order_id: None,
            used_at: None,
        };
        row.code = row_code::of_request(&self.parts.row_sealer, &row);
        let view = to_value(&view(&row, now))?;
        let payload = json!({
            "account_id": account.id, "limit": new.limit, "quantity": new.quantity,
            "reason": row.reason, "side": new.side, "symbol": row.terms.symbol,
            "valid_s": row.valid_s,
        });
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        self.amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            lock(tx, org).await?;
            if overrides::open_count(tx, org, now).await? >= OPEN_MAX {
                let detail = format_args!("{OPEN_MAX} are open already; withdraw some");
                return Err(invalid("override", &detail).into());
            }
            let book = Book::load(tx, &shared, &Scope::default()).await?;
            begin(tx, &shared, &claimant).await?;
            overrides::insert(tx, &row).await?;
            let (object, told) = ((org, row.terms.id), (&claimant, payload.clone()));
            enter(tx, &shared, book, effects, object, "override.requested", told).await
        })
        .await?;
        Ok(view)
    }

    pub(super) async fn confirm_override(
        &self,
        org: Id<id::Org>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Override> = parse_id(id)?;
        let (engine, claimant) = (self.clone(), actor.clone());
        let row = self
            .amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                engine.confirm_in(tx, (org, id), &claimant, effects).await
            })
            .await?;
        to_value(&view(&row, self.now()))
    }

    async fn confirm_in(
        &self,
        tx: &mut Tx<'_>,
        (org, id): (Id<id::Org>, Id<id::Override>),
        actor: &Actor,
        effects: &mut Effects,
    ) -> Result<OverrideRow, Stop> {
        let shared = &self.parts;
        lock(tx, org).await?;
        let now = self.now();
        let row = overrides::find(tx, org, id).await?;
        let waits = |row: &OverrideRow| state(row, now) == "requested";
        let mut row = row.filter(waits).ok_or(CommandError::NotFound)?;
        if row.code != row_code::of_request(&shared.row_sealer, &row) {
            tracing::error!(override.id = %id, "an override that waits was changed past the gateway");
            return Err(CommandError::NotFound.into());
        }
        if row.requested_by == actor.name() {
            self.may_wait_instead(org, row.requested_at)?;
        } else if let Ok(user) = row.requested_by.parse() {
            // Who may not ask any more did not ask.
            self.author(org, user, user)?.allowed(ASKING)?;
        }
        let expires_at = now.plus(Duration::from_secs(u64::from(row.valid_s)));
        let book = Book::load(tx, shared, &Scope::default()).await?;
        begin(tx, shared, actor).await?;
        row.terms.expires_at = expires_at;
        row.code = row_code::of_override(&shared.row_sealer, &row.terms);
        let until = (expires_at, row.code);
        if !overrides::confirm(tx, org, id, &actor.name(), now, until).await? {
            return Err(CommandError::NotFound.into());
        }
        let payload = json!({ "expires_at": expires_at, "requested_by": row.requested_by });
        enter(tx, shared, book, effects, (org, id), "override.confirmed", (actor, payload)).await?;
        (row.confirmed_by, row.confirmed_at) = (Some(actor.name()), Some(now));
        Ok(row)
    }

    pub(super) async fn withdraw_override(
        &self,
        org: Id<id::Org>,
        id: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Override> = parse_id(id)?;
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let now = self.now();
        let row = self
            .amend(actor, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                lock(tx, org).await?;
                let row = overrides::find(tx, org, id).await?;
                let own = |row: &OverrideRow| {
                    row.requested_by == claimant.name()
                        || (claimant.allowed(&[Permission::LimitsManage]).is_ok()
                            && claimant.reaches(row.terms.account_id))
                };
                let is_open =
                    |row: &OverrideRow| matches!(state(row, now), "requested" | "confirmed");
                let mut row = row.filter(own).filter(is_open).ok_or(CommandError::NotFound)?;
                let book = Book::load(tx, &shared, &Scope::default()).await?;
                begin(tx, &shared, &claimant).await?;
                if !overrides::withdraw(tx, id, &claimant.name(), now).await? {
                    return Err(CommandError::NotFound.into());
                }
                row.withdrawn_by = Some(claimant.name());
                row.terms.expires_at = now;
                let told = (&claimant, json!({}));
                enter(tx, &shared, book, effects, (org, id), "override.withdrawn", told).await?;
                Ok(row)
            })
            .await?;
        to_value(&view(&row, now))
    }

    pub(super) async fn list_overrides(
        &self,
        org: Id<id::Org>,
        paging: &Paging,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let read = |before, count| overrides::page(&self.parts.store, org, before, count);
        let keep = |row: &OverrideRow| actor.reaches(row.terms.account_id);
        let (search, all) = (Search::from(paging.clone()), actor.reaches_all());
        let (rows, next) = sieve(&search, all, read, |row| row.terms.id, keep).await?;
        let items = rows.iter().map(|row| view(row, self.now())).collect();
        to_value(&Page { items, next })
    }
}

fn state(row: &OverrideRow, now: Timestamp) -> &'static str {
    match () {
        () if row.order_id.is_some() => "used",
        () if row.withdrawn_by.is_some() => "withdrawn",
        () if row.terms.expires_at <= now => "expired",
        () if row.confirmed_at.is_some() => "confirmed",
        () => "requested",
    }
}

fn view(row: &OverrideRow, now: Timestamp) -> OverrideView {
    let terms = &row.terms;
    OverrideView {
        id: terms.id,
        account_id: terms.account_id,
        symbol: terms.symbol.clone(),
        side: terms.side,
        quantity: terms.quantity,
        limit: terms.limit.to_string(),
        reason: row.reason.clone(),
        state: state(row, now),
        valid_s: row.valid_s,
        requested_by: row.requested_by.clone(),
        requested_at: row.requested_at,
        confirmed_by: row.confirmed_by.clone(),
        confirmed_at: row.confirmed_at,
        withdrawn_by: row.withdrawn_by.clone(),
        expires_at: terms.expires_at,
        order_id: row.order_id,
        used_at: row.used_at,
    }
}
