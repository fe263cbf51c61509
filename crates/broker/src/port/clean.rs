//! Text from a broker, made fit to be kept: bounded, and without characters that a database refuses
//! or a terminal obeys.

use super::{
    AccountState, AllCanceled, Answer, Broker, BrokerAccount, BrokerOrder, BrokerPosition,
    Cancellation, Capabilities, Execution, Introspection, Lookup, OrderName, Page, PlaceOrder,
    Placement, Quote, ReplaceOrder, Replacement, Unheard,
};
use std::sync::Arc;
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::time::Timestamp;

/// Bytes of a reason that are kept.
const TEXT_MAX: usize = 512;
/// Bytes of a broker's name for something that are kept.
const NAME_MAX: usize = 128;
/// Bytes of a cursor; a longer one is not used at all.
const CURSOR_MAX: usize = 1_024;

/// A broker whose answers are clean. What PostgreSQL would refuse to store (a NUL, say) would
/// otherwise fail the transaction it comes in, again and again, with all that shares it.
pub struct Cleaned {
    inner: Arc<dyn Broker>,
}

impl Cleaned {
    /// Cleans the answers of this one.
    pub fn new(inner: Arc<dyn Broker>) -> Self {
        Self { inner }
    }
}

impl Broker for Cleaned {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn limited_until(&self) -> Option<Timestamp> {
        self.inner.limited_until()
    }

    fn place(&self, order: PlaceOrder) -> Answer<'_, Placement> {
        Box::pin(async move { placement(self.inner.place(order).await) })
    }

    fn cancel(&self, order: OrderName) -> Answer<'_, Cancellation> {
        Box::pin(async move {
            match self.inner.cancel(order).await {
                Cancellation::Rejected { code, reason } => {
                    Cancellation::Rejected { code: name(&code), reason: text(&reason) }
                }
                Cancellation::Unknown { why } => Cancellation::Unknown { why: text(&why) },
                answer
                @ (Cancellation::Done | Cancellation::Requested | Cancellation::NotFound) => answer,
            }
        })
    }

    fn cancel_all(
        &self,
        account: BrokerAccount,
        symbol: Option<Symbol>,
    ) -> Answer<'_, AllCanceled> {
        Box::pin(async move {
            match self.inner.cancel_all(account, symbol).await {
                AllCanceled::Rejected { code, reason } => {
                    AllCanceled::Rejected { code: name(&code), reason: text(&reason) }
                }
                AllCanceled::Unknown { why } => AllCanceled::Unknown { why: text(&why) },
                answer @ (AllCanceled::Done { .. } | AllCanceled::Requested) => answer,
            }
        })
    }

    fn replace(&self, change: ReplaceOrder) -> Answer<'_, Replacement> {
        Box::pin(async move {
            match self.inner.replace(change).await {
                Replacement::Done { order } => Replacement::Done { order: broker_order(order) },
                Replacement::Rejected { code, reason } => {
                    Replacement::Rejected { code: name(&code), reason: text(&reason) }
                }
                Replacement::Unknown { why } => Replacement::Unknown { why: text(&why) },
                Replacement::NotFound => Replacement::NotFound,
            }
        })
    }

    fn find(&self, order: OrderName) -> Answer<'_, Lookup> {
        Box::pin(async move {
            match self.inner.find(order).await {
                Lookup::Found(order) => Lookup::Found(broker_order(order)),
                Lookup::Absent => Lookup::Absent,
                Lookup::Unheard { why } => Lookup::Unheard { why: text(&why) },
            }
        })
    }

    fn open_orders(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<BrokerOrder>, Unheard>> {
        Box::pin(async move {
            let orders = self.inner.open_orders(account).await.map_err(unheard)?;
            Ok(orders.into_iter().map(broker_order).collect())
        })
    }

    fn fills_since(
        &self,
        account: BrokerAccount,
        cursor: Option<String>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Execution>, Unheard>> {
        Box::pin(async move {
            let page = self.inner.fills_since(account, cursor, limit).await.map_err(unheard)?;
            // A cursor that was changed would point elsewhere.
            let usable = |cursor: &String| cursor.len() <= CURSOR_MAX && !cursor.contains('\0');
            if !page.next_cursor.as_ref().is_none_or(usable) {
                return Err(Unheard { why: "the cursor of the fills cannot be kept".to_owned() });
            }
            let items = page.items.into_iter().map(execution).collect();
            Ok(Page { items, next_cursor: page.next_cursor })
        })
    }

    fn positions(
        &self,
        account: BrokerAccount,
    ) -> Answer<'_, Result<Vec<BrokerPosition>, Unheard>> {
        Box::pin(async move { self.inner.positions(account).await.map_err(unheard) })
    }

    fn account(&self, account: BrokerAccount) -> Answer<'_, Result<AccountState, Unheard>> {
        Box::pin(async move {
            let state = self.inner.account(account).await.map_err(unheard)?;
            Ok(AccountState { currency: name(&state.currency), ..state })
        })
    }

    fn instruments(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<Instrument>, Unheard>> {
        Box::pin(async move {
            let instruments = self.inner.instruments(account).await.map_err(unheard)?;
            let clean = |found: Instrument| Instrument { currency: name(&found.currency), ..found };
            Ok(instruments.into_iter().map(clean).collect())
        })
    }

    fn quote(&self, account: BrokerAccount, symbol: Symbol) -> Answer<'_, Result<Quote, Unheard>> {
        Box::pin(async move { self.inner.quote(account, symbol).await.map_err(unheard) })
    }

    fn introspect(&self) -> Answer<'_, Result<Introspection, Unheard>> {
        Box::pin(async move { self.inner.introspect().await.map_err(unheard) })
    }
}

