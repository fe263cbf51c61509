//! What has left and is in doubt: cancels that were asked for, answers that were not heard, orders
//! that may have ended at the broker by themselves. The broker is asked; nothing is guessed.

use super::change::{is_doubtful, may_go};
use super::{
    Dispatcher, Done, RESYNC_EVERY, RETRY_AFTER, SLOW_EXIT_AFTER, UNKNOWN_ALERT_AFTER, name_of,
};
use crate::attempt::Learned;
use crate::effects::Severity;
use crate::link::{Class, Link};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::{Broker as _, Call, Cancellation, Lookup, OrderName};
use tradewarden_domain::bracket::Leg;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose};
use tradewarden_domain::time::Timestamp;

/// Exits wait so long for fills after a start.
const FILLS_WAITED_FOR: Duration = Duration::from_secs(2);

impl Dispatcher {
    /// An order that has left: cancel it if that was asked for, ask for it if it was not heard of.
    pub(super) fn look_after(&mut self, order: &Order, now: Timestamp) {
        let Some((link, account)) = self.link(order) else { return };
        let id = order.id;
        let name = name_of(order, &account);
        self.tell_doubtful_change(order, now);
        let lost = matches!(order.state, OrderState::Sending | OrderState::Unknown);
        let Some(tracked) = self.orders.get_mut(&order.id) else { return };
        if lost {
            if !tracked.alerted && order.created_at.plus(UNKNOWN_ALERT_AFTER) < now {
                tracked.alerted = true;
                let (shared, org, id) = (Arc::clone(&self.shared), order.org_id, order.id);
                self.under_way.spawn(async move {
                    let detail = "What became of the order has been unknown for 10 s.".to_owned();
                    let (code, subject) = ("order.unknown", id.to_string());
                    shared.tell(org, code, Severity::Critical, subject, detail).await;
                    Done::Told
                });
            }
            // Before that the broker may still accept it, and "absent" would prove nothing.
            if order.attempt_until.is_some_and(|until| until >= now) {
                return;
            }
            self.ask(id, (link, name), Class::Guard, now);
        } else if order.cancel_requested && !tracked.is_canceled {
            tracked.busy = true;
            self.under_way.spawn(async move {
                match link.take_back(name).await {
                    Some(cancellation) => Done::Canceled(id, cancellation),
                    None => Done::NotAsked(id),
                }
            });
        } else if is_doubtful(order) || tracked.is_canceled {
            tracked.retry_at = Some(now.plus(RESYNC_EVERY));
            self.ask(id, (link, name), Class::Guard, now);
        } else if order.updated_at.plus(RESYNC_EVERY) < now
            && tracked.glance_at <= now
            && link.has_room(Call::Find, Class::Routine)
        {
            // A working order may have ended at the broker by itself.
            tracked.retry_at = Some(now.plus(RESYNC_EVERY));
            tracked.glance_at = now.plus(link.glances_every().max(RESYNC_EVERY));
            self.ask(id, (link, name), Class::Routine, now);
        }
    }

    /// Whether an exit waits for the fills from before this node led: it would be for what they have
    /// closed. It waits no longer than a moment, heard or not (S1).
    pub(super) fn awaits_fills(&self, exit: &Order, now: Timestamp) -> bool {
        self.recovered_at.plus(FILLS_WAITED_FOR) > now
            && !self.shared.unheard.has_read_fills(exit.account_id)
    }

    /// Whether a leg that takes the profit waits for the stop beside it, which is on its way: that
    /// comes first, and if it fills at once nothing is left to take a profit of.
    pub(super) fn waits_for_stop(&self, leg: &Order) -> bool {
        let is = |order: &Order, kind| order.leg.is_some_and(|of| of.leg == kind);
        let pair = (leg.account_id, leg.symbol.clone());
        let beside = self.pairs.get(&pair).into_iter().flatten();
        let mut beside = beside.filter_map(|id| self.orders.get(id)).map(|tracked| &tracked.order);
        is(leg, Leg::TakeProfit)
            && beside.any(|other| {
                other.strategy_id == leg.strategy_id
                    && is(other, Leg::StopLoss)
                    && (other.state == OrderState::Accepted || is_lost(other))
            })
    }

    fn ask(
        &mut self,
        id: Id<id::Order>,
        (link, name): (Arc<Link>, OrderName),
        class: Class,
        now: Timestamp,
    ) {
        if let Some(tracked) = self.orders.get_mut(&id) {
            tracked.busy = true;
        }
        self.under_way.spawn(async move {
            match link.ask(name, class).await {
                Some(lookup) => Done::Found(id, now, lookup),
                None => Done::NotAsked(id),
            }
        });
    }

    /// There was no room for the call.
    pub(super) fn not_asked(&mut self, id: Id<id::Order>) {
        let now = self.shared.environment.now();
        self.release(id, Some(now.plus(RETRY_AFTER)));
    }

