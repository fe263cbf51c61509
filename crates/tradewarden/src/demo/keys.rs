//! The demo's API keys: one that signs with a secret, one with a private key in a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tradewarden_domain::key::KeyAlgorithm;
use tradewarden_domain::permission::{Permission, Permissions};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::Engine;
use tradewarden_engine::command::{ById, Command, KeyCreate};

use super::{ask, text};
use crate::outcome::{Exit, Failure};
use crate::serve::AnnouncedKey;
use crate::{data::Data, files};

/// Trading and reading; nothing about keys and people.
const SCOPES: Permissions = Permissions::of(&[
    Permission::SignalsWrite,
    Permission::OrdersCreate,
    Permission::OrdersCancel,
    Permission::PositionsClose,
    Permission::OrdersRead,
    Permission::PositionsRead,
    Permission::BalancesRead,
    Permission::HaltEngage,
    Permission::AuditRead,
    Permission::ReportsRead,
]);

/// What the demo keeps of its keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptKeys {
    hmac_id: String,
    hmac_secret: String,
    ed25519_id: String,
}

/// Those that are there from an earlier start and still taken, else new ones.
pub(super) async fn prepare(
    engine: &Engine,
    data: &Data,
    kept: Option<&KeptKeys>,
) -> Result<KeptKeys, Failure> {
    if let Some(kept) = kept
        && private_key_file(data).exists()
        && is_taken(engine, &kept.hmac_id).await?
        && is_taken(engine, &kept.ed25519_id).await?
    {
        return Ok(kept.clone());
    }
    let hmac = ask(engine, create(KeyAlgorithm::HmacSha256)).await?;
    let ed25519 = ask(engine, create(KeyAlgorithm::Ed25519)).await?;
    files::write_private(&private_key_file(data), &text(&ed25519, "private_key_pem")?)?;
    Ok(KeptKeys {
        hmac_id: text(&hmac, "id")?,
        hmac_secret: text(&hmac, "secret")?,
        ed25519_id: text(&ed25519, "id")?,
    })
}

/// How they are announced.
pub(super) fn announced(kept: KeptKeys, data: &Data) -> Vec<AnnouncedKey> {
    let file = private_key_file(data);
    vec![
        AnnouncedKey {
            key_id: kept.hmac_id,
            algorithm: KeyAlgorithm::HmacSha256.text(),
            secret: Some(kept.hmac_secret),
            private_key_file: None,
        },
        AnnouncedKey {
            key_id: kept.ed25519_id,
            algorithm: KeyAlgorithm::Ed25519.text(),
            secret: None,
            private_key_file: Some(std::path::absolute(&file).unwrap_or(file)),
        },
    ]
}

fn create(algorithm: KeyAlgorithm) -> Command {
    Command::KeyCreate(KeyCreate {
        name: format!("demo {algorithm}"),
        algorithm: Some(algorithm),
        public_key: None,
        scopes: SCOPES,
        accounts: Vec::new(),
        instruments: Vec::new(),
        allow: Vec::new(),
        tier: None,
        max_notional: None,
        environment: Some("demo".to_owned()),
        strategy_id: None,
        expires_in_days: None,
    })
}

/// Whether the key is known, active and has not ended.
async fn is_taken(engine: &Engine, id: &str) -> Result<bool, Failure> {
    match ask(engine, Command::KeyShow(ById { id: id.to_owned() })).await {
        Ok(key) => {
            let ends_at = text(&key, "expires_at")?.parse::<Timestamp>();
            Ok(text(&key, "state")? == "active" && ends_at.is_ok_and(|at| at > engine.now()))
        }
        Err(failure) if failure.exit == Exit::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn private_key_file(data: &Data) -> PathBuf {
    data.root().join(Path::new("demo-key.pem"))
}
