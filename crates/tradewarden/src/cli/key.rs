//! `key ...` and `sign`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::key::KeyAlgorithm;
use tradewarden_domain::money::Money;
use tradewarden_domain::permission::Permission;
use tradewarden_domain::tier::Tier;

use super::{ById, word::word};

/// `key ...`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key; what it signs with is told once
    Create(KeyCreate),
    /// List keys
    List,
    /// Show a key
    Show(ById),
    /// Make the successor of a key; both are taken until the overlap ends
    Rotate(KeyRotate),
    /// Let a key only cancel and close
    Suspend(ById),
    /// Let a suspended key go on
    Activate(ById),
    /// End a key, for ever and at once
    Revoke(ById),
    /// Tell what a key did in the last seven days, by the hour
    Usage(ById),
}

/// `key create`
#[derive(Debug, Args)]
pub(crate) struct KeyCreate {
    /// What people call it
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    /// How it signs [default: ed25519]
    #[arg(long, value_parser = word(KeyAlgorithm::ALL, KeyAlgorithm::text))]
    pub(crate) algorithm: Option<KeyAlgorithm>,
    /// A file with an Ed25519 public key in PEM; without it the pair is made
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// What it may ask for; may be repeated
    #[arg(long = "scope", alias = "scopes", value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = word(Permission::ALL, Permission::text))]
    pub(crate) scopes: Vec<Permission>,
    /// An account it may name; may be repeated [default: all]
    #[arg(long = "account", alias = "accounts", value_name = "ID", value_delimiter = ',')]
    pub(crate) accounts: Vec<String>,
    /// An instrument it may trade; may be repeated [default: all]
    #[arg(
        long = "instrument",
        alias = "instruments",
        value_name = "SYMBOL",
        value_delimiter = ','
    )]
    pub(crate) instruments: Vec<Symbol>,
    /// Take requests only from this address or network; may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// How much it may ask for [default: standard]
    #[arg(long, value_parser = word(Tier::ALL, Tier::text))]
    pub(crate) tier: Option<Tier>,
    /// Largest value of one order
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_notional: Option<Money>,
    /// A label, for example live
    #[arg(long, value_name = "TEXT")]
    pub(crate) environment: Option<String>,
    /// The strategy to which its orders belong
    #[arg(long, value_name = "ID")]
    pub(crate) strategy_id: Option<String>,
    /// Days until it ends; without addresses at most 90 [default: 90]
    #[arg(long, value_name = "N")]
    pub(crate) expires_in_days: Option<u32>,
    /// Write the private key to this new file instead of printing it
    #[arg(long, value_name = "PATH")]
    pub(crate) private_key_file: Option<PathBuf>,
}

/// `key rotate`
#[derive(Debug, Args)]
pub(crate) struct KeyRotate {
    /// Its identifier
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Seconds for which both are taken, up to 604800 [default: 86400]
    #[arg(long, value_name = "N")]
    pub(crate) overlap_s: Option<u32>,
    /// A file with the successor's Ed25519 public key in PEM; without it the pair is made
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// Write the private key to this new file instead of printing it
    #[arg(long, value_name = "PATH")]
    pub(crate) private_key_file: Option<PathBuf>,
}

/// `sign`
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The key's identifier
    #[arg(long, value_name = "KEY_ID")]
    pub(crate) key: String,
    /// The file with the secret of an hmac-sha256 key
    #[arg(long, value_name = "FILE", required_unless_present = "private_key_file")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The file with the private key of an ed25519 key, PKCS#8 in PEM
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    pub(crate) private_key_file: Option<PathBuf>,
    /// The method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// The whole address, as it will be sent
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The file with the body; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// The body's type
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub(crate) content_type: String,
    /// Send and sign an idempotency key
    #[arg(long, value_name = "K")]
    pub(crate) idempotency_key: Option<String>,
    /// Use the simple form of four headers; needs a secret
    #[arg(long, conflicts_with = "private_key_file")]
    pub(crate) simple: bool,
    /// Have curl trust the certificates in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
}
