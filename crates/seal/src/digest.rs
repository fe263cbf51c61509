//! SHA-256 digests, and the three text forms of bytes that the rest of the gateway uses: hex,
//! base64 and base64url.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Standard alphabet, padded, one text for one value (RFC 4648 section 4).
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());

/// Standard alphabet without padding, as the PHC string format writes it.
const BASE64_UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// URL-safe alphabet without padding, one text for one value (RFC 4648 section 5).
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The largest text that is decoded, in bytes. Larger bodies never travel as base64 or hex.
pub const MAX_ENCODED_BYTES: usize = 8 * 1024 * 1024;

/// A text that is not hex or base64 of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingError;

impl fmt::Display for EncodingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the text is not a valid encoding of the bytes asked for")
    }
}

impl std::error::Error for EncodingError {}

/// 32 bytes of SHA-256 (FIPS 180-4). Public by nature: compare secrets with
/// [`crate::constant_time_equal`], not with this type's `==`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Bytes that are already a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::from_context(digest(&SHA256, bytes))
    }

    /// The digest of the parts as if they were one text. It does not remember where one part ended:
    /// give the parts fixed lengths or length prefixes where that matters.
    pub fn sha256_parts(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        Self::from_context(context.finish())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn from_context(digest: aws_lc_rs::digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = EncodingError;

    fn try_from(bytes: &[u8]) -> Result<Self, EncodingError> {
        bytes.try_into().map(Self).map_err(|_| EncodingError)
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex_encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = EncodingError;

    /// Reads 64 lower-case hex digits.
    fn from_str(text: &str) -> Result<Self, EncodingError> {
        hex_decode(text)?.as_slice().try_into()
    }
}

/// Lower-case hex.
pub fn hex_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    hex_encode_to(bytes, &mut text);
    text
}

/// The same at the end of `text`.
pub(crate) fn hex_encode_to(bytes: &[u8], text: &mut String) {
    text.extend(bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).map(hex_digit));
}

/// Reads lower-case hex; upper case is refused, so that one value has one text.
pub fn hex_decode(text: &str) -> Result<Vec<u8>, EncodingError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || text.len() > MAX_ENCODED_BYTES {
        return Err(EncodingError);
    }
    pairs.iter().map(|&[high, low]| Ok(hex_value(high)? << 4 | hex_value(low)?)).collect()
}

/// Standard base64 with padding (RFC 4648 section 4).
pub fn base64_encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The same into `text`, which must have just the length; says whether it had.
pub(crate) fn base64_encode_into(bytes: &[u8], text: &mut [u8]) -> bool {
    BASE64.encode_slice(bytes, text).is_ok_and(|written| written == text.len())
}

/// Reads standard base64 with padding into `bytes`; how many there were. A text of more bytes than
/// fit is no encoding of what was asked for.
pub(crate) fn base64_decode_into(text: &str, bytes: &mut [u8]) -> Result<usize, EncodingError> {
    BASE64.decode_slice(text, bytes).map_err(|_| EncodingError)
}

/// Reads standard base64 with padding. Loose trailing bits and missing padding are refused, so that
/// one value has one text.
pub fn base64_decode(text: &str) -> Result<Vec<u8>, EncodingError> {
    decode(&BASE64, text)
}

/// Standard base64 without padding.
pub(crate) fn base64_unpadded_encode(bytes: &[u8]) -> String {
    BASE64_UNPADDED.encode(bytes)
}

/// Reads standard base64 without padding, one text for one value.
pub(crate) fn base64_unpadded_decode(text: &str) -> Result<Vec<u8>, EncodingError> {
    decode(&BASE64_UNPADDED, text)
}

/// URL-safe base64 without padding (RFC 4648 section 5).
pub fn base64url_encode(bytes: &[u8]) -> String {
    BASE64_URL.encode(bytes)
}

/// Reads URL-safe base64 without padding, one text for one value.
pub fn base64url_decode(text: &str) -> Result<Vec<u8>, EncodingError> {
    decode(&BASE64_URL, text)
}

fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, EncodingError> {
    if text.len() > MAX_ENCODED_BYTES {
        return Err(EncodingError);
    }
    engine.decode(text).map_err(|_| EncodingError)
}

fn hex_digit(value: u8) -> char {
    char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 })
}

fn hex_value(digit: u8) -> Result<u8, EncodingError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(EncodingError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_standard_vectors() {
        // FIPS 180-4 examples: the empty message and "abc".
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::sha256(b"").to_string(), empty);
        assert_eq!(Digest::sha256(b"abc").to_string(), abc);
        assert_eq!(Digest::sha256_parts(&[b"a", b"", b"bc"]), Digest::sha256(b"abc"));
        assert_eq!(abc.parse::<Digest>().unwrap(), Digest::sha256(b"abc"));
    }

    #[test]
    fn one_value_has_one_text() {
        assert_eq!(hex_encode(&[0x00, 0x9a, 0xff]), "009aff");
        assert_eq!(hex_decode("009aff").unwrap(), [0x00, 0x9a, 0xff]);
        for wrong in ["0", "0G", "FF", "é0", " 0"] {
            assert_eq!(hex_decode(wrong), Err(EncodingError), "{wrong:?}");
        }
        assert_eq!(base64_encode(&[0xfb, 0xff]), "+/8=");
        assert_eq!(base64url_encode(&[0xfb, 0xff]), "-_8");
        assert_eq!(base64_decode("+/8=").unwrap(), [0xfb, 0xff]);
        assert_eq!(base64url_decode("-_8").unwrap(), [0xfb, 0xff]);
        for wrong in ["+/8", "+/9=", "-_8=", "+/8=\n", " +/8="] {
            assert_eq!(base64_decode(wrong), Err(EncodingError), "{wrong:?}");
        }
        for wrong in ["-_8=", "-_9", "+/8"] {
            assert_eq!(base64url_decode(wrong), Err(EncodingError), "{wrong:?}");
        }
        assert!("abc".parse::<Digest>().is_err());
    }
}
