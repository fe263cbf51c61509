//! The API keys in the snapshot, ready to verify with.

use super::parse_network;
use crate::known_key::KnownKey;
use crate::vault::keys::DataKeys;
use tradewarden_domain::key::{KeyAlgorithm, KeyState};
use tradewarden_seal::Place;
use tradewarden_seal::http_signature::VerifyingKey;
use tradewarden_store::api_keys::KeyRow;

/// A key ready to verify with, if it can be read.
pub(super) fn open(row: KeyRow, data_keys: &DataKeys) -> Option<KnownKey> {
    let (id, state) = (row.key.id, row.key.state);
    match known(row, data_keys) {
        Ok(known) => Some(known),
        // What opened it may have been erased, which revoked it.
        Err(_) if state == KeyState::Revoked => None,
        Err(reason) => {
            tracing::error!(key.id = %id, reason, "an API key cannot be used");
            None
        }
    }
}

fn known(row: KeyRow, data_keys: &DataKeys) -> Result<KnownKey, &'static str> {
    let verifying = match row.key.algorithm {
        KeyAlgorithm::Ed25519 => {
            let public = row.material.as_slice().try_into().map_err(|_| "it has not 32 bytes")?;
            VerifyingKey::ed25519(public).map_err(|_| "it is no public key")?
        }
        KeyAlgorithm::HmacSha256 => {
            let (org, key) = (row.key.org_id.to_bytes(), row.key.id.to_bytes());
            match data_keys.get(&row.key.org_id) {
                // It signs nothing now; it is still there to be seen, halted and revoked.
                None => VerifyingKey::unopened(),
                Some(data_key) => {
                    let secret = data_key.open(&secret_place(&org, &key), &row.material);
                    let secret = secret.map_err(|_| "its secret does not open")?;
                    VerifyingKey::hmac_sha256(secret).map_err(|_| "its secret is too short")?
                }
            }
        }
    };
    let allow: Result<Vec<_>, _> = row.key.allow.iter().map(|net| parse_network(net)).collect();
    Ok(KnownKey {
        key: row.key,
        verifying,
        allow: allow.map_err(|_| "its allow-list is unreadable")?.into(),
    })
}

/// Where a key's secret is sealed.
pub fn secret_place<'a>(org: &'a [u8; 16], key: &'a [u8; 16]) -> Place<'a> {
    Place { tenant: org, table: "api_keys", column: "material", row: key, schema_version: 1 }
}
