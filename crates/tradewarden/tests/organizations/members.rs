//! People who belong to several organizations: asked in, going back and forth, taken out.

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::TestDir;

use crate::someone::{PASSWORD, Someone, code_of, problem, success};
use crate::stage::{OTHER, in_other, quick_demo, second, text};

const USERS: &str = "/api/v1/users";
const INVITATIONS: &str = "/api/v1/me/invitations";

/// What an answer is made of, but for what differs between any two people.
fn shape(value: &Value) -> Value {
    let mut shape = value.clone();
    for (name, member) in shape.as_object_mut().unwrap() {
        if ["id", "email", "created_at", "invite_token"].contains(&name.as_str()) {
            assert!(member.as_str().is_some_and(|text| !text.is_empty()), "{name} of {value}");
            *member = json!("different");
        }
    }
    shape
}

/// Who invites sees nothing of what a person is elsewhere, and changes nothing of it.
#[tokio::test]
async fn an_invitation_looks_the_same_for_everybody() {
    let dir = TestDir::new("organizations-invitation");
    let gateway = quick_demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let (_, mut bea) = second(&gateway, "bea@example.com").await;
    bea.enrol().await;
    let bea_id = text(&success(&bea.get("/api/v1/me").await, 200), "id");

    let mut made = Vec::new();
    for email in ["bea@example.com", "nobody@example.com"] {
        let new = json!({"email": email, "role": "trader"});
        made.push(success(&ann.post(USERS, &new).await, 201));
        problem(&ann.post(USERS, &new).await, 409, "user.exists");
    }
    assert_eq!(shape(&made[0]), shape(&made[1]));
    assert_ne!(made[0]["id"], json!(bea_id));
    let password = json!({"email": "bea@example.com", "role": "viewer", "password": PASSWORD});
    problem(&ann.post(USERS, &password).await, 400, "request.malformed");
    for call in ["", "/reset-password", "/reset-factors", "/end-sessions"] {
        let mut answers = Vec::new();
        for one in &made {
            let path = format!("{USERS}/{}{call}", text(one, "id"));
            let answer = if call.is_empty() {
                ann.get(&path).await
            } else {
                ann.post(&path, &Value::Null).await
            };
            let mut body = answer.json();
            for name in ["id", "email", "created_at", "token", "request_id"] {
                body.as_object_mut().unwrap().remove(name);
            }
            answers.push((answer.status, body));
        }
        assert_eq!(answers[0], answers[1], "{call}");
    }
    problem(&ann.get(&format!("{USERS}/{bea_id}")).await, 404, "request.not_found");
    // The token sets no password of somebody who has one, and she goes on as she was.
    let id = text(&made[0], "id");
    let renewed = ann.post(&format!("{USERS}/{id}/reset-password"), &Value::Null).await;
    let token = text(&success(&renewed, 201), "token");
    let reset = json!({"token": token, "password": "a-Heron-wades-through-77-reeds"}).to_string();
    let taken = ann.client.post("/api/v1/auth/password-reset", &[], reset).await.unwrap();
    problem(&taken, 409, "user.exists");
    assert_eq!(success(&bea.password_login().await, 200)["factor_required"], true);
    assert_eq!(
        success(&bea.get("/api/v1/me").await, 200)["organizations"].as_array().unwrap().len(),
        1
    );

    // Hers is hers alone to answer.
    let accept = format!("{INVITATIONS}/{id}/accept");
    problem(&ann.post(&accept, &Value::Null).await, 404, "request.not_found");
    let waiting = success(&bea.get(INVITATIONS).await, 200);
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1, "{waiting}");
    assert_eq!(
        (&waiting["items"][0]["id"], &waiting["items"][0]["organization"]),
        (&json!(id), &json!("main"))
    );
    let joined = success(&bea.post(&accept, &Value::Null).await, 200);
    assert_eq!((&joined["name"], &joined["role"]), (&json!("main"), &json!("trader")));
    problem(&bea.post(&accept, &Value::Null).await, 404, "request.not_found");
    assert_eq!(success(&ann.get(&format!("{USERS}/{bea_id}")).await, 200)["state"], "active");
    problem(&ann.get(&format!("{USERS}/{id}")).await, 404, "request.not_found");

    let new = json!({"email": "bea@example.com", "role": "viewer"});
    problem(&ann.post(USERS, &new).await, 409, "user.exists");
    gateway.stop().await;
}

/// A session is in one organization; another one is a new session, as old as the first.
#[tokio::test]
async fn a_person_goes_from_one_organization_to_another() {
    let dir = TestDir::new("organizations-switch");
    let gateway = quick_demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let new = ["organization", "create", "--name", OTHER, "--owner", &ann.email];
    let other = text(&gateway.program().json(&new).await, "id");
    let me = success(&ann.get("/api/v1/me").await, 200);
    let main = text(&me, "org_id");
    assert_ne!(main, other);
    let switch = "/api/v1/auth/switch";
    for nowhere in ["org_01m80000000000000000000000", "nonsense"] {
        let answer = ann.post(switch, &json!({"org_id": nowhere})).await;
        problem(&answer, 404, "request.not_found");
    }
    let (old, refresh) = (ann.bearer.clone(), ann.refresh.clone());
    let tokens = ann.post(switch, &json!({"org_id": other})).await;
    ann.take(&tokens);
    let there = success(&ann.get("/api/v1/me").await, 200);
    assert_eq!((&there["org_id"], &there["factor_at"]), (&json!(other), &me["factor_at"]));
    assert_eq!(success(&ann.get("/api/v1/accounts").await, 200)["items"], json!([]));
    let before = std::mem::replace(&mut ann.bearer, old);
    problem(&ann.get("/api/v1/me").await, 401, "auth.failed");
    ann.bearer = before;
    let body = json!({"refresh_token": refresh}).to_string();
    let spent = ann.client.post("/api/v1/auth/refresh", &[], body).await.unwrap();
    problem(&spent, 401, "auth.failed");
    // The next login goes where the last session was.
    let asked = success(&ann.password_login().await, 200);
    let code = code_of(&ann.secret.clone().unwrap(), 0).await;
    let shown = ann.show(&asked, "totp", &code).await;
    ann.take(&shown);
    assert_eq!(text(&success(&ann.get("/api/v1/me").await, 200), "org_id"), other);
    gateway.stop().await;
}

