//! Canonical JSON: one text for one value, so that a hash of it means the value (RFC 8785, JCS).
//!
//! Narrower than the RFC on purpose: numbers are integers that every reader keeps exactly. Prices
//! and quantities are strings.

use std::fmt;

use serde_json::{Map, Value};

use crate::digest::hex_encode;

/// Largest integer, either way, that every JSON reader keeps exactly (RFC 7493 section 2.2).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 64;

/// Longest canonical text, in bytes.
pub const MAX_CANONICAL_BYTES: usize = 1024 * 1024;

/// Why a value has no canonical form here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalError {
    /// A number with a fraction or an exponent. Write it as a string.
    Float,
    /// An integer beyond [`MAX_INTEGER`]. Write it as a string.
    IntegerTooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Longer than [`MAX_CANONICAL_BYTES`].
    TooLong,
}

impl fmt::Display for CanonicalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float => formatter.write_str("a number is not an integer; write it as a string"),
            Self::IntegerTooLarge => {
                write!(formatter, "an integer is beyond {MAX_INTEGER}; write it as a string")
            }
            Self::TooDeep => write!(formatter, "nested deeper than {MAX_DEPTH}"),
            Self::TooLong => write!(formatter, "longer than {MAX_CANONICAL_BYTES} bytes"),
        }
    }
}

impl std::error::Error for CanonicalError {}

/// The canonical text of `value`.
pub fn to_canonical(value: &Value) -> Result<String, CanonicalError> {
    let mut text = String::new();
    write_value(&mut text, value, 0)?;
    Ok(text)
}

fn write_value(text: &mut String, value: &Value, depth: usize) -> Result<(), CanonicalError> {
    if depth > MAX_DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_integer(text, number)?,
        Value::String(string) => write_string(text, string),
        Value::Array(items) => write_array(text, items, depth)?,
        Value::Object(members) => write_object(text, members, depth)?,
    }
    if text.len() > MAX_CANONICAL_BYTES { Err(CanonicalError::TooLong) } else { Ok(()) }
}

fn write_array(text: &mut String, items: &[Value], depth: usize) -> Result<(), CanonicalError> {
    text.push('[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write_value(text, item, depth + 1)?;
    }
    text.push(']');
    Ok(())
}

/// Members in the order of their names' UTF-16 code units (RFC 8785 section 3.2.3), which is not
/// that of their UTF-8 bytes.
fn write_object(
    text: &mut String,
    members: &Map<String, Value>,
    depth: usize,
) -> Result<(), CanonicalError> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    text.push('{');
    for (position, (name, value)) in sorted.into_iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write_string(text, name);
        text.push(':');
        write_value(text, value, depth + 1)?;
    }
    text.push('}');
    Ok(())
}

fn write_integer(text: &mut String, number: &serde_json::Number) -> Result<(), CanonicalError> {
    let magnitude = match (number.as_u64(), number.as_i64()) {
        (Some(positive), _) => positive,
        (None, Some(negative)) => negative.unsigned_abs(),
        (None, None) => return Err(CanonicalError::Float),
    };
    if magnitude > MAX_INTEGER {
        return Err(CanonicalError::IntegerTooLarge);
    }
    text.push_str(&number.to_string());
    Ok(())
}

/// Only what must be escaped is escaped, in its shortest form, hex in lower case (RFC 8785 section
/// 3.2.2.2).
fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            control if control < ' ' => {
                let [.., high, low] = u32::from(control).to_be_bytes();
                text.push_str("\\u");
                text.push_str(&hex_encode(&[high, low]));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_sorted_by_utf16_code_units() {
        // RFC 8785 section 3.2.3. U+1F600 (D83D DE00) sorts before U+FB33, which its UTF-8 bytes
        // would not do.
        let value = json!({
            "\u{20ac}": "Euro Sign",
            "\r": "Carriage Return",
            "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\u{1f600}": "Emoji: Grinning Face",
            "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With \
                        Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet \
                        With Dagesh\"}";
        assert_eq!(to_canonical(&value).unwrap(), expected);
    }

    #[test]
    fn strings_are_escaped_as_little_as_can_be() {
        // The string of RFC 8785 section 3.2.2, plus the other short escapes and DEL, which stays
        // as it is.
        let value = json!("\u{20ac}$\u{f}\nA'B\"\\\\\"/\u{8}\t\u{c}\r\u{1f}\u{7f}\u{2028}");
        let expected =
            "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\t\\f\\r\\u001f\u{7f}\u{2028}\"";
        assert_eq!(to_canonical(&value).unwrap(), expected);
    }

    #[test]
    fn literals_and_nesting() {
        let value =
            json!({"literals": [null, true, false], "b": {}, "a": [], "": [{"z": -1, "y": 0}]});
        assert_eq!(
            to_canonical(&value).unwrap(),
            r#"{"":[{"y":0,"z":-1}],"a":[],"b":{},"literals":[null,true,false]}"#
        );
    }

    #[test]
    fn numbers_are_exact_integers() {
        let edge = 9_007_199_254_740_991_i64;
        assert_eq!(
            to_canonical(&json!([edge, -edge])).unwrap(),
            "[9007199254740991,-9007199254740991]"
        );
        for value in [json!(edge + 1), json!(-edge - 1), json!(u64::MAX), json!(i64::MIN)] {
            assert_eq!(to_canonical(&value), Err(CanonicalError::IntegerTooLarge), "{value}");
        }
        for text in ["1.5", "1.0", "1e2", "-0", "1e400"] {
            let Ok(value) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            assert_eq!(to_canonical(&value), Err(CanonicalError::Float), "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(to_canonical(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(to_canonical(&nested(MAX_DEPTH + 1)), Err(CanonicalError::TooDeep));
        assert_eq!(
            to_canonical(&json!("a".repeat(MAX_CANONICAL_BYTES))),
            Err(CanonicalError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn reading_the_canonical_text_gives_the_value_back(members in proptest::collection::btree_map(".*", ".*", 0..8), number in -9_007_199_254_740_991_i64..=9_007_199_254_740_991) {
            let value = json!({"members": members, "number": number});
            let text = to_canonical(&value).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(to_canonical(&read).unwrap(), text);
        }
    }
}
