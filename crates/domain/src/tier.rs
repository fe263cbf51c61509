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
