//! Lockdown: what is done in which order, what people are asked, and what still passes.

use super::{Small, keys, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::OrderState;
use tradewarden_domain::order::OrderState::{Canceled, Filled, Working};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::command::{Command, CommandError};
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, signal, simulate};
use tradewarden_testkit::life::Death;

const BROKER_KEY: &str = "INSERT INTO data_keys SELECT org_id, 'broker', version, wrapped, created_at, key_id \
                          FROM data_keys WHERE purpose = 'intake'";

fn command(value: Value) -> Command {
    serde_json::from_value(value).unwrap()
}

fn refused(outcome: Result<Value, CommandError>) -> Code {
    match outcome {
        Err(CommandError::Refused { code, .. }) => code,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

impl Small {
    async fn lock_down(&self) -> Value {
        self.h
            .command(command(json!({"command": "lockdown-engage", "reason": "a lost phone"})))
            .await
    }

    async fn lockdown(&self) -> Value {
        self.h.command(Command::LockdownStatus).await
    }

    async fn answer(&self, positions: &str) -> Value {
        let answer = json!({"command": "lockdown-answer", "positions": positions});
        self.h.command(command(answer)).await
    }

    /// The outcome of a command that is carried out or refused.
    async fn tried(&self, value: Value) -> Result<Value, CommandError> {
        self.h.try_command(command(value)).await.unwrap()
    }

    async fn comes_to(&self, step: &str) {
        self.h.until(step, async |_: &Harness| self.lockdown().await["step"] == step).await;
    }

    /// What the log says of these events from a place on, in its order.
    async fn logged(&self, from: u64, events: &[&str]) -> Vec<(String, Value)> {
        self.h.elapse(millis(400)).await;
        let entries = self.h.log(from).await;
        let read = entries.iter().map(|entry| {
            let leaf: Value = serde_json::from_str(&entry.leaf).unwrap();
            let payload: Value = serde_json::from_str(&entry.payload).unwrap();
            (leaf["event"].as_str().unwrap().to_owned(), payload)
        });
        read.filter(|(event, _)| events.contains(&event.as_str())).collect()
    }

    async fn has_broker_key(&self) -> bool {
        let org = self.h.org().await;
        !tradewarden_store::keys::of(self.h.store(), org, "broker").await.unwrap().is_empty()
    }
}

/// What a lockdown does, in the words of the log.
const DEEDS: &[&str] = &[
    "halt.engaged",
    "lockdown.engaged",
    "lockdown.step_done",
    "key.revoked",
    "order.cancel_requested",
    "webhook.rotated",
    "lockdown.confirmed",
    "strategy.changed",
    "account.changed",
];

fn in_words((event, payload): &(String, Value)) -> String {
    match payload["step"].as_str() {
        Some(step) => format!("{event} {step}"),
        None => event.clone(),
    }
}

/// S21: halt, sessions and keys, cancels, the question, secrets, the confirmation, the brokers: as
/// the log has it, and as the broker was told.
#[test]
fn s21_the_steps_are_done_in_the_order_of_the_rule() {
    simulate(async || {
        let s = Small::trading(401).await;
        keys::key(&s.h, json!({})).await;
        s.h.sabotage_soon(BROKER_KEY).await;
        s.h.elapse(millis(400)).await;
        let (from, sent) = (s.h.log_size().await, s.h.broker.records().len());
        let engaged = s.lock_down().await;
        assert_eq!((&engaged["in_force"], &engaged["step"]), (&json!(true), &json!("cancel")));
        s.comes_to("ask").await;
        let asked_at = s.h.now();
        s.h.elapse(Duration::from_secs(30)).await;
        s.comes_to("confirm").await;
        let waited = s.h.now().since(asked_at);
        assert!((Duration::from_secs(58)..Duration::from_secs(62)).contains(&waited), "{waited:?}");
        let shown = s.lockdown().await;
        assert_eq!(shown["positions"], "keep", "nobody answered: {shown}");
        assert_eq!((shown.get("answered_by"), shown.get("answer_until")), (None, None));
        assert_eq!(shown["open_positions"].as_array().unwrap().len(), 1, "{shown}");
        let open = &shown["open_positions"][0];
        assert_eq!((&open["quantity"], &open["broker_quantity"]), (&json!("2"), &json!("2")));
        let steps: Vec<_> = shown["steps"].as_array().unwrap().iter().collect();
        let counts: Vec<_> = steps
            .iter()
            .map(|step| (step["step"].as_str().unwrap(), step["done"].as_u64()))
            .collect();
        let expected = [
            ("halt", 1),
            ("end_access", 1),
            ("cancel", 1),
            ("ask", 0),
            ("rotate", 1),
            ("confirm", 0),
        ];
        assert_eq!(counts[..5], expected.map(|(step, done)| (step, Some(done)))[..5], "{shown}");

        // However long it takes: nothing is erased before somebody has confirmed the list.
        s.h.elapse(Duration::from_mins(30)).await;
        assert_eq!(s.lockdown().await["step"], "confirm");
        assert!(s.has_broker_key().await);
        let phrase = shown["phrase"].as_str().unwrap();
        assert!(phrase.starts_with("disconnect with 1 open position "), "{phrase}");
        let wrong = json!({"command": "lockdown-confirm", "phrase": "disconnect"});
        assert_eq!(refused(s.tried(wrong).await), Code::LockdownPhrase);
        let right = json!({"command": "lockdown-confirm", "phrase": phrase});
        let done = s.tried(right).await.unwrap();
        assert_eq!(done["step"], "done", "{done}");
        assert!(!s.has_broker_key().await);

        let told: Vec<_> = s.logged(from, DEEDS).await.iter().map(in_words).collect();
        assert_eq!(
            told,
            [
                "halt.engaged",
                "lockdown.engaged",
                "lockdown.step_done halt",
                "key.revoked",
                "lockdown.step_done end_access",
                "order.cancel_requested",
                "lockdown.step_done cancel",
                "lockdown.step_done ask",
                "webhook.rotated",
                "lockdown.step_done rotate",
                "lockdown.confirmed",
                "lockdown.step_done confirm",
                "strategy.changed",
                "account.changed",
                "lockdown.step_done erase",
            ]
        );
        let orders = s.h.orders().await;
        let entry = orders[1].client_order_id().clone();
        let canceled: Vec<_> = s.h.broker.records()[sent..]
            .iter()
            .filter(|record| record.call == Call::Cancel)
            .map(|record| record.client_order_id.clone().unwrap())
            .collect();
        assert_eq!(canceled, [entry], "what protects is not asked back");
        assert_eq!(s.states().await, [Filled, Canceled, Working]);
        assert_eq!(s.position().await, "2");
        s.end().await;
    });
}

/// S21: a broker that does not answer is waited for 10 s, told of, and asked until it has.
#[test]
fn s21_a_silent_broker_holds_nothing_up() {
    simulate(async || {
        let s = Small::trading(402).await;
        s.h.broker.next_faults(Call::Cancel, &[Fault::Away(Duration::from_secs(30))]);
        s.lock_down().await;
        s.h.elapse(millis(9_500)).await;
        assert_eq!(s.lockdown().await["step"], "cancel");
        s.h.elapse(millis(1_000)).await;
        let shown = s.lockdown().await;
        assert_eq!(shown["step"], "ask", "{shown}");
        assert_eq!(shown["steps"][2]["failed"], 1, "{shown}");
        let findings = s.h.findings().await;
        let silent = findings.iter().find(|found| found.code == "lockdown.cancel_unheard").unwrap();
        assert_eq!((silent.severity.as_str(), silent.subject.as_str()), ("critical", "paper"));
        let alerts = s.h.command(command(json!({"command": "alert-list"}))).await;
        let codes: Vec<_> =
            alerts["items"].as_array().unwrap().iter().map(|alert| alert["code"].clone()).collect();
        for code in ["lockdown.engaged", "lockdown.cancel_unheard", "lockdown.answer_wanted"] {
            assert!(codes.contains(&json!(code)), "{code}: {codes:?}");
        }
        s.h.elapse(Duration::from_secs(40)).await;
        assert_eq!(s.order(1).await.state, OrderState::Canceled, "it is asked back until it is");
        s.end().await;
    });
}

/// S21: somebody says flatten, also before the question: what is held is closed.
#[test]
fn s21_flatten_closes_what_is_held() {
    simulate(async || {
        let s = Small::trading(403).await;
        s.lock_down().await;
        s.h.broker.usual_plan(FillPlan::After(millis(300)));
        let said = s.answer("flatten").await;
        assert_eq!(
            (&said["positions"], &said["answered_by"]),
            (&json!("flatten"), &json!("operator"))
        );
        let twice = s.tried(json!({"command": "lockdown-answer", "positions": "keep"})).await;
        assert_eq!(refused(twice), Code::LockdownStep);
        s.comes_to("confirm").await;
        s.h.until("flat", async |_: &Harness| s.held() == 0).await;
        s.h.elapse(millis(2_000)).await;
        assert_eq!(s.position().await, "0");
        let shown = s.lockdown().await;
        let phrase = shown["phrase"].as_str().unwrap();
        assert!(phrase.starts_with("disconnect with 0 open positions "), "{phrase}");
        let halts = s.h.command(Command::HaltStatus).await;
        let modes: Vec<_> =
            halts["items"].as_array().unwrap().iter().map(|halt| halt["mode"].clone()).collect();
        assert_eq!(modes, ["reduce_only", "flatten"]);
        s.end().await;
    });
}

/// S21: the phrase belongs to one list; what has changed since has to be read anew.
#[test]
fn s21_another_list_has_another_phrase() {
    simulate(async || {
        let s = Small::trading(404).await;
        s.lock_down().await;
        s.answer("keep").await;
        s.comes_to("confirm").await;
        let phrase = s.lockdown().await["phrase"].as_str().unwrap().to_owned();
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "BTCUSD", "1".parse().unwrap());
        let old = json!({"command": "lockdown-confirm", "phrase": phrase});
        assert_eq!(refused(s.tried(old).await), Code::LockdownPhrase);
        let shown = s.lockdown().await;
        let open = shown["open_positions"].as_array().unwrap();
        let held: Vec<_> = open.iter().map(|p| (&p["symbol"], &p["broker_quantity"])).collect();
        assert_eq!(held, [(&json!("BTCUSD"), &json!("1")), (&json!("ES"), &json!("2"))]);
        let new = json!({"command": "lockdown-confirm", "phrase": shown["phrase"]});
        assert_eq!(s.tried(new).await.unwrap()["step"], "done");
        s.h.finish().await;
    });
}

/// S18, S21: what only reduces passes during a lockdown, what adds risk does not, and what was known
/// of a webhook is worth nothing after it.
#[test]
fn s21_exits_pass_and_entries_do_not() {
    simulate(async || {
        let s = Small::with(405, Venue::default(), |new| new.pyramiding = Some(Pyramiding::Allow))
            .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.lock_down().await;
        s.comes_to("ask").await;
        assert_eq!(s.send("BUY", "b").await.code, Some(Code::HaltActive));
        let half = json!({"action": "SELL", "comment": "EXIT_50", "id": "half"});
        let half = s.h.send(&s.hook, &half).await.answer();
        assert_eq!(half.code, None, "{half:?}");
        s.h.elapse(millis(500)).await;
        assert_eq!(s.position().await, "1");
        s.answer("keep").await;
        s.comes_to("confirm").await;
        let heard = s.h.send(&s.hook, &signal("EXIT", "c")).await;
        assert_eq!(heard, Heard::Unauthenticated, "the old secret is void at once");
        let close = json!({"command": "position-close", "account": s.account, "symbol": "ES"});
        s.tried(close).await.unwrap();
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "a person closes");
        s.end().await;
    });
}

