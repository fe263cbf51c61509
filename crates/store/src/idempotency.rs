//! Idempotency keys: what a caller asked for under a key of its own, and what it was answered
//! (S17). A row is claimed in the transaction of the change it stands for.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const CLAIM: &str = "-- idempotency::claim\n\
    INSERT INTO idempotency (org_id, caller, idempotency_key, fingerprint, order_id, refusal, \
    answer, at) VALUES ($1, $2, $3, $4, NULL, NULL, NULL, $5) \
    ON CONFLICT (org_id, caller, idempotency_key) DO NOTHING";
const ANSWER: &str = "-- idempotency::answer\n\
    INSERT INTO idempotency (org_id, caller, idempotency_key, fingerprint, order_id, refusal, \
    answer, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (org_id, caller, idempotency_key) DO UPDATE SET \
    order_id = excluded.order_id, refusal = excluded.refusal, answer = excluded.answer";
const FIND: &str = "-- idempotency::find\n\
    SELECT fingerprint, order_id, refusal, answer, at FROM idempotency \
    WHERE org_id = $1 AND caller = $2 AND idempotency_key = $3";
const PURGE: &str = "-- idempotency::purge\n\
    DELETE FROM idempotency WHERE at < $1 AND order_id IS NULL";

pub(crate) const STATEMENTS: &[&str] = &[CLAIM, ANSWER, FIND, PURGE];

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The organization.
    pub org_id: Id<id::Org>,
    /// The caller, as records call it.
    pub caller: String,
    /// The key.
    pub key: String,
}

/// What was asked for and answered under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The hash of the request.
    pub fingerprint: [u8; 32],
    /// The order that came of it.
    pub order_id: Option<Id<id::Order>>,
    /// The refusal's code, if a rule said no.
    pub refusal: Option<String>,
    /// The answer, as JSON; absent while it is not known.
    pub answer: Option<String>,
    /// When it was asked for.
    pub at: Timestamp,
}

/// Claims a key for this transaction; no if it was claimed before.
pub async fn claim(
    tx: &mut Tx<'_>,
    claim: &Claim,
    fingerprint: [u8; 32],
    now: Timestamp,
) -> Result<bool, Error> {
    let [org, caller, key] = names(claim);
    let changed = tx.execute(CLAIM, &[org, caller, key, fingerprint.into(), now.into()]).await?;
    Ok(changed == 1)
}

/// Writes what is answered under a key, whether it was claimed before or is now.
pub async fn answer(tx: &mut Tx<'_>, claim: &Claim, stored: &Stored) -> Result<(), Error> {
    let [org, caller, key] = names(claim);
    let parameters = [
        org,
        caller,
        key,
        stored.fingerprint.into(),
        stored.order_id.into(),
        stored.refusal.as_deref().into(),
        stored.answer.as_deref().into(),
        stored.at.into(),
    ];
    tx.execute_one(ANSWER, &parameters).await
}

/// What was answered under a key, if it was ever claimed.
pub async fn find(store: &Store, claim: &Claim) -> Result<Option<Stored>, Error> {
    store.query_one(FIND, names(claim).to_vec()).await?.map(decode).transpose()
}

/// The same inside a transaction.
pub async fn find_in(tx: &mut Tx<'_>, claim: &Claim) -> Result<Option<Stored>, Error> {
    tx.query(FIND, &names(claim)).await?.into_iter().next().map(decode).transpose()
}

/// Forgets answers from before `horizon`; those of orders are kept for ever.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<u64, Error> {
    tx.execute(PURGE, &[horizon.into()]).await
}

fn names(claim: &Claim) -> [Value; 3] {
    [claim.org_id.into(), claim.caller.as_str().into(), claim.key.as_str().into()]
}

fn decode(mut row: Row) -> Result<Stored, Error> {
    Ok(Stored {
        fingerprint: row.hash()?,
        order_id: row.id_or_null()?,
        refusal: row.text_or_null()?,
        answer: row.text_or_null()?,
        at: row.time()?,
    })
}
