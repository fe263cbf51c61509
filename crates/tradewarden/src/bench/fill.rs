//! Filling a database with what a large installation has: past the engine, for it is not the making
//! that is measured.

use std::sync::Arc;
use tradewarden_domain::account::Activity;
use tradewarden_domain::few::Few;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::key::{ApiKey, KeyAlgorithm, KeyState};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose, Side, TimeInForce};
use tradewarden_domain::permission::Permissions;
use tradewarden_domain::tier::Tier;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::{Entering, key_secret_place};
use tradewarden_seal::{
    DataKey, DataKeyPlace, Digest, Purpose as KeyPurpose, SystemRandomness, WrappedKey,
};
use tradewarden_store::directory::{self, WebhookRow};
use tradewarden_store::{Error, Store, Writer, api_keys, keys, orders};

use crate::clock::SystemClock;
use crate::config::Config;
use crate::data::Data;
use crate::outcome::Failure;

/// The secret of every HMAC key, as long as one that is made.
pub(super) const SECRET: &str = "tws_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_000000";
/// Rows of one transaction.
const BATCH: u32 = 10_000;
const LIFETIME: std::time::Duration = std::time::Duration::from_hours(90 * 24);

/// An installation that is not running.
pub(super) struct Installation {
    writer: Writer,
    entering: Entering,
    org: Id<id::Org>,
    data_key: DataKey,
    now: Timestamp,
}

fn failed(error: &Error) -> Failure {
    Failure::unavailable(format!("the database was not filled: {error}"))
}

/// The identifier of the thing with this number.
pub(super) fn id_of<K>(number: u32) -> Id<K> {
    let mut bytes = [0x80; 16];
    for (place, byte) in bytes.iter_mut().skip(4).zip(number.to_be_bytes()) {
        *place = byte;
    }
    Id::from_bytes(bytes)
}

/// The token of the webhook with this number, as long as one that is made.
pub(super) fn token_of(number: u32) -> String {
    format!("twh_{number:043}")
}

/// How the key with this number signs: every other one by HMAC.
pub(super) const fn algorithm_of(number: u32) -> KeyAlgorithm {
    if number.is_multiple_of(2) { KeyAlgorithm::Ed25519 } else { KeyAlgorithm::HmacSha256 }
}

impl Installation {
    /// One that was founded in this directory.
    pub(super) async fn open(config: &Config, data: &Data) -> Result<Self, Failure> {
        let location = config.database.location(data.database())?;
        let store = Store::open(location.clone()).await.map_err(|error| failed(&error))?;
        let organizations =
            directory::organizations(&store).await.map_err(|error| failed(&error))?;
        let org = organizations.first().map(|org| org.id);
        let org = org.ok_or_else(|| Failure::unavailable("there is no organization"))?;
        let wrapped = keys::of(&store, org, KeyPurpose::Intake.name()).await;
        let wrapped = wrapped.map_err(|error| failed(&error))?.into_iter().next();
        let wrapped = wrapped.ok_or_else(|| Failure::unavailable("there is no key for intake"))?;
        let (version, wrapped) = (wrapped.version, WrappedKey::from_stored(wrapped.wrapped));
        let keyring = data.keyring(config, &mut SystemRandomness::new())?;
        let organization = org.to_bytes();
        let place =
            DataKeyPlace { organization: &organization, purpose: KeyPurpose::Intake, version };
        let data_key = keyring
            .open_data_key(&place, &wrapped)
            .await
            .map_err(|error| Failure::unavailable(error.to_string()))?;
        let (clock, randomness) = (Arc::new(SystemClock), Box::new(SystemRandomness::new()));
        let entering = Entering::open(&store, &keyring, clock, randomness).await;
        let entering = entering.map_err(|error| Failure::unavailable(error.to_string()))?;
        let writer = Writer::open(&location).await.map_err(|error| failed(&error))?;
        Ok(Self { writer, entering, org, data_key, now: SystemClock.now() })
    }

