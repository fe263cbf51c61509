//! Copies of the log: tampered with, exported, backed up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tradewarden_testkit::process::{Ended, Program, QUICK_CALLERS, TestDir, log_in, until};

use crate::door::{BINARY, Door};
use crate::stranger::{mirror, verify};
use crate::trading::traded;

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An installation at `data` with this database, whose keys and last checkpoint are those of
/// `from`.
fn installation(from: &TestDir, data: &Path, database: &Path) -> Program {
    fs::create_dir_all(data).unwrap();
    fs::set_permissions(data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(database, data.join("tradewarden.db")).unwrap();
    for name in ["kek", "checkpoint", "log-origin", "node", "demo.json"] {
        fs::copy(from.data().join(name), data.join(name)).unwrap();
    }
    Program::new(BINARY, data, QUICK_CALLERS)
}

/// Flips one bit of the only place, or of all places, where the file has this text.
fn flip(file: &Path, text: &str, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<_> = bytes
        .windows(text.len())
        .enumerate()
        .filter_map(|(place, window)| (window == text.as_bytes()).then_some(place))
        .collect();
    assert!(!places.is_empty(), "{text} is not in {}", file.display());
    for place in places {
        bytes[place + at] ^= 1;
    }
    fs::write(file, bytes).unwrap();
}

fn says_no_about(ended: &Ended, index: u64) {
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stdout.contains(&format!("entry {index}")), "it names the entry: {ended}");
}

/// One bit of a leaf or of a payload in the database: `audit verify` says no and names the entry.
#[tokio::test]
async fn one_flipped_bit_is_found_and_named() {
    let dir = TestDir::new("audit-flip");
    let (gateway, _, order) = traded(&dir).await;
    let program = gateway.program();
    let proof = program.json(&["audit", "prove", &order]).await;
    let index = proof["index"].as_u64().unwrap();
    // While it runs the log verifies, by command and by its exit code.
    let fine = program.run(&["audit", "verify", "--json"]).await;
    assert_eq!((fine.code, &fine.json()["ok"]), (Some(0), &Value::Bool(true)), "{fine}");
    let backup = dir.path().join("backup.db");
    let made = program.run(&["db", "backup", "--out", path_text(&backup)]).await;
    assert_eq!(made.code, Some(0), "{made}");
    assert_eq!(gateway.stop().await.code, Some(0));
    // The last checkpoint of the running gateway is the one to be held against.

    let leaf = proof["leaf"].as_str().unwrap();
    let payload = proof["payload"].as_str().unwrap();
    let copy = dir.path().join("copy.db");
    for (number, (text, at)) in
        [(leaf, leaf.len() - 12), (leaf, 30), (payload, 12), (payload, payload.len() - 3)]
            .into_iter()
            .enumerate()
    {
        fs::copy(&backup, &copy).unwrap();
        flip(&copy, text, at);
        let tampered = installation(&dir, &dir.path().join(format!("tampered-{number}")), &copy);
        says_no_about(&tampered.run(&["audit", "verify"]).await, index);
        let json = tampered.run(&["audit", "verify", "--json"]).await;
        let verdict: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!((json.code, &verdict["ok"]), (Some(1), &Value::Bool(false)));
    }
    // The untouched one is fine, so it was the bit.
    let same = installation(&dir, &dir.path().join("same"), &backup);
    let ended = same.run(&["audit", "verify"]).await;
    // Unless something was sealed between the copy and the end, and the copy is older.
    let set_back = ended.code == Some(1) && ended.stdout.contains("set back");
    assert!(ended.code == Some(0) || set_back, "{ended}");
}

