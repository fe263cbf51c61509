//! Engaged, honoured, shown, resumed and recorded, whatever the database does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::{Value, json};
use tradewarden_testkit::process::{TestDir, until};

use crate::stage::{
    abandon, database, enter, entries, halt_file, journaled, other_writer, program, shown, start,
};

const ENGAGE: [&str; 4] = ["halt", "engage", "--reason", "the database hangs"];

fn id(halt: &Value) -> String {
    halt["id"].as_str().unwrap().to_owned()
}

/// The database is locked by somebody else, so nothing can be written; then it comes back.
#[tokio::test]
async fn a_halt_holds_while_the_database_cannot_be_written() {
    let dir = TestDir::new("local-halt-locked");
    let program = program(&dir, "");
    let gateway = start(&program).await;
    let mut client = gateway.client();
    let mut writer = other_writer(&program).await;
    let open = writer.begin().await.unwrap();

    let engaged = program.json(&ENGAGE).await;
    let halt = id(&engaged);
    assert_eq!((&engaged["local"], &engaged["mode"]), (&json!(true), &json!("block")));
    let file = fs::metadata(halt_file(&program)).unwrap();
    assert_eq!(file.mode() & 0o7777, 0o600);
    assert_eq!(shown(&program).await, [(halt.clone(), true)]);
    let (status, code) = enter(&gateway, &mut client, "while-locked").await;
    assert_eq!(status, 503, "{code}: nothing can be stored");

    abandon(open);
    drop(writer);
    // Before it is a row as after: at no time is there no halt.
    assert_eq!(enter(&gateway, &mut client, "unlocked").await, (422, "halt.active".into()));
    journaled(&program).await;
    assert_eq!(shown(&program).await, [(halt.clone(), false)]);
    assert_eq!(enter(&gateway, &mut client, "journaled").await, (422, "halt.active".into()));
    assert_eq!(entries(&program, &halt, "halt.engaged").await, 1);

    program.json(&["halt", "resume", &halt]).await;
    assert_eq!(enter(&gateway, &mut client, "resumed").await.0, 202);
    assert_eq!(entries(&program, &halt, "halt.resumed").await, 1);
}

/// The crash that often comes with such a database: the next start honours the file.
#[tokio::test]
async fn a_restart_honours_the_file() {
    let dir = TestDir::new("local-halt-restart");
    let program = program(&dir, "");
    let gateway = start(&program).await;
    let mut writer = other_writer(&program).await;
    let open = writer.begin().await.unwrap();
    let halt = id(&program.json(&ENGAGE).await);
    gateway.kill9().await;
    abandon(open);
    drop(writer);
    assert!(halt_file(&program).exists());

    let gateway = start(&program).await;
    let mut client = gateway.client();
    assert_eq!(enter(&gateway, &mut client, "first").await, (422, "halt.active".into()));
    journaled(&program).await;
    assert_eq!(shown(&program).await, [(halt.clone(), false)]);
    assert_eq!(entries(&program, &halt, "halt.engaged").await, 1);
}

/// A halt that was ended while the database was away stays ended, and both are in the log.
#[tokio::test]
async fn resuming_needs_no_database_either() {
    let dir = TestDir::new("local-halt-resume");
    let program = program(&dir, "");
    let gateway = start(&program).await;
    let mut client = gateway.client();
    let mut writer = other_writer(&program).await;
    let open = writer.begin().await.unwrap();
    let halt = id(&program.json(&ENGAGE).await);
    let resumed = program.json(&["halt", "resume", &halt]).await;
    assert_eq!((id(&resumed), &resumed["local"]), (halt.clone(), &json!(true)));
    assert_eq!(shown(&program).await, []);
    abandon(open);
    drop(writer);

    journaled(&program).await;
    assert_eq!(shown(&program).await, []);
    assert_eq!(enter(&gateway, &mut client, "resumed").await.0, 202);
    for event in ["halt.engaged", "halt.resumed"] {
        assert_eq!(entries(&program, &halt, event).await, 1, "{event}");
    }
}

