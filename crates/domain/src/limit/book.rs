//! All limits of an organization, and the tightest of them for one order.

use super::{ByLevel, Limit, LimitLevel, LimitName, LimitScope};
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::loss::Bounds;
use crate::money::{Money, Quantity};
use std::collections::{BTreeSet, HashMap};
use std::hash::RandomState;

/// The tightest limits for one order; of those that count orders, each level's own.
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
    pub max_orders_per_minute: ByLevel<Option<i64>>,
    /// See [`LimitName::Restricted`].
    pub restricted: bool,
    /// See [`LimitName::MaxGrossExposure`].
    pub max_gross_exposure: Option<i64>,
    /// See [`LimitName::MaxNetExposure`].
    pub max_net_exposure: Option<i64>,
    /// See [`LimitName::MaxOpenOrders`].
    pub max_open_orders: ByLevel<Option<i64>>,
    /// See [`LimitName::MaxOrdersPerSecond`].
    pub max_orders_per_second: ByLevel<Option<i64>>,
    /// See [`LimitName::CreditPercent`].
    pub credit_percent: Option<i64>,
    /// See [`LimitName::MaxSizeMultiple`].
    pub max_size_multiple: Option<i64>,
    /// See [`LimitName::MaxRepeatedEntries`].
    pub max_repeated_entries: Option<i64>,
    /// See [`LimitName::StaticLow`].
    pub static_low: Option<i64>,
    /// See [`LimitName::StaticHigh`].
    pub static_high: Option<i64>,
}

/// What is set at one place, or the tightest of several: in the order of [`LimitName::ALL`]. Small, for
/// there may be ten thousand places, and reading one that was not used lately is most of what a decision
/// waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Values([i64; LimitName::ALL.len()]);

impl Default for Values {
    fn default() -> Self {
        Self([NOT_SET; LimitName::ALL.len()])
    }
}

/// Nothing is as far; who sets this much gets one unit less.
const NOT_SET: i64 = i64::MAX;

impl Values {
    fn set(&mut self, name: LimitName, value: i64) {
        let value = match name {
            LimitName::Restricted if value == 0 => NOT_SET,
            LimitName::Restricted => 0,
            _ => value.min(NOT_SET.saturating_sub(1)),
        };
        for (slot, of) in self.0.iter_mut().zip(LimitName::ALL) {
            if *of == name {
                *slot = value.min(*slot);
            }
        }
    }

    fn tighten(&mut self, other: &Self) {
        for (slot, value) in self.0.iter_mut().zip(&other.0) {
            *slot = (*slot).min(*value);
        }
    }

    fn limits(&self, version: i64, levels: &ByLevel<Option<&Self>>) -> Limits {
        let counts = Counts::of(levels);
        let [
            max_order_quantity,
            max_order_notional,
            max_position,
            max_position_notional,
            price_collar_percent,
            _,
            restricted,
            max_gross_exposure,
            max_net_exposure,
            _,
            _,
            credit_percent,
            max_size_multiple,
            max_repeated_entries,
            static_low,
            static_high,
            _,
            _,
            _,
        ] = self.0;
        Limits {
            version,
            max_order_quantity: known(max_order_quantity),
            max_order_notional: known(max_order_notional),
            max_position: known(max_position),
            max_position_notional: known(max_position_notional),
            price_collar_percent: known(price_collar_percent),
            max_orders_per_minute: counts.per_minute,
            restricted: known(restricted).is_some(),
            max_gross_exposure: known(max_gross_exposure),
            max_net_exposure: known(max_net_exposure),
            max_open_orders: counts.open,
            max_orders_per_second: counts.per_second,
            credit_percent: known(credit_percent),
            max_size_multiple: known(max_size_multiple),
            max_repeated_entries: known(max_repeated_entries),
            static_low: known(static_low),
            static_high: known(static_high),
        }
    }

    /// Orders in a minute and a second, and open ones.
    fn counted(&self) -> [Option<i64>; 3] {
        let [_, _, _, _, _, per_minute, _, _, _, open, per_second, ..] = self.0;
        [known(per_minute), known(per_second), known(open)]
    }

    fn bounds(&self) -> Bounds {
        let [.., daily_loss, drawdown, drawdown_percent] = self.0;
        Bounds {
            daily_loss: known(daily_loss).map(Money::from_units),
            drawdown: known(drawdown).map(Money::from_units),
            drawdown_percent: known(drawdown_percent).map(Quantity::from_units),
        }
    }
}

