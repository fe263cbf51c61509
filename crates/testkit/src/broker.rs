//! A broker in the test's hand: it does exactly what the script says, at simulated times, and goes
//! on while the gateway is dead.
//!
//! By default it is the least helpful venue that the port allows: it takes a client order id twice,
//! ignores `reduce_only`, and counts what it was sent.

mod script;
mod world;

pub use script::{
    Call, Chaos, Fault, FillPlan, OrderPlan, Record, Report, Sent, SentChange, Venue,
};
pub use world::{Holding, Violation};

use crate::clock::SimClock;
use crate::life::{CallFate, Death, Life};
use crate::randomness::SplitMix64;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tradewarden_broker::port::{
    AccountState, AllCanceled, Answer, Broker, BrokerAccount, BrokerOrder, BrokerPosition,
    Cancellation, Capabilities, Capability, ClientOrderIds, Environment, Execution, Introspection,
    Lookup, MarketState, OrderName, Page, PlaceOrder, Placement, Quote, ReplaceOrder, Replacement,
    Unheard, YesNo,
};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{OrderType, TimeInForce};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::PaperDesk;
use world::World;

const NEVER_HEARD: Duration = Duration::from_millis(300);

/// See the module. A clone speaks for the same life of the gateway.
#[derive(Clone)]
pub struct ScriptedBroker {
    world: Arc<Mutex<World>>,
    clock: SimClock,
    capabilities: Arc<Capabilities>,
    life: Arc<Life>,
}

impl ScriptedBroker {
    /// A venue with ES, BTCUSD and AAPL, all open.
    ///
    /// # Panics
    ///
    /// Never: its numbers are right.
    #[must_use]
    pub fn new(clock: SimClock, venue: Venue) -> Self {
        let mut world = World::new(venue);
        for (symbol, tick, lot, point_value, price, calendar) in [
            ("ES", "0.25", "1", "50", "5000", "none"),
            ("BTCUSD", "0.01", "0.0001", "1", "60000", "always"),
            ("AAPL", "0.01", "1", "1", "200", "us_equities"),
        ] {
            let symbol: Symbol = symbol.parse().unwrap();
            let lot: Quantity = lot.parse().unwrap();
            let instrument = Instrument {
                symbol: symbol.clone(),
                tick: tick.parse().unwrap(),
                lot,
                quantity_min: lot,
                point_value: point_value.parse().unwrap(),
                currency: "USD".to_owned(),
                calendar: calendar.parse().ok(),
            };
            world.instruments.insert(symbol.clone(), instrument);
            world.prices.insert(symbol, (price.parse().unwrap(), MarketState::Open));
        }
        let capabilities = Capabilities {
            broker: "paper",
            environment: venue.environment,
            place: Capability::Native,
            cancel: Capability::Native,
            cancel_all: Capability::Native,
            replace: venue.replace,
            find: Capability::Native,
            open_orders: Capability::Native,
            fills_since: Capability::Native,
            positions: Capability::Native,
            account: Capability::Native,
            instruments: Capability::Native,
            quote: Capability::Native,
            introspect: Capability::Native,
            reduce_only: venue.reduce_only,
            one_cancels_other: Capability::Emulated,
            place_expiry: venue.place_expiry,
            find_is_authoritative_after_expiry: venue.find_is_authoritative_after_expiry,
            find_settles_after: venue.find_settles_after,
            client_order_id_max: 64,
            client_order_ids: ClientOrderIds::NotChecked,
            place_is_serial: false,
            budget: venue.budget,
            order_types: OrderType::ALL,
            times_in_force: TimeInForce::ALL,
        };
        let life = Arc::new(Life::new(0, Death::Never));
        Self {
            world: Arc::new(Mutex::new(world)),
            clock,
            capabilities: Arc::new(capabilities),
            life,
        }
    }

