//! What it costs to verify a signed order, beside the cryptographic primitive over the same bytes, in
//! turn within one run.

use serde::Serialize;
use tradewarden_seal::http_signature::{
    Ed25519Key, Origin, Origins, Presented, Received, Request, RequestToSign, SigningKey,
    SigningParameters, VerifyingKey, new_nonce, sign, sign_simple,
};
use tradewarden_seal::{SecretBytes, SystemRandomness};

use super::fill::{SECRET, id_of};
use super::load::{median, now_ns, to_f64};
use crate::outcome::Failure;

const ORIGIN: &str = "https://gateway.example";
const AUTHORITY: &str = "gateway.example";
const TARGET: &str = "/api/v1/orders";
const CREATED_S: i64 = 1_790_000_000;
const BODY: &str = concat!(
    r#"{"account":"acc_01kaqd3v9se9nbhdfhd5xh3w0m","symbol":"AAPL","side":"buy","#,
    r#""type":"limit","quantity":"10","limit_price":"187.25","time_in_force":"day"}"#
);
const ROUNDS: usize = 200;
const VERIFICATIONS: u32 = 100;

/// One form of signature; medians over the rounds, in nanoseconds.
#[derive(Debug, Serialize)]
pub(super) struct Verification {
    pub(super) form: &'static str,
    /// Bytes that are signed.
    pub(super) signed_bytes: usize,
    /// The primitive, from the key's bytes on.
    pub(super) primitive_ns: f64,
    /// The primitive with what depends on the key alone computed before.
    pub(super) prepared_primitive_ns: f64,
    /// SHA-256 of the body.
    pub(super) digest_ns: f64,
    /// Reading and judging the request, its body's digest included.
    pub(super) whole_ns: f64,
    /// Verification by primitive.
    pub(super) ratio: f64,
    /// The same with the digest of the body taken off the verification.
    pub(super) ratio_without_digest: f64,
    /// Verification by prepared primitive.
    pub(super) ratio_prepared: f64,
}

/// Every form.
pub(super) fn measure() -> Result<Vec<Verification>, Failure> {
    let mut randomness = SystemRandomness::new();
    let pair = Ed25519Key::generate(&mut randomness).map_err(|error| failed(&error))?;
    let public = VerifyingKey::ed25519(*pair.public()).map_err(|error| failed(&error))?;
    let secret = || SecretBytes::new(SECRET.as_bytes().to_vec());
    let shared = VerifyingKey::hmac_sha256(secret()).map_err(|error| failed(&error))?;
    let hmac = SigningKey::HmacSha256(secret());
    Ok(vec![
        one("tw-v1 hmac-sha256", &message(&hmac)?, &shared)?,
        one("tw-v1 ed25519", &message(&SigningKey::Ed25519(pair))?, &public)?,
        one("simple hmac-sha256", &simple(&hmac)?, &shared)?,
    ])
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::unavailable(format!("bench signs wrongly: {error}"))
}

type Headers = Vec<(&'static str, String)>;

/// What a client sends besides.
fn common() -> Headers {
    [
        ("host", AUTHORITY),
        ("user-agent", "bench/1.0"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("content-length", "156"),
        ("idempotency-key", "\"0f8fad5b-d9cb-469f-a165-70867728950e\""),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn asked(origin: &Origin) -> RequestToSign<'_> {
    RequestToSign {
        method: "POST",
        origin,
        target: TARGET,
        content_type: Some("application/json"),
        idempotency_key: Some("\"0f8fad5b-d9cb-469f-a165-70867728950e\""),
        body: BODY.as_bytes(),
    }
}

fn key_id() -> String {
    id_of::<tradewarden_domain::id::Key>(7).to_string()
}

fn message(key: &SigningKey) -> Result<Headers, Failure> {
    let origin: Origin = ORIGIN.parse().map_err(|error| failed(&error))?;
    let nonce = new_nonce(&mut SystemRandomness::new());
    let parameters = SigningParameters {
        key_id: &key_id(),
        created_unix_s: CREATED_S,
        expires_unix_s: None,
        nonce: &nonce,
    };
    let signed = sign(key, &asked(&origin), &parameters).map_err(|error| failed(&error))?;
    let mut headers = common();
    headers.extend(signed.lines().map(|(name, value)| (name, value.to_owned())));
    Ok(headers)
}

fn simple(key: &SigningKey) -> Result<Headers, Failure> {
    let origin: Origin = ORIGIN.parse().map_err(|error| failed(&error))?;
    let nonce = new_nonce(&mut SystemRandomness::new());
    let signed = sign_simple(key, &asked(&origin), &key_id(), CREATED_S * 1_000, &nonce);
    let mut headers = common();
    headers.extend(signed.map_err(|error| failed(&error))?);
    Ok(headers)
}

fn one(form: &'static str, headers: &Headers, key: &VerifyingKey) -> Result<Verification, Failure> {
    let origin: Origin = ORIGIN.parse().map_err(|error| failed(&error))?;
    let origins = Origins::new(vec![origin]).map_err(|error| failed(&error))?;
    let lines = headers.as_slice();
    let request = Request {
        method: "POST",
        target: TARGET,
        authority: AUTHORITY,
        headers: &lines,
        body: BODY.as_bytes(),
    };
    let now_us = CREATED_S * 1_000_000 + 1;
    let verifies = || match Presented::read(&Received::new(request)) {
        Ok(Some(presented)) => presented.verify(key, &origins, now_us).is_ok(),
        _ => false,
    };
    let received = Received::new(request);
    let presented = Presented::read(&received).map_err(|error| failed(&error))?;
    let presented = presented.ok_or_else(|| failed(&"nothing is signed"))?;
    let bare = presented.bare(key, &origins).map_err(|error| failed(&error))?;
    if !verifies() || !bare.verifies() || !bare.verifies_prepared() {
        return Err(failed(&"a signature is wrong"));
    }
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let [full, primitive, prepared, digest] = &mut times;
        full.push(each(&verifies));
        primitive.push(each(&|| bare.verifies()));
        prepared.push(each(&|| bare.verifies_prepared()));
        digest.push(each(&|| bare.digest_body().as_bytes().len() == 32));
    }
    let [whole_ns, primitive_ns, prepared_primitive_ns, digest_ns] =
        times.map(|mut times| median(&mut times));
    Ok(Verification {
        form,
        signed_bytes: bare.signed_bytes(),
        primitive_ns,
        prepared_primitive_ns,
        digest_ns,
        whole_ns,
        ratio: whole_ns / primitive_ns,
        ratio_without_digest: (whole_ns - digest_ns) / primitive_ns,
        ratio_prepared: whole_ns / prepared_primitive_ns,
    })
}

/// Nanoseconds of one call.
fn each(verifies: &dyn Fn() -> bool) -> f64 {
    let started = now_ns();
    for _ in 0..VERIFICATIONS {
        std::hint::black_box(verifies());
    }
    to_f64(now_ns().saturating_sub(started)) / f64::from(VERIFICATIONS)
}
