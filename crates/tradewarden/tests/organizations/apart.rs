//! Every route that names something, asked about what belongs to another organization: the answer is
//! the one about what does not exist.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tradewarden_testkit::process::{Answer, Gateway, TestDir, until};

use crate::someone::{Someone, success};
use crate::stage::{OTHER, in_other, quick_demo, second, text};

/// What a key may be given, all of it but signals.
const SCOPES: [&str; 9] = [
    "orders:read",
    "orders:create",
    "orders:cancel",
    "positions:read",
    "positions:close",
    "balances:read",
    "webhooks:manage",
    "strategies:manage",
    "halt:engage",
];

/// A program of the second organization.
struct Key<'a> {
    gateway: &'a Gateway,
    dir: &'a TestDir,
    id: String,
    file: String,
}

impl<'a> Key<'a> {
    async fn new(gateway: &'a Gateway, dir: &'a TestDir) -> Self {
        let mut args = vec!["key", "create", "--name", "theirs", "--algorithm", "hmac-sha256"];
        for scope in SCOPES {
            args.extend(["--scope", scope]);
        }
        let made = in_other(gateway, &args).await;
        let file = dir.path().join("secret");
        std::fs::write(&file, text(&made, "secret")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = file.to_str().unwrap().to_owned();
        Self { gateway, dir, id: text(&made, "id"), file }
    }

    async fn call(&self, method: &Method, path: &str, body: &Value, once: &str) -> Answer {
        let url = format!("{}{path}", self.gateway.base_url());
        let method_text = method.as_str();
        let mut args = vec!["sign", "--key", &self.id, "--secret-file", &self.file];
        args.extend(["--method", method_text, "--url", &url, "--idempotency-key", once]);
        let kept = self.dir.path().join("body");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        std::fs::write(&kept, &body).unwrap();
        if !body.is_empty() {
            args.extend(["--body", kept.to_str().unwrap()]);
        }
        let signed = self.gateway.program().json(&args).await;
        let headers = signed["headers"].as_object().unwrap().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        self.gateway.client().send(method.clone(), path, &headers, body).await.unwrap()
    }
}

/// The same identifier that was never made: its prefix, and another number.
fn never_made(id: &str) -> String {
    let (prefix, _) = id.rsplit_once('_').unwrap();
    format!("{prefix}_01m80000000000000000000000")
}

/// What was answered, but for the request's own number and the identifier that was asked about.
fn told(answer: &Answer, id: &str) -> (u16, String) {
    let mut body = answer.json();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    (answer.status, body.to_string().replace(id, "ID"))
}

/// What the first organization has, by the prefix of its identifiers.
struct Things(Vec<String>);

impl Things {
    fn of(&self, prefixes: &[&str]) -> Vec<&str> {
        let is_meant = |id: &&str| prefixes.iter().any(|prefix| id.starts_with(prefix));
        self.0.iter().map(String::as_str).filter(is_meant).collect()
    }
}

/// Every identifier in what its owner may see.
async fn things(ann: &mut Someone) -> Things {
    let mut found = BTreeSet::new();
    for path in [
        "webhooks",
        "strategies",
        "accounts",
        "keys",
        "signals",
        "orders",
        "positions",
        "halts",
        "alerts",
        "overrides",
        "findings",
        "users",
        "roles",
        "sessions",
        "pending",
        "audit",
        "me",
        "me/factors",
    ] {
        let page = success(&ann.get(&format!("/api/v1/{path}")).await, 200).to_string();
        for word in page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            if word.len() == 30 && word.as_bytes()[3] == b'_' {
                found.insert(word.to_owned());
            }
        }
    }
    Things(found.into_iter().collect())
}

/// Makes something of every kind in the demo's organization.
async fn furnish(gateway: &Gateway, ann: &mut Someone) -> Things {
    let hook = &gateway.ready()["webhook"];
    let signal = json!({"ticker": "AAPL", "action": "buy"}).to_string();
    let path = format!("/api/v1/webhooks/{}", text(hook, "token"));
    let secret = text(hook, "secret");
    let headers = [("x-webhook-secret", secret.as_str())];
    let sent = ann.client.post(&path, &headers, signal).await.unwrap();
    assert_eq!(sent.status, 202, "{:?}", sent.body);
    until("a position", async || {
        let page = success(&ann.get("/api/v1/positions").await, 200);
        page["items"].as_array().unwrap().iter().any(|one| one["quantity"] != "0")
    })
    .await;
    success(&ann.post("/api/v1/halts", &json!({"scope": "instrument:MSFT"})).await, 201);
    let role = json!({"name": "clerk", "permissions": ["orders:read"]});
    success(&ann.post("/api/v1/roles", &role).await, 201);
    let new = json!({"email": "invited@example.com", "role": "clerk"});
    success(&ann.post("/api/v1/users", &new).await, 201);
    let policy = json!({"name": "four_eyes.limit_override", "value": "on"});
    success(&ann.call(Method::PUT, "/api/v1/policies", &policy).await, 200);
    let limit = json!({"scope": "org", "name": "max_position", "value": "999999"});
    success(&ann.call(Method::PUT, "/api/v1/limits", &limit).await, 202);
    let account = text(gateway.ready(), "account_id");
    success(&ann.post("/api/v1/overrides", &overriding(&account)).await, 201);
    let things = things(ann).await;
    for prefix in [
        "whk_", "str_", "acc_", "key_", "sig_", "ord_", "hlt_", "alr_", "ovr_", "usr_", "rol_",
        "ses_", "pnd_", "ent_", "fac_", "org_",
    ] {
        assert!(!things.of(&[prefix]).is_empty(), "nothing of {prefix} in {:?}", things.0);
    }
    things
}

