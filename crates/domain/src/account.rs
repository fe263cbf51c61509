//! Accounts: where orders go.

use crate::id::{self, Id};
use crate::instrument::{Instrument, Symbol};
use crate::order::{UnknownWord, words};
use crate::session::TradingDays;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

words! {
    /// Whether something takes part.
    Activity {
        /// It does.
        Active = "active",
        /// It does not.
        Disabled = "disabled",
    }
}

/// The word is neither `active` nor `disabled`.
pub type ActivityError = UnknownWord;

/// A trading account at a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub id: Id<id::Account>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// The broker's kind, for example `paper`.
    pub broker: String,
    /// The broker's name for the account.
    pub broker_account: String,
    /// Currency of its cash.
    pub currency: String,
    /// Whether it takes orders.
    pub state: Activity,
    /// When its days of trading begin, and who lets it trade on after a loss of one (S23).
    pub days: TradingDays,
    /// What can be traded on it.
    pub instruments: BTreeMap<Symbol, Instrument>,
    /// When it was made.
    pub created_at: Timestamp,
}
