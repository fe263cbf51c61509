//! The two imagined books of a replay, and how they are carried from one step to the next.

use super::days::Days;
use super::losses::Losses;
use super::prices;
use crate::around::Around;
use crate::book::{Book, Open, place_of, source_of};
use crate::command::error::{CommandError, away, invalid};
use crate::command::replay::{
    ReplayBook, ReplayMinute, ReplayOpen, ReplayPosition, ReplayRecent, ReplayState,
};
use crate::directory::Directory;
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::{OrderState, Purpose};
use tradewarden_domain::profit::Points;
use tradewarden_domain::rate::{OrderCounter, Source};
use tradewarden_domain::recent::RecentEntries;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{hex_decode, hex_encode};
use tradewarden_store::exposures::Place;
use tradewarden_store::{Store, orders};

/// Positions that a replay carries along; places with recent entries, and open orders, as many.
pub(super) const POSITIONS_MAX: usize = 4_000;
/// Orders before a period that tell what was sent lately and what was open.
const ORDERS_BEFORE: u32 = 2_000;

pub(super) struct Books {
    /// By the limits that were in force.
    pub(super) as_then: Book,
    /// By the policy.
    pub(super) now: Book,
}

/// What both books are made of.
pub(super) struct Ground<'a> {
    pub(super) org: Id<id::Org>,
    pub(super) directory: &'a Directory,
    pub(super) days: &'a Days,
    /// Those of today.
    pub(super) rates: Vec<ExchangeRate>,
}

impl Ground<'_> {
    /// When the first of the sessions began that an instant is in: from then on losses count.
    pub(super) fn watched_from(&self, from: Timestamp) -> Timestamp {
        let own = self.directory.accounts.values().filter(|account| account.org_id == self.org);
        let sessions = own.map(|account| self.days.began(account, from));
        sessions.min().unwrap_or(from)
    }
}

impl Books {
    /// Both the same.
    pub(super) fn begin(ground: &Ground<'_>, book: &ReplayBook) -> Self {
        Self { as_then: imagined(ground, book), now: imagined(ground, book) }
    }

    /// As the step before has left them.
    pub(super) fn read(ground: &Ground<'_>, state: &ReplayState) -> Result<Self, CommandError> {
        let sizes = [&state.as_then, &state.now]
            .map(|book| book.positions.len().max(book.recent.len()).max(book.open.len()));
        let most = sizes.into_iter().max().unwrap_or(0).max(state.prices.len());
        if most > POSITIONS_MAX {
            return Err(too_many());
        }
        Ok(Self { as_then: imagined(ground, &state.as_then), now: imagined(ground, &state.now) })
    }
}

pub(super) fn too_many() -> CommandError {
    invalid("state", &format_args!("a replay carries at most {POSITIONS_MAX} positions"))
}

fn imagined(ground: &Ground<'_>, book: &ReplayBook) -> Book {
    let Ground { org, directory, rates, .. } = ground;
    let mut counters: BTreeMap<_, _> = book
        .minutes
        .iter()
        .map(|minute| {
            // What is malformed counts as nothing, as where it is stored.
            let bytes = hex_decode(&minute.counter).unwrap_or_default();
            (minute.account_id, OrderCounter::from_bytes(&bytes))
        })
        .collect();
    let own = directory.accounts.values().filter(|account| account.org_id == *org);
    let accounts = own
        .map(|account| (account.as_ref(), counters.remove(&account.id).unwrap_or_default()))
        .collect::<Vec<_>>();
    let exposures = book.positions.iter().map(|held| {
        let place = Place {
            account_id: held.account_id,
            symbol: held.symbol.clone(),
            strategy_id: held.strategy_id,
        };
        // What is malformed counts as nothing, as above.
        let points = |text: &str| Points::from_units(text.parse().unwrap_or_default());
        let exposure = Exposure {
            quantity: held.quantity,
            cost: points(&held.cost),
            realized: points(&held.realized),
            fees: held.fees,
            entry_sent_at: held.entry_sent_at,
            ..Exposure::default()
        };
        (place, exposure)
    });
    let recent = book.recent.iter().map(|recent| {
        let place = Place {
            account_id: recent.account_id,
            symbol: recent.symbol.clone(),
            strategy_id: recent.strategy_id,
        };
        let bytes = hex_decode(&recent.entries).unwrap_or_default();
        (place, RecentEntries::from_bytes(&bytes))
    });
    let all = accounts.iter().map(|(account, _)| account.id);
    let around = Around::imagined(*org, all, rates.clone(), recent.collect());
    let open = book.open.iter().map(|open| Open {
        account_id: open.account_id,
        source: Source {
            strategy: open.strategy_id,
            key: open.key_id,
            symbol: open.symbol.clone(),
        },
        until: open.until,
    });
    let (rolls, exposures) = (Arc::clone(&directory.rolls), exposures.collect());
    Book::imagined(rolls, accounts.into_iter(), exposures, around, open.collect())
}

