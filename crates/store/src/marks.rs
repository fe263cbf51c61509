//! What was quoted of instruments that somebody held: what a replay marks the past with (S23).

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::Row;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Price;
use tradewarden_domain::time::Timestamp;

const PUT: Insert = Insert {
    into: "-- marks::put\nINSERT INTO marks (at, broker, symbol, bid, ask, closed)",
    columns: 6,
    tail: "ON CONFLICT (at, broker, symbol) DO NOTHING",
};
const AFTER: &str = "-- marks::after\n\
    SELECT at, broker, symbol, bid, ask, closed FROM marks WHERE (at, broker, symbol) > ($1, $2, $3) \
    AND at < $4 ORDER BY at, broker, symbol LIMIT $5";
const HELD: &str = "-- marks::held\n\
    SELECT DISTINCT accounts.broker, exposures.symbol FROM exposures \
    JOIN accounts ON accounts.id = exposures.account_id WHERE exposures.quantity <> 0 \
    ORDER BY accounts.broker, exposures.symbol LIMIT $1";
const FORGET: &str = "-- marks::forget\nDELETE FROM marks WHERE at < $1";

pub(crate) const STATEMENTS: &[&str] = &[AFTER, HELD, FORGET];
pub(crate) const INSERTS: &[&Insert] = &[&PUT];

/// What was quoted of an instrument at a kind of broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMark {
    /// When.
    pub at: Timestamp,
    /// The broker's kind.
    pub broker: String,
    /// Of what.
    pub symbol: Symbol,
    /// What was bid.
    pub bid: Price,
    /// What was asked.
    pub ask: Price,
    /// Whether it was known not to trade.
    pub is_closed: bool,
}

/// Writes what was quoted; what is there already stays.
pub async fn put(tx: &mut Tx<'_>, marks: &[StoredMark]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(marks.len().saturating_mul(PUT.columns));
    for mark in marks {
        values.extend([
            mark.at.into(),
            mark.broker.as_str().into(),
            mark.symbol.as_str().into(),
            mark.bid.units().into(),
            mark.ask.units().into(),
            i64::from(mark.is_closed).into(),
        ]);
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// At most `count` marks after this time, broker and symbol, and before `to`, in that order.
pub async fn after(
    store: &Store,
    (at, broker, symbol): (Timestamp, &str, &str),
    to: Timestamp,
    count: u32,
) -> Result<Vec<StoredMark>, Error> {
    let values = vec![at.into(), broker.into(), symbol.into(), to.into(), count.into()];
    let mark = |mut row: Row| {
        Ok(StoredMark {
            at: row.time()?,
            broker: row.text()?,
            symbol: row.word()?,
            bid: Price::from_units(row.int()?),
            ask: Price::from_units(row.int()?),
            is_closed: row.int()? != 0,
        })
    };
    store.query(AFTER, values).await?.into_iter().map(mark).collect()
}

/// At most `count` instruments that somebody holds, by kind of broker.
pub async fn held(store: &Store, count: u32) -> Result<Vec<(String, Symbol)>, Error> {
    let rows = store.query(HELD, vec![count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.text()?, row.word()?))).collect()
}

/// Forgets what is older.
pub async fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Result<(), Error> {
    tx.execute(FORGET, &[before.into()]).await.map(|_| ())
}
