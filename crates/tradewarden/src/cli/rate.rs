//! `rate ...`

use clap::{Args, Subcommand};
use tradewarden_domain::money::Price;

/// `rate ...`
#[derive(Debug, Subcommand)]
pub(crate) enum RateVerb {
    /// Say what a currency is worth in another
    Set(RateSet),
    /// List rates of exchange
    List,
}

/// `rate set`
#[derive(Debug, Args)]
pub(crate) struct RateSet {
    /// The currency whose unit is valued, for example EUR
    pub(crate) base: String,
    /// The currency it is valued in, for example USD
    pub(crate) quote: String,
    /// How many of the second one unit of the first is worth
    pub(crate) rate: Price,
    /// Where the rate comes from
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: String,
    /// Seconds for which it is counted with [default: 86400]
    #[arg(long, value_name = "N")]
    pub(crate) valid_s: Option<u32>,
}
