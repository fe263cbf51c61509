//! Brackets (S9): the legs that protect what entries have filled are kept as large as what is held.
//!
//! What is wanted follows from rows alone, the position and its levels, so nothing is lost with the
//! process: whatever legs a crash left are brought to what they should be at the next look. Legs are
//! placed, changed and canceled by the same journaled steps as any other order.

use crate::Shared;
use crate::attempt::{Halted, clear_exit, close_filled, subject_of};
use crate::book::{Book, Scope, place_of};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::judge::tell_dust;
use crate::orders::{live, resting};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::Capability;
use tradewarden_domain::bracket::{
    Bracket, Leg, LegOf, OnNaked, Protected, Replaces, Step, steps, takes_profit, too_much,
};
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Change, Order, OrderEvent, OrderState, Purpose, TimeInForce};
use tradewarden_domain::strategy::Intent;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{self, Place};
use tradewarden_store::{Error, Tx, orders};

/// A leg that does not work is placed once more after this; a stop that does not work twice as long
/// after a fill is told, and its position closed where the strategy says so.
const NAKED_AFTER: Duration = Duration::from_secs(3);
/// After the second try a leg is tried again so often.
const TRIED_EVERY: Duration = Duration::from_secs(30);
/// Most placements of one leg in a minute: a venue that takes legs back at once is no endless loop.
const PLACED_MAX: u32 = 20;
const PLACED_WITHIN: Duration = Duration::from_mins(1);

/// Keeps the legs; what it remembers is only how patient it still is.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    watches: BTreeMap<(Place, Leg), Watch>,
}

/// A leg that does not work, though it should.
#[derive(Debug, Clone, Copy, Default)]
struct Watch {
    /// Since when.
    since: Option<Timestamp>,
    /// When it was last placed, and how often since it last worked.
    tried_at: Option<Timestamp>,
    tries: u32,
    /// When counting placements began, and how many there were.
    counted_from: Option<Timestamp>,
    placed: u32,
    told: bool,
}

/// What is to be done about one position.
struct Tending {
    place: Place,
    /// The legs that may be placed.
    placing: BTreeSet<Leg>,
    /// Its stop does not work.
    is_naked: bool,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, watches: BTreeMap::new() }
    }

    /// Looks at every position that has a bracket, and at every leg.
    pub(crate) async fn round(&mut self) {
        let seen = match look(&self.shared).await {
            Ok(seen) => seen,
            Err(error) => return tracing::error!(%error, "brackets could not be read"),
        };
        let now = self.shared.environment.now();
        self.watches.retain(|(place, _), _| seen.contains_key(place));
        let mut wanted = Vec::new();
        for (place, (exposure, legs)) in seen {
            wanted.extend(self.judge(&place, &exposure, &legs, now));
        }
        if wanted.is_empty() {
            return;
        }
        let wanted = Arc::new(wanted);
        let (shared, asked) = (Arc::clone(&self.shared), Arc::clone(&wanted));
        let written = self
            .shared
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                tend(tx, &shared, &asked, effects).await
            })
            .await;
        match written {
            Ok(()) => self.note(&wanted, now),
            Err(error) => tracing::error!(error = %error.0, "brackets were not journaled"),
        }
    }

    /// What is to be done about a position now, if anything is.
    fn judge(
        &mut self,
        place: &Place,
        exposure: &Exposure,
        legs: &[Order],
        now: Timestamp,
    ) -> Option<Tending> {
        let bracket = exposure.bracket.as_ref();
        let protected = protected(&self.shared, place, exposure, legs);
        // A leg that a restore lost may work at the broker: a second one would open what it closes.
        let may_be_there = self.shared.awaits_comparison(place.account_id, &place.symbol);
        for leg in Leg::ALL {
            let is_wanted = !may_be_there
                && exposure.bracket.is_some_and(|bracket| bracket.price(*leg).is_some());
            let watch = self.watches.entry((place.clone(), *leg)).or_default();
            let is_wanted = is_wanted && protected.of(*leg).is_positive();
            watch.look(is_wanted, of_kind(legs, *leg), now);
        }
        let watch = |leg| self.watches.get(&(place.clone(), leg)).copied().unwrap_or_default();
        let mut tending = Tending {
            is_naked: watch(Leg::StopLoss).is_to_be_told(now),
            placing: BTreeSet::new(),
            place: place.clone(),
        };
        let excess = bracket.map(|bracket| too_much(bracket, protected, legs, now));
        let mut is_due = tending.is_naked
            || is_over(exposure, legs)
            || excess.is_some_and(|excess| !excess.is_empty());
        let replaces = replaces(&self.shared, place);
        for step in steps(bracket, protected, legs, replaces, now) {
            match step {
                Step::Place(leg, quantity)
                    if may_be_there
                        || !watch(leg).may_place(now)
                        || is_dust(place, quantity, &self.shared) => {}
                Step::Place(leg, _) => {
                    tending.placing.insert(leg);
                    is_due = true;
                }
                Step::Change(..) | Step::Cancel(_) => is_due = true,
            }
        }
        is_due.then_some(tending)
    }

    fn note(&mut self, done: &[Tending], now: Timestamp) {
        for tending in done {
            for leg in &tending.placing {
                self.watches.entry((tending.place.clone(), *leg)).or_default().placed(now);
            }
            if tending.is_naked {
                let key = (tending.place.clone(), Leg::StopLoss);
                self.watches.entry(key).or_default().told = true;
            }
        }
    }
}

