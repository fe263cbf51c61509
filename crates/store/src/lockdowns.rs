//! Lockdowns: the step each is at, what people said, and what its steps did.

use crate::Error;
use crate::dialect::{Store, Tx};
use crate::value::{Row, Value};
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_domain::strategy::StrategyState;
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "id, org_id, halt_id, reason, engaged_by, engaged_at, step, step_at, positions, \
         answered_by, answered_at, flatten_halt_id, confirmed_by, confirmed_at, ended_by, ended_at"
    };
}

const INSERT: &str = concat!(
    "-- lockdowns::insert\nINSERT INTO lockdowns (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
);
const UPDATE: &str = "-- lockdowns::update\n\
    UPDATE lockdowns SET step = $2, step_at = $3, positions = $4, answered_by = $5, \
    answered_at = $6, flatten_halt_id = $7, confirmed_by = $8, confirmed_at = $9, ended_by = $10, \
    ended_at = $11 WHERE id = $1 AND ended_at IS NULL";
const IN_FORCE: &str = concat!(
    "-- lockdowns::in_force\nSELECT ",
    columns!(),
    " FROM lockdowns WHERE org_id = $1 AND ended_at IS NULL"
);
const ALL_IN_FORCE: &str = concat!(
    "-- lockdowns::all_in_force\nSELECT ",
    columns!(),
    " FROM lockdowns WHERE ended_at IS NULL ORDER BY id"
);
const NEWEST: &str = concat!(
    "-- lockdowns::newest\nSELECT ",
    columns!(),
    " FROM lockdowns WHERE org_id = $1 ORDER BY id DESC LIMIT 1"
);
const COUNT: &str = "-- lockdowns::count\n\
    INSERT INTO lockdown_steps (lockdown_id, step, began_at, done_at, done, failed, note) \
    VALUES ($1, $2, $3, NULL, $4, $5, NULL) ON CONFLICT (lockdown_id, step) DO UPDATE SET \
    done = lockdown_steps.done + excluded.done, failed = lockdown_steps.failed + excluded.failed";
const FINISH: &str = "-- lockdowns::finish\n\
    UPDATE lockdown_steps SET done_at = $3, note = $4 WHERE lockdown_id = $1 AND step = $2";
const STEPS: &str = "-- lockdowns::steps\n\
    SELECT step, began_at, done_at, done, failed, note FROM lockdown_steps \
    WHERE lockdown_id = $1";
const TO_ROTATE: &str = "-- lockdowns::to_rotate\n\
    SELECT id FROM webhooks WHERE org_id = $1 AND NOT EXISTS (SELECT 1 FROM lockdown_webhooks \
    WHERE lockdown_webhooks.lockdown_id = $2 AND lockdown_webhooks.webhook_id = webhooks.id) \
    ORDER BY id LIMIT $3";
const ROTATED: &str = "-- lockdowns::rotated\n\
    INSERT INTO lockdown_webhooks (lockdown_id, webhook_id, secret_hash) VALUES ($1, $2, $3)";
const UNSEEN: &str = "-- lockdowns::unseen\n\
    SELECT webhooks.id, webhooks.name FROM lockdown_webhooks \
    JOIN webhooks ON webhooks.id = lockdown_webhooks.webhook_id \
    AND webhooks.secret_hash = lockdown_webhooks.secret_hash \
    WHERE lockdown_webhooks.lockdown_id = $1 ORDER BY webhooks.id LIMIT $2";
const ACTIVE_ACCOUNTS: &str = "-- lockdowns::active_accounts\n\
    SELECT id FROM accounts WHERE org_id = $1 AND state = 'active' ORDER BY id LIMIT $2";
const SWITCHED_ON: &str = "-- lockdowns::switched_on\n\
    SELECT id, state FROM strategies WHERE org_id = $1 AND state <> 'off' ORDER BY id LIMIT $2";
const SET_ACCOUNT: &str = "-- lockdowns::set_account\nUPDATE accounts SET state = $2 WHERE id = $1";
const SET_STRATEGY: &str =
    "-- lockdowns::set_strategy\nUPDATE strategies SET state = $2 WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT,
    UPDATE,
    IN_FORCE,
    ALL_IN_FORCE,
    NEWEST,
    COUNT,
    FINISH,
    STEPS,
    TO_ROTATE,
    ROTATED,
    UNSEEN,
    ACTIVE_ACCOUNTS,
    SWITCHED_ON,
    SET_ACCOUNT,
    SET_STRATEGY,
];

