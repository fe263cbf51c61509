//! The checks over a whole account: each at its limit, just under it and just over it, for a new
//! order and for a change of one.

use super::*;

/// Everything else on the account is worth 1,000 long and 400 short; the own instrument is quoted in
/// a currency worth half of the account's.
fn beside() -> (Worth, Conversion) {
    let money = |text: &str| text.parse::<Money>().unwrap();
    let worth = Worth { gross: money("1400"), long: money("1000"), short: money("-400") };
    (worth, Conversion::At(price("0.5")))
}

fn set(limits: &mut Limits, name: LimitName, value: i64) {
    let slot = match name {
        LimitName::MaxGrossExposure => &mut limits.max_gross_exposure,
        LimitName::MaxNetExposure => &mut limits.max_net_exposure,
        LimitName::MaxOpenOrders => &mut limits.max_open_orders.account,
        LimitName::MaxOrdersPerSecond => &mut limits.max_orders_per_second.account,
        LimitName::CreditPercent => &mut limits.credit_percent,
        LimitName::MaxSizeMultiple => &mut limits.max_size_multiple,
        LimitName::MaxRepeatedEntries => &mut limits.max_repeated_entries,
        other => panic!("{other}"),
    };
    *slot = Some(value);
}

/// An account in the middle of its day.
pub(super) fn busy() -> Scene {
    Scene {
        exposure: Exposure {
            quantity: units("5"),
            entry_buy: units("3"),
            exit_buy: units("2"),
            entry_sell: units("9"),
            ..Exposure::default()
        },
        others: Some(Ok(beside())),
        around: Surroundings {
            equity: Some("1200".parse().unwrap()),
            open_orders: ByLevel { org: 9, account: 6, strategy: 5, key: 4, instrument: 7 },
            orders_last_second: ByLevel { org: 5, account: 2, strategy: 1, key: 0, instrument: 3 },
            repeated_entries: 3,
            usual_size: Some(units("4")),
            ..Surroundings::default()
        },
        ..scene()
    }
}

const AT_LIMIT: [(LimitName, Side, &str, Code); 10] = [
    // 5 + 3 + 2 + 10 at 104 and 2 a point, in half: 2,080; and 1,400 beside it.
    (LimitName::MaxGrossExposure, Side::Buy, "3480", Code::RiskMaxGrossExposure),
    // 5 - 9 - 10 at 100: 1,400 on the short side are more than 1,000 on the long one.
    (LimitName::MaxGrossExposure, Side::Sell, "2800", Code::RiskMaxGrossExposure),
    // 2,080 and 1,000 that are long beside it.
    (LimitName::MaxNetExposure, Side::Buy, "3080", Code::RiskMaxNetExposure),
    // 1,000 long in the own instrument and 1,000 beside it, against 1,800 short.
    (LimitName::MaxNetExposure, Side::Sell, "2000", Code::RiskMaxNetExposure),
    (LimitName::MaxOpenOrders, Side::Buy, "7", Code::RiskMaxOpenOrders),
    (LimitName::MaxOrdersPerSecond, Side::Sell, "3", Code::RiskMaxOrdersPerSecond),
    // 3,480 of 1,200 are 290 %.
    (LimitName::CreditPercent, Side::Buy, "290", Code::RiskCredit),
    // Ten are two and a half times four.
    (LimitName::MaxSizeMultiple, Side::Buy, "2.5", Code::RiskFatFinger),
    (LimitName::MaxSizeMultiple, Side::Sell, "2.5", Code::RiskFatFinger),
    (LimitName::MaxRepeatedEntries, Side::Buy, "4", Code::RiskRepeatedExecution),
];

/// Each number is what the order comes to: one unit less refuses, the same and one more let pass.
#[test]
fn every_limit_of_an_account_at_just_under_and_just_over() {
    for (name, side, exact, code) in AT_LIMIT {
        for (off, expected) in [(-1, Some(code)), (0, None), (1, None)] {
            let mut scene = busy();
            set(&mut scene.limits, name, units(exact).units().saturating_add(off));
            let limit = if side == Side::Buy { "104" } else { "96" };
            assert_eq!(scene.code(at_limit(side, "10", limit)), expected, "{name} {off} {side}");
        }
    }
}

