//! Following: what one strategy makes of a signal, up to its cleared and reserved orders.

use crate::Shared;
use crate::around::{Judged, Scene};
use crate::attempt::tell_netted;
use crate::book::{Book, place_of};
use crate::effects::Severity;
use crate::orders::{notional_of_key, resting};
use crate::signal::SignalWork;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::bracket::Levels;
use tradewarden_domain::check::Trace;
use tradewarden_domain::code::{Class, Code, Refusal};
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{Halt, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::limit::{LimitBook, Limits};
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{Order, OrderEvent, OrderState, OrderType, Purpose, Side};
use tradewarden_domain::overrides;
use tradewarden_domain::risk::{self, Cleared};
use tradewarden_domain::signal::{Action, Signal};
use tradewarden_domain::strategy::{
    Decision, Intent, Means, RemovedEntries, Shares, Strategy, StrategyState, SymbolSource,
};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::Place;

/// A strategy on one of its accounts.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) strategy: &'a Strategy,
    pub(super) account_id: Id<id::Account>,
}

impl Part<'_> {
    /// Where it holds this instrument.
    pub(super) fn place(&self, symbol: &Symbol) -> Place {
        let Self { strategy, account_id } = *self;
        Place { account_id, symbol: symbol.clone(), strategy_id: strategy.id }
    }
}

