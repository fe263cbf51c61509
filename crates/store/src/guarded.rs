//! Rows that somebody who writes to the database must not change unseen (C19): what they hold, and the
//! heads that say what all of one kind in an organization come to.
//!
//! Nobody has to remember it: every statement passes through [`Tx`], which sees when one writes a table
//! below and reads, and locks, what the row held before. [`changed`] then says what became of each. What
//! a head means, the store does not know.

mod together;

pub use together::{
    halts_with_heads, keys_of_org_with_heads, keys_with_heads, limits_with_heads,
    members_with_heads, roles_with_heads,
};

use crate::Error;
use crate::api_keys::{self, KeyRow};
use crate::dialect::{Lock, Store, Tx, name_of};
use crate::directory::{LIMITS_OF, decode_limit, halts};
use crate::sealed;
use crate::users::{self, Member, RoleRow};
use crate::value::{Row, Value};
use std::collections::BTreeSet;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::{ApiKey, KeyAlgorithm};
use tradewarden_domain::limit::Limit;
use tradewarden_domain::policy::Policy;

const HEADS: &str = "-- guarded::heads\n\
    SELECT kind, org_id, number, sum, code FROM row_seals WHERE kind = $1 ORDER BY org_id";
const LOCK_HEAD: &str = "-- guarded::lock_head\n\
    SELECT kind, org_id, number, sum, code FROM row_seals WHERE kind = $1 AND org_id = $2";
const BEGIN_HEAD: &str = "-- guarded::begin_head\n\
    INSERT INTO row_seals (kind, org_id, number, sum, code) VALUES ($1, $2, 0, $3, $4) \
    ON CONFLICT (kind, org_id) DO NOTHING";
const PUT_HEAD: &str = "-- guarded::put_head\n\
    UPDATE row_seals SET number = $3, sum = $4, code = $5 WHERE kind = $1 AND org_id = $2";

pub(crate) const STATEMENTS: &[&str] = &[HEADS, LOCK_HEAD, BEGIN_HEAD, PUT_HEAD];

/// Statements that write a guarded table, and nothing that is guarded.
const UNGUARDED: [&str; 2] = ["api_keys::set_last_use", "keys::revoke_shared"];

/// What is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarded {
    /// Halts that are engaged.
    Halts,
    /// The limits of an organization, together.
    Limits,
    /// API keys: what they may do, and what they verify with.
    Keys,
    /// What people are in an organization.
    Members,
    /// What the roles that an organization made may do.
    Roles,
}

impl Guarded {
    /// Its word in the database and in the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Halts => "halts",
            Self::Limits => "limits",
            Self::Keys => "keys",
            Self::Members => "members",
            Self::Roles => "roles",
        }
    }

    /// How a row of this kind is named.
    pub fn name_of(self, row: [u8; 16]) -> String {
        match self {
            Self::Halts => Id::<id::Halt>::from_bytes(row).to_string(),
            Self::Limits => Id::<id::Org>::from_bytes(row).to_string(),
            Self::Keys => Id::<id::Key>::from_bytes(row).to_string(),
            Self::Members => Id::<id::User>::from_bytes(row).to_string(),
            Self::Roles => Id::<id::Role>::from_bytes(row).to_string(),
        }
    }

    /// The row that is so named.
    pub fn row_of(self, name: &str) -> Option<[u8; 16]> {
        match self {
            Self::Halts => name.parse().ok().map(Id::<id::Halt>::to_bytes),
            Self::Limits => name.parse().ok().map(Id::<id::Org>::to_bytes),
            Self::Keys => name.parse().ok().map(Id::<id::Key>::to_bytes),
            Self::Members => name.parse().ok().map(Id::<id::User>::to_bytes),
            Self::Roles => name.parse().ok().map(Id::<id::Role>::to_bytes),
        }
    }

    fn of_table(table: &str) -> Option<Self> {
        Some(match table {
            "halts" => Self::Halts,
            "limits" => Self::Limits,
            "api_keys" => Self::Keys,
            "memberships" => Self::Members,
            "roles" => Self::Roles,
            _ => return None,
        })
    }
}

