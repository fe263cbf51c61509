//! Access tokens that others forged: `jwcrypto` and `PyJWT` of `PyPI` make what they can of a right
//! token and of the public keys.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tradewarden_testkit::process::TestDir;

use crate::python::python_with;
use crate::someone::{Someone, demo, problem, success};

const PACKAGES: [&str; 3] = ["jwcrypto==1.6.1", "PyJWT==2.15.1", "cryptography==50.0.2"];
/// What `forge.py` makes; one that is made no longer is missed.
const FORGERIES: usize = 262;

/// What a script says to this input.
async fn told_by(python: &Path, script: &str, input: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/people").join(script);
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut to_it = child.stdin.take().unwrap();
    to_it.write_all(input.as_bytes()).await.unwrap();
    drop(to_it);
    let ended = child.wait_with_output().await.unwrap();
    assert!(ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}

#[tokio::test]
async fn what_others_forge_is_nobody() {
    let dir = TestDir::new("people-forgeries");
    let (gateway, python) = tokio::join!(demo(&dir), python_with(&dir, &PACKAGES));
    let mut owner = Someone::owner(&gateway).await;
    let right = owner.bearer.clone();
    let token = right.trim_start_matches("Bearer ");
    let keys = owner.client.get("/.well-known/jwks.json", &[]).await.unwrap();
    let asked = json!({"token": token, "jwks": success(&keys, 200)});
    let forged = told_by(&python, "forge.py", &asked.to_string()).await;
    let forged: Vec<Value> = serde_json::from_str(&forged).unwrap();
    assert_eq!(forged.len(), FORGERIES);
    success(&owner.get("/api/v1/me").await, 200);
    for forgery in forged {
        owner.bearer = format!("Bearer {}", forgery["token"].as_str().unwrap());
        let answer = owner.get("/api/v1/me").await;
        assert_eq!(answer.status, 401, "{}", forgery["name"]);
        problem(&answer, 401, "auth.failed");
    }
    owner.bearer = right;
    success(&owner.get("/api/v1/me").await, 200);
    gateway.stop().await;
}

/// A right token where it does not belong, and what else is right where a token belongs.
#[tokio::test]
async fn a_token_is_taken_in_one_place() {
    let dir = TestDir::new("people-places");
    let other_dir = TestDir::new("people-places-other");
    let (gateway, other) = tokio::join!(demo(&dir), demo(&other_dir));
    let mut owner = Someone::owner(&gateway).await;
    let stranger = Someone::owner(&other).await;
    let token = owner.bearer.trim_start_matches("Bearer ").to_owned();
    let (bearer, cookie) = (owner.bearer.clone(), format!("__Host-tw_sid={token}"));
    let of_refresh = format!("Bearer {}", owner.refresh);
    let (basic, twice) = (format!("Basic {token}"), format!("{bearer}, {bearer}"));
    for headers in [
        &[][..],
        &[("authorization", token.as_str())],
        &[("authorization", &basic)],
        &[("authorization", &twice)],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("authorization", &of_refresh)],
        &[("authorization", &stranger.bearer)],
        &[("cookie", &cookie)],
        &[("x-access-token", &token)],
        &[("proxy-authorization", &bearer)],
    ] {
        let answer = owner.client.get("/api/v1/me", headers).await.unwrap();
        assert_eq!(answer.status, 401, "{headers:?}");
        problem(&answer, 401, "auth.failed");
    }
    let in_query = owner.client.get(&format!("/api/v1/me?access_token={token}"), &[]).await;
    assert!([400, 401].contains(&in_query.unwrap().status));
    let answer = owner.client.get("/api/v1/me", &[("authorization", &bearer)]).await.unwrap();
    success(&answer, 200);
    other.stop().await;
    gateway.stop().await;
}
