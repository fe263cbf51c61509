//! Fitting an exit to what there is to close, in the moment of its attempt.

use super::is_within;
use crate::Shared;
use crate::book::{Book, place_of};
use crate::effects::Severity;
use crate::judge::tell_dust;
use std::time::Duration;
use tradewarden_domain::bracket::{Leg, takes_profit};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose};
use tradewarden_store::exposures::Place;

/// What becomes of an exit that is to be sent.
pub(super) enum Fit {
    Go,
    Wait,
    Flat,
}

/// Shrinks an exit to what there is to close (C6): at most what its strategy holds and at most the
/// account's net of that sign (S3). While entries are unresolved, what is held is closed now and the
/// rest is left to a second exit (S1). The same holds for exits that were asked back and do not end in
/// time; till then their end is waited for (S4).
pub(super) fn fit_to_position(shared: &Shared, book: &mut Book, order: &mut Order) -> Fit {
    let place = place_of(order);
    let Room { of_own, closable, lacking, unresolved, is_being_left } = room(shared, book, order);
    if closable >= order.quantity {
        return Fit::Go;
    }
    let Some(lacking) = lacking else { return Fit::Wait };
    if is_being_left && order.leg.is_none() {
        return Fit::Wait;
    }
    let rest = order.quantity.saturating_minus(closable);
    if !unresolved && of_own > closable {
        let cut = rest.min(of_own.saturating_minus(closable));
        if lacking.is_positive() {
            tell_lacking(shared, book, &place, order.org_id, cut);
        } else {
            tell_netted(shared, book, &place, order.org_id, cut);
        }
    }
    if closable.is_zero() {
        return if unresolved { Fit::Wait } else { Fit::Flat };
    }
    let account = crate::book::account(shared, order.account_id);
    let instrument = account.as_ref().and_then(|account| account.instruments.get(&order.symbol));
    if let Some(instrument) = instrument.filter(|of| of.is_dust(closable) && order.leg.is_none()) {
        if !unresolved {
            tell_dust(shared, book, &place, order.org_id, (instrument, closable));
        }
        return if unresolved { Fit::Wait } else { Fit::Flat };
    }
    if order.leg.is_some() {
        if instrument.is_some_and(|instrument| instrument.is_dust(closable)) {
            return Fit::Flat;
        }
        // It counts for nothing, and grows when what is missing is held.
        order.quantity = closable;
        return Fit::Go;
    }
    // What a roll does not close now it closes some minutes later: a second exit would be no half of it.
    if unresolved && !book.is_of_roll(order.id) {
        // The exposure stays reserved: the second exit holds what the first gives up.
        let second = Order {
            id: shared.environment.id(book.now),
            quantity: rest,
            state: OrderState::Accepted,
            code: None,
            attempt_until: None,
            change: None,
            created_at: book.now,
            ..order.clone()
        };
        book.enter(shared, second.org_id, second.id, "order.accepted", &second);
        book.put_order(second);
    } else {
        let (purpose, side) = (order.purpose, order.side);
        book.change_exposure(&place, |exposure| exposure.release(purpose, side, rest));
    }
    order.quantity = closable;
    Fit::Go
}

/// What there is for an exit to close now.
pub(super) struct Room {
    /// Of what its own strategy holds.
    of_own: Quantity,
    /// Of that, what the account holds too.
    pub(super) closable: Quantity,
    /// What the broker lacks of what the account holds; `None` as long as that has to be known.
    lacking: Option<Quantity>,
    /// Entries are not resolved yet, or other exits that were asked back.
    unresolved: bool,
    /// Such exits were asked back so short a time ago that their end is waited for (S4).
    is_being_left: bool,
}

/// An exit waits no longer than this for all of what other exits leave it.
const EXITS_WAITED_FOR: Duration = Duration::from_secs(2);

