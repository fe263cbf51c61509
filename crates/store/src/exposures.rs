//! Exposure rows: one for each (account, instrument, strategy).

use crate::Error;
use crate::dialect::{Insert, Lock, Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::bracket::Bracket;
use tradewarden_domain::exposure::{Exposure, Reported};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "account_id, symbol, strategy_id, quantity, cost, realized, fees, entry_buy, \
         entry_sell, exit_buy, exit_sell, entry_sent_at, bracket, reported, \
         unclosed_since, updated_at"
    };
}

const PUT: Insert = Insert {
    into: concat!("-- exposures::put\nINSERT INTO exposures (", columns!(), ")"),
    columns: 16,
    tail: "ON CONFLICT (account_id, symbol, strategy_id) DO UPDATE SET \
           quantity = excluded.quantity, cost = excluded.cost, \
           realized = excluded.realized, fees = excluded.fees, entry_buy = excluded.entry_buy, \
           entry_sell = excluded.entry_sell, exit_buy = excluded.exit_buy, \
           exit_sell = excluded.exit_sell, entry_sent_at = excluded.entry_sent_at, \
           bracket = excluded.bracket, reported = excluded.reported, \
           unclosed_since = excluded.unclosed_since, updated_at = excluded.updated_at",
};
const OF_PAIR: &str = concat!(
    "-- exposures::of_pair\nSELECT ",
    columns!(),
    " FROM exposures WHERE account_id = $1 AND symbol = $2 ORDER BY strategy_id"
);
const OF_ACCOUNT: &str = concat!(
    "-- exposures::of_account\nSELECT ",
    columns!(),
    " FROM exposures WHERE account_id = $1 ORDER BY symbol, strategy_id"
);
const OF_STRATEGY: &str = concat!(
    "-- exposures::of_strategy\nSELECT ",
    columns!(),
    " FROM exposures WHERE strategy_id = $1 ORDER BY account_id, symbol"
);

const BRACKETED: &str = concat!(
    "-- exposures::bracketed\nSELECT ",
    columns!(),
    " FROM exposures WHERE bracket IS NOT NULL ORDER BY account_id, symbol, strategy_id"
);

pub(crate) const STATEMENTS: &[&str] = &[OF_PAIR, OF_ACCOUNT, OF_STRATEGY, BRACKETED];
pub(crate) const INSERTS: &[&Insert] = &[&PUT];

/// Where an exposure belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The instrument.
    pub symbol: Symbol,
    /// The strategy; all bits zero for orders of no strategy.
    pub strategy_id: Id<id::Strategy>,
}

/// The strategy column of orders that belong to no strategy.
pub const NO_STRATEGY: Id<id::Strategy> = Id::from_bytes([0; 16]);

/// Writes exposures as they stand now.
pub async fn put(
    tx: &mut Tx<'_>,
    exposures: impl Iterator<Item = (&Place, &Exposure)>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut values = Vec::new();
    for (place, exposure) in exposures {
        values.extend([
            place.account_id.into(),
            place.symbol.as_str().into(),
            place.strategy_id.into(),
            exposure.quantity.units().into(),
            exposure.cost.into(),
            exposure.realized.into(),
            exposure.fees.units().into(),
            exposure.entry_buy.units().into(),
            exposure.entry_sell.units().into(),
            exposure.exit_buy.units().into(),
            exposure.exit_sell.units().into(),
            exposure.entry_sent_at.into(),
            // Writing strings and numbers to JSON cannot fail.
            exposure.bracket.and_then(|bracket| serde_json::to_string(&bracket).ok()).into(),
            exposure.reported.and_then(|reported| serde_json::to_string(&reported).ok()).into(),
            exposure.unclosed_since.into(),
            now.into(),
        ]);
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// All strategies' exposures on each of these pairs; the account rows must be locked.
pub async fn of_pairs(
    tx: &mut Tx<'_>,
    pairs: &[(Id<id::Account>, Symbol)],
) -> Result<Vec<(Place, Exposure)>, Error> {
    let sets: Vec<_> = pairs
        .iter()
        .map(|(account, symbol)| vec![Value::from(*account), Value::from(symbol.as_str())])
        .collect();
    let found = tx.lock_each(OF_PAIR, &sets, Lock::Update).await?;
    found.into_iter().flatten().map(decode).collect()
}

/// All exposures of an account.
pub async fn of_account(
    store: &Store,
    account: Id<id::Account>,
) -> Result<Vec<(Place, Exposure)>, Error> {
    let rows = store.query(OF_ACCOUNT, vec![Value::from(account)]).await?;
    rows.into_iter().map(decode).collect()
}

/// All exposures that have a bracket.
pub async fn bracketed(store: &Store) -> Result<Vec<(Place, Exposure)>, Error> {
    store.query(BRACKETED, Vec::new()).await?.into_iter().map(decode).collect()
}

/// All exposures of a strategy, as this transaction sees them. Whoever relies on it holds the
/// organization's lock, so that none changes meanwhile.
pub async fn of_strategy(
    tx: &mut Tx<'_>,
    strategy: Id<id::Strategy>,
) -> Result<Vec<(Place, Exposure)>, Error> {
    tx.query(OF_STRATEGY, &[strategy.into()]).await?.into_iter().map(decode).collect()
}

/// The same inside a transaction; the account's row must be locked.
pub async fn of_account_in(
    tx: &mut Tx<'_>,
    account: Id<id::Account>,
) -> Result<Vec<(Place, Exposure)>, Error> {
    tx.query(OF_ACCOUNT, &[Value::from(account)]).await?.into_iter().map(decode).collect()
}

fn bracket(text: &str) -> Result<Bracket, Error> {
    serde_json::from_str(text).map_err(|error| Error::unreadable(format!("a bracket: {error}")))
}

fn reported(text: &str) -> Result<Reported, Error> {
    let unreadable =
        |error: serde_json::Error| Error::unreadable(format!("what a broker reports: {error}"));
    serde_json::from_str(text).map_err(unreadable)
}

fn decode(mut row: Row) -> Result<(Place, Exposure), Error> {
    let place = Place { account_id: row.id()?, symbol: row.word()?, strategy_id: row.id()? };
    let exposure = Exposure {
        quantity: Quantity::from_units(row.int()?),
        cost: row.points()?,
        realized: row.points()?,
        fees: Money::from_units(row.int()?),
        entry_buy: Quantity::from_units(row.int()?),
        entry_sell: Quantity::from_units(row.int()?),
        exit_buy: Quantity::from_units(row.int()?),
        exit_sell: Quantity::from_units(row.int()?),
        entry_sent_at: row.time_or_null()?,
        bracket: row.text_or_null()?.map(|text| bracket(&text)).transpose()?,
        reported: row.text_or_null()?.map(|text| reported(&text)).transpose()?,
        unclosed_since: row.time_or_null()?,
    };
    Ok((place, exposure))
}
