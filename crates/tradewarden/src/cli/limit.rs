//! What can be typed about limits, and what the engine is asked by it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;
use tradewarden_engine::command::{self, Command};
use tradewarden_engine::tag::IfMatch;

use super::request::{list, one};
use super::word::word;
use super::{Asking, Columns, Page};

const LIMITS: Columns =
    &[("SCOPE", "scope"), ("NAME", "name"), ("VALUE", "value"), ("VERSION", "version")];
const VERSIONS: Columns = &[
    ("VERSION", "version"),
    ("MADE AT", "made_at"),
    ("BY", "made_by"),
    ("CONFIRMED BY", "confirmed_by"),
    ("CHANGED", "changed"),
    ("REASON", "reason"),
];
pub(crate) const CHANGES: Columns =
    &[("SCOPE", "scope"), ("NAME", "name"), ("BEFORE", "before"), ("AFTER", "after")];

/// `limit ...`
#[derive(Debug, Subcommand)]
pub(crate) enum LimitVerb {
    /// Set a limit
    Set(LimitSet),
    /// List limits
    List,
    /// Show a limit, or all of them as they were at a version
    Show(LimitShow),
    /// Delete a limit; where it was required, nothing is traded without another one
    Delete(LimitDelete),
    /// List the versions of the limits, newest first: who made each, when and why
    History(Page),
    /// Tell two versions of the limits apart
    Diff(LimitDiff),
    /// What has to do with a file.
    #[command(flatten)]
    File(LimitFileVerb),
}

/// What puts all limits into a file or out of one.
#[derive(Debug, Subcommand)]
pub(crate) enum LimitFileVerb {
    /// Write all limits as a file that can be kept under version control
    Export(LimitExport),
    /// Put the limits of a file in force, all at once; what is not in it is taken away
    ///
    /// The changes are shown before. A file that says what is in force changes nothing and makes no
    /// version.
    Import(LimitImport),
    /// Compare a file with what is in force: exit 0 if it is the same, 1 with the changes if it is
    /// not, 2 if the file cannot be read
    Check(LimitCheck),
}

/// `limit set`
#[derive(Debug, Args)]
pub(crate) struct LimitSet {
    /// org, account:ID, strategy:ID, key:ID or instrument:SYMBOL
    #[arg(long)]
    scope: String,
    /// What it bounds
    #[arg(long, value_parser = word(LimitName::ALL, LimitName::text))]
    name: LimitName,
    /// The bound
    #[arg(long, value_name = "V", allow_hyphen_values = true)]
    value: Quantity,
    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `limit show`
#[derive(Debug, Args)]
pub(crate) struct LimitShow {
    /// org, account:ID, strategy:ID, key:ID or instrument:SYMBOL
    #[arg(long, required_unless_present = "version", requires = "name")]
    scope: Option<String>,
    /// What it bounds
    #[arg(long, value_parser = word(LimitName::ALL, LimitName::text), requires = "scope")]
    name: Option<LimitName>,
    /// All limits as they were at this version
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), conflicts_with_all = ["scope", "name"])]
    version: Option<i64>,
}

/// `limit delete`
#[derive(Debug, Args)]
pub(crate) struct LimitDelete {
    /// org, account:ID, strategy:ID, key:ID or instrument:SYMBOL
    #[arg(long)]
    scope: String,
    /// What it bounds
    #[arg(long, value_parser = word(LimitName::ALL, LimitName::text))]
    name: LimitName,
    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `limit diff`
#[derive(Debug, Args)]
pub(crate) struct LimitDiff {
    /// The version it was
    #[arg(value_name = "A", value_parser = clap::value_parser!(i64).range(0..))]
    from: i64,
    /// The version that came of it
    #[arg(value_name = "B", value_parser = clap::value_parser!(i64).range(0..))]
    to: i64,
}

/// `limit export`
#[derive(Debug, Args)]
pub(crate) struct LimitExport {
    /// Write to this file instead of standard output; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The limits as they were at this version [default: those in force]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) version: Option<i64>,
}

/// `limit import`
#[derive(Debug, Args)]
pub(crate) struct LimitImport {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `limit check`
#[derive(Debug, Args)]
pub(crate) struct LimitCheck {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

impl LimitVerb {
    /// What the engine is asked; `None` for what has to do with a file.
    pub(super) fn asking(self) -> Option<Asking> {
        Some(match self {
            Self::Set(LimitSet { scope, name, value, reason }) => {
                let if_match = IfMatch::Unsaid;
                one(Command::LimitSet(command::LimitSet { scope, name, value, reason, if_match }))
            }
            Self::List => list(Command::LimitList, LIMITS),
            Self::Show(LimitShow { version: Some(version), .. }) => {
                one(Command::LimitsShow(command::LimitsVersion { version }))
            }
            Self::Show(LimitShow { scope, name, version: None }) => {
                let (scope, name) = (scope?, name?);
                one(Command::LimitShow(command::LimitNamed { scope, name }))
            }
            Self::Delete(LimitDelete { scope, name, reason }) => {
                let limit = command::LimitNamed { scope, name };
                let delete = command::LimitDelete { limit, reason, if_match: IfMatch::Unsaid };
                one(Command::LimitDelete(delete))
            }
            Self::History(page) => list(Command::LimitsVersions(page.into()), VERSIONS),
            Self::Diff(LimitDiff { from, to }) => {
                list(Command::LimitsDiff(command::LimitsDiff { from, to }), CHANGES)
            }
            Self::File(_) => return None,
        })
    }
}
