//! Recovery codes: ten, written on paper, each good for one log-in without the usual second factor
//! (NIST SP 800-63B-4 section 3.1.2).
//!
//! A code has 80 random bits. That is less than the 112 with which a fast hash would do, so a code
//! is stored as passwords are (OWASP ASVS 5.0.0 V6.5.2): `argon2id(HMAC-SHA-256(pepper, code), salt)`.
//! The codes of a person have one salt between them. Trying a candidate is then one slow hash that is
//! held against all ten, not ten slow hashes, and no part of a code has to be stored in the clear to
//! find its row. What it gives away: an attacker who has the database *and* the pepper tests a guess
//! against ten codes at once, which leaves 2^76 slow hashes instead of 2^80. Salts still differ
//! between people and between sets.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::{
    EncodingError, HashingError, PasswordCost, Pepper, Randomness, SecretString,
    digest::{base64_unpadded_decode, base64_unpadded_encode},
    randomness::random_array,
    stretching::{SALT_BYTES, TAG_BYTES, stretch},
};

/// How many codes a set has.
pub const RECOVERY_CODES: usize = 10;

/// Longest stored set, in bytes.
pub const MAX_RECOVERY_SET_BYTES: usize = 64;

/// 16 characters of five bits.
const CODE_CHARACTERS: usize = 16;

const GROUP_CHARACTERS: usize = 4;

/// Longer texts are no code, in bytes: 16 characters with room for separators.
const MAX_TEXT_BYTES: usize = 64;

/// Crockford's base 32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A text that is not 16 characters of a recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryCodeError;

impl fmt::Display for RecoveryCodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a recovery code has 16 letters and digits")
    }
}

impl std::error::Error for RecoveryCodeError {}

/// A recovery code as its owner knows it: shown once, not stored.
pub struct RecoveryCode(SecretString);

impl RecoveryCode {
    /// A new code of 80 random bits.
    pub fn generate(randomness: &mut dyn Randomness) -> Self {
        // A byte for each character, of which five bits count: every character is as likely.
        let bytes = Zeroizing::new(random_array::<CODE_CHARACTERS>(randomness));
        let mut text = String::with_capacity(CODE_CHARACTERS);
        text.extend(bytes.iter().map(|byte| digit(byte % 32)));
        Self(SecretString::new(text))
    }

    /// The code in what somebody typed: in any case, with spaces and hyphens anywhere, O for 0, I and
    /// L for 1.
    pub fn parse(text: &SecretString) -> Result<Self, RecoveryCodeError> {
        let text = text.expose();
        if text.len() > MAX_TEXT_BYTES {
            return Err(RecoveryCodeError);
        }
        let mut code = Zeroizing::new(String::with_capacity(CODE_CHARACTERS));
        for character in text.chars().filter(|character| !matches!(character, ' ' | '-')) {
            let character = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let is_ours = character.is_ascii()
                && ALPHABET.iter().any(|digit| char::from(*digit) == character);
            if !is_ours || code.len() == CODE_CHARACTERS {
                return Err(RecoveryCodeError);
            }
            code.push(character);
        }
        if code.len() < CODE_CHARACTERS {
            return Err(RecoveryCodeError);
        }
        Ok(Self(SecretString::new(std::mem::take(&mut *code))))
    }

    /// The code to show, once: `XXXX-XXXX-XXXX-XXXX`.
    pub fn shown(&self) -> SecretString {
        let mut shown = String::with_capacity(CODE_CHARACTERS + CODE_CHARACTERS / GROUP_CHARACTERS);
        for (position, character) in self.0.expose().chars().enumerate() {
            if position > 0 && position % GROUP_CHARACTERS == 0 {
                shown.push('-');
            }
            shown.push(character);
        }
        SecretString::new(shown)
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RecoveryCode")
    }
}

/// What the codes of one person have in common: salt and cost. Made anew with every ten codes.
#[derive(Clone)]
pub struct RecoverySet {
    cost: PasswordCost,
    salt: [u8; SALT_BYTES],
}

impl RecoverySet {
    /// A set under 16 random bytes of salt.
    pub fn new(cost: PasswordCost, randomness: &mut dyn Randomness) -> Self {
        Self { cost, salt: random_array(randomness) }
    }

