//! Signals that a key signs. They are judged as those at a webhook are, but for who the sender is:
//! the request was authenticated and its quota drawn on before, and its nonce and idempotency key
//! are claimed in the transaction of the signal.
//!
//! Crash story: as of every signal. The kept answer is part of the same transaction, so who asks
//! again under the same idempotency key gets it whenever the process died.

use super::{Delivery, Received, describe, fresh, mask_card_numbers, never_short, reduces, told};
use crate::Engine;
use crate::actor::{Actor, Who};
use crate::command::error::CommandError;
use crate::directory::Directory;
use crate::once::{OnceKey, kept};
use crate::signal::{Admission, NotAdmitted, SignalOutcome, SignalWork, Signed, micros_between};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::key::{ApiKey, KeyState};
use tradewarden_domain::quota::Budget;
use tradewarden_domain::signal::{self, Action, FieldError, STRATEGY_ID, Signal};
use tradewarden_domain::source::Source;
use tradewarden_domain::time::Timestamp;
use tradewarden_domain::webhook::MAX_AGE_S_DEFAULT;
use tradewarden_seal::Digest;
use tradewarden_store::idempotency::{Claim, Stored};
use tradewarden_store::signals::StoredSignal;

/// A signed request with a signal, as it was received.
pub struct SignedSignal {
    /// The body, at most 64 KiB.
    pub body: Vec<u8>,
    /// The request asks for judgement only.
    pub dry_run: bool,
    /// The caller's own key for the request.
    pub once: Option<OnceKey>,
}

/// What to answer to it.
pub struct SignedAnswer {
    /// What became of it.
    pub received: Received,
    /// Whether it is the answer to an earlier request.
    pub replayed: bool,
}

impl SignedAnswer {
    const fn first(received: Received) -> Self {
        Self { received, replayed: false }
    }
}

/// An answer as it is kept under an idempotency key.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptAnswer {
    pub(crate) received_at: Timestamp,
    pub(crate) outcome: SignalOutcome,
}

impl Engine {
    /// What a signed request with this body draws on: an exit is never kept waiting by entries (S16).
    pub fn signal_budget(body: &[u8]) -> Budget {
        let is_exit = match signal::read(body, None).signal {
            Ok(signal) => signal.is_exit(),
            Err(error) => error.of_exit,
        };
        if is_exit { Budget::Reducing } else { Budget::Orders }
    }

    /// Takes a signal of the key that signed the request. The answer is durable.
    pub async fn receive_signed(
        &self,
        signal: SignedSignal,
        actor: &Actor,
    ) -> Result<SignedAnswer, CommandError> {
        let Who::Key(known) = actor.who() else {
            let detail = "A signal comes through a webhook or is signed with a key; people place \
                          orders.";
            return Err(CommandError::Refused {
                code: Code::AuthPermission,
                detail: detail.to_owned(),
            });
        };
        let SignedSignal { body, dry_run, once } = signal;
        let pepper = &self.parts.people.pepper;
        let once = once.map(|once| (once.claim(known.key.org_id, actor, pepper), once));
        let Some((claim, asked)) = once.clone() else {
            let work = self.signed_work(&known.key, &body, dry_run, (actor, None));
            return Ok(SignedAnswer::first(self.journaled(work, actor).await));
        };
        let _flight = self.take_off(&claim)?;
        if let Some(stored) = self.kept_answer(&claim, &asked).await? {
            return repeated(&stored);
        }
        let work = self.signed_work(&known.key, &body, dry_run, (actor, once));
        let received = self.journaled(work, actor).await;
        if matches!(received, Received::Unavailable(Code::IdempotencyInFlight))
            && let Some(stored) = self.kept_answer(&claim, &asked).await?
        {
            // Another node was faster.
            return repeated(&stored);
        }
        Ok(SignedAnswer::first(received))
    }

    fn signed_work(
        &self,
        key: &ApiKey,
        body: &[u8],
        asks_dry_run: bool,
        (actor, once): (&Actor, Option<(Claim, OnceKey)>),
    ) -> SignalWork {
        let received_at = self.now();
        let directory = self.parts.directory.load();
        let source = directory.source_of(key);
        let never_short = never_short(directory.followers(source));
        let mut read = signal::read(body, None);
        let mut trace = Trace::new();
        for name in ["size", "signature"] {
            trace.pass(name);
        }
        let holds_card_number = mask_card_numbers(&mut read.redacted, &mut trace);
        let of_exit = reduces(&read.signal);
        let admitted = admit(key, read.signal, received_at, never_short, &mut trace);
        let (admission, strategy_id, sent_ahead) = match admitted {
            Ok((signal, strategy_id, sent_ahead)) => {
                (Admission::Admitted(Box::new(signal)), strategy_id, sent_ahead)
            }
            Err(no) => (Admission::Refused(NotAdmitted { reduces: of_exit, ..no }), None, None),
        };
        trace.took(micros_between(received_at, self.now()));
        let body_sha256 = *Digest::sha256(&read.redacted).as_bytes();
        SignalWork {
            signal_id: self.parts.environment.id(received_at),
            received_at,
            org_id: key.org_id,
            source,
            strategy_id,
            signed: Some(Box::new(Signed { actor: actor.clone(), once })),
            dry_run: asks_dry_run || admission.asks_dry_run(),
            answer_was_lost: self.parts.undelivered.holds(source, &body_sha256, received_at),
            sent_ahead,
            body: read.redacted,
            body_sha256,
            holds_card_number,
            admission,
            trace,
        }
    }

