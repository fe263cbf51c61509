//! The outside world: what the broker holds and what is about to happen there. It goes on whether
//! or not a gateway lives.

use super::{Call, Fault, FillPlan, OrderPlan, Record, Report, Sent, SentChange, Venue};
use crate::randomness::SplitMix64;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tradewarden_broker::port::{
    BrokerOrder, BrokerOrderState, Cancellation, Execution, MarketState, PlaceOrder, Placement,
    ReduceOnly, ReplaceOrder, Replacement,
};
use tradewarden_domain::instrument::{Instrument, Symbol};
use tradewarden_domain::money::{Money, Price, Quantity};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

/// What an account holds of an instrument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// What fills of the gateway's orders come to.
    pub ours: i64,
    /// What other hands did.
    pub hand: i64,
    /// What was bought after its cancel had been confirmed; it is part of `ours`.
    pub crossed_buys: i64,
    /// What was sold so.
    pub crossed_sells: i64,
}

/// An exit that increased or flipped what the gateway holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The order.
    pub client_order_id: String,
    /// The account.
    pub account: String,
    /// What it trades.
    pub symbol: Symbol,
    /// What was held before its fill, in units of 10^-8.
    pub held: i64,
    /// What the fill came to, signed.
    pub signed: i64,
    /// When.
    pub at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) cash: Money,
    pub(super) currency: String,
    pub(super) holdings: BTreeMap<Symbol, Holding>,
    /// Fills in the order in which they are told; the cursor is a place in it.
    pub(super) told: Vec<Execution>,
}

#[derive(Debug)]
pub(super) struct Order {
    pub(super) asked: PlaceOrder,
    pub(super) plan: OrderPlan,
    pub(super) view: BrokerOrder,
    accepted_at: Timestamp,
    fills: Vec<Execution>,
    filling: bool,
}

/// What became of a placement that was on its way.
enum Arrived {
    Order(usize),
    Rejected(&'static str),
    /// After its time; nobody answers.
    Dropped,
}

enum Event {
    Arrive(u64, Box<PlaceOrder>, OrderPlan),
    Change(Box<ReplaceOrder>),
    Fill(usize, Quantity),
    Tell(Box<Execution>, String),
}

pub(super) struct World {
    pub(super) venue: Venue,
    pub(super) instruments: BTreeMap<Symbol, Instrument>,
    pub(super) prices: BTreeMap<Symbol, (Price, MarketState)>,
    pub(super) silent: BTreeSet<Symbol>,
    /// What nothing is heard of, by account.
    pub(super) hangs: BTreeSet<(Call, String)>,
    /// Whether the adapter has a fault of its own.
    pub(super) is_broken: bool,
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) orders: Vec<Order>,
    pub(super) sent: Vec<Sent>,
    pub(super) changes: Vec<SentChange>,
    pub(super) records: Vec<Record>,
    pub(super) violations: Vec<Violation>,
    /// Exits that did so to all that is held, another hand's part included.
    pub(super) grown: Vec<Violation>,
    pub(super) plans: VecDeque<OrderPlan>,
    pub(super) plan: OrderPlan,
    pub(super) faults: BTreeMap<Call, VecDeque<Fault>>,
    pub(super) chaos: Option<super::Chaos>,
    pub(super) random: SplitMix64,
    pub(super) away_until: Timestamp,
    /// It asked not to be called before.
    pub(super) limited_until: Timestamp,
    /// Calls that it refused because there were too many.
    pub(super) refused: u64,
    /// When it was called, and what that weighed.
    called: VecDeque<(Timestamp, u32)>,
    pub(super) rejection: String,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    arrived: BTreeMap<u64, Arrived>,
    next: u64,
}

