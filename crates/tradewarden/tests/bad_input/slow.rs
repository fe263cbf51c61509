//! Senders that take their time, or never come to an end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tradewarden_testkit::process::TestDir;

use crate::door::demo;
use crate::wire::{DEADLINE, exchange, no_order_and_still_serving, signal, statuses};

/// A head that does not come to its end is cut, whether nothing more comes or a byte now and then;
/// others are served meanwhile.
#[tokio::test]
async fn a_head_that_does_not_end() {
    let dir = TestDir::new("bad-slow-head");
    let (gateway, mut door) = demo(&dir, "[listener]\nheader_timeout_ms = 600\n").await;
    let begun = Instant::now();
    let half = format!("POST {} HTTP/1.1\r\nhost: local", door.path);
    let mut silent = Vec::new();
    for _connection in 0..20 {
        let mut stream = door.client.raw().await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    let mut dripping = door.client.raw().await.unwrap();
    let drip = async {
        loop {
            // Refused once the server has closed.
            if dripping.write_all(b"x").await.is_err() || dripping.flush().await.is_err() {
                return;
            }
            let mut byte = [0; 1];
            let heard = timeout(Duration::from_millis(20), dripping.read(&mut byte)).await;
            if matches!(heard, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    };
    let others = async {
        assert_eq!(door.client.get("/livez", &[]).await.unwrap().status, 200);
    };
    tokio::join!(
        async { timeout(DEADLINE, drip).await.expect("the dripping head is cut") },
        others
    );
    for mut stream in silent {
        let mut rest = Vec::new();
        let _closed = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is cut");
    }
    assert!(begun.elapsed() > Duration::from_millis(600), "not before its time");
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// A connection that never begins its handshake is cut as well.
#[tokio::test]
async fn a_handshake_that_does_not_begin() {
    let dir = TestDir::new("bad-slow-tls");
    let (gateway, mut door) = demo(&dir, "[listener]\nheader_timeout_ms = 600\n").await;
    let address = gateway.base_url().trim_start_matches("https://").to_owned();
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _closed = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is cut");
    }
    no_order_and_still_serving(gateway.program(), &mut door).await;
}

/// A body that does not come to its end is 408, a problem like others, and the connection closes.
#[tokio::test]
async fn a_body_that_does_not_end() {
    let dir = TestDir::new("bad-slow-body");
    let (gateway, mut door) = demo(&dir, "").await;
    let request = signal(&door, "content-length: 16\r\n", r#"{"action":"BUY""#);
    let answer = exchange(&door, request.as_bytes()).await;
    assert_eq!(statuses(&answer), [408], "{answer}");
    assert!(answer.contains("\"code\":\"request.too_slow\""), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.contains("strict-transport-security: "), "{answer}");
    assert!(!answer.contains(&door.secret), "{answer}");
    no_order_and_still_serving(gateway.program(), &mut door).await;
}
