//! Halts: engaged, and resumed once.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const HALTS: &str = "-- directory::halts\n\
    SELECT id, org_id, scope, mode, reason, engaged_by, engaged_at FROM halts \
    WHERE resumed_at IS NULL ORDER BY id";
const INSERT_HALT: &str = "-- directory::insert_halt\n\
    INSERT INTO halts (id, org_id, scope, mode, reason, engaged_by, engaged_at, resumed_by, \
    resumed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL)";
const INSERT_HALT_ONCE: &str = "-- directory::insert_halt_once\n\
    INSERT INTO halts (id, org_id, scope, mode, reason, engaged_by, engaged_at, resumed_by, \
    resumed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL) ON CONFLICT (id) DO NOTHING";
const RESUME: &str = "-- directory::resume\n\
    UPDATE halts SET resumed_by = $2, resumed_at = $3 WHERE id = $1 AND resumed_at IS NULL";

pub(crate) const STATEMENTS: &[&str] = &[HALTS, INSERT_HALT, INSERT_HALT_ONCE, RESUME];

/// The halts that are engaged.
pub async fn halts(store: &Store) -> Result<Vec<Halt>, Error> {
    store.query(HALTS, Vec::new()).await?.into_iter().map(decode_halt).collect()
}

/// The same inside a transaction.
pub async fn halts_in(tx: &mut Tx<'_>) -> Result<Vec<Halt>, Error> {
    tx.query(HALTS, &[]).await?.into_iter().map(decode_halt).collect()
}

/// Engages a halt.
pub async fn insert_halt(tx: &mut Tx<'_>, halt: &Halt) -> Result<(), Error> {
    tx.execute_one(INSERT_HALT, &halt_values(halt)).await
}

/// Engages a halt unless there is or was one of its identifier; says whether it did.
pub async fn insert_halt_once(tx: &mut Tx<'_>, halt: &Halt) -> Result<bool, Error> {
    Ok(tx.execute(INSERT_HALT_ONCE, &halt_values(halt)).await? == 1)
}

fn halt_values(halt: &Halt) -> [Value; 7] {
    [
        halt.id.into(),
        halt.org_id.into(),
        halt.scope.to_string().into(),
        Value::Word(halt.mode.text()),
        halt.reason.as_str().into(),
        halt.engaged_by.as_str().into(),
        halt.engaged_at.into(),
    ]
}

/// Ends a halt; `false` if it was not engaged.
pub async fn resume(
    tx: &mut Tx<'_>,
    id: Id<id::Halt>,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(RESUME, &[id.into(), by.into(), now.into()]).await? == 1)
}

fn decode_halt(mut row: Row) -> Result<Halt, Error> {
    Ok(Halt {
        id: row.id()?,
        org_id: row.id_or_null()?,
        scope: row.word()?,
        mode: row.word()?,
        reason: row.text()?,
        engaged_by: row.text()?,
        engaged_at: row.time()?,
    })
}
