//! The accounts at the authorities that issue certificates, each with its key.

use crate::Error;
use crate::dialect::{Store, Tx};
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- acme_accounts::insert\n\
    INSERT INTO acme_accounts (directory, credentials, created_at) VALUES ($1, $2, $3) \
    ON CONFLICT (directory) DO NOTHING";
const FIND: &str = "-- acme_accounts::find\n\
    SELECT credentials FROM acme_accounts WHERE directory = $1";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, FIND];

/// Keeps the account at the authority with this directory, sealed; `false` if there is one already, which
/// stays.
pub async fn insert(
    tx: &mut Tx<'_>,
    directory: &str,
    credentials: Vec<u8>,
    now: Timestamp,
) -> Result<bool, Error> {
    crate::keys::hold(tx, &credentials).await?;
    let values = [directory.into(), credentials.into(), now.into()];
    Ok(tx.execute(INSERT, &values).await? == 1)
}

/// The account at this authority, sealed.
pub async fn find(store: &Store, directory: &str) -> Result<Option<Vec<u8>>, Error> {
    let row = store.query_one(FIND, vec![directory.into()]).await?;
    row.map(|mut row| row.bytes()).transpose()
}
