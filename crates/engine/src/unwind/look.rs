//! One look at what halts cover on one account, and the next step toward flat.

use super::adopt::{self, nothing_of_exits};
use super::unread;
use crate::Shared;
use crate::actor::Actor;
use crate::book::{Book, Scope, place_of};
use crate::effects::{Effects, Severity};
use crate::journal::{NotWritten, Urgency};
use crate::orders::{Leaving, leave};
use crate::payload;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tradewarden_broker::port::{BrokerAccount, BrokerPosition};
use tradewarden_domain::account::Account;
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{Halt, HaltScope, HaltSubject};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{OrderEvent, OrderState, OrderType, Purpose, Side};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::{self, NO_STRATEGY, Place};
use tradewarden_store::{Error, Tx, directory as rows, halt_progress};

/// How long after one exit the next is placed, at first and at most: it doubles.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(16);
/// A broker that does not say within this what is held counts as unheard.
pub(super) const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// Two readings of a difference must be this far apart (S3).
const DIFFERS_FOR: Duration = Duration::from_secs(5);

/// What is held on a pair that a halt covers.
struct Held {
    account: Arc<Account>,
    symbol: Symbol,
    /// Whose parts of it are covered.
    covered: BTreeSet<Id<id::Strategy>>,
    /// Of these, none holds anything.
    is_flat_here: bool,
    /// The halt covers the pair as a whole, and not just what some strategies hold.
    is_whole: bool,
    /// All strategies together.
    ours: Exposure,
    /// The broker's position, if it was heard.
    theirs: Option<Quantity>,
    /// The broker's average price.
    price: Option<Price>,
}

impl Held {
    /// Flat is what the broker shows, too (S20).
    fn is_flat(&self) -> bool {
        self.is_flat_here && (!self.is_whole || self.theirs.is_some_and(Quantity::is_zero))
    }

    /// Our book holds nothing, and what the broker holds was not heard.
    fn waits_for_broker(&self) -> bool {
        self.is_flat_here && self.is_whole && self.theirs.is_none()
    }

    fn difference(&self) -> Option<Quantity> {
        let theirs = self.theirs.filter(|_| self.is_whole)?;
        let live =
            [self.ours.entry_buy, self.ours.entry_sell, self.ours.exit_buy, self.ours.exit_sell];
        let moves = live.iter().any(|quantity| !quantity.is_zero());
        let difference = theirs.saturating_minus(self.ours.quantity);
        (!moves && !difference.is_zero()).then_some(difference)
    }
}

/// How the closing of a position goes.
#[derive(Clone, Copy, Default)]
struct Course {
    /// How often an exit was placed.
    tries: u32,
    /// No exit is placed before this instant.
    not_before: Timestamp,
}

/// What is known of an account from one look to the next.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The positions that halts close.
    courses: BTreeMap<(Id<id::Halt>, Symbol), Course>,
    /// By how much the broker's position differs from ours, and since when.
    differences: BTreeMap<Symbol, (Quantity, Timestamp)>,
}

impl Known {
    /// Notes a position that a halt closes, unless it is noted already.
    pub(super) fn close(&mut self, halt: Id<id::Halt>, symbol: Symbol) {
        self.courses.entry((halt, symbol)).or_default();
    }

    /// Takes in what was noted meanwhile of halts that were not looked at.
    pub(super) fn take_in(&mut self, other: Self, was_looked_at: impl Fn(Id<id::Halt>) -> bool) {
        let new = other.courses.into_iter().filter(|((halt, _), _)| !was_looked_at(*halt));
        self.courses.extend(new);
    }

    /// Forgets halts that have ended.
    pub(super) fn keep(&mut self, is_here: impl Fn(Id<id::Halt>) -> bool) {
        self.courses.retain(|(halt, _), _| is_here(*halt));
    }
}

/// One look at one account. It is a task of its own: whatever it waits for, no other account does.
pub(super) struct Look {
    pub(super) shared: Arc<Shared>,
    pub(super) account: Arc<Account>,
    /// The halts whose turn it is.
    pub(super) halts: Vec<Halt>,
    pub(super) known: Known,
}

/// What a look found.
pub(super) struct Looked {
    pub(super) account: Id<id::Account>,
    pub(super) known: Known,
    /// Whether the broker said what is held.
    pub(super) is_heard: bool,
    /// How many positions each halt has left to close.
    pub(super) open: Vec<(Id<id::Halt>, Result<usize, NotWritten>)>,
}

