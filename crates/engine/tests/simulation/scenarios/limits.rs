//! The table of limits through the engine: a new order, and a change of an order at rest that comes to
//! the same, is refused just over a limit and passes at and under it, at every level where it can be
//! set; and what is an order too many.

use super::{keys, millis};
use serde_json::{Value, json};
use std::cell::Cell;
use tradewarden_domain::code::Code;
use tradewarden_domain::limit::{LimitLevel, LimitName};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::OrderState;
use tradewarden_engine::command::{Command, CommandError, OrderNo};
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, simulate, strategy};

/// One step of a limit that is no count.
const LEAST: i64 = 1;
const ONE: i64 = 100_000_000;

/// What an order of 4 at 5,100 comes to where a unit is worth 50 a point, the market is at 5,000, the
/// equity is 1,000,000 and two are usual.
const ROWS: &[(LimitName, &str, Code)] = &[
    (LimitName::MaxOrderQuantity, "4", Code::RiskMaxOrderQuantity),
    (LimitName::MaxOrderNotional, "1020000", Code::RiskMaxOrderNotional),
    (LimitName::MaxPosition, "4", Code::RiskMaxPosition),
    (LimitName::MaxPositionNotional, "1020000", Code::RiskMaxPositionNotional),
    (LimitName::PriceCollarPercent, "2", Code::RiskPriceCollar),
    (LimitName::MaxGrossExposure, "1020000", Code::RiskMaxGrossExposure),
    (LimitName::MaxNetExposure, "1020000", Code::RiskMaxNetExposure),
    (LimitName::CreditPercent, "102", Code::RiskCredit),
    (LimitName::MaxSizeMultiple, "2", Code::RiskFatFinger),
    (LimitName::MaxOpenOrders, "1", Code::RiskMaxOpenOrders),
    (LimitName::MaxOrdersPerSecond, "1", Code::RiskMaxOrdersPerSecond),
    // And as many as were asked for before.
    (LimitName::MaxOrdersPerMinute, "1", Code::RiskMaxOrdersPerMinute),
];

/// What a refusal says is allowed is then the share of something, not the limit itself.
const SHARES: [LimitName; 2] = [LimitName::CreditPercent, LimitName::MaxSizeMultiple];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Change,
}

/// A strategy and its key, whose orders rest at the broker, and limits that are far away.
struct Desk {
    h: Harness,
    account: String,
    strategy: String,
    key: Value,
    nonces: Cell<u32>,
    /// Orders and changes that were let in.
    let_in: Cell<i64>,
}

