//! A lockdown as it is shown: its steps, what is open, and what people still have to do.

use crate::Engine;
use crate::command::error::{CommandError, away};
use crate::profit::by_symbol;
use crate::view::{LockdownLeftView, LockdownPositionView, LockdownStepView, LockdownView};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tradewarden_broker::port::BrokerAccount;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::lockdown::{ANSWER_WITHIN, Step};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::strategy::{Strategy, StrategyState};
use tradewarden_seal::{Digest, hex_encode};
use tradewarden_store::exposures;
use tradewarden_store::lockdowns::{self, Lockdown};

/// How long a broker is asked for its positions.
const POSITIONS_WITHIN: Duration = Duration::from_secs(2);
/// Accounts whose brokers are asked at the same time.
const TOGETHER: usize = 64;
/// Things of one kind that the list of what is left names.
const NAMED_MAX: u32 = 200;

/// What a broker says of an account's positions; `None` if it was not heard.
type Theirs = BTreeMap<Id<id::Account>, Option<BTreeMap<Symbol, Quantity>>>;

impl Engine {
    /// The lockdown that is in force, or the last one; without any, that there is none.
    pub(crate) async fn lockdown(&self, org: Id<id::Org>) -> Result<Value, CommandError> {
        let store = &self.parts.store;
        let found = lockdowns::newest(store, org).await.map_err(|error| away(&error))?;
        let Some(lockdown) = found else {
            return crate::command::error::to_value(&LockdownView::default());
        };
        let steps = lockdowns::steps(store, lockdown.id).await.map_err(|error| away(&error))?;
        let confirms = lockdown.ended_at.is_none() && lockdown.step == Step::Confirm;
        let open = if confirms { Some(self.open_positions(org, None).await?) } else { None };
        let phrase = open.as_deref().map(phrase);
        let left = self.left(&lockdown, phrase.as_deref()).await?;
        let is_asked = lockdown.ended_at.is_none()
            && lockdown.step == Step::Ask
            && lockdown.positions.is_none();
        crate::command::error::to_value(&LockdownView {
            in_force: lockdown.ended_at.is_none(),
            id: Some(lockdown.id),
            reason: Some(lockdown.reason),
            engaged_by: Some(lockdown.engaged_by),
            engaged_at: Some(lockdown.engaged_at),
            step: Some(lockdown.step),
            positions: lockdown.positions,
            answered_by: lockdown.answered_by,
            answered_at: lockdown.answered_at,
            answer_until: is_asked.then(|| lockdown.step_at.plus(ANSWER_WITHIN)),
            open_positions: open,
            phrase,
            confirmed_by: lockdown.confirmed_by,
            confirmed_at: lockdown.confirmed_at,
            ended_by: lockdown.ended_by,
            ended_at: lockdown.ended_at,
            steps: steps.into_iter().map(LockdownStepView::from).collect(),
            left,
        })
    }

    /// What is open in an organization or on one of its accounts, by our book and by the brokers'.
    pub(crate) async fn open_positions(
        &self,
        org: Id<id::Org>,
        account: Option<Id<id::Account>>,
    ) -> Result<Vec<LockdownPositionView>, CommandError> {
        let directory = self.parts.directory.load_full();
        let own = |found: &&Arc<Account>| {
            found.org_id == org && account.is_none_or(|account| account == found.id)
        };
        let accounts: Vec<_> = directory.accounts.values().filter(own).cloned().collect();
        let theirs = self.broker_positions(&accounts).await;
        let mut open = Vec::new();
        for account in &accounts {
            let ours = exposures::of_account(&self.parts.store, account.id).await;
            let ours: BTreeMap<Symbol, Quantity> = by_symbol(ours.map_err(|error| away(&error))?)
                .into_iter()
                .map(|(symbol, parts)| {
                    let sum =
                        parts.iter().fold(Exposure::default(), |sum, (_, part)| sum.and(part));
                    (symbol, sum.quantity)
                })
                .collect();
            let there = theirs.get(&account.id).cloned().flatten();
            let mut symbols: Vec<_> =
                ours.keys().chain(there.iter().flat_map(BTreeMap::keys)).cloned().collect();
            symbols.sort();
            symbols.dedup();
            for symbol in symbols {
                let quantity = ours.get(&symbol).copied().unwrap_or(Quantity::ZERO);
                let broker_quantity = there
                    .as_ref()
                    .map(|there| there.get(&symbol).copied().unwrap_or(Quantity::ZERO));
                if !quantity.is_zero() || broker_quantity.is_some_and(|held| !held.is_zero()) {
                    let (account_id, account) = (account.id, account.name.clone());
                    let view = LockdownPositionView {
                        account_id,
                        account,
                        symbol,
                        quantity,
                        broker_quantity,
                    };
                    open.push(view);
                }
            }
        }
        Ok(open)
    }