/// The same order as a change of one of which 4 have filled: those are in the position already.
#[test]
fn a_change_is_judged_like_a_new_order() {
    for (name, side, exact, code) in AT_LIMIT {
        for (off, expected) in [(-1, Some(code)), (0, None), (1, None)] {
            let mut scene = busy();
            let four = side.signed(units("4"));
            scene.exposure.quantity = scene.exposure.quantity.saturating_plus(four);
            scene.already_filled = units("4");
            // Bought is long, sold is short; what stands on the other side is so much smaller.
            let opposite = match side {
                Side::Buy => &mut scene.exposure.entry_sell,
                Side::Sell => &mut scene.exposure.entry_buy,
            };
            *opposite = opposite.saturating_plus(units("4"));
            set(&mut scene.limits, name, units(exact).units().saturating_add(off));
            let limit = if side == Side::Buy { "104" } else { "96" };
            assert_eq!(scene.code(at_limit(side, "10", limit)), expected, "{name} {off} {side}");
        }
    }
}

/// What a limit is set for and nobody can tell, refuses; what is not limited, is not asked for.
#[test]
fn what_cannot_be_told_refuses() {
    let buy = || entry(Side::Buy, "1");
    let gap = || Gap::Mark("ES".parse().unwrap());
    for name in [LimitName::MaxGrossExposure, LimitName::MaxNetExposure] {
        for others in [None, Some(Err(gap()))] {
            let mut scene = Scene { others, ..busy() };
            assert_eq!(scene.code(buy()), None, "not limited");
            set(&mut scene.limits, name, i64::MAX);
            assert_eq!(scene.code(buy()), Some(Code::RiskReferenceStale), "{name}");
        }
    }
    let mut scene = busy();
    set(&mut scene.limits, LimitName::CreditPercent, i64::MAX / 1_000);
    assert_eq!(scene.code(buy()), None);
    scene.around.equity = None;
    assert_eq!(scene.code(buy()), Some(Code::RiskEquityStale));
    // A debt buys nothing.
    scene.around.equity = Some("-5".parse().unwrap());
    assert_eq!(scene.code(buy()), Some(Code::RiskCredit));
    // Nothing is usual yet.
    let mut scene = busy();
    set(&mut scene.limits, LimitName::MaxSizeMultiple, 0);
    scene.around.usual_size = None;
    assert_eq!(scene.code(buy()), None);
}

/// S23: with a loss limit, a position that has no mark lets nothing in beside it.
#[test]
fn s23_a_position_without_a_mark_refuses_entries() {
    let unmarked = Some(Gap::Mark("ES".parse().unwrap()));
    let scene = Scene { unmarked, ..busy() };
    assert_eq!(scene.code(entry(Side::Buy, "1")), Some(Code::RiskMarkStale));
    assert_eq!(scene.code(market(Purpose::Exit, Side::Sell, "1")), None);
}

/// S18: what reduces is looked at, and stopped by none of them.
#[test]
fn s18_no_limit_of_an_account_stops_an_exit() {
    let mut scene = Scene { unmarked: Some(Gap::TooLarge), others: None, ..busy() };
    scene.around.equity = None;
    for (name, ..) in AT_LIMIT {
        set(&mut scene.limits, name, 0);
    }
    let (verdict, trace) = scene.judge(market(Purpose::Exit, Side::Sell, "5"));
    assert!(verdict.is_ok());
    let told = trace.checks().iter().filter(|check| check.result == Outcome::Skip);
    let codes: Vec<_> = told.filter_map(|check| check.code).collect();
    assert_eq!(
        codes,
        [
            Code::RiskReferenceStale,
            Code::RiskReferenceStale,
            Code::RiskMaxOpenOrders,
            Code::RiskMaxOrdersPerSecond,
            Code::RiskEquityStale,
            Code::RiskFatFinger,
            Code::RiskRepeatedExecution,
            Code::RiskMarkStale,
        ]
    );
}