/// What an exit may close of what is held now, beside everything else that was sent. What the broker shows
/// a leg to have filled is gone, though its fills are not told: the rest need not wait for them.
pub(super) fn room(shared: &Shared, book: &Book, exit: &Order) -> Room {
    let place = place_of(exit);
    let sent: Vec<Order> = book
        .live_on_pair(&place)
        .into_iter()
        .filter(|other| other.id != exit.id && other.state != OrderState::Accepted)
        .collect();
    let is_own = |other: &Order| place_of(other) == place;
    let shown = shared.missing.on_pair(place.account_id, &place.symbol);
    let untold = |is_meant: &dyn Fn(&Order) -> bool| {
        let legs = sent.iter().filter(|leg| leg.leg.is_some() && leg.side == exit.side);
        legs.filter(|leg| is_meant(leg)).fold(Quantity::ZERO, |sum, leg| {
            let filled = shown.get(&leg.id).map_or(Quantity::ZERO, |shown| shown.filled);
            sum.saturating_plus(filled.saturating_minus(leg.filled_quantity).max(Quantity::ZERO))
        })
    };
    let (untold_of_own, untold_of_pair) =
        (untold(&|leg| place_of(leg) == place), untold(&|_| true));
    // A stop and what rests at a limit are for the same: when either fills, the other gets smaller (S9).
    let counts = |other: &&Order| !(is_own(other) && share(exit, other));
    let sent: Vec<Order> = sent.iter().filter(counts).cloned().collect();
    let own = sent.iter().filter(|other| is_own(other));
    let gone = sent.iter().filter(|other| is_own(other) || resolves_soon(other));
    let mut asked_back = own.clone().filter(|other| {
        let is_exit = (other.purpose, other.side, other.leg) == (Purpose::Exit, exit.side, None);
        is_exit && other.cancel_requested
    });
    let unresolved = asked_back.clone().next().is_some()
        || gone.clone().any(|other| other.purpose == Purpose::Entry);
    let is_being_left = asked_back.any(|other| is_within(other, EXITS_WAITED_FOR, book.now));
    let pair = book.pair_there(place.account_id, &place.symbol, exit.side);
    let (account, symbol) = (place.account_id, &place.symbol);
    let lacking = match exit.leg {
        Some(_) => shared.lacking_of_legs(account, symbol, exit.side),
        None => shared.lacking(account, symbol, exit.side),
    };
    // What a leg has filled untold is a part of what the broker lacks.
    let pair = match lacking {
        Some(lacking) => pair.saturating_minus(untold_of_pair.max(lacking)),
        None => Quantity::ZERO,
    };
    let there = book.exposure(&place).there(exit.side).saturating_minus(untold_of_own);
    let of_own = left(there, exit, own);
    let closable = of_own.min(left(pair, exit, gone));
    Room { of_own, closable, lacking, unresolved, is_being_left }
}

/// Whether the one is the stop of a bracket and the other rests at a limit beside it.
fn share(one: &Order, other: &Order) -> bool {
    let is_stop = |order: &Order| order.leg.is_some_and(|of| of.leg == Leg::StopLoss);
    is_stop(one) && takes_profit(other)
}

/// Other strategies hold the other side (S3): a person should know that the exit's own strategy is
/// not flat after it.
pub(crate) fn tell_netted(
    shared: &Shared,
    book: &mut Book,
    place: &Place,
    org: Id<id::Org>,
    cut: Quantity,
) {
    let detail =
        format!("{cut} of what is held is not closed: other strategies hold as much against it.");
    let subject = format!("{} {} {}", place.account_id, place.symbol, place.strategy_id);
    book.find(shared, org, "position.netted", Severity::Warning, subject, detail);
}

/// The broker does not hold what an exit was to close: a person should know that it is not sent.
fn tell_lacking(shared: &Shared, book: &mut Book, place: &Place, org: Id<id::Org>, cut: Quantity) {
    let detail = format!(
        "An exit is {cut} {} smaller than what is held here: the broker does not hold so much.",
        place.symbol
    );
    let subject = format!("{} {} {}", place.account_id, place.symbol, place.strategy_id);
    book.find(shared, org, "position.mismatch", Severity::Critical, subject, detail);
}

/// What is there less what was sent on the exit's own side: exits that are under way, and entries
/// that may have filled already and taken what the journal holds.
fn left<'a>(there: Quantity, exit: &Order, sent: impl Iterator<Item = &'a Order>) -> Quantity {
    let gone = sent
        .filter(|other| other.side == exit.side)
        .fold(Quantity::ZERO, |sum, other| sum.saturating_plus(other.reserved()));
    there.saturating_minus(gone).max(Quantity::ZERO)
}

/// Whether an order of another strategy will soon be known. One that rests may rest for days, and an
/// exit does not wait for it.
fn resolves_soon(other: &Order) -> bool {
    other.purpose == Purpose::Exit
        || other.order_type == OrderType::Market
        || matches!(other.state, OrderState::Sending | OrderState::Unknown)
}
