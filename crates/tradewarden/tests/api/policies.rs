//! Limits as a file, by the command line with and without a running gateway, and over the API.

use hyper::Method;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tradewarden_domain::time::Timestamp;
use tradewarden_testkit::process::{QUICK_CALLERS, TestDir};

use crate::door::{BINARY, demo};
use crate::owner::{Owner, once_key};

async fn imported(owner: &mut Owner, body: Value) -> (u16, Value) {
    let once = once_key();
    let headers = [("authorization", owner.bearer.as_str()), ("idempotency-key", once.as_str())];
    let path = "/api/v1/limits/import";
    let answer = owner.client.send(Method::POST, path, &headers, body.to_string()).await.unwrap();
    (answer.status, answer.json())
}

/// What people with a version control system do: export, change a line, check, import, look at the
/// history; the gateway runs at first, and later does not.
#[tokio::test]
async fn limits_are_kept_in_a_file() {
    let dir = TestDir::new("api-policies");
    let (gateway, _door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let program = gateway.program().clone();
    let file = dir.path().join("limits.toml");
    let path = file.to_str().unwrap();
    let version = program.json(&["limit", "export", "--output", path]).await["version"].clone();
    let first = version.as_i64().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\n[org]\nmax_order_notional = "), "{text}");
    assert_eq!(program.run(&["limit", "check", path]).await.code, Some(0));
    let same = program.json(&["limit", "import", path]).await;
    assert_eq!((&same["version"], &same["changes"]), (&version, &json!([])));
    assert_eq!(same["dry_run"], false, "nobody asked for one");
    let printed = program.run(&["limit", "export"]).await;
    assert_eq!(printed.stdout, text, "the same text on standard output");
    let exported = program.json(&["limit", "export"]).await;
    assert_eq!(exported["version"], version, "{exported}");
    assert!(exported["limits"].is_array(), "{exported}");
    let minus = ["limit", "set", "--scope", "org", "--name", "max_position", "--value", "-1"];
    let refused = program.run(&minus).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("value"), "{refused}");
    assert!(refused.stderr.contains("must not be negative"), "{refused}");

    let changed = text.replace("[org]\n", "[org]\nrestricted = 0\n");
    std::fs::write(&file, format!("{changed}\n[instrument.AAPL]\nmax_position = \"3\"\n")).unwrap();
    let differs = program.run(&["limit", "check", path]).await;
    assert_eq!(differs.code, Some(1), "{differs}");
    let words: Vec<_> = differs.stdout.split_whitespace().collect();
    assert!(words.ends_with(&["instrument:AAPL", "max_position", "3"]), "{differs}");
    let dry = program.json(&["limit", "import", path, "--dry-run"]).await;
    assert_eq!((&dry["version"], &dry["dry_run"]), (&version, &json!(true)));
    let done = program.run(&["limit", "import", path, "--reason", "change 4711"]).await;
    assert_eq!(done.code, Some(0), "{done}");
    assert!(done.stdout.ends_with(&format!("version {} is in force\n", first + 1)), "{done}");

    let page = owner.get("/api/v1/limits/versions?limit=1").await.json();
    assert_eq!(page["items"][0]["reason"], "change 4711");
    assert_eq!(page["next"], (first + 1).to_string());
    let old = owner.get(&format!("/api/v1/limits/versions/{first}")).await.json();
    assert!(old["limits"].as_array().unwrap().iter().all(|limit| limit["scope"] == "org"));
    let path_of_diff = format!("/api/v1/limits/diff?from={first}&to={}", first + 1);
    let diff = owner.get(&path_of_diff).await.json();
    assert_eq!(diff["items"], dry["changes"]);
    let typed = (first.to_string(), (first + 1).to_string());
    let typed = program.json(&["limit", "diff", &typed.0, &typed.1]).await;
    assert_eq!(typed["items"], diff["items"]);
    for missing in ["/api/v1/limits/versions/999", "/api/v1/limits/versions/-1"] {
        assert_eq!(owner.get(missing).await.status, 404, "{missing}");
    }
    assert_eq!(owner.get("/api/v1/limits/diff?from=1").await.status, 400);

    // Over the API: the version that was seen has to be the one in force.
    let limits = old["limits"].clone();
    let late = imported(&mut owner, json!({"limits": limits, "base_version": first})).await;
    assert_eq!((late.0, &late.1["code"]), (412, &json!("request.precondition_failed")));
    let back = imported(&mut owner, json!({"limits": limits, "base_version": first + 1})).await;
    assert_eq!((back.0, &back.1["version"]), (200, &json!(first + 2)), "{}", back.1);

    // Nobody runs: the same by ourselves, and what is wrong is named with its line.
    gateway.kill9().await;
    let again = program.run(&["limit", "import", path]).await;
    assert_eq!(again.code, Some(0), "{again}");
    let history = program.json(&["limit", "history"]).await;
    assert_eq!(history["items"][0]["version"], first + 3);
    let one = history["items"][0]["content_sha256"].clone();
    assert_eq!(one, history["items"][2]["content_sha256"], "the same file, the same content");
    std::fs::write(&file, "[org]\nmax_luck = 1\n").unwrap();
    for verb in ["check", "import"] {
        let wrong = program.run(&["limit", verb, path]).await;
        assert_eq!(wrong.code, Some(2), "{wrong}");
        assert!(wrong.stderr.contains("line 2: there is no limit max_luck"), "{wrong}");
    }
    let unknown = "[account.acc_01m80000000000000000000000]\nmax_position = 1\n";
    std::fs::write(&file, unknown).unwrap();
    let wrong = program.run(&["limit", "import", path]).await;
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(wrong.stderr.contains("account:acc_01m8"), "{wrong}");
}

