//! The stored fills of a replay: what was held when it begins, and what no signal of the period brought.
//! A leg of a bracket, an order by request, what a halt closed: these are taken as they were, what closes
//! as far as there is something to close.

use super::books::too_many;
use crate::book::Book;
use crate::command::error::{CommandError, away, invalid};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::{Money, Quantity, Round};
use tradewarden_domain::order::{Order, Purpose};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::exposures::Place;
use tradewarden_store::orders::{self, Trade};
use tradewarden_store::{Error, Store};

/// Fills that are read at one time.
const PAGE: u32 = 2_000;
/// Fills before a period that are folded into what was held.
const BEFORE_MAX: usize = 1_000_000;
/// The broker's clock may be so far from ours.
const CLOCKS_APART: Duration = Duration::from_mins(1);

/// A place in the order of the brokers' clocks.
pub(super) type Cursor = (Timestamp, Id<id::Fill>);

/// The first place.
pub(super) const FIRST: Cursor = (Timestamp::from_unix_micros(0), Id::from_bytes([0; 16]));

/// Fills in the order of the brokers' clocks.
pub(super) struct Trades {
    after: Cursor,
    read: Cursor,
    end: Timestamp,
    queue: VecDeque<Trade>,
    is_read: bool,
}

impl Trades {
    /// Those after this place and before `end`.
    pub(super) const fn after(after: Cursor, end: Timestamp) -> Self {
        Self { after, read: after, end, queue: VecDeque::new(), is_read: false }
    }

    /// The last one that was taken.
    pub(super) const fn cursor(&self) -> Cursor {
        self.after
    }

    /// When the next one was, if it was before `before`.
    pub(super) async fn next_at(
        &mut self,
        store: &Store,
        org: Id<id::Org>,
        before: Timestamp,
    ) -> Result<Option<Timestamp>, CommandError> {
        if self.queue.is_empty() && !self.is_read {
            let page = orders::trades(store, org, self.read, self.end, PAGE).await;
            let page = page.map_err(|error| away(&error))?;
            self.is_read = u32::try_from(page.len()).unwrap_or(PAGE) < PAGE;
            if let Some(last) = page.last() {
                self.read = (last.at, last.id);
            }
            self.queue = page.into();
        }
        Ok(self.queue.front().map(|trade| trade.at).filter(|at| *at < before))
    }

    /// Takes the next one.
    pub(super) fn take(&mut self) -> Option<Trade> {
        let trade = self.queue.pop_front()?;
        self.after = (trade.at, trade.id);
        Some(trade)
    }
}

/// What was held at a time, what it cost and what was made of it: the fills before.
pub(super) async fn fold(
    store: &Store,
    org: Id<id::Org>,
    trades: &mut Trades,
    to: Timestamp,
    places_max: usize,
) -> Result<BTreeMap<Place, Exposure>, CommandError> {
    let mut held = BTreeMap::<Place, Exposure>::new();
    let mut count: usize = 0;
    while trades.next_at(store, org, to).await?.is_some() {
        let Some(trade) = trades.take() else { break };
        count = count.saturating_add(1);
        if count > BEFORE_MAX {
            return Err(invalid("from", &format_args!("has more than {BEFORE_MAX} fills before")));
        }
        let exposure = held.entry(trade.place.clone()).or_default();
        let Trade { side, quantity, price, fee, .. } = trade;
        if exposure.fill(side, quantity, price, fee).is_none() {
            tracing::debug!(fill.id = %trade.id, "a stored fill does not fit");
        }
        if held.len() > places_max {
            return Err(too_many());
        }
    }
    Ok(held)
}

/// Takes a fill into a book as it was; what closes, as far as there is something to close.
pub(super) fn take(book: &mut Book, trade: &Trade) {
    let Trade { place, side, price, .. } = trade;
    let whole = trade.quantity;
    let quantity = match trade.purpose {
        Purpose::Entry => whole,
        Purpose::Exit => whole.min(book.exposure(place).held(*side).max(Quantity::ZERO)),
    };
    if quantity.is_positive() {
        book.take_fill(place, *side, quantity, *price, part_of(trade.fee, quantity, whole));
    }
}

/// The part of a fee that a part of a fill has.
pub(crate) fn part_of(fee: Money, part: Quantity, whole: Quantity) -> Money {
    fee.ratio(part.units(), whole.units(), Round::Up).unwrap_or(fee)
}

/// The fills of an order.
pub(super) async fn of_order(store: &Store, order: &Order) -> Result<Vec<Trade>, Error> {
    if !order.filled_quantity.is_positive() {
        return Ok(Vec::new());
    }
    let from = order.created_at.minus(CLOCKS_APART);
    let to = order.updated_at.plus(CLOCKS_APART);
    let after = (from, Id::from_bytes([0; 16]));
    let mut trades = orders::trades(store, order.org_id, after, to, PAGE).await?;
    trades.retain(|trade| trade.order_id == order.id);
    Ok(trades)
}
