//! What stops an order before it leaves: halts, time, a closed market.

use super::{Small, keys, millis};
use serde_json::json;
use tokio::task::JoinSet;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::CommandError;
use tradewarden_engine::intake::{Received, SignalStatus};
use tradewarden_testkit::broker::{Call, Fault, Venue};
use tradewarden_testkit::engine::{Harness, halt_engage, raw, signal, simulate, strategy};
use tradewarden_testkit::life::Death;

/// C11: a disk that needs 15 ms for a commit is slow, not a halt.
#[test]
fn orders_leave_though_commits_are_slow() {
    simulate(async || {
        let mut s = Small::with(4, Venue::default(), |_| {}).await;
        s.h.commit_takes = millis(15);
        s.h.restart().await;
        s.h.ready().await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "2", "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// C11: a halt of the webhook covers the orders of its signals.
#[test]
fn c11_a_halted_webhook_sends_nothing() {
    simulate(async || {
        let s = Small::with(5, Venue::default(), |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(1_000))]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(100)).await;
        s.h.halt(Some(&format!("webhook:{}", s.hook.id)), "block").await;
        s.h.elapse(millis(5_000)).await;
        assert!(s.h.broker.sent().is_empty(), "{:?}", s.h.broker.sent());
        assert_eq!(s.order(0).await.code, Some(Code::DispatchHalted));
        s.end().await;
    });
}

/// What ends an order that a halt of this mode finds before it left.
fn ended_by(mode: HaltMode) -> Code {
    if mode.cancels() { Code::OrderCanceled } else { Code::DispatchHalted }
}

/// C11: whatever is halted, and however far, what was accepted and has not left does not leave, and
/// nothing more is accepted. A key's halt is apart: see [`c11_a_halted_key_sends_nothing`].
#[test]
fn c11_every_halt_stops_what_has_not_left() {
    for scope in ["global", "org", "account", "strategy", "webhook", "instrument", "pair"] {
        for mode in HaltMode::ALL {
            simulate(async || {
                let s = Small::with(6, Venue::default(), |new| {
                    new.pyramiding = Some(Pyramiding::Allow);
                })
                .await;
                s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(1_000))]);
                s.accept("BUY", "a").await;
                s.h.elapse(millis(100)).await;
                let scope = match scope {
                    "org" => format!("org:{}", s.h.org().await),
                    "account" => format!("account:{}", s.account),
                    "strategy" => format!("strategy:{}", s.order(0).await.strategy_id.unwrap()),
                    "webhook" => format!("webhook:{}", s.hook.id),
                    "instrument" => "instrument:ES".to_owned(),
                    "pair" => format!("pair:{}/ES", s.account),
                    other => other.to_owned(),
                };
                s.h.halt(Some(&scope), mode.text()).await;
                let refused = s.send("BUY", "b").await;
                assert_eq!(refused.code, Some(Code::HaltActive), "{scope} {mode}");
                s.h.elapse(millis(5_000)).await;
                assert!(s.h.broker.sent().is_empty(), "{scope} {mode}: {:?}", s.h.broker.sent());
                let order = s.order(0).await;
                let ended = (order.state, order.code);
                assert_eq!(ended, (OrderState::Canceled, Some(ended_by(*mode))), "{scope} {mode}");
                s.end().await;
            });
        }
    }
}

