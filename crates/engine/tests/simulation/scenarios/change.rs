//! Changes of orders, by what becomes of them at the broker.

use super::{Small, keys, millis};
use serde_json::json;
use std::time::Duration;
use tradewarden_broker::port::Capability;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{ChangeState, Order, OrderState, OrderType, Side};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{ById, Command, CommandError, OrderChange, OrderCreate};
use tradewarden_engine::once::OnceKey;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, simulate};

pub(super) fn quantity(order: &Order, quantity: &str) -> OrderChange {
    OrderChange {
        id: order.id.to_string(),
        quantity: Some(quantity.parse().unwrap()),
        limit_price: None,
        stop_price: None,
    }
}

pub(super) fn stop(order: &Order, price: &str) -> OrderChange {
    let stop_price = Some(price.parse().unwrap());
    OrderChange { quantity: None, stop_price, ..quantity(order, "1") }
}

impl Small {
    /// One entry of two that rests at the broker.
    pub(super) async fn resting(seed: u64, venue: Venue) -> Self {
        let s = Self::with(seed, venue, |new| new.pyramiding = Some(Pyramiding::Allow)).await;
        s.h.broker.usual_plan(FillPlan::Rests);
        s.accept("BUY", "a").await;
        s.h.elapse(millis(50)).await;
        assert_eq!(s.order(0).await.state, OrderState::Working);
        s
    }

    /// The code of the refusal, if it is one.
    pub(super) async fn change(&self, change: OrderChange) -> Option<Code> {
        match self.h.try_command(Command::OrderChange(change)).await.unwrap() {
            Ok(_) => None,
            Err(CommandError::Order(no)) => Some(no.code),
            Err(error) => panic!("{error}"),
        }
    }

    /// A caller's own order.
    pub(super) async fn place(&self, side: Side, size: &str, stop_price: Option<&str>) -> Order {
        let new = OrderCreate {
            account_id: self.account.clone(),
            symbol: "ES".to_owned(),
            side,
            order_type: stop_price.map_or(OrderType::Market, |_| OrderType::Stop),
            quantity: size.parse().unwrap(),
            limit_price: None,
            stop_price: stop_price.map(|text| text.parse().unwrap()),
            time_in_force: None,
            reduce_only: false,
            expires_at: None,
            tag: None,
            allow_repeat: true,
        };
        let made = self.h.command(Command::OrderCreate(new)).await;
        self.h.elapse(millis(50)).await;
        let orders = self.h.orders().await;
        orders.into_iter().find(|order| made["id"] == order.id.to_string()).unwrap()
    }

    async fn reserved(&self) -> (String, String) {
        let exposures = self.h.exposures(&self.account).await;
        let sum = exposures.iter().fold((0, 0), |(buy, sell), (_, held)| {
            let buys = held.entry_buy.units() + held.exit_buy.units();
            let sells = held.entry_sell.units() + held.exit_sell.units();
            (buy + buys / 100_000_000, sell + sells / 100_000_000)
        });
        (sum.0.to_string(), sum.1.to_string())
    }

    pub(super) async fn outcome(&self, place: usize) -> (String, ChangeState, Option<Code>) {
        let order = self.order(place).await;
        let change = order.change.unwrap();
        (order.quantity.to_string(), change.state, change.code)
    }

    async fn events(&self, order: &Order) -> Vec<String> {
        let entries = self.h.entries(order.id.to_bytes()).await;
        let event = |leaf: &str| -> String {
            let leaf: serde_json::Value = serde_json::from_str(leaf).unwrap();
            leaf["event"].as_str().unwrap().to_owned()
        };
        entries.iter().map(|entry| event(&entry.leaf)).filter(|e| e.contains("change")).collect()
    }
}