/// One order that may pass one limit.
fn overriding(account: &str) -> Value {
    json!({"account_id": account, "symbol": "AAPL", "side": "buy", "quantity": "150",
           "limit": "max_order_quantity", "reason": "a test"})
}

/// A method and path of the document with the identifiers that belong there.
fn kinds_of(path: &str) -> &'static [&'static str] {
    let after = path.trim_start_matches("/api/v1/");
    let kinds: &[(&str, &[&str])] = &[
        ("me/factors", &["fac_"]),
        ("me/sessions", &["ses_"]),
        ("me/invitations", &["usr_"]),
        ("audit/proof", &["ent_", "ord_", "sig_", "whk_", "acc_", "str_", "org_", "usr_"]),
        ("webhooks", &["whk_"]),
        ("signals", &["sig_"]),
        ("orders", &["ord_"]),
        ("positions", &["acc_"]),
        ("accounts", &["acc_"]),
        ("strategies", &["str_"]),
        ("halts", &["hlt_"]),
        ("alerts", &["alr_"]),
        ("overrides", &["ovr_"]),
        ("keys", &["key_"]),
        ("users", &["usr_"]),
        ("roles", &["rol_"]),
        ("sessions", &["ses_"]),
        ("pending", &["pnd_"]),
        ("limits", &["acc_", "str_"]),
        // A month contract is named by its symbol, which everybody may use.
        ("rolls", &[]),
    ];
    let found = kinds.iter().find(|(start, _)| after.starts_with(start));
    found.map_or_else(|| panic!("say what {path} names"), |(_, kinds)| kinds)
}

/// A body with which the request would be carried out, if the thing were the caller's.
fn body_of(method: &str, path: &str) -> Value {
    match (method, path) {
        ("PATCH", "/api/v1/users/{id}") => json!({"role": "viewer"}),
        ("POST", "/api/v1/me/factors/totp/{id}/confirm") => json!({"code": "000000"}),
        ("POST", path) if path.ends_with("/rotate") => json!({}),
        _ => Value::Null,
    }
}

/// Requests that name a thing in their body: method, path, body with `ID` in it, and its kind.
fn bodies(own_account: &str, own_hook: &str) -> Vec<(Method, &'static str, Value, &'static str)> {
    let strategy = |webhook: &str, account: &str| {
        json!({"name": "x", "webhook": webhook, "account": account, "symbol": "AAPL",
               "quantity": "1"})
    };
    let of_key = json!({"name": "x", "key": "ID", "account": own_account, "symbol": "AAPL",
                        "quantity": "1"});
    let (post, put) = (Method::POST, Method::PUT);
    let order = json!({"account_id": "ID", "symbol": "AAPL", "side": "buy", "type": "market",
                       "quantity": "1"});
    let key = |more: Value| {
        let mut key = json!({"name": "x", "scopes": ["orders:read"]});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let mut all = vec![
        (post.clone(), "/api/v1/orders", order, "acc_"),
        (post.clone(), "/api/v1/orders/cancel-all", json!({"account_id": "ID"}), "acc_"),
        (post.clone(), "/api/v1/strategies", strategy("ID", own_account), "whk_"),
        (post.clone(), "/api/v1/strategies", strategy(own_hook, "ID"), "acc_"),
        (post.clone(), "/api/v1/strategies", of_key, "key_"),
        (post.clone(), "/api/v1/overrides", overriding("ID"), "acc_"),
        (post.clone(), "/api/v1/keys", key(json!({"accounts": ["ID"]})), "acc_"),
        (post.clone(), "/api/v1/keys", key(json!({"strategy_id": "ID"})), "str_"),
        (post.clone(), "/api/v1/auth/switch", json!({"org_id": "ID"}), "org_"),
    ];
    for (kind, scope) in [("acc_", "account:ID"), ("str_", "strategy:ID")] {
        let limit = json!({"scope": scope, "name": "max_position", "value": "1"});
        all.push((put.clone(), "/api/v1/limits", limit, kind));
    }
    for (kind, scope) in [
        ("org_", "org:ID"),
        ("acc_", "account:ID"),
        ("str_", "strategy:ID"),
        ("whk_", "webhook:ID"),
        ("key_", "key:ID"),
        ("acc_", "pair:ID/AAPL"),
    ] {
        all.push((post.clone(), "/api/v1/halts", json!({"scope": scope}), kind));
    }
    all
}

/// What the first organization looks like to its owner.
async fn look(ann: &mut Someone) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "webhooks",
        "strategies",
        "accounts",
        "limits",
        "halts",
        "users",
        "roles",
        "pending",
        "positions",
    ] {
        let mut page = success(&ann.get(&format!("/api/v1/{path}")).await, 200);
        for item in page["items"].as_array_mut().unwrap() {
            // The market moves by itself.
            for moving in ["mark", "unrealized_pnl"] {
                item.as_object_mut().unwrap().remove(moving);
            }
        }
        seen.push(page);
    }
    seen
}

