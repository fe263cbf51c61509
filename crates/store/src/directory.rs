//! What the gateway knows by heart: organizations, accounts, webhooks, strategies, limits, halts.

pub(crate) mod accounts;
pub(crate) mod edits;
pub(crate) mod halts;
pub(crate) mod past_days;
pub(crate) mod policies;
pub(crate) mod rolls;

pub use accounts::{
    LockedAccount, account, account_days, accounts, fills_cursor, insert_account, lock_accounts,
    orders_minute_of, set_account_days, set_fills_cursor, set_orders_minute,
};
pub use edits::{
    account_settings, delete_strategy, delete_webhook, followers, limits_of_in, set_signing_secret,
    set_strategies_version, strategies_of, strategy_in, update_account, update_strategy,
    update_webhook, webhook_in,
};
pub use halts::{find_halt, halts, halts_during, halts_in, insert_halt, insert_halt_once, resume};
pub use past_days::{forget_past_days, past_days, put_past_days};
pub use policies::{
    PolicyVersion, lock_limits, policy, policy_changes, policy_version, policy_version_at,
    policy_versions, put_policy,
};
pub use rolls::{put_roll, remove_roll, rolls, rolls_of};

use crate::Error;
use crate::dialect::{Lock, Store, Tx};
use crate::value::{Row, Value, source_of};
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::Limit;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::signal::Percentage;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;

const ORGS: &str = "-- directory::organizations\n\
    SELECT id, name, limits_version, strategies_version, created_at FROM organizations \
    ORDER BY id";
const INSERT_ORG: &str = "-- directory::insert_organization\n\
    INSERT INTO organizations (id, name, limits_version, strategies_version, overrides_until, \
    created_at) VALUES ($1, $2, 0, 0, 0, $3)";
const RENAME_ORG: &str = "-- directory::rename_organization\n\
    UPDATE organizations SET name = $2 WHERE id = $1";
const LOCK_ORG: &str = "-- directory::lock_organizations\n\
    SELECT limits_version, strategies_version, overrides_until FROM organizations WHERE id = $1";
const SET_LIMITS_VERSION: &str = "-- directory::set_limits_version\n\
    UPDATE organizations SET limits_version = $2 WHERE id = $1";
macro_rules! webhook_columns {
    () => {
        "id, org_id, name, token, secret_hash, signing_secret, forms, allow, client_certificate, \
         dry_run, rate_per_s, max_age_s, mapping, state, created_at, symbols"
    };
}
const WEBHOOKS_AFTER: &str = concat!(
    "-- directory::webhooks_after\nSELECT ",
    webhook_columns!(),
    " FROM webhooks WHERE id > $1 ORDER BY id LIMIT $2"
);
const WEBHOOK: &str =
    concat!("-- directory::webhook\nSELECT ", webhook_columns!(), " FROM webhooks WHERE id = $1");
const INSERT_WEBHOOK: &str = "-- directory::insert_webhook\n\
    INSERT INTO webhooks (id, org_id, name, token, secret_hash, signing_secret, forms, allow, \
    client_certificate, dry_run, rate_per_s, max_age_s, mapping, state, created_at, symbols) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
macro_rules! strategy_columns {
    () => {
        "id, org_id, name, webhook_id, account_id, symbol, symbol_source, quantity, sizing, \
         on_opposite, pyramiding, short_selling, send_within_s, schedule, state, created_at, \
         followers, require_leader, take_profit, stop_loss, on_naked, expected_every_s, \
         percent, fee_per_unit, stop_ticks_min, entry_ttl_s, blind_market, blind_quantity_max, \
         adopt, key_id, auto_roll, quantity_fallback, quantity_clamp"
    };
}
use strategy_columns;
const STRATEGIES_AFTER: &str = concat!(
    "-- directory::strategies_after\nSELECT ",
    strategy_columns!(),
    " FROM strategies WHERE id > $1 ORDER BY id LIMIT $2"
);
const STRATEGY: &str = concat!(
    "-- directory::strategy\nSELECT ",
    strategy_columns!(),
    " FROM strategies WHERE id = $1"
);
const INSERT_STRATEGY: &str = "-- directory::insert_strategy\n\
    INSERT INTO strategies (id, org_id, name, webhook_id, account_id, symbol, symbol_source, \
    quantity, sizing, on_opposite, pyramiding, short_selling, send_within_s, schedule, state, \
    created_at, followers, require_leader, take_profit, stop_loss, on_naked, \
    expected_every_s, percent, fee_per_unit, stop_ticks_min, entry_ttl_s, blind_market, \
    blind_quantity_max, adopt, key_id, auto_roll, quantity_fallback, quantity_clamp) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
    $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)";
