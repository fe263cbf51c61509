//! What can be typed about strategies.

use clap::{Args, Subcommand};
use tradewarden_domain::bracket::{Away, OnNaked};
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing};

use super::ById;
use super::change::{StrategyChange, StrategyOff};
use super::word::word;

/// `strategy ...`
#[derive(Debug, Subcommand)]
pub(crate) enum StrategyVerb {
    /// Make a strategy
    Create(Box<StrategyCreate>),
    /// List strategies
    List,
    /// Show a strategy
    Show(ById),
    /// Change a strategy; what is not named stays
    Change(Box<StrategyChange>),
    /// Switch a strategy on
    On(ById),
    /// Switch a strategy off; while it holds a position, say what becomes of that
    Off(StrategyOff),
    /// Switch a strategy off; while it holds a position it still takes exits
    Disable(ById),
    /// Delete a strategy that is off and holds nothing
    Delete(ById),
}

/// Whose signals a strategy follows.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct StrategySource {
    /// The webhook it follows
    #[arg(long, value_name = "ID")]
    pub(crate) webhook: Option<String>,
    /// The API key whose signed signals it follows
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
}

/// `strategy create`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, each by itself")]
pub(crate) struct StrategyCreate {
    /// What people call it
    #[arg(long, value_name = "N")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) source: StrategySource,
    /// The account it trades on
    #[arg(long, value_name = "ID")]
    pub(crate) account: String,
    /// A further account, sized by its own position (may be repeated)
    #[arg(long = "follower", value_name = "ID")]
    pub(crate) followers: Vec<String>,
    /// Let followers open nothing when the account they follow was refused
    #[arg(long)]
    pub(crate) require_leader: bool,
    /// What it trades
    #[arg(long, value_name = "S")]
    pub(crate) symbol: String,
    /// The size of an entry
    #[arg(long, value_name = "Q")]
    pub(crate) quantity: Quantity,
    /// Where the size comes from [default: fixed]
    #[arg(long, value_name = "MODE", value_parser = word(Sizing::ALL, Sizing::text))]
    pub(crate) sizing: Option<Sizing>,
    /// For the sizing `payload`: take the quantity where an entry's payload says none
    #[arg(long)]
    pub(crate) quantity_fallback: bool,
    /// Cut an entry over `max_order_quantity` down to it, in place of refusing it
    #[arg(long)]
    pub(crate) quantity_clamp: bool,
    /// The percentage of the equity, for the sizings `percent_equity` and `risk_per_trade`
    #[arg(long, value_name = "P")]
    pub(crate) percent: Option<Quantity>,
    /// What a unit costs each way, which `risk_per_trade` counts in
    #[arg(long, value_name = "M")]
    pub(crate) fee_per_unit: Option<Money>,
    /// Least distance of a stop in ticks, for `risk_per_trade` [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) stop_ticks_min: Option<u32>,
    /// What an opposite signal does [default: close]
    #[arg(long, value_parser = word(OnOpposite::ALL, OnOpposite::text))]
    pub(crate) on_opposite: Option<OnOpposite>,
    /// What a signal along the position does [default: ignore]
    #[arg(long, value_parser = word(Pyramiding::ALL, Pyramiding::text))]
    pub(crate) pyramiding: Option<Pyramiding>,
    /// Let a sale while flat open a short position
    #[arg(long)]
    pub(crate) allow_short: bool,
    /// Let the signal name another symbol
    #[arg(long)]
    pub(crate) payload_symbol: bool,
    /// Seconds within which an entry must have been sent [default: 10]
    #[arg(long, value_name = "N")]
    pub(crate) send_within_s: Option<u32>,
    /// Seconds for which an entry rests that does not fill [default: until its session ends]
    #[arg(long, value_name = "N")]
    pub(crate) entry_ttl_s: Option<u32>,
    /// When it may open something, as `mon-fri 09:30-16:00 America/New_York` [default: always]
    #[arg(long, value_name = "WHEN")]
    pub(crate) schedule: Option<Schedule>,
    /// Where the profit is taken, from the entry: `2%` or `1.5`, unless the signal says it
    #[arg(long, value_name = "DISTANCE")]
    pub(crate) take_profit: Option<Away>,
    /// Where the loss is stopped, from the entry, unless the signal says it
    #[arg(long, value_name = "DISTANCE")]
    pub(crate) stop_loss: Option<Away>,
    /// What happens to a position whose stop does not work [default: alert]
    #[arg(long, value_parser = word(OnNaked::ALL, OnNaked::text))]
    pub(crate) on_naked: Option<OnNaked>,
    /// Seconds of its schedule within which a signal is expected; a longer silence is told
    #[arg(long, value_name = "N")]
    pub(crate) expected_every_s: Option<u32>,
    /// Close its positions in a month that rolls, and open them again in the next
    #[arg(long)]
    pub(crate) auto_roll: bool,
    /// Let it enter at the market while no reference price is fresh, inside the instrument's band
    #[arg(long)]
    pub(crate) blind_market: bool,
    /// At most so much each time [default: 1]
    #[arg(long, value_name = "Q")]
    pub(crate) blind_quantity_max: Option<Quantity>,
    /// Let another strategy trade the same instrument on the same account
    #[arg(long)]
    pub(crate) shared_position: bool,
}
