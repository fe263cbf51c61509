//! Watching losses (S23): on the leader, every second, each account and strategy with a loss limit is
//! read at its marks; what there is to do about it is one transaction.
//!
//! Crash story: the watch, the halt, the cancels and their entries are in one transaction, judged
//! anew inside it. A crash before it leaves the watch as it was, with the marks it had counted; the
//! next reading goes on from there. A crash after it leaves the halt, which the watch names, so that
//! neither is engaged twice nor lost. Between two writes only the newest reading is in memory.

use crate::Shared;
use crate::book::{Book, Scope, place_of};
use crate::command::error::{CommandError, away};
use crate::directory::Directory;
use crate::effects::{Effects, Severity};
use crate::journal::Urgency;
use crate::profit::{Holdings, by_symbol, tally, tally_before};
use crate::several;
use crate::view::LossView;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::code::Code;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::halt::{Halt, HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::{LimitBook, LimitName};
use tradewarden_domain::loss::{Bounds, LossKind, LossReset, Lost, Reading, Step, Watch};
use tradewarden_domain::money::Money;
use tradewarden_domain::order::{OrderEvent, OrderState, Purpose};
use tradewarden_domain::profit::Tally;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{self, Place};
use tradewarden_store::losses::{self, StoredWatch, Watched};
use tradewarden_store::{Error, Tx, directory as rows, rates};

/// Limits of losses.
pub(crate) const OF_LOSSES: &[LimitName] =
    &[LimitName::DailyLoss, LimitName::Drawdown, LimitName::DrawdownPercent];
/// A reading that changes nothing else is written so often.
const WRITTEN_EVERY: Duration = Duration::from_mins(1);

/// One account at one instant.
struct Moment<'a> {
    account: &'a Account,
    holdings: &'a Holdings,
    rates: &'a [ExchangeRate],
    halts: &'a [Halt],
    stored: &'a [StoredWatch],
    equity: Option<Money>,
    now: Timestamp,
}

/// What a reading came to.
struct Look {
    watched: Watched,
    watch: Watch,
    steps: Vec<Step>,
    lost: [Option<Lost>; 2],
    /// A halt that the new session ends.
    ended: Option<Id<id::Halt>>,
    is_worth_writing: bool,
}

/// Accounts that are looked at together: each reads the database, and its change shares a transaction's
/// sync with those of the others.
const LOOKED_AT_TOGETHER: usize = 8;

/// One round over all accounts with loss limits. What keeps one of them keeps no other one.
pub(crate) async fn round(shared: &Arc<Shared>) {
    let directory = shared.directory.load_full();
    let has_limits = |account: &&Arc<Account>| {
        directory.books.get(&account.org_id).is_some_and(|limits| limits.has_any(OF_LOSSES))
    };
    let watched: Vec<_> = directory.accounts.values().filter(has_limits).cloned().collect();
    let look = |account: Arc<Account>| {
        let (shared, directory) = (Arc::clone(shared), Arc::clone(&directory));
        async move {
            let Some(limits) = directory.books.get(&account.org_id) else { return };
            if let Err(error) = watch_account(&shared, &account, limits).await {
                tracing::error!(account.id = %account.id, error, "losses were not looked at");
            }
        }
    };
    several::each(watched, LOOKED_AT_TOGETHER, look, |()| {}).await;
}

async fn watch_account(
    shared: &Arc<Shared>,
    account: &Arc<Account>,
    limits: &LimitBook,
) -> Result<(), String> {
    let told = |error: Error| error.to_string();
    let held = exposures::of_account(&shared.store, account.id).await.map_err(told)?;
    let stored = losses::of_account(&shared.store, account.id).await.map_err(told)?;
    let known = rates::of_org(&shared.store, account.org_id).await.map_err(told)?;
    let now = shared.environment.now();
    let holdings = by_symbol(held);
    let halts = Arc::clone(&shared.directory.load().halts);
    let moment = Moment {
        account,
        holdings: &holdings,
        rates: &known,
        halts: &halts,
        stored: &stored,
        equity: shared.funds.equity(account.id, now),
        now,
    };
    let watched = watched(&shared.directory.load(), account, limits);
    let looks = look(shared, &moment, &watched);
    let is_over = orphans(&stored, &watched).next().is_some();
    if !is_over && !looks.iter().any(|look| look.is_worth_writing) {
        return Ok(());
    }
    let (inner, of) = (Arc::clone(shared), Arc::clone(account));
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx, effects| write(tx, &inner, &of, effects).await)
        .await;
    match written {
        Ok(true) => {
            shared.reload().await;
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(error) => Err(error.0),
    }
}

