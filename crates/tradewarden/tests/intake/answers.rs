//! The table of answers of the product page, section 2, and what is stored of each (C2).

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{TestDir, log_in};

use crate::door::{Door, demo};
use crate::stage::{
    another_door, another_webhook, check, follow, orders, problem, refused, said, settled, signal,
};

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn every_answer_of_the_table() {
    let dir = TestDir::new("intake-answers");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();

    // 200 skipped: an exit while flat, with its reason.
    let skipped = said(&door.send(r#"{"action":"EXIT"}"#).await, 200, "skipped");
    assert_eq!(skipped["code"], "strategy.flat");

    // 200 dry_run.
    let dry = said(&door.send(r#"{"action":"BUY","dry_run":true}"#).await, 200, "dry_run");
    assert!(dry.get("code").is_none(), "it would have been accepted: {dry}");
    assert_eq!(orders(program).await.len(), 0, "nothing so far is an order");

    // 202, and exactly these fields.
    let accepted = said(&door.send(r#"{"action":"BUY","id":"t-1"}"#).await, 202, "accepted");
    assert_eq!(names(&accepted), ["accounts", "message", "signal_id", "status", "timestamp"]);
    let account = &accepted["accounts"][0];
    assert_eq!(account["account_id"], gateway.ready()["account_id"]);
    assert_eq!(account["strategy_id"], gateway.ready()["strategy_id"]);
    assert_eq!(account["result"], "accepted");

    // 200 duplicate: the first answer's id, whatever the header says the second time.
    let again = said(&door.send(r#"{"action":"BUY","id":"t-1"}"#).await, 200, "duplicate");
    assert_eq!(again["signal_id"], accepted["signal_id"]);

    // 400: the problem says which field.
    for (body, code, field) in [
        (r#"{"action":"HOLD"}"#, "signal.unknown_action", "action"),
        (r#"{"comment":"ENTRY"}"#, "signal.unknown_action", "action"),
        (r#"{"action":"BUY","price":"much"}"#, "signal.field", "price"),
        (r#"{"action":"BUY","order_type":"iceberg"}"#, "signal.field", "order_type"),
        (r#"{"action":"EXIT","comment":"EXIT_101"}"#, "signal.exit_size", "comment"),
        ("BUY AAPL now", "signal.malformed", "body"),
    ] {
        let body = refused(&door.send(body).await, 400, code);
        assert_eq!(body["field"], field, "{body}");
        assert!(body["detail"].as_str().unwrap().contains(field), "{body}");
    }

    // 401.
    let answer = door.client.post(&door.path, &[], r#"{"action":"BUY"}"#).await.unwrap();
    let denied = problem(&answer, 401, "auth.failed");
    assert!(denied.get("signal_id").is_none(), "{denied}");

    // 403.
    let mut elsewhere = another_door(&gateway, &["--allow", "10.0.0.0/8"], &[]).await;
    let body = refused(&elsewhere.send(r#"{"action":"BUY"}"#).await, 403, "address.not_allowed");
    assert_eq!(body["input"], "127.0.0.1");

    // 422, with what was compared.
    program.json(&["halt", "engage", "--reason", "a test"]).await;
    let body = refused(&door.send(r#"{"action":"SELL"}"#).await, 422, "halt.active");
    assert!(body["detail"].as_str().unwrap().contains("a test"), "{body}");

    // C2: a signal is stored for each answer after authentication, with the code it was given.
    let stored = program.json(&["signal", "list", "--limit", "200"]).await;
    let stored = stored["items"].as_array().unwrap();
    assert_eq!(stored.len(), 3 + 6 + 1 + 1, "{stored:?}");
    for (answer, status) in [(&accepted, "accepted"), (&skipped, "skipped"), (&dry, "dry_run")] {
        let found = stored.iter().find(|signal| signal["id"] == answer["signal_id"]).unwrap();
        assert_eq!(found["status"], status);
    }
    let found = stored.iter().find(|signal| signal["id"] == body["signal_id"]).unwrap();
    assert_eq!((&found["status"], &found["code"]), (&"refused".into(), &"halt.active".into()));
    assert_eq!(settled(program).await.len(), 1, "one order came of all this");
}

/// The answers to a webhook that nobody follows, and to one that is switched off.
#[tokio::test]
async fn a_webhook_without_a_strategy_and_one_that_is_off() {
    let dir = TestDir::new("intake-none");
    let (gateway, _) = demo(&dir, "").await;
    let webhook = another_webhook(&gateway, &[]).await;
    let mut door = Door::of(&gateway, &webhook);
    refused(&door.send(r#"{"action":"BUY"}"#).await, 422, "strategy.none");
    gateway.program().json(&["webhook", "disable", webhook["id"].as_str().unwrap()]).await;
    // It looks like one that never was.
    problem(&door.send(r#"{"action":"BUY"}"#).await, 401, "auth.failed");
}

/// The trace: every check with its input, threshold, result and duration, in the order of C1, the
/// same by API and command line, in the shape of C26.
#[tokio::test]
async fn the_decision_trace_is_complete_and_the_same_everywhere() {
    let dir = TestDir::new("intake-trace");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let body = json!({"action": "BUY", "comment": "why not", "colour": "red", "id": "t",
                      "secret": door.secret, "price": 230});
    let accepted = said(&door.send(body.to_string()).await, 202, "accepted");
    settled(program).await;

    let by_command = signal(program, &accepted["signal_id"]).await;
    let bearer = log_in(&mut door.client, &gateway.ready()["owner"]).await;
    let path = format!("/api/v1/signals/{}", accepted["signal_id"].as_str().unwrap());
    let answer = door.client.get(&path, &[("authorization", &bearer)]).await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, by_command.clone()));

    let checks = by_command["checks"].as_array().unwrap();
    let order: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    let wanted = [
        "size",
        "token",
        "secret",
        "client_certificate",
        "address",
        "flood",
        "parse",
        "rate",
        "freshness",
        "duplicate",
        "strategy",
        "halt",
        "risk.restricted",
        "risk.market_open",
        "risk.max_order_quantity",
        "risk.max_order_notional",
        "risk.price_collar",
        "risk.max_position",
        "risk.max_orders_per_minute",
    ];
    assert_eq!(order, wanted);
    for check in checks {
        let result = check["result"].as_str().unwrap();
        assert!(["pass", "fail", "skip"].contains(&result), "{check}");
        assert!(check["took_us"].is_u64(), "{check}");
    }
    let quantity = check(&by_command, "risk.max_order_quantity");
    assert_eq!((&quantity["input"], &quantity["limit"]), (&"10".into(), &"100".into()));
    let parsed = check(&by_command, "parse")["input"].as_str().unwrap();
    assert!(parsed.contains("colour"), "unknown fields are reported: {parsed}");
    assert_eq!(by_command["source"], gateway.ready()["webhook"]["id"]);
    assert_eq!(by_command["body_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(by_command["accounts"], accepted["accounts"]);

    let order = &by_command["orders"][0];
    assert_eq!(order["signal_id"], accepted["signal_id"]);
    assert_eq!(order["id"], accepted["accounts"][0]["order_id"]);
    let (state, side) = (&order["state"], &order["side"]);
    assert_eq!((state, side), (&"filled".into(), &"buy".into()), "{order}");
    assert!(!order["client_order_id"].as_str().unwrap().is_empty());
    let shown = program.json(&["order", "show", order["id"].as_str().unwrap()]).await;
    assert_eq!(shown, *order);

    // Judged again by today's rules: now the position is long.
    let replayed = program
        .run(
            &["signal", "replay", "--json"]
                .into_iter()
                .chain([accepted["signal_id"].as_str().unwrap()])
                .collect::<Vec<_>>(),
        )
        .await
        .json();
    assert_eq!(
        (&replayed["status"], &replayed["code"]),
        (&"dry_run".into(), &"strategy.already_long".into()),
        "{replayed}"
    );
    assert_eq!(orders(program).await.len(), 1);
}

/// S10: each account for itself; accepted if any was, and the answer lists all.
#[tokio::test]
async fn the_answer_lists_every_account() {
    let dir = TestDir::new("intake-accounts");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let webhook = gateway.ready()["webhook"]["id"].as_str().unwrap();
    let second = follow(&gateway, webhook, &[]).await;
    let third = follow(&gateway, webhook, &[]).await;
    let scope = format!("strategy:{}", second["id"].as_str().unwrap());
    let set = ["limit", "set", "--scope", &scope, "--name", "restricted", "--value", "1"];
    program.json(&set).await;

    let answer = said(&door.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    let accounts = answer["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 3, "{answer}");
    let of = |strategy: &Value| {
        accounts.iter().find(|account| account["strategy_id"] == *strategy).unwrap()
    };
    let leader = of(&gateway.ready()["strategy_id"]);
    assert_eq!(leader["result"], "accepted");
    let no = of(&second["id"]);
    assert_eq!((&no["result"], &no["code"]), (&"refused".into(), &"risk.restricted".into()));
    assert_eq!(no["account_id"], second["account_id"]);
    assert!(no.get("order_id").is_none(), "{no}");
    assert_eq!(of(&third["id"])["result"], "accepted");
    assert_eq!(settled(program).await.len(), 2);

    // Each is sized on its own position: the second has none to close.
    let answer =
        said(&door.send(r#"{"action":"EXIT","comment":"EXIT_50"}"#).await, 202, "accepted");
    let accounts = answer["accounts"].as_array().unwrap();
    let no = accounts.iter().find(|account| account["strategy_id"] == second["id"]).unwrap();
    assert_eq!((&no["result"], &no["code"]), (&"skipped".into(), &"strategy.flat".into()));
    let sold = settled(program).await;
    assert_eq!(sold.len(), 4);
    assert!(sold[2..].iter().all(|order| order["quantity"] == "5"), "{sold:?}");
}

/// 503 when it cannot be made durable, and then the same again is traded once (S15).
#[tokio::test]
async fn what_cannot_be_made_durable_is_503_and_safe_to_send_again() {
    let dir = TestDir::new("intake-503");
    let (gateway, mut door) = demo(&dir, "").await;
    let lock = "import sqlite3, sys\n\
                held = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                held.execute('BEGIN IMMEDIATE')\n\
                print('held', flush=True)\n\
                sys.stdin.read()\n";
    let mut holder = Command::new("python3")
        .args(["-c", lock])
        .arg(dir.data().join("tradewarden.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this test needs python3 with its sqlite3 module");
    let mut line = String::new();
    let mut said_so = BufReader::new(holder.stdout.take().unwrap());
    timeout(Duration::from_secs(20), said_so.read_line(&mut line)).await.unwrap().unwrap();
    assert_eq!(line, "held\n");

    // The gateway tries for some time; longer than the usual client waits.
    let body = r#"{"action":"BUY"}"#;
    let mut stream = door.client.raw().await.unwrap();
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\nx-webhook-secret: {}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        door.path,
        door.secret,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The end of the connection may come without a goodbye.
    let read = timeout(Duration::from_mins(1), stream.read_to_string(&mut answer)).await;
    drop(read.expect("it answers while the database is held"));
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    assert!(answer.contains("\"code\":\"journal.not_durable\""), "{answer}");
    assert!(!answer.contains("signal_id"), "there is none: {answer}");
    let ready = door.client.get("/readyz", &[]).await.unwrap();
    assert_eq!(ready.status, 503, "{ready:?}");

    drop(holder.stdin.take());
    holder.wait().await.unwrap();
    let first = said(&door.send(body).await, 202, "accepted");
    let again = said(&door.send(body).await, 200, "duplicate");
    let ready = door.client.get("/readyz", &[]).await.unwrap();
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(again["signal_id"], first["signal_id"]);
    assert_eq!(settled(gateway.program()).await.len(), 1);
}
