//! Overrides: one order may pass one limit, because two people said so (product.md section 5).
//!
//! An override lifts the limit that it names for the one order that it describes, and nothing else:
//! neither a halt, nor a restriction, nor a bound on losses, nor a limit that was never set.

use crate::check::Trace;
use crate::code::{Code, Refusal};
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::limit::{ByLevel, LimitName, Limits};
use crate::money::Quantity;
use crate::order::{Purpose, Side};
use crate::risk::{self, Cleared, Context};
use crate::strategy::Intent;
use crate::time::Timestamp;
use std::time::Duration;

/// How long an override waits for the second person, and at most for its order after that.
pub const SPAN_MAX: Duration = Duration::from_mins(15);

/// What one order may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its identifier.
    pub id: Id<id::Override>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// The account of the order.
    pub account_id: Id<id::Account>,
    /// What the order trades.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// At most so much.
    pub quantity: Quantity,
    /// The limit that does not stop it.
    pub limit: LimitName,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Override {
    /// Whether an order of this kind is the one that is meant.
    pub fn covers(
        &self,
        account: Id<id::Account>,
        symbol: &Symbol,
        intent: &Intent,
        now: Timestamp,
    ) -> bool {
        self.account_id == account
            && self.symbol == *symbol
            && self.side == intent.side
            && intent.quantity <= self.quantity
            && now < self.expires_at
    }
}

impl LimitName {
    /// The refusal that an override of this limit lifts; `None` for a limit that nobody overrides.
    pub const fn overridden_code(self) -> Option<Code> {
        match self {
            Self::MaxOrderQuantity => Some(Code::RiskMaxOrderQuantity),
            Self::MaxOrderNotional => Some(Code::RiskMaxOrderNotional),
            Self::MaxPosition => Some(Code::RiskMaxPosition),
            Self::MaxPositionNotional => Some(Code::RiskMaxPositionNotional),
            Self::PriceCollarPercent => Some(Code::RiskPriceCollar),
            Self::MaxOrdersPerMinute => Some(Code::RiskMaxOrdersPerMinute),
            Self::MaxGrossExposure => Some(Code::RiskMaxGrossExposure),
            Self::MaxNetExposure => Some(Code::RiskMaxNetExposure),
            Self::MaxOpenOrders => Some(Code::RiskMaxOpenOrders),
            Self::MaxOrdersPerSecond => Some(Code::RiskMaxOrdersPerSecond),
            Self::CreditPercent => Some(Code::RiskCredit),
            Self::MaxSizeMultiple => Some(Code::RiskFatFinger),
            Self::MaxRepeatedEntries => Some(Code::RiskRepeatedExecution),
            Self::Restricted
            | Self::StaticLow
            | Self::StaticHigh
            | Self::DailyLoss
            | Self::Drawdown
            | Self::DrawdownPercent => None,
        }
    }
}

impl Limits {
    /// The same without this limit: in place of one that must be there stands a bound that nothing
    /// reaches.
    const fn lifted(mut self, name: LimitName) -> Self {
        match name {
            LimitName::MaxOrderQuantity => self.max_order_quantity = Some(i64::MAX),
            LimitName::MaxOrderNotional => self.max_order_notional = Some(i64::MAX),
            LimitName::MaxPosition => self.max_position = Some(i64::MAX),
            LimitName::PriceCollarPercent => self.price_collar_percent = Some(i64::MAX),
            LimitName::MaxOrdersPerMinute => {
                self.max_orders_per_minute = ByLevel::all(Some(i64::MAX));
            }
            LimitName::MaxPositionNotional => self.max_position_notional = None,
            LimitName::MaxGrossExposure => self.max_gross_exposure = None,
            LimitName::MaxNetExposure => self.max_net_exposure = None,
            LimitName::MaxOpenOrders => self.max_open_orders = ByLevel::all(None),
            LimitName::MaxOrdersPerSecond => self.max_orders_per_second = ByLevel::all(None),
            LimitName::CreditPercent => self.credit_percent = None,
            LimitName::MaxSizeMultiple => self.max_size_multiple = None,
            LimitName::MaxRepeatedEntries => self.max_repeated_entries = None,
            LimitName::Restricted
            | LimitName::StaticLow
            | LimitName::StaticHigh
            | LimitName::DailyLoss
            | LimitName::Drawdown
            | LimitName::DrawdownPercent => {}
        }
        self
    }
}

/// [`risk::clear`], with these overrides at hand: those that were needed are given back, and the trace
/// has what each of them let pass. A refusal uses none.
pub fn clear(
    intent: Intent,
    context: &Context<'_>,
    overrides: &[Override],
    trace: &mut Trace,
) -> Result<(Cleared, Vec<Override>), Refusal> {
    if overrides.is_empty() || intent.purpose == Purpose::Exit {
        return risk::clear(intent, context, trace).map(|cleared| (cleared, Vec::new()));
    }
    let (account, symbol) = (context.subject.account, context.subject.symbol);
    let mut context = *context;
    let mut used: Vec<(&Override, Refusal)> = Vec::new();
    loop {
        let mut trial = trace.clone();
        let judged = risk::clear(intent.clone(), &context, &mut trial);
        let no = match judged {
            Ok(cleared) => {
                for (one, refusal) in &used {
                    trial.overridden(trace.checks().len(), refusal, &one.id.to_string());
                }
                *trace = trial;
                return Ok((cleared, used.into_iter().map(|(one, _)| one.clone()).collect()));
            }
            Err(no) => no,
        };
        let fitting = overrides.iter().find(|one| {
            one.limit.overridden_code() == Some(no.code)
                && one.covers(account, symbol, &intent, context.now)
                && used.iter().all(|(before, _)| before.limit != one.limit)
        });
        let Some(one) = fitting else {
            *trace = trial;
            return Err(no);
        };
        context.limits = context.limits.lifted(one.limit);
        used.push((one, no));
    }
}

#[cfg(test)]
mod tests;