/// What the broker does with the one call, what the order is then, and what counted meanwhile.
#[test]
fn a_change_is_called_for_once_and_its_outcome_is_what_the_broker_shows() {
    use ChangeState::{Made, Refused};
    let rejected = Some(Code::OrderChangeRejected);
    let not_made = Some(Code::OrderChangeNotMade);
    let late = Fault::Late(millis(1_000));
    for (wanted, fault, at_once, at_the_end) in [
        ("4", None, "4", ("4", Made, None)),
        ("1", None, "1", ("1", Made, None)),
        ("4", Some(Fault::Rejected), "2", ("2", Refused, rejected)),
        ("4", Some(Fault::LostAfter), "4", ("4", Made, None)),
        ("1", Some(Fault::LostAfter), "2", ("1", Made, None)),
        ("4", Some(Fault::LostBefore), "4", ("2", Refused, not_made)),
        ("1", Some(Fault::LostBefore), "2", ("2", Refused, not_made)),
        ("4", Some(late), "4", ("4", Made, None)),
        ("4", Some(Fault::Late(millis(3_000))), "4", ("2", Refused, not_made)),
        ("4", Some(Fault::Throttled), "4", ("2", Refused, not_made)),
    ] {
        simulate(async || {
            println!("{wanted} {fault:?}");
            let s = Small::resting(51, Venue::default()).await;
            s.h.broker.next_faults(Call::Replace, fault.as_slice());
            assert_eq!(s.change(quantity(&s.order(0).await, wanted)).await, None);
            s.h.elapse(millis(250)).await;
            assert_eq!(s.reserved().await, (at_once.to_owned(), "0".to_owned()));
            s.h.elapse(millis(4_500)).await;
            let (size, state, code) = at_the_end;
            assert_eq!(s.outcome(0).await, (size.to_owned(), state, code));
            assert_eq!(s.reserved().await, (size.to_owned(), "0".to_owned()));
            assert_eq!(s.h.broker.orders()[0].quantity.to_string(), size);
            let calls = s.h.broker.records().iter().filter(|r| r.call == Call::Replace).count();
            assert_eq!(calls, 1);
            let events = s.events(&s.order(0).await).await;
            let last = if state == Made { "order.changed" } else { "order.change_refused" };
            assert_eq!(events[..2], ["order.change_requested", "order.change_sending"]);
            assert_eq!(events.last().unwrap(), last, "{events:?}");
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            assert_eq!(s.position().await, size);
            s.end().await;
        });
    }
}

/// Look-ups that lag prove nothing before they have settled, and where they prove less, twice.
#[test]
fn a_venue_of_which_less_is_known_is_asked_longer() {
    simulate(async || {
        let venue = Venue {
            place_expiry: Capability::Absent,
            find_is_authoritative_after_expiry: false,
            find_settles_after: millis(1_600),
            ..Venue::default()
        };
        let s = Small::resting(52, venue).await;
        s.h.broker.next_faults(Call::Replace, &[Fault::Late(millis(2_700))]);
        assert_eq!(s.change(quantity(&s.order(0).await, "5")).await, None);
        s.h.elapse(millis(2_600)).await;
        assert_eq!(s.order(0).await.change.unwrap().state, ChangeState::Unknown);
        s.h.elapse(millis(3_000)).await;
        assert_eq!(s.outcome(0).await, ("5".to_owned(), ChangeState::Made, None));
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        s.end().await;
    });
}

/// Fills that come before the answer is known decide as much as a look-up.
#[test]
fn fills_race_with_a_change() {
    for (wanted, fault, filled, code) in [
        ("4", Fault::LostAfter, "4", None),
        ("4", Fault::LostBefore, "2", Some(Code::OrderChangeOvertaken)),
        ("1", Fault::LostAfter, "1", None),
        ("1", Fault::LostBefore, "2", Some(Code::OrderChangeOvertaken)),
    ] {
        simulate(async || {
            println!("{wanted} {fault:?}");
            let s = Small::resting(53, Venue::default()).await;
            s.h.broker.next_faults(Call::Replace, &[fault]);
            assert_eq!(s.change(quantity(&s.order(0).await, wanted)).await, None);
            s.h.elapse(millis(100)).await;
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            let order = s.order(0).await;
            assert_eq!((order.state, s.position().await.as_str()), (OrderState::Filled, filled));
            assert_eq!(
                (order.quantity.to_string().as_str(), order.change.unwrap().code),
                (filled, code)
            );
            assert_eq!(s.reserved().await, ("0".to_owned(), "0".to_owned()));
            assert!(!s.h.has_finding("order.overfilled").await);
            s.end().await;
        });
    }
}

