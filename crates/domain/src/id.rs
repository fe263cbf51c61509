//! Identifiers: 128 bits, ordered by time, one type for each kind of thing.

use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

/// A kind of thing that has an identifier; the prefix is part of the text form.
pub trait Kind {
    /// Three letters and an underscore, for example `ord_`.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Kind for $name {
            const PREFIX: &'static str = $prefix;
        }
    )*};
}

// A macro because a kind is nothing but a name and its prefix; a function cannot declare a type.
kinds! {
    /// An organization, the owner of every row.
    Org = "org_";
    /// A trading account at a broker.
    Account = "acc_";
    /// A webhook: one door for signals.
    Webhook = "whk_";
    /// A strategy: what to do with the signals of one source.
    Strategy = "str_";
    /// A signal, as it was received.
    Signal = "sig_";
    /// An order, as it was decided.
    Order = "ord_";
    /// A fill, as the broker told it.
    Fill = "fil_";
    /// A halt (kill switch).
    Halt = "hlt_";
    /// A lockdown of a compromised account.
    Lockdown = "lck_";
    /// An entry of the audit log.
    Entry = "ent_";
    /// A finding: something a person should look at.
    Finding = "fnd_";
    /// An alert: something that people are told of until one acknowledges it.
    Alert = "alr_";
    /// One HTTP request.
    Request = "req_";
    /// A person.
    User = "usr_";
    /// A second factor of a person.
    Factor = "fac_";
    /// A session of a person, from login to its end.
    Session = "ses_";
    /// A role that an organization made for itself.
    Role = "rol_";
    /// An API key.
    Key = "key_";
    /// An action that waits for a second person.
    Pending = "pnd_";
    /// An override: one order that may pass one limit.
    Override = "ovr_";
    /// What the guarded rows of a kind in an organization came to, at one number.
    Seal = "sea_";
    /// A message to a person.
    Message = "msg_";
}

/// The identifier of one thing of kind `K`: 48 bits of milliseconds since 1970 and 80 more, so that
/// identifiers made later sort later. Of those the gateway takes eight for the number of its incarnation,
/// modulo 256, and the rest at random: what a restored database gives out is not what was lost.
pub struct Id<K> {
    /// Most significant first. Bytes lie anywhere, so that an identifier beside others wastes no room.
    bytes: [u8; 16],
    kind: PhantomData<fn() -> K>,
}

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH: usize = 26;

impl<K> Id<K> {
    /// An identifier for something that happens `at`, told apart by ten random bytes.
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.unix_micros() / 1_000).unwrap_or(0) & 0xffff_ffff_ffff;
        let mut bytes = [0_u8; 16];
        for (slot, byte) in
            bytes.iter_mut().zip(millis.to_be_bytes().into_iter().skip(2).chain(random))
        {
            *slot = byte;
        }
        Self::from_bytes(bytes)
    }

    /// As [`Id::new`], but after `previous` if that is of the same millisecond: so that what one
    /// process makes sorts as it was made. The step is random, so that nobody counts what was made.
    #[must_use]
    pub fn after(previous: Option<Self>, at: Timestamp, random: [u8; 10]) -> Self {
        let fresh = Self::new(at, random);
        let Some(previous) = previous.filter(|last| last.bits() >> 80 == fresh.bits() >> 80) else {
            return fresh;
        };
        let step = (fresh.bits() & u128::from(u32::MAX)).saturating_add(1);
        let next = previous.bits().saturating_add(step);
        // The end of the millisecond's range, which nobody reaches, is no reason to leave it.
        if next >> 80 == fresh.bits() >> 80 { Self::from_bits(next) } else { fresh }
    }

    /// The identifier whose sixteen bytes these are, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { bytes, kind: PhantomData }
    }

    const fn from_bits(bits: u128) -> Self {
        Self::from_bytes(bits.to_be_bytes())
    }

    const fn bits(self) -> u128 {
        u128::from_be_bytes(self.bytes)
    }

    /// The sixteen bytes, most significant first; they sort as the identifiers do.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.bytes
    }

    /// The identifier that sorts right after this one; `None` for the last.
    pub fn successor(self) -> Option<Self> {
        self.bits().checked_add(1).map(Self::from_bits)
    }

    /// How many identifiers `earlier` lies before this one; `None` if it does not.
    pub fn distance_from(self, earlier: Self) -> Option<u128> {
        self.bits().checked_sub(earlier.bits())
    }

    /// The 26 characters of the text form without the prefix.
    pub fn bare_text(self) -> String {
        self.with_bare_text(str::to_owned)
    }

    fn with_bare_text<T>(self, work: impl FnOnce(&str) -> T) -> T {
        let mut text = [b'0'; TEXT_LENGTH];
        let mut rest = self.bits();
        for slot in text.iter_mut().rev() {
            let digit = usize::try_from(rest & 31).unwrap_or(0);
            *slot = ALPHABET.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        // The alphabet is ASCII.
        work(str::from_utf8(&text).unwrap_or_default())
    }
}

