//! Duplicates: which signal of several is the first, decided by unique rows in the journal's
//! transaction (C3, S15).

use super::refused;
use crate::Shared;
use crate::intake::SignalStatus;
use crate::journal::{Admission, SignalOutcome, SignalWork};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::signal::QuantityField;
use tradewarden_seal::Digest;
use tradewarden_store::signals::{self, Claim, Key, StoredSignal};
use tradewarden_store::{Error, Tx};

/// An id is remembered so long (C3).
const ID_SPAN: Duration = Duration::from_hours(24);
/// A body without an id is the same for so long,
const BODY_SPAN: Duration = Duration::from_secs(1);
/// and for so long if the first answer may not have reached the sender (S15).
const LOST_ANSWER_SPAN: Duration = Duration::from_mins(1);

/// What came before a signal with the same key.
pub(super) enum First {
    /// A stored signal with this outcome.
    Stored(Box<SignalOutcome>),
    /// The signal at this place of the batch.
    InBatch(usize),
    /// A signal with the same id and another body.
    OtherBody,
}

/// The key of a signal, and how long it is remembered. A dry run has none (C3).
fn key_of(work: &SignalWork) -> Option<(Key, Duration)> {
    let Admission::Admitted(signal) = &work.admission else { return None };
    if work.dry_run {
        return None;
    }
    let digest = |kind: &str, bytes: &[u8]| {
        *Digest::sha256_parts(&[kind.as_bytes(), b"\0", bytes]).as_bytes()
    };
    let (dedup_key, span) = match (&signal.id, &signal.derived_id) {
        (Some(id), _) => (digest("id", id.as_bytes()), ID_SPAN),
        (None, Some(derived)) => (digest("derived", derived.as_bytes()), ID_SPAN),
        (None, None) => {
            let span = if work.answer_was_lost { LOST_ANSWER_SPAN } else { BODY_SPAN };
            (digest("body", &work.body_sha256), span)
        }
    };
    Some((Key { webhook_id: work.door.webhook.id, dedup_key }, span))
}

/// Claims the keys of the batch, in sorted order, and says for which signals another was first.
pub(super) async fn claim_keys(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
) -> Result<BTreeMap<usize, First>, Error> {
    let mut firsts = BTreeMap::new();
    let mut wanted: BTreeMap<Key, (usize, Claim, Duration)> = BTreeMap::new();
    for (place, work) in works.iter().enumerate() {
        let Some((key, span)) = key_of(work) else { continue };
        if let Some((earlier, claim, _)) = wanted.get(&key) {
            if let Some(first) = same_or_conflict(work, claim, First::InBatch(*earlier)) {
                firsts.insert(place, first);
            }
            continue;
        }
        let claim = Claim {
            key: key.clone(),
            signal_id: work.signal_id,
            body_sha256: work.body_sha256,
            at: work.received_at,
        };
        wanted.insert(key, (place, claim, span));
    }
    let claims: Vec<Claim> = wanted.values().map(|(_, claim, _)| claim.clone()).collect();
    let free: BTreeSet<Key> = signals::claim(tx, &claims).await?.into_iter().collect();
    let taken: Vec<Key> = wanted.keys().filter(|key| !free.contains(key)).cloned().collect();
    let holders = signals::holders(tx, &taken).await?;
    let ids: Vec<_> = holders.iter().map(|holder| holder.signal_id).collect();
    let stored = signals::by_ids(tx, &ids).await?;
    for (holder, stored) in holders.into_iter().zip(stored) {
        let Some((place, claim, span)) = wanted.get(&holder.key) else { continue };
        let Some(work) = works.get(*place) else { continue };
        // What was journaled before this process began may have gone unanswered.
        let body_only = *span < ID_SPAN;
        let unheard = body_only && holder.at < shared.started_at;
        let span = if unheard { LOST_ANSWER_SPAN } else { *span };
        let expired = holder.at.plus(span) < work.received_at;
        match stored {
            Some(stored) if !expired => {
                let first = First::Stored(Box::new(outcome_of(&stored)));
                if let Some(first) = same_or_conflict(work, &holder, first) {
                    firsts.insert(*place, first);
                }
            }
            _ => signals::take_over(tx, claim, holder.signal_id).await?,
        }
    }
    Ok(firsts)
}

/// The same id with another body: a full exit is executed, anything else conflicts (S15).
fn same_or_conflict(work: &SignalWork, holder: &Claim, first: First) -> Option<First> {
    if holder.body_sha256 == work.body_sha256 || !has_explicit_id(work) {
        return Some(first);
    }
    match &work.admission {
        Admission::Admitted(signal)
            if signal.is_full_exit() && signal.quantity == QuantityField::Absent =>
        {
            None
        }
        _ => Some(First::OtherBody),
    }
}

fn has_explicit_id(work: &SignalWork) -> bool {
    matches!(&work.admission, Admission::Admitted(signal)
        if signal.id.is_some() || signal.derived_id.is_some())
}

/// The outcome of a stored signal, as it was answered. What has a key has no wrong field and was not
/// limited, so these two are never to be repeated.
fn outcome_of(stored: &StoredSignal) -> SignalOutcome {
    let code = stored.code.as_deref().and_then(Code::from_text);
    let (input, limit) = code.map_or((None, None), |code| compared(stored, code));
    SignalOutcome {
        signal_id: stored.id,
        status: stored.status.parse().unwrap_or(SignalStatus::Refused),
        code,
        message: stored.message.clone(),
        accounts: serde_json::from_str(&stored.accounts).unwrap_or_default(),
        field: None,
        input,
        limit,
        retry_after_s: None,
    }
}

/// What the rule that said no had compared: the trace's first line with that reason tells.
fn compared(stored: &StoredSignal, code: Code) -> (Option<String>, Option<String>) {
    let checks: Vec<Value> = serde_json::from_str(&stored.checks).unwrap_or_default();
    let Some(check) = checks.iter().find(|check| check["code"] == code.text()) else {
        return (None, None);
    };
    let text = |name: &str| check.get(name).and_then(Value::as_str).map(str::to_owned);
    // Where a rule compares nothing, the trace has its sentence there.
    (text("input").filter(|input| *input != stored.message), text("limit"))
}

/// A duplicate repeats the first outcome: a refusal stays a refusal.
pub(super) fn repeat(first: SignalOutcome) -> SignalOutcome {
    match first.status {
        SignalStatus::Refused => first,
        _ => SignalOutcome {
            status: SignalStatus::Duplicate,
            message: "The same signal was received before; nothing was done again.".to_owned(),
            ..first
        },
    }
}

pub(super) fn id_conflict(work: &SignalWork) -> (SignalOutcome, Trace) {
    let refusal = Refusal::plain(Code::DuplicateIdConflict);
    let mut trace = work.trace.clone();
    trace.fail("duplicate", &refusal);
    let field = Some("id".to_owned());
    (SignalOutcome { field, ..refused(work.signal_id, &refusal) }, trace)
}
