//! Opening data keys: at the start, and when some were made or taken away.

use super::data_keys::SETTLES_IN;
use crate::Shared;
use crate::directory::DataKeys;
use crate::open::{INSTALLATION, OpenError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{DataKeyError, DataKeySet, Keyring, Purpose, WrappedKey};
use tradewarden_store::Store;
use tradewarden_store::keys::{self as rows, KeyRow};

/// The data keys of an organization for a purpose, if it has any.
pub(crate) async fn opened(
    store: &Store,
    keyring: &Keyring,
    org: Id<id::Org>,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<DataKeySet>, OpenError> {
    let rows = rows::of(store, org, purpose.name()).await?;
    Ok(set(keyring, purpose, &rows, None, now).await?)
}

/// The keys of intake of all organizations. One that is damaged is left out, and told: it is no reason to
/// stop everybody else.
pub(crate) async fn intake_keys(
    store: &Store,
    keyring: &Keyring,
    before: &DataKeys,
    now: Timestamp,
) -> Result<(DataKeys, Vec<Unusable>), OpenError> {
    let mut by_org: BTreeMap<Id<id::Org>, Vec<KeyRow>> = BTreeMap::new();
    for row in rows::of_purpose(store, Purpose::Intake.name()).await? {
        by_org.entry(row.org_id).or_default().push(row);
    }
    let (mut opened, mut unusable) = (DataKeys::new(), Vec::new());
    for (org, rows) in by_org {
        let before = before.get(&org).map(Arc::as_ref);
        match set(keyring, Purpose::Intake, &rows, before, now).await {
            Ok(Some(set)) => {
                opened.insert(org, Arc::new(set));
            }
            Ok(None) => {}
            Err(error) if error.is_about_the_key() => {
                unusable.push(Unusable { org, detail: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((opened, unusable))
}

/// A data key that does not open although the source answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) org: Id<id::Org>,
    pub(crate) detail: String,
}

impl From<DataKeyError> for OpenError {
    fn from(error: DataKeyError) -> Self {
        Self(error.to_string())
    }
}

/// Takes in which data keys were made and which were taken away; gives those of intake.
pub(crate) async fn open_changed(shared: &Shared) -> Result<Arc<DataKeys>, OpenError> {
    let (store, keyring, now) = (&shared.store, &shared.keyring, shared.environment.now());
    let settles_at = rows::newest_made(store).await?.map(|made_at| made_at.plus(SETTLES_IN));
    let people = &shared.people;
    for (purpose, held) in [(Purpose::People, &people.key), (Purpose::Messages, &people.messages)] {
        let before = held.load_full();
        let own = rows::of(store, INSTALLATION, purpose.name()).await?;
        if let Some(set) = set(keyring, purpose, &own, Some(&before), now).await? {
            held.store(Arc::new(set));
        }
    }
    let before = shared.intake_keys.load_full();
    let (keys, unusable) = intake_keys(store, keyring, &before, now).await?;
    let keys = Arc::new(keys);
    shared.intake_keys.store(Arc::clone(&keys));
    shared.vault.set_unusable(unusable);
    shared.vault.set_settles_at(settles_at.filter(|at| now < *at));
    Ok(keys)
}

/// A set of these rows, which come newest first; the source is asked for those alone that are not open.
/// One that was just made does not seal yet: another node may not have heard of it.
async fn set(
    keyring: &Keyring,
    purpose: Purpose,
    rows: &[KeyRow],
    before: Option<&DataKeySet>,
    now: Timestamp,
) -> Result<Option<DataKeySet>, DataKeyError> {
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let wrapped = WrappedKey::from_stored(row.wrapped.clone());
        let known = before.zip(wrapped.key_id()).and_then(|(before, id)| before.find(id));
        if let Some(key) = known {
            keys.push(Arc::clone(key));
            continue;
        }
        let key = keyring.open_data_key(&row.org_id.to_bytes(), purpose, &wrapped).await?;
        keys.push(Arc::new(key));
    }
    let settles = rows.first().filter(|row| now < row.created_at.plus(SETTLES_IN));
    if settles.is_some() && keys.len() > 1 {
        keys.swap(0, 1);
    }
    let mut keys = keys.into_iter();
    Ok(keys.next().map(|newest| DataKeySet::new(newest, keys.collect())))
}
