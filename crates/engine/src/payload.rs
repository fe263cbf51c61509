//! What audit entries say, as canonical JSON (RFC 8785).

use serde::Serialize;
use serde_json::Value;
use tradewarden_domain::bracket::Leg;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{Change, Order, OrderState, OrderType, Purpose, Side};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{Digest, to_canonical};

use crate::signal::SignalStatus;

/// Largest payload in bytes (C15).
const PAYLOAD_BYTES_MAX: usize = 48 * 1024;

/// A canonical text.
pub(crate) struct Payload(String);

impl Payload {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// One that is too large is named by its hash instead of being lost.
    fn bounded(text: String) -> Self {
        if text.len() <= PAYLOAD_BYTES_MAX {
            return Self(text);
        }
        let hash = Digest::sha256(text.as_bytes());
        Self(format!("{{\"bytes\":{},\"sha256\":\"{hash}\"}}", text.len()))
    }

    /// Of something whose fields stand in the order of RFC 8785 and hold neither fractions nor
    /// integers beyond 2^53: writing it is canonical.
    fn in_order(fields: &impl Serialize) -> Self {
        // Writing strings and numbers to JSON cannot fail.
        Self::bounded(serde_json::to_string(fields).unwrap_or_default())
    }
}

impl From<&Value> for Payload {
    fn from(value: &Value) -> Self {
        match to_canonical(value) {
            Ok(text) => Self::bounded(text),
            Err(_) => Self("{\"unreadable\":true}".to_owned()),
        }
    }
}

impl From<&Order> for Payload {
    fn from(order: &Order) -> Self {
        Self::in_order(&OrderPayload::from(order))
    }
}

/// An order, and what else is said about it.
#[derive(Serialize)]
pub(crate) struct OrderPayload<'o> {
    account_id: Id<id::Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_code: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_reason: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'o Change>,
    client_order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes: Option<Id<id::Order>>,
    code: Option<Code>,
    filled_quantity: Quantity,
    id: Id<id::Order>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<Leg>,
    limit_price: Option<Price>,
    limits_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Id<id::Order>>,
    purpose: Purpose,
    quantity: Quantity,
    side: Side,
    state: OrderState,
    stop_price: Option<Price>,
    strategy_id: Option<Id<id::Strategy>>,
    symbol: &'o Symbol,
    #[serde(rename = "type")]
    order_type: OrderType,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'o str>,
}

impl<'o> From<&'o Order> for OrderPayload<'o> {
    fn from(order: &'o Order) -> Self {
        Self {
            account_id: order.account_id,
            actor: None,
            broker_code: None,
            broker_reason: None,
            change: order.change.as_ref(),
            client_order_id: order.client_order_id(),
            closes: None,
            code: order.code,
            filled_quantity: order.filled_quantity,
            id: order.id,
            leg: order.leg.map(|leg| leg.leg),
            limit_price: order.limit_price,
            limits_version: order.limits_version,
            parent_id: order.leg.map(|leg| leg.parent_id),
            purpose: order.purpose,
            quantity: order.quantity,
            side: order.side,
            state: order.state,
            stop_price: order.stop_price,
            strategy_id: order.strategy_id,
            symbol: &order.symbol,
            order_type: order.order_type,
            why: None,
        }
    }
}

/// An order that somebody placed or canceled.
pub(crate) fn by(order: &Order, actor: &str) -> Payload {
    Payload::in_order(&OrderPayload { actor: Some(actor), ..order.into() })
}

/// An exit that closes what a late fill of `entry` opened.
pub(crate) fn closing(exit: &Order, entry: Id<id::Order>) -> Payload {
    Payload::in_order(&OrderPayload { closes: Some(entry), ..exit.into() })
}

/// An order that its broker rejected.
pub(crate) fn rejected(order: &Order, code: &str, reason: &str) -> Payload {
    let (broker_code, broker_reason) = (Some(code), Some(reason));
    Payload::in_order(&OrderPayload { broker_code, broker_reason, ..order.into() })
}

