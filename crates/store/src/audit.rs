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
    into: "-- audit::enqueue\nINSERT INTO audit_queue (first_id, leaf_hashes)",
    columns: 2,
    tail: "",
};
const DRAIN: &str = "-- audit::drain\n\
    DELETE FROM audit_queue WHERE first_id IN \
    (SELECT first_id FROM audit_queue ORDER BY first_id LIMIT $1) RETURNING first_id, leaf_hashes";
const APPEND: Insert = Insert {
    into: "-- audit::append\nINSERT INTO audit_log (position, first_id, last_id)",
    columns: 3,
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
    SELECT origin, size, checkpoint, verifier, signing_key, incarnation, began_at \
    FROM ledger WHERE name = 'main'";
const CREATE_LEDGER: &str = "-- audit::create_ledger\n\
    INSERT INTO ledger (name, origin, size, checkpoint, verifier, signing_key, incarnation, \
    began_at, updated_at) VALUES ('main', $1, 0, $2, $3, $4, $5, $6, $6)";
const ADVANCE: &str = "-- audit::advance\n\
    UPDATE ledger SET size = $2, checkpoint = $3, updated_at = $4 \
    WHERE name = 'main' AND size = $1";
const END_INCARNATION: &str = "-- audit::end_incarnation\n\
    INSERT INTO past_incarnations (number, origin, verifier, size, checkpoint, published, ended_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const BEGIN_INCARNATION: &str = "-- audit::begin_incarnation\n\
    UPDATE ledger SET incarnation = $2, origin = $3, verifier = $4, began_at = $5, updated_at = $5 \
    WHERE name = 'main' AND incarnation = $1";
const PAST_INCARNATIONS: &str = "-- audit::past_incarnations\n\
    SELECT number, origin, verifier, size, checkpoint, published, ended_at \
    FROM past_incarnations ORDER BY number";
macro_rules! placed {
    () => {
        "l.position, l.first_id, l.last_id, e.id, e.org_id, e.object_id, e.leaf, e.payload, e.salt"
    };
}

// Identifiers inside a run are those of its entries only, so the run of an entry is the last one
// that begins at it or before it, if it reaches so far.
macro_rules! with_run {
    () => {
        " FROM audit_entries e LEFT JOIN audit_log l ON l.first_id = \
         (SELECT m.first_id FROM audit_log m WHERE m.first_id <= e.id \
         ORDER BY m.first_id DESC LIMIT 1)"
    };
}

const RANGE: &str = concat!(
    "-- audit::range\nSELECT ",
    placed!(),
    " FROM audit_log l JOIN audit_entries e ON e.id >= l.first_id AND e.id <= l.last_id \
     WHERE l.position >= $1 AND l.position < $2 ORDER BY l.position, e.id"
);
const OF_OBJECT: &str = concat!(
    "-- audit::of_object\nSELECT ",
    placed!(),
    with_run!(),
    " WHERE e.object_id = $1 ORDER BY e.id LIMIT $2"
);
macro_rules! objects {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
         $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, \
         $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, \
         $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67, $68, $69, $70, \
         $71, $72, $73, $74, $75, $76, $77, $78, $79, $80, $81, $82, $83, $84, $85, $86, $87, \
         $88, $89, $90, $91, $92, $93, $94, $95, $96, $97, $98, $99, $100, $101, $102, $103, \
         $104, $105, $106, $107, $108, $109, $110, $111, $112, $113, $114, $115, $116, $117, \
         $118, $119, $120, $121, $122, $123, $124, $125, $126, $127, $128, $129, $130, $131, \
         $132, $133, $134, $135, $136, $137, $138, $139, $140, $141, $142, $143, $144, $145, \
         $146, $147, $148, $149, $150, $151, $152, $153, $154, $155, $156, $157, $158, $159, \
         $160, $161, $162, $163, $164, $165, $166, $167, $168, $169, $170, $171, $172, $173, \
         $174, $175, $176, $177, $178, $179, $180, $181, $182, $183, $184, $185, $186, $187, \
         $188, $189, $190, $191, $192, $193, $194, $195, $196, $197, $198, $199, $200, $201, \
         $202, $203, $204, $205, $206, $207, $208, $209, $210, $211, $212, $213, $214, $215, \
         $216, $217, $218, $219, $220, $221, $222, $223, $224, $225, $226, $227, $228, $229, \
         $230, $231, $232, $233, $234, $235, $236, $237, $238, $239, $240, $241, $242, $243, \
         $244, $245, $246, $247, $248, $249, $250, $251, $252, $253, $254, $255, $256"
    };
}

/// Objects of one look-up; of fewer, the last is named again.
const OBJECTS: usize = 256;
const OF_OBJECTS: &str = concat!(
    "-- audit::of_objects\nSELECT ",
    placed!(),
    with_run!(),
    " WHERE e.object_id IN (",
    objects!(),
    ") ORDER BY e.id LIMIT $257"
);
const NEWEST_SIGNING: &str = "-- audit::newest_signing\n\
    SELECT payload FROM audit_entries WHERE object_id = $1 \
    AND payload LIKE '%\"signing_version\":%' ORDER BY id DESC LIMIT 1";
