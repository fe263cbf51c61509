//! Limits in percent of the equity (S8, S23) over a stored period, against sums made by hand.

use super::replay::{period, policy, sent, tried};
use super::replay_losses::{by_steps, cents, price, time, trade, trader, with};
use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::time::Timestamp;
use tradewarden_testkit::broker::{Call, Fault};
use tradewarden_testkit::engine::simulate;

async fn worth(small: &Small, text: &str) {
    small.h.broker.say_equity(text.parse().unwrap());
    small.h.elapse(millis(100_000)).await;
}

/// When the signals came that a policy refuses for this; by steps of two sizes it is the same.
async fn refused(small: &Small, from: &Value, limits: &Value, code: &str) -> Vec<Timestamp> {
    let mut asked = period(small, from, limits);
    let (_, whole) = by_steps(small, asked.clone(), 5_000).await;
    assert_eq!(by_steps(small, asked.clone(), 1).await.1, whole);
    asked["signals_max"] = json!(5_000);
    let told = tried(&small.h, asked).await.unwrap();
    let refused = told["differences"].as_array().unwrap().iter();
    let refused = refused.filter(|one| one["now"]["code"] == code);
    refused.map(|one| time(&one["received_at"])).collect()
}

/// One is 5,000 at 50 a point: 250,000. Of 100,000 that is 250 percent, of 125,000 it is 200, of 80,000
/// it is 312.5.
#[test]
fn s8_a_replay_judges_credit_by_the_equity_of_its_time() {
    simulate(async || {
        let small = trader(341, "00:00 UTC").await;
        price(&small, "5000").await;
        worth(&small, "100000").await;
        let from = json!(small.h.now());
        let mut entries = Vec::new();
        for (number, equity) in (0..).zip(["100000", "125000", "80000"]) {
            worth(&small, equity).await;
            entries.push(small.h.now());
            trade(&small, number * 2, "BUY").await;
            trade(&small, number * 2 + 1, "EXIT").await;
        }
        for (percent, expected) in [
            ("199.99999999", vec![0, 1, 2]),
            ("200", vec![0, 2]),
            ("200.00000001", vec![0, 2]),
            ("249.99999999", vec![0, 2]),
            ("250", vec![2]),
            ("312.49999999", vec![2]),
            ("312.5", vec![]),
        ] {
            let limits = with(&small, "credit_percent", percent).await;
            let found = refused(&small, &from, &limits, "risk.credit").await;
            let found: Vec<usize> = found
                .iter()
                .map(|at| entries.iter().rposition(|entry| entry <= at).unwrap())
                .collect();
            assert_eq!(found, expected, "{percent}");
        }
        small.end().await;
    });
}

/// Where the broker was silent nothing is known of it: that is told, and nothing is refused for it.
#[test]
fn s8_a_replay_tells_for_which_signals_no_equity_was_stored() {
    simulate(async || {
        let small = trader(342, "00:00 UTC").await;
        price(&small, "5000").await;
        worth(&small, "100000").await;
        let from = json!(small.h.now());
        trade(&small, 0, "BUY").await;
        trade(&small, 1, "EXIT").await;
        small.h.broker.next_faults(Call::Account, &[Fault::LostBefore; 40]);
        trade(&small, 2, "BUY").await;
        trade(&small, 3, "EXIT").await;
        small.h.elapse(millis(60_000)).await;
        let silent = small.h.now();
        trade(&small, 4, "BUY").await;
        let limits = with(&small, "credit_percent", "249").await;
        let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
        assert_eq!((&told["judged"], &told["without_equity"]), (&json!(5), &json!(1)), "{told:#}");
        let unknown = &told["equity_not_known"][0];
        assert_eq!(unknown["account_ids"], json!([small.account]));
        assert!(time(&unknown["received_at"]) >= silent, "{told:#}");
        let codes: Vec<_> = told["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["now"]["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, ["risk.credit", "strategy.flat", "risk.credit", "strategy.flat"]);
        // Nothing that asks for an equity: nothing to tell.
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["without_equity"], &told["differs"]), (&json!(0), &json!(0)));
        small.end().await;
    });
}

/// Where the limits were in force, the replay comes to what was answered, silence included.
#[test]
fn s8_a_replay_comes_to_the_refusals_that_there_were() {
    simulate(async || {
        let small = trader(343, "00:00 UTC").await;
        price(&small, "5000").await;
        let account = format!("account:{}", small.account);
        small.h.limit(&account, "credit_percent", "250").await;
        worth(&small, "100000").await;
        let from = json!(small.h.now());
        trade(&small, 0, "BUY").await;
        trade(&small, 1, "EXIT").await;
        worth(&small, "99999").await;
        trade(&small, 2, "BUY").await;
        small.h.broker.next_faults(Call::Account, &[Fault::LostBefore; 90]);
        small.h.elapse(millis(70_000)).await;
        trade(&small, 3, "BUY").await;
        let signals = small.h.signals().await;
        let codes: Vec<_> = signals.iter().filter_map(|signal| signal.code.as_deref()).collect();
        assert_eq!(codes, ["risk.credit", "risk.equity_stale"]);
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["judged"], &told["unexplained"]), (&json!(4), &json!(0)), "{told:#}");
        assert_eq!((&told["differs"], &told["without_equity"]), (&json!(0), &json!(0)));
        small.end().await;
    });
}

