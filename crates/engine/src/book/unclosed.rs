//! Exits that ended without closing what they were for, or were refused: what is held should be closed,
//! and does not roll to the next month by itself (S11).

use super::{Book, place_of};
use tradewarden_domain::code::{Class, Code, Refusal};
use tradewarden_domain::order::{Order, OrderState, Purpose};
use tradewarden_store::exposures::Place;

impl Book {
    /// An order has ended; `before` is what its code was until then. The exit of a roll closes for nobody
    /// but the roll, and what became of the legs of a bracket is told otherwise (S9).
    pub(super) fn exit_ended(&mut self, order: &Order, before: Option<Code>) {
        let was_to_close = order.purpose == Purpose::Exit && order.leg.is_none();
        let has_failed = order.state != OrderState::Filled
            && ![before, order.code].into_iter().flatten().any(is_taken_back);
        if was_to_close && has_failed && !self.is_of_roll(order.id) {
            self.should_close(&place_of(order));
        }
    }

    /// An exit was refused. Who may not close it has no say in it, and neither has one that is older than
    /// what is held.
    pub(crate) fn exit_refused(&mut self, place: &Place, no: &Refusal) {
        let is_void = matches!(
            no.code,
            Code::AuthPermission
                | Code::KeyInstrument
                | Code::PositionFlat
                | Code::SignalOutOfOrder
        );
        if no.code.class() != Class::Skip && !is_void {
            self.should_close(place);
        }
    }

    fn should_close(&mut self, place: &Place) {
        if !self.exposure(place).quantity.is_zero() {
            let now = self.now;
            self.change_exposure(place, |held| held.unclosed_since = Some(now));
        }
    }
}

/// Whether an exit that ended so was not wanted any more.
const fn is_taken_back(code: Code) -> bool {
    matches!(code, Code::OrderCanceled | Code::OrderSuperseded | Code::StrategyFlat)
}
