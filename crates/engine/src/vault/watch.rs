//! Whether the key source answers: asked now and then, told when it does not, and what happens when
//! that lasts.
//!
//! Secrets that are open stay open in memory for a stated time, so that a source that is restarted
//! stops nobody. After it they are closed: who has this process's memory then finds no data key. What is
//! verified by a hash or a public key goes on, and so do the audit log and everything that trades. The
//! first answer of the source opens them again.

use super::{Unusable, open_changed, rotation};
use crate::Shared;
use crate::directory::Directory;
use crate::effects::Severity;
use crate::vault::keys::DataKeys;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{DataKeySet, SourceError};

/// How long it may not answer before people are told: a restart is no news.
const TOLD_AFTER: Duration = Duration::from_secs(4);

/// What is known of the source that wraps.
#[derive(Debug, Clone, Default)]
pub(crate) enum Health {
    /// It answered when it was last asked.
    #[default]
    There,
    /// It has not since then.
    Away {
        /// The first time.
        since: Timestamp,
        /// Whether people were told.
        is_told: bool,
        /// Whether secrets were closed.
        is_closed: bool,
    },
}

/// Tells of webhooks whose signing secret is older than the log says, once each.
pub(crate) async fn tell_older(shared: &Arc<Shared>) {
    let directory = shared.directory.load_full();
    for id in directory.older.iter() {
        let org = directory.doors.get(id).map(|door| door.webhook.org_id);
        if let Some(org) = org.filter(|_| shared.vault.is_news(*id)) {
            let detail = "the signing secret in the database is older than the audit log says, and is \
                          not used: somebody put an older row back. Rotate the webhook's secrets, and \
                          find out who writes to the database";
            let (code, severity) = ("vault.older_secret", Severity::Critical);
            shared.tell(org, code, severity, id.to_string(), detail.to_owned()).await;
        }
    }
}

/// Asks the source, and draws the consequences.
pub(crate) async fn look(shared: &Arc<Shared>) {
    let asked_at = shared.environment.now();
    match shared.keyring.current().newest().await {
        Ok(newest) => {
            is_there(shared).await;
            if let Err(error) = rotation::look(shared, &newest).await {
                tracing::error!(
                    ?error,
                    "a version of the source's key was not entered; it is tried again"
                );
            }
        }
        Err(error) => is_away(shared, asked_at, &error).await,
    }
}

async fn is_there(shared: &Arc<Shared>) {
    let health = shared.vault.health();
    let (is_told, is_closed) = match health {
        Health::There => (false, false),
        Health::Away { is_told, is_closed, .. } => (is_told, is_closed),
    };
    if is_closed || shared.vault.lacks_keys() {
        if let Err(error) = open_again(shared).await {
            tracing::error!(error, "data keys cannot be opened although the key source answers");
            return;
        }
        shared.vault.set_caught_up();
    }
    shared.vault.set_health(Health::There);
    for Unusable { org, detail } in shared.vault.unusable_untold() {
        let detail = format!(
            "a data key of intake does not open, so nothing that it sealed is taken: {detail}; put the \
             row's backup back, or make its webhooks and keys anew"
        );
        let subject = format!("organization:{org}");
        shared.tell(org, "vault.key_unusable", Severity::Critical, subject, detail).await;
    }
    if is_told {
        let detail = "the key source answers again; secrets are open".to_owned();
        tell(shared, "vault.recovered", Severity::Warning, detail).await;
    }
}

/// `asked_at` is when it was asked: one that hangs lets a call last.
async fn is_away(shared: &Arc<Shared>, asked_at: Timestamp, error: &SourceError) {
    let now = shared.environment.now();
    let (since, was_told, was_closed) = match shared.vault.health() {
        Health::There => (asked_at, false, false),
        Health::Away { since, is_told, is_closed } => (since, is_told, is_closed),
    };
    let away = now.since(since);
    let is_told = was_told || away >= TOLD_AFTER;
    let open_for = shared.keyring.stays_open();
    let is_due = open_for.is_some_and(|open_for| away >= open_for);
    let is_closed = was_closed || is_due && close(shared).await;
    shared.vault.set_health(Health::Away { since, is_told, is_closed });
    if is_told && !was_told {
        let until = open_for.map_or_else(
            || "as long as it lasts".to_owned(),
            |open_for| format!("until {}", crate::people::shown(since.plus(open_for))),
        );
        let detail = format!("{error}; secrets stay open in memory {until}");
        tell(shared, "vault.unreachable", Severity::Critical, detail).await;
    }
}

/// Forgets every open data key but those of messages, and what was opened with one; answers whether
/// nothing is left. While the database is away as well, what was opened stays, and the next look tries
/// again.
async fn close(shared: &Arc<Shared>) -> bool {
    shared.vault.resealing.lock().await.close();
    let _one_at_a_time = shared.reloading.lock().await;
    tracing::error!("the key source was away too long: secrets are closed until it is back");
    shared.vault.set_behind();
    shared.intake_keys.store(Arc::new(DataKeys::new()));
    shared.people.key.store(Arc::new(DataKeySet::closed()));
    let read = read_anew(shared).await;
    if let Err(error) = &read {
        tracing::error!(error, "the directory could not be read: what it had opened is still open");
    }
    read.is_ok()
}

async fn open_again(shared: &Arc<Shared>) -> Result<(), String> {
    let _one_at_a_time = shared.reloading.lock().await;
    open_changed(shared).await.map_err(|error| error.to_string())?;
    read_anew(shared).await
}

/// Reads the whole directory with the keys there are. Whoever calls holds `reloading`.
async fn read_anew(shared: &Arc<Shared>) -> Result<(), String> {
    let (before, keys) = (shared.directory.load_full(), shared.intake_keys.load_full());
    let next = Directory::load(&shared.store, &keys, &shared.row_sealer, &before).await;
    let next = next.map_err(|error| error.to_string())?;
    shared.halts.store(Arc::clone(&next.halts));
    shared.directory.store(Arc::new(next));
    Ok(())
}

async fn tell(shared: &Arc<Shared>, code: &'static str, severity: Severity, detail: String) {
    let org = shared.directory.load().organizations.first().map(|organization| organization.id);
    if let Some(org) = org {
        let source = shared.keyring.current().place();
        shared.tell(org, code, severity, source, detail).await;
    }
}
