//! The roll tables: month contracts by organization.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::Row;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::roll::Contract;
use tradewarden_domain::time::Timestamp;

const ROLLS: &str = "-- directory::rolls\n\
    SELECT org_id, root, symbol, expires_on, first_notice_on, roll_at, updated_at FROM rolls \
    ORDER BY org_id, symbol";
const ROLLS_OF: &str = "-- directory::rolls_of\n\
    SELECT org_id, root, symbol, expires_on, first_notice_on, roll_at, updated_at FROM rolls \
    WHERE org_id = $1 ORDER BY symbol";
const PUT_ROLL: &str = "-- directory::put_roll\n\
    INSERT INTO rolls (org_id, root, symbol, expires_on, first_notice_on, roll_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org_id, symbol) DO UPDATE SET \
    root = excluded.root, expires_on = excluded.expires_on, \
    first_notice_on = excluded.first_notice_on, roll_at = excluded.roll_at, \
    updated_at = excluded.updated_at";
const REMOVE_ROLL: &str =
    "-- directory::remove_roll\nDELETE FROM rolls WHERE org_id = $1 AND symbol = $2";

pub(crate) const STATEMENTS: &[&str] = &[ROLLS, ROLLS_OF, PUT_ROLL, REMOVE_ROLL];

/// All contracts.
pub async fn rolls(store: &Store) -> Result<Vec<Contract>, Error> {
    store.query(ROLLS, Vec::new()).await?.into_iter().map(decode).collect()
}

/// The contracts of an organization.
pub async fn rolls_of(store: &Store, org: Id<id::Org>) -> Result<Vec<Contract>, Error> {
    store.query(ROLLS_OF, vec![org.into()]).await?.into_iter().map(decode).collect()
}

/// Puts a contract into its table, or changes it there.
pub async fn put_roll(tx: &mut Tx<'_>, contract: &Contract) -> Result<(), Error> {
    tx.execute_one(
        PUT_ROLL,
        &[
            contract.org_id.into(),
            contract.root.as_str().into(),
            contract.symbol.as_str().into(),
            contract.expires_on.to_string().into(),
            contract.first_notice_on.map(|day| day.to_string()).into(),
            contract.roll_at.map(Timestamp::unix_micros).into(),
            contract.updated_at.into(),
        ],
    )
    .await
}

/// Takes a contract out of its table.
pub async fn remove_roll(tx: &mut Tx<'_>, org: Id<id::Org>, symbol: &Symbol) -> Result<(), Error> {
    tx.execute_one(REMOVE_ROLL, &[org.into(), symbol.as_str().into()]).await
}

fn decode(mut row: Row) -> Result<Contract, Error> {
    Ok(Contract {
        org_id: row.id()?,
        root: row.word()?,
        symbol: row.word()?,
        expires_on: row.word()?,
        first_notice_on: row.word_or_null()?,
        roll_at: row.time_or_null()?,
        updated_at: row.time()?,
    })
}
