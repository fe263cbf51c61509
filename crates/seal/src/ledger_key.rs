//! The key that signs the audit log's checkpoints, and the public half that anybody checks them
//! with (C2SP signed-note, Ed25519).

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{
    Digest, Randomness, SecretBytes,
    digest::{base64_decode, base64_encode, hex_decode, hex_encode},
};

/// Longest name of a key, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 256;

/// A printed verifier key is a name, eight hex digits, 44 characters of base64 and two plus signs.
const MAX_VERIFIER_KEY_BYTES: usize = MAX_KEY_NAME_BYTES + 54;

const SEED_BYTES: usize = 32;

/// The signature type of Ed25519 over the note's text.
const ED25519_TYPE: u8 = 0x01;

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The name is empty, too long, or has a space, a plus sign or a control character.
    Name,
    /// The seed is not 32 bytes.
    Seed,
    /// The text is not `name+hash+base64` of an Ed25519 key, or its hash does not fit.
    VerifierKey,
}

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name => "the key's name is empty, too long, or has a space or a plus sign",
            Self::Seed => "the key's seed is not 32 bytes",
            Self::VerifierKey => "the text is not an Ed25519 verifier key",
        })
    }
}

impl std::error::Error for KeyError {}

/// Signs checkpoints. Its name is the origin of the log.
pub struct LedgerKey {
    pair: Ed25519KeyPair,
    seed: SecretBytes,
    verifier: VerifierKey,
}

impl LedgerKey {
    /// A new key for the log with this origin.
    pub fn generate(origin: &str, randomness: &mut dyn Randomness) -> Result<Self, KeyError> {
        Self::from_seed(origin, SecretBytes::random(SEED_BYTES, randomness))
    }

    /// The key with this seed, 32 bytes (RFC 8032 section 5.1.5 calls it the private key).
    pub fn from_seed(origin: &str, seed: SecretBytes) -> Result<Self, KeyError> {
        if seed.expose().len() != SEED_BYTES {
            return Err(KeyError::Seed);
        }
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| KeyError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Seed)?;
        Ok(Self { verifier: VerifierKey::new(origin, public)?, pair, seed })
    }

    /// The seed, to be sealed and stored.
    pub fn seed(&self) -> &SecretBytes {
        &self.seed
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.pair.try_sign(text).ok().map(|signature| signature.as_ref().to_vec())
    }
}

impl fmt::Debug for LedgerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LedgerKey({})", self.verifier)
    }
}

/// The public half of a [`LedgerKey`]. Its text form is C2SP's vkey, `name+hash+base64`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// The key with this name and Ed25519 public key.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_valid_key_name(name) {
            return Err(KeyError::Name);
        }
        let digest = Digest::sha256_parts(&[name.as_bytes(), b"\n", &[ED25519_TYPE], &public]);
        let [first, second, third, fourth, ..] = *digest.as_bytes();
        Ok(Self { name: name.to_owned(), id: [first, second, third, fourth], public })
    }

    /// The name, for us the origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the key's hash. Together with the name it says which key signed; it
    /// is no proof of anything.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The 32 bytes of the public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64_encode(&[&[ED25519_TYPE], self.public.as_slice()].concat());
        write!(formatter, "{}+{}+{key}", self.name, hex_encode(&self.id))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_VERIFIER_KEY_BYTES {
            return Err(KeyError::VerifierKey);
        }
        // Names have no plus sign; the base64 may.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::VerifierKey);
        };
        let id = hex_decode(id).map_err(|_| KeyError::VerifierKey)?;
        let key = base64_decode(key).map_err(|_| KeyError::VerifierKey)?;
        let public = key.strip_prefix(&[ED25519_TYPE]).and_then(|public| public.try_into().ok());
        let parsed = Self::new(name, public.ok_or(KeyError::VerifierKey)?)?;
        if parsed.id == *id { Ok(parsed) } else { Err(KeyError::VerifierKey) }
    }
}

pub(crate) fn is_valid_key_name(name: &str) -> bool {
    (1..=MAX_KEY_NAME_BYTES).contains(&name.len())
        && !name.contains(|character: char| {
            character.is_whitespace() || character.is_control() || character == '+'
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, randomness::testing::Counting};

    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn a_verifier_key_is_printed_as_it_was_read() {
        let key: VerifierKey = VKEY.parse().unwrap();
        assert_eq!((key.name(), key.id()), ("example.com/foo", [0x53, 0x0d, 0x90, 0x3a]));
        assert_eq!(key.to_string(), VKEY);
        let made = LedgerKey::generate("log", &mut SystemRandomness::new()).unwrap();
        assert_eq!(made.verifier().to_string().parse::<VerifierKey>().unwrap(), *made.verifier());
    }

    #[test]
    fn what_is_no_verifier_key_is_refused() {
        for text in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "example.com/fooo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv",
            "example.com/foo+530d903a+",
            &"a".repeat(1000),
        ] {
            assert_eq!(text.parse::<VerifierKey>(), Err(KeyError::VerifierKey), "{text}");
        }
        for name in
            ["", "a b", "a+b", "a\nb", "a\u{a0}b", "a\u{0}", &"a".repeat(MAX_KEY_NAME_BYTES + 1)]
        {
            assert_eq!(VerifierKey::new(name, [0; 32]), Err(KeyError::Name), "{name:?}");
        }
    }

    #[test]
    fn the_seed_is_the_whole_key() {
        // RFC 8032 section 7.1, test 1.
        let seed =
            hex_decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = LedgerKey::from_seed("log", SecretBytes::new(seed.clone())).unwrap();
        assert_eq!(hex_encode(key.verifier().public()), public);
        assert!(key.seed().matches(&seed));
        let again = LedgerKey::generate("log", &mut Counting(0)).unwrap();
        assert_eq!(format!("{again:?}"), format!("LedgerKey({})", again.verifier()));
        assert_eq!(
            LedgerKey::from_seed("log", SecretBytes::new(vec![0; 31])).unwrap_err(),
            KeyError::Seed
        );
        assert_eq!(
            LedgerKey::from_seed("log", SecretBytes::new(vec![0; 33])).unwrap_err(),
            KeyError::Seed
        );
    }
}
