//! Versions of a key source's key that an audit entry names, and whether a node is having another one
//! made.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::Value;
use tradewarden_domain::time::Timestamp;

const IS_ENTERED: &str = "-- source_keys::is_entered\n\
    SELECT source_key FROM source_keys WHERE source_key = $1";
const ENTER: &str = "-- source_keys::enter\n\
    INSERT INTO source_keys (source_key) VALUES ($1) ON CONFLICT (source_key) DO NOTHING";
const BEGIN: &str = "-- source_keys::begin\n\
    INSERT INTO source_keys (source_key, rotated_by, rotated_at) VALUES ($1, $2, $3) \
    ON CONFLICT (source_key) DO UPDATE \
    SET rotated_by = excluded.rotated_by, rotated_at = excluded.rotated_at";
const BEGUN: &str = "-- source_keys::begun\n\
    SELECT rotated_by, rotated_at FROM source_keys WHERE rotated_at IS NOT NULL \
    ORDER BY rotated_at DESC LIMIT 1";
const END: &str = "-- source_keys::end\n\
    UPDATE source_keys SET rotated_by = NULL, rotated_at = NULL WHERE rotated_at IS NOT NULL";

pub(crate) const STATEMENTS: &[&str] = &[IS_ENTERED, ENTER, BEGIN, BEGUN, END];

/// A node was about to have the source make another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The node's name.
    pub node: String,
    /// When.
    pub begun_at: Timestamp,
}

/// Whether an entry names this version.
pub async fn is_entered(store: &Store, source_key: &str) -> Result<bool, Error> {
    Ok(store.query_one(IS_ENTERED, vec![source_key.into()]).await?.is_some())
}

/// Notes that an entry in this transaction names this version; `false` if one did already.
pub async fn enter(tx: &mut Tx<'_>, source_key: &str) -> Result<bool, Error> {
    Ok(tx.execute(ENTER, &[source_key.into()]).await? == 1)
}

/// Notes that this node is about to have the source make the version after `source_key`.
pub async fn begin_rotation(
    tx: &mut Tx<'_>,
    source_key: &str,
    node: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let parameters: [Value; 3] = [source_key.into(), node.into(), now.into()];
    tx.execute_one(BEGIN, &parameters).await
}

/// The newest rotation that was begun and whose end nobody noted.
pub async fn begun(store: &Store) -> Result<Option<Rotation>, Error> {
    let Some(mut row) = store.query_one(BEGUN, Vec::new()).await? else { return Ok(None) };
    Ok(Some(Rotation { node: row.text()?, begun_at: row.time()? }))
}

/// Notes that what was begun has come to its end, with whichever version.
pub async fn end_rotations(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.execute(END, &[]).await.map(|_| ())
}
