//! What a test says of the broker, and what it is told of it.

use std::time::Duration;
use tradewarden_broker::port::{
    self, CallBudget, Capability, Environment, PlaceOrder, ReplaceOrder,
};
use tradewarden_domain::time::Timestamp;

/// A call of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `place`.
    Place,
    /// `cancel`.
    Cancel,
    /// `cancel_all`.
    CancelAll,
    /// `replace`.
    Replace,
    /// `find`.
    Find,
    /// `open_orders`.
    OpenOrders,
    /// `fills_since`.
    FillsSince,
    /// `positions`.
    Positions,
    /// `account`.
    Account,
    /// `instruments`.
    Instruments,
    /// `quote`.
    Quote,
    /// `introspect`.
    Introspect,
    /// The paper desk.
    Desk,
}

impl Call {
    /// The call as a budget counts it; the desk is none.
    pub const fn counted(self) -> Option<port::Call> {
        Some(match self {
            Self::Place => port::Call::Place,
            Self::Cancel => port::Call::Cancel,
            Self::CancelAll => port::Call::CancelAll,
            Self::Replace => port::Call::Replace,
            Self::Find => port::Call::Find,
            Self::OpenOrders => port::Call::OpenOrders,
            Self::FillsSince => port::Call::FillsSince,
            Self::Positions => port::Call::Positions,
            Self::Account => port::Call::Account,
            Self::Instruments => port::Call::Instruments,
            Self::Quote => port::Call::Quote,
            Self::Introspect => port::Call::Introspect,
            Self::Desk => return None,
        })
    }
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing reaches the broker, and nobody can know: `Unknown` or `Unheard`.
    LostBefore,
    /// It is done; the answer is lost.
    LostAfter,
    /// A placement or a change: no answer is heard, and it reaches the broker so much later. The
    /// venue drops it if that is after its expiry.
    Late(Duration),
    /// A placement: its fills come twice with the answer, and again by `fills_since`.
    ToldTwice,
    /// Asked too often, or the line is down, for so long: placements are `NotSent`, the rest is not
    /// heard.
    Away(Duration),
    /// Asked too often, this once: a placement is `NotSent`, the rest is not heard.
    Throttled,
    /// A change: the broker says no.
    Rejected,
}

/// How an order fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillPlan {
    /// At once, as far as its price is there.
    AtOnce,
    /// So much later.
    After(Duration),
    /// Half at once, the rest so much later.
    InTwo(Duration),
    /// Not until [`ScriptedBroker::let_all_fill`].
    Rests,
    /// The broker says no.
    Rejected,
}

/// When a fill comes by `fills_since`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// With the answer, if it is early enough, and at once.
    Once,
    /// Not with the answer; at once, and again so much later.
    Twice(Duration),
    /// Not with the answer; so much later, and so perhaps after later fills.
    Late(Duration),
}

/// What becomes of an order at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPlan {
    /// How it fills.
    pub fill: FillPlan,
    /// How its fills are told.
    pub report: Report,
    /// After a cancel was confirmed, half of the rest fills nevertheless.
    pub crosses: bool,
}

impl Default for OrderPlan {
    fn default() -> Self {
        Self { fill: FillPlan::AtOnce, report: Report::Once, crosses: false }
    }
}

impl From<FillPlan> for OrderPlan {
    fn from(fill: FillPlan) -> Self {
        Self { fill, ..Self::default() }
    }
}

/// What the venue offers.
#[derive(Debug, Clone, Copy)]
pub struct Venue {
    /// Whether money is at stake.
    pub environment: Environment,
    /// See [`Capabilities::reduce_only`].
    pub reduce_only: Capability,
    /// See [`Capabilities::replace`].
    pub replace: Capability,
    /// See [`Capabilities::place_expiry`].
    pub place_expiry: Capability,
    /// See [`Capabilities::find_is_authoritative_after_expiry`].
    pub find_is_authoritative_after_expiry: bool,
    /// What the venue says of how far its look-ups lag.
    pub find_settles_after: Duration,
    /// How far they lag.
    pub find_lag: Duration,
    /// Each way.
    pub latency: Duration,
    /// How much it lets itself be called: what is more it refuses, for a second.
    pub budget: CallBudget,
}

impl Default for Venue {
    fn default() -> Self {
        Self {
            environment: Environment::Paper,
            reduce_only: Capability::Emulated,
            replace: Capability::Native,
            place_expiry: Capability::Native,
            find_is_authoritative_after_expiry: true,
            find_settles_after: Duration::ZERO,
            find_lag: Duration::ZERO,
            latency: Duration::from_millis(1),
            budget: CallBudget::NONE_KNOWN,
        }
    }
}

impl Venue {
    pub(super) fn expires_natively(&self) -> bool {
        self.place_expiry == Capability::Native
    }

    pub(super) fn reduces_natively(&self) -> bool {
        self.reduce_only == Capability::Native
    }
}

/// Faults and plans drawn from a seed, in so many of a thousand cases.
#[derive(Debug, Clone, Copy)]
pub struct Chaos {
    /// Placements, changes and cancels that go wrong.
    pub orders: u64,
    /// Reading calls that go wrong.
    pub reads: u64,
    /// Orders that do not simply fill.
    pub plans: u64,
    /// Of these, those whose fills are told many seconds later, though the order and the position are
    /// shown at once.
    pub withheld: u64,
}

/// A placement of which a byte left.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its name.
    pub client_order_id: String,
    /// When.
    pub at: Timestamp,
    /// In which life of the gateway.
    pub life: u64,
    /// As it was asked for.
    pub order: PlaceOrder,
    /// How many orders came of this name.
    pub orders: u32,
}

/// A change of which a byte left.
#[derive(Debug, Clone)]
pub struct SentChange {
    /// When.
    pub at: Timestamp,
    /// As it was asked for.
    pub change: ReplaceOrder,
}

/// A call as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// In which life of the gateway.
    pub life: u64,
    /// Its number in that life, from 1.
    pub number: u64,
    /// Which.
    pub call: Call,
    /// About which order, if any.
    pub client_order_id: Option<String>,
}
