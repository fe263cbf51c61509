//! Orders and fills. Orders are their own outbox: a live order is work to be done.

use crate::Error;
use crate::dialect::{Insert, Lock, Store, Tx};
use crate::exposures::{NO_STRATEGY, Place};
use crate::value::{Row, Value};
use tradewarden_domain::bracket::{Leg, LegOf, Levels};
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{Change, Order, Purpose, Side};
use tradewarden_domain::rate::Source;
use tradewarden_domain::time::Timestamp;

macro_rules! columns {
    () => {
        "id, org_id, signal_id, account_id, strategy_id, symbol, side, order_type, time_in_force, \
         quantity, limit_price, stop_price, purpose, state, live, code, filled_quantity, \
         average_price, broker_order_id, cancel_requested, send_by, attempt_until, \
         limits_version, created_at, updated_at, key_id, tag, expires_at, \
         last_change, passes_halts, bracket, leg, parent_id"
    };
}

const PUT: Insert = Insert {
    into: concat!("-- orders::put\nINSERT INTO orders (", columns!(), ")"),
    columns: 33,
    tail: "ON CONFLICT (id) DO UPDATE SET quantity = excluded.quantity, state = excluded.state, \
           live = excluded.live, code = excluded.code, \
           filled_quantity = excluded.filled_quantity, average_price = excluded.average_price, \
           broker_order_id = excluded.broker_order_id, \
           cancel_requested = excluded.cancel_requested, attempt_until = excluded.attempt_until, \
           limit_price = excluded.limit_price, stop_price = excluded.stop_price, \
           limits_version = excluded.limits_version, last_change = excluded.last_change, \
           updated_at = excluded.updated_at",
};
const BY_ID: &str = concat!("-- orders::by_id\nSELECT ", columns!(), " FROM orders WHERE id = $1");
const PLACE: &str =
    "-- orders::pairs_of\nSELECT org_id, account_id, symbol FROM orders WHERE id = $1";
