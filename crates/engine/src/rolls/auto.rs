//! Rolling by itself (S11): what a strategy with `auto_roll` holds in a month that rolls is closed there,
//! and as much as that has filled is opened in the month that its continuous symbol stands for by then.
//!
//! First a transaction journals the exit together with a row; once the exit has *ended*, a second one
//! journals the entry and changes that row. The row says which of the two is still to come, so a crash
//! between them neither doubles a half nor loses one. An exit that is `unknown` is waited for, and nothing
//! is assumed of it. The entry passes every check that any other passes. Where it is known beforehand to
//! be refused, the position stays where it is; where it is refused only then, its strategy stays flat. Of
//! both, people are told.

use crate::Shared;
use crate::actor::Actor;
use crate::book::{Book, Lets, Scope};
use crate::directory::Directory;
use crate::effects::{Effects, Severity};
use crate::journal::{NotWritten, Urgency};
use crate::judge::remove_entries;
use crate::lease;
use crate::orders::{Leaving, Reopening, leave, reopen, resting};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::account::Account;
use tradewarden_domain::bracket::OnNaked;
use tradewarden_domain::code::{Code, Refusal};
use tradewarden_domain::day::Day;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose, Side};
use tradewarden_domain::price::Market;
use tradewarden_domain::strategy::{Strategy, StrategyState};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::auto_rolls::{self, AutoRoll};
use tradewarden_store::exposures::{self, Place};
use tradewarden_store::{Error, Tx, orders};

/// A position is begun to be rolled at most so often: one whose exits do not fill is left to a person.
const TRIES_MAX: u32 = 5;
/// How long after a try the next one is.
const AGAIN_AFTER: Duration = Duration::from_mins(5);
/// What a rule says no to is looked at again so soon, until people were told; then so often.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(3);
const TOLD_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// People are told of a no that has stood for so long: a price that is stale for a moment is none.
const TOLD_AFTER: Duration = Duration::from_secs(30);
/// What people are told by.
const NOT_ROLLED: &str = "position.not_rolled";

/// Rolls positions. What it remembers is only how patient it still is.
pub(crate) struct Roller {
    shared: Arc<Shared>,
    courses: BTreeMap<Place, Course>,
}

/// How the rolling of a position goes.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    /// How often it was begun.
    tries: u32,
    /// It is not begun before this instant.
    not_before: Timestamp,
    /// Since when a rule says no at each look.
    refused_since: Option<Timestamp>,
    /// Of which reason people were told last.
    told: Option<Code>,
    /// People were told that it is begun no more.
    is_left: bool,
}

/// A position that is due to be rolled.
#[derive(Clone)]
struct Due {
    strategy: Arc<Strategy>,
    account: Arc<Account>,
    place: Place,
    /// The month to which it goes, if the roll table has one.
    next_symbol: Option<Symbol>,
}

/// What became of the beginning of a roll.
enum Begun {
    /// Its exit is journaled.
    Leaves,
    /// Something has to end first.
    Waits,
    /// A rule says no to the exit, or would say no to the entry.
    Refused(Refusal),
}

