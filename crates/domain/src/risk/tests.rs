//! Every check at its limit, just under it and just over it; what may never be stopped; and
//! properties of whatever is cleared.

mod account;
mod blind;
mod table;

use super::*;
use crate::check::Outcome;
use crate::exchange::Conversion;
use crate::halt::{HaltMode, HaltScope};
use crate::id::Id;
use crate::instrument::Symbol;
use crate::loss::Lost;
use crate::order::TimeInForce;
use crate::portfolio::Worth;
use crate::profit::Gap;
use proptest::prelude::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);

/// What an order is judged against, owned.
#[derive(Debug)]
struct Scene {
    halts: Vec<Halt>,
    symbol: Symbol,
    schedule: Option<Schedule>,
    contract: Option<Contract>,
    limits: Limits,
    exposure: Exposure,
    instrument: Instrument,
    reference: Reference,
    stated_price: Option<Price>,
    blind_quantity_max: Option<Quantity>,
    orders_last_minute: ByLevel<u64>,
    already_filled: Quantity,
    others: Option<Result<(Worth, Conversion), Gap>>,
    unmarked: Option<Gap>,
    losses: Vec<Lost>,
    around: Surroundings<'static>,
}

/// A market at 100 with nothing held, and limits that are far away.
fn scene() -> Scene {
    let symbol: Symbol = "NQ".parse().unwrap();
    Scene {
        halts: Vec::new(),
        schedule: None,
        contract: None,
        limits: Limits {
            version: 7,
            max_order_quantity: limit("100"),
            max_order_notional: limit("1000000"),
            max_position: limit("1000"),
            price_collar_percent: limit("5"),
            max_orders_per_minute: at_org(limit("60")),
            ..Limits::default()
        },
        exposure: Exposure::default(),
        instrument: Instrument {
            symbol: symbol.clone(),
            tick: price("0.25"),
            lot: units("0.00000001"),
            quantity_min: units("0.00000001"),
            point_value: units("2"),
            currency: "USD".to_owned(),
            calendar: None,
        },
        symbol,
        reference: quoted(0),
        stated_price: None,
        blind_quantity_max: None,
        orders_last_minute: ByLevel::default(),
        already_filled: Quantity::ZERO,
        others: None,
        unmarked: None,
        losses: Vec::new(),
        around: Surroundings::default(),
    }
}

impl Scene {
    fn judge(&self, intent: Intent) -> (Result<Cleared, Refusal>, Trace) {
        let context = Context {
            halts: &self.halts,
            subject: subject(&self.symbol),
            schedule: self.schedule.as_ref(),
            contract: self.contract.as_ref(),
            limits: self.limits,
            exposure: self.exposure,
            already_filled: self.already_filled,
            around: Surroundings {
                others: self.others.as_ref().map(|others| others.as_ref().copied()),
                unmarked: self.unmarked.as_ref(),
                losses: &self.losses,
                ..self.around
            },
            instrument: &self.instrument,
            reference: self.reference,
            stated_price: self.stated_price,
            blind_quantity_max: self.blind_quantity_max,
            orders_last_minute: self.orders_last_minute,
            now: NOW,
        };
        let mut trace = Trace::new();
        let verdict = clear(intent, &context, &mut trace);
        (verdict, trace)
    }

    /// The code of the refusal, or `None` for a yes.
    fn code(&self, intent: Intent) -> Option<Code> {
        self.judge(intent).0.err().map(|refusal| refusal.code)
    }
}

fn subject(symbol: &Symbol) -> HaltSubject<'_> {
    HaltSubject {
        org: Id::from_bytes([1; 16]),
        account: Id::from_bytes([2; 16]),
        strategy: Some(Id::from_bytes([3; 16])),
        webhook: Some(Id::from_bytes([4; 16])),
        key: Some(Id::from_bytes([5; 16])),
        symbol,
        passes_halts: false,
    }
}

fn at_org<T: Default>(org: T) -> ByLevel<T> {
    ByLevel { org, ..ByLevel::default() }
}

