//! What must hold after every step, whatever happened.

use crate::bounds::Bounds;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tradewarden_broker::port::BrokerOrder;
use tradewarden_domain::bracket::{Leg, takes_profit};
use tradewarden_domain::code::Code;
use tradewarden_domain::exposure::Exposure;
use tradewarden_domain::halt::{HaltMode, HaltScope};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::instrument::Symbol;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderState, Purpose, Side};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::intake::SignalStatus;
use tradewarden_store::audit::Placed;
use tradewarden_store::exposures::{NO_STRATEGY, Place};
use tradewarden_testkit::broker::Violation;
use tradewarden_testkit::engine::{Harness, Reply};

/// A halt as the operator knows it: in force from the answer that engaged it to the request that
/// ended it.
#[derive(Debug, Clone)]
pub(crate) struct HeardHalt {
    pub(crate) scope: HaltScope,
    pub(crate) mode: HaltMode,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

/// What another hand traded, until it took that back.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) account: String,
    pub(crate) symbol: String,
    pub(crate) units: i64,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

/// Everything that was seen so far, and what follows from it.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) accounts: Vec<String>,
    pub(crate) halts: BTreeMap<String, HeardHalt>,
    /// The largest position that was allowed since the last look, in units of 10^-8.
    pub(crate) max_position: i64,
    /// All limits, held against the log.
    pub(crate) bounds: Bounds,
    /// What another hand did.
    pub(crate) moved: Vec<Moved>,
    /// When the process was started anew.
    pub(crate) restarts: Vec<Timestamp>,
    /// First answers by what names the signal.
    answers: BTreeMap<String, Reply>,
    accepted: BTreeSet<Id<id::Signal>>,
    states: BTreeMap<Id<id::Order>, OrderState>,
    worst: BTreeMap<(String, Symbol), i64>,
    log_size: u64,
    sealed: BTreeMap<u64, Id<id::Entry>>,
    sent_seen: usize,
    changes_seen: usize,
}

/// C11: the first byte of an attempt that was journaled before a halt leaves within 10 ms.
const FIRST_BYTE: Duration = Duration::from_millis(10);

/// After a start a difference is known again within so long, unless the broker is not heard.
const REREAD: Duration = Duration::from_secs(20);

impl Witness {
    /// A signal was answered; what it says must agree with what was said before.
    pub(crate) fn heard(&mut self, name: Option<String>, reply: &Reply) {
        if reply.status == SignalStatus::Accepted {
            self.accepted.insert(reply.signal_id);
        }
        let Some(name) = name else { return };
        let admitted = !matches!(
            reply.code,
            Some(
                Code::LimitRate | Code::LimitFlood | Code::SignalStale | Code::DuplicateIdConflict
            )
        );
        if !admitted {
            return;
        }
        match self.answers.get(&name) {
            None => {
                self.answers.insert(name, reply.clone());
            }
            Some(first) => {
                assert_eq!(first.signal_id, reply.signal_id, "{name}: another signal");
                assert_eq!(first.code, reply.code, "{name}: another reason");
                let same = match first.status {
                    SignalStatus::Refused => SignalStatus::Refused,
                    _ => SignalStatus::Duplicate,
                };
                assert!(
                    reply.status == same || reply.status == first.status,
                    "{name}: {first:?} became {reply:?}"
                );
            }
        }
    }

    /// Checks everything; `deep` reads the whole audit log too.
    pub(crate) async fn check(&mut self, h: &Harness, deep: Deep) {
        let doubled = h.broker.doubled();
        assert!(doubled.is_empty(), "sent twice: {doubled:?}");
        let mut violations = h.broker.violations();
        let (orders, books) = self.read(h).await;
        let there = h.broker.orders();
        if h.broker.reduces_by_itself() {
            assert_eq!(violations, [], "the venue keeps exits from going past flat");
        }
        violations.retain(|violation| !is_of_legs(violation, &orders, &there));
        assert!(violations.is_empty(), "{violations:#?}\n{}", lines(h, &orders).await);
        self.check_grown(h).await;
        self.check_attempts(h, &orders).await;
        self.check_changes(h, &orders).await;
        self.check_states(&orders);
        self.check_exposure(h, &orders, books);
        for finding in h.findings().await {
            assert_ne!(finding.code, "order.overfilled", "{finding:?}");
            assert_ne!(finding.code, "row.mismatch", "C19: {finding:?}");
        }
        let size = h.log_size().await;
        assert!(size >= self.log_size, "the log shrank from {} to {size}", self.log_size);
        self.log_size = size;
        if deep == Deep::Yes {
            self.check_log(h, &orders).await;
        }
    }

