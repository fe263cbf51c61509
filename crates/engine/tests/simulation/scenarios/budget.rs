//! What a venue lets itself be called, and what of it is kept for what may never be blocked (S18).

use super::{Small, millis};
use std::time::Duration;
use tradewarden_broker::port::{self, CallBudget, CallWeights, CallWindow};
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_domain::time::Timestamp;
use tradewarden_testkit::broker::{Call, FillPlan, Venue};
use tradewarden_testkit::engine::{raw, signal, simulate};

/// Two windows at once, as Tradovate has them.
const TWO_WINDOWS: CallBudget = CallBudget {
    windows: &[
        CallWindow { span: Duration::from_secs(1), weight_max: 50 },
        CallWindow { span: Duration::from_secs(10), weight_max: 200 },
    ],
    weights: CallWeights::EVEN,
};

/// One short window, in which some calls weigh more, as Binance has them.
const WEIGHED: CallBudget = CallBudget {
    windows: &[CallWindow { span: Duration::from_secs(1), weight_max: 40 }],
    weights: CallWeights(&[(port::Call::Positions, 5), (port::Call::Cancel, 2)]),
};

/// One window in which little fits.
const NARROW: CallBudget = CallBudget {
    windows: &[CallWindow { span: Duration::from_secs(10), weight_max: 50 }],
    weights: CallWeights::EVEN,
};

impl Small {
    /// A strategy that adds one contract after the other at a venue with this budget; no order fills.
    async fn adding(seed: u64, budget: CallBudget) -> Self {
        let venue = Venue { budget, ..Venue::default() };
        let s = Self::with(seed, venue, |new| {
            new.pyramiding = Some(Pyramiding::Allow);
            new.quantity = "1".parse().unwrap();
        })
        .await;
        for (name, most) in [("max_position", "1000"), ("max_orders_per_minute", "100000")] {
            s.h.limit("org", name, most).await;
        }
        s.h.broker.usual_plan(FillPlan::Rests);
        s
    }

    /// Entries, ten at a moment, ten times a second.
    async fn load(&self, name: &str, tens: usize) {
        for ten in 0..tens {
            let requests =
                (0..10).map(|one| raw(&self.hook, &signal("BUY", &format!("{name}-{ten}-{one}"))));
            self.h.send_together(requests.collect()).await;
            self.h.elapse(millis(100)).await;
        }
    }

    /// When calls of this kind were made since then.
    fn called(&self, call: Call, since: Timestamp) -> Vec<Timestamp> {
        let records = self.h.broker.records().into_iter();
        records.filter(|it| it.call == call && it.at >= since).map(|it| it.at).collect()
    }

    /// What the calls weigh that began in the busiest span of each window, counted at the broker.
    fn busiest(&self, budget: CallBudget) -> Vec<u32> {
        let records = self.h.broker.records();
        let counted: Vec<_> = records
            .iter()
            .filter_map(|it| Some((it.at, budget.weights.of(it.call.counted()?))))
            .collect();
        let busiest = |window: &CallWindow| {
            let sums = counted.iter().enumerate().map(|(place, (from, _))| {
                let until = from.plus(window.span);
                let inside = counted[place..].iter().take_while(|(at, _)| *at < until);
                inside.map(|(_, weight)| weight).sum()
            });
            sums.max().unwrap_or(0)
        };
        budget.windows.iter().map(busiest).collect()
    }

    async fn working(&self) -> usize {
        let orders = self.h.orders().await;
        orders.iter().filter(|order| order.state == OrderState::Working).count()
    }
}

