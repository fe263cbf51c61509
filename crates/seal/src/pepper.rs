//! The pepper: keys that go into hashes of what people know and is not in the database, so that a
//! stolen database alone lets nobody guess (NIST SP 800-63B-4 section 3.1.1.2 calls it a keyed hash).
//!
//! ```text
//! prk            = HKDF-Extract(SHA-256, salt = "tw/pepper/v1", the data key)
//! passwords      = HKDF-Expand(prk, "password", 32)
//! recovery codes = HKDF-Expand(prk, "recovery-code", 32)
//! pages          = HKDF-Expand(prk, "page", 32)
//! addresses      = HKDF-Expand(prk, "address", 32)
//! callers' keys  = HKDF-Expand(prk, "caller-key", 32)
//! ```
//! Derived, not stored: it lives and dies with its data key, which has a purpose of its own because it
//! is never replaced.

use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    hmac,
};
use zeroize::Zeroizing;

use crate::{
    DataKey, DataKeyId, Purpose, SecretBytes, SecretString, base64url_encode, constant_time_equal,
};

const KEY_BYTES: usize = 32;

/// Why there is no pepper in a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PepperError {
    /// The data key is not for [`Purpose::Pepper`].
    OtherPurpose,
    /// The cryptographic library refused. Not expected with inputs of these sizes.
    Refused,
}

impl fmt::Display for PepperError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OtherPurpose => "only a data key for peppers has one in it",
            Self::Refused => "the cryptographic library refused to derive the pepper",
        })
    }
}

impl std::error::Error for PepperError {}

impl From<Unspecified> for PepperError {
    fn from(_: Unspecified) -> Self {
        Self::Refused
    }
}

/// The keys that go into hashes of passwords, of recovery codes, of addresses and of callers' keys, and
/// into what our own pages show.
pub struct Pepper {
    id: DataKeyId,
    passwords: SecretBytes,
    recovery_codes: SecretBytes,
    pages: SecretBytes,
    addresses: SecretBytes,
    caller_keys: SecretBytes,
}

impl Pepper {
    /// The pepper in a data key for peppers.
    pub fn of(key: &DataKey) -> Result<Self, PepperError> {
        if key.purpose() != Purpose::Pepper {
            return Err(PepperError::OtherPurpose);
        }
        Ok(Self {
            id: key.id(),
            passwords: derive(key, b"password")?,
            recovery_codes: derive(key, b"recovery-code")?,
            pages: derive(key, b"page")?,
            addresses: derive(key, b"address")?,
            caller_keys: derive(key, b"caller-key")?,
        })
    }

    /// The name of the data key it comes from. Stored beside each hash: with another pepper the
    /// right password does not match.
    pub fn id(&self) -> DataKeyId {
        self.id
    }

    /// HMAC-SHA-256 of an address, by which messages to it are counted: there are so few numbers of
    /// phones that a plain hash would hide none.
    pub fn of_address(&self, address: &str) -> [u8; 32] {
        *authenticate(&self.addresses, address.as_bytes())
    }

    /// What stands for a caller's own key for a request where that cannot be kept: HMAC-SHA-256 in
    /// base64url, 43 characters. There are so few numbers of cards that a plain hash would hide none.
    pub fn of_caller_key(&self, caller_key: &str) -> String {
        base64url_encode(&*authenticate(&self.caller_keys, caller_key.as_bytes()))
    }

    /// HMAC-SHA-256 of a password.
    pub(crate) fn of_password(&self, password: &[u8]) -> Zeroizing<[u8; 32]> {
        authenticate(&self.passwords, password)
    }

    /// HMAC-SHA-256 of a recovery code.
    pub(crate) fn of_recovery_code(&self, code: &[u8]) -> Zeroizing<[u8; 32]> {
        authenticate(&self.recovery_codes, code)
    }

    /// What a page of ours shows with every change that it asks for under a cookie: HMAC-SHA-256 over
    /// the hash of the cookie's token, in base64url, 43 characters. It says nothing about the token,
    /// and changes with it (OWASP ASVS 5.0 V3.5.1).
    pub fn csrf_token(&self, session_hash: &[u8; 32]) -> SecretString {
        SecretString::new(base64url_encode(&*authenticate(&self.pages, session_hash)))
    }

    /// Whether this is [`Pepper::csrf_token`] of that hash, in constant time.
    pub fn is_csrf_token(&self, session_hash: &[u8; 32], shown: &str) -> bool {
        let right = self.csrf_token(session_hash);
        constant_time_equal(right.expose().as_bytes(), shown.as_bytes())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pepper({})", self.id)
    }
}

fn derive(key: &DataKey, label: &[u8]) -> Result<SecretBytes, Unspecified> {
    let prk = Salt::new(HKDF_SHA256, b"tw/pepper/v1").extract(key.secret().expose());
    let mut derived = vec![0; KEY_BYTES];
    prk.expand(&[label], HKDF_SHA256)?.fill(&mut derived)?;
    Ok(SecretBytes::new(derived))
}

fn authenticate(key: &SecretBytes, message: &[u8]) -> Zeroizing<[u8; 32]> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), message);
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::randomness::testing::Counting;

    /// The pepper of a data key whose 32 bytes count up from `first_byte`.
    pub(crate) fn pepper(first_byte: u8) -> Pepper {
        let secret = SecretBytes::random(32, &mut Counting(first_byte));
        let id = DataKeyId::from_bytes([first_byte; 16]);
        Pepper::of(&DataKey::new(id, Purpose::Pepper, secret)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex_encode;

    /// Made by a second implementation (Python: hmac, hashlib). Every stored password hash depends
    /// on these bytes.
    #[test]
    fn the_derivation_is_frozen() {
        let pepper = testing::pepper(0);
        assert_eq!(
            hex_encode(&*pepper.of_password(b"correct horse")),
            "06fcfec37616c9a86a4a1d321084003831822f461b4131b9bdb191a51e9f79b1"
        );
        assert_eq!(
            hex_encode(&*pepper.of_recovery_code(b"correct horse")),
            "1aabf9592849df9f028b3e58cef15de10cdb31bc69a210bec14f833e03231a12"
        );
        assert_eq!(
            hex_encode(&pepper.of_address("+14155550123")),
            "10d8f5dac734f4e27dc7bfe9a9949b50321069e4699d2ebf3d3d939e22997ec1"
        );
        assert_eq!(
            pepper.of_caller_key("4111111111111111"),
            "H5iw4rB8jPmGm4N6rbEd5y_J3KO-OJu3pV2O9c6aEF8"
        );
        assert_eq!(format!("{pepper:?}"), "Pepper(00000000000000000000000000000000)");
    }

    #[test]
    fn only_the_key_of_people_has_a_pepper() {
        for purpose in Purpose::ALL {
            let key = DataKey::new(
                DataKeyId::from_bytes([1; 16]),
                purpose,
                SecretBytes::new(vec![7; 32]),
            );
            assert_eq!(Pepper::of(&key).is_ok(), purpose == Purpose::Pepper, "{purpose}");
        }
    }
}
