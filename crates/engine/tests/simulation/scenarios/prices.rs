//! S22: what prices are measured against.

use super::hours::until;
use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderType, Side};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::command::{Command, OrderCreate};
use tradewarden_testkit::broker::{Call, ScriptedBroker, Venue};
use tradewarden_testkit::engine::{Harness, simulate};

impl Small {
    /// Ten AAPL at 200 beside what the strategy does.
    async fn holds_a_stock(&self) {
        let new = OrderCreate {
            account_id: self.account.clone(),
            symbol: "AAPL".to_owned(),
            side: Side::Buy,
            order_type: OrderType::Market,
            quantity: "10".parse().unwrap(),
            limit_price: None,
            stop_price: None,
            time_in_force: None,
            reduce_only: false,
            expires_at: None,
            tag: None,
            allow_repeat: true,
        };
        self.h.command(Command::OrderCreate(new)).await;
        self.h.quiet().await;
        assert_eq!(self.h.position(&self.account, "AAPL").await.to_string(), "10");
    }
}

/// Outside of trading what is held is counted at what it was last heard at while it traded, also after
/// a restart, and though the venue says nothing any more. Without such a price nothing is opened.
#[test]
fn s22_a_prior_close_outlives_a_restart() {
    for silent_from_the_start in [false, true] {
        simulate(async || {
            let mut s = Small::with(90, Venue::default(), |_| {}).await;
            s.h.limit("org", "max_gross_exposure", "10000000").await;
            s.holds_a_stock().await;
            if silent_from_the_start {
                s.h.sabotage(
                    "CREATE TRIGGER lost BEFORE INSERT ON closes BEGIN SELECT RAISE(IGNORE); END",
                );
            }
            until(&s, "2026-03-02T20:59:58Z").await;
            s.h.broker.set_market("AAPL", Some("210".parse().unwrap()), MarketState::Open);
            s.h.elapse(millis(1_500)).await;
            s.h.broker.set_market("AAPL", Some("999".parse().unwrap()), MarketState::Closed);
            s.h.elapse(Duration::from_mins(2)).await;
            s.h.broker.fall_silent("AAPL");
            s.h.restart().await;
            s.h.ready().await;
            s.h.elapse(millis(1_000)).await;
            if silent_from_the_start {
                assert_eq!(s.send("BUY", "a").await.code, Some(Code::RiskReferenceStale));
                s.end().await;
                return;
            }
            // Two ES and ten AAPL: at 210 they are 2,100.
            let worth = |of_stocks: i64| (2 * 5_000 * 50 + of_stocks).to_string();
            s.h.limit("org", "max_gross_exposure", &worth(2_099)).await;
            assert_eq!(s.send("BUY", "a").await.code, Some(Code::RiskMaxGrossExposure));
            s.h.limit("org", "max_gross_exposure", &worth(2_100)).await;
            s.accept("BUY", "b").await;
            s.h.quiet().await;
            s.end().await;
        });
    }
}

