//! `lockdown ...`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tradewarden_domain::lockdown::Positions;
use tradewarden_engine::command::{self, Command};

use super::request::{Asking, Shape};
use super::word::word;

/// `lockdown ...`
#[derive(Debug, Subcommand)]
pub(crate) enum LockdownVerb {
    /// Lock everything down: halt new risk, end all sessions and API keys, cancel what adds risk
    Engage(LockdownEngage),
    /// Show how far it is, what is open, and what is left for people to do
    Status,
    /// Say what becomes of open positions; without an answer within 60 s they are kept
    Answer(LockdownAnswer),
    /// Confirm the list of open positions; then the access to brokers is erased
    Confirm(LockdownConfirm),
    /// Let changes be made again; halts stay until they are resumed
    End,
    /// Write everything that is known of the days around it to a file, without secrets
    Bundle(LockdownBundle),
}

/// `lockdown bundle`
#[derive(Debug, Args)]
pub(crate) struct LockdownBundle {
    /// The file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `lockdown engage`
#[derive(Debug, Args)]
pub(crate) struct LockdownEngage {
    /// Why [default: no reason was given]
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// `lockdown answer`
#[derive(Debug, Args)]
pub(crate) struct LockdownAnswer {
    /// Close them, or keep them with what protects them
    #[arg(value_parser = word(Positions::ALL, Positions::text))]
    pub(crate) positions: Positions,
}

/// `lockdown confirm`
#[derive(Debug, Args)]
pub(crate) struct LockdownConfirm {
    /// The phrase that `lockdown status` shows with the list
    pub(crate) phrase: String,
}

/// What the engine is asked.
pub(super) fn asking(verb: LockdownVerb) -> Asking {
    let command = match verb {
        LockdownVerb::Engage(LockdownEngage { reason }) => {
            let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
            Command::LockdownEngage(command::LockdownEngage { reason })
        }
        LockdownVerb::Status => Command::LockdownStatus,
        LockdownVerb::Answer(LockdownAnswer { positions }) => {
            Command::LockdownAnswer(command::LockdownAnswer { positions })
        }
        LockdownVerb::Confirm(LockdownConfirm { phrase }) => {
            Command::LockdownConfirm(command::LockdownConfirm { phrase })
        }
        LockdownVerb::End => Command::LockdownEnd,
        LockdownVerb::Bundle(_) => Command::LockdownBundle,
    };
    Asking { command, shape: Shape::One }
}
