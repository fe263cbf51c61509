//! One rule of the exchange at a time.

use crate::support::{NOON, account, buy, name};
use std::time::Duration;
use tradewarden_broker::paper::{Command, PaperExchange, PriceSource, Reply, Twist};
use tradewarden_broker::port::{
    AllCanceled, BrokerOrder, BrokerOrderState, Cancellation, Lookup, PlaceOrder, Placement,
    ReduceOnly, ReplaceOrder, Replacement,
};
use tradewarden_domain::money::Price;
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::price::Trading;
use tradewarden_domain::time::Timestamp;

struct Exchange {
    exchange: PaperExchange,
    now: Timestamp,
}

impl Exchange {
    /// One account with 100,000 USD; BTCUSD at 100, so bid 99.99 and ask 100.01.
    fn new() -> Self {
        let mut new = Self { exchange: PaperExchange::new(1), now: NOON };
        let (cash, currency) = ("100000".parse().unwrap(), "USD".to_owned());
        assert_eq!(
            new.ask(Command::OpenAccount { account: account(), cash, currency }),
            Reply::Done
        );
        new.price("100", Trading::Open);
        new
    }

    fn ask(&mut self, command: Command) -> Reply {
        self.exchange.apply(command, self.now, Twist::None).unwrap().reply
    }

    fn price(&mut self, price: &str, market: Trading) {
        let (symbol, price) =
            ("BTCUSD".parse().unwrap(), PriceSource::Fixed(price.parse().unwrap()));
        assert_eq!(self.ask(Command::SetPrice { symbol, price, market }), Reply::Done);
    }

    fn liquidity(&mut self, per_tick: &str) {
        let per_tick = Some(per_tick.parse().unwrap());
        let symbol = "BTCUSD".parse().unwrap();
        assert_eq!(self.ask(Command::SetLiquidity { symbol, per_tick }), Reply::Done);
    }

    fn tick(&mut self) {
        assert_eq!(self.ask(Command::Tick), Reply::Done);
    }

    fn place(&mut self, order: PlaceOrder) -> Placement {
        match self.ask(Command::Place(order)) {
            Reply::Placement(placement) => placement,
            other => panic!("{other:?}"),
        }
    }

