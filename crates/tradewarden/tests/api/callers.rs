//! Every route of the document against every kind of caller (house invariant 6).

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Client, QUICK_CALLERS, TestDir};

use crate::door::demo;
use crate::owner::{Operation, Owner, once_key, operations};

/// Never made, but well formed.
fn unknown_id(path: &str) -> String {
    let prefix = match path.split('/').nth(3) {
        Some("webhooks") => "whk",
        Some("signals") => "sig",
        Some("orders") => "ord",
        Some("accounts") => "acc",
        Some("strategies") => "str",
        Some("halts") => "hlt",
        Some("users") => "usr",
        Some("roles") => "rol",
        Some("sessions") => "ses",
        Some("pending") => "pnd",
        _ => "ent",
    };
    format!("{prefix}_01m80000000000000000000000")
}

async fn call(client: &mut Client, operation: &Operation, path: &str, bearer: &[&str]) -> Answer {
    let method: Method = operation.method.parse().unwrap();
    let once = once_key();
    let mut headers: Vec<_> = bearer.iter().map(|value| ("authorization", *value)).collect();
    headers.push(("idempotency-key", &once));
    let body = if operation.about.get("requestBody").is_some() { "{}" } else { "" };
    client.send(method, path, &headers, body).await.unwrap()
}

fn problem(answer: &Answer, status: u16, code: &str, about: &str) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (status, &code.into()), "{about}: {body}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{about}");
    body
}

/// Who does not show who it is learns nothing, not even whether a thing exists.
#[tokio::test]
async fn anonymous_and_wrong_callers() {
    let dir = TestDir::new("api-callers");
    let (gateway, door) = demo(&dir, QUICK_CALLERS).await;
    let Owner { mut client, bearer, .. } = Owner::of(&gateway).await;
    let real = gateway.ready()["account_id"].as_str().unwrap();
    let token = bearer.trim_start_matches("Bearer ");
    let (claims, signature) = bearer.rsplit_once('.').unwrap();
    let other = if signature.starts_with('a') { "b" } else { "a" };
    let changed = format!("{claims}.{other}{}", &signature[1..]);
    let of_the_webhook = format!("Bearer {}", door.secret);
    let callers: [&[&str]; 9] = [
        &[],
        &["Bearer"],
        &["Bearer "],
        &["Bearer two_0000000000000000000000000000000000000000000_000000"],
        &[&changed],
        &[&of_the_webhook],
        &[&format!("Basic {token}")],
        &[token],
        &[&bearer, &bearer],
    ];
    let mut guarded = 0;
    for operation in operations(&mut client).await {
        if !operation.is_guarded() {
            continue;
        }
        guarded += 1;
        for id in [real, &unknown_id(&operation.path), "nonsense"] {
            let path = operation.at(id);
            for caller in callers {
                let answer = call(&mut client, &operation, &path, caller).await;
                let about = format!("{} {path} as {caller:?}", operation.method);
                problem(&answer, 401, "auth.failed", &about);
                assert_eq!(answer.headers["www-authenticate"], "Bearer", "{about}");
            }
        }
    }
    assert!(guarded > 20, "{guarded}");
    let program = gateway.program();
    for (things, count) in [("halt", 0), ("webhook", 1), ("account", 1), ("strategy", 1)] {
        let verb = if things == "halt" { "status" } else { "list" };
        let list = program.json(&[things, verb]).await;
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{list}");
    }
}

