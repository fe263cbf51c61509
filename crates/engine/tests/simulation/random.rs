//! Workloads drawn from a seed.

use crate::bounds::{Drawing, ONE};
use crate::witness::{Deep, HeardHalt, Moved, Witness};
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tradewarden_broker::port::{Capability, MarketState};
use tradewarden_domain::limit::LimitName;
use tradewarden_domain::money::Quantity;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing};
use tradewarden_domain::time::Clock as _;
use tradewarden_engine::command::{ById, Command, CommandError, OrderChange};
use tradewarden_testkit::broker::{Chaos, FillPlan, Venue};
use tradewarden_testkit::engine::{
    Harness, Heard, Hook, halt_engage, limit_set, raw, simulate, strategy,
};
use tradewarden_testkit::randomness::SplitMix64;

/// Found something once, or are simply the first ones.
const SEEDS: std::ops::Range<u64> = 1..25;
const STEPS: usize = 60;

/// `TRADEWARDEN_SEED=42 cargo nextest run -p tradewarden-engine random` replays one;
/// `TRADEWARDEN_SEED=100..400` tries many.
#[test]
fn seeds_of_the_list() {
    of_the_list(SEEDS, run);
}

/// A seed that nobody has tried; it is printed, so that it can be tried again.
#[test]
fn a_new_seed() {
    new_one(run);
}

/// No seed is begun after so long,
const TIME: Duration = Duration::from_secs(45);
/// unless fewer than so many were run by then.
const SEEDS_MIN: usize = 8;

/// Runs the seeds that were asked for, or else these.
pub(crate) fn of_the_list(list: impl IntoIterator<Item = u64>, run: impl Fn(u64)) {
    if let Some(seeds) = asked_for() {
        return seeds.for_each(run);
    }
    let begun = now();
    let mut ran = 0;
    for seed in list {
        if begun.elapsed() > TIME && ran >= SEEDS_MIN {
            println!("out of time before seed {seed}");
            break;
        }
        run(seed);
        ran += 1;
    }
    println!("{ran} seeds ran");
    assert!(ran >= SEEDS_MIN, "only {ran} seeds ran");
}

/// Runs a seed that nobody has tried, unless some were asked for.
pub(crate) fn new_one(run: impl Fn(u64)) {
    if asked_for().is_some() {
        return;
    }
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    let seed = u64::try_from(since.as_nanos() % 1_000_000_007).unwrap();
    println!("TRADEWARDEN_SEED={seed}");
    run(seed);
}

/// Whether somebody says which seeds are run.
pub(crate) fn is_asked_for() -> bool {
    asked_for().is_some()
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test says which seed")]
fn asked_for() -> Option<std::ops::Range<u64>> {
    let text = std::env::var("TRADEWARDEN_SEED").ok()?;
    let number = |text: &str| -> u64 { text.parse().expect("a seed is a number") };
    Some(match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    })
}

#[expect(clippy::disallowed_methods, reason = "bounds what the test costs, not what it does")]
fn now() -> Instant {
    Instant::now()
}

/// Runs a simulation, and says which one it was when it fails.
pub(crate) fn told(seed: u64, scenario: impl AsyncFnOnce()) {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| simulate(scenario)));
    if let Err(cause) = outcome {
        println!("the simulation failed; replay it with TRADEWARDEN_SEED={seed}");
        std::panic::resume_unwind(cause);
    }
}

fn run(seed: u64) {
    told(seed, async || {
        let mut market = SplitMix64::new(seed ^ 0xfeed);
        let h = Harness::sqlite(seed, venue(&mut market)).await;
        let mut world = World::new(h, seed).await;
        if !seed.is_multiple_of(4) {
            let did = world.faults();
            world.trail.push(did);
        }
        for step in 0..STEPS {
            let did = world.step().await;
            world.trail.push(format!("{step} {} {did}", world.h.clock.now()));
            world.check(if step % 12 == 11 { Deep::Yes } else { Deep::No }).await;
        }
        world.calm_down().await;
        world.h.finish().await;
    });
}

