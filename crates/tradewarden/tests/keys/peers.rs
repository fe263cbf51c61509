//! Signers that others wrote, each with its own HTTP client: `requests-http-signature` and
//! `http-message-signatures` of `PyPI`, `http-message-signatures` of npm.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tradewarden_testkit::process::TestDir;

use crate::stage::{DemoKey, demo, run_well};

/// Brings `http-message-signatures` along.
const PYPI: &str = "requests-http-signature==2.0.0";
const NPM: &str = "http-message-signatures@1.0.6";

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name);
    path.to_str().unwrap().to_owned()
}

async fn python(dir: &TestDir) -> PathBuf {
    let venv = dir.path().join("venv");
    run_well(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()], &[]).await;
    let python = venv.join("bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYPI];
    run_well(&python, &install, &[]).await;
    python
}

async fn node_modules(dir: &TestDir) -> PathBuf {
    let prefix = dir.path().join("node");
    std::fs::create_dir_all(&prefix).unwrap();
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    let args = [&install[..], &[NPM, "--prefix", prefix.to_str().unwrap()]].concat();
    run_well(Path::new("npm"), &args, &[]).await;
    prefix.join("node_modules")
}

/// What a signer is asked to send.
fn asked(base_url: &str, ca: &str, key: &DemoKey, method: &str, path: &str, body: &str) -> Value {
    json!({
        "method": method, "url": format!("{base_url}{path}"), "body": body, "ca": ca,
        "key_id": key.id, "algorithm": key.algorithm,
        "key": std::fs::read_to_string(&key.file).unwrap(),
    })
}

#[tokio::test]
async fn what_others_sign_is_taken() {
    let dir = TestDir::new("keys-peers");
    let (gateway, keys) = demo(&dir).await;
    let (python, modules) = (python(&dir).await, node_modules(&dir).await);
    let ca = gateway.ready()["ca_file"].as_str().unwrap();
    let modules = [("NODE_PATH", modules.to_str().unwrap())];
    // The same order from each of them is meant: it is not taken for a repetition.
    let account = gateway.ready()["account_id"].as_str().unwrap();
    let order = json!({
        "account_id": account, "symbol": "AAPL", "side": "buy", "type": "market",
        "quantity": "1", "time_in_force": "day", "allow_repeat": true, "tag": "é ✓",
    });
    let order = order.to_string();
    let requests = [
        ("GET", "/api/v1/orders?limit=5&cursor=", "", 400),
        ("GET", "/api/v1/orders?limit=5", "", 200),
        ("GET", "/api/v1/me", "", 200),
        ("POST", "/api/v1/orders", order.as_str(), 201),
        ("POST", "/api/v1/halts", r#"{"reason":"by a peer, é ✓","mode":"reduce_only"}"#, 201),
    ];
    // What one peer halted, the next one's order would be refused for.
    let resume = async |answer: &Value| {
        if let Some(id) = answer["body"]["id"].as_str().filter(|id| id.starts_with("hlt_")) {
            gateway.program().json(&["halt", "resume", id]).await;
        }
    };
    for key in &keys {
        for peer in ["requests", "low-level", "node"] {
            for (method, path, body, status) in requests {
                let asked = asked(gateway.base_url(), ca, key, method, path, body).to_string();
                let printed = if peer == "node" {
                    let args = [script("peer.js"), asked];
                    run_well(Path::new("node"), &args.each_ref().map(String::as_str), &modules)
                        .await
                } else {
                    let args = [script("peer.py"), peer.to_owned(), asked];
                    run_well(&python, &args.each_ref().map(String::as_str), &[]).await
                };
                let answer: Value = serde_json::from_str(&printed).unwrap();
                let about = format!("{peer} {} {method} {path}: {answer}", key.algorithm);
                assert_eq!(answer["status"], status, "{about}");
                resume(&answer).await;
                if path.ends_with("/me") {
                    assert_eq!(answer["body"]["id"], key.id.as_str(), "{about}");
                }
            }
        }
    }
}
