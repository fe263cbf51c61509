//! Reading the snapshot: everything at the start, and afterwards the rows that changed.
//!
//! What cannot be read is left out and told, for the others must still be known: a revocation must
//! not wait for somebody else's broken row.

use super::signing::{self, Versions};
use super::{
    Directory, Door, PreviousSecrets, parse_network, previous_signing_place, signing_place,
};
use crate::seals::{self, Of};
use crate::vault::keys::DataKeys;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::few::Few;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::LimitBook;
use tradewarden_domain::roll::RollTable;
use tradewarden_domain::signal::Mapping;
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::{CertificateName, CredentialForms, Webhook};
use tradewarden_seal::{DataKeySet, HashedToken, RowSealer};
use tradewarden_store::changes::{self, Change, News, Subject};
use tradewarden_store::directory::{self as rows, WebhookRow};
use tradewarden_store::guarded::{self, Guarded};
use tradewarden_store::webhook_secrets::{self, Previous};
use tradewarden_store::{Error, Store};

impl Directory {
    /// Reads everything; the budgets of doors that were there before go on.
    pub(crate) async fn load(
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
        before: &Self,
    ) -> Result<Self, Error> {
        // Read first: what is committed in between is read now and once more at the next look.
        let mut next = Self {
            seen: changes::newest(store).await?,
            data_keys_changed: before.data_keys_changed.wrapping_add(1),
            seals: Arc::clone(&before.seals),
            ..Self::default()
        };
        next.organizations = Arc::new(rows::organizations(store).await?);
        next.load_halts(store, sealer).await?;
        let accounts = rows::accounts(store).await?;
        next.accounts =
            Arc::new(accounts.into_iter().map(|account| (account.id, Arc::new(account))).collect());
        next.load_limits(store, sealer).await?;
        let orgs: Vec<_> = next.organizations.iter().map(|org| org.id).collect();
        next.write_books(&orgs);
        next.load_rolls(store).await?;
        next.load_strategies(store).await?;
        next.load_doors(store, data_keys, before).await?;
        next.load_keys(store, data_keys, sealer).await?;
        Ok(next)
    }

    /// The next snapshot, if anything changed since this one, or is doubted.
    pub(crate) async fn following(
        &self,
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
        doubted: &BTreeSet<Change>,
    ) -> Result<Option<Self>, Error> {
        let (mut changed, newest) = match changes::since(store, self.seen).await? {
            News::None if doubted.is_empty() => return Ok(None),
            News::None => (BTreeSet::new(), self.seen),
            News::Everything => return Self::load(store, data_keys, sealer, self).await.map(Some),
            News::Rows(changed, newest) => (changed, newest),
        };
        if changed.iter().any(|change| change.subject == Subject::Erased) {
            return Self::load(store, data_keys, sealer, self).await.map(Some);
        }
        changed.extend(doubted);
        let mut next = self.clone();
        // Of these there are few; they are read together.
        if changed.iter().any(|change| change.subject == Subject::Organization) {
            next.organizations = Arc::new(rows::organizations(store).await?);
            // The versions in them must not be newer than what they are of: what was committed in
            // between is read now, and heard of once more at the next look.
            match changes::since(store, self.seen).await? {
                News::None => {}
                News::Everything => {
                    return Self::load(store, data_keys, sealer, self).await.map(Some);
                }
                News::Rows(all, _) => changed.extend(all),
            }
        }
        if changed.iter().any(|change| change.subject == Subject::Halt) {
            next.load_halts(store, sealer).await?;
        }
        let keys = changed.iter().filter(|change| change.subject == Subject::Key);
        let keys: Vec<_> = keys.map(|change| Id::from_bytes(change.id)).collect();
        next.follow_keys(&keys, store, data_keys, sealer).await?;
        for change in changed {
            next.follow(change, store, data_keys, sealer).await?;
        }
        next.seen = newest;
        Ok(Some(next))
    }

