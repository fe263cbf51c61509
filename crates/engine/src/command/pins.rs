//! What is published about the keys of the public certificate.

use serde::{Deserialize, Serialize};
use tradewarden_domain::time::Timestamp;

/// The pins of a host (RFC 7469: SHA-256 of a public key, in base64).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinsPublish {
    /// The host that they are for, in lower case.
    pub host: String,
    /// The key of the certificate that is shown now.
    pub current: String,
    /// Keys that no certificate has yet and that are kept elsewhere.
    pub backups: Vec<String>,
    /// Until when they may be believed.
    pub not_after: Timestamp,
}
