//! The request as it was received, and how its fields are read.

use std::fmt;

use super::SignatureError;

/// Longest request target, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

const MAX_METHOD_BYTES: usize = 32;

/// The header fields of a request.
pub trait Headers: Sync {
    /// The value of every line of the field `name` (in lower case), in the order received.
    fn values(&self, name: &str) -> Vec<&[u8]>;
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for &[(N, V)] {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.iter()
            .filter(|(other, _)| other.as_ref().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
            .collect()
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

impl Request<'_> {
    /// Whether method and target are in their form, so that neither can look like another line of
    /// what is signed.
    pub(super) fn check(&self) -> Result<(), SignatureError> {
        let method = (1..=MAX_METHOD_BYTES).contains(&self.method.len())
            && self.method.bytes().all(is_token_byte);
        let target = self.target.len() <= MAX_TARGET_BYTES
            && self.target.starts_with('/')
            && self.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if method && target { Ok(()) } else { Err(SignatureError::Malformed) }
    }

    /// The lines of one field joined by a comma and a space, each without the white space around it
    /// (RFC 9421 section 2.1), or nothing if there is no such field. A line that was folded, or has
    /// other than ASCII, is refused: nobody agrees on what was signed.
    pub(super) fn field(
        &self,
        name: &str,
        max_bytes: usize,
    ) -> Result<Option<String>, SignatureError> {
        let lines = self.headers.values(name);
        if lines.is_empty() {
            return Ok(None);
        }
        let mut joined = String::new();
        for (position, line) in lines.into_iter().enumerate() {
            let line = std::str::from_utf8(line).map_err(|_| SignatureError::Malformed)?;
            let separator = if position == 0 { "" } else { ", " };
            if joined.len().saturating_add(separator.len()).saturating_add(line.len()) > max_bytes
                || !line.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
            {
                return Err(SignatureError::Malformed);
            }
            joined.push_str(separator);
            joined.push_str(line.trim_matches([' ', '\t']));
        }
        Ok(Some(joined))
    }
}

impl fmt::Debug for Request<'_> {
    /// Headers and body may hold credentials; they are not shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request({} {} {})", self.method, self.authority, self.target)
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
