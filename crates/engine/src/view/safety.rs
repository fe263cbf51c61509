//! Halts, dead-man switches and alerts, as they are shown.

use serde::Serialize;
use tradewarden_domain::halt::HaltMode;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::message::Channel;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::halt_progress::HaltProgress;

/// A halt.
#[derive(Debug, Serialize)]
pub struct HaltView {
    /// Its identifier.
    pub id: Id<id::Halt>,
    /// What it covers.
    pub scope: String,
    /// `reduce_only`, `block`, `cancel` or `flatten`.
    pub mode: String,
    /// It cancels orders that only reduce, too.
    pub include_protective: bool,
    /// Why.
    pub reason: String,
    /// Who or what engaged it.
    pub engaged_by: String,
    /// When.
    pub engaged_at: Timestamp,
    /// It is kept in the data directory, and becomes part of the record once the database answers.
    pub local: bool,
    /// Who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Timestamp>,
    /// How far it has come, if it cancels and is shown alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<HaltProgressView>,
}

/// A dead-man switch.
#[derive(Debug, Serialize)]
pub struct DeadManView {
    /// What it halts.
    pub scope: String,
    /// Seconds within which it has to be renewed.
    pub timeout_s: u32,
    /// How far the halt goes.
    pub mode: HaltMode,
    /// It cancels orders that only reduce, too.
    pub include_protective: bool,
    /// Who armed it.
    pub armed_by: String,
    /// When it was last renewed.
    pub renewed_at: Timestamp,
    /// When it fires if nobody renews it; later if the gateway is away meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fires_at: Option<Timestamp>,
    /// When it fired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<Timestamp>,
}

/// How far a halt that cancels has come.
#[derive(Debug, Serialize)]
pub struct HaltProgressView {
    /// Orders that it takes back.
    pub orders_to_cancel: u64,
    /// Of these, those that ended without filling.
    pub orders_canceled: u64,
    /// Those that had filled before the cancel came.
    pub orders_filled: u64,
    /// Those that still work.
    pub orders_working: u64,
    /// Those of which is not known what became of them.
    pub orders_unknown: u64,
    /// Positions that it closes.
    pub positions_to_close: u64,
    /// Of these, those that are flat by our and by the broker's word.
    pub positions_flat: u64,
    /// Nothing is left to do.
    pub is_done: bool,
}

impl From<HaltProgress> for HaltProgressView {
    fn from(progress: HaltProgress) -> Self {
        let mut view = Self {
            orders_to_cancel: 0,
            orders_canceled: 0,
            orders_filled: 0,
            orders_working: 0,
            orders_unknown: 0,
            positions_to_close: progress.positions_to_close,
            positions_flat: progress.positions_flat,
            is_done: false,
        };
        for (state, count) in progress.orders {
            let slot = match state {
                OrderState::Sending | OrderState::Unknown => &mut view.orders_unknown,
                state if state.is_live() => &mut view.orders_working,
                OrderState::Filled => &mut view.orders_filled,
                _ => &mut view.orders_canceled,
            };
            *slot = slot.saturating_add(count);
            view.orders_to_cancel = view.orders_to_cancel.saturating_add(count);
        }
        let open = view.orders_working.saturating_add(view.orders_unknown);
        view.is_done = progress.looked_at.is_some()
            && open == 0
            && view.positions_flat == view.positions_to_close;
        view
    }
}

/// An alert.
#[derive(Debug, Serialize)]
pub struct AlertView {
    /// Its identifier.
    pub id: Id<id::Alert>,
    /// When it was raised.
    pub at: Timestamp,
    /// What, as a code.
    pub code: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// In words and numbers.
    pub detail: String,
    /// How often it was told.
    pub told: u32,
    /// Who acknowledged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
}

/// A way on which alerts go out.
#[derive(Debug, Serialize)]
pub struct AlertChannelView {
    /// Which.
    pub channel: Channel,
    /// When it last carried a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tested_at: Option<Timestamp>,
}
