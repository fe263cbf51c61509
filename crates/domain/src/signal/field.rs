//! The fields of a payload by the names we give them, and how a value is read from one.

use super::{QuantityField, TimeInForceWord, words};
use crate::code::Code;
use crate::json::{Content, JsonError, Member, Value};
use crate::money::{NumberError, Price, Quantity};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

words! {
    /// A field of a signal, by its native name.
    TargetField {
        /// BUY, SELL or EXIT.
        Action = "action",
        /// The exit vocabulary, ENTRY, or free text.
        Comment = "comment",
        /// How many units.
        Quantity = "quantity",
        /// The price the sender saw.
        Price = "price",
        /// The symbol.
        Ticker = "ticker",
        /// The explicit id.
        Id = "id",
        /// The bar's time.
        Time = "time",
        /// When the alert fired.
        Timenow = "timenow",
        /// When the signal was sent.
        SentAt = "sent_at",
        /// The sender's order id.
        OrderId = "order_id",
        /// The chart's interval.
        Interval = "interval",
        /// The side after the trade.
        MarketPosition = "market_position",
        /// The size of the position after the trade.
        MarketPositionSize = "market_position_size",
        /// Judge only.
        DryRun = "dry_run",
        /// How the order is priced.
        OrderType = "order_type",
        /// The limit price.
        LimitPrice = "limit_price",
        /// The stop price.
        StopPrice = "stop_price",
        /// How long the order works.
        TimeInForce = "time_in_force",
        /// The price at which to take the profit.
        TakeProfit = "take_profit",
        /// The price at which to stop the loss.
        StopLoss = "stop_loss",
    }
}

/// Why a body is no signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// [`Code::SignalMalformed`], [`Code::SignalUnknownAction`], [`Code::SignalField`] or
    /// [`Code::SignalExitSize`].
    pub code: Code,
    /// The field as the sender spells it; `body` where no field is to blame.
    pub field: String,
    /// What is wrong with it, in words; short, printable, and without the secret.
    pub detail: String,
    /// Whether, as far as the body can be read, it asks for an exit: somebody must hear that there
    /// is none (S24).
    pub of_exit: bool,
}

impl FieldError {
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::SignalMalformed, "body", detail)
    }

    pub(super) fn unreadable(error: &JsonError) -> Self {
        let field = error.member.as_deref().unwrap_or("body");
        Self::new(Code::SignalMalformed, field, error.to_string())
    }

    pub(super) fn field(field: impl AsRef<str>, detail: impl Into<String>) -> Self {
        Self::new(Code::SignalField, field, detail)
    }

    pub(super) fn new(code: Code, field: impl AsRef<str>, detail: impl Into<String>) -> Self {
        let of_exit = matches!(code, Code::SignalExitSize);
        Self { code, field: printable(field.as_ref()), detail: detail.into(), of_exit }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail)
    }
}

impl std::error::Error for FieldError {}

/// Tables of names for fields, in the order of preference.
pub(super) type Names = [&'static [(&'static str, TargetField)]];

/// The fields of one payload that are there and not `null`.
pub(super) struct Fields<'d> {
    found: BTreeMap<TargetField, Found<'d>>,
    names: &'static Names,
}

/// A field as it was found.
#[derive(Clone, Copy)]
pub(super) struct Found<'d> {
    /// The name as the sender spells it.
    pub(super) name: &'d str,
    pub(super) value: &'d Value<'d>,
}

impl<'d> Fields<'d> {
    pub(super) const fn new(names: &'static Names) -> Self {
        Self { found: BTreeMap::new(), names }
    }

