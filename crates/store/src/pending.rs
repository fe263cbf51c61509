//! Actions that wait for a second person.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::Decision;
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- pending::insert\n\
    INSERT INTO pending_actions (id, org_id, command, summary, requested_by, requested_at, \
    expires_at, code, decided_by, decided_at, decision) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL, NULL)";
const OPEN: &str = "-- pending::open\n\
    SELECT id, org_id, command, summary, requested_by, requested_at, expires_at, code \
    FROM pending_actions WHERE org_id = $1 AND decision IS NULL AND expires_at > $2 ORDER BY id \
    LIMIT 200";
const WAITING: &str = "-- pending::waiting\n\
    SELECT id, org_id, command, summary, requested_by, requested_at, expires_at, code \
    FROM pending_actions WHERE decision IS NULL AND expires_at > $1 ORDER BY id";
const DECIDE: &str = "-- pending::decide\n\
    UPDATE pending_actions SET decided_by = $2, decided_at = $3, decision = $4 \
    WHERE id = $1 AND decision IS NULL AND expires_at > $3";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, OPEN, WAITING, DECIDE];

/// An action that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// Its identifier.
    pub id: Id<id::Pending>,
    /// The organization.
    pub org_id: Id<id::Org>,
    /// What is to be done, as JSON.
    pub command: String,
    /// The same in a few words.
    pub summary: String,
    /// Who asked.
    pub requested_by: Id<id::User>,
    /// When.
    pub requested_at: Timestamp,
    /// Until when another person may confirm it.
    pub expires_at: Timestamp,
    /// What only the gateway can make of all of it: who changes the row does not change this.
    pub code: [u8; 32],
}

/// Lets an action wait.
pub async fn insert(tx: &mut Tx<'_>, pending: &PendingRow) -> Result<(), Error> {
    let parameters = [
        pending.id.into(),
        pending.org_id.into(),
        pending.command.as_str().into(),
        pending.summary.as_str().into(),
        pending.requested_by.to_string().into(),
        pending.requested_at.into(),
        pending.expires_at.into(),
        pending.code.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// The actions that wait, oldest first, at most 200.
pub async fn open(
    store: &Store,
    org: Id<id::Org>,
    now: Timestamp,
) -> Result<Vec<PendingRow>, Error> {
    store.query(OPEN, vec![org.into(), now.into()]).await?.into_iter().map(pending).collect()
}

/// The actions of everybody that wait, as the transaction sees them, oldest first. They wait for minutes,
/// so there are few.
pub async fn waiting(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<PendingRow>, Error> {
    tx.query(WAITING, &[now.into()]).await?.into_iter().map(pending).collect()
}

/// Decides about an action, once; answers whether it still waited.
pub async fn decide(
    tx: &mut Tx<'_>,
    id: Id<id::Pending>,
    by: &str,
    decision: Decision,
    now: Timestamp,
) -> Result<bool, Error> {
    let parameters = [id.into(), by.into(), now.into(), Value::Word(decision.text())];
    Ok(tx.execute(DECIDE, &parameters).await? == 1)
}

fn pending(mut row: Row) -> Result<PendingRow, Error> {
    Ok(PendingRow {
        id: row.id()?,
        org_id: row.id()?,
        command: row.text()?,
        summary: row.text()?,
        requested_by: row.word()?,
        requested_at: row.time()?,
        expires_at: row.time()?,
        code: row.hash()?,
    })
}
