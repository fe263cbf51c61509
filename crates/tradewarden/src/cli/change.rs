//! What can be typed to change what was made, and what the engine is asked by it.

use std::path::PathBuf;

use clap::Args;
use tradewarden_domain::account::Activity;
use tradewarden_domain::bracket::{Away, OnNaked};
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::strategy::{
    OnOpposite, OpenPosition, Pyramiding, Sizing, StrategyState, SymbolSource,
};
use tradewarden_engine::command::{
    AccountChanges, Change, Command, Delete, Setting, StrategyChanges, WebhookChanges,
};
use tradewarden_engine::tag::IfMatch;

use super::ById;
use super::request::mapping;
use super::word::word;
use crate::outcome::Failure;

/// `webhook change`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, each by itself")]
pub(crate) struct WebhookChange {
    /// Its identifier
    #[arg(value_name = "ID")]
    id: String,
    /// What people call it
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// Take signals only from this address or network, in place of those there are; may be repeated
    #[arg(long, value_name = "CIDR", conflicts_with = "allow_any")]
    allow: Vec<String>,
    /// Take signals from any address
    #[arg(long)]
    allow_any: bool,
    /// Take signals from a sender's known addresses too
    #[arg(long, value_parser = ["tradingview"], conflicts_with = "allow_any")]
    preset: Option<String>,
    /// Take signals only from a sender whose TLS client certificate shows this name: an e-mail
    /// address, a host name, `cn:NAME`, or `tradingview`
    #[arg(long, value_name = "PATTERN", conflicts_with = "no_client_certificate")]
    client_certificate: Option<String>,
    /// Ask the sender for no certificate
    #[arg(long)]
    no_client_certificate: bool,
    /// A symbol that entries may name, in place of those there are; may be repeated
    #[arg(long = "symbol", value_name = "S", conflicts_with = "any_symbol")]
    symbols: Vec<String>,
    /// Let entries name any symbol
    #[arg(long)]
    any_symbol: bool,
    /// Judge signals, never trade
    #[arg(long, value_name = "BOOL")]
    dry_run: Option<bool>,
    /// Entries a second
    #[arg(long, value_name = "N")]
    rate_per_s: Option<u32>,
    /// Seconds for which an entry is fresh
    #[arg(long, value_name = "N")]
    max_age_s: Option<u32>,
    /// A form of credential that it takes, in place of those there are; may be repeated
    #[arg(long = "form", value_name = "F", value_parser = ["query", "header", "body", "signature"])]
    forms: Vec<String>,
    /// A JSON file that says where the sender's own JSON holds our fields
    #[arg(long, value_name = "FILE", conflicts_with = "no_mapping")]
    mapping: Option<PathBuf>,
    /// Read our own form of JSON
    #[arg(long)]
    no_mapping: bool,
    /// Whether it takes signals
    #[arg(long, value_parser = word(Activity::ALL, Activity::text))]
    state: Option<Activity>,
}

impl WebhookChange {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let given = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        let mapping = self.mapping.as_deref().map(mapping).transpose()?;
        Ok(Command::WebhookChange(change(
            self.id,
            WebhookChanges {
                name: self.name,
                allow: if self.allow_any { Some(Vec::new()) } else { given(self.allow) },
                preset: self.preset,
                client_certificate: setting(self.client_certificate, self.no_client_certificate),
                symbols: if self.any_symbol { Some(Vec::new()) } else { given(self.symbols) },
                dry_run: self.dry_run,
                rate_per_s: self.rate_per_s,
                max_age_s: self.max_age_s,
                forms: given(self.forms),
                mapping: setting(mapping, self.no_mapping),
                state: self.state,
            },
        )))
    }
}

