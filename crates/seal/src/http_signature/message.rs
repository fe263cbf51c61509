//! The request as it was received, and how its fields are read.

use std::{borrow::Cow, fmt};

use super::{MAX_FIELD_BYTES, SignatureError};

/// Longest request target, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

const MAX_METHOD_BYTES: usize = 32;

/// The header fields of a request.
pub trait Headers: Sync {
    /// Tells name and value of every line, in the order received; the name in any case.
    fn each<'h>(&'h self, tell: &mut dyn FnMut(&'h str, &'h [u8]));
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for &[(N, V)] {
    fn each<'h>(&'h self, tell: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in *self {
            tell(name.as_ref(), value.as_ref());
        }
    }
}

/// A field that signatures are read from, or that ours cover: found in one pass over all fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    SignatureInput,
    Signature,
    Authorization,
    ContentDigest,
    ContentType,
    IdempotencyKey,
    SimpleKey,
    SimpleTimestamp,
    SimpleNonce,
    SimpleSignature,
}

impl Known {
    /// The field with this name, which is in lower case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "signature-input" => Self::SignatureInput,
            "signature" => Self::Signature,
            "authorization" => Self::Authorization,
            "content-digest" => Self::ContentDigest,
            "content-type" => Self::ContentType,
            "idempotency-key" => Self::IdempotencyKey,
            "x-tw-key" => Self::SimpleKey,
            "x-tw-timestamp" => Self::SimpleTimestamp,
            "x-tw-nonce" => Self::SimpleNonce,
            "x-tw-signature" => Self::SimpleSignature,
            _ => return None,
        })
    }

    /// The field with this name, in any case.
    fn parse_any_case(name: &str) -> Option<Self> {
        // By the length first: most fields have none of these.
        if !matches!(name.len(), 8..=10 | 12..=15) {
            return None;
        }
        Self::parse(name).or_else(|| {
            let is_lower = are_all(name.as_bytes(), |byte| !byte.is_ascii_uppercase());
            if is_lower { None } else { Self::parse(&name.to_ascii_lowercase()) }
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SignatureInput => "signature-input",
            Self::Signature => "signature",
            Self::Authorization => "authorization",
            Self::ContentDigest => "content-digest",
            Self::ContentType => "content-type",
            Self::IdempotencyKey => "idempotency-key",
            Self::SimpleKey => "x-tw-key",
            Self::SimpleTimestamp => "x-tw-timestamp",
            Self::SimpleNonce => "x-tw-nonce",
            Self::SimpleSignature => "x-tw-signature",
        }
    }
}

/// A request with the fields that a signature is read from, found.
#[derive(Debug)]
pub struct Received<'r> {
    pub(super) request: Request<'r>,
    known: KnownLines<'r>,
    /// The values of fields that have several lines.
    joined: Vec<(Known, Result<String, SignatureError>)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct KnownLines<'r> {
    signature_input: Lines<'r>,
    signature: Lines<'r>,
    authorization: Lines<'r>,
    content_digest: Lines<'r>,
    content_type: Lines<'r>,
    idempotency_key: Lines<'r>,
    simple_key: Lines<'r>,
    simple_timestamp: Lines<'r>,
    simple_nonce: Lines<'r>,
    simple_signature: Lines<'r>,
}

/// The first line of a field, and how many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Lines<'r> {
    first: &'r [u8],
    count: usize,
}

impl<'r> Received<'r> {
    /// Goes over the header fields once.
    pub fn new(request: Request<'r>) -> Self {
        let mut known_lines = KnownLines::default();
        let mut joined: Vec<(Known, _)> = Vec::new();
        request.headers.each(&mut |name, line| {
            let Some(known) = Known::parse_any_case(name) else { return };
            let lines = known_lines.of_mut(known);
            lines.count = lines.count.saturating_add(1);
            match lines.count {
                1 => lines.first = line,
                2 => joined.push((known, Err(SignatureError::Malformed))),
                _ => {}
            }
        });
        for (known, value) in &mut joined {
            let field = request.field(known.name(), MAX_FIELD_BYTES);
            *value = field.map(|field| field.unwrap_or_default().into_owned());
        }
        Self { request, known: known_lines, joined }
    }

    /// How many lines the field has.
    pub(super) fn count(&self, known: Known) -> usize {
        self.known.of(known).count
    }

    /// The one line of the field as it came, of which nothing is known yet but that it is a text of at
    /// most [`MAX_FIELD_BYTES`]; nothing if it is none, or if there are other lines.
    pub(super) fn raw(&self, known: Known) -> Option<&str> {
        let Lines { first, count } = self.known.of(known);
        if count != 1 || first.len() > MAX_FIELD_BYTES {
            return None;
        }
        std::str::from_utf8(first).ok()
    }

