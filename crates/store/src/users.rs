//! People: who there is, what opens for them, and which roles they have.

use crate::Error;
use crate::dialect::{Lock, Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::person::User;
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- users::insert\n\
    INSERT INTO users (id, email, email_key, password_hash, password_changed_at, \
    password_failures, password_locked_until, factor_failures, factor_locked_until, \
    recovery_set, created_at, code, password_code) \
    VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, NULL, $6, $7, $8)";
const ALL: &str = "-- users::all\n\
    SELECT id, email, created_at, code FROM users ORDER BY id";
const FIND: &str = "-- users::find\n\
    SELECT id, email, created_at, password_hash, password_failures, \
    password_locked_until, factor_failures, factor_locked_until, recovery_set, code, \
    password_code FROM users WHERE id = $1";
const BY_EMAIL: &str = "-- users::by_email\n\
    SELECT id, email, created_at, password_hash, password_failures, \
    password_locked_until, factor_failures, factor_locked_until, recovery_set, code, \
    password_code FROM users WHERE email_key = $1";
const SET_PASSWORD: &str = "-- users::set_password\n\
    UPDATE users SET password_hash = $2, password_changed_at = $3, password_failures = 0, \
    password_locked_until = 0, password_code = $4 WHERE id = $1";
const SET_PASSWORD_FAILURES: &str = "-- users::set_password_failures\n\
    UPDATE users SET password_failures = $2, password_locked_until = $3 WHERE id = $1";
const SET_FACTOR_FAILURES: &str = "-- users::set_factor_failures\n\
    UPDATE users SET factor_failures = $2, factor_locked_until = $3 WHERE id = $1";
const SET_RECOVERY_SET: &str =
    "-- users::set_recovery_set\nUPDATE users SET recovery_set = $2 WHERE id = $1";
const SET_STATE: &str = "-- users::set_state\n\
    UPDATE memberships SET state = $3, epoch = epoch + 1 WHERE org_id = $1 AND user_id = $2";
pub(crate) const MEMBERS: &str = "-- users::members\n\
    SELECT org_id, user_id, role, state, epoch FROM memberships ORDER BY org_id, user_id";
const INSERT_MEMBER: &str = "-- users::insert_member\n\
    INSERT INTO memberships (org_id, user_id, role, state, epoch, created_at) \
    VALUES ($1, $2, $3, 'active', 0, $4)";
const SET_ROLE: &str = "-- users::set_role\n\
    UPDATE memberships SET role = $3 WHERE org_id = $1 AND user_id = $2";
const REMOVE_MEMBER: &str = "-- users::remove_member\n\
    DELETE FROM memberships WHERE org_id = $1 AND user_id = $2";
const ROLE_OF: &str = "-- users::role_of\n\
    SELECT role FROM memberships WHERE org_id = $1 AND user_id = $2";
const HOLDERS: &str = "-- users::holders\n\
    SELECT user_id FROM memberships WHERE org_id = $1 AND role = $2 AND state = 'active' \
    ORDER BY user_id";
const ORGS_OF: &str = "-- users::organizations_of\n\
    SELECT org_id FROM memberships WHERE user_id = $1 ORDER BY org_id";
const HAS_ROLE: &str = "-- users::has_role\n\
    SELECT user_id FROM memberships WHERE org_id = $1 AND role = $2 \
    UNION ALL SELECT id FROM invitations WHERE org_id = $1 AND role = $2 LIMIT 1";
pub(crate) const MEMBER: &str = "-- users::member\n\
    SELECT org_id, user_id, role, state, epoch FROM memberships \
    WHERE org_id = $1 AND user_id = $2";
pub(crate) const ROLE: &str = "-- users::role\n\
    SELECT id, org_id, name, permissions, created_at FROM roles WHERE id = $1";
pub(crate) const ROLES: &str = "-- users::roles\n\
    SELECT id, org_id, name, permissions, created_at FROM roles ORDER BY org_id, name";
