//! Orders that are live, read to the last: what stops and cancels may overlook none.

use tradewarden_domain::id::{self, Id};
use tradewarden_domain::order::Order;
use tradewarden_store::{Error, Store, orders};

/// Orders of one statement.
const PAGE: i64 = 2_000;

/// Those of everybody.
pub(crate) async fn all(store: &Store) -> Result<Vec<Order>, Error> {
    let mut all: Vec<Order> = Vec::new();
    loop {
        let page = orders::live(store, all.last(), PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Those of an organization; without one, of everybody.
pub(crate) async fn of(store: &Store, org: Option<Id<id::Org>>) -> Result<Vec<Order>, Error> {
    let Some(org) = org else { return all(store).await };
    let mut own: Vec<Order> = Vec::new();
    loop {
        let after = own.last().map(|order| order.id);
        let page = orders::live_of_org(store, org, after, PAGE).await?;
        if page.is_empty() {
            return Ok(own);
        }
        own.extend(page);
    }
}

/// The legs of brackets of everybody.
pub(crate) async fn legs(store: &Store) -> Result<Vec<Order>, Error> {
    let mut legs: Vec<Order> = Vec::new();
    loop {
        let page = orders::legs(store, legs.last(), PAGE).await?;
        if page.is_empty() {
            return Ok(legs);
        }
        legs.extend(page);
    }
}

/// The exits of everybody that rest at a limit and are no legs.
pub(crate) async fn resting_exits(store: &Store) -> Result<Vec<Order>, Error> {
    let mut exits: Vec<Order> = Vec::new();
    loop {
        let page = orders::resting_exits(store, exits.last(), PAGE).await?;
        if page.is_empty() {
            return Ok(exits);
        }
        exits.extend(page);
    }
}
