//! What can be typed about webhooks.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ById;
use super::change::WebhookChange;

/// `webhook ...`
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookVerb {
    /// Make a webhook; its secret is printed once
    Create(WebhookCreate),
    /// List webhooks
    List,
    /// Show a webhook
    Show(ById),
    /// Change a webhook; what is not named stays
    Change(WebhookChange),
    /// Switch a webhook off
    Disable(ById),
    /// Delete a webhook that no strategy follows; its token never works again
    Delete(ById),
    /// Give a webhook new secrets, printed once; the old ones are taken for a while longer
    Rotate(WebhookRotate),
}

/// `webhook rotate`
#[derive(Debug, Args)]
pub(crate) struct WebhookRotate {
    /// Its identifier
    pub(crate) id: String,
    /// Seconds for which the old secrets are still taken; a day if absent
    #[arg(long, value_name = "N")]
    pub(crate) overlap_s: Option<u32>,
}

/// `webhook create`
#[derive(Debug, Args)]
pub(crate) struct WebhookCreate {
    /// What people call it
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    /// Take signals only from this address or network; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow: Vec<String>,
    /// Take signals from a sender's known addresses
    #[arg(long, value_parser = ["tradingview"])]
    pub(crate) preset: Option<String>,
    /// Take signals only from a sender whose TLS client certificate shows this name: an e-mail
    /// address, a host name, `cn:NAME`, or `tradingview`
    #[arg(long, value_name = "PATTERN")]
    pub(crate) client_certificate: Option<String>,
    /// A symbol that entries may name; may be repeated [default: any]
    #[arg(long = "symbol", value_name = "S")]
    pub(crate) symbols: Vec<String>,
    /// Judge signals, never trade
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Entries a second [default: 10]
    #[arg(long, value_name = "N")]
    pub(crate) rate_per_s: Option<u32>,
    /// Seconds for which an entry is fresh [default: 90]
    #[arg(long, value_name = "N")]
    pub(crate) max_age_s: Option<u32>,
    /// A form of credential that it takes; may be repeated [default: query, header, body]
    #[arg(long = "form", value_name = "F", value_parser = ["query", "header", "body", "signature"])]
    pub(crate) forms: Vec<String>,
    /// A JSON file that says where the sender's own JSON holds our fields
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
}