    /// A set for a person who has none: hashing a candidate takes as long as with one.
    pub const fn decoy(cost: PasswordCost) -> Self {
        Self { cost, salt: [0; SALT_BYTES] }
    }

    /// What is stored of a code of this set, and what a candidate is looked up by. One slow hash:
    /// whoever calls this bounds how many run at once.
    pub fn hash(
        &self,
        code: &RecoveryCode,
        pepper: &Pepper,
    ) -> Result<RecoveryCodeHash, HashingError> {
        let peppered = pepper.of_recovery_code(code.0.expose().as_bytes());
        Ok(RecoveryCodeHash(*stretch(&peppered, self.cost, &self.salt)?))
    }

    /// The text to store, `$argon2id$v=19$m=...,t=...,p=...$salt`: a PHC string without a tag.
    pub fn to_text(&self) -> String {
        format!("{}{}", self.cost.phc_prefix(), base64_unpadded_encode(&self.salt))
    }

    /// A set as it was stored. Takes the one text that [`RecoverySet::to_text`] makes of it.
    pub fn from_text(text: &str) -> Result<Self, EncodingError> {
        if text.len() > MAX_RECOVERY_SET_BYTES {
            return Err(EncodingError);
        }
        let (cost, salt) = PasswordCost::split_phc_prefix(text).ok_or(EncodingError)?;
        let salt = base64_unpadded_decode(salt)?.try_into().map_err(|_| EncodingError)?;
        Ok(Self { cost, salt })
    }
}

impl fmt::Debug for RecoverySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RecoverySet")
    }
}

/// A recovery code as it is stored.
#[derive(Clone)]
pub struct RecoveryCodeHash([u8; TAG_BYTES]);

impl RecoveryCodeHash {
    /// A hash as it was stored, 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, EncodingError> {
        bytes.try_into().map(Self).map_err(|_| EncodingError)
    }

    /// The 32 bytes to store.
    pub fn as_bytes(&self) -> &[u8; TAG_BYTES] {
        &self.0
    }

    /// Which of the codes that are left this is, in a time that does not tell which. The caller takes
    /// that code away in the same transaction.
    pub fn position_in(&self, left: &[Self]) -> Option<usize> {
        let mut found = None;
        for (position, stored) in left.iter().enumerate() {
            let matches = verify_slices_are_equal(&self.0, &stored.0).is_ok();
            found = if matches { Some(position) } else { found };
        }
        found
    }
}

impl fmt::Debug for RecoveryCodeHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RecoveryCodeHash")
    }
}

