use super::*;
use crate::order::Change;
use crate::order::Purpose;
use crate::order::tests::order;
use proptest::prelude::*;
use std::slice::from_ref;

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

/// Both legs are for the same.
fn both(quantity: &str) -> Protected {
    Protected { stop_loss: units(quantity), take_profit: units(quantity) }
}

fn units(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn entry(side: Side, average: &str) -> Order {
    Order { side, average_price: Some(price(average)), ..order("2") }
}

fn levels(take_profit: &str, stop_loss: &str) -> Levels {
    let mark = |text: &str| match text.strip_prefix('@') {
        Some(at) => Mark::At(price(at)),
        None => Mark::Away(text.parse().unwrap()),
    };
    Levels {
        on_naked: OnNaked::Alert,
        stop_limit: None,
        stop_loss: Some(mark(stop_loss)),
        take_profit: Some(mark(take_profit)),
    }
}

#[test]
fn distances_are_read_and_written() {
    for text in ["2%", "0.5%", "1.5"] {
        assert_eq!(text.parse::<Away>().unwrap().to_string(), text);
    }
    for text in ["", "0", "-1", "0%", "-2%", "two", "%"] {
        assert_eq!(text.parse::<Away>(), Err(AwayError), "{text}");
    }
}

/// S7, S9: levels are counted from the average of the fills and stand on the tick.
#[test]
fn s9_levels_are_counted_from_the_fills() {
    for (side, marks, take_profit, stop_loss) in [
        (Side::Buy, ("2%", "1%"), "102", "99"),
        (Side::Sell, ("2%", "1%"), "98", "101"),
        (Side::Buy, ("1.5", "0.3"), "101.5", "99.75"),
        (Side::Sell, ("1.5", "0.3"), "98.5", "100.25"),
        (Side::Buy, ("@110.1", "@90.1"), "110.25", "90.25"),
        (Side::Sell, ("@90.1", "@110.1"), "90", "110"),
    ] {
        let bracket = levels(marks.0, marks.1).of_fills(&entry(side, "100"), price("0.25"));
        let bracket = bracket.unwrap();
        assert_eq!(bracket.take_profit, Some(price(take_profit)), "{side} {marks:?}");
        assert_eq!(bracket.stop_loss, Some(price(stop_loss)), "{side} {marks:?}");
        assert_eq!((bracket.side, bracket.parent_id), (side, order("1").id));
    }
    let low = levels("2%", "12.5").of_fills(&entry(Side::Buy, "9"), price("0.25")).unwrap();
    assert_eq!(low.stop_loss, Some(price("0.25")), "a stop at zero or below stands at the tick");
    let unfilled = order("2");
    assert_eq!(levels("2%", "1%").of_fills(&unfilled, price("1")), None);
}

#[test]
fn s9_a_level_that_protects_nothing_does_not_fit() {
    for (side, marks, fits) in [
        (Side::Buy, ("@110", "@90"), true),
        (Side::Buy, ("@90", "@80"), false),
        (Side::Buy, ("@110", "@100"), false),
        (Side::Sell, ("@90", "@110"), true),
        (Side::Sell, ("@90", "@99"), false),
        (Side::Sell, ("2%", "2%"), true),
        // A level at zero or below, or beyond what can be counted, protects nothing.
        (Side::Buy, ("2%", "99.5"), true),
        (Side::Buy, ("2%", "100"), false),
        (Side::Buy, ("2%", "120%"), false),
        (Side::Sell, ("100", "2%"), false),
        (Side::Sell, ("2%", "92233720300"), false),
    ] {
        let levels = levels(marks.0, marks.1);
        let misfit = levels.misfit(side, price("100"), price("0.25"));
        assert_eq!(misfit.is_none(), fits, "{side} {marks:?}");
    }
}

/// S7, S9: the tick may move a stop to the price, where it fires at once, and a profit to nothing.
#[test]
fn s9_a_level_fits_where_the_tick_puts_it() {
    for (side, marks, fits) in [
        (Side::Buy, ("@110", "@99.999"), false),
        (Side::Buy, ("@110", "0.1"), false),
        (Side::Buy, ("@110", "@99.75"), true),
        (Side::Buy, ("@110", "@99.51"), true),
        (Side::Buy, ("@100.001", "@90"), true),
        (Side::Sell, ("@90", "@100.001"), false),
        (Side::Sell, ("@90", "0.1%"), false),
        (Side::Sell, ("@90", "@100.25"), true),
        (Side::Sell, ("@0.1", "@110"), false),
    ] {
        let levels = levels(marks.0, marks.1);
        let misfit = levels.misfit(side, price("100"), price("0.25"));
        assert_eq!(misfit.is_none(), fits, "{side} {marks:?}");
    }
    // The price itself need not be on the tick.
    let misfit = levels("@110", "@99.9").misfit(Side::Buy, price("100.1"), price("0.25"));
    assert_eq!(misfit, None);
}

fn bracket() -> Bracket {
    levels("@110", "@90").of_fills(&entry(Side::Buy, "100"), price("1")).unwrap()
}

fn leg(leg: Leg, quantity: &str) -> Order {
    let (order_type, limit_price, stop_price) = bracket().pricing(leg).unwrap();
    let number = if leg == Leg::StopLoss { 21 } else { 22 };
    Order {
        id: Id::from_bytes([number; 16]),
        side: Side::Sell,
        order_type,
        limit_price,
        stop_price,
        purpose: Purpose::Exit,
        leg: Some(LegOf { leg, parent_id: bracket().parent_id }),
        ..order(quantity)
    }
}

fn plan(protected: &str, legs: &[Order], replaces: Replaces) -> Vec<Step> {
    steps(Some(&bracket()), both(protected), legs, replaces, Timestamp::default())
}

/// S9: legs are placed, follow what is held, and end with it.
#[test]
fn s9_legs_follow_what_is_held() {
    let (stop, profit) = (leg(Leg::StopLoss, "2"), leg(Leg::TakeProfit, "2"));
    let both = [stop.clone(), profit.clone()];
    let two = units("2");
    let missing = [Step::Place(Leg::StopLoss, two), Step::Place(Leg::TakeProfit, two)];
    assert_eq!(plan("2", &[], Replaces::Yes), missing);
    assert_eq!(plan("2", &both, Replaces::Yes), []);
    let one = units("1");
    let smaller = [Step::Change(stop.id, one), Step::Change(profit.id, one)];
    assert_eq!(plan("1", &both, Replaces::Yes), smaller);
    let ended = [Step::Cancel(stop.id), Step::Cancel(profit.id)];
    assert_eq!(plan("1", &both, Replaces::No), ended, "then they are placed anew");
    assert_eq!(plan("0", &both, Replaces::Yes), ended);
    let half = Order { state: OrderState::PartiallyFilled, filled_quantity: one, ..profit.clone() };
    let stop_only = [Step::Change(stop.id, one)];
    assert_eq!(plan("1", &[stop, half], Replaces::Yes), stop_only, "what filled counts in");
}

/// S9: what is under way is waited for; a second leg of a kind is one too many.
#[test]
fn s9_what_is_under_way_is_waited_for() {
    let profit = leg(Leg::TakeProfit, "2");
    for state in [OrderState::Sending, OrderState::Unknown] {
        let stop = Order { state, ..leg(Leg::StopLoss, "2") };
        let placed = plan("1", from_ref(&stop), Replaces::Yes);
        assert_eq!(placed.len(), 1, "only the other is placed");
        let ended = plan("0", from_ref(&stop), Replaces::Yes);
        assert_eq!(ended, [Step::Cancel(stop.id)]);
    }
    let leaving = Order { cancel_requested: true, ..leg(Leg::StopLoss, "2") };
    assert_eq!(plan("1", &[leaving, leg(Leg::TakeProfit, "1")], Replaces::Yes), []);
    let second = Order { id: Id::from_bytes([30; 16]), ..profit.clone() };
    let stop = leg(Leg::StopLoss, "2");
    let steps = plan("2", &[stop, profit, second.clone()], Replaces::Yes);
    assert_eq!(steps, [Step::Cancel(second.id)]);
}

/// S9: a change that never reached the venue is asked for again at once, one that a rule refused is not.
#[test]
fn s9_a_change_that_was_not_made_is_asked_for_again() {
    let profit = leg(Leg::TakeProfit, "2");
    for (code, again) in [(Code::OrderChangeNotMade, true), (Code::HaltActive, false)] {
        let change = Change {
            asked_at: Timestamp::default(),
            attempt_until: None,
            code: Some(code),
            limit_price: None,
            limits_version: 1,
            quantity: Some(units("2")),
            send_by: None,
            state: ChangeState::Refused,
            stop_price: None,
            then_quantity: None,
        };
        let stop = Order { change: Some(change), ..leg(Leg::StopLoss, "1") };
        let asked = [Step::Change(stop.id, units("2"))];
        let expected: &[Step] = if again { &asked } else { &[] };
        assert_eq!(plan("2", &[stop, profit.clone()], Replaces::Yes), expected, "{code:?}");
    }
}

/// S9: what a person moved stays where it is, and what a person took away is not placed again.
#[test]
fn s9_a_person_moves_a_leg_or_takes_it_away() {
    let moved = Order { stop_price: Some(price("95")), ..leg(Leg::StopLoss, "2") };
    assert_eq!(bracket().moved(&moved).stop_loss, Some(price("95")));
    let profit = leg(Leg::TakeProfit, "2");
    let without = bracket().without(Leg::StopLoss);
    let steps = steps(Some(&without), both("2"), &[profit], Replaces::Yes, Timestamp::default());
    assert_eq!(steps, []);
}

proptest! {
    /// S9: carrying the steps out brings every state of the legs to the wanted one, within four
    /// rounds, and no round ever has two working legs of a kind that were both meant to stay.
    #[test]
    fn s9_the_steps_lead_to_what_is_wanted(
        protected in 0_i64..4,
        quantities in prop::collection::vec((any::<bool>(), 1_i64..5, any::<bool>()), 0..5),
        replaces in any::<bool>(),
    ) {
        let replaces = if replaces { Replaces::Yes } else { Replaces::No };
        let protected = Quantity::from_whole(protected).unwrap();
        let mut legs: Vec<Order> = Vec::new();
        for (place, (is_stop, quantity, sent)) in quantities.into_iter().enumerate() {
            let kind = if is_stop { Leg::StopLoss } else { Leg::TakeProfit };
            let number = u8::try_from(place).unwrap();
            let state = if sent { OrderState::Working } else { OrderState::Accepted };
            let id = Id::from_bytes([number.saturating_add(40); 16]);
            let quantity = Quantity::from_whole(quantity).unwrap();
            legs.push(Order { id, quantity, state, ..leg(kind, "1") });
        }
        let mut fresh = 100_u8;
        for _ in 0..4 {
            let all = steps(Some(&bracket()), Protected { stop_loss: protected, take_profit: protected }, &legs, replaces, Timestamp::default());
            for step in all {
                match step {
                    Step::Place(kind, quantity) => {
                        fresh = fresh.saturating_add(1);
                        let id = Id::from_bytes([fresh; 16]);
                        legs.push(Order { id, quantity, ..leg(kind, "1") });
                    }
                    Step::Change(id, quantity) => {
                        legs.iter_mut().find(|leg| leg.id == id).unwrap().quantity = quantity;
                    }
                    Step::Cancel(id) => legs.retain(|leg| leg.id != id),
                }
            }
        }
        let kinds = if protected.is_zero() { 0 } else { 2 };
        prop_assert_eq!(legs.len(), kinds, "{:?}", legs);
        prop_assert!(legs.iter().all(|leg| leg.quantity == protected));
    }
}
