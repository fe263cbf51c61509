//! Rows that somebody who writes to the database sets back, takes away or puts in (C19): the real program
//! is started on them, with either database.

use serde_json::{Value, json};
use tradewarden_testkit::postgres::TestDatabase;
use tradewarden_testkit::process::{Gateway, Program, TestDir, until};

use crate::older::{Held, findings, serve};
use crate::stage::{again, demo, sealed};

/// Status and code of the answer to a signal of its own.
async fn send(gateway: &Gateway, action: &str, id: &str) -> (u16, Value) {
    let webhook = &gateway.ready()["webhook"];
    let text = |name: &str| webhook[name].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{}", text("token"));
    let headers = [("x-webhook-secret", text("secret"))];
    let body = format!(r#"{{"action":"{action}","id":"{id}"}}"#);
    let answer = gateway.client().post(&path, &headers, body).await.unwrap();
    (answer.status, answer.json()["code"].clone())
}

/// A database that is changed while nobody has it open, and what the program says of it.
struct Stage {
    held: Held,
    program: Program,
    starts: usize,
    /// What findings of before were about.
    told: Vec<String>,
}

impl Stage {
    async fn of(dir: &TestDir, held: Held) -> Self {
        let gateway = demo(dir, &held.config()).await;
        let program = gateway.program().clone();
        gateway.stop().await;
        Self { held, program, starts: 0, told: Vec::new() }
    }

    /// Through the front door: it is in the log.
    async fn enter(&self, commands: &[&[&str]]) {
        let gateway = again(&self.program).await;
        for command in commands {
            self.program.json(command).await;
        }
        gateway.stop().await;
    }

    /// The change is seen, people are told of this row, and entries are refused while exits pass.
    async fn is_seen(&mut self, change: &[&str], subject: &str) {
        self.change(change).await;
        self.starts += 1;
        let gateway = again(&self.program).await;
        until("people are told", async || {
            let found = findings(&self.program, "row.mismatch").await;
            found.iter().filter(|one| one["subject"] == subject).count() > self.told(subject)
        })
        .await;
        let found = findings(&self.program, "row.mismatch").await;
        self.told = found.iter().map(|one| one["subject"].as_str().unwrap().to_owned()).collect();
        let entry = send(&gateway, "BUY", &format!("entry {}", self.starts)).await;
        assert_eq!(entry.1, "halt.active", "{change:?}");
        let exit = send(&gateway, "EXIT", &format!("exit {}", self.starts)).await;
        assert_ne!(exit.1, "halt.active", "{change:?}");
        let halts = self.program.json(&["halt", "status"]).await;
        let stands_in = |halt: &Value| halt["engaged_by"] == "gateway" && halt["local"] == true;
        assert!(halts["items"].as_array().unwrap().iter().any(stands_in), "{halts}");
        self.is_settled().await;
        gateway.stop().await;
    }

    /// With what the log says in the database, it goes on as before.
    async fn is_right(&mut self, change: &[&str]) {
        self.change(change).await;
        self.starts += 1;
        let gateway = again(&self.program).await;
        let entry = send(&gateway, "BUY", &format!("right {}", self.starts)).await;
        assert_eq!(entry, (202, Value::Null), "{change:?}");
        let exit = send(&gateway, "EXIT", &format!("out {}", self.starts)).await;
        assert_eq!(exit, (202, Value::Null), "{change:?}");
        let halts = self.program.json(&["halt", "status"]).await;
        assert!(!halts.to_string().contains("gateway"), "{halts}");
        self.is_settled().await;
        gateway.stop().await;
    }

    /// The next start finds nothing held: an exit that has not filled when the program ends would leave it
    /// long.
    async fn is_settled(&self) {
        until("no order is live", async || {
            let orders = self.program.json(&["order", "list"]).await;
            let mut orders = orders["items"].as_array().unwrap().iter();
            let ended = ["filled", "canceled", "rejected", "expired"];
            orders.all(|order| ended.contains(&order["state"].as_str().unwrap()))
        })
        .await;
    }

    fn told(&self, subject: &str) -> usize {
        self.told.iter().filter(|told| *told == subject).count()
    }

    async fn org(&self) -> String {
        let gateway = again(&self.program).await;
        let list = self.program.json(&["organization", "list"]).await;
        gateway.stop().await;
        list["items"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn change(&self, statements: &[&str]) {
        for statement in statements {
            self.held.change(statement).await;
        }
    }
}

/// An older limit, none, and one that nobody set.
async fn c19_limits_are_those_of_the_log(dir: TestDir, held: Held) {
    let mut stage = Stage::of(&dir, held).await;
    let org = stage.org().await;
    stage.change(&["CREATE TABLE before AS SELECT * FROM limits"]).await;
    let tighter =
        ["limit", "set", "--scope", "org", "--name", "max_order_quantity", "--value", "50"];
    stage.enter(&[&tighter]).await;
    stage.change(&["CREATE TABLE kept AS SELECT * FROM limits"]).await;
    let kept = ["DELETE FROM limits", "INSERT INTO limits SELECT * FROM kept"];
    stage.is_right(&[]).await;

    stage.is_seen(&["DELETE FROM limits", "INSERT INTO limits SELECT * FROM before"], &org).await;
    stage.is_right(&kept).await;
    stage.is_seen(&["DELETE FROM limits WHERE name = 'max_order_quantity'"], &org).await;
    stage.is_right(&kept).await;
    let put_in = "INSERT INTO limits SELECT org_id, 'instrument:AAPL', name, value, version, \
                  updated_at FROM kept WHERE name = 'max_order_quantity'";
    stage.is_seen(&[put_in], &org).await;

    // What is changed through the front door afterwards does not make it right.
    let wider = ["limit", "set", "--scope", "org", "--name", "max_order_quantity", "--value", "51"];
    stage.enter(&[&wider]).await;
    stage.is_seen(&[], &org).await;
    let gateway = again(&stage.program).await;
    let listed = stage.program.run(&["audit", "accept", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let phrase = listed["phrase"].as_str().unwrap();
    let accepted = stage.program.json(&["audit", "accept", "--phrase", phrase]).await;
    assert_eq!(accepted["mistrusted"], Value::Array(Vec::new()));
    gateway.stop().await;
    stage.is_right(&[]).await;
    stage.held.end().await;
}

/// A halt that is gone, one that was ended and is engaged, and one that says something else.
async fn c19_halts_are_those_of_the_log(dir: TestDir, held: Held) {
    let mut stage = Stage::of(&dir, held).await;
    let gateway = again(&stage.program).await;
    let new = ["halt", "engage", "--scope", "instrument:MSFT", "--reason", "it is ours"];
    let halt = stage.program.json(&new).await["id"].as_str().unwrap().to_owned();
    let new = ["halt", "engage", "--scope", "instrument:GOOG", "--reason", "it was ours"];
    let ended = stage.program.json(&new).await["id"].as_str().unwrap().to_owned();
    stage.program.json(&["halt", "resume", &ended]).await;
    gateway.stop().await;
    stage.change(&["CREATE TABLE kept AS SELECT * FROM halts"]).await;
    let kept = ["DELETE FROM halts", "INSERT INTO halts SELECT * FROM kept"];
    stage.is_right(&[]).await;

    stage.is_seen(&["DELETE FROM halts WHERE scope = 'instrument:MSFT'"], &halt).await;
    stage.is_right(&kept).await;
    let lifted = "UPDATE halts SET resumed_by = 'operator', resumed_at = engaged_at \
                  WHERE scope = 'instrument:MSFT'";
    stage.is_seen(&[lifted], &halt).await;
    stage.is_right(&kept).await;
    let back = "UPDATE halts SET resumed_by = NULL, resumed_at = NULL \
                WHERE scope = 'instrument:GOOG'";
    stage.is_seen(&[back], &ended).await;
    stage.is_right(&kept).await;
    let weaker = "UPDATE halts SET mode = 'reduce_only' WHERE scope = 'instrument:MSFT'";
    stage.is_seen(&[weaker], &halt).await;
    stage.is_right(&kept).await;

    // The head with its rows as they were before the halts: the entries are newer.
    let all = ["DELETE FROM halts", "DELETE FROM row_seals WHERE kind = 'halts'"];
    stage.is_seen(&all, &halt).await;
    stage.held.end().await;
}

#[tokio::test]
async fn c19_limits_are_those_of_the_log_on_sqlite() {
    let dir = TestDir::new("guarded-limits");
    let held = Held::sqlite(&dir);
    c19_limits_are_those_of_the_log(dir, held).await;
}

#[tokio::test]
async fn c19_limits_are_those_of_the_log_on_postgresql() {
    let dir = TestDir::new("guarded-limits-pg");
    c19_limits_are_those_of_the_log(dir, Held::Postgres(TestDatabase::create().await)).await;
}

#[tokio::test]
async fn c19_halts_are_those_of_the_log_on_sqlite() {
    let dir = TestDir::new("guarded-halts");
    let held = Held::sqlite(&dir);
    c19_halts_are_those_of_the_log(dir, held).await;
}

#[tokio::test]
async fn c19_halts_are_those_of_the_log_on_postgresql() {
    let dir = TestDir::new("guarded-halts-pg");
    c19_halts_are_those_of_the_log(dir, Held::Postgres(TestDatabase::create().await)).await;
}

/// A gateway that runs reads what it hears of as changed, and sees that nobody entered it. (An SQLite file
/// has one owner while it runs.)
async fn c19_a_running_node_sees_it(dir: TestDir, held: Held) {
    let gateway = demo(&dir, &held.config()).await;
    let program = gateway.program().clone();
    assert_eq!(send(&gateway, "BUY", "before").await, (202, Value::Null));
    assert_eq!(send(&gateway, "EXIT", "out").await, (202, Value::Null));
    let told = [
        "UPDATE change_head SET newest = newest + 1",
        "INSERT INTO changes (number, subject, row_id) SELECT change_head.newest, 'limits', \
         organizations.id FROM change_head, organizations",
    ];
    held.change("UPDATE limits SET value = value * 2 WHERE name = 'max_position'").await;
    for statement in told {
        held.change(statement).await;
    }
    until("it is seen", async || findings(&program, "row.mismatch").await.len() == 1).await;
    assert_eq!(send(&gateway, "BUY", "entry").await.1, "halt.active");
    held.change("UPDATE limits SET value = value / 2 WHERE name = 'max_position'").await;
    for statement in told {
        held.change(statement).await;
    }
    until("it is right", async || {
        let halts = program.json(&["halt", "status"]).await;
        halts["items"].as_array().unwrap().is_empty()
    })
    .await;
    assert_eq!(send(&gateway, "BUY", "after").await, (202, Value::Null));
    gateway.stop().await;
    held.end().await;
}

#[tokio::test]
async fn c19_a_running_node_sees_it_on_postgresql() {
    let dir = TestDir::new("guarded-running-pg");
    c19_a_running_node_sees_it(dir, Held::Postgres(TestDatabase::create().await)).await;
}

/// What the owner is answered: status of the log-in, and the role with it.
async fn owner_is(gateway: &Gateway, owner: &Value) -> (u16, Value) {
    let mut client = gateway.client();
    let body = json!({"email": owner["email"], "password": owner["password"]});
    let login = client.post("/api/v1/auth/login", &[], body.to_string()).await.unwrap();
    if login.status != 200 {
        return (login.status, Value::Null);
    }
    let bearer = format!("Bearer {}", login.json()["access_token"].as_str().unwrap());
    let me = client.get("/api/v1/me", &[("authorization", &bearer)]).await.unwrap();
    (me.status, me.json()["role"].clone())
}

/// A role that nobody gave, a member who is gone, and the way out for who holds the installation.
async fn c19_members_are_those_of_the_log(dir: TestDir, held: Held) {
    let gateway = demo(&dir, &held.config()).await;
    let program = gateway.program().clone();
    let owner = gateway.ready()["owner"].clone();
    assert_eq!(owner_is(&gateway, &owner).await, (200, json!("owner")));
    let nothing = program.json(&["audit", "accept"]).await;
    assert_eq!(nothing["mistrusted"], json!([]));
    gateway.stop().await;

    held.change("UPDATE memberships SET role = 'admin'").await;
    let gateway = serve(&program).await;
    until("people are told", async || findings(&program, "row.mismatch").await.len() == 1).await;
    assert_ne!(owner_is(&gateway, &owner).await.0, 200);
    let listed = program.run(&["audit", "accept", "--json"]).await;
    assert_eq!(listed.code, Some(1), "{listed}");
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let mistrusted = listed["mistrusted"].as_array().unwrap();
    assert_eq!((mistrusted.len(), &mistrusted[0]["kind"]), (1, &json!("members")));
    let row = &mistrusted[0]["rows"][0];
    assert!(row["id"].as_str().unwrap().starts_with("usr_"), "{listed}");
    assert_eq!(row["holds"]["role"], "admin", "{listed}");
    let wrong = program.run(&["audit", "accept", "--phrase", "accept everything"]).await;
    assert_ne!(wrong.code, Some(0), "{wrong}");
    assert_ne!(owner_is(&gateway, &owner).await.0, 200);

    let phrase = listed["phrase"].as_str().unwrap();
    let accepted = program.json(&["audit", "accept", "--phrase", phrase]).await;
    assert_eq!((&accepted["mistrusted"], &accepted["accepted"]), (&json!([]), &json!(1)));
    assert_eq!(owner_is(&gateway, &owner).await, (200, json!("admin")));
    assert_eq!(findings(&program, "row.accepted").await.len(), 1);
    gateway.stop().await;

    // From then on it is what the log says, and what was before is not.
    let gateway = serve(&program).await;
    assert_eq!(owner_is(&gateway, &owner).await, (200, json!("admin")));
    gateway.stop().await;
    held.change("UPDATE memberships SET role = 'owner'").await;
    let gateway = serve(&program).await;
    assert_ne!(owner_is(&gateway, &owner).await.0, 200);
    gateway.stop().await;
    held.end().await;
}

/// A key that was revoked is taken again by nobody, and one with more scopes neither.
async fn c19_keys_are_those_of_the_log(dir: TestDir, held: Held) {
    let gateway = demo(&dir, &held.config()).await;
    let program = gateway.program().clone();
    let key = sealed(&dir, &gateway);
    assert_eq!(key.key_opens(&gateway).await, 200);
    gateway.stop().await;
    held.change("CREATE TABLE kept AS SELECT * FROM api_keys").await;
    let with_scopes = "UPDATE api_keys SET scopes = 'orders:read' WHERE algorithm = 'hmac-sha256'";
    held.change(with_scopes).await;
    let gateway = again(&program).await;
    assert_eq!(key.key_opens(&gateway).await, 401);
    until("people are told", async || {
        let found = findings(&program, "row.mismatch").await;
        found.iter().any(|one| one["subject"] == key.id())
    })
    .await;
    gateway.stop().await;
    held.change(
        "UPDATE api_keys SET scopes = (SELECT kept.scopes FROM kept WHERE kept.id = api_keys.id)",
    )
    .await;
    let gateway = again(&program).await;
    assert_eq!(key.key_opens(&gateway).await, 200);
    program.json(&["key", "revoke", key.id()]).await;
    assert_eq!(key.key_opens(&gateway).await, 401);
    gateway.stop().await;
    held.change("UPDATE api_keys SET state = 'active'").await;
    let gateway = again(&program).await;
    assert_eq!(key.key_opens(&gateway).await, 401);
    gateway.stop().await;
    held.end().await;
}

#[tokio::test]
async fn c19_members_are_those_of_the_log_on_sqlite() {
    let dir = TestDir::new("guarded-members");
    let held = Held::sqlite(&dir);
    c19_members_are_those_of_the_log(dir, held).await;
}

#[tokio::test]
async fn c19_members_are_those_of_the_log_on_postgresql() {
    let dir = TestDir::new("guarded-members-pg");
    c19_members_are_those_of_the_log(dir, Held::Postgres(TestDatabase::create().await)).await;
}

#[tokio::test]
async fn c19_keys_are_those_of_the_log_on_sqlite() {
    let dir = TestDir::new("guarded-keys");
    let held = Held::sqlite(&dir);
    c19_keys_are_those_of_the_log(dir, held).await;
}

#[tokio::test]
async fn c19_keys_are_those_of_the_log_on_postgresql() {
    let dir = TestDir::new("guarded-keys-pg");
    c19_keys_are_those_of_the_log(dir, Held::Postgres(TestDatabase::create().await)).await;
}