/// The whole log leaves the house, is verified there without a database, and a bundle that was
/// touched is not.
#[tokio::test]
async fn a_bundle_verifies_offline_and_a_tampered_one_does_not() {
    let dir = TestDir::new("audit-bundle");
    let (gateway, _, order) = traded(&dir).await;
    let program = gateway.program();
    let proof = program.json(&["audit", "prove", &order]).await;
    let index = proof["index"].as_u64().unwrap();
    let vkey = proof["verifier_key"].as_str().unwrap();
    let bundle = dir.path().join("bundle.jsonl");
    let made = program.run(&["audit", "export", "--out", path_text(&bundle)]).await;
    assert_eq!(made.code, Some(0), "{made}");
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o077, 0, "it is private");

    // On another machine: no data directory, only the program and the key one knows.
    let elsewhere = Program::new(BINARY, dir.path().join("elsewhere"), "");
    let offline = ["audit", "verify", "--offline", path_text(&bundle), "--json", "--key", vkey];
    let ended = elsewhere.run(&offline).await;
    let verdict = ended.json();
    assert_eq!((&verdict["ok"], &verdict["verifier_key"]), (&true.into(), &vkey.into()));
    assert!(verdict["size"].as_u64().unwrap() > index, "{verdict}");
    assert!(!dir.path().join("elsewhere").exists(), "verifying makes nothing");

    let text = fs::read_to_string(&bundle).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let place = usize::try_from(index).unwrap() + 1;
    let line = lines[place];
    let mut changes = vec![
        ("a payload", text.replacen(line, &line.replacen("AAPL", "AAPM", 1), 1), index),
        ("a leaf", text.replacen(line, &line.replacen("\\\"v\\\":1", "\\\"v\\\":2", 1), 1), 0),
        ("a missing entry", text.replacen(&format!("{line}\n"), "", 1), index),
        ("an entry twice", text.replacen(line, &format!("{line}\n{line}"), 1), index + 1),
        ("the last entry", text.replacen(&format!("{}\n", lines.last().unwrap()), "", 1), 0),
        ("the end of a line", text[..text.len() - 50].to_owned(), 0),
        ("the checkpoint", text.replacen(&format!("\\n{}\\n", lines.len() - 1), "\\n3\\n", 1), 0),
    ];
    for (what, changed, named) in changes.drain(..) {
        assert_ne!(changed, text, "{what}: nothing was changed");
        fs::write(&bundle, changed).unwrap();
        let ended = elsewhere.run(&offline).await;
        assert_eq!(ended.code, Some(1), "{what}: {ended}");
        let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(verdict["ok"], false, "{what}");
        let problems = verdict["problems"].to_string();
        assert!(problems.contains(&format!("entry {named}")) || named == 0, "{what}: {problems}");
    }
    // A bundle by another log's key is not the log one trusts.
    fs::write(&bundle, &text).unwrap();
    let other = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let by_other = ["audit", "verify", "--offline", path_text(&bundle), "--key", other];
    let ended = elsewhere.run(&by_other).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    let ended = elsewhere.run(&["audit", "verify", "--offline", "/nowhere/at/all"]).await;
    assert_ne!(ended.code, Some(0), "{ended}");
}

