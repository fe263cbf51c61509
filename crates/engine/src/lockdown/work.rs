//! What the steps of a lockdown do, a bounded part at a time.

use crate::book::Book;
use crate::directory::with_signing;
use crate::effects::Effects;
use crate::orders::{TOGETHER, Why, cancel_in};
use crate::people::set_mark;
use crate::{Engine, Shared};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_broker::port::Environment;
use tradewarden_domain::account::Activity;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::KeyState;
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_domain::order::Order;
use tradewarden_domain::strategy::StrategyState;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{PlainToken, Purpose, TokenKind, standard_webhooks};
use tradewarden_store::lockdowns::{self, Lockdown};
use tradewarden_store::webhook_secrets::{self, Secrets};
use tradewarden_store::{Error, Tx, api_keys, directory as rows, keys, sessions};

/// Sessions, keys, webhooks, accounts or strategies of one transaction.
const PART: u32 = 256;

/// Live orders that add risk.
#[derive(Default, Clone)]
pub(super) struct Open {
    /// Those that were not asked back yet, at most as many as one transaction takes.
    pub(super) unasked: Vec<Order>,
    /// Those that were, and have not ended.
    pub(super) unheard: Vec<Order>,
}

impl Open {
    pub(super) fn of(live: Vec<Order>) -> Self {
        let (unheard, mut unasked): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|order| order.cancel_requested);
        unasked.truncate(TOGETHER);
        Self { unasked, unheard }
    }
}

/// How many orders each broker has not confirmed the end of.
pub(super) fn unheard_by_broker(shared: &Shared, open: &Open) -> BTreeMap<String, usize> {
    let directory = shared.directory.load();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for order in &open.unheard {
        let account = directory.accounts.get(&order.account_id);
        let broker = account.map_or("an unknown broker", |account| account.broker.as_str());
        let count = counts.entry(broker.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

/// What a step has left to do, as far as one transaction does it.
pub(super) enum Part {
    Nothing,
    Access { sessions: Vec<(Id<id::Session>, Id<id::User>)>, keys: Vec<(Id<id::Key>, KeyState)> },
    Orders(Vec<Order>),
    Webhooks(Vec<Id<id::Webhook>>),
    Trading { strategies: Vec<(Id<id::Strategy>, StrategyState)>, accounts: Vec<Id<id::Account>> },
}

impl Part {
    /// What is left at the step that a lockdown is at.
    pub(super) async fn of(
        tx: &mut Tx<'_>,
        lockdown: &Lockdown,
        open: &Open,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let org = lockdown.org_id;
        Ok(match lockdown.step {
            Step::EndAccess => Self::Access {
                sessions: sessions::alive_in_organization(tx, org, now, PART).await?,
                keys: api_keys::usable(tx, org, PART).await?,
            },
            Step::Cancel => Self::Orders(open.unasked.clone()),
            Step::Rotate => Self::Webhooks(lockdowns::to_rotate(tx, lockdown, PART).await?),
            Step::Erase => Self::Trading {
                strategies: lockdowns::switched_on(tx, org, PART).await?,
                accounts: lockdowns::active_accounts(tx, org, PART).await?,
            },
            Step::Halt | Step::Ask | Step::Confirm | Step::Done => Self::Nothing,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Access { sessions, keys } => sessions.is_empty() && keys.is_empty(),
            Self::Orders(orders) => orders.is_empty(),
            Self::Webhooks(webhooks) => webhooks.is_empty(),
            Self::Trading { strategies, accounts } => strategies.is_empty() && accounts.is_empty(),
        }
    }
}

/// The transaction of a part.
pub(super) struct Work<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) lockdown: &'a Lockdown,
    /// The version of the organization's strategies.
    pub(super) strategies: i64,
}

impl Work<'_> {
    /// Carries a part out; answers how many things it was about.
    pub(super) async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        book: &mut Book,
        effects: &mut Effects,
        part: Part,
    ) -> Result<usize, Error> {
        match part {
            Part::Nothing => Ok(0),
            Part::Access { sessions, keys } => self.end_access(tx, book, sessions, keys).await,
            Part::Orders(wanted) => {
                let by = self.by();
                let why = Why { by: &by, code: Code::OrderCanceled, insists: false };
                let asked = cancel_in(tx, self.shared, &wanted, why, effects).await?;
                Ok(asked.len())
            }
            Part::Webhooks(webhooks) => self.rotate(tx, book, webhooks).await,
            Part::Trading { strategies, accounts } => {
                self.switch_off(tx, book, strategies, accounts).await
            }
        }
    }

    /// How the lockdown is called as whoever did something.
    fn by(&self) -> String {
        format!("lockdown {}", self.lockdown.id)
    }

    async fn end_access(
        &self,
        tx: &mut Tx<'_>,
        book: &mut Book,
        sessions: Vec<(Id<id::Session>, Id<id::User>)>,
        keys: Vec<(Id<id::Key>, KeyState)>,
    ) -> Result<usize, Error> {
        let (by, org) = (self.by(), self.lockdown.org_id);
        let count = sessions.len().saturating_add(keys.len());
        for (id, user) in sessions {
            sessions::end(tx, id, &by, book.now).await?;
            let payload = json!({ "actor": by, "user_id": user });
            book.enter(self.shared, org, id, "session.ended", &payload);
        }
        for (id, was) in keys {
            api_keys::set_state(tx, id, KeyState::Revoked).await?;
            let payload = json!({ "actor": by, "was": was });
            book.enter(self.shared, org, id, "key.revoked", &payload);
        }
        set_mark(tx, &self.shared.environment).await?;
        Ok(count)
    }

    /// Gives webhooks secrets that nobody sees: those that a sender is to know are made later, by
    /// `webhook rotate`.
    async fn rotate(
        &self,
        tx: &mut Tx<'_>,
        book: &mut Book,
        webhooks: Vec<Id<id::Webhook>>,
    ) -> Result<usize, Error> {
        let (by, org, count) = (self.by(), self.lockdown.org_id, webhooks.len());
        let directory = self.shared.directory.load_full();
        let environment = &self.shared.environment;
        let engine = Engine { parts: Arc::clone(self.shared) };
        for id in webhooks {
            let secret = environment
                .with_randomness(|random| PlainToken::generate(TokenKind::WebhookSecret, random));
            let door = directory.doors.get(&id);
            let is_signed = door.is_some_and(|door| door.webhook.forms.signature);
            // What cannot be sealed is not there: then no signature is right.
            let sealed = is_signed
                .then(|| environment.with_randomness(standard_webhooks::generate_secret))
                .and_then(|plain| engine.seal_signing(org, id, &plain).ok());
            let secret_hash = *secret.hash().as_bytes();
            let signing_secret = sealed.as_ref().map(|sealed| sealed.record.clone());
            let new = Secrets { secret_hash, signing_secret };
            webhook_secrets::replace_at_once(tx, id, &new).await?;
            lockdowns::rotated(tx, self.lockdown.id, id, secret_hash).await?;
            let payload = json!({ "actor": by, "previous_valid_until": book.now });
            let payload = with_signing(payload, sealed.as_ref());
            book.enter(self.shared, org, id, "webhook.rotated", &payload);
        }
        Ok(count)
    }

    /// Switches strategies off and accounts, whatever they hold: that was listed and confirmed.
    async fn switch_off(
        &self,
        tx: &mut Tx<'_>,
        book: &mut Book,
        strategies: Vec<(Id<id::Strategy>, StrategyState)>,
        accounts: Vec<Id<id::Account>>,
    ) -> Result<usize, Error> {
        let (by, org) = (self.by(), self.lockdown.org_id);
        let count = strategies.len().saturating_add(accounts.len());
        let changed = |was: &str, is: &str| json!({ "actor": by, "changed": { "state": { "after": is, "before": was } } });
        if !strategies.is_empty() {
            rows::set_strategies_version(tx, org, self.strategies.saturating_add(1)).await?;
        }
        for (id, was) in strategies {
            lockdowns::switch_off(tx, id).await?;
            let payload = changed(was.text(), StrategyState::Off.text());
            book.enter(self.shared, org, id, "strategy.changed", &payload);
        }
        for id in accounts {
            lockdowns::disable_account(tx, id).await?;
            let payload = changed(Activity::Active.text(), Activity::Disabled.text());
            book.enter(self.shared, org, id, "account.changed", &payload);
        }
        Ok(count)
    }
}

