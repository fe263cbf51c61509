//! What reduces is judged as that, by whatever words it comes, and nobody misses its refusal.

use super::position::shared_pair;
use super::{Small, accept, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing, SymbolSource};
use tradewarden_engine::command::{
    ById, Change, Command, CommandError, PositionClose, StrategyChanges,
};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_engine::tag::IfMatch;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, raw, signal, simulate, strategy};

impl Small {
    /// What was found that a person hears of until somebody has acknowledged it: code and subject.
    async fn critical(&self) -> Vec<(String, String)> {
        critical(&self.h).await
    }
}

async fn critical(h: &Harness) -> Vec<(String, String)> {
    let mut all = h.findings().await;
    all.retain(|found| found.severity == "critical");
    all.reverse();
    all.into_iter().map(|found| (found.code, found.subject)).collect()
}

/// The message of TradingView's guide: the side after the trade says that it closes.
fn goes_flat(s: &Small, id: &str, seconds_ago: u64) -> Value {
    let sent_at = s.h.now().minus(Duration::from_secs(seconds_ago)).to_string();
    json!({
        "action": "sell", "quantity": "2", "market_position": "flat", "market_position_size": "0",
        "id": id, "timenow": sent_at,
    })
}

/// S13: what closes by the side after the trade is as much an exit as EXIT: no age refuses it, but an
/// entry that was sent later does.
#[test]
fn s13_what_ends_flat_is_never_too_old() {
    simulate(async || {
        let s = Small::with(800, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        accept(&s.h, &s.hook, &goes_flat(&s, "b", 91)).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        let at = s.h.now().to_string();
        accept(&s.h, &s.hook, &json!({ "action": "BUY", "id": "c", "timenow": at })).await;
        s.h.quiet().await;
        let late = s.h.send(&s.hook, &goes_flat(&s, "d", 91)).await.answer();
        assert_eq!(late.code, Some(Code::SignalOutOfOrder), "{late:?}");
        let told = s.critical().await;
        assert!(matches!(&told[..], [(code, _)] if code == "signal.out_of_order"), "{told:?}");
        s.end().await;
    });
}

/// S13: where no strategy goes short a sell only closes: its age refuses nothing, an entry that was sent
/// later does. Where one does it may open, and is as old as any entry.
#[test]
fn s13_a_sell_that_can_only_close_is_never_too_old() {
    for (allow_short, code) in [(false, None), (true, Some(Code::SignalStale))] {
        simulate(async || {
            let s = Small::with(806, Venue::default(), |new| new.allow_short = allow_short).await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            let sell = |s: &Small, id: &str, seconds_ago| {
                let sent_at = s.h.now().minus(Duration::from_secs(seconds_ago)).to_string();
                json!({ "action": "SELL", "id": id, "timenow": sent_at })
            };
            let reply = s.h.send(&s.hook, &sell(&s, "b", 200)).await.answer();
            assert_eq!(reply.code, code, "{reply:?}");
            s.h.quiet().await;
            if allow_short {
                return s.end().await;
            }
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
            let at = s.h.now().to_string();
            accept(&s.h, &s.hook, &json!({ "action": "BUY", "id": "c", "timenow": at })).await;
            s.h.quiet().await;
            let late = s.h.send(&s.hook, &sell(&s, "d", 200)).await.answer();
            assert_eq!(late.code, Some(Code::SignalOutOfOrder), "{late:?}");
            s.end().await;
        });
    }
}

/// S18: an account that is switched off opens nothing, and closes by whatever words.
#[test]
fn s18_a_disabled_account_closes_by_an_opposite_signal() {
    for reverse in [false, true] {
        simulate(async || {
            let s = Small::with(801, Venue::default(), |new| {
                if reverse {
                    new.on_opposite = Some(OnOpposite::Reverse);
                    new.allow_short = true;
                }
            })
            .await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            s.h.command(Command::AccountDisable(ById { id: s.account.clone() })).await;
            s.accept("SELL", "b").await;
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
            assert_eq!(s.send("BUY", "c").await.code, Some(Code::AccountOff));
            s.end().await;
        });
    }
}

/// S24: of two strategies on one webhook one closes and the other may not: that is told.
#[test]
fn s24_each_refused_exit_of_a_signal_is_told() {
    simulate(async || {
        let s = Small::with(802, Venue::default(), |_| {}).await;
        let other = s.h.account("other").await;
        let stopped = s.h.strategy(strategy("other", &s.hook, &other, "ES", "2")).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.halt(Some(&format!("strategy:{stopped}")), "block").await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!(s.h.position(&other, "ES").await.to_string(), "2");
        let refused = ("halt.active".to_owned(), format!("{other} ES {stopped}"));
        let told = s.critical().await;
        assert!(told.contains(&refused), "{told:?}");
        // A signal against the position closes, too.
        let before = told.len();
        assert_eq!(s.send("SELL", "c").await.status, SignalStatus::Skipped);
        let told = s.critical().await;
        assert_eq!(told[before..], [refused], "{told:?}");
        s.end().await;
    });
}

/// S24: what closes is refused while entries are taken back for it: the answer is 202, and a person
/// hears that the rest stays.
#[test]
fn s24_a_refused_exit_behind_entries_that_are_taken_back_is_told() {
    simulate(async || {
        let s = Small::with(803, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(1_500))]);
        s.accept("BUY", "b").await;
        s.h.elapse(millis(100)).await;
        s.h.halt(Some(&format!("account:{}", s.account)), "block").await;
        let reply = s.send("EXIT", "c").await;
        let told = s.critical().await;
        let code = |code: &str| told.iter().any(|(told, _)| told == code);
        assert!(code("halt.active"), "{reply:?} {told:?}");
        s.h.quiet().await;
        assert_eq!(s.position().await, "2");
        s.end().await;
    });
}

