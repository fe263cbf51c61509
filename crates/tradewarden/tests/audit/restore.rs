//! C16: a copy that is put back goes on as another incarnation, and says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tradewarden_testkit::postgres::TestDatabase;
use tradewarden_testkit::process::{
    Ended, Gateway, Program, QUICK_CALLERS, TestDir, log_in_with_factor, until,
};

use crate::door::BINARY;
use crate::trading::{bearer, traded, traded_with};

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The files in this directory whose names begin so, the companions of databases left out.
fn named(dir: &Path, begin: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(begin) && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    files.filter(is_meant).collect()
}

fn says(ended: &Ended, code: i32, text: &str) {
    assert_eq!(ended.code, Some(code), "{ended}");
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(told.contains(text), "it says {text}: {ended}");
}

async fn does_not_start(program: &Program, text: &str) {
    let refused = program.try_start("demo").await.err().unwrap();
    let told = format!("{}{}{}", refused.stdout, refused.stderr, program.log());
    assert!(told.contains(text), "it says {text}: {refused}");
}

/// The owner with a second factor, which is enrolled here: a restore of an older copy forgets it.
async fn trader(gateway: &Gateway) -> String {
    log_in_with_factor(&mut gateway.client(), &gateway.ready()["owner"]).await.bearer
}

