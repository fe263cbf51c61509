//! Overrides.

use serde::{Deserialize, Serialize};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;

/// An override that somebody asks for: one order that may pass one limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// The account of the order.
    pub account_id: String,
    /// What it trades.
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// At most so much.
    pub quantity: Quantity,
    /// The limit that shall not stop it.
    pub limit: LimitName,
    /// Why, 1 to 256 characters.
    pub reason: String,
    /// Minutes for which it is valid once it is confirmed, 1 to 15; 15 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}
