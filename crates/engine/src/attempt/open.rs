//! Exits while the market is closed (S14): held, told, and sent at the first tradable second.
//!
//! That an exit is held is its code, `exit.pending_open`, so that it is told once and not again after
//! a restart.

use crate::Shared;
use crate::book::Book;
use crate::effects::Severity;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::Order;

/// Whether the order's instrument may trade now. Where nobody knows the hours, an exit is sent: the
/// venue knows them.
pub(super) fn may_be_open(shared: &Shared, order: &Order) -> bool {
    crate::book::account(shared, order.account_id).is_some_and(|account| {
        !shared.market.is_closed(&account, &order.symbol, shared.environment.now())
    })
}

/// Whether an exit has nothing to do but to wait: its market is closed, and that was told; or nobody
/// knows its account.
pub(crate) fn waits_for_open(shared: &Shared, order: &Order) -> bool {
    crate::book::account(shared, order.account_id).is_none_or(|account| {
        let told = order.code == Some(Code::ExitPendingOpen);
        told && shared.market.is_closed(&account, &order.symbol, shared.environment.now())
    })
}

/// The exit is held, and a person hears of it.
pub(super) fn hold_until_open(shared: &Shared, book: &mut Book, mut order: Order) {
    if waits_for_open(shared, &order) {
        return;
    }
    order.code = Some(Code::ExitPendingOpen);
    let detail = format!(
        "The market of {} is closed; the exit of {} waits and leaves when it opens.",
        order.symbol, order.quantity
    );
    book.enter(shared, order.org_id, order.id, "order.pending_open", &order);
    tell(shared, book, &order, order.id.to_string(), detail);
    book.put_order(order);
}

/// The exit goes out; if it was held, a person hears of that, too. Its size is the one that fits now.
pub(super) fn goes_at_open(shared: &Shared, book: &mut Book, order: &mut Order) {
    if order.code != Some(Code::ExitPendingOpen) {
        return;
    }
    order.code = None;
    let detail =
        format!("The market of {} opens; the exit of {} goes out.", order.symbol, order.quantity);
    // Told by itself, however short the wait was.
    tell(shared, book, order, format!("{} goes out", order.id), detail);
}

fn tell(shared: &Shared, book: &mut Book, order: &Order, subject: String, detail: String) {
    let code = Code::ExitPendingOpen.text();
    book.find(shared, order.org_id, code, Severity::Warning, subject, detail);
}