    /// All orders, and of each account its fills and exposures, as one commit left them: on a
    /// server, a commit that was under way may come between two readings.
    async fn read(&self, h: &Harness) -> (Vec<Order>, Vec<Book>) {
        loop {
            let before = h.orders().await;
            let mut books = Vec::new();
            for account in &self.accounts {
                let (fills, exposures) = (h.fills(account).await, h.exposures(account).await);
                books.push(Book { account: account.clone(), fills, exposures });
            }
            if h.orders().await == before {
                return (before, books);
            }
        }
    }

    /// Once the difference that another hand made is known, and as long as that hand does nothing more, no
    /// exit opens or increases what is held at the broker (S3, S4).
    async fn check_grown(&self, h: &Harness) {
        let (findings, sent) = (h.findings().await, h.broker.sent());
        for grown in h.broker.grown() {
            let of_it = |moved: &&Moved| {
                Harness::broker_account(&moved.account) == grown.account
                    && moved.symbol == grown.symbol.as_str()
                    && moved.from <= grown.at
            };
            let moved = self.moved.iter().rfind(of_it).expect("a hand held a part of it");
            let subject = format!("{} {}", moved.account, moved.symbol);
            let known = findings
                .iter()
                .filter(|found| found.code == "position.mismatch" && found.subject == subject);
            let known = known.map(|found| found.at).filter(|at| *at > moved.from).min();
            let left = sent.iter().find(|one| one.client_order_id == grown.client_order_id);
            let left = left.expect("it was sent").at;
            // Who starts anew has to read the difference twice again before it is believed.
            let forgot = self.restarts.iter().any(|at| (*at..=at.plus(REREAD)).contains(&left));
            assert!(
                forgot || known.is_none_or(|known| left <= known),
                "{grown:?} after {known:?}: {moved:?}"
            );
        }
    }

    /// At rest, what another hand still holds was told of as a mismatch, and the pair was stopped (S3).
    pub(crate) async fn check_moved(&self, h: &Harness) {
        let findings = h.findings().await;
        for moved in self.moved.iter().filter(|moved| moved.until.is_none()) {
            let subject = format!("{} {}", moved.account, moved.symbol);
            let told = findings.iter().any(|found| {
                found.code == "position.mismatch"
                    && found.subject == subject
                    && found.at > moved.from
            });
            assert!(told, "{moved:?} is not told of: {findings:#?}");
            let scope = format!("pair:{}/{}", moved.account, moved.symbol).parse().unwrap();
            let stopped = self.halts.values().any(|halt| {
                halt.scope == scope && (halt.until.is_none() || halt.from > moved.from)
            });
            assert!(stopped, "{moved:?} stopped nothing");
        }
    }

