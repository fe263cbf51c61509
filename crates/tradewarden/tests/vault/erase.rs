//! Erasing: what the keys sealed opens no more, in no copy once the source's key is gone, and everything
//! else goes on.

use std::fs;

use tradewarden_testkit::process::{TestDir, until};

use crate::load::{Load, Senders, Who};
use crate::rows::changed;
use crate::stage::{again, demo, sealed};

#[tokio::test]
async fn an_erased_organization_trades_on_and_its_secrets_never_open() {
    let dir = TestDir::new("vault-erase");
    let gateway = demo(&dir, "").await;
    let program = gateway.program().clone();
    let things = sealed(&dir, &gateway);
    let senders = Senders::new(&gateway).await;
    gateway.stop().await;
    let database = dir.data().join("tradewarden.db");
    let keep = "CREATE TABLE kept AS SELECT * FROM data_keys WHERE purpose = 'intake'";
    changed(&database, &[keep]);
    let gateway = again(&program).await;
    let listed = program.json(&["organization", "list"]).await;
    let org = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let erase = ["vault", "erase", "--org", &org];
    let shown = program.json(&erase).await;
    let phrase = shown["phrase"].as_str().unwrap().to_owned();
    let wrong = program.run(&[&erase[..], &["--phrase", "yes"]].concat()).await;
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert_eq!(things.key_opens(&gateway).await, 200, "nothing was erased yet");
    let done = program.json(&[&erase[..], &["--phrase", &phrase]].concat()).await;
    assert_eq!(done["erased"], serde_json::json!(["intake"]), "{done}");

    assert_eq!(things.key_opens(&gateway).await, 401);
    things.people_come_in(&gateway).await;
    let load = Load::of(&gateway, &senders, &[Who::Bearer, Who::Person]);
    until("signals are taken", async || load.answered() >= 20).await;
    load.end(&program).await;
    let new = ["key", "create", "--name", "other", "--algorithm", "hmac-sha256"];
    let refused = program.run(&[&new[..], &["--scope", "orders:read"]].concat()).await;
    assert!(refused.stderr.contains("vault rotate --data-keys"), "{refused}");
    let status = program.json(&["vault", "status"]).await;
    let open = status["gone"]["open_in_older_copies"].as_array().unwrap();
    assert_eq!(open.len(), 1, "{status}");
    assert_eq!(open[0]["source_key"], status["sources"][0]["newest"], "{status}");

    let anew = ["vault", "rotate", "--data-keys", "--org", &org, "--purpose", "intake"];
    assert_eq!(program.json(&anew).await["made"], 1);
    assert_eq!(things.key_opens(&gateway).await, 401);

    // The source's key goes, and with it what older copies could open.
    program.json(&["vault", "rotate"]).await;
    program.json(&["vault", "rewrap"]).await;
    gateway.stop().await;
    let kek = dir.data().join("kek");
    let text = fs::read_to_string(&kek).unwrap();
    fs::write(&kek, text.lines().last().unwrap()).unwrap();
    let gateway = again(&program).await;
    let status = program.json(&["vault", "status"]).await;
    assert_eq!(status["gone"]["open_in_older_copies"], serde_json::json!([]), "{status}");
    assert_eq!(things.key_opens(&gateway).await, 401);
    gateway.stop().await;
    changed(&database, &["INSERT INTO data_keys SELECT * FROM kept"]);
    // Whoever puts the wrapped key back makes the organization's keys unusable, and opens nothing.
    let gateway = program.try_start("serve").await.unwrap_or_else(|ended| panic!("{ended}"));
    assert_eq!(things.key_opens(&gateway).await, 401);
    until("it is told", async || {
        let list = program.json(&["finding", "list"]).await;
        let mut items = list["items"].as_array().unwrap().iter();
        items.any(|one| one["code"] == "vault.key_unusable")
    })
    .await;
    gateway.stop().await;
}
