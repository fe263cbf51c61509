//! Passkeys through a browser, with the options that the gateway gives to its pages. There is no
//! page of the console yet; any page of its origin is the same to a browser.

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Gateway, TestDir};

use crate::chromium::{Authenticator, Chromium};
use crate::someone::{Someone, demo, problem, success};

const LOG_IN: &str = "/api/v1/auth/passkey";
const FACTOR: &str = "/api/v1/auth/factor";
const ENROL: &str = "/api/v1/me/factors/webauthn";

/// An owner at a browser that shows a page of the gateway.
struct Desk {
    dir: TestDir,
    gateway: Gateway,
    browser: Chromium,
    authenticator: Authenticator,
    owner: Someone,
}

/// The same page at the place where people are.
fn page(gateway: &Gateway) -> String {
    format!("{}/livez", gateway.ready()["console_url"].as_str().unwrap())
}

impl Desk {
    async fn new(name: &str) -> Self {
        let dir = TestDir::new(name);
        let gateway = demo(&dir).await;
        let browser = Chromium::start(&dir, &[&gateway]).await;
        Self::at(dir, gateway, browser).await
    }

    async fn at(dir: TestDir, gateway: Gateway, mut browser: Chromium) -> Self {
        browser.visit(&page(&gateway)).await;
        let authenticator = browser.plug_in(true).await;
        let owner = Someone::owner(&gateway).await;
        Self { dir, gateway, browser, authenticator, owner }
    }

    /// What the gateway gives a page of somebody who is known.
    async fn ask(&mut self, path: &str) -> Value {
        success(&self.owner.post(path, &Value::Null).await, 200)
    }

    /// What it gives anybody.
    async fn ask_as_nobody(&mut self) -> Value {
        let path = format!("{LOG_IN}/options");
        success(&self.owner.client.post(&path, &[], "").await.unwrap(), 200)
    }

    async fn send_as_nobody(&mut self, path: &str, body: &Value) -> Answer {
        self.owner.client.post(path, &[], body.to_string()).await.unwrap()
    }

    /// Makes a passkey with options that may have been changed on the way, and brings it.
    async fn enrols(&mut self, change: impl Fn(&mut Value)) -> (Value, Answer) {
        let mut asked = self.ask(&format!("{ENROL}/options")).await;
        change(&mut asked["options"]);
        let credential = self.browser.create(&asked["options"]).await.unwrap();
        let body = json!({
            "challenge_id": asked["challenge_id"], "credential": credential, "name": "browser",
        });
        let answer = self.owner.post(ENROL, &body).await;
        (body, answer)
    }

    /// Shows the passkey and nothing else.
    async fn logs_in(&mut self, change: impl Fn(&mut Value)) -> (Value, Answer) {
        let mut asked = self.ask_as_nobody().await;
        change(&mut asked["options"]);
        let credential = self.browser.get(&asked["options"]).await.unwrap();
        let body = json!({"challenge_id": asked["challenge_id"], "credential": credential});
        let answer = self.send_as_nobody(LOG_IN, &body).await;
        (body, answer)
    }

    /// What shows the passkey after the password.
    async fn second_factor(&mut self, change: impl Fn(&mut Value)) -> Value {
        let mut offered = success(&self.owner.password_login().await, 200);
        assert!(offered["factor_required"] == true && offered.get("access_token").is_none());
        let offer = offered["factors"].as_array_mut().unwrap();
        let offer = offer.iter_mut().find(|factor| factor["type"] == "webauthn").unwrap();
        change(&mut offer["options"]);
        let credential = self.browser.get(&offer["options"]).await.unwrap();
        json!({
            "challenge_id": offered["challenge_id"], "type": "webauthn", "credential": credential,
        })
    }

