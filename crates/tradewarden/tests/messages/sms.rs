//! Codes by text message: a weak second factor, sent by a provider of the test's.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir, until};
use tradewarden_testkit::provider::{Asked, Provider, Reply};

use crate::office::{entries, issue};
use crate::someone::{Someone, problem, success};

const PHONE: &str = "+1 (415) 555-0123";
const MASKED: &str = "+*******23";

/// A provider, and a demo that sends its text messages there.
async fn demo(dir: &TestDir, more: &str) -> (Provider, Gateway) {
    let [_, certificate, key] = issue(dir, "sms");
    let provider = Provider::open(&certificate, &key).await;
    let file = dir.path().join("sms-token");
    std::fs::write(&file, "token+of/the=account\n").unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, closed).unwrap();
    let config = format!(
        "{more}{QUICK_CALLERS}[sms]\nprovider = \"twilio\"\nbase_url = \"{}\"\n\
         account_sid = \"AC0123\"\nauth_token_file = \"sms-token\"\nfrom = \"+14155550100\"\n\
         ca_file = \"sms-ca.pem\"\n",
        provider.base_url()
    );
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), &config);
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    (provider, gateway)
}

/// Waits for the message of this number, counted from one.
async fn message(provider: &Provider, number: usize) -> Asked {
    until("a text message", async || provider.asked().len() >= number).await;
    let asked = provider.asked();
    assert_eq!(asked.len(), number, "{asked:?}");
    asked.into_iter().next_back().unwrap()
}

/// The code in a message; it is checked that everything else is as Twilio wants it.
fn code(asked: &Asked) -> String {
    assert_eq!(asked.what, "POST /2010-04-01/Accounts/AC0123/Messages.json");
    // `AC0123:token+of/the=account` by another base64.
    assert_eq!(asked.authorization, "Basic QUMwMTIzOnRva2VuK29mL3RoZT1hY2NvdW50");
    assert_eq!(asked.content_type, "application/x-www-form-urlencoded");
    let fields: Vec<_> = asked.body.split('&').collect();
    assert_eq!(fields[..2], ["To=%2B14155550123", "From=%2B14155550100"]);
    let body = fields[2].strip_prefix("Body=").unwrap();
    let (code, rest) = body.split_at(6);
    assert_eq!(rest, "+is+your+Tradewarden+code%2C+for+10+minutes.+Tell+it+to+nobody.");
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    code.to_owned()
}

/// Another code than this one.
fn wrong(code: &str) -> String {
    let last = code.as_bytes()[5];
    format!("{}{}", &code[..5], if last == b'0' { '1' } else { '0' })
}

async fn send(someone: &mut Someone, challenge: &Value) -> tradewarden_testkit::process::Answer {
    let body = json!({"challenge_id": challenge["challenge_id"]});
    someone.client.post("/api/v1/auth/factor/sms", &[], body.to_string()).await.unwrap()
}

/// Enrols a phone; its code is the provider's next message.
async fn enrol(someone: &mut Someone, provider: &Provider) -> Value {
    let before = provider.asked().len();
    let made = someone.post("/api/v1/me/factors/sms", &json!({"phone": PHONE})).await;
    let made = success(&made, 201);
    let code = code(&message(provider, before + 1).await);
    let confirm = format!("/api/v1/me/factors/sms/{}/confirm", made["id"].as_str().unwrap());
    let refused = someone.post(&confirm, &json!({"code": wrong(&code)})).await;
    problem(&refused, 401, "auth.failed");
    let confirmed = success(&someone.post(&confirm, &json!({"code": code})).await, 200);
    assert_eq!((&confirmed["confirmed"], &confirmed["weak"]), (&json!(true), &json!(true)));
    made
}

#[tokio::test]
async fn a_phone_opens_a_login_and_nothing_more() {
    let dir = TestDir::new("messages-sms");
    let (provider, gateway) = demo(&dir, "").await;
    let mut owner = Someone::owner(&gateway).await;
    let path = "/api/v1/me/factors/sms";
    for phone in ["", "0123", "+0", "+1415555o123"] {
        let refused = owner.post(path, &json!({"phone": phone})).await;
        assert_eq!(refused.status, 400, "{phone}");
    }
    let made = enrol(&mut owner, &provider).await;
    assert_eq!((&made["to"], &made["weak"]), (&json!(MASKED), &json!(true)));
    assert!(made["risk"].as_str().unwrap().contains("takes over this number"), "{made}");
    let listed = success(&owner.get("/api/v1/me/factors").await, 200);
    assert_eq!(
        (&listed["items"][0]["weak"], &listed["items"][0]["name"]),
        (&json!(true), &json!(MASKED))
    );

    let challenge = success(&owner.password_login().await, 200);
    let offered = json!([{"type": "sms", "to": MASKED, "weak": true}]);
    assert_eq!(challenge["factors"], offered);
    problem(&owner.show(&challenge, "sms", "000000").await, 401, "auth.failed");
    let sent = success(&send(&mut owner, &challenge).await, 202);
    assert_eq!(sent, json!({"status": "accepted", "to": MASKED, "expires_in": 600}));
    let first = code(&message(&provider, 2).await);
    // Another one takes its place.
    success(&send(&mut owner, &challenge).await, 202);
    let second = code(&message(&provider, 3).await);
    if first != second {
        problem(&owner.show(&challenge, "sms", &first).await, 401, "auth.failed");
    }
    let shown = owner.show(&challenge, "sms", &second).await;
    owner.take(&shown);
    problem(&owner.show(&challenge, "sms", &second).await, 401, "auth.failed");

    // It is a second factor, and no fresh one.
    success(&owner.post("/api/v1/halts", &json!({"reason": "x"})).await, 201);
    let user = json!({"email": "bob@example.com", "role": "admin"});
    problem(&owner.post("/api/v1/users", &user).await, 403, "auth.step_up_required");
    problem(
        &owner.post("/api/v1/me/factors/recovery-codes", &Value::Null).await,
        403,
        "auth.step_up_required",
    );
    let step_up = json!({"type": "sms", "code": second});
    problem(&owner.post("/api/v1/auth/step-up", &step_up).await, 403, "auth.step_up_required");
    // A better one is enrolled like a first one, and counts; the phone adds nothing to it any more.
    owner.enrol().await;
    success(&owner.post("/api/v1/users", &user).await, 201);
    // A challenge that there never was.
    let nothing = json!({"challenge_id": "nothing"});
    problem(&send(&mut owner, &nothing).await, 401, "auth.failed");
    let queued = entries(&mut owner, "message.queued", 3).await;
    let said = serde_json::to_string(&queued).unwrap();
    assert!(!said.contains("4155550123") && !said.contains(&second), "{said}");
    assert!(!provider.asked().is_empty() && !gateway.program().log().contains("4155550123"));
    gateway.stop().await;
}

