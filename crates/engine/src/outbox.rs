//! The outbox: messages that are written in the transaction of what they tell about, and carried out
//! afterwards. Nothing is told that was rolled back, and nothing that happened is forgotten.
//!
//! Crash story: a try is claimed in a transaction of its own before it is made, which sets when the
//! next one is due. A crash between the claim and the outcome leaves a message that is tried again
//! then; if the first try had been taken, a second copy arrives, under the same name.

use crate::Shared;
use crate::book::Book;
use crate::effects::Severity;
use crate::lease::leads;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::{Channel, MessageState, Topic, next_try};
use tradewarden_domain::time::Timestamp;
use tradewarden_messenger::{Message, Messenger, Outcome};
use tradewarden_seal::{Place, SecretBytes, SecretString};
use tradewarden_store::alerts;
use tradewarden_store::outbox::{self, Kind, NewMessage, WaitingMessage};
use tradewarden_store::{Error, Tx};

/// Whoever carries messages, by the way on which they go; a way that is not there is switched off.
pub type Messengers = BTreeMap<Channel, Arc<dyn Messenger>>;

/// Messages of one kind that wait at one time; one more is not taken.
const WAITING_MAX: u64 = 10_000;
/// Messages of one channel that are handed over at one time.
const AT_ONCE: u32 = 8;
/// Messages that are given up at one look.
const GIVEN_UP_AT_ONCE: u32 = 200;
/// How long it is known that a message was sent.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// A message before it is in the outbox.
pub(crate) struct Letter {
    pub(crate) channel: Channel,
    pub(crate) topic: Topic,
    /// A mailbox or a number.
    pub(crate) to: SecretString,
    /// A keyed hash of it, where messages to one are counted.
    pub(crate) destination: Option<[u8; 32]>,
    pub(crate) subject: String,
    pub(crate) text: SecretString,
}

/// What is sealed of a message.
#[derive(Serialize, Deserialize)]
struct Content {
    to: String,
    subject: String,
    text: String,
    made_at: Timestamp,
}

/// Where the content of a message is sealed.
fn place(id: &[u8; 16]) -> Place<'_> {
    Place { tenant: &[0; 16], table: "outbox", column: "content", row: id, schema_version: 1 }
}

fn payload(channel: Channel, topic: Topic, user: Option<Id<id::User>>) -> Value {
    json!({ "channel": channel, "topic": topic, "user_id": user })
}

/// Puts a message into the outbox, in the transaction of what it tells about; answers whether it is
/// in there. Where its channel is switched off nothing is written.
pub(crate) async fn put(
    tx: &mut Tx<'_>,
    book: &mut Book,
    shared: &Shared,
    org: Id<id::Org>,
    user: Option<Id<id::User>>,
    letter: Letter,
) -> Result<bool, Error> {
    let Letter { channel, topic, to, destination, subject, text } = letter;
    if !shared.messengers.contains_key(&channel) {
        return Ok(false);
    }
    if outbox::waiting(tx, Kind::of(topic)).await? >= WAITING_MAX {
        drop_one(book, shared, org, user, (channel, topic));
        return Ok(false);
    }
    let id: Id<id::Message> = shared.environment.id(book.now);
    let (to, text) = (to.expose().to_owned(), text.expose().to_owned());
    let content = Content { to, subject, text, made_at: book.now };
    let content = SecretBytes::new(serde_json::to_vec(&content).unwrap_or_default());
    let sealed = shared.environment.with_randomness(|random| {
        shared.people.messages.load().seal(&place(&id.to_bytes()), content.expose(), random)
    });
    let content = sealed.map_err(|_| Error::unreadable("a message could not be sealed"))?;
    let message = NewMessage {
        id,
        org_id: org,
        user_id: user,
        channel,
        topic,
        destination,
        content,
        expires_at: book.now.plus(topic.lasts()),
        created_at: book.now,
    };
    outbox::insert(tx, &message).await?;
    book.enter(shared, org, id, "message.queued", &payload(channel, topic, user));
    Ok(true)
}

/// Writes that a message was not taken, because there are too many.
pub(crate) fn drop_one(
    book: &mut Book,
    shared: &Shared,
    org: Id<id::Org>,
    user: Option<Id<id::User>>,
    (channel, topic): (Channel, Topic),
) {
    tracing::warn!(%channel, %topic, "a message was left out: there are too many");
    book.enter(shared, org, org, "message.dropped", &payload(channel, topic, user));
}

/// Hands over what is due on a channel, of one kind: alerts do not wait behind notices (S24).
pub(crate) async fn drain(shared: &Arc<Shared>, channel: Channel, kind: Kind) {
    let Some(messenger) = shared.messengers.get(&channel) else { return };
    if !shared.is_leader() {
        return;
    }
    let due = outbox::due(&shared.store, (channel, kind), shared.environment.now(), AT_ONCE).await;
    let due = due.unwrap_or_else(|error| {
        tracing::error!(%error, %channel, "the outbox could not be read");
        Vec::new()
    });
    let mut sending = JoinSet::new();
    for message in due {
        sending.spawn(carry(Arc::clone(shared), Arc::clone(messenger), message));
    }
    while sending.join_next().await.is_some() {}
}

