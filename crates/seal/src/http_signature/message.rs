//! The request as it was received, and how its fields are read.

use std::{borrow::Cow, fmt};

use super::SignatureError;

/// Longest request target, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

const MAX_METHOD_BYTES: usize = 32;

/// The header fields of a request.
pub trait Headers: Sync {
    /// Tells the value of every line of the field `name` (in lower case), in the order received.
    fn each<'h>(&'h self, name: &str, tell: &mut dyn FnMut(&'h [u8]));
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for &[(N, V)] {
    fn each<'h>(&'h self, name: &str, tell: &mut dyn FnMut(&'h [u8])) {
        for (other, value) in *self {
            if other.as_ref().eq_ignore_ascii_case(name) {
                tell(value.as_ref());
            }
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
            && self
                .target
                .bytes()
                .fold(true, |all, byte| all & (byte.is_ascii_graphic() && byte != b'#'));
        if method && target { Ok(()) } else { Err(SignatureError::Malformed) }
    }

    /// How many lines the field has.
    pub(super) fn lines(&self, name: &str) -> usize {
        let mut lines = 0_usize;
        self.headers.each(name, &mut |_| lines = lines.saturating_add(1));
        lines
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
        self.headers.each(name, &mut |line| {
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
    let fits = length.saturating_add(separator.len()).saturating_add(line.len()) <= max_bytes;
    // Every byte is looked at, so that many are looked at together.
    let is_plain =
        fits && line.iter().fold(true, |all, byte| all & matches!(byte, b'\t' | b' '..=b'~'));
    let line = std::str::from_utf8(line).ok().filter(|_| is_plain);
    let line = line.ok_or(SignatureError::Malformed)?.trim_matches([' ', '\t']);
    Ok(match before {
        None => Cow::Borrowed(line),
        Some(before) => Cow::Owned([&before, separator, line].concat()),
    })
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
    /// Both alphabets of base64, with padding.
    pub(super) const NONCE: Self = Self(16);
    /// A key of a dictionary, after its first byte.
    pub(super) const KEY: Self = Self(32);
    /// Visible, and needs no escape in a quoted text.
    pub(super) const NAME: Self = Self(64);
    /// A decimal digit.
    pub(super) const DIGIT: Self = Self(128);

    pub(super) fn has(self, byte: u8) -> bool {
        CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & self.0 != 0)
    }

    pub(super) fn has_all(self, text: &str) -> bool {
        text.bytes().all(|byte| self.has(byte))
    }
}

const CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the bounds")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let (mut byte, mut place) = (0_u8, 0);
    loop {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let plain = byte != b'"' && byte != b'\\';
        let token = alphanumeric
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        let sets = [
            (token, Class::TOKEN),
            (token || matches!(byte, b':' | b'/'), Class::LONG_TOKEN),
            (plain && matches!(byte, b' '..=b'~'), Class::TEXT),
            (alphanumeric || matches!(byte, b'+' | b'/' | b'='), Class::BASE64),
            (alphanumeric || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'), Class::NONCE),
            (
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'_' | b'-' | b'.' | b'*'),
                Class::KEY,
            ),
            (plain && byte.is_ascii_graphic(), Class::NAME),
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