    async fn broker_positions(&self, accounts: &[Arc<Account>]) -> Theirs {
        let mut theirs = Theirs::new();
        for some in accounts.chunks(TOGETHER) {
            let mut calls = JoinSet::new();
            for account in some {
                let Some(broker) = self.parts.brokers.get(&account.broker).cloned() else {
                    continue;
                };
                let (id, name) = (account.id, BrokerAccount::new(&account.broker_account));
                calls.spawn(async move {
                    let heard = timeout(POSITIONS_WITHIN, broker.positions(name)).await;
                    let positions = heard.ok().and_then(Result::ok).map(|positions| {
                        let pairs = positions.into_iter();
                        pairs.map(|position| (position.symbol, position.quantity)).collect()
                    });
                    (id, positions)
                });
            }
            while let Some(heard) = calls.join_next().await {
                theirs.extend(heard.ok());
            }
        }
        theirs
    }

    /// What people still have to do, with the command for it.
    async fn left(
        &self,
        lockdown: &Lockdown,
        phrase: Option<&str>,
    ) -> Result<Vec<LockdownLeftView>, CommandError> {
        let mut left = Vec::new();
        let mut add = |what: &'static str, detail: String, command: String| {
            left.push(LockdownLeftView { what, detail, command });
        };
        if lockdown.ended_at.is_none() {
            if lockdown.step <= Step::Ask && lockdown.positions.is_none() {
                let detail =
                    "Say whether open positions are closed; without an answer they are kept.";
                let command = "tradewarden lockdown answer flatten".to_owned();
                add("positions", detail.to_owned(), command);
            }
            if let Some(phrase) = phrase {
                let detail =
                    "Read the list of open positions; then the access to brokers is erased.";
                let command = format!("tradewarden lockdown confirm '{phrase}'");
                add("confirm", detail.to_owned(), command);
            }
        }
        let detail = "Everybody chooses another password and removes factors that somebody else may \
                      have; whoever cannot gets a token for it, once the lockdown has ended.";
        let command = "tradewarden user reset-password E-MAIL";
        add("people", detail.to_owned(), command.to_owned());
        if lockdown.ended_at.is_none() {
            let detail =
                "End the lockdown once you know what happened: changes are possible again.";
            add("end", detail.to_owned(), "tradewarden lockdown end".to_owned());
        }
        let store = &self.parts.store;
        let unseen = lockdowns::unseen(store, lockdown.id, NAMED_MAX).await;
        for (id, name) in unseen.map_err(|error| away(&error))? {
            let detail = format!("Give webhook {name} a secret and its sender the same.");
            add("webhook", detail, format!("tradewarden webhook rotate {id} --overlap-s 0"));
        }
        let detail = "Make API keys for the programs that need one.";
        add("keys", detail.to_owned(), "tradewarden key create".to_owned());
        let directory = self.parts.directory.load_full();
        let most = usize::try_from(NAMED_MAX).unwrap_or(usize::MAX);
        if lockdown.step == Step::Done {
            let off = directory.accounts.values().filter(|account| {
                account.org_id == lockdown.org_id && account.state == Activity::Disabled
            });
            for Account { id, name, broker, .. } in off.take(most).map(Arc::as_ref) {
                let detail = format!("Connect {broker} for account {name} anew, and switch it on.");
                add("account", detail, format!("tradewarden account change {id} --state active"));
            }
            let is_off = |strategy: &Arc<Strategy>| {
                strategy.org_id == lockdown.org_id && strategy.state == StrategyState::Off
            };
            if directory.strategies.values().any(is_off) {
                let detail = "Switch strategies on, each once its webhook and account are.";
                add("strategies", detail.to_owned(), "tradewarden strategy on ID".to_owned());
            }
        }
        for id in [Some(lockdown.halt_id), lockdown.flatten_halt_id].into_iter().flatten() {
            if directory.halts.iter().any(|halt| halt.id == id) {
                let detail = "Let new risk pass again, last of all.".to_owned();
                add("halt", detail, format!("tradewarden halt resume {id}"));
            }
        }
        Ok(left)
    }
}

/// What has to be typed to confirm a list of open positions: another list has another phrase.
pub(crate) fn phrase(open: &[LockdownPositionView]) -> String {
    let lines: Vec<_> = open
        .iter()
        .map(|position| {
            let LockdownPositionView { account_id, symbol, quantity, broker_quantity, .. } =
                position;
            let theirs = broker_quantity.map_or("unheard".to_owned(), |held| held.to_string());
            format!("{account_id} {symbol} {quantity} {theirs}\n")
        })
        .collect();
    let digest = hex_encode(Digest::sha256(lines.concat().as_bytes()).as_bytes());
    let short: String = digest.chars().take(6).collect();
    let noun = if open.len() == 1 { "position" } else { "positions" };
    format!("disconnect with {} open {noun} {short}", open.len())
}