    /// The same broker, as another life of the gateway speaks to it.
    #[must_use]
    pub fn for_life(&self, life: Arc<Life>) -> Self {
        Self { life, ..self.clone() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.catch_up(self.clock.now());
        world
    }

    /// The next calls of this kind meet these faults, in order.
    pub fn next_faults(&self, call: Call, faults: &[Fault]) {
        self.world().faults.entry(call).or_default().extend(faults);
    }

    /// The next placements meet these plans, in order.
    pub fn next_plans(&self, plans: &[OrderPlan]) {
        self.world().plans.extend(plans);
    }

    /// What becomes of orders for which nothing else is said.
    pub fn usual_plan(&self, plan: impl Into<OrderPlan>) {
        self.world().plan = plan.into();
    }

    /// The sentence with which placements are rejected from now on.
    pub fn reject_because(&self, reason: &str) {
        reason.clone_into(&mut self.world().rejection);
    }

    /// Draws faults and plans from a seed; `None` ends that.
    pub fn chaos(&self, chaos: Option<Chaos>, seed: u64) {
        let mut world = self.world();
        (world.chaos, world.random) = (chaos, SplitMix64::new(seed));
        if chaos.is_none() {
            world.faults.clear();
            world.plans.clear();
            world.away_until = Timestamp::default();
        }
    }

    /// What was to rest fills from now on as soon as its price is there.
    pub fn end_rests(&self) {
        let now = self.clock.now();
        self.world().end_rests(now);
    }

    /// What rests fills now.
    pub fn let_all_fill(&self) {
        let now = self.clock.now();
        self.world().let_all_fill(now);
    }

    /// The broker ends all that works: it is shown as rejected, with what has filled of it.
    pub fn reject_what_works(&self) {
        let now = self.clock.now();
        self.world().reject_what_works(now);
    }

    /// From now on nothing is heard of what an account holds: the question is not even refused.
    pub fn hang(&self, account: &str) {
        self.hang_on(Call::Positions, account);
    }

    /// The same of this call: of `positions`, `account` or `find`.
    pub fn hang_on(&self, call: Call, account: &str) {
        self.world().hangs.insert((call, account.to_owned()));
    }

    fn hangs(&self, call: Call, account: &BrokerAccount) -> bool {
        self.world().hangs.contains(&(call, account.as_str().to_owned()))
    }

    /// From now on whoever asks what an account holds meets a fault of the adapter's own.
    pub fn break_down(&self) {
        self.world().is_broken = true;
    }

    /// Reports so many fills of one lot that no order of the gateway made.
    ///
    /// # Panics
    ///
    /// When the symbol is none.
    pub fn report_foreign(&self, account: &str, symbol: &str, count: usize) {
        let now = self.clock.now();
        self.world().report_foreign(account, &symbol.parse().unwrap(), count, now);
    }

    /// Lists one more instrument, with the rules and the price of another.
    ///
    /// # Panics
    ///
    /// When there is no such other.
    pub fn list_like(&self, other: &str, symbol: &str) {
        let mut world = self.world();
        let (other, symbol): (Symbol, Symbol) = (other.parse().unwrap(), symbol.parse().unwrap());
        let instrument = Instrument { symbol: symbol.clone(), ..world.instruments[&other].clone() };
        let price = world.prices[&other];
        world.instruments.insert(symbol.clone(), instrument);
        world.prices.insert(symbol, price);
    }

    /// Takes orders of an instrument from this quantity on.
    ///
    /// # Panics
    ///
    /// When there is no such instrument.
    pub fn take_from(&self, symbol: &str, quantity_min: &str) {
        let symbol: Symbol = symbol.parse().unwrap();
        let mut world = self.world();
        let instrument = world.instruments.get_mut(&symbol).unwrap();
        instrument.quantity_min = quantity_min.parse().unwrap();
    }

    /// Sets a price and opens or closes the market.
    ///
    /// # Panics
    ///
    /// When there is no such instrument.
    pub fn set_market(&self, symbol: &str, price: Option<Price>, market: MarketState) {
        let now = self.clock.now();
        self.world().set_price(&symbol.parse().unwrap(), price, market, now).unwrap();
    }

    /// From now on it says nothing about the price of an instrument.
    ///
    /// # Panics
    ///
    /// When the symbol is none.
    pub fn fall_silent(&self, symbol: &str) {
        self.world().silent.insert(symbol.parse().unwrap());
    }

    /// Another hand changes a position.
    ///
    /// # Panics
    ///
    /// When the symbol is none.
    pub fn move_by_hand(&self, account: &str, symbol: &str, by: Quantity) {
        let mut world = self.world();
        let account = world.accounts.entry(account.to_owned()).or_default();
        let holding = account.holdings.entry(symbol.parse().unwrap()).or_default();
        holding.hand = holding.hand.saturating_add(by.units());
    }

    /// What every account is worth from now on, by its word.
    pub fn say_equity(&self, equity: Money) {
        for account in self.world().accounts.values_mut() {
            account.cash = equity;
        }
    }

    /// What an account holds.
    pub fn holding(&self, account: &str, symbol: &Symbol) -> Holding {
        self.world().holding(account, symbol)
    }

    /// Placements that left the gateway, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.world().sent.clone()
    }

