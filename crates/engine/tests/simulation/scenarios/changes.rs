//! Changing and taking away what was made: what is refused, what is in force when, what is recorded.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, signal, simulate, strategy};

fn command(name: &str, members: Value) -> Command {
    let Value::Object(mut command) = members else { panic!("an object is needed") };
    command.insert("command".to_owned(), json!(name));
    serde_json::from_value(Value::Object(command)).unwrap()
}

async fn tried(h: &Harness, name: &str, members: Value) -> Result<Value, CommandError> {
    h.try_command(command(name, members)).await.expect("it lives")
}

fn code(outcome: Result<Value, CommandError>) -> Code {
    match outcome {
        Err(CommandError::Refused { code, .. }) => code,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

async fn strategy_of(small: &Small) -> String {
    let list = small.h.command(Command::StrategyList).await;
    list["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn change(small: &Small, id: &str, changes: Value) -> Result<Value, CommandError> {
    tried(&small.h, "strategy-change", json!({"id": id, "changes": changes})).await
}

/// What the newest entry of the log says, and of what.
async fn last_entry(h: &Harness) -> (String, Value) {
    let entry = h.log(0).await.pop().unwrap();
    let leaf: Value = serde_json::from_str(&entry.leaf).unwrap();
    let payload = serde_json::from_str(&entry.payload).unwrap();
    (leaf["event"].as_str().unwrap().to_owned(), payload)
}

/// Every field that creation takes can change, and the entry says what was and what is.
#[test]
fn every_field_of_a_strategy_changes() {
    simulate(async || {
        let small = Small::with(81, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        let other_account = small.h.account("other").await;
        let other_hook = small.h.webhook("other", 100).await;
        for (changes, member, was, is) in [
            (json!({"name": "renamed"}), "name", json!("es"), json!("renamed")),
            (json!({"quantity": "3"}), "quantity", json!("2"), json!("3")),
            (json!({"sizing": "payload"}), "sizing", json!("fixed"), json!("payload")),
            (json!({"sizing": "fixed"}), "sizing", json!("payload"), json!("fixed")),
            (json!({"quantity_fallback": true}), "quantity_fallback", json!(false), json!(true)),
            (json!({"quantity_clamp": true}), "quantity_clamp", json!(false), json!(true)),
            (json!({"on_opposite": "reverse"}), "on_opposite", json!("close"), json!("reverse")),
            (json!({"pyramiding": "allow"}), "pyramiding", json!("ignore"), json!("allow")),
            (json!({"allow_short": true}), "allow_short", json!(false), json!(true)),
            (
                json!({"symbol_source": "payload"}),
                "symbol_source",
                json!("strategy"),
                json!("payload"),
            ),
            (json!({"send_within_s": 300}), "send_within_s", json!(10), json!(300)),
            (json!({"entry_ttl_s": 60}), "entry_ttl_s", Value::Null, json!(60)),
            (json!({"entry_ttl_s": null}), "entry_ttl_s", json!(60), Value::Null),
            (json!({"blind_market": true}), "blind_market", json!(false), json!(true)),
            (json!({"blind_quantity_max": "2"}), "blind_quantity_max", json!("1"), json!("2")),
            (json!({"symbol": "aapl"}), "symbol", json!("ES"), json!("AAPL")),
            (
                json!({"account": other_account}),
                "account_id",
                json!(small.account),
                json!(other_account),
            ),
            (
                json!({"webhook": other_hook.id}),
                "webhook_id",
                json!(small.hook.id),
                json!(other_hook.id),
            ),
            (
                json!({"schedule": "mon-fri 09:30-16:00 America/New_York"}),
                "schedule",
                json!(null),
                json!("mon-fri 09:30-16:00 America/New_York"),
            ),
            (
                json!({"schedule": null}),
                "schedule",
                json!("mon-fri 09:30-16:00 America/New_York"),
                json!(null),
            ),
            (json!({"state": "exits_only"}), "state", json!("on"), json!("exits_only")),
            (json!({"state": "off"}), "state", json!("exits_only"), json!("off")),
            (json!({"state": "on"}), "state", json!("off"), json!("on")),
        ] {
            let after = change(&small, &id, changes.clone()).await.unwrap();
            assert_eq!(after[member], is, "{changes}");
            small.h.elapse(millis(300)).await;
            let (event, payload) = last_entry(&small.h).await;
            assert_eq!(event, "strategy.changed", "{changes}");
            assert_eq!(
                payload["changed"],
                json!({member: {"after": is, "before": was}}),
                "{changes}"
            );
            assert_eq!(payload["actor"], "operator");
        }
        // What changes nothing is no entry.
        let size = small.h.log_size().await;
        change(&small, &id, json!({"name": "renamed"})).await.unwrap();
        change(&small, &id, json!({})).await.unwrap();
        small.h.elapse(millis(300)).await;
        assert_eq!(small.h.log_size().await, size);
        small.end().await;
    });
}

/// What cannot be is refused by its field, and nothing of it is in force.
#[test]
fn wrong_values_change_nothing() {
    simulate(async || {
        let small = Small::with(82, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        let before = small.h.command(Command::StrategyList).await;
        for (changes, wrong) in [
            (json!({"name": ""}), "name"),
            (json!({"quantity": "0.5"}), "quantity"),
            (json!({"quantity": "0"}), "quantity"),
            (json!({"symbol": "XYZZY"}), "symbol"),
            (json!({"symbol": "a b"}), "symbol"),
            (json!({"webhook": "whk_1"}), "webhook"),
            (json!({"send_within_s": 301}), "send_within_s"),
            (json!({"entry_ttl_s": 0}), "entry_ttl_s"),
            (json!({"blind_quantity_max": "0"}), "blind_quantity_max"),
            (json!({"entry_ttl_s": 7_776_001}), "entry_ttl_s"),
            (json!({"sizing": "payload", "on_opposite": "reverse"}), "on_opposite"),
            (json!({"open_position": "leave"}), "open_position"),
            (json!({"open_position": "leave", "state": "on"}), "open_position"),
        ] {
            match change(&small, &id, changes.clone()).await {
                Err(CommandError::Invalid { field, .. }) => assert_eq!(field, wrong, "{changes}"),
                other => panic!("{changes}: {other:?}"),
            }
        }
        for missing in [
            json!({"webhook": "whk_00000000000000000000000000"}),
            json!({"account": "acc_00000000000000000000000000"}),
        ] {
            assert_eq!(change(&small, &id, missing).await.unwrap_err(), CommandError::NotFound);
        }
        assert_eq!(small.h.command(Command::StrategyList).await, before);
        small.end().await;
    });
}

/// S18: entries are refused, exits pass, and off with something open is asked about.
#[test]
fn s18_switching_off_asks_what_becomes_of_the_position() {
    simulate(async || {
        let small = Small::with(83, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        small.accept("BUY", "1").await;
        small.h.quiet().await;
        let refused = change(&small, &id, json!({"state": "off"})).await.unwrap_err();
        let CommandError::Refused { code: why, detail } = refused else { panic!("{refused:?}") };
        assert_eq!(why, Code::StrategyOpenPosition);
        assert!(detail.contains(&format!("2 ES on {}", small.account)), "{detail}");
        for moves in [json!({"symbol": "AAPL"}), json!({"account": small.h.account("b").await})] {
            assert_eq!(code(change(&small, &id, moves).await), Code::StrategyOpenPosition);
        }
        assert_eq!(
            code(tried(&small.h, "strategy-delete", json!({"id": id})).await),
            Code::StrategyNotOff
        );
        // What does not move it changes all the while.
        change(&small, &id, json!({"quantity": "1", "name": "x"})).await.unwrap();

        change(&small, &id, json!({"state": "exits_only", "pyramiding": "allow"})).await.unwrap();
        let entry = small.send("BUY", "2").await;
        assert_eq!(
            (entry.status, entry.code),
            (SignalStatus::Refused, Some(Code::StrategyExitsOnly))
        );
        small.accept("EXIT", "3").await;
        small.h.quiet().await;
        assert_eq!(small.held(), 0);
        let entry = small.send("BUY", "4").await;
        assert_eq!(entry.code, Some(Code::StrategyExitsOnly));
        // Flat, nothing is asked.
        assert_eq!(change(&small, &id, json!({"state": "off"})).await.unwrap()["state"], "off");
        assert_eq!(small.send("BUY", "5").await.code, Some(Code::StrategyOff));
        assert_eq!(small.send("EXIT", "6").await.code, Some(Code::StrategyOff));
        change(&small, &id, json!({"state": "on"})).await.unwrap();
        small.accept("BUY", "7").await;
        small.h.quiet().await;
        assert_eq!(small.held(), 1);
        small.end().await;
    });
}

#[test]
fn s18_off_leaves_the_position_or_closes_it() {
    simulate(async || {
        let small = Small::with(84, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        small.accept("BUY", "1").await;
        small.h.quiet().await;
        let off = json!({"state": "off", "open_position": "leave"});
        assert_eq!(change(&small, &id, off).await.unwrap()["state"], "off");
        small.h.quiet().await;
        assert_eq!(small.held(), 2, "left");
        assert_eq!(
            code(tried(&small.h, "strategy-delete", json!({"id": id})).await),
            Code::StrategyOpenPosition
        );
        // It is off already: nothing is asked again, and it can still be closed.
        change(&small, &id, json!({"state": "off"})).await.unwrap();
        let off = json!({"state": "off", "open_position": "flatten"});
        assert_eq!(change(&small, &id, off.clone()).await.unwrap()["state"], "off");
        small.h.elapse(millis(300)).await;
        let log = small.h.log(0).await;
        let changed = log.iter().rev().find(|entry| entry.leaf.contains("strategy.changed"));
        let payload: Value = serde_json::from_str(&changed.unwrap().payload).unwrap();
        assert_eq!(payload["open_position"], "flatten");
        let exit = small.order(1).await;
        assert_eq!(payload["closed_by"], json!([exit.id]));
        assert_eq!(exit.purpose, Purpose::Exit);
        small.h.quiet().await;
        assert_eq!(small.held(), 0, "closed");
        // With nothing open there is nothing to close.
        change(&small, &id, off).await.unwrap();
        assert_eq!(small.h.orders().await.len(), 2);
        small.end().await;
    });
}

/// An entry whose answer was not heard may still fill: it counts as open, and what it comes to is
/// closed.
#[test]
fn s18_an_order_that_may_still_fill_is_something_open() {
    simulate(async || {
        let small = Small::with(85, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        small.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        small.accept("BUY", "1").await;
        small.h.elapse(millis(150)).await;
        assert_eq!(
            code(change(&small, &id, json!({"state": "off"})).await),
            Code::StrategyOpenPosition
        );
        let off = json!({"state": "off", "open_position": "flatten"});
        change(&small, &id, off).await.unwrap();
        small.h.quiet().await;
        assert_eq!(small.held(), 0);
        assert!(small.h.orders().await.iter().all(|order| !order.state.is_live()));
        small.end().await;
    });
}

/// What a halt blocks is not closed by a change either, and then nothing of the change is done.
#[test]
fn a_flattening_that_is_refused_changes_nothing() {
    simulate(async || {
        let small = Small::with(86, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        small.accept("BUY", "1").await;
        small.h.quiet().await;
        let halt = small.h.halt(None, "block").await;
        let off = json!({"state": "off", "open_position": "flatten"});
        match change(&small, &id, off).await.unwrap_err() {
            CommandError::Order(no) => assert_eq!(no.code, Code::HaltActive),
            other => panic!("{other:?}"),
        }
        small.h.resume(&halt).await;
        assert_eq!(small.h.orders().await.len(), 1);
        small.accept("EXIT", "2").await;
        small.h.quiet().await;
        assert_eq!(small.held(), 0, "it is still on");
        small.end().await;
    });
}

/// A strategy that is off and flat goes, with its limits; what it did stays.
#[test]
fn a_deleted_strategy_leaves_its_history() {
    simulate(async || {
        let small = Small::with(87, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        small.h.limit(&format!("strategy:{id}"), "max_position", "5").await;
        let limits = small.h.command(Command::LimitList).await["items"].as_array().unwrap().len();
        small.accept("BUY", "1").await;
        small.accept("EXIT", "2").await;
        small.h.quiet().await;
        let key = json!({"name": "bot", "scopes": ["orders:create"], "strategy_id": id});
        let key = small.h.command(command("key-create", key)).await;
        change(&small, &id, json!({"state": "off"})).await.unwrap();
        let delete = json!({"id": id});
        assert_eq!(
            code(tried(&small.h, "strategy-delete", delete.clone()).await),
            Code::StrategyInUse
        );
        small.h.command(command("key-revoke", json!({"id": key["id"]}))).await;
        let in_use = tried(&small.h, "webhook-delete", json!({"id": small.hook.id})).await;
        let Err(CommandError::Refused { code: why, detail }) = in_use else { panic!("{in_use:?}") };
        assert_eq!(why, Code::WebhookInUse);
        assert!(detail.contains(&id), "{detail}");

        let gone = tried(&small.h, "strategy-delete", delete.clone()).await.unwrap();
        assert_eq!(gone, json!({"deleted": true, "id": id}));
        assert_eq!(tried(&small.h, "strategy-delete", delete).await, Err(CommandError::NotFound));
        assert_eq!(small.h.command(Command::StrategyList).await["items"], json!([]));
        let left = small.h.command(Command::LimitList).await["items"].as_array().unwrap().len();
        assert_eq!(left, limits - 1);
        assert_eq!(small.send("BUY", "3").await.code, Some(Code::StrategyNone));
        assert_eq!(small.h.orders().await.len(), 2);

        let gone = tried(&small.h, "webhook-delete", json!({"id": small.hook.id})).await.unwrap();
        assert_eq!(gone["deleted"], true);
        let heard = small.h.send(&small.hook, &signal("BUY", "4")).await;
        assert!(matches!(heard, Heard::Unauthenticated), "{heard:?}");
        assert_eq!(small.h.signals().await.len(), 3);
        small.h.elapse(millis(300)).await;
        let (event, payload) = last_entry(&small.h).await;
        assert_eq!(
            (event.as_str(), &payload["before"]["id"]),
            ("webhook.deleted", &json!(small.hook.id))
        );
        assert!(!payload.to_string().contains(&small.hook.secret));
        small.end().await;
    });
}

/// Two on one pair: neither moving there nor waking up there goes unsaid (S3).
#[test]
fn s3_a_change_does_not_share_a_position_by_accident() {
    simulate(async || {
        let small = Small::with(88, Venue::default(), |_| {}).await;
        let first = strategy_of(&small).await;
        let second =
            small.h.strategy(strategy("aapl", &small.hook, &small.account, "AAPL", "1")).await;
        let there = json!({"symbol": "ES"});
        assert_eq!(code(change(&small, &second, there.clone()).await), Code::RiskSharedPosition);
        change(&small, &first, json!({"state": "off"})).await.unwrap();
        change(&small, &second, there).await.unwrap();
        let on = json!({"state": "on"});
        assert_eq!(code(change(&small, &first, on).await), Code::RiskSharedPosition);
        change(&small, &first, json!({"state": "on", "shared_position": true})).await.unwrap();
        small.end().await;
    });
}

/// A tag is of one content: a change on another one is refused before any other rule.
#[test]
fn a_change_of_what_was_changed_meanwhile_is_refused() {
    simulate(async || {
        let small = Small::with(89, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        let seen = small.h.command(command("strategy-show", json!({"id": id}))).await;
        let if_match = json!({"OneOf": [tradewarden_engine::tag::tag(&seen)]});
        let rename =
            |name: &str| json!({"id": id, "changes": {"name": name}, "if_match": if_match});
        tried(&small.h, "strategy-change", rename("mine")).await.unwrap();
        let late = tried(&small.h, "strategy-change", rename("late")).await;
        assert_eq!(code(late), Code::RequestPrecondition);
        let delete = json!({"id": id, "if_match": if_match});
        let late = tried(&small.h, "strategy-delete", delete).await;
        assert_eq!(code(late), Code::RequestPrecondition);
        assert_eq!(small.h.command(Command::StrategyList).await["items"][0]["name"], "mine");
        small.end().await;
    });
}

/// Another node switched the strategy off a moment ago: no signal is judged by what it was, although
/// this node has not heard of it. A webhook is gone within a second.
#[test]
fn what_another_node_changed_counts_at_once() {
    simulate(async || {
        let small = Small::with(90, Venue::default(), |strategy| {
            strategy.pyramiding = Some("allow".parse().unwrap());
        })
        .await;
        small.accept("BUY", "1").await;
        small.h.quiet().await;
        small.h.sabotage(
            "UPDATE strategies SET state = 'exits_only'; \
             UPDATE organizations SET strategies_version = strategies_version + 1",
        );
        assert_eq!(small.send("BUY", "2").await.code, Some(Code::StrategyExitsOnly));
        small.accept("EXIT", "3").await;
        small.h.quiet().await;
        small.h.sabotage(
            "UPDATE change_head SET newest = newest + 1; \
             INSERT INTO changes SELECT newest, 'webhook', webhooks.id FROM change_head, webhooks; \
             DELETE FROM strategies; DELETE FROM webhooks",
        );
        small.h.elapse(Duration::from_millis(1_100)).await;
        let heard = small.h.send(&small.hook, &signal("BUY", "4")).await;
        assert!(matches!(heard, Heard::Unauthenticated), "{heard:?}");
        small.end().await;
    });
}

/// A signal in the very transaction of the change is judged by what the strategy is from then on.
#[test]
fn a_signal_beside_the_change_is_judged_by_it() {
    simulate(async || {
        let mut small = Small::with(91, Venue::default(), |_| {}).await;
        small.h.commit_takes = millis(20);
        let id = strategy_of(&small).await;
        let engine = small.h.engine();
        let off = command("strategy-change", json!({"id": id, "changes": {"state": "off"}}));
        let raw = tradewarden_testkit::engine::raw(&small.hook, &signal("BUY", "1"));
        let (changed, heard) = small
            .h
            .drive(async {
                let operator = Actor::operator();
                tokio::join!(engine.execute(off, &operator), engine.receive(raw))
            })
            .await
            .unwrap();
        assert_eq!(changed.unwrap()["state"], "off");
        drop(heard);
        let signals = small.h.signals().await;
        assert_eq!(signals[0].code.as_deref(), Some("strategy.off"), "{signals:?}");
        assert!(small.h.orders().await.is_empty());
        small.end().await;
    });
}

/// An account that is switched off takes no entry, lets exits pass, and comes back.
#[test]
fn s18_an_account_that_is_off_takes_exits_only() {
    simulate(async || {
        let small = Small::with(92, Venue::default(), |strategy| {
            strategy.pyramiding = Some("allow".parse().unwrap());
        })
        .await;
        small.accept("BUY", "1").await;
        small.h.quiet().await;
        let switch = |state: &str| {
            let changes = json!({"state": state, "name": format!("now {state}")});
            command("account-change", json!({"id": small.account, "changes": changes}))
        };
        let off = small.h.command(switch("disabled")).await;
        assert_eq!((&off["state"], &off["name"]), (&json!("disabled"), &json!("now disabled")));
        assert_eq!(small.send("BUY", "2").await.code, Some(Code::AccountOff));
        small.accept("EXIT", "3").await;
        small.h.quiet().await;
        assert_eq!(small.held(), 0);
        small.h.command(switch("active")).await;
        small.accept("BUY", "4").await;
        small.h.quiet().await;
        assert_eq!(small.order(2).await.state, OrderState::Filled);
        small.end().await;
    });
}

/// A limit that is gone bounds nothing; a required one that is gone refuses.
#[test]
fn a_deleted_limit() {
    simulate(async || {
        let small = Small::with(93, Venue::default(), |_| {}).await;
        let scope = format!("account:{}", small.account);
        small.h.limit(&scope, "max_order_quantity", "1").await;
        assert_eq!(small.send("BUY", "1").await.code, Some(Code::RiskMaxOrderQuantity));
        let delete = |scope: &str| json!({"limit": {"scope": scope, "name": "max_order_quantity"}});
        let gone = tried(&small.h, "limit-delete", delete(&scope)).await.unwrap();
        assert_eq!(gone, json!({"deleted": true, "name": "max_order_quantity", "scope": scope}));
        assert_eq!(
            tried(&small.h, "limit-delete", delete(&scope)).await,
            Err(CommandError::NotFound)
        );
        small.accept("BUY", "2").await;
        tried(&small.h, "limit-delete", delete("org")).await.unwrap();
        small.h.elapse(millis(300)).await;
        let log = small.h.log(0).await;
        let deleted = log.iter().rev().find(|entry| entry.leaf.contains("limit.deleted")).unwrap();
        let payload: Value = serde_json::from_str(&deleted.payload).unwrap();
        assert_eq!(payload["scope"], "org");
        small.accept("EXIT", "3").await;
        small.h.quiet().await;
        assert_eq!(small.send("BUY", "4").await.code, Some(Code::RiskLimitMissing));
        small.end().await;
    });
}

/// A resting entry of a strategy that is flattened is asked back.
#[test]
fn flattening_takes_entries_back() {
    simulate(async || {
        let small = Small::with(94, Venue::default(), |_| {}).await;
        let id = strategy_of(&small).await;
        small.h.broker.next_plans(&[FillPlan::Rests.into()]);
        small.accept("BUY", "1").await;
        small.h.elapse(millis(300)).await;
        let off = json!({"state": "off", "open_position": "flatten"});
        change(&small, &id, off).await.unwrap();
        small.h.quiet().await;
        assert_eq!(small.held(), 0);
        assert!(small.h.orders().await.iter().all(|order| !order.state.is_live()));
        tried(&small.h, "strategy-delete", json!({"id": id})).await.unwrap();
        small.end().await;
    });
}
