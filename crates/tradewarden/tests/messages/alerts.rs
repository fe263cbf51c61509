//! Alerts on a webhook and in a chat, as a receiver of the test's hears them.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;
use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir, until};
use tradewarden_testkit::provider::{Asked, Provider, Reply};

use crate::office::issue;
use crate::python::python_with;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PACKAGE: &str = "standardwebhooks==1.0.0";

async fn demo(dir: &TestDir) -> (Provider, Gateway) {
    let [_, certificate, key] = issue(dir, "alerts");
    let provider = Provider::open(&certificate, &key).await;
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, closed).unwrap();
    };
    file("webhook-secret", &format!("{SECRET}\n"));
    file("chat-url", &format!("{}/services/T0/B0/marked\n", provider.base_url()));
    let config = format!(
        "{QUICK_CALLERS}[alerts]\nwebhook_url = \"{}/alerts\"\n\
         webhook_secret_file = \"webhook-secret\"\nchat_url_file = \"chat-url\"\n\
         ca_file = \"alerts-ca.pem\"\n",
        provider.base_url()
    );
    let program = Program::new(env!("CARGO_BIN_EXE_tradewarden"), dir.data(), &config);
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    (provider, gateway)
}

/// What each of the two was told, once both were told so often.
async fn told(provider: &Provider, times: usize) -> [Vec<Asked>; 2] {
    let to = |path: &str| -> Vec<Asked> {
        let what = format!("POST {path}");
        provider.asked().into_iter().filter(|asked| asked.what == what).collect()
    };
    let both = || [to("/alerts"), to("/services/T0/B0/marked")];
    until("both are told", async || both().iter().all(|told| told.len() >= times)).await;
    both()
}

/// S24: a halt is told on every channel, signed as others verify it; what is not taken is sent again
/// under the same name.
#[tokio::test]
async fn s24_alerts_go_to_a_webhook_and_a_chat() {
    let dir = TestDir::new("alerts");
    let (provider, gateway) = demo(&dir).await;
    let program = gateway.program();
    let channels = program.json(&["alert", "channels"]).await;
    assert_eq!(channels["items"], json!([{"channel": "webhook"}, {"channel": "chat"}]));
    program.json(&["alert", "test"]).await;
    let [webhook, chat] = told(&provider, 1).await;
    let event: Value = serde_json::from_str(&webhook[0].body).unwrap();
    assert_eq!(event["type"], "alert.test");
    let text: Value = serde_json::from_str(&chat[0].body).unwrap();
    assert!(text["text"].as_str().unwrap().contains("This is a test by operator"), "{text}");
    until("both are tested", async || {
        let channels = program.json(&["alert", "channels"]).await;
        let tested = |at: usize| channels["items"][at]["tested_at"].is_string();
        tested(0) && tested(1)
    })
    .await;

    // Both are away at first.
    provider.replies([Reply::Status(503, None), Reply::Status(503, None)]);
    let halt = program.json(&["halt", "engage", "--reason", "<drill>"]).await;
    let [webhook, chat] = told(&provider, 3).await;
    assert_eq!(webhook[1], webhook[2], "the same name, time and signature");
    let event: Value = serde_json::from_str(&webhook[2].body).unwrap();
    assert_eq!(event["type"], "alert.raised");
    assert_eq!(event["data"]["alerts"][0]["code"], "halt.engaged");
    assert_eq!(event["data"]["alerts"][0]["subject"], halt["id"]);
    let text: Value = serde_json::from_str(&chat[2].body).unwrap();
    let text = text["text"].as_str().unwrap();
    assert!(text.starts_with("*Tradewarden critical: halt.engaged*\n"), "{text}");
    assert!(text.contains("&lt;drill&gt;"), "{text}");
    assert!(webhook.iter().chain(&chat).all(|asked| asked.content_type == "application/json"));

    let listed = program.json(&["alert", "list"]).await;
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert!(text.contains(&format!("alert acknowledge {id}")), "{text}");
    let seen = program.json(&["alert", "acknowledge", id]).await;
    assert_eq!(seen["acknowledged_by"], "operator");

    verify(&dir, &webhook).await;
}

/// By a verifier that others wrote.
async fn verify(dir: &TestDir, told: &[Asked]) {
    let python = python_with(dir, &[PACKAGE]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages/verify.py");
    for (asked, good) in told.iter().map(|asked| (asked, true)).chain([(&told[0], false)]) {
        let [id, timestamp, signature] = &asked.signed;
        let body = if good { asked.body.clone() } else { format!("{} ", asked.body) };
        let asked = json!({
            "secret": SECRET, "body": body,
            "headers": {
                "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature,
            },
        });
        let mut command = Command::new(&python);
        let output = command.arg(&script).arg(asked.to_string()).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert_eq!(said, if good { "verified" } else { "refused" }, "{output:?}");
    }
}
