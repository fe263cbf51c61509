//! Orders that a caller places, cancels and closes by itself; each request once.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Gateway, QUICK_CALLERS, TestDir, until};

use crate::door::demo;
use crate::owner::Owner;

const ORDERS: &str = "/api/v1/orders";

/// Someone who trades on the demo's account.
pub(crate) struct Trader {
    pub(crate) owner: Owner,
    pub(crate) account: String,
}

impl Trader {
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        let account = gateway.ready()["account_id"].as_str().unwrap().to_owned();
        Self { owner: Owner::of(gateway).await, account }
    }

    /// The same session at the gateway as it was started again.
    async fn again_at(self, gateway: &Gateway) -> Self {
        Self { owner: self.owner.again_at(gateway).await, ..self }
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        key: &str,
        body: &str,
    ) -> Answer {
        let bearer = self.owner.bearer.clone();
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        let headers = if key.is_empty() { &headers[..1] } else { &headers[..] };
        self.owner.client.send(method, path, headers, body.to_owned()).await.unwrap()
    }

    /// A body for an order on the demo's account, changed by `more`.
    fn order(&self, more: &Value) -> String {
        let mut body = json!({"account_id": self.account, "symbol": "AAPL", "side": "buy",
                              "type": "market", "quantity": "2"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body.to_string()
    }

    pub(crate) async fn place(&mut self, key: &str, more: Value) -> Answer {
        let body = self.order(&more);
        self.send(Method::POST, ORDERS, key, &body).await
    }

    async fn show(&mut self, id: &Value) -> Value {
        self.owner.get(&format!("{ORDERS}/{}", id.as_str().unwrap())).await.json()
    }

    pub(crate) async fn until_state(&mut self, id: &Value, state: &str) -> Value {
        let mut last = Value::Null;
        until(state, async || {
            last = self.show(id).await;
            last["state"] == state
        })
        .await;
        last
    }

    async fn position(&mut self) -> String {
        let page = self.owner.get("/api/v1/positions").await.json();
        let found = page["items"].as_array().unwrap().iter().find(|one| one["symbol"] == "AAPL");
        found.map_or("0".to_owned(), |one| one["quantity"].as_str().unwrap().to_owned())
    }
}

/// A limit that no market of the demo reaches, and inside the collar.
pub(crate) async fn resting(trader: &mut Trader, key: &str) -> Value {
    let filled = trader.place(&format!("{key}-probe"), json!({"allow_repeat": true})).await.json();
    let filled = trader.until_state(&filled["id"], "filled").await;
    let price: f64 = filled["average_price"].as_str().unwrap().parse().unwrap();
    let limit = format!("{:.2}", price * 0.97);
    let placed = trader
        .place(key, json!({"type": "limit", "limit_price": limit, "allow_repeat": true}))
        .await;
    assert_eq!(placed.status, 201, "{}", placed.json());
    trader.until_state(&placed.json()["id"], "working").await
}

/// S17: the answer to a key is repeated, for orders for ever; the same key for something else is a no.
#[tokio::test]
async fn an_order_goes_out_and_its_answer_is_repeated() {
    let dir = TestDir::new("api-orders-once");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let first = trader.place("\"one\"", json!({"tag": "breakfast"})).await;
    let order = first.json();
    assert_eq!(first.status, 201, "{order}");
    assert_eq!((&order["state"], &order["tag"]), (&json!("accepted"), &json!("breakfast")));
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let again = trader.place("one", json!({"tag": "breakfast"})).await;
    assert_eq!((again.status, again.json()), (201, order.clone()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = trader.place("one", json!({"tag": "lunch"})).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("idempotency.key_reused")));
    let missing = trader.place("", json!({})).await;
    assert_eq!((missing.status, &missing.json()["code"]), (400, &json!("idempotency.key_missing")));
    trader.until_state(&order["id"], "filled").await;
    assert_eq!(trader.position().await, "2");
    // A restart forgets nothing.
    let program = gateway.program().clone();
    gateway.kill9().await;
    let gateway = program.try_start("demo").await.unwrap();
    let mut trader = trader.again_at(&gateway).await;
    let replayed = trader.place("one", json!({"tag": "breakfast"})).await;
    assert_eq!((replayed.status, replayed.json()), (201, order));
    assert_eq!(trader.position().await, "2");
}

/// S17: so is a refusal; and the same order under another key within two seconds is suspect.
#[tokio::test]
async fn a_refused_order_is_stored_and_its_refusal_repeated() {
    let dir = TestDir::new("api-orders-refused");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let refused = trader.place("large", json!({"quantity": "101"})).await;
    let problem = refused.json();
    assert_eq!(refused.status, 422, "{problem}");
    assert_eq!(problem["code"], "risk.max_order_quantity");
    assert_eq!((&problem["input"], &problem["limit"]), (&json!("101"), &json!("100")));
    let order = trader.show(&problem["order_id"]).await;
    assert_eq!((&order["state"], &order["code"]), (&json!("refused"), &problem["code"]));
    let again = trader.place("large", json!({"quantity": "101"})).await;
    assert_eq!((again.status, &again.json()["order_id"]), (422, &problem["order_id"]));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // The same order under another key within two seconds.
    let first = trader.place("twin-1", json!({})).await.json();
    let twin = trader.place("twin-2", json!({})).await;
    assert_eq!((twin.status, &twin.json()["code"]), (409, &json!("duplicate.suspect")));
    assert_eq!(twin.json()["order_id"], first["id"]);
    assert_eq!(trader.place("twin-3", json!({"allow_repeat": true})).await.status, 201);
}

#[tokio::test]
async fn what_cannot_be_an_order_names_its_field() {
    let dir = TestDir::new("api-orders-fields");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    for (more, field) in [
        (json!({"quantity": "0"}), "quantity"),
        (json!({"quantity": "-1"}), "quantity"),
        (json!({"quantity": "NaN"}), "quantity"),
        (json!({"quantity": 1.5}), "quantity"),
        (json!({"side": "hold"}), "side"),
        (json!({"type": "iceberg"}), "type"),
        (json!({"type": "limit"}), "limit_price"),
        (json!({"limit_price": "10"}), "limit_price"),
        (json!({"type": "stop"}), "stop_price"),
        (json!({"type": "limit", "limit_price": "0.001"}), "limit_price"),
        (json!({"type": "limit", "limit_price": "-1"}), "limit_price"),
        (json!({"tag": ""}), "tag"),
        (json!({"expires_at": "2001-01-01T00:00:00Z"}), "expires_at"),
        (json!({"leverage": "100"}), "leverage"),
    ] {
        let answer = trader.place("field", more.clone()).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["field"]), (400, &json!(field)), "{more}: {body}");
    }
    let half = trader.place("half", json!({"quantity": "1.5"})).await;
    assert_eq!((half.status, &half.json()["code"]), (422, &json!("sizing.unusable_quantity")));
    let nowhere = trader.place("nowhere", json!({"account_id": "acc_00000000000000000000000000"}));
    assert_eq!(nowhere.await.status, 404);
    let unknown = trader.place("unknown", json!({"symbol": "NONE"})).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (422, &json!("risk.unknown_instrument")));
    let orders = trader.owner.get(ORDERS).await.json();
    assert!(orders["items"].as_array().unwrap().iter().all(|order| order["state"] == "refused"));
}

