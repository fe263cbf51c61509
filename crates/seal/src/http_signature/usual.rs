//! `Signature-Input` in the one shape that nearly all clients write, read in one go. Whatever is
//! written in any other way is for [`super::structured`] to judge, and what is read here reads the
//! same there.

use std::borrow::Cow;

use super::{
    Algorithm,
    base::Component,
    message::{Class, Known},
    profile::{Input, Stated},
};

const METHOD: Component<'static> = Component::Method;
const TARGET_URI: Component<'static> = Component::TargetUri;
const DIGEST: Component<'static> = Component::Known(Known::ContentDigest);
const TYPE: Component<'static> = Component::Known(Known::ContentType);
const KEY: Component<'static> = Component::Known(Known::IdempotencyKey);

/// What is covered, as [`super::sign`] and the clients of our documentation write it. None begins
/// another, for each has its end.
static LISTS: [(&str, &[Component<'static>]); 6] = [
    (
        r#"("@method" "@target-uri" "content-digest" "content-type" "idempotency-key")"#,
        &[METHOD, TARGET_URI, DIGEST, TYPE, KEY],
    ),
    (
        r#"("@method" "@target-uri" "content-type" "content-digest" "idempotency-key")"#,
        &[METHOD, TARGET_URI, TYPE, DIGEST, KEY],
    ),
    (
        r#"("@method" "@target-uri" "content-digest" "content-type")"#,
        &[METHOD, TARGET_URI, DIGEST, TYPE],
    ),
    (
        r#"("@method" "@target-uri" "content-type" "content-digest")"#,
        &[METHOD, TARGET_URI, TYPE, DIGEST],
    ),
    (r#"("@method" "@target-uri" "idempotency-key")"#, &[METHOD, TARGET_URI, KEY]),
    (r#"("@method" "@target-uri")"#, &[METHOD, TARGET_URI]),
];

/// The one signature of the field, which has our tag; nothing if it is written in another way. Every
/// byte of the text is looked at here: none that is taken is other than visible ASCII or a blank.
pub(super) fn read(field: &str) -> Option<Input<'_>> {
    let (label, text) = split_while(field, Class::KEY);
    let text = text.strip_prefix('=')?;
    if !label.starts_with(|first: char| first.is_ascii_lowercase() || first == '*') {
        return None;
    }
    let (components, parameters) = LISTS
        .into_iter()
        .find_map(|(list, components)| Some((components, text.strip_prefix(list)?)))?;
    let stated = read_parameters(parameters)?;
    let (claim, algorithm) = (stated.claim().ok()?, stated.algorithm);
    Some(Input { label, components: Cow::Borrowed(components), claim, algorithm, text })
}

/// Parameters in any order, each once, the tag among them.
fn read_parameters(mut text: &str) -> Option<Stated<'_>> {
    let mut stated = Stated::default();
    let mut is_tagged = false;
    while !text.is_empty() {
        let parameter = text.strip_prefix(';')?;
        let is_twice;
        if let Some(value) = parameter.strip_prefix("created=") {
            let (unix_s, rest) = split_integer(value)?;
            (is_twice, text) = (stated.created_unix_s.replace(unix_s).is_some(), rest);
        } else if let Some(value) = parameter.strip_prefix("nonce=\"") {
            let (nonce, rest) = split_text(value)?;
            (is_twice, text) = (stated.nonce.replace(nonce).is_some(), rest);
        } else if let Some(value) = parameter.strip_prefix("alg=\"") {
            let (name, rest) = split_text(value)?;
            let algorithm = Algorithm::parse(name)?;
            (is_twice, text) = (stated.algorithm.replace(algorithm).is_some(), rest);
        } else if let Some(value) = parameter.strip_prefix("keyid=\"") {
            let (key_id, rest) = split_text(value)?;
            (is_twice, text) = (stated.key_id.replace(key_id).is_some(), rest);
        } else if let Some(value) = parameter.strip_prefix("expires=") {
            let (unix_s, rest) = split_integer(value)?;
            (is_twice, text) = (stated.expires_unix_s.replace(unix_s).is_some(), rest);
        } else {
            let rest = parameter.strip_prefix("tag=\"tw-v1\"")?;
            (is_twice, text) = (std::mem::replace(&mut is_tagged, true), rest);
        }
        if is_twice {
            return None;
        }
    }
    is_tagged.then_some(stated)
}

/// An integer without a sign, of up to 15 digits.
fn split_integer(text: &str) -> Option<(i64, &str)> {
    let (digits, rest) = split_while(text, Class::DIGIT);
    if !(1..=15).contains(&digits.len()) || rest.starts_with('.') {
        return None;
    }
    let value = digits.bytes().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((value, rest))
}

/// What stands before the next quote. Whether it is a key, nonce or algorithm is judged with it, and
/// none of these has a backslash in it, or anything that is no visible ASCII.
fn split_text(text: &str) -> Option<(&str, &str)> {
    let (value, rest) = text.split_at_checked(quote_at(text.as_bytes())?)?;
    Some((value, rest.strip_prefix('"')?))
}

/// Where the first quote is, eight bytes at a time: a byte that becomes zero borrows from its highest
/// bit, and none before it does.
fn quote_at(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word) ^ QUOTES;
        let zeros = word.wrapping_sub(ONES) & !word & HIGHEST;
        if zeros != 0 {
            return usize::try_from(zeros.trailing_zeros() / 8).ok().map(|place| at + place);
        }
        at += 8;
    }
    bytes.get(at..)?.iter().position(|byte| *byte == b'"').map(|place| at + place)
}

