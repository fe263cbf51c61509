//! The durable steps of dispatch: the attempt before the call, the outcome after it, the fills.
//!
//! Crash story: a crash before the attempt's commit leaves the order `accepted`, and it is sent
//! later or expires. A crash after it leaves `sending`, and the broker is asked before anything
//! else goes out for that account. A crash after the broker's answer and before the outcome's
//! commit is the same: the answer is asked for again.

mod anew;
mod change;
mod fit;
mod late;
mod legs;
mod open;

pub(crate) use self::change::{is_stopped, shows};
pub(crate) use self::fit::tell_netted;
pub(crate) use self::late::{Halted, clear as clear_exit, close as close_filled};
pub(crate) use self::open::waits_for_open;

use self::fit::{Fit, fit_to_position};
use self::late::filled_late;
use self::legs::{Before, end_of_report, waits_for_legs};
use self::open::{goes_at_open, hold_until_open, may_be_open};
use crate::book::{Book, Lets, Scope, place_of, webhook_of};
use crate::effects::{Effects, Severity};
use crate::{Shared, payload};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tradewarden_broker::port::{BrokerOrder, BrokerOrderState, Execution, Placement, Replacement};
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{self, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Price;
use tradewarden_domain::order::{Order, OrderEvent, OrderState, Purpose, Side};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::orders::{self, Fill};
use tradewarden_store::{Error, Tx, directory as rows};

/// The broker is told not to accept an order later than this after the attempt's commit.
pub(crate) const ATTEMPT_SPAN: Duration = Duration::from_secs(2);

/// What is to be done with an order after its attempt was journaled.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    /// Call the broker now.
    Send(Box<Order>),
    /// Ask the broker now for the change that the order names.
    Change(Box<Order>),
    /// Not now: something must be resolved first.
    Hold,
    /// It has ended.
    Ended,
}

/// Journals the attempts of these orders (C11): halts, send-by and, for exits, the position are
/// looked at again; what may go is `sending` when this commits.
pub(crate) async fn begin(
    tx: &mut Tx<'_>,
    shared: &Shared,
    wanted: &[Order],
    effects: &mut Effects,
) -> Result<Vec<Attempt>, Error> {
    // A leader that was paused past its lease sends nothing: another may have taken over.
    if !crate::lease::leads(tx, shared).await? {
        return Ok(wanted.iter().map(|_| Attempt::Hold).collect());
    }
    let mut scope = Scope { lets: Lets::Counted, ..Scope::default() };
    for order in wanted {
        scope.add(order.org_id, order.account_id, &order.symbol);
        if order.purpose == Purpose::Exit {
            scope.pairs_with_live_orders.insert((order.account_id, order.symbol.clone()));
        }
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    let ids: Vec<_> = wanted.iter().map(|order| order.id).collect();
    let mut attempts = Vec::with_capacity(ids.len());
    for (asked, stored) in wanted.iter().zip(orders::lock_by_id(tx, &ids).await?) {
        attempts.push(match stored {
            // Another attempt than the one that is known not to have left: it may have left.
            Some(order)
                if order.state == OrderState::Sending
                    && (asked.state, asked.attempt_until)
                        != (OrderState::Sending, order.attempt_until) =>
            {
                Attempt::Hold
            }
            Some(order) if asked.change.is_some() && has_left(&order) => {
                change::begin(shared, &mut book, order)
            }
            Some(order) => begin_one(shared, &mut book, order),
            None => Attempt::Ended,
        });
    }
    book.write(tx, effects).await?;
    Ok(attempts)
}

/// Whether an order changed within `span`. A time far ahead was written before the clock was set back.
fn is_within(order: &Order, span: Duration, now: Timestamp) -> bool {
    let changed_at = order.updated_at;
    changed_at.plus(span) > now && changed_at < now.plus(span)
}

/// Whether the broker has it: what changes about it now changes there.
pub(crate) const fn has_left(order: &Order) -> bool {
    matches!(order.state, OrderState::Working | OrderState::PartiallyFilled)
}

/// What halts are about, of this order.
pub(crate) fn subject_of<'o>(shared: &Shared, order: &'o Order) -> HaltSubject<'o> {
    HaltSubject {
        org: order.org_id,
        account: order.account_id,
        strategy: order.strategy_id,
        webhook: webhook_of(shared, order),
        key: order.key_id,
        symbol: &order.symbol,
        passes_halts: order.passes_halts,
    }
}

