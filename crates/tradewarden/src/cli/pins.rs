//! What can be typed about pins.

use clap::{Args, ValueEnum};

/// `pins`
#[derive(Debug, Args)]
pub(crate) struct Pins {
    /// The host name that the pins are for
    #[arg(long, value_name = "HOST")]
    pub(crate) host: String,
    /// The pin of a backup key that is kept elsewhere: SHA-256 of the public key in base64; repeat
    #[arg(long = "backup", value_name = "PIN", required = true)]
    pub(crate) backups: Vec<String>,
    /// How many days the pins may be believed, at most 366
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) days: u16,
    /// The form: signed JSON, or the snippet for an app
    #[arg(long, value_enum, default_value_t = PinsForm::Json)]
    pub(crate) form: PinsForm,
}

/// The form in which pins are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinsForm {
    /// A signed note of JSON
    Json,
    /// An Android network security configuration
    Android,
    /// The part of an iOS app's Info.plist
    Ios,
}
