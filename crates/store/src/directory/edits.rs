//! Changing and taking away what was made. The organization's row must be locked for update, so that
//! nothing is judged by the row while it changes.

use super::{
    LIMITS_OF, STRATEGY, WEBHOOK, WebhookRow, decode_limit, decode_strategy, decode_webhook,
    followers_text, strategy_columns,
};
use crate::Error;
use crate::dialect::Tx;
use crate::value::Value;
use std::collections::BTreeMap;
use tradewarden_domain::account::Activity;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::Limit;
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::Strategy;

const FOLLOWERS: &str = concat!(
    "-- directory::followers\nSELECT ",
    strategy_columns!(),
    " FROM strategies WHERE webhook_id = $1 ORDER BY id"
);
const FOLLOWERS_OF_KEY: &str = concat!(
    "-- directory::followers_of_key\nSELECT ",
    strategy_columns!(),
    " FROM strategies WHERE key_id = $1 ORDER BY id"
);
const STRATEGIES_OF: &str = concat!(
    "-- directory::strategies_of\nSELECT ",
    strategy_columns!(),
    " FROM strategies WHERE org_id = $1 ORDER BY id"
);
const UPDATE_WEBHOOK: &str = "-- directory::update_webhook\n\
    UPDATE webhooks SET name = $2, forms = $3, allow = $4, client_certificate = $5, \
    dry_run = $6, rate_per_s = $7, max_age_s = $8, mapping = $9, state = $10, \
    symbols = $11 WHERE id = $1";
const SET_SIGNING_SECRET: &str = "-- directory::set_signing_secret\n\
    UPDATE webhooks SET signing_secret = $2 WHERE id = $1";
const FORGET_SECRETS: &str =
    "-- directory::forget_secrets\nDELETE FROM previous_secrets WHERE webhook_id = $1";
const DELETE_WEBHOOK: &str = "-- directory::delete_webhook\nDELETE FROM webhooks WHERE id = $1";
const UPDATE_STRATEGY: &str = "-- directory::update_strategy\n\
    UPDATE strategies SET name = $2, webhook_id = $3, account_id = $4, symbol = $5, \
    symbol_source = $6, quantity = $7, sizing = $8, on_opposite = $9, pyramiding = $10, \
    short_selling = $11, send_within_s = $12, schedule = $13, state = $14, followers = $15, \
    require_leader = $16, take_profit = $17, stop_loss = $18, on_naked = $19, \
    expected_every_s = $20, percent = $21, fee_per_unit = $22, stop_ticks_min = $23, \
    entry_ttl_s = $24, blind_market = $25, blind_quantity_max = $26, adopt = $27, \
    key_id = $28, auto_roll = $29, quantity_fallback = $30, quantity_clamp = $31 \
    WHERE id = $1";
const DELETE_STRATEGY: &str = "-- directory::delete_strategy\nDELETE FROM strategies WHERE id = $1";
const SET_STRATEGIES_VERSION: &str = "-- directory::set_strategies_version\n\
    UPDATE organizations SET strategies_version = $2 WHERE id = $1";
const ACCOUNT: &str =
    "-- directory::account_settings\nSELECT org_id, name, state FROM accounts WHERE id = $1";
const UPDATE_ACCOUNT: &str =
    "-- directory::update_account\nUPDATE accounts SET name = $2, state = $3 WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[
    FOLLOWERS,
    FOLLOWERS_OF_KEY,
    STRATEGIES_OF,
    UPDATE_WEBHOOK,
    SET_SIGNING_SECRET,
    FORGET_SECRETS,
    DELETE_WEBHOOK,
    UPDATE_STRATEGY,
    DELETE_STRATEGY,
    SET_STRATEGIES_VERSION,
    ACCOUNT,
    UPDATE_ACCOUNT,
];

/// The webhook, as this transaction sees it.
pub async fn webhook_in(tx: &mut Tx<'_>, id: Id<id::Webhook>) -> Result<Option<WebhookRow>, Error> {
    let row = tx.query(WEBHOOK, &[id.into()]).await?.into_iter().next();
    row.map(decode_webhook).transpose()
}

/// Writes a webhook's settings as they are from now on; its token and its secrets stay.
pub async fn update_webhook(tx: &mut Tx<'_>, webhook: &WebhookRow) -> Result<(), Error> {
    let settings = [
        webhook.id.into(),
        webhook.name.as_str().into(),
        webhook.forms.as_str().into(),
        webhook.allow.as_str().into(),
        webhook.client_certificate.clone().into(),
        Value::Int(i64::from(webhook.dry_run)),
        webhook.rate_per_s.into(),
        webhook.max_age_s.into(),
        webhook.mapping.clone().into(),
        Value::Word(webhook.state.text()),
        webhook.symbols.as_str().into(),
    ];
    tx.execute_one(UPDATE_WEBHOOK, &settings).await
}