fn placement(answer: Placement) -> Placement {
    match answer {
        Placement::Accepted { broker_order_id, fills, state } => Placement::Accepted {
            broker_order_id: name(&broker_order_id),
            fills: fills.into_iter().map(execution).collect(),
            state,
        },
        Placement::Rejected { code, reason } => {
            Placement::Rejected { code: name(&code), reason: text(&reason) }
        }
        Placement::Unknown { why } => Placement::Unknown { why: text(&why) },
        Placement::NotSent { why } => Placement::NotSent { why: text(&why) },
    }
}

fn broker_order(order: BrokerOrder) -> BrokerOrder {
    BrokerOrder {
        client_order_id: name(&order.client_order_id),
        broker_order_id: name(&order.broker_order_id),
        ..order
    }
}

fn execution(fill: Execution) -> Execution {
    Execution {
        broker_fill_id: name(&fill.broker_fill_id),
        client_order_id: name(&fill.client_order_id),
        broker_order_id: name(&fill.broker_order_id),
        ..fill
    }
}

fn unheard(mut unheard: Unheard) -> Unheard {
    unheard.why = text(&unheard.why);
    unheard
}

fn text(raw: &str) -> String {
    bounded(raw, TEXT_MAX)
}

/// The same name always becomes the same name, so that a fill is known again.
fn name(raw: &str) -> String {
    bounded(raw, NAME_MAX)
}

/// At most so many bytes, whole characters, each control character replaced.
fn bounded(raw: &str, bytes_max: usize) -> String {
    let mut kept = String::with_capacity(raw.len().min(bytes_max));
    for letter in raw.chars() {
        let letter = if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
        if kept.len().saturating_add(letter.len_utf8()) > bytes_max {
            break;
        }
        kept.push(letter);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tradewarden_domain::money::{Money, Price, Quantity};
    use tradewarden_domain::order::Side;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        assert_eq!(name("b-1234_ABC"), "b-1234_ABC");
        assert_eq!(text("Größe überschritten: 12 > 10"), "Größe überschritten: 12 > 10");
    }

    #[test]
    fn placements_are_clean() {
        let reason = format!("no\0{}", "x".repeat(100_000));
        let rejected = placement(Placement::Rejected { code: "a\0b".to_owned(), reason });
        let Placement::Rejected { code, reason } = rejected else { panic!("{rejected:?}") };
        assert_eq!((code.as_str(), reason.len()), ("a\u{fffd}b", TEXT_MAX));
        let fill = Execution {
            broker_fill_id: "f\0".to_owned(),
            client_order_id: "c\u{1b}[2J".to_owned(),
            broker_order_id: "o\n".to_owned(),
            symbol: "ES".parse().unwrap(),
            side: Side::Buy,
            quantity: Quantity::from_units(1),
            price: Price::from_units(1),
            fee: Money::ZERO,
            at: Timestamp::default(),
        };
        let clean = execution(fill.clone());
        assert_eq!(clean.broker_fill_id, "f\u{fffd}");
        assert_eq!(clean.client_order_id, "c\u{fffd}[2J");
        assert_eq!(clean.broker_order_id, "o\u{fffd}");
        assert_eq!(execution(clean.clone()), clean, "cleaning twice changes nothing");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded_and_storable(raw in "(.|\0|\n){0,700}") {
            let kept = text(&raw);
            prop_assert!(kept.len() <= TEXT_MAX);
            prop_assert!(!kept.chars().any(char::is_control));
            prop_assert_eq!(text(&kept), kept);
        }
    }
}
