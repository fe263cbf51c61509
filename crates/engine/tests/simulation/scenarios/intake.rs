//! What comes in: the same again, too much, forged.

use super::{Small, accept, millis};
use serde_json::json;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, Heard, Hook, raw, signal, simulate, strategy};

/// S15: the same again gets the first answer, also across restarts; the same id with another body
/// conflicts, unless it closes everything.
#[test]
fn s15_duplicates() {
    simulate(async || {
        let mut s = Small::with(19, Venue::default(), |_| {}).await;
        let first = s.send("BUY", "a").await;
        s.h.elapse(millis(10)).await;
        s.h.restart().await;
        let again = s.send("BUY", "a").await;
        assert_eq!((again.signal_id, again.status), (first.signal_id, SignalStatus::Duplicate));
        let other = s.send("SELL", "a").await;
        assert_eq!(other.code, Some(Code::DuplicateIdConflict));
        s.h.quiet().await;
        s.accept("EXIT", "a").await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        // The exit itself is carried out once, whatever was opened since.
        s.accept("BUY", "b").await;
        s.h.quiet().await;
        s.h.elapse(Duration::from_secs(90)).await;
        assert_eq!(s.send("EXIT", "a").await.status, SignalStatus::Duplicate);
        s.accept("EXIT", "c").await;
        s.h.quiet().await;
        let body = json!({ "action": "BUY" });
        let one = s.h.send(&s.hook, &body).await.answer();
        let two = s.h.send(&s.hook, &body).await.answer();
        assert_eq!((one.status, two.status), (SignalStatus::Accepted, SignalStatus::Duplicate));
        assert_eq!(one.signal_id, two.signal_id);
        s.h.elapse(millis(1_100)).await;
        let three = s.h.send(&s.hook, &body).await.answer();
        assert_eq!(three.status, SignalStatus::Skipped, "a new signal along the position");
        // Nobody knows whether the answer to what came before a restart was heard.
        s.h.restart().await;
        let four = s.h.send(&s.hook, &body).await.answer();
        assert_eq!(four.signal_id, three.signal_id);
        s.h.quiet().await;
        s.end().await;
    });
}

/// S15: a body that says when it was sent comes again only because its sender did not hear the answer;
/// of exits that is believed for a minute.
#[test]
fn s15_a_body_that_says_when_it_was_sent_counts_once() {
    simulate(async || {
        let mut s = Small::with(31, Venue::default(), |_| {}).await;
        let sent = |action: &str, at: &str| json!({ "action": action, "timenow": at });
        let at = s.h.now().to_string();
        let first = s.h.send(&s.hook, &sent("BUY", &at)).await.answer();
        assert_eq!(first.status, SignalStatus::Accepted, "{first:?}");
        s.h.quiet().await;
        s.h.elapse(Duration::from_secs(6)).await;
        let again = s.h.send(&s.hook, &sent("BUY", &at)).await.answer();
        assert_eq!((again.status, again.signal_id), (SignalStatus::Duplicate, first.signal_id));
        let later = s.h.now().to_string();
        let other = s.h.send(&s.hook, &sent("BUY", &later)).await.answer();
        assert_ne!(other.status, SignalStatus::Duplicate, "another instant");
        let exit = s.h.send(&s.hook, &sent("EXIT", &at)).await.answer();
        s.h.quiet().await;
        s.h.elapse(Duration::from_secs(50)).await;
        let again = s.h.send(&s.hook, &sent("EXIT", &at)).await.answer();
        assert_eq!((again.status, again.signal_id), (SignalStatus::Duplicate, exit.signal_id));
        s.h.elapse(Duration::from_secs(20)).await;
        let stuck = s.h.send(&s.hook, &sent("EXIT", &at)).await.answer();
        assert_eq!(stuck.status, SignalStatus::Skipped, "a clock that stands shuts no exit out");
        s.h.restart().await;
        s.h.quiet().await;
        s.end().await;
    });
}

