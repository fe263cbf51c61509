//! What a strategy makes of a signal, from outside: sizes, sides, switches (S5 to S7).

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tradewarden_testkit::process::TestDir;

use crate::door::{Door, demo};
use crate::stage::{
    another_door, another_webhook, check, follow, orders, refused, said, settled, signal,
};

fn trades(orders: &[Value]) -> Vec<(&str, &str)> {
    orders
        .iter()
        .map(|order| (order["side"].as_str().unwrap(), order["quantity"].as_str().unwrap()))
        .collect()
}

/// A payload's size is used only if the strategy says so, and must be usable.
#[tokio::test]
async fn a_quantity_that_cannot_be_used() {
    let dir = TestDir::new("strategy-quantity");
    let (gateway, mut fixed) = demo(&dir, "").await;
    let program = gateway.program();
    let fast = ["--rate-per-s", "1000"];
    let mut door = another_door(&gateway, &fast, &["--sizing", "payload"]).await;
    for quantity in [
        json!(null),
        json!(""),
        json!("many"),
        json!(0),
        json!(-3),
        json!("-3"),
        json!("0.5"),
        json!("1e400"),
        json!("NaN"),
        json!("Infinity"),
        json!("1000000000000000000000000000000"),
        json!("1,5"),
    ] {
        let body = json!({"action": "BUY", "quantity": quantity, "id": quantity.to_string()});
        let answer = door.send(body.to_string()).await;
        let body = refused(&answer, 422, "sizing.unusable_quantity");
        assert!(body["detail"].as_str().unwrap().contains("quantity"), "{body}");
    }
    for quantity in [json!([1]), json!({"n": 1}), json!(true)] {
        let body = json!({"action": "BUY", "quantity": quantity, "id": quantity.to_string()});
        let body = refused(&door.send(body.to_string()).await, 400, "signal.field");
        assert_eq!(body["field"], "quantity");
    }
    assert_eq!(orders(program).await.len(), 0);

    // Entries round down to the lot.
    let body = json!({"action": "BUY", "quantity": "3.9"});
    said(&door.send(body.to_string()).await, 202, "accepted");
    // A strategy of a fixed size does not look at it.
    let body = json!({"action": "BUY", "quantity": "many"});
    said(&fixed.send(body.to_string()).await, 202, "accepted");
    assert_eq!(trades(&settled(program).await), [("buy", "3"), ("buy", "10")]);
}

