//! The wrapping key in a PKCS#11 token: SoftHSM, seen by pkcs11-tool as well.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tradewarden_testkit::process::{Gateway, Program, QUICK_CALLERS, TestDir, until};

use crate::load::{Load, Senders};
use crate::stage::{BINARY, by_source_key, log_is_whole, sealed};

const PIN: &str = "482917";
/// Where Debian's package has the module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token of this test's own.
pub(crate) struct Token {
    config: PathBuf,
    program: PathBuf,
}

impl Token {
    /// Made by the tools that come with it, with a first key.
    pub(crate) fn new(dir: &TestDir) -> Self {
        let tokens = dir.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let config = dir.path().join("softhsm2.conf");
        fs::write(&config, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
        // The module finds its tokens by the environment, which the gateway is given here.
        let program = dir.path().join("with-token");
        let script =
            format!("#!/bin/sh\nSOFTHSM2_CONF='{}' exec '{BINARY}' \"$@\"\n", config.display());
        fs::write(&program, script).unwrap();
        let runs = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&program, runs).unwrap();
        let pin = dir.path().join("pin");
        fs::write(&pin, format!("{PIN}\n")).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&pin, closed).unwrap();
        let token = Self { config, program };
        let make = ["--init-token", "--free", "--label", "trading", "--so-pin", "99887766"];
        token.tool("softhsm2-util", &[&make[..], &["--pin", PIN]].concat());
        token.key("01", &["--sensitive", "--private"]);
        token
    }

    fn key(&self, id: &str, more: &[&str]) {
        let key = ["--keygen", "--key-type", "AES:32", "--label", "tradewarden", "--id", id];
        self.pkcs11(&[&key[..], more].concat());
    }

    fn tool(&self, program: &str, args: &[&str]) -> String {
        let run = Command::new(program).args(args).env("SOFTHSM2_CONF", &self.config).output();
        let run = run.unwrap_or_else(|error| {
            panic!("{error}: this test needs Debian's packages softhsm2 and opensc")
        });
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{program} {args:?}: {said}{complaint}");
        said
    }

    fn pkcs11(&self, args: &[&str]) -> String {
        let logged_in = ["--module", MODULE, "--token-label", "trading", "--login", "--pin", PIN];
        self.tool("pkcs11-tool", &[&logged_in[..], args].concat())
    }

    fn config(vault: &str) -> String {
        format!(
            "[vault]\n{vault}\n[vault.pkcs11]\nmodule = \"{MODULE}\"\ntoken = \"trading\"\n\
             key = \"tradewarden\"\npin_file = \"pin\"\n{QUICK_CALLERS}"
        )
    }

    /// The gateway with another configuration; what runs reads it when it is told to.
    pub(crate) fn configured(&self, dir: &TestDir, vault: &str) -> Program {
        Program::new(&self.program, dir.data(), &Self::config(vault))
    }

    pub(crate) async fn start(&self, dir: &TestDir, vault: &str) -> Gateway {
        let program = self.configured(dir, vault);
        program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"))
    }
}

/// The key is made, rotated and used in the token, and never leaves it.
#[tokio::test]
async fn a_key_in_a_token_is_rotated_under_load() {
    let dir = TestDir::new("vault-token");
    let token = Token::new(&dir);
    let gateway = token.start(&dir, "source = \"pkcs11\"").await;
    let program = gateway.program().clone();
    assert!(!dir.data().join("kek").exists(), "there is no key on this machine's disk");
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    for version in 2..=3 {
        let goal = load.answered() + 20;
        let rotated = program.json(&["vault", "rotate"]).await;
        assert_eq!(rotated["key"], format!("pkcs11:tradewarden:{version}"));
        let done = program.json(&["vault", "rewrap", "--to", "pkcs11"]).await;
        assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
        until("the load went on", async || load.answered() >= goal).await;
    }
    things.opens(&gateway).await;
    load.end(&program).await;
    let status = program.json(&["vault", "status"]).await;
    assert_eq!(by_source_key(&status), [("pkcs11:tradewarden:3".to_owned(), 5)], "{status}");
    log_is_whole(&program).await;
    gateway.stop().await;

    let listed = token.pkcs11(&["--list-objects", "--type", "secrkey"]);
    assert_eq!(listed.matches("label:      tradewarden").count(), 3, "{listed}");
    let last = listed.split("Secret Key Object").last().unwrap();
    assert!(last.contains("never extractable"), "{listed}");

    // One that needs no log-in to be made, and may come from anybody.
    token.key("ff", &[]);
    let gateway = token.start(&dir, "source = \"pkcs11\"").await;
    things.opens(&gateway).await;
    let program = gateway.program().clone();
    let newest = |status: &serde_json::Value| status["sources"][0]["newest"].clone();
    let status = program.json(&["vault", "status"]).await;
    assert_eq!(newest(&status), "pkcs11:tradewarden:3", "{status}");
    // A twin: what it wrapped, the other one would be asked to open.
    token.key("03", &["--sensitive", "--private"]);
    let status = program.json(&["vault", "status"]).await;
    let error = status["sources"][0]["error"].as_str().unwrap();
    assert!(error.contains("two keys pkcs11:tradewarden:3"), "{status}");
    gateway.stop().await;
}

