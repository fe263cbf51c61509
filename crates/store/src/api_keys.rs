//! API keys: their settings, what they verify with, and when they were last used.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::directory::PAGE;
use crate::keys;
use crate::value::{Row, Value};
use std::str::FromStr;
use tradewarden_domain::few::Few;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::{ApiKey, KeyAlgorithm, KeyState};
use tradewarden_domain::money::Money;
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "id, org_id, user_id, name, algorithm, material, scopes, accounts, instruments, allow, \
         tier, max_notional, environment, strategy_id, state, rotated_from, expires_at, created_at, \
         last_used_at, last_address"
    };
}

const AFTER: &str = concat!(
    "-- api_keys::after\nSELECT ",
    columns!(),
    " FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2"
);
pub(crate) const OF_ORG: &str = concat!(
    "-- api_keys::of_org\nSELECT ",
    columns!(),
    " FROM api_keys WHERE org_id = $1 ORDER BY id"
);
pub(crate) const FIND: &str =
    concat!("-- api_keys::find\nSELECT ", columns!(), " FROM api_keys WHERE id = $1");
const USABLE: &str = "-- api_keys::usable\n\
    SELECT id, state FROM api_keys WHERE org_id = $1 AND state <> 'revoked' ORDER BY id LIMIT $2";
const INSERT: &str = concat!(
    "-- api_keys::insert\nINSERT INTO api_keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
     NULL, NULL)"
);
pub(crate) const SET_STATE: &str = "-- api_keys::set_state\n\
    UPDATE api_keys SET state = $2 WHERE id = $1 AND state <> 'revoked'";
const END_AT: &str = "-- api_keys::end_at\n\
    UPDATE api_keys SET expires_at = $2 WHERE id = $1 AND state = 'active'";
const SET_LAST_USE: &str = "-- api_keys::set_last_use\n\
    UPDATE api_keys SET last_used_at = $2, last_address = $3 \
    WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

pub(crate) const STATEMENTS: &[&str] =
    &[AFTER, OF_ORG, FIND, USABLE, INSERT, SET_STATE, END_AT, SET_LAST_USE];

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its settings.
    pub key: ApiKey,
    /// What it verifies with: the public key, or the sealed secret.
    pub material: Vec<u8>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// From which address.
    pub last_address: Option<String>,
}

/// When a key was used, and from which address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The key.
    pub key_id: Id<id::Key>,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: String,
}

/// All keys, revoked ones too.
pub async fn all(store: &Store) -> Result<Vec<KeyRow>, Error> {
    let (mut all, mut last) = (Vec::new(), Id::from_bytes([0; 16]));
    loop {
        let page = after(store, last).await?;
        let Some(row) = page.last() else { return Ok(all) };
        last = row.key.id;
        all.extend(page);
    }
}

/// The next keys after this identifier, at most [`PAGE`]; none after the last one.
pub async fn after(store: &Store, id: Id<id::Key>) -> Result<Vec<KeyRow>, Error> {
    let rows = store.query(AFTER, vec![id.into(), PAGE.into()]).await?;
    rows.into_iter().map(decode).collect()
}

/// All keys of an organization.
pub async fn of_org(store: &Store, org: Id<id::Org>) -> Result<Vec<KeyRow>, Error> {
    store.query(OF_ORG, vec![org.into()]).await?.into_iter().map(decode).collect()
}

/// At most `count` keys of an organization that are not revoked, as this transaction sees them.
pub async fn usable(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    count: u32,
) -> Result<Vec<(Id<id::Key>, KeyState)>, Error> {
    let rows = tx.query(USABLE, &[org.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.word()?))).collect()
}

/// The key with this identifier.
pub async fn find(store: &Store, id: Id<id::Key>) -> Result<Option<KeyRow>, Error> {
    store.query_one(FIND, vec![id.into()]).await?.map(decode).transpose()
}

/// Makes a key.
pub async fn insert(tx: &mut Tx<'_>, key: &ApiKey, material: Vec<u8>) -> Result<(), Error> {
    if key.algorithm == KeyAlgorithm::HmacSha256 {
        keys::hold(tx, &material).await?;
    }
    let parameters = [
        key.id.into(),
        key.org_id.into(),
        key.user_id.into(),
        (&*key.name).into(),
        Value::Word(key.algorithm.text()),
        material.into(),
        key.scopes.to_string().into(),
        joined(&key.accounts).into(),
        joined(&key.instruments).into(),
        key.allow.join(",").into(),
        Value::Word(key.tier.text()),
        key.max_notional.map(Money::units).into(),
        key.environment.as_deref().into(),
        key.strategy_id.into(),
        Value::Word(key.state.text()),
        key.rotated_from.into(),
        key.expires_at.into(),
        key.created_at.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Changes whether a key is taken. A revoked key stays revoked: then it is an error.
pub async fn set_state(tx: &mut Tx<'_>, id: Id<id::Key>, state: KeyState) -> Result<(), Error> {
    tx.execute_one(SET_STATE, &[id.into(), Value::Word(state.text())]).await
}

/// Lets an active key end at this instant.
pub async fn end_at(tx: &mut Tx<'_>, id: Id<id::Key>, at: Timestamp) -> Result<(), Error> {
    tx.execute_one(END_AT, &[id.into(), at.into()]).await
}

/// Notes when keys were used; an older use than the one that is noted changes nothing. They must be
/// sorted by key.
pub async fn set_last_use(tx: &mut Tx<'_>, uses: &[LastUse]) -> Result<(), Error> {
    let sets: Vec<_> = uses
        .iter()
        .map(|last| vec![last.key_id.into(), last.at.into(), last.address.as_str().into()])
        .collect();
    tx.execute_each(SET_LAST_USE, &sets).await.map(|_| ())
}

fn joined<T: ToString>(things: &[T]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn split<T: FromStr>(text: &str, what: &str) -> Result<Few<T>, Error> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.parse().map_err(|_| Error::unreadable(format!("a key's {what}: {part:?}")))
        })
        .collect()
}

pub(crate) fn decode(mut row: Row) -> Result<KeyRow, Error> {
    let (id, org_id, user_id) = (row.id()?, row.id()?, row.id_or_null()?);
    let (name, algorithm, material) = (row.text()?, row.word()?, row.bytes()?);
    let scopes = Permissions::from_words(&row.text()?)
        .map_err(|_| Error::unreadable("a key has an unknown scope"))?;
    Ok(KeyRow {
        key: ApiKey {
            id,
            org_id,
            user_id,
            name: name.into(),
            algorithm,
            scopes,
            accounts: split(&row.text()?, "accounts")?,
            instruments: split(&row.text()?, "instruments")?,
            allow: split(&row.text()?, "addresses")?,
            tier: row.word()?,
            max_notional: row.int_or_null()?.map(Money::from_units),
            environment: row.text_or_null()?.map(String::into_boxed_str),
            strategy_id: row.id_or_null()?,
            state: row.word()?,
            rotated_from: row.id_or_null()?,
            expires_at: row.time()?,
            created_at: row.time()?,
        },
        material,
        last_used_at: row.time_or_null()?,
        last_address: row.text_or_null()?,
    })
}
