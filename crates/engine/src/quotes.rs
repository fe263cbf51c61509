//! What the brokers say of prices: reading it, and keeping the last of each day.

use crate::effects::Effects;
use crate::journal::Urgency;
use crate::{Shared, market};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tradewarden_store::{Tx, closes};

pub(crate) const FIRST_QUOTES_WITHIN: Duration = Duration::from_millis(200);

pub(crate) const CLOSES_EVERY: Duration = Duration::from_mins(1);

/// What is sent first finds prices, where they are heard soon. Nothing else waits for them: a broker may be
/// silent, or its budget have no room (S18); entries wait in the dispatcher.
pub(crate) async fn first_quotes(shared: &Arc<Shared>) {
    if tokio::time::timeout(FIRST_QUOTES_WITHIN, refresh_quotes(shared)).await.is_err() {
        tracing::warn!("not every quote was heard yet; the rest goes on");
    }
}

/// Quotes of everything that can be traded, of every broker at the same time.
pub(crate) async fn refresh_quotes(shared: &Arc<Shared>) {
    let mut brokers = JoinSet::new();
    for kind in shared.brokers.keys() {
        let (shared, kind) = (Arc::clone(shared), kind.clone());
        brokers.spawn(async move { refresh_quotes_of(&shared, &kind).await });
    }
    while brokers.join_next().await.is_some() {}
}

/// Quotes of everything that can be traded at one kind of broker.
pub(crate) async fn refresh_quotes_of(shared: &Arc<Shared>, kind: &str) {
    let Some(broker) = shared.brokers.get(kind) else { return };
    let directory = shared.directory.load_full();
    let wanted = market::wanted(directory.accounts.values(), kind);
    shared.market.refresh((kind, broker.as_ref()), wanted, shared.environment.now()).await;
    shared.set_quoted(kind);
}

/// Writes down what each instrument was last heard at while it traded, so that a restart while it is
/// closed knows its prior close (S22).
pub(crate) async fn keep_closes(shared: &Arc<Shared>) {
    let newest = shared.market.closes();
    let since = shared.environment.now().minus(CLOSES_EVERY.saturating_mul(2));
    let new: Vec<_> = newest.into_iter().filter(|close| close.at > since).collect();
    if new.is_empty() {
        return;
    }
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx: &mut Tx<'_>, _: &mut Effects| {
            closes::put(tx, &new).await
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "prior closes were not written");
    }
}
