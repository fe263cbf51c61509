//! Signals that a key signs, for the strategies whose source it is.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Gateway, TestDir, until};

use crate::stage::{demo, private_file};

const SIGNALS: &str = "/api/v1/signals";

/// A key that may send signals, with its secret in a file.
struct Bot<'a> {
    gateway: &'a Gateway,
    dir: &'a TestDir,
    id: String,
    secret_file: String,
}

impl<'a> Bot<'a> {
    async fn new(gateway: &'a Gateway, dir: &'a TestDir, name: &str, more: &[&str]) -> Self {
        let create = ["key", "create", "--name", name, "--algorithm", "hmac-sha256"];
        let made = gateway.program().json(&[&create[..], more].concat()).await;
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        let file = private_file(dir, name, &text("secret"));
        Self { gateway, dir, id: text("id"), secret_file: file.to_str().unwrap().to_owned() }
    }

    /// What `sign` makes of it, sent.
    async fn call(&self, method: &str, path: &str, body: &str, more: &[&str]) -> Answer {
        let url = format!("{}{path}", self.gateway.base_url());
        let kept = self.dir.path().join("body");
        std::fs::write(&kept, body).unwrap();
        let mut args = vec!["sign", "--key", &self.id, "--secret-file", &self.secret_file];
        args.extend(["--method", method, "--url", &url]);
        if !body.is_empty() {
            args.extend(["--body", kept.to_str().unwrap()]);
        }
        let signed = self.gateway.program().json(&[&args[..], more].concat()).await;
        let headers = signed["headers"].as_object().unwrap().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let method = method.parse().unwrap();
        self.gateway.client().send(method, path, &headers, body.to_owned()).await.unwrap()
    }

    async fn signal(&self, body: &Value) -> Answer {
        self.call("POST", SIGNALS, &body.to_string(), &[]).await
    }

    /// A strategy that follows the key, on an account of its own.
    async fn strategy(&self, name: &str) -> (String, String) {
        let program = self.gateway.program();
        let account = ["account", "create", "--broker", "paper", "--name", name];
        let account = program.json(&account).await["id"].as_str().unwrap().to_owned();
        let create = ["strategy", "create", "--name", name, "--key", &self.id];
        let more = ["--account", &account, "--symbol", "AAPL", "--quantity", "2"];
        let made = program.json(&[&create[..], &more].concat()).await;
        assert_eq!((&made["key_id"], &made["webhook_id"]), (&json!(self.id), &Value::Null));
        (account, made["id"].as_str().unwrap().to_owned())
    }
}

fn told(answer: &Answer) -> (u16, Value, Value) {
    let body = answer.json();
    (answer.status, body["status"].clone(), body["code"].clone())
}

