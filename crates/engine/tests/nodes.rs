//! Two nodes on one database, and the keys of access tokens: what one node changes, the other knows
//! within a second.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::permission::Permission;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::Engine;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::{NotAuthenticated, Shown};
use tradewarden_engine::command::{ById, Command};
use tradewarden_engine::intake::{Received, SignalStatus};
use tradewarden_engine::people::{Ask, Client, Entered, Login, Origin};
use tradewarden_seal::SecretBytes;
use tradewarden_seal::http_signature::{RequestToSign, SigningKey, SigningParameters, sign};
use tradewarden_testkit::broker::{Call, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Hook, raw, signal, simulate, strategy};

const PASSWORD: &str = "correct-zebra-battery-8841-staple";
const STEP: Duration = Duration::from_millis(25);
/// A second. While a database server is waited for, two simulated milliseconds pass in a real one,
/// so the bound is twice as long.
const STEPS_MAX: usize = 80;

async fn command(harness: &Harness, command: Value) -> Value {
    harness.command(serde_json::from_value(command).unwrap()).await
}

/// Lets time pass until it holds, at most for the bound.
async fn within_a_second(harness: &Harness, what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..STEPS_MAX {
        if holds() {
            return;
        }
        harness.elapse(STEP).await;
    }
    panic!("not within a second: {what}");
}

/// Who signed with this key, at this node, with a nonce that was never used.
fn signer(
    harness: &Harness,
    engine: &Engine,
    key: &Value,
    number: &mut u32,
) -> Result<Actor, NotAuthenticated> {
    *number += 1;
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
        created_unix_s: harness.now().unix_seconds(),
        expires_unix_s: None,
        nonce: &format!("nonce-{number:016}"),
    };
    let secret = key["secret"].as_str().unwrap().as_bytes().to_vec();
    let signing = SigningKey::HmacSha256(SecretBytes::new(secret));
    let signature = sign(&signing, &request, &parameters).unwrap();
    let headers: Vec<_> = signature.lines().map(|(name, value)| (name, value.as_bytes())).collect();
    engine.caller(&shown("POST", "/api/v1/webhooks", &headers))
}

fn shown<'a>(method: &'a str, target: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> Shown<'a> {
    Shown {
        method,
        target,
        authority: "localhost",
        headers,
        body: b"",
        address: IpAddr::from([127, 0, 0, 1]),
        budget: Budget::Requests,
    }
}

fn bearer(engine: &Engine, token: &str) -> Result<Actor, NotAuthenticated> {
    let value = format!("Bearer {token}");
    let headers = [("authorization", value.as_bytes())];
    engine.caller(&shown("GET", "/api/v1/me", &headers))
}

async fn log_in(harness: &Harness, email: &str) -> String {
    let login = Ask::Login(Login {
        email: email.to_owned(),
        password: Entered::new(PASSWORD.to_owned()),
        cookie: false,
        org_id: None,
    });
    let client = Client {
        address: IpAddr::from([127, 0, 0, 1]),
        user_agent: "test".to_owned(),
        origin: Origin::Unsaid,
        session: None,
    };
    let engine = harness.engine();
    let said = harness.drive(async move { engine.converse(login, None, &client).await });
    let value = said.await.unwrap().unwrap().value;
    value["access_token"].as_str().unwrap().to_owned()
}

