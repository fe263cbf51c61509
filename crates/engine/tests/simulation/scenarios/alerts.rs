//! What people are told of, how fast, how often, and until when.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::{Environment, MarketState};
use tradewarden_domain::code::Code;
use tradewarden_domain::message::Channel;
use tradewarden_engine::command::{ById, Command, CommandError, Paging};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_messenger::Outcome;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, simulate, strategy};
use tradewarden_testkit::life::Death;

impl Small {
    /// The same with a webhook and a chat for alerts.
    async fn told(seed: u64) -> Self {
        let mut s = Self::with(seed, Venue::default(), |_| {}).await;
        s.h.post.switch_on(&[Channel::Webhook, Channel::Chat]);
        s.h.restart().await;
        s.h.ready().await;
        s
    }

    /// What the webhook was told since the last look: kind and codes; the chat was told as often.
    fn heard(&self) -> Vec<(String, Vec<String>)> {
        let posted = self.h.post.take();
        let on = |channel| posted.iter().filter(move |posted| posted.channel == channel);
        assert_eq!(on(Channel::Webhook).count(), on(Channel::Chat).count(), "{posted:?}");
        let read = |text: &str| {
            let event: Value = serde_json::from_str(text).unwrap();
            let codes = event["data"]["alerts"].as_array().unwrap().iter();
            let codes = codes.map(|alert| alert["code"].as_str().unwrap().to_owned());
            (event["type"].as_str().unwrap().to_owned(), codes.collect())
        };
        on(Channel::Webhook).map(|posted| read(&posted.text)).collect()
    }

    async fn alerts(&self) -> Vec<Value> {
        let page = self.h.command(Command::AlertList(Paging::default())).await;
        page["items"].as_array().unwrap().clone()
    }
}

fn event(kind: &str, code: &str) -> (String, Vec<String>) {
    (format!("alert.{kind}"), vec![code.to_owned()])
}

/// S24: within 5 s on every channel, every 5 min until it is acknowledged, and after a restart.
#[test]
fn s24_an_alert_is_told_until_somebody_acknowledges_it() {
    simulate(async || {
        let mut s = Small::told(301).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_plans(&[FillPlan::Rejected.into()]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.heard(), [event("raised", "order.exit_rejected")]);
        s.h.elapse(Duration::from_mins(4)).await;
        assert_eq!(s.heard(), []);
        s.h.restart().await;
        s.h.elapse(Duration::from_mins(1)).await;
        assert_eq!(s.heard(), [event("repeated", "order.exit_rejected")]);
        s.h.elapse(Duration::from_mins(5)).await;
        assert_eq!(s.heard(), [event("repeated", "order.exit_rejected")]);
        let alert = s.alerts().await.pop().unwrap();
        assert_eq!((&alert["told"], &alert["severity"]), (&3.into(), &"critical".into()));
        let by_id = ById { id: alert["id"].as_str().unwrap().to_owned() };
        let seen = s.h.command(Command::AlertAcknowledge(by_id.clone())).await;
        assert_eq!(seen["acknowledged_by"], "operator");
        let again = s.h.command(Command::AlertAcknowledge(by_id)).await;
        assert_eq!(again["acknowledged_at"], seen["acknowledged_at"], "the first one counts");
        s.h.elapse(Duration::from_mins(11)).await;
        assert_eq!(s.heard(), []);
        s.end().await;
    });
}

/// S24: an alert is part of what it tells of, so a crash between the two loses nothing.
#[test]
fn s24_an_alert_outlives_a_crash() {
    simulate(async || {
        let mut s = Small::told(302).await;
        s.h.halt(None, "block").await;
        s.h.crash().await;
        assert_eq!(s.heard(), []);
        s.h.start(Death::Never).await;
        s.h.elapse(millis(5_000)).await;
        assert_eq!(s.heard(), [event("raised", "halt.engaged")]);
        s.end().await;
    });
}

