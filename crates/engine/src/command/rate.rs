//! What is asked for about rates of exchange.

use serde::{Deserialize, Serialize};
use tradewarden_domain::money::Price;
use tradewarden_domain::time::Timestamp;

/// A rate of exchange to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSet {
    /// The currency whose unit is valued, three capital letters.
    pub base: String,
    /// The currency it is valued in, three capital letters.
    pub quote: String,
    /// How many of `quote` one `base` is worth.
    pub rate: Price,
    /// Where it comes from, 1 to 64 characters.
    pub source: String,
    /// When it was so; now if absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Seconds from then on for which it is counted with, 1 to 604,800; a day if absent.
    #[serde(default)]
    pub valid_s: Option<u32>,
}
