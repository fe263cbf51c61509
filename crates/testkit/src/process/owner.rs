//! An owner who logs in over the API, with an authenticator app that is not ours.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::client::{Answer, Client};

/// Configuration for a test whose caller asks more often than a caller may by default.
pub const QUICK_CALLERS: &str = "[tiers.standard]\nper_s = 10000\nper_day = 0\n";

/// What the person `{email, password}` shows after a login with the password alone: `Bearer ...`,
/// with which it sees and changes nothing.
///
/// # Panics
///
/// When it is not let in.
pub async fn log_in(client: &mut Client, person: &Value) -> String {
    session(client, person).await.bearer
}

/// What a person got at a login.
#[derive(Debug, Clone)]
pub struct Session {
    /// `Bearer ...`, for the gateway at the address where it was got.
    pub bearer: String,
    /// What `POST /api/v1/auth/refresh` takes, once.
    pub refresh: String,
}

async fn session(client: &mut Client, person: &Value) -> Session {
    let body = json!({"email": person["email"], "password": person["password"]});
    let answer = client.post("/api/v1/auth/login", &[], body.to_string()).await;
    let tokens = done(&answer.expect("a login is answered"), 200);
    Session {
        bearer: format!("Bearer {}", text(&tokens, "access_token")),
        refresh: text(&tokens, "refresh_token"),
    }
}

/// The same person with an authenticator app, which is enrolled here: once for each person. The
/// session counts as one with a second factor that was shown now.
///
/// # Panics
///
/// When it is not let in, or has an authenticator app already.
pub async fn log_in_with_factor(client: &mut Client, person: &Value) -> Session {
    let session = session(client, person).await;
    let at = "/api/v1/me/factors/totp";
    let shown = |once| [("authorization", session.bearer.as_str()), ("idempotency-key", once)];
    let made = client.post(at, &shown("enrol"), "").await.expect("enrolling is answered");
    let made = done(&made, 201);
    let code = totp_code(&text(&made, "secret"), "now").await;
    let confirm = format!("{at}/{}/confirm", text(&made, "id"));
    let code = json!({ "code": code }).to_string();
    let confirmed = client.post(&confirm, &shown("confirm"), code).await;
    done(&confirmed.expect("confirming is answered"), 200);
    session
}

/// The six digits that `oathtool` shows for a secret in base 32, at a time as GNU `date` takes it.
///
/// # Panics
///
/// When it shows none.
pub async fn totp_code(secret: &str, when: &str) -> String {
    let output = Command::new("oathtool")
        .args(["--totp", "--base32", "--now", when, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = output.expect("this test needs oathtool (Debian: apt-get install oathtool)");
    let mut input = child.stdin.take().expect("its input is a pipe");
    input.write_all(secret.as_bytes()).await.expect("it reads the secret");
    drop(input);
    let output = child.wait_with_output().await.expect("it ends");
    let code = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(code.len(), 6, "oathtool said {code:?}");
    code
}

fn done(answer: &Answer, status: u16) -> Value {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    body
}

fn text(object: &Value, name: &str) -> String {
    let text = object.get(name).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}