pub(crate) fn venue(random: &mut SplitMix64) -> Venue {
    match random.below(4) {
        0 => Venue {
            find_is_authoritative_after_expiry: false,
            find_settles_after: Duration::from_millis(700),
            find_lag: Duration::from_millis(300),
            ..Venue::default()
        },
        1 => Venue {
            place_expiry: Capability::Absent,
            find_is_authoritative_after_expiry: false,
            find_settles_after: Duration::from_millis(900),
            find_lag: Duration::from_millis(300),
            ..Venue::default()
        },
        _ => Venue::default(),
    }
}

/// A gateway with its surroundings, and what happened to it.
pub(crate) struct World {
    pub(crate) h: Harness,
    pub(crate) witness: Witness,
    pub(crate) trail: Trail,
    pub(crate) random: SplitMix64,
    pub(crate) hooks: Vec<Hook>,
    bodies: Vec<(usize, Value)>,
    pub(crate) strategies: Vec<String>,
    /// Numbers what has to have a name.
    pub(crate) next: u64,
    /// How many fills of a thousand are withheld while there is trouble.
    pub(crate) withheld: u64,
    /// What a person limits.
    pub(crate) drawing: Drawing,
    /// What another hand trades, drawn from a stream of its own: accounts by place, and symbols.
    pub(crate) traded: Vec<(usize, &'static str)>,
    hand: SplitMix64,
}

/// What happened, told when a check fails.
#[derive(Default)]
pub(crate) struct Trail(Vec<String>);

impl Trail {
    pub(crate) fn push(&mut self, line: String) {
        self.0.push(line);
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if std::thread::panicking() || asked_for().is_some_and(|seeds| seeds.end - seeds.start == 1)
        {
            println!("{}", self.0.join("\n"));
        }
    }
}

impl World {
    pub(crate) async fn new(h: Harness, seed: u64) -> Self {
        h.ready().await;
        let first = h.account("first").await;
        let second = h.account("second").await;
        let hooks = vec![h.webhook("es and aapl", 10).await, h.webhook("coin", 10).await];
        let mut es = strategy("es", &hooks[0], &first, "ES", "2");
        es.pyramiding = Some(Pyramiding::Allow);
        let mut aapl = strategy("aapl", &hooks[0], &second, "AAPL", "3");
        aapl.sizing = Some(Sizing::Payload);
        aapl.allow_short = true;
        let mut coin = strategy("coin", &hooks[1], &first, "BTCUSD", "0.0003");
        coin.on_opposite = Some(OnOpposite::Reverse);
        coin.allow_short = true;
        let mut strategies = Vec::new();
        for new in [es, aapl, coin] {
            strategies.push(h.strategy(new).await);
        }
        h.sane_limits().await;
        Self::of(h, seed, vec![first, second], hooks, strategies)
    }

    /// With these accounts, webhooks and strategies.
    pub(crate) fn of(
        h: Harness,
        seed: u64,
        accounts: Vec<String>,
        hooks: Vec<Hook>,
        strategies: Vec<String>,
    ) -> Self {
        let mut witness = Witness::default();
        witness.accounts = accounts;
        witness.max_position = 20 * ONE;
        let random = SplitMix64::new(seed);
        let (trail, bodies) = (Trail::default(), Vec::new());
        // Of one seed in five, so that the others go on as they were found.
        let withheld = if seed % 5 == 3 { 400 } else { 0 };
        let drawing = Drawing::new(seed, &["ES", "AAPL", "BTCUSD"], 10);
        let (traded, hand) = (vec![(0, "ES"), (1, "AAPL"), (0, "BTCUSD")], SplitMix64::new(!seed));
        Self {
            h,
            witness,
            trail,
            random,
            hooks,
            bodies,
            strategies,
            next: 0,
            withheld,
            drawing,
            traded,
            hand,
        }
    }

    pub(crate) async fn check(&mut self, deep: Deep) {
        self.learn_halts().await;
        self.witness.check(&self.h, deep).await;
    }

