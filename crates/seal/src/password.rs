//! Passwords: read once, hashed with Argon2id, never stored or printed.
//!
//! What is stored is `argon2id(HMAC-SHA-256(pepper, NFC(password)))` as a PHC string (RFC 9106; NIST
//! SP 800-63B-4 section 3.1.1.2). The whole password counts: it is bounded, never cut (OWASP ASVS 5.0.0
//! V6.2.8).
//!
//! One hash at the standard cost takes 64 MiB and about a tenth of a second of one core. Whoever
//! calls this bounds how many run at once.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::{
    EncodingError, HashingError, PasswordCost, Pepper, Randomness, SecretString,
    digest::{base64_unpadded_decode, base64_unpadded_encode},
    randomness::random_array,
    stretching::{SALT_BYTES, TAG_BYTES, stretch},
};

/// Fewest code points of any password. A policy asks for more.
pub const MIN_PASSWORD_LENGTH: usize = 8;

/// Most code points of a password. In UTF-8 that is at most 1,024 bytes.
pub const MAX_PASSWORD_LENGTH: usize = 256;

/// Longer texts are not even normalised, in bytes: 256 code points decomposed (no code point
/// decomposes into more than three times its bytes).
const MAX_TEXT_BYTES: usize = 3 * 4 * MAX_PASSWORD_LENGTH;

/// Longest stored hash, in bytes.
pub const MAX_PASSWORD_HASH_BYTES: usize = 128;

/// A text that cannot be a password. It depends on the text alone, so it may be said to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFormatError {
    /// Fewer than [`MIN_PASSWORD_LENGTH`] code points.
    TooShort,
    /// More than [`MAX_PASSWORD_LENGTH`] code points.
    TooLong,
}

impl fmt::Display for PasswordFormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => {
                write!(formatter, "a password has at least {MIN_PASSWORD_LENGTH} characters")
            }
            Self::TooLong => {
                write!(formatter, "a password has at most {MAX_PASSWORD_LENGTH} characters")
            }
        }
    }
}

impl std::error::Error for PasswordFormatError {}

/// A password as somebody typed it, in Unicode's form NFC: two keyboards that compose an accent
/// differently give the same one.
pub struct Password {
    text: SecretString,
    length: usize,
}

impl Password {
    /// The password in a text. Every code point is taken, spaces and symbols too.
    pub fn new(text: &SecretString) -> Result<Self, PasswordFormatError> {
        let text = text.expose();
        if text.len() > MAX_TEXT_BYTES {
            return Err(PasswordFormatError::TooLong);
        }
        // Sized beforehand (no code point composes into more than three times its bytes): a String
        // that grows would leave pieces of the password behind.
        let mut normalised = Zeroizing::new(String::with_capacity(3 * text.len()));
        normalised.extend(text.nfc());
        let length = normalised.chars().count();
        if length < MIN_PASSWORD_LENGTH {
            return Err(PasswordFormatError::TooShort);
        }
        if length > MAX_PASSWORD_LENGTH {
            return Err(PasswordFormatError::TooLong);
        }
        Ok(Self { text: SecretString::new(std::mem::take(&mut *normalised)), length })
    }

    /// How many code points it has.
    pub fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn expose(&self) -> &str {
        self.text.expose()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password")
    }
}

/// What a password was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// It is the password.
    pub matches: bool,
    /// It is, and its hash costs less than is wanted now: hash it anew while it is known.
    pub needs_rehash: bool,
}

/// A password as it is stored.
#[derive(Clone)]
pub struct PasswordHash {
    cost: PasswordCost,
    salt: [u8; SALT_BYTES],
    tag: [u8; TAG_BYTES],
}

impl PasswordHash {
    /// The hash of a new password, under 16 random bytes of salt.
    pub fn make(
        password: &Password,
        pepper: &Pepper,
        cost: PasswordCost,
        randomness: &mut dyn Randomness,
    ) -> Result<Self, HashingError> {
        let salt = random_array(randomness);
        let tag = *stretch(&pepper.of_password(password.expose().as_bytes()), cost, &salt)?;
        Ok(Self { cost, salt, tag })
    }

