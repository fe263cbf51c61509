//! `roll ...`.

use clap::{Args, Subcommand};
use tradewarden_domain::day::Day;
use tradewarden_domain::time::Timestamp;

use super::ById;

/// `roll ...`
#[derive(Debug, Subcommand)]
pub(crate) enum RollVerb {
    /// Put a month contract into the table, or change it there
    Set(RollSet),
    /// List the month contracts
    List,
    /// Take a month contract, by its symbol, out of the table
    Remove(ById),
}

/// `roll set`
#[derive(Debug, Args)]
pub(crate) struct RollSet {
    /// What it is a month of, such as ES
    #[arg(long, value_name = "S")]
    pub(crate) root: String,
    /// Its symbol, such as ESZ26
    #[arg(long, value_name = "S")]
    pub(crate) contract: String,
    /// Its last trading day, such as 2026-12-18
    #[arg(long, value_name = "DATE")]
    pub(crate) expires_on: Day,
    /// The day of its first notice, where it is delivered
    #[arg(long, value_name = "DATE")]
    pub(crate) first_notice_on: Option<Day>,
    /// When entries go to the next month [default: 8 days before the expiry, or 2 trading days
    /// before the first notice]
    #[arg(long, value_name = "TIME")]
    pub(crate) roll_at: Option<Timestamp>,
}
