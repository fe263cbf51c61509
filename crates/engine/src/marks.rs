//! Keeping what was quoted of what somebody holds, so that a replay can mark the past as it was (S23).
//!
//! Three marks in a row make a loss true, so a few seconds in a row are kept, again and again. Crash
//! story: what was looked at and not written yet is missing, which is at most one such row of seconds; a
//! replay tells of it as of any time without marks.

use crate::Shared;
use crate::effects::Effects;
use crate::journal::Urgency;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::price::Market;
use tradewarden_store::marks::{self, StoredMark};
use tradewarden_store::{Error, Tx};

/// How often is looked.
pub(crate) const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// Of so many looks in a row.
const LOOKS: u32 = 30;
/// So many are kept: three marks that are a second apart, also where a look comes a little early.
const KEPT: u32 = 5;
/// Instruments of which marks are kept.
const HELD_MAX: u32 = 2_000;
/// Marks are kept for so long, as is the equity that goes with them.
pub(crate) const KEPT_FOR: Duration = Duration::from_hours(180 * 24);

/// Looks and writes; what it remembers is what it did not write yet.
#[derive(Default)]
pub(crate) struct Keeper {
    look: u32,
    held: Vec<(String, Symbol)>,
    seen: Vec<StoredMark>,
}

impl Keeper {
    /// One look.
    pub(crate) async fn round(&mut self, shared: &Arc<Shared>) {
        let look = self.look;
        self.look = look.wrapping_add(1).checked_rem(LOOKS).unwrap_or(0);
        if look == 0 {
            match marks::held(&shared.store, HELD_MAX).await {
                Ok(held) => self.held = held,
                Err(error) => tracing::error!(%error, "what is held could not be read"),
            }
        }
        if look >= KEPT || self.held.is_empty() {
            return;
        }
        for (broker, symbol) in &self.held {
            let Some(reference) = shared.market.heard(broker, symbol) else { continue };
            let Some((bid, ask, at)) = reference.quote else { continue };
            let is_closed = reference.market == Market::Closed;
            let (broker, symbol) = (broker.clone(), symbol.clone());
            self.seen.push(StoredMark { at, broker, symbol, bid, ask, is_closed });
        }
        if look.saturating_add(1) == KEPT {
            write(shared, std::mem::take(&mut self.seen)).await;
        }
    }
}

async fn write(shared: &Arc<Shared>, mut seen: Vec<StoredMark>) {
    // The same quote may have been seen twice.
    seen.sort_unstable_by(|one, other| {
        (one.at, &one.broker, &one.symbol).cmp(&(other.at, &other.broker, &other.symbol))
    });
    seen.dedup_by(|one, other| {
        (one.at, &one.broker, &one.symbol) == (other.at, &other.broker, &other.symbol)
    });
    if seen.is_empty() {
        return;
    }
    let before = shared.environment.now().minus(KEPT_FOR);
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, _: &mut Effects| {
            marks::put(tx, &seen).await?;
            marks::forget(tx, before).await?;
            Ok::<_, Error>(())
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "marks were not written");
    }
}
