//! What the gateway itself does about API keys, and what of their use outlives a restart.

use super::{Small, millis};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::quota::Budget;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::{NotAuthenticated, Shown};
use tradewarden_engine::command::{ById, Command, CommandError};
use tradewarden_seal::http_signature::{RequestToSign, SigningKey, SigningParameters, sign};
use tradewarden_seal::{Digest, SecretBytes};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, simulate};

const DAY: Duration = Duration::from_hours(24);

pub(super) async fn key(h: &Harness, settings: Value) -> Value {
    let mut command = json!({
        "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
        "scopes": ["orders:read", "webhooks:manage"],
    });
    command.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    h.command(serde_json::from_value(command).unwrap()).await
}

/// The actor behind a request that this key signed now.
pub(super) fn caller(h: &Harness, key: &Value, nonce: &str) -> Actor {
    try_caller(h, key, nonce).unwrap()
}

pub(super) fn try_caller(h: &Harness, key: &Value, nonce: &str) -> Result<Actor, NotAuthenticated> {
    let secret = key["secret"].as_str().unwrap().as_bytes().to_vec();
    let origin = "https://localhost".parse().unwrap();
    let request = RequestToSign {
        method: "POST",
        origin: &origin,
        target: "/api/v1/webhooks",
        content_type: None,
        idempotency_key: None,
        body: b"",
    };
    let parameters = SigningParameters {
        key_id: key["id"].as_str().unwrap(),
        created_unix_s: h.now().unix_seconds(),
        expires_unix_s: None,
        nonce,
    };
    let signing = SigningKey::HmacSha256(SecretBytes::new(secret));
    let signature = sign(&signing, &request, &parameters).unwrap();
    let headers: Vec<_> = signature.lines().map(|(name, value)| (name, value.as_bytes())).collect();
    let shown = Shown {
        method: "POST",
        target: "/api/v1/webhooks",
        authority: "localhost",
        headers: &headers,
        body: b"",
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        budget: Budget::Requests,
    };
    h.engine().caller(&shown)
}

/// C2, C19: who shows a wrong token, or nothing, leaves a count by source and rule, and no more.
#[test]
fn c2_what_shows_no_right_credentials_is_counted() {
    simulate(async || {
        let small = Small::with(711, Venue::default(), |_| {}).await;
        small.accept("BUY", "a").await;
        small.h.quiet().await;
        let shows = |name: &str, value: &[u8]| {
            let shown = Shown {
                method: "GET",
                target: "/api/v1/orders",
                authority: "localhost",
                headers: &[(name, value)],
                body: b"",
                address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
                budget: Budget::Requests,
            };
            assert_eq!(small.h.engine().caller(&shown).err(), Some(NotAuthenticated::Failed));
        };
        for _ in 0..3 {
            shows("authorization", b"Bearer twa_bad");
        }
        for _ in 0..2 {
            shows("accept", b"*/*");
        }
        small.h.elapse(Duration::from_secs(3)).await;
        let org = small.order(0).await.org_id;
        let entries = small.h.entries(org.to_bytes()).await;
        let denied: Vec<Value> = entries
            .iter()
            .filter(|entry| entry.leaf.contains("auth.denied"))
            .map(|entry| serde_json::from_str(&entry.payload).unwrap())
            .collect();
        let counted = |count: &str, rule: &str| json!({ "count": count, "rule": rule, "source": "192.0.2.0/24" });
        assert_eq!(denied, [counted("2", "credentials.absent"), counted("3", "token")]);
        small.end().await;
    });
}

async fn state(h: &Harness, key: &Value) -> Value {
    let id = key["id"].as_str().unwrap().to_owned();
    h.command(Command::KeyShow(ById { id })).await["state"].clone()
}

async fn found(h: &Harness, code: &str) -> usize {
    h.findings().await.iter().filter(|finding| finding.code == code).count()
}