    /// Changes that left the gateway, oldest first.
    pub fn changes(&self) -> Vec<SentChange> {
        self.world().changes.clone()
    }

    /// Calls that were refused because there were too many.
    pub fn refused(&self) -> u64 {
        self.world().refused
    }

    /// It asks not to be called for so long, and refuses whatever comes.
    pub fn limit_for(&self, span: Duration) {
        let until = self.clock.now().plus(span);
        self.world().limited_until = until;
    }

    /// Calls that were made, oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.world().records.clone()
    }

    /// Names that were sent more than once or became more than one order.
    pub fn doubled(&self) -> BTreeSet<String> {
        self.world().doubled()
    }

    /// Exits that increased or flipped what the gateway holds.
    pub fn violations(&self) -> Vec<Violation> {
        self.world().violations.clone()
    }

    /// Exits that increased or flipped all that is held where another hand holds a part of it.
    pub fn grown(&self) -> Vec<Violation> {
        self.world().grown.clone()
    }

    /// Whether the venue itself keeps exits from going past flat.
    pub fn reduces_by_itself(&self) -> bool {
        self.capabilities.reduce_only == Capability::Native
    }

    /// All orders as the broker has them.
    pub fn orders(&self) -> Vec<BrokerOrder> {
        self.world().orders.iter().map(|order| order.view.clone()).collect()
    }

    /// Whether nothing more will happen by itself.
    pub fn is_quiet(&self) -> bool {
        self.world().is_quiet()
    }

    /// A call begins: it may be the gateway's last, and it may meet a fault. Never returns for a
    /// gateway that is dead.
    async fn enter(&self, call: Call, client_order_id: Option<&str>) -> Entered {
        if self.life.has_ended() {
            return pending().await;
        }
        let fate = self.life.call();
        let entered = {
            let mut world = self.world();
            world.records.push(Record {
                at: self.clock.now(),
                life: self.life.number,
                number: self.life.calls(),
                call,
                client_order_id: client_order_id.map(str::to_owned),
            });
            let fault = if world.is_too_many(call, self.clock.now()) {
                Some(Fault::Throttled)
            } else {
                world.fault(call, self.clock.now())
            };
            Entered { dies: fate == CallFate::DoneUnheard, fault, there: world.travel() }
        };
        if fate == CallFate::NotDone {
            return pending().await;
        }
        entered
    }

    /// The answer comes back, if anybody still lives to hear it.
    async fn leave<T>(&self, entered: &Entered, answer: T) -> T {
        if entered.dies {
            self.life.end();
        }
        tokio::time::sleep(entered.there).await;
        if self.life.has_ended() {
            return pending().await;
        }
        answer
    }

    async fn read<T>(
        &self,
        call: Call,
        look: impl FnOnce(&World, Timestamp) -> Result<T, Unheard>,
    ) -> Result<T, Unheard> {
        let entered = self.enter(call, None).await;
        let unheard = || Err(Unheard { why: "scripted".to_owned() });
        if entered.fault.is_some() {
            tokio::time::sleep(NEVER_HEARD).await;
            return self.leave(&entered, unheard()).await;
        }
        tokio::time::sleep(entered.there).await;
        let found = look(&self.world(), self.clock.now());
        self.leave(&entered, found).await
    }
}

/// A call on its way.
struct Entered {
    dies: bool,
    fault: Option<Fault>,
    there: Duration,
}

impl World {
    fn fault(&mut self, call: Call, now: Timestamp) -> Option<Fault> {
        let scripted = self.faults.get_mut(&call).and_then(std::collections::VecDeque::pop_front);
        let fault = scripted.or_else(|| self.drawn_fault(call));
        if let Some(Fault::Away(span)) = fault {
            self.away_until = now.plus(span);
        }
        let away = self.away_until > now && !matches!(call, Call::Desk | Call::Instruments);
        if away { Some(Fault::Away(Duration::ZERO)) } else { fault }
    }

