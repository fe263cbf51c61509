//! Orders that a caller places, changes, closes and cancels by itself, through the same risk rules, the same
//! journal and the same dispatch as those of a signal.

mod cancel;
mod change;
pub(crate) mod live;
mod place;
mod reopen;
pub(crate) mod resting;

use crate::command::error::{CommandError, OrderNo, away};
pub(crate) use cancel::{TOGETHER, Why, cancel_in, expire};
pub(crate) use place::{Closed, Leaving, close_part, leave, notional_of_key};
pub(crate) use reopen::{Reopening, reopen};

use crate::Engine;
use crate::actor::Actor;
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::once::{Claimed, OnceKey};
use crate::view::{BalancesView, OrderView};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::BrokerAccount;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::Order;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Error, Tx, idempotency};

impl From<OrderNo> for CommandError {
    fn from(no: OrderNo) -> Self {
        Self::Order(Box::new(no))
    }
}

/// What became of a request inside its transaction.
enum Outcome {
    Order(Box<Order>),
    No(OrderNo),
    /// The idempotency key was used before.
    Before,
    /// The signed request was carried out before.
    Replayed,
}

/// How long an entry may rest that does not fill (S12): as long as its strategy says, else until the
/// session of its instrument ends.
pub(crate) fn rests_until(
    account: &Account,
    strategy: Option<&Strategy>,
    symbol: &Symbol,
    from: Timestamp,
) -> Timestamp {
    if let Some(seconds) = strategy.and_then(|strategy| strategy.entry_ttl_s) {
        return from.plus(Duration::from_secs(u64::from(seconds)));
    }
    let calendar = account.instruments.get(symbol).and_then(|instrument| instrument.calendar);
    account.days.ends_after(calendar, from)
}

impl Engine {
    /// Carries out a change of one order, and with it claims the request's nonce and idempotency key
    /// and keeps the answer, a no included: all of it in one transaction, so that a repeated request
    /// gets the first answer whenever the process dies.
    async fn carry_out_once(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        once: Option<&OnceKey>,
        mut change: impl AsyncFnMut(&mut Tx<'_>, &mut Effects) -> Result<Result<Order, OrderNo>, Error>
        + Send
        + 'static,
    ) -> Result<Claimed<Value>, CommandError> {
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let once =
            once.map(|once| (once.claim(org, actor, &self.parts.people.pepper), once.clone()));
        let outcome = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if !claimant.claim(tx).await? {
                    return Ok(Outcome::Replayed);
                }
                if let Some((claim, once)) = &once
                    && !once.claim_in(tx, claim, shared.environment.now()).await?
                {
                    return Ok(Outcome::Before);
                }
                let changed = change(tx, effects).await?;
                if let Some((claim, once)) = &once {
                    let now = shared.environment.now();
                    let answer = match &changed {
                        Ok(order) => once.order(order, now),
                        Err(no) => once.no(no, now),
                    };
                    idempotency::answer(tx, claim, &answer).await?;
                }
                Ok(match changed {
                    Ok(order) => Outcome::Order(Box::new(order)),
                    Err(no) => Outcome::No(no),
                })
            })
            .await?;
        actor.carried_out(!matches!(outcome, Outcome::Replayed))?;
        match outcome {
            Outcome::Order(order) => {
                crate::command::error::to_value(&OrderView::from(*order)).map(Claimed::First)
            }
            Outcome::No(no) => Err(no.into()),
            Outcome::Before | Outcome::Replayed => Ok(Claimed::Before),
        }
    }

    /// The account, if the actor may know of it.
    pub(crate) fn account_of(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        text: &str,
    ) -> Result<Arc<Account>, CommandError> {
        let id: Id<id::Account> = text.parse().map_err(|_| CommandError::NotFound)?;
        crate::book::account(&self.parts, id)
            .filter(|account| account.org_id == org && actor.reaches(id))
            .ok_or(CommandError::NotFound)
    }

    /// Cash and equity, as the broker tells them.
    pub(crate) async fn balances(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        text: &str,
    ) -> Result<BalancesView, CommandError> {
        let account = self.account_of(org, actor, text)?;
        let unavailable =
            || CommandError::Unavailable { detail: "the broker does not answer".to_owned() };
        let broker = self.parts.brokers.get(&account.broker).ok_or_else(unavailable)?;
        let state = broker.account(BrokerAccount::new(&account.broker_account)).await;
        let state = state.map_err(|_| unavailable())?;
        Ok(BalancesView {
            account_id: account.id,
            currency: state.currency,
            cash: state.cash,
            equity: state.equity,
            at: state.at,
        })
    }

    /// A stored order, if the actor may know of it.
    async fn order_of(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        text: &str,
    ) -> Result<Order, CommandError> {
        let id: Id<id::Order> = text.parse().map_err(|_| CommandError::NotFound)?;
        let found = tradewarden_store::orders::find(&self.parts.store, id).await;
        found
            .map_err(|error| away(&error))?
            .filter(|order| order.org_id == org && actor.reaches(order.account_id))
            .ok_or(CommandError::NotFound)
    }
}
