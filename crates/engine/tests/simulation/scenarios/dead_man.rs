//! Dead-man switches: renewed, missed, and not held against anybody while the gateway was away.

use super::{Small, keys};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::simulate;
use tradewarden_testkit::life::Death;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Small {
    async fn arm(&self, settings: Value) -> Value {
        let mut command = json!({ "command": "dead-man-set" });
        command.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self.h.command(serde_json::from_value(command).unwrap()).await
    }

    async fn engaged(&self) -> Vec<Value> {
        let halts = self.h.command(Command::HaltStatus).await;
        halts["items"].as_array().unwrap().clone()
    }
}

/// S20: while it is renewed nothing happens; when it is not, what adds risk is canceled.
#[test]
fn s20_a_dead_man_switch_cancels_when_it_is_not_renewed() {
    simulate(async || {
        let s = Small::with(401, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.h.broker.usual_plan(FillPlan::Rests);
        s.accept("BUY", "a").await;
        for _ in 0..4 {
            s.arm(json!({"timeout_s": 20})).await;
            s.h.elapse(seconds(15)).await;
        }
        assert_eq!(s.engaged().await, [Value::Null; 0]);
        s.h.elapse(seconds(8)).await;
        let halts = s.engaged().await;
        assert_eq!(
            (&halts[0]["mode"], &halts[0]["engaged_by"]),
            (&json!("cancel"), &json!("dead-man"))
        );
        s.h.elapse(seconds(3)).await;
        assert_eq!(s.order(0).await.state, OrderState::Canceled);
        assert_eq!(s.send("BUY", "b").await.code, Some(Code::HaltActive));
        s.h.elapse(seconds(60)).await;
        assert_eq!(s.engaged().await.len(), 1, "once");
        let switches = s.h.command(Command::DeadManList).await;
        assert!(switches["items"][0]["fired_at"].is_string(), "{switches}");
        s.arm(json!({"timeout_s": 20})).await;
        s.h.elapse(seconds(10)).await;
        assert_eq!(s.engaged().await.len(), 1, "armed again, and a person ends the halt");
        s.h.command(Command::DeadManRemove).await;
        s.h.elapse(seconds(30)).await;
        assert_eq!(s.engaged().await.len(), 1, "disarmed");
        s.end().await;
    });
}

/// As brief as a second: it fires soon after, and not while it is renewed.
#[test]
fn s20_a_dead_man_switch_may_be_as_brief_as_a_second() {
    simulate(async || {
        let s = Small::with(409, Venue::default(), |_| {}).await;
        for _ in 0..8 {
            s.arm(json!({"timeout_s": 1})).await;
            s.h.elapse(Duration::from_millis(500)).await;
        }
        assert_eq!(s.engaged().await, [Value::Null; 0]);
        s.h.elapse(seconds(4)).await;
        assert_eq!(s.engaged().await[0]["engaged_by"], "dead-man");
        s.end().await;
    });
}

/// A restart forgets no switch, and gives it a full interval: nobody could renew it meanwhile.
#[test]
fn s20_our_own_downtime_is_nobodys_silence() {
    simulate(async || {
        let mut s = Small::with(402, Venue::default(), |_| {}).await;
        s.arm(json!({"timeout_s": 20, "mode": "block"})).await;
        s.h.elapse(seconds(10)).await;
        s.h.crash().await;
        s.h.clock.advance(seconds(3_600));
        s.h.start(Death::Never).await;
        s.h.elapse(seconds(15)).await;
        assert_eq!(s.engaged().await, [Value::Null; 0]);
        s.h.elapse(seconds(8)).await;
        assert_eq!(s.engaged().await[0]["mode"], "block");
        s.end().await;
    });
}

/// A key's switch halts the key, needs its scope, and is the key's own.
#[test]
fn s20_a_keys_switch_is_its_own() {
    simulate(async || {
        let s = Small::with(403, Venue::default(), |_| {}).await;
        let key = keys::key(&s.h, json!({"scopes": ["halt:engage"]})).await;
        let mut nonce = 0;
        let mut heard = async |set: Value| {
            nonce += 1;
            let actor = keys::caller(&s.h, &key, &format!("nonce-{nonce}-of-this-test"));
            let engine = s.h.engine();
            let mut command = json!({ "command": "dead-man-set" });
            command.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
            let command = serde_json::from_value(command).unwrap();
            s.h.drive(async move { engine.execute(command, &actor).await }).await.unwrap()
        };
        let flatten = heard(json!({"timeout_s": 20, "mode": "flatten"})).await.unwrap_err();
        let code = Code::AuthPermission;
        assert!(
            matches!(flatten, CommandError::Refused { code: it, .. } if it == code),
            "{flatten}"
        );
        let brief = heard(json!({"timeout_s": 0})).await.unwrap_err();
        assert!(matches!(brief, CommandError::Invalid { field: "timeout_s", .. }), "{brief}");
        let armed = heard(json!({"timeout_s": 20})).await.unwrap();
        assert_eq!(armed["scope"], format!("key:{}", key["id"].as_str().unwrap()));
        s.h.elapse(seconds(23)).await;
        assert_eq!(s.engaged().await[0]["scope"], armed["scope"]);
        assert_eq!(s.send("BUY", "a").await.status, SignalStatus::Accepted, "others trade on");
        s.h.quiet().await;
        s.end().await;
    });
}
