//! Pre-trade risk: a pure function over limits, halts, exposure and the reference price.
//!
//! What it lets through is a [`Cleared`], which nothing else can make. What reduces a position is
//! computed and traced like everything else, but stopped by nothing except a `block` halt (S18).

mod account;
mod blind;

pub use account::Surroundings;

use crate::check::{Shown, Trace};
use crate::code::{Code, Refusal};
use crate::day::Day;
use crate::exposure::Exposure;
use crate::halt::{self, Halt, HaltSubject};
use crate::instrument::Instrument;
use crate::limit::{ByLevel, LimitName, Limits};
use crate::loss::LossKind;
use crate::money::{Money, Price, Quantity};
use crate::order::{OrderType, Purpose, Side, words};
use crate::price::{Market, Reference};
use crate::roll::Contract;
use crate::schedule::Schedule;
use crate::strategy::Intent;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

words! {
    /// A check of an order, by its name in the trace.
    RiskCheck {
        /// No halt covers it.
        Halt = "halt",
        /// Its strategy opens something at this time.
        Schedule = "strategy.schedule",
        /// Its contract takes entries.
        LastDay = "risk.last_day",
        /// See [`LimitName::Restricted`].
        Restricted = "risk.restricted",
        /// Its market is open.
        MarketOpen = "risk.market_open",
        /// See [`LimitName::MaxOrderQuantity`].
        OrderQuantity = "risk.max_order_quantity",
        /// See [`LimitName::MaxOrderNotional`].
        OrderNotional = "risk.max_order_notional",
        /// It is little enough for a strategy that enters while no reference price is fresh; see
        /// [`LimitName::StaticLow`]. Only then it is looked at.
        BlindMarket = "risk.blind_market",
        /// See [`LimitName::PriceCollarPercent`].
        PriceCollar = "risk.price_collar",
        /// See [`LimitName::MaxPosition`].
        Position = "risk.max_position",
        /// See [`LimitName::MaxOrdersPerMinute`].
        OrdersPerMinute = "risk.max_orders_per_minute",
        /// See [`LimitName::MaxPositionNotional`].
        PositionNotional = "risk.max_position_notional",
        /// See [`LimitName::MaxGrossExposure`].
        GrossExposure = "risk.max_gross_exposure",
        /// See [`LimitName::MaxNetExposure`].
        NetExposure = "risk.max_net_exposure",
        /// See [`LimitName::MaxOpenOrders`].
        OpenOrders = "risk.max_open_orders",
        /// See [`LimitName::MaxOrdersPerSecond`].
        OrdersPerSecond = "risk.max_orders_per_second",
        /// See [`LimitName::CreditPercent`].
        Credit = "risk.credit",
        /// See [`LimitName::MaxSizeMultiple`].
        FatFinger = "risk.fat_finger",
        /// See [`LimitName::MaxRepeatedEntries`].
        RepeatedExecution = "risk.repeated_execution",
        /// See [`LimitName::DailyLoss`].
        DailyLoss = "risk.daily_loss",
        /// See [`LimitName::Drawdown`] and [`LimitName::DrawdownPercent`].
        Drawdown = "risk.drawdown",
        /// What is held can be marked, where losses are limited.
        Mark = "risk.mark",
    }
}

/// What an order is judged against, all of it read inside the journal transaction.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The halts that are engaged.
    pub halts: &'a [Halt],
    /// Whom the order concerns.
    pub subject: HaltSubject<'a>,
    /// When the order's strategy may open something, if it says so.
    pub schedule: Option<&'a Schedule>,
    /// The order's month contract, if the roll table has it.
    pub contract: Option<&'a Contract>,
    /// The tightest limits that apply.
    pub limits: Limits,
    /// All strategies' exposure on the order's account and instrument together, without what the
    /// order itself is counted for already.
    pub exposure: Exposure,
    /// How much of the order has filled already: nothing, unless it is a change that is judged.
    pub already_filled: Quantity,
    /// What is on the account beside the order's own instrument.
    pub around: Surroundings<'a>,
    /// The instrument's rules.
    pub instrument: &'a Instrument,
    /// What is known about the price.
    pub reference: Reference,
    /// A price that the signal stated: it may refuse, never justify (S22).
    pub stated_price: Option<Price>,
    /// How much may be entered at the market while no reference price is fresh; nothing if absent.
    pub blind_quantity_max: Option<Quantity>,
    /// Risk-increasing orders and changes in the last 60 seconds, at each level that has a limit.
    pub orders_last_minute: ByLevel<u64>,
    /// The present instant.
    pub now: Timestamp,
}

/// An intent that passed risk, and the version of the limits that let it pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Cleared {
    intent: Intent,
    limits_version: i64,
}

impl Cleared {
    /// What may be sent.
    pub const fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The version of the limits that cleared it.
    pub const fn limits_version(&self) -> i64 {
        self.limits_version
    }
}

