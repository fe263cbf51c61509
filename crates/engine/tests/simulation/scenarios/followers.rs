//! Leader and followers (S10).

use super::unwind::database_away;
use super::{accept, millis};
use serde_json::{Value, json};
use tradewarden_domain::code::Code;
use tradewarden_domain::strategy::{Pyramiding, Sizing};
use tradewarden_engine::command::{Change, Command, StrategyChanges, StrategyCreate};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_engine::tag::IfMatch;
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Hook, Reply, signal, simulate, strategy};

/// A strategy of two ES on three accounts.
pub(super) struct Led {
    pub(super) h: Harness,
    hook: Hook,
    pub(super) accounts: [String; 3],
    strategy: String,
}

impl Led {
    pub(super) async fn with(seed: u64, change: impl FnOnce(&mut StrategyCreate)) -> Self {
        let h = Harness::sqlite(seed, Venue::default()).await;
        h.ready().await;
        let accounts =
            [h.account("leader").await, h.account("second").await, h.account("third").await];
        let hook = h.webhook("tv", 100).await;
        let mut new = strategy("es", &hook, &accounts[0], "ES", "2");
        new.followers = accounts[1..].to_vec();
        change(&mut new);
        let strategy = h.strategy(new).await;
        h.sane_limits().await;
        Self { h, hook, accounts, strategy }
    }

    pub(super) async fn send(&self, action: &str, id: &str) -> Reply {
        self.h.send(&self.hook, &signal(action, id)).await.answer()
    }

    pub(super) async fn positions(&self) -> [String; 3] {
        let mut all = [const { String::new() }; 3];
        for (place, account) in self.accounts.iter().enumerate() {
            all[place] = self.h.position(account, "ES").await.to_string();
        }
        all
    }

    /// Nothing larger than this on that account.
    async fn limit(&self, place: usize, value: &str) {
        let scope = format!("account:{}", self.accounts[place]);
        self.h.limit(&scope, "max_order_quantity", value).await;
    }

    pub(super) async fn end(self) {
        assert!(self.h.verify().await.ok);
        assert!(self.h.broker.violations().is_empty(), "{:?}", self.h.broker.violations());
        self.h.finish().await;
    }
}

fn codes(reply: &Reply) -> Vec<Option<Code>> {
    reply.accounts.iter().map(|account| account.code).collect()
}

/// S10: the leader is first, each account is sized by its own position, and the answer lists them.
#[test]
fn s10_each_account_by_its_own_position() {
    simulate(async || {
        let led = Led::with(310, |_| {}).await;
        let reply = led.send("BUY", "a").await;
        assert_eq!(reply.status, SignalStatus::Accepted);
        let listed: Vec<_> = reply.accounts.iter().map(|a| a.account_id.to_string()).collect();
        assert_eq!(listed, led.accounts);
        for account in &reply.accounts {
            assert_eq!((account.result, account.code), (SignalStatus::Accepted, None));
            assert!(account.order_id.is_some());
        }
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "2", "2"]);
        // One account holds less than the others: an exit is of what is there.
        accept(&led.h, &led.hook, &json!({"action": "EXIT", "comment": "EXIT_50", "id": "b"}))
            .await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["1", "1", "1"]);
        accept(&led.h, &led.hook, &signal("EXIT", "c")).await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["0", "0", "0"]);
        assert!(led.h.findings().await.is_empty());
        led.end().await;
    });
}

/// S10: the leader's refusal stops nobody else; that they part ways is told.
#[test]
fn s10_a_refused_leader_does_not_stop_followers() {
    simulate(async || {
        let led = Led::with(311, |_| {}).await;
        led.limit(0, "1").await;
        let reply = led.send("BUY", "a").await;
        assert_eq!(reply.status, SignalStatus::Accepted, "202 if any was accepted");
        assert_eq!(codes(&reply), [Some(Code::RiskMaxOrderQuantity), None, None]);
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["0", "2", "2"]);
        let findings = led.h.findings().await;
        let mixed: Vec<_> =
            findings.iter().filter(|found| found.code == "strategy.mixed_result").collect();
        assert_eq!(mixed.len(), 1, "{findings:?}");
        assert_eq!(mixed[0].severity, "warning");
        assert!(mixed[0].detail.contains("risk.max_order_quantity"), "{}", mixed[0].detail);
        // The leader is flat, and what the others hold is closed.
        let reply = led.send("EXIT", "b").await;
        assert_eq!(reply.status, SignalStatus::Accepted);
        assert_eq!(codes(&reply), [Some(Code::StrategyFlat), None, None]);
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["0", "0", "0"]);
        led.end().await;
    });
}

