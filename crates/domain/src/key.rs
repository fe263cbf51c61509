//! API keys: what a program that signs its requests may do, where, how much and until when.

use crate::code::{Code, Refusal};
use crate::few::Few;
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::money::Money;
use crate::order::words;
use crate::permission::Permissions;
use crate::tier::Tier;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

words! {
    /// How a key signs.
    KeyAlgorithm {
        /// Ed25519 (RFC 8032): the server has the public key only.
        Ed25519 = "ed25519",
        /// HMAC with SHA-256: the server has the secret, sealed.
        HmacSha256 = "hmac-sha256",
    }

    /// Whether a key is taken.
    KeyState {
        /// It is.
        Active = "active",
        /// Only to cancel and to close (S19), until a person lets it go on.
        Suspended = "suspended",
        /// Never again.
        Revoked = "revoked",
    }
}

/// A key's settings; what it verifies with lives with the store and `seal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The identifier, and the `keyid` of signatures.
    pub id: Id<id::Key>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// The person who made it, if it was not the local operator.
    pub user_id: Option<Id<id::User>>,
    /// What people call it.
    pub name: Box<str>,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// What it may ask for.
    pub scopes: Permissions,
    /// The accounts it may name; empty means all of its organization.
    pub accounts: Few<Id<id::Account>>,
    /// The instruments it may trade; empty means all.
    pub instruments: Few<Symbol>,
    /// Addresses in CIDR form; empty means any.
    pub allow: Few<String>,
    /// How much it may ask for.
    pub tier: Tier,
    /// Largest value of one order, in the instrument's currency.
    pub max_notional: Option<Money>,
    /// A label of the owner's own, for example `live`.
    pub environment: Option<Box<str>>,
    /// The strategy to which its orders belong, if to one.
    pub strategy_id: Option<Id<id::Strategy>>,
    /// Whether it is taken.
    pub state: KeyState,
    /// The key it follows on.
    pub rotated_from: Option<Id<id::Key>>,
    /// From when on it is not taken any more.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How long keys may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// The lifetime of a key that names none, and the longest of one without an address list.
    pub lifetime: Duration,
    /// The longest lifetime of a key that is bound to addresses.
    pub lifetime_max: Duration,
}

impl Default for KeyPolicy {
    /// 90 days (product.md section 3), and a year for keys that are bound to addresses.
    fn default() -> Self {
        Self {
            lifetime: Duration::from_hours(90 * 24),
            lifetime_max: Duration::from_hours(365 * 24),
        }
    }
}

impl KeyPolicy {
    /// The same with 30 days for keys without an address list.
    pub fn strict() -> Self {
        Self { lifetime: Duration::from_hours(30 * 24), ..Self::default() }
    }

    /// How long a key may live.
    pub const fn longest(&self, bound_to_addresses: bool) -> Duration {
        if bound_to_addresses { self.lifetime_max } else { self.lifetime }
    }

    /// Whether a key of this lifetime may be made.
    pub fn judge(&self, lifetime: Duration, bound_to_addresses: bool) -> Result<(), Refusal> {
        let longest = self.longest(bound_to_addresses);
        if lifetime > longest {
            let days = |span: Duration| format!("{} days", span.as_secs().div_ceil(86_400));
            return Err(Refusal::over(Code::KeyLifetime, days(lifetime), days(longest)));
        }
        Ok(())
    }
}

/// Longest that a key and its successor are both taken.
pub const OVERLAP_MAX: Duration = Duration::from_hours(7 * 24);
/// How long they both are unless told otherwise.
pub const OVERLAP_DEFAULT: Duration = Duration::from_hours(24);

impl ApiKey {
    /// Whether it may name this account.
    pub fn reaches(&self, account: Id<id::Account>) -> bool {
        self.accounts.is_empty() || self.accounts.contains(&account)
    }

    /// Whether it may trade this instrument.
    pub fn trades(&self, symbol: &Symbol) -> bool {
        self.instruments.is_empty() || self.instruments.contains(symbol)
    }

    /// Whether it is taken at all at this instant; a suspended one is, for what reduces.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.state != KeyState::Revoked && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_addresses_lives_shorter() {
        let policy = KeyPolicy::default();
        let days = |days: u64| Duration::from_hours(days * 24);
        assert!(policy.judge(days(90), false).is_ok());
        assert_eq!(policy.judge(days(91), false).unwrap_err().code, Code::KeyLifetime);
        assert!(policy.judge(days(91), true).is_ok());
        assert!(policy.judge(days(366), true).is_err());
    }
}
