//! Duplicates: which signal of several is the first, decided by unique rows in the journal's
//! transaction (C3, S15).

use super::followers::Followers;
use super::refused;
use crate::Shared;
use crate::signal::{Admission, SignalOutcome, SignalStatus, SignalWork};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::signal::{Comment, QuantityField, Signal};
use tradewarden_domain::strategy::Sizing;
use tradewarden_seal::Digest;
use tradewarden_store::signals::{self, Claim, Key, StoredSignal};
use tradewarden_store::{Error, Tx};

/// An id is remembered so long (C3).
const ID_SPAN: Duration = Duration::from_hours(24);
/// A body without an id is the same for so long,
const BODY_SPAN: Duration = Duration::from_secs(1);
/// and for so long if the first answer may not have reached the sender (S15).
const LOST_ANSWER_SPAN: Duration = Duration::from_mins(1);

/// Clocks of several nodes are not further apart. What came later than that from now came before a
/// clock was set back.
const CLOCKS_APART: Duration = Duration::from_secs(5);

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
    let source = work.source.to_bytes();
    let key = |kind: &str, bytes: &[u8]| {
        Key(*Digest::sha256_parts(&[&source, kind.as_bytes(), b"\0", bytes]).as_bytes())
    };
    Some(match (&signal.id, &signal.derived_id) {
        (Some(id), _) => (key("id", id.as_bytes()), ID_SPAN),
        (None, Some(derived)) => (key("derived", derived.as_bytes()), ID_SPAN),
        (None, None) => (key("body", &work.body_sha256), body_span(work, signal)),
    })
}

/// How long a body without an id is the same. One that says when it was sent is sent again, never
/// meant again; of exits that is believed for a minute only, for they may not be shut out by a sender
/// whose clock stands.
fn body_span(work: &SignalWork, signal: &Signal) -> Duration {
    let says_when = signal.sent_at.is_some() && work.sent_ahead.is_none();
    match (says_when, work.admission.reduces()) {
        (true, false) => ID_SPAN,
        (true, true) => LOST_ANSWER_SPAN,
        (false, _) if work.answer_was_lost => LOST_ANSWER_SPAN,
        (false, _) => BODY_SPAN,
    }
}

/// The key of a full exit whose id another body has: it is executed, and its own body once (S15).
fn key_of_exit(work: &SignalWork) -> Option<Key> {
    let (id, _) = key_of(work)?;
    Some(Key(*Digest::sha256_parts(&[&id.0, b"exit\0", &work.body_sha256]).as_bytes()))
}

/// A signal of a batch, and the key that it wants.
struct Wanted<'a> {
    place: usize,
    work: &'a SignalWork,
    span: Duration,
}

/// Claims the keys of the batch, in sorted order, and says for which signals another was first.
pub(super) async fn claim_keys(
    tx: &mut Tx<'_>,
    shared: &Shared,
    followers: &Followers,
    works: &[&SignalWork],
) -> Result<BTreeMap<usize, First>, Error> {
    let mut firsts = BTreeMap::new();
    let works = || works.iter().copied().enumerate();
    let keyed = works().filter_map(|(place, work)| {
        let (key, span) = key_of(work)?;
        Some((key, Wanted { place, work, span }))
    });
    let exits = claim(tx, shared, followers, keyed, &mut firsts).await?;
    let keyed = works().filter(|(place, _)| exits.contains(place)).filter_map(|(place, work)| {
        Some((key_of_exit(work)?, Wanted { place, work, span: ID_SPAN }))
    });
    claim(tx, shared, followers, keyed, &mut firsts).await?;
    Ok(firsts)
}

/// Claims keys. Answers the places of full exits whose id another body has.
async fn claim<'a>(
    tx: &mut Tx<'_>,
    shared: &Shared,
    followers: &Followers,
    keyed: impl Iterator<Item = (Key, Wanted<'a>)>,
    firsts: &mut BTreeMap<usize, First>,
) -> Result<BTreeSet<usize>, Error> {
    let mut exits = BTreeSet::new();
    let mut found = |place, work: &SignalWork, body: &[u8; 32], first| match same_or_conflict(
        followers, work, body, first,
    ) {
        Some(first) => drop(firsts.insert(place, first)),
        None => drop(exits.insert(place)),
    };
    let mut wanted: BTreeMap<Key, Wanted<'a>> = BTreeMap::new();
    for (key, want) in keyed {
        match wanted.get(&key) {
            Some(earlier) => {
                let first = First::InBatch(earlier.place);
                found(want.place, want.work, &earlier.work.body_sha256, first);
            }
            None => drop(wanted.insert(key, want)),
        }
    }
    if wanted.is_empty() {
        return Ok(exits);
    }
    let claims: Vec<Claim> = wanted
        .iter()
        .map(|(key, want)| Claim { key: *key, signal_id: want.work.signal_id })
        .collect();
    let free: BTreeSet<Key> = signals::claim(tx, &claims).await?.into_iter().collect();
    let taken: Vec<Key> = wanted.keys().filter(|key| !free.contains(key)).copied().collect();
    let holders = signals::holders(tx, &taken).await?;
    let ids: Vec<_> = holders.iter().map(|holder| holder.signal_id).collect();
    let stored = signals::by_ids(tx, &ids).await?;
    for (holder, stored) in holders.into_iter().zip(stored) {
        let Some(Wanted { place, work, span }) = wanted.get(&holder.key) else { continue };
        let first = stored.filter(|stored| !is_forgotten(shared, work, stored, *span));
        if let Some(stored) = first {
            let first = First::Stored(Box::new(outcome_of(&stored)));
            found(*place, work, &stored.body_sha256, first);
        } else {
            let claim = Claim { key: holder.key, signal_id: work.signal_id };
            signals::take_over(tx, &claim, holder.signal_id).await?;
        }
    }
    Ok(exits)
}

/// Whether a signal that came with the same key lies too far back to count.
fn is_forgotten(shared: &Shared, work: &SignalWork, stored: &StoredSignal, span: Duration) -> bool {
    // What was journaled before this process began may have gone unanswered.
    let unheard = span < ID_SPAN && stored.received_at < shared.started_at;
    // An exit is not refused for hours because of what another clock said; an entry may well be.
    let is_ahead = work.received_at.plus(CLOCKS_APART) < stored.received_at;
    if is_ahead && span < ID_SPAN && work.admission.reduces() {
        return true;
    }
    let span = if unheard { LOST_ANSWER_SPAN } else { span };
    stored.received_at.plus(span) < work.received_at
}

/// The same id with another body: a full exit is executed, anything else conflicts (S15).
fn same_or_conflict(
    followers: &Followers,
    work: &SignalWork,
    body_sha256: &[u8; 32],
    first: First,
) -> Option<First> {
    if *body_sha256 == work.body_sha256 || !has_explicit_id(work) {
        return Some(first);
    }
    match &work.admission {
        Admission::Admitted(signal) if closes_all(followers, work, signal) => None,
        _ => Some(First::OtherBody),
    }
}

/// Whether it is a full exit for everybody who follows. A number beside it is read only by who sizes
/// by the payload, and only where no comment says how much.
fn closes_all(followers: &Followers, work: &SignalWork, signal: &Signal) -> bool {
    let reads_a_number = signal.quantity != QuantityField::Absent
        && !matches!(signal.comment, Comment::Exit(_))
        && followers.of(work).any(|strategy| strategy.sizing == Sizing::Payload);
    signal.is_full_exit() && !reads_a_number
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