const PAGE: &str = concat!(
    "-- audit::page\nSELECT ",
    placed!(),
    with_run!(),
    " WHERE e.org_id = $1 AND e.id < $2 ORDER BY e.id DESC LIMIT $3"
);
const ENTRY: &str = concat!("-- audit::entry\nSELECT ", placed!(), with_run!(), " WHERE e.id = $1");
const COUNT_QUEUED: &str = "-- audit::count_queued\n\
    SELECT CAST(COALESCE(SUM(LENGTH(leaf_hashes)), 0) / 32 AS BIGINT) FROM audit_queue";
// One statement, so of one instant: a gateway may be writing.
const COUNT_UNPLACED: &str = "-- audit::count_unplaced\n\
    SELECT CAST((SELECT COUNT(*) FROM audit_entries) \
    - (SELECT COALESCE(SUM(LENGTH(leaf_hashes)), 0) / 32 FROM audit_queue) \
    - (SELECT COALESCE(MAX(size), 0) FROM ledger) AS BIGINT)";
const COUNT_ENTRIES: &str =
    "-- audit::count_entries\nSELECT CAST(COUNT(*) AS BIGINT) FROM audit_entries";

pub(crate) const STATEMENTS: &[&str] = &[
    DRAIN,
    TILE,
    LEDGER,
    CREATE_LEDGER,
    ADVANCE,
    END_INCARNATION,
    BEGIN_INCARNATION,
    PAST_INCARNATIONS,
    RANGE,
    OF_OBJECT,
    OF_OBJECTS,
    NEWEST_SIGNING,
    PAGE,
    ENTRY,
    COUNT_QUEUED,
    COUNT_UNPLACED,
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
    /// Which incarnation of the installation writes it: 1 until the first restore.
    pub incarnation: u64,
    /// When that incarnation began.
    pub began_at: Timestamp,
}

/// An incarnation that a restore ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastIncarnation {
    /// Its number, from 1 on.
    pub number: u64,
    /// The log's name in its checkpoints.
    pub origin: String,
    /// The verifier key of its checkpoints, as text.
    pub verifier: String,
    /// How many entries had a place in the copy that was restored.
    pub size: u64,
    /// The checkpoint over them.
    pub checkpoint: String,
    /// The newest checkpoint that was seen outside the database when it ended, which may cover more.
    pub published: Option<String>,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Entries of one run.
const RUN_MAX: usize = 256;

/// Entries of one transaction whose identifiers follow one another: they are queued, and get their
/// places, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The first entry.
    pub first_id: Id<id::Entry>,
    /// The leaf hashes, at most 256, in order.
    pub leaf_hashes: Vec<[u8; 32]>,
}

impl Run {
    fn last_id(&self) -> Result<Id<id::Entry>, Error> {
        let following = self.leaf_hashes.len().saturating_sub(1);
        (0..following)
            .try_fold(self.first_id, |id, _| id.successor())
            .ok_or_else(|| Error::broken("a run of entries has no end"))
    }
}