impl Watch {
    fn look<'a>(
        &mut self,
        is_wanted: bool,
        mut legs: impl Iterator<Item = &'a Order>,
        now: Timestamp,
    ) {
        // While its market is closed a leg is held like any other exit, and that was told.
        let works = |leg: &Order| {
            matches!(leg.state, OrderState::Working | OrderState::PartiallyFilled)
                || leg.code == Some(Code::ExitPendingOpen)
        };
        if is_wanted && !legs.any(works) {
            self.since.get_or_insert(now);
        } else {
            (self.since, self.tries, self.told) = (None, 0, false);
        }
    }

    fn may_place(&self, now: Timestamp) -> bool {
        let counting = self.counted_from.is_some_and(|from| from.plus(PLACED_WITHIN) > now);
        if counting && self.placed >= PLACED_MAX {
            return false;
        }
        let wait = match self.tries {
            0 => return true,
            1 => NAKED_AFTER,
            _ => TRIED_EVERY,
        };
        self.tried_at.is_none_or(|at| at.plus(wait) <= now)
    }

    fn is_to_be_told(&self, now: Timestamp) -> bool {
        let naked = |since: Timestamp| since.plus(NAKED_AFTER).plus(NAKED_AFTER) <= now;
        !self.told && self.since.is_some_and(naked)
    }

    fn placed(&mut self, now: Timestamp) {
        (self.tried_at, self.tries) = (Some(now), self.tries.saturating_add(1));
        if self.counted_from.is_none_or(|from| from.plus(PLACED_WITHIN) <= now) {
            (self.counted_from, self.placed) = (Some(now), 0);
        }
        self.placed = self.placed.saturating_add(1);
    }
}

type Seen = BTreeMap<Place, (Exposure, Vec<Order>)>;

/// Everything that has a bracket, or a leg of one, with what rests beside it; what it is judged by before
/// the transaction that judges it again.
async fn look(shared: &Shared) -> Result<Seen, Error> {
    let legs = live::legs(&shared.store).await?;
    let bracketed = exposures::bracketed(&shared.store).await?;
    let mut seen: Seen =
        bracketed.into_iter().map(|(place, exposure)| (place, (exposure, Vec::new()))).collect();
    for leg in legs {
        seen.entry(place_of(&leg)).or_default().1.push(leg);
    }
    if seen.is_empty() {
        return Ok(seen);
    }
    for exit in live::resting_exits(&shared.store).await? {
        if let Some((_, orders)) = seen.get_mut(&place_of(&exit)) {
            orders.push(exit);
        }
    }
    Ok(seen)
}

