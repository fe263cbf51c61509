//! The common shape of everything secret that is printed: `prefix_body_checksum`.
//!
//! The prefix tells a secret scanner what it found, the checksum tells it (and us) that it is
//! really one of ours and not cut or mistyped. The checksum is CRC-32 (IEEE 802.3) over
//! `prefix_body`, as six base62 digits. It is no protection: whoever can forge the body can forge
//! it too.

use zeroize::Zeroizing;

use crate::{Randomness, randomness::random_array};

/// Digits before upper case before lower case; all are unreserved in a URL (RFC 3986 section 2.3)
/// and one word to a double click.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 62^6 is more than 2^32, so six digits always do.
const CHECKSUM_CHARACTERS: usize = 6;

/// `prefix_body_checksum` of the two parts.
pub(crate) fn print(prefix: &str, body: &str) -> String {
    // Sized beforehand: a String that grows would leave pieces of the secret behind.
    let mut text = String::with_capacity(prefix.len() + body.len() + CHECKSUM_CHARACTERS + 2);
    text.push_str(prefix);
    text.push('_');
    text.push_str(body);
    let checksum = checksum(text.as_bytes());
    text.push('_');
    text.push_str(&checksum);
    text
}

/// The body, `length` characters, of a text that has this prefix and the right checksum.
pub(crate) fn parse<'text>(prefix: &str, length: usize, text: &'text str) -> Option<&'text str> {
    let rest = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let (body, suffix) = rest.split_at_checked(length)?;
    let signed = text.get(..prefix.len() + 1 + length)?;
    (suffix.strip_prefix('_')? == checksum(signed.as_bytes())).then_some(body)
}

/// `length` evenly drawn base62 characters, 5.95 bits each.
pub(crate) fn random_base62(length: usize, randomness: &mut dyn Randomness) -> Zeroizing<String> {
    /// The largest multiple of 62 in a byte: bytes from here on would favour the first characters
    /// and are drawn again.
    const FAIR: u8 = 248;
    let mut text = Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        let bytes = Zeroizing::new(random_array::<64>(randomness));
        let missing = length - text.len();
        text.extend(
            bytes
                .iter()
                .filter(|byte| **byte < FAIR)
                .take(missing)
                .map(|byte| base62_digit(u32::from(*byte))),
        );
    }
    text
}

fn checksum(bytes: &[u8]) -> String {
    let mut rest = crc32(bytes);
    let mut digits = ['0'; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

fn base62_digit(value: u32) -> char {
    let digit = usize::try_from(value % 62).ok().and_then(|index| BASE62.get(index));
    char::from(digit.copied().unwrap_or(b'0'))
}

/// CRC-32 with the reflected polynomial 0xEDB88320, as in zip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandomness;

    #[test]
    fn crc32_of_the_check_value() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum(b"123456789"), "3jZRME");
    }

    #[test]
    fn what_is_printed_is_read_back_and_every_change_is_seen() {
        let text = print("twx", "abc_-9");
        assert_eq!(parse("twx", 6, &text), Some("abc_-9"));
        assert_eq!(parse("twy", 6, &text), None);
        assert_eq!(parse("twx", 5, &text), None);
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes.splice(position..=position, *b"~");
            assert_eq!(parse("twx", 6, &String::from_utf8_lossy(&bytes)), None);
            assert_eq!(parse("twx", 6, text.get(..position).unwrap_or_default()), None);
        }
        assert_eq!(parse("twx", 6, &format!("{text}0")), None);
        assert_eq!(parse("twx", 6, "twx_éééé_000000"), None);
    }

    #[test]
    fn every_character_is_drawn() {
        let text = random_base62(5000, &mut SystemRandomness::new());
        assert_eq!(text.len(), 5000);
        for character in BASE62 {
            assert!(text.contains(char::from(*character)));
        }
    }
}
