//! What the gateway knows by heart: organizations, accounts, webhooks, strategies, limits, halts.

use crate::Error;
use crate::dialect::{Insert, Lock, Store, Tx};
use crate::value::{Row, Value};
use std::collections::BTreeMap;
use tradewarden_domain::account::{Account, Activity};
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Instrument;
use tradewarden_domain::limit::Limit;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::strategy::{Strategy, StrategyState};
use tradewarden_domain::time::Timestamp;

const ORGS: &str = "-- directory::organizations\n\
    SELECT id, name, limits_version, created_at FROM organizations ORDER BY id";
const INSERT_ORG: &str = "-- directory::insert_organization\n\
    INSERT INTO organizations (id, name, limits_version, created_at) VALUES ($1, $2, 0, $3)";
const LOCK_ORG: &str =
    "-- directory::lock_organizations\nSELECT limits_version FROM organizations WHERE id = $1";
const SET_LIMITS_VERSION: &str = "-- directory::set_limits_version\n\
    UPDATE organizations SET limits_version = $2 WHERE id = $1";
const ACCOUNTS: &str = "-- directory::accounts\n\
    SELECT id, org_id, name, broker, broker_account, currency, state, created_at \
    FROM accounts ORDER BY id";
const INSERT_ACCOUNT: &str = "-- directory::insert_account\n\
    INSERT INTO accounts (id, org_id, name, broker, broker_account, currency, state, \
    orders_minute, fills_cursor, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9)";
const SET_ACCOUNT_STATE: &str =
    "-- directory::set_account_state\nUPDATE accounts SET state = $2 WHERE id = $1";
const LOCK_ACCOUNT: &str = "-- directory::lock_accounts\n\
    SELECT state, orders_minute, fills_cursor FROM accounts WHERE id = $1";
const SET_ORDERS_MINUTE: &str =
    "-- directory::set_orders_minute\nUPDATE accounts SET orders_minute = $2 WHERE id = $1";
const SET_FILLS_CURSOR: &str =
    "-- directory::set_fills_cursor\nUPDATE accounts SET fills_cursor = $2 WHERE id = $1";
const FILLS_CURSOR: &str =
    "-- directory::fills_cursor\nSELECT fills_cursor FROM accounts WHERE id = $1";
const INSTRUMENTS: &str = "-- directory::instruments\n\
    SELECT account_id, symbol, tick, lot, quantity_min, point_value, currency \
    FROM instruments ORDER BY account_id, symbol";
const PUT_INSTRUMENT: Insert = Insert {
    into: "-- directory::put_instruments\nINSERT INTO instruments (account_id, symbol, tick, lot, \
           quantity_min, point_value, currency)",
    columns: 7,
    tail: "ON CONFLICT (account_id, symbol) DO UPDATE SET tick = excluded.tick, \
           lot = excluded.lot, quantity_min = excluded.quantity_min, \
           point_value = excluded.point_value, currency = excluded.currency",
};
const WEBHOOKS: &str = "-- directory::webhooks\n\
    SELECT id, org_id, name, token, secret_hash, signing_secret, forms, allow, \
    client_certificate, dry_run, rate_per_s, max_age_s, mapping, state, created_at \
    FROM webhooks ORDER BY id";
const INSERT_WEBHOOK: &str = "-- directory::insert_webhook\n\
    INSERT INTO webhooks (id, org_id, name, token, secret_hash, signing_secret, forms, allow, \
    client_certificate, dry_run, rate_per_s, max_age_s, mapping, state, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const SET_WEBHOOK_STATE: &str =
    "-- directory::set_webhook_state\nUPDATE webhooks SET state = $2 WHERE id = $1";
const STRATEGIES: &str = "-- directory::strategies\n\
    SELECT id, org_id, name, webhook_id, account_id, symbol, symbol_source, quantity, sizing, \
    on_opposite, pyramiding, short_selling, send_within_s, state, created_at \
    FROM strategies ORDER BY id";
const INSERT_STRATEGY: &str = "-- directory::insert_strategy\n\
    INSERT INTO strategies (id, org_id, name, webhook_id, account_id, symbol, symbol_source, \
    quantity, sizing, on_opposite, pyramiding, short_selling, send_within_s, state, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const SET_STRATEGY_STATE: &str =
    "-- directory::set_strategy_state\nUPDATE strategies SET state = $2 WHERE id = $1";