/// On a terminal a replay shows how far it is, and takes that away before it answers.
#[tokio::test]
async fn a_replay_shows_a_bar_on_a_terminal() {
    let dir = TestDir::new("api-replay-bar");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let program = gateway.program();
    let file = dir.path().join("limits.toml");
    program.json(&["limit", "export", "--output", file.to_str().unwrap()]).await;
    let sent = door.send(json!({"action": "BUY", "id": once_key()}).to_string()).await;
    assert_eq!(sent.status, 202);
    let quoted = |path: &std::path::Path| format!("'{}'", path.display());
    let (data, config) = (quoted(program.data()), quoted(&program.config()));
    let replay = format!(
        "'{BINARY}' signal replay --from 2026-01-01T00:00:00Z --to 2100-01-01T00:00:00Z \
         --policy {} --data {data} --config {config}",
        quoted(&file)
    );
    let mut terminal = Command::new("script");
    terminal.args(["-q", "-e", "-c", &replay, "/dev/null"]).stdin(Stdio::null());
    let shown = terminal.output().await.expect("this test needs script (Debian: bsdutils)");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success(), "{shown:?}");
    let bar = format!("\rreplaying [{}]   0 %", ".".repeat(30));
    let blank = format!("\r{}\r", " ".repeat(bar.len() - 1));
    let (_, rest) = text.split_once(&bar).expect(&text);
    let (_, answer) = rest.split_once(&blank).expect(&text);
    assert!(answer.contains("judged") && !answer.contains("replaying"), "{text:?}");
}

/// A period is judged by the policy of a file, while a gateway runs and when none does; nothing that is
/// no terminal gets a bar.
#[tokio::test]
async fn a_period_is_replayed_by_the_policy_of_a_file() {
    let dir = TestDir::new("api-replay");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let program = gateway.program().clone();
    let mut owner = Owner::of(&gateway).await;
    let file = dir.path().join("limits.toml");
    let path = file.to_str().unwrap();
    program.json(&["limit", "export", "--output", path]).await;
    let sent = door.send(json!({"action": "BUY", "id": once_key()}).to_string()).await;
    assert_eq!(sent.status, 202);
    let replay = [
        "signal",
        "replay",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2100-01-01T00:00:00Z",
        "--policy",
        path,
    ];
    let same = program.json(&replay).await;
    assert_eq!((&same["judged"], &same["differs"]), (&json!(1), &json!(0)), "{same}");
    assert_eq!(same["unexplained"], 0, "{same}");
    let text = std::fs::read_to_string(&file).unwrap();
    let tight = text.lines().map(|line| match line.split_once(" = ") {
        Some(("max_order_quantity", _)) => "max_order_quantity = 1".to_owned(),
        _ => line.to_owned(),
    });
    std::fs::write(&file, tight.collect::<Vec<_>>().join("\n")).unwrap();
    let told = program.run(&replay).await;
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told}");
    assert!(told.stdout.contains("refused risk.max_order_quantity"), "{told}");
    // The same over the API, for a day.
    let signals = owner.get("/api/v1/signals").await.json();
    let from: Timestamp = signals["items"][0]["received_at"].as_str().unwrap().parse().unwrap();
    let limits = owner.get("/api/v1/limits").await.json()["items"].as_array().unwrap().clone();
    let limits = limits.iter().map(|limit| {
        let is_tight = limit["name"] == "max_order_quantity";
        let value = if is_tight { json!("1") } else { limit["value"].clone() };
        json!({"scope": limit["scope"], "name": limit["name"], "value": value})
    });
    let asked = json!({
        "from": from, "to": from.plus(Duration::from_hours(24)),
        "limits": limits.collect::<Vec<_>>(),
    });
    let headers = [("authorization", owner.bearer.as_str())];
    let answer = owner
        .client
        .send(Method::POST, "/api/v1/signals/replay", &headers, asked.to_string())
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let found = answer.json();
    assert_eq!((&found["judged"], &found["differs"]), (&json!(1), &json!(1)), "{found}");
    assert_eq!(found["counts"][0]["now"], "refused risk.max_order_quantity", "{found}");
    assert_eq!(found.get("next"), None);
    gateway.kill9().await;
    let alone = program.json(&replay).await;
    assert_eq!(alone["counts"][0]["now"], "refused risk.max_order_quantity", "{alone}");
    let wrong = program.run(&["signal", "replay", "--from", "2026-01-01T00:00:00Z"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong}");
}