    fn drawn_fault(&mut self, call: Call) -> Option<Fault> {
        let chaos = self.chaos?;
        let chance = match call {
            Call::Place | Call::Cancel | Call::Replace => chaos.orders,
            Call::Find | Call::FillsSince | Call::Positions | Call::Quote => chaos.reads,
            _ => 0,
        };
        if !self.random.per_mille(chance) {
            return None;
        }
        let millis = |random: &mut SplitMix64, most| Duration::from_millis(random.below(most));
        Some(match (call, self.random.below(7)) {
            (Call::Place | Call::Replace, 0) => Fault::Late(millis(&mut self.random, 2_400)),
            (Call::Replace, 1) => Fault::Rejected,
            (Call::Place, 1) => Fault::ToldTwice,
            (_, 0..=2) => Fault::LostAfter,
            (_, 6) => Fault::Away(millis(&mut self.random, 1_500)),
            (_, 5) => Fault::Throttled,
            _ => Fault::LostBefore,
        })
    }

    fn next_plan(&mut self) -> OrderPlan {
        if let Some(plan) = self.plans.pop_front() {
            return plan;
        }
        if self.chaos.is_none_or(|chaos| !self.random.per_mille(chaos.plans)) {
            return self.plan;
        }
        let span = Duration::from_millis(self.random.below(900));
        let fill = match self.random.below(10) {
            0..=2 => FillPlan::AtOnce,
            3..=4 => FillPlan::After(span),
            5..=7 => FillPlan::InTwo(span),
            8 => FillPlan::Rests,
            _ => FillPlan::Rejected,
        };
        let report = match self.random.below(5) {
            0 => Report::Twice(span),
            1..=2 => Report::Late(span),
            _ => Report::Once,
        };
        let crosses = self.random.per_mille(400);
        let is_withheld = self.chaos.is_some_and(|chaos| chaos.withheld > 0)
            && self.random.per_mille(self.chaos.map_or(0, |chaos| chaos.withheld));
        if is_withheld {
            let report = Report::Late(Duration::from_millis(4_000 + self.random.below(21_000)));
            return OrderPlan { fill, report, crosses: false };
        }
        OrderPlan { fill, report, crosses }
    }

    fn travel(&mut self) -> Duration {
        let jitter = if self.chaos.is_some() { self.random.below(6_000) } else { 0 };
        self.venue.latency + Duration::from_micros(jitter)
    }
}

impl Broker for ScriptedBroker {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn limited_until(&self) -> Option<Timestamp> {
        Some(self.world().limited_until)
    }

