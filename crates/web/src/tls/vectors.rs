//! Wycheproof's vectors against what TLS offers here and what it takes signatures by: through
//! rustls where it lets a vector in, and against the provider's own primitive where rustls makes
//! the keys itself. What is offered and has no vectors is named in the tests.

use aws_lc_rs::aead::{self as sealing, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, ML_KEM_768};
use rustls::pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};
use rustls::{CipherSuite, NamedGroup};
use wycheproof::{
    TestResult, aead, ecdh, ecdsa, eddsa, hkdf, mldsa_verify, mlkem, rsa_pkcs1_verify,
    rsa_pss_verify, xdh,
};

use super::*;

/// Counts what was looked at, by whether it had to be taken.
#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    invalid: usize,
}

impl Tally {
    /// `Acceptable` vectors may go either way; they still must not crash.
    #[track_caller]
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

#[test]
fn nothing_is_offered_that_has_no_vectors_here() {
    let provider = provider();
    let suites: Vec<_> =
        provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
    assert_eq!(
        suites,
        [
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ]
    );
    let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
    assert_eq!(groups, [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1]);
    let with_vectors = signatures();
    for algorithm in provider.signature_verification_algorithms.all {
        let (key, signature) = (algorithm.public_key_alg_id(), algorithm.signature_alg_id());
        let known = with_vectors.contains(&(key, signature));
        assert!(known || WITHOUT_VECTORS.contains(&(key, signature)), "{algorithm:?}");
    }
}

/// The same primitives again, paired as no vectors are, or named by a wrong identifier.
const WITHOUT_VECTORS: [(AlgorithmIdentifier, AlgorithmIdentifier); 6] = [
    (alg_id::ECDSA_P256, alg_id::ECDSA_SHA384),
    (alg_id::ECDSA_P521, alg_id::ECDSA_SHA256),
    (alg_id::ECDSA_P521, alg_id::ECDSA_SHA384),
    (alg_id::RSA_ENCRYPTION, RSA_PKCS1_SHA256_ABSENT_PARAMS),
    (alg_id::RSA_ENCRYPTION, RSA_PKCS1_SHA384_ABSENT_PARAMS),
    (alg_id::RSA_ENCRYPTION, RSA_PKCS1_SHA512_ABSENT_PARAMS),
];

const RSA_PKCS1_SHA256_ABSENT_PARAMS: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b");
const RSA_PKCS1_SHA384_ABSENT_PARAMS: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c");
const RSA_PKCS1_SHA512_ABSENT_PARAMS: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d");

fn signatures() -> Vec<(AlgorithmIdentifier, AlgorithmIdentifier)> {
    let ecdsa = ECDSA.iter().map(|&(_, key, signature)| (key, signature));
    let rsa = PKCS1.iter().map(|&(_, signature)| (alg_id::RSA_ENCRYPTION, signature));
    let pss = PSS.iter().map(|&(_, signature)| (alg_id::RSA_ENCRYPTION, signature));
    let ml_dsa = ML_DSA.iter().map(|&(_, id)| (id, id));
    ecdsa.chain(rsa).chain(pss).chain(ml_dsa).chain([(alg_id::ED25519, alg_id::ED25519)]).collect()
}

/// What verifies signatures of this kind, in handshakes and in chains of certificates.
#[track_caller]
fn verifier(
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
) -> &'static dyn SignatureVerificationAlgorithm {
    let all = provider().signature_verification_algorithms.all;
    *all.iter()
        .find(|one| (one.public_key_alg_id(), one.signature_alg_id()) == (key, signature))
        .unwrap()
}

