//! Reference prices: the newest quote of every instrument that a strategy or an order is about.

use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::{Broker, BrokerAccount};
use tradewarden_domain::account::Account;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::price::{Market as MarketState, Reference};
use tradewarden_domain::time::Timestamp;

/// The kinds of broker, by name.
pub(crate) type Brokers = BTreeMap<String, Arc<dyn Broker>>;

/// What was last heard of each instrument, by broker kind.
#[derive(Default)]
pub(crate) struct Market {
    heard: ArcSwap<BTreeMap<(String, Symbol), Heard>>,
}

/// A quote as a reference, and when it was heard.
#[derive(Clone, Copy)]
struct Heard {
    reference: Reference,
    at: Timestamp,
}

/// What a broker says of a market counts for so long.
const MARKET_AGE_MAX: Duration = Duration::from_mins(1);

impl Market {
    /// What is known about an instrument of an account's broker. Whether its market is open is what
    /// the broker said within the last minute; where it did not, our calendar says (S14).
    pub(crate) fn reference(
        &self,
        account: &Account,
        symbol: &Symbol,
        now: Timestamp,
    ) -> Reference {
        // One small allocation for the key; the map is read, never locked.
        let heard = self.heard.load().get(&(account.broker.clone(), symbol.clone())).copied();
        let mut reference = heard.map_or(Reference::NONE, |heard| heard.reference);
        if heard.is_none_or(|heard| heard.at.plus(MARKET_AGE_MAX) < now) {
            reference.market = MarketState::Unknown;
        }
        if reference.market == MarketState::Unknown {
            let calendar = account.instruments.get(symbol).and_then(|known| known.calendar);
            reference.market =
                calendar.map_or(MarketState::Unknown, |calendar| calendar.market(now));
        }
        reference
    }

    /// Asks every broker for the quotes of these instruments. What is not heard keeps its last
    /// value, which grows stale by itself.
    pub(crate) async fn refresh(
        &self,
        brokers: &Brokers,
        wanted: BTreeMap<(String, Symbol), BrokerAccount>,
        now: Timestamp,
    ) {
        let mut next = BTreeMap::clone(&self.heard.load());
        next.retain(|key, _| wanted.contains_key(key));
        for ((kind, symbol), account) in wanted {
            let Some(broker) = brokers.get(&kind) else { continue };
            match broker.quote(account, symbol.clone()).await {
                Ok(quote) => {
                    next.insert((kind, symbol), Heard { reference: quote.reference(), at: now });
                }
                Err(unheard) => {
                    tracing::debug!(symbol = %symbol, why = %unheard, "no quote");
                }
            }
        }
        self.heard.store(Arc::new(next));
    }

    /// Whether an instrument is known not to trade now.
    pub(crate) fn is_closed(&self, account: &Account, symbol: &Symbol, now: Timestamp) -> bool {
        self.reference(account, symbol, now).market == MarketState::Closed
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
