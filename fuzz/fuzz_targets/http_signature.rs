//! Any request, held against the key of the seeds: no panic, and whatever verifies is, in all that is
//! covered, one of the requests that were signed with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tradewarden_seal::SecretBytes;
use tradewarden_seal::http_signature::{Form, Origins, Presented, Received, Request, VerifyingKey};

/// What the seeds were signed with.
const SECRET: &[u8] = b"twk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_000000";
const CREATED_UNIX_US: i64 = 1_790_000_000_000_000;
const BODY: &[u8] = br#"{"hello": "world"}"#;

static KEY: LazyLock<VerifyingKey> = LazyLock::new(|| {
    VerifyingKey::hmac_sha256(SecretBytes::new(SECRET.to_vec())).expect("a secret")
});

static ORIGINS: LazyLock<Origins> = LazyLock::new(|| {
    Origins::new(vec!["https://gw.example".parse().expect("an origin")]).expect("origins")
});

// Lines as in HTTP/1.1: method and target, fields, an empty line, the body.
fuzz_target!(|source: &[u8]| {
    let end = source.windows(2).position(|pair| pair == b"\n\n").unwrap_or(source.len());
    let body = source.get(end + 2..).unwrap_or_default();
    let mut lines = source[..end].split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
    let fields: Vec<(String, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((String::from_utf8_lossy(&line[..colon]).into_owned(), &line[colon + 1..]))
        })
        .collect();
    let fields = fields.as_slice();
    let request = Request { method, target, authority: "gw.example", headers: &fields, body };
    let received = Received::new(request);
    let Ok(Some(presented)) = Presented::read(&received) else { return };
    assert!(presented.verify(&VerifyingKey::decoy(&presented), &ORIGINS, CREATED_UNIX_US).is_err());
    let Ok(verified) = presented.verify(&KEY, &ORIGINS, CREATED_UNIX_US) else { return };
    assert_eq!((method, target, body), ("POST", "/api/v1/orders", BODY));
    assert_eq!(verified.nonce, "w3fAAAAAAAAAAAAAAAAAAA");
    assert!(verified.ends_unix_us > CREATED_UNIX_US);
    if presented.form() == Form::Message {
        assert_eq!(verified.key_id, "k_7Qm");
    }
});