    /// The fields among the members that `names` knows. Where a field has several names, the one
    /// named first in `names` wins; two that say different things are refused, except where they
    /// may mean different things to the sender (ids, prices, times).
    pub(super) fn gather(
        members: &'d [Member<'d>],
        names: &'static Names,
    ) -> Result<Self, FieldError> {
        let mut fields = Self::new(names);
        for (name, target) in names.iter().copied().flatten() {
            let Some(member) = members.iter().find(|member| member.name == *name) else { continue };
            let here = Found { name: member.name.as_ref(), value: &member.value };
            match fields.found(*target) {
                None => fields.insert(*target, here),
                Some(first)
                    if !matches!(
                        target,
                        TargetField::Id | TargetField::Price | TargetField::Time
                    ) && !here.value.is_null()
                        && first.value.text_or_number() != here.value.text_or_number() =>
                {
                    let detail = format!("it contradicts {}", first.name);
                    return Err(FieldError::field(name, detail));
                }
                Some(_) => {}
            }
        }
        Ok(fields)
    }

    /// Adds a field; `null` is the same as absent.
    pub(super) fn insert(&mut self, target: TargetField, found: Found<'d>) {
        if !found.value.is_null() {
            self.found.insert(target, found);
        }
    }

    pub(super) fn found(&self, target: TargetField) -> Option<Found<'d>> {
        self.found.get(&target).copied()
    }

    /// The field's name as the sender spells it, or would.
    pub(super) fn spelled(&self, target: TargetField) -> &'d str {
        let usual = self.names.iter().copied().flatten().find(|(_, named)| *named == target);
        self.found(target).map_or(usual.map_or(target.text(), |(name, _)| name), |it| it.name)
    }

    /// A text, as it is.
    pub(super) fn text(&self, target: TargetField) -> Result<Option<&'d str>, FieldError> {
        self.found(target).map(Found::text).transpose()
    }

    /// A text or number without the space around it; `None` if nothing is left.
    pub(super) fn label(&self, target: TargetField) -> Result<Option<&'d str>, FieldError> {
        let Some(found) = self.found(target) else { return Ok(None) };
        let label = found.text_or_number()?;
        Ok(Some(label.trim()).filter(|label| !label.is_empty()))
    }

    pub(super) fn price(&self, target: TargetField) -> Result<Option<Price>, FieldError> {
        self.found(target).map(Found::price).transpose()
    }

    /// The quantity. A value of the wrong kind is an error; a bad number is not, since the strategy
    /// decides whether the number is read at all.
    pub(super) fn quantity(&self) -> Result<QuantityField, FieldError> {
        let Some(found) = self.found(TargetField::Quantity) else {
            return Ok(QuantityField::Absent);
        };
        let text = found.text_or_number()?.trim();
        let reason = match text.parse::<Quantity>() {
            Ok(quantity) if quantity.is_positive() => return Ok(QuantityField::Given(quantity)),
            Ok(_) => "not greater than zero".to_owned(),
            Err(_) if text.is_empty() => return Ok(QuantityField::Unreadable("empty".to_owned())),
            Err(error @ NumberError::Malformed) => {
                return Ok(QuantityField::Unreadable(format!("{}: {error}", quoted(text))));
            }
            Err(error) => error.to_string(),
        };
        Ok(QuantityField::Unusable(format!("{}: {reason}", quoted(text))))
    }

    /// A number that is not negative.
    pub(super) fn size(&self, target: TargetField) -> Result<Option<Quantity>, FieldError> {
        let Some(found) = self.found(target) else { return Ok(None) };
        let text = found.text_or_number()?.trim();
        match text.parse::<Quantity>() {
            Ok(size) if size >= Quantity::ZERO => Ok(Some(size)),
            Ok(_) => Err(found.wrong(format!("{} is negative", quoted(text)))),
            Err(error) => Err(found.wrong_number(text, error)),
        }
    }

    /// RFC 3339, or whole seconds or milliseconds since 1970.
    pub(super) fn time(&self, target: TargetField) -> Result<Option<Timestamp>, FieldError> {
        let Some(found) = self.found(target) else { return Ok(None) };
        let text = found.text_or_number()?.trim();
        let time = text.parse().ok().or_else(|| since_1970(text));
        time.map(Some).ok_or_else(|| {
            let expected =
                "a time like 2026-11-22T02:03:04Z, or seconds or milliseconds since 1970";
            found.wrong(format!("{} is not {expected}", quoted(text)))
        })
    }

    /// `true` or `false`, also as a text.
    pub(super) fn truth(&self, target: TargetField) -> Result<bool, FieldError> {
        self.found(target).map_or(Ok(false), Found::truth)
    }

    pub(super) fn time_in_force(&self) -> Result<Option<TimeInForceWord>, FieldError> {
        let Some(found) = self.found(TargetField::TimeInForce) else { return Ok(None) };
        found.word(TimeInForceWord::ALL, TimeInForceWord::text).map(Some)
    }
}

