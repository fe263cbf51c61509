//! Audit entries, the queue of those without a place, the log and its tiles.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const INSERT: Insert = Insert {
    into: "-- audit::insert\n\
           INSERT INTO audit_entries (id, org_id, object_id, leaf, payload, salt)",
    columns: 6,
    tail: "",
};
const ENQUEUE: Insert = Insert {
    into: "-- audit::enqueue\nINSERT INTO audit_queue (entry_id, leaf_hash)",
    columns: 2,
    tail: "",
};
const DRAIN: &str = "-- audit::drain\n\
    DELETE FROM audit_queue WHERE entry_id IN \
    (SELECT entry_id FROM audit_queue ORDER BY entry_id LIMIT $1) RETURNING entry_id, leaf_hash";
const APPEND: Insert = Insert {
    into: "-- audit::append\nINSERT INTO audit_log (position, entry_id)",
    columns: 2,
    tail: "",
};
const PUT_TILE: Insert = Insert {
    into: "-- audit::put_tiles\nINSERT INTO audit_tiles (level, number, hashes)",
    columns: 3,
    tail: "ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes",
};
const TILE: &str =
    "-- audit::tile\nSELECT hashes FROM audit_tiles WHERE level = $1 AND number = $2";
const LEDGER: &str = "-- audit::ledger\n\
    SELECT origin, size, checkpoint, verifier, signing_key FROM ledger WHERE name = 'main'";
const CREATE_LEDGER: &str = "-- audit::create_ledger\n\
    INSERT INTO ledger (name, origin, size, checkpoint, verifier, signing_key, updated_at) \
    VALUES ('main', $1, 0, $2, $3, $4, $5)";
const ADVANCE: &str = "-- audit::advance\n\
    UPDATE ledger SET size = $2, checkpoint = $3, updated_at = $4 \
    WHERE name = 'main' AND size = $1";
const RANGE: &str = "-- audit::range\n\
    SELECT l.position, e.id, e.org_id, e.object_id, e.leaf, e.payload, e.salt \
    FROM audit_log l JOIN audit_entries e ON e.id = l.entry_id \
    WHERE l.position >= $1 AND l.position < $2 ORDER BY l.position";
const OF_OBJECT: &str = "-- audit::of_object\n\
    SELECT l.position, e.id, e.org_id, e.object_id, e.leaf, e.payload, e.salt \
    FROM audit_entries e LEFT JOIN audit_log l ON l.entry_id = e.id \
    WHERE e.object_id = $1 ORDER BY e.id LIMIT $2";
const ENTRY: &str = "-- audit::entry\n\
    SELECT l.position, e.id, e.org_id, e.object_id, e.leaf, e.payload, e.salt \
    FROM audit_entries e LEFT JOIN audit_log l ON l.entry_id = e.id WHERE e.id = $1";
const COUNT_QUEUED: &str =
    "-- audit::count_queued\nSELECT CAST(COUNT(*) AS BIGINT) FROM audit_queue";
const COUNT_ENTRIES: &str =
    "-- audit::count_entries\nSELECT CAST(COUNT(*) AS BIGINT) FROM audit_entries";

pub(crate) const STATEMENTS: &[&str] = &[
    DRAIN,
    TILE,
    LEDGER,
    CREATE_LEDGER,
    ADVANCE,
    RANGE,
    OF_OBJECT,
    ENTRY,
    COUNT_QUEUED,
    COUNT_ENTRIES,
];
pub(crate) const INSERTS: &[&Insert] = &[&INSERT, &ENQUEUE, &APPEND, &PUT_TILE];

/// An entry as it is written with its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its identifier.
    pub id: Id<id::Entry>,
    /// The owner of its payload.
    pub org_id: Id<id::Org>,
    /// The sixteen bytes of the identifier of what it is about.
    pub object_id: [u8; 16],
    /// The public part: canonical JSON with a commitment to the payload.
    pub leaf: String,
    /// The hash of the leaf in the log.
    pub leaf_hash: [u8; 32],
    /// The owner's part: canonical JSON.
    pub payload: String,
    /// What keeps the commitment from being guessed.
    pub salt: [u8; 32],
}

/// An entry as it is read, with its place if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its place in the log; `None` until it is sealed.
    pub position: Option<u64>,
    /// Its identifier.
    pub id: Id<id::Entry>,
    /// The owner of its payload.
    pub org_id: Id<id::Org>,
    /// What it is about.
    pub object_id: [u8; 16],
    /// The public part.
    pub leaf: String,
    /// The owner's part.
    pub payload: String,
    /// The commitment's salt.
    pub salt: [u8; 32],
}

/// The log's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The log's name in its checkpoints.
    pub origin: String,
    /// How many entries have a place.
    pub size: u64,
    /// The newest signed checkpoint.
    pub checkpoint: String,
    /// The verifier key, as text.
    pub verifier: String,
    /// The signing key, sealed.
    pub signing_key: Vec<u8>,
}

/// Writes entries and queues them for a place.
pub async fn insert(tx: &mut Tx<'_>, entries: Vec<Entry>) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(entries.len().saturating_mul(INSERT.columns));
    let mut queue = Vec::with_capacity(entries.len().saturating_mul(2));
    for entry in entries {
        queue.extend([entry.id.into(), Value::Hash(entry.leaf_hash)]);
        rows.extend([
            entry.id.into(),
            entry.org_id.into(),
            Value::Id(entry.object_id),
            entry.leaf.into(),
            entry.payload.into(),
            Value::Hash(entry.salt),
        ]);
    }
    tx.insert(&INSERT, &rows).await?;
    tx.insert(&ENQUEUE, &queue).await.map(|_| ())
}

