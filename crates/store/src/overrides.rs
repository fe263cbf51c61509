//! Overrides: orders that may pass one limit, once. What was asked, said and used stays.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::overrides::Override;
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- overrides::insert\n\
    INSERT INTO limit_overrides (id, org_id, account_id, symbol, side, quantity, name, reason, \
    valid_s, requested_by, requested_at, expires_at, code) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const FIND: &str = "-- overrides::find\n\
    SELECT id, org_id, account_id, symbol, side, quantity, name, expires_at, code, reason, valid_s, \
    requested_by, requested_at, confirmed_by, confirmed_at, withdrawn_by, order_id, used_at \
    FROM limit_overrides WHERE org_id = $1 AND id = $2";
const PAGE: &str = "-- overrides::page\n\
    SELECT id, org_id, account_id, symbol, side, quantity, name, expires_at, code, reason, valid_s, \
    requested_by, requested_at, confirmed_by, confirmed_at, withdrawn_by, order_id, used_at \
    FROM limit_overrides WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
const CONFIRM: &str = "-- overrides::confirm\n\
    UPDATE limit_overrides SET confirmed_by = $2, confirmed_at = $3, expires_at = $4, code = $5 \
    WHERE id = $1 AND confirmed_at IS NULL AND withdrawn_by IS NULL AND expires_at > $3";
const WITHDRAW: &str = "-- overrides::withdraw\n\
    UPDATE limit_overrides SET withdrawn_by = $2, expires_at = $3 \
    WHERE id = $1 AND order_id IS NULL AND withdrawn_by IS NULL AND expires_at > $3";
const USE: &str = "-- overrides::used\n\
    UPDATE limit_overrides SET order_id = $2, used_at = $3 WHERE id = $1 AND order_id IS NULL \
    AND confirmed_at IS NOT NULL AND withdrawn_by IS NULL AND expires_at > $3";
const USABLE: &str = "-- overrides::usable\n\
    SELECT id, org_id, account_id, symbol, side, quantity, name, expires_at, code \
    FROM limit_overrides \
    WHERE account_id = $1 AND expires_at > $2 AND confirmed_at IS NOT NULL AND order_id IS NULL \
    AND withdrawn_by IS NULL ORDER BY id";
const OPEN_COUNT: &str = "-- overrides::open_count\n\
    SELECT COUNT(*) FROM limit_overrides WHERE org_id = $1 AND expires_at > $2 \
    AND order_id IS NULL AND withdrawn_by IS NULL";
const OPEN: &str = "-- overrides::open\n\
    SELECT org_id, id FROM limit_overrides WHERE expires_at > $1 AND order_id IS NULL \
    AND withdrawn_by IS NULL ORDER BY id";
const SET_UNTIL: &str = "-- overrides::set_until\n\
    UPDATE organizations SET overrides_until = $2 WHERE id = $1 AND overrides_until < $2";

pub(crate) const STATEMENTS: &[&str] =
    &[INSERT, FIND, PAGE, CONFIRM, WITHDRAW, USE, USABLE, OPEN_COUNT, OPEN, SET_UNTIL];

/// An override, from the request on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideRow {
    /// What one order may pass, and until when; before it is confirmed, until when it waits.
    pub terms: Override,
    /// What only the gateway can make of it: who changes the row does not change this.
    pub code: [u8; 32],
    /// Why.
    pub reason: String,
    /// Seconds for which it is valid once it is confirmed.
    pub valid_s: u32,
    /// Who asked, as in the audit log.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Who said yes.
    pub confirmed_by: Option<String>,
    /// When.
    pub confirmed_at: Option<Timestamp>,
    /// Who took it back, if somebody did.
    pub withdrawn_by: Option<String>,
    /// The order that used it.
    pub order_id: Option<Id<id::Order>>,
    /// When.
    pub used_at: Option<Timestamp>,
}

