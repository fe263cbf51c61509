//! S12: how long an entry rests that does not fill.

use super::hours::until;
use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, OrderType, Purpose, Side, TimeInForce};
use tradewarden_engine::command::{Command, OrderCreate};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::simulate;
use tradewarden_testkit::life::Death;

impl Small {
    /// A strategy whose entries rest for so many seconds.
    async fn with_ttl(seed: u64, seconds: u32) -> Self {
        Self::with(seed, Venue::default(), |new| new.entry_ttl_s = Some(seconds)).await
    }

    /// An entry that does not fill by itself.
    async fn entry_rests(&self, id: &str) {
        let resting = json!({
            "action": "BUY", "id": id, "order_type": "limit", "limit_price": "4990",
            "time_in_force": "gtc",
        });
        let reply = self.h.send(&self.hook, &resting).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
    }

    async fn outcome_of(&self, place: usize) -> (OrderState, Option<Code>) {
        let order = self.order(place).await;
        (order.state, order.code)
    }

    fn cancels(&self) -> usize {
        self.h.broker.records().iter().filter(|record| record.call == Call::Cancel).count()
    }

    async fn ttl_findings(&self) -> usize {
        let found = self.h.findings().await;
        found.iter().filter(|found| found.code == "order.ttl_ended").count()
    }

    async fn places(&self, side: Side, limit: &str, expires_at: Option<&str>) -> Value {
        let new = OrderCreate {
            account_id: self.account.clone(),
            symbol: "ES".to_owned(),
            side,
            order_type: OrderType::Limit,
            quantity: "1".parse().unwrap(),
            limit_price: Some(limit.parse().unwrap()),
            stop_price: None,
            time_in_force: Some(TimeInForce::Gtc),
            reduce_only: false,
            expires_at: expires_at.map(|at| at.parse().unwrap()),
            tag: None,
            allow_repeat: true,
        };
        self.h.command(Command::OrderCreate(new)).await
    }
}

const ENDED: (OrderState, Option<Code>) = (OrderState::Canceled, Some(Code::OrderTtlEnded));

/// Without a word of the strategy an entry rests until the session of its instrument ends, whatever
/// time in force it has at the broker.
#[test]
fn s12_a_resting_entry_ends_with_its_session() {
    for (symbol, last) in [("ES", "21:59:59"), ("AAPL", "20:59:59")] {
        simulate(async || {
            let s =
                Small::with(70, Venue::default(), |new| symbol.clone_into(&mut new.symbol)).await;
            let resting = json!({
                "action": "BUY", "id": "a", "order_type": "limit", "time_in_force": "gtc",
                "limit_price": if symbol == "ES" { "4990" } else { "199" },
            });
            let reply = s.h.send(&s.hook, &resting).await.answer();
            assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
            s.h.elapse(millis(1_000)).await;
            let ends = s.order(0).await.expires_at.unwrap();
            assert_eq!(ends, format!("2026-03-02T{last}.999999Z").parse().unwrap());
            until(&s, &format!("2026-03-02T{last}.5Z")).await;
            assert_eq!(s.outcome_of(0).await, (OrderState::Working, None));
            s.h.elapse(millis(3_000)).await;
            assert_eq!(s.outcome_of(0).await, ENDED);
            assert_eq!((s.cancels(), s.ttl_findings().await), (1, 1));
            s.end().await;
        });
    }
}

