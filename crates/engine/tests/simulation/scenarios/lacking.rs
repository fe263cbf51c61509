//! Positions of which the broker holds less than the book.

use super::brackets::{both, bracketed};
use super::{Small, millis};
use serde_json::json;
use tradewarden_broker::port::Capability;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_engine::command::{ById, Command};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::simulate;

/// What the lost tail closed of two, and at which venue.
const CLOSED: [(&str, i64, Capability); 4] = [
    ("EXIT", 0, Capability::Emulated),
    ("EXIT", 0, Capability::Native),
    ("EXIT_50", 1, Capability::Emulated),
    ("EXIT_50", 1, Capability::Native),
];

/// C16, S4: what the lost tail closed is neither protected nor closed again, before a person goes on and
/// after it: a stop or an exit for it would open the other side.
#[test]
fn c16_what_the_lost_tail_closed_is_not_closed_again() {
    for (seed, (comment, left, reduce_only)) in (840..).zip(CLOSED) {
        simulate(async || {
            let venue = Venue { reduce_only, ..Venue::default() };
            let mut s = Small::with(seed, venue, |_| {}).await;
            s.enter(&bracketed("a")).await;
            s.h.elapse(millis(3_000)).await;
            assert_eq!(s.legs().await, both("2"));
            let copy = s.h.copy().await;
            s.enter(&json!({ "action": "SELL", "comment": comment, "id": "lost" })).await;
            s.h.elapse(millis(3_000)).await;
            assert_eq!(s.held(), left);
            let begun = s.h.restore(&copy).await;
            s.h.ready().await;
            assert_eq!(s.position().await, "2", "the copy does not know it");

            // An exit waits until it is known how the pair stands, and closes what is there.
            s.accept("EXIT", "first").await;
            s.h.elapse(millis(20_000)).await;
            assert_eq!(s.held(), 0, "{:#?}", s.h.orders().await);
            assert!(s.at_broker().is_empty(), "nothing is left to protect: {:?}", s.at_broker());
            let mut exits = s.h.orders().await.into_iter().filter(|order| order.leg.is_none());
            let exit = exits.next_back().unwrap();
            if left == 0 {
                assert_eq!(
                    (exit.state, exit.code),
                    (OrderState::Canceled, Some(Code::StrategyFlat))
                );
            } else {
                assert_eq!(exit.filled_quantity.to_string(), "1");
            }
            assert!(s.count_findings("position.mismatch").await >= 2, "{:?}", s.h.findings().await);

            s.h.command(Command::HaltResume(ById { id: begun.halt.to_string() })).await;
            s.h.elapse(millis(20_000)).await;
            s.send("EXIT", "second").await;
            s.h.elapse(millis(20_000)).await;
            s.trades_at("4970");
            s.h.elapse(millis(5_000)).await;
            assert_eq!(s.held(), 0, "{:#?}", s.h.orders().await);
            assert!(s.at_broker().is_empty());
            s.end().await;
        });
    }
}

/// S3, S4: what another hand closed is no exit's and no stop's to close, where the venue does not see to it
/// itself.
#[test]
fn s4_what_another_hand_closed_is_not_closed_again() {
    for (seed, by_hand, left) in [(850, "-2", 0), (851, "-1", 1)] {
        simulate(async || {
            let s = Small::with(seed, Venue::default(), |_| {}).await;
            s.enter(&bracketed("a")).await;
            s.h.elapse(millis(3_000)).await;
            s.by_hand("ES", by_hand);
            s.h.elapse(millis(15_000)).await;
            let legs = vec![left.to_string(); if left == 0 { 0 } else { 2 }];
            assert_eq!(s.at_broker(), legs, "legs are for what is there");
            s.send("EXIT", "b").await;
            s.h.elapse(millis(15_000)).await;
            assert_eq!(s.at_the_broker("ES"), 0, "{:#?}", s.h.orders().await);
            s.send("EXIT", "c").await;
            s.trades_at("4970");
            s.h.elapse(millis(15_000)).await;
            assert_eq!(s.at_the_broker("ES"), 0, "{:#?}", s.h.orders().await);
            assert!(s.at_broker().is_empty());
            s.h.finish().await;
        });
    }
}

/// S3: our book is right again, so everything is closed as before.
#[test]
fn s3_a_difference_that_ends_caps_nothing() {
    simulate(async || {
        let s = Small::with(852, Venue::default(), |_| {}).await;
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(3_000)).await;
        s.by_hand("ES", "-1");
        s.h.elapse(millis(15_000)).await;
        assert_eq!(s.at_broker(), ["1", "1"]);
        s.by_hand("ES", "1");
        s.h.elapse(millis(15_000)).await;
        assert_eq!(s.at_broker(), ["2", "2"]);
        s.accept("EXIT", "b").await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}
