//! Any bytes as a document: no panic, every span is a document of its own with the same content, and
//! a member that was cut out leaves a document without it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tradewarden_domain::json::{Content, Document, Value};

fuzz_target!(|source: &[u8]| {
    let Ok(document) = Document::read(source) else { return };
    check(source, document.root());
    for member in document.root().members().unwrap_or_default() {
        let cut = document.cut(&member.name).expect("it has this member");
        let kept = [&source[..cut.start], &source[cut.end..]].concat();
        let rest = Document::read(&kept).expect("what is left is a document");
        assert!(rest.root().member(&member.name).is_none());
        let before = document.root().members().map_or(0, <[_]>::len);
        assert_eq!(rest.root().members().map(<[_]>::len), Some(before - 1));
    }
});

fn check(source: &[u8], value: &Value<'_>) {
    let alone = Document::read(&source[value.span.clone()]).expect("a value is a document");
    match (&value.content, &alone.root().content) {
        (Content::Object(members), Content::Object(others)) => {
            assert_eq!(members.len(), others.len());
            members.iter().for_each(|member| check(source, &member.value));
        }
        (Content::List(values), Content::List(others)) => {
            assert_eq!(values.len(), others.len());
            values.iter().for_each(|value| check(source, value));
        }
        (content, other) => assert_eq!(content, other),
    }
}
