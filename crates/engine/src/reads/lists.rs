//! Lists that grow for ever, newest first: a page of what a filter lets through.
//!
//! Rows lie in the order of their identifiers, which is that of time, so a span of time is found at
//! once. Everything else is compared row by row, and a page looks at so many rows and no more: it may
//! be shorter than was asked for, and still have a `next`. An index for each filter would be written
//! with every order, which costs more than rare searches are worth.

use super::{finding_view, may_see, signal_view, window};
use crate::Engine;
use crate::actor::Actor;
use crate::command::error::{CommandError, away};
use crate::command::{Filter, Search};
use crate::signal::SignalStatus;
use crate::view::{EntryView, FindingView, OrderView, Page, PositionView, SignalView};
use serde_json::value::RawValue;
use std::str::FromStr;
use tradewarden_domain::id::{self, Id, Kind};
use tradewarden_domain::order::{Order, OrderState};
use tradewarden_store::audit::Placed;
use tradewarden_store::findings::Finding;
use tradewarden_store::signals::StoredSignal;
use tradewarden_store::{Error, audit, findings, orders, signals};

/// Rows that one page looks at, but for more of the same millisecond.
const LOOKED_AT_MAX: usize = 2_000;
/// Leading bytes of an identifier that tell its millisecond.
const MILLISECOND_BYTES: usize = 6;
/// Rows that are read at one time where not all of them are shown.
const READ: u32 = 200;

impl Engine {
    pub(crate) async fn signal_page(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        search: &Search,
    ) -> Result<Page<SignalView>, CommandError> {
        let filter = &search.filter;
        let status: Option<SignalStatus> = word("status", filter.status.as_deref())?;
        let keep = |row: &StoredSignal| {
            may_see(actor, row)
                && filter.source.is_none_or(|source| source == row.source)
                && status.is_none_or(|status| status.text() == row.status)
                && filter.code.as_deref().is_none_or(|code| row.code.as_deref() == Some(code))
                && came_to(filter, &row.accounts)
        };
        let read = |before, count| signals::page(&self.parts.store, org, before, count);
        let all = filter.is_empty() && actor.reaches_all();
        let (rows, next) = sieve(search, all, read, |row| row.id, keep).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            items.push(signal_view(&self.parts, row).await?);
        }
        Ok(Page { items, next })
    }

    pub(crate) async fn order_page(
        &self,
        org: Id<id::Org>,
        actor: &Actor,
        search: &Search,
    ) -> Result<Page<OrderView>, CommandError> {
        let filter = &search.filter;
        let state: Option<OrderState> = word("state", filter.state.as_deref())?;
        let keep = |order: &Order| {
            actor.reaches(order.account_id)
                && filter.account_id.is_none_or(|id| id == order.account_id)
                && filter.strategy_id.is_none_or(|id| order.strategy_id == Some(id))
                && filter.symbol.as_ref().is_none_or(|symbol| *symbol == order.symbol)
                && state.is_none_or(|state| state == order.state)
        };
        let read = |before, count| orders::page(&self.parts.store, org, before, count);
        let all = filter.is_empty() && actor.reaches_all();
        let (rows, next) = sieve(search, all, read, |order| order.id, keep).await?;
        Ok(Page { items: rows.into_iter().map(OrderView::from).collect(), next })
    }

    pub(crate) async fn finding_page(
        &self,
        org: Id<id::Org>,
        search: &Search,
    ) -> Result<Page<FindingView>, CommandError> {
        let filter = &search.filter;
        let about = [
            filter.account_id.map(|id| id.to_string()),
            filter.strategy_id.map(|id| id.to_string()),
            filter.source.map(|source| source.to_string()),
        ];
        let keep = |row: &Finding| {
            filter.code.as_ref().is_none_or(|code| *code == row.code)
                && filter.severity.as_ref().is_none_or(|severity| *severity == row.severity)
                && about.iter().flatten().all(|id| row.subject.contains(id.as_str()))
        };
        let read = |before, count| findings::page(&self.parts.store, org, before, count);
        let (rows, next) = sieve(search, filter.is_empty(), read, |row| row.id, keep).await?;
        Ok(Page { items: rows.into_iter().map(finding_view).collect(), next })
    }

    pub(crate) async fn entry_page(
        &self,
        org: Id<id::Org>,
        search: &Search,
    ) -> Result<Page<EntryView>, CommandError> {
        let filter = &search.filter;
        let keep = |row: &Placed| says(filter, &row.leaf);
        let read = |before, count| audit::page(&self.parts.store, org, before, count);
        let (rows, next) = sieve(search, filter.is_empty(), read, |row| row.id, keep).await?;
        let broken =
            |_| CommandError::Unavailable { detail: "a stored entry is unreadable".to_owned() };
        let items = rows.into_iter().map(|row| -> Result<EntryView, CommandError> {
            Ok(EntryView {
                id: row.id,
                index: row.position,
                leaf: RawValue::from_string(row.leaf).map_err(broken)?,
                payload: RawValue::from_string(row.payload).map_err(broken)?,
            })
        });
        Ok(Page { items: items.collect::<Result<_, CommandError>>()?, next })
    }
}