const LIMITS: &str = "-- directory::limits\n\
    SELECT org_id, scope, name, value, version, updated_at FROM limits \
    ORDER BY org_id, scope, name";
const PUT_LIMIT: &str = "-- directory::put_limit\n\
    INSERT INTO limits (org_id, scope, name, value, version, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, scope, name) DO UPDATE SET \
    value = excluded.value, version = excluded.version, updated_at = excluded.updated_at";
const HALTS: &str = "-- directory::halts\n\
    SELECT id, org_id, scope, mode, reason, engaged_by, engaged_at FROM halts \
    WHERE resumed_at IS NULL ORDER BY id";
const INSERT_HALT: &str = "-- directory::insert_halt\n\
    INSERT INTO halts (id, org_id, scope, mode, reason, engaged_by, engaged_at, resumed_by, \
    resumed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL)";
const INSERT_HALT_ONCE: &str = "-- directory::insert_halt_once\n\
    INSERT INTO halts (id, org_id, scope, mode, reason, engaged_by, engaged_at, resumed_by, \
    resumed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL) ON CONFLICT (id) DO NOTHING";
const RESUME: &str = "-- directory::resume\n\
    UPDATE halts SET resumed_by = $2, resumed_at = $3 WHERE id = $1 AND resumed_at IS NULL";

pub(crate) const STATEMENTS: &[&str] = &[
    ORGS,
    INSERT_ORG,
    LOCK_ORG,
    SET_LIMITS_VERSION,
    ACCOUNTS,
    INSERT_ACCOUNT,
    SET_ACCOUNT_STATE,
    LOCK_ACCOUNT,
    SET_ORDERS_MINUTE,
    SET_FILLS_CURSOR,
    FILLS_CURSOR,
    INSTRUMENTS,
    WEBHOOKS,
    INSERT_WEBHOOK,
    SET_WEBHOOK_STATE,
    STRATEGIES,
    INSERT_STRATEGY,
    SET_STRATEGY_STATE,
    LIMITS,
    PUT_LIMIT,
    HALTS,
    INSERT_HALT,
    INSERT_HALT_ONCE,
    RESUME,
];
pub(crate) const INSERTS: &[&Insert] = &[&PUT_INSTRUMENT];

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its identifier.
    pub id: Id<id::Org>,
    /// What people call it.
    pub name: String,
    /// The version of its newest limit.
    pub limits_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
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

/// An account's row as the journal needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedAccount {
    /// Whether it takes orders.
    pub state: Activity,
    /// Its orders of the last minute, as stored.
    pub orders_minute: Vec<u8>,
    /// Up to where its fills were read.
    pub fills_cursor: Option<String>,
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
                created_at: row.time()?,
            })
        })
        .collect()
}

/// Makes an organization.
pub async fn insert_organization(
    tx: &mut Tx<'_>,
    id: Id<id::Org>,
    name: &str,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute_one(INSERT_ORG, &[id.into(), name.into(), now.into()]).await
}

/// Locks organizations, which must be sorted, and says the version of their limits.
pub async fn lock_organizations(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Org>],
    lock: Lock,
) -> Result<Vec<i64>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.lock_each(LOCK_ORG, &sets, lock).await?;
    found
        .into_iter()
        .map(|rows| {
            let row = rows.into_iter().next();
            row.ok_or_else(|| Error::broken("an organization vanished"))?.int()
        })
        .collect()
}

/// All accounts with their instruments.
pub async fn accounts(store: &Store) -> Result<Vec<Account>, Error> {
    let mut accounts = BTreeMap::new();
    for mut row in store.query(ACCOUNTS, Vec::new()).await? {
        let account = Account {
            id: row.id()?,
            org_id: row.id()?,
            name: row.text()?,
            broker: row.text()?,
            broker_account: row.text()?,
            currency: row.text()?,
            state: row.word()?,
            created_at: row.time()?,
            instruments: BTreeMap::new(),
        };
        accounts.insert(account.id, account);
    }
    for mut row in store.query(INSTRUMENTS, Vec::new()).await? {
        let account_id: Id<id::Account> = row.id()?;
        let instrument = Instrument {
            symbol: row.word()?,
            tick: Price::from_units(row.int()?),
            lot: Quantity::from_units(row.int()?),
            quantity_min: Quantity::from_units(row.int()?),
            point_value: Quantity::from_units(row.int()?),
            currency: row.text()?,
        };
        if let Some(account) = accounts.get_mut(&account_id) {
            account.instruments.insert(instrument.symbol.clone(), instrument);
        }
    }
    Ok(accounts.into_values().collect())
}

