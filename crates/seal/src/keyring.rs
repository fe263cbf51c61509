//! Data keys: one per organization and purpose, wrapped by the key source, so that destroying one
//! wrapped key erases all that it sealed.
//!
//! A wrapped key is public in the sense that it may be stored beside the data:
//! ```text
//! "TWK1" | algorithm u8 = 1 | length u8, source id | key id 16 | nonce 24 | commitment 32 | ciphertext 32 || tag 16
//! ```
//! It opens only for the organization and purpose it was made for. Keeping a purpose away from a
//! node means not giving it the rows.

use std::fmt;

use crate::{
    DataKey, DataKeyId, FileKeySource, OpenError, Randomness, SealError, SecretBytes, committing,
    envelope::{associated_data, push_with_u8_length, split_u8_length},
};

const MAGIC: &[u8] = b"TWK1";
const ALGORITHM: u8 = 1;
const DATA_KEY_BYTES: usize = 32;

/// Largest wrapped key, in bytes: source ids have at most 255.
pub const MAX_WRAPPED_KEY_BYTES: usize =
    4 + 1 + 256 + 16 + committing::OVERHEAD_BYTES + DATA_KEY_BYTES;

/// What a data key is for. A node is given the keys of the purposes it needs and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Signing secrets of webhooks and API keys.
    Intake,
    /// What belongs to people: factors, personal data.
    People,
    /// Credentials at brokers.
    Broker,
    /// Payloads and salts behind the audit log's commitments.
    Ledger,
}

impl Purpose {
    /// Every purpose there is.
    pub const ALL: [Self; 4] = [Self::Intake, Self::People, Self::Broker, Self::Ledger];

    /// The name as it is stored. Bound into wrapped keys: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::People => "people",
            Self::Broker => "broker",
            Self::Ledger => "ledger",
        }
    }

    /// The purpose of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A data key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// Bytes as they were stored. They are looked at when the key is opened.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name of the data key inside. Not authenticated until it opens.
    pub fn key_id(&self) -> Option<DataKeyId> {
        self.parts().map(|parts| parts.key_id)
    }

    /// The name of the source that wrapped it. Not authenticated until it opens.
    pub fn source_id(&self) -> Option<&str> {
        self.parts().map(|parts| parts.source_id)
    }

    fn parts(&self) -> Option<WrappedParts<'_>> {
        if self.0.len() > MAX_WRAPPED_KEY_BYTES {
            return None;
        }
        let rest = self.0.strip_prefix(MAGIC)?.strip_prefix(&[ALGORITHM])?;
        let (source_id, rest) = split_u8_length(rest)?;
        let (key_id, body) = rest.split_first_chunk()?;
        let header = self.0.get(..self.0.len() - body.len())?;
        Some(WrappedParts {
            source_id: std::str::from_utf8(source_id).ok()?,
            key_id: DataKeyId::from_bytes(*key_id),
            header,
            body,
        })
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WrappedKey")
    }
}

struct WrappedParts<'a> {
    source_id: &'a str,
    key_id: DataKeyId,
    header: &'a [u8],
    body: &'a [u8],
}

/// Why a data key cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataKeyError {
    /// Wrapped by another source: the wrong key file, or one that was replaced.
    OtherSource {
        /// The source that wrapped it.
        wanted: String,
        /// The source there is.
        present: String,
    },
    /// Damaged, moved from another organization or purpose, or wrapped by a different key.
    DoesNotOpen(OpenError),
}

impl fmt::Display for DataKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSource { wanted, present } => {
                write!(
                    formatter,
                    "the data key needs key source {wanted:?}, but {present:?} is loaded; put the right key file back"
                )
            }
            Self::DoesNotOpen(_) => formatter
                .write_str("the data key is damaged or belongs to another organization or purpose"),
        }
    }
}

impl std::error::Error for DataKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OtherSource { .. } => None,
            Self::DoesNotOpen(cause) => Some(cause),
        }
    }
}

impl From<OpenError> for DataKeyError {
    fn from(error: OpenError) -> Self {
        Self::DoesNotOpen(error)
    }
}

/// Makes and opens data keys with the key source of this gateway.
#[derive(Debug)]
pub struct Keyring {
    source: FileKeySource,
}

impl Keyring {
    /// A keyring on this source.
    pub fn new(source: FileKeySource) -> Self {
        Self { source }
    }

    /// A new data key, wrapped. To use it, open it.
    pub fn new_data_key(
        &self,
        organization: &[u8],
        purpose: Purpose,
        randomness: &mut dyn Randomness,
    ) -> Result<WrappedKey, SealError> {
        let key_id = DataKeyId::random(randomness);
        let secret = SecretBytes::random(DATA_KEY_BYTES, randomness);
        let mut wrapped = [MAGIC, &[ALGORITHM]].concat();
        push_with_u8_length(&mut wrapped, self.source.id().as_bytes())?;
        wrapped.extend_from_slice(key_id.as_bytes());
        let associated = wrapping_context(&wrapped, organization, purpose)?;
        committing::seal(
            self.source.key(),
            &associated,
            secret.expose(),
            randomness,
            &mut wrapped,
        )?;
        Ok(WrappedKey(wrapped))
    }

