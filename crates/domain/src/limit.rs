//! Limits: bounds that an operator sets, at several levels; the tightest wins.

use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::loss::Bounds;
use crate::money::{Money, Quantity};
use crate::order::{UnknownWord, words};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a limit bounds. Values are decimals.
    LimitName {
        /// Quantity of one order.
        MaxOrderQuantity = "max_order_quantity",
        /// Value of one order, in the instrument's currency.
        MaxOrderNotional = "max_order_notional",
        /// Size of the position, live and unknown orders counted at their worst.
        MaxPosition = "max_position",
        /// Distance of an order's price from the reference price, in percent.
        PriceCollarPercent = "price_collar_percent",
        /// Risk-increasing orders within any 60 seconds.
        MaxOrdersPerMinute = "max_orders_per_minute",
        /// Any value other than zero puts the scope's instruments on the restricted list.
        Restricted = "restricted",
        /// Worth of all an account holds and may still hold, long and short added up.
        MaxGrossExposure = "max_gross_exposure",
        /// The same, long and short against each other.
        MaxNetExposure = "max_net_exposure",
        /// Live and unknown orders of an account.
        MaxOpenOrders = "max_open_orders",
        /// Risk-increasing orders of an account within any second.
        MaxOrdersPerSecond = "max_orders_per_second",
        /// Gross exposure of an account, in percent of its equity.
        CreditPercent = "credit_percent",
        /// Quantity of one order, as a multiple of what is usual for its strategy.
        MaxSizeMultiple = "max_size_multiple",
        /// Entries of a strategy on the same account, instrument and side within a minute.
        MaxRepeatedEntries = "max_repeated_entries",
        /// Loss since the session began, in the account's currency.
        DailyLoss = "daily_loss",
        /// Fall from the best there was, in the account's currency.
        Drawdown = "drawdown",
        /// The same in percent of the equity without the fall.
        DrawdownPercent = "drawdown_percent",
    }
}

impl LimitName {
    /// Whether it may be set at such a scope: what is about a whole account is not about one
    /// instrument, and only some of it about one strategy.
    pub const fn fits(self, scope: &LimitScope) -> bool {
        match self {
            Self::MaxOrderQuantity
            | Self::MaxOrderNotional
            | Self::MaxPosition
            | Self::PriceCollarPercent
            | Self::MaxOrdersPerMinute
            | Self::MaxSizeMultiple
            | Self::MaxRepeatedEntries
            | Self::Restricted => true,
            Self::DailyLoss | Self::Drawdown => !matches!(scope, LimitScope::Instrument(_)),
            Self::MaxGrossExposure
            | Self::MaxNetExposure
            | Self::MaxOpenOrders
            | Self::MaxOrdersPerSecond
            | Self::CreditPercent
            | Self::DrawdownPercent => {
                matches!(scope, LimitScope::Org | LimitScope::Account(_))
            }
        }
    }

    /// Those that must be set somewhere above an order, else the order is refused.
    pub const REQUIRED: &[Self] = &[
        Self::MaxOrderQuantity,
        Self::MaxOrderNotional,
        Self::MaxPosition,
        Self::PriceCollarPercent,
        Self::MaxOrdersPerMinute,
    ];

    /// Whether more may be traded once this limit of `scope` is `after` instead of `before`, in
    /// units; `None` means that it is not set. The first of those that an organization must have is
    /// such a change: without it, nothing is traded. The first of any other only tightens.
    pub fn widens(self, scope: &LimitScope, before: Option<i64>, after: Option<i64>) -> bool {
        match (self, before, after) {
            (Self::Restricted, before, after) => {
                before.unwrap_or(0) != 0 && after.unwrap_or(0) == 0
            }
            (_, Some(before), Some(after)) => after > before,
            (_, Some(_), None) => true,
            (_, None, Some(_)) => *scope == LimitScope::Org && Self::REQUIRED.contains(&self),
            (_, None, None) => false,
        }
    }
}

/// Where a limit applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitScope {
    /// The whole organization.
    Org,
    /// One account.
    Account(Id<id::Account>),
    /// One strategy.
    Strategy(Id<id::Strategy>),
    /// One instrument, on every account.
    Instrument(Symbol),
}

impl fmt::Display for LimitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Strategy(id) => write!(f, "strategy:{id}"),
            Self::Instrument(symbol) => write!(f, "instrument:{symbol}"),
        }
    }
}