/// S21: while it is in force nothing is changed that lets more be done; what stops and tightens is.
/// Its end gives that back, and no halt.
#[test]
fn s21_changes_are_frozen_until_it_ends() {
    simulate(async || {
        let s = Small::with(406, Venue::default(), |_| {}).await;
        let halt =
            s.lock_down().await["left"].as_array().unwrap().last().unwrap()["command"].clone();
        let halt = halt.as_str().unwrap().split(' ').next_back().unwrap().to_owned();
        let looser = json!({
            "command": "limit-set", "scope": "org", "name": "max_position", "value": "21",
        });
        let tighter = json!({
            "command": "limit-set", "scope": "org", "name": "max_position", "value": "19",
        });
        for frozen in [
            json!({"command": "webhook-create", "name": "other"}),
            json!({"command": "webhook-rotate", "id": s.hook.id}),
            json!({"command": "halt-resume", "id": halt}),
            json!({"command": "key-create", "name": "k", "algorithm": "hmac-sha256",
                   "scopes": ["orders:read"]}),
            json!({"command": "user-create", "email": "x@example.com", "role": "owner"}),
            json!({"command": "account-create", "broker": "paper", "name": "other"}),
            looser.clone(),
        ] {
            let tried = s.tried(frozen.clone()).await;
            assert_eq!(refused(tried), Code::LockdownActive, "{frozen}");
        }
        for passes in [
            tighter,
            json!({"command": "webhook-disable", "id": s.hook.id}),
            json!({"command": "halt-engage", "mode": "block"}),
            json!({"command": "order-cancel-all"}),
            json!({"command": "lockdown-engage", "reason": "test"}),
        ] {
            assert!(s.tried(passes.clone()).await.is_ok(), "{passes}");
        }
        assert_eq!(refused(s.tried(json!({"command": "lockdown-end"})).await), Code::LockdownStep);
        s.answer("keep").await;
        s.comes_to("confirm").await;
        // A false alarm ends before anything is erased.
        let ended = s.tried(json!({"command": "lockdown-end"})).await.unwrap();
        assert_eq!((&ended["in_force"], &ended["ended_by"]), (&json!(false), &json!("operator")));
        assert_eq!(refused(s.tried(json!({"command": "lockdown-end"})).await), Code::LockdownNone);
        let left: Vec<_> = ended["left"].as_array().unwrap().iter().map(|l| &l["what"]).collect();
        assert_eq!(left, ["people", "webhook", "keys", "halt"]);
        let rotated = json!({"command": "webhook-rotate", "id": s.hook.id, "overlap_s": 0});
        s.tried(rotated).await.unwrap();
        let left = s.lockdown().await["left"].clone();
        let left: Vec<_> = left.as_array().unwrap().iter().map(|l| l["what"].clone()).collect();
        assert_eq!(left, ["people", "keys", "halt"], "somebody has the webhook's secret now");
        assert!(s.tried(looser).await.is_ok());
        assert!(s.tried(json!({"command": "halt-resume", "id": halt})).await.is_ok());
        // The next one is another.
        let next = s.lock_down().await;
        assert_ne!(next["id"], ended["id"]);
        s.end().await;
    });
}

