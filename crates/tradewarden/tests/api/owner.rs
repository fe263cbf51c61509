//! An owner's client, and the document that says what there is to call.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tradewarden_testkit::process::{Answer, Client, Gateway, Session, log_in_with_factor};

/// The demo's owner, with a second factor.
pub(crate) struct Owner {
    /// Shows nothing by itself.
    pub(crate) client: Client,
    /// `Bearer ...`.
    pub(crate) bearer: String,
    refresh: String,
}

impl Owner {
    /// The owner of a demo that runs; once for each data directory.
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        Self::who(gateway, &gateway.ready()["owner"]).await
    }

    /// Another person `{email, password}`; once for each.
    pub(crate) async fn who(gateway: &Gateway, person: &Value) -> Self {
        let mut client = gateway.client();
        let Session { bearer, refresh } = log_in_with_factor(&mut client, person).await;
        Self { client, bearer, refresh }
    }

    /// The same session at a gateway that was started again, at another address.
    pub(crate) async fn again_at(self, gateway: &Gateway) -> Self {
        let mut client = gateway.client();
        let body = json!({"refresh_token": self.refresh}).to_string();
        let answer = client.post("/api/v1/auth/refresh", &[], body).await.unwrap();
        let tokens = answer.json();
        assert_eq!(answer.status, 200, "{tokens}");
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {}", text("access_token"));
        Self { client, bearer, refresh: text("refresh_token") }
    }

    /// `GET path`.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.client.get(path, &[("authorization", &self.bearer)]).await.unwrap()
    }

    /// `POST path`.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Answer {
        let once = once_key();
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", once.as_str())];
        self.client.post(path, &headers, body.to_string()).await.unwrap()
    }
}

/// An idempotency key that no other request of this process has.
pub(crate) fn once_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A method on a path, as the document has it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// In upper case.
    pub(crate) method: String,
    /// With its parameters in braces.
    pub(crate) path: String,
    /// What the document says about it.
    pub(crate) about: Value,
}

impl Operation {
    /// The path with every parameter replaced.
    pub(crate) fn at(&self, parameter: &str) -> String {
        let mut path = String::new();
        let mut rest = self.path.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (_, after) = after.split_once('}').unwrap();
            path.push_str(before);
            path.push_str(parameter);
            rest = after;
        }
        path + rest
    }

    /// Whether the document says that a caller has to show who it is.
    pub(crate) fn is_guarded(&self) -> bool {
        self.about["security"][0].get("person").is_some()
    }

    /// Whether it is the intake, which has credentials of its own.
    pub(crate) fn is_intake(&self) -> bool {
        self.about["security"][0].get("webhookQuery").is_some()
    }
}

/// Every operation of the document that the gateway serves.
pub(crate) async fn operations(client: &mut Client) -> Vec<Operation> {
    let answer = client.get("/api/v1/openapi.json", &[]).await.unwrap();
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            let (method, path) = (method.to_ascii_uppercase(), path.clone());
            operations.push(Operation { method, path, about: about.clone() });
        }
    }
    assert!(operations.len() > 25, "{operations:?}");
    operations
}