/// What the legs of a bracket protect, beside these orders; nothing without one, and nothing that the broker
/// lacks.
fn protected(shared: &Shared, place: &Place, exposure: &Exposure, orders: &[Order]) -> Protected {
    let Some(bracket) = exposure.bracket else { return Protected::default() };
    let side = bracket.side.opposite();
    let at_limit = orders.iter().filter(|order| takes_profit(order) && order.side == side);
    let at_limit =
        at_limit.fold(Quantity::ZERO, |sum, order| sum.saturating_plus(order.reserved()));
    let protected = exposure.protected(side, at_limit);
    match shared.lacking_of_legs(place.account_id, &place.symbol, side) {
        Some(lacking) => protected.but(lacking),
        None => protected,
    }
}

fn of_kind(legs: &[Order], kind: Leg) -> impl Iterator<Item = &Order> {
    legs.iter().filter(move |order| order.leg.is_some_and(|leg| leg.leg == kind))
}

/// Whether nothing is left to protect, and no leg that may still fill.
fn is_over(exposure: &Exposure, legs: &[Order]) -> bool {
    let is_flat = exposure.quantity.is_zero() && exposure.reported.is_none();
    exposure.bracket.is_some() && is_flat && legs.is_empty()
}

fn replaces(shared: &Shared, place: &Place) -> Replaces {
    let account = crate::book::account(shared, place.account_id);
    let broker = account.and_then(|account| shared.brokers.get(&account.broker).cloned());
    let can = broker.is_some_and(|broker| broker.capabilities().replace != Capability::Absent);
    if can { Replaces::Yes } else { Replaces::No }
}

