//! Alerts: what people are told of, how often they were, and who acknowledged it.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::Channel;
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "id, org_id, code, severity, subject, detail, raised_at, grouped_by, told, next_at, \
         acknowledged_by, acknowledged_at"
    };
}

const INSERT: &str = concat!(
    "-- alerts::insert\nINSERT INTO alerts (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $7, NULL, NULL)"
);
const WAS_RAISED: &str = "-- alerts::was_raised\n\
    SELECT id FROM alerts WHERE org_id = $1 AND grouped_by = $2 AND raised_at > $3 LIMIT 1";
const DUE: &str = concat!(
    "-- alerts::due\nSELECT ",
    columns!(),
    " FROM alerts WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2"
);
const TOLD: &str = "-- alerts::told\n\
    UPDATE alerts SET told = told + 1, next_at = $3 \
    WHERE id = $1 AND told = $2 AND acknowledged_at IS NULL";
const ACKNOWLEDGE: &str = "-- alerts::acknowledge\n\
    UPDATE alerts SET acknowledged_by = $2, acknowledged_at = $3, next_at = NULL \
    WHERE id = $1 AND acknowledged_at IS NULL";
const FIND: &str =
    concat!("-- alerts::find\nSELECT ", columns!(), " FROM alerts WHERE id = $1 AND org_id = $2");
const PAGE: &str = concat!(
    "-- alerts::page\nSELECT ",
    columns!(),
    " FROM alerts WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
);
const PURGE: &str = "-- alerts::purge\n\
    DELETE FROM alerts WHERE id IN (SELECT id FROM alerts \
    WHERE raised_at < $1 AND next_at IS NULL ORDER BY id LIMIT $2)";
const NOTE_TESTED: &str = "-- alerts::note_tested\n\
    INSERT INTO alert_channels (channel, address, tested_at) VALUES ($1, $2, $3) \
    ON CONFLICT (channel) DO UPDATE SET address = excluded.address, tested_at = excluded.tested_at";
const TESTED: &str =
    "-- alerts::tested\nSELECT channel, address, tested_at FROM alert_channels ORDER BY channel";

pub(crate) const STATEMENTS: &[&str] =
    &[INSERT, WAS_RAISED, DUE, TOLD, ACKNOWLEDGE, FIND, PAGE, PURGE, NOTE_TESTED, TESTED];

/// Something that people are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its identifier.
    pub id: Id<id::Alert>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What, as a code.
    pub code: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// In words and numbers.
    pub detail: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// Alerts with the same text here are told once within their span, and not again.
    pub grouped_by: Option<String>,
    /// How often it was told.
    pub told: u32,
    /// When it is told next, if it is.
    pub next_at: Option<Timestamp>,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<Timestamp>,
}

/// Raises an alert: due at once, told and acknowledged by nobody.
pub async fn insert(tx: &mut Tx<'_>, alert: &Alert) -> Result<(), Error> {
    let parameters = [
        alert.id.into(),
        alert.org_id.into(),
        alert.code.as_str().into(),
        alert.severity.as_str().into(),
        alert.subject.as_str().into(),
        alert.detail.as_str().into(),
        alert.raised_at.into(),
        alert.grouped_by.as_deref().into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Whether an alert of this group was raised since an instant.
pub async fn was_raised(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    grouped_by: &str,
    since: Timestamp,
) -> Result<bool, Error> {
    let rows = tx.query(WAS_RAISED, &[org.into(), grouped_by.into(), since.into()]).await?;
    Ok(!rows.is_empty())
}

/// The alerts that are to be told now, those that wait longest first.
pub async fn due(store: &Store, now: Timestamp, limit: u32) -> Result<Vec<Alert>, Error> {
    store.query(DUE, vec![now.into(), limit.into()]).await?.into_iter().map(decode).collect()
}

/// Notes that an alert is told for the time after the `told`-th, and when it is again; answers
/// whether it was to be.
pub async fn told(
    tx: &mut Tx<'_>,
    id: Id<id::Alert>,
    told: u32,
    next_at: Option<Timestamp>,
) -> Result<bool, Error> {
    Ok(tx.execute(TOLD, &[id.into(), told.into(), next_at.into()]).await? == 1)
}

/// Notes who has seen an alert; answers whether nobody had before.
pub async fn acknowledge(
    tx: &mut Tx<'_>,
    id: Id<id::Alert>,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(ACKNOWLEDGE, &[id.into(), by.into(), now.into()]).await? == 1)
}

/// An alert of an organization.
pub async fn find(
    store: &Store,
    org: Id<id::Org>,
    id: Id<id::Alert>,
) -> Result<Option<Alert>, Error> {
    store.query_one(FIND, vec![id.into(), org.into()]).await?.map(decode).transpose()
}

/// At most `count` alerts of an organization, newest first, before the identifier.
pub async fn page(
    store: &Store,
    org: Id<id::Org>,
    before: Id<id::Alert>,
    count: u32,
) -> Result<Vec<Alert>, Error> {
    let parameters = vec![org.into(), before.into(), count.into()];
    store.query(PAGE, parameters).await?.into_iter().map(decode).collect()
}

/// Forgets at most `count` alerts that were raised before an instant and are told no more: somebody
/// acknowledged them, or they were to be told once. Says how many.
pub async fn purge(tx: &mut Tx<'_>, before: Timestamp, count: u32) -> Result<u64, Error> {
    tx.execute(PURGE, &[before.into(), count.into()]).await
}

/// Notes that a channel has carried a test to this address, as a hash.
pub async fn note_tested(
    tx: &mut Tx<'_>,
    channel: Channel,
    address: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let parameters = [Value::Word(channel.text()), address.into(), now.into()];
    tx.execute_one(NOTE_TESTED, &parameters).await
}

/// The channels that have carried a test, to which address, as a hash, and when they last did.
pub async fn tested(store: &Store) -> Result<Vec<(Channel, String, Timestamp)>, Error> {
    let rows = store.query(TESTED, Vec::new()).await?;
    rows.into_iter().map(|mut row| Ok((row.word()?, row.text()?, row.time()?))).collect()
}

fn decode(mut row: Row) -> Result<Alert, Error> {
    Ok(Alert {
        id: row.id()?,
        org_id: row.id()?,
        code: row.text()?,
        severity: row.text()?,
        subject: row.text()?,
        detail: row.text()?,
        raised_at: row.time()?,
        grouped_by: row.text_or_null()?,
        told: row.small()?,
        next_at: row.time_or_null()?,
        acknowledged_by: row.text_or_null()?,
        acknowledged_at: row.time_or_null()?,
    })
}
