//! Passkeys through the gateway, with an authenticator that others wrote: the `fido2` package of
//! `PyPI`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tradewarden_testkit::process::{Gateway, TestDir};

use crate::python::python_with;
use crate::someone::{Someone, demo, problem, success};

/// The version that `seal`'s tests hold themselves against.
const PACKAGE: &str = "fido2==2.2.1";

/// Somebody's authenticator and browser.
struct Authenticator {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    origin: String,
    counter: u32,
}

impl Authenticator {
    async fn new(dir: &TestDir, gateway: &Gateway) -> Self {
        let python = python_with(dir, &[PACKAGE]).await;
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../seal/tests/webauthn/authenticator.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let lines = BufReader::new(output).lines();
        let origin = gateway.ready()["console_url"].as_str().unwrap().to_owned();
        Self { _child: child, input, lines, origin, counter: 0 }
    }

    /// What it answers to these options, as the page would send it.
    async fn answer(&mut self, verb: &str, options: &Value) -> Value {
        self.counter += 1;
        let asked = json!({
            "do": verb, "options": options, "algorithm": -7, "attestation": "none",
            "origin": self.origin, "flags": ["UV"], "counter": self.counter,
        });
        self.input.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
        let line = self.lines.next_line().await.unwrap().expect("an answer");
        let answer: Value = serde_json::from_str(&line).unwrap();
        answer["response"].clone()
    }
}

/// The options inside what the gateway answers.
fn options(answer: &Value) -> &Value {
    let options = &answer["options"];
    options.get("publicKey").unwrap_or(options)
}

#[tokio::test]
async fn a_passkey_is_enrolled_and_logs_in() {
    let dir = TestDir::new("people-passkeys");
    let gateway = demo(&dir).await;
    let mut authenticator = Authenticator::new(&dir, &gateway).await;
    let mut owner = Someone::owner(&gateway).await;

    let asked = owner.post("/api/v1/me/factors/webauthn/options", &Value::Null).await;
    let asked = success(&asked, 200);
    let credential = authenticator.answer("create", options(&asked)).await;
    let enrol = json!({
        "challenge_id": asked["challenge_id"], "credential": credential, "name": "key ring",
    });
    let enrolled = success(&owner.post("/api/v1/me/factors/webauthn", &enrol).await, 201);
    assert_eq!((&enrolled["type"], &enrolled["name"]), (&"webauthn".into(), &"key ring".into()));
    let again = owner.post("/api/v1/me/factors/webauthn", &enrol).await;
    assert!((400..500).contains(&again.status), "a challenge is used once: {:?}", again.body);
    assert_eq!(owner.get("/api/v1/users").await.status, 200, "a factor was shown");

    // As the second factor.
    let mut second = Someone::new(&gateway, &owner.email, &owner.password);
    let offered = success(&second.password_login().await, 200);
    let offer = offered["factors"].as_array().unwrap().iter();
    let offer = offer.clone().find(|factor| factor["type"] == "webauthn").unwrap();
    let shown = authenticator.answer("get", options(offer)).await;
    let body = json!({
        "challenge_id": offered["challenge_id"], "type": "webauthn", "credential": shown,
    });
    let answer = second.client.post("/api/v1/auth/factor", &[], body.to_string()).await.unwrap();
    second.take(&answer);
    assert_eq!(second.get("/api/v1/users").await.status, 200);
    let answer = second.client.post("/api/v1/auth/factor", &[], body.to_string()).await.unwrap();
    problem(&answer, 401, "auth.failed");

    // Without a name or a password.
    let mut third = Someone::new(&gateway, "", "");
    let asked = third.client.post("/api/v1/auth/passkey/options", &[], "").await.unwrap();
    let asked = success(&asked, 200);
    let shown = authenticator.answer("get", options(&asked)).await;
    let body = json!({ "challenge_id": asked["challenge_id"], "credential": shown });
    let answer = third.client.post("/api/v1/auth/passkey", &[], body.to_string()).await.unwrap();
    third.take(&answer);
    let me = third.get("/api/v1/me").await.json();
    assert_eq!((&me["email"], me["factor_at"].is_string()), (&json!(owner.email), true), "{me}");
    let answer = third.client.post("/api/v1/auth/passkey", &[], body.to_string()).await.unwrap();
    problem(&answer, 401, "auth.failed");

    // From a page of somebody else.
    authenticator.origin = "https://localhost.example".to_owned();
    let asked = third.client.post("/api/v1/auth/passkey/options", &[], "").await.unwrap();
    let asked = success(&asked, 200);
    let shown = authenticator.answer("get", options(&asked)).await;
    let body = json!({ "challenge_id": asked["challenge_id"], "credential": shown });
    let answer = third.client.post("/api/v1/auth/passkey", &[], body.to_string()).await.unwrap();
    problem(&answer, 401, "auth.failed");
    gateway.stop().await;
}
