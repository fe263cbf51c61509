//! Opening in a month what was closed in the one before (S11): the entry of no signal, through every
//! check that a signal's passes; and orders by request that close what is on its way there.

use super::place::{Wanted, draft, judge};
use crate::Shared;
use crate::actor::Actor;
use crate::attempt::subject_of;
use crate::book::Book;
use crate::judge::reserve;
use crate::payload;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::halt::HaltSubject;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{Order, Purpose, Side};
use tradewarden_domain::risk;
use tradewarden_domain::strategy::{Intent, ShortSelling, Strategy};
use tradewarden_store::auto_rolls::AutoRoll;
use tradewarden_store::exposures::Place;

/// What is to be opened.
pub(crate) struct Reopening<'r> {
    /// Whose it is, in the new month.
    pub(crate) place: &'r Place,
    /// The strategy of that place.
    pub(crate) strategy: &'r Strategy,
    pub(crate) side: Side,
    pub(crate) quantity: Quantity,
    /// Who wants it, for the record.
    pub(crate) by: &'r str,
}

/// Journals the entry at the market, protected by the strategy's own distances.
pub(crate) fn reopen(
    shared: &Shared,
    book: &mut Book,
    account: &Arc<Account>,
    reopening: &Reopening<'_>,
) -> Result<Order, Refusal> {
    let Reopening { place, strategy, side, quantity, by } = *reopening;
    if side.opposite().signed(book.exposure(place).projected()).is_positive() {
        let detail = format!("The strategy holds the other side in {}.", place.symbol);
        return Err(Refusal::because(Code::StrategyOpenPosition, detail));
    }
    if side == Side::Sell && strategy.short_selling == ShortSelling::Ignore {
        let detail = "The strategy opens nothing short.";
        return Err(Refusal::because(Code::StrategyFlat, detail));
    }
    let actor = Actor::operator();
    let wanted = Wanted::at_market(place, side, quantity);
    let mut order = draft(shared, book, account, &wanted, &actor);
    order.purpose = Purpose::Entry;
    let send_within = Duration::from_secs(u64::from(strategy.send_within_s));
    (order.send_by, order.expires_at) = (Some(book.now.plus(send_within)), None);
    // Whose signals its strategy follows may be halted, which an order of no signal does not name.
    let subject = HaltSubject { key: strategy.source.key(), ..subject_of(shared, &order) };
    if let Some(no) = risk::halted(&book.halts, Purpose::Entry, &subject) {
        return Err(no);
    }
    let intent = Intent {
        purpose: order.purpose,
        side: order.side,
        quantity: order.quantity,
        order_type: order.order_type,
        time_in_force: order.time_in_force,
        limit_price: order.limit_price,
        stop_price: order.stop_price,
    };
    let price = shared.market.reference(account, &place.symbol, book.now).price(book.now);
    let instrument = account.instruments.get(&place.symbol);
    let tick = instrument.map_or(Price::ZERO, |instrument| instrument.tick);
    order.bracket = strategy.own_levels(&intent, (price, tick))?;
    judge(shared, book, account, &actor, &mut order)?;
    book.enter(shared, order.org_id, order.id, "order.accepted", payload::by(&order, by));
    reserve(book, order.clone());
    Ok(order)
}

/// What is on its way to another month and would be closed by the order if it was held: what it reduces
/// by its own words, and what its own strategy holds. Then it opens nothing itself (S1).
pub(super) fn rolls_against(book: &Book, wanted: &Wanted, order: &mut Order) -> Vec<AutoRoll> {
    if !wanted.reduce_only && wanted.strategy.is_none() {
        return Vec::new();
    }
    let months = std::slice::from_ref(&order.symbol);
    let mut rolls = book.rolls_to_come(order.account_id, wanted.strategy, months);
    rolls.retain(|roll| roll.side == order.side.opposite());
    if !rolls.is_empty() {
        order.purpose = Purpose::Exit;
        (order.send_by, order.expires_at) = (None, None);
    }
    rolls
}

/// Where less is held than the order closes, the rest of it stays closed of what is on its way.
pub(super) fn keep_closed(
    shared: &Shared,
    book: &mut Book,
    rolls: &[AutoRoll],
    wanted: &Wanted,
    (order, actor): (&Order, &Actor),
    judged: Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (mut rest, strategy) = match &judged {
        Ok(()) => (wanted.quantity.saturating_minus(order.quantity), order.strategy_id),
        Err(no) if no.code == Code::PositionFlat => (wanted.quantity, None),
        Err(_) => return judged,
    };
    let mut all = Quantity::ZERO;
    for roll in rolls.iter().filter(|roll| strategy.is_none_or(|of| of == roll.place.strategy_id)) {
        let quantity = rest.min(roll.to_open());
        if quantity.is_positive() {
            book.keep_closed(shared, roll, quantity, &actor.name());
            rest = rest.saturating_minus(quantity);
            all = all.saturating_plus(quantity);
        }
    }
    judged.map_err(|no| {
        if all.is_zero() {
            return no;
        }
        let detail =
            format!("{} {all} of what was on its way to another month stays closed.", no.detail);
        Refusal { detail, ..no }
    })
}
