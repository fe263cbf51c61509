//! Keys move from one source to another in one process, which answers everybody all the while.

use std::fs;

use serde_json::{Value, json};
use tokio::process::Command;
use tradewarden_testkit::process::{Gateway, Program, TestDir, until};

use crate::bao::Bao;
use crate::load::{Load, Senders};
use crate::stage::{again, demo, log_is_whole, sealed};
use crate::token::Token;
use crate::transit::{alerts, configured, findings};

/// Has the gateway read its configuration.
async fn read_again(gateway: &Gateway) {
    let process = gateway.ready()["pid"].to_string();
    let sent = Command::new("kill").args(["-HUP", &process]).status().await;
    assert!(sent.unwrap().success());
}

/// How often the gateway has said that it stays with what it has.
fn refusals(program: &Program) -> usize {
    program.log().matches("the key sources stay as they were").count()
}

/// Waits until this source alone is in use, and wraps everything.
async fn until_moved(program: &Program, kind: &str) {
    let mut status = Value::Null;
    until("the source is another one", async || {
        status = program.json(&["vault", "status"]).await;
        let sources = status["sources"].as_array().unwrap();
        sources.len() == 1 && sources[0]["kind"] == kind
    })
    .await;
    assert_eq!(status["to_rewrap"], 0, "{status}");
    let keys = status["keys"].as_array().unwrap();
    let newest = &status["sources"][0]["newest"];
    assert!(keys.iter().all(|key| &key["source_key"] == newest), "{status}");
}

/// From the file to OpenBao and back; what was left is gone at once, and nobody notices. The next start
/// needs the new configuration alone.
#[tokio::test]
async fn one_process_moves_from_a_file_to_openbao_and_back() {
    let dir = TestDir::new("vault-moving");
    let mut bao = Bao::start(&dir, "1h").await;
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    until("the load is there", async || load.answered() >= 5).await;

    configured(&dir, &bao.config("source = \"transit\""));
    read_again(&gateway).await;
    until_moved(&program, "transit").await;
    fs::remove_file(dir.data().join("kek")).unwrap();
    let goal = load.answered() + 20;
    let rotated = program.json(&["vault", "rotate"]).await;
    assert_eq!(rotated["key"], "transit:transit/tradewarden:v2");
    program.json(&["vault", "rewrap", "--to", "transit"]).await;
    things.opens(&gateway).await;
    until("the load went on", async || load.answered() >= goal).await;

    configured(&dir, "");
    read_again(&gateway).await;
    until_moved(&program, "file").await;
    bao.kill9().await;
    let goal = load.answered() + 20;
    program.json(&["vault", "rotate"]).await;
    program.json(&["vault", "rewrap", "--to", "file"]).await;
    things.opens(&gateway).await;
    until("the load went on", async || load.answered() >= goal).await;
    load.end(&program).await;
    for code in ["vault.not_moved", "vault.unreachable"] {
        assert_eq!(findings(&program, code).await, 0, "{code}");
    }
    log_is_whole(&program).await;
    gateway.stop().await;

    let gateway = again(&program).await;
    things.opens(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    until("everybody is let in again", async || load.answered() >= 20).await;
    load.end(&program).await;
    log_is_whole(&program).await;
    gateway.stop().await;
    let bundle = dir.path().join("bundle");
    program.json(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
    assert_eq!(fs::read_to_string(&bundle).unwrap().matches("\\\"vault.moved\\\"").count(), 2);
}

/// A configuration that cannot be read, a source that does not answer, and another one of the same kind:
/// what was in use stays, and people hear why.
#[tokio::test]
async fn a_move_that_cannot_be_made_is_told_and_changes_nothing() {
    let dir = TestDir::new("vault-not-moved");
    let bao = Bao::start(&dir, "1h").await;
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    let right = bao.config("source = \"transit\"");
    bao.seal().await;
    for (number, (config, why)) in [
        (1, ("[vault]\nsource = \"transit\"", "there is no table [vault.transit]")),
        (2, (right.as_str(), "is sealed")),
    ] {
        configured(&dir, config);
        read_again(&gateway).await;
        until("it is refused", async || refusals(&program) == number).await;
        // Commands read the same file.
        configured(&dir, "");
        until("people are told", async || {
            alerts(&program, "vault.not_moved").await.len() == number
        })
        .await;
        let list = program.json(&["finding", "list"]).await;
        let told = list["items"].as_array().unwrap();
        let mut told = told.iter().filter(|one| one["code"] == "vault.not_moved");
        assert!(told.any(|one| one["detail"].as_str().unwrap().contains(why)), "{list}");
    }
    let status = program.json(&["vault", "status"]).await;
    assert_eq!(status["sources"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!((&status["sources"][0]["kind"], &status["to_rewrap"]), (&json!("file"), &json!(0)));

    bao.unseal().await;
    configured(&dir, &right);
    read_again(&gateway).await;
    until_moved(&program, "transit").await;
    configured(&dir, &right.replace("key = \"tradewarden\"", "key = \"other\""));
    read_again(&gateway).await;
    until("people are told", async || alerts(&program, "vault.not_moved").await.len() == 3).await;
    let goal = load.answered() + 20;
    until("the load went on", async || load.answered() >= goal).await;
    load.end(&program).await;
    log_is_whole(&program).await;
    gateway.stop().await;
}

/// To a token, back, and there again: its module is let go of and begun anew.
#[tokio::test]
async fn one_process_moves_to_a_token_and_back_and_there_again() {
    let dir = TestDir::new("vault-moving-token");
    let token = Token::new(&dir);
    let gateway = token.start(&dir, "").await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    for kind in ["pkcs11", "file", "pkcs11"] {
        token.configured(&dir, &format!("source = \"{kind}\""));
        read_again(&gateway).await;
        until_moved(&program, kind).await;
        things.opens(&gateway).await;
    }
    load.end(&program).await;
    log_is_whole(&program).await;
    gateway.stop().await;
    fs::remove_file(dir.data().join("kek")).unwrap();
    let gateway = token.start(&dir, "source = \"pkcs11\"").await;
    things.opens(&gateway).await;
    log_is_whole(&program).await;
    gateway.stop().await;
}
