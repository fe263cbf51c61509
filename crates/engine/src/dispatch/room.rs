//! Room in a broker's budget: an attempt is journaled only once there is some for its call (S18).

use super::Dispatcher;
use crate::link::{Booking, Class, Link};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_broker::port::Call;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{Order, OrderState, Purpose};

impl Dispatcher {
    pub(super) fn link(&self, order: &Order) -> Option<(Arc<Link>, Arc<Account>)> {
        let account = crate::book::account(&self.shared, order.account_id)?;
        let link = self.shared.links.get(&account.broker)?;
        Some((Arc::clone(link), account))
    }

    /// Sets room for a call aside; what adds risk gets none of the reserve.
    pub(super) fn book(&mut self, order: &Order, call: Call) -> bool {
        // Nobody is called then.
        let Some((link, _)) = self.link(order) else { return true };
        let purpose = match (call, order.change) {
            (Call::Replace, Some(change)) => order.purpose_of(&change),
            _ => order.purpose,
        };
        let class = match purpose {
            Purpose::Entry => Class::Entry,
            Purpose::Exit => Class::Guard,
        };
        let Some(booking) = link.book(call, class) else { return false };
        if let Some(tracked) = self.orders.get_mut(&order.id) {
            tracked.booking = Some(booking);
        }
        true
    }

    /// The room that was set aside for the call of this order.
    pub(super) fn booking(&mut self, id: Id<id::Order>) -> Option<Booking> {
        self.orders.get_mut(&id).and_then(|tracked| tracked.booking.take())
    }

    /// Says at each link how many orders work there.
    pub(super) fn watch_links(&self) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let directory = self.shared.directory.load();
        for tracked in self.orders.values().filter(|it| it.order.state != OrderState::Accepted) {
            if let Some(account) = directory.accounts.get(&tracked.order.account_id) {
                let count = counts.entry(account.broker.as_str()).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (kind, link) in &self.shared.links {
            link.watch(counts.get(kind.as_str()).copied().unwrap_or(0));
        }
    }
}
