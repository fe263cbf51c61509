//! The price that each instrument was last heard at while it traded: what it closed at, once it has
//! closed.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::Row;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Price;
use tradewarden_domain::time::Timestamp;

const PUT: Insert = Insert {
    into: "-- closes::put\nINSERT INTO closes (broker, symbol, price, at)",
    columns: 4,
    tail: "ON CONFLICT (broker, symbol) DO UPDATE SET price = excluded.price, at = excluded.at",
};
const ALL: &str =
    "-- closes::all\nSELECT broker, symbol, price, at FROM closes ORDER BY broker, symbol";

pub(crate) const STATEMENTS: &[&str] = &[ALL];
pub(crate) const INSERTS: &[&Insert] = &[&PUT];

/// A price of an instrument at a kind of broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The broker's kind.
    pub broker: String,
    /// Of what.
    pub symbol: Symbol,
    /// The price.
    pub price: Price,
    /// When it was heard.
    pub at: Timestamp,
}

/// Writes them in the place of those before, each instrument at most once.
pub async fn put(tx: &mut Tx<'_>, closes: &[Close]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(closes.len().saturating_mul(4));
    for close in closes {
        values.extend([
            close.broker.as_str().into(),
            close.symbol.as_str().into(),
            close.price.units().into(),
            close.at.into(),
        ]);
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// All of them.
pub async fn all(store: &Store) -> Result<Vec<Close>, Error> {
    store.query(ALL, Vec::new()).await?.into_iter().map(decode).collect()
}

fn decode(mut row: Row) -> Result<Close, Error> {
    Ok(Close {
        broker: row.text()?,
        symbol: row.word()?,
        price: Price::from_units(row.int()?),
        at: row.time()?,
    })
}