/// Five codes within an hour; the sixth is not sent, and does not take the fifth away.
#[tokio::test]
async fn codes_cost_money_and_are_few() {
    let dir = TestDir::new("messages-sms-few");
    let (provider, gateway) = demo(&dir, "").await;
    let mut owner = Someone::owner(&gateway).await;
    enrol(&mut owner, &provider).await;
    let challenge = success(&owner.password_login().await, 200);
    for number in 2..=5 {
        success(&send(&mut owner, &challenge).await, 202);
        message(&provider, number).await;
    }
    problem(&send(&mut owner, &challenge).await, 429, "limit.rate");
    let code = code(&message(&provider, 5).await);
    // Four more wrong tries than one may make.
    for _ in 0..2 {
        problem(&owner.show(&challenge, "sms", &wrong(&code)).await, 401, "auth.failed");
    }
    let shown = owner.show(&challenge, "sms", &code).await;
    owner.take(&shown);
    let dropped = entries(&mut owner, "message.dropped", 1).await;
    assert_eq!(provider.asked().len(), 5, "{dropped:?}");
    gateway.stop().await;
}

/// A provider that fails is asked again; what it will never send is given up.
#[tokio::test]
async fn a_provider_that_fails_is_asked_again() {
    let dir = TestDir::new("messages-sms-fails");
    let (provider, gateway) = demo(&dir, "").await;
    let mut owner = Someone::owner(&gateway).await;
    provider.replies([Reply::Close]);
    let made = owner.post("/api/v1/me/factors/sms", &json!({"phone": PHONE})).await;
    let made = success(&made, 201);
    // The answer was lost: nobody knows whether it was sent, and it is sent again.
    until("a second try", async || provider.asked().len() == 2).await;
    let asked = provider.asked();
    assert_eq!(asked[0], asked[1]);
    let confirm = format!("/api/v1/me/factors/sms/{}/confirm", made["id"].as_str().unwrap());
    let body = json!({"code": code(&asked[1])});
    success(&owner.post(&confirm, &body).await, 200);
    let challenge = success(&owner.password_login().await, 200);
    provider.replies([Reply::Status(429, Some(6)), Reply::Status(201, None)]);
    success(&send(&mut owner, &challenge).await, 202);
    let shown = code(&message(&provider, 3).await);
    let shown = owner.show(&challenge, "sms", &shown).await;
    owner.take(&shown);
    until("a fourth try", async || provider.asked().len() == 4).await;
    provider.replies([Reply::Status(400, None)]);
    let challenge = success(&owner.password_login().await, 200);
    success(&send(&mut owner, &challenge).await, 202);
    let given_up = entries(&mut owner, "message.given_up", 1).await;
    let said = given_up[0]["payload"].to_string();
    assert!(said.contains("the provider answered 400"), "{said}");
    gateway.stop().await;
}

/// Without a provider, and under the hardened profile, phones are no factor.
#[tokio::test]
async fn phones_are_off_unless_they_are_set_up() {
    let dir = TestDir::new("messages-sms-off");
    let gateway = crate::someone::demo(&dir).await;
    let mut owner = Someone::owner(&gateway).await;
    let refused = owner.post("/api/v1/me/factors/sms", &json!({"phone": PHONE})).await;
    problem(&refused, 422, "factor.unavailable");
    gateway.stop().await;
    let dir = TestDir::new("messages-sms-hardened");
    let (provider, gateway) = demo(&dir, "profile = \"hardened\"\n").await;
    let mut owner = Someone::owner(&gateway).await;
    let refused = owner.post("/api/v1/me/factors/sms", &json!({"phone": PHONE})).await;
    problem(&refused, 422, "factor.unavailable");
    assert!(provider.asked().is_empty());
    gateway.stop().await;
}