    /// The value of the field as [`Request::field`] has it, at most [`MAX_FIELD_BYTES`] long.
    pub(super) fn field(&self, known: Known) -> Result<Option<&str>, SignatureError> {
        let lines = self.known.of(known);
        match lines.count {
            0 => Ok(None),
            1 => plain(lines.first, MAX_FIELD_BYTES).map(Some),
            _ => {
                let joined = self.joined.iter().find(|(other, _)| *other == known);
                joined.map(|(_, value)| value.as_deref().map_err(|error| *error)).transpose()
            }
        }
    }
}

impl<'r> KnownLines<'r> {
    fn of(&self, known: Known) -> Lines<'r> {
        match known {
            Known::SignatureInput => self.signature_input,
            Known::Signature => self.signature,
            Known::Authorization => self.authorization,
            Known::ContentDigest => self.content_digest,
            Known::ContentType => self.content_type,
            Known::IdempotencyKey => self.idempotency_key,
            Known::SimpleKey => self.simple_key,
            Known::SimpleTimestamp => self.simple_timestamp,
            Known::SimpleNonce => self.simple_nonce,
            Known::SimpleSignature => self.simple_signature,
        }
    }

    fn of_mut(&mut self, known: Known) -> &mut Lines<'r> {
        match known {
            Known::SignatureInput => &mut self.signature_input,
            Known::Signature => &mut self.signature,
            Known::Authorization => &mut self.authorization,
            Known::ContentDigest => &mut self.content_digest,
            Known::ContentType => &mut self.content_type,
            Known::IdempotencyKey => &mut self.idempotency_key,
            Known::SimpleKey => &mut self.simple_key,
            Known::SimpleTimestamp => &mut self.simple_timestamp,
            Known::SimpleNonce => &mut self.simple_nonce,
            Known::SimpleSignature => &mut self.simple_signature,
        }
    }
}

/// A request as it was received. Nothing in it is decoded or normalised.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, in its own case.
    pub method: &'a str,
    /// Path and query in the bytes that were sent: the origin form of HTTP/1.1, `:path` of HTTP/2.
    pub target: &'a str,
    /// `Host` or `:authority`.
    pub authority: &'a str,
    /// The header fields.
    pub headers: &'a dyn Headers,
    /// The whole body; empty when there is none.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Whether method and target are in their form, so that neither can look like another line of
    /// what is signed.
    pub(super) fn check(&self) -> Result<(), SignatureError> {
        let method = (1..=MAX_METHOD_BYTES).contains(&self.method.len())
            && Class::TOKEN.has_all(self.method);
        let target = self.target.len() <= MAX_TARGET_BYTES
            && self.target.starts_with('/')
            && are_all(self.target.as_bytes(), |byte| byte.is_ascii_graphic() && byte != b'#');
        if method && target { Ok(()) } else { Err(SignatureError::Malformed) }
    }

    /// The lines of one field joined by a comma and a space, each without the white space around it
    /// (RFC 9421 section 2.1), or nothing if there is no such field. A line that was folded, or has
    /// other than ASCII, is refused: nobody agrees on what was signed.
    pub(super) fn field(
        &self,
        name: &str,
        max_bytes: usize,
    ) -> Result<Option<Cow<'a, str>>, SignatureError> {
        let mut joined: Result<Option<Cow<'a, str>>, SignatureError> = Ok(None);
        self.headers.each(&mut |other, line| {
            if !other.eq_ignore_ascii_case(name) {
                return;
            }
            joined = std::mem::replace(&mut joined, Ok(None))
                .and_then(|before| join(before, line, max_bytes).map(Some));
        });
        joined
    }
}

/// A line alone is taken as it lies there; only several are copied.
fn join<'a>(
    before: Option<Cow<'a, str>>,
    line: &'a [u8],
    max_bytes: usize,
) -> Result<Cow<'a, str>, SignatureError> {
    let separator = if before.is_some() { ", " } else { "" };
    let length = before.as_ref().map_or(0, |before| before.len());
    let line = plain(line, max_bytes.saturating_sub(length.saturating_add(separator.len())))?;
    Ok(match before {
        None => Cow::Borrowed(line),
        Some(before) => Cow::Owned([&before, separator, line].concat()),
    })
}

