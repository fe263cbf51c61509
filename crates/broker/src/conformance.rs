//! What every adapter must do, as numbered cases that run against any [`Broker`].
//!
//! An adapter's test makes a [`Subject`] and calls [`run`]. The account must be flat and without
//! orders on the subject's instrument, the market open, and nobody else trading on it. A case whose
//! capability is `Absent` is not run.

use crate::port::{
    Answer, Broker, BrokerAccount, BrokerOrderState, Cancellation, Capability, ClientOrderIds,
    Execution, Lookup, OrderName, PlaceOrder, Placement, Quote, ReduceOnly, ReplaceOrder,
    Replacement,
};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Price, Quantity, Round};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Clock;

/// An adapter and where the cases may trade.
pub struct Subject<'a> {
    /// The adapter.
    pub broker: &'a dyn Broker,
    /// The account.
    pub account: BrokerAccount,
    /// The instrument, with its rules.
    pub instrument: Instrument,
    /// The clock by which the broker judges expiry.
    pub clock: Arc<dyn Clock>,
    /// Begins every client order id of this run; at most 16 bytes.
    pub prefix: String,
}

/// A case failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its number and name.
    pub case: &'static str,
    /// What was wrong.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conformance case {}: {}", self.case, self.why)
    }
}

impl std::error::Error for Failure {}

type Verdict = Result<(), String>;
type Case = for<'a> fn(&'a Subject<'a>) -> Answer<'a, Verdict>;

const CASES: &[(&str, Case)] = &[
    ("01 place, accept, fill", |subject| Box::pin(place_accept_fill(subject))),
    ("02 duplicate id", |subject| Box::pin(duplicate_id(subject))),
    ("03 find present", |subject| Box::pin(find_present(subject))),
    ("04 find absent", |subject| Box::pin(find_absent(subject))),
    ("05 cancel working", |subject| Box::pin(cancel_working(subject))),
    ("06 cancel unknown id", |subject| Box::pin(cancel_unknown(subject))),
    ("07 fills without gaps", |subject| Box::pin(fills_without_gaps(subject))),
    ("08 reduce-only never increases", |subject| Box::pin(reduce_only(subject))),
    ("09 expiry honoured", |subject| Box::pin(expiry(subject))),
    ("10 positions are the sum of fills", |subject| Box::pin(positions(subject))),
    ("11 a change is shown, and none comes late", |subject| Box::pin(replace(subject))),
];

/// The names of the cases, in their order.
pub fn cases() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, _)| *name)
}

/// Runs every case, in order; the first that fails ends the run.
pub async fn run(subject: &Subject<'_>) -> Result<(), Failure> {
    for (case, check) in CASES {
        check(subject).await.map_err(|why| Failure { case, why })?;
    }
    Ok(())
}

impl Subject<'_> {
    /// A market order for the smallest quantity times `lots`.
    fn market(&self, id: &str, side: Side, lots: i64) -> PlaceOrder {
        let smallest = self.instrument.quantity_min;
        PlaceOrder {
            account: self.account.clone(),
            client_order_id: format!("{}{id}", self.prefix),
            symbol: self.instrument.symbol.clone(),
            side,
            order_type: OrderType::Market,
            quantity: Quantity::from_units(smallest.units().saturating_mul(lots)),
            limit_price: None,
            stop_price: None,
            time_in_force: TimeInForce::Day,
            reduce_only: ReduceOnly::No,
            expires_at: self.clock.now().plus(Duration::from_secs(30)),
        }
    }

    /// A limit order to buy far under the market.
    async fn far_limit(&self, id: &str) -> Result<PlaceOrder, String> {
        let bid = self.quote().await?.bid;
        let half = Price::from_units(bid.units().div_euclid(2));
        Ok(PlaceOrder {
            order_type: OrderType::Limit,
            limit_price: Some(half.to_step(self.instrument.tick, Round::Down)),
            ..self.market(id, Side::Buy, 1)
        })
    }

    fn name(&self, id: &str) -> OrderName {
        OrderName {
            account: self.account.clone(),
            client_order_id: format!("{}{id}", self.prefix),
            symbol: self.symbol().clone(),
            broker_order_id: None,
        }
    }

    fn symbol(&self) -> &Symbol {
        &self.instrument.symbol
    }

    async fn quote(&self) -> Result<Quote, String> {
        let quote = self.broker.quote(self.account.clone(), self.symbol().clone()).await;
        quote.map_err(|unheard| unheard.to_string())
    }

    /// The signed position on the instrument.
    async fn position(&self) -> Result<Quantity, String> {
        let positions = self.broker.positions(self.account.clone()).await;
        let positions = positions.map_err(|unheard| unheard.to_string())?;
        let mut held = positions.into_iter().filter(|position| position.symbol == *self.symbol());
        Ok(held.next().map_or(Quantity::ZERO, |position| position.quantity))
    }

    /// Every fill of the account, read in pages of so many.
    async fn fills(&self, limit: usize) -> Result<Vec<Execution>, String> {
        let (mut fills, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.broker.fills_since(self.account.clone(), cursor.clone(), limit).await;
            let page = page.map_err(|unheard| unheard.to_string())?;
            if page.items.is_empty() {
                return Ok(fills);
            }
            if page.items.len() > limit {
                return Err(format!("a page of {} for a limit of {limit}", page.items.len()));
            }
            if page.next_cursor == cursor {
                return Err("a page with fills did not move the cursor".to_owned());
            }
            fills.extend(page.items);
            cursor = page.next_cursor;
        }
    }

    async fn accept(&self, order: PlaceOrder) -> Result<String, String> {
        match self.broker.place(order).await {
            Placement::Accepted { broker_order_id, .. } => Ok(broker_order_id),
            other => Err(format!("expected acceptance, heard {other:?}")),
        }
    }
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// A market order is accepted and soon filled, and the fill is among the fills.
async fn place_accept_fill(subject: &Subject<'_>) -> Verdict {
    let order = subject.market("c01", Side::Buy, 2);
    let broker_order_id = subject.accept(order.clone()).await?;
    let Lookup::Found(found) = subject.broker.find(subject.name("c01")).await else {
        return Err("an accepted order was not found".to_owned());
    };
    check(found.broker_order_id == broker_order_id, || format!("another order: {found:?}"))?;
    check(found.state == BrokerOrderState::Filled, || format!("not filled: {found:?}"))?;
    check(found.filled_quantity == order.quantity, || format!("not all filled: {found:?}"))?;
    let fills = subject.fills(50).await?;
    let own = fills.iter().filter(|fill| fill.broker_order_id == broker_order_id);
    let sum = own.fold(Quantity::ZERO, |sum, fill| sum.saturating_plus(fill.quantity));
    check(sum == order.quantity, || format!("the fills sum to {sum}"))
}

