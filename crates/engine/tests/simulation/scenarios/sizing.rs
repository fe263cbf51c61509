//! Sizes that are a part of the account's equity (S8).

use super::{Small, millis};
use serde_json::json;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::strategy::{OnOpposite, Sizing};
use tradewarden_engine::command::{Command, LimitDelete, LimitNamed, RateSet};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_engine::tag::IfMatch;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::simulate;

impl Small {
    async fn equity(&self) -> i64 {
        let id = self.account.clone();
        let shown = self
            .h
            .command(Command::AccountBalances(tradewarden_engine::command::ById { id }))
            .await;
        shown["equity"].as_str().unwrap().split('.').next().unwrap().parse().unwrap()
    }
}

/// S8: the stop of an entry loses the percentage of the equity that the strategy says, and protects it.
#[test]
fn s8_an_entry_is_sized_by_its_risk() {
    simulate(async || {
        let s = Small::with(350, Venue::default(), |new| {
            new.sizing = Some(Sizing::RiskPerTrade);
            new.percent = Some("3".parse().unwrap());
        })
        .await;
        let equity = s.equity().await;
        // A point of ES is worth 50; the stop is 20 points away.
        let size = equity * 3 / 100 / (20 * 50);
        let body = json!({ "action": "BUY", "id": "a", "stop_loss": "4980" });
        let reply = s.h.send(&s.hook, &body).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        s.h.elapse(millis(1_500)).await;
        assert!(size >= 1, "the account is too small for the test: {equity}");
        assert_eq!(s.position().await, size.to_string());
        let stop = s.order(1).await;
        assert_eq!(stop.stop_price.unwrap().to_string(), "4980");
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        s.end().await;
    });
}

/// S8: an instrument in another currency than the account is sized by the rate that somebody said, and not
/// without one.
#[test]
fn s8_an_entry_abroad_is_sized_by_the_rate() {
    simulate(async || {
        let mut s = Small::with(352, Venue::default(), |new| {
            new.sizing = Some(Sizing::RiskPerTrade);
            new.percent = Some("3".parse().unwrap());
        })
        .await;
        s.h.sabotage("UPDATE instruments SET currency = 'EUR' WHERE symbol = 'ES'");
        s.h.restart().await;
        s.h.ready().await;
        s.h.elapse(millis(6_000)).await;
        let body = |id: &str| json!({ "action": "BUY", "id": id, "stop_loss": "4980" });
        let reply = s.h.send(&s.hook, &body("a")).await.answer();
        assert_eq!(reply.code, Some(Code::SizingRateStale), "{reply:?}");
        let equity = s.equity().await;
        s.h.command(Command::RateSet(RateSet {
            base: "EUR".to_owned(),
            quote: "USD".to_owned(),
            rate: "1.25".parse().unwrap(),
            source: "test".to_owned(),
            at: None,
            valid_s: Some(60),
        }))
        .await;
        let reply = s.h.send(&s.hook, &body("b")).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        // A point is worth 50 EUR, which are 62.50 USD; the stop is 20 points away.
        let size = equity * 3 / 100 / (20 * 125 / 2);
        assert!(size >= 1, "the account is too small for the test: {equity}");
        let entry = s.h.orders().await.into_iter().find(|order| order.leg.is_none()).unwrap();
        assert_eq!(entry.quantity.to_string(), size.to_string());
        s.h.elapse(millis(1_500)).await;
        s.accept("EXIT", "c").await;
        s.h.elapse(millis(61_000)).await;
        let reply = s.h.send(&s.hook, &body("d")).await.answer();
        assert_eq!(reply.code, Some(Code::SizingRateStale), "{reply:?}");
        s.end().await;
    });
}

/// S8: without an equity heard within a minute, a stop or a limit for one order nothing is opened; what
/// is held is closed.
#[test]
fn s8_sizing_fails_closed() {
    simulate(async || {
        let s = Small::with(351, Venue::default(), |new| {
            new.sizing = Some(Sizing::PercentEquity);
            new.percent = Some("600".parse().unwrap());
        })
        .await;
        s.h.elapse(millis(6_000)).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        assert_ne!(s.position().await, "0");
        s.h.broker.next_faults(Call::Account, &[Fault::LostBefore; 60]);
        s.h.elapse(millis(70_000)).await;
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        let reply = s.send("BUY", "c").await;
        assert_eq!(reply.code, Some(Code::SizingEquityStale), "{reply:?}");
        s.h.elapse(millis(300_000)).await;
        let limit =
            LimitNamed { scope: "org".to_owned(), name: "max_order_quantity".parse().unwrap() };
        let if_match = IfMatch::default();
        s.h.command(Command::LimitDelete(LimitDelete { limit, reason: None, if_match })).await;
        let reply = s.send("BUY", "d").await;
        assert_eq!(reply.code, Some(Code::RiskLimitMissing), "{reply:?}");
        s.end().await;
    });
}

/// S5: by target an order is what is missing to the wanted position, and what rests or is unknown is not
/// missing; pyramiding, which the strategy does not allow, is not asked about.
#[test]
fn s5_a_target_counts_what_rests_and_what_is_unknown() {
    simulate(async || {
        let s = Small::with(356, Venue::default(), |new| {
            new.sizing = Some(Sizing::Target);
            new.on_opposite = Some(OnOpposite::Reverse);
            new.allow_short = true;
        })
        .await;
        let wants = async |action: &str, position: &str, size: u32, id: &str| {
            let body = json!({
                "action": action, "market_position": position, "market_position_size": size,
                "id": id,
            });
            s.h.send(&s.hook, &body).await.answer()
        };
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        assert_eq!(wants("BUY", "long", 3, "a").await.status, SignalStatus::Accepted);
        s.h.elapse(millis(100)).await;
        assert_eq!(s.order(0).await.state, OrderState::Working);
        s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        assert_eq!(wants("BUY", "long", 5, "b").await.status, SignalStatus::Accepted);
        let again = wants("BUY", "long", 5, "c").await;
        assert_eq!(again.code, Some(Code::StrategyAlreadyLong), "{again:?}");
        s.h.elapse(millis(1_000)).await;
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("5", 5));
        for (action, position, size, held) in
            [("SELL", "long", 1, 1), ("SELL", "short", 2, -2), ("SELL", "short", 4, -4)]
        {
            let reply = wants(action, position, size, &format!("{position} {size}")).await;
            assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
            s.h.quiet().await;
            assert_eq!((s.position().await, s.held()), (held.to_string(), held));
        }
        assert_eq!(wants("BUY", "flat", 0, "d").await.status, SignalStatus::Accepted);
        s.h.quiet().await;
        assert_eq!(s.held(), 0);
        let sizes: Vec<_> =
            s.h.broker.sent().iter().map(|sent| sent.order.quantity.to_string()).collect();
        assert_eq!(sizes, ["3", "2", "4", "1", "2", "2", "4"]);
        s.end().await;
    });
}
