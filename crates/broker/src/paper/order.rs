//! An order of the exchange, its fills, and how the port shows them.

use super::record::NewOrder;
use crate::port::{BrokerAccount, BrokerOrder, BrokerOrderState, Execution, ReduceOnly};
use serde::{Deserialize, Serialize};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaperOrder {
    pub(super) number: u64,
    pub(super) account: BrokerAccount,
    pub(super) client_order_id: String,
    pub(super) symbol: Symbol,
    pub(super) side: Side,
    pub(super) order_type: OrderType,
    pub(super) time_in_force: TimeInForce,
    pub(super) quantity: Quantity,
    pub(super) limit_price: Option<Price>,
    pub(super) stop_price: Option<Price>,
    pub(super) reduce_only: ReduceOnly,
    pub(super) held_back: bool,
    pub(super) triggered: bool,
    pub(super) rejection: Option<Rejection>,
    pub(super) state: BrokerOrderState,
    pub(super) filled: Quantity,
    /// Sum of price times quantity of its fills, in units of 10^-16.
    pub(super) paid: i128,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// A fill; what it trades is the order's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaperFill {
    pub(super) order: u64,
    pub(super) quantity: Quantity,
    pub(super) price: Price,
    pub(super) fee: Money,
    pub(super) at: Timestamp,
}

/// The exchange's no to an order: a stable word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The word.
    #[serde(rename = "c")]
    pub code: String,
    /// The sentence.
    #[serde(rename = "r")]
    pub reason: String,
}

impl Rejection {
    pub(super) fn new(code: &str, reason: &str) -> Self {
        Self { code: code.to_owned(), reason: reason.to_owned() }
    }
}

impl From<&NewOrder> for PaperOrder {
    fn from(new: &NewOrder) -> Self {
        let state = match new.rejection {
            None => BrokerOrderState::Working,
            Some(_) => BrokerOrderState::Rejected,
        };
        Self {
            number: new.number,
            account: new.account.clone(),
            client_order_id: new.client_order_id.clone(),
            symbol: new.symbol.clone(),
            side: new.side,
            order_type: new.order_type,
            time_in_force: new.time_in_force,
            quantity: new.quantity,
            limit_price: new.limit_price,
            stop_price: new.stop_price,
            reduce_only: new.reduce_only,
            held_back: new.held_back && new.rejection.is_none(),
            triggered: false,
            rejection: new.rejection.clone(),
            state,
            filled: Quantity::ZERO,
            paid: 0,
            created_at: new.at,
            updated_at: new.at,
        }
    }
}

impl PaperOrder {
    /// Whether it is in a book: it is live, or a fault holds it back.
    pub(super) fn rests(&self) -> bool {
        self.state.is_live() || self.held_back
    }

    pub(super) fn remaining(&self) -> Quantity {
        self.quantity.saturating_minus(self.filled)
    }

    pub(super) fn broker_order_id(&self) -> String {
        format!("po-{}", self.number)
    }

    /// As the port shows it.
    pub(super) fn shown(&self) -> BrokerOrder {
        let average = self.paid.checked_div(i128::from(self.filled.units()));
        BrokerOrder {
            client_order_id: self.client_order_id.clone(),
            broker_order_id: self.broker_order_id(),
            symbol: self.symbol.clone(),
            side: self.side,
            quantity: self.quantity,
            limit_price: self.limit_price,
            stop_price: self.stop_price,
            filled_quantity: self.filled,
            average_price: average
                .and_then(|units| i64::try_from(units).ok())
                .map(Price::from_units),
            state: self.state,
            updated_at: self.updated_at,
        }
    }

    /// One of its fills as the port shows it.
    pub(super) fn execution(&self, number: u64, fill: &PaperFill) -> Execution {
        Execution {
            broker_fill_id: format!("pf-{number}"),
            client_order_id: self.client_order_id.clone(),
            broker_order_id: self.broker_order_id(),
            symbol: self.symbol.clone(),
            side: self.side,
            quantity: fill.quantity,
            price: fill.price,
            fee: fill.fee,
            at: fill.at,
        }
    }
}
