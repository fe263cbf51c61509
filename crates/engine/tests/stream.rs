//! Streams under simulation: what a listener hears, and how many may listen.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;
use tradewarden_domain::quota::Budget;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::caller::Shown;
use tradewarden_engine::command::Command;
use tradewarden_engine::people::{Ask, Client, Entered, Login, Origin};
use tradewarden_engine::stream::{Heard, Listener, NotListening};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, signal, simulate, strategy};

const PASSWORD: &str = "correct-zebra-battery-8841-staple";
/// What a slow listener may be behind by.
const BEHIND_MAX: usize = 4_096;

/// A person of this role, in a session that was just begun.
async fn person(harness: &Harness, email: &str, role: &str) -> Actor {
    let new = json!({
        "command": "user-create", "email": email, "role": role, "password": PASSWORD,
    });
    harness.command(serde_json::from_value(new).unwrap()).await;
    session(harness, email).await
}

async fn session(harness: &Harness, email: &str) -> Actor {
    let engine = harness.engine();
    let login = Ask::Login(Login {
        email: email.to_owned(),
        password: Entered::new(PASSWORD.to_owned()),
        cookie: false,
        org_id: None,
    });
    let address = IpAddr::from([192, 0, 2, 1]);
    let client =
        Client { address, user_agent: "test".to_owned(), origin: Origin::Unsaid, session: None };
    let said = harness.drive(engine.converse(login, None, &client)).await.unwrap().unwrap();
    let bearer = format!("Bearer {}", said.value["access_token"].as_str().unwrap());
    let shown = Shown {
        method: "GET",
        target: "/api/v1/stream",
        authority: "localhost",
        headers: &[("authorization", bearer.as_bytes())],
        body: b"",
        address,
        budget: Budget::Requests,
    };
    engine.caller(&shown).unwrap()
}

fn listen(harness: &Harness, actor: &Actor) -> Result<Listener, NotListening> {
    harness.engine().listen(actor)
}

/// What comes first but for silence.
async fn next_event(listener: &mut Listener) -> (&'static str, serde_json::Value) {
    loop {
        match listener.next().await.unwrap() {
            Heard::Event(event) => return (event.event, event.data),
            Heard::Silence => {}
        }
    }
}

/// A heartbeat must not wait until nobody trades.
#[test]
fn what_one_may_not_know_of_is_silence() {
    simulate(async || {
        let harness = Harness::sqlite(1, Venue::default()).await;
        harness.sane_limits().await;
        let account = harness.account("one").await;
        let hook = harness.webhook("one", 1_000).await;
        harness.strategy(strategy("one", &hook, &account, "AAPL", "1")).await;
        let role = json!({
            "command": "role-create", "name": "cashier", "permissions": ["balances:read"],
        });
        harness.command(serde_json::from_value(role).unwrap()).await;
        let cashier = person(&harness, "cashier@example.com", "cashier").await;
        let mut listener = listen(&harness, &cashier).unwrap();
        let mut witness = listen(&harness, &Actor::operator()).unwrap();
        let hearing = async {
            let began = Instant::now();
            (listener.next().await, began.elapsed())
        };
        let trading = async {
            for number in 0..30 {
                let action = if number % 2 == 0 { "BUY" } else { "EXIT" };
                harness.send(&hook, &signal(action, &number.to_string())).await;
                harness.elapse(Duration::from_millis(100)).await;
                if number == 5 {
                    harness.halt(Some("instrument:MSFT"), "block").await;
                }
            }
        };
        let ((heard, after), ()) = tokio::join!(hearing, trading);
        assert!(matches!(heard, Some(Heard::Silence)), "{heard:?}");
        assert!(after < Duration::from_millis(1_500), "{after:?}");
        // There was something to be heard.
        assert_eq!(next_event(&mut witness).await.0, "order");
        drop((listener, witness));
        harness.finish().await;
    });
}

#[test]
fn a_slow_listener_is_told_what_it_missed() {
    simulate(async || {
        let harness = Harness::sqlite(2, Venue::default()).await;
        let mut slow = listen(&harness, &Actor::operator()).unwrap();
        let halts = BEHIND_MAX / 2 + 50;
        for _ in 0..halts {
            let id = harness.halt(None, "block").await;
            harness.resume(&id).await;
        }
        let (event, data) = next_event(&mut slow).await;
        assert_eq!((event, &data["events"]), ("missed", &json!(2 * halts - BEHIND_MAX)));
        let mut heard = 0;
        while let Heard::Event(event) = slow.next().await.unwrap() {
            assert_eq!(event.event, "halt");
            heard += 1;
        }
        assert_eq!(heard, BEHIND_MAX);
        drop(slow);
        harness.finish().await;
    });
}

#[test]
fn a_caller_has_so_many_streams() {
    simulate(async || {
        let harness = Harness::sqlite(3, Venue::default()).await;
        let here = person(&harness, "ann@example.com", "viewer").await;
        let there = session(&harness, "ann@example.com").await;
        let mut streams: Vec<Listener> = (0..8).map(|_| listen(&harness, &here).unwrap()).collect();
        let full = NotListening::Full { streams_max: 8 };
        assert_eq!(listen(&harness, &here).err(), Some(full));
        let other = listen(&harness, &there).unwrap();
        drop(streams.pop());
        streams.push(listen(&harness, &here).unwrap());
        assert_eq!(listen(&harness, &here).err(), Some(full));
        drop((streams, other));
        let logout: Command = serde_json::from_value(json!({
            "command": "user-end-sessions", "id": "ann@example.com",
        }))
        .unwrap();
        let mut last = listen(&harness, &here).unwrap();
        harness.command(logout).await;
        assert!(last.next().await.is_none(), "a session that was ended listens");
        drop(last);
        harness.finish().await;
    });
}
