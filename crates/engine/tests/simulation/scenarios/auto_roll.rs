//! S11: positions that roll by themselves, in two halves that are neither doubled nor lost.

use super::keys::{caller, key};
use super::rolls::{held, holds, until, with_months};
use super::{Small, accept, millis};
use serde_json::json;
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::bracket::{Leg, OnNaked};
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose, Side, TimeInForce};
use tradewarden_domain::strategy::{Pyramiding, Sizing};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{
    ById, Command, CommandError, OrderCreate, PositionClose, StrategyCreate,
};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan};
use tradewarden_testkit::engine::{simulate, strategy};
use tradewarden_testkit::life::Death;

const NOT_ROLLED: &str = "position.not_rolled";
/// The month rolls at 14:40.
const BEFORE: &str = "2026-03-02T14:39:58Z";
const AFTER: &str = "2026-03-02T14:41:00Z";

/// Two of `ES1!` in ESH26, which rolls by itself.
async fn rolling(seed: u64, change: impl FnOnce(&mut StrategyCreate)) -> Small {
    let s = with_months(seed, |new| {
        new.auto_roll = true;
        change(new);
    })
    .await;
    s.accept("BUY", "a").await;
    s.h.until("held", async |_| held(&s).await.0 == "2").await;
    skip_to(&s, BEFORE).await;
    assert_eq!(held(&s).await, ("2".to_owned(), "0".to_owned()));
    s
}

/// Goes to an instant: the last seconds by the timers, what is before them by the clock alone.
async fn skip_to(s: &Small, instant: &str) {
    let instant: Timestamp = instant.parse().unwrap();
    let span = instant.since(s.h.now());
    let timed = span.min(Duration::from_secs(8));
    s.h.clock.advance(span.saturating_sub(timed));
    s.h.elapse(timed).await;
}

/// The same, up to an exit that is under way and rests at the venue.
async fn half_rolled(seed: u64, change: impl FnOnce(&mut StrategyCreate)) -> Small {
    let s = rolling(seed, change).await;
    s.h.broker.next_plans(&[FillPlan::Rests.into()]);
    s.h.elapse(Duration::from_secs(5)).await;
    let orders = s.h.orders().await;
    let exit = orders.iter().find(|order| order.purpose == Purpose::Exit).unwrap();
    assert_eq!((exit.symbol.as_str(), exit.state), ("ESH26", OrderState::Working));
    s
}

/// The orders that are no legs, by month and purpose.
async fn sent(s: &Small) -> Vec<(String, Purpose)> {
    let orders = s.h.orders().await.into_iter().filter(|order| order.leg.is_none());
    orders.map(|order| (order.symbol.to_string(), order.purpose)).collect()
}

async fn severities(s: &Small, code: &str) -> Vec<String> {
    let found = s.h.findings().await.into_iter().filter(|found| found.code == code);
    found.map(|found| found.severity).collect()
}

async fn entries(s: &Small, event: &str) -> usize {
    let name = format!("\"event\":\"{event}\"");
    s.h.log(0).await.iter().filter(|entry| entry.leaf.contains(&name)).count()
}

/// Lets so many minutes pass, of each but the last seconds by the clock alone.
async fn minutes(s: &Small, count: u32) {
    for _ in 0..count {
        s.h.clock.advance(Duration::from_secs(56));
        s.h.elapse(Duration::from_secs(4)).await;
    }
}

/// What is held in the month that rolls is closed, and as much is opened in the next, once.
#[test]
fn s11_a_position_rolls_once() {
    simulate(async || {
        let s = rolling(810, |_| {}).await;
        until(&s, AFTER).await;
        holds(&s, "0", "2").await;
        minutes(&s, 20).await;
        holds(&s, "0", "2").await;
        let expected = [
            ("ESH26".to_owned(), Purpose::Entry),
            ("ESH26".to_owned(), Purpose::Exit),
            ("ESM26".to_owned(), Purpose::Entry),
        ];
        assert_eq!(sent(&s).await, expected);
        assert_eq!(entries(&s, "position.rolling").await, 1);
        assert_eq!(entries(&s, "position.rolled").await, 1);
        assert!(!s.h.has_finding(NOT_ROLLED).await);
        s.accept("EXIT", "b").await;
        holds(&s, "0", "0").await;
        s.end().await;
    });
}

