//! Brackets (S9): legs follow what has filled, whatever happens in between.

use super::{Small, millis};
use serde_json::{Value, json};
use tradewarden_broker::port::{BrokerOrderState, Capability, MarketState};
use tradewarden_domain::bracket::{Leg, OnNaked};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose, Side};
use tradewarden_domain::strategy::OnOpposite;
use tradewarden_engine::command::{ById, Command, OrderChange};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{Heard, simulate};
use tradewarden_testkit::life::Death;

/// An entry of two at 5000 with its levels.
pub(super) fn bracketed(id: &str) -> Value {
    json!({ "action": "BUY", "id": id, "take_profit": "5050", "stop_loss": "4980" })
}

impl Small {
    pub(super) async fn enter(&self, body: &Value) {
        let reply = self.h.send(&self.hook, body).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
    }

    /// The live legs: kind and what is left to fill.
    pub(super) async fn legs(&self) -> Vec<(Leg, String)> {
        let live = self.live_legs().await;
        live.iter().map(|leg| (leg.leg.unwrap().leg, leg.remaining().to_string())).collect()
    }

    pub(super) async fn live_legs(&self) -> Vec<Order> {
        let mut orders = self.h.orders().await;
        orders.retain(|order| order.leg.is_some() && order.state.is_live());
        orders.sort_by_key(|order| order.leg.unwrap().leg);
        orders
    }

    /// What works at the broker of legs: stop and limit orders.
    pub(super) fn at_broker(&self) -> Vec<String> {
        let orders = self.h.broker.orders().into_iter();
        let legs = orders.filter(|order| {
            order.state.is_live() && (order.stop_price, order.limit_price) != (None, None)
        });
        let left = |order: &tradewarden_broker::port::BrokerOrder| {
            order.quantity.saturating_minus(order.filled_quantity).to_string()
        };
        legs.map(|order| left(&order)).collect()
    }

    pub(super) fn trades_at(&self, price: &str) {
        self.h.broker.set_market("ES", Some(price.parse().unwrap()), MarketState::Open);
    }

    async fn severity(&self, code: &str) -> Option<String> {
        let findings = self.h.findings().await;
        findings.into_iter().find(|found| found.code == code).map(|found| found.severity)
    }
}

pub(super) fn both(quantity: &str) -> Vec<(Leg, String)> {
    vec![(Leg::StopLoss, quantity.to_owned()), (Leg::TakeProfit, quantity.to_owned())]
}

/// S9: within a second of each fill the legs are as large as what has filled; a partial exit makes
/// them smaller, and the end of the position ends them.
#[test]
fn s9_a_bracket_follows_the_filled_quantity() {
    simulate(async || {
        let s = Small::with(320, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::InTwo(millis(3_000)).into()]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.position().await, "1");
        assert_eq!(s.legs().await, both("1"), "{:#?}", s.h.orders().await);
        s.h.elapse(millis(3_000)).await;
        assert_eq!(s.position().await, "2");
        assert_eq!(s.legs().await, both("2"));
        assert_eq!(s.at_broker(), ["2", "2"]);
        let entry = s.order(0).await;
        for leg in s.live_legs().await {
            assert_eq!((leg.side, leg.purpose), (Side::Sell, Purpose::Exit));
            assert_eq!(leg.leg.unwrap().parent_id, entry.id);
            assert_eq!(leg.signal_id, entry.signal_id);
            assert_eq!(leg.state, OrderState::Working);
        }
        let half = json!({ "action": "EXIT", "comment": "EXIT_50", "id": "b" });
        s.enter(&half).await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.position().await, "1");
        assert_eq!(s.legs().await, both("1"));
        s.accept("EXIT", "c").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        assert_eq!(s.at_broker(), [""; 0]);
        assert!(s.h.findings().await.is_empty(), "{:?}", s.h.findings().await);
        let shown = s.h.exposures(&s.account).await;
        assert!(shown.iter().all(|(_, exposure)| exposure.bracket.is_none()), "{shown:?}");
        s.end().await;
    });
}