const LIVE_ON_PAIR: &str = concat!(
    "-- orders::live_on_pair\nSELECT ",
    columns!(),
    " FROM orders WHERE live = 1 AND account_id = $1 AND symbol = $2 ORDER BY id"
);
const LIVE: &str = concat!(
    "-- orders::live\nSELECT ",
    columns!(),
    " FROM orders WHERE live = 1 AND (account_id, symbol, id) > ($1, $2, $3) \
     ORDER BY account_id, symbol, id LIMIT $4"
);
const LIVE_OF_ORG: &str = concat!(
    "-- orders::live_of_org\nSELECT ",
    columns!(),
    " FROM orders WHERE live = 1 AND org_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);
const PAGE: &str = concat!(
    "-- orders::page\nSELECT ",
    columns!(),
    " FROM orders WHERE org_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
);
const LIKE_THIS: &str = concat!(
    "-- orders::like_this\nSELECT ",
    columns!(),
    " FROM orders WHERE id >= $1 AND account_id = $2 AND symbol = $3 AND side = $4 \
     AND quantity = $5 AND signal_id IS NULL AND leg IS NULL ORDER BY id LIMIT 16"
);
const LEGS: &str = concat!(
    "-- orders::legs\nSELECT ",
    columns!(),
    " FROM orders WHERE live = 1 AND leg IS NOT NULL AND (account_id, symbol, id) > ($1, $2, $3) \
     ORDER BY account_id, symbol, id LIMIT $4"
);
const RESTING_EXITS: &str = concat!(
    "-- orders::resting_exits\nSELECT ",
    columns!(),
    " FROM orders WHERE live = 1 AND leg IS NULL AND purpose = 'exit' AND order_type = 'limit' \
     AND (account_id, symbol, id) > ($1, $2, $3) ORDER BY account_id, symbol, id LIMIT $4"
);
const NEWEST_LEG: &str = concat!(
    "-- orders::newest_leg\nSELECT ",
    columns!(),
    " FROM orders WHERE id > $1 AND parent_id = $1 AND leg = $2 ORDER BY id DESC LIMIT 1"
);
const DUE: &str = concat!(
    "-- orders::due\nSELECT ",
    columns!(),
    " FROM orders WHERE live = 1 AND cancel_requested = 0 AND expires_at <= $1 \
     ORDER BY account_id, symbol, id LIMIT $2"
);
const COUNT_LIVE: &str =
    "-- orders::count_live\nSELECT COUNT(*) FROM orders WHERE live = 1 AND account_id = $1";
const CROWDED: &str = "-- orders::crowded\n\
    SELECT org_id, COUNT(*) FROM orders WHERE live = 1 GROUP BY org_id \
    HAVING COUNT(*) >= $1 ORDER BY org_id";
const LIVE_BY_SOURCE: &str = "-- orders::live_by_source\n\
    SELECT account_id, strategy_id, key_id, symbol, COUNT(*) FROM orders WHERE live = 1 \
    AND account_id IN (SELECT id FROM accounts WHERE org_id = $1) \
    GROUP BY account_id, strategy_id, key_id, symbol ORDER BY account_id, symbol";
const INSERT_FILL: Insert = Insert {
    into: "-- orders::insert_fills\nINSERT INTO fills (account_id, broker_fill_id, id, org_id, \
           order_id, symbol, side, quantity, price, fee, at)",
    columns: 11,
    tail: "ON CONFLICT (account_id, broker_fill_id) DO NOTHING RETURNING account_id, broker_fill_id",
};
const FILLS_OF_ACCOUNT: &str = "-- orders::fills_of_account\n\
    SELECT symbol, side, quantity FROM fills WHERE account_id = $1 ORDER BY broker_fill_id";

const TRADES: &str = "-- orders::trades\n\
    SELECT fills.at, fills.id, fills.order_id, fills.account_id, fills.symbol, orders.strategy_id, \
    orders.signal_id, orders.purpose, orders.leg, fills.side, fills.quantity, fills.price, fills.fee FROM fills \
    JOIN orders ON orders.id = fills.order_id WHERE fills.org_id = $1 \
    AND (fills.at, fills.id) > ($2, $3) AND fills.at < $4 ORDER BY fills.at, fills.id LIMIT $5";

const LAST_PRICES: &str = "-- orders::last_prices\n\
    SELECT fills.symbol, MAX(fills.price) FROM fills JOIN \
    (SELECT symbol, MAX(at) AS at FROM fills WHERE org_id = $1 AND at < $2 GROUP BY symbol) AS newest \
    ON newest.symbol = fills.symbol AND newest.at = fills.at WHERE fills.org_id = $1 \
    GROUP BY fills.symbol ORDER BY fills.symbol LIMIT $3";

pub(crate) const STATEMENTS: &[&str] = &[
    BY_ID,
    PLACE,
    LIVE_ON_PAIR,
    LIVE,
    LIVE_OF_ORG,
    PAGE,
    LIKE_THIS,
    LEGS,
    RESTING_EXITS,
    NEWEST_LEG,
    DUE,
    COUNT_LIVE,
    CROWDED,
    LIVE_BY_SOURCE,
    FILLS_OF_ACCOUNT,
    TRADES,
    LAST_PRICES,
];
pub(crate) const INSERTS: &[&Insert] = &[&PUT, &INSERT_FILL];

/// A fill as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Our identifier.
    pub id: Id<id::Fill>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// Where it happened.
    pub account_id: Id<id::Account>,
    /// The broker's identifier, unique on the account.
    pub broker_fill_id: String,
    /// The order that filled.
    pub order_id: Id<id::Order>,
    /// What was traded.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// At which price.
    pub price: Price,
    /// For which fee, in the account's currency.
    pub fee: Money,
    /// When, by the broker's clock.
    pub at: Timestamp,
}

/// A fill with what its order says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// When, by the broker's clock.
    pub at: Timestamp,
    /// Our identifier of the fill.
    pub id: Id<id::Fill>,
    /// The order that filled.
    pub order_id: Id<id::Order>,
    /// Whose position it changed.
    pub place: Place,
    /// The signal that the order came of, if any.
    pub signal_id: Option<Id<id::Signal>>,
    /// What the order was for.
    pub purpose: Purpose,
    /// Which leg of a bracket the order was, if it was one. It has the signal of its entry.
    pub leg: Option<Leg>,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// At which price.
    pub price: Price,
    /// For which fee, in the account's currency.
    pub fee: Money,
}

/// Writes orders as they stand now, new or changed.
pub async fn put(tx: &mut Tx<'_>, orders: &[Order]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(orders.len().saturating_mul(PUT.columns));
    for order in orders {
        values.extend(encode(order));
    }
    tx.insert(&PUT, &values).await.map(|_| ())
}

/// The orders with these identifiers, locked, in the same order.
pub async fn lock_by_id(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Order>],
) -> Result<Vec<Option<Order>>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.lock_each(BY_ID, &sets, Lock::Update).await?;
    found.into_iter().map(|rows| rows.into_iter().next().map(decode).transpose()).collect()
}

