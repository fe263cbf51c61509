//! Messages under simulation: time is in the test's hand, so that a day of tries takes none.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::message::Channel;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::Shown;
use tradewarden_engine::command::CommandError;
use tradewarden_engine::people::{Ask, Client, Origin, Said};
use tradewarden_messenger::Outcome;
use tradewarden_store::sessions;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, OPEN_FOR, simulate};
use tradewarden_testkit::life::Death;

const EMAIL: &str = "ann@example.com";
const PASSWORD: &str = "correct-zebra-battery-8841-staple";
const A_MOMENT: Duration = Duration::from_secs(2);

fn from(last: u8) -> Client {
    Client {
        address: IpAddr::from([192, 0, 2, last]),
        user_agent: "test".to_owned(),
        origin: Origin::Unsaid,
        session: None,
    }
}

/// A gateway with an owner that starts anew with mail switched on, and dies like this.
async fn with_owner(seed: u64, death: Death) -> Harness {
    let mut harness = Harness::sqlite(seed, Venue::default()).await;
    let new = json!({
        "command": "user-create", "email": EMAIL, "role": "owner", "password": PASSWORD,
    });
    harness.command(serde_json::from_value(new).unwrap()).await;
    harness.post.switch_on(&[Channel::Mail, Channel::Sms]);
    harness.crash().await;
    harness.start(death).await;
    harness
}

async fn ask(harness: &Harness, ask: Ask, last: u8) -> Option<Result<Said, CommandError>> {
    let engine = harness.engine();
    let client = from(last);
    harness.drive(async move { engine.converse(ask, None, &client).await }).await
}

async fn log_in(harness: &Harness, last: u8) -> Option<Result<Said, CommandError>> {
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    ask(harness, Ask::Login(serde_json::from_value(login).unwrap()), last).await
}

async fn ask_for_link(harness: &Harness, email: &str, last: u8) -> Result<Said, CommandError> {
    let reset = json!({ "email": email });
    let reset = Ask::PasswordReset(serde_json::from_value(reset).unwrap());
    ask(harness, reset, last).await.unwrap()
}

/// Turns the clock, and lets the gateway run a moment after that.
async fn pass(harness: &Harness, span: Duration) {
    harness.clock.advance(span);
    harness.elapse(Duration::from_secs(1)).await;
}

fn later() -> Outcome {
    Outcome::Later { reason: "the server could not be reached".to_owned(), wait: None }
}

/// While the key source is away and secrets are closed, wrong passwords are counted, and people hear of them.
#[test]
fn people_hear_while_secrets_are_closed() {
    simulate(async || {
        let harness = with_owner(8, Death::Never).await;
        harness.keys.go_away();
        harness.elapse(Duration::from_secs(10)).await;
        pass(&harness, OPEN_FOR).await;
        harness.elapse(Duration::from_secs(10)).await;
        let asked = json!({ "command": "vault", "verb": "status" });
        let status = harness.command(serde_json::from_value(asked).unwrap()).await;
        assert_eq!(status["secrets"], "closed", "{status}");
        harness.post.take();
        for last in 0..12 {
            let login = json!({ "email": EMAIL, "password": "not this one at all" });
            let login = Ask::Login(serde_json::from_value(login).unwrap());
            let refused = code(ask(&harness, login, last).await.unwrap());
            assert_eq!(refused, Code::Unauthenticated, "try {last}");
            pass(&harness, Duration::from_hours(2)).await;
        }
        let told: Vec<_> = harness.post.take().into_iter().map(|posted| posted.subject).collect();
        let wrong = "Tradewarden: Many wrong tries at your account";
        assert_eq!(told.iter().filter(|subject| *subject == wrong).count(), 1, "{told:?}");
        assert!(told.iter().any(|subject| subject.contains("not acknowledged")), "{told:?}");
        harness.keys.come_back();
        harness.elapse(Duration::from_secs(10)).await;
        log_in(&harness, 99).await.unwrap().unwrap();
        harness.finish().await;
    });
}

/// A server that is away for hours gets the mail when it is back, one try after each wait; what
/// nobody takes for a day is given up, and somebody is told.
#[test]
fn tries_go_on_for_a_day() {
    simulate(async || {
        let harness = with_owner(1, Death::Never).await;
        harness.post.answers([later(), later(), later(), later()]);
        log_in(&harness, 1).await.unwrap().unwrap();
        for (wait_s, tries) in [(0, 1), (5, 2), (70, 3), (340, 4), (2_000, 5), (3_600, 5)] {
            pass(&harness, Duration::from_secs(wait_s)).await;
            assert_eq!(harness.post.posted().len(), tries, "after {wait_s} s");
        }
        let posted = harness.post.take();
        let names: BTreeSet<_> = posted.iter().map(|posted| &posted.name).collect();
        assert_eq!((posted.len(), names.len()), (5, 1), "it was taken, and is not sent again");
        assert_eq!(posted[0].to, EMAIL);
        assert!(posted[0].text.contains("Address: 192.0.2.1\n"), "{}", posted[0].text);

        harness.post.answers(std::iter::repeat_n(later(), 100));
        log_in(&harness, 2).await.unwrap().unwrap();
        for _ in 0..25 * 6 {
            pass(&harness, Duration::from_mins(10)).await;
        }
        let tries = harness.post.take();
        assert!((9..=10).contains(&tries.len()), "{}", tries.len());
        assert!(harness.has_finding("message.given_up").await);
        harness.finish().await;
    });
}

