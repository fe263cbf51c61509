//! Halts, dead-man switches and overrides over HTTP, as an owner with a fresh factor uses them.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_domain::time::Timestamp;
use tradewarden_testkit::process::{Answer, Gateway, QUICK_CALLERS, TestDir, until};

use crate::door::{Door, demo};
use crate::orders::{Trader, resting};
use crate::owner::{Owner, once_key};

/// The body of an answer with this status, and its members in order.
#[track_caller]
fn told(answer: &Answer, status: u16, members: &[&str]) -> Value {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    let mut found: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, members, "{body}");
    body
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (status, &json!(code)), "{body}");
}

fn instant(of: &Value) -> Timestamp {
    of.as_str().unwrap().parse().unwrap()
}

async fn items(owner: &mut Owner, path: &str) -> Vec<Value> {
    let page = told(&owner.get(path).await, 200, &["items", "next"]);
    page["items"].as_array().unwrap().clone()
}

async fn me(owner: &mut Owner) -> Value {
    owner.get("/api/v1/me").await.json()["id"].clone()
}

async fn until_held(owner: &mut Owner, quantity: &str) {
    until(quantity, async || items(owner, "/api/v1/positions").await[0]["quantity"] == quantity)
        .await;
}

const HALT: &[&str] =
    &["engaged_at", "engaged_by", "id", "include_protective", "local", "mode", "reason", "scope"];

/// Engages a halt, which is as it was asked for.
async fn engage(owner: &mut Owner, body: Value) -> Value {
    let halt = told(&owner.post("/api/v1/halts", &body).await, 201, HALT);
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(halt[name], *value, "{halt}");
    }
    assert_eq!((&halt["local"], &halt["include_protective"]), (&json!(false), &json!(false)));
    assert_eq!(halt["engaged_by"], me(owner).await);
    halt
}