/// C3: a duplicate repeats the first outcome in full, whether the first is in the same transaction or
/// comes from the database.
#[test]
fn c3_a_duplicate_says_all_that_the_first_said() {
    simulate(async || {
        let mut s = Small::with(39, Venue::default(), |_| {}).await;
        s.h.limit("org", "max_position", "1").await;
        for (id, status, code) in [
            ("a", SignalStatus::Refused, Some(Code::RiskMaxPosition)),
            ("b", SignalStatus::Accepted, None),
            ("c", SignalStatus::Skipped, Some(Code::StrategyAlreadyLong)),
        ] {
            let twice = vec![raw(&s.hook, &signal("BUY", id)), raw(&s.hook, &signal("BUY", id))];
            let mut answers = s.h.send_together(twice).await.into_iter().map(Heard::answer);
            let (first, in_batch) = (answers.next().unwrap(), answers.next().unwrap());
            assert_eq!((first.status, first.code), (status, code), "{first:?}");
            assert!(!first.accounts.is_empty());
            s.h.quiet().await;
            s.h.restart().await;
            s.h.ready().await;
            let stored = s.send("BUY", id).await;
            assert_eq!(stored, in_batch);
            assert_eq!(stored.accounts, first.accounts);
            assert_eq!((&stored.input, &stored.limit), (&first.input, &first.limit));
            if status == SignalStatus::Refused {
                assert_eq!(stored, first);
                assert_eq!(
                    (first.input.as_deref(), first.limit.as_deref()),
                    (Some("2"), Some("1"))
                );
                s.h.limit("org", "max_position", "20").await;
            }
        }
        s.end().await;
    });
}

#[test]
fn forged_signals_leave_nothing_behind() {
    simulate(async || {
        let s = Small::with(20, Venue::default(), |_| {}).await;
        let before = s.h.signals().await.len();
        let forged = Hook { secret: "wrong".to_owned(), ..s.hook.clone() };
        for hook in [&forged, &Hook { token: "wrong".to_owned(), ..s.hook.clone() }] {
            assert_eq!(s.h.send(hook, &signal("BUY", "a")).await, Heard::Unauthenticated);
        }
        assert_eq!(s.h.signals().await.len(), before);
        s.end().await;
    });
}

/// S16: too many entries are refused, told once; exits pass.
#[test]
fn s16_too_many_entries() {
    simulate(async || {
        let h = Harness::sqlite(21, Venue::default()).await;
        h.ready().await;
        let account = h.account("main").await;
        let hook = h.webhook("tv", 10).await;
        h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
        h.sane_limits().await;
        let requests = (0..15).map(|n| raw(&hook, &signal("BUY", &n.to_string()))).collect();
        let answers = h.send_together(requests).await;
        let limited =
            answers.into_iter().map(Heard::answer).filter(|a| a.code == Some(Code::LimitRate));
        assert_eq!(limited.count(), 5);
        assert!(h.has_finding("limit.rate").await);
        let exit = h.send(&hook, &signal("EXIT", "x")).await.answer();
        assert_ne!(exit.code, Some(Code::LimitRate));
        h.quiet().await;
        h.finish().await;
    });
}

/// S13: a time far ahead counts as absent and is told once in a quarter of an hour; it does not make
/// later exits look old.
#[test]
fn s13_a_time_of_sending_ahead_is_told_and_ignored() {
    simulate(async || {
        let s = Small::with(33, Venue::default(), |_| {}).await;
        let told = async || {
            let findings = s.h.findings().await;
            findings.iter().filter(|finding| finding.code == "signal.sent_ahead").count()
        };
        let at = |seconds: u64| s.h.now().plus(Duration::from_secs(seconds)).to_string();
        let near = json!({ "action": "EXIT", "id": "a", "timenow": at(9) });
        assert_eq!(s.h.send(&s.hook, &near).await.answer().status, SignalStatus::Skipped);
        assert_eq!(told().await, 0);
        let ahead = json!({ "action": "BUY", "id": "b", "timenow": at(3_600) });
        accept(&s.h, &s.hook, &ahead).await;
        s.h.quiet().await;
        assert_eq!(told().await, 1);
        let again = json!({ "action": "BUY", "id": "c", "timenow": at(3_600) });
        assert_eq!(s.h.send(&s.hook, &again).await.answer().status, SignalStatus::Skipped);
        assert_eq!(told().await, 1);
        let exit = json!({ "action": "EXIT", "id": "d", "timenow": at(0) });
        accept(&s.h, &s.hook, &exit).await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        s.h.elapse(Duration::from_mins(15)).await;
        let later = json!({ "action": "EXIT", "id": "e", "timenow": at(3_600) });
        assert_eq!(s.h.send(&s.hook, &later).await.answer().status, SignalStatus::Skipped);
        assert_eq!(told().await, 2);
        s.end().await;
    });
}

/// S13: an exit is never too old by itself; older than an accepted entry, it is refused and told.
#[test]
fn s13_an_exit_older_than_an_accepted_entry() {
    simulate(async || {
        let s = Small::with(34, Venue::default(), |_| {}).await;
        let before = s.h.now().to_string();
        s.h.elapse(millis(2_000)).await;
        let entry = json!({ "action": "BUY", "id": "a", "timenow": s.h.now().to_string() });
        accept(&s.h, &s.hook, &entry).await;
        s.h.quiet().await;
        let late = json!({ "action": "EXIT", "id": "b", "timenow": before });
        let reply = s.h.send(&s.hook, &late).await.answer();
        assert_eq!(reply.code, Some(Code::SignalOutOfOrder), "{reply:?}");
        assert!(s.h.has_finding("signal.out_of_order").await);
        assert_eq!(s.position().await, "2");
        let exit = json!({ "action": "EXIT", "id": "c", "timenow": s.h.now().to_string() });
        s.h.elapse(Duration::from_mins(5)).await;
        accept(&s.h, &s.hook, &exit).await;
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        s.end().await;
    });
}