    /// Nothing leaves without its journaled attempt, and nothing that a halt covers.
    async fn check_attempts(&mut self, h: &Harness, orders: &[Order]) {
        let sent = h.broker.sent();
        for one in &sent[self.sent_seen..] {
            let order = orders.iter().find(|order| order.client_order_id() == one.client_order_id);
            let order = order.unwrap_or_else(|| panic!("{one:?} is not journaled"));
            assert_ne!(order.state, OrderState::Accepted, "{one:?} has no attempt");
            let attempts = at_of(&h.entries(order.id.to_bytes()).await, "order.sending");
            assert!(
                attempts.iter().any(|at| *at <= one.at),
                "{one:?} was sent before its attempt {attempts:?}"
            );
            let same = one.order.quantity == order.quantity;
            assert!(same || order.change.is_some(), "{one:?}");
            let in_time = order.send_by.is_none_or(|by| one.at <= by.plus(FIRST_BYTE));
            assert!(in_time, "{one:?} left after {:?}", order.send_by);
            for halt in self.halts.values().filter(|halt| halt.covers(order)) {
                let heeded = |at: &Timestamp| {
                    *at <= halt.from || halt.until.is_some_and(|until| *at >= until)
                };
                assert!(attempts.iter().all(heeded), "{order:?} was attempted during {halt:?}");
                let left_in_time = one.at <= halt.from.plus(FIRST_BYTE)
                    || halt.until.is_some_and(|until| one.at >= until);
                assert!(left_in_time, "{one:?} left during {halt:?}");
            }
        }
        self.sent_seen = sent.len();
    }

    /// No change leaves without its journaled attempt, none twice, none that a halt covers, and none
    /// after its time.
    async fn check_changes(&mut self, h: &Harness, orders: &[Order]) {
        let changes = h.broker.changes();
        for one in &changes[self.changes_seen..] {
            let name = &one.change.order.client_order_id;
            let order = orders.iter().find(|order| order.client_order_id() == *name);
            let order = order.unwrap_or_else(|| panic!("{one:?} is of no order"));
            let entries = h.entries(order.id.to_bytes()).await;
            let attempts = at_of(&entries, "order.change_sending");
            let left = changes.iter().filter(|other| other.change.order.client_order_id == *name);
            assert!(left.count() <= attempts.len(), "{one:?} left twice: {attempts:?}");
            assert!(attempts.iter().any(|at| *at <= one.at), "{one:?} has no attempt");
            assert!(one.at <= one.change.expires_at, "{one:?} left after its time");
            // Whether it only reduces is what its own entry says.
            let of_it =
                entries.iter().filter(|entry| leaf(entry)["event"] == "order.change_sending");
            let of_it: Vec<_> = of_it.map(payload).collect();
            let was: Vec<Quantity> =
                of_it.iter().map(|p| p["quantity"].as_str().unwrap().parse().unwrap()).collect();
            let grows = one.change.quantity.is_some_and(|wanted| was.iter().all(|w| wanted > *w));
            for halt in self.halts.values().filter(|halt| grows && halt.covers(order)) {
                let left_in_time = one.at <= halt.from.plus(FIRST_BYTE)
                    || halt.until.is_some_and(|until| one.at >= until);
                assert!(left_in_time, "{one:?} left during {halt:?}");
            }
        }
        self.changes_seen = changes.len();
    }

    /// What has ended stays ended, but for late fills.
    fn check_states(&mut self, orders: &[Order]) {
        for order in orders {
            let before = self.states.insert(order.id, order.state);
            let stays = match before {
                None => true,
                Some(before) if before == order.state || before.is_live() => true,
                Some(OrderState::Canceled | OrderState::Expired | OrderState::Rejected) => {
                    order.state == OrderState::Filled
                }
                Some(_) => false,
            };
            assert!(stays, "{before:?} became {}: {order:?}", order.state);
            assert!(order.filled_quantity <= order.quantity_at_most(), "{order:?}");
        }
        let gone = self.states.keys().find(|id| !orders.iter().any(|order| order.id == **id));
        assert_eq!(gone, None, "an order vanished");
    }