/// C11: a halt of a key stops what the key asked for and nothing else, however far it goes.
#[test]
fn c11_a_halted_key_sends_nothing() {
    for mode in HaltMode::ALL {
        simulate(async || {
            let s = Small::with(8, Venue::default(), |new| {
                new.pyramiding = Some(Pyramiding::Allow);
            })
            .await;
            let hook = s.h.webhook("of the key", 100).await;
            let own = s.h.strategy(strategy("own", &hook, &s.account, "AAPL", "1")).await;
            // Only of a key with a strategy of its own is known what a halt would close.
            let settings = json!({"scopes": ["orders:create"], "strategy_id": own});
            let bot = keys::key(&s.h, settings).await;
            let order = async |nonce: &str| {
                let asked = json!({
                    "command": "order-create", "account_id": s.account, "symbol": "AAPL",
                    "side": "buy", "type": "market", "quantity": "1", "allow_repeat": true,
                });
                let actor = keys::caller(&s.h, &bot, nonce);
                let engine = s.h.engine();
                let command = serde_json::from_value(asked).unwrap();
                s.h.drive(engine.execute(command, &actor)).await.unwrap()
            };
            let away = Fault::Away(millis(1_000));
            s.h.broker.next_faults(Call::Place, &[away, away]);
            order("nonce-0000000000000001").await.unwrap();
            s.accept("BUY", "a").await;
            s.h.elapse(millis(100)).await;
            let scope = format!("key:{}", bot["id"].as_str().unwrap());
            s.h.halt(Some(&scope), mode.text()).await;
            match order("nonce-0000000000000002").await {
                Err(CommandError::Order(no)) => assert_eq!(no.code, Code::HaltActive, "{mode}"),
                other => panic!("{mode}: {other:?}"),
            }
            s.accept("BUY", "b").await;
            s.h.elapse(millis(5_000)).await;
            s.h.quiet().await;
            let sent: Vec<_> =
                s.h.broker.sent().iter().map(|sent| sent.order.symbol.to_string()).collect();
            assert_eq!(sent, ["ES", "ES"], "{mode}");
            let orders = s.h.orders().await;
            let of_key = orders.iter().find(|order| order.symbol.as_str() == "AAPL").unwrap();
            let ended = (of_key.state, of_key.code);
            assert_eq!(ended, (OrderState::Canceled, Some(ended_by(*mode))), "{mode}");
            assert_eq!(s.position().await, "4", "{mode}");
            s.end().await;
        });
    }
}

/// S12: an entry that could not leave in time expires, and a person hears of it.
#[test]
fn s12_an_entry_is_not_sent_late() {
    simulate(async || {
        let mut s = Small::with(16, Venue::default(), |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(12_000))]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(3_000)).await;
        s.h.restart().await;
        s.h.elapse(millis(15_000)).await;
        let order = s.order(0).await;
        assert_eq!(order.state, OrderState::Expired);
        assert!(s.h.broker.sent().is_empty());
        s.end().await;
    });
    simulate(async || {
        let s = Small::with(16, Venue::default(), |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(12_000))]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(15_000)).await;
        assert_eq!(s.order(0).await.code, Some(Code::DispatchExpired));
        assert!(s.h.has_finding("dispatch.expired").await);
        s.end().await;
    });
}

/// S14: an exit is held while the market is closed, and leaves when it opens; both are told, once.
/// Entries are refused.
#[test]
fn s14_an_exit_waits_for_the_market() {
    simulate(async || {
        let mut s = Small::with(17, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", None, MarketState::Closed);
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.send("BUY", "b").await.status, SignalStatus::Skipped);
        s.accept("EXIT", "c").await;
        s.h.elapse(millis(20_000)).await;
        assert_eq!(s.order(1).await.code, Some(Code::ExitPendingOpen));
        let told = async |h: &Harness| {
            h.findings().await.iter().filter(|found| found.code == "exit.pending_open").count()
        };
        assert_eq!(told(&s.h).await, 1);
        s.h.restart().await;
        s.h.elapse(millis(20_000)).await;
        assert_eq!(s.h.broker.sent().len(), 1, "held");
        assert_eq!(told(&s.h).await, 1);
        let late = s.send("BUY", "d").await;
        assert_eq!(late.code, Some(Code::RiskMarketClosed), "{late:?}");
        s.h.broker.set_market("ES", None, MarketState::Open);
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.h.broker.sent().len(), 2, "at the first tradable second");
        s.h.quiet().await;
        assert_eq!(told(&s.h).await, 2);
        assert_eq!(s.order(1).await.code, None);
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// A halt that is engaged while an attempt is journaled and before its call stops the call.
#[test]
fn a_halt_command_is_durable_and_survives() {
    simulate(async || {
        let mut s = Small::with(23, Venue::default(), |_| {}).await;
        let halted = s.h.try_command(halt_engage(None, "block")).await;
        assert!(halted.unwrap().is_ok());
        s.h.crash().await;
        s.h.start(Death::Never).await;
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::HaltActive));
        let orders = s.h.orders().await;
        assert!(orders.iter().all(|order| order.purpose == Purpose::Exit), "{orders:?}");
        s.end().await;
    });
}