/// S9: one leg's fill cancels the other, partly or wholly.
#[test]
fn s9_one_leg_cancels_the_other() {
    simulate(async || {
        for (seed, price) in [(321, "5060"), (322, "4970")] {
            let s = Small::with(seed, Venue::default(), |_| {}).await;
            s.enter(&bracketed("a")).await;
            s.h.elapse(millis(1_000)).await;
            assert_eq!(s.legs().await, both("2"));
            s.trades_at(price);
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "at {price}");
            assert_eq!(s.at_broker(), [""; 0]);
            let orders = s.h.orders().await;
            let ends: Vec<_> = orders[1..].iter().map(|leg| (leg.state, leg.code)).collect();
            assert!(ends.contains(&(OrderState::Filled, None)), "{ends:?}");
            let canceled = (OrderState::Canceled, Some(Code::OrderSuperseded));
            assert!(ends.contains(&canceled), "{ends:?}");
            assert_eq!(ends.len(), 2);
            s.end().await;
        }
    });
}

/// S9: where the venue cannot change orders, legs are canceled and placed anew.
#[test]
fn s9_a_venue_without_changes_gets_new_legs() {
    simulate(async || {
        let venue = Venue { replace: Capability::Absent, ..Venue::default() };
        let s = Small::with(323, venue, |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::InTwo(millis(2_000)).into()]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.legs().await, both("1"));
        s.h.elapse(millis(2_500)).await;
        assert_eq!((s.position().await.as_str(), s.legs().await), ("2", both("2")));
        assert_eq!(s.at_broker(), ["2", "2"]);
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S4, S9: where the venue does not keep exits from going past flat, legs end before an exit leaves.
#[test]
fn s4_legs_end_before_an_exit_leaves() {
    simulate(async || {
        let s = Small::with(324, Venue::default(), |_| {}).await;
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        let calls = s.h.broker.records();
        let canceled: Vec<_> = calls.iter().filter(|call| call.call == Call::Cancel).collect();
        assert_eq!(canceled.len(), 2);
        let exit = calls.iter().rfind(|call| call.call == Call::Place).unwrap();
        assert!(canceled.iter().all(|cancel| cancel.at < exit.at), "{canceled:?} {exit:?}");
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S4, S9: an exit does not wait for ever for a leg whose cancel is not answered.
#[test]
fn s4_an_exit_waits_two_seconds_for_legs() {
    simulate(async || {
        let s = Small::with(325, Venue::default(), |_| {}).await;
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        s.h.broker.next_faults(Call::Cancel, &[Fault::LostBefore; 40]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(1_500)).await;
        assert_eq!(s.position().await, "2", "it waits");
        s.h.elapse(millis(2_500)).await;
        assert_eq!(s.position().await, "0");
        s.h.quiet().await;
        assert_eq!(s.held(), 0);
        s.end().await;
    });
}

/// S9: a lost answer makes no second stop, and what arrived late is one order.
#[test]
fn s9_a_lost_answer_makes_no_second_leg() {
    simulate(async || {
        for (seed, fault) in
            [(326, Fault::LostAfter), (327, Fault::LostBefore), (328, Fault::Late(millis(900)))]
        {
            let s = Small::with(seed, Venue::default(), |_| {}).await;
            s.enter(&bracketed("a")).await;
            s.h.elapse(millis(20)).await;
            assert_eq!(s.position().await, "2");
            s.h.broker.next_faults(Call::Place, &[Fault::Throttled, fault]);
            s.h.elapse(millis(8_000)).await;
            assert_eq!(s.legs().await, both("2"), "{fault:?}: {:#?}", s.h.orders().await);
            assert_eq!(s.at_broker(), ["2", "2"], "{fault:?}");
            s.trades_at("4970");
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{fault:?}");
            s.end().await;
        }
    });
}

/// S9: a crash between the fill and its legs leaves them placed after the restart, each once.
#[test]
fn s9_a_crash_after_the_fill_loses_no_leg() {
    simulate(async || {
        for delay in [2, 20, 120, 255, 300, 500, 900] {
            let mut s = Small::with(329, Venue::default(), |_| {}).await;
            s.enter(&bracketed("a")).await;
            s.h.elapse(millis(delay)).await;
            s.h.restart().await;
            s.h.elapse(millis(7_000)).await;
            assert_eq!(s.position().await, "2", "after {delay} ms");
            assert_eq!(s.legs().await, both("2"), "after {delay} ms: {:#?}", s.h.orders().await);
            assert_eq!(s.at_broker(), ["2", "2"], "after {delay} ms");
            s.h.restart().await;
            s.trades_at("5060");
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "after {delay} ms");
            s.end().await;
        }
    });
}

/// S9: a stop that the broker refuses is placed once more; then a person hears of it, and the position
/// is closed where the strategy says so.
#[test]
fn s9_a_naked_position_is_told_or_closed() {
    simulate(async || {
        for (seed, on_naked, held) in [(330, OnNaked::Alert, "2"), (331, OnNaked::Close, "0")] {
            let s = Small::with(seed, Venue::default(), |new| {
                new.stop_loss = Some("20".parse().unwrap());
                new.on_naked = Some(on_naked);
            })
            .await;
            s.h.broker.next_plans(&[
                FillPlan::AtOnce.into(),
                FillPlan::Rejected.into(),
                FillPlan::Rejected.into(),
            ]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(2_500)).await;
            let stops = |orders: Vec<Order>| {
                orders.into_iter().filter(|order| order.order_type == OrderType::Stop).count()
            };
            assert_eq!(stops(s.h.orders().await), 1);
            assert!(!s.h.has_finding("position.naked").await);
            s.h.elapse(millis(2_000)).await;
            assert_eq!(stops(s.h.orders().await), 2, "one retry");
            s.h.elapse(millis(4_000)).await;
            assert_eq!(s.severity("position.naked").await.as_deref(), Some("critical"));
            assert_eq!(s.position().await, held, "{on_naked}");
            assert_eq!(stops(s.h.orders().await), 2);
            s.h.elapse(millis(40_000)).await;
            let told = s.h.findings().await;
            assert_eq!(told.iter().filter(|found| found.code == "position.naked").count(), 1);
            if on_naked == OnNaked::Alert {
                assert_eq!(s.legs().await, [(Leg::StopLoss, "2".to_owned())], "tried again later");
            }
            s.h.broker.set_market("ES", None, MarketState::Open);
            s.end().await;
        }
    });
}

/// S9: the strategy's own distances count from the entry's price, the signal's levels come first.
#[test]
fn s9_the_strategys_levels_and_the_signals() {
    simulate(async || {
        let s = Small::with(332, Venue::default(), |new| {
            new.take_profit = Some("1%".parse().unwrap());
            new.stop_loss = Some("10".parse().unwrap());
        })
        .await;
        s.enter(&json!({ "action": "BUY", "id": "a", "stop_loss": "4970" })).await;
        s.h.elapse(millis(1_000)).await;
        let prices: Vec<_> = s
            .live_legs()
            .await
            .iter()
            .map(|leg| leg.stop_price.or(leg.limit_price).unwrap().to_string())
            .collect();
        assert_eq!(prices, ["4970", "5050"]);
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        // On the wrong side of the price nothing is opened, also where the tick moves a stop there; nor
        // with a stop that cannot be placed.
        for (id, stop) in [("c", "5010"), ("c2", "4999.99")] {
            let wrong = json!({ "action": "BUY", "id": id, "stop_loss": stop });
            let reply = s.h.send(&s.hook, &wrong).await.answer();
            assert_eq!(reply.code, Some(Code::BracketInvalid), "{stop} {reply:?}");
        }
        let trailing = json!({
            "ticker": "ES", "action": "buy", "id": "d", "quantity": 2,
            "stopLoss": { "type": "trailing_stop", "trailAmount": 10 },
        });
        let reply = s.h.send(&s.hook, &trailing).await.answer();
        assert_eq!(reply.code, Some(Code::BracketUnsupported), "{reply:?}");
        s.end().await;
    });
}

/// S5, S9: a reversal opens the other side only once the old side's legs have ended.
#[test]
fn s5_a_reversal_waits_for_the_legs() {
    simulate(async || {
        let s = Small::with(333, Venue::default(), |new| {
            new.on_opposite = Some(OnOpposite::Reverse);
            new.allow_short = true;
            new.stop_loss = Some("20".parse().unwrap());
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.elapse(millis(1_000)).await;
        s.accept("SELL", "b").await;
        s.h.elapse(millis(2_000)).await;
        assert_eq!(s.position().await, "-2", "{:#?}", s.h.orders().await);
        let legs = s.live_legs().await;
        assert_eq!(legs.len(), 1);
        assert_eq!(
            (legs[0].side, legs[0].stop_price.unwrap().to_string().as_str()),
            (Side::Buy, "5020")
        );
        s.trades_at("5030");
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S9: a person moves a leg and it stays there; a leg that a person cancels is not placed again.
#[test]
fn s9_a_person_has_the_last_word_on_a_leg() {
    simulate(async || {
        let s = Small::with(334, Venue::default(), |_| {}).await;
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        let legs = s.live_legs().await;
        let stop_price = Some("4990".parse().unwrap());
        let (id, quantity, limit_price) = (legs[0].id.to_string(), None, None);
        let moved = OrderChange { id, quantity, limit_price, stop_price };
        s.h.command(Command::OrderChange(moved)).await;
        s.h.elapse(millis(3_000)).await;
        let legs = s.live_legs().await;
        assert_eq!(legs[0].stop_price.unwrap().to_string(), "4990");
        let cancel = ById { id: legs[1].id.to_string() };
        s.h.command(Command::OrderCancel(cancel)).await;
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.legs().await, [(Leg::StopLoss, "2".to_owned())]);
        s.trades_at("4985");
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S4: both legs fill before either cancel arrives: what is too much is closed, and told, and nothing more
/// is opened there until a person says so.
#[test]
fn s4_what_went_past_flat_is_closed() {
    simulate(async || {
        let s = Small::with(335, Venue::default(), |_| {}).await;
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        s.h.broker.let_all_fill();
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.severity("position.flipped").await.as_deref(), Some("critical"));
        let halts = s.h.command(Command::HaltStatus).await;
        let halt = &halts["items"][0];
        assert_eq!(
            (&halt["mode"], &halt["engaged_by"]),
            (&"reduce_only".into(), &"reconcile".into())
        );
        assert_eq!(halt["scope"], format!("pair:{}/ES", s.account));
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        let working = s.h.broker.orders();
        assert!(working.iter().all(|order| order.state != BrokerOrderState::Working));
        assert_eq!(s.h.broker.violations().len(), 1, "the second leg went past flat");
        s.h.finish().await;
    });
}

/// S4: a leg fills after its cancel was confirmed, and by the time that is told the strategy is short
/// already: the fill adds to a position, though an exit never does. It is told, and closed.
#[test]
fn s4_a_late_fill_of_a_leg_is_not_added_to_the_other_side() {
    simulate(async || {
        let s = Small::with(337, Venue::default(), |new| new.allow_short = true).await;
        let late = OrderPlan {
            fill: FillPlan::AtOnce,
            report: Report::Late(millis(1_500)),
            crosses: true,
        };
        s.h.broker.next_plans(&[FillPlan::AtOnce.into(), late]);
        s.enter(&json!({ "action": "BUY", "id": "a", "stop_loss": "4980" })).await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.legs().await, [(Leg::StopLoss, "2".to_owned())]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(300)).await;
        assert_eq!(s.position().await, "0", "what crossed is not told yet");
        s.accept("SELL", "c").await;
        s.h.elapse(millis(300)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("-2", -3));
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.severity("position.flipped").await.as_deref(), Some("critical"));
        assert_eq!((s.position().await.as_str(), s.held()), ("-2", -2));
        s.h.finish().await;
    });
}

/// S4: the same when what is too much fills in parts: each part of it is closed.
#[test]
fn s4_each_part_that_went_past_flat_is_closed() {
    simulate(async || {
        let s = Small::with(337, Venue::default(), |_| {}).await;
        let in_two = FillPlan::InTwo(millis(20));
        s.h.broker.next_plans(&[FillPlan::AtOnce.into(), in_two.into(), in_two.into()]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        s.h.broker.let_all_fill();
        s.h.elapse(millis(5_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        assert!(!s.h.broker.violations().is_empty(), "the second leg went past flat");
        s.h.finish().await;
    });
}

/// S4: no halt keeps what went past flat.
#[test]
fn s4_a_halt_keeps_nothing_that_went_past_flat() {
    simulate(async || {
        let s = Small::with(338, Venue::default(), |_| {}).await;
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(1_000)).await;
        s.h.halt(None, "cancel").await;
        s.h.broker.let_all_fill();
        s.h.elapse(millis(5_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        assert_eq!(s.h.broker.violations().len(), 1, "the second leg went past flat");
        s.h.finish().await;
    });
}

/// The profit of one of two is taken under a halt; the rest of that order fills much later.
async fn half_taken(seed: u64, mode: &str, replace: Capability) -> Small {
    let venue = Venue { replace, ..Venue::default() };
    let s = Small::with(seed, venue, |_| {}).await;
    let target = FillPlan::InTwo(millis(600_000));
    s.h.broker.next_plans(&[FillPlan::AtOnce.into(), FillPlan::AtOnce.into(), target.into()]);
    s.enter(&bracketed("a")).await;
    s.h.elapse(millis(1_000)).await;
    assert_eq!(s.legs().await, both("2"));
    s.h.halt(None, mode).await;
    s.trades_at("5060");
    s.h.elapse(millis(2_000)).await;
    s.trades_at("5000");
    assert_eq!((s.position().await.as_str(), s.held()), ("1", 1));
    s
}

/// S9, S20: under every halt a leg gets as small as what is held, and none is taken away for it.
#[test]
fn s9_under_every_halt_legs_are_no_larger_than_the_position() {
    for replace in [Capability::Native, Capability::Absent] {
        for mode in ["block", "cancel", "reduce_only"] {
            simulate(async || {
                let s = half_taken(339, mode, replace).await;
                assert_eq!(s.legs().await, both("1"), "{mode} {replace:?}");
                s.h.elapse(millis(12_000)).await;
                assert_eq!(s.at_broker(), ["1", "1"], "{mode} {replace:?}");
                s.trades_at("4970");
                s.h.elapse(millis(3_000)).await;
                assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{mode} {replace:?}");
                assert_eq!(s.at_broker(), [""; 0]);
                let told = s.h.findings().await;
                assert!(told.iter().all(|found| found.code.starts_with("halt")), "{told:?}");
                s.end().await;
            });
        }
    }
}

/// S20: a leg in another's place is taken back by what would have taken the other back.
#[test]
fn s20_a_leg_in_anothers_place_is_taken_back_like_it() {
    simulate(async || {
        let s = half_taken(340, "cancel", Capability::Absent).await;
        let all = json!({
            "command": "halt-engage", "mode": "cancel", "include_protective": true,
        });
        s.h.command(serde_json::from_value(all).unwrap()).await;
        s.h.elapse(millis(3_000)).await;
        assert_eq!(s.at_broker(), [""; 0], "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S9: at whichever commit or call the process dies, each leg is there once afterwards, as large as the
/// position, and the position ends flat.
#[test]
fn s9_no_crash_loses_or_doubles_a_leg() {
    simulate(async || {
        let commits = (1..=24).flat_map(|n| [Death::BeforeCommit(n), Death::AfterCommit(n)]);
        let calls = (3..=45).step_by(3).flat_map(|n| [Death::BeforeCall(n), Death::AfterCall(n)]);
        let mut protected = 0;
        for death in commits.chain(calls) {
            let mut s = Small::with(336, Venue::default(), |_| {}).await;
            s.h.broker.next_plans(&[FillPlan::InTwo(millis(700)).into()]);
            s.h.stop().await;
            s.h.start(death).await;
            loop {
                s.h.ready().await;
                if let Heard::Answer(reply) = s.h.send(&s.hook, &bracketed("a")).await {
                    let taken = [SignalStatus::Accepted, SignalStatus::Duplicate];
                    assert!(taken.contains(&reply.status), "{death:?}: {reply:?}");
                    break;
                }
                s.h.restart().await;
            }
            s.h.elapse(millis(1_500)).await;
            if !s.h.is_alive() {
                s.h.restart().await;
            }
            s.h.elapse(millis(7_000)).await;
            if !s.h.is_alive() {
                s.h.restart().await;
                s.h.elapse(millis(7_000)).await;
            }
            let entry = s.order(0).await;
            if entry.code == Some(Code::DispatchNotPlaced) {
                // It was about to leave, and never did: it is not sent again.
                assert_eq!((s.position().await.as_str(), s.legs().await), ("0", Vec::new()));
                s.end().await;
                continue;
            }
            assert_eq!(s.position().await, "2", "{death:?}");
            assert_eq!(s.legs().await, both("2"), "{death:?}: {:#?}", s.h.orders().await);
            assert_eq!(s.at_broker(), ["2", "2"], "{death:?}");
            protected += 1;
            s.h.restart().await;
            s.trades_at("4970");
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{death:?}");
            s.end().await;
        }
        assert!(protected > 40, "{protected}");
    });
}
