//! The records of the journal: everything that can have happened.
//!
//! A record states what happened, not what was asked: prices and quantities are in it, so a later
//! version that judges differently still reads the same past. Names are short because there are
//! several to each order.

use super::order::Rejection;
use super::price::Listing;
use crate::port::{BrokerAccount, BrokerOrderState, ReduceOnly};
use serde::{Deserialize, Serialize};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::Timestamp;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// An account was made.
    #[serde(rename = "acct")]
    Opened {
        /// Its name.
        #[serde(rename = "a")]
        account: BrokerAccount,
        /// What it starts with.
        #[serde(rename = "m")]
        cash: Money,
        /// In which currency.
        #[serde(rename = "c")]
        currency: String,
    },
    /// An instrument was listed, or its rules changed.
    #[serde(rename = "list")]
    Listed(Box<Listing>),
    /// A price was fixed or freed, a market opened or closed.
    #[serde(rename = "px")]
    Priced {
        /// Of what.
        #[serde(rename = "s")]
        symbol: Symbol,
        /// The price, unless synthetic.
        #[serde(rename = "p")]
        fixed: Option<Price>,
        /// Whether it trades.
        #[serde(rename = "o")]
        market: Trading,
    },
    /// The liquidity of an instrument was set.
    #[serde(rename = "liq")]
    Liquidity {
        /// Of what.
        #[serde(rename = "s")]
        symbol: Symbol,
        /// So much between two ticks.
        #[serde(rename = "q")]
        per_tick: Option<Quantity>,
    },
    /// A place command arrived from which no order came.
    #[serde(rename = "recv")]
    Received {
        /// For whom; perhaps an account that does not exist.
        #[serde(rename = "a")]
        account: BrokerAccount,
        /// Its id, where it could be one.
        #[serde(rename = "c")]
        client_order_id: Option<String>,
        /// Why there is no order.
        #[serde(rename = "w")]
        why: NoOrder,
    },
    /// A place command arrived and became an order, perhaps a rejected one.
    #[serde(rename = "new")]
    Created(Box<NewOrder>),
    /// A stop order's stop traded.
    #[serde(rename = "trig")]
    Triggered {
        /// Which order.
        #[serde(rename = "n")]
        order: u64,
    },
    /// An order that a fault held back is looked at from now on.
    #[serde(rename = "late")]
    Released {
        /// Which order.
        #[serde(rename = "n")]
        order: u64,
    },
    /// Some of an order filled.
    #[serde(rename = "fill")]
    Filled {
        /// The fill's number, ascending over the whole exchange.
        #[serde(rename = "i")]
        fill: u64,
        /// Which order.
        #[serde(rename = "n")]
        order: u64,
        /// How much.
        #[serde(rename = "q")]
        quantity: Quantity,
        /// At what price.
        #[serde(rename = "p")]
        price: Price,
        /// The fee.
        #[serde(rename = "f", default, skip_serializing_if = "no_money")]
        fee: Money,
        /// When.
        #[serde(rename = "t", with = "micros")]
        at: Timestamp,
    },
    /// An order ended with less than all filled.
    #[serde(rename = "end")]
    Ended {
        /// Which order.
        #[serde(rename = "n")]
        order: u64,
        /// `Canceled` or `Expired`.
        #[serde(rename = "e")]
        state: BrokerOrderState,
        /// When.
        #[serde(rename = "t", with = "micros")]
        at: Timestamp,
    },
    /// An order was changed.
    #[serde(rename = "rep")]
    Replaced {
        /// Which order.
        #[serde(rename = "n")]
        order: u64,
        /// Its whole quantity.
        #[serde(rename = "q")]
        quantity: Quantity,
        /// Its limit price.
        #[serde(rename = "l")]
        limit_price: Option<Price>,
        /// Its stop price.
        #[serde(rename = "p")]
        stop_price: Option<Price>,
        /// When.
        #[serde(rename = "t", with = "micros")]
        at: Timestamp,
    },
    /// Somebody traded outside of us.
    #[serde(rename = "hand")]
    ByHand {
        /// Whose position.
        #[serde(rename = "a")]
        account: BrokerAccount,
        /// In what.
        #[serde(rename = "s")]
        symbol: Symbol,
        /// The signed change.
        #[serde(rename = "q")]
        change: Quantity,
        /// At what price.
        #[serde(rename = "p")]
        price: Price,
    },
}

/// Why a place command became no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoOrder {
    /// Its id was used before.
    #[serde(rename = "dup")]
    Duplicate,
    /// It named no account or no possible id.
    #[serde(rename = "bad")]
    Unnamed,
    /// A fault lost or throttled it.
    #[serde(rename = "lost")]
    Lost,
}

/// An order as it was accepted or rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    /// The exchange's number for it, ascending.
    #[serde(rename = "n")]
    pub number: u64,
    /// Whose.
    #[serde(rename = "a")]
    pub account: BrokerAccount,
    /// The client's name for it.
    #[serde(rename = "c")]
    pub client_order_id: String,
    /// What it trades.
    #[serde(rename = "s")]
    pub symbol: Symbol,
    /// Which way.
    #[serde(rename = "d")]
    pub side: Side,
    /// How it is priced.
    #[serde(rename = "y")]
    pub order_type: OrderType,
    /// How long it works.
    #[serde(rename = "f")]
    pub time_in_force: TimeInForce,
    /// How much, after shrinking.
    #[serde(rename = "q")]
    pub quantity: Quantity,
    /// Its limit price.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Price>,
    /// Its stop price.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Price>,
    /// Whether it may increase the position.
    #[serde(rename = "r", default = "may_increase", skip_serializing_if = "is_increasing")]
    pub reduce_only: ReduceOnly,
    /// Whether a fault holds it back.
    #[serde(rename = "h", default, skip_serializing_if = "is_punctual")]
    pub held_back: bool,
    /// Why the exchange said no, if it did.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// When.
    #[serde(rename = "t", with = "micros")]
    pub at: Timestamp,
}

const fn may_increase() -> ReduceOnly {
    ReduceOnly::No
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_increasing(reduce_only: &ReduceOnly) -> bool {
    matches!(reduce_only, ReduceOnly::No)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_punctual(held_back: &bool) -> bool {
    !*held_back
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn no_money(money: &Money) -> bool {
    money.is_zero()
}

/// A time as its integer of microseconds: half the bytes of the text form, and cheaper to print.
pub(crate) mod micros {
    use serde::{Deserialize, Deserializer, Serializer};
    use tradewarden_domain::time::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.unix_micros())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_unix_micros)
    }
}