/// A closing order skips the collar, and whatever else is known or not about its price.
#[test]
fn s22_closing_orders_skip_the_collar() {
    simulate(async || {
        let s = Small::with(91, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.fall_silent("ES");
        s.h.elapse(Duration::from_secs(65)).await;
        let refused = s.send("BUY", "b").await.code;
        let unknown = [Some(Code::RiskReferenceStale), Some(Code::RiskMarketClosed)];
        assert!(unknown.contains(&refused), "{refused:?}");
        let far = serde_json::json!({ "action": "EXIT", "id": "c", "price": "1" });
        super::accept(&s.h, &s.hook, &far).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

impl Small {
    /// Changes the only strategy there is.
    async fn becomes(&self, changes: Value) {
        let list = self.h.command(Command::StrategyList).await;
        let id = list["items"][0]["id"].clone();
        let change = json!({ "command": "strategy-change", "id": id, "changes": changes });
        self.h.command(serde_json::from_value(change).unwrap()).await;
    }

    async fn lines(&self) -> Vec<Value> {
        let signals = self.h.signals().await;
        serde_json::from_str(&signals.last().unwrap().checks).unwrap()
    }
}

/// Once quotes stop, a strategy that enters blind enters a little at the market, inside the band of its
/// instrument alone; the trace says which rule let it through, and an exit needs none of it.
#[test]
fn s22_a_blind_market_entry_needs_permission_band_and_little() {
    simulate(async || {
        let mut s = Small::with(92, Venue::default(), |new| {
            "BTCUSD".clone_into(&mut new.symbol);
            new.quantity = "1".parse().unwrap();
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.h.elapse(Duration::from_mins(2)).await;
        s.h.broker.fall_silent("BTCUSD");
        s.h.elapse(Duration::from_secs(65)).await;
        let stale = Some(Code::RiskReferenceStale);
        let band = async |end: &str, price: &str| s.h.limit("instrument:BTCUSD", end, price).await;
        band("static_low", "59000").await;
        band("static_high", "59999").await;
        assert_eq!(s.send("BUY", "not allowed").await.code, stale);
        s.becomes(json!({ "blind_market": true })).await;
        assert_eq!(s.send("BUY", "outside").await.code, Some(Code::RiskStaticBand));
        band("static_high", "60000").await;
        let limited =
            json!({ "action": "BUY", "id": "b", "order_type": "limit", "limit_price": "60000" });
        assert_eq!(s.h.send(&s.hook, &limited).await.answer().code, stale);
        let stated = json!({ "action": "BUY", "id": "c", "price": "60001" });
        let refused = s.h.send(&s.hook, &stated).await.answer().code;
        assert_eq!(refused, Some(Code::RiskStaticBand), "a stated price may refuse");
        s.becomes(json!({ "quantity": "2" })).await;
        assert_eq!(s.send("BUY", "too much").await.code, Some(Code::RiskBlindQuantity));
        s.becomes(json!({ "quantity": "1" })).await;
        assert!(s.h.broker.sent().is_empty());

        s.accept("BUY", "d").await;
        let lines = s.lines().await;
        let line = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap().clone();
        let blind = line("risk.blind_market");
        assert_eq!((&blind["result"], &blind["limit"]), (&json!("pass"), &json!("1")));
        let collar = line("risk.price_collar");
        let shown = (&collar["input"], &collar["limit"]);
        assert_eq!(shown, (&json!("60000"), &json!("59000 to 60000")));
        s.h.quiet().await;
        assert_eq!(s.h.position(&s.account, "BTCUSD").await.to_string(), "1");

        // What it was last heard at outlives a restart; without the band there is nothing to enter in.
        s.h.restart().await;
        s.h.ready().await;
        s.h.elapse(millis(1_000)).await;
        s.accept("BUY", "e").await;
        s.h.quiet().await;
        let gone = json!({
            "command": "limit-delete",
            "limit": { "scope": "instrument:BTCUSD", "name": "static_low" },
        });
        s.h.command(serde_json::from_value(gone).unwrap()).await;
        assert_eq!(s.send("BUY", "no band").await.code, stale);
        s.accept("EXIT", "f").await;
        s.h.quiet().await;
        assert_eq!(s.h.position(&s.account, "BTCUSD").await.to_string(), "0");
        s.end().await;
    });
}

/// A broker that takes long to answer holds up neither the quotes nor the fills and positions of another.
#[test]
fn a_slow_broker_holds_up_no_other() {
    simulate(async || {
        let mut h = Harness::sqlite(862, Venue::default()).await;
        let far = Venue { latency: Duration::from_secs(20), ..Venue::default() };
        h.second = Some(ScriptedBroker::new(h.clock.clone(), far));
        h.restart().await;
        h.ready().await;
        // The first account is the slow broker's: whoever goes one by one begins with it.
        h.account_with("slow", |new| new.broker = "other".to_owned()).await;
        h.account("main").await;
        h.elapse(millis(6_000)).await;
        let calls = [Call::Quote, Call::FillsSince, Call::Positions];
        let asked = || {
            let records = h.broker.records();
            calls.map(|call| records.iter().filter(|record| record.call == call).count())
        };
        let before = asked();
        h.elapse(millis(30_000)).await;
        let after = asked();
        let more = [0, 1, 2].map(|place| after[place] - before[place]);
        // Three instruments twice a second; an account where nothing is live each five seconds.
        assert!(more[0] >= 150 && more[1] >= 5 && more[2] >= 5, "{more:?}");
        h.finish().await;
    });
}
