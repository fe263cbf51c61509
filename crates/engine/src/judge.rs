//! The judge: inside the journal's transaction, every signal of a batch in its order. Is it a
//! duplicate, what does its strategy make of it, does risk let it pass; then signal, orders,
//! exposure and audit entries are written together.

use crate::Shared;
use crate::book::{Book, Effects, Scope, Severity, order_payload, place_of};
use crate::intake::{AccountResult, SignalStatus};
use crate::journal::{Admission, SignalOutcome, SignalWork};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Class, Code, Refusal};
use tradewarden_domain::halt::HaltSubject;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::order::{Order, OrderEvent, OrderState, Purpose, Side};
use tradewarden_domain::risk::{self, Cleared};
use tradewarden_domain::signal::{Action, QuantityField, Signal};
use tradewarden_domain::strategy::{Decision, RemovedEntries, Strategy};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::Digest;
use tradewarden_store::exposures::Place;
use tradewarden_store::signals::{self, Claim, Key, StoredSignal};
use tradewarden_store::{Error, Tx};

/// An id is remembered so long (C3).
const ID_SPAN: Duration = Duration::from_secs(24 * 3_600);
/// A body without an id is the same for so long,
const BODY_SPAN: Duration = Duration::from_secs(1);
/// and for so long if the first answer may not have reached the sender (S15).
const LOST_ANSWER_SPAN: Duration = Duration::from_secs(60);

/// Judges the signals of a batch in one transaction; one outcome for each, in order.
pub(crate) async fn judge(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
    effects: &mut Effects,
) -> Result<Vec<SignalOutcome>, Error> {
    if works.is_empty() {
        return Ok(Vec::new());
    }
    let mut book = Book::load(tx, shared, &scope(shared, works)).await?;
    let mut firsts = claim_keys(tx, shared, works).await?;
    let mut rows = Vec::with_capacity(works.len());
    let mut bodies = Vec::with_capacity(works.len());
    let mut outcomes: Vec<SignalOutcome> = Vec::with_capacity(works.len());
    for (place, work) in works.iter().enumerate() {
        let first = match firsts.remove(&place) {
            Some(First::Stored(first)) => Some(*first),
            Some(First::InBatch(earlier)) => outcomes.get(earlier).cloned(),
            Some(First::OtherBody) => {
                let (outcome, trace) = id_conflict(work);
                alert(shared, &mut book, work, &outcome);
                store(shared, &mut book, work, &outcome, &trace, &mut rows, &mut bodies);
                outcomes.push(outcome);
                continue;
            }
            None => None,
        };
        if let Some(first) = first {
            outcomes.push(repeat(first));
            continue;
        }
        let started = shared.environment.now();
        let mut trace = work.trace.clone();
        let outcome = match &work.admission {
            Admission::Refused(no) => SignalOutcome {
                field: no.field.clone(),
                retry_after_s: no.retry_after_s,
                ..refused(work.signal_id, &no.refusal)
            },
            Admission::Admitted(signal) => {
                trace.pass("duplicate");
                let outcome = trade(shared, &mut book, work, signal, &mut trace);
                trace.took(crate::intake::micros_between(started, shared.environment.now()));
                outcome
            }
        };
        alert(shared, &mut book, work, &outcome);
        store(shared, &mut book, work, &outcome, &trace, &mut rows, &mut bodies);
        outcomes.push(outcome);
    }
    signals::insert(tx, rows, bodies).await?;
    book.write(tx, effects).await?;
    Ok(outcomes)
}

/// The accounts and pairs that the batch is about.
fn scope(shared: &Shared, works: &[&SignalWork]) -> Scope {
    let directory = shared.directory.load();
    let mut scope = Scope::default();
    for work in works {
        let Admission::Admitted(signal) = &work.admission else { continue };
        for strategy in directory.followers(work.door.webhook.id) {
            let Ok(symbol) = strategy.symbol_for(signal) else { continue };
            scope.add(strategy.org_id, strategy.account_id, &symbol);
            // An exit takes back unsent entries, and so does what is against them.
            match signal.action {
                _ if signal.is_exit() => {
                    scope.pairs_with_live_orders.insert((strategy.account_id, symbol));
                }
                Action::Buy | Action::Exit => {
                    let pair = (strategy.account_id, symbol, Side::Sell);
                    scope.pairs_with_live_entries.insert(pair);
                }
                Action::Sell => {
                    let pair = (strategy.account_id, symbol, Side::Buy);
                    scope.pairs_with_live_entries.insert(pair);
                }
            }
        }
    }
    scope
}

