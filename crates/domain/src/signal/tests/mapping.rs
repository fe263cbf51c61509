//! The sender's own form.

use super::*;

fn mapping(text: &str) -> Mapping {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn example() -> Mapping {
    mapping(
        r#"{"action":"order.side","quantity":"order.qty","ticker":"instrument","id":"meta.a.b.id",
            "values":{"enter_long":"BUY","2":"SELL","take profit":"exit"}}"#,
    )
}

fn mapped(body: &str) -> Result<Signal, FieldError> {
    read(body.as_bytes(), Some(&example())).signal
}

#[test]
fn fields_are_found_by_path() {
    let signal = mapped(
        r#"{"order":{"side":"Enter_Long","qty":"3","more":1},"instrument":"ES","secret":"s",
            "meta":{"a":{"b":{"id":77}}},"action":"ignored","dry_run":true}"#,
    )
    .unwrap();
    assert_eq!((signal.form, signal.action), (Form::Mapped, Action::Buy));
    assert_eq!(signal.quantity, QuantityField::Given(units("3")));
    assert_eq!((signal.ticker.as_deref(), signal.id.as_deref()), (Some("ES"), Some("77")));
    assert_eq!(signal.unknown_fields, ["action", "dry_run"]);
}

#[test]
fn words_of_the_sender_go_before_ours() {
    for (word, action) in [
        (r#""enter_long""#, Action::Buy),
        ("2", Action::Sell),
        (r#""TAKE PROFIT""#, Action::Exit),
        (r#""short""#, Action::Sell),
    ] {
        assert_eq!(mapped(&format!(r#"{{"order":{{"side":{word}}}}}"#)).unwrap().action, action);
    }
}

#[test]
fn errors_name_the_path() {
    for (body, code, field) in [
        ("{}", "signal.unknown_action", "order.side"),
        (r#"{"order":null}"#, "signal.unknown_action", "order.side"),
        (r#"{"order":{"side":"3"}}"#, "signal.unknown_action", "order.side"),
        (r#"{"order":{"side":3}}"#, "signal.field", "order.side"),
        (r#"{"order":"buy"}"#, "signal.field", "order.side"),
        (r#"{"order":{"side":"buy","qty":[]}}"#, "signal.field", "order.qty"),
        (r#"{"order":{"side":"buy"},"meta":{"a":[]}}"#, "signal.field", "meta.a.b.id"),
        ("[]", "signal.malformed", "body"),
    ] {
        let error = mapped(body).unwrap_err();
        assert_eq!((error.code.text(), error.field.as_str()), (code, field), "{body}");
    }
}

#[test]
fn it_reads_back_what_it_writes() {
    let text = serde_json::to_string(&example()).unwrap();
    assert_eq!(
        text,
        r#"{"action":"order.side","quantity":"order.qty","ticker":"instrument","id":"meta.a.b.id","values":{"2":"SELL","enter_long":"BUY","take profit":"EXIT"}}"#
    );
    assert_eq!(mapping(&text), example());
    assert_eq!(serde_json::to_string(&mapping(r#"{"action":"a"}"#)).unwrap(), r#"{"action":"a"}"#);
    assert_eq!(example().fields()[&TargetField::Ticker].as_str(), "instrument");
    assert_eq!(example().values()["enter_long"], Action::Buy);
}

#[test]
fn it_is_strict() {
    let long = format!(r#"{{"action":"{}"}}"#, "x".repeat(129));
    let words: Vec<_> = (0..65).map(|place| format!("\"w{place}\":\"BUY\"")).collect();
    let many = format!(r#"{{"action":"a","values":{{{}}}}}"#, words.join(","));
    for text in [
        "{}",
        r#"{"quantity":"q"}"#,
        r#"{"action":"a","colour":"c"}"#,
        r#"{"action":"a","secret":"c"}"#,
        r#"{"action":"secret"}"#,
        r#"{"action":"a","comment":"secret.part"}"#,
        r#"{"action":""}"#,
        r#"{"action":"a..b"}"#,
        r#"{"action":".a"}"#,
        r#"{"action":"a.b.c.d.e"}"#,
        r#"{"action":"a\n"}"#,
        r#"{"action":1}"#,
        r#"{"action":"a","action":"b"}"#,
        r#"{"action":"a","values":{},"values":{}}"#,
        r#"{"action":"a","values":{"x":"HOLD"}}"#,
        r#"{"action":"a","values":{"":"BUY"}}"#,
        r#"{"action":"a","values":{"x":"BUY","X":"SELL"}}"#,
        r#"{"action":"a","values":{"x":"BUY","x":"SELL"}}"#,
        r#"{"action":"a","values":["x"]}"#,
        "[]",
        &long,
        &many,
    ] {
        assert!(serde_json::from_str::<Mapping>(text).is_err(), "{text}");
    }
    let none = std::collections::BTreeMap::new();
    assert_eq!(Mapping::new(none, []), Err(MappingError::ActionMissing));
    assert_eq!("secret".parse::<Path>(), Err(MappingError::Secret));
}

#[test]
fn the_secret_is_taken_out_all_the_same() {
    let body = read(br#"{"order":{"side":"buy"},"secret":"hunter2-hunter2"}"#, Some(&example()));
    assert_eq!(body.redacted, br#"{"order":{"side":"buy"}}"#);
    assert_eq!(body.secret.unwrap().expose(), "hunter2-hunter2");
    assert!(body.signal.is_ok());
}
