//! What can be typed about the private CA.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `ca ...`
#[derive(Debug, Subcommand)]
pub(crate) enum CaVerb {
    /// Issue a client a certificate for the internal listener
    ///
    /// Writes client-NAME.pem and client-NAME.key, readable by their owner only. The certificate's name
    /// for programs is the SPIFFE ID of that name under the gateway's host name.
    Issue(CaIssue),
    /// List the certificates that were issued and have not ended
    List,
    /// Revoke a certificate: the next connection with it is refused
    Revoke(CaRevoke),
}

/// `ca issue`
#[derive(Debug, Args)]
pub(crate) struct CaIssue {
    /// The client's name: small letters, digits, dots and hyphens
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    /// How many days it is valid, at most 90
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) days: u16,
    /// The directory for the two files [default: tls in the data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `ca revoke`
#[derive(Debug, Args)]
pub(crate) struct CaRevoke {
    /// Its serial number
    #[arg(value_name = "SERIAL")]
    pub(crate) serial: String,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