    fn place(&self, order: PlaceOrder) -> Answer<'_, Placement> {
        Box::pin(async move {
            let entered = self.enter(Call::Place, Some(&order.client_order_id)).await;
            if let Some(Fault::Away(_) | Fault::Throttled) = entered.fault {
                let why = "the line is down or asked too often".to_owned();
                return self.leave(&entered, Placement::NotSent { why }).await;
            }
            let (now, expires_at) = (self.clock.now(), order.expires_at);
            let ticket = {
                let mut world = self.world();
                world.sent.push(Sent {
                    client_order_id: order.client_order_id.clone(),
                    at: now,
                    life: self.life.number,
                    order: order.clone(),
                    orders: 0,
                });
                let plan = world.next_plan();
                let arrives = match entered.fault {
                    Some(Fault::Late(span)) => Some(now.plus(span)),
                    Some(Fault::LostBefore) => None,
                    _ => Some(now.plus(entered.there)),
                };
                // A venue without expiry takes it whenever it comes; the engine has to live with
                // what its look-ups say, so it does not come after they settled.
                let latest = if world.venue.expires_natively() {
                    Timestamp::from_unix_micros(i64::MAX)
                } else {
                    expires_at.plus(world.venue.find_settles_after / 2).max(now)
                };
                arrives.map(|at| world.send(order, plan, at.min(latest)))
            };
            let lost = matches!(
                entered.fault,
                Some(Fault::LostBefore | Fault::LostAfter | Fault::Late(_))
            );
            if entered.dies {
                self.life.end();
            }
            let wait = if lost { NEVER_HEARD } else { entered.there };
            tokio::time::sleep(wait).await;
            let answer = match ticket.filter(|_| !lost) {
                Some(ticket) => {
                    self.world().answer(ticket, entered.fault == Some(Fault::ToldTwice))
                }
                None => Placement::Unknown { why: "scripted".to_owned() },
            };
            self.leave(&entered, answer).await
        })
    }

    fn cancel(&self, order: OrderName) -> Answer<'_, Cancellation> {
        Box::pin(async move {
            let entered = self.enter(Call::Cancel, Some(&order.client_order_id)).await;
            let unknown = Cancellation::Unknown { why: "scripted".to_owned() };
            let not_done = [Fault::LostBefore, Fault::Throttled];
            if entered.fault.is_some_and(|f| not_done.contains(&f) || matches!(f, Fault::Away(_))) {
                tokio::time::sleep(NEVER_HEARD).await;
                return self.leave(&entered, unknown).await;
            }
            tokio::time::sleep(entered.there).await;
            let now = self.clock.now();
            let done = self.world().cancel(&order.client_order_id, now);
            let answer = if entered.fault.is_some() { unknown } else { done };
            self.leave(&entered, answer).await
        })
    }

    fn cancel_all(
        &self,
        account: BrokerAccount,
        symbol: Option<Symbol>,
    ) -> Answer<'_, AllCanceled> {
        Box::pin(async move {
            let entered = self.enter(Call::CancelAll, None).await;
            tokio::time::sleep(entered.there).await;
            let now = self.clock.now();
            let count = {
                let mut world = self.world();
                let live: Vec<String> = world
                    .orders
                    .iter()
                    .filter(|order| order.view.state.is_live() && order.asked.account == account)
                    .filter(|order| symbol.as_ref().is_none_or(|s| *s == order.view.symbol))
                    .map(|order| order.view.client_order_id.clone())
                    .collect();
                for name in &live {
                    world.cancel(name, now);
                }
                u64::try_from(live.len()).unwrap_or(0)
            };
            self.leave(&entered, AllCanceled::Done { count }).await
        })
    }

    fn replace(&self, change: ReplaceOrder) -> Answer<'_, Replacement> {
        Box::pin(async move {
            let name = change.order.client_order_id.clone();
            let entered = self.enter(Call::Replace, Some(&name)).await;
            let unknown = Replacement::Unknown { why: "scripted".to_owned() };
            if let Some(Fault::Away(_) | Fault::Throttled) = entered.fault {
                tokio::time::sleep(NEVER_HEARD).await;
                return self.leave(&entered, unknown).await;
            }
            let now = self.clock.now();
            self.world().changes.push(SentChange { at: now, change: change.clone() });
            match entered.fault {
                Some(Fault::LostBefore) => {
                    tokio::time::sleep(NEVER_HEARD).await;
                    self.leave(&entered, unknown).await
                }
                Some(Fault::Late(span)) => {
                    self.world().change_later(change, now.plus(span));
                    tokio::time::sleep(NEVER_HEARD).await;
                    self.leave(&entered, unknown).await
                }
                Some(Fault::Rejected) => {
                    let (code, reason) = ("scripted".to_owned(), "not now".to_owned());
                    self.leave(&entered, Replacement::Rejected { code, reason }).await
                }
                fault => {
                    tokio::time::sleep(entered.there).await;
                    let done = self.world().replace(&change, self.clock.now());
                    if fault.is_some() {
                        tokio::time::sleep(NEVER_HEARD).await;
                        return self.leave(&entered, unknown).await;
                    }
                    self.leave(&entered, done).await
                }
            }
        })
    }

    fn find(&self, order: OrderName) -> Answer<'_, Lookup> {
        if self.hangs(Call::Find, &order.account) {
            return Box::pin(pending());
        }
        Box::pin(async move {
            let entered = self.enter(Call::Find, Some(&order.client_order_id)).await;
            if entered.fault.is_some() {
                tokio::time::sleep(NEVER_HEARD).await;
                let why = "scripted".to_owned();
                return self.leave(&entered, Lookup::Unheard { why }).await;
            }
            tokio::time::sleep(entered.there).await;
            let found = self.world().look_up(&order.client_order_id, self.clock.now());
            self.leave(&entered, found.map_or(Lookup::Absent, Lookup::Found)).await
        })
    }

    fn open_orders(&self, account: BrokerAccount) -> Answer<'_, Result<Vec<BrokerOrder>, Unheard>> {
        Box::pin(self.read(Call::OpenOrders, move |world, _| {
            let own = world.orders.iter().filter(|order| order.asked.account == account);
            Ok(own.filter(|o| o.view.state.is_live()).map(|o| o.view.clone()).collect())
        }))
    }

    fn fills_since(
        &self,
        account: BrokerAccount,
        cursor: Option<String>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Execution>, Unheard>> {
        Box::pin(self.read(Call::FillsSince, move |world, _| {
            let told = world.accounts.get(account.as_str()).map_or(&[][..], |a| &a.told);
            let start: usize = match &cursor {
                None => 0,
                Some(text) => text
                    .parse()
                    .map_err(|_| Unheard { why: "the cursor is none of ours".to_owned() })?,
            };
            let items: Vec<_> = told.iter().skip(start).take(limit).cloned().collect();
            let next_cursor =
                if items.is_empty() { cursor } else { Some((start + items.len()).to_string()) };
            Ok(Page { items, next_cursor })
        }))
    }

    fn positions(
        &self,
        account: BrokerAccount,
    ) -> Answer<'_, Result<Vec<BrokerPosition>, Unheard>> {
        assert!(!self.world().is_broken, "scripted");
        if self.hangs(Call::Positions, &account) {
            return Box::pin(pending());
        }
        Box::pin(self.read(Call::Positions, move |world, _| {
            let none = BTreeMap::new();
            let held = world.accounts.get(account.as_str()).map_or(&none, |a| &a.holdings);
            Ok(held
                .iter()
                .map(|(symbol, holding)| (symbol, holding.ours + holding.hand))
                .filter(|(_, units)| *units != 0)
                .map(|(symbol, units)| BrokerPosition {
                    symbol: symbol.clone(),
                    quantity: Quantity::from_units(units),
                    average_price: None,
                })
                .collect())
        }))
    }

    fn account(&self, account: BrokerAccount) -> Answer<'_, Result<AccountState, Unheard>> {
        if self.hangs(Call::Account, &account) {
            return Box::pin(pending());
        }
        Box::pin(self.read(Call::Account, move |world, now| {
            let found = world.accounts.get(account.as_str());
            let found = found.ok_or_else(|| Unheard { why: "no such account".to_owned() })?;
            let currency = found.currency.clone();
            Ok(AccountState { cash: found.cash, equity: found.cash, currency, at: now })
        }))
    }

    fn instruments(&self, _: BrokerAccount) -> Answer<'_, Result<Vec<Instrument>, Unheard>> {
        Box::pin(
            self.read(Call::Instruments, |world, _| {
                Ok(world.instruments.values().cloned().collect())
            }),
        )
    }

    fn quote(&self, _: BrokerAccount, symbol: Symbol) -> Answer<'_, Result<Quote, Unheard>> {
        Box::pin(self.read(Call::Quote, move |world, now| {
            let known = world.prices.get(&symbol).filter(|_| !world.silent.contains(&symbol));
            let (price, market) = known.ok_or_else(|| Unheard { why: "unknown".to_owned() })?;
            Ok(Quote {
                symbol,
                bid: *price,
                ask: *price,
                last: Some(*price),
                prior_close: None,
                at: now,
                market: *market,
            })
        }))
    }

    fn introspect(&self) -> Answer<'_, Result<Introspection, Unheard>> {
        Box::pin(self.read(Call::Introspect, |_, _| {
            Ok(Introspection {
                can_withdraw: YesNo::No,
                can_trade: YesNo::Yes,
                is_address_bound: YesNo::Yes,
                expires_at: None,
                environment: Environment::Paper,
            })
        }))
    }
}

impl PaperDesk for ScriptedBroker {
    fn open_account(
        &self,
        broker_account: String,
        cash: Money,
        currency: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            let entered = self.enter(Call::Desk, None).await;
            let account = world::Account { cash, currency, ..world::Account::default() };
            self.world().accounts.entry(broker_account).or_insert(account);
            self.leave(&entered, Ok(())).await
        })
    }

    fn set_price(
        &self,
        symbol: Symbol,
        price: Option<Price>,
        market: Trading,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            let entered = self.enter(Call::Desk, None).await;
            let market = match market {
                Trading::Open => MarketState::Open,
                Trading::Closed => MarketState::Closed,
                // This broker does not know any hours.
                Trading::Hours => MarketState::Unknown,
            };
            let now = self.clock.now();
            let set = self.world().set_price(&symbol, price, market, now);
            self.leave(&entered, set).await
        })
    }
}
