//! What the gateway itself does about keys: says which end soon, and suspends those nobody uses.

use crate::Shared;
use crate::book::{Book, Scope};
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::id::Id;
use tradewarden_domain::key::KeyState;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::api_keys::{self, KeyRow};
use tradewarden_store::{Tx, findings};

const DAY: Duration = Duration::from_hours(24);
/// How long before its end a key is told of, once a day.
const ENDS_SOON: Duration = Duration::from_hours(7 * 24);
/// After how long without use a key is suspended.
const UNUSED: Duration = Duration::from_hours(30 * 24);

const EXPIRES_SOON: &str = "key.expires_soon";
const NOT_USED: &str = "key.unused";

/// Looks at every active key.
pub(crate) async fn inspect(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        return;
    }
    let mut last = Id::from_bytes([0; 16]);
    loop {
        let page = match api_keys::after(&shared.store, last).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(error = %error, "keys could not be looked at");
                return;
            }
        };
        let Some(row) = page.last() else { return };
        last = row.key.id;
        inspect_page(shared, &page).await;
    }
}

async fn inspect_page(shared: &Arc<Shared>, page: &[KeyRow]) {
    let now = shared.environment.now();
    for row in page.iter().filter(|row| row.key.state == KeyState::Active) {
        if !row.key.is_alive(now) {
            continue;
        }
        let unwritten = shared.usage.last_use(row.key.id).map(|last| last.at);
        let used_at = unwritten.or(row.last_used_at).unwrap_or(row.key.created_at);
        if now.since(used_at) >= UNUSED {
            suspend(shared, row, used_at).await;
        } else if row.key.expires_at.since(now) <= ENDS_SOON {
            tell_end(shared, row, now).await;
        }
    }
}

async fn tell_end(shared: &Arc<Shared>, row: &KeyRow, now: Timestamp) {
    let (org, subject) = (row.key.org_id, row.key.id.to_string());
    let told = findings::was_found(&shared.store, org, now.minus(DAY), EXPIRES_SOON, &subject);
    match told.await {
        Ok(true) => {}
        Ok(false) => {
            let detail = format!(
                "The key {:?} ends at {}; `key rotate` makes its successor.",
                row.key.name, row.key.expires_at
            );
            shared.tell(org, EXPIRES_SOON, Severity::Warning, subject, detail).await;
        }
        Err(error) => tracing::error!(error = %error, "findings could not be read"),
    }
}

async fn suspend(shared: &Arc<Shared>, row: &KeyRow, used_at: Timestamp) {
    let (inner, org, id, name) =
        (Arc::clone(shared), row.key.org_id, row.key.id, row.key.name.clone());
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            api_keys::set_state(tx, id, KeyState::Suspended).await?;
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            let payload = json!({
                "actor": "gateway", "name": name, "unused_since": used_at, "was": KeyState::Active,
            });
            book.enter(&inner, org, id, "key.suspended", &payload);
            let detail = format!(
                "The key {name:?} was not used since {used_at} and is suspended; `key activate` \
                 lets it go on."
            );
            book.find(&inner, org, NOT_USED, Severity::Warning, id.to_string(), detail);
            book.write(tx, effects).await
        })
        .await;
    match written {
        Ok(()) => shared.reload().await,
        Err(error) => tracing::error!(error = %error.0, "an unused key was not suspended"),
    }
}
