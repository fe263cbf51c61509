//! Data keys: for each organization and purpose one that seals, and older ones that still open, each
//! wrapped by the key source, so that destroying the wrapped keys erases all that they sealed.
//!
//! A wrapped key is public in the sense that it may be stored beside the data:
//! ```text
//! "TWK1" | algorithm u8 = 3 | length u8, source key id | key id 16 | length u16 be, wrapping | nonce 24 | commitment 32 | ciphertext 32 || tag 16
//! ```
//! The source wraps 32 random bytes that are made for this data key alone (`wrapping`); under them the
//! data key is sealed here, together with everything before the nonce, the organization, the purpose
//! and the data key's version. So it opens only for the row it was made for, whatever a source can or
//! cannot bind: with two versions, exchanging them does not make the older one seal again. The source
//! never sees a data key. Keeping a purpose away from a node means not giving it the rows.
//!
//! Algorithms 1 and 2 did not bind the version; they were never released, and nothing reads them.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    DataKey, DataKeyId, KeySource, MAX_SOURCE_KEY_ID_BYTES, MAX_WRAPPING_BYTES, OpenError,
    Randomness, SOURCE_NONCE_BYTES, SealError, SecretBytes, SourceError, Wrapping, committing,
    constant_time_equal,
    envelope::{associated_data, push_with_u8_length, split_u8_length},
    randomness::random_array,
};

const MAGIC: &[u8] = b"TWK1";
const ALGORITHM: u8 = 3;
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

/// What a data key is for, all of which is bound into its wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataKeyPlace<'a> {
    /// Whose it is.
    pub organization: &'a [u8],
    /// What it seals.
    pub purpose: Purpose,
    /// Which one it is of those for this organization and purpose, from 1.
    pub version: i64,
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
    /// Damaged, moved from another organization, purpose or version, or wrapped by a different key.
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
            Self::DoesNotOpen(_) => formatter.write_str(
                "the data key is damaged or belongs to another organization, purpose or version",
            ),
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

/// The key sources of a gateway: one that wraps, and others that wrapped before and still open, until
/// everything was wrapped anew.
#[derive(Clone)]
pub struct KeySources {
    /// The one that wraps.
    pub current: Arc<dyn KeySource>,
    /// The others, most likely one first.
    pub others: Vec<Arc<dyn KeySource>>,
    /// How long what they opened may stay open while the current one is away; `None` is without end.
    pub stay_open: Option<Duration>,
}

/// Makes and opens data keys with key sources, which may be replaced by others at any moment.
pub struct Keyring {
    sources: RwLock<Arc<KeySources>>,
}

impl Keyring {
    /// A keyring on this source.
    pub fn new(source: impl KeySource + 'static) -> Self {
        Self::moving(Arc::new(source), None)
    }

    /// A keyring on this source; what `previous` wrapped opens, too.
    pub fn moving(current: Arc<dyn KeySource>, previous: Option<Arc<dyn KeySource>>) -> Self {
        let others = previous.into_iter().collect();
        Self::on(KeySources { current, others, stay_open: None })
    }

    /// A keyring on these sources.
    pub fn on(sources: KeySources) -> Self {
        Self { sources: RwLock::new(Arc::new(sources)) }
    }

    /// The same with a bound on how long what it opened may stay open while the source is away.
    #[must_use]
    pub fn staying_open(self, at_most: Option<Duration>) -> Self {
        Self::on(KeySources { stay_open: at_most, ..KeySources::clone(&self.sources()) })
    }

