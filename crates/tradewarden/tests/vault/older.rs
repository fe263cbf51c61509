//! What somebody who writes to the database can put where it was not, or was not any more: the real program
//! is started on it, with either database.

use std::path::PathBuf;

use serde_json::Value;
use tradewarden_testkit::postgres::TestDatabase;
use tradewarden_testkit::process::{Gateway, Program, TestDir, until};

use crate::rows::changed;
use crate::stage::{again, demo};

/// A database that nobody has open.
pub(crate) enum Held {
    Sqlite(PathBuf),
    Postgres(TestDatabase),
}

impl Held {
    pub(crate) fn sqlite(dir: &TestDir) -> Self {
        Self::Sqlite(dir.data().join("tradewarden.db"))
    }

    pub(crate) fn config(&self) -> String {
        match self {
            Self::Sqlite(_) => String::new(),
            Self::Postgres(database) => format!("database = \"{}\"", database.url()),
        }
    }

    pub(crate) async fn change(&self, statement: &str) {
        match self {
            Self::Sqlite(path) => {
                changed(path, &[statement]);
            }
            Self::Postgres(database) => database.execute(statement).await,
        }
    }

    pub(crate) async fn end(self) {
        if let Self::Postgres(database) = self {
            database.drop_database().await;
        }
    }
}

/// The installation without the demo, which wants one organization.
pub(crate) async fn serve(program: &Program) -> Gateway {
    program.try_start("serve").await.unwrap_or_else(|ended| panic!("{ended}"))
}

pub(crate) async fn findings(program: &Program, code: &str) -> Vec<Value> {
    let list = program.json(&["finding", "list"]).await;
    let items = list["items"].as_array().unwrap().iter();
    items.filter(|one| one["code"] == code).cloned().collect()
}

/// The record of a signing secret that was replaced, back in its own row, then the replaced one's back in
/// its table, then the row as a whole: each is found, and not used.
async fn an_older_secret_is_found(dir: TestDir, held: Held) {
    let gateway = demo(&dir, &held.config()).await;
    let program = gateway.program().clone();
    let new = ["webhook", "create", "--name", "signed", "--form", "signature"];
    let hook = program.json(&new).await;
    let id = hook["id"].as_str().unwrap().to_owned();
    gateway.stop().await;
    held.change("CREATE TABLE kept AS SELECT * FROM webhooks").await;
    let gateway = again(&program).await;
    program.json(&["webhook", "rotate", &id]).await;
    gateway.stop().await;
    held.change("CREATE TABLE newer AS SELECT * FROM webhooks").await;
    let gateway = again(&program).await;
    assert!(!program.log().contains("older than the audit log says"), "{}", program.log());
    assert_eq!(findings(&program, "vault.older_secret").await.len(), 0);
    gateway.stop().await;

    held.change(
        "UPDATE webhooks SET signing_secret = (SELECT kept.signing_secret FROM kept \
         WHERE kept.id = webhooks.id) WHERE signing_secret IS NOT NULL",
    )
    .await;
    let gateway = again(&program).await;
    assert!(program.log().contains("older than the audit log says"), "{}", program.log());
    until("it is told", async || {
        findings(&program, "vault.older_secret").await.iter().any(|found| found["subject"] == id)
    })
    .await;
    gateway.stop().await;

    // Set right, it is used again: it was the age alone.
    held.change(
        "UPDATE webhooks SET signing_secret = (SELECT newer.signing_secret FROM newer \
         WHERE newer.id = webhooks.id) WHERE signing_secret IS NOT NULL",
    )
    .await;
    let before = program.log().len();
    let gateway = again(&program).await;
    assert!(!program.log()[before..].contains("older than"), "{}", program.log());
    gateway.stop().await;

    // The whole row as it was, with the hash of its old secret.
    held.change("DELETE FROM previous_secrets").await;
    held.change(
        "UPDATE webhooks SET signing_secret = (SELECT kept.signing_secret FROM kept \
         WHERE kept.id = webhooks.id), secret_hash = (SELECT kept.secret_hash FROM kept \
         WHERE kept.id = webhooks.id) WHERE signing_secret IS NOT NULL",
    )
    .await;
    let before = program.log().len();
    let gateway = again(&program).await;
    assert!(program.log()[before..].contains("older than the audit log says"), "{}", program.log());
    gateway.stop().await;
    held.end().await;
}

