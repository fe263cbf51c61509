//! Each fault does what it says, and nothing else.

use crate::support::{NOON, Running, Scratch, TestClock, account, buy, name, open_account, start};
use std::time::Duration;
use tradewarden_broker::paper::{
    Chance, Fault, Injection, On, PaperAdmin, PaperBroker, PaperLink, PriceSource,
};
use tradewarden_broker::port::{Broker, BrokerOrderState, Cancellation, Lookup, Placement};
use tradewarden_domain::price::Trading;

struct Bench {
    broker: PaperBroker,
    admin: PaperAdmin,
    _running: Running,
    _scratch: Scratch,
}

impl Bench {
    async fn new() -> Self {
        let scratch = Scratch::new("faults");
        let running = start(scratch.path(), TestClock::at(NOON));
        let admin = open_account(&running.desk).await;
        let fixed = PriceSource::Fixed("100".parse().unwrap());
        admin.set_price("BTCUSD".parse().unwrap(), fixed, Trading::Open).await.unwrap();
        let broker = PaperBroker::new(PaperLink::InProcess(running.desk.clone()))
            .with_deadline(Duration::from_secs(1));
        Self { broker, admin, _running: running, _scratch: scratch }
    }

    async fn place_with(&self, fault: Fault, id: &str) -> Placement {
        self.admin.inject(Injection::next_place(fault)).await.unwrap();
        self.broker.place(buy(id)).await
    }

    async fn state(&self, id: &str) -> Option<BrokerOrderState> {
        match self.broker.find(name(id)).await {
            Lookup::Found(order) => Some(order.state),
            Lookup::Absent => None,
            Lookup::Unheard { why } => panic!("{why}"),
        }
    }
}

fn is_unknown(placement: &Placement) -> bool {
    matches!(placement, Placement::Unknown { .. })
}

#[tokio::test]
async fn an_answer_dropped_after_acceptance_leaves_one_order() {
    let bench = Bench::new().await;
    for (id, fault) in [("a", Fault::DropAnswerAfterAccept), ("b", Fault::Disconnect)] {
        assert!(is_unknown(&bench.place_with(fault, id).await));
        assert_eq!(bench.state(id).await, Some(BrokerOrderState::Filled));
        assert_eq!(bench.admin.times_received(id).await, Ok(1));
    }
}

#[tokio::test]
async fn a_command_dropped_before_acceptance_leaves_none() {
    let bench = Bench::new().await;
    assert!(is_unknown(&bench.place_with(Fault::DropBeforeAccept, "a").await));
    assert_eq!(bench.state("a").await, None);
    assert_eq!(bench.admin.times_received("a").await, Ok(1));
    // It was never an order, so the id is free.
    assert!(matches!(bench.broker.place(buy("a")).await, Placement::Accepted { .. }));
    assert_eq!(bench.admin.times_received("a").await, Ok(2));
}

#[tokio::test]
async fn a_delayed_answer_is_heard_within_the_deadline_only() {
    let bench = Bench::new().await;
    let soon = bench.place_with(Fault::DelayAnswer(20), "a").await;
    assert!(matches!(soon, Placement::Accepted { .. }), "{soon:?}");
    assert!(is_unknown(&bench.place_with(Fault::DelayAnswer(10_000), "b").await));
    assert_eq!(bench.state("b").await, Some(BrokerOrderState::Filled));
}

