//! The wrapping key in a real OpenBao: rotated under load, sealed, away, and moved there and back.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tradewarden_testkit::process::{Program, QUICK_CALLERS, TestDir, until};

use tokio::time::Instant;

use crate::bao::Bao;
use crate::load::{Load, Senders, Who};
use crate::stage::{BINARY, again, by_source_key, demo, log_is_whole, sealed};

/// Two looks at the source, five seconds apart, or one that it does not answer for ten; and some more.
const TOLD_WITHIN: Duration = Duration::from_secs(19);

/// The same data directory under another configuration.
pub(crate) fn configured(dir: &TestDir, config: &str) -> Program {
    Program::new(BINARY, dir.data(), &format!("{config}\n{QUICK_CALLERS}"))
}

fn newest(status: &Value) -> &str {
    status["sources"][0]["newest"].as_str().unwrap_or_else(|| panic!("{status}"))
}

pub(crate) async fn findings(program: &Program, code: &str) -> usize {
    let list = program.json(&["finding", "list"]).await;
    list["items"].as_array().unwrap().iter().filter(|one| one["code"] == code).count()
}

/// The key is rotated there and everything wrapped anew while signals come in; tokens are renewed,
/// and replaced when they are revoked.
#[tokio::test]
async fn a_key_in_openbao_is_rotated_under_load() {
    let dir = TestDir::new("vault-transit");
    let bao = Bao::start(&dir, "12s").await;
    let gateway = demo(&dir, &bao.config("source = \"transit\"")).await;
    let program = gateway.program().clone();
    assert!(!dir.data().join("kek").exists(), "there is no key on this machine");
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let before = program.json(&["vault", "status"]).await;
    assert_eq!(newest(&before), "transit:transit/tradewarden:v1");
    assert_eq!(by_source_key(&before), [("transit:transit/tradewarden:v1".to_owned(), 5)]);

    let load = Load::begin(&gateway, &senders);
    for version in 2..=3 {
        let goal = load.answered() + 20;
        let rotated = program.json(&["vault", "rotate"]).await;
        assert_eq!(rotated["key"], format!("transit:transit/tradewarden:v{version}"));
        bao.revoke_tokens().await;
        let done = program.json(&["vault", "rewrap", "--to", "transit"]).await;
        assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
        until("the load went on", async || load.answered() >= goal).await;
    }
    until("a token was renewed", async || bao.has_renewed("approle", 0).await).await;
    things.opens(&gateway).await;
    load.end(&program).await;
    gateway.stop().await;

    // The same with a token, whose policy is enough to go on, also when its first time is over.
    let program = configured(&dir, &bao.config_with_token("source = \"transit\"", "6s").await);
    let gateway = again(&program).await;
    until("the token was renewed", async || bao.has_renewed("token", 7).await).await;
    assert_eq!(findings(&program, "vault.unreachable").await, 0);
    program.json(&["vault", "rewrap"]).await;
    things.opens(&gateway).await;
    log_is_whole(&program).await;
    gateway.stop().await;
}

/// Sealed: at the start a sentence; later everything goes on, people hear of it, secrets are closed
/// when the bound is over, and all comes back by itself.
#[tokio::test]
async fn a_sealed_openbao_is_told_borne_and_recovered_from() {
    let dir = TestDir::new("vault-sealed");
    let bao = Bao::start(&dir, "1h").await;
    let config = bao.config("source = \"transit\"\nunreachable_max_s = 25");
    let gateway = demo(&dir, &config).await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);

    bao.seal().await;
    until("it is told", async || findings(&program, "vault.unreachable").await == 1).await;
    things.opens(&gateway).await;
    load.end(&program).await;
    let load = Load::of(&gateway, &senders, &[Who::Bearer]);
    let refused = program.run(&["vault", "rotate"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("sealed") && refused.stderr.contains("unseal it"), "{refused}");
    let new = ["organization", "create", "--name", "New", "--owner", "new@example.com"];
    let refused = program.run(&new).await;
    assert_eq!(refused.code, Some(4), "{refused}");

    until("the secrets are closed", async || {
        program.json(&["vault", "status"]).await["secrets"] == "closed"
    })
    .await;
    assert_eq!(things.key_opens(&gateway).await, 503);
    let goal = load.answered() + 20;
    until("what needs no secret goes on", async || load.answered() >= goal).await;

    bao.unseal().await;
    until("it is back", async || findings(&program, "vault.recovered").await == 1).await;
    things.opens(&gateway).await;
    assert_eq!(program.json(&["vault", "status"]).await["secrets"], "open");
    load.end(&program).await;
    let load = Load::begin(&gateway, &senders);
    until("everybody is let in again", async || load.answered() >= 20).await;
    load.end(&program).await;
    assert_eq!(findings(&program, "vault.unreachable").await, 1, "told once");
    gateway.stop().await;

    bao.seal().await;
    let refused = program.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("sealed") && refused.stderr.contains("unseal it"), "{refused}");
    drop(bao);
    let refused = program.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("cannot be reached: start it"), "{refused}");
}

