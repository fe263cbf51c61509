//! Replacing data keys: nothing is lost, nothing is left under an old one, whenever the gateway dies.
//! Erasing them: nothing opens again, and the rest goes on.

use super::{keys, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{Command, CommandError, VaultCommand, VaultDataKeys, VaultErase};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_seal::{DataKeyId, Purpose, WrappedKey};
use tradewarden_store::{keys as rows, sealed};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, signal, simulate, strategy};
use tradewarden_testkit::life::Death;

/// A gateway with a secret in every column of intake.
struct Sealed {
    h: Harness,
    key: Value,
    asked: u32,
}

fn rotate(purpose: Option<Purpose>, before: Option<Timestamp>) -> Command {
    let purpose = purpose.map(|purpose| purpose.name().to_owned());
    Command::Vault(VaultCommand::RotateDataKeys(VaultDataKeys { org: None, purpose, before }))
}

fn command(value: Value) -> Command {
    serde_json::from_value(value).unwrap()
}

impl Sealed {
    async fn new(seed: u64) -> Self {
        let h = Harness::sqlite(seed, Venue::default()).await;
        h.ready().await;
        let key = keys::key(&h, json!({})).await;
        let hook = h.command(command(json!({
            "command": "webhook-create", "name": "signed", "forms": ["signature"],
        })));
        let id = hook.await["id"].clone();
        h.command(command(json!({"command": "webhook-rotate", "id": id}))).await;
        Self { h, key, asked: 0 }
    }

    /// The secret of the key opens.
    fn opens(&mut self) {
        self.asked += 1;
        keys::caller(&self.h, &self.key, &format!("nonce-{:016}", self.asked));
    }

    async fn status(&self) -> Value {
        self.h.command(Command::Vault(VaultCommand::Status)).await
    }

    async fn key_of(&self, purpose: Purpose) -> (i64, DataKeyId) {
        let org = match purpose {
            Purpose::Intake => self.h.org().await,
            _ => tradewarden_domain::id::Id::from_bytes([0; 16]),
        };
        let found = rows::of(self.h.store(), org, purpose.name()).await.unwrap();
        let newest = found.first().unwrap();
        let id = WrappedKey::from_stored(newest.wrapped.clone()).key_id().unwrap();
        (newest.version, id)
    }

    async fn logged(&self, event: &str) -> Vec<Value> {
        self.h.elapse(millis(400)).await;
        let entries = self.h.log(0).await;
        let read = entries.iter().map(|entry| {
            let leaf: Value = serde_json::from_str(&entry.leaf).unwrap();
            (leaf["event"].clone(), serde_json::from_str(&entry.payload).unwrap())
        });
        read.filter(|(is, _)| is == event).map(|(_, payload)| payload).collect()
    }
}

#[test]
fn a_replaced_data_key_seals_nothing_and_goes() {
    simulate(async || {
        let mut s = Sealed::new(801).await;
        let purposes = [Purpose::Intake, Purpose::People, Purpose::Messages, Purpose::Ledger];
        let mut old = Vec::new();
        for purpose in purposes {
            old.push((purpose, s.key_of(purpose).await.1));
        }
        let count = async |s: &Sealed, purpose: Purpose, key| {
            sealed::count(s.h.store(), purpose.name(), key).await.unwrap()
        };
        assert_eq!(count(&s, Purpose::Intake, old[0].1).await, 3);
        let made = s.h.command(rotate(None, None)).await;
        assert_eq!((&made["made"], &made["left"]), (&4.into(), &0.into()), "{made}");
        let status = s.status().await;
        assert_eq!(status["replaced"].as_array().unwrap().len(), 4, "{status}");
        // It opens now and seals in two seconds, when every node knows it.
        keys::key(&s.h, json!({})).await;
        assert_eq!(count(&s, Purpose::Intake, old[0].1).await, 4);
        s.opens();
        s.h.elapse(Duration::from_secs(4)).await;
        for (purpose, key) in &old {
            assert_eq!(count(&s, *purpose, *key).await, 0, "{purpose}");
        }
        let newest = s.key_of(Purpose::Intake).await.1;
        assert_eq!(count(&s, Purpose::Intake, newest).await, 4);
        keys::key(&s.h, json!({})).await;
        assert_eq!(count(&s, Purpose::Intake, newest).await, 5);
        s.opens();
        s.h.elapse(Duration::from_secs(10)).await;
        let status = s.status().await;
        let left = status["replaced"].as_array().unwrap();
        let left: Vec<_> = left.iter().map(|key| key["purpose"].as_str().unwrap()).collect();
        assert_eq!(left, ["people"], "challenges in the hands of callers still open");
        s.h.elapse(Duration::from_mins(6)).await;
        assert_eq!(s.status().await["replaced"], json!([]));
        s.h.restart().await;
        s.h.ready().await;
        s.opens();
        assert_eq!(s.logged("vault.data_key.created").await.len(), 4);
        assert_eq!(s.logged("vault.data_key.retired").await.len(), 4);
        assert!(s.logged("vault.data_key.resealed").await.len() >= 5);
        let pepper = s.h.try_command(rotate(Some(Purpose::Pepper), None)).await.unwrap();
        assert!(matches!(pepper, Err(CommandError::Invalid { .. })), "{pepper:?}");
        s.h.finish().await;
    });
}

