//! The size of an entry, and what a strategy may do about one that nobody can use: its own quantity in
//! place of one that the payload leaves out, the cap in place of one that is over it. Neither is done
//! unless the strategy says so, and neither touches an exit.

use super::{Intent, Means, Sizing, Strategy, target, unusable};
use crate::check::Trace;
use crate::code::Refusal;
use crate::instrument::Instrument;
use crate::limit::Limits;
use crate::money::Quantity;
use crate::order::Purpose;
use crate::signal::{QuantityField, Signal};

impl Strategy {
    /// The size of an entry from flat.
    pub fn size(
        &self,
        signal: &Signal,
        instrument: &Instrument,
        means: &Means,
    ) -> Result<Quantity, Refusal> {
        match (self.sizing, &signal.quantity) {
            (Sizing::Fixed, _) => Ok(self.quantity),
            (Sizing::Target, _) => target::wanted(signal).map(Quantity::magnitude),
            (Sizing::PercentEquity | Sizing::RiskPerTrade, _) => {
                self.part_of_equity(signal, instrument, means)
            }
            (Sizing::Payload, QuantityField::Given(quantity)) => Ok(*quantity),
            _ if self.stands_in(signal) => Ok(self.quantity),
            (Sizing::Payload, no) => Err(unusable(&unsaid(no))),
        }
    }

    /// The entry as it is put before the limits: cut down to the one for a single order if the strategy
    /// says so, and rounded down to the lot. Where no order is that small it stays, to be refused. The
    /// trace has what the strategy did about its size.
    #[must_use]
    pub fn sized(
        &self,
        mut intent: Intent,
        signal: &Signal,
        instrument: &Instrument,
        limits: &Limits,
        trace: &mut Trace,
    ) -> Intent {
        if intent.purpose != Purpose::Entry {
            return intent;
        }
        if self.stands_in(signal) {
            let own = Some(self.quantity.to_string());
            trace.pass_with("sizing.fallback", unsaid(&signal.quantity), own);
        }
        let most = limits.max_order_quantity.map(Quantity::from_units);
        let over = most.filter(|most| self.quantity_clamp && intent.quantity > *most);
        if let Some(most) = over.map(|most| instrument.entry_quantity(most))
            && most.is_positive()
            && most >= instrument.quantity_min
        {
            trace.pass_over("sizing.clamp", intent.quantity.into(), most.into());
            intent.quantity = most;
        }
        intent
    }

    /// Whether its own quantity is the size of an entry by this signal, for want of one in the payload.
    /// A number that was sent and cannot be used is refused: it may have meant less.
    fn stands_in(&self, signal: &Signal) -> bool {
        self.quantity_fallback
            && self.sizing == Sizing::Payload
            && matches!(signal.quantity, QuantityField::Absent | QuantityField::Unreadable(_))
    }
}

/// What the payload's quantity is, if it is no size.
fn unsaid(quantity: &QuantityField) -> String {
    match quantity {
        QuantityField::Absent => {
            "quantity: the strategy sizes by the payload, which has none".to_owned()
        }
        QuantityField::Unreadable(reason) | QuantityField::Unusable(reason) => {
            format!("quantity: {reason}")
        }
        QuantityField::Given(quantity) => format!("quantity: {quantity}"),
    }
}
