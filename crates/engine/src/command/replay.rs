//! Replaying a period of signals.

use super::LimitValue;
use serde::{Deserialize, Serialize};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::time::Timestamp;

/// A period of stored signals that shall be judged by another policy, or the next step of that.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayPeriod {
    /// From this instant on.
    pub from: Timestamp,
    /// Up to this one, which does not belong to it.
    pub to: Timestamp,
    /// All limits of the policy; at most 10,000.
    pub limits: Vec<LimitValue>,
    /// At most so many signals in this step, 1 to 5,000, which it is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals_max: Option<u32>,
    /// At most so many new marks of what is held in this step, 1 to 100,000, which it is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks_max: Option<u32>,
    /// The `state` of the step before; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ReplayState>,
}

/// A part of a period that shall be judged by another policy, where the gateway keeps what goes from
/// part to part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayPage {
    /// From this instant on.
    pub from: Timestamp,
    /// Up to this one, which does not belong to it; at most 31 days later.
    pub to: Timestamp,
    /// All limits of the policy.
    pub limits: Vec<LimitValue>,
    /// At most so many signals in this part, 1 to 1,000, which it is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals_max: Option<u32>,
    /// The `next` of the part before, whose other members were the same; absent for the first one. It is
    /// known for ten minutes, to the node that gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Where a replay is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayState {
    /// The last signal that was judged.
    pub after: Id<id::Signal>,
    /// The last price of each instrument.
    pub prices: Vec<ReplayPrice>,
    /// The last stored fill that was looked at: when it was, by the broker's clock.
    pub fills_at: Timestamp,
    /// And which it was.
    pub fills_after: Id<id::Fill>,
    /// Until when losses were looked at.
    pub losses_at: Timestamp,
    /// What would be held by the limits that were in force.
    pub as_then: ReplayBook,
    /// What would be held by the policy.
    pub now: ReplayBook,
}

/// The last price of an instrument.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayPrice {
    /// The instrument.
    pub symbol: Symbol,
    /// Its price.
    pub price: Price,
}

/// Positions and orders of the last minute.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBook {
    /// What is held.
    pub positions: Vec<ReplayPosition>,
    /// The orders of the last minute of each account, as they are stored, in hexadecimal.
    pub minutes: Vec<ReplayMinute>,
    /// What was sent lately.
    pub recent: Vec<ReplayRecent>,
    /// What is open.
    pub open: Vec<ReplayOpen>,
    /// What is watched of losses.
    pub watches: Vec<ReplayWatch>,
}

/// What is watched of the losses of an account, or of a strategy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayWatch {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The strategy, unless it is all of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// The watch as it is stored.
    pub watch: serde_json::Value,
    /// Since when a loss of the day halts it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_since: Option<Timestamp>,
    /// Since when a fall from the best halts it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawdown_since: Option<Timestamp>,
}

/// The newest entries of a strategy in an instrument of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRecent {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The instrument.
    pub symbol: Symbol,
    /// The strategy.
    pub strategy_id: Id<id::Strategy>,
    /// The entries as they are stored, in hexadecimal.
    pub entries: String,
}

/// An order that is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayOpen {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The instrument.
    pub symbol: Symbol,
    /// The strategy, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// The key that asked for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Id<id::Key>>,
    /// When it ends; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// One strategy's position in an instrument of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayPosition {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The instrument.
    pub symbol: Symbol,
    /// The strategy.
    pub strategy_id: Id<id::Strategy>,
    /// How much; negative is short.
    pub quantity: Quantity,
    /// What it cost, in units of 10^-16 of price times quantity.
    pub cost: String,
    /// What was made of what was closed, in the same units.
    pub realized: String,
    /// Fees so far, in the account's currency.
    pub fees: Money,
    /// When the newest entry was sent, by its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_sent_at: Option<Timestamp>,
}

/// The orders of the last minute of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayMinute {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The counter, in hexadecimal.
    pub counter: String,
}