async fn user(harness: &Harness, email: &str, role: &str) -> String {
    let new =
        json!({ "command": "user-create", "email": email, "role": role, "password": PASSWORD });
    command(harness, new).await["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_that_one_node_revokes_is_refused_by_the_other() {
    simulate(async || {
        let h = Harness::postgres(91, Venue::default()).await;
        h.ready().await;
        let other = h.second_node().await;
        let new = json!({
            "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
            "scopes": ["orders:read", "webhooks:manage"],
        });
        let (key, kept) = (command(&h, new.clone()).await, command(&h, new).await);
        let mut nonce = 0;
        within_a_second(&h, "a new key is taken", || {
            signer(&h, &other, &key, &mut nonce).is_ok()
                && signer(&h, &other, &kept, &mut nonce).is_ok()
        })
        .await;
        let id = key["id"].as_str().unwrap().to_owned();
        h.command(Command::KeyRevoke(ById { id })).await;
        assert!(signer(&h, &h.engine(), &key, &mut nonce).is_err(), "the next request here");
        within_a_second(&h, "a revoked key is refused", || {
            signer(&h, &other, &key, &mut nonce).is_err()
        })
        .await;
        signer(&h, &other, &kept, &mut nonce).unwrap();
        drop(other);
        h.finish().await;
    });
}

#[test]
fn a_webhook_of_one_node_is_known_to_the_other() {
    simulate(async || {
        let h = Harness::postgres(92, Venue::default()).await;
        h.ready().await;
        let other = h.second_node().await;
        let hook = h.webhook("tv", 10).await;
        within_a_second(&h, "a new webhook", || other.knows_webhook(&hook.token)).await;
        h.command(Command::WebhookDisable(ById { id: hook.id.clone() })).await;
        assert!(!h.engine().knows_webhook(&hook.token));
        within_a_second(&h, "a disabled webhook", || !other.knows_webhook(&hook.token)).await;
        drop(other);
        h.finish().await;
    });
}

#[test]
fn a_role_and_an_end_of_a_session_are_known_to_the_other_node() {
    simulate(async || {
        let h = Harness::postgres(93, Venue::default()).await;
        h.ready().await;
        let _owner = user(&h, "owner@example.com", "owner").await;
        let ann = user(&h, "ann@example.com", "viewer").await;
        let other = h.second_node().await;
        let token = log_in(&h, "ann@example.com").await;
        within_a_second(&h, "a new session", || bearer(&other, &token).is_ok()).await;
        let reads_the_log = |engine: &Engine| {
            bearer(engine, &token).is_ok_and(|actor| actor.permissions().has(Permission::AuditRead))
        };
        assert!(!reads_the_log(&other));
        command(&h, json!({ "command": "user-change", "id": ann, "role": "auditor" })).await;
        assert!(reads_the_log(&h.engine()), "the next request here");
        within_a_second(&h, "another role", || reads_the_log(&other)).await;
        let actor = bearer(&h.engine(), &token).unwrap();
        let tradewarden_engine::actor::Who::Person(person) = actor.who() else { panic!() };
        let id = person.session_id.to_string();
        h.command(Command::SessionEnd(ById { id })).await;
        assert!(bearer(&h.engine(), &token).is_err(), "the next request here");
        within_a_second(&h, "an ended session", || bearer(&other, &token).is_err()).await;
        drop(other);
        h.finish().await;
    });
}

fn key_ids(engine: &Engine) -> Vec<String> {
    let keys = engine.token_keys();
    let keys = keys["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// After 30 days another key signs; what the old one signed is taken until it expires, and nothing
/// that a removed key signed is.
#[test]
fn the_key_of_access_tokens_rotates() {
    simulate(async || {
        let h = Harness::sqlite(94, Venue::default()).await;
        h.ready().await;
        let _owner = user(&h, "owner@example.com", "owner").await;
        let first = key_ids(&h.engine());
        assert_eq!(first.len(), 1);
        h.clock.advance(Duration::from_hours(30 * 24) + Duration::from_secs(1));
        let old = log_in(&h, "owner@example.com").await;
        h.elapse(Duration::from_mins(11)).await;
        let both = key_ids(&h.engine());
        assert_eq!(both.len(), 2);
        assert!(both.contains(&first[0]));
        let new = log_in(&h, "owner@example.com").await;
        let header = |token: &str| token.split('.').next().unwrap().to_owned();
        assert_ne!(header(&old), header(&new), "another key signs");
        bearer(&h.engine(), &old).unwrap();
        bearer(&h.engine(), &new).unwrap();
        h.clock.advance(Duration::from_mins(80));
        assert!(bearer(&h.engine(), &old).is_err(), "it has expired");
        bearer(&h.engine(), &new).unwrap();
        // A day later the old key is taken no more, without anybody's doing.
        h.clock.advance(Duration::from_hours(24));
        h.elapse(Duration::from_mins(11)).await;
        let last = key_ids(&h.engine());
        assert_eq!(last.len(), 1);
        assert!(!last.contains(&first[0]));
        h.finish().await;
    });
}

#[test]
fn a_removed_key_verifies_nothing() {
    simulate(async || {
        let h = Harness::sqlite(95, Venue::default()).await;
        h.ready().await;
        let _owner = user(&h, "owner@example.com", "owner").await;
        h.clock.advance(Duration::from_hours(30 * 24) + Duration::from_secs(1));
        let old = log_in(&h, "owner@example.com").await;
        h.elapse(Duration::from_mins(11)).await;
        bearer(&h.engine(), &old).unwrap();
        h.sabotage("DELETE FROM token_keys WHERE retired_at IS NOT NULL");
        // Any change about people lets the keys be read anew.
        let new = log_in(&h, "owner@example.com").await;
        assert!(bearer(&h.engine(), &old).is_err(), "its key is gone");
        bearer(&h.engine(), &new).unwrap();
        assert_eq!(key_ids(&h.engine()).len(), 1);
        h.finish().await;
    });
}

/// Two nodes judge orders at one moment that one override would let pass: it is used once, by an order of
/// whichever node came first.
#[test]
fn an_override_is_used_once_on_both_nodes_together() {
    simulate(async || {
        for seed in [96, 97, 98] {
            let h = Harness::postgres(seed, Venue::default()).await;
            h.ready().await;
            let account = h.account("main").await;
            let hook = h.webhook("tv", 100).await;
            let mut es = strategy("es", &hook, &account, "ES", "2");
            es.pyramiding = Some("allow".parse().unwrap());
            h.strategy(es).await;
            h.sane_limits().await;
            h.limit("org", "max_order_quantity", "1").await;
            let other = h.second_node().await;
            let asked = json!({
                "command": "override-request", "account_id": account, "symbol": "ES",
                "side": "buy", "quantity": "2", "limit": "max_order_quantity", "reason": "a hedge",
            });
            let made = command(&h, asked).await;
            h.clock.advance(Duration::from_mins(10));
            h.elapse(Duration::from_secs(1)).await;
            let id = &made["id"];
            command(&h, json!({ "command": "override-confirm", "id": id })).await;
            within_a_second(&h, "the webhook", || other.knows_webhook(&hook.token)).await;
            let requests = async |engine: &Engine, node: &str| {
                let mut accepted = 0;
                for number in 0..4 {
                    let request = raw(&hook, &signal("BUY", &format!("{node} {number}")));
                    match engine.receive(request).await {
                        Received::Answer(answer) => {
                            accepted += usize::from(answer.status == SignalStatus::Accepted);
                        }
                        Received::Unauthenticated | Received::Unavailable(_) => panic!("no answer"),
                    }
                }
                accepted
            };
            let here = h.engine();
            let both = async { tokio::join!(requests(&here, "one"), requests(&other, "two")) };
            let (one, two) = h.drive(both).await.unwrap();
            assert_eq!(one + two, 1, "{one} and {two}");
            let listed = command(&h, json!({ "command": "override-list" })).await;
            assert_eq!(listed["items"][0]["state"], "used");
            let orders = h.orders().await;
            let passed: Vec<_> =
                orders.iter().filter(|order| order.state != OrderState::Refused).collect();
            assert_eq!(passed.len(), 1);
            assert_eq!(listed["items"][0]["order_id"], passed[0].id.to_string());
            assert!(h.verify().await.ok);
            drop((here, other));
            h.finish().await;
        }
    });
}

/// S21: a lockdown that was begun at the node that does not lead is carried out by the one that does, and
/// finished by whoever leads next; nothing of it is done twice.
#[test]
fn s21_a_lockdown_goes_on_whoever_leads() {
    simulate(async || {
        let h = Harness::postgres(99, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        let other = h.second_node().await;
        let at_other = async |command: Value| {
            let (other, operator) = (other.clone(), Actor::operator());
            let command = serde_json::from_value(command).unwrap();
            let done = h.drive(async move { other.execute(command, &operator).await }).await;
            done.unwrap().unwrap()
        };
        let new = json!({
            "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
            "scopes": ["orders:read"],
        });
        let key = command(&h, new).await;
        let held = h.send(&hook, &signal("BUY", "held")).await.answer();
        assert_eq!(held.status, SignalStatus::Accepted);
        h.quiet().await;
        h.broker.usual_plan(FillPlan::Rests);
        let entry = json!({
            "command": "order-create", "account_id": account, "symbol": "ES", "side": "buy",
            "type": "stop", "quantity": "1", "stop_price": "5100",
        });
        command(&h, entry).await;
        h.until("it rests", async |h| h.orders().await[1].state == OrderState::Working).await;
        let (from, sent) = (h.log_size().await, h.broker.records().len());

        at_other(json!({ "command": "lockdown-engage", "reason": "a lost phone" })).await;
        let status = || at_other(json!({ "command": "lockdown-status" }));
        h.until("the question", async |_| status().await["step"] == "ask").await;
        assert_eq!(h.orders().await[1].state, OrderState::Canceled);
        let mut nonce = 0;
        within_a_second(&h, "its keys are revoked here", || {
            signer(&h, &h.engine(), &key, &mut nonce).is_err()
        })
        .await;

        h.lose_the_lead(Duration::from_mins(10)).await;
        at_other(json!({ "command": "lockdown-answer", "positions": "keep" })).await;
        h.until("the list", async |_| status().await["step"] == "confirm").await;
        let phrase = status().await["phrase"].clone();
        let done = at_other(json!({ "command": "lockdown-confirm", "phrase": phrase })).await;
        assert_eq!(done["step"], "done", "{done}");

        h.elapse(Duration::from_millis(400)).await;
        let mut told = Vec::new();
        for entry in h.log(from).await {
            let leaf: Value = serde_json::from_str(&entry.leaf).unwrap();
            let payload: Value = serde_json::from_str(&entry.payload).unwrap();
            let event = leaf["event"].as_str().unwrap().to_owned();
            match event.as_str() {
                "lockdown.step_done" => told.push(payload["step"].as_str().unwrap().to_owned()),
                "key.revoked" | "order.cancel_requested" | "webhook.rotated" => told.push(event),
                _ => {}
            }
        }
        let order = [
            "halt",
            "key.revoked",
            "end_access",
            "order.cancel_requested",
            "cancel",
            "ask",
            "webhook.rotated",
            "rotate",
            "confirm",
            "erase",
        ];
        assert_eq!(told, order);
        let mut calls = h.broker.records().split_off(sent);
        calls.retain(|made| made.call == Call::Cancel);
        // An answer that the database takes long to keep is asked for again: that is harmless.
        let entry = h.orders().await[1].client_order_id().clone();
        let canceled: BTreeSet<_> =
            calls.iter().filter_map(|made| made.client_order_id.as_ref()).collect();
        assert_eq!(canceled, BTreeSet::from([&entry]), "what is held is not touched");
        assert_eq!(h.position(&account, "ES").await.to_string(), "2");
        assert!(h.verify().await.ok);
        drop(other);
        h.finish().await;
    });
}

/// Two nodes seal what a replaced data key sealed anew at once, while both make more of it: neither
/// undoes the other's work, and every secret opens at both.
#[test]
fn two_nodes_replace_a_data_key_together() {
    simulate(async || {
        let h = Harness::postgres(94, Venue::default()).await;
        h.ready().await;
        let other = h.second_node().await;
        let new = json!({
            "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
            "scopes": ["orders:read", "webhooks:manage"],
        });
        let mut made = vec![command(&h, new.clone()).await, command(&h, new.clone()).await];
        let rotate = json!({"command": "vault", "verb": "rotate-data-keys", "purpose": "intake"});
        assert_eq!(command(&h, rotate).await["made"], 1);
        let at_other = async |value: &Value| {
            let asked = serde_json::from_value(value.clone()).unwrap();
            h.drive(other.execute(asked, &Actor::operator())).await.unwrap().unwrap()
        };
        let reseal = json!({"command": "vault", "verb": "reseal"});
        let status = json!({"command": "vault", "verb": "status"});
        for _round in 0..8 {
            made.push(command(&h, new.clone()).await);
            made.push(at_other(&new).await);
            let here = command(&h, reseal.clone());
            let (_, _) = tokio::join!(here, at_other(&reseal));
            h.elapse(Duration::from_millis(500)).await;
        }
        for _second in 0..60 {
            h.elapse(Duration::from_secs(1)).await;
            if at_other(&status).await["replaced"] == json!([]) {
                break;
            }
        }
        assert_eq!(at_other(&status).await["replaced"], json!([]));
        let mut nonce = 0;
        for key in &made {
            signer(&h, &h.engine(), key, &mut nonce).unwrap();
            signer(&h, &other, key, &mut nonce).unwrap();
        }
        // What is opened anew opens, too.
        let third = h.second_node().await;
        for key in &made {
            signer(&h, &third, key, &mut nonce).unwrap();
        }
        drop((other, third));
        h.finish().await;
    });
}

/// C13: two nodes let orders of different accounts in at one moment; together they keep to what the
/// organization, an instrument or a strategy may have, from the moment in which one of them sets it.
#[test]
fn c13_counts_beyond_an_account_hold_on_both_nodes_together() {
    for (seed, level, name) in [
        (101, "org", "max_open_orders"),
        (102, "org", "max_orders_per_minute"),
        (103, "instrument:ES", "max_open_orders"),
        (104, "instrument:ES", "max_orders_per_minute"),
    ] {
        simulate(async || {
            let h = Harness::postgres(seed, Venue::default()).await;
            h.ready().await;
            h.broker.usual_plan(FillPlan::Rests);
            let mut hooks = Vec::new();
            for account in ["main", "other"] {
                let id = h.account(account).await;
                let hook = h.webhook(account, 1_000).await;
                let mut es = strategy(account, &hook, &id, "ES", "1");
                es.pyramiding = Some("allow".parse().unwrap());
                h.strategy(es).await;
                hooks.push(hook);
            }
            h.sane_limits().await;
            let other = h.second_node().await;
            within_a_second(&h, "the webhook", || other.knows_webhook(&hooks[1].token)).await;
            // The other node has not heard of it yet.
            h.limit(level, name, "9").await;
            let requests = async |engine: &Engine, hook: &Hook| {
                let mut accepted = 0;
                for number in 0..12 {
                    let request = raw(hook, &signal("BUY", &number.to_string()));
                    match engine.receive(request).await {
                        Received::Answer(answer) => {
                            accepted += usize::from(answer.status == SignalStatus::Accepted);
                        }
                        Received::Unauthenticated | Received::Unavailable(_) => panic!("no answer"),
                    }
                }
                accepted
            };
            let here = h.engine();
            let both =
                async { tokio::join!(requests(&here, &hooks[0]), requests(&other, &hooks[1])) };
            let (one, two) = h.drive(both).await.unwrap();
            assert_eq!(one + two, 9, "{name} at {level}: {one} and {two}");
            let orders = h.orders().await;
            assert_eq!(orders.len(), 9, "{name} at {level}");
            assert!(h.verify().await.ok);
            drop((here, other));
            h.finish().await;
        });
    }
}

/// What one node erases is open at no other, not even in memory.
#[test]
fn a_key_that_one_node_erases_opens_at_no_other() {
    simulate(async || {
        let h = Harness::postgres(95, Venue::default()).await;
        h.ready().await;
        let other = h.second_node().await;
        let new = json!({
            "command": "key-create", "name": "bot", "algorithm": "hmac-sha256",
            "scopes": ["orders:read", "webhooks:manage"],
        });
        let key = command(&h, new).await;
        let mut nonce = 0;
        within_a_second(&h, "a new key is taken", || signer(&h, &other, &key, &mut nonce).is_ok())
            .await;
        let org = h.org().await.to_string();
        let erase = json!({"command": "vault", "verb": "erase", "org": org});
        let shown = command(&h, erase.clone()).await;
        let mut confirmed = erase;
        confirmed["phrase"] = shown["phrase"].clone();
        assert_eq!(command(&h, confirmed).await["erased"], json!(["intake"]));
        assert!(signer(&h, &h.engine(), &key, &mut nonce).is_err(), "the next request here");
        within_a_second(&h, "an erased key is refused", || {
            signer(&h, &other, &key, &mut nonce).is_err()
        })
        .await;
        drop(other);
        h.finish().await;
    });
}
