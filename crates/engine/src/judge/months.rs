//! Continuous symbols: which month contracts a signal is about (S11).
//!
//! What closes, closes every month of the root that the strategy holds; what opens, opens in the
//! front month. What is on its way from one month to the next is held in neither for a moment, and counts
//! as held: what closes, closes of that too.

use super::follow::{Part, follow, refuse, tell_refused_exit};
use crate::Shared;
use crate::book::Book;
use crate::signal::SignalWork;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Class, Code, Refusal};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::roll::Continuous;
use tradewarden_domain::signal::{Action, Comment, Percent, QuantityField, Signal};
use tradewarden_domain::strategy::{Pyramiding, Shares, Sizing};
use tradewarden_store::auto_rolls::AutoRoll;

type Followed = Result<Vec<Id<id::Order>>, Refusal>;

/// What one strategy makes of a signal on one account, in every month it is about.
pub(super) fn follow_months(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    part: Part<'_>,
    trace: &mut Trace,
) -> Followed {
    let strategy = part.strategy;
    let symbol = match strategy.symbol_for(signal) {
        Ok(symbol) => symbol,
        Err(refusal) => {
            if signal.only_reduces() {
                tell_refused_exit(shared, book, work, part, &strategy.symbol, &refusal);
            }
            return refuse(trace, "strategy", refusal);
        }
    };
    let table = book.rolls(strategy.org_id);
    let continuous = Continuous::of(&symbol).filter(|found| !table.months(&found.root).is_empty());
    let Some(continuous) = continuous else {
        return follow(shared, book, work, signal, (part, None), &symbol, trace);
    };
    let front = table.front(&continuous, book.now).map(|contract| contract.symbol.clone());
    let held: Vec<(Symbol, Exposure)> = table
        .months(&continuous.root)
        .iter()
        .map(|month| (month.symbol.clone(), book.exposure(&part.place(&month.symbol))))
        .filter(|(_, exposure)| is_held(exposure))
        .collect();
    let months: Vec<Symbol> =
        table.months(&continuous.root).iter().map(|month| month.symbol.clone()).collect();
    let rolls = book.rolls_to_come(part.account_id, Some(strategy.id), &months);
    let rolling = rolls.first().map(|roll| roll.side);
    let mut all = |signal: &Signal, trace: &mut Trace| {
        let held = held.iter().map(|(symbol, _)| symbol);
        let mut shares = Shares::of(strategy, signal);
        let outcome = close(shared, book, work, signal, (part, shares.as_mut()), held, trace);
        close_rolling(shared, book, signal, (part, shares), &rolls, outcome, trace)
    };
    if signal.is_exit() {
        return all(signal, trace);
    }
    let elsewhere: Vec<_> =
        held.iter().filter(|(symbol, _)| Some(symbol) != front.as_ref()).collect();
    if let Some(side) = side_of(signal)
        && (!elsewhere.is_empty() || rolling.is_some())
    {
        let projected = elsewhere
            .iter()
            .fold(Quantity::ZERO, |sum, (_, held)| sum.saturating_plus(held.projected()));
        let is_along =
            rolling.map_or(side.signed(projected).is_positive(), |rolling| rolling == side);
        if is_along {
            if signal.only_reduces() {
                return refuse(trace, "strategy", Refusal::plain(Code::StrategyWrongSide));
            }
            // A target says nothing about months, so what is held elsewhere would come on top.
            if strategy.pyramiding == Pyramiding::Ignore || strategy.sizing == Sizing::Target {
                let code = match side {
                    Side::Buy => Code::StrategyAlreadyLong,
                    Side::Sell => Code::StrategyAlreadyShort,
                };
                return refuse(trace, "strategy", Refusal::plain(code));
            }
        } else {
            // It closes the old months; the entry of a reversal would not wait for that (S5).
            trace.skip("roll", "a signal against an old month closes, and opens nothing");
            let closing = Signal {
                comment: Comment::Exit(Percent::FULL),
                quantity: QuantityField::Absent,
                ..signal.clone()
            };
            return all(&closing, trace);
        }
    }
    let Some(front) = front else {
        if signal.only_reduces() {
            return refuse(trace, "strategy", Refusal::plain(Code::StrategyFlat));
        }
        let detail = format!("The roll table has no month ahead for {symbol}.");
        return refuse(trace, "roll", Refusal::because(Code::RiskRollUnresolved, detail));
    };
    trace.pass_with("roll", format!("{symbol} is {front}"), None);
    follow(shared, book, work, signal, (part, None), &front, trace)
}

