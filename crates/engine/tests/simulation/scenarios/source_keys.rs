//! Versions of the source's key: each has its entry, whenever the gateway dies while one is made, and
//! whoever made it.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_engine::command::{Command, VaultCommand, VaultRewrap};
use tradewarden_seal::{KeySource, KeySources, SecretBytes};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, simulate};
use tradewarden_testkit::key_source::ScriptedKeys;
use tradewarden_testkit::life::Death;

/// Longer than the gateway looks away from its key source.
const A_LOOK: Duration = Duration::from_secs(6);

const fn rotate() -> Command {
    Command::Vault(VaultCommand::Rotate)
}

/// What the entries of an event say.
async fn logged(h: &Harness, event: &str) -> Vec<Value> {
    h.elapse(Duration::from_millis(400)).await;
    let entries = h.log(0).await;
    let read = entries.iter().map(|entry| {
        let leaf: Value = serde_json::from_str(&entry.leaf).unwrap();
        (leaf["event"].clone(), serde_json::from_str(&entry.payload).unwrap())
    });
    read.filter(|(is, _)| is == event).map(|(_, payload)| payload).collect()
}

/// How often the log names each version.
async fn named(h: &Harness) -> BTreeMap<String, usize> {
    let mut named = BTreeMap::new();
    for (event, field) in [
        ("organization.created", "source_key"),
        ("vault.rotated", "key"),
        ("vault.key_found", "key"),
    ] {
        for entry in logged(h, event).await {
            *named.entry(entry[field].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    named
}

async fn found(h: &Harness) -> (usize, usize) {
    let told = h.findings().await;
    let told = told.iter().filter(|finding| finding.code == "vault.key_found").count();
    (logged(h, "vault.key_found").await.len(), told)
}

async fn begun(death: Death) -> Harness {
    let mut h = Harness::sqlite(811, Venue::default()).await;
    h.ready().await;
    h.stop().await;
    h.start(death).await;
    h
}

/// The gateway dies at each commit of a rotation, done or not: afterwards the version that wraps is
/// named once, by the entry of who asked for it or as found.
#[test]
fn a_rotation_that_dies_leaves_no_version_without_an_entry() {
    let commits = simulate(async || {
        let h = begun(Death::Never).await;
        h.elapse(A_LOOK).await;
        let first = h.life().commits() + 1;
        h.command(rotate()).await;
        let last = h.life().commits();
        assert_eq!(found(&h).await, (0, 0));
        let wrote = h.commits_that_wrote();
        h.finish().await;
        let wrote: Vec<_> = wrote.into_iter().filter(|n| (first..=last).contains(n)).collect();
        assert!(wrote.len() >= 2, "who asks for it, and which it is: {wrote:?}");
        wrote
    });
    let mut outcomes = Vec::new();
    for number in commits {
        for death in [Death::BeforeCommit(number), Death::AfterCommit(number)] {
            println!("{death:?}");
            simulate(async || {
                let mut h = begun(death).await;
                h.elapse(A_LOOK).await;
                let before = h.keys.newest().await.unwrap();
                let answer = h.try_command(rotate()).await;
                let is_made = h.keys.newest().await.unwrap() != before;
                h.restart().await;
                h.ready().await;
                h.elapse(A_LOOK).await;
                let newest = h.keys.newest().await.unwrap();
                let named = named(&h).await;
                assert_eq!(named.get(&newest), Some(&1), "{named:?}");
                assert!(named.values().all(|times| *times == 1), "{named:?}");
                let asked = logged(&h, "vault.rotating").await.len();
                assert!(asked == 1 || !is_made, "who asked is in the log before it is made");
                outcomes.push((is_made, answer.is_some(), found(&h).await));
                let again = h.command(rotate()).await;
                assert_eq!(again["before"], newest.as_str(), "{again}");
                h.finish().await;
            });
        }
    }
    assert!(outcomes.contains(&(true, false, (1, 1))), "none died in between: {outcomes:?}");
    assert!(
        outcomes.iter().any(|(is_made, _, found)| !is_made && *found == (0, 0)),
        "{outcomes:?}"
    );
}

/// Somebody makes a version at the source itself: it is entered as found within seconds, once, also
/// over a restart; and before the next rotation, however soon.
#[test]
fn a_version_that_was_made_elsewhere_is_entered_as_found() {
    simulate(async || {
        let mut h = begun(Death::Never).await;
        h.elapse(A_LOOK).await;
        assert_eq!(found(&h).await, (0, 0));
        let made = h.keys.rotate(SecretBytes::new(vec![7; 32])).await.unwrap();
        h.elapse(A_LOOK).await;
        assert_eq!(found(&h).await, (1, 1));
        assert_eq!(logged(&h, "vault.key_found").await[0]["key"], made.as_str());
        h.restart().await;
        h.ready().await;
        h.elapse(A_LOOK).await;
        assert_eq!(found(&h).await, (1, 1));
        let other = h.keys.rotate(SecretBytes::new(vec![8; 32])).await.unwrap();
        let status = h.command(Command::Vault(VaultCommand::Status)).await;
        assert_eq!(status["sources"][0]["newest"], other.as_str(), "{status}");
        assert_eq!(found(&h).await, (2, 2));
        let third = h.keys.rotate(SecretBytes::new(vec![9; 32])).await.unwrap();
        let rotated = h.command(rotate()).await;
        assert_eq!(rotated["before"], third.as_str(), "{rotated}");
        assert_eq!(named(&h).await.len(), 5);
        assert_eq!(found(&h).await, (3, 3));
        h.finish().await;
    });
}

/// Whether a move goes through.
async fn moves(h: &Harness, wanted: KeySources) -> bool {
    let engine = h.engine();
    h.drive(async move { engine.move_keys(wanted).await.is_ok() }).await.unwrap()
}

/// A source that a gateway moves to goes away after any of its calls: the old one wraps still, whatever is
/// sealed opens, and once the new one is back the move is made in full.
#[test]
fn a_move_that_fails_anywhere_is_made_later() {
    simulate(async || {
        let mut failed = 0;
        for calls in 0_u64.. {
            let h = Harness::sqlite(813, Venue::default()).await;
            h.ready().await;
            let before = h.keys.newest().await.unwrap();
            let other = ScriptedKeys::new(7);
            let wanted = KeySources {
                current: Arc::new(other.clone()),
                others: Vec::new(),
                stay_open: None,
            };
            other.go_away_after(calls);
            let is_done = moves(&h, wanted.clone()).await;
            other.come_back();
            if !is_done {
                failed += 1;
                let sources = h.engine().key_sources();
                assert_eq!(sources.current.newest().await.unwrap(), before);
                drop(sources);
                let back = Command::Vault(VaultCommand::Rewrap(VaultRewrap::default()));
                let back = h.command(back).await;
                assert_eq!((&back["left"], &back["unusable"]), (&json!(0), &json!([])), "{back}");
                assert_eq!(logged(&h, "vault.moved").await.len(), 0);
                assert!(moves(&h, wanted).await);
            }
            // Nothing is asked of the old one any more.
            h.keys.go_away();
            let new =
                json!({"command": "organization-create", "name": "New", "owner": "a@b.example"});
            h.command(serde_json::from_value(new).unwrap()).await;
            let status = h.command(Command::Vault(VaultCommand::Status)).await;
            let (sources, left) = (status["sources"].as_array().unwrap(), &status["to_rewrap"]);
            assert_eq!((sources.len(), left), (1, &json!(0)), "{status}");
            assert_eq!(logged(&h, "vault.moved").await.len(), 1);
            h.finish().await;
            if is_done {
                break;
            }
        }
        assert!(failed >= 8, "{failed}");
    });
}
