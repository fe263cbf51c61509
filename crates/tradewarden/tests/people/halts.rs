//! The end of a halt under four eyes: by two people, or after ten minutes by one (S20, C10).

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tradewarden_testkit::process::{Gateway, TestDir};

use crate::earlier::{earlier, now};
use crate::someone::{Someone, code_of, problem, success};

/// Longer than the lock, and less than an action waits.
const BACK: Duration = Duration::from_secs(630);
/// The step of an authenticator app before the one that it was then.
const THEN: i64 = -22;

/// A gateway that was halted a while ago, and whose owner wanted that to end.
struct Stopped {
    webhook: Value,
    halt: Value,
    /// Where the end is confirmed.
    confirm: String,
}

impl Stopped {
    async fn by(owner: &mut Someone, gateway: &Gateway) -> Self {
        let policy = json!({"name": "four_eyes.halt_resume", "value": "on"});
        success(&owner.call(Method::PUT, "/api/v1/policies", &policy).await, 200);
        let halt = success(&owner.post("/api/v1/halts", &json!({})).await, 201);
        let resume = format!("/api/v1/halts/{}/resume", halt["id"].as_str().unwrap());
        let waiting = success(&owner.post(&resume, &Value::Null).await, 202);
        assert_eq!(waiting["status"], "pending", "{waiting}");
        let id = waiting["pending_id"].as_str().unwrap();
        let confirm = format!("/api/v1/pending/{id}/confirm");
        let stopped = Self { webhook: gateway.ready()["webhook"].clone(), halt, confirm };
        assert_eq!(stopped.entry(gateway, "early").await, (422, json!("halt.active")));
        stopped
    }

    /// What an entry is told.
    async fn entry(&self, gateway: &Gateway, id: &str) -> (u16, Value) {
        let text = |name: &str| self.webhook[name].as_str().unwrap();
        let path = format!("/api/v1/webhooks/{}", text("token"));
        let body = json!({"action": "BUY", "id": id}).to_string();
        let secret = [("x-webhook-secret", text("secret"))];
        let answer = gateway.client().post(&path, &secret, body).await.unwrap();
        (answer.status, answer.json()["code"].clone())
    }

    /// Somebody ends it, and trading goes on.
    async fn ends_by(self, someone: &mut Someone, gateway: &Gateway) {
        assert_eq!(self.entry(gateway, "still").await, (422, json!("halt.active")));
        let done = success(&someone.post(&self.confirm, &Value::Null).await, 200);
        assert_eq!(
            (&done["status"], &done["result"]["id"]),
            (&json!("confirmed"), &self.halt["id"])
        );
        assert!(done["result"]["resumed_at"].is_string(), "{done}");
        let halts = success(&someone.get("/api/v1/halts").await, 200);
        assert_eq!(halts["items"], json!([]));
        assert_eq!(self.entry(gateway, "late").await, (202, Value::Null));
    }
}

impl Someone {
    /// The same session at the gateway that was started again.
    async fn again_at(&mut self, gateway: &Gateway) {
        self.client = gateway.client();
        let body = json!({"refresh_token": self.refresh}).to_string();
        let answer = self.client.post("/api/v1/auth/refresh", &[], body).await.unwrap();
        self.take(&answer);
    }

    async fn step_up(&mut self) {
        let code = code_of(self.secret.as_deref().unwrap(), 0).await;
        let proof = json!({"type": "totp", "code": code});
        success(&self.post("/api/v1/auth/step-up", &proof).await, 200);
    }
}

#[tokio::test]
async fn s20_a_halt_is_ended_by_another_person() {
    let dir = TestDir::new("people-halt-two");
    let gateway = earlier(&dir, "", BACK).await;
    let mut owner = Someone::owner(&gateway).await;
    owner.enrol_at(THEN).await;
    let mut second = owner.invites(&gateway, "second@example.com", "risk_officer").await;
    second.enrol_at(THEN).await;
    let stopped = Stopped::by(&mut owner, &gateway).await;
    problem(&second.post(&stopped.confirm, &Value::Null).await, 422, "halt.hold");
    gateway.stop().await;

    let gateway = now(&dir, "").await;
    owner.again_at(&gateway).await;
    owner.step_up().await;
    problem(&owner.post(&stopped.confirm, &Value::Null).await, 403, "auth.second_person");
    second.again_at(&gateway).await;
    problem(&second.post(&stopped.confirm, &Value::Null).await, 403, "auth.step_up_required");
    second.step_up().await;
    stopped.ends_by(&mut second, &gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn s20_a_halt_is_ended_alone_after_ten_minutes() {
    let dir = TestDir::new("people-halt-alone");
    let gateway = earlier(&dir, "", BACK).await;
    let mut owner = Someone::owner(&gateway).await;
    owner.enrol_at(THEN).await;
    let stopped = Stopped::by(&mut owner, &gateway).await;
    problem(&owner.post(&stopped.confirm, &Value::Null).await, 403, "auth.second_person");
    gateway.stop().await;

    let gateway = now(&dir, "").await;
    owner.again_at(&gateway).await;
    problem(&owner.post(&stopped.confirm, &Value::Null).await, 403, "auth.step_up_required");
    owner.step_up().await;
    stopped.ends_by(&mut owner, &gateway).await;
    gateway.stop().await;
}
