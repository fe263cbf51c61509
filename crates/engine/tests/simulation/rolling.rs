//! Workloads drawn from a seed in which positions roll by themselves, from month to month within seconds,
//! while the process dies, the broker fails, and people halt and close. No half of a roll is doubled, and
//! none is lost untold.

use crate::bounds::Drawing;
use crate::random::{World, is_asked_for, new_one, of_the_list, told, venue};
use crate::witness::{Deep, HeardHalt, lines};
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, Purpose};
use tradewarden_domain::strategy::{Pyramiding, Sizing};
use tradewarden_domain::time::Clock as _;
use tradewarden_engine::command::{
    Command, CommandError, OrderCreate, PositionClose, RollSet, StrategyCreate,
};
use tradewarden_store::audit::Placed;
use tradewarden_store::auto_rolls;
use tradewarden_testkit::broker::FillPlan;
use tradewarden_testkit::engine::{Harness, halt_engage, strategy};
use tradewarden_testkit::randomness::SplitMix64;

/// The first ones.
const SEEDS: std::ops::Range<u64> = 1..17;
const STEPS: usize = 60;
/// Each month rolls so long after the one before it; the last does not.
const MONTH: Duration = Duration::from_secs(5);
const MONTHS: [(&str, &str); 7] = [
    ("ESH26", "2026-03-20"),
    ("ESM26", "2026-06-18"),
    ("ESU26", "2026-09-18"),
    ("ESZ26", "2026-12-18"),
    ("ESH27", "2027-03-19"),
    ("ESM27", "2027-06-17"),
    ("ESU27", "2027-09-17"),
];
/// Why a roll ends before its entry, and people need not be told: somebody closed it.
const CLOSED: [&str; 4] = ["an exit", "it was closed", "strategy.flat", "operator"];

/// `TRADEWARDEN_SEED=42 cargo nextest run -p tradewarden-engine rolling` replays one.
#[test]
fn seeds_of_the_list() {
    let rolled = Cell::new(0);
    of_the_list(SEEDS, |seed| rolled.set(rolled.get() + run(seed)));
    assert!(rolled.get() > 20 || is_asked_for(), "hardly anything rolled: {}", rolled.get());
}

/// A seed that nobody has tried; it is printed, so that it can be tried again.
#[test]
fn a_new_seed() {
    new_one(|seed| {
        run(seed);
    });
}

/// Answers how many rolls came to their end.
fn run(seed: u64) -> usize {
    let rolled = Cell::new(0);
    told(seed, async || {
        let mut market = SplitMix64::new(seed ^ 0xcafe);
        let h = Harness::sqlite(seed, venue(&mut market)).await;
        let mut rolling = Rolling::new(h, seed).await;
        if !seed.is_multiple_of(4) {
            let did = rolling.world.faults();
            rolling.world.trail.push(did);
        }
        for step in 0..STEPS {
            let did = rolling.step().await;
            let now = rolling.world.h.clock.now();
            rolling.world.trail.push(format!("{step} {now} {did}"));
            let deep = if step % 12 == 11 { Deep::Yes } else { Deep::No };
            rolling.world.check(deep).await;
            rolling.check_halves().await;
        }
        rolling.calm_down().await;
        rolled.set(rolling.check_ends().await);
        rolling.world.h.finish().await;
    });
    rolled.get()
}

struct Rolling {
    world: World,
}

impl Rolling {
    async fn new(h: Harness, seed: u64) -> Self {
        h.ready().await;
        for (month, _) in MONTHS {
            h.broker.list_like("ES", month);
        }
        let accounts = vec![h.account("first").await, h.account("second").await];
        let hooks = vec![h.webhook("near", 10).await, h.webhook("far", 10).await];
        let begun_at = h.now();
        let mut rolls_at = begun_at;
        for (place, (month, expires_on)) in MONTHS.into_iter().enumerate() {
            rolls_at = rolls_at.plus(MONTH);
            h.command(Command::RollSet(RollSet {
                root: "ES".to_owned(),
                contract: month.to_owned(),
                expires_on: expires_on.parse().unwrap(),
                first_notice_on: None,
                roll_at: (place + 1 < MONTHS.len()).then_some(rolls_at),
            }))
            .await;
        }
        let rolls = |new: StrategyCreate| StrategyCreate { auto_roll: true, ..new };
        let mut near = rolls(strategy("near", &hooks[0], &accounts[0], "ES1!", "2"));
        near.pyramiding = Some(Pyramiding::Allow);
        let mut far = rolls(strategy("far", &hooks[1], &accounts[1], "ES1!", "3"));
        (far.sizing, far.allow_short) = (Some(Sizing::Payload), true);
        // Another one in a month through which the first rolls.
        let mut beside = strategy("beside", &hooks[1], &accounts[0], "ESM26", "1");
        (beside.shared_position, beside.allow_short) = (true, true);
        let mut strategies = Vec::new();
        for new in [near, far, beside] {
            strategies.push(h.strategy(new).await);
        }
        h.sane_limits().await;
        let mut world = World::of(h, seed, accounts, hooks, strategies);
        world.drawing = Drawing::new(seed, &["ESH26", "ESM26", "ESU26"], 10);
        Self { world }
    }

