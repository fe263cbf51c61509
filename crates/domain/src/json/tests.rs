use super::*;
use proptest::prelude::*;
use serde_json::Value as Other;

fn read(text: &str) -> Result<Document<'_>, JsonError> {
    Document::read(text.as_bytes())
}

fn problem(text: &str) -> Problem {
    read(text).expect_err(text).problem
}

/// What another reader would have made of the same values.
fn converted(value: &Value<'_>) -> Other {
    match &value.content {
        Content::Null => Other::Null,
        Content::Bool(truth) => Other::Bool(*truth),
        Content::Number(number) => Other::Number(serde_json::from_str(number).unwrap()),
        Content::Text(text) => Other::String(text.clone().into_owned()),
        Content::List(values) => Other::Array(values.iter().map(converted).collect()),
        Content::Object(members) => Other::Object(
            members.iter().map(|it| (it.name.clone().into_owned(), converted(&it.value))).collect(),
        ),
    }
}

#[test]
fn reads_every_kind_of_value() {
    let text = r#" {"a":null,"b":[true,false],"c":-1.50e+3,"d":"x\u00e9\ud83d\ude00\n\/","":{}} "#;
    let document = read(text).unwrap();
    assert_eq!(converted(document.root()), serde_json::from_str::<Other>(text).unwrap());
    assert_eq!(document.root().member("c").unwrap().value.content, Content::Number("-1.50e+3"));
    assert_eq!(document.root().member("d").unwrap().value.text(), Some("x\u{e9}\u{1f600}\n/"));
}

