//! Second factors and recovery codes. What a row's code means, the store does not know.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::FactorKind;
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- factors::insert\n\
    INSERT INTO factors (id, user_id, kind, name, credential_id, material, last_step, \
    confirmed_at, last_used_at, created_at, code) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9, $10)";
const OF_USER: &str = "-- factors::of_user\n\
    SELECT id, user_id, kind, name, credential_id, material, last_step, confirmed_at, \
    last_used_at, created_at, code FROM factors WHERE user_id = $1 ORDER BY id";
const BY_CREDENTIAL: &str = "-- factors::by_credential\n\
    SELECT id, user_id, kind, name, credential_id, material, last_step, confirmed_at, \
    last_used_at, created_at, code FROM factors WHERE credential_id = $1";
const CONFIRMED: &str = "-- factors::confirmed\n\
    SELECT id, user_id, kind, name, credential_id, material, last_step, confirmed_at, \
    last_used_at, created_at, code FROM factors WHERE confirmed_at IS NOT NULL ORDER BY user_id, id";
const CONFIRM: &str = "-- factors::confirm\n\
    UPDATE factors SET confirmed_at = $2, code = $3 WHERE id = $1 AND confirmed_at IS NULL";
const USE_STEP: &str = "-- factors::use_step\n\
    UPDATE factors SET last_step = $2, last_used_at = $3 WHERE id = $1 AND last_step < $2";
const USE_CREDENTIAL: &str = "-- factors::use_credential\n\
    UPDATE factors SET material = $2, last_used_at = $3, code = $4 WHERE id = $1";
const REMOVE: &str = "-- factors::remove\nDELETE FROM factors WHERE id = $1 AND user_id = $2";
const REMOVE_UNCONFIRMED: &str = "-- factors::remove_unconfirmed\n\
    DELETE FROM factors WHERE user_id = $1 AND confirmed_at IS NULL";
const REMOVE_ALL: &str = "-- factors::remove_all\nDELETE FROM factors WHERE user_id = $1";
const INSERT_CODE: &str = "-- factors::insert_codes\n\
    INSERT INTO recovery_codes (user_id, code_hash, created_at, code) VALUES ($1, $2, $3, $4)";
const CODES: &str = "-- factors::codes\n\
    SELECT code_hash, created_at, code FROM recovery_codes WHERE user_id = $1 ORDER BY code_hash";
const CODE: &str = "-- factors::code\n\
    SELECT code_hash, created_at, code FROM recovery_codes WHERE user_id = $1 AND code_hash = $2";
const USE_CODE: &str = "-- factors::use_code\n\
    DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2";
const REMOVE_CODES: &str =
    "-- factors::remove_codes\nDELETE FROM recovery_codes WHERE user_id = $1";

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    OF_USER,
    BY_CREDENTIAL,
    CONFIRMED,
    CONFIRM,
    USE_STEP,
    USE_CREDENTIAL,
    REMOVE,
    REMOVE_UNCONFIRMED,
    REMOVE_ALL,
    INSERT_CODE,
    CODES,
    CODE,
    USE_CODE,
    REMOVE_CODES,
];

/// A second factor.
#[derive(Clone, PartialEq, Eq)]
pub struct FactorRow {
    /// Its identifier.
    pub id: Id<id::Factor>,
    /// Whose it is.
    pub user_id: Id<id::User>,
    /// Of which kind.
    pub kind: FactorKind,
    /// What its owner calls it.
    pub name: String,
    /// How an authenticator names the credential, for passkeys.
    pub credential_id: Option<Vec<u8>>,
    /// The secret, sealed, or the credential record.
    pub material: Vec<u8>,
    /// The last step of time whose code was taken; none before it is taken again.
    pub last_step: i64,
    /// When its owner first proved to have it; until then it opens nothing.
    pub confirmed_at: Option<Timestamp>,
    /// When it was last shown.
    pub last_used_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What only the gateway can make of whose it is and what it is held against.
    pub code: [u8; 32],
}

/// A recovery code that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRow {
    /// Its hash.
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What only the gateway can make of all of it and whose it is.
    pub code: [u8; 32],
}

