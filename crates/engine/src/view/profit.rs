//! What was made, as it is shown.

use serde::Serialize;
use tradewarden_domain::exchange::ExchangeRate;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::time::Timestamp;

/// What was made on an account since it was opened, in its currency.
#[derive(Debug, Serialize)]
pub struct ProfitView {
    /// The account.
    pub account_id: Id<id::Account>,
    /// Currency of the sums.
    pub currency: String,
    /// Of what was closed, fees taken off; absent while a rate is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<Money>,
    /// Of what is held, at bid or ask; absent while a mark or a rate is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrealized: Option<Money>,
    /// Both together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// Fees so far; they are taken off `realized` already.
    pub fees: Money,
    /// What the sums lack, in sentences.
    pub gaps: Vec<String>,
    /// What is watched for its losses; nothing without a loss limit.
    pub losses: Vec<LossView>,
    /// The same by instrument.
    pub instruments: Vec<InstrumentProfitView>,
    /// When this was so.
    pub at: Timestamp,
}

/// What is lost, and what may be, of an account or of a strategy on it.
#[derive(Debug, Serialize)]
pub struct LossView {
    /// The strategy; absent for all of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// When the session began.
    pub session_at: Timestamp,
    /// What was made since then; negative is a loss. Absent without a mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_the_day: Option<Money>,
    /// What may be lost in a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_loss: Option<Money>,
    /// How far it is below the best there was. Absent without a mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_best: Option<Money>,
    /// How far it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawdown: Option<Money>,
    /// The halts that these limits engaged.
    pub halts: Vec<Id<id::Halt>>,
}

/// What was made with an instrument, in its own currency.
#[derive(Debug, Serialize)]
pub struct InstrumentProfitView {
    /// The instrument.
    pub symbol: Symbol,
    /// Currency of its prices; absent if the account does not trade it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Filled position; negative is short.
    pub quantity: Quantity,
    /// The bid if long, the ask if short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Price>,
    /// When it was quoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked_at: Option<Timestamp>,
    /// Of what was closed, before fees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<Money>,
    /// Of what is held, at the mark; absent if the mark is older than 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrealized: Option<Money>,
    /// Fees, in the account's currency.
    pub fees: Money,
    /// What a unit of the instrument's currency is worth in the account's; absent if nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Price>,
    /// The same by strategy.
    pub strategies: Vec<StrategyProfitView>,
}

/// A strategy's part in it.
#[derive(Debug, Serialize)]
pub struct StrategyProfitView {
    /// The strategy; absent for orders of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<Id<id::Strategy>>,
    /// Filled position.
    pub quantity: Quantity,
    /// Average price; absent when flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_price: Option<Price>,
    /// Of what was closed, before fees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<Money>,
    /// Of what is held, at the mark of its own side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrealized: Option<Money>,
    /// Fees, in the account's currency.
    pub fees: Money,
}

/// A rate of exchange.
#[derive(Debug, Serialize)]
pub struct ExchangeRateView {
    /// The currency whose unit is valued.
    pub base: String,
    /// The currency it is valued in.
    pub quote: String,
    /// How many of `quote` one `base` is worth.
    pub rate: Price,
    /// Where it comes from.
    pub source: String,
    /// When it was so.
    pub at: Timestamp,
    /// Until when it is counted with.
    pub valid_until: Timestamp,
}

impl From<ExchangeRate> for ExchangeRateView {
    fn from(rate: ExchangeRate) -> Self {
        let ExchangeRate { org_id: _, base, quote, rate, source, at, valid_until } = rate;
        Self { base, quote, rate, source, at, valid_until }
    }
}
