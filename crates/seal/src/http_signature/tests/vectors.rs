//! Vectors that others made: RFC 9421 appendix B.2, and a signer in Python's standard library that
//! was written from our documentation.

use super::*;
use crate::{base64_decode, base64url_decode, http_signature::base::Component};

const RFC_SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

/// The base of the test request of appendix B.2.
fn rfc_base(components: &[&str], parameters: &str) -> String {
    let sent = Sent::new(
        "POST",
        "/foo?param=Value&Pet=dog",
        b"{\"hello\": \"world\"}",
        &[
            ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("Content-Type", "application/json"),
            ("Content-Length", "18"),
        ],
    );
    let headers = sent.headers.as_slice();
    let request = Request {
        method: &sent.method,
        target: &sent.target,
        authority: "example.com",
        headers: &headers,
        body: &sent.body,
    };
    let origin = "https://example.com".parse().unwrap();
    let components: Vec<_> =
        components.iter().map(|name| Component::parse(name).unwrap()).collect();
    base::signature_base(&Received::new(request), &origin, "example.com", &components, parameters)
        .unwrap()
}

#[test]
fn rfc_9421_b_2_5_hmac_sha256() {
    let parameters =
        r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let base = rfc_base(&["date", "@authority", "content-type"], parameters);
    let expected = [
        r#""date": Tue, 20 Apr 2021 02:07:55 GMT"#,
        r#""@authority": example.com"#,
        r#""content-type": application/json"#,
        &format!(r#""@signature-params": {parameters}"#),
    ];
    assert_eq!(base, expected.join("\n"));
    let signature = base64_decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=").unwrap();
    let secret = || SecretBytes::new(base64_decode(RFC_SECRET).unwrap());
    assert_eq!(SigningKey::HmacSha256(secret()).sign(base.as_bytes()).unwrap(), signature);
    let key = VerifyingKey::hmac_sha256(secret()).unwrap();
    assert!(key.verifies(base.as_bytes(), &signature));
    assert!(!key.verifies(base.to_lowercase().as_bytes(), &signature));
}

#[test]
fn rfc_9421_b_2_6_ed25519() {
    let parameters = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let components = ["date", "@method", "@path", "@authority", "content-type", "content-length"];
    let base = rfc_base(&components, parameters);
    let signature =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let signature = base64_decode(signature).unwrap();
    let public = base64url_decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs").unwrap();
    let public = VerifyingKey::ed25519(public.try_into().unwrap()).unwrap();
    assert!(public.verifies(base.as_bytes(), &signature));
    assert!(!public.verifies(base.to_lowercase().as_bytes(), &signature));
    // The same key as PKCS#8, appendix B.1.4.
    let private = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n\
        -----END PRIVATE KEY-----\n";
    let private = Ed25519Key::from_pkcs8_pem(private).unwrap();
    assert_eq!(Some(private.public()), public.ed25519_public());
    assert_eq!(SigningKey::Ed25519(private).sign(base.as_bytes()).unwrap(), signature);
}

#[test]
fn every_part_of_the_request_line_has_its_form() {
    let base = rfc_base(
        &["@method", "@target-uri", "@scheme", "@authority", "@request-target", "@path", "@query"],
        "()",
    );
    let expected = [
        r#""@method": POST"#,
        r#""@target-uri": https://example.com/foo?param=Value&Pet=dog"#,
        r#""@scheme": https"#,
        r#""@authority": example.com"#,
        r#""@request-target": /foo?param=Value&Pet=dog"#,
        r#""@path": /foo"#,
        r#""@query": ?param=Value&Pet=dog"#,
        r#""@signature-params": ()"#,
    ];
    assert_eq!(base, expected.join("\n"));
}

#[test]
fn a_signer_that_others_wrote() {
    // Python: hashlib, hmac and base64; HMAC with the bytes of the printed secret.
    let input = format!(
        r#"sig1=("@method" "@target-uri" "content-type" "content-digest" "idempotency-key");created=1790000000;expires=1790000030;nonce="{NONCE}";alg="hmac-sha256";keyid="{KEY_ID}";tag="tw-v1""#
    );
    for (authority, target, signature, simple) in [
        (
            "gw.example",
            "/api/v1/orders",
            "gsHOFROJF1tHRMurwG/kjZEhql0ZchEVCEkOIbNxOsQ=",
            "c494ceefbc06037d33449e8f303aeb250bb7908cdd19a89f2ec3b1f866e79c14",
        ),
        (
            "gw.example",
            "/api/v1/orders?symbol=ES%2FZ6&x=",
            "Xbh8/jPECKcO1WIdu9eaWS7coo9yZ2lt6/Kqg/dTL+Q=",
            "7fd439188c50b5a6814e82455f25a3468844ba8c6e2828a58992718be3ad7ebd",
        ),
        (
            "gw.example:8443",
            "/a%2Fb//c?",
            "jPCicouX2GheFAD/FHkSjp/jvMBis0GK6wj+jpHxW+w=",
            "8b03314408baa092e75d18dcf04d1b2e7e1c477dad230394de41973489abe785",
        ),
    ] {
        let mut sent = Sent::new(
            "POST",
            target,
            BODY,
            &[
                ("Content-Type", "application/json"),
                ("Content-Digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
                ("Idempotency-Key", "\"6f1c\""),
                ("Signature-Input", &input),
                ("Signature", &format!("sig1=:{signature}:")),
            ],
        );
        authority.clone_into(&mut sent.authority);
        let verified = sent.judge(&verifying(), NOW_US).unwrap();
        assert_eq!((verified.key_id.as_str(), verified.nonce.as_str()), (KEY_ID, NONCE));
        assert_eq!(verified.created_unix_us, NOW_US);
        assert_eq!(verified.ends_unix_us, NOW_US + 30 * US_PER_S);

        let mut sent = Sent::new(
            "POST",
            target,
            BODY,
            &[
                ("X-TW-Key", KEY_ID),
                ("X-TW-Timestamp", "1790000000123"),
                ("X-TW-Nonce", NONCE),
                ("X-TW-Signature", simple),
            ],
        );
        authority.clone_into(&mut sent.authority);
        let verified = sent.judge(&verifying(), NOW_US).unwrap();
        assert_eq!(verified.created_unix_us, NOW_US + 123_000);
        assert_eq!(verified.ends_unix_us, NOW_US + 60_124_000);
    }
}