/// S6, S24: an exit whose size cannot be read is told until somebody has seen it, and so is one whose
/// body is wrong in another way.
#[test]
fn s6_an_exit_that_cannot_be_read_is_told_at_once() {
    simulate(async || {
        let s = Small::with(804, Venue::default(), |_| {}).await;
        for body in [
            json!({ "action": "SELL", "comment": "EXIT_150", "id": "a" }),
            json!({ "action": "EXIT", "timenow": "now", "id": "b" }),
        ] {
            let reply = s.h.send(&s.hook, &body).await.answer();
            assert_eq!(reply.status, SignalStatus::Refused, "{reply:?}");
        }
        let codes: Vec<_> = s.critical().await.into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["signal.exit_size", "signal.field"]);
        s.end().await;
    });
}

/// S16, S24: every exit that is limited is told by itself.
#[test]
fn s16_each_limited_exit_is_told() {
    simulate(async || {
        let s = Small::with(805, Venue::default(), |_| {}).await;
        let exits = 0..203;
        let requests = exits.map(|n| raw(&s.hook, &signal("EXIT", &n.to_string()))).collect();
        let answers = s.h.send_together(requests).await.into_iter().map(Heard::answer);
        let limited = answers.filter(|answer| answer.status == SignalStatus::Refused).count();
        assert!(limited > 1, "{limited}");
        let told = s.critical().await;
        assert_eq!(told.len(), limited, "{told:?}");
        s.h.quiet().await;
        s.end().await;
    });
}