/// S21: what whoever finds out what happened is handed: what was open at the start, what ended, and the
/// log's own words with what opens them. Nothing in it lets anybody in.
#[test]
fn s21_a_bundle_tells_what_happened_and_no_secret() {
    simulate(async || {
        let s = Small::trading(409).await;
        let key = keys::key(&s.h, json!({})).await;
        let quiet = s.tried(json!({"command": "lockdown-bundle"})).await.unwrap();
        assert_eq!(
            (&quiet["lockdown"]["in_force"], &quiet["sessions"]),
            (&json!(false), &json!([]))
        );
        s.lock_down().await;
        s.answer("keep").await;
        s.comes_to("confirm").await;
        s.h.elapse(millis(400)).await;
        let bundle = s.tried(json!({"command": "lockdown-bundle"})).await.unwrap();
        let again = s.tried(json!({"command": "lockdown-bundle"})).await.unwrap();
        assert_eq!(bundle["entries"], again["entries"], "the same rows in the same order");
        let entries = bundle["entries"].as_array().unwrap();
        let of = |event: &str| {
            let is_it = |entry: &&Value| entry["leaf"].as_str().unwrap().contains(event);
            entries.iter().find(is_it).unwrap_or_else(|| panic!("no {event}"))
        };
        let engaged: Value =
            serde_json::from_str(of("lockdown.engaged")["payload"].as_str().unwrap()).unwrap();
        assert_eq!(engaged["positions"], json!([[s.account, "ES", "2"]]));
        assert_eq!(engaged["orders"].as_array().unwrap().len(), 2, "the entry and the stop");
        assert!(of("key.revoked")["index"].is_u64() && of("webhook.rotated")["salt"].is_string());
        assert_eq!(bundle["keys"][0]["key"]["state"], "revoked");
        let codes: Vec<_> =
            bundle["findings"].as_array().unwrap().iter().map(|found| &found["code"]).collect();
        assert!(codes.contains(&&json!("lockdown.engaged")), "{codes:?}");
        assert_eq!(
            (&bundle["entries_cut"], &bundle["findings_cut"]),
            (&json!(false), &json!(false))
        );
        let text = bundle.to_string();
        for secret in [key["secret"].as_str().unwrap(), s.hook.secret.as_str()] {
            assert!(!text.contains(secret), "a secret is in the bundle");
        }
        s.end().await;
    });
}

