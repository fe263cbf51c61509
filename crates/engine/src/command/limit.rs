//! Limits and halts.

use crate::tag::IfMatch;
use serde::{Deserialize, Serialize};
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;

/// A limit to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSet {
    /// `org`, `account:ID`, `strategy:ID`, `key:ID` or `instrument:SYMBOL`.
    pub scope: String,
    /// What it bounds.
    pub name: LimitName,
    /// The bound.
    pub value: Quantity,
    /// Why, up to 256 characters; it stands in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which limit it may replace.
    #[serde(default, skip_serializing_if = "IfMatch::is_unsaid")]
    pub if_match: IfMatch,
}

/// A bound as a policy has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitValue {
    /// `org`, `account:ID`, `strategy:ID`, `key:ID` or `instrument:SYMBOL`.
    pub scope: String,
    /// What it bounds.
    pub name: LimitName,
    /// The bound.
    pub value: Quantity,
}

/// All limits as they shall be: what is not in it is taken away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsImport {
    /// Each limit once; at most 10,000.
    pub limits: Vec<LimitValue>,
    /// Why, up to 256 characters; it stands in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version that the caller saw: another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
    /// Only say what would change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Names a version of the limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsVersion {
    /// Its number, from 0 on.
    pub version: i64,
}

/// Names two versions of the limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsDiff {
    /// What it was.
    pub from: i64,
    /// What became of it.
    pub to: i64,
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

/// A dead-man switch to be armed or renewed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadManSet {
    /// Seconds within which it has to be renewed, 1 to 86,400.
    pub timeout_s: u32,
    /// How far the halt goes; cancel if absent.
    #[serde(default)]
    pub mode: Option<HaltMode>,
    /// Whether it cancels orders that only reduce, too.
    #[serde(default)]
    pub include_protective: bool,
}
