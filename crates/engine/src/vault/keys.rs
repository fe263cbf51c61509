//! Opening data keys: at the start, and when some were made or taken away.

use crate::Shared;
use crate::installation::{INSTALLATION, LEDGER_PLACE, OpenError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{
    DataKey, DataKeyError, DataKeyPlace, DataKeySet, Keyring, LedgerKey, Purpose, SourceError,
    WrappedKey,
};
use tradewarden_store::keys::{self as rows, KeyRow};
use tradewarden_store::{Store, audit};

/// How long a new data key opens before it seals, and what older ones sealed is sealed anew: longer
/// than it takes until every node has heard of it.
pub(crate) const SETTLES_IN: Duration = Duration::from_secs(2);

/// The keys that open what is sealed, by organization.
pub(crate) type DataKeys = BTreeMap<Id<id::Org>, Arc<DataKeySet>>;

/// The keys of an organization, or why one of them does not open.
type OpenedKeys = Result<Vec<Arc<DataKey>>, DataKeyError>;

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
    let (mut opened, mut unusable) = (DataKeys::new(), Vec::new());
    let rows = rows::of_purpose(store, Purpose::Intake.name()).await?;
    let wanted = rows.iter().map(|row| (row, before.get(&row.org_id).map(Arc::as_ref)));
    let keys = held_or_opened(keyring, Purpose::Intake, &wanted.collect::<Vec<_>>()).await;
    let mut by_org: BTreeMap<Id<id::Org>, (Option<KeyRow>, OpenedKeys)> = BTreeMap::new();
    for (row, key) in rows.into_iter().zip(keys) {
        let (newest, all) = by_org.entry(row.org_id).or_insert((None, Ok(Vec::new())));
        match key {
            Ok(key) => all.iter_mut().for_each(|all| all.push(Arc::clone(&key))),
            Err(error) if all.is_ok() => *all = Err(error),
            Err(_) => {}
        }
        newest.get_or_insert(row);
    }
    for (org, (newest, keys)) in by_org {
        match keys {
            Ok(keys) => {
                let set = set_of(newest.as_ref(), keys, now);
                opened.extend(set.map(|set| (org, Arc::new(set))));
            }
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
async fn set(
    keyring: &Keyring,
    purpose: Purpose,
    rows: &[KeyRow],
    before: Option<&DataKeySet>,
    now: Timestamp,
) -> Result<Option<DataKeySet>, DataKeyError> {
    let wanted: Vec<_> = rows.iter().map(|row| (row, before)).collect();
    let keys = held_or_opened(keyring, purpose, &wanted).await;
    Ok(set_of(rows.first(), keys.into_iter().collect::<Result<_, _>>()?, now))
}

/// The data key of each row: the one that is open already, or what the source opens.
async fn held_or_opened(
    keyring: &Keyring,
    purpose: Purpose,
    rows: &[(&KeyRow, Option<&DataKeySet>)],
) -> Vec<Result<Arc<DataKey>, DataKeyError>> {
    let wrapped: Vec<_> =
        rows.iter().map(|(row, _)| WrappedKey::from_stored(row.wrapped.clone())).collect();
    let held: Vec<Option<Arc<DataKey>>> = rows
        .iter()
        .zip(&wrapped)
        .map(|((_, before), wrapped)| {
            before.zip(wrapped.key_id()).and_then(|(before, id)| before.find(id)).cloned()
        })
        .collect();
    let tenants: Vec<_> = rows.iter().map(|(row, _)| row.org_id.to_bytes()).collect();
    let missing: Vec<_> = rows
        .iter()
        .zip(&wrapped)
        .zip(&tenants)
        .zip(&held)
        .filter(|(_, held)| held.is_none())
        .map(|((((row, _), wrapped), organization), _)| {
            (DataKeyPlace { organization, purpose, version: row.version }, wrapped)
        })
        .collect();
    let mut opened = keyring.open_data_keys(&missing).await.into_iter();
    let damaged = || DataKeyError::Source(SourceError::DoesNotOpen);
    held.into_iter()
        .map(|held| match held {
            Some(key) => Ok(key),
            None => opened.next().unwrap_or_else(|| Err(damaged())).map(Arc::new),
        })
        .collect()
}

/// The set of these keys, the newest first. One that was just made does not seal yet: another node may
/// not have heard of it.
fn set_of(
    newest: Option<&KeyRow>,
    mut keys: Vec<Arc<DataKey>>,
    now: Timestamp,
) -> Option<DataKeySet> {
    let settles = newest.is_some_and(|row| now < row.created_at.plus(SETTLES_IN));
    if settles && keys.len() > 1 {
        keys.swap(0, 1);
    }
    let mut keys = keys.into_iter();
    keys.next().map(|newest| DataKeySet::new(newest, keys.collect()))
}

/// The log's key, if there is a log.
pub(crate) async fn ledger_key(
    store: &Store,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Option<LedgerKey>, OpenError> {
    let unsealed = |what: &str| OpenError(format!("{what} does not open with this key file"));
    let Some(head) = audit::ledger(store).await? else { return Ok(None) };
    let set = opened(store, keyring, INSTALLATION, Purpose::Ledger, now).await?;
    let set = set.ok_or_else(|| unsealed("the audit log's key"))?;
    let seed = set
        .open(&LEDGER_PLACE, &head.signing_key)
        .map_err(|_| unsealed("the audit log's signing key"))?;
    let key = LedgerKey::from_seed(&head.origin, seed);
    key.map(Some).map_err(|error| OpenError(error.to_string()))
}