/// S21: without the database there is a halt, and the rest follows once it is asked for again.
#[test]
fn s21_without_a_database_it_is_a_halt() {
    simulate(async || {
        let s = Small::with(407, Venue::default(), |_| {}).await;
        let guard =
            "CREATE TRIGGER away BEFORE INSERT ON halts BEGIN SELECT RAISE(ABORT, 'away'); END;";
        s.h.sabotage_soon(guard).await;
        let tried = s.tried(json!({"command": "lockdown-engage", "reason": "test"})).await;
        assert!(matches!(tried, Err(CommandError::Unavailable { .. })), "{tried:?}");
        s.h.sabotage_soon("DROP TRIGGER away;").await;
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::HaltActive));
        assert_eq!(s.lock_down().await["in_force"], json!(true));
        s.end().await;
    });
}

/// A lockdown to its end, by somebody who asks again whenever the gateway dies.
struct Persistent {
    s: Small,
    second: Death,
}

impl Persistent {
    async fn new(seed: u64, death: Death, second: Death) -> Self {
        let mut s = Small::trading(seed).await;
        keys::key(&s.h, json!({})).await;
        s.h.stop().await;
        s.h.start(death).await;
        Self { s, second }
    }

    async fn revive(&mut self) {
        self.s.h.crash().await;
        let next = std::mem::replace(&mut self.second, Death::Never);
        self.s.h.start(next).await;
    }