/// A short position rolls like a long one.
#[test]
fn s11_a_short_position_rolls() {
    simulate(async || {
        let s = with_months(811, |new| (new.auto_roll, new.allow_short) = (true, true)).await;
        s.accept("SELL", "a").await;
        holds(&s, "-2", "0").await;
        until(&s, AFTER).await;
        holds(&s, "0", "-2").await;
        s.end().await;
    });
}

/// It is for strategies of a continuous symbol: their exits find what they hold in every month.
#[test]
fn s11_only_a_continuous_symbol_rolls() {
    simulate(async || {
        let s = with_months(812, |_| {}).await;
        for (symbol, source) in [("ESH26", "strategy"), ("ES1!", "payload")] {
            let mut new = strategy("another", &s.hook, &s.account, symbol, "1");
            new.auto_roll = true;
            new.shared_position = true;
            new.symbol_source = Some(serde_json::from_value(json!(source)).unwrap());
            let made = s.h.try_command(Command::StrategyCreate(new)).await.unwrap();
            assert!(
                matches!(made, Err(CommandError::Invalid { field: "auto_roll", .. })),
                "{symbol} {source}: {made:?}"
            );
        }
        s.end().await;
    });
}

/// As much is opened as the exit has filled; what is left is rolled some minutes later.
#[test]
fn s11_an_exit_that_fills_in_part_opens_that_part() {
    simulate(async || {
        let s = rolling(813, |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::InTwo(Duration::from_mins(3)).into()]);
        s.h.elapse(Duration::from_secs(5)).await;
        s.h.broker.reject_what_works();
        s.h.elapse(Duration::from_secs(5)).await;
        assert_eq!(held(&s).await, ("1".to_owned(), "1".to_owned()));
        minutes(&s, 7).await;
        holds(&s, "0", "2").await;
        assert_eq!(entries(&s, "position.rolled").await, 2);
        s.end().await;
    });
}

/// A refused exit leaves the position as it is; people are told, and it is tried again later, a few times.
#[test]
fn s11_a_refused_exit_leaves_the_position() {
    simulate(async || {
        let s = rolling(814, |_| {}).await;
        s.h.broker.usual_plan(FillPlan::Rejected);
        until(&s, AFTER).await;
        holds(&s, "2", "0").await;
        assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
        minutes(&s, 40).await;
        holds(&s, "2", "0").await;
        assert_eq!(sent(&s).await.len(), 6, "the entry and five exits");
        // Who leads anew is patient anew.
        s.h.broker.usual_plan(FillPlan::AtOnce);
        let mut s = s;
        s.h.restart().await;
        s.h.ready().await;
        s.h.elapse(Duration::from_secs(5)).await;
        holds(&s, "0", "2").await;
        s.end().await;
    });
}

/// An exit that nobody heard of is waited for: it may have filled or not, and nothing is assumed.
#[test]
fn s11_an_unknown_exit_is_waited_for() {
    for (fault, old, new) in [(Fault::LostAfter, "0", "2"), (Fault::LostBefore, "2", "0")] {
        simulate(async || {
            let s = rolling(815, |_| {}).await;
            s.h.broker.next_plans(&[FillPlan::After(millis(1_900)).into()]);
            s.h.broker.next_faults(Call::Place, &[fault]);
            s.h.until("unknown", async |h| {
                h.orders().await.iter().any(|order| order.state == OrderState::Unknown)
            })
            .await;
            assert_eq!(sent(&s).await.len(), 2, "no entry yet");
            s.h.elapse(Duration::from_secs(10)).await;
            holds(&s, old, new).await;
            assert_eq!(s.h.has_finding(NOT_ROLLED).await, fault == Fault::LostBefore);
            s.end().await;
        });
    }
}

/// An entry that would be refused leaves the position where it is, until it would pass.
#[test]
fn s11_what_may_not_be_opened_is_not_closed() {
    simulate(async || {
        let s = rolling(816, |_| {}).await;
        s.h.limit("org", "max_order_quantity", "1").await;
        until(&s, AFTER).await;
        minutes(&s, 3).await;
        holds(&s, "2", "0").await;
        assert_eq!(sent(&s).await.len(), 1);
        assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"], "told once");
        s.h.limit("org", "max_order_quantity", "5").await;
        minutes(&s, 6).await;
        holds(&s, "0", "2").await;
        s.end().await;
    });
}