/// A lockdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockdown {
    /// Its identifier.
    pub id: Id<id::Lockdown>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// The halt of new risk.
    pub halt_id: Id<id::Halt>,
    /// Why, in words.
    pub reason: String,
    /// Who asked for it.
    pub engaged_by: String,
    /// When.
    pub engaged_at: Timestamp,
    /// The step that is to be done.
    pub step: Step,
    /// Since when.
    pub step_at: Timestamp,
    /// What becomes of open positions, once that is decided.
    pub positions: Option<Positions>,
    /// Who decided it; nobody where the time ran out.
    pub answered_by: Option<String>,
    /// When it was decided.
    pub answered_at: Option<Timestamp>,
    /// The halt that closes positions.
    pub flatten_halt_id: Option<Id<id::Halt>>,
    /// Who confirmed the list of open positions.
    pub confirmed_by: Option<String>,
    /// When.
    pub confirmed_at: Option<Timestamp>,
    /// Who ended it.
    pub ended_by: Option<String>,
    /// When.
    pub ended_at: Option<Timestamp>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDone {
    /// Which.
    pub step: Step,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    pub done_at: Option<Timestamp>,
    /// How much it did, in things of its kind.
    pub done: u64,
    /// How much of it did not succeed.
    pub failed: u64,
    /// What it says of itself.
    pub note: Option<String>,
}

/// Engages a lockdown; an organization has one in force at most.
pub async fn insert(tx: &mut Tx<'_>, lockdown: &Lockdown) -> Result<(), Error> {
    let parameters = [
        lockdown.id.into(),
        lockdown.org_id.into(),
        lockdown.halt_id.into(),
        lockdown.reason.as_str().into(),
        lockdown.engaged_by.as_str().into(),
        lockdown.engaged_at.into(),
        Value::Word(lockdown.step.text()),
        lockdown.step_at.into(),
        lockdown.positions.map(|positions| Value::Word(positions.text())).into(),
        lockdown.answered_by.as_deref().into(),
        lockdown.answered_at.into(),
        lockdown.flatten_halt_id.into(),
        lockdown.confirmed_by.as_deref().into(),
        lockdown.confirmed_at.into(),
        lockdown.ended_by.as_deref().into(),
        lockdown.ended_at.into(),
    ];
    tx.execute_one(INSERT, &parameters).await
}

/// Writes the step and what people said, of a lockdown that is in force.
pub async fn update(tx: &mut Tx<'_>, lockdown: &Lockdown) -> Result<(), Error> {
    let parameters = [
        lockdown.id.into(),
        Value::Word(lockdown.step.text()),
        lockdown.step_at.into(),
        lockdown.positions.map(|positions| Value::Word(positions.text())).into(),
        lockdown.answered_by.as_deref().into(),
        lockdown.answered_at.into(),
        lockdown.flatten_halt_id.into(),
        lockdown.confirmed_by.as_deref().into(),
        lockdown.confirmed_at.into(),
        lockdown.ended_by.as_deref().into(),
        lockdown.ended_at.into(),
    ];
    tx.execute_one(UPDATE, &parameters).await
}

