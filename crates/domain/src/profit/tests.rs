//! Sums over any split of the fills are the same, to the smallest unit; and they are what somebody
//! else's arithmetic makes of the same fills.

#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]

use super::*;
use crate::order::Side;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);

fn instrument(symbol: &str, point_value: &str, currency: &str) -> Instrument {
    Instrument {
        symbol: symbol.parse().unwrap(),
        tick: Price::from_units(1),
        lot: Quantity::from_units(1),
        quantity_min: Quantity::from_units(1),
        point_value: point_value.parse().unwrap(),
        currency: currency.to_owned(),
        calendar: None,
    }
}

fn quoted(bid: &str, ask: &str, seconds_ago: u64) -> Reference {
    let at = NOW.minus(Duration::from_secs(seconds_ago));
    let quote = Some((bid.parse().unwrap(), ask.parse().unwrap(), at));
    Reference { quote, last: None, prior_close: None, market: Market::Open }
}

fn folded(fills: &[(Side, Quantity, Price, Money)]) -> Exposure {
    let mut exposure = Exposure::default();
    for (side, quantity, price, fee) in fills {
        exposure.fill(*side, *quantity, *price, *fee).unwrap();
    }
    exposure
}

/// `reference.py` made these lines with Python's fractions and decimals.
#[test]
fn an_independent_calculation_comes_to_the_same() {
    let mut lines = 0;
    for line in include_str!("reference.txt").lines() {
        let columns: Vec<&str> = line.split("; ").collect();
        let [point_value, mark, fills, quantity, total, realized, average, fees] =
            columns.try_into().unwrap();
        let fills: Vec<_> = fills
            .split(", ")
            .map(|fill| {
                let words: Vec<&str> = fill.split(' ').collect();
                let [side, quantity, price, fee] = words.try_into().unwrap();
                let (quantity, price) = (quantity.parse().unwrap(), price.parse().unwrap());
                (side.parse().unwrap(), quantity, price, fee.parse().unwrap())
            })
            .collect();
        let point_value: Quantity = point_value.parse().unwrap();
        let exposure = folded(&fills);
        assert_eq!(exposure.quantity, quantity.parse().unwrap(), "{line}");
        assert_eq!(exposure.fees, fees.parse().unwrap(), "{line}");
        let worth = Points::of(mark.parse().unwrap(), exposure.quantity);
        let sum = exposure.realized.plus(worth).unwrap().minus(exposure.cost).unwrap();
        // The reference is exact and may have more than eight decimals: rounded down here.
        let (whole, fraction) = total.split_once('.').unwrap_or((total, "0"));
        let cut = format!("{whole}.{}", &fraction[..fraction.len().min(8)]);
        let mut exact: Money = cut.parse().unwrap();
        let is_finer = fraction.len() > 8 && fraction[8..].bytes().any(|digit| digit != b'0');
        if is_finer && total.starts_with('-') {
            exact = Money::from_units(exact.units() - 1);
        }
        assert_eq!(sum.money(point_value).unwrap(), exact, "{line}");
        // Shares of a cost are cut to 10^-16: by average cost the last digit may differ.
        let ours = exposure.realized.money(point_value).unwrap().units();
        let theirs = realized.parse::<Money>().unwrap().units();
        assert!(ours.abs_diff(theirs) <= 1, "{ours} {theirs} {line}");
        let ours = exposure.average_price().unwrap_or_default().units();
        let theirs = average.parse::<Price>().unwrap().units();
        assert!(ours.abs_diff(theirs) <= 1, "{ours} {theirs} {line}");
        lines += 1;
    }
    assert_eq!(lines, 150);
}

#[test]
fn a_long_is_marked_at_the_bid_and_a_short_at_the_ask() {
    let instrument = instrument("NQ", "20", "USD");
    let of = |side, quantity: &str| {
        let fills = [(side, quantity.parse().unwrap(), "100".parse().unwrap(), Money::ZERO)];
        let profit = Profit::of(&folded(&fills), &instrument, &quoted("99", "101.5", 0), NOW);
        profit.unwrap().unrealized.unwrap().to_string()
    };
    assert_eq!(of(Side::Buy, "2"), "-40");
    assert_eq!(of(Side::Sell, "3"), "-90");
}

#[test]
fn an_old_mark_is_said_and_not_used() {
    let instrument = instrument("NQ", "20", "USD");
    let held = [(Side::Buy, Quantity::MAX, Price::from_units(1), Money::ZERO)];
    let of = |reference: Reference| Profit::of(&folded(&held), &instrument, &reference, NOW);
    let stale = Err(Gap::Mark("NQ".parse().unwrap()));
    assert!(of(quoted("0.00000001", "0.00000001", 60)).unwrap().unrealized.is_ok());
    assert_eq!(of(quoted("0.00000001", "0.00000001", 61)).unwrap().unrealized, stale);
    assert_eq!(of(Reference::NONE).unwrap().unrealized, stale);
    // While the market is closed, the last quote is the prior close (S22).
    let closed = Reference { market: Market::Closed, ..quoted("0.00000001", "0.00000001", 61) };
    assert_eq!(of(closed).unwrap().unrealized, Ok(Money::ZERO));
    // What is flat needs no mark.
    let flat = Profit::of(&Exposure::default(), &instrument, &Reference::NONE, NOW).unwrap();
    assert_eq!((flat.unrealized, flat.mark), (Ok(Money::ZERO), None));
}