fn units(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "limits may be absent")]
fn limit(text: &str) -> Option<i64> {
    Some(units(text).units())
}

/// Bid 99, ask 101, so long ago; no trade.
fn quoted(seconds_ago: u64) -> Reference {
    let at = NOW.minus(Duration::from_secs(seconds_ago));
    Reference {
        quote: Some((price("99"), price("101"), at)),
        last: None,
        prior_close: None,
        market: Market::Open,
    }
}

fn market(purpose: Purpose, side: Side, quantity: &str) -> Intent {
    Intent {
        purpose,
        side,
        quantity: units(quantity),
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        limit_price: None,
        stop_price: None,
    }
}

fn entry(side: Side, quantity: &str) -> Intent {
    market(Purpose::Entry, side, quantity)
}

fn at_limit(side: Side, quantity: &str, limit: &str) -> Intent {
    Intent {
        order_type: OrderType::Limit,
        limit_price: Some(price(limit)),
        ..entry(side, quantity)
    }
}

fn slot(limits: &mut Limits, name: LimitName) -> &mut Option<i64> {
    match name {
        LimitName::MaxOrderQuantity => &mut limits.max_order_quantity,
        LimitName::MaxOrderNotional => &mut limits.max_order_notional,
        LimitName::MaxPosition => &mut limits.max_position,
        LimitName::PriceCollarPercent => &mut limits.price_collar_percent,
        LimitName::MaxOrdersPerMinute => &mut limits.max_orders_per_minute.org,
        other => panic!("{other}"),
    }
}

/// The codes of the trace's lines, in order, with how each ended.
fn lines(trace: &Trace) -> Vec<(&'static str, Outcome, Option<Code>)> {
    trace.checks().iter().map(|check| (check.name, check.result, check.code)).collect()
}

const CHECKS: [&str; 8] = [
    "halt",
    "risk.restricted",
    "risk.market_open",
    "risk.max_order_quantity",
    "risk.max_order_notional",
    "risk.price_collar",
    "risk.max_position",
    "risk.max_orders_per_minute",
];

#[test]
fn what_passes_is_cleared_unchanged_with_the_version_of_its_limits() {
    let (verdict, trace) = scene().judge(entry(Side::Buy, "1"));
    let cleared = verdict.unwrap();
    assert_eq!((cleared.intent(), cleared.limits_version()), (&entry(Side::Buy, "1"), 7));
    let names: Vec<_> = trace.checks().iter().map(|check| check.name).collect();
    assert_eq!(names, CHECKS);
    assert!(trace.checks().iter().all(|check| check.result == Outcome::Pass));
}

/// Each number is what the order comes to: one unit less refuses, the same and one more let pass.
#[test]
fn every_limit_at_just_under_and_just_over() {
    let long = Exposure {
        quantity: units("5"),
        entry_buy: units("3"),
        exit_buy: units("2"),
        entry_sell: units("900"),
        ..Exposure::default()
    };
    let short = Exposure {
        quantity: units("-5"),
        entry_sell: units("3"),
        exit_sell: units("2"),
        entry_buy: units("900"),
        ..Exposure::default()
    };
    let (buy, sell) = (at_limit(Side::Buy, "10", "104"), at_limit(Side::Sell, "10", "96"));
    for (intent, exposure, name, exact, code) in [
        (&buy, long, LimitName::MaxOrderQuantity, "10", Code::RiskMaxOrderQuantity),
        (&sell, short, LimitName::MaxOrderQuantity, "10", Code::RiskMaxOrderQuantity),
        // 104 · 10 · 2; a low limit does not make a sale look small: 100 · 10 · 2.
        (&buy, long, LimitName::MaxOrderNotional, "2080", Code::RiskMaxOrderNotional),
        (&sell, short, LimitName::MaxOrderNotional, "2000", Code::RiskMaxOrderNotional),
        (&buy, long, LimitName::PriceCollarPercent, "4", Code::RiskPriceCollar),
        (&sell, short, LimitName::PriceCollarPercent, "4", Code::RiskPriceCollar),
        (&buy, long, LimitName::MaxPosition, "20", Code::RiskMaxPosition),
        (&sell, short, LimitName::MaxPosition, "20", Code::RiskMaxPosition),
        (&buy, long, LimitName::MaxOrdersPerMinute, "5", Code::RiskMaxOrdersPerMinute),
        (&sell, short, LimitName::MaxOrdersPerMinute, "5", Code::RiskMaxOrdersPerMinute),
    ] {
        let exact = units(exact).units();
        for (off, expected) in [(-1, Some(code)), (0, None), (1, None)] {
            let mut scene = Scene { exposure, orders_last_minute: at_org(4), ..scene() };
            *slot(&mut scene.limits, name) = Some(exact.saturating_add(off));
            assert_eq!(scene.code(intent.clone()), expected, "{name} {off} {}", intent.side);
        }
    }
}

