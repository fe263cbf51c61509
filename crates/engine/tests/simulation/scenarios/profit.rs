//! What was made, and the rates that it is counted with.

use super::{Small, millis};
use serde_json::{Value, json};
use tradewarden_broker::port::MarketState;
use tradewarden_domain::money::Price;
use tradewarden_engine::command::{ById, Command, RateSet};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::simulate;

async fn profit(s: &Small) -> Value {
    s.h.command(Command::AccountProfit(ById { id: s.account.clone() })).await
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

/// S23: marked at bid or ask, fees in; and the same after a restart.
#[test]
fn s23_what_was_made_is_exact_and_survives_a_restart() {
    simulate(async || {
        let mut s = Small::with(60, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", Some(price("5010.25")), MarketState::Open);
        s.h.elapse(millis(1_000)).await;
        let seen = profit(&s).await;
        // Two contracts of 50 a point, a fee of a cent.
        assert_eq!((&seen["unrealized"], &seen["realized"]), (&json!("1025"), &json!("-0.01")));
        assert_eq!((&seen["total"], &seen["fees"]), (&json!("1024.99"), &json!("0.01")));
        let half = json!({ "action": "EXIT", "comment": "EXIT_50", "id": "b" });
        super::accept(&s.h, &s.hook, &half).await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", Some(price("4990")), MarketState::Open);
        s.h.elapse(millis(1_000)).await;
        let seen = profit(&s).await;
        assert_eq!((&seen["realized"], &seen["unrealized"]), (&json!("512.48"), &json!("-500")));
        s.h.restart().await;
        s.h.ready().await;
        let again = profit(&s).await;
        assert_eq!((&again["total"], &again["gaps"]), (&json!("12.48"), &json!([])));
        s.end().await;
    });
}

/// A rate that is missing or over is said; it is never taken to be one.
#[test]
fn a_missing_rate_leaves_the_sum_out() {
    simulate(async || {
        let mut s = Small::with(61, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.sabotage("UPDATE instruments SET currency = 'EUR' WHERE symbol = 'ES'");
        s.h.restart().await;
        s.h.ready().await;
        s.h.broker.set_market("ES", Some(price("5001")), MarketState::Open);
        s.h.elapse(millis(1_500)).await;
        let seen = profit(&s).await;
        assert_eq!(seen.get("total"), None, "{seen}");
        assert_eq!(seen["gaps"], json!(["EUR/USD: there is no rate"]));
        assert_eq!(seen["instruments"][0]["unrealized"], "100", "in its own currency");
        let rate = RateSet {
            base: "EUR".to_owned(),
            quote: "USD".to_owned(),
            rate: "1.1".parse().unwrap(),
            source: "test".to_owned(),
            at: None,
            valid_s: Some(60),
        };
        s.h.command(Command::RateSet(rate)).await;
        assert_eq!(profit(&s).await["total"], "109.99");
        s.h.elapse(millis(61_000)).await;
        let seen = profit(&s).await;
        assert_eq!(seen.get("total"), None, "{seen}");
        assert!(seen["gaps"][0].as_str().unwrap().contains("was valid until"), "{seen}");
        s.end().await;
    });
}