async fn sent(door: &mut Door, mut body: Value) -> (u16, Value) {
    body["id"] = json!(once_key());
    let answer = door.send(body.to_string()).await;
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn s20_an_owner_lets_only_reduce_and_then_flattens() {
    let dir = TestDir::new("api-halts");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let buy = json!({"action": "BUY"});
    assert_eq!(sent(&mut door, buy.clone()).await, (202, Value::Null));
    until_held(&mut owner, "10").await;

    let account = gateway.ready()["account_id"].as_str().unwrap();
    let scope = format!("account:{account}");
    let body = json!({"scope": scope, "mode": "reduce_only", "reason": "a drill"});
    let reduces = engage(&mut owner, body).await;
    assert_eq!(sent(&mut door, buy.clone()).await, (422, json!("halt.active")));
    let half = json!({"action": "EXIT", "comment": "EXIT_50"});
    assert_eq!(sent(&mut door, half).await, (202, Value::Null));
    until_held(&mut owner, "5").await;

    let flattens = engage(&mut owner, json!({"mode": "flatten", "reason": "enough"})).await;
    let org = gateway.ready()["org_id"].as_str().unwrap();
    assert_eq!(flattens["scope"], format!("org:{org}"));
    let path = format!("/api/v1/halts/{}", flattens["id"].as_str().unwrap());
    let members = {
        let mut members = [HALT, &["progress"]].concat();
        members.sort_unstable();
        members
    };
    let mut progress = Value::Null;
    until("it is flat", async || {
        progress = told(&owner.get(&path).await, 200, &members)["progress"].clone();
        progress["is_done"] == true
    })
    .await;
    assert_eq!(
        progress,
        json!({
            "orders_to_cancel": 0, "orders_canceled": 0, "orders_filled": 0, "orders_working": 0,
            "orders_unknown": 0, "positions_to_close": 1, "positions_flat": 1, "is_done": true,
        })
    );
    until_held(&mut owner, "0").await;
    let engaged = items(&mut owner, "/api/v1/halts").await;
    let ids: Vec<_> = engaged.iter().map(|halt| &halt["id"]).collect();
    assert!(ids.len() == 2 && [&reduces, &flattens].iter().all(|halt| ids.contains(&&halt["id"])));
    assert_eq!(sent(&mut door, buy).await, (422, json!("halt.active")));
    refused(&owner.post(&format!("{path}/resume"), &Value::Null).await, 422, "halt.hold");
}

const SWITCH: &str = "/api/v1/dead-man";
const ARMED: &[&str] =
    &["armed_by", "fires_at", "include_protective", "mode", "renewed_at", "scope", "timeout_s"];

async fn disarm(trader: &mut Trader) -> Answer {
    trader.send(Method::DELETE, SWITCH, "", "").await
}

#[tokio::test]
async fn s20_an_owner_arms_renews_and_removes_a_dead_man_switch() {
    let dir = TestDir::new("api-dead-man");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let org = gateway.ready()["org_id"].as_str().unwrap();
    for timeout in [0, 86_401] {
        let answer = trader.owner.post(SWITCH, &json!({ "timeout_s": timeout })).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("timeout_s")));
    }
    let armed = told(&trader.owner.post(SWITCH, &json!({"timeout_s": 300})).await, 200, ARMED);
    assert_eq!((&armed["mode"], &armed["timeout_s"]), (&json!("cancel"), &json!(300)));
    assert_eq!(armed["scope"], format!("org:{org}"));
    assert_eq!(armed["armed_by"], me(&mut trader.owner).await);
    let fires = |switch: &Value| instant(&switch["fires_at"]).since(instant(&switch["renewed_at"]));
    assert_eq!(fires(&armed), Duration::from_mins(5));
    assert_eq!(items(&mut trader.owner, SWITCH).await, std::slice::from_ref(&armed));

    let renew = json!({"timeout_s": 600, "mode": "reduce_only", "include_protective": true});
    let renewed = told(&trader.owner.post(SWITCH, &renew).await, 200, ARMED);
    assert!(instant(&renewed["renewed_at"]) > instant(&armed["renewed_at"]), "{renewed}");
    assert_eq!(fires(&renewed), Duration::from_mins(10));
    assert_eq!(items(&mut trader.owner, SWITCH).await, [renewed]);
    assert_eq!(told(&disarm(&mut trader).await, 200, &["disarmed"]), json!({"disarmed": true}));
    assert_eq!(items(&mut trader.owner, SWITCH).await, [Value::Null; 0]);
    refused(&disarm(&mut trader).await, 404, "request.not_found");

    // Nobody renews it: it cancels all, and halts.
    let order = resting(&mut trader, "rests").await;
    told(&trader.owner.post(SWITCH, &json!({"timeout_s": 1})).await, 200, ARMED);
    trader.until_state(&order["id"], "canceled").await;
    let halts = items(&mut trader.owner, "/api/v1/halts").await;
    assert_eq!(halts.len(), 1, "{halts:?}");
    for (name, value) in [("engaged_by", "dead-man"), ("mode", "cancel")] {
        assert_eq!(halts[0][name], value, "{halts:?}");
    }
    let fired = items(&mut trader.owner, SWITCH).await;
    assert!(fired[0]["fired_at"].is_string() && fired[0].get("fires_at").is_none(), "{fired:?}");
    let late = trader.place("late", json!({"allow_repeat": true})).await;
    refused(&late, 422, "halt.active");
    assert_eq!(told(&disarm(&mut trader).await, 200, &["disarmed"]), json!({"disarmed": true}));
}

const REQUESTED: &[&str] = &[
    "account_id",
    "expires_at",
    "id",
    "limit",
    "quantity",
    "reason",
    "requested_at",
    "requested_by",
    "side",
    "state",
    "symbol",
    "valid_s",
];

