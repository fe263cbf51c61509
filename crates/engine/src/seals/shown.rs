//! What mistrusted rows hold, as a person reads it who is to accept them.

use super::check::Mistrust;
use super::code_of;
use super::history::Place;
use crate::Shared;
use crate::keys::KeyView;
use crate::reads::{halt_view, limit_view};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tradewarden_domain::id::Id;
use tradewarden_domain::key::KeyAlgorithm;
use tradewarden_seal::Digest;
use tradewarden_store::api_keys::{self, KeyRow};
use tradewarden_store::guarded::{self, Guarded, Image};
use tradewarden_store::{Error, Store, directory as rows, users};

/// Mistrusted keys that are read one by one; of more, all of the organization are read.
const ONE_BY_ONE: usize = 256;

/// What rows hold: the code of it, and the words.
pub(super) type Shown = BTreeMap<[u8; 16], (Digest, Value)>;

/// Reads what is mistrusted; a row that is gone is not in it.
pub(super) async fn shown(
    shared: &Shared,
    (kind, org): Place,
    mistrust: &Mistrust,
) -> Result<Shown, Error> {
    let store = &shared.store;
    let held: Vec<(Image, Value)> = match kind {
        Guarded::Halts => {
            let halts = rows::halts(store).await?;
            halts.iter().map(|halt| (guarded::halt(halt), json!(halt_view(halt, false)))).collect()
        }
        Guarded::Limits => {
            let limits = rows::limits_of(store, Id::from_bytes(org)).await?;
            let image = guarded::limits(Id::from_bytes(org), limits.iter());
            let words = json!(limits.iter().map(limit_view).collect::<Vec<_>>());
            image.into_iter().map(|image| (image, words.clone())).collect()
        }
        Guarded::Keys => {
            let keys = keys_of(store, org, mistrust).await?;
            keys.iter().map(|row| (guarded::key(row), key_words(row))).collect()
        }
        Guarded::Members => {
            let words = |member: &users::Member| json!({ "role": member.role, "state": member.state, "epoch": member.epoch });
            let members = users::members(store).await?;
            members.iter().map(|member| (guarded::member(member), words(member))).collect()
        }
        Guarded::Roles => {
            let words = |role: &users::RoleRow| json!({ "name": role.name, "permissions": role.permissions });
            let roles = users::roles(store).await?;
            roles.iter().map(|role| (guarded::role(role), words(role))).collect()
        }
    };
    let own = held.into_iter().filter(|(image, _)| image.org == org);
    let own = own.filter(|(image, _)| mistrust.rows.contains_key(&image.row));
    let coded =
        own.map(|(image, words)| (image.row, (code_of(&shared.row_sealer, kind, &image), words)));
    Ok(coded.collect())
}

async fn keys_of(store: &Store, org: [u8; 16], mistrust: &Mistrust) -> Result<Vec<KeyRow>, Error> {
    if mistrust.rows.len() > ONE_BY_ONE {
        return api_keys::of_org(store, Id::from_bytes(org)).await;
    }
    let mut keys = Vec::with_capacity(mistrust.rows.len());
    for row in mistrust.rows.keys() {
        keys.extend(api_keys::find(store, Id::from_bytes(*row)).await?);
    }
    Ok(keys)
}

/// A key, with a hash of the public key that it verifies with: somebody may have put in another.
fn key_words(row: &KeyRow) -> Value {
    let mut words = json!(KeyView::new(&row.key, None));
    if let (KeyAlgorithm::Ed25519, Some(words)) = (row.key.algorithm, words.as_object_mut()) {
        let public = Digest::sha256(&row.material).to_string();
        words.insert("public_key_sha256".to_owned(), Value::from(public));
    }
    words
}
