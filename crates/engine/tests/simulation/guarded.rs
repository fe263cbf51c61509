//! Workloads drawn from a seed in which everything is at work that protects: brackets, followers, halts
//! that cancel and close, dead-man switches, overrides, and people who cancel, move and close.

use crate::bounds::{Drawing, ONE};
use crate::random::{World, new_one, of_the_list, told, venue};
use crate::witness::{Deep, HeardHalt, Missing};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::{Capability, MarketState};
use tradewarden_domain::bracket::{Leg, OnNaked};
use tradewarden_domain::money::Quantity;
use tradewarden_domain::order::{Order, OrderState, Purpose};
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing};
use tradewarden_domain::time::Clock as _;
use tradewarden_engine::command::{
    ById, CancelAll, Command, CommandError, HaltEngage, OrderChange, PositionClose,
};
use tradewarden_testkit::broker::{FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, strategy};
use tradewarden_testkit::randomness::SplitMix64;

/// The first ones.
const SEEDS: std::ops::Range<u64> = 1..19;
/// Found something once: exits that filled late and added to the other side, untold; a leg that filled
/// unheard and whose fill a halt took over from the broker's position, and then counted again.
const FINDERS: [u64; 3] = [1089, 1190, 9125];
const STEPS: usize = 60;

/// What is traded, with its prices: the second is the usual one.
const PRICES: [(&str, [&str; 5]); 4] = [
    ("ES", ["4994", "5000", "5003", "5006", "4989"]),
    ("NQ", ["4994", "5000", "5003", "5006", "4989"]),
    ("AAPL", ["198.9", "200", "200.6", "201.3", "199.3"]),
    ("BTCUSD", ["59300", "60000", "60300", "60700", "59700"]),
];
/// No entry is larger without an override.
const MAX_ORDER: i64 = 4;
/// After so much calm nothing about a leg is under way: one that failed twice is tried again after 30 s.
pub(crate) const CALM: Duration = Duration::from_secs(45);

/// `TRADEWARDEN_SEED=42 cargo nextest run -p tradewarden-engine guarded` replays one.
#[test]
fn seeds_of_the_list() {
    of_the_list(FINDERS.into_iter().chain(SEEDS), run);
}

/// A seed that nobody has tried; it is printed, so that it can be tried again.
#[test]
fn a_new_seed() {
    new_one(run);
}

fn run(seed: u64) {
    told(seed, async || {
        let mut market = SplitMix64::new(seed ^ 0xbeef);
        let h = Harness::sqlite(seed, guarded_venue(&mut market)).await;
        lives(h, seed, STEPS, CALM).await;
    });
}

/// One run, to its end; where calm is short, legs that failed may still be missing after it.
pub(crate) async fn lives(h: Harness, seed: u64, steps: usize, calm: Duration) {
    let mut guarded = Guarded::new(h, seed, calm).await;
    if !seed.is_multiple_of(4) {
        let did = guarded.world.faults();
        guarded.world.trail.push(did);
    }
    for step in 0..steps {
        let did = guarded.step().await;
        let now = guarded.world.h.clock.now();
        guarded.world.trail.push(format!("{step} {now} {did}"));
        guarded.check(if step % 12 == 11 { Deep::Yes } else { Deep::No }).await;
    }
    guarded.calm_down().await;
    guarded.world.h.finish().await;
}

fn guarded_venue(random: &mut SplitMix64) -> Venue {
    let reduce_only = if random.per_mille(400) { Capability::Native } else { Capability::Emulated };
    let replace = if random.per_mille(700) { Capability::Native } else { Capability::Absent };
    Venue { reduce_only, replace, ..venue(random) }
}

struct Guarded {
    world: World,
    /// How long trouble ends for.
    calm: Duration,
}

