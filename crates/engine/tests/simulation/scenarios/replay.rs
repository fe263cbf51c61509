//! A stored period is judged by another policy: what would differ, and nothing is written.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::strategy::{Pyramiding, Sizing};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{Command, CommandError, Search};
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, halt_engage, simulate};

pub(super) async fn tried(h: &Harness, members: Value) -> Result<Value, CommandError> {
    tried_as(h, "replay-period", members).await
}

async fn tried_as(h: &Harness, name: &str, members: Value) -> Result<Value, CommandError> {
    let mut command = members.as_object().unwrap().clone();
    command.insert("command".to_owned(), json!(name));
    let command = serde_json::from_value(Value::Object(command)).unwrap();
    h.try_command(command).await.expect("it lives")
}

/// The limits in force, with these bounds of the organization in place of its own.
pub(super) async fn policy(h: &Harness, changes: &[(&str, &str)]) -> Value {
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

pub(super) fn period(small: &Small, from: &Value, limits: &Value) -> Value {
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

/// Part by part, with what goes on kept by the gateway, it comes to the same; also where an answer was
/// not heard. A cursor is for its own question, a part has bounds, and one replay goes on at a time.
#[test]
fn parts_come_to_the_same() {
    simulate(async || {
        let small = Small::with(326, Venue::default(), |_| {}).await;
        let from = json!(small.h.now());
        day(&small).await;
        let limits = policy(&small.h, &[("max_position", "2"), ("max_order_quantity", "1")]).await;
        let mut asked = period(&small, &from, &limits);
        let whole = tried(&small.h, asked.clone()).await.unwrap();
        let page = async |asked: &Value| tried_as(&small.h, "replay-page", asked.clone()).await;
        for size in [1, 2, 1_000] {
            asked["signals_max"] = json!(size);
            asked.as_object_mut().unwrap().remove("cursor");
            let (mut judged, mut differences) = (0, Vec::new());
            loop {
                let part = page(&asked).await.unwrap();
                assert_eq!(part.get("state"), None);
                let mut again = page(&asked).await.unwrap();
                for one in ["judged", "differences", "counts", "through"] {
                    assert_eq!(again[one].take(), part[one], "{one} asked again");
                }
                judged += part["judged"].as_u64().unwrap();
                differences.extend(part["differences"].as_array().unwrap().clone());
                let Some(next) = part.get("next") else { break };
                asked["cursor"] = next.clone();
            }
            assert_eq!(
                (json!(judged), json!(differences)),
                (whole["judged"].clone(), whole["differences"].clone()),
                "parts of {size}"
            );
        }
        asked["signals_max"] = json!(1);
        asked.as_object_mut().unwrap().remove("cursor");
        let next = page(&asked).await.unwrap()["next"].clone();
        let later = json!(small.h.now().plus(Duration::from_hours(31 * 24)));
        let none = json!([]);
        for (field, changes) in [
            ("cursor", vec![("cursor", &next), ("limits", &none)]),
            ("cursor", vec![("cursor", &next), ("to", &from)]),
            ("to", vec![("to", &later)]),
            ("signals_max", vec![("signals_max", &json!(1_001))]),
            ("signals_max", vec![("signals_max", &json!(0))]),
        ] {
            let mut other = asked.clone();
            for (name, value) in changes {
                other[name] = value.clone();
            }
            let no = page(&other).await;
            let is_that = |name: &str| name == field;
            let told = matches!(&no, Err(CommandError::Invalid { field, .. }) if is_that(field));
            assert!(told, "{field}: {no:?}");
        }
        asked["cursor"] = next;
        assert!(page(&asked).await.is_ok());
        let (one, other) = tokio::join!(page(&asked), page(&asked));
        let is_busy = |answer: &Result<Value, CommandError>| {
            matches!(answer, Err(CommandError::Refused { code: Code::ReplayBusy, .. }))
        };
        let answers = [one, other];
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| is_busy(answer)).count(), 1, "{answers:?}");
        // Whoever was turned away asks again.
        assert!(page(&asked).await.is_ok());
        small.h.clock.advance(Duration::from_mins(11));
        let no = page(&asked).await;
        assert!(matches!(no, Err(CommandError::Invalid { field: "cursor", .. })), "{no:?}");
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
        for name in ["max_gross_exposure", "credit_percent", "daily_loss"] {
            gross.push(json!({"scope": "org", "name": name, "value": "1"}));
        }
        let told = tried(&small.h, period(&small, &from, &json!(gross))).await.unwrap();
        assert_eq!((&told["judged"], &told["without_equity"]), (&json!(1), &json!(1)));
        let accounts = &told["equity_not_known"][0]["account_ids"];
        assert_eq!(*accounts, json!([small.account]), "it was not there long enough to be asked");
        let mut wrong = period(&small, &from, &limits);
        wrong["to"] = from.clone();
        let no = tried(&small.h, wrong).await;
        assert!(matches!(no, Err(CommandError::Invalid { field: "to", .. })), "{no:?}");
        small.end().await;
    });
}