#[test]
fn refuses_what_is_not_json() {
    use Problem::{
        ColonExpected, CommaExpected, ControlCharacter, DuplicateName, Ended, MalformedNumber,
        NameExpected, TrailingComma, TrailingText, UnknownEscape, UnknownWord, UnpairedSurrogate,
        ValueExpected, WrongQuotes,
    };
    for (text, expected) in [
        ("", Ended),
        ("  ", Ended),
        ("{", Ended),
        ("[1", Ended),
        (r#"{"a""#, Ended),
        (r#"{"a":"#, Ended),
        (r#"{"a":"b"#, Ended),
        (r#"{"a":"b\"#, Ended),
        ("{a:1}", NameExpected),
        ("{1:1}", NameExpected),
        (r#"{"a" 1}"#, ColonExpected),
        (r#"{"a":1 "b":2}"#, CommaExpected),
        (r#"{"a":1]"#, CommaExpected),
        (r#"{"a":1,}"#, TrailingComma),
        ("[1,]", TrailingComma),
        ("[,1]", ValueExpected),
        (r#"{"a":}"#, ValueExpected),
        ("{,}", NameExpected),
        ("{\u{201c}a\u{201d}:1}", WrongQuotes),
        ("{\"a\":\u{201c}b\u{201d}}", WrongQuotes),
        ("{'a':1}", WrongQuotes),
        ("NaN", UnknownWord),
        ("Infinity", UnknownWord),
        ("-Infinity", MalformedNumber),
        ("True", UnknownWord),
        ("nullx", UnknownWord),
        ("01", MalformedNumber),
        ("-", MalformedNumber),
        ("1.", MalformedNumber),
        (".5", ValueExpected),
        ("+1", ValueExpected),
        ("1e", MalformedNumber),
        ("1e+", MalformedNumber),
        ("0x10", MalformedNumber),
        ("1.2.3", MalformedNumber),
        (r#""\x""#, UnknownEscape),
        (r#""\u12g4""#, UnknownEscape),
        (r#""\ud800""#, UnpairedSurrogate),
        (r#""\ud800x""#, UnpairedSurrogate),
        (r#""\ud800\n""#, UnpairedSurrogate),
        (r#""\ud800\ud800""#, UnpairedSurrogate),
        (r#""\udc00""#, UnpairedSurrogate),
        ("\"a\nb\"", ControlCharacter),
        ("\"a\u{0}b\"", ControlCharacter),
        (r#"{"a":1,"a":2}"#, DuplicateName),
        (r#"{"a":1,"\u0061":2}"#, DuplicateName),
        ("{} {}", TrailingText),
        ("{}=", TrailingText),
        ("1,", TrailingText),
    ] {
        assert_eq!(problem(text), expected, "{text}");
        assert!(
            serde_json::from_str::<Other>(text).is_err() || expected == DuplicateName,
            "{text}"
        );
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused() {
    let error = Document::read(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!((error.problem, error.offset), (Problem::InvalidUtf8, 6));
    assert_eq!(Document::read(b"\xef\xbb\xbf{}").unwrap_err().problem, Problem::ValueExpected);
}

#[test]
fn errors_say_where_and_in_which_member() {
    for (text, offset, member) in [
        (r#"{"a":1,"b":{"c":tru}}"#, 16, Some("c")),
        (r#"{"a":{"c":1},"b":x}"#, 17, Some("b")),
        (r#"{"a":{"c":1},}"#, 12, None),
        (r#"{"a":1,"a":2}"#, 7, Some("a")),
        ("[1 2]", 3, None),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!((error.offset, error.member.as_deref()), (offset, member), "{text}");
    }
}

#[test]
fn every_bound_is_sharp() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(problem(&nested(DEPTH_MAX + 1)), Problem::TooDeep);
    assert_eq!(problem(&"[".repeat(60_000)), Problem::TooDeep);
    assert_eq!(problem(&"{\"a\":".repeat(12_000)), Problem::TooDeep);

    let object = |members: usize| {
        let members: Vec<_> = (0..members).map(|place| format!("\"{place}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(read(&object(MEMBERS_MAX)).is_ok());
    assert_eq!(problem(&object(MEMBERS_MAX + 1)), Problem::TooManyMembers);
    let list = |elements: usize| format!("[{}]", vec!["0"; elements].join(","));
    assert!(read(&list(MEMBERS_MAX)).is_ok());
    assert_eq!(problem(&list(MEMBERS_MAX + 1)), Problem::TooManyMembers);

    let name = |length: usize| format!("{{\"{}\":0}}", "n".repeat(length));
    assert!(read(&name(NAME_MAX)).is_ok());
    assert_eq!(problem(&name(NAME_MAX + 1)), Problem::NameTooLong);
    let text = |length: usize| format!("\"{}\"", "\\n".repeat(length));
    assert!(read(&text(TEXT_MAX)).is_ok());
    assert_eq!(problem(&text(TEXT_MAX + 1)), Problem::TextTooLong);
    let number = |length: usize| "1".repeat(length);
    assert!(read(&number(NUMBER_MAX)).is_ok());
    assert_eq!(problem(&number(NUMBER_MAX + 1)), Problem::NumberTooLong);
}

#[test]
fn a_member_is_cut_out_with_its_comma() {
    for (text, rest) in [
        (r#"{"secret":"x"}"#, "{}"),
        (r#"{ "secret" : "x" }"#, "{  }"),
        (r#"{"secret":"x","a":1}"#, r#"{"a":1}"#),
        ("{\n  \"secret\": \"x\",\n  \"a\": 1\n}", "{\n  \"a\": 1\n}"),
        (r#"{"a":1, "secret":"x"}"#, r#"{"a":1}"#),
        (r#"{"a":1 ,"secret":"x" }"#, r#"{"a":1 }"#),
        (r#"{"a":1,"secret":"x","b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"\u0073ecret":{"b":[2]},"b":2}"#, r#"{"a":1,"b":2}"#),
    ] {
        let document = read(text).unwrap();
        let cut = document.cut("secret").unwrap();
        let kept = [&document.source()[..cut.start], &document.source()[cut.end..]].concat();
        assert_eq!(String::from_utf8(kept).unwrap(), rest);
    }
    assert_eq!(read(r#"{"a":{"secret":1}}"#).unwrap().cut("secret"), None);
    assert_eq!(read(r#"["secret"]"#).unwrap().cut("secret"), None);
}

/// Documents as another writer writes them, mostly within our bounds.
fn documents() -> impl Strategy<Value = Other> {
    let leaf = prop_oneof![
        Just(Other::Null),
        any::<bool>().prop_map(Other::from),
        any::<i64>().prop_map(Other::from),
        (-1.0e9..1.0e9).prop_map(Other::from),
        ".{0,12}".prop_map(Other::from),
    ];
    leaf.prop_recursive(9, 160, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Other::from),
            prop::collection::btree_map(".{0,6}", inner, 0..12)
                .prop_map(|members| Other::Object(members.into_iter().collect())),
        ]
    })
}

fn check_spans(document: &Document<'_>, value: &Value<'_>) {
    let source = &document.source()[value.span.clone()];
    let alone = Document::read(source).unwrap();
    assert_eq!(converted(alone.root()), converted(value));
    for member in value.members().unwrap_or_default() {
        let name = Document::read(&document.source()[member.name_span.clone()]).unwrap();
        assert_eq!(name.root().text(), Some(member.name.as_ref()));
        check_spans(document, &member.value);
    }
}

proptest! {
    #[test]
    fn agrees_with_another_reader(other in documents(), pretty: bool) {
        let text = if pretty { format!("{other:#}") } else { other.to_string() };
        match read(&text) {
            Ok(document) => {
                let read: Other = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(converted(document.root()), read);
                check_spans(&document, document.root());
            }
            Err(error) => prop_assert!(
                matches!(error.problem, Problem::TooDeep | Problem::TooManyMembers),
                "{error}"
            ),
        }
    }

    /// A document with one byte changed: what we accept, another reader accepts and reads alike.
    #[test]
    fn accepts_nothing_that_another_refuses(other in documents(), place: prop::sample::Index, byte: u8) {
        let mut bytes = other.to_string().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(document) = Document::read(&bytes) {
            match serde_json::from_slice::<Other>(&bytes) {
                Ok(other) => prop_assert_eq!(converted(document.root()), other),
                Err(error) => prop_assert!(error.to_string().contains("number out of range"), "{}", error),
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        Document::read(&bytes).ok();
    }

    #[test]
    fn arbitrary_punctuation_never_panics(text in r#"[\[\]{}:,"\\u0-9a-fdD8eE+\-. tn]{0,64}"#) {
        if let Ok(document) = read(&text) {
            prop_assert!(
                serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{:?}", document
            );
        }
    }
}