impl Guarded {
    async fn new(h: Harness, seed: u64, calm: Duration) -> Self {
        h.ready().await;
        h.broker.list_like("ES", "NQ");
        let mut accounts = Vec::new();
        for name in ["first", "second", "third"] {
            accounts.push(h.account(name).await);
        }
        let mut hooks = Vec::new();
        for name in ["es", "aapl", "coin", "led"] {
            hooks.push(h.webhook(name, 10).await);
        }
        let away = |text: &str| Some(text.parse().unwrap());
        let mut es = strategy("es", &hooks[0], &accounts[0], "ES", "2");
        es.pyramiding = Some(Pyramiding::Allow);
        (es.take_profit, es.stop_loss) = (away("5"), away("10"));
        let mut aapl = strategy("aapl", &hooks[1], &accounts[1], "AAPL", "3");
        (aapl.sizing, aapl.allow_short) = (Some(Sizing::Payload), true);
        let mut coin = strategy("coin", &hooks[2], &accounts[0], "BTCUSD", "0.0003");
        (coin.on_opposite, coin.allow_short) = (Some(OnOpposite::Reverse), true);
        (coin.stop_loss, coin.on_naked) = (away("1%"), Some(OnNaked::Close));
        let mut led = strategy("led", &hooks[3], &accounts[2], "NQ", "3");
        led.followers = accounts[..2].to_vec();
        (led.take_profit, led.stop_loss) = (away("0.1%"), away("8"));
        let mut strategies = Vec::new();
        for new in [es, aapl, coin, led] {
            strategies.push(h.strategy(new).await);
        }
        h.sane_limits().await;
        h.limit("org", "max_order_quantity", &MAX_ORDER.to_string()).await;
        let mut world = World::of(h, seed, accounts, hooks, strategies);
        world.drawing = Drawing::new(seed, &["ES", "NQ", "AAPL", "BTCUSD"], MAX_ORDER);
        Self { world, calm }
    }

    async fn check(&mut self, deep: Deep) {
        self.check_overrides().await;
        self.world.check(deep).await;
    }