    /// Exposure is what live orders come to, positions are what fills come to, and neither grows
    /// beyond the limit.
    fn check_exposure(&mut self, h: &Harness, orders: &[Order], books: Vec<Book>) {
        for Book { account, fills, exposures } in books {
            let mut positions: BTreeMap<Symbol, i64> = BTreeMap::new();
            let mut pairs: BTreeMap<Symbol, Exposure> = BTreeMap::new();
            for (place, exposure) in exposures {
                *positions.entry(place.symbol.clone()).or_default() += exposure.quantity.units();
                let pair = pairs.entry(place.symbol.clone()).or_default();
                *pair = pair.and(&exposure);
                let live = |purpose, side| -> i64 {
                    orders
                        .iter()
                        .filter(|o| o.state.is_live() && o.purpose == purpose && o.side == side)
                        .filter(|o| o.strategy_id == Some(place.strategy_id))
                        .filter(|o| o.account_id == place.account_id && o.symbol == place.symbol)
                        .map(|o| o.reserved().units())
                        .sum()
                };
                let reserved = [
                    (Purpose::Entry, Side::Buy, exposure.entry_buy),
                    (Purpose::Entry, Side::Sell, exposure.entry_sell),
                    (Purpose::Exit, Side::Buy, exposure.exit_buy),
                    (Purpose::Exit, Side::Sell, exposure.exit_sell),
                ];
                for (purpose, side, slot) in reserved {
                    assert_eq!(
                        slot.units(),
                        live(purpose, side),
                        "{purpose} {side} of {place:?} is not what its live orders come to"
                    );
                }
            }
            let nonzero = |sums: &BTreeMap<Symbol, i64>| -> BTreeMap<Symbol, i64> {
                sums.iter()
                    .filter(|(_, sum)| **sum != 0)
                    .map(|(s, sum)| (s.clone(), *sum))
                    .collect()
            };
            assert_eq!(nonzero(&positions), nonzero(&fills), "positions and fills of {account}");
            for (symbol, mut pair) in pairs {
                // What has not left is cut to what is held when it leaves (S4).
                let waits = |o: &&Order| {
                    let is_here = o.symbol == symbol && o.account_id.to_string() == account;
                    is_here && o.purpose == Purpose::Exit && o.state == OrderState::Accepted
                };
                for exit in orders.iter().filter(waits) {
                    pair.release(exit.purpose, exit.side, exit.reserved());
                }
                let worst = pair.worst_long().units().max(-pair.worst_short().units());
                let holding = h.broker.holding(Harness::broker_account(&account), &symbol);
                let crossed = holding.crossed_buys + holding.crossed_sells;
                let before = self.worst.insert((account.clone(), symbol.clone()), worst);
                let allowed = (self.max_position + crossed).max(before.unwrap_or(0));
                let of_pair: Vec<_> = orders.iter().filter(|o| o.symbol == symbol).collect();
                assert!(
                    worst <= allowed,
                    "{symbol} on {account}: {worst} of {allowed}: {pair:?} {of_pair:#?}"
                );
            }
        }
    }

    /// The log verifies and keeps what it had; accepted signals and all orders have their entries.
    async fn check_log(&mut self, h: &Harness, orders: &[Order]) {
        let verification = h.verify().await;
        assert!(verification.ok, "{verification:#?}");
        for entry in h.log(0).await {
            let place = entry.position.expect("sealed");
            let before = self.sealed.insert(place, entry.id);
            assert!(before.is_none_or(|id| id == entry.id), "entry {place} became another");
        }
        self.bounds.read(&h.log(self.bounds.unread()).await);
        let signals = h.signals().await;
        for id in &self.accepted {
            assert!(signals.iter().any(|s| s.id == *id), "signal {id} was answered and is lost");
        }
        for signal in &signals {
            let event = format!("signal.{}", signal.status);
            let entries = h.entries(signal.id.to_bytes()).await;
            assert_eq!(at_of(&entries, &event).len(), 1, "{signal:?}");
            let results: Value = serde_json::from_str(&signal.accounts).unwrap();
            for named in named_orders(&results) {
                assert!(orders.iter().any(|order| order.id == named), "{named} of {signal:?}");
            }
        }
        for order in orders {
            let mut told: Vec<Value> =
                h.entries(order.id.to_bytes()).await.iter().map(payload).collect();
            // What a person or a halt placed has only entries of its own.
            let of_signal = match order.signal_id {
                Some(signal) => h.entries(signal.to_bytes()).await,
                None => Vec::new(),
            };
            for entry in of_signal {
                let named = payload(&entry)["orders"].as_array().cloned().unwrap_or_default();
                told.extend(named.into_iter().filter(|o| o["id"] == order.id.to_string()));
            }
            let filled = order.filled_quantity.to_string();
            let quantity = order.quantity.to_string();
            let stands = |o: &Value| {
                o["state"] == order.state.text()
                    && (&o["filled_quantity"], &o["quantity"]) == (&json!(filled), &json!(quantity))
            };
            assert!(told.iter().any(stands), "{order:?} has no entry: {told:?}");
        }
    }

