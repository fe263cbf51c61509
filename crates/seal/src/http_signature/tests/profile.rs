//! The rules of the profile, each with its reason.

use super::*;

const PARAMETERS: &str =
    r#";created=1790000000;keyid="k_7Qm";nonce="w3fAAAAAAAAAAAAAAAAAAA";tag="tw-v1""#;

fn order() -> Sent {
    Sent::order(&SigningKey::HmacSha256(secret()))
}

/// A request without a body whose signature covers its line, with these parameters.
fn read_with(parameters: &str) -> Result<Proven, SignatureError> {
    let lines = [("@method", "GET"), ("@target-uri", "https://gw.example/x")];
    Sent::new("GET", "/x", b"", &[])
        .signed_over(&lines, &format!(r#"("@method" "@target-uri"){parameters}"#))
        .judge(&verifying(), NOW_US)
}

#[test]
fn any_order_is_taken_as_it_was_received() {
    let digest = content_digest(BODY);
    let headers = [("Content-Type", "text/plain"), ("Content-Digest", digest.as_str())];
    let lines = [
        ("content-digest", digest.as_str()),
        ("@target-uri", "https://gw.example/x?"),
        ("content-type", "text/plain"),
        ("@query", "?"),
        ("@method", "PUT"),
    ];
    let covered = r#"("content-digest" "@target-uri"  "content-type" "@query" "@method" )"#;
    for parameters in [
        PARAMETERS,
        r#";tag="tw-v1";nonce="w3fAAAAAAAAAAAAAAAAAAA";keyid="k_7Qm";created=1790000000"#,
        r#"; keyid="k_7Qm";alg="hmac-sha256";  created=1790000000;tag="tw-v1";expires=1790000060;nonce="w3fAAAAAAAAAAAAAAAAAAA""#,
    ] {
        let sent = Sent::new("PUT", "/x?", BODY, &headers)
            .signed_over(&lines, &format!("{covered}{parameters}"));
        assert!(sent.judge(&verifying(), NOW_US).is_ok(), "{parameters}");
        // The same rewritten the usual way is another text.
        let rewritten = sent.edited("signature-input", "  ", " ");
        assert_eq!(rewritten.refusal(), SignatureError::Mismatch);
    }
}

#[test]
fn lines_of_one_field_are_joined() {
    let sent =
        Sent::new("GET", "/x", b"", &[("X-List", "  a \t"), ("x-list", ""), ("X-LIST", "b, c")]);
    let lines =
        [("x-list", "a, , b, c"), ("@method", "GET"), ("@target-uri", "https://gw.example/x")];
    let sent =
        sent.signed_over(&lines, &format!(r#"("x-list" "@method" "@target-uri"){PARAMETERS}"#));
    assert!(sent.judge(&verifying(), NOW_US).is_ok());
    for value in ["a\r\n b", "a\nb", "a\0", "é"] {
        assert_eq!(sent.clone().replaced("X-List", value).refusal(), SignatureError::Malformed);
    }
    let long = "a".repeat(MAX_FIELD_BYTES + 1);
    assert_eq!(sent.replaced("X-List", &long).refusal(), SignatureError::Malformed);
}

#[test]
fn what_must_be_covered() {
    for name in ["@method", "@target-uri", "content-digest", "content-type", "idempotency-key"] {
        let (quoted, last) = (format!("\"{name}\" "), format!(" \"{name}\")"));
        let input = order().value("signature-input");
        let input = input.replacen(&quoted, "", 1).replacen(&last, ")", 1);
        assert!(!input.contains(name));
        let sent = order().replaced("signature-input", &input);
        assert_eq!(sent.refusal(), SignatureError::Coverage, "{name}");
    }
    // Covered, and not there.
    for name in ["content-digest", "content-type", "idempotency-key"] {
        assert_eq!(order().without(name).refusal(), SignatureError::Component, "{name}");
    }
    assert_eq!(read_with(PARAMETERS).map(|verified| verified.key_id), Ok(KEY_ID.to_owned()));
}

#[test]
fn a_digest_without_a_body_must_be_that_of_none() {
    let lines = [("@method", "GET"), ("@target-uri", "https://gw.example/x")];
    let sent = Sent::new("GET", "/x", b"", &[])
        .signed_over(&lines, &format!(r#"("@method" "@target-uri"){PARAMETERS}"#));
    let empty = sent.clone().with("content-digest", &content_digest(b""));
    assert!(empty.judge(&verifying(), NOW_US).is_ok());
    let other = sent.with("content-digest", &content_digest(BODY));
    assert_eq!(other.refusal(), SignatureError::Digest);
}

#[test]
fn the_body_is_judged_apart_from_the_signature() {
    let mut sent = order();
    sent.body.push(b'\n');
    assert_eq!(sent.refusal(), SignatureError::Digest);
    let digest = "md5=:AAAA:";
    let lines = [
        ("@method", "GET"),
        ("@target-uri", "https://gw.example/x"),
        ("content-digest", digest),
        ("content-type", "a/b"),
    ];
    let covered = r#"("@method" "@target-uri" "content-digest" "content-type")"#;
    let sent = Sent::new("GET", "/x", BODY, &[("content-digest", digest), ("content-type", "a/b")])
        .signed_over(&lines, &format!("{covered}{PARAMETERS}"));
    assert_eq!(sent.refusal(), SignatureError::Digest);
}

#[test]
fn components_that_nobody_here_knows() {
    for component in [
        r#""@status""#,
        r#""@query-param";name="x""#,
        r#""@signature-params""#,
        r#""@unknown""#,
        r#""content-type";sf"#,
        r#""content-type";bs"#,
        r#""@method";req"#,
        r#""content-digest";key="sha-256""#,
        r#""content-type";tr"#,
        r#""Content-Type""#,
        r#""content type""#,
        r#""content\"type""#,
        r#""""#,
        "content-type",
        "5",
        r#""x-absent""#,
    ] {
        let added = format!("({component} ");
        let sent = order().edited("signature-input", "(", &added);
        assert_eq!(sent.refusal(), SignatureError::Component, "{component}");
    }
    for component in [r#""@method""#, r#""content-type""#] {
        let sent = order().edited("signature-input", "(", &format!("({component} "));
        assert_eq!(sent.refusal(), SignatureError::Duplicate, "{component}");
    }
    let many: Vec<_> = (0..MAX_COMPONENTS).map(|number| format!("\"x-{number}\" ")).collect();
    let sent = order().edited("signature-input", "(", &format!("({}", many.concat()));
    assert_eq!(sent.refusal(), SignatureError::Malformed);
}

#[test]
fn parameters_that_are_missing_unknown_or_out_of_range() {
    let long = "a".repeat(MAX_KEY_ID_CHARACTERS + 1);
    let (short_nonce, long_nonce) = ("a".repeat(15), "a".repeat(MAX_NONCE_CHARACTERS + 1));
    for (from, to) in [
        ("created=1790000000;", ""),
        ("1790000000", "-1"),
        ("1790000000", "1790000000.0"),
        ("1790000000", "\"1790000000\""),
        ("1790000000", "253402300800"),
        ("keyid=\"k_7Qm\";", ""),
        ("\"k_7Qm\"", "\"\""),
        ("\"k_7Qm\"", "k_7Qm"),
        ("k_7Qm", "k 7Qm"),
        ("k_7Qm", "k\\\"7Qm"),
        ("k_7Qm", long.as_str()),
        ("nonce=\"w3fAAAAAAAAAAAAAAAAAAA\";", ""),
        (NONCE, short_nonce.as_str()),
        (NONCE, long_nonce.as_str()),
        (NONCE, "w3fAAAAAAAAAAAAAAAAA.A"),
        (";tag", ";x;tag"),
        (";tag", ";expires=1790000061;tag"),
        (";tag", ";expires=1790000000;tag"),
        (";tag", ";expires=\"1790000060\";tag"),
        (";tag", ";alg=hmac-sha256;tag"),
    ] {
        assert!(PARAMETERS.contains(from));
        let parameters = PARAMETERS.replacen(from, to, 1);
        assert_eq!(read_with(&parameters), Err(SignatureError::Parameter), "{parameters}");
    }
    for parameters in [format!("{PARAMETERS};created=1790000000"), format!("{PARAMETERS};tag=x")] {
        assert_eq!(read_with(&parameters), Err(SignatureError::Duplicate), "{parameters}");
    }
    for name in ["rsa-pss-sha512", "ecdsa-p256-sha256", "ed25519", "HMAC-SHA256", ""] {
        let parameters = format!("{PARAMETERS};alg=\"{name}\"");
        assert_eq!(read_with(&parameters), Err(SignatureError::Algorithm), "{name}");
    }
    for nonce in ["a".repeat(16), "+/-_=".repeat(25)] {
        assert!(read_with(&PARAMETERS.replacen(NONCE, &nonce, 1)).is_ok(), "{nonce}");
    }
}

#[test]
fn one_signature_with_our_tag_and_others_beside_it() {
    let sent = order();
    let (input, signature) = (sent.value("signature-input"), sent.value("signature"));
    for tag in ["tw-v2", "TW-V1", "tw-v1 ", ""] {
        let other = sent.clone().edited("signature-input", "tw-v1", tag);
        assert_eq!(other.refusal(), SignatureError::Untagged, "{tag}");
    }
    let untagged = sent.clone().edited("signature-input", ";tag=\"tw-v1\"", "");
    assert_eq!(untagged.refusal(), SignatureError::Untagged);
    let token = sent.clone().edited("signature-input", "\"tw-v1\"", "tw-v1");
    assert_eq!(token.refusal(), SignatureError::Untagged);

    let foreign =
        r#"proxy=("@authority" "@query-param";name="x" "date";bs);created=1;tag="proxy";x=1.5"#;
    let beside = sent
        .clone()
        .replaced("signature-input", &format!("{foreign}, {input}"))
        .replaced("signature", &format!("{signature}, proxy=:AAAA:"));
    assert!(beside.judge(&verifying(), NOW_US).is_ok());
    let in_lines = sent.clone().with("signature-input", foreign).with("signature", "proxy=:AAAA:");
    assert!(in_lines.judge(&verifying(), NOW_US).is_ok());

    let second = input.replacen("sig1", "sig2", 1);
    let two = sent.clone().with("signature-input", &second);
    assert_eq!(two.refusal(), SignatureError::Several);
    assert_eq!(sent.clone().with("signature-input", &input).refusal(), SignatureError::Duplicate);
    assert_eq!(sent.clone().with("signature", &signature).refusal(), SignatureError::Duplicate);
    let five: Vec<_> = (0..4).map(|number| format!("p{number}=()")).collect();
    let five = sent.with("signature-input", &five.join(", "));
    assert_eq!(five.refusal(), SignatureError::Malformed);
}

#[test]
fn what_is_out_of_form_is_malformed() {
    let sent = order();
    let signature = sent.value("signature");
    for value in [
        String::new(),
        "sig1".to_owned(),
        "sig1=()".to_owned(),
        "sig1=\"AAAA\"".to_owned(),
        "sig1=:AAA:".to_owned(),
        format!("{signature};x"),
        signature.replacen("sig1", "sig2", 1),
        format!("{signature},"),
        format!("{signature}, a=:AA==:, b=:AA==:, c=:AA==:, d=:AA==:"),
        "a".repeat(MAX_FIELD_BYTES + 1),
    ] {
        let other = sent.clone().replaced("signature", &value);
        assert_eq!(other.refusal(), SignatureError::Malformed, "{value}");
    }
    assert_eq!(sent.clone().without("signature").refusal(), SignatureError::Malformed);
    assert_eq!(sent.clone().without("signature-input").refusal(), SignatureError::Untagged);
    for value in ["x", "sig1=x;tag=\"tw-v1\"", "sig1=(", "Sig1=()"] {
        let other = sent.clone().replaced("signature-input", value);
        let untagged = value == "x";
        let reason = if untagged { SignatureError::Untagged } else { SignatureError::Malformed };
        assert_eq!(other.refusal(), reason, "{value}");
    }
    let long = format!("{}{}", sent.value("signature-input"), " ".repeat(MAX_FIELD_BYTES));
    assert_eq!(
        sent.clone().replaced("signature-input", &long).refusal(),
        SignatureError::Malformed
    );
    for (method, target) in [
        ("", "/"),
        ("PO ST", "/"),
        ("POST\n", "/"),
        ("POST", ""),
        ("POST", "*"),
        ("POST", "https://gw.example/"),
        ("POST", "/a b"),
        ("POST", "/a\n"),
        ("POST", "/é"),
        ("POST", "/#a"),
        ("POST", &format!("/{}", "a".repeat(MAX_TARGET_BYTES))),
    ] {
        let mut other = sent.clone();
        (other.method, other.target) = (method.to_owned(), target.to_owned());
        assert_eq!(other.refusal(), SignatureError::Malformed, "{method} {target}");
    }
}

#[test]
fn the_host_is_one_of_ours_whatever_was_received() {
    let mut sent = order();
    for authority in ["GW.Example", "gw.example:443", "gw.example:8443"] {
        authority.clone_into(&mut sent.authority);
        assert!(sent.judge(&verifying(), NOW_US).is_ok(), "{authority}");
    }
    for authority in ["evil.example", "gw.example:80", "", "gw.example@evil.example"] {
        authority.clone_into(&mut sent.authority);
        assert_eq!(sent.refusal(), SignatureError::Authority, "{authority}");
    }
    // Signed for another host and sent to us.
    let lines = [("@method", "GET"), ("@target-uri", "https://evil.example/x")];
    let sent = Sent::new("GET", "/x", b"", &[("x-forwarded-host", "evil.example")])
        .signed_over(&lines, &format!(r#"("@method" "@target-uri"){PARAMETERS}"#));
    assert_eq!(sent.refusal(), SignatureError::Mismatch);
}

#[test]
fn sixty_seconds_back_ten_ahead_and_its_own_end() {
    let at = |second: i64, parameters: &str| {
        let lines = [("@method", "GET"), ("@target-uri", "https://gw.example/x")];
        Sent::new("GET", "/x", b"", &[])
            .signed_over(&lines, &format!(r#"("@method" "@target-uri"){parameters}"#))
            .judge(&verifying(), NOW_US + second * US_PER_S + US_PER_S - 1)
    };
    let ends = NOW_US + 61 * US_PER_S;
    for second in [-10, 0, 60] {
        assert_eq!(at(second, PARAMETERS).unwrap().ends_unix_us, ends);
    }
    assert_eq!(at(61, PARAMETERS), Err(SignatureError::TooOld));
    assert_eq!(at(-11, PARAMETERS), Err(SignatureError::InFuture));
    let short = format!("{PARAMETERS};expires=1790000005");
    assert_eq!(at(4, &short).unwrap().ends_unix_us, NOW_US + 5 * US_PER_S);
    assert_eq!(at(5, &short), Err(SignatureError::Expired));
    assert!(at(59, &format!("{PARAMETERS};expires=1790000060")).is_ok());
    let sent = order();
    assert_eq!(sent.judge(&verifying(), i64::MAX), Err(SignatureError::TooOld));
    assert_eq!(sent.judge(&verifying(), i64::MIN), Err(SignatureError::InFuture));
}

#[test]
fn two_kinds_of_credentials_contradict_each_other() {
    let sent = order();
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("Authorization", "Basic x"),
        ("x-tw-key", KEY_ID),
        ("x-tw-signature", "00"),
    ] {
        let refusal = sent.clone().with(name, value).refusal();
        let half = name.starts_with("x-tw");
        let reason = if half { SignatureError::Malformed } else { SignatureError::Contradiction };
        assert_eq!(refusal, reason, "{name}");
    }
    let both = sent
        .with("x-tw-key", KEY_ID)
        .with("x-tw-timestamp", "1790000000000")
        .with("x-tw-nonce", NONCE)
        .with("x-tw-signature", "00");
    assert_eq!(both.refusal(), SignatureError::Contradiction);
}

#[test]
fn a_request_that_is_not_signed() {
    let read = |headers: &[(&str, &str)]| {
        let request = Request {
            method: "GET",
            target: "/",
            authority: "gw.example",
            headers: &headers,
            body: b"",
        };
        Presented::read(&Received::new(request))
            .map(|presented| presented.map(|presented| presented.form()))
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[("authorization", "Bearer x"), ("host", "x")]), Ok(None));
    // What a proxy signed is no credential, and does not spoil one.
    let foreign = [("signature-input", r#"p=("@method");tag="p""#), ("signature", "p=:AA==:")];
    assert_eq!(read(&foreign), Err(SignatureError::Untagged));
    let [input, signature] = foreign;
    assert_eq!(read(&[input, signature, ("authorization", "Bearer x")]), Ok(None));
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> =
        SignatureError::ALL.iter().map(|error| error.reason()).collect();
    assert_eq!(words.len(), SignatureError::ALL.len());
    assert!(words.iter().all(|word| word.starts_with("signature.")));
}
