//! Second factors, with codes that another program made.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::TestDir;

use crate::someone::{Someone, code_of, demo, problem, success};

#[tokio::test]
async fn a_code_opens_once_and_a_challenge_too() {
    let dir = TestDir::new("people-totp");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let secret = owner.secret.clone().unwrap();
    let offered = success(&owner.password_login().await, 200);
    assert_eq!(offered["factor_required"], true);
    assert_eq!(offered["factors"], json!([{"type": "totp"}]));
    assert!(offered.get("access_token").is_none());
    // The code that confirmed the app was of the step before: it, and older ones, are used up.
    for steps in [-1, -2, 2] {
        let old = code_of(&secret, steps).await;
        problem(&owner.show(&offered, "totp", &old).await, 401, "auth.failed");
    }
    let code = code_of(&secret, 0).await;
    let shown = owner.show(&offered, "totp", &code).await;
    owner.take(&shown);
    let me = success(&owner.get("/api/v1/me").await, 200);
    assert!(me["factor_at"].is_string(), "{me}");
    problem(&owner.show(&offered, "totp", &code).await, 401, "auth.failed");
    let again = success(&owner.password_login().await, 200);
    problem(&owner.show(&again, "totp", &code).await, 401, "auth.failed");
    gateway.stop().await;
}

#[tokio::test]
async fn a_challenge_takes_five_tries() {
    let dir = TestDir::new("people-tries");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let codes = owner.post("/api/v1/me/factors/recovery-codes", &Value::Null).await;
    let codes = success(&codes, 201)["codes"].clone();
    let offered = success(&owner.password_login().await, 200);
    assert_eq!(offered["factors"], json!([{"type": "totp"}, {"type": "recovery_code"}]));
    for _ in 0..5 {
        let wrong = owner.show(&offered, "recovery_code", "0000-0000-0000-000").await;
        problem(&wrong, 401, "auth.failed");
    }
    let right = codes[0].as_str().unwrap().to_owned();
    problem(&owner.show(&offered, "recovery_code", &right).await, 401, "auth.failed");
    gateway.stop().await;
}

#[tokio::test]
async fn a_recovery_code_opens_once() {
    let dir = TestDir::new("people-recovery");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let path = "/api/v1/me/factors/recovery-codes";
    let first = success(&owner.post(path, &Value::Null).await, 201)["codes"].clone();
    let codes = success(&owner.post(path, &Value::Null).await, 201)["codes"].clone();
    assert_eq!(codes.as_array().unwrap().len(), 10);
    let code = |codes: &Value, number: usize| codes[number].as_str().unwrap().to_owned();
    let offered = success(&owner.password_login().await, 200);
    let void = owner.show(&offered, "recovery_code", &code(&first, 0)).await;
    problem(&void, 401, "auth.failed");
    // As somebody types it from paper.
    let typed = code(&codes, 3).to_lowercase().replace('-', " ");
    let shown = owner.show(&offered, "recovery_code", &typed).await;
    owner.take(&shown);
    let offered = success(&owner.password_login().await, 200);
    let spent = owner.show(&offered, "recovery_code", &code(&codes, 3)).await;
    problem(&spent, 401, "auth.failed");
    let listed = success(&owner.get("/api/v1/me/factors").await, 200);
    let left = listed["items"].as_array().unwrap().iter().find_map(|item| item["left"].as_u64());
    assert_eq!(left, Some(9), "{listed}");
    let findings = gateway.program().json(&["finding", "list"]).await.to_string();
    assert!(findings.contains("auth.recovery_code"), "{findings}");
    gateway.stop().await;
}

/// The last factor stays, another one may go; a factor that was not confirmed opens nothing.
#[tokio::test]
async fn factors_are_changed_with_a_fresh_factor_only() {
    let dir = TestDir::new("people-change-factor");
    let gateway = demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let unconfirmed = success(&owner.post("/api/v1/me/factors/totp", &Value::Null).await, 201);
    assert!(unconfirmed["uri"].as_str().unwrap().starts_with("otpauth://totp/Tradewarden"));
    assert!(unconfirmed["qr_svg"].as_str().unwrap().starts_with("<svg"));
    assert!(success(&owner.password_login().await, 200).get("access_token").is_some());
    owner.enrol().await;
    let mut weak = Someone::new(&gateway, &owner.email, &owner.password);
    weak.bearer = owner.bearer.clone();
    let list = success(&owner.get("/api/v1/me/factors").await, 200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "beginning anew forgets what was not confirmed: {list}");
    let id = items[0]["id"].as_str().unwrap();
    let path = format!("/api/v1/me/factors/{id}");
    problem(&owner.call(Method::DELETE, &path, &Value::Null).await, 409, "factor.conflict");
    gateway.stop().await;
}