/// S18: far more entries than the venue takes: they wait in our book, leave in time or expire; nothing is
/// refused for the rate, and a halt's cancels find their room at once.
#[test]
fn s18_a_full_load_of_entries_makes_no_cancel_late() {
    simulate(async || {
        let s = Small::adding(501, TWO_WINDOWS).await;
        s.load("a", 30).await;
        s.h.elapse(Duration::from_secs(12)).await;
        let working = s.working().await;
        assert!((30..190).contains(&working), "{working}");
        let orders = s.h.orders().await;
        let expired = orders.iter().filter(|order| order.state == OrderState::Expired).count();
        assert!(expired > 50, "{expired} of {}", orders.len());
        for sent in s.h.broker.sent() {
            let order = orders.iter().find(|it| it.client_order_id() == sent.client_order_id);
            assert!(order.unwrap().send_by.unwrap() >= sent.at, "{sent:?}");
        }
        // Entries keep coming while the halt is engaged.
        s.load("b", 5).await;
        let engaged_at = s.h.now();
        let halt = s.h.halt(None, "cancel").await;
        s.h.elapse(Duration::from_secs(3)).await;
        let canceled = s.called(Call::Cancel, engaged_at);
        assert!(canceled.len() >= working, "{} of {working}", canceled.len());
        assert!(canceled[0] <= engaged_at.plus(millis(300)), "{engaged_at} {}", canceled[0]);
        let most = engaged_at.plus(Duration::from_secs(3));
        assert!(*canceled.last().unwrap() <= most, "{engaged_at} {canceled:?}");
        assert_eq!(s.h.broker.refused(), 0);
        s.done(&halt).await;
        assert_eq!(s.working().await, 0);
        let busiest = s.busiest(TWO_WINDOWS);
        assert!(busiest[0] <= 50 && busiest[1] <= 200, "{busiest:?}");
        assert_eq!(s.h.broker.refused(), 0);
        s.end().await;
    });
}

/// S18: where the budget does not take all cancels of a halt at once, they are spread, and none is refused.
#[test]
fn s18_cancels_of_a_halt_are_spread() {
    simulate(async || {
        let s = Small::adding(502, WEIGHED).await;
        for number in 0..6 {
            s.load(&number.to_string(), 1).await;
            s.h.elapse(Duration::from_secs(2)).await;
        }
        let working = s.working().await;
        assert!(working >= 40, "{working}");
        let engaged_at = s.h.now();
        let halt = s.h.halt(None, "cancel").await;
        s.done(&halt).await;
        assert_eq!(s.working().await, 0);
        let canceled = s.called(Call::Cancel, engaged_at);
        let took = canceled.last().unwrap().since(engaged_at);
        assert!(took > Duration::from_secs(1), "two for each, 40 a second: {took:?}");
        assert!(took < Duration::from_secs(10), "S21: {took:?}");
        assert_eq!(s.h.broker.refused(), 0);
        s.end().await;
    });
}

/// S18: what is asked again and again leaves room: an order leaves at once, however long was polled.
#[test]
fn s18_polls_do_not_starve_orders() {
    simulate(async || {
        let s = Small::adding(505, NARROW).await;
        s.h.elapse(Duration::from_mins(1)).await;
        let idle = s.h.broker.records().len();
        let told_at = s.h.now();
        for number in 0..10 {
            s.accept("BUY", &format!("one-{number}")).await;
        }
        s.h.elapse(millis(300)).await;
        let placed = s.called(Call::Place, told_at);
        assert_eq!(placed.len(), 10, "{placed:?}");
        assert!(placed[9].since(told_at) < millis(300), "{told_at} {placed:?}");
        // And the polls go on beside a flood that would take everything.
        s.load("d", 200).await;
        let from = s.h.now().minus(Duration::from_secs(10));
        for polled in [Call::FillsSince, Call::Quote, Call::Positions] {
            assert!(!s.called(polled, from).is_empty(), "{polled:?}");
        }
        assert!(idle > 50, "{idle}");
        assert!(s.busiest(NARROW)[0] <= 50, "{:?}", s.busiest(NARROW));
        assert_eq!(s.h.broker.refused(), 0);
        s.h.finish().await;
    });
}

