//! A percentage of what is held in several months of one root, closed month by month (S7, S11).

use super::{Decision, Sizing, Strategy};
use crate::exposure::Exposure;
use crate::instrument::Instrument;
use crate::money::{Quantity, Round};
use crate::order::{Purpose, Side};
use crate::signal::{Comment, QuantityField, Signal};

/// What an exit of a percentage closes of each month. It is rounded up once, over all of them: what one
/// month rounds up, the next need not close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    percent: u32,
    buying: Sum,
    selling: Sum,
}

/// Of the months so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    closable: Quantity,
    shared: Quantity,
}

impl Shares {
    /// Before the first month; `None` where the signal says a quantity or closes all there is.
    pub fn of(strategy: &Strategy, signal: &Signal) -> Option<Self> {
        let percent = signal.exit_percent();
        let is_stated = strategy.sizing == Sizing::Payload
            && matches!(signal.quantity, QuantityField::Given(_))
            && signal.comment == Comment::None;
        let is_part = percent < 100 && !is_stated;
        is_part.then(|| Self { percent, buying: Sum::default(), selling: Sum::default() })
    }

    /// What is closed of the next month, of which an exit on `side` may close so much.
    pub fn next(&mut self, side: Side, closable: Quantity, instrument: &Instrument) -> Quantity {
        let sum = match side {
            Side::Buy => &mut self.buying,
            Side::Sell => &mut self.selling,
        };
        let all = sum.closable.saturating_plus(closable);
        let part = all.ratio(i64::from(self.percent), 100, Round::Up).unwrap_or(all);
        let missing = instrument.exit_quantity(part, all).saturating_minus(sum.shared);
        let share = if missing.is_positive() {
            instrument.exit_quantity(missing, closable)
        } else {
            Quantity::ZERO
        };
        *sum = Sum { closable: all, shared: sum.shared.saturating_plus(share) };
        share
    }

    /// The same decision with the share of this month, if it has one, in place of a percentage of its own.
    pub fn cut(
        shares: Option<&mut Self>,
        decision: Decision,
        exposure: &Exposure,
        instrument: &Instrument,
    ) -> Decision {
        let Some(shares) = shares else { return decision };
        let Decision::Trade(mut intents) = decision else { return decision };
        for intent in intents.iter_mut().filter(|intent| intent.purpose == Purpose::Exit) {
            intent.quantity = shares.next(intent.side, exposure.closable(intent.side), instrument);
        }
        intents.retain(|intent| intent.quantity.is_positive());
        Decision::Trade(intents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    fn shares(percent: u32, lot: &str, minimum: &str, months: &[&str]) -> Vec<String> {
        let instrument = Instrument {
            symbol: "ESZ6".parse().unwrap(),
            tick: "0.25".parse().unwrap(),
            lot: units(lot),
            quantity_min: units(minimum),
            point_value: units("50"),
            currency: "USD".to_owned(),
            calendar: None,
        };
        let mut shares = Shares { percent, buying: Sum::default(), selling: Sum::default() };
        let mut next = |held: &&str| shares.next(Side::Sell, units(held), &instrument).to_string();
        months.iter().map(&mut next).collect()
    }

    /// S7, S11: the sum is rounded up, and no month closes more than it holds.
    #[test]
    fn s7_a_percentage_of_several_months_is_rounded_once() {
        for (percent, months, expected) in [
            (50, &["1", "1"][..], &["1", "0"][..]),
            (50, &["3", "1"], &["2", "0"]),
            (50, &["3", "3"], &["2", "1"]),
            (50, &["1", "1", "1"], &["1", "0", "1"]),
            (25, &["1", "1", "1", "1", "1"], &["1", "0", "0", "0", "1"]),
            (50, &["10", "4"], &["5", "2"]),
            (50, &["7"], &["4"]),
            (99, &["2", "1"], &["2", "1"]),
        ] {
            assert_eq!(shares(percent, "1", "1", months), expected, "{percent} % of {months:?}");
        }
        assert_eq!(shares(50, "0.1", "0.1", &["0.3", "0.3"]), ["0.2", "0.1"]);
        // What is left of a month is never too small to be closed.
        assert_eq!(shares(50, "1", "5", &["6", "6", "6"]), ["6", "0", "6"]);
    }

    #[test]
    fn each_side_is_counted_by_itself() {
        let mut shares = Shares { percent: 50, buying: Sum::default(), selling: Sum::default() };
        let instrument = Instrument {
            symbol: "ESZ6".parse().unwrap(),
            tick: "0.25".parse().unwrap(),
            lot: units("1"),
            quantity_min: units("1"),
            point_value: units("50"),
            currency: "USD".to_owned(),
            calendar: None,
        };
        for side in [Side::Buy, Side::Sell] {
            let closed = shares.next(side, units("1"), &instrument);
            assert_eq!(closed, units("1"), "{side}");
        }
    }
}
