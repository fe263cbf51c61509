//! Limits: bounds that an operator sets, at several levels; the tightest wins.

mod book;
mod level;

pub use book::{LimitBook, Limits};
pub use level::ByLevel;

use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::order::{UnknownWord, words};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
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
        /// Value of the position, counted like its size, in the instrument's currency.
        MaxPositionNotional = "max_position_notional",
        /// Distance of an order's price from the reference price, in percent.
        PriceCollarPercent = "price_collar_percent",
        /// Risk-increasing orders and changes within any 60 seconds.
        MaxOrdersPerMinute = "max_orders_per_minute",
        /// Any value other than zero puts the scope's instruments on the restricted list.
        Restricted = "restricted",
        /// Worth of all an account holds and may still hold, long and short added up.
        MaxGrossExposure = "max_gross_exposure",
        /// The same, long and short against each other.
        MaxNetExposure = "max_net_exposure",
        /// Live and unknown orders.
        MaxOpenOrders = "max_open_orders",
        /// Risk-increasing orders and changes within any second.
        MaxOrdersPerSecond = "max_orders_per_second",
        /// Gross exposure of an account, in percent of its equity.
        CreditPercent = "credit_percent",
        /// Quantity of one order, as a multiple of what is usual for its strategy.
        MaxSizeMultiple = "max_size_multiple",
        /// Entries of a strategy on the same account, instrument and side within a minute.
        MaxRepeatedEntries = "max_repeated_entries",
        /// No entry without a fresh reference price below this price: one end of a static band (S22).
        StaticLow = "static_low",
        /// No entry without a fresh reference price above this price: its other end.
        StaticHigh = "static_high",
        /// Loss since the session began, in the account's currency.
        DailyLoss = "daily_loss",
        /// Fall from the best there was, in the account's currency.
        Drawdown = "drawdown",
        /// The same in percent of the equity without the fall.
        DrawdownPercent = "drawdown_percent",
    }
    /// At which levels limits are set; all of those that an order belongs to apply to it.
    LimitLevel {
        /// The whole organization.
        Org = "org",
        /// One account.
        Account = "account",
        /// One strategy.
        Strategy = "strategy",
        /// One API key.
        Key = "key",
        /// One instrument, on every account.
        Instrument = "instrument",
    }
}

impl LimitName {
    /// Whether it may be set at such a level: what is about a whole account is not about one
    /// instrument or key, and only some of it about one strategy.
    pub const fn fits(self, level: LimitLevel) -> bool {
        match self {
            Self::MaxOrderQuantity
            | Self::MaxOrderNotional
            | Self::MaxPosition
            | Self::MaxPositionNotional
            | Self::PriceCollarPercent
            | Self::MaxOrdersPerMinute
            | Self::MaxOrdersPerSecond
            | Self::MaxOpenOrders
            | Self::MaxSizeMultiple
            | Self::MaxRepeatedEntries
            | Self::Restricted => true,
            Self::DailyLoss | Self::Drawdown => {
                matches!(level, LimitLevel::Org | LimitLevel::Account | LimitLevel::Strategy)
            }
            Self::MaxGrossExposure
            | Self::MaxNetExposure
            | Self::CreditPercent
            | Self::DrawdownPercent => matches!(level, LimitLevel::Org | LimitLevel::Account),
            Self::StaticLow | Self::StaticHigh => matches!(level, LimitLevel::Instrument),
        }
    }

    /// Whether it is switched on by 1 and off by 0.
    pub const fn is_switch(self) -> bool {
        matches!(self, Self::Restricted)
    }

    /// Whether it counts things, so that a part of one bounds nothing.
    pub const fn is_count(self) -> bool {
        matches!(
            self,
            Self::MaxOrdersPerMinute
                | Self::MaxOrdersPerSecond
                | Self::MaxOpenOrders
                | Self::MaxRepeatedEntries
        )
    }

    /// Those that must be set somewhere above an order, else the order is refused.
    pub const REQUIRED: &[Self] = &[
        Self::MaxOrderQuantity,
        Self::MaxOrderNotional,
        Self::MaxPosition,
        Self::PriceCollarPercent,
        Self::MaxOrdersPerMinute,
    ];

    /// Those that count orders. Each level counts its own: the organization's orders, the account's,
    /// the strategy's, the key's, and those in the instrument on every account of the organization.
    pub const COUNTS: &[Self] =
        &[Self::MaxOrdersPerMinute, Self::MaxOrdersPerSecond, Self::MaxOpenOrders];

