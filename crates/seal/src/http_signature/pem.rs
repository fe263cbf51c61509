//! PEM of one short key (RFC 7468): its base64 fits one line.

use zeroize::Zeroizing;

use crate::digest::{base64_decode, base64_encode};

/// Many times what a key of ours has.
const MAX_PEM_BYTES: usize = 4096;

/// The bytes under this label. White space around and inside the base64 is taken, other texts
/// around it are not.
pub(super) fn decode(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MAX_PEM_BYTES {
        return None;
    }
    let body = text
        .trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))?
        .strip_suffix(&format!("-----END {label}-----"))?;
    // Sized beforehand: a String that grows would leave pieces of a private key behind.
    let mut encoded = Zeroizing::new(String::with_capacity(body.len()));
    encoded.extend(body.chars().filter(|character| !character.is_ascii_whitespace()));
    base64_decode(&encoded).ok().map(Zeroizing::new)
}

/// PEM of at most 48 bytes: 64 characters, one line.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let encoded = Zeroizing::new(base64_encode(der));
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", encoded.as_str())
}
