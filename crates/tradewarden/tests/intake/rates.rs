//! Rate and age (S13, S16).

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use tradewarden_testkit::process::{Answer, Client, TestDir, until};

use crate::door::{Door, demo};
use crate::stage::{another_door, check, orders, refused, said, settled, signal};

/// So many connections that are open already, so that what is sent on them arrives together.
async fn warm(door: &Door, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _client in 0..count {
        let mut client = door.client.another();
        assert_eq!(client.get("/livez", &[]).await.unwrap().status, 200);
        clients.push(client);
    }
    clients
}

/// Sends different entries, one on each connection, all at once.
async fn volley(door: &Door, clients: Vec<Client>, name: &str) -> Vec<Answer> {
    let mut senders = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let (path, secret) = (door.path.clone(), door.secret.clone());
        let body = json!({"action": "BUY", "id": format!("{name}-{number}")}).to_string();
        senders.spawn(async move {
            let headers = [("x-webhook-secret", secret.as_str())];
            client.post(&path, &headers, body).await.unwrap()
        });
    }
    senders.join_all().await
}

/// Ten entries within any second, not one more; the eleventh is told the truth about when to come
/// again; exits have a budget of their own.
#[tokio::test]
async fn ten_entries_pass_the_eleventh_waits_and_exits_pass() {
    let dir = TestDir::new("intake-rate");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let clients = warm(&door, 25).await;
    let begun = Instant::now();
    let answers = volley(&door, clients, "burst").await;
    let took = begun.elapsed();

    let limited: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    let passed = answers.len() - limited.len();
    // A window of a second holds ten; how many seconds it took is the machine's business.
    let windows = usize::try_from(took.as_secs()).unwrap() + 1;
    assert!((10..=10 * windows).contains(&passed), "{passed} passed in {took:?}");
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1, "the others were skipped: the position is long already");
    let wait = limited.iter().map(|answer| {
        refused(answer, 429, "limit.rate");
        answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap()
    });
    let wait = wait.max().expect("some of 25 were too many");
    assert_eq!(wait, 1, "the window is a second long");

    // Exits pass while entries wait; a hundred is more than entries may in ten seconds.
    settled(program).await;
    for number in 0..100 {
        let body = json!({"action": "EXIT", "comment": "EXIT_1", "id": format!("exit-{number}")});
        let answer = door.send(body.to_string()).await;
        assert!(answer.status < 300, "{:?}", answer.body);
    }

    // The promise of Retry-After, kept: after it an entry passes.
    let body = json!({"action": "BUY", "id": "after"}).to_string();
    tokio::time::sleep_until(begun + took + Duration::from_secs(wait)).await;
    assert!(door.send(body).await.status < 300);

    // S16: a 429 is a finding, once.
    let findings = program.json(&["finding", "list"]).await;
    let told = findings["items"].as_array().unwrap().iter();
    assert_eq!(told.filter(|finding| finding["code"] == "limit.rate").count(), 1, "{findings}");
}

/// The rate is the webhook's own, as it was made.
#[tokio::test]
async fn a_webhook_with_a_rate_of_its_own() {
    let dir = TestDir::new("intake-own-rate");
    let (gateway, _) = demo(&dir, "").await;
    let slow = another_door(&gateway, &["--rate-per-s", "2"], &[]).await;
    let mut other = another_door(&gateway, &[], &[]).await;
    let clients = warm(&slow, 8).await;
    let begun = Instant::now();
    let answers = volley(&slow, clients, "slow").await;
    let windows = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let passed = answers.iter().filter(|answer| answer.status != 429).count();
    assert!((2..=2 * windows).contains(&passed), "{passed}");
    assert!(other.send(r#"{"action":"BUY"}"#).await.status < 300, "it is not everybody's");
}

/// An entry that says that it was sent long ago is refused, an exit never; only `timenow` and
/// `sent_at` count, and a time in the future counts as none.
#[tokio::test]
async fn an_old_entry_is_stale_and_an_old_exit_is_not() {
    let dir = TestDir::new("intake-fresh");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let now = door.client.get("/api/v1/time", &[]).await.unwrap().json()["unix_ms"].as_i64();
    let now_s = now.unwrap() / 1000;

    let old = json!({"action": "BUY", "timenow": now_s - 95});
    let body = refused(&door.send(old.to_string()).await, 422, "signal.stale");
    assert_eq!(body["limit"], "90 s");
    let old = json!({"action": "BUY", "sent_at": (now_s - 95) * 1000});
    refused(&door.send(old.to_string()).await, 422, "signal.stale");
    assert_eq!(orders(program).await.len(), 0);

    // A bar's time is information only.
    let bar = json!({"action": "BUY", "time": now_s - 86_400, "timenow": now_s});
    let answer = said(&door.send(bar.to_string()).await, 202, "accepted");
    let trace = signal(program, &answer["signal_id"]).await;
    assert_eq!(check(&trace, "freshness")["result"], "pass");
    settled(program).await;

    // Out of order is another matter than age: this exit is older than the entry it would close.
    let old_exit = json!({"action": "EXIT", "timenow": now_s - 3_600});
    refused(&door.send(old_exit.to_string()).await, 422, "signal.out_of_order");
    let exit = json!({"action": "EXIT", "timenow": now_s + 3_600});
    let answer = said(&door.send(exit.to_string()).await, 202, "accepted");
    let trace = signal(program, &answer["signal_id"]).await;
    assert_eq!(check(&trace, "freshness")["result"], "skip", "the future counts as not stated");
    settled(program).await;

    // Another entry without a time, and an exit of yesterday closes it.
    let mut other = another_door(&gateway, &["--max-age-s", "5"], &[]).await;
    let old = json!({"action": "BUY", "timenow": now_s - 30});
    refused(&other.send(old.to_string()).await, 422, "signal.stale");
    said(&other.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    settled(program).await;
    let exit = json!({"action": "EXIT", "timenow": now_s - 86_400});
    said(&other.send(exit.to_string()).await, 202, "accepted");
    let all = settled(program).await;
    assert_eq!(all.len(), 4, "{all:?}");
    until("both positions are flat", async || {
        let positions = program.json(&["position", "list"]).await;
        positions["items"].as_array().unwrap().iter().all(|one| one["quantity"] == "0")
    })
    .await;
}
