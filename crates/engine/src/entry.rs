//! Audit entries: a public leaf that commits to a payload which belongs to the organization.

use crate::environment::Environment;
use crate::payload::Payload;
use serde::Serialize;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{commit, hex_encode, merkle, new_salt};
use tradewarden_store::audit::Entry;

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
    id: Id<id::Entry>,
    org: Id<id::Org>,
    object: Id<K>,
    event: &'static str,
    at: Timestamp,
    payload: Payload,
) -> Entry {
    let salt = environment.with_randomness(new_salt);
    let payload = payload.into_text();
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
