//! The exchange against a plain model, and against its own records.

use crate::support::{NOON, account, buy};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tradewarden_broker::paper::{Command, PaperExchange, PriceSource, Record, Reply, Twist};
use tradewarden_broker::port::{
    AccountState, BrokerOrder, Execution, Lookup, OrderName, PlaceOrder, Placement, ReduceOnly,
    ReplaceOrder,
};
use tradewarden_domain::money::{Price, Quantity};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::Timestamp;

const SYMBOLS: [(&str, i64); 2] = [("BTCUSD", 1), ("ES", 50)];

#[derive(Debug, Clone)]
enum Step {
    Place { id: u8, order: PlaceOrder, twist: Twist },
    Cancel(u8),
    Replace(u8, i64, i64),
    CancelAll,
    Price { symbol: usize, quarters: i64, market: Trading },
    Liquidity { symbol: usize, per_tick: Option<i64> },
    Tick(u64),
}

fn price(quarters: i64) -> Price {
    Price::from_units(quarters * 25_000_000)
}

fn quantity(whole: i64) -> Quantity {
    Quantity::from_whole(whole).unwrap()
}

fn place() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(OrderType::ALL);
    let time = prop::sample::select(TimeInForce::ALL);
    let twist = prop_oneof![
        6 => Just(Twist::None),
        1 => Just(Twist::Lost),
        1 => Just(Twist::Late),
        1 => Just(Twist::Reject),
        1 => (1_i64..4).prop_map(|part| Twist::Partial(quantity(part))),
    ];
    let prices = (380_i64..420, 380_i64..420);
    (0_u8..40, kind, time, any::<[bool; 2]>(), 0_usize..2, 1_i64..9, prices, twist).prop_map(
        |(id, kind, time_in_force, [sells, reduces], symbol, amount, (limit, stop), twist)| {
            let has_limit = matches!(kind, OrderType::Limit | OrderType::StopLimit);
            let has_stop = matches!(kind, OrderType::Stop | OrderType::StopLimit);
            let order = PlaceOrder {
                symbol: SYMBOLS[symbol].0.parse().unwrap(),
                side: if sells { Side::Sell } else { Side::Buy },
                order_type: kind,
                quantity: quantity(amount),
                limit_price: has_limit.then(|| price(limit)),
                stop_price: has_stop.then(|| price(stop)),
                time_in_force,
                reduce_only: if reduces { ReduceOnly::Yes } else { ReduceOnly::No },
                ..buy(&format!("id-{id}"))
            };
            Step::Place { id, order, twist }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let market = prop_oneof![4 => Just(Trading::Open), 1 => Just(Trading::Closed)];
    prop_oneof![
        8 => place(),
        2 => (0_u8..40).prop_map(Step::Cancel),
        2 => (0_u8..40, 1_i64..9, 380_i64..420).prop_map(|(id, q, p)| Step::Replace(id, q, p)),
        1 => Just(Step::CancelAll),
        4 => (0_usize..2, 380_i64..420, market)
            .prop_map(|(symbol, quarters, market)| Step::Price { symbol, quarters, market }),
        1 => (0_usize..2, prop::option::of(0_i64..6))
            .prop_map(|(symbol, per_tick)| Step::Liquidity { symbol, per_tick }),
        5 => (1_u64..20_000).prop_map(Step::Tick),
    ]
}

struct World {
    exchange: PaperExchange,
    now: Timestamp,
    /// Every order as it was asked for, by the first id that was accepted.
    asked: BTreeMap<String, PlaceOrder>,
    received: u64,
    records: Vec<Record>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            exchange: PaperExchange::new(3),
            now: NOON,
            asked: BTreeMap::new(),
            received: 0,
            records: Vec::new(),
        };
        let (cash, currency) = ("100000".parse().unwrap(), "USD".to_owned());
        world.ask(Command::OpenAccount { account: account(), cash, currency }, Twist::None);
        for (symbol, _) in SYMBOLS {
            let price = PriceSource::Fixed(price(400));
            let symbol = symbol.parse().unwrap();
            let market = Trading::Open;
            world.ask(Command::SetPrice { symbol, price, market }, Twist::None);
        }
        world
    }

    fn ask(&mut self, command: Command, twist: Twist) -> Reply {
        let applied = self.exchange.apply(command, self.now, twist).unwrap();
        self.records.extend(applied.records);
        applied.reply
    }

    fn name(id: u8) -> OrderName {
        OrderName {
            account: account(),
            client_order_id: format!("id-{id}"),
            symbol: "BTCUSD".parse().unwrap(),
            broker_order_id: None,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Place { id, order, twist } => {
                self.received += 1;
                let first = !self.asked.contains_key(&order.client_order_id);
                let before = self.held(&order);
                let reply = self.ask(Command::Place(order.clone()), twist);
                let Reply::Placement(placement) = reply else { panic!("{reply:?}") };
                match placement {
                    Placement::Accepted { .. } => {
                        assert!(first, "id-{id} made a second order");
                        assert_ne!(twist, Twist::Lost);
                        if order.reduce_only == ReduceOnly::Yes {
                            let after = self.held(&order);
                            assert!(after.magnitude() <= before.magnitude());
                        }
                        self.asked.insert(order.client_order_id.clone(), order);
                    }
                    Placement::Rejected { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Cancel(id) => {
                self.ask(Command::Cancel(Self::name(id)), Twist::None);
            }
            Step::Replace(id, amount, quarters) => {
                let order = Self::name(id);
                let known = self.asked.get(&order.client_order_id);
                let (limit_price, stop_price) = known.map_or((None, None), |known| {
                    (known.limit_price.map(|_| price(quarters)), known.stop_price)
                });
                let quantity = Some(quantity(amount));
                let expires_at = Timestamp::from_unix_micros(i64::MAX);
                let change = ReplaceOrder { order, quantity, limit_price, stop_price, expires_at };
                let reply = self.ask(Command::Replace(change.clone()), Twist::None);
                let done = format!("{reply:?}").contains("Done");
                if let Some(known) =
                    self.asked.get_mut(&change.order.client_order_id).filter(|_| done)
                {
                    // A fill before the change was bound by the old price: keep the wider.
                    let wider = match known.side {
                        Side::Buy => known.limit_price.max(change.limit_price),
                        Side::Sell => known.limit_price.min(change.limit_price),
                    };
                    known.limit_price = wider;
                }
            }
            Step::CancelAll => {
                self.ask(Command::CancelAll { account: account(), symbol: None }, Twist::None);
            }
            Step::Price { symbol, quarters, market } => {
                let symbol = SYMBOLS[symbol].0.parse().unwrap();
                let price = PriceSource::Fixed(price(quarters));
                self.ask(Command::SetPrice { symbol, price, market }, Twist::None);
            }
            Step::Liquidity { symbol, per_tick } => {
                let symbol = SYMBOLS[symbol].0.parse().unwrap();
                let per_tick = per_tick.map(quantity);
                self.ask(Command::SetLiquidity { symbol, per_tick }, Twist::None);
            }
            Step::Tick(seconds) => {
                self.now = self.now.plus(Duration::from_secs(seconds));
                self.ask(Command::Tick, Twist::None);
            }
        }
    }

    fn held(&mut self, order: &PlaceOrder) -> Quantity {
        let held = self.positions();
        held.get(order.symbol.as_str()).copied().unwrap_or_default()
    }

    fn positions(&mut self) -> BTreeMap<String, Quantity> {
        match self.ask(Command::Positions { account: account(), cursor: None }, Twist::None) {
            Reply::Positions(page) => {
                page.items.into_iter().map(|p| (p.symbol.to_string(), p.quantity)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn fills(&mut self) -> Vec<Execution> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let command = Command::Fills { account: account(), cursor, limit: 7 };
            let Reply::Fills(page) = self.ask(command, Twist::None) else { panic!() };
            if page.items.is_empty() {
                return all;
            }
            all.extend(page.items);
            cursor = page.next_cursor;
        }
    }

    fn account(&mut self) -> AccountState {
        match self.ask(Command::Account { account: account() }, Twist::None) {
            Reply::Account(state) => state,
            other => panic!("{other:?}"),
        }
    }

    fn order(&mut self, id: &str) -> BrokerOrder {
        let name = OrderName { client_order_id: id.to_owned(), ..Self::name(0) };
        match self.ask(Command::Find(name), Twist::None) {
            Reply::Lookup(Lookup::Found(order)) => order,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that must hold, from the outside.
    fn check(&mut self) {
        let fills = self.fills();
        let ids: BTreeSet<_> = fills.iter().map(|fill| fill.broker_fill_id.clone()).collect();
        assert_eq!(ids.len(), fills.len(), "a fill came twice");
        self.check_sums(&fills);
        self.check_reductions(&fills);
        self.check_orders(&fills);
        let counts = self.exchange.counts();
        assert_eq!(counts.place_received, self.received);
        assert_eq!(counts.orders_created, u64::try_from(self.asked.len()).unwrap());
        assert_eq!(counts.fills, u64::try_from(fills.len()).unwrap());
    }

    /// Position = sum of fills; equity = opening cash - what was paid + what is held at its mark.
    fn check_sums(&mut self, fills: &[Execution]) {
        let positions = self.positions();
        let mut equity: i128 = 100_000 * 100_000_000;
        for (symbol, point_value) in SYMBOLS {
            let own = || fills.iter().filter(|fill| fill.symbol.as_str() == symbol);
            let signed = |fill: &Execution| fill.side.signed(fill.quantity);
            let sum = own().map(signed).fold(Quantity::ZERO, Quantity::saturating_plus);
            assert_eq!(positions.get(symbol).copied().unwrap_or_default(), sum, "{symbol}");
            let Reply::Quote(quote) =
                self.ask(Command::Quote { symbol: symbol.parse().unwrap() }, Twist::None)
            else {
                panic!()
            };
            let mark = if sum.is_positive() { quote.bid } else { quote.ask };
            let worth = |q: Quantity, p: Price| {
                i128::from(q.units()) * i128::from(p.units()) / 100_000_000
                    * i128::from(point_value)
            };
            equity += worth(sum, mark);
            equity -= own().map(|fill| worth(signed(fill), fill.price)).sum::<i128>();
        }
        let found = self.account().equity;
        // A part's cost is cut, and money is shown rounded down: at most a unit for each symbol.
        let difference = equity - i128::from(found.units());
        assert!((0..=4).contains(&difference), "{found} is {difference} units too little");
    }

    /// S4: no fill of a reduce-only order increases or turns a position.
    fn check_reductions(&self, fills: &[Execution]) {
        let mut held: BTreeMap<&str, Quantity> = BTreeMap::new();
        for fill in fills {
            let position = held.entry(fill.symbol.as_str()).or_default();
            let after = position.saturating_plus(fill.side.signed(fill.quantity));
            let order = self.asked.get(&fill.client_order_id);
            if order.is_some_and(|order| order.reduce_only == ReduceOnly::Yes) {
                assert!(after.magnitude() < position.magnitude(), "{fill:?} at {position}");
                assert!(after.is_zero() || after.is_positive() == position.is_positive());
            }
            *position = after;
        }
    }

    fn check_orders(&mut self, fills: &[Execution]) {
        let asked: Vec<PlaceOrder> = self.asked.values().cloned().collect();
        for order in asked {
            let found = self.order(&order.client_order_id);
            let own = || fills.iter().filter(|fill| fill.client_order_id == order.client_order_id);
            let filled =
                own().map(|fill| fill.quantity).fold(Quantity::ZERO, Quantity::saturating_plus);
            assert_eq!(found.filled_quantity, filled);
            assert!(filled <= found.quantity);
            for fill in own() {
                if let Some(limit) = order.limit_price {
                    let kept = match order.side {
                        Side::Buy => fill.price <= limit,
                        Side::Sell => fill.price >= limit,
                    };
                    assert!(kept, "{fill:?} breaks {limit}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_exchange_is_what_its_fills_say(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
    }

    /// A crash anywhere: the records so far make the same state, directly and by a snapshot.
    #[test]
    fn the_records_are_the_state(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut again = PaperExchange::new(3);
        let mut folded = 0;
        for step in steps {
            world.take(step);
            for record in &world.records[folded..] {
                let text = serde_json::to_string(record).unwrap();
                let read: Record = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&read, record);
                again.fold(&read).unwrap();
            }
            folded = world.records.len();
            let state = world.exchange.snapshot();
            prop_assert_eq!(again.snapshot(), state.clone());
            let text = serde_json::to_string(&state).unwrap();
            let read = PaperExchange::from_snapshot(3, serde_json::from_str(&text).unwrap());
            prop_assert_eq!(read.unwrap().snapshot(), state);
        }
        // The copy goes on as the original does.
        let later = world.now.plus(Duration::from_hours(25));
        let copy = PaperExchange::from_snapshot(3, world.exchange.snapshot());
        let tick = |mut exchange: PaperExchange| exchange.apply(Command::Tick, later, Twist::None).unwrap();
        let (one, two) = (tick(copy.unwrap()), tick(world.exchange));
        prop_assert_eq!(one, two);
    }
}