/// Owner, account and instrument of those of these orders that are stored: what never changes, so
/// without a lock.
pub async fn pairs_of(
    tx: &mut Tx<'_>,
    ids: &[Id<id::Order>],
) -> Result<Vec<(Id<id::Org>, Id<id::Account>, Symbol)>, Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![Value::from(*id)]).collect();
    let found = tx.query_each(PLACE, &sets).await?;
    let pairs = found.into_iter().flatten();
    pairs.map(|mut row| Ok((row.id()?, row.id()?, row.word()?))).collect()
}

/// The live orders on each of these (account, instrument) pairs, oldest first.
pub async fn live_on_pairs(
    tx: &mut Tx<'_>,
    pairs: &[(Id<id::Account>, Symbol)],
) -> Result<Vec<Vec<Order>>, Error> {
    let sets: Vec<_> = pairs
        .iter()
        .map(|(account, symbol)| vec![Value::from(*account), Value::from(symbol.as_str())])
        .collect();
    let found = tx.query_each(LIVE_ON_PAIR, &sets).await?;
    found.into_iter().map(|rows| rows.into_iter().map(decode).collect()).collect()
}

/// At most `count` live orders of everybody, by pair and age: those after this one, or the first.
pub async fn live(store: &Store, after: Option<&Order>, count: i64) -> Result<Vec<Order>, Error> {
    let rows = store.query(LIVE, page_after(after, count)).await?;
    rows.into_iter().map(decode).collect()
}

/// The same, as the transaction sees it.
pub async fn live_in(
    tx: &mut Tx<'_>,
    after: Option<&Order>,
    count: i64,
) -> Result<Vec<Order>, Error> {
    let rows = tx.query(LIVE, &page_after(after, count)).await?;
    rows.into_iter().map(decode).collect()
}

/// Where a page by pair and age begins, and how many rows it has.
fn page_after(order: Option<&Order>, count: i64) -> Vec<Value> {
    let place: [Value; 3] = if let Some(order) = order {
        [order.account_id.into(), order.symbol.as_str().into(), order.id.into()]
    } else {
        let account: Id<id::Account> = Id::from_bytes([0; 16]);
        let order: Id<id::Order> = Id::from_bytes([0; 16]);
        [account.into(), "".into(), order.into()]
    };
    place.into_iter().chain([Value::Int(count)]).collect()
}

/// At most `count` live orders of an organization, oldest first: those after this one, or the first.
pub async fn live_of_org(
    store: &Store,
    org: Id<id::Org>,
    after: Option<Id<id::Order>>,
    count: i64,
) -> Result<Vec<Order>, Error> {
    let after = after.unwrap_or_else(|| Id::from_bytes([0; 16]));
    let parameters = vec![org.into(), after.into(), Value::Int(count)];
    let rows = store.query(LIVE_OF_ORG, parameters).await?;
    rows.into_iter().map(decode).collect()
}

/// At most `count` live legs of brackets of everybody, by pair and age: those after this one, or the
/// first.
pub async fn legs(store: &Store, after: Option<&Order>, count: i64) -> Result<Vec<Order>, Error> {
    let rows = store.query(LEGS, page_after(after, count)).await?;
    rows.into_iter().map(decode).collect()
}

/// At most `count` live exits at a limit of everybody that are no legs, by pair and age: those after this
/// one, or the first.
pub async fn resting_exits(
    store: &Store,
    after: Option<&Order>,
    count: i64,
) -> Result<Vec<Order>, Error> {
    let rows = store.query(RESTING_EXITS, page_after(after, count)).await?;
    rows.into_iter().map(decode).collect()
}

/// The newest leg of this kind that an entry ever had, live or not.
pub async fn newest_leg(
    tx: &mut Tx<'_>,
    parent: Id<id::Order>,
    leg: Leg,
) -> Result<Option<Order>, Error> {
    let rows = tx.query(NEWEST_LEG, &[parent.into(), Value::Word(leg.text())]).await?;
    rows.into_iter().next().map(decode).transpose()
}

/// At most `count` live orders whose time is up and whose cancel was not asked for.
pub async fn due(store: &Store, now: Timestamp, count: i64) -> Result<Vec<Order>, Error> {
    let rows = store.query(DUE, vec![now.into(), Value::Int(count)]).await?;
    rows.into_iter().map(decode).collect()
}

/// The order with this identifier.
pub async fn find(store: &Store, id: Id<id::Order>) -> Result<Option<Order>, Error> {
    store.query_one(BY_ID, vec![Value::from(id)]).await?.map(decode).transpose()
}

