//! Use: what callers asked for, against their quotas, and what is kept of it. Counted in memory,
//! written at most once a second; a crash forgets the last second.

use crate::actor::{Actor, Who};
use crate::{Engine, Shared};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::quota::{Budget, Exceeded, Quotas, Standing};
use tradewarden_domain::rate::DayWindow;
use tradewarden_domain::tier::{Allowance, Tier};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::api_keys::{self, LastUse};
use tradewarden_store::key_usage::{self, Day, Hour};
use tradewarden_store::nonces::{self, NonceRow};
use tradewarden_store::{Error, Store, Tx};

/// How long counters by hour are kept.
const HOURS_KEPT: Duration = Duration::from_hours(90 * 24);
/// How long windows of a day are kept that nobody draws on.
const DAYS_KEPT: Duration = Duration::from_hours(25);
const HOUR_S: i64 = 3_600;

/// What a request drew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// How full the budget is now.
    pub standing: Standing,
    /// Why nothing was drawn, if nothing was.
    pub exceeded: Option<Exceeded>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Usage {
    callers: Mutex<Callers>,
    keys: Mutex<KeyUse>,
}

/// Everybody who asked for something within the last day or so.
#[derive(Default)]
struct Callers {
    metered: HashMap<[u8; 16], Metered>,
    /// Those whose day is not written yet: the others are not looked at each second.
    changed: BTreeSet<[u8; 16]>,
}

struct Metered {
    quotas: Quotas,
    drawn_at: Timestamp,
}

/// What keys did since it was last written.
#[derive(Default)]
struct KeyUse {
    last: BTreeMap<Id<id::Key>, LastUse>,
    hours: BTreeMap<(Id<id::Key>, Timestamp), Hour>,
}

impl Usage {
    /// What callers of this node asked for in the last day.
    pub(crate) async fn load(store: &Store, node: &str, now: Timestamp) -> Result<Self, Error> {
        let usage = Self::default();
        for day in key_usage::days(store, node).await? {
            let requests = DayWindow::from_bytes(&day.requests);
            let orders = DayWindow::from_bytes(&day.orders);
            // The tier is found at the first request.
            let quotas = Quotas::resumed(Tier::Free.allowance(), requests, orders);
            let mut callers = usage.callers.lock().unwrap_or_else(PoisonError::into_inner);
            callers.metered.insert(day.caller_id, Metered { quotas, drawn_at: now });
        }
        Ok(usage)
    }

    /// A key was used.
    pub(crate) fn used(&self, key_id: Id<id::Key>, at: Timestamp, address: IpAddr) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.last.insert(key_id, LastUse { key_id, at, address: address.to_string() });
    }

    /// When a key was used, if that is not written yet.
    pub(crate) fn last_use(&self, key_id: Id<id::Key>) -> Option<LastUse> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).last.get(&key_id).cloned()
    }

    /// What a key did that is not written yet.
    pub(crate) fn hours_of(&self, key_id: Id<id::Key>) -> Vec<Hour> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let own = keys.hours.iter().filter(|((id, _), _)| *id == key_id);
        own.map(|(_, hour)| *hour).collect()
    }

    fn count(&self, key_id: Id<id::Key>, now: Timestamp, add: impl FnOnce(&mut Hour)) {
        let hour = hour_of(now);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Hour { hour, ..Hour::default() };
        add(keys.hours.entry((key_id, hour)).or_insert_with(fresh));
    }

    fn draw(
        &self,
        caller: [u8; 16],
        allowance: Allowance,
        budget: Budget,
        now: Timestamp,
    ) -> Drawn {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let metered = callers.metered.entry(caller).or_insert_with(|| Metered {
            quotas: Quotas::resumed(allowance, DayWindow::default(), DayWindow::default()),
            drawn_at: now,
        });
        metered.drawn_at = now;
        metered.quotas.put_under(allowance);
        let quota = metered.quotas.of(budget);
        let exceeded = quota.draw(now).err();
        let standing = quota.standing(now);
        if exceeded.is_none() && standing.day.is_some() {
            callers.changed.insert(caller);
        }
        Drawn { standing, exceeded }
    }

    fn take_days(&self) -> Vec<Day> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut callers.changed);
        changed
            .into_iter()
            .filter_map(|caller_id| {
                let metered = callers.metered.get(&caller_id)?;
                Some(Day {
                    caller_id,
                    requests: metered.quotas.requests.day().to_bytes(),
                    orders: metered.quotas.orders.day().to_bytes(),
                })
            })
            .collect()
    }

    /// Forgets who asked for nothing for longer than a day is counted.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let horizon = now.minus(DAYS_KEPT);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.metered.retain(|_, metered| metered.drawn_at > horizon);
    }

    fn take_keys(&self) -> KeyUse {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, kept: &Kept) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for last in &kept.last {
            keys.last.entry(last.key_id).or_insert_with(|| last.clone());
        }
        for (key_id, hour) in &kept.hours {
            let fresh = || Hour { hour: hour.hour, ..Hour::default() };
            let sum = keys.hours.entry((*key_id, hour.hour)).or_insert_with(fresh);
            sum.calls = sum.calls.saturating_add(hour.calls);
            sum.orders = sum.orders.saturating_add(hour.orders);
            sum.refusals = sum.refusals.saturating_add(hour.refusals);
        }
        drop(keys);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.changed.extend(kept.days.iter().map(|day| day.caller_id));
    }
}

