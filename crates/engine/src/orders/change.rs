//! Changing an order: quantity and prices, judged in one transaction as the order was when it was
//! placed. What has left its gateway is changed at its broker afterwards, by the dispatcher.
//!
//! What only reduces is refused by no limit (S9, S18). Until the broker has answered, the larger of
//! the old and the new quantity counts as exposure.
//!
//! One change is under way at a time. What only reduces is not refused for that either (S9): it takes
//! the place of a quantity that has not left, and comes next where the broker may be making another.

use super::place::{notional_of_key, price};
use crate::actor::Actor;
use crate::around::Judged as RiskOf;
use crate::attempt::subject_of;
use crate::book::{Book, Lets, Scope, place_of};
use crate::command::OrderChange;
use crate::command::error::{CommandError, OrderNo, invalid};
use crate::effects::Effects;
use crate::once::{Claimed, OnceKey};
use crate::{Engine, Shared, payload};
use serde_json::Value;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::Capability;
use tradewarden_domain::account::Account;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::halt::HaltSubject;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{Change, ChangeState, Order, OrderState, OrderType, Purpose, Side};
use tradewarden_domain::overrides::{self, Override};
use tradewarden_domain::risk;
use tradewarden_domain::strategy::{Intent, SEND_WITHIN_S_DEFAULT};
use tradewarden_store::{Error, Tx, orders};

/// What is asked for, as far as it can be judged without the order's row.
struct Wanted {
    order_id: Id<id::Order>,
    quantity: Option<Quantity>,
    limit_price: Option<Price>,
    stop_price: Option<Price>,
}

/// What is to be done.
enum Judged {
    /// Nothing: the order is so already.
    Same,
    /// So much has filled: what is left is canceled.
    Cancel,
    /// This.
    Change(Change),
    /// The change that is under way goes on as this: what was asked for only reduces.
    UnderWay(Change),
}

impl Engine {
    pub(crate) async fn change_order(
        &self,
        org: Id<id::Org>,
        asked: OrderChange,
        actor: &Actor,
        once: Option<&OnceKey>,
    ) -> Result<Claimed<Value>, CommandError> {
        let order = self.order_of(org, actor, &asked.id).await?;
        let account =
            crate::book::account(&self.parts, order.account_id).ok_or(CommandError::NotFound)?;
        let wanted = Wanted::read(&account, &order, &asked)?;
        actor.trades(&order.symbol).map_err(|refusal| OrderNo::of(refusal, None))?;
        let (shared, by) = (Arc::clone(&self.parts), actor.clone());
        let change = async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            change_in(tx, &shared, &account, &order, &wanted, &by, effects).await
        };
        self.carry_out_once(org, actor, once, change).await
    }
}

impl Wanted {
    fn read(account: &Account, order: &Order, asked: &OrderChange) -> Result<Self, CommandError> {
        let OrderChange { quantity, limit_price, stop_price, .. } = *asked;
        if (quantity, limit_price, stop_price) == (None, None, None) {
            let detail = "one of quantity, limit_price and stop_price must be there";
            return Err(invalid("quantity", &detail));
        }
        let instrument = account.instruments.get(&order.symbol).ok_or_else(|| {
            let detail = format!("{} cannot be traded on account {}.", order.symbol, account.id);
            CommandError::Refused { code: Code::RiskUnknownInstrument, detail }
        })?;
        let (limit, stop) = match order.order_type {
            OrderType::Market => (false, false),
            OrderType::Limit => (true, false),
            OrderType::Stop => (false, true),
            OrderType::StopLimit => (true, true),
        };
        if limit_price.is_some() {
            price("limit_price", limit_price, limit, Some(instrument))?;
        }
        if stop_price.is_some() {
            price("stop_price", stop_price, stop, Some(instrument))?;
        }
        if quantity.is_some_and(|quantity| !quantity.is_positive()) {
            return Err(invalid("quantity", &"must be greater than zero"));
        }
        Ok(Self { order_id: order.id, quantity, limit_price, stop_price })
    }

    /// What of it the order does not have already.
    fn change(&self, book: &Book, order: &Order) -> Change {
        Change {
            limit_price: self.limit_price.filter(|price| Some(*price) != order.limit_price),
            quantity: self.quantity.filter(|quantity| *quantity != order.quantity),
            stop_price: self.stop_price.filter(|price| Some(*price) != order.stop_price),
            ..Change::wanted(order, book.now)
        }
    }