/// What a step that is over says of itself. The last one erases what opens credentials at brokers,
/// once everything else is done.
pub(super) async fn note(
    tx: &mut Tx<'_>,
    shared: &Shared,
    lockdown: &Lockdown,
    open: &Open,
) -> Result<String, Error> {
    Ok(match lockdown.step {
        Step::Halt => format!("halt {} refuses what adds risk", lockdown.halt_id),
        Step::EndAccess => "sessions and API keys ended".to_owned(),
        Step::Cancel => {
            let unheard = unheard_by_broker(shared, open);
            if unheard.is_empty() {
                return Ok("no order that adds risk is open".to_owned());
            }
            let parts: Vec<_> =
                unheard.iter().map(|(broker, count)| format!("{broker}: {count}")).collect();
            format!("orders whose end is not confirmed after 10 s: {}", parts.join(", "))
        }
        Step::Ask => {
            let positions = lockdown.positions.unwrap_or(Positions::Keep);
            match &lockdown.answered_by {
                Some(by) => format!("{positions}: {by} said so"),
                None => format!("{positions}: nobody answered within 60 s"),
            }
        }
        Step::Rotate => "webhooks have secrets that nobody has seen".to_owned(),
        Step::Confirm => {
            let by = lockdown.confirmed_by.as_deref().unwrap_or("nobody");
            format!("{by} confirmed the list of open positions")
        }
        Step::Erase => erase(tx, shared, lockdown).await?,
        Step::Done => String::new(),
    })
}

/// Erases the key under which credentials at brokers are sealed, so that none opens again.
async fn erase(tx: &mut Tx<'_>, shared: &Shared, lockdown: &Lockdown) -> Result<String, Error> {
    let erased =
        keys::erase(tx, lockdown.org_id, Purpose::Broker.name(), shared.environment.now()).await?;
    let directory = shared.directory.load();
    let own = directory.accounts.values().filter(|account| account.org_id == lockdown.org_id);
    let brokers: BTreeSet<_> = own.map(|account| account.broker.as_str()).collect();
    let mut notes: Vec<_> = brokers
        .into_iter()
        .map(|name| {
            let broker = shared.brokers.get(name);
            match broker.map(|broker| broker.capabilities().environment) {
                Some(Environment::Paper) => format!("{name}: has no credential to erase"),
                _ if erased => format!("{name}: the credentials do not open any more"),
                _ => format!("{name}: no credential was stored"),
            }
        })
        .collect();
    notes.push("accounts and strategies are off".to_owned());
    Ok(notes.join("; "))
}
