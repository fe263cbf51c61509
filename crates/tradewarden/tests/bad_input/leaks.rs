//! Secrets stay where they are: not in answers, not in logs at their most talkative, not in the
//! database or its write-ahead log.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tradewarden_testkit::process::{TestDir, log_in};

use crate::door::{Door, demo};
use crate::wire::{exchange, signal};

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// Everything that a sender could do to make us write its secret somewhere.
async fn provoke(door: &mut Door, seen: &mut Vec<u8>) {
    let (path, secret) = (door.path.clone(), door.secret.clone());
    let header = [("x-webhook-secret", secret.as_str())];
    let in_query = format!("{path}?secret={secret}");
    let bodies = [
        json!({"action": "BUY", "dry_run": true, "secret": secret}).to_string(),
        json!({"action": secret, "secret": secret}).to_string(),
        json!({"action": "BUY", "dry_run": true, "comment": secret, "secret": secret}).to_string(),
        json!({"action": "BUY", "price": secret, "secret": secret}).to_string(),
        json!({"action": "BUY", secret.as_str(): 1, "secret": secret}).to_string(),
        json!({"action": "BUY", "id": secret, "dry_run": true, "secret": secret}).to_string(),
        json!({"action": "BUY", "x": {"y": [secret]}, "secret": secret}).to_string(),
        json!({"action": "EXIT", "comment": format!("EXIT_{secret}"), "secret": secret})
            .to_string(),
        format!("{{\"action\":\"BUY\",\"secret\":\"{secret}\""),
        format!("{{\"secret\":\"{secret}\",\"secret\":\"{secret}\"}}"),
        format!("not json but {secret}"),
        format!("secret={secret}&action=BUY"),
    ];
    for body in bodies {
        for (path, headers) in
            [(&in_query, &header[..]), (&in_query, &[]), (&path, &header), (&path, &[])]
        {
            let answer = door.client.post(path, headers, body.clone()).await.unwrap();
            seen.extend_from_slice(&answer.body);
            for value in answer.headers.values() {
                seen.extend_from_slice(value.as_bytes());
            }
        }
    }
    // In the wrong places: other paths, other headers, other methods, the callers' door.
    let bearer = format!("Bearer {secret}");
    for (path, headers) in [
        (format!("/api/v1/signals?secret={secret}"), vec![]),
        (format!("/api/v1/orders/{secret}"), vec![("authorization", bearer.as_str())]),
        (format!("/{secret}"), vec![("cookie", secret.as_str()), ("user-agent", &secret)]),
        (format!("/api/v1/webhooks/{secret}/{secret}"), vec![("x-webhook-secret", &secret)]),
        (in_query.clone(), vec![("authorization", bearer.as_str())]),
        (format!("/audit/tile/0/{secret}"), vec![]),
    ] {
        let answer = door.client.get(&path, &headers).await.unwrap();
        seen.extend_from_slice(&answer.body);
    }
    for broken in [
        signal(door, "content-length: 7, 8\r\n", &secret),
        signal(door, "transfer-encoding: chunked\r\n", &secret),
        signal(door, &format!("{secret}\r\n"), ""),
        signal(door, "content-length: 99999999\r\n", &secret),
        format!("{secret}\r\n\r\n"),
        format!("{secret} {path} HTTP/1.1\r\nconnection: close\r\n\r\n"),
    ] {
        seen.extend_from_slice(exchange(door, broken.as_bytes()).await.as_bytes());
    }
}

/// House invariant 5, from outside: the marked secret is looked for everywhere.
#[tokio::test]
async fn the_secret_is_nowhere() {
    let dir = TestDir::new("bad-leaks");
    let (gateway, _) = demo(&dir, "log_level = \"trace\"\n").await;
    let program = gateway.program().clone();
    // One that is not rate-limited before everything was tried, and that no demo remembers.
    let create = ["webhook", "create", "--name", "leaky", "--rate-per-s", "10000"];
    let webhook = program.json(&create).await;
    let account = gateway.ready()["account_id"].as_str().unwrap();
    let create = ["strategy", "create", "--name", "leaky", "--account", account];
    let trades = ["--symbol", "MSFT", "--quantity", "1", "--webhook"];
    let id = webhook["id"].as_str().unwrap();
    program.json(&[&create[..], &trades, &[id]].concat()).await;
    let mut door = Door::of(&gateway, &webhook);
    let mut seen = Vec::new();
    provoke(&mut door, &mut seen).await;
    // One that trades, so that every part has had the signal in its hands.
    let body = json!({"action": "BUY", "comment": door.secret, "secret": door.secret});
    let traded = door.send(body.to_string()).await;
    assert_eq!(traded.status, 202, "{:?}", traded.body);
    for verb in [["signal", "list"], ["order", "list"], ["finding", "list"], ["webhook", "list"]] {
        seen.extend_from_slice(
            program.run(&[&verb[..], &["--json"]].concat()).await.stdout.as_bytes(),
        );
    }
    let bearer = log_in(&mut door.client, &gateway.ready()["owner"]).await;
    let access = bearer.trim_start_matches("Bearer ");
    for path in ["/api/v1/signals", "/api/v1/findings", "/api/v1/webhooks"] {
        let answer = door.client.get(path, &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(answer.status, 200);
        seen.extend_from_slice(&answer.body);
    }
    let bundle = dir.path().join("bundle");
    let exported = program.run(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
    assert_eq!(exported.code, Some(0), "{exported}");

    for secret in [door.secret.as_str(), access] {
        assert!(!contains(&seen, secret), "in an answer");
    }
    let token = door.path.rsplit('/').next().unwrap().to_owned();
    let log = program.log();
    assert!(log.contains("DEBUG") && log.lines().count() > 50, "it was talkative: {log}");
    for word in [door.secret.as_str(), access, &token] {
        let line = log.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "in the log: {line:?}");
    }
    // While it runs, what is new is in the write-ahead log; afterwards it is in the file.
    let look = |when: &str| {
        let mut looked_at = Vec::new();
        for path in files(&dir.data()).into_iter().chain([bundle.clone()]) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            assert!(!contains(&bytes, &door.secret), "{when}: {name}");
            assert!(!contains(&bytes, access), "{when}: {name}");
            looked_at.push(name);
        }
        looked_at
    };
    let looked_at = look("running");
    for name in ["tradewarden.db", "tradewarden.db-wal", "paper.journal"] {
        assert!(looked_at.iter().any(|one| one == name), "{name}: {looked_at:?}");
    }
    let ended = gateway.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    look("stopped");
    assert!(!program.log().contains(&door.secret));
}
