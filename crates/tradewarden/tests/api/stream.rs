//! The stream: what happens is told to who may know of it.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tradewarden_testkit::process::{QUICK_CALLERS, TestDir};

use crate::door::demo;
use crate::owner::Owner;

/// A connection that has asked for the stream.
struct Ear {
    stream: TlsStream<TcpStream>,
    heard: String,
}

impl Ear {
    async fn open(owner: &Owner) -> Self {
        let mut stream = owner.client.raw().await.unwrap();
        let request = format!(
            "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n",
            owner.bearer
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut ear = Self { stream, heard: String::new() };
        ear.until("event: ready").await;
        assert!(ear.heard.starts_with("HTTP/1.1 200 OK\r\n"), "{}", ear.heard);
        for header in [
            "content-type: text/event-stream\r\n",
            "cache-control: no-store\r\n",
            "strict-transport-security: max-age=63072000\r\n",
        ] {
            assert!(ear.heard.contains(header), "{}", ear.heard);
        }
        ear
    }

    /// Listens until this was heard; the test's own time limit ends what does not come.
    async fn until(&mut self, text: &str) {
        let mut buffer = [0; 4_096];
        while !self.heard.contains(text) {
            let count = self.stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended before {text:?}: {}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    /// The data of every whole event of this kind so far.
    fn events(&self, kind: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut lines = self.heard.lines();
        while let Some(line) = lines.next() {
            if line == format!("event: {kind}")
                && let Some(data) = lines.next().and_then(|data| data.strip_prefix("data: "))
            {
                found.extend(serde_json::from_str(data));
            }
        }
        found
    }
}

#[tokio::test]
async fn a_websocket_that_answers_no_ping_is_left() {
    let dir = TestDir::new("api-stream-silent");
    let (gateway, _door) = demo(&dir, "").await;
    let owner = Owner::of(&gateway).await;
    let mut stream = owner.client.raw().await.unwrap();
    let request = format!(
        "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        owner.bearer
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    let head_end = heard.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&heard[..head_end]);
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    // The example of RFC 6455, section 1.3.
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(head.contains("strict-transport-security: max-age=63072000\r\n"), "{head}");
    let ready = br#"{"event":"ready","data":{}}"#;
    let length = u8::try_from(ready.len()).unwrap();
    // Text, and then one ping without words.
    assert_eq!(heard[head_end..], [&[0x81, length], &ready[..], &[0x89, 0]].concat(), "{heard:?}");
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_by_its_header() {
    let dir = TestDir::new("api-stream-handshake");
    let (gateway, _door) = demo(&dir, "").await;
    let owner = Owner::of(&gateway).await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (headers, field) in [
        (format!("sec-websocket-version: 13\r\n{key}"), "Connection"),
        (
            format!("connection: upgrade\r\nsec-websocket-version: 8\r\n{key}"),
            "Sec-WebSocket-Version",
        ),
        (format!("connection: upgrade\r\n{key}"), "Sec-WebSocket-Version"),
        ("connection: upgrade\r\nsec-websocket-version: 13\r\n".to_owned(), "Sec-WebSocket-Key"),
    ] {
        let mut stream = owner.client.raw().await.unwrap();
        let request = format!(
            "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             upgrade: websocket\r\n{headers}\r\n",
            owner.bearer
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut heard, mut buffer) = (String::new(), [0; 4_096]);
        while !heard.ends_with('}') {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{field}: {heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        assert!(heard.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{field}: {heard}");
        assert!(heard.contains("sec-websocket-version: 13\r\n"), "{field}: {heard}");
        assert!(heard.contains(&format!("\"field\":\"{field}\"")), "{field}: {heard}");
    }
}

#[tokio::test]
async fn an_order_is_heard_from_acceptance_to_fill() {
    let dir = TestDir::new("api-stream");
    let (gateway, mut door) = demo(&dir, QUICK_CALLERS).await;
    let mut owner = Owner::of(&gateway).await;
    let mut ear = Ear::open(&owner).await;
    let answer = door.send(r#"{"action":"BUY","id":"1"}"#).await.json();
    let order_id = answer["accounts"][0]["order_id"].clone();
    ear.until("\"state\":\"filled\"").await;
    let states: Vec<_> = ear.events("order").iter().map(|order| order["state"].clone()).collect();
    assert_eq!(states, ["accepted", "sending", "filled"], "{}", ear.heard);
    ear.until("event: fill").await;
    ear.until("\"price\"").await;
    let fills = ear.events("fill");
    assert_eq!((fills.len(), &fills[0]["order_id"]), (1, &order_id), "{}", ear.heard);

    let halt = owner.post("/api/v1/halts", &serde_json::json!({"reason": "test"})).await.json();
    ear.until("\"state\":\"engaged\"").await;
    gateway.program().json(&["halt", "resume", halt["id"].as_str().unwrap()]).await;
    ear.until("\"state\":\"resumed\"").await;
    assert!(ear.events("halt").iter().all(|heard| heard["id"] == halt["id"]));
    assert_eq!(door.send(r#"{"action":"BUY","id":"1","comment":"x"}"#).await.status, 422);
    ear.until("duplicate.id_conflict").await;
    assert_eq!(ear.events("finding").len(), 1, "{}", ear.heard);
}
