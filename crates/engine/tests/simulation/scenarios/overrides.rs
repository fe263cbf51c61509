//! Overrides: one order passes one limit, once, because two people said so.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{Order, OrderState};
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, Heard, halt_engage, signal, simulate};
use tradewarden_testkit::life::Death;

fn command(name: &str, members: &Value) -> Command {
    let mut command = members.as_object().unwrap().clone();
    command.insert("command".to_owned(), json!(name));
    serde_json::from_value(Value::Object(command)).unwrap()
}

async fn tried(h: &Harness, name: &str, members: Value) -> Result<Value, CommandError> {
    h.try_command(command(name, &members)).await.expect("it lives")
}

/// A strategy of two ES where one is allowed.
async fn tight(seed: u64) -> Small {
    let small = Small::with(seed, Venue::default(), |_| {}).await;
    small.h.limit("org", "max_order_quantity", "1").await;
    small
}

fn request(small: &Small) -> Value {
    json!({
        "account_id": small.account, "symbol": "ES", "side": "buy", "quantity": "2",
        "limit": "max_order_quantity", "reason": "the hedge of today",
    })
}

/// An override that can be used. The operator is alone, so time stands in for the second person.
async fn confirmed(small: &Small, request: Value) -> String {
    let made = tried(&small.h, "override-request", request).await.unwrap();
    assert_eq!(made["state"], "requested");
    let id = made["id"].as_str().unwrap().to_owned();
    let early = tried(&small.h, "override-confirm", json!({ "id": id })).await;
    assert!(
        matches!(early, Err(CommandError::Refused { code: Code::AuthSecondPerson, .. })),
        "{early:?}"
    );
    small.h.clock.advance(Duration::from_mins(10));
    small.h.elapse(millis(1_000)).await;
    let done = tried(&small.h, "override-confirm", json!({ "id": id })).await.unwrap();
    assert_eq!(done["state"], "confirmed");
    id
}

async fn shown(small: &Small, id: &str) -> Value {
    let page = tried(&small.h, "override-list", json!({})).await.unwrap();
    let items = page["items"].as_array().unwrap().clone();
    items.into_iter().find(|item| item["id"] == id).unwrap()
}

async fn large(small: &Small) -> Vec<Order> {
    let mut orders = small.h.orders().await;
    orders.retain(|order| order.quantity.to_string() == "2" && order.state != OrderState::Refused);
    orders
}

/// Exactly one order passes, and everybody can see why: in its trace, in the log, in the list.
#[test]
fn one_order_passes_and_no_second_one() {
    simulate(async || {
        let small = tight(311).await;
        assert_eq!(small.send("BUY", "1").await.code, Some(Code::RiskMaxOrderQuantity));
        let id = confirmed(&small, request(&small)).await;
        small.accept("BUY", "2").await;
        assert_eq!(small.send("BUY", "3").await.status, SignalStatus::Skipped, "no pyramiding");
        small.h.quiet().await;
        small.accept("EXIT", "4").await;
        small.h.quiet().await;
        assert_eq!(small.send("BUY", "5").await.code, Some(Code::RiskMaxOrderQuantity));
        let entry = small.order(0).await;
        let used = shown(&small, &id).await;
        assert_eq!(used["state"], "used");
        assert_eq!(used["order_id"], entry.id.to_string());
        let signal = json!({ "id": entry.signal_id });
        let trace = tried(&small.h, "signal-show", signal).await.unwrap()["checks"].clone();
        let find = |name: &str| {
            let mut checks = trace.as_array().unwrap().iter();
            checks.find(|check| check["name"] == name).cloned().unwrap()
        };
        let lifted = find("risk.max_order_quantity");
        assert_eq!((&lifted["result"], &lifted["input"]), (&json!("skip"), &json!("2")));
        assert_eq!(find("override")["input"], json!(id));
        small.h.elapse(millis(300)).await;
        let log = small.h.log(0).await;
        let events: Vec<_> = ["requested", "confirmed", "used"]
            .iter()
            .map(|event| {
                let event = format!("override.{event}");
                log.iter().filter(|entry| entry.leaf.contains(&event)).count()
            })
            .collect();
        assert_eq!(events, [1, 1, 1]);
        small.end().await;
    });
}

/// An entry that is cut down to the limit needs no override, and leaves the one there is for the order that
/// it was meant for.
#[test]
fn an_entry_that_is_clamped_uses_up_no_override() {
    simulate(async || {
        let small = Small::with(315, Venue::default(), |new| new.quantity_clamp = true).await;
        small.h.limit("org", "max_order_quantity", "1").await;
        let id = confirmed(&small, request(&small)).await;
        small.accept("BUY", "1").await;
        small.h.quiet().await;
        assert_eq!(small.position().await, "1");
        assert_eq!(shown(&small, &id).await["state"], "confirmed");
        small.end().await;
    });
}

