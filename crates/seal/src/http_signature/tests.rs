//! What is signed is taken, what is not is refused, each with its reason.

mod changes;
mod profile;
mod signer;
mod simple;
mod vectors;

use super::*;
use crate::{SecretBytes, SystemRandomness};

const KEY_ID: &str = "k_7Qm";
const SECRET: &str = "twk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_000000";
const NONCE: &str = "w3fAAAAAAAAAAAAAAAAAAA";
const BODY: &[u8] = br#"{"hello": "world"}"#;
const CREATED_S: i64 = 1_790_000_000;
const NOW_US: i64 = CREATED_S * US_PER_S;

fn secret() -> SecretBytes {
    SecretBytes::new(SECRET.as_bytes().to_vec())
}

fn verifying() -> VerifyingKey {
    VerifyingKey::hmac_sha256(secret()).unwrap()
}

fn origin() -> Origin {
    "https://gw.example".parse().unwrap()
}

fn origins() -> Origins {
    Origins::new(vec!["https://gw.example:8443".parse().unwrap(), origin()]).unwrap()
}

/// What of a request is proven.
#[derive(Debug, PartialEq)]
struct Proven {
    key_id: String,
    nonce: String,
    created_unix_us: i64,
    ends_unix_us: i64,
}

/// A request on its way, and what a caller does with it.
#[derive(Clone)]
struct Sent {
    method: String,
    target: String,
    authority: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(method: &str, target: &str, body: &[u8], headers: &[(&'static str, &str)]) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            authority: "gw.example".to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes().to_vec()))
                .collect(),
            body: body.to_vec(),
        }
    }

    /// An order as a client of ours sends it.
    fn order(key: &SigningKey) -> Self {
        let origin = origin();
        let request = RequestToSign {
            method: "POST",
            origin: &origin,
            target: "/api/v1/orders?symbol=ES%2FZ6&x=",
            content_type: Some("application/json"),
            idempotency_key: Some("\"6f1c\""),
            body: BODY,
        };
        let parameters = SigningParameters {
            key_id: KEY_ID,
            created_unix_s: CREATED_S,
            expires_unix_s: Some(CREATED_S + 30),
            nonce: NONCE,
        };
        let signed = sign(key, &request, &parameters).unwrap();
        let mut sent = Self::new("POST", request.target, BODY, &[]);
        sent.add("content-type", "application/json");
        sent.add("idempotency-key", "\"6f1c\"");
        signed.lines().for_each(|(name, value)| sent.add(name, value));
        sent
    }

    fn add(&mut self, name: &'static str, value: &str) {
        self.headers.push((name, value.as_bytes().to_vec()));
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.add(name, value);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    fn replaced(self, name: &'static str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The text of one header with a part of it replaced, which must be there.
    fn edited(self, name: &'static str, from: &str, to: &str) -> Self {
        let value = self.value(name);
        assert!(value.contains(from), "{value}");
        self.replaced(name, &value.replacen(from, to, 1))
    }

    fn value(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(other, _)| *other == name).unwrap();
        String::from_utf8(found.1.clone()).unwrap()
    }

    /// The reason or the identifier of the key.
    fn judge(&self, key: &VerifyingKey, now_unix_us: i64) -> Result<Proven, SignatureError> {
        let headers = self.headers.as_slice();
        let request = Request {
            method: &self.method,
            target: &self.target,
            authority: &self.authority,
            headers: &headers,
            body: &self.body,
        };
        let received = Received::new(request);
        let presented = Presented::read(&received)?.expect("it is signed");
        let decoy = VerifyingKey::decoy(&presented);
        let key = if presented.key_id() == KEY_ID { key } else { &decoy };
        let verified = presented.verify(key, &origins(), now_unix_us)?;
        Ok(Proven {
            key_id: verified.key_id.to_owned(),
            nonce: verified.nonce.to_owned(),
            created_unix_us: verified.created_unix_us,
            ends_unix_us: verified.ends_unix_us,
        })
    }

    fn refusal(&self) -> SignatureError {
        self.judge(&verifying(), NOW_US).unwrap_err()
    }

    /// Signed with the secret over these lines, as somebody else would build them.
    fn signed_over(mut self, lines: &[(&str, &str)], parameters: &str) -> Self {
        let lines = lines.iter().map(|(name, value)| format!("\"{name}\": {value}\n"));
        let base = lines.collect::<String>() + "\"@signature-params\": " + parameters;
        let signature = SigningKey::HmacSha256(secret()).sign(base.as_bytes()).unwrap();
        self.add("signature-input", &format!("sig1={parameters}"));
        self.add("signature", &format!("sig1=:{}:", crate::base64_encode(&signature)));
        self
    }
}

/// A key pair and its public half.
fn ed25519() -> (SigningKey, VerifyingKey) {
    let key = Ed25519Key::generate(&mut SystemRandomness::new()).unwrap();
    let public = VerifyingKey::ed25519(*key.public()).unwrap();
    (SigningKey::Ed25519(key), public)
}
