//! S22: entries while no reference price is fresh, at each end of what is allowed, just inside and just
//! outside.

use super::*;

/// A strategy that may enter one blind, between 90 and 110; the last price that was heard is 100.
fn blind() -> Scene {
    let scene = Scene { reference: quoted(3_600), blind_quantity_max: Some(units("1")), ..scene() };
    with_band(scene, "90", "110")
}

fn with_band(mut scene: Scene, low: &str, high: &str) -> Scene {
    (scene.limits.static_low, scene.limits.static_high) = (limit(low), limit(high));
    scene
}

fn heard(text: &str) -> Reference {
    let at = NOW.minus(Duration::from_hours(1));
    Reference { quote: Some((price(text), price(text), at)), ..quoted(3_600) }
}

#[test]
fn s22_a_blind_entry_is_held_against_quantity_and_band() {
    let stale = Some(Code::RiskReferenceStale);
    let (over, outside) = (Some(Code::RiskBlindQuantity), Some(Code::RiskStaticBand));
    for (quantity, known, expected) in [
        ("0.99999999", "100", None),
        ("1", "100", None),
        ("1.00000001", "100", over),
        ("1", "90.00000001", None),
        ("1", "90", None),
        ("1", "89.99999999", outside),
        ("1", "109.99999999", None),
        ("1", "110", None),
        ("1", "110.00000001", outside),
        ("1", "0", stale),
    ] {
        for side in [Side::Buy, Side::Sell] {
            let scene = Scene { reference: heard(known), ..blind() };
            let told = format!("{side} {quantity} at {known}");
            assert_eq!(scene.code(entry(side, quantity)), expected, "{told}");
            assert_eq!(scene.code(market(Purpose::Exit, side, quantity)), None, "S18, {told}");
        }
    }
}

/// Without the strategy's permission, without either end of the band, or at another price than the
/// market's, it is as if there were no blind entries at all.
#[test]
fn s22_without_band_or_permission_the_reference_is_stale() {
    let mut not_allowed = blind();
    not_allowed.blind_quantity_max = None;
    let (mut no_low, mut no_high) = (blind(), blind());
    no_low.limits.static_low = None;
    no_high.limits.static_high = None;
    let never_heard = Reference { market: Market::Open, ..Reference::NONE };
    let silent = Scene { reference: never_heard, ..blind() };
    for scene in [not_allowed, no_low, no_high, silent] {
        assert_eq!(scene.code(entry(Side::Buy, "1")), Some(Code::RiskReferenceStale), "{scene:?}");
    }
    let limited = at_limit(Side::Buy, "1", "100");
    assert_eq!(blind().code(limited), Some(Code::RiskReferenceStale));
    let closed = Reference { market: Market::Closed, ..heard("100") };
    let closed = Scene { reference: closed, ..blind() };
    assert_eq!(closed.code(entry(Side::Buy, "1")), Some(Code::RiskMarketClosed));
}

/// The signal's price refuses where it is outside, and justifies nothing where it is inside.
#[test]
fn s22_a_stated_price_may_only_refuse() {
    for (known, stated, expected) in [
        ("100", "90", None),
        ("100", "110", None),
        ("100", "89.99999999", Some(Code::RiskStaticBand)),
        ("100", "110.00000001", Some(Code::RiskStaticBand)),
        ("120", "100", Some(Code::RiskStaticBand)),
        ("0", "100", Some(Code::RiskReferenceStale)),
    ] {
        let scene = Scene { reference: heard(known), stated_price: Some(price(stated)), ..blind() };
        assert_eq!(scene.code(entry(Side::Buy, "1")), expected, "{stated} while {known} is known");
    }
}

/// What is counted in money is counted at the band's upper end, and the trace shows what let it pass.
#[test]
fn s22_a_blind_entry_counts_at_the_end_of_its_band() {
    // One at 110 and 2 a point.
    for (most, expected) in [("219.99999999", Some(Code::RiskMaxOrderNotional)), ("220", None)] {
        let mut scene = blind();
        scene.limits.max_order_notional = limit(most);
        assert_eq!(scene.code(entry(Side::Sell, "1")), expected, "{most}");
    }
    let (_, trace) = blind().judge(entry(Side::Buy, "1"));
    let line = |name: &str| {
        let check = trace.checks().iter().find(|check| check.name == name).unwrap();
        let shown = |shown: &Option<Shown>| shown.as_ref().unwrap().to_string();
        (check.result, shown(&check.input), shown(&check.limit))
    };
    let pass = |input: &str, limit: &str| (Outcome::Pass, input.to_owned(), limit.to_owned());
    assert_eq!(line("risk.blind_market"), pass("1", "1"));
    assert_eq!(line("risk.price_collar"), pass("100", "90 to 110"));
    // A fresh price is measured against as ever, and no line tells of anything else.
    let fresh = Scene { reference: quoted(0), ..blind() };
    let (verdict, trace) = fresh.judge(entry(Side::Buy, "2"));
    assert!(verdict.is_ok());
    assert!(trace.checks().iter().all(|check| check.name != "risk.blind_market"));
}
