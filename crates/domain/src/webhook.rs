//! Webhooks: doors for signals.

use crate::account::Activity;
use crate::id::{self, Id};
use crate::signal::Mapping;
use crate::time::Timestamp;

/// Which forms of credential a webhook takes (C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four forms, each on or off")]
pub struct CredentialForms {
    /// `?secret=` in the query.
    pub query: bool,
    /// The header `X-Webhook-Secret`.
    pub header: bool,
    /// The member `secret` of the body.
    pub body: bool,
    /// Standard Webhooks signature headers.
    pub signature: bool,
}

impl CredentialForms {
    /// The forms that are on by default: query, header, body.
    pub const DEFAULT: Self = Self { query: true, header: true, body: true, signature: false };
}

/// A webhook's settings; its credentials live with the store and `seal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub id: Id<id::Webhook>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// The token in its path: an identifier, not a secret.
    pub token: String,
    /// Which forms of credential it takes.
    pub forms: CredentialForms,
    /// Addresses in CIDR form; empty means any.
    pub allow: Vec<String>,
    /// Every signal is only judged, never traded.
    pub dry_run: bool,
    /// Risk-increasing signals a second; the default is 10.
    pub rate_per_s: u32,
    /// Entries that state when they were sent may be this old.
    pub max_age_s: u32,
    /// How to read the sender's own JSON, if it is not ours.
    pub mapping: Option<Mapping>,
    /// Whether it takes signals.
    pub state: Activity,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Risk-increasing signals a second that a webhook takes unless it says otherwise.
pub const RATE_PER_S_DEFAULT: u32 = 10;
/// Age in seconds up to which an entry that states its time is fresh, unless the webhook says
/// otherwise (S13).
pub const MAX_AGE_S_DEFAULT: u32 = 90;
/// The addresses from which TradingView sends.
/// Source: TradingView support article 43000529348.
pub const TRADINGVIEW_ADDRESSES: [&str; 4] =
    ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"];
