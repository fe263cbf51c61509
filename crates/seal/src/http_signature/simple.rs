//! The simple form: four headers and an HMAC, for clients that cannot do RFC 9421.

use super::{
    Algorithm, Claim, MAX_UNIX_S, Request, SignatureBytes, SignatureError, VerifyingKey,
    is_valid_key_id, is_valid_nonce,
    message::{Known, Received},
};
use crate::{
    Digest,
    digest::{hex_decode, hex_decode_array, hex_encode_to},
};

/// The timestamp is in milliseconds.
pub(super) const RESOLUTION_US: i64 = 1_000;

/// More than the text of an order has; a longer one grows.
const COMMON_TEXT_BYTES: usize = 256;

/// The headers in the order: key, timestamp, nonce, signature.
pub(super) const HEADERS: [Known; 4] =
    [Known::SimpleKey, Known::SimpleTimestamp, Known::SimpleNonce, Known::SimpleSignature];

#[derive(Debug)]
pub(super) struct SimpleSignature<'r> {
    /// As received: its text is signed.
    pub(super) timestamp: &'r str,
    pub(super) signature: SignatureBytes,
}

/// Reads the four headers, or nothing if none of them is there.
pub(super) fn read<'r>(
    received: &'r Received<'r>,
) -> Result<Option<(Claim<'r>, SimpleSignature<'r>)>, SignatureError> {
    if HEADERS.iter().all(|known| received.count(*known) == 0) {
        return Ok(None);
    }
    let [key_id, timestamp, nonce, signature] = HEADERS.map(|known| match received.count(known) {
        0 | 1 => received.field(known)?.ok_or(SignatureError::Malformed),
        _ => Err(SignatureError::Duplicate),
    });
    let (key_id, timestamp, nonce, signature) = (key_id?, timestamp?, nonce?, signature?);
    let created_unix_ms = parse_timestamp(timestamp)?;
    if !is_valid_key_id(key_id) || !is_valid_nonce(nonce) {
        return Err(SignatureError::Parameter);
    }
    let signature = if let Some(code) = hex_decode_array(signature) {
        SignatureBytes::from_slice(&code)
    } else {
        // In its form, and not as long as any code: it will be a mismatch.
        let other = hex_decode(signature).map_err(|_| SignatureError::Malformed)?;
        SignatureBytes::from_slice(&other)
    };
    let created_unix_us = created_unix_ms * RESOLUTION_US;
    let claim = Claim { key_id, nonce, created_unix_us, expires_unix_us: None };
    Ok(Some((claim, SimpleSignature { timestamp, signature })))
}

/// Milliseconds since 1970, digits only.
fn parse_timestamp(text: &str) -> Result<i64, SignatureError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let unix_ms: Option<i64> = text.parse().ok().filter(|_| digits);
    unix_ms
        .filter(|unix_ms| *unix_ms <= MAX_UNIX_S.saturating_mul(1_000))
        .ok_or(SignatureError::Malformed)
}

/// The text that is signed.
pub(super) fn signed_text(request: &Request<'_>, timestamp: &str, nonce: &str) -> String {
    let mut text = String::with_capacity(COMMON_TEXT_BYTES);
    for part in [timestamp, nonce, request.method, request.target] {
        text.push_str(part);
        text.push('\n');
    }
    hex_encode_to(Digest::sha256(request.body).as_bytes(), &mut text);
    text
}

impl SimpleSignature<'_> {
    pub(super) fn verify(
        &self,
        request: &Request<'_>,
        nonce: &str,
        key: &VerifyingKey,
    ) -> Result<(), SignatureError> {
        if key.algorithm() != Algorithm::HmacSha256 {
            return Err(SignatureError::Algorithm);
        }
        let text = signed_text(request, self.timestamp, nonce);
        if key.verifies(text.as_bytes(), self.signature.as_slice()) {
            Ok(())
        } else {
            Err(SignatureError::Mismatch)
        }
    }
}