/// A second placement of one id makes no second order, where the venue promises so.
async fn duplicate_id(subject: &Subject<'_>) -> Verdict {
    if subject.broker.capabilities().client_order_ids != ClientOrderIds::UniqueForEver {
        return Ok(());
    }
    subject.accept(subject.market("c02", Side::Buy, 1)).await?;
    let before = subject.position().await?;
    match subject.broker.place(subject.market("c02", Side::Buy, 1)).await {
        Placement::Rejected { .. } => {}
        other => return Err(format!("expected a rejection, heard {other:?}")),
    }
    let after = subject.position().await?;
    check(before == after, || format!("the position went from {before} to {after}"))
}

/// A working order is found by its client order id.
async fn find_present(subject: &Subject<'_>) -> Verdict {
    let order = subject.far_limit("c03").await?;
    let broker_order_id = subject.accept(order.clone()).await?;
    match subject.broker.find(subject.name("c03")).await {
        Lookup::Found(found) => {
            let same = found.broker_order_id == broker_order_id
                && found.client_order_id == order.client_order_id
                && (found.side, found.quantity) == (order.side, order.quantity);
            check(same && found.state == BrokerOrderState::Working, || format!("{found:?}"))
        }
        other => Err(format!("expected the order, heard {other:?}")),
    }
}

/// An order that was never sent is absent.
async fn find_absent(subject: &Subject<'_>) -> Verdict {
    match subject.broker.find(subject.name("never-sent")).await {
        Lookup::Absent => Ok(()),
        other => Err(format!("expected absence, heard {other:?}")),
    }
}

/// The working order of case 3 is canceled and stays so.
async fn cancel_working(subject: &Subject<'_>) -> Verdict {
    match subject.broker.cancel(subject.name("c03")).await {
        Cancellation::Done | Cancellation::Requested => {}
        other => return Err(format!("expected a cancel, heard {other:?}")),
    }
    let Lookup::Found(found) = subject.broker.find(subject.name("c03")).await else {
        return Err("a canceled order was not found".to_owned());
    };
    check(found.state == BrokerOrderState::Canceled, || format!("not canceled: {found:?}"))?;
    let open = subject.broker.open_orders(subject.account.clone()).await;
    let open = open.map_err(|unheard| unheard.to_string())?;
    let listed = open.iter().any(|order| order.client_order_id == found.client_order_id);
    check(!listed, || "a canceled order is among the open ones".to_owned())
}

/// A cancel of an order that was never sent finds nothing.
async fn cancel_unknown(subject: &Subject<'_>) -> Verdict {
    match subject.broker.cancel(subject.name("never-sent")).await {
        Cancellation::NotFound => Ok(()),
        other => Err(format!("expected not found, heard {other:?}")),
    }
}

