//! How much keys were used: counters by hour, and the windows behind the limits by day.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const ADD: Insert = Insert {
    into: "-- key_usage::add\nINSERT INTO key_usage (key_id, hour, calls, orders, refusals)",
    columns: 5,
    tail: "ON CONFLICT (key_id, hour) DO UPDATE SET calls = key_usage.calls + excluded.calls, \
           orders = key_usage.orders + excluded.orders, \
           refusals = key_usage.refusals + excluded.refusals",
};
const OF_KEY: &str = "-- key_usage::of_key\n\
    SELECT hour, calls, orders, refusals FROM key_usage WHERE key_id = $1 AND hour >= $2 \
    ORDER BY hour";
const PUT_DAYS: Insert = Insert {
    into: "-- key_usage::put_days\nINSERT INTO key_days (caller_id, node, requests, orders, \
           updated_at)",
    columns: 5,
    tail: "ON CONFLICT (caller_id, node) DO UPDATE SET requests = excluded.requests, \
           orders = excluded.orders, updated_at = excluded.updated_at",
};
const DAYS: &str = "-- key_usage::days\n\
    SELECT caller_id, requests, orders FROM key_days WHERE node = $1 ORDER BY caller_id";
const PURGE_USAGE: &str = "-- key_usage::purge_usage\nDELETE FROM key_usage WHERE hour < $1";
const PURGE_DAYS: &str = "-- key_usage::purge_days\nDELETE FROM key_days WHERE updated_at < $1";

pub(crate) const STATEMENTS: &[&str] = &[OF_KEY, DAYS, PURGE_USAGE, PURGE_DAYS];
pub(crate) const INSERTS: &[&Insert] = &[&ADD, &PUT_DAYS];

/// What one key did in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hour {
    /// Where the hour begins.
    pub hour: Timestamp,
    /// Requests, those for orders included.
    pub calls: u64,
    /// Requests for new or changed orders.
    pub orders: u64,
    /// Requests that were answered with a no.
    pub refusals: u64,
}

/// What one caller asked for in the last day, on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The key or the person.
    pub caller_id: [u8; 16],
    /// Its requests, as [`tradewarden_domain::rate::DayWindow`] writes them.
    pub requests: Vec<u8>,
    /// Its orders, in the same form.
    pub orders: Vec<u8>,
}

/// Adds up. No key may have an hour twice, and they must be sorted.
pub async fn add(tx: &mut Tx<'_>, hours: &[(Id<id::Key>, Hour)]) -> Result<(), Error> {
    let count = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let mut values = Vec::with_capacity(hours.len().saturating_mul(ADD.columns));
    for (key_id, hour) in hours {
        values.extend([
            (*key_id).into(),
            hour.hour.into(),
            count(hour.calls),
            count(hour.orders),
            count(hour.refusals),
        ]);
    }
    tx.insert(&ADD, &values).await.map(|_| ())
}

/// The hours of a key from `since` on, oldest first; hours without use are left out.
pub async fn of_key(
    store: &Store,
    key_id: Id<id::Key>,
    since: Timestamp,
) -> Result<Vec<Hour>, Error> {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let rows = store.query(OF_KEY, vec![key_id.into(), since.into()]).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Hour {
                hour: row.time()?,
                calls: count(row.int()?),
                orders: count(row.int()?),
                refusals: count(row.int()?),
            })
        })
        .collect()
}

/// Writes the windows of a node's callers. They must be sorted by caller.
pub async fn put_days(
    tx: &mut Tx<'_>,
    node: &str,
    days: Vec<Day>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut values = Vec::with_capacity(days.len().saturating_mul(PUT_DAYS.columns));
    for day in days {
        values.extend([
            Value::Id(day.caller_id),
            node.into(),
            day.requests.into(),
            day.orders.into(),
            now.into(),
        ]);
    }
    tx.insert(&PUT_DAYS, &values).await.map(|_| ())
}

/// The windows of a node's callers.
pub async fn days(store: &Store, node: &str) -> Result<Vec<Day>, Error> {
    let rows = store.query(DAYS, vec![node.into()]).await?;
    rows.into_iter()
        .map(|mut row| {
            let caller: Id<()> = row.id()?;
            Ok(Day { caller_id: caller.to_bytes(), requests: row.bytes()?, orders: row.bytes()? })
        })
        .collect()
}

/// Forgets hours before `usage`, and windows that did not change since `days`.
pub async fn purge(tx: &mut Tx<'_>, usage: Timestamp, days: Timestamp) -> Result<(), Error> {
    tx.execute(PURGE_USAGE, &[usage.into()]).await?;
    tx.execute(PURGE_DAYS, &[days.into()]).await.map(|_| ())
}
