//! Halts: engaged, and resumed once.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

pub(crate) const HALTS: &str = "-- directory::halts\n\
    SELECT id, org_id, scope, mode, reason, engaged_by, engaged_at, include_protective \
    FROM halts WHERE resumed_at IS NULL ORDER BY id";
pub(crate) const ENGAGED: &str = "-- directory::engaged_halt\n\
    SELECT id, org_id, scope, mode, reason, engaged_by, engaged_at, include_protective \
    FROM halts WHERE id = $1 AND resumed_at IS NULL";
const FIND_HALT: &str = "-- directory::find_halt\n\
    SELECT id, org_id, scope, mode, reason, engaged_by, engaged_at, include_protective, \
    resumed_by, resumed_at FROM halts WHERE id = $1";
const INSERT_HALT: &str = "-- directory::insert_halt\n\
    INSERT INTO halts (id, org_id, scope, mode, reason, engaged_by, engaged_at, \
    include_protective, resumed_by, resumed_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL)";
const INSERT_HALT_ONCE: &str = "-- directory::insert_halt_once\n\
    INSERT INTO halts (id, org_id, scope, mode, reason, engaged_by, engaged_at, \
    include_protective, resumed_by, resumed_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL) ON CONFLICT (id) DO NOTHING";
const HALTS_DURING: &str = "-- directory::halts_during\n\
    SELECT id, org_id, scope, mode, reason, engaged_by, engaged_at, include_protective, \
    resumed_at FROM halts \
    WHERE (org_id = $1 OR org_id IS NULL) AND engaged_at <= $3 \
    AND (resumed_at IS NULL OR resumed_at > $2) ORDER BY id LIMIT 10000";
const RESUME: &str = "-- directory::resume\n\
    UPDATE halts SET resumed_by = $2, resumed_at = $3 WHERE id = $1 AND resumed_at IS NULL";

pub(crate) const STATEMENTS: &[&str] =
    &[HALTS, ENGAGED, HALTS_DURING, FIND_HALT, INSERT_HALT, INSERT_HALT_ONCE, RESUME];

/// The halts that are engaged.
pub async fn halts(store: &Store) -> Result<Vec<Halt>, Error> {
    store.query(HALTS, Vec::new()).await?.into_iter().map(decode_halt).collect()
}

/// The same inside a transaction.
pub async fn halts_in(tx: &mut Tx<'_>) -> Result<Vec<Halt>, Error> {
    tx.query(HALTS, &[]).await?.into_iter().map(decode_halt).collect()
}

/// A halt, engaged or not, and by whom and when it was ended.
pub async fn find_halt(
    store: &Store,
    id: Id<id::Halt>,
) -> Result<Option<(Halt, Option<(String, Timestamp)>)>, Error> {
    let Some(mut row) = store.query_one(FIND_HALT, vec![id.into()]).await? else {
        return Ok(None);
    };
    let halt = decode_fields(&mut row)?;
    let resumed = row.text_or_null()?.zip(row.time_or_null()?);
    Ok(Some((halt, resumed)))
}

/// The halts of an organization, and those of all, that were engaged at some time of this span, ends
/// included, at most 10,000, each with its end.
pub async fn halts_during(
    store: &Store,
    org: Id<id::Org>,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Halt, Option<Timestamp>)>, Error> {
    let rows = store.query(HALTS_DURING, vec![org.into(), from.into(), to.into()]).await?;
    rows.into_iter().map(|mut row| Ok((decode_fields(&mut row)?, row.time_or_null()?))).collect()
}

/// Engages a halt.
pub async fn insert_halt(tx: &mut Tx<'_>, halt: &Halt) -> Result<(), Error> {
    tx.execute_one(INSERT_HALT, &halt_values(halt)).await
}

/// Engages a halt unless there is or was one of its identifier; says whether it did.
pub async fn insert_halt_once(tx: &mut Tx<'_>, halt: &Halt) -> Result<bool, Error> {
    Ok(tx.execute(INSERT_HALT_ONCE, &halt_values(halt)).await? == 1)
}

fn halt_values(halt: &Halt) -> [Value; 8] {
    [
        halt.id.into(),
        halt.org_id.into(),
        halt.scope.to_string().into(),
        Value::Word(halt.mode.text()),
        halt.reason.as_str().into(),
        halt.engaged_by.as_str().into(),
        halt.engaged_at.into(),
        Value::Int(i64::from(halt.include_protective)),
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

pub(crate) fn decode_halt(mut row: Row) -> Result<Halt, Error> {
    decode_fields(&mut row)
}

fn decode_fields(row: &mut Row) -> Result<Halt, Error> {
    Ok(Halt {
        id: row.id()?,
        org_id: row.id_or_null()?,
        scope: row.word()?,
        mode: row.word()?,
        reason: row.text()?,
        engaged_by: row.text()?,
        engaged_at: row.time()?,
        include_protective: row.int()? != 0,
    })
}
