//! A webhook that takes signatures, and a signer that is not ours.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tradewarden_testkit::process::{Answer, Client, Gateway, Program, TestDir};

/// The version whose signatures are the reference.
const PACKAGE: &str = "standardwebhooks==1.0.0";
const INSTALLING: Duration = Duration::from_mins(3);
const SIGNING: Duration = Duration::from_secs(30);

/// Runs a step of the preparation; without it this test can say nothing.
async fn prepare(program: &Path, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(INSTALLING, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} took more than {INSTALLING:?}"));
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; this test needs python3 with venv and pip", program.display())
    });
    assert!(
        output.status.success(),
        "{} {args:?} failed; this test needs python3 with venv, pip, and PyPI to install {PACKAGE} \
         from:\n{}{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The signer that others wrote.
struct Signer {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Signer {
    async fn install(dir: &TestDir) -> Self {
        let venv = dir.path().join("venv");
        prepare(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]).await;
        let python = venv.join("bin/python");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        prepare(&python, &[&install[..], &["--no-cache-dir", PACKAGE]].concat()).await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standard_webhooks/sign.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, input, output: BufReader::new(output) }
    }

    /// What stands in `webhook-signature`.
    async fn sign(&mut self, secret: &str, id: &str, at_s: i64, body: &str) -> String {
        let asked = json!({"secret": secret, "id": id, "at": at_s, "body": body});
        self.input.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
        let mut line = String::new();
        let read = timeout(SIGNING, self.output.read_line(&mut line)).await;
        assert!(read.expect("the signer answers").unwrap() > 0, "the signer ended");
        let answer: Value = serde_json::from_str(&line).unwrap();
        answer["signature"].as_str().unwrap().to_owned()
    }
}

/// A webhook that takes signatures and nothing else.
struct Signed {
    client: Client,
    path: String,
    signing_secret: String,
    bearer_secret: String,
}

impl Signed {
    async fn make(gateway: &Gateway) -> Self {
        let program = gateway.program();
        let create = ["webhook", "create", "--name", "signed", "--form", "signature"];
        let webhook = program.json(&create).await;
        let text = |name: &str| webhook[name].as_str().unwrap().to_owned();
        let account = gateway.ready()["account_id"].as_str().unwrap();
        let (id, create) = (text("id"), ["strategy", "create", "--name", "signed", "--webhook"]);
        let trades = ["--account", account, "--symbol", "MSFT", "--quantity", "1"];
        program.json(&[&create[..], &[&id], &trades].concat()).await;
        Self {
            client: gateway.client(),
            path: format!("/api/v1/webhooks/{}", text("token")),
            signing_secret: text("signing_secret"),
            bearer_secret: text("secret"),
        }
    }

    async fn now_s(&mut self) -> i64 {
        let time = self.client.get("/api/v1/time", &[]).await.unwrap().json();
        time["unix_ms"].as_i64().unwrap() / 1_000
    }

    async fn send(&mut self, id: &str, at_s: i64, signature: &str, body: &str) -> Answer {
        let at = at_s.to_string();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature),
            ("content-type", "application/json"),
        ];
        let path = self.path.clone();
        self.client.post(&path, &headers, body.to_owned()).await.unwrap()
    }
}

#[tokio::test]
async fn signatures_of_an_independent_implementation() {
    let dir = TestDir::new("standard-webhooks");
    let mut signer = Signer::install(&dir).await;
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), "");
    let gateway = match program.try_start("demo").await {
        Ok(gateway) => gateway,
        Err(ended) => panic!("the demo did not start: {ended}"),
    };
    let mut signed = Signed::make(&gateway).await;
    let secret = signed.signing_secret.clone();
    assert!(secret.starts_with("whsec_"), "as the specification prints it");
    let now = signed.now_s().await;
    let body = r#"{"action":"BUY","id":"sw-1","comment":"caf\u00e9 \u2713 é"}"#;

    let good = signer.sign(&secret, "msg_1", now, body).await;
    let answer = signed.send("msg_1", now, &good, body).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let first = answer.json();
    // Several signatures stand side by side while a key rotates; one that is right is enough.
    let several = format!("v1,AAAA v2,xyz v1a,zzz {good}");
    let answer = signed.send("msg_1", now, &several, body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.json()["signal_id"], first["signal_id"]);

    let other = format!("whsec_{}", "A".repeat(43) + "=");
    let by_other = signer.sign(&other, "msg_2", now, body).await;
    let old = signer.sign(&secret, "msg_2", now - 301, body).await;
    let ahead = signer.sign(&secret, "msg_2", now + 400, body).await;
    let exit = r#"{"action":"EXIT","id":"sw-2"}"#;
    let refused = [
        ("another key", signed.send("msg_2", now, &by_other, body).await),
        ("another body", signed.send("msg_1", now, &good, exit).await),
        ("another id", signed.send("msg_9", now, &good, body).await),
        ("another time", signed.send("msg_1", now - 1, &good, body).await),
        ("five minutes old", signed.send("msg_2", now - 301, &old, body).await),
        ("in the future", signed.send("msg_2", now + 400, &ahead, body).await),
        ("no signature", signed.send("msg_1", now, "", body).await),
        ("a version alone", signed.send("msg_1", now, "v1,", body).await),
        ("no version", signed.send("msg_1", now, good.trim_start_matches("v1,"), body).await),
        ("too many", signed.send("msg_1", now, &"v1,AAAA ".repeat(500), body).await),
    ];
    for (what, answer) in &refused {
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (401, &"auth.failed".into()), "{what}");
        assert!(problem.get("signal_id").is_none(), "{what}");
    }
    // This webhook chose signatures: its bearer secret opens nothing.
    let (path, bearer) = (signed.path.clone(), signed.bearer_secret.clone());
    let headers = [("x-webhook-secret", bearer.as_str())];
    assert_eq!(signed.client.post(&path, &headers, body).await.unwrap().status, 401);

    let orders = gateway.program().json(&["order", "list"]).await;
    assert_eq!(orders["items"].as_array().unwrap().len(), 1, "{orders}");
    // And the right key still works. A body without an id goes by the message's.
    let exit = r#"{"action":"EXIT"}"#;
    let good = signer.sign(&secret, "msg_3", now, exit).await;
    let answer = signed.send("msg_3", now, &good, exit).await;
    assert!(answer.status == 202 || answer.status == 200, "{:?}", answer.body);
    let first = answer.json();
    let later = signer.sign(&secret, "msg_3", now + 1, exit).await;
    let again = signed.send("msg_3", now + 1, &later, exit).await.json();
    assert_eq!((&again["status"], &again["signal_id"]), (&"duplicate".into(), &first["signal_id"]));
    let entry = r#"{"action":"SELL"}"#;
    let other = signer.sign(&secret, "msg_3", now, entry).await;
    let conflict = signed.send("msg_3", now, &other, entry).await;
    assert_eq!((conflict.status, &conflict.json()["code"]), (422, &"duplicate.id_conflict".into()));
    let same = signer.sign(&secret, "msg_4", now, exit).await;
    let another = signed.send("msg_4", now, &same, exit).await.json();
    assert_ne!(
        another["signal_id"], first["signal_id"],
        "another message, though of the same words"
    );
}
