//! Organizations with as many live orders as one may have: they enter nothing more until there are
//! fewer, so that nobody's orders take the memory and the time of everybody's. What closes, cancels and
//! stops is never held up by it.
//!
//! Each node counts once a second; what comes within that second is bounded by the limits of rates.

use crate::Shared;
use crate::around::Scene;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::Limits;
use tradewarden_domain::money::Quantity;
use tradewarden_store::orders;

/// The organizations that have too many, and how many they have.
#[derive(Default)]
pub(crate) struct Crowds {
    full: ArcSwap<BTreeMap<Id<id::Org>, u64>>,
}

/// Counts anew. While the database is away nobody enters anything anyway.
pub(crate) async fn look(shared: &Shared) {
    match orders::crowded(&shared.store, shared.settings.live_orders_max).await {
        Ok(full) => shared.crowds.full.store(full.into_iter().collect::<BTreeMap<_, _>>().into()),
        Err(error) => tracing::error!(%error, "live orders were not counted"),
    }
}

impl Shared {
    /// What an order is judged by: where its organization has too many live orders, the bound stands
    /// in for a limit of open orders that somebody might have set.
    pub(crate) fn heed_crowd(&self, org: Id<id::Org>, limits: &mut Limits, scene: &mut Scene) {
        if let Some(count) = self.crowds.full.load().get(&org) {
            let most = i64::try_from(self.settings.live_orders_max).ok();
            let most = most.and_then(Quantity::from_whole).unwrap_or(Quantity::ZERO).units();
            let of_org = &mut limits.max_open_orders.org;
            *of_org = Some(of_org.map_or(most, |known| known.min(most)));
            scene.open_at_least(*count);
        }
    }
}
