//! One bit of what is signed, of the signature or of its parameters is another: refused.

use super::*;

/// The request with each bit of `bytes` flipped, put back by `put`.
fn each_flip(bytes: &[u8], mut put: impl FnMut(Vec<u8>)) {
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[position] ^= 1 << bit;
            put(changed);
        }
    }
}

/// How many changes were judged; every one was refused.
fn refuses_every_change(sent: &Sent, key: &VerifyingKey) -> usize {
    assert!(sent.judge(key, NOW_US).is_ok());
    let mut judged = 0;
    let mut refuse = |changed: &Sent, what: &str| {
        assert!(changed.judge(key, NOW_US).is_err(), "{what}: {:?}", changed.headers);
        judged += 1;
    };
    let mut changed = sent.clone();
    each_flip(&sent.body, |bytes| {
        changed.body = bytes;
        refuse(&changed, "body");
    });
    changed.body.clone_from(&sent.body);
    each_flip(sent.method.as_bytes(), |bytes| {
        if let Ok(method) = String::from_utf8(bytes) {
            changed.method = method;
            refuse(&changed, "method");
        }
    });
    changed.method.clone_from(&sent.method);
    each_flip(sent.target.as_bytes(), |bytes| {
        if let Ok(target) = String::from_utf8(bytes) {
            changed.target = target;
            refuse(&changed, "target");
        }
    });
    for (position, (name, value)) in sent.headers.iter().enumerate() {
        let mut changed = sent.clone();
        each_flip(value, |bytes| {
            changed.headers[position].1 = bytes;
            refuse(&changed, name);
        });
        changed.headers.remove(position);
        refuse(&changed, name);
    }
    for cut in 0..sent.body.len() {
        let mut changed = sent.clone();
        changed.body.truncate(cut);
        refuse(&changed, "shorter body");
    }
    judged
}

#[test]
fn of_a_message_signed_with_a_secret() {
    let sent = Sent::order(&SigningKey::HmacSha256(secret()));
    assert!(refuses_every_change(&sent, &verifying()) > 2_500);
}

#[test]
fn of_a_message_signed_with_a_key_pair() {
    let (private, public) = ed25519();
    assert!(refuses_every_change(&Sent::order(&private), &public) > 2_500);
}

#[test]
fn of_a_request_in_the_simple_form() {
    let origin = origin();
    let request = RequestToSign {
        method: "POST",
        origin: &origin,
        target: "/api/v1/orders?x",
        content_type: None,
        idempotency_key: None,
        body: BODY,
    };
    let key = SigningKey::HmacSha256(secret());
    let headers = sign_simple(&key, &request, KEY_ID, CREATED_S * 1_000, NONCE).unwrap();
    let mut sent = Sent::new("POST", request.target, BODY, &[]);
    for (name, value) in &headers {
        sent.add(name, value);
    }
    assert!(refuses_every_change(&sent, &verifying()) > 1_000);
}

#[test]
fn another_key_is_another_signature() {
    let (private, _) = ed25519();
    let (_, public) = ed25519();
    assert_eq!(Sent::order(&private).judge(&public, NOW_US), Err(SignatureError::Mismatch));
    let other = SecretBytes::new(vec![7; 32]);
    let sent = Sent::order(&SigningKey::HmacSha256(other));
    assert_eq!(sent.refusal(), SignatureError::Mismatch);
}

#[test]
fn the_public_key_is_no_secret() {
    let (_, public) = ed25519();
    let bytes = public.ed25519_public().unwrap().to_vec();
    let forged = Sent::order(&SigningKey::HmacSha256(SecretBytes::new(bytes)));
    assert_eq!(forged.judge(&public, NOW_US), Err(SignatureError::Algorithm));
    let lie = forged.clone().edited("signature-input", "hmac-sha256", "ed25519");
    assert_eq!(lie.judge(&public, NOW_US), Err(SignatureError::Mismatch));
    let silent = forged.edited("signature-input", ";alg=\"hmac-sha256\"", "");
    assert_eq!(silent.judge(&public, NOW_US), Err(SignatureError::Mismatch));
}