/// By the strategy's word it is seconds; what had filled stays, and an exit closes it.
#[test]
fn s12_an_entry_rests_as_long_as_its_strategy_says() {
    simulate(async || {
        let s = Small::with_ttl(71, 60).await;
        s.h.broker.usual_plan(FillPlan::InTwo(Duration::from_hours(1)));
        s.h.send(
            &s.hook,
            &json!({
                "action": "BUY", "id": "a", "order_type": "limit", "limit_price": "5010",
            }),
        )
        .await;
        s.h.elapse(Duration::from_secs(58)).await;
        assert_eq!(s.outcome_of(0).await, (OrderState::PartiallyFilled, None));
        s.h.elapse(Duration::from_secs(4)).await;
        assert_eq!(s.outcome_of(0).await, ENDED);
        assert_eq!((s.position().await.as_str(), s.cancels(), s.ttl_findings().await), ("1", 1, 1));
        s.h.broker.usual_plan(FillPlan::AtOnce);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(3_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// A gateway that was away when the time ended takes the entry back when it is there again, once.
#[test]
fn s12_a_resting_entry_ends_after_a_restart() {
    simulate(async || {
        let mut s = Small::with_ttl(72, 5).await;
        s.entry_rests("a").await;
        s.h.elapse(millis(2_000)).await;
        s.h.crash().await;
        s.h.clock.advance(Duration::from_mins(1));
        s.h.start(Death::Never).await;
        s.h.ready().await;
        s.h.elapse(millis(3_000)).await;
        assert_eq!(s.outcome_of(0).await, ENDED);
        assert_eq!((s.cancels(), s.ttl_findings().await), (1, 1));
        s.h.restart().await;
        s.h.elapse(millis(3_000)).await;
        assert_eq!((s.cancels(), s.ttl_findings().await), (1, 1));
        s.end().await;
    });
}

/// A cancel whose answer was lost is looked up: one that was done is not asked again, one that never
/// arrived is; also where the gateway dies in between.
#[test]
fn s12_a_lost_answer_to_the_cancel_is_looked_up() {
    for (fault, dies, cancels) in [
        (Fault::LostAfter, false, 1),
        // Who died before it heard the answer asks again, which is safe.
        (Fault::LostAfter, true, 2),
        (Fault::LostBefore, false, 2),
        (Fault::LostBefore, true, 2),
    ] {
        simulate(async || {
            let mut s = Small::with_ttl(73, 5).await;
            s.entry_rests("a").await;
            s.h.elapse(millis(4_500)).await;
            s.h.broker.next_faults(Call::Cancel, &[fault]);
            s.h.until("the cancel was asked", async |h| {
                h.broker.records().iter().any(|record| record.call == Call::Cancel)
            })
            .await;
            if dies {
                s.h.restart().await;
            }
            s.h.elapse(Duration::from_secs(20)).await;
            assert_eq!(s.outcome_of(0).await, ENDED, "{fault:?} {dies}");
            assert_eq!((s.cancels(), s.ttl_findings().await), (cancels, 1), "{fault:?} {dies}");
            s.end().await;
        });
    }
}

/// An entry of which nobody knows whether it arrived is taken back once it is found; one that never
/// left does not leave any more.
#[test]
fn s12_an_unknown_entry_is_taken_back_when_found() {
    simulate(async || {
        let s = Small::with_ttl(74, 3).await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        s.h.broker.next_faults(Call::Find, &[Fault::LostBefore; 6]);
        s.entry_rests("a").await;
        s.h.elapse(Duration::from_secs(30)).await;
        assert_eq!(s.outcome_of(0).await, ENDED);
        assert_eq!(s.ttl_findings().await, 1);
        s.h.broker.next_faults(Call::Place, &[Fault::Away(Duration::from_secs(6))]);
        s.entry_rests("b").await;
        s.h.elapse(Duration::from_secs(30)).await;
        let (state, code) = s.outcome_of(1).await;
        assert!(!state.is_live(), "{state} {code:?}");
        assert_eq!(s.h.broker.sent().len(), 1, "after its time it does not leave");
        s.end().await;
    });
}

/// What a caller places by itself: an entry rests as long as it says, else for the session; an exit
/// never ends by time, whatever was asked.
#[test]
fn s12_an_exit_never_ends_by_time() {
    simulate(async || {
        let s = Small::with_ttl(75, 5).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        let own = s.places(Side::Buy, "4990", None).await;
        assert_eq!(own["expires_at"], "2026-03-02T21:59:59.999999Z", "{own}");
        let soon = "2026-03-02T14:31:00Z";
        let own = s.places(Side::Buy, "4989", Some(soon)).await;
        assert_eq!(own["expires_at"].as_str().unwrap()[..19], soon[..19]);
        s.h.elapse(millis(1_000)).await;
        until(&s, "2026-03-02T14:35:00Z").await;
        let states: Vec<_> = s.h.orders().await.iter().map(|order| order.state).collect();
        let (filled, working) = (OrderState::Filled, OrderState::Working);
        assert_eq!(states, [filled, working, OrderState::Canceled]);
        s.end().await;
    });
    simulate(async || {
        let s = Small::with(76, Venue::default(), |_| {}).await;
        s.h.broker.usual_plan(FillPlan::AtOnce);
        s.places(Side::Buy, "5010", None).await;
        s.h.quiet().await;
        let exit = s.places(Side::Sell, "5200", Some("2026-03-02T14:31:00Z")).await;
        assert_eq!(exit.get("expires_at"), None, "{exit}");
        assert_eq!(s.order(1).await.purpose, Purpose::Exit);
        s.h.elapse(millis(1_000)).await;
        until(&s, "2026-03-02T14:35:00Z").await;
        assert_eq!(s.order(1).await.state, OrderState::Working);
        s.end().await;
    });
}
