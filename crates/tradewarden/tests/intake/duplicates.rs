//! The same signal twice (C3, S15).

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use tradewarden_testkit::process::{TestDir, until};

use crate::door::demo;
use crate::stage::{another_door, orders, refused, said, settled};

/// TradingView sends again up to three times, 5 s apart, when it hears nothing: one order.
#[tokio::test]
async fn tradingviews_resends_trade_once() {
    let dir = TestDir::new("intake-resend");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let now = door.client.get("/api/v1/time", &[]).await.unwrap().json();
    let with_id = json!({"action": "BUY", "id": "tv-1"});
    // S15: without an id of its own, order id and time make one.
    let derived = json!({"action": "SELL", "order_id": "Long", "ticker": "NASDAQ:AAPL",
                         "timenow": now["time"]});
    for (number, body) in [with_id, derived].into_iter().enumerate() {
        let mut first: Option<Value> = None;
        for _send in 0..4 {
            let answer = door.send(body.to_string()).await.json();
            let Some(first) = &first else {
                assert_eq!(answer["status"], "accepted", "{answer}");
                first = Some(answer);
                continue;
            };
            assert_eq!(answer["status"], "duplicate", "{answer}");
            assert_eq!(answer["signal_id"], first["signal_id"]);
        }
        assert_eq!(settled(program).await.len(), number + 1);
    }
}

