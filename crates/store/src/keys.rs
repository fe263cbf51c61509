//! Wrapped data keys: for each organization and purpose the newest, which seals, and older ones that
//! still open.

use crate::Error;
use crate::api_keys;
use crate::dialect::{Lock, Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::KeyState;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{DataKeyId, WrappedKey};

/// Rows that [`page`] reads at once.
pub const PAGE: usize = 256;
/// Most keys of one organization and purpose.
pub const VERSIONS_MAX: usize = 64;

const OF: &str = "-- keys::of\n\
    SELECT org_id, purpose, version, wrapped, created_at FROM data_keys \
    WHERE org_id = $1 AND purpose = $2 ORDER BY version DESC LIMIT $3";
const OF_PURPOSE: &str = "-- keys::of_purpose\n\
    SELECT org_id, purpose, version, wrapped, created_at FROM data_keys \
    WHERE purpose = $1 ORDER BY org_id, version DESC";
const PAGE_AFTER: &str = "-- keys::page\n\
    SELECT org_id, purpose, version, wrapped, created_at FROM data_keys \
    WHERE (org_id, purpose, version) > ($1, $2, $3) \
    ORDER BY org_id, purpose, version LIMIT $4";
const INSERT: &str = "-- keys::insert\n\
    INSERT INTO data_keys (org_id, purpose, version, wrapped, created_at, key_id) \
    VALUES ($1, $2, $3, $4, $5, $6)";
const REPLACED: &str = "-- keys::replaced\n\
    SELECT org_id, purpose, version, wrapped, created_at FROM data_keys AS older \
    WHERE EXISTS (SELECT 1 FROM data_keys AS newer WHERE newer.org_id = older.org_id \
    AND newer.purpose = older.purpose AND newer.version > older.version) \
    ORDER BY org_id, purpose, version LIMIT $1";
const NEWEST_MADE: &str = "-- keys::newest_made\n\
    SELECT created_at FROM data_keys ORDER BY created_at DESC LIMIT 1";
const HOLD: &str = "-- keys::hold\nSELECT version FROM data_keys WHERE key_id = $1";
const LOCK: &str = "-- keys::lock\n\
    SELECT version FROM data_keys WHERE org_id = $1 AND purpose = $2 ORDER BY version DESC";
const RETIRE: &str = "-- keys::retire\n\
    DELETE FROM data_keys WHERE org_id = $1 AND purpose = $2 AND version = $3";
const REWRAP: &str = "-- keys::rewrap\n\
    UPDATE data_keys SET wrapped = $4 \
    WHERE org_id = $1 AND purpose = $2 AND version = $3 AND wrapped = $5";
const NOTE_WRAPPING: &str = "-- keys::note_wrapping\n\
    INSERT INTO wrappings (key_id, source_key) VALUES ($1, $2) \
    ON CONFLICT (key_id, source_key) DO NOTHING";
const WRAPPED: &str = "-- keys::wrapped\n\
    SELECT version, wrapped FROM data_keys WHERE org_id = $1 AND purpose = $2 ORDER BY version";
const OVERWRITE: &str = "-- keys::overwrite\n\
    UPDATE data_keys SET wrapped = $4 WHERE org_id = $1 AND purpose = $2 AND version = $3";
const ERASE: &str = "-- keys::erase\nDELETE FROM data_keys WHERE org_id = $1 AND purpose = $2";
const NOTE_ERASED: &str = "-- keys::note_erased\n\
    INSERT INTO erased_keys (org_id, purpose, version, erased_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (org_id, purpose, version) DO UPDATE SET erased_at = excluded.erased_at";
const ERASED: &str = "-- keys::erased\n\
    SELECT org_id, purpose, version, erased_at FROM erased_keys \
    ORDER BY org_id, purpose, version DESC LIMIT $1";
const GONE: &str = "-- keys::gone\n\
    SELECT source_key, COUNT(*) FROM wrappings WHERE NOT EXISTS \
    (SELECT 1 FROM data_keys WHERE data_keys.key_id = wrappings.key_id) \
    GROUP BY source_key ORDER BY source_key LIMIT $1";
const FORGET_SIGNING: &str = "-- keys::forget_signing\n\
    UPDATE webhooks SET signing_secret = NULL WHERE org_id = $1 AND signing_secret IS NOT NULL";
const FORGET_PREVIOUS: &str = "-- keys::forget_previous\n\
    UPDATE previous_secrets SET signing_secret = NULL WHERE signing_secret IS NOT NULL \
    AND webhook_id IN (SELECT id FROM webhooks WHERE org_id = $1)";
const SHARED: &str = "-- keys::shared\n\
    SELECT id FROM api_keys WHERE org_id = $1 AND algorithm = 'hmac-sha256' ORDER BY id";
const REVOKE_SHARED: &str = "-- keys::revoke_shared\n\
    UPDATE api_keys SET state = 'revoked', material = $2 \
    WHERE org_id = $1 AND algorithm = 'hmac-sha256'";

pub(crate) const STATEMENTS: &[&str] = &[
    OF,
    OF_PURPOSE,
    SHARED,
    PAGE_AFTER,
    INSERT,
    REPLACED,
    NEWEST_MADE,
    HOLD,
    LOCK,
    RETIRE,
    REWRAP,
    NOTE_WRAPPING,
    WRAPPED,
    OVERWRITE,
    ERASE,
    NOTE_ERASED,
    ERASED,
    GONE,
    FORGET_SIGNING,
    FORGET_PREVIOUS,
    REVOKE_SHARED,
];

/// A wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Whose records it seals; zeros stand for the installation.
    pub org_id: Id<id::Org>,
    /// What it is for.
    pub purpose: String,
    /// Counted from 1; the greatest seals.
    pub version: i64,
    /// The key, wrapped.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The keys of an organization for a purpose, the newest first.
pub async fn of(
    store: &Store,
    org: Id<id::Org>,
    purpose: &'static str,
) -> Result<Vec<KeyRow>, Error> {
    let most = i64::try_from(VERSIONS_MAX).unwrap_or(i64::MAX);
    let rows = store.query(OF, vec![org.into(), Value::Word(purpose), most.into()]).await?;
    rows.into_iter().map(decode).collect()
}

/// The keys of all organizations for a purpose, by organization and the newest first.
pub async fn of_purpose(store: &Store, purpose: &'static str) -> Result<Vec<KeyRow>, Error> {
    let rows = store.query(OF_PURPOSE, vec![Value::Word(purpose)]).await?;
    rows.into_iter().map(decode).collect()
}

/// At most [`PAGE`] keys after this one, in the order of organization, purpose and version.
pub async fn page(store: &Store, after: Option<&KeyRow>) -> Result<Vec<KeyRow>, Error> {
    let (org, purpose, version) = match after {
        Some(row) => (row.org_id, row.purpose.as_str(), row.version),
        None => (Id::from_bytes([0; 16]), "", 0),
    };
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let parameters = vec![org.into(), purpose.into(), version.into(), most.into()];
    let rows = store.query(PAGE_AFTER, parameters).await?;
    rows.into_iter().map(decode).collect()
}

/// Stores a wrapped key.
pub async fn insert(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
    version: i64,
    wrapped: Vec<u8>,
    now: Timestamp,
) -> Result<(), Error> {
    note_wrapping(tx, &wrapped).await?;
    let key_id = WrappedKey::from_stored(wrapped.clone()).key_id();
    let key_id = key_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let parameters = [
        org.into(),
        Value::Word(purpose),
        version.into(),
        wrapped.into(),
        now.into(),
        key_id.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Keys that a newer one has taken the place of, at most [`PAGE`], in the order of [`page`].
pub async fn replaced(store: &Store) -> Result<Vec<KeyRow>, Error> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    store.query(REPLACED, vec![most.into()]).await?.into_iter().map(decode).collect()
}

/// When the newest key of all was made.
pub async fn newest_made(store: &Store) -> Result<Option<Timestamp>, Error> {
    store.query_one(NEWEST_MADE, Vec::new()).await?.map(|mut row| row.time()).transpose()
}

/// Holds the key that sealed `record` until the commit, so that it is not retired or erased under
/// what is written with it. An error if it was already: the record would never open. What is no
/// sealed record passes.
pub async fn hold(tx: &mut Tx<'_>, record: &[u8]) -> Result<(), Error> {
    let Some(id) = DataKeyId::of_record(record) else { return Ok(()) };
    let named = vec![id.as_bytes().to_vec().into()];
    let found = tx.lock_each(HOLD, &[named], Lock::Share).await?;
    if found.iter().all(Vec::is_empty) {
        return Err(Error::unreadable("the data key was replaced meanwhile: try again"));
    }
    Ok(())
}

/// The versions of the keys of an organization for a purpose, the newest first, locked.
pub async fn lock(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
) -> Result<Vec<i64>, Error> {
    let wanted = vec![org.into(), Value::Word(purpose)];
    let found = tx.lock_each(LOCK, &[wanted], Lock::Update).await?;
    found.into_iter().flatten().map(|mut row| row.int()).collect()
}

/// Takes away a key that sealed nothing which is still there.
pub async fn retire(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
    version: i64,
) -> Result<(), Error> {
    tx.execute_one(RETIRE, &[org.into(), Value::Word(purpose), version.into()]).await
}

async fn note_wrapping(tx: &mut Tx<'_>, wrapped: &[u8]) -> Result<(), Error> {
    let wrapped = WrappedKey::from_stored(wrapped.to_vec());
    let (Some(id), Some(source_key)) = (wrapped.key_id(), wrapped.source_key_id()) else {
        return Ok(());
    };
    let noted = [id.as_bytes().to_vec().into(), source_key.into()];
    tx.execute(NOTE_WRAPPING, &noted).await.map(|_| ())
}

/// A data key that was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedKey {
    /// Whose it was.
    pub org_id: Id<id::Org>,
    /// What it was for.
    pub purpose: String,
    /// Which one.
    pub version: i64,
    /// When.
    pub erased_at: Timestamp,
}

/// The data keys that were erased, by organization and purpose and the newest first; at most
/// [`PAGE`].
pub async fn erased(store: &Store) -> Result<Vec<ErasedKey>, Error> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let rows = store.query(ERASED, vec![most.into()]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(ErasedKey {
                org_id: row.id()?,
                purpose: row.text()?,
                version: row.int()?,
                erased_at: row.time()?,
            })
        })
        .collect()
}