/// What an override has once these are known of it.
fn with(more: &[&'static str]) -> Vec<&'static str> {
    let mut members = [REQUESTED, more].concat();
    members.sort_unstable();
    members
}

/// An owner who asks, and another person who confirms.
struct Two {
    trader: Trader,
    second: Owner,
}

impl Two {
    async fn at(gateway: &Gateway) -> Self {
        let mut trader = Trader::of(gateway).await;
        let person =
            json!({"email": "second@example.com", "password": "A-heron-reads-77-newspapers"});
        let invite = json!({"email": person["email"], "role": "risk_officer"});
        let made = trader.owner.post("/api/v1/users", &invite).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let set = json!({"token": made.json()["invite_token"], "password": person["password"]});
        let set = trader.owner.post("/api/v1/auth/password-reset", &set).await;
        assert_eq!(set.status, 200, "{}", set.json());
        let second = Owner::who(gateway, &person).await;
        Self { trader, second }
    }

    /// Asks that 101 may be ordered where 100 are the limit.
    async fn request(&mut self) -> Value {
        let body = json!({
            "account_id": self.trader.account, "symbol": "AAPL", "side": "buy", "quantity": "101",
            "limit": "max_order_quantity", "reason": "once", "minutes": 5,
        });
        let made = self.trader.owner.post("/api/v1/overrides", &body).await;
        let made = told(&made, 201, REQUESTED);
        assert_eq!((&made["state"], &made["valid_s"]), (&json!("requested"), &json!(300)));
        made
    }

    async fn order(&mut self) -> Answer {
        let more = json!({"quantity": "101", "allow_repeat": true});
        self.trader.place(&once_key(), more).await
    }
}

fn to(made: &Value, verb: &str) -> String {
    format!("/api/v1/overrides/{}/{verb}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_override_is_confirmed_used_and_withdrawn() {
    const OVER: &str = "risk.max_order_quantity";
    let dir = TestDir::new("api-overrides");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut two = Two::at(&gateway).await;
    let made = two.request().await;
    let own = two.trader.owner.post(&to(&made, "confirm"), &Value::Null).await;
    refused(&own, 403, "auth.second_person");
    refused(&two.order().await, 422, OVER);
    let done = two.second.post(&to(&made, "confirm"), &Value::Null).await;
    let done = told(&done, 200, &with(&["confirmed_at", "confirmed_by"]));
    assert_eq!(done["state"], "confirmed");
    assert_eq!(done["requested_by"], me(&mut two.trader.owner).await);
    assert_eq!(done["confirmed_by"], me(&mut two.second).await);
    let valid = instant(&done["expires_at"]).since(instant(&done["confirmed_at"]));
    assert_eq!(valid, Duration::from_mins(5));
    let order = two.order().await;
    assert_eq!(order.status, 201, "{}", order.json());
    let listed = items(&mut two.second, "/api/v1/overrides").await;
    assert_eq!(
        (&listed[0]["state"], &listed[0]["order_id"]),
        (&json!("used"), &order.json()["id"])
    );
    assert!(listed[0]["used_at"].is_string(), "{listed:?}");
    refused(&two.order().await, 422, OVER);
    let used = two.second.post(&to(&made, "withdraw"), &Value::Null).await;
    refused(&used, 404, "request.not_found");

    // Taken back before it is confirmed, by who asked; and after, by who said yes.
    let made = two.request().await;
    let back = two.trader.owner.post(&to(&made, "withdraw"), &Value::Null).await;
    let back = told(&back, 200, &with(&["withdrawn_by"]));
    assert_eq!(back["state"], "withdrawn");
    assert_eq!(back["withdrawn_by"], me(&mut two.trader.owner).await);
    let late = two.second.post(&to(&made, "confirm"), &Value::Null).await;
    refused(&late, 404, "request.not_found");
    let made = two.request().await;
    let done = two.second.post(&to(&made, "confirm"), &Value::Null).await;
    told(&done, 200, &with(&["confirmed_at", "confirmed_by"]));
    let back = two.second.post(&to(&made, "withdraw"), &Value::Null).await;
    told(&back, 200, &with(&["confirmed_at", "confirmed_by", "withdrawn_by"]));
    refused(&two.order().await, 422, OVER);
}