/// The positions that a filter lets through; there are few.
pub(super) fn held(filter: &Filter, mut all: Vec<PositionView>) -> Page<PositionView> {
    all.retain(|position| {
        filter.account_id.is_none_or(|id| id == position.account_id)
            && filter.symbol.as_ref().is_none_or(|symbol| *symbol == position.symbol)
            && filter.strategy_id.is_none_or(|id| {
                position.strategies.iter().any(|part| part.strategy_id == Some(id))
            })
    });
    Page { items: all, next: None }
}

/// Reads until the page is full, the span of time has ended or so many rows were looked at. `all` says
/// that every row is kept. What the next page begins after is the last row that is shown, or an instant:
/// a row that is not shown may be one that the caller must not know of.
pub(crate) async fn sieve<K: Kind, T, R: Future<Output = Result<Vec<T>, Error>>>(
    search: &Search,
    all: bool,
    read: impl Fn(Id<K>, u32) -> R,
    id: impl Fn(&T) -> Id<K>,
    keep: impl Fn(&T) -> bool,
) -> Result<(Vec<T>, Option<String>), CommandError> {
    let (mut before, count) = window(&search.paging())?;
    if let Some(to) = search.filter.to {
        before = before.min(Id::new(to, [0; 10]));
    }
    let oldest = search.filter.from.map(|from| Id::new(from, [0; 10]));
    let (wanted, step) =
        (usize::try_from(count).unwrap_or(0), if all { count.saturating_add(1) } else { READ });
    let (mut kept, mut looked_at, mut shown) = (Vec::new(), 0_usize, None);
    loop {
        let rows = read(before, step).await.map_err(|error| away(&error))?;
        let is_last = rows.len() < usize::try_from(step).unwrap_or(0);
        for row in rows {
            let place = id(&row);
            if oldest.is_some_and(|oldest| place < oldest) {
                return Ok((kept, None));
            }
            // No page ends between rows of one millisecond: it would have to name one of them.
            let begun = begin_of_millisecond(before);
            if looked_at >= LOOKED_AT_MAX && begin_of_millisecond(place) != begun {
                return Ok((kept, Some(begun.bare_text())));
            }
            if keep(&row) {
                if kept.len() == wanted {
                    return Ok((kept, shown.map(Id::bare_text)));
                }
                shown = Some(place);
                kept.push(row);
            }
            before = place;
            looked_at = looked_at.saturating_add(1);
        }
        if is_last {
            return Ok((kept, None));
        }
    }
}

/// The first identifier that can be made in the millisecond in which this one was.
fn begin_of_millisecond<K: Kind>(id: Id<K>) -> Id<K> {
    let mut bytes = id.to_bytes();
    bytes.iter_mut().skip(MILLISECOND_BYTES).for_each(|byte| *byte = 0);
    Id::from_bytes(bytes)
}

fn word<T: FromStr>(field: &'static str, text: Option<&str>) -> Result<Option<T>, CommandError> {
    let wrong = |_| CommandError::Invalid { field, detail: "must be one of its words".to_owned() };
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// Whether a signal came to the account and the strategy that are meant.
fn came_to(filter: &Filter, accounts: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Result {
        account_id: Id<id::Account>,
        strategy_id: Id<id::Strategy>,
    }
    if filter.account_id.is_none() && filter.strategy_id.is_none() {
        return true;
    }
    let results: Vec<Result> = serde_json::from_str(accounts).unwrap_or_default();
    results.iter().any(|result| {
        filter.account_id.is_none_or(|id| id == result.account_id)
            && filter.strategy_id.is_none_or(|id| id == result.strategy_id)
    })
}

/// Whether an entry says what is meant about what is meant.
fn says(filter: &Filter, leaf: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Leaf<'l> {
        event: &'l str,
        object: &'l str,
    }
    if filter.event.is_none() && filter.object.is_none() {
        return true;
    }
    serde_json::from_str::<Leaf<'_>>(leaf).is_ok_and(|leaf| {
        filter.event.as_ref().is_none_or(|event| event == leaf.event)
            && filter.object.as_ref().is_none_or(|object| object == leaf.object)
    })
}