    /// A hash that no password has, for a person who is not known: verifying against it takes as
    /// long as against a real one of this cost (OWASP ASVS 5.0.0 V6.3.8).
    pub const fn decoy(cost: PasswordCost) -> Self {
        // All zeros: finding its preimage is as hard as finding that of any other tag.
        Self { cost, salt: [0; SALT_BYTES], tag: [0; TAG_BYTES] }
    }

    /// Whether this is the hash of `password`, in constant time once it is computed. `wanted` is
    /// what a hash should cost today.
    pub fn verify(
        &self,
        password: &Password,
        pepper: &Pepper,
        wanted: PasswordCost,
    ) -> Result<Verified, HashingError> {
        let tag =
            stretch(&pepper.of_password(password.expose().as_bytes()), self.cost, &self.salt)?;
        let matches = verify_slices_are_equal(&*tag, &self.tag).is_ok();
        Ok(Verified { matches, needs_rehash: matches && self.cost.is_below(wanted) })
    }

    /// What it costs to try one password against it.
    pub fn cost(&self) -> PasswordCost {
        self.cost
    }

    /// The text to store, `$argon2id$v=19$m=...,t=...,p=...$salt$tag` (the PHC string format).
    pub fn to_phc(&self) -> String {
        let (salt, tag) = (base64_unpadded_encode(&self.salt), base64_unpadded_encode(&self.tag));
        format!("{}{salt}${tag}", self.cost.phc_prefix())
    }

    /// A hash as it was stored. Takes the one text that [`PasswordHash::to_phc`] makes of it.
    pub fn from_phc(text: &str) -> Result<Self, EncodingError> {
        Self::parse(text).ok_or(EncodingError)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_PASSWORD_HASH_BYTES {
            return None;
        }
        let (cost, rest) = PasswordCost::split_phc_prefix(text)?;
        let (salt, tag) = rest.split_once('$')?;
        Some(Self {
            cost,
            salt: base64_unpadded_decode(salt).ok()?.try_into().ok()?,
            tag: base64_unpadded_decode(tag).ok()?.try_into().ok()?,
        })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SystemRandomness, pepper::testing::pepper, randomness::testing::Counting,
        stretching::testing::CHEAP,
    };

    fn password(text: &str) -> Password {
        Password::new(&SecretString::new(text.to_owned())).unwrap()
    }

    fn refused(text: &str) -> PasswordFormatError {
        Password::new(&SecretString::new(text.to_owned())).unwrap_err()
    }

    /// Made by a second implementation (Python: argon2-cffi, which is the reference C code, hmac,
    /// unicodedata). Every stored password depends on these texts.
    #[test]
    fn the_hash_is_frozen() {
        let password = password("cafe\u{301} und Zwo\u{308}lf");
        for (cost, phc) in [
            (
                PasswordCost::standard(),
                "$argon2id$v=19$m=65536,t=3,p=4$QEFCQ0RFRkdISUpLTE1OTw$hiIWQGwVZ7mAIHE4b2oxPwBQFmz1kyZRRbVsA6hxNO0",
            ),
            (
                CHEAP,
                "$argon2id$v=19$m=8,t=1,p=1$QEFCQ0RFRkdISUpLTE1OTw$REj55MLovR7N8CDwDDeXEODldwzpZT6ms3vxWqaD5bk",
            ),
        ] {
            let made = PasswordHash::make(&password, &pepper(0), cost, &mut Counting(0x40));
            assert_eq!(made.unwrap().to_phc(), phc);
            let stored = PasswordHash::from_phc(phc).unwrap();
            assert_eq!(stored.cost(), cost);
            let verified = stored.verify(&password, &pepper(0), cost).unwrap();
            assert_eq!(verified, Verified { matches: true, needs_rehash: false });
        }
    }

    #[test]
    fn only_the_password_with_its_pepper_verifies() {
        let right = password("correct horse");
        let mut system = SystemRandomness::new();
        let hash = PasswordHash::make(&right, &pepper(0), CHEAP, &mut system).unwrap();
        let matches = |hash: &PasswordHash, text: &str, pepper: &Pepper| {
            hash.verify(&password(text), pepper, CHEAP).unwrap().matches
        };
        assert!(matches(&hash, "correct horse", &pepper(0)));
        assert!(!matches(&hash, "correct horse", &pepper(1)));
        for other in ["correct hors", "correct horse ", " correct horse", "Correct horse"] {
            assert!(!matches(&hash, other, &pepper(0)), "{other:?}");
        }
        let decoy = PasswordHash::decoy(CHEAP);
        assert_eq!(decoy.cost(), CHEAP);
        assert!(!matches(&decoy, "correct horse", &pepper(0)));
        let again = PasswordHash::make(&right, &pepper(0), CHEAP, &mut system).unwrap();
        assert_ne!(again.to_phc(), hash.to_phc(), "each has a salt of its own");
    }

