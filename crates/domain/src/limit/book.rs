//! All limits of an organization, and the tightest of them for one order.

use super::{Limit, LimitLevel, LimitName, LimitScope};
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::loss::Bounds;
use crate::money::{Money, Quantity};
use std::collections::{BTreeMap, BTreeSet};

/// The tightest limits for one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The version they were read at.
    pub version: i64,
    /// See [`LimitName::MaxOrderQuantity`].
    pub max_order_quantity: Option<i64>,
    /// See [`LimitName::MaxOrderNotional`].
    pub max_order_notional: Option<i64>,
    /// See [`LimitName::MaxPosition`].
    pub max_position: Option<i64>,
    /// See [`LimitName::MaxPositionNotional`].
    pub max_position_notional: Option<i64>,
    /// See [`LimitName::PriceCollarPercent`].
    pub price_collar_percent: Option<i64>,
    /// See [`LimitName::MaxOrdersPerMinute`].
    pub max_orders_per_minute: Option<i64>,
    /// See [`LimitName::Restricted`].
    pub restricted: bool,
    /// See [`LimitName::MaxGrossExposure`].
    pub max_gross_exposure: Option<i64>,
    /// See [`LimitName::MaxNetExposure`].
    pub max_net_exposure: Option<i64>,
    /// See [`LimitName::MaxOpenOrders`].
    pub max_open_orders: Option<i64>,
    /// See [`LimitName::MaxOrdersPerSecond`].
    pub max_orders_per_second: Option<i64>,
    /// See [`LimitName::CreditPercent`].
    pub credit_percent: Option<i64>,
    /// See [`LimitName::MaxSizeMultiple`].
    pub max_size_multiple: Option<i64>,
    /// See [`LimitName::MaxRepeatedEntries`].
    pub max_repeated_entries: Option<i64>,
}

impl Limits {
    fn tighten(&mut self, name: LimitName, value: i64) {
        let slot = match name {
            LimitName::MaxOrderQuantity => &mut self.max_order_quantity,
            LimitName::MaxOrderNotional => &mut self.max_order_notional,
            LimitName::MaxPosition => &mut self.max_position,
            LimitName::MaxPositionNotional => &mut self.max_position_notional,
            LimitName::PriceCollarPercent => &mut self.price_collar_percent,
            LimitName::MaxOrdersPerMinute => &mut self.max_orders_per_minute,
            LimitName::MaxGrossExposure => &mut self.max_gross_exposure,
            LimitName::MaxNetExposure => &mut self.max_net_exposure,
            LimitName::MaxOpenOrders => &mut self.max_open_orders,
            LimitName::MaxOrdersPerSecond => &mut self.max_orders_per_second,
            LimitName::CreditPercent => &mut self.credit_percent,
            LimitName::MaxSizeMultiple => &mut self.max_size_multiple,
            LimitName::MaxRepeatedEntries => &mut self.max_repeated_entries,
            LimitName::Restricted => {
                self.restricted |= value != 0;
                return;
            }
            // Of an account or a strategy, not of an order: see `LimitBook::of_account`.
            LimitName::DailyLoss | LimitName::Drawdown | LimitName::DrawdownPercent => return,
        };
        *slot = Some(slot.map_or(value, |known| known.min(value)));
    }
}

/// What is set at one place, in units.
type Values = Vec<(LimitName, i64)>;

/// All limits of one organization. What applies to an order is found without copying anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitBook {
    org: Values,
    accounts: BTreeMap<Id<id::Account>, Values>,
    strategies: BTreeMap<Id<id::Strategy>, Values>,
    keys: BTreeMap<Id<id::Key>, Values>,
    instruments: BTreeMap<Symbol, Values>,
    /// Those that are set at some level: asked for in each transaction.
    names: BTreeSet<LimitName>,
    version: i64,
}

impl LimitBook {
    /// The book that holds these limits, all of one organization, at this version of theirs.
    pub fn of<'a>(version: i64, limits: impl Iterator<Item = &'a Limit>) -> Self {
        let mut book = Self { version, ..Self::default() };
        for limit in limits {
            book.names.insert(limit.name);
            let values = match &limit.scope {
                LimitScope::Org => &mut book.org,
                LimitScope::Account(id) => book.accounts.entry(*id).or_default(),
                LimitScope::Strategy(id) => book.strategies.entry(*id).or_default(),
                LimitScope::Key(id) => book.keys.entry(*id).or_default(),
                LimitScope::Instrument(symbol) => {
                    book.instruments.entry(symbol.clone()).or_default()
                }
            };
            values.push((limit.name, limit.value));
        }
        book
    }

    /// The version of the organization's limits; one more with each change.
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// The tightest limits that apply to an order: of its organization, its account, its strategy,
    /// the key that asked for it, and its instrument.
    pub fn tightest(
        &self,
        account: Id<id::Account>,
        strategy: Option<Id<id::Strategy>>,
        key: Option<Id<id::Key>>,
        symbol: &Symbol,
    ) -> Limits {
        let mut limits = Limits { version: self.version, ..Limits::default() };
        for level in LimitLevel::ALL {
            let values = match level {
                LimitLevel::Org => Some(&self.org),
                LimitLevel::Account => self.accounts.get(&account),
                LimitLevel::Strategy => strategy.and_then(|id| self.strategies.get(&id)),
                LimitLevel::Key => key.and_then(|id| self.keys.get(&id)),
                LimitLevel::Instrument => self.instruments.get(symbol),
            };
            for (name, value) in values.into_iter().flatten() {
                limits.tighten(*name, *value);
            }
        }
        limits
    }

    /// Whether one of these is set at any level.
    pub fn has_any(&self, names: &[LimitName]) -> bool {
        names.iter().any(|name| self.names.contains(name))
    }

    /// What an account may lose: what its organization allows each of its accounts, and what is set
    /// for itself, the tighter of both.
    pub fn of_account(&self, account: Id<id::Account>) -> Bounds {
        bounds(self.org.iter().chain(self.accounts.get(&account).into_iter().flatten()))
    }

    /// What a strategy may lose.
    pub fn of_strategy(&self, strategy: Id<id::Strategy>) -> Bounds {
        bounds(self.strategies.get(&strategy).into_iter().flatten())
    }

    /// The strategies that have a limit of their own for what they may lose.
    pub fn strategies_with_bounds(&self) -> BTreeSet<Id<id::Strategy>> {
        let of_losses = self.strategies.iter().filter(|(_, values)| bounds(values.iter()).is_any());
        of_losses.map(|(strategy, _)| *strategy).collect()
    }
}

/// The tightest of what may be lost.
fn bounds<'a>(values: impl Iterator<Item = &'a (LimitName, i64)>) -> Bounds {
    let mut bounds = Bounds::default();
    for (name, value) in values {
        match name {
            LimitName::DailyLoss => tighten(&mut bounds.daily_loss, Money::from_units(*value)),
            LimitName::Drawdown => tighten(&mut bounds.drawdown, Money::from_units(*value)),
            LimitName::DrawdownPercent => {
                tighten(&mut bounds.drawdown_percent, Quantity::from_units(*value));
            }
            _ => {}
        }
    }
    bounds
}

fn tighten<T: Ord + Copy>(slot: &mut Option<T>, value: T) {
    *slot = Some(slot.map_or(value, |known| known.min(value)));
}
