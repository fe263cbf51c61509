//! Erasing: the data keys of an organization go, and what they sealed never opens again.
//!
//! It is one transaction: each wrapped key is overwritten and deleted, and noted as erased; what it
//! sealed is taken away with it; entry and finding. Afterwards nodes read everything anew, so that none
//! keeps in memory what it had opened. A copy of the database that was made before still has the
//! wrapped keys, and opens as long as the source has the version of its key that wrapped them:
//! `status` names these versions until they are gone.

use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::command::VaultErase;
use crate::command::error::{CommandError, away, invalid};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_seal::Purpose;
use tradewarden_store::keys::{self as rows, Forgotten};
use tradewarden_store::{Error, Tx};

/// What an organization has keys of its own for; the others are the installation's.
const OWN: [Purpose; 2] = [Purpose::Intake, Purpose::Broker];

impl Engine {
    /// Says what would be erased and which phrase confirms it; with the phrase, erases it.
    pub(super) async fn erase(
        &self,
        asked: VaultErase,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        let org: Id<id::Org> = asked.org.parse().map_err(|error| invalid("org", &error))?;
        let directory = self.parts.directory.load_full();
        let named = directory.organizations.iter().find(|known| known.id == org);
        let name = named.ok_or(CommandError::NotFound)?.name.clone();
        let meant = match asked.purpose.as_deref() {
            None => OWN.to_vec(),
            Some(purpose) => vec![own(purpose)?],
        };
        let mut present = Vec::new();
        for purpose in meant {
            let found = rows::of(&self.parts.store, org, purpose.name()).await;
            if !found.map_err(|error| away(&error))?.is_empty() {
                present.push(purpose);
            }
        }
        let names: Vec<_> = present.iter().map(|purpose| purpose.name()).collect();
        if names.is_empty() {
            return Ok(json!({ "org_id": org, "name": name, "erased": names, "phrase": null }));
        }
        let phrase = format!("erase {} of {name}", names.join(" and "));
        let Some(typed) = asked.phrase else {
            return Ok(json!({
                "org_id": org, "name": name, "would_erase": names, "erased": [], "phrase": phrase,
            }));
        };
        if typed.trim() != phrase {
            return Err(invalid("phrase", &format!("must be exactly: {phrase}")));
        }
        let forgotten = self.erase_keys(org, present, actor).await?;
        self.parts.reload().await;
        Ok(json!({
            "org_id": org, "name": name, "erased": names, "revoked_keys": forgotten.api_keys,
            "webhooks_without_signature": forgotten.webhooks,
            "next": next_of(&gone(&self.parts).await?),
        }))
    }

    async fn erase_keys(
        &self,
        org: Id<id::Org>,
        purposes: Vec<Purpose>,
        actor: &Actor,
    ) -> Result<Forgotten, CommandError> {
        let shared = Arc::clone(&self.parts);
        let mut signed = json!({});
        actor.sign(&mut signed);
        let by = actor.name();
        let forgotten = self
            .parts
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &Scope::default()).await?;
                let mut forgotten = Forgotten { webhooks: 0, api_keys: 0 };
                for purpose in &purposes {
                    rows::erase(tx, org, purpose.name(), book.now).await?;
                    if *purpose == Purpose::Intake {
                        forgotten = rows::forget_sealed(tx, org).await?;
                    }
                }
                let names: Vec<_> = purposes.iter().map(|purpose| purpose.name()).collect();
                let mut payload = json!({
                    "purposes": names, "revoked_keys": forgotten.api_keys.to_string(),
                    "webhooks_without_signature": forgotten.webhooks.to_string(),
                });
                if let (Some(payload), Some(signed)) = (payload.as_object_mut(), signed.as_object())
                {
                    payload.extend(signed.clone());
                }
                book.enter(&shared, org, org, "vault.erased", &payload);
                let detail = format!("{by} erased the data keys for {}", names.join(" and "));
                let (code, severity) = ("vault.erased", Severity::Critical);
                book.find(&shared, org, code, severity, org.to_string(), detail);
                book.write(tx, effects).await?;
                Ok::<_, Error>(forgotten)
            })
            .await?;
        Ok(forgotten)
    }
}

fn own(name: &str) -> Result<Purpose, CommandError> {
    let purpose = Purpose::from_name(name).filter(|purpose| OWN.contains(purpose));
    purpose.ok_or_else(|| {
        invalid("purpose", &"must be intake or broker: the other keys are the installation's")
    })
}

/// Organizations and purposes whose keys were erased and that have no new one.
pub(super) async fn erased(shared: &Shared) -> Result<Vec<Value>, CommandError> {
    let mut shown: Vec<Value> = Vec::new();
    let mut last = None;
    for key in rows::erased(&shared.store).await.map_err(|error| away(&error))? {
        let place = (key.org_id, key.purpose.clone());
        if last.replace(place.clone()) == Some(place) {
            continue;
        }
        let purpose = Purpose::from_name(&key.purpose);
        let has_new = match purpose {
            Some(purpose) => {
                let found = rows::of(&shared.store, key.org_id, purpose.name()).await;
                !found.map_err(|error| away(&error))?.is_empty()
            }
            None => false,
        };
        shown.push(json!({
            "org_id": key.org_id, "purpose": key.purpose, "erased_at": key.erased_at,
            "has_new_key": has_new,
        }));
    }
    Ok(shown)
}

/// The versions of sources' keys with which an older copy of the database opens data keys that are gone
/// from this one, as far as a configured source has them.
pub(super) async fn gone(shared: &Shared) -> Result<Value, CommandError> {
    let wrapped = rows::gone(&shared.store).await.map_err(|error| away(&error))?;
    let sources = shared.keyring.sources();
    let held: Vec<_> = wrapped
        .iter()
        .filter(|(key, _)| sources.all().any(|source| source.holds(key)))
        .map(|(key, count)| json!({ "source_key": key, "data_keys": count }))
        .collect();
    let next = (!held.is_empty()).then_some(
        "copies of the database from before still open these data keys with the source keys named \
         here: run vault rotate and vault rewrap, then remove these versions from the key source, or \
         destroy the copies",
    );
    Ok(json!({ "open_in_older_copies": held, "next": next }))
}

fn next_of(gone: &Value) -> Value {
    gone.get("next").cloned().unwrap_or_default()
}