    /// How many findings have this code, and how bad the newest is.
    async fn found(&self, code: &str) -> (usize, Value) {
        let list = self.gateway.program().json(&["finding", "list"]).await;
        let found = list["items"].as_array().unwrap().iter().filter(|one| one["code"] == code);
        let severities: Vec<&Value> = found.map(|one| &one["severity"]).collect();
        (severities.len(), severities.first().map_or(Value::Null, |first| (*first).clone()))
    }

    async fn leave(self) {
        self.gateway.stop().await;
        drop((self.browser, self.dir));
    }
}

fn unchanged(_options: &mut Value) {}

/// What a page asks that wants no verified user, against what it was told.
fn unverified(options: &mut Value) {
    if options.get("authenticatorSelection").is_some() {
        // A passkey that is kept would be verified all the same.
        options["authenticatorSelection"] = json!({"userVerification": "discouraged"});
    } else {
        options["userVerification"] = json!("discouraged");
    }
}

#[tokio::test]
async fn chromium_makes_a_passkey_and_logs_in_with_it() {
    let mut desk = Desk::new("people-browser").await;
    let (enrol, answer) = desk.enrols(unchanged).await;
    assert_eq!(success(&answer, 201)["type"], "webauthn");
    let again = desk.owner.post(ENROL, &enrol).await;
    problem(&again, 400, "request.malformed");
    // The same authenticator is not taken twice: the options name what it has.
    let asked = desk.ask(&format!("{ENROL}/options")).await;
    let twice = desk.browser.create(&asked["options"]).await;
    assert!(twice.clone().is_err_and(|why| why.contains("InvalidStateError")), "{twice:?}");

    // Without a name and a password.
    let (shown, answer) = desk.logs_in(unchanged).await;
    let mut person = Someone::new(&desk.gateway, "", "");
    person.take(&answer);
    let me = success(&person.get("/api/v1/me").await, 200);
    assert_eq!((&me["email"], me["factor_at"].is_string()), (&json!(desk.owner.email), true));
    problem(&desk.send_as_nobody(LOG_IN, &shown).await, 401, "auth.failed");
    // What was signed for one question is no answer to another one.
    let other = desk.ask_as_nobody().await;
    let mut replayed = shown.clone();
    replayed["challenge_id"] = other["challenge_id"].clone();
    problem(&desk.send_as_nobody(LOG_IN, &replayed).await, 401, "auth.failed");

    // As the second factor.
    let mut second = desk.second_factor(unchanged).await;
    let credential = std::mem::replace(&mut second["credential"], shown["credential"].clone());
    problem(&desk.send_as_nobody(FACTOR, &second).await, 401, "auth.failed");
    second["credential"] = credential;
    let answer = desk.send_as_nobody(FACTOR, &second).await;
    desk.owner.take(&answer);
    problem(&desk.send_as_nobody(FACTOR, &second).await, 401, "auth.failed");

    // Once more in the same session.
    let before = success(&desk.owner.get("/api/v1/me").await, 200)["factor_at"].clone();
    let asked = desk.ask("/api/v1/auth/step-up/options").await;
    let credential = desk.browser.get(&asked["options"]).await.unwrap();
    let proof = json!({
        "type": "webauthn", "challenge_id": asked["challenge_id"], "credential": credential,
    });
    let shown = success(&desk.owner.post("/api/v1/auth/step-up", &proof).await, 200);
    let after = success(&desk.owner.get("/api/v1/me").await, 200)["factor_at"].clone();
    assert_eq!(shown["factor_at"], after);
    assert!(after.as_str() > before.as_str(), "{before} {after}");
    problem(&desk.owner.post("/api/v1/auth/step-up", &proof).await, 401, "auth.failed");
    assert_eq!(success(&desk.owner.get("/api/v1/me").await, 200)["factor_at"], after);
    desk.leave().await;
}

