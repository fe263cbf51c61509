//! Administer: what people command, carried out with its audit entry and visible at once.

mod create;
mod halt;
mod organization;
mod rotate;

pub(crate) use create::name;

use crate::actor::Actor;
use crate::book::{Book, Effects, Scope, Severity};
use crate::command::{ById, Command, CommandError, LimitSet, PaperPrice};
use crate::journal::{Admission, NotWritten, SignalWork, Urgency};
use crate::once::Claimed;
use crate::reads::{account_view, away, limit_view, strategy_view, webhook_view};
use crate::view::{Page, SignalView};
use crate::{Engine, Shared, judge};
use serde::Serialize;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::check::Trace;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::limit::{Limit, LimitScope};
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::Trading;
use tradewarden_domain::signal;
use tradewarden_domain::strategy::StrategyState;
use tradewarden_store::{Error, Lock, Tx, directory as rows, exposures, signals};

/// The paper broker's back office: what no real broker lets a gateway do.
pub trait PaperDesk: Send + Sync {
    /// Opens an account with virtual cash.
    fn open_account(
        &self,
        broker_account: String,
        cash: Money,
        currency: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;

    /// Sets an instrument's price, or lets it move by itself again, and says when it trades.
    fn set_price(
        &self,
        symbol: Symbol,
        price: Option<Price>,
        market: Trading,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

impl From<NotWritten> for CommandError {
    fn from(error: NotWritten) -> Self {
        Self::Unavailable { detail: error.0 }
    }
}

impl Engine {
    /// Carries a command out; the answer is the API's object.
    pub async fn execute(&self, command: Command, actor: &Actor) -> Result<Value, CommandError> {
        // One command's future is as large as the largest; callers need not carry it inline.
        Box::pin(self.carry_out(command, actor)).await
    }

    async fn carry_out(&self, command: Command, actor: &Actor) -> Result<Value, CommandError> {
        actor.check(command.needs(), self.now())?;
        let command = match command {
            Command::OrganizationCreate(new) => return self.create_organization(new, actor).await,
            Command::OrganizationList => return self.organizations(actor),
            Command::OrganizationRename(new) => return self.rename_organization(new, actor).await,
            // The kill switch works without a word on whose it is.
            Command::HaltEngage(halt) => return self.engage(halt, actor).await,
            Command::HaltStatus => return self.halts(actor),
            // The paper exchange has one market, whoever trades on it.
            Command::PaperPrice(price) => return self.set_paper_price(price).await,
            command => command,
        };
        let org = match &command {
            Command::HaltResume(ById { id }) => self.org_of_halt(id, actor)?,
            _ => self.org_of(actor)?,
        };
        if let Some(waiting) = self.held_for_two(org, &command, actor).await? {
            return Ok(waiting);
        }
        let shared = &self.parts;
        let directory = shared.directory.load_full();
        match command {
            Command::WebhookCreate(new) => self.create_webhook(org, new, actor).await,
            Command::WebhookList => {
                list(directory.doors_of(org).into_iter(), |door| webhook_view(shared, door))
            }
            Command::WebhookShow(ById { id }) => {
                let id = parse_id(&id)?;
                let door = directory.doors.get(&id).filter(|door| door.webhook.org_id == org);
                one(door.map(|door| webhook_view(shared, door)))
            }
            Command::WebhookRotate(rotate) => self.rotate_webhook(org, rotate, actor).await,
            Command::WebhookDisable(ById { id }) => self.disable_webhook(org, &id, actor).await,
            Command::StrategyCreate(new) => self.create_strategy(org, new, actor).await,
            Command::StrategyList => list(
                directory
                    .strategies_of(org)
                    .into_iter()
                    .filter(|strategy| actor.reaches(strategy.account_id)),
                |strategy| strategy_view(strategy),
            ),
            Command::StrategyShow(ById { id }) => {
                let id = parse_id(&id)?;
                let found = directory
                    .strategies
                    .get(&id)
                    .filter(|found| found.org_id == org && actor.reaches(found.account_id));
                one(found.map(|strategy| strategy_view(strategy)))
            }
            Command::StrategyDisable(ById { id }) => self.disable_strategy(org, &id, actor).await,
            Command::AccountCreate(new) => self.create_account(org, new, actor).await,
            Command::AccountList => list(
                directory
                    .accounts
                    .values()
                    .filter(|account| account.org_id == org && actor.reaches(account.id)),
                |account| account_view(account),
            ),
            Command::AccountBalances(ById { id }) => {
                to_value(&self.balances(org, actor, &id).await?)
            }
            Command::OrderCreate(new) => first(self.create_order(org, new, actor, None).await?),
            Command::OrderChange(asked) => first(self.change_order(org, asked, actor, None).await?),
            Command::OrderCancel(ById { id }) => self.cancel_order(org, &id, actor).await,
            Command::OrderCancelAll(which) => self.cancel_all(org, which, actor).await,
            Command::PositionClose(close) => self.close_position(org, close, actor).await,
            Command::AccountShow(ById { id }) => {
                let id = parse_id(&id)?;
                let found = directory
                    .accounts
                    .get(&id)
                    .filter(|found| found.org_id == org && actor.reaches(id));
                one(found.map(|account| account_view(account)))
            }
            Command::AccountDisable(ById { id }) => self.disable_account(org, &id, actor).await,
            Command::LimitSet(limit) => self.set_limit(org, limit, actor).await,
            Command::LimitList => {
                list(directory.limits.iter().filter(|limit| limit.org_id == org), limit_view)
            }
            Command::HaltResume(ById { id }) => self.resume(&id, actor).await,
            Command::SignalList(paging) => to_value(&self.signal_page(org, actor, &paging).await?),
            Command::SignalShow(ById { id }) => {
                to_value(&self.signal(org, actor, parse_id(&id)?).await?)
            }
            Command::SignalReplay(ById { id }) => {
                to_value(&self.replay(org, actor, parse_id(&id)?).await?)
            }
            Command::OrderList(paging) => to_value(&self.order_page(org, actor, &paging).await?),
            Command::OrderShow(ById { id }) => {
                to_value(&self.order(org, actor, parse_id(&id)?).await?)
            }
            Command::PositionList => to_value(&self.positions(org, actor).await?),
            Command::AuditList(paging) => to_value(&self.entry_page(org, &paging).await?),
            Command::FindingList(paging) => to_value(&self.finding_page(org, &paging).await?),
            Command::AuditProve(ById { id }) => to_value(&self.prove(org, &id).await?),
            Command::KeyCreate(new) => self.create_key(org, new, actor).await,
            Command::KeyList => self.list_keys(org).await,
            Command::KeyShow(ById { id }) => self.show_key(org, &id).await,
            Command::KeyRotate(rotate) => self.rotate_key(org, rotate, actor).await,
            Command::KeySuspend(ById { id }) => self.suspend_key(org, &id, actor).await,
            Command::KeyActivate(ById { id }) => self.activate_key(org, &id, actor).await,
            Command::KeyRevoke(ById { id }) => self.revoke_key(org, &id, actor).await,
            Command::KeyUsage(ById { id }) => self.key_usage(org, &id).await,
            Command::Me => to_value(&self.with_person(Self::me(org, actor), actor)),
            command => self.carry_out_about_people(org, command, actor).await,
        }
    }

    /// Writes a change with its audit entry and lets everybody see it before it is answered.
    pub(crate) async fn change<K: Kind + 'static>(
        &self,
        org: Id<id::Org>,
        object: Id<K>,
        event: &'static str,
        actor: &Actor,
        mut payload: Value,
        mut write: impl AsyncFnMut(&mut Tx<'_>) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), CommandError> {
        actor.sign(&mut payload);
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let claimed = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if !claimant.begin(tx, shared.environment.now()).await? {
                    return Ok(false);
                }
                write(tx).await?;
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                effects.halts = Some(rows::halts_in(tx).await?);
                book.enter(&shared, org, object, event, &payload);
                book.write(tx, effects).await?;
                Ok(true)
            })
            .await?;
        actor.carried_out(claimed)?;
        self.parts.reload().await;
        Ok(())
    }

    async fn disable_webhook(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Webhook> = parse_id(text)?;
        let directory = self.parts.directory.load_full();
        directory
            .doors
            .get(&id)
            .filter(|door| door.webhook.org_id == org)
            .ok_or(CommandError::NotFound)?;
        self.change(org, id, "webhook.disabled", actor, json!({}), async move |tx| {
            rows::set_webhook_state(tx, id, Activity::Disabled).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        one(directory.doors.get(&id).map(|door| webhook_view(&self.parts, door)))
    }

    /// Off, or exits only while the strategy holds a position (S18).
    async fn disable_strategy(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Strategy> = parse_id(text)?;
        let directory = self.parts.directory.load_full();
        let strategy = directory
            .strategies
            .get(&id)
            .filter(|strategy| strategy.org_id == org)
            .ok_or(CommandError::NotFound)?;
        let held = exposures::of_account(&self.parts.store, strategy.account_id).await;
        let held = held.map_err(|error| away(&error))?;
        let open = held.iter().any(|(place, exposure)| {
            place.strategy_id == id && (!exposure.quantity.is_zero() || exposure.has_live_entry())
        });
        let state = if open { StrategyState::ExitsOnly } else { StrategyState::Off };
        let payload = json!({ "state": state });
        self.change(org, id, "strategy.disabled", actor, payload, async move |tx| {
            rows::set_strategy_state(tx, id, state).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        one(directory.strategies.get(&id).map(|strategy| strategy_view(strategy)))
    }

    async fn disable_account(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let id: Id<id::Account> = parse_id(text)?;
        let directory = self.parts.directory.load_full();
        directory
            .accounts
            .get(&id)
            .filter(|account| account.org_id == org)
            .ok_or(CommandError::NotFound)?;
        self.change(org, id, "account.disabled", actor, json!({}), async move |tx| {
            rows::set_account_state(tx, id, Activity::Disabled).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        one(directory.accounts.get(&id).map(|account| account_view(account)))
    }

    async fn set_paper_price(&self, price: PaperPrice) -> Result<Value, CommandError> {
        let desk = self.parts.desk.as_ref().ok_or(CommandError::NotFound)?;
        let symbol: Symbol = price.symbol.parse().map_err(|error| invalid("symbol", &error))?;
        let market = price.market.unwrap_or(Trading::Open);
        if price.price.is_some_and(|price| !price.is_positive()) {
            return Err(invalid("price", &"must be greater than zero"));
        }
        desk.set_price(symbol.clone(), price.price, market)
            .await
            .map_err(|detail| CommandError::Invalid { field: "symbol", detail })?;
        crate::tasks::refresh_quotes(&self.parts).await;
        Ok(json!({
            "symbol": symbol, "price": price.price, "market": market,
        }))
    }

    async fn set_limit(
        &self,
        org: Id<id::Org>,
        new: LimitSet,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let scope: LimitScope = new.scope.parse().map_err(|_| {
            invalid("scope", &"must be org, account:ID, strategy:ID or instrument:SYMBOL")
        })?;
        let directory = self.parts.directory.load_full();
        let known = match &scope {
            LimitScope::Org | LimitScope::Instrument(_) => true,
            LimitScope::Account(id) => {
                directory.accounts.get(id).is_some_and(|account| account.org_id == org)
            }
            LimitScope::Strategy(id) => {
                directory.strategies.get(id).is_some_and(|strategy| strategy.org_id == org)
            }
        };
        if !known {
            return Err(CommandError::NotFound);
        }
        if self.raises(org, &new) {
            actor.fresh(self.now())?;
        }
        if new.value.units() < 0 {
            return Err(invalid("value", &"must not be negative"));
        }
        let payload = json!({
            "name": new.name, "scope": new.scope, "value": new.value,
        });
        let (environment, wanted) = (self.parts.environment.clone(), scope.clone());
        self.change(org, org, "limit.set", actor, payload, async move |tx| {
            let versions = rows::lock_organizations(tx, &[org], Lock::Update).await?;
            let version = versions.first().copied().unwrap_or(0).saturating_add(1);
            let limit = Limit {
                org_id: org,
                scope: wanted.clone(),
                name: new.name,
                value: new.value.units(),
                version,
                updated_at: environment.now(),
            };
            rows::put_limit(tx, &limit).await
        })
        .await?;
        let directory = self.parts.directory.load_full();
        let found = directory
            .limits
            .iter()
            .find(|limit| limit.org_id == org && limit.scope == scope && limit.name == new.name);
        one(found.map(limit_view))
    }

    /// Judges a stored signal by today's rules; nothing is written.
    async fn replay(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        id: Id<id::Signal>,
    ) -> Result<SignalView, CommandError> {
        let stored = signals::find(&self.parts.store, id).await.map_err(|error| away(&error))?;
        let stored = stored.filter(|row| row.org_id == org && crate::reads::may_see(actor, row));
        let stored = stored.ok_or(CommandError::NotFound)?;
        let body = signals::body(&self.parts.store, stored.id).await;
        let body = body.map_err(|error| away(&error))?.ok_or(CommandError::NotFound)?;
        let directory = self.parts.directory.load_full();
        let door = directory.doors.get(&stored.webhook_id).ok_or(CommandError::NotFound)?;
        let read = signal::read(&body, door.webhook.mapping.as_ref());
        let mut trace = Trace::new();
        let admission = match read.signal {
            Ok(signal) => {
                trace.pass("parse");
                Admission::Admitted(Box::new(signal))
            }
            Err(error) => Admission::Refused(crate::intake::NotAdmitted::unreadable(&error)),
        };
        let work = SignalWork {
            signal_id: stored.id,
            received_at: self.now(),
            door: Arc::clone(door),
            admission,
            dry_run: true,
            answer_was_lost: false,
            sent_ahead: None,
            body,
            body_sha256: stored.body_sha256,
            trace,
        };
        let shared = Arc::clone(&self.parts);
        let (outcome, trace) = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, _: &mut Effects| {
                judge::rehearse(tx, &shared, &work).await
            })
            .await?;
        let raw = |text: Result<String, serde_json::Error>| {
            let text = text.unwrap_or_else(|_| "[]".to_owned());
            serde_json::value::RawValue::from_string(text)
                .map_err(|_| CommandError::Unavailable { detail: "unreadable".to_owned() })
        };
        Ok(SignalView {
            id: stored.id,
            received_at: stored.received_at,
            source: stored.webhook_id,
            status: outcome.status.text().to_owned(),
            code: outcome.code.map(|code| code.text().to_owned()),
            message: outcome.message,
            body_sha256: tradewarden_seal::Digest::from_bytes(stored.body_sha256).to_string(),
            checks: raw(serde_json::to_string(trace.checks()))?,
            accounts: raw(serde_json::to_string(&outcome.accounts))?,
            orders: Vec::new(),
        })
    }
}

impl Shared {
    /// Records a finding by itself.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        org: Id<id::Org>,
        code: &'static str,
        severity: Severity,
        subject: String,
        detail: String,
    ) {
        let shared = Arc::clone(self);
        let written = self
            .journal
            .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                book.find(&shared, org, code, severity, subject.clone(), detail.clone());
                book.write(tx, effects).await
            })
            .await;
        if let Err(error) = written {
            tracing::error!(error = %error.0, code, "a finding was not journaled");
        }
    }
}

pub(crate) fn invalid(field: &'static str, detail: &dyn std::fmt::Display) -> CommandError {
    CommandError::Invalid { field, detail: detail.to_string() }
}

pub(crate) fn parse_id<K: Kind>(text: &str) -> Result<Id<K>, CommandError> {
    Id::from_str(text).map_err(|error| invalid("id", &error))
}

pub(crate) fn to_value(view: &impl Serialize) -> Result<Value, CommandError> {
    serde_json::to_value(view).map_err(|error| {
        tracing::error!(error = %error, "a view could not be written as JSON");
        CommandError::Unavailable { detail: "the answer could not be written".to_owned() }
    })
}

/// Without an idempotency key every request is the first.
fn first(claimed: Claimed<Value>) -> Result<Value, CommandError> {
    match claimed {
        Claimed::First(value) => Ok(value),
        Claimed::Before => Err(CommandError::NotFound),
    }
}

fn one(view: Option<impl Serialize>) -> Result<Value, CommandError> {
    to_value(&view.ok_or(CommandError::NotFound)?)
}

fn list<T, V: Serialize>(
    things: impl Iterator<Item = T>,
    view: impl Fn(T) -> V,
) -> Result<Value, CommandError> {
    to_value(&Page { items: things.map(view).collect(), next: None })
}
