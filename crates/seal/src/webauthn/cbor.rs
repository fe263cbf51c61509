//! A reader for the part of CBOR that authenticators write: the CTAP2 canonical form (FIDO CTAP
//! 2.1 section 8), itself a part of RFC 8949.
//!
//! Integers and lengths are in their shortest form, lengths are definite, map keys are in order and
//! stand once; there are no tags, no floats and no simple values but `false`, `true` and `null`. One
//! value has one text: whoever reads the same bytes elsewhere sees what was judged here.

/// Longest text, in bytes.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Deepest nesting of arrays and maps, the bound of CTAP2.
pub(super) const MAX_DEPTH: usize = 4;

/// Most values in one text, keys included. The largest that authenticators make, a TPM's statement,
/// has about twenty.
pub(super) const MAX_VALUES: usize = 1024;

/// A text that is not of this form, or is too large. What was wrong helps nobody: no honest
/// authenticator writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CborError;

/// One value. Integers beyond 64 bits with sign are refused; nothing that we read has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Value<'a>>),
    /// Members in the order of the text, which is the canonical one.
    Map(Vec<(Key<'a>, Value<'a>)>),
    Bool(bool),
    Null,
}

/// The name of a member. Other kinds of names stand nowhere in WebAuthn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Integer(i64),
    Text(&'a str),
}

/// Reads one value that is the whole text.
pub(super) fn read(bytes: &[u8]) -> Result<Value<'_>, CborError> {
    match read_first(bytes)? {
        (value, []) => Ok(value),
        _ => Err(CborError),
    }
}

/// Reads the value at the beginning; also returns what follows it.
pub(super) fn read_first(bytes: &[u8]) -> Result<(Value<'_>, &[u8]), CborError> {
    if bytes.len() > MAX_BYTES {
        return Err(CborError);
    }
    let mut reader = Reader { rest: bytes, values_left: MAX_VALUES };
    let value = reader.value(MAX_DEPTH)?;
    Ok((value, reader.rest))
}

struct Reader<'a> {
    rest: &'a [u8],
    values_left: usize,
}

/// The first byte of a value and the number that belongs to it (RFC 8949 section 3).
enum Head {
    Unsigned(u64),
    Negative(u64),
    Bytes(u64),
    Text(u64),
    Array(u64),
    Map(u64),
    Simple(u8),
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth_left: usize) -> Result<Value<'a>, CborError> {
        self.values_left = self.values_left.checked_sub(1).ok_or(CborError)?;
        Ok(match self.head()? {
            Head::Unsigned(number) => Value::Integer(unsigned(number)?),
            Head::Negative(number) => Value::Integer(negative(number)?),
            Head::Bytes(length) => Value::Bytes(self.bytes(length)?),
            Head::Text(length) => Value::Text(self.text(length)?),
            Head::Array(length) => self.array(length, depth_left)?,
            Head::Map(length) => self.map(length, depth_left)?,
            Head::Simple(20) => Value::Bool(false),
            Head::Simple(21) => Value::Bool(true),
            Head::Simple(22) => Value::Null,
            Head::Simple(_) => return Err(CborError),
        })
    }

    /// Nothing is reserved for the claimed length: it is believed one value at a time.
    fn array(&mut self, length: u64, depth_left: usize) -> Result<Value<'a>, CborError> {
        let depth_left = depth_left.checked_sub(1).ok_or(CborError)?;
        let mut values = Vec::new();
        for _ in 0..length {
            values.push(self.value(depth_left)?);
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, length: u64, depth_left: usize) -> Result<Value<'a>, CborError> {
        let depth_left = depth_left.checked_sub(1).ok_or(CborError)?;
        let mut members = Vec::new();
        let mut previous: &[u8] = &[];
        for _ in 0..length {
            let before = self.rest;
            let key = self.key()?;
            let used = before.len().saturating_sub(self.rest.len());
            let written = before.get(..used).ok_or(CborError)?;
            // In shortest form, CTAP2's order (kind, length, bytes) is that of the bytes. Ascending
            // means that no key stands twice.
            if written <= previous {
                return Err(CborError);
            }
            previous = written;
            members.push((key, self.value(depth_left)?));
        }
        Ok(Value::Map(members))
    }

    fn key(&mut self) -> Result<Key<'a>, CborError> {
        self.values_left = self.values_left.checked_sub(1).ok_or(CborError)?;
        match self.head()? {
            Head::Unsigned(number) => unsigned(number).map(Key::Integer),
            Head::Negative(number) => negative(number).map(Key::Integer),
            Head::Text(length) => self.text(length).map(Key::Text),
            _ => Err(CborError),
        }
    }

    fn text(&mut self, length: u64) -> Result<&'a str, CborError> {
        str::from_utf8(self.bytes(length)?).map_err(|_| CborError)
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CborError)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn head(&mut self) -> Result<Head, CborError> {
        let [first] = self.array_of()?;
        let (kind, low) = (first >> 5, first & 0x1f);
        if kind == 7 {
            return Ok(Head::Simple(low));
        }
        let number = self.number(low)?;
        match kind {
            0 => Ok(Head::Unsigned(number)),
            1 => Ok(Head::Negative(number)),
            2 => Ok(Head::Bytes(number)),
            3 => Ok(Head::Text(number)),
            4 => Ok(Head::Array(number)),
            5 => Ok(Head::Map(number)),
            _ => Err(CborError),
        }
    }

    /// The number of a head, which must not fit a shorter form. 28 to 30 are reserved, 31 is an
    /// indefinite length.
    fn number(&mut self, low: u8) -> Result<u64, CborError> {
        let (number, least) = match low {
            0..=23 => (u64::from(low), 0),
            24 => (u64::from(u8::from_be_bytes(self.array_of()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array_of()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array_of()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array_of()?), 1 << 32),
            _ => return Err(CborError),
        };
        if number >= least { Ok(number) } else { Err(CborError) }
    }

    fn array_of<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], CborError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CborError)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

