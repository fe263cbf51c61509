//! Watches of losses: one for each account and strategy that has a loss limit.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use std::fmt;
use std::str::FromStr;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::UnknownWord;
use tradewarden_domain::time::Timestamp;

const PUT: &str = "-- losses::put\n\
    INSERT INTO losses (account_id, scope, watch, updated_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (account_id, scope) DO UPDATE SET watch = excluded.watch, \
    updated_at = excluded.updated_at";
const REMOVE: &str = "-- losses::remove\nDELETE FROM losses WHERE account_id = $1 AND scope = $2";
const OF_ACCOUNT: &str = "-- losses::of_account\n\
    SELECT scope, watch, updated_at FROM losses WHERE account_id = $1 ORDER BY scope";

pub(crate) const STATEMENTS: &[&str] = &[PUT, REMOVE, OF_ACCOUNT];

/// What is watched on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// All of it.
    Account,
    /// One strategy.
    Strategy(Id<id::Strategy>),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Strategy(id) => id.fmt(f),
        }
    }
}

impl FromStr for Watched {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "account" => Ok(Self::Account),
            id => id.parse().map(Self::Strategy).map_err(|_| UnknownWord),
        }
    }
}

/// A watch as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWatch {
    /// What it watches.
    pub watched: Watched,
    /// Its state, as JSON.
    pub watch: String,
    /// When it was written.
    pub updated_at: Timestamp,
}

/// Writes a watch as it stands now.
pub async fn put(
    tx: &mut Tx<'_>,
    account: Id<id::Account>,
    watched: Watched,
    watch: String,
    now: Timestamp,
) -> Result<(), Error> {
    let values = [account.into(), watched.to_string().into(), watch.into(), now.into()];
    tx.execute_one(PUT, &values).await
}

/// Ends a watch; nothing happens if there is none.
pub async fn remove(
    tx: &mut Tx<'_>,
    account: Id<id::Account>,
    watched: Watched,
) -> Result<(), Error> {
    tx.execute(REMOVE, &[account.into(), watched.to_string().into()]).await.map(|_| ())
}

/// All watches of an account.
pub async fn of_account(
    store: &Store,
    account: Id<id::Account>,
) -> Result<Vec<StoredWatch>, Error> {
    let rows = store.query(OF_ACCOUNT, vec![Value::from(account)]).await?;
    rows.into_iter().map(decode).collect()
}

/// The same inside a transaction; the account's row must be locked.
pub async fn of_account_in(
    tx: &mut Tx<'_>,
    account: Id<id::Account>,
) -> Result<Vec<StoredWatch>, Error> {
    tx.query(OF_ACCOUNT, &[Value::from(account)]).await?.into_iter().map(decode).collect()
}

fn decode(mut row: Row) -> Result<StoredWatch, Error> {
    Ok(StoredWatch { watched: row.word()?, watch: row.text()?, updated_at: row.time()? })
}