pub(crate) const LIMITS: &str = "-- directory::limits\n\
    SELECT org_id, scope, name, value, version, updated_at FROM limits \
    ORDER BY org_id, scope, name";
pub(crate) const LIMITS_OF: &str = "-- directory::limits_of\n\
    SELECT org_id, scope, name, value, version, updated_at FROM limits WHERE org_id = $1 \
    ORDER BY scope, name";
const PUT_LIMIT: &str = "-- directory::put_limit\n\
    INSERT INTO limits (org_id, scope, name, value, version, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, scope, name) DO UPDATE SET \
    value = excluded.value, version = excluded.version, updated_at = excluded.updated_at";

pub(crate) const STATEMENTS: &[&str] = &[
    ORGS,
    INSERT_ORG,
    RENAME_ORG,
    LOCK_ORG,
    SET_LIMITS_VERSION,
    WEBHOOKS_AFTER,
    WEBHOOK,
    INSERT_WEBHOOK,
    STRATEGIES_AFTER,
    STRATEGY,
    INSERT_STRATEGY,
    LIMITS,
    LIMITS_OF,
    PUT_LIMIT,
];

/// Rows that are read at one time of what there may be a million of.
pub const PAGE: u32 = 4_096;
/// Before every identifier that was ever made.
const FIRST: [u8; 16] = [0; 16];

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its identifier.
    pub id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// The version of its limits: one more with each change of one.
    pub limits_version: i64,
    /// The version of its strategies, likewise.
    pub strategies_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The versions of what an organization's orders are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of its limits.
    pub limits: i64,
    /// Of its strategies.
    pub strategies: i64,
    /// Until when there may be overrides of limits that an order can use.
    pub overrides_until: Timestamp,
}

/// A webhook as it is stored: its settings as JSON words, its credentials hashed or sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its identifier.
    pub id: Id<id::Webhook>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// The token in its path.
    pub token: String,
    /// The hash of its secret.
    pub secret_hash: [u8; 32],
    /// Its Standard Webhooks secret, sealed, if it takes signatures.
    pub signing_secret: Option<Vec<u8>>,
    /// The forms of credential it takes, separated by commas.
    pub forms: String,
    /// The addresses it takes, separated by commas.
    pub allow: String,
    /// The name that the sender's client certificate must show, if it must show one.
    pub client_certificate: Option<String>,
    /// The symbols that entries may name, separated by commas; empty means any.
    pub symbols: String,
    /// Signals are judged, never traded.
    pub dry_run: bool,
    /// Risk-increasing signals a second.
    pub rate_per_s: u32,
    /// Age in seconds up to which an entry is fresh.
    pub max_age_s: u32,
    /// The field mapping, as JSON.
    pub mapping: Option<String>,
    /// Whether it takes signals.
    pub state: Activity,
    /// When it was made.
    pub created_at: Timestamp,
}

/// All organizations.
pub async fn organizations(store: &Store) -> Result<Vec<Organization>, Error> {
    let rows = store.query(ORGS, Vec::new()).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Organization {
                id: row.id()?,
                name: row.text()?,
                limits_version: row.int()?,
                strategies_version: row.int()?,
                created_at: row.time()?,
            })
        })
        .collect()
}

/// Makes an organization; [`crate::Kind::Exists`] if the name is taken.
pub async fn insert_organization(
    tx: &mut Tx<'_>,
    id: Id<id::Org>,
    name: &str,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute_one(INSERT_ORG, &[id.into(), name.into(), now.into()]).await
}

/// Gives an organization another name; [`crate::Kind::Exists`] if it is taken.
pub async fn rename_organization(
    tx: &mut Tx<'_>,
    id: Id<id::Org>,
    name: &str,
) -> Result<(), Error> {
    tx.execute_one(RENAME_ORG, &[id.into(), name.into()]).await
}

/// Locks organizations, which must be sorted, and says the versions of what they have.
pub async fn lock_organizations(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Org>],
    lock: Lock,
) -> Result<Vec<Versions>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.lock_each(LOCK_ORG, &sets, lock).await?;
    found
        .into_iter()
        .map(|rows| {
            let row = rows.into_iter().next();
            let mut row = row.ok_or_else(|| Error::broken("an organization vanished"))?;
            Ok(Versions {
                limits: row.int()?,
                strategies: row.int()?,
                overrides_until: row.time()?,
            })
        })
        .collect()
}