    /// Once nothing is under way: the broker holds what the gateway believes.
    pub(crate) async fn check_quiet(&mut self, h: &Harness) {
        self.bounds.read(&h.log(self.bounds.unread()).await);
        let counted = self.bounds.positions();
        for account in &self.accounts {
            for (symbol, units) in h.fills(account).await {
                let of_log = counted.get(&(account.clone(), symbol.to_string()));
                assert_eq!(of_log.copied().unwrap_or(0), units, "{symbol} on {account} by the log");
                let theirs = h.broker.holding(Harness::broker_account(account), &symbol).ours;
                assert_eq!(units, theirs, "{symbol} on {account}: {:#?}", h.orders().await);
            }
            let own = h.broker.orders();
            for there in own {
                let ours = h.orders().await;
                let ours = ours.iter().find(|o| o.client_order_id() == there.client_order_id);
                let ours = ours.expect("no order of ours is unknown to us");
                assert_eq!(ours.filled_quantity, there.filled_quantity, "{ours:?} {there:?}");
                let in_flight = ours.change.is_some_and(|change| change.is_in_flight());
                assert!(!in_flight, "{ours:?}");
                // A venue that keeps exits from going past flat may have shrunk it to nothing.
                if ours.change.is_some() && !there.quantity.is_zero() {
                    assert_eq!(ours.quantity, there.quantity, "{ours:?} {there:?}");
                }
            }
        }
    }
}

impl Witness {
    /// Once all strategies were told to leave and nothing is under way: each is flat, or a finding
    /// since then says why it is not, by its order or by its place (S1, S24).
    pub(crate) async fn check_left(&self, h: &Harness, since: Timestamp) {
        let (orders, findings) = (h.orders().await, h.findings().await);
        let findings: Vec<_> = findings.iter().filter(|finding| finding.at >= since).collect();
        for account in &self.accounts {
            for (place, exposure) in h.exposures(account).await {
                if exposure.quantity.is_zero() {
                    continue;
                }
                let own = orders.iter().filter(|order| {
                    order.account_id == place.account_id
                        && order.symbol == place.symbol
                        && order.strategy_id == Some(place.strategy_id)
                });
                let mut subjects: Vec<String> = own.map(|order| order.id.to_string()).collect();
                subjects
                    .push(format!("{} {} {}", place.account_id, place.symbol, place.strategy_id));
                let explained = findings.iter().any(|found| subjects.contains(&found.subject));
                assert!(
                    explained,
                    "{place:?} holds {} and nobody says why: {findings:#?}\n{}",
                    exposure.quantity,
                    lines(h, &orders).await
                );
            }
        }
    }
}