/// A change is checked as an order is, and so it may pass a limit by an override, once.
#[test]
fn a_change_of_an_order_passes_once() {
    simulate(async || {
        let small = Small::with(316, Venue::default(), |new| {
            new.quantity = "1".parse().unwrap();
        })
        .await;
        small.h.limit("org", "max_order_quantity", "1").await;
        let resting = json!({
            "action": "BUY", "id": "a", "order_type": "limit", "limit_price": "4990",
        });
        super::accept(&small.h, &small.hook, &resting).await;
        small.h.elapse(millis(500)).await;
        let change = async |members: Value| {
            let order = small.order(0).await;
            let mut asked = members.as_object().unwrap().clone();
            asked.insert("id".to_owned(), json!(order.id));
            let changed = tried(&small.h, "order-change", Value::Object(asked)).await;
            small.h.elapse(millis(2_000)).await;
            match changed {
                Ok(_) => None,
                Err(CommandError::Order(no)) => Some(no.code),
                Err(other) => panic!("{other:?}"),
            }
        };
        let over = Some(Code::RiskMaxOrderQuantity);
        assert_eq!(change(json!({"quantity": "2"})).await, over);
        let id = confirmed(&small, request(&small)).await;
        assert_eq!(change(json!({"quantity": "3"})).await, over, "more than was confirmed");
        assert_eq!(change(json!({"limit_price": "4991"})).await, None, "needs none");
        assert_eq!(shown(&small, &id).await["state"], "confirmed");
        assert_eq!(change(json!({"quantity": "2"})).await, None);
        let order = small.order(0).await;
        assert_eq!((order.quantity.to_string().as_str(), order.state), ("2", OrderState::Working));
        let used = shown(&small, &id).await;
        assert_eq!((&used["state"], &used["order_id"]), (&json!("used"), &json!(order.id)));
        assert_eq!(change(json!({"limit_price": "4992"})).await, over, "once");
        small.end().await;
    });
}

/// Many at one moment, in one batch: one passes.
#[test]
fn of_a_batch_one_order_passes() {
    simulate(async || {
        let small = Small::with(312, Venue::default(), |strategy| {
            strategy.pyramiding = Some("allow".parse().unwrap());
        })
        .await;
        small.h.limit("org", "max_order_quantity", "1").await;
        let id = confirmed(&small, request(&small)).await;
        let requests = (0..8).map(|number| {
            let body = signal("BUY", &format!("many-{number}"));
            tradewarden_testkit::engine::raw(&small.hook, &body)
        });
        let heard = small.h.send_together(requests.collect()).await;
        let accepted = heard.into_iter().map(Heard::answer);
        let accepted = accepted.filter(|reply| reply.status == SignalStatus::Accepted).count();
        assert_eq!(accepted, 1);
        assert_eq!(large(&small).await.len(), 1);
        assert_eq!(shown(&small, &id).await["state"], "used");
        small.end().await;
    });
}

/// What was not meant is refused: a halt stands, time ends it, and what was taken back is gone.
#[test]
fn an_override_is_no_more_than_it_says() {
    simulate(async || {
        let small = tight(313).await;
        let mut sell = request(&small);
        sell["side"] = json!("sell");
        let other = confirmed(&small, sell).await;
        assert_eq!(small.send("BUY", "1").await.code, Some(Code::RiskMaxOrderQuantity));
        let gone = tried(&small.h, "override-withdraw", json!({ "id": other })).await.unwrap();
        assert_eq!(gone["state"], "withdrawn");
        let again = tried(&small.h, "override-withdraw", json!({ "id": other })).await;
        assert_eq!(again, Err(CommandError::NotFound));

        let mut short = request(&small);
        short["minutes"] = json!(2);
        let id = confirmed(&small, short).await;
        let halt = small.h.command(halt_engage(None, "reduce_only")).await;
        assert_eq!(small.send("BUY", "2").await.code, Some(Code::HaltActive));
        small.h.clock.advance(Duration::from_secs(61));
        small.h.elapse(millis(1_000)).await;
        small.h.resume(halt["id"].as_str().unwrap()).await;
        assert_eq!(shown(&small, &id).await["state"], "confirmed");
        small.h.clock.advance(Duration::from_secs(58));
        small.h.elapse(millis(1_000)).await;
        assert_eq!(shown(&small, &id).await["state"], "expired");
        assert_eq!(small.send("BUY", "3").await.code, Some(Code::RiskMaxOrderQuantity));

        // Nobody said yes in a quarter of an hour.
        let late = tried(&small.h, "override-request", request(&small)).await.unwrap();
        small.h.clock.advance(Duration::from_mins(15));
        let late = tried(&small.h, "override-confirm", json!({ "id": late["id"] })).await;
        assert_eq!(late, Err(CommandError::NotFound));
        for (member, wrong) in [
            ("limit", json!("restricted")),
            ("quantity", json!("0")),
            ("minutes", json!(16)),
            ("minutes", json!(0)),
            ("reason", json!("")),
        ] {
            let mut asked = request(&small);
            asked[member] = wrong;
            let no = tried(&small.h, "override-request", asked).await;
            assert!(matches!(no, Err(CommandError::Invalid { .. })), "{member}: {no:?}");
        }
        small.end().await;
    });
}

/// The process dies before or after each of the commits around the order: the override is used up
/// exactly if its order is there, and never for a second one.
#[test]
fn a_crash_neither_saves_nor_doubles_an_override() {
    for number in 1..=6 {
        for death in [Death::BeforeCommit(number), Death::AfterCommit(number)] {
            println!("{death:?}");
            simulate(async || {
                let mut small = tight(314).await;
                let id = confirmed(&small, request(&small)).await;
                small.h.stop().await;
                small.h.start(death).await;
                for attempt in 0..3 {
                    if !small.h.is_alive() {
                        small.h.restart().await;
                    }
                    small.h.elapse(millis(1_000)).await;
                    let body = signal("BUY", &format!("try-{attempt}"));
                    let _answered_or_not = small.h.send(&small.hook, &body).await;
                }
                if !small.h.is_alive() {
                    small.h.restart().await;
                }
                small.h.elapse(millis(3_000)).await;
                let orders = large(&small).await;
                assert_eq!(orders.len(), 1, "{orders:?}");
                let used = shown(&small, &id).await;
                assert_eq!(used["order_id"], orders[0].id.to_string());
                small.h.finish().await;
            });
        }
    }
}
