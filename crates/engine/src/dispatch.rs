//! Dispatch: orders that are journaled leave for their broker, once each.
//!
//! Per (account, instrument): cancel before exit before entry, one exit under way at a time,
//! entries in their order (S2, S4). What was called and not heard is asked for, never sent again
//! (C7). The dispatcher owns no durable state: everything it knows it can read again.

mod change;
mod doubt;
mod gate;
mod room;

use self::gate::Look;
use crate::Shared;
use crate::attempt::{self, Attempt, Learned};
use crate::journal::{NotWritten, Urgency};
use crate::link::Booking;
use crate::notice::{Heard, Notice};
use crate::orders::live;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tradewarden_broker::port::{
    BrokerAccount, Call, Cancellation, Lookup, OrderName, PlaceOrder, Placement, ReduceOnly,
    Replacement,
};
use tradewarden_domain::account::Account;
use tradewarden_domain::halt::{self, Halt};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::order::{Order, OrderState, OrderType, Purpose};
use tradewarden_domain::time::Timestamp;

/// Orders of one attempt transaction.
const ATTEMPTS_MAX: usize = 256;
/// Entries of one pair that may be under way together.
const ENTRIES_UNDER_WAY_MAX: usize = 16;
const TICK: Duration = Duration::from_millis(100);
const RESYNC_EVERY: Duration = Duration::from_secs(1);
/// A change of an order is committed within this after its own time, or its reading comes a second later.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// An order that stays unknown so long is told to a person (S24).
const UNKNOWN_ALERT_AFTER: Duration = Duration::from_secs(10);
/// So is an exit at the market that has not ended.
const SLOW_EXIT_AFTER: Duration = Duration::from_secs(10);

type Pair = (Id<id::Account>, Symbol);

/// An order that may still change, and what is being done about it.
#[expect(clippy::struct_excessive_bools, reason = "what is known of an order is independent")]
struct Tracked {
    order: Order,
    /// A transaction or a call about it is under way.
    busy: bool,
    /// Its attempt is journaled, and it is certain that no byte has left.
    never_left: bool,
    /// Its attempt was journaled before this process, or another leader, began.
    recovered: bool,
    /// Not before this instant.
    retry_at: Option<Timestamp>,
    /// How often the broker did not know it after its attempt was void.
    absences: u32,
    alerted: bool,
    /// A cancel of it was sent: what became of it is asked before it is sent again.
    is_canceled: bool,
    /// When it is looked at next although nobody doubts it.
    glance_at: Timestamp,
    /// Room for the call that its attempt is for.
    booking: Option<Booking>,
    /// A person was told that it takes too long.
    is_told_slow: bool,
}

/// What came back from something that was under way.
enum Done {
    Attempted(Vec<Order>, Result<Vec<Attempt>, NotWritten>),
    /// Nothing of its call has left.
    KeptBack(Id<id::Order>, Learned),
    Called(Id<id::Order>, Placement),
    Canceled(Id<id::Order>, Cancellation),
    /// The answer to the change whose attempt was void at that instant.
    Replaced(Id<id::Order>, Option<Timestamp>, Box<Replacement>),
    /// What was found, and when it was asked for.
    Found(Id<id::Order>, Timestamp, Lookup),
    NotAsked(Id<id::Order>),
    /// The fills among what was learned are told with it.
    Learned(Vec<Id<id::Order>>, Vec<(Id<id::Account>, String)>, Result<(), NotWritten>),
    Resynced(Result<Vec<Order>, tradewarden_store::Error>),
    Told,
}

/// See the module.
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    orders: BTreeMap<Id<id::Order>, Tracked>,
    pairs: BTreeMap<Pair, BTreeSet<Id<id::Order>>>,
    dirty: BTreeSet<Pair>,
    learned: Vec<(Id<id::Order>, Learned)>,
    learning: bool,
    attempting: bool,
    /// Since when live orders are being read.
    resyncing: Option<Timestamp>,
    resync_at: Timestamp,
    /// What has ended since then: the reading may still have it as live.
    ended: BTreeSet<Id<id::Order>>,
    /// When it was first known, since this node leads, which orders live.
    recovered_at: Timestamp,
    /// Halts, as they are read right before calls.
    reading: Arc<gate::Reading>,
    under_way: JoinSet<Done>,
}