    async fn insist(&mut self, value: Value) -> Result<Value, CommandError> {
        loop {
            match self.s.h.try_command(command(value.clone())).await {
                Some(outcome) => return outcome,
                None => self.revive().await,
            }
        }
    }

    async fn comes_to(&mut self, step: &str) -> Value {
        loop {
            let shown = self.insist(json!({"command": "lockdown-status"})).await.unwrap();
            if shown["step"] == step {
                return shown;
            }
            self.s.h.elapse(millis(50)).await;
        }
    }

    async fn locks_down(&mut self) {
        self.insist(json!({"command": "lockdown-engage", "reason": "test"})).await.unwrap();
        let answer = json!({"command": "lockdown-answer", "positions": "keep"});
        let said = self.insist(answer).await;
        assert!(said.is_ok() || refused(said) == Code::LockdownStep);
        let shown = self.comes_to("confirm").await;
        let confirm = json!({"command": "lockdown-confirm", "phrase": shown["phrase"]});
        let said = self.insist(confirm).await;
        assert!(said.is_ok() || refused(said) == Code::LockdownStep);
        let shown = self.comes_to("done").await;
        self.s.h.elapse(millis(1_500)).await;
        while !self.s.h.is_alive() {
            self.revive().await;
            self.s.h.elapse(millis(1_500)).await;
        }
        self.is_as_it_should_be(&shown).await;
    }