impl Witness {
    /// Once nothing about a leg is under way: of each kind there is no more than what is held, here and at
    /// the broker; and what is to be protected is, unless a halt keeps every order from leaving.
    pub(crate) async fn check_legs(&self, h: &Harness, missing: Missing) {
        let (orders, there) = (h.orders().await, h.broker.orders());
        for account in &self.accounts {
            for (place, exposure) in h.exposures(account).await {
                let own: Vec<_> = orders
                    .iter()
                    .filter(|order| order.leg.is_some() && order.state.is_live())
                    .filter(|order| place_of(order) == place)
                    .collect();
                let told = || async { (lines(h, &orders).await, exposure) };
                for kind in Leg::ALL {
                    let of_kind: Vec<_> = own
                        .iter()
                        .filter(|order| order.leg.is_some_and(|leg| leg.leg == *kind))
                        .collect();
                    let here = of_kind.iter().map(|order| order.remaining().units()).sum::<i64>();
                    let at_broker: i64 = of_kind
                        .iter()
                        .filter_map(|leg| {
                            let id = leg.client_order_id();
                            let found = there.iter().find(|order| order.client_order_id == id)?;
                            let left = found.quantity.saturating_minus(found.filled_quantity);
                            Some(if found.state.is_live() { left.units() } else { 0 })
                        })
                        .sum();
                    let held = own.first().map_or(0, |leg| exposure.there(leg.side).units());
                    assert!(
                        here.max(at_broker) <= held.max(0),
                        "{kind}: {here}, {at_broker} of {held} at {place:?}: {:#?}",
                        told().await
                    );
                    let Some(bracket) = exposure.bracket else { continue };
                    let side = bracket.side.opposite();
                    let at_limit = orders
                        .iter()
                        .filter(|order| order.state.is_live() && takes_profit(order))
                        .filter(|order| place_of(order) == place && order.side == side)
                        .fold(Quantity::ZERO, |sum, order| sum.saturating_plus(order.reserved()));
                    let protected = exposure.protected(side, at_limit).of(*kind).units();
                    let is_wanted = bracket.price(*kind).is_some() && protected > 0;
                    let is_stopped = self.halts.values().any(|halt| {
                        halt.until.is_none()
                            && matches!(halt.mode, HaltMode::Block | HaltMode::Cancel)
                            && halt.is_about(&place)
                    });
                    assert!(
                        missing == Missing::MayBe
                            || !is_wanted
                            || is_stopped
                            || at_broker == protected,
                        "{kind}: {at_broker} of {protected} at {place:?}: {:#?}",
                        told().await
                    );
                }
            }
        }
    }

    /// A halt that cancels or closes says that nothing is left to do: so nothing that it takes back is
    /// live, and after a flattening one nothing that it covers is held or works, here or at the broker.
    pub(crate) async fn check_unwound(&self, h: &Harness, id: &str) {
        let halt = &self.halts[id];
        if !halt.mode.cancels() {
            return;
        }
        let orders = h.orders().await;
        for order in orders.iter().filter(|order| halt.is_about(&place_of(order))) {
            let meant = order.purpose == Purpose::Entry || halt.mode == HaltMode::Flatten;
            let is_over = !order.state.is_live() || !meant;
            assert!(is_over, "{order:?} is live under {halt:?}\n{}", lines(h, &orders).await);
        }
        if halt.mode != HaltMode::Flatten {
            return;
        }
        for account in &self.accounts {
            for (place, exposure) in h.exposures(account).await {
                if halt.is_about(&place) {
                    assert!(exposure.quantity.is_zero(), "{place:?} holds {exposure:?}: {halt:?}");
                    let there = h.broker.holding(Harness::broker_account(account), &place.symbol);
                    assert_eq!(there.ours, 0, "{place:?} at the broker: {halt:?}");
                }
            }
        }
    }

    /// What went past flat was told of, and stopped until a person resumes (S4).
    pub(crate) async fn check_flips(&self, h: &Harness) {
        let (orders, findings) = (h.orders().await, h.findings().await);
        for violation in h.broker.violations() {
            let of_pair = |subject: &str| {
                orders.iter().any(|order| {
                    order.id.to_string() == subject
                        && order.symbol == violation.symbol
                        && Harness::broker_account(&order.account_id.to_string())
                            == violation.account
                })
            };
            let told = findings.iter().any(|found| {
                found.code == "position.flipped"
                    && found.at >= violation.at
                    && of_pair(&found.subject)
            });
            assert!(told, "{violation:?} is not told of\n{}", lines(h, &orders).await);
        }
    }
}

fn place_of(order: &Order) -> Place {
    Place {
        account_id: order.account_id,
        symbol: order.symbol.clone(),
        strategy_id: order.strategy_id.unwrap_or(NO_STRATEGY),
    }
}

