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
    let mut digits = [0; 64];
    for part in bytes.chunks(digits.len() / 2) {
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(part) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 0x0f)];
        }
        let digits = digits.get(..part.len() * 2).unwrap_or_default();
        text.push_str(std::str::from_utf8(digits).unwrap_or_default());
    }
}

/// Reads 64 lower-case hex digits; nothing if they are not that.
pub(crate) fn hex_decode_array(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut values = [0; 64];
    let mut largest = 0;
    // Every digit is looked at, many of them together.
    for (value, digit) in values.iter_mut().zip(digits) {
        *value = hex_value_or_more(*digit);
        largest = largest.max(*value);
    }
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(values.as_chunks().0) {
        *byte = high << 4 | low;
    }
    (largest <= 0x0f).then_some(bytes)
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

/// Reads standard base64 with padding into `bytes`; how many there were. A text of more bytes than
/// fit is no encoding of what was asked for.
pub(crate) fn base64_decode_into(text: &str, bytes: &mut [u8]) -> Result<usize, EncodingError> {
    BASE64.decode_slice(text, bytes).map_err(|_| EncodingError)
}

/// Reads the 44 characters of 32 bytes in standard base64; nothing if they are not that.
pub(crate) fn base64_decode_array(text: &str) -> Option<[u8; 32]> {
    let mut characters: [u8; 44] = text.as_bytes().try_into().ok()?;
    // A zero in place of the padding: of the last three bytes nothing may be left but zero.
    let [.., padding] = &mut characters;
    if std::mem::replace(padding, b'A') != b'=' {
        return None;
    }
    let value =
        |character: u8| BASE64_VALUES.get(usize::from(character)).map_or(NONE, |value| *value);
    let mut bytes = [0; 33];
    let mut all = 0;
    for (triple, quad) in bytes.as_chunks_mut().0.iter_mut().zip(characters.as_chunks().0) {
        let [first, second, third, fourth] = quad.map(value);
        all |= first | second | third | fourth;
        *triple = [first << 2 | second >> 4, second << 4 | third >> 2, third << 6 | fourth];
    }
    let (bytes, rest) = bytes.split_first_chunk()?;
    (all < NONE && rest == [0]).then_some(*bytes)
}

/// A bit that no value of base64 has.
const NONE: u8 = 0x40;

/// What each character of standard base64 is worth.
const BASE64_VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        base64_value(&mut values, characters, value);
        value += 1;
    }
    values
};

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated by the compiler, which checks the bounds"
)]
const fn base64_value(values: &mut [u8; 256], characters: &[u8; 64], value: u8) {
    values[characters[value as usize] as usize] = value;
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

const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

/// The value of a digit, and more than any has for what is none.
const fn hex_value_or_more(digit: u8) -> u8 {
    let (decimal, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
    if decimal < 10 {
        decimal
    } else if letter < 6 {
        letter + 10
    } else {
        u8::MAX
    }
}

fn hex_value(digit: u8) -> Result<u8, EncodingError> {
    Some(hex_value_or_more(digit)).filter(|value| *value <= 0x0f).ok_or(EncodingError)
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

    #[test]
    fn thirty_two_bytes_are_read_as_any_others() {
        let whole = |bytes: Vec<u8>| bytes.try_into().ok();
        let bytes: Vec<u8> = (0..=255).collect();
        for bytes in bytes.chunks(32) {
            let (hex, base64) = (hex_encode(bytes), base64_encode(bytes));
            assert_eq!(hex_decode_array(&hex).unwrap(), *bytes);
            assert_eq!(base64_decode_array(&base64).unwrap(), *bytes);
            for text in [hex, base64, base64_encode(&bytes[1..]), base64_encode(&bytes[2..])] {
                let places = (0..text.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte)));
                for (at, byte) in places {
                    let mut changed = text.as_bytes().to_vec();
                    changed[at] = byte;
                    let Ok(changed) = String::from_utf8(changed) else { continue };
                    let in_hex = hex_decode(&changed).ok().and_then(whole);
                    assert_eq!(hex_decode_array(&changed), in_hex, "{changed}");
                    let in_base64 = base64_decode(&changed).ok().and_then(whole);
                    assert_eq!(base64_decode_array(&changed), in_base64, "{changed}");
                }
            }
        }
        let many = bytes.repeat(3);
        assert_eq!(hex_decode(&hex_encode(&many[1..])).unwrap(), many[1..]);
    }
}