    fn code(&mut self, order: PlaceOrder) -> String {
        match self.place(order) {
            Placement::Rejected { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    fn find(&mut self, id: &str) -> BrokerOrder {
        match self.ask(Command::Find(name(id))) {
            Reply::Lookup(Lookup::Found(order)) => order,
            other => panic!("{other:?}"),
        }
    }

    /// State, filled quantity and average price, for short assertions.
    fn shape(&mut self, id: &str) -> String {
        let order = self.find(id);
        let price = order.average_price.map_or("-".to_owned(), |price| price.to_string());
        format!("{} {}/{} {price}", order.state, order.filled_quantity, order.quantity)
    }

    fn position(&mut self) -> String {
        match self.ask(Command::Positions { account: account(), cursor: None }) {
            Reply::Positions(page) => {
                page.items.first().map_or("0".to_owned(), |position| position.quantity.to_string())
            }
            other => panic!("{other:?}"),
        }
    }
}

fn sell(id: &str) -> PlaceOrder {
    PlaceOrder { side: Side::Sell, ..buy(id) }
}

fn limit(order: PlaceOrder, price: &str) -> PlaceOrder {
    PlaceOrder {
        order_type: OrderType::Limit,
        limit_price: Some(price.parse().unwrap()),
        time_in_force: TimeInForce::Gtc,
        ..order
    }
}

fn stop(order: PlaceOrder, price: &str) -> PlaceOrder {
    PlaceOrder {
        order_type: OrderType::Stop,
        stop_price: Some(price.parse().unwrap()),
        time_in_force: TimeInForce::Gtc,
        ..order
    }
}

fn of(order: PlaceOrder, quantity: &str) -> PlaceOrder {
    PlaceOrder { quantity: quantity.parse().unwrap(), ..order }
}

fn reducing(order: PlaceOrder) -> PlaceOrder {
    PlaceOrder { reduce_only: ReduceOnly::Yes, ..order }
}

/// S24: fills are at bid or ask plus a tick.
#[test]
fn s24_market_orders_pay_the_quote_and_a_tick() {
    let mut exchange = Exchange::new();
    exchange.place(buy("b"));
    exchange.place(of(sell("s"), "3"));
    assert_eq!(exchange.shape("b"), "filled 1/1 100.02");
    assert_eq!(exchange.shape("s"), "filled 3/3 99.98");
    assert_eq!(exchange.position(), "-2");
}

#[test]
fn limits_wait_and_fill_at_their_price() {
    let mut exchange = Exchange::new();
    exchange.place(limit(buy("rests"), "99"));
    exchange.place(limit(buy("crosses"), "100.5"));
    exchange.place(limit(buy("at the ask"), "100.01"));
    assert_eq!(exchange.shape("rests"), "working 0/1 -");
    assert_eq!(exchange.shape("crosses"), "filled 1/1 100.02");
    exchange.price("99", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("rests"), "working 0/1 -", "the ask is 99.01");
    exchange.price("98", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("rests"), "filled 1/1 99");
}

#[test]
fn stops_trigger_and_fill_as_market_or_limit() {
    let mut exchange = Exchange::new();
    exchange.place(stop(buy("stop"), "101"));
    let stop_limit = PlaceOrder {
        order_type: OrderType::StopLimit,
        limit_price: Some("100.5".parse().unwrap()),
        ..stop(buy("stop-limit"), "101")
    };
    exchange.place(stop_limit);
    exchange.place(stop(sell("under"), "99"));
    exchange.tick();
    assert_eq!(exchange.shape("stop"), "working 0/1 -");
    exchange.price("101", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("stop"), "filled 1/1 101.02");
    assert_eq!(exchange.shape("stop-limit"), "working 0/1 -");
    exchange.price("100", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("stop-limit"), "filled 1/1 100.5");
    exchange.price("98.5", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("under"), "filled 1/1 98.48");
}

#[test]
fn times_in_force() {
    let mut exchange = Exchange::new();
    exchange.liquidity("2");
    let ioc = PlaceOrder { time_in_force: TimeInForce::Ioc, ..of(buy("ioc"), "3") };
    let fok = PlaceOrder { time_in_force: TimeInForce::Fok, ..of(buy("fok"), "3") };
    exchange.place(fok);
    exchange.place(ioc);
    assert_eq!(exchange.shape("fok"), "canceled 0/3 -");
    assert_eq!(exchange.shape("ioc"), "canceled 2/3 100.02");
    exchange.place(PlaceOrder { time_in_force: TimeInForce::Day, ..limit(buy("day"), "50") });
    exchange.place(limit(buy("gtc"), "50"));
    exchange.now = NOON.plus(Duration::from_hours(12));
    exchange.tick();
    assert_eq!(exchange.shape("day"), "expired 0/1 -");
    assert_eq!(exchange.shape("gtc"), "working 0/1 -");
}

#[test]
fn liquidity_fills_in_parts_each_tick() {
    let mut exchange = Exchange::new();
    exchange.liquidity("2");
    exchange.place(of(buy("large"), "5"));
    assert_eq!(exchange.shape("large"), "partially_filled 2/5 100.02");
    exchange.place(buy("next"));
    assert_eq!(exchange.shape("next"), "working 0/1 -");
    exchange.tick();
    assert_eq!(exchange.shape("large"), "partially_filled 4/5 100.02");
    exchange.tick();
    assert_eq!(exchange.shape("large"), "filled 5/5 100.02");
    assert_eq!(exchange.shape("next"), "filled 1/1 100.02");
}

#[test]
fn reduce_only_shrinks_is_refused_and_ends_when_flat() {
    let mut exchange = Exchange::new();
    assert_eq!(exchange.code(reducing(sell("flat"))), "reduce_only");
    exchange.place(of(buy("entry"), "2"));
    assert_eq!(exchange.code(reducing(buy("adds"))), "reduce_only");
    exchange.place(reducing(of(limit(sell("target"), "101"), "5")));
    exchange.place(reducing(of(stop(sell("stop"), "99"), "2")));
    assert_eq!(exchange.shape("target"), "working 0/2 -", "shrunk to the position");
    exchange.price("102", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("target"), "filled 2/2 101");
    exchange.price("98", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("stop"), "canceled 0/2 -", "nothing is left to reduce");
    assert_eq!(exchange.position(), "0");
}

#[test]
fn what_cannot_be_is_rejected_with_a_word_and_found_so() {
    let mut exchange = Exchange::new();
    let price = |text: &str| Some(text.parse::<Price>().unwrap());
    let cases = [
        (PlaceOrder { expires_at: NOON.minus(Duration::from_micros(1)), ..buy("a") }, "expired"),
        (PlaceOrder { symbol: "DOGE".parse().unwrap(), ..buy("b") }, "unknown_symbol"),
        (limit(buy("c"), "99.005"), "invalid_price"),
        (PlaceOrder { order_type: OrderType::Limit, ..buy("d") }, "invalid_price"),
        (PlaceOrder { stop_price: price("99"), ..buy("e") }, "invalid_price"),
        (limit(buy("f"), "-1"), "invalid_price"),
        (of(buy("g"), "0"), "invalid_quantity"),
        (of(buy("h"), "-1"), "invalid_quantity"),
        (of(buy("i"), "0.00015"), "invalid_quantity"),
        (of(buy("j"), "90000000000"), "too_large"),
        (
            PlaceOrder { time_in_force: TimeInForce::Ioc, ..stop(buy("k"), "101") },
            "invalid_time_in_force",
        ),
    ];
    for (order, code) in cases {
        let id = order.client_order_id.clone();
        assert_eq!(exchange.code(order), code, "{id}");
        assert_eq!(exchange.find(&id).state, BrokerOrderState::Rejected);
    }
    assert_eq!(exchange.code(buy("")), "invalid_client_order_id");
    assert_eq!(exchange.code(buy(&"x".repeat(65))), "invalid_client_order_id");
    let stranger = PlaceOrder { account: "nobody".to_owned().into(), ..buy("z") };
    assert_eq!(exchange.code(stranger), "unknown_account");
    let counts = exchange.exchange.counts();
    assert_eq!((counts.place_received, counts.orders_created, counts.fills), (14, 0, 0));
}

#[test]
fn an_id_makes_one_order_for_ever() {
    let mut exchange = Exchange::new();
    exchange.place(buy("once"));
    for _ in 0..2 {
        match exchange.place(of(sell("once"), "7")) {
            Placement::Rejected { code, reason } => {
                assert_eq!(code, "duplicate_client_order_id");
                assert_eq!(reason, "order po-1 is filled, 1 of 1 filled");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(exchange.position(), "1");
    let counts = exchange.exchange.counts();
    assert_eq!((counts.place_received, counts.orders_created), (3, 1));
    assert_eq!((counts.duplicates_refused, counts.fills), (2, 1));
    assert_eq!(exchange.exchange.times_received("once"), 3);
    assert_eq!(exchange.exchange.times_received("never"), 0);
}

#[test]
fn a_closed_market_rejects_what_must_trade_and_fills_nothing() {
    let mut exchange = Exchange::new();
    exchange.place(limit(buy("before"), "99"));
    exchange.price("90", Trading::Closed);
    assert_eq!(exchange.code(buy("market")), "market_closed");
    exchange.place(limit(buy("limit"), "95"));
    exchange.tick();
    assert_eq!(exchange.shape("before"), "working 0/1 -");
    assert_eq!(exchange.shape("limit"), "working 0/1 -");
    exchange.price("90", Trading::Open);
    exchange.tick();
    assert_eq!(exchange.shape("before"), "filled 1/1 99");
    assert_eq!(exchange.shape("limit"), "filled 1/1 95");
}

#[test]
fn cancels_and_changes() {
    let mut exchange = Exchange::new();
    exchange.place(limit(buy("one"), "99"));
    exchange.place(limit(buy("two"), "98"));
    exchange.place(buy("filled"));
    let cancel = |exchange: &mut Exchange, id: &str| match exchange.ask(Command::Cancel(name(id))) {
        Reply::Cancellation(cancellation) => cancellation,
        other => panic!("{other:?}"),
    };
    assert_eq!(cancel(&mut exchange, "one"), Cancellation::Done);
    assert!(matches!(cancel(&mut exchange, "one"), Cancellation::Rejected { .. }));
    assert!(matches!(cancel(&mut exchange, "filled"), Cancellation::Rejected { .. }));
    assert_eq!(cancel(&mut exchange, "none"), Cancellation::NotFound);
    let change = |quantity: Option<&str>, limit: Option<&str>| ReplaceOrder {
        order: name("two"),
        quantity: quantity.map(|text| text.parse().unwrap()),
        limit_price: limit.map(|text| text.parse().unwrap()),
        stop_price: None,
        expires_at: Timestamp::from_unix_micros(i64::MAX),
    };
    let reply = exchange.ask(Command::Replace(change(None, Some("97.001"))));
    assert!(matches!(reply, Reply::Replacement(Replacement::Rejected { .. })), "{reply:?}");
    let late = ReplaceOrder {
        expires_at: Timestamp::from_unix_micros(i64::MIN),
        ..change(Some("3"), Some("101"))
    };
    let reply = exchange.ask(Command::Replace(late));
    assert!(matches!(reply, Reply::Replacement(Replacement::Rejected { .. })), "{reply:?}");
    assert_eq!(exchange.shape("two"), "working 0/1 -");
    let reply = exchange.ask(Command::Replace(change(Some("3"), Some("101"))));
    assert!(matches!(reply, Reply::Replacement(Replacement::Done { .. })), "{reply:?}");
    assert_eq!(exchange.shape("two"), "filled 3/3 100.02");
    exchange.place(limit(buy("three"), "97"));
    let all = Command::CancelAll { account: account(), symbol: Some("ES".parse().unwrap()) };
    assert_eq!(exchange.ask(all), Reply::AllCanceled(AllCanceled::Done { count: 0 }));
    let all = Command::CancelAll { account: account(), symbol: None };
    assert_eq!(exchange.ask(all), Reply::AllCanceled(AllCanceled::Done { count: 1 }));
    assert_eq!(exchange.shape("three"), "canceled 0/1 -");
}
