//! Limits and halts.

use serde::{Deserialize, Serialize};
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;

/// A limit to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSet {
    /// `org`, `account:ID`, `strategy:ID` or `instrument:SYMBOL`.
    pub scope: String,
    /// What it bounds.
    pub name: LimitName,
    /// The bound.
    pub value: Quantity,
}

/// A halt to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaltEngage {
    /// `global`, `org:ID`, `account:ID`, `strategy:ID`, `webhook:ID`, `instrument:SYMBOL`; the
    /// organization if absent.
    #[serde(default)]
    pub scope: Option<String>,
    /// How far it goes; block if absent.
    #[serde(default)]
    pub mode: Option<HaltMode>,
    /// Whether one that cancels cancels orders that only reduce, too.
    #[serde(default)]
    pub include_protective: bool,
    /// Why, up to 256 characters.
    #[serde(default)]
    pub reason: Option<String>,
}
