//! Accounts and what is traded in them.

use crate::Error;
use crate::dialect::{Insert, Lock, Store, Tx};
use crate::value::{Row, Value};
use std::collections::BTreeMap;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Instrument;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::session::{NextDays, TradingDays};

const ACCOUNTS: &str = "-- directory::accounts\n\
    SELECT id, org_id, name, broker, broker_account, currency, state, created_at, \
    session, loss_reset, next_session, next_loss_reset, running_since, next_begins_at \
    FROM accounts ORDER BY id";
const ACCOUNT: &str = "-- directory::account\n\
    SELECT id, org_id, name, broker, broker_account, currency, state, created_at, \
    session, loss_reset, next_session, next_loss_reset, running_since, next_begins_at \
    FROM accounts WHERE id = $1";
const INSERT_ACCOUNT: &str = "-- directory::insert_account\n\
    INSERT INTO accounts (id, org_id, name, broker, broker_account, currency, state, \
    orders_minute, fills_cursor, created_at, session, loss_reset, \
    next_session, next_loss_reset, running_since, next_begins_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9, $10, $11, $12, $13, $14, $15)";
const ACCOUNT_DAYS: &str = "-- directory::account_days\n\
    SELECT session, loss_reset, next_session, next_loss_reset, running_since, next_begins_at \
    FROM accounts WHERE id = $1";
const SET_ACCOUNT_DAYS: &str = "-- directory::set_account_days\n\
    UPDATE accounts SET session = $2, loss_reset = $3, next_session = $4, \
    next_loss_reset = $5, running_since = $6, next_begins_at = $7 WHERE id = $1";
const LOCK_ACCOUNT: &str = "-- directory::lock_accounts\n\
    SELECT state, orders_minute, fills_cursor FROM accounts WHERE id = $1";
const ORDERS_MINUTE_OF: &str = "-- directory::orders_minute_of\n\
    SELECT id, orders_minute FROM accounts WHERE org_id = $1 ORDER BY id";
const SET_ORDERS_MINUTE: &str =
    "-- directory::set_orders_minute\nUPDATE accounts SET orders_minute = $2 WHERE id = $1";
const SET_FILLS_CURSOR: &str =
    "-- directory::set_fills_cursor\nUPDATE accounts SET fills_cursor = $2 WHERE id = $1";
const FILLS_CURSOR: &str =
    "-- directory::fills_cursor\nSELECT fills_cursor FROM accounts WHERE id = $1";
const INSTRUMENTS: &str = "-- directory::instruments\n\
    SELECT account_id, symbol, tick, lot, quantity_min, point_value, currency, calendar \
    FROM instruments ORDER BY account_id, symbol";
const INSTRUMENTS_OF: &str = "-- directory::instruments_of\n\
    SELECT account_id, symbol, tick, lot, quantity_min, point_value, currency, calendar \
    FROM instruments WHERE account_id = $1 ORDER BY symbol";
const PUT_INSTRUMENT: Insert = Insert {
    into: "-- directory::put_instruments\nINSERT INTO instruments (account_id, symbol, tick, lot, \
           quantity_min, point_value, currency, calendar)",
    columns: 8,
    tail: "ON CONFLICT (account_id, symbol) DO UPDATE SET tick = excluded.tick, \
           lot = excluded.lot, quantity_min = excluded.quantity_min, \
           point_value = excluded.point_value, currency = excluded.currency, \
           calendar = excluded.calendar",
};

pub(crate) const STATEMENTS: &[&str] = &[
    ACCOUNTS,
    ACCOUNT,
    INSERT_ACCOUNT,
    ACCOUNT_DAYS,
    SET_ACCOUNT_DAYS,
    LOCK_ACCOUNT,
    ORDERS_MINUTE_OF,
    SET_ORDERS_MINUTE,
    SET_FILLS_CURSOR,
    FILLS_CURSOR,
    INSTRUMENTS,
    INSTRUMENTS_OF,
];
pub(crate) const INSERTS: &[&Insert] = &[&PUT_INSTRUMENT];

/// An account's row as the journal needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedAccount {
    /// Whether it takes orders.
    pub state: Activity,
    /// Its orders of the last minute, as stored.
    pub orders_minute: Vec<u8>,
    /// Up to where its fills were read.
    pub fills_cursor: Option<String>,
}

/// All accounts with their instruments.
pub async fn accounts(store: &Store) -> Result<Vec<Account>, Error> {
    let mut accounts = BTreeMap::new();
    for row in store.query(ACCOUNTS, Vec::new()).await? {
        let account = decode_account(row)?;
        accounts.insert(account.id, account);
    }
    for row in store.query(INSTRUMENTS, Vec::new()).await? {
        let (account_id, instrument) = decode_instrument(row)?;
        if let Some(account) = accounts.get_mut(&account_id) {
            account.instruments.insert(instrument.symbol.clone(), instrument);
        }
    }
    Ok(accounts.into_values().collect())
}

/// The account with this identifier, with its instruments.
pub async fn account(store: &Store, id: Id<id::Account>) -> Result<Option<Account>, Error> {
    let row = store.query_one(ACCOUNT, vec![id.into()]).await?;
    let Some(mut account) = row.map(decode_account).transpose()? else { return Ok(None) };
    for row in store.query(INSTRUMENTS_OF, vec![id.into()]).await? {
        let (_, instrument) = decode_instrument(row)?;
        account.instruments.insert(instrument.symbol.clone(), instrument);
    }
    Ok(Some(account))
}

