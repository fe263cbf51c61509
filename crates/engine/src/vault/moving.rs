//! Exchanging key sources while everything runs: the new one is used beside those there are, every data key
//! is wrapped anew by it, and only then is what is wanted no more let go of.
//!
//! A new source that does not answer leaves everything as it was. What fails afterwards leaves the old source
//! as the one that wraps, and the new one beside it, for some data keys may open with it alone.

use super::{Engine, source_away};
use crate::actor::Actor;
use crate::command::VaultRewrap;
use crate::command::error::CommandError;
use crate::effects::Severity;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tradewarden_seal::{KeySource, KeySources};

/// How long a commit has after its data key was wrapped, before the source that wrapped it is let go of.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether a call still goes on.
const LOOK: Duration = Duration::from_millis(100);

impl Engine {
    /// The key sources there are.
    pub fn key_sources(&self) -> Arc<KeySources> {
        self.parts.keyring.sources()
    }

    /// Uses these key sources from now on.
    ///
    /// # Errors
    ///
    /// When the one that is to wrap does not answer, or not every data key could be wrapped anew by it: in
    /// words for who runs the gateway, with what is in use then.
    pub async fn move_keys(&self, wanted: KeySources) -> Result<(), CommandError> {
        let _one_at_a_time = self.parts.vault.moving.lock().await;
        let keyring = &self.parts.keyring;
        let before = keyring.sources();
        wanted.current.newest().await.map_err(|error| source_away(&error))?;
        keyring.replace(wanted.beside(&before));
        let wrapped = match self.wrap_everything().await {
            Ok(()) if before.all().all(|source| wanted.have(source)) => Ok(()),
            // What was being made meanwhile is wrapped by an old one.
            Ok(()) => {
                until_unused(&before).await;
                self.wrap_everything().await
            }
            failed => failed,
        };
        if let Err(error) = wrapped {
            keyring.replace(before.beside(&wanted));
            return Err(error);
        }
        let moved = json!({ "from": named(&before), "to": named(&wanted) });
        keyring.replace(wanted);
        self.note("vault.moved", moved, &Actor::operator(), Vec::new()).await
    }

    /// Tells people why the key sources are not those that somebody configured.
    pub async fn not_moved(&self, why: &str) {
        let org = self.parts.directory.load().organizations.first().map(|found| found.id);
        if let Some(org) = org {
            let place = self.parts.keyring.current().place();
            let detail = format!(
                "the key sources were not exchanged, {place} still wraps: {why}; `tradewarden vault \
                 status` says which data keys need which source"
            );
            self.parts.tell(org, "vault.not_moved", Severity::Critical, place, detail).await;
        }
    }

    async fn wrap_everything(&self) -> Result<(), CommandError> {
        loop {
            let step = VaultRewrap { to: None };
            let answer = self.rewrap_data_keys(step, &Actor::operator()).await?;
            let unusable = answer.get("unusable").and_then(Value::as_array);
            if let Some(unusable) = unusable.filter(|unusable| !unusable.is_empty()) {
                let detail = format!("data keys do not open: {}", Value::from(unusable.clone()));
                return Err(CommandError::Unavailable { detail });
            }
            let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
            if count("left") == 0 {
                return Ok(());
            }
            if count("rewrapped") == 0 {
                let detail = format!("{} data keys could not be wrapped anew", count("left"));
                return Err(CommandError::Unavailable { detail });
            }
        }
    }
}

/// Waits until nobody goes on with these, and what they wrapped is committed. Every call ends in bounded
/// time.
async fn until_unused(sources: &Arc<KeySources>) {
    while Arc::strong_count(sources) > 1 {
        sleep(LOOK).await;
    }
    sleep(COMMITTED_WITHIN).await;
}

fn named(sources: &KeySources) -> Value {
    let named =
        |source: &Arc<dyn KeySource>| json!({"kind": source.kind(), "place": source.place()});
    sources.all().map(named).collect()
}
