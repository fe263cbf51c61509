//! A link by mail with which a password is set anew.
//!
//! Whoever asks does the same work and gets the same answer: one sealed row, whoever was named and
//! whether mail is set up or not. Only afterwards, on the node that leads, is it looked up whether
//! there is such a person. Asking changes nothing about the account: the old password stays, and so
//! do links and invitations from before (S19).
//!
//! Crash story: the row is taken away in the transaction that puts the mail into the outbox and
//! stores the hash of its token. The token itself is in the sealed mail alone, until that is sent.

use super::notices::{allowance, shown};
use super::{Client, Said};
use crate::book::Book;
use crate::command::error::{CommandError, no};
use crate::outbox::{self, Letter};
use crate::{Engine, Shared};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::{Allowance, Channel, RESET_LINK_LASTS, Topic};
use tradewarden_domain::person::{ChallengeKind, email_key};
use tradewarden_seal::{Place, PlainToken, SecretString, TokenKind};
use tradewarden_store::outbox as rows;
use tradewarden_store::{Error, Tx, migrate, users};

/// Requests that wait to be looked at; one more is answered and forgotten.
const REQUESTS_MAX: u64 = 1_000;
/// Requests that are looked at together.
const AT_ONCE: u32 = 16;
/// Letters of an e-mail that are kept; there is none with more (RFC 5321 section 4.5.3.1).
const EMAIL_MAX: usize = 254;

/// What is sealed of a request.
#[derive(Serialize, Deserialize)]
struct Asked {
    email: String,
    from: String,
}

fn place(id: &[u8; 16]) -> Place<'_> {
    Place {
        tenant: &[0; 16],
        table: "reset_requests",
        column: "content",
        row: id,
        schema_version: 1,
    }
}

impl Engine {
    /// Notes that somebody asked for a link, and says no more than that.
    pub(super) async fn ask_for_link(
        &self,
        email: &str,
        client: &Client,
    ) -> Result<Said, CommandError> {
        let people = &self.parts.people;
        let now = self.now();
        let wait = people.askers.wait(client.address, now)?;
        people.askers.failed(client.address, now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let email = email.chars().take(EMAIL_MAX).collect();
        let asked = Asked { email, from: client.address.to_string() };
        let asked = serde_json::to_vec(&asked).unwrap_or_default();
        let id: Id<id::Message> = self.parts.environment.id(now);
        let content = self.parts.environment.with_randomness(|random| {
            people.messages.load().seal(&place(&id.to_bytes()), &asked, random)
        });
        let content = content.map_err(|_| no(Code::AuthBusy))?;
        self.parts
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                let at = book.now.unix_micros().to_string();
                migrate::set_meta(tx, "reset_asked_at", &at).await?;
                if rows::count_requests(tx).await? < REQUESTS_MAX {
                    rows::insert_request(tx, id, content.clone()).await?;
                }
                Ok(())
            })
            .await?;
        Ok(json!({ "status": "accepted" }).into())
    }
}

/// Looks who was named in what was asked for, and mails links.
pub(crate) async fn answer_requests(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        return;
    }
    let requests = rows::requests(&shared.store, AT_ONCE).await;
    let requests = requests.unwrap_or_else(|error| {
        tracing::error!(%error, "requests for links could not be read");
        Vec::new()
    });
    for (id, content) in requests {
        let opened = shared.people.messages.load().open(&place(&id.to_bytes()), &content).ok();
        let asked = opened.and_then(|bytes| serde_json::from_slice(bytes.expose()).ok());
        let token = shared
            .environment
            .with_randomness(|random| PlainToken::generate(TokenKind::PasswordReset, random));
        let inner = Arc::clone(shared);
        let answered = shared
            .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
                if !rows::take_request(tx, id).await? {
                    return Ok(());
                }
                match &asked {
                    Some(asked) => answer(tx, book, &inner, asked, &token).await,
                    None => Ok(()),
                }
            })
            .await;
        if let Err(error) = answered {
            tracing::error!(%error, "a request for a link was not answered");
        }
    }
}

/// Mails a link, if there is such a person and none was mailed a moment ago.
async fn answer(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    asked: &Asked,
    token: &PlainToken,
) -> Result<(), Error> {
    let Some(key) = email_key(&asked.email) else { return Ok(()) };
    let Some(row) = users::by_email_in(tx, &key).await? else { return Ok(()) };
    if !shared.is_whole_person(&row, &key) {
        return Ok(());
    }
    let user = row.user.id;
    let principals = shared.people.principals.load_full();
    let Some(org) = principals.org_to_enter(user, None, None) else { return Ok(()) };
    let topic = Topic::ResetLink;
    if allowance(tx, user, topic, book.now).await? == Allowance::No {
        return Ok(());
    }
    let console = &shared.settings.console_origin;
    let text = format!(
        "Somebody asked for a new password for your account. If it was you, open this link within \
         {} minutes and choose one:\n\n{console}/reset-password#token={}\n\n\
         Gateway: {console}\nTime:    {}\nAddress: {}\n\n\
         If it was not you, there is nothing to do: your password stays as it is.\n",
        RESET_LINK_LASTS.as_secs() / 60,
        token.expose(),
        shown(book.now),
        asked.from,
    );
    let letter = Letter {
        channel: Channel::Mail,
        topic,
        to: SecretString::new(row.user.email),
        destination: None,
        subject: "Tradewarden: Set a new password".to_owned(),
        text: SecretString::new(text),
    };
    if outbox::put(tx, book, shared, org, Some(user), letter).await? {
        let until = book.now.plus(RESET_LINK_LASTS);
        let (hash, kind) = (*token.hash().as_bytes(), ChallengeKind::Password);
        shared.put_challenge(tx, (hash, kind), Some(user), b"", until).await?;
        let payload = json!({ "actor": "mail" });
        book.enter(shared, org, user, "password.reset_requested", &payload);
    }
    Ok(())
}
