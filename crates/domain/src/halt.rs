//! Halts (kill switch): what is stopped, how far, by whom. Many things may engage one; only a
//! person resumes.

use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::order::{Purpose, UnknownWord, words};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

words! {
    /// How far a halt goes.
    HaltMode {
        /// Only what reduces a position passes.
        ReduceOnly = "reduce_only",
        /// Nothing passes.
        Block = "block",
        /// Nothing passes, and what adds risk and is open is canceled.
        Cancel = "cancel",
        /// Only what reduces a position passes, what is open is canceled, and what is held is closed.
        Flatten = "flatten",
    }
}

/// What a halt covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HaltScope {
    /// Everything on this installation.
    Global,
    /// One organization.
    Org(Id<id::Org>),
    /// One account.
    Account(Id<id::Account>),
    /// One strategy.
    Strategy(Id<id::Strategy>),
    /// One webhook.
    Webhook(Id<id::Webhook>),
    /// One API key.
    Key(Id<id::Key>),
    /// One instrument, on every account.
    Instrument(Symbol),
    /// One instrument on one account.
    Pair(Id<id::Account>, Symbol),
}

/// What an order or signal is about, as far as halts care.
#[derive(Debug, Clone, Copy)]
pub struct HaltSubject<'a> {
    /// Its owner.
    pub org: Id<id::Org>,
    /// Its account.
    pub account: Id<id::Account>,
    /// Its strategy, if any.
    pub strategy: Option<Id<id::Strategy>>,
    /// The webhook it came through, if any.
    pub webhook: Option<Id<id::Webhook>>,
    /// The API key that asked for it, if one did.
    pub key: Option<Id<id::Key>>,
    /// Its instrument.
    pub symbol: &'a Symbol,
    /// A person with a fresh factor, or a halt that closes positions, asked for it: as long as it
    /// only reduces, no halt stops it (S20).
    pub passes_halts: bool,
}

/// An engaged halt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Its identifier.
    pub id: Id<id::Halt>,
    /// The owner; a global halt has none.
    pub org_id: Option<Id<id::Org>>,
    /// What it covers.
    pub scope: HaltScope,
    /// How far it goes.
    pub mode: HaltMode,
    /// Whether a halt that cancels cancels what only reduces, too (S20).
    pub include_protective: bool,
    /// Why, in words.
    pub reason: String,
    /// Who or what engaged it.
    pub engaged_by: String,
    /// When.
    pub engaged_at: Timestamp,
}

impl HaltScope {
    /// Whether it covers `subject`.
    pub fn covers(&self, subject: &HaltSubject<'_>) -> bool {
        match self {
            Self::Global => true,
            Self::Org(org) => *org == subject.org,
            Self::Account(account) => *account == subject.account,
            Self::Strategy(strategy) => Some(*strategy) == subject.strategy,
            Self::Webhook(webhook) => Some(*webhook) == subject.webhook,
            Self::Key(key) => Some(*key) == subject.key,
            Self::Instrument(symbol) => symbol == subject.symbol,
            Self::Pair(account, symbol) => *account == subject.account && symbol == subject.symbol,
        }
    }

    /// The same of the instrument as orders name it.
    #[must_use]
    pub fn without_exchange(self) -> Self {
        match self {
            Self::Instrument(symbol) => Self::Instrument(symbol.without_exchange()),
            Self::Pair(account, symbol) => Self::Pair(account, symbol.without_exchange()),
            other => other,
        }
    }
}

impl Halt {
    /// Whether it stops an order of this purpose about this subject.
    pub fn stops(&self, purpose: Purpose, subject: &HaltSubject<'_>) -> bool {
        let mode_stops = match (self.mode, purpose) {
            (_, Purpose::Entry) => true,
            (HaltMode::Block | HaltMode::Cancel, Purpose::Exit) => !subject.passes_halts,
            (HaltMode::ReduceOnly | HaltMode::Flatten, Purpose::Exit) => false,
        };
        mode_stops && self.covers(subject)
    }

    /// Whether the subject is its owner's and within its scope.
    pub fn covers(&self, subject: &HaltSubject<'_>) -> bool {
        self.org_id.is_none_or(|org| org == subject.org) && self.scope.covers(subject)
    }

    /// Whether it takes back an order of this purpose that is open. What a person or a halt closes
    /// with is never taken back, and what only reduces keeps working unless it is meant too (S20).
    pub fn takes_back(&self, purpose: Purpose, subject: &HaltSubject<'_>) -> bool {
        let meant = match purpose {
            Purpose::Entry => true,
            Purpose::Exit => self.include_protective && !subject.passes_halts,
        };
        self.mode.cancels() && meant && self.covers(subject)
    }
}

impl HaltMode {
    /// Whether it cancels what is open.
    pub const fn cancels(self) -> bool {
        matches!(self, Self::Cancel | Self::Flatten)
    }
}

/// The first of `halts` that stops the order.
pub fn stopping<'h>(
    halts: &'h [Halt],
    purpose: Purpose,
    subject: &HaltSubject<'_>,
) -> Option<&'h Halt> {
    halts.iter().find(|halt| halt.stops(purpose, subject))
}

impl fmt::Display for HaltScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Org(id) => write!(f, "org:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Strategy(id) => write!(f, "strategy:{id}"),
            Self::Webhook(id) => write!(f, "webhook:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Instrument(symbol) => write!(f, "instrument:{symbol}"),
            Self::Pair(account, symbol) => write!(f, "pair:{account}/{symbol}"),
        }
    }
}

impl FromStr for HaltScope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if text == "global" {
            return Ok(Self::Global);
        }
        let (kind, name) = text.split_once(':').ok_or(UnknownWord)?;
        match kind {
            "org" => name.parse().map(Self::Org).map_err(|_| UnknownWord),
            "account" => name.parse().map(Self::Account).map_err(|_| UnknownWord),
            "strategy" => name.parse().map(Self::Strategy).map_err(|_| UnknownWord),
            "webhook" => name.parse().map(Self::Webhook).map_err(|_| UnknownWord),
            "key" => name.parse().map(Self::Key).map_err(|_| UnknownWord),
            "instrument" => name.parse().map(Self::Instrument).map_err(|_| UnknownWord),
            "pair" => {
                let (account, symbol) = name.split_once('/').ok_or(UnknownWord)?;
                match (account.parse(), symbol.parse()) {
                    (Ok(account), Ok(symbol)) => Ok(Self::Pair(account, symbol)),
                    _ => Err(UnknownWord),
                }
            }
            _ => Err(UnknownWord),
        }
    }
}