/// Writes entries and queues them for their places.
pub async fn insert(tx: &mut Tx<'_>, entries: Vec<Entry>) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(entries.len().saturating_mul(INSERT.columns));
    let mut runs: Vec<Run> = Vec::new();
    let mut expected = None;
    for entry in entries {
        match runs.last_mut() {
            Some(run) if expected == Some(entry.id) && run.leaf_hashes.len() < RUN_MAX => {
                run.leaf_hashes.push(entry.leaf_hash);
            }
            _ => runs.push(Run { first_id: entry.id, leaf_hashes: vec![entry.leaf_hash] }),
        }
        expected = entry.id.successor();
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
    let queue: Vec<Value> = runs
        .into_iter()
        .flat_map(|run| [run.first_id.into(), run.leaf_hashes.concat().into()])
        .collect();
    tx.insert(&ENQUEUE, &queue).await.map(|_| ())
}

/// Takes at most `count` runs from the queue, oldest first. What a transaction takes and does not
/// commit stays queued.
pub async fn drain(tx: &mut Tx<'_>, count: i64) -> Result<Vec<Run>, Error> {
    let rows = tx.query(DRAIN, &[Value::Int(count)]).await?;
    let mut drained = rows
        .into_iter()
        .map(|mut row| {
            let (first_id, hashes) = (row.id()?, row.bytes()?);
            match hashes.as_chunks() {
                (leaf_hashes, []) => Ok(Run { first_id, leaf_hashes: leaf_hashes.to_vec() }),
                _ => Err(Error::broken("a queued run has half a hash")),
            }
        })
        .collect::<Result<Vec<_>, Error>>()?;
    drained.sort_unstable_by_key(|run| run.first_id);
    Ok(drained)
}

/// Gives the entries of drained runs their places, beginning with `start`.
pub async fn append(tx: &mut Tx<'_>, start: u64, runs: &[Run]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(runs.len().saturating_mul(APPEND.columns));
    let mut position = start;
    for run in runs {
        let last_id = run.last_id()?;
        values.extend([Value::Int(to_int(position)?), run.first_id.into(), last_id.into()]);
        position = position.saturating_add(u64::try_from(run.leaf_hashes.len()).unwrap_or(0));
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
            Value::Int(to_int(ledger.incarnation)?),
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

/// Ends the incarnation that writes the log and begins another one: from here on checkpoints have the
/// name `origin`. Fails if another one began meanwhile.
pub async fn begin_incarnation(
    tx: &mut Tx<'_>,
    ended: &PastIncarnation,
    (number, origin, verifier): (u64, &str, &str),
) -> Result<(), Error> {
    let from = Value::Int(to_int(ended.number)?);
    let size = Value::Int(to_int(ended.size)?);
    let past = [
        from.clone(),
        ended.origin.as_str().into(),
        ended.verifier.as_str().into(),
        size,
        ended.checkpoint.as_str().into(),
        ended.published.as_deref().into(),
        ended.ended_at.into(),
    ];
    tx.execute_one(END_INCARNATION, &past).await?;
    let number = Value::Int(to_int(number)?);
    let next = [from, number, origin.into(), verifier.into(), ended.ended_at.into()];
    tx.execute_one(BEGIN_INCARNATION, &next).await
}

/// The incarnations before the present one, the first one first.
pub async fn past_incarnations(store: &Store) -> Result<Vec<PastIncarnation>, Error> {
    let rows = store.query(PAST_INCARNATIONS, Vec::new()).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(PastIncarnation {
                number: to_size(row.int()?)?,
                origin: row.text()?,
                verifier: row.text()?,
                size: to_size(row.int()?)?,
                checkpoint: row.text()?,
                published: row.text_or_null()?,
                ended_at: row.time()?,
            })
        })
        .collect()
}

/// The entries with places from `start` up to but without `end`.
pub async fn range(store: &Store, start: u64, end: u64) -> Result<Vec<Placed>, Error> {
    // The run in which the range begins may begin before it.
    let earliest = start.saturating_sub(u64::try_from(RUN_MAX).unwrap_or(0));
    let parameters = vec![Value::Int(to_int(earliest)?), Value::Int(to_int(end)?)];
    let rows = store.query(RANGE, parameters).await?;
    let mut placed = rows.into_iter().map(decode_placed).collect::<Result<Vec<_>, Error>>()?;
    placed.retain(|entry| entry.position.is_some_and(|position| (start..end).contains(&position)));
    Ok(placed)
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

/// Entries about at most 256 objects, oldest first: at most `count` of one on the average.
pub async fn of_objects(
    store: &Store,
    object_ids: impl Iterator<Item = [u8; 16]>,
    count: i64,
) -> Result<Vec<Placed>, Error> {
    let mut parameters: Vec<_> = object_ids.take(OBJECTS).map(Value::Id).collect();
    let Some(last) = parameters.last().cloned() else {
        return Ok(Vec::new());
    };
    let most = i64::try_from(parameters.len()).unwrap_or(i64::MAX).saturating_mul(count);
    parameters.resize(OBJECTS, last);
    parameters.push(Value::Int(most));
    store.query(OF_OBJECTS, parameters).await?.into_iter().map(decode_placed).collect()
}

/// The payload of the newest entry that says which signing secrets a webhook has.
pub async fn newest_signing(
    store: &Store,
    webhook: Id<id::Webhook>,
) -> Result<Option<String>, Error> {
    let row = store.query_one(NEWEST_SIGNING, vec![webhook.into()]).await?;
    row.map(|mut row| row.text()).transpose()
}

/// At most `count` entries of an organization that are older than `before`, newest first.
pub async fn page(
    store: &Store,
    org: Id<id::Org>,
    before: Id<id::Entry>,
    count: u32,
) -> Result<Vec<Placed>, Error> {
    let parameters = vec![org.into(), before.into(), count.into()];
    store.query(PAGE, parameters).await?.into_iter().map(decode_placed).collect()
}

/// The entry with this identifier.
pub async fn entry(store: &Store, id: Id<id::Entry>) -> Result<Option<Placed>, Error> {
    store.query_one(ENTRY, vec![Value::from(id)]).await?.map(decode_placed).transpose()
}

/// How many entries wait for a place.
pub async fn count_queued(store: &Store) -> Result<i64, Error> {
    count(store, COUNT_QUEUED).await
}

/// How many entries more there are than have a place or wait for one: 0 unless somebody put some in, or
/// took some away (then it is below 0).
pub async fn count_unplaced(store: &Store) -> Result<i64, Error> {
    count(store, COUNT_UNPLACED).await
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
        incarnation: to_size(row.int()?)?,
        began_at: row.time()?,
    })
}

fn decode_placed(mut row: Row) -> Result<Placed, Error> {
    let run = (row.int_or_null()?, row.id_or_null()?, row.id_or_null()?);
    let id: Id<id::Entry> = row.id()?;
    let position = match run {
        (Some(position), Some(first), Some(last)) if id <= last => id
            .distance_from(first)
            .and_then(|distance| u64::try_from(distance).ok())
            .map(|distance| to_size(position).map(|position| position.saturating_add(distance)))
            .transpose()?,
        _ => None,
    };
    Ok(Placed {
        position,
        id,
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