/// S9: what is not known to have left waits; a halt that comes meanwhile stops what adds risk, and
/// never a cancel of a part.
#[test]
fn halts_are_heeded_before_the_call() {
    for (mode, wanted, calls) in
        [("reduce_only", "4", 0), ("reduce_only", "1", 1), ("block", "1", 1)]
    {
        simulate(async || {
            let s = Small::with(54, Venue::default(), |_| {}).await;
            s.h.broker.usual_plan(FillPlan::Rests);
            s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(500)).await;
            assert_eq!(s.order(0).await.state, OrderState::Unknown);
            assert_eq!(s.change(quantity(&s.order(0).await, wanted)).await, None);
            s.h.halt(None, mode).await;
            s.h.elapse(millis(3_000)).await;
            assert_eq!(s.h.broker.changes().len(), calls, "{mode} {wanted}");
            let (size, state, code) = s.outcome(0).await;
            if calls == 0 {
                let halted = ("2".to_owned(), ChangeState::Refused, Some(Code::DispatchHalted));
                assert_eq!((size, state, code), halted);
            } else {
                assert_eq!((size.as_str(), state), (wanted, ChangeState::Made));
            }
            let refused = s.change(quantity(&s.order(0).await, "5")).await;
            assert_eq!(refused, Some(Code::HaltActive));
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            s.end().await;
        });
    }
}

/// What adds risk and could not be sent in time is not sent at all (S12).
#[test]
fn s12_a_change_that_adds_risk_expires_unsent() {
    for (wanted, code) in [("4", Some(Code::DispatchExpired)), ("1", None)] {
        simulate(async || {
            let s = Small::with(55, Venue::default(), |_| {}).await;
            s.h.broker.usual_plan(FillPlan::Rests);
            s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(500)).await;
            s.h.broker.next_faults(Call::Find, &[Fault::LostBefore; 30]);
            assert_eq!(s.change(quantity(&s.order(0).await, wanted)).await, None);
            s.h.elapse(millis(25_000)).await;
            assert_eq!(s.outcome(0).await.2, code);
            assert_eq!(s.h.broker.changes().len(), usize::from(code.is_none()));
            assert_eq!(s.h.has_finding("dispatch.expired").await, code.is_some());
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            s.end().await;
        });
    }
}

/// An order that has not left is changed in the journal, and leaves as it is then.
#[test]
fn an_order_not_sent_yet_is_changed_in_the_journal_alone() {
    simulate(async || {
        let venue = Venue { replace: Capability::Absent, ..Venue::default() };
        let s = Small::with(56, venue, |new| new.pyramiding = Some(Pyramiding::Allow)).await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostBefore]);
        s.accept("BUY", "lost").await;
        s.h.elapse(millis(500)).await;
        s.accept("BUY", "waits").await;
        s.h.elapse(millis(50)).await;
        assert_eq!(s.order(1).await.state, OrderState::Accepted);
        assert_eq!(s.change(quantity(&s.order(1).await, "5")).await, None);
        assert_eq!(s.outcome(1).await, ("5".to_owned(), ChangeState::Made, None));
        assert_eq!(s.reserved().await.0, "7");
        assert_eq!(s.events(&s.order(1).await).await, ["order.changed"]);
        s.h.quiet().await;
        assert_eq!(s.position().await, "5");
        assert_eq!(s.h.broker.sent()[1].order.quantity.to_string(), "5");
        assert_eq!(s.h.broker.changes().len(), 0);
        s.end().await;
    });
}