/// Wherever the process dies: who was let in is told of it, by one mail or by copies of one; who was
/// not is not.
#[test]
fn a_crash_loses_no_message_and_invents_none() {
    simulate(async || {
        let (mut told, mut silent) = (0, 0);
        for commit in 1..=8 {
            for death in [Death::BeforeCommit(commit), Death::AfterCommit(commit)] {
                let mut harness = with_owner(100 + commit, death).await;
                let _heard_or_not = log_in(&harness, 1).await;
                harness.elapse(A_MOMENT).await;
                harness.restart().await;
                harness.elapse(Duration::from_secs(30)).await;
                let posted = harness.post.take();
                let names: BTreeSet<_> = posted.iter().map(|posted| &posted.name).collect();
                let sessions = sessions::alive(harness.store(), harness.now()).await.unwrap();
                assert_eq!(names.len(), sessions.len(), "{death:?}: {posted:?}");
                assert!(posted.len() <= 2, "{death:?}: {posted:?}");
                told += names.len();
                silent += usize::from(names.is_empty());
                harness.finish().await;
            }
        }
        assert!(told > 0 && silent > 0, "{told} {silent}");
    });
}

/// Whoever logs in from everywhere at once fills no mailbox; the last mail of the hour says so.
#[test]
fn a_flood_of_logins_is_ten_mails() {
    simulate(async || {
        let harness = with_owner(2, Death::Never).await;
        for last in 0..40 {
            log_in(&harness, last).await.unwrap().unwrap();
        }
        harness.elapse(Duration::from_secs(10)).await;
        let posted = harness.post.take();
        let says_so = |text: &str| text.ends_with("no more of these mails are sent.\n");
        let last: Vec<_> = posted.iter().map(|posted| says_so(&posted.text)).collect();
        assert_eq!(last, [vec![false; 9], vec![true]].concat());
        // It does not keep a link from being sent.
        ask_for_link(&harness, EMAIL, 200).await.unwrap();
        harness.elapse(A_MOMENT).await;
        assert_eq!(harness.post.take()[0].subject, "Tradewarden: Set a new password");
        pass(&harness, Duration::from_hours(1)).await;
        log_in(&harness, 100).await.unwrap().unwrap();
        harness.elapse(A_MOMENT).await;
        assert_eq!(harness.post.take().len(), 1);
        harness.finish().await;
    });
}

/// Whoever is named, asking for a link is the same work before the answer: no slow hash and one
/// commit that writes as many rows. Links are sent once in ten minutes.
#[test]
fn asking_for_a_link_is_the_same_work() {
    simulate(async || {
        let harness = with_owner(3, Death::Never).await;
        let engine = harness.engine();
        let mut sizes = BTreeSet::new();
        for email in [EMAIL, "ANN@example.com", "bob@example.com", "nobody", ""] {
            harness.elapse(A_MOMENT).await;
            let (hashes, commits) = (engine.counts().password_hashes, harness.commits_that_wrote());
            let said = ask_for_link(&harness, email, 1).await.unwrap();
            assert_eq!(said.value, json!({ "status": "accepted" }), "{email}");
            assert_eq!(engine.counts().password_hashes, hashes, "{email}");
            let written = harness.commits_that_wrote().len() - commits.len();
            sizes.insert(written);
        }
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1]);
        harness.elapse(A_MOMENT).await;
        assert_eq!(harness.post.take().len(), 1, "one link, for who exists, once");
        pass(&harness, Duration::from_mins(10)).await;
        ask_for_link(&harness, EMAIL, 2).await.unwrap();
        harness.elapse(A_MOMENT).await;
        assert_eq!(harness.post.take().len(), 1);
        harness.finish().await;
    });
}

/// A link lives half an hour, and asking for another takes nothing away from it.
#[test]
fn a_link_lives_half_an_hour() {
    simulate(async || {
        let harness = with_owner(4, Death::Never).await;
        let mut tokens = Vec::new();
        for _ in 0..2 {
            ask_for_link(&harness, EMAIL, 1).await.unwrap();
            harness.elapse(A_MOMENT).await;
            pass(&harness, Duration::from_mins(11)).await;
            let text = harness.post.take().pop().unwrap().text;
            let (_, rest) = text.split_once("#token=").unwrap();
            tokens.push(rest.lines().next().unwrap().to_owned());
        }
        let set = |token: &str, password: &str| {
            let reset = json!({ "token": token, "password": password });
            Ask::PasswordReset(serde_json::from_value(reset).unwrap())
        };
        pass(&harness, Duration::from_mins(9)).await;
        let late = ask(&harness, set(&tokens[0], "a-Heron-wades-through-77-reeds"), 1).await;
        assert!(late.unwrap().is_err(), "the first is half an hour old");
        let set = ask(&harness, set(&tokens[1], "a-Heron-wades-through-77-reeds"), 1).await;
        set.unwrap().unwrap();
        harness.finish().await;
    });
}

