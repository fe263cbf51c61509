//! What changes about a thing: what is not named stays as it is.

use crate::tag::IfMatch;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tradewarden_domain::account::Activity;
use tradewarden_domain::bracket::{Away, OnNaked};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::session::{SessionStart, TradingDays};
use tradewarden_domain::signal::Mapping;
use tradewarden_domain::strategy::{
    OnOpposite, OpenPosition, Pyramiding, Sizing, StrategyState, SymbolSource,
};
use tradewarden_domain::time::Timestamp;

/// A change of one thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change<T> {
    /// Its identifier.
    pub id: String,
    /// What changes.
    pub changes: T,
    /// On which content the change is made.
    #[serde(default, skip_serializing_if = "IfMatch::is_unsaid")]
    pub if_match: IfMatch,
}

/// The end of one thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Its identifier.
    pub id: String,
    /// On which content it is taken away.
    #[serde(default, skip_serializing_if = "IfMatch::is_unsaid")]
    pub if_match: IfMatch,
}

/// Names one limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitNamed {
    /// `org`, `account:ID`, `strategy:ID`, `key:ID` or `instrument:SYMBOL`.
    pub scope: String,
    /// What it bounds.
    pub name: LimitName,
}

/// The end of a limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDelete {
    /// Which one.
    pub limit: LimitNamed,
    /// Why, up to 256 characters; it stands in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// On which content it is taken away.
    #[serde(default, skip_serializing_if = "IfMatch::is_unsaid")]
    pub if_match: IfMatch,
}

/// What becomes of a setting that may be absent. In JSON an absent member keeps it and `null` takes
/// it away (RFC 7396).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Setting<T> {
    /// It stays.
    #[default]
    Keep,
    /// There is none any more.
    Clear,
    /// It is this.
    Set(T),
}

impl<T> Setting<T> {
    /// Whether it stays.
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl<T: Serialize> Serialize for Setting<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // What stays is left out by the object that holds it.
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

/// What changes about a webhook.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookChanges {
    /// What people call it, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Addresses in CIDR form, in place of those there are; an empty list means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// `tradingview` adds TradingView's addresses to `allow`, or to those there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The name that the sender's TLS client certificate must show; `null` asks for none.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub client_certificate: Setting<String>,
    /// The symbols that entries may name, in place of those there are; an empty list means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols: Option<Vec<String>>,
    /// Signals are judged, never traded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Risk-increasing signals a second, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
    /// Age in seconds up to which an entry is fresh, 1 to 86,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u32>,
    /// Forms of credential: `query`, `header`, `body`, `signature`; at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forms: Option<Vec<String>>,
    /// How to read the sender's own JSON; `null` reads ours.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub mapping: Setting<Mapping>,
    /// Whether it takes signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Activity>,
}

