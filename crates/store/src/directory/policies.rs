//! The versions of organizations' limits. Rows are only ever added, and nothing changes a limit but
//! [`put_policy`]: so each version that an order names can be read for ever.

use super::{PUT_LIMIT, set_limits_version};
use crate::Error;
use crate::dialect::{Lock, Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{LimitName, LimitScope};
use tradewarden_domain::policy::{LimitChange, Policy};
use tradewarden_domain::time::Timestamp;

const INSERT_VERSION: &str = "-- directory::insert_policy_version\n\
    INSERT INTO limit_versions (org_id, version, made_at, made_by, confirmed_by, reason, \
    content_sha256, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const INSERT_CHANGE: &str = "-- directory::insert_limit_change\n\
    INSERT INTO limit_changes (org_id, version, scope, name, value_before, value) \
    VALUES ($1, $2, $3, $4, $5, $6)";
const DELETE_LIMIT: &str = "-- directory::delete_limit\n\
    DELETE FROM limits WHERE org_id = $1 AND scope = $2 AND name = $3";
const LOCK_LIMIT: &str = "-- directory::lock_limits\n\
    SELECT value FROM limits WHERE org_id = $1 AND scope = $2 AND name = $3";
const VERSION: &str = "-- directory::policy_version\n\
    SELECT org_id, version, made_at, made_by, confirmed_by, reason, content_sha256, changed \
    FROM limit_versions WHERE org_id = $1 AND version = $2";
const VERSIONS: &str = "-- directory::policy_versions\n\
    SELECT org_id, version, made_at, made_by, confirmed_by, reason, content_sha256, changed \
    FROM limit_versions WHERE org_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
const VERSION_AT: &str = "-- directory::policy_version_at\n\
    SELECT version FROM limit_versions WHERE org_id = $1 AND made_at <= $2 \
    ORDER BY version DESC LIMIT 1";
const VERSION_AFTER: &str = "-- directory::policy_version_after\n\
    SELECT made_at FROM limit_versions WHERE org_id = $1 AND version > $2 ORDER BY version LIMIT 1";
const CHANGES: &str = "-- directory::policy_changes\n\
    SELECT scope, name, value_before, value FROM limit_changes \
    WHERE org_id = $1 AND version = $2 ORDER BY scope, name";
const POLICY: &str = "-- directory::policy\n\
    SELECT one.scope, one.name, one.value FROM limit_changes AS one \
    WHERE one.org_id = $1 AND one.version <= $2 AND one.value IS NOT NULL AND NOT EXISTS \
    (SELECT 1 FROM limit_changes AS later WHERE later.org_id = $1 AND later.scope = one.scope \
    AND later.name = one.name AND later.version > one.version AND later.version <= $2)";

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT_VERSION,
    INSERT_CHANGE,
    DELETE_LIMIT,
    LOCK_LIMIT,
    VERSION,
    VERSIONS,
    VERSION_AT,
    VERSION_AFTER,
    CHANGES,
    POLICY,
];

/// Who made a version of an organization's limits, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// The owner.
    pub org_id: Id<id::Org>,
    /// One more than the version before; an organization begins without limits, at 0.
    pub version: i64,
    /// When.
    pub made_at: Timestamp,
    /// Who, as in the audit log.
    pub made_by: String,
    /// The second person, if two were needed.
    pub confirmed_by: Option<Id<id::User>>,
    /// Why, if it was said.
    pub reason: Option<String>,
    /// The SHA-256 of [`Policy::canonical`].
    pub content_sha256: [u8; 32],
    /// How many limits changed.
    pub changed: u32,
}