    /// Does something, and says what.
    pub(crate) async fn step(&mut self) -> String {
        let did = match self.random.below(100) {
            0..=34 => self.signals(1).await,
            35..=38 => {
                let count = self.random.below(4) + 2;
                self.signals(count).await
            }
            39..=44 => self.changes().await,
            66 if self.random.per_mille(500) => self.signals(14).await,
            45..=52 => self.again().await,
            53..=54 => self.forged().await,
            55..=57 => self.halt().await,
            58..=65 => self.resume().await,
            66..=67 | 90..=94 => self.limit().await,
            68..=70 => self.move_price(),
            71..=72 => self.open_or_close(),
            73..=78 => self.faults(),
            79..=83 => self.restart().await,
            84 => self.switch_off().await,
            85 | 95..=96 => self.by_hand(),
            86..=89 => self.bracket_of_moments().await,
            _ => "waits".to_owned(),
        };
        let span = Duration::from_millis(
            self.random.below(
                *[5, 60, 600, 3_000]
                    .get(usize::try_from(self.random.clone().below(4)).unwrap())
                    .unwrap(),
            ),
        );
        self.h.elapse(span).await;
        format!("{did}; then {span:?}")
    }

    pub(crate) fn body(&mut self) -> Value {
        let action = *self.random.pick(&["BUY", "BUY", "BUY", "SELL", "SELL", "EXIT"]);
        let mut body = json!({ "action": action });
        if self.random.per_mille(250) {
            let comments = ["EXIT_50", "EXIT_FINAL", "EXIT_33", "EXIT_ALL", "ENTRY", "hello"];
            body["comment"] = json!(self.random.pick(&comments));
        }
        if self.random.per_mille(800) {
            body["quantity"] = json!(self.random.below(5) + 1);
        }
        if self.random.per_mille(700) {
            self.next += 1;
            body["id"] = json!(format!("s{}", self.next));
        }
        if self.random.per_mille(200) {
            let away = Duration::from_millis(self.random.below(5_000));
            body["timenow"] = json!(self.h.clock.now().minus(away).to_string());
        }
        if self.random.per_mille(100) {
            let price = if self.random.per_mille(500) { "199" } else { "201" };
            body["limit_price"] = json!(price);
            body["order_type"] = json!("limit");
        }
        body
    }

    pub(crate) async fn signals(&mut self, count: u64) -> String {
        let mut sent = Vec::new();
        for _ in 0..count {
            let hook = usize::from(self.random.per_mille(400));
            sent.push((hook, self.body()));
        }
        self.send_together(sent).await
    }

    /// Sends these to their webhooks at one moment.
    pub(crate) async fn send_together(&mut self, sent: Vec<(usize, Value)>) -> String {
        let requests = sent.iter().map(|(hook, body)| raw(&self.hooks[*hook], body)).collect();
        let answers = self.h.send_together(requests).await;
        let mut words = Vec::new();
        for ((hook, body), answer) in sent.into_iter().zip(answers) {
            words.push(self.heard(hook, &body, answer));
            self.bodies.push((hook, body));
        }
        words.join(" | ")
    }

    pub(crate) fn heard(&mut self, hook: usize, body: &Value, answer: Heard) -> String {
        match answer {
            Heard::Answer(reply) => {
                // Without an id the same body is another signal after a while.
                let name = body.get("id").map(|id| format!("{hook} {id} {body}"));
                let full_exit = body["action"] == "EXIT";
                self.witness.heard(name.filter(|_| !full_exit), &reply);
                format!("{hook} {body} -> {} {:?}", reply.status.text(), reply.code)
            }
            Heard::Unavailable(code) => format!("{hook} {body} -> 503 {code}"),
            Heard::Unauthenticated => panic!("{body} was not authenticated"),
            Heard::Silence => panic!("nothing killed the gateway"),
        }
    }

