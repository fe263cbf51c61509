//! A gateway to halt, and a database that does not answer.

use std::path::PathBuf;

use serde_json::Value;
use tradewarden_store::{Location, Tx, Writer};
use tradewarden_testkit::process::{Client, Gateway, Program, TestDir, until};

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_tradewarden");

pub(crate) fn program(dir: &TestDir, config: &str) -> Program {
    Program::new(BINARY, dir.data(), config)
}

/// A demo on this installation, ready.
pub(crate) async fn start(program: &Program) -> Gateway {
    match program.try_start("demo").await {
        Ok(gateway) => gateway,
        Err(ended) => panic!("the demo did not start: {ended}"),
    }
}

/// Where halts are kept that the database did not take.
pub(crate) fn halt_file(program: &Program) -> PathBuf {
    program.data().join("halt")
}

pub(crate) fn database(program: &Program) -> PathBuf {
    program.data().join("tradewarden.db")
}

/// Another writer: while its transaction is open, the gateway's own cannot begin.
pub(crate) async fn other_writer(program: &Program) -> Writer {
    Writer::open(&Location::Sqlite(database(program))).await.unwrap()
}

/// Ends a transaction without its changes.
pub(crate) fn abandon(_open: Tx<'_>) {}

/// Status and code of the answer to an entry of its own.
pub(crate) async fn enter(gateway: &Gateway, client: &mut Client, id: &str) -> (u16, Value) {
    let webhook = &gateway.ready()["webhook"];
    let text = |name: &str| webhook[name].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{}", text("token"));
    let headers = [("x-webhook-secret", text("secret"))];
    let body = format!(r#"{{"action":"BUY","id":"{id}"}}"#);
    let answer = client.post(&path, &headers, body).await.unwrap();
    (answer.status, answer.json()["code"].clone())
}

/// The halts that are shown, as (identifier, whether only beside the database).
pub(crate) async fn shown(program: &Program) -> Vec<(String, bool)> {
    let list = program.json(&["halt", "status"]).await;
    let halts = list["items"].as_array().unwrap().iter();
    let text = |halt: &Value| halt["id"].as_str().unwrap().to_owned();
    halts.map(|halt| (text(halt), halt["local"].as_bool().unwrap())).collect()
}

/// Waits until everything that was kept in the file is in the database.
pub(crate) async fn journaled(program: &Program) {
    let file = halt_file(program);
    until("the local halts are journaled", async || !file.exists()).await;
}

/// How often the log tells this event of this object.
pub(crate) async fn entries(program: &Program, object: &str, event: &str) -> usize {
    let mut found = 0;
    until("the log can be exported", async || {
        let bundle = program.data().with_extension(format!("{event}.jsonl"));
        let _there_was_none = std::fs::remove_file(&bundle);
        let ended = program.run(&["audit", "export", "--out", bundle.to_str().unwrap()]).await;
        let text = std::fs::read_to_string(&bundle).unwrap_or_default();
        let tells = |line: &&str| line.contains(object) && line.contains(event);
        found = text.lines().filter(tells).count();
        ended.code == Some(0) && found > 0
    })
    .await;
    found
}
