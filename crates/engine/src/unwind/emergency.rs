//! The emergency cancel: while the database does not take a halt that cancels, the brokers are asked
//! directly (C11).
//!
//! What works and what is held is the broker's word, so nothing of ours is needed. It errs on the side
//! of less risk: where only the database knows whose an order is, it is covered. What was canceled
//! becomes entries of the log when the database is back; a crash before that loses the list, and what
//! became of each order is then found by looking it up.
//!
//! Nothing here waits: not for the database, which may hang without an error, and on no account for
//! another account's broker.

use crate::Shared;
use crate::book::Book;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tradewarden_broker::port::{
    AllCanceled, Broker, BrokerAccount, BrokerOrder, BrokerPosition, Cancellation, OrderName,
};
use tradewarden_domain::account::Account;
use tradewarden_domain::halt::{Halt, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::Tx;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A broker that does not answer within this is asked again.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// Cancels of one account that are under way together.
const TOGETHER: usize = 64;
/// Orders that one entry of the log names.
const NAMED_MAX: usize = 500;

/// What was done for a halt while the database was away.
#[derive(Default)]
struct Emergency {
    next_at: Timestamp,
    /// Accounts on which it cancels just now.
    under_way: BTreeSet<Id<id::Account>>,
    is_being_written: bool,
    /// Not in the log yet: what was canceled, by account.
    canceled: BTreeMap<(Id<id::Org>, Id<id::Account>), Vec<String>>,
}

/// What came of the canceling on an account.
type Canceled = (Id<id::Halt>, Arc<Account>, Vec<String>);

/// See the module.
pub(crate) struct Emergencies {
    shared: Arc<Shared>,
    known: BTreeMap<Id<id::Halt>, Emergency>,
    canceling: JoinSet<Canceled>,
    /// Whether it is in the log.
    writing: JoinSet<(Id<id::Halt>, bool)>,
}

impl Emergencies {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: BTreeMap::new(), canceling: JoinSet::new(), writing: JoinSet::new() }
    }

    /// Cancels at the brokers what halts cover that the database did not take, and writes it down once
    /// it takes something again.
    pub(crate) fn round(&mut self) {
        self.gather();
        let kept = self.shared.local_halts.kept();
        let now = self.shared.environment.now();
        for halt in kept.iter().filter(|halt| halt.mode.cancels()) {
            let emergency = self.known.entry(halt.id).or_default();
            if emergency.next_at <= now {
                emergency.next_at = now.plus(LOOK_EVERY);
                self.cancel_directly(halt);
            }
        }
        let is_kept = |id: &Id<id::Halt>| kept.iter().any(|halt| halt.id == *id);
        let over = self.known.iter().filter(|(id, emergency)| {
            !is_kept(id) && emergency.under_way.is_empty() && !emergency.is_being_written
        });
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.write_down(id);
        }
    }

    /// Takes in what has come to an end.
    fn gather(&mut self) {
        while let Some(done) = self.canceling.try_join_next() {
            let Ok((halt, account, canceled)) = done else {
                tracing::error!("canceling at a broker was lost; it is begun again");
                self.known.values_mut().for_each(|emergency| emergency.under_way.clear());
                continue;
            };
            let emergency = self.known.entry(halt).or_default();
            emergency.under_way.remove(&account.id);
            if !canceled.is_empty() {
                tracing::error!(
                    halt.id = %halt, account.id = %account.id, orders = canceled.len(),
                    "the database is away: orders were canceled at the broker directly"
                );
                let known = emergency.canceled.entry((account.org_id, account.id)).or_default();
                known.extend(canceled);
            }
        }
        while let Some(done) = self.writing.try_join_next() {
            let Ok((halt, is_in_the_log)) = done else {
                self.known.values_mut().for_each(|emergency| emergency.is_being_written = false);
                continue;
            };
            if is_in_the_log {
                self.known.remove(&halt);
            } else if let Some(emergency) = self.known.get_mut(&halt) {
                emergency.is_being_written = false;
            }
        }
    }

    /// Begins to cancel on each account on which the halt is not canceling yet.
    fn cancel_directly(&mut self, halt: &Halt) {
        let directory = self.shared.directory.load_full();
        for account in directory.accounts.values() {
            let own = halt.org_id.is_none_or(|org| org == account.org_id);
            if !own || !self.may_reach(&halt.scope, account) {
                continue;
            }
            let Some(broker) = self.shared.brokers.get(&account.broker).cloned() else { continue };
            let emergency = self.known.entry(halt.id).or_default();
            if !emergency.under_way.insert(account.id) {
                continue;
            }
            let (halt, account) = (halt.clone(), Arc::clone(account));
            self.canceling.spawn(async move {
                let canceled = if halt.include_protective {
                    cancel_all(broker.as_ref(), &account, &halt).await
                } else {
                    cancel_each(&broker, &account, &halt).await
                };
                (halt.id, account, canceled)
            });
        }
    }

    /// Whether a halt of this scope can have to do with the account.
    fn may_reach(&self, scope: &HaltScope, account: &Account) -> bool {
        let directory = self.shared.directory.load();
        match scope {
            HaltScope::Global | HaltScope::Instrument(_) => true,
            HaltScope::Org(org) => *org == account.org_id,
            HaltScope::Account(id) | HaltScope::Pair(id, _) => *id == account.id,
            HaltScope::Strategy(id) => directory
                .strategies
                .get(id)
                .is_some_and(|strategy| strategy.accounts().any(|id| id == account.id)),
            HaltScope::Webhook(id) => directory
                .strategies
                .values()
                .filter(|strategy| strategy.source == Source::Webhook(*id))
                .any(|strategy| strategy.accounts().any(|id| id == account.id)),
            HaltScope::Key(id) => {
                directory.keys.get(id).is_some_and(|known| known.key.reaches(account.id))
            }
        }
    }

    /// Begins to enter what was canceled into the log.
    fn write_down(&mut self, halt: Id<id::Halt>) {
        let Some(emergency) = self.known.get_mut(&halt) else { return };
        if emergency.canceled.is_empty() {
            self.known.remove(&halt);
            return;
        }
        emergency.is_being_written = true;
        let (shared, canceled) = (Arc::clone(&self.shared), emergency.canceled.clone());
        self.writing.spawn(async move {
            let inner = Arc::clone(&shared);
            let written = shared
                .note(async move |_: &mut Tx<'_>, book: &mut Book| {
                    for ((org, account), orders) in &canceled {
                        for payload in payloads(*account, orders) {
                            book.enter(&inner, *org, halt, "halt.canceled_directly", &payload);
                        }
                    }
                    Ok(())
                })
                .await;
            (halt, written.is_ok())
        });
    }
}