/// The owner gets what the document promises; what is not there, or is no identifier at all,
/// looks the same: 404.
#[tokio::test]
async fn the_owner_with_unknown_and_ill_formed_ids() {
    let dir = TestDir::new("api-owner");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let Owner { mut client, bearer, .. } = Owner::of(&gateway).await;
    let strange = [
        "nonsense",
        "%00",
        "%ff",
        "..",
        "sig_",
        "SIG_01M80000000000000000000000",
        "a%2fb",
        "ord_01m8000000000000000000000u",
        "'%20OR%201=1%20--",
        "%F0%9F%92%A9",
    ];
    for operation in operations(&mut client).await {
        let endless = operation.path.ends_with("/stream");
        // `people` has what persons may do about themselves.
        let of_persons = ["/api/v1/me/", "/api/v1/auth/"];
        let of_persons = of_persons.iter().any(|path| operation.path.starts_with(path));
        let audit = operation.path.starts_with("/audit/");
        if operation.is_intake() || endless || of_persons || audit {
            continue;
        }
        if operation.path.contains('{') {
            let unknown = unknown_id(&operation.path);
            let long = "a".repeat(4_000);
            for id in strange.iter().copied().chain([unknown.as_str(), &long]) {
                let path = operation.at(id);
                let answer = call(&mut client, &operation, &path, &[&bearer]).await;
                let about = format!("{} {path}", operation.method);
                problem(&answer, 404, "request.not_found", &about);
            }
            continue;
        }
        let wanted = match (operation.method.as_str(), operation.path.as_str()) {
            // Nothing is armed that could be taken away.
            ("GET", "/metrics") | ("DELETE", "/api/v1/dead-man") => 404,
            // None are published.
            ("GET", path) if path.starts_with("/api/v1/pins") => 404,
            // Two versions must be named.
            ("GET", "/api/v1/limits/diff") => 400,
            ("GET", _) | ("POST", "/api/v1/orders/cancel-all" | "/api/v1/alerts/test") => 200,
            // Halts need nothing; everything else that makes something needs fields.
            ("POST", "/api/v1/halts") => 201,
            // It is signed with the key that it is from.
            ("POST", "/api/v1/signals") => 403,
            // None is in force that could be ended.
            ("POST", "/api/v1/lockdown/end") => 409,
            _ => 400,
        };
        let answer = call(&mut client, &operation, &operation.path, &[&bearer]).await;
        assert_eq!(answer.status, wanted, "{operation:?}: {:?}", answer.body);
        if wanted != 200 {
            continue;
        }
        // A parameter that the route does not take is named, not ignored.
        if operation.is_guarded() {
            let path = format!("{}?surprise=1", operation.path);
            let answer = call(&mut client, &operation, &path, &[&bearer]).await;
            let body = problem(&answer, 400, "request.malformed", &path);
            assert_eq!(body["field"], "surprise");
        }
    }
}

/// Other methods on a known path are 405 with the methods that it takes.
#[tokio::test]
async fn methods_that_a_path_does_not_take() {
    let dir = TestDir::new("api-methods");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let Owner { mut client, bearer, .. } = Owner::of(&gateway).await;
    let all = operations(&mut client).await;
    for operation in &all {
        if operation.path == "/metrics" {
            continue;
        }
        let path = operation.at("x");
        let taken: Vec<_> =
            all.iter().filter(|one| one.path == operation.path).map(|one| &one.method).collect();
        for method in ["DELETE", "PATCH", "POST", "PUT", "GET"] {
            if taken.iter().any(|one| *one == method) {
                continue;
            }
            let headers = [("authorization", bearer.as_str())];
            let answer = client.send(method.parse().unwrap(), &path, &headers, "").await.unwrap();
            let about = format!("{method} {path}");
            problem(&answer, 405, "request.method", &about);
            let allow = answer.headers["allow"].to_str().unwrap();
            for one in &taken {
                assert!(allow.contains(one.as_str()), "{about}: {allow}");
            }
        }
        // HEAD comes with GET, and has no body.
        if operation.method == "GET" {
            let headers = [("authorization", bearer.as_str())];
            let answer = client.send(Method::HEAD, &path, &headers, "").await.unwrap();
            assert!(answer.body.is_empty(), "{path}");
        }
    }
}