const ECDSA: [(ecdsa::TestName, AlgorithmIdentifier, AlgorithmIdentifier); 6] = [
    (ecdsa::TestName::EcdsaSecp256r1Sha256, alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
    (ecdsa::TestName::EcdsaSecp256r1Sha512, alg_id::ECDSA_P256, alg_id::ECDSA_SHA512),
    (ecdsa::TestName::EcdsaSecp384r1Sha256, alg_id::ECDSA_P384, alg_id::ECDSA_SHA256),
    (ecdsa::TestName::EcdsaSecp384r1Sha384, alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
    (ecdsa::TestName::EcdsaSecp384r1Sha512, alg_id::ECDSA_P384, alg_id::ECDSA_SHA512),
    (ecdsa::TestName::EcdsaSecp521r1Sha512, alg_id::ECDSA_P521, alg_id::ECDSA_SHA512),
];

#[test]
fn ecdsa_over_every_curve() {
    for (name, key, signature) in ECDSA {
        let mut tally = Tally::default();
        let verifier = verifier(key, signature);
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let taken = verifier.verify_signature(&group.key.key, &test.msg, &test.sig);
                tally.judge(&format!("{name:?} {}", test.tc_id), test.result, taken.is_ok());
            }
        }
        tally.held(100, 200);
    }
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    let verifier = verifier(alg_id::ED25519, alg_id::ED25519);
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in &group.tests {
            let taken = verifier.verify_signature(&group.key.pk, &test.msg, &test.sig);
            tally.judge(&format!("Ed25519 {}", test.tc_id), test.result, taken.is_ok());
        }
    }
    tally.held(50, 40);
}

const PKCS1: [(rsa_pkcs1_verify::TestName, AlgorithmIdentifier); 9] = [
    (rsa_pkcs1_verify::TestName::Rsa2048Sha256, alg_id::RSA_PKCS1_SHA256),
    (rsa_pkcs1_verify::TestName::Rsa2048Sha384, alg_id::RSA_PKCS1_SHA384),
    (rsa_pkcs1_verify::TestName::Rsa2048Sha512, alg_id::RSA_PKCS1_SHA512),
    (rsa_pkcs1_verify::TestName::Rsa3072Sha256, alg_id::RSA_PKCS1_SHA256),
    (rsa_pkcs1_verify::TestName::Rsa3072Sha384, alg_id::RSA_PKCS1_SHA384),
    (rsa_pkcs1_verify::TestName::Rsa3072Sha512, alg_id::RSA_PKCS1_SHA512),
    (rsa_pkcs1_verify::TestName::Rsa4096Sha256, alg_id::RSA_PKCS1_SHA256),
    (rsa_pkcs1_verify::TestName::Rsa4096Sha384, alg_id::RSA_PKCS1_SHA384),
    (rsa_pkcs1_verify::TestName::Rsa4096Sha512, alg_id::RSA_PKCS1_SHA512),
];

/// In chains of certificates alone: a handshake of TLS 1.3 is never signed so.
#[test]
fn rsa_pkcs1() {
    for (name, signature) in PKCS1 {
        let mut tally = Tally::default();
        let verifier = verifier(alg_id::RSA_ENCRYPTION, signature);
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let taken = verifier.verify_signature(&group.asn_key, &test.msg, &test.sig);
                tally.judge(&format!("{name:?} {}", test.tc_id), test.result, taken.is_ok());
            }
        }
        tally.held(1, 200);
    }
}

/// With a salt as long as the hash, which is what TLS signs with.
const PSS: [(rsa_pss_verify::TestName, AlgorithmIdentifier); 6] = [
    (rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
    (rsa_pss_verify::TestName::RsaPss3072Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
    (rsa_pss_verify::TestName::RsaPss4096Sha256Mgf1SaltLen32, alg_id::RSA_PSS_SHA256),
    (rsa_pss_verify::TestName::RsaPss2048Sha384Mgf1SaltLen48, alg_id::RSA_PSS_SHA384),
    (rsa_pss_verify::TestName::RsaPss4096Sha384Mgf1SaltLen48, alg_id::RSA_PSS_SHA384),
    (rsa_pss_verify::TestName::RsaPss4096Sha512Mgf1SaltLen64, alg_id::RSA_PSS_SHA512),
];

#[test]
fn rsa_pss() {
    for (name, signature) in PSS {
        let mut tally = Tally::default();
        let verifier = verifier(alg_id::RSA_ENCRYPTION, signature);
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let taken = verifier.verify_signature(&group.asn_key, &test.msg, &test.sig);
                tally.judge(&format!("{name:?} {}", test.tc_id), test.result, taken.is_ok());
            }
        }
        tally.held(60, 40);
    }
}