/// What the log says of the orders that were canceled on an account: all of them, in as many entries as it
/// takes.
fn payloads(account: Id<id::Account>, orders: &[String]) -> Vec<Value> {
    let named = orders.chunks(NAMED_MAX);
    let of = |some: &[String]| {
        let count = some.len().to_string();
        json!({ "account_id": account, "count": count, "orders": some })
    };
    named.map(of).collect()
}

/// The instrument that a scope is about, if it is about one.
fn symbol_of(scope: &HaltScope) -> Option<&Symbol> {
    match scope {
        HaltScope::Instrument(symbol) | HaltScope::Pair(_, symbol) => Some(symbol),
        _ => None,
    }
}

async fn cancel_all(broker: &dyn Broker, account: &Account, halt: &Halt) -> Vec<String> {
    let name = BrokerAccount::new(&account.broker_account);
    let asked = broker.cancel_all(name, symbol_of(&halt.scope).cloned());
    let unheard = || AllCanceled::Unknown { why: "no answer in time".to_owned() };
    match timeout(HEARD_WITHIN, asked).await.unwrap_or_else(|_| unheard()) {
        AllCanceled::Done { count: 0 } => Vec::new(),
        AllCanceled::Done { count } => vec![format!("all, which were {count}")],
        AllCanceled::Requested => vec!["all".to_owned()],
        AllCanceled::Rejected { code, reason } => {
            tracing::error!(account.id = %account.id, code, reason, "nothing was canceled");
            Vec::new()
        }
        AllCanceled::Unknown { why } => {
            tracing::error!(account.id = %account.id, why, "whether it canceled is not known");
            Vec::new()
        }
    }
}

async fn cancel_each(broker: &Arc<dyn Broker>, account: &Account, halt: &Halt) -> Vec<String> {
    let name = BrokerAccount::new(&account.broker_account);
    let open = match timeout(HEARD_WITHIN, broker.open_orders(name.clone())).await {
        Ok(Ok(open)) => open,
        Ok(Err(unheard)) => {
            tracing::error!(account.id = %account.id, why = %unheard, "open orders are not heard");
            return Vec::new();
        }
        Err(_elapsed) => {
            tracing::error!(account.id = %account.id, "open orders are not heard in time");
            return Vec::new();
        }
    };
    let positions = timeout(HEARD_WITHIN, broker.positions(name.clone())).await;
    let positions = positions.ok().and_then(Result::ok);
    let covered = symbol_of(&halt.scope);
    let mut wanted: Vec<BrokerOrder> = risky(open, positions.as_deref())
        .into_iter()
        .filter(|order| covered.is_none_or(|symbol| *symbol == order.symbol))
        .collect();
    let mut canceled = Vec::new();
    while !wanted.is_empty() {
        let rest = wanted.split_off(wanted.len().min(TOGETHER));
        let mut calls = JoinSet::new();
        for order in std::mem::replace(&mut wanted, rest) {
            let (broker, account) = (Arc::clone(broker), name.clone());
            calls.spawn(async move {
                let name = OrderName {
                    account,
                    client_order_id: order.client_order_id.clone(),
                    symbol: order.symbol,
                    broker_order_id: Some(order.broker_order_id.clone()),
                };
                let cancellation = timeout(HEARD_WITHIN, broker.cancel(name)).await;
                let is_done =
                    matches!(cancellation, Ok(Cancellation::Done | Cancellation::Requested));
                is_done.then_some(if order.client_order_id.is_empty() {
                    order.broker_order_id
                } else {
                    order.client_order_id
                })
            });
        }
        while let Some(done) = calls.join_next().await {
            canceled.extend(done.ok().flatten());
        }
    }
    canceled
}