/// What the old month still holds is no reason against the entry: it will be gone by then.
#[test]
fn s11_the_entry_is_judged_as_if_the_old_month_was_closed() {
    simulate(async || {
        let s = rolling(817, |_| {}).await;
        // Two at about 5000 and 50 a point are half a million, and four are a million.
        s.h.limit("org", "max_gross_exposure", "700000").await;
        until(&s, AFTER).await;
        holds(&s, "0", "2").await;
        s.end().await;
    });
}

/// What is refused only after the exit leaves the strategy flat, and nothing is tried again.
#[test]
fn s11_an_entry_that_is_refused_after_the_exit_stays_flat() {
    simulate(async || {
        let s = half_rolled(818, |_| {}).await;
        s.h.limit("org", "max_order_quantity", "1").await;
        s.h.broker.let_all_fill();
        holds(&s, "0", "0").await;
        let found = s.h.findings().await;
        let told = found.iter().find(|found| found.code == NOT_ROLLED).unwrap();
        assert_eq!(told.severity, "critical");
        assert!(told.detail.contains("risk.max_order_quantity"), "{told:?}");
        s.h.limit("org", "max_order_quantity", "5").await;
        minutes(&s, 12).await;
        holds(&s, "0", "0").await;
        assert_eq!(severities(&s, NOT_ROLLED).await.len(), 1);
        s.end().await;
    });
}

/// An entry that the broker rejects is told, and not sent again.
#[test]
fn s11_a_rejected_entry_is_told() {
    simulate(async || {
        let s = rolling(819, |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::AtOnce.into(), FillPlan::Rejected.into()]);
        until(&s, AFTER).await;
        holds(&s, "0", "0").await;
        minutes(&s, 7).await;
        assert_eq!(sent(&s).await.len(), 3);
        assert_eq!(severities(&s, NOT_ROLLED).await, ["critical"]);
        s.end().await;
    });
}

/// A halt that stops the entry keeps a roll from beginning, and one that comes between leaves it flat.
#[test]
fn s11_a_halt_stops_the_entry() {
    simulate(async || {
        let s = rolling(820, |_| {}).await;
        let halt = s.h.halt(Some("instrument:ESM26"), "reduce_only").await;
        until(&s, AFTER).await;
        holds(&s, "2", "0").await;
        assert_eq!(sent(&s).await.len(), 1);
        s.h.resume(&halt).await;
        minutes(&s, 6).await;
        holds(&s, "0", "2").await;
        s.end().await;
    });
    simulate(async || {
        let s = half_rolled(821, |_| {}).await;
        s.h.halt(Some("global"), "reduce_only").await;
        s.h.broker.let_all_fill();
        holds(&s, "0", "0").await;
        assert_eq!(severities(&s, NOT_ROLLED).await, ["critical"]);
        s.end().await;
    });
}

/// What a halt closes stays closed, also once it is lifted.
#[test]
fn s11_a_halt_that_closes_ends_the_roll() {
    simulate(async || {
        let s = half_rolled(831, |_| {}).await;
        let halt = s.h.halt(Some("global"), "flatten").await;
        s.h.until("ended", async |_| entries(&s, "position.roll_reduced").await == 1).await;
        s.h.resume(&halt).await;
        s.h.broker.let_all_fill();
        holds(&s, "0", "0").await;
        s.h.until("over", async |_| entries(&s, "position.roll_ended").await == 1).await;
        assert_eq!(sent(&s).await.len(), 2);
        s.end().await;
    });
}

/// An exit that comes between the halves closes what is held in every month, and ends the roll.
#[test]
fn s11_an_exit_ends_the_roll() {
    for action in ["EXIT", "SELL"] {
        simulate(async || {
            let s = half_rolled(822, |_| {}).await;
            s.accept(action, "b").await;
            s.h.broker.let_all_fill();
            holds(&s, "0", "0").await;
            minutes(&s, 7).await;
            holds(&s, "0", "0").await;
            assert_eq!(sent(&s).await.len(), 2, "{action}");
            assert_eq!(entries(&s, "position.roll_ended").await, 1);
            assert!(!s.h.has_finding(NOT_ROLLED).await);
            s.end().await;
        });
    }
}

