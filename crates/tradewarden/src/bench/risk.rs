//! `tradewarden bench risk`: one risk decision, from the limits of an organization to what is cleared,
//! with every check on and every limit set at every level where it can be.
//!
//! What a transaction reads beforehand is read already: exposure, what else the account holds, counts,
//! prices. So this is what judging itself takes, in one thread.

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;

use serde::Serialize;
use tradewarden_domain::check::Trace;
use tradewarden_domain::exchange::Conversion;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::limit::{ByLevel, Limit, LimitBook, LimitName, LimitScope};
use tradewarden_domain::loss::{LossKind, Lost};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{OrderType, Purpose, Side, TimeInForce};
use tradewarden_domain::portfolio::Worth;
use tradewarden_domain::price::{Market, Reference};
use tradewarden_domain::risk::{Context, Surroundings, clear};
use tradewarden_domain::roll::Contract;
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::strategy::Intent;
use tradewarden_domain::time::Timestamp;

use super::load::{now_ns, percentile};
use super::loaded::at;
use crate::outcome::Failure;
use crate::output;

/// How many instruments have limits of their own.
const SIZES: [u32; 3] = [1, 100, 10_000];
const DECISIONS: u32 = 200_000;
/// 2026-09-21T14:13:20Z, a Monday: while the schedule is open.
const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);
/// A value that every check is far from.
const FAR: i64 = 1_000_000 * ONE;
/// Units of one.
const ONE: i64 = 100_000_000;
const ORG: Id<id::Org> = Id::from_bytes([1; 16]);
const ACCOUNT: Id<id::Account> = Id::from_bytes([2; 16]);
const STRATEGY: Id<id::Strategy> = Id::from_bytes([3; 16]);
const KEY: Id<id::Key> = Id::from_bytes([4; 16]);

#[derive(Debug, Serialize)]
struct Report {
    decisions: u32,
    checks: usize,
    /// One reading of the clock, which is in every figure.
    clock_ns: f64,
    sizes: Vec<Size>,
}

/// Decisions among so many instruments, in nanoseconds.
#[derive(Debug, Serialize)]
struct Size {
    instruments: u32,
    limits: usize,
    p50_ns: f64,
    p99_ns: f64,
}

/// Measures and prints.
pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let report = measure().map_err(|error| Failure::unavailable(error.to_string()))?;
    if json {
        let text = serde_json::to_string(&report)
            .map_err(|error| Failure::unavailable(format!("cannot be written as JSON: {error}")))?;
        return output::print(&text);
    }
    let mut text = format!(
        "risk, {} checks, {} decisions each, reading the clock ({:.0} ns) included\n\n",
        report.checks, report.decisions, report.clock_ns
    );
    for size in &report.sizes {
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "{:>6} instruments, {:>6} limits    p50 {:>6.0} ns    p99 {:>6.0} ns",
            size.instruments, size.limits, size.p50_ns, size.p99_ns
        );
    }
    output::print(&text)
}

fn measure() -> Result<Report, Box<dyn Error>> {
    let mut sizes = Vec::new();
    let mut checks = 0;
    for instruments in SIZES {
        let stage = Stage::of(instruments)?;
        let mut trace = Trace::new();
        let mut times = Vec::new();
        for turn in 0..DECISIONS {
            let number = at(turn, instruments);
            trace.clear();
            let started = now_ns();
            let is_cleared = black_box(stage.decide(black_box(number), &mut trace));
            times.push(now_ns().saturating_sub(started));
            if !is_cleared {
                return Err(format!("a decision was a no: {:?}", trace.checks().last()).into());
            }
        }
        checks = trace.checks().len();
        times.sort_unstable();
        let (p50_ns, p99_ns) = (percentile(&times, 500), percentile(&times, 990));
        sizes.push(Size { instruments, limits: stage.limits, p50_ns, p99_ns });
    }
    let mut clock = Vec::new();
    for _ in 0..DECISIONS {
        let started = now_ns();
        clock.push(now_ns().saturating_sub(started));
    }
    clock.sort_unstable();
    Ok(Report { decisions: DECISIONS, checks, clock_ns: percentile(&clock, 500), sizes })
}

/// Everything an order can be judged by.
struct Stage {
    book: LimitBook,
    limits: usize,
    instruments: Vec<Instrument>,
    contracts: Vec<Contract>,
    halts: Vec<Halt>,
    schedule: Schedule,
    losses: [Lost; 2],
}