/// `strategy change`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, each by itself")]
pub(crate) struct StrategyChange {
    /// Its identifier
    #[arg(value_name = "ID")]
    id: String,
    /// What people call it
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// The webhook it follows
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    webhook: Option<String>,
    /// The API key it follows
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The account it trades on; not while it holds anything
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// A further account, in place of those there are (may be repeated)
    #[arg(long = "follower", value_name = "ID", conflicts_with = "no_followers")]
    followers: Vec<String>,
    /// Let no further account follow
    #[arg(long)]
    no_followers: bool,
    /// Whether followers open nothing when the account they follow was refused
    #[arg(long, value_name = "BOOL")]
    require_leader: Option<bool>,
    /// What it trades; not while it holds anything
    #[arg(long, value_name = "S")]
    symbol: Option<String>,
    /// The size of an entry
    #[arg(long, value_name = "Q")]
    quantity: Option<Quantity>,
    /// Where the size comes from
    #[arg(long, value_name = "MODE", value_parser = word(Sizing::ALL, Sizing::text))]
    sizing: Option<Sizing>,
    /// Whether, for the sizing `payload`, the quantity is taken where an entry's payload says none
    #[arg(long, value_name = "BOOL")]
    quantity_fallback: Option<bool>,
    /// Whether an entry over `max_order_quantity` is cut down to it, in place of being refused
    #[arg(long, value_name = "BOOL")]
    quantity_clamp: Option<bool>,
    /// The percentage of the equity, for the sizings `percent_equity` and `risk_per_trade`
    #[arg(long, value_name = "P")]
    percent: Option<Quantity>,
    /// What a unit costs each way, which `risk_per_trade` counts in
    #[arg(long, value_name = "M")]
    fee_per_unit: Option<Money>,
    /// Least distance of a stop in ticks, for `risk_per_trade`
    #[arg(long, value_name = "N")]
    stop_ticks_min: Option<u32>,
    /// What an opposite signal does
    #[arg(long, value_parser = word(OnOpposite::ALL, OnOpposite::text))]
    on_opposite: Option<OnOpposite>,
    /// What a signal along the position does
    #[arg(long, value_parser = word(Pyramiding::ALL, Pyramiding::text))]
    pyramiding: Option<Pyramiding>,
    /// Whether a sale while flat opens a short position
    #[arg(long, value_name = "BOOL")]
    allow_short: Option<bool>,
    /// Whether the signal may name another symbol
    #[arg(long, value_name = "BOOL")]
    payload_symbol: Option<bool>,
    /// Seconds within which an entry must have been sent
    #[arg(long, value_name = "N")]
    send_within_s: Option<u32>,
    /// Seconds for which an entry rests that does not fill
    #[arg(long, value_name = "N", conflicts_with = "no_entry_ttl")]
    entry_ttl_s: Option<u32>,
    /// Let an entry rest until the session of its instrument ends
    #[arg(long)]
    no_entry_ttl: bool,
    /// When it may open something, as `mon-fri 09:30-16:00 America/New_York`
    #[arg(long, value_name = "WHEN", conflicts_with = "no_schedule")]
    schedule: Option<Schedule>,
    /// Let it open something at any time
    #[arg(long)]
    no_schedule: bool,
    /// Where the profit is taken, from the entry: `2%` or `1.5`
    #[arg(long, value_name = "DISTANCE", conflicts_with = "no_take_profit")]
    take_profit: Option<Away>,
    /// Take no profit unless the signal says where
    #[arg(long)]
    no_take_profit: bool,
    /// Where the loss is stopped, from the entry
    #[arg(long, value_name = "DISTANCE", conflicts_with = "no_stop_loss")]
    stop_loss: Option<Away>,
    /// Stop no loss unless the signal says where
    #[arg(long)]
    no_stop_loss: bool,
    /// What happens to a position whose stop does not work
    #[arg(long, value_parser = word(OnNaked::ALL, OnNaked::text))]
    on_naked: Option<OnNaked>,
    /// Seconds of its schedule within which a signal is expected; a longer silence is told
    #[arg(long, value_name = "N", conflicts_with = "no_expected_every")]
    expected_every_s: Option<u32>,
    /// Expect no signals
    #[arg(long)]
    no_expected_every: bool,
    /// Take over, once, what the account holds that nobody here opened
    #[arg(long, value_name = "BOOL")]
    adopt: Option<bool>,
    /// Whether its positions in a month that rolls are opened again in the next
    #[arg(long, value_name = "BOOL")]
    auto_roll: Option<bool>,
    /// Whether it may enter at the market while no reference price is fresh
    #[arg(long, value_name = "BOOL")]
    blind_market: Option<bool>,
    /// At most so much each time
    #[arg(long, value_name = "Q")]
    blind_quantity_max: Option<Quantity>,
    /// Let another strategy trade the same instrument on the same account
    #[arg(long)]
    shared_position: bool,
    /// Whether it trades
    #[arg(long, value_parser = word(StrategyState::ALL, StrategyState::text))]
    state: Option<StrategyState>,
    /// With the state off: what becomes of what it holds
    #[arg(long, value_parser = word(OpenPosition::ALL, OpenPosition::text))]
    open_position: Option<OpenPosition>,
}

