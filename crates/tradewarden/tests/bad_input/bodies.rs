//! Bodies that are no signal, or are too large.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tradewarden_testkit::process::{TestDir, log_in_with_factor};

use crate::door::{Door, demo};
use crate::wire::{exchange, no_order_and_still_serving, signal, statuses};

/// A body, and the code and field of its problem.
type Case = (Vec<u8>, &'static str, &'static str);

fn case(body: impl AsRef<[u8]>, code: &'static str, field: &'static str) -> Case {
    (body.as_ref().to_vec(), code, field)
}

const MALFORMED: &str = "signal.malformed";
const FIELD: &str = "signal.field";
const ACTION: &str = "signal.unknown_action";
const EXIT: &str = "signal.exit_size";

fn cases() -> Vec<Case> {
    let mut cases = unreadable();
    cases.extend(wrong_fields());
    for comment in [
        "EXIT_0",
        "EXIT_101",
        "EXIT_x",
        "EXIT_",
        "EXIT_-5",
        "EXIT_5.5",
        "EXIT_1e1",
        "EXIT_+5",
        "EXIT_50%",
        "EXIT_99999999999999999999",
        "exit_0",
        "EXIT_ 50",
    ] {
        let body = json!({"action": "EXIT", "comment": comment}).to_string();
        cases.push(case(body, EXIT, "comment"));
    }
    cases
}

/// Bodies that are no JSON object, or none that has one meaning only.
fn unreadable() -> Vec<Case> {
    let nested = |count: usize| {
        format!("{{\"action\":\"BUY\",\"x\":{}{}}}", "[".repeat(count), "]".repeat(count))
    };
    let many = (0..20_000).map(|_| "1").collect::<Vec<_>>().join(",");
    vec![
        // No JSON, or no object.
        case("", MALFORMED, "body"),
        case("{", MALFORMED, "body"),
        case("BUY", MALFORMED, "body"),
        case("null", MALFORMED, "body"),
        case("7", MALFORMED, "body"),
        case("\"BUY\"", MALFORMED, "body"),
        case("[{\"action\":\"BUY\"}]", MALFORMED, "body"),
        case("{'action':'BUY'}", MALFORMED, "body"),
        case("{action:\"BUY\"}", MALFORMED, "body"),
        case("{\"action\":\"BUY\",}", MALFORMED, "body"),
        case("{\"action\":\"BUY\"} {\"action\":\"BUY\"}", MALFORMED, "body"),
        case("{\"action\":\"BUY\"}\u{0}", MALFORMED, "body"),
        case("// a comment\n{\"action\":\"BUY\"}", MALFORMED, "body"),
        case("<signal action=\"BUY\"/>", MALFORMED, "body"),
        case("action=BUY&quantity=1", MALFORMED, "body"),
        // Numbers that JSON does not have.
        case("{\"action\":\"BUY\",\"price\":NaN}", MALFORMED, "price"),
        case("{\"action\":\"BUY\",\"price\":Infinity}", MALFORMED, "price"),
        case("{\"action\":\"BUY\",\"price\":-Infinity}", MALFORMED, "price"),
        case("{\"action\":\"BUY\",\"price\":0x10}", MALFORMED, "price"),
        case("{\"action\":\"BUY\",\"price\":01}", MALFORMED, "price"),
        // Too deep.
        case(nested(100), MALFORMED, "x"),
        case(nested(20_000), MALFORMED, "x"),
        case("[".repeat(60_000), MALFORMED, "body"),
        case("{\"a\":".repeat(10_000), MALFORMED, "a"),
        // The same name twice is two signals in one.
        case("{\"action\":\"BUY\",\"action\":\"SELL\"}", MALFORMED, "action"),
        case("{\"action\":\"BUY\",\"action\":\"BUY\"}", MALFORMED, "action"),
        case("{\"action\":\"BUY\",\"\\u0061ction\":\"SELL\"}", MALFORMED, "action"),
        case("{\"action\":\"BUY\",\"x\":{\"y\":1,\"y\":2}}", MALFORMED, "y"),
        // No UTF-8.
        case(b"{\"action\":\"BUY\",\"comment\":\"\xff\xfe\"}", MALFORMED, "body"),
        case(b"{\"action\":\"\xc0\xaf\"}", MALFORMED, "body"),
        case(b"{\"action\":\"BUY\",\"comment\":\"\xed\xa0\x80\"}", MALFORMED, "body"),
        case("{\"action\":\"BUY\",\"comment\":\"\\ud800\"}", MALFORMED, "comment"),
        case(b"\xff\xfe{\x00\"\x00a\x00", MALFORMED, "body"),
        case("{\"action\":\"BUY\",\"comment\":\"a\nb\"}", MALFORMED, "comment"),
        // More things, or a longer text, than a signal has.
        case(format!("{{\"action\":\"BUY\",\"id\":[{many}]}}"), MALFORMED, "id"),
        case(
            format!("{{\"action\":\"BUY\",\"note\":\"{}\"}}", "x".repeat(60_000)),
            MALFORMED,
            "note",
        ),
    ]
}

