//! How many halts a caller engages, what the same one once more is, and who ends one.

use super::four_eyes::{confirm, somebody, switch_on, with_factor};
use super::*;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::engine::{Hook, signal, strategy};

fn halt(scope: &str, mode: &str) -> Value {
    json!({ "command": "halt-engage", "scope": scope, "mode": mode })
}

async fn engaged(harness: &Harness) -> usize {
    let halts = harness.command(Command::HaltStatus).await;
    halts["items"].as_array().unwrap().len()
}

/// S20: the same halt by the same caller is the halt that is there, as long as it is there; another
/// caller's, and one that goes further, is another one.
#[test]
fn s20_the_same_halt_once_more_is_the_same_halt() {
    simulate(async || {
        let harness = with_owner(71).await;
        let (ann, _) = strong(&harness).await;
        let first = carry_out(&harness, halt("org", "block"), &ann).await.unwrap();
        let again = carry_out(&harness, halt("org", "block"), &ann).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(engaged(&harness).await, 1);
        let mut wider = halt("org", "cancel");
        carry_out(&harness, wider.clone(), &ann).await.unwrap();
        wider["include_protective"] = json!(true);
        carry_out(&harness, wider, &ann).await.unwrap();
        let org = format!("org:{}", harness.org().await);
        harness.halt(Some(&org), "block").await;
        assert_eq!(engaged(&harness).await, 4);

        harness.elapse(Duration::from_secs(61)).await;
        let resume = json!({ "command": "halt-resume", "id": first["id"] });
        carry_out(&harness, resume, &ann).await.unwrap();
        let anew = carry_out(&harness, halt("org", "block"), &ann).await.unwrap();
        assert_ne!(anew["id"], first["id"], "what was ended is engaged anew");
        assert_eq!(engaged(&harness).await, 4);
        harness.finish().await;
    });
}

/// S20: halts of single things are bounded for each caller, and nobody is kept from stopping an account,
/// the organization, or what somebody else would stop.
#[test]
fn s20_halts_of_single_things_are_bounded() {
    simulate(async || {
        let harness = with_owner(72).await;
        let (ann, _) = strong(&harness).await;
        let account = harness.account("one").await;
        for number in 0..500 {
            let one = halt(&format!("instrument:S{number}"), "block");
            carry_out(&harness, one, &ann).await.unwrap();
        }
        let over = carry_out(&harness, halt("instrument:S500", "block"), &ann).await;
        assert!(matches!(over, Err(CommandError::Invalid { field: "scope", .. })), "{over:?}");
        carry_out(&harness, halt("instrument:S7", "block"), &ann).await.unwrap();
        assert_eq!(engaged(&harness).await, 500);
        for scope in ["org".to_owned(), format!("account:{account}")] {
            carry_out(&harness, halt(&scope, "cancel"), &ann).await.unwrap();
        }
        harness.halt(Some("instrument:S500"), "block").await;
        assert_eq!(engaged(&harness).await, 503);
        harness.finish().await;
    });
}

/// A halt of everything under four eyes, and a strategy that it stops.
struct Stopped {
    harness: Harness,
    hook: Hook,
    halt: Value,
}

impl Stopped {
    async fn by(harness: Harness, person: &Actor) -> Self {
        harness.ready().await;
        let account = harness.account("main").await;
        let hook = harness.webhook("tv", 100).await;
        harness.strategy(strategy("es", &hook, &account, "ES", "1")).await;
        harness.sane_limits().await;
        switch_on(&harness, "four_eyes.halt_resume").await;
        let halt = carry_out(&harness, halt("org", "block"), person).await.unwrap();
        let stopped = Self { harness, hook, halt };
        stopped.entry_is_refused().await;
        stopped
    }

    /// Asks for the end; it waits.
    async fn ask_for_the_end(&self, person: &Actor) -> Value {
        let resume = json!({ "command": "halt-resume", "id": self.halt["id"] });
        let waiting = carry_out(&self.harness, resume, person).await.unwrap();
        assert_eq!(waiting["status"], "pending", "{waiting}");
        confirm(&waiting)
    }

