//! The roll table.

use serde::{Deserialize, Serialize};
use tradewarden_domain::day::Day;
use tradewarden_domain::time::Timestamp;

/// A month contract as the roll table shall have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollSet {
    /// What it is a month of, such as `ES`.
    pub root: String,
    /// Its symbol, such as `ESZ26`.
    pub contract: String,
    /// Its last trading day.
    pub expires_on: Day,
    /// From this day on who holds it may have to take delivery; absent where it settles in cash.
    #[serde(default)]
    pub first_notice_on: Option<Day>,
    /// From this instant on entries go to the next month; 8 days before the expiry, or 2 trading
    /// days before the first notice, if absent.
    #[serde(default)]
    pub roll_at: Option<Timestamp>,
}