/// All webhooks.
pub async fn webhooks(store: &Store) -> Result<Vec<WebhookRow>, Error> {
    let (mut all, mut after) = (Vec::new(), Id::from_bytes(FIRST));
    loop {
        let page = webhooks_after(store, after).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.id;
        all.extend(page);
    }
}

/// The next webhooks after this identifier, at most [`PAGE`]; none after the last one.
pub async fn webhooks_after(
    store: &Store,
    after: Id<id::Webhook>,
) -> Result<Vec<WebhookRow>, Error> {
    let rows = store.query(WEBHOOKS_AFTER, vec![after.into(), PAGE.into()]).await?;
    rows.into_iter().map(decode_webhook).collect()
}

/// The webhook with this identifier.
pub async fn webhook(store: &Store, id: Id<id::Webhook>) -> Result<Option<WebhookRow>, Error> {
    store.query_one(WEBHOOK, vec![id.into()]).await?.map(decode_webhook).transpose()
}

fn decode_webhook(mut row: Row) -> Result<WebhookRow, Error> {
    Ok(WebhookRow {
        id: row.id()?,
        org_id: row.id()?,
        name: row.text()?,
        token: row.text()?,
        secret_hash: row.hash()?,
        signing_secret: row.bytes_or_null()?,
        forms: row.text()?,
        allow: row.text()?,
        client_certificate: row.text_or_null()?,
        dry_run: row.int()? != 0,
        rate_per_s: row.small()?,
        max_age_s: row.small()?,
        mapping: row.text_or_null()?,
        state: row.word()?,
        created_at: row.time()?,
        symbols: row.text()?,
    })
}

/// Makes a webhook.
pub async fn insert_webhook(tx: &mut Tx<'_>, webhook: WebhookRow) -> Result<(), Error> {
    if let Some(sealed) = &webhook.signing_secret {
        crate::keys::hold(tx, sealed).await?;
    }
    tx.execute_one(
        INSERT_WEBHOOK,
        &[
            webhook.id.into(),
            webhook.org_id.into(),
            webhook.name.into(),
            webhook.token.into(),
            webhook.secret_hash.into(),
            webhook.signing_secret.into(),
            webhook.forms.into(),
            webhook.allow.into(),
            webhook.client_certificate.into(),
            Value::Int(i64::from(webhook.dry_run)),
            webhook.rate_per_s.into(),
            webhook.max_age_s.into(),
            webhook.mapping.into(),
            Value::Word(webhook.state.text()),
            webhook.created_at.into(),
            webhook.symbols.into(),
        ],
    )
    .await
}

/// All strategies.
pub async fn strategies(store: &Store) -> Result<Vec<Strategy>, Error> {
    let (mut all, mut after) = (Vec::new(), Id::from_bytes(FIRST));
    loop {
        let page = strategies_after(store, after).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.id;
        all.extend(page);
    }
}

/// The next strategies after this identifier, at most [`PAGE`]; none after the last one.
pub async fn strategies_after(
    store: &Store,
    after: Id<id::Strategy>,
) -> Result<Vec<Strategy>, Error> {
    let rows = store.query(STRATEGIES_AFTER, vec![after.into(), PAGE.into()]).await?;
    rows.into_iter().map(decode_strategy).collect()
}

/// The strategy with this identifier.
pub async fn strategy(store: &Store, id: Id<id::Strategy>) -> Result<Option<Strategy>, Error> {
    store.query_one(STRATEGY, vec![id.into()]).await?.map(decode_strategy).transpose()
}

fn decode_strategy(mut row: Row) -> Result<Strategy, Error> {
    let (id, org_id, name, webhook) = (row.id()?, row.id()?, row.text()?, row.id_or_null()?);
    Ok(Strategy {
        id,
        org_id,
        name,
        account_id: row.id()?,
        symbol: row.word()?,
        symbol_source: row.word()?,
        quantity: Quantity::from_units(row.int()?),
        sizing: row.word()?,
        on_opposite: row.word()?,
        pyramiding: row.word()?,
        short_selling: row.word()?,
        send_within_s: row.small()?,
        schedule: row.word_or_null()?,
        state: row.word()?,
        created_at: row.time()?,
        followers: followers_of(&row.text()?)?,
        require_leader: row.int()? != 0,
        take_profit: row.word_or_null()?,
        stop_loss: row.word_or_null()?,
        on_naked: row.word()?,
        expected_every_s: row.int_or_null()?.map(seconds).transpose()?,
        percent: row.int_or_null()?.map(Quantity::from_units).and_then(Percentage::new),
        fee_per_unit: Money::from_units(row.int()?),
        stop_ticks_min: row.small()?,
        entry_ttl_s: row.int_or_null()?.map(seconds).transpose()?,
        blind_market: row.int()? != 0,
        blind_quantity_max: Quantity::from_units(row.int()?),
        adopt: row.int()? != 0,
        source: source_of(webhook, row.id_or_null()?)?,
        auto_roll: row.int()? != 0,
        quantity_fallback: row.int()? != 0,
        quantity_clamp: row.int()? != 0,
    })
}