/// S7: an exit is of the current position, rounded up: 7 at 50 % are 4, then 2 of 3, then the rest.
#[tokio::test]
async fn exits_round_up_and_never_pass_flat() {
    let dir = TestDir::new("strategy-exits");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let mut door = another_door(&gateway, &[], &["--sizing", "payload"]).await;
    said(&door.send(r#"{"action":"BUY","quantity":7}"#).await, 202, "accepted");
    settled(program).await;
    for comment in ["EXIT_50", "exit_half", "EXIT_ALL"] {
        let body = json!({"action": "EXIT", "comment": comment});
        said(&door.send(body.to_string()).await, 202, "accepted");
        settled(program).await;
    }
    let all = settled(program).await;
    assert_eq!(trades(&all), [("buy", "7"), ("sell", "4"), ("sell", "2"), ("sell", "1")]);
    let body = said(&door.send(r#"{"action":"EXIT","comment":"EXIT_100"}"#).await, 200, "skipped");
    assert_eq!(body["code"], "strategy.flat");
}

/// Skips are no errors, and each says why.
#[tokio::test]
async fn what_is_skipped_and_why() {
    let dir = TestDir::new("strategy-skips");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    for (body, code) in [
        (r#"{"action":"SELL"}"#, "strategy.flat"),
        (r#"{"action":"close"}"#, "strategy.flat"),
        (r#"{"action":"BUY","comment":"EXIT_50"}"#, "strategy.flat"),
    ] {
        assert_eq!(said(&door.send(body).await, 200, "skipped")["code"], code, "{body}");
    }
    said(&door.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    settled(program).await;
    for (body, code) in [
        (r#"{"action":"LONG"}"#, "strategy.already_long"),
        (r#"{"action":"BUY","comment":"EXIT_50","id":"2"}"#, "strategy.wrong_side"),
    ] {
        assert_eq!(said(&door.send(body).await, 200, "skipped")["code"], code, "{body}");
    }
    // S6: words that mean nothing are traced and ignored; S5: the opposite closes, to flat.
    said(&door.send(r#"{"action":"SHORT","comment":"to the moon"}"#).await, 202, "accepted");
    assert_eq!(trades(&settled(program).await), [("buy", "10"), ("sell", "10")]);
}

/// S5: reverse closes first and then opens the other way.
#[tokio::test]
async fn a_reversal_is_two_orders() {
    let dir = TestDir::new("strategy-reverse");
    let (gateway, _) = demo(&dir, "").await;
    let options = ["--on-opposite", "reverse", "--allow-short"];
    let mut door = another_door(&gateway, &[], &options).await;
    let program = gateway.program();
    said(&door.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    settled(program).await;
    let body = said(&door.send(r#"{"action":"SELL"}"#).await, 202, "accepted");
    let ids = body["accounts"][0]["order_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 2, "{body}");
    let all = settled(program).await;
    assert_eq!(trades(&all), [("buy", "10"), ("sell", "10"), ("sell", "10")]);
    let of = |id: &Value| all.iter().find(|order| order["id"] == *id).unwrap();
    let (exit, entry) = (of(&ids[0]), of(&ids[1]));
    assert_eq!((&exit["reduce_only"], &entry["reduce_only"]), (&true.into(), &false.into()));
    // Times are texts of one length.
    let at = |order: &Value| order["updated_at"].as_str().unwrap().to_owned();
    assert!(at(exit) < at(entry), "confirmed flat first: {all:?}");
}

/// S18: a strategy with a position becomes exits-only first; one without is off. An account that
/// is off takes nothing.
#[tokio::test]
async fn strategies_and_accounts_that_are_off() {
    let dir = TestDir::new("strategy-off");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    let strategy = gateway.ready()["strategy_id"].as_str().unwrap();
    said(&door.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    settled(program).await;
    let shown = program.json(&["strategy", "disable", strategy]).await;
    assert_eq!(shown["state"], "exits_only");
    // Nothing is added to the position; what closes it passes.
    refused(&door.send(r#"{"action":"BUY","id":"2"}"#).await, 422, "strategy.exits_only");
    said(&door.send(r#"{"action":"EXIT"}"#).await, 202, "accepted");
    settled(program).await;
    refused(&door.send(r#"{"action":"BUY","id":"3"}"#).await, 422, "strategy.exits_only");
    let shown = program.json(&["strategy", "disable", strategy]).await;
    assert_eq!(shown["state"], "off");
    refused(&door.send(r#"{"action":"BUY","id":"4"}"#).await, 422, "strategy.off");
    assert_eq!(orders(program).await.len(), 2);

    let webhook = another_webhook(&gateway, &[]).await;
    let made = follow(&gateway, webhook["id"].as_str().unwrap(), &[]).await;
    let account = made["account_id"].as_str().unwrap();
    program.json(&["account", "disable", account]).await;
    let mut door = Door::of(&gateway, &webhook);
    refused(&door.send(r#"{"action":"BUY"}"#).await, 422, "account.off");
    assert_eq!(orders(program).await.len(), 2);
}

/// The symbol is the strategy's, unless the strategy allows the payload's.
#[tokio::test]
async fn the_symbol_is_the_strategys() {
    let dir = TestDir::new("strategy-symbol");
    let (gateway, mut door) = demo(&dir, "").await;
    let program = gateway.program();
    said(&door.send(r#"{"action":"BUY","ticker":"NASDAQ:MSFT"}"#).await, 202, "accepted");
    let mut free = another_door(&gateway, &[], &["--payload-symbol"]).await;
    said(&free.send(r#"{"action":"BUY","ticker":"NASDAQ:MSFT"}"#).await, 202, "accepted");
    let symbols: Vec<_> = settled(program).await.iter().map(|one| one["symbol"].clone()).collect();
    assert_eq!(symbols, ["AAPL", "MSFT"]);
    let strange = r#"{"action":"BUY","ticker":"XYZZY"}"#;
    refused(&free.send(strange).await, 422, "risk.unknown_instrument");
    for ticker in ["NASDAQ:", "A;B", "", "'; DROP TABLE orders; --"] {
        let body = json!({"action": "BUY", "ticker": ticker});
        let body = refused(&free.send(body.to_string()).await, 400, "signal.field");
        assert_eq!(body["field"], "ticker");
    }
}

/// A strategy opens when its schedule says so. Of these two one is open at any instant, and which is
/// told by the same signal.
#[tokio::test]
async fn a_schedule_says_when_a_strategy_opens() {
    let dir = TestDir::new("strategy-schedule");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let made = another_webhook(&gateway, &[]).await;
    let webhook = made["id"].as_str().unwrap();
    follow(&gateway, webhook, &["--schedule", "mon-wed 00:00-24:00 UTC"]).await;
    let other = follow(&gateway, webhook, &["--schedule", "thu-sun 00:00-00:00 UTC"]).await;
    let mut door = Door::of(&gateway, &made);
    assert_eq!(other["schedule"], "thu-sun 00:00-24:00 UTC");
    let body = said(&door.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    let results: BTreeSet<_> = body["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["result"].as_str().unwrap(), one["code"].as_str()))
        .collect();
    let one_each = [("accepted", None), ("refused", Some("strategy.schedule"))];
    assert_eq!(results, BTreeSet::from(one_each));
    let stored = signal(program, &body["signal_id"]).await;
    assert_eq!(check(&stored, "strategy.schedule")["name"], "strategy.schedule");

    let create = ["strategy", "create", "--name", "s", "--webhook", webhook, "--account", "acc_1"];
    let rest = ["--symbol", "AAPL", "--quantity", "1", "--schedule", "mon 09:00-10:00 Berlin"];
    let refused = program.run(&[&create[..], &rest].concat()).await;
    assert!(refused.stderr.contains("no time zone of the IANA database"), "{refused:?}");
}

/// S11: a continuous symbol is traded as the front month of the roll table.
#[tokio::test]
async fn a_continuous_symbol_is_the_front_month() {
    let dir = TestDir::new("strategy-months");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let widen =
        ["limit", "set", "--scope", "org", "--name", "max_order_notional", "--value", "1000000"];
    program.json(&widen).await;
    for (contract, expires_on) in [("ESH27", "2091-03-16"), ("ESZ26", "2090-12-15")] {
        let set =
            ["roll", "set", "--root", "ES", "--contract", contract, "--expires-on", expires_on];
        program.json(&set).await;
    }
    let made = another_webhook(&gateway, &[]).await;
    let create = ["account", "create", "--broker", "paper", "--name", "months"];
    let account = program.json(&create).await;
    let (webhook, account) = (made["id"].as_str().unwrap(), account["id"].as_str().unwrap());
    let create =
        ["strategy", "create", "--name", "months", "--webhook", webhook, "--account", account];
    let strategy =
        program.json(&[&create[..], &["--symbol", "ES1!", "--quantity", "1"]].concat()).await;
    assert_eq!(strategy["symbol"], "ES1!");
    let mut door = Door::of(&gateway, &made);
    said(&door.send(r#"{"action":"BUY"}"#).await, 202, "accepted");
    settled(program).await;
    said(&door.send(r#"{"action":"EXIT"}"#).await, 202, "accepted");
    let all = settled(program).await;
    let symbols: Vec<_> = all.iter().map(|order| order["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["ESZ26", "ESZ26"]);
    assert_eq!(trades(&all), [("buy", "1"), ("sell", "1")]);
    program.json(&["roll", "remove", "ESZ26"]).await;
    let left = program.json(&["roll", "list"]).await;
    assert_eq!((&left["items"][0]["contract"], &left["items"][1]), (&"ESH27".into(), &Value::Null));
}

/// S5: sized by target an order is what is missing to the wanted position, up, down, across and to
/// flat, whatever was said about pyramiding; where nothing is missing there is none.
#[tokio::test]
async fn s5_a_target_is_reached_from_where_the_position_is() {
    let dir = TestDir::new("strategy-target");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let options = ["--sizing", "target", "--on-opposite", "reverse", "--allow-short"];
    let fast = ["--rate-per-s", "1000"];
    let mut door = another_door(&gateway, &fast, &options).await;
    let mut number = 0;
    let mut wants = |action: &str, position: &str, size: u32| {
        number += 1;
        let body = json!({
            "action": action, "market_position": position, "market_position_size": size,
            "id": format!("target-{number}"),
        });
        body.to_string()
    };
    for (action, position, size) in [
        ("BUY", "long", 3),
        ("BUY", "long", 5),
        ("SELL", "long", 1),
        ("SELL", "short", 2),
        ("SELL", "short", 6),
        ("BUY", "flat", 0),
    ] {
        said(&door.send(wants(action, position, size)).await, 202, "accepted");
        settled(program).await;
        let again = said(&door.send(wants(action, position, size)).await, 200, "skipped");
        let there = match position {
            "flat" => "strategy.flat".to_owned(),
            side => format!("strategy.already_{side}"),
        };
        assert_eq!(again["code"], there, "{again}");
    }
    let expected = [
        ("buy", "3"),
        ("buy", "2"),
        ("sell", "4"),
        ("sell", "1"),
        ("sell", "2"),
        ("sell", "4"),
        ("buy", "6"),
    ];
    assert_eq!(trades(&settled(program).await), expected);
}