fn begin_one(shared: &Shared, book: &mut Book, mut order: Order) -> Attempt {
    if !matches!(order.state, OrderState::Accepted | OrderState::Sending) {
        return Attempt::Ended;
    }
    if let Some(current) = book.changed_order(order.id) {
        order = current.clone();
    }
    if order.cancel_requested {
        let code = order.code.unwrap_or(Code::OrderCanceled);
        return end(shared, book, order, OrderEvent::Cancel, code);
    }
    if order.send_by.is_some_and(|by| by < book.now) {
        let subject = order.id.to_string();
        let org = order.org_id;
        let ended = end(shared, book, order, OrderEvent::Expire, Code::DispatchExpired);
        let detail = Code::DispatchExpired.meaning().to_owned();
        book.find(shared, org, Code::DispatchExpired.text(), Severity::Warning, subject, detail);
        return ended;
    }
    if halt::stopping(&book.halts, order.purpose, &subject_of(shared, &order)).is_some() {
        tell_if_halted(shared, book, &order);
        return end(shared, book, order, OrderEvent::Cancel, Code::DispatchHalted);
    }
    // Nothing has left: what was asked for meanwhile goes out with it.
    change::made(shared, book, &mut order);
    change::go_on(shared, book, &mut order);
    change::made(shared, book, &mut order);
    match order.purpose {
        // Only what a strategy opens waits for flat; a caller's own order stands for itself.
        Purpose::Entry if order.signal_id.is_none() && !book.is_of_roll(order.id) => {}
        Purpose::Entry => match ground(&book.exposure(&place_of(&order)), order.side) {
            Ground::Free => {
                if let Some(ended) = anew::refused(shared, book, &order) {
                    return ended;
                }
            }
            Ground::Clearing => return Attempt::Hold,
            Ground::Held => {
                let (org, subject) = (order.org_id, order.id.to_string());
                let ended = end(shared, book, order, OrderEvent::Expire, Code::DispatchExpired);
                let detail = "The position was not closed first, so the reversal opens nothing.";
                let code = Code::DispatchExpired.text();
                book.find(shared, org, code, Severity::Warning, subject, detail.to_owned());
                return ended;
            }
        },
        Purpose::Exit if !may_be_open(shared, &order) => {
            hold_until_open(shared, book, order);
            return Attempt::Hold;
        }
        Purpose::Exit if waits_for_legs(shared, book, &order) => return Attempt::Hold,
        Purpose::Exit => match fit_to_position(shared, book, &mut order) {
            Fit::Go => goes_at_open(shared, book, &mut order),
            Fit::Wait => return Attempt::Hold,
            Fit::Flat => {
                return end(shared, book, order, OrderEvent::Cancel, Code::StrategyFlat);
            }
        },
    }
    book.advance(&mut order, OrderEvent::Attempt, None);
    order.attempt_until = Some(book.now.plus(ATTEMPT_SPAN));
    book.enter(shared, order.org_id, order.id, "order.sending", &order);
    book.put_order(order.clone());
    Attempt::Send(Box::new(order))
}

fn end(
    shared: &Shared,
    book: &mut Book,
    mut order: Order,
    event: OrderEvent,
    code: Code,
) -> Attempt {
    let was_in_flight = order.change.is_some_and(|change| change.is_in_flight());
    book.advance(&mut order, event, Some(code));
    change::tell_overtaken(shared, book, &order, was_in_flight);
    let name = match order.state {
        OrderState::Expired => "order.expired",
        _ => "order.canceled",
    };
    book.enter(shared, order.org_id, order.id, name, &order);
    book.put_order(order);
    Attempt::Ended
}

