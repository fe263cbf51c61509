//! Limits that count orders, each at its own level.

use super::{keys, millis};
use serde_json::json;
use std::cell::Cell;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{Order, OrderState, OrderType, Side};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::command::{Command, CommandError, OrderChange, OrderCreate};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, Heard, Hook, raw, signal, simulate, strategy};
use tradewarden_testkit::life::Death;

/// What is traded by each of the strategies, by the place of its account.
const TRADED: [(usize, &str); 4] = [(0, "ES"), (0, "AAPL"), (1, "ES"), (1, "AAPL")];

/// Two accounts with two strategies each, whose entries rest at the broker.
pub(crate) struct Desk {
    pub(crate) h: Harness,
    pub(crate) hooks: Vec<Hook>,
    accounts: [String; 2],
    strategies: Vec<String>,
}

impl Desk {
    pub(crate) async fn on(h: Harness) -> Self {
        h.ready().await;
        let accounts = [h.account("main").await, h.account("other").await];
        let (mut hooks, mut strategies) = (Vec::new(), Vec::new());
        for (number, (account, symbol)) in TRADED.into_iter().enumerate() {
            let hook = h.webhook(&format!("hook{number}"), 1_000).await;
            let name = format!("strategy{number}");
            let mut new = strategy(&name, &hook, &accounts[account], symbol, "1");
            new.pyramiding = Some(Pyramiding::Allow);
            strategies.push(h.strategy(new).await);
            hooks.push(hook);
        }
        h.sane_limits().await;
        h.limit("org", "max_position", "1000").await;
        h.broker.usual_plan(FillPlan::Rests);
        Self { h, hooks, accounts, strategies }
    }

    async fn send(&self, hook: usize, id: &str) -> Option<Code> {
        let reply = self.h.send(&self.hooks[hook], &signal("BUY", id)).await.answer();
        assert_eq!(reply.code.is_none(), reply.status == SignalStatus::Accepted, "{reply:?}");
        reply.code
    }

    /// So many of each at once, each of its own strategy.
    async fn flood(&self, each: usize, name: &str) -> usize {
        let requests = (0..each).flat_map(|number| {
            let of =
                move |(place, hook)| raw(hook, &signal("BUY", &format!("{name} {number} {place}")));
            self.hooks.iter().enumerate().map(of)
        });
        let heard = self.h.send_together(requests.collect()).await;
        let accepted = |heard: &Heard| match heard {
            Heard::Answer(reply) => reply.status == SignalStatus::Accepted,
            _ => false,
        };
        heard.iter().filter(|heard| accepted(heard)).count()
    }

    /// The orders that were let in.
    async fn let_in(&self) -> Vec<Order> {
        let mut orders = self.h.orders().await;
        orders.retain(|order| order.state != OrderState::Refused);
        orders
    }

    /// What rests fills.
    async fn fill(&self) {
        self.h.elapse(millis(300)).await;
        self.h.broker.let_all_fill();
        self.h.quiet().await;
    }

    async fn end(self) {
        assert!(self.h.verify().await.ok);
        assert!(self.h.broker.violations().is_empty(), "{:?}", self.h.broker.violations());
        self.h.finish().await;
    }
}

