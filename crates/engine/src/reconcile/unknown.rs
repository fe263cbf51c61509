//! What the broker has of orders that this database does not know: those that a restore lost, and other
//! people's. They are told and left alone: whether one is taken back is a person's decision. Beside one of
//! them no leg of a bracket is placed, as it may be that leg: two stops would open what one closes.

use super::{HEARD_WITHIN, Reconciler};
use crate::Shared;
use crate::book::Book;
use crate::effects::Severity;
use crate::link::Link;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use tokio::time::timeout;
use tradewarden_broker::port::{Broker, BrokerAccount, BrokerOrder};
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::{Change, Order};
use tradewarden_store::{Error, Tx, orders};

/// Unknown orders of one account that are told one by one; of more only how many.
const TOLD_MAX: usize = 100;

/// What is told of an order: the code, what the finding is about, and what it says.
type Told = (&'static str, String, String);

impl Shared {
    /// Whether it is not known yet, after a restore, what works at the broker in this instrument.
    pub(crate) fn awaits_comparison(&self, account: Id<id::Account>, symbol: &Symbol) -> bool {
        if !self.is_restored || !self.is_restoring() {
            return false;
        }
        let strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
        strange.contains(&(account, symbol.clone())) || self.unreconciled().contains(&account)
    }

    fn set_strange(&self, account: Id<id::Account>, symbols: BTreeSet<Symbol>) {
        let mut strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
        strange.retain(|(of, _)| *of != account);
        strange.extend(symbols.into_iter().map(|symbol| (account, symbol)));
    }
}

impl Reconciler {
    /// Whether an order of this name is stored. An order is stored before it is sent, so that only a
    /// restore takes one away; `None` if the database does not answer.
    pub(super) async fn is_stored(&self, id: Id<id::Order>) -> Option<bool> {
        if !self.shared.is_restored {
            return Some(true);
        }
        orders::find(&self.shared.store, id).await.ok().map(|order| order.is_some())
    }

    /// As long as a restore is not said to be over: looks for open orders that this database does not
    /// know, or knows otherwise, and tells of each once. Answers whether all were heard and told.
    pub(super) async fn are_orders_known(&mut self, account: &Account, link: &Link) -> bool {
        if !self.shared.is_restored || !self.shared.is_restoring() {
            return true;
        }
        let name = BrokerAccount::new(&account.broker_account);
        let Ok(Ok(open)) = timeout(HEARD_WITHIN, link.open_orders(name)).await else {
            return false;
        };
        let (mut strange, mut symbols) = (Vec::new(), BTreeSet::new());
        for there in open {
            match self.look_up(&there).await {
                Err(error) => {
                    tracing::error!(account.id = %account.id, %error, "an order was not looked up");
                    return false;
                }
                Ok(Some(ours)) if !differs(&ours, &there) => {}
                Ok(ours) => {
                    if ours.is_none() {
                        symbols.insert(there.symbol.clone());
                    }
                    strange.push((
                        there.broker_order_id.clone(),
                        said(account, &there, ours.as_ref()),
                    ));
                }
            }
        }
        self.shared.set_strange(account.id, symbols);
        let known = self.strange.remove(&account.id).unwrap_or_default();
        let now: BTreeSet<String> = strange.iter().map(|(name, _)| name.clone()).collect();
        strange.retain(|(name, _)| !known.contains(name));
        if strange.is_empty() {
            self.strange.insert(account.id, now);
            return true;
        }
        let is_told = self.tell(account, strange.into_iter().map(|(_, told)| told)).await;
        self.strange.insert(account.id, if is_told { now } else { known });
        is_told
    }

    async fn look_up(&self, there: &BrokerOrder) -> Result<Option<Order>, Error> {
        match Id::from_bare_text(&there.client_order_id) {
            Ok(id) => orders::find(&self.shared.store, id).await,
            Err(_) => Ok(None),
        }
    }

    async fn tell(&self, account: &Account, strange: impl Iterator<Item = Told>) -> bool {
        let mut told: Vec<Told> = strange.collect();
        let more = told.len().saturating_sub(TOLD_MAX);
        told.truncate(TOLD_MAX);
        if more > 0 {
            let detail = format!("{more} more open orders are not as they are here.");
            told.push(("order.foreign", account.id.to_string(), detail));
        }
        let (inner, org) = (Arc::clone(&self.shared), account.org_id);
        let written = self
            .shared
            .note(async move |_tx: &mut Tx<'_>, book: &mut Book| {
                for (code, subject, detail) in &told {
                    let (subject, detail) = (subject.clone(), detail.clone());
                    book.find(&inner, org, code, Severity::Critical, subject, detail);
                }
                Ok(())
            })
            .await;
        if let Err(error) = &written {
            tracing::error!(account.id = %account.id, %error, "unknown orders were not journaled");
        }
        written.is_ok()
    }
}

/// Whether the broker works an order otherwise than it is stored: a change of it was lost. A venue may make
/// one smaller (S4), and what became of a change in doubt is asked for elsewhere.
fn differs(ours: &Order, there: &BrokerOrder) -> bool {
    let is_otherwise = |ours, there: Option<_>| there.is_some() && there != ours;
    !ours.change.as_ref().is_some_and(Change::is_in_doubt)
        && (there.quantity > ours.quantity
            || is_otherwise(ours.limit_price, there.limit_price)
            || is_otherwise(ours.stop_price, there.stop_price))
}

fn said(account: &Account, there: &BrokerOrder, ours: Option<&Order>) -> Told {
    if let Some(ours) = ours {
        let price =
            |price: Option<_>| price.map_or_else(|| "none".to_owned(), |price| format!("{price}"));
        let detail = format!(
            "The broker works an order otherwise than it is known here, so a change of it was lost: {} of \
             {}, limit {}, stop {}. Cancel it, or change it to what it should be.",
            there.quantity,
            there.symbol,
            price(there.limit_price),
            price(there.stop_price)
        );
        return ("order.differs", ours.id.to_string(), detail);
    }
    let whose = match Id::<id::Order>::from_bare_text(&there.client_order_id) {
        Ok(id) => format!("It has a name of ours, {id}, so a restore lost it"),
        Err(_) => "It is not ours".to_owned(),
    };
    let detail = format!(
        "The broker works an order of account {} that this database does not know: {} {} {}, {} of it \
         filled, at the broker {}. {whose}. Take it back at the broker if nobody wants it; as long as it \
         works, no leg of a bracket is placed there.",
        account.name,
        there.side,
        there.quantity,
        there.symbol,
        there.filled_quantity,
        there.broker_order_id
    );
    ("order.foreign", format!("{} {}", account.id, there.symbol), detail)
}
