//! Commands: everything a person at the command line asks for, as values that can cross a socket.

use serde::{Deserialize, Serialize};
use std::fmt;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::signal::Mapping;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing, SymbolSource};

/// One request of an operator. Fields carry the names of the API's create bodies (C27).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Makes a webhook; the answer holds its secret, once.
    WebhookCreate(WebhookCreate),
    /// Lists webhooks.
    WebhookList,
    /// Shows one webhook.
    WebhookShow(ById),
    /// Switches a webhook off.
    WebhookDisable(ById),
    /// Makes a strategy.
    StrategyCreate(StrategyCreate),
    /// Lists strategies.
    StrategyList,
    /// Shows one strategy.
    StrategyShow(ById),
    /// Switches a strategy off: to exits only while it holds a position.
    StrategyDisable(ById),
    /// Makes an account.
    AccountCreate(AccountCreate),
    /// Lists accounts.
    AccountList,
    /// Shows one account.
    AccountShow(ById),
    /// Switches an account off.
    AccountDisable(ById),
    /// Sets a paper instrument's price, or lets it move by itself again.
    PaperPrice(PaperPrice),
    /// Sets a limit.
    LimitSet(LimitSet),
    /// Lists limits.
    LimitList,
    /// Engages a halt.
    HaltEngage(HaltEngage),
    /// Ends a halt.
    HaltResume(ById),
    /// Lists the halts that are engaged.
    HaltStatus,
    /// Lists signals, newest first.
    SignalList(Paging),
    /// Shows a signal with its trace.
    SignalShow(ById),
    /// Judges a stored signal by today's rules, without an order.
    SignalReplay(ById),
    /// Lists orders, newest first.
    OrderList(Paging),
    /// Shows one order.
    OrderShow(ById),
    /// Lists positions.
    PositionList,
    /// Lists findings, newest first.
    FindingList(Paging),
    /// Proves that an entry, or the entry about an object, is in the log.
    AuditProve(ById),
}

/// Names one thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ById {
    /// Its identifier.
    pub id: String,
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// The `next` of the page before; absent for the first page.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many, 1 to 200; 50 if absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

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

/// A strategy to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyCreate {
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// The webhook it follows.
    pub webhook: String,
    /// The account it trades on.
    pub account: String,
    /// What it trades.
    pub symbol: String,
    /// The size of an entry.
    pub quantity: Quantity,
    /// Where the size comes from; fixed if absent.
    #[serde(default)]
    pub sizing: Option<Sizing>,
    /// What an opposite signal does.
    #[serde(default)]
    pub on_opposite: Option<OnOpposite>,
    /// What a signal along the position does; ignored if absent.
    #[serde(default)]
    pub pyramiding: Option<Pyramiding>,
    /// Whether a sale while flat opens a short.
    #[serde(default)]
    pub allow_short: bool,
    /// Whether the signal may name another symbol.
    #[serde(default)]
    pub symbol_source: Option<SymbolSource>,
    /// Seconds within which an entry must have been sent, 1 to 300; 10 if absent.
    #[serde(default)]
    pub send_within_s: Option<u32>,
    /// Another strategy may trade the same instrument on the same account (S3).
    #[serde(default)]
    pub shared_position: bool,
}

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
    /// `open` or `closed`; open if absent.
    #[serde(default)]
    pub market: Option<String>,
}

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
    /// Why, up to 256 characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A command that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// A field is missing or has a value that is not allowed.
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no such thing.
    NotFound,
    /// A rule said no.
    Refused {
        /// Which.
        code: Code,
        /// In a sentence.
        detail: String,
    },
    /// It could not be made durable, or the database is away.
    Unavailable {
        /// In a sentence.
        detail: String,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { field, detail } => write!(f, "{field}: {detail}"),
            Self::NotFound => f.write_str("there is no such thing"),
            Self::Refused { code, detail } => write!(f, "{code}: {detail}"),
            Self::Unavailable { detail } => write!(f, "unavailable: {detail}"),
        }
    }
}

impl std::error::Error for CommandError {}

/// On whose authority a command is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
}

impl Actor {
    /// The person who holds the operator token or the data directory.
    pub fn operator() -> Self {
        Self { name: "operator".to_owned() }
    }

    /// How the actor is called in records.
    pub fn name(&self) -> &str {
        &self.name
    }
}