/// What changes about a strategy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyChanges {
    /// What people call it, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The webhook it follows from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The API key whose signals it follows from now on, in place of a webhook.
    #[serde(default, alias = "key_id", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The account it trades on; not while it holds a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The further accounts on which it trades, in place of those there are (S10); one that holds
    /// a position stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followers: Option<Vec<String>>,
    /// Whether followers open nothing when the account they follow was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_leader: Option<bool>,
    /// What it trades; not while it holds a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The size of an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// Where the size comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<Sizing>,
    /// Whether `quantity` is the size of an entry whose payload says none, where the sizing is `payload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity_fallback: Option<bool>,
    /// Whether an entry over `max_order_quantity` is cut down to it, and not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity_clamp: Option<bool>,
    /// The percentage of the equity that sizing by it takes, greater than 0, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Quantity>,
    /// What a unit costs each way, which sizing by risk counts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_per_unit: Option<Money>,
    /// Least distance of a stop in ticks where the size comes of it, 1 to 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_ticks_min: Option<u32>,
    /// What an opposite signal does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_opposite: Option<OnOpposite>,
    /// What a signal along the position does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pyramiding: Option<Pyramiding>,
    /// Whether a sale while flat opens a short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_short: Option<bool>,
    /// Whether the signal may name another symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol_source: Option<SymbolSource>,
    /// Seconds within which an entry must have been sent, 1 to 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_within_s: Option<u32>,
    /// Seconds for which an entry rests that does not fill, 1 to 7,776,000; `null` for until the session
    /// of its instrument ends. Entries that rest already keep what they have.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub entry_ttl_s: Setting<u32>,
    /// When it may open something; `null` for at any time.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub schedule: Setting<Schedule>,
    /// Where the profit is taken, unless the signal says it: `2%` or `1.5` from the entry; `null` for
    /// nowhere. Positions that are held keep what they have.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub take_profit: Setting<Away>,
    /// Where the loss is stopped, unless the signal says it; `null` for nowhere.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub stop_loss: Setting<Away>,
    /// What happens to a position whose stop does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_naked: Option<OnNaked>,
    /// Seconds of its schedule within which a signal is expected, 60 to 86,400; `null` for none.
    #[serde(default, skip_serializing_if = "Setting::is_kept")]
    pub expected_every_s: Setting<u32>,
    /// What the account holds that nobody here opened becomes the strategy's, once (S3). To switch that on
    /// needs a fresh factor, is a change of its own, and takes two readings 5 s apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<bool>,
    /// Whether its positions in a month that rolls are closed, and opened again in the next (S11). Needs a
    /// continuous symbol of its own; to switch that on needs a fresh factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_roll: Option<bool>,
    /// Whether it may enter at the market while no reference price is fresh, where the instrument has a
    /// static band (S22). To switch that on needs a fresh factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind_market: Option<bool>,
    /// At most so much each time. More of it needs a fresh factor while that is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind_quantity_max: Option<Quantity>,
    /// Another strategy may trade the same instrument on the same account (S3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_position: bool,
    /// Whether it trades.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StrategyState>,
    /// What becomes of an open position when `state` is `off` (S18).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_position: Option<OpenPosition>,
}

/// What changes about an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountChanges {
    /// What people call it, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it takes entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Activity>,
    /// When its days of trading begin, for example `17:00 America/New_York`, once the session that runs is
    /// over. To move it needs a fresh factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who lets it trade on after a loss of the day, from the next session on. To leave that to the
    /// session needs a fresh factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_reset: Option<LossReset>,
}

impl AccountChanges {
    /// What the days of trading are to become; `None` if nothing is said of them, or what is said is no
    /// beginning.
    pub(crate) fn days(&self, before: &TradingDays, now: Timestamp) -> Option<TradingDays> {
        if self.session.is_none() && self.loss_reset.is_none() {
            return None;
        }
        let (session, loss_reset) = announced(before, now);
        let session = match &self.session {
            Some(text) => text.parse().ok()?,
            None => session.clone(),
        };
        Some(before.changed(session, self.loss_reset.unwrap_or(loss_reset), now))
    }
}

/// Whether more may be lost by these days than by those before: their beginning moves, or the session
/// ends what only a person would have.
pub(crate) fn loosens_days(before: &TradingDays, after: &TradingDays, now: Timestamp) -> bool {
    let ((was, held), (is, holds)) = (announced(before, now), announced(after, now));
    was != is || (held == LossReset::Person && holds == LossReset::Session)
}

/// What holds once nothing more is to come.
fn announced(days: &TradingDays, now: Timestamp) -> (&SessionStart, LossReset) {
    days.to_come(now).map_or_else(|| days.in_force(now), |next| (&next.session, next.loss_reset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_keeps_and_null_takes_away() {
        for (body, setting) in [
            (json!({}), Setting::Keep),
            (json!({"client_certificate": null}), Setting::Clear),
            (json!({"client_certificate": "cn:a"}), Setting::Set("cn:a".to_owned())),
        ] {
            let changes: WebhookChanges = serde_json::from_value(body.clone()).unwrap();
            assert_eq!(changes.client_certificate, setting, "{body}");
            assert_eq!(serde_json::to_value(&changes).unwrap(), body, "over the control socket");
        }
    }
}