/// What one organization does to a person stays in it; what is hers everywhere is hers alone.
#[tokio::test]
async fn an_organization_reaches_its_own_only() {
    let dir = TestDir::new("organizations-reach");
    let gateway = quick_demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let (other, mut bea) = second(&gateway, "bea@example.com").await;
    let in_main = [
        "--organization",
        "main",
        "user",
        "create",
        "--email",
        "bea@example.com",
        "--role",
        "trader",
    ];
    let added = gateway.program().json(&in_main).await;
    assert!(added.get("invite_token").is_none(), "the operator adds who is known: {added}");
    let mut here = Someone::new(&gateway, "bea@example.com", PASSWORD);
    let main = text(&success(&ann.get("/api/v1/me").await, 200), "org_id");
    let log_in = json!({"email": here.email, "password": PASSWORD, "org_id": main}).to_string();
    let begin = async |here: &mut Someone| {
        let path = "/api/v1/auth/login";
        here.client.post(path, &[], log_in.clone()).await.unwrap()
    };
    let tokens = begin(&mut here).await;
    here.take(&tokens);
    assert_eq!(text(&success(&here.get("/api/v1/me").await, 200), "org_id"), main);
    assert_eq!(text(&success(&bea.get("/api/v1/me").await, 200), "org_id"), other);
    // She sees all her sessions; an administrator those of the organization.
    assert_eq!(
        success(&bea.get("/api/v1/me/sessions").await, 200)["items"].as_array().unwrap().len(),
        2
    );
    let seen = success(&ann.get("/api/v1/sessions").await, 200);
    assert!(
        seen["items"].as_array().unwrap().iter().all(|one| one["org_id"] == json!(main)),
        "{seen}"
    );

    let path = format!("{USERS}/{}", text(&added, "id"));
    for call in ["reset-password", "reset-factors"] {
        let refused = ann.post(&format!("{path}/{call}"), &Value::Null).await;
        problem(&refused, 422, "user.elsewhere");
    }
    success(&ann.post(&format!("{path}/end-sessions"), &Value::Null).await, 200);
    problem(&here.get("/api/v1/me").await, 401, "auth.failed");
    assert_eq!(bea.get("/api/v1/me").await.status, 200);
    let tokens = begin(&mut here).await;
    here.take(&tokens);
    success(&ann.call(Method::PATCH, &path, &json!({"state": "disabled"})).await, 200);
    problem(&here.get("/api/v1/me").await, 401, "auth.failed");
    problem(&begin(&mut here).await, 401, "auth.failed");
    assert_eq!(bea.get("/api/v1/me").await.status, 200);
    success(&ann.call(Method::PATCH, &path, &json!({"state": "active"})).await, 200);
    let tokens = begin(&mut here).await;
    here.take(&tokens);
    success(&ann.call(Method::DELETE, &path, &Value::Null).await, 200);
    problem(&here.get("/api/v1/me").await, 401, "auth.failed");
    let me = success(&bea.get("/api/v1/me").await, 200);
    assert_eq!(me["organizations"].as_array().unwrap().len(), 1);
    // Who joins a second organization is out of reach of a token that the first had handed out.
    let reset = in_other(&gateway, &["user", "reset-password", "bea@example.com"]).await;
    gateway.program().json(&in_main).await;
    let body = json!({"token": reset["token"], "password": "a-Heron-wades-through-77-reeds"});
    let path = "/api/v1/auth/password-reset";
    let taken = bea.client.post(path, &[], body.to_string()).await.unwrap();
    problem(&taken, 401, "auth.failed");
    gateway.stop().await;
}

/// Somebody new who was asked in by two: the first token makes the account, the second does not.
#[tokio::test]
async fn two_invitations_make_one_account() {
    let dir = TestDir::new("organizations-two");
    let gateway = quick_demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let (_, mut bea) = second(&gateway, "bea@example.com").await;
    bea.enrol().await;
    let new = json!({"email": "Eve@example.com", "role": "viewer"});
    let second = success(&bea.post(USERS, &new).await, 201);
    let mut eve = ann.invites(&gateway, "eve@example.com", "viewer").await;
    let body =
        json!({"token": second["invite_token"], "password": "a-Heron-wades-through-77-reeds"});
    let path = "/api/v1/auth/password-reset";
    let taken = eve.client.post(path, &[], body.to_string()).await.unwrap();
    problem(&taken, 409, "user.exists");
    let decline = format!("{INVITATIONS}/{}", text(&second, "id"));
    success(&eve.call(Method::DELETE, &decline, &Value::Null).await, 200);
    assert_eq!(success(&eve.get(INVITATIONS).await, 200)["items"], json!([]));
    let people = success(&bea.get(USERS).await, 200);
    assert_eq!(people["items"].as_array().unwrap().len(), 1, "{people}");
    gateway.stop().await;
}
