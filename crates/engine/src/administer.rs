//! Administer: what people command, carried out with its audit entry and visible at once.

mod change;
mod create;
mod halt;
mod organization;
mod overrides;
mod revoke;
mod rotate;
mod source;

use crate::command::error::{CommandError, away, invalid, parse_id, to_value};
pub(crate) use crate::free_text::name;
pub(crate) use revoke::{end_seen_session, revoke_secret};

use self::change::Unsaid;

use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::{
    AccountChanges, ById, Change, Command, PaperPrice, StrategyChanges, WebhookChanges,
};
use crate::effects::{Effects, Severity};
use crate::free_text;
use crate::intake::read_again;
use crate::journal::{NotWritten, Urgency};
use crate::once::Claimed;
use crate::reads::{account_view, limit_view, strategy_view, webhook_view};
use crate::signal::SignalWork;
use crate::tag::IfMatch;
use crate::view::{Page, SignalView};
use crate::{Engine, Shared, judge};
use serde::Serialize;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::Trading;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::StrategyState;
use tradewarden_store::{Error, Tx, directory as rows, signals};

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
            Command::CertificateNote(note) => return self.note_certificate(note, actor).await,
            Command::PinsPublish(asked) => return self.publish_pins(asked, actor).await,
            Command::Vault(asked) => return self.about_keys(asked, actor).await,
            // The kill switch works without a word on whose it is.
            Command::HaltEngage(halt) => return self.engage(halt, actor).await,
            Command::HaltStatus => return self.halts(actor),
            Command::HaltShow(ById { id }) => return self.halt(&id, actor).await,
            // The paper exchange has one market, whoever trades on it.
            Command::PaperPrice(price) => return self.set_paper_price(price).await,
            command => command,
        };
        let org = match &command {
            Command::HaltResume(ById { id }) => self.org_of_halt(id, actor).await?,
            _ => self.org_of(actor)?,
        };
        self.passes_lockdown(org, &command).await?;
        if let Some(waiting) = self.held_for_two(org, &command, actor).await? {
            return Ok(waiting);
        }
        let shared = &self.parts;
        let directory = shared.directory.load_full();
        match command {
            Command::WebhookCreate(new) => self.create_webhook(org, new, actor).await,
            Command::WebhookList => {
                let own = directory.doors_of(org).into_iter().map(|door| &door.webhook);
                list(
                    own.filter(|webhook| directory.reaches(actor, Source::Webhook(webhook.id))),
                    |webhook| webhook_view(shared, webhook),
                )
            }
            Command::WebhookShow(ById { id }) => {
                let id = parse_id(&id)?;
                let known = directory.doors.get(&id).map(|door| &door.webhook);
                let known = known.filter(|webhook| {
                    webhook.org_id == org && directory.reaches(actor, Source::Webhook(id))
                });
                one(known.map(|webhook| webhook_view(shared, webhook)))
            }
            Command::WebhookRotate(rotate) => self.rotate_webhook(org, rotate, actor).await,
            Command::StrategyCreate(new) => self.create_strategy(org, new, actor).await,
            Command::StrategyList => list(
                directory
                    .strategies_of(org)
                    .into_iter()
                    .filter(|strategy| actor.reaches_all_of(strategy)),
                |strategy| strategy_view(strategy),
            ),
            Command::StrategyShow(ById { id }) => {
                let id = parse_id(&id)?;
                let found = directory
                    .strategies
                    .get(&id)
                    .filter(|found| found.org_id == org && actor.reaches_all_of(found));
                one(found.map(|strategy| strategy_view(strategy)))
            }
            Command::AccountCreate(new) => self.create_account(org, new, actor).await,
            Command::AccountList => list(
                directory
                    .accounts
                    .values()
                    .filter(|account| account.org_id == org && actor.reaches(account.id)),
                |account| account_view(account, self.now()),
            ),
            Command::AccountBalances(ById { id }) => {
                to_value(&self.balances(org, actor, &id).await?)
            }
            Command::OrderCreate(new) => first(self.create_order(org, new, actor, None).await?),
            Command::OrderChange(asked) => first(self.change_order(org, asked, actor, None).await?),
            Command::OrderCancel(ById { id }) => self.cancel_order(org, &id, actor).await,
            Command::OrderCancelAll(which) => self.cancel_all(org, which, actor).await,
            Command::PositionClose(close) => self.close_position(org, close, actor).await,
            Command::LimitList => list(self.limits_of(&directory, org, actor), limit_view),
            Command::HaltResume(ById { id }) => self.resume(&id, actor).await,
            Command::SignalList(search) => to_value(&self.signal_page(org, actor, &search).await?),
            Command::SignalShow(ById { id }) => {
                to_value(&self.signal(org, actor, parse_id(&id)?).await?)
            }
            Command::SignalReplay(ById { id }) => {
                to_value(&self.replay(org, actor, parse_id(&id)?).await?)
            }
            Command::OrderList(search) => to_value(&self.order_page(org, actor, &search).await?),
            Command::OrderShow(ById { id }) => {
                to_value(&self.order(org, actor, parse_id(&id)?).await?)
            }
            Command::PositionList(search) => to_value(&self.positions(org, actor, &search).await?),
            Command::Me => to_value(&self.with_person(Self::me(org, actor), actor)),
            command => Box::pin(self.carry_out_change(org, command, actor)).await,
        }
    }

    /// Carries out what changes or takes away something that was made, and what is about limits and
    /// the money they are held against; every other command goes on.
    async fn carry_out_change(
        &self,
        org: Id<id::Org>,
        command: Command,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        match command {
            Command::WebhookChange(change) => self.change_webhook(org, change, actor).await,
            Command::WebhookDelete(delete) => self.delete_webhook(org, delete, actor).await,
            Command::WebhookDisable(ById { id }) => {
                let state = Some(Activity::Disabled);
                let changes = WebhookChanges { state, ..WebhookChanges::default() };
                self.change_webhook(org, change_of(id, changes), actor).await
            }
            Command::StrategyChange(change) => {
                self.change_strategy(org, change, Unsaid::Ask, actor).await
            }
            Command::StrategyDelete(delete) => self.delete_strategy(org, delete, actor).await,
            Command::StrategyDisable(ById { id }) => {
                let state = Some(StrategyState::Off);
                let changes = StrategyChanges { state, ..StrategyChanges::default() };
                self.change_strategy(org, change_of(id, changes), Unsaid::ExitsOnly, actor).await
            }
            Command::AccountChange(change) => self.change_account(org, change, actor).await,
            Command::AccountDisable(ById { id }) => {
                let state = Some(Activity::Disabled);
                let changes = AccountChanges { state, ..AccountChanges::default() };
                self.change_account(org, change_of(id, changes), actor).await
            }
            Command::AccountShow(ById { id }) => {
                let id = parse_id(&id)?;
                let directory = self.parts.directory.load();
                let found = directory.accounts.get(&id);
                let found = found.filter(|found| found.org_id == org && actor.reaches(id));
                one(found.map(|account| account_view(account, self.now())))
            }
            Command::AccountProfit(ById { id }) => to_value(&self.profit(org, actor, &id).await?),
            Command::RateSet(rate) => self.set_rate(org, rate, actor).await,
            Command::RateList => self.rates(org).await,
            Command::LimitSet(limit) => self.set_limit(org, limit, actor).await,
            Command::LimitShow(named) => self.show_limit(org, &named, actor),
            Command::LimitDelete(delete) => self.delete_limit(org, delete, actor).await,
            Command::RollSet(new) => self.set_roll(org, new, actor).await,
            Command::RollList => self.list_rolls(org),
            Command::RollRemove(ById { id }) => self.remove_roll(org, &id, actor).await,
            Command::LimitsImport(import) => self.import_limits(org, import, actor).await,
            Command::LimitsVersions(paging) => self.limits_versions(org, &paging).await,
            Command::LimitsShow(named) => self.show_limits(org, named.version, actor).await,
            Command::LimitsDiff(named) => self.diff_limits(org, &named, actor).await,
            Command::ReplayPeriod(asked) => self.replay_period(org, asked).await,
            Command::ReplayPage(asked) => self.replay_page(org, asked).await,
            Command::OverrideRequest(new) => self.request_override(org, new, actor).await,
            Command::OverrideConfirm(ById { id }) => self.confirm_override(org, &id, actor).await,
            Command::OverrideWithdraw(ById { id }) => self.withdraw_override(org, &id, actor).await,
            Command::OverrideList(paging) => self.list_overrides(org, &paging, actor).await,
            command => Box::pin(self.carry_out_about_keys(org, command, actor)).await,
        }
    }

    /// Carries out a command about API keys, access to brokers, the log, findings and alerts; every other
    /// one goes on.
    async fn carry_out_about_keys(
        &self,
        org: Id<id::Org>,
        command: Command,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        match command {
            Command::AccountDisconnect(asked) => self.disconnect_account(org, asked, actor).await,
            Command::KeyCreate(new) => self.create_key(org, new, actor).await,
            Command::KeyList => self.list_keys(org).await,
            Command::KeyShow(ById { id }) => self.show_key(org, &id).await,
            Command::KeyRotate(rotate) => self.rotate_key(org, rotate, actor).await,
            Command::KeySuspend(ById { id }) => self.suspend_key(org, &id, actor).await,
            Command::KeyActivate(ById { id }) => self.activate_key(org, &id, actor).await,
            Command::KeyRevoke(ById { id }) => self.revoke_key(org, &id, actor).await,
            Command::KeyUsage(ById { id }) => self.key_usage(org, &id).await,
            Command::AuditList(search) => to_value(&self.entry_page(org, &search).await?),
            Command::AuditProve(ById { id }) => to_value(&self.prove(org, &id).await?),
            Command::Posture => self.posture(org).await,
            Command::FindingList(search) => to_value(&self.finding_page(org, &search).await?),
            Command::AlertList(paging) => to_value(&self.alert_page(org, &paging).await?),
            Command::AlertAcknowledge(ById { id }) => self.acknowledge_alert(org, &id, actor).await,
            Command::AlertChannels => self.alert_channels().await,
            Command::AlertTest => self.test_alerts(org, actor).await,
            Command::LockdownEngage(new) => self.engage_lockdown(org, new, actor).await,
            Command::LockdownStatus => self.lockdown(org).await,
            Command::LockdownAnswer(answer) => self.answer_lockdown(org, answer, actor).await,
            Command::LockdownConfirm(said) => self.confirm_lockdown(org, &said, actor).await,
            Command::LockdownEnd => self.end_lockdown(org, actor).await,
            Command::LockdownBundle => self.lockdown_bundle(org, actor).await,
            Command::DeadManSet(set) => self.set_dead_man(org, set, actor).await,
            Command::DeadManRemove => self.remove_dead_man(org, actor).await,
            Command::DeadManList => self.dead_men(org, actor).await,
            command => Box::pin(self.carry_out_about_people(org, command, actor)).await,
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

    async fn set_paper_price(&self, price: PaperPrice) -> Result<Value, CommandError> {
        let desk = self.parts.desk.as_ref().ok_or(CommandError::NotFound)?;
        let symbol = free_text::symbol("symbol", &price.symbol)?;
        let market = price.market.unwrap_or(Trading::Open);
        if price.price.is_some_and(|price| !price.is_positive()) {
            return Err(invalid("price", &"must be greater than zero"));
        }
        desk.set_price(symbol.clone(), price.price, market)
            .await
            .map_err(|detail| CommandError::Invalid { field: "symbol", detail })?;
        crate::quotes::refresh_quotes(&self.parts).await;
        Ok(json!({
            "symbol": symbol, "price": price.price, "market": market,
        }))
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
        let signed_by = self.signed_by(&stored).await?;
        let work = read_again(&directory, &stored, body, signed_by);
        let work = work.ok_or(CommandError::NotFound)?;
        let work = SignalWork { received_at: self.now(), ..work };
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
            source: stored.source,
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
    /// Records a finding by itself; answers whether it is journaled.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        org: Id<id::Org>,
        code: &'static str,
        severity: Severity,
        subject: String,
        detail: String,
    ) -> bool {
        let shared = Arc::clone(self);
        let written = self
            .journal
            .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                book.find(&shared, org, code, severity, subject.clone(), detail.clone());
                book.write(tx, effects).await
            })
            .await;
        if let Err(error) = &written {
            tracing::error!(error = %error.0, code, "a finding was not journaled");
        }
        written.is_ok()
    }
}

/// Without an idempotency key every request is the first.
fn first(claimed: Claimed<Value>) -> Result<Value, CommandError> {
    match claimed {
        Claimed::First(value) => Ok(value),
        Claimed::Before => Err(CommandError::NotFound),
    }
}

fn change_of<T>(id: String, changes: T) -> Change<T> {
    Change { id, changes, if_match: IfMatch::Unsaid }
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
