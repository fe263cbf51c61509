//! The checks over a whole account: what it holds in all, what it may still owe, how much is open.

use super::{Context, Verdict, compare, reference_price};
use crate::code::{Code, Refusal};
use crate::exchange::Conversion;
use crate::limit::Limits;
use crate::money::{Money, Quantity, Round};
use crate::order::Purpose;
use crate::portfolio::Worth;
use crate::profit::Gap;
use crate::strategy::Intent;

/// What is on the order's account beside its own instrument. Only what a limit asks for is read; the
/// rest stays as it is by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// What everything else comes to, and what the order's own currency is worth in the account's.
    pub others: Option<Result<(Worth, Conversion), &'a Gap>>,
    /// A position of the account, or of the strategy, whose mark is too old to watch its losses.
    pub unmarked: Option<&'a Gap>,
    /// Cash and positions at their mark, by the broker's word of the last minute.
    pub equity: Option<Money>,
    /// Live and unknown orders of the account.
    pub open_orders: u64,
    /// Risk-increasing orders of the account in the last second.
    pub orders_last_second: u64,
    /// Entries of the same strategy on the same account, instrument and side in the last minute.
    pub repeated_entries: u64,
    /// The middle size of the strategy's newest entries in the instrument, if there are enough.
    pub usual_size: Option<Quantity>,
}

/// A check: its name in the trace, its limit, and the rule.
type Check = (&'static str, Option<i64>, fn(&Intent, &Context<'_>, i64) -> Verdict);

/// The checks that are made where somebody set their limit.
pub(super) const fn checks(limits: &Limits) -> [Check; 7] {
    [
        ("risk.max_gross_exposure", limits.max_gross_exposure, gross),
        ("risk.max_net_exposure", limits.max_net_exposure, net),
        ("risk.max_open_orders", limits.max_open_orders, open_orders),
        ("risk.max_orders_per_second", limits.max_orders_per_second, orders_per_second),
        ("risk.credit", limits.credit_percent, credit),
        ("risk.fat_finger", limits.max_size_multiple, fat_finger),
        ("risk.repeated_execution", limits.max_repeated_entries, repeated),
    ]
}

/// The account's worth with this order in it.
fn worth(intent: &Intent, context: &Context<'_>) -> Result<Worth, Refusal> {
    let stale = |detail: String| Refusal::because(Code::RiskReferenceStale, detail);
    let (others, conversion) = match context.around.others {
        Some(Ok(known)) => known,
        Some(Err(gap)) => {
            return Err(stale(format!("The account's exposure is not known: {gap}.")));
        }
        None => return Err(stale("The account's exposure was not counted.".to_owned())),
    };
    // As in the order's own value: what was asked must not make it look small.
    let asked = [intent.limit_price, intent.stop_price].into_iter().flatten();
    let price = asked.fold(reference_price(context)?, std::cmp::Ord::max);
    let mut own = context.exposure;
    let more = intent.quantity.saturating_minus(context.already_filled);
    own.reserve(Purpose::Entry, intent.side, more);
    Worth::of(&own, price, context.instrument, conversion)
        .and_then(|own| own.and(others))
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))
}

fn gross(intent: &Intent, context: &Context<'_>, limit: i64) -> Verdict {
    let worth = worth(intent, context)?;
    compare(Code::RiskMaxGrossExposure, worth.gross, Money::from_units(limit))
}

fn net(intent: &Intent, context: &Context<'_>, limit: i64) -> Verdict {
    let worth = worth(intent, context)?;
    compare(Code::RiskMaxNetExposure, worth.net(), Money::from_units(limit))
}

/// The gross exposure is held against the equity, in percent of it.
fn credit(intent: &Intent, context: &Context<'_>, percent: i64) -> Verdict {
    let equity = context.around.equity.ok_or_else(|| Refusal::plain(Code::RiskEquityStale))?;
    let worth = worth(intent, context)?;
    let allowed = equity
        .max(Money::ZERO)
        .ratio(percent, UNITS_PER_PERCENT, Round::Down)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(Code::RiskCredit, worth.gross, allowed)
}

/// Units of a limit in one whole: a hundred percent, each of 10^8.
const UNITS_PER_PERCENT: i64 = 100 * 100_000_000;

fn open_orders(_: &Intent, context: &Context<'_>, limit: i64) -> Verdict {
    count(Code::RiskMaxOpenOrders, context.around.open_orders, limit)
}

fn orders_per_second(_: &Intent, context: &Context<'_>, limit: i64) -> Verdict {
    count(Code::RiskMaxOrdersPerSecond, context.around.orders_last_second, limit)
}

fn repeated(_: &Intent, context: &Context<'_>, limit: i64) -> Verdict {
    count(Code::RiskRepeatedExecution, context.around.repeated_entries, limit)
}

/// Compares one more than there are.
fn count(code: Code, before: u64, limit: i64) -> Verdict {
    let with_this = before.checked_add(1).and_then(|count| i64::try_from(count).ok());
    let with_this = with_this
        .and_then(Quantity::from_whole)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(code, with_this, Quantity::from_units(limit))
}

/// The size is held against what is usual for its strategy; before anything is usual, it passes.
fn fat_finger(intent: &Intent, context: &Context<'_>, multiple: i64) -> Verdict {
    let Some(usual) = context.around.usual_size else { return Ok(None) };
    let allowed = usual
        .ratio(multiple, ONE, Round::Down)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(Code::RiskFatFinger, intent.quantity, allowed)
}

/// Units of a limit in one.
const ONE: i64 = 100_000_000;

/// Where losses are watched, a position that nobody marks must not grow another one beside it (S23).
pub(super) fn marked(context: &Context<'_>) -> Verdict {
    match context.around.unmarked {
        None => Ok(None),
        Some(gap) => Err(Refusal::because(
            Code::RiskMarkStale,
            format!("{} {gap}.", Code::RiskMarkStale.meaning()),
        )),
    }
}
