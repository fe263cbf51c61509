//! What a key may know of: a key for one account sees nothing of another, and cannot tell what is
//! not there from what is not its own.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Gateway, TestDir, until};

use crate::stage::{demo, private_file, quick_demo};

/// Numbers the idempotency keys.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A key with a secret, and its requests.
struct Caller<'a> {
    gateway: &'a Gateway,
    id: String,
    secret_file: String,
}

impl<'a> Caller<'a> {
    async fn new(gateway: &'a Gateway, dir: &TestDir, name: &str, more: &[&str]) -> Self {
        let mut args = vec!["key", "create", "--name", name, "--algorithm", "hmac-sha256"];
        for scope in
            ["orders:read", "orders:create", "orders:cancel", "positions:read", "balances:read"]
        {
            args.extend(["--scope", scope]);
        }
        args.extend(more);
        let made = gateway.program().json(&args).await;
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        let file = private_file(dir, name, &text("secret"));
        Self { gateway, id: text("id"), secret_file: file.to_str().unwrap().to_owned() }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let url = format!("{}{path}", self.gateway.base_url());
        let file = [("--secret-file", self.secret_file.as_str())];
        let mut args = vec!["sign", "--key", &self.id, file[0].0, file[0].1];
        args.extend(["--method", method, "--url", &url]);
        let dir = std::path::Path::new(&self.secret_file).parent().unwrap();
        let kept = dir.join("body");
        std::fs::write(&kept, body).unwrap();
        let once = format!("reach-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        if !body.is_empty() {
            args.extend(["--body", kept.to_str().unwrap(), "--idempotency-key", &once]);
        }
        let signed = self.gateway.program().json(&args).await;
        let headers = signed["headers"].as_object().unwrap().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let method = method.parse().unwrap();
        self.gateway.client().send(method, path, &headers, body.to_owned()).await.unwrap()
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.call("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()["items"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn a_key_for_one_account_knows_of_no_other() {
    let dir = TestDir::new("keys-reach");
    let (gateway, _) = demo(&dir).await;
    let ready = gateway.ready();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let other = ["account", "create", "--broker", "paper", "--name", "other", "--cash", "5000"];
    let other = gateway.program().json(&other).await["id"].as_str().unwrap().to_owned();
    let all = Caller::new(&gateway, &dir, "all", &[]).await;
    let one = Caller::new(&gateway, &dir, "one", &["--account", &other]).await;

    let mine = text("account_id");
    let secret = ready["webhook"]["secret"].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{}", ready["webhook"]["token"].as_str().unwrap());
    let headers = [("x-webhook-secret", secret)];
    let signal = gateway.client().post(&path, &headers, r#"{"action":"BUY"}"#).await.unwrap();
    let signal = signal.json();
    let (signal, order) = (&signal["signal_id"], &signal["accounts"][0]["order_id"]);
    let path = format!("/api/v1/orders/{}", order.as_str().unwrap());
    until("filled", async || all.call("GET", &path, "").await.json()["state"] == "filled").await;

    for path in ["/api/v1/orders", "/api/v1/signals", "/api/v1/positions", "/api/v1/strategies"] {
        assert_eq!(all.items(path).await.len(), 1, "{path}");
        assert_eq!(one.items(path).await, Vec::<Value>::new(), "{path}");
    }
    assert_eq!(all.items("/api/v1/accounts").await.len(), 2);
    let accounts = one.items("/api/v1/accounts").await;
    assert_eq!((accounts.len(), accounts[0]["id"].as_str()), (1, Some(other.as_str())));

    // Not there and not yours are one answer.
    for (there, not_there) in [
        (format!("orders/{}", order.as_str().unwrap()), "orders/ord_00000000000000000000000000"),
        (format!("signals/{}", signal.as_str().unwrap()), "signals/sig_00000000000000000000000000"),
        (format!("accounts/{mine}"), "accounts/acc_00000000000000000000000000"),
        (format!("accounts/{mine}/balances"), "accounts/acc_00000000000000000000000000/balances"),
        (
            format!("strategies/{}", text("strategy_id")),
            "strategies/str_00000000000000000000000000",
        ),
    ] {
        let mut answers = Vec::new();
        for path in [there.as_str(), not_there] {
            let answer = one.call("GET", &format!("/api/v1/{path}"), "").await;
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("request_id");
            answers.push((answer.status, body));
        }
        assert_eq!((answers[0].0, &answers[0]), (404, &answers[1]), "{there}");
    }
    for path in [path.as_str(), "/api/v1/orders/ord_00000000000000000000000000"] {
        let answer = one.call("PATCH", path, r#"{"quantity":"1"}"#).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("request.not_found")));
    }
    let order = json!({"account_id": mine, "symbol": "AAPL", "side": "buy", "type": "market",
                       "quantity": "1"});
    assert_eq!(one.call("POST", "/api/v1/orders", &order.to_string()).await.status, 404);
    let order = json!({"account_id": other, "symbol": "AAPL", "side": "buy", "type": "market",
                       "quantity": "1"});
    assert_eq!(one.call("POST", "/api/v1/orders", &order.to_string()).await.status, 201);
}

/// What is the organization's is not for a key for one account: neither to be seen nor to be done.
#[tokio::test]
async fn a_key_for_one_account_does_nothing_in_the_name_of_all() {
    let dir = TestDir::new("keys-whole");
    let (gateway, _) = quick_demo(&dir).await;
    let other = ["account", "create", "--broker", "paper", "--name", "other", "--cash", "5000"];
    let other = gateway.program().json(&other).await["id"].as_str().unwrap().to_owned();
    let scopes = [
        "halt:engage",
        "audit:read",
        "keys:manage",
        "users:manage",
        "limits:manage",
        "strategies:manage",
        "accounts:manage",
    ];
    let more: Vec<_> = scopes.iter().flat_map(|scope| ["--scope", *scope]).collect();
    let all = Caller::new(&gateway, &dir, "all", &more).await;
    let narrow = [more.as_slice(), &["--account", &other]].concat();
    let one = Caller::new(&gateway, &dir, "one", &narrow).await;
    let proof = format!("audit/proof/{}", gateway.ready()["strategy_id"].as_str().unwrap());
    for path in [
        "lockdown",
        "findings",
        "alerts",
        "alerts/channels",
        "audit",
        &proof,
        "keys",
        &format!("keys/{}", all.id),
        &format!("keys/{}/usage", all.id),
        "users",
        "roles",
        "sessions",
        "policies",
        "pending",
        "limits/versions",
    ] {
        let path = format!("/api/v1/{path}");
        let seen = all.call("GET", &path, "").await;
        assert_eq!(seen.status, 200, "{path}: {seen:?}");
        let answer = one.call("GET", &path, "").await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert_eq!(answer.json()["code"], "auth.permission", "{path}");
    }
    let entries = "/audit/tile/entries/000.p/1";
    assert_eq!(all.call("GET", entries, "").await.status, 200);
    assert_eq!(one.call("GET", entries, "").await.status, 403);
    let revoked = one.call("DELETE", &format!("/api/v1/keys/{}", all.id), "").await;
    assert_eq!(revoked.status, 403, "{revoked:?}");
    let roll = r#"{"root":"ES","contract":"ESZ26","expires_on":"2090-12-15"}"#;
    for (method, path, body, status) in [
        ("PUT", "rolls".to_owned(), roll, 201),
        // That takes a fresh factor besides, which no key has.
        ("POST", "accounts".to_owned(), r#"{"broker":"paper","name":"third"}"#, 403),
        ("POST", format!("keys/{}/suspend", one.id), "", 200),
    ] {
        let path = format!("/api/v1/{path}");
        let answer = one.call(method, &path, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
        assert_eq!(answer.json()["code"], "auth.permission", "{method} {path}");
        let answer = all.call(method, &path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let program = gateway.program();
    program.json(&["key", "activate", &one.id]).await;
    let body = r#"{"reason":"mine alone"}"#;
    let answer = one.call("POST", "/api/v1/lockdown", body).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("auth.permission")));
    assert_eq!(all.call("GET", "/api/v1/lockdown", "").await.json()["in_force"], false);
    assert_eq!(all.call("POST", "/api/v1/lockdown", body).await.json()["in_force"], true);
}

/// What a key for one account may change: what is its own, and not what bounds or feeds others.
#[tokio::test]
async fn a_key_for_one_account_changes_nothing_of_another() {
    let dir = TestDir::new("keys-changes");
    let (gateway, _) = quick_demo(&dir).await;
    let (ready, program) = (gateway.ready(), gateway.program());
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let mine = text("account_id");
    let (webhook, strategy) = (ready["webhook"]["id"].as_str().unwrap(), text("strategy_id"));
    for scope in [format!("account:{mine}"), format!("strategy:{strategy}")] {
        let set = ["limit", "set", "--scope", &scope, "--name", "max_position", "--value", "50"];
        program.json(&set).await;
    }
    let (other, one) = manager(&gateway, &dir).await;

    // Not there and not yours are one answer, and nothing is changed.
    let none = "00000000000000000000000000";
    let name = r#"{"name":"stolen"}"#;
    for (method, there, not_there, body) in [
        ("GET", format!("webhooks/{webhook}"), format!("webhooks/whk_{none}"), ""),
        ("PATCH", format!("webhooks/{webhook}"), format!("webhooks/whk_{none}"), name),
        ("DELETE", format!("webhooks/{webhook}"), format!("webhooks/whk_{none}"), ""),
        ("POST", format!("webhooks/{webhook}/rotate"), format!("webhooks/whk_{none}/rotate"), "{}"),
        ("PATCH", format!("strategies/{strategy}"), format!("strategies/str_{none}"), name),
        ("DELETE", format!("strategies/{strategy}"), format!("strategies/str_{none}"), ""),
        ("PATCH", format!("accounts/{mine}"), format!("accounts/acc_{none}"), name),
        (
            "GET",
            format!("limits/account:{mine}/max_position"),
            format!("limits/account:acc_{none}/max_position"),
            "",
        ),
        (
            "DELETE",
            format!("limits/account:{mine}/max_position"),
            format!("limits/account:acc_{none}/max_position"),
            "",
        ),
        (
            "DELETE",
            format!("limits/strategy:{strategy}/max_position"),
            format!("limits/strategy:str_{none}/max_position"),
            "",
        ),
        ("DELETE", "limits/org/max_position".to_owned(), "limits/org/restricted".to_owned(), ""),
    ] {
        let mut answers = Vec::new();
        for path in [&there, &not_there] {
            let answer = one.call(method, &format!("/api/v1/{path}"), body).await;
            let mut problem = answer.json();
            problem.as_object_mut().unwrap().remove("request_id");
            answers.push((answer.status, problem));
        }
        assert_eq!((answers[0].0, &answers[0]), (404, &answers[1]), "{method} {there}");
    }
    assert_eq!(one.items("/api/v1/webhooks").await, Vec::<Value>::new());
    assert_eq!(one.items("/api/v1/limits").await, Vec::<Value>::new());
    for (method, path, body) in [
        ("PUT", "limits", json!({"scope": "org", "name": "max_position", "value": "1"})),
        (
            "PUT",
            "limits",
            json!({"scope": format!("account:{mine}"), "name": "max_position", "value": "1"}),
        ),
        (
            "POST",
            "strategies",
            json!({"name": "x", "webhook": webhook, "account": other, "symbol": "AAPL",
                   "quantity": "1"}),
        ),
    ] {
        let answer = one.call(method, &format!("/api/v1/{path}"), &body.to_string()).await;
        assert_eq!(answer.status, 404, "{path} {body}");
    }
}

/// Another account than the demo's, and a key that manages what is on it.
async fn manager<'a>(gateway: &'a Gateway, dir: &TestDir) -> (String, Caller<'a>) {
    let other = ["account", "create", "--broker", "paper", "--name", "other", "--cash", "5000"];
    let other = gateway.program().json(&other).await["id"].as_str().unwrap().to_owned();
    let scopes = ["webhooks:manage", "strategies:manage", "accounts:manage", "limits:manage"];
    let mut more: Vec<_> = scopes.iter().flat_map(|scope| ["--scope", *scope]).collect();
    more.extend(["--account", &other, "--instrument", "AAPL"]);
    let one = Caller::new(gateway, dir, "one", &more).await;
    (other, one)
}

/// Its own it makes, changes and takes away, within its accounts, instruments and scopes.
#[tokio::test]
async fn a_key_for_one_account_manages_what_is_on_it() {
    let dir = TestDir::new("keys-manages");
    let (gateway, _) = demo(&dir).await;
    let ready = gateway.ready();
    let mine = ready["account_id"].as_str().unwrap();
    let webhook = ready["webhook"]["id"].as_str().unwrap();
    let (other, one) = manager(&gateway, &dir).await;
    let body = json!({"name": "own", "allow": ["192.0.2.1"]});
    let own = one.call("POST", "/api/v1/webhooks", &body.to_string()).await.json();
    let own = own["id"].as_str().unwrap();
    let strategy = |account: &str, symbol: &str| {
        json!({"name": "own", "webhook": own, "account": account, "symbol": symbol,
               "quantity": "1"})
        .to_string()
    };
    let foreign = one.call("POST", "/api/v1/strategies", &strategy(mine, "AAPL")).await;
    assert_eq!(foreign.status, 404, "{foreign:?}");
    let foreign = one.call("POST", "/api/v1/strategies", &strategy(&other, "MSFT")).await;
    assert_eq!((foreign.status, &foreign.json()["code"]), (422, &json!("key.instrument")));
    let made = one.call("POST", "/api/v1/strategies", &strategy(&other, "AAPL")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/api/v1/strategies/{}", made.json()["id"].as_str().unwrap());
    for (body, status, code) in [
        (json!({"account": mine}), 404, "request.not_found"),
        (json!({"webhook": webhook}), 404, "request.not_found"),
        (json!({"symbol": "MSFT"}), 422, "key.instrument"),
        (json!({"symbol_source": "payload"}), 422, "key.instrument"),
        // It may not close positions.
        (json!({"state": "off", "open_position": "flatten"}), 403, "auth.permission"),
    ] {
        let answer = one.call("PATCH", &path, &body.to_string()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{body}");
    }
    let off = one.call("PATCH", &path, r#"{"state":"off"}"#).await;
    assert_eq!((off.status, &off.json()["state"]), (200, &json!("off")));
    assert_eq!(one.call("DELETE", &path, "").await.status, 200);
    let path = format!("/api/v1/webhooks/{own}");
    // No key ever shows a second factor.
    let wider = one.call("PATCH", &path, r#"{"allow":[]}"#).await;
    assert_eq!((wider.status, &wider.json()["code"]), (403, &json!("auth.step_up_required")));
    assert_eq!(one.call("PATCH", &path, r#"{"rate_per_s":5}"#).await.status, 200);
    assert_eq!(one.call("DELETE", &path, "").await.status, 200);
    let renamed = one.call("PATCH", &format!("/api/v1/accounts/{other}"), r#"{"name":"z"}"#).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("z")));
}

/// The tightest of the levels that an order belongs to holds for the order and for its changes.
#[tokio::test]
async fn a_limit_at_each_level_holds_for_orders_and_their_changes() {
    const ORDERS: &str = "/api/v1/orders";
    let dir = TestDir::new("keys-levels");
    let (gateway, _) = quick_demo(&dir).await;
    let account = gateway.ready()["account_id"].as_str().unwrap();
    let one = Caller::new(&gateway, &dir, "one", &[]).await;
    let two = Caller::new(&gateway, &dir, "two", &[]).await;
    let program = gateway.program();
    program.json(&["account", "price", "AAPL", "200"]).await;
    let order = |quantity: &str| {
        json!({"account_id": account, "symbol": "AAPL", "side": "buy", "type": "limit",
               "quantity": quantity, "limit_price": "195", "allow_repeat": true})
        .to_string()
    };
    let resting = one.call("POST", ORDERS, &order("2")).await;
    assert_eq!(resting.status, 201, "{resting:?}");
    let path = format!("{ORDERS}/{}", resting.json()["id"].as_str().unwrap());
    until("working", async || one.call("GET", &path, "").await.json()["state"] == "working").await;
    let key = format!("key:{}", one.id);
    for scope in ["org", &format!("account:{account}"), &key, "instrument:AAPL"] {
        let limit = ["limit", "set", "--scope", scope, "--name", "max_order_quantity", "--value"];
        program.json(&[&limit[..], &["2"]].concat()).await;
        for (method, path, body) in
            [("POST", ORDERS, order("3")), ("PATCH", &path, r#"{"quantity":"3"}"#.to_owned())]
        {
            let no = one.call(method, path, &body).await;
            let told = no.json();
            assert_eq!(
                (no.status, &told["code"], &told["input"], &told["limit"]),
                (422, &json!("risk.max_order_quantity"), &json!("3"), &json!("2")),
                "{method} under {scope}: {told}"
            );
        }
        let other = two.call("POST", ORDERS, &order("3")).await;
        assert_eq!(other.status, if scope == key { 201 } else { 422 }, "{scope}: {other:?}");
        program.json(&[&limit[..], &["100"]].concat()).await;
    }
    let changed = one.call("PATCH", &path, r#"{"quantity":"3"}"#).await;
    assert!((200..300).contains(&changed.status), "{changed:?}");
}

/// A halt that a key engages covers nothing but what the key reaches (S20): who is bound to an account
/// stops and closes nothing of another.
#[tokio::test]
async fn s20_a_key_for_one_account_halts_what_is_its_own() {
    let dir = TestDir::new("keys-halts");
    let (gateway, _) = quick_demo(&dir).await;
    let ready = gateway.ready();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let (mine, strategy) = (text("account_id"), text("strategy_id"));
    let webhook = ready["webhook"]["id"].as_str().unwrap();
    let other = ["account", "create", "--broker", "paper", "--name", "other", "--cash", "5000"];
    let other = gateway.program().json(&other).await["id"].as_str().unwrap().to_owned();
    let more = ["--scope", "halt:engage", "--scope", "halt:flatten"];
    let all = Caller::new(&gateway, &dir, "all", &more).await;
    let narrow = [more.as_slice(), &["--account", &other]].concat();
    let one = Caller::new(&gateway, &dir, "one", &narrow).await;
    let halt = |scope: &str, mode: &str| json!({"scope": scope, "mode": mode}).to_string();
    for mode in ["reduce_only", "flatten"] {
        for scope in ["org", "global", "instrument:AAPL"] {
            let answer = one.call("POST", "/api/v1/halts", &halt(scope, mode)).await;
            assert_eq!(answer.status, 403, "{mode} of {scope}: {answer:?}");
            assert_eq!(answer.json()["code"], "auth.permission", "{mode} of {scope}");
        }
        // Not there and not yours are one answer.
        let none = "00000000000000000000000000";
        for (there, not_there) in [
            (format!("account:{mine}"), format!("account:acc_{none}")),
            (format!("pair:{mine}/AAPL"), format!("pair:acc_{none}/AAPL")),
            (format!("strategy:{strategy}"), format!("strategy:str_{none}")),
            (format!("webhook:{webhook}"), format!("webhook:whk_{none}")),
            (format!("key:{}", all.id), format!("key:key_{none}")),
        ] {
            let mut answers = Vec::new();
            for scope in [&there, &not_there] {
                let answer = one.call("POST", "/api/v1/halts", &halt(scope, mode)).await;
                let mut problem = answer.json();
                problem.as_object_mut().unwrap().remove("request_id");
                answers.push((answer.status, problem));
            }
            assert_eq!((answers[0].0, &answers[0]), (404, &answers[1]), "{mode} of {there}");
        }
    }
    let unsaid = one.call("POST", "/api/v1/halts", "{}").await;
    assert_eq!(unsaid.status, 403, "{unsaid:?}");
    assert!(unsaid.json()["detail"].as_str().unwrap().contains("name one of its accounts"));
    assert_eq!(all.items("/api/v1/halts").await, Vec::<Value>::new());

    for scope in
        [format!("account:{other}"), format!("pair:{other}/AAPL"), format!("key:{}", one.id)]
    {
        let answer = one.call("POST", "/api/v1/halts", &halt(&scope, "cancel")).await;
        assert_eq!(answer.status, 201, "{scope}: {answer:?}");
    }
    let body = halt(&format!("account:{mine}"), "cancel");
    let foreign = all.call("POST", "/api/v1/halts", &body).await.json();
    let wide = all.call("POST", "/api/v1/halts", &halt("org", "cancel")).await.json();
    let path = |halt: &Value| format!("/api/v1/halts/{}", halt["id"].as_str().unwrap());
    assert_eq!(all.items("/api/v1/halts").await.len(), 5);
    let own = one.items("/api/v1/halts").await;
    assert_eq!(own.len(), 4, "its own, and the one of everybody: {own:?}");
    assert!(own.iter().all(|halt| halt["id"] != foreign["id"]), "{own:?}");
    assert_eq!(one.call("GET", &path(&foreign), "").await.status, 404);
    let shown = one.call("GET", &path(&wide), "").await;
    assert_eq!((shown.status, &shown.json()["progress"]), (200, &Value::Null), "{shown:?}");
    assert!(all.call("GET", &path(&wide), "").await.json()["progress"].is_object());
}

/// Whoever is bound to instruments neither cancels, halts nor manages what trades others.
#[tokio::test]
async fn a_key_for_one_instrument_touches_no_other() {
    let dir = TestDir::new("keys-instrument");
    let (gateway, _) = quick_demo(&dir).await;
    let ready = gateway.ready();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let (mine, strategy) = (text("account_id"), text("strategy_id"));
    let webhook = ready["webhook"]["id"].as_str().unwrap();
    gateway.program().json(&["account", "price", "AAPL", "200"]).await;
    let all = Caller::new(&gateway, &dir, "all", &[]).await;
    let scopes = ["webhooks:manage", "strategies:manage", "halt:engage"];
    let mut more: Vec<_> = scopes.iter().flat_map(|scope| ["--scope", *scope]).collect();
    more.extend(["--instrument", "MSFT"]);
    let one = Caller::new(&gateway, &dir, "one", &more).await;
    let order = json!({"account_id": mine, "symbol": "AAPL", "side": "buy", "type": "limit",
                       "quantity": "1", "limit_price": "195"});
    let resting = all.call("POST", "/api/v1/orders", &order.to_string()).await.json();
    let order = format!("/api/v1/orders/{}", resting["id"].as_str().unwrap());
    until("working", async || all.call("GET", &order, "").await.json()["state"] == "working").await;

    let (strategy, webhook) =
        (format!("/api/v1/strategies/{strategy}"), format!("/api/v1/webhooks/{webhook}"));
    let rotate = format!("{webhook}/rotate");
    for (method, path, body) in [
        ("DELETE", order.as_str(), ""),
        ("POST", "/api/v1/orders/cancel-all", r#"{"symbol":"AAPL"}"#),
        ("PATCH", &strategy, r#"{"quantity":"100"}"#),
        ("PATCH", &strategy, r#"{"state":"off"}"#),
        ("DELETE", &strategy, ""),
        ("PATCH", &webhook, r#"{"name":"stolen"}"#),
        ("POST", &rotate, "{}"),
    ] {
        let answer = one.call(method, path, body).await;
        assert_eq!(answer.status, 422, "{method} {path}: {answer:?}");
        assert_eq!(answer.json()["code"], "key.instrument", "{method} {path}");
    }
    let every = r#"{"include_protective":true}"#;
    let canceled = one.call("POST", "/api/v1/orders/cancel-all", every).await;
    assert_eq!(canceled.json()["canceled"], json!([]), "{canceled:?}");
    assert_eq!(all.call("GET", &order, "").await.json()["state"], "working");
    for (scope, status) in [
        ("org".to_owned(), 403),
        (format!("account:{mine}"), 403),
        (format!("pair:{mine}/AAPL"), 403),
        ("instrument:AAPL".to_owned(), 403),
        (format!("pair:{mine}/MSFT"), 201),
        ("instrument:MSFT".to_owned(), 201),
        (format!("key:{}", one.id), 201),
    ] {
        let body = json!({"scope": scope, "mode": "cancel"}).to_string();
        let answer = one.call("POST", "/api/v1/halts", &body).await;
        assert_eq!(answer.status, status, "{scope}: {answer:?}");
    }
    assert_eq!(all.call("GET", &order, "").await.json()["state"], "working");
}