/// S24: what is told, each by what brings it about, within 5 s of it.
#[test]
fn s24_exits_that_are_slow_or_refused_and_what_is_unknown_are_told() {
    for code in ["order.exit_slow", "order.unknown", "strategy.exit", "broker.link_lost"] {
        simulate(async || {
            let s = Small::told(303).await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            let expected = match code {
                "order.exit_slow" => {
                    s.h.broker.next_plans(&[FillPlan::After(Duration::from_secs(40)).into()]);
                    s.accept("EXIT", "b").await;
                    s.h.elapse(Duration::from_secs(15)).await;
                    code
                }
                "order.unknown" => {
                    s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
                    s.h.broker.next_faults(Call::Find, &[Fault::Away(Duration::from_secs(30))]);
                    s.h.broker
                        .next_faults(Call::FillsSince, &[Fault::Away(Duration::from_secs(30))]);
                    s.accept("EXIT", "b").await;
                    s.h.elapse(Duration::from_secs(16)).await;
                    code
                }
                "strategy.exit" => {
                    s.h.halt(None, "block").await;
                    s.h.elapse(millis(2_000)).await;
                    assert_eq!(s.heard(), [event("raised", "halt.engaged")]);
                    let refused = s.send("EXIT", "b").await;
                    assert_eq!(refused.code, Some(Code::HaltActive));
                    s.h.elapse(millis(5_000)).await;
                    "halt.active"
                }
                _ => {
                    s.h.broker
                        .next_faults(Call::Positions, &[Fault::Away(Duration::from_secs(50))]);
                    s.h.elapse(Duration::from_secs(46)).await;
                    code
                }
            };
            let heard = s.heard();
            assert!(heard.contains(&event("raised", expected)), "{code}: {heard:?}");
            s.h.finish().await;
        });
    }
}

/// S24: entries that are refused are told once in a quarter of an hour, and not again.
#[test]
fn s24_refused_entries_are_told_once() {
    simulate(async || {
        let s = Small::told(304).await;
        s.h.limit("org", "max_order_quantity", "1").await;
        for id in ["a", "b", "c"] {
            assert_eq!(s.send("BUY", id).await.status, SignalStatus::Refused);
            s.h.elapse(millis(1_500)).await;
        }
        let once = [event("raised", "risk.max_order_quantity")];
        assert_eq!(s.heard(), once);
        s.h.elapse(Duration::from_mins(14)).await;
        assert_eq!(s.heard(), [], "it is not repeated");
        s.h.elapse(Duration::from_mins(2)).await;
        assert_eq!(s.send("BUY", "d").await.status, SignalStatus::Refused);
        s.h.elapse(millis(2_000)).await;
        assert_eq!(s.heard(), once);
        s.end().await;
    });
}

/// S24: one strategy's refusals do not swallow another's on the same webhook, nor does what was accepted
/// elsewhere.
#[test]
fn s24_each_strategy_has_its_own_quarter_of_an_hour() {
    simulate(async || {
        let s = Small::told(306).await;
        let second = s.h.account("second").await;
        let other = s.h.strategy(strategy("other", &s.hook, &second, "AAPL", "2")).await;
        s.h.limit(&format!("strategy:{other}"), "max_order_quantity", "1").await;
        assert_eq!(s.send("BUY", "a").await.status, SignalStatus::Accepted, "by the first");
        s.h.elapse(millis(2_000)).await;
        let once = [event("raised", "risk.max_order_quantity")];
        assert_eq!(s.heard(), once, "the second one's refusal");
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        s.h.limit("org", "max_order_quantity", "1").await;
        assert_eq!(s.send("BUY", "c").await.status, SignalStatus::Refused, "by both");
        s.h.elapse(millis(2_000)).await;
        assert_eq!(s.heard(), once, "the first one's refusal, and the second one's not again");
        s.end().await;
    });
}

/// S24: a test proves something of the address that it went to.
#[test]
fn s24_a_channel_that_moved_wants_another_test() {
    simulate(async || {
        let venue = Venue { environment: Environment::Live, ..Venue::default() };
        let mut h = Harness::sqlite(307, venue).await;
        h.post.switch_on(&[Channel::Webhook]);
        h.restart().await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        h.command(Command::AlertTest).await;
        h.elapse(millis(2_000)).await;
        let tested = async |h: &Harness| {
            h.command(Command::AlertChannels).await["items"][0]["tested_at"].is_string()
        };
        assert!(tested(&h).await);
        h.post.moves_to("https://elsewhere.example");
        h.restart().await;
        h.ready().await;
        assert!(!tested(&h).await, "nobody knows whether anything arrives there");
        let new = Command::StrategyCreate(strategy("es", &hook, &account, "ES", "2"));
        match h.try_command(new).await.unwrap() {
            Err(CommandError::Refused { code, .. }) => assert_eq!(code, Code::AlertUntested),
            other => panic!("{other:?}"),
        }
        h.command(Command::AlertTest).await;
        h.elapse(millis(2_000)).await;
        assert!(tested(&h).await);
        h.finish().await;
    });
}