/// Judges one intent by every check, in order, and traces all of them. The refusal is that of the
/// first check that said no.
pub fn clear(intent: Intent, context: &Context<'_>, trace: &mut Trace) -> Result<Cleared, Refusal> {
    let mut first_no: Option<Refusal> = None;
    let halted = halt(&intent, context);
    note(trace, &mut first_no, RiskCheck::Halt, Enforced::Always, halted);
    let enforced = match intent.purpose {
        Purpose::Entry => Enforced::Always,
        Purpose::Exit => Enforced::Traced,
    };
    if let Some(schedule) = context.schedule {
        let verdict = in_schedule(schedule, context);
        note(trace, &mut first_no, RiskCheck::Schedule, enforced, verdict);
    }
    if let Some(contract) = context.contract {
        let verdict = before_last_day(contract, context);
        note(trace, &mut first_no, RiskCheck::LastDay, enforced, verdict);
    }
    if blind::is_looked_at(&intent, context) {
        let verdict = blind::quantity(&intent, context);
        note(trace, &mut first_no, RiskCheck::BlindMarket, enforced, verdict);
    }
    let checks: [(RiskCheck, Check); 7] = [
        (RiskCheck::Restricted, restricted),
        (RiskCheck::MarketOpen, market_open),
        (RiskCheck::OrderQuantity, order_quantity),
        (RiskCheck::OrderNotional, order_notional),
        (RiskCheck::PriceCollar, collar),
        (RiskCheck::Position, position),
        (RiskCheck::OrdersPerMinute, orders_per_minute),
    ];
    for (check, judge) in checks {
        note(trace, &mut first_no, check, enforced, judge(&intent, context));
    }
    let whole = account::Whole::of(&intent, context);
    for (check, limit, judge) in account::checks(&context.limits) {
        // What nobody limits is not looked at, and takes no line of the trace.
        if let Some(limit) = limit {
            note(trace, &mut first_no, check, enforced, judge(&whole, limit));
        }
    }
    for (check, kind) in
        [(RiskCheck::DailyLoss, LossKind::Daily), (RiskCheck::Drawdown, LossKind::Drawdown)]
    {
        if context.around.losses.iter().any(|lost| lost.kind == kind) {
            note(trace, &mut first_no, check, enforced, account::lost(context, kind));
        }
    }
    if context.around.unmarked.is_some() {
        note(trace, &mut first_no, RiskCheck::Mark, enforced, account::marked(context));
    }
    match first_no {
        Some(refusal) => Err(refusal),
        None => Ok(Cleared { intent, limits_version: context.limits.version }),
    }
}

/// A passed check with what it compared, or a refusal.
type Verdict = Result<Option<(Shown, Shown)>, Refusal>;

/// A rule that every order is judged by.
type Check = fn(&Intent, &Context<'_>) -> Verdict;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Enforced {
    Always,
    Traced,
}

fn note(
    trace: &mut Trace,
    first_no: &mut Option<Refusal>,
    check: RiskCheck,
    enforced: Enforced,
    verdict: Verdict,
) {
    let name = check.text();
    match (verdict, enforced) {
        (Ok(None), _) => trace.pass(name),
        (Ok(Some((input, limit))), _) => trace.pass_over(name, input, limit),
        (Err(refusal), Enforced::Traced) => trace.not_enforced(name, &refusal),
        (Err(refusal), Enforced::Always) => {
            trace.fail(name, &refusal);
            first_no.get_or_insert(refusal);
        }
    }
}

fn halt(intent: &Intent, context: &Context<'_>) -> Verdict {
    halted(context.halts, intent.purpose, &context.subject).map_or(Ok(None), Err)
}

/// The refusal by the halt that stops an order of this purpose, if one does.
pub fn halted(halts: &[Halt], purpose: Purpose, subject: &HaltSubject<'_>) -> Option<Refusal> {
    halt::stopping(halts, purpose, subject).map(|halt| Refusal {
        code: Code::HaltActive,
        input: Some(halt.scope.to_string()),
        limit: Some(halt.mode.to_string()),
        detail: format!("Halt {} ({}): {}", halt.id, halt.mode, halt.reason),
    })
}

fn in_schedule(schedule: &Schedule, context: &Context<'_>) -> Verdict {
    let (shown, is_open) = schedule.shown(context.now);
    let allowed = schedule.regular();
    if is_open {
        return Ok(Some((Shown::WallClock(shown), Shown::Words(allowed))));
    }
    Err(Refusal::over(Code::StrategySchedule, shown, allowed))
}

fn before_last_day(contract: &Contract, context: &Context<'_>) -> Verdict {
    let (today, last) = (Day::at(context.now), contract.last_day());
    if today < last {
        return Ok(Some((Shown::Day(today), Shown::Before(last))));
    }
    Err(Refusal::over(Code::RiskLastDay, today, format_args!("entries before {last}")))
}

fn restricted(_: &Intent, context: &Context<'_>) -> Verdict {
    if context.limits.restricted {
        let symbol = context.subject.symbol;
        return Err(Refusal::because(Code::RiskRestricted, format!("{symbol} is restricted.")));
    }
    Ok(None)
}

