//! Organizations by the command line.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, TestDir};

use crate::someone::{Someone, demo, problem, success};
use crate::stage::{OTHER, in_other, second, text};

async fn names(gateway: &Gateway) -> Vec<String> {
    let list = gateway.program().json(&["organization", "list"]).await;
    list["items"].as_array().unwrap().iter().map(|one| text(one, "name")).collect()
}

/// Made, named, found; and no command guesses which one is meant.
#[tokio::test]
async fn a_second_organization_is_made_and_asked_for() {
    let dir = TestDir::new("organizations-commands");
    let gateway = demo(&dir).await;
    let program = gateway.program().clone();
    assert_eq!(program.json(&["account", "list"]).await["items"].as_array().unwrap().len(), 1);
    let (id, mut bea) = second(&gateway, "bea@example.com").await;
    let me = success(&bea.get("/api/v1/me").await, 200);
    assert_eq!((&me["org_id"], &me["role"]), (&json!(id), &json!("owner")));
    let own = json!([{"id": id, "name": OTHER, "role": "owner"}]);
    assert_eq!(me["organizations"], own);
    let listed = success(&bea.get("/api/v1/organizations").await, 200);
    assert_eq!(listed["items"], own);

    assert_eq!(names(&gateway).await, ["main", OTHER]);
    let again = ["organization", "create", "--name", OTHER, "--owner", "x@example.com"];
    let refused = program.run(&again).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("organization.exists"), "{refused}");

    for command in [["account", "list"], ["user", "list"], ["key", "list"], ["limit", "list"]] {
        let ended = program.run(&command).await;
        assert_eq!(ended.code, Some(2), "{ended}");
        assert!(ended.stderr.contains(&id) && ended.stderr.contains("(main)"), "{ended}");
        for name in [OTHER, &id, "main"] {
            let [noun, verb] = command;
            let ended = program.run(&[noun, verb, "--organization", name]).await;
            assert_eq!(ended.code, Some(0), "{ended}");
        }
    }
    let unknown = program.run(&["account", "list", "--organization", "nowhere"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown}");
    assert!(unknown.stderr.contains(&id), "{unknown}");

    // A key of its own seals what it signs with; it opens again after a restart.
    let hook = ["webhook", "create", "--name", "signed", "--form", "signature"];
    let made = in_other(&gateway, &hook).await;
    assert!(made["signing_secret"].as_str().is_some(), "{made}");
    program.json(&["organization", "rename", OTHER, "Third House"]).await;
    assert_eq!(names(&gateway).await, ["main", "Third House"]);
    let taken = program.run(&["organization", "rename", &id, "main"]).await;
    assert_eq!(taken.code, Some(1), "{taken}");
    gateway.stop().await;
    let hooks = program.json(&["--organization", "Third House", "webhook", "list"]).await;
    assert_eq!(hooks["items"][0]["id"], made["id"], "the gateway does not run: {hooks}");
}

/// Who has an account is an owner at once, with the password and factors she had.
#[tokio::test]
async fn somebody_known_owns_a_second_organization() {
    let dir = TestDir::new("organizations-known");
    let gateway = demo(&dir).await;
    let mut owner = Someone::strong_owner(&gateway).await;
    let new = ["organization", "create", "--name", OTHER, "--owner", &owner.email];
    let made = gateway.program().json(&new).await;
    assert!(made.get("invite_token").is_none(), "{made}");
    let me = success(&owner.get("/api/v1/me").await, 200);
    assert_eq!(made["owner"]["id"], me["id"]);
    let roles: Vec<_> =
        me["organizations"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
    assert_eq!(roles, ["owner", "owner"]);
    assert_eq!(success(&owner.password_login().await, 200)["factor_required"], true);
    // Nobody but the operator makes organizations: there is no route.
    let path = "/api/v1/organizations";
    problem(&owner.post(path, &json!({"name": "x"})).await, 405, "request.method");
    gateway.stop().await;
}

async fn halts(gateway: &Gateway, organization: &str) -> Vec<Value> {
    let list = ["--organization", organization, "halt", "status"];
    gateway.program().json(&list).await["items"].as_array().unwrap().clone()
}

/// The kill switch asks nothing: without a name it halts everything, and only the operator ends that.
#[tokio::test]
async fn a_halt_without_a_name_halts_everybody() {
    let dir = TestDir::new("organizations-halt");
    let gateway = demo(&dir).await;
    let mut ann = Someone::strong_owner(&gateway).await;
    let (id, _) = second(&gateway, "bea@example.com").await;
    let own = in_other(&gateway, &["halt", "engage", "--reason", "ours"]).await;
    assert_eq!(own["scope"], format!("org:{id}"));
    assert_eq!((halts(&gateway, OTHER).await.len(), halts(&gateway, "main").await.len()), (1, 0));
    let resume = |halt: &Value| format!("/api/v1/halts/{}/resume", text(halt, "id"));
    problem(&ann.post(&resume(&own), &Value::Null).await, 404, "request.not_found");

    let all = gateway.program().json(&["halt", "engage", "--reason", "everybody"]).await;
    assert_eq!(all["scope"], "global");
    assert_eq!((halts(&gateway, OTHER).await.len(), halts(&gateway, "main").await.len()), (2, 1));
    problem(&ann.post(&resume(&all), &Value::Null).await, 403, "auth.permission");
    let global = json!({"scope": "global"});
    problem(&ann.post("/api/v1/halts", &global).await, 403, "auth.permission");
    // Each organization finds it in its own log.
    for organization in [OTHER, "main"] {
        let prove = ["--organization", organization, "audit", "prove", &text(&all, "id")];
        gateway.program().json(&prove).await;
    }
    gateway.program().json(&["halt", "resume", &text(&all, "id")]).await;
    gateway.program().json(&["halt", "resume", &text(&own, "id")]).await;
    assert_eq!((halts(&gateway, OTHER).await.len(), halts(&gateway, "main").await.len()), (0, 0));
    gateway.stop().await;
}
