//! The one way anything is encrypted here: AES-256-GCM under a key derived for this message alone,
//! with a commitment to that key.
//!
//! ```text
//! prk        = HKDF-Extract(SHA-256, salt = nonce, key)
//! encryption = HKDF-Expand(prk, "tw/enc/v1" || SHA-256(associated), 32)
//! commitment = HKDF-Expand(prk, "tw/com/v1" || SHA-256(associated), 32)
//! body       = nonce (24) || commitment (32) || AES-256-GCM(encryption, last 12 bytes of nonce, associated, plaintext)
//! ```
//! Why a derived key: 96-bit nonces drawn at random wear a GCM key out after 2^32 messages (SP
//! 800-38D section 8.3); here each message has its own key, and 192 random bits decide it. Why a
//! commitment: GCM alone lets one ciphertext open under two keys, which turns trying several keys
//! into an oracle. The commitment is compared before anything is decrypted.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    constant_time::verify_slices_are_equal,
    error::Unspecified,
    hkdf::{HKDF_SHA256, Prk, Salt},
};
use zeroize::Zeroizing;

use crate::{Digest, Randomness, SecretBytes, randomness::random_array};

/// Most that one message holds, in bytes. What is larger is stored apart and named by its hash.
pub const MAX_PLAINTEXT_BYTES: usize = 1024 * 1024;

pub(crate) const NONCE_BYTES: usize = 24;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// What a body has beyond its plaintext, in bytes.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES;

/// Something does not open. One shape for every reason (wrong key, moved, changed, cut), so that
/// trying teaches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenError;

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the sealed value does not open with this key at this place")
    }
}

impl std::error::Error for OpenError {}

impl From<Unspecified> for OpenError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// Why something cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The plaintext is over [`MAX_PLAINTEXT_BYTES`].
    TooLong,
    /// A part of the place, or an organization's id, is over [`crate::MAX_PLACE_PART_BYTES`].
    PlaceTooLong,
    /// There is no open key.
    Closed,
    /// The cryptographic library refused. Not expected with inputs of these sizes.
    Refused,
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(formatter, "the value is over {MAX_PLAINTEXT_BYTES} bytes"),
            Self::PlaceTooLong => formatter.write_str("the name of the place is too long"),
            Self::Closed => formatter.write_str("the keys are closed"),
            Self::Refused => formatter.write_str("the cryptographic library refused to seal"),
        }
    }
}

impl std::error::Error for SealError {}

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self::Refused
    }
}

/// Appends the body of `plaintext`, sealed for `associated`, to `output`.
pub(crate) fn seal(
    key: &SecretBytes,
    associated: &[u8],
    plaintext: &[u8],
    randomness: &mut dyn Randomness,
    output: &mut Vec<u8>,
) -> Result<(), SealError> {
    seal_with_nonce(key, associated, plaintext, &random_array(randomness), output)
}

/// The same with a nonce that was drawn before, and is used for this alone.
pub(crate) fn seal_with_nonce(
    key: &SecretBytes,
    associated: &[u8],
    plaintext: &[u8],
    nonce: &[u8; NONCE_BYTES],
    output: &mut Vec<u8>,
) -> Result<(), SealError> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(SealError::TooLong);
    }
    let message = MessageKey::derive(key, nonce, associated)?;
    // Sized beforehand: a buffer that grows would leave plaintext behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_BYTES));
    buffer.extend_from_slice(plaintext);
    message.key.seal_in_place_append_tag(gcm_nonce(nonce), Aad::from(associated), &mut *buffer)?;
    output.reserve(OVERHEAD_BYTES + plaintext.len());
    output.extend_from_slice(nonce);
    output.extend_from_slice(&message.commitment);
    output.extend_from_slice(&buffer);
    Ok(())
}

/// The plaintext of a body that was sealed with this key for this `associated`.
pub(crate) fn open(
    key: &SecretBytes,
    associated: &[u8],
    body: &[u8],
) -> Result<SecretBytes, OpenError> {
    if body.len() > MAX_PLAINTEXT_BYTES + OVERHEAD_BYTES {
        return Err(OpenError);
    }
    let (nonce, rest) = body.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
    let (commitment, ciphertext) = rest.split_first_chunk::<COMMITMENT_BYTES>().ok_or(OpenError)?;
    let message = MessageKey::derive(key, nonce, associated)?;
    verify_slices_are_equal(&message.commitment, commitment)?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length =
        message.key.open_in_place(gcm_nonce(nonce), Aad::from(associated), &mut buffer)?.len();
    buffer.truncate(length);
    Ok(SecretBytes::new(std::mem::take(&mut *buffer)))
}

/// The key of one message and the commitment to it.
struct MessageKey {
    key: LessSafeKey,
    commitment: [u8; COMMITMENT_BYTES],
}

impl MessageKey {
    fn derive(
        key: &SecretBytes,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
    ) -> Result<Self, Unspecified> {
        let place = Digest::sha256(associated);
        let extracted = Salt::new(HKDF_SHA256, nonce).extract(key.expose());
        let encryption = Zeroizing::new(expand(&extracted, b"tw/enc/v1", &place)?);
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, encryption.as_slice())?),
            commitment: expand(&extracted, b"tw/com/v1", &place)?,
        })
    }
}

fn expand(extracted: &Prk, label: &[u8], place: &Digest) -> Result<[u8; 32], Unspecified> {
    let mut output = [0; 32];
    extracted.expand(&[label, place.as_bytes()], HKDF_SHA256)?.fill(&mut output)?;
    Ok(output)
}

/// The last 12 of the 24 bytes. The key is never used again, so any value would be safe.
fn gcm_nonce(nonce: &[u8; NONCE_BYTES]) -> Nonce {
    let mut last = [0; 12];
    last.copy_from_slice(nonce.last_chunk::<12>().unwrap_or(&[0; 12]));
    Nonce::assume_unique_for_key(last)
}