/// A broker that cannot change orders is not made to: no cancel and no new order.
#[test]
fn a_broker_without_the_capability_is_not_asked() {
    simulate(async || {
        let venue = Venue { replace: Capability::Absent, ..Venue::default() };
        let s = Small::resting(57, venue).await;
        let refused = s.change(quantity(&s.order(0).await, "1")).await;
        assert_eq!(refused, Some(Code::OrderChangeUnsupported));
        s.h.elapse(millis(2_000)).await;
        let calls = s.h.broker.records();
        assert!(!calls.iter().any(|r| matches!(r.call, Call::Cancel | Call::Replace)));
        assert_eq!(s.events(&s.order(0).await).await, ["order.change_refused"]);
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        s.end().await;
    });
}

/// A change is checked as the order was; what only reduces is not refused by a limit (S9, S18).
#[test]
fn s9_a_change_is_checked_as_create_and_reducing_is_never_refused() {
    simulate(async || {
        let s = Small::resting(58, Venue::default()).await;
        let order = s.order(0).await;
        for (limit, value, wanted, code) in [
            ("max_position", "3", "4", Some(Code::RiskMaxPosition)),
            ("max_position", "4", "4", None),
            ("max_position", "1", "3", None),
            ("max_order_quantity", "4", "5", Some(Code::RiskMaxOrderQuantity)),
            ("max_order_quantity", "1", "2", None),
            ("max_orders_per_minute", "1", "1", None),
        ] {
            s.h.limit("org", limit, value).await;
            assert_eq!(s.change(quantity(&order, wanted)).await, code, "{limit} {value} {wanted}");
            s.h.elapse(millis(100)).await;
        }
        for name in ["max_position", "max_order_quantity"] {
            s.h.limit("org", name, "20").await;
        }
        let fast = s.change(quantity(&order, "2")).await;
        assert_eq!(fast, Some(Code::RiskMaxOrdersPerMinute), "it counts as an order");
        let half = s.change(quantity(&order, "1.5")).await;
        assert_eq!(half, Some(Code::SizingUnusableQuantity));
        s.h.broker.set_market("ES", None, tradewarden_broker::port::MarketState::Closed);
        s.h.elapse(millis(1_000)).await;
        s.h.broker.set_market("ES", None, tradewarden_broker::port::MarketState::Open);
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        assert_eq!(s.position().await, "1");
        assert_eq!(s.change(quantity(&order, "2")).await, Some(Code::OrderNotOpen));
        s.end().await;
    });
}

/// The part that has filled stays: less is refused, as much cancels the rest.
#[test]
fn what_has_filled_cannot_be_taken_back() {
    simulate(async || {
        let s = Small::with(59, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::InTwo(Duration::from_mins(1)).into()]);
        let order = s.place(Side::Buy, "6", None).await;
        assert_eq!(s.order(0).await.filled_quantity.to_string(), "3");
        assert_eq!(s.change(quantity(&order, "2")).await, Some(Code::OrderBelowFilled));
        s.h.limit("org", "max_position", "8").await;
        assert_eq!(s.change(quantity(&order, "9")).await, Some(Code::RiskMaxPosition));
        assert_eq!(s.change(quantity(&order, "3")).await, None);
        assert_eq!(s.change(quantity(&order, "4")).await, Some(Code::OrderNotOpen));
        s.h.elapse(millis(1_500)).await;
        let order = s.order(0).await;
        assert_eq!((order.state, order.code), (OrderState::Canceled, Some(Code::OrderCanceled)));
        assert_eq!((s.position().await.as_str(), s.h.broker.changes().len()), ("3", 0));
        s.h.elapse(Duration::from_mins(1)).await;
        assert_eq!(s.held(), 3);
        s.end().await;
    });
}

