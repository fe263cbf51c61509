//! The judge: inside the journal's transaction, every signal of a batch in its order. Is it a
//! duplicate, what does its strategy make of it, does risk let it pass; then signal, orders,
//! exposure and audit entries are written together.

mod accounts;
mod duplicates;
mod follow;
mod followers;
mod months;
mod signed;

use self::accounts::{on_accounts, tell_mixed, tell_wrong_side};
use self::duplicates::{First, claim_keys, id_conflict, repeat};
pub(crate) use self::follow::{remove_entries, reserve, tell_dust};
use self::followers::Followers;
use crate::Shared;
use crate::book::{Book, Lets, Scope};
use crate::directory::{Directory, Rolls};
use crate::effects::{Effects, Severity};
use crate::payload::{OrderPayload, Payload, SignalPayload};
use crate::signal::{AccountResult, Admission, SignalOutcome, SignalStatus, SignalWork};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::card_number;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_domain::signal::{Action, STRATEGY_ID, Signal};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::Digest;
use tradewarden_store::signals::{self, StoredSignal};
use tradewarden_store::{Error, Tx};

/// Judges the signals of a batch in one transaction; one outcome for each, in order, or why a signed
/// request is not taken.
pub(crate) async fn judge(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
    effects: &mut Effects,
) -> Result<Vec<Result<SignalOutcome, Code>>, Error> {
    let away = signed::turned_away(tx, shared, works).await?;
    let is_taken = |(place, _): &(usize, &&SignalWork)| !away.contains_key(place);
    let taken: Vec<&SignalWork> =
        works.iter().enumerate().filter(is_taken).map(|(_, work)| *work).collect();
    let outcomes = judge_taken(tx, shared, &taken, effects).await?;
    signed::keep_answers(tx, shared, &taken, &outcomes).await?;
    let mut outcomes = outcomes.into_iter();
    let of = |place| match away.get(&place) {
        Some(code) => Err(*code),
        None => outcomes.next().ok_or(Code::NotDurable),
    };
    Ok((0..works.len()).map(of).collect())
}

async fn judge_taken(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
    effects: &mut Effects,
) -> Result<Vec<SignalOutcome>, Error> {
    if works.is_empty() {
        return Ok(Vec::new());
    }
    let (mut book, followers) = open(tx, shared, works).await?;
    let mut firsts = claim_keys(tx, shared, &followers, works).await?;
    let mut rows = Vec::with_capacity(works.len());
    let mut outcomes: Vec<SignalOutcome> = Vec::with_capacity(works.len());
    for (place, work) in works.iter().enumerate() {
        let first = match firsts.remove(&place) {
            Some(First::Stored(first)) => Some(*first),
            Some(First::InBatch(earlier)) => outcomes.get(earlier).cloned(),
            Some(First::OtherBody) => {
                let (outcome, trace) = id_conflict(work);
                alert(shared, &mut book, work, &outcome);
                store(shared, &mut book, work, &outcome, &trace, &mut rows);
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
                retry_after_s: no.retry_after_s.map(u64::from),
                ..refused(work.signal_id, &no.refusal)
            },
            Admission::Admitted(signal) => {
                trace.pass("duplicate");
                let outcome = trade(shared, &mut book, &followers, work, signal, &mut trace);
                trace.took(crate::signal::micros_between(started, shared.environment.now()));
                outcome
            }
        };
        let message = without_card_numbers(outcome.message.clone());
        let outcome = SignalOutcome { message, ..outcome };
        alert(shared, &mut book, work, &outcome);
        store(shared, &mut book, work, &outcome, &trace, &mut rows);
        outcomes.push(outcome);
    }
    signals::insert(tx, rows).await?;
    book.write(tx, effects).await?;
    Ok(outcomes)
}

