//! What comes in: the same again, too much, forged.

use super::{Small, millis};
use serde_json::json;
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
