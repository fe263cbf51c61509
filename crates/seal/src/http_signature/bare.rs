//! The primitive alone, over just what a request signs: what the verifier is measured against.

use aws_lc_rs::hmac;

use super::{
    Origins, Presented, Signature, SignatureError, VerifyingKey,
    key::{Algorithm, verifies_ed25519, verifies_hmac},
    simple::signed_text,
};
use crate::Digest;

/// What one verification gives to the primitive.
pub struct Bare {
    text: String,
    signature: Vec<u8>,
    body: Vec<u8>,
    material: Vec<u8>,
    algorithm: Algorithm,
    prepared: Option<hmac::Key>,
}

impl Presented<'_> {
    /// The primitive of [`Presented::verify`] with the same key, for the first of `origins`.
    pub fn bare(&self, key: &VerifyingKey, origins: &Origins) -> Result<Bare, SignatureError> {
        let authority = origins.admit(self.received.request.authority)?;
        let (text, signature) = match &self.signature {
            Signature::Message(signature) => signature.signed(self.received, origins, authority)?,
            Signature::Simple(signature) => (
                signed_text(&self.received.request, signature.timestamp, self.claim.nonce),
                signature.signature.as_slice().to_vec(),
            ),
        };
        let algorithm = key.algorithm();
        let material = key.material().ok_or(SignatureError::Algorithm)?.to_vec();
        let prepared = (algorithm == Algorithm::HmacSha256)
            .then(|| hmac::Key::new(hmac::HMAC_SHA256, &material));
        let body = self.received.request.body.to_vec();
        Ok(Bare { text, signature, body, material, algorithm, prepared })
    }
}

impl Bare {
    /// The primitive from the key's bytes on: HMAC of RFC 2104, or the verification of RFC 8032.
    pub fn verifies(&self) -> bool {
        let text = self.text.as_bytes();
        match (self.algorithm, <&[u8; 32]>::try_from(self.material.as_slice())) {
            (Algorithm::Ed25519, Ok(public)) => verifies_ed25519(public, text, &self.signature),
            (Algorithm::Ed25519, Err(_)) => false,
            (Algorithm::HmacSha256, _) => verifies_hmac(&self.material, text, &self.signature),
        }
    }

    /// HMAC with what depends on the key alone computed before; for Ed25519 the same as
    /// [`Bare::verifies`].
    pub fn verifies_prepared(&self) -> bool {
        match &self.prepared {
            Some(key) => hmac::verify(key, self.text.as_bytes(), &self.signature).is_ok(),
            None => self.verifies(),
        }
    }

    /// SHA-256 of the body.
    pub fn digest_body(&self) -> Digest {
        Digest::sha256(&self.body)
    }

    /// How many bytes are signed.
    pub fn signed_bytes(&self) -> usize {
        self.text.len()
    }
}
