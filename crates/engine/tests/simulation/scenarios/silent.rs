//! An account of which nothing is heard holds up no other one of its broker.

use super::{Small, accept, millis};
use tradewarden_broker::port::MarketState;
use tradewarden_domain::order::OrderState;
use tradewarden_engine::command::Command;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Venue};
use tradewarden_testkit::engine::{Harness, Hook, signal, simulate, strategy};

/// A second account, and a webhook whose strategy trades two ES there.
async fn second(s: &Small) -> (String, Hook) {
    let account = s.h.account("second").await;
    let hook = s.h.webhook("second", 100).await;
    s.h.strategy(strategy("second", &hook, &account, "ES", "2")).await;
    s.h.elapse(millis(1_500)).await;
    (account, hook)
}

/// S20: what one halt asks a broker in vain, about positions or about the legs of a bracket, keeps another
/// halt from nothing.
#[test]
fn s20_a_silent_account_holds_up_no_other_halt() {
    for call in [Call::Positions, Call::Find] {
        simulate(async || {
            let s = Small::with(901, Venue::default(), |new| {
                (new.take_profit, new.stop_loss) =
                    (Some("50".parse().unwrap()), Some("20".parse().unwrap()));
            })
            .await;
            s.accept("BUY", "a").await;
            let (other, hook) = second(&s).await;
            accept(&s.h, &hook, &signal("BUY", "b")).await;
            s.h.elapse(millis(1_000)).await;
            assert_eq!(s.h.position(&other, "ES").await.to_string(), "2");
            let legs = s.h.orders().await.into_iter().filter(|order| order.leg.is_some());
            let works = |order: &_| matches!(order, OrderState::Working);
            assert_eq!(legs.filter(|leg| works(&leg.state)).count(), 2);

            // What was closed by hand is no fill of ours; whether it is one of a leg is asked.
            let ill = Harness::broker_account(&s.account);
            s.h.broker.move_by_hand(ill, "ES", "-2".parse().unwrap());
            s.h.broker.hang_on(call, ill);
            s.h.halt(Some(&format!("account:{}", s.account)), "flatten").await;
            s.h.elapse(millis(6_500)).await;
            s.h.halt(Some(&format!("account:{other}")), "flatten").await;
            s.h.elapse(millis(700)).await;
            assert!(s.h.position(&other, "ES").await.is_zero(), "{call:?}");
            s.h.finish().await;
        });
    }
}

/// S8, S23: the equity of one account that is not heard keeps nobody from hearing that of another: what it
/// bounds is let in, and halted.
#[test]
fn s23_a_silent_account_holds_up_no_other_equity() {
    simulate(async || {
        let s = Small::with(902, Venue::default(), |_| {}).await;
        let (other, hook) = second(&s).await;
        s.h.broker.hang_on(Call::Account, Harness::broker_account(&s.account));
        s.h.limit("org", "drawdown_percent", "1").await;
        let silent = s.send("BUY", "a").await;
        assert_eq!(silent.status, SignalStatus::Refused, "{silent:?}");
        accept(&s.h, &hook, &signal("BUY", "b")).await;
        s.h.elapse(millis(70_000)).await;
        assert_eq!(s.h.position(&other, "ES").await.to_string(), "2");

        // A minute later it is still known: 1,500 of 100,000 are lost.
        let price = Some("4985".parse().unwrap());
        s.h.broker.set_market("ES", price, MarketState::Open);
        s.h.elapse(millis(6_000)).await;
        let halts = s.h.command(Command::HaltStatus).await;
        let scopes: Vec<_> = halts["items"].as_array().unwrap().iter().collect();
        assert_eq!(scopes.len(), 1, "{halts}");
        assert_eq!(scopes[0]["engaged_by"], "drawdown");
        assert_eq!(scopes[0]["scope"], format!("account:{other}"));
        s.h.finish().await;
    });
}
