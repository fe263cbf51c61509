//! Sealed records: secrets at rest, each bound to the one place where it may be opened.
//!
//! ```text
//! "TW1" | algorithm u8 = 1 | length u8, key id | length u16 be, wrapped key | nonce 24 | commitment 32 | ciphertext || tag 16
//! ```
//! The key id names the data key (not the key that wraps it), so changing the wrapping key touches
//! no record. The wrapped key is always empty in records of this algorithm: data keys have rows of
//! their own, and destroying that row destroys all that it sealed. The field keeps room for records
//! that travel alone; a record where it is not empty does not open here.
//!
//! Header and place are authenticated: a record that was moved to another organization, table,
//! column, row or schema version, or in which any bit changed, does not open. How the body is made
//! is in `committing.rs`.

use std::{fmt, sync::Arc};

use crate::{
    OpenError, Purpose, Randomness, SealError, SecretBytes,
    committing::{self, MAX_PLAINTEXT_BYTES},
    digest::hex_encode,
    randomness::random_array,
};

/// Longest part of a [`Place`], in bytes.
pub const MAX_PLACE_PART_BYTES: usize = 256;

/// Largest record, in bytes: what is longer is not looked at.
pub const MAX_RECORD_BYTES: usize = HEADER_BYTES + committing::OVERHEAD_BYTES + MAX_PLAINTEXT_BYTES;

const MAGIC: &[u8] = b"TW1";
const ALGORITHM: u8 = 1;
const KEY_ID_BYTES: usize = 16;

/// Magic, algorithm, length and key id, length of the empty wrapped key.
const HEADER_BYTES: usize = 3 + 1 + 1 + KEY_ID_BYTES + 2;

/// Where a record lives. Sealing and opening name the same place, or it does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The organization that owns the row.
    pub tenant: &'a [u8],
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's primary key.
    pub row: &'a [u8],
    /// The version of the plaintext's own format.
    pub schema_version: u32,
}

impl Place<'_> {
    /// One text for one place: every part has its length before it, so no two places read the same.
    fn associated(&self, header: &[u8]) -> Result<Vec<u8>, SealError> {
        associated_data(&[
            b"tw/record/v1",
            header,
            self.tenant,
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row,
            &self.schema_version.to_be_bytes(),
        ])
    }
}

/// The name of a data key: 16 random bytes, no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId([u8; KEY_ID_BYTES]);

