//! The keys that requests are signed with.

use std::{
    fmt,
    hint::black_box,
    sync::{LazyLock, OnceLock},
};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::SHA256_OUTPUT_LEN,
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use zeroize::Zeroizing;

use super::{Presented, SignatureError, pem};
use crate::{Randomness, SecretBytes, SecretString, digest::hex_encode, randomness::random_array};

/// Shortest secret of HMAC-SHA256, in bytes: what it prints, not what it is worth. A shorter key
/// than the hash weakens it (RFC 2104 section 3).
pub const MIN_SECRET_BYTES: usize = 32;

/// Longest secret of HMAC-SHA256, in bytes.
const MAX_SECRET_BYTES: usize = 1024;

/// PKCS#8 version 1 of an Ed25519 key up to its seed (RFC 8410 section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// `SubjectPublicKeyInfo` of an Ed25519 key up to its 32 bytes (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

const PRIVATE_KEY: &str = "PRIVATE KEY";
const PUBLIC_KEY: &str = "PUBLIC KEY";

/// Every encoding of the eight points of small order, without the sign bit. Whoever registers one of
/// them as a key could show one signature for many requests.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The public key of RFC 8032 section 7.1, test 1: a point like any other, to compute with.
const DECOY_PUBLIC: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// The decoy of HMAC, prepared as every key is that was asked for before.
static DECOY_KEY: LazyLock<hmac::Key> = LazyLock::new(|| hmac_key(&DECOY_PUBLIC));

/// A key that is not in its form, or of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormatError {
    /// Not an Ed25519 private key as PKCS#8 in PEM.
    Private,
    /// Not an Ed25519 public key: neither 32 bytes nor a `PUBLIC KEY` in PEM, or one that proves nothing.
    Public,
    /// A secret that is too short or too long.
    Secret,
}

impl fmt::Display for KeyFormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => {
                formatter.write_str("the text is not an Ed25519 private key, PKCS#8 in PEM")
            }
            Self::Public => formatter.write_str("the text is not an Ed25519 public key"),
            Self::Secret => {
                write!(formatter, "a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
            }
        }
    }
}

impl std::error::Error for KeyFormatError {}

/// How requests are signed. The key's record decides; a message can only agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// HMAC with SHA-256 (RFC 2104).
    HmacSha256,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::HmacSha256];

    /// The name in the registry of HTTP signature algorithms (RFC 9421 section 6.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// The algorithm with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) const fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::HmacSha256 => 32,
        }
    }
}

/// What a signature is held against.
pub struct VerifyingKey(Kind);

enum Kind {
    Ed25519([u8; 32]),
    /// The secret; and once it was asked for, what is computed from it alone, which saves two of the
    /// hash's blocks each time. Most keys are quiet, and it is larger than all else of a key.
    HmacSha256(SecretBytes, OnceLock<Box<hmac::Key>>),
    /// Computes as much as a real one and verifies nothing.
    Decoy(Algorithm),
}

impl VerifyingKey {
    /// An Ed25519 public key, 32 bytes.
    pub fn ed25519(public: [u8; 32]) -> Result<Self, KeyFormatError> {
        let mut unsigned = public;
        let [.., last] = &mut unsigned;
        *last &= 0x7f;
        if SMALL_ORDER.contains(&hex_encode(&unsigned).as_str()) {
            return Err(KeyFormatError::Public);
        }
        Ok(Self(Kind::Ed25519(public)))
    }

    /// An Ed25519 public key as `openssl pkey -pubout` writes it.
    pub fn ed25519_from_pem(text: &str) -> Result<Self, KeyFormatError> {
        let der = pem::decode(PUBLIC_KEY, text).ok_or(KeyFormatError::Public)?;
        let public = der.strip_prefix(&SPKI_PREFIX).and_then(|public| public.try_into().ok());
        Self::ed25519(public.ok_or(KeyFormatError::Public)?)
    }

    /// A shared secret: the bytes of its printed text.
    pub fn hmac_sha256(secret: SecretBytes) -> Result<Self, KeyFormatError> {
        is_secret(&secret)?;
        Ok(Self(Kind::HmacSha256(secret, OnceLock::new())))
    }

    /// An HMAC key whose secret is not open: nothing verifies against it, at the price of a real one.
    pub fn unopened() -> Self {
        Self(Kind::Decoy(Algorithm::HmacSha256))
    }

    /// A key that nothing verifies against, at the price of a real one, for a request whose key is
    /// not known.
    pub fn decoy(presented: &Presented<'_>) -> Self {
        Self(Kind::Decoy(presented.likely_algorithm()))
    }