/// The versions of sources' keys that once wrapped data keys which are gone, each with how many; at
/// most [`PAGE`].
pub async fn gone(store: &Store) -> Result<Vec<(String, i64)>, Error> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let rows = store.query(GONE, vec![most.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.text()?, row.int()?))).collect()
}

/// What was taken away with the keys of intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Webhooks that had a signing secret.
    pub webhooks: u64,
    /// API keys with a shared secret; all are revoked.
    pub api_keys: u64,
}

/// Takes away what an erased key of intake sealed: signing secrets of webhooks, and API keys with a
/// shared secret, which verify nothing without it.
pub async fn forget_sealed(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<Forgotten, Error> {
    let webhooks = tx.execute(FORGET_SIGNING, &[org.into()]).await?;
    tx.execute(FORGET_PREVIOUS, &[org.into()]).await?;
    for mut row in tx.query(SHARED, &[org.into()]).await? {
        let revoked = [row.id::<id::Key>()?.into(), Value::Word(KeyState::Revoked.text())];
        tx.execute(api_keys::SET_STATE, &revoked).await?;
    }
    let api_keys = tx.execute(REVOKE_SHARED, &[org.into(), Vec::new().into()]).await?;
    Ok(Forgotten { webhooks, api_keys })
}

/// Erases the keys of an organization for a purpose: what is sealed under them never opens again.
/// Each is overwritten before its row is deleted, and noted as erased. Answers whether there was one.
pub async fn erase(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
    now: Timestamp,
) -> Result<bool, Error> {
    lock(tx, org, purpose).await?;
    for mut row in tx.query(WRAPPED, &[org.into(), Value::Word(purpose)]).await? {
        let (version, wrapped) = (row.int()?, row.bytes()?);
        let blank = vec![0_u8; wrapped.len()];
        let overwritten = [org.into(), Value::Word(purpose), version.into(), blank.into()];
        tx.execute_one(OVERWRITE, &overwritten).await?;
        let noted = [org.into(), Value::Word(purpose), version.into(), now.into()];
        tx.execute_one(NOTE_ERASED, &noted).await?;
    }
    Ok(tx.execute(ERASE, &[org.into(), Value::Word(purpose)]).await? > 0)
}

/// Puts another wrapping of the same key in the place of the one that was read; `false` if it is not
/// there any more.
pub async fn rewrap(tx: &mut Tx<'_>, read: &KeyRow, wrapped: Vec<u8>) -> Result<bool, Error> {
    note_wrapping(tx, &wrapped).await?;
    let parameters = [
        read.org_id.into(),
        read.purpose.as_str().into(),
        read.version.into(),
        wrapped.into(),
        read.wrapped.clone().into(),
    ];
    Ok(tx.execute(REWRAP, &parameters).await? == 1)
}

fn decode(mut row: Row) -> Result<KeyRow, Error> {
    Ok(KeyRow {
        org_id: row.id()?,
        purpose: row.text()?,
        version: row.int()?,
        wrapped: row.bytes()?,
        created_at: row.time()?,
    })
}
