//! Signing secrets of webhooks: what is sealed in a row that is written more than once.
//!
//! Their row, column and organization are bound by the seal. That somebody with the database puts back
//! the record of a replaced secret, the seal cannot see: it was right once. So each record holds 16
//! random bytes that tell it from the ones before, and the entry of the change that made it says
//! which they are. A record is used only if the newest entry names it (C19). Every other sealed
//! column is written once for each row (a test of the store holds that).

use super::read::open_door;
use super::{Door, signing_place};
use crate::vault::keys::DataKeys;
use serde_json::Value;
use tradewarden_domain::id::{self, Id};
use tradewarden_seal::{Place, Randomness, SecretBytes, hex_encode};
use tradewarden_store::directory::{self as rows, WebhookRow};
use tradewarden_store::webhook_secrets::{self, Previous};
use tradewarden_store::{Error, Store, audit};

const VERSION_BYTES: usize = 16;
/// Looks at a row and its entry that were changed in between.
const LOOKS: usize = 4;

/// A signing secret as it is stored.
#[derive(Clone)]
pub(crate) struct SealedSigning {
    /// The record.
    pub(crate) record: Vec<u8>,
    /// What the entry must say.
    pub(crate) version: String,
}

/// Where a webhook's replaced signing secret is sealed.
pub(crate) fn previous_signing_place<'a>(org: &'a [u8; 16], webhook: &'a [u8; 16]) -> Place<'a> {
    Place { table: "previous_secrets", ..signing_place(org, webhook) }
}

/// What is sealed of a secret, and the version that the entry must say.
pub(crate) fn versioned(
    secret: &SecretBytes,
    random: &mut dyn Randomness,
) -> (SecretBytes, String) {
    let mut version = [0; VERSION_BYTES];
    random.fill(&mut version);
    let whole = [version.as_slice(), secret.expose()].concat();
    (SecretBytes::new(whole), hex_encode(&version))
}

/// What is told of a webhook, with the version of the signing secret that it has from now on.
pub(crate) fn with_signing(mut payload: Value, sealed: Option<&SealedSigning>) -> Value {
    if let Some(fields) = payload.as_object_mut() {
        let version = sealed.map(|sealed| sealed.version.clone());
        fields.insert("signing_version".to_owned(), version.into());
    }
    payload
}

/// The version of what was opened, and the secret.
pub(super) fn split(opened: &SecretBytes) -> Option<(String, SecretBytes)> {
    let (version, secret) = opened.expose().split_first_chunk::<VERSION_BYTES>()?;
    Some((hex_encode(version), SecretBytes::new(secret.to_vec())))
}

/// The versions of the secrets in a door.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) current: Option<String>,
    pub(super) previous: Option<String>,
}

impl Versions {
    fn is_told(&self, told: Option<&Value>) -> bool {
        let says = |name: &str, version: Option<&str>| {
            version.is_none()
                || told.and_then(|told| told.get(name)).and_then(Value::as_str) == version
        };
        says("signing_version", self.current.as_deref())
            && says("previous_signing_version", self.previous.as_deref())
    }
}

/// A webhook whose signing secrets are those that the log names, and whether they are; others are taken
/// out of it.
pub(super) async fn proven(
    store: &Store,
    row: WebhookRow,
    replaced: Option<Previous>,
    data_keys: &DataKeys,
    before: Option<&Door>,
) -> Result<(Option<Door>, bool), Error> {
    let id = row.id;
    let (mut row, mut replaced) = (Some(row), replaced);
    let mut opened = None;
    for _look in 0..LOOKS {
        let Some(read) = row.take() else { return Ok((None, true)) };
        let Some((door, versions)) = open_door(&read, replaced.take(), data_keys, before) else {
            return Ok((None, true));
        };
        if versions == Versions::default() {
            return Ok((Some(door), true));
        }
        let told = audit::newest_signing(store, id).await?;
        let told: Option<Value> = told.and_then(|told| serde_json::from_str(&told).ok());
        if versions.is_told(told.as_ref()) {
            return Ok((Some(door), true));
        }
        opened = Some(door);
        // It may have been replaced between the two looks.
        row = rows::webhook(store, id).await?;
        replaced = webhook_secrets::find(store, id).await?;
    }
    Ok((opened.map(|door| without_signing(door, id)), false))
}

fn without_signing(mut door: Door, id: Id<id::Webhook>) -> Door {
    tracing::error!(
        webhook.id = %id,
        "a signing secret is older than the audit log says: it is not used"
    );
    door.signing_secret = None;
    if let Some(previous) = &mut door.previous {
        previous.signing_secret = None;
    }
    door
}
