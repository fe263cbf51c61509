//! Placing an order, and closing a position, in one transaction each.

use super::reopen::{keep_closed, rolls_against};
use super::{resting, rests_until};
use crate::Engine;
use crate::Shared;
use crate::actor::Actor;
use crate::around::Judged;
use crate::attempt::tell_netted;
use crate::book::{Book, Ended, Lets, Scope, place_of};
use crate::command::error::{CommandError, OrderNo, invalid};
use crate::command::{OrderCreate, PositionClose};
use crate::effects::Effects;
use crate::free_text::{self, without_card_number};
use crate::journal::Urgency;
use crate::judge::{remove_entries, reserve, tell_dust};
use crate::once::{Claimed, OnceKey};
use crate::payload;
use crate::view::{ClosingView, OrderView};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::HaltSubject;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Price, Quantity, Round};
use tradewarden_domain::order::{
    Order, OrderState, OrderType, Purpose, Side, TAG_MAX, TimeInForce,
};
use tradewarden_domain::overrides;
use tradewarden_domain::risk;
use tradewarden_domain::strategy::{Intent, SEND_WITHIN_S_DEFAULT};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{NO_STRATEGY, Place};
use tradewarden_store::{Error, Tx, orders};

/// Orders that are alike within this span are one order too many (S17).
const ALIKE_SPAN: Duration = Duration::from_secs(2);

impl Engine {
    pub(crate) async fn create_order(
        &self,
        org: Id<id::Org>,
        new: OrderCreate,
        actor: &Actor,
        once: Option<&OnceKey>,
    ) -> Result<Claimed<Value>, CommandError> {
        let account = self.account_of(org, actor, &new.account_id)?;
        let wanted = Wanted::read(&account, new, actor, self.now())?;
        let (shared, by) = (Arc::clone(&self.parts), actor.clone());
        let place = async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            place(tx, &shared, &account, &wanted, &by, effects).await
        };
        self.carry_out_once(org, actor, once, place).await
    }

    /// Closes what is held on a pair: unsent entries are taken back, the others canceled, and each
    /// strategy's part is closed by an order of its own.
    pub(crate) async fn close_position(
        &self,
        org: Id<id::Org>,
        close: PositionClose,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let account = self.account_of(org, actor, &close.account)?;
        let symbol: Symbol = close.symbol.parse().map_err(|_| CommandError::NotFound)?;
        if actor.as_key().is_some_and(|key| !key.trades(&symbol)) {
            return Err(CommandError::NotFound);
        }
        let instrument = account.instruments.get(&symbol).ok_or(CommandError::NotFound)?.clone();
        let (shared, claimant) = (Arc::clone(&self.parts), actor.clone());
        let (account_id, wanted_symbol) = (account.id, symbol.clone());
        let closing = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if !claimant.begin(tx, shared.environment.now()).await? {
                    return Ok(None);
                }
                let closing =
                    close_all(tx, &shared, &account, &instrument, &symbol, &claimant, effects);
                closing.await.map(Some)
            })
            .await?;
        actor.carried_out(closing.is_some())?;
        let Closed { placed, canceled, rolls, .. } = closing.ok_or(CommandError::NotFound)??;
        if placed.is_empty() && canceled.is_empty() && rolls == Ended::None {
            return Err(OrderNo::of(Refusal::plain(Code::PositionFlat), None).into());
        }
        crate::command::error::to_value(&ClosingView {
            account_id,
            symbol: wanted_symbol,
            orders: placed.into_iter().map(OrderView::from).collect(),
            canceled,
        })
    }
}

/// An order that is asked for, as far as it can be judged without the database.
pub(super) struct Wanted {
    symbol: Symbol,
    side: Side,
    order_type: OrderType,
    pub(super) quantity: Quantity,
    limit_price: Option<Price>,
    stop_price: Option<Price>,
    time_in_force: TimeInForce,
    pub(super) reduce_only: bool,
    expires_at: Option<Timestamp>,
    tag: Option<String>,
    allow_repeat: bool,
    pub(super) strategy: Option<Id<id::Strategy>>,
}

