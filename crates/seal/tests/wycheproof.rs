//! Wycheproof's vectors, which were made to find what implementations get wrong, against each
//! primitive as this crate uses it. Every vector of a set is looked at; none may be without effect.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac,
    signature::{
        ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use wycheproof::{TestResult, aead, ecdsa, eddsa, hkdf, mac, rsa_pkcs1_verify};

const GCM_KEY_BYTES: usize = 32;

/// Counts what was looked at, by whether it had to be taken.
#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    invalid: usize,
}

impl Tally {
    /// `Acceptable` vectors may go either way; they still must not crash.
    fn judge(&mut self, what: &str, wanted: TestResult, taken: bool) {
        match wanted {
            TestResult::Valid => {
                assert!(taken, "{what} is valid");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!taken, "{what} is invalid");
                self.invalid += 1;
            }
            TestResult::Acceptable => (),
        }
    }

    #[track_caller]
    fn held(&self, valid_at_least: usize, invalid_at_least: usize) {
        assert!(self.valid >= valid_at_least && self.invalid >= invalid_at_least, "{self:?}");
    }
}

/// With 256-bit keys, 96-bit nonces and whole tags: the only ones there are here.
#[test]
fn aes_256_gcm() {
    let mut tally = Tally::default();
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        for test in &group.tests {
            let Ok(nonce) = Nonce::try_assume_unique_for_key(&test.nonce) else { continue };
            if test.key.len() != GCM_KEY_BYTES || group.tag_size != 128 {
                continue;
            }
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
            let what = format!("AES-GCM {}", test.tc_id);
            let mut sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = key.open_in_place(nonce, Aad::from(&test.aad[..]), &mut sealed);
            let right = opened.is_ok_and(|opened| opened == &test.pt[..]);
            tally.judge(&what, test.result, right);

            let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut made = test.pt.to_vec();
            key.seal_in_place_append_tag(nonce, Aad::from(&test.aad[..]), &mut made).unwrap();
            let same = made == [&test.ct[..], &test.tag[..]].concat();
            if test.result == TestResult::Valid {
                assert!(same, "{what}");
            }
        }
    }
    tally.held(30, 20);
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[test]
fn hkdf_sha256() {
    let mut tally = Tally::default();
    for group in hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap().test_groups {
        for test in &group.tests {
            let extracted = Salt::new(HKDF_SHA256, &test.salt).extract(&test.ikm);
            let mut made = vec![0; test.size];
            let info = [&test.info[..]];
            let expanded = extracted.expand(&info, Length(test.size));
            let filled = expanded.and_then(|expanded| expanded.fill(&mut made));
            let right = filled.is_ok() && made == test.okm[..];
            tally.judge(&format!("HKDF {}", test.tc_id), test.result, right);
        }
    }
    tally.held(50, 1);
}

/// Whole codes: a shorter one is never taken.
fn macs(set: &mac::TestSet, algorithm: hmac::Algorithm, bits: usize) {
    let mut tally = Tally::default();
    for group in &set.test_groups {
        for test in &group.tests {
            let key = hmac::Key::new(algorithm, &test.key);
            let taken = hmac::verify(&key, &test.msg, &test.tag).is_ok();
            let what = format!("{algorithm:?} {}", test.tc_id);
            if group.tag_size == bits {
                tally.judge(&what, test.result, taken);
            } else {
                assert!(!taken, "{what} is cut");
            }
        }
    }
    tally.held(30, 30);
}

#[test]
fn hmac_sha256() {
    macs(&mac::TestSet::load(mac::TestName::HmacSha256).unwrap(), hmac::HMAC_SHA256, 256);
}

/// For codes of authenticator apps.
#[test]
fn hmac_sha1() {
    macs(
        &mac::TestSet::load(mac::TestName::HmacSha1).unwrap(),
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        160,
    );
}

fn verifies(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in &group.tests {
            let taken = verifies(&ED25519, &group.key.pk, &test.msg, &test.sig);
            tally.judge(&format!("Ed25519 {}", test.tc_id), test.result, taken);
        }
    }
    tally.held(50, 40);
}

#[test]
fn ecdsa_p256_sha256() {
    let mut tally = Tally::default();
    let name = ecdsa::TestName::EcdsaSecp256r1Sha256;
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        for test in &group.tests {
            let key = &group.key.key;
            let taken = verifies(&ECDSA_P256_SHA256_ASN1, key, &test.msg, &test.sig);
            tally.judge(&format!("ECDSA P-256 {}", test.tc_id), test.result, taken);
        }
    }
    tally.held(100, 100);
}

/// For passkeys that sign by RSA.
#[test]
fn rsa_pkcs1_sha256() {
    let mut tally = Tally::default();
    let names = [
        rsa_pkcs1_verify::TestName::Rsa2048Sha256,
        rsa_pkcs1_verify::TestName::Rsa3072Sha256,
        rsa_pkcs1_verify::TestName::Rsa4096Sha256,
    ];
    for name in names {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let key = &group.asn_key;
                let taken = verifies(&RSA_PKCS1_2048_8192_SHA256, key, &test.msg, &test.sig);
                tally.judge(&format!("{name:?} {}", test.tc_id), test.result, taken);
            }
        }
    }
    tally.held(3, 300);
}
