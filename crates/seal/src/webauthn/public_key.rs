//! The public key of a credential as its authenticator writes it: a `COSE_Key` (RFC 9052 section 7,
//! RFC 9053, RFC 8230) with what WebAuthn asks of it (Level 3 section 6.5.1).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{
    cbor::{self, Key, Value},
    error::{Part, WebauthnError},
};

/// Largest modulus of an RSA key, in bytes. A larger one buys nothing and costs time.
const MAX_MODULUS_BYTES: usize = 512;

/// Smallest modulus of an RSA key, in bytes, the first of them at least 0x80: 2048 bits.
const MIN_MODULUS_BYTES: usize = 256;

/// How a credential signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 4096 bits.
    Rs256,
}

impl Algorithm {
    /// Every algorithm that we can verify, in the order in which they are preferred.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its number in IANA's registry of COSE algorithms.
    pub const fn identifier(self) -> i64 {
        match self {
            Self::EdDsa => -8,
            Self::Es256 => -7,
            Self::Rs256 => -257,
        }
    }
}

/// A public key that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Ed25519([u8; 32]),
    /// An uncompressed point on the curve (SEC 1 section 2.3.3).
    P256([u8; 65]),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a `COSE_Key`. WebAuthn allows the members that a key of its kind must have, and no
    /// others; their order is the canonical one, so the whole map is one pattern.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, WebauthnError> {
        const MALFORMED: WebauthnError = WebauthnError::Malformed(Part::PublicKey);
        let Ok(Value::Map(members)) = cbor::read(bytes) else { return Err(MALFORMED) };
        match algorithm(&members).ok_or(MALFORMED)? {
            -8 => read_ed25519(&members),
            -7 => read_p256(&members),
            -257 => read_rsa(&members),
            _ => return Err(WebauthnError::Algorithm),
        }
        .ok_or(MALFORMED)
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256(_) => Algorithm::Es256,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        }
        .is_ok()
    }
}

// Labels and values: RFC 9052 table 4, RFC 9053 tables 17 to 20, RFC 8230 table 4.
const KEY_TYPE: Key<'_> = Key::Integer(1);
const ALGORITHM: Key<'_> = Key::Integer(3);
/// The curve, or the modulus of an RSA key.
const FIRST: Key<'_> = Key::Integer(-1);
/// The x coordinate, the Ed25519 key, or the exponent of an RSA key.
const SECOND: Key<'_> = Key::Integer(-2);
/// The y coordinate.
const THIRD: Key<'_> = Key::Integer(-3);

const OCTET_KEY_PAIR: Value<'_> = Value::Integer(1);
const ELLIPTIC_CURVE: Value<'_> = Value::Integer(2);
const RSA: Value<'_> = Value::Integer(3);
const P_256: Value<'_> = Value::Integer(1);
const CURVE_ED25519: Value<'_> = Value::Integer(6);

type Member<'a> = (Key<'a>, Value<'a>);

