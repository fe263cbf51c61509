//! Some of the same on PostgreSQL: the journal's transactions, locks and crashes are other ones there.

use crate::guarded;
use crate::random::{World, new_one, told};
use crate::scenarios::counts::race;
use crate::witness::Deep;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, signal, simulate, strategy};
use tradewarden_testkit::life::Death;

const STEPS: usize = 25;

#[test]
fn a_random_workload() {
    works(31);
    new_one(works);
}

fn works(seed: u64) {
    told(seed, async || {
        let h = Harness::postgres(seed, Venue::default()).await;
        let mut world = World::new(h, seed).await;
        world.faults();
        for step in 0..STEPS {
            let did = world.step().await;
            world.trail.push(format!("{step} {did}"));
            world.check(Deep::No).await;
        }
        world.calm_down().await;
        world.h.finish().await;
    });
}

/// Brackets, followers, overrides and halts that cancel and close.
#[test]
fn a_guarded_workload() {
    simulate(async || {
        let h = Harness::postgres(38, Venue::default()).await;
        guarded::lives(h, 38, STEPS, Duration::from_secs(6)).await;
    });
}

/// Dies at some commits, in both forms, between an entry and its exit.
#[test]
fn crashes_at_commits() {
    simulate(async || {
        let mut h = Harness::postgres(32, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        let mut witness = crate::witness::Witness::default();
        witness.accounts = vec![account.clone()];
        witness.max_position = 20 * 100_000_000;
        for round in 1..=8_u64 {
            h.stop().await;
            let commit = round.div_ceil(2) * 2;
            let death = match round % 2 {
                0 => Death::BeforeCommit(commit),
                _ => Death::AfterCommit(commit),
            };
            h.start(death).await;
            for action in ["BUY", "EXIT"] {
                let body = signal(action, &format!("{action} {round}"));
                loop {
                    match h.send(&hook, &body).await {
                        Heard::Answer(reply) if reply.code == Some(Code::RiskMarketClosed) => break,
                        Heard::Answer(reply) => {
                            witness.heard(body["id"].as_str().map(str::to_owned), &reply);
                            break;
                        }
                        Heard::Silence => h.restart().await,
                        other => panic!("{other:?}"),
                    }
                }
                h.elapse(Duration::from_millis(400)).await;
                if !h.is_alive() {
                    h.restart().await;
                }
                witness.check(&h, Deep::No).await;
            }
        }
        h.restart().await;
        h.quiet().await;
        witness.check(&h, Deep::Yes).await;
        witness.check_quiet(&h).await;
        assert!(h.position(&account, "ES").await.is_zero());
        h.finish().await;
    });
}

/// What was not heard is asked for and never sent again, also by the gateway that comes after.
#[test]
fn an_unheard_order_survives_a_crash() {
    simulate(async || {
        let mut h = Harness::postgres(33, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        let reply = h.send(&hook, &signal("BUY", "a")).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted);
        h.elapse(Duration::from_millis(150)).await;
        h.restart().await;
        h.quiet().await;
        assert_eq!(h.position(&account, "ES").await.to_string(), "2");
        assert_eq!(h.broker.sent().len(), 1);
        assert!(h.verify().await.ok);
        h.finish().await;
    });
}

/// The limits of an organization are read under a lock.
#[test]
fn many_orders_at_once_never_exceed_a_limit_of_the_organization() {
    for name in ["max_open_orders", "max_orders_per_minute"] {
        simulate(async || race(Harness::postgres(39, Venue::default()).await, name).await);
    }
}

/// C7: a leader that was paused past its lease writes no attempt and sends nothing, until it leads
/// again; it takes signals all the while.
#[test]
fn c7_a_leader_past_its_lease_sends_nothing() {
    simulate(async || {
        let h = Harness::postgres(37, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        // At several moments between two renewals, after which it would know by itself.
        for (round, action) in ["BUY", "EXIT", "BUY", "EXIT"].into_iter().enumerate() {
            h.elapse(Duration::from_millis(430)).await;
            let sent = h.broker.sent().len();
            h.lose_the_lead(Duration::from_secs(2)).await;
            let reply = h.send(&hook, &signal(action, &round.to_string())).await.answer();
            assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
            h.elapse(Duration::from_millis(500)).await;
            assert_eq!(h.broker.sent().len(), sent, "sent past the lease");
            assert_eq!(h.orders().await.pop().unwrap().state, OrderState::Accepted);
            h.quiet().await;
            assert_eq!(h.broker.sent().len(), sent + 1);
        }
        assert!(h.position(&account, "ES").await.is_zero());
        h.finish().await;
    });
}

/// What a broker says may hold what PostgreSQL refuses to store; it fails no transaction.
#[test]
fn a_nul_from_the_broker_is_journaled() {
    simulate(async || {
        let h = Harness::postgres(36, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        let entry = h.send(&hook, &signal("BUY", "a")).await.answer();
        assert_eq!(entry.status, SignalStatus::Accepted, "{entry:?}");
        h.quiet().await;
        h.broker.reject_because("not\0now");
        h.broker.next_plans(&[FillPlan::Rejected.into()]);
        let exit = h.send(&hook, &signal("EXIT", "b")).await.answer();
        assert_eq!(exit.status, SignalStatus::Accepted, "{exit:?}");
        h.quiet().await;
        let order = h.orders().await.pop().unwrap();
        assert_eq!(order.state, OrderState::Rejected, "{order:?}");
        let findings = h.findings().await;
        let told = findings.iter().find(|finding| finding.code == "order.exit_rejected").unwrap();
        assert!(told.detail.contains("not\u{fffd}now"), "{told:?}");
        h.finish().await;
    });
}
