//! The way to the exchange, whichever process it is in; and the operator's calls over it.

use super::fault::Injection;
use super::message::{Command, PaperCounts, PriceSource, Reply};
use super::price::Listing;
use super::socket::PaperSocket;
use super::task::PaperDesk;
use crate::port::BrokerAccount;
use std::fmt;
use std::time::Duration;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Quantity};
use tradewarden_domain::price::Trading;

/// A way to the exchange.
#[derive(Debug, Clone)]
pub enum PaperLink {
    /// Its task runs in this process.
    InProcess(PaperDesk),
    /// Another process serves it.
    Socket(PaperSocket),
}

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Provably nothing left.
    NotSent {
        /// What was in the way.
        why: String,
    },
    /// Something left or may have left.
    Unknown {
        /// What was seen instead of an answer.
        why: String,
    },
}

impl Lost {
    pub(crate) fn unknown(why: &str) -> Self {
        Self::Unknown { why: why.to_owned() }
    }

    /// What was seen or in the way.
    pub fn why(self) -> String {
        match self {
            Self::NotSent { why } | Self::Unknown { why } => why,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { why } => write!(f, "not sent to the paper exchange: {why}"),
            Self::Unknown { why } => write!(f, "no answer from the paper exchange: {why}"),
        }
    }
}

impl std::error::Error for Lost {}

impl PaperLink {
    /// Asks and waits for the answer, at most so long.
    pub async fn ask(&self, command: Command, deadline: Duration) -> Result<Reply, Lost> {
        match self {
            Self::InProcess(desk) => desk.ask(command, deadline).await,
            Self::Socket(socket) => socket.ask(command, deadline).await,
        }
    }
}

/// The operator of the paper exchange: what the demo, `account create` and tests need and no real
/// broker offers.
#[derive(Debug, Clone)]
pub struct PaperAdmin {
    link: PaperLink,
    deadline: Duration,
}

/// An operator's command did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaperAdminError {
    /// There is no answer.
    Lost(Lost),
    /// The exchange said no.
    Refused {
        /// A stable word.
        code: String,
        /// A sentence.
        reason: String,
    },
    /// The exchange answered something else: two versions talk to each other.
    Nonsense,
}

impl fmt::Display for PaperAdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => lost.fmt(f),
            Self::Refused { code, reason } => write!(f, "{code}: {reason}"),
            Self::Nonsense => f.write_str("the paper exchange answered something else"),
        }
    }
}

impl std::error::Error for PaperAdminError {}

impl PaperAdmin {
    /// The operator over that link; each call waits at most five seconds.
    pub const fn new(link: PaperLink) -> Self {
        Self { link, deadline: Duration::from_secs(5) }
    }

    /// Makes an account; `account_exists` when there is one of that name.
    pub async fn open_account(
        &self,
        account: BrokerAccount,
        cash: Money,
        currency: &str,
    ) -> Result<(), PaperAdminError> {
        let currency = currency.to_owned();
        self.done(Command::OpenAccount { account, cash, currency }).await
    }

    /// Lists an instrument, or changes one that was never ordered.
    pub async fn list(&self, listing: Listing) -> Result<(), PaperAdminError> {
        self.done(Command::List(Box::new(listing))).await
    }

    /// Fixes or frees a price, and opens or closes the market.
    pub async fn set_price(
        &self,
        symbol: Symbol,
        price: PriceSource,
        market: Trading,
    ) -> Result<(), PaperAdminError> {
        self.done(Command::SetPrice { symbol, price, market }).await
    }

    /// Sets how much fills between two ticks; `None` is without end.
    pub async fn set_liquidity(
        &self,
        symbol: Symbol,
        per_tick: Option<Quantity>,
    ) -> Result<(), PaperAdminError> {
        self.done(Command::SetLiquidity { symbol, per_tick }).await
    }

    /// Makes the position what somebody made of it outside of us, without a fill.
    pub async fn position_by_hand(
        &self,
        account: BrokerAccount,
        symbol: Symbol,
        quantity: Quantity,
    ) -> Result<(), PaperAdminError> {
        self.done(Command::PositionByHand { account, symbol, quantity }).await
    }

    /// Has resting orders looked at now.
    pub async fn tick(&self) -> Result<(), PaperAdminError> {
        self.done(Command::Tick).await
    }

    /// Arms a fault.
    pub async fn inject(&self, injection: Injection) -> Result<(), PaperAdminError> {
        self.done(Command::Inject(injection)).await
    }

    /// Disarms every fault.
    pub async fn clear_faults(&self) -> Result<(), PaperAdminError> {
        self.done(Command::ClearFaults).await
    }

    /// The counters.
    pub async fn counts(&self) -> Result<PaperCounts, PaperAdminError> {
        match self.ask(Command::Counts).await? {
            Reply::Counts(counts) => Ok(counts),
            _ => Err(PaperAdminError::Nonsense),
        }
    }

    /// How often a placement of this client order id arrived, over all accounts.
    pub async fn times_received(&self, client_order_id: &str) -> Result<u64, PaperAdminError> {
        let client_order_id = client_order_id.to_owned();
        match self.ask(Command::TimesReceived { client_order_id }).await? {
            Reply::Times(times) => Ok(times),
            _ => Err(PaperAdminError::Nonsense),
        }
    }

    async fn done(&self, command: Command) -> Result<(), PaperAdminError> {
        match self.ask(command).await? {
            Reply::Done => Ok(()),
            _ => Err(PaperAdminError::Nonsense),
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, PaperAdminError> {
        match self.link.ask(command, self.deadline).await {
            Ok(Reply::Refused { code, reason }) => Err(PaperAdminError::Refused { code, reason }),
            Ok(reply) => Ok(reply),
            Err(lost) => Err(PaperAdminError::Lost(lost)),
        }
    }
}
