//! Sessions and their refresh tokens. Tokens are stored as SHA-256 only. What a code means, the store does
//! not know.

use crate::Error;
use crate::dialect::{Lock, Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::SessionKind;
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- sessions::insert\n\
    INSERT INTO sessions (id, user_id, org_id, kind, token_hash, methods, address, user_agent, \
    authenticated_at, factor_at, last_seen_at, expires_at, code, ended_at, ended_by) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, NULL)";
const ALIVE: &str = "-- sessions::alive\n\
    SELECT id, user_id, org_id, kind, token_hash, methods, address, user_agent, \
    authenticated_at, factor_at, last_seen_at, expires_at, code FROM sessions \
    WHERE ended_at IS NULL AND expires_at > $1 ORDER BY id";
const LOCK: &str = "-- sessions::lock\n\
    SELECT id, user_id, org_id, kind, token_hash, methods, address, user_agent, \
    authenticated_at, factor_at, last_seen_at, expires_at, code FROM sessions \
    WHERE id = $1 AND ended_at IS NULL";
const END: &str = "-- sessions::end\n\
    UPDATE sessions SET ended_at = $2, ended_by = $3, code = $4 \
    WHERE id = $1 AND ended_at IS NULL";
const END_ALL: &str = "-- sessions::end_all\n\
    UPDATE sessions SET ended_at = $1, ended_by = $2, code = $3 WHERE ended_at IS NULL";
const ALIVE_OF: &str = "-- sessions::alive_of\n\
    SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 \
    ORDER BY id";
const ALIVE_IN: &str = "-- sessions::alive_in\n\
    SELECT id FROM sessions WHERE user_id = $1 AND org_id = $2 AND ended_at IS NULL \
    AND expires_at > $3 ORDER BY id";
const ALIVE_IN_ORG: &str = "-- sessions::alive_in_organization\n\
    SELECT id, user_id FROM sessions WHERE org_id = $1 AND ended_at IS NULL AND expires_at > $2 \
    ORDER BY id LIMIT $3";
const ENDED_BY: &str = "-- sessions::ended_by\n\
    SELECT id, user_id, org_id, kind, token_hash, methods, address, user_agent, \
    authenticated_at, factor_at, last_seen_at, expires_at, code, ended_at FROM sessions \
    WHERE org_id = $1 AND ended_by = $2 AND ended_at IS NOT NULL ORDER BY id LIMIT $3";
const LAST_ORG: &str = "-- sessions::last_organization\n\
    SELECT org_id FROM sessions WHERE user_id = $1 ORDER BY id DESC LIMIT 1";
const SET_FACTOR: &str = "-- sessions::set_factor\n\
    UPDATE sessions SET factor_at = $2, methods = $3, token_hash = $4, code = $5 \
    WHERE id = $1 AND ended_at IS NULL";
const SET_SEEN: &str = "-- sessions::set_seen\n\
    UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2";
const KNOWN_DEVICE: &str = "-- sessions::known_device\n\
    SELECT id FROM sessions WHERE user_id = $1 AND user_agent = $2 AND address = $3 LIMIT 1";
const INSERT_REFRESH: &str = "-- sessions::insert_refresh\n\
    INSERT INTO refresh_tokens (token_hash, session_id, issued_at, used_at, code) \
    VALUES ($1, $2, $3, $4, $5)";
const REFRESH: &str = "-- sessions::lock_refresh\n\
    SELECT token_hash, session_id, issued_at, used_at, code FROM refresh_tokens \
    WHERE token_hash = $1";
const USE_REFRESH: &str = "-- sessions::use_refresh\n\
    UPDATE refresh_tokens SET used_at = $2, code = $3 WHERE token_hash = $1";
const PURGE_REFRESH: &str = "-- sessions::purge_refresh\n\
    DELETE FROM refresh_tokens WHERE session_id IN \
    (SELECT id FROM sessions WHERE expires_at < $1)";
const PURGE: &str = "-- sessions::purge\nDELETE FROM sessions WHERE expires_at < $1";

