//! A strategy, as it is shown.

use serde::Serialize;
use tradewarden_domain::bracket::Away;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::time::Timestamp;

/// A strategy.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "settings that are shown, each by itself")]
pub struct StrategyView {
    /// Its identifier.
    pub id: Id<id::Strategy>,
    /// What people call it.
    pub name: String,
    /// The webhook it follows, if it follows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<Id<id::Webhook>>,
    /// The key whose signals it follows, and those of keys that follow on it, if not a webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Id<id::Key>>,
    /// The account it trades on; of several, the one that leads.
    pub account_id: Id<id::Account>,
    /// The accounts that follow, in the order in which they are judged.
    pub followers: Vec<Id<id::Account>>,
    /// Whether they open nothing when the account they follow was refused.
    pub require_leader: bool,
    /// What it trades.
    pub symbol: Symbol,
    /// `strategy` or `payload`.
    pub symbol_source: String,
    /// The size of an entry.
    pub quantity: Quantity,
    /// `fixed`, `payload`, `target`, `percent_equity` or `risk_per_trade`.
    pub sizing: String,
    /// Whether `quantity` is the size of an entry whose payload says none, where the sizing is `payload`.
    pub quantity_fallback: bool,
    /// Whether an entry over `max_order_quantity` is cut down to it, and not refused.
    pub quantity_clamp: bool,
    /// The percentage of the equity that sizing by it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Quantity>,
    /// What a unit costs each way, which sizing by risk counts in.
    pub fee_per_unit: Money,
    /// Least distance of a stop in ticks where the size comes of it.
    pub stop_ticks_min: u32,
    /// `close` or `reverse`.
    pub on_opposite: String,
    /// `allow` or `ignore`.
    pub pyramiding: String,
    /// Whether a sale while flat opens a short.
    pub allow_short: bool,
    /// Seconds within which an entry must have been sent.
    pub send_within_s: u32,
    /// Seconds for which an entry rests that does not fill; absent for until the session of its
    /// instrument ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_ttl_s: Option<u32>,
    /// When it may open something; absent for at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Where the profit is taken, unless the signal says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Away>,
    /// Where the loss is stopped, unless the signal says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Away>,
    /// `close` or `alert`: what happens to a position whose stop does not work.
    pub on_naked: String,
    /// Seconds of its schedule within which a signal is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_every_s: Option<u32>,
    /// Whether it adopted what nobody here had opened (S3).
    pub adopt: bool,
    /// Whether its positions in a month that rolls are closed, and opened again in the next (S11).
    pub auto_roll: bool,
    /// Whether it may enter at the market while no reference price is fresh.
    pub blind_market: bool,
    /// At most so much each time.
    pub blind_quantity_max: Quantity,
    /// `on`, `exits_only` or `off`.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
}