#[tokio::test]
async fn what_belongs_to_others_does_not_exist() {
    let dir = TestDir::new("organizations-apart");
    let gateway = quick_demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let things = furnish(&gateway, &mut ann).await;
    let (own, mut bea) = second(&gateway, "bea@example.com").await;
    bea.enrol().await;
    let account =
        in_other(&gateway, &["account", "create", "--broker", "paper", "--name", "b"]).await;
    let hook = in_other(&gateway, &["webhook", "create", "--name", "b"]).await;
    let key = Key::new(&gateway, &dir).await;
    let before = look(&mut ann).await;

    let document = bea.client.get("/api/v1/openapi.json", &[]).await.unwrap().json();
    // What is listed is one's own.
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some(about) = methods.get("get") else { continue };
        let guarded = about["security"][0].get("person").is_some();
        if !guarded || path.contains('{') || path.ends_with("/stream") {
            continue;
        }
        // Both versions must be named.
        let named = if path.ends_with("/limits/diff") { "?from=0&to=0" } else { "" };
        let page = bea.get(&format!("{path}{named}")).await;
        let page = success(&page, 200).to_string();
        for id in &things.0 {
            assert!(!page.contains(id.as_str()), "{path} tells of {id}: {page}");
        }
        assert!(!page.contains("owner@localhost") && !page.contains("invited@"), "{path}: {page}");
    }
    let mut asked = 0;
    let mut number = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            let guarded = about["security"][0].get("person").is_some();
            if !guarded || !path.contains('{') || path.starts_with("/audit/tile") {
                continue;
            }
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let body = body_of(method.as_str(), path);
            for id in things.of(kinds_of(path)) {
                let unknown = never_made(id);
                let at = |id: &str| {
                    let kind = if id.starts_with("str_") { "strategy" } else { "account" };
                    path.replace("{account}", id)
                        .replace("{symbol}", "AAPL")
                        .replace("{scope}", &format!("{kind}:{id}"))
                        .replace("{name}", "max_position")
                        .replace("{id}", id)
                };
                let theirs = bea.call(method.clone(), &at(id), &body).await;
                let none = bea.call(method.clone(), &at(&unknown), &body).await;
                let (theirs, none) = (told(&theirs, id), told(&none, &unknown));
                assert_eq!(theirs, none, "{method} {path} with {id}");
                assert!(matches!(theirs.0, 400..=499), "{method} {path} with {id}: {theirs:?}");
                number += 1;
                let (one, two) = (format!("one-{number}"), format!("two-{number}"));
                let theirs = key.call(&method, &at(id), &body, &one).await;
                let none = key.call(&method, &at(&unknown), &body, &two).await;
                let (theirs, none) = (told(&theirs, id), told(&none, &unknown));
                assert_eq!(theirs, none, "{method} {path} with {id}, by the key");
                assert!(matches!(theirs.0, 400..=499), "{method} {path} with {id}: {theirs:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "{asked}");
    let (account, hook) = (text(&account, "id"), text(&hook, "id"));
    for (method, path, body, kind) in bodies(&account, &hook) {
        for id in things.of(&[kind]) {
            let with = |id: &str| -> Value {
                serde_json::from_str(&body.to_string().replace("ID", id)).unwrap()
            };
            let unknown = never_made(id);
            let theirs = bea.call(method.clone(), path, &with(id)).await;
            let none = bea.call(method.clone(), path, &with(&unknown)).await;
            let (theirs, none) = (told(&theirs, id), told(&none, &unknown));
            assert_eq!(theirs, none, "{method} {path} with {body} of {id}");
            assert!(matches!(theirs.0, 400..=499), "{method} {path} with {body}: {theirs:?}");
        }
    }
    assert_eq!(look(&mut ann).await, before, "nothing was changed");

    assert!(success(&bea.get("/api/v1/me").await, 200).to_string().contains(&own));
    bundles_show_ones_own(&mut ann, &mut bea, &own).await;
    gateway.stop().await;
}

/// A bundle of log entries has the caller's own in full, and the length zero for every other.
async fn bundles_show_ones_own(ann: &mut Someone, bea: &mut Someone, own: &str) {
    let checkpoint = ann.client.get("/audit/checkpoint", &[]).await.unwrap();
    let checkpoint = String::from_utf8(checkpoint.body.to_vec()).unwrap();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let path = match size {
        256.. => "/audit/tile/entries/000".to_owned(),
        _ => format!("/audit/tile/entries/000.p/{size}"),
    };
    let mut seen = Vec::new();
    for someone in [ann, bea] {
        let bundle = someone.get(&path).await;
        assert_eq!(bundle.status, 200);
        let mut rest = &bundle.body[..];
        let mut leaves = Vec::new();
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            leaves.push(String::from_utf8(tail[..length].to_vec()).unwrap());
            rest = &tail[length..];
        }
        seen.push(leaves);
    }
    assert_eq!(seen[0].len(), seen[1].len());
    for (hers, theirs) in seen[0].iter().zip(&seen[1]) {
        assert!(hers.is_empty() != theirs.is_empty(), "each entry is somebody's alone");
        assert!(theirs.is_empty() || theirs.contains(own), "{theirs}");
    }
    assert!(seen[1].iter().any(|leaf| !leaf.is_empty()));
}

