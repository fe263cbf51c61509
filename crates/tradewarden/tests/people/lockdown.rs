//! Lockdown of the real program: from the command line, over the API, and at its doors.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Client, Gateway, TestDir, until};

use crate::someone::{PASSWORD, Someone, code_of, demo, problem, success};

async fn signed(gateway: &Gateway, key: &str, pem: &str) -> u16 {
    let url = format!("{}/api/v1/me", gateway.base_url());
    let args = ["sign", "--key", key, "--private-key-file", pem, "--url", &url];
    let signed = gateway.program().json(&args).await;
    let headers: Vec<_> = signed["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    gateway.client().get("/api/v1/me", &headers).await.unwrap().status
}

async fn signal(client: &mut Client, url: &str, secret: &str, body: &Value) -> (u16, Value) {
    let path = url.split_once("/api/").map(|(_, rest)| format!("/api/{rest}")).unwrap();
    let path = path.split('?').next().unwrap().to_owned();
    let answer =
        client.post(&format!("{path}?secret={secret}"), &[], body.to_string()).await.unwrap();
    (answer.status, answer.json())
}

/// S21: engaged at the command line, everybody is out with the next request; the owner logs in anew,
/// answers, confirms the list and ends it; what is left is done step by step, and trading goes on.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story from the breach to trading again")]
async fn s21_an_owner_takes_the_account_back() {
    let dir = TestDir::new("people-lockdown");
    let gateway = demo(&dir).await;
    let program = gateway.program().clone();
    let mut owner = Someone::strong_owner(&gateway).await;
    let nothing = success(&owner.get("/api/v1/lockdown").await, 200);
    assert_eq!(nothing, json!({"in_force": false, "steps": [], "left": []}));
    let made = program.json(&["webhook", "list"]).await["items"][0].clone();
    let (hook, url) = (made["id"].as_str().unwrap(), made["url"].as_str().unwrap());
    let rotated = program.json(&["webhook", "rotate", hook, "--overlap-s", "3600"]).await;
    let old = rotated["secret"].as_str().unwrap().to_owned();
    let pem = dir.path().join("bot.pem");
    let create = ["key", "create", "--name", "bot", "--scope", "orders:read", "--private-key-file"];
    let key = program.json(&[&create[..], &[pem.to_str().unwrap()]].concat()).await;
    let (key, pem) = (key["id"].as_str().unwrap(), pem.to_str().unwrap());
    assert_eq!(signed(&gateway, key, pem).await, 200);
    let mut sender = gateway.client();
    let (status, entered) = signal(&mut sender, url, &old, &json!({"action": "BUY"})).await;
    assert_eq!(status, 202, "{entered}");
    until("something is held", async || {
        let positions = program.json(&["position", "list"]).await;
        positions["items"].as_array().unwrap().iter().any(|held| held["quantity"] != "0")
    })
    .await;

    let engage = ["lockdown", "engage", "--reason", "a stranger's order"];
    let engaged = program.json(&engage).await;
    assert_eq!(engaged["engaged_by"], "operator", "{engaged}");
    problem(&owner.get("/api/v1/lockdown").await, 401, "auth.failed");
    assert_eq!(signed(&gateway, key, pem).await, 401);
    let refresh = json!({"refresh_token": owner.refresh}).to_string();
    let refreshed = owner.client.post("/api/v1/auth/refresh", &[], refresh).await.unwrap();
    problem(&refreshed, 401, "auth.failed");
    let (status, refused) =
        signal(&mut sender, url, &old, &json!({"action": "BUY", "id": "2"})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("halt.active")));

    let offered = success(&owner.password_login().await, 200);
    let secret = owner.secret.clone().unwrap();
    let shown = owner.show(&offered, "totp", &code_of(&secret, 0).await).await;
    owner.take(&shown);
    let frozen = owner.post("/api/v1/webhooks", &json!({"name": "mine"})).await;
    problem(&frozen, 409, "lockdown.active");
    let answered = owner.post("/api/v1/lockdown/answer", &json!({"positions": "keep"})).await;
    assert_eq!(success(&answered, 200)["positions"], "keep");
    let mut list = Value::Null;
    until("the list waits", async || {
        list = success(&owner.get("/api/v1/lockdown").await, 200);
        list["step"] == "confirm"
    })
    .await;
    assert_eq!(list["open_positions"].as_array().unwrap().len(), 1, "{list}");
    let (status, gone) =
        signal(&mut sender, url, &old, &json!({"action": "EXIT", "id": "3"})).await;
    assert_eq!((status, &gone["code"]), (401, &json!("auth.failed")));
    let early = owner.post("/api/v1/lockdown/end", &Value::Null).await;
    problem(&early, 422, "lockdown.hold");
    let wrong = owner.post("/api/v1/lockdown/confirm", &json!({"phrase": "yes"})).await;
    problem(&wrong, 422, "lockdown.phrase");
    let confirm = json!({"phrase": list["phrase"]});
    let done = success(&owner.post("/api/v1/lockdown/confirm", &confirm).await, 200);
    assert_eq!(done["step"], "done", "{done}");
    let erased = done["steps"].as_array().unwrap().iter().find(|step| step["step"] == "erase");
    let note = erased.unwrap()["note"].as_str().unwrap();
    assert!(note.contains("paper: has no credential to erase"), "{note}");
    let account = program.json(&["account", "list"]).await["items"][0].clone();
    let strategy = program.json(&["strategy", "list"]).await["items"][0].clone();
    assert_eq!((&account["state"], &strategy["state"]), (&json!("disabled"), &json!("off")));

    // The operator's hands are bound by no hold.
    let status = program.run(&["lockdown", "status"]).await;
    assert!(status.stdout.contains("tradewarden lockdown end"), "{status}");
    let ended = program.json(&["lockdown", "end"]).await;
    assert_eq!(ended["in_force"], false, "{ended}");
    let again = program.run(&["lockdown", "end"]).await;
    assert_eq!(again.code, Some(1), "{again}");
    // What happened is written to a file that holds no secret, and the log bears it out.
    let file = dir.path().join("bundle.json");
    let out = ["lockdown", "bundle", "--out", file.to_str().unwrap()];
    assert!(program.json(&out).await["entries"].as_u64().unwrap() > 10);
    let again = program.run(&out).await;
    assert_eq!(again.code, Some(2), "a file is not written over: {again}");
    let text = std::fs::read_to_string(&file).unwrap();
    let key_text = std::fs::read_to_string(pem).unwrap();
    let key_line = key_text.lines().nth(1).unwrap();
    for secret in [old.as_str(), secret.as_str(), key_line, owner.refresh.as_str(), PASSWORD] {
        assert!(!text.contains(secret), "a secret is in the bundle");
    }
    let bundle: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bundle["sessions"][0]["address"], "127.0.0.1", "{}", bundle["sessions"]);
    let entry = bundle["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["leaf"].as_str().unwrap().contains("lockdown.confirmed"));
    let proven = program.run(&["audit", "prove", entry.unwrap()["id"].as_str().unwrap()]).await;
    assert_eq!(proven.code, Some(0), "{proven}");
    // Each of the commands that are left does what it says.
    for left in ended["left"].as_array().unwrap() {
        let command: Vec<_> = left["command"].as_str().unwrap().split(' ').skip(1).collect();
        if matches!(left["what"].as_str(), Some("webhook" | "account" | "halt")) {
            let done = program.run(&command).await;
            assert_eq!(done.code, Some(0), "{left}: {done}");
        }
    }
    program.json(&["strategy", "on", strategy["id"].as_str().unwrap()]).await;
    let left = program.json(&["lockdown", "status"]).await["left"].clone();
    let left: Vec<_> = left.as_array().unwrap().iter().map(|left| left["what"].clone()).collect();
    assert_eq!(left, ["people", "keys"]);
    let rotated = program.json(&["webhook", "rotate", hook, "--overlap-s", "0"]).await;
    let new = rotated["secret"].as_str().unwrap();
    let (status, closed) =
        signal(&mut sender, url, new, &json!({"action": "EXIT", "id": "4"})).await;
    assert_eq!(status, 202, "{closed}");
    let verified = program.json(&["audit", "verify"]).await;
    assert_eq!(verified["ok"], true, "{verified}");
    gateway.stop().await;
}
