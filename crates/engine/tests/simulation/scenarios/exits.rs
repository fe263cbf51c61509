//! Orders that rest at a price, beside exits, entries and what is compared (S2, S3, S4).

use super::{Small, accept, millis};
use serde_json::json;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, OrderType, Side};
use tradewarden_domain::strategy::{OnOpposite, Pyramiding};
use tradewarden_engine::command::{Command, OrderCreate, PositionClose};
use tradewarden_testkit::broker::{Call, Fault, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{Harness, signal, simulate, strategy};

impl Small {
    /// A caller's own order; with a price it rests.
    pub(super) async fn own(
        &self,
        side: Side,
        size: &str,
        order_type: OrderType,
        reduce_only: bool,
    ) {
        let price = match (order_type, side) {
            (OrderType::Limit, Side::Sell) | (OrderType::Stop, Side::Buy) => "5100",
            _ => "4900",
        };
        let price = |wanted| (order_type == wanted).then(|| price.parse().unwrap());
        let new = OrderCreate {
            account_id: self.account.clone(),
            symbol: "ES".to_owned(),
            side,
            order_type,
            quantity: size.parse().unwrap(),
            limit_price: price(OrderType::Limit),
            stop_price: price(OrderType::Stop),
            time_in_force: None,
            reduce_only,
            expires_at: None,
            tag: None,
            allow_repeat: true,
        };
        self.h.command(Command::OrderCreate(new)).await;
        self.h.elapse(millis(300)).await;
    }

    async fn close(&self) {
        let close = PositionClose { account: self.account.clone(), symbol: "ES".to_owned() };
        self.h.command(Command::PositionClose(close)).await;
    }

    /// Two are held, and an exit of so many rests.
    async fn with_resting_exit(seed: u64, size: &str) -> Self {
        let s = Self::with(seed, Venue::default(), |new| {
            new.on_opposite = Some(OnOpposite::Reverse);
            new.allow_short = true;
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.own(Side::Sell, size, OrderType::Limit, true).await;
        assert_eq!(s.order(1).await.state, OrderState::Working);
        s
    }

    fn calls(&self, call: Call) -> usize {
        self.h.broker.records().iter().filter(|record| record.call == call).count()
    }
}

/// S4: whoever closes all of a position takes back the exits that rest, and is sized without them.
#[test]
fn s4_a_full_exit_takes_back_what_rests() {
    for size in ["2", "1"] {
        for way in ["exit", "opposite", "close", "off"] {
            simulate(async || {
                let s = Small::with_resting_exit(350, size).await;
                match way {
                    "exit" => s.accept("EXIT", "b").await,
                    "opposite" => s.accept("SELL", "b").await,
                    "close" => s.close().await,
                    _ => {
                        let list = s.h.command(Command::StrategyList).await;
                        let off = json!({
                            "command": "strategy-change", "id": list["items"][0]["id"],
                            "changes": { "state": "off", "open_position": "flatten" },
                        });
                        s.h.command(serde_json::from_value(off).unwrap()).await;
                    }
                }
                s.h.quiet().await;
                let rests = s.order(1).await;
                assert_eq!(rests.state, OrderState::Canceled, "{way} {size}");
                assert_eq!(rests.code, Some(Code::OrderSuperseded));
                let held = if way == "opposite" { "-2" } else { "0" };
                assert_eq!(s.position().await, held, "{way} {size} {:#?}", s.h.orders().await);
                s.end().await;
            });
        }
    }
}

/// S4: a part of a position is closed beside what rests, which stays.
#[test]
fn s4_a_partial_exit_leaves_what_rests() {
    simulate(async || {
        let s = Small::with_resting_exit(351, "1").await;
        let half = json!({ "action": "EXIT", "comment": "EXIT_50", "id": "b" });
        accept(&s.h, &s.hook, &half).await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(
            (s.position().await.as_str(), s.held()),
            ("1", 1),
            "half of the one that is left"
        );
        assert_eq!(s.order(1).await.state, OrderState::Working);
        s.end().await;
    });
}

/// S7: a part of a position is a part of what is held, not of an entry that rests and is asked back.
#[test]
fn s7_half_is_half_of_what_is_held() {
    simulate(async || {
        let s = Small::with(353, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        let held = s.position().await;
        let rest = json!({
            "action": "BUY", "id": "b", "order_type": "limit", "limit_price": "4900",
        });
        accept(&s.h, &s.hook, &rest).await;
        s.h.elapse(millis(1_000)).await;
        let half = json!({ "action": "EXIT", "comment": "EXIT_50", "id": "c" });
        accept(&s.h, &s.hook, &half).await;
        s.h.quiet().await;
        assert_eq!((held.as_str(), s.position().await.as_str()), ("2", "1"));
        s.end().await;
    });
}

/// S4: the exit is not sent for what may still fill otherwise: it waits until that has ended, 2 s at
/// most for all of it, and for the rest as long as it takes.
#[test]
fn s4_an_exit_waits_for_what_it_took_back() {
    simulate(async || {
        let s = Small::with_resting_exit(352, "1").await;
        s.h.broker.next_faults(Call::Cancel, &[Fault::LostBefore; 15]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(1_500)).await;
        assert_eq!((s.calls(Call::Place), s.held()), (2, 2), "it waits for all");
        s.h.elapse(millis(1_000)).await;
        assert_eq!((s.calls(Call::Place), s.held()), (3, 1), "what is certain leaves");
        assert_eq!(s.order(1).await.state, OrderState::Working);
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S4: an exit that rests holds up neither entries nor other exits.
#[test]
fn s4_an_exit_that_rests_holds_nothing_up() {
    for order_type in [OrderType::Limit, OrderType::Stop] {
        simulate(async || {
            let s = Small::with(353, Venue::default(), |_| {}).await;
            s.own(Side::Buy, "10", OrderType::Market, false).await;
            s.own(Side::Sell, "3", order_type, false).await;
            s.own(Side::Buy, "2", OrderType::Market, false).await;
            assert_eq!((s.position().await.as_str(), s.held()), ("12", 12), "{order_type}");
            s.own(Side::Sell, "2", OrderType::Market, false).await;
            assert_eq!((s.position().await.as_str(), s.held()), ("10", 10), "{order_type}");
            s.close().await;
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{order_type}");
            assert!(s.h.findings().await.is_empty(), "{:?}", s.h.findings().await);
            s.end().await;
        });
    }
}

/// S2: what is unknown of one instrument delays no exit of another on the same account.
#[test]
fn s2_one_instruments_unknown_never_delays_anothers_exit() {
    simulate(async || {
        let s = Small::with(354, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        let other = s.h.webhook("other", 100).await;
        s.h.strategy(strategy("aapl", &other, &s.account, "AAPL", "2")).await;
        accept(&s.h, &other, &signal("BUY", "a")).await;
        s.h.quiet().await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostBefore]);
        s.accept("BUY", "b").await;
        s.h.elapse(millis(500)).await;
        assert_eq!(s.order(1).await.state, OrderState::Unknown);
        accept(&s.h, &other, &signal("EXIT", "c")).await;
        s.h.elapse(millis(100)).await;
        assert_eq!(s.h.position(&s.account, "AAPL").await.to_string(), "0");
        assert_eq!(s.order(1).await.state, OrderState::Unknown, "it is unknown still");
        s.h.quiet().await;
        s.end().await;
    });
}

/// S3: what rests for days hides no difference from the broker's position.
#[test]
fn s3_a_mismatch_is_seen_while_an_entry_rests() {
    simulate(async || {
        let s = Small::with(355, Venue::default(), |_| {}).await;
        s.own(Side::Buy, "1", OrderType::Limit, false).await;
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "ES", "3".parse().unwrap());
        s.h.elapse(millis(12_000)).await;
        assert!(s.h.has_finding("position.mismatch").await);
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::HaltActive));
        s.end().await;
    });
}

/// S3: fills that are told some seconds late are no mismatch, also of an order that rested.
#[test]
fn s3_a_late_fill_of_a_resting_order_is_no_mismatch() {
    simulate(async || {
        let s = Small::with(356, Venue::default(), |_| {}).await;
        let late = OrderPlan {
            fill: FillPlan::AtOnce,
            report: Report::Late(millis(4_000)),
            ..OrderPlan::default()
        };
        s.h.broker.next_plans(&[late]);
        s.own(Side::Buy, "2", OrderType::Limit, false).await;
        let price = Some("4890".parse().unwrap());
        s.h.broker.set_market("ES", price, tradewarden_broker::port::MarketState::Open);
        s.h.elapse(millis(12_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));
        assert!(!s.h.has_finding("position.mismatch").await);
        s.end().await;
    });
}

/// C14: after a restart entries wait until fills and positions were compared; exits do not.
#[test]
fn c14_entries_wait_until_positions_were_compared() {
    simulate(async || {
        let mut s = Small::with(357, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_faults(Call::Positions, &[Fault::LostBefore; 5]);
        s.h.restart().await;
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(500)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "what closes goes out");
        s.accept("BUY", "c").await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.order(2).await.state, OrderState::Accepted);
        s.h.elapse(millis(6_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// C14, S3: a position that changed while the gateway was down stops the entry that waits for it.
#[test]
fn c14_what_changed_meanwhile_lets_no_entry_out() {
    simulate(async || {
        let mut s = Small::with(358, Venue::default(), |new| new.send_within_s = Some(60)).await;
        s.h.stop().await;
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "ES", "3".parse().unwrap());
        s.h.restart().await;
        s.h.ready().await;
        s.accept("BUY", "a").await;
        s.h.elapse(millis(12_000)).await;
        assert_eq!(s.order(0).await.code, Some(Code::DispatchHalted));
        assert_eq!(s.calls(Call::Place), 0);
        s.end().await;
    });
}

/// S24: a venue that ends the rest of an order as rejected has ended it: nothing stays reserved, another
/// exit closes the rest, and a person is told once.
#[test]
fn s24_a_rest_that_is_rejected_has_ended() {
    simulate(async || {
        let s = Small::with(69, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_plans(&[FillPlan::InTwo(millis(600_000)).into()]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.order(1).await.state, OrderState::PartiallyFilled);
        s.h.broker.reject_what_works();
        s.h.elapse(millis(6_000)).await;
        let exit = s.order(1).await;
        assert_eq!((exit.state, exit.code), (OrderState::Canceled, Some(Code::BrokerRejected)));
        assert_eq!((s.position().await.as_str(), s.held()), ("1", 1));
        let findings = s.h.findings().await;
        let told = findings.iter().filter(|found| found.code == "order.exit_rejected").count();
        assert_eq!(told, 1, "{findings:#?}");
        s.accept("EXIT", "c").await;
        s.h.elapse(millis(6_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S4: an exit waits for another that is under way. Nobody was heard to say that the other has ended (here
/// the database was changed; in life its end met a reading of the live orders that had begun before): what
/// is no longer live is forgotten, or no exit of the pair would ever leave again.
#[test]
fn s4_an_exit_that_has_ended_unheard_holds_up_no_other() {
    simulate(async || {
        let s = Small::with(229, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(2_000)).await;
        assert_eq!(s.order(1).await.state, OrderState::Working);
        let ended = "UPDATE orders SET state = 'canceled', live = 0 WHERE purpose = 'exit'; \
                     UPDATE exposures SET exit_sell = 0";
        s.h.change_behind(ended).await;
        s.h.elapse(millis(10_000)).await;
        s.accept("EXIT", "c").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.h.finish().await;
    });
}