/// A change that was refused before it was journaled: it stands beside the order, not in it.
pub(crate) fn unchanged(order: &Order, change: &Change, actor: &str) -> Payload {
    let (actor, change) = (Some(actor), Some(change));
    Payload::in_order(&OrderPayload { actor, change, ..order.into() })
}

/// An order of which nothing was heard.
pub(crate) fn unheard(order: &Order, why: &str) -> Payload {
    Payload::in_order(&OrderPayload { why: Some(why), ..order.into() })
}

/// A signal, with the orders that came of it.
#[derive(Serialize)]
pub(crate) struct SignalPayload<'o> {
    pub(crate) body_sha256: String,
    pub(crate) code: Option<Code>,
    pub(crate) orders: Vec<OrderPayload<'o>>,
    pub(crate) received_at: Timestamp,
    /// The key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signed_by: Option<String>,
    pub(crate) status: SignalStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_id: Option<Id<id::Webhook>>,
}

impl From<&SignalPayload<'_>> for Payload {
    fn from(signal: &SignalPayload<'_>) -> Self {
        Self::in_order(signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewarden_domain::order::{ChangeState, TimeInForce};

    fn order() -> Order {
        Order {
            id: Id::from_bytes([1; 16]),
            org_id: Id::from_bytes([2; 16]),
            signal_id: None,
            account_id: Id::from_bytes([3; 16]),
            strategy_id: Some(Id::from_bytes([4; 16])),
            key_id: None,
            tag: None,
            bracket: None,
            leg: None,
            symbol: "AAPL".parse().unwrap(),
            side: Side::Buy,
            order_type: OrderType::StopLimit,
            time_in_force: TimeInForce::Day,
            quantity: "1.5".parse().unwrap(),
            limit_price: Some("2.5".parse().unwrap()),
            stop_price: None,
            purpose: Purpose::Entry,
            state: OrderState::Rejected,
            code: Some(Code::BrokerRejected),
            filled_quantity: Quantity::ZERO,
            average_price: None,
            broker_order_id: None,
            cancel_requested: false,
            send_by: None,
            expires_at: None,
            attempt_until: None,
            change: None,
            passes_halts: false,
            limits_version: 7,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    /// The texts are written without being sorted: this is where a field out of its place is seen.
    #[test]
    fn every_payload_is_canonical() {
        let order = order();
        let words = "\u{0}\u{1f}\u{7f}\"\\/\u{8}\t\n\u{c}\r\u{2028}ä€🦀";
        let signal = SignalPayload {
            body_sha256: Digest::sha256(b"").to_string(),
            code: None,
            orders: vec![(&order).into()],
            received_at: Timestamp::default(),
            signed_by: Some(words.to_owned()),
            status: SignalStatus::Accepted,
            webhook_id: Some(Id::from_bytes([5; 16])),
        };
        let change = Change {
            asked_at: Timestamp::default(),
            attempt_until: Some(Timestamp::default()),
            code: Some(Code::OrderBelowFilled),
            limit_price: Some("2.5".parse().unwrap()),
            limits_version: 8,
            quantity: Some("2".parse().unwrap()),
            send_by: Some(Timestamp::default()),
            state: ChangeState::Refused,
            stop_price: Some("2.5".parse().unwrap()),
            then_quantity: Some("1".parse().unwrap()),
        };
        let payloads = [
            Payload::from(&order),
            rejected(&order, words, words),
            unheard(&order, words),
            by(&order, words),
            closing(&order, order.id),
            unchanged(&order, &change, words),
            Payload::from(&Order { change: Some(change), ..order.clone() }),
            Payload::from(&signal),
        ];
        for payload in payloads {
            let text = payload.into_text();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(text, to_canonical(&value).unwrap());
        }
    }

    #[test]
    fn what_is_too_large_is_named_by_its_hash() {
        let long = "x".repeat(PAYLOAD_BYTES_MAX);
        let text = unheard(&order(), &long).into_text();
        assert!(text.starts_with("{\"bytes\":") && text.len() < 120, "{text}");
        assert_eq!(
            Payload::from(&serde_json::json!(1.5)).into_text(),
            "{\"unreadable\":true}",
            "a fraction has no canonical form"
        );
    }
}
