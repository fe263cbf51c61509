//! Canceling: what has not left ends at once; what has is asked back from its broker.

use crate::Engine;
use crate::Shared;
use crate::actor::Actor;
use crate::book::{Book, Scope, place_of};
use crate::command::CancelAll;
use crate::command::error::{CommandError, OrderNo, away};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::payload;
use crate::view::{CanceledView, OrderView};
use serde_json::Value;
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::{Order, OrderEvent, OrderState, Purpose};
use tradewarden_store::{Error, Tx, orders};

/// Orders whose time is up that one round cancels.
const DUE_MAX: i64 = 50_000;
/// Orders of one transaction.
pub(crate) const TOGETHER: usize = 256;

impl Engine {
    pub(crate) async fn cancel_order(
        &self,
        org: Id<id::Org>,
        text: &str,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let order = self.order_of(org, actor, text).await?;
        actor.trades(&order.symbol).map_err(|refusal| OrderNo::of(refusal, None))?;
        if !order.state.is_live() {
            let detail = format!("The order is {} already.", order.state);
            return Err(CommandError::Refused { code: Code::OrderNotOpen, detail });
        }
        let canceled = self.cancel(vec![order], actor, true).await?;
        let order = canceled.into_iter().next();
        crate::command::error::to_value(&order.map(OrderView::from).ok_or_else(|| {
            let detail = Code::OrderNotOpen.meaning().to_owned();
            CommandError::Refused { code: Code::OrderNotOpen, detail }
        })?)
    }

    /// Cancels what is open; what only reduces keeps working unless it is asked for too (S20).
    pub(crate) async fn cancel_all(
        &self,
        org: Id<id::Org>,
        which: CancelAll,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let account = match &which.account_id {
            Some(text) => Some(self.account_of(org, actor, text)?.id),
            None => None,
        };
        let symbol: Option<Symbol> = match &which.symbol {
            Some(text) => Some(
                text.parse().map_err(|error| crate::command::error::invalid("symbol", &error))?,
            ),
            None => None,
        };
        if let Some(symbol) = &symbol {
            actor.trades(symbol).map_err(|refusal| OrderNo::of(refusal, None))?;
        }
        let live = super::live::of(&self.parts.store, Some(org)).await;
        let (mut wanted, mut kept) = (Vec::new(), Vec::new());
        for order in live.map_err(|error| away(&error))? {
            let meant = actor.reaches(order.account_id)
                && actor.trades(&order.symbol).is_ok()
                && account.is_none_or(|account| account == order.account_id)
                && symbol.as_ref().is_none_or(|symbol| *symbol == order.symbol);
            match order.purpose {
                _ if !meant => {}
                Purpose::Exit if !which.include_protective => kept.push(order.id),
                Purpose::Entry | Purpose::Exit => wanted.push(order),
            }
        }
        let mut canceled = Vec::with_capacity(wanted.len());
        let mut first = true;
        while first || !wanted.is_empty() {
            let rest = wanted.split_off(wanted.len().min(TOGETHER));
            canceled.extend(self.cancel(std::mem::replace(&mut wanted, rest), actor, first).await?);
            first = false;
        }
        crate::command::error::to_value(&CanceledView {
            canceled: canceled.into_iter().map(|order| order.id).collect(),
            kept,
        })
    }

    /// Cancels these orders in one transaction and says how they stand now; those that have ended
    /// meanwhile are left out.
    pub(crate) async fn cancel(
        &self,
        wanted: Vec<Order>,
        actor: &Actor,
        enters: bool,
    ) -> Result<Vec<Order>, CommandError> {
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let written = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if enters && !claimant.begin(tx, shared.environment.now()).await? {
                    return Ok(None);
                }
                let by = claimant.name();
                let why = Why { by: &by, code: Code::OrderCanceled, insists: true };
                cancel_in(tx, &shared, &wanted, why, effects).await.map(Some)
            })
            .await?;
        if enters {
            actor.carried_out(written.is_some())?;
        }
        Ok(written.unwrap_or_default())
    }
}

/// Why orders are canceled.
#[derive(Clone, Copy)]
pub(crate) struct Why<'a> {
    /// Who asks, as the log names it.
    pub(crate) by: &'a str,
    /// What an order says that ends by it.
    pub(crate) code: Code,
    /// Whether what was asked back before is asked for again. A caller may insist; what the gateway does by
    /// itself was listed before the lock, and somebody else may have asked meanwhile.
    pub(crate) insists: bool,
}

/// See [`Engine::cancel`].
pub(crate) async fn cancel_in(
    tx: &mut Tx<'_>,
    shared: &Shared,
    wanted: &[Order],
    why: Why<'_>,
    effects: &mut Effects,
) -> Result<Vec<Order>, Error> {
    let mut scope = Scope::default();
    for order in wanted {
        scope.add(order.org_id, order.account_id, &order.symbol);
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    let mut ids: Vec<_> = wanted.iter().map(|order| order.id).collect();
    ids.sort_unstable();
    let mut canceled = Vec::with_capacity(ids.len());
    for mut order in orders::lock_by_id(tx, &ids).await?.into_iter().flatten() {
        if !order.state.is_live() || (order.cancel_requested && !why.insists) {
            continue;
        }
        let event = if order.state == OrderState::Accepted {
            book.advance(&mut order, OrderEvent::Cancel, Some(why.code));
            "order.canceled"
        } else {
            order.cancel_requested = true;
            if why.code != Code::OrderCanceled {
                order.code = Some(why.code);
            }
            "order.cancel_requested"
        };
        // A person takes a leg away: it is not placed again.
        if let Some(leg) = order.leg {
            book.change_exposure(&place_of(&order), |exposure| {
                exposure.bracket = exposure.bracket.map(|bracket| bracket.without(leg.leg));
            });
        }
        if why.code == Code::OrderTtlEnded {
            tell_ended(shared, &mut book, &order);
        }
        book.enter(shared, order.org_id, order.id, event, payload::by(&order, why.by));
        book.put_order(order.clone());
        canceled.push(order);
    }
    book.write(tx, effects).await?;
    Ok(canceled)
}

fn tell_ended(shared: &Shared, book: &mut Book, order: &Order) {
    let (filled, quantity) = (order.filled_quantity, order.quantity);
    let meaning = Code::OrderTtlEnded.meaning();
    let detail = format!("{meaning} It had filled {filled} of {quantity} by then.");
    let (org, subject, code) = (order.org_id, order.id.to_string(), Code::OrderTtlEnded.text());
    book.find(shared, org, code, Severity::Warning, subject, detail);
}

/// Takes entries back that have rested for as long as they may (S12), and tells it: each once, for what
/// a cancel was asked for is not due any more. What became of the cancel is learned like that of any
/// other.
pub(crate) async fn expire(shared: &Arc<Shared>) {
    let due = orders::due(&shared.store, shared.environment.now(), DUE_MAX).await;
    let mut due = match due {
        Ok(due) => due,
        Err(error) => return tracing::error!(error = %error, "expired orders could not be read"),
    };
    while !due.is_empty() {
        let rest = due.split_off(due.len().min(TOGETHER));
        let (inner, wanted) = (Arc::clone(shared), std::mem::replace(&mut due, rest));
        let written = shared
            .journal
            .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let why = Why { by: "expiry", code: Code::OrderTtlEnded, insists: false };
                cancel_in(tx, &inner, &wanted, why, effects).await.map(|_| ())
            })
            .await;
        if let Err(error) = written {
            return tracing::error!(error = %error.0, "expired orders were not canceled");
        }
    }
}
