//! Signals with their bodies, and the keys by which a second sending is known.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::{Row, Value, source_of};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "id, org_id, webhook_id, received_at, status, code, message, body_sha256, checks, accounts, \
         key_id"
    };
}

const INSERT: Insert = Insert {
    into: concat!("-- signals::insert\nINSERT INTO signals (", columns!(), ", body)"),
    columns: 12,
    tail: "",
};
const CLAIM_KEY: Insert = Insert {
    into: "-- signals::claim_keys\n\
           INSERT INTO signal_keys (dedup_key, signal_id)",
    columns: 2,
    tail: "ON CONFLICT (dedup_key) DO NOTHING RETURNING dedup_key",
};
const KEY: &str = "-- signals::key\n\
    SELECT signal_id FROM signal_keys WHERE dedup_key = $1";
const TAKE_KEY_OVER: &str = "-- signals::take_key_over\n\
    UPDATE signal_keys SET signal_id = $2 WHERE dedup_key = $1 AND signal_id = $3";
const PURGE_KEYS: &str = "-- signals::purge_keys\nDELETE FROM signal_keys WHERE signal_id < $1";
const BY_ID: &str =
    concat!("-- signals::by_id\nSELECT ", columns!(), " FROM signals WHERE id = $1");
const PAGE: &str = concat!(
    "-- signals::page\nSELECT ",
    columns!(),
    " FROM signals WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
);
const BETWEEN: &str = concat!(
    "-- signals::between\nSELECT ",
    columns!(),
    ", body FROM signals WHERE org_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4"
);
const LAST_OF: &str = "-- signals::last_of\n\
    SELECT received_at FROM signals WHERE id >= $1 AND COALESCE(webhook_id, key_id) = $2 ORDER BY id DESC LIMIT 1";
const BODY: &str = "-- signals::body\nSELECT body FROM signals WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] =
    &[LAST_OF, KEY, TAKE_KEY_OVER, PURGE_KEYS, BY_ID, PAGE, BETWEEN, BODY];
pub(crate) const INSERTS: &[&Insert] = &[&INSERT, &CLAIM_KEY];

/// A signal as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSignal {
    /// Its identifier.
    pub id: Id<id::Signal>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// Whose it is.
    pub source: Source,
    /// When it came.
    pub received_at: Timestamp,
    /// What became of it: `accepted`, `skipped`, `dry_run` or `refused`.
    pub status: String,
    /// Why, unless accepted.
    pub code: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// The hash of its body.
    pub body_sha256: [u8; 32],
    /// The decision trace, as JSON.
    pub checks: String,
    /// What became of it on each account, as JSON.
    pub accounts: String,
}

/// What makes two signals the same: the hash of their source and their id, or their body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

/// A key with the signal that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub key: Key,
    /// The signal.
    pub signal_id: Id<id::Signal>,
}

/// Writes signals, each with its body, without the secret that may have been in it.
pub async fn insert(tx: &mut Tx<'_>, signals: Vec<(StoredSignal, Vec<u8>)>) -> Result<(), Error> {
    let mut values = Vec::with_capacity(signals.len().saturating_mul(INSERT.columns));
    for (signal, body) in signals {
        values.extend([
            signal.id.into(),
            signal.org_id.into(),
            signal.source.webhook().into(),
            signal.received_at.into(),
            signal.status.into(),
            signal.code.into(),
            signal.message.into(),
            signal.body_sha256.into(),
            signal.checks.into(),
            signal.accounts.into(),
            signal.source.key().into(),
            body.into(),
        ]);
    }
    tx.insert(&INSERT, &values).await.map(|_| ())
}

/// Claims keys and says which of them were free. The claims must be sorted by key, so that two
/// nodes wait for each other in one order, and hold no key twice.
pub async fn claim(tx: &mut Tx<'_>, claims: &[Claim]) -> Result<Vec<Key>, Error> {
    let mut values = Vec::with_capacity(claims.len().saturating_mul(CLAIM_KEY.columns));
    for claim in claims {
        values.extend([Value::Hash(claim.key.0), claim.signal_id.into()]);
    }
    let rows = tx.insert(&CLAIM_KEY, &values).await?;
    rows.into_iter().map(|mut row| row.hash().map(Key)).collect()
}