/// The identifiers of accounts, separated by commas.
fn followers_of(text: &str) -> Result<Vec<Id<id::Account>>, Error> {
    let of = |text: &str| text.parse().map_err(|_| Error::unreadable("an account that follows"));
    text.split(',').filter(|text| !text.is_empty()).map(of).collect()
}

fn followers_text(strategy: &Strategy) -> String {
    let all: Vec<_> = strategy.followers.iter().map(ToString::to_string).collect();
    all.join(",")
}

fn seconds(stored: i64) -> Result<u32, Error> {
    u32::try_from(stored).map_err(|_| Error::unreadable("the seconds of a strategy"))
}

/// Makes a strategy.
pub async fn insert_strategy(tx: &mut Tx<'_>, strategy: &Strategy) -> Result<(), Error> {
    tx.execute_one(
        INSERT_STRATEGY,
        &[
            strategy.id.into(),
            strategy.org_id.into(),
            strategy.name.as_str().into(),
            strategy.source.webhook().into(),
            strategy.account_id.into(),
            strategy.symbol.as_str().into(),
            Value::Word(strategy.symbol_source.text()),
            strategy.quantity.units().into(),
            Value::Word(strategy.sizing.text()),
            Value::Word(strategy.on_opposite.text()),
            Value::Word(strategy.pyramiding.text()),
            Value::Word(strategy.short_selling.text()),
            strategy.send_within_s.into(),
            strategy.schedule.as_ref().map(ToString::to_string).into(),
            Value::Word(strategy.state.text()),
            strategy.created_at.into(),
            followers_text(strategy).into(),
            Value::Int(i64::from(strategy.require_leader)),
            strategy.take_profit.map(|away| away.to_string()).into(),
            strategy.stop_loss.map(|away| away.to_string()).into(),
            Value::Word(strategy.on_naked.text()),
            strategy.expected_every_s.map(i64::from).into(),
            strategy.percent.map(|percent| percent.number().units()).into(),
            strategy.fee_per_unit.units().into(),
            strategy.stop_ticks_min.into(),
            strategy.entry_ttl_s.map(i64::from).into(),
            Value::Int(i64::from(strategy.blind_market)),
            strategy.blind_quantity_max.units().into(),
            Value::Int(i64::from(strategy.adopt)),
            strategy.source.key().into(),
            Value::Int(i64::from(strategy.auto_roll)),
            Value::Int(i64::from(strategy.quantity_fallback)),
            Value::Int(i64::from(strategy.quantity_clamp)),
        ],
    )
    .await
}

/// All limits of all organizations.
pub async fn limits(store: &Store) -> Result<Vec<Limit>, Error> {
    store.query(LIMITS, Vec::new()).await?.into_iter().map(decode_limit).collect()
}

/// The limits of an organization.
pub async fn limits_of(store: &Store, org: Id<id::Org>) -> Result<Vec<Limit>, Error> {
    store.query(LIMITS_OF, vec![org.into()]).await?.into_iter().map(decode_limit).collect()
}

/// All of them inside a transaction, whose organizations must be locked.
pub async fn limits_in(tx: &mut Tx<'_>) -> Result<Vec<Limit>, Error> {
    tx.query(LIMITS, &[]).await?.into_iter().map(decode_limit).collect()
}

async fn set_limits_version(tx: &mut Tx<'_>, org: Id<id::Org>, version: i64) -> Result<(), Error> {
    tx.execute_one(SET_LIMITS_VERSION, &[org.into(), version.into()]).await
}

pub(crate) fn decode_limit(mut row: Row) -> Result<Limit, Error> {
    Ok(Limit {
        org_id: row.id()?,
        scope: row.word()?,
        name: row.word()?,
        value: row.int()?,
        version: row.int()?,
        updated_at: row.time()?,
    })
}
