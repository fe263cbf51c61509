//! What reduces is judged as that, by whatever words it comes, and nobody misses its refusal.

use super::position::shared_pair;
use super::{Small, accept, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding};
use tradewarden_engine::command::{ById, Command, CommandError, PositionClose};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, Venue};
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