impl Dispatcher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            orders: BTreeMap::new(),
            pairs: BTreeMap::new(),
            dirty: BTreeSet::new(),
            learned: Vec::new(),
            learning: false,
            attempting: false,
            resyncing: None,
            resync_at: Timestamp::default(),
            ended: BTreeSet::new(),
            recovered_at: Timestamp::default(),
            reading: Arc::default(),
            under_way: JoinSet::new(),
        }
    }

    /// Runs until the notices end.
    pub(crate) async fn run(mut self, mut notices: Heard) {
        // However much happens in between: what waits for a moment to pass is looked at in time.
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut heard = Vec::new();
            tokio::select! {
                told = notices.next() => {
                    if told.is_empty() {
                        return;
                    }
                    heard = told;
                }
                Some(done) = self.under_way.join_next() => self.finish(done),
                _ = tick.tick() => self.dirty.extend(self.pairs.keys().cloned()),
            }
            for notice in heard {
                self.hear(notice);
            }
            if notices.missed() {
                self.hear(Notice::Resync);
            }
            while let Some(done) = self.under_way.try_join_next() {
                self.finish(done);
            }
            self.step();
        }
    }

    fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Orders(orders) => {
                for order in orders {
                    self.track(order, false);
                }
            }
            Notice::Resync => self.resync_at = Timestamp::default(),
        }
    }

    fn track(&mut self, order: Order, recovered: bool) {
        if !order.state.is_live() {
            self.forget(&order);
            return;
        }
        let pair = (order.account_id, order.symbol.clone());
        self.dirty.insert(pair.clone());
        self.pairs.entry(pair).or_default().insert(order.id);
        match self.orders.get_mut(&order.id) {
            Some(tracked) if tracked.order.updated_at > order.updated_at => {}
            Some(tracked) => {
                tracked.recovered &= order.state != OrderState::Working;
                tracked.never_left &= !has_left(&order);
                let is_canceled = order.cancel_requested && !tracked.order.cancel_requested;
                if is_canceled || change::is_new(&order, &tracked.order) {
                    // A cancel comes before everything else and waits for no question (S2), nor does a
                    // change that is asked for now.
                    tracked.retry_at = None;
                }
                let was_doubtful = change::is_doubtful(&tracked.order);
                tracked.alerted &= !was_doubtful || change::is_doubtful(&order);
                tracked.order = order;
            }
            None => {
                let lost = matches!(order.state, OrderState::Sending | OrderState::Unknown);
                self.orders.insert(
                    order.id,
                    Tracked {
                        recovered: recovered && lost,
                        order,
                        busy: false,
                        never_left: false,
                        retry_at: None,
                        absences: 0,
                        alerted: false,
                        is_canceled: false,
                        glance_at: Timestamp::default(),
                        booking: None,
                        is_told_slow: false,
                    },
                );
            }
        }
    }

    fn forget(&mut self, order: &Order) {
        self.shared.missing.forget(order.id);
        if self.resyncing.is_some() {
            self.ended.insert(order.id);
        }
        let pair = (order.account_id, order.symbol.clone());
        self.orders.remove(&order.id);
        if let Some(ids) = self.pairs.get_mut(&pair) {
            ids.remove(&order.id);
            if ids.is_empty() {
                self.pairs.remove(&pair);
            }
        }
        self.dirty.insert(pair);
    }

    /// Starts everything that can be started now.
    fn step(&mut self) {
        let now = self.shared.environment.now();
        if !self.shared.is_leader() {
            return;
        }
        if self.resyncing.is_none() && self.resync_at <= now {
            self.resyncing = Some(now);
            self.ended.clear();
            let shared = Arc::clone(&self.shared);
            self.under_way.spawn(async move { Done::Resynced(live::all(&shared.store).await) });
        }
        self.journal_learned();
        // What is in doubt is not known before the first reading, and comes before anything new.
        if !self.attempting && self.shared.has_recovered() {
            self.start_attempts(now);
        }
    }

    /// Journals what was learned, as one transaction at a time.
    fn journal_learned(&mut self) {
        if self.learning || self.learned.is_empty() {
            return;
        }
        self.learning = true;
        let learned = std::mem::take(&mut self.learned);
        let told = self.told(&learned);
        let shared = Arc::clone(&self.shared);
        self.under_way.spawn(async move {
            let ids: Vec<_> = learned.iter().map(|(id, _)| *id).collect();
            let inner = Arc::clone(&shared);
            let written = shared
                .journal
                .write(Urgency::Soon, async move |tx, effects| {
                    attempt::learn(tx, &inner, &learned, None, effects).await
                })
                .await;
            Done::Learned(ids, told, written)
        });
    }

    fn start_attempts(&mut self, now: Timestamp) {
        let dirty = std::mem::take(&mut self.dirty);
        // Nothing new goes out for an account while an attempt from before the start is open, nor
        // before what it holds was compared with its broker (C14).
        let mut recovering = self.shared.unreconciled();
        let in_doubt = self.orders.values().filter(|tracked| tracked.recovered);
        recovering.extend(in_doubt.map(|tracked| tracked.order.account_id));
        let mut wanted = Vec::new();
        for pair in dirty {
            if wanted.len() >= ATTEMPTS_MAX {
                self.dirty.insert(pair);
                continue;
            }
            self.look_at(&pair, &recovering, now, &mut wanted);
        }
        if wanted.is_empty() {
            return;
        }
        for order in &wanted {
            if let Some(tracked) = self.orders.get_mut(&order.id) {
                tracked.busy = true;
            }
        }
        self.attempting = true;
        let shared = Arc::clone(&self.shared);
        self.under_way.spawn(async move {
            let (inner, asked) = (Arc::clone(&shared), wanted.clone());
            let attempts = shared
                .journal
                .write(Urgency::Soon, async move |tx, effects| {
                    attempt::begin(tx, &inner, &asked, effects).await
                })
                .await;
            Done::Attempted(wanted, attempts)
        });
    }

    /// Decides what of a pair can be done now: cancels and questions at once, attempts into
    /// `wanted`.
    fn look_at(
        &mut self,
        pair: &Pair,
        recovering: &BTreeSet<Id<id::Account>>,
        now: Timestamp,
        wanted: &mut Vec<Order>,
    ) {
        let Some(ids) = self.pairs.get(pair).cloned() else { return };
        for id in &ids {
            self.tell_slow_exit(*id, now);
        }
        let account_recovers = recovering.contains(&pair.0);
        let (mut exit_live, mut entry_lost, mut entries_under_way) = (false, false, 0_usize);
        let mut exit_under_way = false;
        for id in &ids {
            let Some(tracked) = self.orders.get(id) else { continue };
            let order = &tracked.order;
            // A leg of a bracket rests: nothing waits for its end, and it waits for nothing. Nor does
            // anything wait for another exit that may work for days.
            if order.leg.is_some() || is_resting_exit(order) {
                continue;
            }
            let is_exit = order.purpose == Purpose::Exit;
            let waiting = order.state == OrderState::Accepted || tracked.never_left;
            exit_live |= is_exit;
            exit_under_way |= is_exit && (tracked.busy || !waiting);
            if !is_exit {
                entries_under_way = entries_under_way.saturating_add(usize::from(tracked.busy));
                entry_lost |= order.state == OrderState::Unknown || tracked.recovered;
            }
        }
        for id in ids {
            let Some(tracked) = self.orders.get(&id) else { continue };
            if tracked.busy || tracked.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            let order = tracked.order.clone();
            let waiting = order.state == OrderState::Accepted || tracked.never_left;
            if !waiting {
                let may_go = change::may_go(&order, account_recovers);
                if may_go && self.book(&order, Call::Replace) {
                    wanted.push(order);
                } else if !may_go {
                    self.look_after(&order, now);
                }
                continue;
            }
            let overdue = order.send_by.is_some_and(|by| by < now) || order.cancel_requested;
            let is_leg = order.leg.is_some();
            let may_go = match order.purpose {
                Purpose::Exit => {
                    let waits = if is_leg { self.waits_for_stop(&order) } else { exit_under_way };
                    !waits
                        && !self.awaits_fills(&order, now)
                        && !attempt::waits_for_open(&self.shared, &order)
                }
                Purpose::Entry => {
                    self.shared.has_quotes_of(order.account_id)
                        && !exit_live
                        && !entry_lost
                        && !account_recovers
                        && entries_under_way < ENTRIES_UNDER_WAY_MAX
                }
            };
            if overdue || may_go && self.book(&order, Call::Place) {
                exit_under_way |= order.purpose == Purpose::Exit && !is_leg;
                entries_under_way =
                    entries_under_way.saturating_add(usize::from(order.purpose == Purpose::Entry));
                wanted.push(order);
            }
        }
    }

    fn finish(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(error = %error, "a dispatch step was lost");
                self.resyncing = None;
                self.resync_at = Timestamp::default();
                return;
            }
        };
        match done {
            Done::Attempted(wanted, attempts) => self.attempted(&wanted, attempts),
            Done::KeptBack(id, learned) => self.kept_back(id, learned),
            Done::Called(id, placement) => self.called(id, placement),
            Done::Canceled(id, cancellation) => self.canceled(id, &cancellation),
            Done::Replaced(id, until, replacement) => self.replaced(id, until, replacement),
            Done::Found(id, asked_at, lookup) => self.found(id, asked_at, lookup),
            Done::NotAsked(id) => self.not_asked(id),
            Done::Learned(ids, told, written) => {
                self.learning = false;
                for id in ids {
                    self.release(id, None);
                }
                match written {
                    // They need not be looked up again when they are polled.
                    Ok(()) => {
                        for (account, fill) in told {
                            self.shared.seen.add(account, &fill);
                        }
                    }
                    Err(_) => self.resync_at = Timestamp::default(),
                }
            }
            Done::Resynced(read) => self.resynced(read),
            Done::Told => {}
        }
    }

    fn release(&mut self, id: Id<id::Order>, retry_at: Option<Timestamp>) {
        if let Some(tracked) = self.orders.get_mut(&id) {
            (tracked.busy, tracked.booking) = (false, None);
            tracked.retry_at = retry_at.or(tracked.retry_at);
            self.dirty.insert((tracked.order.account_id, tracked.order.symbol.clone()));
        }
    }

    fn attempted(&mut self, wanted: &[Order], attempts: Result<Vec<Attempt>, NotWritten>) {
        self.attempting = false;
        let now = self.shared.environment.now();
        let attempts = match attempts {
            Ok(made) => made,
            Err(error) => {
                // Whether the attempts are journaled is not known; nothing was sent.
                tracing::error!(error = %error.0, "attempts were not journaled");
                for order in wanted {
                    if let Some(tracked) = self.orders.get_mut(&order.id) {
                        // What was wanted of one that has left is a change of it.
                        tracked.never_left = !has_left(&tracked.order);
                    }
                    self.release(order.id, Some(now.plus(RETRY_AFTER)));
                }
                return;
            }
        };
        for (order, attempt) in wanted.iter().zip(attempts) {
            match attempt {
                Attempt::Send(order) => self.call(*order, now),
                Attempt::Change(order) => self.call_change(*order, now),
                Attempt::Hold => self.release(order.id, Some(now.plus(TICK))),
                // It is not to be sent, whatever was believed; if it lives, the next reading says so.
                Attempt::Ended => self.forget(order),
            }
        }
    }

    /// Calls the broker, unless a halt has come since the attempt was journaled (C11).
    fn call(&mut self, order: Order, now: Timestamp) {
        let booking = self.booking(order.id);
        let target = self.link(&order);
        let Some(tracked) = self.orders.get_mut(&order.id) else { return };
        tracked.order = order.clone();
        let Some((link, account)) = target else {
            tracked.never_left = true;
            self.release(order.id, Some(now.plus(RETRY_AFTER)));
            return;
        };
        tracked.never_left = false;
        let id = order.id;
        let request = PlaceOrder {
            account: BrokerAccount::new(&account.broker_account),
            client_order_id: order.client_order_id(),
            reduce_only: ReduceOnly::from(order.purpose),
            expires_at: order.attempt_until.unwrap_or(now),
            symbol: order.symbol.clone(),
            side: order.side,
            order_type: order.order_type,
            quantity: order.quantity,
            limit_price: order.limit_price,
            stop_price: order.stop_price,
            time_in_force: order.time_in_force,
        };
        let (shared, reading) = (Arc::clone(&self.shared), Arc::clone(&self.reading));
        self.under_way.spawn(async move {
            let read = reading.again(&shared, order.attempt_until).await;
            let subject = attempt::subject_of(&shared, &order);
            let stops = |halts: &[Halt]| halt::stopping(halts, order.purpose, &subject).is_some();
            match gate::look(&shared, read, stops) {
                Look::Free => {}
                Look::Halted => return Done::KeptBack(id, Learned::NotSentHalted),
                Look::Unread(why) => return Done::Called(id, Placement::NotSent { why }),
            }
            shared.counters.sent(shared.environment.now());
            Done::Called(id, link.place_booked(booking, request).await)
        });
    }

    fn called(&mut self, id: Id<id::Order>, placement: Placement) {
        if let Placement::NotSent { why } = &placement {
            tracing::warn!(order.id = %id, why, "an order could not leave");
            if let Some(tracked) = self.orders.get_mut(&id) {
                tracked.never_left = true;
            }
            let now = self.shared.environment.now();
            self.release(id, Some(now.plus(RETRY_AFTER)));
            return;
        }
        self.learned.push((id, Learned::Placed(placement)));
    }

    /// The fills that came with answers.
    fn told(&self, learned: &[(Id<id::Order>, Learned)]) -> Vec<(Id<id::Account>, String)> {
        let mut told = Vec::new();
        for (id, what) in learned {
            if let Learned::Placed(Placement::Accepted { fills, .. }) = what
                && let Some(tracked) = self.orders.get(id)
            {
                let account = tracked.order.account_id;
                told.extend(fills.iter().map(|fill| (account, fill.broker_fill_id.clone())));
            }
        }
        told
    }

    fn resynced(&mut self, read: Result<Vec<Order>, tradewarden_store::Error>) {
        let since = self.resyncing.take().unwrap_or_default();
        let now = self.shared.environment.now();
        self.resync_at = now.plus(RESYNC_EVERY);
        match read {
            Ok(mut live) => {
                let first = !self.shared.has_recovered();
                live.retain(|order| !self.ended.contains(&order.id));
                self.forget_all_but(&live, since);
                if first {
                    self.recovered_at = now;
                }
                for order in live {
                    self.track(order, first);
                }
                self.shared.set_recovered();
            }
            Err(error) => tracing::error!(error = %error, "live orders could not be read"),
        }
        self.watch_links();
        self.shared.set_watched(
            self.orders
                .values()
                .filter(|tracked| tracked.order.state != OrderState::Accepted)
                .map(|tracked| tracked.order.account_id),
        );
    }
}