/// What is watched on an account, by what is known of it now.
pub(crate) async fn views(
    shared: &Shared,
    account: &Account,
    holdings: &Holdings,
    rates: &[ExchangeRate],
    now: Timestamp,
) -> Result<Vec<LossView>, CommandError> {
    let directory = shared.directory.load_full();
    let Some(limits) = directory.books.get(&account.org_id) else { return Ok(Vec::new()) };
    let watched = watched(&directory, account, limits);
    let stored = losses::of_account(&shared.store, account.id).await;
    let stored = stored.map_err(|error| away(&error))?;
    let views = stored.iter().filter_map(|stored| {
        let (_, bounds) = watched.iter().find(|(watched, _)| *watched == stored.watched)?;
        let watch = read(account, stored)?;
        let strategy_id = strategy_of(stored.watched);
        let total = tally(shared, account, holdings, rates, strategy_id, now).total().ok();
        Some(LossView {
            strategy_id,
            session_at: watch.session_at(),
            of_the_day: total.and_then(|total| total.minus(watch.opening())),
            daily_loss: bounds.daily_loss,
            below_best: total.map(|total| watch.best().saturating_minus(total).max(Money::ZERO)),
            drawdown: bounds.drawdown,
            halts: LossKind::ALL.iter().filter_map(|kind| watch.halt(*kind)).collect(),
        })
    });
    Ok(views.collect())
}

/// What is lost by now of what an account, and one strategy on it, may lose, as a transaction sees
/// it.
pub(crate) fn lost(
    shared: &Shared,
    book: &Book,
    account: &Account,
    strategy: Id<id::Strategy>,
    rates: &[ExchangeRate],
) -> Vec<Lost> {
    if let Some(imagined) = book.imagined_losses(account.id, strategy) {
        return imagined;
    }
    let Some(limits) = book.limits.get(&account.org_id) else { return Vec::new() };
    let mut watched = watched(&shared.directory.load(), account, limits);
    watched.retain(|(of, _)| [Watched::Account, Watched::Strategy(strategy)].contains(of));
    if watched.is_empty() {
        return Vec::new();
    }
    let holdings = book.holdings(account.id);
    let moment = Moment {
        account,
        holdings: &holdings,
        rates,
        halts: &book.halts,
        stored: book.around.watches(account.id),
        equity: shared.funds.equity(account.id, book.now),
        now: book.now,
    };
    look(shared, &moment, &watched).iter().flat_map(|look| look.lost).flatten().collect()
}

/// What is watched on an account, with its bounds.
pub(crate) fn watched(
    directory: &Directory,
    account: &Account,
    limits: &LimitBook,
) -> Vec<(Watched, Bounds)> {
    let with_bounds = limits.strategies_with_bounds().into_iter();
    let own = with_bounds.filter(|id| {
        directory
            .strategies
            .get(id)
            .is_some_and(|strategy| strategy.accounts().any(|id| id == account.id))
    });
    let each = own.map(|id| (Watched::Strategy(id), limits.of_strategy(id)));
    std::iter::once((Watched::Account, limits.of_account(account.id)))
        .chain(each)
        .filter(|(_, bounds)| bounds.is_any())
        .collect()
}

/// Watches whose limit is gone.
fn orphans<'a>(
    stored: &'a [StoredWatch],
    watched: &'a [(Watched, Bounds)],
) -> impl Iterator<Item = Watched> + 'a {
    let is_watched = |of: &Watched| watched.iter().any(|(watched, _)| watched == of);
    stored.iter().map(|stored| stored.watched).filter(move |of| !is_watched(of))
}

/// Reads everything that is watched, without writing.
fn look(shared: &Shared, moment: &Moment<'_>, watched: &[(Watched, Bounds)]) -> Vec<Look> {
    let session_at = moment.account.days.began(moment.now);
    let mut looks = Vec::with_capacity(watched.len());
    for (watched, bounds) in watched {
        // Without a rate nothing can be told; entries are refused meanwhile.
        let Some(mut reading) = reading(shared, moment, *watched) else { continue };
        let before = moment.stored.iter().find(|stored| stored.watched == *watched);
        let known = before.and_then(|stored| read(moment.account, stored));
        let is_engaged = |halt| moment.halts.iter().any(|engaged| engaged.id == halt);
        let goes_on = known.is_some_and(|watch| {
            watch.session_at() >= session_at && watch.halt(LossKind::Daily).is_none_or(is_engaged)
        });
        if !goes_on {
            reading.before = total_before(shared, moment, *watched);
        }
        let mut watch = known.unwrap_or_else(|| Watch::begin(session_at, &reading));
        for kind in LossKind::ALL {
            // A person ended the halt: the halts say so, and nobody has to tell.
            if watch.halt(*kind).is_some_and(|halt| !is_engaged(halt)) {
                watch.resumed(*kind, &reading);
            }
        }
        let steps = watch.read(&reading, session_at, moment.now, bounds);
        let ended = watch.halt_of_session().filter(|_| steps.contains(&Step::Began));
        if ended.is_some() {
            watch.resumed(LossKind::Daily, &reading);
        }
        let is_old =
            before.is_none_or(|stored| stored.updated_at.plus(WRITTEN_EVERY) <= moment.now);
        let is_worth_writing = match &known {
            None => true,
            Some(known) => watch.has_moved_from(known) || (is_old && watch != *known),
        };
        let lost = watch.lost(&reading, bounds);
        looks.push(Look { watched: *watched, watch, steps, lost, ended, is_worth_writing });
    }
    looks
}