    /// Does something, and says what.
    async fn step(&mut self) -> String {
        let did = match self.world.random.below(100) {
            0..=29 => self.signals().await,
            30..=35 => self.world.again().await,
            36..=39 => self.world.changes().await,
            40..=42 => self.halt().await,
            43..=49 => self.world.resume().await,
            50..=57 => self.world.restart().await,
            58..=63 => self.world.faults(),
            64..=67 => self.person().await,
            68..=70 => self.open_or_close(),
            71..=72 => self.world.limit().await,
            73..=77 => self.world.bracket_of_moments().await,
            _ => "waits".to_owned(),
        };
        let millis = *self.world.random.pick(&[60, 600, 3_000]);
        let span = Duration::from_millis(self.world.random.below(millis));
        self.world.h.elapse(span).await;
        format!("{did}; then {span:?}")
    }

    async fn signals(&mut self) -> String {
        if self.world.random.per_mille(300) {
            let span = Duration::from_millis(self.world.random.below(3_000));
            self.world.h.broker.next_plans(&[FillPlan::InTwo(span).into()]);
        }
        let hook = usize::from(self.world.random.per_mille(400));
        let mut body = self.world.body();
        if body["action"] == "EXIT" && self.world.random.per_mille(500) {
            body["comment"] = json!("EXIT_50");
        }
        self.world.send_together(vec![(hook, body)]).await
    }

    async fn halt(&mut self) -> String {
        let world = &mut self.world;
        let month = world.random.pick(&MONTHS).0;
        let scopes = [
            "global".to_owned(),
            format!("account:{}", world.random.pick(&world.witness.accounts)),
            format!("strategy:{}", world.random.pick(&world.strategies)),
            format!("instrument:{month}"),
        ];
        let scope = world.random.pick(&scopes).clone();
        let mode = *world.random.pick(&["block", "reduce_only", "flatten"]);
        let made = world.command(halt_engage(Some(&scope), mode)).await.unwrap();
        let heard = HeardHalt {
            scope: scope.parse().unwrap(),
            mode: mode.parse().unwrap(),
            from: world.h.clock.now(),
            until: None,
        };
        // The same once more is the halt that is there.
        let id = made["id"].as_str().unwrap().to_owned();
        world.witness.halts.entry(id).or_insert(heard);
        format!("halt {scope} {mode}")
    }

    /// A person closes a month, or some of it.
    async fn person(&mut self) -> String {
        let account = self.world.random.pick(&self.world.witness.accounts).clone();
        let symbol = self.world.random.pick(&MONTHS).0.to_owned();
        let command = if self.world.random.per_mille(500) {
            Command::PositionClose(PositionClose { account, symbol })
        } else {
            let side = *self.world.random.pick(&["sell", "sell", "buy"]);
            Command::OrderCreate(OrderCreate {
                account_id: account,
                symbol,
                side: side.parse().unwrap(),
                order_type: "market".parse().unwrap(),
                quantity: "1".parse().unwrap(),
                limit_price: None,
                stop_price: None,
                time_in_force: None,
                reduce_only: true,
                expires_at: None,
                tag: None,
                allow_repeat: true,
            })
        };
        let words = format!("{command:?}");
        match self.world.command(command).await {
            Ok(_) => words,
            Err(no @ (CommandError::Order(_) | CommandError::Refused { .. })) => {
                format!("{words}: {no}")
            }
            Err(error) => panic!("{words}: {error}"),
        }
    }

    fn open_or_close(&mut self) -> String {
        let month = self.world.random.pick(&MONTHS).0;
        let market =
            *self.world.random.pick(&[MarketState::Open, MarketState::Open, MarketState::Closed]);
        self.world.h.broker.set_market(month, None, market);
        format!("{month} {market:?}")
    }

