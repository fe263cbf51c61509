//! What is shown of policies and overrides.

use serde::Serialize;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::time::Timestamp;

/// Who made a version of the limits, when and why.
#[derive(Debug, Serialize)]
pub struct VersionView {
    /// Its number.
    pub version: i64,
    /// When.
    pub made_at: Timestamp,
    /// Who.
    pub made_by: String,
    /// The second person, if two were needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<Id<id::User>>,
    /// Why, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The SHA-256 of the limits: one line each, sorted, with scope, name and bound in units of
    /// 10^-8.
    pub content_sha256: String,
    /// How many limits changed.
    pub changed: u32,
}

/// A bound as a policy has it.
#[derive(Debug, Serialize)]
pub struct LimitValueView {
    /// Where it applies.
    pub scope: String,
    /// What it bounds.
    pub name: String,
    /// The bound.
    pub value: Quantity,
}

/// What became of one limit.
#[derive(Debug, Serialize)]
pub struct LimitChangeView {
    /// Where it applies.
    pub scope: String,
    /// What it bounds.
    pub name: String,
    /// The bound until then, if it was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Quantity>,
    /// The bound from then on, if it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Quantity>,
}

/// All limits at one version.
#[derive(Debug, Serialize)]
pub struct PolicyView {
    /// The version.
    pub version: i64,
    /// When it was made; an organization begins at version 0, which nobody made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// The second person, if two were needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<Id<id::User>>,
    /// Why, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// See [`VersionView::content_sha256`].
    pub content_sha256: String,
    /// The limits, as far as the caller may know of them.
    pub limits: Vec<LimitValueView>,
    /// What the version changed.
    pub changes: Vec<LimitChangeView>,
}

/// An override.
#[derive(Debug, Serialize)]
pub struct OverrideView {
    /// Its identifier.
    pub id: Id<id::Override>,
    /// The account of the order.
    pub account_id: Id<id::Account>,
    /// What it trades.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// At most so much.
    pub quantity: Quantity,
    /// The limit that does not stop it.
    pub limit: String,
    /// Why.
    pub reason: String,
    /// `requested`, `confirmed`, `used`, `withdrawn` or `expired`.
    pub state: &'static str,
    /// Seconds for which it is valid once it is confirmed.
    pub valid_s: u32,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Who said yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Who took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    /// Until when it waits, and once confirmed, is valid.
    pub expires_at: Timestamp,
    /// The order that used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Id<id::Order>>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
}

/// What an import of limits did, or would do.
#[derive(Debug, Serialize)]
pub struct LimitsView {
    /// The version in force.
    pub version: i64,
    /// Nothing was changed.
    pub dry_run: bool,
    /// More may be traded than before.
    pub loosens: bool,
    /// See [`VersionView::content_sha256`].
    pub content_sha256: String,
    /// What differs; nothing if the same limits were in force.
    pub changes: Vec<LimitChangeView>,
}
