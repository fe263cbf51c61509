//! Cancels and changes of orders that work.

use super::judge::{Judged, no, prices_fit, quantity_fits, unknown_account, worth_fits};
use super::order::{PaperOrder, Rejection};
use super::record::Record;
use super::state::{Inconsistent, PaperExchange};
use crate::port::{
    AllCanceled, BrokerAccount, BrokerOrderState, Cancellation, OrderName, ReduceOnly,
    ReplaceOrder, Replacement,
};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::time::Timestamp;

impl PaperExchange {
    pub(super) fn cancel(
        &mut self,
        name: &OrderName,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<Cancellation, Inconsistent> {
        let Some(order) = self.named(name) else { return Ok(Cancellation::NotFound) };
        if !order.state.is_live() {
            let (code, reason) = ("order_ended".to_owned(), order.outcome());
            return Ok(Cancellation::Rejected { code, reason });
        }
        let order = order.number;
        let state = BrokerOrderState::Canceled;
        self.emit(Record::Ended { order, state, at: now }, records)?;
        Ok(Cancellation::Done)
    }

    pub(super) fn cancel_all(
        &mut self,
        account: &BrokerAccount,
        symbol: Option<&Symbol>,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<AllCanceled, Inconsistent> {
        let Some(known) = self.accounts.get(account) else {
            let Rejection { code, reason } = unknown_account();
            return Ok(AllCanceled::Rejected { code, reason });
        };
        let is_meant = |number: &u64| {
            symbol.is_none_or(|symbol| {
                self.orders.get(number).is_some_and(|order| order.symbol == *symbol)
            })
        };
        let meant: Vec<u64> = known.open.iter().copied().filter(is_meant).collect();
        let count = u64::try_from(meant.len()).unwrap_or(u64::MAX);
        for order in meant {
            let state = BrokerOrderState::Canceled;
            self.emit(Record::Ended { order, state, at: now }, records)?;
        }
        Ok(AllCanceled::Done { count })
    }

    pub(super) fn replace(
        &mut self,
        change: &ReplaceOrder,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<Replacement, Inconsistent> {
        if now > change.expires_at {
            let (code, reason) = ("expired".to_owned(), "it arrived after its expiry".to_owned());
            return Ok(Replacement::Rejected { code, reason });
        }
        let Some(order) = self.named(&change.order) else { return Ok(Replacement::NotFound) };
        let number = order.number;
        let replaced = match self.judge_change(order, change) {
            Err(Rejection { code, reason }) => return Ok(Replacement::Rejected { code, reason }),
            Ok((quantity, limit_price, stop_price)) => {
                Record::Replaced { order: number, quantity, limit_price, stop_price, at: now }
            }
        };
        self.emit(replaced, records)?;
        self.arrive(number, None, now, records)?;
        let order = self.orders.get(&number).ok_or(Inconsistent("a changed order is gone"))?;
        Ok(Replacement::Done { order: order.shown() })
    }

    fn judge_change(
        &self,
        order: &PaperOrder,
        change: &ReplaceOrder,
    ) -> Judged<(Quantity, Option<Price>, Option<Price>)> {
        if !order.state.is_live() || order.held_back {
            return no("order_ended", &order.outcome());
        }
        let Some(listing) = self.listings.get(&order.symbol) else {
            return no("unknown_symbol", "there is no such instrument");
        };
        let limit_price = change.limit_price.or(order.limit_price);
        let stop_price = change.stop_price.or(order.stop_price);
        if !prices_fit(listing, order.order_type, limit_price, stop_price) {
            return no("invalid_price", "the order type's prices, each a multiple of the tick");
        }
        let mut quantity = change.quantity.unwrap_or(order.quantity);
        if change.quantity.is_some() && !quantity_fits(listing, quantity) {
            return no("invalid_quantity", "a positive multiple of the lot, at least the minimum");
        }
        if quantity <= order.filled {
            return no("invalid_quantity", "so much has filled already");
        }
        if order.reduce_only == ReduceOnly::Yes {
            let most = self.reducible(&order.account, &order.symbol, order.side);
            quantity = quantity.min(order.filled.saturating_plus(most));
            if quantity <= order.filled {
                return no("reduce_only", "there is no position that it would reduce");
            }
        }
        if !worth_fits(listing, quantity, limit_price.max(stop_price)) {
            return no("too_large", "its worth is more than 90 billion");
        }
        Ok((quantity, limit_price, stop_price))
    }
}
