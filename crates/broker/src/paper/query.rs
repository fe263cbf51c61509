//! What the exchange says about itself.

use super::judge::{unknown_account, unknown_symbol};
use super::message::Reply;
use super::order::{PaperOrder, Rejection};
use super::state::{Account, IdOrder, PaperExchange};
use crate::port::{AccountState, BrokerAccount, BrokerPosition, Lookup, OrderName, Page, Quote};
use std::ops::Bound;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Money;
use tradewarden_domain::time::Timestamp;

/// Items of one page: with it the longest page fits a frame of the socket.
pub const PAGE_MAX: usize = 100;

impl From<Rejection> for Reply {
    fn from(Rejection { code, reason }: Rejection) -> Self {
        Self::Refused { code, reason }
    }
}

fn bad_cursor() -> Reply {
    Reply::refused("invalid_cursor", "the cursor is none of this exchange's")
}

/// Reads a cursor of numbers; without one, the beginning.
fn number(cursor: Option<&str>) -> Option<u64> {
    match cursor {
        None => Some(0),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Some(_) => None,
    }
}

fn after_symbol(cursor: Option<&str>) -> Option<Bound<Symbol>> {
    match cursor {
        None => Some(Bound::Unbounded),
        Some(text) => text.parse().ok().map(Bound::Excluded),
    }
}

/// A page of so many items and the cursor behind the last of them.
fn page<T>(
    items: impl Iterator<Item = (String, T)>,
    limit: usize,
    cursor: Option<String>,
) -> Page<T> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut page = Page { items: Vec::new(), next_cursor: cursor };
    for (place, item) in items.take(limit) {
        page.items.push(item);
        page.next_cursor = Some(place);
    }
    page
}

impl PaperExchange {
    /// The counters.
    pub fn counts(&self) -> super::PaperCounts {
        self.counts
    }

    /// How often a placement of this client order id arrived, over all accounts.
    pub fn times_received(&self, client_order_id: &str) -> u64 {
        let known = self.accounts.values().filter_map(|account| account.ids.get(client_order_id));
        known.map(|id| u64::from(id.received)).sum()
    }

    pub(super) fn find(&self, name: &OrderName) -> Lookup {
        let Some(account) = self.accounts.get(&name.account) else {
            return Lookup::Unheard { why: "there is no such account".to_owned() };
        };
        match (self.named(name), account.ids.get(&name.client_order_id)) {
            (Some(order), _) => Lookup::Found(order.shown()),
            // Saying absent of what once was would prove what is not so.
            (None, Some(id)) if id.order != IdOrder::None => {
                Lookup::Unheard { why: "the order ended long ago and is not kept".to_owned() }
            }
            (None, _) => Lookup::Absent,
        }
    }

    /// The kept order of that name.
    pub(super) fn named(&self, name: &OrderName) -> Option<&PaperOrder> {
        match self.accounts.get(&name.account)?.ids.get(&name.client_order_id)?.order {
            IdOrder::Kept(number) => self.orders.get(&number),
            IdOrder::None | IdOrder::Dropped => None,
        }
    }

    pub(super) fn open_orders(&self, account: &BrokerAccount, cursor: Option<String>) -> Reply {
        let Some(account) = self.accounts.get(account) else { return unknown_account().into() };
        let Some(after) = number(cursor.as_deref()) else { return bad_cursor() };
        let later = account.open.range((Bound::Excluded(after), Bound::Unbounded));
        let orders = later.filter_map(|number| self.orders.get(number));
        let items = orders.map(|order| (order.number.to_string(), order.shown()));
        Reply::Orders(page(items, PAGE_MAX, cursor))
    }

    /// Fill numbers ascend over the whole exchange in the order of the journal, so a number is a
    /// place in a total order, and no fill can come later with a lower one.
    pub(super) fn fills(
        &self,
        account: &BrokerAccount,
        cursor: Option<String>,
        limit: usize,
    ) -> Reply {
        let Some(account) = self.accounts.get(account) else { return unknown_account().into() };
        let Some(after) = number(cursor.as_deref()) else { return bad_cursor() };
        if after > self.last_fill {
            return bad_cursor();
        }
        if cursor.is_some() && after < account.fills_dropped_through {
            return Reply::refused(
                "cursor_too_old",
                "fills after the cursor are not kept any more",
            );
        }
        let later = account.fills.range((Bound::Excluded(after), Bound::Unbounded));
        let items = later.filter_map(|(number, fill)| {
            let order = self.orders.get(&fill.order)?;
            Some((number.to_string(), order.execution(*number, fill)))
        });
        Reply::Fills(page(items, limit, cursor))
    }

    pub(super) fn positions(&self, account: &BrokerAccount, cursor: Option<String>) -> Reply {
        let Some(account) = self.accounts.get(account) else { return unknown_account().into() };
        let Some(after) = after_symbol(cursor.as_deref()) else { return bad_cursor() };
        let later = account.positions.range((after, Bound::Unbounded));
        let items =
            later.filter(|(_, position)| !position.quantity.is_zero()).map(|(symbol, position)| {
                let shown = BrokerPosition {
                    symbol: symbol.clone(),
                    quantity: position.quantity,
                    average_price: position.average_price(),
                };
                (symbol.to_string(), shown)
            });
        Reply::Positions(page(items, PAGE_MAX, cursor))
    }

    pub(super) fn account_state(&self, account: &BrokerAccount, now: Timestamp) -> Reply {
        let Some(account) = self.accounts.get(account) else { return unknown_account().into() };
        let cash = self.cash(account);
        let unrealised = account.positions.iter().filter_map(|(symbol, position)| {
            let listing = self.listings.get(symbol)?;
            let prices = listing.prices(self.seed, now);
            let mark = if position.quantity.is_positive() { prices.bid } else { prices.ask };
            Some(position.unrealised(mark, listing.instrument.point_value))
        });
        Reply::Account(AccountState {
            cash,
            equity: unrealised.fold(cash, Money::saturating_plus),
            currency: account.currency.clone(),
            at: now,
        })
    }

    /// What the account started with, what it made, less fees.
    fn cash(&self, account: &Account) -> Money {
        let realised = account.positions.iter().filter_map(|(symbol, position)| {
            let listing = self.listings.get(symbol)?;
            Some(position.realised(listing.instrument.point_value))
        });
        let start = account.opening.saturating_minus(account.fees);
        realised.fold(start, Money::saturating_plus)
    }

    pub(super) fn instruments(&self, account: &BrokerAccount, cursor: Option<String>) -> Reply {
        if !self.accounts.contains_key(account) {
            return unknown_account().into();
        }
        let Some(after) = after_symbol(cursor.as_deref()) else { return bad_cursor() };
        let later = self.listings.range((after, Bound::Unbounded));
        let items = later.map(|(symbol, listing)| (symbol.to_string(), listing.instrument.clone()));
        Reply::Instruments(page(items, PAGE_MAX, cursor))
    }

    pub(super) fn quote(&self, symbol: &Symbol, now: Timestamp) -> Reply {
        let Some(listing) = self.listings.get(symbol) else { return unknown_symbol() };
        let prices = listing.prices(self.seed, now);
        Reply::Quote(Quote {
            symbol: symbol.clone(),
            bid: prices.bid,
            ask: prices.ask,
            last: Some(prices.mid),
            // It quotes at any time, so nobody asks it what it closed at.
            prior_close: None,
            at: now,
            market: listing.market_at(now),
        })
    }
}
