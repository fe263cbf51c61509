//! Challenges: what was begun and waits for its second half. Each is taken once.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::person::ChallengeKind;
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- challenges::insert\n\
    INSERT INTO challenges (token_hash, user_id, kind, content, attempts, expires_at, code) \
    VALUES ($1, $2, $3, $4, 0, $5, $6)";
const SPEND: &str = "-- challenges::spend\n\
    INSERT INTO challenges (token_hash, user_id, kind, content, attempts, expires_at, code) \
    VALUES ($1, NULL, $2, $3, 0, $4, $5) ON CONFLICT (token_hash) DO NOTHING";
const TRY: &str = "-- challenges::attempt\n\
    UPDATE challenges SET attempts = attempts + 1 \
    WHERE token_hash = $1 AND kind = $2 AND attempts < $3 AND expires_at > $4";
const LOOK: &str = "-- challenges::look\n\
    SELECT token_hash, user_id, kind, content, attempts, expires_at, code FROM challenges \
    WHERE token_hash = $1 AND kind = $2 AND expires_at > $3";
const FIND: &str = "-- challenges::find\n\
    SELECT token_hash, user_id, kind, content, attempts, expires_at, code FROM challenges \
    WHERE token_hash = $1";
const EXTEND: &str = "-- challenges::extend\n\
    UPDATE challenges SET expires_at = $2, code = $3 WHERE token_hash = $1 AND expires_at < $2";
const TAKE: &str = "-- challenges::take\nDELETE FROM challenges WHERE token_hash = $1";
const VOID: &str = "-- challenges::void\nDELETE FROM challenges WHERE user_id = $1 AND kind = $2";
const VOID_KIND: &str = "-- challenges::void_kind\nDELETE FROM challenges WHERE kind = $1";
const VOID_OF_ORG: &str = "-- challenges::void_of_organization\n\
    DELETE FROM challenges WHERE kind = $2 AND user_id IN \
    (SELECT user_id FROM memberships WHERE org_id = $1)";
const PURGE: &str = "-- challenges::purge\nDELETE FROM challenges WHERE expires_at < $1";

pub(crate) const STATEMENTS: &[&str] =
    &[INSERT, SPEND, TRY, LOOK, FIND, EXTEND, TAKE, VOID, VOID_KIND, VOID_OF_ORG, PURGE];

/// A challenge that was found alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The hash of its name.
    pub token_hash: [u8; 32],
    /// What it is for.
    pub kind: ChallengeKind,
    /// Whom it is for.
    pub user_id: Option<Id<id::User>>,
    /// What it remembers.
    pub content: Vec<u8>,
    /// How many tries were made, this one included.
    pub attempts: u32,
    /// From when on it is not taken any more.
    pub expires_at: Timestamp,
    /// What only the gateway can make of all of it but the tries.
    pub code: [u8; 32],
}

/// Stores a challenge.
pub async fn insert(tx: &mut Tx<'_>, challenge: &Challenge) -> Result<(), Error> {
    if challenge.kind == ChallengeKind::Sms {
        crate::keys::hold(tx, &challenge.content).await?;
    }
    let parameters = [
        challenge.token_hash.into(),
        challenge.user_id.into(),
        Value::Word(challenge.kind.text()),
        challenge.content.clone().into(),
        challenge.expires_at.into(),
        challenge.code.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Notes that a challenge which is stored nowhere was used, until it has expired; answers whether
/// this was the first time.
pub async fn spend(
    tx: &mut Tx<'_>,
    token_hash: [u8; 32],
    kind: ChallengeKind,
    expires_at: Timestamp,
) -> Result<bool, Error> {
    // It lets nothing be done.
    let code = [0; 32];
    let parameters = [
        token_hash.into(),
        Value::Word(kind.text()),
        Vec::new().into(),
        expires_at.into(),
        code.into(),
    ];
    Ok(tx.execute(SPEND, &parameters).await? == 1)
}

/// Counts a try at a challenge; `None` if there is none, or it has expired, or was tried
/// `attempts_max` times.
pub async fn attempt(
    tx: &mut Tx<'_>,
    token_hash: [u8; 32],
    kind: ChallengeKind,
    attempts_max: u32,
    now: Timestamp,
) -> Result<Option<Challenge>, Error> {
    let counted = [token_hash.into(), Value::Word(kind.text()), attempts_max.into(), now.into()];
    if tx.execute(TRY, &counted).await? == 0 {
        return Ok(None);
    }
    find(tx, token_hash).await
}

/// A challenge that has not expired, without counting a try.
pub async fn look(
    store: &Store,
    token_hash: [u8; 32],
    kind: ChallengeKind,
    now: Timestamp,
) -> Result<Option<Challenge>, Error> {
    let parameters = vec![token_hash.into(), Value::Word(kind.text()), now.into()];
    store.query_one(LOOK, parameters).await?.map(challenge).transpose()
}

fn challenge(mut row: Row) -> Result<Challenge, Error> {
    Ok(Challenge {
        token_hash: row.hash()?,
        user_id: row.id_or_null()?,
        kind: row.word()?,
        content: row.bytes()?,
        attempts: row.small()?,
        expires_at: row.time()?,
        code: row.hash()?,
    })
}

/// A challenge, whatever became of it, inside a transaction.
pub async fn find(tx: &mut Tx<'_>, token_hash: [u8; 32]) -> Result<Option<Challenge>, Error> {
    let rows = tx.query(FIND, &[token_hash.into()]).await?;
    rows.into_iter().next().map(challenge).transpose()
}

/// Writes a later end of a challenge, and its code; one that ends later already is left alone.
pub async fn extend(tx: &mut Tx<'_>, challenge: &Challenge) -> Result<(), Error> {
    let parameters =
        [challenge.token_hash.into(), challenge.expires_at.into(), challenge.code.into()];
    tx.execute(EXTEND, &parameters).await.map(|_| ())
}

/// Uses a challenge up; answers whether it was there.
pub async fn take(tx: &mut Tx<'_>, token_hash: [u8; 32]) -> Result<bool, Error> {
    Ok(tx.execute(TAKE, &[token_hash.into()]).await? == 1)
}

/// Takes back every challenge of a kind that a person has.
pub async fn void(tx: &mut Tx<'_>, user: Id<id::User>, kind: ChallengeKind) -> Result<(), Error> {
    tx.execute(VOID, &[user.into(), Value::Word(kind.text())]).await.map(|_| ())
}

/// Removes the challenges of a kind of everybody in an organization; answers how many there were.
pub async fn void_of_organization(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    kind: ChallengeKind,
) -> Result<u64, Error> {
    tx.execute(VOID_OF_ORG, &[org.into(), Value::Word(kind.text())]).await
}

/// Takes back every challenge of a kind.
pub async fn void_kind(tx: &mut Tx<'_>, kind: ChallengeKind) -> Result<(), Error> {
    tx.execute(VOID_KIND, &[Value::Word(kind.text())]).await.map(|_| ())
}

/// Forgets what expired before `horizon`.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<(), Error> {
    tx.execute(PURGE, &[horizon.into()]).await.map(|_| ())
}