/// Where an entry would stand: the entry of a reversal opens only from flat (S5).
enum Ground {
    /// Nothing is held against it.
    Free,
    /// What is held against it is being closed.
    Clearing,
    /// What is held against it stays: its exit has ended without closing it.
    Held,
}

fn ground(exposure: &Exposure, side: Side) -> Ground {
    let against = side.opposite().signed(exposure.quantity).is_positive();
    let leaving = match side {
        Side::Buy => exposure.exit_buy,
        Side::Sell => exposure.exit_sell,
    };
    // Legs of the other side's bracket may still work, and would open what they were to close.
    let old_legs = exposure.bracket.is_some_and(|bracket| bracket.side != side);
    match (against, leaving.is_positive()) {
        (false, _) if old_legs => Ground::Clearing,
        (false, _) => Ground::Free,
        (true, true) => Ground::Clearing,
        (true, false) => Ground::Held,
    }
}

/// What became of a call, or what a later question brought to light.
#[derive(Debug, Clone)]
pub(crate) enum Learned {
    /// The broker's answer to the placement.
    Placed(Placement),
    /// The broker says how the order stands.
    Stands(Box<BrokerOrder>),
    /// The broker's answer to a change.
    Replaced {
        /// When that attempt became void.
        attempt_until: Option<Timestamp>,
        /// The answer.
        replacement: Box<Replacement>,
    },
    /// A change was certainly not made.
    NotChanged {
        /// When that attempt became void.
        attempt_until: Option<Timestamp>,
        /// Why: nothing left because of a halt, or the broker proved that nothing arrived.
        code: Code,
    },
    /// It is proven that the broker never had it and never will: of the attempt that was void then.
    Absent {
        /// When that attempt became void.
        attempt_until: Option<Timestamp>,
    },
    /// A halt came between the attempt and the call; nothing was sent.
    NotSentHalted,
    /// These fills.
    Fills(Vec<Execution>),
}

/// Fills by account and broker's identifier.
type FillNames = BTreeSet<(Id<id::Account>, String)>;