/// One change at a time; and what a cancel overtakes is not made.
#[test]
fn one_change_is_in_flight_at_a_time() {
    simulate(async || {
        let s = Small::resting(60, Venue::default()).await;
        let order = s.order(0).await;
        s.h.broker.next_faults(Call::Replace, &[Fault::LostBefore]);
        assert_eq!(s.change(quantity(&order, "4")).await, None);
        for more in ["3", "5"] {
            assert_eq!(s.change(quantity(&order, more)).await, Some(Code::OrderChangeInFlight));
        }
        let cancel = tradewarden_engine::command::ById { id: order.id.to_string() };
        s.h.command(Command::OrderCancel(cancel)).await;
        s.h.quiet().await;
        let (_, state, code) = s.outcome(0).await;
        assert_eq!((state, code), (ChangeState::Refused, Some(Code::OrderChangeOvertaken)));
        assert_eq!(s.events(&order).await.last().unwrap(), "order.change_refused");
        assert_eq!(s.reserved().await.0, "0");
        s.end().await;
    });
}

/// S9: making an order smaller is never refused, also not for a change of which nothing is known; it
/// comes next, whatever becomes of that one, and survives the process.
#[test]
fn s9_what_only_reduces_follows_the_change_under_way() {
    for (first, fault) in
        [("4", Fault::LostAfter), ("4", Fault::LostBefore), ("4", Fault::Late(millis(1_000)))]
    {
        for dies in [false, true] {
            simulate(async || {
                println!("{first} {fault:?} {dies}");
                let mut s = Small::resting(65, Venue::default()).await;
                let order = s.order(0).await;
                s.h.broker.next_faults(Call::Replace, &[fault]);
                assert_eq!(s.change(quantity(&order, first)).await, None);
                s.h.elapse(millis(100)).await;
                s.h.halt(None, "block").await;
                assert_eq!(s.change(quantity(&order, "1")).await, None);
                assert_eq!(s.change(quantity(&order, "1")).await, None, "once more");
                if dies {
                    s.h.restart().await;
                    s.h.ready().await;
                }
                s.h.elapse(millis(12_000)).await;
                assert_eq!(s.outcome(0).await, ("1".to_owned(), ChangeState::Made, None));
                assert_eq!(s.order(0).await.change.unwrap().then_quantity, None);
                assert_eq!(s.h.broker.orders()[0].quantity.to_string(), "1");
                assert_eq!(s.reserved().await, ("1".to_owned(), "0".to_owned()));
                s.h.broker.let_all_fill();
                s.h.quiet().await;
                assert_eq!(s.position().await, "1");
                s.end().await;
            });
        }
    }
}

/// S9: a growth that has not left does not leave any more once the order is to be smaller; its new
/// price goes out by itself.
#[test]
fn s9_what_only_reduces_takes_the_place_of_what_has_not_left() {
    for (wanted, outcome, calls) in [
        ("1", ("1", ChangeState::Made, None), 1),
        ("2", ("2", ChangeState::Refused, Some(Code::OrderChangeOvertaken)), 0),
    ] {
        simulate(async || {
            println!("{wanted}");
            let s = Small::with(66, Venue::default(), |_| {}).await;
            s.h.broker.usual_plan(FillPlan::Rests);
            s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(500)).await;
            let order = s.order(0).await;
            assert_eq!(order.state, OrderState::Unknown);
            assert_eq!(s.change(quantity(&order, "4")).await, None);
            assert_eq!(s.reserved().await.0, "4");
            assert_eq!(s.change(quantity(&order, wanted)).await, None);
            assert_eq!(s.reserved().await.0, "2");
            s.h.elapse(millis(5_000)).await;
            let (size, state, code) = outcome;
            assert_eq!(s.outcome(0).await, (size.to_owned(), state, code));
            assert_eq!(s.h.broker.changes().len(), calls);
            s.h.broker.let_all_fill();
            s.h.quiet().await;
            assert_eq!(s.position().await, size);
            s.end().await;
        });
    }
    simulate(async || {
        let s = Small::with(67, Venue::default(), |_| {}).await;
        s.place(Side::Buy, "5", None).await;
        s.h.broker.next_faults(Call::Place, &[Fault::LostAfter]);
        let exit = s.place(Side::Sell, "4", Some("4900")).await;
        let both = OrderChange { quantity: Some("5".parse().unwrap()), ..stop(&exit, "4950") };
        assert_eq!(s.change(both).await, None);
        assert_eq!(s.order(1).await.change.unwrap().state, ChangeState::Wanted);
        assert_eq!(s.change(quantity(&exit, "3")).await, None);
        s.h.elapse(millis(8_000)).await;
        let order = s.order(1).await;
        assert_eq!(order.stop_price.unwrap().to_string(), "4950");
        assert_eq!(s.outcome(1).await, ("3".to_owned(), ChangeState::Made, None));
        assert_eq!(s.reserved().await, ("0".to_owned(), "3".to_owned()));
        let price = Some("4940".parse().unwrap());
        s.h.broker.set_market("ES", price, tradewarden_broker::port::MarketState::Open);
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("2", 2));
        s.end().await;
    });
}