const ML_DSA: [(mldsa_verify::TestName, AlgorithmIdentifier); 3] = [
    (mldsa_verify::TestName::MlDsa44Verify, alg_id::ML_DSA_44),
    (mldsa_verify::TestName::MlDsa65Verify, alg_id::ML_DSA_65),
    (mldsa_verify::TestName::MlDsa87Verify, alg_id::ML_DSA_87),
];

/// Without a context: certificates and TLS have none.
#[test]
fn ml_dsa() {
    for (name, id) in ML_DSA {
        let mut tally = Tally::default();
        let verifier = verifier(id, id);
        for group in mldsa_verify::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                    continue;
                }
                let taken = verifier.verify_signature(&group.pubkey, &test.msg, &test.sig);
                tally.judge(&format!("{name:?} {}", test.tc_id), test.result, taken.is_ok());
            }
        }
        tally.held(5, 5);
    }
}

/// With 96-bit nonces and whole tags: TLS has no others.
fn seals(name: aead::TestName, key_bytes: usize, algorithm: &'static sealing::Algorithm) {
    let mut tally = Tally::default();
    for group in aead::TestSet::load(name).unwrap().test_groups {
        for test in &group.tests {
            let Ok(nonce) = Nonce::try_assume_unique_for_key(&test.nonce) else { continue };
            if test.key.len() != key_bytes || group.tag_size != 128 {
                continue;
            }
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &test.key).unwrap());
            let what = format!("{name:?} {}", test.tc_id);
            let whole = [&test.ct[..], &test.tag[..]].concat();
            let mut sealed = whole.clone();
            let opened = key.open_in_place(nonce, Aad::from(&test.aad[..]), &mut sealed);
            let right = opened.is_ok_and(|opened| opened == &test.pt[..]);
            tally.judge(&what, test.result, right);

            let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut made = test.pt.to_vec();
            key.seal_in_place_append_tag(nonce, Aad::from(&test.aad[..]), &mut made).unwrap();
            assert_eq!(made == whole, test.result == TestResult::Valid, "{what}");
        }
    }
    tally.held(30, 20);
}

#[test]
fn every_cipher() {
    seals(aead::TestName::AesGcm, 16, &sealing::AES_128_GCM);
    seals(aead::TestName::AesGcm, 32, &sealing::AES_256_GCM);
    seals(aead::TestName::ChaCha20Poly1305, 32, &sealing::CHACHA20_POLY1305);
}

#[test]
fn the_key_schedule_of_every_suite() {
    for suite in provider().cipher_suites {
        let mut tally = Tally::default();
        let schedule = suite.tls13().unwrap().hkdf_provider;
        let name = match suite.suite() {
            CipherSuite::TLS13_AES_256_GCM_SHA384 => hkdf::TestName::HkdfSha384,
            _ => hkdf::TestName::HkdfSha256,
        };
        for group in hkdf::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let extracted = schedule.extract_from_secret(Some(&test.salt), &test.ikm);
                let mut made = vec![0; test.size];
                let filled = extracted.expand_slice(&[&test.info[..]], &mut made);
                let right = filled.is_ok() && made == test.okm[..];
                tally.judge(&format!("{name:?} {}", test.tc_id), test.result, right);
            }
        }
        tally.held(50, 1);
    }
}

/// What two sides share, computed from a given private key.
fn agreed(
    algorithm: &'static agreement::Algorithm,
    private: &[u8],
    public: &[u8],
) -> Option<Vec<u8>> {
    let private = PrivateKey::from_private_key(algorithm, private).unwrap();
    let public = UnparsedPublicKey::new(algorithm, public);
    agreement::agree(&private, public, (), |shared| Ok(shared.to_vec())).ok()
}

