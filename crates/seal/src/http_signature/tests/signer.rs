//! What we sign, the verifier takes; what it would not take is not signed.

use super::*;

#[test]
fn with_and_without_a_body() {
    let (private, public) = ed25519();
    let origin = origin();
    let nonce = new_nonce(&mut SystemRandomness::new());
    assert_eq!(nonce.len(), 22);
    for (method, body, content_type, idempotency_key, covered) in [
        ("GET", "", None, None, r#"("@method" "@target-uri")"#),
        ("POST", "", None, Some("k"), r#"("@method" "@target-uri" "idempotency-key")"#),
        (
            "POST",
            "{}",
            Some("application/json"),
            Some("k"),
            r#"("@method" "@target-uri" "content-digest" "content-type" "idempotency-key")"#,
        ),
    ] {
        let request = RequestToSign {
            method,
            origin: &origin,
            target: "/x",
            content_type,
            idempotency_key,
            body: body.as_bytes(),
        };
        let parameters = SigningParameters {
            key_id: KEY_ID,
            created_unix_s: CREATED_S,
            expires_unix_s: None,
            nonce: &nonce,
        };
        let signed = sign(&private, &request, &parameters).unwrap();
        let expected = format!(
            r#"sig1={covered};created=1790000000;nonce="{nonce}";alg="ed25519";keyid="{KEY_ID}";tag="tw-v1""#
        );
        assert_eq!(signed.signature_input, expected);
        assert_eq!(signed.content_digest.is_some(), !body.is_empty());
        let mut sent = Sent::new(method, "/x", body.as_bytes(), &[]);
        signed.lines().for_each(|(name, value)| sent.add(name, value));
        for (name, value) in [("content-type", content_type), ("idempotency-key", idempotency_key)]
        {
            if let Some(value) = value {
                sent.add(name, value);
            }
        }
        let verified = sent.judge(&public, NOW_US).unwrap();
        assert_eq!(verified.nonce, nonce);
    }
}

#[test]
fn what_would_be_refused_is_not_signed() {
    let origin = origin();
    let request = RequestToSign {
        method: "POST",
        origin: &origin,
        target: "/x",
        content_type: Some("a/b"),
        idempotency_key: None,
        body: b"x",
    };
    let parameters = SigningParameters {
        key_id: KEY_ID,
        created_unix_s: CREATED_S,
        expires_unix_s: Some(CREATED_S + 60),
        nonce: NONCE,
    };
    let key = SigningKey::HmacSha256(secret());
    assert!(sign(&key, &request, &parameters).is_ok());
    let refused = [
        (RequestToSign { method: "", ..request }, parameters, SignatureError::Malformed),
        (RequestToSign { target: "x", ..request }, parameters, SignatureError::Malformed),
        (RequestToSign { content_type: None, ..request }, parameters, SignatureError::Coverage),
        (
            RequestToSign { content_type: Some("a\nb"), ..request },
            parameters,
            SignatureError::Malformed,
        ),
        (request, SigningParameters { key_id: "a\"", ..parameters }, SignatureError::Parameter),
        (request, SigningParameters { nonce: "short", ..parameters }, SignatureError::Parameter),
        (
            request,
            SigningParameters { created_unix_s: -1, ..parameters },
            SignatureError::Parameter,
        ),
        (
            request,
            SigningParameters { expires_unix_s: Some(CREATED_S + 61), ..parameters },
            SignatureError::Parameter,
        ),
        (
            request,
            SigningParameters { expires_unix_s: Some(CREATED_S), ..parameters },
            SignatureError::Parameter,
        ),
    ];
    for (request, parameters, reason) in refused {
        assert_eq!(sign(&key, &request, &parameters), Err(reason), "{request:?} {parameters:?}");
    }
    let weak = SigningKey::HmacSha256(SecretBytes::new(vec![7; 31]));
    assert_eq!(sign(&weak, &request, &parameters), Err(SignatureError::Algorithm));
    assert_eq!(sign_simple(&key, &request, "", 0, NONCE), Err(SignatureError::Parameter));
}