impl Wanted {
    /// What a strategy, or nobody, wants at the market.
    pub(super) fn at_market(place: &Place, side: Side, quantity: Quantity) -> Self {
        Self {
            symbol: place.symbol.clone(),
            side,
            order_type: OrderType::Market,
            quantity,
            limit_price: None,
            stop_price: None,
            time_in_force: TimeInForce::Day,
            reduce_only: false,
            expires_at: None,
            tag: None,
            allow_repeat: true,
            strategy: (place.strategy_id != NO_STRATEGY).then_some(place.strategy_id),
        }
    }

    fn read(
        account: &Account,
        new: OrderCreate,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let symbol = free_text::symbol("symbol", &new.symbol)?;
        // One that cannot be traded is refused with the order, which is kept (C10).
        let instrument = account.instruments.get(&symbol);
        let (limit, stop) = match new.order_type {
            OrderType::Market => (false, false),
            OrderType::Limit => (true, false),
            OrderType::Stop => (false, true),
            OrderType::StopLimit => (true, true),
        };
        price("limit_price", new.limit_price, limit, instrument)?;
        price("stop_price", new.stop_price, stop, instrument)?;
        if !new.quantity.is_positive() {
            return Err(invalid("quantity", &"must be greater than zero"));
        }
        if new.expires_at.is_some_and(|at| at <= now) {
            return Err(invalid("expires_at", &"must be in the future"));
        }
        if let Some(tag) = &new.tag
            && (tag.is_empty()
                || tag.chars().count() > TAG_MAX
                || tag.chars().any(char::is_control))
        {
            return Err(invalid("tag", &"must be 1 to 64 printable characters"));
        }
        if let Some(tag) = &new.tag {
            without_card_number("tag", tag)?;
        }
        Ok(Self {
            symbol,
            side: new.side,
            order_type: new.order_type,
            quantity: new.quantity,
            limit_price: new.limit_price,
            stop_price: new.stop_price,
            time_in_force: new.time_in_force.unwrap_or(TimeInForce::Day),
            reduce_only: new.reduce_only,
            expires_at: new.expires_at,
            tag: new.tag,
            allow_repeat: new.allow_repeat,
            strategy: actor.as_key().and_then(|key| key.strategy_id),
        })
    }
}

pub(super) fn price(
    field: &'static str,
    price: Option<Price>,
    wanted: bool,
    instrument: Option<&Instrument>,
) -> Result<(), CommandError> {
    match (price, wanted) {
        (None, true) => Err(invalid(field, &"is required for this type of order")),
        (Some(_), false) => Err(invalid(field, &"does not belong to this type of order")),
        (Some(price), true) if !price.is_positive() => {
            Err(invalid(field, &"must be greater than zero"))
        }
        (Some(price), true) => match instrument.map(|instrument| instrument.tick) {
            Some(tick) if price.to_step(tick, Round::Down) != price => {
                Err(invalid(field, &format!("must be a multiple of the tick {tick}")))
            }
            _ => Ok(()),
        },
        (None, false) => Ok(()),
    }
}

