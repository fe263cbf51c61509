//! A link to a broker: every call of it, whoever makes it, counts against one budget (S18).
//!
//! Of each window of the budget a reserve is kept for cancels, exits and questions. What adds risk asks
//! for room before its attempt is journaled, and waits in our book as long as there is none; what may wait
//! at the link is the rest. A venue that asks not to be called for a while is not called.

mod meter;

pub(crate) use self::meter::Class;

use self::meter::Meter;
use crate::Engine;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tradewarden_broker::port::{
    AccountState, AllCanceled, Answer, Broker, BrokerAccount, BrokerOrder, BrokerPosition, Call,
    CallWindow, Cancellation, Capabilities, Execution, Introspection, Lookup, OrderName, Page,
    PlaceOrder, Placement, Quote, ReduceOnly, ReplaceOrder, Replacement, Unheard,
};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::time::{Clock, Timestamp};

/// A cancel waits so long for room, and is asked for again.
const CANCEL_WAITS: Duration = Duration::from_mins(1);
/// A question about an order in doubt: while it waits, the order cannot be canceled.
const QUESTION_WAITS: Duration = Duration::from_millis(500);
/// What is read.
const READING_WAITS: Duration = Duration::from_secs(10);
/// Calls of one kind that wait for room; more than orders can be canceled at a time.
const WAITING_MAX: usize = 65_536;
const NO_ROOM: &str = "the broker's budget of calls has no room for it now";

/// How much brokers let themselves be called, as far as the configuration says.
#[derive(Debug, Clone, Default)]
pub struct CallLimits {
    /// More windows by kind of broker. They hold besides those that the adapter knows, so they only lower.
    pub windows: BTreeMap<String, Vec<CallWindow>>,
    /// How many nodes ask the same brokers; 0 is one.
    pub nodes: u32,
}

impl Engine {
    /// What is left of the narrowest window of each broker's budget, the reserve included; without those
    /// of which no limit is known.
    pub fn calls_left(&self) -> Vec<(&str, u64)> {
        let links = self.parts.links.iter();
        links.filter_map(|(kind, link)| Some((kind.as_str(), link.left()?))).collect()
    }
}

/// See the module.
pub(crate) struct Link {
    inner: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    meter: Mutex<Meter>,
    cancels: Line,
    questions: Line,
    routine: Line,
    open: Mutex<Open>,
}

/// Those who wait come in their order: one at a time looks for room.
struct Line {
    places: Semaphore,
    turn: Semaphore,
}

impl Line {
    const fn new() -> Self {
        Self { places: Semaphore::const_new(WAITING_MAX), turn: Semaphore::const_new(1) }
    }
}

/// What may have to be canceled or closed.
#[derive(Default)]
struct Open {
    /// Orders that work at the broker.
    orders: u64,
    /// Positions by account, as they were last heard.
    positions: BTreeMap<BrokerAccount, u64>,
}

/// Room for one call that is about to be made; given back when it is not.
pub(crate) struct Booking {
    link: Arc<Link>,
    weight: u64,
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.link.meter().unbook(self.weight);
    }
}

/// A call that is under way.
struct UnderWay<'l> {
    link: &'l Link,
    class: Class,
    weight: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let link = self.link;
        let now = link.clock.now();
        let until = link.inner.limited_until();
        let mut meter = link.meter();
        meter.end(self.class, self.weight, now);
        let is_news = until.is_some_and(|until| meter.limit(until, now));
        drop(meter);
        if is_news {
            tracing::warn!(until = ?until, "the broker asks not to be called");
        }
    }
}

impl Link {
    /// A link that holds these windows besides those of the adapter, and shares them with the other nodes.
    pub(crate) fn new(
        inner: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        lowered: &[CallWindow],
        nodes: u32,
    ) -> Self {
        let windows = inner.capabilities().budget.windows.iter().chain(lowered).copied();
        let meter = Mutex::new(Meter::new(windows, nodes));
        let (cancels, questions, routine) = (Line::new(), Line::new(), Line::new());
        Self { inner, clock, meter, cancels, questions, routine, open: Mutex::default() }
    }

    /// Somebody else may have used the budget until now: a process before this one, or the node that leads.
    pub(crate) fn assume_spent(&self) {
        self.meter().assume_spent(self.clock.now());
    }

    /// What the narrowest window still takes; `None` where nothing is limited.
    pub(crate) fn left(&self) -> Option<u64> {
        self.meter().left(self.clock.now())
    }

    /// How far two looks at a working order are apart at least, so that all get their turn.
    pub(crate) fn glances_every(&self) -> Duration {
        let orders = self.open().orders;
        self.meter().rounds_every(orders.saturating_mul(self.weight(Call::Find)))
    }