/// A guarded row and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The owner; zeros for what belongs to none.
    pub org: [u8; 16],
    /// Its identifier within its kind and organization.
    pub row: [u8; 16],
    /// What it holds, as bytes that two rows share only if they hold the same.
    pub content: Vec<u8>,
}

/// What became of a guarded row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it is.
    pub kind: Guarded,
    /// What it held before this transaction, if it was there.
    pub before: Option<Image>,
    /// What it holds now, if it is there.
    pub after: Option<Image>,
}

/// What all guarded rows of a kind in an organization come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which rows.
    pub kind: Guarded,
    /// Whose; zeros for those that belong to no organization.
    pub org: [u8; 16],
    /// One more with each entry about them; 0 before the first.
    pub number: i64,
    /// The sum of their codes.
    pub sum: [u8; 32],
    /// A code over all of this.
    pub code: [u8; 32],
}

/// A row of a guarded table, as its statements name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    kind: Guarded,
    first: [u8; 16],
    second: Option<[u8; 16]>,
}

/// How what a row holds is written as bytes, the first of them. Who changes a field, an order or a word
/// makes another, and holds rows against both until they are entered anew.
const FORMAT: u8 = 1;
/// Few rows hold more.
const CONTENT_BYTES: usize = 512;

/// Bytes in which fields are told apart.
struct Content(Vec<u8>);

impl Content {
    fn begin() -> Self {
        let mut bytes = Vec::with_capacity(CONTENT_BYTES);
        bytes.push(FORMAT);
        Self(bytes)
    }

    fn field(mut self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.field(text.as_bytes())
    }

    fn number(self, number: i64) -> Self {
        self.field(&number.to_be_bytes())
    }

    fn optional<T>(self, value: Option<T>, put: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => put(self.field(&[1]), value),
            None => self.field(&[0]),
        }
    }
}

/// An engaged halt.
pub fn halt(halt: &Halt) -> Image {
    let content = Content::begin()
        .text(&halt.scope.to_string())
        .text(halt.mode.text())
        .text(&halt.reason)
        .text(&halt.engaged_by)
        .number(halt.engaged_at.unix_micros())
        .number(i64::from(halt.include_protective));
    let org = halt.org_id.map_or([0; 16], Id::to_bytes);
    Image { org, row: halt.id.to_bytes(), content: content.0 }
}

/// The limits of an organization; nothing where there are none.
pub fn limits<'l>(org: Id<id::Org>, limits: impl Iterator<Item = &'l Limit>) -> Option<Image> {
    let policy = Policy::of(limits);
    let org = org.to_bytes();
    let content = || Content::begin().text(&policy.canonical()).0;
    (!policy.is_empty()).then(|| Image { org, row: org, content: content() })
}

/// An API key as it is stored.
pub fn key(row: &KeyRow) -> Image {
    key_of(&row.key, &row.material)
}

/// An API key. What it verifies with counts where it is public: a sealed secret is bound to its row
/// already, and is sealed anew now and then.
pub fn key_of(key: &ApiKey, material: &[u8]) -> Image {
    let shared = key.algorithm == KeyAlgorithm::HmacSha256;
    let joined = |words: Vec<String>| words.join(",");
    let content = Content::begin()
        .optional(key.user_id, |content, user| content.field(&user.to_bytes()))
        .text(&key.name)
        .text(key.algorithm.text())
        .field(if shared { &[] } else { material })
        .text(&key.scopes.to_string())
        .text(&joined(key.accounts.iter().map(ToString::to_string).collect()))
        .text(&joined(key.instruments.iter().map(ToString::to_string).collect()))
        .text(&key.allow.join(","))
        .text(key.tier.text())
        .optional(key.max_notional, |content, most| content.number(most.units()))
        .optional(key.environment.as_deref(), Content::text)
        .optional(key.strategy_id, |content, strategy| content.field(&strategy.to_bytes()))
        .text(key.state.text())
        .optional(key.rotated_from, |content, from| content.field(&from.to_bytes()))
        .number(key.expires_at.unix_micros())
        .number(key.created_at.unix_micros());
    Image { org: key.org_id.to_bytes(), row: key.id.to_bytes(), content: content.0 }
}

