//! The process dies at every commit and at every call of one scenario, in both forms, and is started
//! again. No acknowledged signal may be lost, none may count twice, and at the end all is flat.

use crate::witness::{Deep, HeardHalt, Witness};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::order::{Order, Purpose};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{ById, Command, CommandError, OrderChange};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_engine::once::OnceKey;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{
    Harness, Heard, Hook, Reply, halt_engage, signal, simulate, strategy,
};
use tradewarden_testkit::life::Death;

#[test]
fn before_every_commit() {
    for number in commits() {
        lives_through(Death::BeforeCommit(number));
    }
}

#[test]
fn after_every_commit() {
    for number in commits() {
        lives_through(Death::AfterCommit(number));
    }
}

#[test]
fn at_every_call_before_it_is_done() {
    for number in calls() {
        lives_through(Death::BeforeCall(number));
    }
}

#[test]
fn at_every_call_after_it_was_done() {
    for number in calls() {
        lives_through(Death::AfterCall(number));
    }
}

/// A second death while the first is being recovered from.
#[test]
fn twice() {
    let commits = commits();
    for (place, number) in commits.iter().enumerate().step_by(5) {
        let second = u64::try_from(place % 7).unwrap() + 1;
        lives_through_two(Death::AfterCommit(*number), Death::BeforeCommit(second));
    }
}

fn lives_through(death: Death) {
    lives_through_two(death, Death::Never);
}

fn lives_through_two(first: Death, second: Death) {
    println!("{first:?}, then {second:?}");
    simulate(async || {
        let mut sender = Sender::new(first, second).await;
        sender.scenario().await;
        sender.h.finish().await;
    });
}

/// The commits of the scenario that write something.
fn commits() -> Vec<u64> {
    simulate(async || {
        let mut sender = Sender::new(Death::Never, Death::Never).await;
        sender.scenario().await;
        let commits = sender.h.commits_that_wrote();
        sender.h.finish().await;
        assert!(commits.len() > 40, "the scenario is too short: {commits:?}");
        commits
    })
}

/// The calls of the scenario: all that are about an order, and of each kind of the others some.
fn calls() -> Vec<u64> {
    simulate(async || {
        let mut sender = Sender::new(Death::Never, Death::Never).await;
        sender.scenario().await;
        let life = sender.h.life().number;
        let records = sender.h.broker.records();
        let mut others = 0_u64;
        let mut chosen = Vec::new();
        for record in records.iter().filter(|record| record.life == life) {
            let about_an_order = record.client_order_id.is_some();
            others += u64::from(!about_an_order);
            if about_an_order || others.is_multiple_of(9) {
                chosen.push(record.number);
            }
        }
        for call in [
            Call::Place,
            Call::Replace,
            Call::Cancel,
            Call::Find,
            Call::FillsSince,
            Call::Positions,
        ] {
            assert!(records.iter().any(|record| record.call == call), "no {call:?}");
        }
        sender.h.finish().await;
        chosen
    })
}

/// Somebody who sends again until there is an answer.
struct Sender {
    h: Harness,
    hook: Hook,
    account: String,
    witness: Witness,
    second: Death,
}

impl Sender {
    async fn new(first: Death, second: Death) -> Self {
        let mut h = Harness::sqlite(7, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 100).await;
        let mut es = strategy("es", &hook, &account, "ES", "4");
        es.pyramiding = Some(Pyramiding::Allow);
        h.strategy(es).await;
        h.sane_limits().await;
        h.stop().await;
        h.start(first).await;
        let mut witness = Witness::default();
        witness.accounts = vec![account.clone()];
        witness.max_position = 20 * 100_000_000;
        Self { h, hook, account, witness, second }
    }

    async fn revive(&mut self) {
        self.h.crash().await;
        self.witness.check(&self.h, Deep::No).await;
        let next = std::mem::replace(&mut self.second, Death::Never);
        self.h.start(next).await;
    }

    async fn wait(&mut self, millis: u64) {
        self.h.elapse(Duration::from_millis(millis)).await;
        if !self.h.is_alive() {
            self.revive().await;
            self.h.elapse(Duration::from_millis(millis)).await;
            if !self.h.is_alive() {
                self.revive().await;
            }
        }
        self.witness.check(&self.h, Deep::No).await;
    }

    async fn send(&mut self, body: Value) -> Reply {
        for _ in 0..200 {
            let heard = self.h.send(&self.hook, &body).await;
            match heard {
                Heard::Answer(reply) => {
                    self.witness.heard(body["id"].as_str().map(str::to_owned), &reply);
                    return reply;
                }
                Heard::Silence => self.revive().await,
                other => panic!("{body} was answered {other:?}"),
            }
            while self.h.is_alive() && !self.h.engine().readiness().ready {
                self.h.elapse(Duration::from_millis(20)).await;
            }
        }
        panic!("{body} was never answered")
    }

    /// A command that is carried out exactly once, as a person would make sure of.
    async fn engage(&mut self) -> String {
        loop {
            let status = self.h.try_command(Command::HaltStatus).await;
            let Some(Ok(status)) = status else {
                self.revive().await;
                continue;
            };
            if let Some(halt) = status["items"].as_array().unwrap().first() {
                return halt["id"].as_str().unwrap().to_owned();
            }
            if self.h.try_command(halt_engage(Some("global"), "reduce_only")).await.is_none() {
                self.revive().await;
            }
        }
    }