/// Some are refused, where a limit of the test is in force.
pub(super) async fn sent(small: &Small, body: &Value) {
    let _accepted_or_not = small.h.send(&small.hook, body).await.answer();
}

/// Five small entries, and then two that rest for a while and a third one.
async fn entries(small: &Small) -> Value {
    let buy = |id: &str, quantity: &str| json!({"action": "BUY", "id": id, "quantity": quantity});
    for place in 0..5 {
        sent(small, &buy(&format!("before {place}"), "1")).await;
        small.h.elapse(millis(1_100)).await;
    }
    small.h.quiet().await;
    small.h.clock.advance(Duration::from_secs(62));
    small.h.elapse(millis(1_000)).await;
    let from = json!(small.h.now());
    small.h.broker.usual_plan(FillPlan::Rests);
    sent(small, &buy("first", "2")).await;
    small.h.elapse(millis(300)).await;
    sent(small, &buy("second", "2")).await;
    small.h.elapse(millis(300)).await;
    small.h.broker.let_all_fill();
    small.h.quiet().await;
    small.h.elapse(millis(2_000)).await;
    sent(small, &buy("third", "3")).await;
    small.h.elapse(millis(300)).await;
    small.h.broker.let_all_fill();
    small.h.quiet().await;
    small.h.elapse(millis(1_000)).await;
    from
}

async fn trader(seed: u64) -> Small {
    let small = Small::with(seed, Venue::default(), |new| {
        new.sizing = Some(Sizing::Payload);
        new.pyramiding = Some(Pyramiding::Allow);
    })
    .await;
    small.h.limit("org", "max_position", "100").await;
    small
}

/// What a check would have refused is told; and where it did refuse, the replay comes to the same.
#[test]
fn checks_of_what_is_held_open_and_was_sent_are_judged() {
    // 5 are held at 5000 and 50 a point: 1,250,000; each two are 500,000 more.
    for (level, name, value, refused) in [
        ("org", "max_gross_exposure", "1750100", 2),
        ("account", "max_net_exposure", "1750100", 2),
        ("instrument", "max_position_notional", "1750100", 2),
        ("org", "max_open_orders", "1", 1),
        ("strategy", "max_open_orders", "1", 1),
        ("account", "max_orders_per_second", "1", 1),
        ("instrument", "max_orders_per_minute", "2", 1),
        ("strategy", "max_repeated_entries", "1", 2),
        ("org", "max_size_multiple", "2.5", 1),
    ] {
        simulate(async || {
            let scope = async |small: &Small| match level {
                "account" => format!("account:{}", small.account),
                "instrument" => "instrument:ES".to_owned(),
                "strategy" => {
                    let listed = small.h.command(Command::StrategyList).await;
                    format!("strategy:{}", listed["items"][0]["id"].as_str().unwrap())
                }
                _ => level.to_owned(),
            };
            let small = trader(324).await;
            let from = entries(&small).await;
            let mut limits = policy(&small.h, &[]).await;
            let more = json!({"scope": scope(&small).await, "name": name, "value": value});
            limits.as_array_mut().unwrap().push(more);
            let mut asked = period(&small, &from, &limits);
            let told = tried(&small.h, asked.clone()).await.unwrap();
            assert_eq!((&told["judged"], &told["unexplained"]), (&json!(3), &json!(0)), "{told:#}");
            assert_eq!(told["differs"], refused, "{name} at {level}: {told:#}");
            let code = told["differences"][0]["now"]["code"].as_str().unwrap().to_owned();
            // Step by step it comes to the same.
            asked["signals_max"] = json!(1);
            let mut differs = 0;
            loop {
                let step = tried(&small.h, asked.clone()).await.unwrap();
                differs += usize::try_from(step["differs"].as_u64().unwrap()).unwrap();
                let Some(state) = step.get("state") else { break };
                asked["state"] = state.clone();
            }
            assert_eq!(differs, refused, "{name} at {level}");
            small.end().await;

            let small = trader(325).await;
            small.h.limit(&scope(&small).await, name, value).await;
            let from = entries(&small).await;
            let limits = policy(&small.h, &[]).await;
            let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
            assert_eq!(told["unexplained"], 0, "{name} at {level}: {told:#}");
            assert_eq!(told["differs"], 0, "{name} at {level}: {told:#}");
            let signals = small.h.command(Command::SignalList(Search::default())).await;
            let time = |of: &Value| of.as_str().unwrap().parse::<Timestamp>().unwrap();
            let same = signals["items"].as_array().unwrap().iter().filter(|of| {
                of["code"] == code.as_str() && time(&of["received_at"]) >= time(&from)
            });
            assert_eq!(same.count(), refused, "{name} at {level}");
            small.end().await;
        });
    }
}