const INSERT_ROLE: &str = "-- users::insert_role\n\
    INSERT INTO roles (id, org_id, name, permissions, created_at) VALUES ($1, $2, $3, $4, $5)";
const REMOVE_ROLE: &str = "-- users::remove_role\nDELETE FROM roles WHERE id = $1";
const POLICIES: &str = "-- users::policies\n\
    SELECT org_id, name, value FROM policies ORDER BY org_id, name";
const PUT_POLICY: &str = "-- users::put_policy\n\
    INSERT INTO policies (org_id, name, value, updated_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (org_id, name) DO UPDATE SET value = excluded.value, \
    updated_at = excluded.updated_at";

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    ALL,
    FIND,
    BY_EMAIL,
    SET_PASSWORD,
    SET_PASSWORD_FAILURES,
    SET_FACTOR_FAILURES,
    SET_RECOVERY_SET,
    SET_STATE,
    MEMBERS,
    MEMBER,
    INSERT_MEMBER,
    SET_ROLE,
    REMOVE_MEMBER,
    ROLE_OF,
    HOLDERS,
    ORGS_OF,
    HAS_ROLE,
    ROLES,
    ROLE,
    INSERT_ROLE,
    REMOVE_ROLE,
    POLICIES,
    PUT_POLICY,
];

/// A count of failures in a row, and until when another try is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// Failures since the last success.
    pub count: u32,
    /// No try before this; the beginning of time if none is refused.
    pub locked_until: Timestamp,
}

/// A person with what a login is judged by.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The person.
    pub user: User,
    /// The password's hash as a PHC string; absent until one is chosen.
    pub password_hash: Option<String>,
    /// Wrong passwords.
    pub password: Failures,
    /// Wrong codes.
    pub factor: Failures,
    /// What the hashes of the recovery codes have in common; absent without codes.
    pub recovery_set: Option<String>,
    /// What only the gateway can make of who the person is.
    pub code: [u8; 32],
    /// What only the gateway can make of the password's hash and whose it is.
    pub password_code: Option<[u8; 32]>,
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRow").field("id", &self.user.id).finish_non_exhaustive()
    }
}

/// That a person belongs to an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The organization.
    pub org_id: Id<id::Org>,
    /// The person.
    pub user_id: Id<id::User>,
    /// A built-in role, or the name of one of the organization's own.
    pub role: String,
    /// Whether the person may log in to it.
    pub state: Activity,
    /// Tokens and sessions from before this count are void.
    pub epoch: i64,
}

/// A role that an organization made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Its identifier.
    pub id: Id<id::Role>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A setting of an organization that is about people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// The owner.
    pub org_id: Id<id::Org>,
    /// Which.
    pub name: String,
    /// What it is.
    pub value: String,
}

