//! Exits that were on their way when the process ended, and what is sent beside them.

use super::{Small, millis};
use tradewarden_broker::port::{Capability, MarketState};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, OrderType};
use tradewarden_testkit::broker::{Call, Fault, Venue};
use tradewarden_testkit::engine::simulate;

fn native() -> Venue {
    Venue { reduce_only: Capability::Native, ..Venue::default() }
}

async fn bracketed(seed: u64) -> Small {
    Small::with(seed, native(), |new| {
        new.take_profit = Some("100".parse().unwrap());
        new.stop_loss = Some("50".parse().unwrap());
    })
    .await
}

fn fall(s: &Small) {
    s.h.broker.set_market("ES", Some("4900".parse().unwrap()), MarketState::Open);
}

/// S4, S9: a stop filled while the process was away. An exit is for what is left, so it waits for the
/// fills, and no longer than a moment where they are not heard: then it is by what the orders show.
#[test]
fn s4_after_a_start_exits_wait_for_fills() {
    for unheard in [0, 3, 8, 60] {
        simulate(async || {
            println!("{unheard}");
            let mut s = bracketed(82).await;
            s.accept("BUY", "a").await;
            s.h.elapse(millis(1_000)).await;
            assert_eq!(s.live_legs().await.len(), 2);
            fall(&s);
            s.h.broker.next_faults(Call::FillsSince, &vec![Fault::LostBefore; unheard]);
            s.h.restart().await;
            s.h.ready().await;
            s.accept("EXIT", "b").await;
            s.h.elapse(millis(12_000)).await;
            s.h.quiet().await;
            assert_eq!(s.h.broker.orders().len(), 3, "nothing but the entry and its legs");
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
            s.end().await;
        });
    }
}

/// S9: the stop comes first; where it fills at once, nothing is left to take a profit of.
#[test]
fn s9_a_profit_is_not_placed_beside_a_stop_that_fills_at_once() {
    simulate(async || {
        let s = bracketed(83).await;
        s.accept("BUY", "a").await;
        s.h.elapse(millis(30)).await;
        assert_eq!(s.order(0).await.state, OrderState::Filled);
        fall(&s);
        s.h.elapse(millis(3_000)).await;
        s.h.quiet().await;
        assert_eq!(s.h.broker.orders().len(), 2, "the entry and its stop");
        let profit = s.h.orders().await.into_iter().find(|it| it.order_type == OrderType::Limit);
        let profit = profit.map(|order| (order.state, order.code));
        assert_eq!(profit, Some((OrderState::Canceled, Some(Code::StrategyFlat))));
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}
