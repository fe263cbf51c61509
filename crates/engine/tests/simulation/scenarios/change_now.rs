//! Changes that nothing holds up: those that a halt lets pass, and how soon one is called for.

use super::change::{quantity, stop};
use super::{Small, millis};
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{ChangeState, OrderState, Side};
use tradewarden_engine::command::OrderChange;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::simulate;

/// S9: a stop that reduces is brought nearer to the market under every halt, up to the call. What
/// loosens it, makes it more or lets it fire at once is stopped.
#[test]
fn s9_a_halt_does_not_stop_what_tightens_a_stop() {
    for mode in ["block", "cancel", "reduce_only"] {
        simulate(async || {
            println!("{mode}");
            let s = Small::with(71, Venue::default(), |_| {}).await;
            s.place(Side::Buy, "5", None).await;
            let exit = s.place(Side::Sell, "2", Some("4900")).await;
            assert_eq!(exit.state, OrderState::Working);
            s.h.halt(None, mode).await;
            assert_eq!(s.change(stop(&exit, "4950")).await, None);
            s.h.elapse(millis(1_000)).await;
            assert_eq!(s.outcome(1).await, ("2".to_owned(), ChangeState::Made, None));
            assert_eq!(s.order(1).await.stop_price.unwrap().to_string(), "4950");
            if mode != "reduce_only" {
                let more =
                    OrderChange { quantity: quantity(&exit, "3").quantity, ..stop(&exit, "4960") };
                for change in [stop(&exit, "4940"), stop(&exit, "5000"), stop(&exit, "5100"), more]
                {
                    assert_eq!(
                        s.change(change.clone()).await,
                        Some(Code::HaltActive),
                        "{change:?}"
                    );
                }
            }
            assert_eq!(s.h.broker.changes().len(), 1);
            s.h.broker.set_market("ES", Some("4945".parse().unwrap()), MarketState::Open);
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("3", 3));
            s.end().await;
        });
    }
}

/// A change is called for when it is wanted, whenever the order was last looked at.
#[test]
fn a_change_does_not_wait_for_the_next_look() {
    simulate(async || {
        let s = Small::resting(72, Venue::default()).await;
        for (number, wanted) in ["5", "3", "6", "4", "7", "2"].into_iter().enumerate() {
            s.h.elapse(millis(2_300)).await;
            assert_eq!(s.change(quantity(&s.order(0).await, wanted)).await, None);
            s.h.elapse(millis(60)).await;
            assert_eq!(s.h.broker.changes().len(), number + 1, "{wanted} is late");
            s.h.elapse(millis(500)).await;
            assert_eq!(s.outcome(0).await, (wanted.to_owned(), ChangeState::Made, None));
        }
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        s.end().await;
    });
}
