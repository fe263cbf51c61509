//! `doctor` and the posture: an installation that is as it should be, and what is seen when it is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tradewarden_testkit::postgres::TestDatabase;
use tradewarden_testkit::process::{Program, TestDir, log_in};

use crate::older::Held;
use crate::stage::{BINARY, demo};

/// What it says, and with which code it ends.
async fn doctor(program: &Program) -> (i32, Value) {
    let ended = program.run(&["doctor", "--json"]).await;
    let said: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended}"));
    let items = said["items"].as_array().unwrap();
    for item in items {
        assert_eq!(item["fix"].is_null(), item["light"] == "green", "{item}");
    }
    let red = items.iter().filter(|item| item["light"] == "red").count();
    assert_eq!((&said["red"], &said["ok"]), (&red.into(), &(red == 0).into()), "{said}");
    (ended.code.unwrap(), said)
}

fn item<'a>(said: &'a Value, name: &str) -> &'a Value {
    let items = said["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {said}"))
}

fn light<'a>(said: &'a Value, name: &str) -> &'a str {
    item(said, name)["light"].as_str().unwrap()
}

/// C5: the posture shows with whom TLS 1.2 is spoken, and what else a running node knows.
#[tokio::test]
async fn c5_the_posture_shows_with_whom_tls_1_2_is_spoken() {
    let dir = TestDir::new("posture");
    let config = "[smtp]\nhost = \"mail.example\"\nfrom = \"tradewarden@example.com\"\n\n\
                  [outbound]\ntls_1_2_hosts = [\"mail.example\"]\n";
    let gateway = demo(&dir, config).await;
    let mut client = gateway.client();
    let bearer = log_in(&mut client, &gateway.ready()["owner"]).await;
    let shown = [("authorization", bearer.as_str())];
    let before = client.get("/api/v1/posture", &shown).await.unwrap();
    assert_eq!(before.status, 200, "{}", before.json());
    let before = before.json();
    assert_eq!(before["light"], "amber", "{before}");
    let older = item(&before, "tls_outbound");
    assert_eq!(older["light"], "amber", "{older}");
    assert!(older["seen"].as_str().unwrap().contains("mail.example"), "{older}");
    for name in ["halts", "guarded_rows", "key_source", "database", "audit_log", "key_file"] {
        assert_eq!(light(&before, name), "green", "{before}");
    }
    gateway.program().json(&["halt", "engage", "--mode", "block"]).await;
    let after = client.get("/api/v1/posture", &shown).await.unwrap().json();
    assert!(item(&after, "halts")["seen"].as_str().unwrap().ends_with("(block)"), "{after}");
    let nobody = client.get("/api/v1/posture", &[]).await.unwrap();
    assert_eq!(nobody.status, 401);
    gateway.stop().await;
}

const GREEN: [&str; 14] = [
    "configuration",
    "data_directory",
    "key_file",
    "key_source",
    "vault",
    "audit_log",
    "guarded_rows",
    "halts",
    "schema",
    "durability",
    "brokers",
    "certificate_key",
    "clock_of_log",
    "tradingview",
];

async fn what_is_right_is_green_and_what_was_changed_is_red(dir: TestDir, held: Held) {
    let gateway = demo(&dir, &held.config()).await;
    let program = gateway.program().clone();
    let (code, said) = doctor(&program).await;
    assert_eq!(code, 0, "beside the gateway: {said}");
    for name in GREEN {
        assert_eq!(light(&said, name), "green", "{said}");
    }
    assert_eq!(light(&said, "certificate_trust"), "amber", "the local CA: {said}");
    let hook = ["webhook", "create", "--name", "tv", "--preset", "tradingview"];
    program.json(&hook).await;
    gateway.stop().await;
    let (code, said) = doctor(&program).await;
    assert_eq!(code, 0, "without one: {said}");
    let seen = item(&said, "tradingview");
    for told in ["port", "this machine alone", "does not trust"] {
        assert!(
            seen["light"] == "amber" && seen["seen"].as_str().unwrap().contains(told),
            "{seen}"
        );
    }

    held.change("DELETE FROM limits WHERE name = 'max_position'").await;
    let (code, said) = doctor(&program).await;
    assert_eq!((code, light(&said, "guarded_rows")), (1, "red"), "{said}");
    assert_eq!(light(&said, "audit_log"), "green", "{said}");
    held.change("UPDATE audit_entries SET payload = '{}'").await;
    let (code, said) = doctor(&program).await;
    assert_eq!((code, light(&said, "audit_log")), (1, "red"), "{said}");
    assert!(item(&said, "audit_log")["seen"].as_str().unwrap().contains("payload"), "{said}");
    held.end().await;
}

#[tokio::test]
async fn what_is_right_is_green_and_what_was_changed_is_red_on_sqlite() {
    let dir = TestDir::new("doctor");
    let held = Held::sqlite(&dir);
    what_is_right_is_green_and_what_was_changed_is_red(dir, held).await;
}

#[tokio::test]
async fn what_is_right_is_green_and_what_was_changed_is_red_on_postgresql() {
    let dir = TestDir::new("doctor-pg");
    let held = Held::Postgres(TestDatabase::create().await);
    what_is_right_is_green_and_what_was_changed_is_red(dir, held).await;
}

/// Before anything is there, nothing is wrong and nothing is made; a configuration that cannot be read
/// is red.
#[tokio::test]
async fn it_makes_nothing() {
    let dir = TestDir::new("doctor-nothing");
    let program = Program::new(BINARY, dir.data(), "");
    let (code, said) = doctor(&program).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(light(&said, "data_directory"), "amber", "{said}");
    assert!(!dir.data().exists());
    let text = program.run(&["doctor"]).await;
    assert!(
        text.stdout.contains("AMBER  data_directory") && text.stdout.contains("0 red"),
        "{text}"
    );
    let broken = TestDir::new("doctor-broken");
    let program = Program::new(BINARY, broken.data(), "listen = 5");
    let (code, said) = doctor(&program).await;
    assert_eq!((code, light(&said, "configuration")), (1, "red"), "{said}");
}

/// B40: what others can read is red, and the gateway does not start on it.
#[tokio::test]
async fn b40_the_gateway_does_not_start_on_what_is_red() {
    let dir = TestDir::new("doctor-red");
    let program = Program::new(BINARY, dir.data(), "");
    program.json(&["init"]).await;
    for (file, name) in [("tradewarden.db", "database_file"), ("kek", "key_file")] {
        let path = dir.data().join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let (code, said) = doctor(&program).await;
        assert_eq!((code, light(&said, name)), (1, "red"), "{said}");
        let refused = program.run(&["serve"]).await;
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains("chmod"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(doctor(&program).await.0, 0);
    let kept = dir.path().join("copy.db");
    program.json(&["db", "backup", "--out", kept.to_str().unwrap()]).await;
    assert_eq!(light(&doctor(&program).await.1, "backup"), "green");
}