#[tokio::test]
async fn orders_are_canceled_one_by_one_and_all_together() {
    let dir = TestDir::new("api-orders-cancel");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let order = resting(&mut trader, "rest-1").await;
    let path = format!("{ORDERS}/{}", order["id"].as_str().unwrap());
    assert_eq!(trader.send(Method::DELETE, &path, "", "").await.status, 200);
    trader.until_state(&order["id"], "canceled").await;
    let again = trader.send(Method::DELETE, &path, "", "").await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("order.not_open")));
    let nothing = format!("{ORDERS}/ord_00000000000000000000000000");
    assert_eq!(trader.send(Method::DELETE, &nothing, "", "").await.status, 404);

    let entry = resting(&mut trader, "rest-2").await;
    let far = json!({"type": "limit", "limit_price": "100000", "side": "sell", "quantity": "1"});
    let far = trader.place("profit", far).await.json();
    assert_eq!(far["reduce_only"], true, "what can only reduce is an exit: {far}");
    trader.until_state(&far["id"], "working").await;
    let all = "/api/v1/orders/cancel-all";
    let answer = trader.send(Method::POST, all, "all", "").await;
    assert_eq!(answer.json(), json!({"canceled": [entry["id"]], "kept": [far["id"]]}));
    trader.until_state(&entry["id"], "canceled").await;
    let body = r#"{"include_protective": true, "symbol": "AAPL"}"#;
    let answer = trader.send(Method::POST, all, "rest", body).await;
    assert_eq!(answer.json(), json!({"canceled": [far["id"]], "kept": []}));
    trader.until_state(&far["id"], "canceled").await;
}