/// A second entry that would be skipped is told of the halt, and of a strategy that takes exits only.
#[test]
fn s18_a_halt_is_told_before_a_skip() {
    simulate(async || {
        let s = Small::with(338, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        assert_eq!(s.send("BUY", "b").await.code, Some(Code::StrategyAlreadyLong));
        let engage = json!({ "command": "halt-engage", "mode": "reduce_only" });
        s.h.command(serde_json::from_value(engage).unwrap()).await;
        let refused = s.send("BUY", "c").await;
        assert_eq!((refused.status, refused.code), (SignalStatus::Refused, Some(Code::HaltActive)));
        s.accept("EXIT", "d").await;
        s.h.quiet().await;
        s.end().await;
    });
}

/// C11: a halt is heeded whatever the machine was busy with between the attempt and the call: once it
/// is answered, nothing leaves.
#[test]
fn c11_nothing_leaves_once_a_halt_is_answered() {
    simulate(async || {
        let s = Small::with(339, Venue::default(), |_| {}).await;
        let mut stopped = 0;
        for phase in 0..60 {
            // So much is to do that the dispatcher's turn comes late.
            let mut busy: JoinSet<()> = JoinSet::new();
            for _ in 0..200 {
                busy.spawn(async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
            }
            let engine = s.h.engine();
            let entry = raw(&s.hook, &signal("BUY", &format!("a{phase}")));
            let halted = s.h.drive(async {
                let Received::Answer(answer) = engine.receive(entry).await else { panic!("taken") };
                assert_eq!(answer.status, SignalStatus::Accepted);
                tokio::time::advance(millis(2)).await;
                for _ in 0..phase {
                    tokio::task::yield_now().await;
                }
                let halt = engine.execute(halt_engage(None, "block"), &Actor::operator()).await;
                (halt.unwrap(), s.h.broker.sent().len())
            });
            let (halt, sent) = halted.await.unwrap();
            busy.shutdown().await;
            s.h.elapse(millis(1_500)).await;
            assert_eq!(s.h.broker.sent().len(), sent, "phase {phase}");
            s.h.resume(halt["id"].as_str().unwrap()).await;
            let last = s.h.orders().await.pop().unwrap();
            stopped += u32::from(last.code == Some(Code::DispatchHalted));
            if last.state == OrderState::Filled {
                s.accept("EXIT", &format!("b{phase}")).await;
            }
            s.h.quiet().await;
        }
        assert!(stopped > 0, "the halt came too late each time");
        s.end().await;
    });
}

/// S24: what could not leave is tried again in time however much else happens.
#[test]
fn s24_a_retry_comes_though_other_orders_keep_the_dispatcher_busy() {
    for offset in [0, 200, 400, 600, 800] {
        simulate(async || {
            let s = Small::with(340, Venue::default(), |_| {}).await;
            let other = s.h.account("other").await;
            let hook = s.h.webhook("other", 100).await;
            let mut new = strategy("other", &hook, &other, "BTCUSD", "0.001");
            new.pyramiding = Some(Pyramiding::Allow);
            s.h.strategy(new).await;
            s.h.elapse(millis(offset)).await;
            s.h.broker.next_faults(Call::Place, &[Fault::Throttled]);
            s.accept("BUY", "a").await;
            let name = s.order(0).await.client_order_id();
            for number in 0..40 {
                s.h.elapse(millis(30)).await;
                super::accept(&s.h, &hook, &signal("BUY", &format!("o{number}"))).await;
            }
            let calls = s.h.broker.records();
            let about = calls.iter().filter(|call| {
                call.call == Call::Place && call.client_order_id.as_deref() == Some(name.as_str())
            });
            let at: Vec<_> = about.map(|call| call.at).collect();
            assert_eq!(at.len(), 2, "{at:?}");
            assert!(at[1].since(at[0]) < millis(400), "{offset}: {at:?}");
            s.h.quiet().await;
            s.h.finish().await;
        });
    }
}