/// S24: alerts that nobody has to be told of any more are forgotten after 90 days, others never.
#[test]
fn s24_old_alerts_are_forgotten_once_they_are_acknowledged() {
    simulate(async || {
        let s = Small::told(308).await;
        let halts = [s.h.halt(None, "block").await, s.h.halt(None, "reduce_only").await];
        s.h.elapse(millis(2_000)).await;
        let alerts = s.alerts().await;
        assert_eq!(alerts.len(), halts.len());
        let id = alerts[0]["id"].as_str().unwrap().to_owned();
        s.h.command(Command::AlertAcknowledge(ById { id })).await;
        s.h.clock.advance(Duration::from_hours(89 * 24));
        s.h.elapse(Duration::from_mins(11)).await;
        assert_eq!(s.alerts().await.len(), 2);
        s.h.clock.advance(Duration::from_hours(24));
        s.h.elapse(Duration::from_mins(11)).await;
        let left = s.alerts().await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["id"], alerts[1]["id"]);
        s.h.finish().await;
    });
}

/// S24: where money is at stake, no strategy is switched on before a channel has carried a test.
#[test]
fn s24_a_live_strategy_needs_a_tested_channel() {
    simulate(async || {
        let venue = Venue { environment: Environment::Live, ..Venue::default() };
        let mut h = Harness::sqlite(305, venue).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        let refused = async |h: &Harness| {
            let new = strategy("es", &hook, &account, "ES", "2");
            match h.try_command(Command::StrategyCreate(new)).await.unwrap() {
                Err(CommandError::Refused { code, .. }) => Some(code),
                Err(other) => panic!("{other}"),
                Ok(_) => None,
            }
        };
        let untested = Some(Code::AlertUntested);
        assert_eq!(refused(&h).await, untested, "there is no channel");
        h.post.switch_on(&[Channel::Webhook]);
        h.restart().await;
        h.ready().await;
        assert_eq!(refused(&h).await, untested, "there is one, and it was not tested");
        let reason = "the provider answered 400".to_owned();
        h.post.answers([Outcome::Refused { reason }]);
        h.command(Command::AlertTest).await;
        h.elapse(millis(2_000)).await;
        assert_eq!(refused(&h).await, untested, "its test was not taken");
        h.command(Command::AlertTest).await;
        h.elapse(millis(2_000)).await;
        let channels = h.command(Command::AlertChannels).await;
        assert!(channels["items"][0]["tested_at"].is_string(), "{channels}");
        assert_eq!(refused(&h).await, None);

        // No account is added without one either, while the strategy is on.
        let other = h.account("other").await;
        h.post.switch_on(&[]);
        h.restart().await;
        h.ready().await;
        let strategies = h.command(Command::StrategyList).await;
        let id = strategies["items"][0]["id"].as_str().unwrap().to_owned();
        let change = async |h: &Harness, changes: Value| {
            let change = json!({"command": "strategy-change", "id": id, "changes": changes});
            let change = serde_json::from_value(change).unwrap();
            match h.try_command(change).await.unwrap() {
                Err(CommandError::Refused { code, .. }) => Some(code),
                Err(other) => panic!("{other}"),
                Ok(_) => None,
            }
        };
        for joins in [json!({"followers": [other]}), json!({"account": other})] {
            assert_eq!(change(&h, joins.clone()).await, untested, "{joins}");
        }
        for free in [json!({"name": "two"}), json!({"state": "off"}), json!({"account": other})] {
            assert_eq!(change(&h, free.clone()).await, None, "{free}");
        }
        assert_eq!(change(&h, json!({"state": "on"})).await, untested);
        h.finish().await;
    });
}

/// S6, S15: what a sender should look at is told by a message, once in a quarter of an hour.
#[test]
fn s6_a_wrong_side_and_an_id_used_again_are_told() {
    simulate(async || {
        let s = Small::told(306).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        for id in ["b", "c"] {
            let wrong = json!({ "action": "BUY", "comment": "EXIT_50", "id": id });
            let reply = s.h.send(&s.hook, &wrong).await.answer();
            assert_eq!(reply.code, Some(Code::StrategyWrongSide));
            let conflict = s.send("SELL", "a").await;
            assert_eq!(conflict.code, Some(Code::DuplicateIdConflict));
            s.h.elapse(millis(2_000)).await;
        }
        let mut heard = s.heard();
        heard.sort();
        let once =
            [event("raised", "duplicate.id_conflict"), event("raised", "strategy.wrong_side")];
        assert_eq!(heard, once);
        s.end().await;
    });
}

/// S14: that an exit waits is told, and so is that it goes out, however soon that is.
#[test]
fn s14_that_a_held_exit_goes_out_is_told_too() {
    simulate(async || {
        let s = Small::told(307).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", None, MarketState::Closed);
        s.h.elapse(millis(1_500)).await;
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(2_000)).await;
        s.h.broker.set_market("ES", None, MarketState::Open);
        s.h.quiet().await;
        let pending = event("raised", "exit.pending_open");
        assert_eq!(s.heard(), [pending.clone(), pending]);
        s.end().await;
    });
}