#[tokio::test]
async fn an_order_is_changed_at_its_broker_once() {
    let dir = TestDir::new("api-orders-change");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let order = resting(&mut trader, "rest").await;
    let path = format!("{ORDERS}/{}", order["id"].as_str().unwrap());
    let limit: f64 = order["limit_price"].as_str().unwrap().parse().unwrap();
    let lower =
        format!("{:.2}", limit - 1.0).trim_end_matches('0').trim_end_matches('.').to_owned();
    let body = json!({"quantity": "5", "limit_price": lower}).to_string();
    let first = trader.send(Method::PATCH, &path, "change", &body).await;
    let answer = first.json();
    assert_eq!(first.status, 200, "{answer}");
    assert_eq!((&answer["quantity"], &answer["change"]["state"]), (&json!("2"), &json!("wanted")));
    assert_eq!(
        (&answer["change"]["quantity"], &answer["change"]["limit_price"]),
        (&json!("5"), &json!(lower))
    );
    let mut changed = Value::Null;
    until("the change", async || {
        changed = trader.show(&order["id"]).await;
        changed["change"]["state"] == "made"
    })
    .await;
    assert_eq!((&changed["quantity"], &changed["limit_price"]), (&json!("5"), &json!(lower)));
    assert_eq!((&changed["state"], changed.get("code")), (&json!("working"), None));
    let again = trader.send(Method::PATCH, &path, "change", &body).await;
    assert_eq!((again.status, again.json()), (200, answer));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // The command line asks the same.
    let id = order["id"].as_str().unwrap();
    let ended = gateway.run(&["order", "change", id, "--quantity", "4"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    until("the second change", async || trader.show(&order["id"]).await["quantity"] == "4").await;
    trader.send(Method::DELETE, &path, "", "").await;
    trader.until_state(&order["id"], "canceled").await;
    let ended = trader.send(Method::PATCH, &path, "", &body).await;
    assert_eq!((ended.status, &ended.json()["code"]), (409, &json!("order.not_open")));
}

#[tokio::test]
async fn a_change_that_cannot_be_says_why() {
    let dir = TestDir::new("api-orders-no-change");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let order = resting(&mut trader, "rest").await;
    let path = format!("{ORDERS}/{}", order["id"].as_str().unwrap());
    for (body, field) in [
        (json!({}), "quantity"),
        (json!({"quantity": null}), "quantity"),
        (json!({"quantity": "0"}), "quantity"),
        (json!({"quantity": "-1"}), "quantity"),
        (json!({"quantity": 1}), "quantity"),
        (json!({"stop_price": "10"}), "stop_price"),
        (json!({"limit_price": "0.001"}), "limit_price"),
        (json!({"limit_price": "-1"}), "limit_price"),
        (json!({"side": "sell"}), "side"),
        (json!({"id": order["id"], "quantity": "1"}), "id"),
    ] {
        let answer = trader.send(Method::PATCH, &path, "", &body.to_string()).await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["field"]), (400, &json!(field)), "{body}: {problem}");
    }
    let large = r#"{"quantity": "101"}"#;
    let refused = trader.send(Method::PATCH, &path, "large", large).await;
    let problem = refused.json();
    assert_eq!((refused.status, &problem["code"]), (422, &json!("risk.max_order_quantity")));
    assert_eq!((&problem["order_id"], &problem["limit"]), (&order["id"], &json!("100")));
    let again = trader.send(Method::PATCH, &path, "large", large).await;
    assert_eq!((again.status, &again.json()["code"]), (422, &problem["code"]));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let far = trader.send(Method::PATCH, &path, "", r#"{"limit_price": "1"}"#).await;
    assert_eq!((far.status, &far.json()["code"]), (422, &json!("risk.price_collar")));
    let nothing = format!("{ORDERS}/ord_00000000000000000000000000");
    assert_eq!(trader.send(Method::PATCH, &nothing, "", large).await.status, 404);
    let none = trader.send(Method::PATCH, &format!("{ORDERS}/x"), "", large).await;
    assert_eq!(none.status, 404);
    let same = json!({"quantity": order["quantity"]}).to_string();
    let same = trader.send(Method::PATCH, &path, "", &same).await;
    assert_eq!((same.status, same.json().get("change")), (200, None));
    assert_eq!(trader.show(&order["id"]).await["quantity"], order["quantity"]);
}

#[tokio::test]
async fn an_order_works_no_longer_than_it_may() {
    let dir = TestDir::new("api-orders-expiry");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let order = resting(&mut trader, "rest").await;
    let now = trader.owner.client.get("/api/v1/time", &[]).await.unwrap().json();
    let now: String = now["time"].as_str().or(now["now"].as_str()).unwrap().to_owned();
    let soon: tradewarden_domain::time::Timestamp = now.parse().unwrap();
    let soon = serde_json::to_value(soon.plus(std::time::Duration::from_secs(2))).unwrap();
    let limit = order["limit_price"].clone();
    let more = json!({"type": "limit", "limit_price": limit, "quantity": "3", "expires_at": soon});
    let short = trader.place("short", more).await.json();
    assert_eq!(short["expires_at"], soon, "{short}");
    trader.until_state(&short["id"], "canceled").await;
    assert_eq!(trader.show(&order["id"]).await["state"], "working");
}

#[tokio::test]
async fn a_position_is_closed_and_only_reduced() {
    let dir = TestDir::new("api-orders-close");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut trader = Trader::of(&gateway).await;
    let close = format!("/api/v1/positions/{}/AAPL/close", trader.account);
    let flat = trader.send(Method::POST, &close, "flat", "").await;
    assert_eq!((flat.status, &flat.json()["code"]), (422, &json!("position.flat")));
    let flat = trader.place("reduce-flat", json!({"side": "sell", "reduce_only": true})).await;
    assert_eq!((flat.status, &flat.json()["code"]), (422, &json!("position.flat")));

    // Two owners of one position: a strategy, and a caller by itself.
    assert_eq!(door.send(r#"{"action":"BUY","id":"e"}"#).await.status, 202);
    let mine = trader.place("mine", json!({"quantity": "4"})).await.json();
    trader.until_state(&mine["id"], "filled").await;
    until("both held", async || trader.position().await == "14").await;
    let cut = json!({"side": "sell", "quantity": "9", "reduce_only": true});
    let cut = trader.place("cut", cut).await.json();
    assert_eq!((&cut["quantity"], &cut["reduce_only"]), (&json!("4"), &json!(true)), "{cut}");
    trader.until_state(&cut["id"], "filled").await;
    assert_eq!(trader.position().await, "10");
    let answer = trader.send(Method::POST, &close, "close", "").await;
    let closing = answer.json();
    assert_eq!(answer.status, 200, "{closing}");
    assert_eq!(closing["orders"].as_array().unwrap().len(), 1, "{closing}");
    trader.until_state(&closing["orders"][0]["id"], "filled").await;
    assert_eq!(trader.position().await, "0");
    let again = trader.send(Method::POST, &close, "close", "").await;
    assert_eq!(again.json(), closing);

    let balances = format!("/api/v1/accounts/{}/balances", trader.account);
    let balances = trader.owner.get(&balances).await.json();
    assert_eq!(balances["currency"], "USD");
    assert_eq!(balances["cash"], balances["equity"], "flat: {balances}");
}