/// Gives a webhook a Standard Webhooks secret, sealed.
pub async fn set_signing_secret(
    tx: &mut Tx<'_>,
    id: Id<id::Webhook>,
    sealed: &[u8],
) -> Result<(), Error> {
    crate::keys::hold(tx, sealed).await?;
    tx.execute_one(SET_SIGNING_SECRET, &[id.into(), sealed.to_vec().into()]).await
}

/// Takes a webhook away with its secrets. One that a strategy follows cannot be.
pub async fn delete_webhook(tx: &mut Tx<'_>, id: Id<id::Webhook>) -> Result<(), Error> {
    tx.execute(FORGET_SECRETS, &[id.into()]).await?;
    tx.execute_one(DELETE_WEBHOOK, &[id.into()]).await
}

/// The strategies that follow each of these sources, as this transaction sees them, oldest first.
pub async fn followers(
    tx: &mut Tx<'_>,
    sources: &[Source],
) -> Result<BTreeMap<Source, Vec<Strategy>>, Error> {
    let (webhooks, keys): (Vec<_>, Vec<_>) =
        sources.iter().copied().partition(|source| source.webhook().is_some());
    let mut followers = BTreeMap::new();
    for (sql, sources) in [(FOLLOWERS, webhooks), (FOLLOWERS_OF_KEY, keys)] {
        let sets: Vec<_> =
            sources.iter().map(|source| vec![Value::Id(source.to_bytes())]).collect();
        let found = tx.query_each(sql, &sets).await?;
        for (source, rows) in sources.into_iter().zip(found) {
            let own: Result<_, Error> = rows.into_iter().map(decode_strategy).collect();
            followers.insert(source, own?);
        }
    }
    Ok(followers)
}

/// The strategies of an organization, as this transaction sees them, oldest first.
pub async fn strategies_of(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<Vec<Strategy>, Error> {
    let rows = tx.query(STRATEGIES_OF, &[org.into()]).await?;
    rows.into_iter().map(decode_strategy).collect()
}

/// The strategy, as this transaction sees it.
pub async fn strategy_in(tx: &mut Tx<'_>, id: Id<id::Strategy>) -> Result<Option<Strategy>, Error> {
    let row = tx.query(STRATEGY, &[id.into()]).await?.into_iter().next();
    row.map(decode_strategy).transpose()
}

/// Writes a strategy as it is from now on.
pub async fn update_strategy(tx: &mut Tx<'_>, strategy: &Strategy) -> Result<(), Error> {
    let settings = [
        strategy.id.into(),
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
    ];
    tx.execute_one(UPDATE_STRATEGY, &settings).await
}

/// Takes a strategy away; what it did stays in signals, orders and exposures.
pub async fn delete_strategy(tx: &mut Tx<'_>, id: Id<id::Strategy>) -> Result<(), Error> {
    tx.execute_one(DELETE_STRATEGY, &[id.into()]).await
}

/// Stores the version of an organization's strategies: every change of one makes another.
pub async fn set_strategies_version(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
    version: i64,
) -> Result<(), Error> {
    tx.execute_one(SET_STRATEGIES_VERSION, &[org.into(), version.into()]).await
}

/// Whose an account is, what it is called and whether it takes orders.
pub async fn account_settings(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
) -> Result<Option<(Id<id::Org>, String, Activity)>, Error> {
    let row = tx.query(ACCOUNT, &[id.into()]).await?.into_iter().next();
    row.map(|mut row| Ok((row.id()?, row.text()?, row.word()?))).transpose()
}

/// Writes what an account is called and whether it takes orders.
pub async fn update_account(
    tx: &mut Tx<'_>,
    id: Id<id::Account>,
    name: &str,
    state: Activity,
) -> Result<(), Error> {
    tx.execute_one(UPDATE_ACCOUNT, &[id.into(), name.into(), Value::Word(state.text())]).await
}

/// The limits of an organization, as this transaction sees them.
pub async fn limits_of_in(tx: &mut Tx<'_>, org: Id<id::Org>) -> Result<Vec<Limit>, Error> {
    tx.query(LIMITS_OF, &[org.into()]).await?.into_iter().map(decode_limit).collect()
}