/// The exit of a roll closes for whoever asked meanwhile. If it does not, the position is held as it was,
/// people are told, and nothing rolls there, not after a restart either.
#[test]
fn s11_what_an_exit_could_not_close_rolls_no_more() {
    for comment in ["EXIT_FINAL", "EXIT_50"] {
        simulate(async || {
            let mut s = half_rolled(841, |_| {}).await;
            let exit = json!({ "action": "EXIT", "comment": comment, "id": "b" });
            accept(&s.h, &s.hook, &exit).await;
            s.h.broker.reject_what_works();
            s.h.until("told", async |h| h.has_finding(NOT_ROLLED).await).await;
            minutes(&s, 7).await;
            holds(&s, "2", "0").await;
            s.h.restart().await;
            s.h.ready().await;
            minutes(&s, 7).await;
            holds(&s, "2", "0").await;
            s.accept("EXIT", "c").await;
            s.h.broker.let_all_fill();
            holds(&s, "0", "0").await;
            s.h.until("over", async |_| entries(&s, "position.roll_ended").await == 1).await;
            s.end().await;
        });
    }
}

/// An exit of a part closes that part of what is on its way, and the rest is opened.
#[test]
fn s11_an_exit_of_a_part_closes_that_part() {
    simulate(async || {
        let s = half_rolled(832, |_| {}).await;
        let half = json!({ "action": "EXIT", "comment": "EXIT_50", "id": "b" });
        super::accept(&s.h, &s.hook, &half).await;
        s.h.broker.let_all_fill();
        holds(&s, "0", "1").await;
        minutes(&s, 7).await;
        holds(&s, "0", "1").await;
        assert_eq!(entries(&s, "position.roll_reduced").await, 1);
        assert!(!s.h.has_finding(NOT_ROLLED).await);
        s.end().await;
    });
    simulate(async || {
        let s = half_rolled(833, |_| {}).await;
        for id in ["b", "c"] {
            let half = json!({ "action": "SELL", "comment": "EXIT_50", "id": id });
            super::accept(&s.h, &s.hook, &half).await;
        }
        s.h.broker.let_all_fill();
        holds(&s, "0", "0").await;
        assert_eq!(sent(&s).await.len(), 2);
        s.end().await;
    });
}