    async fn follow(
        &mut self,
        change: Change,
        store: &Store,
        data_keys: &DataKeys,
        sealer: &RowSealer,
    ) -> Result<(), Error> {
        match change.subject {
            Subject::Organization => self.write_books(&[Id::from_bytes(change.id)]),
            Subject::Halt | Subject::Key | Subject::Erased => {}
            Subject::DataKeys => {
                self.data_keys_changed = self.data_keys_changed.wrapping_add(1);
            }
            Subject::Account => {
                let id = Id::from_bytes(change.id);
                let accounts = Arc::make_mut(&mut self.accounts);
                match rows::account(store, id).await? {
                    Some(account) => accounts.insert(id, Arc::new(account)),
                    None => accounts.remove(&id),
                };
            }
            Subject::Strategy => {
                let id = Id::from_bytes(change.id);
                self.set_strategy(id, rows::strategy(store, id).await?);
            }
            Subject::Limits => {
                let org = Id::from_bytes(change.id);
                let (own, heads) = guarded::limits_with_heads(store, Some(org)).await?;
                let (found, of) = (seals::limits(sealer, &own), Of::One(org));
                let seals = Arc::make_mut(&mut self.seals);
                seals.hold((store, sealer), Guarded::Limits, of, heads, &found).await?;
                let limits = Arc::make_mut(&mut self.limits);
                limits.retain(|limit| limit.org_id != org);
                let place = limits.partition_point(|limit| limit.org_id < org);
                limits.splice(place..place, own);
                self.write_books(&[org]);
            }
            Subject::Rolls => {
                let org = Id::from_bytes(change.id);
                let table = RollTable::of(rows::rolls_of(store, org).await?);
                Arc::make_mut(&mut self.rolls).insert(org, Arc::new(table));
            }
            Subject::Webhook => {
                let id = Id::from_bytes(change.id);
                let row = rows::webhook(store, id).await?;
                let replaced = webhook_secrets::find(store, id).await?;
                let before = self.doors.get(&id).cloned();
                self.take_in(id, row, replaced, data_keys, before.as_deref(), store).await?;
            }
        }
        Ok(())
    }

    async fn load_halts(&mut self, store: &Store, sealer: &RowSealer) -> Result<(), Error> {
        let (halts, heads) = guarded::halts_with_heads(store).await?;
        let found = seals::halts(sealer, &halts);
        let seals = Arc::make_mut(&mut self.seals);
        seals
            .hold((store, sealer), Guarded::Halts, Of::All(&self.organizations), heads, &found)
            .await?;
        self.halts = Arc::new(halts);
        Ok(())
    }

    async fn load_limits(&mut self, store: &Store, sealer: &RowSealer) -> Result<(), Error> {
        let (limits, heads) = guarded::limits_with_heads(store, None).await?;
        let found = seals::limits(sealer, &limits);
        let seals = Arc::make_mut(&mut self.seals);
        seals
            .hold((store, sealer), Guarded::Limits, Of::All(&self.organizations), heads, &found)
            .await?;
        self.limits = Arc::new(limits);
        Ok(())
    }

    async fn load_strategies(&mut self, store: &Store) -> Result<(), Error> {
        let mut page = rows::strategies_after(store, Id::from_bytes([0; 16])).await?;
        while let Some(last) = page.last() {
            // The next page is read while this one is taken in.
            let (next, ()) = tokio::join!(rows::strategies_after(store, last.id), async {
                for strategy in std::mem::take(&mut page) {
                    self.set_strategy(strategy.id, Some(strategy));
                }
            });
            page = next?;
        }
        Ok(())
    }

    async fn load_rolls(&mut self, store: &Store) -> Result<(), Error> {
        let mut contracts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for contract in rows::rolls(store).await? {
            contracts.entry(contract.org_id).or_default().push(contract);
        }
        let tables = contracts.into_iter();
        self.rolls =
            Arc::new(tables.map(|(org, own)| (org, Arc::new(RollTable::of(own)))).collect());
        Ok(())
    }

