//! What a key may know of: a key for one account sees nothing of another, and cannot tell what is
//! not there from what is not its own.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Gateway, TestDir, until};

use crate::stage::{demo, private_file};

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
        if !body.is_empty() {
            args.extend(["--body", kept.to_str().unwrap(), "--idempotency-key", "reach"]);
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