impl std::fmt::Debug for FactorRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FactorRow").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Adds a factor; [`crate::Kind::Exists`] if the credential is enrolled already, by whomever.
pub async fn insert(tx: &mut Tx<'_>, factor: &FactorRow) -> Result<(), Error> {
    if factor.kind != FactorKind::Webauthn {
        crate::keys::hold(tx, &factor.material).await?;
    }
    let parameters = [
        factor.id.into(),
        factor.user_id.into(),
        Value::Word(factor.kind.text()),
        factor.name.as_str().into(),
        factor.credential_id.clone().into(),
        factor.material.clone().into(),
        factor.last_step.into(),
        factor.confirmed_at.into(),
        factor.created_at.into(),
        factor.code.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// The factors of a person, oldest first.
pub async fn of_user(store: &Store, user: Id<id::User>) -> Result<Vec<FactorRow>, Error> {
    store.query(OF_USER, vec![user.into()]).await?.into_iter().map(factor).collect()
}

/// The same inside a transaction.
pub async fn of_user_in(tx: &mut Tx<'_>, user: Id<id::User>) -> Result<Vec<FactorRow>, Error> {
    tx.query(OF_USER, &[user.into()]).await?.into_iter().map(factor).collect()
}

/// The factor that an authenticator calls so.
pub async fn by_credential(
    store: &Store,
    credential_id: &[u8],
) -> Result<Option<FactorRow>, Error> {
    let parameters = vec![credential_id.to_vec().into()];
    store.query_one(BY_CREDENTIAL, parameters).await?.map(factor).transpose()
}

/// Everybody's confirmed factors.
pub async fn confirmed(store: &Store) -> Result<Vec<FactorRow>, Error> {
    store.query(CONFIRMED, Vec::new()).await?.into_iter().map(factor).collect()
}

/// Writes when a factor was confirmed, and its code; answers whether it was still to be confirmed.
pub async fn confirm(tx: &mut Tx<'_>, factor: &FactorRow) -> Result<bool, Error> {
    let parameters = [factor.id.into(), factor.confirmed_at.into(), factor.code.into()];
    Ok(tx.execute(CONFIRM, &parameters).await? == 1)
}

/// Takes the code of a step, once: answers whether neither it nor a later one was taken before.
pub async fn use_step(
    tx: &mut Tx<'_>,
    id: Id<id::Factor>,
    step: i64,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(USE_STEP, &[id.into(), step.into(), now.into()]).await? == 1)
}

/// Notes that a passkey was shown, with its record and its code as they are now.
pub async fn use_credential(
    tx: &mut Tx<'_>,
    factor: &FactorRow,
    now: Timestamp,
) -> Result<(), Error> {
    let parameters =
        [factor.id.into(), factor.material.clone().into(), now.into(), factor.code.into()];
    tx.execute_one(USE_CREDENTIAL, &parameters).await
}

/// Removes a factor of a person; answers whether it was there.
pub async fn remove(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    id: Id<id::Factor>,
) -> Result<bool, Error> {
    Ok(tx.execute(REMOVE, &[id.into(), user.into()]).await? == 1)
}

/// Removes what a person began to enrol and did not confirm.
pub async fn remove_unconfirmed(tx: &mut Tx<'_>, user: Id<id::User>) -> Result<(), Error> {
    tx.execute(REMOVE_UNCONFIRMED, &[user.into()]).await.map(|_| ())
}

/// Removes every factor and recovery code of a person.
pub async fn remove_all(tx: &mut Tx<'_>, user: Id<id::User>) -> Result<(), Error> {
    tx.execute(REMOVE_ALL, &[user.into()]).await?;
    tx.execute(REMOVE_CODES, &[user.into()]).await.map(|_| ())
}

/// Gives a person new recovery codes; the old ones are void.
pub async fn replace_codes(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    codes: &[RecoveryRow],
) -> Result<(), Error> {
    tx.execute(REMOVE_CODES, &[user.into()]).await?;
    let set = |row: &RecoveryRow| {
        vec![user.into(), row.hash.clone().into(), row.created_at.into(), row.code.into()]
    };
    let sets: Vec<Vec<Value>> = codes.iter().map(set).collect();
    tx.execute_each(INSERT_CODE, &sets).await.map(|_| ())
}

/// The recovery codes that a person has left.
pub async fn codes(store: &Store, user: Id<id::User>) -> Result<Vec<RecoveryRow>, Error> {
    store.query(CODES, vec![user.into()]).await?.into_iter().map(recovery).collect()
}

/// The recovery code of a person with this hash.
pub async fn code(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    hash: &[u8],
) -> Result<Option<RecoveryRow>, Error> {
    let rows = tx.query(CODE, &[user.into(), hash.to_vec().into()]).await?;
    rows.into_iter().next().map(recovery).transpose()
}

/// Uses a recovery code up; answers whether it was there.
pub async fn use_code(tx: &mut Tx<'_>, user: Id<id::User>, hash: &[u8]) -> Result<bool, Error> {
    Ok(tx.execute(USE_CODE, &[user.into(), hash.to_vec().into()]).await? == 1)
}

fn factor(mut row: Row) -> Result<FactorRow, Error> {
    Ok(FactorRow {
        id: row.id()?,
        user_id: row.id()?,
        kind: row.word()?,
        name: row.text()?,
        credential_id: row.bytes_or_null()?,
        material: row.bytes()?,
        last_step: row.int()?,
        confirmed_at: row.time_or_null()?,
        last_used_at: row.time_or_null()?,
        created_at: row.time()?,
        code: row.hash()?,
    })
}

fn recovery(mut row: Row) -> Result<RecoveryRow, Error> {
    Ok(RecoveryRow { hash: row.bytes()?, created_at: row.time()?, code: row.hash()? })
}