impl DataKeyId {
    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }

    /// The key that sealed `record`, if it is one: which to load when an organization has had
    /// several. Not authenticated until it opens.
    pub fn of_record(record: &[u8]) -> Option<Self> {
        split_header(record).map(|(id, _, _)| id)
    }

    pub(crate) const fn from_bytes(bytes: [u8; KEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn random(randomness: &mut dyn Randomness) -> Self {
        Self(random_array(randomness))
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex_encode(&self.0))
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An opened data key: seals and opens the records of one organization for one purpose. Only
/// [`crate::Keyring`] makes one.
pub struct DataKey {
    id: DataKeyId,
    purpose: Purpose,
    secret: SecretBytes,
}

impl DataKey {
    pub(crate) fn new(id: DataKeyId, purpose: Purpose, secret: SecretBytes) -> Self {
        Self { id, purpose, secret }
    }

    /// Its name, as it stands in every record it sealed.
    pub fn id(&self) -> DataKeyId {
        self.id
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// A record of `plaintext` (at most [`MAX_PLAINTEXT_BYTES`]) for this place.
    pub fn seal(
        &self,
        place: &Place<'_>,
        plaintext: &[u8],
        randomness: &mut dyn Randomness,
    ) -> Result<Vec<u8>, SealError> {
        let mut record =
            Vec::with_capacity(HEADER_BYTES + committing::OVERHEAD_BYTES + plaintext.len());
        record.extend_from_slice(MAGIC);
        record.push(ALGORITHM);
        push_with_u8_length(&mut record, &self.id.0)?;
        // The wrapped key: empty, see above.
        record.extend_from_slice(&[0, 0]);
        let associated = place.associated(&record)?;
        committing::seal(&self.secret, &associated, plaintext, randomness, &mut record)?;
        Ok(record)
    }

    /// The plaintext of a record that was sealed with this key for this place.
    pub fn open(&self, place: &Place<'_>, record: &[u8]) -> Result<SecretBytes, OpenError> {
        let (id, header, body) = split_header(record).ok_or(OpenError)?;
        if id != self.id {
            return Err(OpenError);
        }
        let associated = place.associated(header).map_err(|_| OpenError)?;
        committing::open(&self.secret, &associated, body)
    }

    /// The key itself, to derive others from.
    pub(crate) fn secret(&self) -> &SecretBytes {
        &self.secret
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DataKey({}, {})", self.purpose, self.id)
    }
}

/// Data keys of one organization and purpose: the one that seals, and older ones that still open.
#[derive(Debug)]
pub struct DataKeySet {
    /// The newest first.
    keys: Vec<Arc<DataKey>>,
}

impl DataKeySet {
    /// A set; `newest` seals.
    pub fn new(newest: Arc<DataKey>, older: Vec<Arc<DataKey>>) -> Self {
        Self { keys: std::iter::once(newest).chain(older).collect() }
    }

    /// One without a key: it seals and opens nothing.
    pub fn closed() -> Self {
        Self { keys: Vec::new() }
    }

    /// The one that seals.
    pub fn newest(&self) -> Option<&DataKey> {
        self.keys.first().map(Arc::as_ref)
    }

    /// The one with this name.
    pub fn find(&self, id: DataKeyId) -> Option<&Arc<DataKey>> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// [`DataKey::seal`] with the newest.
    pub fn seal(
        &self,
        place: &Place<'_>,
        plaintext: &[u8],
        randomness: &mut dyn Randomness,
    ) -> Result<Vec<u8>, SealError> {
        self.newest().ok_or(SealError::Closed)?.seal(place, plaintext, randomness)
    }

    /// [`DataKey::open`] with the one that the record names. No other is tried.
    pub fn open(&self, place: &Place<'_>, record: &[u8]) -> Result<SecretBytes, OpenError> {
        let id = DataKeyId::of_record(record).ok_or(OpenError)?;
        self.find(id).ok_or(OpenError)?.open(place, record)
    }
}

/// Key id, header and body of a record. Takes the one header there is, with an empty wrapped key.
fn split_header(record: &[u8]) -> Option<(DataKeyId, &[u8], &[u8])> {
    if record.len() > MAX_RECORD_BYTES {
        return None;
    }
    let (header, body) = record.split_at_checked(HEADER_BYTES)?;
    let rest = header.strip_prefix(MAGIC)?.strip_prefix(&[ALGORITHM])?;
    let (id, rest) = split_u8_length(rest)?;
    let id = DataKeyId(id.try_into().ok()?);
    (rest == [0, 0]).then_some((id, header, body))
}

/// Every part with its length, u32 big-endian, before it.
pub(crate) fn associated_data(parts: &[&[u8]]) -> Result<Vec<u8>, SealError> {
    let mut associated = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        let length = u32::try_from(part.len())
            .ok()
            .filter(|_| part.len() <= MAX_PLACE_PART_BYTES)
            .ok_or(SealError::PlaceTooLong)?;
        associated.extend_from_slice(&length.to_be_bytes());
        associated.extend_from_slice(part);
    }
    Ok(associated)
}

pub(crate) fn push_with_u8_length(output: &mut Vec<u8>, bytes: &[u8]) -> Result<(), SealError> {
    output.push(u8::try_from(bytes.len()).map_err(|_| SealError::PlaceTooLong)?);
    output.extend_from_slice(bytes);
    Ok(())
}

pub(crate) fn split_u8_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, digest::hex_decode, randomness::testing::Counting};

    fn key(first_byte: u8) -> DataKey {
        let mut randomness = Counting(first_byte);
        let id = DataKeyId::random(&mut randomness);
        DataKey::new(id, Purpose::Intake, SecretBytes::random(32, &mut randomness))
    }

    const PLACE: Place<'_> = Place {
        tenant: b"org_1",
        table: "webhook",
        column: "secret",
        row: b"wh_7",
        schema_version: 1,
    };

    /// Made by a second implementation (Python, pyca/cryptography) with the same random bytes.
    /// Every record there is depends on these bytes. If this test fails, the format changed: make a
    /// new algorithm number instead.
    #[test]
    fn the_format_is_frozen() {
        let frozen = concat!(
            "545731",
            "01",
            "10",
            "000102030405060708090a0b0c0d0e0f",
            "0000",
            "808182838485868788898a8b8c8d8e8f9091929394959697b8f7f9754dddc27499b2cddf22311228",
            "b9f5f0edfbc03ca0b7b1f5a0adffb7b6e31caaf773a1226aa7819f710f359ab5543f3fc141c955da",
            "6370d2fb0608",
        );
        let sealed = key(0).seal(&PLACE, b"attack at dawn", &mut Counting(0x80)).unwrap();
        assert_eq!(hex_encode(&sealed), frozen);
        assert!(
            key(0).open(&PLACE, &hex_decode(frozen).unwrap()).unwrap().matches(b"attack at dawn")
        );
        assert_eq!(DataKeyId::of_record(&sealed), Some(key(0).id()));
    }

    #[test]
    fn a_set_seals_with_the_newest_and_opens_with_the_one_that_is_named() {
        let set = DataKeySet::new(Arc::new(key(1)), vec![Arc::new(key(0))]);
        let old = key(0).seal(&PLACE, b"old", &mut Counting(0)).unwrap();
        let new = set.seal(&PLACE, b"new", &mut Counting(0)).unwrap();
        assert_eq!(DataKeyId::of_record(&new), Some(key(1).id()));
        assert!(set.open(&PLACE, &old).unwrap().matches(b"old"));
        assert!(set.open(&PLACE, &new).unwrap().matches(b"new"));
        assert_eq!(set.newest().map(DataKey::id), Some(key(1).id()));
        assert_eq!(set.find(key(0).id()).map(|key| key.id()), Some(key(0).id()));
        let stranger = key(2).seal(&PLACE, b"secret", &mut Counting(0)).unwrap();
        assert_eq!(set.open(&PLACE, &stranger).unwrap_err(), OpenError);
        assert_eq!(set.open(&PLACE, b"TW1").unwrap_err(), OpenError);
        let closed = DataKeySet::closed();
        assert_eq!(closed.open(&PLACE, &new).unwrap_err(), OpenError);
        let error = closed.seal(&PLACE, b"new", &mut Counting(0)).unwrap_err();
        assert_eq!(error, SealError::Closed);
    }

    #[test]
    fn every_length_opens_to_itself() {
        for length in [0, 1, 15, 16, 17, 255, 4096, MAX_PLAINTEXT_BYTES] {
            let plaintext = vec![0x5a; length];
            let record = key(0).seal(&PLACE, &plaintext, &mut SystemRandomness::new()).unwrap();
            assert!(record.len() <= MAX_RECORD_BYTES);
            assert!(key(0).open(&PLACE, &record).unwrap().matches(&plaintext));
        }
        let too_long = vec![0; MAX_PLAINTEXT_BYTES + 1];
        assert_eq!(
            key(0).seal(&PLACE, &too_long, &mut Counting(0)).unwrap_err(),
            SealError::TooLong
        );
    }

    #[test]
    fn a_record_opens_nowhere_else() {
        let record = key(0).seal(&PLACE, b"secret", &mut Counting(0)).unwrap();
        let elsewhere = [
            Place { tenant: b"org_2", ..PLACE },
            Place { table: "account", ..PLACE },
            Place { column: "token", ..PLACE },
            Place { row: b"wh_8", ..PLACE },
            Place { schema_version: 2, ..PLACE },
            // The same letters, divided otherwise.
            Place { tenant: b"org_1w", table: "ebhook", ..PLACE },
            Place { column: "secretwh_7", row: b"", ..PLACE },
            Place { row: &[0; MAX_PLACE_PART_BYTES + 1], ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(key(0).open(&place, &record).unwrap_err(), OpenError, "{place:?}");
        }
        let far = Place { row: &[0; MAX_PLACE_PART_BYTES + 1], ..PLACE };
        assert_eq!(key(0).seal(&far, b"", &mut Counting(0)).unwrap_err(), SealError::PlaceTooLong);
    }

    #[test]
    fn a_record_with_any_bit_changed_or_cut_does_not_open() {
        let record = key(0).seal(&PLACE, b"secret", &mut Counting(0)).unwrap();
        for position in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[position] ^= 1 << bit;
                assert!(key(0).open(&PLACE, &changed).is_err(), "bit {bit} of byte {position}");
            }
            assert!(key(0).open(&PLACE, &record[..position]).is_err(), "cut at {position}");
        }
        let longer = [record.as_slice(), &[0]].concat();
        assert!(key(0).open(&PLACE, &longer).is_err());
        assert!(key(0).open(&PLACE, &vec![0; MAX_RECORD_BYTES + 1]).is_err());
    }

    #[test]
    fn another_key_does_not_open_it_even_under_the_same_name() {
        let record = key(0).seal(&PLACE, b"secret", &mut Counting(0)).unwrap();
        assert!(key(1).open(&PLACE, &record).is_err());
        let namesake = DataKey::new(key(0).id(), Purpose::Intake, SecretBytes::new(vec![9; 32]));
        assert!(namesake.open(&PLACE, &record).is_err());
    }

    #[test]
    fn printing_a_key_shows_its_name_only() {
        assert_eq!(format!("{:?}", key(0)), "DataKey(intake, 000102030405060708090a0b0c0d0e0f)");
    }
}