/// A copy of a running gateway's database is whole: it verifies, it serves, and goes on.
#[tokio::test]
async fn a_backup_of_a_running_gateway_serves() {
    let dir = TestDir::new("audit-backup");
    let (gateway, mut door, order) = traded(&dir).await;
    let program = gateway.program().clone();
    let owner = gateway.ready()["owner"].clone();
    let backup = dir.path().join("backup.db");
    let made = program.run(&["db", "backup", "--out", path_text(&backup), "--json"]).await;
    assert_eq!(made.code, Some(0), "{made}");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o077, 0, "it is private");
    let again = program.run(&["db", "backup", "--out", path_text(&backup)]).await;
    assert_ne!(again.code, Some(0), "a backup is not written over: {again}");
    // What comes after the copy is not in it, and the original goes on undisturbed.
    let body = r#"{"action":"EXIT","id":"after the copy"}"#;
    assert_eq!(door.send(body).await.status, 202);
    until("it has filled", async || {
        let orders = program.json(&["order", "list"]).await;
        orders["items"][0]["state"] == "filled" && orders["items"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(program.run(&["audit", "verify"]).await.code, Some(0));
    assert_eq!(gateway.stop().await.code, Some(0));

    // A restored copy is older than the last checkpoint outside: that is said, not overlooked.
    let restored = installation(&dir, &dir.path().join("restored"), &backup);
    let ended = restored.run(&["audit", "verify"]).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stdout.contains("set back"), "{ended}");

    // Without that checkpoint, as after the loss of the disk, it is the newest there is.
    let data = dir.path().join("second");
    let second = installation(&dir, &data, &backup);
    fs::remove_file(data.join("checkpoint")).unwrap();
    fs::create_dir_all(data.join("paper")).unwrap();
    assert_eq!(second.run(&["audit", "verify"]).await.code, Some(0));
    let shown = second.json(&["order", "show", &order]).await;
    assert_eq!(shown["state"], "filled");
    let gateway = second.start().await;
    let mut client = gateway.client();
    assert_eq!(client.get("/livez", &[]).await.unwrap().status, 200);
    let kept: Value =
        serde_json::from_slice(&fs::read(dir.data().join("demo.json")).unwrap()).unwrap();
    let mut restored = Door {
        client: gateway.client(),
        path: format!("/api/v1/webhooks/{}", kept["webhook_token"].as_str().unwrap()),
        secret: kept["webhook_secret"].as_str().unwrap().to_owned(),
    };
    let answer = restored.send(r#"{"action":"BUY","id":"first","comment":"marked-payload"}"#).await;
    // The same id, another body: the copy remembers what was before it.
    assert_eq!((answer.status, &answer.json()["code"]), (422, &"duplicate.id_conflict".into()));

    let signal = answer.json()["signal_id"].as_str().unwrap().to_owned();
    let copy = dir.path().join("mirror");
    let bearer = log_in(&mut client, &owner).await;
    let mut size = 0;
    until("the log of the copy goes on", async || {
        size = mirror(&mut client, &bearer, &copy).await;
        second.run(&["audit", "prove", &signal]).await.code == Some(0)
    })
    .await;
    let size_after = mirror(&mut client, &bearer, &copy).await;
    assert!(size_after >= size);
    let proof = second.json(&["audit", "prove", &order]).await;
    let found = verify("log", proof["verifier_key"].as_str().unwrap(), &copy).await.unwrap();
    assert_eq!(found["size"], size_after);
}

/// C2: who cannot be authenticated leaves no signal, but a count in the log, by network.
#[tokio::test]
async fn denials_are_counted_in_the_log() {
    let dir = TestDir::new("audit-denials");
    let (gateway, mut door, _) = traded(&dir).await;
    let program = gateway.program();
    let before = program.json(&["signal", "list"]).await;
    door.secret = "tww_wrong".to_owned();
    for number in 0..5 {
        let body = format!(r#"{{"action":"BUY","id":"denied-{number}"}}"#);
        assert_eq!(door.send(body).await.status, 401);
    }
    let mut exports = 0;
    let mut counted = 0_u64;
    until("the denials are in the log", async || {
        exports += 1;
        let bundle = dir.path().join(format!("denials-{exports}.jsonl"));
        let made = program.run(&["audit", "export", "--out", path_text(&bundle)]).await;
        assert_eq!(made.code, Some(0), "{made}");
        counted = fs::read_to_string(&bundle)
            .unwrap()
            .lines()
            .filter(|line| line.contains("auth.denied"))
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|entry| match &entry["payload"] {
                Value::String(text) => serde_json::from_str::<Value>(text).unwrap(),
                payload => payload.clone(),
            })
            .filter(|payload| payload["source"] == "127.0.0.0/24")
            .map(|payload| payload["count"].as_str().unwrap().parse::<u64>().unwrap())
            .sum();
        counted >= 5
    })
    .await;
    assert_eq!(counted, 5);
    assert_eq!(program.json(&["signal", "list"]).await, before, "no signal was stored");
}