async fn place(
    tx: &mut Tx<'_>,
    shared: &Shared,
    account: &Arc<Account>,
    wanted: &Wanted,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<Result<Order, OrderNo>, Error> {
    let mut scope = Scope::default();
    scope.add(account.org_id, account.id, &wanted.symbol);
    scope.lets = Lets::New;
    let mut book = Book::load(tx, shared, &scope).await?;
    let mut order = draft(shared, &book, account, wanted, actor);
    let rolls = rolls_against(&book, wanted, &mut order);
    if !wanted.allow_repeat && order.purpose == Purpose::Entry {
        let since = Id::new(book.now.minus(ALIKE_SPAN), [0; 10]);
        let alike = orders::like(tx, &order, since).await?.into_iter().find(|other| {
            other.state != OrderState::Refused
                && (other.limit_price, other.stop_price) == (order.limit_price, order.stop_price)
        });
        if let Some(first) = alike {
            let no = Refusal::plain(Code::DuplicateSuspect);
            return Ok(Err(OrderNo::of(no, Some(first.id))));
        }
    }
    let judged = judge(shared, &mut book, account, actor, &mut order);
    let judged = keep_closed(shared, &mut book, &rolls, wanted, (&order, actor), judged);
    let refusal = match judged {
        Ok(()) => {
            book.enter(
                shared,
                order.org_id,
                order.id,
                "order.accepted",
                payload::by(&order, &actor.name()),
            );
            reserve(&mut book, order.clone());
            None
        }
        Err(refusal) => {
            order.state = OrderState::Refused;
            order.code = Some(refusal.code);
            book.enter(
                shared,
                order.org_id,
                order.id,
                "order.refused",
                payload::by(&order, &actor.name()),
            );
            book.put_order(order.clone());
            if order.purpose == Purpose::Exit {
                book.exit_refused(&place_of(&order), &refusal);
            }
            Some(refusal)
        }
    };
    book.write(tx, effects).await?;
    Ok(match refusal {
        None => Ok(order),
        Some(refusal) => Err(OrderNo::of(refusal, Some(order.id))),
    })
}

pub(super) fn draft(
    shared: &Shared,
    book: &Book,
    account: &Account,
    wanted: &Wanted,
    actor: &Actor,
) -> Order {
    let (purpose, strategy) = purpose_of(book, account, wanted);
    let send_by = book.now.plus(Duration::from_secs(u64::from(SEND_WITHIN_S_DEFAULT)));
    let is_entry = purpose == Purpose::Entry;
    // An exit ends flat, superseded or by a person, never by time (S12).
    let expires_at = wanted.expires_at.filter(|_| is_entry).or_else(|| {
        let rests = is_entry && wanted.order_type != OrderType::Market;
        let directory = shared.directory.load();
        let of = strategy.and_then(|id| directory.strategies.get(&id));
        rests.then(|| rests_until(account, of.map(AsRef::as_ref), &wanted.symbol, book.now))
    });
    let send_by = expires_at.map_or(send_by, |expires_at| send_by.min(expires_at));
    Order {
        id: shared.environment.id(book.now),
        org_id: account.org_id,
        signal_id: None,
        account_id: account.id,
        strategy_id: strategy,
        key_id: actor.as_key().map(|key| key.id),
        tag: wanted.tag.clone(),
        symbol: wanted.symbol.clone(),
        side: wanted.side,
        order_type: wanted.order_type,
        time_in_force: wanted.time_in_force,
        quantity: wanted.quantity,
        limit_price: wanted.limit_price,
        stop_price: wanted.stop_price,
        purpose,
        state: OrderState::Accepted,
        code: None,
        filled_quantity: Quantity::ZERO,
        average_price: None,
        broker_order_id: None,
        cancel_requested: false,
        send_by: is_entry.then_some(send_by),
        expires_at,
        attempt_until: None,
        change: None,
        passes_halts: false,
        bracket: None,
        leg: None,
        // The version that it is judged by, also if that refuses it (C26).
        limits_version: book.limits.get(&account.org_id).map_or(0, |limits| limits.version()),
        created_at: book.now,
        updated_at: book.now,
    }
}

/// What an order is for, and to whose position it belongs. What can only reduce what is held is an
/// exit, whether the caller said so or not (S18). A caller who says so means whoever holds most.
fn purpose_of(
    book: &Book,
    account: &Account,
    wanted: &Wanted,
) -> (Purpose, Option<Id<id::Strategy>>) {
    let own = wanted.strategy.unwrap_or(NO_STRATEGY);
    let closable = |strategy: Id<id::Strategy>| {
        let place =
            Place { account_id: account.id, symbol: wanted.symbol.clone(), strategy_id: strategy };
        held(&book.exposure(&place), wanted.side)
    };
    if wanted.quantity <= closable(own) {
        return (Purpose::Exit, wanted.strategy);
    }
    if !wanted.reduce_only {
        return (Purpose::Entry, wanted.strategy);
    }
    if wanted.strategy.is_some() || closable(own).is_positive() {
        return (Purpose::Exit, wanted.strategy);
    }
    let holders = book.holders(account.id, &wanted.symbol);
    let most = holders.into_iter().max_by_key(|strategy| closable(*strategy));
    (Purpose::Exit, most.filter(|strategy| *strategy != NO_STRATEGY))
}

/// What an exit on `side` can still take off what has filled.
fn held(exposure: &Exposure, side: Side) -> Quantity {
    let (filled, leaving) = match side {
        Side::Sell => (exposure.quantity, exposure.exit_sell),
        Side::Buy => (exposure.quantity.negated(), exposure.exit_buy),
    };
    filled.saturating_minus(leaving).max(Quantity::ZERO)
}

/// Sizes the order to the instrument and the position, and lets risk judge it.
pub(super) fn judge(
    shared: &Shared,
    book: &mut Book,
    account: &Arc<Account>,
    actor: &Actor,
    order: &mut Order,
) -> Result<(), Refusal> {
    let Some(instrument) = account.instruments.get(&order.symbol) else {
        let detail = format!("{} cannot be traded on account {}.", order.symbol, account.id);
        return Err(Refusal::because(Code::RiskUnknownInstrument, detail));
    };
    actor.trades(&order.symbol)?;
    let is_exit = order.purpose == Purpose::Exit;
    if !is_exit && !book.is_active(account.id) {
        return Err(Refusal::plain(Code::AccountOff));
    }
    if is_exit {
        let net = book.pair_exposure(account.id, &order.symbol).net_closable(order.side);
        let held = resting::without_asked_back(book, &place_of(order), order.side);
        let closable = held.closable(order.side).min(net);
        order.quantity = order.quantity.min(closable);
        if !order.quantity.is_positive() {
            return Err(Refusal::plain(Code::PositionFlat));
        }
    } else if instrument.entry_quantity(order.quantity) != order.quantity
        || order.quantity < instrument.quantity_min
    {
        return Err(Refusal::over(
            Code::SizingUnusableQuantity,
            order.quantity,
            format_args!("multiples of {}, from {}", instrument.lot, instrument.quantity_min),
        ));
    }
    let reference = shared.market.reference(account, &order.symbol, book.now);
    let limits = book
        .limits
        .get(&order.org_id)
        .map(|limits| limits.tightest(account.id, order.strategy_id, order.key_id, &order.symbol));
    let strategy = crate::book::strategy(shared, order.strategy_id);
    let rolls = crate::book::rolls(shared, order.org_id);
    let mut scene =
        book.scene(shared, account, (&place_of(order), order.key_id), order.side, Judged::New);
    let mut limits = limits.unwrap_or_default();
    shared.heed_crowd(order.org_id, &mut limits, &mut scene);
    let context = risk::Context {
        halts: &book.halts,
        subject: HaltSubject {
            org: order.org_id,
            account: account.id,
            strategy: order.strategy_id,
            webhook: None,
            key: order.key_id,
            symbol: &order.symbol,
            passes_halts: order.passes_halts,
        },
        contract: rolls.contract(&order.symbol),
        schedule: strategy.as_ref().and_then(|strategy| strategy.schedule.as_ref()),
        limits,
        exposure: book.pair_exposure(account.id, &order.symbol),
        already_filled: Quantity::ZERO,
        around: scene.view(),
        instrument,
        reference,
        stated_price: None,
        blind_quantity_max: None,
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
    let cleared = overrides::clear(intent, &context, book.overrides(), &mut Trace::new());
    let (cleared, used) = cleared?;
    order.limits_version = cleared.limits_version();
    if is_exit {
        return Ok(());
    }
    notional_of_key(actor, instrument, cleared.intent(), reference.price(book.now))?;
    book.use_overrides(shared, &used, order);
    Ok(())
}

/// What a key may risk with one order.
pub(crate) fn notional_of_key(
    actor: &Actor,
    instrument: &Instrument,
    intent: &Intent,
    reference: Option<Price>,
) -> Result<(), Refusal> {
    let Some(allowed) = actor.as_key().and_then(|key| key.max_notional) else { return Ok(()) };
    let asked = [intent.limit_price, intent.stop_price].into_iter().flatten();
    let price = asked.chain(reference).max().unwrap_or_default();
    match price.notional(intent.quantity, instrument.point_value) {
        Some(value) if value <= allowed => Ok(()),
        Some(value) => Err(Refusal::over(Code::KeyMaxNotional, value, allowed)),
        None => Err(Refusal::plain(Code::RiskWorthTooLarge)),
    }
}

/// What closes a position, and which entries and resting exits were taken back for it.
#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) placed: Vec<Order>,
    pub(crate) canceled: Vec<Id<id::Order>>,
    /// Something is held that others hold as much against: it cannot be closed.
    pub(crate) is_netted: bool,
    /// See [`Order::passes_halts`].
    pub(crate) passes_halts: bool,
    /// What was on its way to another month stays closed.
    pub(crate) rolls: Ended,
}

/// What of a position leaves at the market.
pub(crate) struct Leaving<'p> {
    pub(crate) place: &'p Place,
    pub(crate) side: Side,
    pub(crate) quantity: Quantity,
    /// See [`Order::passes_halts`].
    pub(crate) passes_halts: bool,
    /// Who wants it, for the record.
    pub(crate) by: String,
}