/// Makes an account.
pub async fn insert_account(tx: &mut Tx<'_>, account: &Account) -> Result<(), Error> {
    tx.execute_one(
        INSERT_ACCOUNT,
        &[
            account.id.into(),
            account.org_id.into(),
            account.name.as_str().into(),
            account.broker.as_str().into(),
            account.broker_account.as_str().into(),
            account.currency.as_str().into(),
            Value::Word(account.state.text()),
            Value::Bytes(Vec::new()),
            account.created_at.into(),
        ],
    )
    .await?;
    let mut values = Vec::new();
    for instrument in account.instruments.values() {
        values.extend([
            account.id.into(),
            instrument.symbol.as_str().into(),
            instrument.tick.units().into(),
            instrument.lot.units().into(),
            instrument.quantity_min.units().into(),
            instrument.point_value.units().into(),
            instrument.currency.as_str().into(),
        ]);
    }
    tx.insert(&PUT_INSTRUMENT, &values).await.map(|_| ())
}

/// Switches an account on or off.
pub async fn set_account_state(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
    state: Activity,
) -> Result<(), Error> {
    tx.execute_one(SET_ACCOUNT_STATE, &[id.into(), Value::Word(state.text())]).await
}

/// Locks accounts, which must be sorted, and reads what the journal needs of them.
pub async fn lock_accounts(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Account>],
) -> Result<Vec<LockedAccount>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.lock_each(LOCK_ACCOUNT, &sets, Lock::Update).await?;
    found
        .into_iter()
        .map(|rows| {
            let row = rows.into_iter().next();
            let mut row = row.ok_or_else(|| Error::broken("an account vanished"))?;
            Ok(LockedAccount {
                state: row.word()?,
                orders_minute: row.bytes()?,
                fills_cursor: row.text_or_null()?,
            })
        })
        .collect()
}

/// Stores accounts' orders of the last minute.
pub async fn set_orders_minute(
    tx: &mut Tx<'_>,
    counters: Vec<(Id<id::Account>, Vec<u8>)>,
) -> Result<(), Error> {
    let sets: Vec<_> =
        counters.into_iter().map(|(id, bytes)| vec![id.into(), bytes.into()]).collect();
    tx.execute_each(SET_ORDERS_MINUTE, &sets).await.map(|_| ())
}

/// Stores up to where an account's fills were read.
pub async fn set_fills_cursor(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
    cursor: &str,
) -> Result<(), Error> {
    tx.execute_one(SET_FILLS_CURSOR, &[id.into(), cursor.into()]).await
}

/// Up to where an account's fills were read.
pub async fn fills_cursor(store: &Store, id: Id<id::Account>) -> Result<Option<String>, Error> {
    let row = store.query_one(FILLS_CURSOR, vec![id.into()]).await?;
    row.ok_or_else(|| Error::broken("an account vanished"))?.text_or_null()
}

/// All webhooks.
pub async fn webhooks(store: &Store) -> Result<Vec<WebhookRow>, Error> {
    let rows = store.query(WEBHOOKS, Vec::new()).await?;
    rows.into_iter()
        .map(|mut row| {
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
            })
        })
        .collect()
}

/// Makes a webhook.
pub async fn insert_webhook(tx: &mut Tx<'_>, webhook: WebhookRow) -> Result<(), Error> {
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
        ],
    )
    .await
}

/// Switches a webhook on or off.
pub async fn set_webhook_state(
    tx: &mut Tx<'_>,
    id: Id<id::Webhook>,
    state: Activity,
) -> Result<(), Error> {
    tx.execute_one(SET_WEBHOOK_STATE, &[id.into(), Value::Word(state.text())]).await
}

/// All strategies.
pub async fn strategies(store: &Store) -> Result<Vec<Strategy>, Error> {
    let rows = store.query(STRATEGIES, Vec::new()).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Strategy {
                id: row.id()?,
                org_id: row.id()?,
                name: row.text()?,
                webhook_id: row.id()?,
                account_id: row.id()?,
                symbol: row.word()?,
                symbol_source: row.word()?,
                quantity: Quantity::from_units(row.int()?),
                sizing: row.word()?,
                on_opposite: row.word()?,
                pyramiding: row.word()?,
                short_selling: row.word()?,
                send_within_s: row.small()?,
                state: row.word()?,
                created_at: row.time()?,
            })
        })
        .collect()
}

