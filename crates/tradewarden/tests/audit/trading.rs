//! A gateway that has traded, so that there is something to prove.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, QUICK_CALLERS, TestDir, log_in, until};

use crate::door::{Door, demo};

/// A demo with one filled order, everything sealed, and the order's identifier.
pub(crate) async fn traded(dir: &TestDir) -> (Gateway, Door, String) {
    traded_with(dir, QUICK_CALLERS).await
}

/// The same with this configuration.
pub(crate) async fn traded_with(dir: &TestDir, config: &str) -> (Gateway, Door, String) {
    let (gateway, mut door) = demo(dir, config).await;
    let body = json!({"action": "BUY", "comment": "marked-payload", "id": "first"}).to_string();
    assert_eq!(door.send(body).await.status, 202);
    let program = gateway.program();
    let mut order = Value::Null;
    until("the order has filled", async || {
        order = program.json(&["order", "list"]).await["items"][0].clone();
        order["state"] == "filled"
    })
    .await;
    let id = order["id"].as_str().unwrap().to_owned();
    assert_eq!(program.run(&["audit", "prove", &id]).await.code, Some(0));
    (gateway, door, id)
}

/// `Bearer ...` of the demo's owner, who sees everything.
pub(crate) async fn bearer(gateway: &Gateway) -> String {
    log_in(&mut gateway.client(), &gateway.ready()["owner"]).await
}
