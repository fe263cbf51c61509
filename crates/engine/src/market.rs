//! Reference prices: the newest quote of every instrument that a strategy or an order is about.

use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewarden_broker::port::{Broker, BrokerAccount};
use tradewarden_domain::account::Account;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::price::{Market as MarketState, Reference};

/// The kinds of broker, by name.
pub(crate) type Brokers = BTreeMap<String, Arc<dyn Broker>>;

/// What was last heard of each instrument, by broker kind.
#[derive(Default)]
pub(crate) struct Market {
    references: ArcSwap<BTreeMap<(String, Symbol), Reference>>,
}

impl Market {
    /// What is known about an instrument of an account's broker.
    pub(crate) fn reference(&self, account: &Account, symbol: &Symbol) -> Reference {
        let references = self.references.load();
        // One small allocation for the key; the map is read, never locked.
        references
            .get(&(account.broker.clone(), symbol.clone()))
            .copied()
            .unwrap_or(Reference::NONE)
    }

    /// Asks every broker for the quotes of these instruments. What is not heard keeps its last
    /// value, which grows stale by itself.
    pub(crate) async fn refresh(
        &self,
        brokers: &Brokers,
        wanted: BTreeMap<(String, Symbol), BrokerAccount>,
    ) {
        let mut next = BTreeMap::clone(&self.references.load());
        next.retain(|key, _| wanted.contains_key(key));
        for ((kind, symbol), account) in wanted {
            let Some(broker) = brokers.get(&kind) else { continue };
            match broker.quote(account, symbol.clone()).await {
                Ok(quote) => {
                    next.insert((kind, symbol), quote.reference());
                }
                Err(unheard) => {
                    tracing::debug!(symbol = %symbol, why = %unheard, "no quote");
                }
            }
        }
        self.references.store(Arc::new(next));
    }

    /// Whether an instrument is known to trade now.
    pub(crate) fn is_open(&self, account: &Account, symbol: &Symbol) -> bool {
        self.reference(account, symbol).market == MarketState::Open
    }
}

/// Every instrument that the accounts can trade and that is in `symbols`, with an account to ask.
pub(crate) fn wanted<'a>(
    accounts: impl Iterator<Item = &'a Arc<Account>>,
    symbols: &BTreeSet<Symbol>,
) -> BTreeMap<(String, Symbol), BrokerAccount> {
    let mut wanted = BTreeMap::new();
    for account in accounts {
        for symbol in account.instruments.keys().filter(|symbol| symbols.contains(*symbol)) {
            wanted
                .entry((account.broker.clone(), symbol.clone()))
                .or_insert_with(|| BrokerAccount::new(&account.broker_account));
        }
    }
    wanted
}