/// What a person is in an organization.
pub fn member(member: &Member) -> Image {
    let content =
        Content::begin().text(&member.role).text(member.state.text()).number(member.epoch);
    Image { org: member.org_id.to_bytes(), row: member.user_id.to_bytes(), content: content.0 }
}

/// A role that an organization made.
pub fn role(role: &RoleRow) -> Image {
    let content = Content::begin().text(&role.name).text(&role.permissions.to_string());
    Image { org: role.org_id.to_bytes(), row: role.id.to_bytes(), content: content.0 }
}

/// What of it a statement writes, if it writes any.
pub(crate) fn written(sql: &str) -> Option<Guarded> {
    let (_, text) = sql.split_once('\n')?;
    let verbs = ["INSERT INTO ", "UPDATE ", "DELETE FROM "];
    let rest = verbs.into_iter().find_map(|verb| text.strip_prefix(verb))?;
    let kind = Guarded::of_table(rest.split(' ').next()?)?;
    let name = name_of(sql);
    (!UNGUARDED.contains(&name) && !sealed::is_resealing(name)).then_some(kind)
}

/// The guarded rows that a statement writes with these sets of parameters.
pub(crate) fn all_named<'v>(
    sql: &str,
    sets: impl Iterator<Item = &'v [Value]>,
) -> Result<BTreeSet<Named>, Error> {
    match written(sql) {
        Some(kind) => sets.map(|parameters| named(sql, kind, parameters)).collect(),
        None => Ok(BTreeSet::new()),
    }
}

/// The row that a statement of these parameters writes: the first one names it, of memberships the
/// first two.
fn named(sql: &str, kind: Guarded, parameters: &[Value]) -> Result<Named, Error> {
    let id = |place: usize| match parameters.get(place) {
        Some(Value::Id(id)) => Ok(*id),
        _ => Err(Error::broken(format!("{}: its first values name no row", name_of(sql)))),
    };
    let second = if kind == Guarded::Members { Some(id(1)?) } else { None };
    Ok(Named { kind, first: id(0)?, second })
}

/// What a row holds, as this transaction sees it; it is locked if it is there.
pub(crate) async fn image(tx: &mut Tx<'_>, named: Named) -> Result<Option<Image>, Error> {
    let sql = match named.kind {
        Guarded::Halts => halts::ENGAGED,
        Guarded::Limits => LIMITS_OF,
        Guarded::Keys => api_keys::FIND,
        Guarded::Members => users::MEMBER,
        Guarded::Roles => users::ROLE,
    };
    let mut parameters = vec![Value::Id(named.first)];
    parameters.extend(named.second.map(Value::Id));
    let rows = tx.lock_each(sql, &[parameters], Lock::Update).await?;
    read(named, rows.into_iter().flatten())
}

fn read(named: Named, mut rows: impl Iterator<Item = Row>) -> Result<Option<Image>, Error> {
    if named.kind == Guarded::Limits {
        return read_limits(named.first, rows);
    }
    rows.next().map(|row| read_one(named.kind, row)).transpose()
}

fn read_limits(org: [u8; 16], rows: impl Iterator<Item = Row>) -> Result<Option<Image>, Error> {
    let found: Vec<Limit> = rows.map(decode_limit).collect::<Result<_, Error>>()?;
    Ok(limits(Id::from_bytes(org), found.iter()))
}

fn read_one(kind: Guarded, row: Row) -> Result<Image, Error> {
    Ok(match kind {
        Guarded::Halts | Guarded::Limits => halt(&halts::decode_halt(row)?),
        Guarded::Keys => key(&api_keys::decode(row)?),
        Guarded::Members => member(&users::decode_member(row)?),
        Guarded::Roles => role(&users::decode_role(row)?),
    })
}

