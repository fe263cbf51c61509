//! Once: a request under a caller's own key is carried out once, and its first answer is repeated
//! (S17, C10).
//!
//! Crash story: the key is claimed in the transaction of the change. For orders the answer is
//! written there too, so nothing is ever open. For other commands it follows; a crash between the
//! two leaves a key without an answer, and whoever asks again is told so and looks for himself.

use crate::Engine;
use crate::actor::Actor;
use crate::command::Command;
use crate::command::error::{CommandError, OrderNo, away};
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::view::{OrderView, without_secrets};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::card_number::holds_card_number;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::Order;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, Pepper};
use tradewarden_store::idempotency::{self, Claim, Stored};
use tradewarden_store::{Error, Tx};

/// How long answers are kept; those of orders are kept for ever.
pub(crate) const ANSWERS_KEPT: Duration = Duration::from_hours(7 * 24);
/// How long a caller waits for the keeping of an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
const KEY_CHARACTERS_MAX: usize = 128;

/// A caller's own key for a request, and the hash of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceKey {
    key: String,
    fingerprint: [u8; 32],
}

/// What became of a request under a key.
#[derive(Debug)]
pub struct Performed {
    /// The answer.
    pub outcome: Result<Value, CommandError>,
    /// Whether it is the answer to an earlier request.
    pub replayed: bool,
}

/// Whether a change was the first under its key.
pub(crate) enum Claimed<T> {
    First(T),
    Before,
}

impl OnceKey {
    /// Reads the header `Idempotency-Key`: a quoted string (RFC 9651 section 3.3.3) or the bare
    /// characters, 1 to 128 of them, printable ASCII without spaces, quotes and backslashes.
    pub fn read(header: &str, method: &str, path: &str, body: &[u8]) -> Option<Self> {
        let text = header.trim();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let printable =
            bare.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if !printable || !(1..=KEY_CHARACTERS_MAX).contains(&bare.len()) {
            return None;
        }
        let mut request = format!("{method}\n{path}\n").into_bytes();
        request.extend_from_slice(body);
        let fingerprint = *Digest::sha256(&request).as_bytes();
        Some(Self { key: bare.to_owned(), fingerprint })
    }

    /// What is claimed. A key with the number of a payment card works as any other, and is not kept.
    pub(crate) fn claim(&self, org: Id<id::Org>, actor: &Actor, pepper: &Pepper) -> Claim {
        let key = if holds_card_number(&self.key) {
            format!("hidden:{}", pepper.of_caller_key(&self.key))
        } else {
            self.key.clone()
        };
        Claim { org_id: org, caller: actor.name(), key }
    }

    pub(crate) async fn claim_in(
        &self,
        tx: &mut Tx<'_>,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<bool, Error> {
        idempotency::claim(tx, claim, self.fingerprint, now).await
    }

    /// The answer that is an order.
    pub(crate) fn order(&self, order: &Order, now: Timestamp) -> Stored {
        let answer = serde_json::to_string(&OrderView::from(order.clone())).unwrap_or_default();
        Stored { order_id: Some(order.id), ..self.answered(answer, now) }
    }

    /// The answer that is a refusal.
    pub(crate) fn no(&self, no: &OrderNo, now: Timestamp) -> Stored {
        let answer = serde_json::to_string(&StoredNo::of(no)).unwrap_or_default();
        let refusal = Some(no.code.text().to_owned());
        Stored { order_id: no.order_id, refusal, ..self.answered(answer, now) }
    }

    fn answered(&self, answer: String, now: Timestamp) -> Stored {
        Stored {
            fingerprint: self.fingerprint,
            order_id: None,
            refusal: None,
            answer: Some(answer),
            at: now,
        }
    }
}

/// A refusal as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredNo {
    detail: String,
    order_id: Option<Id<id::Order>>,
    input: Option<String>,
    limit: Option<String>,
}

impl StoredNo {
    fn of(no: &OrderNo) -> Self {
        Self {
            detail: no.detail.clone(),
            order_id: no.order_id,
            input: no.input.clone(),
            limit: no.limit.clone(),
        }
    }
}

/// The keys whose requests are being carried out on this node.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<BTreeSet<Claim>>);

pub(crate) struct Flight<'a> {
    all: &'a InFlight,
    claim: Claim,
}

impl InFlight {
    fn begin(&self, claim: &Claim) -> Option<Flight<'_>> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.insert(claim.clone()).then(|| Flight { all: self, claim: claim.clone() })
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.claim);
    }
}

impl Engine {
    /// Carries a command out, once for each key; the answer is the API's object.
    pub async fn perform(
        &self,
        command: Command,
        actor: &Actor,
        once: Option<OnceKey>,
    ) -> Performed {
        let Some(once) = once else {
            return Performed { outcome: self.execute(command, actor).await, replayed: false };
        };
        // As in `execute`: callers need not carry it inline.
        match Box::pin(self.perform_once(command, actor, &once)).await {
            Ok(performed) => performed,
            Err(error) => Performed { outcome: Err(error), replayed: false },
        }
    }