impl Roller {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, courses: BTreeMap::new() }
    }

    /// Goes on with what is under way, and begins with what is due.
    pub(crate) async fn round(&mut self) {
        let under_way = match auto_rolls::all(&self.shared.store).await {
            Ok(rolls) => rolls,
            Err(error) => return tracing::error!(%error, "rolls could not be read"),
        };
        for roll in &under_way {
            if let Err(error) = go_on(&self.shared, roll).await {
                tracing::error!(order.id = %roll.exit_id, error = %error.0, "a roll waits");
            }
        }
        let due = match due(&self.shared).await {
            Ok(due) => due,
            Err(error) => return tracing::error!(%error, "positions to roll could not be read"),
        };
        let places: BTreeSet<_> = due.iter().map(|due| &due.place).collect();
        let is_rolling = |place: &Place| under_way.iter().any(|roll| roll.place == *place);
        self.courses.retain(|place, _| places.contains(place) || is_rolling(place));
        for due in due.iter().filter(|due| !is_rolling(&due.place)) {
            if let Err(error) = self.begin(due).await {
                tracing::error!(account.id = %due.place.account_id, error = %error.0, "a roll waits");
            }
        }
    }

    async fn begin(&mut self, due: &Due) -> Result<(), NotWritten> {
        let now = self.shared.environment.now();
        let mut course = self.courses.get(&due.place).copied().unwrap_or_default();
        if course.not_before > now || course.is_left {
            return Ok(());
        }
        // A market that is known to be closed is waited for, which is nothing to tell.
        if due.market(&self.shared) == Market::Closed {
            course.refused_since = None;
            self.courses.insert(due.place.clone(), course);
            return Ok(());
        }
        if course.tries >= TRIES_MAX {
            course.is_left = true;
            self.courses.insert(due.place.clone(), course);
            let why = format!("it was tried {TRIES_MAX} times, and is left to a person.");
            self.tell(due, &why).await;
            return Ok(());
        }
        match self.try_to_begin(due).await? {
            // What rules said before was of something else.
            Begun::Waits => course.refused_since = None,
            Begun::Leaves => {
                let tries = course.tries.saturating_add(1);
                course = Course { tries, not_before: now.plus(AGAIN_AFTER), ..Course::default() };
            }
            Begun::Refused(no) => {
                let since = *course.refused_since.get_or_insert(now);
                if course.told != Some(no.code) && since.plus(TOLD_AFTER) <= now {
                    course.told = Some(no.code);
                    self.tell(due, &format!("{} ({})", no.detail, no.code.text())).await;
                }
                let is_told = course.told == Some(no.code);
                let wait = if is_told { TOLD_AGAIN_AFTER } else { REFUSED_AGAIN_AFTER };
                course.not_before = now.plus(wait);
            }
        }
        self.courses.insert(due.place.clone(), course);
        Ok(())
    }

    async fn try_to_begin(&self, due: &Due) -> Result<Begun, NotWritten> {
        let Some(next_symbol) = due.next_symbol.clone() else {
            let detail = format!("The roll table has no month after {}.", due.place.symbol);
            return Ok(Begun::Refused(Refusal::because(Code::RiskRollUnresolved, detail)));
        };
        let (shared, wanted) = (Arc::clone(&self.shared), due.clone());
        self.shared
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                begin_in(tx, &shared, &wanted, &next_symbol, effects).await
            })
            .await
    }

    async fn tell(&self, due: &Due, why: &str) {
        let detail = format!("{} is not rolled, and held as before: {why}", due.place.symbol);
        let (org, subject) = (due.strategy.org_id, subject(&due.place));
        self.shared.tell(org, NOT_ROLLED, Severity::Warning, subject, detail).await;
    }
}

impl Due {
    /// Whether the month trades in which it is held.
    fn market(&self, shared: &Shared) -> Market {
        let now = shared.environment.now();
        shared.market.reference(&self.account, &self.place.symbol, now).market
    }
}

/// What is held in months that roll, by strategies that say so.
async fn due(shared: &Shared) -> Result<Vec<Due>, Error> {
    let (directory, now) = (shared.directory.load_full(), shared.environment.now());
    let leaving = |strategy: &Arc<Strategy>| {
        let months = rolled_months(&directory, strategy, now);
        (!months.is_empty()).then(|| (Arc::clone(strategy), months))
    };
    let leaving: Vec<_> = directory.strategies.values().filter_map(leaving).collect();
    let mut due = Vec::new();
    for (strategy, months) in leaving {
        for account in strategy.accounts().filter_map(|id| directory.accounts.get(&id)) {
            for (place, exposure) in exposures::of_account(&shared.store, account.id).await? {
                let is_own = place.strategy_id == strategy.id && !exposure.quantity.is_zero();
                let Some(next) = months.get(&place.symbol).filter(|_| is_own) else { continue };
                let (strategy, account) = (Arc::clone(&strategy), Arc::clone(account));
                due.push(Due { strategy, account, next_symbol: next.clone(), place });
            }
        }
    }
    Ok(due)
}

