//! Judging an order takes no memory: from the limits of an organization to what is cleared, nothing
//! is allocated. A trace has its room before.

#![expect(clippy::unwrap_used, reason = "a test")]

use allocation_counter::measure;
use std::hint::black_box;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::Code;
use tradewarden_domain::exchange::Conversion;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::limit::{ByLevel, Limit, LimitBook, LimitLevel, LimitName, LimitScope};
use tradewarden_domain::loss::{LossKind, Lost};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{OrderType, Purpose, Side, TimeInForce};
use tradewarden_domain::portfolio::Worth;
use tradewarden_domain::price::{Market, Reference};
use tradewarden_domain::risk::{Cleared, Context, RiskCheck, Surroundings, clear};
use tradewarden_domain::roll::Contract;
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::strategy::Intent;
use tradewarden_domain::time::Timestamp;

/// 2026-09-21T14:13:20Z, a Monday.
const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);
/// A value that every check is far from.
const FAR: i64 = 1_000_000 * 100_000_000;

const ORG: Id<id::Org> = Id::from_bytes([1; 16]);
const ACCOUNT: Id<id::Account> = Id::from_bytes([2; 16]);
const STRATEGY: Id<id::Strategy> = Id::from_bytes([3; 16]);
const KEY: Id<id::Key> = Id::from_bytes([5; 16]);

/// Everything an order can be judged by, with every limit at every level where it can be set.
struct Stage {
    book: LimitBook,
    symbol: Symbol,
    instrument: Instrument,
    halts: Vec<Halt>,
    schedule: Schedule,
    contract: Contract,
    losses: Vec<Lost>,
}

fn stage(instruments: u16) -> Stage {
    let symbols = (0..instruments).map(|number| format!("S{number:05}").parse().unwrap());
    let symbols: Vec<Symbol> = symbols.collect();
    let others = symbols.iter().cloned().map(LimitScope::Instrument);
    let scopes = [
        LimitScope::Org,
        LimitScope::Account(ACCOUNT),
        LimitScope::Strategy(STRATEGY),
        LimitScope::Key(KEY),
    ];
    let levels: Vec<_> = scopes.into_iter().chain(others).collect();
    let limit = |scope: &LimitScope, name| Limit {
        org_id: ORG,
        scope: scope.clone(),
        name,
        value: if name == LimitName::Restricted { 0 } else { FAR },
        version: 7,
        updated_at: NOW,
    };
    let all: Vec<_> = levels
        .iter()
        .flat_map(|scope| {
            let fit = |name: &&LimitName| name.fits(scope.level());
            LimitName::ALL.iter().filter(fit).map(|name| limit(scope, *name)).collect::<Vec<_>>()
        })
        .collect();
    for level in LimitLevel::ALL {
        assert!(all.iter().any(|limit| limit.scope.level() == *level), "{level}");
    }
    let symbol = symbols.get(symbols.len() / 2).unwrap().clone();
    let halt = |scope, mode| Halt {
        id: Id::from_bytes([9; 16]),
        org_id: Some(ORG),
        scope,
        mode,
        reason: "a test".to_owned(),
        engaged_by: "the test".to_owned(),
        engaged_at: NOW,
        include_protective: false,
    };
    let lost = |kind| Lost { kind, loss: Money::from_units(5), limit: Money::from_units(FAR) };
    Stage {
        book: LimitBook::of(7, all.iter()),
        instrument: Instrument {
            symbol: symbol.clone(),
            tick: "0.25".parse().unwrap(),
            lot: "1".parse().unwrap(),
            quantity_min: "1".parse().unwrap(),
            point_value: "2".parse().unwrap(),
            currency: "EUR".to_owned(),
            calendar: None,
        },
        halts: vec![
            halt(HaltScope::Account(Id::from_bytes([77; 16])), HaltMode::Block),
            halt(HaltScope::Instrument("ES".parse().unwrap()), HaltMode::ReduceOnly),
        ],
        schedule: "mon-fri 09:30-16:00 America/New_York except 2026-12-25".parse().unwrap(),
        contract: Contract {
            org_id: ORG,
            root: "NQ".parse().unwrap(),
            symbol: symbol.clone(),
            expires_on: "2026-12-18".parse().unwrap(),
            first_notice_on: None,
            roll_at: None,
            updated_at: NOW,
        },
        losses: vec![lost(LossKind::Daily), lost(LossKind::Drawdown)],
        symbol,
    }
}

