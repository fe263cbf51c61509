//! What can be typed about signals.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{self, Command};

use super::request::{list, one};
use super::search::SignalSearch;
use super::{Asking, ById, Columns};
use crate::replay::Period;

const SIGNALS: Columns = &[
    ("ID", "id"),
    ("RECEIVED AT", "received_at"),
    ("STATUS", "status"),
    ("CODE", "code"),
    ("MESSAGE", "message"),
];

/// `signal ...`
#[derive(Debug, Subcommand)]
pub(crate) enum SignalVerb {
    /// List signals
    List(Box<SignalSearch>),
    /// Show a signal with every check that was made
    Show(ById),
    /// Judge a stored signal by today's rules, or a stored period of them by another policy
    ///
    /// Nothing is written and no order is made. Of a period, what would differ is shown.
    Replay(SignalReplay),
}

/// `signal replay`
#[derive(Debug, Args)]
pub(crate) struct SignalReplay {
    /// The signal; not with a period
    #[arg(value_name = "ID", required_unless_present = "from")]
    id: Option<String>,
    /// The period begins at this instant, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "T", conflicts_with = "id", requires_all = ["to", "policy"])]
    from: Option<Timestamp>,
    /// It ends before this one
    #[arg(long, value_name = "T", requires = "from")]
    to: Option<Timestamp>,
    /// The policy, as `limit export` writes it
    #[arg(long, value_name = "FILE", requires = "from")]
    policy: Option<PathBuf>,
    /// Show so many of the signals that differ
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    differences: u16,
}

impl SignalReplay {
    /// The period, if one is meant.
    pub(crate) fn period(&self) -> Option<Period<'_>> {
        let policy: &Path = self.policy.as_deref()?;
        let differences_max = usize::from(self.differences);
        Some(Period { from: self.from?, to: self.to?, policy, differences_max })
    }
}

impl SignalVerb {
    /// What the engine is asked; `None` for what takes several questions.
    pub(super) fn asking(self) -> Option<Asking> {
        Some(match self {
            Self::List(asked) => list(Command::SignalList((*asked).into()), SIGNALS),
            Self::Show(id) => one(Command::SignalShow(id.into())),
            Self::Replay(asked) => one(Command::SignalReplay(command::ById { id: asked.id? })),
        })
    }
}