    /// An order that takes its time, if none is live, and changes of its size close behind it.
    pub(crate) async fn changes(&mut self) -> String {
        let mut words = Vec::new();
        if !self.h.orders().await.iter().any(|order| order.state.is_live()) {
            let span = Duration::from_millis(self.random.below(1_500));
            let fill = *self.random.pick(&[FillPlan::After(span), FillPlan::InTwo(span)]);
            self.h.broker.next_plans(&[fill.into()]);
            words.push(self.signals(1).await);
        }
        for _ in 0..=self.random.below(3) {
            let millis = *self.random.pick(&[0, 3, 20, 400]);
            self.h.elapse(Duration::from_millis(self.random.below(millis + 1))).await;
            words.push(self.change().await);
        }
        words.join(" | ")
    }

    pub(crate) async fn change(&mut self) -> String {
        let orders = self.h.orders().await;
        let live: Vec<_> = orders.iter().filter(|order| order.state.is_live()).collect();
        if live.is_empty() {
            return "nothing to change".to_owned();
        }
        let order = *self.random.pick(&live);
        let lot = if order.symbol.as_str() == "BTCUSD" { 10_000 } else { 100_000_000 };
        let lots = i64::try_from(self.random.below(7)).unwrap() + 1;
        let quantity = Quantity::from_units(lot * lots);
        let id = order.id.to_string();
        let did = format!("{} {id} of {} is to be {quantity}", order.state, order.quantity);
        let change =
            OrderChange { id, quantity: Some(quantity), limit_price: None, stop_price: None };
        match self.command(Command::OrderChange(change)).await {
            Ok(_) => did,
            Err(CommandError::Order(no)) => format!("{did}: {}", no.code),
            Err(error) => panic!("{did}: {error}"),
        }
    }

    pub(crate) async fn again(&mut self) -> String {
        if self.bodies.is_empty() {
            return "nothing to repeat".to_owned();
        }
        let (hook, mut body) = self.random.pick(&self.bodies).clone();
        let other = self.random.per_mille(200);
        if other {
            body["price"] = json!("200");
        }
        let answer = self.h.send(&self.hooks[hook], &body).await;
        if other {
            return format!("again, changed: {body}");
        }
        format!("again: {}", self.heard(hook, &body, answer))
    }

    pub(crate) async fn forged(&mut self) -> String {
        let before = self.h.signals().await.len();
        let body = self.body();
        let forged = Hook { secret: "wrong".to_owned(), ..self.hooks[0].clone() };
        assert_eq!(self.h.send(&forged, &body).await, Heard::Unauthenticated);
        assert_eq!(self.h.signals().await.len(), before);
        "forged".to_owned()
    }

    pub(crate) async fn command(&mut self, command: Command) -> Result<Value, CommandError> {
        self.h.try_command(command).await.expect("nothing killed the gateway")
    }

    async fn halt(&mut self) -> String {
        let scopes = [
            "global".to_owned(),
            format!("org:{}", self.h.org().await),
            format!("account:{}", self.witness.accounts[0]),
            format!("strategy:{}", self.strategies[0]),
            "instrument:AAPL".to_owned(),
            format!("pair:{}/BTCUSD", self.witness.accounts[0]),
        ];
        let scope = self.random.pick(&scopes).clone();
        let mode = *self.random.pick(&["block", "reduce_only", "reduce_only"]);
        let made = self.command(halt_engage(Some(&scope), mode)).await.unwrap();
        let heard = HeardHalt {
            scope: scope.parse().unwrap(),
            mode: mode.parse().unwrap(),
            from: self.h.clock.now(),
            until: None,
        };
        self.witness.halts.insert(made["id"].as_str().unwrap().to_owned(), heard);
        format!("halt {scope} {mode}")
    }

    pub(crate) async fn resume(&mut self) -> String {
        let engaged = self.command(Command::HaltStatus).await.unwrap();
        let items = engaged["items"].as_array().unwrap();
        if items.is_empty() {
            return "nothing to resume".to_owned();
        }
        let id = self.random.pick(items)["id"].as_str().unwrap().to_owned();
        self.resume_one(&id).await;
        format!("resume {id}")
    }