/// S10: only when every account was refused is the signal.
#[test]
fn s10_refused_only_when_all_are() {
    simulate(async || {
        let led = Led::with(312, |_| {}).await;
        led.h.limit("org", "max_order_quantity", "1").await;
        let reply = led.send("BUY", "a").await;
        assert_eq!(reply.status, SignalStatus::Refused);
        assert_eq!(reply.code, Some(Code::RiskMaxOrderQuantity));
        assert_eq!(codes(&reply), [Some(Code::RiskMaxOrderQuantity); 3]);
        assert!(!led.h.has_finding("strategy.mixed_result").await, "they all say the same");
        led.end().await;
    });
}

/// S10: `require_leader` keeps followers from opening without their leader, never from closing.
#[test]
fn s10_require_leader_stops_entries_and_no_exits() {
    simulate(async || {
        let led = Led::with(313, |new| new.require_leader = true).await;
        led.limit(0, "1").await;
        let reply = led.send("BUY", "a").await;
        assert_eq!(reply.status, SignalStatus::Refused);
        let alone = Some(Code::StrategyLeaderRefused);
        assert_eq!(codes(&reply), [Some(Code::RiskMaxOrderQuantity), alone, alone]);
        led.limit(0, "10").await;
        assert_eq!(led.send("BUY", "b").await.status, SignalStatus::Accepted);
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "2", "2"]);
        // The leading account is stopped: an opposite signal still closes the others.
        led.h.halt(Some(&format!("account:{}", led.accounts[0])), "block").await;
        let reply = led.send("SELL", "c").await;
        assert_eq!(codes(&reply), [Some(Code::HaltActive), None, None], "{reply:?}");
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "0", "0"]);
        led.end().await;
    });
}

/// S10, C11: without the database, a halt of the strategy cancels on its followers' accounts too.
#[test]
fn s10_an_emergency_cancel_reaches_followers() {
    simulate(async || {
        let led = Led::with(319, |_| {}).await;
        led.h.broker.usual_plan(FillPlan::Rests);
        let resting = json!({
            "action": "BUY", "id": "a", "order_type": "limit", "limit_price": "4990",
        });
        accept(&led.h, &led.hook, &resting).await;
        led.h.elapse(millis(1_000)).await;
        let working = || led.h.broker.orders().iter().filter(|o| o.state.is_live()).count();
        assert_eq!(working(), 3);
        let [takes_away, gives_back] = database_away();
        led.h.sabotage_soon(&takes_away).await;
        let scope = format!("strategy:{}", led.strategy);
        let halt = json!({ "command": "halt-engage", "mode": "cancel", "scope": scope });
        let made = led.h.command(serde_json::from_value(halt).unwrap()).await;
        assert_eq!(made["local"], json!(true));
        led.h.elapse(millis(1_500)).await;
        assert_eq!(working(), 0, "{:#?}", led.h.broker.orders());
        led.h.sabotage_soon(&gives_back).await;
        led.h.elapse(millis(5_000)).await;
        led.end().await;
    });
}

/// S10: a follower that missed the entry adds nothing, nor does one that joins later.
#[test]
fn s10_a_follower_that_missed_the_entry_skips_adds() {
    simulate(async || {
        let led = Led::with(314, |new| new.pyramiding = Some(Pyramiding::Allow)).await;
        led.limit(2, "1").await;
        led.send("BUY", "a").await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "2", "0"]);
        led.limit(2, "10").await;
        let reply = led.send("BUY", "b").await;
        assert_eq!(codes(&reply), [None, None, Some(Code::StrategyFollowerFlat)]);
        assert_eq!(reply.accounts[2].result, SignalStatus::Skipped);
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["4", "4", "0"]);
        led.send("EXIT", "c").await;
        led.h.quiet().await;
        // From flat all are in again.
        led.send("BUY", "d").await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "2", "2"]);
        led.end().await;
    });
}