/// A stated quantity is for the months that are held and what is on its way together.
#[test]
fn s11_a_stated_quantity_closes_that_much() {
    simulate(async || {
        let s = with_months(834, |new| {
            (new.auto_roll, new.sizing) = (true, Some(Sizing::Payload));
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        let body = |action: &str, quantity: &str, id: &str| json!({ "action": action, "quantity": quantity, "id": id });
        super::accept(&s.h, &s.hook, &body("BUY", "3", "a")).await;
        s.h.quiet().await;
        skip_to(&s, BEFORE).await;
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        s.h.elapse(Duration::from_secs(5)).await;
        super::accept(&s.h, &s.hook, &body("BUY", "1", "b")).await;
        s.h.until("the next month is held", async |_| held(&s).await.1 == "1").await;
        super::accept(&s.h, &s.hook, &body("EXIT", "2", "c")).await;
        s.h.broker.let_all_fill();
        holds(&s, "0", "2").await;
        s.end().await;
    });
}

/// An exit that is cut, because another strategy may move the position meanwhile, rolls what it closes;
/// no more leaves behind its back.
#[test]
fn s11_an_exit_that_is_cut_rolls_the_rest_later() {
    simulate(async || {
        let s = rolling(835, |new| new.shared_position = true).await;
        let hook = s.h.webhook("other", 100).await;
        let mut other = strategy("other", &hook, &s.account, "ESH26", "1");
        (other.shared_position, other.allow_short) = (true, true);
        s.h.strategy(other).await;
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        super::accept(&s.h, &hook, &json!({ "action": "SELL", "id": "b" })).await;
        s.h.elapse(Duration::from_secs(5)).await;
        assert_eq!(held(&s).await, ("1".to_owned(), "1".to_owned()));
        s.h.broker.reject_what_works();
        minutes(&s, 7).await;
        holds(&s, "0", "2").await;
        assert_eq!(entries(&s, "position.rolled").await, 2);
        s.end().await;
    });
}

/// Nothing is called flat that is on its way: also not between the end of the exit and the entry.
#[test]
fn s11_an_exit_between_the_halves_is_no_exit_of_nothing() {
    simulate(async || {
        let s = half_rolled(823, |_| {}).await;
        s.h.broker.let_all_fill();
        s.h.until("the exit has filled", async |_| held(&s).await.0 == "0").await;
        if sent(&s).await.len() == 2 {
            s.accept("EXIT", "b").await;
        } else {
            panic!("the entry came before anybody could look");
        }
        holds(&s, "0", "0").await;
        s.end().await;
    });
}

/// A signal along what rolls finds it held, and one for the other side's exit ends nothing.
#[test]
fn s11_a_signal_along_does_not_end_the_roll() {
    simulate(async || {
        let s = half_rolled(824, |_| {}).await;
        let along = s.send("BUY", "b").await;
        let of = (along.status, along.code);
        assert_eq!(of, (SignalStatus::Skipped, Some(Code::StrategyAlreadyLong)));
        let wrong = json!({ "action": "BUY", "comment": "EXIT_FINAL", "id": "c" });
        let wrong = s.h.send(&s.hook, &wrong).await.answer();
        assert_eq!(wrong.status, SignalStatus::Skipped, "{wrong:?}");
        s.h.broker.let_all_fill();
        holds(&s, "0", "2").await;
        s.end().await;
    });
    simulate(async || {
        let s = half_rolled(825, |new| new.pyramiding = Some(Pyramiding::Allow)).await;
        s.accept("BUY", "b").await;
        s.h.broker.let_all_fill();
        holds(&s, "0", "4").await;
        s.end().await;
    });
}

/// A person who closes what rolls closes it, in whichever of the two months.
#[test]
fn s11_a_person_who_closes_ends_the_roll() {
    for month in ["ESH26", "ESM26"] {
        simulate(async || {
            let s = half_rolled(826, |_| {}).await;
            s.h.command(close(&s, month)).await;
            s.h.broker.let_all_fill();
            holds(&s, "0", "0").await;
            assert_eq!(sent(&s).await.len(), 2, "{month}");
            s.end().await;
        });
    }
}

fn close(s: &Small, month: &str) -> Command {
    let symbol = month.to_owned();
    Command::PositionClose(PositionClose { account: s.account.clone(), symbol })
}

/// An order by request that only reduces, at the market or at a limit.
fn reduce(s: &Small, month: &str, quantity: &str, limit: Option<&str>) -> Command {
    Command::OrderCreate(OrderCreate {
        account_id: s.account.clone(),
        symbol: month.to_owned(),
        side: Side::Sell,
        order_type: if limit.is_some() { OrderType::Limit } else { OrderType::Market },
        quantity: quantity.parse().unwrap(),
        limit_price: limit.map(|price| price.parse().unwrap()),
        stop_price: None,
        time_in_force: limit.map(|_| TimeInForce::Gtc),
        reduce_only: true,
        expires_at: None,
        tag: None,
        allow_repeat: true,
    })
}

/// An order that reduces finds nothing held between the halves; what it was to reduce is not opened.
#[test]
fn s11_an_order_that_reduces_closes_of_what_is_on_its_way() {
    for (quantity, month, left) in [("1", "ESH26", "1"), ("5", "ESM26", "0")] {
        simulate(async || {
            let s = half_rolled(836, |_| {}).await;
            let made = s.h.try_command(reduce(&s, month, quantity, None)).await.unwrap();
            let Err(CommandError::Order(no)) = made else { panic!("{made:?}") };
            assert_eq!(no.code, Code::PositionFlat);
            assert!(no.detail.contains("stays closed"), "{no:?}");
            s.h.broker.let_all_fill();
            holds(&s, "0", left).await;
            s.end().await;
        });
    }
}

/// Without a month to go to, and with a stop that would be lost where none may be, it stays and is told.
#[test]
fn s11_what_cannot_go_on_is_told() {
    simulate(async || {
        let s = rolling(837, |_| {}).await;
        s.h.command(Command::RollRemove(ById { id: "ESM26".to_owned() })).await;
        minutes(&s, 3).await;
        holds(&s, "2", "0").await;
        assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"], "told once");
        s.end().await;
    });
    simulate(async || {
        let s = with_months(838, |new| {
            (new.auto_roll, new.on_naked) = (true, Some(OnNaked::Close));
        })
        .await;
        let body = json!({ "action": "BUY", "id": "a", "stop_loss": "4970" });
        super::accept(&s.h, &s.hook, &body).await;
        s.h.until("held", async |_| held(&s).await.0 == "2").await;
        skip_to(&s, BEFORE).await;
        until(&s, AFTER).await;
        assert_eq!(held(&s).await, ("2".to_owned(), "0".to_owned()));
        assert_eq!(legs(&s).await.len(), 1);
        assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
        s.end().await;
    });
}

/// What its strategy was told to leave is not carried on because the exit failed.
#[test]
fn s11_what_an_exit_should_have_closed_does_not_roll() {
    simulate(async || {
        let s = rolling(840, |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::Rejected.into()]);
        s.accept("EXIT", "b").await;
        until(&s, AFTER).await;
        holds(&s, "2", "0").await;
        assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
        s.accept("EXIT", "c").await;
        holds(&s, "0", "0").await;
        s.end().await;
    });
}

/// The same of what a person or a program wanted to close, also after a restart.
#[test]
fn s11_what_anybody_should_have_closed_does_not_roll() {
    for is_person in [true, false] {
        simulate(async || {
            let mut s = rolling(842, |_| {}).await;
            s.h.broker.next_plans(&[FillPlan::Rejected.into()]);
            let close = close(&s, "ESH26");
            let fails = if is_person { close.clone() } else { reduce(&s, "ESH26", "1", None) };
            s.h.command(fails).await;
            s.h.restart().await;
            s.h.ready().await;
            until(&s, AFTER).await;
            holds(&s, "2", "0").await;
            minutes(&s, 7).await;
            holds(&s, "2", "0").await;
            assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
            s.h.command(close).await;
            holds(&s, "0", "0").await;
            s.end().await;
        });
    }
}

/// An exit that was refused has closed nothing either, though no order was made of it.
#[test]
fn s11_what_a_refused_exit_should_have_closed_does_not_roll() {
    for who in ["a signal", "an order", "a close"] {
        simulate(async || {
            let s = rolling(843, |_| {}).await;
            let key = key(&s.h, json!({ "scopes": ["positions:close"] })).await;
            let halt = s.h.halt(Some("instrument:ESH26"), "block").await;
            if who == "a signal" {
                assert_eq!(s.send("EXIT", "b").await.status, SignalStatus::Refused);
            } else {
                let made = if who == "an order" {
                    s.h.try_command(reduce(&s, "ESH26", "1", None)).await.unwrap()
                } else {
                    // Not of a person with a fresh factor, whom no halt holds up.
                    let actor = caller(&s.h, &key, "nonce-0123456789abcdef");
                    let close = close(&s, "ESH26");
                    s.h.drive(s.h.engine().execute(close, &actor)).await.unwrap()
                };
                assert!(matches!(made, Err(CommandError::Order(_))), "{who}: {made:?}");
            }
            s.h.resume(&halt).await;
            until(&s, AFTER).await;
            minutes(&s, 7).await;
            holds(&s, "2", "0").await;
            assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
            s.accept("EXIT", "c").await;
            holds(&s, "0", "0").await;
            s.end().await;
        });
    }
}

/// What its strategy entered after a failed exit, or whose last exit a person canceled, is to be held.
#[test]
fn s11_what_is_held_again_rolls() {
    simulate(async || {
        let s = rolling(844, |new| new.pyramiding = Some(Pyramiding::Allow)).await;
        s.h.broker.next_plans(&[FillPlan::Rejected.into()]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(500)).await;
        s.accept("BUY", "c").await;
        until(&s, AFTER).await;
        holds(&s, "0", "4").await;
        s.end().await;
    });
    simulate(async || {
        let s = rolling(845, |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::Rejected.into()]);
        s.accept("EXIT", "b").await;
        s.h.elapse(millis(500)).await;
        let made = s.h.command(reduce(&s, "ESH26", "2", Some("5200"))).await;
        s.h.elapse(millis(500)).await;
        let id = made["id"].as_str().unwrap().to_owned();
        s.h.command(Command::OrderCancel(ById { id })).await;
        until(&s, AFTER).await;
        holds(&s, "0", "2").await;
        s.end().await;
    });
}