/// The months that a strategy leaves, each with the one that it goes to if there is one. A month that has
/// ended is left by nobody any more.
fn rolled_months(
    directory: &Directory,
    strategy: &Strategy,
    now: Timestamp,
) -> BTreeMap<Symbol, Option<Symbol>> {
    let own = strategy.rolls().filter(|_| strategy.state == StrategyState::On);
    let Some((continuous, table)) = own.zip(directory.rolls.get(&strategy.org_id)) else {
        return BTreeMap::new();
    };
    let next = table.front(&continuous, now).map(|month| month.symbol.clone());
    table
        .months(&continuous.root)
        .iter()
        .filter(|month| month.rolls_at() <= now && Day::at(now) <= month.expires_on)
        .map(|month| (month.symbol.clone(), next.clone()))
        .collect()
}

/// Journals the exit and the row, if the entry could be journaled too.
async fn begin_in(
    tx: &mut Tx<'_>,
    shared: &Shared,
    due: &Due,
    next_symbol: &Symbol,
    effects: &mut Effects,
) -> Result<Begun, Error> {
    if !lease::leads(tx, shared).await? {
        return Ok(Begun::Waits);
    }
    let Due { strategy, account, place, .. } = due;
    let mut book = Book::load(tx, shared, &scope_of(strategy, place, next_symbol)).await?;
    // What was changed since it was found to be due is looked at anew.
    let directory = shared.directory.load_full();
    let is_same = directory.strategies.get(&strategy.id) == Some(strategy)
        && rolled_months(&directory, strategy, book.now).get(&place.symbol)
            == Some(&due.next_symbol);
    if !book.has_strategies_of(&directory) || !is_same || book.roll_of(place).is_some() {
        return Ok(Begun::Waits);
    }
    if let Some(since) = book.exposure(place).unclosed_since {
        let detail =
            format!("It should have been closed: the exit of {since} failed or was refused.");
        return Ok(Begun::Refused(Refusal::because(Code::StrategyOpenPosition, detail)));
    }
    if due.market(shared) != Market::Open {
        return Ok(Begun::Refused(Refusal::plain(Code::RiskMarketClosed)));
    }
    let held = book.exposure(place).quantity;
    let side = if held.is_positive() { Side::Buy } else { Side::Sell };
    let quantity = side.signed(held);
    let Some(instrument) = account.instruments.get(&place.symbol) else {
        return Ok(Begun::Refused(Refusal::plain(Code::RiskUnknownInstrument)));
    };
    if quantity.is_zero() {
        return Ok(Begun::Waits);
    }
    if instrument.is_dust(quantity) {
        let no = Refusal::over(Code::PositionDust, quantity, instrument.quantity_min);
        return Ok(Begun::Refused(no));
    }
    let quantity = instrument.exit_quantity(quantity, quantity);
    let had_stop = book.exposure(place).bracket.is_some_and(|of| of.stop_loss.is_some());
    let next = Place { symbol: next_symbol.clone(), ..place.clone() };
    let reopening = Reopening { place: &next, strategy, side, quantity, by: "" };
    if let Err(no) = would_open(shared, &book, due, &reopening, had_stop) {
        return Ok(Begun::Refused(no));
    }
    // Entries of the old month are not wanted any more, and what is under way at the market ends first.
    remove_entries(shared, &mut book, place, &[Side::Buy, Side::Sell]);
    if book.live_orders(place).iter().any(|order| !rests(order, side.opposite())) {
        book.write(tx, effects).await?;
        return Ok(Begun::Waits);
    }
    // Exits that rest are taken back with the exit that closes it all, or not at all (S4).
    let taken_back = resting::take_back(shared, &mut book, place, side.opposite());
    let by = by(place, next_symbol);
    let leaving = Leaving { place, side: side.opposite(), quantity, passes_halts: false, by };
    let exit = match leave(shared, &mut book, account, &leaving, &Actor::operator()) {
        Ok(exit) => exit,
        Err(no) => return Ok(Begun::Refused(no)),
    };
    let roll = AutoRoll {
        place: place.clone(),
        org_id: strategy.org_id,
        next_symbol: next_symbol.clone(),
        side,
        quantity: exit.quantity,
        stays_closed: Quantity::ZERO,
        exit_id: exit.id,
        entry_id: None,
        had_stop,
        begun_at: book.now,
    };
    let payload = json!({
        "account_id": place.account_id, "exit_id": exit.id, "next_symbol": next_symbol,
        "quantity": exit.quantity, "side": side, "strategy_id": strategy.id, "symbol": place.symbol,
    });
    book.enter(shared, strategy.org_id, exit.id, "position.rolling", &payload);
    tell_taken_back(shared, &mut book, &roll, &taken_back);
    book.put_roll(roll);
    book.write(tx, effects).await?;
    Ok(Begun::Leaves)
}