/// S7, S10: what the strategy opted in to is done for each account by its own limits: the strategy's
/// quantity where the payload says none, the limit for one order where that is over it. No exit is cut, a
/// repeated signal opens nothing more, and a replay finds the same.
#[test]
fn s10_each_account_is_clamped_by_its_own_limit() {
    simulate(async || {
        let led = Led::with(321, |new| new.sizing = Some(Sizing::Payload)).await;
        led.limit(1, "1").await;
        let unusable = Some(Code::SizingUnusableQuantity);
        assert_eq!(codes(&led.send("BUY", "a").await), [unusable; 3]);
        let sized = |id: &str| json!({"action": "BUY", "id": id, "quantity": "2"});
        let change = |changes: StrategyChanges| {
            let if_match = IfMatch::default();
            Command::StrategyChange(Change { id: led.strategy.clone(), changes, if_match })
        };
        let falls_back =
            StrategyChanges { quantity_fallback: Some(true), ..StrategyChanges::default() };
        led.h.command(change(falls_back)).await;
        let over = Some(Code::RiskMaxOrderQuantity);
        let mut dry = sized("dry");
        dry["dry_run"] = json!(true);
        assert_eq!(codes(&led.h.send(&led.hook, &dry).await.answer()), [None, over, None]);
        let clamps = StrategyChanges { quantity_clamp: Some(true), ..StrategyChanges::default() };
        led.h.command(change(clamps)).await;

        let reply = led.send("BUY", "b").await;
        assert_eq!(codes(&reply), [None; 3], "{reply:?}");
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "1", "2"]);
        let show = |name: &str| {
            let asked = json!({"command": name, "id": reply.signal_id});
            serde_json::from_value(asked).unwrap()
        };
        let of = |shown: &Value| {
            let checks = shown["checks"].as_array().unwrap().clone();
            let sizing = |check: &Value| check["name"].as_str().unwrap().starts_with("sizing.");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            checks
                .iter()
                .filter(|check| sizing(check))
                .map(|check| (text(&check["name"]), text(&check["input"]), text(&check["limit"])))
                .collect::<Vec<_>>()
        };
        let line = |name: &str, input: &str, limit: &str| {
            (name.to_owned(), input.to_owned(), limit.to_owned())
        };
        let none = "quantity: the strategy sizes by the payload, which has none";
        let fallback = line("sizing.fallback", none, "2");
        let clamp = line("sizing.clamp", "2", "1");
        let told = [fallback.clone(), fallback.clone(), clamp, fallback];
        assert_eq!(of(&led.h.command(show("signal-show")).await), told);
        // The same again is the first one, whatever is allowed by now.
        led.limit(1, "2").await;
        assert_eq!(led.send("BUY", "b").await.signal_id, reply.signal_id);
        led.limit(1, "1").await;
        led.limit(0, "1").await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "1", "2"]);
        accept(&led.h, &led.hook, &signal("EXIT", "c")).await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["0", "0", "0"], "an exit is not cut");
        let again = led.h.command(show("signal-replay")).await;
        assert_eq!(of(&again).iter().filter(|(name, ..)| name == "sizing.clamp").count(), 2);

        // What cannot be cut to an order is refused, and so is what another limit stops.
        led.limit(1, "0.5").await;
        let scope = format!("account:{}", led.accounts[2]);
        led.h.limit(&scope, "max_position", "1").await;
        let reply = led.h.send(&led.hook, &sized("d")).await.answer();
        assert_eq!(codes(&reply), [None, over, Some(Code::RiskMaxPosition)], "{reply:?}");
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["1", "0", "0"]);
        led.end().await;
    });
}

/// S3, S10: an account that holds something is not taken away from its strategy, nor named twice.
#[test]
fn s10_followers_change_while_they_hold_nothing() {
    simulate(async || {
        let led = Led::with(315, |_| {}).await;
        let change = |followers: &[&String]| {
            let followers = Some(followers.iter().map(|id| (*id).clone()).collect());
            let changes = StrategyChanges { followers, ..StrategyChanges::default() };
            let if_match = IfMatch::default();
            Command::StrategyChange(Change { id: led.strategy.clone(), changes, if_match })
        };
        let [leader, second, third] = &led.accounts;
        let refused = led.h.try_command(change(&[second, leader])).await.unwrap();
        assert!(refused.is_err(), "{refused:?}");
        led.send("BUY", "a").await;
        led.h.elapse(millis(500)).await;
        let refused = led.h.try_command(change(&[second])).await.unwrap().unwrap_err();
        assert!(refused.to_string().contains("holds"), "{refused}");
        led.send("EXIT", "b").await;
        led.h.quiet().await;
        let view = led.h.command(change(&[third])).await;
        assert_eq!(view["followers"], json!([third]));
        let reply = led.send("BUY", "c").await;
        assert_eq!(codes(&reply), [None, None]);
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["2", "0", "2"]);
        led.end().await;
    });
}