/// What bounds how many orders there are, at each level.
#[derive(Default)]
struct Counts {
    per_minute: ByLevel<Option<i64>>,
    per_second: ByLevel<Option<i64>>,
    open: ByLevel<Option<i64>>,
}

impl Counts {
    fn of(levels: &ByLevel<Option<&Values>>) -> Self {
        let counted = levels.map(|values| values.map_or([None; 3], Values::counted));
        Self {
            per_minute: counted.map(|[per_minute, _, _]| per_minute),
            per_second: counted.map(|[_, per_second, _]| per_second),
            open: counted.map(|[_, _, open]| open),
        }
    }
}

fn known(value: i64) -> Option<i64> {
    (value != NOT_SET).then_some(value)
}

/// What is set at each place of one level. Symbols are chosen by people, so places are hashed with a
/// seed; what that is shows nowhere, for nothing is told in the order of a map.
type Places<K> = HashMap<K, Values, RandomState>;

/// All limits of one organization. What applies to an order is found without copying anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitBook {
    org: Values,
    accounts: Places<Id<id::Account>>,
    strategies: Places<Id<id::Strategy>>,
    keys: Places<Id<id::Key>>,
    instruments: Places<Symbol>,
    /// Those that are set at some level: asked for in each transaction.
    names: BTreeSet<LimitName>,
    /// Those of them that count orders beyond one account, and where.
    beyond_accounts: BTreeSet<(LimitScope, LimitName)>,
    version: i64,
}

impl LimitBook {
    /// The book that holds these limits, all of one organization, at this version of theirs.
    pub fn of<'a>(version: i64, limits: impl Iterator<Item = &'a Limit>) -> Self {
        let mut book = Self { version, ..Self::default() };
        for limit in limits {
            book.names.insert(limit.name);
            if limit.scope.level() != LimitLevel::Account && LimitName::COUNTS.contains(&limit.name)
            {
                book.beyond_accounts.insert((limit.scope.clone(), limit.name));
            }
            let values: &mut Values = match &limit.scope {
                LimitScope::Org => &mut book.org,
                LimitScope::Account(id) => book.accounts.entry(*id).or_default(),
                LimitScope::Strategy(id) => book.strategies.entry(*id).or_default(),
                LimitScope::Key(id) => book.keys.entry(*id).or_default(),
                LimitScope::Instrument(symbol) => {
                    book.instruments.entry(symbol.clone()).or_default()
                }
            };
            values.set(limit.name, limit.value);
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
        let levels = ByLevel {
            org: Some(&self.org),
            account: self.accounts.get(&account),
            strategy: strategy.and_then(|id| self.strategies.get(&id)),
            key: key.and_then(|id| self.keys.get(&id)),
            instrument: self.instruments.get(symbol),
        };
        let mut tightest = self.org;
        let below = [levels.account, levels.strategy, levels.key, levels.instrument];
        for values in below.into_iter().flatten() {
            tightest.tighten(values);
        }
        tightest.limits(self.version, &levels)
    }

    /// Whether one of these is set at any level.
    pub fn has_any(&self, names: &[LimitName]) -> bool {
        names.iter().any(|name| self.names.contains(name))
    }

    /// Whether one of these is set at a level that counts the orders of several accounts.
    pub fn counts_beyond_accounts(&self, names: &[LimitName]) -> bool {
        self.beyond_accounts.iter().any(|(_, name)| names.contains(name))
    }

    /// The first limit that counts the orders of several accounts, if there is one: the same for
    /// everybody who has this version.
    pub fn first_count_beyond_accounts(&self) -> Option<(&LimitScope, LimitName)> {
        self.beyond_accounts.first().map(|(scope, name)| (scope, *name))
    }

    /// What an account may lose: what its organization allows each of its accounts, and what is set
    /// for itself, the tighter of both.
    pub fn of_account(&self, account: Id<id::Account>) -> Bounds {
        let mut tightest = self.org;
        if let Some(values) = self.accounts.get(&account) {
            tightest.tighten(values);
        }
        tightest.bounds()
    }

    /// What a strategy may lose.
    pub fn of_strategy(&self, strategy: Id<id::Strategy>) -> Bounds {
        self.strategies.get(&strategy).map(Values::bounds).unwrap_or_default()
    }

    /// The strategies that have a limit of their own for what they may lose.
    pub fn strategies_with_bounds(&self) -> BTreeSet<Id<id::Strategy>> {
        let of_losses = self.strategies.iter().filter(|(_, values)| values.bounds().is_any());
        of_losses.map(|(strategy, _)| *strategy).collect()
    }
}
