//! Rotating a webhook's secrets: no alert is lost while the sender is changed.

use serde_json::{Value, json};
use tradewarden_testkit::process::TestDir;

use crate::door::{Door, demo};

async fn rotate(
    door: &Door,
    gateway: &tradewarden_testkit::process::Gateway,
    more: &[&str],
) -> Door {
    let id = gateway.ready()["webhook"]["id"].as_str().unwrap();
    let args = [&["webhook", "rotate", id], more].concat();
    let rotated = gateway.program().json(&args).await;
    assert_eq!(rotated["id"], id, "{rotated}");
    let new = Door::of(gateway, &rotated);
    assert_eq!(new.path, door.path, "the address stays");
    assert_ne!(new.secret, door.secret);
    new
}

async fn status(door: &mut Door, id: &str) -> (u16, Value) {
    let answer = door.send(json!({"action": "EXIT", "id": id}).to_string()).await;
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn both_secrets_are_taken_for_a_while() {
    let dir = TestDir::new("intake-rotation");
    let (gateway, mut first) = demo(&dir, "").await;
    let flat = (200, json!("strategy.flat"));
    let wrong = (401, json!("auth.failed"));
    let mut second = rotate(&first, &gateway, &[]).await;
    assert_eq!(status(&mut first, "1").await, flat, "the old one");
    assert_eq!(status(&mut second, "2").await, flat, "the new one");
    // Only the one before is taken, and not for ever.
    let mut third = rotate(&second, &gateway, &["--overlap-s", "60"]).await;
    assert_eq!(status(&mut first, "3").await, wrong, "two rotations ago");
    assert_eq!(status(&mut second, "4").await, flat);
    let mut fourth = rotate(&third, &gateway, &["--overlap-s", "0"]).await;
    assert_eq!(status(&mut third, "5").await, wrong, "no overlap");
    assert_eq!(status(&mut fourth, "6").await, flat);
    // A restart remembers which.
    let mut fifth = rotate(&fourth, &gateway, &[]).await;
    let program = gateway.program().clone();
    let (old, new) = (fourth.secret.clone(), fifth.secret.clone());
    gateway.kill9().await;
    let gateway = program.try_start("demo").await.unwrap();
    for door in [&mut fourth, &mut fifth] {
        door.client = gateway.client();
    }
    assert_eq!((&fourth.secret, &fifth.secret), (&old, &new));
    assert_eq!(status(&mut fourth, "7").await, flat);
    assert_eq!(status(&mut fifth, "8").await, flat);
    let id = gateway.ready()["webhook"]["id"].as_str().unwrap();
    let args = ["webhook", "rotate", id, "--overlap-s", "604801"];
    assert_eq!(gateway.program().run(&args).await.code, Some(2));
}
