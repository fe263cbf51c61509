//! The first owner, and people by the command line.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, Program, TestDir};

use crate::someone::{PASSWORD, Someone, code_of, problem, success};

/// The first login of an owner who was made by `init` needs the printed secret: at no time is the
/// password alone enough.
#[tokio::test]
async fn init_makes_an_owner_with_a_factor() {
    let dir = TestDir::new("people-init");
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), "");
    let file = dir.path().join("password");
    std::fs::write(&file, "short\n").unwrap();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&file, mode(0o640)).unwrap();
    let file_text = file.to_str().unwrap().to_owned();
    let init = ["init", "--email", "ann@example.com", "--password-file", &file_text];
    let read_by_others = program.run(&init).await;
    assert_eq!(read_by_others.code, Some(1), "{read_by_others}");
    assert!(read_by_others.stderr.contains("mode 0640"), "{read_by_others}");
    assert!(!dir.data().exists(), "nothing is left behind");
    std::fs::set_permissions(&file, mode(0o600)).unwrap();
    let refused = program.run(&init).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("password.unacceptable"), "{refused}");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let made = program.json(&init).await;
    assert!(made["org_id"].as_str().unwrap().starts_with("org_"), "{made}");
    assert!(made["user_id"].as_str().unwrap().starts_with("usr_"), "{made}");
    let secret = made["totp"]["secret"].as_str().unwrap();
    assert!(made["totp"]["uri"].as_str().unwrap().contains(secret), "{made}");

    let gateway = program.start().await;
    assert!(!program.log().contains("setup?token="), "there is an owner");
    let mut ann = Someone::new(&gateway, "ann@example.com", PASSWORD);
    let offered = success(&ann.password_login().await, 200);
    assert_eq!(offered["factor_required"], true, "{offered}");
    let shown = ann.show(&offered, "totp", &code_of(secret, 0).await).await;
    ann.take(&shown);
    assert_eq!(ann.get("/api/v1/users").await.status, 200);
    gateway.stop().await;
}

/// Composition rules are a house's own wish, and the hardened profile wants longer passwords.
#[tokio::test]
async fn the_configuration_makes_passwords_stricter() {
    let dir = TestDir::new("people-stricter");
    let config = "profile = \"hardened\"\nrequire_classes = true\n";
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), config);
    let file = dir.path().join("password");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file_text = file.to_str().unwrap().to_owned();
    let init = ["init", "--email", "ann@example.com", "--password-file", &file_text];
    for (password, code) in [
        // Fourteen characters, then no digit and no capital, then everything.
        ("Zebra-eats-41x", 1),
        ("zebra-eats-many-batteries", 1),
        ("Zebra-eats-41-batteries", 0),
    ] {
        std::fs::write(&file, password).unwrap();
        let ended = program.run(&init).await;
        assert_eq!(ended.code, Some(code), "{password}: {ended}");
    }
}

/// A gateway without an owner says once how to make one; the link works once.
#[tokio::test]
async fn the_set_up_link_makes_one_owner() {
    let dir = TestDir::new("people-setup");
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), "").await;
    let log = gateway.program().log();
    let (_, rest) = log.split_once("/setup?token=").expect("the link is printed");
    let token = rest.split_whitespace().next().unwrap().to_owned();
    let mut client = gateway.client();
    let mut set_up = async |token: &str, password: &str| {
        let body = json!({"token": token, "email": "ann@example.com", "password": password});
        client.post("/api/v1/auth/setup", &[], body.to_string()).await.unwrap()
    };
    let wrong = format!("{token}x");
    problem(&set_up(&wrong, PASSWORD).await, 401, "auth.failed");
    problem(&set_up(&token, "too-short").await, 422, "password.unacceptable");
    assert_eq!(success(&set_up(&token, PASSWORD).await, 201)["role"], "owner");
    problem(&set_up(&token, PASSWORD).await, 401, "auth.failed");
    let mut ann = Someone::new(&gateway, "ann@example.com", PASSWORD);
    ann.log_in().await;
    gateway.stop().await;
}

#[tokio::test]
async fn people_by_the_command_line() {
    let dir = TestDir::new("people-commands");
    let gateway = crate::someone::demo(&dir).await;
    let program = gateway.program();
    let new = ["user", "create", "--email", "bob@example.com", "--role", "trader"];
    let made = program.json(&new).await;
    let token = made["invite_token"].as_str().unwrap().to_owned();
    assert_eq!(program.run(&new).await.code, Some(1));
    let mut bob = Someone::new(&gateway, "bob@example.com", PASSWORD);
    problem(&bob.password_login().await, 401, "auth.failed");
    let set = async |bob: &mut Someone, token: &str| {
        let body = json!({"token": token, "password": bob.password}).to_string();
        bob.client.post("/api/v1/auth/password-reset", &[], body).await.unwrap()
    };
    success(&set(&mut bob, &token).await, 200);
    problem(&set(&mut bob, &token).await, 401, "auth.failed");
    bob.log_in().await;

    program.json(&["user", "set-role", "bob@example.com", "auditor"]).await;
    assert_eq!(success(&bob.get("/api/v1/me").await, 200)["role"], "auditor");
    program.json(&["user", "end-sessions", "bob@example.com"]).await;
    problem(&bob.get("/api/v1/me").await, 401, "auth.failed");
    program.json(&["user", "disable", "bob@example.com"]).await;
    problem(&bob.password_login().await, 401, "auth.failed");
    program.json(&["user", "enable", "bob@example.com"]).await;
    bob.log_in().await;
    let reset = program.json(&["user", "reset-password", "bob@example.com"]).await;
    let token = reset["token"].as_str().unwrap().to_owned();
    bob.password = "a-Heron-wades-through-77-reeds".to_owned();
    success(&set(&mut bob, &token).await, 200);
    problem(&bob.get("/api/v1/me").await, 401, "auth.failed");
    bob.log_in().await;

    let last = program.run(&["user", "disable", "owner@localhost"]).await;
    assert_eq!(last.code, Some(1), "{last}");
    assert!(last.stderr.contains("role.last_owner"), "{last}");
    assert_eq!(program.run(&["user", "show", "nobody@example.com"]).await.code, Some(3));
    let list = program.json(&["user", "list"]).await;
    let emails: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|user| user["email"].clone()).collect();
    assert_eq!(emails, ["owner@localhost", "bob@example.com"].map(Value::from));
    // The audit log names people by their identifiers alone.
    let entries = std::fs::read(dir.data().join("tradewarden.db")).unwrap();
    assert!(!entries.windows(13).any(|bytes| bytes == b"email\":\"bob@e"));
    gateway.stop().await;
}