/// With an age, what is older gets a successor by itself, once.
#[test]
fn a_data_key_that_is_too_old_is_replaced() {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    simulate(async || {
        let mut s = Sealed::new(804).await;
        s.h.stop().await;
        s.h.data_keys_last = Some(YEAR);
        s.h.start(Death::Never).await;
        s.h.ready().await;
        s.h.clock.advance(YEAR.saturating_sub(Duration::from_hours(1)));
        s.h.elapse(Duration::from_secs(3)).await;
        assert_eq!(s.key_of(Purpose::Intake).await.0, 1);
        s.h.clock.advance(Duration::from_hours(1));
        s.h.elapse(Duration::from_secs(30)).await;
        for purpose in [Purpose::Intake, Purpose::People, Purpose::Messages, Purpose::Ledger] {
            assert_eq!(s.key_of(purpose).await.0, 2, "{purpose}");
        }
        assert_eq!(s.key_of(Purpose::Pepper).await.0, 1);
        let made = s.logged("vault.data_key.created").await;
        assert_eq!(made.len(), 4);
        assert!(made.iter().all(|entry| entry["reason"] == "age"), "{made:?}");
        s.h.finish().await;
    });
}

/// Somebody who asks again whenever the gateway dies.
async fn insists(s: &mut Sealed, wanted: &Command) -> Value {
    loop {
        match s.h.try_command(wanted.clone()).await {
            Some(outcome) => return outcome.unwrap(),
            None => revive(s).await,
        }
    }
}

async fn revive(s: &mut Sealed) {
    s.h.crash().await;
    s.h.start(Death::Never).await;
}

/// Replaces the key of intake; the commits of it.
async fn replaces(s: &mut Sealed) -> (u64, u64) {
    let before = s.h.now();
    let first = s.h.life().commits() + 1;
    insists(s, &rotate(Some(Purpose::Intake), Some(before))).await;
    let status = Command::Vault(VaultCommand::Status);
    while insists(s, &status).await["replaced"] != json!([]) {
        s.h.elapse(Duration::from_secs(1)).await;
    }
    s.h.elapse(Duration::from_secs(1)).await;
    let last = s.h.life().commits();
    if !s.h.is_alive() {
        revive(s).await;
    }
    assert_eq!(s.key_of(Purpose::Intake).await.0, 2, "it was replaced once");
    s.h.ready().await;
    s.opens();
    for event in ["vault.data_key.created", "vault.data_key.retired"] {
        assert_eq!(s.logged(event).await.len(), 1, "{event}");
    }
    let resealed = s.logged("vault.data_key.resealed").await;
    let records = resealed.iter().map(|entry| entry["records"].as_str().unwrap().to_owned());
    assert_eq!(records.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(), 3);
    (first, last)
}

async fn begun(death: Death) -> Sealed {
    let mut s = Sealed::new(802).await;
    s.h.stop().await;
    s.h.start(death).await;
    s
}

/// The process dies at every commit of a replacement, done or not: it goes on where it was, and
/// nothing is done twice.
#[test]
fn replacing_a_data_key_goes_on_after_a_crash_at_every_commit() {
    let commits = simulate(async || {
        let mut s = begun(Death::Never).await;
        let (first, last) = replaces(&mut s).await;
        let wrote = s.h.commits_that_wrote();
        s.h.finish().await;
        let wrote: Vec<_> = wrote.into_iter().filter(|n| (first..=last).contains(n)).collect();
        assert!(wrote.len() >= 5, "the scenario is too short: {wrote:?}");
        wrote
    });
    for number in commits {
        for death in [Death::BeforeCommit(number), Death::AfterCommit(number)] {
            println!("{death:?}");
            simulate(async || {
                let mut s = begun(death).await;
                replaces(&mut s).await;
                s.h.finish().await;
            });
        }
    }
}

const KEPT: &str = "CREATE TABLE kept_keys AS SELECT * FROM api_keys; \
                    CREATE TABLE kept_webhooks AS SELECT id, signing_secret FROM webhooks;";