/// Makes an exit of a part of the position that rests.
async fn exit_rests(s: &Small) -> Id<id::Order> {
    let made = s.h.command(reduce(s, "ESH26", "1", Some("5200"))).await;
    made["id"].as_str().unwrap().parse().unwrap()
}

/// An exit that rests stays while a rule says no to the roll. It is taken back together with the exit that
/// closes it all, never before, and people are told, whatever becomes of that.
#[test]
fn s11_exits_that_rest_are_taken_back_with_the_exit() {
    for (plan, old, new) in [(FillPlan::AtOnce, "0", "2"), (FillPlan::Rejected, "2", "0")] {
        simulate(async || {
            let s = rolling(846, |_| {}).await;
            let rests = exit_rests(&s).await;
            s.h.limit("org", "max_order_quantity", "1").await;
            until(&s, AFTER).await;
            minutes(&s, 3).await;
            assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
            assert_eq!(find(&s, rests).await.state, OrderState::Working);
            s.h.broker.next_faults(Call::Cancel, &[Fault::LostBefore]);
            s.h.broker.next_plans(&[plan.into()]);
            s.h.limit("org", "max_order_quantity", "5").await;
            s.h.until("taken back", async |_| find(&s, rests).await.cancel_requested).await;
            assert_eq!(sent(&s).await.len(), 3, "the exit is journaled as well");
            holds(&s, old, new).await;
            assert_eq!(find(&s, rests).await.code, Some(Code::OrderSuperseded));
            assert_eq!(severities(&s, "position.exits_taken_back").await, ["warning"]);
            s.end().await;
        });
    }
}