/// Asks for one.
pub async fn insert(tx: &mut Tx<'_>, row: &OverrideRow) -> Result<(), Error> {
    let terms = &row.terms;
    let parameters = [
        terms.id.into(),
        terms.org_id.into(),
        terms.account_id.into(),
        terms.symbol.as_str().into(),
        Value::Word(terms.side.text()),
        terms.quantity.units().into(),
        Value::Word(terms.limit.text()),
        row.reason.as_str().into(),
        row.valid_s.into(),
        row.requested_by.as_str().into(),
        row.requested_at.into(),
        terms.expires_at.into(),
        row.code.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// How many of an organization wait or can be used.
pub async fn open_count(tx: &mut Tx<'_>, org: Id<id::Org>, now: Timestamp) -> Result<i64, Error> {
    let rows = tx.query(OPEN_COUNT, &[org.into(), now.into()]).await?;
    let row = rows.into_iter().next();
    row.ok_or_else(|| Error::broken("a count is missing"))?.int()
}

/// Those of everybody that wait or can be used, with their organizations, as the transaction sees them,
/// oldest first. Each lasts for minutes, so there are few.
pub async fn open(
    tx: &mut Tx<'_>,
    now: Timestamp,
) -> Result<Vec<(Id<id::Org>, Id<id::Override>)>, Error> {
    let rows = tx.query(OPEN, &[now.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.id()?))).collect()
}

/// One of an organization, as the transaction sees it.
pub async fn find(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    id: Id<id::Override>,
) -> Result<Option<OverrideRow>, Error> {
    let rows = tx.query(FIND, &[org.into(), id.into()]).await?;
    rows.into_iter().next().map(decode).transpose()
}

/// An organization's, before this identifier, newest first.
pub async fn page(
    store: &Store,
    org: Id<id::Org>,
    before: Id<id::Override>,
    count: u32,
) -> Result<Vec<OverrideRow>, Error> {
    let rows = store.query(PAGE, vec![org.into(), before.into(), count.into()]).await?;
    rows.into_iter().map(decode).collect()
}

/// Confirms one that waits, whose organization must be locked for update; answers whether it did.
pub async fn confirm(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    id: Id<id::Override>,
    by: &str,
    now: Timestamp,
    (expires_at, code): (Timestamp, [u8; 32]),
) -> Result<bool, Error> {
    let parameters = [id.into(), by.into(), now.into(), expires_at.into(), code.into()];
    if tx.execute(CONFIRM, &parameters).await? == 0 {
        return Ok(false);
    }
    tx.execute(SET_UNTIL, &[org.into(), expires_at.into()]).await?;
    Ok(true)
}

/// Takes one back that no order has used; answers whether it did.
pub async fn withdraw(
    tx: &mut Tx<'_>,
    id: Id<id::Override>,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(WITHDRAW, &[id.into(), by.into(), now.into()]).await? == 1)
}

/// Uses one up for an order. It must be usable now, or nothing of the transaction may stay.
pub async fn used(
    tx: &mut Tx<'_>,
    id: Id<id::Override>,
    order: Id<id::Order>,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute_one(USE, &[id.into(), order.into(), now.into()]).await
}

/// Those that an order on one of these accounts, which must be locked, can use now, oldest first, each
/// with its code.
pub async fn usable(
    tx: &mut Tx<'_>,
    accounts: &[Id<id::Account>],
    now: Timestamp,
) -> Result<Vec<(Override, [u8; 32])>, Error> {
    let sets: Vec<_> = accounts.iter().map(|id| vec![Value::from(*id), now.into()]).collect();
    let found = tx.query_each(USABLE, &sets).await?;
    let usable = |mut row: Row| Ok((terms(&mut row)?, row.hash()?));
    found.into_iter().flatten().map(usable).collect()
}

fn terms(row: &mut Row) -> Result<Override, Error> {
    Ok(Override {
        id: row.id()?,
        org_id: row.id()?,
        account_id: row.id()?,
        symbol: row.word()?,
        side: row.word()?,
        quantity: tradewarden_domain::money::Quantity::from_units(row.int()?),
        limit: row.word()?,
        expires_at: row.time()?,
    })
}

fn decode(mut row: Row) -> Result<OverrideRow, Error> {
    Ok(OverrideRow {
        terms: terms(&mut row)?,
        code: row.hash()?,
        reason: row.text()?,
        valid_s: row.small()?,
        requested_by: row.text()?,
        requested_at: row.time()?,
        confirmed_by: row.text_or_null()?,
        confirmed_at: row.time_or_null()?,
        withdrawn_by: row.text_or_null()?,
        order_id: row.id_or_null()?,
        used_at: row.time_or_null()?,
    })
}
