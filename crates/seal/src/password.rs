//! Passwords: read once, hashed with Argon2id, never stored or printed.
//!
//! What is stored is `argon2id(HMAC-SHA-256(pepper, NFC(password)))` as a PHC string (RFC 9106; NIST
//! SP 800-63B-4 section 3.1.1.2). The whole password counts: it is bounded, never cut (OWASP ASVS 5.0.0
//! V6.2.8).
//!
//! One hash at the standard cost takes 64 MiB and about a tenth of a second of one core. Whoever
//! calls this bounds how many run at once.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::{
    EncodingError, Pepper, Randomness, SecretString,
    digest::{base64_unpadded_decode, base64_unpadded_encode},
    randomness::random_array,
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

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

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

/// What one guess costs: memory, passes over it, lanes (RFC 9106 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PasswordCost {
    /// Most memory of one hash, in KiB. Also bounds what a damaged row can ask for.
    pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    /// Most passes.
    pub const MAX_PASSES: u32 = 16;
    /// Most lanes.
    pub const MAX_LANES: u32 = 16;

    /// 64 MiB, three passes, four lanes: the second recommended option of RFC 9106 section 4.
    pub const fn standard() -> Self {
        Self { memory_kib: 65_536, passes: 3, lanes: 4 }
    }

    /// Any cost Argon2 can have: at least 8 KiB for each lane, one pass, one lane. It may be far too
    /// cheap, see [`PasswordCost::is_sufficient`].
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Option<Self> {
        let possible = lanes >= 1
            && lanes <= Self::MAX_LANES
            && passes >= 1
            && passes <= Self::MAX_PASSES
            && memory_kib >= 8 * lanes
            && memory_kib <= Self::MAX_MEMORY_KIB;
        if possible { Some(Self { memory_kib, passes, lanes }) } else { None }
    }

    /// Whether it is at least one of the minima of OWASP ASVS 5.0.0 appendix C.
    pub const fn is_sufficient(self) -> bool {
        self.memory_kib >= 47_104
            || (self.memory_kib >= 19_456 && self.passes >= 2)
            || (self.memory_kib >= 12_288 && self.passes >= 3)
    }

    /// Memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub const fn lanes(self) -> u32 {
        self.lanes
    }

    fn is_below(self, other: Self) -> bool {
        self.memory_kib < other.memory_kib || self.passes < other.passes
    }
}

/// A password could not be hashed: there is no memory for it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingError;

impl fmt::Display for HashingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("there is not enough memory to hash a password")
    }
}

impl std::error::Error for HashingError {}

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
        let tag = *stretch(password, pepper, cost, &salt)?;
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
        let tag = stretch(password, pepper, self.cost, &self.salt)?;
        let matches = verify_slices_are_equal(&*tag, &self.tag).is_ok();
        Ok(Verified { matches, needs_rehash: matches && self.cost.is_below(wanted) })
    }

    /// What it costs to try one password against it.
    pub fn cost(&self) -> PasswordCost {
        self.cost
    }

    /// The text to store, `$argon2id$v=19$m=...,t=...,p=...$salt$tag` (the PHC string format).
    pub fn to_phc(&self) -> String {
        let PasswordCost { memory_kib, passes, lanes } = self.cost;
        let (salt, tag) = (base64_unpadded_encode(&self.salt), base64_unpadded_encode(&self.tag));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${tag}")
    }

    /// A hash as it was stored. Takes the one text that [`PasswordHash::to_phc`] makes of it.
    pub fn from_phc(text: &str) -> Result<Self, EncodingError> {
        let read = Self::parse(text).ok_or(EncodingError)?;
        // Leading zeros and plus signs are numbers too, but not ours.
        if read.to_phc() == text { Ok(read) } else { Err(EncodingError) }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_PASSWORD_HASH_BYTES {
            return None;
        }
        let rest = text.strip_prefix("$argon2id$v=19$m=")?;
        let (memory_kib, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let (lanes, rest) = rest.split_once('$')?;
        let (salt, tag) = rest.split_once('$')?;
        Some(Self {
            cost: PasswordCost::new(
                memory_kib.parse().ok()?,
                passes.parse().ok()?,
                lanes.parse().ok()?,
            )?,
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

fn stretch(
    password: &Password,
    pepper: &Pepper,
    cost: PasswordCost,
    salt: &[u8],
) -> Result<Zeroizing<[u8; TAG_BYTES]>, HashingError> {
    let peppered = pepper.of_password(password.expose().as_bytes());
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(TAG_BYTES))
        .map_err(|_| HashingError)?;
    let mut tag = Zeroizing::new([0; TAG_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&*peppered, salt, &mut *tag)
        .map_err(|_| HashingError)?;
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, pepper::testing::pepper, randomness::testing::Counting};

    /// 8 KiB, one pass: for tests of everything but the cost.
    const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };

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
    fn costs_have_bounds_and_a_recommended_least() {
        assert_eq!(PasswordCost::new(65_536, 3, 4), Some(PasswordCost::standard()));
        for (memory_kib, passes, lanes) in [
            (7, 1, 1),
            (15, 1, 2),
            (8, 0, 1),
            (8, 1, 0),
            (u32::MAX, 1, 1),
            (65_536, u32::MAX, 1),
            (65_536, 1, u32::MAX),
        ] {
            assert_eq!(PasswordCost::new(memory_kib, passes, lanes), None);
        }
        assert!(PasswordCost::standard().is_sufficient());
        for (memory_kib, passes, sufficient) in [
            (47_104, 1, true),
            (47_103, 1, false),
            (19_456, 2, true),
            (19_455, 2, false),
            (12_288, 3, true),
            (12_287, 16, false),
            (8, 1, false),
        ] {
            let cost = PasswordCost::new(memory_kib, passes, 1).unwrap();
            assert_eq!(cost.is_sufficient(), sufficient, "{cost:?}");
        }
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