/// A no has to stand for a while before people hear of it: not together with one of before.
#[test]
fn s11_a_no_that_passed_is_not_told() {
    simulate(async || {
        let s = rolling(847, |_| {}).await;
        s.h.limit("org", "max_order_quantity", "1").await;
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        s.h.command(reduce(&s, "ESH26", "1", None)).await;
        s.h.elapse(Duration::from_secs(22)).await;
        s.h.limit("org", "max_order_quantity", "5").await;
        // The roll waits for the order by request.
        s.h.elapse(Duration::from_secs(10)).await;
        s.h.limit("org", "max_order_quantity", "1").await;
        s.h.elapse(Duration::from_secs(10)).await;
        assert!(!s.h.has_finding(NOT_ROLLED).await);
        s.h.elapse(Duration::from_secs(30)).await;
        assert_eq!(severities(&s, NOT_ROLLED).await, ["warning"]);
        s.h.limit("org", "max_order_quantity", "5").await;
        s.h.broker.let_all_fill();
        minutes(&s, 3).await;
        holds(&s, "0", "1").await;
        s.end().await;
    });
}

async fn find(s: &Small, id: Id<id::Order>) -> Order {
    s.h.orders().await.into_iter().find(|order| order.id == id).unwrap()
}

/// A market that is closed is waited for.
#[test]
fn s11_a_closed_market_is_waited_for() {
    simulate(async || {
        let s = rolling(839, |_| {}).await;
        s.h.broker.set_market("ESH26", None, MarketState::Closed);
        s.h.broker.set_market("ESM26", None, MarketState::Closed);
        until(&s, AFTER).await;
        minutes(&s, 3).await;
        holds(&s, "2", "0").await;
        assert!(!s.h.has_finding(NOT_ROLLED).await);
        s.h.broker.set_market("ESH26", None, MarketState::Open);
        s.h.broker.set_market("ESM26", None, MarketState::Open);
        minutes(&s, 2).await;
        holds(&s, "0", "2").await;
        s.end().await;
    });
}

/// A strategy that is switched off, or does not roll any more, opens nothing.
#[test]
fn s11_what_the_strategy_says_meanwhile_counts() {
    for changes in [json!({ "state": "exits_only" }), json!({ "auto_roll": false })] {
        simulate(async || {
            let s = half_rolled(827, |_| {}).await;
            let id = s.h.orders().await[0].strategy_id.unwrap();
            let change = json!({ "command": "strategy-change", "id": id, "changes": changes });
            s.h.command(serde_json::from_value(change).unwrap()).await;
            s.h.broker.let_all_fill();
            holds(&s, "0", "0").await;
            assert_eq!(severities(&s, NOT_ROLLED).await, ["critical"]);
            s.end().await;
        });
    }
}

async fn legs(s: &Small) -> Vec<Order> {
    let orders = s.h.orders().await.into_iter();
    orders.filter(|order| order.leg.is_some() && order.state.is_live()).collect()
}

