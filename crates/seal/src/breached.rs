//! Passwords that attackers try first, known without asking anybody: a table of hashes in the
//! program (NIST SP 800-63B-4 section 3.1.1.2; OWASP ASVS 5.0.0 V6.2.4 and V6.2.12).
//!
//! ```text
//! 65,536 bytes     how many hashes begin with each 16 bits
//! 2 bytes for each the other 16 bits of all hashes in order, little-endian
//! ```
//! The hash is 64-bit FNV-1a, its halves xored, of the password in lower case. One in about nine
//! thousand passwords that nobody has leaked is taken for one that was; its owner chooses another.
//! `cargo xtask passwords` makes the table and says which passwords are in it.

use crate::Password;

static TABLE: &[u8; 1024 * 1024] = include_bytes!("../data/breached-passwords.bin");

const BUCKETS: usize = 1 << 16;

/// Whether the whole password, whatever its case, is a common or breached one.
pub fn is_breached(password: &Password) -> bool {
    contains(hash(password.expose()))
}

fn contains(hash: u32) -> bool {
    let [first, second, third, fourth] = hash.to_be_bytes();
    let (counts, rests) = TABLE.split_at(BUCKETS);
    let bucket = usize::from(u16::from_be_bytes([first, second]));
    let Some((before, [count, ..])) = counts.split_at_checked(bucket) else {
        return false;
    };
    let skipped = before.iter().map(|count| usize::from(*count)).sum();
    let (rests, _) = rests.as_chunks::<2>();
    rests.iter().skip(skipped).take(usize::from(*count)).any(|rest| *rest == [fourth, third])
}

fn hash(password: &str) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut buffer = [0; 4];
    for character in password.chars().flat_map(char::to_lowercase) {
        for byte in character.encode_utf8(&mut buffer).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    u32::try_from(folded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SecretString, SystemRandomness, checked_text::random_base62};

    fn password(text: &str) -> Password {
        Password::new(&SecretString::new(text.to_owned())).unwrap()
    }

    #[test]
    fn fnv_1a_of_the_published_value() {
        // draft-eastlake-fnv: 64-bit FNV-1a of "foobar" is 85944171f73967e8.
        assert_eq!(hash("foobar"), 0x8594_4171 ^ 0xf739_67e8);
        assert_eq!(hash("FooBar"), hash("foobar"));
    }

    #[test]
    fn the_table_is_whole_and_in_order() {
        let (counts, rests) = TABLE.split_at(BUCKETS);
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        assert_eq!(2 * total, rests.len());
        let mut rests = rests.as_chunks::<2>().0.iter().map(|rest| u16::from_le_bytes(*rest));
        for count in counts {
            let bucket: Vec<u16> = rests.by_ref().take(usize::from(*count)).collect();
            assert!(bucket.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn what_everybody_uses_is_known_in_any_case() {
        for text in [
            "password",
            "12345678",
            "PassWord1",
            "qwertyuiop",
            "1q2w3e4r5t6y",
            "passwordpassword",
            "qwertyuiopasdfghjkl",
            "ILOVEYOUFOREVER",
            "livefastdieslow",
            "hockeyisthebest",
        ] {
            assert!(is_breached(&password(text)), "{text}");
        }
    }

    #[test]
    fn only_the_whole_password_counts() {
        for text in ["livefastdieslow, not", "xlivefastdieslow", "livefastdies low"] {
            assert!(!is_breached(&password(text)), "{text}");
        }
    }

    #[test]
    fn what_nobody_leaked_is_rarely_taken_for_it() {
        let mut system = SystemRandomness::new();
        let taken =
            (0..2_000).filter(|_| is_breached(&password(&random_base62(20, &mut system)))).count();
        // A quarter of one is expected. More than ten happen once in 10^14 runs.
        assert!(taken <= 10, "{taken} of 2,000");
    }

    #[test]
    fn first_and_last_bucket_are_read() {
        let (counts, rests) = TABLE.split_at(BUCKETS);
        let (first, last) = (counts.iter().position(|count| *count > 0).unwrap(), {
            counts.iter().rposition(|count| *count > 0).unwrap()
        });
        for (bucket, rest) in [(first, &rests[..2]), (last, &rests[rests.len() - 2..])] {
            let [third, fourth] = [rest[1], rest[0]];
            let [first, second] = u16::try_from(bucket).unwrap().to_be_bytes();
            assert!(contains(u32::from_be_bytes([first, second, third, fourth])));
        }
    }
}
