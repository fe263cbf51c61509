//! A position: how much, at what cost, and what was made on it.

use serde::{Deserialize, Serialize};
use tradewarden_domain::money::{Money, Price, Quantity};

/// Units of a price times units of a quantity in one unit of money for one point: 10^16 / 10^8,
/// twice, because the point value is fixed point too.
const SCALE: i128 = 10_000_000_000_000_000;

/// How much is held and what it cost, exactly: cost and profit are in units of 10^-16 of price
/// times quantity, so that nothing is rounded before it is shown.
///
/// Always: `realised = cost - sum(quantity * price)` over all its trades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Signed: negative is short.
    pub(crate) quantity: Quantity,
    /// Signed cost of what is held.
    cost: i128,
    /// Profit of what was closed, before the point value.
    realised: i128,
}

impl Position {
    /// Trades `change` (signed) at `price`. Sums stay at the end of their range; the judge refuses
    /// single orders long before.
    pub(crate) fn trade(&mut self, change: Quantity, price: Price) {
        let (held, traded) = (i128::from(self.quantity.units()), i128::from(change.units()));
        let price = i128::from(price.units());
        let opposite = held.signum().saturating_mul(traded.signum()) < 0;
        let closing = if opposite { traded.abs().min(held.abs()) } else { 0 };
        if closing > 0 {
            // Exact when all is closed; a part's cost is cut toward zero and the rest keeps it.
            let released = self.cost.saturating_mul(closing).checked_div(held.abs()).unwrap_or(0);
            let proceeds = price.saturating_mul(closing).saturating_mul(held.signum());
            self.cost = self.cost.saturating_sub(released);
            self.realised = self.realised.saturating_add(proceeds.saturating_sub(released));
        }
        let opening = traded.abs().saturating_sub(closing).saturating_mul(traded.signum());
        self.cost = self.cost.saturating_add(opening.saturating_mul(price));
        self.quantity = self.quantity.saturating_plus(change);
    }

    /// Average entry price, cut to eight decimals; `None` when flat.
    pub(crate) fn average_price(&self) -> Option<Price> {
        let average = self.cost.checked_div(i128::from(self.quantity.units()))?;
        i64::try_from(average).ok().map(Price::from_units)
    }

    /// Money made by what was closed.
    pub(crate) fn realised(&self, point_value: Quantity) -> Money {
        money(self.realised, point_value)
    }

    /// Money that closing at `mark` would make.
    pub(crate) fn unrealised(&self, mark: Price, point_value: Quantity) -> Money {
        let worth = i128::from(self.quantity.units()).saturating_mul(i128::from(mark.units()));
        money(worth.saturating_sub(self.cost), point_value)
    }
}

/// Rounded down, so that what is shown is never more than what there is.
fn money(points: i128, point_value: Quantity) -> Money {
    // Split so that the product stays far inside the range.
    let value = i128::from(point_value.units());
    let whole = points.div_euclid(SCALE).saturating_mul(value);
    let rest = points.rem_euclid(SCALE).saturating_mul(value).div_euclid(SCALE);
    let units = whole.saturating_add(rest);
    let end = if units < 0 { i64::MIN } else { i64::MAX };
    Money::from_units(i64::try_from(units).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn profit_of_a_round_trip_with_a_flip() {
        let mut position = Position::default();
        let fifty: Quantity = "50".parse().unwrap();
        for (change, price) in [("2", "4500"), ("2", "4510"), ("-5", "4520.25"), ("1", "4500.25")] {
            position.trade(change.parse().unwrap(), price.parse().unwrap());
        }
        assert_eq!(position.quantity, Quantity::ZERO);
        assert_eq!(position.average_price(), None);
        // Four bought at 4505 on average and sold at 4520.25; one sold there, bought at 4500.25.
        assert_eq!(position.realised(fifty).to_string(), "4050");
        assert_eq!(position.unrealised("9999".parse().unwrap(), fifty), Money::ZERO);
    }

    proptest! {
        /// The identity that makes cash conserved: realised = cost - sum(quantity * price).
        #[test]
        fn realised_is_cost_less_what_was_paid(
            trades in prop::collection::vec((-1_000_i64..1_000, 1_i64..100_000), 0..40)
        ) {
            let (mut position, mut paid) = (Position::default(), 0_i128);
            for (change, price) in trades {
                position.trade(Quantity::from_units(change), Price::from_units(price));
                paid += i128::from(change) * i128::from(price);
            }
            prop_assert_eq!(position.realised, position.cost - paid);
            if position.quantity.is_zero() {
                prop_assert_eq!(position.cost, 0);
            }
        }
    }
}