/// The code of a session that has ended: no row has it by its content, so that who takes the end away has
/// made nothing that opens.
const ENDED: [u8; 32] = [0; 32];

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    ALIVE,
    LOCK,
    END,
    END_ALL,
    ALIVE_OF,
    ALIVE_IN,
    ALIVE_IN_ORG,
    ENDED_BY,
    LAST_ORG,
    SET_FACTOR,
    SET_SEEN,
    KNOWN_DEVICE,
    INSERT_REFRESH,
    REFRESH,
    USE_REFRESH,
    PURGE_REFRESH,
    PURGE,
];

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its identifier.
    pub id: Id<id::Session>,
    /// Whose it is.
    pub user_id: Id<id::User>,
    /// In which organization.
    pub org_id: Id<id::Org>,
    /// How it is shown.
    pub kind: SessionKind,
    /// The hash of its cookie.
    pub token_hash: Option<[u8; 32]>,
    /// What was shown for it, as words separated by spaces (RFC 8176).
    pub methods: String,
    /// From where.
    pub address: String,
    /// By which program, as it calls itself; bounded by the caller.
    pub user_agent: String,
    /// When the person logged in.
    pub authenticated_at: Timestamp,
    /// When a second factor was last shown.
    pub factor_at: Option<Timestamp>,
    /// When it was last seen, within a minute.
    pub last_seen_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// What only the gateway can make of all that it lets somebody do.
    pub code: [u8; 32],
}

/// A refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRow {
    /// Its hash.
    pub token_hash: [u8; 32],
    /// Its family.
    pub session_id: Id<id::Session>,
    /// When it was given out.
    pub issued_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// What only the gateway can make of all of it.
    pub code: [u8; 32],
}