/// The orders that may add risk, by the broker's word alone: all but those that together close no more
/// than what is held. Where positions are not known, those with a stop price count as protection.
fn risky(open: Vec<BrokerOrder>, positions: Option<&[BrokerPosition]>) -> Vec<BrokerOrder> {
    let Some(positions) = positions else {
        return open.into_iter().filter(|order| order.stop_price.is_none()).collect();
    };
    let mut room: BTreeMap<(Symbol, Side), Quantity> = BTreeMap::new();
    for BrokerPosition { symbol, quantity, .. } in positions {
        let side = if quantity.is_positive() { Side::Sell } else { Side::Buy };
        room.insert((symbol.clone(), side), quantity.magnitude());
    }
    let mut risky = Vec::new();
    // What protects first: a stop before a limit.
    let (stops, others): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|order| order.stop_price.is_some());
    for order in stops.into_iter().chain(others) {
        let left = order.quantity.saturating_minus(order.filled_quantity);
        match room.get_mut(&(order.symbol.clone(), order.side)) {
            Some(room) if left <= *room => *room = room.saturating_minus(left),
            _ => risky.push(order),
        }
    }
    risky
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewarden_broker::port::BrokerOrderState;

    fn order(name: &str, side: Side, quantity: &str, stops: bool) -> BrokerOrder {
        BrokerOrder {
            client_order_id: name.to_owned(),
            broker_order_id: name.to_owned(),
            symbol: "ES".parse().unwrap(),
            side,
            quantity: quantity.parse().unwrap(),
            limit_price: None,
            stop_price: stops.then(|| "10".parse().unwrap()),
            filled_quantity: Quantity::ZERO,
            average_price: None,
            state: BrokerOrderState::Working,
            updated_at: Timestamp::default(),
        }
    }

    fn names(orders: &[BrokerOrder]) -> Vec<&str> {
        orders.iter().map(|order| order.client_order_id.as_str()).collect()
    }

    #[test]
    fn s24_the_log_names_every_order_that_was_canceled_directly() {
        let account: Id<id::Account> = Id::from_bytes([1; 16]);
        assert_eq!(payloads(account, &[]), Vec::<Value>::new());
        let orders: Vec<String> = (0..1_201).map(|number| format!("o{number}")).collect();
        let told = payloads(account, &orders);
        assert_eq!(told.len(), 3);
        let named = told.iter().flat_map(|entry| entry["orders"].as_array().unwrap());
        assert!(named.map(|name| name.as_str().unwrap()).eq(orders.iter()));
        assert!(told.iter().all(|entry| entry["orders"].as_array().unwrap().len() <= NAMED_MAX));
        assert_eq!(told[2]["count"], "201");
    }

    #[test]
    fn what_closes_no_more_than_is_held_is_protection() {
        let open = || {
            vec![
                order("entry", Side::Buy, "1", false),
                order("target", Side::Sell, "1", false),
                order("stop", Side::Sell, "2", true),
                order("far", Side::Sell, "3", false),
            ]
        };
        let held = |quantity: &str| {
            vec![BrokerPosition {
                symbol: "ES".parse().unwrap(),
                quantity: quantity.parse().unwrap(),
                average_price: None,
            }]
        };
        assert_eq!(names(&risky(open(), Some(&held("3")))), ["entry", "far"]);
        assert_eq!(names(&risky(open(), Some(&held("2")))), ["entry", "target", "far"]);
        assert_eq!(names(&risky(open(), Some(&held("-1")))), ["stop", "target", "far"]);
        assert_eq!(names(&risky(open(), Some(&[]))), ["stop", "entry", "target", "far"]);
        assert_eq!(names(&risky(open(), None)), ["entry", "target", "far"]);
    }
}
