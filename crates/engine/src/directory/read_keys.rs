//! Reading the API keys: there may be a million, so only their sum is held against the log, and which
//! of them is not what it says is found where the sum does not fit. Such a key is left out.

use super::{Directory, keys};
use crate::seals::{self, Look, Of};
use crate::vault::keys::DataKeys;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_seal::{RowSealer, RowSum};
use tradewarden_store::api_keys::{self, KeyRow};
use tradewarden_store::guarded::{self, Guarded, Head};
use tradewarden_store::{Error, Store};

type Heads = BTreeMap<[u8; 16], Head>;

async fn heads(store: &Store) -> Result<Heads, Error> {
    let heads = guarded::heads(store, Guarded::Keys).await?;
    Ok(heads.into_iter().map(|head| (head.org, head)).collect())
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

    /// Takes in the keys that changed.
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
        let mut look = Look::begin(store, Guarded::Keys).await?;
        let (rows, heads) = loop {
            let mut rows: Vec<(Id<id::Key>, Option<KeyRow>)> = Vec::with_capacity(changed.len());
            for id in changed {
                rows.push((*id, api_keys::find(store, *id).await?));
            }
            if let Some(heads) = look.end(store).await? {
                break (rows, heads);
            }
        };
        let mut told: BTreeMap<[u8; 16], Vec<_>> = BTreeMap::new();
        for (id, row) in rows {
            let own = row.as_ref().map(|row| row.key.org_id);
            let own = own.or_else(|| self.keys.get(&id).map(|known| known.key.org_id));
            let image = row.as_ref().map(guarded::key);
            let code = image.map(|image| seals::code_of(sealer, Guarded::Keys, &image));
            if let Some(org) = own {
                told.entry(org.to_bytes()).or_default().push((id.to_bytes(), code));
            }
            self.set_key(id, row, data_keys);
        }
        for (org, rows) in told {
            let head = heads.iter().find(|head| head.org == org).cloned();
            let head = head.unwrap_or_else(|| seals::first_head(sealer, Guarded::Keys, org));
            let seals = Arc::make_mut(&mut self.seals);
            if !seals.hold_some((store, sealer), &head, &rows).await? {
                self.hold_keys(Id::from_bytes(org), store, data_keys, sealer).await?;
            }
        }
        Ok(())
    }

    /// Holds all keys of an organization against the log, and leaves out those that do not fit.
    async fn hold_keys(
        &mut self,
        org: Id<id::Org>,
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
    ) -> Result<(), Error> {
        let mut look = Look::begin(store, Guarded::Keys).await?;
        let (rows, heads) = loop {
            let rows = api_keys::of_org(store, org).await?;
            if let Some(heads) = look.end(store).await? {
                break (rows, heads);
            }
        };
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