/// Takes at most `count` entries from the queue, oldest first, with their leaf hashes. What a
/// transaction takes and does not commit stays queued.
pub async fn drain(tx: &mut Tx<'_>, count: i64) -> Result<Vec<(Id<id::Entry>, [u8; 32])>, Error> {
    let rows = tx.query(DRAIN, &[Value::Int(count)]).await?;
    let mut drained = rows
        .into_iter()
        .map(|mut row| Ok((row.id()?, row.hash()?)))
        .collect::<Result<Vec<_>, Error>>()?;
    drained.sort_unstable();
    Ok(drained)
}

/// Gives drained entries their places, beginning with `start`.
pub async fn append(tx: &mut Tx<'_>, start: u64, entries: &[Id<id::Entry>]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(entries.len().saturating_mul(2));
    for (position, entry) in (start..).zip(entries) {
        values.extend([Value::Int(to_int(position)?), Value::from(*entry)]);
    }
    tx.insert(&APPEND, &values).await.map(|_| ())
}

/// Writes tiles, new or grown.
pub async fn put_tiles(tx: &mut Tx<'_>, tiles: Vec<(u8, u64, Vec<u8>)>) -> Result<(), Error> {
    let mut values = Vec::with_capacity(tiles.len().saturating_mul(3));
    for (level, number, hashes) in tiles {
        values.extend([Value::Int(i64::from(level)), Value::Int(to_int(number)?), hashes.into()]);
    }
    tx.insert(&PUT_TILE, &values).await.map(|_| ())
}

/// The hashes of a tile, as many as it has.
pub async fn tile(store: &Store, level: u8, number: u64) -> Result<Option<Vec<u8>>, Error> {
    let parameters = vec![Value::Int(i64::from(level)), Value::Int(to_int(number)?)];
    store.query_one(TILE, parameters).await?.map(|mut row| row.bytes()).transpose()
}

/// The same inside a transaction.
pub async fn tile_in(tx: &mut Tx<'_>, level: u8, number: u64) -> Result<Option<Vec<u8>>, Error> {
    let parameters = [Value::Int(i64::from(level)), Value::Int(to_int(number)?)];
    let rows = tx.query(TILE, &parameters).await?;
    rows.into_iter().next().map(|mut row| row.bytes()).transpose()
}

/// The log's head.
pub async fn ledger(store: &Store) -> Result<Option<Ledger>, Error> {
    store.query_one(LEDGER, Vec::new()).await?.map(decode_ledger).transpose()
}

/// The log's head inside a transaction.
pub async fn ledger_in(tx: &mut Tx<'_>) -> Result<Option<Ledger>, Error> {
    tx.query(LEDGER, &[]).await?.into_iter().next().map(decode_ledger).transpose()
}

/// Begins the log.
pub async fn create_ledger(tx: &mut Tx<'_>, ledger: &Ledger, now: Timestamp) -> Result<(), Error> {
    tx.execute_one(
        CREATE_LEDGER,
        &[
            ledger.origin.as_str().into(),
            ledger.checkpoint.as_str().into(),
            ledger.verifier.as_str().into(),
            ledger.signing_key.clone().into(),
            now.into(),
        ],
    )
    .await
}

/// Moves the head from one size to a larger one; fails if the head is not where it was.
pub async fn advance(
    tx: &mut Tx<'_>,
    from: u64,
    to: u64,
    checkpoint: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let parameters =
        [Value::Int(to_int(from)?), Value::Int(to_int(to)?), checkpoint.into(), now.into()];
    tx.execute_one(ADVANCE, &parameters).await
}

/// The entries with places from `start` up to but without `end`.
pub async fn range(store: &Store, start: u64, end: u64) -> Result<Vec<Placed>, Error> {
    let parameters = vec![Value::Int(to_int(start)?), Value::Int(to_int(end)?)];
    store.query(RANGE, parameters).await?.into_iter().map(decode_placed).collect()
}

/// At most `count` entries about an object, oldest first.
pub async fn of_object(
    store: &Store,
    object_id: [u8; 16],
    count: i64,
) -> Result<Vec<Placed>, Error> {
    let parameters = vec![Value::Id(object_id), Value::Int(count)];
    store.query(OF_OBJECT, parameters).await?.into_iter().map(decode_placed).collect()
}

/// The entry with this identifier.
pub async fn entry(store: &Store, id: Id<id::Entry>) -> Result<Option<Placed>, Error> {
    store.query_one(ENTRY, vec![Value::from(id)]).await?.map(decode_placed).transpose()
}

/// How many entries wait for a place.
pub async fn count_queued(store: &Store) -> Result<i64, Error> {
    count(store, COUNT_QUEUED).await
}

/// How many entries there are.
pub async fn count_entries(store: &Store) -> Result<i64, Error> {
    count(store, COUNT_ENTRIES).await
}

async fn count(store: &Store, sql: &'static str) -> Result<i64, Error> {
    let row = store.query_one(sql, Vec::new()).await?;
    row.ok_or_else(|| Error::broken("a count has no row"))?.int()
}

fn decode_ledger(mut row: Row) -> Result<Ledger, Error> {
    Ok(Ledger {
        origin: row.text()?,
        size: to_size(row.int()?)?,
        checkpoint: row.text()?,
        verifier: row.text()?,
        signing_key: row.bytes()?,
    })
}

fn decode_placed(mut row: Row) -> Result<Placed, Error> {
    Ok(Placed {
        position: row.int_or_null()?.map(to_size).transpose()?,
        id: row.id()?,
        org_id: row.id()?,
        object_id: row.id::<id::Entry>()?.to_bytes(),
        leaf: row.text()?,
        payload: row.text()?,
        salt: row.hash()?,
    })
}

fn to_int(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::broken("a place in the log is too large"))
}

fn to_size(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::broken("a place in the log is negative"))
}
