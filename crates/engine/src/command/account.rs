//! Accounts, and prices of paper instruments.

use serde::{Deserialize, Serialize};
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::Trading;

/// An account to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountCreate {
    /// The broker's kind; `paper` is what this version has.
    pub broker: String,
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// Virtual cash, for `paper`.
    #[serde(default)]
    pub cash: Option<Money>,
    /// When its days of trading begin, for example `17:00 America/New_York`, which it is if absent.
    #[serde(default)]
    pub session: Option<String>,
    /// Who lets it trade on after a loss of the day; the next session if absent.
    #[serde(default)]
    pub loss_reset: Option<LossReset>,
}

/// An account that is to be cut off from its broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountDisconnect {
    /// Its identifier.
    pub id: String,
    /// The phrase that is shown with the list of what is open there; none is asked for where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
}

/// That the list of what is open on an account was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfirm {
    /// The phrase that is shown with the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
}

/// A price for a paper instrument.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperPrice {
    /// The instrument.
    pub symbol: String,
    /// Its price; absent lets it move by itself again.
    #[serde(default)]
    pub price: Option<Price>,
    /// When it trades: `open`, `closed`, or `hours` for those of its calendar; open if absent.
    #[serde(default)]
    pub market: Option<Trading>,
}