/// What is left of a book after a step.
pub(super) fn written(book: &Book, losses: &Losses) -> Result<ReplayBook, CommandError> {
    let positions: Vec<_> =
        book.positions().map(|(place, exposure)| position_of(place, exposure)).collect();
    let recent: Vec<_> = book.recent().map(|(place, recent)| recent_of(place, recent)).collect();
    if positions.len().max(recent.len()) > POSITIONS_MAX {
        return Err(too_many());
    }
    Ok(ReplayBook {
        positions,
        minutes: book.counters().map(minute_of).collect(),
        recent,
        open: book.open().iter().map(open_of).collect(),
        watches: losses.written()?,
    })
}

fn position_of(place: &Place, exposure: &Exposure) -> ReplayPosition {
    ReplayPosition {
        account_id: place.account_id,
        symbol: place.symbol.clone(),
        strategy_id: place.strategy_id,
        quantity: exposure.quantity,
        cost: exposure.cost.units().to_string(),
        realized: exposure.realized.units().to_string(),
        fees: exposure.fees,
        entry_sent_at: exposure.entry_sent_at,
    }
}

fn minute_of((account_id, counter): (Id<id::Account>, &OrderCounter)) -> ReplayMinute {
    ReplayMinute { account_id, counter: hex_encode(&counter.to_bytes()) }
}

fn recent_of(place: &Place, recent: &RecentEntries) -> ReplayRecent {
    ReplayRecent {
        account_id: place.account_id,
        symbol: place.symbol.clone(),
        strategy_id: place.strategy_id,
        entries: hex_encode(&recent.to_bytes()),
    }
}

fn open_of(open: &Open) -> ReplayOpen {
    ReplayOpen {
        account_id: open.account_id,
        symbol: open.source.symbol.clone(),
        strategy_id: open.source.strategy,
        key_id: open.source.key,
        until: open.until,
    }
}

/// How an organization stood at a time, when it held this: what it had sent lately, what was open.
pub(super) async fn book_at(
    store: &Store,
    org: Id<id::Org>,
    at: Timestamp,
    held: &BTreeMap<Place, Exposure>,
) -> Result<ReplayBook, CommandError> {
    let before = orders::page(store, org, Id::new(at, [0; 10]), ORDERS_BEFORE).await;
    let mut before = before.map_err(|error| away(&error))?;
    before.retain(|order| order.state != OrderState::Refused);
    let (mut recent, mut counters) = (BTreeMap::new(), BTreeMap::new());
    for order in before.iter().rev().filter(|order| order.purpose == Purpose::Entry) {
        let of: &mut RecentEntries = recent.entry(place_of(order)).or_default();
        of.add(order.created_at, order.side, order.quantity);
        let counter: &mut OrderCounter = counters.entry(order.account_id).or_default();
        counter.add(order.created_at, source_of(order));
    }
    let is_open = |open: &Open| open.until.is_none_or(|until| until > at);
    let open = before.iter().map(prices::open).filter(is_open);
    let minutes = counters.iter().map(|(account, counter)| minute_of((*account, counter)));
    Ok(ReplayBook {
        positions: held.iter().map(|(place, held)| position_of(place, held)).collect(),
        minutes: minutes.collect(),
        recent: recent.iter().map(|(place, recent)| recent_of(place, recent)).collect(),
        open: open.map(|open| open_of(&open)).collect(),
        watches: Vec::new(),
    })
}
