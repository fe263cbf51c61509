//! What a broker answers.

use super::Environment;
use serde::{Deserialize, Serialize};
use std::fmt;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::Side;
use tradewarden_domain::price::{Market, Reference};
use tradewarden_domain::time::Timestamp;

/// What became of one attempt to place an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The broker has it.
    Accepted {
        /// The broker's name for it.
        broker_order_id: String,
        /// What filled before the answer left; the same fills come again by `fills_since`.
        fills: Vec<Execution>,
        /// Its state when the answer left; it may have ended already (filled, or an
        /// immediate-or-cancel order that found nothing).
        state: BrokerOrderState,
    },
    /// The broker said no: there is no such order and there will be none.
    Rejected {
        /// The broker's word for the reason, stable.
        code: String,
        /// The broker's sentence.
        reason: String,
    },
    /// Bytes left or may have left, and no answer was heard.
    Unknown {
        /// What was seen instead of an answer.
        why: String,
    },
    /// Provably nothing was placed: no byte left, because the queue was closed or full or the connection
    /// was refused; or the venue had been called too often.
    NotSent {
        /// What was in the way.
        why: String,
    },
}

/// What became of asking for a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancellation {
    /// The order is canceled; a fill may still be under way.
    Done,
    /// The broker will do it; its state tells when.
    Requested,
    /// The broker has no such order.
    NotFound,
    /// The broker said no, for example because the order has ended.
    Rejected {
        /// The broker's word for the reason.
        code: String,
        /// The broker's sentence.
        reason: String,
    },
    /// No answer was heard. Asking again is safe.
    Unknown {
        /// What was seen instead of an answer.
        why: String,
    },
}

/// What became of asking for every order to be canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllCanceled {
    /// They are canceled.
    Done {
        /// How many there were.
        count: u64,
    },
    /// The broker will do it; `open_orders` tells when.
    Requested,
    /// The broker said no.
    Rejected {
        /// The broker's word for the reason.
        code: String,
        /// The broker's sentence.
        reason: String,
    },
    /// No answer was heard. Asking again is safe.
    Unknown {
        /// What was seen instead of an answer.
        why: String,
    },
}

/// What became of asking for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// The order is as asked.
    Done {
        /// As it is now.
        order: BrokerOrder,
    },
    /// The broker has no such order.
    NotFound,
    /// The broker said no; the order is as it was.
    Rejected {
        /// The broker's word for the reason.
        code: String,
        /// The broker's sentence.
        reason: String,
    },
    /// No answer was heard; look the order up.
    Unknown {
        /// What was seen instead of an answer.
        why: String,
    },
}

/// What a look-up by client order id found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lookup {
    /// The broker has it.
    Found(BrokerOrder),
    /// The broker says it has none. Whether that proves anything is for
    /// [`super::Capabilities::find_is_authoritative_after_expiry`] to say.
    Absent,
    /// Nothing could be learned.
    Unheard {
        /// What was seen instead of an answer.
        why: String,
    },
}

/// A reading call from which nothing could be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// What was seen instead of an answer.
    pub why: String,
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker's answer was not heard: {}", self.why)
    }
}

impl std::error::Error for Unheard {}

/// Where an order is in its life at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerOrderState {
    /// Nothing filled yet.
    Working,
    /// Some filled, the rest works.
    PartiallyFilled,
    /// All of it filled.
    Filled,
    /// It ended by cancel; some may have filled.
    Canceled,
    /// The broker said no.
    Rejected,
    /// It ended by time; some may have filled.
    Expired,
}