impl<K: Kind> Id<K> {
    /// Reads the 26 characters that [`Id::bare_text`] writes.
    pub fn from_bare_text(text: &str) -> Result<Self, IdError> {
        let wrong = IdError { expected_prefix: K::PREFIX };
        if text.len() != TEXT_LENGTH {
            return Err(wrong);
        }
        let mut bits = 0_u128;
        for (place, byte) in text.bytes().enumerate() {
            let Some(digit) = ALPHABET.iter().position(|letter| *letter == byte) else {
                return Err(wrong);
            };
            if place == 0 && digit > 7 {
                return Err(wrong);
            }
            bits = (bits << 5) | u128::try_from(digit).unwrap_or(0);
        }
        Ok(Self::from_bits(bits))
    }
}

/// The text is not an identifier of the kind that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError {
    expected_prefix: &'static str,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an identifier of the form {}<26 characters>", self.expected_prefix)
    }
}

impl std::error::Error for IdError {}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bare = text.strip_prefix(K::PREFIX).ok_or(IdError { expected_prefix: K::PREFIX })?;
        Self::from_bare_text(bare)
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::PREFIX)?;
        self.with_bare_text(|text| f.write_str(text))
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits().cmp(&other.bits())
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_form_has_the_prefix_of_its_kind() {
        let id: Id<Order> = Id::new(Timestamp::from_unix_micros(1_790_000_000_000_000), [7; 10]);
        assert!(id.to_string().starts_with("ord_"));
        assert!(id.to_string().parse::<Id<Signal>>().is_err());
    }

    #[test]
    fn later_sorts_later() {
        let early: Id<Order> = Id::new(Timestamp::from_unix_micros(1_000_000), [255; 10]);
        let late: Id<Order> = Id::new(Timestamp::from_unix_micros(1_001_000), [0; 10]);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn identifiers_follow_one_another() {
        let first = Id::<Order>::from_bytes([1; 16]);
        let second = first.successor().unwrap();
        assert!(first < second);
        assert_eq!(second.distance_from(first), Some(1));
        assert_eq!(first.distance_from(second), None);
        assert_eq!(Id::<Order>::from_bytes([255; 16]).successor(), None);
    }

    proptest! {
        /// Within a millisecond each sorts after the one before, and stays in the millisecond.
        #[test]
        fn later_in_a_millisecond_sorts_later(
            micros in 0_i64..4_000_000_000_000_000,
            draws in prop::collection::vec(any::<[u8; 10]>(), 2..50),
        ) {
            let at = Timestamp::from_unix_micros(micros);
            let mut draws = draws;
            // From the very end there is no later one.
            draws[0][0] &= 0x7f;
            let mut last: Option<Id<Order>> = None;
            for random in draws {
                let next = Id::after(last, at, random);
                prop_assert!(last.is_none_or(|last| last < next));
                prop_assert_eq!(next.to_bytes()[..6].to_vec(), Id::<Order>::new(at, random).to_bytes()[..6].to_vec());
                last = Some(next);
            }
        }

        #[test]
        fn another_millisecond_begins_anew(random: [u8; 10], before: [u8; 10]) {
            let last: Id<Order> = Id::new(Timestamp::from_unix_micros(5_000), before);
            let at = Timestamp::from_unix_micros(6_000);
            prop_assert_eq!(Id::after(Some(last), at, random), Id::new(at, random));
        }

        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let id = Id::<Account>::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<Id<Account>>(), Ok(id));
        }

        #[test]
        fn garbage_is_refused_without_panic(text in ".{0,40}") {
            let _parsed = text.parse::<Id<Account>>();
        }
    }
}