/// Closes in each of these months, in the order of their expiry; a stated quantity is for all of
/// them together, and so is a percentage.
fn close<'a>(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    (part, mut shares): (Part<'_>, Option<&mut Shares>),
    months: impl Iterator<Item = &'a Symbol>,
    trace: &mut Trace,
) -> Followed {
    let (mut orders, mut done, mut first_no) = (Vec::new(), false, None);
    let mut signal = signal.clone();
    for month in months {
        trace.pass_with("roll", format!("closes {month}"), None);
        let of = (part, shares.as_deref_mut());
        match follow(shared, book, work, &signal, of, month, trace) {
            Ok(made) => {
                done = true;
                let closed = ordered(book, &made);
                orders.extend(made);
                if let (Sizing::Payload, QuantityField::Given(wanted), Comment::None) =
                    (part.strategy.sizing, &signal.quantity, &signal.comment)
                {
                    let rest = wanted.saturating_minus(closed);
                    if !rest.is_positive() {
                        break;
                    }
                    signal.quantity = QuantityField::Given(rest);
                }
            }
            // What could not be closed is told before what there was nothing to close of.
            Err(no) if no.code.class() == Class::Skip => {
                first_no.get_or_insert(no);
            }
            Err(no) => first_no = Some(no),
        }
    }
    match first_no {
        Some(no) if !done => Err(no),
        None if !done => refuse(trace, "strategy", Refusal::plain(Code::StrategyFlat)),
        _ => Ok(orders),
    }
}

/// What closes, closes its part of what is on its way to another month, whose entry is as good as queued:
/// then there was something to do, though nothing may be held at this moment (S1). A refused exit closes
/// nothing of it.
fn close_rolling(
    shared: &Shared,
    book: &mut Book,
    signal: &Signal,
    (part, mut shares): (Part<'_>, Option<Shares>),
    rolls: &[AutoRoll],
    outcome: Followed,
    trace: &mut Trace,
) -> Followed {
    let made = match outcome {
        Ok(made) => made,
        Err(no) if no.code.class() != Class::Skip => return Err(no),
        Err(no) if rolls.iter().all(|roll| side_of(signal) == Some(roll.side)) => return Err(no),
        Err(_) => Vec::new(),
    };
    let mut rest = match (part.strategy.sizing, &signal.quantity, &signal.comment) {
        (Sizing::Payload, QuantityField::Given(wanted), Comment::None) => {
            Some(wanted.saturating_minus(ordered(book, &made)))
        }
        _ => None,
    };
    for roll in rolls.iter().filter(|roll| side_of(signal) != Some(roll.side)) {
        let left = roll.to_open();
        let account = crate::book::account(shared, part.account_id);
        let instrument = account.as_ref().and_then(|of| of.instruments.get(&roll.place.symbol));
        let quantity = match (instrument, &mut shares, rest) {
            (_, _, Some(rest)) if !rest.is_positive() => continue,
            (None, _, _) | (Some(_), None, None) => left,
            (Some(of), _, Some(rest)) => of.exit_quantity(rest, left),
            (Some(of), Some(shares), None) => shares.next(roll.side.opposite(), left, of),
        };
        if !quantity.is_positive() {
            continue;
        }
        book.keep_closed(shared, roll, quantity, "an exit");
        rest = rest.map(|rest| rest.saturating_minus(quantity));
        trace.pass_with("roll", format!("{quantity} of what was rolling stays closed"), None);
    }
    Ok(made)
}

/// What these new orders are for, together.
fn ordered(book: &Book, orders: &[Id<id::Order>]) -> Quantity {
    orders
        .iter()
        .filter_map(|id| book.changed_order(*id))
        .fold(Quantity::ZERO, |sum, order| sum.saturating_plus(order.quantity))
}

/// Whether there is something to close or to take back.
fn is_held(exposure: &Exposure) -> bool {
    let slots = [exposure.entry_buy, exposure.entry_sell, exposure.exit_buy, exposure.exit_sell];
    !exposure.quantity.is_zero() || slots.iter().any(|slot| slot.is_positive())
}

pub(super) const fn side_of(signal: &Signal) -> Option<Side> {
    match signal.action {
        Action::Buy => Some(Side::Buy),
        Action::Sell => Some(Side::Sell),
        Action::Exit => None,
    }
}
