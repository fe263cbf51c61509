//! The newest entries of a strategy on an account and instrument, kept where a limit asks for them.

use crate::Error;
use crate::dialect::{Insert, Lock, Tx};
use crate::exposures::Place;
use crate::value::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::recent::RecentEntries;

const PUT: Insert = Insert {
    into: "-- recent::put\nINSERT INTO recent_entries (account_id, symbol, strategy_id, entries)",
    columns: 4,
    tail: "ON CONFLICT (account_id, symbol, strategy_id) DO UPDATE SET entries = excluded.entries",
};
const OF_PAIR: &str = "-- recent::of_pairs\n\
    SELECT account_id, symbol, strategy_id, entries FROM recent_entries \
    WHERE account_id = $1 AND symbol = $2 ORDER BY strategy_id";

pub(crate) const STATEMENTS: &[&str] = &[OF_PAIR];
pub(crate) const INSERTS: &[&Insert] = &[&PUT];

/// Writes them as they stand now.
pub async fn put(
    tx: &mut Tx<'_>,
    entries: impl Iterator<Item = (&Place, &RecentEntries)>,
) -> Result<(), Error> {
    let mut values = Vec::new();
    for (place, recent) in entries {
        values.extend([
            place.account_id.into(),
            place.symbol.as_str().into(),
            place.strategy_id.into(),
            recent.to_bytes().into(),
        ]);
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// What is kept of these pairs, by strategy; the account rows must be locked.
pub async fn of_pairs(
    tx: &mut Tx<'_>,
    pairs: &[(Id<id::Account>, Symbol)],
) -> Result<Vec<(Place, RecentEntries)>, Error> {
    let sets: Vec<_> = pairs
        .iter()
        .map(|(account, symbol)| vec![Value::from(*account), Value::from(symbol.as_str())])
        .collect();
    let found = tx.lock_each(OF_PAIR, &sets, Lock::Update).await?;
    let rows = found.into_iter().flatten();
    rows.map(|mut row| {
        let place = Place { account_id: row.id()?, symbol: row.word()?, strategy_id: row.id()? };
        Ok((place, RecentEntries::from_bytes(&row.bytes()?)))
    })
    .collect()
}
