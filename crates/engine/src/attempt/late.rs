//! Fills of entries that had ended here: what crossed a cancel, or was told late.
//!
//! An exit cancels what is left of an entry and is sized for what may still fill; once the entry has
//! ended it gives that up. What fills after that would stay open though the strategy was told to
//! leave, so it gets an exit of its own (S1), in the transaction that folds the fill in.

use super::tell_netted;
use crate::Shared;
use crate::around::Judged;
use crate::book::{Book, place_of, webhook_of};
use crate::effects::Severity;
use crate::orders::resting::without_asked_back;
use crate::payload;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::halt::{HaltScope, HaltSubject};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose, TimeInForce};
use tradewarden_domain::risk::{self, Cleared};
use tradewarden_domain::strategy::Intent;

/// An entry that had ended has filled nevertheless: tells a person, and closes the fill if an exit
/// had taken the entry back.
pub(super) fn filled_late(shared: &Shared, book: &mut Book, entry: &Order, filled: Quantity) {
    let (severity, what) = if entry.code == Some(Code::OrderSuperseded) {
        match close(shared, book, entry, filled, Halted::Stops) {
            Ok(None) => return,
            Ok(Some(quantity)) => (Severity::Warning, format!("an exit of {quantity} goes out.")),
            Err(no) => (Severity::Critical, format!("it cannot be closed: {}", no.detail)),
        }
    } else {
        (Severity::Warning, "it is held.".to_owned())
    };
    let detail = format!("The entry had ended here and filled {filled} nevertheless; {what}");
    let subject = entry.id.to_string();
    book.find(shared, entry.org_id, "order.late_fill", severity, subject, detail);
}

/// An exit has moved the position past flat, because two exits filled that were for the same (S4):
/// what is too much is closed, a person hears of it, and until that one says so nothing more is opened.
pub(super) fn went_past_flat(shared: &Shared, book: &mut Book, exit: &Order, excess: Quantity) {
    // Nothing was to hold this, so no halt keeps it.
    let what = match close(shared, book, exit, excess, Halted::Passes) {
        Ok(None) => "an exit is under way.".to_owned(),
        Ok(Some(quantity)) => format!("an exit of {quantity} goes out."),
        Err(no) => format!("it cannot be closed: {}", no.detail),
    };
    let detail = format!(
        "An exit moved the position past flat by {excess}; {what} The pair is reduce-only until a \
         person resumes it."
    );
    let subject = exit.id.to_string();
    let scope = HaltScope::Pair(exit.account_id, exit.symbol.clone());
    book.reduce_only(shared, exit.org_id, scope, "reconcile", detail.clone());
    book.find(shared, exit.org_id, "position.flipped", Severity::Critical, subject, detail);
}

/// Whether a halt that stops exits stops this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halted {
    Stops,
    Passes,
}

/// Journals an exit of what this order filled; `None` if there is nothing to close that no exit is
/// for already.
pub(crate) fn close(
    shared: &Shared,
    book: &mut Book,
    entry: &Order,
    filled: Quantity,
    halted: Halted,
) -> Result<Option<Quantity>, Refusal> {
    let place = place_of(entry);
    let side = entry.side.opposite();
    let pair = book.pair_exposure(place.account_id, &place.symbol);
    let of_own = without_asked_back(book, &place, side).closable(side).min(filled);
    let closable = of_own.min(pair.net_closable(side));
    if of_own > closable {
        tell_netted(shared, book, &place, entry.org_id, of_own.saturating_minus(closable));
    }
    if closable.is_zero() {
        return Ok(None);
    }
    let intent = Intent {
        purpose: Purpose::Exit,
        side,
        quantity: closable,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        limit_price: None,
        stop_price: None,
    };
    let cleared = clear(shared, book, entry, intent, halted);
    let cleared = cleared.inspect_err(|no| book.exit_refused(&place, no))?;
    let intent = cleared.intent();
    let exit = Order {
        id: shared.environment.id(book.now),
        side: intent.side,
        order_type: intent.order_type,
        time_in_force: intent.time_in_force,
        quantity: intent.quantity,
        limit_price: intent.limit_price,
        stop_price: intent.stop_price,
        purpose: intent.purpose,
        state: OrderState::Accepted,
        code: None,
        filled_quantity: Quantity::ZERO,
        average_price: None,
        broker_order_id: None,
        cancel_requested: false,
        send_by: None,
        expires_at: None,
        attempt_until: None,
        change: None,
        passes_halts: halted == Halted::Passes,
        bracket: None,
        leg: None,
        limits_version: cleared.limits_version(),
        created_at: book.now,
        ..entry.clone()
    };
    book.change_exposure(&place, |exposure| {
        exposure.reserve(exit.purpose, exit.side, exit.quantity);
    });
    let payload = payload::closing(&exit, entry.id);
    book.enter(shared, exit.org_id, exit.id, "order.accepted", payload);
    book.put_order(exit);
    Ok(Some(closable))
}

/// The same path as any other exit: a `block` halt stops it, everything else is only looked at (S18).
pub(crate) fn clear(
    shared: &Shared,
    book: &Book,
    entry: &Order,
    intent: Intent,
    halted: Halted,
) -> Result<Cleared, Refusal> {
    let account = crate::book::account(shared, entry.account_id)
        .ok_or_else(|| Refusal::plain(Code::AccountOff))?;
    let instrument = account
        .instruments
        .get(&entry.symbol)
        .ok_or_else(|| Refusal::plain(Code::RiskUnknownInstrument))?;
    let limits = book.limits.get(&entry.org_id);
    let place = place_of(entry);
    let scene = book.scene(shared, &account, (&place, entry.key_id), intent.side, Judged::New);
    let context = risk::Context {
        halts: &book.halts,
        subject: HaltSubject {
            org: entry.org_id,
            account: entry.account_id,
            strategy: entry.strategy_id,
            webhook: webhook_of(shared, entry),
            key: entry.key_id,
            symbol: &entry.symbol,
            passes_halts: halted == Halted::Passes,
        },
        schedule: None,
        contract: None,
        limits: limits
            .map(|book| {
                book.tightest(entry.account_id, entry.strategy_id, entry.key_id, &entry.symbol)
            })
            .unwrap_or_default(),
        exposure: book.pair_exposure(entry.account_id, &entry.symbol),
        already_filled: Quantity::ZERO,
        around: scene.view(),
        instrument,
        reference: shared.market.reference(&account, &entry.symbol, book.now),
        stated_price: None,
        blind_quantity_max: None,
        orders_last_minute: scene.orders_last_minute(),
        now: book.now,
    };
    risk::clear(intent, &context, &mut Trace::new())
}