/// Whether a live order is a leg, or an exit on this side that rests: neither has to end before all is closed.
fn rests(order: &Order, side: Side) -> bool {
    let is_exit = (order.purpose, order.side) == (Purpose::Exit, side);
    order.leg.is_some() || (is_exit && order.order_type != OrderType::Market)
}

/// What rested there stood for something, of which neither month has anything now.
fn tell_taken_back(shared: &Shared, book: &mut Book, roll: &AutoRoll, exits: &[Id<id::Order>]) {
    if exits.is_empty() {
        return;
    }
    let names: Vec<_> = exits.iter().map(ToString::to_string).collect();
    let detail = format!(
        "To roll {} to {}, exits that rested were taken back, and none is placed for them: {}.",
        roll.place.symbol,
        roll.next_symbol,
        names.join(", ")
    );
    let (org, subject) = (roll.org_id, subject(&roll.place));
    book.find(shared, org, "position.exits_taken_back", Severity::Warning, subject, detail);
}

/// Whether the entry would pass if the position were closed already: on a copy, of which nothing stays.
fn would_open(
    shared: &Shared,
    book: &Book,
    due: &Due,
    reopening: &Reopening<'_>,
    had_stop: bool,
) -> Result<(), Refusal> {
    let mut copy = book.clone();
    copy.change_exposure(&due.place, |held| {
        *held = Exposure { realized: held.realized, fees: held.fees, ..Exposure::default() };
    });
    let entry = reopen(shared, &mut copy, &due.account, reopening)?;
    // Where nothing may be held without its stop, what would be is not opened (S9).
    if had_stop && !has_stop(&entry) && due.strategy.on_naked == OnNaked::Close {
        let detail = "Its stop stands at a price of that month, and the strategy has no distance of its own.";
        return Err(Refusal::because(Code::BracketInvalid, detail));
    }
    Ok(())
}

fn has_stop(entry: &Order) -> bool {
    entry.bracket.is_some_and(|levels| levels.stop_loss.is_some())
}

/// Takes the next step of a roll, if the order that it waits for has ended.
async fn go_on(shared: &Arc<Shared>, roll: &AutoRoll) -> Result<(), NotWritten> {
    let awaited = roll.entry_id.unwrap_or(roll.exit_id);
    let order = orders::find(&shared.store, awaited).await;
    let order = order.map_err(|error| NotWritten(error.to_string()))?;
    let Some(order) = order.filter(|order| !order.state.is_live()) else { return Ok(()) };
    // People were told that it should have been closed: nothing rolls there until it is.
    if is_left_open(roll, &order) {
        let held = exposures::of_account(&shared.store, roll.place.account_id).await;
        let held = held.map_err(|error| NotWritten(error.to_string()))?;
        let is_held =
            |(place, at): &(Place, Exposure)| *place == roll.place && !at.quantity.is_zero();
        if held.iter().any(is_held) {
            return Ok(());
        }
    }
    let (inner, roll) = (Arc::clone(shared), roll.clone());
    shared
        .journal
        .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            go_on_in(tx, &inner, &roll, effects).await
        })
        .await
}

