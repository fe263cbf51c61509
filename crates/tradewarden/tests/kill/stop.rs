//! One gateway on a data directory; and a stop that is asked for, which is not a kill.

use std::fs::File;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;
use tradewarden_testkit::process::{TestDir, until};

use crate::stage::{Stage, program, text};

const STEP: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_second_gateway_on_the_same_data_does_not_start() {
    let dir = TestDir::new("kill-second");
    let program = program(&dir, "sqlite");
    let _paper = program.start_paper().await;
    let first = program.start().await;
    let second = program.try_start("serve").await.expect_err("there is one already");
    assert_eq!(second.code, Some(4), "{second}");
    assert_eq!(second.stdout, "");
    let sentence = second.stderr.trim_end().lines().last().unwrap_or_default();
    assert!(sentence.contains("another gateway uses the data directory"), "{second}");
    assert!(sentence.contains(program.data().to_str().unwrap()), "{second}");
    // The first was not disturbed.
    let checkpoint = first.client().get("/audit/checkpoint", &[]).await.unwrap();
    assert_eq!(checkpoint.status, 200);
    assert_eq!(first.run(&["signal", "list", "--json"]).await.code, Some(0));
    assert_eq!(first.stop().await.code, Some(0));
    // What it held is free again.
    assert_eq!(program.start().await.stop().await.code, Some(0));
}

/// A command that has the data directory's lock has ended soon: a start waits for that, and says so.
#[tokio::test]
async fn a_start_waits_for_a_command_that_writes() {
    let dir = TestDir::new("kill-start-waits");
    let program = program(&dir, "sqlite");
    let _paper = program.start_paper().await;
    assert_eq!(program.start().await.stop().await.code, Some(0));
    let lock = File::options().write(true).open(program.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let start = program.start();
    let release = async {
        let waits = async || program.log().contains("waiting up to 5 s for its end");
        until("the start waits", waits).await;
        drop(lock);
    };
    let (gateway, ()) = tokio::join!(start, release);
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_kill_frees_the_data_at_once() {
    let dir = TestDir::new("kill-free");
    let program = program(&dir, "sqlite");
    let _paper = program.start_paper().await;
    program.start().await.kill9().await;
    assert_eq!(program.start().await.stop().await.code, Some(0));
}

/// Another program that opens the database and closes it again must find our locks, or SQLite takes the
/// write-ahead log away as the last one that leaves.
#[tokio::test]
async fn who_looks_into_the_database_takes_nothing_away() {
    let stage = Stage::set_up(TestDir::new("kill-looked-into"), "sqlite").await;
    let gateway = stage.program.start().await;
    let look = "import sqlite3, sys\n\
        database = sqlite3.connect(sys.argv[1])\n\
        print(database.execute('SELECT COUNT(*) FROM sqlite_master').fetchone()[0])\n\
        database.close()";
    let file = stage.program.data().join("tradewarden.db");
    let looked = Command::new("python3").args(["-c", look]).arg(&file).output().await.unwrap();
    assert!(looked.status.success(), "{looked:?}");
    let door = &stage.doors[0];
    let headers = [("x-webhook-secret", door.secret.as_str())];
    let body = r#"{"action":"BUY","comment":"ENTRY","id":"looked-into"}"#;
    let answer = gateway.client().post(&door.path, &headers, body).await.unwrap();
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let signal = text(&answer.json(), "signal_id");
    gateway.kill9().await;

    let gateway = stage.program.start().await;
    let shown = stage.program.json(&["signal", "show", &signal]).await;
    assert_eq!(shown["status"], "accepted", "{shown}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_ends_well() {
    let stage = Stage::set_up(TestDir::new("kill-stop"), "sqlite").await;
    let gateway = stage.program.start().await;
    let door = &stage.doors[0];
    let body = r#"{"action":"BUY","comment":"ENTRY","id":"under-way"}"#;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nX-Webhook-Secret: {}\r\nContent-Length: {}\r\n\r\n",
        door.path,
        door.secret,
        body.len()
    );
    // A request is under way when its head was read: the gateway says so, because we ask it to.
    let head = head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let mut stream = gateway.client().raw().await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    timeout(STEP, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim[..], b"HTTP/1.1 100 Continue\r\n\r\n");

    gateway.terminate().await;
    let client = gateway.client();
    until("the door is closed", async || client.raw().await.is_err()).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whether the end of the stream was announced does not matter here.
    let _end = timeout(STEP, stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let (_, answered) = answer.split_once("\r\n\r\n").unwrap();
    let answered: Value = serde_json::from_str(answered).unwrap();

    let ended = gateway.wait().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let signal = text(&answered, "signal_id");
    let shown = stage.program.json(&["signal", "show", &signal]).await;
    assert_eq!(shown["status"], "accepted", "{shown}");
    let verified = stage.program.json(&["audit", "verify"]).await;
    assert_eq!((&verified["ok"], &verified["unsealed"]), (&Value::Bool(true), &Value::from(0)));
}
