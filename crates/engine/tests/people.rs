//! People under simulation: time is in the test's hand, so that waits of hours take none.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

#[cfg(test)]
#[path = "people/behind.rs"]
mod behind;
#[cfg(test)]
#[path = "people/closed.rs"]
mod closed;
#[cfg(test)]
#[path = "people/four_eyes.rs"]
mod four_eyes;
#[cfg(test)]
#[path = "people/halts.rs"]
mod halts;
#[cfg(test)]
#[path = "people/hardened.rs"]
mod hardened;
#[cfg(test)]
#[path = "people/jumps.rs"]
mod jumps;
#[cfg(test)]
#[path = "people/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "people/lockdown.rs"]
mod lockdown;

use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tradewarden_domain::code::Code;
use tradewarden_domain::person::Profile;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::{NotAuthenticated, Shown};
use tradewarden_engine::command::{Command, CommandError, PolicySet};
use tradewarden_engine::people::{Ask, Client, Cookie, Entered, Login, Origin, Proof, Said};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, simulate};

const EMAIL: &str = "ann@example.com";
const PASSWORD: &str = "correct-zebra-battery-8841-staple";

fn from(last: u8) -> Client {
    Client {
        address: IpAddr::from([192, 0, 2, last]),
        user_agent: "test".to_owned(),
        origin: Origin::Unsaid,
        session: None,
    }
}

fn login(email: &str, password: &str, cookie: bool) -> Ask {
    Ask::Login(Login {
        email: email.to_owned(),
        password: Entered::new(password.to_owned()),
        cookie,
        org_id: None,
    })
}

async fn ask(
    harness: &Harness,
    ask: Ask,
    actor: Option<&Actor>,
    client: Client,
) -> Result<Said, CommandError> {
    let engine = harness.engine();
    harness.drive(async move { engine.converse(ask, actor, &client).await }).await.unwrap()
}