/// Changes an organization's limits, whose row must be locked for update: what is in force, the
/// version of the organization, and the history. Each change must begin at what is in force.
pub async fn put_policy(
    tx: &mut Tx<'_>,
    version: &PolicyVersion,
    changes: &[LimitChange],
) -> Result<(), Error> {
    let org = version.org_id;
    set_limits_version(tx, org, version.version).await?;
    let row = [
        org.into(),
        version.version.into(),
        version.made_at.into(),
        version.made_by.as_str().into(),
        version.confirmed_by.map(|user| user.to_string()).into(),
        version.reason.clone().into(),
        version.content_sha256.into(),
        version.changed.into(),
    ];
    tx.execute_one(INSERT_VERSION, &row).await?;
    let history: Vec<Vec<Value>> = changes
        .iter()
        .map(|change| {
            vec![
                org.into(),
                version.version.into(),
                change.scope.to_string().into(),
                Value::Word(change.name.text()),
                change.before.into(),
                change.after.into(),
            ]
        })
        .collect();
    tx.execute_each(INSERT_CHANGE, &history).await?;
    let named = |change: &LimitChange| -> Vec<Value> {
        vec![org.into(), change.scope.to_string().into(), Value::Word(change.name.text())]
    };
    let gone: Vec<_> = changes.iter().filter(|change| change.after.is_none()).map(named).collect();
    let hit = tx.execute_each(DELETE_LIMIT, &gone).await?;
    if u64::try_from(gone.len()) != Ok(hit) {
        return Err(Error::broken(format!("{hit} limits were there of {} to delete", gone.len())));
    }
    let set: Vec<Vec<Value>> = changes
        .iter()
        .filter_map(|change| {
            let mut row = named(change);
            row.extend([change.after?.into(), version.version.into(), version.made_at.into()]);
            Some(row)
        })
        .collect();
    tx.execute_each(PUT_LIMIT, &set).await.map(|_| ())
}

/// Locks limits, which must be sorted, each by its organization, level and name. They stand as long
/// as the rows of their organizations are locked.
pub async fn lock_limits(
    tx: &mut Tx<'_>,
    limits: &[(Id<id::Org>, LimitScope, LimitName)],
) -> Result<(), Error> {
    let sets: Vec<_> = limits
        .iter()
        .map(|(org, scope, name)| {
            vec![Value::from(*org), scope.to_string().into(), Value::Word(name.text())]
        })
        .collect();
    let found = tx.lock_each(LOCK_LIMIT, &sets, Lock::Update).await?;
    match found.iter().find(|rows| rows.is_empty()) {
        Some(_) => Err(Error::broken("a limit vanished")),
        None => Ok(()),
    }
}

/// One version of an organization's limits.
pub async fn policy_version(
    store: &Store,
    org: Id<id::Org>,
    version: i64,
) -> Result<Option<PolicyVersion>, Error> {
    store.query_one(VERSION, vec![org.into(), version.into()]).await?.map(decode).transpose()
}

/// The version that was in force at a time, 0 if none was made yet; and when the next one was made.
pub async fn policy_version_at(
    store: &Store,
    org: Id<id::Org>,
    at: Timestamp,
) -> Result<(i64, Option<Timestamp>), Error> {
    let row = store.query_one(VERSION_AT, vec![org.into(), at.into()]).await?;
    let version = row.map_or(Ok(0), |mut row| row.int())?;
    let next = store.query_one(VERSION_AFTER, vec![org.into(), version.into()]).await?;
    Ok((version, next.map(|mut row| row.time()).transpose()?))
}

/// The versions before this number, newest first.
pub async fn policy_versions(
    store: &Store,
    org: Id<id::Org>,
    before: i64,
    count: u32,
) -> Result<Vec<PolicyVersion>, Error> {
    let rows = store.query(VERSIONS, vec![org.into(), before.into(), count.into()]).await?;
    rows.into_iter().map(decode).collect()
}

/// What a version changed, ordered by scope and name.
pub async fn policy_changes(
    store: &Store,
    org: Id<id::Org>,
    version: i64,
) -> Result<Vec<LimitChange>, Error> {
    let rows = store.query(CHANGES, vec![org.into(), version.into()]).await?;
    let change = |mut row: Row| {
        Ok(LimitChange {
            scope: row.word()?,
            name: row.word()?,
            before: row.int_or_null()?,
            after: row.int_or_null()?,
        })
    };
    rows.into_iter().map(change).collect()
}

/// An organization's limits as they were at a version.
pub async fn policy(store: &Store, org: Id<id::Org>, version: i64) -> Result<Policy, Error> {
    let mut policy = Policy::default();
    for mut row in store.query(POLICY, vec![org.into(), version.into()]).await? {
        let (scope, name): (LimitScope, LimitName) = (row.word()?, row.word()?);
        policy.set(scope, name, row.int()?);
    }
    Ok(policy)
}

fn decode(mut row: Row) -> Result<PolicyVersion, Error> {
    Ok(PolicyVersion {
        org_id: row.id()?,
        version: row.int()?,
        made_at: row.time()?,
        made_by: row.text()?,
        confirmed_by: row.word_or_null()?,
        reason: row.text_or_null()?,
        content_sha256: row.hash()?,
        changed: row.small()?,
    })
}