/// Adds a person with their code, and a password's hash with its code; [`crate::Kind::Exists`] if the e-mail
/// is taken.
pub async fn insert(
    tx: &mut Tx<'_>,
    user: &User,
    email_key: &str,
    code: [u8; 32],
    password: Option<(&str, [u8; 32])>,
) -> Result<(), Error> {
    let changed_at = password.map(|_| user.created_at);
    let parameters = [
        user.id.into(),
        user.email.as_str().into(),
        email_key.into(),
        password.map(|(hash, _)| hash).into(),
        changed_at.into(),
        user.created_at.into(),
        code.into(),
        password.map(|(_, code)| code).into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Everybody, each with the code of who that is.
pub async fn all(store: &Store) -> Result<Vec<(User, [u8; 32])>, Error> {
    let rows = store.query(ALL, Vec::new()).await?;
    rows.into_iter().map(|mut row| Ok((user(&mut row)?, row.hash()?))).collect()
}

/// The person with this identifier.
pub async fn find(store: &Store, id: Id<id::User>) -> Result<Option<UserRow>, Error> {
    store.query_one(FIND, vec![id.into()]).await?.map(user_row).transpose()
}

/// The person with this e-mail in its normal form.
pub async fn by_email(store: &Store, email_key: &str) -> Result<Option<UserRow>, Error> {
    store.query_one(BY_EMAIL, vec![email_key.into()]).await?.map(user_row).transpose()
}

/// The person with this e-mail, inside a transaction.
pub async fn by_email_in(tx: &mut Tx<'_>, email_key: &str) -> Result<Option<UserRow>, Error> {
    tx.query(BY_EMAIL, &[email_key.into()]).await?.into_iter().next().map(user_row).transpose()
}

/// The person, locked against every other change.
pub async fn lock(tx: &mut Tx<'_>, id: Id<id::User>) -> Result<Option<UserRow>, Error> {
    let found = tx.lock_each(FIND, &[vec![id.into()]], Lock::Update).await?;
    found.into_iter().flatten().next().map(user_row).transpose()
}

/// Sets a password's hash, with its code; failures are forgotten.
pub async fn set_password(
    tx: &mut Tx<'_>,
    id: Id<id::User>,
    (hash, code): (&str, [u8; 32]),
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute_one(SET_PASSWORD, &[id.into(), hash.into(), now.into(), code.into()]).await
}

/// Sets the count of wrong passwords; answers whether there is such a person. Said of nobody, it is
/// as much work.
pub async fn set_password_failures(
    tx: &mut Tx<'_>,
    id: Id<id::User>,
    failures: Failures,
) -> Result<bool, Error> {
    let parameters = [id.into(), failures.count.into(), failures.locked_until.into()];
    Ok(tx.execute(SET_PASSWORD_FAILURES, &parameters).await? == 1)
}

/// Sets the count of wrong codes.
pub async fn set_factor_failures(
    tx: &mut Tx<'_>,
    id: Id<id::User>,
    failures: Failures,
) -> Result<(), Error> {
    let parameters = [id.into(), failures.count.into(), failures.locked_until.into()];
    tx.execute_one(SET_FACTOR_FAILURES, &parameters).await
}

/// Sets what the hashes of a person's recovery codes have in common.
pub async fn set_recovery_set(
    tx: &mut Tx<'_>,
    id: Id<id::User>,
    set: Option<&str>,
) -> Result<(), Error> {
    tx.execute_one(SET_RECOVERY_SET, &[id.into(), set.into()]).await
}

/// Lets a person log in to an organization or not; tokens from before are void either way.
pub async fn set_state(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    user: Id<id::User>,
    state: Activity,
) -> Result<(), Error> {
    tx.execute_one(SET_STATE, &[org.into(), user.into(), Value::Word(state.text())]).await
}

/// Every membership.
pub async fn members(store: &Store) -> Result<Vec<Member>, Error> {
    let rows = store.query(MEMBERS, Vec::new()).await?;
    rows.into_iter().map(decode_member).collect()
}

pub(crate) fn decode_member(mut row: Row) -> Result<Member, Error> {
    Ok(Member {
        org_id: row.id()?,
        user_id: row.id()?,
        role: row.text()?,
        state: row.word()?,
        epoch: row.int()?,
    })
}

/// Adds a person to an organization, where they may log in; [`crate::Kind::Exists`] if there already.
pub async fn insert_member(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    user: Id<id::User>,
    role: &str,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute_one(INSERT_MEMBER, &[org.into(), user.into(), role.into(), now.into()]).await
}

/// Gives a member another role.
pub async fn set_role(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    user: Id<id::User>,
    role: &str,
) -> Result<(), Error> {
    tx.execute_one(SET_ROLE, &[org.into(), user.into(), role.into()]).await
}

/// Takes a person out of an organization.
pub async fn remove_member(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    user: Id<id::User>,
) -> Result<(), Error> {
    tx.execute_one(REMOVE_MEMBER, &[org.into(), user.into()]).await
}

/// The role of a member, inside a transaction.
pub async fn role_of(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    user: Id<id::User>,
) -> Result<Option<String>, Error> {
    let rows = tx.query(ROLE_OF, &[org.into(), user.into()]).await?;
    rows.into_iter().next().map(|mut row| row.text()).transpose()
}

/// The active people who have a role, inside a transaction.
pub async fn holders(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    role: &str,
) -> Result<Vec<Id<id::User>>, Error> {
    let rows = tx.query(HOLDERS, &[org.into(), role.into()]).await?;
    rows.into_iter().map(|mut row| row.id()).collect()
}

/// The organizations that a person belongs to, inside a transaction.
pub async fn organizations_of(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
) -> Result<Vec<Id<id::Org>>, Error> {
    let rows = tx.query(ORGS_OF, &[user.into()]).await?;
    rows.into_iter().map(|mut row| row.id()).collect()
}

/// Whether anybody has a role or is invited to it, inside a transaction.
pub async fn has_role(tx: &mut Tx<'_>, org: Id<id::Org>, role: &str) -> Result<bool, Error> {
    Ok(!tx.query(HAS_ROLE, &[org.into(), role.into()]).await?.is_empty())
}

/// Every role that an organization made.
pub async fn roles(store: &Store) -> Result<Vec<RoleRow>, Error> {
    let rows = store.query(ROLES, Vec::new()).await?;
    rows.into_iter().map(decode_role).collect()
}

pub(crate) fn decode_role(mut row: Row) -> Result<RoleRow, Error> {
    let (id, org_id, name) = (row.id()?, row.id()?, row.text()?);
    let permissions = Permissions::from_words(&row.text()?)
        .map_err(|_| Error::unreadable("a role has an unknown permission"))?;
    Ok(RoleRow { id, org_id, name, permissions, created_at: row.time()? })
}

/// Adds a role; [`crate::Kind::Exists`] if the name is taken.
pub async fn insert_role(tx: &mut Tx<'_>, role: &RoleRow) -> Result<(), Error> {
    let parameters = [
        role.id.into(),
        role.org_id.into(),
        role.name.as_str().into(),
        role.permissions.to_string().into(),
        role.created_at.into(),
    ];
    tx.execute_one(INSERT_ROLE, &parameters).await
}

/// Removes a role.
pub async fn remove_role(tx: &mut Tx<'_>, id: Id<id::Role>) -> Result<(), Error> {
    tx.execute_one(REMOVE_ROLE, &[id.into()]).await
}

/// Every policy.
pub async fn policies(store: &Store) -> Result<Vec<PolicyRow>, Error> {
    let rows = store.query(POLICIES, Vec::new()).await?;
    rows.into_iter()
        .map(|mut row| Ok(PolicyRow { org_id: row.id()?, name: row.text()?, value: row.text()? }))
        .collect()
}

/// Sets a policy.
pub async fn put_policy(tx: &mut Tx<'_>, policy: &PolicyRow, now: Timestamp) -> Result<(), Error> {
    let parameters = [
        policy.org_id.into(),
        policy.name.as_str().into(),
        policy.value.as_str().into(),
        now.into(),
    ];
    tx.execute_one(PUT_POLICY, &parameters).await
}

fn user(row: &mut Row) -> Result<User, Error> {
    Ok(User { id: row.id()?, email: row.text()?, created_at: row.time()? })
}

fn user_row(mut row: Row) -> Result<UserRow, Error> {
    let user = user(&mut row)?;
    Ok(UserRow {
        user,
        password_hash: row.text_or_null()?,
        password: Failures { count: row.small()?, locked_until: row.time()? },
        factor: Failures { count: row.small()?, locked_until: row.time()? },
        recovery_set: row.text_or_null()?,
        code: row.hash()?,
        password_code: match row.bytes_or_null()? {
            None => None,
            Some(code) => {
                let code = code.try_into();
                Some(code.map_err(|_| Error::broken("a code has not 32 bytes"))?)
            }
        },
    })
}
