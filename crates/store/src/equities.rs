//! What brokers said of the equity of accounts: what a replay holds limits in percent of it against.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::Row;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;

const PUT: Insert = Insert {
    into: "-- equities::put\n\
           INSERT INTO equities (org_id, at, account_id, equity, heard_until)",
    columns: 5,
    tail: "ON CONFLICT (org_id, at, account_id) DO UPDATE SET heard_until = excluded.heard_until",
};
const AFTER: &str = "-- equities::after\n\
    SELECT org_id, at, account_id, equity, heard_until FROM equities \
    WHERE org_id = $1 AND (at, account_id) > ($2, $3) AND at < $4 \
    ORDER BY at, account_id LIMIT $5";
const NEWEST_BEFORE: &str = "-- equities::newest_before\n\
    SELECT equities.org_id, equities.at, equities.account_id, equities.equity, \
    equities.heard_until FROM accounts JOIN equities ON equities.account_id = accounts.id \
    WHERE accounts.org_id = $1 AND equities.at = (SELECT MAX(older.at) FROM equities AS older \
    WHERE older.account_id = accounts.id AND older.at < $2) ORDER BY equities.account_id";
const FORGET: &str = "-- equities::forget\n\
    DELETE FROM equities WHERE org_id IN (SELECT id FROM organizations) AND at < $1";

pub(crate) const STATEMENTS: &[&str] = &[AFTER, NEWEST_BEFORE, FORGET];
pub(crate) const INSERTS: &[&Insert] = &[&PUT];

/// What an account was worth by its broker's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEquity {
    /// The account's organization.
    pub org_id: Id<id::Org>,
    /// When it was said.
    pub at: Timestamp,
    /// Of which account.
    pub account_id: Id<id::Account>,
    /// Cash and positions at their mark, in the account's currency.
    pub equity: Money,
    /// Until when the broker was heard, with silences of a minute at most. What it said within a minute
    /// after `at` may be another sum.
    pub heard_until: Timestamp,
}

/// Writes what was said; of what is there already, until when it was heard.
pub async fn put(tx: &mut Tx<'_>, equities: &[StoredEquity]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(equities.len().saturating_mul(PUT.columns));
    for said in equities {
        values.extend([
            said.org_id.into(),
            said.at.into(),
            said.account_id.into(),
            said.equity.units().into(),
            said.heard_until.into(),
        ]);
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// At most `count` of an organization after this time and account, and before `to`, in that order.
pub async fn after(
    store: &Store,
    org: Id<id::Org>,
    (at, account): (Timestamp, Id<id::Account>),
    to: Timestamp,
    count: u32,
) -> Result<Vec<StoredEquity>, Error> {
    let values = vec![org.into(), at.into(), account.into(), to.into(), count.into()];
    store.query(AFTER, values).await?.into_iter().map(decode).collect()
}

/// The newest before a time, of each account of an organization that has one.
pub async fn newest_before(
    store: &Store,
    org: Id<id::Org>,
    before: Timestamp,
) -> Result<Vec<StoredEquity>, Error> {
    let rows = store.query(NEWEST_BEFORE, vec![org.into(), before.into()]).await?;
    rows.into_iter().map(decode).collect()
}

/// Forgets what is older.
pub async fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Result<(), Error> {
    tx.execute(FORGET, &[before.into()]).await.map(|_| ())
}

fn decode(mut row: Row) -> Result<StoredEquity, Error> {
    Ok(StoredEquity {
        org_id: row.id()?,
        at: row.time()?,
        account_id: row.id()?,
        equity: Money::from_units(row.int()?),
        heard_until: row.time()?,
    })
}
