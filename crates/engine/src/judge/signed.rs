//! Signals that a key signed: what their requests claim in the journal's transaction, and the answers
//! that are kept in it.

use crate::Shared;
use crate::intake::KeptAnswer;
use crate::signal::{SignalOutcome, SignalWork};
use std::collections::BTreeMap;
use tradewarden_domain::code::Code;
use tradewarden_store::{Error, Tx, idempotency};

/// Claims the nonces and idempotency keys of a batch. Whose were taken before, by another node or
/// before a restart, is judged no more.
pub(super) async fn turned_away(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
) -> Result<BTreeMap<usize, Code>, Error> {
    let mut away = BTreeMap::new();
    for (place, work) in works.iter().enumerate() {
        let Some(signed) = &work.signed else { continue };
        if !signed.actor.claim(tx).await? {
            away.insert(place, Code::Unauthenticated);
            continue;
        }
        if let Some((claim, once)) = &signed.once
            && !once.claim_in(tx, claim, shared.environment.now()).await?
        {
            away.insert(place, Code::IdempotencyInFlight);
        }
    }
    Ok(away)
}

/// Keeps what is answered under an idempotency key.
pub(super) async fn keep_answers(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
    outcomes: &[SignalOutcome],
) -> Result<(), Error> {
    for (work, outcome) in works.iter().zip(outcomes) {
        let asked = work.signed.as_ref().and_then(|signed| signed.once.as_ref());
        let Some((claim, once)) = asked else { continue };
        let answer = KeptAnswer { received_at: work.received_at, outcome: outcome.clone() };
        idempotency::answer(tx, claim, &answer.row(once, shared.environment.now())).await?;
    }
    Ok(())
}
