//! Intake: a request becomes an authenticated, admitted signal, or one of the answers in which
//! nothing was learned. What needs the database is left to the journal.

mod signed;

pub(crate) use self::signed::{KeptAnswer, read_again};
pub use self::signed::{SignedAnswer, SignedSignal};
pub use crate::signal::{AccountResult, SignalStatus};
use crate::signal::{Admission, NotAdmitted, SignalOutcome, SignalWork, micros_between};

use crate::Engine;
use crate::client_certificate;
use crate::directory::{Budget, Door};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::admit::{Freshness, freshness};
use tradewarden_domain::card_number;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::Side;
use tradewarden_domain::signal::{self, Action, Body, FieldError, Mapping, Signal};
use tradewarden_domain::source::Source;
use tradewarden_domain::strategy::Strategy;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, HashedToken, SecretString, standard_webhooks};

/// A secret as a request presented it; it cannot be printed.
pub struct Presented(SecretString);

impl Presented {
    /// Wraps the secret.
    pub fn new(secret: String) -> Self {
        Self(SecretString::new(secret))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The headers of a Standard Webhooks signature.
pub struct SignatureHeaders {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, seconds since 1970.
    pub timestamp: String,
    /// `webhook-signature`, one or more.
    pub signature: String,
}

/// A request at a webhook, as it was received: bounded, nothing else.
pub struct RawSignal {
    /// The token in the path.
    pub token: String,
    /// The secret in the query.
    pub query_secret: Option<Presented>,
    /// The secret in the header.
    pub header_secret: Option<Presented>,
    /// The signature headers.
    pub signature: Option<SignatureHeaders>,
    /// The sender's TLS client certificate, DER, if it showed one that verified.
    pub client_certificate: Option<Vec<u8>>,
    /// The sender's address.
    pub address: IpAddr,
    /// The request asks for judgement only.
    pub dry_run: bool,
    /// The body, at most 64 KiB.
    pub body: Vec<u8>,
}

/// What to answer.
pub enum Received {
    /// One answer for an unknown token, a missing and a wrong secret.
    Unauthenticated,
    /// It is stored; this came of it.
    Answer(Box<SignalAnswer>),
    /// It could not be made durable; sending it again is safe.
    Unavailable(Code),
}

/// The answer to a stored signal.
pub struct SignalAnswer {
    /// The signal; of a duplicate, the first one.
    pub signal_id: Id<id::Signal>,
    /// What became of it.
    pub status: SignalStatus,
    /// Why, unless accepted.
    pub code: Option<Code>,
    /// The same in a sentence.
    pub message: String,
    /// When it was received.
    pub timestamp: Timestamp,
    /// What became of it on each account.
    pub accounts: Vec<AccountResult>,
    /// The field that is wrong, if one is.
    pub field: Option<String>,
    /// What was asked for, if a rule compared.
    pub input: Option<String>,
    /// What is allowed, if a rule compared.
    pub limit: Option<String>,
    /// Seconds after which a limited request may come again.
    pub retry_after_s: Option<u64>,
    /// Tells whether the answer was delivered.
    pub delivery: Delivery,
}

/// A body by its source and hash, and when it was received.
type UndeliveredBody = (Source, [u8; 32], Timestamp);

/// Bodies whose answer did not reach the sender, newest last (S15): what comes again without an id
/// within a minute is the same.
#[derive(Default)]
pub(crate) struct Undelivered {
    bodies: Mutex<Vec<UndeliveredBody>>,
}

const UNDELIVERED_MAX: usize = 10_000;
const UNDELIVERED_SPAN: Duration = Duration::from_mins(1);

impl Undelivered {
    fn add(&self, source: Source, body: [u8; 32], at: Timestamp) {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let horizon = at.minus(UNDELIVERED_SPAN);
        bodies.retain(|(_, _, at)| *at >= horizon);
        if bodies.len() < UNDELIVERED_MAX {
            bodies.push((source, body, at));
        }
    }

    fn holds(&self, source: Source, body: &[u8; 32], now: Timestamp) -> bool {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let horizon = now.minus(UNDELIVERED_SPAN);
        bodies.iter().any(|(of, hash, at)| *of == source && hash == body && *at >= horizon)
    }
}

/// Dropping it says that the answer did not reach the sender.
pub struct Delivery {
    pending: Option<(Arc<Undelivered>, UndeliveredBody)>,
}

impl Delivery {
    /// Of a signal that is about to be journaled.
    fn pending(undelivered: &Arc<Undelivered>, work: &SignalWork) -> Self {
        let body = (work.source, work.body_sha256, work.received_at);
        Self { pending: Some((Arc::clone(undelivered), body)) }
    }

    /// Of an answer that is kept anyway.
    const fn none() -> Self {
        Self { pending: None }
    }

    /// The answer was written out.
    pub fn delivered(mut self) {
        self.pending = None;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some((undelivered, (source, body, at))) = self.pending.take() {
            undelivered.add(source, body, at);
        }
    }
}

impl Engine {
    /// Takes a request in: authenticates, admits, journals. The answer is durable.
    pub async fn receive(&self, raw: RawSignal) -> Received {
        let received_at = self.now();
        let directory = self.parts.directory.load_full();
        let door = directory.door(&raw.token).cloned();
        let mapping = door.as_ref().and_then(|door| door.webhook.mapping.as_deref());
        let mut body = signal::read(&raw.body, mapping);
        let is_closed = self.parts.vault.lacks_keys();
        let since = self.parts.signed_since;
        let proof = authenticate(door.as_deref(), &raw, &body, (received_at, since), is_closed);
        if proof == Proof::Closed {
            return Received::Unavailable(Code::VaultClosed);
        }
        let (Some(door), Proof::Right) = (door, proof) else {
            self.parts.counters.unauthenticated();
            self.parts.denials.count(raw.address.to_canonical());
            return Received::Unauthenticated;
        };
        conceal_presented(&mut body, &raw, door.webhook.mapping.as_deref());
        let mut trace = Trace::new();
        for name in ["size", "token", "secret"] {
            trace.pass(name);
        }
        let holds_card_number = mask_card_numbers(&mut body.redacted, &mut trace);
        let body_sha256 = *Digest::sha256(&body.redacted).as_bytes();
        let signal = body.signal.map(|signal| with_message_id(signal, raw.signature.as_ref()));
        let reduces = reduces(&signal);
        let never_short = never_short(directory.followers(Source::Webhook(door.webhook.id)));
        let admitted = admit(&door, &raw, signal, received_at, never_short, &mut trace);
        trace.took(micros_between(received_at, self.now()));
        let (admission, sent_ahead) = match admitted {
            Ok((signal, sent_ahead)) => (Admission::Admitted(Box::new(signal)), sent_ahead),
            Err(no) => (Admission::Refused(NotAdmitted { reduces, ..no }), None),
        };
        let source = Source::Webhook(door.webhook.id);
        let undelivered = &self.parts.undelivered;
        let work = SignalWork {
            signal_id: self.parts.environment.id(received_at),
            received_at,
            org_id: door.webhook.org_id,
            source,
            strategy_id: None,
            signed: None,
            dry_run: raw.dry_run || door.webhook.dry_run || admission.asks_dry_run(),
            answer_was_lost: undelivered.holds(source, &body_sha256, received_at),
            sent_ahead,
            body: body.redacted,
            body_sha256,
            holds_card_number,
            admission,
            trace,
        };
        let delivery = Delivery::pending(undelivered, &work);
        match self.parts.journal.signal(work).await {
            Err(code) => Received::Unavailable(code),
            Ok(outcome) => told(outcome, received_at, delivery),
        }
    }
}

/// A number that looks like a payment card's is kept masked, and the signal opens nothing (product.md
/// section 8). What closes passes: one in ten of all long numbers looks like that, and an exit must not
/// wait for who can tell (S18).
fn mask_card_numbers(stored: &mut Vec<u8>, trace: &mut Trace) -> bool {
    let masked = card_number::masked(stored);
    let holds_one = masked.is_some();
    if let Some(masked) = masked {
        *stored = masked;
        trace.skip(
            "card_number",
            "what looks like a payment card's number is masked in what is kept",
        );
    }
    holds_one
}

fn told(outcome: SignalOutcome, received_at: Timestamp, delivery: Delivery) -> Received {
    Received::Answer(Box::new(SignalAnswer {
        signal_id: outcome.signal_id,
        status: outcome.status,
        code: outcome.code,
        message: outcome.message,
        timestamp: received_at,
        accounts: outcome.accounts,
        field: outcome.field,
        input: outcome.input,
        limit: outcome.limit,
        retry_after_s: outcome.retry_after_s,
        delivery,
    }))
}

/// Whether none of these strategies goes short: then a sell closes or is skipped, and its age is an exit's.
pub(super) fn never_short(followers: &[Arc<Strategy>]) -> bool {
    !followers.is_empty() && !followers.iter().any(|strategy| strategy.opens(Side::Sell))
}

/// Whether the body by its own words only reduces, as far as it can be read.
fn reduces(signal: &Result<Signal, FieldError>) -> bool {
    match signal {
        Ok(signal) => signal.only_reduces(),
        Err(error) => error.of_exit,
    }
}

/// What the credentials of a request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Right,
    Wrong,
    /// The signature may be right: the secret is sealed, and secrets are closed.
    Closed,
}

/// Whether the request proves that it may use the door. The same work is done whether the token
/// exists or not, and whichever forms are presented: three hashes and three comparisons.
///
/// While secrets are closed, a signature that may be right is answered the same at every token: nobody
/// learns which there are.
fn authenticate(
    door: Option<&Door>,
    raw: &RawSignal,
    body: &Body,
    (now, signed_since): (Timestamp, Timestamp),
    is_closed: bool,
) -> Proof {
    let dummy = HashedToken::dummy();
    let hash = door.map_or(&dummy, |door| &door.secret);
    let previous =
        door.and_then(|door| door.previous.as_ref()).filter(|previous| now < previous.valid_until);
    let previous_hash = previous.map_or(&dummy, |previous| &previous.secret);
    let forms = door.map(|door| door.webhook.forms);
    let presented = [
        (raw.query_secret.as_ref().map(|secret| secret.0.expose()), forms.is_some_and(|f| f.query)),
        (
            raw.header_secret.as_ref().map(|secret| secret.0.expose()),
            forms.is_some_and(|f| f.header),
        ),
        (body.secret.as_ref().map(signal::BodySecret::expose), forms.is_some_and(|f| f.body)),
    ];
    let (mut proofs, mut failures, mut unjudged) = (0_u8, 0_u8, false);
    for (secret, form_is_on) in presented {
        let shown = secret.unwrap_or_default().as_bytes();
        // Both, whatever the first says: the work must not tell which secret it was.
        let right = hash.verify(shown) | previous_hash.verify(shown);
        match (secret, right && form_is_on) {
            (None, _) => {}
            (Some(_), true) => proofs = proofs.saturating_add(1),
            (Some(_), false) => failures = failures.saturating_add(1),
        }
    }
    if let Some(headers) = &raw.signature {
        let taken = door.filter(|door| door.webhook.forms.signature);
        let secrets = [
            taken.and_then(|door| door.signing_secret.as_ref()),
            taken.and(previous).and_then(|previous| previous.signing_secret.as_ref()),
        ];
        let SignatureHeaders { id, timestamp, signature } = headers;
        let now_unix_s = now.unix_seconds();
        let signed = secrets.into_iter().flatten().any(|secret| {
            standard_webhooks::verify(secret, id, timestamp, signature, &raw.body, now_unix_s)
                .is_ok()
        });
        let could_be = || {
            standard_webhooks::could_be_right(id, timestamp, signature, &raw.body, now_unix_s)
                .is_ok()
        };
        // What was signed before a restore may have been carried out in what it lost.
        let sent_unix_s = timestamp.parse::<i64>();
        let is_since = sent_unix_s.is_ok_and(|sent| sent > signed_since.unix_seconds());
        if signed && is_since {
            proofs = proofs.saturating_add(1);
        } else if is_closed && could_be() {
            unjudged = true;
        } else {
            failures = failures.saturating_add(1);
        }
    }
    match (failures, proofs, unjudged) {
        (0, _, true) => Proof::Closed,
        (0, 1.., false) if door.is_some() => Proof::Right,
        _ => Proof::Wrong,
    }
}

/// The id that a signed message has is the signal's, unless its body says one: who has heard the
/// message cannot send it again (Standard Webhooks, "Verifying webhook authenticity").
fn with_message_id(mut signal: Signal, signature: Option<&SignatureHeaders>) -> Signal {
    if signal.id.is_none() {
        signal.id = signature.map(|headers| headers.id.clone());
    }
    signal
}

/// A body may repeat the secret that another form has proven.
fn conceal_presented(body: &mut Body, raw: &RawSignal, mapping: Option<&Mapping>) {
    for presented in [&raw.query_secret, &raw.header_secret].into_iter().flatten() {
        signal::conceal_shown(body, presented.0.expose(), mapping);
    }
}

/// Client certificate, address, flood cap, readability, budget, freshness: in this order (C1). A
/// time of sending that lies too far in the future is taken out of the signal, and answered beside
/// it (S13).
fn admit(
    door: &Door,
    raw: &RawSignal,
    signal: Result<Signal, signal::FieldError>,
    now: Timestamp,
    never_short: bool,
    trace: &mut Trace,
) -> Result<(Signal, Option<Timestamp>), NotAdmitted> {
    client_certificate::judge(
        door.webhook.client_certificate.as_deref(),
        raw.client_certificate.as_deref(),
        trace,
    )?;
    let address = raw.address.to_canonical();
    if !door.admits(address) {
        let refusal = Refusal {
            code: Code::AddressNotAllowed,
            input: Some(address.to_string()),
            limit: None,
            detail: format!("{address} is not on this webhook's allow-list."),
        };
        trace.fail("address", &refusal);
        return Err(refusal.into());
    }
    trace.pass("address");
    draw(door, Budget::Flood, "flood", Code::LimitFlood, now, trace)?;
    let mut signal = signal.map_err(|error| {
        let no = NotAdmitted::unreadable(&error);
        trace.fail("parse", &no.refusal);
        no
    })?;
    trace.pass_with("parse", describe(&signal), None);
    // The budget of exits is for what says by its words that it is one (C1).
    let budget = if signal.is_exit() { Budget::Exits } else { Budget::Entries };
    draw(door, budget, "rate", Code::LimitRate, now, trace)?;
    in_list(&door.webhook.symbols, &signal, trace)?;
    let reduces = signal.only_reduces() || (signal.action == Action::Sell && never_short);
    let sent_ahead = fresh(&mut signal, now, door.webhook.max_age_s, reduces, trace)?;
    Ok((signal, sent_ahead))
}

/// Whether an entry is young enough. A time of sending that lies too far in the future is taken out of
/// the signal, and given back.
fn fresh(
    signal: &mut Signal,
    now: Timestamp,
    max_age_s: u32,
    reduces: bool,
    trace: &mut Trace,
) -> Result<Option<Timestamp>, Refusal> {
    match freshness(signal.sent_at, now, max_age_s, reduces) {
        Freshness::Fresh => trace.pass("freshness"),
        Freshness::Unstated => trace.skip("freshness", "the signal states no time of sending"),
        Freshness::Future => {
            trace.skip("freshness", "the stated time lies more than 10 s in the future");
            return Ok(signal.sent_at.take());
        }
        Freshness::Stale(refusal) => {
            trace.fail("freshness", &refusal);
            return Err(refusal);
        }
    }
    Ok(None)
}

/// Whether the webhook's list has the symbol that the signal names. What closes is let through (S18),
/// and so is a signal that names none.
fn in_list(symbols: &[Symbol], signal: &Signal, trace: &mut Trace) -> Result<(), Refusal> {
    let Some(ticker) = signal.ticker_symbol().filter(|_| !symbols.is_empty()) else {
        return Ok(());
    };
    if symbols.iter().any(|symbol| symbol.as_str() == ticker) {
        trace.pass_with("symbols", ticker, None);
        return Ok(());
    }
    let no = Refusal {
        input: Some(ticker.clone()),
        ..Refusal::because(Code::SignalSymbol, format!("{ticker} is not on this webhook's list."))
    };
    if signal.only_reduces() {
        trace.not_enforced("symbols", &no);
        return Ok(());
    }
    trace.fail("symbols", &no);
    Err(no)
}

fn draw(
    door: &Door,
    budget: Budget,
    name: &'static str,
    code: Code,
    now: Timestamp,
    trace: &mut Trace,
) -> Result<(), NotAdmitted> {
    match door.draw(budget, now) {
        Ok(()) => {
            trace.pass(name);
            Ok(())
        }
        Err(wait) => {
            let refusal = Refusal::plain(code);
            trace.fail(name, &refusal);
            let wait_s = wait.as_micros().div_ceil(1_000_000).max(1);
            Err(NotAdmitted {
                retry_after_s: Some(u32::try_from(wait_s).unwrap_or(1)),
                ..refusal.into()
            })
        }
    }
}

/// What was understood, for the trace.
fn describe(signal: &Signal) -> String {
    let mut words = vec![signal.form.to_string(), signal.action.to_string()];
    if signal.is_exit() {
        words.push(format!("exit {} %", signal.exit_percent()));
    }
    if !signal.unknown_fields.is_empty() {
        words.push(format!("unknown fields: {}", signal.unknown_fields.join(", ")));
    }
    words.extend(signal.notes.iter().cloned());
    words.join("; ")
}