    /// The sources there are. Each call goes on with those that it began with.
    pub fn sources(&self) -> Arc<KeySources> {
        Arc::clone(&self.sources.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses these from now on.
    pub fn replace(&self, sources: KeySources) {
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sources);
    }

    /// How long what it opened may stay open while the source is away; `None` is without end.
    pub fn stays_open(&self) -> Option<Duration> {
        self.sources().stay_open
    }

    /// The source that wraps.
    pub fn current(&self) -> Arc<dyn KeySource> {
        Arc::clone(&self.sources().current)
    }

    /// A new data key, wrapped. To use it, open it.
    pub async fn new_data_key(
        &self,
        place: &DataKeyPlace<'_>,
        fresh: Fresh,
    ) -> Result<WrappedKey, DataKeyError> {
        let made = self.sources().wrap(vec![Ok((*place, fresh))]).await.pop();
        made.unwrap_or_else(|| Err(OpenError.into()))
    }

    /// The data key in `wrapped`, if it was made for this place and one of the sources opens it.
    pub async fn open_data_key(
        &self,
        place: &DataKeyPlace<'_>,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, DataKeyError> {
        let opened = self.open_data_keys(&[(*place, wrapped)]).await.pop();
        opened.unwrap_or_else(|| Err(OpenError.into()))
    }

    /// Several data keys, each for itself, in the order of what was asked for. A source that takes many
    /// at once is asked once for many; when it is away, it is not asked again for the rest.
    pub async fn open_data_keys(
        &self,
        wanted: &[(DataKeyPlace<'_>, &WrappedKey)],
    ) -> Vec<Result<DataKey, DataKeyError>> {
        self.sources().open(wanted).await
    }

    /// The same data keys, each wrapped under the newest version of the current source, in the order of
    /// what was asked for.
    pub async fn rewrap(
        &self,
        wanted: Vec<(DataKeyPlace<'_>, &WrappedKey, Fresh)>,
    ) -> Vec<Result<WrappedKey, DataKeyError>> {
        let sources = self.sources();
        let stored: Vec<_> = wanted.iter().map(|(place, wrapped, _)| (*place, *wrapped)).collect();
        let opened = sources.open(&stored).await;
        let same = wanted.into_iter().zip(opened).map(|((place, _, fresh), key)| {
            let key = key?;
            let secret = SecretBytes::new(key.secret().expose().to_vec());
            Ok((place, Fresh { key_id: key.id(), secret, ..fresh }))
        });
        sources.wrap(same.collect()).await
    }
}

impl KeySources {
    /// All of them, the one that wraps first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn KeySource>> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// Whether this very source is among them.
    pub fn have(&self, source: &Arc<dyn KeySource>) -> bool {
        self.all().any(|one| Arc::ptr_eq(one, source))
    }

    /// These, and behind them those of `more` that are not among them.
    #[must_use]
    pub fn beside(&self, more: &Self) -> Self {
        let further = more.all().filter(|source| !self.have(source)).cloned();
        let others = self.others.iter().cloned().chain(further).collect();
        Self { others, ..self.clone() }
    }

    async fn open(
        &self,
        wanted: &[(DataKeyPlace<'_>, &WrappedKey)],
    ) -> Vec<Result<DataKey, DataKeyError>> {
        let parts: Vec<Result<WrappedParts<'_>, DataKeyError>> =
            wanted.iter().map(|(_, wrapped)| wrapped.parts().ok_or(OpenError.into())).collect();
        let asked: Vec<Result<(&str, &[u8]), DataKeyError>> = parts
            .iter()
            .map(|parts| match parts {
                Ok(parts) => Ok((parts.source_key_id, parts.wrapping)),
                Err(error) => Err(error.clone()),
            })
            .collect();
        let secrets = self.unwrap(&asked).await;
        let found = wanted.iter().zip(parts).zip(secrets);
        found
            .map(|(((place, _), parts), secret)| {
                let (parts, wrapping) = (parts?, secret?);
                let associated = wrapping_context(parts.header, place)?;
                let secret = committing::open(&wrapping, &associated, parts.body)?;
                if secret.expose().len() != DATA_KEY_BYTES {
                    return Err(OpenError.into());
                }
                Ok(DataKey::new(parts.key_id, place.purpose, secret))
            })
            .collect()
    }

    async fn wrap(
        &self,
        wanted: Vec<Result<(DataKeyPlace<'_>, Fresh), DataKeyError>>,
    ) -> Vec<Result<WrappedKey, DataKeyError>> {
        let mut by_source: Vec<Result<Wrapping, DataKeyError>> = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(self.current.at_once().max(1)) {
            let asked: Vec<_> = some
                .iter()
                .flatten()
                .map(|(_, fresh)| (&fresh.wrapping, &fresh.source_nonce))
                .collect();
            let mut answers = answered(self.current.wrap_many(&asked).await, asked.len());
            by_source.extend(some.iter().map(|one| match one {
                Ok(_) => answers.next().unwrap_or_else(|| Err(OpenError.into())),
                Err(error) => Err(error.clone()),
            }));
        }
        // It may replace the only wrapping there is: what a source gives is believed when it opens.
        let asked: Vec<Result<(&str, &[u8]), DataKeyError>> = by_source
            .iter()
            .map(|wrapping| match wrapping {
                Ok(wrapping) => Ok((wrapping.key_id.as_str(), wrapping.bytes.as_slice())),
                Err(error) => Err(error.clone()),
            })
            .collect();
        let back = self.unwrap(&asked).await;
        let found = wanted.into_iter().zip(&by_source).zip(back);
        found
            .map(|((one, by_source), back)| {
                let ((place, fresh), back) = (one?, back?);
                let by_source = by_source.as_ref().map_err(Clone::clone)?;
                if !constant_time_equal(back.expose(), fresh.wrapping.expose()) {
                    return Err(OpenError.into());
                }
                written(&place, fresh, by_source)
            })
            .collect()
    }

    /// What the sources open of this, in the same order.
    async fn unwrap(
        &self,
        wanted: &[Result<(&str, &[u8]), DataKeyError>],
    ) -> Vec<Result<SecretBytes, DataKeyError>> {
        let mut opened: Vec<Result<SecretBytes, DataKeyError>> = Vec::with_capacity(wanted.len());
        let mut rest = wanted;
        let mut away: Option<(&str, SourceError)> = None;
        while let Some(first) = rest.first() {
            let source = match first {
                Ok((key_id, _)) => self.source_of(key_id),
                Err(error) => Err(error.clone()),
            };
            let source = match source {
                Ok(source) => source,
                Err(error) => {
                    opened.push(Err(error));
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            };
            let own = rest.iter().map_while(|one| asked_of(source, one));
            let asked: Vec<_> = own.take(source.at_once().max(1)).collect();
            rest = rest.get(asked.len()..).unwrap_or_default();
            let answers = match &away {
                Some((kind, error)) if *kind == source.kind() => Err(error.clone()),
                _ => source.unwrap_many(&asked).await,
            };
            if let Err(error) = &answers {
                away = Some((source.kind(), error.clone()));
            }
            opened.extend(answered(answers, asked.len()));
        }
        opened
    }

    fn source_of(&self, key_id: &str) -> Result<&dyn KeySource, DataKeyError> {
        let found = self.all().find(|source| source.holds(key_id)).map(|source| &**source);
        found.ok_or_else(|| {
            let present = self.all().map(|source| source.place()).collect::<Vec<_>>().join(" or ");
            DataKeyError::OtherSource { wanted: key_id.to_owned(), present }
        })
    }
}

impl fmt::Debug for KeySources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.all().map(|source| source.place());
        formatter.debug_list().entries(places).finish()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keyring({})", self.current().place())
    }
}

/// What is asked for, if it is this source that opens it.
fn asked_of<'w>(
    source: &dyn KeySource,
    one: &Result<(&'w str, &'w [u8]), DataKeyError>,
) -> Option<(&'w str, &'w [u8])> {
    one.as_ref().ok().copied().filter(|(key_id, _)| source.holds(key_id))
}

/// One answer for each of so many that were asked for.
fn answered<T>(
    answers: Result<Vec<Result<T, SourceError>>, SourceError>,
    asked: usize,
) -> impl Iterator<Item = Result<T, DataKeyError>> {
    let (answers, missing) = match answers {
        Ok(answers) if answers.len() == asked => (answers, SourceError::DoesNotOpen),
        Ok(_) => (Vec::new(), SourceError::Refused("it answered another number".to_owned())),
        Err(error) => (Vec::new(), error),
    };
    let all = answers.into_iter().map(|answer| answer.map_err(DataKeyError::Source));
    all.chain(std::iter::repeat_with(move || Err(missing.clone().into()))).take(asked)
}

fn written(
    place: &DataKeyPlace<'_>,
    fresh: Fresh,
    by_source: &Wrapping,
) -> Result<WrappedKey, DataKeyError> {
    let Fresh { key_id, secret, wrapping, nonce, .. } = fresh;
    let too_long = by_source.key_id.len() > MAX_SOURCE_KEY_ID_BYTES
        || by_source.bytes.len() > MAX_WRAPPING_BYTES;
    let length = u16::try_from(by_source.bytes.len()).ok().filter(|_| !too_long);
    let length = length.ok_or(SealError::PlaceTooLong)?;
    let mut wrapped = [MAGIC, &[ALGORITHM]].concat();
    push_with_u8_length(&mut wrapped, by_source.key_id.as_bytes())?;
    wrapped.extend_from_slice(key_id.as_bytes());
    wrapped.extend_from_slice(&length.to_be_bytes());
    wrapped.extend_from_slice(&by_source.bytes);
    let associated = wrapping_context(&wrapped, place)?;
    committing::seal_with_nonce(&wrapping, &associated, secret.expose(), &nonce, &mut wrapped)?;
    Ok(WrappedKey(wrapped))
}

/// The header is longer than a part may be, so its digest stands for it.
fn wrapping_context(header: &[u8], place: &DataKeyPlace<'_>) -> Result<Vec<u8>, SealError> {
    let header = crate::Digest::sha256(header);
    associated_data(&[
        b"tw/wrapped-key/v3",
        header.as_bytes(),
        place.organization,
        place.purpose.name().as_bytes(),
        &place.version.to_be_bytes(),
    ])
}

#[cfg(test)]
mod tests;