/// 500 made, then 1,000 lost, a cent for each of four fills: 1,000.02 below the best, which was 499.98.
/// When that was so, before one more that changes nothing but costs two cents.
async fn rise_and_fall(small: &Small) -> Value {
    for (number, (bought, sold)) in (0..).zip([("5000", "5010"), ("5010", "4990")]) {
        price(small, bought).await;
        trade(small, number * 2, "BUY").await;
        price(small, sold).await;
        trade(small, number * 2 + 1, "EXIT").await;
    }
    let fallen = json!(small.h.now());
    trade(small, 100, "BUY").await;
    trade(small, 101, "EXIT").await;
    fallen
}

/// S23: with 99,001.98 there would be 100,002 without the fall, and one percent of that is the fall.
#[test]
fn s23_a_replay_judges_a_drawdown_in_percent_from_the_best() {
    simulate(async || {
        let small = trader(344, "00:00 UTC").await;
        worth(&small, "99001.98").await;
        let from = json!(small.h.now());
        let fallen = rise_and_fall(&small).await;
        for (percent, trips) in [("0.99999999", 1), ("1", 1), ("1.00000001", 0)] {
            let limits = with(&small, "drawdown_percent", percent).await;
            let mut asked = period(&small, &from, &limits);
            if trips == 0 {
                asked["to"] = fallen.clone();
            }
            let whole = by_steps(&small, asked.clone(), 5_000).await;
            assert_eq!(by_steps(&small, asked, 1).await, whole);
            let (told, changed) = whole;
            assert_eq!((told.len(), changed.len()), (trips, trips * 2), "{percent}: {told:#?}");
            let Some(trip) = told.first() else { continue };
            assert_eq!(trip["limit"], "drawdown");
            assert_eq!(cents(&trip["loss"]), 100_002, "{trip}");
            assert_eq!(cents(&trip["allowed"]), if percent == "1" { 100_002 } else { 100_001 });
            assert_eq!(changed, [r#""refused" "halt.active""#, r#""skipped" "strategy.flat""#]);
        }
        small.end().await;
    });
}

/// S23: with a cent more there would be 100,002.01, and the fall is less than one percent of it.
#[test]
fn s23_a_replay_takes_the_drawdown_in_percent_of_the_equity_of_its_time() {
    simulate(async || {
        let small = trader(345, "00:00 UTC").await;
        worth(&small, "99001.99").await;
        let from = json!(small.h.now());
        let fallen = rise_and_fall(&small).await;
        let limits = with(&small, "drawdown_percent", "1").await;
        let mut asked = period(&small, &from, &limits);
        asked["to"] = fallen;
        let told = tried(&small.h, asked).await.unwrap();
        assert_eq!((&told["trips"], &told["differs"]), (&json!([]), &json!(0)), "{told:#}");
        assert_eq!(told["without_equity"], 0);
        small.end().await;
    });
}

/// S23: where a fall in percent halted in truth, the replay comes to it.
#[test]
fn s23_a_replay_comes_to_the_drawdown_in_percent_that_there_was() {
    simulate(async || {
        let small = trader(346, "00:00 UTC").await;
        let account = format!("account:{}", small.account);
        small.h.limit(&account, "drawdown_percent", "1").await;
        worth(&small, "99001.98").await;
        let from = json!(small.h.now());
        rise_and_fall(&small).await;
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["unexplained"], &told["differs"]), (&json!(0), &json!(0)), "{told:#}");
        assert_eq!(told["trips"].as_array().unwrap().len(), 1, "{told:#}");
        let signals = small.h.signals().await;
        assert!(signals.iter().any(|signal| signal.code.as_deref() == Some("halt.active")));
        small.end().await;
    });
}

/// S23: a halt that a loss of an earlier session engaged is one of the time.
#[test]
fn s23_a_replay_keeps_the_halt_of_an_earlier_session() {
    simulate(async || {
        // The simulated day begins at 14:30.
        let small = trader(347, "15:00 UTC").await;
        let account = format!("account:{}", small.account);
        small.h.limit(&account, "drawdown", "400").await;
        small.h.elapse(millis(3_000)).await;
        price(&small, "5000").await;
        trade(&small, 1, "BUY").await;
        price(&small, "4990").await;
        trade(&small, 2, "EXIT").await;
        small.h.clock.advance(Duration::from_mins(35));
        small.h.elapse(millis(5_000)).await;
        let from = json!(small.h.now());
        sent(&small, &json!({"action": "BUY", "id": "later", "quantity": "1"})).await;
        small.h.quiet().await;
        let signals = small.h.signals().await;
        assert_eq!(signals.last().unwrap().code.as_deref(), Some("halt.active"));
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["judged"], &told["unexplained"]), (&json!(1), &json!(0)), "{told:#}");
        small.end().await;
    });
}