    pub(crate) async fn resume_one(&mut self, id: &str) {
        if let Some(halt) = self.witness.halts.get_mut(id) {
            halt.until = Some(self.h.clock.now());
        }
        self.command(Command::HaltResume(ById { id: id.to_owned() })).await.unwrap();
    }

    /// A person tightens or loosens something, anywhere.
    pub(crate) async fn limit(&mut self) -> String {
        let mut words = Vec::new();
        for _ in 0..2 {
            let (scope, name, units) = self.drawing.draw(&self.witness.accounts, &self.strategies);
            words.push(self.limit_to(&scope, name, units).await);
        }
        words.join(", ")
    }

    async fn limit_to(&mut self, scope: &str, name: LimitName, units: i64) -> String {
        let is_position = scope == "org" && name == LimitName::MaxPosition;
        if is_position {
            // Until the next look both the old and the new one may have been applied.
            self.witness.max_position = self.witness.max_position.max(units);
        }
        let text = Quantity::from_units(units).to_string();
        self.witness.bounds.said(scope, name, units);
        self.command(limit_set(scope, name.text(), &text)).await.unwrap();
        if is_position {
            self.check(Deep::No).await;
            self.witness.max_position = units;
        }
        format!("{name} of {scope} is {text}")
    }

    pub(crate) fn price_is(&mut self, symbol: &str, price: &str) {
        self.h.broker.set_market(symbol, Some(price.parse().unwrap()), MarketState::Open);
        self.witness.bounds.price(symbol, price, self.h.clock.now());
    }

    fn move_price(&mut self) -> String {
        let price = *self.random.pick(&["198.5", "199.5", "200", "200.5", "201.5"]);
        self.price_is("AAPL", price);
        format!("AAPL at {price}")
    }

    pub(crate) fn open_or_close(&mut self) -> String {
        let market =
            *self.random.pick(&[MarketState::Open, MarketState::Open, MarketState::Closed]);
        let symbol = *self.random.pick(&["ES", "AAPL"]);
        self.h.broker.set_market(symbol, None, market);
        format!("{symbol} {market:?}")
    }

    pub(crate) fn faults(&mut self) -> String {
        let chaos = Chaos {
            orders: *self.random.pick(&[0, 100, 400]),
            reads: *self.random.pick(&[0, 50, 300]),
            plans: *self.random.pick(&[0, 500, 900]),
            withheld: self.withheld,
        };
        let seed = self.random.next();
        let quiet = self.random.per_mille(300);
        self.h.broker.chaos((!quiet).then_some(chaos), seed);
        format!("{chaos:?}, unless calm: {quiet}")
    }

    pub(crate) async fn restart(&mut self) -> String {
        if self.random.per_mille(300) {
            self.h.stop().await;
        }
        self.h.restart().await;
        self.witness.restarts.push(self.h.clock.now());
        "restart".to_owned()
    }

    async fn switch_off(&mut self) -> String {
        let id = self.random.pick(&self.strategies).clone();
        let made = self.command(Command::StrategyDisable(ById { id })).await.unwrap();
        let next = usize::from(made["webhook_id"] != self.hooks[0].id.as_str());
        let mut new = strategy(
            made["name"].as_str().unwrap(),
            &self.hooks[next],
            made["account_id"].as_str().unwrap(),
            made["symbol"].as_str().unwrap(),
            made["quantity"].as_str().unwrap(),
        );
        // A second one on the pair: each closes only what it opened.
        new.shared_position = true;
        new.pyramiding = Some(Pyramiding::Allow);
        let id = self.h.strategy(new).await;
        self.strategies.push(id);
        format!("{} is {}, another follows", made["name"], made["state"])
    }

    /// An entry and what closes it, so close together that everything is still under way.
    pub(crate) async fn bracket_of_moments(&mut self) -> String {
        let hook = usize::from(self.random.per_mille(500));
        let mut words = Vec::new();
        for action in ["BUY", *self.random.clone().pick(&["SELL", "EXIT"]), "SELL"] {
            self.next += 1;
            let body = json!({ "action": action, "quantity": 2, "id": format!("m{}", self.next) });
            let answer = self.h.send(&self.hooks[hook], &body).await;
            words.push(self.heard(hook, &body, answer));
            let micros = self.random.below(8_000);
            self.h.elapse(Duration::from_micros(micros)).await;
        }
        words.join(" | ")
    }

