//! Limits: bounds that an operator sets, at several levels; the tightest wins.

use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::order::{UnknownWord, words};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    }
}

impl LimitName {
    /// Those that must be set somewhere above an order, else the order is refused.
    pub const REQUIRED: &[Self] = &[
        Self::MaxOrderQuantity,
        Self::MaxOrderNotional,
        Self::MaxPosition,
        Self::PriceCollarPercent,
        Self::MaxOrdersPerMinute,
    ];

    /// Whether more may be traded once this limit of `scope` is `after` instead of `before`, in
    /// units; `None` means that it is not set. The first of a whole organization is such a change:
    /// without it, nothing is traded.
    pub fn widens(self, scope: &LimitScope, before: Option<i64>, after: Option<i64>) -> bool {
        match (self, before, after) {
            (Self::Restricted, before, after) => {
                before.unwrap_or(0) != 0 && after.unwrap_or(0) == 0
            }
            (_, Some(before), Some(after)) => after > before,
            (_, Some(_), None) => true,
            (_, None, Some(_)) => *scope == LimitScope::Org,
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
}

/// All limits of one organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitBook {
    values: BTreeMap<(LimitScope, LimitName), i64>,
    version: i64,
}

impl LimitBook {
    /// The book that holds these limits, all of one organization, at this version of theirs.
    pub fn of<'a>(version: i64, limits: impl Iterator<Item = &'a Limit>) -> Self {
        let values = limits.map(|limit| ((limit.scope.clone(), limit.name), limit.value));
        Self { values: values.collect(), version }
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
}
