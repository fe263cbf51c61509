//! What is shown of a replay.

use serde::Serialize;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::loss::LossKind;
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;

/// What a step of a replay found.
#[derive(Debug, Default, Serialize)]
pub struct ReplayView {
    /// Signals that were judged again.
    pub judged: u64,
    /// Signals that were not: refused before a strategy saw them, or their webhook is gone.
    pub not_judged: u64,
    /// Of those judged: to which the policy makes a difference.
    pub differs: u64,
    /// Of those judged: whose outcome under the limits of their time is not what was answered, so
    /// that the replay knows less than the gateway did.
    pub unexplained: u64,
    /// How often which outcome becomes which, of those that differ.
    pub counts: Vec<ReplayCountView>,
    /// Of those judged: for which the equity of an account counts, and none of the minute before was
    /// stored. Limits in percent of it were left out; a size by it could not be told.
    pub without_equity: u64,
    /// The first of these, at most 200.
    pub equity_not_known: Vec<ReplayWithoutEquityView>,
    /// When a limit of losses would have been reached under the policy, at most 200. From then on entries
    /// are refused, until the next session or a person ends it.
    pub trips: Vec<ReplayTripView>,
    /// From when to when what was held could not be marked, so that only what was closed counted as lost,
    /// or no equity was stored that a limit of a fall is in percent of; at most 200.
    pub losses_not_judged: Vec<ReplayUnmarkedView>,
    /// The first of those that differ, at most 200.
    pub differences: Vec<ReplayDifferenceView>,
    /// When the last signal came that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Timestamp>,
    /// What the next step goes on from; absent when the period is through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<crate::command::replay::ReplayState>,
}

/// A part of a replay.
#[derive(Debug, Serialize)]
pub struct ReplayPageView {
    /// What was found; without a state.
    #[serde(flatten)]
    pub found: ReplayView,
    /// The cursor of the next part; absent when the period is through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A limit of losses that the policy would have reached.
#[derive(Debug, Serialize)]
pub struct ReplayTripView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The strategy, unless it is a limit of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// `daily_loss` or `drawdown`.
    pub limit: LossKind,
    /// When.
    pub at: Timestamp,
    /// What was lost, in the account's currency.
    pub loss: Money,
    /// What may be.
    pub allowed: Money,
}

/// A time in which an account held what nobody stored marks of, or an equity that counts.
#[derive(Debug, Serialize)]
pub struct ReplayUnmarkedView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
}

/// A signal for which an equity counts that was not stored.
#[derive(Debug, Serialize)]
pub struct ReplayWithoutEquityView {
    /// The signal.
    pub signal_id: Id<id::Signal>,
    /// When it came.
    pub received_at: Timestamp,
    /// Whose equity it is.
    pub account_ids: Vec<Id<id::Account>>,
}

/// How often an outcome becomes another one.
#[derive(Debug, Serialize)]
pub struct ReplayCountView {
    /// What was answered.
    pub then: String,
    /// What the policy makes of it.
    pub now: String,
    /// How many signals.
    pub signals: u64,
}

/// A signal to which the policy makes a difference.
#[derive(Debug, Serialize)]
pub struct ReplayDifferenceView {
    /// The signal.
    pub signal_id: Id<id::Signal>,
    /// When it came.
    pub received_at: Timestamp,
    /// What was answered.
    pub then: ReplayOutcomeView,
    /// What the policy makes of it.
    pub now: ReplayOutcomeView,
}

/// An outcome.
#[derive(Debug, Serialize)]
pub struct ReplayOutcomeView {
    /// `accepted`, `skipped`, `dry_run` or `refused`.
    pub status: String,
    /// Why, unless accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In a sentence.
    pub message: String,
}

impl ReplayOutcomeView {
    /// The status, and the code where there is one.
    pub(crate) fn in_short(&self) -> String {
        match &self.code {
            None => self.status.clone(),
            Some(code) => format!("{} {code}", self.status),
        }
    }
}