fn code<T: std::fmt::Debug>(outcome: Result<T, CommandError>) -> Code {
    match outcome {
        Err(CommandError::Refused { code, .. }) => code,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

async fn with_owner(seed: u64) -> Harness {
    let harness = Harness::sqlite(seed, Venue::default()).await;
    let new = json!({
        "command": "user-create", "email": EMAIL, "role": "owner", "password": PASSWORD,
    });
    harness.command(serde_json::from_value(new).unwrap()).await;
    harness
}

async fn try_from(harness: &Harness, last: u8, password: &str) -> Result<Said, CommandError> {
    ask(harness, login(EMAIL, password, false), None, from(last)).await
}

fn caller(harness: &Harness, name: &str, value: &str) -> Result<Actor, NotAuthenticated> {
    let headers = [(name, value.as_bytes())];
    let shown = Shown {
        method: "GET",
        target: "/api/v1/me",
        authority: "localhost",
        headers: &headers,
        body: b"",
        address: IpAddr::from([192, 0, 2, 1]),
        budget: Budget::Requests,
    };
    let engine = harness.engine();
    engine.caller(&shown)
}

/// Four failures are free; from the fifth on even the right password waits, and a success forgets
/// them all. Nobody else is held up.
#[test]
fn the_ladder_of_waits() {
    simulate(async || {
        let harness = with_owner(1).await;
        let wrong = "not-the-password-at-all";
        for round in 0..2 {
            for number in 0..4 {
                let outcome = try_from(&harness, 10 * round + number, wrong).await;
                assert_eq!(code(outcome), Code::Unauthenticated);
            }
            try_from(&harness, 100, PASSWORD).await.unwrap();
        }
        for (number, wait_s) in [(1, 0), (2, 0), (3, 0), (4, 0), (5, 30), (6, 60), (7, 120)] {
            let outcome = try_from(&harness, 20 + number, wrong).await;
            assert_eq!(code(outcome), Code::Unauthenticated);
            if wait_s > 0 {
                assert_eq!(
                    code(try_from(&harness, 30 + number, PASSWORD).await),
                    Code::Unauthenticated
                );
                harness.elapse(Duration::from_secs(wait_s - 1)).await;
                assert_eq!(
                    code(try_from(&harness, 40 + number, PASSWORD).await),
                    Code::Unauthenticated
                );
                harness.elapse(Duration::from_secs(2)).await;
            }
        }
        try_from(&harness, 100, PASSWORD).await.unwrap();
        harness.finish().await;
    });
}

/// After a hundred failures in a row the password is no way in any more; a new one is.
#[test]
fn a_hundred_failures_disable_a_password() {
    simulate(async || {
        let harness = with_owner(2).await;
        for number in 0..100 {
            let outcome = try_from(&harness, number, "not-the-password-at-all").await;
            assert_eq!(code(outcome), Code::Unauthenticated);
            harness.clock.advance(Duration::from_hours(1));
        }
        harness.clock.advance(Duration::from_hours(48));
        assert_eq!(code(try_from(&harness, 200, PASSWORD).await), Code::Unauthenticated);
        assert!(harness.has_finding("auth.lockout").await);
        assert!(harness.has_finding("auth.disabled").await);
        let reset = json!({ "command": "user-reset-password", "id": EMAIL });
        let token = harness.command(serde_json::from_value(reset).unwrap()).await;
        let body = json!({ "token": token["token"], "password": "a-Heron-wades-through-77-reeds" });
        let reset = Ask::PasswordReset(serde_json::from_value(body).unwrap());
        ask(&harness, reset, None, from(201)).await.unwrap();
        try_from(&harness, 202, "a-Heron-wades-through-77-reeds").await.unwrap();
        harness.finish().await;
    });
}

/// Whoever is named, the work is the same: one slow hash and one commit.
#[test]
fn wrong_answers_are_the_same_work() {
    simulate(async || {
        let harness = with_owner(3).await;
        let engine = harness.engine();
        let wrong = "not-the-password-at-all";
        for number in 0..5 {
            assert_eq!(code(try_from(&harness, number, wrong).await), Code::Unauthenticated);
        }
        // The first is locked by now.
        for (number, email, password) in [
            (20, EMAIL, PASSWORD),
            (21, EMAIL, wrong),
            (22, "nobody@example.com", wrong),
            (23, "no e-mail", wrong),
            (24, "\u{430}nn@example.com", PASSWORD),
        ] {
            // The same time once more would be the same row: nothing to write.
            harness.elapse(Duration::from_millis(1)).await;
            let (hashes, commits) = (engine.counts().password_hashes, harness.commits_that_wrote());
            let outcome = ask(&harness, login(email, password, false), None, from(number)).await;
            assert_eq!(code(outcome), Code::Unauthenticated);
            assert_eq!(engine.counts().password_hashes, hashes + 1, "{email}");
            assert!(harness.commits_that_wrote().len() > commits.len(), "{email}");
        }
        harness.finish().await;
    });
}

/// Ten thousand logins at once: a few are looked at, the rest are told to come again, and none is
/// kept.
#[test]
fn a_flood_of_logins_is_bounded() {
    simulate(async || {
        let harness = with_owner(4).await;
        let engine = harness.engine();
        let before = engine.counts().password_hashes;
        let answers = harness
            .drive(async move {
                let mut logins = JoinSet::new();
                for number in 0..10_000_u32 {
                    let engine = engine.clone();
                    let client = Client {
                        address: IpAddr::from((0x0a00_0000 + number).to_be_bytes()),
                        ..from(0)
                    };
                    logins.spawn_local(async move {
                        let ask = login("nobody@example.com", PASSWORD, false);
                        code(engine.converse(ask, None, &client).await)
                    });
                }
                logins.join_all().await
            })
            .await
            .unwrap();
        let busy = answers.iter().filter(|code| **code == Code::AuthBusy).count();
        let wrong = answers.iter().filter(|code| **code == Code::Unauthenticated).count();
        assert_eq!(busy + wrong, 10_000);
        let hashes = harness.engine().counts().password_hashes - before;
        // Two at once, 64 waiting, and one that was taken up as a place came free.
        assert!((1..=67).contains(&hashes), "{wrong} were looked at, {hashes} hashes");
        assert!(wrong <= 67, "{wrong} were looked at, {hashes} hashes");
        try_from(&harness, 1, PASSWORD).await.unwrap();
        harness.finish().await;
    });
}

fn cookie(said: Said) -> String {
    match said.cookie {
        Cookie::Set { token, .. } => format!("__Host-tw_sid={}", token.expose()),
        other => panic!("a cookie was expected, not {other:?}"),
    }
}

/// A browser's session ends an hour after its last request and a day after its first, also across a
/// restart; a token's after an hour and a half.
#[test]
fn sessions_end_by_the_clock() {
    simulate(async || {
        let mut harness = with_owner(5).await;
        let begin = async |harness: &Harness| {
            cookie(ask(harness, login(EMAIL, PASSWORD, true), None, from(1)).await.unwrap())
        };
        let idle = begin(&harness).await;
        let busy = begin(&harness).await;
        let token = try_from(&harness, 1, PASSWORD).await.unwrap().value;
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        harness.clock.advance(Duration::from_mins(59));
        caller(&harness, "cookie", &busy).unwrap();
        harness.clock.advance(Duration::from_mins(2));
        assert!(caller(&harness, "cookie", &idle).is_err(), "an hour without a request");
        caller(&harness, "cookie", &busy).unwrap();
        caller(&harness, "authorization", &bearer).unwrap();
        // When it was last seen is written once a minute.
        harness.elapse(Duration::from_secs(61)).await;
        harness.restart().await;
        caller(&harness, "cookie", &busy).unwrap();
        harness.clock.advance(Duration::from_mins(30));
        assert!(caller(&harness, "authorization", &bearer).is_err(), "90 minutes");
        for _ in 0..46 {
            caller(&harness, "cookie", &busy).ok();
            harness.clock.advance(Duration::from_mins(30));
        }
        assert!(caller(&harness, "cookie", &busy).is_err(), "a day");
        assert_eq!(Profile::Standard.lifetimes().console, Duration::from_hours(24));
        harness.finish().await;
    });
}

/// What was ended stays ended, whenever the process dies.
#[test]
fn an_ended_session_stays_ended_after_a_crash() {
    simulate(async || {
        let mut harness = with_owner(6).await;
        let token = try_from(&harness, 1, PASSWORD).await.unwrap().value;
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        let actor = caller(&harness, "authorization", &bearer).unwrap();
        ask(&harness, Ask::Logout, Some(&actor), from(1)).await.unwrap();
        assert!(caller(&harness, "authorization", &bearer).is_err());
        harness.restart().await;
        assert!(caller(&harness, "authorization", &bearer).is_err());
        harness.finish().await;
    });
}

/// The owner with an authenticator app, and its secret.
async fn strong(harness: &Harness) -> (Actor, String) {
    let begun = try_from(harness, 1, PASSWORD).await.unwrap().value;
    let bearer = format!("Bearer {}", begun["access_token"].as_str().unwrap());
    let weak = caller(harness, "authorization", &bearer).unwrap();
    let made = ask(harness, Ask::TotpBegin, Some(&weak), from(1)).await.unwrap().value;
    let code = code_now(harness, made["secret"].as_str().unwrap());
    let shown = serde_json::from_value(json!({ "code": code })).unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    ask(harness, Ask::TotpConfirm(id, shown), Some(&weak), from(1)).await.unwrap();
    let secret = made["secret"].as_str().unwrap().to_owned();
    (caller(harness, "authorization", &bearer).unwrap(), secret)
}

/// The code of this moment (RFC 6238), found as whoever guesses would: the engine knows only whether
/// it is right. Here by the engine's own arithmetic, which seal's tests hold against the RFC.
fn code_now(harness: &Harness, secret: &str) -> String {
    use tradewarden_seal::totp::TotpSecret;
    let secret = TotpSecret::from_bytes(base32(secret).into()).unwrap();
    let now = u64::try_from(harness.now().unix_seconds()).unwrap();
    (0..1_000_000)
        .map(|number| format!("{number:06}"))
        .find(|code| secret.matching_step(&code.clone().into(), now, 0).is_some())
        .unwrap()
}

fn base32(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bits = 0_u64;
    let mut count = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes() {
        let value = alphabet.iter().position(|known| *known == letter).unwrap();
        bits = bits << 5 | u64::try_from(value).unwrap();
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}

async fn carry_out(
    harness: &Harness,
    command: Value,
    actor: &Actor,
) -> Result<Value, CommandError> {
    let command: Command = serde_json::from_value(command).unwrap();
    let (engine, actor) = (harness.engine(), actor.clone());
    harness.drive(async move { engine.execute(command, &actor).await }).await.unwrap()
}

/// Resuming takes a fresh factor and a minute.
#[test]
fn a_halt_is_not_resumed_in_haste() {
    simulate(async || {
        let harness = with_owner(7).await;
        let (ann, _) = strong(&harness).await;
        let halt = harness.halt(None, "block").await;
        let resume = json!({ "command": "halt-resume", "id": halt });
        assert_eq!(code(carry_out(&harness, resume.clone(), &ann).await), Code::HaltHold);
        harness.elapse(Duration::from_secs(61)).await;
        let done = carry_out(&harness, resume.clone(), &ann).await.unwrap();
        assert_eq!(done["id"], halt.as_str());
        harness.finish().await;
    });
}

/// S19: a source that fails often waits; another one does not, and the person is not locked out.
#[test]
fn a_source_that_guesses_is_slowed() {
    simulate(async || {
        let harness = with_owner(8).await;
        for _ in 0..20 {
            let ask = ask(&harness, login("nobody@example.com", PASSWORD, false), None, from(1));
            assert_eq!(code(ask.await), Code::Unauthenticated);
        }
        let before = harness.now();
        try_from(&harness, 2, PASSWORD).await.unwrap();
        assert!(harness.now().since(before) < Duration::from_secs(1));
        for _ in 0..3 {
            try_from(&harness, 1, PASSWORD).await.unwrap();
        }
        assert!(harness.now().since(before) >= Duration::from_secs(2), "one a second");
        harness.finish().await;
    });
}

/// Wrong codes are counted like wrong passwords, and apart from them.
#[test]
fn wrong_codes_lock_codes() {
    simulate(async || {
        let harness = with_owner(9).await;
        let (ann, secret) = strong(&harness).await;
        let step_up = |code: &str| {
            let proof = json!({ "type": "totp", "code": code });
            Ask::StepUp(serde_json::from_value::<Proof>(proof).unwrap())
        };
        // The code that confirmed the app is used up.
        harness.elapse(Duration::from_secs(30)).await;
        let right = code_now(&harness, &secret);
        for _ in 0..5 {
            // Seven digits are never a code.
            let outcome = ask(&harness, step_up("0000000"), Some(&ann), from(1)).await;
            assert_eq!(code(outcome), Code::Unauthenticated);
        }
        let locked = ask(&harness, step_up(&right), Some(&ann), from(1)).await;
        assert_eq!(code(locked), Code::Unauthenticated);
        harness.elapse(Duration::from_secs(31)).await;
        let right = code_now(&harness, &secret);
        ask(&harness, step_up(&right), Some(&ann), from(1)).await.unwrap();
        let twice = ask(&harness, step_up(&right), Some(&ann), from(1)).await;
        assert_eq!(code(twice), Code::Unauthenticated);
        assert!(try_from(&harness, 1, PASSWORD).await.unwrap().value["factor_required"] == true);
        harness.finish().await;
    });
}