    /// The data key in `wrapped`, if it was made by this source for this organization and purpose.
    pub fn open_data_key(
        &self,
        organization: &[u8],
        purpose: Purpose,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, DataKeyError> {
        let parts = wrapped.parts().ok_or(OpenError)?;
        if parts.source_id != self.source.id() {
            return Err(DataKeyError::OtherSource {
                wanted: parts.source_id.to_owned(),
                present: self.source.id().to_owned(),
            });
        }
        let associated =
            wrapping_context(parts.header, organization, purpose).map_err(|_| OpenError)?;
        let secret = committing::open(self.source.key(), &associated, parts.body)?;
        if secret.expose().len() != DATA_KEY_BYTES {
            return Err(OpenError.into());
        }
        Ok(DataKey::new(parts.key_id, purpose, secret))
    }
}

/// The header is at most 277 bytes, more than a part may have, so its digest stands for it.
fn wrapping_context(
    header: &[u8],
    organization: &[u8],
    purpose: Purpose,
) -> Result<Vec<u8>, SealError> {
    let header = crate::Digest::sha256(header);
    associated_data(&[
        b"tw/wrapped-key/v1",
        header.as_bytes(),
        organization,
        purpose.name().as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Place, SystemRandomness, digest::hex_encode, randomness::testing::Counting};

    fn keyring(first_byte: u8) -> Keyring {
        Keyring::new(FileKeySource::from_randomness(&mut Counting(first_byte)))
    }

    const PLACE: Place<'_> = Place {
        tenant: b"org_1",
        table: "webhook",
        column: "secret",
        row: b"wh_7",
        schema_version: 1,
    };

    /// Made by a second implementation (Python, pyca/cryptography) with the same random bytes.
    /// Every wrapped key there is depends on these bytes. If this test fails, the format changed:
    /// make a new algorithm number instead.
    #[test]
    fn the_format_is_frozen() {
        let wrapped =
            keyring(0).new_data_key(b"org_1", Purpose::Broker, &mut Counting(0x40)).unwrap();
        assert_eq!(
            hex_encode(wrapped.as_bytes()),
            concat!(
                "54574b31011566696c652d33643238666365663136653633643463404142434445464748494a4b4c",
                "4d4e4f707172737475767778797a7b7c7d7e7f8081828384858687f32aa65997a105657fede0e303",
                "ded51852d7ca6b368acbec51680fc52f39508ba0bfc584a9b18195d4977211fc2addaa469698fcf2",
                "da3978099966f95f288f68b0070e5e15289987b5b132970f7beafc",
            )
        );
        assert_eq!(wrapped.source_id(), Some("file-3d28fcef16e63d4c"));
        let key = keyring(0).open_data_key(b"org_1", Purpose::Broker, &wrapped).unwrap();
        assert_eq!((Some(key.id()), key.purpose()), (wrapped.key_id(), Purpose::Broker));
    }

    #[test]
    fn a_data_key_seals_and_opens_after_it_was_stored() {
        let mut randomness = SystemRandomness::new();
        let ring = Keyring::new(FileKeySource::from_randomness(&mut randomness));
        let wrapped = ring.new_data_key(b"org_1", Purpose::Intake, &mut randomness).unwrap();
        let record = ring
            .open_data_key(b"org_1", Purpose::Intake, &wrapped)
            .unwrap()
            .seal(&PLACE, b"secret", &mut randomness)
            .unwrap();
        let stored = WrappedKey::from_stored(wrapped.as_bytes().to_vec());
        let key = ring.open_data_key(b"org_1", Purpose::Intake, &stored).unwrap();
        assert!(key.open(&PLACE, &record).unwrap().matches(b"secret"));
    }

    #[test]
    fn a_data_key_opens_for_its_organization_and_purpose_only() {
        let wrapped = keyring(0).new_data_key(b"org_1", Purpose::Intake, &mut Counting(0)).unwrap();
        for purpose in Purpose::ALL {
            assert_eq!(
                keyring(0).open_data_key(b"org_1", purpose, &wrapped).is_ok(),
                purpose == Purpose::Intake
            );
            assert_eq!(Purpose::from_name(purpose.name()), Some(purpose));
        }
        for organization in [b"org_2".as_slice(), b"", b"org_1i", &[0; 300]] {
            let error =
                keyring(0).open_data_key(organization, Purpose::Intake, &wrapped).unwrap_err();
            assert_eq!(error, DataKeyError::DoesNotOpen(OpenError));
        }
    }

    #[test]
    fn another_source_does_not_open_it() {
        let wrapped = keyring(0).new_data_key(b"org_1", Purpose::Intake, &mut Counting(0)).unwrap();
        let error = keyring(1).open_data_key(b"org_1", Purpose::Intake, &wrapped).unwrap_err();
        assert!(matches!(error, DataKeyError::OtherSource { .. }), "{error}");

        // Nor when the name of the source is made to fit.
        let (mine, other) = (keyring(0).source.id().to_owned(), keyring(1).source.id().to_owned());
        let mut renamed = wrapped.as_bytes().to_vec();
        assert_eq!(mine.len(), other.len());
        renamed[6..6 + other.len()].copy_from_slice(other.as_bytes());
        let error =
            keyring(1).open_data_key(b"org_1", Purpose::Intake, &WrappedKey(renamed)).unwrap_err();
        assert_eq!(error, DataKeyError::DoesNotOpen(OpenError));
    }

    #[test]
    fn a_wrapped_key_with_any_bit_changed_or_cut_does_not_open() {
        let wrapped = keyring(0).new_data_key(b"org_1", Purpose::Intake, &mut Counting(0)).unwrap();
        let bytes = wrapped.as_bytes();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[position] ^= 1 << bit;
                assert!(
                    keyring(0)
                        .open_data_key(b"org_1", Purpose::Intake, &WrappedKey(changed))
                        .is_err()
                );
            }
            let cut = WrappedKey(bytes[..position].to_vec());
            assert!(keyring(0).open_data_key(b"org_1", Purpose::Intake, &cut).is_err());
        }
        let long = WrappedKey(vec![0; MAX_WRAPPED_KEY_BYTES + 1]);
        assert!(keyring(0).open_data_key(b"org_1", Purpose::Intake, &long).is_err());
    }
}