    /// Whether more may be traded once this limit of `scope` is `after` instead of `before`, in
    /// units; `None` means that it is not set. The first of those that an organization must have is
    /// such a change: without it, nothing is traded. So is the first end of a static band, for without
    /// one no entry passes blind. The first of any other only tightens.
    pub fn widens(self, scope: &LimitScope, before: Option<i64>, after: Option<i64>) -> bool {
        match (self, before, after) {
            (Self::Restricted, before, after) => {
                before.unwrap_or(0) != 0 && after.unwrap_or(0) == 0
            }
            (Self::StaticLow, Some(before), Some(after)) => after < before,
            (Self::StaticLow | Self::StaticHigh, before, after)
                if before.is_none() != after.is_none() =>
            {
                after.is_some()
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
    /// One API key: the orders that it asks for.
    Key(Id<id::Key>),
    /// One instrument, on every account.
    Instrument(Symbol),
}

impl LimitScope {
    /// At which level it is.
    pub const fn level(&self) -> LimitLevel {
        match self {
            Self::Org => LimitLevel::Org,
            Self::Account(_) => LimitLevel::Account,
            Self::Strategy(_) => LimitLevel::Strategy,
            Self::Key(_) => LimitLevel::Key,
            Self::Instrument(_) => LimitLevel::Instrument,
        }
    }
}

impl LimitScope {
    /// What a text means to an organization, whose own identifier may stand behind `org:`.
    pub fn read(text: &str, org: Id<id::Org>) -> Result<Self, UnknownWord> {
        match text.strip_prefix("org:") {
            Some(named) if named.parse() == Ok(org) => Ok(Self::Org),
            _ => text.parse(),
        }
    }
}

impl fmt::Display for LimitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level();
        match self {
            Self::Org => write!(f, "{level}"),
            Self::Account(id) => write!(f, "{level}:{id}"),
            Self::Strategy(id) => write!(f, "{level}:{id}"),
            Self::Key(id) => write!(f, "{level}:{id}"),
            Self::Instrument(symbol) => write!(f, "{level}:{symbol}"),
        }
    }
}

impl LimitScope {
    /// The same of the instrument as orders name it.
    #[must_use]
    pub fn without_exchange(self) -> Self {
        match self {
            Self::Instrument(symbol) => Self::Instrument(symbol.without_exchange()),
            other => other,
        }
    }
}

impl FromStr for LimitScope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let (level, name) = match text.split_once(':') {
            Some((level, name)) => (level.parse()?, Some(name)),
            None => (text.parse()?, None),
        };
        match (level, name) {
            (LimitLevel::Org, None) => Ok(Self::Org),
            (LimitLevel::Account, Some(id)) => id.parse().map(Self::Account).map_err(no_id),
            (LimitLevel::Strategy, Some(id)) => id.parse().map(Self::Strategy).map_err(no_id),
            (LimitLevel::Key, Some(id)) => id.parse().map(Self::Key).map_err(no_id),
            (LimitLevel::Instrument, Some(symbol)) => {
                symbol.parse().map(Self::Instrument).map_err(|_| UnknownWord)
            }
            _ => Err(UnknownWord),
        }
    }
}