    /// How this key signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Ed25519(_) => Algorithm::Ed25519,
            Kind::HmacSha256(..) => Algorithm::HmacSha256,
            Kind::Decoy(algorithm) => algorithm,
        }
    }

    /// The 32 bytes of an Ed25519 key.
    pub fn ed25519_public(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Kind::Ed25519(public) => Some(public),
            Kind::HmacSha256(..) | Kind::Decoy(_) => None,
        }
    }

    /// The public key or the secret.
    pub(super) fn material(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Ed25519(public) => Some(public),
            Kind::HmacSha256(secret, _) => Some(secret.expose()),
            Kind::Decoy(_) => None,
        }
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Ed25519(public) => verifies_ed25519(public, text, signature),
            Kind::HmacSha256(secret, prepared) => {
                // Also for one that then proves nothing: who holds a key's name and no more would
                // otherwise be told by the time it takes that there is such a key.
                let key = prepared.get_or_init(|| Box::new(hmac_key(secret.expose())));
                verifies_prepared(key, text, signature)
            }
            Kind::Decoy(algorithm) => {
                // Seen by nobody, and not left out by the compiler for that.
                black_box(match algorithm {
                    Algorithm::Ed25519 => verifies_ed25519(&DECOY_PUBLIC, text, signature),
                    Algorithm::HmacSha256 => verifies_prepared(&DECOY_KEY, text, signature),
                });
                false
            }
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifyingKey({})", self.algorithm().name())
    }
}

pub(super) fn verifies_ed25519(public: &[u8; 32], text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(text, signature).is_ok()
}

/// As [`hmac::verify`], with the code where it stays instead of moved from hand to hand.
fn verifies_prepared(key: &hmac::Key, text: &[u8], signature: &[u8]) -> bool {
    let mut code = [0; SHA256_OUTPUT_LEN];
    let code = hmac::sign_to_buffer(key, text, &mut code);
    code.is_ok_and(|code| verify_slices_are_equal(code, signature).is_ok())
}

pub(super) fn verifies_hmac(secret: &[u8], text: &[u8], signature: &[u8]) -> bool {
    hmac::verify(&hmac_key(secret), text, signature).is_ok()
}

fn hmac_key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn is_secret(secret: &SecretBytes) -> Result<(), KeyFormatError> {
    let fits = (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.expose().len());
    if fits { Ok(()) } else { Err(KeyFormatError::Secret) }
}

/// An Ed25519 key pair, as a client keeps it.
pub struct Ed25519Key {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Ed25519Key {
    /// A new key pair.
    pub fn generate(randomness: &mut dyn Randomness) -> Result<Self, KeyFormatError> {
        Self::from_seed(Zeroizing::new(random_array(randomness)))
    }

    /// The key pair with this seed (RFC 8032 section 5.1.5 calls it the private key).
    fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyFormatError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice());
        let pair = pair.map_err(|_| KeyFormatError::Private)?;
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| KeyFormatError::Private)?;
        Ok(Self { pair, seed, public })
    }

    /// Reads PKCS#8 version 1 in PEM, as [`Self::to_pkcs8_pem`] and `openssl genpkey` write it.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, KeyFormatError> {
        let der = pem::decode(PRIVATE_KEY, text).ok_or(KeyFormatError::Private)?;
        let seed = der.strip_prefix(&PKCS8_PREFIX).and_then(|seed| seed.try_into().ok());
        Self::from_seed(Zeroizing::new(seed.ok_or(KeyFormatError::Private)?))
    }

    /// The private key as PKCS#8 version 1 in PEM, which OpenSSL reads.
    pub fn to_pkcs8_pem(&self) -> SecretString {
        let mut der = Zeroizing::new([0; 48]);
        let (prefix, seed) = der.split_at_mut(PKCS8_PREFIX.len());
        prefix.copy_from_slice(&PKCS8_PREFIX);
        seed.copy_from_slice(self.seed.as_slice());
        SecretString::new(pem::encode(PRIVATE_KEY, der.as_slice()))
    }

    /// The public key, 32 bytes.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The public key as OpenSSL writes it.
    pub fn public_pem(&self) -> String {
        pem::encode(PUBLIC_KEY, &[SPKI_PREFIX.as_slice(), &self.public].concat())
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ed25519Key({})", hex_encode(&self.public))
    }
}

/// What a client signs with.
#[derive(Debug)]
pub enum SigningKey {
    /// Its own key pair; the gateway has the public half.
    Ed25519(Ed25519Key),
    /// A secret that the gateway has as well: the bytes of its printed text.
    HmacSha256(SecretBytes),
}