/// Everything of a kind in an organization, as this transaction sees it.
pub async fn all_in(tx: &mut Tx<'_>, kind: Guarded, org: [u8; 16]) -> Result<Vec<Image>, Error> {
    let owner = [Value::Id(org)];
    let (sql, parameters): (&'static str, &[Value]) = match kind {
        Guarded::Halts => (halts::HALTS, &[]),
        Guarded::Limits => (LIMITS_OF, &owner),
        Guarded::Keys => (api_keys::OF_ORG, &owner),
        Guarded::Members => (users::MEMBERS, &[]),
        Guarded::Roles => (users::ROLES, &[]),
    };
    let rows = tx.query(sql, parameters).await?.into_iter();
    if kind == Guarded::Limits {
        return Ok(read_limits(org, rows)?.into_iter().collect());
    }
    let mut all = rows.map(|row| read_one(kind, row)).collect::<Result<Vec<_>, Error>>()?;
    all.retain(|image| image.org == org);
    Ok(all)
}

/// What became of the guarded rows that this transaction wrote since this was last asked, ordered by
/// kind.
pub async fn changed(tx: &mut Tx<'_>) -> Result<Vec<Changed>, Error> {
    let mut changed = Vec::new();
    for (named, before) in tx.take_guarded() {
        let after = image(tx, named).await?;
        if before != after {
            changed.push(Changed { kind: named.kind, before, after });
        }
    }
    Ok(changed)
}

/// The rows of a kind that this transaction wrote and [`changed`] was not asked about yet, with what
/// each held before.
pub fn written_in(tx: &Tx<'_>, kind: Guarded) -> Vec<([u8; 16], Option<Image>)> {
    let own = tx.guarded().iter().filter(|(named, _)| named.kind == kind);
    own.map(|(named, before)| (named.second.unwrap_or(named.first), before.clone())).collect()
}

/// The heads of a kind, ordered by organization.
pub async fn heads(store: &Store, kind: Guarded) -> Result<Vec<Head>, Error> {
    let rows = store.query(HEADS, vec![Value::Word(kind.word())]).await?;
    rows.into_iter().map(|row| decode(row, kind)).collect()
}

/// The same, as this transaction sees them; none is locked.
pub async fn heads_in(tx: &mut Tx<'_>, kind: Guarded) -> Result<Vec<Head>, Error> {
    let rows = tx.query(HEADS, &[Value::Word(kind.word())]).await?;
    rows.into_iter().map(|row| decode(row, kind)).collect()
}

/// One head, locked for update; where there is none it begins as `first`.
pub async fn lock_head(tx: &mut Tx<'_>, first: &Head) -> Result<Head, Error> {
    let named = [Value::Word(first.kind.word()), Value::Id(first.org)];
    let mut begin = named.to_vec();
    begin.extend([first.sum.into(), first.code.into()]);
    tx.execute(BEGIN_HEAD, &begin).await?;
    let rows = tx.lock_each(LOCK_HEAD, &[named.to_vec()], Lock::Update).await?;
    let row = rows.into_iter().flatten().next();
    decode(row.ok_or_else(|| Error::broken("a head of rows vanished"))?, first.kind)
}

/// Moves a head that is locked.
pub async fn put_head(tx: &mut Tx<'_>, head: &Head) -> Result<(), Error> {
    let parameters = [
        Value::Word(head.kind.word()),
        Value::Id(head.org),
        head.number.into(),
        head.sum.into(),
        head.code.into(),
    ];
    tx.execute_one(PUT_HEAD, &parameters).await
}

fn decode(mut row: Row, kind: Guarded) -> Result<Head, Error> {
    let _kind = row.text()?;
    Ok(Head {
        kind,
        org: row.id::<id::Org>()?.to_bytes(),
        number: row.int()?,
        sum: row.hash()?,
        code: row.hash()?,
    })
}

#[cfg(test)]
mod tests;
