//! The command line (C25 to C27): what can be typed, and nothing of what it does.

mod ca;
mod change;
mod key;
mod limit;
mod lockdown;
mod order;
mod organization;
mod overrides;
mod pins;
mod rate;
mod reference;
mod request;
mod roll;
mod safety;
mod search;
mod signal;
mod strategy;
mod vault;
mod webhook;
mod word;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::money::{Money, Price};
use tradewarden_domain::price::Trading;

pub(crate) use self::ca::{CaIssue, CaRevoke, CaVerb};
pub(crate) use self::change::AccountChange;
pub(crate) use self::key::{KeyCreate, KeyVerb, Sign};
pub(crate) use self::limit::{
    CHANGES, LimitCheck, LimitExport, LimitFileVerb, LimitImport, LimitVerb,
};
pub(crate) use self::lockdown::{LockdownBundle, LockdownVerb};
pub(crate) use self::order::OrderVerb;
pub(crate) use self::organization::OrganizationVerb;
pub(crate) use self::overrides::OverrideVerb;
pub(crate) use self::pins::{Pins, PinsForm};
pub(crate) use self::rate::RateVerb;
pub(crate) use self::reference::reference;
pub(crate) use self::request::{Asking, Columns, Shape, password};
pub(crate) use self::roll::RollVerb;
pub(crate) use self::safety::{AlertVerb, DeadManVerb, HaltEngage, HaltVerb};
use self::search::{FindingSearch, PositionSearch};
pub(crate) use self::signal::SignalVerb;
pub(crate) use self::strategy::{StrategyCreate, StrategyVerb};
pub(crate) use self::vault::{VaultRotate, VaultVerb};
pub(crate) use self::webhook::{WebhookCreate, WebhookVerb};
use self::word::word;

/// A security-first gateway for automated trading.
///
/// Exit codes: 0 yes or done, 1 the answer is no, 2 wrong usage, 3 not found or not allowed, 4
/// unavailable. Commands work whether the gateway runs or not.
#[derive(Debug, Parser)]
#[command(name = "tradewarden", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The data directory [default: tradewarden-data; for demo tradewarden-demo]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The organization that a command is about, by identifier or name; needed where there are several
    #[arg(long, global = true, value_name = "ORG")]
    pub(crate) organization: Option<String>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the gateway
    Serve(Listen),
    /// Run a gateway with paper money and everything set up, and print what to try
    Demo(Listen),
    /// Make the data directory with keys, certificates and database, and stop
    ///
    /// With --email, also the first owner: the answer holds the secret for an authenticator app,
    /// once, and the first login asks for its code.
    Init(Init),
    /// Check, print or explain the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Say what is as it should be and what is not, with the way to put it right
    ///
    /// Configuration, files, certificate, database, key source, audit log, clock, whether TradingView
    /// comes through: each green, amber or red. Beside a running gateway or without one; nothing is
    /// changed. Exit 1 where something is red.
    Doctor,
    /// Doors for signals
    #[command(subcommand)]
    Webhook(WebhookVerb),
    /// What to do with a webhook's signals
    #[command(subcommand)]
    Strategy(StrategyVerb),
    /// API keys
    #[command(subcommand)]
    Key(KeyVerb),
    /// Sign one request and print the curl line that sends it
    Sign(Sign),
    /// Broker accounts
    #[command(subcommand)]
    Account(AccountVerb),
    /// Bounds for orders
    #[command(subcommand)]
    Limit(LimitVerb),
    /// Orders that may pass one limit, because two people said so
    #[command(subcommand)]
    Override(OverrideVerb),
    /// Which month contract a continuous symbol stands for
    #[command(subcommand)]
    Roll(RollVerb),
    /// Rates of exchange
    #[command(subcommand)]
    Rate(RateVerb),
    /// The kill switch
    #[command(subcommand)]
    Halt(HaltVerb),
    /// One action for a compromised account: stop, lock everybody out, then go on step by step
    #[command(subcommand)]
    Lockdown(LockdownVerb),
    /// A halt that is engaged when nobody says any more that it is alive
    #[command(subcommand)]
    DeadMan(DeadManVerb),
    /// Signals with their decision traces
    #[command(subcommand)]
    Signal(SignalVerb),
    /// Orders
    #[command(subcommand)]
    Order(OrderVerb),
    /// Positions
    #[command(subcommand)]
    Position(PositionVerb),
    /// What was found to be odd
    #[command(subcommand)]
    Finding(FindingVerb),
    /// What people are told of until one acknowledges it
    #[command(subcommand)]
    Alert(AlertVerb),
    /// Organizations: who trades apart from whom
    #[command(subcommand)]
    Organization(OrganizationVerb),
    /// People: who may log in, with which role
    #[command(subcommand)]
    User(UserVerb),
    /// The audit log and its proofs
    #[command(subcommand)]
    Audit(AuditVerb),
    /// The private CA of the internal listener: who may come in there
    #[command(subcommand)]
    Ca(CaVerb),
    /// Sign and print the pins of the public certificate's keys, for clients that hold us to them
    Pins(Pins),
    /// The keys under which secrets are stored
    #[command(subcommand)]
    Vault(VaultVerb),
    /// The database
    #[command(subcommand)]
    Db(DbVerb),
    /// Measure this machine
    #[command(subcommand)]
    Bench(BenchVerb),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Run the paper broker as a process of its own
    #[command(hide = true)]
    PaperBroker,
    /// Print the reference of the command line
    #[command(hide = true)]
    CliReference,
}

