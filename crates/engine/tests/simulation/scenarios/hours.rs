//! When something trades: the strategy's schedule, the hours of the market.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, Venue};
use tradewarden_testkit::engine::simulate;

/// A strategy that opens from 09:30 to 09:33 in New York; simulated days begin at 09:30.
async fn for_three_minutes(seed: u64) -> Small {
    Small::with(seed, Venue::default(), |new| {
        new.schedule = Some("mon-fri 09:30-09:33 America/New_York".parse().unwrap());
    })
    .await
}

/// The line of the schedule in the trace of the signal that was stored last.
async fn traced(s: &Small) -> Value {
    let signals = s.h.signals().await;
    let checks: Value = serde_json::from_str(&signals.last().unwrap().checks).unwrap();
    let lines = checks.as_array().unwrap().clone();
    lines.into_iter().find(|line| line["name"] == "strategy.schedule").unwrap()
}

/// S18: outside of the schedule entries are refused, and exits pass with the check traced.
#[test]
fn s18_a_schedule_stops_entries_and_no_exit() {
    simulate(async || {
        let mut s = for_three_minutes(60).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        let line = traced(&s).await;
        assert_eq!(line["result"], "pass", "{line}");
        assert_eq!(line["limit"], "mon-fri 09:30-09:33 America/New_York");
        s.h.elapse(Duration::from_mins(3)).await;
        s.accept("EXIT", "b").await;
        let line = traced(&s).await;
        assert_eq!((&line["result"], &line["code"]), (&json!("skip"), &json!("strategy.schedule")));
        assert_eq!(line["input"], "Mon 2026-03-02 09:33 America/New_York");
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        let refused = s.send("BUY", "c").await;
        assert_eq!(
            (refused.status, refused.code),
            (SignalStatus::Refused, Some(Code::StrategySchedule))
        );
        assert_eq!(traced(&s).await["result"], "fail");
        // What is stored is read again.
        s.h.restart().await;
        assert_eq!(s.send("BUY", "d").await.code, Some(Code::StrategySchedule));
        // The next day at 09:30 it opens again.
        until(&s, "2026-03-03T14:31:00Z").await;
        s.accept("BUY", "e").await;
        s.end().await;
    });
}

/// An entry that was accepted in the last second of the window does not leave after it (S12).
#[test]
fn s12_an_entry_does_not_leave_after_its_window() {
    simulate(async || {
        let s = for_three_minutes(61).await;
        let last_second: Timestamp = "2026-03-02T14:32:59.2Z".parse().unwrap();
        s.h.elapse(last_second.since(s.h.now())).await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(1_500))]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(8_000)).await;
        let order = s.order(0).await;
        assert_eq!((order.state, order.code), (OrderState::Expired, Some(Code::DispatchExpired)));
        assert!(s.h.broker.sent().is_empty());
        s.end().await;
    });
}

/// An entry that rests is taken back when the window ends (S12).
#[test]
fn s12_a_resting_entry_ends_with_its_window() {
    simulate(async || {
        let s = for_three_minutes(62).await;
        let resting = json!({
            "action": "BUY", "id": "a", "order_type": "limit", "limit_price": "4990",
            "time_in_force": "gtc",
        });
        let reply = s.h.send(&s.hook, &resting).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        s.h.elapse(Duration::from_mins(2)).await;
        assert_eq!(s.order(0).await.state, OrderState::Working);
        s.h.elapse(Duration::from_secs(70)).await;
        assert_eq!(s.order(0).await.state, OrderState::Canceled);
        s.end().await;
    });
}

/// Goes to an instant: the last minutes by the timers, what is before them by the clock alone.
pub(super) async fn until(s: &Small, instant: &str) {
    let instant: Timestamp = instant.parse().unwrap();
    let span = instant.since(s.h.now());
    let timed = span.min(Duration::from_mins(2));
    s.h.clock.advance(span.saturating_sub(timed));
    s.h.elapse(timed).await;
}

/// S14: where the broker does not say whether the market is open, our calendar does: entries are
/// refused, and an exit is held, told, and sent at the first tradable second.
#[test]
fn s14_our_calendar_counts_where_the_broker_says_nothing() {
    simulate(async || {
        let s = Small::with(63, Venue::default(), |new| "AAPL".clone_into(&mut new.symbol)).await;
        s.h.broker.set_market("AAPL", None, MarketState::Unknown);
        until(&s, "2026-03-02T20:59:50Z").await;
        s.h.broker.set_market("AAPL", None, MarketState::Open);
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("AAPL", None, MarketState::Unknown);
        until(&s, "2026-03-02T21:00:00.5Z").await;
        s.accept("EXIT", "b").await;
        until(&s, "2026-03-03T14:29:59Z").await;
        assert_eq!(s.order(1).await.code, Some(Code::ExitPendingOpen));
        assert_eq!(s.h.broker.sent().len(), 1, "held");
        until(&s, "2026-03-03T14:30:01Z").await;
        assert_eq!(s.h.broker.sent().len(), 2, "at the first tradable second");
        let told = s.h.findings().await;
        let told = told.iter().filter(|found| found.code == "exit.pending_open").count();
        assert_eq!(told, 2, "now and then");
        s.end().await;
    });
}

/// S14: where nobody knows the hours, nothing opens, and what closes is sent (S18): the venue knows them.
#[test]
fn s14_an_exit_goes_where_nobody_knows_the_hours() {
    simulate(async || {
        let s = Small::with(65, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", None, MarketState::Unknown);
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.send("BUY", "b").await.code, Some(Code::RiskMarketClosed));
        s.accept("EXIT", "c").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S14: what the broker says comes before our calendar, both ways, and for no longer than a minute.
#[test]
fn s14_the_broker_is_asked_first() {
    simulate(async || {
        let s = Small::with(64, Venue::default(), |new| "AAPL".clone_into(&mut new.symbol)).await;
        s.h.broker.set_market("AAPL", None, MarketState::Closed);
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::RiskMarketClosed));
        until(&s, "2026-03-02T22:00:00Z").await;
        s.h.broker.set_market("AAPL", None, MarketState::Unknown);
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.send("BUY", "b").await.code, Some(Code::RiskMarketClosed));
        s.h.broker.set_market("AAPL", None, MarketState::Open);
        s.h.elapse(millis(1_000)).await;
        s.accept("BUY", "c").await;
        s.h.quiet().await;
        s.end().await;
    });
}