/// A new person, logged in.
async fn somebody(harness: &Harness, email: &str) -> Actor {
    let new = json!({
        "command": "user-create", "email": email, "role": "trader", "password": PASSWORD,
    });
    harness.command(serde_json::from_value(new).unwrap()).await;
    let login = json!({ "email": email, "password": PASSWORD });
    let said = ask(harness, Ask::Login(serde_json::from_value(login).unwrap()), 1).await;
    let token = said.unwrap().unwrap().value["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let shown = Shown {
        method: "POST",
        target: "/api/v1/me/factors/sms",
        authority: "localhost",
        headers: &[("authorization", bearer.as_bytes())],
        body: b"",
        address: IpAddr::from([192, 0, 2, 1]),
        budget: Budget::Requests,
    };
    harness.engine().caller(&shown).unwrap()
}

async fn converse(harness: &Harness, ask: Ask, actor: &Actor) -> Result<Said, CommandError> {
    let (engine, actor) = (harness.engine(), actor.clone());
    harness.drive(async move { engine.converse(ask, Some(&actor), &from(1)).await }).await.unwrap()
}

async fn enrol(harness: &Harness, actor: &Actor, phone: &str) -> Result<Said, CommandError> {
    let phone = json!({ "phone": phone });
    converse(harness, Ask::SmsBegin(serde_json::from_value(phone).unwrap()), actor).await
}

fn code<T: std::fmt::Debug>(outcome: Result<T, CommandError>) -> Code {
    match outcome {
        Err(CommandError::Refused { code, .. }) => code,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

/// Whoever asks, one number gets five codes an hour; and an organization sends 200 a day.
#[test]
fn text_messages_are_few_to_a_number_and_an_organization() {
    simulate(async || {
        let harness = with_owner(5, Death::Never).await;
        let (ann, bob) = (somebody(&harness, "a@x.org").await, somebody(&harness, "b@x.org").await);
        for (actor, times) in [(&ann, 3), (&bob, 2)] {
            for _ in 0..times {
                enrol(&harness, actor, "+14155550123").await.unwrap();
            }
        }
        assert_eq!(code(enrol(&harness, &bob, "+1 415 555 0123").await), Code::LimitRate);
        enrol(&harness, &bob, "+14155550124").await.unwrap();
        let mut of_org = 6;
        for person in 0..39 {
            let actor = somebody(&harness, &format!("p{person}@x.org")).await;
            for _ in 0..5 {
                let sent = enrol(&harness, &actor, &format!("+1415556{person:04}")).await;
                assert_eq!(sent.is_ok(), of_org < 200, "{person}: {sent:?}");
                of_org += i32::from(sent.is_ok());
            }
        }
        assert_eq!(of_org, 200);
        let late = somebody(&harness, "late@x.org").await;
        assert_eq!(code(enrol(&harness, &late, "+14155579999").await), Code::LimitRate);
        harness.finish().await;
    });
}

/// A code is void after five tries, and after ten minutes.
#[test]
fn a_code_by_text_message_does_not_wait_to_be_guessed() {
    simulate(async || {
        let harness = with_owner(6, Death::Never).await;
        let ann = somebody(&harness, "a@x.org").await;
        for (number, (wrong, wait_s, is_right)) in
            [(5, 0, false), (0, 601, false), (4, 590, true)].into_iter().enumerate()
        {
            // The first factor is begun within five minutes of a login: another person each time.
            let email = format!("n{number}@x.org");
            let person = if number == 0 { ann.clone() } else { somebody(&harness, &email).await };
            let begun = enrol(&harness, &person, "+14155550123").await.unwrap();
            harness.elapse(A_MOMENT).await;
            let posted = harness.post.take();
            let sms = posted.iter().find(|posted| posted.channel == Channel::Sms).unwrap();
            let right = sms.text[..6].to_owned();
            let other = if right == "000000" { "000001" } else { "000000" };
            let id = begun.value["id"].as_str().unwrap();
            let confirm = |code: &str| {
                let shown = serde_json::from_value(json!({ "code": code })).unwrap();
                Ask::SmsConfirm(id.to_owned(), shown)
            };
            for _ in 0..wrong {
                let outcome = converse(&harness, confirm(other), &person).await;
                assert_eq!(code(outcome), Code::Unauthenticated);
            }
            harness.clock.advance(Duration::from_secs(wait_s));
            let outcome = converse(&harness, confirm(&right), &person).await;
            match outcome {
                Ok(_) => assert!(is_right, "{number}"),
                refused => {
                    assert_eq!(code(refused), Code::Unauthenticated, "{number}");
                    assert!(!is_right, "{number}");
                }
            }
        }
        harness.finish().await;
    });
}