/// Many at once, on connections of their own: still one.
#[tokio::test]
async fn the_same_signal_at_the_same_instant_trades_once() {
    let dir = TestDir::new("intake-race");
    let (gateway, door) = demo(&dir, "").await;
    let mut senders = tokio::task::JoinSet::new();
    for _sender in 0..8 {
        let mut client = door.client.another();
        let (path, secret) = (door.path.clone(), door.secret.clone());
        senders.spawn(async move {
            let headers = [("x-webhook-secret", secret.as_str())];
            client.post(&path, &headers, r#"{"action":"BUY","id":"race"}"#).await.unwrap().json()
        });
    }
    let answers = senders.join_all().await;
    let accepted: Vec<_> = answers.iter().filter(|one| one["status"] == "accepted").collect();
    assert_eq!(accepted.len(), 1, "{answers:?}");
    for answer in &answers {
        assert_eq!(answer["signal_id"], accepted[0]["signal_id"], "{answer}");
    }
    assert_eq!(settled(gateway.program()).await.len(), 1);
}

/// Without any id the same body is the same signal for a second, and a new one after it.
#[tokio::test]
async fn a_body_without_an_id_is_the_same_for_a_second() {
    let dir = TestDir::new("intake-second");
    let (gateway, _) = demo(&dir, "").await;
    let adds = ["--pyramiding", "allow"];
    let mut door = another_door(&gateway, &["--rate-per-s", "1000"], &adds).await;
    let body = r#"{"action":"BUY"}"#;
    let first = said(&door.send(body).await, 202, "accepted");
    let answered = Instant::now();
    let again = said(&door.send(body).await, 200, "duplicate");
    assert_eq!(again["signal_id"], first["signal_id"]);
    // Another body is another signal.
    let other = said(&door.send(r#"{"action": "BUY"}"#).await, 202, "accepted");
    assert_ne!(other["signal_id"], first["signal_id"]);
    let mut last = again;
    until("it is a new signal", async || {
        last = door.send(body).await.json();
        last["status"] != "duplicate"
    })
    .await;
    assert_eq!(last["status"], "accepted", "{last}");
    assert_ne!(last["signal_id"], first["signal_id"]);
    // The window begins before its answer.
    assert!(answered.elapsed() > Duration::from_millis(700), "{:?}", answered.elapsed());
    assert_eq!(settled(gateway.program()).await.len(), 3);
}

/// The same id with another body: refused, except a full exit, which is carried out.
#[tokio::test]
async fn an_id_that_comes_with_another_body() {
    let dir = TestDir::new("intake-conflict");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    said(&door.send(r#"{"action":"BUY","id":"one"}"#).await, 202, "accepted");
    settled(program).await;
    for body in [
        r#"{"action":"BUY","id":"one","comment":"ENTRY"}"#,
        r#"{"action":"SELL","id":"one"}"#,
        r#"{"action":"EXIT","id":"one","comment":"EXIT_50"}"#,
    ] {
        let body = refused(&door.send(body).await, 422, "duplicate.id_conflict");
        assert_eq!(body["field"], "id");
    }
    assert_eq!(orders(program).await.len(), 1);
    let findings = program.json(&["finding", "list"]).await;
    let told = findings["items"].as_array().unwrap().iter();
    let told = told.filter(|finding| finding["code"] == "duplicate.id_conflict").count();
    assert_eq!(told, 3, "with an alert each (S15): {findings}");

    let exit = r#"{"action":"EXIT","id":"one","comment":"EXIT_FINAL"}"#;
    said(&door.send(exit).await, 202, "accepted");
    let orders = settled(program).await;
    assert_eq!(orders.len(), 2);
    assert_eq!((&orders[1]["side"], &orders[1]["quantity"]), (&"sell".into(), &"10".into()));
}

/// A duplicate repeats the first outcome, also when that was a refusal (C3).
#[tokio::test]
async fn a_refusal_stays_a_refusal() {
    let dir = TestDir::new("intake-repeat");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let halt = program.json(&["halt", "engage"]).await;
    let body = r#"{"action":"BUY","id":"r"}"#;
    let first = refused(&door.send(body).await, 422, "halt.active");
    program.json(&["halt", "resume", halt["id"].as_str().unwrap()]).await;
    let again = refused(&door.send(body).await, 422, "halt.active");
    assert_eq!(again["signal_id"], first["signal_id"]);
    assert_eq!(orders(program).await.len(), 0);
}

/// A dry run leaves no order and nothing behind: the same id trades afterwards (C3).
#[tokio::test]
async fn dry_runs_by_query_by_payload_and_by_webhook() {
    let dir = TestDir::new("intake-dry");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let secret = door.secret.clone();
    let headers = [("x-webhook-secret", secret.as_str())];
    let body = r#"{"action":"BUY","id":"dry"}"#;
    for query in ["?dry_run=true", "?dry_run", "?dry_run=1"] {
        let path = format!("{}{query}", door.path);
        let answer = said(&door.client.post(&path, &headers, body).await.unwrap(), 200, "dry_run");
        let account = &answer["accounts"][0];
        assert_eq!(account["result"], "accepted", "what it would have been");
        assert!(account.get("order_id").is_none(), "{answer}");
    }
    said(&door.send(r#"{"action":"BUY","id":"dry","dry_run":true}"#).await, 200, "dry_run");
    let mut dry = another_door(&gateway, &["--dry-run"], &[]).await;
    said(&dry.send(body).await, 200, "dry_run");
    said(&dry.send(body).await, 200, "dry_run");
    assert_eq!(orders(program).await.len(), 0);
    let positions = program.json(&["position", "list"]).await;
    assert!(!positions.to_string().contains("\"quantity\":\"10\""), "{positions}");

    // A dry run that a rule would refuse says which rule.
    program.json(&["halt", "engage"]).await;
    let path = format!("{}?dry_run=true", door.path);
    let answer = said(&door.client.post(&path, &headers, body).await.unwrap(), 200, "dry_run");
    assert_eq!(answer["code"], "halt.active");
    let halts = program.json(&["halt", "status"]).await;
    program.json(&["halt", "resume", halts["items"][0]["id"].as_str().unwrap()]).await;

    let path = format!("{}?dry_run=false", door.path);
    said(&door.client.post(&path, &headers, body).await.unwrap(), 202, "accepted");
    assert_eq!(settled(program).await.len(), 1);
}