/// An organization may want 30 days instead of 90: of new keys and of those that follow on old ones.
#[test]
fn keys_live_as_long_as_the_policy_says() {
    simulate(async || {
        let h = Harness::sqlite(79, Venue::default()).await;
        h.ready().await;
        let lives = |key: &Value| {
            let at = |name: &str| key[name].as_str().unwrap().parse::<Timestamp>().unwrap();
            at("expires_at").since(at("created_at"))
        };
        let old = key(&h, json!({})).await;
        assert_eq!(lives(&old), DAY * 90);
        let set = json!({"command": "policy-set", "name": "key_lifetime_days", "value": "30"});
        h.command(serde_json::from_value(set).unwrap()).await;
        assert_eq!(lives(&key(&h, json!({})).await), DAY * 30);
        let bound = json!({"expires_in_days": 365, "allow": ["198.51.100.0/24"]});
        assert_eq!(lives(&key(&h, bound).await), DAY * 365);
        let long = json!({
            "command": "key-create", "name": "long", "algorithm": "hmac-sha256",
            "scopes": ["orders:read"], "expires_in_days": 31,
        });
        let long = serde_json::from_value(long).unwrap();
        let refused = h.drive(h.engine().execute(long, &Actor::operator())).await.unwrap();
        assert!(matches!(refused, Err(CommandError::Refused { code: Code::KeyLifetime, .. })));
        let rotate = json!({"command": "key-rotate", "id": old["id"], "rotation": {}});
        let next = h.command(serde_json::from_value(rotate).unwrap()).await;
        assert_eq!(lives(&next), DAY * 30);
    });
}

#[test]
fn a_key_that_ends_soon_is_told_of_once_a_day() {
    simulate(async || {
        let h = Harness::sqlite(71, Venue::default()).await;
        h.ready().await;
        let soon = key(&h, json!({"expires_in_days": 7})).await;
        let _later = key(&h, json!({"expires_in_days": 9})).await;
        h.elapse(Duration::from_mins(31)).await;
        assert_eq!(found(&h, "key.expires_soon").await, 1, "three looks, one finding");
        let finding = h.findings().await.pop().unwrap();
        assert_eq!(finding.subject, soon["id"].as_str().unwrap());
        h.clock.advance(DAY);
        h.elapse(Duration::from_mins(11)).await;
        assert_eq!(found(&h, "key.expires_soon").await, 2);
        h.finish().await;
    });
}

#[test]
fn a_key_that_nobody_uses_is_suspended_and_one_that_is_used_is_not() {
    simulate(async || {
        let h = Harness::sqlite(72, Venue::default()).await;
        h.ready().await;
        let (unused, used) = (key(&h, json!({})).await, key(&h, json!({})).await);
        h.clock.advance(DAY * 29);
        let _used = caller(&h, &used, "nonce-0000000000001");
        h.elapse(Duration::from_mins(11)).await;
        assert_eq!(found(&h, "key.unused").await, 0);
        h.clock.advance(DAY);
        h.elapse(Duration::from_mins(11)).await;
        assert_eq!(state(&h, &unused).await, "suspended");
        assert_eq!(state(&h, &used).await, "active");
        assert_eq!(found(&h, "key.unused").await, 1);
        assert!(h.verify().await.ok);
        h.finish().await;
    });
}

/// C17: the row decides where memory knows nothing, as at another node.
#[test]
fn c17_a_nonce_that_only_the_database_knows_changes_nothing() {
    simulate(async || {
        let h = Harness::sqlite(73, Venue::default()).await;
        h.ready().await;
        let key = key(&h, json!({})).await;
        let id: tradewarden_domain::id::Id<tradewarden_domain::id::Key> =
            key["id"].as_str().unwrap().parse().unwrap();
        let make = |name: &str| {
            let new = json!({"command": "webhook-create", "name": name});
            serde_json::from_value::<Command>(new).unwrap()
        };
        let seen = "nonce-0000000000001";
        let actor = caller(&h, &key, seen);
        let hex = |bytes: &[u8]| tradewarden_seal::hex_encode(bytes);
        h.sabotage(&format!(
            "INSERT INTO nonces (key_id, nonce_hash, at) VALUES (x'{}', x'{}', {})",
            hex(&id.to_bytes()),
            hex(Digest::sha256(seen.as_bytes()).as_bytes()),
            h.now().unix_micros()
        ));
        let replay = h.drive(h.engine().execute(make("replayed"), &actor)).await.unwrap();
        let Err(CommandError::Refused { code, .. }) = replay else { panic!("{replay:?}") };
        assert_eq!(code, Code::Unauthenticated);
        let first = caller(&h, &key, "nonce-0000000000002");
        assert!(h.drive(h.engine().execute(make("first"), &first)).await.unwrap().is_ok());
        let list = h.command(Command::WebhookList).await;
        let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|w| &w["name"]).collect();
        assert_eq!(names, ["first"]);
        assert!(h.verify().await.ok);
        h.finish().await;
    });
}

