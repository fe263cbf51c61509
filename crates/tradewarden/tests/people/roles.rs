//! Who may do what, and who may change that.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::TestDir;

use crate::someone::{Someone, demo, problem, success};

#[tokio::test]
async fn a_role_counts_from_the_next_request_on() {
    let dir = TestDir::new("people-roles");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let mut trader = owner.invites(&gateway, "trader@example.com", "trader").await;
    trader.enrol().await;
    let id = success(&trader.get("/api/v1/me").await, 200)["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{id}");
    let webhook = json!({"name": "mine"});
    success(&trader.post("/api/v1/webhooks", &webhook).await, 201);
    problem(&trader.get("/api/v1/users").await, 403, "auth.permission");
    let changed = owner.call(Method::PATCH, &path, &json!({"role": "viewer"})).await;
    assert_eq!(success(&changed, 200)["role"], "viewer");
    problem(&trader.post("/api/v1/webhooks", &webhook).await, 403, "auth.permission");
    assert_eq!(trader.get("/api/v1/orders").await.status, 200);
    success(&owner.call(Method::PATCH, &path, &json!({"state": "disabled"})).await, 200);
    problem(&trader.get("/api/v1/orders").await, 401, "auth.failed");
    problem(&trader.password_login().await, 401, "auth.failed");
    success(&owner.call(Method::PATCH, &path, &json!({"state": "active"})).await, 200);
    problem(&trader.get("/api/v1/orders").await, 401, "auth.failed");
    success(&trader.password_login().await, 200);
    success(&owner.call(Method::DELETE, &path, &Value::Null).await, 200);
    problem(&owner.get(&path).await, 404, "request.not_found");
    problem(&trader.password_login().await, 401, "auth.failed");
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let dir = TestDir::new("people-grants");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let own = success(&owner.get("/api/v1/me").await, 200)["id"].as_str().unwrap().to_owned();
    let own = format!("/api/v1/users/{own}");
    for body in [json!({"role": "admin"}), json!({"state": "disabled"})] {
        problem(&owner.call(Method::PATCH, &own, &body).await, 422, "role.last_owner");
    }
    problem(&owner.call(Method::DELETE, &own, &Value::Null).await, 422, "role.last_owner");

    let mut admin = owner.invites(&gateway, "admin@example.com", "admin").await;
    admin.enrol().await;
    let new = json!({"email": "x@example.com", "role": "owner"});
    problem(&admin.post("/api/v1/users", &new).await, 422, "role.conflict");
    problem(
        &admin.call(Method::PATCH, &own, &json!({"role": "viewer"})).await,
        422,
        "role.conflict",
    );
    let reset = format!("{own}/reset-factors");
    problem(&admin.post(&reset, &Value::Null).await, 422, "role.conflict");

    // Somebody who may manage people and little else.
    let role = json!({"name": "clerk", "permissions": ["users:manage", "orders:read"]});
    let role = success(&owner.post("/api/v1/roles", &role).await, 201);
    let mut clerk = owner.invites(&gateway, "clerk@example.com", "clerk").await;
    clerk.enrol().await;
    let wide = json!({"name": "wide", "permissions": ["users:manage", "orders:create"]});
    problem(&clerk.post("/api/v1/roles", &wide).await, 422, "role.conflict");
    for role in ["trader", "viewer", "admin", "owner"] {
        let new = json!({"email": "y@example.com", "role": role});
        problem(&clerk.post("/api/v1/users", &new).await, 422, "role.conflict");
    }
    let new = json!({"email": "y@example.com", "role": "clerk"});
    success(&clerk.post("/api/v1/users", &new).await, 201);
    problem(&clerk.post("/api/v1/users", &new).await, 409, "user.exists");
    let homograph = json!({"email": "\u{443}@example.com", "role": "clerk"});
    assert_eq!(
        problem(&clerk.post("/api/v1/users", &homograph).await, 400, "request.malformed")["field"],
        "email"
    );
    let path = format!("/api/v1/roles/{}", role["id"].as_str().unwrap());
    problem(&owner.call(Method::DELETE, &path, &Value::Null).await, 422, "role.conflict");
    gateway.stop().await;
}

/// A halt holds for a while, and with four eyes a limit is raised by two people.
#[tokio::test]
async fn four_eyes_and_the_hold() {
    let dir = TestDir::new("people-four-eyes");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let mut second = owner.invites(&gateway, "second@example.com", "admin").await;
    second.enrol().await;
    let halt = success(&owner.post("/api/v1/halts", &json!({})).await, 201);
    let resume = format!("/api/v1/halts/{}/resume", halt["id"].as_str().unwrap());
    problem(&owner.post(&resume, &Value::Null).await, 422, "halt.hold");

    let policy = json!({"name": "four_eyes.limit_override", "value": "on"});
    success(&owner.call(Method::PUT, "/api/v1/policies", &policy).await, 200);
    let limit = |value: &str| json!({"scope": "org", "name": "max_position", "value": value});
    let path = "/api/v1/limits";
    let lower = owner.call(Method::PUT, path, &limit("50")).await;
    assert_eq!(success(&lower, 201)["value"], "50", "a tighter limit waits for nobody");
    let waiting = owner.call(Method::PUT, path, &limit("500")).await;
    let waiting = success(&waiting, 202);
    assert_eq!(waiting["status"], "pending");
    let listed = success(&second.get("/api/v1/pending").await, 200);
    assert_eq!(listed["items"][0]["pending_id"], waiting["pending_id"]);
    let confirm = format!("/api/v1/pending/{}/confirm", waiting["pending_id"].as_str().unwrap());
    problem(&owner.post(&confirm, &Value::Null).await, 403, "auth.second_person");
    let done = success(&second.post(&confirm, &Value::Null).await, 200);
    assert_eq!((&done["status"], &done["result"]["value"]), (&json!("confirmed"), &json!("500")));
    problem(&second.post(&confirm, &Value::Null).await, 404, "request.not_found");

    let waiting = success(&owner.call(Method::PUT, path, &limit("900")).await, 202);
    let reject = format!("/api/v1/pending/{}/reject", waiting["pending_id"].as_str().unwrap());
    assert_eq!(success(&second.post(&reject, &Value::Null).await, 200)["status"], "rejected");
    let limits = success(&owner.get(path).await, 200).to_string();
    assert!(limits.contains("\"500\"") && !limits.contains("\"900\""), "{limits}");
    gateway.stop().await;
}