/// The first owner, if there is to be one.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The first owner's e-mail
    #[arg(long, value_name = "E", requires = "password_file")]
    pub(crate) email: Option<String>,
    /// A file with the first owner's password
    #[arg(long, value_name = "FILE", requires = "email")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Where to listen.
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// The public listener's address; port 0 takes any free port
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// The internal listener's address; port 0 takes any free port
    #[arg(long, value_name = "ADDR")]
    pub(crate) internal_listen: Option<SocketAddr>,
}

/// `bench ...`
#[derive(Debug, Subcommand)]
pub(crate) enum BenchVerb {
    /// Drive a gateway of its own with signals, beside a bare echo and the disk's own sync
    ///
    /// The data directory [default: tradewarden-bench] must not exist; it is made, and removed at
    /// the end. The load generator runs in the same process, on the same cores.
    Intake(Load),
    /// Start with many keys and webhooks, find them, and verify signed requests
    ///
    /// The data directory [default: tradewarden-bench] must not exist; it is made, and removed at
    /// the end. Each start is a process of its own.
    Keys(Amount),
    /// Start with a long history of orders
    ///
    /// The data directory [default: tradewarden-bench] must not exist; it is made, and removed at
    /// the end. Each start is a process of its own.
    Start(History),
    /// Halt a gateway of its own under full load, and cancel many open orders
    ///
    /// The data directory [default: tradewarden-bench] must not exist; it is made, and removed at
    /// the end. The load generator runs in the same process, on the same cores.
    Halt(Halting),
    /// Judge orders by every check, with limits at every level, among few and many instruments
    ///
    /// In one thread of this process; nothing is written.
    Risk,
    /// Seal and open records, and wrap and open data keys
    ///
    /// In one thread of this process; nothing is written.
    Vault,
    /// Shake hands with a gateway of its own, beside a bare server with the same TLS
    ///
    /// The data directory [default: tradewarden-bench] must not exist; it is made, and removed at
    /// the end. The clients run in the same process, on the same cores.
    Tls(Handshakes),
    /// Start once on what is there, and say what it took
    #[command(hide = true)]
    Loaded {
        /// Keys that a bench made
        keys: u32,
        /// Webhooks that a bench made
        webhooks: u32,
    },
}

