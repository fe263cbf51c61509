//! Messages to people: what is to be sent, and how it went.
//!
//! A message is written in the transaction of what it tells about. A try is claimed before it is
//! made, so that no two nodes make it and a crash does not make it again at once; what became of it
//! is written after. A crash in between leaves a message that is tried again when its wait is over:
//! it may arrive twice, under one name.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::{Channel, MessageState, Topic};
use tradewarden_domain::time::Timestamp;

const INSERT: &str = "-- outbox::insert\n\
    INSERT INTO outbox (id, org_id, user_id, channel, topic, destination, content, state, \
    attempts, next_at, expires_at, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, $8, $9, $8)";
const DUE_ALERTS: &str = "-- outbox::due\n\
    SELECT id, org_id, user_id, channel, topic, content, attempts, expires_at FROM outbox \
    WHERE state = 'waiting' AND channel = $1 AND next_at <= $2 \
    AND topic IN ('alert', 'alert_test') ORDER BY next_at, id LIMIT $3";
const DUE_OTHERS: &str = "-- outbox::due, others\n\
    SELECT id, org_id, user_id, channel, topic, content, attempts, expires_at FROM outbox \
    WHERE state = 'waiting' AND channel = $1 AND next_at <= $2 \
    AND topic NOT IN ('alert', 'alert_test') ORDER BY next_at, id LIMIT $3";
const EXPIRED: &str = "-- outbox::expired\n\
    SELECT id, org_id, user_id, channel, topic, content, attempts, expires_at FROM outbox \
    WHERE state = 'waiting' AND expires_at <= $1 ORDER BY id LIMIT $2";
const CLAIM: &str = "-- outbox::claim\n\
    UPDATE outbox SET attempts = attempts + 1, next_at = $3 \
    WHERE id = $1 AND state = 'waiting' AND attempts = $2";
const POSTPONE: &str = "-- outbox::postpone\n\
    UPDATE outbox SET next_at = $2 WHERE id = $1 AND state = 'waiting'";
const END: &str = "-- outbox::end\n\
    UPDATE outbox SET state = $2, content = $3 WHERE id = $1 AND state = 'waiting'";
const ALERTS_WAITING: &str = "-- outbox::waiting\n\
    SELECT COUNT(*) FROM outbox WHERE state = 'waiting' AND topic IN ('alert', 'alert_test')";
const OTHERS_WAITING: &str = "-- outbox::waiting, others\n\
    SELECT COUNT(*) FROM outbox WHERE state = 'waiting' AND topic NOT IN ('alert', 'alert_test')";
const TO_USER: &str = "-- outbox::to_user\n\
    SELECT topic, created_at FROM outbox WHERE user_id = $1 AND created_at > $2 ORDER BY id";
const OF_TOPIC: &str = "-- outbox::of_topic\n\
    SELECT org_id, destination FROM outbox WHERE topic = $1 AND created_at > $2 ORDER BY id";
const PURGE: &str = "-- outbox::purge\n\
    DELETE FROM outbox WHERE state <> 'waiting' AND created_at < $1";
const INSERT_REQUEST: &str =
    "-- outbox::insert_request\nINSERT INTO reset_requests (id, content) VALUES ($1, $2)";
const REQUESTS: &str = "-- outbox::requests\n\
    SELECT id, content FROM reset_requests ORDER BY id LIMIT $1";
const COUNT_REQUESTS: &str = "-- outbox::count_requests\nSELECT COUNT(*) FROM reset_requests";
const TAKE_REQUEST: &str = "-- outbox::take_request\nDELETE FROM reset_requests WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    DUE_ALERTS,
    DUE_OTHERS,
    EXPIRED,
    CLAIM,
    POSTPONE,
    END,
    ALERTS_WAITING,
    OTHERS_WAITING,
    TO_USER,
    OF_TOPIC,
    PURGE,
    INSERT_REQUEST,
    REQUESTS,
    COUNT_REQUESTS,
    TAKE_REQUEST,
];

/// Which messages: alerts are apart from all others, so that nothing holds them up (S24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Those about alerts.
    Alerts,
    /// All others.
    Others,
}

impl Kind {
    /// The kind of a message about this.
    pub const fn of(topic: Topic) -> Self {
        if topic.is_alert() { Self::Alerts } else { Self::Others }
    }
}

/// A message that is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its identifier, and its name at every try.
    pub id: Id<id::Message>,
    /// The organization in whose log it stands.
    pub org_id: Id<id::Org>,
    /// To whom, if it is to a person.
    pub user_id: Option<Id<id::User>>,
    /// On which way.
    pub channel: Channel,
    /// About what.
    pub topic: Topic,
    /// A keyed hash of the address, where messages to one are counted.
    pub destination: Option<[u8; 32]>,
    /// Address and text, sealed.
    pub content: Vec<u8>,
    /// When it is worth nothing any more.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A message that waits.