/// S18: a process that begins inside a window does not spend a second one; it can cancel at once.
#[test]
fn s18_a_restart_does_not_spend_a_second_window() {
    simulate(async || {
        let mut s = Small::adding(506, NARROW).await;
        s.h.elapse(Duration::from_secs(12)).await;
        s.load("e", 2).await;
        let before = s.h.broker.sent().len();
        assert!(before > 10, "{before}");
        s.h.restart().await;
        let started_at = s.h.now();
        s.load("f", 2).await;
        let after = s.h.broker.sent().len() - before;
        assert_eq!(after, 0);
        let halt = s.h.halt(None, "cancel").await;
        s.h.elapse(millis(400)).await;
        let canceled = s.called(Call::Cancel, started_at);
        assert!(!canceled.is_empty());
        s.done(&halt).await;
        assert_eq!(s.working().await, 0);
        s.h.resume(&halt).await;
        s.h.elapse(Duration::from_secs(12)).await;
        s.load("g", 1).await;
        assert!(s.h.broker.sent().len() > before + after, "all of a window is there again");
        assert_eq!(s.h.broker.refused(), 0);
        assert!(s.busiest(NARROW)[0] <= 50, "{:?}", s.busiest(NARROW));
        s.end().await;
    });
}

/// S18: an exit goes out while entries wait for their part of the budget.
#[test]
fn s18_an_exit_does_not_wait_behind_entries() {
    simulate(async || {
        let s = Small::adding(503, TWO_WINDOWS).await;
        s.h.broker.usual_plan(FillPlan::AtOnce);
        s.accept("BUY", "held").await;
        s.h.elapse(millis(500)).await;
        s.h.broker.usual_plan(FillPlan::Rests);
        s.load("h", 25).await;
        let waiting = s.h.orders().await;
        let waiting = waiting.iter().filter(|order| order.state == OrderState::Accepted).count();
        assert!(waiting > 20, "{waiting}");
        s.h.broker.usual_plan(FillPlan::AtOnce);
        let told_at = s.h.now();
        let close = tradewarden_engine::command::PositionClose {
            account: s.account.clone(),
            symbol: "ES".to_owned(),
        };
        s.h.command(tradewarden_engine::command::Command::PositionClose(close)).await;
        s.h.elapse(Duration::from_secs(4)).await;
        let orders = s.h.orders().await;
        let exit = orders.iter().find(|order| order.purpose == Purpose::Exit).unwrap();
        let sent = s.h.broker.sent();
        let left = sent.iter().find(|it| it.client_order_id == exit.client_order_id()).unwrap();
        assert!(left.at.since(told_at) < Duration::from_millis(500), "{told_at} {}", left.at);
        assert_eq!(s.h.broker.refused(), 0);
        s.h.finish().await;
    });
}

/// S18: a venue that asks not to be called (429 with `Retry-After`) hears nothing until then; what may
/// still leave leaves after it, and cancels come first.
#[test]
fn s18_a_venue_that_asks_for_silence_gets_it() {
    simulate(async || {
        let s = Small::adding(504, TWO_WINDOWS).await;
        s.accept("BUY", "works").await;
        s.h.elapse(millis(500)).await;
        assert_eq!(s.working().await, 1);
        s.h.broker.limit_for(Duration::from_secs(4));
        let until = s.h.now().plus(Duration::from_secs(4));
        s.h.elapse(millis(1_200)).await;
        // One call may have been on its way for each of those who call.
        let refused = s.h.broker.refused();
        assert!(refused <= 6, "{refused}");
        let silent_from = s.h.now();
        s.accept("BUY", "waits").await;
        let halt = s.h.halt(None, "cancel").await;
        s.h.elapse(Duration::from_secs(2)).await;
        let records = s.h.broker.records();
        let called: Vec<_> =
            records.iter().filter(|it| it.at >= silent_from && it.at < until).collect();
        assert!(called.is_empty(), "{called:?}");
        s.done(&halt).await;
        let canceled = s.called(Call::Cancel, silent_from);
        assert!(canceled[0].since(until) < millis(300), "{until} {canceled:?}");
        assert_eq!(s.h.broker.refused(), refused);
        assert_eq!(s.h.broker.sent().len(), 1);
        s.end().await;
    });
}
