use super::*;
use crate::{SystemRandomness, randomness::testing::Counting};

const NOW: u64 = 1_795_000_000;

fn key(first_byte: u8) -> TokenKey {
    TokenKey::generate(&mut Counting(first_byte)).unwrap()
}

fn realm(keys: &[&TokenKey]) -> TokenRealm {
    let keys = keys.iter().map(|key| key.public().clone()).collect();
    TokenRealm::new("https://trade.example.com", "tradewarden", keys).unwrap()
}

fn claims() -> AccessClaims {
    AccessClaims {
        subject: "usr_1".to_owned(),
        organization: "org_1".to_owned(),
        session: "ses_1".to_owned(),
        id: "jti_1".to_owned(),
        methods: vec!["pwd".to_owned(), "otp".to_owned()],
        authenticated_unix_s: NOW - 100,
        issued_unix_s: NOW,
        expires_unix_s: NOW + 5400,
        epoch: 7,
    }
}

fn payload() -> String {
    let token = realm(&[&key(0)]).issue(&key(0), &claims()).unwrap();
    let payload = token.expose().split('.').nth(1).unwrap();
    String::from_utf8(base64url_decode(payload).unwrap()).unwrap()
}

/// A token with any header and payload, rightly signed by `key`.
fn forged(key: &TokenKey, header: &str, payload: &str) -> String {
    let header = base64url_encode(header.as_bytes());
    let signed = format!("{header}.{}", base64url_encode(payload.as_bytes()));
    let signature = key.pair.try_sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64url_encode(signature.as_ref()))
}

fn header(key: &TokenKey) -> String {
    String::from_utf8(base64url_decode(&key.public.header).unwrap()).unwrap()
}