/// An exit grows at most to the position, and its stop may be moved whatever the limits say.
#[test]
fn an_exit_stays_one_that_only_reduces() {
    simulate(async || {
        let s = Small::with(61, Venue::default(), |_| {}).await;
        s.place(Side::Buy, "5", None).await;
        let exit = s.place(Side::Sell, "2", Some("4900")).await;
        assert_eq!(exit.state, OrderState::Working);
        s.h.limit("org", "price_collar_percent", "0.01").await;
        s.h.limit("org", "max_order_quantity", "1").await;
        assert_eq!(s.change(stop(&exit, "4950")).await, None);
        s.h.elapse(millis(100)).await;
        assert_eq!(s.order(1).await.stop_price.unwrap().to_string(), "4950");
        assert_eq!(s.change(quantity(&exit, "9")).await, None);
        s.h.elapse(millis(100)).await;
        assert_eq!(s.outcome(1).await, ("5".to_owned(), ChangeState::Made, None));
        assert_eq!(s.reserved().await, ("0".to_owned(), "5".to_owned()));
        assert_eq!(s.change(quantity(&exit, "6")).await, Some(Code::PositionFlat));
        let tried = s.h.try_command(Command::OrderChange(quantity(&exit, "6"))).await.unwrap();
        let Err(CommandError::Order(no)) = tried else { panic!("{tried:?}") };
        assert_eq!((no.input.as_deref(), no.limit.as_deref()), (Some("6"), Some("5")));
        assert!(no.detail.contains("closes 5 already"), "{}", no.detail);
        s.h.broker.next_faults(Call::Replace, &[Fault::Rejected]);
        assert_eq!(s.change(stop(&exit, "4960")).await, None);
        s.h.elapse(millis(100)).await;
        assert!(s.h.has_finding("order.change_refused").await, "an exit is not as it was wanted");
        s.h.broker.set_market(
            "ES",
            Some("4940".parse().unwrap()),
            tradewarden_broker::port::MarketState::Open,
        );
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.end().await;
    });
}

