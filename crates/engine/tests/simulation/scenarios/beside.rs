//! What rests at a limit beside a stop (S4, S9), and stops that are too small to send (S7).

use super::{Small, accept, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::Capability;
use tradewarden_domain::bracket::{Leg, OnNaked};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{Order, OrderState, OrderType, Side};
use tradewarden_testkit::broker::{FillPlan, OrderPlan, Venue};
use tradewarden_testkit::engine::{Harness, signal, simulate, strategy};

/// An entry of two at 5000 with a stop and nothing else.
fn stopped() -> Value {
    json!({ "action": "BUY", "id": "a", "stop_loss": "4980" })
}

fn stop(quantity: &str) -> Vec<(Leg, String)> {
    vec![(Leg::StopLoss, quantity.to_owned())]
}

impl Small {
    /// The caller's own exit that rests.
    async fn own_exit(&self) -> Order {
        let orders = self.h.orders().await;
        let own = |order: &&Order| order.order_type == OrderType::Limit && order.leg.is_none();
        orders.iter().find(own).unwrap().clone()
    }

    /// Two are held behind a stop of two, and an exit of so many rests at 5100.
    async fn behind_a_stop(seed: u64, replace: Capability, size: &str) -> Self {
        let s = Self::with(seed, Venue { replace, ..Venue::default() }, |_| {}).await;
        s.enter(&stopped()).await;
        s.h.elapse(millis(1_000)).await;
        s.own(Side::Sell, size, OrderType::Limit, true).await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.own_exit().await.state, OrderState::Working);
        s
    }

    async fn is_flat(&self) {
        self.h.quiet().await;
        assert_eq!((self.position().await.as_str(), self.held()), ("0", 0));
        assert!(!self.h.has_finding("position.flipped").await);
        assert!(!self.h.has_finding("position.naked").await);
    }
}

const REPLACES: [(u64, Capability); 2] = [(0, Capability::Native), (1, Capability::Absent)];

/// S9: an exit that rests far away takes nothing from the stop, which stays as large as the position;
/// when the stop fills, what rests is taken back.
#[test]
fn s9_a_resting_exit_leaves_the_stop_whole() {
    simulate(async || {
        for (number, replace) in REPLACES {
            for size in ["2", "1"] {
                let s = Small::behind_a_stop(380 + number, replace, size).await;
                assert_eq!(s.legs().await, stop("2"), "{size}");
                s.trades_at("4970");
                s.is_flat().await;
                let rested = s.own_exit().await;
                let ended = (OrderState::Canceled, Some(Code::OrderSuperseded));
                assert_eq!((rested.state, rested.code), ended, "{size}");
                s.end().await;
            }
        }
    });
}

/// S9: with a leg that takes the profit, that one leaves room for what rests, and the stop does not.
#[test]
fn s9_a_resting_exit_is_a_part_of_the_target() {
    simulate(async || {
        let s = Small::with(384, Venue::default(), |_| {}).await;
        let both = json!({
            "action": "BUY", "id": "a", "stop_loss": "4980", "take_profit": "5050",
        });
        s.enter(&both).await;
        s.h.elapse(millis(1_000)).await;
        s.own(Side::Sell, "1", OrderType::Limit, true).await;
        s.h.elapse(millis(1_000)).await;
        let legs = [(Leg::StopLoss, "2".to_owned()), (Leg::TakeProfit, "1".to_owned())];
        assert_eq!(s.legs().await, legs);
        s.trades_at("5060");
        s.h.elapse(millis(1_500)).await;
        assert_eq!((s.position().await.as_str(), s.legs().await), ("1", stop("1")));
        s.trades_at("5100");
        s.is_flat().await;
        s.end().await;
    });
}

/// S4, S9: both fill in parts, in either order; each part makes the other smaller within a second, and
/// nothing goes past flat.
#[test]
fn s9_partial_fills_of_stop_and_resting_exit_shrink_each_other() {
    simulate(async || {
        let part = || OrderPlan::from(FillPlan::InTwo(Duration::from_secs(20)));
        for (number, replace) in REPLACES {
            // What rests fills first.
            let s = Small::with(385 + number, Venue { replace, ..Venue::default() }, |_| {}).await;
            s.enter(&stopped()).await;
            s.h.elapse(millis(1_000)).await;
            s.h.broker.next_plans(&[part()]);
            s.own(Side::Sell, "2", OrderType::Limit, true).await;
            s.h.elapse(millis(1_000)).await;
            s.trades_at("5100");
            s.h.elapse(millis(1_000)).await;
            s.trades_at("5000");
            s.h.elapse(millis(1_000)).await;
            assert_eq!((s.position().await.as_str(), s.legs().await), ("1", stop("1")));
            assert_eq!(s.own_exit().await.state, OrderState::PartiallyFilled);
            s.trades_at("4970");
            s.is_flat().await;
            s.end().await;

            // The stop fills first.
            let s = Small::with(387 + number, Venue { replace, ..Venue::default() }, |_| {}).await;
            s.h.broker.next_plans(&[FillPlan::AtOnce.into(), part()]);
            s.enter(&stopped()).await;
            s.h.elapse(millis(1_000)).await;
            s.own(Side::Sell, "2", OrderType::Limit, true).await;
            s.h.elapse(millis(1_000)).await;
            s.trades_at("4970");
            s.h.elapse(millis(1_500)).await;
            assert_eq!((s.position().await.as_str(), s.legs().await), ("1", stop("1")));
            let rests = s.own_exit().await;
            if replace == Capability::Absent {
                assert_eq!(rests.state, OrderState::Canceled);
            } else {
                let shown = (rests.state, rests.remaining().to_string());
                assert_eq!(shown, (OrderState::Working, "1".to_owned()));
            }
            s.is_flat().await;
            s.end().await;
        }
    });
}

/// S7, S9: a stop that is less than the smallest order is not sent; a person hears that the position has
/// none and that nothing can close it, and once more is held the stop is there.
#[test]
fn s7_a_stop_of_dust_is_told_and_not_sent() {
    simulate(async || {
        let h = Harness::sqlite(389, Venue::default()).await;
        h.broker.take_from("BTCUSD", "0.01");
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        let mut new = strategy("coin", &hook, &account, "BTCUSD", "0.01");
        (new.stop_loss, new.on_naked) = (Some("1000".parse().unwrap()), Some(OnNaked::Close));
        h.strategy(new).await;
        h.sane_limits().await;
        h.broker.next_plans(&[FillPlan::InTwo(Duration::from_secs(20)).into()]);
        accept(&h, &hook, &signal("BUY", "a")).await;
        h.elapse(Duration::from_secs(15)).await;
        assert_eq!(h.position(&account, "BTCUSD").await.to_string(), "0.005");
        assert_eq!(h.broker.sent().len(), 1, "only the entry");
        let findings = h.findings().await;
        for code in ["position.naked", "position.dust"] {
            assert_eq!(findings.iter().filter(|found| found.code == code).count(), 1, "{code}");
        }
        h.elapse(Duration::from_secs(7)).await;
        let orders = h.orders().await;
        let legs: Vec<_> = orders.iter().filter(|order| order.leg.is_some()).collect();
        assert_eq!(legs.len(), 1, "{orders:#?}");
        let leg = (legs[0].state, legs[0].quantity.to_string());
        assert_eq!(leg, (OrderState::Working, "0.01".to_owned()));
        assert!(h.broker.violations().is_empty(), "{:?}", h.broker.violations());
        h.finish().await;
    });
}
