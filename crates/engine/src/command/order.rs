//! Orders and positions.

use serde::{Deserialize, Deserializer, Serialize};
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// An order to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderCreate {
    /// The account it trades on.
    pub account_id: String,
    /// What it trades.
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// How much.
    pub quantity: Quantity,
    /// The limit price of a limit or stop-limit order, on the tick.
    #[serde(default)]
    pub limit_price: Option<Price>,
    /// The stop price of a stop or stop-limit order, on the tick.
    #[serde(default)]
    pub stop_price: Option<Price>,
    /// How long it works; `day` if absent.
    #[serde(default)]
    pub time_in_force: Option<TimeInForce>,
    /// It must never increase the position; more than there is to close is cut.
    #[serde(default, deserialize_with = "unset")]
    pub reduce_only: bool,
    /// It is canceled at this instant if it still works.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What the caller calls it, 1 to 64 characters.
    #[serde(default)]
    pub tag: Option<String>,
    /// The same order may follow within 2 seconds (S17).
    #[serde(default, deserialize_with = "unset")]
    pub allow_repeat: bool,
}

/// A flag that is null is not set.
fn unset<'de, D: Deserializer<'de>>(flag: D) -> Result<bool, D::Error> {
    Option::deserialize(flag).map(Option::unwrap_or_default)
}

/// What an order shall be: at least one of the three, and what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderChange {
    /// The order.
    pub id: String,
    /// The whole quantity, filled included; what has filled already cancels the rest.
    #[serde(default)]
    pub quantity: Option<Quantity>,
    /// The limit price of a limit or stop-limit order, on the tick.
    #[serde(default)]
    pub limit_price: Option<Price>,
    /// The stop price of a stop or stop-limit order, on the tick.
    #[serde(default)]
    pub stop_price: Option<Price>,
}

/// The same, of an order that a path names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderAsChanged {
    /// See [`OrderChange::quantity`].
    #[serde(default)]
    pub quantity: Option<Quantity>,
    /// See [`OrderChange::limit_price`].
    #[serde(default)]
    pub limit_price: Option<Price>,
    /// See [`OrderChange::stop_price`].
    #[serde(default)]
    pub stop_price: Option<Price>,
}

/// Which orders to cancel; all of the organization if nothing is said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelAll {
    /// Only those of this account.
    #[serde(default)]
    pub account_id: Option<String>,
    /// Only those of this instrument.
    #[serde(default)]
    pub symbol: Option<String>,
    /// Those too that only reduce.
    #[serde(default)]
    pub include_protective: bool,
}

/// Which position to close.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionClose {
    /// The account.
    pub account: String,
    /// The instrument.
    pub symbol: String,
}
