//! The stream over WebSocket, heard by a client that others wrote: `websockets` of `PyPI`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tradewarden_testkit::process::{Gateway, TestDir, log_in_with_factor};

use crate::stage::{demo, run_well};

const PYPI: &str = "websockets==15.0.1";
const HEARING: Duration = Duration::from_mins(1);

/// Makes listeners of one gateway.
struct Listeners<'a> {
    gateway: &'a Gateway,
    python: PathBuf,
}

/// A program that listens.
struct Ear {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl<'a> Listeners<'a> {
    async fn of(gateway: &'a Gateway, dir: &TestDir) -> Self {
        let venv = dir.path().join("venv");
        run_well(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()], &[]).await;
        let python = venv.join("bin/python");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYPI];
        run_well(&python, &install, &[]).await;
        Self { gateway, python }
    }

    fn listen(&self, headers: &Value, origin: Option<&str>, say: &[usize]) -> Ear {
        let url = format!("{}/api/v1/stream", self.gateway.base_url().replace("https", "wss"));
        let ca = &self.gateway.ready()["ca_file"];
        let asked = json!({"url": url, "ca": ca, "headers": headers, "origin": origin, "say": say});
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys/listen.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(asked.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Ear { _child: child, lines }
    }

    /// What the owner shows.
    async fn owner(&self) -> Value {
        let owner = &self.gateway.ready()["owner"];
        let session = log_in_with_factor(&mut self.gateway.client(), owner).await;
        json!({"authorization": session.bearer})
    }
}

impl Ear {
    async fn next(&mut self) -> Value {
        let line = timeout(HEARING, self.lines.next_line()).await;
        let line = line.expect("nothing was heard").unwrap();
        serde_json::from_str(&line.expect("the listener ended")).unwrap()
    }

    async fn is_ready(&mut self) {
        assert_eq!(self.next().await, json!({"event": "ready", "data": {}}));
    }
}

#[tokio::test]
async fn an_order_is_heard_until_the_gateway_stops() {
    let dir = TestDir::new("keys-websocket");
    let (gateway, _keys) = demo(&dir).await;
    let listeners = Listeners::of(&gateway, &dir).await;
    let owner = listeners.owner().await;
    let mut ear = listeners.listen(&owner, None, &[0, 4_096]);
    ear.is_ready().await;
    let order = json!({
        "account_id": gateway.ready()["account_id"], "symbol": "AAPL", "side": "buy",
        "type": "market", "quantity": "1", "time_in_force": "day",
    });
    let bearer = owner["authorization"].as_str().unwrap();
    let headers = [("authorization", bearer), ("idempotency-key", "heard")];
    let mut client = gateway.client();
    let answer = client.post("/api/v1/orders", &headers, order.to_string()).await.unwrap();
    assert_eq!(answer.status, 201);
    let order_id = answer.json()["id"].clone();
    let (mut states, mut fills) = (Vec::new(), 0);
    while fills == 0 || states.last() != Some(&json!("filled")) {
        let heard = ear.next().await;
        let data = &heard["data"];
        match heard["event"].as_str() {
            Some("order") => {
                assert_eq!(data["id"], order_id, "{heard}");
                states.push(data["state"].clone());
            }
            Some("fill") => {
                assert_eq!(data["order_id"], order_id, "{heard}");
                fills += 1;
            }
            _ => panic!("{heard}"),
        }
    }
    assert_eq!((states, fills), (vec!["accepted".into(), "sending".into(), "filled".into()], 1));
    gateway.terminate().await;
    assert_eq!(ear.next().await, json!({"closed": 1001}));
    assert_eq!(gateway.wait().await.code, Some(0));
}

#[tokio::test]
async fn a_revoked_key_hears_no_more() {
    let dir = TestDir::new("keys-websocket-key");
    let (gateway, _keys) = demo(&dir).await;
    let program = gateway.program();
    let listeners = Listeners::of(&gateway, &dir).await;
    let pem = dir.path().join("ear.pem");
    let pem = pem.to_str().unwrap();
    let create = ["key", "create", "--name", "ear", "--scope", "orders:read"];
    let key = program.json(&[&create[..], &["--private-key-file", pem]].concat()).await;
    let id = key["id"].as_str().unwrap();
    let url = format!("{}/api/v1/stream", gateway.base_url());
    let sign = ["sign", "--key", id, "--private-key-file", pem, "--url", &url];
    let signed = program.json(&sign).await;
    let mut ear = listeners.listen(&signed["headers"], None, &[]);
    ear.is_ready().await;
    program.json(&["key", "revoke", id]).await;
    let closed = timeout(Duration::from_secs(2), ear.next()).await;
    assert_eq!(closed.expect("it went on listening"), json!({"closed": 1008}));
    let mut again = listeners.listen(&program.json(&sign).await["headers"], None, &[]);
    let refused = again.next().await;
    assert_eq!(
        (&refused["status"], &refused["problem"]["code"]),
        (&json!(401), &json!("auth.failed"))
    );
}

#[tokio::test]
async fn other_pages_and_long_speeches_are_refused() {
    let dir = TestDir::new("keys-websocket-refused");
    let (gateway, _keys) = demo(&dir).await;
    let listeners = Listeners::of(&gateway, &dir).await;
    let owner = listeners.owner().await;
    for origin in ["https://elsewhere.example", "null", "http://localhost"] {
        let refused = listeners.listen(&owner, Some(origin), &[]).next().await;
        assert_eq!(
            (&refused["status"], &refused["problem"]["code"]),
            (&json!(403), &json!("auth.permission")),
            "{origin}: {refused}"
        );
    }
    let mut nobody = listeners.listen(&json!({}), Some(gateway.base_url()), &[]);
    assert_eq!(nobody.next().await["status"], 401);
    let mut ear = listeners.listen(&owner, Some(gateway.base_url()), &[4_096, 4_097]);
    ear.is_ready().await;
    assert_eq!(ear.next().await, json!({"closed": 1009}));
}
