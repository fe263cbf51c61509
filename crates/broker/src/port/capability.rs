//! What a venue offers, in words the engine and the console both read.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tradewarden_domain::order::{OrderType, TimeInForce};

/// How a venue offers something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// The venue does it.
    Native,
    /// The adapter or the engine makes it of other calls; not one step at the venue.
    Emulated,
    /// Not at all: the call answers that nothing was heard, or a rejection.
    Absent,
}

/// Whether what is traded is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Nothing is at stake.
    Paper,
    /// Money is at stake.
    Live,
}

/// How long a venue refuses a client order id that it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientOrderIds {
    /// For ever.
    UniqueForEver,
    /// While the order works; afterwards the id is free again.
    UniqueWhileWorking,
    /// It does not look: a second placement is a second order.
    NotChecked,
}

/// A call of the port, as far as a venue's budget counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// [`super::Broker::place`].
    Place,
    /// [`super::Broker::cancel`].
    Cancel,
    /// [`super::Broker::cancel_all`].
    CancelAll,
    /// [`super::Broker::replace`].
    Replace,
    /// [`super::Broker::find`].
    Find,
    /// [`super::Broker::open_orders`].
    OpenOrders,
    /// [`super::Broker::fills_since`].
    FillsSince,
    /// [`super::Broker::positions`].
    Positions,
    /// [`super::Broker::account`].
    Account,
    /// [`super::Broker::instruments`].
    Instruments,
    /// [`super::Broker::quote`].
    Quote,
    /// [`super::Broker::introspect`].
    Introspect,
}

/// A window of a budget: in no span of this length does the venue take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CallWindow {
    /// How long it is.
    pub span: Duration,
    /// The most that the calls in it may weigh together.
    pub weight_max: u32,
}

/// What calls weigh: 1, but for those that are named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CallWeights(pub &'static [(Call, u32)]);

impl CallWeights {
    /// Every call weighs 1.
    pub const EVEN: Self = Self(&[]);

    /// What a call weighs.
    pub fn of(&self, call: Call) -> u32 {
        self.0.iter().find(|(named, _)| *named == call).map_or(1, |(_, weight)| *weight)
    }
}

/// How much a venue lets itself be called over one link, whatever the calls are for (S18). All windows
/// hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CallBudget {
    /// The windows; without one nothing is known to be limited.
    pub windows: &'static [CallWindow],
    /// What calls weigh in them.
    pub weights: CallWeights,
}

impl CallBudget {
    /// Nothing is known to be limited.
    pub const NONE_KNOWN: Self = Self { windows: &[], weights: CallWeights::EVEN };
}

/// What a venue offers and how: one word for each call of the port, and what the engine must know
/// to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The adapter's name, for example `paper`.
    pub broker: &'static str,
    /// Whether what is traded is real.
    pub environment: Environment,
    /// [`super::Broker::place`].
    pub place: Capability,
    /// [`super::Broker::cancel`].
    pub cancel: Capability,
    /// [`super::Broker::cancel_all`].
    pub cancel_all: Capability,
    /// [`super::Broker::replace`].
    pub replace: Capability,
    /// [`super::Broker::find`].
    pub find: Capability,
    /// [`super::Broker::open_orders`].
    pub open_orders: Capability,
    /// [`super::Broker::fills_since`].
    pub fills_since: Capability,
    /// [`super::Broker::positions`].
    pub positions: Capability,
    /// [`super::Broker::account`].
    pub account: Capability,
    /// [`super::Broker::instruments`].
    pub instruments: Capability,
    /// [`super::Broker::quote`].
    pub quote: Capability,
    /// [`super::Broker::introspect`].
    pub introspect: Capability,
    /// Whether the venue itself keeps a reduce-only order from increasing the position (S4).
    pub reduce_only: Capability,
    /// Whether the venue cancels one leg of a bracket when the other fills (S9). `Emulated`: the
    /// gateway does, and while it is down nothing does.
    pub one_cancels_other: Capability,
    /// `Native`: the venue never accepts an order, or makes a change, after its `expires_at`.
    pub place_expiry: Capability,
    /// One `Absent` asked for after `expires_at` and [`Capabilities::find_settles_after`] proves
    /// that the order does not exist and never will.
    pub find_is_authoritative_after_expiry: bool,
    /// How long after an order was accepted a look-up may still miss it.
    pub find_settles_after: Duration,
    /// Longest client order id, in bytes.
    pub client_order_id_max: usize,
    /// How long an id is refused once seen.
    pub client_order_ids: ClientOrderIds,
    /// Orders of one account must be sent one after the other.
    pub place_is_serial: bool,
    /// How much the venue lets itself be called.
    pub budget: CallBudget,
    /// How orders may be priced.
    pub order_types: &'static [OrderType],
    /// How long orders may work.
    pub times_in_force: &'static [TimeInForce],
}
