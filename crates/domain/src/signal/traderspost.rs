//! TradersPost's form: its names beside ours.
//!
//! Source: `webhook-spec.json` and `core-concepts/signals/webhooks.md` of TradersPost's
//! documentation (github.com/TradersPost/docs). What it documents and we do not do is refused where
//! leaving it out would change what is bought, and noted where it would not.

use super::assemble::assemble;
use super::field::{FieldError, Fields, Found, Names, TargetField, quoted};
use super::native::{self, action_missing, is_known, unknown};
use super::{
    Action, Comment, Distance, Form, Level, Percent, Percentage, QuantityField, QuantityKind,
    Sentiment, Signal, StopLoss, vocabulary,
};
use crate::code::Code;
use crate::json::Member;
use crate::money::{Price, Quantity};

/// TradersPost's names for fields of ours. `takeProfit` and `stopLoss` are objects and read apart.
const OWN_NAMES: &[(&str, TargetField)] = &[
    ("signalPrice", TargetField::Price),
    ("orderType", TargetField::OrderType),
    ("limitPrice", TargetField::LimitPrice),
    ("stopPrice", TargetField::StopPrice),
    ("timeInForce", TargetField::TimeInForce),
];

/// Other names that only count once the form is known.
const LATE_NAMES: &[(&str, TargetField)] = &[("timestamp", TargetField::Time)];

const NAMES: &Names = &[OWN_NAMES, native::NAMES, LATE_NAMES];

/// Read here, apart from the table above.
const OWN: [&str; 5] = ["sentiment", "quantityType", "takeProfit", "stopLoss", "test"];

/// Left out with a note.
const NOTED: [&str; 8] = [
    "cancel",
    "cancelOrderType",
    "delay",
    "extendedHours",
    "ignoreTradingWindows",
    "expiresAt",
    "assetClass",
    "strategyId",
];

/// Left out without a note: they are the sender's own remarks.
const REMARKS: [&str; 2] = ["extras", "message"];

/// Refused: without them another thing would be traded than was meant. With put options an action
/// even means its opposite.
const REFUSED: [(&str, &str); 8] = [
    ("optionType", "options are not supported"),
    ("intrinsicValue", "options are not supported"),
    ("expiration", "options are not supported"),
    ("strikeCount", "options are not supported"),
    ("strikesAway", "options are not supported"),
    ("strikePrice", "options are not supported"),
    ("trailAmount", "trailing orders are not supported"),
    ("trailPercent", "trailing orders are not supported"),
];

