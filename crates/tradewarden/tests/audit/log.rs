//! The log over HTTPS, verified by code that is not ours.

use std::fs;

use serde_json::{Value, json};
use tradewarden_testkit::process::{TestDir, until};

use crate::door::Door;
use crate::stranger::{mirror, tile_path, verify};
use crate::trading::{bearer, traded};

/// Checkpoint, tiles and entries add up, for a log of more than one tile, while it grows.
#[tokio::test]
async fn a_stranger_recomputes_the_root() {
    let dir = TestDir::new("audit-log");
    let (gateway, mut door, order) = traded(&dir).await;
    let program = gateway.program();
    let proof = program.json(&["audit", "prove", &order]).await;
    let vkey = proof["verifier_key"].as_str().unwrap().to_owned();
    let bearer = bearer(&gateway).await;
    let mut client = gateway.client();

    let small = dir.path().join("small");
    let small_size = mirror(&mut client, &bearer, &small).await;
    assert!((5..256).contains(&small_size), "{small_size}");
    let found = verify("log", &vkey, &small).await.unwrap();
    assert_eq!((&found["size"], &found["entries"]), (&small_size.into(), &small_size.into()));

    // Every signal is an entry, here at a webhook that takes many; some connections at once make them come together.
    let create = ["webhook", "create", "--name", "busy", "--rate-per-s", "100000"];
    let busy = Door::of(&gateway, &program.json(&create).await);
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let mut client = busy.client.another();
        let (path, secret) = (busy.path.clone(), busy.secret.clone());
        senders.spawn(async move {
            let headers = [("x-webhook-secret", secret.as_str())];
            for number in 0..40 {
                let body = json!({"action": "EXIT", "id": format!("{sender}-{number}")});
                let answer = client.post(&path, &headers, body.to_string()).await.unwrap();
                // Nobody follows this webhook; the signal is stored all the same (C2).
                assert_eq!(answer.status, 422, "{:?}", answer.body);
            }
        });
    }
    senders.join_all().await;
    let large = dir.path().join("large");
    let mut size = 0;
    until("everything is sealed", async || {
        size = mirror(&mut client, &bearer, &large).await;
        size > 320
    })
    .await;
    let found = verify("log", &vkey, &large).await.unwrap();
    assert_eq!((&found["size"], &found["entries"]), (&size.into(), &size.into()));
    assert!(found["tiles"].as_u64().unwrap() >= 3, "two levels: {found}");

    // The first tile is the beginning of the one that was partial before: nothing was rewritten.
    let before = fs::read(small.join(tile_path("0", 0, small_size))).unwrap();
    let after = fs::read(large.join(tile_path("0", 0, 256))).unwrap();
    assert!(after.starts_with(&before), "an append-only log");

    // The verifier does notice: one bit of a hash, of an entry, of the signature.
    let damage = |path: &str, at: usize| {
        let file = large.join(path);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
    };
    let checkpoint = fs::read_to_string(large.join("checkpoint")).unwrap();
    for (path, at, sentence) in [
        (tile_path("0", 0, 256), 40, "does not follow"),
        (tile_path("entries", 0, 256), 40, "entry 0 is not"),
        ("checkpoint".to_owned(), checkpoint.find('\n').unwrap() + 6, "signature is wrong"),
    ] {
        damage(&path, at);
        let said = verify("log", &vkey, &large).await.unwrap_err();
        assert!(said.contains(sentence), "{path}: {said}");
        damage(&path, at);
    }
    assert!(verify("log", &vkey, &large).await.is_ok());
    assert_eq!(door.send(r#"{"action":"EXIT"}"#).await.status, 202);
}

/// The inclusion proof of one's own order, in the form of C2SP tlog-proof, and what it discloses.
#[tokio::test]
async fn a_stranger_checks_the_proof_of_an_order() {
    let dir = TestDir::new("audit-proof");
    let (gateway, mut door, order) = traded(&dir).await;
    let program = gateway.program();
    let shown = program.json(&["audit", "prove", &order]).await;
    let vkey = shown["verifier_key"].as_str().unwrap();
    let file = dir.path().join("proof.txt");
    let made = program.run(&["audit", "prove", &order, "--out", file.to_str().unwrap()]).await;
    assert_eq!(made.code, Some(0), "{made}");
    let found = verify("proof", vkey, &file).await.unwrap();
    assert_eq!(found["index"], shown["index"]);
    let leaf: Value = serde_json::from_str(found["entry"].as_str().unwrap()).unwrap();
    assert_eq!(leaf["id"], shown["entry_id"]);
    // C18: the leaf commits and does not show; the payload is the organization's own.
    assert!(!leaf.to_string().contains("AAPL") && leaf["commitment"].is_string(), "{leaf}");
    assert!(shown["payload"].as_str().unwrap().contains("AAPL"), "{shown}");
    assert!(shown["payload"].as_str().unwrap().contains(&order), "{shown}");

    // The same by API, and by our own verifier offline.
    let path = format!("/api/v1/audit/proof/{order}");
    let answer =
        door.client.get(&path, &[("authorization", &bearer(&gateway).await)]).await.unwrap();
    assert_eq!(answer.status, 200);
    let by_api = answer.json();
    assert_eq!((&by_api["leaf"], &by_api["index"]), (&shown["leaf"], &shown["index"]));
    let offline = ["audit", "verify", "--offline", file.to_str().unwrap(), "--key", vkey];
    let ended = program.run(&offline).await;
    assert_eq!(ended.code, Some(0), "{ended}");

    // A proof for another place, or of another entry, proves nothing: to neither of the two.
    let text = fs::read_to_string(&file).unwrap();
    let index = shown["index"].as_u64().unwrap();
    for (old, new) in [
        (format!("index {index}\n"), format!("index {}\n", index + 1)),
        ("extra ey".to_owned(), "extra eX".to_owned()),
    ] {
        assert!(text.contains(&old), "{text}");
        fs::write(&file, text.replacen(&old, &new, 1)).unwrap();
        assert!(verify("proof", vkey, &file).await.is_err(), "{new}");
        let ended = program.run(&offline).await;
        assert_eq!(ended.code, Some(1), "{new}: {ended}");
    }
    let unknown = program.run(&["audit", "prove", "ord_01m80000000000000000000000"]).await;
    assert_eq!(unknown.code, Some(3), "{unknown}");
}

/// C18: hashes are open, entries are not; paths that name no tile name nothing.
#[tokio::test]
async fn who_may_read_what() {
    let dir = TestDir::new("audit-open");
    let (gateway, _, _) = traded(&dir).await;
    let mut client = gateway.client();
    let bearer = bearer(&gateway).await;
    for (path, status) in [
        ("checkpoint", 200),
        ("tile/0/000.p/1", 200),
        ("tile/entries/000.p/1", 401),
        ("tile/entries/nonsense", 401),
        ("tile/0/000", 404),
        ("tile/0/000.p/0", 404),
        ("tile/0/000.p/256", 404),
        ("tile/0/000.p/255", 404),
        ("tile/0/0", 404),
        ("tile/0/x000/000.p/1", 404),
        ("tile/64/000.p/1", 404),
        ("tile/0/999.p/1", 404),
        ("tile/-1/000.p/1", 404),
        ("tile/0/../entries/000.p/1", 404),
    ] {
        let answer = client.get(&format!("/audit/{path}"), &[]).await.unwrap();
        assert_eq!(answer.status, status, "{path}: {:?}", answer.body);
        if path.starts_with("tile/entries") {
            let headers = [("authorization", bearer.as_str())];
            let answer = client.get(&format!("/audit/{path}"), &headers).await.unwrap();
            let wanted = if path.ends_with("000.p/1") { 200 } else { 404 };
            assert_eq!(answer.status, wanted, "{path}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("marked-payload"));
        }
    }
}
