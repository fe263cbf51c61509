//! Data keys: for each organization and purpose one that seals, and older ones that still open, each
//! wrapped by the key source, so that destroying the wrapped keys erases all that they sealed.
//!
//! A wrapped key is public in the sense that it may be stored beside the data:
//! ```text
//! "TWK1" | algorithm u8 = 2 | length u8, source key id | key id 16 | length u16 be, wrapping | nonce 24 | commitment 32 | ciphertext 32 || tag 16
//! ```
//! The source wraps 32 random bytes that are made for this data key alone (`wrapping`); under them the
//! data key is sealed here, together with everything before the nonce, the organization and the
//! purpose. So it opens only for the organization and purpose it was made for, whatever a source can
//! or cannot bind, and the source never sees a data key. Keeping a purpose away from a node means not
//! giving it the rows.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    DataKey, DataKeyId, KeySource, MAX_SOURCE_KEY_ID_BYTES, MAX_WRAPPING_BYTES, OpenError,
    Randomness, SOURCE_NONCE_BYTES, SealError, SecretBytes, SourceError, committing,
    constant_time_equal,
    envelope::{associated_data, push_with_u8_length, split_u8_length},
    randomness::random_array,
};

const MAGIC: &[u8] = b"TWK1";
const ALGORITHM: u8 = 2;
const DATA_KEY_BYTES: usize = 32;

/// Largest wrapped key, in bytes.
pub const MAX_WRAPPED_KEY_BYTES: usize = 4
    + 1
    + 1
    + MAX_SOURCE_KEY_ID_BYTES
    + 16
    + 2
    + MAX_WRAPPING_BYTES
    + committing::OVERHEAD_BYTES
    + DATA_KEY_BYTES;

/// What a data key is for. A node is given the keys of the purposes it needs and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Signing secrets of webhooks and API keys.
    Intake,
    /// What belongs to people: factors, personal data.
    People,
    /// Messages that wait to be sent. They are short-lived, and wanted most when something is away.
    Messages,
    /// What hashes of passwords and of recovery codes are keyed with. It is never replaced, because
    /// only who knows a password can hash it anew.
    Pepper,
    /// Credentials at brokers.
    Broker,
    /// The audit log's signing key.
    Ledger,
    /// Accounts at the authorities that issue certificates.
    Certificates,
}

impl Purpose {
    /// Every purpose there is.
    pub const ALL: [Self; 7] = [
        Self::Intake,
        Self::People,
        Self::Messages,
        Self::Pepper,
        Self::Broker,
        Self::Ledger,
        Self::Certificates,
    ];

    /// The name as it is stored. Bound into wrapped keys: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::People => "people",
            Self::Messages => "messages",
            Self::Pepper => "pepper",
            Self::Broker => "broker",
            Self::Ledger => "ledger",
            Self::Certificates => "certificates",
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

    /// The version of the source's key that wrapped it. Not authenticated until it opens.
    pub fn source_key_id(&self) -> Option<&str> {
        self.parts().map(|parts| parts.source_key_id)
    }