/// What nobody has acknowledged yet, of this code.
pub(crate) async fn alerts(program: &Program, code: &str) -> Vec<String> {
    let list = program.json(&["alert", "list"]).await;
    let open = list["items"].as_array().unwrap().iter();
    let open = open.filter(|one| one["code"] == code && one["acknowledged_at"].is_null());
    open.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Killed and begun again, then held: everything goes on, people hear of it in time and until somebody
/// acknowledges it, and all comes back by itself.
#[tokio::test]
async fn an_openbao_that_is_gone_or_hangs_is_told_borne_and_recovered_from() {
    let dir = TestDir::new("vault-gone");
    let mut bao = Bao::start(&dir, "1h").await;
    let gateway = demo(&dir, &bao.config("source = \"transit\"")).await;
    let program = gateway.program().clone();
    let senders = Senders::new(&gateway).await;
    for (round, hangs) in [(1, false), (2, true)] {
        let load = Load::begin(&gateway, &senders);
        until("the load is there", async || load.answered() >= 5).await;
        if hangs {
            bao.hold().await;
        } else {
            bao.kill9().await;
        }
        let begun = Instant::now();
        let mut raised = Vec::new();
        until("people are told", async || {
            raised = alerts(&program, "vault.unreachable").await;
            !raised.is_empty()
        })
        .await;
        assert!(begun.elapsed() < TOLD_WITHIN, "{:?}", begun.elapsed());
        assert_eq!((raised.len(), findings(&program, "vault.unreachable").await), (1, round));
        let goal = load.answered() + 20;
        let refused = program.run(&["vault", "rotate"]).await;
        assert_eq!(refused.code, Some(4), "{refused}");
        let sentence = if hangs { "did not answer in time" } else { "cannot be reached: start it" };
        assert!(refused.stderr.contains(sentence), "{refused}");
        let status = program.json(&["vault", "status"]).await;
        assert!(status["away_since"].is_string() && status["secrets"] == "open", "{status}");
        until("the load went on", async || load.answered() >= goal).await;

        if hangs {
            bao.let_go().await;
        } else {
            bao.begin_again().await;
        }
        until("it is back", async || findings(&program, "vault.recovered").await == round).await;
        let status = program.json(&["vault", "status"]).await;
        assert_eq!(status["away_since"], Value::Null, "{status}");
        assert_eq!(alerts(&program, "vault.unreachable").await, raised, "until it is acknowledged");
        program.json(&["alert", "acknowledge", &raised[0]]).await;
        program.json(&["vault", "rotate"]).await;
        let done = program.json(&["vault", "rewrap"]).await;
        assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
        load.end(&program).await;
    }
    log_is_whole(&program).await;
    gateway.stop().await;
}

/// From the file to OpenBao under load, without the file afterwards, and back.
#[tokio::test]
async fn keys_are_moved_from_a_file_to_openbao_and_back() {
    let dir = TestDir::new("vault-move");
    let bao = Bao::start(&dir, "1h").await;
    let gateway = demo(&dir, "").await;
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    gateway.stop().await;

    let both = bao.config("source = \"transit\"\nprevious = \"file\"");
    let gateway = again(&configured(&dir, &both)).await;
    let program = gateway.program().clone();
    let webhook = json!(gateway.ready()["webhook"]);
    assert!(webhook.is_object(), "the demo says it again");
    let load = Load::begin(&gateway, &senders);
    assert_eq!(program.json(&["vault", "status"]).await["to_rewrap"], 5);
    let goal = load.answered() + 20;
    let done = program.json(&["vault", "rewrap", "--to", "transit"]).await;
    assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
    until("the load went on", async || load.answered() >= goal).await;
    things.opens(&gateway).await;
    load.end(&program).await;
    gateway.stop().await;

    fs::remove_file(dir.data().join("kek")).unwrap();
    let gateway = again(&configured(&dir, &bao.config("source = \"transit\""))).await;
    things.opens(&gateway).await;
    log_is_whole(&program).await;
    gateway.stop().await;
    // The log's key is opened anew.
    log_is_whole(&program).await;

    let back = bao.config("source = \"file\"\nprevious = \"transit\"");
    let program = configured(&dir, &back);
    let done = program.json(&["vault", "rewrap", "--to", "file"]).await;
    assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
    drop(bao);
    let gateway = again(&configured(&dir, "")).await;
    things.opens(&gateway).await;
    log_is_whole(&program).await;
    gateway.stop().await;
}
