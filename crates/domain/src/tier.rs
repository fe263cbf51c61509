//! Tiers: how much a caller of the API may ask for (product.md section 3).

use crate::order::words;
use serde::{Deserialize, Serialize};

words! {
    /// The name of a tier.
    Tier {
        /// For trying it out.
        Free = "free",
        /// The default.
        Standard = "standard",
        /// For active traders.
        Pro = "pro",
        /// For firms; without a limit by day.
        Institutional = "institutional",
    }
}

/// What a tier allows. Requests and orders are counted apart, each against these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Within any second.
    pub per_s: u32,
    /// Within any 24 hours; absent means without end.
    pub per_day: Option<u32>,
}

impl Tier {
    /// What the tier allows unless configuration says otherwise.
    pub const fn allowance(self) -> Allowance {
        match self {
            Self::Free => Allowance { per_s: 5, per_day: Some(10_000) },
            Self::Standard => Allowance { per_s: 20, per_day: Some(100_000) },
            Self::Pro => Allowance { per_s: 100, per_day: Some(1_000_000) },
            Self::Institutional => Allowance { per_s: 1_000, per_day: None },
        }
    }
}

/// What each tier allows on this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// [`Tier::Free`]
    pub free: Allowance,
    /// [`Tier::Standard`]
    pub standard: Allowance,
    /// [`Tier::Pro`]
    pub pro: Allowance,
    /// [`Tier::Institutional`]
    pub institutional: Allowance,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            free: Tier::Free.allowance(),
            standard: Tier::Standard.allowance(),
            pro: Tier::Pro.allowance(),
            institutional: Tier::Institutional.allowance(),
        }
    }
}

impl Tiers {
    /// What this tier allows.
    pub const fn of(&self, tier: Tier) -> Allowance {
        match tier {
            Tier::Free => self.free,
            Tier::Standard => self.standard,
            Tier::Pro => self.pro,
            Tier::Institutional => self.institutional,
        }
    }

    /// One node's share, so that all nodes together stay within the limits (C17). A share is
    /// rounded down; there is none of a limit that is smaller than the number of nodes.
    pub fn shared_by(&self, nodes: u32) -> Option<Self> {
        let share = |whole: u32| whole.checked_div(nodes).filter(|share| *share > 0);
        let of = |allowance: Allowance| {
            Some(Allowance {
                per_s: share(allowance.per_s)?,
                per_day: match allowance.per_day {
                    Some(per_day) => Some(share(per_day)?),
                    None => None,
                },
            })
        };
        Some(Self {
            free: of(self.free)?,
            standard: of(self.standard)?,
            pro: of(self.pro)?,
            institutional: of(self.institutional)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_together_stay_within_the_limit() {
        let whole = Tiers::default();
        assert_eq!(whole.shared_by(1), Some(whole));
        for nodes in 1..=5 {
            let share = whole.shared_by(nodes).unwrap();
            for tier in Tier::ALL {
                let (share, whole) = (share.of(*tier), whole.of(*tier));
                assert!(share.per_s * nodes <= whole.per_s);
                assert_eq!(share.per_day.is_some(), whole.per_day.is_some());
                assert!(share.per_day.unwrap_or(0) * nodes <= whole.per_day.unwrap_or(0));
            }
        }
        assert_eq!(whole.shared_by(6), None);
        assert_eq!(whole.shared_by(0), None);
    }
}