/// What a buy of this session is answered.
async fn buys((gateway, session): (&Gateway, &str), key: &str, more: Value) -> Value {
    let mut body = json!({
        "account_id": gateway.ready()["account_id"], "symbol": "AAPL", "side": "buy",
        "type": "market", "quantity": "2", "allow_repeat": true,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let headers = [("authorization", session), ("idempotency-key", key)];
    gateway.client().post("/api/v1/orders", &headers, body.to_string()).await.unwrap().json()
}

/// A buy far below the market, which the broker works and nobody fills.
async fn rests((gateway, session): (&Gateway, &str), filled: &Value) -> String {
    let price: f64 = filled["average_price"].as_str().unwrap().parse().unwrap();
    let limit = json!({ "type": "limit", "limit_price": format!("{:.2}", price * 0.97) });
    let placed = buys((gateway, session), "resting", limit).await;
    let id = placed["id"].as_str().unwrap_or_else(|| panic!("{placed}")).to_owned();
    until("the broker works it", async || {
        gateway.program().json(&["order", "show", &id]).await["state"] == "working"
    })
    .await;
    id
}

/// The restore's answer, and that it said what a person has to do.
async fn restored(program: &Program, how: &[&str]) -> Value {
    let ended = program.run(&[&["db", "restore", "--json"], how].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stderr.contains("halt resume"), "{ended}");
    ended.json()
}

/// How somebody with this session is answered.
async fn who_am_i(gateway: &Gateway, session: &str) -> u16 {
    let headers = [("authorization", session)];
    gateway.client().get("/api/v1/me", &headers).await.unwrap().status
}

async fn codes_of_findings(program: &Program) -> Vec<String> {
    let list = program.json(&["finding", "list"]).await;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// By hand it is no restore: the checkpoint beside the database is newer. And a copy that is damaged takes
/// no place.
async fn take_no_place(program: &Program, dir: &TestDir, copy: &Path) {
    let database = dir.data().join("tradewarden.db");
    let present = fs::read(&database).unwrap();
    fs::copy(copy, &database).unwrap();
    does_not_start(program, "tradewarden db restore").await;
    for companion in ["tradewarden.db-wal", "tradewarden.db-shm"] {
        let _was_there = fs::remove_file(dir.data().join(companion));
    }
    fs::write(&database, &present).unwrap();

    let broken = dir.path().join("broken.db");
    fs::write(&broken, &fs::read(copy).unwrap()[..8_192]).unwrap();
    let refused = program.run(&["db", "restore", "--from", path_text(&broken)]).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert_eq!(fs::read(&database).unwrap(), present, "what is there stays");
}

/// What came after the copy is lost and said to be; nothing adds risk until the accounts were compared with
/// the broker, which tells what it has and we do not; the old log still verifies.
#[tokio::test]
async fn c16_a_restored_copy_is_another_incarnation() {
    let dir = TestDir::new("audit-restored");
    let (gateway, _, order) = traded(&dir).await;
    let program = gateway.program().clone();
    let before = program.json(&["audit", "verify"]).await;
    assert_eq!((&before["incarnation"], &before["earlier"]), (&json!(1), &json!([])));
    let session = bearer(&gateway).await;
    assert_eq!(who_am_i(&gateway, &session).await, 200);
    let copy = dir.path().join("copy.db");
    let made = program.run(&["db", "backup", "--out", path_text(&copy)]).await;
    assert_eq!(made.code, Some(0), "{made}");
    let filled = program.json(&["order", "show", &order]).await;
    let trading = trader(&gateway).await;
    let lost = rests((&gateway, &trading), &filled).await;
    let lost_fill = buys((&gateway, &trading), "lost-fill", json!({ "symbol": "MSFT" })).await;
    let lost_fill = lost_fill["id"].as_str().unwrap_or_else(|| panic!("{lost_fill}")).to_owned();
    until("it fills", async || {
        program.json(&["order", "show", &lost_fill]).await["state"] == "filled"
    })
    .await;
    let [old_proof, lost_proof] = ["old.proof", "lost.proof"].map(|name| dir.path().join(name));
    for (id, path) in [(&order, &old_proof), (&lost, &lost_proof)] {
        let proven = program.run(&["audit", "prove", id, "--out", path_text(path)]).await;
        assert_eq!(proven.code, Some(0), "it is published: {proven}");
    }
    let old_key = program.json(&["audit", "prove", &order]).await["verifier_key"].clone();
    let old_key = old_key.as_str().unwrap();
    let from = ["--from", path_text(&copy)];
    let while_it_runs = program.run(&["db", "restore", from[0], from[1]]).await;
    assert_ne!(while_it_runs.code, Some(0), "{while_it_runs}");
    assert!(while_it_runs.stderr.contains("another gateway uses"), "{while_it_runs}");
    assert_eq!(gateway.stop().await.code, Some(0));

    let data = dir.data();
    let log = fs::metadata(data.join("tradewarden.db-wal"));
    assert!(log.map_or(true, |log| log.len() == 0), "the file of who stopped is all there is");
    let present = fs::read(data.join("tradewarden.db")).unwrap();
    take_no_place(&program, &dir, &copy).await;

    let begun = restored(&program, &from).await;
    assert_eq!(begun["incarnation"], 2);
    let (old, new) =
        (begun["previous_origin"].as_str().unwrap(), begun["origin"].as_str().unwrap());
    assert_eq!(old, before["origin"]);
    assert!(new.starts_with(&format!("{old}/i2-")), "{new}");
    assert!(begun["lost_entries_min"].as_u64().unwrap() > 0, "{begun}");
    let aside = PathBuf::from(begun["aside"].as_str().unwrap());
    assert_eq!(fs::read(&aside).unwrap(), present, "the database before it is kept");
    assert_eq!(named(&data, "checkpoint.aside-").len(), 1, "so is the newest checkpoint");
    assert!(named(&data, "restoring").is_empty());

    let verified = program.json(&["audit", "verify"]).await;
    assert_eq!((&verified["ok"], &verified["incarnation"]), (&json!(true), &json!(2)));
    let earlier = json!([{ "incarnation": 1, "origin": old, "size": begun["entries"] }]);
    assert_eq!(verified["earlier"], earlier, "{verified}");
    let halts = program.json(&["halt", "status"]).await;
    let halt = &halts["items"][0];
    assert_eq!(
        (&halt["id"], &halt["scope"], &halt["mode"], &halt["engaged_by"]),
        (&begun["halt_id"], &json!("global"), &json!("reduce_only"), &json!("restore"))
    );
    let resume = ["halt", "resume", halt["id"].as_str().unwrap(), "--json"];
    says(&program.run(&resume).await, 1, "halt.unreconciled");

    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    assert_eq!(who_am_i(&gateway, &session).await, 401, "sessions of the copy were ended");
    let trading = trader(&gateway).await;
    let answer = buys((&gateway, &trading), "after-the-restore", json!({})).await;
    assert_eq!(answer["code"], "halt.active", "{answer}");
    until("the order that was lost is told", async || {
        codes_of_findings(&program).await.iter().any(|code| code == "order.foreign")
    })
    .await;
    let findings = program.json(&["finding", "list"]).await;
    assert!(findings.to_string().contains(&lost), "by its name: {findings}");
    until("every account is compared", async || program.run(&resume).await.code == Some(0)).await;
    let codes = codes_of_findings(&program).await;
    for code in ["position.foreign", "position.mismatch"] {
        assert!(codes.iter().any(|found| found == code), "{code}: {codes:?}");
    }
    let shown = program.json(&["order", "show", &order]).await;
    assert_eq!(shown["state"], "filled", "what the copy has is there");
    let all = program.json(&["order", "list"]).await.to_string();
    assert!(!all.contains(&lost) && !all.contains(&lost_fill), "what it lacks is not: {all}");
    // Trading goes on, but where the broker has something else.
    let goes_on = buys((&gateway, &trading), "goes-on", json!({})).await;
    let id = goes_on["id"].as_str().unwrap_or_else(|| panic!("{goes_on}"));
    until("it fills", async || program.json(&["order", "show", id]).await["state"] == "filled")
        .await;
    let elsewhere = buys((&gateway, &trading), "elsewhere", json!({ "symbol": "MSFT" })).await;
    assert_eq!(elsewhere["code"], "halt.active", "{elsewhere}");
    assert_eq!(program.run(&["audit", "verify"]).await.code, Some(0), "it goes on");
    is_proven(&program, &dir, &order, (old_key, new)).await;
    for path in [&old_proof, &lost_proof] {
        let verdict = verified_offline(&program, path, old_key).await;
        assert_eq!((&verdict["ok"], &verdict["origin"]), (&json!(true), &json!(old)));
    }
    let gone = program.run(&["audit", "prove", &lost]).await;
    assert_eq!(gone.code, Some(3), "the lost tail has its proofs outside only: {gone}");
    assert_eq!(gateway.stop().await.code, Some(0));
}

async fn verified_offline(program: &Program, path: &Path, key: &str) -> Value {
    let verify = ["audit", "verify", "--offline", path_text(path), "--key", key, "--json"];
    let ended = program.run(&verify).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    ended.json()
}

/// An entry of the old name is proven under the new one, and a bundle proves the chain of both: for who
/// knows the old name's key only.
async fn is_proven(program: &Program, dir: &TestDir, order: &str, (old_key, new): (&str, &str)) {
    let [proof, bundle] = ["new.proof", "bundle.jsonl"].map(|name| dir.path().join(name));
    for args in [
        ["audit", "prove", order, "--out", path_text(&proof)].as_slice(),
        ["audit", "export", "--out", path_text(&bundle)].as_slice(),
    ] {
        let ended = program.run(args).await;
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    for path in [&proof, &bundle] {
        let verdict = verified_offline(program, path, old_key).await;
        assert_eq!((&verdict["ok"], &verdict["origin"]), (&json!(true), &json!(new)));
    }
    let verdict = verified_offline(program, &bundle, old_key).await;
    assert_eq!(verdict["earlier"].as_array().unwrap().len(), 1, "{verdict}");
}

/// Two restores of one copy are two incarnations; a database that other means put there is declared; an
/// interrupted restore lets nothing start.
#[tokio::test]
async fn c16_each_restore_is_its_own_incarnation() {
    let dir = TestDir::new("audit-restored-twice");
    let (gateway, _, _) = traded(&dir).await;
    let program = gateway.program().clone();
    let copy = dir.path().join("copy.db");
    let made = program.run(&["db", "backup", "--out", path_text(&copy)]).await;
    assert_eq!(made.code, Some(0), "{made}");
    assert_eq!(gateway.stop().await.code, Some(0));

    let from = ["--from", path_text(&copy)];
    let first = restored(&program, &from).await;
    let second = restored(&program, &from).await;
    assert_eq!((&first["incarnation"], &second["incarnation"]), (&json!(2), &json!(3)));
    assert_eq!(first["previous_origin"], second["previous_origin"], "both come from the copy");
    assert_ne!(first["origin"], second["origin"]);
    assert_eq!(program.run(&["audit", "verify"]).await.code, Some(0));

    // Put there by hand, the copy does not start; declared, it does.
    let database = dir.data().join("tradewarden.db");
    fs::copy(&copy, &database).unwrap();
    does_not_start(&program, "tradewarden db restore").await;
    let declared = restored(&program, &["--declare"]).await;
    assert_eq!((&declared["incarnation"], &declared["aside"]), (&json!(4), &Value::Null));
    assert_eq!(program.run(&["audit", "verify"]).await.code, Some(0));

    // As if it had been killed between moving the database aside and putting the copy in its place.
    let marker = dir.data().join("restoring");
    fs::write(&marker, "aside-1\n").unwrap();
    fs::rename(&database, dir.data().join("tradewarden.db.aside-1")).unwrap();
    does_not_start(&program, "interrupted").await;
    let elsewhere = dir.path().join("elsewhere.db");
    for command in [
        ["audit", "verify"].as_slice(),
        ["db", "migrate"].as_slice(),
        ["db", "backup", "--out", path_text(&elsewhere)].as_slice(),
        ["db", "restore", "--declare"].as_slice(),
        ["halt", "status"].as_slice(),
    ] {
        says(&program.run(command).await, 1, "give the same `tradewarden db restore` again");
    }
    assert!(!database.exists(), "nothing made another one");
    let left = dir.data().join("tradewarden.db.restoring");
    fs::copy(&copy, &left).unwrap();
    let leftover = program.run(&["db", "restore", "--from", path_text(&left)]).await;
    says(&leftover, 2, "what an interrupted restore left");
    assert!(left.exists(), "it is not taken away from under its user");
    let again = restored(&program, &from).await;
    assert_eq!(again["incarnation"], 5);
    assert!(again["aside"].as_str().unwrap().ends_with("tradewarden.db.aside-1"), "{again}");
    assert!(!marker.exists());
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    assert_eq!(gateway.stop().await.code, Some(0));
}

/// `kill -9` while a restore is under way: whatever was in its place is whole, what is not says so, and the
/// same command goes on.
#[tokio::test]
async fn c16_a_restore_that_is_killed_is_given_again() {
    let dir = TestDir::new("audit-restore-killed");
    let (gateway, _, order) = traded(&dir).await;
    let program = gateway.program().clone();
    let copy = dir.path().join("copy.db");
    let made = program.run(&["db", "backup", "--out", path_text(&copy)]).await;
    assert_eq!(made.code, Some(0), "{made}");
    // The copy's keys are wrapped by a key that is not the newest any more.
    assert_eq!(program.run(&["vault", "rotate"]).await.code, Some(0));
    assert_eq!(gateway.stop().await.code, Some(0));

    let data = dir.data();
    let from = ["--from", path_text(&copy)];
    let moved = || named(&data, "tradewarden.db.aside-").len();
    for file in ["tradewarden.db.restoring", "tradewarden.db.restoring-wal", "restoring"] {
        let before = moved();
        let restore = program.spawn(&["db", "restore", from[0], from[1]]);
        until("it is under way, or over", async || data.join(file).exists() || moved() > before)
            .await;
        restore.kill9_if_it_runs().await;
        if data.join("restoring").exists() {
            does_not_start(&program, "interrupted").await;
        } else {
            let verified = program.run(&["audit", "verify"]).await;
            assert_eq!(verified.code, Some(0), "{file}: the old one or the new one: {verified}");
        }
        restored(&program, &from).await;
        let verified = program.run(&["audit", "verify"]).await;
        assert_eq!(verified.code, Some(0), "{file}: {verified}");
        assert!(!data.join("restoring").exists());
    }
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    assert_eq!(program.json(&["order", "show", &order]).await["state"], "filled");
    assert_eq!(gateway.stop().await.code, Some(0));
}

/// On PostgreSQL a restored database is declared, and not while a node leads on it.
#[tokio::test]
async fn c16_a_restored_postgresql_database_is_declared() {
    let dir = TestDir::new("audit-declared");
    let database = TestDatabase::create().await;
    let config =
        |database: &TestDatabase| format!("database = \"{}\"\n{QUICK_CALLERS}", database.url());
    let (gateway, _, order) = traded_with(&dir, &config(&database)).await;
    let program = gateway.program().clone();
    let before = program.json(&["audit", "verify"]).await;
    let by_file = program.run(&["db", "restore", "--from", "copy"]).await;
    says(&by_file, 4, "another gateway uses");
    assert_eq!(gateway.stop().await.code, Some(0));
    let copy = database.copy().await;
    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    let filled = program.json(&["order", "show", &order]).await;
    let trading = trader(&gateway).await;
    let lost = rests((&gateway, &trading), &filled).await;
    assert_eq!(program.run(&["audit", "prove", &lost]).await.code, Some(0), "it is published");

    // Another machine of this installation: the lock of the data directory says nothing there.
    let other = TestDir::new("audit-declared-elsewhere");
    let elsewhere = Program::new(BINARY, other.data(), &config(&database));
    fs::create_dir(other.data()).unwrap();
    fs::set_permissions(other.data(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(dir.data().join("kek"), other.data().join("kek")).unwrap();
    let while_it_leads = elsewhere.run(&["db", "restore", "--declare"]).await;
    says(&while_it_leads, 1, "leads on this database: stop every gateway");
    assert_eq!(program.json(&["audit", "verify"]).await["incarnation"], 1, "nothing was written");
    assert_eq!(gateway.stop().await.code, Some(0));

    let program = Program::new(BINARY, dir.data(), &config(&copy));
    says(&program.run(&["db", "restore", "--from", "copy"]).await, 2, "db restore --declare");
    does_not_start(&program, "tradewarden db restore").await;
    let mut begun = Value::Null;
    until("the lease that the copy has is over", async || {
        let ended = program.run(&["db", "restore", "--declare", "--json"]).await;
        let is_done = ended.code == Some(0);
        if is_done {
            begun = ended.json();
        } else {
            assert!(ended.stderr.contains("leads on this database"), "{ended}");
        }
        is_done
    })
    .await;
    assert_eq!((&begun["incarnation"], &begun["aside"]), (&json!(2), &Value::Null));
    assert!(begun["lost_entries_min"].as_u64().unwrap() > 0, "{begun}");
    let verified = program.json(&["audit", "verify"]).await;
    assert_eq!((&verified["ok"], &verified["incarnation"]), (&json!(true), &json!(2)));
    assert_eq!(verified["earlier"][0]["origin"], before["origin"], "{verified}");

    let gateway = program.try_start("demo").await.unwrap_or_else(|ended| panic!("{ended}"));
    let trading = trader(&gateway).await;
    let answer = buys((&gateway, &trading), "after-the-restore", json!({})).await;
    assert_eq!(answer["code"], "halt.active", "{answer}");
    until("the order that was lost is told", async || {
        codes_of_findings(&program).await.iter().any(|code| code == "order.foreign")
    })
    .await;
    let resume = ["halt", "resume", begun["halt_id"].as_str().unwrap()];
    until("every account is compared", async || program.run(&resume).await.code == Some(0)).await;
    let goes_on = buys((&gateway, &trading), "goes-on", json!({})).await;
    assert!(goes_on["id"].is_string(), "{goes_on}");
    assert_eq!(program.run(&["audit", "verify"]).await.code, Some(0));
    assert_eq!(gateway.stop().await.code, Some(0));
    copy.drop_database().await;
    database.drop_database().await;
}
