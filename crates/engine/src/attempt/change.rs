//! Changes of orders that have left: the durable steps before and after the one call.
//!
//! Crash story: as with a send. A crash before the attempt's commit leaves the change `wanted`, and
//! it is called for later or expires. A crash after it leaves `sending`: the order is looked up, what
//! the broker shows decides, and the call is never made again. Until then the larger of both
//! quantities counts as exposure.
//!
//! What only reduces and was asked for meanwhile stands in the change's row as what comes next. It
//! becomes the change in the transaction that learns what became of the one before: a crash leaves both
//! or the next one, never neither.

use super::fit::room;
use super::{ATTEMPT_SPAN, Attempt, enter_state, settle, subject_of};
use crate::Shared;
use crate::book::Book;
use crate::effects::Severity;
use crate::payload;
use std::cmp::Ordering;
use tradewarden_broker::port::{BrokerOrder, Replacement};
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::{self, Halt};
use tradewarden_domain::order::{Change, ChangeState, Order, OrderEvent, OrderState, Purpose};
use tradewarden_domain::time::Timestamp;

/// Journals the attempt at a change, under the rules of a send: its time, the halts and, for exits
/// that grow, the position are looked at again.
pub(super) fn begin(shared: &Shared, book: &mut Book, mut order: Order) -> Attempt {
    if let Some(current) = book.changed_order(order.id) {
        order = current.clone();
    }
    let Some(change) = order.change.filter(|change| change.state == ChangeState::Wanted) else {
        return Attempt::Hold;
    };
    if waits_for_reading(shared, book, &order, &change) {
        return Attempt::Hold;
    }
    if let Some(code) = obstacle(shared, book, &mut order, &change) {
        refuse(book, &mut order, code);
        tell(shared, book, &order, code);
        go_on(shared, book, &mut order);
        book.put_order(order);
        return Attempt::Hold;
    }
    let until = book.now.plus(ATTEMPT_SPAN);
    if let Some(change) = &mut order.change {
        (change.state, change.attempt_until) = (ChangeState::Sending, Some(until));
    }
    book.enter(shared, order.org_id, order.id, "order.change_sending", &order);
    book.put_order(order.clone());
    Attempt::Change(Box::new(order))
}

/// Whether a halt stops a change. Making an order smaller is a cancel of a part: nothing stops that, nor
/// that a stop comes nearer.
pub(crate) fn is_stopped(shared: &Shared, halts: &[Halt], order: &Order, change: &Change) -> bool {
    let subject = subject_of(shared, order);
    !order.passes_halts(change)
        && halt::stopping(halts, order.purpose_of(change), &subject).is_some()
}

/// Why the change may not go out.
fn obstacle(shared: &Shared, book: &mut Book, order: &mut Order, change: &Change) -> Option<Code> {
    if order.cancel_requested {
        return Some(Code::OrderChangeOvertaken);
    }
    if change.send_by.is_some_and(|by| by < book.now) {
        return Some(Code::DispatchExpired);
    }
    if is_stopped(shared, &book.halts, order, change) {
        return Some(Code::DispatchHalted);
    }
    match change.quantity.map(|quantity| quantity.cmp(&order.filled_quantity)) {
        Some(Ordering::Less) => Some(Code::OrderBelowFilled),
        Some(Ordering::Equal) => {
            order.cancel_requested = true;
            book.enter(shared, order.org_id, order.id, "order.cancel_requested", &*order);
            Some(Code::OrderCanceled)
        }
        Some(Ordering::Greater) | None => cut_to_position(shared, book, order),
    }
}

/// Whether an exit is to grow and nobody knows yet what its broker holds.
fn waits_for_reading(shared: &Shared, book: &Book, order: &Order, change: &Change) -> bool {
    let grows = change.quantity.is_some_and(|quantity| quantity > order.quantity);
    order.purpose == Purpose::Exit
        && grows
        && !order.cancel_requested
        && change.send_by.is_none_or(|by| by >= book.now)
        && match order.leg {
            Some(_) => shared.lacking_of_legs(order.account_id, &order.symbol, order.side),
            None => shared.lacking(order.account_id, &order.symbol, order.side),
        }
        .is_none()
}

