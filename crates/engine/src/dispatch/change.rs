//! Changes of orders that have left: called for once, and looked for when the answer was not heard.

use super::gate::{self, Look};
use super::{Dispatcher, Done, RETRY_AFTER, UNKNOWN_ALERT_AFTER, name_of};
use crate::attempt::{Learned, is_stopped, shows};
use crate::effects::Severity;
use std::sync::Arc;
use tradewarden_broker::port::{BrokerOrder, ReplaceOrder, Replacement};
use tradewarden_domain::code::Code;
use tradewarden_domain::halt::Halt;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{Change, ChangeState, Order, OrderState, Purpose};
use tradewarden_domain::time::Timestamp;

/// Whether a change of the order may be attempted now. One that may add risk waits, like an entry,
/// while an attempt from before the start is open on the account.
pub(super) fn may_go(order: &Order, account_recovers: bool) -> bool {
    let has_left = matches!(order.state, OrderState::Working | OrderState::PartiallyFilled);
    order.change.is_some_and(|change| {
        change.state == ChangeState::Wanted
            && has_left
            && !order.cancel_requested
            && !(account_recovers && order.purpose_of(&change) == Purpose::Entry)
    })
}

/// Whether a change is wanted of the order that was not when it was like `before`.
pub(super) fn is_new(order: &Order, before: &Order) -> bool {
    let wanted = |order: &Order| order.change.filter(|of| of.state == ChangeState::Wanted);
    wanted(order).is_some() && wanted(order) != wanted(before)
}

/// Whether the broker has to be asked what became of a change.
pub(super) fn is_doubtful(order: &Order) -> bool {
    order.change.is_some_and(|change| change.is_in_doubt())
}

impl Dispatcher {
    /// Calls the broker, unless a halt has come since the attempt was journaled (C11).
    pub(super) fn call_change(&mut self, order: Order, now: Timestamp) {
        let booking = self.booking(order.id);
        let Some(change) = order.change else { return };
        let (id, attempt_until) = (order.id, change.attempt_until);
        let target = self.link(&order);
        let Some(tracked) = self.orders.get_mut(&id) else { return };
        let Some((link, account)) = target else {
            self.release(id, Some(now.plus(RETRY_AFTER)));
            return;
        };
        let request = ReplaceOrder {
            order: name_of(&order, &account),
            quantity: change.quantity,
            limit_price: change.limit_price,
            stop_price: change.stop_price,
            expires_at: attempt_until.unwrap_or(now),
        };
        (tracked.order, tracked.absences) = (order.clone(), 0);
        let (shared, reading) = (Arc::clone(&self.shared), Arc::clone(&self.reading));
        self.under_way.spawn(async move {
            let read = reading.again(&shared, attempt_until).await;
            let stops = |halts: &[Halt]| is_stopped(&shared, halts, &order, &change);
            let code = match gate::look(&shared, read, stops) {
                Look::Free => None,
                Look::Halted => Some(Code::DispatchHalted),
                Look::Unread(why) => {
                    tracing::warn!(order.id = %id, why, "a change could not leave");
                    Some(Code::OrderChangeNotMade)
                }
            };
            if let Some(code) = code {
                return Done::KeptBack(id, Learned::NotChanged { attempt_until, code });
            }
            let replacement = link.replace_booked(booking, request).await;
            Done::Replaced(id, attempt_until, Box::new(replacement))
        });
    }

    pub(super) fn replaced(
        &mut self,
        id: Id<id::Order>,
        attempt_until: Option<Timestamp>,
        replacement: Box<Replacement>,
    ) {
        if let (Replacement::Done { order: there }, Some(tracked)) =
            (replacement.as_ref(), self.orders.get(&id))
            && there.filled_quantity > tracked.order.filled_quantity
        {
            self.shared.watch_fills(tracked.order.account_id);
        }
        self.learned.push((id, Learned::Replaced { attempt_until, replacement }));
    }

    /// A look-up found an order that works, and a change of it is in doubt: what it shows is
    /// learned, and that it shows nothing of the change, once that proves something.
    pub(super) fn looked_for_change(
        &mut self,
        id: Id<id::Order>,
        asked_at: Timestamp,
        there: BrokerOrder,
    ) {
        let now = self.shared.environment.now();
        let Some(tracked) = self.orders.get_mut(&id) else { return };
        let order = tracked.order.clone();
        let Some(change) = order.change.filter(Change::is_in_doubt) else { return };
        match shows(&order, &change, &there) {
            Some(true) => {
                tracked.retry_at = Some(now.plus(RETRY_AFTER));
                self.learned.push((id, Learned::Stands(Box::new(there))));
            }
            Some(false) => {
                let attempt_until = change.attempt_until;
                // Before that the broker may still make it, and this would prove nothing.
                let is_void = attempt_until.is_none_or(|until| until < asked_at);
                tracked.absences = tracked.absences.saturating_add(u32::from(is_void));
                let absences = tracked.absences;
                if is_void && self.proves_absence(&order, attempt_until, absences, asked_at) {
                    let code = Code::OrderChangeNotMade;
                    self.learned.push((id, Learned::NotChanged { attempt_until, code }));
                } else {
                    self.release(id, Some(now.plus(RETRY_AFTER)));
                }
            }
            None => self.release(id, Some(now.plus(RETRY_AFTER))),
        }
    }

    /// Tells a person of a change that stays unknown (S24), once.
    pub(super) fn tell_doubtful_change(&mut self, order: &Order, now: Timestamp) {
        let Some(change) = order.change.filter(Change::is_in_doubt) else { return };
        let Some(tracked) = self.orders.get_mut(&order.id) else { return };
        if tracked.alerted || change.asked_at.plus(UNKNOWN_ALERT_AFTER) >= now {
            return;
        }
        tracked.alerted = true;
        let (shared, org, subject) = (Arc::clone(&self.shared), order.org_id, order.id.to_string());
        self.under_way.spawn(async move {
            let detail = "Whether the order was changed has been unknown for 10 s.".to_owned();
            shared.tell(org, "order.change_unknown", Severity::Critical, subject, detail).await;
            Done::Told
        });
    }
}
