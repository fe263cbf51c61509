//! The two imagined books of a replay, and how they are carried from one step to the next.

use crate::administer::invalid;
use crate::book::Book;
use crate::command::CommandError;
use crate::command::replay::{ReplayBook, ReplayMinute, ReplayPosition, ReplayState};
use crate::directory::Directory;
use crate::reads::away;
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::rate::OrderCounter;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{hex_decode, hex_encode};
use tradewarden_store::exposures::Place;
use tradewarden_store::{Store, orders};

/// Positions that a replay carries along.
const POSITIONS_MAX: usize = 4_000;

pub(super) struct Books {
    /// By the limits that were in force.
    pub(super) as_then: Book,
    /// By the policy.
    pub(super) now: Book,
}

impl Books {
    /// Both with the same positions.
    pub(super) fn begin(org: Id<id::Org>, directory: &Directory, held: &[ReplayPosition]) -> Self {
        let book = || ReplayBook { positions: held.to_vec(), minutes: Vec::new() };
        Self { as_then: imagined(org, directory, &book()), now: imagined(org, directory, &book()) }
    }

    /// As the step before has left them.
    pub(super) fn read(
        org: Id<id::Org>,
        directory: &Directory,
        state: &ReplayState,
    ) -> Result<Self, CommandError> {
        let positions = [&state.as_then, &state.now].map(|book| book.positions.len());
        let most = positions.into_iter().max().unwrap_or(0).max(state.prices.len());
        if most > POSITIONS_MAX {
            return Err(too_many());
        }
        Ok(Self {
            as_then: imagined(org, directory, &state.as_then),
            now: imagined(org, directory, &state.now),
        })
    }
}

fn too_many() -> CommandError {
    invalid("state", &format_args!("a replay carries at most {POSITIONS_MAX} positions"))
}

fn imagined(org: Id<id::Org>, directory: &Directory, book: &ReplayBook) -> Book {
    let mut counters: BTreeMap<_, _> = book
        .minutes
        .iter()
        .map(|minute| {
            // What is malformed counts as nothing, as where it is stored.
            let bytes = hex_decode(&minute.counter).unwrap_or_default();
            (minute.account_id, OrderCounter::from_bytes(&bytes))
        })
        .collect();
    let own = directory.accounts.values().filter(|account| account.org_id == org);
    let accounts = own
        .map(|account| (account.as_ref(), counters.remove(&account.id).unwrap_or_default()))
        .collect::<Vec<_>>();
    let exposures = book.positions.iter().map(|held| {
        let place = Place {
            account_id: held.account_id,
            symbol: held.symbol.clone(),
            strategy_id: held.strategy_id,
        };
        let exposure = Exposure {
            quantity: held.quantity,
            entry_sent_at: held.entry_sent_at,
            ..Exposure::default()
        };
        (place, exposure)
    });
    Book::imagined(Arc::clone(&directory.rolls), accounts.into_iter(), exposures.collect())
}

/// What is left of a book after a step.
pub(super) fn written(book: &Book) -> Result<ReplayBook, CommandError> {
    let positions: Vec<_> = book
        .positions()
        .map(|(place, exposure)| ReplayPosition {
            account_id: place.account_id,
            symbol: place.symbol.clone(),
            strategy_id: place.strategy_id,
            quantity: exposure.quantity,
            entry_sent_at: exposure.entry_sent_at,
        })
        .collect();
    if positions.len() > POSITIONS_MAX {
        return Err(too_many());
    }
    let minutes = book.counters().map(|(account_id, counter)| ReplayMinute {
        account_id,
        counter: hex_encode(&counter.to_bytes()),
    });
    Ok(ReplayBook { positions, minutes: minutes.collect() })
}

/// What an organization held at a time: the sum of the fills before it.
pub(super) async fn held_at(
    store: &Store,
    org: Id<id::Org>,
    at: Timestamp,
) -> Result<Vec<ReplayPosition>, CommandError> {
    let most = u32::try_from(POSITIONS_MAX).unwrap_or(u32::MAX);
    let held = orders::held_at(store, org, at, most.saturating_add(1)).await;
    let held = held.map_err(|error| away(&error))?;
    if held.len() > POSITIONS_MAX {
        return Err(too_many());
    }
    let position = |(place, quantity): (Place, _)| ReplayPosition {
        account_id: place.account_id,
        symbol: place.symbol,
        strategy_id: place.strategy_id,
        quantity,
        entry_sent_at: None,
    };
    Ok(held.into_iter().map(position).collect())
}