async fn go_on_in(
    tx: &mut Tx<'_>,
    shared: &Shared,
    roll: &AutoRoll,
    effects: &mut Effects,
) -> Result<(), Error> {
    if !lease::leads(tx, shared).await? {
        return Ok(());
    }
    let directory = shared.directory.load_full();
    let mut scope = Scope { lets: Lets::New, rolls: true, ..Scope::default() };
    for symbol in [&roll.place.symbol, &roll.next_symbol] {
        scope.add(roll.org_id, roll.place.account_id, symbol);
    }
    let mut book = Book::load(tx, shared, &scope).await?;
    // It may have been ended since it was read, and a strategy changed by another node is read first.
    if book.roll_of(&roll.place) != Some(roll) || !book.has_strategies_of(&directory) {
        return Ok(());
    }
    let awaited = roll.entry_id.unwrap_or(roll.exit_id);
    let mut stored = orders::lock_by_id(tx, &[awaited]).await?.into_iter().flatten();
    let Some(order) = stored.next().filter(|order| !order.state.is_live()) else { return Ok(()) };
    match roll.entry_id {
        None => open_next(shared, &mut book, &directory, roll, &order),
        Some(_) => settle(shared, &mut book, roll, &order),
    }
    book.write(tx, effects).await
}

/// Whether the exit ended without closing what should stay closed, and people were told.
fn is_left_open(roll: &AutoRoll, exit: &Order) -> bool {
    roll.entry_id.is_none() && !roll.to_open().is_positive() && roll.begun_at > exit.updated_at
}

/// The exit has ended, and somebody closed more than it did: that is a person's now, and nothing of it
/// rolls. The row stands until nothing is held.
fn leave_open(shared: &Shared, book: &mut Book, roll: &AutoRoll, exit: &Order, rest: Quantity) {
    let why = exit.code.map_or(exit.state.text(), Code::text);
    let detail = format!(
        "{} {} should have been closed: the exit that was to roll it closes for whoever asked, and ended \
         with {} of {} filled ({why}). It is held as before, and rolls no more: close it.",
        rest, roll.place.symbol, exit.filled_quantity, exit.quantity
    );
    book.find(shared, roll.org_id, NOT_ROLLED, Severity::Critical, subject(&roll.place), detail);
    book.put_roll(AutoRoll { quantity: roll.stays_closed, begun_at: book.now, ..roll.clone() });
}

/// The exit has ended: as much as it filled is opened in the next month.
fn open_next(
    shared: &Shared,
    book: &mut Book,
    directory: &Directory,
    roll: &AutoRoll,
    exit: &Order,
) {
    let AutoRoll { place, next_symbol, .. } = roll;
    let filled = exit.filled_quantity;
    let rest = roll.stays_closed.saturating_minus(filled);
    let held = book.exposure(place);
    if rest.is_positive() && !held.quantity.is_zero() {
        // Where another exit is under way, that one closes it.
        if held.closable(exit.side).is_positive() {
            leave_open(shared, book, roll, exit, rest);
        }
        return;
    }
    if !filled.is_positive() {
        let why = exit.code.map_or(exit.state.text(), Code::text);
        if exit.code == Some(Code::StrategyFlat) {
            // Something else has closed it first, so there is nothing to roll.
            return book.end_roll(shared, roll, ("position.roll_ended", why));
        }
        if roll.stays_closed.is_positive() {
            return book.end_roll(shared, roll, ("position.roll_ended", "an exit"));
        }
        let detail = format!(
            "The exit that was to roll {} to {next_symbol} ended without a fill ({why}); the position \
             is held as before.",
            place.symbol
        );
        return not_rolled(shared, book, roll, Severity::Warning, detail);
    }
    let quantity = filled.saturating_minus(roll.stays_closed);
    if !quantity.is_positive() {
        return book.end_roll(shared, roll, ("position.roll_ended", "an exit"));
    }
    match opened(shared, book, directory, roll, quantity) {
        Ok(entry) => {
            tell_if_naked(shared, book, roll, &entry);
            book.put_roll(AutoRoll { entry_id: Some(entry.id), ..roll.clone() });
        }
        Err(no) => {
            let detail = format!(
                "{quantity} {} was closed to be rolled, and is not opened in {next_symbol}: {} ({}).",
                place.symbol,
                no.detail,
                no.code.text()
            );
            not_rolled(shared, book, roll, Severity::Critical, detail);
        }
    }
}

