//! Where a signal comes from: allow-lists, and whose word about it is taken.

use serde_json::Value;
use tradewarden_testkit::process::TestDir;

use crate::door::{Door, demo};
use crate::stage::{another_door, orders, refused, said};

const DRY: &str = r#"{"action":"BUY","dry_run":true}"#;

/// The answer to a signal whose proxy, or sender, says where it comes from.
async fn from(door: &mut Door, headers: &[(&str, &str)]) -> (u16, Value) {
    let secret = door.secret.clone();
    let mut all = vec![("x-webhook-secret", secret.as_str())];
    all.extend_from_slice(headers);
    let path = door.path.clone();
    let answer = door.client.post(&path, &all, DRY).await.unwrap();
    match answer.status {
        200 => (200, said(&answer, 200, "dry_run")),
        _ => (403, refused(&answer, 403, "address.not_allowed")),
    }
}

/// Without a trusted proxy the socket's own address counts, whatever the headers claim.
#[tokio::test]
async fn what_a_sender_says_about_itself_is_ignored() {
    let dir = TestDir::new("intake-xff");
    let (gateway, _) = demo(&dir, "").await;
    let mut ours = another_door(&gateway, &["--allow", "127.0.0.0/8"], &[]).await;
    let mut theirs = another_door(&gateway, &["--allow", "10.0.0.0/8"], &[]).await;
    for headers in [
        &[][..],
        &[("x-forwarded-for", "10.1.2.3")],
        &[("forwarded", "for=10.1.2.3")],
        &[("x-real-ip", "10.1.2.3"), ("x-forwarded-for", "10.1.2.3, 10.1.2.3")],
        &[("true-client-ip", "10.1.2.3"), ("cf-connecting-ip", "10.1.2.3")],
    ] {
        assert_eq!(from(&mut ours, headers).await.0, 200, "{headers:?}");
        let (status, body) = from(&mut theirs, headers).await;
        assert_eq!((status, &body["input"]), (403, &"127.0.0.1".into()), "{headers:?}");
    }
    assert_eq!(orders(gateway.program()).await.len(), 0);
}

/// Behind a trusted proxy its client counts: networks of both versions, and the preset.
#[tokio::test]
async fn allow_lists_of_both_versions_and_the_preset() {
    let dir = TestDir::new("intake-allow");
    let (gateway, _) = demo(&dir, "trusted_proxies = [\"127.0.0.1\"]\n").await;
    let lists = ["--allow", "10.0.0.0/8", "--allow", "2001:db8:7::/48", "--allow", "192.0.2.1"];
    let mut listed = another_door(&gateway, &lists, &[]).await;
    for (address, status) in [
        ("10.255.0.1", 200),
        ("11.0.0.1", 403),
        ("192.0.2.1", 200),
        ("192.0.2.2", 403),
        ("2001:db8:7:1::9", 200),
        ("2001:db8:8::9", 403),
        // A v4 address in v6 clothes is the v4 address.
        ("::ffff:10.0.0.1", 200),
        ("::ffff:11.0.0.1", 403),
        // The client is the last hop before the proxy; what stands before it is hearsay.
        ("10.0.0.1, 11.0.0.1", 403),
        ("11.0.0.1, 10.0.0.1", 200),
        // What does not parse is the proxy itself, which is on no list.
        ("10.0.0.1, nonsense", 403),
    ] {
        let (found, body) = from(&mut listed, &[("x-forwarded-for", address)]).await;
        assert_eq!(found, status, "{address}: {body}");
    }
    assert_eq!(from(&mut listed, &[]).await.0, 403);
    let quoted = [("forwarded", "for=\"[2001:db8:7::1]:4711\";proto=https")];
    assert_eq!(from(&mut listed, &quoted).await.0, 200);

    let mut preset = another_door(&gateway, &["--preset", "tradingview"], &[]).await;
    for address in ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"] {
        assert_eq!(from(&mut preset, &[("x-forwarded-for", address)]).await.0, 200, "{address}");
    }
    let (status, body) = from(&mut preset, &[("x-forwarded-for", "52.89.214.239")]).await;
    assert_eq!((status, &body["input"]), (403, &"52.89.214.239".into()));
}