/// Bodies that can be read and do not say what we need.
fn wrong_fields() -> Vec<Case> {
    vec![
        // No action, or none that we know.
        case("{}", ACTION, "action"),
        case("{\"Action\":\"BUY\"}", ACTION, "action"),
        case("{\"action\":null}", ACTION, "action"),
        case("{\"action\":\"\"}", ACTION, "action"),
        case("{\"action\":\"HODL\"}", ACTION, "action"),
        case("{\"action\":\"BUY SELL\"}", ACTION, "action"),
        case("{\"action\":\"{{strategy.order.action}}\"}", ACTION, "action"),
        case("{\"action\":\"b\u{438}y\"}", ACTION, "action"),
        case("{\"action\":\"cancel\"}", ACTION, "action"),
        // Wrong types.
        case("{\"action\":7}", FIELD, "action"),
        case("{\"action\":true}", FIELD, "action"),
        case("{\"action\":[\"BUY\"]}", FIELD, "action"),
        case("{\"action\":{\"$ne\":\"\"}}", FIELD, "action"),
        case("{\"action\":\"BUY\",\"comment\":7}", FIELD, "comment"),
        case("{\"action\":\"BUY\",\"quantity\":[1]}", FIELD, "quantity"),
        case("{\"action\":\"BUY\",\"quantity\":true}", FIELD, "quantity"),
        case("{\"action\":\"BUY\",\"price\":{}}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"ticker\":7.5}", FIELD, "ticker"),
        case("{\"action\":\"BUY\",\"id\":[]}", FIELD, "id"),
        case("{\"action\":\"BUY\",\"id\":\"\"}", FIELD, "id"),
        case("{\"action\":\"BUY\",\"id\":\"caf\u{e9}\"}", FIELD, "id"),
        case("{\"action\":\"BUY\",\"dry_run\":\"perhaps\"}", FIELD, "dry_run"),
        case("{\"action\":\"BUY\",\"secret\":7}", FIELD, "secret"),
        // Numbers that are none, or are too large.
        case("{\"action\":\"BUY\",\"price\":\"NaN\"}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":-1}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":0}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":\"-0\"}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":1e30}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":1e400}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":1e-400}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":1000000000000000000000000000000}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":\"1,5\"}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"price\":\"\u{662}\u{663}\u{660}\"}", FIELD, "price"),
        case("{\"action\":\"BUY\",\"order_type\":\"limit\"}", FIELD, "limit_price"),
        case("{\"action\":\"BUY\",\"time_in_force\":\"forever\"}", FIELD, "time_in_force"),
        case("{\"action\":\"BUY\",\"timenow\":\"yesterday\"}", FIELD, "timenow"),
        case("{\"action\":\"BUY\",\"timenow\":99999999999999999999}", FIELD, "timenow"),
        case("{\"action\":\"BUY\",\"quantity\":1,\"contracts\":2}", FIELD, "contracts"),
    ]
}