/// A count is that of the level: what is ordered elsewhere neither counts nor is refused.
#[test]
fn a_limit_counts_the_orders_of_the_level_where_it_is_set() {
    for (name, code, room_after) in [
        ("max_open_orders", Code::RiskMaxOpenOrders, millis(10)),
        ("max_orders_per_second", Code::RiskMaxOrdersPerSecond, millis(1_020)),
        ("max_orders_per_minute", Code::RiskMaxOrdersPerMinute, millis(61_000)),
    ] {
        for (level, counted) in [
            ("org", &[0, 1, 2, 3][..]),
            ("account", &[0, 1]),
            ("strategy", &[0]),
            ("instrument", &[0, 2]),
        ] {
            simulate(async || {
                let desk = Desk::on(Harness::sqlite(901, Venue::default()).await).await;
                let scope = match level {
                    "account" => format!("account:{}", desk.accounts[0]),
                    "strategy" => format!("strategy:{}", desk.strategies[0]),
                    "instrument" => "instrument:ES".to_owned(),
                    _ => level.to_owned(),
                };
                desk.h.limit(&scope, name, "2").await;
                let mut count = 0;
                for round in 0..3 {
                    for hook in 0..TRADED.len() {
                        let is_counted = counted.contains(&hook);
                        let expected = (is_counted && count >= 2).then_some(code);
                        count += usize::from(is_counted && expected.is_none());
                        let heard = desk.send(hook, &format!("{round} {hook}")).await;
                        assert_eq!(heard, expected, "{name} at {level}: {round} {hook}");
                    }
                }
                if name == "max_open_orders" {
                    desk.fill().await;
                }
                desk.h.elapse(room_after).await;
                assert_eq!(desk.send(0, "later").await, None, "{name} at {level}");
                desk.fill().await;
                desk.end().await;
            });
        }
    }
}

/// A key's orders on every account are its own, its changes too; another key's are not.
#[test]
fn a_limit_of_a_key_counts_what_it_asks_for_on_every_account() {
    for (name, code) in [
        ("max_open_orders", Code::RiskMaxOpenOrders),
        ("max_orders_per_second", Code::RiskMaxOrdersPerSecond),
        ("max_orders_per_minute", Code::RiskMaxOrdersPerMinute),
    ] {
        simulate(async || {
            let desk = Desk::on(Harness::sqlite(902, Venue::default()).await).await;
            let settings = json!({"scopes": ["orders:create"]});
            let bots = [
                keys::key(&desk.h, settings.clone()).await,
                keys::key(&desk.h, settings.clone()).await,
            ];
            let scope = format!("key:{}", bots[0]["id"].as_str().unwrap());
            desk.h.limit(&scope, name, "3").await;
            let nonces = Cell::new(0_u32);
            let tried = async |bot: usize, command: Command| {
                nonces.set(nonces.get() + 1);
                let nonce = format!("nonce-{:016}", nonces.get());
                let actor = keys::caller(&desk.h, &bots[bot], &nonce);
                let engine = desk.h.engine();
                match desk.h.drive(engine.execute(command, &actor)).await.unwrap() {
                    Ok(_) => None,
                    Err(CommandError::Order(no)) => Some((no.code, no.detail)),
                    Err(error) => panic!("{error}"),
                }
            };
            let place = |account: usize| {
                Command::OrderCreate(OrderCreate {
                    account_id: desk.accounts[account].clone(),
                    symbol: "ES".to_owned(),
                    side: Side::Buy,
                    order_type: OrderType::Market,
                    quantity: "1".parse().unwrap(),
                    limit_price: None,
                    stop_price: None,
                    time_in_force: None,
                    reduce_only: false,
                    expires_at: None,
                    tag: None,
                    allow_repeat: true,
                })
            };
            assert_eq!(tried(0, place(0)).await, None, "{name}");
            assert_eq!(tried(0, place(1)).await, None, "{name}");
            let first = desk.let_in().await.remove(0);
            let change = Command::OrderChange(OrderChange {
                id: first.id.to_string(),
                quantity: Some("2".parse().unwrap()),
                limit_price: None,
                stop_price: None,
            });
            assert_eq!(tried(0, change).await, None, "{name}");
            let is_open = name == "max_open_orders";
            if is_open {
                // A change opens nothing.
                assert_eq!(tried(0, place(1)).await, None, "{name}");
            }
            let (no, detail) = tried(0, place(0)).await.unwrap();
            assert_eq!(no, code);
            assert!(detail.ends_with("Asked 4, allowed 3 at level key."), "{detail}");
            assert_eq!(tried(1, place(0)).await, None, "{name}: another key");
            assert_eq!(desk.send(0, "a").await, None, "{name}: a strategy");
            desk.fill().await;
            desk.end().await;
        });
    }
}

