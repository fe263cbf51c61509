//! A change of an order: what it shall be, and how far the asking has come.

use super::{Order, words};
use crate::code::Code;
use crate::money::{Price, Quantity};
use crate::order::{Purpose, Side};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

words! {
    /// Where a change of an order is in its life.
    ChangeState {
        /// Journaled; nothing has left yet.
        Wanted = "wanted",
        /// The attempt is journaled; the call is under way or was interrupted.
        Sending = "sending",
        /// We did not hear what became of the call.
        Unknown = "unknown",
        /// The order is as was asked.
        Made = "made",
        /// It was not made: the order is as it was.
        Refused = "refused",
    }
}

/// A change of an order: what it shall be, not the difference. An order has at most one in flight.
///
/// The fields stand in the order of their names, because audit entries are canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it was journaled.
    pub asked_at: Timestamp,
    /// The attempt at the broker is void after this instant: the broker was told so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_until: Option<Timestamp>,
    /// Why it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The limit price; `None` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Price>,
    /// The version of the limits that cleared it.
    pub limits_version: i64,
    /// The whole quantity, filled included; `None` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// After this instant it is not sent any more (S12); what only reduces has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_by: Option<Timestamp>,
    /// Where it is in its life.
    pub state: ChangeState,
    /// The stop price; `None` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Price>,
    /// The smaller whole quantity that was asked for while this was under way: the next change, once
    /// it is known what became of this one (S9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then_quantity: Option<Quantity>,
}

impl Change {
    /// A change of an order, journaled now, that leaves it as it is: what it shall be is named beside it.
    pub const fn wanted(order: &Order, asked_at: Timestamp) -> Self {
        Self {
            asked_at,
            attempt_until: None,
            code: None,
            limit_price: None,
            limits_version: order.limits_version,
            quantity: None,
            send_by: None,
            state: ChangeState::Wanted,
            stop_price: None,
            then_quantity: None,
        }
    }

    /// Whether it may still be made.
    pub const fn is_in_flight(&self) -> bool {
        match self.state {
            ChangeState::Wanted | ChangeState::Sending | ChangeState::Unknown => true,
            ChangeState::Made | ChangeState::Refused => false,
        }
    }

    /// Whether it may have been made already.
    pub const fn is_in_doubt(&self) -> bool {
        match self.state {
            ChangeState::Sending | ChangeState::Unknown => true,
            ChangeState::Wanted | ChangeState::Made | ChangeState::Refused => false,
        }
    }
}

impl Order {
    /// What it counts for as exposure: what is still to be filled, of the larger of its quantity and
    /// of what a change in flight may make of it. A leg of a bracket counts for nothing: what it
    /// protects may be closed by any exit, and it is made smaller then (S9).
    pub fn reserved(&self) -> Quantity {
        if self.leg.is_some() {
            return Quantity::ZERO;
        }
        let wanted = self.change.filter(Change::is_in_flight).and_then(|change| change.quantity);
        let most = wanted.map_or(self.quantity, |wanted| wanted.max(self.quantity));
        most.saturating_minus(self.filled_quantity).max(Quantity::ZERO)
    }

    /// The most that it may come to at its broker: a change of which nothing was heard may have been
    /// made.
    pub fn quantity_at_most(&self) -> Quantity {
        let doubtful = self.change.filter(Change::is_in_doubt).and_then(|change| change.quantity);
        doubtful.map_or(self.quantity, |doubtful| doubtful.max(self.quantity))
    }

    /// Whether a change does nothing but make it smaller: a cancel of a part, which no halt stops (S9).
    pub fn only_shrinks(&self, change: &Change) -> bool {
        let reprices = change.limit_price.is_some() || change.stop_price.is_some();
        !reprices && change.quantity.is_some_and(|quantity| quantity < self.quantity)
    }

    /// Whether a change does nothing but bring a stop that reduces nearer to the market, for no more than
    /// it is for, and leaves its limit as far from it at least: what is held can lose less (S9).
    pub fn only_tightens(&self, change: &Change) -> bool {
        let Some((stop, old)) = change.stop_price.zip(self.stop_price) else { return false };
        let is_nearer = match self.side {
            Side::Sell => stop > old,
            Side::Buy => stop < old,
        };
        let room = |stop: Price, limit: Price| match self.side {
            Side::Sell => stop.minus(limit),
            Side::Buy => limit.minus(stop),
        };
        let has_room = change.limit_price.is_none_or(|limit| {
            self.limit_price.is_some_and(|before| room(stop, limit) >= room(old, before))
        });
        let grows = change.quantity.is_some_and(|quantity| quantity > self.quantity);
        self.purpose == Purpose::Exit && is_nearer && has_room && !grows
    }

    /// Whether no halt stops a change: it takes risk away and opens nothing (S9).
    pub fn passes_halts(&self, change: &Change) -> bool {
        self.only_shrinks(change) || self.only_tightens(change)
    }

