//! A person at a client of their own, with an authenticator app that is not ours.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Client, Gateway, Program, TestDir, totp_code};

/// Good enough for every rule, and nothing to remember.
pub(crate) const PASSWORD: &str = "correct-zebra-battery-8841-staple";

/// A person who may be logged in.
pub(crate) struct Someone {
    pub(crate) client: Client,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) bearer: String,
    pub(crate) refresh: String,
    /// The secret of the authenticator app, in base32.
    pub(crate) secret: Option<String>,
}

/// A demo that runs.
pub(crate) async fn demo(dir: &TestDir) -> Gateway {
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), "");
    program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
}

/// Six digits of this secret, `steps` steps of 30 seconds from now.
pub(crate) async fn code_of(secret: &str, steps: i64) -> String {
    totp_code(secret, &format!("now {:+} seconds", steps * 30)).await
}

impl Someone {
    /// Somebody with this e-mail and password, not logged in.
    pub(crate) fn new(gateway: &Gateway, email: &str, password: &str) -> Self {
        Self {
            client: gateway.client(),
            email: email.to_owned(),
            password: password.to_owned(),
            bearer: String::new(),
            refresh: String::new(),
            secret: None,
        }
    }

    /// The demo's owner, logged in with the password alone.
    pub(crate) async fn owner(gateway: &Gateway) -> Self {
        let owner = &gateway.ready()["owner"];
        let text = |name: &str| owner[name].as_str().unwrap().to_owned();
        let mut someone = Self::new(gateway, &text("email"), &text("password"));
        someone.log_in().await;
        someone
    }

    /// The demo's owner with an authenticator app.
    pub(crate) async fn strong_owner(gateway: &Gateway) -> Self {
        let mut owner = Self::owner(gateway).await;
        owner.enrol().await;
        owner
    }

    /// What a login with the password answers.
    pub(crate) async fn password_login(&mut self) -> Answer {
        let body = json!({"email": self.email, "password": self.password});
        self.client.post("/api/v1/auth/login", &[], body.to_string()).await.unwrap()
    }

    /// Logs in with the password alone.
    pub(crate) async fn log_in(&mut self) {
        let answer = self.password_login().await;
        self.take(&answer);
    }

    /// Keeps the tokens of an answer.
    pub(crate) fn take(&mut self, answer: &Answer) {
        let body = answer.json();
        assert_eq!(answer.status, 200, "{body}");
        self.bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
        self.refresh = body["refresh_token"].as_str().unwrap().to_owned();
    }

    /// Sends a second factor to a challenge.
    pub(crate) async fn show(&mut self, challenge: &Value, kind: &str, code: &str) -> Answer {
        let body = json!({"challenge_id": challenge["challenge_id"], "type": kind, "code": code});
        self.client.post("/api/v1/auth/factor", &[], body.to_string()).await.unwrap()
    }

    /// Any request with the access token.
    pub(crate) async fn call(&mut self, method: Method, path: &str, body: &Value) -> Answer {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let once = format!("once-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", &once)];
        self.client.send(method, path, &headers, body).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.call(Method::GET, path, &Value::Null).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    /// Enrols an authenticator app; the code of the step before is used up by it.
    pub(crate) async fn enrol(&mut self) {
        self.enrol_at(-1).await;
    }

    /// The same with the code so many steps of 30 seconds from now.
    pub(crate) async fn enrol_at(&mut self, steps: i64) {
        let made = self.post("/api/v1/me/factors/totp", &Value::Null).await;
        let made = success(&made, 201);
        let secret = made["secret"].as_str().unwrap().to_owned();
        let confirm = format!("/api/v1/me/factors/totp/{}/confirm", made["id"].as_str().unwrap());
        let code = code_of(&secret, steps).await;
        let confirmed = self.post(&confirm, &json!({"code": code})).await;
        assert_eq!(success(&confirmed, 200)["confirmed"], true);
        self.secret = Some(secret);
    }

    /// Makes a person of this role; who has no password yet gets one by the invitation.
    pub(crate) async fn invites(&mut self, gateway: &Gateway, email: &str, role: &str) -> Self {
        let body = json!({"email": email, "role": role});
        let made = self.post("/api/v1/users", &body).await;
        let made = success(&made, 201);
        let reset = json!({"token": made["invite_token"], "password": PASSWORD});
        let path = "/api/v1/auth/password-reset";
        let set = self.client.post(path, &[], reset.to_string()).await.unwrap();
        success(&set, 200);
        let mut someone = Self::new(gateway, email, PASSWORD);
        someone.log_in().await;
        someone
    }
}

/// The body of an answer with this status.
#[track_caller]
pub(crate) fn success(answer: &Answer, status: u16) -> Value {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    body
}

/// Checks that an answer is this problem.
#[track_caller]
pub(crate) fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, body["code"].as_str()), (status, Some(code)), "{body}");
    body
}
