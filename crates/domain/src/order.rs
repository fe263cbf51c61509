//! Orders: what we decided to send, and the one table of what may become of it.

mod change;

pub use change::{Change, ChangeState};

use crate::bracket::{LegOf, Levels};
use crate::code::Code;
use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::money::{Price, Quantity};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, as it is stored and shown.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.text())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::order::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::order::UnknownWord> {
                let found = Self::ALL.iter().copied().find(|word| word.text() == text);
                found.ok_or($crate::order::UnknownWord)
            }
        }
    )*};
}
pub(crate) use words;

/// A stored or sent word is not one of those that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWord;

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown word")
    }
}

impl std::error::Error for UnknownWord {}

// A macro so that the stored word, the shown word and the parsed word cannot differ.
words! {
    /// Which way an order moves the position.
    Side {
        /// Toward long.
        Buy = "buy",
        /// Toward short.
        Sell = "sell",
    }

    /// How an order is priced.
    OrderType {
        /// At the market.
        Market = "market",
        /// At the limit price or better.
        Limit = "limit",
        /// At the market once the stop price trades.
        Stop = "stop",
        /// At the limit price once the stop price trades.
        StopLimit = "stop_limit",
    }

    /// How long an order works.
    TimeInForce {
        /// Until the session ends.
        Day = "day",
        /// Until canceled.
        Gtc = "gtc",
        /// What fills at once; the rest is canceled.
        Ioc = "ioc",
        /// All at once or nothing.
        Fok = "fok",
    }

    /// What an order is for.
    Purpose {
        /// It may add risk.
        Entry = "entry",
        /// It only ever reduces.
        Exit = "exit",
    }

    /// Where an order is in its life.
    OrderState {
        /// Journaled; nothing has left yet.
        Accepted = "accepted",
        /// The attempt is journaled; the call is under way or was interrupted.
        Sending = "sending",
        /// The broker has it.
        Working = "working",
        /// The broker has it and filled some.
        PartiallyFilled = "partially_filled",
        /// All of it filled.
        Filled = "filled",
        /// It ended with less than all filled, by cancel.
        Canceled = "canceled",
        /// The broker said no.
        Rejected = "rejected",
        /// A rule of ours said no; it was never to be sent.
        Refused = "refused",
        /// It ended unsent or by time.
        Expired = "expired",
        /// We did not hear what became of the call.
        Unknown = "unknown",
    }
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// The signed change of position that so much on this side makes.
    #[must_use]
    pub const fn signed(self, quantity: Quantity) -> Quantity {
        match self {
            Self::Buy => quantity,
            Self::Sell => quantity.negated(),
        }
    }
}

impl OrderState {
    /// Whether the order may still change the position: it counts as exposure.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Accepted
            | Self::Sending
            | Self::Working
            | Self::PartiallyFilled
            | Self::Unknown => true,
            Self::Filled | Self::Canceled | Self::Rejected | Self::Refused | Self::Expired => false,
        }
    }
}

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    /// The attempt is journaled, the call comes next.
    Attempt,
    /// The broker has it.
    Acknowledge,
    /// The broker said no.
    Reject,
    /// No answer was heard.
    Unheard,
    /// Some filled, some is left.
    PartialFill,
    /// The last of it filled.
    FinalFill,
    /// It ended by cancel.
    Cancel,
    /// It ended by time, or was proven absent.
    Expire,
}

impl OrderEvent {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Attempt,
        Self::Acknowledge,
        Self::Reject,
        Self::Unheard,
        Self::PartialFill,
        Self::FinalFill,
        Self::Cancel,
        Self::Expire,
    ];
}

/// The transition table: the state after `event`, or `None` where the event cannot be.
///
/// Fills are legal after the end too: a cancel and a fill may cross on their way.
pub const fn after(state: OrderState, event: OrderEvent) -> Option<OrderState> {
    use OrderEvent as E;
    use OrderState as S;
    match (state, event) {
        // A second attempt is legal only while the first has not left: see the dispatch module.
        (S::Accepted | S::Sending, E::Attempt) => Some(S::Sending),
        (S::Sending | S::Unknown | S::Working, E::Acknowledge) => Some(S::Working),
        (S::PartiallyFilled, E::Acknowledge) => Some(S::PartiallyFilled),
        (S::Sending | S::Unknown | S::Working, E::Reject) => Some(S::Rejected),
        (S::Sending | S::Unknown, E::Unheard) => Some(S::Unknown),
        (S::Sending | S::Unknown | S::Working | S::PartiallyFilled, E::PartialFill) => {
            Some(S::PartiallyFilled)
        }
        (S::Canceled, E::PartialFill) => Some(S::Canceled),
        (S::Expired, E::PartialFill) => Some(S::Expired),
        (
            S::Sending
            | S::Unknown
            | S::Working
            | S::PartiallyFilled
            | S::Canceled
            | S::Expired
            | S::Rejected,
            E::FinalFill,
        ) => Some(S::Filled),
        (S::Accepted | S::Sending | S::Unknown | S::Working | S::PartiallyFilled, E::Cancel) => {
            Some(S::Canceled)
        }
        (S::Accepted | S::Sending | S::Unknown | S::Working | S::PartiallyFilled, E::Expire) => {
            Some(S::Expired)
        }
        (
            S::Accepted | S::Filled | S::Refused,
            E::Acknowledge | E::Reject | E::Unheard | E::PartialFill | E::FinalFill,
        )
        | (S::Filled | S::Refused, E::Attempt | E::Cancel | E::Expire)
        | (S::Working | S::PartiallyFilled | S::Unknown, E::Attempt)
        | (S::Working | S::PartiallyFilled, E::Unheard)
        | (S::PartiallyFilled, E::Reject)
        | (
            S::Canceled | S::Expired | S::Rejected,
            E::Attempt | E::Acknowledge | E::Reject | E::Unheard | E::Cancel | E::Expire,
        )
        | (S::Rejected, E::PartialFill) => None,
    }
}

