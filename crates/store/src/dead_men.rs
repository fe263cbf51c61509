//! Dead-man switches: what is halted when somebody stops renewing it.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::halt::{HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "org_id, scope, timeout_s, mode, include_protective, armed_by, renewed_at, fired_at"
    };
}

const PUT: &str = concat!(
    "-- dead_men::put\nINSERT INTO dead_men (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, NULL) ON CONFLICT (org_id, scope) DO UPDATE SET \
     timeout_s = excluded.timeout_s, mode = excluded.mode, \
     include_protective = excluded.include_protective, armed_by = excluded.armed_by, \
     renewed_at = excluded.renewed_at, fired_at = NULL"
);
const FIRE: &str = "-- dead_men::fire\n\
    UPDATE dead_men SET fired_at = $4 \
    WHERE org_id = $1 AND scope = $2 AND renewed_at = $3 AND fired_at IS NULL";
const REMOVE: &str = "-- dead_men::remove\nDELETE FROM dead_men WHERE org_id = $1 AND scope = $2";
const ALL: &str =
    concat!("-- dead_men::all\nSELECT ", columns!(), " FROM dead_men ORDER BY org_id, scope");

pub(crate) const STATEMENTS: &[&str] = &[PUT, FIRE, REMOVE, ALL];

/// A dead-man switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMan {
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What is halted: the organization, or a key.
    pub scope: HaltScope,
    /// Seconds within which it has to be renewed.
    pub timeout_s: u32,
    /// How far the halt goes.
    pub mode: HaltMode,
    /// Whether it cancels orders that only reduce, too.
    pub include_protective: bool,
    /// Who armed it.
    pub armed_by: String,
    /// When it was last renewed.
    pub renewed_at: Timestamp,
    /// When it engaged its halt, if it did since.
    pub fired_at: Option<Timestamp>,
}

/// Arms a switch, or renews it.
pub async fn put(tx: &mut Tx<'_>, switch: &DeadMan) -> Result<(), Error> {
    let parameters = [
        switch.org_id.into(),
        switch.scope.to_string().into(),
        switch.timeout_s.into(),
        Value::Word(switch.mode.text()),
        Value::Int(i64::from(switch.include_protective)),
        switch.armed_by.as_str().into(),
        switch.renewed_at.into(),
    ];
    tx.execute_one(PUT, &parameters).await
}

/// Notes that a switch engages its halt; answers whether it was not renewed or fired since it was
/// read.
pub async fn fire(tx: &mut Tx<'_>, switch: &DeadMan, now: Timestamp) -> Result<bool, Error> {
    let scope = switch.scope.to_string();
    let parameters = [switch.org_id.into(), scope.into(), switch.renewed_at.into(), now.into()];
    Ok(tx.execute(FIRE, &parameters).await? == 1)
}

/// Disarms a switch; answers whether there was one.
pub async fn remove(tx: &mut Tx<'_>, org: Id<id::Org>, scope: &HaltScope) -> Result<bool, Error> {
    Ok(tx.execute(REMOVE, &[org.into(), scope.to_string().into()]).await? == 1)
}

/// Every switch.
pub async fn all(store: &Store) -> Result<Vec<DeadMan>, Error> {
    store.query(ALL, Vec::new()).await?.into_iter().map(decode).collect()
}

fn decode(mut row: Row) -> Result<DeadMan, Error> {
    Ok(DeadMan {
        org_id: row.id()?,
        scope: row.word()?,
        timeout_s: row.small()?,
        mode: row.word()?,
        include_protective: row.int()? != 0,
        armed_by: row.text()?,
        renewed_at: row.time()?,
        fired_at: row.time_or_null()?,
    })
}
