//! Denials: what could not be authenticated leaves no row of its own, so that whoever knocks cannot
//! fill the disk. It is counted by source, and at most one audit entry a second and source says so
//! (C2).

use crate::Shared;
use crate::book::{Book, Scope};
use crate::effects::Effects;
use crate::journal::Urgency;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_store::Tx;

/// Sources that are told apart within a second; the rest are counted together.
const SOURCES_MAX: usize = 64;
const OTHERS: &str = "others";

/// The rule that turns away whoever shows the wrong credentials at a webhook.
const WEBHOOK: &str = "webhook.credentials";

/// A source and the rule that turned it away.
type Source = (String, &'static str);

/// Denials since the last entries, by source and rule.
#[derive(Default)]
pub(crate) struct Denials {
    by_source: Mutex<BTreeMap<Source, u64>>,
}

impl Denials {
    /// Counts one at a webhook.
    pub(crate) fn count(&self, address: IpAddr) {
        self.count_as(address, WEBHOOK);
    }

    /// Counts one that this rule turned away.
    pub(crate) fn count_as(&self, address: IpAddr, rule: &'static str) {
        let mut sources = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut source = (prefix(address), rule);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
            source = (OTHERS.to_owned(), rule);
        }
        let count = sources.entry(source).or_default();
        *count = count.saturating_add(1);
    }

    fn take(&self) -> BTreeMap<Source, u64> {
        std::mem::take(&mut *self.by_source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, sources: &BTreeMap<Source, u64>) {
        let mut waiting = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, count) in sources {
            let slot = waiting.entry(source.clone()).or_default();
            *slot = slot.saturating_add(*count);
        }
    }
}

/// Writes what was counted since the last time.
pub(crate) async fn record(shared: &Arc<Shared>) {
    let denied = shared.denials.take();
    let org = shared.directory.load().organizations.first().map(|organization| organization.id);
    let (Some(org), false) = (org, denied.is_empty()) else { return };
    let (inner, sources) = (Arc::clone(shared), denied.clone());
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, effects: &mut Effects| {
            let mut book = Book::load(tx, &inner, &Scope::default()).await?;
            for ((source, rule), count) in &sources {
                let payload = json!({
                    "count": count.to_string(), "rule": rule, "source": source,
                });
                book.enter(&inner, org, org, "auth.denied", &payload);
            }
            book.write(tx, effects).await
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "denials were not journaled");
        shared.denials.put_back(&denied);
    }
}

/// The network a source is counted under: /24 of IPv4, /48 of IPv6.
fn prefix(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 24 } else { 48 };
    ipnet::IpNet::new(address, length)
        .map_or_else(|_| OTHERS.to_owned(), |net| net.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_bounded_and_counted_by_network() {
        let denials = Denials::default();
        for last in 1..=3_u8 {
            denials.count(IpAddr::from([192, 0, 2, last]));
        }
        for third in 0..=255_u8 {
            denials.count(IpAddr::from([198, 51, third, 1]));
        }
        let counted = denials.take();
        assert_eq!(counted.get(&("192.0.2.0/24".to_owned(), WEBHOOK)), Some(&3));
        assert_eq!(counted.len(), SOURCES_MAX + 1);
        assert_eq!(counted.values().sum::<u64>(), 259);
        assert!(denials.take().is_empty());
        denials.put_back(&counted);
        assert_eq!(denials.take(), counted);
        let address = IpAddr::from([192, 0, 2, 1]);
        denials.count(address);
        denials.count_as(address, "key.unknown");
        assert_eq!(denials.take().len(), 2, "rules are told apart");
    }
}