    async fn is_as_it_should_be(&self, shown: &Value) {
        let s = &self.s;
        let id: Id<id::Lockdown> = shown["id"].as_str().unwrap().parse().unwrap();
        let told = s.logged(0, &["lockdown.engaged", "lockdown.step_done"]).await;
        let mut told: Vec<_> = told.iter().map(in_words).collect();
        let steps = ["halt", "end_access", "cancel", "ask", "rotate", "confirm", "erase"];
        let mut expected = vec!["lockdown.engaged".to_owned()];
        expected.extend(steps.map(|step| format!("lockdown.step_done {step}")));
        // What two lives enter in one millisecond has no order of its own.
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "{id}");
        let once = ["key.revoked", "webhook.rotated", "strategy.changed", "account.changed"];
        for event in once {
            assert_eq!(s.logged(0, &[event]).await.len(), 1, "{event}");
        }
        for step in shown["steps"].as_array().unwrap() {
            assert!(step["done"].as_u64().unwrap() <= 2, "{shown}");
        }
        assert_eq!(s.states().await, [Filled, Canceled, Working]);
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));
    }
}

/// S21: the process dies at every commit of a lockdown, done or not, and once more while it recovers:
/// it goes on where it was, and nothing is done twice.
#[test]
fn s21_it_goes_on_after_a_crash_at_every_commit() {
    let commits = simulate(async || {
        let mut p = Persistent::new(408, Death::Never, Death::Never).await;
        let first = p.s.h.life().commits() + 1;
        p.locks_down().await;
        let last = p.s.h.life().commits();
        let wrote: Vec<_> = p.s.h.commits_that_wrote();
        p.s.end().await;
        let wrote: Vec<_> = wrote.into_iter().filter(|n| (first..=last).contains(n)).collect();
        assert!(wrote.len() > 12, "the scenario is too short: {wrote:?}");
        wrote
    });
    for number in commits {
        for death in [Death::BeforeCommit(number), Death::AfterCommit(number)] {
            println!("{death:?}");
            let second = if number % 3 == 0 { Death::AfterCommit(2) } else { Death::Never };
            simulate(async || {
                let mut p = Persistent::new(408, death, second).await;
                p.locks_down().await;
                p.s.end().await;
            });
        }
    }
}

/// A lockdown is not refused for its words, and a card's number in them is not kept.
#[test]
fn s21_a_reason_with_a_card_number_is_left_out() {
    simulate(async || {
        let s = Small::trading(411).await;
        let from = s.h.log_size().await;
        let engage = json!({"command": "lockdown-engage", "reason": "card 4111111111111111"});
        let engaged = s.h.command(command(engage)).await;
        assert_eq!(engaged["in_force"], true, "{engaged}");
        s.h.elapse(millis(400)).await;
        let mut kept = engaged.to_string();
        for entry in s.h.log(from).await {
            kept.push_str(&entry.payload);
        }
        let findings = s.h.findings().await;
        kept.extend(findings.into_iter().map(|found| found.detail));
        kept.push_str(&s.h.command(Command::HaltStatus).await.to_string());
        kept.push_str(&s.h.command(Command::LockdownBundle).await.to_string());
        assert!(!kept.contains("4111"), "{kept}");
        assert!(kept.contains("which is not kept"), "{kept}");
    });
}
