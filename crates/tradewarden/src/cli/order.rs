//! `order ...`.

use clap::{ArgGroup, Args, Subcommand};
use tradewarden_domain::money::{Price, Quantity};

use super::ById;
use super::search::OrderSearch;

/// `order ...`
#[derive(Debug, Subcommand)]
pub(crate) enum OrderVerb {
    /// List orders
    List(Box<OrderSearch>),
    /// Show an order
    Show(ById),
    /// Change quantity and prices of an order
    Change(OrderChange),
    /// Cancel an order
    Cancel(ById),
}

/// `order change`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true)))]
pub(crate) struct OrderChange {
    /// Its identifier
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The whole quantity, filled included; what has filled already cancels the rest
    #[arg(long, value_name = "Q", group = "what")]
    pub(crate) quantity: Option<Quantity>,
    /// The limit price
    #[arg(long, value_name = "P", group = "what")]
    pub(crate) limit_price: Option<Price>,
    /// The stop price
    #[arg(long, value_name = "P", group = "what")]
    pub(crate) stop_price: Option<Price>,
}
