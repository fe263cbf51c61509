//! What strategies decide: tables that name the rule they hold, and properties over random books.

use super::Strategy;
use super::*;
use crate::exchange::Conversion;
use crate::signal::read;
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::fmt::{Debug, Write as _};

fn units(text: &str) -> Quantity {
    text.parse().unwrap()
}

/// `"SELL comment=EXIT_50 quantity=3"` as a signal.
fn signal(words: &str) -> Signal {
    let mut words = words.split(' ');
    let action = words.next().unwrap();
    let mut body = format!(r#"{{"action":"{action}""#);
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        write!(body, r#","{name}":"{value}""#).unwrap();
    }
    body.push('}');
    read(body.as_bytes(), None).signal.unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn strategy() -> Strategy {
    Strategy {
        id: Id::from_bytes([1; 16]),
        org_id: Id::from_bytes([2; 16]),
        name: "test".to_owned(),
        source: crate::source::Source::Webhook(Id::from_bytes([3; 16])),
        account_id: Id::from_bytes([4; 16]),
        followers: Vec::new(),
        require_leader: false,
        symbol: "NQ".parse().unwrap(),
        symbol_source: SymbolSource::Strategy,
        quantity: units("2"),
        sizing: Sizing::Fixed,
        quantity_fallback: false,
        quantity_clamp: false,
        percent: None,
        fee_per_unit: Money::ZERO,
        stop_ticks_min: STOP_TICKS_MIN_DEFAULT,
        on_opposite: OnOpposite::Close,
        pyramiding: Pyramiding::Ignore,
        short_selling: ShortSelling::Allow,
        send_within_s: SEND_WITHIN_S_DEFAULT,
        entry_ttl_s: None,
        schedule: None,
        take_profit: None,
        stop_loss: None,
        on_naked: crate::bracket::OnNaked::Alert,
        adopt: false,
        auto_roll: false,
        blind_market: false,
        blind_quantity_max: BLIND_QUANTITY_MAX_DEFAULT,
        expected_every_s: None,
        state: StrategyState::On,
        created_at: Timestamp::default(),
    }
}

/// S11: what rolls by itself has a continuous symbol of its own, and says so.
#[test]
fn s11_what_rolls_by_itself() {
    let with = |symbol: &str, symbol_source, auto_roll| Strategy {
        symbol: symbol.parse().unwrap(),
        symbol_source,
        auto_roll,
        ..strategy()
    };
    let rolls = |strategy: Strategy| strategy.rolls().map(|own| (own.root.to_string(), own.place));
    let own = SymbolSource::Strategy;
    assert_eq!(rolls(with("ES2!", own, true)), Some(("ES".to_owned(), 2)));
    assert_eq!(rolls(with("ES2!", own, false)), None);
    assert_eq!(rolls(with("ESZ26", own, true)), None);
    assert_eq!(rolls(with("ES2!", SymbolSource::Payload, true)), None);
}

/// S9: an entry of no signal is protected by the strategy's own distances, or by nothing.
#[test]
fn s9_levels_of_an_entry_without_a_signal() {
    let entry = Intent {
        purpose: Purpose::Entry,
        side: Side::Buy,
        quantity: units("1"),
        order_type: OrderType::Market,
        time_in_force: TimeInForce::Day,
        limit_price: None,
        stop_price: None,
    };
    let at = (Some("100".parse().unwrap()), "0.25".parse().unwrap());
    assert_eq!(strategy().own_levels(&entry, at), Ok(None));
    let stop: Away = "20".parse().unwrap();
    let protecting = Strategy { stop_loss: Some(stop), ..strategy() };
    let levels = protecting.own_levels(&entry, at).unwrap().unwrap();
    assert_eq!((levels.stop_loss, levels.take_profit), (Some(Mark::Away(stop)), None));
    let too_far = Strategy { stop_loss: Some("100".parse().unwrap()), ..strategy() };
    let no = too_far.own_levels(&entry, at).unwrap_err();
    assert_eq!(no.code, Code::BracketInvalid);
    assert_eq!((no.input.as_deref(), no.limit.as_deref()), (Some("0"), Some("100")));
    assert!(no.detail.starts_with("stop_loss: 0 "), "{}", no.detail);
}

fn reversing() -> Strategy {
    Strategy { on_opposite: OnOpposite::Reverse, ..strategy() }
}

fn by_payload(of: Strategy) -> Strategy {
    Strategy { sizing: Sizing::Payload, ..of }
}

fn instrument(lot: &str, minimum: &str) -> Instrument {
    Instrument {
        symbol: "NQ".parse().unwrap(),
        tick: "0.25".parse().unwrap(),
        lot: units(lot),
        quantity_min: units(minimum),
        point_value: units("20"),
        currency: "USD".to_owned(),
        calendar: None,
    }
}

/// `"5"`, `"-3"`, `"5 entry_buy=2 exit_sell=1"`.
fn book(words: &str) -> Exposure {
    let mut words = words.split(' ');
    let mut exposure = Exposure { quantity: units(words.next().unwrap()), ..Exposure::default() };
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        let slot = match name {
            "entry_buy" => &mut exposure.entry_buy,
            "entry_sell" => &mut exposure.entry_sell,
            "exit_buy" => &mut exposure.exit_buy,
            "exit_sell" => &mut exposure.exit_sell,
            other => panic!("{other}"),
        };
        *slot = units(value);
    }
    exposure
}

/// A decision in words: `exit sell 4, entry sell 2`, `nothing`, `skip strategy.flat`.
fn say(decision: &Decision) -> String {
    match decision {
        Decision::Skip(refusal) => format!("skip {}", refusal.code),
        Decision::Refuse(refusal) => format!("refuse {}", refusal.code),
        Decision::Trade(intents) if intents.is_empty() => "nothing".to_owned(),
        Decision::Trade(intents) => intents
            .iter()
            .map(|intent| format!("{} {} {}", intent.purpose, intent.side, intent.quantity))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn decide(strategy: &Strategy, position: &str, words: &str) -> String {
    let whole = instrument("1", "1");
    say(&strategy.decide(&signal(words), &book(position), &whole, RemovedEntries::None))
}

fn holds(strategy: &Strategy, table: &[(&str, &str, &str)]) {
    for (position, words, expected) in table {
        assert_eq!(decide(strategy, position, words), *expected, "{words} at {position}");
    }
}

/// S1: the position is fills plus what is live, queued or unknown; "flat" is said only when no
/// entry is live.
#[test]
fn s1_the_projected_position_decides() {
    holds(
        &strategy(),
        &[
            ("0", "BUY", "entry buy 2"),
            ("0", "SELL", "entry sell 2"),
            ("0 entry_buy=3", "BUY", "skip strategy.already_long"),
            ("0 entry_sell=3", "SELL", "skip strategy.already_short"),
            ("0 entry_sell=3", "BUY", "exit buy 3"),
            ("0 entry_buy=3", "SELL", "exit sell 3"),
            ("0 entry_buy=3", "EXIT", "exit sell 3"),
            ("5 entry_buy=3", "EXIT", "exit sell 8"),
            ("5 exit_sell=2", "EXIT", "exit sell 3"),
            ("5 exit_sell=5", "BUY", "entry buy 2"),
            ("5 exit_sell=5", "SELL", "entry sell 2"),
            ("-5 exit_buy=5", "SELL", "entry sell 2"),
            ("0", "EXIT", "skip strategy.flat"),
            ("5 exit_sell=5", "EXIT", "skip strategy.flat"),
            // The entry may yet fill: the exit is taken, and all of it is under way already.
            ("0 entry_buy=3 exit_sell=3", "EXIT", "nothing"),
            ("0 entry_sell=3 exit_buy=3", "EXIT", "nothing"),
            ("0 entry_buy=3 exit_sell=3", "SELL comment=EXIT_FINAL", "nothing"),
            ("0 entry_sell=3 exit_buy=3", "BUY comment=EXIT_FINAL", "nothing"),
            ("0 entry_buy=3 exit_sell=3", "BUY comment=EXIT_FINAL", "skip strategy.flat"),
        ],
    );
}

/// S2: an exit removes unsent entries; where that was all there was to do, it is no skip.
#[test]
fn s2_removing_entries_is_something_done() {
    let whole = instrument("1", "1");
    for (position, words, removed, expected) in [
        ("0", "EXIT", RemovedEntries::Some, "nothing"),
        ("0", "EXIT", RemovedEntries::None, "skip strategy.flat"),
        ("0", "SELL comment=EXIT_50", RemovedEntries::Some, "nothing"),
        ("4", "EXIT", RemovedEntries::Some, "exit sell 4"),
        ("4", "EXIT comment=EXIT_50", RemovedEntries::Some, "exit sell 2"),
        ("-4", "EXIT", RemovedEntries::Some, "exit buy 4"),
    ] {
        let decision = strategy().decide(&signal(words), &book(position), &whole, removed);
        assert_eq!(say(&decision), expected, "{words} at {position}, {removed:?}");
    }
}

/// S4: what closes all of a position, or more than working exits leave, takes those back.
#[test]
fn s4_what_closes_all_needs_what_rests() {
    let payload = by_payload(strategy());
    let target = Strategy { sizing: Sizing::Target, ..reversing() };
    for (strategy, words, side, expected) in [
        (&strategy(), "EXIT", Side::Sell, true),
        (&strategy(), "EXIT", Side::Buy, true),
        (&strategy(), "EXIT comment=EXIT_50", Side::Sell, false),
        (&strategy(), "SELL comment=EXIT_FINAL", Side::Sell, true),
        (&strategy(), "SELL", Side::Sell, true),
        (&strategy(), "SELL", Side::Buy, false),
        (&strategy(), "BUY", Side::Sell, false),
        (&payload, "SELL quantity=2", Side::Sell, false),
        (&payload, "SELL quantity=3", Side::Sell, true),
        (&payload, "EXIT quantity=2", Side::Sell, false),
        (&payload, "EXIT quantity=2 comment=EXIT_FINAL", Side::Sell, true),
        (&target, "SELL market_position=flat", Side::Sell, true),
        (&target, "SELL market_position=short market_position_size=1", Side::Sell, true),
        (&target, "SELL market_position=long market_position_size=1", Side::Sell, false),
    ] {
        let closes_all = strategy.closes_all(&signal(words), &book("5 exit_sell=3"), side);
        assert_eq!(closes_all, expected, "{words} {side} {:?}", strategy.sizing);
    }
}

/// S5: a signal against unsent entries takes them back. Under `close` that is all; a reversal goes
/// on, and if it cannot, what was taken back stays so.
#[test]
fn s5_unsent_entries_are_taken_back() {
    let whole = instrument("1", "1");
    let no_shorts = Strategy { short_selling: ShortSelling::Ignore, ..reversing() };
    let exits_only = Strategy { state: StrategyState::ExitsOnly, ..reversing() };
    for (strategy, position, words, expected) in [
        (strategy(), "0", "SELL", "nothing"),
        (strategy(), "0", "BUY", "nothing"),
        (reversing(), "0", "SELL", "entry sell 2"),
        (reversing(), "0", "SELL market_position=flat", "nothing"),
        (no_shorts, "0", "SELL", "nothing"),
        (exits_only, "0", "SELL", "nothing"),
        (by_payload(reversing()), "0", "SELL", "nothing"),
        (strategy(), "3", "SELL", "exit sell 3"),
        (strategy(), "3", "BUY", "nothing"),
        (Strategy { state: StrategyState::Off, ..strategy() }, "0", "SELL", "refuse strategy.off"),
    ] {
        let some = RemovedEntries::Some;
        let decision = strategy.decide(&signal(words), &book(position), &whole, some);
        assert_eq!(say(&decision), expected, "{words} at {position}, {strategy:?}");
    }
}

/// S5: symmetric, up to the position and never past flat.
#[test]
fn s5_an_opposite_signal_closes() {
    holds(
        &strategy(),
        &[
            ("-3", "BUY", "exit buy 3"),
            ("3", "SELL", "exit sell 3"),
            ("-3 exit_buy=1", "BUY", "exit buy 2"),
            ("3 exit_sell=1", "SELL", "exit sell 2"),
            ("-3", "BUY quantity=1", "exit buy 3"),
        ],
    );
    holds(
        &by_payload(strategy()),
        &[
            ("-3", "BUY quantity=2", "exit buy 2"),
            ("3", "SELL quantity=2", "exit sell 2"),
            ("-3", "BUY quantity=9", "exit buy 3"),
            ("3", "SELL quantity=9", "exit sell 3"),
            ("-3", "BUY", "exit buy 3"),
            ("3", "SELL quantity=many", "exit sell 3"),
        ],
    );
}

/// S3: an exit is at most the account's net of that sign; nothing opens behind a cut one.
#[test]
fn s3_an_exit_is_at_most_the_accounts_net() {
    let whole = instrument("1", "1");
    for (strategy, own, account, words, expected, cut) in [
        (strategy(), "3", "3", "EXIT", "exit sell 3", "0"),
        (strategy(), "3", "1", "EXIT", "exit sell 1", "2"),
        (strategy(), "-3", "-1", "BUY", "exit buy 1", "2"),
        (strategy(), "4", "3", "EXIT comment=EXIT_50", "exit sell 2", "0"),
        (strategy(), "3", "0", "EXIT", "skip strategy.flat", "3"),
        (strategy(), "3", "-2", "SELL", "skip strategy.flat", "3"),
        (strategy(), "3", "9", "EXIT", "exit sell 3", "0"),
        // What another strategy is closing comes back.
        (strategy(), "3", "1 exit_buy=2", "EXIT", "exit sell 1", "2"),
        (strategy(), "3", "-2 exit_buy=2", "EXIT", "skip strategy.flat", "3"),
        (strategy(), "0 entry_buy=3", "-1 entry_buy=3", "EXIT", "exit sell 2", "1"),
        (strategy(), "0 entry_buy=3", "-1 entry_buy=3 exit_buy=1", "EXIT", "exit sell 3", "0"),
        (reversing(), "3", "1", "SELL", "exit sell 1", "2"),
        (reversing(), "3", "3", "SELL", "exit sell 3, entry sell 2", "0"),
    ] {
        let none = RemovedEntries::None;
        let decision = strategy.decide(&signal(words), &book(own), &whole, none);
        let (decision, left) = decision.within_account(&book(account), none);
        let told = format!("{words} at {own} of {account}");
        assert_eq!((say(&decision).as_str(), left), (expected, units(cut)), "{told}");
    }
    let decision = strategy().decide(&signal("EXIT"), &book("3"), &whole, RemovedEntries::Some);
    let (decision, _) = decision.within_account(&book("0"), RemovedEntries::Some);
    assert_eq!(say(&decision), "nothing", "what was taken back stays so");
}

/// S5: a reversal closes and opens; where the entry is refused, it stays flat.
#[test]
fn s5_reverse() {
    holds(
        &reversing(),
        &[
            ("-3", "BUY", "exit buy 3, entry buy 2"),
            ("3", "SELL", "exit sell 3, entry sell 2"),
            ("3 entry_buy=1", "SELL", "exit sell 4, entry sell 2"),
        ],
    );
    holds(
        &by_payload(reversing()),
        &[
            ("-3", "BUY quantity=5", "exit buy 3, entry buy 5"),
            ("3", "SELL quantity=1", "exit sell 3, entry sell 1"),
            ("-3", "BUY", "exit buy 3"),
            ("3", "SELL quantity=many", "exit sell 3"),
            ("3", "SELL quantity=0.4", "exit sell 3"),
        ],
    );
    let no_shorts = Strategy { short_selling: ShortSelling::Ignore, ..reversing() };
    holds(&no_shorts, &[("3", "SELL", "exit sell 3"), ("-3", "BUY", "exit buy 3, entry buy 2")]);
    let exits_only = Strategy { state: StrategyState::ExitsOnly, ..reversing() };
    holds(&exits_only, &[("3", "SELL", "exit sell 3"), ("-3", "BUY", "exit buy 3")]);
}

/// S5: with sizing by target the order is what is missing to the position that the signal names.
#[test]
fn s5_target_is_the_wanted_position_less_the_projected_one() {
    const LONG_3: &str = "market_position=long market_position_size=3";
    const SHORT_2: &str = "market_position=short market_position_size=2";
    const LONG_5: &str = "market_position=long market_position_size=5";
    const SHORT_4: &str = "market_position=short market_position_size=4";
    let by_target = |of: Strategy| Strategy { sizing: Sizing::Target, ..of };
    let cases: [(&str, String, &str); 13] = [
        ("0", format!("BUY {LONG_3}"), "entry buy 3"),
        ("0 entry_buy=2", format!("BUY {LONG_3}"), "entry buy 1"),
        ("3", format!("BUY {LONG_3}"), "skip strategy.already_long"),
        // Whatever was said about pyramiding.
        ("3", format!("BUY {LONG_5}"), "entry buy 2"),
        ("3 entry_buy=2", format!("BUY {LONG_5}"), "skip strategy.already_long"),
        ("-3", format!("SELL {SHORT_4}"), "entry sell 1"),
        ("5", format!("SELL {LONG_3}"), "exit sell 2"),
        // It missed the long of which the sender sold a part.
        ("0", format!("SELL {LONG_3}"), "skip strategy.wrong_side"),
        ("-2", format!("BUY {LONG_3}"), "exit buy 2"),
        ("0", format!("SELL {SHORT_2}"), "entry sell 2"),
        ("-3", format!("BUY {SHORT_2}"), "exit buy 1"),
        ("4", "SELL market_position=flat market_position_size=0".to_owned(), "exit sell 4"),
        ("0", "SELL market_position=flat".to_owned(), "skip strategy.flat"),
    ];
    for (position, words, expected) in cases {
        assert_eq!(decide(&by_target(strategy()), position, &words), expected, "{words}");
    }
    assert_eq!(strategy().pyramiding, Pyramiding::Ignore);
    let adds = Strategy { pyramiding: Pyramiding::Allow, ..by_target(strategy()) };
    for of in [&adds, &by_target(strategy())] {
        assert_eq!(decide(of, "1", &format!("BUY {LONG_3}")), "entry buy 2");
        assert_eq!(decide(of, "1 entry_buy=1", &format!("BUY {LONG_3}")), "entry buy 1");
    }
    let reverses = by_target(reversing());
    assert_eq!(decide(&reverses, "-2", &format!("BUY {LONG_3}")), "exit buy 2, entry buy 3");
    assert_eq!(decide(&reverses, "5", &format!("SELL {SHORT_2}")), "exit sell 5, entry sell 2");
    let no_shorts = Strategy { short_selling: ShortSelling::Ignore, ..reverses };
    assert_eq!(decide(&no_shorts, "5", &format!("SELL {SHORT_2}")), "exit sell 5");
    for words in [
        "BUY",
        "BUY market_position=long",
        "BUY market_position=long market_position_size=0",
        "BUY market_position=flat market_position_size=3",
    ] {
        let decided = decide(&by_target(strategy()), "0", words);
        assert_eq!(decided, "refuse sizing.unusable_quantity", "{words}");
    }
    // An exit says by itself how much it closes.
    holds(&by_target(strategy()), &[("7", "SELL comment=EXIT_50", "exit sell 4")]);
}

/// S5: TradersPost names the side after the trade as `sentiment`.
#[test]
fn s5_target_reads_the_sentiment() {
    let strategy = Strategy { sizing: Sizing::Target, ..strategy() };
    let whole = instrument("1", "1");
    let decide = |position: &str, body: &str| {
        let signal = read(body.as_bytes(), None).signal.unwrap();
        say(&strategy.decide(&signal, &book(position), &whole, RemovedEntries::None))
    };
    let flat = r#"{"ticker":"NQ","action":"sell","sentiment":"flat","quantity":1}"#;
    assert_eq!(decide("4", flat), "exit sell 4");
    assert_eq!(decide("0", flat), "skip strategy.flat");
    let unsized_long = r#"{"ticker":"NQ","action":"buy","sentiment":"bullish","quantity":1}"#;
    assert_eq!(decide("0", unsized_long), "refuse sizing.unusable_quantity");
}

fn by_equity(sizing: Sizing, percent: &str) -> Strategy {
    Strategy { sizing, percent: Percentage::new(units(percent)), ..strategy() }
}

fn means(equity: &str, reference: &str) -> Means {
    let conversion = Some(Conversion::Same);
    Means { equity: equity.parse().ok(), reference: reference.parse().ok(), conversion }
}

fn sized(strategy: &Strategy, words: &str, means: &Means) -> String {
    match strategy.size(&signal(words), &instrument("1", "1"), means) {
        Ok(size) => size.to_string(),
        Err(refusal) => refusal.code.to_string(),
    }
}

/// S8: the size is risk ÷ (distance × point value), fees both ways included; here a point is worth 20.
#[test]
fn s8_the_stop_loses_the_percentage() {
    let strategy = by_equity(Sizing::RiskPerTrade, "1");
    for (equity, reference, words, size) in [
        // 1,000 at risk, 10 points of 20 each.
        ("100000", "5000", "BUY stop_loss=4990", "5"),
        ("100000", "5000", "SELL stop_loss=5010", "5"),
        ("100000", "5000", "BUY order_type=limit limit_price=4995 stop_loss=4990", "10"),
        ("100000", "5000", "BUY stop_loss=4950.25", "1.00502512"),
        ("50000", "5000", "BUY stop_loss=4997.5", "10"),
    ] {
        assert_eq!(sized(&strategy, words, &means(equity, reference)), size, "{words}");
    }
    let with_fees = Strategy { fee_per_unit: "25".parse().unwrap(), ..strategy.clone() };
    let means = means("100000", "5000");
    assert_eq!(sized(&with_fees, "BUY stop_loss=4990", &means), "4", "1000 / (200 + 2 x 25)");
    let own = Strategy { stop_loss: Some("10".parse().unwrap()), ..strategy };
    assert_eq!(sized(&own, "BUY", &means), "5");
    assert_eq!(sized(&own, "BUY stop_loss=4980", &means), "2.5", "the signal's stop comes first");
}

/// S8: the rate is part of what a unit costs, rounded up; without one there is no size.
#[test]
fn s8_an_instrument_in_another_currency_is_sized_by_the_rate() {
    let risk = by_equity(Sizing::RiskPerTrade, "1");
    let worth = by_equity(Sizing::PercentEquity, "250");
    for (rate, of_risk, of_worth) in [
        (Some("1.25"), "4", "2"),
        (Some("0.5"), "10", "5"),
        (Some("92233720368"), "risk.overflow", "risk.overflow"),
        (None, "sizing.rate_stale", "sizing.rate_stale"),
    ] {
        let conversion = rate.map(|rate| Conversion::At(rate.parse().unwrap()));
        let means = Means { conversion, ..means("100000", "5000") };
        let sizes = (sized(&risk, "BUY stop_loss=4990", &means), sized(&worth, "BUY", &means));
        assert_eq!((sizes.0.as_str(), sizes.1.as_str()), (of_risk, of_worth), "{rate:?}");
    }
    // Without an equity that is what is told.
    let none = Means { conversion: None, ..means("", "5000") };
    assert_eq!(sized(&worth, "BUY", &none), "sizing.equity_stale");
}

/// S8: it fails closed.
#[test]
fn s8_no_size_without_a_plausible_stop_and_a_fresh_equity() {
    let strategy = by_equity(Sizing::RiskPerTrade, "1");
    let fresh = means("100000", "5000");
    for (words, code) in [
        ("BUY", "sizing.stop_invalid"),
        ("BUY stop_loss=5000", "sizing.stop_invalid"),
        ("BUY stop_loss=5010", "sizing.stop_invalid"),
        ("SELL stop_loss=4990", "sizing.stop_invalid"),
        // 0.05 % of the price is 2.5; four ticks are 1.
        ("BUY stop_loss=4997.75", "sizing.stop_invalid"),
    ] {
        assert_eq!(sized(&strategy, words, &fresh), code, "{words}");
    }
    let cheap = means("100000", "100");
    assert_eq!(sized(&strategy, "BUY stop_loss=99.25", &cheap), "sizing.stop_invalid", "3 ticks");
    assert_eq!(sized(&strategy, "BUY stop_loss=99", &cheap), "50", "4 ticks");
    let words = "BUY stop_loss=4990";
    assert_eq!(sized(&strategy, words, &means("", "5000")), "sizing.equity_stale");
    assert_eq!(sized(&strategy, words, &means("0", "5000")), "sizing.equity_stale");
    assert_eq!(sized(&strategy, words, &means("-5", "5000")), "sizing.equity_stale");
    assert_eq!(sized(&strategy, words, &means("100000", "")), "risk.reference_stale");
    let unset = Strategy { percent: None, ..strategy };
    assert_eq!(sized(&unset, words, &fresh), "sizing.unusable_quantity");
}

/// S8: a price that the order does not have sizes nothing, nor does one that the market has passed.
#[test]
fn s8_a_size_comes_of_a_price_that_the_order_has() {
    let means = means("100000", "100");
    let part = by_equity(Sizing::PercentEquity, "10");
    let risk = by_equity(Sizing::RiskPerTrade, "1");
    for (strategy, words, size) in [
        // 10,000 of worth, 2,000 a unit.
        (&part, "BUY", "5"),
        (&part, "BUY order_type=market limit_price=1", "5"),
        (&part, "BUY order_type=market stop_price=1", "5"),
        (&part, "BUY order_type=stop stop_price=1", "5"),
        (&part, "SELL order_type=stop stop_price=1000", "5"),
        (&part, "BUY order_type=stop stop_price=125", "4"),
        (&part, "BUY order_type=limit limit_price=80", "6.25"),
        // 1,000 at risk, 10 points of 20 each.
        (&risk, "BUY stop_loss=90", "5"),
        (&risk, "BUY order_type=market limit_price=91 stop_loss=90", "5"),
        (&risk, "BUY order_type=stop stop_price=91 stop_loss=90", "5"),
        (&risk, "BUY order_type=stop stop_price=120 stop_loss=110", "5"),
        (&risk, "SELL order_type=limit limit_price=90 stop_loss=91", "sizing.stop_invalid"),
        (&risk, "BUY order_type=limit limit_price=110 stop_loss=109", "sizing.stop_invalid"),
    ] {
        assert_eq!(sized(strategy, words, &means), size, "{words}");
    }
}

/// S8: a part of the equity as worth; what is missing refuses entries and never exits.
#[test]
fn s8_a_part_of_the_equity() {
    let strategy = by_equity(Sizing::PercentEquity, "250");
    // 250,000 of worth, 100,000 a unit.
    assert_eq!(sized(&strategy, "BUY", &means("100000", "5000")), "2.5");
    assert_eq!(decide(&strategy, "3", "SELL"), "exit sell 3");
    assert_eq!(decide(&strategy, "3", "EXIT"), "exit sell 3");
    assert_eq!(decide(&strategy, "0", "BUY"), "refuse sizing.equity_stale");
    let reversing = Strategy { on_opposite: OnOpposite::Reverse, ..strategy };
    assert_eq!(decide(&reversing, "3", "SELL"), "exit sell 3", "it stays flat (S5)");
}

/// S6: an exit with a side closes that side only; free text means nothing.
#[test]
fn s6_exits_with_a_side() {
    holds(
        &strategy(),
        &[
            ("5", "SELL comment=EXIT_FINAL", "exit sell 5"),
            ("5", "BUY comment=EXIT_FINAL", "skip strategy.wrong_side"),
            ("5", "BUY comment=EXIT_50", "skip strategy.wrong_side"),
            ("5", "EXIT", "exit sell 5"),
            ("-5", "BUY comment=EXIT_FINAL", "exit buy 5"),
            ("-5", "SELL comment=EXIT_FINAL", "skip strategy.wrong_side"),
            ("-5", "SELL comment=EXIT_50", "skip strategy.wrong_side"),
            ("-5", "EXIT", "exit buy 5"),
            ("0", "SELL comment=EXIT_FINAL", "skip strategy.flat"),
            ("0", "BUY comment=breakout", "entry buy 2"),
            ("5", "SELL comment=breakout", "exit sell 5"),
        ],
    );
    // A reversal is an answer to an entry, not to an exit of the other side.
    holds(&reversing(), &[("5", "BUY comment=EXIT_50", "skip strategy.wrong_side")]);
}

/// S7: exits round up to the lot, are capped at the position and take dust with them.
#[test]
fn s7_exit_quantities() {
    holds(
        &strategy(),
        &[
            ("7", "EXIT comment=EXIT_50", "exit sell 4"),
            ("-7", "EXIT comment=EXIT_50", "exit buy 4"),
            ("7", "SELL comment=EXIT_25", "exit sell 2"),
            ("7", "SELL comment=EXIT_1", "exit sell 1"),
            ("7", "SELL comment=EXIT_99", "exit sell 7"),
            ("1", "SELL comment=EXIT_25", "exit sell 1"),
            ("7 exit_sell=3", "EXIT comment=EXIT_50", "exit sell 2"),
            ("7", "EXIT comment=EXIT_FINAL", "exit sell 7"),
        ],
    );
    let coin = instrument("0.001", "0.01");
    for (position, words, expected) in [
        ("0.1", "EXIT comment=EXIT_50", "exit sell 0.05"),
        ("0.1", "EXIT comment=EXIT_95", "exit sell 0.1"),
        ("0.1", "EXIT comment=EXIT_1", "exit sell 0.01"),
        ("0.015", "EXIT comment=EXIT_50", "exit sell 0.015"),
        ("0.004", "EXIT comment=EXIT_50", "exit sell 0.004"),
        // What is left of a partial fill may be finer than the lot; all of it goes.
        ("0.0105", "EXIT", "exit sell 0.0105"),
        ("-0.0333", "EXIT comment=EXIT_33", "exit buy 0.011"),
    ] {
        let none = RemovedEntries::None;
        let decision = strategy().decide(&signal(words), &book(position), &coin, none);
        assert_eq!(say(&decision), expected, "{words} at {position}");
    }
}

/// S7: entries round down, and nothing is refused.
#[test]
fn s7_entry_quantities() {
    holds(
        &by_payload(strategy()),
        &[
            ("0", "BUY quantity=2", "entry buy 2"),
            ("0", "BUY quantity=2.9", "entry buy 2"),
            ("0", "BUY quantity=0.9", "refuse sizing.unusable_quantity"),
            ("0", "BUY quantity=many", "refuse sizing.unusable_quantity"),
            ("0", "BUY quantity=-1", "refuse sizing.unusable_quantity"),
            ("0", "BUY quantity=0", "refuse sizing.unusable_quantity"),
            ("0", "BUY", "refuse sizing.unusable_quantity"),
        ],
    );
    holds(&strategy(), &[("0", "BUY quantity=9", "entry buy 2")]);
    let coin = instrument("0.001", "0.01");
    let small = by_payload(strategy()).decide(
        &signal("BUY quantity=0.009"),
        &book("0"),
        &coin,
        RemovedEntries::None,
    );
    assert_eq!(say(&small), "refuse sizing.unusable_quantity");
}

/// S7: under `quantity_fallback` the strategy's quantity stands in where the payload says no size. A number
/// that was sent and cannot be used stays refused, and no exit asks for any of it.
#[test]
fn s7_a_missing_size_falls_back_only_if_the_strategy_says_so() {
    let says_none = ["BUY", "BUY quantity=", "BUY quantity=many", "SELL quantity={{contracts}}"];
    let says_a_number = ["BUY quantity=0", "BUY quantity=-1", "BUY quantity=0.9"];
    let falls_back = Strategy { quantity_fallback: true, ..by_payload(strategy()) };
    for words in says_none {
        let side = if words.starts_with("BUY") { "buy" } else { "sell" };
        holds(&by_payload(strategy()), &[("0", words, "refuse sizing.unusable_quantity")]);
        holds(&falls_back, &[("0", words, &format!("entry {side} 2"))]);
    }
    for words in says_a_number {
        holds(&falls_back, &[("0", words, "refuse sizing.unusable_quantity")]);
    }
    holds(
        &falls_back,
        &[
            ("0", "BUY quantity=1", "entry buy 1"),
            ("7", "SELL", "exit sell 7"),
            ("7", "EXIT quantity=many", "exit sell 7"),
            ("7", "SELL quantity=3", "exit sell 3"),
        ],
    );
    let target = Strategy { sizing: Sizing::Target, quantity_fallback: true, ..strategy() };
    holds(&target, &[("0", "BUY", "refuse sizing.unusable_quantity")]);
}

/// What an entry or exit of this size becomes under this limit for one order, and what the trace says.
fn before_limits(
    strategy: &Strategy,
    (purpose, quantity): (Purpose, &str),
    limit: Option<&str>,
    instrument: &Instrument,
) -> (String, Vec<String>) {
    let limits = crate::limit::Limits {
        max_order_quantity: limit.map(|limit| units(limit).units()),
        max_position: Some(0),
        ..Default::default()
    };
    let intent = Intent { purpose, quantity: units(quantity), ..close(Side::Buy, units("1")) };
    let mut trace = crate::check::Trace::new();
    let out = strategy.sized(intent.clone(), &signal("BUY"), instrument, &limits, &mut trace);
    assert_eq!(Intent { quantity: intent.quantity, ..out.clone() }, intent, "nothing else changes");
    let shown = |check: &crate::check::Check| {
        let of = |shown: &Option<crate::check::Shown>| shown.as_ref().unwrap().to_string();
        format!("{} {} {}", check.name, of(&check.input), of(&check.limit))
    };
    (out.quantity.to_string(), trace.checks().iter().map(shown).collect())
}

/// S7: under `quantity_clamp` an entry over the limit for one order is cut down to it and to the lot;
/// what would be less than the smallest order stays as it is, to be refused; an exit is never touched.
#[test]
fn s7_an_entry_is_clamped_only_if_the_strategy_says_so() {
    let clamps = Strategy { quantity_clamp: true, ..strategy() };
    let (whole, coin) = (instrument("1", "1"), instrument("0.001", "0.01"));
    for (quantity, limit, on, becomes) in [
        ("4", Some("5"), &whole, "4"),
        ("5", Some("5"), &whole, "5"),
        ("6", Some("5"), &whole, "5"),
        ("6", Some("5.9"), &whole, "5"),
        ("6", Some("0.9"), &whole, "6"),
        ("6", Some("0"), &whole, "6"),
        ("6", None, &whole, "6"),
        ("0.5", Some("0.0109"), &coin, "0.01"),
        ("0.5", Some("0.0099"), &coin, "0.5"),
    ] {
        let (entry, exit) = ((Purpose::Entry, quantity), (Purpose::Exit, quantity));
        let line = format!("sizing.clamp {quantity} {becomes}");
        let told = if becomes == quantity { vec![] } else { vec![line] };
        assert_eq!(
            before_limits(&clamps, entry, limit, on),
            (becomes.to_owned(), told),
            "{limit:?}"
        );
        let untouched = (quantity.to_owned(), vec![]);
        assert_eq!(before_limits(&clamps, exit, limit, on), untouched);
        assert_eq!(before_limits(&strategy(), entry, limit, on), untouched);
    }
    // What stands in is cut down too, and both are told.
    let both = Strategy { quantity_fallback: true, ..by_payload(clamps) };
    let (quantity, told) = before_limits(&both, (Purpose::Entry, "2"), Some("1"), &whole);
    let none = "quantity: the strategy sizes by the payload, which has none";
    let lines = [format!("sizing.fallback {none} 2"), "sizing.clamp 2 1".to_owned()];
    assert_eq!((quantity.as_str(), told.as_slice()), ("1", &lines[..]));
}

/// S7: limits round to the passive side, stops toward the market; exits are at the market.
#[test]
fn s7_entry_prices() {
    let whole = instrument("1", "1");
    for (words, limit, stop) in [
        ("BUY order_type=limit limit_price=100.3", Some("100.25"), None),
        ("SELL order_type=limit limit_price=100.3", Some("100.5"), None),
        ("BUY order_type=limit limit_price=100.5", Some("100.5"), None),
        ("BUY order_type=stop stop_price=100.3", None, Some("100.25")),
        ("SELL order_type=stop stop_price=99.8", None, Some("100")),
        ("SELL order_type=stop_limit stop_price=99.8 limit_price=99.6", Some("99.75"), Some("100")),
    ] {
        let decision = strategy().decide(&signal(words), &book("0"), &whole, RemovedEntries::None);
        let Decision::Trade(intents) = decision else { panic!("{words}: {decision:?}") };
        let price = |text: Option<&str>| text.map(|text| text.parse::<Price>().unwrap());
        assert_eq!(intents.len(), 1, "{words}");
        assert_eq!(intents[0].limit_price, price(limit), "{words}");
        assert_eq!(intents[0].stop_price, price(stop), "{words}");
    }
    let resting = signal("SELL order_type=limit limit_price=100.3");
    let close = strategy().decide(&resting, &book("2"), &whole, RemovedEntries::None);
    assert_eq!(close, Decision::Trade(vec![super::close(Side::Sell, units("2"))]));
}

/// Without `allow_short` a sale never opens.
#[test]
fn short_selling() {
    let no_shorts = Strategy { short_selling: ShortSelling::Ignore, ..strategy() };
    holds(
        &no_shorts,
        &[
            ("0", "SELL", "skip strategy.flat"),
            ("0", "BUY", "entry buy 2"),
            ("5 exit_sell=5", "SELL", "skip strategy.flat"),
            ("3", "SELL", "exit sell 3"),
        ],
    );
    // One that was taken over is not added to.
    let adding = Strategy { pyramiding: Pyramiding::Allow, ..no_shorts };
    holds(&adding, &[("-3", "SELL", "skip strategy.already_short"), ("3", "BUY", "entry buy 2")]);
}

#[test]
fn pyramiding() {
    let adding = Strategy { pyramiding: Pyramiding::Allow, ..strategy() };
    holds(
        &adding,
        &[
            ("3", "BUY", "entry buy 2"),
            ("-3", "SELL", "entry sell 2"),
            ("0 entry_buy=3", "BUY", "entry buy 2"),
        ],
    );
    holds(
        &strategy(),
        &[
            ("3", "BUY", "skip strategy.already_long"),
            ("-3", "SELL", "skip strategy.already_short"),
        ],
    );
}

#[test]
fn switched_off_or_down() {
    let off = Strategy { state: StrategyState::Off, ..strategy() };
    let closing = Strategy { state: StrategyState::ExitsOnly, ..strategy() };
    let adding = Strategy { pyramiding: Pyramiding::Allow, ..closing.clone() };
    for words in ["BUY", "SELL", "EXIT", "SELL comment=EXIT_50"] {
        holds(&off, &[("0", words, "refuse strategy.off"), ("3", words, "refuse strategy.off")]);
    }
    holds(
        &closing,
        &[
            ("0", "BUY", "refuse strategy.exits_only"),
            ("0", "SELL", "refuse strategy.exits_only"),
            ("3", "BUY", "skip strategy.already_long"),
            ("3", "SELL", "exit sell 3"),
            ("-3", "BUY", "exit buy 3"),
            ("3", "EXIT comment=EXIT_50", "exit sell 2"),
        ],
    );
    holds(&adding, &[("3", "BUY", "refuse strategy.exits_only")]);
}

/// A signal whose own words say that the position is smaller after it never opens or adds.
#[test]
fn what_only_reduces_never_opens() {
    let loose = Strategy { pyramiding: Pyramiding::Allow, ..by_payload(reversing()) };
    holds(
        &loose,
        &[
            ("0", "SELL quantity=1 market_position=flat", "skip strategy.flat"),
            ("0", "BUY quantity=1 market_position=short", "skip strategy.flat"),
            ("3", "SELL quantity=1 market_position=flat", "exit sell 3"),
            ("3", "SELL quantity=1 market_position=short", "exit sell 3, entry sell 1"),
            ("-3", "BUY quantity=1 market_position=flat", "exit buy 3"),
            // Against the words, the position is on the signal's own side already.
            ("3", "BUY quantity=1 market_position=flat", "skip strategy.wrong_side"),
            ("-3", "SELL quantity=1 market_position=long", "skip strategy.wrong_side"),
        ],
    );
}

#[test]
fn the_symbol_is_the_signals_only_where_allowed() {
    let open = Strategy { symbol_source: SymbolSource::Payload, ..strategy() };
    let named = signal("BUY ticker=CME_MINI:es1!");
    assert_eq!(open.symbol_for(&named).unwrap().as_str(), "ES1!");
    assert_eq!(open.symbol_for(&signal("BUY")).unwrap().as_str(), "NQ");
    assert_eq!(strategy().symbol_for(&named).unwrap().as_str(), "NQ");
}

fn any_word<T: Copy + Debug + 'static>(
    all: &'static [T],
) -> impl proptest::strategy::Strategy<Value = T> {
    prop::sample::select(all)
}

prop_compose! {
    fn any_strategy()(
        quantity in 1_i64..20,
        sizing in any_word(Sizing::ALL),
        on_opposite in any_word(OnOpposite::ALL),
        pyramiding in any_word(Pyramiding::ALL),
        short_selling in any_word(ShortSelling::ALL),
        state in any_word(StrategyState::ALL),
    ) -> Strategy {
        let quantity = Quantity::from_whole(quantity).unwrap();
        Strategy { quantity, sizing, on_opposite, pyramiding, short_selling, state, ..strategy() }
    }
}

prop_compose! {
    fn any_signal()(
        action in any_word(&["BUY", "SELL", "EXIT"]),
        comment in prop::option::of(1_u32..=100),
        quantity in prop::option::of(1_i64..4_000),
        after in any_word(&["", "long", "short", "flat"]),
        size in prop::option::of(0_i64..20),
    ) -> Signal {
        let mut words = action.to_owned();
        if let Some(percent) = comment {
            write!(words, " comment=EXIT_{percent}").unwrap();
        }
        if let Some(hundredths) = quantity {
            let quantity = Quantity::from_units(hundredths.saturating_mul(1_000_000));
            write!(words, " quantity={quantity}").unwrap();
        }
        if !after.is_empty() {
            write!(words, " market_position={after}").unwrap();
        }
        if let Some(size) = size {
            write!(words, " market_position_size={size}").unwrap();
        }
        signal(&words)
    }
}

prop_compose! {
    fn any_instrument()(lot in any_word(&["1", "0.1", "0.001"]), lots in 1_i64..30) -> Instrument {
        let minimum = Quantity::from_units(units(lot).units().saturating_mul(lots));
        Instrument { quantity_min: minimum, ..instrument(lot, lot) }
    }
}

/// Counts of lots.
fn any_lots() -> impl proptest::strategy::Strategy<Value = [i64; 5]> {
    let live = prop_oneof![2 => Just(0_i64), 1 => 0_i64..60];
    (-100_i64..100, live.clone(), live.clone(), live.clone(), live)
        .prop_map(|(held, a, b, c, d)| [held, a, b, c, d])
}

fn in_lots(counts: [i64; 5], lot: Quantity) -> Exposure {
    let [quantity, entry_buy, entry_sell, exit_buy, exit_sell] =
        counts.map(|count| Quantity::from_units(lot.units().saturating_mul(count)));
    Exposure { quantity, entry_buy, entry_sell, exit_buy, exit_sell, ..Exposure::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_decision_goes_past_flat(
        strategy in any_strategy(),
        signal in any_signal(),
        instrument in any_instrument(),
        lots in any_lots(),
        removed in any_word(&[RemovedEntries::Some, RemovedEntries::None]),
    ) {
        let exposure = in_lots(lots, instrument.lot);
        let Decision::Trade(intents) = strategy.decide(&signal, &exposure, &instrument, removed)
        else {
            return Ok(());
        };
        prop_assert!(strategy.state != StrategyState::Off);
        let entries = intents.iter().filter(|intent| intent.purpose == Purpose::Entry).count();
        let exits = intents.iter().filter(|intent| intent.purpose == Purpose::Exit).count();
        prop_assert!(entries <= 1 && exits <= 1, "{intents:?}");
        if signal.only_reduces() || strategy.state == StrategyState::ExitsOnly {
            prop_assert_eq!(entries, 0, "{:?}", intents);
        }
        for intent in &intents {
            prop_assert!(intent.quantity.is_positive());
            prop_assert_eq!(intent.quantity.units().rem_euclid(instrument.lot.units()), 0);
            let projected = intent.side.signed(exposure.projected());
            match intent.purpose {
                Purpose::Exit => prop_assert!(intent.quantity <= exposure.closable(intent.side)),
                // An entry is on flat or along the position, unless it is a reversal's.
                Purpose::Entry => {
                    let reversal = strategy.on_opposite == OnOpposite::Reverse
                        && projected < Quantity::ZERO;
                    prop_assert!(projected >= Quantity::ZERO || reversal);
                    prop_assert!(intent.quantity >= instrument.quantity_min);
                    let opens_short = intent.side == Side::Sell && !(projected.is_positive());
                    prop_assert!(!opens_short || strategy.short_selling == ShortSelling::Allow);
                }
            }
        }
    }

    /// S3: whatever others hold, no exit is larger than what its strategy holds and enters, nor
    /// than what the account would hold of that sign.
    #[test]
    fn s3_no_exit_goes_past_the_accounts_net(
        strategy in any_strategy(),
        signal in any_signal(),
        instrument in any_instrument(),
        lots in any_lots(),
        others in any_lots(),
        removed in any_word(&[RemovedEntries::Some, RemovedEntries::None]),
    ) {
        let own = in_lots(lots, instrument.lot);
        let account = own.and(&in_lots(others, instrument.lot));
        let decision = strategy.decide(&signal, &own, &instrument, removed);
        let uncut = decision.clone();
        let (decision, cut) = decision.within_account(&account, removed);
        let Decision::Trade(intents) = &decision else { return Ok(()) };
        prop_assert!(cut.is_positive() || decision == uncut);
        for exit in intents.iter().filter(|intent| intent.purpose == Purpose::Exit) {
            prop_assert!(exit.quantity.is_positive());
            prop_assert!(exit.quantity <= own.closable(exit.side));
            // Everything that can only help fills, and the exit after it: not past flat.
            let (entering, returning) = match exit.side {
                Side::Sell => (account.entry_buy, account.exit_buy),
                Side::Buy => (account.entry_sell, account.exit_sell),
            };
            let best = account.held(exit.side).saturating_plus(entering);
            let best = best.saturating_plus(returning);
            prop_assert!(exit.quantity <= best, "{exit:?} of {account:?}");
        }
        let opens = intents.iter().any(|intent| intent.purpose == Purpose::Entry);
        prop_assert!(!(opens && cut.is_positive()));
    }

    /// An exit leaves less than the minimum only by leaving nothing.
    #[test]
    fn exits_leave_no_dust(
        signal in any_signal(),
        instrument in any_instrument(),
        lots in any_lots(),
    ) {
        let exposure = in_lots(lots, instrument.lot);
        let decision = strategy().decide(&signal, &exposure, &instrument, RemovedEntries::None);
        if let Decision::Trade(intents) = decision {
            for intent in intents.iter().filter(|intent| intent.purpose == Purpose::Exit) {
                let rest = exposure.closable(intent.side).saturating_minus(intent.quantity);
                prop_assert!(rest.is_zero() || rest >= instrument.quantity_min);
            }
        }
    }

    /// Whatever the numbers are, there is a decision.
    #[test]
    fn decide_is_total(
        strategy in any_strategy(),
        own in any::<i64>(),
        signal in any_signal(),
        numbers in any::<[i64; 5]>(),
        rules in any::<[i64; 3]>(),
        removed in any_word(&[RemovedEntries::Some, RemovedEntries::None]),
    ) {
        let [lot, quantity_min, tick] = rules;
        let instrument = Instrument {
            lot: Quantity::from_units(lot),
            quantity_min: Quantity::from_units(quantity_min),
            tick: Price::from_units(tick),
            ..instrument("1", "1")
        };
        let strategy = Strategy { quantity: Quantity::from_units(own), ..strategy };
        let exposure = in_lots(numbers, Quantity::from_units(1));
        let _decision = strategy.decide(&signal, &exposure, &instrument, removed);
    }
}