/// The order shrinks what is held the other way: only the worst on its own side counts.
#[test]
fn the_position_is_judged_at_its_worst_on_the_orders_side() {
    for (held, side, allowed) in [
        ("-1000", Side::Buy, true),
        ("1000", Side::Buy, false),
        ("999", Side::Buy, true),
        ("1000", Side::Sell, true),
        ("-1000", Side::Sell, false),
        ("-999", Side::Sell, true),
    ] {
        let exposure = Exposure { quantity: units(held), ..Exposure::default() };
        let scene = Scene { exposure, ..scene() };
        assert_eq!(scene.code(entry(side, "1")).is_none(), allowed, "{side} at {held}");
    }
}

/// A stop order fills no better than where it is triggered.
#[test]
fn a_stop_counts_with_its_own_price() {
    let mut scene = scene();
    scene.limits.price_collar_percent = limit("100");
    let stop = |side, stop: &str, limit: Option<&str>| Intent {
        order_type: if limit.is_some() { OrderType::StopLimit } else { OrderType::Stop },
        stop_price: Some(price(stop)),
        limit_price: limit.map(price),
        ..entry(side, "1")
    };
    for (intent, worth) in [
        (stop(Side::Buy, "150", None), "300"),
        (stop(Side::Buy, "150", Some("160")), "320"),
        (stop(Side::Sell, "60", None), "200"),
        (stop(Side::Sell, "60", Some("50")), "200"),
    ] {
        scene.limits.max_order_notional = limit(worth);
        assert_eq!(scene.code(intent.clone()), None, "{intent:?}");
        scene.limits.max_order_notional = limit(worth).map(|worth| worth.saturating_sub(1));
        assert_eq!(scene.code(intent.clone()), Some(Code::RiskMaxOrderNotional), "{intent:?}");
    }
}

#[test]
fn a_limit_that_was_never_set_refuses() {
    for name in LimitName::REQUIRED {
        let mut scene = scene();
        *slot(&mut scene.limits, *name) = None;
        let (verdict, _trace) = scene.judge(entry(Side::Buy, "1"));
        let refusal = verdict.unwrap_err();
        assert_eq!(refusal.code, Code::RiskLimitMissing);
        assert_eq!(refusal.limit.as_deref(), Some(name.text()));
    }
}

/// A scene in which every check says no.
fn hopeless(mode: HaltMode) -> Scene {
    Scene {
        halts: vec![halt_on(HaltScope::Global, mode)],
        limits: Limits {
            max_order_quantity: limit("0.5"),
            max_order_notional: limit("1"),
            max_position: limit("0.5"),
            price_collar_percent: limit("0.1"),
            max_orders_per_minute: at_org(limit("0")),
            restricted: true,
            ..scene().limits
        },
        reference: Reference { market: Market::Closed, ..quoted(0) },
        stated_price: Some(price("90")),
        ..scene()
    }
}

