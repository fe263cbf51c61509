//! Notices by mail: sent over TLS with a password, kept while the server is away, never lost.

use std::time::Duration;

use serde_json::{Value, json};
use tradewarden_testkit::process::{Program, QUICK_CALLERS, TestDir, until};

use crate::earlier::{earlier, now};
use crate::office::{Office, entries, issue};
use crate::someone::{PASSWORD, Someone, success};

const NEW_LOGIN: &str = "New log-in to your account";
const FACTOR_ADDED: &str = "A second factor was added";
const PASSWORD_CHANGED: &str = "Your password was changed";

/// The message that a mail is, by its `Message-ID`.
fn name(mail: &Value) -> String {
    let id = mail["headers"]["message-id"].as_str().unwrap();
    let name = id.strip_prefix('<').and_then(|id| id.strip_suffix("@example.com>"));
    name.unwrap_or_else(|| panic!("{id}")).to_owned()
}

async fn change_password(someone: &mut Someone, new: &str) {
    let body = json!({"current": someone.password, "new": new});
    success(&someone.post("/api/v1/me/password", &body).await, 200);
    someone.password = new.to_owned();
}

#[tokio::test]
async fn people_are_told_what_happens_to_their_accounts() {
    let dir = TestDir::new("messages-notices");
    let mut office = Office::open(&dir).await;
    let gateway = office.demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let mail = office.mail(NEW_LOGIN).await;
    assert_eq!(mail["envelope_from"], "gateway@example.com");
    assert_eq!(mail["envelope_to"], json!(["owner@localhost"]));
    assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("gateway")));
    let headers = &mail["headers"];
    assert_eq!(headers["from"], "Tradewarden <gateway@example.com>");
    assert_eq!(headers["to"], "owner@localhost");
    assert_eq!(headers["auto-submitted"], "auto-generated");
    assert!(name(&mail).starts_with("msg_"), "{headers}");
    let text = mail["text"].as_str().unwrap();
    for part in ["Address: 127.0.0.1\n", " UTC\n", "If not, set a new password"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    // The same program from the same address is known from now on.
    owner.log_in().await;
    owner.enrol().await;
    let added = office.mail(FACTOR_ADDED).await;
    let text = added["text"].as_str().unwrap();
    assert!(text.starts_with("An authenticator app was added"), "{text}");
    change_password(&mut owner, PASSWORD).await;
    office.mail(PASSWORD_CHANGED).await;
    let codes = owner.post("/api/v1/me/factors/recovery-codes", &Value::Null).await;
    success(&codes, 201);
    office.mail("New recovery codes were made").await;
    let sent = entries(&mut owner, "message.sent", 4).await;
    let queued = entries(&mut owner, "message.queued", 4).await;
    for (entry, of) in sent.iter().zip(&queued) {
        let said = entry["payload"].to_string();
        assert!(said.contains("usr_") && !said.contains('@'), "{entry}");
        assert_eq!(entry["leaf"]["object"], of["leaf"]["object"], "{sent:?} {queued:?}");
    }
    gateway.stop().await;
}

/// What happens while the mail server is away happens, and is told once it is back. A mail whose
/// answer was lost comes twice, under one name.
#[tokio::test]
async fn a_mail_waits_for_its_server() {
    let dir = TestDir::new("messages-away");
    let mut office = Office::open(&dir).await;
    let gateway = office.demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    office.mail(NEW_LOGIN).await;
    office.tell("refuse 451").await;
    change_password(&mut owner, PASSWORD).await;
    assert_eq!(office.next("refused").await["code"], "451");
    office.tell("take").await;
    office.mail(PASSWORD_CHANGED).await;

    office.tell("lose").await;
    change_password(&mut owner, "another-Zebra-eats-41-batteries").await;
    let first = office.mail(PASSWORD_CHANGED).await;
    let second = office.mail(PASSWORD_CHANGED).await;
    assert_eq!(name(&first), name(&second));
    assert_eq!(first["text"], second["text"]);

    // What the server will never take is given up at once, and somebody is told; the server's words,
    // which hold the address, are not repeated.
    office.tell("refuse 554").await;
    change_password(&mut owner, PASSWORD).await;
    office.next("refused").await;
    office.tell("take").await;
    owner.enrol().await;
    office.mail(FACTOR_ADDED).await;
    let given_up = entries(&mut owner, "message.given_up", 1).await;
    let said = given_up[0]["payload"].to_string();
    assert!(said.contains("the mail server answered 554") && !said.contains('@'), "{said}");
    let findings = success(&owner.get("/api/v1/findings").await, 200);
    let found = findings["items"].as_array().unwrap().iter();
    assert_eq!(found.filter(|finding| finding["code"] == "message.given_up").count(), 1);
    gateway.stop().await;
}

