//! Nonces of signed requests: each is taken once for its key.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const CLAIM: Insert = Insert {
    into: "-- nonces::claim\nINSERT INTO nonces (key_id, nonce_hash, at)",
    columns: 3,
    tail: "ON CONFLICT (key_id, nonce_hash) DO NOTHING RETURNING key_id",
};
const SINCE: &str = "-- nonces::since\n\
    SELECT key_id, nonce_hash, at FROM nonces WHERE at >= $1 ORDER BY at";
const PURGE: &str = "-- nonces::purge\nDELETE FROM nonces WHERE at < $1";

pub(crate) const STATEMENTS: &[&str] = &[SINCE, PURGE];
pub(crate) const INSERTS: &[&Insert] = &[&CLAIM];

/// A nonce that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NonceRow {
    /// The key it was signed with.
    pub key_id: Id<id::Key>,
    /// The SHA-256 of the nonce.
    pub nonce_hash: [u8; 32],
    /// Until when the request that carried it could be taken again.
    pub at: Timestamp,
}

/// Takes nonces that were not taken before, and says how many of them were not. They must be sorted,
/// so that two nodes wait for each other in one order, and hold none twice.
pub async fn claim(tx: &mut Tx<'_>, nonces: &[NonceRow]) -> Result<usize, Error> {
    let mut values = Vec::with_capacity(nonces.len().saturating_mul(CLAIM.columns));
    for nonce in nonces {
        values.extend([nonce.key_id.into(), Value::Hash(nonce.nonce_hash), nonce.at.into()]);
    }
    Ok(tx.insert(&CLAIM, &values).await?.len())
}

/// The nonces whose requests could be taken at `horizon` or later.
pub async fn since(store: &Store, horizon: Timestamp) -> Result<Vec<NonceRow>, Error> {
    let rows = store.query(SINCE, vec![horizon.into()]).await?;
    rows.into_iter()
        .map(|mut row| Ok(NonceRow { key_id: row.id()?, nonce_hash: row.hash()?, at: row.time()? }))
        .collect()
}

/// Forgets the nonces whose requests can no longer be taken at `horizon`.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<u64, Error> {
    tx.execute(PURGE, &[horizon.into()]).await
}
