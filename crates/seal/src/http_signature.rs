//! Signed requests: who sent this, and was it meant for us, now? Two forms prove the same key.
//!
//! **Profile `tw-v1`**: an HTTP Message Signature (RFC 9421) tagged `tw-v1` over at least
//! `"@method" "@target-uri"`, over `"content-digest" "content-type"` when there is a body, and over
//! `"idempotency-key"` when that is sent. The body is bound by Content-Digest (RFC 9530). Ed25519 or
//! HMAC-SHA256; the key's record says which, never the message.
//!
//! **Simple form**: the headers `X-TW-Key`, `X-TW-Timestamp` (milliseconds), `X-TW-Nonce` and
//! `X-TW-Signature`, the lower-case hex of HMAC-SHA256 over
//! `timestamp "\n" nonce "\n" METHOD "\n" path?query "\n" hex(SHA-256(body))`. It binds neither host
//! nor headers; it is for clients that cannot do better. A text of this form begins with a digit and
//! one of the profile with a quote, so one secret for both confuses nothing.
//!
//! Judging is two steps: [`Presented::read`] says which key is claimed, [`Presented::verify`] whether
//! the claim holds. Neither has a clock, a key store or a memory: whether the nonce of a [`Verified`]
//! request was seen before is for the caller to know, before anything of the request is believed.
//!
//! Invariants
//! - The signature base is built from the received bytes of the signature's parameters, never from
//!   a rewriting of them.
//! - The host in `@target-uri` is a configured one, never a received one.
//! - What is ambiguous is refused: a label, parameter or component that stands twice, two signatures
//!   with our tag, two kinds of credentials, a parameter or component nobody here knows.
//! - Everything that is parsed is bounded before it is parsed.

mod bare;
mod base;
mod content_digest;
mod key;
mod message;
mod origin;
mod pem;
mod profile;
mod sign;
mod simple;
mod structured;
#[cfg(test)]
mod tests;
mod usual;

use std::fmt;

pub use bare::Bare;
pub use content_digest::content_digest;
pub use key::{Algorithm, Ed25519Key, KeyFormatError, MIN_SECRET_BYTES, SigningKey, VerifyingKey};
pub use message::{Headers, MAX_TARGET_BYTES, Received, Request};
pub use origin::{MAX_ORIGINS, Origin, OriginError, Origins};
pub use sign::{RequestToSign, SignatureHeaders, SigningParameters, new_nonce, sign, sign_simple};

use message::{Known, are_all, is_base64};
use profile::MessageSignature;
use simple::SimpleSignature;

use crate::digest::{base64_decode_array, base64_decode_into};

/// The tag that makes a signature one of this profile.
pub const TAG: &str = "tw-v1";

/// Largest field of a signature, its lines joined, in bytes. Holds for each of them alone.
pub const MAX_FIELD_BYTES: usize = 8 * 1024;

/// Most signatures in one request, those of other profiles counted.
pub const MAX_SIGNATURES: usize = 4;

/// Most components that one signature covers.
pub const MAX_COMPONENTS: usize = 32;

/// Longest key identifier, in characters.
pub const MAX_KEY_ID_CHARACTERS: usize = 128;

/// Shortest nonce, in characters of base64.
pub const MIN_NONCE_CHARACTERS: usize = 16;

/// Longest nonce, in characters of base64.
pub const MAX_NONCE_CHARACTERS: usize = 128;

/// How old a signature may be, in seconds, and how far after its making it may expire.
pub const MAX_AGE_S: i64 = 60;

/// How far ahead of ours the signer's clock may be, in seconds.
pub const MAX_AHEAD_S: i64 = 10;

/// 9999-12-31T23:59:59Z: no signature is made after it.
const MAX_UNIX_S: i64 = 253_402_300_799;

const US_PER_S: i64 = 1_000_000;

/// Why a request is not taken. The sender hears one answer for all of them; the log hears which it
/// was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A field is missing, too long, or not in its form; or the request itself is not.
    Malformed,
    /// A label, a parameter or a component stands twice.
    Duplicate,
    /// Two kinds of credentials at once.
    Contradiction,
    /// There are signatures, and none is tagged `tw-v1`.
    Untagged,
    /// More than one signature is tagged `tw-v1`.
    Several,
    /// A parameter is missing, unknown or out of range.
    Parameter,
    /// A covered component is unknown, has parameters, or is not in the request.
    Component,
    /// Something that must be covered is not.
    Coverage,
    /// The algorithm is not that of the key.
    Algorithm,
    /// The request was received for a host that is not ours.
    Authority,
    /// The signature is not by this key over this request.
    Mismatch,
    /// Rightly signed, but the body is another than the digest says, or the digest says nothing.
    Digest,
    /// Rightly signed, more than [`MAX_AGE_S`] ago.
    TooOld,
    /// Rightly signed, more than [`MAX_AHEAD_S`] ahead of our clock.
    InFuture,
    /// Rightly signed, and expired by its own word.
    Expired,
}