impl Stage {
    fn decide(&self, purpose: Purpose, market: Market, trace: &mut Trace) -> Result<Cleared, Code> {
        let price = |units| Price::from_units(units);
        let context = Context {
            halts: &self.halts,
            subject: HaltSubject {
                org: ORG,
                account: ACCOUNT,
                strategy: Some(STRATEGY),
                webhook: None,
                key: Some(KEY),
                symbol: &self.symbol,
                passes_halts: false,
            },
            schedule: Some(&self.schedule),
            contract: Some(&self.contract),
            limits: self.book.tightest(ACCOUNT, Some(STRATEGY), Some(KEY), &self.symbol),
            exposure: Exposure {
                quantity: Quantity::from_units(FAR / 1_000),
                ..Exposure::default()
            },
            already_filled: Quantity::ZERO,
            around: Surroundings {
                others: Some(Ok((Worth::default(), Conversion::At(price(108_000_000))))),
                unmarked: None,
                losses: &self.losses,
                equity: Some(Money::from_units(FAR)),
                open_orders: ByLevel::all(3),
                orders_last_second: ByLevel::all(1),
                repeated_entries: 1,
                usual_size: Some(Quantity::from_units(100_000_000)),
            },
            instrument: &self.instrument,
            reference: Reference {
                quote: Some((price(9_900_000_000), price(10_100_000_000), NOW)),
                last: None,
                prior_close: None,
                market,
            },
            stated_price: Some(price(10_000_000_000)),
            blind_quantity_max: None,
            orders_last_minute: ByLevel::all(4),
            now: NOW,
        };
        let intent = Intent {
            purpose,
            side: Side::Buy,
            quantity: Quantity::from_units(200_000_000),
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Day,
            limit_price: Some(price(10_000_000_000)),
            stop_price: None,
        };
        clear(intent, &context, trace).map_err(|refusal| refusal.code)
    }
}

#[test]
fn a_decision_allocates_nothing() {
    for instruments in [1, 1_000] {
        let stage = stage(instruments);
        let mut trace = Trace::new();
        // The first decision of a process reads the time zones, once.
        let first = stage.decide(Purpose::Entry, Market::Open, &mut trace);
        assert!(first.is_ok(), "{first:?} {trace:?}");
        for purpose in [Purpose::Entry, Purpose::Exit] {
            trace.clear();
            let mut verdict = Err(Code::Overloaded);
            let counted = measure(|| verdict = stage.decide(purpose, Market::Open, &mut trace));
            assert!(verdict.is_ok(), "{verdict:?} {trace:?}");
            assert_eq!(counted.count_total, 0, "{purpose} among {instruments}");
            let looked_at = trace.checks().iter().map(|check| check.name);
            // Those that look at what is missing: a mark, a fresh price.
            let is_here =
                |check: &&RiskCheck| !matches!(check, RiskCheck::Mark | RiskCheck::BlindMarket);
            let all = RiskCheck::ALL.iter().filter(is_here);
            assert_eq!(looked_at.count(), all.count(), "every check that can pass: {trace:?}");
        }
    }
}

/// What says no has sentences to write: the counter sees them, so it would have seen others.
#[test]
fn a_refusal_is_seen_by_the_counter() {
    let stage = stage(1);
    let mut trace = Trace::new();
    let mut verdict = Err(Code::Overloaded);
    let counted =
        measure(|| verdict = black_box(stage.decide(Purpose::Entry, Market::Closed, &mut trace)));
    assert_eq!(verdict.unwrap_err(), Code::RiskMarketClosed);
    assert!(counted.count_total > 0);
}