/// Begins a session.
pub async fn insert(tx: &mut Tx<'_>, session: &SessionRow) -> Result<(), Error> {
    let parameters = [
        session.id.into(),
        session.user_id.into(),
        session.org_id.into(),
        Value::Word(session.kind.text()),
        session.token_hash.into(),
        session.methods.as_str().into(),
        session.address.as_str().into(),
        session.user_agent.as_str().into(),
        session.authenticated_at.into(),
        session.factor_at.into(),
        session.last_seen_at.into(),
        session.expires_at.into(),
        session.code.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// The sessions that are alive, oldest first.
pub async fn alive(store: &Store, now: Timestamp) -> Result<Vec<SessionRow>, Error> {
    store.query(ALIVE, vec![now.into()]).await?.into_iter().map(session).collect()
}

/// A session that has not ended, locked.
pub async fn lock(tx: &mut Tx<'_>, id: Id<id::Session>) -> Result<Option<SessionRow>, Error> {
    let found = tx.lock_each(LOCK, &[vec![id.into()]], Lock::Update).await?;
    found.into_iter().flatten().next().map(session).transpose()
}

/// The sessions of a person that are alive, oldest first.
pub async fn alive_of(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    now: Timestamp,
) -> Result<Vec<Id<id::Session>>, Error> {
    let rows = tx.query(ALIVE_OF, &[user.into(), now.into()]).await?;
    rows.into_iter().map(|mut row| row.id()).collect()
}

/// The sessions of a person in an organization that are alive, oldest first.
pub async fn alive_in(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    org: Id<id::Org>,
    now: Timestamp,
) -> Result<Vec<Id<id::Session>>, Error> {
    let rows = tx.query(ALIVE_IN, &[user.into(), org.into(), now.into()]).await?;
    rows.into_iter().map(|mut row| row.id()).collect()
}

/// At most `count` sessions in an organization that are alive, with whose they are, oldest first.
pub async fn alive_in_organization(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    now: Timestamp,
    count: u32,
) -> Result<Vec<(Id<id::Session>, Id<id::User>)>, Error> {
    let rows = tx.query(ALIVE_IN_ORG, &[org.into(), now.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.id()?))).collect()
}

/// At most `count` sessions of an organization that ended by this name, oldest first, each with when.
pub async fn ended_by(
    store: &Store,
    org: Id<id::Org>,
    by: &str,
    count: u32,
) -> Result<Vec<(SessionRow, Timestamp)>, Error> {
    let rows = store.query(ENDED_BY, vec![org.into(), by.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((session_of(&mut row)?, row.time()?))).collect()
}

/// The organization of a person's newest session, alive or not; `None` before the first.
pub async fn last_organization(
    store: &Store,
    user: Id<id::User>,
) -> Result<Option<Id<id::Org>>, Error> {
    store.query_one(LAST_ORG, vec![user.into()]).await?.map(|mut row| row.id()).transpose()
}

/// Ends a session; answers whether it was alive.
pub async fn end(
    tx: &mut Tx<'_>,
    id: Id<id::Session>,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(END, &[id.into(), now.into(), by.into(), ENDED.into()]).await? == 1)
}

/// Ends all sessions of everybody; answers how many were not ended.
pub async fn end_all(tx: &mut Tx<'_>, by: &str, now: Timestamp) -> Result<u64, Error> {
    tx.execute(END_ALL, &[now.into(), by.into(), ENDED.into()]).await
}

/// Writes when a second factor was shown, what was shown, the token and the code of a session; answers
/// whether it is alive.
pub async fn set_factor(tx: &mut Tx<'_>, session: &SessionRow) -> Result<bool, Error> {
    let parameters = [
        session.id.into(),
        session.factor_at.into(),
        session.methods.as_str().into(),
        session.token_hash.into(),
        session.code.into(),
    ];
    Ok(tx.execute(SET_FACTOR, &parameters).await? == 1)
}

/// Notes when sessions were last seen.
pub async fn set_seen(tx: &mut Tx<'_>, seen: &[(Id<id::Session>, Timestamp)]) -> Result<(), Error> {
    let sets: Vec<Vec<Value>> =
        seen.iter().map(|(id, at)| vec![(*id).into(), (*at).into()]).collect();
    tx.execute_each(SET_SEEN, &sets).await.map(|_| ())
}

/// Whether the person has logged in from there with such a program before.
pub async fn is_known_device(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    user_agent: &str,
    address: &str,
) -> Result<bool, Error> {
    let parameters = [user.into(), user_agent.into(), address.into()];
    Ok(!tx.query(KNOWN_DEVICE, &parameters).await?.is_empty())
}

/// Stores a refresh token.
pub async fn insert_refresh(tx: &mut Tx<'_>, token: &RefreshRow) -> Result<(), Error> {
    let parameters = [
        token.token_hash.into(),
        token.session_id.into(),
        token.issued_at.into(),
        token.used_at.into(),
        token.code.into(),
    ];
    tx.execute_one(INSERT_REFRESH, &parameters).await
}

/// The refresh token with this hash, locked.
pub async fn lock_refresh(
    tx: &mut Tx<'_>,
    token_hash: [u8; 32],
) -> Result<Option<RefreshRow>, Error> {
    let found = tx.lock_each(REFRESH, &[vec![token_hash.into()]], Lock::Update).await?;
    found.into_iter().flatten().next().map(refresh).transpose()
}

/// Writes when a refresh token was used, and its code.
pub async fn use_refresh(tx: &mut Tx<'_>, token: &RefreshRow) -> Result<(), Error> {
    let parameters = [token.token_hash.into(), token.used_at.into(), token.code.into()];
    tx.execute_one(USE_REFRESH, &parameters).await
}

/// Forgets sessions that expired before `horizon`, with their tokens.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<(), Error> {
    tx.execute(PURGE_REFRESH, &[horizon.into()]).await?;
    tx.execute(PURGE, &[horizon.into()]).await.map(|_| ())
}

fn session(mut row: Row) -> Result<SessionRow, Error> {
    session_of(&mut row)
}

fn session_of(row: &mut Row) -> Result<SessionRow, Error> {
    Ok(SessionRow {
        id: row.id()?,
        user_id: row.id()?,
        org_id: row.id()?,
        kind: row.word()?,
        token_hash: hash_or_null(row)?,
        methods: row.text()?,
        address: row.text()?,
        user_agent: row.text()?,
        authenticated_at: row.time()?,
        factor_at: row.time_or_null()?,
        last_seen_at: row.time()?,
        expires_at: row.time()?,
        code: row.hash()?,
    })
}

fn refresh(mut row: Row) -> Result<RefreshRow, Error> {
    Ok(RefreshRow {
        token_hash: row.hash()?,
        session_id: row.id()?,
        issued_at: row.time()?,
        used_at: row.time_or_null()?,
        code: row.hash()?,
    })
}

fn hash_or_null(row: &mut Row) -> Result<Option<[u8; 32]>, Error> {
    let bytes = row.bytes_or_null()?;
    bytes
        .map(|bytes| bytes.try_into().map_err(|_| Error::broken("a hash has not 32 bytes")))
        .transpose()
}
