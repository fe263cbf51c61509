//! What was not heard, not written or told twice.

use super::{Small, millis};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{Harness, Heard, raw, signal, simulate};

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

/// "Absent" is about the attempt that was void when it was asked for, and ends no later one.
#[test]
fn absence_of_one_attempt_does_not_end_the_next() {
    simulate(async || {
        let venue = Venue { latency: millis(150), ..Venue::default() };
        let s = Small::with(38, venue, |_| {}).await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostBefore]);
        s.accept("BUY", "a").await;
        let asked =
            async |h: &Harness| h.broker.records().iter().any(|record| record.call == Call::Find);
        s.h.until("a look-up", asked).await;
        // Another node's attempt, while the answer is on its way.
        s.h.sabotage("UPDATE orders SET attempt_until = attempt_until + 30000000");
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.order(0).await.state, OrderState::Unknown, "it may still go out");
        s.h.elapse(millis(40_000)).await;
        assert_eq!(s.order(0).await.code, Some(Code::DispatchNotPlaced));
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

/// C13: one request that cannot be written fails alone, and is found by halving.
#[test]
fn c13_a_bad_request_fails_alone_in_few_transactions() {
    simulate(async || {
        let s = Small::with(35, Venue::default(), |_| {}).await;
        s.h.sabotage(
            "CREATE TRIGGER no_poison BEFORE INSERT ON signals \
             WHEN instr(CAST(NEW.body AS TEXT), 'poison') > 0 \
             BEGIN SELECT RAISE(ABORT, 'no'); END",
        );
        let ids = (0..64).map(|n| if n == 37 { "poison".to_owned() } else { format!("s{n}") });
        // Nothing is held, so nothing goes out and every commit is one of intake.
        let requests = ids.map(|id| raw(&s.hook, &signal("EXIT", &id))).collect();
        let before = s.h.life().commits();
        let answers = s.h.send_together(requests).await;
        let commits = s.h.life().commits() - before;
        for (n, answer) in answers.into_iter().enumerate() {
            match answer {
                Heard::Unavailable(code) => assert_eq!((n, code), (37, Code::NotDurable)),
                other => assert_eq!(other.answer().status, SignalStatus::Skipped, "{n}"),
            }
        }
        assert_eq!(s.h.signals().await.len(), 63);
        assert_eq!(commits, 6, "one for each half that was left, of 64 requests");
        s.h.sabotage("DROP TRIGGER no_poison");
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
