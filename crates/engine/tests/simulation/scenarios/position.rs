//! What is held: opposite signals, exits, reversals.

use super::{Small, accept, millis};
use serde_json::json;
use tradewarden_broker::port::{Capability, MarketState};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_domain::strategy::{OnOpposite, Pyramiding};
use tradewarden_testkit::broker::{Call, Fault, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{Harness, Hook, raw, signal, simulate, strategy};

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

/// S1: what crosses the cancel that an exit asked for is closed as well, by an exit of its own.
#[test]
fn s1_a_fill_that_crosses_an_exits_cancel_is_closed() {
    simulate(async || {
        let s = Small::with(40, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[CROSSES]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(300)).await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        s.h.quiet().await;
        let exits = s.h.orders().await.into_iter().filter(|order| order.purpose == Purpose::Exit);
        let exits: Vec<_> = exits.map(|e| (e.quantity.to_string(), e.state, e.code)).collect();
        let flat = ("2".to_owned(), OrderState::Canceled, Some(Code::StrategyFlat));
        assert_eq!(exits, [flat, ("1".to_owned(), OrderState::Filled, None)]);
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        assert!(s.h.has_finding("order.late_fill").await);
        s.end().await;
    });
}

/// S1: the same across a restart, and when it cannot be closed a person hears of it.
#[test]
fn s1_a_late_fill_that_cannot_be_closed_is_told() {
    simulate(async || {
        let mut s = Small::with(41, Venue::default(), |_| {}).await;
        let late = OrderPlan { report: Report::Late(millis(4_000)), ..CROSSES };
        s.h.broker.next_plans(&[late]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(300)).await;
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(1_500)).await;
        s.h.restart().await;
        s.h.quiet().await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{:#?}", s.h.orders().await);
        s.h.broker.next_plans(&[late]);
        s.accept("BUY", "c").await;
        s.h.elapse(millis(300)).await;
        s.accept("EXIT", "d").await;
        s.h.elapse(millis(1_000)).await;
        s.h.halt(None, "block").await;
        s.h.quiet().await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "1");
        let findings = s.h.findings().await;
        let told = findings.iter().find(|finding| finding.code == "order.late_fill").unwrap();
        assert_eq!(told.severity, "critical", "{told:?}");
        s.end().await;
    });
}

/// It works until it is canceled, and half of it fills after that.
const CROSSES: OrderPlan = OrderPlan { fill: FillPlan::Rests, report: Report::Once, crosses: true };

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

/// Two strategies on one pair of one account: the first buys three, the second may sell two short.
pub(super) async fn shared_pair(seed: u64) -> (Harness, String, [Hook; 2]) {
    let h = Harness::sqlite(seed, Venue::default()).await;
    h.ready().await;
    let account = h.account("main").await;
    let hooks = [h.webhook("long", 100).await, h.webhook("short", 100).await];
    h.strategy(strategy("long", &hooks[0], &account, "ES", "3")).await;
    let mut short = strategy("short", &hooks[1], &account, "ES", "2");
    (short.allow_short, short.shared_position) = (true, true);
    h.strategy(short).await;
    h.sane_limits().await;
    (h, account, hooks)
}

/// S3: an exit is at most the account's net of its sign, and a person hears what it leaves.
#[test]
fn s3_an_exit_closes_at_most_the_accounts_net() {
    simulate(async || {
        let (h, account, [long, short]) = shared_pair(31).await;
        accept(&h, &long, &signal("BUY", "a")).await;
        h.quiet().await;
        accept(&h, &short, &signal("SELL", "b")).await;
        h.quiet().await;
        assert_eq!(h.position(&account, "ES").await.to_string(), "1");
        accept(&h, &long, &signal("EXIT", "c")).await;
        h.quiet().await;
        let exit = h.orders().await.pop().unwrap();
        assert_eq!((exit.purpose, exit.quantity.to_string()), (Purpose::Exit, "1".to_owned()));
        assert_eq!(h.position(&account, "ES").await.to_string(), "0");
        assert!(h.has_finding("position.netted").await);
        let reply = h.send(&short, &signal("EXIT", "d")).await.answer();
        assert_eq!(reply.code, Some(Code::StrategyFlat), "{reply:?}");
        assert!(h.broker.violations().is_empty(), "{:?}", h.broker.violations());
        h.finish().await;
    });
}