fn decode_account(mut row: Row) -> Result<Account, Error> {
    Ok(Account {
        id: row.id()?,
        org_id: row.id()?,
        name: row.text()?,
        broker: row.text()?,
        broker_account: row.text()?,
        currency: row.text()?,
        state: row.word()?,
        created_at: row.time()?,
        days: decode_days(&mut row)?,
        instruments: BTreeMap::new(),
    })
}

pub(super) fn decode_days(row: &mut Row) -> Result<TradingDays, Error> {
    let days = TradingDays::new(row.word()?, row.word()?);
    let next = (row.word_or_null()?, row.word_or_null()?, row.time_or_null()?, row.time_or_null()?);
    let next = match next {
        (Some(session), Some(loss_reset), Some(running_since), Some(begins_at)) => {
            Some(NextDays { session, loss_reset, running_since, begins_at })
        }
        (None, None, None, None) => None,
        _ => return Err(Error::broken("half of an account's next days")),
    };
    Ok(TradingDays { next, ..days })
}

pub(super) fn days_values(days: &TradingDays) -> [Value; 6] {
    let next = days.next.as_ref();
    let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
    [
        days.session.to_string().into(),
        Value::Word(days.loss_reset.text()),
        or_null(next.map(|next| next.session.to_string().into())),
        or_null(next.map(|next| Value::Word(next.loss_reset.text()))),
        or_null(next.map(|next| next.running_since.into())),
        or_null(next.map(|next| next.begins_at.into())),
    ]
}

/// When an account's days of trading begin, as this transaction sees it.
pub async fn account_days(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
) -> Result<Option<TradingDays>, Error> {
    let row = tx.query(ACCOUNT_DAYS, &[id.into()]).await?.into_iter().next();
    row.map(|mut row| decode_days(&mut row)).transpose()
}

/// Writes when an account's days of trading begin.
pub async fn set_account_days(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
    days: &TradingDays,
) -> Result<(), Error> {
    let mut values = vec![id.into()];
    values.extend(days_values(days));
    tx.execute_one(SET_ACCOUNT_DAYS, &values).await
}

fn decode_instrument(mut row: Row) -> Result<(Id<id::Account>, Instrument), Error> {
    let account_id = row.id()?;
    let instrument = Instrument {
        symbol: row.word()?,
        tick: Price::from_units(row.int()?),
        lot: Quantity::from_units(row.int()?),
        quantity_min: Quantity::from_units(row.int()?),
        point_value: Quantity::from_units(row.int()?),
        currency: row.text()?,
        calendar: row.word_or_null()?,
    };
    Ok((account_id, instrument))
}

/// Makes an account.
pub async fn insert_account(tx: &mut Tx<'_>, account: &Account) -> Result<(), Error> {
    let mut values = vec![
        account.id.into(),
        account.org_id.into(),
        account.name.as_str().into(),
        account.broker.as_str().into(),
        account.broker_account.as_str().into(),
        account.currency.as_str().into(),
        Value::Word(account.state.text()),
        Value::Bytes(Vec::new()),
        account.created_at.into(),
    ];
    values.extend(days_values(&account.days));
    tx.execute_one(INSERT_ACCOUNT, &values).await?;
    let mut values = Vec::new();
    for instrument in account.instruments.values() {
        values.extend([
            account.id.into(),
            instrument.symbol.as_str().into(),
            instrument.tick.units().into(),
            instrument.lot.units().into(),
            instrument.quantity_min.units().into(),
            instrument.point_value.units().into(),
            instrument.currency.as_str().into(),
            instrument.calendar.map_or(Value::Null, |calendar| Value::Word(calendar.text())),
        ]);
    }
    tx.insert(&PUT_INSTRUMENT, &values).await.map(|_| ())
}

/// Locks accounts, which must be sorted, and reads what the journal needs of them.
pub async fn lock_accounts(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Account>],
) -> Result<Vec<LockedAccount>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.lock_each(LOCK_ACCOUNT, &sets, Lock::Update).await?;
    found
        .into_iter()
        .map(|rows| {
            let row = rows.into_iter().next();
            let mut row = row.ok_or_else(|| Error::broken("an account vanished"))?;
            Ok(LockedAccount {
                state: row.word()?,
                orders_minute: row.bytes()?,
                fills_cursor: row.text_or_null()?,
            })
        })
        .collect()
}

/// The orders of the last minute of every account of an organization, as stored. What is told stays
/// true as long as nobody else can let an order in: see [`super::lock_limits`].
pub async fn orders_minute_of(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
) -> Result<Vec<(Id<id::Account>, Vec<u8>)>, Error> {
    let rows = tx.query(ORDERS_MINUTE_OF, &[org.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.bytes()?))).collect()
}

/// Stores accounts' orders of the last minute.
pub async fn set_orders_minute(
    tx: &mut Tx<'_>,
    counters: Vec<(Id<id::Account>, Vec<u8>)>,
) -> Result<(), Error> {
    let sets: Vec<_> =
        counters.into_iter().map(|(id, bytes)| vec![id.into(), bytes.into()]).collect();
    tx.execute_each(SET_ORDERS_MINUTE, &sets).await.map(|_| ())
}

/// Stores up to where an account's fills were read.
pub async fn set_fills_cursor(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
    cursor: &str,
) -> Result<(), Error> {
    tx.execute_one(SET_FILLS_CURSOR, &[id.into(), cursor.into()]).await
}

/// Up to where an account's fills were read.
pub async fn fills_cursor(store: &Store, id: Id<id::Account>) -> Result<Option<String>, Error> {
    let row = store.query_one(FILLS_CURSOR, vec![id.into()]).await?;
    row.ok_or_else(|| Error::broken("an account vanished"))?.text_or_null()
}