/// The database's file and what SQLite keeps beside it.
fn move_database(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_str().unwrap().starts_with("tradewarden.db") {
            fs::rename(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

/// No gateway, and a database that nobody can open.
#[tokio::test]
async fn a_halt_needs_neither_gateway_nor_database() {
    let dir = TestDir::new("local-halt-alone");
    let program = program(&dir, "");
    let ended = start(&program).await.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let away = dir.path().join("away");
    fs::create_dir(&away).unwrap();
    move_database(program.data(), &away);
    fs::write(database(&program), "this is no database, however long it is read").unwrap();

    assert_eq!(program.run(&["halt", "status"]).await.code, Some(4));
    let engaged = program.json(&ENGAGE).await;
    let halt = id(&engaged);
    assert_eq!((&engaged["local"], &engaged["scope"]), (&json!(true), &json!("global")));
    let second = program.json(&["halt", "engage", "--mode", "reduce_only"]).await;
    assert_eq!(shown(&program).await, [(halt.clone(), true), (id(&second), true)]);
    let ended = program.run(&["halt", "engage", "--scope", "moon"]).await;
    assert_eq!(ended.code, Some(2), "{ended}");
    let resumed = program.json(&["halt", "resume", &id(&second)]).await;
    assert_eq!(resumed["local"], true);
    assert_eq!(shown(&program).await, [(halt.clone(), true)]);

    move_database(&away, program.data());
    let gateway = start(&program).await;
    let mut client = gateway.client();
    assert_eq!(enter(&gateway, &mut client, "first").await, (422, "halt.active".into()));
    journaled(&program).await;
    assert_eq!(shown(&program).await, [(halt.clone(), false)]);
    assert_eq!(entries(&program, &id(&second), "halt.resumed").await, 1);

    // What is not there is not halted, in the file either: a slip of the finger is no success.
    let strategy = "strategy:str_01m81thqsy45pw375j6nr0ttzy";
    let ended = program.run(&["halt", "engage", "--scope", strategy]).await;
    assert_eq!(ended.code, Some(3), "{ended}");
    let own = program.json(&["halt", "engage", "--scope", "org"]).await;
    assert!(own["scope"].as_str().unwrap().starts_with("org:org_"), "{own}");
    assert_eq!(shown(&program).await, [(halt, false), (id(&own), false)]);
}

/// The server of PostgreSQL is down.
#[tokio::test]
async fn a_halt_needs_no_postgresql() {
    let dir = TestDir::new("local-halt-postgresql");
    let program = program(&dir, "database = \"postgres://nobody@127.0.0.1:1/none\"\n");
    fs::create_dir(program.data()).unwrap();
    fs::set_permissions(program.data(), fs::Permissions::from_mode(0o700)).unwrap();
    let engaged = program.json(&ENGAGE).await;
    assert_eq!(engaged["local"], true);
    assert_eq!(shown(&program).await, [(id(&engaged), true)]);
}

/// An empty file is the shortest way to halt, and one that cannot be read is never taken for none.
#[tokio::test]
async fn a_file_that_cannot_be_read_halts_everything() {
    for text in ["", "{\"format\":1,\"halts\":[{\"id\":\"x\"}]}", "{\"format\":9,\"halts\":[]}"] {
        let dir = TestDir::new("local-halt-unreadable");
        let program = program(&dir, "");
        let gateway = start(&program).await;
        let mut client = gateway.client();
        fs::write(halt_file(&program), text).unwrap();
        until("the gateway is halted", async || !shown(&program).await.is_empty()).await;
        assert_eq!(enter(&gateway, &mut client, "after").await, (422, "halt.active".into()));
        journaled(&program).await;
        assert_eq!(fs::read_to_string(program.data().join("halt.unreadable")).unwrap(), text);
        let halts = shown(&program).await;
        assert_eq!(halts.len(), 1);
        gateway.kill9().await;

        // The same at the start, with what was found still there.
        fs::write(halt_file(&program), text).unwrap();
        let gateway = start(&program).await;
        let mut client = gateway.client();
        assert_eq!(enter(&gateway, &mut client, "again").await, (422, "halt.active".into()));
        journaled(&program).await;
        let halts = shown(&program).await;
        assert_eq!(halts.len(), 2, "{halts:?}");
        for (halt, _) in halts {
            program.json(&["halt", "resume", &halt]).await;
        }
        assert_eq!(enter(&gateway, &mut client, "resumed").await.0, 202);
    }
}
