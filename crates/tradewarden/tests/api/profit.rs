//! Profit and loss as callers see it: exact to the last digit of what the broker says.

use serde_json::{Value, json};
use tradewarden_domain::money::Money;
use tradewarden_testkit::process::{QUICK_CALLERS, TestDir, until};

use crate::door::demo;
use crate::owner::Owner;

fn money(value: &Value) -> Money {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_was_made_is_what_the_brokers_equity_moved_by() {
    let dir = TestDir::new("api-profit");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let account = gateway.ready()["account_id"].as_str().unwrap().to_owned();
    let balances = format!("/api/v1/accounts/{account}/balances");
    let profit = format!("/api/v1/accounts/{account}/profit");
    let start = money(&owner.get(&balances).await.json()["equity"]);
    // A price that stands still can be looked at twice.
    gateway.run(&["account", "price", "AAPL", "200"]).await;
    for (body, held) in [
        (r#"{"action":"BUY","id":"in"}"#, "10"),
        (r#"{"action":"EXIT","comment":"EXIT_30","id":"part"}"#, "7"),
    ] {
        assert_eq!(door.send(body).await.status, 202);
        until("filled", async || {
            let page = owner.get("/api/v1/positions").await.json();
            page["items"][0]["quantity"] == held
        })
        .await;
    }
    gateway.run(&["account", "price", "AAPL", "203.17"]).await;
    let seen = owner.get(&profit).await.json();
    let equity = money(&owner.get(&balances).await.json()["equity"]);
    let total = money(&seen["total"]);
    assert_eq!(start.plus(total).unwrap(), equity, "{seen}");
    assert!(total.is_positive(), "{seen}");
    assert_eq!((&seen["currency"], &seen["gaps"]), (&json!("USD"), &json!([])));
    let sum = money(&seen["realized"]).plus(money(&seen["unrealized"])).unwrap();
    assert_eq!(sum, total);
    let instrument = &seen["instruments"][0];
    assert_eq!((&instrument["symbol"], &instrument["quantity"]), (&json!("AAPL"), &json!("7")));
    assert_eq!(instrument["strategies"][0]["unrealized"], instrument["unrealized"]);
    let position = &owner.get("/api/v1/positions").await.json()["items"][0];
    assert_eq!(position["unrealized_pnl"], instrument["unrealized"]);
    assert_eq!((&position["mark"], &position["currency"]), (&instrument["mark"], &json!("USD")));
    let shown = gateway.run(&["account", "profit", &account]).await;
    assert!(shown.stdout.contains("AAPL"), "{}", shown.stdout);
    let unknown = profit.replace(&account, "acc_00000000000000000000000000");
    assert_eq!(owner.get(&unknown).await.status, 404);
}

#[tokio::test]
async fn a_rate_is_said_with_its_source_and_its_time() {
    let dir = TestDir::new("api-rates");
    let (gateway, _door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let said =
        json!({"base": "EUR", "quote": "USD", "rate": "1.0873", "source": "ECB", "valid_s": 60});
    let answer = owner.post("/api/v1/rates", &said).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    gateway.run(&["rate", "set", "GBP", "USD", "1.31", "--source", "desk"]).await;
    let page = owner.get("/api/v1/rates").await.json();
    let rates: Vec<_> = page["items"].as_array().unwrap().iter().collect();
    assert_eq!((&rates[0]["rate"], &rates[0]["source"]), (&json!("1.0873"), &json!("ECB")));
    assert_eq!((&rates[1]["base"], &rates[1]["rate"]), (&json!("GBP"), &json!("1.31")));
    for (field, value) in [
        ("base", json!("euro")),
        ("quote", json!("EUR")),
        ("rate", json!("0")),
        ("source", json!("")),
        ("valid_s", json!(0)),
        ("at", json!("2001-01-01T00:00:00Z")),
    ] {
        let mut wrong = said.clone();
        wrong[field] = value;
        let answer = owner.post("/api/v1/rates", &wrong).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)));
    }
}

/// S23, from outside: warned at 70 and at 90 %, then three marks that reach the limit end what would
/// enter, and only exits pass.
#[tokio::test]
async fn s23_a_loss_limit_stops_entries_and_lets_exits_pass() {
    let dir = TestDir::new("api-losses");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let account = gateway.ready()["account_id"].as_str().unwrap().to_owned();
    let profit = format!("/api/v1/accounts/{account}/profit");
    let scope = format!("account:{account}");
    gateway.run(&["account", "price", "AAPL", "200"]).await;
    gateway
        .run(&["limit", "set", "--scope", &scope, "--name", "daily_loss", "--value", "40"])
        .await;
    until("watched", async || owner.get(&profit).await.json()["losses"][0]["daily_loss"] == "40")
        .await;
    // No more waiting: what falls in the first seconds is lost as well.
    assert_eq!(door.send(r#"{"action":"BUY","id":"in"}"#).await.status, 202);
    until("filled", async || owner.get(&profit).await.json()["instruments"][0]["quantity"] == "10")
        .await;
    let resting = json!({"account_id": account, "symbol": "AAPL", "side": "buy",
        "type": "limit", "quantity": "1", "limit_price": "191"});
    let resting = owner.post("/api/v1/orders", &resting).await.json();
    let resting = format!("/api/v1/orders/{}", resting["id"].as_str().unwrap());
    // Ten shares: 31 of 40 are more than 70 %, 38 are more than 90 %, 50 are all of it.
    for (price, percent) in [("196.9", "70 %"), ("196.2", "90 %")] {
        gateway.run(&["account", "price", "AAPL", price]).await;
        until(percent, async || {
            let page = owner.get("/api/v1/findings").await.json();
            let near = |item: &Value| {
                item["code"] == "loss.daily_near"
                    && item["detail"].as_str().unwrap().contains(percent)
            };
            page["items"].as_array().unwrap().iter().any(near)
        })
        .await;
    }
    assert_eq!(owner.get("/api/v1/halts").await.json()["items"], json!([]));
    gateway.run(&["account", "price", "AAPL", "195"]).await;
    until("halted", async || {
        let halts = owner.get("/api/v1/halts").await.json();
        let halt = &halts["items"][0];
        halt["engaged_by"] == "daily_loss" && halt["mode"] == "reduce_only"
    })
    .await;
    let seen = owner.get(&profit).await.json();
    assert_eq!(seen["losses"][0]["halts"].as_array().unwrap().len(), 1, "{seen}");
    until("canceled", async || owner.get(&resting).await.json()["state"] == "canceled").await;
    let more = json!({"account_id": account, "symbol": "AAPL", "side": "buy", "type": "market",
        "quantity": "1"});
    let refused = owner.post("/api/v1/orders", &more).await;
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("halt.active")));
    assert_eq!(door.send(r#"{"action":"EXIT","id":"out"}"#).await.status, 202);
    until("flat", async || owner.get(&profit).await.json()["instruments"][0]["quantity"] == "0")
        .await;
    let refused = door.send(r#"{"action":"BUY","id":"more"}"#).await;
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("halt.active")));
    let wrong =
        ["limit", "set", "--scope", "instrument:AAPL", "--name", "daily_loss", "--value", "1"];
    assert_ne!(gateway.run(&wrong).await.code, Some(0));
}