#[test]
fn a_tally_converts_and_says_what_it_lacks() {
    let (dax, nq) = (instrument("DAX", "25", "EUR"), instrument("NQ", "20", "USD"));
    let bought = |price: &str, fee: &str| {
        let one = Quantity::from_whole(1).unwrap();
        folded(&[(Side::Buy, one, price.parse().unwrap(), fee.parse().unwrap())])
    };
    let (german, american) = (bought("100", "2.5"), bought("200", "1"));
    let quotes = (quoted("101", "102", 3), quoted("199.5", "200", 1));
    let tally = |conversion: Result<Conversion, RateGap>| {
        let mut tally = Tally::default();
        for (instrument, exposure, reference, conversion) in [
            (&dax, &german, &quotes.0, &conversion),
            (&nq, &american, &quotes.1, &Ok(Conversion::Same)),
        ] {
            let (symbol, instrument) = (&instrument.symbol, Some(instrument));
            tally.add(&Part { symbol, exposure, instrument, reference, conversion }, NOW);
        }
        tally
    };
    let known = tally(Ok(Conversion::At("1.08".parse().unwrap())));
    // 25 EUR at 1.08, and half a point of 20 lost; fees are in the account's currency already.
    assert_eq!(known.unrealized, Ok("17".parse().unwrap()));
    assert_eq!(known.realized, Ok("-3.5".parse().unwrap()));
    assert_eq!(known.total(), Ok("13.5".parse().unwrap()));
    assert_eq!(known.marked_at(), Some(NOW.minus(Duration::from_secs(3))));
    let gap = RateGap::Missing { base: "EUR".to_owned(), quote: "USD".to_owned() };
    let unknown = tally(Err(gap.clone()));
    assert_eq!(unknown.total(), Err(Gap::Rate(gap)));
    // Nothing is realised in the other currency yet, so that sum needs no rate.
    assert_eq!(unknown.realized, Ok("-3.5".parse().unwrap()));
}

/// Side, quantity, price and fee in small units, and into how many pieces the fill comes.
fn fills() -> impl Strategy<Value = Vec<(bool, i64, i64, i64, i64)>> {
    prop::collection::vec(
        (any::<bool>(), 1_i64..5_000, 1_i64..10_000_000, -50_i64..500, 1_i64..6),
        0..30,
    )
}

proptest! {
    /// What is realised and what is open together are what was paid and what is held, whatever the
    /// split; a round trip is realised to the last unit.
    #[test]
    fn any_split_of_the_fills_comes_to_the_whole(fills in fills(), mark in 1_i64..10_000_000) {
        let (mut whole, mut split, mut paid) = (Exposure::default(), Exposure::default(), 0_i128);
        for (buys, units, price, fee, pieces) in fills {
            let side = if buys { Side::Buy } else { Side::Sell };
            let at = Price::from_units(price);
            let (quantity, fee) = (Quantity::from_units(units), Money::from_units(fee));
            whole.fill(side, quantity, at, fee).unwrap();
            let (mut left, pieces) = (units, pieces.min(units));
            for piece in (1..=pieces).rev() {
                let part = left / piece;
                left -= part;
                let fee = if piece == 1 { fee } else { Money::ZERO };
                split.fill(side, Quantity::from_units(part), at, fee).unwrap();
            }
            paid += i128::from(side.signed(quantity).units()) * i128::from(price);
            prop_assert_eq!(whole.realized.units(), whole.cost.units() - paid);
            prop_assert_eq!(split.realized.units(), split.cost.units() - paid);
            prop_assert_eq!((whole.quantity, whole.fees), (split.quantity, split.fees));
            if whole.quantity.is_zero() {
                prop_assert_eq!((whole.cost, split.cost), (Points::ZERO, Points::ZERO));
                prop_assert_eq!(whole.realized, split.realized);
            }
            let total = |exposure: &Exposure| {
                let worth = Points::of(Price::from_units(mark), exposure.quantity);
                exposure.realized.units() + worth.units() - exposure.cost.units()
            };
            prop_assert_eq!(total(&whole), total(&split));
        }
    }

    /// Equity is cash and what is open: cash is what is left after every fill is paid in full, plus
    /// what the open position cost.
    #[test]
    fn equity_is_cash_and_unrealised(fills in fills(), mark in 1_i64..10_000_000, start in 0_i64..1_000_000) {
        // A point value at which points are money without a rounding: 10^8 points are one unit.
        let hundred_million = Quantity::MAX.min("100000000".parse().unwrap());
        let instrument = instrument("XY", &hundred_million.to_string(), "USD");
        let (mut exposure, mut equity) = (Exposure::default(), i128::from(start));
        for (buys, units, price, fee, _) in fills {
            let side = if buys { Side::Buy } else { Side::Sell };
            let quantity = Quantity::from_units(units);
            exposure.fill(side, quantity, Price::from_units(price), Money::from_units(fee)).unwrap();
            equity -= i128::from(side.signed(quantity).units()) * i128::from(price) + i128::from(fee);
        }
        equity += i128::from(exposure.quantity.units()) * i128::from(mark);
        let mark = Price::from_units(mark).to_string();
        let profit = Profit::of(&exposure, &instrument, &quoted(&mark, &mark, 0), NOW).unwrap();
        let cash = i128::from(start) + i128::from(profit.realized.units()) - i128::from(exposure.fees.units());
        prop_assert_eq!(cash + i128::from(profit.unrealized.unwrap().units()), equity);
    }

    #[test]
    fn shares_and_money_stay_in_range(points in any::<i128>(), part in any::<i64>(), whole in any::<i64>(), value in any::<i64>()) {
        let points = Points::from_units(points);
        let _any = points.share(Quantity::from_units(part), Quantity::from_units(whole));
        let _any = points.money(Quantity::from_units(value));
        prop_assert_eq!(points.share(Quantity::from_units(whole), Quantity::from_units(whole)), Some(points));
    }
}