/// What the owner makes by the API is what the command line shows, and the other way round.
#[tokio::test]
async fn the_api_and_the_command_line_show_the_same() {
    let dir = TestDir::new("api-same");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let program = gateway.program();
    assert_eq!(door.send(r#"{"action":"BUY"}"#).await.status, 202);

    let webhook = owner.post("/api/v1/webhooks", &json!({"name": "by api"})).await;
    assert_eq!(webhook.status, 201);
    let webhook = webhook.json();
    assert!(webhook["secret"].is_string(), "shown once: {webhook}");
    let account = json!({"broker": "paper", "name": "by api", "cash": "5000"});
    let account = owner.post("/api/v1/accounts", &account).await;
    assert_eq!(account.status, 201, "{:?}", account.body);
    let strategy = json!({"name": "by api", "webhook": webhook["id"], "symbol": "MSFT",
                          "account": account.json()["id"], "quantity": "1"});
    let strategy = owner.post("/api/v1/strategies", &strategy).await;
    assert_eq!(strategy.status, 201, "{:?}", strategy.body);
    let halt = owner.post("/api/v1/halts", &json!({"reason": "by api"})).await;
    assert_eq!(halt.status, 201);
    let limit = json!({"scope": "org", "name": "max_position", "value": "7"});
    let headers = [("authorization", owner.bearer.as_str())];
    let put = owner.client.send(Method::PUT, "/api/v1/limits", &headers, limit.to_string()).await;
    assert_eq!(put.unwrap().status, 201);
    // Two months of a root, of which the first is in front.
    for (contract, expires_on) in [("ESZ26", "2090-12-15"), ("ESH27", "2091-03-16")] {
        let roll = json!({"root": "ES", "contract": contract, "expires_on": expires_on});
        let put = owner.client.send(Method::PUT, "/api/v1/rolls", &headers, roll.to_string()).await;
        let put = put.unwrap();
        assert_eq!((put.status, &put.json()["is_front"]), (201, &(contract == "ESZ26").into()));
    }

    for (path, command) in [
        ("webhooks", ["webhook", "list"]),
        ("accounts", ["account", "list"]),
        ("strategies", ["strategy", "list"]),
        ("limits", ["limit", "list"]),
        ("rolls", ["roll", "list"]),
        ("halts", ["halt", "status"]),
        ("signals", ["signal", "list"]),
        ("findings", ["finding", "list"]),
        ("positions", ["position", "list"]),
    ] {
        let by_api = owner.get(&format!("/api/v1/{path}")).await.json();
        assert_eq!(by_api, program.json(&command).await, "{path}");
        assert!(!by_api.to_string().contains("tww_"), "a secret is shown once: {by_api}");
    }
    for (path, thing) in [("webhooks", &webhook), ("strategies", &strategy.json())] {
        let id = thing["id"].as_str().unwrap();
        let shown = owner.get(&format!("/api/v1/{path}/{id}")).await;
        assert_eq!((shown.status, &shown.json()["name"]), (200, &"by api".into()));
    }
    let id = halt.json()["id"].as_str().unwrap().to_owned();
    let early = owner.post(&format!("/api/v1/halts/{id}/resume"), &Value::Null).await;
    problem(&early, 422, "halt.hold", "whoever holds the data directory need not wait");
    assert_eq!(program.json(&["halt", "resume", &id]).await["id"], id.as_str());
    assert_eq!(program.json(&["halt", "status"]).await["items"], json!([]));
}

/// What anybody may ask.
#[tokio::test]
async fn public_pages() {
    let dir = TestDir::new("api-public");
    let (gateway, _) = demo(&dir, QUICK_CALLERS).await;
    let mut client = gateway.client();
    let mut get = async |path: &str| client.get(path, &[]).await.unwrap();
    assert_eq!(get("/livez").await.json(), json!({"status": "ok"}));
    assert_eq!(get("/readyz").await.json(), json!({"ready": true, "reasons": []}));
    let time = get("/api/v1/time").await.json();
    let text = time["time"].as_str().unwrap();
    assert_eq!((text.len(), text.ends_with('Z')), (27, true), "{time}");
    let later = get("/api/v1/time").await.json();
    assert!(later["unix_ms"].as_i64() >= time["unix_ms"].as_i64());
    let document = get("/api/v1/openapi.json").await;
    assert_eq!(document.headers["content-type"], "application/json; charset=utf-8");
    let codes = document.json().to_string();
    for code in ["halt.active", "risk.max_position", "duplicate.id_conflict", "limit.rate"] {
        assert!(codes.contains(code), "{code}");
    }
    for path in ["/", "/metrics", "/api", "/api/v1", "/api/v2/orders", "/admin", "/.env"] {
        problem(&get(path).await, 404, "request.not_found", path);
    }
}