#[test]
fn a_token_says_what_it_was_given() {
    let key = key(0);
    let realm = realm(&[&key]);
    let token = realm.issue(&key, &claims()).unwrap();
    assert_eq!(realm.verify(token.expose(), NOW).unwrap(), claims());
    let kid = key.public().id();
    assert_eq!(header(&key), format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#));
    assert_eq!(
        payload(),
        r#"{"iss":"https://trade.example.com","aud":"tradewarden","sub":"usr_1","org":"org_1","sid":"ses_1","jti":"jti_1","iat":1795000000,"nbf":1795000000,"exp":1795005400,"auth_time":1794999900,"amr":["pwd","otp"],"epoch":7}"#
    );
}

#[test]
fn the_key_of_rfc_8037() {
    // Appendix A.1 to A.3: private key, public key, thumbprint.
    let seed = base64url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = TokenKey::from_seed(SecretBytes::new(seed.clone())).unwrap();
    let public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(base64url_encode(key.public().bytes()), public);
    assert_eq!(key.public().id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert!(key.seed().matches(&seed));
    // Appendix A.4: a signature over a token that is not an access token.
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert_eq!(
        base64url_encode(key.pair.try_sign(signed.as_bytes()).unwrap().as_ref()),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
    for length in [0, 31, 33] {
        let seed = SecretBytes::new(vec![0; length]);
        assert_eq!(TokenKey::from_seed(seed).unwrap_err(), KeyError::Seed);
    }
}

#[test]
fn a_header_of_anybody_else_is_refused_even_if_rightly_signed() {
    let key = key(0);
    let kid = key.public().id();
    for header in [
        String::new(),
        "{}".to_owned(),
        r#"{"alg":"none"}"#.to_owned(),
        format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"noNE","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"Ed25519","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#.to_owned(),
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"other"}"#.to_owned(),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","crit":["x"]}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","jku":"https://e.example"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","jwk":{{}}}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","x5u":"https://e.example"}}"#),
        format!(r#"{{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg": "EdDSA","typ":"at+jwt","kid":"{kid}"}}"#),
    ] {
        let token = forged(&key, &header, &payload());
        let refused = realm(&[&key]).verify(&token, NOW);
        assert_eq!(refused, Err(AccessTokenError::UnknownKey), "{header}");
    }
    // The tool that forges can make a good one too.
    let token = forged(&key, &header(&key), &payload());
    assert_eq!(realm(&[&key]).verify(&token, NOW).unwrap(), claims());
}

#[test]
fn a_signature_of_no_key_and_of_the_public_key_is_refused() {
    let key = key(0);
    let realm = realm(&[&key]);
    let token = realm.issue(&key, &claims()).unwrap();
    let (signed, _) = token.expose().rsplit_once('.').unwrap();
    let with = |signature: &[u8]| format!("{signed}.{}", base64url_encode(signature));
    // HS256 with the public key as the secret, under our own header.
    let public = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.public().bytes());
    let code = aws_lc_rs::hmac::sign(&public, signed.as_bytes());
    for token in [with(&[]), with(code.as_ref()), with(&[0; 64]), with(&[0xff; 64])] {
        assert_eq!(realm.verify(&token, NOW), Err(AccessTokenError::Signature), "{token}");
    }
    // Another key's signature under this key's header.
    let token = forged(&super::tests::key(1), &header(&key), &payload());
    assert_eq!(realm.verify(&token, NOW), Err(AccessTokenError::Signature));
}

#[test]
fn every_changed_byte_is_seen() {
    let key = key(0);
    let realm = realm(&[&key]);
    let token = realm.issue(&key, &claims()).unwrap();
    for position in 0..token.expose().len() {
        for other in [b'A', b'B', b'.', b'=', b'\n'] {
            let mut bytes = token.expose().as_bytes().to_vec();
            if std::mem::replace(&mut bytes[position], other) != other {
                let changed = String::from_utf8(bytes).unwrap();
                assert!(realm.verify(&changed, NOW).is_err(), "{changed}");
            }
        }
        assert!(realm.verify(&token.expose()[..position], NOW).is_err());
    }
}

#[test]
fn edited_claims_are_seen() {
    let key = key(0);
    let realm = realm(&[&key]);
    let token = realm.issue(&key, &claims()).unwrap();
    let edited = payload().replace("usr_1", "usr_2");
    let mut parts: Vec<&str> = token.expose().split('.').collect();
    let edited = base64url_encode(edited.as_bytes());
    parts[1] = &edited;
    assert_eq!(realm.verify(&parts.join("."), NOW), Err(AccessTokenError::Signature));
}

#[test]
fn claims_that_are_not_ours_are_refused_even_if_rightly_signed() {
    let key = key(0);
    let good = payload();
    for bad in [
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        good.replace(r#""sub":"usr_1","#, ""),
        good.replace(r#""sub":"usr_1","#, r#""sub":"usr_1","sub":"usr_2","#),
        good.replace(r#""sub":"usr_1","#, r#""sub":"usr_1","admin":true,"#),
        good.replace(r#""sub":"usr_1""#, r#""sub":7"#),
        good.replace(r#""sub":"usr_1""#, r#""sub":"""#),
        good.replace("usr_1", &"u".repeat(MAX_CLAIM_BYTES + 1)),
        good.replace(r#""exp":1795005400"#, r#""exp":"1795005400""#),
        good.replace(r#""exp":1795005400"#, r#""exp":1795005400.5"#),
        good.replace(r#""exp":1795005400"#, r#""exp":-1"#),
        good.replace(r#""exp":1795005400"#, r#""exp":1e300"#),
        good.replace(r#"["pwd","otp"]"#, r#""pwd""#),
        good.replace(r#"["pwd","otp"]"#, &format!("[{}\"pwd\"]", "\"pwd\",".repeat(MAX_METHODS))),
        format!("{good}x"),
    ] {
        assert_ne!(bad, good);
        let token = forged(&key, &header(&key), &bad);
        let refused = realm(&[&key]).verify(&token, NOW);
        assert_eq!(refused, Err(AccessTokenError::Malformed), "{bad}");
    }
}

#[test]
fn a_token_is_for_its_realm() {
    let key = key(0);
    let token = realm(&[&key]).issue(&key, &claims()).unwrap();
    for (issuer, audience) in [
        ("https://trade.example.com", "other"),
        ("https://trade.example.com", "Tradewarden"),
        ("https://trade.example.com/", "tradewarden"),
        ("https://other.example.com", "tradewarden"),
    ] {
        let other = TokenRealm::new(issuer, audience, vec![key.public().clone()]).unwrap();
        assert_eq!(other.verify(token.expose(), NOW), Err(AccessTokenError::OtherRealm));
    }
}

#[test]
fn time_is_the_callers() {
    let key = key(0);
    let realm = realm(&[&key]);
    let token = realm.issue(&key, &claims()).unwrap();
    let at = |now_unix_s| realm.verify(token.expose(), now_unix_s).err();
    assert_eq!(at(NOW - 11), Some(AccessTokenError::NotYetValid));
    assert_eq!(at(NOW - 10), None);
    assert_eq!(at(NOW + 5399), None);
    assert_eq!(at(NOW + 5400), Some(AccessTokenError::Expired { since_s: 0 }));
    assert_eq!(at(NOW + 5460), Some(AccessTokenError::Expired { since_s: 60 }));
    assert_eq!(at(0), Some(AccessTokenError::NotYetValid));
    assert!(matches!(at(u64::MAX), Some(AccessTokenError::Expired { .. })));
    // `nbf` and `iat` count each by itself.
    for claim in ["nbf", "iat"] {
        let now = format!("\"{claim}\":{NOW}");
        let later = payload().replace(&now, &format!("\"{claim}\":{}", NOW + 11));
        let token = forged(&key, &header(&key), &later);
        assert_eq!(realm.verify(&token, NOW), Err(AccessTokenError::NotYetValid), "{claim}");
    }
}

#[test]
fn both_keys_count_while_one_is_replaced() {
    let (old, new) = (key(0), key(1));
    let (before, overlap, after) = (realm(&[&old]), realm(&[&new, &old]), realm(&[&new]));
    let by_old = before.issue(&old, &claims()).unwrap();
    let by_new = overlap.issue(&new, &claims()).unwrap();
    assert!(overlap.verify(by_old.expose(), NOW).is_ok());
    assert!(overlap.verify(by_new.expose(), NOW).is_ok());
    assert_eq!(after.verify(by_old.expose(), NOW), Err(AccessTokenError::UnknownKey));
    assert_eq!(before.verify(by_new.expose(), NOW), Err(AccessTokenError::UnknownKey));
    assert_eq!(after.issue(&old, &claims()).unwrap_err(), AccessTokenError::UnknownKey);
    assert!(realm(&[]).verify(by_new.expose(), NOW).is_err());
}

#[test]
fn a_realm_is_bounded_and_has_no_key_twice() {
    let keys = |count: u8| (0..count).map(|first| key(first).public().clone()).collect::<Vec<_>>();
    assert!(TokenRealm::new("i", "a", keys(8)).is_some());
    assert!(TokenRealm::new("i", "a", keys(9)).is_none());
    assert!(TokenRealm::new("i", "a", [keys(1), keys(1)].concat()).is_none());
    assert!(TokenRealm::new("", "a", keys(1)).is_none());
    assert!(TokenRealm::new("i", "", keys(1)).is_none());
    assert!(TokenRealm::new(&"i".repeat(MAX_CLAIM_BYTES + 1), "a", keys(1)).is_none());
}

#[test]
fn what_is_too_long_is_not_looked_at() {
    let key = key(0);
    let realm = realm(&[&key]);
    let long = |subject: String| realm.issue(&key, &AccessClaims { subject, ..claims() });
    assert!(long("u".repeat(MAX_CLAIM_BYTES)).is_ok());
    assert_eq!(long("u".repeat(MAX_CLAIM_BYTES + 1)).unwrap_err(), AccessTokenError::Malformed);
    assert_eq!(long(String::new()).unwrap_err(), AccessTokenError::Malformed);
    // The longest claims there are, of characters that JSON writes with six.
    let most =
        AccessClaims { methods: vec!["\u{1}".repeat(MAX_CLAIM_BYTES); MAX_METHODS], ..claims() };
    assert_eq!(realm.issue(&key, &most).unwrap_err(), AccessTokenError::Malformed);
    let token = forged(&key, &header(&key), &" ".repeat(MAX_ACCESS_TOKEN_BYTES));
    assert_eq!(realm.verify(&token, NOW), Err(AccessTokenError::Malformed));
    for text in ["", ".", "..", "...", "a.b", "a.b.c.d", "é.é.é", &".".repeat(4096)] {
        assert!(realm.verify(text, NOW).is_err(), "{text}");
    }
}

#[test]
fn the_key_set_is_what_others_read() {
    let key = key(0);
    let read: serde_json::Value = serde_json::from_str(&realm(&[&key]).jwks()).unwrap();
    assert_eq!(
        read,
        serde_json::json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": key.public().id(), "x": base64url_encode(key.public().bytes()),
        }]})
    );
}

#[test]
fn nothing_secret_is_printed() {
    let key = TokenKey::generate(&mut SystemRandomness::new()).unwrap();
    assert_eq!(format!("{key:?}"), format!("TokenKey({})", key.public().id()));
    assert_eq!(format!("{:?}", key.public()), format!("TokenPublicKey({})", key.public().id()));
}
