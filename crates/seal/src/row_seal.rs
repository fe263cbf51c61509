//! What rows of the database are recognized by: a code that only who has the audit log's key can make,
//! and the sum of the codes of many rows.
//!
//! The sum does not depend on an order and changes by what a row had before and has now, so that it
//! costs the same with a million rows as with one (Clarke et al., Incremental Multiset Hash Functions,
//! `ASIACRYPT` 2003, section 5, with a keyed function for the elements). Sums are public only together
//! with a code over them: who could choose one could make it fit.

use crate::{Digest, LedgerKey};
use aws_lc_rs::hmac;
use std::fmt;

const LABEL: &[u8] = b"tradewarden row seals 1";

/// Makes the codes. Its key is derived from the audit log's.
pub struct RowSealer {
    key: hmac::Key,
}

impl RowSealer {
    /// The one that belongs to a log's key.
    pub fn of(key: &LedgerKey) -> Self {
        let seed = hmac::Key::new(hmac::HMAC_SHA256, key.seed().expose());
        let derived = hmac::sign(&seed, LABEL);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// The code of these parts; where one ends counts.
    pub fn code(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(part);
        }
        let mut code = [0; 32];
        code.copy_from_slice(context.sign().as_ref());
        Digest::from_bytes(code)
    }
}

impl fmt::Debug for RowSealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowSealer")
    }
}

/// The sum of codes, modulo 2^256; of none it is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum([u8; 32]);

impl RowSum {
    /// A sum as it was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes, the most significant first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The sum with one more code.
    #[must_use]
    pub fn plus(self, code: &Digest) -> Self {
        let mut carry = 0_u16;
        self.digits(code, |ours, theirs| {
            let sum = u16::from(ours) + u16::from(theirs) + carry;
            carry = sum >> 8;
            sum.to_be_bytes()[1]
        })
    }

    /// The sum without a code that is in it.
    #[must_use]
    pub fn minus(self, code: &Digest) -> Self {
        let mut borrow = 0_u16;
        self.digits(code, |ours, theirs| {
            let difference = 256 + u16::from(ours) - u16::from(theirs) - borrow;
            borrow = u16::from(difference < 256);
            difference.to_be_bytes()[1]
        })
    }

    /// Digit by digit, the least significant first.
    fn digits(mut self, code: &Digest, mut of: impl FnMut(u8, u8) -> u8) -> Self {
        for (ours, theirs) in self.0.iter_mut().zip(code.as_bytes()).rev() {
            *ours = of(*ours, *theirs);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretBytes;

    fn sealer(seed: u8) -> RowSealer {
        let key = LedgerKey::from_seed("test", SecretBytes::new(vec![seed; 32])).unwrap();
        RowSealer::of(&key)
    }

    #[test]
    fn a_code_depends_on_the_key_and_on_where_its_parts_end() {
        let code = sealer(1).code(&[b"ab", b"c"]);
        assert_eq!(code, sealer(1).code(&[b"ab", b"c"]));
        assert_ne!(code, sealer(1).code(&[b"a", b"bc"]));
        assert_ne!(code, sealer(1).code(&[b"ab", b"c", b""]));
        assert_ne!(code, sealer(2).code(&[b"ab", b"c"]));
    }

    #[test]
    fn a_sum_is_of_its_codes_in_any_order_and_loses_what_is_taken_out() {
        let sealer = sealer(1);
        let codes: Vec<_> = (0..50_u8).map(|number| sealer.code(&[&[number]])).collect();
        let all = codes.iter().fold(RowSum::default(), RowSum::plus);
        let back = codes.iter().rev().fold(RowSum::default(), RowSum::plus);
        assert_eq!(all, back);
        let rest = codes.iter().skip(1).fold(all, RowSum::minus);
        assert_eq!(rest, RowSum::default().plus(&codes[0]));
        assert_eq!(rest.minus(&codes[0]), RowSum::default());
    }

    #[test]
    fn a_sum_carries_over_all_its_digits_and_wraps() {
        let (one, most) = (
            Digest::from_bytes({
                let mut one = [0; 32];
                one[31] = 1;
                one
            }),
            RowSum::from_bytes([255; 32]),
        );
        assert_eq!(most.plus(&one), RowSum::default());
        assert_eq!(RowSum::default().minus(&one), most);
    }
}
