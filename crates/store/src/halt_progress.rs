//! How far halts that cancel and close have come.

use crate::Error;
use crate::dialect::{Insert, Store, Tx};
use crate::value::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::time::Timestamp;

const NOTE_ORDERS: Insert = Insert {
    into: "-- halt_progress::note_orders\nINSERT INTO halt_orders (halt_id, order_id)",
    columns: 2,
    tail: "ON CONFLICT (halt_id, order_id) DO NOTHING",
};
const NOTE_POSITION: &str = "-- halt_progress::note_position\n\
    INSERT INTO halt_positions (halt_id, account_id, symbol, flat_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (halt_id, account_id, symbol) DO UPDATE SET flat_at = excluded.flat_at";
const NOTE_LOOK: &str = "-- halt_progress::note_look\n\
    INSERT INTO halt_looks (halt_id, looked_at) VALUES ($1, $2) ON CONFLICT (halt_id) DO NOTHING";
const LOOKED_AT: &str =
    "-- halt_progress::looked_at\nSELECT looked_at FROM halt_looks WHERE halt_id = $1";
const ORDERS: &str = "-- halt_progress::orders\n\
    SELECT orders.state, COUNT(*) FROM halt_orders \
    JOIN orders ON orders.id = halt_orders.order_id WHERE halt_orders.halt_id = $1 \
    GROUP BY orders.state";
const POSITIONS: &str = "-- halt_progress::positions\n\
    SELECT account_id, symbol, flat_at FROM halt_positions WHERE halt_id = $1 \
    ORDER BY account_id, symbol";

pub(crate) const STATEMENTS: &[&str] = &[NOTE_POSITION, NOTE_LOOK, LOOKED_AT, ORDERS, POSITIONS];
pub(crate) const INSERTS: &[&Insert] = &[&NOTE_ORDERS];

/// What is known of a halt's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltProgress {
    /// When everything that it covers had been looked at once; `None` before.
    pub looked_at: Option<Timestamp>,
    /// The orders it takes back, by where they are in their life.
    pub orders: Vec<(OrderState, u64)>,
    /// Positions that it closes.
    pub positions_to_close: u64,
    /// Of these, those that are flat.
    pub positions_flat: u64,
}

/// Notes orders that a halt takes back; those that are noted already stay.
pub async fn note_orders(
    tx: &mut Tx<'_>,
    halt: Id<id::Halt>,
    orders: &[Id<id::Order>],
) -> Result<(), Error> {
    let values: Vec<Value> =
        orders.iter().flat_map(|order| [halt.into(), (*order).into()]).collect();
    tx.insert(&NOTE_ORDERS, &values).await.map(|_| ())
}

/// Notes a position that a halt closes, and since when it is flat.
pub async fn note_position(
    tx: &mut Tx<'_>,
    halt: Id<id::Halt>,
    account: Id<id::Account>,
    symbol: &Symbol,
    flat_at: Option<Timestamp>,
) -> Result<(), Error> {
    let parameters = [halt.into(), account.into(), symbol.as_str().into(), flat_at.into()];
    tx.execute_one(NOTE_POSITION, &parameters).await
}

/// Notes that everything a halt covers was looked at.
pub async fn note_look(tx: &mut Tx<'_>, halt: Id<id::Halt>, at: Timestamp) -> Result<(), Error> {
    tx.execute(NOTE_LOOK, &[halt.into(), at.into()]).await.map(|_| ())
}

/// The positions that a halt closes and that are not known to be flat.
pub async fn open_positions(
    store: &Store,
    halt: Id<id::Halt>,
) -> Result<Vec<(Id<id::Account>, Symbol)>, Error> {
    let positions = positions(store, halt).await?.into_iter();
    let open = positions.filter(|(_, _, flat_at)| flat_at.is_none());
    Ok(open.map(|(account, symbol, _)| (account, symbol)).collect())
}

/// How far a halt has come.
pub async fn of(store: &Store, halt: Id<id::Halt>) -> Result<HaltProgress, Error> {
    let looked_at = store.query_one(LOOKED_AT, vec![halt.into()]).await?;
    let looked_at = looked_at.map(|mut row| row.time()).transpose()?;
    let rows = store.query(ORDERS, vec![halt.into()]).await?;
    let count = |count| u64::try_from(count).map_err(|_| Error::broken("a count below zero"));
    let orders = rows.into_iter().map(|mut row| Ok((row.word()?, count(row.int()?)?)));
    let orders = orders.collect::<Result<_, Error>>()?;
    let positions = positions(store, halt).await?;
    let flat = positions.iter().filter(|(_, _, flat_at)| flat_at.is_some()).count();
    Ok(HaltProgress {
        looked_at,
        orders,
        positions_to_close: u64::try_from(positions.len()).unwrap_or(u64::MAX),
        positions_flat: u64::try_from(flat).unwrap_or(u64::MAX),
    })
}

type Position = (Id<id::Account>, Symbol, Option<Timestamp>);

async fn positions(store: &Store, halt: Id<id::Halt>) -> Result<Vec<Position>, Error> {
    let rows = store.query(POSITIONS, vec![halt.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.word()?, row.time_or_null()?))).collect()
}
