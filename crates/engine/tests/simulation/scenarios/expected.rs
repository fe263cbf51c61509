//! What is expected of senders: symbols on a list, and signals now and then.

use super::{Small, millis};
use serde_json::json;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_engine::command::{Change, Command, WebhookChanges};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_engine::tag::IfMatch;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::simulate;

impl Small {
    async fn list(&self, symbols: &[&str]) -> serde_json::Value {
        let symbols = Some(symbols.iter().map(|symbol| (*symbol).to_owned()).collect());
        let changes = WebhookChanges { symbols, ..WebhookChanges::default() };
        let (id, if_match) = (self.hook.id.clone(), IfMatch::default());
        self.h.command(Command::WebhookChange(Change { id, changes, if_match })).await
    }

    async fn silences(&self) -> usize {
        let findings = self.h.findings().await;
        findings.iter().filter(|found| found.code == "strategy.silent").count()
    }
}

/// A webhook takes entries for the symbols on its list only; what closes passes (S18), and so does a
/// signal that names none.
#[test]
fn s18_a_list_of_symbols_stops_entries_only() {
    simulate(async || {
        let s = Small::with(340, Venue::default(), |_| {}).await;
        let view = s.list(&["NQ1!", "ES"]).await;
        assert_eq!(view["symbols"], json!(["ES", "NQ1!"]));
        assert_eq!(s.list(&["CME_MINI:es", "NQ1!"]).await["symbols"], view["symbols"]);
        let send = async |action: &str, ticker: &str, id: &str| {
            let body = json!({ "action": action, "ticker": ticker, "id": id });
            s.h.send(&s.hook, &body).await.answer()
        };
        let reply = send("BUY", "CME_MINI:RTY1!", "a").await;
        assert_eq!((reply.status, reply.code), (SignalStatus::Refused, Some(Code::SignalSymbol)));
        assert_eq!(reply.input.as_deref(), Some("RTY1!"));
        assert_eq!(send("BUY", "CME_MINI:es", "b").await.status, SignalStatus::Accepted);
        s.h.quiet().await;
        assert_eq!(send("EXIT", "RTY1!", "c").await.status, SignalStatus::Accepted);
        s.h.quiet().await;
        assert_eq!(s.position().await, "0");
        s.accept("BUY", "d").await;
        s.h.quiet().await;
        assert_eq!(s.list(&[]).await["symbols"], json!([]));
        s.accept("EXIT", "e").await;
        assert_eq!(send("BUY", "RTY1!", "f").await.code, None);
        s.h.quiet().await;
        s.end().await;
    });
}

/// S24: a strategy that hears nothing for longer than it expects is told once, until the next signal;
/// a restart forgets no signal.
#[test]
fn s24_a_silent_strategy_is_told() {
    simulate(async || {
        let mut s =
            Small::with(341, Venue::default(), |new| new.expected_every_s = Some(120)).await;
        s.accept("BUY", "a").await;
        s.h.elapse(Duration::from_secs(100)).await;
        s.h.restart().await;
        s.h.elapse(millis(15_500)).await;
        assert_eq!(s.silences().await, 0);
        s.h.elapse(Duration::from_mins(1)).await;
        assert_eq!(s.silences().await, 1, "{:?}", s.h.findings().await);
        s.h.elapse(Duration::from_mins(5)).await;
        assert_eq!(s.silences().await, 1, "once");
        s.accept("EXIT", "b").await;
        s.h.elapse(Duration::from_secs(110)).await;
        assert_eq!(s.silences().await, 1);
        s.h.elapse(Duration::from_mins(1)).await;
        assert_eq!(s.silences().await, 2);
        s.end().await;
    });
}

/// S24: only time within the schedule counts.
#[test]
fn s24_silence_outside_the_schedule_is_none() {
    simulate(async || {
        let s = Small::with(342, Venue::default(), |new| {
            new.expected_every_s = Some(60);
            // The simulation begins on a Monday morning.
            new.schedule = Some("sat 09:00-10:00 UTC".parse().unwrap());
        })
        .await;
        s.h.elapse(Duration::from_secs(400)).await;
        assert_eq!(s.silences().await, 0);
        s.end().await;
    });
}
