//! The checks over a whole account: what it holds in all, what it may still owe, how much is open.

use super::{Context, RiskCheck, Verdict, compare, worst_position, worst_price};
use crate::code::{Code, Refusal};
use crate::exchange::Conversion;
use crate::limit::{ByLevel, LimitLevel, Limits};
use crate::loss::{LossKind, Lost};
use crate::money::{Money, Quantity, Round};
use crate::order::Purpose;
use crate::portfolio::Worth;
use crate::profit::Gap;
use crate::strategy::Intent;
use std::cell::OnceCell;

/// What is on the order's account beside its own instrument. Only what a limit asks for is read; the
/// rest stays as it is by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// What everything else comes to, and what the order's own currency is worth in the account's.
    pub others: Option<Result<(Worth, Conversion), &'a Gap>>,
    /// Why the losses of the account, or of the strategy, cannot be watched: a position whose mark is
    /// too old, or an equity that was not heard.
    pub unmarked: Option<&'a Gap>,
    /// What is lost by now of what the account and the order's strategy may lose.
    pub losses: &'a [Lost],
    /// Cash and positions at their mark, by the broker's word of the last minute.
    pub equity: Option<Money>,
    /// Live and unknown orders, at each level that has a limit.
    pub open_orders: ByLevel<u64>,
    /// Risk-increasing orders and changes in the last second, at each level that has a limit.
    pub orders_last_second: ByLevel<u64>,
    /// Entries of the same strategy on the same account, instrument and side in the last minute.
    pub repeated_entries: u64,
    /// The middle size of the strategy's newest entries in the instrument, if there are enough.
    pub usual_size: Option<Quantity>,
}

/// An order among everything that its account holds.
pub(super) struct Whole<'a> {
    intent: &'a Intent,
    context: &'a Context<'a>,
    /// The account's worth with this order in it, once for all that ask.
    worth: OnceCell<Result<Worth, Refusal>>,
}

impl<'a> Whole<'a> {
    pub(super) const fn of(intent: &'a Intent, context: &'a Context<'a>) -> Self {
        Self { intent, context, worth: OnceCell::new() }
    }

    fn worth(&self) -> Result<Worth, Refusal> {
        self.worth.get_or_init(|| worth(self.intent, self.context)).clone()
    }
}

/// A check, its limit, and the rule.
type Check = (RiskCheck, Option<i64>, fn(&Whole<'_>, i64) -> Verdict);

/// The checks that are made where somebody set their limit.
pub(super) fn checks(limits: &Limits) -> [Check; 8] {
    [
        (RiskCheck::PositionNotional, limits.max_position_notional, position_notional),
        (RiskCheck::GrossExposure, limits.max_gross_exposure, gross),
        (RiskCheck::NetExposure, limits.max_net_exposure, net),
        (RiskCheck::OpenOrders, limits.max_open_orders.least(), open_orders),
        (RiskCheck::OrdersPerSecond, limits.max_orders_per_second.least(), orders_per_second),
        (RiskCheck::Credit, limits.credit_percent, credit),
        (RiskCheck::FatFinger, limits.max_size_multiple, fat_finger),
        (RiskCheck::RepeatedExecution, limits.max_repeated_entries, repeated),
    ]
}

fn position_notional(whole: &Whole<'_>, limit: i64) -> Verdict {
    let Whole { intent, context, .. } = whole;
    let (worst, price) = (worst_position(intent, context)?, worst_price(intent, context)?);
    let value = price
        .notional(worst, context.instrument.point_value)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(Code::RiskMaxPositionNotional, value, Money::from_units(limit))
}

fn worth(intent: &Intent, context: &Context<'_>) -> Result<Worth, Refusal> {
    let stale = |detail: String| Refusal::because(Code::RiskReferenceStale, detail);
    let (others, conversion) = match context.around.others {
        Some(Ok(known)) => known,
        Some(Err(gap)) => {
            return Err(stale(format!("The account's exposure is not known: {gap}.")));
        }
        None => return Err(stale("The account's exposure was not counted.".to_owned())),
    };
    let price = worst_price(intent, context)?;
    let mut own = context.exposure;
    let more = intent.quantity.saturating_minus(context.already_filled);
    own.reserve(Purpose::Entry, intent.side, more);
    Worth::of(&own, price, context.instrument, conversion)
        .and_then(|own| own.and(others))
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))
}

fn gross(whole: &Whole<'_>, limit: i64) -> Verdict {
    let worth = whole.worth()?;
    compare(Code::RiskMaxGrossExposure, worth.gross, Money::from_units(limit))
}

fn net(whole: &Whole<'_>, limit: i64) -> Verdict {
    let worth = whole.worth()?;
    compare(Code::RiskMaxNetExposure, worth.net(), Money::from_units(limit))
}

