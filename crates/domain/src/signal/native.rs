//! The native form.

use super::assemble::assemble;
use super::field::{FieldError, Fields, Names, TargetField, printable};
use super::{Form, Signal, vocabulary};
use crate::code::Code;
use crate::json::Member;

/// Our names for fields, and what else TradingView's users call them.
pub(super) const NAMES: &[(&str, TargetField)] = &[
    ("action", TargetField::Action),
    ("comment", TargetField::Comment),
    ("quantity", TargetField::Quantity),
    ("contracts", TargetField::Quantity),
    ("price", TargetField::Price),
    ("ticker", TargetField::Ticker),
    ("symbol", TargetField::Ticker),
    ("id", TargetField::Id),
    ("alert_id", TargetField::Id),
    ("time", TargetField::Time),
    ("timenow", TargetField::Timenow),
    ("sent_at", TargetField::SentAt),
    ("order_id", TargetField::OrderId),
    ("interval", TargetField::Interval),
    ("market_position", TargetField::MarketPosition),
    ("market_position_size", TargetField::MarketPositionSize),
    ("dry_run", TargetField::DryRun),
    ("order_type", TargetField::OrderType),
    ("limit_price", TargetField::LimitPrice),
    ("stop_price", TargetField::StopPrice),
    ("time_in_force", TargetField::TimeInForce),
    ("take_profit", TargetField::TakeProfit),
    ("stop_loss", TargetField::StopLoss),
];

pub(super) fn read(members: &[Member<'_>]) -> Result<Signal, FieldError> {
    let fields = Fields::gather(members, &[NAMES])?;
    let Some(action) = fields.found(TargetField::Action) else {
        return Err(action_missing("action"));
    };
    let known = |name: &str| is_known(name, &[NAMES]);
    let action = vocabulary::action(action)?;
    assemble(&fields, (action, None), Form::Native, unknown(members, known))
}

pub(super) fn action_missing(name: &str) -> FieldError {
    FieldError::new(Code::SignalUnknownAction, name, "it is missing; send BUY, SELL or EXIT")
}

/// Whether a name means something, if only that it is left out: the position before the trade
/// (`prev_...`) changes nothing.
pub(super) fn is_known(name: &str, names: &Names) -> bool {
    let mut names = names.iter().copied().flatten();
    name == "secret" || name.starts_with("prev_") || names.any(|(known, _)| *known == name)
}

const UNKNOWN_MAX: usize = 32;

/// The names that mean nothing, made printable.
pub(super) fn unknown(members: &[Member<'_>], known: impl Fn(&str) -> bool) -> Vec<String> {
    let unknown = members.iter().filter(|member| !known(&member.name));
    unknown.map(|member| printable(&member.name)).take(UNKNOWN_MAX).collect()
}