fn split_while(text: &str, class: Class) -> (&str, &str) {
    let end = text.bytes().position(|byte| !class.has(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::super::{TAG, profile::read_any};
    use super::*;
    use proptest::prelude::*;

    const USUAL: [&str; 4] = [
        r#"sig1=("@method" "@target-uri" "content-digest" "content-type" "idempotency-key");created=1790000000;nonce="w3fAAAAAAAAAAAAAAAAAAA";alg="hmac-sha256";keyid="k_7Qm";tag="tw-v1""#,
        r#"*a-1.b_=("@method" "@target-uri" "content-type" "content-digest");tag="tw-v1";expires=30;created=0;keyid="!(,;=~";nonce="w3fAAAAAAAAAAAAAAA-/_+==""#,
        r#"s=("@method" "@target-uri" "idempotency-key");nonce="0000000000000000";alg="ed25519";keyid="0";created=253402300799;tag="tw-v1""#,
        r#"s=("@method" "@target-uri");created=1;nonce="0000000000000000";keyid="0";tag="tw-v1""#,
    ];

    /// Whether the text is usual; if it is, it must read the same in the other way.
    fn is_usual(text: &str) -> bool {
        let Some(usual) = read(text) else { return false };
        assert_eq!(read_any(text).as_ref(), Ok(&Some(usual)), "{text}");
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text}");
        true
    }

    /// Pieces that mean something to one reader or the other.
    fn pieces() -> Vec<String> {
        let mut pieces: Vec<String> =
            ["", ";x", "; ", ", a=1", ";tag=x", "-1", "1.5", "\\\"", "\\\\", "0123456789012345"]
                .map(str::to_owned)
                .to_vec();
        pieces.extend((b' '..=b'~').map(|byte| char::from(byte).to_string()));
        pieces.extend(["\t", "\n", "\r\n ", "\0", "\x7f", "é", "€"].map(str::to_owned));
        for text in USUAL {
            pieces.extend(text.split_inclusive([';', ' ', '=', '"', ')']).map(str::to_owned));
            pieces.extend(text.split(';').map(|part| format!(";{part}")));
        }
        pieces
    }

    #[test]
    fn the_first_quote_is_found_wherever_it_stands() {
        for length in 0..40 {
            for (other, first) in [b'a', b'#', b'!', 0, 0xa2].into_iter().zip(0..) {
                let mut bytes = vec![other; length];
                assert_eq!(quote_at(&bytes), None);
                for place in (first..length).rev() {
                    bytes[place] = b'"';
                    assert_eq!(quote_at(&bytes), Some(place));
                }
            }
        }
    }

    #[test]
    fn the_usual_reads_the_same_in_both_ways() {
        for text in USUAL {
            assert!(is_usual(text), "{text}");
        }
        assert!(LISTS.iter().all(|(list, components)| {
            let names: Vec<_> =
                components.iter().map(|one| format!("\"{}\"", one.name())).collect();
            *list == format!("({})", names.join(" "))
        }));
        assert_eq!(TAG, "tw-v1");
    }

    #[test]
    fn every_single_change_reads_the_same_or_is_left_to_the_other() {
        let (pieces, mut usual) = (pieces(), 0);
        for text in USUAL {
            for at in 0..=text.len() {
                for piece in &pieces {
                    for taken in [0, 1, piece.len()] {
                        let end = (at + taken).min(text.len());
                        let changed = [&text[..at], piece, &text[end..]].concat();
                        usual += u32::from(is_usual(&changed));
                    }
                }
            }
        }
        assert!(usual > 10_000, "{usual}");
    }

    #[test]
    fn what_is_not_usual_is_left_to_the_other() {
        for (text, changed) in [
            ("sig1=", "Sig1="),
            ("sig1=", "1=("),
            ("sig1=", "="),
            ("created=1790000000", "created=-1790000000"),
            ("created=1790000000", "created=1790000000.0"),
            ("created=1790000000", "created=1790000000179000"),
            ("created=1790000000", "created="),
            (";created=1790000000", "; created=1790000000"),
            (";created=1790000000", ";created=1790000000;created=1790000000"),
            ("k_7Qm", "k\\\"7Qm"),
            ("k_7Qm", "k\t7Qm"),
            ("hmac-sha256", "rsa-pss-sha512"),
            ("tw-v1", "tw-v2"),
            (";tag=\"tw-v1\"", ""),
            (";tag=\"tw-v1\"", ";tag=\"tw-v1\";x"),
            (";tag=\"tw-v1\"", ";tag=\"tw-v1\" "),
            (";tag=\"tw-v1\"", ";tag=\"tw-v1\", b=()"),
            ("\"@method\" ", ""),
            ("\"@method\" ", "\"@method\"  "),
            ("\"@method\" ", "\"@method\";req "),
            ("\"@method\" ", "\"@method\" \"@method\" "),
        ] {
            let other = USUAL[0].replacen(text, changed, 1);
            assert_ne!(other, USUAL[0]);
            assert!(!is_usual(&other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn texts_of_any_pieces_read_the_same_or_are_left_to_the_other(
            head in 0..USUAL.len(),
            parts in proptest::collection::vec((0..1_000_usize, 0..300_usize, 0..30_usize), 0..8),
        ) {
            let pieces = pieces();
            let mut text = USUAL[head].to_owned();
            for (piece, at, taken) in parts {
                let at = text.floor_char_boundary(at);
                let end = text.floor_char_boundary(at + taken);
                text.replace_range(at..end, &pieces[piece % pieces.len()]);
            }
            is_usual(&text);
        }
    }
}
