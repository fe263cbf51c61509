//! S21: disconnecting an account.

use super::{Small, millis};
use serde_json::{Value, json};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::StrategyState;
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, simulate, strategy};

impl Small {
    async fn disconnects(&self, phrase: Option<&str>) -> Result<Value, CommandError> {
        let mut command = json!({ "command": "account-disconnect", "id": self.account });
        if let Some(phrase) = phrase {
            command["phrase"] = json!(phrase);
        }
        self.h.try_command(serde_json::from_value(command).unwrap()).await.expect("it lives")
    }

    /// Why it was refused, and the phrase that is to be typed.
    async fn asks(&self, said: Option<&str>) -> (String, String) {
        match self.disconnects(said).await {
            Err(CommandError::Refused { code: Code::AccountOpenPosition, detail }) => {
                let phrase = detail.split('`').nth(1).unwrap_or_default().to_owned();
                (detail, phrase)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn switches(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = self.h.command(Command::StrategyList).await;
        let all = list["items"].as_array().unwrap().iter();
        all.map(|one| (text(&one["name"]), text(&one["state"]))).collect()
    }
}

/// With something open it lists that and wants the phrase of this very list typed; then the account and
/// what trades there alone are off at once, and entries are taken back.
#[test]
fn s21_disconnecting_with_open_positions_needs_a_typed_confirmation() {
    simulate(async || {
        let s = Small::with(270, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        // One strategy trades elsewhere too, and one has an entry that rests here.
        let elsewhere = s.h.account("other").await;
        let hook = s.h.webhook("both", 100).await;
        let mut both = strategy("both", &hook, &s.account, "AAPL", "1");
        both.followers = vec![elsewhere.clone()];
        s.h.strategy(both).await;
        let resting = s.h.webhook("rests", 100).await;
        s.h.strategy(strategy("rests", &resting, &s.account, "BTCUSD", "1")).await;
        let entry = json!({
            "action": "BUY", "id": "b", "order_type": "limit", "limit_price": "59000",
            "time_in_force": "gtc",
        });
        super::accept(&s.h, &resting, &entry).await;
        s.h.elapse(millis(500)).await;

        let (detail, first) = s.asks(None).await;
        assert!(detail.contains("2 ES (2 at the broker)"), "{detail}");
        assert!(first.starts_with("disconnect with 1 open position "), "{first}");
        s.asks(Some("yes")).await;
        assert!(s.switches().await.iter().all(|(_, state)| state == "on"), "nothing happened");
        // Another list has another phrase: the one that was read first is worth nothing any more.
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "ES", "1".parse().unwrap());
        let (detail, second) = s.asks(Some(&first)).await;
        assert!(detail.contains("2 ES (3 at the broker)"), "{detail}");

        let done = s.disconnects(Some(&format!(" {second} "))).await.unwrap();
        assert_eq!((&done["state"], &done["account_id"]), (&json!("disabled"), &json!(s.account)));
        assert_eq!(done["open_positions"][0]["broker_quantity"], "3");
        assert_eq!(done["strategies"].as_array().unwrap().len(), 2);
        let off = StrategyState::Off.text();
        let states = s.switches().await;
        for (name, state) in [("es", off), ("rests", off), ("both", "on")] {
            assert!(states.contains(&(name.to_owned(), state.to_owned())), "{states:?}");
        }
        s.h.elapse(millis(1_000)).await;
        let rested = s.h.orders().await.into_iter().find(|order| order.symbol.as_str() == "BTCUSD");
        let rested = rested.unwrap();
        assert_eq!(rested.state, OrderState::Canceled);
        assert_eq!(done["canceled"], json!([rested.id]));
        assert_eq!(s.send("EXIT", "c").await.code, Some(Code::AccountOff));
        let follows = s.h.send(&hook, &json!({ "action": "BUY", "id": "d" })).await.answer();
        let codes: Vec<_> = follows.accounts.iter().map(|part| part.code).collect();
        assert_eq!(codes, [Some(Code::AccountOff), None], "{follows:?}");
        assert_eq!(s.held(), 2, "what is open is left as it was read");

        let log = s.h.log(0).await;
        let entry = log.iter().find(|entry| entry.leaf.contains("account.disconnected")).unwrap();
        let payload: Value = serde_json::from_str(&entry.payload).unwrap();
        assert_eq!(payload["open_positions"][0]["symbol"], "ES");
        assert_eq!(payload["changed"]["state"], json!({ "before": "active", "after": "disabled" }));
        s.end().await;
    });
}

/// With nothing open there is nothing to confirm.
#[test]
fn s21_disconnecting_a_flat_account_asks_nothing() {
    simulate(async || {
        let s = Small::with(271, Venue::default(), |_| {}).await;
        let done = s.disconnects(None).await.unwrap();
        assert_eq!((&done["open_positions"], &done["canceled"]), (&json!([]), &json!([])));
        assert_eq!(s.switches().await, [("es".to_owned(), "off".to_owned())]);
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::AccountOff));
        // Once more changes nothing.
        assert_eq!(s.disconnects(None).await.unwrap()["strategies"], json!([]));
        s.end().await;
    });
}
