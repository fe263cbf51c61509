//! Clocks that are set back, between two lives of the gateway or within one.

use super::{Small, millis};
use serde_json::json;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_engine::command::{ById, Command};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, simulate};
use tradewarden_testkit::life::Death;

const HOUR: Duration = Duration::from_hours(1);

impl Small {
    /// The machine starts again with its clock set back.
    async fn restart_earlier(&mut self, by: Duration) {
        self.h.crash().await;
        self.h.clock.set(self.h.now().minus(by));
        self.h.start(Death::Never).await;
        self.h.ready().await;
    }
}

/// S2: a cancel is heard, though the order was written at a later time than it is now.
#[test]
fn s2_a_cancel_is_heard_after_the_clock_was_set_back() {
    simulate(async || {
        let mut s = Small::with(601, Venue::default(), |_| {}).await;
        s.h.broker.usual_plan(FillPlan::Rests);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(500)).await;
        assert_eq!(s.order(0).await.state, OrderState::Working);
        s.restart_earlier(HOUR).await;
        s.h.elapse(millis(2_000)).await;
        s.h.command(Command::OrderCancel(ById { id: s.order(0).await.id.to_string() })).await;
        s.h.elapse(millis(3_000)).await;
        let calls = s.h.broker.records();
        assert!(calls.iter().any(|record| record.call == Call::Cancel), "{calls:#?}");
        assert!(!s.h.broker.orders()[0].state.is_live());
        s.h.finish().await;
    });
}

/// C3, S15: an exit without an id is not refused as the duplicate of one that came before the clock was
/// set back; an entry is.
#[test]
fn s15_an_exit_is_no_duplicate_of_what_came_later() {
    simulate(async || {
        let mut s = Small::with(602, Venue::default(), |_| {}).await;
        let (entry, exit) = (json!({ "action": "BUY" }), json!({ "action": "EXIT" }));
        super::accept(&s.h, &s.hook, &entry).await;
        s.h.quiet().await;
        super::accept(&s.h, &s.hook, &exit).await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        s.restart_earlier(HOUR).await;
        let again = s.h.send(&s.hook, &entry).await.answer();
        assert_eq!(again.status, SignalStatus::Duplicate);
        s.accept("BUY", "b").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "2");
        super::accept(&s.h, &s.hook, &exit).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.h.finish().await;
    });
}

/// S20: a dead-man switch fires after its interval, whatever the clock said when it was renewed.
#[test]
fn s20_a_dead_man_switch_fires_though_the_clock_was_set_back() {
    simulate(async || {
        let mut s = Small::with(603, Venue::default(), |_| {}).await;
        let arm = json!({ "command": "dead-man-set", "timeout_s": 20 });
        s.h.command(serde_json::from_value(arm).unwrap()).await;
        s.restart_earlier(HOUR).await;
        s.h.elapse(Duration::from_secs(10)).await;
        let halts = s.h.command(Command::HaltStatus).await;
        assert_eq!(halts["items"].as_array().unwrap().len(), 0, "a full interval");
        s.h.elapse(Duration::from_secs(15)).await;
        let halts = s.h.command(Command::HaltStatus).await;
        assert_eq!(halts["items"][0]["engaged_by"], "dead-man");
        s.h.finish().await;
    });
}

/// A machine's clock that was set back is told once for each time.
#[test]
fn a_clock_that_was_set_back_is_told() {
    simulate(async || {
        let s = Small::with(604, Venue::default(), |_| {}).await;
        let told = async |h: &Harness| {
            h.findings().await.iter().filter(|found| found.code == "clock.stepped").count()
        };
        for (ahead_s, count) in [(0, 0), (600, 1), (590, 1), (300, 1), (400, 2), (0, 2), (2, 3)] {
            s.h.clock.be_ahead(Duration::from_secs(ahead_s));
            s.h.elapse(millis(3_000)).await;
            assert_eq!(told(&s.h).await, count, "{ahead_s}");
        }
        s.end().await;
    });
}

/// C7: an attempt is void at the broker by the broker's clock: as long as ours is ahead of it, absence
/// proves nothing.
#[test]
fn c7_absence_is_believed_by_the_brokers_clock() {
    simulate(async || {
        let s = Small::with(606, Venue::default(), |_| {}).await;
        s.h.clock.be_ahead(Duration::from_mins(10));
        s.h.broker.next_faults(Call::Place, &[Fault::LostBefore]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(20_000)).await;
        assert_eq!(s.order(0).await.state, OrderState::Unknown);
        s.h.clock.be_ahead(Duration::ZERO);
        s.h.elapse(millis(3_000)).await;
        assert_eq!(s.order(0).await.code, Some(Code::DispatchNotPlaced));
        s.end().await;
    });
}

/// C14: a gateway that has lost a task takes nothing more: it ends.
#[test]
fn c14_a_lost_task_ends_the_gateway() {
    simulate(async || {
        let mut s = Small::with(605, Venue::default(), |_| {}).await;
        s.h.broker.break_down();
        let why = s.h.ends_by_itself(Duration::from_secs(30)).await;
        assert!(why.is_some_and(|why| why.contains("a background task was lost")));
        s.h.finish().await;
    });
}
