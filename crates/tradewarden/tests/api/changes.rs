//! What was made is changed and taken away, by the API and by the command line, and the next signal
//! meets it.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, QUICK_CALLERS, TestDir, until};

use crate::door::{Door, demo};
use crate::owner::{Owner, once_key};

impl Owner {
    async fn ask(&mut self, method: Method, path: &str, body: &Value) -> Answer {
        let once = once_key();
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", once.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.send(method, path, &headers, body).await.unwrap()
    }

    async fn patch(&mut self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, &body).await
    }

    async fn delete(&mut self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &Value::Null).await
    }

    async fn until_held(&mut self, quantity: &str) {
        until(quantity, async || {
            let page = self.get("/api/v1/positions").await.json();
            page["items"][0]["quantity"] == quantity
        })
        .await;
    }
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

async fn sent(door: &mut Door, action: &str) -> (u16, String) {
    let body = json!({"action": action, "id": once_key()}).to_string();
    code(&door.send(body).await)
}

fn no(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// What a strategy does about a size that nobody can use is off unless said, and holds from the next
/// signal on.
#[tokio::test]
async fn s7_a_strategy_opts_in_to_fallback_and_clamp() {
    let dir = TestDir::new("api-clamp");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let webhook = owner.post("/api/v1/webhooks", &json!({"name": "sized"})).await.json();
    let account = gateway.ready()["account_id"].clone();
    let mut create = json!({
        "name": "sized", "webhook": webhook["id"], "account": account, "symbol": "MSFT",
        "quantity": "3", "sizing": "payload", "shared_position": true, "pyramiding": "allow",
    });
    let settings =
        |made: &Value| [made["quantity_fallback"].clone(), made["quantity_clamp"].clone()];
    let plain = owner.post("/api/v1/strategies", &create).await;
    assert_eq!((plain.status, settings(&plain.json())), (201, [json!(false), json!(false)]));
    create["quantity_fallback"] = json!(true);
    create["quantity_clamp"] = json!(true);
    create["name"] = json!("opted");
    let opted = owner.post("/api/v1/strategies", &create).await;
    assert_eq!((opted.status, settings(&opted.json())), (201, [json!(true), json!(true)]));
    let path = format!("/api/v1/strategies/{}", opted.json()["id"].as_str().unwrap());
    assert_eq!(owner.patch(&path, json!({"state": "off"})).await.status, 200);

    let path = format!("/api/v1/strategies/{}", plain.json()["id"].as_str().unwrap());
    let mut door = Door::of(&gateway, &webhook);
    assert_eq!(sent(&mut door, "BUY").await, no(422, "sizing.unusable_quantity"));
    let set = owner.patch(&path, json!({"quantity_fallback": true})).await;
    assert_eq!((set.status, settings(&set.json())), (200, [json!(true), json!(false)]));
    assert_eq!(sent(&mut door, "BUY").await, no(202, ""));
    let large = json!({"action": "BUY", "id": once_key(), "quantity": "900000000"}).to_string();
    assert_eq!(code(&door.send(large).await), no(422, "risk.max_order_quantity"));
    let set = owner.patch(&path, json!({"quantity_clamp": "yes"})).await;
    assert_eq!(set.status, 400, "{}", set.json());
    let set = owner.patch(&path, json!({"quantity_fallback": false, "quantity_clamp": true})).await;
    assert_eq!((set.status, settings(&set.json())), (200, [json!(false), json!(true)]));
    assert_eq!(sent(&mut door, "BUY").await, no(422, "sizing.unusable_quantity"));
}

/// S18 through the door: entries are refused, exits pass; off asks what becomes of the position.
#[tokio::test]
async fn s18_a_strategy_is_switched() {
    let dir = TestDir::new("api-switch");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let id = gateway.ready()["strategy_id"].as_str().unwrap();
    let path = format!("/api/v1/strategies/{id}");
    assert_eq!(sent(&mut door, "BUY").await, no(202, ""));
    owner.until_held("10").await;

    let asked = owner.patch(&path, json!({"state": "off"})).await;
    assert_eq!(code(&asked), no(409, "strategy.open_position"));
    let detail = asked.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("10 AAPL on acc_"), "{detail}");
    let moved = owner.patch(&path, json!({"symbol": "MSFT"})).await;
    assert_eq!(code(&moved), no(409, "strategy.open_position"));
    assert_eq!(code(&owner.delete(&path).await), no(409, "strategy.not_off"));

    let only = owner.patch(&path, json!({"state": "exits_only", "pyramiding": "allow"})).await;
    assert_eq!((only.status, &only.json()["state"]), (200, &json!("exits_only")));
    let settings = ["schedule", "take_profit", "stop_loss", "entry_ttl_s", "expected_every_s"];
    let values = json!(["mon-fri 09:30-16:00 America/New_York", "2%", "1%", 3_600, 600]);
    for (name, value) in settings.into_iter().zip(values.as_array().unwrap()) {
        let set = owner.patch(&path, json!({name: value})).await;
        assert_eq!((set.status, &set.json()[name]), (200, value), "{name}");
        let cleared = owner.patch(&path, json!({name: null})).await;
        assert_eq!((cleared.status, &cleared.json()[name]), (200, &Value::Null), "{name}");
    }
    assert_eq!(sent(&mut door, "BUY").await, no(422, "strategy.exits_only"));
    assert_eq!(sent(&mut door, "EXIT").await, no(202, ""));
    owner.until_held("0").await;
    assert_eq!(sent(&mut door, "BUY").await, no(422, "strategy.exits_only"));

    let on = owner.patch(&path, json!({"state": "on", "quantity": "3"})).await;
    assert_eq!((on.status, &on.json()["quantity"]), (200, &json!("3")));
    assert_eq!(sent(&mut door, "BUY").await, no(202, ""));
    owner.until_held("3").await;
    let off = owner.patch(&path, json!({"state": "off", "open_position": "flatten"})).await;
    assert_eq!((off.status, &off.json()["state"]), (200, &json!("off")));
    owner.until_held("0").await;
    assert_eq!(sent(&mut door, "BUY").await, no(422, "strategy.off"));
    let gone = owner.delete(&path).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(sent(&mut door, "BUY").await, no(422, "strategy.none"));
    assert_eq!(code(&owner.get(&path).await), no(404, "request.not_found"));
}