    async fn journaled(&self, work: SignalWork, actor: &Actor) -> Received {
        let received_at = work.received_at;
        let delivery = Delivery::pending(&self.parts.undelivered, &work);
        match self.parts.journal.signal(work).await {
            Err(code @ (Code::NotDurable | Code::Overloaded)) => Received::Unavailable(code),
            Err(code) => {
                actor.is_written();
                delivery.delivered();
                match code {
                    Code::Unauthenticated => Received::Unauthenticated,
                    _ => Received::Unavailable(code),
                }
            }
            Ok(outcome) => {
                actor.is_written();
                told(outcome, received_at, delivery)
            }
        }
    }
}

/// A signal, which strategy it means, and the time of sending that lies too far in the future (S13).
type Admitted = (Signal, Option<Id<id::Strategy>>, Option<Timestamp>);

/// Readability, the key's state, freshness. The quota was drawn on before.
fn admit(
    key: &ApiKey,
    signal: Result<Signal, FieldError>,
    now: Timestamp,
    never_short: bool,
    trace: &mut Trace,
) -> Result<Admitted, NotAdmitted> {
    let (mut signal, strategy_id) = read(signal).inspect_err(|no| {
        trace.fail("parse", &no.refusal);
    })?;
    trace.pass_with("parse", describe(&signal), None);
    if key.state == KeyState::Suspended && !signal.only_reduces() {
        let no = Refusal::because(Code::AuthPermission, "A suspended key only closes.");
        trace.fail("key", &no);
        return Err(no.into());
    }
    let reduces = signal.only_reduces() || (signal.action == Action::Sell && never_short);
    let sent_ahead = fresh(&mut signal, now, MAX_AGE_S_DEFAULT, reduces, trace)?;
    Ok((signal, strategy_id, sent_ahead))
}

/// The signal, and which strategy of the key it means.
fn read(
    signal: Result<Signal, FieldError>,
) -> Result<(Signal, Option<Id<id::Strategy>>), NotAdmitted> {
    let mut signal = signal.map_err(|error| NotAdmitted::unreadable(&error))?;
    let Some(text) = signal.strategy_id.take() else { return Ok((signal, None)) };
    signal.unknown_fields.retain(|name| name != STRATEGY_ID);
    match text.parse() {
        Ok(id) => Ok((signal, Some(id))),
        Err(_) => Err(NotAdmitted {
            field: Some(STRATEGY_ID.to_owned()),
            ..Refusal::because(Code::StrategyNone, "strategy_id names no strategy.").into()
        }),
    }
}

/// The first answer, again.
fn repeated(stored: &Stored) -> Result<SignedAnswer, CommandError> {
    let answer = stored.answer.as_deref().unwrap_or_default();
    let KeptAnswer { received_at, outcome } = serde_json::from_str(answer).map_err(|_| {
        CommandError::Unavailable { detail: "a stored answer is unreadable".to_owned() }
    })?;
    Ok(SignedAnswer { received: told(outcome, received_at, Delivery::none()), replayed: true })
}

impl KeptAnswer {
    /// The row that keeps it.
    pub(crate) fn row(&self, once: &OnceKey, now: Timestamp) -> Stored {
        // Writing strings and numbers to JSON cannot fail.
        kept(once, serde_json::to_string(self).unwrap_or_default(), now)
    }
}

/// A stored signal as a strategy would see it again; `None` if its webhook is gone.
pub(crate) fn read_again(
    directory: &Directory,
    stored: &StoredSignal,
    body: Vec<u8>,
    signed_by: Option<Id<id::Key>>,
) -> Option<SignalWork> {
    let (read, signed) = match stored.source {
        Source::Webhook(id) => {
            let door = directory.doors.get(&id)?;
            let signal = signal::read(&body, door.webhook.mapping.as_deref()).signal;
            let signal = signal.map_err(|error| NotAdmitted::unreadable(&error));
            (signal.map(|signal| (signal, None)), None)
        }
        // Those that follow on a key may do what it may, but each has limits of its own.
        Source::Key(first) => {
            let id = signed_by.unwrap_or(first);
            let actor = Actor::key(Arc::clone(directory.keys.get(&id)?));
            (read(signal::read(&body, None).signal), Some(Box::new(Signed { actor, once: None })))
        }
    };
    let mut trace = Trace::new();
    let (admission, strategy_id) = match read {
        Ok((signal, strategy_id)) => {
            trace.pass("parse");
            (Admission::Admitted(Box::new(signal)), strategy_id)
        }
        Err(no) => (Admission::Refused(no), None),
    };
    Some(SignalWork {
        signal_id: stored.id,
        received_at: stored.received_at,
        org_id: stored.org_id,
        source: stored.source,
        strategy_id,
        signed,
        admission,
        dry_run: true,
        answer_was_lost: false,
        sent_ahead: None,
        body,
        body_sha256: stored.body_sha256,
        holds_card_number: stored.checks.contains("\"name\":\"card_number\""),
        trace,
    })
}