/// A stored watch. One that cannot be read begins anew: that is told, and safer than none.
fn read(account: &Account, stored: &StoredWatch) -> Option<Watch> {
    serde_json::from_str(&stored.watch)
        .inspect_err(|error| {
            tracing::error!(account.id = %account.id, %error, "a watch of losses is unreadable");
        })
        .ok()
}

/// What an account, or a strategy on it, has made by now; `None` if what is realised cannot be told.
fn reading(shared: &Shared, moment: &Moment<'_>, watched: Watched) -> Option<Reading> {
    let strategy = strategy_of(watched);
    let Moment { account, holdings, rates, now, .. } = moment;
    let tally = tally(shared, account, holdings, rates, strategy, *now);
    let reading = reading_of(&tally, holdings, strategy, *now)?;
    // A strategy has no equity of its own.
    Some(Reading { equity: moment.equity.filter(|_| watched == Watched::Account), ..reading })
}

/// What a tally reads of what was made; `None` if what is realised cannot be told.
pub(crate) fn reading_of(
    tally: &Tally,
    holdings: &Holdings,
    strategy: Option<Id<id::Strategy>>,
    now: Timestamp,
) -> Option<Reading> {
    let mut parts = holdings.values().flatten();
    let is_flat = !parts
        .any(|(id, part)| strategy.is_none_or(|wanted| wanted == *id) && !part.quantity.is_zero());
    Some(Reading {
        total: tally.total().ok(),
        before: None,
        realized: tally.realized.clone().ok()?,
        marked_at: tally.marked_at().unwrap_or(now),
        equity: None,
        is_flat,
    })
}

/// What it had made at the marks of a second or two before, where a session begins with something open.
fn total_before(shared: &Shared, moment: &Moment<'_>, watched: Watched) -> Option<Money> {
    let Moment { account, holdings, rates, now, .. } = moment;
    tally_before(shared, account, holdings, rates, strategy_of(watched), *now).total().ok()
}

pub(crate) const fn strategy_of(watched: Watched) -> Option<Id<id::Strategy>> {
    match watched {
        Watched::Account => None,
        Watched::Strategy(id) => Some(id),
    }
}

/// The same inside the transaction, carried out. Whether halts changed.
async fn write(
    tx: &mut Tx<'_>,
    shared: &Shared,
    account: &Account,
    effects: &mut Effects,
) -> Result<bool, Error> {
    if !crate::lease::leads(tx, shared).await? {
        return Ok(false);
    }
    let mut scope = Scope::default();
    scope.accounts.insert((account.org_id, account.id));
    let mut book = Book::load(tx, shared, &scope).await?;
    let Some(limits) = book.limits.get(&account.org_id).cloned() else { return Ok(false) };
    let (stored, known) =
        (losses::of_account_in(tx, account.id).await?, rates::of_org_in(tx, account.org_id).await?);
    let halts = book.halts.clone();
    let holdings = book.holdings(account.id);
    let moment = Moment {
        account,
        holdings: &holdings,
        rates: &known,
        halts: &halts,
        stored: &stored,
        equity: shared.funds.equity(account.id, book.now),
        now: book.now,
    };
    let mut are_changed = false;
    let watched = watched(&shared.directory.load(), account, &limits);
    for over in orphans(&stored, &watched) {
        losses::remove(tx, account.id, over).await?;
    }
    for mut look in look(shared, &moment, &watched) {
        if let Some(halt) = look.ended
            && rows::resume(tx, halt, LossKind::Daily.text(), book.now).await?
        {
            let payload = json!({ "by": LossKind::Daily });
            book.enter(shared, account.org_id, halt, "halt.resumed", &payload);
            are_changed = true;
        }
        for step in std::mem::take(&mut look.steps) {
            match step {
                Step::Began => {}
                Step::Warned { kind, percent, loss, limit } => {
                    warn(shared, &mut book, account, look.watched, kind, (percent, loss, limit));
                }
                Step::Broken { kind, loss, limit } => {
                    let halt = halt(shared, &book, account, look.watched, kind, (loss, limit));
                    rows::insert_halt(tx, &halt).await?;
                    tell(shared, &mut book, account, look.watched, &halt, kind);
                    cancel_entries(tx, shared, &mut book, account, look.watched).await?;
                    look.watch.halted(kind, halt.id, account.days.in_force(book.now).1);
                    are_changed = true;
                }
            }
        }
        let text = serde_json::to_string(&look.watch).map_err(|error| {
            Error::unreadable(format!("a watch of losses cannot be written: {error}"))
        })?;
        losses::put(tx, account.id, look.watched, text, book.now).await?;
    }
    if are_changed {
        effects.halts = Some(rows::halts_in(tx).await?);
    }
    book.write(tx, effects).await?;
    Ok(are_changed)
}