/// S1, S2: while an entry works nothing is called flat, and its cancel is kept, whatever others hold
/// against it.
#[test]
fn s1_a_working_entry_is_asked_back_where_the_net_leaves_nothing_to_close() {
    simulate(async || {
        let h = Harness::sqlite(806, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let [long, short] = [h.webhook("long", 100).await, h.webhook("short", 100).await];
        h.strategy(strategy("long", &long, &account, "ES", "2")).await;
        let mut new = strategy("short", &short, &account, "ES", "2");
        (new.allow_short, new.shared_position) = (true, true);
        h.strategy(new).await;
        h.sane_limits().await;
        accept(&h, &short, &signal("SELL", "a")).await;
        h.quiet().await;
        let rests =
            json!({ "action": "BUY", "id": "b", "order_type": "limit", "limit_price": "4950" });
        accept(&h, &long, &rests).await;
        h.elapse(millis(500)).await;
        assert_eq!(h.orders().await[1].state, OrderState::Working);
        accept(&h, &long, &signal("EXIT", "c")).await;
        h.elapse(millis(1_000)).await;
        assert_eq!(h.orders().await[1].state, OrderState::Canceled);
        h.quiet().await;
        h.finish().await;
    });
}

/// S18, S20: a person closes what the account holds, whichever strategies hold it against others; what
/// is netted away is told, and refused only if nothing at all is left to close.
#[test]
fn s20_a_position_is_closed_though_strategies_hold_against_each_other() {
    simulate(async || {
        let (h, account, [long, short]) = shared_pair(807).await;
        accept(&h, &long, &signal("BUY", "a")).await;
        h.quiet().await;
        accept(&h, &short, &signal("SELL", "b")).await;
        h.quiet().await;
        assert_eq!(h.position(&account, "ES").await.to_string(), "1");
        let close = PositionClose { account: account.clone(), symbol: "ES".to_owned() };
        let view = h.command(Command::PositionClose(close.clone())).await;
        assert_eq!(view["orders"].as_array().unwrap().len(), 1, "{view}");
        h.quiet().await;
        assert_eq!(h.position(&account, "ES").await.to_string(), "0");
        assert!(h.has_finding("position.netted").await);
        let again = h.try_command(Command::PositionClose(close)).await.unwrap();
        assert!(
            matches!(&again, Err(CommandError::Order(no)) if no.code == Code::PositionFlat),
            "{again:?}"
        );
        assert!(h.broker.violations().is_empty(), "{:?}", h.broker.violations());
        h.finish().await;
    });
}

/// S15: a full exit is executed under an id that was used for something else, whatever number stands
/// beside it, unless somebody who follows reads that number.
#[test]
fn s15_a_full_exit_with_a_number_is_no_conflict() {
    for (exit, sizing, executed) in [
        (json!({ "action": "SELL", "comment": "EXIT_FINAL" }), Sizing::Fixed, true),
        (json!({ "action": "SELL", "comment": "EXIT_FINAL" }), Sizing::Payload, true),
        (json!({ "action": "EXIT" }), Sizing::Fixed, true),
        (json!({ "action": "sell", "market_position": "flat" }), Sizing::Fixed, true),
        (json!({ "action": "EXIT" }), Sizing::Payload, false),
        (json!({ "action": "SELL", "comment": "EXIT_50" }), Sizing::Fixed, false),
    ] {
        simulate(async || {
            let s = Small::with(810, Venue::default(), |new| new.sizing = Some(sizing)).await;
            accept(&s.h, &s.hook, &json!({ "action": "BUY", "id": "t1", "contracts": 2 })).await;
            s.h.quiet().await;
            let mut body = exit.clone();
            (body["id"], body["contracts"]) = ("t1".into(), 2.into());
            let reply = s.h.send(&s.hook, &body).await.answer();
            let conflict = Some(Code::DuplicateIdConflict);
            assert_eq!(reply.code, conflict.filter(|_| !executed), "{body} {sizing}");
            s.h.quiet().await;
            s.end().await;
        });
    }
}

/// S5: the entry of a reversal is judged by all checks once the position is closed.
#[test]
fn s5_the_entry_of_a_reversal_is_judged_when_it_leaves() {
    for (what, code) in [
        ("the market closes", Code::RiskMarketClosed),
        ("a limit is tightened", Code::RiskMaxPosition),
        ("the account is switched off", Code::AccountOff),
    ] {
        simulate(async || {
            let s = Small::with(811, Venue::default(), |new| {
                new.on_opposite = Some(OnOpposite::Reverse);
                new.allow_short = true;
            })
            .await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            s.h.broker.next_plans(&[FillPlan::After(millis(3_000)).into()]);
            s.accept("SELL", "b").await;
            s.h.elapse(millis(300)).await;
            match code {
                Code::RiskMarketClosed => {
                    s.h.broker.set_market("ES", None, MarketState::Closed);
                }
                Code::RiskMaxPosition => s.h.limit("org", "max_position", "1").await,
                _ => {
                    s.h.command(Command::AccountDisable(ById { id: s.account.clone() })).await;
                }
            }
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{what}");
            let entry = s.order(2).await;
            assert_eq!((entry.state, entry.code), (OrderState::Expired, Some(code)), "{what}");
            assert!(s.h.has_finding(code.text()).await, "{what}");
            s.end().await;
        });
    }
}

/// S5, S23: what the closing lost counts for the entry behind it.
#[test]
fn s5_a_reversal_opens_nothing_after_a_loss_that_is_too_large() {
    simulate(async || {
        let s = Small::with(812, Venue::default(), |new| {
            new.on_opposite = Some(OnOpposite::Reverse);
            new.allow_short = true;
        })
        .await;
        s.h.limit(&format!("account:{}", s.account), "daily_loss", "1000").await;
        s.h.elapse(millis(4_000)).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", Some("4991".parse().unwrap()), MarketState::Open);
        s.h.elapse(millis(4_000)).await;
        s.h.broker.next_plans(&[FillPlan::After(millis(200)).into()]);
        s.accept("SELL", "b").await;
        s.h.elapse(millis(50)).await;
        s.h.broker.set_market("ES", Some("4985".parse().unwrap()), MarketState::Open);
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// S3: a strategy whose signals name the symbol may trade any, so it shares with all on its account.
#[test]
fn s3_symbols_of_the_payload_are_shared_with_everybody() {
    simulate(async || {
        let s = Small::with(813, Venue::default(), |_| {}).await;
        let of = |name: &str, source| {
            let mut new = strategy(name, &s.hook, &s.account, "AAPL", "2");
            new.symbol_source = Some(source);
            Command::StrategyCreate(new)
        };
        let is_shared = |refused: Result<Value, CommandError>| {
            matches!(&refused, Err(CommandError::Refused { code, .. })
                if *code == Code::RiskSharedPosition)
        };
        let payload = of("payload", SymbolSource::Payload);
        assert!(is_shared(s.h.try_command(payload).await.unwrap()));
        let fixed = s.h.command(of("fixed", SymbolSource::Strategy)).await;
        let changes = StrategyChanges {
            symbol_source: Some(SymbolSource::Payload),
            ..StrategyChanges::default()
        };
        let id = fixed["id"].as_str().unwrap().to_owned();
        let change = |changes| {
            let if_match = IfMatch::default();
            Command::StrategyChange(Change { id: id.clone(), changes, if_match })
        };
        assert!(is_shared(s.h.try_command(change(changes.clone())).await.unwrap()));
        s.h.command(change(StrategyChanges { shared_position: true, ..changes })).await;
        let mut third = strategy("third", &s.hook, &s.account, "BTCUSD", "2");
        let asked = s.h.try_command(Command::StrategyCreate(third.clone())).await.unwrap();
        assert!(is_shared(asked), "the payload may name it");
        third.shared_position = true;
        s.h.strategy(third).await;
        s.end().await;
    });
}

/// S9: a stop that would be at zero or below is none, so nothing is opened behind it.
#[test]
fn s9_a_stop_that_cannot_be_placed_opens_nothing() {
    simulate(async || {
        let s = Small::with(814, Venue::default(), |new| {
            new.stop_loss = Some("6000".parse().unwrap());
        })
        .await;
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::BracketInvalid));
        s.end().await;
    });
}

/// S7: what is less than the smallest order is found, and nothing is sent that the venue would refuse.
#[test]
fn s7_dust_is_found_and_not_sent() {
    simulate(async || {
        let h = Harness::sqlite(815, Venue::default()).await;
        h.broker.take_from("BTCUSD", "0.01");
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("coin", &hook, &account, "BTCUSD", "0.01")).await;
        h.sane_limits().await;
        h.broker.next_plans(&[FillPlan::InTwo(millis(9_000)).into()]);
        accept(&h, &hook, &signal("BUY", "a")).await;
        h.elapse(millis(200)).await;
        accept(&h, &hook, &signal("EXIT", "b")).await;
        h.quiet().await;
        assert_eq!(h.position(&account, "BTCUSD").await.to_string(), "0.005");
        assert_eq!(h.broker.sent().len(), 1, "only the entry");
        assert!(h.has_finding("position.dust").await);
        let reply = h.send(&hook, &signal("EXIT", "c")).await.answer();
        assert_eq!(reply.code, Some(Code::PositionDust), "{reply:?}");
        let close = PositionClose { account, symbol: "BTCUSD".to_owned() };
        let refused = h.try_command(Command::PositionClose(close)).await.unwrap();
        assert!(
            matches!(&refused, Err(CommandError::Order(no)) if no.code == Code::PositionFlat),
            "{refused:?}"
        );
        assert_eq!(h.broker.sent().len(), 1);
        assert!(h.broker.violations().is_empty(), "{:?}", h.broker.violations());
        h.finish().await;
    });
}

/// S1: where the broker does not tell its positions an exit goes by the journal, and that is told.
#[test]
fn s1_an_exit_by_the_journal_is_told() {
    simulate(async || {
        let s = Small::with(816, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert!(!s.h.has_finding("position.unread").await, "the broker was heard");
        s.accept("BUY", "c").await;
        s.h.quiet().await;
        s.h.broker.next_faults(Call::Positions, &[Fault::Throttled; 3]);
        s.h.elapse(millis(11_000)).await;
        s.accept("EXIT", "d").await;
        s.h.elapse(millis(1_000)).await;
        assert!(s.h.has_finding("position.unread").await);
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}