#[tokio::test]
async fn an_older_secret_is_found_on_sqlite() {
    let dir = TestDir::new("vault-older");
    let held = Held::sqlite(&dir);
    an_older_secret_is_found(dir, held).await;
}

#[tokio::test]
async fn an_older_secret_is_found_on_postgresql() {
    let dir = TestDir::new("vault-older-pg");
    an_older_secret_is_found(dir, Held::Postgres(TestDatabase::create().await)).await;
}

/// A secret and a data key of one organization in the rows of another: neither opens, and both are told.
async fn nothing_opens_in_another_organization(dir: TestDir, held: Held) {
    let gateway = demo(&dir, &held.config()).await;
    let program = gateway.program().clone();
    let other = ["organization", "create", "--name", "other", "--owner", "ann@example.com"];
    program.json(&other).await;
    let new = ["--organization", "other", "key", "create", "--name", "theirs"];
    let rest = ["--algorithm", "hmac-sha256", "--scope", "orders:read"];
    program.json(&[&new[..], &rest[..]].concat()).await;
    gateway.stop().await;
    held.change(
        "CREATE TABLE moved AS SELECT id, org_id, material FROM api_keys \
         WHERE algorithm = 'hmac-sha256'",
    )
    .await;
    held.change(
        "UPDATE api_keys SET material = (SELECT moved.material FROM moved \
         WHERE moved.org_id <> api_keys.org_id) WHERE algorithm = 'hmac-sha256'",
    )
    .await;
    let gateway = serve(&program).await;
    let log = program.log();
    assert_eq!(log.matches("its secret does not open").count(), 2, "{log}");
    gateway.stop().await;
    // In its own row again, but of the other organization.
    held.change(
        "UPDATE api_keys SET material = (SELECT moved.material FROM moved \
         WHERE moved.id = api_keys.id) WHERE id IN (SELECT id FROM moved)",
    )
    .await;
    held.change(
        "UPDATE api_keys SET org_id = (SELECT organizations.id FROM organizations \
         WHERE organizations.id <> api_keys.org_id) WHERE id IN (SELECT id FROM moved)",
    )
    .await;
    let before = program.log().len();
    let gateway = serve(&program).await;
    let log = program.log()[before..].to_owned();
    assert_eq!(log.matches("its secret does not open").count(), 2, "{log}");
    gateway.stop().await;

    held.change(
        "UPDATE data_keys SET wrapped = (SELECT theirs.wrapped FROM data_keys AS theirs \
         WHERE theirs.org_id <> data_keys.org_id AND theirs.purpose = 'intake') \
         WHERE purpose = 'intake'",
    )
    .await;
    let gateway = serve(&program).await;
    until("it is told", async || {
        let list = program.json(&["--organization", "main", "finding", "list"]).await;
        let mut items = list["items"].as_array().unwrap().iter();
        items.any(|one| {
            one["code"] == "vault.key_unusable"
                && one["detail"]
                    .as_str()
                    .unwrap()
                    .contains("another organization, purpose or version")
        })
    })
    .await;
    gateway.stop().await;
    held.end().await;
}

#[tokio::test]
async fn nothing_opens_in_another_organization_on_sqlite() {
    let dir = TestDir::new("vault-tenant");
    let held = Held::sqlite(&dir);
    nothing_opens_in_another_organization(dir, held).await;
}

#[tokio::test]
async fn nothing_opens_in_another_organization_on_postgresql() {
    let dir = TestDir::new("vault-tenant-pg");
    let held = Held::Postgres(TestDatabase::create().await);
    nothing_opens_in_another_organization(dir, held).await;
}