/// A line without the white space around it.
fn plain(line: &[u8], max_bytes: usize) -> Result<&str, SignatureError> {
    let is_plain =
        line.len() <= max_bytes && are_all(line, |byte| matches!(byte, b'\t' | b' '..=b'~'));
    let line = std::str::from_utf8(line).ok().filter(|_| is_plain);
    // Of white space it has these two alone: blanks and tabs.
    Ok(line.ok_or(SignatureError::Malformed)?.trim_ascii())
}

impl fmt::Debug for Request<'_> {
    /// Headers and body may hold credentials; they are not shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({} {} {})", self.method, self.authority, self.target)
    }
}

/// Sets of bytes, each a bit in [`CLASSES`].
#[derive(Clone, Copy)]
pub(super) struct Class(u8);

impl Class {
    /// `tchar` of RFC 9110 section 5.6.2.
    pub(super) const TOKEN: Self = Self(1);
    /// What a token of Structured Fields goes on with (RFC 9651 section 3.3.4).
    pub(super) const LONG_TOKEN: Self = Self(2);
    /// What stands in a quoted text by itself.
    pub(super) const TEXT: Self = Self(4);
    /// Base64 of the standard alphabet, with padding.
    pub(super) const BASE64: Self = Self(8);
    /// A key of a dictionary, after its first byte.
    pub(super) const KEY: Self = Self(16);
    /// A decimal digit.
    pub(super) const DIGIT: Self = Self(32);

    pub(super) fn has(self, byte: u8) -> bool {
        CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & self.0 != 0)
    }

    pub(super) fn has_all(self, text: &str) -> bool {
        text.bytes().all(|byte| self.has(byte))
    }
}

/// Whether every byte is one of a kind. All are looked at, many of them together.
pub(super) fn are_all(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> bool {
    let by_chunks = are_all_by_chunks::<16>(bytes, &is_one);
    let by_chunks = by_chunks.or_else(|| are_all_by_chunks::<8>(bytes, &is_one));
    by_chunks.unwrap_or_else(|| bytes.iter().all(|byte| is_one(*byte)))
}

/// The same for at least one chunk.
fn are_all_by_chunks<const N: usize>(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> Option<bool> {
    let last = bytes.last_chunk::<N>()?;
    let (chunks, _) = bytes.as_chunks::<N>();
    let mut others = [0; N];
    // The last one overlaps those before, so that no byte is left over.
    for chunk in chunks.iter().chain([last]) {
        for (other, byte) in others.iter_mut().zip(chunk) {
            *other |= u8::from(!is_one(*byte));
        }
    }
    Some(others.iter().fold(0, |any, other| any | other) == 0)
}

/// Of the standard alphabet of base64, or its padding.
pub(super) const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

const CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the bounds")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let (mut byte, mut place) = (0_u8, 0);
    loop {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let token = alphanumeric
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        let sets = [
            (token, Class::TOKEN),
            (token || matches!(byte, b':' | b'/'), Class::LONG_TOKEN),
            (matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\', Class::TEXT),
            (is_base64(byte), Class::BASE64),
            (
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'_' | b'-' | b'.' | b'*'),
                Class::KEY,
            ),
            (byte.is_ascii_digit(), Class::DIGIT),
        ];
        let mut number = 0;
        while number < sets.len() {
            let (is_in, class) = sets[number];
            if is_in {
                classes[place] |= class.0;
            }
            number += 1;
        }
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
        place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_of_another_kind_is_seen_wherever_it_stands() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert!(are_all(&bytes, |byte| byte == b'a'));
            for place in 0..length {
                bytes[place] = b'b';
                assert!(!are_all(&bytes, |byte| byte == b'a'), "{place} of {length}");
                bytes[place] = b'a';
            }
        }
    }

    #[test]
    fn a_known_field_is_found_in_any_case() {
        for known in [
            Known::SignatureInput,
            Known::Signature,
            Known::Authorization,
            Known::ContentDigest,
            Known::ContentType,
            Known::IdempotencyKey,
            Known::SimpleKey,
            Known::SimpleTimestamp,
            Known::SimpleNonce,
            Known::SimpleSignature,
        ] {
            let name = known.name();
            assert_eq!(Known::parse(name), Some(known));
            assert_eq!(Known::parse_any_case(name), Some(known));
            assert_eq!(Known::parse_any_case(&name.to_ascii_uppercase()), Some(known));
            assert_eq!(Known::parse(&name.to_ascii_uppercase()), None);
            for other in [&name[1..], &format!("{name}s"), &name.replacen('t', "x", 1)] {
                assert_eq!((Known::parse(other), Known::parse_any_case(other)), (None, None));
            }
        }
    }
}