/// The strategy's own distances are counted from the new entry; a price that came with a signal is one of
/// the old month, and people hear at once that it protects nothing any more.
#[test]
fn s11_legs_are_those_of_the_new_month() {
    simulate(async || {
        let s = rolling(828, |new| new.stop_loss = Some("20".parse().unwrap())).await;
        until(&s, AFTER).await;
        assert_eq!(held(&s).await, ("0".to_owned(), "2".to_owned()));
        let legs = legs(&s).await;
        let [stop] = legs.as_slice() else { panic!("{legs:?}") };
        assert_eq!((stop.symbol.as_str(), stop.quantity.to_string()), ("ESM26", "2".to_owned()));
        assert_eq!(stop.leg.map(|of| of.leg), Some(Leg::StopLoss));
        assert_eq!(stop.stop_price.unwrap().to_string(), "4980");
        assert!(!s.h.has_finding("position.naked").await);
        s.accept("EXIT", "b").await;
        holds(&s, "0", "0").await;
        s.end().await;
    });
    simulate(async || {
        let s = with_months(829, |new| new.auto_roll = true).await;
        let body = json!({ "action": "BUY", "id": "a", "stop_loss": "4970" });
        super::accept(&s.h, &s.hook, &body).await;
        s.h.until("held", async |_| held(&s).await.0 == "2").await;
        skip_to(&s, BEFORE).await;
        assert_eq!(legs(&s).await.len(), 1);
        until(&s, AFTER).await;
        holds(&s, "0", "2").await;
        assert!(legs(&s).await.is_empty());
        assert_eq!(severities(&s, "position.naked").await, ["critical"]);
        s.end().await;
    });
}

/// The process dies at every commit and every call of a roll. What was closed is opened once, or a person
/// hears that it is not.
#[test]
fn s11_a_crash_neither_doubles_nor_loses_a_half() {
    for rests in [false, true] {
        dies_everywhere(rests);
    }
}

fn dies_everywhere(rests: bool) {
    let (commits, calls) = simulate(async || {
        let s = to_the_roll(Death::Never, rests).await;
        s.h.elapse(Duration::from_secs(8)).await;
        assert_eq!(held(&s).await, ("0".to_owned(), "2".to_owned()));
        let life = s.h.life().number;
        let records = s.h.broker.records();
        let about_orders =
            records.iter().filter(|record| record.life == life && record.client_order_id.is_some());
        let calls: Vec<u64> = about_orders.map(|record| record.number).collect();
        let commits = s.h.commits_that_wrote();
        s.end().await;
        (commits, calls)
    });
    assert!(commits.len() >= 6 && calls.len() >= 2, "{commits:?} {calls:?}");
    let of_commits = commits
        .iter()
        .flat_map(|number| [Death::BeforeCommit(*number), Death::AfterCommit(*number)]);
    let of_calls =
        calls.iter().flat_map(|number| [Death::BeforeCall(*number), Death::AfterCall(*number)]);
    for death in of_commits.chain(of_calls) {
        lives_through(death, rests);
    }
}

/// A life that begins right before the roll, with an exit that rests or without.
async fn to_the_roll(death: Death, rests: bool) -> Small {
    let mut s = rolling(830, |_| {}).await;
    if rests {
        exit_rests(&s).await;
        s.h.elapse(millis(500)).await;
    }
    s.h.stop().await;
    s.h.start(death).await;
    s
}

fn lives_through(death: Death, rests: bool) {
    println!("{death:?}, an exit rests: {rests}");
    simulate(async || {
        let mut s = to_the_roll(death, rests).await;
        s.h.elapse(Duration::from_secs(15)).await;
        if !s.h.is_alive() {
            s.h.restart().await;
        }
        s.h.ready().await;
        s.h.quiet().await;
        minutes(&s, 7).await;
        s.h.quiet().await;
        let (old, new) = held(&s).await;
        let is_told = severities(&s, NOT_ROLLED).await.contains(&"critical".to_owned());
        assert_eq!(old, "0");
        assert!(
            new == "2" || (new == "0" && is_told),
            "{death:?}: {new} {:#?}",
            s.h.orders().await
        );
        let filled =
            s.h.orders().await.into_iter().filter(|order| order.filled_quantity.is_positive());
        let filled: Vec<_> =
            filled.map(|order| (order.symbol.to_string(), order.purpose)).collect();
        let halves = if new == "2" { 3 } else { 2 };
        assert_eq!(filled.len(), halves, "{death:?}: {filled:?}");
        s.end().await;
    });
}
