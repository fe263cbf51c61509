//! Wrapped data keys: for each organization and purpose the newest, which seals, and older ones that
//! still open.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

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
    INSERT INTO data_keys (org_id, purpose, version, wrapped, created_at) \
    VALUES ($1, $2, $3, $4, $5)";
const REWRAP: &str = "-- keys::rewrap\n\
    UPDATE data_keys SET wrapped = $4 \
    WHERE org_id = $1 AND purpose = $2 AND version = $3 AND wrapped = $5";
const ERASE: &str = "-- keys::erase\nDELETE FROM data_keys WHERE org_id = $1 AND purpose = $2";

pub(crate) const STATEMENTS: &[&str] = &[OF, OF_PURPOSE, PAGE_AFTER, INSERT, REWRAP, ERASE];

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
    let parameters = [org.into(), Value::Word(purpose), version.into(), wrapped.into(), now.into()];
    tx.execute_one(INSERT, &parameters).await
}

/// Forgets the keys of an organization for a purpose: what is sealed under it never opens again.
/// Answers whether there was one.
pub async fn erase(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
) -> Result<bool, Error> {
    Ok(tx.execute(ERASE, &[org.into(), Value::Word(purpose)]).await? > 0)
}

/// Puts another wrapping of the same key in the place of the one that was read; `false` if it is not
/// there any more.
pub async fn rewrap(tx: &mut Tx<'_>, read: &KeyRow, wrapped: Vec<u8>) -> Result<bool, Error> {
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
