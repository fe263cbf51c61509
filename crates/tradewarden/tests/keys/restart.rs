//! A request that was taken is not taken again by a gateway that was killed and started again.

use std::net::TcpListener;

use serde_json::Value;
use tradewarden_testkit::process::{Answer, Client, Process, Program, TestDir, until};

use crate::stage::BINARY;

/// A request as `sign` made it.
struct Signed {
    method: &'static str,
    path: &'static str,
    headers: Vec<(String, String)>,
    body: &'static str,
}

impl Signed {
    async fn new(
        program: &Program,
        origin: &str,
        key: [&str; 2],
        method: &'static str,
        path: &'static str,
        body: &'static str,
    ) -> Self {
        let file = program.data().with_extension("body");
        std::fs::write(&file, body).unwrap();
        let url = format!("{origin}{path}");
        let [id, pem] = key;
        let asked = ["sign", "--key", id, "--private-key-file", pem, "--method", method];
        let more = ["--url", &url, "--body", file.to_str().unwrap()];
        let signed = program.json(&[&asked[..], &more].concat()).await;
        let headers = signed["headers"].as_object().unwrap().iter();
        let headers =
            headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        Self { method, path, headers: headers.collect(), body }
    }

    async fn send(&self, client: &mut Client) -> Answer {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.send(self.method.parse().unwrap(), self.path, &headers, self.body).await.unwrap()
    }
}

struct Life {
    process: Process,
    client: Client,
}

impl Life {
    async fn begin(program: &Program, address: &str) -> Self {
        let internal = ["--internal-listen", "127.0.0.1:0"];
        let args = [&["serve", "--json", "--listen", address], &internal[..]].concat();
        let process = program.spawn(&args);
        let ca = program.data().join("tls/ca.pem");
        until("the CA is there", async || ca.exists()).await;
        let mut client = Client::new(&format!("https://{address}"), &ca);
        until("it serves", async || client.get("/livez", &[]).await.is_ok()).await;
        Self { process, client }
    }
}

#[tokio::test]
async fn a_replay_across_a_kill_is_refused() {
    let dir = TestDir::new("keys-restart");
    let program = Program::new(BINARY, dir.data(), "");
    // The port must be the same in both lives, because it is signed.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let origin = format!("https://{address}");
    let mut first = Life::begin(&program, &address).await;
    let pem = dir.path().join("key.pem");
    let create = ["key", "create", "--name", "bot", "--scope", "webhooks:manage,orders:read"];
    let to_file = ["--private-key-file", pem.to_str().unwrap()];
    let key = program.json(&[&create[..], &to_file].concat()).await;
    let key = [key["id"].as_str().unwrap(), pem.to_str().unwrap()];

    let body = r#"{"name":"signed"}"#;
    let change = Signed::new(&program, &origin, key, "POST", "/api/v1/webhooks", body).await;
    let read = Signed::new(&program, &origin, key, "GET", "/api/v1/me", "").await;
    let kept = Signed::new(&program, &origin, key, "POST", "/api/v1/webhooks", body).await;
    assert_eq!(change.send(&mut first.client).await.status, 201);
    assert_eq!(read.send(&mut first.client).await.status, 200);
    first.process.kill9().await;

    let mut second = Life::begin(&program, &address).await;
    for replay in [&change, &read, &change] {
        let answer = replay.send(&mut second.client).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &"auth.failed".into()));
    }
    // What was signed before the kill and never came is a change that is still to be made.
    assert_eq!(kept.send(&mut second.client).await.status, 201);
    let list = program.json(&["webhook", "list"]).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "each was carried out once: {list}");
    let fresh = Signed::new(&program, &origin, key, "GET", "/api/v1/me", "").await;
    let me = fresh.send(&mut second.client).await;
    assert_eq!((me.status, &me.json()["kind"]), (200, &Value::from("key")));
    // Why the replays were refused stands in the log, and not in the answers.
    until("the denials are journaled", async || {
        let bundle = dir.path().join("bundle");
        let out = bundle.to_str().unwrap();
        let exported = program.run(&["audit", "export", "--out", out]).await;
        let text = std::fs::read_to_string(&bundle).unwrap_or_default();
        drop(std::fs::remove_file(&bundle));
        exported.code == Some(0)
            && text.contains("nonce.replayed")
            && text.contains("nonce.before_start")
    })
    .await;
    second.process.terminate().await;
    assert_eq!(second.process.wait().await.code, Some(0));
}

/// C16: a restore loses nonces, so what was signed before it is taken by nobody.
#[tokio::test]
async fn c16_what_was_signed_before_a_restore_is_refused() {
    let dir = TestDir::new("keys-restored");
    let program = Program::new(BINARY, dir.data(), "");
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let origin = format!("https://{address}");
    let mut first = Life::begin(&program, &address).await;
    let pem = dir.path().join("key.pem");
    let create = ["key", "create", "--name", "bot", "--scope", "webhooks:manage,orders:read"];
    let to_file = ["--private-key-file", pem.to_str().unwrap()];
    let key = program.json(&[&create[..], &to_file].concat()).await;
    let key = [key["id"].as_str().unwrap(), pem.to_str().unwrap()];
    let copy = dir.path().join("copy.db");
    let made = program.run(&["db", "backup", "--out", copy.to_str().unwrap()]).await;
    assert_eq!(made.code, Some(0), "{made}");

    let body = r#"{"name":"signed"}"#;
    let change = Signed::new(&program, &origin, key, "POST", "/api/v1/webhooks", body).await;
    let kept = Signed::new(&program, &origin, key, "POST", "/api/v1/webhooks", body).await;
    assert_eq!(change.send(&mut first.client).await.status, 201);
    first.process.terminate().await;
    assert_eq!(first.process.wait().await.code, Some(0));
    let restored = program.run(&["db", "restore", "--from", copy.to_str().unwrap()]).await;
    assert_eq!(restored.code, Some(0), "{restored}");

    // The copy knows neither the change nor its nonce, and whether the other one was made nobody knows.
    let mut second = Life::begin(&program, &address).await;
    for signed in [&change, &kept] {
        let answer = signed.send(&mut second.client).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &"auth.failed".into()));
    }
    let list = program.json(&["webhook", "list"]).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 0, "nothing was made again: {list}");
    second.process.terminate().await;
    assert_eq!(second.process.wait().await.code, Some(0));
}
