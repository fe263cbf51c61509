//! Who may come to the internal listener: certificates that are issued and revoked by `ca`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;
use tradewarden_testkit::process::{Ended, Gateway, Program, TestDir};

use crate::door::{BINARY, demo};
use crate::tools::{certificate_file, entries_when, run};

/// What curl gets of the internal listener with this certificate.
async fn metrics(gateway: &Gateway, certificate: &str, key: &str) -> Ended {
    let ca = certificate_file(gateway, "internal-ca.pem");
    let url = format!("{}/metrics", gateway.ready()["internal_url"].as_str().unwrap());
    let args = ["--disable", "--silent", "--show-error", "--fail", "--max-time", "30"];
    let own = ["--cacert", &ca, "--cert", certificate, "--key", key, &url];
    run("curl", &[&args[..], &own].concat()).await
}

fn path<'v>(made: &'v Value, field: &str) -> &'v str {
    made[field].as_str().unwrap()
}

async fn comes_in(gateway: &Gateway, made: &Value) -> bool {
    let ended = metrics(gateway, path(made, "certificate_file"), path(made, "key_file")).await;
    assert!(ended.code == Some(0) || ended.stdout.is_empty(), "{ended}");
    ended.code == Some(0)
}

#[tokio::test]
async fn a_certificate_opens_the_internal_listener_until_it_is_revoked() {
    let dir = TestDir::new("transport-ca");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let out = dir.path().to_str().unwrap();
    let issue = ["ca", "issue", "--name", "prometheus", "--days", "7", "--out", out];
    let made = program.json(&issue).await;
    assert_eq!(made["uri"], "spiffe://tradewarden.internal/prometheus");
    let mode = |field: &str| std::fs::metadata(path(&made, field)).unwrap().mode() & 0o7777;
    assert_eq!(mode("key_file"), 0o600);
    assert!(comes_in(&gateway, &made).await);

    // What others read in it: for clients only, by its name, for at most 90 days.
    let certificate = path(&made, "certificate_file");
    let text = run("openssl", &["x509", "-noout", "-text", "-in", certificate]).await.stdout;
    assert!(text.contains("URI:spiffe://tradewarden.internal/prometheus"), "{text}");
    assert!(text.contains("TLS Web Client Authentication"), "{text}");
    assert!(!text.contains("TLS Web Server Authentication"), "{text}");
    let ca = certificate_file(&gateway, "internal-ca.pem");
    let verified = ["verify", "-purpose", "sslclient", "-CAfile", &ca, certificate];
    assert_eq!(run("openssl", &verified).await.code, Some(0));

    for (args, code) in [
        (&issue[..], 2),
        (&["ca", "issue", "--name", "x", "--days", "91", "--out", out], 2),
        (&["ca", "issue", "--name", "../x", "--out", out], 2),
        (&["ca", "revoke", "00ff"], 3),
    ] {
        let refused = program.run(args).await;
        assert_eq!(refused.code, Some(code), "{args:?}: {refused}");
    }
    let serial = path(&made, "serial").to_owned();
    let listed = program.json(&["ca", "list"]).await;
    assert_eq!(listed["items"][0]["serial"], serial.as_str());
    assert_eq!(listed["items"][0]["revoked_at"], Value::Null);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);

    let revoked = program.json(&["ca", "revoke", &serial, "--reason", "laptop lost"]).await;
    assert_eq!(revoked["reason"], "laptop lost");
    assert!(!comes_in(&gateway, &made).await, "the next connection is refused");
    let own = |name: &str| certificate_file(&gateway, name);
    let ours = metrics(&gateway, &own("internal-client.pem"), &own("internal-client.key")).await;
    assert_eq!(ours.code, Some(0), "others still come in: {ours}");

    for (event, field, value) in
        [("cert.issued", "name", "prometheus"), ("cert.revoked", "reason", "laptop lost")]
    {
        let entry = entries_when(program, event, 1).await.remove(0);
        assert_eq!(entry[field], value);
        assert_eq!(entry["serial"], serial.as_str());
        assert_eq!(entry["actor"], "operator");
    }
}

/// The same while no gateway runs.
#[tokio::test]
async fn certificates_are_issued_and_revoked_without_a_gateway() {
    let dir = TestDir::new("transport-ca-alone");
    let program = Program::new(BINARY, dir.data(), "");
    let early = program.run(&["ca", "issue", "--name", "early"]).await;
    assert_eq!(early.code, Some(3), "there is no data directory: {early}");
    assert!(!dir.data().exists());
    program.json(&["init"]).await;
    let kept = program.json(&["ca", "issue", "--name", "kept"]).await;
    let lost = program.json(&["ca", "issue", "--name", "lost"]).await;
    assert!(Path::new(path(&kept, "key_file")).starts_with(dir.data().join("tls")));
    let gateway = program.start().await;
    assert!(comes_in(&gateway, &kept).await && comes_in(&gateway, &lost).await);
    assert_eq!(gateway.stop().await.code, Some(0));
    program.json(&["ca", "revoke", path(&lost, "serial")]).await;
    let gateway = program.start().await;
    assert!(comes_in(&gateway, &kept).await);
    assert!(!comes_in(&gateway, &lost).await);
    entries_when(&program, "cert.issued", 2).await;
    entries_when(&program, "cert.revoked", 1).await;
}

/// A certificate that has nowhere to go is neither listed nor in the log.
#[tokio::test]
async fn a_certificate_that_cannot_be_delivered_is_not_issued() {
    let dir = TestDir::new("transport-undelivered");
    let program = Program::new(BINARY, dir.data(), "");
    program.json(&["init"]).await;
    let nowhere = dir.path().join("missing");
    let out = nowhere.to_str().unwrap();
    let refused = program.run(&["ca", "issue", "--name", "prom", "--out", out]).await;
    assert_eq!(refused.code, Some(3), "{refused}");
    assert!(refused.stderr.contains("there is no directory"), "{refused}");
    assert_eq!(program.json(&["ca", "list"]).await["items"], serde_json::json!([]));
    std::fs::create_dir(&nowhere).unwrap();
    let made = program.json(&["ca", "issue", "--name", "prom", "--out", out]).await;
    let key = std::fs::read_to_string(path(&made, "key_file")).unwrap();
    assert!(key.contains("PRIVATE KEY"));
    assert_eq!(program.json(&["ca", "list"]).await["items"].as_array().unwrap().len(), 1);
}

/// A certificate whose entry cannot be written is not listed: one that opens the listener is in the log.
#[tokio::test]
async fn a_certificate_without_an_entry_is_not_issued() {
    let dir = TestDir::new("transport-unrecorded");
    let program = Program::new(BINARY, dir.data(), "");
    program.json(&["init"]).await;
    let held = std::fs::File::open(dir.data().join("lock")).unwrap();
    held.lock().unwrap();
    let refused = program.run(&["ca", "issue", "--name", "prom"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert_eq!(program.json(&["ca", "list"]).await["items"], serde_json::json!([]));
    drop(held);
    program.json(&["ca", "issue", "--name", "prom"]).await;
    assert_eq!(program.json(&["ca", "list"]).await["items"].as_array().unwrap().len(), 1);
}
