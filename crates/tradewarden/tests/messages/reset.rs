//! A password that is set anew by the link in a mail.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Client, TestDir};

use crate::office::{Office, entries};
use crate::someone::{Someone, code_of, demo, problem, success};

const PATH: &str = "/api/v1/auth/password-reset";
const NEW: &str = "a-Heron-wades-through-77-reeds";

async fn ask(client: &mut Client, email: &str) -> Value {
    answer(&client.post(PATH, &[], json!({ "email": email }).to_string()).await.unwrap())
}

/// Status, headers and body, without what is another for each request.
fn answer(answer: &Answer) -> Value {
    let changing = ["date", "x-request-id"];
    let headers = answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str()));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap())).collect();
    json!({ "status": answer.status, "headers": headers, "body": answer.json() })
}

async fn set(client: &mut Client, token: &str, password: &str) -> Answer {
    let body = json!({ "token": token, "password": password });
    client.post(PATH, &[], body.to_string()).await.unwrap()
}

#[tokio::test]
async fn a_link_sets_a_password_once() {
    let dir = TestDir::new("messages-reset");
    let mut office = Office::open(&dir).await;
    let gateway = office.demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    office.mail("New log-in to your account").await;
    owner.enrol().await;
    office.mail("A second factor was added").await;
    let mut somebody = gateway.client();
    let known = ask(&mut somebody, "OWNER@localhost").await;
    assert_eq!((&known["status"], &known["body"]), (&json!(202), &json!({"status": "accepted"})));
    let long = format!("{}@localhost", "x".repeat(5_000));
    for email in ["nobody@localhost", "no e-mail", "", "\u{43e}wner@localhost", &long] {
        assert_eq!(ask(&mut somebody, email).await, known, "{email}");
    }
    let mail = office.mail("Set a new password").await;
    assert_eq!(mail["envelope_to"], json!(["owner@localhost"]));
    let text = mail["text"].as_str().unwrap();
    let console = gateway.ready()["console_url"].as_str().unwrap();
    let link = format!("{console}/reset-password#token=");
    let (_, rest) = text.split_once(&link).unwrap_or_else(|| panic!("{link} in {text}"));
    let token = rest.lines().next().unwrap().to_owned();
    assert!(text.contains("your password stays as it is"), "{text}");
    // It stays, and whoever asks again in a moment causes no second mail.
    assert_eq!(ask(&mut somebody, "owner@localhost").await, known);
    assert_eq!(owner.get("/api/v1/me").await.status, 200);
    let begun = owner.password_login().await;
    assert_eq!(success(&begun, 200)["factor_required"], true);

    let last = if token.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("{}{last}", &token[..token.len() - 1]);
    problem(&set(&mut somebody, &wrong, NEW).await, 401, "auth.failed");
    problem(&set(&mut somebody, &token, "short").await, 422, "password.unacceptable");
    success(&set(&mut somebody, &token, NEW).await, 200);
    problem(&set(&mut somebody, &token, NEW).await, 401, "auth.failed");
    office.mail("Your password was set anew").await;
    problem(&owner.get("/api/v1/me").await, 401, "auth.failed");
    problem(&owner.password_login().await, 401, "auth.failed");
    owner.password = NEW.to_owned();
    let challenge = success(&owner.password_login().await, 200);
    assert_eq!(challenge["factor_required"], true, "{challenge}");
    let code = code_of(&owner.secret.clone().unwrap(), 0).await;
    let shown = owner.show(&challenge, "totp", &code).await;
    owner.take(&shown);
    let asked = entries(&mut owner, "password.reset_requested", 1).await;
    assert!(!asked[0]["payload"].to_string().contains('@'), "{asked:?}");
    // Erased with the sending: the database holds no content of a mail that was sent.
    gateway.stop().await;
    let database = std::fs::read(dir.data().join("tradewarden.db")).unwrap();
    assert!(!database.windows(token.len()).any(|part| part == token.as_bytes()));
}

/// Whether mail can be sent or not makes no difference to who asks.
#[tokio::test]
async fn without_a_mail_server_the_answer_is_the_same() {
    let dir = TestDir::new("messages-reset-none");
    let gateway = demo(&dir).await;
    let mut somebody = gateway.client();
    let known = ask(&mut somebody, "owner@localhost").await;
    assert_eq!((&known["status"], &known["body"]), (&json!(202), &json!({"status": "accepted"})));
    assert_eq!(ask(&mut somebody, "nobody@localhost").await, known);
    gateway.stop().await;
}