/// What is added to an exit is at most what is held now and no other order is for (S4).
fn cut_to_position(shared: &Shared, book: &mut Book, order: &mut Order) -> Option<Code> {
    let wanted = order.change.and_then(|change| change.quantity)?;
    if order.purpose == Purpose::Entry || wanted <= order.quantity {
        return None;
    }
    let most = order.filled_quantity.saturating_plus(room(shared, book, order).closable);
    let before = order.reserved();
    let change = order.change.as_mut()?;
    change.quantity = Some(wanted.min(most)).filter(|fitting| *fitting > order.quantity);
    let nothing_left =
        (change.quantity, change.limit_price, change.stop_price) == (None, None, None);
    book.release(order, before.saturating_minus(order.reserved()));
    nothing_left.then_some(Code::PositionFlat)
}

/// The order is as was asked. What has filled beyond that cannot be taken back.
pub(super) fn made(shared: &Shared, book: &mut Book, order: &mut Order) {
    let before = order.reserved();
    let filled = order.filled_quantity;
    let Some(change) = order.change.as_mut().filter(|change| change.is_in_flight()) else { return };
    change.state = ChangeState::Made;
    order.quantity = change.quantity.map_or(order.quantity, |quantity| quantity.max(filled));
    order.limit_price = change.limit_price.or(order.limit_price);
    order.stop_price = change.stop_price.or(order.stop_price);
    order.limits_version = change.limits_version;
    book.release(order, before.saturating_minus(order.reserved()));
    book.enter(shared, order.org_id, order.id, "order.changed", &*order);
    end_if_full(book, order);
}

/// More has filled than the order was for: so the doubtful change was made.
pub(super) fn proven_by_fill(shared: &Shared, book: &mut Book, order: &mut Order) {
    let is_doubtful = order.change.is_some_and(|change| change.is_in_doubt());
    if is_doubtful && order.filled_quantity > order.quantity {
        made(shared, book, order);
    }
}

/// The order stays as it was.
fn refuse(book: &mut Book, order: &mut Order, code: Code) {
    let before = order.reserved();
    let Some(change) = order.change.as_mut().filter(|change| change.is_in_flight()) else { return };
    (change.state, change.code) = (ChangeState::Refused, Some(code));
    book.release(order, before.saturating_minus(order.reserved()));
    end_if_full(book, order);
}

/// All of it may have filled while it was not known how much it is for.
fn end_if_full(book: &mut Book, order: &mut Order) {
    if order.state == OrderState::PartiallyFilled && order.filled_quantity >= order.quantity {
        book.advance(order, OrderEvent::FinalFill, None);
    }
}

/// Tells that a change was not made, and a person too where it protects or was not sent in time.
fn tell(shared: &Shared, book: &mut Book, order: &Order, code: Code) {
    book.enter(shared, order.org_id, order.id, "order.change_refused", order);
    match code {
        Code::OrderCanceled | Code::OrderChangeOvertaken => {}
        Code::DispatchExpired => {
            let detail = "A change of the order was not sent in time; it works as it was.";
            let (org, subject) = (order.org_id, order.id.to_string());
            book.find(shared, org, code.text(), Severity::Warning, subject, detail.to_owned());
        }
        _ => tell_if_protective(shared, book, order, code.meaning()),
    }
    if !order.state.is_live() {
        enter_state(shared, book, order);
    }
}

/// S24: an exit that is not as a person wanted it.
fn tell_if_protective(shared: &Shared, book: &mut Book, order: &Order, why: &str) {
    if order.purpose == Purpose::Exit && order.state.is_live() {
        let detail = format!("An exit was not changed and works as it was: {why}");
        let (org, subject) = (order.org_id, order.id.to_string());
        book.find(shared, org, "order.change_refused", Severity::Critical, subject, detail);
    }
}

/// The broker's answer to the attempt that was void at this instant.
pub(super) fn replaced(
    shared: &Shared,
    book: &mut Book,
    order: &mut Order,
    attempt_until: Option<Timestamp>,
    replacement: &Replacement,
) {
    let Some(change) = current(order, attempt_until) else { return };
    match replacement {
        Replacement::Done { order: there } if shows(order, &change, there) == Some(false) => {
            unheard(
                shared,
                book,
                order,
                "the broker says that it is done, and shows another order",
            );
        }
        Replacement::Done { order: there } => {
            order.broker_order_id = Some(there.broker_order_id.clone());
            made(shared, book, order);
            if there.filled_quantity <= order.filled_quantity {
                settle(shared, book, order, there.state);
            }
            if !order.state.is_live() {
                enter_state(shared, book, order);
            }
        }
        Replacement::NotFound => {
            rejected(shared, book, order, "not_found", "the broker has no such order");
        }
        Replacement::Rejected { code, reason } => rejected(shared, book, order, code, reason),
        Replacement::Unknown { why } => unheard(shared, book, order, why),
    }
}

