//! Something for each level at which limits are set.

use super::LimitLevel;

/// One for each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByLevel<T> {
    /// See [`LimitLevel::Org`].
    pub org: T,
    /// See [`LimitLevel::Account`].
    pub account: T,
    /// See [`LimitLevel::Strategy`].
    pub strategy: T,
    /// See [`LimitLevel::Key`].
    pub key: T,
    /// See [`LimitLevel::Instrument`].
    pub instrument: T,
}

impl<T: Copy> ByLevel<T> {
    /// The same at every level.
    pub const fn all(of: T) -> Self {
        Self { org: of, account: of, strategy: of, key: of, instrument: of }
    }

    /// That of one level.
    pub const fn at(&self, level: LimitLevel) -> T {
        match level {
            LimitLevel::Org => self.org,
            LimitLevel::Account => self.account,
            LimitLevel::Strategy => self.strategy,
            LimitLevel::Key => self.key,
            LimitLevel::Instrument => self.instrument,
        }
    }

    /// Something made of each.
    pub fn map<U>(self, make: impl Fn(T) -> U) -> ByLevel<U> {
        ByLevel {
            org: make(self.org),
            account: make(self.account),
            strategy: make(self.strategy),
            key: make(self.key),
            instrument: make(self.instrument),
        }
    }
}

impl ByLevel<Option<i64>> {
    /// The least of those that are set.
    pub fn least(&self) -> Option<i64> {
        [self.org, self.account, self.strategy, self.key, self.instrument]
            .into_iter()
            .flatten()
            .min()
    }
}