    /// Tells a person of an exit at the market that is not flat in 10 s (S24), once. One that waits
    /// for its market was told of when it began to wait (S14).
    pub(super) fn tell_slow_exit(&mut self, id: Id<id::Order>, now: Timestamp) {
        let Some(tracked) = self.orders.get_mut(&id) else { return };
        let order = &tracked.order;
        let leaves = order.purpose == Purpose::Exit && order.order_type == OrderType::Market;
        let is_slow = leaves
            && !tracked.is_told_slow
            && order.created_at.plus(SLOW_EXIT_AFTER) < now
            && order.code != Some(Code::ExitPendingOpen);
        if !is_slow {
            return;
        }
        tracked.is_told_slow = true;
        let (shared, org, subject) = (Arc::clone(&self.shared), order.org_id, id.to_string());
        let detail = format!(
            "The exit is not filled after 10 s: {} of {} {}, {}.",
            order.filled_quantity, order.quantity, order.symbol, order.state
        );
        self.under_way.spawn(async move {
            shared.tell(org, "order.exit_slow", Severity::Critical, subject, detail).await;
            Done::Told
        });
    }

    pub(super) fn canceled(&mut self, id: Id<id::Order>, cancellation: &Cancellation) {
        let now = self.shared.environment.now();
        if let Some(tracked) = self.orders.get_mut(&id) {
            tracked.is_canceled = true;
            // What a cancel really did, the order's own state at the broker tells.
            tracked.order.updated_at = Timestamp::default();
            tracked.order.cancel_requested = false;
        }
        if let Cancellation::Unknown { why } = cancellation {
            tracing::warn!(order.id = %id, why, "a cancel was not heard; it is asked for again");
            self.release(id, Some(now.plus(RETRY_AFTER)));
            return;
        }
        self.release(id, None);
    }

    pub(super) fn found(&mut self, id: Id<id::Order>, asked_at: Timestamp, lookup: Lookup) {
        let now = self.shared.environment.now();
        let Some(tracked) = self.orders.get_mut(&id) else { return };
        tracked.is_canceled = false;
        match lookup {
            Lookup::Found(there) => {
                tracked.recovered = false;
                let order = &tracked.order;
                let news = matches!(order.state, OrderState::Sending | OrderState::Unknown)
                    || !there.state.is_live();
                let is_more = there.filled_quantity > order.filled_quantity;
                self.shared.missing.note(order, is_more.then_some(&there), now);
                if is_more {
                    self.shared.watch_fills(order.account_id);
                }
                if news {
                    tracked.retry_at = Some(now.plus(RETRY_AFTER));
                    self.learned.push((id, Learned::Stands(Box::new(there))));
                } else if is_doubtful(order) {
                    self.looked_for_change(id, asked_at, there);
                } else {
                    self.seen_as_known(id, now);
                }
            }
            Lookup::Absent if is_lost(&tracked.order) => {
                tracked.absences = tracked.absences.saturating_add(1);
                let absences = tracked.absences;
                let order = tracked.order.clone();
                let attempt_until = order.attempt_until;
                if self.proves_absence(&order, attempt_until, absences, asked_at) {
                    self.learned.push((id, Learned::Absent { attempt_until }));
                } else {
                    self.release(id, Some(now.plus(RETRY_AFTER)));
                }
            }
            Lookup::Absent => self.seen_as_known(id, now),
            Lookup::Unheard { why } => {
                tracing::warn!(order.id = %id, why, "the broker did not say how an order stands");
                self.release(id, Some(now.plus(RETRY_AFTER)));
            }
        }
    }

    /// A look-up said nothing new: it is looked again in a while. A change that was asked for meanwhile
    /// does not wait for that.
    fn seen_as_known(&mut self, id: Id<id::Order>, now: Timestamp) {
        let Some(tracked) = self.orders.get_mut(&id) else { return };
        let goes = may_go(&tracked.order, false);
        tracked.retry_at = (!goes).then(|| now.plus(RESYNC_EVERY));
        self.release(id, None);
    }

    /// "Not found" proves absence if it was asked for once the attempt was void at the broker and
    /// its look-ups had settled; where it proves less, twice.
    pub(super) fn proves_absence(
        &self,
        order: &Order,
        attempt_until: Option<Timestamp>,
        absences: u32,
        asked_at: Timestamp,
    ) -> bool {
        let Some((link, _)) = self.link(order) else { return false };
        let capabilities = link.capabilities();
        let void_at = attempt_until.unwrap_or(order.updated_at);
        // The broker was told when by our clock, and reckons by the world's.
        let ahead = self.shared.environment.ahead();
        let settled = void_at.plus(capabilities.find_settles_after).plus(ahead) < asked_at;
        settled && (capabilities.find_is_authoritative_after_expiry || absences >= 2)
    }
}

const fn is_lost(order: &Order) -> bool {
    matches!(order.state, OrderState::Sending | OrderState::Unknown)
}