    /// As what a change of this order is judged: one that only reduces is an exit, whatever the
    /// order is for (S9, S18).
    pub fn purpose_of(&self, change: &Change) -> Purpose {
        let reprices = change.limit_price.is_some() || change.stop_price.is_some();
        let grows = change.quantity.is_some_and(|quantity| quantity > self.quantity);
        if reprices || grows { self.purpose } else { Purpose::Exit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::tests::order;

    fn change(state: ChangeState, quantity: Option<&str>) -> Change {
        let order = Order { limits_version: 1, ..order("5") };
        Change {
            quantity: quantity.map(|text| text.parse().unwrap()),
            state,
            ..Change::wanted(&order, Timestamp::default())
        }
    }

    #[test]
    fn the_larger_counts_until_it_is_known() {
        for (state, quantity, reserved, at_most) in [
            (ChangeState::Wanted, "9", "8", "5"),
            (ChangeState::Sending, "9", "8", "9"),
            (ChangeState::Unknown, "9", "8", "9"),
            (ChangeState::Made, "9", "4", "5"),
            (ChangeState::Refused, "9", "4", "5"),
            (ChangeState::Wanted, "2", "4", "5"),
            (ChangeState::Unknown, "2", "4", "5"),
        ] {
            let mut order = order("5");
            order.filled_quantity = "1".parse().unwrap();
            order.change = Some(change(state, Some(quantity)));
            assert_eq!(order.reserved().to_string(), reserved, "{state} {quantity}");
            assert_eq!(order.quantity_at_most().to_string(), at_most, "{state} {quantity}");
        }
        let mut full = order("5");
        full.filled_quantity = "6".parse().unwrap();
        assert_eq!(full.reserved(), Quantity::ZERO, "never less than nothing");
    }

    #[test]
    fn what_only_reduces_is_judged_as_an_exit() {
        let entry = order("5");
        let exit = Order { purpose: Purpose::Exit, ..order("5") };
        let with_price = |quantity| Change {
            limit_price: Some("1".parse().unwrap()),
            ..change(ChangeState::Wanted, quantity)
        };
        for (change, purpose) in [
            (change(ChangeState::Wanted, Some("4")), Purpose::Exit),
            (change(ChangeState::Wanted, Some("6")), Purpose::Entry),
            (with_price(None), Purpose::Entry),
            (with_price(Some("4")), Purpose::Entry),
        ] {
            assert_eq!(entry.purpose_of(&change), purpose, "{change:?}");
            assert_eq!(exit.purpose_of(&change), Purpose::Exit, "{change:?}");
        }
    }

    /// S9: a stop that reduces is tightened by what brings it nearer to the market and takes nothing else
    /// away from it.
    #[test]
    fn s9_what_tightens_a_stop() {
        let price = |text: &str| Some(text.parse().unwrap());
        let stop = |side, limit_price| Order {
            limit_price,
            purpose: Purpose::Exit,
            side,
            stop_price: price("100"),
            ..order("5")
        };
        let to = |stop_price, limit_price, quantity| Change {
            limit_price,
            stop_price,
            ..change(ChangeState::Wanted, quantity)
        };
        let (sell, buy) = (stop(Side::Sell, None), stop(Side::Buy, None));
        let limited = stop(Side::Sell, price("98"));
        let short = stop(Side::Buy, price("102"));
        for (order, change, tightens) in [
            (&sell, to(price("101"), None, None), true),
            (&sell, to(price("101"), None, Some("4")), true),
            (&sell, to(price("101"), None, Some("6")), false),
            (&sell, to(price("99"), None, None), false),
            (&sell, to(None, None, Some("4")), false),
            (&buy, to(price("99"), None, None), true),
            (&buy, to(price("101"), None, None), false),
            (&limited, to(price("101"), None, None), true),
            (&limited, to(price("101"), price("99"), None), true),
            (&limited, to(price("101"), price("97"), None), true),
            (&limited, to(price("101"), price("99.5"), None), false),
            (&limited, to(None, price("97"), None), false),
            (&short, to(price("99"), price("101"), None), true),
            (&short, to(price("99"), price("100"), None), false),
        ] {
            assert_eq!(order.only_tightens(&change), tightens, "{change:?}");
            let entry = Order { purpose: Purpose::Entry, ..order.clone() };
            assert!(!entry.only_tightens(&change), "a stop that opens is no protection");
        }
    }

    #[test]
    fn it_is_stored_and_read() {
        let wanted = change(ChangeState::Wanted, Some("1.5"));
        let text = serde_json::to_string(&wanted).unwrap();
        assert_eq!(
            text,
            r#"{"asked_at":"1970-01-01T00:00:00.000000Z","limits_version":1,"quantity":"1.5","state":"wanted"}"#
        );
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), wanted);
    }
}
