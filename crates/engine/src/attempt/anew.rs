//! The entry of a signal, judged once more in the moment in which it leaves (S5).
//!
//! The entry of a reversal waits until the position before it is closed. What that closing cost, a
//! market that closed or a limit that was tightened meanwhile is known only then.

use super::{Attempt, end, subject_of};
use crate::Shared;
use crate::around::Judged;
use crate::book::{Book, place_of};
use crate::effects::Severity;
use tradewarden_domain::check::{Outcome, Trace};
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderEvent};
use tradewarden_domain::risk;
use tradewarden_domain::strategy::Intent;

/// Ends an entry that may not open anything any more, and tells the people of its strategy.
pub(super) fn refused(shared: &Shared, book: &mut Book, order: &Order) -> Option<Attempt> {
    let no = judged_anew(shared, book, order).err()?;
    let (org, code, subject) = (order.org_id, no.code.text(), order.id.to_string());
    let by = format!("entries {}", place_of(order).strategy_id);
    let ended = end(shared, book, order.clone(), OrderEvent::Expire, no.code);
    book.warn(shared, org, code, by, (&subject, &no.detail));
    book.find(shared, org, code, Severity::Warning, subject, no.detail);
    Some(ended)
}

/// Whether the entry may still open something. It is judged without what it is counted for itself.
/// What an override can lift decides anew only where the limits are others than those that let it
/// pass: two people may have said yes to this very order.
fn judged_anew(shared: &Shared, book: &Book, order: &Order) -> Result<(), Refusal> {
    let unknown = || Refusal::plain(Code::RiskUnknownInstrument);
    let account = crate::book::account(shared, order.account_id).ok_or_else(unknown)?;
    let instrument = account.instruments.get(&order.symbol).ok_or_else(unknown)?;
    if !book.is_active(account.id) {
        return Err(Refusal::plain(Code::AccountOff));
    }
    let mut exposure = book.pair_exposure(account.id, &order.symbol);
    exposure.release(order.purpose, order.side, order.reserved());
    let limits = book
        .limits
        .get(&order.org_id)
        .map(|limits| limits.tightest(account.id, order.strategy_id, order.key_id, &order.symbol))
        .unwrap_or_default();
    let strategy = crate::book::strategy(shared, order.strategy_id);
    let rolls = crate::book::rolls(shared, order.org_id);
    let scene =
        book.scene(shared, &account, (&place_of(order), order.key_id), order.side, Judged::Again);
    let context = risk::Context {
        halts: &book.halts,
        subject: subject_of(shared, order),
        schedule: strategy.as_ref().and_then(|strategy| strategy.schedule.as_ref()),
        contract: rolls.contract(&order.symbol),
        limits,
        exposure,
        already_filled: Quantity::ZERO,
        around: scene.view(),
        instrument,
        reference: shared.market.reference(&account, &order.symbol, book.now),
        stated_price: None,
        blind_quantity_max: strategy.as_ref().and_then(|strategy| strategy.blind()),
        orders_last_minute: scene.orders_last_minute(),
        now: book.now,
    };
    let intent = Intent {
        purpose: order.purpose,
        side: order.side,
        quantity: order.quantity,
        order_type: order.order_type,
        time_in_force: order.time_in_force,
        limit_price: order.limit_price,
        stop_price: order.stop_price,
    };
    let mut trace = Trace::new();
    let Err(first) = risk::clear(intent, &context, &mut trace) else { return Ok(()) };
    if limits.version != order.limits_version {
        return Err(first);
    }
    let can_be_lifted =
        |code: Code| LimitName::ALL.iter().any(|name| name.overridden_code() == Some(code));
    let mut failed = trace.checks().iter().filter(|check| check.result == Outcome::Fail);
    let no = failed.find_map(|check| check.code.filter(|code| !can_be_lifted(*code)));
    no.map_or(Ok(()), |code| Err(Refusal::plain(code)))
}
