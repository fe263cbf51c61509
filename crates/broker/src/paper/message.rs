//! What can be asked of the paper exchange, and what it answers; the same inside the process and
//! over the socket.

use super::fault::Injection;
use super::price::Listing;
use crate::port::{
    AccountState, AllCanceled, BrokerAccount, BrokerOrder, BrokerPosition, Cancellation, Execution,
    Lookup, OrderName, Page, PlaceOrder, Placement, Quote, ReplaceOrder, Replacement,
};
use serde::{Deserialize, Serialize};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::price::Trading;

/// Something asked of the exchange: first what the port needs, then what only tests, the demo and
/// operators of the paper exchange need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// [`crate::port::Broker::place`].
    Place(PlaceOrder),
    /// [`crate::port::Broker::cancel`].
    Cancel(OrderName),
    /// [`crate::port::Broker::cancel_all`].
    CancelAll {
        /// Whose orders.
        account: BrokerAccount,
        /// Only those on this instrument.
        symbol: Option<Symbol>,
    },
    /// [`crate::port::Broker::replace`].
    Replace(ReplaceOrder),
    /// [`crate::port::Broker::find`].
    Find(OrderName),
    /// A page of working orders after an order number.
    OpenOrders {
        /// Whose orders.
        account: BrokerAccount,
        /// Where the page before ended.
        cursor: Option<String>,
    },
    /// A page of fills after a fill number.
    Fills {
        /// Whose fills.
        account: BrokerAccount,
        /// Where the page before ended.
        cursor: Option<String>,
        /// At most so many; never more than [`super::query::PAGE_MAX`].
        limit: usize,
    },
    /// A page of positions after a symbol.
    Positions {
        /// Whose positions.
        account: BrokerAccount,
        /// Where the page before ended.
        cursor: Option<String>,
    },
    /// [`crate::port::Broker::account`].
    Account {
        /// Whose state.
        account: BrokerAccount,
    },
    /// A page of instruments after a symbol.
    Instruments {
        /// For whom.
        account: BrokerAccount,
        /// Where the page before ended.
        cursor: Option<String>,
    },
    /// [`crate::port::Broker::quote`].
    Quote {
        /// Of what.
        symbol: Symbol,
    },
    /// Makes an account; refused with `account_exists` when there is one of that name.
    OpenAccount {
        /// Its name.
        account: BrokerAccount,
        /// What it starts with; not negative.
        cash: Money,
        /// `USD`: the exchange settles in nothing else.
        currency: String,
    },
    /// Lists an instrument, or changes the rules of one on which nothing was ever traded.
    List(Box<Listing>),
    /// Fixes or frees the price of an instrument, and opens or closes its market.
    SetPrice {
        /// Of what.
        symbol: Symbol,
        /// Where the price comes from.
        price: PriceSource,
        /// Whether it trades.
        market: Trading,
    },
    /// Sets how much fills between two ticks.
    SetLiquidity {
        /// Of what.
        symbol: Symbol,
        /// So much; `None` is without end.
        per_tick: Option<Quantity>,
    },
    /// Somebody trades outside of us: the position is now this, and there is no fill for it.
    PositionByHand {
        /// Whose.
        account: BrokerAccount,
        /// In what.
        symbol: Symbol,
        /// The whole signed position.
        quantity: Quantity,
    },
    /// Looks at resting orders, as happens a few times a second.
    Tick,
    /// Arms a fault. Faults are in memory: a restart forgets them.
    Inject(Injection),
    /// Disarms every fault.
    ClearFaults,
    /// The counters.
    Counts,
    /// How often an order of this id was sent here, over all accounts.
    TimesReceived {
        /// The id.
        client_order_id: String,
    },
}

/// Where a price comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// [`super::synthetic_price`].
    Synthetic,
    /// This one, until changed.
    Fixed(Price),
}

/// What the exchange answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Command::Place`].
    Placement(Placement),
    /// To [`Command::Cancel`].
    Cancellation(Cancellation),
    /// To [`Command::CancelAll`].
    AllCanceled(AllCanceled),
    /// To [`Command::Replace`].
    Replacement(Replacement),
    /// To [`Command::Find`].
    Lookup(Lookup),
    /// To [`Command::OpenOrders`].
    Orders(Page<BrokerOrder>),
    /// To [`Command::Fills`].
    Fills(Page<Execution>),
    /// To [`Command::Positions`].
    Positions(Page<BrokerPosition>),
    /// To [`Command::Account`].
    Account(AccountState),
    /// To [`Command::Instruments`].
    Instruments(Page<Instrument>),
    /// To [`Command::Quote`].
    Quote(Quote),
    /// To [`Command::Counts`].
    Counts(PaperCounts),
    /// To [`Command::TimesReceived`].
    Times(u64),
    /// It is so now.
    Done,
    /// It cannot be so; to a command that has no rejection of its own.
    Refused {
        /// A stable word.
        code: String,
        /// A sentence.
        reason: String,
    },
}

impl Reply {
    pub(crate) fn refused(code: &str, reason: &str) -> Self {
        Self::Refused { code: code.to_owned(), reason: reason.to_owned() }
    }
}

/// What the exchange has counted since its journal began. Durable: a restart keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperCounts {
    /// Place commands that arrived, whatever became of them.
    pub place_received: u64,
    /// Orders that were accepted.
    pub orders_created: u64,
    /// Place commands refused because the client order id was used before.
    pub duplicates_refused: u64,
    /// Fills.
    pub fills: u64,
}