    fn parts(&self) -> Option<WrappedParts<'_>> {
        if self.0.len() > MAX_WRAPPED_KEY_BYTES {
            return None;
        }
        let rest = self.0.strip_prefix(MAGIC)?.strip_prefix(&[ALGORITHM])?;
        let (source_key_id, rest) = split_u8_length(rest)?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (wrapping, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let header = self.0.get(..self.0.len() - body.len())?;
        Some(WrappedParts {
            source_key_id: std::str::from_utf8(source_key_id).ok()?,
            key_id: DataKeyId::from_bytes(*key_id),
            wrapping,
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
    source_key_id: &'a str,
    key_id: DataKeyId,
    wrapping: &'a [u8],
    header: &'a [u8],
    body: &'a [u8],
}

/// Why a data key cannot be wrapped or opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataKeyError {
    /// Wrapped by another source: the wrong key file, one that was replaced, or a source that is
    /// configured no more.
    OtherSource {
        /// The version that wrapped it.
        wanted: String,
        /// The sources there are.
        present: String,
    },
    /// The source did not do it.
    Source(SourceError),
    /// Damaged, moved from another organization or purpose, or wrapped by a different key.
    DoesNotOpen(OpenError),
    /// It could not be sealed.
    NotSealed(SealError),
}

impl DataKeyError {
    /// Whether it is this data key's fault, so that others may well open.
    pub const fn is_about_the_key(&self) -> bool {
        match self {
            Self::OtherSource { .. } | Self::DoesNotOpen(_) | Self::NotSealed(_) => true,
            Self::Source(error) => matches!(error, SourceError::DoesNotOpen),
        }
    }
}

impl fmt::Display for DataKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSource { wanted, present } => {
                write!(
                    formatter,
                    "the data key needs key {wanted:?}, which is not in {present}; put the right key file or key source back"
                )
            }
            Self::Source(error) => error.fmt(formatter),
            Self::DoesNotOpen(_) => formatter
                .write_str("the data key is damaged or belongs to another organization or purpose"),
            Self::NotSealed(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for DataKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OtherSource { .. } => None,
            Self::Source(cause) => Some(cause),
            Self::DoesNotOpen(cause) => Some(cause),
            Self::NotSealed(cause) => Some(cause),
        }
    }
}

impl From<OpenError> for DataKeyError {
    fn from(error: OpenError) -> Self {
        Self::DoesNotOpen(error)
    }
}

impl From<SealError> for DataKeyError {
    fn from(error: SealError) -> Self {
        Self::NotSealed(error)
    }
}

impl From<SourceError> for DataKeyError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// What is random about one wrapping, drawn before a source is asked: asking may take long, and
/// nobody else's draw may wait for it.
pub struct Fresh {
    key_id: DataKeyId,
    secret: SecretBytes,
    wrapping: SecretBytes,
    source_nonce: [u8; SOURCE_NONCE_BYTES],
    nonce: [u8; committing::NONCE_BYTES],
}

impl Fresh {
    /// Draws.
    pub fn draw(randomness: &mut dyn Randomness) -> Self {
        Self {
            key_id: DataKeyId::random(randomness),
            secret: SecretBytes::random(DATA_KEY_BYTES, randomness),
            wrapping: SecretBytes::random(DATA_KEY_BYTES, randomness),
            source_nonce: random_array(randomness),
            nonce: random_array(randomness),
        }
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fresh")
    }
}

/// Makes and opens data keys with the key sources of this gateway: one that wraps, and perhaps one
/// that wrapped before and still opens, until everything was wrapped anew.
pub struct Keyring {
    current: Arc<dyn KeySource>,
    previous: Option<Arc<dyn KeySource>>,
    stays_open: Option<Duration>,
}

impl Keyring {
    /// A keyring on this source.
    pub fn new(source: impl KeySource + 'static) -> Self {
        Self::moving(Arc::new(source), None)
    }

    /// A keyring on this source; what `previous` wrapped opens, too.
    pub fn moving(current: Arc<dyn KeySource>, previous: Option<Arc<dyn KeySource>>) -> Self {
        Self { current, previous, stays_open: None }
    }

    /// The same with a bound on how long what it opened may stay open while the source is away.
    #[must_use]
    pub fn staying_open(self, at_most: Option<Duration>) -> Self {
        Self { stays_open: at_most, ..self }
    }

    /// How long what it opened may stay open while the source is away; `None` is without end.
    pub fn stays_open(&self) -> Option<Duration> {
        self.stays_open
    }

    /// The source that wraps.
    pub fn current(&self) -> &dyn KeySource {
        &*self.current
    }

    /// The source that wrapped before.
    pub fn previous(&self) -> Option<&dyn KeySource> {
        self.previous.as_deref()
    }

    /// A new data key, wrapped. To use it, open it.
    pub async fn new_data_key(
        &self,
        organization: &[u8],
        purpose: Purpose,
        fresh: Fresh,
    ) -> Result<WrappedKey, DataKeyError> {
        self.wrap(organization, purpose, fresh).await
    }

