//! A way in: a webhook of a running gateway, and a client that knows its secret.

use bytes::Bytes;
use serde_json::Value;
use tradewarden_testkit::process::{Answer, Client, Gateway, Program, TestDir};

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");

/// A webhook, and one kept connection to it.
pub(crate) struct Door {
    /// Trusts the gateway's CA.
    pub(crate) client: Client,
    /// Where signals go.
    pub(crate) path: String,
    /// What opens it.
    pub(crate) secret: String,
}

impl Door {
    /// The webhook that this object, as the program printed it, speaks of.
    pub(crate) fn of(gateway: &Gateway, webhook: &Value) -> Self {
        let text = |name: &str| webhook[name].as_str().unwrap().to_owned();
        let path = format!("/api/v1/webhooks/{}", text("token"));
        Self { client: gateway.client(), path, secret: text("secret") }
    }

    /// Sends a body with the secret in the header.
    pub(crate) async fn send(&mut self, body: impl Into<Bytes>) -> Answer {
        let headers = [("x-webhook-secret", self.secret.as_str())];
        self.client.post(&self.path, &headers, body).await.unwrap()
    }
}

/// A demo in this directory, ready, with its webhook.
pub(crate) async fn demo(dir: &TestDir, config: &str) -> (Gateway, Door) {
    let program = Program::new(BINARY, dir.data(), config);
    let gateway = match program.try_start("demo").await {
        Ok(gateway) => gateway,
        Err(ended) => panic!("the demo did not start: {ended}"),
    };
    let door = Door::of(&gateway, &gateway.ready()["webhook"]);
    (gateway, door)
}