    /// The live entry is changed, once, however often it has to be asked for.
    async fn change(&mut self, key: &str, quantity: &str) {
        let orders = self.h.orders().await;
        let is_live = |order: &&Order| order.state.is_live() && order.purpose == Purpose::Entry;
        let Some(order) = orders.iter().rev().find(is_live) else { return };
        let change = OrderChange {
            id: order.id.to_string(),
            quantity: Some(quantity.parse().unwrap()),
            limit_price: None,
            stop_price: None,
        };
        loop {
            while self.h.is_alive() && !self.h.engine().readiness().ready {
                self.h.elapse(Duration::from_millis(20)).await;
            }
            if !self.h.is_alive() {
                self.revive().await;
                continue;
            }
            let once = OnceKey::read(key, "PATCH", "/", quantity.as_bytes()).unwrap();
            let command = Command::OrderChange(change.clone());
            let (engine, actor) = (self.h.engine(), Actor::operator());
            let asked = async move { engine.perform(command, &actor, Some(once)).await };
            match self.h.drive(asked).await.map(|performed| performed.outcome) {
                None => self.revive().await,
                // The order has ended, or an earlier change of it is not known yet.
                Some(Ok(_) | Err(CommandError::Order(_))) => return,
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    async fn resume(&mut self, id: &str) {
        loop {
            let by = Command::HaltResume(ById { id: id.to_owned() });
            match self.h.try_command(by).await {
                None => self.revive().await,
                // Done, or done before the answer was lost.
                Some(_) => return,
            }
        }
    }

    async fn scenario(&mut self) {
        // Entry, and its duplicate.
        let first = self.send(signal("BUY", "entry")).await;
        let again = self.send(signal("BUY", "entry")).await;
        assert_eq!(first.signal_id, again.signal_id);
        self.wait(250).await;
        // Half of it, then all.
        self.send(json!({ "action": "SELL", "comment": "EXIT_50", "id": "half" })).await;
        self.wait(250).await;
        self.send(signal("EXIT", "full")).await;
        self.wait(250).await;
        // An opposite signal on an entry that is half filled.
        self.h.broker.next_plans(&[FillPlan::InTwo(Duration::from_millis(700)).into()]);
        self.send(signal("BUY", "slow")).await;
        self.wait(150).await;
        self.send(signal("SELL", "opposite")).await;
        self.wait(250).await;
        // An entry grows and shrinks while it waits to fill; the second answer is not heard.
        self.h.broker.next_plans(&[FillPlan::After(Duration::from_millis(1_600)).into()]);
        self.send(signal("BUY", "waiting")).await;
        self.wait(60).await;
        self.change("grow", "7").await;
        self.wait(60).await;
        self.h.broker.next_faults(Call::Replace, &[Fault::LostAfter]);
        self.change("shrink", "3").await;
        self.wait(1_000).await;
        self.send(signal("EXIT", "after the changes")).await;
        self.wait(250).await;
        // A halt, a refused entry, and what is held may still be closed.
        self.send(signal("BUY", "before the halt")).await;
        self.wait(100).await;
        let halt = self.engage().await;
        let heard = HeardHalt {
            scope: "global".parse().unwrap(),
            mode: "reduce_only".parse().unwrap(),
            from: self.h.now(),
            until: None,
        };
        self.witness.halts.insert(halt.clone(), heard);
        let refused = self.send(signal("BUY", "during the halt")).await;
        assert_eq!(refused.status, SignalStatus::Refused, "{refused:?}");
        self.send(signal("EXIT", "under the halt")).await;
        self.wait(150).await;
        self.witness.halts.get_mut(&halt).unwrap().until = Some(self.h.now());
        self.resume(&halt).await;
        // Answers that are not heard: once the broker has it, once it has not.
        self.h.broker.next_faults(Call::Place, &[Fault::LostAfter, Fault::LostBefore]);
        self.h.broker.next_plans(&[FillPlan::After(Duration::from_millis(2_500)).into()]);
        self.send(signal("BUY", "unheard")).await;
        self.wait(60).await;
        self.send(signal("BUY", "lost")).await;
        self.wait(3_000).await;
        self.send(signal("EXIT", "last")).await;
        self.rest().await;
    }

    async fn rest(&mut self) {
        loop {
            self.h.quiet().await;
            if self.h.is_alive() {
                break;
            }
            self.revive().await;
        }
        // What a dead gateway could not send in time may have expired; nothing else may be held.
        self.send(signal("EXIT", "once more")).await;
        loop {
            self.h.quiet().await;
            if self.h.is_alive() {
                break;
            }
            self.revive().await;
        }
        self.witness.check(&self.h, Deep::Yes).await;
        self.witness.check_quiet(&self.h).await;
        let position = self.h.position(&self.account, "ES").await;
        assert!(position.is_zero(), "{position} is left: {:#?}", self.h.orders().await);
        let mut asked = 0;
        for order in self.h.orders().await {
            let entries = self.h.entries(order.id.to_bytes()).await;
            asked += entries.iter().filter(|e| e.leaf.contains("order.change_requested")).count();
        }
        let left = self.h.broker.changes().len();
        assert!(left <= asked && asked <= 2, "{left} left, {asked} were asked for");
        for finding in self.h.findings().await {
            let known = ["dispatch.not_placed", "dispatch.expired"];
            assert!(known.contains(&finding.code.as_str()), "{finding:?}");
        }
    }
}