type Closing = Result<Closed, CommandError>;

async fn close_all(
    tx: &mut Tx<'_>,
    shared: &Shared,
    account: &Arc<Account>,
    instrument: &Instrument,
    symbol: &Symbol,
    actor: &Actor,
    effects: &mut Effects,
) -> Result<Closing, Error> {
    let mut scope = Scope::default();
    scope.add(account.org_id, account.id, symbol);
    scope.pairs_with_live_orders.insert((account.id, symbol.clone()));
    let mut book = Book::load(tx, shared, &scope).await?;
    // Under every halt, a person with a fresh factor closes at once (S20).
    let passes_halts = actor.fresh(book.now).is_ok();
    let (pair, before) = ((account.id, None), book.clone());
    let rolls = book.end_rolls_to_come(shared, pair, symbol, "it was closed");
    let mut closed = Closed { passes_halts, rolls, ..Closed::default() };
    for strategy in book.holders(account.id, symbol) {
        let place = Place { account_id: account.id, symbol: symbol.clone(), strategy_id: strategy };
        let part = close_part(shared, &mut book, account, instrument, &place, actor, &mut closed);
        if let Err(refusal) = part {
            let mut book = before;
            book.exit_refused(&place, &refusal);
            book.write(tx, effects).await?;
            return Ok(Err(OrderNo::of(refusal, None).into()));
        }
    }
    book.write(tx, effects).await?;
    Ok(Ok(closed))
}