fn no_id(_: id::IdError) -> UnknownWord {
    UnknownWord
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Money;
    use std::collections::BTreeSet;

    #[test]
    fn what_lets_more_be_traded() {
        let account = LimitScope::Account(Id::from_bytes([1; 16]));
        let instrument = LimitScope::Instrument("ES".parse().unwrap());
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
            (LimitName::StaticLow, &instrument, None, Some(5), true),
            (LimitName::StaticLow, &instrument, Some(5), Some(4), true),
            (LimitName::StaticLow, &instrument, Some(5), Some(6), false),
            (LimitName::StaticLow, &instrument, Some(5), None, false),
            (LimitName::StaticHigh, &instrument, None, Some(5), true),
            (LimitName::StaticHigh, &instrument, Some(5), Some(4), false),
            (LimitName::StaticHigh, &instrument, Some(5), Some(6), true),
            (LimitName::StaticHigh, &instrument, Some(5), None, false),
        ] {
            let told = format!("{name} of {scope} from {before:?} to {after:?}");
            assert_eq!(name.widens(scope, before, after), widens, "{told}");
        }
    }

    #[test]
    fn the_tightest_of_all_levels_wins() {
        let account = Id::from_bytes([1; 16]);
        let strategy = Id::from_bytes([2; 16]);
        let key = Id::from_bytes([3; 16]);
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
            limit(LimitScope::Key(key), 25),
            limit(LimitScope::Instrument(symbol.clone()), 20),
            limit(LimitScope::Account(Id::from_bytes([9; 16])), 1),
        ];
        for count in 1..=5 {
            let book = LimitBook::of(50, all.iter().take(count));
            let limits = book.tightest(account, Some(strategy), Some(key), &symbol);
            assert_eq!(limits.max_order_quantity, all.get(count - 1).map(|limit| limit.value));
        }
        let book = LimitBook::of(50, all.iter());
        let limits = book.tightest(account, Some(strategy), Some(key), &symbol);
        assert_eq!((limits.max_order_quantity, limits.version), (Some(20), 50));
        assert_eq!(limits.max_position, None);
    }

    /// Who counts orders keeps each level's bound, for each has a count of its own.
    #[test]
    fn bounds_of_counts_stay_at_their_levels() {
        let account = Id::from_bytes([1; 16]);
        let strategy = Id::from_bytes([2; 16]);
        let key = Id::from_bytes([3; 16]);
        let symbol: Symbol = "ES".parse().unwrap();
        let limit = |scope, name, value| Limit {
            org_id: Id::from_bytes([0; 16]),
            scope,
            name,
            value,
            version: 1,
            updated_at: Timestamp::default(),
        };
        let name = LimitName::MaxOpenOrders;
        let all = [
            limit(LimitScope::Org, name, 50),
            limit(LimitScope::Account(account), name, 60),
            limit(LimitScope::Strategy(strategy), name, 70),
            limit(LimitScope::Key(key), name, 80),
            limit(LimitScope::Instrument(symbol.clone()), name, 90),
            limit(LimitScope::Account(account), LimitName::MaxOrdersPerSecond, 3),
        ];
        let book = LimitBook::of(1, all.iter());
        let limits = book.tightest(account, Some(strategy), Some(key), &symbol);
        let each = ByLevel { org: 50, account: 60, strategy: 70, key: 80, instrument: 90 };
        assert_eq!(limits.max_open_orders, each.map(Some));
        let own = ByLevel { account: Some(3), ..ByLevel::default() };
        assert_eq!(limits.max_orders_per_second, own);
        let limits = book.tightest(account, None, None, &"NQ".parse().unwrap());
        let own = ByLevel { org: Some(50), account: Some(60), ..ByLevel::default() };
        assert_eq!(limits.max_open_orders, own);
        assert_eq!(book.first_count_beyond_accounts(), Some((&LimitScope::Org, name)));
        assert!(book.counts_beyond_accounts(&[name]));
        assert!(!book.counts_beyond_accounts(&[LimitName::MaxOrdersPerSecond]));
        let book = LimitBook::of(1, all.iter().skip(5));
        assert_eq!(book.first_count_beyond_accounts(), None);
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
        for name in LimitName::ALL {
            if matches!(name, LimitName::StaticLow | LimitName::StaticHigh) {
                let fits = LimitLevel::ALL.iter().filter(|level| name.fits(**level));
                assert_eq!(fits.collect::<Vec<_>>(), [&LimitLevel::Instrument], "{name}");
                continue;
            }
            assert!(name.fits(LimitLevel::Org) && name.fits(LimitLevel::Account), "{name}");
        }
        assert!(!LimitName::DailyLoss.fits(LimitLevel::Instrument));
        assert!(LimitName::DailyLoss.fits(LimitLevel::Strategy));
        assert!(!LimitName::MaxGrossExposure.fits(LimitLevel::Strategy));
        assert!(!LimitName::CreditPercent.fits(LimitLevel::Key));
        let counted = |level| LimitName::COUNTS.iter().all(|name| name.fits(level));
        assert!(LimitLevel::ALL.iter().copied().all(counted));
    }

    #[test]
    fn scopes_have_one_text_each() {
        for scope in [
            LimitScope::Org,
            LimitScope::Account(Id::from_bytes([1; 16])),
            LimitScope::Strategy(Id::from_bytes([2; 16])),
            LimitScope::Key(Id::from_bytes([3; 16])),
            LimitScope::Instrument("BTC/USD".parse().unwrap()),
        ] {
            assert_eq!(scope.to_string().parse(), Ok(scope.clone()));
            assert!(scope.to_string().starts_with(scope.level().text()));
        }
        for text in ["", "org:", "org:x", "account", "account:", "account:ES", "pair:x", "key:"] {
            assert!(text.parse::<LimitScope>().is_err(), "{text}");
        }
    }
}
