//! Prices that somebody else published, traded through a strategy end to end, and the result held
//! against a calculation in another language that knows nothing of the gateway.

use serde_json::{Value, json};
use tokio::process::Command;
use tradewarden_testkit::process::{TestDir, until};

use crate::door::{Door, demo};
use crate::python::python_with;
use crate::stage::{another_webhook, orders, said};

/// Hours of prices, and units of the base currency: an odd number, so that a half is rounded.
const HOURS: &str = "1200";
const QUANTITY: &str = "10001";

/// What the script works out.
async fn worked_out(dir: &TestDir) -> Value {
    let python = python_with(dir, &["--no-deps", "backtesting==0.6.6"]).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/intake/published.py");
    let ended = Command::new(python).args([script, HOURS, QUANTITY]).output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[tokio::test]
async fn published_prices_give_what_others_calculate() {
    let dir = TestDir::new("intake-published");
    let expected = worked_out(&dir).await;
    let (gateway, _) = demo(&dir, "").await;
    for (name, value) in [
        ("max_order_quantity", "100000"),
        ("max_position", "100000"),
        ("max_orders_per_minute", "10000"),
    ] {
        let set = ["limit", "set", "--scope", "org", "--name", name, "--value", value];
        gateway.program().json(&set).await;
    }
    // Months pass within a minute.
    let webhook = another_webhook(&gateway, &["--rate-per-s", "1000"]).await;
    let account = gateway.ready()["account_id"].as_str().unwrap();
    let create = ["strategy", "create", "--name", "published", "--account", account];
    let webhook_id = ["--webhook", webhook["id"].as_str().unwrap()];
    let trades = ["--symbol", "EURUSD", "--quantity", QUANTITY, "--allow-short"];
    let reverses = ["--on-opposite", "reverse"];
    let options = [&create[..], &webhook_id, &trades, &reverses].concat();
    gateway.program().json(&options).await;
    let mut door = Door::of(&gateway, &webhook);

    let steps = expected["steps"].as_array().unwrap();
    assert!(steps.len() > 30, "{}", steps.len());
    for (number, step) in steps.iter().enumerate() {
        gateway.run(&["account", "price", "EURUSD", step["price"].as_str().unwrap()]).await;
        let mut signal = step["signal"].clone();
        signal["id"] = json!(format!("step-{number}"));
        said(&door.send(signal.to_string()).await, 202, "accepted");
        let wanted = usize::try_from(step["fills"].as_u64().unwrap()).unwrap();
        until("everything that was wanted has filled", async || {
            let orders = orders(gateway.program()).await;
            orders.iter().filter(|order| order["state"] == "filled").count() == wanted
        })
        .await;
    }

    let told = |order: &Value| {
        json!({"side": order["side"], "quantity": order["filled_quantity"],
               "price": order["average_price"]})
    };
    let fills: Vec<_> = orders(gateway.program()).await.iter().map(told).collect();
    assert_eq!(json!(fills), expected["fills"]);
    let profit = gateway.program().json(&["account", "profit", account]).await;
    let made = &expected["realized"];
    assert_eq!((&profit["realized"], &profit["total"]), (made, made), "{profit}");
    assert_eq!((&profit["fees"], &profit["unrealized"]), (&json!("0"), &json!("0")));
    let position = &gateway.program().json(&["position", "list"]).await["items"][0];
    assert_eq!((&position["symbol"], &position["quantity"]), (&json!("EURUSD"), &json!("0")));
    assert_eq!(&position["realized_pnl"], made);
    gateway.stop().await;
}
