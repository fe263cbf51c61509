//! The table: every check at its limit, just under it and just over it, for a new order and for a
//! change of one, with the limit at each level where it can be set. A check, a limit or a level that
//! is not in it does not compile, or fails `nothing_is_missing_from_the_table`.

use super::account::busy;
use super::*;
use crate::limit::{Limit, LimitBook, LimitLevel, LimitScope};
use crate::loss::{Reading, Watch};
use std::collections::BTreeSet;

/// How a check is brought to its limit.
enum Row {
    /// The order comes to exactly so much, and shows itself so; more than the limit is refused.
    Reaches { name: LimitName, exact: &'static str, asked: &'static str, code: Code },
    /// With the order there are one more than the counts; each level has its own.
    Counts { name: LimitName, before: ByLevel<u64>, code: Code },
    /// Exactly so much is lost; at the limit it is refused already.
    Loses { name: LimitName, exact: &'static str, code: Code },
    /// The limit forbids by being set to anything but zero.
    Forbids { name: LimitName, code: Code },
    /// No limit: something of the moment forbids.
    Moment { forbid: fn(&mut Scene), code: Code },
}

/// Orders of the last minute.
const LAST_MINUTE: ByLevel<u64> =
    ByLevel { org: 8, account: 4, strategy: 3, key: 2, instrument: 6 };

/// The order of the table: 10 at 104 beside what [`busy`] holds.
fn rows(check: RiskCheck) -> Vec<Row> {
    let reaches = |name, exact, asked, code| vec![Row::Reaches { name, exact, asked, code }];
    let counts = |name, before, code| vec![Row::Counts { name, before, code }];
    let moment = |forbid, code| vec![Row::Moment { forbid, code }];
    match check {
        RiskCheck::Halt => moment(
            |scene| scene.halts.push(halt_on(HaltScope::Global, HaltMode::ReduceOnly)),
            Code::HaltActive,
        ),
        RiskCheck::Schedule => moment(
            // NOW is a Monday.
            |scene| scene.schedule = Some("tue 14:00-15:00 UTC".parse().unwrap()),
            Code::StrategySchedule,
        ),
        RiskCheck::LastDay => {
            moment(|scene| scene.contract = Some(contract("2026-09-21")), Code::RiskLastDay)
        }
        RiskCheck::Restricted => {
            vec![Row::Forbids { name: LimitName::Restricted, code: Code::RiskRestricted }]
        }
        RiskCheck::MarketOpen => {
            moment(|scene| scene.reference.market = Market::Closed, Code::RiskMarketClosed)
        }
        RiskCheck::Mark => moment(
            |scene| scene.unmarked = Some(Gap::Mark("ES".parse().unwrap())),
            Code::RiskMarkStale,
        ),
        RiskCheck::OrderQuantity => {
            reaches(LimitName::MaxOrderQuantity, "10", "10", Code::RiskMaxOrderQuantity)
        }
        // 104 · 10 · 2.
        RiskCheck::OrderNotional => {
            reaches(LimitName::MaxOrderNotional, "2080", "2080", Code::RiskMaxOrderNotional)
        }
        // Looked at while no price is fresh: `super::blind` has its table.
        RiskCheck::BlindMarket => Vec::new(),
        // 104 is 4 % from 100.
        RiskCheck::PriceCollar => {
            reaches(LimitName::PriceCollarPercent, "4", "104", Code::RiskPriceCollar)
        }
        // 5 + 3 + 2 + 10.
        RiskCheck::Position => reaches(LimitName::MaxPosition, "20", "20", Code::RiskMaxPosition),
        RiskCheck::PositionNotional => {
            reaches(LimitName::MaxPositionNotional, "4160", "4160", Code::RiskMaxPositionNotional)
        }
        RiskCheck::OrdersPerMinute => {
            counts(LimitName::MaxOrdersPerMinute, LAST_MINUTE, Code::RiskMaxOrdersPerMinute)
        }
        // 20 · 104 · 2 at half, and 1,400 beside it.
        RiskCheck::GrossExposure => {
            reaches(LimitName::MaxGrossExposure, "3480", "3480", Code::RiskMaxGrossExposure)
        }
        RiskCheck::NetExposure => {
            reaches(LimitName::MaxNetExposure, "3080", "3080", Code::RiskMaxNetExposure)
        }
        RiskCheck::OpenOrders => {
            counts(LimitName::MaxOpenOrders, busy().around.open_orders, Code::RiskMaxOpenOrders)
        }
        RiskCheck::OrdersPerSecond => {
            let before = busy().around.orders_last_second;
            counts(LimitName::MaxOrdersPerSecond, before, Code::RiskMaxOrdersPerSecond)
        }
        // 3,480 of 1,200.
        RiskCheck::Credit => reaches(LimitName::CreditPercent, "290", "3480", Code::RiskCredit),
        // Ten are two and a half times four.
        RiskCheck::FatFinger => {
            reaches(LimitName::MaxSizeMultiple, "2.5", "10", Code::RiskFatFinger)
        }
        RiskCheck::RepeatedExecution => {
            reaches(LimitName::MaxRepeatedEntries, "4", "4", Code::RiskRepeatedExecution)
        }
        RiskCheck::DailyLoss => vec![Row::Loses {
            name: LimitName::DailyLoss,
            exact: "1000",
            code: Code::RiskDailyLoss,
        }],
        RiskCheck::Drawdown => vec![
            Row::Loses { name: LimitName::Drawdown, exact: "1000", code: Code::RiskDrawdown },
            // Of 100,000.
            Row::Loses { name: LimitName::DrawdownPercent, exact: "1", code: Code::RiskDrawdown },
        ],
    }
}

fn contract(expires_on: &str) -> Contract {
    Contract {
        org_id: Id::from_bytes([1; 16]),
        root: "NQ".parse().unwrap(),
        symbol: "NQU26".parse().unwrap(),
        expires_on: expires_on.parse().unwrap(),
        first_notice_on: None,
        roll_at: None,
        updated_at: Timestamp::default(),
    }
}

/// The scope of a level that the order belongs to; with another number one that it does not.
fn scope_at(level: LimitLevel, number: u8) -> LimitScope {
    let own = |byte: u8| if number == 0 { byte } else { number };
    match level {
        LimitLevel::Org => LimitScope::Org,
        LimitLevel::Account => LimitScope::Account(Id::from_bytes([own(2); 16])),
        LimitLevel::Strategy => LimitScope::Strategy(Id::from_bytes([own(3); 16])),
        LimitLevel::Key => LimitScope::Key(Id::from_bytes([own(5); 16])),
        LimitLevel::Instrument if number == 0 => LimitScope::Instrument("NQ".parse().unwrap()),
        LimitLevel::Instrument => LimitScope::Instrument("ES".parse().unwrap()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Change,
}

/// The scene with these limits and no others but the required ones, far away.
fn with_limits(kind: Kind, limits: &[(LimitScope, LimitName, i64)]) -> Scene {
    const FAR: i64 = 1_000_000 * 100_000_000;
    let required = LimitName::REQUIRED.iter().map(|name| (LimitScope::Org, *name, FAR));
    let taken = |(scope, name, _): &(LimitScope, LimitName, i64)| {
        limits.iter().any(|(of, other, _)| of == scope && other == name)
    };
    let all: Vec<_> = required
        .filter(|limit| !taken(limit))
        .chain(limits.iter().cloned())
        .map(|(scope, name, value)| Limit {
            org_id: Id::from_bytes([1; 16]),
            scope,
            name,
            value,
            version: 7,
            updated_at: NOW,
        })
        .collect();
    let book = LimitBook::of(7, all.iter());
    let (account, strategy) = (Id::from_bytes([2; 16]), Id::from_bytes([3; 16]));
    let key = Some(Id::from_bytes([5; 16]));
    let mut scene = Scene { orders_last_minute: LAST_MINUTE, ..busy() };
    scene.limits = book.tightest(account, Some(strategy), key, &scene.symbol);
    let lost = [book.of_account(account), book.of_strategy(strategy)];
    scene.losses =
        lost.iter().flat_map(|bounds| watch().lost(&fallen(), bounds)).flatten().collect();
    if kind == Kind::Change {
        // 4 of the order have filled: they are in the position already, and not what may still fill.
        scene.exposure.quantity = scene.exposure.quantity.saturating_plus(units("4"));
        scene.exposure.entry_sell = scene.exposure.entry_sell.saturating_plus(units("4"));
        scene.already_filled = units("4");
    }
    scene
}

fn watch() -> Watch {
    let nothing = Reading { realized: Money::ZERO, total: Some(Money::ZERO), ..fallen() };
    Watch::begin(NOW, &Reading { is_flat: true, ..nothing })
}

/// 1,000 are lost, of 100,000.
fn fallen() -> Reading {
    Reading {
        realized: Money::ZERO,
        total: Money::from_whole(-1_000),
        before: None,
        marked_at: NOW,
        equity: Money::from_whole(99_000),
        is_flat: false,
    }
}

fn order() -> Intent {
    at_limit(Side::Buy, "10", "104")
}

/// Refused with this code, the limit and what the order comes to; an exit passes all the same.
fn refuses(scene: &Scene, code: Code, asked: &str, told: &str) {
    let (verdict, trace) = scene.judge(order());
    let refusal = verdict.expect_err(told);
    assert_eq!((refusal.code, refusal.input.as_deref()), (code, Some(asked)), "{told}");
    let limit = refusal.limit.expect(told);
    assert!(refusal.detail.contains(asked) && refusal.detail.contains(&limit), "{told}");
    assert!(trace.checks().iter().any(|check| check.code == Some(code)), "{told}");
    let exit = Intent { purpose: Purpose::Exit, ..order() };
    assert_eq!(scene.code(exit), None, "S18, {told}");
}

/// One limit at one level: by how much it is off, and what comes of it.
fn hold(kind: Kind, name: LimitName, exact: &str, refused: [bool; 3], code: Code, asked: &str) {
    let exact = units(exact).units();
    for level in LimitLevel::ALL.iter().copied().filter(|level| name.fits(*level)) {
        for (off, is_refused) in [-1, 0, 1].into_iter().zip(refused) {
            let mut limits = vec![(scope_at(level, 0), name, exact.saturating_add(off))];
            if level != LimitLevel::Org {
                // What is wider further up does not count.
                limits.push((LimitScope::Org, name, exact.saturating_mul(9)));
            }
            let scene = with_limits(kind, &limits);
            let told = format!("{name} at {level}, {off} off, {kind:?}");
            if is_refused {
                refuses(&scene, code, asked, &told);
            } else {
                assert_eq!(scene.code(order()), None, "{told}");
            }
        }
        if level != LimitLevel::Org {
            let others = with_limits(kind, &[(scope_at(level, 99), name, 1)]);
            assert_eq!(others.code(order()), None, "{name} of another {level}, {kind:?}");
        }
    }
}

/// One limit of counts at each level: all others are at their own count, and let pass.
fn hold_counts(kind: Kind, name: LimitName, before: &ByLevel<u64>, code: Code) {
    let with_this = |level| i64::try_from(before.at(level)).unwrap().saturating_add(1);
    let exact = |level| Quantity::from_whole(with_this(level)).unwrap();
    let distinct: BTreeSet<_> = LimitLevel::ALL.iter().map(|level| before.at(*level)).collect();
    assert_eq!(distinct.len(), LimitLevel::ALL.len(), "else one could stand for another");
    for level in LimitLevel::ALL.iter().copied() {
        for (off, is_refused) in [(-1, true), (0, false), (1, false)] {
            let off = |of| if of == level { off } else { 0 };
            let limits: Vec<_> = LimitLevel::ALL
                .iter()
                .map(|of| (scope_at(*of, 0), name, exact(*of).units().saturating_add(off(*of))))
                .collect();
            let scene = with_limits(kind, &limits);
            let told = format!("{name} at {level}, {} off, {kind:?}", off(level));
            if is_refused {
                refuses(&scene, code, &exact(level).to_string(), &told);
                let refusal = scene.judge(order()).0.unwrap_err();
                assert!(refusal.detail.ends_with(&format!("at level {level}.")), "{refusal:?}");
            } else {
                assert_eq!(scene.code(order()), None, "{told}");
            }
        }
        if level != LimitLevel::Org {
            let others = with_limits(kind, &[(scope_at(level, 99), name, 0)]);
            assert_eq!(others.code(order()), None, "{name} of another {level}, {kind:?}");
        }
    }
}

#[test]
fn every_check_at_every_level_for_new_orders_and_changes() {
    for kind in [Kind::Create, Kind::Change] {
        for check in RiskCheck::ALL {
            for row in rows(*check) {
                match row {
                    Row::Reaches { name, exact, asked, code } => {
                        hold(kind, name, exact, [true, false, false], code, asked);
                    }
                    Row::Counts { name, before, code } => hold_counts(kind, name, &before, code),
                    Row::Loses { name, exact, code } => {
                        hold(kind, name, exact, [true, true, false], code, "1000");
                    }
                    Row::Forbids { name, code } => {
                        for level in LimitLevel::ALL.iter().filter(|level| name.fits(**level)) {
                            for (number, value, expected) in
                                [(0, 1, Some(code)), (0, 0, None), (99, 1, None)]
                            {
                                let is_own = number == 0 || *level == LimitLevel::Org;
                                let expected =
                                    if is_own && value != 0 { Some(code) } else { expected };
                                let limits = [(scope_at(*level, number), name, value)];
                                let scene = with_limits(kind, &limits);
                                assert_eq!(
                                    scene.code(order()),
                                    expected,
                                    "{name} at {level} {value}"
                                );
                            }
                        }
                    }
                    Row::Moment { forbid, code } => {
                        let mut scene = with_limits(kind, &[]);
                        assert_eq!(scene.code(order()), None, "{check} {kind:?}");
                        forbid(&mut scene);
                        assert_eq!(scene.code(order()), Some(code), "{check} {kind:?}");
                        let exit = Intent { purpose: Purpose::Exit, ..order() };
                        assert_eq!(scene.code(exit), None, "S18, {check}");
                    }
                }
            }
        }
    }
}

/// Everything there is to look at is looked at, each by its own name; and each limit is in a row.
#[test]
fn nothing_is_missing_from_the_table() {
    let mut names = BTreeSet::new();
    let mut far = Vec::new();
    for row in RiskCheck::ALL.iter().flat_map(|check| rows(*check)) {
        match row {
            Row::Reaches { name, .. } | Row::Counts { name, .. } | Row::Loses { name, .. } => {
                assert!(names.insert(name), "{name} twice");
                far.push((LimitScope::Org, name, units("5000").units()));
            }
            Row::Forbids { name, .. } => assert!(names.insert(name), "{name} twice"),
            Row::Moment { .. } => {}
        }
    }
    let elsewhere = [LimitName::StaticLow, LimitName::StaticHigh];
    assert!(elsewhere.into_iter().all(|name| names.insert(name)));
    assert_eq!(names, LimitName::ALL.iter().copied().collect());
    let mut scene = with_limits(Kind::Create, &far);
    scene.schedule = Some("mon 14:00-15:00 UTC".parse().unwrap());
    scene.contract = Some(contract("2026-09-22"));
    scene.unmarked = Some(Gap::TooLarge);
    let (verdict, trace) = scene.judge(order());
    assert_eq!(verdict.unwrap_err().code, Code::RiskMarkStale, "all others pass");
    let seen: BTreeSet<_> = trace.checks().iter().map(|check| check.name).collect();
    let is_here = |check: &&RiskCheck| **check != RiskCheck::BlindMarket;
    assert_eq!(seen, RiskCheck::ALL.iter().filter(is_here).map(|check| check.text()).collect());
    assert_eq!(seen.len(), trace.checks().len(), "none twice");
}