/// Loads what the batch is about. Strategies are known by heart; one that was changed since, by an
/// earlier step of this very transaction or by another node, is read here, so that no signal is
/// ever judged by a strategy as it was.
async fn open(
    tx: &mut Tx<'_>,
    shared: &Shared,
    works: &[&SignalWork],
) -> Result<(Book, Followers), Error> {
    let directory = shared.directory.load_full();
    // The same table for what is loaded and for what is judged.
    let rolls = Arc::clone(&directory.rolls);
    let known = Followers::Known(Arc::clone(&directory));
    let book =
        Book::load(tx, shared, &scope(&known, &rolls, works)).await?.with_rolls(Arc::clone(&rolls));
    if book.has_strategies_of(&directory) {
        return Ok((book, known));
    }
    let sources = works.iter().map(|work| work.source).collect();
    let read = Followers::read(tx, sources).await?;
    let book = Book::load(tx, shared, &scope(&read, &rolls, works)).await?.with_rolls(rolls);
    Ok((book, read))
}

/// The accounts and pairs that the batch is about.
fn scope(followers: &Followers, rolls: &Rolls, works: &[&SignalWork]) -> Scope {
    let mut scope = Scope { lets: Lets::New, ..Scope::default() };
    for work in works {
        let Admission::Admitted(signal) = &work.admission else { continue };
        for strategy in followers.of(work) {
            let Ok(symbol) = strategy.symbol_for(signal) else { continue };
            let table = rolls.get(&strategy.org_id);
            let symbols = table.map_or_else(|| vec![symbol.clone()], |table| table.spread(&symbol));
            for account in strategy.accounts() {
                for symbol in &symbols {
                    add_pair(&mut scope, signal, strategy.org_id, (account, symbol.clone()));
                }
            }
        }
    }
    scope
}