/// Brings the legs of these positions to what they should be.
async fn tend(
    tx: &mut Tx<'_>,
    shared: &Shared,
    wanted: &[Tending],
    effects: &mut Effects,
) -> Result<(), Error> {
    if !crate::lease::leads(tx, shared).await? {
        return Ok(());
    }
    let mut scope = Scope::default();
    for Tending { place, .. } in wanted {
        let Some(account) = crate::book::account(shared, place.account_id) else { continue };
        scope.add(account.org_id, account.id, &place.symbol);
        scope.pairs_with_live_orders.insert((account.id, place.symbol.clone()));
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    let parent_of = |tending: &Tending| Some(book.exposure(&tending.place).bracket?.parent_id);
    let parents: Vec<_> =
        wanted.iter().filter_map(parent_of).collect::<BTreeSet<_>>().into_iter().collect();
    let parents = orders::lock_by_id(tx, &parents).await?;
    let parents: BTreeMap<_, _> =
        parents.into_iter().flatten().map(|order| (order.id, order)).collect();
    for tending in wanted {
        let before = predecessors(tx, shared, &book, tending).await?;
        tend_one(shared, &mut book, tending, &parents, &before);
    }
    book.write(tx, effects).await
}

/// Where the venue changes no order and something is halted: the newest of the legs in whose place
/// others are to come.
async fn predecessors(
    tx: &mut Tx<'_>,
    shared: &Shared,
    book: &Book,
    tending: &Tending,
) -> Result<Vec<Order>, Error> {
    let mut newest = Vec::new();
    let Some(bracket) = book.exposure(&tending.place).bracket else { return Ok(newest) };
    if book.halts.is_empty() || replaces(shared, &tending.place) == Replaces::Yes {
        return Ok(newest);
    }
    for leg in &tending.placing {
        newest.extend(orders::newest_leg(tx, bracket.parent_id, *leg).await?);
    }
    Ok(newest)
}

fn tend_one(
    shared: &Shared,
    book: &mut Book,
    tending: &Tending,
    parents: &BTreeMap<Id<id::Order>, Order>,
    before: &[Order],
) {
    let place = &tending.place;
    let placing = make_room(shared, book, place);
    let exposure = book.exposure(place);
    let Some(bracket) = exposure.bracket else { return };
    if is_over(&exposure, &exits_of(book, place)) {
        return book.change_exposure(place, |exposure| exposure.bracket = None);
    }
    let Some(parent) = parents.get(&bracket.parent_id) else { return };
    let may_leave = |quantity: Quantity| !is_dust(place, quantity, shared);
    let placing = placing
        .into_iter()
        .filter(|(leg, quantity)| tending.placing.contains(leg) && may_leave(*quantity));
    for (leg, quantity) in placing {
        let succeeds = of_kind(before, leg).any(|before| makes_way(before, quantity));
        let halted = if succeeds { Halted::Passes } else { Halted::Stops };
        if let Err(no) = place_leg(shared, book, parent, &bracket, (leg, quantity), halted) {
            tracing::warn!(parent.id = %parent.id, %leg, why = no.detail, "a leg is not placed");
        }
    }
    if tending.is_naked {
        tell_naked(shared, book, place, parent, &bracket);
    }
}

/// Whether a leg was canceled for one of this size, which is no larger: that is all a change of it, and
/// no halt stops it, or the halt would take the protection away (S9).
fn makes_way(before: &Order, quantity: Quantity) -> bool {
    (before.state, before.code) == (OrderState::Canceled, Some(Code::OrderSuperseded))
        && quantity <= before.remaining()
}

/// Makes legs smaller, larger or canceled, as their position wants it, and what rests beside a stop
/// smaller; says which legs are missing.
pub(crate) fn make_room(shared: &Shared, book: &mut Book, place: &Place) -> Vec<(Leg, Quantity)> {
    let exposure = book.exposure(place);
    let legs = exits_of(book, place);
    let protected = protected(shared, place, &exposure, &legs);
    let bracket = exposure.bracket.as_ref();
    let mut missing = Vec::new();
    let excess = bracket.map(|bracket| too_much(bracket, protected, &legs, book.now));
    for (id, kept) in excess.unwrap_or_default() {
        if let Some(order) = legs.iter().find(|order| order.id == id) {
            shrink(shared, book, order.clone(), kept);
        }
    }
    for step in steps(bracket, protected, &legs, replaces(shared, place), book.now) {
        match step {
            Step::Place(leg, quantity) => missing.push((leg, quantity)),
            Step::Change(id, quantity) => {
                let order = legs.iter().find(|order| order.id == id);
                if let (Some(order), Some(bracket)) = (order, bracket) {
                    let left = quantity.saturating_minus(order.filled_quantity);
                    if is_dust(place, left, shared) {
                        supersede(shared, book, order.clone());
                    } else {
                        change(shared, book, order.clone(), bracket, quantity);
                    }
                }
            }
            Step::Cancel(id) => {
                let leg = legs.iter().find(|order| order.id == id);
                let stays = |order: &&Order| {
                    let protected = order.leg.map_or(Quantity::ZERO, |of| protected.of(of.leg));
                    !would_stay_away(shared, book, order, protected)
                };
                if let Some(order) = leg.filter(stays) {
                    supersede(shared, book, order.clone());
                }
            }
        }
    }
    missing
}

/// Whether a leg is too small and a halt would stop the larger one: the smaller is better than none.
fn would_stay_away(shared: &Shared, book: &Book, leg: &Order, protected: Quantity) -> bool {
    let grows = leg.remaining().is_positive() && leg.remaining() < protected;
    grows && halt::stopping(&book.halts, Purpose::Exit, &subject_of(shared, leg)).is_some()
}

/// The legs of a place and the exits that rest at a limit beside them, oldest first.
fn exits_of(book: &Book, place: &Place) -> Vec<Order> {
    let mut exits = book.live_orders(place);
    exits.retain(|order| order.leg.is_some() || takes_profit(order));
    exits.sort_unstable_by_key(|order| order.id);
    exits
}

/// Whether the venue takes no order of so little (S7).
fn is_dust(place: &Place, quantity: Quantity, shared: &Shared) -> bool {
    let account = crate::book::account(shared, place.account_id);
    let instrument = account.as_ref().and_then(|found| found.instruments.get(&place.symbol));
    instrument.is_some_and(|instrument| instrument.is_dust(quantity))
}

/// Leaves so much of an exit that rests; where the venue changes no order, or nothing is to be left, it
/// is taken back.
fn shrink(shared: &Shared, book: &mut Book, mut order: Order, kept: Quantity) {
    let place = place_of(&order);
    let can_shrink = replaces(shared, &place) == Replaces::Yes
        && order.state != OrderState::Accepted
        && kept.is_positive()
        && !is_dust(&place, kept, shared);
    if !can_shrink {
        return supersede(shared, book, order);
    }
    let quantity = Some(order.filled_quantity.saturating_plus(kept));
    order.change = Some(Change { quantity, ..Change::wanted(&order, book.now) });
    book.enter(shared, order.org_id, order.id, "order.change_requested", &order);
    book.put_order(order);
}

fn change(
    shared: &Shared,
    book: &mut Book,
    mut order: Order,
    bracket: &Bracket,
    quantity: Quantity,
) {
    let Some((_, limit, stop)) = order.leg.and_then(|leg| bracket.pricing(leg.leg)) else { return };
    let event = if order.state == OrderState::Accepted {
        (order.quantity, order.limit_price, order.stop_price) = (quantity, limit, stop);
        "order.changed"
    } else {
        order.change = Some(Change {
            limit_price: limit.filter(|_| limit != order.limit_price),
            quantity: Some(quantity).filter(|quantity| *quantity != order.quantity),
            stop_price: stop.filter(|_| stop != order.stop_price),
            ..Change::wanted(&order, book.now)
        });
        "order.change_requested"
    };
    book.enter(shared, order.org_id, order.id, event, &order);
    book.put_order(order);
}

/// Ends an exit in whose place another one comes, or asks it back if it was sent.
pub(crate) fn supersede(shared: &Shared, book: &mut Book, mut order: Order) {
    let event = if order.state == OrderState::Accepted {
        book.advance(&mut order, OrderEvent::Cancel, Some(Code::OrderSuperseded));
        "order.superseded"
    } else {
        (order.cancel_requested, order.code) = (true, Some(Code::OrderSuperseded));
        "order.cancel_requested"
    };
    book.enter(shared, order.org_id, order.id, event, &order);
    book.put_order(order);
}

/// Journals a leg, cleared like any other exit: a `block` halt stops it, unless it only takes the place
/// of another.
fn place_leg(
    shared: &Shared,
    book: &mut Book,
    parent: &Order,
    bracket: &Bracket,
    (leg, quantity): (Leg, Quantity),
    halted: Halted,
) -> Result<(), Refusal> {
    let Some((order_type, limit_price, stop_price)) = bracket.pricing(leg) else { return Ok(()) };
    let intent = Intent {
        purpose: Purpose::Exit,
        side: bracket.side.opposite(),
        quantity,
        order_type,
        time_in_force: TimeInForce::Gtc,
        limit_price,
        stop_price,
    };
    let cleared = clear_exit(shared, book, parent, intent, halted)?;
    let intent = cleared.intent();
    let order = Order {
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
        leg: Some(LegOf { leg, parent_id: parent.id }),
        limits_version: cleared.limits_version(),
        created_at: book.now,
        ..parent.clone()
    };
    book.enter(shared, order.org_id, order.id, "order.accepted", &order);
    book.put_order(order);
    Ok(())
}

/// The stop of a position does not work: a person hears of it, and the position is closed where its
/// strategy says so.
fn tell_naked(shared: &Shared, book: &mut Book, place: &Place, parent: &Order, bracket: &Bracket) {
    let exits = exits_of(book, place);
    let held = protected(shared, place, &book.exposure(place), &exits).stop_loss;
    if !held.is_positive() {
        return;
    }
    let account = crate::book::account(shared, place.account_id);
    let instrument = account.as_ref().and_then(|found| found.instruments.get(&place.symbol));
    let dust = instrument.filter(|instrument| instrument.is_dust(held));
    if let Some(instrument) = dust {
        tell_dust(shared, book, place, parent.org_id, (instrument, held));
    }
    let what = match bracket.on_naked {
        _ if dust.is_some() => "it is less than the smallest order.".to_owned(),
        OnNaked::Alert => "it is held without one.".to_owned(),
        OnNaked::Close => {
            // What rests at a limit is no protection: the exit that goes out is for all.
            resting::take_back(shared, book, place, bracket.side.opposite());
            match close_filled(shared, book, parent, held, Halted::Stops) {
                Ok(Some(quantity)) => format!("an exit of {quantity} goes out."),
                Ok(None) => "an exit is under way.".to_owned(),
                Err(no) => format!("it cannot be closed: {}", no.detail),
            }
        }
    };
    let detail = format!("The stop of {held} {} does not work; {what}", place.symbol);
    let subject = format!("{} {} {}", place.account_id, place.symbol, place.strategy_id);
    book.find(shared, parent.org_id, "position.naked", Severity::Critical, subject, detail);
}
