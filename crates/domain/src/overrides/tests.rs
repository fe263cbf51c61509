//! What an override lifts, and what it does not.

use super::*;
use crate::check::Outcome;
use crate::exposure::Exposure;
use crate::halt::{Halt, HaltMode, HaltScope, HaltSubject};
use crate::instrument::Instrument;
use crate::money::Price;
use crate::order::{OrderType, TimeInForce};
use crate::price::{Market, Reference};

const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);
const ACCOUNT: Id<id::Account> = Id::from_bytes([2; 16]);

fn symbol() -> Symbol {
    "ES".parse().unwrap()
}

fn one(number: u8, limit: LimitName) -> Override {
    Override {
        id: Id::from_bytes([number; 16]),
        org_id: Id::from_bytes([1; 16]),
        account_id: ACCOUNT,
        symbol: symbol(),
        side: Side::Buy,
        quantity: "10".parse().unwrap(),
        limit,
        expires_at: NOW.plus(Duration::from_mins(1)),
    }
}

fn buy(quantity: &str) -> Intent {
    Intent {
        purpose: Purpose::Entry,
        side: Side::Buy,
        quantity: quantity.parse().unwrap(),
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        limit_price: None,
        stop_price: None,
    }
}

fn tight() -> Limits {
    let whole = |count: i64| count.checked_mul(100_000_000);
    Limits {
        max_order_quantity: whole(5),
        max_order_notional: whole(1_000_000),
        max_position: whole(5),
        price_collar_percent: whole(5),
        max_orders_per_minute: ByLevel { org: whole(60), ..ByLevel::default() },
        ..Limits::default()
    }
}

struct Judged {
    used: Result<Vec<Id<id::Override>>, Code>,
    trace: Trace,
}

fn judge(intent: Intent, limits: &Limits, halts: &[Halt], overrides: &[Override]) -> Judged {
    let symbol = symbol();
    let instrument = Instrument {
        symbol: symbol.clone(),
        tick: "0.25".parse().unwrap(),
        lot: "1".parse().unwrap(),
        quantity_min: "1".parse().unwrap(),
        point_value: "1".parse().unwrap(),
        currency: "USD".to_owned(),
        calendar: None,
    };
    let price: Price = "100".parse().unwrap();
    let context = Context {
        halts,
        subject: HaltSubject {
            passes_halts: false,
            org: Id::from_bytes([1; 16]),
            account: ACCOUNT,
            strategy: None,
            webhook: None,
            key: None,
            symbol: &symbol,
        },
        schedule: None,
        contract: None,
        limits: *limits,
        exposure: Exposure::default(),
        already_filled: Quantity::ZERO,
        around: crate::risk::Surroundings::default(),
        instrument: &instrument,
        reference: Reference {
            quote: Some((price, price, NOW)),
            market: Market::Open,
            ..Reference::NONE
        },
        stated_price: None,
        blind_quantity_max: None,
        orders_last_minute: ByLevel::default(),
        now: NOW,
    };
    let mut trace = Trace::new();
    let used = clear(intent, &context, overrides, &mut trace)
        .map(|(_, used)| used.into_iter().map(|one| one.id).collect())
        .map_err(|no| no.code);
    Judged { used, trace }
}

const QUANTITY: LimitName = LimitName::MaxOrderQuantity;
const POSITION: LimitName = LimitName::MaxPosition;

#[test]
fn only_what_is_needed_is_used_and_it_is_traced() {
    let both = [one(1, QUANTITY), one(2, POSITION)];
    let small = judge(buy("5"), &tight(), &[], &both);
    assert_eq!(small.used, Ok(vec![]));
    let large = judge(buy("6"), &tight(), &[], &both);
    assert_eq!(large.used, Ok(vec![both[0].id, both[1].id]));
    let of = |name: &str| {
        let mut checks = large.trace.checks().iter();
        checks.find(|check| check.name == name).cloned().unwrap()
    };
    let position = of("risk.max_position");
    assert_eq!((position.result, position.code), (Outcome::Skip, Some(Code::RiskMaxPosition)));
    let shown = [position.input, position.limit].map(|shown| shown.unwrap().to_string());
    assert_eq!(shown, ["6", "5"]);
    let lines = large.trace.checks().iter().filter(|check| check.name == "override");
    assert_eq!(lines.count(), 2);
}

#[test]
fn one_of_two_limits_is_not_enough() {
    for alone in [QUANTITY, POSITION] {
        let refused = judge(buy("6"), &tight(), &[], &[one(1, alone)]);
        let other = if alone == QUANTITY { POSITION } else { QUANTITY };
        assert_eq!(refused.used, Err(other.overridden_code().unwrap()));
    }
}

#[test]
fn another_order_than_the_one_that_was_meant_is_refused() {
    let over = Limits { max_position: Some(i64::MAX), ..tight() };
    let fitting = one(1, QUANTITY);
    assert!(judge(buy("10"), &over, &[], std::slice::from_ref(&fitting)).used.is_ok());
    let others = [
        Override { account_id: Id::from_bytes([9; 16]), ..fitting.clone() },
        Override { symbol: "NQ".parse().unwrap(), ..fitting.clone() },
        Override { side: Side::Sell, ..fitting.clone() },
        Override { quantity: "9".parse().unwrap(), ..fitting.clone() },
        Override { expires_at: NOW, ..fitting.clone() },
        Override { limit: POSITION, ..fitting },
    ];
    for other in others {
        let refused = judge(buy("10"), &over, &[], std::slice::from_ref(&other));
        assert_eq!(refused.used, Err(Code::RiskMaxOrderQuantity), "{other:?}");
    }
}

#[test]
fn neither_a_halt_nor_a_restriction_nor_a_missing_limit_is_overridden() {
    let all: Vec<_> = (1..).zip(LimitName::ALL).map(|(number, name)| one(number, *name)).collect();
    let halt = Halt {
        id: Id::from_bytes([5; 16]),
        org_id: None,
        scope: HaltScope::Global,
        mode: HaltMode::ReduceOnly,
        include_protective: false,
        reason: String::new(),
        engaged_by: String::new(),
        engaged_at: NOW,
    };
    let halted = judge(buy("6"), &tight(), &[halt], &all);
    assert_eq!(halted.used, Err(Code::HaltActive));
    let restricted = judge(buy("6"), &Limits { restricted: true, ..tight() }, &[], &all);
    assert_eq!(restricted.used, Err(Code::RiskRestricted));
    let missing = judge(buy("6"), &Limits { max_position: None, ..tight() }, &[], &all);
    assert_eq!(missing.used, Err(Code::RiskLimitMissing));
}

#[test]
fn every_limit_that_can_be_overridden_is_lifted() {
    let nothing = Limits {
        max_order_quantity: Some(0),
        max_order_notional: Some(0),
        max_position: Some(0),
        price_collar_percent: Some(0),
        max_orders_per_minute: ByLevel::all(Some(0)),
        max_open_orders: ByLevel::all(Some(0)),
        max_orders_per_second: ByLevel::all(Some(0)),
        max_repeated_entries: Some(0),
        ..Limits::default()
    };
    let all: Vec<_> = (1..).zip(LimitName::ALL).map(|(number, name)| one(number, *name)).collect();
    let judged = judge(buy("1"), &nothing, &[], &all);
    // A market order has no price that could be far away.
    assert_eq!(judged.used.unwrap().len(), 7);
    let lifted = |check: &&crate::check::Check| check.result == Outcome::Skip;
    assert_eq!(judged.trace.checks().iter().filter(lifted).count(), 7);
}