fn digit(value: u8) -> char {
    char::from(ALPHABET.get(usize::from(value)).copied().unwrap_or(b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SystemRandomness, digest::hex_encode, pepper::testing::pepper,
        randomness::testing::Counting, stretching::testing::CHEAP,
    };

    fn parse(text: &str) -> Result<RecoveryCode, RecoveryCodeError> {
        RecoveryCode::parse(&SecretString::new(text.to_owned()))
    }

    #[test]
    fn a_code_is_shown_in_four_groups() {
        let code = RecoveryCode::generate(&mut Counting(0));
        assert_eq!(code.shown().expose(), "0123-4567-89AB-CDEF");
        let code = RecoveryCode::generate(&mut Counting(16));
        assert_eq!(code.shown().expose(), "GHJK-MNPQ-RSTV-WXYZ");
        let code = RecoveryCode::generate(&mut Counting(0xf8));
        assert_eq!(code.shown().expose(), "RSTV-WXYZ-0123-4567");
        let again = parse(code.shown().expose()).unwrap();
        assert_eq!(again.shown().expose(), code.shown().expose());
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for text in [
            "0123-4567-89AB-CDEF",
            "0123456789ABCDEF",
            "0123 4567 89ab cdef",
            " o1 2345 6789-abcdef ",
            "OI23-4567-89ab-cdef",
            "ol23-4567-89ab-cdef",
            "oL23456789abcdef----",
        ] {
            assert_eq!(parse(text).unwrap().shown().expose(), "0123-4567-89AB-CDEF", "{text}");
        }
        for text in [
            "",
            "0123-4567-89AB-CDE",
            "0123-4567-89AB-CDEF0",
            "0123-4567-89AB-CDEU",
            "0123_4567_89AB_CDEF",
            "0123-4567-89AB-CDE\u{ff26}",
            "0123-4567-89AB-CDE\n",
            &"-".repeat(65),
            &"0".repeat(1_000_000),
        ] {
            assert_eq!(parse(text).unwrap_err(), RecoveryCodeError, "{text:.40}");
        }
    }

    #[test]
    fn every_character_is_drawn() {
        let mut system = SystemRandomness::new();
        let drawn: String = (0..200)
            .map(|_| RecoveryCode::generate(&mut system).shown().expose().to_owned())
            .collect();
        for character in ALPHABET {
            assert!(drawn.contains(char::from(*character)));
        }
    }

    /// Made by a second implementation (Python: argon2-cffi, which is the reference C code, hmac).
    /// Every stored code depends on these bytes.
    #[test]
    fn the_hash_is_frozen() {
        let set = RecoverySet::new(CHEAP, &mut Counting(0x40));
        assert_eq!(set.to_text(), "$argon2id$v=19$m=8,t=1,p=1$QEFCQ0RFRkdISUpLTE1OTw");
        let hash = set.hash(&RecoveryCode::generate(&mut Counting(0)), &pepper(0)).unwrap();
        assert_eq!(
            hex_encode(hash.as_bytes()),
            "1d520e412819f7093274460103f6b0a508f7d8332971c212f8d13a6623f650c9"
        );
    }

    #[test]
    fn a_code_is_found_among_those_that_are_left() {
        let mut system = SystemRandomness::new();
        let set = RecoverySet::new(CHEAP, &mut system);
        let codes: Vec<RecoveryCode> =
            (0..RECOVERY_CODES).map(|_| RecoveryCode::generate(&mut system)).collect();
        let mut left: Vec<RecoveryCodeHash> =
            codes.iter().map(|code| set.hash(code, &pepper(0)).unwrap()).collect();
        let stored = RecoverySet::from_text(&set.to_text()).unwrap();
        for (position, code) in codes.iter().enumerate() {
            let typed = parse(&code.shown().expose().to_lowercase()).unwrap();
            let hash = stored.hash(&typed, &pepper(0)).unwrap();
            assert_eq!(hash.position_in(&left), Some(position));
            // Another pepper, another set, another person without any.
            let elsewhere = [
                stored.hash(&typed, &pepper(1)).unwrap(),
                RecoverySet::new(CHEAP, &mut system).hash(&typed, &pepper(0)).unwrap(),
                RecoverySet::decoy(CHEAP).hash(&typed, &pepper(0)).unwrap(),
            ];
            assert!(elsewhere.iter().all(|hash| hash.position_in(&left).is_none()));
        }
        let used = left.remove(3);
        assert_eq!(used.position_in(&left), None);
        assert_eq!(used.position_in(&[]), None);
        assert!(RecoveryCodeHash::from_stored(&[0; 31]).is_err());
        let read = RecoveryCodeHash::from_stored(used.as_bytes()).unwrap();
        assert_eq!(read.position_in(&[used]), Some(0));
    }

    #[test]
    fn a_stored_set_has_one_text() {
        let good = RecoverySet::decoy(CHEAP).to_text();
        let largest = PasswordCost::new(1024 * 1024, 16, 16).unwrap();
        assert!(RecoverySet::decoy(largest).to_text().len() <= MAX_RECOVERY_SET_BYTES);
        for bad in [
            String::new(),
            good.replace("m=8", "m=08"),
            good.replace("argon2id", "argon2d"),
            format!("{good}$AAAA"),
            format!("{good}A"),
            good.replace('A', ""),
            good.repeat(3),
        ] {
            assert!(RecoverySet::from_text(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_printed() {
        let code = RecoveryCode::generate(&mut Counting(0));
        let set = RecoverySet::decoy(CHEAP);
        let hash = set.hash(&code, &pepper(0)).unwrap();
        assert_eq!(
            format!("{code:?} {set:?} {hash:?}"),
            "RecoveryCode RecoverySet RecoveryCodeHash"
        );
    }
}