impl Look {
    /// Looks, and does what can be done now. Our own book is read first: the broker may know more by
    /// then, and never less (S1).
    pub(super) async fn run(mut self) -> Looked {
        let ours = exposures::of_account(&self.shared.store, self.account.id).await;
        let theirs = positions(&self.shared, &self.account).await;
        let is_heard = theirs.is_some();
        let open = match ours {
            Ok(ours) => self.close(&ours, theirs.as_ref()).await,
            Err(error) => self.halts.iter().map(|halt| (halt.id, Err(unread(&error)))).collect(),
        };
        Looked { account: self.account.id, known: self.known, is_heard, open }
    }

    /// Closes what is held and covered. What fails for one position holds up no other one.
    async fn close(
        &mut self,
        ours: &[(Place, Exposure)],
        theirs: Option<&BTreeMap<Symbol, BrokerPosition>>,
    ) -> Vec<(Id<id::Halt>, Result<usize, NotWritten>)> {
        let halts = std::mem::take(&mut self.halts);
        let held: Vec<_> = halts.iter().map(|halt| (halt, self.held(halt, ours, theirs))).collect();
        let mut differing = BTreeSet::new();
        for held in held.iter().flat_map(|(_, all)| all).filter(|held| !held.is_flat()) {
            if !held.waits_for_broker() && self.differs_long(held) {
                differing.insert(held.symbol.clone());
            }
        }
        let foreign = self.foreign(differing).await;
        let mut open = Vec::with_capacity(held.len());
        for (halt, all) in held {
            let mut left = Ok(0_usize);
            for held in all {
                match self.step(halt, &held, &foreign).await {
                    Ok(is_there) => {
                        left = left.map(|count| count.saturating_add(usize::from(!is_there)));
                    }
                    Err(error) => left = Err(error),
                }
            }
            open.push((halt.id, left));
        }
        open
    }

    /// Of the instruments whose positions have differed for long, those that the broker's word is taken
    /// for: a difference that no leg of ours explains.
    async fn foreign(&mut self, differing: BTreeSet<Symbol>) -> BTreeSet<Symbol> {
        if differing.is_empty() {
            return differing;
        }
        for symbol in &differing {
            self.known.differences.remove(symbol);
        }
        nothing_of_exits(&self.shared, &self.account, differing).await
    }

    /// What the halt covers on an account, by our book and by the broker's.
    fn held(
        &self,
        halt: &Halt,
        ours: &[(Place, Exposure)],
        theirs: Option<&BTreeMap<Symbol, BrokerPosition>>,
    ) -> Vec<Held> {
        let mut symbols: BTreeSet<Symbol> =
            ours.iter().map(|(place, _)| place.symbol.clone()).collect();
        symbols.extend(theirs.iter().flat_map(|positions| positions.keys().cloned()));
        let known = |symbol: &Symbol| self.known.courses.contains_key(&(halt.id, symbol.clone()));
        let mut all = Vec::new();
        for symbol in symbols {
            let is_whole = self.covers(halt, &symbol, NO_STRATEGY);
            let parts = || ours.iter().filter(|(place, _)| place.symbol == symbol);
            let covered: BTreeSet<_> = parts()
                .map(|(place, _)| place.strategy_id)
                .filter(|strategy| is_whole || self.covers(halt, &symbol, *strategy))
                .collect();
            if !is_whole && covered.is_empty() {
                continue;
            }
            let is_flat_here = parts()
                .filter(|(place, _)| covered.contains(&place.strategy_id))
                .all(|(_, exposure)| exposure.there(Side::Sell).is_zero());
            let there = theirs.map(|positions| positions.get(&symbol));
            let held = Held {
                account: Arc::clone(&self.account),
                covered,
                is_flat_here,
                is_whole,
                ours: parts().fold(Exposure::default(), |sum, (_, part)| sum.and(part)),
                theirs: there.map(|there| there.map_or(Quantity::ZERO, |there| there.quantity)),
                price: there.flatten().and_then(|there| there.average_price),
                symbol,
            };
            if known(&held.symbol) || !(held.is_flat() || held.waits_for_broker()) {
                all.push(held);
            }
        }
        all
    }