    async fn load_doors(
        &mut self,
        store: &Store,
        data_keys: &DataKeys,
        before: &Self,
    ) -> Result<(), Error> {
        // Those that have ended are told apart when they are shown; none is missed here.
        let replaced = webhook_secrets::all(store, Timestamp::default()).await?;
        let mut replaced: BTreeMap<_, _> =
            replaced.into_iter().map(|previous| (previous.webhook_id, previous)).collect();
        let mut page = rows::webhooks_after(store, Id::from_bytes([0; 16])).await?;
        while let Some(last) = page.last() {
            let (next, taken) = tokio::join!(rows::webhooks_after(store, last.id), async {
                for row in std::mem::take(&mut page) {
                    let (id, previous) = (row.id, replaced.remove(&row.id));
                    let before = before.doors.get(&id).map(AsRef::as_ref);
                    self.take_in(id, Some(row), previous, data_keys, before, store).await?;
                }
                Ok::<_, Error>(())
            });
            taken?;
            page = next?;
        }
        Ok(())
    }

    /// Puts a webhook as it was read in the place of the one before.
    async fn take_in(
        &mut self,
        id: Id<id::Webhook>,
        row: Option<WebhookRow>,
        replaced: Option<Previous>,
        data_keys: &DataKeys,
        before: Option<&Door>,
        store: &Store,
    ) -> Result<(), Error> {
        let (door, is_proven) = match row {
            Some(row) => signing::proven(store, row, replaced, data_keys, before).await?,
            None => (None, true),
        };
        if is_proven == self.older.contains(&id) {
            let older = Arc::make_mut(&mut self.older);
            let _changed = if is_proven { older.remove(&id) } else { older.insert(id) };
        }
        self.set_door(id, door);
        Ok(())
    }

    /// Makes the limits of these organizations ready to be judged by. Organizations and limits are
    /// sorted, as the database answers them.
    fn write_books(&mut self, orgs: &[Id<id::Org>]) {
        let books = Arc::make_mut(&mut self.books);
        for org in orgs {
            let place = self.organizations.binary_search_by_key(org, |found| found.id);
            let Some(known) = place.ok().and_then(|place| self.organizations.get(place)) else {
                books.remove(org);
                continue;
            };
            let first = self.limits.partition_point(|limit| limit.org_id < *org);
            let own = self.limits.iter().skip(first).take_while(|limit| limit.org_id == *org);
            books.insert(*org, Arc::new(LimitBook::of(known.limits_version, own)));
        }
    }
}

/// A webhook with its replaced secrets and their versions, if it can be read.
pub(super) fn open_door(
    row: &WebhookRow,
    replaced: Option<Previous>,
    data_keys: &DataKeys,
    before: Option<&Door>,
) -> Option<(Door, Versions)> {
    let (id, org) = (row.id, row.org_id);
    let key = data_keys.get(&org).map(AsRef::as_ref);
    let read = || {
        let mut versions = Versions::default();
        let mut door = door(row, key, before, &mut versions)?;
        if let Some(replaced) = replaced {
            door.previous = Some(previous(org, &replaced, key, &mut versions)?);
        }
        Ok((door, versions))
    };
    match read() {
        Ok(opened) => Some(opened),
        Err::<_, Error>(error) => {
            tracing::error!(webhook.id = %id, error = %error, "a webhook cannot be used");
            None
        }
    }
}

