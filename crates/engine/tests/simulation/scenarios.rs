//! One rule each, by hand.

use serde_json::json;
use std::time::Duration;
use tradewarden_broker::port::{Capability, MarketState};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::Order;
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_domain::strategy::{OnOpposite, Pyramiding};
use tradewarden_engine::command::StrategyCreate;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{
    Harness, Heard, Hook, Reply, halt_engage, raw, signal, simulate, strategy,
};
use tradewarden_testkit::life::Death;

/// A gateway with one strategy: two ES on one account.
struct Small {
    h: Harness,
    hook: Hook,
    account: String,
}

impl Small {
    async fn with(seed: u64, venue: Venue, change: impl FnOnce(&mut StrategyCreate)) -> Self {
        let h = Harness::sqlite(seed, venue).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        let mut new = strategy("es", &hook, &account, "ES", "2");
        change(&mut new);
        h.strategy(new).await;
        h.sane_limits().await;
        Self { h, hook, account }
    }

    async fn send(&self, action: &str, id: &str) -> Reply {
        self.h.send(&self.hook, &signal(action, id)).await.answer()
    }

    async fn accept(&self, action: &str, id: &str) {
        let reply = self.send(action, id).await;
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
    }

    async fn position(&self) -> String {
        self.h.position(&self.account, "ES").await.to_string()
    }

    fn held(&self) -> i64 {
        let account = Harness::broker_account(&self.account);
        self.h.broker.holding(account, &"ES".parse().unwrap()).ours / 100_000_000
    }

    async fn order(&self, place: usize) -> Order {
        self.h.orders().await[place].clone()
    }

