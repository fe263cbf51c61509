//! Reading the API keys: there may be a million, so only their sum is held against the log, and which
//! of them is not what it says is found where the sum does not fit. Such a key is left out.

use super::shards::Shards;
use super::{Directory, keys};
use crate::known_key::KnownKey;
use crate::seals::{self, Of, Told};
use crate::vault::keys::DataKeys;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_seal::{RowSealer, RowSum};
use tradewarden_store::api_keys::{self, KeyRow};
use tradewarden_store::guarded::{self, Guarded, Head, Image};
use tradewarden_store::{Error, Store};

/// Looks for keys that changed while those before were looked at.
const LOOKS: usize = 8;

type Heads = BTreeMap<[u8; 16], Head>;
type Read = (Id<id::Key>, Option<KeyRow>);
type Known = Shards<Id<id::Key>, Arc<KnownKey>>;

async fn heads(store: &Store) -> Result<Heads, Error> {
    let heads = guarded::heads(store, Guarded::Keys).await?;
    Ok(heads.into_iter().map(|head| (head.org, head)).collect())
}

/// Some keys as they are, nothing for one that is gone, and the heads about them.
async fn some_keys(
    store: &Store,
    ids: &BTreeSet<Id<id::Key>>,
) -> Result<(Vec<Read>, Heads), Error> {
    let (found, heads) = guarded::keys_with_heads(store, ids).await?;
    let mut found: BTreeMap<_, _> = found.into_iter().map(|row| (row.key.id, row)).collect();
    let rows = ids.iter().map(|id| (*id, found.remove(id))).collect();
    Ok((rows, heads.into_iter().map(|head| (head.org, head)).collect()))
}

/// What became of keys since they were trusted, by organization.
fn became(before: &Known, rows: &[Read], sealer: &RowSealer) -> BTreeMap<[u8; 16], Vec<Told>> {
    let mut became: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (id, row) in rows {
        let known = before.get(id).map(|known| known.image());
        let read = row.as_ref().map(guarded::key);
        let orgs = known.iter().chain(&read).map(|image| image.org);
        for org in orgs.collect::<BTreeSet<_>>() {
            let code = |image: Option<&Image>| {
                let own = image.filter(|image| image.org == org);
                own.map(|image| seals::code_of(sealer, Guarded::Keys, image))
            };
            let (before, after) = (code(known.as_ref()), code(read.as_ref()));
            became.entry(org).or_default().push(Told { row: id.to_bytes(), before, after });
        }
    }
    became
}

impl Directory {
    pub(super) async fn load_keys(
        &mut self,
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
    ) -> Result<(), Error> {
        let before = heads(store).await?;
        let mut sums: BTreeMap<[u8; 16], RowSum> = BTreeMap::new();
        let mut page = api_keys::after(store, Id::from_bytes([0; 16])).await?;
        while let Some(last) = page.last() {
            let (next, ()) = tokio::join!(api_keys::after(store, last.key.id), async {
                for row in std::mem::take(&mut page) {
                    let code = seals::code_of(sealer, Guarded::Keys, &guarded::key(&row));
                    let sum = sums.entry(row.key.org_id.to_bytes()).or_default();
                    *sum = sum.plus(&code);
                    self.set_key(row.key.id, Some(row), data_keys);
                }
            });
            page = next?;
        }
        let after = heads(store).await?;
        let there = self.organizations.iter().map(|org| org.id.to_bytes());
        let orgs: BTreeSet<_> =
            there.chain(after.keys().copied()).chain(sums.keys().copied()).collect();
        for org in orgs {
            let first = || seals::first_head(sealer, Guarded::Keys, org);
            let head = after.get(&org).cloned().unwrap_or_else(first);
            let sum = sums.get(&org).copied().unwrap_or_default();
            let is_still = before.get(&org) == after.get(&org);
            let seals = Arc::make_mut(&mut self.seals);
            if !is_still || !seals.fits((store, sealer), &head, sum).await? {
                self.hold_keys(Id::from_bytes(org), store, data_keys, sealer).await?;
            }
        }
        Ok(())
    }

    /// Takes in the keys that changed. What this snapshot has of each stands for what is trusted, so
    /// that no other key of their organizations is read.
    pub(super) async fn follow_keys(
        &mut self,
        changed: &[Id<id::Key>],
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
    ) -> Result<(), Error> {
        if changed.is_empty() {
            return Ok(());
        }
        let before = self.keys.clone();
        let ids: BTreeSet<_> = changed.iter().copied().collect();
        let (rows, mut heads) = some_keys(store, &ids).await?;
        let became = became(&before, &rows, sealer);
        for (id, row) in rows {
            self.set_key(id, row, data_keys);
        }
        for (org, told) in became {
            let first = || seals::first_head(sealer, Guarded::Keys, org);
            let head = heads.remove(&org).unwrap_or_else(first);
            if !self.hold_changed(&before, (head, told), store, data_keys, sealer).await? {
                self.hold_keys(Id::from_bytes(org), store, data_keys, sealer).await?;
            }
        }
        Ok(())
    }

    /// Holds the keys of an organization that changed; `false` if that does not show that all is right.
    async fn hold_changed(
        &mut self,
        before: &Known,
        (mut head, mut told): (Head, Vec<Told>),
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
    ) -> Result<bool, Error> {
        if self.seals.mistrusts(Guarded::Keys, head.org) {
            return Ok(false);
        }
        for _ in 0..LOOKS {
            let seals = Arc::make_mut(&mut self.seals);
            if seals.hold_some((store, sealer), &head, &told).await? {
                return Ok(true);
            }
            // Others may have changed after these were heard of, and are in the head already.
            let entered = seals.entered_since((store, sealer), &head).await?;
            let mut ids: BTreeSet<_> = told.iter().map(|told| Id::from_bytes(told.row)).collect();
            let known = ids.len();
            ids.extend(entered.into_iter().map(Id::from_bytes));
            if ids.len() == known {
                return Ok(false);
            }
            let org = head.org;
            let (mut rows, mut heads) = some_keys(store, &ids).await?;
            for (_, row) in &mut rows {
                // A row of another organization is none of this one.
                let _foreign = row.take_if(|row| row.key.org_id.to_bytes() != org);
            }
            told = became(before, &rows, sealer).remove(&org).unwrap_or_default();
            head = heads.remove(&org).unwrap_or(head);
            for (id, row) in rows {
                self.set_key(id, row, data_keys);
            }
        }
        Ok(false)
    }

    /// Holds all keys of an organization against the log, and leaves out those that do not fit.
    async fn hold_keys(
        &mut self,
        org: Id<id::Org>,
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
    ) -> Result<(), Error> {
        let (rows, heads) = guarded::keys_of_org_with_heads(store, org).await?;
        let found = seals::found(sealer, Guarded::Keys, rows.iter().map(guarded::key));
        let seals = Arc::make_mut(&mut self.seals);
        seals.hold((store, sealer), Guarded::Keys, Of::One(org), heads, &found).await?;
        for row in rows {
            let id = row.key.id;
            let is_right = self.seals.trusts(Guarded::Keys, org.to_bytes(), id.to_bytes());
            self.set_key(id, is_right.then_some(row), data_keys);
        }
        Ok(())
    }

    /// Puts a key in the place of the one before, or takes it away.
    fn set_key(&mut self, id: Id<id::Key>, row: Option<KeyRow>, data_keys: &DataKeys) {
        match row.and_then(|row| keys::open(row, data_keys)) {
            Some(known) => self.keys.insert(id, Arc::new(known)),
            None => drop(self.keys.remove(&id)),
        }
    }
}