/// Most characters of an order's tag.
pub const TAG_MAX: usize = 64;

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its identifier; the client order id is derived from it.
    pub id: Id<id::Order>,
    /// The owner.
    pub org_id: Id<id::Org>,
    /// The signal it came of, if any.
    pub signal_id: Option<Id<id::Signal>>,
    /// Where it trades.
    pub account_id: Id<id::Account>,
    /// The strategy to which its fills belong, if any.
    pub strategy_id: Option<Id<id::Strategy>>,
    /// The API key that asked for it, if one did.
    pub key_id: Option<Id<id::Key>>,
    /// What the caller calls it, at most [`TAG_MAX`] characters.
    pub tag: Option<String>,
    /// What it trades.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    pub order_type: OrderType,
    /// How long it works.
    pub time_in_force: TimeInForce,
    /// How much; shrinks at the `sending` commit, and becomes another by a [`Change`].
    pub quantity: Quantity,
    /// The limit price, where the type has one.
    pub limit_price: Option<Price>,
    /// The stop price, where the type has one.
    pub stop_price: Option<Price>,
    /// What it is for; an exit only ever reduces.
    pub purpose: Purpose,
    /// Where it is in its life.
    pub state: OrderState,
    /// Why it ended as it did, or was refused.
    pub code: Option<Code>,
    /// How much has filled.
    pub filled_quantity: Quantity,
    /// Average price of what has filled.
    pub average_price: Option<Price>,
    /// The broker's name for it.
    pub broker_order_id: Option<String>,
    /// A cancel has been asked for.
    pub cancel_requested: bool,
    /// After this instant it is not sent any more (S12); exits have none.
    pub send_by: Option<Timestamp>,
    /// It works no longer than until this instant: then it is canceled.
    pub expires_at: Option<Timestamp>,
    /// The attempt at the broker is void after this instant: the broker was told so.
    pub attempt_until: Option<Timestamp>,
    /// The last change of it that was asked for.
    pub change: Option<Change>,
    /// No halt stops it as long as it only reduces: a person with a fresh factor asked for it, or a
    /// halt that closes positions (S20).
    pub passes_halts: bool,
    /// What protects what it fills, of an entry that brings levels along (S9).
    pub bracket: Option<Levels>,
    /// Which leg of a bracket it is, if it is one. A leg is an exit that counts for nothing.
    pub leg: Option<LegOf>,
    /// The version of the limits that cleared it.
    pub limits_version: i64,
    /// When it was journaled.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Order {
    /// What is still to be filled.
    pub fn remaining(&self) -> Quantity {
        self.quantity.saturating_minus(self.filled_quantity)
    }

    /// The identifier the broker knows it by: 26 characters of `0-9a-z`, the same after every
    /// restart, accepted by every venue of `broker-apis.md` 4.2.
    pub fn client_order_id(&self) -> String {
        self.id.bare_text()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fmt::Write as _;

    pub(crate) fn order(quantity: &str) -> Order {
        Order {
            id: Id::from_bytes([1; 16]),
            org_id: Id::from_bytes([2; 16]),
            signal_id: None,
            account_id: Id::from_bytes([3; 16]),
            strategy_id: None,
            key_id: None,
            tag: None,
            symbol: "ES".parse().unwrap(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Day,
            quantity: quantity.parse().unwrap(),
            limit_price: Some("2.5".parse().unwrap()),
            stop_price: None,
            purpose: Purpose::Entry,
            state: OrderState::Working,
            code: None,
            filled_quantity: Quantity::ZERO,
            average_price: None,
            broker_order_id: None,
            cancel_requested: false,
            send_by: None,
            expires_at: None,
            attempt_until: None,
            change: None,
            passes_halts: false,
            bracket: None,
            leg: None,
            limits_version: 1,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    /// The whole table, so that a change to it is seen as a whole.
    #[test]
    fn transition_table() {
        let mut table = String::new();
        for state in OrderState::ALL {
            for event in OrderEvent::ALL {
                if let Some(next) = after(*state, *event) {
                    writeln!(table, "{state} {event:?} {next}").unwrap();
                }
            }
        }
        assert_eq!(table, TABLE);
    }

    const TABLE: &str = "\
accepted Attempt sending
accepted Cancel canceled
accepted Expire expired
sending Attempt sending
sending Acknowledge working
sending Reject rejected
sending Unheard unknown
sending PartialFill partially_filled
sending FinalFill filled
sending Cancel canceled
sending Expire expired
working Acknowledge working
working Reject rejected
working PartialFill partially_filled
working FinalFill filled
working Cancel canceled
working Expire expired
partially_filled Acknowledge partially_filled
partially_filled PartialFill partially_filled
partially_filled FinalFill filled
partially_filled Cancel canceled
partially_filled Expire expired
canceled PartialFill canceled
canceled FinalFill filled
rejected FinalFill filled
expired PartialFill expired
expired FinalFill filled
unknown Acknowledge working
unknown Reject rejected
unknown Unheard unknown
unknown PartialFill partially_filled
unknown FinalFill filled
unknown Cancel canceled
unknown Expire expired
";
}
