//! What limits allow, by a plain model: the log is read entry by entry, and whatever opened more is held
//! against each limit that stood at that entry. It counts for itself; nothing of the product judges here.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::audit::Placed;
use tradewarden_testkit::randomness::SplitMix64;

/// Units in one.
pub(crate) const ONE: i64 = 100_000_000;
/// A price that was true within so many microseconds may be the one that an order was judged by.
const PRICES_KEPT: i64 = 70_000_000;

/// What somebody set: where, what, and how much in units.
type Said = (String, LimitName, i64);

/// See the module.
#[derive(Default)]
pub(crate) struct Bounds {
    /// What was set here and was not met in the log yet.
    said: VecDeque<Said>,
    /// Whether one of those was met: whatever came before was there when the world began.
    has_met: bool,
    /// Limits as of the last entry that was read.
    limits: BTreeMap<(String, LimitName), i64>,
    /// Prices as they were set, oldest first.
    prices: BTreeMap<String, Vec<(i64, i64)>>,
    /// Orders that may be larger, and how large.
    overridden: BTreeMap<String, i64>,
    orders: BTreeMap<String, Line>,
    /// Each entry and each change that adds, with its time.
    added: Vec<(i64, [String; 4])>,
    read: u64,
}

/// An order as an entry of the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    account: String,
    symbol: String,
    /// Everything whose limits it is held against.
    scopes: [String; 4],
    sign: i64,
    is_entry: bool,
    is_leg: bool,
    is_live: bool,
    quantity: i64,
    filled: i64,
    limit_price: i64,
    /// What a change under way makes of it.
    change: Option<i64>,
}

impl Line {
    fn of(told: &Value) -> Option<Self> {
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        let (account, symbol, state) = (text("account_id")?, text("symbol")?, text("state")?);
        let under_way = ["wanted", "sending", "unknown"];
        let change = &told["change"];
        let is_under_way = change["state"].as_str().is_some_and(|state| under_way.contains(&state));
        Some(Self {
            scopes: [
                "org".to_owned(),
                format!("account:{account}"),
                format!("strategy:{}", text("strategy_id").unwrap_or_default()),
                format!("instrument:{symbol}"),
            ],
            account,
            symbol,
            sign: if told["side"] == "buy" { 1 } else { -1 },
            is_entry: told["purpose"] == "entry",
            is_leg: told["leg"].is_string(),
            is_live: !["filled", "canceled", "rejected", "expired", "refused"]
                .contains(&state.as_str()),
            quantity: units(&told["quantity"])?,
            filled: units(&told["filled_quantity"])?,
            limit_price: units(&told["limit_price"]).unwrap_or(0),
            change: units(&change["quantity"]).filter(|_| is_under_way),
        })
    }

    /// The most that it may come to.
    fn most(&self) -> i64 {
        self.change.map_or(self.quantity, |to| to.max(self.quantity))
    }

    /// What it may still fill; a leg closes only what nobody else closed.
    fn open(&self) -> i64 {
        let is_counted = self.is_live && !self.is_leg;
        if is_counted { (self.most() - self.filled).max(0) } else { 0 }
    }
}

/// What is held of an instrument at the end, whatever of it fills.
#[derive(Debug, Default, Clone, Copy)]
struct Stake {
    held: i64,
    buys: i64,
    sells: i64,
}

impl Bounds {
    /// Somebody sets a limit.
    pub(crate) fn said(&mut self, scope: &str, name: LimitName, units: i64) {
        self.said.push_back((scope.to_owned(), name, units));
    }

    /// A price is true from now on.
    pub(crate) fn price(&mut self, symbol: &str, price: &str, now: Timestamp) {
        let units = price.parse::<Quantity>().unwrap().units();
        let of_it = self.prices.entry(symbol.to_owned()).or_default();
        of_it.push((now.unix_micros(), units));
    }

    /// Two people let this order be so large.
    pub(crate) fn overridden(&mut self, order: &str, units: i64) {
        self.overridden.insert(order.to_owned(), units);
    }

