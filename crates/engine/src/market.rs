//! Reference prices: the newest quote of every instrument that a strategy or an order is about, and what
//! each was last heard at while it traded, which is its prior close once it does not (S22).
//!
//! Crash story: prices of trading are written once a minute. A crash loses at most the last minute of
//! them; the one before stands.

use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tradewarden_broker::port::{Broker, BrokerAccount};
use tradewarden_domain::account::Account;
use tradewarden_domain::calendar::Calendar;
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Price;
use tradewarden_domain::price::{Market as MarketState, Reference};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::closes::Close;

/// The kinds of broker, by name.
pub(crate) type Brokers = BTreeMap<String, Arc<dyn Broker>>;

/// A kind of broker, and what it trades.
type Listed = (String, Symbol);

/// What was last heard of each instrument, by broker kind.
#[derive(Default)]
pub(crate) struct Market {
    heard: ArcSwap<BTreeMap<Listed, Heard>>,
    /// The last price of each while it traded, and when.
    traded: ArcSwap<BTreeMap<Listed, Traded>>,
}

/// A price of trading, and when it was heard.
type Traded = (Price, Timestamp);

/// An instrument to ask about.
pub(crate) struct Wanted {
    account: BrokerAccount,
    calendar: Option<Calendar>,
}

/// A quote as a reference, and when it was heard.
#[derive(Clone, Copy)]
struct Heard {
    reference: Reference,
    at: Timestamp,
    /// The two before it, newest first.
    earlier: [Option<Reference>; 2],
}

/// What a broker says of a market counts for so long.
const MARKET_AGE_MAX: Duration = Duration::from_mins(1);

impl Market {
    /// With what was written down.
    pub(crate) fn of(closes: Vec<Close>) -> Self {
        let traded = closes.into_iter().map(|close| {
            let Close { broker, symbol, price, at } = close;
            ((broker, symbol), (price, at))
        });
        let market = Self::default();
        market.traded.store(Arc::new(traded.collect()));
        market
    }

    /// What is known about an instrument of an account's broker. Whether its market is open is what
    /// the broker said within the last minute; where it did not, our calendar says (S14).
    pub(crate) fn reference(
        &self,
        account: &Account,
        symbol: &Symbol,
        now: Timestamp,
    ) -> Reference {
        // One small allocation for the key; the map is read, never locked.
        let key = (account.broker.clone(), symbol.clone());
        let heard = self.heard.load().get(&key).copied();
        let mut reference = heard.map_or(Reference::NONE, |heard| heard.reference);
        if heard.is_none_or(|heard| heard.at.plus(MARKET_AGE_MAX) < now) {
            reference.market = MarketState::Unknown;
        }
        if reference.market == MarketState::Unknown {
            let calendar = account.instruments.get(symbol).and_then(|known| known.calendar);
            reference.market =
                calendar.map_or(MarketState::Unknown, |calendar| calendar.market(now));
        }
        // It is measured against while the market is closed alone; a band is held against it at any time.
        if reference.prior_close.is_none() {
            reference.prior_close = self.traded.load().get(&key).copied();
        }
        reference
    }

    /// What was last heard of an instrument of a kind of broker.
    pub(crate) fn heard(&self, broker: &str, symbol: &Symbol) -> Option<Reference> {
        let key = (broker.to_owned(), symbol.clone());
        self.heard.load().get(&key).map(|heard| heard.reference)
    }

    /// What was known of it a second or two ago.
    pub(crate) fn earlier(&self, account: &Account, symbol: &Symbol) -> Reference {
        let key = (account.broker.clone(), symbol.clone());
        let heard = self.heard.load().get(&key).copied();
        let [newer, older] = heard.map_or([None, None], |heard| heard.earlier);
        older.or(newer).unwrap_or(Reference::NONE)
    }

    /// Asks one kind of broker for the quotes of these instruments. What is not heard keeps its last
    /// value, which grows stale by itself. What is heard counts once the last has answered; what the
    /// rounds of other brokers heard meanwhile stays.
    pub(crate) async fn refresh(
        &self,
        (kind, broker): (&str, &dyn Broker),
        wanted: BTreeMap<Symbol, Wanted>,
        now: Timestamp,
    ) {
        let (mut heard, mut traded) = (Vec::new(), Vec::new());
        for (symbol, Wanted { account, calendar }) in &wanted {
            match broker.quote(account.clone(), symbol.clone()).await {
                Ok(quote) => {
                    let reference = quote.reference();
                    let key = (kind.to_owned(), symbol.clone());
                    if trades(&reference, *calendar, now)
                        && let Some(price) = reference.price(now)
                    {
                        traded.push((key.clone(), (price, now)));
                    }
                    heard.push((key, reference));
                }
                Err(unheard) => {
                    tracing::debug!(symbol = %symbol, why = %unheard, "no quote");
                }
            }
        }
        let stays = |(of, symbol): &Listed| of != kind || wanted.contains_key(symbol);
        self.heard.rcu(|before| {
            let mut next = BTreeMap::clone(before);
            next.retain(|key, _| stays(key));
            for (key, reference) in &heard {
                let earlier = next.get(key).map_or([None, None], |before: &Heard| {
                    let [newer, _] = before.earlier;
                    [Some(before.reference), newer]
                });
                next.insert(key.clone(), Heard { reference: *reference, at: now, earlier });
            }
            next
        });
        self.traded.rcu(|before| {
            let mut next = BTreeMap::clone(before);
            next.retain(|key, _| stays(key));
            next.extend(traded.iter().cloned());
            next
        });
    }

    /// What was heard of trading, to be written down.
    pub(crate) fn closes(&self) -> Vec<Close> {
        let traded = self.traded.load();
        let closes = traded.iter().map(|((broker, symbol), (price, at))| Close {
            broker: broker.clone(),
            symbol: symbol.clone(),
            price: *price,
            at: *at,
        });
        closes.collect()
    }

    /// Whether an instrument is known not to trade now.
    pub(crate) fn is_closed(&self, account: &Account, symbol: &Symbol, now: Timestamp) -> bool {
        self.reference(account, symbol, now).market == MarketState::Closed
    }
}

/// Whether an instrument trades, by its broker's word, else by its calendar.
fn trades(reference: &Reference, calendar: Option<Calendar>, now: Timestamp) -> bool {
    let by_calendar = || calendar.map_or(MarketState::Unknown, |calendar| calendar.market(now));
    let market = match reference.market {
        MarketState::Unknown => by_calendar(),
        known => known,
    };
    market == MarketState::Open
}

/// Every instrument that accounts can trade at this kind of broker, with an account to ask.
pub(crate) fn wanted<'a>(
    accounts: impl Iterator<Item = &'a Arc<Account>>,
    kind: &str,
) -> BTreeMap<Symbol, Wanted> {
    let mut wanted = BTreeMap::new();
    for account in accounts.filter(|account| account.broker == kind) {
        for (symbol, instrument) in &account.instruments {
            wanted.entry(symbol.clone()).or_insert_with(|| Wanted {
                account: BrokerAccount::new(&account.broker_account),
                calendar: instrument.calendar,
            });
        }
    }
    wanted
}