impl Desk {
    async fn open(seed: u64) -> Self {
        let h = Harness::sqlite(seed, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        let strategy = h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        let settings = json!({"scopes": ["orders:create"], "strategy_id": strategy});
        let key = keys::key(&h, settings).await;
        h.broker.usual_plan(FillPlan::Rests);
        h.broker.say_equity("1000000".parse().unwrap());
        let (nonces, let_in) = (Cell::new(0), Cell::new(0));
        let desk = Self { h, account, strategy, key, nonces, let_in };
        for name in LimitName::REQUIRED {
            desk.set_far("org", *name).await;
        }
        // With it the sizes are kept.
        desk.set_far("org", LimitName::MaxSizeMultiple).await;
        // Until the equity is read again.
        desk.h.elapse(millis(31_000)).await;
        desk
    }

    async fn set_far(&self, scope: &str, name: LimitName) {
        let far = match name {
            LimitName::Restricted => "0",
            LimitName::CreditPercent
            | LimitName::PriceCollarPercent
            | LimitName::MaxSizeMultiple => "10000",
            _ => "10000000",
        };
        self.h.limit(scope, name.text(), far).await;
    }

    fn scope(&self, level: LimitLevel) -> String {
        match level {
            LimitLevel::Org => "org".to_owned(),
            LimitLevel::Account => format!("account:{}", self.account),
            LimitLevel::Strategy => format!("strategy:{}", self.strategy),
            LimitLevel::Key => format!("key:{}", self.key["id"].as_str().unwrap()),
            LimitLevel::Instrument => "instrument:ES".to_owned(),
        }
    }

    /// What the key asks for; the order's identifier.
    async fn asks(&self, command: Value) -> Result<String, OrderNo> {
        self.nonces.set(self.nonces.get() + 1);
        let actor = keys::caller(&self.h, &self.key, &format!("nonce-{:016}", self.nonces.get()));
        let command: Command = serde_json::from_value(command).unwrap();
        let engine = self.h.engine();
        match self.h.drive(engine.execute(command, &actor)).await.unwrap() {
            Ok(order) => {
                self.let_in.set(self.let_in.get() + 1);
                // Until the broker has it.
                self.h.elapse(millis(300)).await;
                Ok(order["id"].as_str().unwrap().to_owned())
            }
            Err(CommandError::Order(no)) => Err(*no),
            Err(error) => panic!("{error}"),
        }
    }

    async fn places(&self, quantity: &str, price: &str) -> Result<String, OrderNo> {
        let order = json!({
            "command": "order-create", "account_id": self.account, "symbol": "ES", "side": "buy",
            "type": "limit", "limit_price": price, "quantity": quantity, "allow_repeat": true,
        });
        self.asks(order).await
    }

    async fn cancel(&self, id: &str) {
        let cancel = json!({ "command": "order-cancel", "id": id });
        self.h.command(serde_json::from_value(cancel).unwrap()).await;
        self.h.elapse(millis(200)).await;
    }

    /// What comes of 4 at 5,100, by a new order or a change of 2 at 5,000, with this limit.
    async fn tried(
        &self,
        kind: Kind,
        level: LimitLevel,
        name: LimitName,
        value: impl FnOnce(i64) -> i64,
    ) -> (Result<String, OrderNo>, String) {
        let base = match kind {
            Kind::Create => None,
            Kind::Change => Some(self.places("2", "5000").await.unwrap()),
        };
        self.h.elapse(millis(1_100)).await;
        let scope = self.scope(level);
        let value = Quantity::from_units(value(self.let_in.get())).to_string();
        self.h.limit(&scope, name.text(), &value).await;
        let tried = match &base {
            None => self.places("4", "5100").await,
            Some(id) => {
                let change = json!({
                    "command": "order-change", "id": id, "quantity": "4", "limit_price": "5100",
                });
                self.asks(change).await
            }
        };
        self.set_far(&scope, name).await;
        if let Some(id) = tried.as_ref().ok().or(base.as_ref()) {
            let orders = self.h.orders().await;
            let order = orders.iter().find(|order| order.id.to_string() == *id).unwrap();
            assert_eq!(order.state, OrderState::Working, "{order:?}");
            let size = if tried.is_ok() { "4" } else { "2" };
            assert_eq!(order.quantity.to_string(), size, "{order:?}");
            self.cancel(id).await;
        }
        (tried, value)
    }
}

async fn row(kind: Kind, name: LimitName, exact: &str, code: Code) {
    let desk = Desk::open(910).await;
    let exact: Quantity = exact.parse().unwrap();
    let counts = LimitName::COUNTS.contains(&name);
    let step = if counts { ONE } else { LEAST };
    for level in LimitLevel::ALL.iter().copied().filter(|level| name.fits(*level)) {
        if name == LimitName::MaxSizeMultiple {
            for _ in 0..8 {
                let id = desk.places("2", "5000").await.unwrap();
                desk.cancel(&id).await;
            }
        }
        for (off, is_refused) in [(-step, true), (0, false), (step, false)] {
            let value = |let_in: i64| {
                let before = if name == LimitName::MaxOrdersPerMinute { let_in * ONE } else { 0 };
                exact.units() + before + off
            };
            let (tried, value) = desk.tried(kind, level, name, value).await;
            let told = format!("{kind:?} with {name} {value} at {level}: {tried:?}");
            match tried {
                Ok(_) => assert!(!is_refused, "{told}"),
                Err(no) => {
                    assert!(is_refused && no.code == code, "{told}");
                    if !SHARES.contains(&name) {
                        assert!(no.limit.is_some_and(|limit| limit.contains(&value)), "{told}");
                    }
                }
            }
        }
    }
    assert!(desk.h.verify().await.ok);
    assert!(desk.h.broker.violations().is_empty(), "{:?}", desk.h.broker.violations());
    desk.h.finish().await;
}

#[test]
fn a_new_order_is_held_to_every_limit_at_every_level() {
    for (name, exact, code) in ROWS {
        simulate(async || row(Kind::Create, *name, exact, *code).await);
    }
}

#[test]
fn a_change_is_held_to_every_limit_at_every_level() {
    for (name, exact, code) in ROWS {
        simulate(async || row(Kind::Change, *name, exact, *code).await);
    }
}

/// Whatever may be set is in the table, or is nothing that an order comes to: what was lost, what is
/// forbidden, prices while the market is blind, and how often signals repeat themselves.
#[test]
fn no_limit_is_missing_from_the_table() {
    let elsewhere = [
        LimitName::DailyLoss,
        LimitName::Drawdown,
        LimitName::DrawdownPercent,
        LimitName::MaxRepeatedEntries,
        LimitName::Restricted,
        LimitName::StaticHigh,
        LimitName::StaticLow,
    ];
    for name in LimitName::ALL {
        let is_here = ROWS.iter().any(|(of, _, _)| of == name);
        assert!(is_here != elsewhere.contains(name), "{name}");
    }
}

/// What is forbidden is neither ordered nor changed, at every level; once it is not, it is.
#[test]
fn what_is_restricted_is_neither_ordered_nor_changed() {
    for kind in [Kind::Create, Kind::Change] {
        simulate(async || {
            let desk = Desk::open(911).await;
            let name = LimitName::Restricted;
            for level in LimitLevel::ALL.iter().copied() {
                for value in [ONE, 0] {
                    let (tried, _) = desk.tried(kind, level, name, |_| value).await;
                    let expected = (value != 0).then_some(Code::RiskRestricted);
                    assert_eq!(tried.err().map(|no| no.code), expected, "{kind:?} at {level}");
                }
            }
            desk.h.finish().await;
        });
    }
}

/// S17: the same order again within two seconds is suspect, and not after that.
#[test]
fn s17_the_same_order_is_suspect_for_two_seconds() {
    for (after, expected) in [
        (millis(1_999), Some(Code::DuplicateSuspect)),
        (millis(2_000), Some(Code::DuplicateSuspect)),
        (millis(2_001), None),
    ] {
        simulate(async || {
            let desk = Desk::open(912).await;
            let order = json!({
                "command": "order-create", "account_id": desk.account, "symbol": "ES",
                "side": "buy", "type": "market", "quantity": "1",
            });
            let first = desk.asks(order.clone()).await.unwrap();
            let created = desk.h.orders().await.remove(0).created_at;
            desk.h.elapse(after.saturating_sub(desk.h.now().since(created))).await;
            let again = desk.asks(order).await;
            if expected.is_some() {
                let no = again.as_ref().unwrap_err();
                assert_eq!(no.order_id.unwrap().to_string(), first, "{after:?}");
            } else {
                let orders = desk.h.orders().await;
                assert_eq!(orders[1].created_at.since(created), after);
            }
            assert_eq!(again.err().map(|no| no.code), expected, "{after:?}");
            desk.h.finish().await;
        });
    }
}