    /// The place in the log from which on nothing was read.
    pub(crate) fn unread(&self) -> u64 {
        self.read
    }

    /// What orders have filled by the log, by account and symbol.
    pub(crate) fn positions(&self) -> BTreeMap<(String, String), i64> {
        let mut sums: BTreeMap<_, i64> = BTreeMap::new();
        for line in self.orders.values() {
            let place = (line.account.clone(), line.symbol.clone());
            *sums.entry(place).or_default() += line.sign * line.filled;
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    /// Reads what came to the log.
    pub(crate) fn read(&mut self, log: &[Placed]) {
        for entry in log {
            let leaf: Value = serde_json::from_str(&entry.leaf).unwrap();
            let payload: Value = serde_json::from_str(&entry.payload).unwrap();
            let at: Timestamp = leaf["at"].as_str().unwrap().parse().unwrap();
            let event = leaf["event"].as_str().unwrap();
            match event.split_once('.') {
                Some(("limit", _)) => self.limit(&payload),
                Some(("signal", _)) => {
                    for told in payload["orders"].as_array().into_iter().flatten() {
                        self.order(told, at.unix_micros());
                    }
                }
                // What was refused stands beside the order, not in it.
                Some(("order", "change_refused" | "reported")) => {}
                Some(("order", _)) => self.order(&payload, at.unix_micros()),
                _ => {}
            }
            self.read = entry.position.expect("sealed") + 1;
        }
    }

    fn limit(&mut self, payload: &Value) {
        let scope = payload["scope"].as_str().expect("one limit at a time").to_owned();
        let name: LimitName = payload["name"].as_str().unwrap().parse().unwrap();
        let value = units(&payload["value"]).unwrap();
        // What is said once more makes no entry.
        while let Some((scope, name, said)) = self.said.front()
            && self.limits.get(&(scope.clone(), *name)) == Some(said)
        {
            self.said.pop_front();
        }
        let met = (scope.clone(), name, value);
        if self.said.front() == Some(&met) {
            self.has_met = true;
            self.said.pop_front();
        } else {
            assert!(!self.has_met, "{met:?} is not what was set: {:?}", self.said.front());
        }
        self.limits.insert((scope, name), value);
    }

    fn order(&mut self, told: &Value, at: i64) {
        let (Some(id), Some(line)) = (told["id"].as_str(), Line::of(told)) else { return };
        let before = self.orders.get(id).cloned();
        let adds = match &before {
            None => line.is_live,
            Some(before) => before.change.is_none() && line.most() > before.most(),
        };
        if adds && line.is_entry {
            let lifted = self.overridden.get(id).copied().unwrap_or(0);
            self.judge(id, &line, at, lifted);
            self.added.push((at, line.scopes.clone()));
        }
        self.orders.insert(id.to_owned(), line);
    }

    /// Holds what was let pass against all limits that stand.
    fn judge(&self, id: &str, line: &Line, at: i64, lifted: i64) {
        let hold = |name: LimitName, units: i128| {
            for scope in &line.scopes {
                if let Some(limit) = self.limits.get(&(scope.clone(), name)) {
                    assert!(
                        units <= i128::from(*limit),
                        "{name} of {scope} is {limit}, and {id} came to {units}: {line:?}"
                    );
                }
            }
        };
        if line.most() > lifted {
            hold(LimitName::MaxOrderQuantity, line.most().into());
        }
        let is_restricted = line.scopes.iter().any(|scope| {
            self.limits.get(&(scope.clone(), LimitName::Restricted)).is_some_and(|is| *is != 0)
        });
        assert!(!is_restricted, "{id} is on the restricted list: {line:?}");
        let (low, _) = self.prices_of(&line.symbol, at);
        let price = low.max(line.limit_price);
        hold(LimitName::MaxOrderNotional, worth(&line.symbol, line.most(), price));

        let held = self.held(line, id);
        let of_own = held.get(&line.symbol).copied().unwrap_or_default();
        let worst =
            if line.sign > 0 { of_own.held + of_own.buys } else { of_own.sells - of_own.held };
        hold(LimitName::MaxPosition, worst.into());
        hold(LimitName::MaxPositionNotional, worth(&line.symbol, worst, price));
        let (gross, net) = self.account(&held, at);
        hold(LimitName::MaxGrossExposure, gross);
        hold(LimitName::MaxNetExposure, net);
        self.count(id, line, at);
    }

    /// Counts what each place has of its own.
    fn count(&self, id: &str, line: &Line, at: i64) {
        for scope in &line.scopes {
            let limit = |name| self.limits.get(&(scope.clone(), name)).copied();
            let since = |span: i64| {
                let is_recent = |(then, scopes): &&(i64, [String; 4])| {
                    *then > at - span && scopes.contains(scope)
                };
                self.added.iter().filter(is_recent).count() + 1
            };
            let live = self.orders.iter().filter(|(other, order)| {
                order.is_live && *other != id && order.scopes.contains(scope)
            });
            for (name, counted) in [
                (LimitName::MaxOrdersPerMinute, since(60_000_000)),
                (LimitName::MaxOrdersPerSecond, since(1_000_000)),
                (LimitName::MaxOpenOrders, live.count() + 1),
            ] {
                let counted = i64::try_from(counted).unwrap() * ONE;
                let allowed = limit(name).unwrap_or(i64::MAX);
                assert!(
                    counted <= allowed,
                    "{name} of {scope} is {allowed}, and {id} came to {counted}: {line:?}"
                );
            }
        }
    }

    /// What the account of an order holds and may still come to hold, with the order as it is now.
    fn held(&self, line: &Line, id: &str) -> BTreeMap<String, Stake> {
        let others = self.orders.iter().filter(|(other, _)| *other != id);
        let all = others.map(|(_, order)| order).chain(std::iter::once(line));
        let mut held: BTreeMap<String, Stake> = BTreeMap::new();
        for order in all.filter(|order| order.account == line.account) {
            let of_it = held.entry(order.symbol.clone()).or_default();
            of_it.held += order.sign * order.filled;
            let side = if order.sign > 0 { &mut of_it.buys } else { &mut of_it.sells };
            *side += order.open();
        }
        held
    }

    /// The least that gross and net of an account come to at any of the prices of the last minute.
    fn account(&self, held: &BTreeMap<String, Stake>, at: i64) -> (i128, i128) {
        let mut gross = 0;
        // Each of the two nets, at least and at most.
        let mut nets = [(0_i128, 0_i128); 2];
        for (symbol, Stake { held, buys, sells }) in held {
            let (low, high) = self.prices_of(symbol, at);
            let ends = [held + buys, held - sells];
            for (net, quantity) in nets.iter_mut().zip(ends) {
                let (one, other) = (worth(symbol, quantity, low), worth(symbol, quantity, high));
                net.0 += one.min(other);
                net.1 += one.max(other);
            }
            gross += ends.map(|end| worth(symbol, end, low).abs()).into_iter().max().unwrap();
        }
        let least = |(low, high): (i128, i128)| if low > 0 { low } else { (-high).max(0) };
        (gross, least(nets[0]).max(least(nets[1])))
    }

    /// The lowest and the highest price of the last minute.
    fn prices_of(&self, symbol: &str, at: i64) -> (i64, i64) {
        let Some(prices) = self.prices.get(symbol) else { return usual(symbol) };
        let standing = prices.iter().rfind(|(then, _)| *then <= at - PRICES_KEPT);
        let recent = prices.iter().filter(|(then, _)| *then > at - PRICES_KEPT && *then <= at);
        let first = standing.map_or_else(|| usual(symbol).0, |(_, price)| *price);
        recent.fold((first, first), |(low, high), (_, price)| (low.min(*price), high.max(*price)))
    }
}

/// The price with which an instrument begins.
fn usual(symbol: &str) -> (i64, i64) {
    let price = match symbol {
        "AAPL" => 200,
        "BTCUSD" => 60_000,
        _ => 5_000,
    };
    (price * ONE, price * ONE)
}

/// Quantity times price times what a point is worth.
pub(crate) fn worth(symbol: &str, quantity: i64, price: i64) -> i128 {
    let point = if ["AAPL", "BTCUSD"].contains(&symbol) { 1 } else { 50 };
    i128::from(quantity) * i128::from(price) * point / i128::from(ONE)
}

fn units(told: &Value) -> Option<i64> {
    Some(told.as_str()?.parse::<Quantity>().unwrap().units())
}

/// Limits that a person tightens and loosens, drawn from a stream of their own.
pub(crate) struct Drawing {
    random: SplitMix64,
    symbols: Vec<&'static str>,
    /// As loose as an order's quantity may be.
    most: i64,
    tight: BTreeSet<(String, LimitName)>,
}

/// Those that are drawn.
const DRAWN: [LimitName; 10] = [
    LimitName::MaxOrderQuantity,
    LimitName::MaxOrderNotional,
    LimitName::MaxPosition,
    LimitName::MaxPositionNotional,
    LimitName::MaxOrdersPerMinute,
    LimitName::MaxOrdersPerSecond,
    LimitName::MaxOpenOrders,
    LimitName::MaxGrossExposure,
    LimitName::MaxNetExposure,
    LimitName::Restricted,
];

impl Drawing {
    pub(crate) fn new(seed: u64, symbols: &[&'static str], most: i64) -> Self {
        let random = SplitMix64::new(seed ^ 0x0b0d);
        Self { random, symbols: symbols.to_vec(), most, tight: BTreeSet::new() }
    }

    /// Where, what, and how much.
    pub(crate) fn draw(&mut self, accounts: &[String], strategies: &[String]) -> Said {
        let tight: Vec<_> = self.tight.iter().cloned().collect();
        if tight.len() > 4 || (!tight.is_empty() && self.random.per_mille(350)) {
            let (scope, name) = self.random.pick(&tight).clone();
            self.tight.remove(&(scope.clone(), name));
            return (scope, name, self.loose(name));
        }
        let symbol = *self.random.pick(&self.symbols);
        let name = *self.random.pick(&DRAWN);
        let is_whole = [LimitName::MaxGrossExposure, LimitName::MaxNetExposure].contains(&name);
        let scope = match self.random.below(if is_whole { 2 } else { 4 }) {
            0 => "org".to_owned(),
            1 => format!("account:{}", self.random.pick(accounts)),
            2 => format!("strategy:{}", self.random.pick(strategies)),
            _ => format!("instrument:{symbol}"),
        };
        self.tight.insert((scope.clone(), name));
        (scope, name, self.tightened(name, symbol))
    }

    fn tightened(&mut self, name: LimitName, symbol: &str) -> i64 {
        let lot = if symbol == "BTCUSD" { ONE / 10_000 } else { ONE };
        let tenths = *self.random.pick(&[15, 25, 35, 55, 85]);
        let money = worth(symbol, lot, usual(symbol).0) * tenths / 10;
        let quantity = *self.random.pick(&[1, 2, 3, 5]);
        match name {
            LimitName::MaxOrderQuantity => (quantity * lot).min(self.most * ONE),
            LimitName::MaxPosition => *self.random.pick(&[2, 3, 5, 8]) * lot,
            LimitName::MaxOrdersPerMinute => *self.random.pick(&[2, 4, 8]) * ONE,
            LimitName::MaxOrdersPerSecond | LimitName::MaxOpenOrders => {
                *self.random.pick(&[1, 2, 3]) * ONE
            }
            LimitName::Restricted => ONE,
            _ => i64::try_from(money).unwrap(),
        }
    }

    fn loose(&self, name: LimitName) -> i64 {
        match name {
            LimitName::MaxOrderQuantity => self.most * ONE,
            LimitName::MaxOrderNotional => 5_000_000 * ONE,
            LimitName::MaxPosition => 20 * ONE,
            LimitName::Restricted => 0,
            LimitName::MaxOrdersPerMinute
            | LimitName::MaxOrdersPerSecond
            | LimitName::MaxOpenOrders => 600 * ONE,
            _ => 50_000_000 * ONE,
        }
    }
}