/// What is written at one time.
#[derive(Clone)]
struct Kept {
    last: Vec<LastUse>,
    hours: Vec<(Id<id::Key>, Hour)>,
    days: Vec<Day>,
    nonces: Vec<NonceRow>,
}

impl Kept {
    const fn is_empty(&self) -> bool {
        self.last.is_empty()
            && self.hours.is_empty()
            && self.days.is_empty()
            && self.nonces.is_empty()
    }
}

impl Engine {
    /// Draws one from a caller's budget.
    pub fn draw(&self, actor: &Actor, budget: Budget) -> Drawn {
        let now = self.now();
        let tiers = &self.parts.settings.tiers;
        let (caller, tier) = match actor.who() {
            Who::Operator => ([0; 16], Tier::Institutional),
            Who::Person(person) => (person.user_id.to_bytes(), Tier::Standard),
            Who::Key(known) => (known.key.id.to_bytes(), known.key.tier),
        };
        let drawn = self.parts.usage.draw(caller, tiers.of(tier), budget, now);
        if let Some(key) = actor.as_key() {
            self.parts.usage.count(key.id, now, |hour| {
                hour.calls = hour.calls.saturating_add(1);
                if budget == Budget::Orders {
                    hour.orders = hour.orders.saturating_add(1);
                }
            });
        }
        drawn
    }

    /// Counts that a caller heard a no.
    pub fn refused(&self, actor: &Actor) {
        if let Some(key) = actor.as_key() {
            self.parts.usage.count(key.id, self.now(), |hour| {
                hour.refusals = hour.refusals.saturating_add(1);
            });
        }
    }
}

/// Writes what was counted since the last time.
pub(crate) async fn record(shared: &Arc<Shared>) {
    let keys = shared.usage.take_keys();
    let kept = Kept {
        last: keys.last.into_values().collect(),
        hours: keys.hours.into_iter().map(|((key_id, _), hour)| (key_id, hour)).collect(),
        days: shared.usage.take_days(),
        nonces: shared.nonces.take_waiting(),
    };
    if kept.is_empty() {
        return;
    }
    let (inner, node, now) = (kept.clone(), shared.settings.node.clone(), shared.environment.now());
    let written = shared
        .journal
        .write(crate::journal::Urgency::Soon, async move |tx: &mut Tx<'_>, _effects| {
            nonces::claim(tx, &inner.nonces).await?;
            api_keys::set_last_use(tx, &inner.last).await?;
            key_usage::add(tx, &inner.hours).await?;
            key_usage::put_days(tx, &node, inner.days.clone(), now).await
        })
        .await;
    if let Err(error) = written {
        tracing::error!(error = %error.0, "the use of keys was not journaled");
        shared.usage.put_back(&kept);
        shared.nonces.put_back(&kept.nonces);
    }
}

/// Forgets what is too old to count.
pub(crate) async fn purge(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), Error> {
    // Nodes' clocks may differ.
    const SPARE: Duration = Duration::from_mins(5);
    nonces::purge(tx, now.minus(SPARE)).await?;
    key_usage::purge(tx, now.minus(HOURS_KEPT), now.minus(DAYS_KEPT)).await
}

/// Where the hour of an instant begins.
pub(crate) const fn hour_of(at: Timestamp) -> Timestamp {
    let second = at.unix_seconds();
    let begins = second.saturating_sub(second.rem_euclid(HOUR_S));
    Timestamp::from_unix_micros(begins.saturating_mul(1_000_000))
}