const PUT_BACK: &str = "DELETE FROM api_keys; INSERT INTO api_keys SELECT * FROM kept_keys; \
                        UPDATE webhooks SET signing_secret = (SELECT signing_secret \
                        FROM kept_webhooks WHERE kept_webhooks.id = webhooks.id);";

impl Sealed {
    async fn erase(&self, phrase: Option<&str>) -> Result<Value, CommandError> {
        let (org, phrase) = (self.h.org().await.to_string(), phrase.map(str::to_owned));
        let erase = VaultErase { org, purpose: None, phrase };
        self.h.try_command(Command::Vault(VaultCommand::Erase(erase))).await.unwrap()
    }

    fn is_open(&mut self) -> bool {
        self.asked += 1;
        keys::try_caller(&self.h, &self.key, &format!("nonce-{:016}", self.asked)).is_ok()
    }

    /// The same installation with rows of an older copy.
    async fn with(&mut self, rows: &str) {
        self.h.stop().await;
        self.h.sabotage(rows);
        self.h.start(Death::Never).await;
        self.h.ready().await;
    }
}

#[test]
fn what_an_erased_key_sealed_never_opens_again() {
    simulate(async || {
        let mut s = Sealed::new(803).await;
        s.with(KEPT).await;
        assert!(s.is_open());
        let shown = s.erase(None).await.unwrap();
        assert_eq!(shown["phrase"], "erase intake of main", "{shown}");
        let wrong = s.erase(Some("erase everything")).await;
        assert!(matches!(wrong, Err(CommandError::Invalid { field: "phrase", .. })), "{wrong:?}");
        assert!(s.is_open(), "nothing was erased yet");
        let done = s.erase(Some("erase intake of main")).await.unwrap();
        assert_eq!((&done["erased"], &done["revoked_keys"]), (&json!(["intake"]), &json!(1)));
        assert_eq!(done["webhooks_without_signature"], 1, "{done}");
        assert!(!s.is_open(), "not even from memory");
        let new = json!({
            "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
            "scopes": ["orders:read"],
        });
        let refused = s.h.try_command(command(new)).await.unwrap();
        assert!(
            matches!(refused, Err(CommandError::Refused { code: Code::VaultErased, .. })),
            "{refused:?}"
        );
        assert_eq!(s.logged("vault.erased").await.len(), 1);
        let told = s.h.findings().await;
        assert_eq!(told.iter().filter(|finding| finding.code == "vault.erased").count(), 1);
        let again = s.erase(Some("erase intake of main")).await.unwrap();
        assert_eq!(again["erased"], json!([]), "{again}");

        // The sealed rows of an older copy open nothing, and hold up nothing.
        s.with(PUT_BACK).await;
        assert!(!s.is_open());
        let org = s.h.org().await.to_string();
        let anew = VaultDataKeys { org: Some(org), purpose: Some("intake".into()), before: None };
        let made = s.h.command(Command::Vault(VaultCommand::RotateDataKeys(anew))).await;
        assert_eq!(made["made"], 1, "{made}");
        let status = s.status().await;
        assert_eq!(status["erased"][0]["has_new_key"], true, "{status}");
        assert!(!s.is_open());
        s.key = keys::key(&s.h, json!({})).await;
        assert!(s.is_open());
        s.with("").await;
        assert!(s.is_open(), "what was made after it opens");
        // With the wrapped key of an older copy they would: the status says so.
        let open = &status["gone"]["open_in_older_copies"];
        assert_eq!(open[0]["data_keys"], 1, "{status}");
        s.h.finish().await;
    });
}

/// A data key that does not open stops nobody but who needs it, is told, and keeps no other under the
/// old key of the source.
#[test]
fn a_damaged_data_key_stops_nobody_else() {
    simulate(async || {
        let mut h = Harness::sqlite(809, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("es", &hook, &account, "ES", "1")).await;
        h.sane_limits().await;
        h.stop().await;
        h.sabotage("UPDATE data_keys SET wrapped = x'00' WHERE purpose = 'intake'");
        h.start(Death::Never).await;
        h.ready().await;
        let reply = h.send(&hook, &signal("BUY", "a")).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        h.until("it is told", async |h: &Harness| h.has_finding("vault.key_unusable").await).await;
        let asked = |verb: &str| command(json!({"command": "vault", "verb": verb}));
        h.command(asked("rotate")).await;
        let done = h.command(asked("rewrap")).await;
        assert_eq!((&done["rewrapped"], &done["left"]), (&4.into(), &0.into()), "{done}");
        assert_eq!(done["unusable"].as_array().unwrap().len(), 1, "{done}");
        h.finish().await;
    });
}
