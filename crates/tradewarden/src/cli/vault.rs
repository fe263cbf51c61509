//! `vault ...`

use clap::{Args, Subcommand};

/// `vault ...`
#[derive(Debug, Subcommand)]
pub(crate) enum VaultVerb {
    /// Show the key sources, and which of their keys wrap how many data keys
    Status,
    /// Have the key source make a new version of its key, which wraps from now on
    ///
    /// What older versions wrapped still opens. `vault rewrap` afterwards puts everything under the
    /// new one. Of a key file, make a new backup.
    Rotate,
    /// Wrap all data keys under the newest key of the current source
    ///
    /// In small steps, while the gateway runs. After a crash it goes on where it ended.
    Rewrap(VaultRewrap),
}

/// `vault rewrap`
#[derive(Debug, Args)]
pub(crate) struct VaultRewrap {
    /// Refuse if the current key source is of another kind
    #[arg(long, value_name = "KIND", value_parser = ["file", "transit", "pkcs11"])]
    pub(crate) to: Option<String>,
}