/// S3, C6: the net is looked at again when the exit leaves, with what may have filled meanwhile.
#[test]
fn s3_an_exit_shrinks_to_the_accounts_net_when_it_leaves() {
    simulate(async || {
        let (h, account, [long, short]) = shared_pair(32).await;
        accept(&h, &long, &signal("BUY", "a")).await;
        h.quiet().await;
        h.broker.next_plans(&[FillPlan::After(millis(500)).into()]);
        accept(&h, &short, &signal("SELL", "b")).await;
        h.elapse(millis(200)).await;
        accept(&h, &long, &signal("EXIT", "c")).await;
        h.quiet().await;
        let exits = h.orders().await.into_iter().filter(|order| order.purpose == Purpose::Exit);
        let filled: Vec<_> = exits.map(|exit| exit.filled_quantity.to_string()).collect();
        assert_eq!(filled, ["1", "0"]);
        assert_eq!(h.position(&account, "ES").await.to_string(), "0");
        assert!(h.broker.violations().is_empty(), "{:?}", h.broker.violations());
        assert!(h.has_finding("position.netted").await);
        h.finish().await;
    });
}

/// S3, S24: fills that are not heard of, though the broker shows what they came to: a person is told, once,
/// and the position is reduce-only.
#[test]
fn s24_fills_that_are_not_heard_are_told() {
    for (report, told) in [
        // They are asked for in vain.
        (Report::Once, "broker.fills_unheard"),
        // They are answered for, and left out.
        (Report::Late(millis(3_600_000)), "order.fills_missing"),
    ] {
        simulate(async || {
            let s = Small::with(71, Venue::default(), |_| {}).await;
            if told == "broker.fills_unheard" {
                s.h.broker.next_faults(Call::FillsSince, &vec![Fault::LostBefore; 5_000]);
            }
            let plan = OrderPlan { fill: FillPlan::After(millis(100)), report, crosses: false };
            s.h.broker.next_plans(&[plan]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(25_000)).await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 2));
            let findings = s.h.findings().await;
            let count = |code: &str| findings.iter().filter(|found| found.code == code).count();
            assert_eq!(count(told), 1, "{findings:#?}");
            assert_eq!(count("position.mismatch"), 1, "{findings:#?}");
            assert_eq!(s.send("BUY", "b").await.code, Some(Code::HaltActive));
            let working = s.h.entries(s.order(0).await.id.to_bytes()).await;
            let working = working.iter().filter(|entry| entry.leaf.contains("order.working"));
            assert_eq!(working.count(), 1, "what changes nothing is no entry");
            // What is heard late counts.
            s.h.broker.chaos(None, 0);
            if told == "broker.fills_unheard" {
                s.h.elapse(millis(8_000)).await;
                assert_eq!(s.position().await, "2");
            }
            s.h.finish().await;
        });
    }
}

/// S3: what somebody else trades on an account is told once for each instrument, in few transactions, and
/// not again after a restart.
#[test]
fn s3_foreign_fills_are_told_together_and_once() {
    simulate(async || {
        let mut s = Small::with(72, Venue::default(), |_| {}).await;
        s.h.elapse(millis(6_000)).await;
        let name = Harness::broker_account(&s.account).to_owned();
        let before = s.h.life().commits();
        s.h.broker.report_foreign(&name, "ES", 700);
        s.h.broker.report_foreign(&name, "AAPL", 1);
        s.h.elapse(millis(6_000)).await;
        let told = async |h: &Harness| {
            h.findings().await.iter().filter(|found| found.code == "position.foreign").count()
        };
        let first = told(&s.h).await;
        assert!((2..=3).contains(&first), "by page and instrument: {first}");
        let commits = s.h.life().commits() - before;
        assert!(commits < 200, "{commits}");
        s.h.restart().await;
        s.h.ready().await;
        s.h.elapse(millis(12_000)).await;
        assert_eq!(told(&s.h).await, first);
        s.h.finish().await;
    });
}