    /// Sets room aside for a call, if there is any for its class.
    pub(crate) fn book(self: &Arc<Self>, call: Call, class: Class) -> Option<Booking> {
        let weight = self.weight(call);
        let now = self.clock.now();
        let mut meter = self.meter();
        meter.fits(class, weight, now).then(|| meter.book(weight))?;
        drop(meter);
        Some(Booking { link: Arc::clone(self), weight })
    }

    /// Whether a call of this class would find room now.
    pub(crate) fn has_room(&self, call: Call, class: Class) -> bool {
        self.meter().fits(class, self.weight(call), self.clock.now())
    }

    /// Says how many orders work at the broker; those that are placed from now on come to it.
    pub(crate) fn watch(&self, orders: u64) {
        self.open().orders = orders;
        self.guard();
    }

    /// The least that is reserved: the calls that cancel what works and close what is held.
    fn guard(&self) {
        let open = self.open();
        let held = open.positions.values().fold(0_u64, |sum, held| sum.saturating_add(*held));
        let cancels = open.orders.saturating_mul(self.weight(Call::Cancel));
        drop(open);
        let closes = held.saturating_mul(self.weight(Call::Place));
        self.meter().guard(cancels.saturating_add(closes));
    }

    fn weight(&self, call: Call) -> u64 {
        u64::from(self.inner.capabilities().budget.weights.of(call))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_begin(&self, call: Call, class: Class) -> Option<UnderWay<'_>> {
        let weight = self.weight(call);
        let now = self.clock.now();
        let mut meter = self.meter();
        meter.fits(class, weight, now).then(|| meter.begin(class, weight))?;
        drop(meter);
        Some(UnderWay { link: self, class, weight })
    }

    /// A call for which room was booked begins, unless the venue has asked for silence since; without a
    /// booking it begins if there is room.
    fn begin_booked(
        &self,
        booking: Option<Booking>,
        call: Call,
        class: Class,
    ) -> Option<UnderWay<'_>> {
        let Some(booking) = booking else { return self.try_begin(call, class) };
        let weight = booking.weight;
        if self.meter().is_limited(self.clock.now()) {
            return None;
        }
        self.meter().begin(class, weight);
        drop(booking);
        Some(UnderWay { link: self, class, weight })
    }

    /// Waits for room, at most so long.
    async fn begin(&self, call: Call, class: Class, most: Duration) -> Option<UnderWay<'_>> {
        if let Some(begun) = self.try_begin(call, class) {
            return Some(begun);
        }
        let line = match class {
            Class::Cancel => &self.cancels,
            Class::Guard => &self.questions,
            Class::Routine | Class::Entry => &self.routine,
        };
        let _place = line.places.try_acquire().ok()?;
        let _waits = (class == Class::Cancel).then(|| WaitingCancel::new(self, call));
        tokio::time::timeout(most, async {
            let _turn = line.turn.acquire().await.ok()?;
            loop {
                if let Some(begun) = self.try_begin(call, class) {
                    return Some(begun);
                }
                let wait = self.meter().next_look(self.clock.now());
                tokio::time::sleep(wait).await;
            }
        })
        .await
        .ok()?
    }

    /// [`Broker::place`], with the room that was booked for it. Without room nothing is sent.
    pub(crate) async fn place_booked(
        &self,
        booking: Option<Booking>,
        order: PlaceOrder,
    ) -> Placement {
        let class = class_of(order.reduce_only);
        let Some(_under_way) = self.begin_booked(booking, Call::Place, class) else {
            return Placement::NotSent { why: NO_ROOM.to_owned() };
        };
        self.opens();
        self.inner.place(order).await
    }

    /// [`Broker::replace`], with the room that was booked for it.
    pub(crate) async fn replace_booked(
        &self,
        booking: Option<Booking>,
        change: ReplaceOrder,
    ) -> Replacement {
        let Some(_under_way) = self.begin_booked(booking, Call::Replace, Class::Guard) else {
            return Replacement::Unknown { why: NO_ROOM.to_owned() };
        };
        self.inner.replace(change).await
    }

    /// One more order works at the broker.
    fn opens(&self) {
        let mut open = self.open();
        open.orders = open.orders.saturating_add(1);
        drop(open);
        self.guard();
    }

    /// [`Broker::positions`], as they are asked for again and again.
    pub(crate) async fn positions_routinely(
        &self,
        account: BrokerAccount,
    ) -> Result<Vec<BrokerPosition>, Unheard> {
        self.read_positions(account, Class::Routine).await
    }

    async fn read_positions(
        &self,
        account: BrokerAccount,
        class: Class,
    ) -> Result<Vec<BrokerPosition>, Unheard> {
        let answer = self.inner.positions(account.clone());
        let heard = self.read((Call::Positions, class), answer).await?;
        let count = u64::try_from(heard.len()).unwrap_or(u64::MAX);
        self.open().positions.insert(account, count);
        self.guard();
        Ok(heard)
    }

    /// [`Broker::cancel`]; `None` where there was no room for it in time.
    pub(crate) async fn take_back(&self, order: OrderName) -> Option<Cancellation> {
        let _under_way = self.begin(Call::Cancel, Class::Cancel, CANCEL_WAITS).await?;
        Some(self.inner.cancel(order).await)
    }

    /// [`Broker::find`]; `None` where there was no room for it. Of an order that nobody doubts it is asked
    /// only if there is room at once.
    pub(crate) async fn ask(&self, order: OrderName, class: Class) -> Option<Lookup> {
        let _under_way = match class {
            Class::Routine => self.try_begin(Call::Find, class)?,
            _ => self.begin(Call::Find, class, QUESTION_WAITS).await?,
        };
        Some(self.inner.find(order).await)
    }

    async fn read<T>(
        &self,
        (call, class): (Call, Class),
        answer: Answer<'_, Result<T, Unheard>>,
    ) -> Result<T, Unheard> {
        let Some(_under_way) = self.begin(call, class, READING_WAITS).await else {
            return Err(Unheard { why: NO_ROOM.to_owned() });
        };
        answer.await
    }
}