impl Stage {
    fn of(count: u32) -> Result<Self, Box<dyn Error>> {
        let mut instruments = Vec::new();
        let mut contracts = Vec::new();
        let mut scopes = vec![
            LimitScope::Org,
            LimitScope::Account(ACCOUNT),
            LimitScope::Strategy(STRATEGY),
            LimitScope::Key(KEY),
        ];
        for number in 0..count {
            let symbol: Symbol = format!("BENCH{number}").parse().map_err(|_| "no symbol")?;
            scopes.push(LimitScope::Instrument(symbol.clone()));
            contracts.push(Contract {
                org_id: ORG,
                root: "BENCH".parse().map_err(|_| "no root")?,
                symbol: symbol.clone(),
                expires_on: "2026-12-18".parse()?,
                first_notice_on: None,
                roll_at: None,
                updated_at: NOW,
            });
            instruments.push(Instrument {
                symbol,
                tick: Price::from_units(ONE / 4),
                lot: Quantity::from_units(ONE),
                quantity_min: Quantity::from_units(ONE),
                point_value: Quantity::from_units(ONE * 2),
                currency: "EUR".to_owned(),
                calendar: None,
            });
        }
        let limits: Vec<_> = scopes.iter().flat_map(limits_at).collect();
        let lost =
            |kind| Lost { kind, loss: Money::from_units(ONE), limit: Money::from_units(FAR) };
        Ok(Self {
            book: LimitBook::of(1, limits.iter()),
            limits: limits.len(),
            instruments,
            contracts,
            halts: vec![
                halt(HaltScope::Account(Id::from_bytes([9; 16])), HaltMode::Block),
                halt(HaltScope::Strategy(Id::from_bytes([9; 16])), HaltMode::ReduceOnly),
            ],
            schedule: "mon-fri 09:30-16:00 America/New_York except 2026-12-25".parse()?,
            losses: [lost(LossKind::Daily), lost(LossKind::Drawdown)],
        })
    }

    /// Whether an entry in one of the instruments is cleared.
    fn decide(&self, number: u32, trace: &mut Trace) -> bool {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let (Some(instrument), Some(contract)) =
            (self.instruments.get(place), self.contracts.get(place))
        else {
            return false;
        };
        let symbol = &instrument.symbol;
        let subject = HaltSubject {
            org: ORG,
            account: ACCOUNT,
            strategy: Some(STRATEGY),
            webhook: None,
            key: Some(KEY),
            symbol,
            passes_halts: false,
        };
        let price = Price::from_units(100 * ONE);
        let context = Context {
            halts: &self.halts,
            subject,
            schedule: Some(&self.schedule),
            contract: Some(contract),
            limits: self.book.tightest(ACCOUNT, Some(STRATEGY), Some(KEY), symbol),
            exposure: Exposure { quantity: Quantity::from_units(ONE * 5), ..Exposure::default() },
            already_filled: Quantity::ZERO,
            around: Surroundings {
                others: Some(Ok((Worth::default(), Conversion::At(Price::from_units(ONE))))),
                unmarked: None,
                losses: &self.losses,
                equity: Some(Money::from_units(FAR)),
                open_orders: ByLevel::all(3),
                orders_last_second: ByLevel::all(1),
                repeated_entries: 1,
                usual_size: Some(Quantity::from_units(ONE)),
            },
            instrument,
            reference: Reference {
                quote: Some((price, price, NOW)),
                last: None,
                prior_close: None,
                market: Market::Open,
            },
            stated_price: Some(price),
            blind_quantity_max: None,
            orders_last_minute: ByLevel::all(4),
            now: NOW,
        };
        let intent = Intent {
            purpose: Purpose::Entry,
            side: Side::Buy,
            quantity: Quantity::from_units(ONE * 2),
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Day,
            limit_price: Some(price),
            stop_price: None,
        };
        clear(intent, &context, trace).is_ok()
    }
}

/// Every limit that can be set there.
fn limits_at(scope: &LimitScope) -> Vec<Limit> {
    let level = scope.level();
    let names = LimitName::ALL.iter().copied().filter(|name| name.fits(level));
    names
        .map(|name| Limit {
            org_id: ORG,
            scope: scope.clone(),
            name,
            value: if name == LimitName::Restricted { 0 } else { FAR },
            version: 1,
            updated_at: NOW,
        })
        .collect()
}

fn halt(scope: HaltScope, mode: HaltMode) -> Halt {
    Halt {
        id: Id::from_bytes([8; 16]),
        org_id: Some(ORG),
        scope,
        mode,
        reason: "a bench".to_owned(),
        engaged_by: "a bench".to_owned(),
        engaged_at: NOW,
        include_protective: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_a_yes_by_every_check() {
        let stage = Stage::of(3).unwrap();
        let mut trace = Trace::new();
        for number in 0..3 {
            trace.clear();
            assert!(stage.decide(number, &mut trace), "{trace:?}");
            // All but the one that has nothing to say unless it says no, and the one for stale prices.
            let all = tradewarden_domain::risk::RiskCheck::ALL.len() - 2;
            assert_eq!(trace.checks().len(), all);
        }
        assert!(!stage.decide(3, &mut trace));
    }
}
