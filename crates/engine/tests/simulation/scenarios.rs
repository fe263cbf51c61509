//! One rule each, by hand.

use serde_json::json;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, Hook, raw, signal, simulate, strategy};

/// A gateway with one strategy: one ES on one account.
struct Small {
    h: Harness,
    hook: Hook,
    account: String,
}

async fn small(seed: u64, venue: Venue) -> Small {
    let h = Harness::sqlite(seed, venue).await;
    h.ready().await;
    let account = h.account("main").await;
    let hook = h.webhook("tv", 100).await;
    h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
    h.sane_limits().await;
    Small { h, hook, account }
}

impl Small {
    async fn accept(&self, action: &str, id: &str) {
        let reply = self.h.send(&self.hook, &signal(action, id)).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
    }

    async fn position(&self) -> String {
        self.h.position(&self.account, "ES").await.to_string()
    }
}

#[test]
fn an_entry_fills_and_an_exit_closes_it() {
    simulate(async || {
        let small = small(1, Venue::default()).await;
        small.accept("BUY", "a").await;
        small.h.quiet().await;
        assert_eq!(small.position().await, "2");
        small.accept("EXIT", "b").await;
        small.h.quiet().await;
        assert_eq!(small.position().await, "0");
        let verification = small.h.verify().await;
        assert!(verification.ok, "{verification:?}");
        assert!(small.h.findings().await.is_empty(), "{:?}", small.h.findings().await);
        small.h.finish().await;
    });
}