/// What an account holds, in three ways of saying it.
struct Book {
    account: String,
    fills: BTreeMap<Symbol, i64>,
    exposures: Vec<(Place, Exposure)>,
}

/// Whether the audit log is read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deep {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether a leg that should be there may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// One that failed is not tried again yet.
    MayBe,
    /// There was time enough.
    None,
}

impl HeardHalt {
    pub(crate) fn covers(&self, order: &Order) -> bool {
        let stops_all = matches!(self.mode, HaltMode::Block | HaltMode::Cancel);
        let stops = stops_all && !order.passes_halts || order.purpose == Purpose::Entry;
        stops && self.is_about(&place_of(order))
    }

    fn is_about(&self, place: &Place) -> bool {
        match &self.scope {
            HaltScope::Global | HaltScope::Org(_) | HaltScope::Webhook(_) | HaltScope::Key(_) => {
                true
            }
            HaltScope::Account(account) => *account == place.account_id,
            HaltScope::Strategy(strategy) => *strategy == place.strategy_id,
            HaltScope::Instrument(symbol) => *symbol == place.symbol,
            HaltScope::Pair(account, symbol) => {
                *account == place.account_id && *symbol == place.symbol
            }
        }
    }
}

/// Whether it comes of two legs of one bracket, or of a leg and an exit, that filled before either was
/// heard of. Where the venue itself does not keep exits from going past flat nobody can rule that out
/// (S4); what it came to has to be told, which [`Witness::check_flips`] looks at.
fn is_of_legs(violation: &Violation, orders: &[Order], there: &[BrokerOrder]) -> bool {
    let own = orders.iter().find(|order| order.client_order_id() == violation.client_order_id);
    own.is_some_and(|own| {
        orders.iter().any(|other| {
            let name = other.client_order_id();
            let just_filled = there.iter().any(|found| {
                found.client_order_id == name
                    && found.filled_quantity.is_positive()
                    && found.updated_at.plus(Duration::from_secs(5)) >= violation.at
            });
            other.id != own.id
                && other.purpose == Purpose::Exit
                && (other.leg.is_some() || own.leg.is_some())
                && just_filled
                && place_of(other) == place_of(own)
        })
    })
}

/// Orders, a line each, with what their entries tell.
pub(crate) async fn lines(h: &Harness, orders: &[Order]) -> String {
    let mut lines = Vec::new();
    for order in orders {
        let entries = h.entries(order.id.to_bytes()).await;
        let life: Vec<String> = entries
            .iter()
            .map(|entry| {
                let (leaf, payload) = (leaf(entry), payload(entry));
                format!("{} {} {}", leaf["at"], leaf["event"], payload["filled_quantity"])
            })
            .collect();
        lines.push(format!(
            "{} {:?} {} {} {} {} of {} {} {:?} made {} {life:?}",
            order.client_order_id(),
            place_of(order),
            order.leg.map_or("", |of| of.leg.text()),
            order.purpose,
            order.side,
            order.filled_quantity,
            order.quantity,
            order.state,
            order.code,
            order.created_at,
        ));
    }
    let findings = h.findings().await;
    lines.extend(findings.iter().map(|found| format!("{} {}", found.code, found.detail)));
    lines.join("\n")
}

fn payload(entry: &Placed) -> Value {
    serde_json::from_str(&entry.payload).unwrap()
}

fn leaf(entry: &Placed) -> Value {
    serde_json::from_str(&entry.leaf).unwrap()
}

fn at(entry: &Placed) -> String {
    leaf(entry)["at"].as_str().unwrap().to_owned()
}

fn at_of(entries: &[Placed], event: &str) -> Vec<Timestamp> {
    entries
        .iter()
        .filter(|entry| leaf(entry)["event"] == event)
        .map(|entry| at(entry).parse().unwrap())
        .collect()
}

fn named_orders(results: &Value) -> Vec<Id<id::Order>> {
    let results = results.as_array().cloned().unwrap_or_default();
    let ids = results.iter().flat_map(|r| r["order_ids"].as_array().cloned().unwrap_or_default());
    ids.map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}