/// Another webhook takes over; the old one goes, and what came through it stays.
#[tokio::test]
async fn a_webhook_is_changed_replaced_and_deleted() {
    let dir = TestDir::new("api-replace");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let strategy =
        format!("/api/v1/strategies/{}", gateway.ready()["strategy_id"].as_str().unwrap());
    let id = gateway.ready()["webhook"]["id"].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{id}");

    assert_eq!(owner.patch(&path, json!({"dry_run": true})).await.status, 200);
    let dry = door.send(r#"{"action":"BUY","id":"dry"}"#).await;
    assert_eq!((dry.status, &dry.json()["status"]), (200, &json!("dry_run")));
    let body = json!({"dry_run": false, "allow": ["192.0.2.1"]});
    assert_eq!(owner.patch(&path, body).await.status, 200);
    assert_eq!(sent(&mut door, "BUY").await, no(403, "address.not_allowed"));
    // Its factor is fresh.
    assert_eq!(owner.patch(&path, json!({"allow": []})).await.status, 200);
    assert_eq!(owner.patch(&path, json!({"state": "disabled"})).await.status, 200);
    assert_eq!(sent(&mut door, "BUY").await, no(401, "auth.failed"));
    assert_eq!(owner.patch(&path, json!({"state": "active"})).await.status, 200);
    assert_eq!(sent(&mut door, "EXIT").await, no(200, "strategy.flat"));

    let in_use = owner.delete(&path).await;
    assert_eq!(code(&in_use), no(409, "webhook.in_use"));
    let named = gateway.ready()["strategy_id"].as_str().unwrap();
    assert!(in_use.json()["detail"].as_str().unwrap().contains(named), "{in_use:?}");
    let other = owner.post("/api/v1/webhooks", &json!({"name": "other"})).await.json();
    let mut other_door = Door::of(&gateway, &other);
    assert_eq!(owner.patch(&strategy, json!({"webhook": other["id"]})).await.status, 200);
    assert_eq!(sent(&mut door, "BUY").await, no(422, "strategy.none"));
    assert_eq!(sent(&mut other_door, "BUY").await, no(202, ""));
    let before = owner.get("/api/v1/signals").await.json()["items"].as_array().unwrap().len();
    assert_eq!(owner.delete(&path).await.json(), json!({"deleted": true, "id": id}));
    assert_eq!(sent(&mut door, "BUY").await, no(401, "auth.failed"));
    let signals = owner.get("/api/v1/signals").await.json();
    assert_eq!(signals["items"].as_array().unwrap().len(), before, "they stay");
    let log = owner.get("/api/v1/audit?limit=200").await.json();
    let of = |event: &str| {
        let items = log["items"].as_array().unwrap().iter();
        items.filter(|entry| entry["leaf"]["event"] == event).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("webhook.deleted").len(), 1);
    assert_eq!(of("webhook.changed").len(), 5);
    let allow = json!({"after": [], "before": ["192.0.2.1/32"]});
    assert!(
        of("webhook.changed").iter().any(|entry| entry["payload"]["changed"]["allow"] == allow)
    );
    assert!(!log.to_string().contains(&door.secret), "no secret in the log");

    // A restart remembers.
    let program = gateway.program().clone();
    gateway.kill9().await;
    let gateway = program.try_start("demo").await.unwrap();
    door.client = gateway.client();
    assert_eq!(sent(&mut door, "BUY").await, no(401, "auth.failed"));
}

/// The same by the command line, with its exit codes.
#[tokio::test]
async fn the_command_line_changes_and_deletes() {
    let dir = TestDir::new("api-change-cli");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let program = gateway.program();
    let ready = |name: &str| gateway.ready()[name].as_str().unwrap().to_owned();
    let (strategy, account) = (ready("strategy_id"), ready("account_id"));
    let webhook = gateway.ready()["webhook"]["id"].as_str().unwrap().to_owned();

    let changed = ["webhook", "change", &webhook, "--name", "renamed", "--preset", "tradingview"];
    let changed = program.json(&changed).await;
    assert_eq!(
        (&changed["name"], changed["allow"].as_array().unwrap().len()),
        (&json!("renamed"), 4)
    );
    let any = ["webhook", "change", &webhook, "--allow-any", "--rate-per-s", "9"];
    assert_eq!(program.json(&any).await["allow"], json!([]));
    let both = ["webhook", "change", &webhook, "--allow-any", "--allow", "::1"];
    assert_eq!(program.run(&both).await.code, Some(2));

    let renamed = ["account", "change", &account, "--name", "mine", "--state", "disabled"];
    assert_eq!(program.json(&renamed).await["state"], "disabled");
    assert_eq!(sent(&mut door, "BUY").await, no(422, "account.off"));
    program.json(&["account", "change", &account, "--state", "active"]).await;
    assert_eq!(sent(&mut door, "BUY").await, no(202, ""));
    until("filled", async || {
        program.json(&["position", "list"]).await["items"][0]["quantity"] == "10"
    })
    .await;

    let asked = program.run(&["strategy", "off", &strategy]).await;
    assert_eq!(asked.code, Some(1), "{asked}");
    assert!(asked.stderr.contains("strategy.open_position"), "{asked}");
    let left = program.json(&["strategy", "off", &strategy, "--open-position", "leave"]).await;
    assert_eq!(left["state"], "off");
    assert_eq!(sent(&mut door, "EXIT").await, no(422, "strategy.off"));
    assert_eq!(program.json(&["strategy", "on", &strategy]).await["state"], "on");
    let sized = ["strategy", "change", &strategy, "--quantity", "2", "--allow-short", "true"];
    let sized = program.json(&sized).await;
    assert_eq!((&sized["quantity"], &sized["allow_short"]), (&json!("2"), &json!(true)));
    let flatten = ["strategy", "off", &strategy, "--open-position", "flatten"];
    assert_eq!(program.json(&flatten).await["state"], "off");
    until("flat", async || {
        program.json(&["position", "list"]).await["items"][0]["quantity"] == "0"
    })
    .await;
    let in_use = program.run(&["webhook", "delete", &webhook]).await;
    assert_eq!(
        (in_use.code, in_use.stderr.contains("webhook.in_use")),
        (Some(1), true),
        "{in_use}"
    );
    assert_eq!(program.json(&["strategy", "delete", &strategy]).await["deleted"], true);
    assert_eq!(program.json(&["webhook", "delete", &webhook]).await["deleted"], true);
    assert_eq!(program.run(&["webhook", "delete", &webhook]).await.code, Some(3));
    assert_eq!(program.run(&["webhook", "delete", "nonsense"]).await.code, Some(3));

    let limit = ["--scope", "org", "--name", "max_position"];
    let shown = program.json(&[&["limit", "show"][..], &limit].concat()).await;
    assert_eq!(shown["name"], "max_position");
    let gone = program.json(&[&["limit", "delete"][..], &limit].concat()).await;
    assert_eq!(gone["deleted"], true);
    let missing = program.run(&[&["limit", "delete"][..], &limit].concat()).await;
    assert_eq!(missing.code, Some(3), "{missing}");
}