/// S18: a schedule refuses what opens, and is only looked at for what closes.
#[test]
fn s18_a_schedule_is_enforced_on_entries_alone() {
    // NOW is 2026-09-21T14:13:20Z, a Monday.
    for (schedule, open) in [
        ("mon 14:13-14:14 UTC", true),
        ("mon 14:12-14:13 UTC", false),
        ("mon 14:14-14:15 UTC", false),
        ("sun 23:00-14:14 UTC", true),
        ("mon 10:00-10:30 America/New_York", true),
    ] {
        let scene = Scene { schedule: Some(schedule.parse().unwrap()), ..scene() };
        let refused = (!open).then_some(Code::StrategySchedule);
        assert_eq!(scene.code(entry(Side::Buy, "1")), refused, "{schedule}");
        let (verdict, trace) = scene.judge(market(Purpose::Exit, Side::Sell, "1"));
        assert!(verdict.is_ok(), "{schedule}");
        let line = trace.checks().iter().find(|check| check.name == "strategy.schedule").unwrap();
        let outcome = if open { Outcome::Pass } else { Outcome::Skip };
        assert_eq!((line.result, line.code), (outcome, refused), "{schedule}");
    }
}

/// S11: a month contract takes no entries from its last day on; exits pass.
#[test]
fn s11_no_entries_on_the_last_day() {
    // NOW is 2026-09-21 in New York.
    for (expires_on, refused) in [
        ("2026-09-22", None),
        ("2026-09-21", Some(Code::RiskLastDay)),
        ("2026-09-18", Some(Code::RiskLastDay)),
    ] {
        let contract = Contract {
            org_id: Id::from_bytes([1; 16]),
            root: "NQ".parse().unwrap(),
            symbol: "NQU26".parse().unwrap(),
            expires_on: expires_on.parse().unwrap(),
            first_notice_on: None,
            roll_at: None,
            updated_at: Timestamp::default(),
        };
        let scene = Scene { contract: Some(contract), ..scene() };
        assert_eq!(scene.code(entry(Side::Buy, "1")), refused, "{expires_on}");
        assert_eq!(scene.code(market(Purpose::Exit, Side::Sell, "1")), None, "{expires_on}");
    }
}

/// All checks that say no are in the trace; the refusal is the first one's.
#[test]
fn every_no_is_traced_and_the_first_one_is_the_answer() {
    let codes = [
        Code::HaltActive,
        Code::RiskRestricted,
        Code::RiskMarketClosed,
        Code::RiskMaxOrderQuantity,
        Code::RiskMaxOrderNotional,
        Code::RiskPriceCollar,
        Code::RiskMaxPosition,
        Code::RiskMaxOrdersPerMinute,
    ];
    for lifted in 0..=codes.len() {
        let mut scene = hopeless(HaltMode::ReduceOnly);
        let easy = self::scene();
        for check in CHECKS.iter().take(lifted) {
            match *check {
                "halt" => scene.halts.clear(),
                "risk.restricted" => scene.limits.restricted = false,
                "risk.market_open" => scene.reference.market = Market::Open,
                "risk.max_order_quantity" => {
                    scene.limits.max_order_quantity = easy.limits.max_order_quantity;
                }
                "risk.max_order_notional" => {
                    scene.limits.max_order_notional = easy.limits.max_order_notional;
                }
                "risk.price_collar" => scene.stated_price = None,
                "risk.max_position" => scene.limits.max_position = easy.limits.max_position,
                "risk.max_orders_per_minute" => {
                    scene.limits.max_orders_per_minute = easy.limits.max_orders_per_minute;
                }
                other => panic!("{other}"),
            }
        }
        let (verdict, trace) = scene.judge(entry(Side::Buy, "1"));
        let expected: Vec<_> = CHECKS
            .iter()
            .zip(codes)
            .enumerate()
            .map(|(place, (name, code))| {
                let no = place >= lifted;
                (*name, if no { Outcome::Fail } else { Outcome::Pass }, no.then_some(code))
            })
            .collect();
        assert_eq!(lines(&trace), expected, "{lifted} lifted");
        assert_eq!(verdict.err().map(|refusal| refusal.code), codes.get(lifted).copied());
    }
}