/// Each is 400 with its code, names the field, is stored as a signal, and quotes nothing unbounded.
#[tokio::test]
async fn what_is_no_signal_is_refused_and_the_field_is_named() {
    let dir = TestDir::new("bad-bodies");
    let (gateway, mut door) = demo(&dir, "").await;
    let mut wrong = Vec::new();
    for (body, code, field) in cases() {
        let shown = String::from_utf8_lossy(body.get(..120).unwrap_or(&body)).into_owned();
        let answer = door.send(body).await;
        assert!(answer.body.len() < 1_000, "{shown}: {:?}", answer.body);
        let problem = answer.json();
        let found = (answer.status, problem["code"].as_str(), problem["field"].as_str());
        if found != (400, Some(code), Some(field)) {
            wrong.push(format!("{shown}\n    wanted {code} {field}, got {problem}"));
        }
        assert!(problem["signal_id"].as_str().unwrap_or_default().starts_with("sig_"), "{shown}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// A dry run of so many bytes.
fn padded(length: usize) -> String {
    let body = r#"{"action":"BUY","dry_run":true}"#;
    format!("{body}{}", " ".repeat(length - body.len()))
}

const LIMIT: usize = 64 * 1024;

/// C1: 64 KiB is the limit; it is the first check, before the token.
#[tokio::test]
async fn exactly_64_kib_and_one_byte_more() {
    let dir = TestDir::new("bad-size");
    let (gateway, mut door) = demo(&dir, "").await;
    let answer = door.send(padded(LIMIT)).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &"dry_run".into()));
    let (path, secret) = (door.path.clone(), door.secret.clone());
    for length in [LIMIT + 1, 1024 * 1024] {
        for (path, secret) in
            [(&path[..], &secret[..]), (&path, "wrong"), ("/api/v1/webhooks/x", "")]
        {
            // The head alone, as senders do who wait for leave to send the rest: what is not read
            // cannot be in the way of the answer.
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-webhook-secret: {secret}\r\n\
                 expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
            );
            let answer = exchange(&door, head.as_bytes()).await;
            assert_eq!(statuses(&answer), [413], "{answer}");
            assert!(answer.contains("\"code\":\"request.too_large\""), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "what follows is no request");
            assert!(!answer.contains("signal_id"), "nothing was stored: {answer}");
        }
    }
    // With the body behind it, from a sender that does not listen before it has said everything.
    let request =
        signal(&door, &format!("content-length: {}\r\n", 1024 * 1024), &padded(1024 * 1024));
    let found = statuses(&exchange(&door, request.as_bytes()).await);
    assert!(found.iter().all(|status| *status == 413), "{found:?}");
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// The same for a body that does not say how long it is, and for one that lies about it.
#[tokio::test]
async fn a_body_in_chunks_is_bounded_too() {
    let dir = TestDir::new("bad-chunks");
    let (gateway, mut door) = demo(&dir, "").await;
    let chunked = |body: &str| {
        let mut chunks = Vec::new();
        for chunk in body.as_bytes().chunks(1000) {
            let text = std::str::from_utf8(chunk).unwrap();
            chunks.push(format!("{:x}\r\n{text}\r\n", chunk.len()));
        }
        chunks.concat() + "0\r\n\r\n"
    };
    let headers = "transfer-encoding: chunked\r\nconnection: close\r\n";
    let answer = exchange(&door, signal(&door, headers, &chunked(&padded(LIMIT))).as_bytes()).await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    for length in [LIMIT + 1, 1024 * 1024] {
        let request = signal(&door, headers, &chunked(&padded(length)));
        let answer = exchange(&door, request.as_bytes()).await;
        // A server that closes while we still write may be heard or not.
        assert!(statuses(&answer).iter().all(|status| *status == 413), "{answer}");
    }
    // Announced and never sent: refused before anything is read.
    let request = signal(&door, "content-length: 9223372036854775807\r\n", "{");
    assert_eq!(statuses(&exchange(&door, request.as_bytes()).await), [413]);
    // Chunks that are none.
    for chunk in ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n{}\r\n", "ffffffffffffffffff\r\n{}", "2\r\n{}XX"]
    {
        let answer = exchange(&door, signal(&door, headers, chunk).as_bytes()).await;
        assert!(statuses(&answer).iter().all(|status| *status == 400), "{chunk:?}: {answer}");
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// The callers' routes read their bodies as strictly.
#[tokio::test]
async fn the_callers_bodies_are_read_as_strictly() {
    let dir = TestDir::new("bad-callers");
    let (gateway, mut door) = demo(&dir, "").await;
    let bearer = log_in_with_factor(&mut door.client, &gateway.ready()["owner"]).await.bearer;
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "bad-body")];
    let cases: [(&str, String, Value); 10] = [
        ("webhooks", String::new(), Value::Null),
        ("webhooks", "[]".to_owned(), Value::Null),
        ("webhooks", "{\"name\":".to_owned(), Value::Null),
        ("webhooks", "{}".to_owned(), json!("name")),
        ("webhooks", json!({"name": 7}).to_string(), json!("name")),
        ("webhooks", json!({"name": "a", "surprise": 1}).to_string(), json!("surprise")),
        ("webhooks", json!({"name": "a", "allow": ["300.1.1.1"]}).to_string(), json!("allow")),
        ("webhooks", json!({"name": "x".repeat(1000)}).to_string(), json!("name")),
        ("halts", json!({"mode": "gently"}).to_string(), json!("mode")),
        ("halts", "{\"mode\":\"block\",\"mode\":\"block\"}".to_owned(), json!("mode")),
    ];
    for (path, body, field) in cases {
        let path = format!("/api/v1/{path}");
        let answer = door.client.post(&path, &headers, body.clone()).await.unwrap();
        let problem = answer.json();
        let code = &problem["code"];
        assert_eq!((answer.status, code), (400, &"request.malformed".into()), "{body}: {problem}");
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let head = format!(
        "POST /api/v1/webhooks HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
         content-length: {}\r\n\r\n",
        LIMIT + 1
    );
    assert_eq!(statuses(&exchange(&door, head.as_bytes()).await), [413]);
    let webhooks = gateway.program().json(&["webhook", "list"]).await;
    assert_eq!(webhooks["items"].as_array().unwrap().len(), 1, "none was made");
    let halts = gateway.program().json(&["halt", "status"]).await;
    assert_eq!(halts["items"], json!([]));
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// A sender that goes away in the middle of a body leaves nothing behind.
#[tokio::test]
async fn a_half_sent_body() {
    let dir = TestDir::new("bad-half");
    let (gateway, mut door) = demo(&dir, "").await;
    let body = r#"{"action":"BUY","id":"half"}"#;
    for length in 0..body.len() {
        let Door { client, .. } = &door;
        let mut stream = client.raw().await.unwrap();
        let headers = format!("content-length: {}\r\n", body.len());
        let request = signal(&door, &headers, &body[..length]);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
    }
    let signals = gateway.program().json(&["signal", "list"]).await;
    assert_eq!(signals["items"], json!([]), "half a signal is none");
    no_order_and_still_serving(gateway.program(), &mut door).await;
}