/// A halt is no exception: asked for again with a nonce that only the database knows, it is not
/// engaged, and the first one writes its nonce in its own transaction.
#[test]
fn c17_a_halt_claims_its_nonce() {
    simulate(async || {
        let mut h = Harness::sqlite(75, Venue::default()).await;
        h.ready().await;
        let key = key(&h, json!({"scopes": ["halt:engage", "orders:read"]})).await;
        let engage = |reason: &str| {
            let halt = json!({"command": "halt-engage", "reason": reason});
            serde_json::from_value::<Command>(halt).unwrap()
        };
        let seen = "nonce-0000000000001";
        let first = caller(&h, &key, seen);
        h.drive(h.engine().execute(engage("first"), &first)).await.unwrap().unwrap();
        // The process dies before anything else could have written the nonce.
        h.crash().await;
        drop(first);
        h.restart().await;
        h.ready().await;
        assert!(try_caller(&h, &key, seen).is_err(), "its nonce is durable");

        let known = "nonce-0000000000002";
        let actor = caller(&h, &key, known);
        let id: tradewarden_domain::id::Id<tradewarden_domain::id::Key> =
            key["id"].as_str().unwrap().parse().unwrap();
        h.sabotage(&format!(
            "INSERT INTO nonces (key_id, nonce_hash, at) VALUES (x'{}', x'{}', {})",
            tradewarden_seal::hex_encode(&id.to_bytes()),
            tradewarden_seal::hex_encode(Digest::sha256(known.as_bytes()).as_bytes()),
            h.now().unix_micros()
        ));
        let replay = h.drive(h.engine().execute(engage("again"), &actor)).await.unwrap();
        let Err(CommandError::Refused { code, .. }) = replay else { panic!("{replay:?}") };
        assert_eq!(code, Code::Unauthenticated);
        let halts = h.command(Command::HaltStatus).await;
        let reasons: Vec<_> =
            halts["items"].as_array().unwrap().iter().map(|halt| &halt["reason"]).collect();
        assert_eq!(reasons, ["first"]);
        assert!(h.verify().await.ok);
        h.finish().await;
    });
}

#[test]
fn what_was_asked_for_within_the_day_counts_after_a_restart() {
    simulate(async || {
        let mut h = Harness::sqlite(74, Venue::default()).await;
        h.ready().await;
        let key = key(&h, json!({"tier": "free"})).await;
        let actor = caller(&h, &key, "nonce-0000000000001");
        for _ in 0..7 {
            let drawn = h.engine().draw(&actor, Budget::Requests);
            assert_eq!(drawn.exceeded, None);
            h.elapse(Duration::from_secs(1)).await;
        }
        h.elapse(millis(1_100)).await;
        h.crash().await;
        h.restart().await;
        h.ready().await;
        let actor = caller(&h, &key, "nonce-0000000000002");
        let drawn = h.engine().draw(&actor, Budget::Requests);
        assert_eq!(drawn.standing.day.unwrap().remaining, 10_000 - 8);
        assert_eq!(h.engine().draw(&actor, Budget::Orders).standing.day.unwrap().remaining, 9_999);
        h.clock.advance(DAY + Duration::from_mins(15));
        let drawn = h.engine().draw(&actor, Budget::Requests);
        assert_eq!(drawn.standing.day.unwrap().remaining, 9_999, "yesterday is forgotten");
        let usage = ById { id: key["id"].as_str().unwrap().to_owned() };
        assert_eq!(h.command(Command::KeyUsage(usage)).await["calls"], 10);
        assert!(h.now() > Timestamp::default());
        h.finish().await;
    });
}
