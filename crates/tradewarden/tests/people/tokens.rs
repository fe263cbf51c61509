//! Access and refresh tokens: renewed, ended, stolen, forged.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_seal::{base64url_decode, base64url_encode};
use tradewarden_testkit::process::{Answer, TestDir};

use crate::someone::{Someone, demo, problem, success};

async fn renew(someone: &mut Someone, token: &str, agent: &str) -> Answer {
    let body = json!({ "refresh_token": token }).to_string();
    let headers = [("user-agent", agent)];
    someone.client.post("/api/v1/auth/refresh", &headers, body).await.unwrap()
}

#[tokio::test]
async fn a_refresh_token_is_used_once() {
    let dir = TestDir::new("people-refresh");
    let gateway = demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let first = owner.refresh.clone();
    let renewed = renew(&mut owner, &first, "a").await;
    owner.take(&renewed);
    assert_ne!(owner.refresh, first);
    assert_eq!(owner.get("/api/v1/me").await.status, 200);
    // It is shown again, by the same program even: the session is over.
    problem(&renew(&mut owner, &first, "a").await, 401, "auth.failed");
    problem(&owner.get("/api/v1/me").await, 401, "auth.failed");
    let newest = owner.refresh.clone();
    problem(&renew(&mut owner, &newest, "a").await, 401, "auth.failed");
    let findings = gateway.program().json(&["finding", "list"]).await.to_string();
    assert!(findings.contains("auth.refresh_reuse"), "{findings}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_ended_session_is_over_with_the_next_request() {
    let dir = TestDir::new("people-ended");
    let gateway = demo(&dir).await;
    let mut here = Someone::owner(&gateway).await;
    let mut there = Someone::owner(&gateway).await;
    let list = success(&here.get("/api/v1/me/sessions").await, 200);
    let sessions = list["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{list}");
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    let path = format!("/api/v1/me/sessions/{}", other["id"].as_str().unwrap());
    success(&here.call(Method::DELETE, &path, &Value::Null).await, 200);
    problem(&there.get("/api/v1/me").await, 401, "auth.failed");
    let refresh = there.refresh.clone();
    problem(&renew(&mut there, &refresh, "").await, 401, "auth.failed");
    problem(&here.call(Method::DELETE, &path, &Value::Null).await, 404, "request.not_found");
    success(&here.post("/api/v1/auth/logout", &Value::Null).await, 200);
    problem(&here.get("/api/v1/me").await, 401, "auth.failed");
    gateway.stop().await;
}

/// What others make of a token of ours, or of nothing.
#[tokio::test]
async fn forged_tokens_are_nobody() {
    let dir = TestDir::new("people-forged");
    let gateway = demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let token = owner.bearer.trim_start_matches("Bearer ").to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let keys = owner.client.get("/.well-known/jwks.json", &[]).await.unwrap();
    let key = success(&keys, 200)["keys"][0].clone();
    let head: Value = serde_json::from_slice(&base64url_decode(header).unwrap()).unwrap();
    assert_eq!((&head["kid"], &head["alg"]), (&key["kid"], &json!("EdDSA")));
    let claims: Value = serde_json::from_slice(&base64url_decode(payload).unwrap()).unwrap();
    let encoded = |value: &Value| base64url_encode(value.to_string().as_bytes());
    let edited = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        encoded(&claims)
    };
    let none = encoded(&json!({"alg": "none", "typ": "at+jwt"}));
    let hmac = encoded(&json!({"alg": "HS256", "typ": "at+jwt", "kid": key["kid"]}));
    let with_key =
        encoded(&json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"], "jwk": key}));
    let mut changed = signature.to_owned();
    changed.replace_range(0..1, if changed.starts_with('A') { "B" } else { "A" });
    for forged in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{hmac}.{payload}.{signature}"),
        format!("{with_key}.{payload}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{changed}"),
        format!("{header}.{}.{signature}", edited("exp", json!(4_000_000_000_u64))),
        format!("{header}.{}.{signature}", edited("epoch", json!(1))),
        format!("{header}.{}.{signature}", edited("sub", json!("usr_01m80000000000000000000000"))),
        format!("{token}."),
        format!("{token}=="),
        format!("{header}.{payload}"),
        "..".to_owned(),
        ".".repeat(10_000),
    ] {
        owner.bearer = format!("Bearer {forged}");
        problem(&owner.get("/api/v1/me").await, 401, "auth.failed");
    }
    owner.bearer = format!("Bearer {token}");
    assert_eq!(owner.get("/api/v1/me").await.status, 200);
    gateway.stop().await;
}