/// Pages of one, of two and of fifty tell the same fills, each once.
async fn fills_without_gaps(subject: &Subject<'_>) -> Verdict {
    for number in 0..5 {
        let side = if number % 2 == 0 { Side::Buy } else { Side::Sell };
        subject.accept(subject.market(&format!("c07-{number}"), side, 1)).await?;
    }
    let all = subject.fills(50).await?;
    let ids: BTreeSet<&str> = all.iter().map(|fill| fill.broker_fill_id.as_str()).collect();
    check(ids.len() == all.len(), || "a fill came twice".to_owned())?;
    for limit in [1, 2] {
        let paged = subject.fills(limit).await?;
        check(paged == all, || format!("pages of {limit} tell other fills than pages of 50"))?;
    }
    Ok(())
}

/// A reduce-only order larger than the position ends flat, and on a flat position is refused.
async fn reduce_only(subject: &Subject<'_>) -> Verdict {
    if subject.broker.capabilities().reduce_only != Capability::Native {
        return Ok(());
    }
    let only_reduces = |order: PlaceOrder| PlaceOrder { reduce_only: ReduceOnly::Yes, ..order };
    let held = subject.position().await?;
    check(held.is_positive(), || format!("the cases before left {held}"))?;
    let same_side = subject.broker.place(only_reduces(subject.market("c08a", Side::Buy, 1))).await;
    let refused = matches!(same_side, Placement::Rejected { .. });
    check(refused, || format!("an increase was not refused: {same_side:?}"))?;
    subject.accept(only_reduces(subject.market("c08b", Side::Sell, 1_000))).await?;
    let after = subject.position().await?;
    check(after.is_zero(), || format!("a larger reduce-only order left {after}"))?;
    let on_flat = subject.broker.place(only_reduces(subject.market("c08c", Side::Sell, 1))).await;
    let refused = matches!(on_flat, Placement::Rejected { .. });
    check(refused, || format!("reduce-only on flat was not refused: {on_flat:?}"))
}

/// What arrives after its expiry is rejected and never fills.
async fn expiry(subject: &Subject<'_>) -> Verdict {
    if subject.broker.capabilities().place_expiry != Capability::Native {
        return Ok(());
    }
    let before = subject.position().await?;
    let late = subject.clock.now().minus(Duration::from_millis(1));
    let order = PlaceOrder { expires_at: late, ..subject.market("c09", Side::Buy, 1) };
    match subject.broker.place(order).await {
        Placement::Rejected { .. } => {}
        other => return Err(format!("expected a rejection, heard {other:?}")),
    }
    let after = subject.position().await?;
    check(before == after, || format!("the position went from {before} to {after}"))
}

/// A working order is changed in quantity and price, a look-up shows it, and a change that arrives
/// after its expiry is not made.
async fn replace(subject: &Subject<'_>) -> Verdict {
    if subject.broker.capabilities().replace == Capability::Absent {
        return Ok(());
    }
    let placed = subject.far_limit("c11").await?;
    subject.accept(placed.clone()).await?;
    let twice = placed.quantity.saturating_plus(placed.quantity);
    let lower = placed.limit_price.map(|price| price.saturating_minus(subject.instrument.tick));
    let now = subject.clock.now();
    let change = |quantity, limit_price, expires_at| ReplaceOrder {
        order: subject.name("c11"),
        quantity,
        limit_price,
        stop_price: None,
        expires_at,
    };
    let in_time = now.plus(Duration::from_secs(30));
    match subject.broker.replace(change(Some(twice), lower, in_time)).await {
        Replacement::Done { .. } => {}
        other => return Err(format!("expected a change, heard {other:?}")),
    }
    if subject.broker.capabilities().place_expiry == Capability::Native {
        let late = now.minus(Duration::from_millis(1));
        let reply = subject.broker.replace(change(Some(placed.quantity), None, late)).await;
        let refused = matches!(reply, Replacement::Rejected { .. });
        check(refused, || format!("a late change was not refused: {reply:?}"))?;
    }
    let Lookup::Found(found) = subject.broker.find(subject.name("c11")).await else {
        return Err("a changed order was not found".to_owned());
    };
    let shows = found.state == BrokerOrderState::Working
        && found.quantity == twice
        && found.limit_price.is_none_or(|price| Some(price) == lower);
    check(shows, || format!("not as it was changed: {found:?}"))?;
    match subject.broker.cancel(subject.name("c11")).await {
        Cancellation::Done | Cancellation::Requested => Ok(()),
        other => Err(format!("expected a cancel, heard {other:?}")),
    }
}

/// The position is the sum of all fills.
async fn positions(subject: &Subject<'_>) -> Verdict {
    subject.accept(subject.market("c10", Side::Sell, 3)).await?;
    let fills = subject.fills(50).await?;
    let own = fills.iter().filter(|fill| fill.symbol == *subject.symbol());
    let sum = own
        .map(|fill| fill.side.signed(fill.quantity))
        .fold(Quantity::ZERO, Quantity::saturating_plus);
    let held = subject.position().await?;
    check(held == sum, || format!("the position is {held}, the fills sum to {sum}"))
}
