//! Exits that rest at a price: they hold nothing up, and what closes all of a position takes them back
//! and is sized without them (S4).

use crate::Shared;
use crate::book::Book;
use crate::brackets;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{Order, OrderType, Purpose, Side};
use tradewarden_domain::signal::Signal;
use tradewarden_domain::strategy::Strategy;
use tradewarden_store::exposures::Place;

/// The exits of a place on this side that have a price. The legs of a bracket are none of them: they
/// make room by themselves (S9). The live orders of the pair must be loaded.
fn resting(book: &Book, place: &Place, side: Side) -> Vec<Order> {
    let mut orders = book.live_orders(place);
    orders.retain(|order| {
        (order.purpose, order.side, order.leg) == (Purpose::Exit, side, None)
            && order.order_type != OrderType::Market
    });
    orders
}

/// What a signal of this strategy is judged on: without the exits that it would take back, and, if it
/// closes a part, without the entries at rest that it took back.
pub(crate) fn judged_on(
    book: &Book,
    place: &Place,
    strategy: &Strategy,
    signal: &Signal,
) -> Exposure {
    let whole = book.exposure(place);
    let mut judged = whole;
    for side in [Side::Buy, Side::Sell] {
        if strategy.closes_all(signal, &whole, side) {
            for order in resting(book, place, side) {
                judged.release(Purpose::Exit, side, order.reserved());
            }
        }
    }
    without_asked_back_entries(book, place, signal, judged)
}

/// The exposure without the exits on this side that were asked back: another exit is for what they
/// were for, and leaves when they have ended.
pub(crate) fn without_asked_back(book: &Book, place: &Place, side: Side) -> Exposure {
    let mut exposure = book.exposure(place);
    for order in resting(book, place, side).into_iter().filter(|order| order.cancel_requested) {
        exposure.release(Purpose::Exit, side, order.reserved());
    }
    exposure
}

/// What a part of a position is a part of: without the entries that rest and were asked back, for they
/// are not held (S7). Those at the market count, for they fill; and where nothing else is held, all do.
fn without_asked_back_entries(
    book: &Book,
    place: &Place,
    signal: &Signal,
    mut exposure: Exposure,
) -> Exposure {
    if !signal.is_exit() || signal.is_full_exit() {
        return exposure;
    }
    for order in book.live_orders(place) {
        let rests = order.purpose == Purpose::Entry && order.order_type != OrderType::Market;
        let is_held = exposure.held(order.side.opposite()).is_positive();
        if rests && order.cancel_requested && is_held {
            exposure.release(Purpose::Entry, order.side, order.reserved());
        }
    }
    exposure
}

/// Takes back the exits that rest on this side, and says which those were.
pub(crate) fn take_back(
    shared: &Shared,
    book: &mut Book,
    place: &Place,
    side: Side,
) -> Vec<Id<id::Order>> {
    let mut orders = resting(book, place, side);
    orders.retain(|order| !order.cancel_requested);
    let ids = orders.iter().map(|order| order.id).collect();
    for order in orders {
        brackets::supersede(shared, book, order);
    }
    ids
}
