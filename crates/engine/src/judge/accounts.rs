//! The accounts of a strategy (S10): the leader's first, then those that follow it, each judged and
//! sized by its own position. What becomes of one stops no other, unless the strategy says so, and
//! never an exit.

use super::follow::{Part, refuse};
use super::months::{follow_months, side_of};
use crate::Shared;
use crate::book::Book;
use crate::effects::Severity;
use crate::signal::{AccountResult, SignalOutcome, SignalStatus, SignalWork};
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Class, Code, Refusal};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::signal::Signal;
use tradewarden_domain::strategy::{Strategy, StrategyState};

/// What became of a signal on one account, and the no if there was one.
pub(super) type Judged = (AccountResult, Option<Refusal>);

/// Judges a signal on every account of a strategy.
pub(super) fn on_accounts(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    strategy: &Strategy,
    trace: &mut Trace,
) -> Vec<Judged> {
    let leader = Part { strategy, account_id: strategy.account_id };
    // As it is before the signal moves it.
    let led = held_side(book, leader, signal);
    let mut judged: Vec<Judged> = Vec::with_capacity(strategy.followers.len().saturating_add(1));
    for account_id in strategy.accounts() {
        let part = Part { strategy, account_id };
        if !strategy.followers.is_empty() {
            trace.pass_with("account", account_id.to_string(), None);
        }
        let leader_result = judged.first().map(|(result, _)| result.result);
        let outcome = match leader_result {
            _ if work.holds_card_number => {
                let no = ("card_number", Code::TextCardNumber);
                only_closing(shared, book, work, signal, part, no, trace)
            }
            Some(_) if missed(book, part, signal, led) => {
                refuse(trace, "strategy", Refusal::plain(Code::StrategyFollowerFlat))
            }
            Some(SignalStatus::Refused) if strategy.require_leader => {
                let no = ("leader", Code::StrategyLeaderRefused);
                only_closing(shared, book, work, signal, part, no, trace)
            }
            None | Some(_) => follow_months(shared, book, work, signal, part, trace),
        };
        judged.push(result_of(part, outcome));
    }
    judged
}

fn result_of(part: Part<'_>, outcome: Result<Vec<Id<id::Order>>, Refusal>) -> Judged {
    let (account_id, strategy_id) = (part.account_id, part.strategy.id);
    match outcome {
        Ok(order_ids) => {
            let order_id = order_ids.last().copied();
            let result = SignalStatus::Accepted;
            let code = None;
            (AccountResult { account_id, strategy_id, result, code, order_id, order_ids }, None)
        }
        Err(no) => {
            let skip = no.code.class() == Class::Skip;
            let result = if skip { SignalStatus::Skipped } else { SignalStatus::Refused };
            let (code, order_id, order_ids) = (Some(no.code), None, Vec::new());
            (AccountResult { account_id, strategy_id, result, code, order_id, order_ids }, Some(no))
        }
    }
}

/// Whether the signal adds to what the leader holds and this account does not: it would buy into a
/// trade that it missed.
fn missed(book: &Book, part: Part<'_>, signal: &Signal, led: Option<Side>) -> bool {
    let adds = led.is_some() && led == side_of(signal) && !signal.is_exit();
    adds && held_side(book, part, signal).is_none()
}

/// The side of what an account holds for the strategy, of all months together; what is live counts.
fn held_side(book: &Book, part: Part<'_>, signal: &Signal) -> Option<Side> {
    let symbol = part.strategy.symbol_for(signal).ok()?;
    let projected = book
        .rolls(part.strategy.org_id)
        .spread(&symbol)
        .iter()
        .map(|symbol| book.exposure(&part.place(symbol)).projected())
        .fold(Quantity::ZERO, Quantity::saturating_plus);
    match projected.units() {
        0 => None,
        1.. => Some(Side::Buy),
        _ => Some(Side::Sell),
    }
}

/// What an account makes of a signal that may only close, with the check and the code by which its
/// entry is refused.
fn only_closing(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    part: Part<'_>,
    (check, code): (&'static str, Code),
    trace: &mut Trace,
) -> Result<Vec<Id<id::Order>>, Refusal> {
    if part.strategy.state != StrategyState::On {
        return follow_months(shared, book, work, signal, part, trace);
    }
    let closing = Strategy { state: StrategyState::ExitsOnly, ..part.strategy.clone() };
    let part = Part { strategy: &closing, ..part };
    match follow_months(shared, book, work, signal, part, trace) {
        Err(no) if no.code == Code::StrategyExitsOnly => refuse(trace, check, Refusal::plain(code)),
        outcome => outcome,
    }
}

/// Tells a person that the accounts of a strategy no longer do the same, once for each source in a
/// quarter of an hour. A refused exit is told by itself, account by account, until a person has seen it.
pub(super) fn tell_mixed(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    outcome: &SignalOutcome,
) {
    for of_one in outcome.accounts.chunk_by(|one, next| one.strategy_id == next.strategy_id) {
        let accepts = |part: &AccountResult| part.result == SignalStatus::Accepted;
        let refuses = |part: &AccountResult| {
            part.result == SignalStatus::Refused && !super::is_told_exit(book, work, part)
        };
        let Some(first) = of_one.first() else { continue };
        if !of_one.iter().any(accepts) || !of_one.iter().any(refuses) {
            continue;
        }
        if !shared.alerts.is_first(work.source.to_string(), MIXED, work.signal_id, book.now) {
            continue;
        }
        let of = |part: &AccountResult| {
            let code = part.code.map_or("", Code::text);
            format!("{} {} {code}", part.account_id, part.result.text()).trim_end().to_owned()
        };
        let all: Vec<_> = of_one.iter().map(of).collect();
        let (signal, all) = (work.signal_id, all.join("; "));
        let detail = format!("The accounts of the strategy part ways at {signal}: {all}.");
        let subject = first.strategy_id.to_string();
        book.find(shared, work.org_id, MIXED, Severity::Warning, subject, detail);
    }
}

/// Tells a person of an exit for the side that is not held, whatever the other accounts made of it
/// (S6).
pub(super) fn tell_wrong_side(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    strategy: &Strategy,
    judged: &[Judged],
) {
    let code = Code::StrategyWrongSide;
    for (result, _) in judged.iter().filter(|(result, _)| result.code == Some(code)) {
        let subject = format!("{} {}", strategy.id, result.account_id);
        let detail = format!("{}: {}", work.signal_id, code.meaning());
        book.find(shared, strategy.org_id, code.text(), Severity::Warning, subject, detail);
    }
}

/// The finding of accounts that part ways.
const MIXED: &str = "strategy.mixed_result";
