//! Audit entries: a public leaf that commits to a payload which belongs to the organization.

use crate::environment::Environment;
use serde::Serialize;
use serde_json::Value;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{commit, hex_encode, merkle, new_salt, to_canonical};
use tradewarden_store::audit::Entry;

/// Largest payload in bytes (C15).
const PAYLOAD_BYTES_MAX: usize = 48 * 1024;

/// The leaf of format 1. The fields stand in the order of RFC 8785, so that writing them is
/// canonical; every value is ASCII.
#[derive(Serialize)]
struct Leaf<'a> {
    at: Timestamp,
    commitment: &'a str,
    event: &'a str,
    id: Id<id::Entry>,
    object: &'a str,
    org: Id<id::Org>,
    v: u8,
}

/// Makes the entry that says that `event` happened to `object`.
pub(crate) fn entry<K: Kind>(
    environment: &Environment,
    org: Id<id::Org>,
    object: Id<K>,
    event: &'static str,
    at: Timestamp,
    payload: &Value,
) -> Entry {
    let id: Id<id::Entry> = environment.id(at);
    let salt = environment.with_randomness(new_salt);
    let payload = bounded(payload);
    let commitment = hex_encode(commit(&salt, payload.as_bytes()).as_bytes());
    let object_text = object.to_string();
    let leaf = Leaf { at, commitment: &commitment, event, id, object: &object_text, org, v: 1 };
    // Writing strings and a number to JSON cannot fail.
    let leaf = serde_json::to_string(&leaf).unwrap_or_default();
    Entry {
        id,
        org_id: org,
        object_id: object.to_bytes(),
        leaf_hash: *merkle::leaf_hash(leaf.as_bytes()).as_bytes(),
        leaf,
        payload,
        salt,
    }
}

/// The canonical payload; one that is too large or not canonical is named by its hash instead of
/// being lost.
fn bounded(payload: &Value) -> String {
    match to_canonical(payload) {
        Ok(text) if text.len() <= PAYLOAD_BYTES_MAX => text,
        Ok(text) => {
            let hash = tradewarden_seal::Digest::sha256(text.as_bytes());
            format!("{{\"bytes\":{},\"sha256\":\"{hash}\"}}", text.len())
        }
        Err(_) => "{\"unreadable\":true}".to_owned(),
    }
}
