//! The secret leaves the body, and nothing else does.

use super::*;

fn opened(body: &str) -> (Option<String>, String, Result<Signal, FieldError>) {
    let body = read(body.as_bytes(), None);
    let secret = body.secret.map(|secret| secret.expose().to_owned());
    (secret, String::from_utf8(body.redacted).unwrap(), body.signal)
}

#[test]
fn the_rest_stays_byte_for_byte() {
    for (body, redacted) in [
        (r#"{"secret":"hunter2-hunter2","action":"BUY"}"#, r#"{"action":"BUY"}"#),
        (r#"{"action":"BUY","secret":"hunter2-hunter2"}"#, r#"{"action":"BUY"}"#),
        (
            r#"{ "action" : "BUY" , "secret" : "s" , "price" : 5e0 }"#,
            r#"{ "action" : "BUY" , "price" : 5e0 }"#,
        ),
        ("\u{feff} {\"secret\":\"s\",\"action\":\"BUY\"}\r\n", "\u{feff} {\"action\":\"BUY\"}\r\n"),
        (r#"{"action":"BUY","secret":"s"}="#, r#"{"action":"BUY"}="#),
        ("%7B%22action%22%3A%22BUY%22%2C%22secret%22%3A%22s%22%7D=", r#"{"action":"BUY"}"#),
    ] {
        let (secret, kept, signal) = opened(body);
        assert_eq!(kept, redacted);
        assert!(secret.is_some() && signal.is_ok(), "{body}");
    }
}

#[test]
fn without_a_secret_nothing_changes() {
    for body in [
        r#" {"action":"BUY"} "#,
        "%7B%22action%22%3A%22BUY%22%7D=",
        r#"{"action":"BUY","extras":{"secret":"nested is no credential"}}"#,
        r#"{"action":"BUY","Secret":"another name"}"#,
    ] {
        let (secret, kept, signal) = opened(body);
        assert_eq!((secret, kept.as_str()), (None, body));
        assert!(signal.is_ok(), "{body}");
    }
}

#[test]
fn the_secret_is_found_whatever_else_is_wrong() {
    for body in [
        r#"{"secret":"hunter2-hunter2"}"#,
        r#"{"action":"hold","secret":"hunter2-hunter2"}"#,
        r#"{"action":"BUY","price":[],"secret":"hunter2-hunter2"}"#,
        r#"{"optionType":"put","s\u0065cret":"hunter2\u002dhunter2"}"#,
    ] {
        let (secret, kept, signal) = opened(body);
        assert_eq!(secret.as_deref(), Some("hunter2-hunter2"), "{body}");
        assert!(!kept.contains("hunter2") && signal.is_err(), "{kept}");
    }
}

#[test]
fn a_secret_that_is_no_text_goes_too() {
    for value in ["12345678", "true", r#"["a"]"#, r#"{"a":"b"}"#] {
        let (secret, kept, signal) = opened(&format!(r#"{{"action":"BUY","secret":{value}}}"#));
        assert_eq!((secret, kept.as_str()), (None, r#"{"action":"BUY"}"#));
        let error = signal.unwrap_err();
        assert_eq!((error.code, error.field.as_str()), (Code::SignalField, "secret"));
    }
    let (secret, kept, signal) = opened(r#"{"secret":null,"action":"BUY"}"#);
    assert_eq!((secret, kept.as_str()), (None, r#"{"action":"BUY"}"#));
    assert!(signal.is_ok());
}

#[test]
fn two_secrets_are_no_document() {
    let body = r#"{"action":"BUY","secret":"a","secret":"b"}"#;
    let (secret, kept, signal) = opened(body);
    let masked = r#"{"action":"BUY","secret":"***","secret":"***"}"#;
    assert_eq!((secret, kept.as_str()), (None, masked));
    let error = signal.unwrap_err();
    assert_eq!((error.code, error.field.as_str()), (Code::SignalMalformed, "secret"));
}

/// It may be a secret of yesterday, or another webhook's: whoever sent it was let in by another.
#[test]
fn what_is_no_document_keeps_no_value_of_a_secret() {
    for (body, masked) in [
        (r#"{"action":"BUY","secret":"old"#, r#"{"action":"BUY","secret":"***"#),
        (r#"{"secret" : "a\"b","action":"BUY",}"#, r#"{"secret" : "***","action":"BUY",}"#),
        (r#"{"secret":"a\"#, r#"{"secret":"***"#),
        (r#"{"secret":4711,"action":}"#, r#"{"secret":***,"action":}"#),
        (r#"{"secret":4711}}"#, r#"{"secret":***}}"#),
        ("secret=old&action=BUY", "secret=***&action=BUY"),
        ("BUY secret=old now", "BUY secret=*** now"),
        (r#"{"secret""#, r#"{"secret""#),
        (r#"{"secret":"#, r#"{"secret":***"#),
        ("BUY the secret", "BUY the secret"),
    ] {
        let (secret, kept, signal) = opened(body);
        assert_eq!((secret, kept.as_str()), (None, masked), "{body}");
        assert!(signal.is_err(), "{body}");
    }
}

#[test]
fn repeats_of_the_secret_are_masked_everywhere() {
    let (_, kept, signal) = opened(
        r#"{"action":"BUY","comment":"my hunter2-hunter2!","hunter2-hunter2":1,
            "extras":["hunter2\u002dhunter2"],"secret":"hunter2-hunter2"}"#,
    );
    assert_eq!(
        kept,
        r#"{"action":"BUY","comment":"***","***":1,
            "extras":["***"]}"#
    );
    let signal = signal.unwrap();
    assert_eq!(signal.comment, Comment::FreeText("***".into()));
    assert_eq!(signal.unknown_fields, ["***", "extras"]);
    // Short words would hit what means something else; they are no secrets.
    let (_, kept, signal) = opened(r#"{"action":"BUY","secret":"BUY"}"#);
    assert_eq!((kept.as_str(), signal.is_ok()), (r#"{"action":"BUY"}"#, true));
    // A secret that looks like the space between members.
    let (secret, kept, signal) = opened(r#"{"secret":"\"BUY\",\"id\":","action":"BUY","id":"1"}"#);
    assert_eq!((secret.as_deref(), kept.as_str()), (Some(r#""BUY","id":"#), "{}"));
    assert_eq!(signal.unwrap_err().field, "secret");
}

#[test]
fn the_secret_does_not_print() {
    let body = read(br#"{"secret":"hunter2-hunter2","action":"hold hunter2-hunter2"}"#, None);
    let printed = format!("{body:?} {:?}", body.secret);
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn known_secrets_are_concealed_in_what_is_no_document() {
    let body = br#"{"secret":"hunter2-hunter2","action":"BUY",}"#;
    assert_eq!(conceal(body, "hunter2-hunter2"), br#"{"secret":"***","action":"BUY",}"#);
    assert_eq!(conceal(body, "BUY"), body);
    assert_eq!(conceal(b"12345678123456789", "12345678"), b"******9");
    assert_eq!(conceal(body, ""), body);
}

/// A secret that came in a header or in the query is no more to be read in names and values than one of the
/// body.
#[test]
fn what_repeats_a_secret_shown_elsewhere_is_masked_everywhere() {
    let secret = "hunter2-hunter2";
    for (received, kept) in [
        (r#"{"action":"EXIT","hunter2-hunter2":"x"}"#, r#"{"action":"EXIT","***":"x"}"#),
        (r#"{"action":"EXIT","hunter2\u002dhunter2":1}"#, r#"{"action":"EXIT","***":1}"#),
        (
            "%7B%22action%22:%22EXIT%22,%22hunter2%2Dhunter2%22:1%7D=",
            r#"{"action":"EXIT","***":1}"#,
        ),
        (
            r#"{"action":"EXIT","comment":"my hunter2-hunter2"}"#,
            r#"{"action":"EXIT","comment":"***"}"#,
        ),
    ] {
        let mut body = read(received.as_bytes(), None);
        conceal_shown(&mut body, secret, None);
        assert_eq!(String::from_utf8(body.redacted).unwrap(), kept);
        let signal = format!("{:?}", body.signal.unwrap());
        assert!(!signal.contains("hunter2"), "{signal}");
    }
    for received in [r#"{"action":"EXIT","n\u002d":"+%"}"#, "%7B%22action%22:%22EXIT%22%7D="] {
        let mut body = read(received.as_bytes(), None);
        conceal_shown(&mut body, secret, None);
        assert_eq!(body.redacted, received.as_bytes(), "nothing repeats it");
    }
    let mut broken = read(br#"{"hunter2-hunter2":1"#, None);
    conceal_shown(&mut broken, secret, None);
    assert_eq!(broken.redacted, br#"{"***":1"#);
}
