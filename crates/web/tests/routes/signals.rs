//! The intake over a real engine. No strategy listens here, so a signal that is taken is refused
//! with `strategy.none`: enough to tell what was authenticated, stored and delivered.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame};
use hyper::{Method, Request};
use tradewarden_web::service::{Exposure, SiteOptions};

use crate::harness::{Answer, Caller, House};

const BODY: &str = r#"{"action":"BUY"}"#;

struct Door {
    path: String,
    secret: String,
}

impl Door {
    async fn open(house: &House) -> Self {
        let made = house.webhook().await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let path = text("url").strip_prefix("https://gateway.test").unwrap().to_owned();
        Self { path, secret: text("secret") }
    }

    fn with_secret(&self) -> String {
        format!("{}?secret={}", self.path, self.secret)
    }
}

async fn post(house: &House, path: &str, body: &str) -> Answer {
    house.call(Caller::Anonymous, Method::POST, path, body).await
}

#[tokio::test]
async fn each_form_of_secret_opens_the_door() {
    let house = House::open().await;
    let door = Door::open(&house).await;
    let problem = post(&house, &door.with_secret(), BODY).await.problem(422, "strategy.none");
    let id = problem["signal_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("sig_"));
    let shown = house.get(&format!("/api/v1/signals/{id}")).await.json();
    assert_eq!(shown["status"], "refused");
    assert!(!shown["checks"].as_array().unwrap().is_empty());

    let request = Request::post(door.path.as_str())
        .header("x-webhook-secret", door.secret.as_str())
        .body(Full::from(r#"{"action":"SELL"}"#))
        .unwrap();
    house.ask(Exposure::Public, request).await.problem(422, "strategy.none");

    let body = format!(r#"{{"action":"BUY","price":"2","secret":"{}"}}"#, door.secret);
    post(&house, &door.path, &body).await.problem(422, "strategy.none");

    let problem = post(&house, &door.with_secret(), r#"{"action":"HOLD"}"#).await;
    assert_eq!(problem.problem(400, "signal.unknown_action")["field"], "action");
    house.close().await;
}

/// A person has no signals of their own: they place orders.
#[tokio::test]
async fn signals_are_signed_by_keys() {
    let house = House::open().await;
    let refused = house.post("/api/v1/signals", BODY).await;
    refused.problem(403, "auth.permission");
    post(&house, "/api/v1/signals", BODY).await.problem(401, "auth.failed");
    assert_eq!(house.get("/api/v1/signals").await.json()["items"].as_array().unwrap().len(), 0);
    house.close().await;
}

#[tokio::test]
async fn whoever_is_not_authenticated_hears_one_answer() {
    let house = House::open().await;
    let door = Door::open(&house).await;
    let (path, secret) = (&door.path, &door.secret);
    let mut answers = Vec::new();
    for (path, body) in [
        (path.clone(), BODY),
        (format!("{path}?secret=wrong"), BODY),
        (format!("{path}?secret={secret}&secret={secret}"), BODY),
        (format!("{path}?secret=%zz"), BODY),
        (format!("/api/v1/webhooks/nobody?secret={secret}"), BODY),
        ("/api/v1/webhooks/%00".to_owned(), ""),
        (path.clone(), "{"),
    ] {
        let answer = post(&house, &path, body).await;
        let mut problem = answer.problem(401, "auth.failed");
        problem["request_id"] = "".into();
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        answers.push((problem, headers, answer.body.len()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(house.get("/api/v1/signals").await.json()["items"].as_array().unwrap().is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_body_has_bounds_in_size_and_time() {
    let options = SiteOptions { body_timeout_ms: 50, ..SiteOptions::default() };
    let house = House::open_with(options).await;
    let door = Door::open(&house).await;
    let most = format!("{BODY}{}", " ".repeat(64 * 1024 - BODY.len()));
    post(&house, &door.with_secret(), &most).await.problem(422, "strategy.none");
    let answer = post(&house, &door.with_secret(), &format!("{most} ")).await;
    answer.problem(413, "request.too_large");
    assert_eq!(answer.headers["connection"], "close");

    let request = Request::post(door.with_secret()).body(Never).unwrap();
    let asked = house.ask(Exposure::Public, request);
    let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
    answer.problem(408, "request.too_slow");
    assert_eq!(answer.headers["connection"], "close");
    house.close().await;
}

/// A body that never comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn an_answer_counts_as_delivered_once_it_was_taken() {
    let house = House::open().await;
    let door = Door::open(&house).await;
    let request = || house.request(Caller::Anonymous, Method::POST, &door.with_secret(), BODY);
    let signal = |answer: &Answer| answer.json()["signal_id"].as_str().unwrap().to_owned();

    let first = signal(&house.ask(Exposure::Public, request()).await);
    house.clock.turn(5);
    // Its sender goes away before the body is asked for.
    drop(house.answer(Exposure::Public, request()).await);
    house.clock.turn(5);
    let again = signal(&house.ask(Exposure::Public, request()).await);
    assert_ne!(again, first, "the first answer was delivered: the second signal is a new one");
    let list = house.get("/api/v1/signals").await.json();
    let ids: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "the third request is the second again: {ids:?}");
    assert!(ids.contains(&again.as_str()) && ids.contains(&first.as_str()));
    house.close().await;
}

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_no_secret_no_token_and_no_query() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let house = House::open().await;
    let door = Door::open(&house).await;
    post(&house, &door.with_secret(), BODY).await;
    post(&house, &format!("{}/", door.with_secret()), BODY).await;
    post(&house, &format!("/hooks/{}/{}", door.path, door.secret), BODY).await;
    house.get(&door.with_secret()).await;
    house.get(&format!("/api/v1/orders/{}", house.token)).await;
    let request = Request::builder()
        .method(door.secret.as_str())
        .uri(door.with_secret())
        .body(Full::from(BODY))
        .unwrap();
    house.ask(Exposure::Public, request).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("/api/v1/webhooks/{id}"), "{text}");
    assert!(text.contains("req_"), "{text}");
    let token = door.path.rsplit('/').next().unwrap();
    for secret in [token, &door.secret, &house.token, "secret="] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    house.close().await;
}

/// A period is judged by another policy, for who may read orders; what cannot be a period is refused.
#[tokio::test]
async fn a_period_of_signals_is_judged_by_another_policy() {
    let house = House::open().await;
    let door = Door::open(&house).await;
    post(&house, &door.with_secret(), BODY).await.problem(422, "strategy.none");
    let signals = house.get("/api/v1/signals").await.json();
    let from = signals["items"][0]["received_at"].as_str().unwrap().to_owned();
    let from: tradewarden_domain::time::Timestamp = from.parse().unwrap();
    let days = |count: u64| from.plus(std::time::Duration::from_hours(24 * count));
    let path = "/api/v1/signals/replay";
    let limit = serde_json::json!({"scope": "org", "name": "credit_percent", "value": "1"});
    let body = |to, cursor: Option<&str>| {
        let mut body = serde_json::json!({"from": from, "to": to, "limits": [limit]});
        if let Some(cursor) = cursor {
            body["cursor"] = cursor.into();
        }
        body.to_string()
    };
    let answer = house.post(path, &body(days(31), None)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!((told["judged"].as_u64(), told["unexplained"].as_u64()), (Some(1), Some(0)));
    assert_eq!((told["differs"].as_u64(), told.get("next")), (Some(0), None), "{told}");
    assert_eq!(told.get("state"), None);
    for (body, field) in [
        (body(from, None), "to"),
        (body(days(32), None), "to"),
        (body(days(31), Some("nobody's")), "cursor"),
    ] {
        let problem = house.post(path, &body).await.problem(400, "request.malformed");
        assert_eq!(problem["field"], field, "{body}");
    }
    post(&house, path, &body(days(31), None)).await.problem(401, "auth.failed");
    house.close().await;
}