impl SignatureError {
    /// Every reason there is.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::Duplicate,
        Self::Contradiction,
        Self::Untagged,
        Self::Several,
        Self::Parameter,
        Self::Component,
        Self::Coverage,
        Self::Algorithm,
        Self::Authority,
        Self::Mismatch,
        Self::Digest,
        Self::TooOld,
        Self::InFuture,
        Self::Expired,
    ];

    /// A stable word for the log. Not for the sender.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "signature.malformed",
            Self::Duplicate => "signature.duplicate",
            Self::Contradiction => "signature.contradiction",
            Self::Untagged => "signature.untagged",
            Self::Several => "signature.several",
            Self::Parameter => "signature.parameter",
            Self::Component => "signature.component",
            Self::Coverage => "signature.coverage",
            Self::Algorithm => "signature.algorithm",
            Self::Authority => "signature.authority",
            Self::Mismatch => "signature.mismatch",
            Self::Digest => "signature.digest",
            Self::TooOld => "signature.too_old",
            Self::InFuture => "signature.in_future",
            Self::Expired => "signature.expired",
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "the request or a field of its signature is not in its form",
            Self::Duplicate => "a label, parameter or component of the signature stands twice",
            Self::Contradiction => "the request carries two kinds of credentials",
            Self::Untagged => "no signature is tagged tw-v1",
            Self::Several => "more than one signature is tagged tw-v1",
            Self::Parameter => "a signature parameter is missing, unknown or out of range",
            Self::Component => "a covered component is unknown or not in the request",
            Self::Coverage => "the signature does not cover what it must",
            Self::Algorithm => "the algorithm is not that of the key",
            Self::Authority => "the request is for another host",
            Self::Mismatch => "the signature is not by this key over this request",
            Self::Digest => "the body is not the one that was signed",
            Self::TooOld => "the signature is too old",
            Self::InFuture => "the signature is from the future",
            Self::Expired => "the signature has expired",
        })
    }
}

impl std::error::Error for SignatureError {}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 9421, profile `tw-v1`.
    Message,
    /// The four `X-TW-` headers.
    Simple,
}

/// What a request claims: by which key, when, with which nonce. Nothing of it is proven.
#[derive(Debug)]
pub struct Presented<'r> {
    received: &'r Received<'r>,
    claim: Claim<'r>,
    signature: Signature<'r>,
}

#[derive(Debug)]
enum Signature<'r> {
    Message(MessageSignature<'r>),
    Simple(SimpleSignature<'r>),
}

/// The bytes of a signature; of one that is longer than any of ours none, for it cannot be right.
#[derive(Debug)]
struct SignatureBytes {
    bytes: [u8; SIGNATURE_BYTES_MAX],
    length: usize,
}

/// The 64 of Ed25519, and what the decoder wants to have beside them.
const SIGNATURE_BYTES_MAX: usize = 72;

impl SignatureBytes {
    fn from_slice(signature: &[u8]) -> Self {
        let mut bytes = [0; SIGNATURE_BYTES_MAX];
        let Some(place) = bytes.get_mut(..signature.len()) else {
            return Self { bytes, length: 0 };
        };
        place.copy_from_slice(signature);
        Self { bytes, length: signature.len() }
    }

    /// Nothing if the text is no base64, or longer than any of ours.
    fn from_base64(text: &str) -> Option<Self> {
        if let Some(code) = base64_decode_array(text) {
            return Some(Self::from_slice(&code));
        }
        let mut bytes = [0; SIGNATURE_BYTES_MAX];
        let length = base64_decode_into(text, &mut bytes).ok()?;
        Some(Self { bytes, length })
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The parameters that both forms have, as they lie in the request.
#[derive(Debug, PartialEq)]
struct Claim<'r> {
    key_id: &'r str,
    nonce: &'r str,
    created_unix_us: i64,
    expires_unix_us: Option<i64>,
}

/// A request that was signed by the key it was held against, for us, now. Its nonce may still be
/// one that was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'p> {
    /// The key, as the request names it.
    pub key_id: &'p str,
    /// The nonce, unique for the key.
    pub nonce: &'p str,
    /// When it was signed, in microseconds since 1970.
    pub created_unix_us: i64,
    /// From this instant on the same request is too old or expired, in microseconds since 1970: the
    /// nonce has to be remembered until then.
    pub ends_unix_us: i64,
}

impl<'r> Presented<'r> {
    /// What the request claims, or nothing if it is not signed. Does not look at the body beyond
    /// whether there is one.
    pub fn read(received: &'r Received<'r>) -> Result<Option<Self>, SignatureError> {
        let message = profile::read(received)?;
        let simple = simple::read(received)?;
        let authorization = received.count(Known::Authorization) > 0;
        let (claim, signature) = match (message, simple) {
            (profile::Found::None, None) => return Ok(None),
            // A signature that somebody else added for somebody else does not change a bearer's request.
            (profile::Found::Foreign, None) if authorization => return Ok(None),
            (profile::Found::Foreign, None) => return Err(SignatureError::Untagged),
            (profile::Found::Ours(_), Some(_)) => return Err(SignatureError::Contradiction),
            (profile::Found::Ours(ours), None) => (ours.claim, Signature::Message(ours.signature)),
            (_, Some((claim, signature))) => (claim, Signature::Simple(signature)),
        };
        if authorization {
            return Err(SignatureError::Contradiction);
        }
        received.request.check()?;
        if let Signature::Message(signature) = &signature {
            signature.check_coverage(received)?;
        }
        Ok(Some(Self { received, claim, signature }))
    }

    /// The key that is claimed, 1 to [`MAX_KEY_ID_CHARACTERS`] visible characters of ASCII.
    pub fn key_id(&self) -> &str {
        self.claim.key_id
    }

    /// When it is said to have been signed, in microseconds since 1970.
    pub fn created_unix_us(&self) -> i64 {
        self.claim.created_unix_us
    }

    /// How it is signed.
    pub fn form(&self) -> Form {
        match self.signature {
            Signature::Message(_) => Form::Message,
            Signature::Simple(_) => Form::Simple,
        }
    }

    /// The algorithm that the request speaks of, or that fits its signature best. It decides
    /// nothing but what a decoy costs.
    fn likely_algorithm(&self) -> Algorithm {
        match &self.signature {
            Signature::Message(signature) => signature.likely_algorithm(),
            Signature::Simple(_) => Algorithm::HmacSha256,
        }
    }

    /// Whether the claim holds: signed by `key`, for one of `origins`, with the body that came, at
    /// most [`MAX_AGE_S`] before `now_unix_us` (microseconds since 1970).
    ///
    /// The signature is judged before digest and times, so that [`SignatureError::TooOld`] tells of
    /// a real replay or a wrong clock, and not of noise. For a key that is not known, call it with
    /// [`VerifyingKey::decoy`].
    pub fn verify(
        &self,
        key: &VerifyingKey,
        origins: &Origins,
        now_unix_us: i64,
    ) -> Result<Verified<'r>, SignatureError> {
        let authority = origins.admit(self.received.request.authority)?;
        let resolution_us = match &self.signature {
            Signature::Message(signature) => {
                signature.verify(self.received, key, origins, authority)?;
                content_digest::check(self.received)?;
                US_PER_S
            }
            Signature::Simple(signature) => {
                signature.verify(&self.received.request, self.claim.nonce, key)?;
                simple::RESOLUTION_US
            }
        };
        self.claim.check_times(now_unix_us, resolution_us)
    }
}