/// A pair, with what a signal may close there or take back.
fn add_pair(
    scope: &mut Scope,
    signal: &Signal,
    org: Id<id::Org>,
    (account, symbol): (Id<id::Account>, Symbol),
) {
    scope.add(org, account, &symbol);
    // An exit takes back unsent entries, and so does what is against them.
    match signal.action {
        _ if signal.is_exit() => {
            scope.pairs_with_live_orders.insert((account, symbol));
        }
        Action::Buy | Action::Exit => {
            scope.pairs_with_live_entries.insert((account, symbol, Side::Sell));
        }
        Action::Sell => {
            scope.pairs_with_live_entries.insert((account, symbol, Side::Buy));
        }
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

/// Judges a signal for every strategy that it is for.
fn trade(
    shared: &Shared,
    book: &mut Book,
    followers: &Followers,
    work: &SignalWork,
    signal: &Signal,
    trace: &mut Trace,
) -> SignalOutcome {
    let followers: Vec<_> = followers.of(work).collect();
    if followers.is_empty() {
        let refusal = work.strategy_id.map_or_else(
            || Refusal::plain(Code::StrategyNone),
            |id| Refusal::because(Code::StrategyNone, format!("{id} is no strategy of this key.")),
        );
        trace.fail("strategy", &refusal);
        let field = work.strategy_id.map(|_| STRATEGY_ID.to_owned());
        return SignalOutcome { field, ..summarize(work, Vec::new(), Some(refusal)) };
    }
    // A dry run is judged on a copy that is thrown away.
    let mut scratch = work.dry_run.then(|| book.clone());
    let book = scratch.as_mut().unwrap_or(book);
    let mut results = Vec::with_capacity(followers.len());
    let mut first_no: Option<Refusal> = None;
    for strategy in followers {
        let of_strategy = on_accounts(shared, book, work, signal, strategy, trace);
        tell_wrong_side(shared, book, work, strategy, &of_strategy);
        for (result, no) in of_strategy {
            first_no = first_no.or(no);
            results.push(result);
        }
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

/// What S6, S13, S15 and S16 want a person to hear of.
fn alert(shared: &Shared, book: &mut Book, work: &SignalWork, outcome: &SignalOutcome) {
    let (org, source) = (work.org_id, work.source);
    let subject = format!("{source} {}", work.signal_id);
    let is_conflict = outcome.code == Some(Code::DuplicateIdConflict);
    let now = book.now;
    // What is only judged is told by itself: it swallows no warning of what trades.
    let who = if work.dry_run { format!("dry run {source}") } else { source.to_string() };
    let is_first = |code| shared.alerts.is_first(who.clone(), code, work.signal_id, now);
    if let Some(stated) = work.sent_ahead
        && is_first(SENT_AHEAD)
    {
        let detail = format!(
            "The signal says that it was sent at {stated}, more than 10 s after it was received; \
             the sender's clock is wrong, and its times count as absent."
        );
        book.find(shared, org, SENT_AHEAD, Severity::Warning, subject.clone(), detail);
    }
    if !work.admission.reduces() && !work.dry_run {
        tell_mixed(shared, book, work, outcome);
        tell_refused_entries(shared, book, work, outcome, &subject);
    }
    let Some(code) = outcome.code else { return };
    let limited = is_limited(code);
    // What strategies refused was told for each of their places.
    let is_whole = outcome.status == SignalStatus::Refused && outcome.accounts.is_empty();
    let exit_refused = work.admission.reduces() && is_whole && !work.dry_run;
    let severity = match () {
        // Nothing else bounds a flood.
        () if exit_refused && code == Code::LimitFlood && !is_first("exits of a flood") => return,
        () if exit_refused => Severity::Critical,
        () if code == Code::DuplicateIdConflict => Severity::Warning,
        () if limited && is_first(code.text()) => Severity::Warning,
        () => return,
    };
    // A sender that uses its ids again is told of once in a while, not for each signal.
    let (subject, detail) = if is_conflict && severity == Severity::Warning {
        (source.to_string(), format!("{}: {}", work.signal_id, outcome.message))
    } else {
        (subject, outcome.message.clone())
    };
    book.find(shared, org, code.text(), severity, subject, detail);
}

const fn is_limited(code: Code) -> bool {
    matches!(code, Code::LimitRate | Code::LimitFlood)
}

/// Whether the account's part was to close something, and a person hears of its refusal as of every
/// refused exit.
fn is_told_exit(book: &Book, work: &SignalWork, part: &AccountResult) -> bool {
    book.told_exits.contains(&(work.signal_id, part.strategy_id, part.account_id))
}

/// Tells of entries that were refused, once for each strategy in a quarter of an hour, also where other
/// accounts or strategies took the signal (S24). What no strategy came to hear counts for its source.
fn tell_refused_entries(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    outcome: &SignalOutcome,
    subject: &str,
) {
    let (org, now) = (work.org_id, book.now);
    let mut told: Vec<(String, Code)> = outcome
        .accounts
        .iter()
        .filter(|part| part.result == SignalStatus::Refused && !is_told_exit(book, work, part))
        .filter_map(|part| Some((part.strategy_id.to_string(), part.code?)))
        .collect();
    if outcome.accounts.is_empty() && outcome.status == SignalStatus::Refused {
        // Those have findings of their own.
        let is_told = |code: &Code| is_limited(*code) || *code == Code::DuplicateIdConflict;
        let code = outcome.code.filter(|code| !is_told(code));
        told.extend(code.map(|code| (work.source.to_string(), code)));
    }
    for (who, code) in told {
        let by = format!("entries {who}");
        if shared.alerts.is_first(who, "entries", work.signal_id, now) {
            let is_it = outcome.code == Some(code);
            let why = if is_it { outcome.message.as_str() } else { code.meaning() };
            book.warn(shared, org, code.text(), by, (subject, why));
        }
    }
}

/// Writes the signal's row and its audit entry.
fn store(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    outcome: &SignalOutcome,
    trace: &Trace,
    rows: &mut Vec<(StoredSignal, Vec<u8>)>,
) {
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
        .map(OrderPayload::from)
        .collect();
    let payload = Payload::from(&SignalPayload {
        body_sha256: Digest::from_bytes(work.body_sha256).to_string(),
        code: outcome.code,
        orders,
        received_at: work.received_at,
        status: outcome.status,
        signed_by: work.signed.as_ref().map(|signed| signed.actor.name()),
        webhook_id: work.source.webhook(),
    });
    book.enter(shared, work.org_id, work.signal_id, event, payload);
    // Writing strings and numbers to JSON cannot fail.
    let row = StoredSignal {
        id: work.signal_id,
        org_id: work.org_id,
        source: work.source,
        received_at: work.received_at,
        status: outcome.status.text().to_owned(),
        code: outcome.code.map(|code| code.text().to_owned()),
        message: outcome.message.clone(),
        body_sha256: work.body_sha256,
        checks: without_card_numbers(
            serde_json::to_string(trace.checks()).unwrap_or_else(|_| "[]".to_owned()),
        ),
        accounts: serde_json::to_string(&outcome.accounts).unwrap_or_else(|_| "[]".to_owned()),
    };
    rows.push((row, work.body.clone()));
}

/// A text in which a body's own words may stand, as it may be kept.
fn without_card_numbers(text: String) -> String {
    card_number::masked(text.as_bytes())
        .and_then(|masked| String::from_utf8(masked).ok())
        .unwrap_or(text)
}

/// The finding of a sender whose clock is ahead.
const SENT_AHEAD: &str = "signal.sent_ahead";

/// Keeps a flood of refusals from becoming a flood of findings: one for each source and code, and for each
/// strategy, in a quarter of an hour (S24).
#[derive(Default)]
pub(crate) struct Alerts {
    last: std::sync::Mutex<Told>,
}

/// By source or strategy, and code: when it was told, and of which signal.
type Told = BTreeMap<(String, &'static str), (Timestamp, Id<id::Signal>)>;

const ALERT_SPAN: Duration = Duration::from_mins(15);

impl Alerts {
    /// Whether this signal is the one to tell of. It stays so: a transaction may be run again.
    fn is_first(
        &self,
        who: String,
        code: &'static str,
        signal: Id<id::Signal>,
        now: Timestamp,
    ) -> bool {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (who, code);
        if let Some((at, first)) = last.get(&key)
            && at.plus(ALERT_SPAN) > now
        {
            return *first == signal;
        }
        last.insert(key, (now, signal));
        true
    }
}

/// Judges a stored signal by today's rules, without writing anything.
pub(crate) async fn rehearse(
    tx: &mut Tx<'_>,
    shared: &Arc<Shared>,
    work: &SignalWork,
) -> Result<(SignalOutcome, Trace), Error> {
    let mut trace = work.trace.clone();
    let (mut book, followers) = open(tx, shared, &[work]).await?;
    let outcome = match &work.admission {
        Admission::Refused(no) => refused(work.signal_id, &no.refusal),
        Admission::Admitted(signal) => {
            trade(shared, &mut book, &followers, work, signal, &mut trace)
        }
    };
    Ok((outcome, trace))
}

/// What a stored signal comes to on an imagined book.
pub(crate) struct Verdict {
    pub(crate) status: SignalStatus,
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
    /// By account and strategy: what became of it there, and how much was ordered.
    parts: Vec<Part>,
}

type Part = (Id<id::Account>, Id<id::Strategy>, SignalStatus, Option<Code>, Quantity);

impl Verdict {
    /// Whether it is what was answered.
    pub(crate) fn says(&self, status: &str, code: Option<&str>) -> bool {
        self.status.text() == status && self.code.map(Code::text) == code
    }

    /// Whether it comes to the same orders.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.status, self.code, &self.parts) == (other.status, other.code, &other.parts)
    }
}

/// Judges a signal again on an imagined book, which has its orders then.
pub(crate) fn imagine(
    shared: &Shared,
    book: &mut Book,
    directory: &Arc<Directory>,
    work: &SignalWork,
) -> Verdict {
    let followers = Followers::Known(Arc::clone(directory));
    let outcome = match &work.admission {
        Admission::Refused(no) => refused(work.signal_id, &no.refusal),
        Admission::Admitted(signal) => {
            trade(shared, book, &followers, work, signal, &mut Trace::new())
        }
    };
    let ordered = |result: &AccountResult| {
        let orders = result.order_ids.iter().filter_map(|id| book.changed_order(*id));
        orders.fold(Quantity::ZERO, |sum, order| sum.saturating_plus(order.quantity))
    };
    let part = |result: &AccountResult| {
        (result.account_id, result.strategy_id, result.result, result.code, ordered(result))
    };
    Verdict {
        status: outcome.status,
        code: outcome.code,
        parts: outcome.accounts.iter().map(part).collect(),
        message: outcome.message,
    }
}