/// Makes a strategy.
pub async fn insert_strategy(tx: &mut Tx<'_>, strategy: &Strategy) -> Result<(), Error> {
    tx.execute_one(
        INSERT_STRATEGY,
        &[
            strategy.id.into(),
            strategy.org_id.into(),
            strategy.name.as_str().into(),
            strategy.webhook_id.into(),
            strategy.account_id.into(),
            strategy.symbol.as_str().into(),
            Value::Word(strategy.symbol_source.text()),
            strategy.quantity.units().into(),
            Value::Word(strategy.sizing.text()),
            Value::Word(strategy.on_opposite.text()),
            Value::Word(strategy.pyramiding.text()),
            Value::Word(strategy.short_selling.text()),
            strategy.send_within_s.into(),
            Value::Word(strategy.state.text()),
            strategy.created_at.into(),
        ],
    )
    .await
}

/// Switches a strategy.
pub async fn set_strategy_state(
    tx: &mut Tx<'_>,
    id: Id<id::Strategy>,
    state: StrategyState,
) -> Result<(), Error> {
    tx.execute_one(SET_STRATEGY_STATE, &[id.into(), Value::Word(state.text())]).await
}

/// All limits of all organizations.
pub async fn limits(store: &Store) -> Result<Vec<Limit>, Error> {
    store.query(LIMITS, Vec::new()).await?.into_iter().map(decode_limit).collect()
}

/// The same inside a transaction, whose organizations must be locked.
pub async fn limits_in(tx: &mut Tx<'_>) -> Result<Vec<Limit>, Error> {
    tx.query(LIMITS, &[]).await?.into_iter().map(decode_limit).collect()
}

/// Sets a limit and the version of its organization's limits.
pub async fn put_limit(tx: &mut Tx<'_>, limit: &Limit) -> Result<(), Error> {
    tx.execute_one(SET_LIMITS_VERSION, &[limit.org_id.into(), limit.version.into()]).await?;
    tx.execute_one(
        PUT_LIMIT,
        &[
            limit.org_id.into(),
            limit.scope.to_string().into(),
            Value::Word(limit.name.text()),
            limit.value.into(),
            limit.version.into(),
            limit.updated_at.into(),
        ],
    )
    .await
}

/// The halts that are engaged.
pub async fn halts(store: &Store) -> Result<Vec<Halt>, Error> {
    store.query(HALTS, Vec::new()).await?.into_iter().map(decode_halt).collect()
}

/// The same inside a transaction.
pub async fn halts_in(tx: &mut Tx<'_>) -> Result<Vec<Halt>, Error> {
    tx.query(HALTS, &[]).await?.into_iter().map(decode_halt).collect()
}

/// Engages a halt.
pub async fn insert_halt(tx: &mut Tx<'_>, halt: &Halt) -> Result<(), Error> {
    tx.execute_one(INSERT_HALT, &halt_values(halt)).await
}

/// Engages a halt unless there is or was one of its identifier; says whether it did.
pub async fn insert_halt_once(tx: &mut Tx<'_>, halt: &Halt) -> Result<bool, Error> {
    Ok(tx.execute(INSERT_HALT_ONCE, &halt_values(halt)).await? == 1)
}

fn halt_values(halt: &Halt) -> [Value; 7] {
    [
        halt.id.into(),
        halt.org_id.into(),
        halt.scope.to_string().into(),
        Value::Word(halt.mode.text()),
        halt.reason.as_str().into(),
        halt.engaged_by.as_str().into(),
        halt.engaged_at.into(),
    ]
}

/// Ends a halt; `false` if it was not engaged.
pub async fn resume(
    tx: &mut Tx<'_>,
    id: Id<id::Halt>,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(tx.execute(RESUME, &[id.into(), by.into(), now.into()]).await? == 1)
}

fn decode_limit(mut row: Row) -> Result<Limit, Error> {
    Ok(Limit {
        org_id: row.id()?,
        scope: row.word()?,
        name: row.word()?,
        value: row.int()?,
        version: row.int()?,
        updated_at: row.time()?,
    })
}

fn decode_halt(mut row: Row) -> Result<Halt, Error> {
    Ok(Halt {
        id: row.id()?,
        org_id: row.id_or_null()?,
        scope: row.word()?,
        mode: row.word()?,
        reason: row.text()?,
        engaged_by: row.text()?,
        engaged_at: row.time()?,
    })
}
