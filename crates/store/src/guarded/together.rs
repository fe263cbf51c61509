//! Guarded rows with the heads about them, both as they are at one instant: what is committed in between
//! would look like what nobody entered.

use super::{Guarded, HEADS, Head, decode};
use crate::Error;
use crate::api_keys::{self, KeyRow};
use crate::dialect::Store;
use crate::directory::{LIMITS, LIMITS_OF, decode_limit, halts};
use crate::users::{self, Member, RoleRow};
use crate::value::{Row, Value};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::Limit;

type Lookup = (&'static str, Vec<Value>);

async fn with_heads<T>(
    store: &Store,
    kind: Guarded,
    lookups: impl IntoIterator<Item = Lookup>,
    read: fn(Row) -> Result<T, Error>,
) -> Result<(Vec<T>, Vec<Head>), Error> {
    let heads = (HEADS, vec![Value::Word(kind.word())]);
    let all = std::iter::once(heads).chain(lookups).collect();
    let mut answers = store.query_together(all).await?.into_iter();
    let heads = answers.next().unwrap_or_default().into_iter().map(|row| decode(row, kind));
    let heads = heads.collect::<Result<_, _>>()?;
    Ok((answers.flatten().map(read).collect::<Result<_, _>>()?, heads))
}

/// The halts that are engaged.
pub async fn halts_with_heads(store: &Store) -> Result<(Vec<Halt>, Vec<Head>), Error> {
    with_heads(store, Guarded::Halts, [(halts::HALTS, Vec::new())], halts::decode_halt).await
}

/// The limits of an organization, or of all.
pub async fn limits_with_heads(
    store: &Store,
    org: Option<Id<id::Org>>,
) -> Result<(Vec<Limit>, Vec<Head>), Error> {
    let lookup: Lookup = match org {
        Some(org) => (LIMITS_OF, vec![Value::Id(org.to_bytes())]),
        None => (LIMITS, Vec::new()),
    };
    with_heads(store, Guarded::Limits, [lookup], decode_limit).await
}

/// Some keys; one that is gone is not among them.
pub async fn keys_with_heads(
    store: &Store,
    ids: impl IntoIterator<Item = &Id<id::Key>>,
) -> Result<(Vec<KeyRow>, Vec<Head>), Error> {
    let lookups = ids.into_iter().map(|id| (api_keys::FIND, vec![Value::Id(id.to_bytes())]));
    with_heads(store, Guarded::Keys, lookups, api_keys::decode).await
}

/// All keys of an organization.
pub async fn keys_of_org_with_heads(
    store: &Store,
    org: Id<id::Org>,
) -> Result<(Vec<KeyRow>, Vec<Head>), Error> {
    let lookup = (api_keys::OF_ORG, vec![Value::Id(org.to_bytes())]);
    with_heads(store, Guarded::Keys, [lookup], api_keys::decode).await
}

/// Every membership.
pub async fn members_with_heads(store: &Store) -> Result<(Vec<Member>, Vec<Head>), Error> {
    let lookup = (users::MEMBERS, Vec::new());
    with_heads(store, Guarded::Members, [lookup], users::decode_member).await
}

/// Every role that an organization made.
pub async fn roles_with_heads(store: &Store) -> Result<(Vec<RoleRow>, Vec<Head>), Error> {
    let lookup = (users::ROLES, Vec::new());
    with_heads(store, Guarded::Roles, [lookup], users::decode_role).await
}