fn unsigned(number: u64) -> Result<i64, CborError> {
    i64::try_from(number).map_err(|_| CborError)
}

/// The value of a negative integer is -1 minus its number (RFC 8949 section 3.1).
fn negative(number: u64) -> Result<i64, CborError> {
    unsigned(number).map(|number| -1 - number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex_decode;

    fn head(kind: u8, number: u64) -> Vec<u8> {
        let kind = kind << 5;
        let bytes = number.to_be_bytes();
        let (low, length) = match number {
            0..24 => return vec![kind | bytes[7]],
            24..0x100 => (24, 1),
            0x100..0x1_0000 => (25, 2),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 8),
        };
        [&[kind | low], &bytes[8 - length..]].concat()
    }

    fn write_integer(number: i64) -> Vec<u8> {
        match u64::try_from(number) {
            Ok(number) => head(0, number),
            Err(_) => head(1, number.unsigned_abs() - 1),
        }
    }

    fn write_text(text: &str) -> Vec<u8> {
        [head(3, text.len().try_into().unwrap()), text.as_bytes().to_vec()].concat()
    }

    /// The canonical text of a value, members sorted.
    fn write(value: &Value<'_>) -> Vec<u8> {
        match value {
            Value::Integer(number) => write_integer(*number),
            Value::Bytes(bytes) => {
                [head(2, bytes.len().try_into().unwrap()), bytes.to_vec()].concat()
            }
            Value::Text(text) => write_text(text),
            Value::Array(values) => {
                let mut text = head(4, values.len().try_into().unwrap());
                text.extend(values.iter().flat_map(write));
                text
            }
            Value::Map(members) => {
                let mut written: Vec<_> = members
                    .iter()
                    .map(|(key, value)| {
                        let key = match key {
                            Key::Integer(number) => write_integer(*number),
                            Key::Text(text) => write_text(text),
                        };
                        (key, write(value))
                    })
                    .collect();
                written.sort();
                let mut text = head(5, members.len().try_into().unwrap());
                text.extend(written.into_iter().flat_map(|(key, value)| [key, value].concat()));
                text
            }
            Value::Bool(bool) => vec![if *bool { 0xf5 } else { 0xf4 }],
            Value::Null => vec![0xf6],
        }
    }

    fn read_hex(text: &str) -> bool {
        let bytes = hex_decode(text).unwrap();
        let read = read(&bytes);
        if let Ok(value) = &read {
            assert_eq!(write(value), bytes, "{text}");
        }
        read.is_ok()
    }

    #[test]
    fn values_of_the_rfc() {
        // RFC 8949 appendix A, what of it this form has.
        for (text, value) in [
            ("00", Value::Integer(0)),
            ("17", Value::Integer(23)),
            ("1818", Value::Integer(24)),
            ("1903e8", Value::Integer(1000)),
            ("1a000f4240", Value::Integer(1_000_000)),
            ("1b000000e8d4a51000", Value::Integer(1_000_000_000_000)),
            ("20", Value::Integer(-1)),
            ("3863", Value::Integer(-100)),
            ("3903e7", Value::Integer(-1000)),
            ("3b7fffffffffffffff", Value::Integer(i64::MIN)),
            ("f4", Value::Bool(false)),
            ("f5", Value::Bool(true)),
            ("f6", Value::Null),
            ("40", Value::Bytes(&[])),
            ("4401020304", Value::Bytes(&[1, 2, 3, 4])),
            ("60", Value::Text("")),
            ("62c3bc", Value::Text("ü")),
            ("80", Value::Array(vec![])),
            (
                "8301820203820405",
                Value::Array(vec![
                    Value::Integer(1),
                    Value::Array(vec![Value::Integer(2), Value::Integer(3)]),
                    Value::Array(vec![Value::Integer(4), Value::Integer(5)]),
                ]),
            ),
            ("a0", Value::Map(vec![])),
            (
                "a201020304",
                Value::Map(vec![
                    (Key::Integer(1), Value::Integer(2)),
                    (Key::Integer(3), Value::Integer(4)),
                ]),
            ),
        ] {
            assert_eq!(read(&hex_decode(text).unwrap()), Ok(value), "{text}");
            assert!(read_hex(text));
        }
    }

    #[test]
    fn another_spelling_of_a_value_is_refused() {
        for (right, wrong) in [
            // Not the shortest form.
            ("17", "1817"),
            ("18ff", "1900ff"),
            ("19ffff", "1a0000ffff"),
            ("1affffffff", "1b00000000ffffffff"),
            ("20", "3800"),
            ("4101", "580101"),
            ("6161", "780161"),
            ("8100", "980100"),
            ("a10000", "b8010000"),
            // Indefinite lengths.
            ("4101", "5f4101ff"),
            ("6161", "7f6161ff"),
            ("80", "9fff"),
            ("a0", "bfff"),
            // Order, and twice the same.
            ("a201000200", "a202000100"),
            ("a201000200", "a201000100"),
            ("a201002000", "a220000100"),
            ("a2616100626161 00", "a262616100616100"),
            ("a2616100616200", "a2616200616100"),
            // A text that follows, and one that is missing.
            ("00", "0000"),
            ("1818", "18"),
            ("4101", "4201"),
            ("8100", "8200"),
            ("a10000", "a100"),
        ] {
            assert!(read_hex(&right.replace(' ', "")), "{right}");
            assert!(!read_hex(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_authenticators_do_not_write_is_refused() {
        for text in [
            "",                   // nothing
            "c000",               // a tag
            "f90000",             // floats of two, four and eight bytes
            "fa47c35000",         // "
            "fb3ff199999999999a", // "
            "f7",                 // undefined
            "f0",                 // an unassigned simple value
            "f818",               // a simple value of two bytes
            "f814",               // `false`, written as one of two bytes
            "ff",                 // a break outside of everything
            "1c",                 // reserved
            "1f",                 // an indefinite integer
            "1b8000000000000000", // beyond 64 bits with sign
            "3b8000000000000000", // "
            "61ff",               // no UTF-8
            "63edA080",           // half a surrogate pair
            "a14000",             // a name of bytes
            "a18000",             // a name that is an array
            "a1f500",             // a name that is a truth value
            "5bffffffffffffffff", // lengths that nothing has
            "9bffffffffffffffff", // "
            "bbffffffffffffffff", // "
        ] {
            assert!(!read_hex(&text.to_lowercase()), "{text}");
        }
    }

    #[test]
    fn depth_length_and_number_of_values_are_bounded() {
        assert!(read_hex("8181818100"));
        assert!(!read_hex("818181818100"));
        assert!(!read_hex("8181818180"));
        assert!(read_hex("a100a100a100a10000"));
        assert!(!read_hex("a100a100a100a100a10000"));

        let longest = [head(2, 65_533), vec![0; 65_533]].concat();
        assert_eq!(longest.len(), MAX_BYTES);
        assert!(read(&longest).is_ok());
        assert_eq!(read_first(&[longest, vec![0]].concat()), Err(CborError));

        let values = |count: u64| [head(4, count), vec![0; count.try_into().unwrap()]].concat();
        assert!(read(&values(1023)).is_ok());
        assert!(read(&values(1024)).is_err());
    }

    #[test]
    fn what_follows_the_first_value_is_kept() {
        assert_eq!(read_first(&[0x41, 0x07, 0xff]), Ok((Value::Bytes(&[7]), &[0xff][..])));
    }

    /// Values that own what they hold, so that strategies can make them.
    #[derive(Clone, Debug)]
    enum Owned {
        Integer(i64),
        Bytes(Vec<u8>),
        Text(String),
        Array(Vec<Owned>),
        Map(Vec<(OwnedKey, Owned)>),
        Bool(bool),
        Null,
    }

    #[derive(Clone, Debug, PartialEq)]
    enum OwnedKey {
        Integer(i64),
        Text(String),
    }

    impl Owned {
        fn value(&self) -> Value<'_> {
            match self {
                Self::Integer(number) => Value::Integer(*number),
                Self::Bytes(bytes) => Value::Bytes(bytes),
                Self::Text(text) => Value::Text(text),
                Self::Array(values) => Value::Array(values.iter().map(Self::value).collect()),
                Self::Map(members) => Value::Map(
                    members.iter().map(|(key, value)| (key.key(), value.value())).collect(),
                ),
                Self::Bool(bool) => Value::Bool(*bool),
                Self::Null => Value::Null,
            }
        }
    }

    impl OwnedKey {
        fn key(&self) -> Key<'_> {
            match self {
                Self::Integer(number) => Key::Integer(*number),
                Self::Text(text) => Key::Text(text),
            }
        }
    }

    fn any_key() -> impl Strategy<Value = OwnedKey> {
        prop_oneof![
            any::<i64>().prop_map(OwnedKey::Integer),
            (-30..300_i64).prop_map(OwnedKey::Integer),
            ".{0,30}".prop_map(OwnedKey::Text),
        ]
    }

    fn any_value() -> impl Strategy<Value = Owned> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Owned::Integer),
            (-300..300_i64).prop_map(Owned::Integer),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Owned::Bytes),
            ".{0,30}".prop_map(Owned::Text),
            any::<bool>().prop_map(Owned::Bool),
            Just(Owned::Null),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Owned::Array),
                prop::collection::vec((any_key(), inner), 0..4).prop_map(|members| {
                    let mut once: Vec<(OwnedKey, Owned)> = Vec::new();
                    for (key, value) in members {
                        if once.iter().all(|(known, _)| *known != key) {
                            once.push((key, value));
                        }
                    }
                    Owned::Map(once)
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(owned in any_value(), tail in prop::collection::vec(any::<u8>(), 0..4)) {
            let text = write(&owned.value());
            let value = read(&text);
            prop_assert!(value.is_ok(), "{owned:?}");
            // Members come back sorted, so the texts are compared.
            prop_assert_eq!(write(&value.unwrap()), text.clone());
            let followed = [text.as_slice(), &tail].concat();
            let (_, rest) = read_first(&followed).unwrap();
            prop_assert_eq!(rest, tail.as_slice());
            prop_assert_eq!(read(&followed).is_ok(), tail.is_empty());
        }

        #[test]
        fn a_text_that_ends_early_is_refused(owned in any_value(), at: prop::sample::Index) {
            let text = write(&owned.value());
            prop_assert!(read_first(&text[..at.index(text.len())]).is_err());
        }

        #[test]
        fn what_is_read_has_no_other_text(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((value, rest)) = read_first(&bytes) {
                prop_assert_eq!([write(&value), rest.to_vec()].concat(), bytes);
            }
        }

        #[test]
        fn a_changed_byte_is_another_value_or_none(owned in any_value(), at: prop::sample::Index, change in 1..=255_u8) {
            let text = write(&owned.value());
            let mut changed = text.clone();
            changed[at.index(text.len())] ^= change;
            if let Ok(value) = read(&changed) {
                prop_assert_eq!(write(&value), changed);
            }
        }
    }
}