#[tokio::test]
async fn rejection_and_throttling() {
    let bench = Bench::new().await;
    let code = |placement| match placement {
        Placement::Rejected { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(bench.place_with(Fault::Reject, "a").await), "injected");
    assert_eq!(bench.state("a").await, Some(BrokerOrderState::Rejected));
    assert_eq!(code(bench.place_with(Fault::Throttle, "b").await), "throttled");
    assert_eq!(bench.state("b").await, None);
}

#[tokio::test]
async fn a_partial_fill_is_completed_by_the_next_tick() {
    let bench = Bench::new().await;
    let placed = bench.place_with(Fault::PartialFill("0.25".parse().unwrap()), "a").await;
    match placed {
        Placement::Accepted { fills, state: BrokerOrderState::PartiallyFilled, .. } => {
            assert_eq!(fills[0].quantity.to_string(), "0.25");
        }
        other => panic!("{other:?}"),
    }
    bench.admin.tick().await.unwrap();
    assert_eq!(bench.state("a").await, Some(BrokerOrderState::Filled));
}

#[tokio::test]
async fn a_late_fill_comes_after_the_cancel() {
    let bench = Bench::new().await;
    let placed = bench.place_with(Fault::LateFill, "a").await;
    let working = matches!(&placed, Placement::Accepted { fills, .. } if fills.is_empty());
    assert!(working, "{placed:?}");
    assert_eq!(bench.broker.cancel(name("a")).await, Cancellation::Done);
    assert_eq!(bench.state("a").await, Some(BrokerOrderState::Canceled));
    bench.admin.tick().await.unwrap();
    assert_eq!(bench.state("a").await, Some(BrokerOrderState::Filled));
    let positions = bench.broker.positions(account()).await.unwrap();
    assert_eq!(positions[0].quantity.to_string(), "1");
}

#[tokio::test]
async fn a_fill_reported_twice_has_one_id() {
    let bench = Bench::new().await;
    bench.broker.place(buy("a")).await;
    let on = On::Fills;
    let fault = Fault::DuplicateFillReport;
    bench.admin.inject(Injection { fault, on, chance: Chance::Next(1) }).await.unwrap();
    let page = bench.broker.fills_since(account(), None, 10).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(page.items[0], page.items[1]);
    let rest = bench.broker.fills_since(account(), page.next_cursor, 10).await.unwrap();
    assert!(rest.items.is_empty());
    match bench.place_with(Fault::DuplicateFillReport, "b").await {
        Placement::Accepted { fills, .. } => assert_eq!(fills.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn other_calls_meet_faults_too() {
    let bench = Bench::new().await;
    bench.broker.place(buy("a")).await;
    let next = |fault, on| Injection { fault, on, chance: Chance::Next(1) };
    bench.admin.inject(next(Fault::DropAnswerAfterAccept, On::Find)).await.unwrap();
    assert!(matches!(bench.broker.find(name("a")).await, Lookup::Unheard { .. }));
    assert!(matches!(bench.broker.find(name("a")).await, Lookup::Found(_)));
    bench.admin.inject(next(Fault::Throttle, On::Read)).await.unwrap();
    assert!(bench.broker.positions(account()).await.is_err());
    bench.admin.inject(next(Fault::Disconnect, On::Cancel)).await.unwrap();
    assert!(matches!(bench.broker.cancel(name("a")).await, Cancellation::Unknown { .. }));
    bench.admin.inject(next(Fault::Reject, On::Cancel)).await.unwrap();
    bench.admin.clear_faults().await.unwrap();
    assert_eq!(bench.broker.cancel(name("never")).await, Cancellation::NotFound);
}

#[tokio::test]
async fn somebody_trades_by_hand() {
    let bench = Bench::new().await;
    bench.broker.place(buy("a")).await;
    let (symbol, quantity) = ("BTCUSD".parse().unwrap(), "-2".parse().unwrap());
    bench.admin.position_by_hand(account(), symbol, quantity).await.unwrap();
    let positions = bench.broker.positions(account()).await.unwrap();
    assert_eq!(positions[0].quantity, quantity);
    assert_eq!(bench.broker.fills_since(account(), None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn without_a_task_nothing_is_sent() {
    let scratch = Scratch::new("stopped");
    let clock = TestClock::at(NOON);
    let settings = tradewarden_broker::paper::PaperSettings::default();
    let (task, desk) =
        tradewarden_broker::paper::PaperTask::open(scratch.path(), settings, clock).unwrap();
    drop(task);
    let broker = PaperBroker::new(PaperLink::InProcess(desk));
    assert!(matches!(broker.place(buy("a")).await, Placement::NotSent { .. }));
}
