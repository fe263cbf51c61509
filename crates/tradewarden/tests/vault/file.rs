//! The key file: rotated and rewrapped under load, and what is said when it is not right.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tradewarden_testkit::process::{TestDir, until};

use crate::load::{Load, Senders};
use crate::stage::{again, by_source_key, demo, log_is_whole, sealed};

/// Every signal that was sent while keys changed was answered as ever, and everything opens, in the
/// same process and in the next one.
#[tokio::test]
async fn rotation_and_rewrap_under_load_lose_no_request() {
    let dir = TestDir::new("vault-load");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let before = program.json(&["vault", "status"]).await;
    assert_eq!(before["to_rewrap"], 0, "{before}");
    let first = before["sources"][0]["newest"].as_str().unwrap().to_owned();
    assert_eq!(by_source_key(&before), [(first.clone(), 5)], "{before}");

    let load = Load::begin(&gateway, &senders);
    for round in 1..=3_u64 {
        let goal = load.answered() + 20;
        let rotated = program.json(&["vault", "rotate"]).await;
        assert_ne!(rotated["key"], rotated["before"], "{rotated}");
        let between = program.json(&["vault", "status"]).await;
        assert_eq!(between["to_rewrap"], 5, "{between}");
        let done = program.json(&["vault", "rewrap", "--to", "file"]).await;
        assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
        let lines = fs::read_to_string(dir.data().join("kek")).unwrap().lines().count();
        assert_eq!(u64::try_from(lines).unwrap(), round + 1);
        until("the load went on", async || load.answered() >= goal).await;
    }
    things.opens(&gateway).await;
    load.end(&program).await;
    let after = program.json(&["vault", "status"]).await;
    let newest = after["sources"][0]["newest"].as_str().unwrap().to_owned();
    assert_eq!(by_source_key(&after), [(newest, 5)], "{after}");
    log_is_whole(&program).await;
    gateway.stop().await;

    // Nothing needs the older versions any more.
    let kek = dir.data().join("kek");
    let text = fs::read_to_string(&kek).unwrap();
    fs::write(&kek, text.lines().last().unwrap()).unwrap();
    let gateway = again(&program).await;
    things.opens(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    until("everybody is let in again", async || load.answered() >= 20).await;
    load.end(&program).await;
    let once_more = program.json(&["vault", "rewrap"]).await;
    assert_eq!(once_more["rewrapped"], 0, "{once_more}");
    gateway.stop().await;
    let nowhere = program.run(&["vault", "rewrap", "--to", "transit"]).await;
    assert_eq!(nowhere.code, Some(2), "{nowhere}");
    assert!(nowhere.stderr.contains("the configured key source is file"), "{nowhere}");
}

/// Data keys are replaced and everything is sealed anew while signals come in: none is lost, in the same
/// process and in the next one, and nothing of intake needs the old key after seconds.
#[tokio::test]
async fn replacing_data_keys_under_load_loses_no_request() {
    let dir = TestDir::new("vault-data-keys");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    let done = program.json(&["vault", "rotate", "--data-keys"]).await;
    assert_eq!((&done["made"], &done["left"]), (&4.into(), &0.into()), "{done}");
    things.opens(&gateway).await;
    until("the old keys of intake and of the log are gone", async || {
        let status = program.json(&["vault", "status"]).await;
        let replaced = status["replaced"].as_array().unwrap();
        replaced.iter().all(|key| key["purpose"] == "people" && key["records_left"] == 0)
    })
    .await;
    things.opens(&gateway).await;
    load.end(&program).await;
    log_is_whole(&program).await;
    gateway.stop().await;
    let gateway = again(&program).await;
    things.opens(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    until("everybody is let in again", async || load.answered() >= 20).await;
    load.end(&program).await;
    gateway.stop().await;
    // The same without a gateway.
    let done = program.json(&["vault", "rotate", "--data-keys", "--purpose", "intake"]).await;
    assert_eq!((&done["made"], &done["left"]), (&1.into(), &0.into()), "{done}");
    let gateway = again(&program).await;
    things.opens(&gateway).await;
    gateway.stop().await;
}

/// What each change of keys was is in the audit log.
#[tokio::test]
async fn rotation_and_rewrap_are_told_in_the_log() {
    let dir = TestDir::new("vault-log");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    gateway.stop().await;
    let rotated = program.json(&["vault", "rotate"]).await;
    program.json(&["vault", "rewrap"]).await;
    let bundle = dir.path().join("bundle");
    program.json(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
    let text = fs::read_to_string(&bundle).unwrap();
    for event in ["vault.rotated", "vault.rewrapped"] {
        assert!(text.contains(event), "{event}");
    }
    assert!(text.contains(rotated["key"].as_str().unwrap()));
    let line = fs::read_to_string(dir.data().join("kek")).unwrap();
    for line in line.lines() {
        let (_, secret) = line.split_once('_').unwrap();
        assert!(!text.contains(secret));
    }
}

/// Another key file than the one that wrapped: the start is refused in words that help.
#[tokio::test]
async fn a_wrong_key_file_is_refused_with_what_to_do() {
    let dir = TestDir::new("vault-wrong");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    gateway.stop().await;
    let kek = dir.data().join("kek");
    let right = fs::read_to_string(&kek).unwrap();
    program.json(&["vault", "rotate"]).await;
    program.json(&["vault", "rewrap"]).await;
    let newer = fs::read_to_string(&kek).unwrap();
    fs::write(&kek, &right).unwrap();
    let refused = program.run(&["vault", "status"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("put the right key file"), "{refused}");
    fs::write(&kek, &newer).unwrap();
    let status: Value = program.json(&["vault", "status"]).await;
    assert_eq!(status["to_rewrap"], 0, "{status}");
}

/// A gateway that is killed while it makes a version of the key leaves none that the log does not name.
#[tokio::test]
async fn killed_rotations_leave_no_version_without_an_entry() {
    const KILLED: usize = 5;
    let dir = TestDir::new("vault-killed");
    let mut gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let kek = dir.data().join("kek");
    let lines = || fs::read_to_string(&kek).unwrap().lines().count();
    for _ in 0..KILLED {
        let before = lines();
        let rotating = program.spawn(&["vault", "rotate"]);
        let grown = async {
            while lines() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), grown).await.unwrap();
        gateway.kill9().await;
        // It was answered, or it heard that nobody is there any more.
        let _ended = rotating.wait().await;
        gateway = again(&program).await;
        program.json(&["vault", "status"]).await;
    }
    gateway.stop().await;
    assert_eq!(lines(), KILLED + 1);
    let bundle = dir.path().join("bundle");
    program.json(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
    let text = fs::read_to_string(&bundle).unwrap();
    let mut named = BTreeSet::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(leaf) = line["leaf"].as_str() else { continue };
        let leaf: Value = serde_json::from_str(leaf).unwrap();
        if ["vault.rotated", "vault.key_found"].contains(&leaf["event"].as_str().unwrap()) {
            let payload: Value = serde_json::from_str(line["payload"].as_str().unwrap()).unwrap();
            assert!(named.insert(payload["key"].to_string()), "named twice: {payload}");
        }
    }
    assert_eq!(named.len(), KILLED, "{named:?}");
}
