//! The equity of accounts by their brokers' word, for the limits that are a part of it.

mod record;

use self::record::Record;
pub(crate) use self::record::write;
use crate::Shared;
use crate::several::{self, ASKED_TOGETHER};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tradewarden_broker::port::BrokerAccount;
use tradewarden_domain::account::Account;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Money;
use tradewarden_domain::strategy::{Sizing, Strategy};
use tradewarden_domain::time::Timestamp;

/// What was said may be this old (S8).
pub(crate) const AGE_MAX: Duration = Duration::from_mins(1);
/// Limits that are a part of the equity.
const OF_EQUITY: &[LimitName] = &[LimitName::CreditPercent, LimitName::DrawdownPercent];

/// See the module.
#[derive(Default)]
pub(crate) struct Funds {
    heard: Mutex<BTreeMap<Id<id::Account>, (Money, Timestamp)>>,
    record: Mutex<Record>,
}

impl Funds {
    /// An account's equity, if it was heard within the last minute.
    pub(crate) fn equity(&self, account: Id<id::Account>, now: Timestamp) -> Option<Money> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (equity, at) = heard.get(&account)?;
        (at.plus(AGE_MAX) >= now).then_some(*equity)
    }

    fn heard_at(&self, account: Id<id::Account>) -> Option<Timestamp> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&account).map(|(_, at)| *at)
    }

    /// A broker's clock that is ahead does not stop the record.
    fn hear(&self, account: &Account, (equity, at): (Money, Timestamp), now: Timestamp) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(account.id, (equity, at));
        drop(heard);
        self.with_record(|record| record.hear(account, equity, at.min(now)));
    }

    fn with_record<T>(&self, work: impl FnOnce(&mut Record) -> T) -> T {
        work(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A broker that has not answered after this is not waited for: what is not heard grows old.
const HEARD_WITHIN: Duration = Duration::from_secs(15);

/// Asks one kind of broker for the equity of every account that such a limit bounds, or that a strategy
/// sizes by.
pub(crate) async fn refresh(shared: &Arc<Shared>, kind: &str) {
    ask(shared, Counts::Now, |account| account.broker == kind).await;
}

/// Asks it for the equity of all other accounts: it is kept for replays by limits that are not set yet.
pub(crate) async fn refresh_others(shared: &Arc<Shared>, kind: &str) {
    if shared.is_leader() {
        ask(shared, Counts::Later, |account| account.broker == kind).await;
    }
}

/// A change that makes an account's equity count waits no longer for it.
const FIRST_HEARD_WITHIN: Duration = Duration::from_secs(1);

/// The same for those of which nothing is known yet, so that a change holds from its answer on.
pub(crate) async fn hear_first(shared: &Arc<Shared>) {
    let now = shared.environment.now();
    let is_new = |account: &Account| shared.funds.equity(account.id, now).is_none();
    if timeout(FIRST_HEARD_WITHIN, ask(shared, Counts::Now, is_new)).await.is_err() {
        tracing::warn!("a broker does not say the equity of its accounts");
    }
}

/// Whether the size of a strategy's entries is a part of the equity.
pub(crate) const fn sizes_by_equity(strategy: &Strategy) -> bool {
    matches!(strategy.sizing, Sizing::PercentEquity | Sizing::RiskPerTrade)
}

/// Whether an order may depend on an account's equity by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Now,
    Later,
}

/// One account that is not heard keeps no other one waiting.
async fn ask(shared: &Arc<Shared>, when: Counts, is_wanted: impl Fn(&Account) -> bool) {
    let directory = shared.directory.load_full();
    let sizes = |strategy: &&Arc<Strategy>| sizes_by_equity(strategy);
    let sized: BTreeSet<_> =
        directory.strategies.values().filter(sizes).flat_map(|found| found.accounts()).collect();
    let counts = |account: &&Arc<Account>| {
        let limits = directory.books.get(&account.org_id);
        let is_bounded = limits.is_some_and(|book| book.has_any(OF_EQUITY));
        let counts_now = is_bounded || sized.contains(&account.id);
        counts_now == (when == Counts::Now) && is_wanted(account)
    };
    let mut wanted: Vec<_> = directory.accounts.values().filter(counts).cloned().collect();
    // Where the broker's budget has no room for all, those come first that were not heard for longest.
    wanted.sort_by_key(|account| shared.funds.heard_at(account.id));
    let hear = |account| hear(Arc::clone(shared), account);
    several::each(wanted, ASKED_TOGETHER, hear, |()| {}).await;
}

async fn hear(shared: Arc<Shared>, account: Arc<Account>) {
    let Some(broker) = shared.brokers.get(&account.broker) else { return };
    let asked = broker.account(BrokerAccount::new(&account.broker_account));
    match timeout(HEARD_WITHIN, asked).await {
        Ok(Ok(state)) if state.currency == account.currency => {
            let now = shared.environment.now();
            shared.funds.hear(&account, (state.equity, state.at), now);
        }
        Ok(Ok(state)) => tracing::warn!(
            account.id = %account.id, currency = %state.currency,
            "the broker tells the equity in another currency than the account's"
        ),
        Ok(Err(unheard)) => {
            tracing::debug!(account.id = %account.id, why = %unheard, "no equity heard");
        }
        Err(_elapsed) => tracing::debug!(account.id = %account.id, "no equity heard in time"),
    }
}