/// S18: what reduces is stopped by nothing but a `block` halt; the rest is computed and traced.
#[test]
fn s18_exits_are_traced_and_not_stopped() {
    for side in [Side::Buy, Side::Sell] {
        let exit = market(Purpose::Exit, side, "1");
        let (verdict, trace) = hopeless(HaltMode::ReduceOnly).judge(exit.clone());
        assert_eq!(verdict.unwrap().intent(), &exit);
        let [halt, rest @ ..] = trace.checks() else { panic!("{trace:?}") };
        assert_eq!((halt.name, halt.result), ("halt", Outcome::Pass));
        assert_eq!(rest.iter().map(|check| check.name).collect::<Vec<_>>(), CHECKS[1..]);
        for check in rest {
            assert!(check.result == Outcome::Skip && check.code.is_some(), "{check:?}");
        }

        let (verdict, trace) = hopeless(HaltMode::Block).judge(exit.clone());
        assert_eq!(verdict.unwrap_err().code, Code::HaltActive);
        assert_eq!(trace.checks().len(), CHECKS.len());

        let bare = Scene { limits: Limits::default(), reference: Reference::NONE, ..scene() };
        assert!(bare.judge(exit.clone()).0.is_ok(), "no limits, no price");
        let unseen = Scene { reference: quoted(3), ..scene() };
        assert!(unseen.judge(exit).0.is_ok(), "stale price");
    }
    let huge = Intent { quantity: Quantity::MAX, ..market(Purpose::Exit, Side::Sell, "1") };
    assert!(scene().judge(huge).0.is_ok());
}

fn halt_on(scope: HaltScope, mode: HaltMode) -> Halt {
    Halt {
        id: Id::from_bytes([9; 16]),
        org_id: None,
        scope,
        mode,
        include_protective: false,
        reason: "a test".to_owned(),
        engaged_by: "the test".to_owned(),
        engaged_at: NOW,
    }
}

#[test]
fn halts_by_scope_mode_and_purpose() {
    let (org, other_org) = (Id::from_bytes([1; 16]), Id::from_bytes([71; 16]));
    let (account, other_account) = (Id::from_bytes([2; 16]), Id::from_bytes([72; 16]));
    let symbol = |text: &str| text.parse::<Symbol>().unwrap();
    let scopes = [
        (HaltScope::Global, true),
        (HaltScope::Org(org), true),
        (HaltScope::Org(other_org), false),
        (HaltScope::Account(account), true),
        (HaltScope::Account(other_account), false),
        (HaltScope::Strategy(Id::from_bytes([3; 16])), true),
        (HaltScope::Strategy(Id::from_bytes([73; 16])), false),
        (HaltScope::Webhook(Id::from_bytes([4; 16])), true),
        (HaltScope::Webhook(Id::from_bytes([74; 16])), false),
        (HaltScope::Key(Id::from_bytes([5; 16])), true),
        (HaltScope::Key(Id::from_bytes([75; 16])), false),
        (HaltScope::Instrument(symbol("NQ")), true),
        (HaltScope::Instrument(symbol("ES")), false),
        (HaltScope::Pair(account, symbol("NQ")), true),
        (HaltScope::Pair(account, symbol("ES")), false),
        (HaltScope::Pair(other_account, symbol("NQ")), false),
    ];
    for (scope, covers) in scopes {
        assert_eq!(scope.to_string().parse(), Ok(scope.clone()));
        for (mode, purpose, mode_stops) in [
            (HaltMode::Block, Purpose::Entry, true),
            (HaltMode::Block, Purpose::Exit, true),
            (HaltMode::ReduceOnly, Purpose::Entry, true),
            (HaltMode::ReduceOnly, Purpose::Exit, false),
            (HaltMode::Cancel, Purpose::Entry, true),
            (HaltMode::Cancel, Purpose::Exit, true),
            (HaltMode::Flatten, Purpose::Entry, true),
            (HaltMode::Flatten, Purpose::Exit, false),
        ] {
            for (owner, owns) in [(None, true), (Some(org), true), (Some(other_org), false)] {
                let halt = Halt { org_id: owner, ..halt_on(scope.clone(), mode) };
                let scene = Scene { halts: vec![halt], ..scene() };
                let stopped = scene.code(market(purpose, Side::Buy, "1"));
                let expected = (covers && mode_stops && owns).then_some(Code::HaltActive);
                assert_eq!(stopped, expected, "{scope} {mode} {purpose} {owner:?}");
            }
        }
    }
}

