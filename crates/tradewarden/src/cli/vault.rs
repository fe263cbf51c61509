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
    ///
    /// With `--data-keys` the data keys themselves are replaced, and everything that they sealed is
    /// sealed anew, while the gateway runs. After a crash it goes on where it ended.
    Rotate(VaultRotate),
    /// Erase an organization's data keys: what they sealed never opens again
    ///
    /// Without `--phrase` it says what would be erased, and which phrase confirms it. Signing secrets of
    /// webhooks are gone and API keys with a shared secret are revoked; everything else goes on.
    Erase(VaultErase),
    /// Wrap all data keys under the newest key of the current source
    ///
    /// In small steps, while the gateway runs. After a crash it goes on where it ended.
    Rewrap(VaultRewrap),
}

/// `vault rotate`
#[derive(Debug, Args)]
pub(crate) struct VaultRotate {
    /// Replace data keys, and seal anew what they sealed
    #[arg(long)]
    pub(crate) data_keys: bool,
    /// Only those of this organization
    #[arg(long, value_name = "ORG", requires = "data_keys")]
    pub(crate) org: Option<String>,
    /// Only those for this purpose
    #[arg(long, value_name = "PURPOSE", requires = "data_keys",
          value_parser = ["intake", "people", "messages", "broker", "ledger", "certificates"])]
    pub(crate) purpose: Option<String>,
}

/// `vault erase`
#[derive(Debug, Args)]
pub(crate) struct VaultErase {
    /// The organization
    #[arg(long, value_name = "ORG")]
    pub(crate) org: String,
    /// Only the keys for this purpose
    #[arg(long, value_name = "PURPOSE", value_parser = ["intake", "broker"])]
    pub(crate) purpose: Option<String>,
    /// The phrase that is shown without it
    #[arg(long, value_name = "PHRASE")]
    pub(crate) phrase: Option<String>,
}

/// `vault rewrap`
#[derive(Debug, Args)]
pub(crate) struct VaultRewrap {
    /// Refuse if the current key source is of another kind
    #[arg(long, value_name = "KIND", value_parser = ["file", "transit", "pkcs11"])]
    pub(crate) to: Option<String>,
}
