//! A signal between the door and its answer: what the journal is given, and what becomes of it.

use crate::actor::Actor;
use crate::once::OnceKey;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::UnknownWord;
use tradewarden_domain::signal::{FieldError, Signal};
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::idempotency::Claim;

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalStatus {
    /// Journaled; orders go out.
    Accepted,
    /// The same as one before.
    Duplicate,
    /// Nothing was to be done.
    Skipped,
    /// Judged only.
    DryRun,
    /// A rule said no.
    Refused,
}

impl SignalStatus {
    /// The word outside.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Skipped => "skipped",
            Self::DryRun => "dry_run",
            Self::Refused => "refused",
        }
    }
}

impl std::str::FromStr for SignalStatus {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Accepted, Self::Duplicate, Self::Skipped, Self::DryRun, Self::Refused]
            .into_iter()
            .find(|status| status.text() == text)
            .ok_or(UnknownWord)
    }
}

impl Serialize for SignalStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for SignalStatus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// What became of a signal on one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountResult {
    /// The account.
    pub account_id: Id<id::Account>,
    /// The strategy.
    pub strategy_id: Id<id::Strategy>,
    /// What became of it.
    pub result: SignalStatus,
    /// Why, unless accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The last order that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Id<id::Order>>,
    /// All orders that came of it, in the order of sending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_ids: Vec<Id<id::Order>>,
}

pub(crate) fn micros_between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.since(earlier).as_micros()).unwrap_or(u64::MAX)
}

/// A signal that may not go on, and what the answer adds to the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAdmitted {
    pub(crate) refusal: Refusal,
    pub(crate) field: Option<String>,
    pub(crate) retry_after_s: Option<u32>,
    /// By its own words it only reduces: its refusal is told until somebody has seen it (S24).
    pub(crate) reduces: bool,
}

impl NotAdmitted {
    /// The body cannot be read.
    pub(crate) fn unreadable(error: &FieldError) -> Self {
        Self {
            refusal: Refusal::because(error.code, error.to_string()),
            field: Some(error.field.clone()),
            retry_after_s: None,
            reduces: error.of_exit,
        }
    }
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, field: None, retry_after_s: None, reduces: false }
    }
}

/// A signal on its way into the journal.
pub(crate) struct SignalWork {
    pub(crate) signal_id: Id<id::Signal>,
    pub(crate) received_at: Timestamp,
    pub(crate) org_id: Id<id::Org>,
    pub(crate) source: Source,
    /// Which of the source's strategies it means; all of them if it names none.
    pub(crate) strategy_id: Option<Id<id::Strategy>>,
    /// What the request of a signal has that a key signed.
    pub(crate) signed: Option<Box<Signed>>,
    pub(crate) admission: Admission,
    pub(crate) dry_run: bool,
    pub(crate) answer_was_lost: bool,
    /// The stated time of sending, where it lies so far ahead that it counts as absent (S13).
    pub(crate) sent_ahead: Option<Timestamp>,
    pub(crate) body: Vec<u8>,
    pub(crate) body_sha256: [u8; 32],
    /// What looks like the number of a payment card was masked in the body: it opens nothing.
    pub(crate) holds_card_number: bool,
    pub(crate) trace: Trace,
}

/// What a signed request with a signal claims beside it.
pub(crate) struct Signed {
    /// The key, with the request's nonce.
    pub(crate) actor: Actor,
    /// The caller's own key for the request.
    pub(crate) once: Option<(Claim, OnceKey)>,
}

/// Whether a signal may be judged.
pub(crate) enum Admission {
    /// It may.
    Admitted(Box<Signal>),
    /// It is only stored.
    Refused(NotAdmitted),
}

impl Admission {
    /// Whether the body itself asks for judgement only.
    pub(crate) fn asks_dry_run(&self) -> bool {
        matches!(self, Self::Admitted(signal) if signal.dry_run)
    }

    /// Whether the signal by its own words only reduces.
    pub(crate) fn reduces(&self) -> bool {
        match self {
            Self::Admitted(signal) => signal.only_reduces(),
            Self::Refused(no) => no.reduces,
        }
    }
}

/// What the journal answers to a signal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SignalOutcome {
    pub(crate) signal_id: Id<id::Signal>,
    pub(crate) status: SignalStatus,
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
    pub(crate) accounts: Vec<AccountResult>,
    pub(crate) field: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) limit: Option<String>,
    pub(crate) retry_after_s: Option<u64>,
}
