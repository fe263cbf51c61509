//! A webhook's secret or a person's session that is void at once, without anybody having asked: the
//! gateway saw what opens it where others did.

use crate::Engine;
use crate::actor::{Actor, Who};
use crate::book::{Book, Scope};
use crate::command::error::CommandError;
use crate::directory::Door;
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use serde_json::json;
use std::sync::Arc;
use tradewarden_seal::{PlainToken, TokenKind};
use tradewarden_store::webhook_secrets::{self, Secrets};
use tradewarden_store::{Lock, Tx, directory as rows, sessions};

const CLEAR_TEXT: &str = "webhook.clear_text";
const SESSION_CLEAR_TEXT: &str = "session.clear_text";

/// Gives the webhook a secret that nobody sees, forgets the one before, and tells people; whether it had
/// this one still. What signs its messages never travels, and stays.
pub(crate) async fn revoke_secret(engine: &Engine, door: &Door) -> Result<bool, CommandError> {
    let shared = Arc::clone(&engine.parts);
    let unknown = engine
        .parts
        .environment
        .with_randomness(|random| PlainToken::generate(TokenKind::WebhookSecret, random));
    let (id, org) = (door.webhook.id, door.webhook.org_id);
    let (seen_hash, new_hash) = (*door.secret.as_bytes(), *unknown.hash().as_bytes());
    let was_there = engine
        .parts
        .journal
        .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            rows::lock_organizations(tx, &[org], Lock::Update).await?;
            let row = rows::webhook_in(tx, id).await?;
            // Of two requests with the same secret the first one ends it.
            let Some(row) = row.filter(|row| row.secret_hash == seen_hash) else {
                return Ok(false);
            };
            let new = Secrets { secret_hash: new_hash, signing_secret: row.signing_secret };
            webhook_secrets::replace_at_once(tx, id, &new).await?;
            let mut book = Book::load(tx, &shared, &Scope::default()).await?;
            let payload = json!({ "actor": "gateway", "reason": CLEAR_TEXT });
            book.enter(&shared, org, id, "webhook.secret_revoked", &payload);
            let detail = format!(
                "The secret of the webhook {:?} came without TLS and is revoked: whoever listened has it. \
                 Change the sender's address to https, then make a new secret with `webhook rotate`.",
                row.name
            );
            book.find(&shared, org, CLEAR_TEXT, Severity::Critical, id.to_string(), detail);
            book.write(tx, effects).await?;
            Ok(true)
        })
        .await?;
    engine.parts.reload().await;
    Ok(was_there)
}

/// Ends the session of this caller and tells people; whether it still was one.
pub(crate) async fn end_seen_session(engine: &Engine, actor: &Actor) -> Result<bool, CommandError> {
    let (Who::Person(person), Some(org)) = (actor.who(), actor.org()) else { return Ok(false) };
    let (user, id) = (person.user_id, person.session_id);
    let shared = Arc::clone(&engine.parts);
    engine
        .parts
        .change_people(async move |tx: &mut Tx<'_>, book: &mut Book| {
            if !sessions::end(tx, id, "gateway", book.now).await? {
                return Ok(false);
            }
            let payload =
                json!({ "actor": "gateway", "reason": SESSION_CLEAR_TEXT, "user_id": user });
            book.enter(&shared, org, id, "session.ended", &payload);
            let detail = format!(
                "An access token of {user} came without TLS, and its session is ended: whoever listened \
                 has it. Log in again, by https."
            );
            let (code, critical) = (SESSION_CLEAR_TEXT, Severity::Critical);
            book.find(&shared, org, code, critical, id.to_string(), detail);
            Ok(true)
        })
        .await
}