#[test]
fn an_order_of_no_strategy_is_not_covered_by_a_strategys_halt() {
    let symbol: Symbol = "NQ".parse().unwrap();
    let bare = HaltSubject { strategy: None, webhook: None, key: None, ..subject(&symbol) };
    for (scope, covers) in [
        (HaltScope::Strategy(Id::from_bytes([3; 16])), false),
        (HaltScope::Webhook(Id::from_bytes([4; 16])), false),
        (HaltScope::Key(Id::from_bytes([5; 16])), false),
        (HaltScope::Account(Id::from_bytes([2; 16])), true),
        (HaltScope::Global, true),
    ] {
        assert_eq!(halt_on(scope, HaltMode::Block).stops(Purpose::Entry, &bare), covers);
    }
}

/// S22: prices are measured against the reference; a price in the signal may refuse, never justify.
#[test]
fn s22_collar() {
    let order = |order_type, limit: &str, stop: &str| Intent {
        order_type,
        limit_price: (!limit.is_empty()).then(|| price(limit)),
        stop_price: (!stop.is_empty()).then(|| price(stop)),
        ..entry(Side::Buy, "1")
    };
    for (order_type, limit, stop, stated, inside) in [
        (OrderType::Market, "", "", "", true),
        (OrderType::Market, "", "", "105", true),
        (OrderType::Market, "", "", "105.00000001", false),
        (OrderType::Market, "", "", "95", true),
        (OrderType::Market, "", "", "94.99999999", false),
        (OrderType::Limit, "105", "", "", true),
        (OrderType::Limit, "105.00000001", "", "", false),
        (OrderType::Limit, "94.99999999", "", "", false),
        (OrderType::Limit, "106", "", "106", false),
        (OrderType::Limit, "100", "", "106", false),
        (OrderType::Stop, "", "105", "", true),
        (OrderType::Stop, "", "106", "", false),
        (OrderType::StopLimit, "104", "103", "", true),
        (OrderType::StopLimit, "106", "103", "", false),
        (OrderType::StopLimit, "104", "106", "", false),
        (OrderType::Market, "", "", "0", false),
        (OrderType::Market, "", "", "-100", false),
    ] {
        let stated_price = (!stated.is_empty()).then(|| price(stated));
        let scene = Scene { stated_price, ..scene() };
        let expected = (!inside).then_some(Code::RiskPriceCollar);
        let seen = scene.code(order(order_type, limit, stop));
        assert_eq!(seen, expected, "{order_type} {limit} {stop} {stated}");
    }
}

/// S22: without a fresh reference an entry is refused, whatever the signal says.
#[test]
fn s22_no_entry_without_a_fresh_reference() {
    let ago = |seconds| NOW.minus(Duration::from_secs(seconds));
    let traded = |seconds| Reference { last: Some((price("100"), ago(seconds))), ..quoted(3) };
    for (reference, fresh) in [
        (quoted(2), true),
        (quoted(3), false),
        (traded(60), true),
        (traded(61), false),
        (Reference { market: Market::Open, ..Reference::NONE }, false),
    ] {
        for intent in [entry(Side::Buy, "1"), at_limit(Side::Sell, "1", "100")] {
            for stated_price in [None, Some(price("100"))] {
                let scene = Scene { reference, stated_price, ..scene() };
                let expected = (!fresh).then_some(Code::RiskReferenceStale);
                assert_eq!(scene.code(intent.clone()), expected, "{reference:?}");
            }
        }
    }
}

/// S14: a market that nobody knows to be open is closed for entries.
#[test]
fn s14_closed_and_unknown_markets() {
    for market in [Market::Closed, Market::Unknown] {
        let reference = Reference { market, ..quoted(0) };
        let scene = Scene { reference, ..scene() };
        assert_eq!(scene.code(entry(Side::Buy, "1")), Some(Code::RiskMarketClosed));
        assert_eq!(scene.code(self::market(Purpose::Exit, Side::Buy, "1")), None);
    }
}