/// A cancel that waits for room: nothing else takes it meanwhile.
struct WaitingCancel<'l> {
    link: &'l Link,
    weight: u64,
}

impl<'l> WaitingCancel<'l> {
    fn new(link: &'l Link, call: Call) -> Self {
        let weight = link.weight(call);
        link.meter().wait(weight);
        Self { link, weight }
    }
}

impl Drop for WaitingCancel<'_> {
    fn drop(&mut self) {
        self.link.meter().waited(self.weight);
    }
}

const fn class_of(reduce_only: ReduceOnly) -> Class {
    match reduce_only {
        ReduceOnly::Yes => Class::Guard,
        ReduceOnly::No => Class::Entry,
    }
}

impl Broker for Link {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn limited_until(&self) -> Option<Timestamp> {
        self.inner.limited_until()
    }

    fn place(&self, order: PlaceOrder) -> Answer<'_, Placement> {
        Box::pin(self.place_booked(None, order))
    }

    fn cancel(&self, order: OrderName) -> Answer<'_, Cancellation> {
        Box::pin(async move {
            let answer = self.take_back(order).await;
            answer.unwrap_or_else(|| Cancellation::Unknown { why: NO_ROOM.to_owned() })
        })
    }

    fn cancel_all(
        &self,
        account: BrokerAccount,
        symbol: Option<Symbol>,
    ) -> Answer<'_, AllCanceled> {
        Box::pin(async move {
            let begun = self.begin(Call::CancelAll, Class::Cancel, CANCEL_WAITS).await;
            let Some(_under_way) = begun else {
                return AllCanceled::Unknown { why: NO_ROOM.to_owned() };
            };
            self.inner.cancel_all(account, symbol).await
        })
    }

    fn replace(&self, change: ReplaceOrder) -> Answer<'_, Replacement> {
        Box::pin(self.replace_booked(None, change))
    }

    fn find(&self, order: OrderName) -> Answer<'_, Lookup> {
        Box::pin(async move {
            let heard = self.ask(order, Class::Guard).await;
            heard.unwrap_or_else(|| Lookup::Unheard { why: NO_ROOM.to_owned() })
        })
    }

    fn open_orders(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<BrokerOrder>, Unheard>> {
        Box::pin(self.read((Call::OpenOrders, Class::Guard), self.inner.open_orders(account)))
    }

    fn fills_since(
        &self,
        account: BrokerAccount,
        cursor: Option<String>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Execution>, Unheard>> {
        let answer = self.inner.fills_since(account, cursor, limit);
        Box::pin(self.read((Call::FillsSince, Class::Routine), answer))
    }

    fn positions(
        &self,
        account: BrokerAccount,
    ) -> Answer<'_, Result<Vec<BrokerPosition>, Unheard>> {
        Box::pin(self.read_positions(account, Class::Guard))
    }

    fn account(&self, account: BrokerAccount) -> Answer<'_, Result<AccountState, Unheard>> {
        Box::pin(self.read((Call::Account, Class::Routine), self.inner.account(account)))
    }

    fn instruments(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<Instrument>, Unheard>> {
        Box::pin(self.read((Call::Instruments, Class::Routine), self.inner.instruments(account)))
    }

    fn quote(&self, account: BrokerAccount, symbol: Symbol) -> Answer<'_, Result<Quote, Unheard>> {
        Box::pin(self.read((Call::Quote, Class::Routine), self.inner.quote(account, symbol)))
    }

    fn introspect(&self) -> Answer<'_, Result<Introspection, Unheard>> {
        Box::pin(self.read((Call::Introspect, Class::Routine), self.inner.introspect()))
    }
}