/// Many orders of all accounts at once: as many as the organization may have, and not one more; what
/// was counted is counted after a crash too.
pub(crate) async fn race(h: Harness, name: &str) {
    let mut desk = Desk::on(h).await;
    desk.h.limit("org", name, "7").await;
    assert_eq!(desk.flood(25, "first").await, 7, "{name}");
    assert_eq!(desk.let_in().await.len(), 7, "{name}");
    desk.h.restart().await;
    desk.h.ready().await;
    assert_eq!(desk.flood(2, "second").await, 0, "{name}");
    if name == "max_open_orders" {
        desk.fill().await;
    }
    desk.h.clock.advance(millis(61_000));
    desk.h.elapse(millis(1_000)).await;
    assert_eq!(desk.flood(25, "third").await, 7, "{name}");
    desk.fill().await;
    desk.end().await;
}

#[test]
fn many_orders_at_once_never_exceed_a_limit_of_the_organization() {
    for name in ["max_open_orders", "max_orders_per_minute"] {
        simulate(async || race(Harness::sqlite(903, Venue::default()).await, name).await);
    }
}

/// Dies at every commit while orders come in: never is one more let in than there may be.
#[test]
fn a_crash_lets_in_no_order_too_many() {
    async fn run(death: Death, name: &str) -> Vec<u64> {
        let mut desk = Desk::on(Harness::sqlite(904, Venue::default()).await).await;
        desk.h.limit("org", name, "3").await;
        desk.h.stop().await;
        desk.h.start(death).await;
        desk.h.ready().await;
        for round in 0..3 {
            desk.flood(1, &format!("{round}")).await;
            if !desk.h.is_alive() {
                desk.h.restart().await;
                desk.h.ready().await;
            }
        }
        let commits = desk.h.commits_that_wrote();
        assert_eq!(desk.let_in().await.len(), 3, "{name} {death:?}");
        desk.fill().await;
        desk.end().await;
        commits
    }
    for name in ["max_open_orders", "max_orders_per_minute"] {
        let commits = simulate(async || run(Death::Never, name).await);
        assert!(commits.len() >= 3, "{commits:?}");
        for number in commits {
            for death in [Death::BeforeCommit(number), Death::AfterCommit(number)] {
                simulate(async || run(death, name).await);
            }
        }
    }
}

/// An organization with as many live orders as one may have enters nothing more, though nobody set a limit;
/// what closes and cancels passes, and with fewer orders entries do again.
#[test]
fn an_organization_has_only_so_many_live_orders() {
    simulate(async || {
        let mut h = Harness::sqlite(861, Venue::default()).await;
        h.live_orders_max = 3;
        h.restart().await;
        let desk = Desk::on(h).await;
        desk.h.broker.usual_plan(FillPlan::AtOnce);
        assert_eq!(desk.send(0, "held").await, None);
        desk.h.quiet().await;
        desk.h.broker.usual_plan(FillPlan::Rests);
        for hook in 1..4 {
            assert_eq!(desk.send(hook, "rests").await, None);
        }
        desk.h.elapse(millis(2_500)).await;
        assert_eq!(desk.send(0, "more").await, Some(Code::RiskMaxOpenOrders));
        desk.h.broker.usual_plan(FillPlan::AtOnce);
        let exit = desk.h.send(&desk.hooks[0], &signal("EXIT", "out")).await.answer();
        assert_eq!(exit.status, SignalStatus::Accepted, "{exit:?}");
        desk.h.elapse(millis(2_500)).await;
        assert_eq!(desk.send(0, "still").await, Some(Code::RiskMaxOpenOrders));
        let all = json!({"command": "order-cancel-all"});
        desk.h.command(serde_json::from_value::<Command>(all).unwrap()).await;
        desk.h.quiet().await;
        desk.h.elapse(millis(2_500)).await;
        assert_eq!(desk.send(0, "again").await, None);
        desk.h.quiet().await;
        desk.h.finish().await;
    });
}
