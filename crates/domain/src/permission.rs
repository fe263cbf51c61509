//! Permissions: what a caller may ask for. A key's scopes and a role's permissions are both sets of
//! these; there is nothing a caller may do that is not named here, and none lets money leave (A26).

use crate::order::{UnknownWord, words};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

words! {
    /// One permission. The words are part of the interface (product.md section 3).
    Permission {
        /// Send signals for judgement.
        SignalsWrite = "signals:write",
        /// Place and change orders.
        OrdersCreate = "orders:create",
        /// Cancel orders.
        OrdersCancel = "orders:cancel",
        /// Close positions.
        PositionsClose = "positions:close",
        /// See signals and orders.
        OrdersRead = "orders:read",
        /// See positions.
        PositionsRead = "positions:read",
        /// See accounts and their balances.
        BalancesRead = "balances:read",
        /// Make and change webhooks.
        WebhooksManage = "webhooks:manage",
        /// Make and change strategies.
        StrategiesManage = "strategies:manage",
        /// Make and change API keys.
        KeysManage = "keys:manage",
        /// Make and change accounts and the links to brokers.
        AccountsManage = "accounts:manage",
        /// Set limits.
        LimitsManage = "limits:manage",
        /// Engage halts.
        HaltEngage = "halt:engage",
        /// Engage halts that close positions (C11).
        HaltFlatten = "halt:flatten",
        /// End halts.
        HaltResume = "halt:resume",
        /// Read the audit log and findings.
        AuditRead = "audit:read",
        /// Read reports.
        ReportsRead = "reports:read",
        /// Make and change people, roles and their policy.
        UsersManage = "users:manage",
    }
}

impl Permission {
    const fn bit(self) -> u32 {
        match self {
            Self::SignalsWrite => 1,
            Self::OrdersCreate => 1 << 1,
            Self::OrdersCancel => 1 << 2,
            Self::PositionsClose => 1 << 3,
            Self::OrdersRead => 1 << 4,
            Self::PositionsRead => 1 << 5,
            Self::BalancesRead => 1 << 6,
            Self::WebhooksManage => 1 << 7,
            Self::StrategiesManage => 1 << 8,
            Self::KeysManage => 1 << 9,
            Self::AccountsManage => 1 << 10,
            Self::LimitsManage => 1 << 11,
            Self::HaltEngage => 1 << 12,
            Self::HaltFlatten => 1 << 13,
            Self::HaltResume => 1 << 14,
            Self::AuditRead => 1 << 15,
            Self::ReportsRead => 1 << 16,
            Self::UsersManage => 1 << 17,
        }
    }

    /// Whether it changes what may be traded, or trades: a person without a second factor may not
    /// (product.md section 4, standard profile). Stopping needs none (section 7).
    pub const fn needs_factor(self) -> bool {
        !matches!(
            self,
            Self::OrdersRead
                | Self::PositionsRead
                | Self::BalancesRead
                | Self::AuditRead
                | Self::ReportsRead
                | Self::HaltEngage
        )
    }
}

/// A set of permissions; the empty one allows nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// Allows nothing.
    pub const NONE: Self = Self(0);

    /// Allows everything there is.
    pub const fn all() -> Self {
        Self::of(Permission::ALL)
    }

    /// These and no others.
    pub const fn of(permissions: &[Permission]) -> Self {
        let mut bits = 0;
        let mut rest = permissions;
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    /// Whether this one is among them.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether any of these is among them; of none, none is.
    pub fn has_any(self, permissions: &[Permission]) -> bool {
        permissions.iter().any(|permission| self.has(*permission))
    }

    /// Whether all of `others` are among them.
    pub const fn covers(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those that are in this set only.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.has(*permission))
    }

    /// From words that are separated by spaces, as they are stored.
    pub fn from_words(text: &str) -> Result<Self, UnknownWord> {
        let words = text.split(' ').filter(|word| !word.is_empty());
        words.map(str::parse).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

/// The words, separated by spaces.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, permission) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(permission.text())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::text)).finish()
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        words
            .iter()
            .map(|word| word.parse().map_err(|_| D::Error::custom(UnknownPermission)))
            .collect()
    }
}

struct UnknownPermission;

impl fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown permission, expected words of: ")?;
        Permissions::all().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_has_a_bit_of_its_own_and_a_word_that_is_read_again() {
        let mut seen = 0;
        for permission in Permission::ALL {
            assert_eq!(seen & permission.bit(), 0, "{permission}");
            assert_eq!(permission.bit().count_ones(), 1);
            seen |= permission.bit();
            assert_eq!(permission.text().parse(), Ok(*permission));
        }
        assert_eq!(
            Permissions::from_words(&Permissions::all().to_string()),
            Ok(Permissions::all())
        );
        assert!(Permissions::from_words("orders:withdraw").is_err());
    }

    #[test]
    fn nothing_lets_money_leave() {
        for permission in Permission::ALL {
            for word in ["withdraw", "transfer", "payout", "deposit"] {
                assert!(!permission.text().contains(word));
            }
        }
    }

    #[test]
    fn sets_compare() {
        let two = Permissions::of(&[Permission::OrdersRead, Permission::AuditRead]);
        assert!(two.has(Permission::AuditRead) && !two.has(Permission::OrdersCreate));
        assert!(two.has_any(&[Permission::OrdersCreate, Permission::OrdersRead]));
        assert!(!two.has_any(&[]));
        assert!(Permissions::all().covers(two) && !two.covers(Permissions::all()));
        assert_eq!(two.without(two), Permissions::NONE);
        assert_eq!(serde_json::to_string(&two).unwrap(), r#"["orders:read","audit:read"]"#);
        assert_eq!(
            serde_json::from_str::<Permissions>(r#"["audit:read","orders:read"]"#).unwrap(),
            two
        );
    }
}
