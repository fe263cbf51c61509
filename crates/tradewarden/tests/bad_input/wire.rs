//! Bytes on a TLS connection, as no decent client would send them.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tradewarden_testkit::process::Program;

use crate::door::Door;

/// Longer than any limit of the listener.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Sends the bytes and returns everything that comes back until the server closes.
pub(crate) async fn exchange(door: &Door, bytes: &[u8]) -> String {
    let mut stream = door.client.raw().await.unwrap();
    // The server may close before it has read everything; what it said can still be read.
    let _closed_early = stream.write_all(bytes).await;
    let _closed_early = stream.flush().await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = timeout(DEADLINE, stream.read(&mut buffer)).await;
        let shown = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).into_owned();
        match read.unwrap_or_else(|_| panic!("the connection stays open after {shown:?}")) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&answer).into_owned(),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The statuses of all answers in what came back.
pub(crate) fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.match_indices("HTTP/1.1 ");
    lines.map(|(at, _)| answer[at + 9..at + 12].parse().unwrap()).collect()
}

/// The same, and every one of them is ours: dressed like all others, and a problem unless it is a
/// success, also where no service heard of the request.
pub(crate) fn ours(answer: &str) -> Vec<u16> {
    let found = statuses(answer);
    let failed = found.iter().filter(|status| **status >= 400).count();
    for (line, count) in [
        ("\r\nx-request-id: req_", found.len()),
        ("\r\nstrict-transport-security: max-age=", found.len()),
        ("\r\nx-content-type-options: nosniff\r\n", found.len()),
        ("\r\ndate: ", found.len()),
        ("\r\ncontent-type: application/problem+json\r\n", failed),
        ("\"type\":\"urn:tradewarden:problem:", failed),
    ] {
        assert_eq!(answer.matches(line).count(), count, "{line:?} in {answer}");
    }
    found
}

/// A signal that would be traded, if it were only sent decently.
pub(crate) fn signal(door: &Door, more_headers: &str, body: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\nx-webhook-secret: {}\r\n{more_headers}\r\n{body}",
        door.path, door.secret
    )
}

/// No order came of anything, and the next signal is served.
pub(crate) async fn no_order_and_still_serving(program: &Program, door: &mut Door) {
    let orders = program.json(&["order", "list"]).await;
    assert_eq!(orders["items"], Value::Array(Vec::new()), "no order came of it");
    let answer = door.send(r#"{"action":"BUY","id":"the next one works"}"#).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
}