/// At most `count` fills of an organization, with what is known of their orders: those after this
/// place, in the order of the brokers' clocks, and before `to`.
pub async fn trades(
    store: &Store,
    org: Id<id::Org>,
    (at, id): (Timestamp, Id<id::Fill>),
    to: Timestamp,
    count: u32,
) -> Result<Vec<Trade>, Error> {
    let values = vec![org.into(), at.into(), id.into(), to.into(), count.into()];
    let trade = |mut row: Row| {
        let (at, id, order_id) = (row.time()?, row.id()?, row.id()?);
        let (account_id, symbol) = (row.id()?, row.word()?);
        let strategy_id = row.id_or_null()?.unwrap_or(NO_STRATEGY);
        Ok(Trade {
            at,
            id,
            order_id,
            place: Place { account_id, symbol, strategy_id },
            signal_id: row.id_or_null()?,
            purpose: row.word()?,
            leg: row.word_or_null()?,
            side: row.word()?,
            quantity: Quantity::from_units(row.int()?),
            price: Price::from_units(row.int()?),
            fee: Money::from_units(row.int()?),
        })
    };
    store.query(TRADES, values).await?.into_iter().map(trade).collect()
}

/// The price of the last fill of each instrument of an organization before a time, at most `count`; of
/// several at one instant the highest.
pub async fn last_prices(
    store: &Store,
    org: Id<id::Org>,
    at: Timestamp,
    count: u32,
) -> Result<Vec<(Symbol, Price)>, Error> {
    let rows = store.query(LAST_PRICES, vec![org.into(), at.into(), count.into()]).await?;
    rows.into_iter().map(|mut row| Ok((row.word()?, Price::from_units(row.int()?)))).collect()
}

/// At most `count` orders of an organization that are older than `before`, newest first.
pub async fn page(
    store: &Store,
    org: Id<id::Org>,
    before: Id<id::Order>,
    count: u32,
) -> Result<Vec<Order>, Error> {
    let parameters = vec![Value::from(org), Value::from(before), Value::from(count)];
    store.query(PAGE, parameters).await?.into_iter().map(decode).collect()
}

/// Orders of no signal that were made since `since` and are alike in account, instrument, side and
/// quantity; at most 16, oldest first.
pub async fn like(
    tx: &mut Tx<'_>,
    order: &Order,
    since: Id<id::Order>,
) -> Result<Vec<Order>, Error> {
    let parameters = [
        since.into(),
        order.account_id.into(),
        order.symbol.as_str().into(),
        Value::Word(order.side.text()),
        order.quantity.units().into(),
    ];
    tx.query(LIKE_THIS, &parameters).await?.into_iter().map(decode).collect()
}

/// How many orders of an account are live.
pub async fn count_live(tx: &mut Tx<'_>, account: Id<id::Account>) -> Result<u64, Error> {
    count(tx.query(COUNT_LIVE, &[account.into()]).await?)
}

/// The organizations with this many live orders or more, and how many they have.
pub async fn crowded(store: &Store, from: u64) -> Result<Vec<(Id<id::Org>, u64)>, Error> {
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let rows = store.query(CROWDED, vec![Value::Int(from)]).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, counted(&mut row)?))).collect()
}

/// How many orders of an organization are live, by account and whom they count for.
pub async fn live_by_source(
    tx: &mut Tx<'_>,
    org: Id<id::Org>,
) -> Result<Vec<(Id<id::Account>, Source, u64)>, Error> {
    let rows = tx.query(LIVE_BY_SOURCE, &[org.into()]).await?;
    rows.into_iter()
        .map(|mut row| {
            let account = row.id()?;
            let source =
                Source { strategy: row.id_or_null()?, key: row.id_or_null()?, symbol: row.word()? };
            Ok((account, source, counted(&mut row)?))
        })
        .collect()
}

fn count(rows: Vec<Row>) -> Result<u64, Error> {
    let row = rows.into_iter().next();
    counted(&mut row.ok_or_else(|| Error::broken("a count has no row"))?)
}

fn counted(row: &mut Row) -> Result<u64, Error> {
    u64::try_from(row.int()?).map_err(|_| Error::broken("a count is negative"))
}

/// Writes fills that are new and says which they were, by account and broker's identifier.
pub async fn insert_fills(
    tx: &mut Tx<'_>,
    fills: &[Fill],
) -> Result<Vec<(Id<id::Account>, String)>, Error> {
    let mut values = Vec::with_capacity(fills.len().saturating_mul(INSERT_FILL.columns));
    for fill in fills {
        values.extend([
            fill.account_id.into(),
            fill.broker_fill_id.as_str().into(),
            fill.id.into(),
            fill.org_id.into(),
            fill.order_id.into(),
            fill.symbol.as_str().into(),
            Value::Word(fill.side.text()),
            fill.quantity.units().into(),
            fill.price.units().into(),
            fill.fee.units().into(),
            fill.at.into(),
        ]);
    }
    let rows = tx.insert(&INSERT_FILL, &values).await?;
    rows.into_iter().map(|mut row| Ok((row.id()?, row.text()?))).collect()
}

