//! The keys that sign access tokens.

use crate::Error;
use crate::dialect::{Store, Tx};
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- token_keys::insert\n\
    INSERT INTO token_keys (id, material, verifier, created_at, retired_at) \
    VALUES ($1, $2, $3, $4, NULL)";
const ALL: &str = "-- token_keys::all\n\
    SELECT id, material, verifier, created_at, retired_at FROM token_keys \
    ORDER BY created_at, id";
const RETIRE: &str = "-- token_keys::retire_others\n\
    UPDATE token_keys SET retired_at = $2 WHERE id <> $1 AND retired_at IS NULL";
const PURGE: &str = "-- token_keys::purge\nDELETE FROM token_keys WHERE retired_at < $1";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, ALL, RETIRE, PURGE];

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKeyRow {
    /// Its name in a token's header.
    pub id: String,
    /// Its private half, sealed.
    pub material: Vec<u8>,
    /// Its public half.
    pub verifier: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When another took its place for signing.
    pub retired_at: Option<Timestamp>,
}

impl std::fmt::Debug for TokenKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKeyRow").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Stores a key that signs from now on; the others only verify what they signed.
pub async fn insert(tx: &mut Tx<'_>, key: &TokenKeyRow) -> Result<(), Error> {
    crate::keys::hold(tx, &key.material).await?;
    let parameters = [
        key.id.as_str().into(),
        key.material.clone().into(),
        key.verifier.as_str().into(),
        key.created_at.into(),
    ];
    tx.execute_one(INSERT, &parameters).await?;
    tx.execute(RETIRE, &[key.id.as_str().into(), key.created_at.into()]).await.map(|_| ())
}

/// Every key, oldest first.
pub async fn all(store: &Store) -> Result<Vec<TokenKeyRow>, Error> {
    let rows = store.query(ALL, Vec::new()).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(TokenKeyRow {
                id: row.text()?,
                material: row.bytes()?,
                verifier: row.text()?,
                created_at: row.time()?,
                retired_at: row.time_or_null()?,
            })
        })
        .collect()
}

/// Forgets keys that were retired before `horizon`.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<(), Error> {
    tx.execute(PURGE, &[horizon.into()]).await.map(|_| ())
}
