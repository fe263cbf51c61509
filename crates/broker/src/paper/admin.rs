//! What an operator of the paper exchange does: accounts, listings, prices, and trades by hand.

use super::judge::{unknown_account, unknown_symbol, worth_fits};
use super::message::{PriceSource, Reply};
use super::price::{CURRENCY, Listing};
use super::record::Record;
use super::state::{Inconsistent, PaperExchange};
use crate::port::BrokerAccount;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity, Round};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::Timestamp;

const ACCOUNTS_MAX: usize = 10_000;
const LISTINGS_MAX: usize = 1_000;
const ACCOUNT_NAME_MAX: usize = 64;

impl PaperExchange {
    pub(super) fn open_account(
        &mut self,
        account: BrokerAccount,
        cash: Money,
        currency: String,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Inconsistent> {
        let length = account.as_str().len();
        if length == 0 || length > ACCOUNT_NAME_MAX {
            return Ok(Reply::refused("invalid_account", "a name has 1 to 64 bytes"));
        }
        if self.accounts.contains_key(&account) {
            return Ok(Reply::refused("account_exists", "there is an account of that name"));
        }
        if currency != CURRENCY {
            return Ok(Reply::refused("invalid_currency", "the paper exchange settles in USD"));
        }
        if cash < Money::ZERO {
            return Ok(Reply::refused("invalid_cash", "the opening cash is not negative"));
        }
        if self.accounts.len() >= ACCOUNTS_MAX {
            return Ok(Reply::refused("too_many_accounts", "at most 10000 accounts"));
        }
        self.emit(Record::Opened { account, cash, currency }, records)?;
        Ok(Reply::Done)
    }

    pub(super) fn list(
        &mut self,
        listing: Box<Listing>,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Inconsistent> {
        let instrument = &listing.instrument;
        let symbol = &instrument.symbol;
        let ordered = self.orders.values().any(|order| order.symbol == *symbol);
        if ordered || self.accounts.values().any(|a| a.positions.contains_key(symbol)) {
            return Ok(Reply::refused("symbol_traded", "its rules are fixed once it was ordered"));
        }
        if !self.listings.contains_key(symbol) && self.listings.len() >= LISTINGS_MAX {
            return Ok(Reply::refused("too_many_symbols", "at most 1000 instruments"));
        }
        let steps = instrument.tick.is_positive()
            && instrument.lot.is_positive()
            && instrument.quantity_min.is_positive()
            && instrument.point_value.is_positive()
            && instrument.currency == CURRENCY;
        let liquidity = listing.liquidity.is_none_or(Quantity::is_positive);
        let fee = listing.fee_per_unit >= Money::ZERO;
        let fixed = listing.fixed.is_none_or(|price| listing.takes_price(price));
        let low = Price::from_units(listing.base.units().saturating_sub(listing.base.units() / 32));
        let base = listing.takes_price(low.to_step(instrument.tick, Round::Down));
        if !(steps && liquidity && fee && fixed && base) {
            return Ok(Reply::refused(
                "invalid_listing",
                "steps, prices and fees must be positive",
            ));
        }
        self.emit(Record::Listed(listing), records)?;
        Ok(Reply::Done)
    }

    pub(super) fn set_price(
        &mut self,
        symbol: Symbol,
        price: PriceSource,
        market: Trading,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Inconsistent> {
        let Some(listing) = self.listings.get(&symbol) else { return Ok(unknown_symbol()) };
        let fixed = match price {
            PriceSource::Synthetic => None,
            PriceSource::Fixed(price) if listing.takes_price(price) => Some(price),
            PriceSource::Fixed(_) => {
                return Ok(Reply::refused("invalid_price", "a multiple of the tick, over two"));
            }
        };
        self.emit(Record::Priced { symbol, fixed, market }, records)?;
        Ok(Reply::Done)
    }

    pub(super) fn set_liquidity(
        &mut self,
        symbol: Symbol,
        per_tick: Option<Quantity>,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Inconsistent> {
        if !self.listings.contains_key(&symbol) {
            return Ok(unknown_symbol());
        }
        if per_tick.is_some_and(|quantity| quantity < Quantity::ZERO) {
            return Ok(Reply::refused("invalid_quantity", "liquidity is not negative"));
        }
        self.emit(Record::Liquidity { symbol, per_tick }, records)?;
        Ok(Reply::Done)
    }

    pub(super) fn position_by_hand(
        &mut self,
        account: BrokerAccount,
        symbol: Symbol,
        quantity: Quantity,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Inconsistent> {
        let Some(known) = self.accounts.get(&account) else {
            return Ok(unknown_account().into());
        };
        let Some(listing) = self.listings.get(&symbol) else { return Ok(unknown_symbol()) };
        let price = listing.prices(self.seed, now).mid;
        let change = quantity.saturating_minus(known.held(&symbol));
        if !worth_fits(listing, change.magnitude(), Some(price)) {
            return Ok(Reply::refused("too_large", "its worth is more than 90 billion"));
        }
        self.emit(Record::ByHand { account, symbol, change, price }, records)?;
        Ok(Reply::Done)
    }
}