/// Whether a name is there that only TradersPost has. Names that anybody might use do not count.
pub(super) fn is_spoken(members: &[Member<'_>]) -> bool {
    let anybodys = ["test", "cancel", "delay", "expiration", "message", "extras"];
    members.iter().any(|member| {
        let name = member.name.as_ref();
        let own = OWN_NAMES.iter().any(|(known, _)| *known == name);
        let documented = OWN.contains(&name)
            || NOTED.contains(&name)
            || REFUSED.iter().any(|(known, _)| *known == name);
        own || (documented && !anybodys.contains(&name))
    })
}

pub(super) fn read(members: &[Member<'_>]) -> Result<Signal, FieldError> {
    let there = |name: &str| {
        let member = members.iter().find(|member| member.name == name)?;
        let found = Found { name: member.name.as_ref(), value: &member.value };
        (!found.value.is_null()).then_some(found)
    };
    if let Some((found, why)) =
        REFUSED.into_iter().find_map(|(name, why)| Some((there(name)?, why)))
    {
        return Err(found.wrong(why));
    }
    let fields = Fields::gather(members, NAMES)?;
    let Some(action) = fields.found(TargetField::Action) else {
        return Err(action_missing("action"));
    };
    let action = vocabulary::action(action)?;
    let sentiment = there("sentiment").map(vocabulary::sentiment).transpose()?;
    let read_by = (action, sentiment);
    let mut signal = assemble(&fields, read_by, Form::TradersPost, unknown(members, is_ours))?;
    if let Some(found) = there("takeProfit") {
        signal.take_profit = needed(&mut signal, take_profit(found))?;
    }
    if let Some(found) = there("stopLoss") {
        signal.stop_loss = needed(&mut signal, stop_loss(found))?;
    }
    if there("test").map_or(Ok(false), Found::truth)? {
        signal.dry_run = true;
    }
    // Before the kind: what ends flat is a full exit whatever its quantity counts.
    flatten(&mut signal);
    if let Some(found) = there("quantityType") {
        size_by_kind(&mut signal, found, &fields)?;
    }
    for found in NOTED.into_iter().filter_map(there) {
        if found.truth() != Ok(false) {
            signal.note(format!("{} is not supported; ignored", found.name));
        }
    }
    Ok(signal)
}

/// A level, or why there is none. What closes needs no level, so none refuses it (S18).
fn needed<T>(signal: &mut Signal, level: Result<T, FieldError>) -> Result<Option<T>, FieldError> {
    match level {
        Err(error) if signal.only_reduces() => {
            signal.note(format!("{error}; ignored"));
            Ok(None)
        }
        level => level.map(Some),
    }
}

fn is_ours(name: &str) -> bool {
    is_known(name, NAMES)
        || OWN.contains(&name)
        || NOTED.contains(&name)
        || REMARKS.contains(&name)
        || REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// A trade after which there is no position closes all of it, whatever quantity came along; it
/// stays on its side, so that `sell` closes only a long one.
fn flatten(signal: &mut Signal) {
    if signal.sentiment != Some(Sentiment::Flat) {
        return;
    }
    if !matches!(signal.comment, Comment::None | Comment::FreeText(_)) {
        signal.note("the sentiment flat goes before the comment");
    }
    if signal.quantity != QuantityField::Absent {
        signal.note("the sentiment flat closes all; the quantity is ignored");
    }
    signal.comment = Comment::Exit(Percent::FULL);
    signal.quantity = QuantityField::Absent;
}

/// A number that does not count units must never be taken for one that does.
fn size_by_kind(
    signal: &mut Signal,
    found: Found<'_>,
    fields: &Fields<'_>,
) -> Result<(), FieldError> {
    signal.quantity_kind = found.word(QuantityKind::ALL, QuantityKind::text)?;
    let is_flat = signal.sentiment == Some(Sentiment::Flat);
    match signal.quantity_kind {
        QuantityKind::FixedQuantity => return Ok(()),
        _ if is_flat => return Ok(()),
        QuantityKind::PercentOfPosition => return exit_by_percent(signal, found, fields),
        _ => {}
    }
    if let QuantityField::Given(number) = signal.quantity {
        let reason = format!("{number} is a {}, not a number of units", signal.quantity_kind);
        signal.quantity_of_kind = Some(number);
        signal.quantity = QuantityField::Unusable(reason);
    }
    Ok(())
}

/// A percentage of the position is an exit of that size; there is nothing else it could mean.
fn exit_by_percent(
    signal: &mut Signal,
    found: Found<'_>,
    fields: &Fields<'_>,
) -> Result<(), FieldError> {
    if signal.action != Action::Exit {
        return Err(found.wrong("percent_of_position needs the action exit"));
    }
    if matches!(signal.comment, Comment::Exit(_)) {
        return Err(found.wrong("it contradicts the comment, which has a size too"));
    }
    let number = match signal.quantity {
        QuantityField::Given(number) => Some(number),
        QuantityField::Absent | QuantityField::Unreadable(_) | QuantityField::Unusable(_) => None,
    };
    let percent = number.and_then(|number| vocabulary::percent(&number.to_string()));
    let Some(percent) = percent else {
        let name = fields.spelled(TargetField::Quantity);
        let detail = "percent_of_position needs a whole number from 1 to 100";
        return Err(FieldError::new(Code::SignalExitSize, name, detail));
    };
    signal.comment = Comment::Exit(percent);
    signal.quantity = QuantityField::Absent;
    signal.quantity_of_kind = number;
    Ok(())
}

fn take_profit(found: Found<'_>) -> Result<Level, FieldError> {
    let parts = Parts::of(found, &["limitPrice", "price", "percent", "amount"])?;
    let absolute = match parts.price("limitPrice")? {
        Some(price) => Some(price),
        None => parts.price("price")?,
    };
    let levels = [
        absolute.map(Level::At),
        parts.percentage("percent")?.map(Distance::Percent).map(Level::Away),
        parts.price("amount")?.map(Distance::Amount).map(Level::Away),
    ];
    parts.only_one(levels, "limitPrice, percent, amount")
}

fn stop_loss(found: Found<'_>) -> Result<StopLoss, FieldError> {
    let known =
        ["type", "percent", "amount", "stopPrice", "limitPrice", "trailAmount", "trailPercent"];
    let parts = Parts::of(found, &known)?;
    let kinds = ["stop", "stop_limit", "trailing_stop"];
    let kind = parts.part("type").map(|kind| kind.word(&kinds, |word| word));
    let kind = kind.transpose().map_err(|error| parts.inside(&error))?;
    let levels = [
        parts.price("stopPrice")?.map(Level::At),
        parts.percentage("percent")?.map(Distance::Percent).map(Level::Away),
        parts.price("amount")?.map(Distance::Amount).map(Level::Away),
    ];
    let trails = [
        parts.percentage("trailPercent")?.map(Distance::Percent),
        parts.price("trailAmount")?.map(Distance::Amount),
    ];
    let limit = parts.price("limitPrice")?;
    let trails_given = trails.iter().any(Option::is_some);
    let kind = kind.unwrap_or(match (trails_given, limit) {
        (true, _) => "trailing_stop",
        (false, Some(_)) => "stop_limit",
        (false, None) => "stop",
    });
    if kind == "trailing_stop" {
        if limit.is_some() || levels.iter().any(Option::is_some) {
            return Err(parts.object.wrong("a trailing stop has only trailPercent or trailAmount"));
        }
        return parts.only_one(trails, "trailPercent, trailAmount").map(StopLoss::Trailing);
    }
    if trails_given {
        return Err(parts.object.wrong(format!("a {kind} has no trailPercent or trailAmount")));
    }
    let stop = parts.only_one(levels, "stopPrice, percent, amount")?;
    match (kind, limit) {
        ("stop_limit", Some(limit)) => Ok(StopLoss::StopLimit { stop, limit }),
        ("stop_limit", None) => Err(parts.object.wrong("a stop_limit needs limitPrice")),
        (_, None) => Ok(StopLoss::Stop(stop)),
        (_, Some(_)) => Err(parts.object.wrong("limitPrice needs the type stop_limit")),
    }
}

/// The members of `takeProfit` or `stopLoss`.
struct Parts<'d> {
    object: Found<'d>,
    members: &'d [Member<'d>],
}

impl<'d> Parts<'d> {
    /// What protects a position must be read in full: an unknown member is refused here.
    fn of(object: Found<'d>, known: &[&str]) -> Result<Self, FieldError> {
        let members = object.value.members().ok_or_else(|| object.wrong_kind("an object"))?;
        match members.iter().find(|member| !known.contains(&member.name.as_ref())) {
            None => Ok(Self { object, members }),
            Some(stranger) => {
                let detail = format!("{} is none of {}", quoted(&stranger.name), known.join(", "));
                Err(object.wrong(detail))
            }
        }
    }

    fn part(&self, name: &str) -> Option<Found<'d>> {
        let member = self.members.iter().find(|member| member.name == name)?;
        let found = Found { name: member.name.as_ref(), value: &member.value };
        (!found.value.is_null()).then_some(found)
    }

    fn price(&self, name: &str) -> Result<Option<Price>, FieldError> {
        self.part(name).map(Found::price).transpose().map_err(|error| self.inside(&error))
    }

    fn percentage(&self, name: &str) -> Result<Option<Percentage>, FieldError> {
        let Some(part) = self.part(name) else { return Ok(None) };
        let text = part.text_or_number().map_err(|error| self.inside(&error))?.trim();
        let number = text.parse::<Quantity>();
        let number = number.map_err(|error| self.inside(&part.wrong_number(text, error)))?;
        let positive = Percentage::new(number);
        positive.map(Some).ok_or_else(|| {
            self.inside(&part.wrong(format!("{} is not greater than zero", quoted(text))))
        })
    }

    fn only_one<T: Copy, const N: usize>(
        &self,
        choices: [Option<T>; N],
        names: &str,
    ) -> Result<T, FieldError> {
        let mut given = choices.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(self.object.wrong(format!("it needs one of {names}"))),
            (Some(_), Some(_)) => Err(self.object.wrong(format!("it takes only one of {names}"))),
        }
    }

    /// The same error with the name of the object before the member's.
    fn inside(&self, error: &FieldError) -> FieldError {
        let field = format!("{}.{}", self.object.name, error.field);
        FieldError::new(error.code, field, error.detail.clone())
    }
}