impl StrategyChange {
    pub(super) fn command(self) -> Command {
        let source = |payload| if payload { SymbolSource::Payload } else { SymbolSource::Strategy };
        Command::StrategyChange(change(
            self.id,
            StrategyChanges {
                name: self.name,
                webhook: self.webhook,
                key: self.key,
                account: self.account,
                followers: (self.no_followers || !self.followers.is_empty())
                    .then_some(self.followers),
                require_leader: self.require_leader,
                symbol: self.symbol,
                quantity: self.quantity,
                sizing: self.sizing,
                quantity_fallback: self.quantity_fallback,
                quantity_clamp: self.quantity_clamp,
                percent: self.percent,
                fee_per_unit: self.fee_per_unit,
                stop_ticks_min: self.stop_ticks_min,
                on_opposite: self.on_opposite,
                pyramiding: self.pyramiding,
                allow_short: self.allow_short,
                symbol_source: self.payload_symbol.map(source),
                send_within_s: self.send_within_s,
                entry_ttl_s: setting(self.entry_ttl_s, self.no_entry_ttl),
                schedule: setting(self.schedule, self.no_schedule),
                take_profit: setting(self.take_profit, self.no_take_profit),
                stop_loss: setting(self.stop_loss, self.no_stop_loss),
                on_naked: self.on_naked,
                expected_every_s: setting(self.expected_every_s, self.no_expected_every),
                adopt: self.adopt,
                auto_roll: self.auto_roll,
                blind_market: self.blind_market,
                blind_quantity_max: self.blind_quantity_max,
                shared_position: self.shared_position,
                state: self.state,
                open_position: self.open_position,
            },
        ))
    }
}

/// `strategy off`
#[derive(Debug, Args)]
pub(crate) struct StrategyOff {
    /// Its identifier
    #[arg(value_name = "ID")]
    id: String,
    /// What becomes of what it holds
    #[arg(long, value_parser = word(OpenPosition::ALL, OpenPosition::text))]
    open_position: Option<OpenPosition>,
}

impl StrategyOff {
    pub(super) fn command(self) -> Command {
        let Self { id, open_position } = self;
        let state = Some(StrategyState::Off);
        let changes = StrategyChanges { state, open_position, ..StrategyChanges::default() };
        Command::StrategyChange(change(id, changes))
    }
}

/// `strategy on`
pub(super) fn on(id: ById) -> Command {
    let state = Some(StrategyState::On);
    let changes = StrategyChanges { state, ..StrategyChanges::default() };
    Command::StrategyChange(change(id.id, changes))
}

/// `account change`
#[derive(Debug, Args)]
pub(crate) struct AccountChange {
    /// Its identifier
    #[arg(value_name = "ID")]
    id: String,
    /// What people call it
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// Whether it takes entries
    #[arg(long, value_parser = word(Activity::ALL, Activity::text))]
    state: Option<Activity>,
    /// When its days of trading begin after the running session, as `17:00 America/New_York`
    #[arg(long, value_name = "TIME ZONE")]
    session: Option<String>,
    /// Who lets it trade on after a loss of the day, from the next session on
    #[arg(long, value_parser = word(LossReset::ALL, LossReset::text))]
    loss_reset: Option<LossReset>,
}

impl AccountChange {
    pub(super) fn command(self) -> Command {
        let Self { id, name, state, session, loss_reset } = self;
        Command::AccountChange(change(id, AccountChanges { name, state, session, loss_reset }))
    }
}

pub(super) fn delete(id: ById) -> Delete {
    Delete { id: id.id, if_match: IfMatch::Unsaid }
}

fn change<T>(id: String, changes: T) -> Change<T> {
    Change { id, changes, if_match: IfMatch::Unsaid }
}

fn setting<T>(value: Option<T>, clears: bool) -> Setting<T> {
    match (value, clears) {
        (Some(value), _) => Setting::Set(value),
        (None, true) => Setting::Clear,
        (None, false) => Setting::Keep,
    }
}