fn algorithm(members: &[Member<'_>]) -> Option<i64> {
    members.iter().find_map(|(key, value)| match value {
        Value::Integer(number) if *key == ALGORITHM => Some(*number),
        _ => None,
    })
}

fn read_ed25519(members: &[Member<'_>]) -> Option<PublicKey> {
    let [
        (KEY_TYPE, OCTET_KEY_PAIR),
        (ALGORITHM, _),
        (FIRST, CURVE_ED25519),
        (SECOND, Value::Bytes(key)),
    ] = members
    else {
        return None;
    };
    Some(PublicKey::Ed25519((*key).try_into().ok()?))
}

/// The compressed form of a point, where y is a truth value, is not allowed in WebAuthn.
fn read_p256(members: &[Member<'_>]) -> Option<PublicKey> {
    let [
        (KEY_TYPE, ELLIPTIC_CURVE),
        (ALGORITHM, _),
        (FIRST, P_256),
        (SECOND, Value::Bytes(x)),
        (THIRD, Value::Bytes(y)),
    ] = members
    else {
        return None;
    };
    let (x, y): ([u8; 32], [u8; 32]) = ((*x).try_into().ok()?, (*y).try_into().ok()?);
    let point: [u8; 65] = [&[4], x.as_slice(), &y].concat().try_into().ok()?;
    // A point beside the curve verifies nothing; it is refused when it comes, not at the first log-in.
    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok()?;
    Some(PublicKey::P256(point))
}

fn read_rsa(members: &[Member<'_>]) -> Option<PublicKey> {
    let [
        (KEY_TYPE, RSA),
        (ALGORITHM, _),
        (FIRST, Value::Bytes(modulus)),
        (SECOND, Value::Bytes(exponent)),
    ] = members
    else {
        return None;
    };
    let full =
        modulus.first().is_some_and(|first| *first >= 0x80) || modulus.len() > MIN_MODULUS_BYTES;
    let fits = full
        && (MIN_MODULUS_BYTES..=MAX_MODULUS_BYTES).contains(&modulus.len())
        && modulus.first() != Some(&0)
        && modulus.last().is_some_and(|last| last % 2 == 1)
        && is_exponent(exponent);
    fits.then(|| PublicKey::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
}

/// Odd, and 65537 or a little more (FIPS 186-5 section 5.4 has 2^16 as its bound).
fn is_exponent(bytes: &[u8]) -> bool {
    let leading_zero = bytes.first() == Some(&0);
    let number = bytes.iter().try_fold(0_u32, |number, byte| {
        number.checked_mul(256).map(|number| number | u32::from(*byte))
    });
    number.is_some_and(|number| !leading_zero && number > 1 << 16 && number % 2 == 1)
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::{
        Digest, hex_decode,
        webauthn::authenticator_data::{AuthenticatorData, read_attestation_object},
    };

    const VECTORS: &str = include_str!("../../tests/webauthn/vectors.json");

    fn hex(part: &Json) -> Vec<u8> {
        hex_decode(part.as_str().unwrap()).unwrap()
    }

    /// Every key and signature of the specification's examples, also of those whose ceremonies our
    /// policy refuses.
    #[test]
    fn the_signatures_of_the_specification() {
        let document: Json = serde_json::from_str(VECTORS).unwrap();
        let mut verified = Vec::new();
        for vector in document["vectors"].as_array().unwrap() {
            let name = vector["name"].as_str().unwrap();
            let object = hex(&vector["registration"]["attestationObject"]);
            let data = AuthenticatorData::read(read_attestation_object(&object).unwrap()).unwrap();
            let key = PublicKey::read(data.credential.unwrap().public_key);
            if ["packed-es384", "packed-es512", "packed-ed448"].contains(&name) {
                assert_eq!(key, Err(WebauthnError::Algorithm), "{name}");
                continue;
            }
            let key = key.unwrap();
            let assertion = &vector["authentication"];
            let hash = Digest::sha256(&hex(&assertion["clientDataJSON"]));
            let message = [hex(&assertion["authenticatorData"]), hash.as_bytes().to_vec()].concat();
            let signature = hex(&assertion["signature"]);
            assert!(key.verifies(&message, &signature), "{name}");
            verified.push(key.algorithm());
            for index in 0..message.len() {
                let mut other = message.clone();
                other[index] ^= 1;
                assert!(!key.verifies(&other, &signature), "{name} {index}");
            }
            for index in 0..signature.len() {
                for bit in [0x01, 0x80] {
                    let mut other = signature.clone();
                    other[index] ^= bit;
                    assert!(!key.verifies(&message, &other), "{name} {index}");
                }
            }
            assert!(!key.verifies(&message, &[]));
            assert!(!key.verifies(&message, &[signature.as_slice(), &[0]].concat()));
        }
        assert_eq!(verified.len(), 12);
        assert!(Algorithm::ALL.iter().all(|algorithm| verified.contains(algorithm)));
    }

    // A key of RFC 8032 section 7.1 and one of RFC 6979 appendix A.2.5.
    const ED25519_KEY: &str =
        "a4010103272006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const P256_KEY: &str = "a5010203262001215820\
        60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
        225820\
        7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

    fn read(text: &str) -> Result<PublicKey, WebauthnError> {
        PublicKey::read(&hex_decode(text).unwrap())
    }

    #[test]
    fn keys_are_read_and_other_shapes_refused() {
        const MALFORMED: Result<PublicKey, WebauthnError> =
            Err(WebauthnError::Malformed(Part::PublicKey));
        assert_eq!(read(ED25519_KEY).unwrap().algorithm(), Algorithm::EdDsa);
        assert_eq!(read(P256_KEY).unwrap().algorithm(), Algorithm::Es256);
        for (key, from, to) in [
            (ED25519_KEY, "a40101", "a40102"),            // another kind of key
            (ED25519_KEY, "2006", "2007"),                // Ed448
            (ED25519_KEY, "215820d7", "21581f"),          // a byte less
            (ED25519_KEY, "a40101", "a30101"), // one member fewer, and something that follows
            (ED25519_KEY, "0327", "0326"),     // ES256 with a key of Ed25519
            (P256_KEY, "0326", "0327"),        // and the reverse
            (P256_KEY, "a501020326", "a4010226"), // no algorithm
            (P256_KEY, "2001", "2002"),        // P-384
            (P256_KEY, "2299", "2298"),        // a point beside the curve
            (P256_KEY, "a501020326", "a60102024003 26"), // an optional member: a key id
            (P256_KEY, "a501020326", "a601020326048101"), // an optional member: operations
        ] {
            let changed = key.replacen(from, &to.replace(' ', ""), 1);
            assert_ne!(changed, key, "{from}");
            assert_eq!(read(&changed), MALFORMED, "{from} {to}");
        }
        let compressed = P256_KEY.split("225820").next().unwrap().to_owned() + "22f5";
        assert_eq!(read(&compressed), MALFORMED);
        for (text, error) in [
            ("", MALFORMED),
            ("80", MALFORMED),
            ("a0", MALFORMED),
            ("a10327", MALFORMED),
            ("a1036145", MALFORMED),
            ("a10328", Err(WebauthnError::Algorithm)),
        ] {
            assert_eq!(read(text), error, "{text}");
        }
    }

    #[test]
    fn the_size_of_an_rsa_key_is_bounded() {
        let read = |modulus: &[u8], exponent: &[u8]| {
            let length = u16::try_from(modulus.len()).unwrap().to_be_bytes();
            let exponent_length = u8::try_from(exponent.len()).unwrap();
            let head = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59];
            let key =
                [&head, length.as_slice(), modulus, &[0x21, 0x40 | exponent_length], exponent];
            PublicKey::read(&key.concat()).is_ok()
        };
        let modulus = |length: usize, first: u8, last: u8| {
            let mut modulus = vec![0xff; length];
            (modulus[0], modulus[length - 1]) = (first, last);
            modulus
        };
        let usual = [1, 0, 1];
        assert!(read(&modulus(256, 0x80, 1), &usual));
        assert!(read(&modulus(257, 0x01, 1), &usual));
        assert!(read(&modulus(512, 0xff, 1), &usual));
        assert!(!read(&modulus(256, 0x7f, 1), &usual), "2047 bits");
        assert!(!read(&modulus(257, 0x00, 1), &usual), "a leading zero");
        assert!(!read(&modulus(513, 0x01, 1), &usual), "4097 bits");
        assert!(!read(&modulus(256, 0x80, 2), &usual), "even");
        for exponent in
            [&[3][..], &[1], &[], &[1, 0, 0], &[0, 1, 0, 1], &[0xff, 0xff], &[1, 0, 0, 0, 1]]
        {
            assert!(!read(&modulus(256, 0x80, 1), exponent), "{exponent:?}");
        }
        assert!(read(&modulus(256, 0x80, 1), &[0xff, 0xff, 0xff, 0xff]));
    }
}
