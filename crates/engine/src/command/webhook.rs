//! Commands that make webhooks and their secrets.

use serde::{Deserialize, Serialize};
use tradewarden_domain::signal::Mapping;

/// A webhook to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookCreate {
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// Addresses in CIDR form; none means any.
    #[serde(default)]
    pub allow: Vec<String>,
    /// `tradingview` adds TradingView's addresses.
    #[serde(default)]
    pub preset: Option<String>,
    /// The name that the sender's TLS client certificate must show: an e-mail address, a host name,
    /// `cn:NAME`, or `tradingview`; none is asked for if absent.
    #[serde(default)]
    pub client_certificate: Option<String>,
    /// The symbols that entries may name, at most 256; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<String>,
    /// Signals are judged, never traded.
    #[serde(default)]
    pub dry_run: bool,
    /// Risk-increasing signals a second, 1 to 1,000,000; 10 if absent.
    #[serde(default)]
    pub rate_per_s: Option<u32>,
    /// Age in seconds up to which an entry is fresh, 1 to 86,400; 90 if absent.
    #[serde(default)]
    pub max_age_s: Option<u32>,
    /// Forms of credential: `query`, `header`, `body`, `signature`; the first three if absent.
    #[serde(default)]
    pub forms: Option<Vec<String>>,
    /// How to read the sender's own JSON.
    #[serde(default)]
    pub mapping: Option<Mapping>,
}

/// New secrets for a webhook.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookRotate {
    /// The webhook.
    pub id: String,
    /// Seconds for which the old ones are still taken, 0 to 604,800; a day if absent.
    #[serde(default)]
    pub overlap_s: Option<u32>,
}

/// How long old secrets are still taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookRotation {
    /// Seconds for which the old ones are still taken, 0 to 604,800; a day if absent.
    #[serde(default)]
    pub overlap_s: Option<u32>,
}
