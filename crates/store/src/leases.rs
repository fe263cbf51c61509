//! Leases: who may do what only one node may do, and a number that grows with every holder.

use crate::Error;
use crate::dialect::{Lock, Tx};
use crate::value::Value;
use tradewarden_domain::time::Timestamp;

const FIND: &str = "-- leases::find\nSELECT holder, fence, until FROM leases WHERE name = $1";
const CREATE: &str = "-- leases::create\n\
    INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, $3) \
    ON CONFLICT (name) DO NOTHING";
const TAKE: &str = "-- leases::take\n\
    UPDATE leases SET holder = $2, fence = $3, until = $4 WHERE name = $1 AND fence = $5";

pub(crate) const STATEMENTS: &[&str] = &[FIND, CREATE, TAKE];

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Grows with every change of holder.
    pub fence: i64,
    /// Up to when it is held.
    pub until: Timestamp,
}

/// Whether `holder` has the lease now. The row stays locked for sharing, so that nobody else takes
/// the lease before this transaction ends.
pub async fn is_held(
    tx: &mut Tx<'_>,
    name: &'static str,
    holder: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let found = tx.lock_each(FIND, &[vec![Value::Word(name)]], Lock::Share).await?;
    let Some(mut row) = found.into_iter().flatten().next() else { return Ok(false) };
    let (held_by, _fence, until) = (row.text()?, row.int()?, row.time()?);
    Ok(held_by == holder && until >= now)
}

/// Who holds the lease now, if anybody does. The row stays locked, so that nobody takes or renews the
/// lease before this transaction ends.
pub async fn holder(
    tx: &mut Tx<'_>,
    name: &'static str,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let found = tx.lock_each(FIND, &[vec![Value::Word(name)]], Lock::Update).await?;
    let Some(mut row) = found.into_iter().flatten().next() else { return Ok(None) };
    let (held_by, _fence, until) = (row.text()?, row.int()?, row.time()?);
    Ok((until >= now).then_some(held_by))
}

/// Takes or renews the lease for `holder`; `None` while somebody else holds it.
pub async fn acquire(
    tx: &mut Tx<'_>,
    name: &'static str,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Lease>, Error> {
    tx.execute(CREATE, &[Value::Word(name), holder.into(), until.into()]).await?;
    let found = tx.lock_each(FIND, &[vec![Value::Word(name)]], Lock::Update).await?;
    let mut row =
        found.into_iter().flatten().next().ok_or_else(|| Error::broken("a lease row vanished"))?;
    let (held_by, fence, held_until) = (row.text()?, row.int()?, row.time()?);
    let mine = held_by == holder;
    if !mine && held_until >= now {
        return Ok(None);
    }
    let next = if mine { fence } else { fence.saturating_add(1) };
    tx.execute_one(
        TAKE,
        &[Value::Word(name), holder.into(), next.into(), until.into(), fence.into()],
    )
    .await?;
    Ok(Some(Lease { fence: next, until }))
}