fn market_open(_: &Intent, context: &Context<'_>) -> Verdict {
    match context.reference.market {
        Market::Open => Ok(None),
        Market::Closed | Market::Unknown => Err(Refusal::plain(Code::RiskMarketClosed)),
    }
}

fn order_quantity(intent: &Intent, context: &Context<'_>) -> Verdict {
    let limit = required(context.limits.max_order_quantity, LimitName::MaxOrderQuantity)?;
    let limit = Quantity::from_units(limit);
    compare(Code::RiskMaxOrderQuantity, intent.quantity, limit)
}

fn order_notional(intent: &Intent, context: &Context<'_>) -> Verdict {
    let limit = required(context.limits.max_order_notional, LimitName::MaxOrderNotional)?;
    let price = worst_price(intent, context)?;
    let value = price
        .notional(intent.quantity, context.instrument.point_value)
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))?;
    compare(Code::RiskMaxOrderNotional, value, Money::from_units(limit))
}

/// The worst of what was asked and what the market says: a limit far from the market must not make
/// an order look small, and a stop above it fills no lower than where it is triggered.
fn worst_price(intent: &Intent, context: &Context<'_>) -> Result<Price, Refusal> {
    let asked = [intent.limit_price, intent.stop_price].into_iter().flatten();
    let known = match context.reference.price(context.now) {
        Some(price) => price,
        // Nobody knows where it trades but for the band: the worst of that counts.
        None => blind::band(intent, context)?.high,
    };
    Ok(asked.fold(known, Price::max))
}

fn collar(intent: &Intent, context: &Context<'_>) -> Verdict {
    let percent = required(context.limits.price_collar_percent, LimitName::PriceCollarPercent)?;
    let Some(reference) = context.reference.price(context.now) else {
        return blind::inside(intent, context);
    };
    let limit_price = match intent.order_type {
        OrderType::Limit | OrderType::StopLimit => intent.limit_price,
        OrderType::Market | OrderType::Stop => None,
    };
    let prices = [limit_price, intent.stop_price, context.stated_price];
    for price in prices.into_iter().flatten() {
        let distance = price.saturating_minus(reference).magnitude();
        // distance / reference <= percent / 100, without a division.
        let left = i128::from(distance.units()).checked_mul(100 * UNITS_PER_ONE);
        let right = i128::from(percent).checked_mul(i128::from(reference.units()));
        let inside = left.zip(right).is_some_and(|(left, right)| left <= right);
        if !inside {
            let allowed = Quantity::from_units(percent);
            return Err(Refusal::over(
                Code::RiskPriceCollar,
                price,
                format_args!("{reference} ± {allowed} %"),
            ));
        }
    }
    Ok(Some((reference.into(), Quantity::from_units(percent).into())))
}

const UNITS_PER_ONE: i128 = 100_000_000;

fn position(intent: &Intent, context: &Context<'_>) -> Verdict {
    let limit = required(context.limits.max_position, LimitName::MaxPosition)?;
    let worst = worst_position(intent, context)?;
    compare(Code::RiskMaxPosition, worst, Quantity::from_units(limit))
}

/// What could be held on the order's side, all that is live counted; negative on the other side.
fn worst_position(intent: &Intent, context: &Context<'_>) -> Result<Quantity, Refusal> {
    let held = &context.exposure;
    let (entering, leaving) = match intent.side {
        Side::Buy => (held.entry_buy, held.exit_buy),
        Side::Sell => (held.entry_sell, held.exit_sell),
    };
    // Checked, unlike `Exposure::worst_long`: a sum that stays at the end of the range would pass a
    // limit that stands there.
    intent
        .side
        .signed(held.quantity)
        .plus(entering)
        .and_then(|worst| worst.plus(leaving)?.plus(intent.quantity)?.minus(context.already_filled))
        .ok_or_else(|| Refusal::plain(Code::RiskWorthTooLarge))
}

fn orders_per_minute(_: &Intent, context: &Context<'_>) -> Verdict {
    let limits = &context.limits.max_orders_per_minute;
    required(limits.least(), LimitName::MaxOrdersPerMinute)?;
    account::count_at_levels(Code::RiskMaxOrdersPerMinute, &context.orders_last_minute, limits)
}

fn required(limit: Option<i64>, name: LimitName) -> Result<i64, Refusal> {
    limit.ok_or_else(|| Refusal {
        code: Code::RiskLimitMissing,
        input: None,
        limit: Some(name.text().to_owned()),
        detail: format!("{name} is not set at any level; set it with `tradewarden limit set`."),
    })
}

fn compare<T>(code: Code, input: T, limit: T) -> Verdict
where
    T: PartialOrd + std::fmt::Display + Into<Shown>,
{
    if input > limit {
        return Err(Refusal::over(code, input, limit));
    }
    Ok(Some((input.into(), limit.into())))
}

#[cfg(test)]
mod tests;