/// Pulled under a running gateway and put back: everything goes on, people hear of it, and it is logged
/// in to again. Nobody knows which of two a module shows of a token that is gone: none, or one without keys.
#[tokio::test]
async fn a_token_that_is_pulled_is_told_borne_and_logged_in_to_again() {
    let dir = TestDir::new("vault-token-pulled");
    let token = Token::new(&dir);
    let gateway = token.start(&dir, "source = \"pkcs11\"").await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    let load = Load::begin(&gateway, &senders);
    let (tokens, pulled) = (dir.path().join("tokens"), dir.path().join("pulled"));
    fs::rename(&tokens, &pulled).unwrap();
    fs::create_dir(&tokens).unwrap();
    let listed = async |what: &str, code: &str| {
        let list = program.json(&[what, "list"]).await;
        list["items"].as_array().unwrap().iter().filter(|one| one["code"] == code).count()
    };
    until("people are told", async || listed("alert", "vault.unreachable").await == 1).await;
    let goal = load.answered() + 20;
    let refused = program.run(&["vault", "rotate"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("there is no token \"trading\""), "{refused}");
    until("the load went on", async || load.answered() >= goal).await;
    things.opens(&gateway).await;

    fs::remove_dir(&tokens).unwrap();
    fs::rename(&pulled, &tokens).unwrap();
    until("it is back", async || listed("finding", "vault.recovered").await == 1).await;
    let status = program.json(&["vault", "status"]).await;
    assert_eq!(status["away_since"], serde_json::Value::Null, "{status}");
    let rotated = program.json(&["vault", "rotate"]).await;
    assert_eq!(rotated["key"], "pkcs11:tradewarden:2");
    let done = program.json(&["vault", "rewrap"]).await;
    assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
    load.end(&program).await;
    gateway.stop().await;
}

/// From the token to the file and back; a wrong PIN and a token that is not there are told.
#[tokio::test]
async fn keys_are_moved_between_a_token_and_a_file() {
    let dir = TestDir::new("vault-token-move");
    let token = Token::new(&dir);
    let gateway = token.start(&dir, "").await;
    let things = sealed(&dir, &gateway);
    gateway.stop().await;
    let gateway = token.start(&dir, "source = \"pkcs11\"\nprevious = \"file\"").await;
    let done = gateway.program().json(&["vault", "rewrap", "--to", "pkcs11"]).await;
    assert_eq!((&done["rewrapped"], &done["left"]), (&5.into(), &0.into()), "{done}");
    gateway.stop().await;
    fs::remove_file(dir.data().join("kek")).unwrap();
    let gateway = token.start(&dir, "source = \"pkcs11\"").await;
    things.opens(&gateway).await;
    let program = gateway.program().clone();
    log_is_whole(&program).await;
    gateway.stop().await;

    fs::write(dir.path().join("pin"), "000000\n").unwrap();
    let refused = program.run(&["vault", "status"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("does not take the PIN"), "{refused}");
    fs::write(dir.path().join("pin"), format!("{PIN}\n")).unwrap();
    fs::rename(dir.path().join("tokens"), dir.path().join("pulled")).unwrap();
    fs::create_dir(dir.path().join("tokens")).unwrap();
    let refused = program.run(&["vault", "status"]).await;
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("there is no token \"trading\""), "{refused}");
}