/// A key changes what it might place, and nothing else.
#[test]
fn a_key_needs_for_a_change_what_it_needs_to_place() {
    simulate(async || {
        let s = Small::resting(63, Venue::default()).await;
        let other = s.h.account("other").await;
        let order = s.order(0).await;
        let create = json!(["orders:create"]);
        for (number, (settings, wanted, no)) in [
            (json!({"scopes": ["orders:read", "orders:cancel"]}), "1", "auth.permission"),
            (json!({"scopes": create, "accounts": [other]}), "1", "not found"),
            (json!({"scopes": create, "instruments": ["AAPL"]}), "1", "key.instrument"),
            (json!({"scopes": create, "max_notional": "600000"}), "3", "key.max_notional"),
            (json!({"scopes": create, "max_notional": "1"}), "1", ""),
        ]
        .into_iter()
        .enumerate()
        {
            let key = keys::key(&s.h, settings.clone()).await;
            let actor = keys::caller(&s.h, &key, &format!("nonce-000000000000{number}"));
            let command = Command::OrderChange(quantity(&order, wanted));
            let heard = match s.h.drive(s.h.engine().execute(command, &actor)).await.unwrap() {
                Ok(_) => String::new(),
                Err(CommandError::NotFound) => "not found".to_owned(),
                Err(CommandError::Refused { code, .. }) => code.to_string(),
                Err(CommandError::Order(no)) => no.code.to_string(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(heard, no, "{settings}");
        }
        s.h.elapse(millis(100)).await;
        assert_eq!(s.outcome(0).await, ("1".to_owned(), ChangeState::Made, None));
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        s.end().await;
    });
}

/// C10: a key that was used gets the first answer, a refusal included, and nothing happens twice.
#[test]
fn c10_a_change_under_a_key_is_made_once() {
    simulate(async || {
        let mut s = Small::resting(62, Venue::default()).await;
        let order = s.order(0).await;
        let perform = async |h: &Harness, key: &str, wanted: &str| {
            let body = wanted.as_bytes();
            let once = OnceKey::read(key, "PATCH", "/api/v1/orders/x", body).unwrap();
            let command = Command::OrderChange(quantity(&order, wanted));
            let actor = Actor::operator();
            let engine = h.engine();
            h.drive(async move { engine.perform(command, &actor, Some(once)).await }).await.unwrap()
        };
        let first = perform(&s.h, "k1", "4").await;
        assert!(!first.replayed);
        let refused = perform(&s.h, "k2", "99").await;
        s.h.elapse(millis(100)).await;
        s.h.restart().await;
        s.h.ready().await;
        let again = perform(&s.h, "k1", "4").await;
        assert!(again.replayed);
        assert_eq!(again.outcome, first.outcome);
        let again = perform(&s.h, "k2", "99").await;
        assert!(again.replayed && again.outcome.is_err());
        assert_eq!(again.outcome, refused.outcome);
        assert_eq!(s.h.broker.changes().len(), 1);
        s.h.broker.let_all_fill();
        s.h.quiet().await;
        assert_eq!(s.position().await, "4");
        s.end().await;
    });
}

/// S2: an order whose change could not be journaled, or not be sent after it was, is canceled like any
/// other.
#[test]
fn s2_what_failed_of_a_change_stands_in_no_cancel_s_way() {
    let sending = "WHEN NEW.last_change LIKE '%\"sending\"%'";
    let is_lost = format!(
        "CREATE TRIGGER broken BEFORE UPDATE ON orders {sending} BEGIN SELECT RAISE(ABORT, 'no'); END"
    );
    // The attempt is written, and the halts that are looked at before the call cannot be read.
    let is_unread = format!(
        "CREATE TRIGGER broken AFTER UPDATE ON orders {sending} BEGIN \
         INSERT OR IGNORE INTO halts VALUES (x'00000000000000000000000000000001', NULL, 'nonsense', \
         'block', 'x', 'x', 1, NULL, NULL, 0); END"
    );
    for sabotage in [is_lost, is_unread] {
        simulate(async || {
            println!("{sabotage}");
            let mut s = Small::resting(61, Venue::default()).await;
            s.h.commit_takes = millis(15);
            s.h.restart().await;
            s.h.ready().await;
            s.h.elapse(millis(2_500)).await;
            s.h.sabotage_soon(&sabotage).await;
            assert_eq!(s.change(quantity(&s.order(0).await, "4")).await, None);
            s.h.elapse(millis(60)).await;
            s.h.sabotage_soon("DROP TRIGGER broken; DELETE FROM halts").await;
            s.h.elapse(millis(1_000)).await;
            s.h.command(Command::OrderCancel(ById { id: s.order(0).await.id.to_string() })).await;
            s.h.elapse(millis(3_000)).await;
            let calls = s.h.broker.records();
            assert!(calls.iter().any(|record| record.call == Call::Cancel), "{calls:#?}");
            assert_eq!(s.order(0).await.state, OrderState::Canceled);
            s.end().await;
        });
    }
}
