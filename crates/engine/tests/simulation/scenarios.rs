//! One rule each, by hand.

mod adopt;
mod alerts;
mod auto_roll;
mod beside;
mod brackets;
mod budget;
mod change;
mod change_now;
mod changes;
mod clocks;
mod closed;
pub(crate) mod counts;
mod dead_man;
mod disconnect;
mod doubt;
mod exits;
mod expected;
mod followers;
mod halts;
mod hours;
mod intake;
mod judging;
mod keys;
mod lacking;
mod limits;
mod lists;
mod lockdown;
mod losses;
mod overrides;
mod policies;
mod position;
mod prices;
mod profit;
mod replay;
mod replay_equity;
mod replay_losses;
mod reported;
mod restarted;
mod resting;
mod restore;
mod rolls;
mod silent;
mod sizing;
mod source;
mod source_keys;
mod troubled;
mod unwind;
mod vault;

use serde_json::Value;
use std::time::Duration;
use tradewarden_domain::order::Order;
use tradewarden_engine::command::StrategyCreate;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, Hook, Reply, signal, strategy};

/// A gateway with one strategy: two ES on one account.
struct Small {
    h: Harness,
    hook: Hook,
    account: String,
}

impl Small {
    async fn with(seed: u64, venue: Venue, change: impl FnOnce(&mut StrategyCreate)) -> Self {
        let h = Harness::sqlite(seed, venue).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        let mut new = strategy("es", &hook, &account, "ES", "2");
        change(&mut new);
        h.strategy(new).await;
        h.sane_limits().await;
        Self { h, hook, account }
    }

    async fn send(&self, action: &str, id: &str) -> Reply {
        self.h.send(&self.hook, &signal(action, id)).await.answer()
    }

    async fn accept(&self, action: &str, id: &str) {
        let reply = self.send(action, id).await;
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
    }

    async fn position(&self) -> String {
        self.h.position(&self.account, "ES").await.to_string()
    }

    fn held(&self) -> i64 {
        let account = Harness::broker_account(&self.account);
        self.h.broker.holding(account, &"ES".parse().unwrap()).ours / 100_000_000
    }

    async fn order(&self, place: usize) -> Order {
        self.h.orders().await[place].clone()
    }

    async fn end(self) {
        let verification = self.h.verify().await;
        assert!(verification.ok, "{verification:?}");
        assert!(self.h.broker.violations().is_empty(), "{:?}", self.h.broker.violations());
        assert!(self.h.broker.doubled().is_empty(), "{:?}", self.h.broker.doubled());
        self.h.finish().await;
    }
}

/// Sends a signal that must be accepted.
async fn accept(h: &Harness, hook: &Hook, body: &Value) {
    let reply = h.send(hook, body).await.answer();
    assert_eq!(reply.status, SignalStatus::Accepted, "{body}: {reply:?}");
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
