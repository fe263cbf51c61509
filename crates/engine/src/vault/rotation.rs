//! Versions of the source's key: making one, and finding one that no entry names.
//!
//! Making one is three steps: an entry says who asks for it, the source makes it, an entry names it.
//! Whoever finds that an unnamed version wraps (the look every few seconds, `status`, `rewrap`, the next
//! `rotate`) enters it as found: a node died between the last two steps, or somebody made it at the
//! source itself. So every version that this gateway made has its entry, and who asked for it has one
//! before it was made.
//!
//! Of versions made at the source itself only those are seen that are the newest at some look.

use super::{Engine, source_away};
use crate::Shared;
use crate::actor::Actor;
use crate::book::Book;
use crate::command::error::{CommandError, away};
use crate::effects::Severity;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_seal::SecretBytes;
use tradewarden_store::Tx;
use tradewarden_store::source_keys::{self as rows, Rotation};

/// What a source makes a key from.
const FRESH_BYTES: usize = 32;
/// How long another node has for the last two steps. A call of a source ends in a few seconds.
const ROTATION_LASTS: Duration = Duration::from_secs(30);

impl Engine {
    /// Has the source make a new version of its key, which wraps from now on.
    pub(super) async fn rotate_source(&self, actor: &Actor) -> Result<Value, CommandError> {
        let shared = &self.parts;
        let org = self.org_id().ok_or(CommandError::NotFound)?;
        let source = shared.keyring.current();
        let mut entered = shared.vault.entered.lock().await;
        let before = source.newest().await.map_err(|error| source_away(&error))?;
        if !is_entered(shared, &mut entered, &before).await? {
            let detail =
                "another node is having the key source make a version: try again in half a minute";
            return Err(CommandError::Unavailable { detail: detail.to_owned() });
        }
        let mut asked = json!({ "kind": source.kind(), "before": before });
        actor.sign(&mut asked);
        let (inner, version) = (Arc::clone(shared), before.clone());
        shared
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                rows::begin_rotation(tx, &version, &inner.settings.node, book.now).await?;
                book.enter(&inner, org, org, "vault.rotating", &asked);
                Ok(())
            })
            .await?;
        let environment = &shared.environment;
        let fresh = environment.with_randomness(|random| SecretBytes::random(FRESH_BYTES, random));
        let after = source.rotate(fresh).await.map_err(|error| source_away(&error))?;
        let payload = json!({ "kind": source.kind(), "key": after, "before": before });
        let mut signed = payload.clone();
        actor.sign(&mut signed);
        let (inner, version) = (Arc::clone(shared), after.clone());
        shared
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                rows::end_rotations(tx).await?;
                rows::enter(tx, &version).await?;
                book.enter(&inner, org, org, "vault.rotated", &signed);
                Ok(())
            })
            .await?;
        *entered = Some(after);
        Ok(payload)
    }
}

/// Enters the version that wraps now, if no entry names it and no other node is about to.
pub(super) async fn look(shared: &Arc<Shared>, newest: &str) -> Result<(), CommandError> {
    let mut entered = shared.vault.entered.lock().await;
    is_entered(shared, &mut entered, newest).await.map(drop)
}

/// Whether an entry names this version, which is entered as found if need be; not while another node may
/// be about to enter it.
async fn is_entered(
    shared: &Arc<Shared>,
    entered: &mut Option<String>,
    newest: &str,
) -> Result<bool, CommandError> {
    if entered.as_deref() == Some(newest) {
        return Ok(true);
    }
    if !rows::is_entered(&shared.store, newest).await.map_err(|error| away(&error))? {
        let begun = rows::begun(&shared.store).await.map_err(|error| away(&error))?;
        // This node is not rotating: whoever does holds `entered`.
        let is_elsewhere = |begun: &Rotation| {
            // One that lies ahead is by a clock that was: it would be about to for as long.
            let now = shared.environment.now();
            begun.node != shared.settings.node
                && begun.begun_at <= now
                && now.since(begun.begun_at) < ROTATION_LASTS
        };
        if begun.as_ref().is_some_and(is_elsewhere) {
            return Ok(false);
        }
        enter_found(shared, newest.to_owned(), begun).await?;
    }
    *entered = Some(newest.to_owned());
    Ok(true)
}

async fn enter_found(
    shared: &Arc<Shared>,
    key: String,
    begun: Option<Rotation>,
) -> Result<(), CommandError> {
    let inner = Arc::clone(shared);
    let (kind, place) = (shared.keyring.current().kind(), shared.keyring.current().place());
    let org = shared.directory.load().organizations.first().map(|organization| organization.id);
    let org = org.ok_or(CommandError::NotFound)?;
    let whence = begun.as_ref().map_or_else(
        || {
            "this gateway did not ask for it: the configured key source is a new one, or somebody made \
             the version at the source itself"
                .to_owned()
        },
        |begun| {
            let (node, at) = (&begun.node, crate::people::shown(begun.begun_at));
            format!("the entry vault.rotating of {at} says who asked for one at {node}, which ended before it named it")
        },
    );
    let detail = format!("the key source wraps under {key}, which no audit entry named; {whence}");
    let payload = json!({
        "kind": kind, "key": key, "rotation_begun_at": begun.map(|begun| begun.begun_at),
    });
    shared
        .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
            if !rows::enter(tx, &key).await? {
                return Ok(());
            }
            rows::end_rotations(tx).await?;
            book.enter(&inner, org, org, "vault.key_found", &payload);
            let (code, severity) = ("vault.key_found", Severity::Warning);
            book.find(&inner, org, code, severity, place.clone(), detail.clone());
            Ok(())
        })
        .await
}
