//! Making guesses expensive: Argon2id (RFC 9106), what it costs, and how that is written down.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::decimal::parse_decimal;

pub(crate) const SALT_BYTES: usize = 16;
pub(crate) const TAG_BYTES: usize = 32;

/// What one guess costs: memory, passes over it, lanes (RFC 9106 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PasswordCost {
    /// Most memory of one hash, in KiB. Also bounds what a damaged row can ask for.
    pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    /// Most passes.
    pub const MAX_PASSES: u32 = 16;
    /// Most lanes.
    pub const MAX_LANES: u32 = 16;

    /// 64 MiB, three passes, four lanes: the second recommended option of RFC 9106 section 4.
    pub const fn standard() -> Self {
        Self { memory_kib: 65_536, passes: 3, lanes: 4 }
    }

    /// Any cost Argon2 can have: at least 8 KiB for each lane, one pass, one lane. It may be far too
    /// cheap, see [`PasswordCost::is_sufficient`].
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Option<Self> {
        let possible = lanes >= 1
            && lanes <= Self::MAX_LANES
            && passes >= 1
            && passes <= Self::MAX_PASSES
            && memory_kib >= 8 * lanes
            && memory_kib <= Self::MAX_MEMORY_KIB;
        if possible { Some(Self { memory_kib, passes, lanes }) } else { None }
    }

    /// Whether it is at least one of the minima of OWASP ASVS 5.0.0 appendix C.
    pub const fn is_sufficient(self) -> bool {
        self.memory_kib >= 47_104
            || (self.memory_kib >= 19_456 && self.passes >= 2)
            || (self.memory_kib >= 12_288 && self.passes >= 3)
    }

    /// Memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub const fn lanes(self) -> u32 {
        self.lanes
    }

    pub(crate) fn is_below(self, other: Self) -> bool {
        self.memory_kib < other.memory_kib || self.passes < other.passes
    }

    /// How a PHC string with this cost begins, up to the salt.
    pub(crate) fn phc_prefix(self) -> String {
        let Self { memory_kib, passes, lanes } = self;
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$")
    }

    /// The cost in a PHC string, and the salt with what follows. Takes the one text there is for a
    /// cost.
    pub(crate) fn split_phc_prefix(text: &str) -> Option<(Self, &str)> {
        let rest = text.strip_prefix("$argon2id$v=19$m=")?;
        let (memory_kib, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let (lanes, rest) = rest.split_once('$')?;
        let number = |text| parse_decimal(text).and_then(|number| u32::try_from(number).ok());
        Some((Self::new(number(memory_kib)?, number(passes)?, number(lanes)?)?, rest))
    }
}

/// A password or code could not be hashed: there is no memory for it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingError;

impl fmt::Display for HashingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("there is not enough memory to hash a password")
    }
}

impl std::error::Error for HashingError {}

/// Argon2id of a secret that the pepper is in already.
pub(crate) fn stretch(
    peppered: &[u8; 32],
    cost: PasswordCost,
    salt: &[u8; SALT_BYTES],
) -> Result<Zeroizing<[u8; TAG_BYTES]>, HashingError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(TAG_BYTES))
        .map_err(|_| HashingError)?;
    let mut tag = Zeroizing::new([0; TAG_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(peppered, salt, &mut *tag)
        .map_err(|_| HashingError)?;
    Ok(tag)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::PasswordCost;

    /// 8 KiB, one pass: for tests of everything but the cost.
    pub(crate) const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_have_bounds_and_a_recommended_least() {
        assert_eq!(PasswordCost::new(65_536, 3, 4), Some(PasswordCost::standard()));
        for (memory_kib, passes, lanes) in [
            (7, 1, 1),
            (15, 1, 2),
            (8, 0, 1),
            (8, 1, 0),
            (u32::MAX, 1, 1),
            (65_536, u32::MAX, 1),
            (65_536, 1, u32::MAX),
        ] {
            assert_eq!(PasswordCost::new(memory_kib, passes, lanes), None);
        }
        assert!(PasswordCost::standard().is_sufficient());
        for (memory_kib, passes, sufficient) in [
            (47_104, 1, true),
            (47_103, 1, false),
            (19_456, 2, true),
            (19_455, 2, false),
            (12_288, 3, true),
            (12_287, 16, false),
            (8, 1, false),
        ] {
            let cost = PasswordCost::new(memory_kib, passes, 1).unwrap();
            assert_eq!(cost.is_sufficient(), sufficient, "{cost:?}");
        }
    }
}