impl FromStr for LimitScope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if text == "org" {
            return Ok(Self::Org);
        }
        let (kind, name) = text.split_once(':').ok_or(UnknownWord)?;
        match kind {
            "account" => name.parse().map(Self::Account).map_err(|_| UnknownWord),
            "strategy" => name.parse().map(Self::Strategy).map_err(|_| UnknownWord),
            "instrument" => name.parse().map(Self::Instrument).map_err(|_| UnknownWord),
            _ => Err(UnknownWord),
        }
    }
}

/// One limit as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The owner.
    pub org_id: Id<id::Org>,
    /// Where it applies.
    pub scope: LimitScope,
    /// What it bounds.
    pub name: LimitName,
    /// The bound, in units of 10^-8 of what the name says.
    pub value: i64,
    /// The version of the organization's limits that set it.
    pub version: i64,
    /// When it was set.
    pub updated_at: Timestamp,
}

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

/// All limits of one organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitBook {
    values: BTreeMap<(LimitScope, LimitName), i64>,
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
            book.values.insert((limit.scope.clone(), limit.name), limit.value);
        }
        book
    }

    /// The version of the organization's limits; one more with each change.
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// The tightest limits that apply to an order.
    pub fn tightest(
        &self,
        account: Id<id::Account>,
        strategy: Option<Id<id::Strategy>>,
        symbol: &Symbol,
    ) -> Limits {
        let scopes = [
            Some(LimitScope::Org),
            Some(LimitScope::Account(account)),
            strategy.map(LimitScope::Strategy),
            Some(LimitScope::Instrument(symbol.clone())),
        ];
        let values = |name: LimitName| {
            let found = scopes.iter().flatten().filter_map(move |scope| {
                // Few limits exist; a borrowed key would need a second key type for nothing.
                self.values.get(&(scope.clone(), name)).copied()
            });
            found.collect::<Vec<_>>()
        };
        let least = |name: LimitName| values(name).into_iter().min();
        Limits {
            version: self.version,
            max_order_quantity: least(LimitName::MaxOrderQuantity),
            max_order_notional: least(LimitName::MaxOrderNotional),
            max_position: least(LimitName::MaxPosition),
            price_collar_percent: least(LimitName::PriceCollarPercent),
            max_orders_per_minute: least(LimitName::MaxOrdersPerMinute),
            restricted: values(LimitName::Restricted).into_iter().any(|value| value != 0),
            max_gross_exposure: least(LimitName::MaxGrossExposure),
            max_net_exposure: least(LimitName::MaxNetExposure),
            max_open_orders: least(LimitName::MaxOpenOrders),
            max_orders_per_second: least(LimitName::MaxOrdersPerSecond),
            credit_percent: least(LimitName::CreditPercent),
            max_size_multiple: least(LimitName::MaxSizeMultiple),
            max_repeated_entries: least(LimitName::MaxRepeatedEntries),
        }
    }

    /// Whether one of these is set at any level.
    pub fn has_any(&self, names: &[LimitName]) -> bool {
        names.iter().any(|name| self.names.contains(name))
    }

    /// What an account may lose: what its organization allows each of its accounts, and what is set
    /// for itself, the tighter of both.
    pub fn of_account(&self, account: Id<id::Account>) -> Bounds {
        self.bounds(&[LimitScope::Org, LimitScope::Account(account)])
    }

    /// What a strategy may lose.
    pub fn of_strategy(&self, strategy: Id<id::Strategy>) -> Bounds {
        self.bounds(&[LimitScope::Strategy(strategy)])
    }

    /// The strategies that have a limit of their own for what they may lose.
    pub fn strategies_with_bounds(&self) -> BTreeSet<Id<id::Strategy>> {
        let of_losses = [LimitName::DailyLoss, LimitName::Drawdown];
        let keys = self.values.keys().filter(|(_, name)| of_losses.contains(name));
        keys.filter_map(|(scope, _)| match scope {
            LimitScope::Strategy(strategy) => Some(*strategy),
            LimitScope::Org | LimitScope::Account(_) | LimitScope::Instrument(_) => None,
        })
        .collect()
    }

    fn bounds(&self, scopes: &[LimitScope]) -> Bounds {
        let least = |name: LimitName| {
            let values = scopes.iter().filter_map(|scope| self.values.get(&(scope.clone(), name)));
            values.copied().min()
        };
        Bounds {
            daily_loss: least(LimitName::DailyLoss).map(Money::from_units),
            drawdown: least(LimitName::Drawdown).map(Money::from_units),
            drawdown_percent: least(LimitName::DrawdownPercent).map(Quantity::from_units),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_more_be_traded() {
        let account = LimitScope::Account(Id::from_bytes([1; 16]));
        let (position, restricted) = (LimitName::MaxPosition, LimitName::Restricted);
        for (name, scope, before, after, widens) in [
            (position, &LimitScope::Org, Some(5), Some(6), true),
            (position, &LimitScope::Org, Some(5), Some(5), false),
            (position, &LimitScope::Org, Some(5), Some(4), false),
            (position, &LimitScope::Org, Some(5), None, true),
            (position, &LimitScope::Org, None, Some(5), true),
            (position, &account, None, Some(5), false),
            (position, &account, Some(5), Some(6), true),
            (position, &account, Some(5), None, true),
            (position, &account, None, None, false),
            (LimitName::DailyLoss, &LimitScope::Org, None, Some(5), false),
            (LimitName::DailyLoss, &LimitScope::Org, Some(5), Some(6), true),
            (restricted, &LimitScope::Org, None, Some(1), false),
            (restricted, &LimitScope::Org, Some(0), Some(1), false),
            (restricted, &LimitScope::Org, Some(1), Some(2), false),
            (restricted, &account, Some(1), Some(0), true),
            (restricted, &account, Some(1), None, true),
            (restricted, &account, Some(0), None, false),
        ] {
            let told = format!("{name} of {scope} from {before:?} to {after:?}");
            assert_eq!(name.widens(scope, before, after), widens, "{told}");
        }
    }

    #[test]
    fn the_tightest_of_all_levels_wins() {
        let account = Id::from_bytes([1; 16]);
        let strategy = Id::from_bytes([2; 16]);
        let symbol: Symbol = "ES".parse().unwrap();
        let limit = |scope, value| Limit {
            org_id: Id::from_bytes([0; 16]),
            scope,
            name: LimitName::MaxOrderQuantity,
            value,
            version: value,
            updated_at: Timestamp::default(),
        };
        let all = [
            limit(LimitScope::Org, 50),
            limit(LimitScope::Account(account), 40),
            limit(LimitScope::Strategy(strategy), 30),
            limit(LimitScope::Instrument(symbol.clone()), 20),
            limit(LimitScope::Account(Id::from_bytes([9; 16])), 1),
        ];
        for count in 1..=4 {
            let book = LimitBook::of(50, all.iter().take(count));
            let limits = book.tightest(account, Some(strategy), &symbol);
            assert_eq!(limits.max_order_quantity, all.get(count - 1).map(|limit| limit.value));
        }
        let book = LimitBook::of(50, all.iter());
        let limits = book.tightest(account, Some(strategy), &symbol);
        assert_eq!((limits.max_order_quantity, limits.version), (Some(20), 50));
        assert_eq!(limits.max_position, None);
    }

    /// What an organization allows to be lost holds for each of its accounts, not for a strategy.
    #[test]
    fn bounds_of_losses_are_the_tighter_of_organization_and_account() {
        let (account, strategy) = (Id::from_bytes([1; 16]), Id::from_bytes([2; 16]));
        let limit = |scope, name, value| Limit {
            org_id: Id::from_bytes([0; 16]),
            scope,
            name,
            value,
            version: 1,
            updated_at: Timestamp::default(),
        };
        let all = [
            limit(LimitScope::Org, LimitName::DailyLoss, 50),
            limit(LimitScope::Account(account), LimitName::DailyLoss, 60),
            limit(LimitScope::Account(account), LimitName::Drawdown, 70),
            limit(LimitScope::Strategy(strategy), LimitName::DailyLoss, 5),
        ];
        let book = LimitBook::of(1, all.iter());
        let money = |units| Some(Money::from_units(units));
        let of_account = book.of_account(account);
        assert_eq!((of_account.daily_loss, of_account.drawdown), (money(50), money(70)));
        assert_eq!(book.of_account(Id::from_bytes([9; 16])).daily_loss, money(50));
        assert_eq!(book.of_strategy(strategy).daily_loss, money(5));
        assert!(!book.of_strategy(Id::from_bytes([9; 16])).is_any());
        assert_eq!(book.strategies_with_bounds(), BTreeSet::from([strategy]));
        assert!(book.has_any(&[LimitName::Drawdown]));
        assert!(!book.has_any(&[LimitName::DrawdownPercent]));
    }

    #[test]
    fn what_is_about_an_account_is_not_about_an_instrument() {
        let instrument = LimitScope::Instrument("ES".parse().unwrap());
        let strategy = LimitScope::Strategy(Id::from_bytes([2; 16]));
        for name in LimitName::ALL {
            assert!(
                name.fits(&LimitScope::Org)
                    && name.fits(&LimitScope::Account(Id::from_bytes([1; 16])))
            );
        }
        assert!(!LimitName::DailyLoss.fits(&instrument) && LimitName::DailyLoss.fits(&strategy));
        assert!(!LimitName::MaxGrossExposure.fits(&strategy));
    }
}