/// The lockdown of an organization that is in force, as this transaction sees it.
pub async fn in_force_in(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<Option<Lockdown>, Error> {
    tx.query(IN_FORCE, &[org.into()]).await?.into_iter().next().map(decode).transpose()
}

/// The lockdown of an organization that is in force.
pub async fn in_force(store: &Store, org: Id<id::Org>) -> Result<Option<Lockdown>, Error> {
    store.query_one(IN_FORCE, vec![org.into()]).await?.map(decode).transpose()
}

/// Every lockdown that is in force.
pub async fn all_in_force(store: &Store) -> Result<Vec<Lockdown>, Error> {
    store.query(ALL_IN_FORCE, Vec::new()).await?.into_iter().map(decode).collect()
}

/// The newest lockdown of an organization, in force or ended.
pub async fn newest(store: &Store, org: Id<id::Org>) -> Result<Option<Lockdown>, Error> {
    store.query_one(NEWEST, vec![org.into()]).await?.map(decode).transpose()
}

/// Adds to what a step has done, which begins with its first count.
pub async fn count(
    tx: &mut Tx<'_>,
    id: Id<id::Lockdown>,
    step: Step,
    began_at: Timestamp,
    (done, failed): (usize, usize),
) -> Result<(), Error> {
    let number = |count| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    let parameters =
        [id.into(), Value::Word(step.text()), began_at.into(), number(done), number(failed)];
    tx.execute_one(COUNT, &parameters).await
}

/// Notes when a step that was counted is over, and what it says of itself.
pub async fn finish(
    tx: &mut Tx<'_>,
    id: Id<id::Lockdown>,
    step: Step,
    now: Timestamp,
    note: &str,
) -> Result<(), Error> {
    let parameters = [id.into(), Value::Word(step.text()), now.into(), note.into()];
    tx.execute_one(FINISH, &parameters).await
}

/// What the steps of a lockdown did, in their order.
pub async fn steps(store: &Store, id: Id<id::Lockdown>) -> Result<Vec<StepDone>, Error> {
    let rows = store.query(STEPS, vec![id.into()]).await?;
    let mut steps = rows.into_iter().map(decode_step).collect::<Result<Vec<_>, Error>>()?;
    steps.sort_by_key(|done| done.step);
    Ok(steps)
}

/// At most `count` webhooks that a lockdown has not given other secrets.
pub async fn to_rotate(
    tx: &mut Tx<'_>,
    lockdown: &Lockdown,
    count: u32,
) -> Result<Vec<Id<id::Webhook>>, Error> {
    let parameters = [lockdown.org_id.into(), lockdown.id.into(), count.into()];
    let rows = tx.query(TO_ROTATE, &parameters).await?;
    rows.into_iter().map(|mut row| row.id()).collect()
}

/// Notes the secret that a lockdown gave a webhook.
pub async fn rotated(
    tx: &mut Tx<'_>,
    id: Id<id::Lockdown>,
    webhook: Id<id::Webhook>,
    secret_hash: [u8; 32],
) -> Result<(), Error> {
    tx.execute_one(ROTATED, &[id.into(), webhook.into(), secret_hash.into()]).await
}

/// At most `count` webhooks that still have the secret which a lockdown gave them, with their names.
pub async fn unseen(
    store: &Store,
    id: Id<id::Lockdown>,
    count: u32,
) -> Result<Vec<(Id<id::Webhook>, String)>, Error> {
    let rows = store.query(UNSEEN, vec![id.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.text()?))).collect()
}

/// At most `count` accounts of an organization that are active.
pub async fn active_accounts(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    count: u32,
) -> Result<Vec<Id<id::Account>>, Error> {
    let rows = tx.query(ACTIVE_ACCOUNTS, &[org.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| row.id()).collect()
}

/// At most `count` strategies of an organization that are not off, with how they stand.
pub async fn switched_on(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    count: u32,
) -> Result<Vec<(Id<id::Strategy>, StrategyState)>, Error> {
    let rows = tx.query(SWITCHED_ON, &[org.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.word()?))).collect()
}

/// Switches an account off.
pub async fn disable_account(tx: &mut Tx<'_>, id: Id<id::Account>) -> Result<(), Error> {
    tx.execute_one(SET_ACCOUNT, &[id.into(), Value::Word(Activity::Disabled.text())]).await
}

/// Switches a strategy off. The version of the organization's strategies is the caller's to raise.
pub async fn switch_off(tx: &mut Tx<'_>, id: Id<id::Strategy>) -> Result<(), Error> {
    tx.execute_one(SET_STRATEGY, &[id.into(), Value::Word(StrategyState::Off.text())]).await
}

fn decode(mut row: Row) -> Result<Lockdown, Error> {
    Ok(Lockdown {
        id: row.id()?,
        org_id: row.id()?,
        halt_id: row.id()?,
        reason: row.text()?,
        engaged_by: row.text()?,
        engaged_at: row.time()?,
        step: row.word()?,
        step_at: row.time()?,
        positions: row.word_or_null()?,
        answered_by: row.text_or_null()?,
        answered_at: row.time_or_null()?,
        flatten_halt_id: row.id_or_null()?,
        confirmed_by: row.text_or_null()?,
        confirmed_at: row.time_or_null()?,
        ended_by: row.text_or_null()?,
        ended_at: row.time_or_null()?,
    })
}

fn decode_step(mut row: Row) -> Result<StepDone, Error> {
    let number = |count| u64::try_from(count).map_err(|_| Error::broken("a count below zero"));
    Ok(StepDone {
        step: row.word()?,
        began_at: row.time()?,
        done_at: row.time_or_null()?,
        done: number(row.int()?)?,
        failed: number(row.int()?)?,
        note: row.text_or_null()?,
    })
}