/// Who holds these keys.
pub async fn holders(tx: &mut Tx<'_>, keys: &[Key]) -> Result<Vec<Claim>, Error> {
    let sets: Vec<_> = keys.iter().map(|key| vec![Value::Hash(key.0)]).collect();
    let found = tx.query_each(KEY, &sets).await?;
    let mut claims = Vec::with_capacity(keys.len());
    for (key, rows) in keys.iter().zip(found) {
        for mut row in rows {
            claims.push(Claim { key: *key, signal_id: row.id()? });
        }
    }
    Ok(claims)
}

/// Takes an expired key over from the signal that held it.
pub async fn take_over(tx: &mut Tx<'_>, claim: &Claim, from: Id<id::Signal>) -> Result<(), Error> {
    let parameters = [Value::Hash(claim.key.0), claim.signal_id.into(), from.into()];
    tx.execute_one(TAKE_KEY_OVER, &parameters).await
}

/// Forgets the keys of signals that were received before `horizon`.
pub async fn purge_keys(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<u64, Error> {
    let earliest = Id::<id::Signal>::new(horizon, [0; 10]);
    tx.execute(PURGE_KEYS, &[earliest.into()]).await
}

/// The signals with these identifiers, inside a transaction, in the same order.
pub async fn by_ids(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Signal>],
) -> Result<Vec<Option<StoredSignal>>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.query_each(BY_ID, &sets).await?;
    found.into_iter().map(|rows| rows.into_iter().next().map(decode).transpose()).collect()
}

/// The signal with this identifier.
pub async fn find(store: &Store, id: Id<id::Signal>) -> Result<Option<StoredSignal>, Error> {
    store.query_one(BY_ID, vec![Value::from(id)]).await?.map(decode).transpose()
}

/// At most `count` signals of an organization that are older than `before`, newest first.
pub async fn page(
    store: &Store,
    org: Id<id::Org>,
    before: Id<id::Signal>,
    count: u32,
) -> Result<Vec<StoredSignal>, Error> {
    let parameters = vec![Value::from(org), Value::from(before), Value::from(count)];
    store.query(PAGE, parameters).await?.into_iter().map(decode).collect()
}

/// At most `count` signals of an organization after one and before another, oldest first, each with
/// its body.
pub async fn between(
    store: &Store,
    org: Id<id::Org>,
    after: Id<id::Signal>,
    before: Id<id::Signal>,
    count: u32,
) -> Result<Vec<(StoredSignal, Vec<u8>)>, Error> {
    let parameters = vec![org.into(), after.into(), before.into(), count.into()];
    let rows = store.query(BETWEEN, parameters).await?;
    rows.into_iter().map(|mut row| Ok((read(&mut row)?, row.bytes()?))).collect()
}

/// When the last signal of a source came, if one did since then.
pub async fn last_of(
    store: &Store,
    source: Source,
    since: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let from: Id<id::Signal> = Id::new(since, [0; 10]);
    let found = store.query_one(LAST_OF, vec![from.into(), Value::Id(source.to_bytes())]).await?;
    found.map(|mut row| row.time()).transpose()
}

/// The body of this signal, without the secret it may have carried.
pub async fn body(store: &Store, id: Id<id::Signal>) -> Result<Option<Vec<u8>>, Error> {
    let row = store.query_one(BODY, vec![Value::from(id)]).await?;
    row.map(|mut row| row.bytes()).transpose()
}

fn decode(mut row: Row) -> Result<StoredSignal, Error> {
    read(&mut row)
}

fn read(row: &mut Row) -> Result<StoredSignal, Error> {
    let (id, org_id, webhook) = (row.id()?, row.id()?, row.id_or_null()?);
    Ok(StoredSignal {
        id,
        org_id,
        received_at: row.time()?,
        status: row.text()?,
        code: row.text_or_null()?,
        message: row.text()?,
        body_sha256: row.hash()?,
        checks: row.text()?,
        accounts: row.text()?,
        source: source_of(webhook, row.id_or_null()?)?,
    })
}
