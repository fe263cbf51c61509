//! A stored period is judged by another policy: what would differ, and nothing is written.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, halt_engage, simulate};

async fn tried(h: &Harness, members: Value) -> Result<Value, CommandError> {
    let mut command = members.as_object().unwrap().clone();
    command.insert("command".to_owned(), json!("replay-period"));
    let command = serde_json::from_value(Value::Object(command)).unwrap();
    h.try_command(command).await.expect("it lives")
}

/// The limits in force, with these bounds of the organization in place of its own.
async fn policy(h: &Harness, changes: &[(&str, &str)]) -> Value {
    let listed = h.command(Command::LimitList).await;
    let limits = listed["items"].as_array().unwrap().iter().map(|limit| {
        let change = changes.iter().find(|(name, _)| limit["name"] == *name);
        let value = change.map_or_else(|| limit["value"].clone(), |(_, value)| json!(value));
        json!({"scope": limit["scope"], "name": limit["name"], "value": value})
    });
    Value::Array(limits.collect())
}

/// A day with entries and exits, a limit that changed, and a halt.
async fn day(small: &Small) {
    for (number, action) in (0..).zip(["BUY", "EXIT", "BUY", "BUY", "EXIT", "EXIT"]) {
        small.send(action, &format!("plain-{number}")).await;
        small.h.quiet().await;
        small.h.elapse(millis(1_000)).await;
    }
    small.h.limit("org", "max_order_quantity", "1").await;
    small.h.elapse(millis(1_000)).await;
    small.send("BUY", "tight").await;
    small.h.elapse(millis(1_000)).await;
    small.h.limit("org", "max_order_quantity", "100").await;
    let halt = small.h.command(halt_engage(None, "reduce_only")).await;
    small.h.elapse(millis(1_000)).await;
    small.send("BUY", "halted").await;
    small.h.clock.advance(Duration::from_secs(61));
    small.h.elapse(millis(1_000)).await;
    small.h.resume(halt["id"].as_str().unwrap()).await;
    small.send("BUY", "last").await;
    small.h.quiet().await;
    small.h.elapse(millis(1_000)).await;
}

fn period(small: &Small, from: &Value, limits: &Value) -> Value {
    json!({"from": from, "to": json!(small.h.now()), "limits": limits})
}

/// By the limits of each time nothing differs and all is explained; by tighter ones entries are
/// refused and exits find nothing to close; and nothing of it is kept.
#[test]
fn a_day_is_judged_by_another_policy() {
    simulate(async || {
        let small = Small::with(321, Venue::default(), |_| {}).await;
        let from = json!(small.h.now());
        day(&small).await;
        let kept = (small.h.orders().await.len(), small.h.log(0).await.len());
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["judged"], &told["not_judged"]), (&json!(9), &json!(0)));
        assert_eq!(told["unexplained"], 0, "{told:#}");
        // The entry that was refused while less was allowed, and what met its position later.
        assert_eq!(told["differs"], 2, "{told:#}");
        assert_eq!(told["differences"][0]["then"]["code"], "risk.max_order_quantity");
        assert_eq!(told["differences"][0]["now"]["status"], "accepted");
        let code = &told["differences"][1]["now"]["code"];
        assert_eq!(code, "strategy.already_long", "the position that was not there then");
        assert_eq!(told.get("state"), None);

        let tight = policy(&small.h, &[("max_order_quantity", "1")]).await;
        let told = tried(&small.h, period(&small, &from, &tight)).await.unwrap();
        let mut counts: Vec<_> = told["counts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} -> {}: {}", one["then"], one["now"], one["signals"]))
            .collect();
        counts.sort();
        let expected = [
            r#""accepted" -> "refused risk.max_order_quantity": 3"#,
            r#""accepted" -> "skipped strategy.flat": 2"#,
            r#""skipped strategy.already_long" -> "refused risk.max_order_quantity": 1"#,
        ];
        assert_eq!(counts, expected);
        small.h.elapse(millis(1_000)).await;
        assert_eq!((small.h.orders().await.len(), small.h.log(0).await.len()), kept);
        small.end().await;
    });
}

/// Step by step it comes to the same as at once, whatever the size of a step.
#[test]
fn steps_come_to_the_same() {
    simulate(async || {
        let small = Small::with(322, Venue::default(), |_| {}).await;
        let from = json!(small.h.now());
        day(&small).await;
        let limits = policy(&small.h, &[("max_position", "2"), ("max_order_quantity", "1")]).await;
        let mut asked = period(&small, &from, &limits);
        let whole = tried(&small.h, asked.clone()).await.unwrap();
        for size in [1, 2, 5] {
            asked["signals_max"] = json!(size);
            asked.as_object_mut().unwrap().remove("state");
            let (mut judged, mut differences) = (0, Vec::new());
            loop {
                let step = tried(&small.h, asked.clone()).await.unwrap();
                judged += step["judged"].as_u64().unwrap();
                differences.extend(step["differences"].as_array().unwrap().clone());
                let Some(state) = step.get("state") else { break };
                asked["state"] = state.clone();
            }
            assert_eq!(json!(judged), whole["judged"], "steps of {size}");
            assert_eq!(json!(differences), whole["differences"], "steps of {size}");
        }
        small.end().await;
    });
}

/// A period begins with what was held then.
#[test]
fn a_period_begins_with_the_positions_of_its_time() {
    simulate(async || {
        let small = Small::with(323, Venue::default(), |_| {}).await;
        small.accept("BUY", "before").await;
        small.h.quiet().await;
        small.h.elapse(millis(1_000)).await;
        let from = json!(small.h.now());
        small.accept("EXIT", "in it").await;
        small.h.quiet().await;
        small.h.elapse(millis(1_000)).await;
        let limits = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
        assert_eq!((&told["judged"], &told["unexplained"]), (&json!(1), &json!(0)), "{told:#}");
        let mut gross = limits.as_array().unwrap().clone();
        gross.push(json!({"scope": "org", "name": "max_gross_exposure", "value": "1"}));
        let told = tried(&small.h, period(&small, &from, &json!(gross))).await.unwrap();
        assert_eq!(told["limits_not_judged"], json!(["max_gross_exposure"]));
        let mut wrong = period(&small, &from, &limits);
        wrong["to"] = from.clone();
        let no = tried(&small.h, wrong).await;
        assert!(matches!(no, Err(CommandError::Invalid { field: "to", .. })), "{no:?}");
        small.end().await;
    });
}
