//! Exits and the legs of brackets (S4, S9): where the venue does not keep an exit from going past flat,
//! the legs are made smaller first, and the exit waits for that.

use super::is_within;
use super::late::went_past_flat;
use crate::Shared;
use crate::book::{Book, place_of};
use crate::brackets;
use std::time::Duration;
use tradewarden_domain::bracket::{Bracket, Leg, takes_profit};
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{Order, OrderState, Purpose};

/// What a fill may change about a bracket, as it was before the fill.
pub(super) struct Before {
    held: Quantity,
    tick: Price,
    /// What the fills so far came to, and what the broker's word did.
    brackets: [Option<Bracket>; 2],
}

impl Before {
    pub(super) fn of(shared: &Shared, book: &Book, order: &Order) -> Self {
        let account = crate::book::account(shared, order.account_id);
        let instrument = account.as_ref().and_then(|found| found.instruments.get(&order.symbol));
        let tick = instrument.map_or(Price::ZERO, |instrument| instrument.tick);
        let exposure = book.exposure(&place_of(order));
        let reported = exposure.reported.filter(|reported| reported.entry_id == order.id);
        let levels = order.bracket.as_ref();
        let brackets = [
            levels.and_then(|levels| levels.of_fills(order, tick)),
            levels.and_then(|levels| Some(levels.of_price(order, reported?.average_price, tick))),
        ];
        Self { held: exposure.quantity, tick, brackets }
    }

    /// An entry's fill is protected by its levels. An exit's fill never goes past flat; if it did,
    /// two exits were for the same, or one filled after its cancel.
    pub(super) fn protect(
        &self,
        shared: &Shared,
        book: &mut Book,
        order: &Order,
        filled: Quantity,
    ) {
        let place = place_of(order);
        let side = order.side;
        if order.purpose == Purpose::Exit {
            // Also where the other side was held already: an exit never adds to a position.
            let excess = book.exposure(&place).there(side).negated().min(filled);
            if excess.is_positive() {
                went_past_flat(shared, book, order, excess);
            }
            return;
        }
        let levels = order.bracket.as_ref().and_then(|levels| levels.of_fills(order, self.tick));
        let present = book.exposure(&place).bracket;
        // What a person has moved or taken away since the last fill stays so.
        let is_own = present.is_some_and(|bracket| bracket.parent_id == order.id);
        let moved = is_own && !self.brackets.contains(&present);
        let opens = levels.is_some() || self.held.is_zero();
        if opens && !moved && present != levels {
            book.change_exposure(&place, |exposure| exposure.bracket = levels);
        }
    }
}

/// An exit waits no longer than this for what was asked of a leg.
const LEGS_WAITED_FOR: Duration = Duration::from_secs(2);

/// Asks the legs to leave room for an exit, and says whether it has to wait for them.
pub(super) fn waits_for_legs(shared: &Shared, book: &mut Book, exit: &Order) -> bool {
    let place = place_of(exit);
    if exit.leg.is_some() || book.exposure(&place).bracket.is_none() {
        return false;
    }
    brackets::make_room(shared, book, &place);
    if shared.reduces_natively(exit.account_id) {
        return false;
    }
    let room = book.exposure(&place).there(exit.side).saturating_minus(exit.quantity);
    let room = room.max(Quantity::ZERO);
    // What rests at a limit stands beside the stop as the other leg does.
    let beside = takes_profit(exit);
    let is_in_the_way = |leg: Leg| leg == Leg::TakeProfit || !beside;
    book.live_orders(&place).iter().any(|leg| {
        let works =
            leg.leg.is_some_and(|of| is_in_the_way(of.leg)) && leg.state != OrderState::Accepted;
        let left = leg.quantity_at_most().saturating_minus(leg.filled_quantity);
        works && left > room && is_within(leg, LEGS_WAITED_FOR, book.now)
    })
}

/// An entry that has ended fills no more: what its broker reported of it and never told is not held.
pub(super) fn end_of_report(shared: &Shared, book: &mut Book, order: &Order) {
    let place = place_of(order);
    let reported = book.exposure(&place).reported;
    if order.state.is_live() || reported.is_none_or(|reported| reported.entry_id != order.id) {
        return;
    }
    book.change_exposure(&place, |exposure| exposure.reported = None);
    book.enter(shared, order.org_id, order.id, "order.report_void", order);
}