/// S10, S24: the leader is flat, and the exit of an account that is not is refused: that is told.
#[test]
fn s10_a_followers_refused_exit_is_told_though_the_leader_is_flat() {
    simulate(async || {
        let led = Led::with(316, |_| {}).await;
        led.limit(0, "1").await;
        led.send("BUY", "a").await;
        led.h.quiet().await;
        assert_eq!(led.positions().await, ["0", "2", "2"]);
        for account in &led.accounts[1..] {
            led.h.halt(Some(&format!("account:{account}")), "block").await;
        }
        let reply = led.send("EXIT", "b").await;
        assert_eq!(reply.status, SignalStatus::Skipped, "{reply:?}");
        let findings = led.h.findings().await;
        for account in &led.accounts[1..] {
            let subject = format!("{account} ES {}", led.strategy);
            let told = findings.iter().find(|found| found.subject == subject).unwrap();
            assert_eq!((told.code.as_str(), told.severity.as_str()), ("halt.active", "critical"));
        }
        led.end().await;
    });
}

/// S10, S24: an exit that one account refuses while the others close is told once, as what it is.
#[test]
fn s24_a_mixed_refused_exit_is_told_once() {
    simulate(async || {
        let led = Led::with(317, |_| {}).await;
        accept(&led.h, &led.hook, &signal("BUY", "a")).await;
        led.h.quiet().await;
        led.h.halt(Some(&format!("account:{}", led.accounts[1])), "block").await;
        let before = led.h.findings().await.len();
        let reply = led.send("EXIT", "b").await;
        assert_eq!(codes(&reply), [None, Some(Code::HaltActive), None]);
        led.h.quiet().await;
        let findings = led.h.findings().await;
        let told: Vec<_> =
            findings.iter().map(|found| (found.code.as_str(), found.severity.as_str())).collect();
        assert_eq!(findings.len(), before + 1, "{told:?}");
        assert!(told.contains(&("halt.active", "critical")), "{told:?}");
        led.end().await;
    });
}

/// S5, S24: a signal against what is held is an exit there. Refused on one account, it is told once, though
/// it has no word of an exit.
#[test]
fn s24_a_refused_opposite_signal_is_told_once() {
    simulate(async || {
        let led = Led::with(318, |_| {}).await;
        accept(&led.h, &led.hook, &signal("BUY", "a")).await;
        led.h.quiet().await;
        led.h.halt(Some(&format!("account:{}", led.accounts[1])), "block").await;
        let before = led.h.findings().await.len();
        let reply = led.send("SELL", "b").await;
        assert_eq!(codes(&reply), [None, Some(Code::HaltActive), None]);
        led.h.quiet().await;
        let findings = led.h.findings().await;
        let told: Vec<_> =
            findings.iter().map(|found| (found.code.as_str(), found.severity.as_str())).collect();
        assert_eq!(findings.len(), before + 1, "{told:?}");
        assert!(told.contains(&("halt.active", "critical")), "{told:?}");
        led.end().await;
    });
}

/// S24: what is only judged, a dry run or a replay, swallows no warning of what trades.
#[test]
fn s24_a_dry_run_swallows_no_warning() {
    simulate(async || {
        let led = Led::with(319, |_| {}).await;
        led.limit(0, "1").await;
        let mut dry = signal("BUY", "a");
        dry["dry_run"] = json!(true);
        let reply = led.h.send(&led.hook, &dry).await.answer();
        assert_eq!(reply.status, SignalStatus::DryRun);
        assert_eq!(codes(&reply), [Some(Code::RiskMaxOrderQuantity), None, None]);
        let replay = json!({"command": "signal-replay", "id": reply.signal_id});
        led.h.command(serde_json::from_value(replay).unwrap()).await;
        assert_eq!(led.h.findings().await.len(), 0);
        led.send("BUY", "b").await;
        led.h.quiet().await;
        let findings = led.h.findings().await;
        let told: Vec<_> = findings.iter().map(|found| found.code.as_str()).collect();
        assert_eq!(told, ["strategy.mixed_result"], "{findings:?}");
        led.end().await;
    });
}

/// S16, S24: a sender whose clock is ahead is told of for what trades, though a dry run told it first.
#[test]
fn s24_a_dry_run_is_told_by_itself() {
    simulate(async || {
        let led = Led::with(320, |_| {}).await;
        let send = async |id: &str, dry_run: bool| {
            let mut body = signal("EXIT", id);
            let ahead = led.h.now().plus(std::time::Duration::from_mins(1));
            body["timenow"] = json!(ahead.to_string());
            body["dry_run"] = json!(dry_run);
            led.h.send(&led.hook, &body).await.answer()
        };
        for (id, dry_run, told) in
            [("a", true, 1), ("b", true, 1), ("c", false, 2), ("d", false, 2), ("e", true, 2)]
        {
            send(id, dry_run).await;
            let findings = led.h.findings().await;
            let ahead = findings.iter().filter(|found| found.code == "signal.sent_ahead").count();
            assert_eq!(ahead, told, "{id}: {findings:?}");
        }
        led.end().await;
    });
}