/// One try: claimed, made, noted.
async fn carry(shared: Arc<Shared>, messenger: Arc<dyn Messenger>, waiting: WaitingMessage) {
    let now = shared.environment.now();
    if waiting.expires_at <= now {
        give_up(&shared, waiting, "it was not taken in time").await;
        return;
    }
    let attempts = waiting.attempts.saturating_add(1);
    let next = following(&shared, &waiting, attempts, None);
    let (inner, id, before) = (Arc::clone(&shared), waiting.id, waiting.attempts);
    let unheard_at = next.unwrap_or(waiting.expires_at);
    let claimed = shared
        .note(async move |tx: &mut Tx<'_>, _book: &mut Book| {
            Ok(leads(tx, &inner).await? && outbox::claim(tx, id, before, unheard_at).await?)
        })
        .await;
    match claimed {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            tracing::error!(%error, message.id = %id, "a message was not claimed");
            return;
        }
    }
    let Some(message) = opened(&shared, &waiting) else {
        give_up(&shared, waiting, "it does not open with this key file").await;
        return;
    };
    match messenger.send(message).await {
        Outcome::Taken => end(&shared, waiting, MessageState::Sent, None).await,
        Outcome::Refused { reason } => give_up(&shared, waiting, &reason).await,
        Outcome::Later { reason, wait } => {
            tracing::warn!(message.id = %id, attempts, reason, "a message was not sent");
            match following(&shared, &waiting, attempts, wait) {
                Some(at) => postpone(&shared, id, at).await,
                None => give_up(&shared, waiting, &reason).await,
            }
        }
    }
}

/// When the try after this one is due.
fn following(
    shared: &Shared,
    waiting: &WaitingMessage,
    attempts: u32,
    asked: Option<Duration>,
) -> Option<Timestamp> {
    let mut chance = [0];
    shared.environment.with_randomness(|randomness| randomness.fill(&mut chance));
    let [chance] = chance;
    next_try(attempts, shared.environment.now(), waiting.expires_at, asked, chance)
}

fn opened(shared: &Shared, waiting: &WaitingMessage) -> Option<Message> {
    let bytes = shared
        .people
        .messages
        .load()
        .open(&place(&waiting.id.to_bytes()), &waiting.content)
        .ok()?;
    let content: Content = serde_json::from_slice(bytes.expose()).ok()?;
    Some(Message {
        name: waiting.id.to_string(),
        made_at: content.made_at,
        to: SecretString::new(content.to),
        subject: content.subject,
        text: SecretString::new(content.text),
    })
}

async fn postpone(shared: &Arc<Shared>, id: Id<id::Message>, at: Timestamp) {
    let written = shared
        .note(async move |tx: &mut Tx<'_>, _book: &mut Book| outbox::postpone(tx, id, at).await)
        .await;
    if let Err(error) = written {
        // It is due at the time that its claim set.
        tracing::error!(%error, message.id = %id, "it was not noted when a message is due");
    }
}

async fn give_up(shared: &Arc<Shared>, waiting: WaitingMessage, reason: &str) {
    end(shared, waiting, MessageState::GivenUp, Some(reason.to_owned())).await;
}

/// Notes the end of a message and erases what it said.
async fn end(
    shared: &Arc<Shared>,
    waiting: WaitingMessage,
    state: MessageState,
    reason: Option<String>,
) {
    let (inner, id) = (Arc::clone(shared), waiting.id);
    let written = shared
        .note(async move |tx: &mut Tx<'_>, book: &mut Book| {
            if !outbox::end(tx, waiting.id, state).await? {
                return Ok(());
            }
            let mut said = payload(waiting.channel, waiting.topic, waiting.user_id);
            let Some(reason) = &reason else {
                book.enter(&inner, waiting.org_id, waiting.id, "message.sent", &said);
                if waiting.topic == Topic::AlertTest {
                    let carrier = inner.messengers.get(&waiting.channel);
                    if let Some(address) = carrier.map(|carrier| carrier.address().to_string()) {
                        alerts::note_tested(tx, waiting.channel, &address, book.now).await?;
                    }
                }
                return Ok(());
            };
            if let Some(fields) = said.as_object_mut() {
                fields.insert("reason".to_owned(), json!(reason));
            }
            book.enter(&inner, waiting.org_id, waiting.id, "message.given_up", &said);
            let (channel, topic) = (waiting.channel, waiting.topic);
            let detail = format!("a message by {channel} about {topic} was given up: {reason}");
            let subject = format!("message:{}", waiting.id);
            let (org, code) = (waiting.org_id, "message.given_up");
            book.find(&inner, org, code, Severity::Warning, subject, detail);
            Ok(())
        })
        .await;
    if let Err(error) = written {
        tracing::error!(%error, message.id = %id, "it was not noted how a message ended");
    }
}

/// Gives up what waits in vain, and forgets what ended long ago.
pub(crate) async fn purge(shared: &Arc<Shared>) {
    if !shared.is_leader() {
        return;
    }
    let now = shared.environment.now();
    match outbox::expired(&shared.store, now, GIVEN_UP_AT_ONCE).await {
        Ok(expired) => {
            for message in expired {
                give_up(shared, message, "it was not taken in time").await;
            }
        }
        Err(error) => tracing::error!(%error, "the outbox could not be read"),
    }
    let purged = shared
        .note(async move |tx: &mut Tx<'_>, _book: &mut Book| {
            outbox::purge(tx, now.minus(KEPT)).await
        })
        .await;
    if let Err(error) = purged {
        tracing::error!(%error, "old messages were not forgotten");
    }
}