    async fn entry_is_refused(&self) {
        let reply = self.harness.send(&self.hook, &signal("BUY", "early")).await.answer();
        assert_eq!(reply.code, Some(Code::HaltActive), "{reply:?}");
        assert_eq!(engaged(&self.harness).await, 1);
    }

    /// What ended it is told, it is in force no more, and an entry passes.
    async fn has_ended(self, done: &Value, by: &str) {
        let Self { harness, hook, halt } = self;
        assert_eq!((&done["status"], &done["result"]["id"]), (&json!("confirmed"), &halt["id"]));
        assert_eq!(done["result"]["resumed_by"], by, "{done}");
        assert_eq!(engaged(&harness).await, 0);
        let show = json!({ "command": "halt-show", "id": halt["id"] });
        let shown = harness.command(serde_json::from_value(show).unwrap()).await;
        assert_eq!(shown["resumed_at"], done["result"]["resumed_at"], "{shown}");
        let reply = harness.send(&hook, &signal("BUY", "late")).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        harness.quiet().await;
        assert_eq!(harness.broker.sent().len(), 1);
        harness.finish().await;
    }
}

/// S20: under four eyes another person with a fresh factor ends a halt, once its hold is over.
#[test]
fn s20_a_halt_is_ended_by_two() {
    const EVE: &str = "eve@example.com";
    simulate(async || {
        let harness = with_owner(73).await;
        let (ann, _) = strong(&harness).await;
        let (_, secret) = somebody(&harness, EVE, "risk_officer").await;
        let (_, viewers) = somebody(&harness, "vic@example.com", "viewer").await;
        let stopped = Stopped::by(harness, &ann).await;
        let harness = &stopped.harness;
        let asked = stopped.ask_for_the_end(&ann).await;
        let eve = with_factor(harness, EVE, &secret).await;
        let vic = with_factor(harness, "vic@example.com", &viewers).await;
        assert_eq!(code(carry_out(harness, asked.clone(), &eve).await), Code::HaltHold);
        harness.elapse(Duration::from_secs(61)).await;
        for (person, no) in [(&ann, Code::AuthSecondPerson), (&vic, Code::AuthPermission)] {
            assert_eq!(code(carry_out(harness, asked.clone(), person).await), no);
        }
        harness.elapse(Duration::from_mins(5)).await;
        assert_eq!(code(carry_out(harness, asked.clone(), &eve).await), Code::AuthStepUp);
        stopped.entry_is_refused().await;
        let eve = with_factor(harness, EVE, &secret).await;
        let done = carry_out(harness, asked, &eve).await.unwrap();
        stopped.has_ended(&done, &ann.name()).await;
    });
}

/// S20: where there is nobody else, ten minutes and a fresh factor stand in for the second person.
#[test]
fn s20_a_halt_is_ended_alone_after_ten_minutes() {
    simulate(async || {
        let harness = with_owner(74).await;
        let (ann, secret) = strong(&harness).await;
        let stopped = Stopped::by(harness, &ann).await;
        let harness = &stopped.harness;
        let asked = stopped.ask_for_the_end(&ann).await;
        assert_eq!(code(carry_out(harness, asked.clone(), &ann).await), Code::AuthSecondPerson);
        harness.clock.advance(Duration::from_secs(590));
        let fresh = with_factor(harness, EMAIL, &secret).await;
        assert_eq!(code(carry_out(harness, asked.clone(), &fresh).await), Code::AuthSecondPerson);
        harness.elapse(Duration::from_secs(10)).await;
        assert_eq!(code(carry_out(harness, asked.clone(), &ann).await), Code::AuthStepUp);
        stopped.entry_is_refused().await;
        let done = carry_out(harness, asked, &fresh).await.unwrap();
        stopped.has_ended(&done, &ann.name()).await;
    });
}
