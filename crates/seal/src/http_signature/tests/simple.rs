//! The simple form, each rule with its reason.

use super::*;

fn order() -> Sent {
    let origin = origin();
    let request = RequestToSign {
        method: "DELETE",
        origin: &origin,
        target: "/api/v1/orders/ord_1?x=1",
        content_type: None,
        idempotency_key: None,
        body: b"",
    };
    let key = SigningKey::HmacSha256(secret());
    let headers = sign_simple(&key, &request, KEY_ID, CREATED_S * 1_000, NONCE).unwrap();
    let mut sent = Sent::new("DELETE", request.target, b"", &[]);
    for (name, value) in &headers {
        sent.add(name, value);
    }
    sent
}

#[test]
fn four_headers_each_once() {
    assert!(order().judge(&verifying(), NOW_US).is_ok());
    for name in ["x-tw-key", "x-tw-timestamp", "x-tw-nonce", "x-tw-signature"] {
        assert_eq!(order().without(name).refusal(), SignatureError::Malformed, "{name}");
        let value = order().value(name);
        assert_eq!(order().with(name, &value).refusal(), SignatureError::Duplicate, "{name}");
        let long = order().replaced(name, &"a".repeat(10_000));
        assert_eq!(long.refusal(), SignatureError::Malformed, "{name}");
    }
    for (name, value, reason) in [
        ("x-tw-key", "", SignatureError::Parameter),
        ("x-tw-key", "k_other", SignatureError::Mismatch),
        ("x-tw-nonce", "short", SignatureError::Parameter),
        ("x-tw-nonce", "w3fAAAAAAAAAAAAAAAAAA.", SignatureError::Parameter),
        ("x-tw-timestamp", "", SignatureError::Malformed),
        ("x-tw-timestamp", "-1", SignatureError::Malformed),
        ("x-tw-timestamp", "+1790000000000", SignatureError::Malformed),
        ("x-tw-timestamp", "1790000000000.0", SignatureError::Malformed),
        ("x-tw-timestamp", "99999999999999999999", SignatureError::Malformed),
        ("x-tw-timestamp", "253402300800000", SignatureError::Malformed),
        ("x-tw-signature", "00", SignatureError::Mismatch),
        ("x-tw-signature", "0", SignatureError::Malformed),
        ("authorization", "Bearer x", SignatureError::Contradiction),
    ] {
        assert_eq!(order().replaced(name, value).refusal(), reason, "{name}: {value}");
    }
    let upper = order().value("x-tw-signature").to_uppercase();
    assert_eq!(order().replaced("x-tw-signature", &upper).refusal(), SignatureError::Malformed);
    let mut elsewhere = order();
    "evil.example".clone_into(&mut elsewhere.authority);
    assert_eq!(elsewhere.refusal(), SignatureError::Authority);
}

#[test]
fn a_key_pair_has_no_simple_form() {
    let (private, public) = ed25519();
    assert_eq!(order().judge(&public, NOW_US), Err(SignatureError::Algorithm));
    let origin = origin();
    let request = RequestToSign {
        method: "GET",
        origin: &origin,
        target: "/",
        content_type: None,
        idempotency_key: None,
        body: b"",
    };
    assert_eq!(sign_simple(&private, &request, KEY_ID, 0, NONCE), Err(SignatureError::Algorithm));
}

#[test]
fn the_window_is_the_same_in_milliseconds() {
    let at = |offset_ms: i64| order().judge(&verifying(), NOW_US + offset_ms * 1_000 + 999);
    for offset_ms in [-10_000, 0, 60_000] {
        assert_eq!(at(offset_ms).unwrap().ends_unix_us, NOW_US + 60_001_000);
    }
    assert_eq!(at(60_001), Err(SignatureError::TooOld));
    assert_eq!(at(-10_001), Err(SignatureError::InFuture));
}