    /// The data key in `wrapped`, if it was made for this organization and purpose and one of the
    /// sources opens it.
    pub async fn open_data_key(
        &self,
        organization: &[u8],
        purpose: Purpose,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, DataKeyError> {
        let parts = wrapped.parts().ok_or(OpenError)?;
        let source = self.source_of(parts.source_key_id)?;
        let wrapping = source.unwrap(parts.source_key_id, parts.wrapping).await?;
        let associated = wrapping_context(parts.header, organization, purpose)?;
        let secret = committing::open(&wrapping, &associated, parts.body)?;
        if secret.expose().len() != DATA_KEY_BYTES {
            return Err(OpenError.into());
        }
        Ok(DataKey::new(parts.key_id, purpose, secret))
    }

    /// The same data key, wrapped under the newest version of the current source.
    pub async fn rewrap(
        &self,
        organization: &[u8],
        purpose: Purpose,
        wrapped: &WrappedKey,
        fresh: Fresh,
    ) -> Result<WrappedKey, DataKeyError> {
        let key = self.open_data_key(organization, purpose, wrapped).await?;
        let (key_id, secret) = (key.id(), SecretBytes::new(key.secret().expose().to_vec()));
        self.wrap(organization, purpose, Fresh { key_id, secret, ..fresh }).await
    }

    async fn wrap(
        &self,
        organization: &[u8],
        purpose: Purpose,
        fresh: Fresh,
    ) -> Result<WrappedKey, DataKeyError> {
        let Fresh { key_id, secret, wrapping, source_nonce, nonce } = fresh;
        let by_source = self.current.wrap(&wrapping, &source_nonce).await?;
        // It may replace the only wrapping there is: what a source gives is believed when it opens.
        let back = self.current.unwrap(&by_source.key_id, &by_source.bytes).await?;
        if !constant_time_equal(back.expose(), wrapping.expose()) {
            return Err(OpenError.into());
        }
        let too_long = by_source.key_id.len() > MAX_SOURCE_KEY_ID_BYTES
            || by_source.bytes.len() > MAX_WRAPPING_BYTES;
        let length = u16::try_from(by_source.bytes.len()).ok().filter(|_| !too_long);
        let length = length.ok_or(SealError::PlaceTooLong)?;
        let mut wrapped = [MAGIC, &[ALGORITHM]].concat();
        push_with_u8_length(&mut wrapped, by_source.key_id.as_bytes())?;
        wrapped.extend_from_slice(key_id.as_bytes());
        wrapped.extend_from_slice(&length.to_be_bytes());
        wrapped.extend_from_slice(&by_source.bytes);
        let associated = wrapping_context(&wrapped, organization, purpose)?;
        committing::seal_with_nonce(&wrapping, &associated, secret.expose(), &nonce, &mut wrapped)?;
        Ok(WrappedKey(wrapped))
    }

    fn source_of(&self, key_id: &str) -> Result<&dyn KeySource, DataKeyError> {
        let sources = [Some(self.current()), self.previous()];
        let mut sources = sources.into_iter().flatten();
        sources.find(|source| source.holds(key_id)).ok_or_else(|| {
            let mut present = self.current.place();
            if let Some(previous) = &self.previous {
                present = format!("{present} or {}", previous.place());
            }
            DataKeyError::OtherSource { wanted: key_id.to_owned(), present }
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keyring({})", self.current.place())
    }
}

/// The header is longer than a part may be, so its digest stands for it.
fn wrapping_context(
    header: &[u8],
    organization: &[u8],
    purpose: Purpose,
) -> Result<Vec<u8>, SealError> {
    let header = crate::Digest::sha256(header);
    associated_data(&[
        b"tw/wrapped-key/v2",
        header.as_bytes(),
        organization,
        purpose.name().as_bytes(),
    ])
}

#[cfg(test)]
mod tests;
