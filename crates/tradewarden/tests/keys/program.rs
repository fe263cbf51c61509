//! `tradewarden key` and `tradewarden sign`, as a person types them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tradewarden_testkit::process::{Program, TestDir};

use crate::stage::{BINARY, demo, private_file, run_well};

#[tokio::test]
async fn the_line_that_sign_prints_is_taken_once() {
    let dir = TestDir::new("keys-sign");
    let (gateway, keys) = demo(&dir).await;
    let ca = gateway.ready()["ca_file"].as_str().unwrap();
    let localhost = gateway.base_url().replace("127.0.0.1", "localhost");
    for key in &keys {
        for (origin, simple) in
            [(gateway.base_url(), false), (localhost.as_str(), false), (gateway.base_url(), true)]
        {
            if simple && key.algorithm == "ed25519" {
                continue;
            }
            let url = format!("{origin}/api/v1/orders?limit=5");
            let [option, file] = key.options();
            let mut args = vec!["sign", "--key", &key.id, option, file, "--url", &url];
            args.extend(["--cacert", ca]);
            if simple {
                args.push("--simple");
            }
            let signed = gateway.run(&args).await;
            assert_eq!(signed.code, Some(0), "{signed}");
            assert_eq!(signed.stdout.lines().count(), 1, "{signed}");
            let printed = run_well(Path::new("sh"), &["-c", &signed.stdout], &[]).await;
            assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["items"], json!([]));
            let again = run_well(Path::new("sh"), &["-c", &signed.stdout], &[]).await;
            let again: Value = serde_json::from_str(&again).unwrap();
            assert_eq!(again["code"], "auth.failed", "{again}");
        }
    }
    let body = private_file(&dir, "body.json", "{\"reason\": \"it's signed\"}\n");
    let url = format!("{}/api/v1/halts", gateway.base_url());
    let [option, file] = keys[0].options();
    let args = ["sign", "--key", &keys[0].id, option, file, "--method", "POST", "--url", &url];
    let more = ["--body", body.to_str().unwrap(), "--idempotency-key", "a-1", "--cacert", ca];
    let signed = gateway.run(&[&args[..], &more].concat()).await;
    let printed = run_well(Path::new("sh"), &["-c", &signed.stdout], &[]).await;
    let halt: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(halt["engaged_by"], keys[0].id.as_str(), "{printed}");
    assert_eq!(halt["reason"], "it's signed");
}

#[tokio::test]
async fn a_keys_life_without_and_with_a_server() {
    let dir = TestDir::new("keys-life");
    let program = Program::new(BINARY, dir.data(), "");
    assert_eq!(program.run(&["init"]).await.code, Some(0));
    let pem = dir.path().join("bot.pem");
    let create = ["key", "create", "--name", "bot", "--scope", "orders:read", "--private-key-file"];
    let create = [&create[..], &[pem.to_str().unwrap()]].concat();
    let made = program.json(&create).await;
    assert!(made.get("private_key_pem").is_none(), "{made}");
    assert!(std::fs::read_to_string(&pem).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(std::fs::metadata(&pem).unwrap().permissions().mode() & 0o777, 0o600);
    let again = program.run(&create).await;
    assert_eq!(again.code, Some(2), "a key is not written over: {again}");
    let list = async || program.json(&["key", "list"]).await["items"].clone();
    assert_eq!(list().await.as_array().unwrap().len(), 1);
    // A key that cannot be made leaves no file.
    let other = dir.path().join("other.pem");
    let wrong = ["key", "create", "--name", "x", "--scope", "orders:read", "--expires-in-days"];
    let wrong = [&wrong[..], &["91", "--private-key-file", other.to_str().unwrap()]].concat();
    let refused = program.run(&wrong).await;
    assert_eq!((refused.code, other.exists()), (Some(1), false), "{refused}");

    let gateway = program.start().await;
    let id = made["id"].as_str().unwrap();
    let url = format!("{}/api/v1/me", gateway.base_url());
    let me = async |id: &str, pem: &Path| {
        let pem = pem.to_str().unwrap();
        let args = ["sign", "--key", id, "--private-key-file", pem, "--url", &url];
        let signed = program.json(&args).await;
        let headers: Vec<_> = signed["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        gateway.client().get("/api/v1/me", &headers).await.unwrap()
    };
    assert_eq!(me(id, &pem).await.status, 200);
    let next = dir.path().join("next.pem");
    let rotate = ["key", "rotate", id, "--overlap-s", "0", "--private-key-file"];
    let next_key = program.json(&[&rotate[..], &[next.to_str().unwrap()]].concat()).await;
    let next_id = next_key["id"].as_str().unwrap();
    assert_eq!(me(id, &pem).await.status, 401, "no overlap: the old one ends at once");
    assert_eq!(me(next_id, &next).await.status, 200);
    for (verb, state, permissions) in
        [("suspend", "suspended", json!([])), ("activate", "active", json!(["orders:read"]))]
    {
        assert_eq!(program.json(&["key", verb, next_id]).await["state"], state);
        assert_eq!(me(next_id, &next).await.json()["permissions"], permissions);
    }
    let shown = program.json(&["key", "show", next_id]).await;
    assert_eq!(
        (&shown["rotated_from"], &shown["last_used_address"]),
        (&json!(id), &json!("127.0.0.1"))
    );
    let usage = program.json(&["key", "usage", next_id]).await;
    assert_eq!(usage["calls"], 3, "{usage}");
    assert_eq!(program.json(&["key", "revoke", next_id]).await["state"], "revoked");
    assert_eq!(me(next_id, &next).await.status, 401);
    let printed = program.run(&["key", "list"]).await;
    assert!(printed.stdout.contains("revoked") && printed.stdout.contains(id), "{printed}");
    assert!(!printed.stdout.contains("BEGIN") && !program.log().contains("BEGIN"));
}