    fn covers(&self, halt: &Halt, symbol: &Symbol, strategy: Id<id::Strategy>) -> bool {
        let strategy = (strategy != NO_STRATEGY).then_some(strategy);
        let directory = self.shared.directory.load();
        // A key holds what its strategy holds; that it has one was asked at the halt.
        let key = match &halt.scope {
            HaltScope::Key(id) => {
                let own = directory.keys.get(id).and_then(|known| known.key.strategy_id);
                (own.is_some() && own == strategy).then_some(*id)
            }
            _ => None,
        };
        let webhook = strategy.and_then(|id| directory.strategies.get(&id));
        halt.covers(&HaltSubject {
            org: self.account.org_id,
            account: self.account.id,
            strategy,
            webhook: webhook.and_then(|strategy| strategy.source.webhook()),
            key,
            symbol,
            passes_halts: true,
        })
    }

    /// Takes the next step toward flat; answers whether it is there.
    async fn step(
        &mut self,
        halt: &Halt,
        held: &Held,
        foreign: &BTreeSet<Symbol>,
    ) -> Result<bool, NotWritten> {
        let closing = (halt.id, held.symbol.clone());
        let now = self.shared.environment.now();
        if held.is_flat() {
            let (id, account, symbol) = (halt.id, self.account.id, held.symbol.clone());
            self.shared
                .journal
                .write(Urgency::Soon, async move |tx: &mut Tx<'_>, _: &mut Effects| {
                    halt_progress::note_position(tx, id, account, &symbol, Some(now)).await
                })
                .await?;
            self.known.courses.remove(&closing);
            return Ok(true);
        }
        if held.waits_for_broker() {
            return Ok(false);
        }
        if foreign.contains(&held.symbol) {
            self.adopt(held).await?;
        }
        let course = self.known.courses.get(&closing).copied().unwrap_or_default();
        if course.not_before > now {
            return Ok(false);
        }
        let placed = self.place(halt, held, course.tries == 0).await?;
        let tries = course.tries.saturating_add(u32::from(placed));
        let doubled = AGAIN_AFTER.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
        let wait = if placed { doubled.min(AGAIN_AFTER_MAX) } else { Duration::ZERO };
        self.known.courses.insert(closing, Course { tries, not_before: now.plus(wait) });
        Ok(false)
    }

    /// Whether the broker's position has differed from ours for so long that it is no fill that is
    /// still to be told.
    fn differs_long(&mut self, held: &Held) -> bool {
        let now = self.shared.environment.now();
        let Some(difference) = held.difference() else {
            self.known.differences.remove(&held.symbol);
            return false;
        };
        match self.known.differences.get(&held.symbol) {
            Some((before, since)) if *before == difference => since.plus(DIFFERS_FOR) <= now,
            _ => {
                self.known.differences.insert(held.symbol.clone(), (difference, now));
                false
            }
        }
    }

    /// Takes the broker's word for what is held: a position that was changed by hand is closed as it
    /// is there.
    async fn adopt(&self, held: &Held) -> Result<(), NotWritten> {
        let (shared, account, symbol) =
            (Arc::clone(&self.shared), Arc::clone(&held.account), held.symbol.clone());
        let (ours, price) = (held.ours.quantity, held.price);
        let Some(difference) = held.difference() else { return Ok(()) };
        self.shared
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                let mut book = Book::load(tx, &shared, &scope_of(&account, &symbol)).await?;
                // What has moved since is looked at anew.
                let pair = book.pair_exposure(account.id, &symbol);
                if pair.quantity != ours || moves(&book, &account, &symbol) {
                    return Ok(());
                }
                adopt::adopt_in(&shared, &mut book, &account, &symbol, difference, price);
                book.write(tx, effects).await
            })
            .await
    }

    /// Places the exits of a pair, unless something has to end first; answers whether it did, or
    /// tried.
    async fn place(&self, halt: &Halt, held: &Held, first: bool) -> Result<bool, NotWritten> {
        let (shared, id) = (Arc::clone(&self.shared), halt.id);
        let (account, symbol) = (Arc::clone(&held.account), held.symbol.clone());
        let (covered, theirs) = (held.covered.clone(), held.theirs);
        self.shared
            .journal
            .write(Urgency::Now, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
                if !rows::halts_in(tx).await?.iter().any(|halt| halt.id == id) {
                    return Ok(false);
                }
                halt_progress::note_position(tx, id, account.id, &symbol, None).await?;
                let mut book = Book::load(tx, &shared, &scope_of(&account, &symbol)).await?;
                let by = format!("halt {id}");
                for strategy in &covered {
                    let part = (account.id, Some(*strategy));
                    let _any = book.end_rolls_to_come(&shared, part, &symbol, &by);
                }
                if clear_the_way(&shared, &mut book, &account, &symbol, &covered, &by) {
                    book.write(tx, effects).await?;
                    return Ok(false);
                }
                let told = exits(&shared, &mut book, &account, &symbol, &covered, theirs, &by);
                if let Err(detail) = &told
                    && first
                {
                    let subject = format!("{} {symbol}", account.id);
                    let (org, code) = (account.org_id, "halt.not_closed");
                    book.find(&shared, org, code, Severity::Critical, subject, detail.clone());
                }
                book.write(tx, effects).await?;
                Ok::<_, Error>(told.is_err() || told == Ok(true))
            })
            .await
    }
}