/// What came before a signal with the same key.
enum First {
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
async fn claim_keys(
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

fn outcome_of(stored: &StoredSignal) -> SignalOutcome {
    SignalOutcome {
        signal_id: stored.id,
        status: stored.status.parse().unwrap_or(SignalStatus::Refused),
        code: stored.code.as_deref().and_then(Code::from_text),
        message: stored.message.clone(),
        accounts: Vec::new(),
        field: None,
        input: None,
        limit: None,
        retry_after_s: None,
    }
}

/// A duplicate repeats the first outcome: a refusal stays a refusal.
fn repeat(first: SignalOutcome) -> SignalOutcome {
    match first.status {
        SignalStatus::Refused => first,
        _ => SignalOutcome {
            status: SignalStatus::Duplicate,
            message: "The same signal was received before; nothing was done again.".to_owned(),
            ..first
        },
    }
}

fn refused(signal_id: Id<id::Signal>, refusal: &Refusal) -> SignalOutcome {
    SignalOutcome {
        signal_id,
        status: SignalStatus::Refused,
        code: Some(refusal.code),
        message: refusal.detail.clone(),
        accounts: Vec::new(),
        field: None,
        input: refusal.input.clone(),
        limit: refusal.limit.clone(),
        retry_after_s: None,
    }
}

fn id_conflict(work: &SignalWork) -> (SignalOutcome, Trace) {
    let refusal = Refusal::plain(Code::DuplicateIdConflict);
    let mut trace = work.trace.clone();
    trace.fail("duplicate", &refusal);
    let field = Some("id".to_owned());
    (SignalOutcome { field, ..refused(work.signal_id, &refusal) }, trace)
}

/// Judges a signal for every strategy that follows its webhook.
fn trade(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    trace: &mut Trace,
) -> SignalOutcome {
    let directory = shared.directory.load();
    let followers = directory.followers(work.door.webhook.id);
    if followers.is_empty() {
        let refusal = Refusal::plain(Code::StrategyNone);
        trace.fail("strategy", &refusal);
        return refused(work.signal_id, &refusal);
    }
    // A dry run is judged on a copy that is thrown away.
    let mut scratch = work.dry_run.then(|| book.clone());
    let book = scratch.as_mut().unwrap_or(book);
    let mut results = Vec::with_capacity(followers.len());
    let mut first_no: Option<Refusal> = None;
    for strategy in followers {
        let result = match follow(shared, book, work, signal, strategy, trace) {
            Ok(order_ids) => AccountResult {
                account_id: strategy.account_id,
                strategy_id: strategy.id,
                result: SignalStatus::Accepted,
                code: None,
                order_id: order_ids.last().copied(),
                order_ids,
            },
            Err(no) => {
                let skip = no.code.class() == Class::Skip;
                let result = AccountResult {
                    account_id: strategy.account_id,
                    strategy_id: strategy.id,
                    result: if skip { SignalStatus::Skipped } else { SignalStatus::Refused },
                    code: Some(no.code),
                    order_id: None,
                    order_ids: Vec::new(),
                };
                first_no.get_or_insert(no);
                result
            }
        };
        results.push(result);
    }
    summarize(work, results, first_no)
}

/// Accepted if it was on any account, else skipped if it was on any, else refused.
fn summarize(
    work: &SignalWork,
    mut results: Vec<AccountResult>,
    first_no: Option<Refusal>,
) -> SignalOutcome {
    let any = |status| results.iter().any(|result: &AccountResult| result.result == status);
    let status = match () {
        () if any(SignalStatus::Accepted) => SignalStatus::Accepted,
        () if any(SignalStatus::Skipped) => SignalStatus::Skipped,
        () => SignalStatus::Refused,
    };
    let no = first_no.filter(|_| status != SignalStatus::Accepted);
    let message = match (&no, work.dry_run) {
        (Some(no), _) => no.detail.clone(),
        (None, true) => "Judged only: this would have been accepted.".to_owned(),
        (None, false) => "Journaled; the order goes out now.".to_owned(),
    };
    if work.dry_run {
        for result in &mut results {
            result.order_id = None;
            result.order_ids.clear();
        }
    }
    SignalOutcome {
        signal_id: work.signal_id,
        status: if work.dry_run { SignalStatus::DryRun } else { status },
        code: no.as_ref().map(|no| no.code),
        message,
        accounts: results,
        field: None,
        input: no.as_ref().and_then(|no| no.input.clone()),
        limit: no.as_ref().and_then(|no| no.limit.clone()),
        retry_after_s: None,
    }
}

/// What one strategy makes of a signal, up to its journaled orders.
fn follow(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    strategy: &Strategy,
    trace: &mut Trace,
) -> Result<Vec<Id<id::Order>>, Refusal> {
    let no = |trace: &mut Trace, name, refusal: Refusal| {
        if refusal.code.class() == Class::Skip {
            trace.not_enforced(name, &refusal);
        } else {
            trace.fail(name, &refusal);
        }
        Err(refusal)
    };
    let symbol = match strategy.symbol_for(signal) {
        Ok(symbol) => symbol,
        Err(refusal) => return no(trace, "strategy", refusal),
    };
    let place = Place {
        account_id: strategy.account_id,
        symbol: symbol.clone(),
        strategy_id: strategy.id,
    };
    let account = match crate::book::account(shared, strategy.account_id) {
        Some(account) if book.is_active(account.id) => account,
        _ => return no(trace, "account", Refusal::plain(Code::AccountOff)),
    };
    let Some(instrument) = account.instruments.get(&symbol) else {
        let detail = format!("{symbol} cannot be traded on account {}.", account.id);
        return no(trace, "instrument", Refusal::because(Code::RiskUnknownInstrument, detail));
    };
    let before = book.exposure(&place);
    if signal.is_exit()
        && let Some(refusal) = out_of_order(signal, before.entry_sent_at)
    {
        return no(trace, "order_of_time", refusal);
    }
    // An exit removes the unsent entries of its strategy (S2), and so does a signal against them
    // (S5). If it then is skipped or refused, nothing of that may stay, so it is done on a copy.
    let closes = closes(signal, &before);
    let mut after = book.clone_for_exit(!closes.is_empty());
    let removed = match &mut after {
        Some(copy) => remove_entries(shared, copy, &place, closes),
        None => RemovedEntries::None,
    };
    let judged = after.as_mut().unwrap_or(book);
    let exposure = judged.exposure(&place);
    let intents = match strategy.decide(signal, &exposure, instrument, removed) {
        Decision::Trade(intents) => intents,
        Decision::Skip(refusal) | Decision::Refuse(refusal) => {
            return no(trace, "strategy", refusal);
        }
    };
    trace.pass_with("strategy", format!("position {}", exposure.projected()), None);
    if signal.take_profit.is_some() || signal.stop_loss.is_some() {
        trace.skip("brackets", "take profit and stop loss are read, but not placed by this version");
    }
    let mut orders = Vec::with_capacity(intents.len());
    for intent in intents {
        let limits = judged.limits.get(&strategy.org_id);
        let context = risk::Context {
            halts: &judged.halts,
            subject: HaltSubject {
                org: strategy.org_id,
                account: account.id,
                strategy: Some(strategy.id),
                webhook: Some(work.door.webhook.id),
                symbol: &symbol,
            },
            limits: limits
                .map(|book| book.tightest(account.id, Some(strategy.id), &symbol))
                .unwrap_or_default(),
            exposure: judged.pair_exposure(account.id, &symbol),
            instrument,
            reference: shared.market.reference(&account, &symbol),
            stated_price: signal.price,
            orders_last_minute: judged.orders_last_minute(account.id),
            now: judged.now,
        };
        match risk::clear(intent, &context, trace) {
            Ok(cleared) => {
                let order = draft(shared, judged, work, strategy, &symbol, &cleared);
                orders.push(reserve(judged, order));
            }
            // A refused entry of a reversal stays flat; its exit goes on (S5).
            Err(_) if !orders.is_empty() => {}
            Err(refusal) => return Err(refusal),
        }
    }
    if orders.iter().any(|(_, purpose)| *purpose == Purpose::Entry) {
        judged.change_exposure(&place, |exposure| {
            exposure.entry_sent_at = exposure.entry_sent_at.max(signal.sent_at);
        });
    }
    if let Some(copy) = after {
        *book = copy;
    }
    Ok(orders.into_iter().map(|(id, _)| id).collect())
}

impl Book {
    fn clone_for_exit(&self, is_exit: bool) -> Option<Self> {
        is_exit.then(|| self.clone())
    }
}

/// An exit that was sent before an entry that is accepted already (S13).
fn out_of_order(signal: &Signal, entry_sent_at: Option<Timestamp>) -> Option<Refusal> {
    let (sent_at, entry_sent_at) = (signal.sent_at?, entry_sent_at?);
    (sent_at < entry_sent_at)
        .then(|| Refusal::over(Code::SignalOutOfOrder, sent_at, entry_sent_at))
}

/// The sides on which entries stand against the signal: those that it takes back.
fn closes(signal: &Signal, exposure: &Exposure) -> &'static [Side] {
    let side = match signal.action {
        Action::Exit => return &[Side::Buy, Side::Sell],
        Action::Buy => Side::Buy,
        Action::Sell => Side::Sell,
    };
    let opposes = side.opposite().signed(exposure.projected()).is_positive();
    match side {
        Side::Buy if signal.is_exit() || opposes => &[Side::Sell],
        Side::Sell if signal.is_exit() || opposes => &[Side::Buy],
        Side::Buy | Side::Sell => &[],
    }
}

/// Ends the strategy's unsent entries on the pair and asks for the others to be canceled.
fn remove_entries(
    shared: &Shared,
    book: &mut Book,
    place: &Place,
    sides: &[Side],
) -> RemovedEntries {
    let mut removed = RemovedEntries::None;
    for mut order in book.live_orders(place) {
        if order.purpose != Purpose::Entry || !sides.contains(&order.side) {
            continue;
        }
        if order.state == OrderState::Accepted {
            removed = RemovedEntries::Some;
            book.advance(&mut order, OrderEvent::Cancel, Some(Code::OrderSuperseded));
            book.enter(shared, order.org_id, order.id, "order.superseded", &order_payload(&order));
        } else {
            order.cancel_requested = true;
        }
        book.put_order(order);
    }
    removed
}

fn draft(
    shared: &Shared,
    book: &Book,
    work: &SignalWork,
    strategy: &Strategy,
    symbol: &Symbol,
    cleared: &Cleared,
) -> Order {
    let intent = cleared.intent();
    let send_within = Duration::from_secs(u64::from(strategy.send_within_s));
    Order {
        id: shared.environment.id(book.now),
        org_id: strategy.org_id,
        signal_id: Some(work.signal_id),
        account_id: strategy.account_id,
        strategy_id: Some(strategy.id),
        symbol: symbol.clone(),
        side: intent.side,
        order_type: intent.order_type,
        time_in_force: intent.time_in_force,
        quantity: intent.quantity,
        limit_price: intent.limit_price,
        stop_price: intent.stop_price,
        purpose: intent.purpose,
        state: OrderState::Accepted,
        code: None,
        filled_quantity: Quantity::ZERO,
        average_price: None,
        broker_order_id: None,
        cancel_requested: false,
        send_by: (intent.purpose == Purpose::Entry).then(|| work.received_at.plus(send_within)),
        attempt_until: None,
        limits_version: cleared.limits_version(),
        created_at: book.now,
        updated_at: book.now,
    }
}

fn reserve(book: &mut Book, order: Order) -> (Id<id::Order>, Purpose) {
    let (id, purpose) = (order.id, order.purpose);
    book.change_exposure(&place_of(&order), |exposure| {
        exposure.reserve(order.purpose, order.side, order.quantity);
    });
    if purpose == Purpose::Entry {
        book.count_order(order.account_id);
    }
    book.put_order(order);
    (id, purpose)
}

/// What S6, S13, S15 and S16 want a person to hear of.
fn alert(shared: &Shared, book: &mut Book, work: &SignalWork, outcome: &SignalOutcome) {
    let Some(code) = outcome.code else { return };
    let limited = matches!(code, Code::LimitRate | Code::LimitFlood);
    let alarming = matches!(
        code,
        Code::SignalExitSize
            | Code::SignalOutOfOrder
            | Code::DuplicateIdConflict
            | Code::StrategyWrongSide
    );
    let is_exit = matches!(&work.admission, Admission::Admitted(signal) if signal.is_exit());
    let exit_refused = is_exit && outcome.status == SignalStatus::Refused;
    let severity = match () {
        () if exit_refused => Severity::Critical,
        () if alarming => Severity::Warning,
        () if limited && shared.alerts.is_first(work.door.webhook.id, code, book.now) => {
            Severity::Warning
        }
        () => return,
    };
    let subject = format!("{} {}", work.door.webhook.id, work.signal_id);
    let org = work.door.webhook.org_id;
    book.find(shared, org, code.text(), severity, subject, outcome.message.clone());
}

/// Writes the signal's row and its audit entry.
fn store(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    outcome: &SignalOutcome,
    trace: &Trace,
    rows: &mut Vec<StoredSignal>,
    bodies: &mut Vec<([u8; 32], Vec<u8>)>,
) {
    let webhook = &work.door.webhook;
    let event = match outcome.status {
        SignalStatus::Accepted => "signal.accepted",
        SignalStatus::Skipped => "signal.skipped",
        SignalStatus::DryRun => "signal.dry_run",
        SignalStatus::Refused | SignalStatus::Duplicate => "signal.refused",
    };
    let orders: Vec<_> = outcome
        .accounts
        .iter()
        .flat_map(|result| &result.order_ids)
        .filter_map(|id| book.changed_order(*id))
        .map(order_payload)
        .collect();
    let payload = json!({
        "body_sha256": Digest::from_bytes(work.body_sha256).to_string(),
        "code": outcome.code,
        "orders": orders,
        "received_at": work.received_at,
        "status": outcome.status,
        "webhook_id": webhook.id,
    });
    book.enter(shared, webhook.org_id, work.signal_id, event, &payload);
    // Writing strings and numbers to JSON cannot fail.
    rows.push(StoredSignal {
        id: work.signal_id,
        org_id: webhook.org_id,
        webhook_id: webhook.id,
        received_at: work.received_at,
        status: outcome.status.text().to_owned(),
        code: outcome.code.map(|code| code.text().to_owned()),
        message: outcome.message.clone(),
        body_sha256: work.body_sha256,
        checks: serde_json::to_string(trace.checks()).unwrap_or_else(|_| "[]".to_owned()),
        accounts: serde_json::to_string(&outcome.accounts).unwrap_or_else(|_| "[]".to_owned()),
    });
    bodies.push((work.body_sha256, work.body.clone()));
}

/// Keeps a flood of refusals from becoming a flood of findings: one for each webhook and code in a
/// quarter of an hour (S24).
#[derive(Default)]
pub(crate) struct Alerts {
    last: std::sync::Mutex<BTreeMap<(Id<id::Webhook>, Code), Timestamp>>,
}

const ALERT_SPAN: Duration = Duration::from_secs(15 * 60);

impl Alerts {
    fn is_first(&self, webhook: Id<id::Webhook>, code: Code, now: Timestamp) -> bool {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = last.get(&(webhook, code)).is_some_and(|at| at.plus(ALERT_SPAN) > now);
        if !fresh {
            last.insert((webhook, code), now);
        }
        !fresh
    }
}

/// Judges a stored signal by today's rules, without writing anything.
pub(crate) async fn rehearse(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    work: &SignalWork,
) -> Result<(SignalOutcome, Trace), Error> {
    let mut trace = work.trace.clone();
    let mut book = Book::load(tx, shared, &scope(shared, &[work])).await?;
    let outcome = match &work.admission {
        Admission::Refused(no) => refused(work.signal_id, &no.refusal),
        Admission::Admitted(signal) => trade(shared, &mut book, work, signal, &mut trace),
    };
    Ok((outcome, trace))
}
