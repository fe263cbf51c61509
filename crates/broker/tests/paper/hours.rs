//! Hours of trading: at any time unless asked otherwise, else by the instrument's calendar.

use crate::support::{account, buy};
use tradewarden_broker::paper::{Command, PaperExchange, PriceSource, Reply, Twist};
use tradewarden_broker::port::{MarketState, PlaceOrder, Placement};
use tradewarden_domain::order::{OrderType, TimeInForce};
use tradewarden_domain::price::{Market, Trading};
use tradewarden_domain::time::Timestamp;

struct Exchange(PaperExchange);

impl Exchange {
    fn new() -> Self {
        let (cash, currency) = ("1000000".parse().unwrap(), "USD".to_owned());
        let mut new = Self(PaperExchange::new(1));
        let opened = new.ask(
            Command::OpenAccount { account: account(), cash, currency },
            at("2026-11-21T12:00:00Z"),
        );
        assert_eq!(opened, Reply::Done);
        new
    }

    fn ask(&mut self, command: Command, now: Timestamp) -> Reply {
        self.0.apply(command, now, Twist::None).unwrap().reply
    }

    fn market(&mut self, symbol: &str, now: &str) -> MarketState {
        match self.ask(Command::Quote { symbol: symbol.parse().unwrap() }, at(now)) {
            Reply::Quote(quote) => quote.market,
            other => panic!("{other:?}"),
        }
    }

    fn trades(&mut self, symbol: &str, trading: Trading) {
        let (symbol, price) = (symbol.parse().unwrap(), PriceSource::Synthetic);
        let command = Command::SetPrice { symbol, price, market: trading };
        assert_eq!(self.ask(command, at("2026-11-21T12:00:00Z")), Reply::Done);
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const LISTED: [&str; 8] = ["BTCUSD", "ETHUSD", "AAPL", "MSFT", "SPY", "EURUSD", "ES", "NQ"];

/// The demo works at any hour of any day.
#[test]
fn everything_trades_always_unless_asked_otherwise() {
    let mut exchange = Exchange::new();
    for symbol in LISTED {
        for now in ["2026-11-21T03:00:00Z", "2026-12-25T12:00:00Z", "2031-01-01T00:00:00Z"] {
            assert_eq!(exchange.market(symbol, now), MarketState::Open, "{symbol} at {now}");
        }
    }
}

#[test]
fn hours_are_those_of_the_calendar() {
    use Market::{Closed, Open, Unknown};
    let mut exchange = Exchange::new();
    for symbol in LISTED {
        exchange.trades(symbol, Trading::Hours);
    }
    for (symbol, now, market) in [
        ("BTCUSD", "2026-11-21T03:00:00Z", Open),
        ("AAPL", "2026-11-23T14:29:59Z", Closed),
        ("AAPL", "2026-11-23T14:30:00Z", Open),
        ("AAPL", "2029-11-23T15:30:00Z", Unknown),
        ("ES", "2026-11-22T22:59:59Z", Closed),
        ("ES", "2026-11-22T23:00:00Z", Open),
        ("ES", "2026-11-23T22:30:00Z", Closed),
        ("EURUSD", "2026-11-27T21:59:59Z", Open),
        ("EURUSD", "2026-11-27T22:00:00Z", Closed),
    ] {
        assert_eq!(exchange.market(symbol, now), market, "{symbol} at {now}");
    }
    exchange.trades("AAPL", Trading::Closed);
    assert_eq!(exchange.market("AAPL", "2026-11-23T15:00:00Z"), Closed);
    exchange.trades("AAPL", Trading::Open);
    assert_eq!(exchange.market("AAPL", "2026-11-21T15:00:00Z"), Open);
}

/// In the daily break market orders are rejected, and what rests fills when it ends.
#[test]
fn orders_meet_the_hours() {
    let mut exchange = Exchange::new();
    exchange.trades("ES", Trading::Hours);
    let order = |id: &str| PlaceOrder {
        symbol: "ES".parse().unwrap(),
        expires_at: at("2026-12-01T00:00:00Z"),
        ..buy(id)
    };
    let (pause, session) = (at("2026-11-23T22:30:00Z"), at("2026-11-23T23:00:00Z"));
    match exchange.ask(Command::Place(order("a")), pause) {
        Reply::Placement(Placement::Rejected { code, .. }) => assert_eq!(code, "market_closed"),
        other => panic!("{other:?}"),
    }
    let resting = PlaceOrder {
        order_type: OrderType::Limit,
        limit_price: Some("6000".parse().unwrap()),
        time_in_force: TimeInForce::Gtc,
        ..order("b")
    };
    let placed = exchange.ask(Command::Place(resting), pause);
    assert!(matches!(placed, Reply::Placement(Placement::Accepted { .. })), "{placed:?}");
    let filled = |exchange: &mut Exchange, now| match exchange
        .ask(Command::Fills { account: account(), cursor: None, limit: 10 }, now)
    {
        Reply::Fills(page) => page.items.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(exchange.ask(Command::Tick, pause), Reply::Done);
    assert_eq!(filled(&mut exchange, pause), 0);
    assert_eq!(exchange.ask(Command::Tick, session), Reply::Done);
    assert_eq!(filled(&mut exchange, session), 1);
}
