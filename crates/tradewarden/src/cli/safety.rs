//! `halt ...`, `dead-man ...` and `alert ...`.

use clap::{Args, Subcommand};
use tradewarden_domain::halt::HaltMode;

use super::word::word;
use super::{ById, Page};

/// `halt ...`
#[derive(Debug, Subcommand)]
pub(crate) enum HaltVerb {
    /// Stop trading
    Engage(HaltEngage),
    /// End a halt
    Resume(ById),
    /// List the halts that are engaged
    Status,
    /// Show a halt and how far it has come
    Show(ById),
}

/// `halt engage`
#[derive(Debug, Args)]
pub(crate) struct HaltEngage {
    /// global, org, org:ID, account:ID, strategy:ID, webhook:ID, key:ID, instrument:SYMBOL or
    /// pair:ACCOUNT/SYMBOL [default: the organization; where there are several and none is named,
    /// global]
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// How far it goes [default: block]
    #[arg(long, value_parser = word(HaltMode::ALL, HaltMode::text))]
    pub(crate) mode: Option<HaltMode>,
    /// Cancel orders that only reduce, too
    #[arg(long)]
    pub(crate) include_protective: bool,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Wait until nothing is left to cancel and to close, and show how far it has come
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `dead-man ...`
#[derive(Debug, Subcommand)]
pub(crate) enum DeadManVerb {
    /// Arm the organization's switch, or renew it
    Set(DeadManSet),
    /// Disarm it
    Off,
    /// List switches
    List,
}

/// `dead-man set`
#[derive(Debug, Args)]
pub(crate) struct DeadManSet {
    /// Seconds within which it has to be renewed, 1 to 86400
    #[arg(value_name = "SECONDS")]
    pub(crate) timeout_s: u32,
    /// How far the halt goes [default: cancel]
    #[arg(long, value_parser = word(HaltMode::ALL, HaltMode::text))]
    pub(crate) mode: Option<HaltMode>,
    /// Cancel orders that only reduce, too
    #[arg(long)]
    pub(crate) include_protective: bool,
}

/// `alert ...`
#[derive(Debug, Subcommand)]
pub(crate) enum AlertVerb {
    /// List alerts
    List(Page),
    /// Have an alert told no more
    Acknowledge(ById),
    /// List the channels on which alerts go out
    Channels,
    /// Send a test on every channel
    Test,
}
