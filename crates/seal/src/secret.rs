//! Values that must not be seen: zeroized when dropped, mute when printed.
//!
//! A secret has no `Display`, no `Serialize`, no `PartialEq` and no `Clone`. Its `Debug` says the
//! type's name and nothing of the value, not even the length. The only ways in are
//! [`SecretString::expose`] and the constant-time [`SecretString::matches`].

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Digest, Randomness};

/// Text that must not be seen: a credential, a private key in PEM.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretString(String);

impl SecretString {
    /// Takes the text over; no copy of it is left behind.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this secret, in a time that does not depend on where they differ.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        constant_time_equal(self.0.as_bytes(), candidate)
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretString")
    }
}

/// Bytes that must not be seen: a key, an opened record.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes the bytes over; no copy of them is left behind.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.len() < bytes.capacity() {
            // To give back the room behind them may move them: then what stood there is overwritten.
            let own = bytes.as_slice().into();
            bytes.zeroize();
            return Self(own);
        }
        Self(bytes.into_boxed_slice())
    }

    /// `length` random bytes, made where they stay.
    pub fn random(length: usize, randomness: &mut dyn Randomness) -> Self {
        let mut secret = Self(vec![0; length].into_boxed_slice());
        randomness.fill(&mut secret.0);
        secret
    }

    /// The bytes themselves. Every call is a place to look at in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether `candidate` is this secret, in a time that does not depend on where they differ.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        constant_time_equal(&self.0, candidate)
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes")
    }
}

/// Whether `a` and `b` are the same bytes, without telling by its duration where or by how much
/// they differ.
///
/// The SHA-256 digests are compared, so that two inputs of different length take the same path;
/// only the time to hash, which depends on the lengths alone, can be seen.
pub fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (Digest::sha256(a), Digest::sha256(b));
    verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_secret_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", SecretString::new("marked".to_owned())), "SecretString");
        assert_eq!(format!("{:#?}", SecretBytes::new(b"marked".to_vec())), "SecretBytes");
    }

    #[test]
    fn only_the_same_bytes_match() {
        let secret = SecretString::new("correct horse".to_owned());
        assert!(secret.matches(b"correct horse"));
        for other in ["", "correct hors", "correct horsf", "correct horse ", "Correct horse"] {
            assert!(!secret.matches(other.as_bytes()), "{other:?}");
        }
        assert!(SecretBytes::new(Vec::new()).matches(b""));
        assert!(!SecretBytes::new(vec![0]).matches(b""));
    }
}
