//! What the tests of this program share: more webhooks, and what came of a signal.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tradewarden_testkit::process::{Answer, Gateway, Program, until};

use crate::door::Door;

/// A new webhook with these options, and a strategy of its own on an account of its own: 10 AAPL,
/// with these options.
pub(crate) async fn another_door(gateway: &Gateway, webhook: &[&str], strategy: &[&str]) -> Door {
    let made = another_webhook(gateway, webhook).await;
    follow(gateway, made["id"].as_str().unwrap(), strategy).await;
    Door::of(gateway, &made)
}

/// A new webhook with these options, as the program printed it.
pub(crate) async fn another_webhook(gateway: &Gateway, options: &[&str]) -> Value {
    let create = ["webhook", "create", "--name", "another"];
    gateway.program().json(&[&create, options].concat()).await
}

/// A strategy for a webhook on an account of its own, as the program printed it.
pub(crate) async fn follow(gateway: &Gateway, webhook: &str, options: &[&str]) -> Value {
    static ACCOUNTS: AtomicU32 = AtomicU32::new(0);
    let program = gateway.program();
    let name = format!("paper {}", ACCOUNTS.fetch_add(1, Ordering::Relaxed));
    let create = ["account", "create", "--broker", "paper", "--name", &name, "--cash", "100000"];
    let account = program.json(&create).await;
    let account = account["id"].as_str().unwrap();
    let create = ["strategy", "create", "--name", &name, "--webhook", webhook];
    let trades = ["--account", account, "--symbol", "AAPL", "--quantity", "10"];
    program.json(&[&create[..], &trades, options].concat()).await
}

/// Every order, oldest first.
pub(crate) async fn orders(program: &Program) -> Vec<Value> {
    let list = program.json(&["order", "list", "--limit", "200"]).await;
    let mut orders = list["items"].as_array().unwrap().clone();
    orders.reverse();
    orders
}

/// Every order, oldest first, once all have ended.
pub(crate) async fn settled(program: &Program) -> Vec<Value> {
    let mut found = Vec::new();
    until("every order has ended", async || {
        found = orders(program).await;
        found.iter().all(|order| {
            let ended = ["filled", "canceled", "rejected", "refused", "expired"];
            ended.iter().any(|state| order["state"] == *state)
        })
    })
    .await;
    found
}

/// A signal with its trace.
pub(crate) async fn signal(program: &Program, id: &Value) -> Value {
    program.json(&["signal", "show", id.as_str().unwrap()]).await
}

/// The first line of this name in a signal's trace.
pub(crate) fn check<'a>(signal: &'a Value, name: &str) -> &'a Value {
    let checks = signal["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name} in {signal}"))
}

/// The body of an answer that is not a problem.
pub(crate) fn said(answer: &Answer, status: u16, word: &str) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (status, &word.into()), "{body}");
    assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
    assert!(body["signal_id"].as_str().unwrap().starts_with("sig_"), "{body}");
    assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
    let timestamp = body["timestamp"].as_str().unwrap();
    // RFC 3339 in UTC with microseconds.
    assert_eq!((timestamp.len(), timestamp.ends_with('Z')), (27, true), "{timestamp}");
    body
}

/// The body of a problem (RFC 9457) that is complete and agrees with its status line.
pub(crate) fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (status, &code.into()), "{body}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:tradewarden:problem:{code}"));
    for name in ["title", "detail", "request_id"] {
        assert!(!body[name].as_str().unwrap().is_empty(), "{name}: {body}");
    }
    assert_eq!(answer.headers["x-request-id"], body["request_id"].as_str().unwrap());
    body
}

/// The same, of a signal that was authenticated: it is stored, and the answer says as what (C2).
pub(crate) fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    let body = problem(answer, status, code);
    assert!(body["signal_id"].as_str().unwrap_or_default().starts_with("sig_"), "{body}");
    body
}