impl<'d> Found<'d> {
    pub(super) fn text(self) -> Result<&'d str, FieldError> {
        self.value.text().ok_or_else(|| self.wrong_kind("a text"))
    }

    pub(super) fn text_or_number(self) -> Result<&'d str, FieldError> {
        self.value.text_or_number().ok_or_else(|| self.wrong_kind("a text or a number"))
    }

    /// A price greater than zero.
    pub(super) fn price(self) -> Result<Price, FieldError> {
        let text = self.text_or_number()?.trim();
        match text.parse::<Price>() {
            Ok(price) if price.is_positive() => Ok(price),
            Ok(_) => Err(self.wrong(format!("{} is not greater than zero", quoted(text)))),
            Err(error) => Err(self.wrong_number(text, error)),
        }
    }

    pub(super) fn truth(self) -> Result<bool, FieldError> {
        match &self.value.content {
            Content::Bool(truth) => Ok(*truth),
            Content::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
            Content::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong_kind("true or false")),
        }
    }

    /// One of a closed list of words, in any case.
    pub(super) fn word<W: Copy>(
        self,
        all: &[W],
        text_of: impl Fn(W) -> &'static str,
    ) -> Result<W, FieldError> {
        let text = self.text()?.trim();
        all.iter().copied().find(|word| text_of(*word).eq_ignore_ascii_case(text)).ok_or_else(
            || {
                let known: Vec<_> = all.iter().map(|word| text_of(*word)).collect();
                self.wrong(format!("{} is none of {}", quoted(text), known.join(", ")))
            },
        )
    }

    pub(super) fn wrong(self, detail: impl Into<String>) -> FieldError {
        FieldError::field(self.name, detail)
    }

    pub(super) fn wrong_number(self, text: &str, error: NumberError) -> FieldError {
        self.wrong(format!("{}: {error}", quoted(text)))
    }

    pub(super) fn wrong_kind(self, expected: &str) -> FieldError {
        self.wrong(format!("it is {}, not {expected}", self.value.kind()))
    }
}

/// Seconds up to the year 5138; above that milliseconds, from 1973 on.
const SECONDS_BELOW: i64 = 100_000_000_000;
/// Milliseconds up to the year 5138.
const MILLISECONDS_BELOW: i64 = 100_000_000_000_000;

fn since_1970(text: &str) -> Option<Timestamp> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    let micros = match number {
        ..SECONDS_BELOW => number.checked_mul(1_000_000)?,
        SECONDS_BELOW..MILLISECONDS_BELOW => number.checked_mul(1_000)?,
        MILLISECONDS_BELOW.. => return None,
    };
    Some(Timestamp::from_unix_micros(micros))
}

/// Longer than any value that a field knows, and shorter than any secret of ours.
const QUOTED_MAX: usize = 32;
/// How the secrets begin that the gateway and its senders hold.
const SECRETS: [&str; 10] =
    ["tww_", "twk_", "tws_", "twr_", "twh_", "twp_", "twl_", "twa_", "twkek_", "whsec_"];

/// A value for a message, in printable ASCII; nothing of one that may be a secret. People paste those
/// into the wrong field, and a message is answered, logged, kept in traces and sealed in the audit log.
pub(super) fn quoted(text: &str) -> String {
    let may_be_secret = text.chars().nth(QUOTED_MAX).is_some()
        || SECRETS.iter().any(|begin| text.to_ascii_lowercase().contains(begin));
    if may_be_secret {
        return "a value (not repeated)".to_owned();
    }
    format!("\"{}\"", ascii(text).collect::<String>())
}

/// A name for a message or a list: printable ASCII, at most 64 characters.
pub(super) fn printable(name: &str) -> String {
    ascii(name).take(64).collect()
}

fn ascii(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|letter| if matches!(letter, ' '..='~') { letter } else { '?' })
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        let random = "9ouAqZ0RrmSh0fzcYuDJbkAVzGkf4RmfnVa6XVKr2Vg_d1d2d3";
        for begin in ["tww_", "twk_", "tws_", "twr_", "twa_", "whsec_", "TWW_", " tww_", ""] {
            for length in [4, 12, random.len()] {
                let secret = format!("{begin}{}", &random[..length]);
                let said = quoted(&secret);
                let is_plain = begin.is_empty() && length < random.len();
                assert_eq!(said.contains(&random[..4]), is_plain, "{secret}: {said}");
            }
        }
        assert_eq!(quoted("mañana\n"), "\"ma?ana?\"");
        assert_eq!(quoted(&"x".repeat(32)), format!("\"{}\"", "x".repeat(32)));
    }
}