async fn positions(shared: &Shared, account: &Account) -> Option<BTreeMap<Symbol, BrokerPosition>> {
    let broker = shared.brokers.get(&account.broker)?;
    let asked = broker.positions(BrokerAccount::new(&account.broker_account));
    match timeout(HEARD_WITHIN, asked).await {
        Ok(Ok(positions)) => {
            let by_symbol = |position: BrokerPosition| (position.symbol.clone(), position);
            Some(positions.into_iter().map(by_symbol).collect())
        }
        Ok(Err(unheard)) => {
            tracing::warn!(account.id = %account.id, why = %unheard, "positions are not heard");
            None
        }
        Err(_elapsed) => {
            tracing::warn!(account.id = %account.id, "positions are not heard in time");
            None
        }
    }
}

pub(super) fn part(account: &Account, symbol: &Symbol) -> Place {
    Place { account_id: account.id, symbol: symbol.clone(), strategy_id: NO_STRATEGY }
}

fn scope_of(account: &Account, symbol: &Symbol) -> Scope {
    let mut scope = Scope::default();
    scope.add(account.org_id, account.id, symbol);
    scope.pairs_with_live_orders.insert((account.id, symbol.clone()));
    scope
}

/// Whether an order may still move the position; the legs of a bracket rest.
fn moves(book: &Book, account: &Account, symbol: &Symbol) -> bool {
    book.live_on_pair(&part(account, symbol)).iter().any(|order| order.leg.is_none())
}

/// Takes back the exits that rest (S4); answers whether an exit of these strategies is on its way:
/// there is one at a time.
fn clear_the_way(
    shared: &Shared,
    book: &mut Book,
    account: &Account,
    symbol: &Symbol,
    covered: &BTreeSet<Id<id::Strategy>>,
    by: &str,
) -> bool {
    let live = book.live_on_pair(&part(account, symbol)).into_iter();
    let exits: Vec<_> = live
        // The legs of a bracket make room by themselves (S9).
        .filter(|order| order.purpose == Purpose::Exit && order.leg.is_none())
        .filter(|order| covered.contains(&place_of(order).strategy_id))
        .collect();
    let any = !exits.is_empty();
    for mut order in exits {
        if order.order_type == OrderType::Market || order.cancel_requested {
            continue;
        }
        let event = if order.state == OrderState::Accepted {
            book.advance(&mut order, OrderEvent::Cancel, Some(Code::OrderSuperseded));
            "order.canceled"
        } else {
            order.cancel_requested = true;
            "order.cancel_requested"
        };
        book.enter(shared, order.org_id, order.id, event, payload::by(&order, by));
        book.put_order(order);
    }
    any
}

/// Places an exit for each part of a position, and never more than the broker holds; answers whether
/// there was any, or why one was refused.
fn exits(
    shared: &Shared,
    book: &mut Book,
    account: &Arc<Account>,
    symbol: &Symbol,
    covered: &BTreeSet<Id<id::Strategy>>,
    theirs: Option<Quantity>,
    by: &str,
) -> Result<bool, String> {
    let mut any = false;
    for side in [Side::Sell, Side::Buy] {
        let there = |theirs: Quantity| match side {
            Side::Sell => theirs.max(Quantity::ZERO),
            Side::Buy => theirs.negated().max(Quantity::ZERO),
        };
        let mut room = theirs.map_or(Quantity::MAX, there);
        for strategy in covered {
            let place = Place { strategy_id: *strategy, ..part(account, symbol) };
            let quantity = book.exposure(&place).there(side).min(room);
            if !quantity.is_positive() {
                continue;
            }
            room = room.saturating_minus(quantity);
            let by = by.to_owned();
            let leaving = Leaving { place: &place, side, quantity, passes_halts: true, by };
            leave(shared, book, account, &leaving, &Actor::operator())
                .map_err(|refusal| format!("{quantity} of {symbol}: {}", refusal.detail))?;
            any = true;
        }
    }
    Ok(any)
}
