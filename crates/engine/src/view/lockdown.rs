//! A lockdown, as it is shown.

use serde::Serialize;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::lockdown::{Positions, Step};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::lockdowns::StepDone;

/// The lockdown that is in force, or the last one. Without any, `in_force` is all there is to say.
#[derive(Debug, Default, Serialize)]
pub struct LockdownView {
    /// Whether it is in force.
    pub in_force: bool,
    /// Its identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id<id::Lockdown>>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engaged_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engaged_at: Option<Timestamp>,
    /// The step that is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What becomes of open positions, once that is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Who decided it; nobody where the time ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// Until when an answer is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_until: Option<Timestamp>,
    /// What is open, while the list waits to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_positions: Option<Vec<LockdownPositionView>>,
    /// What has to be typed to confirm it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
    /// Who confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What was done, in its order.
    pub steps: Vec<LockdownStepView>,
    /// What people still have to do.
    pub left: Vec<LockdownLeftView>,
}

/// An open position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockdownPositionView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// What people call it.
    pub account: String,
    /// The instrument.
    pub symbol: Symbol,
    /// What is held by our book; negative is short.
    pub quantity: Quantity,
    /// The same by the broker's; absent if it was not heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_quantity: Option<Quantity>,
}

/// An account that was cut off from its broker.
#[derive(Debug, Clone, Serialize)]
pub struct DisconnectedView {
    /// Which.
    pub account_id: Id<id::Account>,
    /// `disabled`.
    pub state: String,
    /// The strategies that were switched off: those that trade nowhere else.
    pub strategies: Vec<Id<id::Strategy>>,
    /// The entries that were canceled, or asked back.
    pub canceled: Vec<Id<id::Order>>,
    /// What was open, as it was confirmed; it stays.
    pub open_positions: Vec<LockdownPositionView>,
}

/// What a step did.
#[derive(Debug, Serialize)]
pub struct LockdownStepView {
    /// Which.
    pub step: Step,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// How much it did, in things of its kind.
    pub done: u64,
    /// How much of it did not succeed.
    pub failed: u64,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl From<StepDone> for LockdownStepView {
    fn from(step: StepDone) -> Self {
        let StepDone { step, began_at, done_at, done, failed, note } = step;
        Self { step, began_at, done_at, done, failed, note }
    }
}

/// Something that a person has to do.
#[derive(Debug, Serialize)]
pub struct LockdownLeftView {
    /// What it is about, in a word.
    pub what: &'static str,
    /// In a sentence.
    pub detail: String,
    /// What does it on the command line.
    pub command: String,
}
