//! Where a step of a replay begins.

use super::books::{Books, Ground, POSITIONS_MAX, book_at};
use super::losses::Losses;
use super::trades::{self, Trades};
use crate::command::error::{CommandError, away, invalid};
use crate::command::replay::ReplayState;
use std::collections::BTreeMap;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Price;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Store, orders};

/// Where a step begins.
pub(super) struct Began {
    pub(super) after: Option<Id<id::Signal>>,
    pub(super) books: Books,
    pub(super) losses_then: Losses,
    pub(super) losses_now: Losses,
    pub(super) trades: Trades,
    pub(super) prices: BTreeMap<Symbol, Price>,
}

impl Began {
    /// Where the step before ended, or what was held when the session began in which the period begins.
    pub(super) async fn read(
        store: &Store,
        ground: &Ground<'_>,
        state: Option<&ReplayState>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Self, CommandError> {
        let Some(state) = state else { return Self::first(store, ground, (from, to)).await };
        let unreadable = || invalid("state", &"cannot be read");
        let losses = |watches| Losses::read(state.losses_at, watches).ok_or_else(unreadable);
        let prices = state.prices.iter().map(|known| (known.symbol.clone(), known.price));
        Ok(Self {
            after: Some(state.after),
            books: Books::read(ground, state)?,
            losses_then: losses(&state.as_then.watches)?,
            losses_now: losses(&state.now.watches)?,
            trades: Trades::after((state.fills_at, state.fills_after), to),
            prices: prices.collect(),
        })
    }

    async fn first(
        store: &Store,
        ground: &Ground<'_>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Self, CommandError> {
        let (org, at) = (ground.org, ground.watched_from(from));
        let mut trades = Trades::after(trades::FIRST, to);
        let held = trades::fold(store, org, &mut trades, at, POSITIONS_MAX).await?;
        let book = book_at(store, org, from, &held).await?;
        let most = u32::try_from(POSITIONS_MAX).unwrap_or(u32::MAX);
        let prices = orders::last_prices(store, org, from, most).await;
        Ok(Self {
            after: None,
            books: Books::begin(ground, &book),
            losses_then: Losses::begin(at),
            losses_now: Losses::begin(at),
            trades,
            prices: prices.map_err(|error| away(&error))?.into_iter().collect(),
        })
    }
}