/// Journals the entry, if its strategy still wants it.
fn opened(
    shared: &Shared,
    book: &mut Book,
    directory: &Directory,
    roll: &AutoRoll,
    quantity: Quantity,
) -> Result<Order, Refusal> {
    let AutoRoll { place, next_symbol, side, .. } = roll;
    let strategy = directory.strategies.get(&place.strategy_id);
    let strategy = strategy.ok_or_else(|| Refusal::plain(Code::StrategyOff))?;
    match strategy.state {
        StrategyState::On => {}
        StrategyState::ExitsOnly => return Err(Refusal::plain(Code::StrategyExitsOnly)),
        StrategyState::Off => return Err(Refusal::plain(Code::StrategyOff)),
    }
    // What it opens must be where its exits look for it.
    let table = book.rolls(strategy.org_id);
    let root = table.contract(next_symbol).map(|month| &month.root);
    let is_found = strategy.rolls().is_some_and(|own| Some(&own.root) == root)
        && strategy.accounts().any(|account| account == place.account_id);
    if !is_found {
        let detail = "The strategy does not roll to this month any more.";
        return Err(Refusal::because(Code::StrategySymbol, detail));
    }
    let account = directory.accounts.get(&place.account_id);
    let account = account.ok_or_else(|| Refusal::plain(Code::AccountOff))?;
    let next = Place { symbol: next_symbol.clone(), ..place.clone() };
    let by = by(place, next_symbol);
    let reopening = Reopening { place: &next, strategy, side: *side, quantity, by: &by };
    reopen(shared, book, account, &reopening)
}

/// A stop whose price came with a signal belongs to the old month: without a distance of the strategy's
/// own there is none in the next, and a person has to know at once.
fn tell_if_naked(shared: &Shared, book: &mut Book, roll: &AutoRoll, entry: &Order) {
    if !roll.had_stop || has_stop(entry) {
        return;
    }
    let place = Place { symbol: roll.next_symbol.clone(), ..roll.place.clone() };
    let detail = format!(
        "The stop in {} stood at a price of that month, and the strategy has no distance of its own: \
         {} {} is opened without one.",
        roll.place.symbol, entry.quantity, roll.next_symbol
    );
    let org = roll.org_id;
    book.find(shared, org, "position.naked", Severity::Critical, subject(&place), detail);
}

/// The entry has ended: the roll is done, or less is held than before, which people are told unless an
/// exit wanted it so.
fn settle(shared: &Shared, book: &mut Book, roll: &AutoRoll, entry: &Order) {
    if entry.state == OrderState::Filled {
        return book.end_roll(shared, roll, ("position.rolled", "filled"));
    }
    let why = entry.code.map_or(entry.state.text(), Code::text);
    if entry.code == Some(Code::OrderSuperseded) {
        return book.end_roll(shared, roll, ("position.roll_ended", why));
    }
    let detail = format!(
        "{} {} was to be opened for what was closed in {}, and {} was ({why}).",
        entry.quantity, roll.next_symbol, roll.place.symbol, entry.filled_quantity
    );
    not_rolled(shared, book, roll, Severity::Critical, detail);
}

fn not_rolled(
    shared: &Shared,
    book: &mut Book,
    roll: &AutoRoll,
    severity: Severity,
    detail: String,
) {
    book.end_roll(shared, roll, ("position.roll_ended", detail.as_str()));
    book.find(shared, roll.org_id, NOT_ROLLED, severity, subject(&roll.place), detail);
}

fn scope_of(strategy: &Strategy, place: &Place, next_symbol: &Symbol) -> Scope {
    let mut scope = Scope { lets: Lets::New, rolls: true, ..Scope::default() };
    for symbol in [&place.symbol, next_symbol] {
        scope.add(strategy.org_id, place.account_id, symbol);
    }
    scope.pairs_with_live_orders.insert((place.account_id, place.symbol.clone()));
    scope
}

/// Who places the two orders, for the record.
fn by(place: &Place, next_symbol: &Symbol) -> String {
    format!("roll of {} to {next_symbol}", place.symbol)
}

fn subject(place: &Place) -> String {
    format!("{} {} {}", place.account_id, place.symbol, place.strategy_id)
}