/// What looks like a card's number is not kept, and stops no exit: the signal is judged as it came.
#[test]
fn s18_a_card_number_stops_no_exit_and_is_not_kept() {
    simulate(async || {
        let small = Small::with(47, Venue::default(), |_| {}).await;
        small.accept("BUY", "in").await;
        small.h.quiet().await;
        let exit = json!({
            "action": "EXIT", "id": "4111111111111111", "4222222222222": "5555 5555 5555 4444",
            "quantity": "378282246310005x",
        });
        let reply = small.h.send(&small.hook, &exit).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        small.h.quiet().await;
        assert_eq!(small.position().await, "0");
        let again = small.h.send(&small.hook, &exit).await.answer();
        assert_eq!((again.status, again.signal_id), (SignalStatus::Duplicate, reply.signal_id));

        let stored = small.h.signals().await.pop().unwrap();
        let body = tradewarden_store::signals::body(small.h.store(), stored.id);
        let body = small.h.drive(body).await.unwrap().unwrap().unwrap();
        let kept =
            format!("{}{}{}", String::from_utf8(body).unwrap(), stored.checks, stored.message);
        for digits in ["4111", "4222", "5555", "378282"] {
            assert!(!kept.contains(digits), "{kept}");
        }
        assert!(kept.contains("9999999999991111"), "{kept}");
        assert!(stored.checks.contains("\"name\":\"card_number\""), "{}", stored.checks);
        small.end().await;
    });
}

/// What holds a card's number opens nothing; what turns out to close passes, whatever its word.
#[test]
fn s18_a_card_number_opens_nothing() {
    simulate(async || {
        let small = Small::with(48, Venue::default(), |_| {}).await;
        let with_card = |action: &str, id: &str| json!({ "action": action, "id": id, "note": "paid by 4111 1111 1111 1111" });
        let refused = small.h.send(&small.hook, &with_card("BUY", "a")).await.answer();
        assert_eq!(refused.status, SignalStatus::Refused, "{refused:?}");
        assert_eq!(refused.code, Some(Code::TextCardNumber));
        let again = small.h.send(&small.hook, &with_card("BUY", "a")).await.answer();
        assert_eq!((again.status, again.signal_id), (SignalStatus::Refused, refused.signal_id));
        let stored = small.h.signals().await.pop().unwrap();
        let body = tradewarden_store::signals::body(small.h.store(), stored.id);
        let body = String::from_utf8(small.h.drive(body).await.unwrap().unwrap().unwrap()).unwrap();
        assert!(!body.contains("4111") && body.contains("9999 9999 9999 1111"), "{body}");
        assert!(small.h.orders().await.is_empty());

        small.accept("BUY", "b").await;
        small.h.quiet().await;
        assert_eq!(small.position().await, "2");
        let more = small.h.send(&small.hook, &with_card("BUY", "c")).await.answer();
        assert_eq!(more.code, Some(Code::TextCardNumber), "{more:?}");
        let close = small.h.send(&small.hook, &with_card("SELL", "d")).await.answer();
        assert_eq!(close.status, SignalStatus::Accepted, "{close:?}");
        small.h.quiet().await;
        assert_eq!(small.position().await, "0");
        small.end().await;
    });
}

/// C1: the secret as the name of a member is kept no more than as a value.
#[test]
fn c1_a_secret_that_names_a_member_is_not_kept() {
    simulate(async || {
        let small = Small::with(49, Venue::default(), |_| {}).await;
        let secret = small.hook.secret.as_str();
        for action in ["BUY", "NONSENSE"] {
            let body = json!({ "action": action, "id": action, secret: "x" });
            let reply = small.h.send(&small.hook, &body).await.answer();
            assert!(!reply.message.contains(secret), "{reply:?}");
            let stored = small.h.signals().await.pop().unwrap();
            let kept = tradewarden_store::signals::body(small.h.store(), stored.id);
            let kept = small.h.drive(kept).await.unwrap().unwrap().unwrap();
            let kept = String::from_utf8(kept).unwrap();
            assert!(kept.contains("***") && !kept.contains(secret), "{kept}");
            assert!(!stored.checks.contains(secret), "{}", stored.checks);
        }
        small.h.quiet().await;
        small.end().await;
    });
}