/// Nothing is shared with a key of low order, which gives the same for every private key.
#[test]
fn x25519() {
    let mut tally = Tally::default();
    let mut zeros = 0;
    for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in &group.tests {
            let what = format!("X25519 {}", test.tc_id);
            let shared = agreed(&agreement::X25519, &test.private_key, &test.public_key);
            let in_tls = X25519.start_and_complete(&test.public_key);
            if test.shared_secret.iter().all(|byte| *byte == 0) {
                assert!(shared.is_none() && in_tls.is_err(), "{what}");
                zeros += 1;
                continue;
            }
            // Some are only "acceptable", and yet all others share the same everywhere.
            assert_eq!(shared.as_deref(), Some(&test.shared_secret[..]), "{what}");
            assert!(in_tls.is_ok(), "{what}");
            tally.judge(&what, test.result, true);
        }
    }
    assert!(zeros > 10);
    tally.held(200, 0);
}

#[test]
fn ecdh_p256() {
    let mut tally = Tally::default();
    let name = ecdh::TestName::EcdhSecp256r1Ecpoint;
    for group in ecdh::TestSet::load(name).unwrap().test_groups {
        for test in &group.tests {
            let mut private = [0; 32];
            // As numbers: some have a zero before them, some lack the first of theirs.
            for (place, byte) in private.iter_mut().rev().zip(test.private_key.iter().rev()) {
                *place = *byte;
            }
            let what = format!("ECDH P-256 {}", test.tc_id);
            let shared = agreed(&agreement::ECDH_P256, &private, &test.public_key);
            let right = shared.as_deref() == Some(&test.shared_secret[..]);
            tally.judge(&what, test.result, right);
            let in_tls = SECP256R1.start_and_complete(&test.public_key).is_ok();
            tally.judge(&what, test.result, in_tls);
        }
    }
    tally.held(600, 40);
}

/// A client's whole share: its key for ML-KEM and one for X25519.
fn hybrid_share(encapsulation_key: &[u8]) -> Vec<u8> {
    let x25519 = X25519.start().unwrap();
    [encapsulation_key, x25519.pub_key()].concat()
}

/// What a client sends: a key that is not one is refused. The random part of what is sent back cannot
/// be given, so that what is made of a good key is opened by the next test's means alone.
#[test]
fn ml_kem_768_takes_no_wrong_key() {
    let mut tally = Tally::default();
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap().test_groups {
        for test in &group.tests {
            let key = test.encaps_key.as_ref().unwrap();
            let taken = X25519MLKEM768.start_and_complete(&hybrid_share(key)).is_ok();
            tally.judge(&format!("ML-KEM encapsulation {}", test.tc_id), test.result, taken);
        }
    }
    tally.held(100, 100);
}

/// What opens with a key that is given; those that are given by a seed alone are found by it among the
/// vectors of key generation, for a key cannot be made of a seed here. A text of a wrong length opens
/// with none.
#[test]
fn ml_kem_768_opens() {
    let load = |name| mlkem::TestSet::load(name).unwrap().test_groups;
    let made: Vec<_> = load(mlkem::TestName::MlKem768KeyGenSeed)
        .into_iter()
        .flat_map(|group| group.tests)
        .filter_map(|test| Some((test.seed?, test.decaps_key?)))
        .collect();
    let mut tally = Tally::default();
    for name in [mlkem::TestName::MlKem768, mlkem::TestName::MlKem768SemiExpandedDecaps] {
        for test in load(name).into_iter().flat_map(|group| group.tests) {
            let (what, sealed) = (format!("{name:?} {}", test.tc_id), test.ct.unwrap());
            let by_seed = || made.iter().find(|(seed, _)| Some(seed) == test.seed.as_ref());
            let any_key = || made.first().filter(|_| test.result == TestResult::Invalid);
            let key = test
                .decaps_key
                .as_ref()
                .or_else(|| by_seed().or_else(any_key).map(|(_, decaps_key)| decaps_key));
            let Some(key) = key else { continue };
            let shared = DecapsulationKey::new(&ML_KEM_768, key)
                .ok()
                .and_then(|key| key.decapsulate(Ciphertext::from(&sealed[..])).ok());
            let right = shared.is_some_and(|shared| {
                test.shared_secret.is_some_and(|wanted| shared.as_ref() == &wanted[..])
            });
            tally.judge(&what, test.result, right);
        }
    }
    tally.held(100, 40);
}