    /// The quantity, if this does nothing but make the order smaller than it may be, and no larger
    /// than it is and than what is under way may leave of it.
    fn only_reduces(&self, order: &Order, under_way: &Change) -> Option<Quantity> {
        let reprices = self.limit_price.is_some() || self.stop_price.is_some();
        let may_be = [under_way.quantity, under_way.then_quantity].into_iter().flatten();
        let least = may_be.fold(order.quantity, Quantity::min);
        self.quantity.filter(|quantity| !reprices && *quantity <= least)
    }
}

async fn change_in(
    tx: &mut Tx<'_>,
    shared: &Shared,
    account: &Arc<Account>,
    known: &Order,
    wanted: &Wanted,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<Result<Order, OrderNo>, Error> {
    let mut scope = Scope::default();
    scope.add(account.org_id, account.id, &known.symbol);
    scope.lets = Lets::New;
    let mut book = Book::load(tx, shared, &scope).await?;
    let found = orders::lock_by_id(tx, &[wanted.order_id]).await?.into_iter().flatten().next();
    let Some(mut order) = found else {
        return Ok(Err(OrderNo::of(Refusal::plain(Code::RequestNotFound), None)));
    };
    let done = match judge(shared, &mut book, account, actor, &order, wanted) {
        Ok(Judged::Same) => Ok(()),
        Ok(Judged::Cancel) => {
            order.cancel_requested = true;
            let by = payload::by(&order, &actor.name());
            book.enter(shared, order.org_id, order.id, "order.cancel_requested", by);
            book.put_order(order.clone());
            Ok(())
        }
        Ok(Judged::Change(change)) => {
            take(shared, &mut book, &mut order, change, actor);
            Ok(())
        }
        Ok(Judged::UnderWay(change)) => {
            reduce(shared, &mut book, &mut order, change, actor);
            Ok(())
        }
        Err(refusal) => {
            let refused = Change {
                code: Some(refusal.code),
                state: ChangeState::Refused,
                ..wanted.change(&book, &order)
            };
            let payload = payload::unchanged(&order, &refused, &actor.name());
            book.enter(shared, order.org_id, order.id, "order.change_refused", payload);
            Err(OrderNo::of(refusal, Some(order.id)))
        }
    };
    book.write(tx, effects).await?;
    Ok(done.map(|()| order))
}

/// Journals the change. Of what has not left, nothing else has to hear.
fn take(shared: &Shared, book: &mut Book, order: &mut Order, mut change: Change, actor: &Actor) {
    let before = order.reserved();
    let adds_risk = order.purpose_of(&change) == Purpose::Entry;
    let event = if order.state == OrderState::Accepted {
        change.state = ChangeState::Made;
        order.quantity = change.quantity.unwrap_or(order.quantity);
        order.limit_price = change.limit_price.or(order.limit_price);
        order.stop_price = change.stop_price.or(order.stop_price);
        order.limits_version = change.limits_version;
        "order.changed"
    } else {
        "order.change_requested"
    };
    order.change = Some(change);
    let after = order.reserved();
    book.release(order, before.saturating_minus(after));
    let (purpose, side, more) = (order.purpose, order.side, after.saturating_minus(before));
    if more.is_positive() {
        book.change_exposure(&place_of(order), |exposure| exposure.reserve(purpose, side, more));
    }
    if order.leg.is_some() {
        // A person moves a leg: it stays there.
        let moved = Order {
            limit_price: order.change.and_then(|change| change.limit_price).or(order.limit_price),
            stop_price: order.change.and_then(|change| change.stop_price).or(order.stop_price),
            ..order.clone()
        };
        book.change_exposure(&place_of(order), |exposure| {
            exposure.bracket = exposure.bracket.map(|bracket| bracket.moved(&moved));
        });
    }
    if adds_risk {
        book.count_order(order);
    }
    let by = payload::by(order, &actor.name());
    book.enter(shared, order.org_id, order.id, event, by);
    book.put_order(order.clone());
}

/// Journals what is to become of the change under way.
fn reduce(shared: &Shared, book: &mut Book, order: &mut Order, change: Change, actor: &Actor) {
    let before = order.reserved();
    order.change = Some(change);
    book.release(order, before.saturating_minus(order.reserved()));
    let event =
        if change.is_in_flight() { "order.change_requested" } else { "order.change_refused" };
    let by = payload::by(order, &actor.name());
    book.enter(shared, order.org_id, order.id, event, by);
    book.put_order(order.clone());
}

fn judge(
    shared: &Shared,
    book: &mut Book,
    account: &Arc<Account>,
    actor: &Actor,
    order: &Order,
    wanted: &Wanted,
) -> Result<Judged, Refusal> {
    if !order.state.is_live() {
        let detail = format!("The order is {} already.", order.state);
        return Err(Refusal::because(Code::OrderNotOpen, detail));
    }
    if order.cancel_requested {
        let detail = "The order is being canceled.";
        return Err(Refusal::because(Code::OrderNotOpen, detail));
    }
    let under_way = order.change.filter(Change::is_in_flight);
    let reduced = under_way.and_then(|under_way| wanted.only_reduces(order, &under_way));
    if under_way.is_some() && reduced.is_none() {
        return Err(Refusal::plain(Code::OrderChangeInFlight));
    }
    let mut change = wanted.change(book, order);
    match wanted.quantity.map(|quantity| (quantity, quantity.cmp(&order.filled_quantity))) {
        Some((quantity, Ordering::Less)) => {
            let filled = order.filled_quantity;
            let detail = format!("{filled} has filled already, and {quantity} was asked for.");
            return Err(Refusal {
                input: Some(quantity.to_string()),
                limit: Some(filled.to_string()),
                ..Refusal::because(Code::OrderBelowFilled, detail)
            });
        }
        Some((_, Ordering::Equal)) => return Ok(Judged::Cancel),
        Some((_, Ordering::Greater)) | None => {}
    }
    if let (Some(under_way), Some(quantity)) = (under_way, reduced) {
        in_lots(account, order, quantity)?;
        let goes_on = going_on(order, under_way, quantity);
        return Ok(if goes_on == under_way { Judged::Same } else { Judged::UnderWay(goes_on) });
    }
    if (change.quantity, change.limit_price, change.stop_price) == (None, None, None) {
        return Ok(Judged::Same);
    }
    if order.state != OrderState::Accepted && !can_replace(shared, account) {
        return Err(Refusal::plain(Code::OrderChangeUnsupported));
    }
    if let (Purpose::Exit, Some(asked)) = (order.purpose, change.quantity) {
        let fitted = fitting(book, order, asked);
        if fitted == order.quantity {
            let detail = format!(
                "The order closes {fitted} already, and nothing more is held that it could close; \
                 asked for {asked}."
            );
            return Err(Refusal {
                input: Some(asked.to_string()),
                limit: Some(fitted.to_string()),
                ..Refusal::because(Code::PositionFlat, detail)
            });
        }
        change.quantity = Some(fitted);
    }
    let (limits_version, used) = clear(shared, book, account, actor, order, &change)?;
    change.limits_version = limits_version;
    let quantity = change.quantity.unwrap_or(order.quantity);
    book.use_overrides(shared, &used, &Order { quantity, limits_version, ..order.clone() });
    if order.purpose_of(&change) == Purpose::Entry {
        let within = Duration::from_secs(u64::from(SEND_WITHIN_S_DEFAULT));
        change.send_by = Some(book.now.plus(within));
    }
    Ok(Judged::Change(change))
}

/// The change under way, now that the order is to be made this small and no larger. What has not left
/// grows nothing any more; what may have left is followed by another.
fn going_on(order: &Order, under_way: Change, quantity: Quantity) -> Change {
    let reprices = under_way.limit_price.is_some() || under_way.stop_price.is_some();
    let smaller = Some(quantity).filter(|quantity| *quantity < order.quantity);
    match (under_way.state, smaller) {
        (ChangeState::Wanted, _) if reprices => {
            // Apart from the prices, which a halt may stop.
            Change { quantity: None, then_quantity: smaller, ..under_way }
        }
        (ChangeState::Wanted, Some(_)) => Change { quantity: smaller, send_by: None, ..under_way },
        (ChangeState::Wanted, None) => {
            let code = Some(Code::OrderChangeOvertaken);
            Change { code, state: ChangeState::Refused, ..under_way }
        }
        _ => Change { then_quantity: Some(quantity), ..under_way },
    }
}

/// Entries are for as much as can be ordered.
fn in_lots(account: &Account, order: &Order, quantity: Quantity) -> Result<(), Refusal> {
    let unknown = || Refusal::plain(Code::RiskUnknownInstrument);
    let instrument = account.instruments.get(&order.symbol).ok_or_else(unknown)?;
    let fits =
        instrument.entry_quantity(quantity) == quantity && quantity >= instrument.quantity_min;
    if order.purpose == Purpose::Entry && !fits {
        return Err(Refusal::over(
            Code::SizingUnusableQuantity,
            quantity,
            format_args!("multiples of {}, from {}", instrument.lot, instrument.quantity_min),
        ));
    }
    Ok(())
}

fn can_replace(shared: &Shared, account: &Account) -> bool {
    let broker = shared.brokers.get(&account.broker);
    broker.is_some_and(|broker| broker.capabilities().replace != Capability::Absent)
}

/// An exit grows at most to what there is to close beside all others.
fn fitting(book: &Book, order: &Order, quantity: Quantity) -> Quantity {
    let (purpose, side, own) = (order.purpose, order.side, order.reserved());
    let mut held = book.exposure(&place_of(order));
    held.release(purpose, side, own);
    let mut pair = book.pair_exposure(order.account_id, &order.symbol);
    pair.release(purpose, side, own);
    let closable = held.closable(side).min(pair.net_closable(side));
    let most = order.filled_quantity.saturating_plus(closable).max(order.quantity);
    quantity.min(most)
}

/// Whether the market is where the stop fires already: then it is no stop but an exit.
fn reaches(change: &Change, side: Side, market: Option<Price>) -> bool {
    change.stop_price.zip(market).is_some_and(|(stop, market)| match side {
        Side::Sell => stop >= market,
        Side::Buy => stop <= market,
    })
}

/// Lets risk judge the order as it would be, without what it counts for now; says which version of
/// the limits cleared it, and which overrides it took.
fn clear(
    shared: &Shared,
    book: &Book,
    account: &Arc<Account>,
    actor: &Actor,
    order: &Order,
    change: &Change,
) -> Result<(i64, Vec<Override>), Refusal> {
    let unknown = || Refusal::plain(Code::RiskUnknownInstrument);
    let instrument = account.instruments.get(&order.symbol).ok_or_else(unknown)?;
    let purpose = order.purpose_of(change);
    let quantity = change.quantity.unwrap_or(order.quantity);
    if purpose == Purpose::Entry && !book.is_active(account.id) {
        return Err(Refusal::plain(Code::AccountOff));
    }
    if let Some(quantity) = change.quantity {
        in_lots(account, order, quantity)?;
    }
    let mut exposure = book.pair_exposure(account.id, &order.symbol);
    exposure.release(order.purpose, order.side, order.reserved());
    let limits = book.limits.get(&order.org_id);
    let reference = shared.market.reference(account, &order.symbol, book.now);
    let strategy = crate::book::strategy(shared, order.strategy_id);
    let rolls = crate::book::rolls(shared, order.org_id);
    let place = place_of(order);
    let scene = book.scene(shared, account, (&place, order.key_id), order.side, RiskOf::Change);
    let context = risk::Context {
        halts: &book.halts,
        subject: HaltSubject {
            passes_halts: order.passes_halts
                || order.passes_halts(change)
                    && !reaches(change, order.side, reference.last_known()),
            ..subject_of(shared, order)
        },
        contract: rolls.contract(&order.symbol),
        schedule: strategy.as_ref().and_then(|strategy| strategy.schedule.as_ref()),
        limits: limits
            .map(|limits| {
                limits.tightest(account.id, order.strategy_id, order.key_id, &order.symbol)
            })
            .unwrap_or_default(),
        exposure,
        already_filled: order.filled_quantity,
        around: scene.view(),
        instrument,
        reference,
        stated_price: None,
        blind_quantity_max: None,
        orders_last_minute: scene.orders_last_minute(),
        now: book.now,
    };
    let intent = Intent {
        purpose,
        side: order.side,
        quantity,
        order_type: order.order_type,
        time_in_force: order.time_in_force,
        limit_price: change.limit_price.or(order.limit_price),
        stop_price: change.stop_price.or(order.stop_price),
    };
    let (cleared, used) = overrides::clear(intent, &context, book.overrides(), &mut Trace::new())?;
    if purpose == Purpose::Entry {
        notional_of_key(actor, instrument, cleared.intent(), reference.price(book.now))?;
    }
    Ok((cleared.limits_version(), used))
}