impl SigningKey {
    /// How this key signs.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::HmacSha256(_) => Algorithm::HmacSha256,
        }
    }

    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignatureError> {
        match self {
            Self::Ed25519(key) => {
                let signature = key.pair.try_sign(text).map_err(|_| SignatureError::Algorithm)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::HmacSha256(secret) => {
                is_secret(secret).map_err(|_| SignatureError::Algorithm)?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
                Ok(hmac::sign(&key, text).as_ref().to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, hex_decode, randomness::testing::Counting};

    // RFC 8410 section 10.3, and the public key that section 10.1 gives for it.
    const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn the_keys_of_the_standard_are_read_and_printed() {
        let key = Ed25519Key::from_pkcs8_pem(PRIVATE_PEM).unwrap();
        assert_eq!(key.to_pkcs8_pem().expose(), PRIVATE_PEM);
        assert_eq!(key.public_pem(), PUBLIC_PEM);
        let public = VerifyingKey::ed25519_from_pem(PUBLIC_PEM).unwrap();
        assert_eq!(public.ed25519_public(), Some(key.public()));
        let windows = PRIVATE_PEM.replace('\n', "\r\n");
        assert_eq!(Ed25519Key::from_pkcs8_pem(&windows).unwrap().public(), key.public());
    }

    #[test]
    fn a_made_key_is_the_same_after_its_file() {
        let key = Ed25519Key::generate(&mut SystemRandomness::new()).unwrap();
        let again = Ed25519Key::from_pkcs8_pem(key.to_pkcs8_pem().expose()).unwrap();
        assert_eq!(again.public(), key.public());
        let frozen = Ed25519Key::generate(&mut Counting(0)).unwrap();
        let printed =
            "Ed25519Key(03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8)";
        assert_eq!(format!("{frozen:?}"), printed);
        let secret = SecretBytes::new(vec![7; 32]);
        assert_eq!(format!("{:?}", SigningKey::HmacSha256(secret)), "HmacSha256(SecretBytes)");
        let secret = VerifyingKey::hmac_sha256(SecretBytes::new(vec![7; 32])).unwrap();
        assert_eq!(format!("{secret:?}"), "VerifyingKey(hmac-sha256)");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let p256 = PRIVATE_PEM.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vv");
        let cut = PRIVATE_PEM.replace("hC\n", "\n");
        for text in ["", PUBLIC_PEM, &p256, &cut, &"-".repeat(70_000)] {
            assert_eq!(Ed25519Key::from_pkcs8_pem(text).unwrap_err(), KeyFormatError::Private);
        }
        for text in ["", PRIVATE_PEM, &PUBLIC_PEM.replace("MCow", "MCox")] {
            assert_eq!(VerifyingKey::ed25519_from_pem(text).unwrap_err(), KeyFormatError::Public);
        }
        for (bytes, fits) in [(0, false), (31, false), (32, true), (1024, true), (1025, false)] {
            let secret = || SecretBytes::new(vec![7; bytes]);
            assert_eq!(VerifyingKey::hmac_sha256(secret()).is_ok(), fits, "{bytes}");
            assert_eq!(SigningKey::HmacSha256(secret()).sign(b"").is_ok(), fits, "{bytes}");
        }
    }

    #[test]
    fn a_key_that_proves_nothing_is_refused() {
        // With the neutral element as public key, this one signature is right for every text.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let signature = [neutral, [0; 32]].concat();
        assert!(verifies_ed25519(&neutral, b"any", &signature));
        assert!(verifies_ed25519(&neutral, b"other", &signature));
        for text in SMALL_ORDER {
            let mut public: [u8; 32] = hex_decode(text).unwrap().try_into().unwrap();
            assert_eq!(VerifyingKey::ed25519(public).unwrap_err(), KeyFormatError::Public);
            public[31] |= 0x80;
            assert_eq!(VerifyingKey::ed25519(public).unwrap_err(), KeyFormatError::Public);
        }
    }

    #[test]
    fn a_decoy_verifies_nothing() {
        // Signed with the private key of the decoy's point, which the standard prints.
        let seed =
            hex_decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = Ed25519Key::from_seed(Zeroizing::new(seed.try_into().unwrap())).unwrap();
        assert_eq!(key.public(), &DECOY_PUBLIC);
        let signature = SigningKey::Ed25519(key).sign(b"text").unwrap();
        assert!(verifies_ed25519(&DECOY_PUBLIC, b"text", &signature));
        assert!(!VerifyingKey(Kind::Decoy(Algorithm::Ed25519)).verifies(b"text", &signature));
        let secret = SecretBytes::new(DECOY_PUBLIC.to_vec());
        let signature = SigningKey::HmacSha256(secret).sign(b"text").unwrap();
        assert!(verifies_hmac(&DECOY_PUBLIC, b"text", &signature));
        assert!(!VerifyingKey(Kind::Decoy(Algorithm::HmacSha256)).verifies(b"text", &signature));
    }
}