/// What cannot be counted is refused, also where the limit stands at the end of the range.
#[test]
fn overflow_refuses() {
    let no_limits = Limits {
        max_order_quantity: Some(i64::MAX),
        max_order_notional: Some(i64::MAX),
        max_position: Some(i64::MAX),
        price_collar_percent: Some(i64::MAX),
        max_orders_per_minute: at_org(Some(i64::MAX)),
        ..scene().limits
    };
    let open = || Scene { limits: no_limits, ..scene() };
    let most = Intent { quantity: Quantity::MAX, ..entry(Side::Buy, "1") };
    assert_eq!(open().code(most), Some(Code::RiskWorthTooLarge));
    let one_unit = |side| entry(side, "0.00000001");
    for (held, side) in [(i64::MAX, Side::Buy), (i64::MIN, Side::Sell), (-i64::MAX, Side::Sell)] {
        let exposure = Exposure { quantity: Quantity::from_units(held), ..Exposure::default() };
        let scene = Scene { exposure, ..open() };
        assert_eq!(scene.code(one_unit(side)), Some(Code::RiskWorthTooLarge), "{held}");
        assert_eq!(scene.code(one_unit(side.opposite())), None, "{held}");
    }
    let busy = Scene { orders_last_minute: at_org(u64::MAX), ..open() };
    assert_eq!(busy.code(one_unit(Side::Buy)), Some(Code::RiskWorthTooLarge));
}

fn any_units() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0_i64..3_000_000_000,
        2 => any::<i64>(),
        1 => prop::sample::select(vec![0, 1, i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1]),
    ]
}

prop_compose! {
    fn any_intent()(
        purpose in prop::sample::select(Purpose::ALL),
        side in prop::sample::select(Side::ALL),
        quantity in any_units(),
        order_type in prop::sample::select(OrderType::ALL),
        limit_price in prop::option::of(any_units()),
        stop_price in prop::option::of(any_units()),
    ) -> Intent {
        Intent {
            purpose,
            side,
            quantity: Quantity::from_units(quantity),
            order_type,
            time_in_force: TimeInForce::Day,
            limit_price: limit_price.map(Price::from_units),
            stop_price: stop_price.map(Price::from_units),
        }
    }
}

