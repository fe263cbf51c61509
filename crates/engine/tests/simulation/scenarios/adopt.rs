//! S3: positions that nobody here opened, and strategies that adopt them.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::instrument::Symbol;
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, simulate, strategy};

impl Small {
    pub(super) fn by_hand(&self, symbol: &str, quantity: &str) {
        let name = Harness::broker_account(&self.account);
        self.h.broker.move_by_hand(name, symbol, quantity.parse().unwrap());
    }

    /// What the broker has, whoever did it.
    pub(super) fn at_the_broker(&self, symbol: &str) -> i64 {
        let symbol: Symbol = symbol.parse().unwrap();
        let holding = self.h.broker.holding(Harness::broker_account(&self.account), &symbol);
        (holding.ours + holding.hand) / 100_000_000
    }

    async fn tries(&self, changes: Value) -> Result<Value, CommandError> {
        let list = self.h.command(Command::StrategyList).await;
        let change = json!({ "command": "strategy-change", "id": list["items"][0]["id"], "changes": changes });
        self.h.try_command(serde_json::from_value(change).unwrap()).await.expect("it lives")
    }

    async fn adopts(&self) -> Result<Value, CommandError> {
        self.tries(json!({ "adopt": true })).await
    }
}

fn why(outcome: Result<Value, CommandError>) -> String {
    match outcome {
        Err(CommandError::Refused { code: Code::PositionAmbiguous, detail }) => detail,
        other => panic!("{other:?}"),
    }
}

/// Without `adopt` a signal closes nothing that nobody here opened, and a person hears of it; with it the
/// exit closes exactly that, also where the strategy holds something of its own.
#[test]
fn s3_an_exit_closes_a_foreign_position_only_if_it_is_adopted() {
    simulate(async || {
        for own in [0_i64, 2] {
            let s = Small::with(250 + own.unsigned_abs(), Venue::default(), |_| {}).await;
            if own > 0 {
                s.accept("BUY", "own").await;
                s.h.quiet().await;
            }
            s.by_hand("ES", "3");
            s.h.elapse(Duration::from_secs(12)).await;
            assert!(s.h.has_finding("position.mismatch").await);
            let exit = s.send("EXIT", "a").await;
            if own > 0 {
                assert_eq!(exit.status, SignalStatus::Accepted);
                s.h.quiet().await;
            } else {
                assert_eq!(
                    (exit.status, exit.code),
                    (SignalStatus::Skipped, Some(Code::StrategyFlat))
                );
            }
            assert_eq!(
                (s.position().await.as_str(), s.at_the_broker("ES")),
                ("0", 3),
                "left alone"
            );
            let sent = s.h.broker.sent().len();

            let shown = s.adopts().await.unwrap();
            assert_eq!(shown["adopt"], true);
            assert_eq!((s.position().await.as_str(), s.h.broker.sent().len()), ("3", sent));
            s.h.elapse(millis(300)).await;
            let entry = s.h.log(0).await.pop().unwrap();
            assert!(entry.leaf.contains("strategy.adopted"), "{}", entry.leaf);
            let payload: Value = serde_json::from_str(&entry.payload).unwrap();
            let expected = json!([{
                "account_id": s.account, "price": "5000", "quantity": "3", "symbol": "ES",
            }]);
            assert_eq!(payload["adopted"], expected);
            assert_eq!(payload["changed"], json!({ "adopt": { "before": false, "after": true } }));

            // Once: what is asked for again changes nothing.
            s.adopts().await.unwrap();
            assert_eq!(s.position().await, "3");
            s.accept("EXIT", "b").await;
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.at_the_broker("ES")), ("0", 0));
            let last = s.h.orders().await.pop().unwrap();
            assert_eq!(last.quantity.to_string(), "3");
            s.h.elapse(Duration::from_secs(12)).await;
            s.tries(json!({ "adopt": false })).await.unwrap();
            assert!(why(s.adopts().await).contains("nothing is held"));
            s.end().await;
        }
    });
}

/// What was closed by hand is taken over as well: the strategy holds what its broker has.
#[test]
fn s3_what_was_closed_by_hand_is_adopted() {
    simulate(async || {
        let s = Small::with(260, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.by_hand("ES", "-1");
        s.adopts().await.unwrap();
        assert_eq!((s.position().await.as_str(), s.at_the_broker("ES")), ("1", 1));
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.at_the_broker("ES")), ("0", 0));
        s.end().await;
    });
}

/// Where it is not certain what is foreign, or whose it is to be, nothing is adopted.
#[test]
fn s3_what_is_ambiguous_is_not_adopted() {
    simulate(async || {
        let s = Small::with(261, Venue::default(), |_| {}).await;
        s.by_hand("ES", "3");
        let together = s.tries(json!({ "adopt": true, "name": "other" })).await;
        assert!(matches!(together, Err(CommandError::Invalid { .. })), "{together:?}");

        // Another hand goes on between the readings.
        let (asked, ()) = tokio::join!(s.adopts(), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            s.by_hand("ES", "1");
        });
        assert!(why(asked).contains("differ"));
        // An order may fill at any moment.
        s.h.broker.next_plans(&[FillPlan::InTwo(Duration::from_secs(30)).into()]);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(500)).await;
        assert_eq!(s.position().await, "1");
        assert!(why(s.adopts().await).contains("at any moment"));
        s.h.elapse(Duration::from_secs(40)).await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "2");
        // Another strategy may trade the same.
        let mut other = strategy("other", &s.hook, &s.account, "ES", "1");
        other.shared_position = true;
        s.h.strategy(other).await;
        assert!(why(s.adopts().await).contains("another strategy may trade"));
        assert_eq!((s.position().await.as_str(), s.at_the_broker("ES")), ("2", 6));
        s.end().await;
    });
}
