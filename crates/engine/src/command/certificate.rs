//! What the command line did with certificates, for the log.

use serde::{Deserialize, Serialize};
use tradewarden_domain::time::Timestamp;

/// A certificate of the internal listener's CA was issued or revoked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateNote {
    /// Which of the two.
    pub event: CertificateEvent,
    /// Its serial number, in lower-case hex.
    pub serial: String,
    /// The client's name.
    pub name: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateEvent {
    /// It was issued.
    Issued,
    /// It opens nothing any more.
    Revoked,
}