impl BrokerOrderState {
    /// Whether it may still fill in the ordinary course.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Working | Self::PartiallyFilled => true,
            Self::Filled | Self::Canceled | Self::Rejected | Self::Expired => false,
        }
    }

    /// The word, as it is shown.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for BrokerOrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// An order as the broker has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerOrder {
    /// Our name for it; empty where the order is not ours and has none.
    pub client_order_id: String,
    /// The broker's name for it.
    pub broker_order_id: String,
    /// What it trades.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How much the broker works; less than was sent where it shrank a reduce-only order.
    pub quantity: Quantity,
    /// The limit price it works at, where it has one and the venue shows it.
    pub limit_price: Option<Price>,
    /// The stop price it works at, where it has one and the venue shows it.
    pub stop_price: Option<Price>,
    /// How much of it filled.
    pub filled_quantity: Quantity,
    /// Average price of what filled.
    pub average_price: Option<Price>,
    /// Where it is in its life.
    pub state: BrokerOrderState,
    /// When it last changed, by the broker's clock.
    pub updated_at: Timestamp,
}

/// One fill, as the broker tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The broker's name for the fill; the same fill always has the same.
    pub broker_fill_id: String,
    /// Our name for the order.
    pub client_order_id: String,
    /// The broker's name for the order.
    pub broker_order_id: String,
    /// What traded.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How much, always positive.
    pub quantity: Quantity,
    /// At what price.
    pub price: Price,
    /// What the broker took for it.
    pub fee: Money,
    /// When, by the broker's clock.
    pub at: Timestamp,
}

/// Some of a list, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items, oldest first.
    pub items: Vec<T>,
    /// What to ask with next; an empty page repeats the cursor that was asked with.
    pub next_cursor: Option<String>,
}

/// A position, as the broker has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerPosition {
    /// What is held.
    pub symbol: Symbol,
    /// How much; negative is short.
    pub quantity: Quantity,
    /// Average entry price.
    pub average_price: Option<Price>,
}

/// Cash and equity of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// Money with all realised profit and loss and fees in it.
    pub cash: Money,
    /// Cash and the positions at their mark.
    pub equity: Money,
    /// Currency of both.
    pub currency: String,
    /// When this was so, by the broker's clock.
    pub at: Timestamp,
}

/// Whether an instrument trades now; the domain's word.
pub type MarketState = Market;

/// Best bid and ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Of what.
    pub symbol: Symbol,
    /// What a seller gets.
    pub bid: Price,
    /// What a buyer pays.
    pub ask: Price,
    /// The last trade.
    pub last: Option<Price>,
    /// What it last closed at, where the venue says it and its market is not open.
    #[serde(default)]
    pub prior_close: Option<Price>,
    /// When this was so, by the broker's clock.
    pub at: Timestamp,
    /// Whether it trades now.
    #[serde(with = "market_word")]
    pub market: MarketState,
}

impl Quote {
    /// As the reference that S22 measures against.
    pub fn reference(&self) -> Reference {
        Reference {
            quote: Some((self.bid, self.ask, self.at)),
            last: self.last.map(|price| (price, self.at)),
            prior_close: self.prior_close.map(|price| (price, self.at)),
            market: self.market,
        }
    }
}

/// The market's state as a word; the domain's type is not a stored one.
pub(crate) mod market_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use tradewarden_domain::price::Market;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(market: &Market, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match market {
            Market::Open => "open",
            Market::Closed => "closed",
            Market::Unknown => "unknown",
        })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Market, D::Error> {
        match String::deserialize(from)?.as_str() {
            "open" => Ok(Market::Open),
            "closed" => Ok(Market::Closed),
            "unknown" => Ok(Market::Unknown),
            _ => Err(D::Error::custom("expected open, closed or unknown")),
        }
    }
}

/// Yes, no, or the venue does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum YesNo {
    /// It is so.
    Yes,
    /// It is not.
    No,
    /// The venue does not say.
    Unknown,
}

/// What a credential may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspection {
    /// Whether it can move money out; such a credential is refused.
    pub can_withdraw: YesNo,
    /// Whether it can trade.
    pub can_trade: YesNo,
    /// Whether the venue accepts it from listed addresses only.
    pub is_address_bound: YesNo,
    /// When it stops working, where the venue says.
    pub expires_at: Option<Timestamp>,
    /// Whether what it trades is real.
    pub environment: Environment,
}