/// The gross exposure is held against the equity, in percent of it.
fn credit(whole: &Whole<'_>, percent: i64) -> Verdict {
    let equity = whole.context.around.equity;
    let equity = equity.ok_or_else(|| Refusal::plain(Code::RiskEquityStale))?;
    let worth = whole.worth()?;
    let allowed = equity
        .max(Money::ZERO)
        .ratio(percent, UNITS_PER_PERCENT, Round::Down)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(Code::RiskCredit, worth.gross, allowed)
}

/// Units of a limit in one whole: a hundred percent, each of 10^8.
const UNITS_PER_PERCENT: i64 = 100 * 100_000_000;

fn open_orders(whole: &Whole<'_>, _: i64) -> Verdict {
    let Context { around, limits, .. } = whole.context;
    count_at_levels(Code::RiskMaxOpenOrders, &around.open_orders, &limits.max_open_orders)
}

fn orders_per_second(whole: &Whole<'_>, _: i64) -> Verdict {
    let Context { around, limits, .. } = whole.context;
    let limits = &limits.max_orders_per_second;
    count_at_levels(Code::RiskMaxOrdersPerSecond, &around.orders_last_second, limits)
}

fn repeated(whole: &Whole<'_>, limit: i64) -> Verdict {
    count(Code::RiskRepeatedExecution, whole.context.around.repeated_entries, limit)
}

/// Compares one more than there are.
fn count(code: Code, before: u64, limit: i64) -> Verdict {
    compare(code, one_more(before)?, Quantity::from_units(limit))
}

/// Compares one more than there are at each level with the limit there. The one that has the least
/// room is told.
pub(super) fn count_at_levels(
    code: Code,
    before: &ByLevel<u64>,
    limits: &ByLevel<Option<i64>>,
) -> Verdict {
    let mut least: Option<(Quantity, LimitLevel, Quantity, Quantity)> = None;
    for level in LimitLevel::ALL {
        let Some(limit) = limits.at(*level).map(Quantity::from_units) else { continue };
        let with_this = one_more(before.at(*level))?;
        let room = limit.saturating_minus(with_this);
        if least.is_none_or(|(found, ..)| room < found) {
            least = Some((room, *level, with_this, limit));
        }
    }
    match least {
        Some((_, level, with_this, limit)) if with_this > limit => Err(Refusal {
            detail: format!(
                "{} Asked {with_this}, allowed {limit} at level {level}.",
                code.meaning()
            ),
            ..Refusal::over(code, with_this, limit)
        }),
        Some((_, _, with_this, limit)) => Ok(Some((with_this.into(), limit.into()))),
        None => Ok(None),
    }
}

fn one_more(count: u64) -> Result<Quantity, Refusal> {
    let with_this = count.checked_add(1).and_then(|count| i64::try_from(count).ok());
    with_this.and_then(Quantity::from_whole).ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))
}

/// The size is held against what is usual for its strategy; before anything is usual, it passes.
fn fat_finger(whole: &Whole<'_>, multiple: i64) -> Verdict {
    let Some(usual) = whole.context.around.usual_size else { return Ok(None) };
    let allowed = usual
        .ratio(multiple, ONE, Round::Down)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(Code::RiskFatFinger, whole.intent.quantity, allowed)
}

/// Units of a limit in one.
const ONE: i64 = 100_000_000;

/// What is lost reaches no limit, of the account or of the strategy. Three marks in a row engage a
/// halt; until they are there, and for one that was resumed too early, nothing is opened either.
pub(super) fn lost(context: &Context<'_>, kind: LossKind) -> Verdict {
    let code = match kind {
        LossKind::Daily => Code::RiskDailyLoss,
        LossKind::Drawdown => Code::RiskDrawdown,
    };
    let mut shown = None;
    for lost in context.around.losses.iter().filter(|lost| lost.kind == kind) {
        let Lost { loss, limit, .. } = lost;
        if lost.is_all() {
            return Err(Refusal {
                code,
                input: Some(loss.to_string()),
                limit: Some(limit.to_string()),
                detail: format!("{} Lost {loss}, allowed {limit}.", code.meaning()),
            });
        }
        shown = Some(((*loss).into(), (*limit).into()));
    }
    Ok(shown)
}

/// Where losses are watched, a position that nobody marks must not grow another one beside it (S23),
/// nor may anything be opened while nobody knows what a part of the equity comes to.
pub(super) fn marked(context: &Context<'_>) -> Verdict {
    let Some(gap) = context.around.unmarked else { return Ok(None) };
    let code = if *gap == Gap::Equity { Code::RiskEquityStale } else { Code::RiskMarkStale };
    Err(Refusal::because(code, format!("{} {gap}.", code.meaning())))
}