fn previous(
    org: Id<id::Org>,
    previous: &Previous,
    key: Option<&DataKeySet>,
    versions: &mut Versions,
) -> Result<Box<PreviousSecrets>, Error> {
    let broken = || Error::unreadable(format!("webhook {}: replaced secret", previous.webhook_id));
    let (org, webhook) = (org.to_bytes(), previous.webhook_id.to_bytes());
    let place = previous_signing_place(&org, &webhook);
    let signing_secret = match (&previous.secrets.signing_secret, key) {
        // Without the key no signature is right; the other secrets are.
        (None, _) | (_, None) => None,
        (Some(record), Some(key)) => {
            let opened = key.open(&place, record).map_err(|_| broken())?;
            let (version, secret) = signing::split(&opened).ok_or_else(broken)?;
            versions.previous = Some(version);
            Some(secret)
        }
    };
    Ok(Box::new(PreviousSecrets {
        secret: HashedToken::from_stored(&previous.secrets.secret_hash).map_err(|_| broken())?,
        signing_secret,
        valid_until: previous.valid_until,
    }))
}

/// A webhook; the budgets of the one before go on.
fn door(
    row: &WebhookRow,
    key: Option<&DataKeySet>,
    before: Option<&Door>,
    versions: &mut Versions,
) -> Result<Door, Error> {
    let broken = |what: &str| Error::unreadable(format!("webhook {}: {what}", row.id));
    let signing_secret = match (&row.signing_secret, key) {
        (None, _) | (_, None) => None,
        (Some(record), Some(key)) => {
            let (org, webhook) = (row.org_id.to_bytes(), row.id.to_bytes());
            let unopened = || broken("its signing secret does not open");
            let opened = key.open(&signing_place(&org, &webhook), record);
            let opened = opened.map_err(|_| unopened())?;
            let (version, secret) = signing::split(&opened).ok_or_else(unopened)?;
            versions.current = Some(version);
            Some(secret)
        }
    };
    let webhook = webhook_of(row)?;
    let allow: Result<Vec<IpNet>, _> =
        webhook.allow.iter().map(|text| parse_network(text)).collect();
    let rates = before.and_then(|door| {
        let mut old = door.rates.lock().unwrap_or_else(PoisonError::into_inner);
        old.take_if(|_| door.webhook.rate_per_s == row.rate_per_s)
    });
    Ok(Door {
        secret: HashedToken::from_stored(&row.secret_hash)
            .map_err(|_| broken("its secret's hash is unreadable"))?,
        signing_secret,
        previous: None,
        allow: allow.map_err(|_| broken("its allow-list is unreadable"))?.into(),
        rates: Mutex::new(rates),
        webhook,
    })
}

/// A stored webhook's settings.
pub(crate) fn webhook_of(row: &WebhookRow) -> Result<Webhook, Error> {
    let broken = |what: &str| Error::unreadable(format!("webhook {}: {what}", row.id));
    let has = |form: &str| row.forms.split(',').any(|word| word == form);
    let mapping = row.mapping.as_deref().map(serde_json::from_str::<Mapping>).transpose();
    let client_certificate =
        row.client_certificate.as_deref().map(str::parse::<CertificateName>).transpose();
    let allow = row.allow.split(',').filter(|part| !part.is_empty());
    let symbols = row.symbols.split(',').filter(|part| !part.is_empty());
    let symbols: Result<Few<_>, _> = symbols.map(str::parse).collect();
    Ok(Webhook {
        id: row.id,
        org_id: row.org_id,
        name: row.name.as_str().into(),
        token: row.token.parse().map_err(|_| broken("its token is too long"))?,
        forms: CredentialForms {
            query: has("query"),
            header: has("header"),
            body: has("body"),
            signature: has("signature"),
        },
        allow: allow.map(str::to_owned).collect(),
        client_certificate: client_certificate
            .map_err(|_| broken("its client certificate's name is unreadable"))?
            .map(Box::new),
        symbols: symbols.map_err(|_| broken("its list of symbols is unreadable"))?,
        dry_run: row.dry_run,
        rate_per_s: row.rate_per_s,
        max_age_s: row.max_age_s,
        mapping: mapping.map_err(|_| broken("its mapping is unreadable"))?.map(Box::new),
        state: row.state,
        created_at: row.created_at,
    })
}