/// A server whose certificate another authority issued gets neither password nor mail; the change
/// that would have been told has happened, and a start with the right authority tells it.
#[tokio::test]
async fn a_stranger_gets_no_mail() {
    let dir = TestDir::new("messages-stranger");
    let mut office = Office::open(&dir).await;
    issue(&dir, "other");
    let config = office.config(&dir, "other-ca.pem");
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), &config);
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    let owner = Someone::owner(&gateway).await;
    let refused = "TLS did not come about";
    until(refused, async || program.log().contains(refused)).await;
    drop(owner);
    gateway.kill9().await;
    let gateway = office.demo(&dir).await;
    office.mail(NEW_LOGIN).await;
    gateway.stop().await;
}

/// S24: a halt is told by mail, and again after five minutes until somebody acknowledges it.
#[tokio::test]
async fn s24_an_alert_is_mailed_until_it_is_acknowledged() {
    const RAISED: &str = "Tradewarden critical: halt.engaged";
    const FIVE_MINUTES: Duration = Duration::from_secs(310);
    let dir = TestDir::new("messages-alert");
    let mut office = Office::open(&dir).await;
    let config = office.config(&dir, "mail-ca.pem");
    let gateway = earlier(&dir, &config, FIVE_MINUTES * 2).await;
    let program = gateway.program();
    let halt = program.json(&["halt", "engage", "--reason", "a drill"]).await;
    let halt = halt["id"].as_str().unwrap();
    let mail = office.next("mail").await;
    assert_eq!(mail["headers"]["subject"], RAISED, "{mail}");
    assert_eq!(mail["envelope_to"], json!(["owner@localhost"]));
    let listed = program.json(&["alert", "list"]).await;
    let alert = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let text = mail["text"].as_str().unwrap();
    for part in [halt, "a drill", "again every 5 minutes", &format!("acknowledge {alert}\n")] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    gateway.stop().await;

    let gateway = earlier(&dir, &config, FIVE_MINUTES).await;
    let mail = office.mail("1 alerts are not acknowledged").await;
    let text = mail["text"].as_str().unwrap();
    for part in [halt, "a drill", &format!("({alert})")] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let seen = gateway.program().json(&["alert", "acknowledge", &alert]).await;
    assert_eq!((&seen["acknowledged_by"], &seen["told"]), (&json!("operator"), &json!(2)));
    gateway.stop().await;

    // Once more as long after it: the next mail is about something else.
    let gateway = now(&dir, &config).await;
    let program = gateway.program();
    let other = program.json(&["halt", "engage", "--mode", "reduce_only"]).await;
    let mail = office.next("mail").await;
    assert_eq!(mail["headers"]["subject"], RAISED, "{mail}");
    assert!(mail["text"].as_str().unwrap().contains(other["id"].as_str().unwrap()), "{mail}");
    let listed = program.json(&["alert", "list"]).await;
    let told: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| &one["told"]).collect();
    assert_eq!(told, [1, 2]);
    gateway.stop().await;
}

/// Without a mail server nothing is kept for one.
#[tokio::test]
async fn without_a_server_nothing_is_queued() {
    let dir = TestDir::new("messages-none");
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), QUICK_CALLERS);
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    let mut owner = Someone::strong_owner(&gateway).await;
    change_password(&mut owner, PASSWORD).await;
    entries(&mut owner, "password.changed", 1).await;
    entries(&mut owner, "message.queued", 0).await;
    gateway.stop().await;
}
