//! Salted commitments: the log's leaf names a payload without showing it.
//!
//! A leaf of the audit log is public, what it speaks of belongs to one organization. The leaf
//! therefore holds `SHA-256("tradewarden/commitment/v1" || 0x00 || salt || payload)`. With the
//! payload and its salt anybody can check that this is what was logged; without the salt a guess at
//! the payload cannot be checked, and destroying the salt erases what the leaf says.

use crate::{Digest, Randomness, constant_time_equal, randomness::random_array};

/// Keeps these digests apart from every other SHA-256 in the gateway. The zero byte ends it; the
/// salt has a fixed length, so no two (salt, payload) pairs are hashed as the same bytes.
const DOMAIN: &[u8] = b"tradewarden/commitment/v1\0";

/// A salt of 256 random bits, one per commitment: a salt used twice shows which payloads are equal.
pub fn new_salt(randomness: &mut dyn Randomness) -> [u8; 32] {
    random_array(randomness)
}

/// The commitment to `payload` under `salt`.
pub fn commit(salt: &[u8; 32], payload: &[u8]) -> Digest {
    Digest::sha256_parts(&[DOMAIN, salt, payload])
}

/// Whether `commitment` was made from this salt and payload.
pub fn opens_commitment(commitment: &Digest, salt: &[u8; 32], payload: &[u8]) -> bool {
    constant_time_equal(commitment.as_bytes(), commit(salt, payload).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::testing::Counting;

    #[test]
    fn a_commitment_opens_to_its_payload_only() {
        let salt = new_salt(&mut Counting(0));
        let commitment = commit(&salt, b"bought 3");
        // Frozen: logs that exist depend on it. The value was computed by another program.
        assert_eq!(
            commitment.to_string(),
            "ebe3812fa5c9ca98db148c448d1859c0496f69434a60f87deeb668caaaf09c67"
        );
        assert!(opens_commitment(&commitment, &salt, b"bought 3"));
        assert!(!opens_commitment(&commitment, &salt, b"bought 4"));
        assert!(!opens_commitment(&commitment, &new_salt(&mut Counting(1)), b"bought 3"));
    }
}