/// What one strategy makes of a signal about one instrument on one account, up to its journaled orders;
/// of a percentage of several months, a share. An exit that is refused is told, whatever becomes of the
/// signal elsewhere (S24).
pub(super) fn follow(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    (part, shares): (Part<'_>, Option<&mut Shares>),
    symbol: &Symbol,
    trace: &mut Trace,
) -> Result<Vec<Id<id::Order>>, Refusal> {
    let held = resting::judged_on(book, &part.place(symbol), part.strategy, signal);
    let reduces = signal.only_reduces() || !closes(signal, &held).is_empty();
    let outcome = followed(shared, book, work, signal, (part, shares), symbol, trace);
    if reduces {
        tell_of_exit(shared, book, work, part, symbol, &outcome);
    }
    outcome
}

/// Tells what a person has to know of an exit: that it was refused, that it goes by the journal alone
/// (S1), or that something is held that no order can close (S7).
fn tell_of_exit(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    part: Part<'_>,
    symbol: &Symbol,
    outcome: &Result<Vec<Id<id::Order>>, Refusal>,
) {
    let (place, org) = (part.place(symbol), part.strategy.org_id);
    match outcome {
        Err(no) if no.code.class() != Class::Skip => {
            tell_refused_exit(shared, book, work, part, symbol, no);
        }
        Ok(orders) if !orders.is_empty() && shared.unheard.has(place.account_id) => {
            let subject = format!("{} {symbol} {}", place.account_id, place.strategy_id);
            let detail = format!(
                "The broker does not tell what is held; the exit of {} goes by the journal.",
                work.signal_id
            );
            book.find(shared, org, "position.unread", Severity::Warning, subject, detail);
        }
        _ => {}
    }
    let Some(account) = crate::book::account(shared, place.account_id) else { return };
    let Some(instrument) = account.instruments.get(symbol) else { return };
    let exposure = book.exposure(&place);
    let mut left = [Side::Sell, Side::Buy].into_iter().map(|side| exposure.closable(side));
    if let Some(quantity) = left.find(|quantity| instrument.is_dust(*quantity)) {
        tell_dust(shared, book, &place, org, (instrument, quantity));
    }
}

/// A person hears of every exit that was refused, by itself and until somebody has seen it.
pub(super) fn tell_refused_exit(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    part: Part<'_>,
    symbol: &Symbol,
    no: &Refusal,
) {
    let Part { strategy, account_id } = part;
    book.told_exits.insert((work.signal_id, strategy.id, account_id));
    book.exit_refused(&part.place(symbol), no);
    let subject = format!("{account_id} {symbol} {}", strategy.id);
    let detail = format!("The exit of {} was refused: {}", work.signal_id, no.detail);
    book.find(shared, strategy.org_id, no.code.text(), Severity::Critical, subject, detail);
}

fn followed(
    shared: &Shared,
    book: &mut Book,
    work: &SignalWork,
    signal: &Signal,
    (part, shares): (Part<'_>, Option<&mut Shares>),
    symbol: &Symbol,
    trace: &mut Trace,
) -> Result<Vec<Id<id::Order>>, Refusal> {
    let Part { strategy, account_id } = part;
    let place = part.place(symbol);
    let Some(account) = crate::book::account(shared, account_id) else {
        return refuse(trace, "account", Refusal::plain(Code::AccountOff));
    };
    let Some(instrument) = account.instruments.get(symbol) else {
        let detail = format!("{symbol} cannot be traded on account {}.", account.id);
        return refuse(trace, "instrument", Refusal::because(Code::RiskUnknownInstrument, detail));
    };
    if let Err(no) = permitted(work, part, symbol) {
        return refuse(trace, "key", no);
    }
    let before = book.exposure(&place);
    if only_closes(signal, strategy)
        && let Some(refusal) = out_of_order(signal, before.entry_sent_at)
    {
        return refuse(trace, "order_of_time", refusal);
    }
    // An exit takes back the entries of its strategy (S2), and so does a signal against them (S5).
    // If it then is skipped or refused, nothing of that may stay, so it is done on a copy.
    let closes = closes(signal, &resting::judged_on(book, &place, strategy, signal));
    let mut after = book.clone_for_exit(!closes.is_empty());
    let removed = match &mut after {
        Some(copy) => remove_entries(shared, copy, &place, closes),
        None => RemovedEntries::None,
    };
    let judged = after.as_mut().unwrap_or(book);
    let exposure = resting::judged_on(judged, &place, strategy, signal);
    let net = judged.pair_exposure(account.id, symbol);
    let reference = judged.reference(shared, &account, symbol);
    let price = reference.price(judged.now);
    let size = size(shared, judged, strategy, signal, (&account, instrument), price);
    let decision = strategy.decide_with(signal, &exposure, instrument, removed, size);
    let decision = Shares::cut(shares, decision, &exposure, instrument);
    let (decision, cut) = decision.within_account(&net, removed);
    let subject = subject(work, part, symbol);
    let decision = feasible(decision, judged.is_active(account.id), instrument, removed);
    let intents = match where_stopped(decision, strategy, &judged.halts, &subject) {
        Decision::Trade(intents) => intents,
        Decision::Skip(refusal) | Decision::Refuse(refusal) => {
            if cut.is_positive() {
                tell_netted(shared, book, &place, strategy.org_id, cut);
            }
            return refuse(trace, where_from(refusal.code), refusal);
        }
    };
    if cut.is_positive() {
        tell_netted(shared, judged, &place, strategy.org_id, cut);
    }
    trace.pass_with("strategy", format!("position {}", exposure.projected()), None);
    let at = price.or_else(|| strategy.blind().and_then(|_| reference.last_known()));
    let (intents, levels) = with_levels(strategy, signal, intents, at, instrument, removed, trace)?;
    let rolls = judged.rolls(strategy.org_id);
    let mut orders = Vec::with_capacity(intents.len());
    for intent in intents {
        let (limits, scene) = bounds(shared, judged, &account, (&place, key_of(work)), intent.side);
        let intent = strategy.sized(intent, signal, instrument, &limits, trace);
        let context = risk::Context {
            halts: &judged.halts,
            subject,
            schedule: strategy.schedule.as_ref(),
            contract: rolls.contract(symbol),
            limits,
            exposure: judged.pair_exposure(account.id, symbol),
            already_filled: Quantity::ZERO,
            around: scene.view(),
            instrument,
            reference,
            stated_price: signal.price,
            blind_quantity_max: strategy.blind(),
            orders_last_minute: scene.orders_last_minute(),
            now: judged.now,
        };
        let purpose = intent.purpose;
        let cleared = overrides::clear(intent, &context, judged.overrides(), trace)
            .and_then(|cleared| within_key(work, instrument, cleared, price, trace));
        match cleared {
            Ok((cleared, used)) => {
                let order = draft(shared, judged, work, part, symbol, (&cleared, levels));
                if order.purpose == Purpose::Exit
                    && strategy.closes_all(signal, &before, order.side)
                {
                    resting::take_back(shared, judged, &place, order.side);
                }
                judged.use_overrides(shared, &used, &order);
                orders.push(reserve(judged, order));
            }
            // The entries that it took back stay so, and it is refused all the same.
            Err(refusal) if purpose == Purpose::Exit && orders.is_empty() => {
                keep(book, after);
                return Err(refusal);
            }
            // A refused entry of a reversal stays flat; what closes or was taken back stays so (S5).
            Err(refusal) if !orders.is_empty() || removed == RemovedEntries::Some => {
                if purpose == Purpose::Exit {
                    tell_refused_exit(shared, judged, work, part, symbol, &refusal);
                }
            }
            Err(refusal) => return Err(refusal),
        }
    }
    note_entry(judged, &place, signal, &orders);
    keep(book, after);
    Ok(orders.into_iter().map(|(id, _)| id).collect())
}

/// What was judged on a copy is so.
fn keep(book: &mut Book, after: Option<Book>) {
    if let Some(after) = after {
        *book = after;
    }
}

/// The limits that an order here is held against, and what stands around it.
fn bounds(
    shared: &Shared,
    book: &Book,
    account: &Account,
    (place, key): (&Place, Option<Id<id::Key>>),
    side: Side,
) -> (Limits, Scene) {
    let limits = book.limits.get(&account.org_id);
    let tightest = |limits: &Arc<LimitBook>| {
        limits.tightest(account.id, Some(place.strategy_id), key, &place.symbol)
    };
    let mut limits = limits.map(tightest).unwrap_or_default();
    if book.lacks_equity(account.id) {
        limits.credit_percent = None;
    }
    let mut scene = book.scene(shared, account, (place, key), side, Judged::New);
    shared.heed_crowd(account.org_id, &mut limits, &mut scene);
    (limits, scene)
}

/// The key that signed the signal.
fn key_of(work: &SignalWork) -> Option<Id<id::Key>> {
    work.signed.as_ref()?.actor.as_key().map(|key| key.id)
}

/// Whether the key that signed the signal may name the account and trade the instrument, of which a
/// strategy may know the continuous name.
fn permitted(work: &SignalWork, part: Part<'_>, symbol: &Symbol) -> Result<(), Refusal> {
    let Some(signed) = &work.signed else { return Ok(()) };
    if !signed.actor.reaches(part.account_id) {
        let detail = format!("{} is not among the key's accounts.", part.account_id);
        return Err(Refusal::because(Code::AuthPermission, detail));
    }
    // Of a continuous symbol, what is traded is a month.
    let is_own = part.strategy.symbol_source == SymbolSource::Strategy;
    let named = if is_own { &part.strategy.symbol } else { symbol };
    signed.actor.trades(symbol).or_else(|no| signed.actor.trades(named).map_err(|_| no))
}

/// What the key that signed the signal may risk with one entry.
fn within_key<U>(
    work: &SignalWork,
    instrument: &Instrument,
    (cleared, used): (Cleared, U),
    price: Option<Price>,
    trace: &mut Trace,
) -> Result<(Cleared, U), Refusal> {
    let intent = cleared.intent();
    if let Some(signed) = work.signed.as_ref().filter(|_| intent.purpose == Purpose::Entry) {
        notional_of_key(&signed.actor, instrument, intent, price)
            .inspect_err(|no| trace.fail("key", no))?;
    }
    Ok((cleared, used))
}

/// What an exit is held against that was sent earlier and comes later (S13).
fn note_entry(
    book: &mut Book,
    place: &Place,
    signal: &Signal,
    orders: &[(Id<id::Order>, Purpose)],
) {
    if orders.iter().any(|(_, purpose)| *purpose == Purpose::Entry) {
        book.change_exposure(place, |exposure| {
            exposure.entry_sent_at = exposure.entry_sent_at.max(signal.sent_at);
        });
    }
}

/// What halts are held against.
fn subject<'a>(work: &SignalWork, part: Part<'_>, symbol: &'a Symbol) -> HaltSubject<'a> {
    HaltSubject {
        org: part.strategy.org_id,
        account: part.account_id,
        strategy: Some(part.strategy.id),
        webhook: work.source.webhook(),
        key: key_of(work),
        symbol,
        passes_halts: false,
    }
}

/// The line of the trace that a decision against an order is.
const fn where_from(code: Code) -> &'static str {
    match code {
        Code::AccountOff => "account",
        Code::HaltActive => "halt",
        _ => "strategy",
    }
}

/// What would have added is stopped before it is skipped: who has halted sees that the halt holds.
fn where_stopped(
    decision: Decision,
    strategy: &Strategy,
    halts: &[Halt],
    subject: &HaltSubject<'_>,
) -> Decision {
    let Decision::Skip(skip) = decision else { return decision };
    if !matches!(skip.code, Code::StrategyAlreadyLong | Code::StrategyAlreadyShort) {
        return Decision::Skip(skip);
    }
    if strategy.state == StrategyState::ExitsOnly {
        return Decision::Refuse(Refusal::plain(Code::StrategyExitsOnly));
    }
    risk::halted(halts, Purpose::Entry, subject).map_or(Decision::Skip(skip), Decision::Refuse)
}

/// What a decision is where it can be carried out. Nothing opens behind an exit that is less than the
/// smallest order (S7): what it would have closed stays.
fn feasible(
    decision: Decision,
    is_active: bool,
    instrument: &Instrument,
    removed: RemovedEntries,
) -> Decision {
    let decision = if is_active { decision } else { where_off(decision, removed) };
    let Decision::Trade(intents) = &decision else { return decision };
    let is_exit = |intent: &&Intent| intent.purpose == Purpose::Exit;
    let mut exits = intents.iter().filter(is_exit).map(|intent| intent.quantity);
    match exits.find(|quantity| instrument.is_dust(*quantity)) {
        None => decision,
        Some(_) if removed == RemovedEntries::Some => Decision::Trade(Vec::new()),
        Some(quantity) => {
            Decision::Skip(Refusal::over(Code::PositionDust, quantity, instrument.quantity_min))
        }
    }
}

/// What an account that is switched off leaves of a decision: it opens nothing, and what closes
/// passes (S18).
fn where_off(decision: Decision, removed: RemovedEntries) -> Decision {
    match decision {
        Decision::Trade(mut intents) => {
            let opens = intents.iter().any(|intent| intent.purpose == Purpose::Entry);
            intents.retain(|intent| intent.purpose == Purpose::Exit);
            if opens && intents.is_empty() && removed == RemovedEntries::None {
                return Decision::Refuse(Refusal::plain(Code::AccountOff));
            }
            Decision::Trade(intents)
        }
        Decision::Refuse(_) => Decision::Refuse(Refusal::plain(Code::AccountOff)),
        Decision::Skip(refusal) => Decision::Skip(refusal),
    }
}

/// Something is held that no order can close: a person has to know (S7).
pub(crate) fn tell_dust(
    shared: &Shared,
    book: &mut Book,
    place: &Place,
    org: Id<id::Org>,
    (instrument, quantity): (&Instrument, Quantity),
) {
    let detail = format!(
        "{quantity} is less than the smallest order of {}, {}; nothing closes it.",
        place.symbol, instrument.quantity_min
    );
    let subject = format!("{} {} {}", place.account_id, place.symbol, place.strategy_id);
    let code = Code::PositionDust.text();
    book.find(shared, org, code, Severity::Warning, subject, detail);
}

/// Traces a refusal or a skip, and gives it back.
pub(super) fn refuse<T>(
    trace: &mut Trace,
    name: &'static str,
    refusal: Refusal,
) -> Result<T, Refusal> {
    if refusal.code.class() == Class::Skip {
        trace.not_enforced(name, &refusal);
    } else {
        trace.fail(name, &refusal);
    }
    Err(refusal)
}

/// The size of an entry; where equity or rate are not known, sizing by them fails closed (S8).
fn size(
    shared: &Shared,
    book: &Book,
    strategy: &Strategy,
    signal: &Signal,
    (account, instrument): (&Account, &Instrument),
    reference: Option<Price>,
) -> Result<Quantity, Refusal> {
    let equity = book.equity(shared, account.id);
    let conversion = book.conversion(account, &instrument.symbol).ok();
    strategy.size(signal, instrument, &Means { equity, conversion, reference })
}

/// The levels that the entry among these intents brings along. Where they cannot be kept nothing is
/// opened; what closes is closed all the same (S5).
fn with_levels(
    strategy: &Strategy,
    signal: &Signal,
    mut intents: Vec<Intent>,
    reference: Option<Price>,
    instrument: &Instrument,
    removed: RemovedEntries,
    trace: &mut Trace,
) -> Result<(Vec<Intent>, Option<Levels>), Refusal> {
    let Some(entry) = intents.iter().find(|intent| intent.purpose == Purpose::Entry) else {
        return Ok((intents, None));
    };
    match strategy.levels(signal, entry, (reference, instrument.tick)) {
        Ok(None) => Ok((intents, None)),
        Ok(levels) => {
            trace.pass("bracket");
            Ok((intents, levels))
        }
        Err(no) if intents.len() == 1 && removed == RemovedEntries::None => {
            refuse(trace, "bracket", no)
        }
        Err(no) => {
            trace.fail("bracket", &no);
            intents.retain(|intent| intent.purpose == Purpose::Exit);
            Ok((intents, None))
        }
    }
}

impl Book {
    fn clone_for_exit(&self, is_exit: bool) -> Option<Self> {
        is_exit.then(|| self.clone())
    }
}

/// Whether the signal opens nothing: by its own words, or as the strategy takes it.
fn only_closes(signal: &Signal, strategy: &Strategy) -> bool {
    signal.only_reduces() || (signal.action == Action::Sell && !strategy.opens(Side::Sell))
}

/// An exit that was sent before an entry that is accepted already (S13).
fn out_of_order(signal: &Signal, entry_sent_at: Option<Timestamp>) -> Option<Refusal> {
    let (sent_at, entry_sent_at) = (signal.sent_at?, entry_sent_at?);
    (sent_at < entry_sent_at).then(|| Refusal::over(Code::SignalOutOfOrder, sent_at, entry_sent_at))
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

/// Ends the strategy's unsent entries on the pair and asks for the others to be canceled. What was
/// asked back, now or before, is something to do: as long as it works nothing is called flat (S1).
pub(crate) fn remove_entries(
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
        removed = RemovedEntries::Some;
        if order.state == OrderState::Accepted {
            book.advance(&mut order, OrderEvent::Cancel, Some(Code::OrderSuperseded));
            book.enter(shared, order.org_id, order.id, "order.superseded", &order);
        } else {
            order.cancel_requested = true;
            order.code = Some(Code::OrderSuperseded);
        }
        book.put_order(order);
    }
    removed
}

fn draft(
    shared: &Shared,
    book: &Book,
    work: &SignalWork,
    part: Part<'_>,
    symbol: &Symbol,
    (cleared, levels): (&Cleared, Option<Levels>),
) -> Order {
    let Part { strategy, account_id } = part;
    let intent = cleared.intent();
    let send_within = Duration::from_secs(u64::from(strategy.send_within_s));
    let is_entry = intent.purpose == Purpose::Entry;
    let window = is_entry.then(|| window_end(strategy, book.now)).flatten();
    let rests = is_entry && intent.order_type != OrderType::Market;
    let account = crate::book::account(shared, account_id).filter(|_| rests);
    let ttl =
        account.map(|of| crate::orders::rests_until(&of, Some(strategy), symbol, work.received_at));
    let ends = window.into_iter().chain(ttl).min();
    let send_by = work.received_at.plus(send_within);
    Order {
        id: shared.environment.id(book.now),
        org_id: strategy.org_id,
        signal_id: Some(work.signal_id),
        account_id,
        strategy_id: Some(strategy.id),
        key_id: key_of(work),
        tag: None,
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
        send_by: is_entry.then(|| ends.map_or(send_by, |ends| send_by.min(ends))),
        expires_at: ends.filter(|_| rests),
        attempt_until: None,
        change: None,
        passes_halts: false,
        bracket: levels.filter(|_| is_entry),
        leg: None,
        limits_version: cleared.limits_version(),
        created_at: book.now,
        updated_at: book.now,
    }
}

/// The last instant of the strategy's window: an entry leaves and rests no longer (S12).
fn window_end(strategy: &Strategy, now: Timestamp) -> Option<Timestamp> {
    let closes = strategy.schedule.as_ref()?.changes_after(now)?;
    Some(closes.minus(Duration::from_micros(1)))
}

pub(crate) fn reserve(book: &mut Book, order: Order) -> (Id<id::Order>, Purpose) {
    let (id, purpose) = (order.id, order.purpose);
    book.change_exposure(&place_of(&order), |exposure| {
        exposure.reserve(order.purpose, order.side, order.quantity);
        // The newest exit says whether something is left to be closed.
        exposure.unclosed_since = exposure.unclosed_since.filter(|_| purpose == Purpose::Entry);
    });
    book.opened(&order);
    if purpose == Purpose::Entry {
        book.count_order(&order);
        let now = book.now;
        book.around.entered(&place_of(&order), order.side, order.quantity, now);
    }
    book.put_order(order);
    (id, purpose)
}