/// Symbol, side and quantity of every fill of an account, for checks against positions.
pub async fn fills_of_account(
    store: &Store,
    account: Id<id::Account>,
) -> Result<Vec<(Symbol, Side, Quantity)>, Error> {
    let rows = store.query(FILLS_OF_ACCOUNT, vec![Value::from(account)]).await?;
    rows.into_iter()
        .map(|mut row| Ok((row.word()?, row.word()?, Quantity::from_units(row.int()?))))
        .collect()
}

fn encode(order: &Order) -> [Value; 33] {
    [
        order.id.into(),
        order.org_id.into(),
        order.signal_id.into(),
        order.account_id.into(),
        order.strategy_id.into(),
        order.symbol.as_str().into(),
        Value::Word(order.side.text()),
        Value::Word(order.order_type.text()),
        Value::Word(order.time_in_force.text()),
        order.quantity.units().into(),
        order.limit_price.map(Price::units).into(),
        order.stop_price.map(Price::units).into(),
        Value::Word(order.purpose.text()),
        Value::Word(order.state.text()),
        Value::Int(i64::from(order.state.is_live())),
        order.code.map_or(Value::Null, |code| Value::Word(code.text())),
        order.filled_quantity.units().into(),
        order.average_price.map(Price::units).into(),
        order.broker_order_id.as_deref().into(),
        Value::Int(i64::from(order.cancel_requested)),
        order.send_by.into(),
        order.attempt_until.into(),
        order.limits_version.into(),
        order.created_at.into(),
        order.updated_at.into(),
        order.key_id.into(),
        order.tag.as_deref().into(),
        order.expires_at.into(),
        // Writing strings and numbers to JSON cannot fail.
        order.change.and_then(|change| serde_json::to_string(&change).ok()).into(),
        Value::Int(i64::from(order.passes_halts)),
        order.bracket.and_then(|levels| serde_json::to_string(&levels).ok()).into(),
        order.leg.map_or(Value::Null, |leg| Value::Word(leg.leg.text())),
        order.leg.map(|leg| leg.parent_id).into(),
    ]
}

fn decode(mut row: Row) -> Result<Order, Error> {
    let price = |units: Option<i64>| units.map(Price::from_units);
    Ok(Order {
        id: row.id()?,
        org_id: row.id()?,
        signal_id: row.id_or_null()?,
        account_id: row.id()?,
        strategy_id: row.id_or_null()?,
        symbol: row.word()?,
        side: row.word()?,
        order_type: row.word()?,
        time_in_force: row.word()?,
        quantity: Quantity::from_units(row.int()?),
        limit_price: price(row.int_or_null()?),
        stop_price: price(row.int_or_null()?),
        purpose: row.word()?,
        state: {
            let state = row.word()?;
            let _live = row.int()?;
            state
        },
        code: row.text_or_null()?.and_then(|text| Code::from_text(&text)),
        filled_quantity: Quantity::from_units(row.int()?),
        average_price: price(row.int_or_null()?),
        broker_order_id: row.text_or_null()?,
        cancel_requested: row.int()? != 0,
        send_by: row.time_or_null()?,
        attempt_until: row.time_or_null()?,
        limits_version: row.int()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        key_id: row.id_or_null()?,
        tag: row.text_or_null()?,
        expires_at: row.time_or_null()?,
        change: row.text_or_null()?.map(|text| change(&text)).transpose()?,
        passes_halts: row.int()? != 0,
        bracket: row.text_or_null()?.map(|text| levels(&text)).transpose()?,
        leg: leg(row.word_or_null()?, row.id_or_null()?)?,
    })
}

fn levels(text: &str) -> Result<Levels, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::unreadable(format!("the levels of an entry: {error}")))
}

fn leg(leg: Option<Leg>, parent: Option<Id<id::Order>>) -> Result<Option<LegOf>, Error> {
    match (leg, parent) {
        (None, None) => Ok(None),
        (Some(leg), Some(parent_id)) => Ok(Some(LegOf { leg, parent_id })),
        _ => Err(Error::unreadable("a leg without its entry")),
    }
}

fn change(text: &str) -> Result<Change, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::unreadable(format!("a change of an order: {error}")))
}