/// Closes one strategy's part of a position: its unsent entries are taken back, the others asked
/// back, and so are the exits that rest (S4); what is held leaves at the market. The live orders of
/// the pair must be loaded.
pub(crate) fn close_part(
    shared: &Shared,
    book: &mut Book,
    account: &Arc<Account>,
    instrument: &Instrument,
    place: &Place,
    actor: &Actor,
    closed: &mut Closed,
) -> Result<(), Refusal> {
    let pair = (place.account_id, Some(place.strategy_id));
    if book.end_rolls_to_come(shared, pair, &place.symbol, "it was closed") == Ended::Some {
        closed.rolls = Ended::Some;
    }
    let entries = book.live_orders(place).into_iter();
    let entries = entries.filter(|order| order.purpose == Purpose::Entry).map(|order| order.id);
    closed.canceled.extend(entries);
    remove_entries(shared, book, place, &[Side::Buy, Side::Sell]);
    for side in [Side::Sell, Side::Buy] {
        closed.canceled.extend(resting::take_back(shared, book, place, side));
        let closable = resting::without_asked_back(book, place, side).closable(side);
        if !closable.is_positive() {
            continue;
        }
        if instrument.is_dust(closable) {
            tell_dust(shared, book, place, account.org_id, (instrument, closable));
            continue;
        }
        let quantity = instrument.exit_quantity(closable, closable);
        let (passes_halts, by) = (closed.passes_halts, actor.name());
        let leaving = Leaving { place, side, quantity, passes_halts, by };
        let left = match leave(shared, book, account, &leaving, actor) {
            Ok(order) => {
                let left = quantity.saturating_minus(order.quantity);
                closed.placed.push(order);
                left
            }
            Err(no) if no.code == Code::PositionFlat => quantity,
            Err(no) => return Err(no),
        };
        if left.is_positive() {
            closed.is_netted = true;
            tell_netted(shared, book, place, account.org_id, left);
        }
    }
    Ok(())
}

/// Journals the order with which something leaves a position at the market.
pub(crate) fn leave(
    shared: &Shared,
    book: &mut Book,
    account: &Arc<Account>,
    leaving: &Leaving<'_>,
    actor: &Actor,
) -> Result<Order, Refusal> {
    let Leaving { place, side, quantity, passes_halts, by } = leaving;
    let wanted = Wanted { reduce_only: true, ..Wanted::at_market(place, *side, *quantity) };
    let mut order = draft(shared, book, account, &wanted, actor);
    order.purpose = Purpose::Exit;
    order.strategy_id = wanted.strategy;
    (order.send_by, order.expires_at) = (None, None);
    order.passes_halts = *passes_halts;
    judge(shared, book, account, actor, &mut order)?;
    book.enter(shared, order.org_id, order.id, "order.accepted", payload::by(&order, by));
    reserve(book, order.clone());
    Ok(order)
}
