//! What can be typed about overrides, and what the engine is asked by it.

use clap::{Args, Subcommand};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::Side;
use tradewarden_engine::command::{self, Command};

use super::request::{list, one};
use super::word::word;
use super::{Asking, ById, Columns, Page};

const OVERRIDES: Columns = &[
    ("ID", "id"),
    ("STATE", "state"),
    ("LIMIT", "limit"),
    ("SYMBOL", "symbol"),
    ("SIDE", "side"),
    ("QUANTITY", "quantity"),
    ("BY", "requested_by"),
    ("CONFIRMED BY", "confirmed_by"),
    ("EXPIRES AT", "expires_at"),
    ("ORDER", "order_id"),
];

/// `override ...`
#[derive(Debug, Subcommand)]
pub(crate) enum OverrideVerb {
    /// Ask that one order may pass one limit; it waits 15 minutes for another person
    Request(OverrideRequest),
    /// Confirm what another person asked for; then one order may pass the limit, once
    Confirm(ById),
    /// Take an override back that no order has used
    Withdraw(ById),
    /// List overrides, newest first
    List(Page),
}

/// `override request`
#[derive(Debug, Args)]
pub(crate) struct OverrideRequest {
    /// The account of the order
    #[arg(long, value_name = "ID")]
    account: String,
    /// What it trades
    #[arg(long, value_name = "S")]
    symbol: String,
    /// Which way
    #[arg(long, value_parser = word(Side::ALL, Side::text))]
    side: Side,
    /// At most so much
    #[arg(long, value_name = "Q")]
    quantity: Quantity,
    /// The limit that shall not stop it
    #[arg(long, value_parser = word(LimitName::ALL, LimitName::text))]
    limit: LimitName,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long once it is confirmed [default: 15]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=15))]
    minutes: Option<u32>,
}

impl OverrideVerb {
    /// What the engine is asked.
    pub(super) fn asking(self) -> Asking {
        match self {
            Self::Request(asked) => one(Command::OverrideRequest(command::OverrideRequest {
                account_id: asked.account,
                symbol: asked.symbol,
                side: asked.side,
                quantity: asked.quantity,
                limit: asked.limit,
                reason: asked.reason,
                minutes: asked.minutes,
            })),
            Self::Confirm(id) => one(Command::OverrideConfirm(id.into())),
            Self::Withdraw(id) => one(Command::OverrideWithdraw(id.into())),
            Self::List(page) => list(Command::OverrideList(page.into()), OVERRIDES),
        }
    }
}