/// Journals what was learned about orders, in this order.
pub(crate) async fn learn(
    tx: &mut Tx<'_>,
    shared: &Shared,
    learned: &[(Id<id::Order>, Learned)],
    cursor: Option<&(Id<id::Account>, String)>,
    effects: &mut Effects,
) -> Result<(), Error> {
    let ids: Vec<_> =
        learned.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>().into_iter().collect();
    // Account rows are locked before order rows, so the orders' accounts are asked for first.
    let mut scope = Scope::default();
    for (org, account, symbol) in orders::pairs_of(tx, &ids).await? {
        scope.add(org, account, &symbol);
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    let stored = orders::lock_by_id(tx, &ids).await?;
    let mut current: BTreeMap<_, _> =
        stored.into_iter().flatten().map(|order| (order.id, order)).collect();
    let mut new = insert_fills(tx, shared, book.now, &current, learned, effects).await?;
    for (id, what) in learned {
        let Some(order) = current.get_mut(id) else {
            tracing::error!(order.id = %id, "the broker speaks of an order that is not stored");
            continue;
        };
        let before = order.clone();
        let was_in_flight = order.change.is_some_and(|change| change.is_in_flight());
        apply(shared, &mut book, order, what, &mut new);
        change::tell_overtaken(shared, &mut book, order, was_in_flight);
        change::go_on(shared, &mut book, order);
        end_of_report(shared, &mut book, order);
        // What says nothing new is no change: exits wait for a while from the last one.
        if *order != before {
            book.put_order(order.clone());
        }
    }
    book.write(tx, effects).await?;
    if let Some((account, cursor)) = cursor {
        rows::set_fills_cursor(tx, *account, cursor).await?;
    }
    Ok(())
}

/// Writes the fills that are not stored yet, and says which those are.
async fn insert_fills(
    tx: &mut Tx<'_>,
    shared: &Shared,
    now: Timestamp,
    current: &BTreeMap<Id<id::Order>, Order>,
    learned: &[(Id<id::Order>, Learned)],
    effects: &mut Effects,
) -> Result<FillNames, Error> {
    let mut told = Vec::new();
    for (id, what) in learned {
        let Some(order) = current.get(id) else { continue };
        told.extend(executions(what).iter().map(|execution| Fill {
            id: shared.environment.id(now),
            org_id: order.org_id,
            account_id: order.account_id,
            broker_fill_id: execution.broker_fill_id.clone(),
            order_id: order.id,
            symbol: order.symbol.clone(),
            side: execution.side,
            quantity: execution.quantity,
            price: execution.price,
            fee: execution.fee,
            at: execution.at,
        }));
    }
    let new: FillNames = orders::insert_fills(tx, &told).await?.into_iter().collect();
    let mut left = new.clone();
    told.retain(|fill| left.remove(&(fill.account_id, fill.broker_fill_id.clone())));
    effects.fills.extend(told);
    Ok(new)
}

fn executions(learned: &Learned) -> &[Execution] {
    match learned {
        Learned::Placed(Placement::Accepted { fills, .. }) | Learned::Fills(fills) => fills,
        _ => &[],
    }
}

fn apply(
    shared: &Shared,
    book: &mut Book,
    order: &mut Order,
    learned: &Learned,
    new: &mut FillNames,
) {
    match learned {
        Learned::Placed(Placement::Accepted { broker_order_id, fills, state }) => {
            order.broker_order_id = Some(broker_order_id.clone());
            if order.state != OrderState::Filled {
                book.advance(order, OrderEvent::Acknowledge, None);
            }
            let _any_new = fold(shared, book, order, fills, new);
            settle(shared, book, order, *state);
            enter_state(shared, book, order);
        }
        Learned::Placed(Placement::Rejected { code, reason }) => {
            reject(shared, book, order, &format!("{code} {reason}"));
            let payload = payload::rejected(order, code, reason);
            book.enter(shared, order.org_id, order.id, "order.rejected", payload);
        }
        Learned::Placed(Placement::Unknown { why }) => {
            if order.state == OrderState::Sending {
                book.advance(order, OrderEvent::Unheard, None);
                let payload = payload::unheard(order, why);
                book.enter(shared, order.org_id, order.id, "order.unknown", payload);
            }
        }
        // Nothing left; the attempt stays journaled and is made again or expires.
        Learned::Placed(Placement::NotSent { .. }) => {}
        Learned::Replaced { attempt_until, replacement } => {
            change::replaced(shared, book, order, *attempt_until, replacement);
        }
        Learned::NotChanged { attempt_until, code } => {
            change::not_made(shared, book, order, *attempt_until, *code);
        }
        Learned::Stands(there) => {
            let before = order.clone();
            order.broker_order_id = Some(there.broker_order_id.clone());
            if matches!(order.state, OrderState::Sending | OrderState::Unknown) {
                book.advance(order, OrderEvent::Acknowledge, None);
            }
            change::seen(shared, book, order, there);
            // Ended there with fills that are not here yet: wait for the fills.
            let (state, filled) = (there.state, there.filled_quantity);
            if filled <= order.filled_quantity {
                if !state.is_live() {
                    change::overtake(book, order);
                }
                settle(shared, book, order, state);
                // All that the venue worked has filled: it had shrunk the order (S4).
                let shrunk = state == BrokerOrderState::Filled && filled.is_positive();
                if shrunk && order.state.is_live() {
                    book.advance(order, OrderEvent::Cancel, None);
                    tell_if_short(shared, book, order);
                }
            }
            if *order != before {
                enter_state(shared, book, order);
            }
        }
        // It was heard of after the question.
        Learned::Absent { .. }
            if !matches!(order.state, OrderState::Sending | OrderState::Unknown) => {}
        // Another attempt was made since, and its call may still go out.
        Learned::Absent { attempt_until } if *attempt_until != order.attempt_until => {}
        Learned::Absent { .. } => {
            book.advance(order, OrderEvent::Expire, Some(Code::DispatchNotPlaced));
            book.enter(shared, order.org_id, order.id, "order.expired", &*order);
            let severity = match order.purpose {
                Purpose::Exit => Severity::Critical,
                Purpose::Entry => Severity::Warning,
            };
            let (org, subject) = (order.org_id, order.id.to_string());
            let detail = Code::DispatchNotPlaced.meaning().to_owned();
            book.find(shared, org, Code::DispatchNotPlaced.text(), severity, subject, detail);
        }
        Learned::NotSentHalted => {
            book.advance(order, OrderEvent::Cancel, Some(Code::DispatchHalted));
            tell_if_halted(shared, book, order);
            book.enter(shared, order.org_id, order.id, "order.canceled", &*order);
        }
        Learned::Fills(fills) => {
            // After a restart fills are read again that are known: nothing happened then.
            if fold(shared, book, order, fills, new) {
                enter_state(shared, book, order);
            }
        }
    }
}

fn enter_state(shared: &Shared, book: &mut Book, order: &Order) {
    let event = match order.state {
        OrderState::Working => "order.working",
        OrderState::PartiallyFilled => "order.partially_filled",
        OrderState::Filled => "order.filled",
        OrderState::Canceled => "order.canceled",
        OrderState::Rejected => "order.rejected",
        OrderState::Expired => "order.expired",
        OrderState::Accepted | OrderState::Sending | OrderState::Refused | OrderState::Unknown => {
            return;
        }
    };
    book.enter(shared, order.org_id, order.id, event, order);
}

/// Ends an order that has ended at the broker.
fn settle(shared: &Shared, book: &mut Book, order: &mut Order, state: BrokerOrderState) {
    if !order.state.is_live() {
        return;
    }
    match state {
        // Of a filled one its fills say so; without them it stays live and is asked about again.
        BrokerOrderState::Working
        | BrokerOrderState::PartiallyFilled
        | BrokerOrderState::Filled => {}
        BrokerOrderState::Canceled => {
            let asked = order.cancel_requested.then_some(Code::OrderCanceled);
            let code = order.code.or(asked);
            book.advance(order, OrderEvent::Cancel, code);
            tell_if_short(shared, book, order);
        }
        BrokerOrderState::Expired => {
            book.advance(order, OrderEvent::Expire, None);
            tell_if_short(shared, book, order);
        }
        BrokerOrderState::Rejected => reject(shared, book, order, "it ended there as rejected"),
    }
}

/// Ends an order that the broker rejected. Of one that has filled in part, the rest is taken back.
fn reject(shared: &Shared, book: &mut Book, order: &mut Order, why: &str) {
    if !order.state.is_live() {
        return;
    }
    let has_filled = order.filled_quantity.is_positive();
    let event = if has_filled { OrderEvent::Cancel } else { OrderEvent::Reject };
    book.advance(order, event, Some(Code::BrokerRejected));
    if order.purpose == Purpose::Exit {
        let (filled, quantity) = (order.filled_quantity, order.quantity);
        let detail = format!(
            "The broker rejected an exit, of which {filled} of {quantity} had filled: {why}"
        );
        let (org, subject) = (order.org_id, order.id.to_string());
        book.find(shared, org, "order.exit_rejected", Severity::Critical, subject, detail);
    }
}

/// The broker ended an exit before all of it filled, and no other exit is for the rest (S24).
fn tell_if_short(shared: &Shared, book: &mut Book, order: &Order) {
    let left = book.exposure(&place_of(order)).closable(order.side);
    if order.purpose == Purpose::Entry || order.leg.is_some() || !left.is_positive() {
        return;
    }
    let (filled, quantity) = (order.filled_quantity, order.quantity);
    let detail = format!("The exit ended with {filled} of {quantity} filled; {left} is held.");
    let (org, subject) = (order.org_id, order.id.to_string());
    book.find(shared, org, "order.exit_short", Severity::Critical, subject, detail);
}

/// A halt stopped an exit: what it was to close stays open (S24).
fn tell_if_halted(shared: &Shared, book: &mut Book, order: &Order) {
    if order.purpose == Purpose::Exit {
        let (org, subject, code) = (order.org_id, order.id.to_string(), Code::DispatchHalted);
        let detail = format!("A halt stopped an exit of {}; it is not sent.", order.quantity);
        book.find(shared, org, code.text(), Severity::Critical, subject, detail);
    }
}

/// Folds new fills into the order and the exposure, each once. Whether there were any.
fn fold(
    shared: &Shared,
    book: &mut Book,
    order: &mut Order,
    fills: &[Execution],
    new: &mut FillNames,
) -> bool {
    let before = new.len();
    for execution in fills {
        if !new.remove(&(order.account_id, execution.broker_fill_id.clone())) {
            continue;
        }
        // An order whose answer was not heard learns its name at the broker here.
        order.broker_order_id.get_or_insert_with(|| execution.broker_order_id.clone());
        fold_one(shared, book, order, execution);
    }
    new.len() < before
}

fn fold_one(shared: &Shared, book: &mut Book, order: &mut Order, execution: &Execution) {
    let before = Before::of(shared, book, order);
    let was_live = order.state.is_live();
    let released = execution.quantity.min(order.reserved());
    let at_most = order.quantity_at_most();
    let filled = order.filled_quantity.saturating_plus(execution.quantity);
    order.average_price = average(order, execution);
    order.filled_quantity = filled;
    let (purpose, side) = (order.purpose, order.side);
    let mut fits = true;
    book.change_exposure(&place_of(order), |exposure| {
        if was_live {
            exposure.release(purpose, side, released);
        }
        let folded = exposure.fill(side, execution.quantity, execution.price, execution.fee);
        exposure.told(order.id, execution.quantity);
        exposure.held_again(purpose, order.created_at);
        fits = folded.is_some();
    });
    before.protect(shared, book, order, execution.quantity);
    change::proven_by_fill(shared, book, order);
    let is_full = filled >= order.quantity_at_most();
    let event = if is_full { OrderEvent::FinalFill } else { OrderEvent::PartialFill };
    if order.state != OrderState::Filled {
        book.advance(order, event, None);
    }
    if !was_live && purpose == Purpose::Entry {
        filled_late(shared, book, order, execution.quantity);
    }
    let over = filled > at_most;
    if over || !fits {
        let detail = format!(
            "Fill {} of {} at {} brings the order to {filled} of {}{}.",
            execution.broker_fill_id,
            execution.quantity,
            execution.price,
            order.quantity,
            if fits { "" } else { "; the position is larger than can be counted" }
        );
        let (org, subject) = (order.org_id, order.id.to_string());
        book.find(shared, org, "order.overfilled", Severity::Critical, subject, detail);
    }
}

/// The average price over what had filled and this fill; the broker's price where it does not fit.
fn average(order: &Order, execution: &Execution) -> Option<Price> {
    let before = order.average_price.unwrap_or(Price::ZERO);
    let old = i128::from(before.units()).checked_mul(i128::from(order.filled_quantity.units()))?;
    let add =
        i128::from(execution.price.units()).checked_mul(i128::from(execution.quantity.units()))?;
    let size = i128::from(order.filled_quantity.units())
        .checked_add(i128::from(execution.quantity.units()))?;
    let units = old.checked_add(add)?.checked_div(size)?;
    i64::try_from(units).ok().map(Price::from_units).or(Some(execution.price))
}
