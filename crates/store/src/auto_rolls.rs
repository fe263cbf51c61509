//! Positions that are on their way from a month to the next (S11): the exit that closes one, then the
//! entry of what that exit has filled.

use crate::Error;
use crate::dialect::{Lock, Store, Tx};
use crate::exposures::Place;
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "account_id, strategy_id, symbol, org_id, next_symbol, side, quantity, stays_closed, \
         exit_id, entry_id, had_stop, begun_at"
    };
}

const ALL: &str = concat!(
    "-- auto_rolls::all\nSELECT ",
    columns!(),
    " FROM auto_rolls ORDER BY account_id, strategy_id, symbol"
);
const OF_ACCOUNT: &str = concat!(
    "-- auto_rolls::of_account\nSELECT ",
    columns!(),
    " FROM auto_rolls WHERE account_id = $1 ORDER BY strategy_id, symbol"
);
const PUT: &str = concat!(
    "-- auto_rolls::put\nINSERT INTO auto_rolls (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
     ON CONFLICT (account_id, strategy_id, symbol) DO UPDATE SET org_id = excluded.org_id, \
     next_symbol = excluded.next_symbol, side = excluded.side, quantity = excluded.quantity, \
     stays_closed = excluded.stays_closed, exit_id = excluded.exit_id, \
     entry_id = excluded.entry_id, had_stop = excluded.had_stop, begun_at = excluded.begun_at"
);
const REMOVE: &str = "-- auto_rolls::remove\n\
    DELETE FROM auto_rolls WHERE account_id = $1 AND strategy_id = $2 AND symbol = $3";

pub(crate) const STATEMENTS: &[&str] = &[ALL, OF_ACCOUNT, PUT, REMOVE];

/// A position that is on its way to the next month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoRoll {
    /// Whose it is, and in which month it was.
    pub place: Place,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// The month to which it goes.
    pub next_symbol: Symbol,
    /// The side of its entries.
    pub side: Side,
    /// So much the exit was journaled for.
    pub quantity: Quantity,
    /// So much of it is not opened again, because somebody closed it meanwhile.
    pub stays_closed: Quantity,
    /// What closes it in the old month.
    pub exit_id: Id<id::Order>,
    /// What opens it in the next one, once the exit has ended.
    pub entry_id: Option<Id<id::Order>>,
    /// Whether a stop protected it in the old month.
    pub had_stop: bool,
    /// When the exit was journaled.
    pub begun_at: Timestamp,
}

impl AutoRoll {
    /// At most so much is still to be opened.
    pub fn to_open(&self) -> Quantity {
        self.quantity.saturating_minus(self.stays_closed).max(Quantity::ZERO)
    }
}

/// All of them.
pub async fn all(store: &Store) -> Result<Vec<AutoRoll>, Error> {
    store.query(ALL, Vec::new()).await?.into_iter().map(decode).collect()
}

/// Those of these accounts, whose rows must be locked.
pub async fn of_accounts(
    tx: &mut Tx<'_>,
    accounts: &[Id<id::Account>],
) -> Result<Vec<AutoRoll>, Error> {
    let sets: Vec<_> = accounts.iter().map(|account| vec![Value::from(*account)]).collect();
    let found = tx.lock_each(OF_ACCOUNT, &sets, Lock::Update).await?;
    found.into_iter().flatten().map(decode).collect()
}

/// Writes one as it stands now.
pub async fn put(tx: &mut Tx<'_>, roll: &AutoRoll) -> Result<(), Error> {
    let parameters = [
        roll.place.account_id.into(),
        roll.place.strategy_id.into(),
        roll.place.symbol.as_str().into(),
        roll.org_id.into(),
        roll.next_symbol.as_str().into(),
        Value::Word(roll.side.text()),
        roll.quantity.units().into(),
        roll.stays_closed.units().into(),
        roll.exit_id.into(),
        roll.entry_id.into(),
        Value::Int(i64::from(roll.had_stop)),
        roll.begun_at.into(),
    ];
    tx.execute_one(PUT, &parameters).await
}

/// Takes one away that has ended.
pub async fn remove(tx: &mut Tx<'_>, place: &Place) -> Result<(), Error> {
    let parameters =
        [place.account_id.into(), place.strategy_id.into(), place.symbol.as_str().into()];
    tx.execute_one(REMOVE, &parameters).await
}

fn decode(mut row: Row) -> Result<AutoRoll, Error> {
    let (account_id, strategy_id) = (row.id()?, row.id()?);
    Ok(AutoRoll {
        place: Place { account_id, symbol: row.word()?, strategy_id },
        org_id: row.id()?,
        next_symbol: row.word()?,
        side: row.word()?,
        quantity: Quantity::from_units(row.int()?),
        stays_closed: Quantity::from_units(row.int()?),
        exit_id: row.id()?,
        entry_id: row.id_or_null()?,
        had_stop: row.int()? != 0,
        begun_at: row.time()?,
    })
}