/// How much shaking of hands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Handshakes {
    /// Clients that shake hands at the same time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) clients: u16,
    /// Seconds of each measurement
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) seconds: u16,
    /// How often each is measured, in turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,
}

/// How many keys and webhooks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Amount {
    /// Keys, and as many webhooks, of the larger installation
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: u32,
}

/// How much history.
#[derive(Debug, Clone, Args)]
pub(crate) struct History {
    /// Orders, each with its fill
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) orders: u32,
}

/// What is halted.
#[derive(Debug, Clone, Args)]
pub(crate) struct Halting {
    /// Connections, all kept alive
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// How often a halt is engaged
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,
    /// Accounts, each with a webhook and a strategy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) accounts: u16,
    /// Orders that are open when they are canceled
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub(crate) orders: u16,
}

/// How much load for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Connections, all kept alive
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// Seconds of each measurement
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub(crate) seconds: u16,
    /// How often echo and intake are measured in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) rounds: u16,
    /// Accounts, each with a webhook and a strategy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) accounts: u16,
}

/// `config ...`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say whether a start would be refused, and why
    Check,
    /// Print the effective values, without secrets
    Print,
    /// Print every key with its type, default and meaning, as Markdown
    Reference,
}

/// Names one thing.
#[derive(Debug, Args)]
pub(crate) struct ById {
    /// Its identifier
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// A page of a long list, newest first.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// The `next` of the page before
    #[arg(long, value_name = "NEXT")]
    pub(crate) cursor: Option<String>,
    /// At most so many, 1 to 200
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: Option<u32>,
}

/// `account ...`
#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
    /// Make an account
    Create(AccountCreate),
    /// List accounts
    List,
    /// Show an account
    Show(ById),
    /// Change an account; what is not named stays
    Change(AccountChange),
    /// Show what was made on an account, by instrument and strategy
    Profit(ById),
    /// Switch an account off; it still takes exits
    Disable(ById),
    /// Cut an account off from its broker, and switch off what trades there alone
    Disconnect(AccountDisconnect),
    /// Set a paper instrument's price, or let it move by itself again
    Price(AccountPrice),
}

/// `account disconnect`
#[derive(Debug, Args)]
pub(crate) struct AccountDisconnect {
    /// Its identifier
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The phrase that is shown with the list of what is open there
    #[arg(long, value_name = "PHRASE")]
    pub(crate) phrase: Option<String>,
}

/// `account create`
#[derive(Debug, Args)]
pub(crate) struct AccountCreate {
    /// The broker
    #[arg(long, value_parser = ["paper"])]
    pub(crate) broker: String,
    /// What people call it
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    /// Virtual cash of a paper account
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) cash: Option<Money>,
    /// When its days of trading begin, as `17:00 America/New_York` [default: by what it trades]
    #[arg(long, value_name = "TIME ZONE")]
    pub(crate) session: Option<String>,
    /// Who lets it trade on after a loss of the day [default: session]
    #[arg(long, value_parser = word(LossReset::ALL, LossReset::text))]
    pub(crate) loss_reset: Option<LossReset>,
}

/// `account price`
#[derive(Debug, Args)]
pub(crate) struct AccountPrice {
    /// The instrument
    pub(crate) symbol: String,
    /// Its price, or the word `synthetic`
    pub(crate) price: PaperPrice,
    /// When it trades: always, not at all, or at the hours of its calendar [default: open]
    #[arg(long, value_parser = word(Trading::ALL, Trading::text))]
    pub(crate) market: Option<Trading>,
}

/// A price that is set, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaperPrice {
    /// It moves by itself.
    Synthetic,
    /// It is this.
    Fixed(Price),
}

impl std::str::FromStr for PaperPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "synthetic" => Ok(Self::Synthetic),
            price => price.parse().map(Self::Fixed).map_err(|error| {
                format!("{error}; write a price like 230.50, or the word synthetic")
            }),
        }
    }
}