    /// Keys with these numbers.
    pub(super) async fn keys(
        &mut self,
        numbers: std::ops::Range<u32>,
        public: &[u8; 32],
    ) -> Result<(), Failure> {
        let mut randomness = SystemRandomness::new();
        for batch in batches(numbers) {
            let mut tx = self.writer.begin().await.map_err(|error| failed(&error))?;
            for number in batch {
                let id: Id<id::Key> = id_of(number);
                let material = match algorithm_of(number) {
                    KeyAlgorithm::Ed25519 => public.to_vec(),
                    KeyAlgorithm::HmacSha256 => {
                        let (org, key) = (self.org.to_bytes(), id.to_bytes());
                        let place = key_secret_place(&org, &key);
                        self.data_key
                            .seal(&place, SECRET.as_bytes(), &mut randomness)
                            .map_err(|error| Failure::unavailable(error.to_string()))?
                    }
                };
                let key = key(number, id, self.org, self.now);
                api_keys::insert(&mut tx, &key, material).await.map_err(|error| failed(&error))?;
            }
            self.entering.enter(&mut tx).await.map_err(|error| failed(&error))?;
            tx.commit().await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Webhooks with these numbers.
    pub(super) async fn webhooks(&mut self, numbers: std::ops::Range<u32>) -> Result<(), Failure> {
        for batch in batches(numbers) {
            let mut tx = self.writer.begin().await.map_err(|error| failed(&error))?;
            for number in batch {
                let token = token_of(number);
                let webhook = WebhookRow {
                    id: id_of(number),
                    org_id: self.org,
                    name: format!("bench {number}"),
                    secret_hash: *Digest::sha256(token.as_bytes()).as_bytes(),
                    token,
                    signing_secret: None,
                    forms: "query,header,body".to_owned(),
                    allow: String::new(),
                    symbols: String::new(),
                    client_certificate: None,
                    dry_run: false,
                    rate_per_s: 10,
                    max_age_s: 90,
                    mapping: None,
                    state: Activity::Active,
                    created_at: self.now,
                };
                let written = directory::insert_webhook(&mut tx, webhook).await;
                written.map_err(|error| failed(&error))?;
            }
            tx.commit().await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Orders of an account that were filled long ago, each with its fill.
    pub(super) async fn orders(
        &mut self,
        account: Id<id::Account>,
        numbers: std::ops::Range<u32>,
    ) -> Result<(), Failure> {
        let symbol: Symbol =
            "AAPL".parse().map_err(|_| Failure::unavailable("the symbol cannot be read"))?;
        for batch in batches(numbers) {
            let orders: Vec<_> =
                batch.clone().map(|number| self.order(number, account, &symbol)).collect();
            let fills = orders.iter().zip(batch).map(|(order, number)| fill(order, number));
            let fills: Vec<_> = fills.collect();
            let mut tx = self.writer.begin().await.map_err(|error| failed(&error))?;
            orders::put(&mut tx, &orders).await.map_err(|error| failed(&error))?;
            orders::insert_fills(&mut tx, &fills).await.map_err(|error| failed(&error))?;
            tx.commit().await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn order(&self, number: u32, account: Id<id::Account>, symbol: &Symbol) -> Order {
        Order {
            id: id_of(number),
            org_id: self.org,
            signal_id: Some(id_of(number)),
            account_id: account,
            strategy_id: None,
            key_id: None,
            tag: None,
            symbol: symbol.clone(),
            side: if number.is_multiple_of(2) { Side::Buy } else { Side::Sell },
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Day,
            quantity: Quantity::from_units(100_000_000),
            limit_price: None,
            stop_price: None,
            purpose: Purpose::Entry,
            state: OrderState::Filled,
            code: None,
            filled_quantity: Quantity::from_units(100_000_000),
            average_price: Some(Price::from_units(18_700_000_000)),
            broker_order_id: Some(format!("bench-{number}")),
            cancel_requested: false,
            bracket: None,
            leg: None,
            send_by: None,
            expires_at: None,
            change: None,
            attempt_until: None,
            limits_version: 1,
            passes_halts: false,
            created_at: self.now,
            updated_at: self.now,
        }
    }
}

fn key(number: u32, id: Id<id::Key>, org_id: Id<id::Org>, now: Timestamp) -> ApiKey {
    ApiKey {
        id,
        org_id,
        user_id: None,
        name: format!("bench {number}").into(),
        algorithm: algorithm_of(number),
        scopes: Permissions::all(),
        accounts: Few::default(),
        instruments: Few::default(),
        allow: Few::default(),
        tier: Tier::Institutional,
        max_notional: None,
        environment: None,
        strategy_id: None,
        state: KeyState::Active,
        rotated_from: None,
        expires_at: now.plus(LIFETIME),
        created_at: now,
    }
}

fn fill(order: &Order, number: u32) -> orders::Fill {
    orders::Fill {
        id: id_of(number),
        org_id: order.org_id,
        account_id: order.account_id,
        broker_fill_id: format!("bench-{number}"),
        order_id: order.id,
        symbol: order.symbol.clone(),
        side: order.side,
        quantity: order.quantity,
        price: Price::from_units(18_700_000_000),
        fee: Money::from_units(0),
        at: order.created_at,
    }
}

fn batches(numbers: std::ops::Range<u32>) -> impl Iterator<Item = std::ops::Range<u32>> {
    let end = numbers.end;
    let step = usize::try_from(BATCH).unwrap_or(usize::MAX);
    numbers.step_by(step).map(move |first| first..first.saturating_add(BATCH).min(end))
}
