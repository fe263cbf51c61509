//! Wrapped data keys: one for each organization and purpose.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const FIND: &str =
    "-- keys::find\nSELECT wrapped FROM data_keys WHERE org_id = $1 AND purpose = $2";
const INSERT: &str = "-- keys::insert\n\
    INSERT INTO data_keys (org_id, purpose, wrapped, created_at) VALUES ($1, $2, $3, $4)";

const ERASE: &str = "-- keys::erase\nDELETE FROM data_keys WHERE org_id = $1 AND purpose = $2";

pub(crate) const STATEMENTS: &[&str] = &[FIND, INSERT, ERASE];

/// The wrapped key of an organization for a purpose.
pub async fn find(
    store: &Store,
    org: Id<id::Org>,
    purpose: &'static str,
) -> Result<Option<Vec<u8>>, Error> {
    let row = store.query_one(FIND, vec![org.into(), Value::Word(purpose)]).await?;
    row.map(|mut row| row.bytes()).transpose()
}

/// Stores a wrapped key.
pub async fn insert(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
    wrapped: Vec<u8>,
    now: Timestamp,
) -> Result<(), Error> {
    let parameters = [org.into(), Value::Word(purpose), wrapped.into(), now.into()];
    tx.execute_one(INSERT, &parameters).await
}

/// Forgets the key of an organization for a purpose: what is sealed under it never opens again.
/// Answers whether there was one.
pub async fn erase(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    purpose: &'static str,
) -> Result<bool, Error> {
    Ok(tx.execute(ERASE, &[org.into(), Value::Word(purpose)]).await? == 1)
}