    /// An entry that is larger than allowed has an override, which is of no other order.
    async fn check_overrides(&mut self) {
        let page = self.by_name("override-list", json!({})).await.unwrap();
        let used: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| Some((one["order_id"].as_str()?, one["quantity"].as_str()?)))
            .collect();
        for (order, quantity) in &used {
            let units = quantity.parse::<Quantity>().unwrap().units();
            self.world.witness.bounds.overridden(order, units);
        }
        for order in self.world.h.orders().await {
            let id = order.id.to_string();
            let own: Vec<_> = used.iter().filter(|(order, _)| *order == id).collect();
            assert!(own.len() <= 1, "{own:?}");
            let is_entry = order.purpose == Purpose::Entry;
            if is_entry && order.quantity_at_most().units() > MAX_ORDER * ONE {
                let quantity = own.first().expect("an override").1.parse().unwrap();
                assert!(order.quantity_at_most() <= quantity, "{order:?}");
            }
        }
    }

    async fn by_name(&mut self, name: &str, members: Value) -> Result<Value, CommandError> {
        let mut command = members.as_object().unwrap().clone();
        command.insert("command".to_owned(), json!(name));
        self.world.command(serde_json::from_value(Value::Object(command)).unwrap()).await
    }

    /// Does something, and says what.
    async fn step(&mut self) -> String {
        let did = match self.world.random.below(100) {
            0..=33 => self.signals().await,
            34..=38 => self.world.changes().await,
            39..=42 => self.world.again().await,
            43..=45 => self.halt().await,
            46..=53 => self.world.resume().await,
            54..=67 => self.move_price(),
            68..=69 => self.world.open_or_close(),
            70..=74 => self.world.faults(),
            75..=79 => self.world.restart().await,
            80..=81 => self.switch().await,
            82..=84 => self.ask_to_override().await,
            85..=87 => self.world.bracket_of_moments().await,
            88..=91 => self.person().await,
            92..=93 => self.settle().await,
            94..=97 => self.world.limit().await,
            _ => "waits".to_owned(),
        };
        let millis = *self.world.random.pick(&[5, 60, 600, 3_000]);
        let span = Duration::from_millis(self.world.random.below(millis));
        self.world.h.elapse(span).await;
        format!("{did}; then {span:?}")
    }

    async fn signals(&mut self) -> String {
        let mut sent = Vec::new();
        if self.world.random.per_mille(400) {
            let span = Duration::from_millis(self.world.random.below(3_000));
            self.world.h.broker.next_plans(&[FillPlan::InTwo(span).into()]);
        }
        for _ in 0..=self.world.random.below(2) {
            let hook = usize::try_from(self.world.random.below(4)).unwrap();
            if self.world.random.per_mille(200) {
                let comment = *self.world.random.pick(&["EXIT_50", "EXIT_33"]);
                self.world.next += 1;
                let id = format!("p{}", self.world.next);
                sent.push((hook, json!({ "action": "EXIT", "comment": comment, "id": id })));
                continue;
            }
            let mut body = self.world.body();
            if body["action"] == "EXIT" && self.world.random.per_mille(600) {
                body["action"] = json!("BUY");
            }
            if hook == 1 && self.world.random.per_mille(600) && body.get("order_type").is_none() {
                let above = self.world.random.per_mille(500);
                let (gain, loss) = if body["action"] == "BUY" { (2, -2) } else { (-2, 2) };
                body["stop_loss"] = json!((200 + loss).to_string());
                if above {
                    body["take_profit"] = json!((200 + gain).to_string());
                }
            }
            sent.push((hook, body));
        }
        self.world.send_together(sent).await
    }

    async fn halt(&mut self) -> String {
        let world = &mut self.world;
        let scopes = [
            "global".to_owned(),
            format!("org:{}", world.h.org().await),
            format!("account:{}", world.random.pick(&world.witness.accounts)),
            format!("strategy:{}", world.random.pick(&world.strategies)),
            "instrument:NQ".to_owned(),
            format!("pair:{}/ES", world.witness.accounts[0]),
        ];
        let scope = world.random.pick(&scopes).clone();
        let mode = *world.random.pick(&["block", "reduce_only", "cancel", "flatten", "flatten"]);
        let include_protective = world.random.per_mille(300);
        let halt = HaltEngage {
            scope: Some(scope.clone()),
            mode: Some(mode.parse().unwrap()),
            include_protective,
            reason: Some("simulation".to_owned()),
        };
        let made = world.command(Command::HaltEngage(halt)).await.unwrap();
        let heard = HeardHalt {
            scope: scope.parse().unwrap(),
            mode: mode.parse().unwrap(),
            from: world.h.clock.now(),
            until: None,
        };
        let id = made["id"].as_str().unwrap().to_owned();
        // The same once more is the halt that is there.
        world.witness.halts.entry(id).or_insert(heard);
        format!("halt {scope} {mode}, {include_protective}")
    }

    fn move_price(&mut self) -> String {
        let random = &mut self.world.random;
        let (symbol, prices) = random.pick(&PRICES);
        let price = *random.pick(prices);
        self.world.price_is(symbol, price);
        format!("{symbol} at {price}")
    }

    /// A dead-man switch is armed, renewed or taken away.
    async fn switch(&mut self) -> String {
        if self.world.random.per_mille(300) {
            // There may be none.
            let _removed = self.world.command(Command::DeadManRemove).await;
            return "no switch".to_owned();
        }
        let timeout_s = self.world.random.below(20) + 5;
        let mode = *self.world.random.pick(&["cancel", "flatten", "reduce_only"]);
        let set = json!({ "timeout_s": timeout_s, "mode": mode });
        self.by_name("dead-man-set", set).await.unwrap();
        format!("a switch: {mode} after {timeout_s} s")
    }

    /// Two people let one order pass; time stands in for the second one. Now and then it is used, too.
    async fn ask_to_override(&mut self) -> String {
        let side = *self.world.random.pick(&["buy", "buy", "sell"]);
        let quantity = self.world.random.below(3) + 4;
        let asked = json!({
            "account_id": self.world.witness.accounts[1], "symbol": "AAPL", "side": side,
            "quantity": quantity.to_string(), "limit": "max_order_quantity", "reason": "a hedge",
        });
        let made = self.by_name("override-request", asked).await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        self.world.h.clock.advance(Duration::from_mins(10));
        self.world.h.elapse(Duration::from_millis(900)).await;
        let done = self.by_name("override-confirm", json!({ "id": id })).await;
        let mut words = vec![format!("{side} {quantity} overridden: {}", done.is_ok())];
        for _ in 0..2 {
            self.world.next += 1;
            let name = format!("o{}", self.world.next);
            let action = side.to_uppercase();
            let body = json!({ "action": action, "quantity": quantity, "id": name });
            words.push(self.world.send_together(vec![(1, body)]).await);
        }
        words.join(" | ")
    }

    /// A person cancels, closes, or moves a leg.
    async fn person(&mut self) -> String {
        let account = self.world.random.pick(&self.world.witness.accounts).clone();
        let orders = self.world.h.orders().await;
        let live: Vec<_> = orders.iter().filter(|order| order.state.is_live()).collect();
        let command = match self.world.random.below(4) {
            0 => {
                let include_protective = self.world.random.per_mille(300);
                let account_id = Some(account);
                Command::OrderCancelAll(CancelAll { account_id, symbol: None, include_protective })
            }
            1 => {
                let symbol = (*self.world.random.pick(&["ES", "NQ", "AAPL", "BTCUSD"])).to_owned();
                Command::PositionClose(PositionClose { account, symbol })
            }
            2 if !live.is_empty() => {
                Command::OrderCancel(ById { id: self.world.random.pick(&live).id.to_string() })
            }
            _ => {
                let stop = |order: &&&Order| order.leg.is_some_and(|leg| leg.leg == Leg::StopLoss);
                let Some(leg) = live.iter().find(stop) else { return "nothing".to_owned() };
                let price = leg.stop_price.unwrap().units() / ONE;
                let moved = price + i64::try_from(self.world.random.below(5)).unwrap() - 2;
                Command::OrderChange(OrderChange {
                    id: leg.id.to_string(),
                    quantity: None,
                    limit_price: None,
                    stop_price: Some(moved.to_string().parse().unwrap()),
                })
            }
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

    /// All trouble ends for a while: then legs are what they should be.
    async fn settle(&mut self) -> String {
        self.calm();
        self.world.h.elapse(self.calm).await;
        self.check(Deep::No).await;
        self.check_legs().await;
        "settled".to_owned()
    }

    fn calm(&mut self) {
        for (symbol, _) in PRICES {
            self.world.h.broker.set_market(symbol, None, MarketState::Open);
        }
        self.world.h.broker.chaos(None, 0);
        self.world.h.broker.end_rests();
    }

    /// Ends all trouble and expects that everything comes to rest and agrees: first what halts were to
    /// cancel and close, then the legs, then all of it.
    async fn calm_down(&mut self) {
        let _removed = self.world.command(Command::DeadManRemove).await;
        let did = self.settle().await;
        self.world.trail.push(did);
        let engaged = self.world.command(Command::HaltStatus).await.unwrap();
        for halt in engaged["items"].as_array().unwrap().clone() {
            let id = halt["id"].as_str().unwrap().to_owned();
            if ["cancel", "flatten"].contains(&halt["mode"].as_str().unwrap()) {
                self.is_done(&id).await;
            }
            self.world.witness.check_unwound(&self.world.h, &id).await;
        }
        for halt in engaged["items"].as_array().unwrap().clone() {
            self.world.resume_one(halt["id"].as_str().unwrap()).await;
        }
        self.world.h.elapse(Duration::from_millis(700)).await;
        // Once more in trouble: the last that the strategies hear is to leave.
        self.world.faults();
        let left_at = self.world.h.clock.now();
        self.world.leave().await;
        self.calm();
        self.world.trail.push("calm".to_owned());
        self.world.h.elapse(Duration::from_secs(15)).await;
        self.calm();
        self.rest().await;
        self.check(Deep::Yes).await;
        self.check_legs().await;
        self.world.witness.check_quiet(&self.world.h).await;
        self.world.witness.check_left(&self.world.h, left_at).await;
        self.world.witness.check_flips(&self.world.h).await;
    }

    /// Waits until nothing is under way: what lives are legs that protect what was not closed.
    async fn rest(&mut self) {
        let h = &self.world.h;
        h.until("nothing under way", async |h: &Harness| {
            let orders = h.orders().await;
            let rests = |order: &Order| order.leg.is_some() && order.state == OrderState::Working;
            h.broker.is_quiet() && orders.iter().all(|it| !it.state.is_live() || rests(it))
        })
        .await;
        h.elapse(self.calm).await;
    }

    async fn check_legs(&self) {
        let missing = if self.calm < CALM { Missing::MayBe } else { Missing::None };
        self.world.witness.check_legs(&self.world.h, missing).await;
    }

    /// Waits until a halt has nothing left to do.
    async fn is_done(&mut self, id: &str) {
        for _ in 0..120 {
            let shown = self.world.command(Command::HaltShow(ById { id: id.to_owned() })).await;
            if shown.unwrap()["progress"]["is_done"] == json!(true) {
                return;
            }
            self.world.h.elapse(Duration::from_millis(500)).await;
        }
        let shown =
            self.world.command(Command::HaltShow(ById { id: id.to_owned() })).await.unwrap();
        let orders = self.world.h.orders().await;
        panic!("{shown:#} is not done\n{}", crate::witness::lines(&self.world.h, &orders).await);
    }
}
