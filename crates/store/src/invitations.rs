//! Invitations: who was asked into an organization and has not answered yet.

use crate::Error;
use crate::dialect::{Lock, Store, Tx};
use crate::value::Row;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- invitations::insert\n\
    INSERT INTO invitations (id, org_id, email, email_key, role, token_hash, created_at, \
    expires_at, code) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const ALL: &str = "-- invitations::all\n\
    SELECT id, org_id, email, email_key, role, token_hash, created_at, expires_at, \
    code FROM invitations ORDER BY id";
const BY_TOKEN: &str = "-- invitations::by_token\n\
    SELECT id, org_id, email, email_key, role, token_hash, created_at, expires_at, \
    code FROM invitations WHERE token_hash = $1 AND expires_at > $2";
const FIND: &str = "-- invitations::lock\n\
    SELECT id, org_id, email, email_key, role, token_hash, created_at, expires_at, \
    code FROM invitations WHERE id = $1";
const OF_EMAIL: &str = "-- invitations::of_email\n\
    SELECT id FROM invitations WHERE org_id = $1 AND email_key = $2 AND expires_at > $3";
const CHANGE: &str = "-- invitations::change\n\
    UPDATE invitations SET token_hash = $2, expires_at = $3, role = $4, code = $5 WHERE id = $1";
const TAKE: &str = "-- invitations::take\nDELETE FROM invitations WHERE id = $1";
const TAKE_OF: &str = "-- invitations::take_of\n\
    DELETE FROM invitations WHERE org_id = $1 AND email_key = $2";
const VOID_OF_ORG: &str = "-- invitations::void_of_organization\n\
    DELETE FROM invitations WHERE org_id = $1";
const END_ALL: &str = "-- invitations::end_all\nDELETE FROM invitations RETURNING org_id, id";
const PURGE: &str = "-- invitations::purge\nDELETE FROM invitations WHERE expires_at < $1";

pub(crate) const STATEMENTS: &[&str] =
    &[INSERT, ALL, BY_TOKEN, FIND, OF_EMAIL, CHANGE, TAKE, TAKE_OF, VOID_OF_ORG, END_ALL, PURGE];

/// That somebody was asked into an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its identifier; a person who is new gets it as theirs.
    pub id: Id<id::User>,
    /// Into which organization.
    pub org_id: Id<id::Org>,
    /// The e-mail, as it was given.
    pub email: String,
    /// The e-mail in its normal form.
    pub email_key: String,
    /// With which role.
    pub role: String,
    /// The hash of the token with which somebody new sets a password.
    pub token_hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not taken any more.
    pub expires_at: Timestamp,
    /// What only the gateway can make of all of it.
    pub code: [u8; 32],
}

/// Adds an invitation; [`crate::Kind::Exists`] if the e-mail is invited to the organization already.
pub async fn insert(tx: &mut Tx<'_>, invitation: &Invitation) -> Result<(), Error> {
    let parameters = [
        invitation.id.into(),
        invitation.org_id.into(),
        invitation.email.as_str().into(),
        invitation.email_key.as_str().into(),
        invitation.role.as_str().into(),
        invitation.token_hash.into(),
        invitation.created_at.into(),
        invitation.expires_at.into(),
        invitation.code.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Every invitation, oldest first, those that have ended included.
pub async fn all(store: &Store) -> Result<Vec<Invitation>, Error> {
    store.query(ALL, Vec::new()).await?.into_iter().map(invitation).collect()
}

/// The invitation with this token, inside a transaction, unless it has ended.
pub async fn by_token(
    tx: &mut Tx<'_>,
    token_hash: [u8; 32],
    now: Timestamp,
) -> Result<Option<Invitation>, Error> {
    let rows = tx.query(BY_TOKEN, &[token_hash.into(), now.into()]).await?;
    rows.into_iter().next().map(invitation).transpose()
}

/// Whether this e-mail is invited to the organization, inside a transaction.
pub async fn of_email(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    email_key: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let rows = tx.query(OF_EMAIL, &[org.into(), email_key.into(), now.into()]).await?;
    Ok(!rows.is_empty())
}

/// An invitation, locked.
pub async fn lock(tx: &mut Tx<'_>, id: Id<id::User>) -> Result<Option<Invitation>, Error> {
    let found = tx.lock_each(FIND, &[vec![id.into()]], Lock::Update).await?;
    found.into_iter().flatten().next().map(invitation).transpose()
}

/// Writes the token, the end, the role and the code of an invitation; answers whether it is still there.
pub async fn change(tx: &mut Tx<'_>, invitation: &Invitation) -> Result<bool, Error> {
    let parameters = [
        invitation.id.into(),
        invitation.token_hash.into(),
        invitation.expires_at.into(),
        invitation.role.as_str().into(),
        invitation.code.into(),
    ];
    Ok(tx.execute(CHANGE, &parameters).await? == 1)
}

/// Uses an invitation up; answers whether it was there.
pub async fn take(tx: &mut Tx<'_>, id: Id<id::User>) -> Result<bool, Error> {
    Ok(tx.execute(TAKE, &[id.into()]).await? == 1)
}

/// Removes the invitation of this e-mail to the organization, if there is one.
pub async fn take_of(tx: &mut Tx<'_>, org: Id<id::Org>, email_key: &str) -> Result<(), Error> {
    tx.execute(TAKE_OF, &[org.into(), email_key.into()]).await.map(|_| ())
}

/// Removes every invitation to an organization; answers how many there were.
pub async fn void_of_organization(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<u64, Error> {
    tx.execute(VOID_OF_ORG, &[org.into()]).await
}

/// Removes every invitation, and answers which there were, with their organizations.
pub async fn end_all(tx: &mut Tx<'_>) -> Result<Vec<(Id<id::Org>, Id<id::User>)>, Error> {
    let rows = tx.query(END_ALL, &[]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.id()?))).collect()
}

/// Forgets what expired before `horizon`.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<(), Error> {
    tx.execute(PURGE, &[horizon.into()]).await.map(|_| ())
}

fn invitation(mut row: Row) -> Result<Invitation, Error> {
    Ok(Invitation {
        id: row.id()?,
        org_id: row.id()?,
        email: row.text()?,
        email_key: row.text()?,
        role: row.text()?,
        token_hash: row.hash()?,
        created_at: row.time()?,
        expires_at: row.time()?,
        code: row.hash()?,
    })
}