    #[test]
    fn every_code_point_counts_and_none_is_cut() {
        let long = "ü".repeat(MAX_PASSWORD_LENGTH - 1);
        let (ends_in_a, ends_in_b) = (format!("{long}a"), format!("{long}b"));
        let hash =
            PasswordHash::make(&password(&ends_in_a), &pepper(0), CHEAP, &mut Counting(0)).unwrap();
        assert!(hash.verify(&password(&ends_in_a), &pepper(0), CHEAP).unwrap().matches);
        assert!(!hash.verify(&password(&ends_in_b), &pepper(0), CHEAP).unwrap().matches);
        assert!(!hash.verify(&password(&long), &pepper(0), CHEAP).unwrap().matches);
    }

    #[test]
    fn length_is_counted_in_code_points_after_normalising() {
        assert_eq!(refused(""), PasswordFormatError::TooShort);
        assert_eq!(refused("1234567"), PasswordFormatError::TooShort);
        assert_eq!(password("12345678").length(), 8);
        assert_eq!(password("🔑🔑🔑🔑🔑🔑🔑🔑").length(), 8);
        // Fourteen code points as typed, seven when composed.
        assert_eq!(refused(&"e\u{301}".repeat(7)), PasswordFormatError::TooShort);
        assert_eq!(password(&"e\u{301}".repeat(256)).length(), 256);
        assert_eq!(password(&"🔑".repeat(256)).length(), 256);
        assert_eq!(refused(&"🔑".repeat(257)), PasswordFormatError::TooLong);
        assert_eq!(refused(&"a".repeat(1_000_000)), PasswordFormatError::TooLong);
        // U+1D160 is composed of three and is never composed again: the longest growth there is.
        assert_eq!(password(&"\u{1D160}".repeat(85)).length(), 255);
        assert_eq!(password("  spaces  ").expose(), "  spaces  ");
    }

    #[test]
    fn a_cheaper_hash_asks_to_be_made_anew_once_it_matches() {
        let (right, wrong) = (password("correct horse"), password("another horse"));
        let hash = PasswordHash::make(&right, &pepper(0), CHEAP, &mut Counting(0)).unwrap();
        let rehash = |password: &Password, wanted: PasswordCost| {
            hash.verify(password, &pepper(0), wanted).unwrap().needs_rehash
        };
        assert!(rehash(&right, PasswordCost::standard()));
        assert!(rehash(&right, PasswordCost::new(9, 1, 1).unwrap()));
        assert!(rehash(&right, PasswordCost::new(8, 2, 1).unwrap()));
        assert!(!rehash(&right, CHEAP));
        assert!(!rehash(&wrong, PasswordCost::standard()));
    }

    #[test]
    fn a_stored_hash_has_one_text() {
        let good = PasswordHash::decoy(CHEAP).to_phc();
        assert_eq!(PasswordHash::from_phc(&good).unwrap().to_phc(), good);
        let largest = PasswordCost::new(1024 * 1024, 16, 16).unwrap();
        assert!(PasswordHash::decoy(largest).to_phc().len() <= MAX_PASSWORD_HASH_BYTES);
        for bad in [
            String::new(),
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("m=8", "m=08"),
            good.replace("m=8", "m=+8"),
            good.replace("m=8", "m=7"),
            good.replace("m=8", "m=4294967295"),
            good.replace("t=1", "t=0"),
            good.replace(",p=1", ""),
            good.replace(",p=1", ",p=1,keyid=AA"),
            format!("{good}="),
            format!("{good}$"),
            format!(" {good}"),
            good.trim_end_matches('A').to_owned(),
            good.repeat(2),
            "$argon2id$v=19$m=8,t=1,p=1$é$é".to_owned(),
        ] {
            assert!(PasswordHash::from_phc(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_printed() {
        let shown = format!("{:?} {:?}", password("correct horse"), PasswordHash::decoy(CHEAP));
        assert_eq!(shown, "Password PasswordHash");
    }
}