#[tokio::test]
async fn a_bot_signs_its_signals() {
    let dir = TestDir::new("keys-signals");
    let (gateway, _) = demo(&dir).await;
    let scopes = ["--scope", "signals:write,orders:read"];
    let bot = Bot::new(&gateway, &dir, "bot", &scopes).await;
    let (account, strategy) = bot.strategy("bot").await;

    let buy = json!({"action": "BUY", "id": "bot-1"});
    let first = bot.signal(&buy).await;
    assert_eq!(told(&first), (202, json!("accepted"), Value::Null), "{first:?}");
    let first = first.json();
    let order = &first["accounts"][0]["order_id"];
    assert_eq!(first["accounts"][0]["strategy_id"], strategy.as_str());
    let path = format!("/api/v1/orders/{}", order.as_str().unwrap());
    let order = async || bot.call("GET", &path, "", &[]).await.json();
    until("filled", async || order().await["state"] == "filled").await;
    let order = order().await;
    assert_eq!((&order["account_id"], &order["key_id"]), (&json!(account), &json!(bot.id)));
    assert_eq!(order["signal_id"], first["signal_id"]);

    let again = bot.signal(&buy).await;
    assert_eq!(told(&again), (200, json!("duplicate"), Value::Null));
    assert_eq!(again.json()["signal_id"], first["signal_id"]);
    let dry = bot.call("POST", "/api/v1/signals?dry_run=true", r#"{"action":"EXIT"}"#, &[]).await;
    assert_eq!(told(&dry), (200, json!("dry_run"), Value::Null));
    let shown = gateway.program().json(&["signal", "show", signal_id(&first)]).await;
    assert_eq!(shown["source"], bot.id.as_str());
    let checks: Vec<_> = shown["checks"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(checks[..3], ["size", "signature", "parse"]);

    let unreadable = bot.call("POST", SIGNALS, "BUY", &[]).await;
    assert_eq!((unreadable.status, told(&unreadable).2), (400, json!("signal.malformed")));
    assert!(signal_id(&unreadable.json()).starts_with("sig_"));
    let once = ["--idempotency-key", "exit-1"];
    let exit = bot.call("POST", SIGNALS, r#"{"action":"EXIT"}"#, &once).await;
    assert_eq!(told(&exit), (202, json!("accepted"), Value::Null), "{exit:?}");
    let replayed = bot.call("POST", SIGNALS, r#"{"action":"EXIT"}"#, &once).await;
    assert_eq!(told(&replayed), told(&exit));
    assert_eq!(replayed.json(), exit.json());
    assert_eq!(replayed.headers["idempotent-replayed"], "true");
    let other = bot.call("POST", SIGNALS, r#"{"action":"BUY"}"#, &once).await;
    assert_eq!((other.status, told(&other).2), (422, json!("idempotency.key_reused")));
}

fn signal_id(answer: &Value) -> &str {
    answer["signal_id"].as_str().unwrap()
}

/// A key's signals are for its own strategies, and only with the scope; what one key sends another
/// may send too.
#[tokio::test]
async fn two_keys_are_two_sources() {
    let dir = TestDir::new("keys-sources");
    let (gateway, demos) = demo(&dir).await;
    let scopes = ["--scope", "signals:write,orders:read"];
    let (one, two) = (
        Bot::new(&gateway, &dir, "one", &scopes).await,
        Bot::new(&gateway, &dir, "two", &scopes).await,
    );
    let reader = Bot::new(&gateway, &dir, "reader", &["--scope", "orders:read"]).await;
    let (_, first) = one.strategy("one").await;
    let buy = json!({"action": "BUY", "id": "same"});
    let none = two.signal(&buy).await;
    assert_eq!((none.status, told(&none).2), (422, json!("strategy.none")), "{none:?}");
    let (_, second) = two.strategy("two").await;
    for (bot, strategy) in [(&one, &first), (&two, &second)] {
        let buy = json!({"action": "BUY", "id": "each"});
        let taken = bot.signal(&buy).await;
        assert_eq!(told(&taken), (202, json!("accepted"), Value::Null), "{taken:?}");
        assert_eq!(taken.json()["accounts"][0]["strategy_id"], strategy.as_str());
    }
    let foreign = json!({"action": "EXIT", "strategy_id": second});
    let no = one.signal(&foreign).await;
    assert_eq!((no.status, told(&no).2), (422, json!("strategy.none")), "{no:?}");
    assert_eq!(no.json()["field"], "strategy_id");
    let no = reader.signal(&buy).await;
    assert_eq!((no.status, told(&no).2), (403, json!("auth.permission")), "{no:?}");

    // Exactly one source, and one that may send.
    let create = ["strategy", "create", "--name", "x", "--symbol", "AAPL", "--quantity", "1"];
    let account = ["--account", gateway.ready()["account_id"].as_str().unwrap()];
    let webhook = gateway.ready()["webhook"]["id"].as_str().unwrap();
    for (source, code) in [
        (vec![], 2),
        (vec!["--webhook", webhook, "--key", &one.id], 2),
        (vec!["--key", &reader.id], 2),
        (vec!["--key", "key_00000000000000000000000000"], 3),
    ] {
        let output = gateway.program().run(&[&create[..], &account, &source].concat()).await;
        assert_eq!(output.code, Some(code), "{source:?}: {output:?}");
    }
    let moved = ["strategy", "change", &second, "--key", &one.id];
    assert_eq!(gateway.program().json(&moved).await["key_id"], one.id.as_str());
    let exits = one.signal(&json!({"action": "EXIT"})).await.json();
    assert_eq!(exits["accounts"].as_array().unwrap().len(), 2, "{exits}");
    assert_eq!(demos.len(), 2);
}

/// S16: entries are counted against the key's tier, exits against a budget of their own.
#[tokio::test]
async fn s16_exits_are_not_kept_waiting_by_entries() {
    let dir = TestDir::new("keys-budgets");
    let (gateway, _) = demo(&dir).await;
    let settings = ["--scope", "signals:write", "--tier", "free"];
    let bot = Bot::new(&gateway, &dir, "bot", &settings).await;
    bot.strategy("bot").await;
    // Signed first: they are sent within less than a second.
    let mut requests = Vec::new();
    for number in 0..8 {
        let body = json!({"action": "BUY", "id": format!("e-{number}")}).to_string();
        requests.push((signed(&bot, &body).await, body));
    }
    let exit = r#"{"action":"EXIT"}"#.to_owned();
    requests.push((signed(&bot, &exit).await, exit));
    let mut client = gateway.client();
    let mut statuses = Vec::new();
    for (headers, body) in requests {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = "POST".parse().unwrap();
        statuses.push(client.send(method, SIGNALS, &headers, body).await.unwrap().status);
    }
    assert!(statuses[..8].contains(&429), "{statuses:?}");
    assert!(statuses[..5].iter().all(|status| *status == 202 || *status == 200), "{statuses:?}");
    assert_eq!(statuses[8], 202, "{statuses:?}");
}

/// The headers of a signed signal.
async fn signed(bot: &Bot<'_>, body: &str) -> Vec<(String, String)> {
    let url = format!("{}{SIGNALS}", bot.gateway.base_url());
    let kept = bot.dir.path().join("body");
    std::fs::write(&kept, body).unwrap();
    let sign = ["sign", "--key", &bot.id, "--secret-file", &bot.secret_file, "--method", "POST"];
    let more = ["--url", &url, "--body", kept.to_str().unwrap()];
    let signed = bot.gateway.program().json(&[&sign[..], &more].concat()).await;
    let headers = signed["headers"].as_object().unwrap().iter();
    headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}
