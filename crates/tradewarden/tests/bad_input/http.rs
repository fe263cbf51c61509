//! HTTP that is none, or that two servers would read differently.

use hyper::Method;
use tradewarden_testkit::process::TestDir;

use crate::door::{Door, demo};
use crate::wire::{exchange, no_order_and_still_serving, ours, signal};

const BUY: &str = r#"{"action":"BUY"}"#;

/// What is answered on a connection of its own, which the server then closes.
async fn answered(door: &Door, request: &str) -> Vec<u16> {
    let answer = exchange(door, request.as_bytes()).await;
    assert!(!answer.contains(&door.secret), "{answer}");
    ours(&answer)
}

/// Where a body ends must have one answer only. Whatever has two is no request, and what follows
/// it is never taken for the next one.
#[tokio::test]
async fn requests_that_hide_another() {
    let dir = TestDir::new("bad-smuggling");
    let (gateway, mut door) = demo(&dir, "").await;
    let hidden = signal(&door, &format!("content-length: {}\r\n", BUY.len()), BUY);
    let length = hidden.len();
    let both = [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", 5 + length),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", 5 + length),
        "content-length: 5\r\ncontent-length: 6\r\n".to_owned(),
        format!("content-length: 5, {length}\r\n"),
        format!("content-length: 5\r\ncontent-length: {length}\r\n"),
        "content-length: +5\r\n".to_owned(),
        "content-length: 0x5\r\n".to_owned(),
        "content-length: -1\r\n".to_owned(),
        "content-length: 5 5\r\n".to_owned(),
        "content-length: 99999999999999999999999\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: gzip\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        " transfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding:\u{b}chunked\r\n".to_owned(),
        "x: y\r\n\tfolded: yes\r\n".to_owned(),
        "x\u{0}y: z\r\n".to_owned(),
        "content-length\u{0}: 5\r\n".to_owned(),
        "x: y\rcontent-length: 5\r\n".to_owned(),
    ];
    for headers in both {
        let request = signal(&door, &headers, &format!("0\r\n\r\n{hidden}"));
        let answer = exchange(&door, request.as_bytes()).await;
        let found = ours(&answer);
        assert!(!answer.contains("accepted"), "{headers:?} let the hidden one through: {answer}");
        assert!(found.len() <= 1, "{headers:?}: {found:?}");
        assert!(found.iter().all(|status| (400..=501).contains(status)), "{headers:?}: {found:?}");
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// What is no HTTP at all, and targets that no client writes.
#[tokio::test]
async fn strange_requests() {
    let dir = TestDir::new("bad-strange");
    let (gateway, mut door) = demo(&dir, "").await;
    let close = "host: localhost\r\nconnection: close\r\n\r\n";
    for (request, wanted) in [
        ("garbage\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n".to_owned(), 400),
        (format!("GET /livez HTTP/9.9\r\n{close}"), 400),
        ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), 400),
        (format!("GET /livez HTTP/1.1\r\nhost: evil.example\r\n{close}"), 400),
        (format!("GET  /livez HTTP/1.1\r\n{close}"), 400),
        (format!("GET /liv\u{0}ez HTTP/1.1\r\n{close}"), 400),
        (format!("G(T /livez HTTP/1.1\r\n{close}"), 400),
        (format!("GET /%00 HTTP/1.1\r\n{close}"), 404),
        (format!("GET /../../etc/passwd HTTP/1.1\r\n{close}"), 404),
        (format!("GET /audit/tile/../../kek HTTP/1.1\r\n{close}"), 404),
        (format!("GET /audit/tile/0/..%2f..%2fkek HTTP/1.1\r\n{close}"), 404),
        (format!("GET //livez HTTP/1.1\r\n{close}"), 404),
        (format!("GET /livez/ HTTP/1.1\r\n{close}"), 404),
        (format!("GET /LIVEZ HTTP/1.1\r\n{close}"), 404),
        (format!("OPTIONS * HTTP/1.1\r\n{close}"), 404),
        (format!("CONNECT localhost:443 HTTP/1.1\r\n{close}"), 404),
        (format!("FETCH /livez HTTP/1.1\r\n{close}"), 405),
        (format!("GET /{} HTTP/1.1\r\n{close}", "a".repeat(9_000)), 404),
        (format!("GET /api/v1/signals/{} HTTP/1.1\r\n{close}", "%ff%fe"), 404),
    ] {
        let shown = request.get(..60).unwrap_or(&request).to_owned();
        let found = answered(&door, &request).await;
        assert_eq!(found, [wanted], "{shown:?}");
    }
    // HTTP/2 without having agreed on it is not worth an answer.
    let found = answered(&door, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(found.iter().all(|status| *status == 400), "{found:?}");
    // The absolute form is what proxies get; its path is what counts, whatever host it names.
    for origin in ["https://localhost", "http://example.com:80", "https://user:pass@evil"] {
        let request = format!("GET {origin}/livez HTTP/1.1\r\n{close}");
        let found = answered(&door, &request).await;
        assert!(found == [200] || found == [400], "{origin}: {found:?}");
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// Too many headers, too large headers, a head without end.
#[tokio::test]
async fn header_floods() {
    let dir = TestDir::new("bad-headers");
    let (gateway, mut door) = demo(&dir, "").await;
    let length = format!("content-length: {}\r\nconnection: close\r\n", BUY.len());
    let many = |count: usize| "x-a: b\r\n".repeat(count) + &length;
    let large = |size: usize| format!("x-a: {}\r\n{length}", "b".repeat(size));
    for headers in [many(100), many(1_000), many(100_000), large(20_000)] {
        let found = answered(&door, &signal(&door, &headers, BUY)).await;
        assert_eq!(found, [431], "{}", headers.len());
    }
    let found = answered(&door, &signal(&door, &large(2_000_000), BUY)).await;
    // It is not read to its end, so the answer may be lost.
    assert!(found.iter().all(|status| *status == 431), "{found:?}");
    // Within the bounds it is served (dry, so that nothing is traded).
    let dry = r#"{"action":"BUY","dry_run":true}"#;
    let length = format!("content-length: {}\r\nconnection: close\r\n", dry.len());
    let headers = "x-a: b\r\n".repeat(40) + &format!("x-b: {}\r\n{length}", "b".repeat(8_000));
    assert_eq!(answered(&door, &signal(&door, &headers, dry)).await, [200]);
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// 405 with the methods that the path takes, in RFC 9457, for every other method.
#[tokio::test]
async fn methods_other_than_post() {
    let dir = TestDir::new("bad-methods");
    let (gateway, mut door) = demo(&dir, "").await;
    let secret = door.secret.clone();
    let headers = [("x-webhook-secret", secret.as_str())];
    let path = format!("{}?secret={secret}", door.path);
    for method in ["PUT", "OPTIONS", "TRACE", "PROPFIND"] {
        let method: Method = method.parse().unwrap();
        let answer = door.client.send(method.clone(), &path, &headers, BUY).await.unwrap();
        let body = answer.json();
        assert_eq!((answer.status, &body["code"]), (405, &"request.method".into()), "{method}");
        let allow = answer.headers["allow"].to_str().unwrap();
        assert!(allow.split(',').any(|one| one.trim() == "POST"), "{method}: {allow}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&secret));
    }
    // Reading and changing are for callers; the token of a webhook is no identifier there.
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let answer = door.client.send(method.clone(), &path, &headers, BUY).await.unwrap();
        assert_eq!(answer.status, 401, "{method}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&secret));
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// What stands behind a request on the same connection is the next one, or the end.
#[tokio::test]
async fn pipelined_garbage() {
    let dir = TestDir::new("bad-pipeline");
    let (gateway, mut door) = demo(&dir, "").await;
    let good = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let bad = "\u{1}\u{2}\u{3} nonsense\r\n\r\n";
    let hidden = signal(&door, &format!("content-length: {}\r\n", BUY.len()), BUY);
    for (request, wanted) in [
        (format!("{good}{bad}{hidden}"), vec![200, 400]),
        (format!("{good}{good}{bad}"), vec![200, 200, 400]),
        // A body on a request that has none is the beginning of the next request.
        (format!("{good}{BUY}\r\n\r\n{hidden}"), vec![200, 400]),
    ] {
        assert_eq!(answered(&door, &request).await, wanted, "{request:?}");
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}