fn subject(account: &Account, watched: Watched) -> String {
    match watched {
        Watched::Account => account.id.to_string(),
        Watched::Strategy(strategy) => format!("{} {strategy}", account.id),
    }
}

fn halt(
    shared: &Shared,
    book: &Book,
    account: &Account,
    watched: Watched,
    kind: LossKind,
    (loss, limit): (Money, Money),
) -> Halt {
    let ends = match (kind, account.days.in_force(book.now).1) {
        (LossKind::Daily, LossReset::Session) => "the next session or a person ends it",
        (LossKind::Daily, LossReset::Person) | (LossKind::Drawdown, _) => "a person ends it",
    };
    let what = match kind {
        LossKind::Daily => "of this session",
        LossKind::Drawdown => "from the best",
    };
    let currency = &account.currency;
    Halt {
        id: shared.environment.id(book.now),
        org_id: Some(account.org_id),
        scope: match watched {
            Watched::Account => HaltScope::Account(account.id),
            Watched::Strategy(strategy) => HaltScope::Strategy(strategy),
        },
        mode: HaltMode::ReduceOnly,
        include_protective: false,
        reason: format!("A loss {what} of {loss} {currency} reached the limit of {limit}; {ends}."),
        engaged_by: kind.text().to_owned(),
        engaged_at: book.now,
    }
}

fn tell(
    shared: &Shared,
    book: &mut Book,
    account: &Account,
    watched: Watched,
    halt: &Halt,
    kind: LossKind,
) {
    let payload = json!({
        "engaged_by": halt.engaged_by, "mode": halt.mode, "reason": halt.reason,
        "scope": halt.scope.to_string(),
    });
    book.enter(shared, account.org_id, halt.id, "halt.engaged", &payload);
    let code = match kind {
        LossKind::Daily => "loss.daily_limit",
        LossKind::Drawdown => "loss.drawdown_limit",
    };
    let (subject, detail) = (subject(account, watched), halt.reason.clone());
    book.find(shared, account.org_id, code, Severity::Critical, subject, detail);
}

fn warn(
    shared: &Shared,
    book: &mut Book,
    account: &Account,
    watched: Watched,
    kind: LossKind,
    (percent, loss, limit): (u8, Money, Money),
) {
    let code = match kind {
        LossKind::Daily => "loss.daily_near",
        LossKind::Drawdown => "loss.drawdown_near",
    };
    let currency = &account.currency;
    let detail = format!("{loss} {currency} are lost: {percent} % of the limit of {limit}.");
    let subject = subject(account, watched);
    book.find(shared, account.org_id, code, Severity::Warning, subject, detail);
}

/// Ends the entries that have not left, and asks for the others to be canceled.
async fn cancel_entries(
    tx: &mut Tx<'_>,
    shared: &Shared,
    book: &mut Book,
    account: &Account,
    watched: Watched,
) -> Result<(), Error> {
    let wanted = |place: &Place| match watched {
        Watched::Account => true,
        Watched::Strategy(strategy) => place.strategy_id == strategy,
    };
    let entering: BTreeSet<_> = book
        .exposures_of(account.id)
        .filter(|(place, exposure)| wanted(place) && exposure.has_live_entry())
        .map(|(place, _)| (place.account_id, place.symbol.clone()))
        .collect();
    book.load_live(tx, entering.into_iter().collect()).await?;
    for mut order in book.live_of(account.id) {
        if order.purpose != Purpose::Entry || !wanted(&place_of(&order)) {
            continue;
        }
        if order.state == OrderState::Accepted {
            book.advance(&mut order, OrderEvent::Cancel, Some(Code::DispatchHalted));
            book.enter(shared, order.org_id, order.id, "order.canceled", &order);
        } else {
            order.cancel_requested = true;
            order.code = Some(Code::DispatchHalted);
        }
        book.put_order(order);
    }
    Ok(())
}