impl Dispatcher {
    /// Forgets what is not live, though nobody was heard to say so: an exit would wait for its end for ever.
    /// What changed a moment before the reading may have been committed after it.
    fn forget_all_but(&mut self, live: &[Order], read_at: Timestamp) {
        let live: BTreeSet<_> = live.iter().map(|order| order.id).collect();
        let is_gone = |tracked: &&Tracked| {
            let changed_at = tracked.order.updated_at;
            // A time far ahead was written before the clock was set back.
            let is_old = changed_at.plus(COMMITTED_WITHIN) < read_at
                || read_at.plus(COMMITTED_WITHIN) < changed_at;
            is_old && !live.contains(&tracked.order.id)
        };
        let gone = self.orders.values().filter(is_gone);
        for order in gone.map(|tracked| tracked.order.clone()).collect::<Vec<_>>() {
            self.forget(&order);
        }
    }
}

/// Whether the broker has it, or may have it.
const fn has_left(order: &Order) -> bool {
    !matches!(order.state, OrderState::Accepted | OrderState::Sending)
}

/// Whether an exit works at a price. One that was asked back is waited for by what takes its place.
fn is_resting_exit(order: &Order) -> bool {
    let works = matches!(order.state, OrderState::Working | OrderState::PartiallyFilled);
    order.purpose == Purpose::Exit && works && order.order_type != OrderType::Market
}

/// Everything by which some venue wants the order named.
pub(crate) fn name_of(order: &Order, account: &Account) -> OrderName {
    OrderName {
        account: BrokerAccount::new(&account.broker_account),
        client_order_id: order.client_order_id(),
        symbol: order.symbol.clone(),
        broker_order_id: order.broker_order_id.clone(),
    }
}