prop_compose! {
    fn any_scene()(
        limits in prop::array::uniform5(prop::option::weighted(0.95, any_units())),
        held in any_units(),
        live in prop::array::uniform4(any_units()),
        (bid, ask, last) in (any_units(), any_units(), any_units()),
        point_value in any_units(),
        stated_price in prop::option::of(any_units()),
        orders_last_minute in any::<u64>(),
    ) -> Scene {
        let [quantity, notional, position, collar, orders] = limits;
        let [entry_buy, entry_sell, exit_buy, exit_sell] =
            live.map(|live| Quantity::from_units(live.saturating_abs()));
        let quantity_held = Quantity::from_units(held);
        let instrument = scene().instrument;
        let price = Price::from_units;
        Scene {
            limits: Limits {
                version: 1,
                max_order_quantity: quantity,
                max_order_notional: notional,
                max_position: position,
                price_collar_percent: collar,
                max_orders_per_minute: at_org(orders),
                restricted: false,
                    ..Limits::default()
            },
            exposure: Exposure {
                quantity: quantity_held,
                entry_buy,
                entry_sell,
                exit_buy,
                exit_sell,
                ..Exposure::default()
            },
            instrument: Instrument { point_value: Quantity::from_units(point_value), ..instrument },
            reference: Reference {
                quote: Some((price(bid), price(ask), NOW)),
                last: Some((price(last), NOW)),
                prior_close: None,
                market: Market::Open,
            },
            stated_price: stated_price.map(price),
            orders_last_minute: at_org(orders_last_minute % 100),
            ..scene()
        }
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "sums of a few i64 fit an i128")]
fn worst(exposure: &Exposure, intent: &Intent) -> i128 {
    let wide = |quantity: Quantity| i128::from(quantity.units());
    let own = wide(intent.quantity);
    match intent.side {
        Side::Buy => {
            wide(exposure.quantity) + wide(exposure.entry_buy) + wide(exposure.exit_buy) + own
        }
        Side::Sell => {
            wide(exposure.entry_sell) + wide(exposure.exit_sell) + own - wide(exposure.quantity)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever the numbers: an answer, eight lines, and for exits a yes.
    #[test]
    fn judging_is_total(scene in any_scene(), intent in any_intent()) {
        let purpose = intent.purpose;
        let (verdict, trace) = scene.judge(intent);
        prop_assert_eq!(trace.checks().len(), CHECKS.len());
        prop_assert!(verdict.is_ok() || purpose == Purpose::Entry);
        let no = trace.checks().iter().find(|check| check.result == Outcome::Fail);
        prop_assert_eq!(no.and_then(|check| check.code), verdict.err().map(|no| no.code));
    }

    /// What is cleared keeps to every limit, computed in wider numbers.
    #[test]
    fn what_is_cleared_keeps_the_limits(
        scene in any_scene(),
        intent in any_intent(),
        easy in prop::array::uniform4(prop::bool::weighted(0.9)),
    ) {
        let mut scene = scene;
        let [quantity, notional, collar, orders] = easy;
        let most = |slot: &mut Option<i64>, easy: bool| if easy { *slot = Some(i64::MAX) };
        most(&mut scene.limits.max_order_quantity, quantity);
        most(&mut scene.limits.max_order_notional, notional);
        most(&mut scene.limits.price_collar_percent, collar);
        most(&mut scene.limits.max_orders_per_minute.org, orders);
        let intent = Intent { purpose: Purpose::Entry, ..intent };
        let (verdict, _trace) = scene.judge(intent.clone());
        if verdict.is_ok() {
            let limit = |limit: Option<i64>| i128::from(limit.unwrap());
            prop_assert!(i128::from(intent.quantity.units()) <= limit(scene.limits.max_order_quantity));
            prop_assert!(worst(&scene.exposure, &intent) <= limit(scene.limits.max_position));
        }
    }

    /// The value of what is cleared is within the limit, without any rounding in between.
    #[test]
    fn what_is_cleared_keeps_the_notional(
        quantity in 1_i64..1_000_000_000_000,
        point_value in 1_i64..10_000_000_000,
        middle in 1_i64..1_000_000_000_000,
        asked in prop::option::of(1_i64..1_000_000_000_000),
        stop in prop::option::of(1_i64..1_000_000_000_000),
        limit in any_units(),
    ) {
        let mut scene = scene();
        scene.limits = Limits {
            max_order_quantity: Some(i64::MAX),
            max_order_notional: Some(limit),
            max_position: Some(i64::MAX),
            price_collar_percent: Some(i64::MAX),
            ..scene.limits
        };
        scene.instrument.point_value = Quantity::from_units(point_value);
        let reference = Price::from_units(middle);
        scene.reference.quote = Some((reference, reference, NOW));
        let intent = Intent {
            order_type: OrderType::StopLimit,
            quantity: Quantity::from_units(quantity),
            limit_price: asked.map(Price::from_units),
            stop_price: stop.map(Price::from_units),
            ..entry(Side::Buy, "1")
        };
        let worst = middle.max(asked.unwrap_or(0)).max(stop.unwrap_or(0));
        let product = [worst, quantity, point_value].map(i128::from).into_iter().product::<i128>();
        let allowed = i128::from(limit).saturating_mul(10_000_000_000_000_000);
        match scene.code(intent) {
            None => prop_assert!(product <= allowed),
            // The value is rounded away from zero twice, each time by less than one unit.
            Some(Code::RiskMaxOrderNotional) => {
                let slack = i128::from(point_value).saturating_add(100_000_000);
                let slack = slack.saturating_mul(100_000_000);
                prop_assert!(product.saturating_add(slack) > allowed);
            }
            Some(Code::RiskPriceCollar | Code::RiskWorthTooLarge) => {}
            Some(other) => prop_assert!(false, "{other}"),
        }
    }
}