impl World {
    pub(super) fn new(venue: Venue) -> Self {
        Self {
            venue,
            instruments: BTreeMap::new(),
            prices: BTreeMap::new(),
            silent: BTreeSet::new(),
            hangs: BTreeSet::new(),
            is_broken: false,
            accounts: BTreeMap::new(),
            orders: Vec::new(),
            sent: Vec::new(),
            changes: Vec::new(),
            records: Vec::new(),
            violations: Vec::new(),
            grown: Vec::new(),
            plans: VecDeque::new(),
            plan: OrderPlan::default(),
            faults: BTreeMap::new(),
            chaos: None,
            random: SplitMix64::new(0),
            away_until: Timestamp::default(),
            limited_until: Timestamp::default(),
            refused: 0,
            called: VecDeque::new(),
            rejection: "the scripted broker says no".to_owned(),
            agenda: BTreeMap::new(),
            arrived: BTreeMap::new(),
            next: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn schedule(&mut self, at: Timestamp, event: Event) {
        let number = self.number();
        self.agenda.insert((at, number), event);
    }

    /// Lets everything happen that was due.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while let Some(entry) = self.agenda.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return;
            }
            match entry.remove() {
                Event::Arrive(ticket, order, plan) => self.arrive(ticket, *order, plan, at),
                Event::Change(change) => {
                    let _nobody_hears = self.replace(&change, at);
                }
                Event::Fill(place, quantity) => self.fill(place, quantity, at),
                Event::Tell(execution, account) => {
                    self.accounts.entry(account).or_default().told.push(*execution);
                }
            }
        }
    }

    /// Counts a call; says whether it is one too many.
    pub(super) fn is_too_many(&mut self, call: Call, now: Timestamp) -> bool {
        let budget = self.venue.budget;
        let Some(call) = call.counted() else { return false };
        let weight = budget.weights.of(call);
        let over = budget.windows.iter().any(|window| {
            let recent = self.called.iter().filter(|(at, _)| at.plus(window.span) > now);
            recent.map(|(_, weight)| *weight).sum::<u32>() + weight > window.weight_max
        });
        if over {
            self.limited_until = now.plus(Duration::from_secs(1));
        }
        let too_many = self.limited_until > now;
        if too_many {
            self.refused += 1;
        } else if !budget.windows.is_empty() {
            self.called.push_back((now, weight));
        }
        too_many
    }

    /// Whether anything is still about to happen.
    pub(super) fn is_quiet(&self) -> bool {
        self.agenda.is_empty()
    }

    /// Puts a placement on its way; the ticket asks later what became of it.
    pub(super) fn send(&mut self, order: PlaceOrder, plan: OrderPlan, arrives: Timestamp) -> u64 {
        let ticket = self.number();
        self.schedule(arrives, Event::Arrive(ticket, Box::new(order), plan));
        ticket
    }

    fn arrive(&mut self, ticket: u64, asked: PlaceOrder, plan: OrderPlan, at: Timestamp) {
        let too_late = self.venue.expires_natively() && at > asked.expires_at;
        let arrived = if too_late {
            Arrived::Dropped
        } else if !self.instruments.contains_key(&asked.symbol) {
            Arrived::Rejected("unknown_instrument")
        } else if !self.accounts.contains_key(asked.account.as_str()) {
            Arrived::Rejected("unknown_account")
        } else if plan.fill == FillPlan::Rejected {
            self.accept(asked, plan, at, BrokerOrderState::Rejected);
            Arrived::Rejected("scripted")
        } else if self.market(&asked.symbol) == MarketState::Closed {
            self.accept(asked, plan, at, BrokerOrderState::Rejected);
            Arrived::Rejected("market_closed")
        } else {
            Arrived::Order(self.work(asked, plan, at))
        };
        self.arrived.insert(ticket, arrived);
    }

    fn accept(
        &mut self,
        asked: PlaceOrder,
        plan: OrderPlan,
        at: Timestamp,
        state: BrokerOrderState,
    ) -> usize {
        let number = self.number();
        let view = BrokerOrder {
            client_order_id: asked.client_order_id.clone(),
            broker_order_id: format!("b{number}"),
            symbol: asked.symbol.clone(),
            side: asked.side,
            quantity: asked.quantity,
            limit_price: asked.limit_price,
            stop_price: asked.stop_price,
            filled_quantity: Quantity::ZERO,
            average_price: None,
            state,
            updated_at: at,
        };
        let order = Order { asked, plan, view, accepted_at: at, fills: Vec::new(), filling: false };
        self.orders.push(order);
        self.orders.len() - 1
    }

    fn work(&mut self, mut asked: PlaceOrder, plan: OrderPlan, at: Timestamp) -> usize {
        for sent in self.sent.iter_mut().filter(|s| s.client_order_id == asked.client_order_id) {
            sent.orders += 1;
        }
        if asked.reduce_only == ReduceOnly::Yes && self.venue.reduces_natively() {
            let account = self.accounts.get(asked.account.as_str());
            asked.quantity = asked.quantity.min(closable(account, &asked.symbol, asked.side));
            if asked.quantity.is_zero() {
                return self.accept(asked, plan, at, BrokerOrderState::Canceled);
            }
        }
        let tif = asked.time_in_force;
        let place = self.accept(asked, plan, at, BrokerOrderState::Working);
        self.match_order(place, at);
        self.catch_up(at);
        let order = &mut self.orders[place];
        if matches!(tif, TimeInForce::Ioc | TimeInForce::Fok) && order.view.state.is_live() {
            order.view.state = BrokerOrderState::Canceled;
        }
        place
    }

    pub(super) fn market(&self, symbol: &Symbol) -> MarketState {
        self.prices.get(symbol).map_or(MarketState::Unknown, |(_, market)| *market)
    }

    /// Lets an order begin to fill if its price is there.
    fn match_order(&mut self, place: usize, at: Timestamp) {
        let order = &self.orders[place];
        let asked = &order.asked;
        let Some((price, market)) = self.prices.get(&asked.symbol).copied() else { return };
        if order.filling || !order.view.state.is_live() || market == MarketState::Closed {
            return;
        }
        let reaches = |limit: Option<Price>| match (limit, asked.side) {
            (None, _) => true,
            (Some(limit), Side::Buy) => limit >= price,
            (Some(limit), Side::Sell) => limit <= price,
        };
        let triggered = match (asked.stop_price, asked.side) {
            (None, _) => true,
            (Some(stop), Side::Buy) => price >= stop,
            (Some(stop), Side::Sell) => price <= stop,
        };
        let goes = match asked.order_type {
            OrderType::Market => true,
            OrderType::Limit => reaches(asked.limit_price),
            OrderType::Stop => triggered,
            OrderType::StopLimit => triggered && reaches(asked.limit_price),
        };
        if !goes {
            return;
        }
        let all = order.view.quantity.saturating_minus(order.view.filled_quantity);
        let lot = self.instruments.get(&asked.symbol).map_or(1, |found| found.lot.units().max(1));
        let half = Quantity::from_units(all.units() / 2 / lot * lot);
        let events = match order.plan.fill {
            FillPlan::After(span) => vec![(at.plus(span), all)],
            FillPlan::InTwo(span) if half.is_positive() => {
                vec![(at, half), (at.plus(span), all.saturating_minus(half))]
            }
            FillPlan::AtOnce | FillPlan::InTwo(_) => vec![(at, all)],
            FillPlan::Rests | FillPlan::Rejected => return,
        };
        self.orders[place].filling = true;
        for (at, quantity) in events {
            self.schedule(at, Event::Fill(place, quantity));
        }
    }

    fn match_all(&mut self, now: Timestamp) {
        for place in 0..self.orders.len() {
            self.match_order(place, now);
        }
        self.catch_up(now);
    }

    /// What was to rest fills as soon as its price is there.
    pub(super) fn end_rests(&mut self, now: Timestamp) {
        self.plan = OrderPlan::default();
        self.plans.clear();
        for order in &mut self.orders {
            if matches!(order.plan.fill, FillPlan::Rests) {
                order.plan.fill = FillPlan::AtOnce;
            }
        }
        self.match_all(now);
    }

    /// Everything that rests fills now, and nothing rests any more.
    pub(super) fn let_all_fill(&mut self, now: Timestamp) {
        self.plan = OrderPlan::default();
        self.plans.clear();
        for order in &mut self.orders {
            if matches!(order.plan.fill, FillPlan::Rests) {
                order.plan.fill = FillPlan::AtOnce;
            }
            if order.view.state.is_live() && !order.filling {
                order.asked.order_type = OrderType::Market;
            }
        }
        self.match_all(now);
    }

    pub(super) fn reject_what_works(&mut self, now: Timestamp) {
        for order in self.orders.iter_mut().filter(|order| order.view.state.is_live()) {
            order.view.state = BrokerOrderState::Rejected;
            order.view.updated_at = now;
        }
    }

    pub(super) fn report_foreign(
        &mut self,
        account: &str,
        symbol: &Symbol,
        count: usize,
        now: Timestamp,
    ) {
        let price = self.prices[symbol].0;
        for _ in 0..count {
            let number = self.number();
            let execution = Execution {
                broker_fill_id: format!("foreign-{number}"),
                client_order_id: "by hand".to_owned(),
                broker_order_id: "by hand".to_owned(),
                symbol: symbol.clone(),
                side: Side::Buy,
                quantity: self.instruments[symbol].lot,
                price,
                fee: Money::ZERO,
                at: now,
            };
            self.accounts.entry(account.to_owned()).or_default().told.push(execution);
        }
    }

    pub(super) fn set_price(
        &mut self,
        symbol: &Symbol,
        price: Option<Price>,
        market: MarketState,
        now: Timestamp,
    ) -> Result<(), String> {
        let known = self.prices.get_mut(symbol).ok_or_else(|| format!("no instrument {symbol}"))?;
        *known = (price.unwrap_or(known.0), market);
        self.match_all(now);
        Ok(())
    }

    fn fill(&mut self, place: usize, quantity: Quantity, at: Timestamp) {
        let fill_number = self.number();
        let order = &mut self.orders[place];
        let rest = order.view.quantity.saturating_minus(order.view.filled_quantity);
        let mut quantity = quantity.min(rest);
        let canceled = order.view.state == BrokerOrderState::Canceled;
        if !quantity.is_positive()
            || !(order.view.state.is_live() || canceled && order.plan.crosses)
        {
            return;
        }
        // A venue that keeps exits from going past flat looks at every fill, and ends what is too much.
        let planned = quantity;
        if order.asked.reduce_only == ReduceOnly::Yes && self.venue.reduces_natively() {
            let (account, symbol) = (order.asked.account.as_str(), &order.view.symbol);
            let closable = closable(self.accounts.get(account), symbol, order.view.side);
            quantity = quantity.min(closable);
            if quantity.is_zero() {
                if order.view.state.is_live() {
                    order.view.state = BrokerOrderState::Canceled;
                    order.view.updated_at = at;
                }
                return;
            }
        }
        let Some((price, _)) = self.prices.get(&order.asked.symbol).copied() else { return };
        order.view.filled_quantity = order.view.filled_quantity.saturating_plus(quantity);
        order.view.average_price = Some(price);
        order.view.updated_at = at;
        let filled = order.view.filled_quantity >= order.view.quantity;
        order.view.state = match (filled, canceled || quantity < planned) {
            (true, _) => BrokerOrderState::Filled,
            (false, true) => BrokerOrderState::Canceled,
            (false, false) => BrokerOrderState::PartiallyFilled,
        };
        let execution = Execution {
            broker_fill_id: format!("f{fill_number}"),
            client_order_id: order.view.client_order_id.clone(),
            broker_order_id: order.view.broker_order_id.clone(),
            symbol: order.view.symbol.clone(),
            side: order.view.side,
            quantity,
            price,
            fee: Money::from_units(1_000_000),
            at,
        };
        order.fills.push(execution.clone());
        let (account, symbol) =
            (order.asked.account.as_str().to_owned(), order.view.symbol.clone());
        let (report, reduce) = (order.plan.report, order.asked.reduce_only == ReduceOnly::Yes);
        let signed = order.view.side.signed(quantity).units();
        let holding = self.accounts.entry(account.clone()).or_default();
        let holding = holding.holdings.entry(symbol.clone()).or_default();
        let (before, hand) = (holding.ours, holding.hand);
        holding.ours += signed;
        // Nobody can know of what crossed a cancel until it is told.
        let reduces = match order.view.side {
            Side::Sell => before + holding.crossed_sells >= signed.abs(),
            Side::Buy => before - holding.crossed_buys <= -signed.abs(),
        };
        if canceled && signed > 0 {
            holding.crossed_buys += signed;
        } else if canceled {
            holding.crossed_sells -= signed;
        }
        let all_before = before + hand;
        let grows = (all_before + signed).abs() > all_before.abs()
            || all_before.signum() * (all_before + signed).signum() < 0;
        let violation = Violation {
            client_order_id: execution.client_order_id.clone(),
            account: account.clone(),
            symbol,
            held: if hand == 0 { before } else { all_before },
            signed,
            at,
        };
        match hand {
            0 if reduce && !reduces => self.violations.push(violation),
            0 => {}
            _ if reduce && grows => self.grown.push(violation),
            _ => {}
        }
        self.tell(execution, account, report, at);
    }

    fn tell(&mut self, execution: Execution, account: String, report: Report, at: Timestamp) {
        match report {
            Report::Once => self.schedule(at, Event::Tell(Box::new(execution), account)),
            Report::Twice(span) => {
                let again = Event::Tell(Box::new(execution.clone()), account.clone());
                self.schedule(at, Event::Tell(Box::new(execution), account));
                self.schedule(at.plus(span), again);
            }
            Report::Late(span) => {
                self.schedule(at.plus(span), Event::Tell(Box::new(execution), account));
            }
        }
    }

    /// What a placement is answered.
    pub(super) fn answer(&self, ticket: u64, twice: bool) -> Placement {
        match self.arrived.get(&ticket) {
            Some(Arrived::Order(place)) => {
                let order = &self.orders[*place];
                let with_answer = order.plan.report == Report::Once || twice;
                let told = if with_answer { order.fills.clone() } else { Vec::new() };
                let fills = if twice { [told.clone(), told].concat() } else { told };
                Placement::Accepted {
                    broker_order_id: order.view.broker_order_id.clone(),
                    fills,
                    state: order.view.state,
                }
            }
            Some(Arrived::Rejected(code)) => {
                Placement::Rejected { code: (*code).to_owned(), reason: self.rejection.clone() }
            }
            Some(Arrived::Dropped) | None => {
                Placement::Unknown { why: "no answer came".to_owned() }
            }
        }
    }

    pub(super) fn position(&self, client_order_id: &str) -> Option<usize> {
        self.orders.iter().position(|order| order.view.client_order_id == client_order_id)
    }

    /// Looks an order up as the venue's query side sees it, which may lag.
    pub(super) fn look_up(&self, client_order_id: &str, now: Timestamp) -> Option<BrokerOrder> {
        let order = &self.orders[self.position(client_order_id)?];
        (order.accepted_at.plus(self.venue.find_lag) <= now).then(|| order.view.clone())
    }

    pub(super) fn cancel(&mut self, client_order_id: &str, now: Timestamp) -> Cancellation {
        let Some(place) = self.position(client_order_id) else { return Cancellation::NotFound };
        let order = &mut self.orders[place];
        if !order.view.state.is_live() {
            return Cancellation::Rejected {
                code: "ended".to_owned(),
                reason: format!("the order is {}", order.view.state),
            };
        }
        order.view.state = BrokerOrderState::Canceled;
        order.view.updated_at = now;
        if order.plan.crosses {
            let rest = order.view.quantity.saturating_minus(order.view.filled_quantity);
            let lot = self.instruments.get(&order.view.symbol).map_or(1, |i| i.lot.units().max(1));
            let part = Quantity::from_units((rest.units() / 2 / lot * lot).max(lot));
            self.schedule(now.plus(Duration::from_millis(40)), Event::Fill(place, part));
        }
        Cancellation::Done
    }

    pub(super) fn replace(&mut self, change: &ReplaceOrder, now: Timestamp) -> Replacement {
        let Some(place) = self.position(&change.order.client_order_id) else {
            return Replacement::NotFound;
        };
        let order = &mut self.orders[place];
        let wanted = change.quantity.unwrap_or(order.view.quantity);
        let no = match () {
            () if self.venue.expires_natively() && now > change.expires_at => "expired",
            () if !order.view.state.is_live() => "ended",
            () if wanted <= order.view.filled_quantity => "filled",
            () => "",
        };
        if !no.is_empty() {
            let reason = format!("the order is {}", order.view.state);
            return Replacement::Rejected { code: no.to_owned(), reason };
        }
        order.view.quantity = wanted;
        order.asked.limit_price = change.limit_price.or(order.asked.limit_price);
        order.asked.stop_price = change.stop_price.or(order.asked.stop_price);
        order.view.limit_price = order.asked.limit_price;
        order.view.stop_price = order.asked.stop_price;
        order.view.updated_at = now;
        // What was about to fill was planned for the order as it was.
        order.filling = false;
        self.match_order(place, now);
        self.catch_up(now);
        Replacement::Done { order: self.orders[place].view.clone() }
    }

    /// A change that comes late; a venue without expiry takes it until its look-ups settle.
    pub(super) fn change_later(&mut self, change: ReplaceOrder, arrives: Timestamp) {
        let latest = if self.venue.expires_natively() {
            arrives
        } else {
            change.expires_at.plus(self.venue.find_settles_after / 2)
        };
        self.schedule(arrives.min(latest), Event::Change(Box::new(change)));
    }

    pub(super) fn holding(&self, account: &str, symbol: &Symbol) -> Holding {
        let account = self.accounts.get(account);
        account.and_then(|found| found.holdings.get(symbol)).copied().unwrap_or_default()
    }

    /// Client order ids that were sent more than once or became more than one order.
    pub(super) fn doubled(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        self.sent
            .iter()
            .filter(|sent| sent.orders > 1 || !seen.insert(sent.client_order_id.clone()))
            .map(|sent| sent.client_order_id.clone())
            .collect()
    }
}

/// What an exit on `side` may take off all that an account holds.
fn closable(account: Option<&Account>, symbol: &Symbol, side: Side) -> Quantity {
    let held = account.and_then(|found| found.holdings.get(symbol)).copied().unwrap_or_default();
    let net = held.ours + held.hand;
    Quantity::from_units(if side == Side::Sell { net } else { -net }.max(0))
}