    /// Another hand trades a pair that a strategy trades, or takes back what it did.
    pub(crate) fn by_hand(&mut self) -> String {
        let now = self.h.clock.now();
        if let Some(moved) = self.witness.moved.iter_mut().find(|moved| moved.until.is_none()) {
            if self.hand.per_mille(400) {
                return "the other hand waits".to_owned();
            }
            moved.until = Some(now);
            let account = Harness::broker_account(&moved.account);
            let back = Quantity::from_units(-moved.units);
            self.h.broker.move_by_hand(account, &moved.symbol, back);
            return format!("the other hand takes back {} {}", moved.units, moved.symbol);
        }
        let (place, symbol) = *self.hand.pick(&self.traded);
        let account = self.witness.accounts[place].clone();
        let lot = if symbol == "BTCUSD" { ONE / 10_000 } else { ONE };
        let units = lot * *self.hand.pick(&[-3, -2, -1, 1, 2]);
        let by = Quantity::from_units(units);
        self.h.broker.move_by_hand(Harness::broker_account(&account), symbol, by);
        let did = format!("another hand trades {by} {symbol} on {account}");
        let symbol = symbol.to_owned();
        self.witness.moved.push(Moved { account, symbol, units, from: now, until: None });
        did
    }

    /// Ends all trouble and expects that everything comes to rest and agrees. The last that the
    /// strategies hear, while there is still trouble, is to leave.
    pub(crate) async fn calm_down(&mut self) {
        for symbol in ["ES", "AAPL", "BTCUSD"] {
            self.h.broker.set_market(symbol, None, MarketState::Open);
        }
        let engaged = self.command(Command::HaltStatus).await.unwrap();
        for halt in engaged["items"].as_array().unwrap().clone() {
            self.resume_one(halt["id"].as_str().unwrap()).await;
        }
        self.h.elapse(Duration::from_millis(700)).await;
        let left_at = self.h.clock.now();
        self.leave().await;
        self.h.broker.chaos(None, 0);
        self.trail.push("calm".to_owned());
        // Entries that still wait expire by themselves; what rests at the broker is filled.
        self.h.elapse(Duration::from_secs(15)).await;
        self.h.broker.let_all_fill();
        self.h.quiet().await;
        // What was told late has its exit by now; that has to come to rest, too.
        self.h.quiet().await;
        self.check(Deep::Yes).await;
        self.witness.check_quiet(&self.h).await;
        self.witness.check_left(&self.h, left_at).await;
        self.witness.check_moved(&self.h).await;
    }

    /// Halts that nobody here engaged: of switches, and of the gateway itself.
    pub(crate) async fn learn_halts(&mut self) {
        let engaged = self.command(Command::HaltStatus).await.unwrap();
        let now = self.h.clock.now();
        for halt in engaged["items"].as_array().unwrap() {
            let text = |name: &str| halt[name].as_str().unwrap();
            let heard = HeardHalt {
                scope: text("scope").parse().unwrap(),
                mode: text("mode").parse().unwrap(),
                from: now,
                until: None,
            };
            let id = text("id").to_owned();
            self.witness.halts.entry(id).or_insert(heard);
        }
    }

    /// Entries, and right behind them an exit of everything.
    pub(crate) async fn leave(&mut self) {
        for hook in 0..self.hooks.len() {
            for (action, comment) in [("BUY", "last"), ("EXIT", "EXIT_FINAL")] {
                self.next += 1;
                let id = format!("l{}", self.next);
                let body = json!({
                    "action": action, "comment": comment, "quantity": 2, "id": id,
                });
                let answer = self.h.send(&self.hooks[hook], &body).await;
                let words = self.heard(hook, &body, answer);
                self.trail.push(words);
                let micros = self.random.below(20_000);
                self.h.elapse(Duration::from_micros(micros)).await;
            }
        }
    }
}