    async fn perform_once(
        &self,
        command: Command,
        actor: &Actor,
        once: &OnceKey,
    ) -> Result<Performed, CommandError> {
        let org = self.org_of(actor)?;
        let claim = once.claim(org, actor, &self.parts.people.pepper);
        let in_flight = || refused(Code::IdempotencyInFlight);
        let _flight = self.take_off(&claim)?;
        let stops = matches!(command, Command::HaltEngage(_));
        match self.stored(&claim).await {
            Ok(Some(stored)) => return repeat(stored, once),
            Ok(None) => {}
            // A halt does not wait for the database (C11).
            Err(_) if stops => {}
            Err(error) => return Err(error),
        }
        let claimed = match &command {
            Command::OrderCreate(new) => {
                actor.check(Command::ORDER_NEEDS, self.now())?;
                Some(Box::pin(self.create_order(org, new.clone(), actor, Some(once))).await)
            }
            Command::OrderChange(asked) => {
                actor.check(Command::ORDER_NEEDS, self.now())?;
                Some(Box::pin(self.change_order(org, asked.clone(), actor, Some(once))).await)
            }
            _ => None,
        };
        match claimed {
            Some(Ok(Claimed::First(value))) => {
                return Ok(Performed { outcome: Ok(value), replayed: false });
            }
            // Another node was faster.
            Some(Ok(Claimed::Before)) => {
                return repeat(self.stored(&claim).await?.ok_or_else(in_flight)?, once);
            }
            Some(Err(error)) => return Ok(Performed { outcome: Err(error), replayed: false }),
            None => {}
        }
        let claiming = actor.claiming(claim.clone(), once.fingerprint);
        let outcome = self.execute(command, &claiming).await;
        if let Ok(value) = &outcome {
            let answer = without_secrets(value.clone()).to_string();
            let (row, answered) = (claim.clone(), once.answered(answer, self.now()));
            let written =
                self.parts.journal.write(Urgency::Now, async move |tx: &mut Tx<'_>, _| {
                    idempotency::answer(tx, &row, &answered).await
                });
            // What was asked for is done: an answer that is not kept does not undo it.
            match tokio::time::timeout(ANSWER_WAIT, written).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(error = %error.0, "an answer was not kept"),
                Err(_) => tracing::error!("an answer was not kept in time"),
            }
        }
        Ok(Performed { outcome, replayed: false })
    }

    /// Notes that the request under this key is being carried out, unless it already is.
    pub(crate) fn take_off(&self, claim: &Claim) -> Result<Flight<'_>, CommandError> {
        self.parts.in_flight.begin(claim).ok_or_else(|| refused(Code::IdempotencyInFlight))
    }

    /// The answer to an earlier request under this key, which must have been the same.
    pub(crate) async fn kept_answer(
        &self,
        claim: &Claim,
        once: &OnceKey,
    ) -> Result<Option<Stored>, CommandError> {
        match self.stored(claim).await? {
            Some(stored) if stored.fingerprint != once.fingerprint => {
                Err(refused(Code::IdempotencyKeyReused))
            }
            stored => Ok(stored),
        }
    }

    async fn stored(&self, claim: &Claim) -> Result<Option<Stored>, CommandError> {
        idempotency::find(&self.parts.store, claim).await.map_err(|error| away(&error))
    }
}

/// An answer that is no order.
pub(crate) fn kept(once: &OnceKey, answer: String, now: Timestamp) -> Stored {
    once.answered(answer, now)
}

fn repeat(stored: Stored, once: &OnceKey) -> Result<Performed, CommandError> {
    if stored.fingerprint != once.fingerprint {
        return Err(refused(Code::IdempotencyKeyReused));
    }
    let unreadable =
        |_| CommandError::Unavailable { detail: "a stored answer is unreadable".into() };
    let Some(answer) = stored.answer else {
        return Err(CommandError::Refused {
            code: Code::IdempotencyInFlight,
            detail: "The first request with this idempotency key was carried out, but its answer \
                     is not known: look at what there is."
                .to_owned(),
        });
    };
    let outcome = match stored.refusal.as_deref().and_then(Code::from_text) {
        None => Ok(serde_json::from_str(&answer).map_err(unreadable)?),
        Some(code) => {
            let no: StoredNo = serde_json::from_str(&answer).map_err(unreadable)?;
            Err(OrderNo {
                code,
                detail: no.detail,
                order_id: no.order_id,
                input: no.input,
                limit: no.limit,
            }
            .into())
        }
    };
    Ok(Performed { outcome, replayed: true })
}

fn refused(code: Code) -> CommandError {
    CommandError::Refused { code, detail: code.meaning().to_owned() }
}

/// Forgets old answers.
pub(crate) async fn purge(shared: &Arc<crate::Shared>) {
    let horizon = shared.environment.now().minus(ANSWERS_KEPT);
    let purged = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, _: &mut Effects| {
            idempotency::purge(tx, horizon).await
        })
        .await;
    if let Err(error) = purged {
        tracing::error!(error = %error.0, "old answers were not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_quoted_or_bare() {
        let read = |header| OnceKey::read(header, "POST", "/api/v1/orders", b"{}");
        assert_eq!(read("\"abc-1\""), read("abc-1"));
        assert!(read("8e03978e-40d5-43e8-bc93-6894a57f9324").is_some());
        for wrong in ["", "\"\"", "a b", "\"a", "a\"b", "ü", "a\\b", &"x".repeat(129)] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn another_request_has_another_fingerprint() {
        let read = |path, body| OnceKey::read("k", "POST", path, body).unwrap();
        assert_ne!(read("/a", b"{}"), read("/b", b"{}"));
        assert_ne!(read("/a", b"{}"), read("/a", b"{ }"));
        assert_eq!(read("/a", b"{}"), read("/a", b"{}"));
    }

    #[test]
    fn what_is_shown_once_is_not_kept() {
        let kept = without_secrets(serde_json::json!({"id": "whk_1", "secret": "s", "token": "t"}));
        assert_eq!(kept, serde_json::json!({"id": "whk_1"}));
    }
}