fn rejected(shared: &Shared, book: &mut Book, order: &mut Order, code: &str, reason: &str) {
    refuse(book, order, Code::OrderChangeRejected);
    let payload = payload::rejected(order, code, reason);
    book.enter(shared, order.org_id, order.id, "order.change_refused", payload);
    tell_if_protective(shared, book, order, &format!("{code} {reason}"));
    if !order.state.is_live() {
        enter_state(shared, book, order);
    }
}

fn unheard(shared: &Shared, book: &mut Book, order: &mut Order, why: &str) {
    if let Some(change) = &mut order.change {
        change.state = ChangeState::Unknown;
    }
    let payload = payload::unheard(order, why);
    book.enter(shared, order.org_id, order.id, "order.change_unknown", payload);
}

/// It is certain that the attempt that was void at this instant changed nothing and never will.
pub(super) fn not_made(
    shared: &Shared,
    book: &mut Book,
    order: &mut Order,
    attempt_until: Option<Timestamp>,
    code: Code,
) {
    if current(order, attempt_until).is_some() {
        refuse(book, order, code);
        tell(shared, book, order, code);
    }
}

/// The broker shows the order: if it shows it as a doubtful change wants it, the change was made.
pub(super) fn seen(shared: &Shared, book: &mut Book, order: &mut Order, there: &BrokerOrder) {
    let Some(change) = order.change.filter(Change::is_in_doubt) else { return };
    if shows(order, &change, there) == Some(true) {
        made(shared, book, order);
    }
}

/// What became of a change is known: what was asked for meanwhile, and only reduces, is wanted now (S9).
pub(super) fn go_on(shared: &Shared, book: &mut Book, order: &mut Order) {
    let Some(known) = order.change.as_mut().filter(|change| !change.is_in_flight()) else { return };
    let Some(quantity) = known.then_quantity.take() else { return };
    if !order.state.is_live() || order.cancel_requested || quantity >= order.quantity {
        return;
    }
    order.change = Some(Change { quantity: Some(quantity), ..Change::wanted(order, book.now) });
    book.enter(shared, order.org_id, order.id, "order.change_requested", &*order);
}

/// The order has ended at the broker without the change that is in flight, if one is.
pub(super) fn overtake(book: &mut Book, order: &mut Order) {
    refuse(book, order, Code::OrderChangeOvertaken);
}

/// Tells of a change that was in flight and that its order's end has overtaken.
pub(super) fn tell_overtaken(shared: &Shared, book: &mut Book, order: &Order, was_in_flight: bool) {
    let is_overtaken = order.change.and_then(|change| change.code);
    if was_in_flight && is_overtaken == Some(Code::OrderChangeOvertaken) {
        book.enter(shared, order.org_id, order.id, "order.change_refused", order);
    }
}

fn current(order: &Order, attempt_until: Option<Timestamp>) -> Option<Change> {
    let doubtful = order.change.filter(Change::is_in_doubt)?;
    (doubtful.attempt_until == attempt_until).then_some(doubtful)
}

/// Whether the broker shows the order as the change wants it; `None` where the venue does not show
/// enough to tell. A venue may make an order smaller than it was asked to be (S4): so a larger one
/// was made if it has grown at all, and a smaller one if it is not larger than that.
pub(crate) fn shows(order: &Order, change: &Change, there: &BrokerOrder) -> Option<bool> {
    let quantity = change.quantity.is_none_or(|wanted| {
        if wanted > order.quantity {
            there.quantity > order.quantity
        } else {
            there.quantity <= wanted
        }
    });
    let prices = [(change.limit_price, there.limit_price), (change.stop_price, there.stop_price)];
    let asked = || prices.iter().filter(|(wanted, _)| wanted.is_some());
    if !quantity || asked().any(|(wanted, shown)| shown.is_some() && wanted != shown) {
        return Some(false);
    }
    asked().all(|(_, shown)| shown.is_some()).then_some(true)
}