impl Presented<'_> {
    /// Judges what can be judged without the secret of an HMAC key: `Ok` if with the right one it could
    /// be taken. Nothing is proven by that. What only an Ed25519 key can have signed is a
    /// [`SignatureError::Algorithm`].
    pub fn could_be_hmac(&self, origins: &Origins, now_unix_us: i64) -> Result<(), SignatureError> {
        if self.likely_algorithm() != Algorithm::HmacSha256 {
            return Err(SignatureError::Algorithm);
        }
        origins.admit(self.received.request.authority)?;
        let resolution_us = match &self.signature {
            Signature::Message(_) => {
                content_digest::check(self.received)?;
                US_PER_S
            }
            Signature::Simple(_) => simple::RESOLUTION_US,
        };
        self.claim.check_times(now_unix_us, resolution_us).map(|_| ())
    }
}

impl<'r> Claim<'r> {
    /// Our clock is read at the resolution of the signer's, so that 60 whole seconds are 60 seconds.
    fn check_times(
        &self,
        now_unix_us: i64,
        resolution_us: i64,
    ) -> Result<Verified<'r>, SignatureError> {
        let now_unix_us = now_unix_us.saturating_sub(now_unix_us.rem_euclid(resolution_us));
        let oldest_unix_us = now_unix_us.saturating_sub(MAX_AGE_S * US_PER_S);
        let newest_unix_us = now_unix_us.saturating_add(MAX_AHEAD_S * US_PER_S);
        if self.created_unix_us < oldest_unix_us {
            return Err(SignatureError::TooOld);
        }
        if self.created_unix_us > newest_unix_us {
            return Err(SignatureError::InFuture);
        }
        if self.expires_unix_us.is_some_and(|expires_unix_us| expires_unix_us <= now_unix_us) {
            return Err(SignatureError::Expired);
        }
        let too_old_unix_us = self.created_unix_us + MAX_AGE_S * US_PER_S + resolution_us;
        let expires_unix_us = self.expires_unix_us.unwrap_or(too_old_unix_us);
        Ok(Verified {
            key_id: self.key_id,
            nonce: self.nonce,
            created_unix_us: self.created_unix_us,
            ends_unix_us: too_old_unix_us.min(expires_unix_us),
        })
    }
}

/// Visible ASCII that needs no escape in a quoted text.
fn is_valid_key_id(text: &str) -> bool {
    (1..=MAX_KEY_ID_CHARACTERS).contains(&text.len())
        && are_all(text.as_bytes(), |byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// Both alphabets of base64, with and without padding.
fn is_valid_nonce(text: &str) -> bool {
    (MIN_NONCE_CHARACTERS..=MAX_NONCE_CHARACTERS).contains(&text.len())
        && are_all(text.as_bytes(), |byte| is_base64(byte) || matches!(byte, b'-' | b'_'))
}