    async fn calm_down(&mut self) {
        for (month, _) in MONTHS {
            self.world.h.broker.set_market(month, None, MarketState::Open);
        }
        self.world.calm_down().await;
        self.check_halves().await;
    }

    /// What rolls opened is never more than what rolls closed, by any strategy on any account: no half is
    /// there twice, and no entry without its exit.
    async fn check_halves(&self) {
        let h = &self.world.h;
        // Read before the orders: what these exits have filled only grows.
        let exits: Vec<Id<id::Order>> = self.events("position.rolling").await;
        let orders = h.orders().await;
        let rolled: Vec<_> = orders.iter().filter(|order| is_rolled_entry(order)).collect();
        for entry in &rolled {
            let is_own = |order: &&Order| {
                (order.account_id, order.strategy_id) == (entry.account_id, entry.strategy_id)
            };
            let own = orders.iter().filter(is_own);
            let closed: Vec<_> = own.filter(|order| exits.contains(&order.id)).collect();
            let opened: Vec<_> = rolled.iter().copied().filter(is_own).collect();
            let sum = |orders: &[&Order], of: fn(&Order) -> Quantity| -> i64 {
                orders.iter().map(|order| of(order).units()).sum()
            };
            assert!(
                opened.len() <= closed.len()
                    && sum(&opened, |order| order.quantity)
                        <= sum(&closed, |order| order.filled_quantity),
                "{opened:#?} for {closed:#?}\n{}",
                lines(h, &orders).await
            );
        }
    }

    /// Once all is at rest: each roll has ended, once; what its exit closed is open again, or somebody
    /// closed it, or people were told. Answers how many were opened.
    async fn check_ends(&self) -> usize {
        let h = &self.world.h;
        // What should have been closed and was not stands, is told, and rolls nothing.
        let standing = auto_rolls::all(h.store()).await.unwrap();
        assert!(standing.iter().all(|roll| !roll.to_open().is_positive()), "{standing:?}");
        assert!(standing.is_empty() || h.has_finding("position.not_rolled").await);
        let (orders, findings) = (h.orders().await, h.findings().await);
        let order = |id: Id<id::Order>| orders.iter().find(|order| order.id == id).unwrap();
        let mut rolled = 0;
        for exit in self.events("position.rolling").await {
            if standing.iter().any(|roll| roll.exit_id == exit) {
                continue;
            }
            let entries = h.entries(exit.to_bytes()).await;
            let ends: Vec<_> = entries.iter().filter_map(end_of).collect();
            let [(event, said)] = ends.as_slice() else { panic!("{exit} ended as {ends:?}") };
            let closed = order(exit).filled_quantity.units();
            if event == "position.rolled" {
                let entry = order(said["entry_id"].as_str().unwrap().parse().unwrap());
                assert!(entry.filled_quantity.units() <= closed, "{entry:?} for {:?}", order(exit));
                rolled += 1;
                continue;
            }
            let why = said["why"].as_str().unwrap();
            let is_closed = CLOSED.contains(&why) || why.starts_with("halt ");
            let is_superseded = said["entry_id"].is_string() && why == "order.superseded";
            let is_told = findings
                .iter()
                .any(|found| found.code == "position.not_rolled" && found.detail == why);
            assert!(is_closed || is_superseded || is_told, "{exit} of {closed}: {said}");
        }
        rolled
    }

    /// The exits of which the log says this, oldest first.
    async fn events(&self, event: &str) -> Vec<Id<id::Order>> {
        let h = &self.world.h;
        let log = h.log(0).await;
        let of_event = log.iter().filter(|entry| leaf(entry)["event"] == event);
        of_event.map(|entry| payload(entry)["exit_id"].as_str().unwrap().parse().unwrap()).collect()
    }
}

/// Whether an entry is a half of a roll: nobody else here enters without a signal.
fn is_rolled_entry(order: &Order) -> bool {
    order.purpose == Purpose::Entry && order.signal_id.is_none() && order.leg.is_none()
}

fn end_of(entry: &Placed) -> Option<(String, Value)> {
    let event = leaf(entry)["event"].as_str()?.to_owned();
    let is_end = ["position.rolled", "position.roll_ended"].contains(&event.as_str());
    is_end.then(|| (event, payload(entry)))
}

fn leaf(entry: &Placed) -> Value {
    serde_json::from_str(&entry.leaf).unwrap()
}

fn payload(entry: &Placed) -> Value {
    serde_json::from_str(&entry.payload).unwrap()
}