#[derive(Clone, PartialEq, Eq)]
pub struct WaitingMessage {
    /// See [`NewMessage::id`].
    pub id: Id<id::Message>,
    /// See [`NewMessage::org_id`].
    pub org_id: Id<id::Org>,
    /// See [`NewMessage::user_id`].
    pub user_id: Option<Id<id::User>>,
    /// See [`NewMessage::channel`].
    pub channel: Channel,
    /// See [`NewMessage::topic`].
    pub topic: Topic,
    /// See [`NewMessage::content`].
    pub content: Vec<u8>,
    /// How often it was tried.
    pub attempts: u32,
    /// See [`NewMessage::expires_at`].
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMessage").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WaitingMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitingMessage").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Puts a message into the outbox.
pub async fn insert(tx: &mut Tx<'_>, message: &NewMessage) -> Result<(), Error> {
    crate::keys::hold(tx, &message.content).await?;
    let parameters = [
        message.id.into(),
        message.org_id.into(),
        message.user_id.into(),
        Value::Word(message.channel.text()),
        Value::Word(message.topic.text()),
        message.destination.into(),
        message.content.clone().into(),
        message.created_at.into(),
        message.expires_at.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// The messages of a kind and channel whose next try is due, those that wait longest first.
pub async fn due(
    store: &Store,
    (channel, kind): (Channel, Kind),
    now: Timestamp,
    limit: u32,
) -> Result<Vec<WaitingMessage>, Error> {
    let parameters = vec![Value::Word(channel.text()), now.into(), limit.into()];
    let due = match kind {
        Kind::Alerts => DUE_ALERTS,
        Kind::Others => DUE_OTHERS,
    };
    store.query(due, parameters).await?.into_iter().map(waiting_message).collect()
}

/// The messages of any channel that wait although they are worth nothing any more.
pub async fn expired(
    store: &Store,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<WaitingMessage>, Error> {
    let rows = store.query(EXPIRED, vec![now.into(), limit.into()]).await?;
    rows.into_iter().map(waiting_message).collect()
}

/// Claims the next try; answers whether nobody else did. Unless it is heard of, the one after it is
/// due at `next_at`.
pub async fn claim(
    tx: &mut Tx<'_>,
    id: Id<id::Message>,
    attempts: u32,
    next_at: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(CLAIM, &[id.into(), attempts.into(), next_at.into()]).await? == 1)
}

/// Sets when a message is tried again.
pub async fn postpone(
    tx: &mut Tx<'_>,
    id: Id<id::Message>,
    next_at: Timestamp,
) -> Result<(), Error> {
    tx.execute(POSTPONE, &[id.into(), next_at.into()]).await.map(|_| ())
}

/// Ends a message, and forgets what it said; answers whether it waited.
pub async fn end(tx: &mut Tx<'_>, id: Id<id::Message>, state: MessageState) -> Result<bool, Error> {
    let parameters = [id.into(), Value::Word(state.text()), Vec::new().into()];
    Ok(tx.execute(END, &parameters).await? == 1)
}

/// How many messages of a kind wait.
pub async fn waiting(tx: &mut Tx<'_>, kind: Kind) -> Result<u64, Error> {
    let waiting = match kind {
        Kind::Alerts => ALERTS_WAITING,
        Kind::Others => OTHERS_WAITING,
    };
    count(tx, waiting).await
}

/// What was made for a person since an instant, sent or not, oldest first.
pub async fn to_user(
    tx: &mut Tx<'_>,
    user: Id<id::User>,
    since: Timestamp,
) -> Result<Vec<(Topic, Timestamp)>, Error> {
    let rows = tx.query(TO_USER, &[user.into(), since.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.word()?, row.time()?))).collect()
}

/// Organization and destination of what was made about a topic since an instant.
pub async fn of_topic(
    tx: &mut Tx<'_>,
    topic: Topic,
    since: Timestamp,
) -> Result<Vec<(Id<id::Org>, Option<Vec<u8>>)>, Error> {
    let rows = tx.query(OF_TOPIC, &[Value::Word(topic.text()), since.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.bytes_or_null()?))).collect()
}

/// Forgets messages that ended and were made before `horizon`.
pub async fn purge(tx: &mut Tx<'_>, horizon: Timestamp) -> Result<(), Error> {
    tx.execute(PURGE, &[horizon.into()]).await.map(|_| ())
}

/// Notes that somebody asked for a link, as sealed text.
pub async fn insert_request(
    tx: &mut Tx<'_>,
    id: Id<id::Message>,
    content: Vec<u8>,
) -> Result<(), Error> {
    crate::keys::hold(tx, &content).await?;
    tx.execute_one(INSERT_REQUEST, &[id.into(), content.into()]).await
}

/// The oldest such notes.
pub async fn requests(store: &Store, limit: u32) -> Result<Vec<(Id<id::Message>, Vec<u8>)>, Error> {
    let rows = store.query(REQUESTS, vec![limit.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.bytes()?))).collect()
}

/// How many such notes there are.
pub async fn count_requests(tx: &mut Tx<'_>) -> Result<u64, Error> {
    count(tx, COUNT_REQUESTS).await
}

/// Takes such a note away; answers whether it was there.
pub async fn take_request(tx: &mut Tx<'_>, id: Id<id::Message>) -> Result<bool, Error> {
    Ok(tx.execute(TAKE_REQUEST, &[id.into()]).await? == 1)
}

async fn count(tx: &mut Tx<'_>, statement: &'static str) -> Result<u64, Error> {
    let rows = tx.query(statement, &[]).await?;
    let mut row = rows.into_iter().next().ok_or_else(|| Error::broken("a count without a row"))?;
    u64::try_from(row.int()?).map_err(|_| Error::broken("a count below zero"))
}

fn waiting_message(mut row: Row) -> Result<WaitingMessage, Error> {
    Ok(WaitingMessage {
        id: row.id()?,
        org_id: row.id()?,
        user_id: row.id_or_null()?,
        channel: row.word()?,
        topic: row.word()?,
        content: row.bytes()?,
        attempts: row.small()?,
        expires_at: row.time()?,
    })
}
