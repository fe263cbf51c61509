//! Who leads: of the nodes at one database one sends and seals.

use crate::Shared;
use crate::journal::Urgency;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_store::{Error, Location, Tx, leases};

pub(crate) const LEASE: &str = "leader";

pub(crate) const LEASE_SPAN: Duration = Duration::from_secs(8);

/// Takes or keeps the lease of the one node that sends and seals. SQLite has one node: its data
/// directory is locked.
pub(crate) async fn lead(shared: &Arc<Shared>) {
    if matches!(shared.store.location(), Location::Sqlite(_)) {
        shared.set_leader(true);
        return;
    }
    let now = shared.environment.now();
    let node = shared.settings.node.clone();
    let lease = shared
        .journal
        .write(Urgency::Now, async move |tx, _effects| {
            leases::acquire(tx, LEASE, &node, now, now.plus(LEASE_SPAN)).await
        })
        .await;
    match lease {
        Ok(lease) => {
            if lease.is_none() {
                // Whoever takes the lead later does not know what of the budgets is spent.
                for link in shared.links.values() {
                    link.assume_spent();
                }
            }
            shared.set_leader(lease.is_some());
        }
        Err(error) => {
            tracing::error!(error = %error.0, "the lease could not be renewed");
            shared.set_leader(false);
        }
    }
}

/// Whether this node leads, by the lease's row inside a transaction.
pub(crate) async fn leads(tx: &mut Tx<'_>, shared: &Shared) -> Result<bool, Error> {
    match shared.store.location() {
        Location::Sqlite(_) => Ok(true),
        Location::Postgres(_) => {
            let now = shared.environment.now();
            leases::is_held(tx, LEASE, &shared.settings.node, now).await
        }
    }
}
