//! Accesses: who called what of the API, and how it ended. Calls that change something have entries
//! of their own in their transactions; this is the record of all calls, reads and refused ones
//! included, added up for a second and written in the next batch (C19).

use crate::actor::Actor;
use crate::book::{Book, Scope};
use crate::effects::Effects;
use crate::journal::Urgency;
use crate::{Engine, Shared};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::card_number::holds_card_number;
use tradewarden_domain::id::{self, Id};
use tradewarden_store::Tx;

/// Accesses that are told apart within a second; the rest are counted by caller.
const DISTINCT_MAX: usize = 1_024;
const OBJECT_CHARACTERS_MAX: usize = 64;
/// No symbol and no name of a limit is longer; every secret of ours is.
const NAME_CHARACTERS_MAX: usize = 24;
/// What follows the kind in an identifier.
const IDENTIFIER_CHARACTERS: usize = 26;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Access {
    org: Id<id::Org>,
    actor: String,
    method: &'static str,
    route: &'static str,
    object: String,
    status: u16,
}

/// Accesses since the last entries.
#[derive(Default)]
pub(crate) struct Accesses(Mutex<BTreeMap<Access, u64>>);

impl Accesses {
    fn count(&self, mut access: Access) {
        let mut accesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if accesses.len() >= DISTINCT_MAX && !accesses.contains_key(&access) {
            (access.method, access.route, access.status) = ("-", "others", 0);
            access.object.clear();
        }
        let count = accesses.entry(access).or_default();
        *count = count.saturating_add(1);
    }

    fn take(&self) -> BTreeMap<Access, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, taken: BTreeMap<Access, u64>) {
        let mut accesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (access, count) in taken {
            let slot = accesses.entry(access).or_default();
            *slot = slot.saturating_add(count);
        }
    }
}

impl Engine {
    /// Counts a call of the API: the route is its template, `object` what its path named.
    pub fn accessed(
        &self,
        actor: &Actor,
        method: &'static str,
        route: &'static str,
        object: &str,
        status: u16,
    ) {
        let Ok(org) = self.org_of(actor) else { return };
        let printable = |one: &char| one.is_ascii_graphic();
        let object: String = object.chars().filter(printable).take(OBJECT_CHARACTERS_MAX).collect();
        let object = if status < 400 { object } else { without_strays(&object) };
        let actor = actor.name();
        self.parts.accesses.count(Access { org, actor, method, route, object, status });
    }
}

/// What the path of a refused call named, but what can be no name: people paste secrets into
/// addresses, and the log keeps its entries for ever.
fn without_strays(object: &str) -> String {
    let kept = object.split('/').map(|part| if may_name(part) { part } else { "***" });
    kept.collect::<Vec<_>>().join("/")
}

/// Whether it is as short as a symbol or a number and no number of a payment card, or has the form of an identifier.
fn may_name(part: &str) -> bool {
    let is_identifier = part.split_once('_').is_some_and(|(kind, rest)| {
        (1..=4).contains(&kind.len())
            && rest.len() == IDENTIFIER_CHARACTERS
            && kind.bytes().all(|byte| byte.is_ascii_lowercase())
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    is_identifier || (part.len() <= NAME_CHARACTERS_MAX && !holds_card_number(part))
}

/// Writes what was counted since the last time.
pub(crate) async fn record(shared: &Arc<Shared>) {
    let taken = shared.accesses.take();
    if taken.is_empty() {
        return;
    }
    let (inner, accesses) = (Arc::clone(shared), taken.clone());
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            for (access, count) in &accesses {
                let payload = json!({
                    "actor": access.actor, "count": count.to_string(), "method": access.method,
                    "object": access.object, "route": access.route,
                    "status": access.status.to_string(),
                });
                book.enter(&inner, access.org, access.org, "api.called", &payload);
            }
            book.write(tx, effects).await
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "accesses were not journaled");
        shared.accesses.put_back(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(number: u8) -> Access {
        Access {
            org: Id::from_bytes([1; 16]),
            actor: "operator".to_owned(),
            method: "GET",
            route: "/api/v1/orders/{id}",
            object: format!("ord_{number}"),
            status: 200,
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_not_kept() {
        for (object, kept) in [
            ("ord_01m827w84zcg49qtm5f4vmjrwv", "ord_01m827w84zcg49qtm5f4vmjrwv"),
            ("acc_01m827w84zcg49qtm5f4vmjrwv/BTC-USD", "acc_01m827w84zcg49qtm5f4vmjrwv/BTC-USD"),
            ("max_orders_per_minute", "max_orders_per_minute"),
            ("4111111111111111", "***"),
            ("tws_9ouAqZ0RrmSh0fzcYuDJbkAVzGkf4RmfnVa6XVKr2Vg_d1d2d3", "***"),
            ("AAPL/correct-zebra-battery-staple", "AAPL/***"),
            ("", ""),
        ] {
            assert_eq!(without_strays(object), kept);
        }
    }

    #[test]
    fn accesses_are_added_up_and_bounded() {
        let accesses = Accesses::default();
        for _ in 0..3 {
            accesses.count(access(1));
        }
        for high in 0..=8 {
            for low in 0..=255_u8 {
                accesses.count(Access { status: high, ..access(low) });
            }
        }
        let taken = accesses.take();
        assert_eq!(taken.get(&access(1)), Some(&3));
        assert_eq!(taken.len(), DISTINCT_MAX + 1);
        assert_eq!(taken.values().sum::<u64>(), 3 + 9 * 256);
        accesses.put_back(taken.clone());
        assert_eq!(accesses.take(), taken);
    }
}