    async fn end(self) {
        let verification = self.h.verify().await;
        assert!(verification.ok, "{verification:?}");
        assert_eq!(self.h.broker.violations(), [""; 0]);
        assert!(self.h.broker.doubled().is_empty(), "{:?}", self.h.broker.doubled());
        self.h.finish().await;
    }
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn an_entry_fills_and_an_exit_closes_it() {
    simulate(async || {
        let s = Small::with(1, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "2");
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        assert!(s.h.findings().await.is_empty(), "{:?}", s.h.findings().await);
        s.end().await;
    });
}

/// S1, S5: an opposite signal takes back what has not left yet, too.
#[test]
fn s5_an_opposite_signal_meets_an_unsent_entry() {
    simulate(async || {
        let s = Small::with(2, Venue::default(), |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::Away(millis(1_500))]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(100)).await;
        s.accept("SELL", "b").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S1, S5: the same within one transaction.
#[test]
fn s5_an_opposite_signal_comes_with_its_entry() {
    simulate(async || {
        let s = Small::with(3, Venue::default(), |_| {}).await;
        let both = ["BUY", "SELL"].map(|action| raw(&s.hook, &signal(action, action)));
        s.h.send_together(Vec::from(both)).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

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

#[test]
fn c11_every_halt_stops_what_has_not_left() {
    for scope in ["global", "org", "account", "instrument:ES", "pair"] {
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
                "pair" => format!("pair:{}/ES", s.account),
                other => other.to_owned(),
            };
            s.h.halt(Some(&scope), "reduce_only").await;
            let refused = s.send("BUY", "b").await;
            assert_eq!(refused.code, Some(Code::HaltActive), "{scope}");
            s.h.elapse(millis(5_000)).await;
            assert!(s.h.broker.sent().is_empty(), "{scope}: {:?}", s.h.broker.sent());
            assert_eq!(s.order(0).await.code, Some(Code::DispatchHalted), "{scope}");
            s.end().await;
        });
    }
}

/// "Absent" proves nothing before the venue's look-ups have settled.
#[test]
fn absence_is_believed_only_when_look_ups_have_settled() {
    for authoritative in [true, false] {
        simulate(async || {
            let venue = Venue {
                find_is_authoritative_after_expiry: authoritative,
                find_settles_after: millis(800),
                find_lag: millis(700),
                ..Venue::default()
            };
            let s = Small::with(7, venue, |_| {}).await;
            s.h.broker.usual_plan(FillPlan::Rests);
            s.h.broker.next_faults(Call::Place, &[Fault::Late(millis(1_980))]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(8_000)).await;
            assert_eq!(s.order(0).await.state, OrderState::Working, "{authoritative}");
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            assert_eq!(s.position().await, "2");
            s.end().await;
        });
    }
}

/// C7: what was called and not heard is never called again; if the broker never had it, it expires.
#[test]
fn c7_an_unheard_order_is_asked_for_and_never_sent_again() {
    for (fault, filled) in [(Fault::LostBefore, "0"), (Fault::LostAfter, "2")] {
        simulate(async || {
            let s = Small::with(8, Venue::default(), |_| {}).await;
            s.h.limit("org", "max_position", "3").await;
            s.h.broker.next_faults(Call::Place, &[fault]);
            s.h.broker.next_plans(&[FillPlan::After(millis(1_500)).into()]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(1_000)).await;
            assert_eq!(s.order(0).await.state, OrderState::Unknown);
            let position = s.h.exposures(&s.account).await;
            assert_eq!(position[0].1.worst_long().to_string(), "2", "it counts while unknown");
            s.h.quiet().await;
            assert_eq!(s.position().await, filled);
            assert_eq!(s.h.broker.sent().len(), 1);
            let lost = s.h.has_finding("dispatch.not_placed").await;
            assert_eq!(lost, filled == "0");
            s.end().await;
        });
    }
}

/// S2: an entry that nobody has heard of holds nothing but the entries of its pair.
#[test]
fn s1_an_exit_waits_for_an_unknown_entry_and_closes_it() {
    simulate(async || {
        let s = Small::with(9, Venue::default(), |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(500)).await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S1: what an entry filled is closed now, and what it fills later is closed later.
#[test]
fn s1_an_exit_meets_an_entry_that_is_half_filled() {
    simulate(async || {
        let s = Small::with(10, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::InTwo(millis(900)).into()]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(400)).await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S1: an exit that is larger than what its entry came to is no short position.
#[test]
fn s1_an_exit_never_projects_past_flat() {
    simulate(async || {
        let s = Small::with(24, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.h.broker.next_plans(&[FillPlan::InTwo(millis(9_000)).into()]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(200)).await;
        // The exit has to wait, and meanwhile the entry ends with half of what the exit is for.
        s.h.broker.set_market("ES", None, MarketState::Closed);
        s.h.elapse(millis(1_000)).await;
        s.accept("SELL", "b").await;
        s.h.elapse(millis(200)).await;
        let canceled = s.h.broker.records().iter().any(|record| record.call == Call::Cancel);
        assert!(canceled, "a cancel does not wait for the next look at the order");
        assert_eq!(s.order(0).await.state, OrderState::Canceled);
        let again = s.send("SELL", "c").await;
        assert_eq!(again.code, Some(Code::StrategyFlat), "{again:?}");
        s.h.broker.set_market("ES", None, MarketState::Open);
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S4: where the venue shrinks a reduce-only order, the order ends with what it could fill.
#[test]
fn s4_an_exit_that_the_venue_shrank_ends() {
    simulate(async || {
        let venue = Venue { reduce_only: Capability::Native, ..Venue::default() };
        let s = Small::with(11, venue, |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "ES", "-1".parse().unwrap());
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(4_000)).await;
        let exit = s.order(1).await;
        assert!(!exit.state.is_live(), "{exit:#?}");
        assert_eq!(exit.filled_quantity.to_string(), "1");
        let entries = s.h.entries(exit.id.to_bytes()).await.len();
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.h.entries(exit.id.to_bytes()).await.len(), entries, "no news, no entry");
        s.end().await;
    });
}

/// S5: a reversal opens only from flat.
#[test]
fn s5_a_reversal_whose_exit_is_rejected_opens_nothing() {
    simulate(async || {
        let s = Small::with(12, Venue::default(), |new| {
            new.on_opposite = Some(OnOpposite::Reverse);
            new.allow_short = true;
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_plans(&[FillPlan::Rejected.into()]);
        s.accept("SELL", "b").await;
        s.h.elapse(millis(500)).await;
        let entry = s.h.orders().await.into_iter().rfind(|order| order.purpose == Purpose::Entry);
        assert!(!entry.unwrap().state.is_live(), "it does not wait for some other exit");
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2), "{:#?}", s.h.orders().await);
        assert!(s.h.has_finding("order.exit_rejected").await);
        s.accept("SELL", "c").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("-2", -2));
        s.end().await;
    });
}

/// A fill that came with an answer is not forgotten because the answer could not be journaled.
#[test]
fn fills_survive_a_failed_write() {
    simulate(async || {
        let s = Small::with(13, Venue::default(), |_| {}).await;
        s.h.sabotage(
            "CREATE TRIGGER no_fills BEFORE INSERT ON fills BEGIN SELECT RAISE(ABORT, 'no'); END",
        );
        s.accept("BUY", "a").await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 2));
        s.h.sabotage("DROP TRIGGER no_fills");
        s.h.quiet().await;
        assert_eq!(s.position().await, "2", "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// C7: after a restart, what is in doubt is asked for before anything new goes out.
#[test]
fn c7_nothing_new_leaves_before_the_doubtful_was_asked_for() {
    simulate(async || {
        let mut s = Small::with(14, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        s.h.broker.next_plans(&[FillPlan::After(millis(6_000)).into()]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(100)).await;
        s.h.restart().await;
        // As soon as there are prices, and before anything else.
        for attempt in 0.. {
            let reply = s.send("BUY", &format!("b{attempt}")).await;
            if reply.status == SignalStatus::Accepted {
                break;
            }
            assert_eq!(reply.code, Some(Code::RiskMarketClosed));
            s.h.elapse(Duration::from_micros(200)).await;
        }
        s.h.quiet().await;
        let first = s.order(0).await.client_order_id();
        let records = s.h.broker.records();
        let life = s.h.life().number;
        let calls = records.iter().filter(|r| r.life == life);
        let about: Vec<_> = calls
            .filter(|r| matches!(r.call, Call::Place | Call::Find))
            .map(|r| (r.call, r.client_order_id.clone().unwrap() == first))
            .collect();
        assert_eq!(about.first(), Some(&(Call::Find, true)), "{about:?}");
        assert_eq!((s.position().await.as_str(), s.held()), ("4", 4));
        s.end().await;
    });
}

/// S6: an exit of the wrong side is skipped and changes nothing, unsent entries included.
#[test]
fn s6_an_exit_of_the_wrong_side_removes_nothing() {
    simulate(async || {
        let s = Small::with(15, Venue::default(), |_| {}).await;
        let wrong = json!({ "action": "BUY", "comment": "EXIT_50", "id": "b" });
        let both = vec![raw(&s.hook, &signal("BUY", "a")), raw(&s.hook, &wrong)];
        let reply = s.h.send_together(both).await.remove(1).answer();
        assert_eq!(reply.code, Some(Code::StrategyWrongSide), "{reply:?}");
        s.h.quiet().await;
        assert_eq!(s.position().await, "2", "{:#?}", s.h.orders().await);
        s.end().await;
    });
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

/// S14: an exit is held while the market is closed, and leaves when it opens.
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
        s.h.restart().await;
        s.h.elapse(millis(20_000)).await;
        assert_eq!(s.h.broker.sent().len(), 1, "held");
        s.h.broker.set_market("ES", None, MarketState::Open);
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.end().await;
    });
}

/// S3: a position that others changed stops entries on the pair after two readings.
#[test]
fn s3_a_foreign_position_makes_the_pair_reduce_only() {
    simulate(async || {
        let s = Small::with(18, Venue::default(), |_| {}).await;
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "ES", "3".parse().unwrap());
        s.h.elapse(millis(12_000)).await;
        assert!(s.h.has_finding("position.mismatch").await);
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::HaltActive));
        assert_eq!(
            s.h.findings().await.iter().filter(|f| f.code == "position.mismatch").count(),
            1
        );
        s.end().await;
    });
}

/// S15: the same again gets the first answer, also across restarts; the same id with another body
/// conflicts, unless it closes everything.
#[test]
fn s15_duplicates() {
    simulate(async || {
        let mut s = Small::with(19, Venue::default(), |_| {}).await;
        let first = s.send("BUY", "a").await;
        s.h.restart().await;
        let again = s.send("BUY", "a").await;
        assert_eq!((again.signal_id, again.status), (first.signal_id, SignalStatus::Duplicate));
        let other = s.send("SELL", "a").await;
        assert_eq!(other.code, Some(Code::DuplicateIdConflict));
        s.h.quiet().await;
        s.accept("EXIT", "a").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        let body = json!({ "action": "BUY" });
        let one = s.h.send(&s.hook, &body).await.answer();
        let two = s.h.send(&s.hook, &body).await.answer();
        assert_eq!((one.status, two.status), (SignalStatus::Accepted, SignalStatus::Duplicate));
        assert_eq!(one.signal_id, two.signal_id);
        s.h.elapse(millis(1_100)).await;
        let three = s.h.send(&s.hook, &body).await.answer();
        assert_eq!(three.status, SignalStatus::Skipped, "a new signal along the position");
        // Nobody knows whether the answer to what came before a restart was heard.
        s.h.restart().await;
        let four = s.h.send(&s.hook, &body).await.answer();
        assert_eq!(four.signal_id, three.signal_id);
        s.h.quiet().await;
        s.end().await;
    });
}

#[test]
fn forged_signals_leave_nothing_behind() {
    simulate(async || {
        let s = Small::with(20, Venue::default(), |_| {}).await;
        let before = s.h.signals().await.len();
        let forged = Hook { secret: "wrong".to_owned(), ..s.hook.clone() };
        for hook in [&forged, &Hook { token: "wrong".to_owned(), ..s.hook.clone() }] {
            assert_eq!(s.h.send(hook, &signal("BUY", "a")).await, Heard::Unauthenticated);
        }
        assert_eq!(s.h.signals().await.len(), before);
        s.end().await;
    });
}

/// S16: too many entries are refused, told once; exits pass.
#[test]
fn s16_too_many_entries() {
    simulate(async || {
        let h = Harness::sqlite(21, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 10).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        let requests = (0..15).map(|n| raw(&hook, &signal("BUY", &n.to_string()))).collect();
        let answers = h.send_together(requests).await;
        let limited =
            answers.into_iter().map(Heard::answer).filter(|a| a.code == Some(Code::LimitRate));
        assert_eq!(limited.count(), 5);
        assert!(h.has_finding("limit.rate").await);
        let exit = h.send(&hook, &signal("EXIT", "x")).await.answer();
        assert_ne!(exit.code, Some(Code::LimitRate));
        h.quiet().await;
        h.finish().await;
    });
}

/// Fills that are told twice, late and out of order count once each.
#[test]
fn fills_count_once_however_they_are_told() {
    simulate(async || {
        let s = Small::with(22, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        let plan =
            |report| OrderPlan { fill: FillPlan::InTwo(millis(300)), report, crosses: false };
        s.h.broker.next_plans(&[
            plan(Report::Late(millis(2_000))),
            plan(Report::Twice(millis(700))),
            plan(Report::Once),
        ]);
        s.h.broker.next_faults(Call::Place, &[Fault::ToldTwice, Fault::LostAfter]);
        for id in ["a", "b", "c"] {
            s.accept("BUY", id).await;
            s.h.elapse(millis(200)).await;
        }
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("6", 6), "{:#?}", s.h.orders().await);
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