/// A browser tells where its page is from. A page of another port may use the same passkeys, and is
/// refused by us; a page of an address has none.
#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let dir = TestDir::new("people-browser-origin");
    let elsewhere_dir = TestDir::new("people-browser-elsewhere");
    let (gateway, elsewhere) = tokio::join!(demo(&dir), demo(&elsewhere_dir));
    let browser = Chromium::start(&dir, &[&gateway, &elsewhere]).await;
    let mut desk = Desk::at(dir, gateway, browser).await;
    let (own, other) = (page(&desk.gateway), page(&elsewhere));
    assert!(own != other && other.starts_with("https://localhost:"), "{own} {other}");

    desk.browser.visit(&other).await;
    let (_, answer) = desk.enrols(unchanged).await;
    let said = problem(&answer, 400, "request.malformed");
    assert_eq!(said["field"], "credential");
    let factors = success(&desk.owner.get("/api/v1/me/factors").await, 200);
    assert_eq!(factors["items"], json!([]));

    desk.browser.visit(&own).await;
    let (_, answer) = desk.enrols(unchanged).await;
    success(&answer, 201);
    desk.browser.visit(&other).await;
    let (_, answer) = desk.logs_in(unchanged).await;
    problem(&answer, 401, "auth.failed");

    let address = format!("{}/livez", desk.gateway.base_url());
    desk.browser.visit(&address).await;
    let asked = desk.ask_as_nobody().await;
    let got = desk.browser.get(&asked["options"]).await;
    assert!(got.clone().is_err_and(|why| why.contains("SecurityError")), "{got:?}");

    desk.browser.visit(&own).await;
    let (_, answer) = desk.logs_in(unchanged).await;
    success(&answer, 200);
    elsewhere.stop().await;
    desk.leave().await;
}

/// Our options ask for a verified user. What a page makes of them is not trusted.
#[tokio::test]
async fn an_authenticator_that_verifies_nobody_is_refused() {
    let mut desk = Desk::new("people-browser-unverified").await;
    let (_, answer) = desk.enrols(unchanged).await;
    success(&answer, 201);
    let passkey = desk.authenticator.passkey(&mut desk.browser).await;

    desk.browser.plug_in(false).await;
    let (_, answer) = desk.enrols(unverified).await;
    assert_eq!(problem(&answer, 400, "request.malformed")["field"], "credential");
    let weak = desk.browser.plug_in(false).await;
    weak.put(&mut desk.browser, &passkey).await;
    let shown = desk.second_factor(unverified).await;
    problem(&desk.send_as_nobody(FACTOR, &shown).await, 401, "auth.failed");

    let strong = desk.browser.plug_in(true).await;
    strong.put(&mut desk.browser, &passkey).await;
    let shown = desk.second_factor(unchanged).await;
    success(&desk.send_as_nobody(FACTOR, &shown).await, 200);
    desk.leave().await;
}

/// A counter that goes back may mean a copy, or an authenticator that was set back: its owner is let
/// in, and a critical finding says so.
#[tokio::test]
async fn a_counter_that_goes_back_is_found() {
    let mut desk = Desk::new("people-browser-counter").await;
    let (_, answer) = desk.enrols(unchanged).await;
    success(&answer, 201);
    let mut copy = desk.authenticator.passkey(&mut desk.browser).await;
    copy["signCount"] = json!(0);
    for _ in 0..3 {
        let (_, answer) = desk.logs_in(unchanged).await;
        success(&answer, 200);
    }
    let counted = desk.authenticator.passkey(&mut desk.browser).await["signCount"].as_u64();
    assert!(counted >= Some(3), "{counted:?}");
    assert_eq!(desk.found("auth.passkey_counter").await, (0, Value::Null));

    desk.authenticator = desk.browser.plug_in(true).await;
    desk.authenticator.put(&mut desk.browser, &copy).await;
    let (_, answer) = desk.logs_in(unchanged).await;
    success(&answer, 200);
    assert_eq!(desk.found("auth.passkey_counter").await, (1, json!("critical")));
    desk.leave().await;
}
