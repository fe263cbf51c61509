//! Making strategies.

use serde::{Deserialize, Serialize};
use tradewarden_domain::bracket::{Away, OnNaked};
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing, SymbolSource};

/// A strategy to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "members of a request, each by itself")]
pub struct StrategyCreate {
    /// What people call it, 1 to 64 characters.
    pub name: String,
    /// The webhook it follows; this or a key.
    #[serde(default, alias = "webhook_id", skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The API key whose signals it follows.
    #[serde(default, alias = "key_id", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The account it trades on.
    #[serde(alias = "account_id")]
    pub account: String,
    /// Further accounts on which it trades, each by its own position (S10), at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<String>,
    /// Followers open nothing when the account they follow was refused; they close all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_leader: bool,
    /// What it trades.
    pub symbol: String,
    /// The size of an entry.
    pub quantity: Quantity,
    /// Where the size comes from; fixed if absent.
    #[serde(default)]
    pub sizing: Option<Sizing>,
    /// Where the sizing is `payload` and an entry's payload says no size, `quantity` is its size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quantity_fallback: bool,
    /// An entry over `max_order_quantity` is cut down to it, and not refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quantity_clamp: bool,
    /// The percentage of the equity that sizing by it takes, greater than 0, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Quantity>,
    /// What a unit costs each way, which sizing by risk counts in; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_per_unit: Option<Money>,
    /// Least distance of a stop in ticks where the size comes of it, 1 to 10,000; 4 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_ticks_min: Option<u32>,
    /// What an opposite signal does.
    #[serde(default)]
    pub on_opposite: Option<OnOpposite>,
    /// What a signal along the position does; ignored if absent.
    #[serde(default)]
    pub pyramiding: Option<Pyramiding>,
    /// Whether a sale while flat opens a short.
    #[serde(default)]
    pub allow_short: bool,
    /// Whether the signal may name another symbol.
    #[serde(default)]
    pub symbol_source: Option<SymbolSource>,
    /// Seconds within which an entry must have been sent, 1 to 300; 10 if absent.
    #[serde(default)]
    pub send_within_s: Option<u32>,
    /// Seconds for which an entry rests that does not fill, 1 to 7,776,000; until the session of its
    /// instrument ends if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_ttl_s: Option<u32>,
    /// When it may open something, such as `mon-fri 09:30-16:00 America/New_York`; at any time if
    /// absent.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// Where the profit is taken, unless the signal says it: `2%` or `1.5` from the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Away>,
    /// Where the loss is stopped, unless the signal says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Away>,
    /// What happens to a position whose stop does not work; a person hears of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_naked: Option<OnNaked>,
    /// Seconds of its schedule within which a signal is expected, 60 to 86,400; a longer silence is
    /// told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_every_s: Option<u32>,
    /// Its positions in a month that rolls are closed, and opened again in the next (S11). Needs a
    /// continuous symbol of its own and a fresh factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_roll: bool,
    /// It may enter at the market while no reference price is fresh, where the instrument has a static
    /// band (S22). Needs a fresh factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blind_market: bool,
    /// At most so much each time; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind_quantity_max: Option<Quantity>,
    /// Another strategy may trade the same instrument on the same account (S3).
    #[serde(default)]
    pub shared_position: bool,
}
