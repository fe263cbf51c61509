//! The port: everything the engine may ask of a broker.
//!
//! An adapter answers in these words whatever its venue calls them. The calls that may change
//! something at the broker answer with an outcome of their own, in which not having heard is one
//! case; the calls that only read answer `Err(Unheard)` when nothing could be learned.

pub mod answer;
pub mod capability;
pub mod clean;

pub use answer::{
    AccountState, AllCanceled, BrokerOrder, BrokerOrderState, BrokerPosition, Cancellation,
    Execution, Introspection, Lookup, MarketState, Page, Placement, Quote, Replacement, Unheard,
    YesNo,
};
pub use capability::{
    Call, CallBudget, CallWeights, CallWindow, Capabilities, Capability, ClientOrderIds,
    Environment,
};
pub use clean::Cleaned;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{OrderType, Purpose, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// What a call of the port returns: a future that may be sent to another thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A broker, or one connection to it.
///
/// Every call ends: an adapter puts a deadline on each, and answers that it has not heard. A call
/// may be dropped at any point; what it had sent by then stays sent.
pub trait Broker: Send + Sync {
    /// What the venue offers and how; the same for the life of the adapter.
    fn capabilities(&self) -> &Capabilities;

    /// Until when the venue asked not to be called, where it did (429 with `Retry-After`). What it refused
    /// for that was not done: a placement is `NotSent`, of the rest nothing was heard.
    fn limited_until(&self) -> Option<Timestamp>;

    /// Sends one order, once. Never retried by the adapter.
    fn place(&self, order: PlaceOrder) -> Answer<'_, Placement>;

    /// Asks that what is left of an order be canceled.
    fn cancel(&self, order: OrderName) -> Answer<'_, Cancellation>;

    /// Asks that every working order of the account be canceled, or every one on `symbol`.
    fn cancel_all(&self, account: BrokerAccount, symbol: Option<Symbol>)
    -> Answer<'_, AllCanceled>;

    /// Changes quantity and prices of a working order, once. Never retried by the adapter. What the
    /// order is called here stays; the venue may give it another name of its own.
    fn replace(&self, change: ReplaceOrder) -> Answer<'_, Replacement>;

    /// Looks an order up by its client order id, whatever its state.
    fn find(&self, order: OrderName) -> Answer<'_, Lookup>;

    /// Every order that still works, oldest first.
    fn open_orders(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<BrokerOrder>, Unheard>>;

    /// The fills after `cursor`, at most `limit` of them, oldest first; without a cursor from the
    /// oldest the broker still has.
    ///
    /// A page's `next_cursor` is what to ask with next. It never passes a fill that was not handed
    /// out; a fill may be handed out twice, with the same `broker_fill_id`. A cursor behind which
    /// fills were dropped is answered `Unheard`, not with a gap.
    fn fills_since(
        &self,
        account: BrokerAccount,
        cursor: Option<String>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Execution>, Unheard>>;

    /// Every position that is not zero.
    fn positions(&self, account: BrokerAccount)
    -> Answer<'_, Result<Vec<BrokerPosition>, Unheard>>;

    /// Cash and equity.
    fn account(&self, account: BrokerAccount) -> Answer<'_, Result<AccountState, Unheard>>;

    /// What can be traded on the account, in symbol order.
    fn instruments(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<Instrument>, Unheard>>;

    /// Best bid and ask of one instrument.
    fn quote(&self, account: BrokerAccount, symbol: Symbol) -> Answer<'_, Result<Quote, Unheard>>;

    /// What the credential may do; asked when an account is connected.
    fn introspect(&self) -> Answer<'_, Result<Introspection, Unheard>>;
}

/// The broker's name for an account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct BrokerAccount(Arc<str>);

impl BrokerAccount {
    /// The name as the broker spells it.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for BrokerAccount {
    fn from(name: String) -> Self {
        Self(Arc::from(name))
    }
}

impl From<BrokerAccount> for String {
    fn from(account: BrokerAccount) -> Self {
        account.0.as_ref().to_owned()
    }
}

impl fmt::Display for BrokerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BrokerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whether the broker is told that an order must never increase the position (S4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReduceOnly {
    /// It must never increase it.
    Yes,
    /// It may.
    No,
}

impl From<Purpose> for ReduceOnly {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Entry => Self::No,
            Purpose::Exit => Self::Yes,
        }
    }
}

/// An order, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// Where it trades.
    pub account: BrokerAccount,
    /// Our name for it; unique for ever on the account.
    pub client_order_id: String,
    /// What it trades.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    pub order_type: OrderType,
    /// How much.
    pub quantity: Quantity,
    /// The limit price of a limit or stop-limit order.
    pub limit_price: Option<Price>,
    /// The stop price of a stop or stop-limit order.
    pub stop_price: Option<Price>,
    /// How long it works once accepted.
    pub time_in_force: TimeInForce,
    /// Whether it may increase the position.
    pub reduce_only: ReduceOnly,
    /// The broker must not accept it after this instant. It says nothing about how long an
    /// accepted order works.
    pub expires_at: Timestamp,
}

/// Everything by which some venue wants an order named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderName {
    /// Where it trades.
    pub account: BrokerAccount,
    /// Our name for it.
    pub client_order_id: String,
    /// What it trades.
    pub symbol: Symbol,
    /// The broker's name for it, where we have heard it.
    pub broker_order_id: Option<String>,
}

/// A change to a working order: what it shall be, not the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceOrder {
    /// Which order.
    pub order: OrderName,
    /// The whole quantity, filled included; `None` leaves it.
    pub quantity: Option<Quantity>,
    /// The limit price; `None` leaves it.
    pub limit_price: Option<Price>,
    /// The stop price; `None` leaves it.
    pub stop_price: Option<Price>,
    /// The broker must not make the change after this instant.
    pub expires_at: Timestamp,
}