/// `position ...`
#[derive(Debug, Subcommand)]
pub(crate) enum PositionVerb {
    /// List positions
    List(PositionSearch),
}

/// `finding ...`
#[derive(Debug, Subcommand)]
pub(crate) enum FindingVerb {
    /// List findings
    List(Box<FindingSearch>),
}

/// `user ...`
#[derive(Debug, Subcommand)]
pub(crate) enum UserVerb {
    /// Add a person; without a password, a token for an invitation is printed, once
    Create(UserCreate),
    /// List people
    List,
    /// Show a person
    Show(UserName),
    /// Keep a person from logging in, and end their sessions
    Disable(UserName),
    /// Let a person log in again
    Enable(UserName),
    /// Give a person another role
    SetRole(UserSetRole),
    /// Print a token with which a person sets a new password within 24 hours
    ResetPassword(UserName),
    /// Take a person's second factors and recovery codes away, after they were lost
    ResetFactors(UserName),
    /// End a person's sessions
    EndSessions(UserName),
    /// Take a person out of the organization
    Remove(UserName),
}

/// `user create`
#[derive(Debug, Args)]
pub(crate) struct UserCreate {
    /// The e-mail
    #[arg(long, value_name = "E")]
    pub(crate) email: String,
    /// `owner`, `admin`, `risk_officer`, `trader`, `auditor`, `viewer`, or one of the organization's own
    #[arg(long, value_name = "R")]
    pub(crate) role: String,
    /// A file with the password
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Names one person.
#[derive(Debug, Args)]
pub(crate) struct UserName {
    /// The identifier or the e-mail
    #[arg(value_name = "USER")]
    pub(crate) user: String,
}

/// `user set-role`
#[derive(Debug, Args)]
pub(crate) struct UserSetRole {
    /// The identifier or the e-mail
    #[arg(value_name = "USER")]
    pub(crate) user: String,
    /// The role
    #[arg(value_name = "ROLE")]
    pub(crate) role: String,
}

/// `audit ...`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Verify the whole log, or a bundle or proof from elsewhere
    Verify(AuditVerify),
    /// Prove that an entry, or the entry about an object, is in the log (C2SP tlog-proof)
    Prove(AuditProve),
    /// Write the log as a bundle that can be verified without us
    Export(Out),
    /// List limits, halts, keys, members and roles that are not what the log says; with the phrase
    /// that is answered, make them what it says from now on
    Accept(AuditAccept),
}

/// `audit accept`
#[derive(Debug, Args)]
pub(crate) struct AuditAccept {
    /// The phrase that this command answers without one
    #[arg(long, value_name = "PHRASE")]
    pub(crate) phrase: Option<String>,
}

/// `audit verify`
#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// A bundle of `audit export`, or a proof of `audit prove`
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) offline: Option<PathBuf>,
    /// The verifier key that you trust; without it, a bundle's own key is used and named
    #[arg(long, value_name = "VKEY", requires = "offline")]
    pub(crate) key: Option<String>,
}

/// `audit prove`
#[derive(Debug, Args)]
pub(crate) struct AuditProve {
    /// An entry, or the signal, order, halt or other object it is about
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Where to write.
#[derive(Debug, Args)]
pub(crate) struct Out {
    /// The file to make
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `db ...`
#[derive(Debug, Subcommand)]
pub(crate) enum DbVerb {
    /// Bring the database's schema up to this version
    Migrate,
    /// Write a consistent copy of the SQLite database, also while the gateway runs
    Backup(Out),
    /// Go on from a copy, as another incarnation: reduce-only until a person has compared it with the brokers
    Restore(DbRestore),
}

/// `db restore`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DbRestore {
    /// A copy that `db backup` made; the present database is moved aside
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    /// The configured database was restored by other means, such as PostgreSQL's own
    #[arg(long)]
    pub(crate) declare: bool,
}

#[cfg(test)]
mod tests;