/// The stream tells of one's own organization, and of what halts everybody.
#[tokio::test]
async fn the_stream_tells_of_ones_own() {
    let dir = TestDir::new("organizations-stream");
    let gateway = quick_demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let (own, bea) = second(&gateway, "bea@example.com").await;
    let mut stream = bea.client.raw().await.unwrap();
    let request = format!(
        "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n",
        bea.bearer
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4_096];
    let mut hear = async |heard: &mut String, what: &str| {
        while !heard.contains(what) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended before {what:?}: {heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    hear(&mut heard, "event: ready").await;
    furnish(&gateway, &mut ann).await;
    in_other(&gateway, &["halt", "engage", "--reason", "our own"]).await;
    hear(&mut heard, "our own").await;
    gateway.program().json(&["halt", "engage", "--reason", "all of us"]).await;
    hear(&mut heard, "all of us").await;
    assert!(heard.contains(&own));
    assert!(!heard.contains("event: order") && !heard.contains("event: fill"), "{heard}");
    assert!(!heard.contains("MSFT"), "{heard}");
    assert_eq!(heard.matches("event: halt").count(), 2, "{OTHER}: {heard}");
    gateway.stop().await;
}

/// A halt of one organization lets the other trade; one of everything stops both.
#[tokio::test]
async fn a_halt_stops_ones_own_orders() {
    let dir = TestDir::new("organizations-halted");
    let gateway = quick_demo(&dir).await;
    let (_, mut bea) = second(&gateway, "bea@example.com").await;
    bea.enrol().await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let account =
        in_other(&gateway, &["account", "create", "--broker", "paper", "--name", "b"]).await;
    for (name, value) in [
        ("max_order_quantity", "10"),
        ("max_order_notional", "5000000"),
        ("max_position", "100"),
        ("price_collar_percent", "5"),
        ("max_orders_per_minute", "600"),
    ] {
        in_other(&gateway, &["limit", "set", "--scope", "org", "--name", name, "--value", value])
            .await;
    }
    let order = |account: &str| {
        json!({"account_id": account, "symbol": "AAPL", "side": "buy", "type": "market",
               "quantity": "1", "allow_repeat": true})
    };
    let (theirs, ours) =
        (order(&text(&account, "id")), order(&text(gateway.ready(), "account_id")));
    let mut place = async |expected: [(u16, &str); 2]| {
        for (someone, body, (status, code)) in
            [(&mut bea, &theirs, expected[0]), (&mut ann, &ours, expected[1])]
        {
            let answer = someone.post("/api/v1/orders", body).await;
            let told = answer.json();
            assert_eq!(
                (answer.status, told["code"].as_str().unwrap_or("")),
                (status, code),
                "{told}"
            );
        }
    };
    let (goes, stops) = ((201, ""), (422, "halt.active"));
    place([goes, goes]).await;
    let halt = in_other(&gateway, &["halt", "engage"]).await;
    place([stops, goes]).await;
    let all = gateway.program().json(&["halt", "engage", "--scope", "global"]).await;
    gateway.program().json(&["halt", "resume", &text(&halt, "id")]).await;
    place([stops, stops]).await;
    gateway.program().json(&["halt", "resume", &text(&all, "id")]).await;
    place([goes, goes]).await;
    gateway.stop().await;
}
