//! Payloads that are not ours: TradersPost's, and the sender's own through a mapping.

use std::fs;

use serde_json::json;
use tradewarden_testkit::process::{TestDir, until};

use crate::door::demo;
use crate::stage::{another_door, check, orders, refused, said, settled, signal};

#[tokio::test]
async fn traderspost() {
    let dir = TestDir::new("intake-traderspost");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let mut door = another_door(&gateway, &[], &["--sizing", "payload"]).await;
    let entry = json!({"ticker": "AAPL", "action": "buy", "sentiment": "bullish", "quantity": 7,
                       "quantityType": "fixed_quantity", "orderType": "market",
                       "timeInForce": "day", "signalPrice": 230,
                       "takeProfit": {"percent": 5}, "stopLoss": {"type": "stop", "percent": 2},
                       "extras": {"why": "test"}});
    let answer = said(&door.send(entry.to_string()).await, 202, "accepted");
    // S9: what was bought is protected by the two levels of the signal.
    until("both legs work", async || {
        let legs = orders(program).await;
        legs.iter().filter(|leg| leg["leg"].is_string() && leg["state"] == "working").count() == 2
    })
    .await;
    let bought = orders(program).await;
    assert_eq!((&bought[0]["side"], &bought[0]["quantity"]), (&"buy".into(), &"7".into()));
    for leg in &bought[1..] {
        assert_eq!(
            (&leg["side"], &leg["quantity"], &leg["parent_id"], &leg["reduce_only"]),
            (&"sell".into(), &"7".into(), &bought[0]["id"], &true.into())
        );
    }
    let trace = signal(program, &answer["signal_id"]).await;
    let parsed = check(&trace, "parse")["input"].as_str().unwrap();
    assert!(parsed.contains("traderspost"), "{parsed}");

    // A number that does not count units is never taken for one that does.
    let dollars = json!({"ticker": "AAPL", "action": "buy", "sentiment": "bullish",
                         "quantity": 1000, "quantityType": "dollar_amount"});
    let flat = json!({"ticker": "AAPL", "action": "sell", "sentiment": "flat", "quantity": 1});
    said(&door.send(flat.to_string()).await, 202, "accepted");
    let sold = settled(program).await;
    let [.., last] = sold.as_slice() else { panic!("{sold:?}") };
    assert_eq!((&last["side"], &last["state"]), (&"sell".into(), &"filled".into()));
    assert!(sold[1..3].iter().all(|leg| leg["state"] == "canceled"), "{sold:?}");
    refused(&door.send(dollars.to_string()).await, 422, "sizing.unusable_quantity");

    let option = json!({"ticker": "AAPL", "action": "buy", "sentiment": "long",
                        "optionType": "put"});
    let body = refused(&door.send(option.to_string()).await, 400, "signal.field");
    assert_eq!(body["field"], "optionType");
    let body = json!({"ticker": "AAPL", "action": "buy", "sentiment": "hopeful"});
    let body = refused(&door.send(body.to_string()).await, 400, "signal.field");
    assert_eq!(body["field"], "sentiment");
    let test = json!({"ticker": "AAPL", "action": "buy", "sentiment": "long", "quantity": 1,
                      "test": true});
    said(&door.send(test.to_string()).await, 200, "dry_run");
    assert_eq!(settled(program).await.len(), 4);
}

#[tokio::test]
async fn a_mapping_of_the_senders_own_fields() {
    let dir = TestDir::new("intake-mapping");
    let (gateway, _) = demo(&dir, "").await;
    let program = gateway.program();
    let mapping = json!({"action": "order.side", "quantity": "order.size", "id": "meta.nonce",
                         "comment": "order.part",
                         "values": {"enter_long": "BUY", "leave": "EXIT"}});
    let file = dir.path().join("mapping.json");
    fs::write(&file, mapping.to_string()).unwrap();
    let options = ["--mapping", file.to_str().unwrap()];
    let mut door = another_door(&gateway, &options, &["--sizing", "payload"]).await;

    let entry = json!({"order": {"side": "Enter_Long", "size": "8"}, "meta": {"nonce": "n-1"},
                       "action": "SELL"});
    let answer = said(&door.send(entry.to_string()).await, 202, "accepted");
    said(&door.send(entry.to_string()).await, 200, "duplicate");
    let trace = signal(program, &answer["signal_id"]).await;
    let parsed = check(&trace, "parse")["input"].as_str().unwrap();
    assert!(parsed.contains("mapped") && parsed.contains("BUY"), "{parsed}");
    settled(program).await;

    let exit = json!({"order": {"side": "leave", "part": "EXIT_25"}, "meta": {"nonce": "n-2"}});
    said(&door.send(exit.to_string()).await, 202, "accepted");
    let orders = settled(program).await;
    let trades: Vec<_> = orders.iter().map(|order| (&order["side"], &order["quantity"])).collect();
    assert_eq!(trades, [(&"buy".into(), &"8".into()), (&"sell".into(), &"2".into())]);

    let strange = json!({"order": {"side": "dance"}});
    let body = refused(&door.send(strange.to_string()).await, 400, "signal.unknown_action");
    assert_eq!(body["field"], "order.side", "as the sender spells it");
    let flat = json!({"order": "enter_long"});
    let body = refused(&door.send(flat.to_string()).await, 400, "signal.field");
    assert_eq!(body["field"], "order.side");
}

/// The body is read by its content, whatever its content type says.
#[tokio::test]
async fn the_content_type_does_not_matter() {
    let dir = TestDir::new("intake-content");
    let (_gateway, mut door) = demo(&dir, "").await;
    let path = format!("{}?dry_run=true", door.path);
    let json = r#"{"action":"long"}"#;
    let forms = [
        ("text/plain; charset=utf-8", json),
        ("application/json", json),
        ("application/x-www-form-urlencoded", json),
        ("image/png", json),
        ("application/x-www-form-urlencoded", "%7B%22action%22%3A%22long%22%7D="),
        ("application/json", "\u{feff} {\"action\":\"lOnG\"} \n"),
    ];
    for (content_type, body) in forms {
        let headers = [("x-webhook-secret", door.secret.as_str()), ("content-type", content_type)];
        let answer = door.client.post(&path, &headers, body).await.unwrap();
        said(&answer, 200, "dry_run");
    }
}
