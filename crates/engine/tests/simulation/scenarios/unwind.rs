//! Halts that cancel and flatten, until nothing is left.

use super::{Small, keys, millis};
use serde_json::{Value, json};
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderState, OrderType, Purpose, Side};
use tradewarden_domain::strategy::Pyramiding;
use tradewarden_engine::command::{ById, Command, CommandError, OrderCreate, PositionClose};
use tradewarden_testkit::broker::{Call, Fault, FillPlan, Venue};
use tradewarden_testkit::engine::{Harness, halt_engage, simulate, strategy};
use tradewarden_testkit::life::Death;

impl Small {
    /// Two ES are held, a stop that only reduces rests, and so does an entry of one.
    pub(super) async fn trading(seed: u64) -> Self {
        let s = Self::with(seed, Venue::default(), |new| {
            new.pyramiding = Some(Pyramiding::Allow);
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.usual_plan(FillPlan::Rests);
        s.rests(Side::Buy, "1", false).await;
        s.h.elapse(millis(200)).await;
        s.rests(Side::Sell, "1", true).await;
        s.h.elapse(millis(200)).await;
        let orders = s.h.orders().await;
        let states: Vec<_> = orders.iter().map(|order| (order.purpose, order.state)).collect();
        let working = OrderState::Working;
        assert_eq!(states[1..], [(Purpose::Entry, working), (Purpose::Exit, working)]);
        s
    }

    pub(super) async fn rests(&self, side: Side, size: &str, reduce_only: bool) {
        let price = if side == Side::Sell { "4900" } else { "5100" };
        let new = OrderCreate {
            account_id: self.account.clone(),
            symbol: "ES".to_owned(),
            side,
            order_type: OrderType::Stop,
            quantity: size.parse().unwrap(),
            limit_price: None,
            stop_price: Some(price.parse().unwrap()),
            time_in_force: None,
            reduce_only,
            expires_at: None,
            tag: None,
            allow_repeat: true,
        };
        self.h.command(Command::OrderCreate(new)).await;
    }

    async fn stop_all(&self, mode: &str, include_protective: bool) -> String {
        let halt = json!({
            "command": "halt-engage", "mode": mode, "include_protective": include_protective,
        });
        let made = self.h.command(serde_json::from_value(halt).unwrap()).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn shown(&self, halt: &str) -> Value {
        let halt = self.h.command(Command::HaltShow(ById { id: halt.to_owned() })).await;
        halt["progress"].clone()
    }

    pub(super) async fn done(&self, halt: &str) {
        self.h
            .until("the halt is done", async |_: &Harness| {
                self.shown(halt).await["is_done"] == json!(true)
            })
            .await;
    }

    pub(super) async fn states(&self) -> Vec<OrderState> {
        self.h.orders().await.iter().map(|order| order.state).collect()
    }
}

/// S20: what adds risk is canceled, and what protects keeps working unless it is meant too.
#[test]
fn s20_a_cancel_halt_takes_back_what_adds_risk() {
    use OrderState::{Canceled, Filled, Working};
    for (include_protective, stop, count) in [(false, Working, 1), (true, Canceled, 2)] {
        simulate(async || {
            let s = Small::trading(201).await;
            let halt = s.stop_all("cancel", include_protective).await;
            s.done(&halt).await;
            s.h.elapse(millis(2_000)).await;
            assert_eq!(s.states().await, [Filled, Canceled, stop]);
            assert_eq!(
                s.shown(&halt).await,
                json!({
                    "orders_to_cancel": count, "orders_canceled": count, "orders_filled": 0,
                    "orders_working": 0, "orders_unknown": 0, "positions_to_close": 0,
                    "positions_flat": 0, "is_done": true,
                })
            );
            assert_eq!(s.position().await, "2", "nothing is closed");
            assert_eq!(s.send("BUY", "b").await.code, Some(Code::HaltActive));
            assert_eq!(s.send("EXIT", "c").await.code, Some(Code::HaltActive), "S18");
            s.end().await;
        });
    }
}

/// S20: a cancel that was not heard is asked for again, also by the next life of the gateway.
#[test]
fn s20_a_cancel_halt_goes_on_after_a_crash() {
    for faults in [vec![Fault::LostBefore; 3], vec![Fault::LostAfter], vec![Fault::Throttled; 5]] {
        simulate(async || {
            let mut s = Small::trading(202).await;
            s.h.broker.next_faults(Call::Cancel, &faults);
            let halt = s.stop_all("cancel", true).await;
            s.h.crash().await;
            s.h.start(Death::Never).await;
            s.done(&halt).await;
            let canceled = OrderState::Canceled;
            assert_eq!(s.states().await, [OrderState::Filled, canceled, canceled]);
            s.end().await;
        });
    }
}

/// S20, S4: a flatten halt cancels, clears resting exits out of the way, and closes; a restart in the
/// middle goes on.
#[test]
fn s20_a_flatten_halt_closes_until_flat() {
    for restarts in [false, true] {
        simulate(async || {
            let mut s = Small::trading(203).await;
            s.h.broker.usual_plan(FillPlan::After(millis(700)));
            let halt = s.stop_all("flatten", false).await;
            if restarts {
                s.h.elapse(millis(300)).await;
                s.h.crash().await;
                s.h.start(Death::Never).await;
            }
            s.done(&halt).await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
            let progress = s.shown(&halt).await;
            assert_eq!(progress["positions_to_close"], 1, "{progress}");
            assert_eq!(progress["positions_flat"], 1, "{progress}");
            let orders = s.h.orders().await;
            let closing: Vec<_> = orders.iter().filter(|order| order.passes_halts).collect();
            assert!(closing.iter().all(|order| order.purpose == Purpose::Exit), "{closing:?}");
            assert_eq!(s.send("BUY", "b").await.code, Some(Code::HaltActive));
            s.h.quiet().await;
            s.end().await;
        });
    }
}

/// S20: what an exit leaves open, whatever became of it, is closed by another one.
#[test]
fn s20_a_flatten_halt_places_exits_until_flat() {
    simulate(async || {
        let s = Small::with(204, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.next_plans(&[FillPlan::Rejected.into(), FillPlan::Rejected.into()]);
        let halt = s.stop_all("flatten", false).await;
        s.done(&halt).await;
        let exits = s.states().await.split_off(1);
        assert_eq!(exits, [OrderState::Rejected, OrderState::Rejected, OrderState::Filled]);
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.h.quiet().await;
        s.end().await;
    });
}

/// S1, S20: what the broker shows is closed, whoever changed it by hand, and nothing past it.
#[test]
fn s20_a_flatten_halt_closes_what_the_broker_shows() {
    for (by_hand, sold) in [("3", "5"), ("-1", "1"), ("-2", "0"), ("-5", "0")] {
        simulate(async || {
            let s = Small::with(205, Venue::default(), |_| {}).await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            let name = Harness::broker_account(&s.account);
            s.h.broker.move_by_hand(name, "ES", by_hand.parse().unwrap());
            let halt = s.stop_all("flatten", false).await;
            s.done(&halt).await;
            let orders = s.h.orders().await;
            let filled: i64 = orders[1..]
                .iter()
                .map(|order| order.side.signed(order.filled_quantity).units() / 100_000_000)
                .sum();
            let wanted = if by_hand == "-5" { 3 } else { -sold.parse::<i64>().unwrap() };
            assert_eq!(filled, wanted, "{by_hand}: {orders:#?}");
            let holding = s.h.broker.holding(name, &"ES".parse().unwrap());
            assert_eq!(holding.ours + holding.hand, 0, "{by_hand}");
            assert_eq!(s.position().await, "0", "{by_hand}");
            let adopted = s.h.has_finding("position.adopted").await;
            assert!(adopted, "{by_hand}: a person hears of it");
            s.h.finish().await;
        });
    }
}

/// S20: a strategy's halt closes what the strategy holds, and nothing else.
#[test]
fn s20_a_flatten_halt_of_a_strategy_closes_its_part() {
    simulate(async || {
        let s = Small::with(206, Venue::default(), |_| {}).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        let mut own = s.h.exposures(&s.account).await;
        let holder = own.pop().unwrap().0.strategy_id;
        let hook = s.h.webhook("other", 100).await;
        let second = s.h.account("second").await;
        let other = s.h.strategy(strategy("other", &hook, &second, "ES", "1")).await;
        let nobody = s.h.halt(Some(&format!("strategy:{other}")), "flatten").await;
        s.done(&nobody).await;
        assert_eq!(s.position().await, "2", "another strategy's halt closes nothing");
        let halt = s.h.halt(Some(&format!("strategy:{holder}")), "flatten").await;
        s.done(&halt).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        s.h.quiet().await;
        s.end().await;
    });
}

/// S20: under every halt a person closes at once.
#[test]
fn s20_a_person_closes_under_every_halt() {
    for mode in ["reduce_only", "block", "cancel", "flatten"] {
        simulate(async || {
            let s = Small::with(207, Venue::default(), |_| {}).await;
            s.accept("BUY", "a").await;
            s.h.quiet().await;
            s.h.halt(None, mode).await;
            let close = PositionClose { account: s.account.clone(), symbol: "ES".to_owned() };
            s.h.command(Command::PositionClose(close)).await;
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{mode}");
            s.end().await;
        });
    }
}

/// C11: a key flattens only with the scope for it, and only what can be told to be its own.
#[test]
fn c11_flatten_takes_a_scope_of_its_own() {
    simulate(async || {
        let s = Small::with(208, Venue::default(), |_| {}).await;
        let bare = keys::key(&s.h, json!({"scopes": ["halt:engage"]})).await;
        let may = keys::key(&s.h, json!({"scopes": ["halt:flatten"]})).await;
        let engage = |mode: &str, scope: Option<String>| -> Command {
            let halt = json!({"command": "halt-engage", "mode": mode, "scope": scope});
            serde_json::from_value(halt).unwrap()
        };
        let mut nonce = 0;
        let mut heard = async |key: &Value, command: Command| {
            nonce += 1;
            let actor = keys::caller(&s.h, key, &format!("nonce-{nonce}-of-this-test"));
            let engine = s.h.engine();
            s.h.drive(async move { engine.execute(command, &actor).await }).await.unwrap()
        };
        let refused = heard(&bare, engage("flatten", None)).await.unwrap_err();
        let code = |error: CommandError| match error {
            CommandError::Refused { code, .. } => code,
            other => panic!("{other}"),
        };
        assert_eq!(code(refused), Code::AuthPermission);
        assert!(heard(&bare, engage("cancel", None)).await.is_ok());
        assert!(heard(&may, engage("flatten", None)).await.is_ok());
        let refused = heard(&may, engage("block", None)).await.unwrap_err();
        assert_eq!(code(refused), Code::AuthPermission);
        let own = format!("key:{}", may["id"].as_str().unwrap());
        let invalid = heard(&may, engage("flatten", Some(own))).await.unwrap_err();
        assert!(matches!(invalid, CommandError::Invalid { field: "scope", .. }), "{invalid}");
        s.end().await;
    });
}

/// What takes the writing of halts and orders away, and what gives it back.
pub(super) fn database_away() -> [String; 2] {
    let guards: Vec<_> = ["halts", "orders", "audit_entries", "halt_orders"]
        .iter()
        .flat_map(|table| {
            ["INSERT", "UPDATE"].map(|event| (format!("no_{event}_{table}"), event, table))
        })
        .collect();
    let takes_away = guards.iter().map(|(name, event, table)| {
        format!(
            "CREATE TRIGGER {name} BEFORE {event} ON {table} \
             BEGIN SELECT RAISE(ABORT, 'away'); END;"
        )
    });
    let gives_back = guards.iter().map(|(name, _, _)| format!("DROP TRIGGER {name};"));
    let [takes_away, gives_back] =
        [takes_away.collect::<Vec<_>>().concat(), gives_back.collect::<Vec<_>>().concat()];
    [format!("BEGIN;{takes_away}COMMIT;"), format!("BEGIN;{gives_back}COMMIT;")]
}

/// C11: with the database taken away, orders are canceled at the brokers, and it is written down when
/// the database is back.
#[test]
fn c11_an_emergency_cancel_needs_no_database() {
    for (include_protective, stop) in [(false, OrderState::Working), (true, OrderState::Canceled)] {
        simulate(async || {
            let s = Small::trading(209).await;
            let [takes_away, gives_back] = database_away();
            s.h.sabotage_soon(&takes_away).await;
            let halt = json!({
                "command": "halt-engage", "mode": "cancel",
                "include_protective": include_protective,
            });
            let made = s.h.command(serde_json::from_value(halt).unwrap()).await;
            assert_eq!(made["local"], json!(true));
            s.h.elapse(millis(1_500)).await;
            let working = s.h.broker.orders().iter().filter(|order| order.state.is_live()).count();
            assert_eq!(working, usize::from(!include_protective), "{:#?}", s.h.broker.orders());
            assert_eq!(s.order(1).await.state, OrderState::Working, "our book cannot know yet");
            s.h.sabotage_soon(&gives_back).await;
            let id = made["id"].as_str().unwrap().to_owned();
            s.done(&id).await;
            s.h.elapse(millis(3_000)).await;
            assert_eq!(s.states().await, [OrderState::Filled, OrderState::Canceled, stop]);
            let id: tradewarden_domain::id::Id<tradewarden_domain::id::Halt> = id.parse().unwrap();
            let entries = s.h.entries(id.to_bytes()).await;
            let has = |event: &str| entries.iter().any(|entry| entry.leaf.contains(event));
            assert!(has("halt.engaged") && has("halt.canceled_directly"), "{entries:?}");
            s.end().await;
        });
    }
}

/// S9, S20: at whichever commit or call the process dies, a flatten halt ends with nothing held, no order
/// that works and no leg left, though the position is half filled and protected when it begins.
#[test]
fn s20_no_crash_keeps_a_flatten_halt_from_its_end() {
    simulate(async || {
        let commits = (1..=30).flat_map(|n| [Death::BeforeCommit(n), Death::AfterCommit(n)]);
        let calls = (2..=60).step_by(3).flat_map(|n| [Death::BeforeCall(n), Death::AfterCall(n)]);
        let mut died = 0;
        for death in commits.chain(calls) {
            let mut s = Small::with(211, Venue::default(), |new| {
                (new.take_profit, new.stop_loss) =
                    (Some("50".parse().unwrap()), Some("20".parse().unwrap()));
            })
            .await;
            s.h.broker.next_plans(&[FillPlan::InTwo(millis(1_300)).into()]);
            s.accept("BUY", "a").await;
            s.h.elapse(millis(700)).await;
            assert_eq!(s.position().await, "1");
            let live = s.states().await;
            let legs = live.iter().filter(|state| **state == OrderState::Working).count();
            assert_eq!(legs, 2, "{live:?}");
            s.h.stop().await;
            s.h.start(death).await;
            s.h.ready().await;
            s.h.broker.next_plans(&[FillPlan::InTwo(millis(400)).into()]);
            let halt = loop {
                if !s.h.is_alive() {
                    s.h.restart().await;
                }
                let Some(Ok(halts)) = s.h.try_command(Command::HaltStatus).await else { continue };
                if let Some(halt) = halts["items"].as_array().unwrap().first() {
                    break halt["id"].as_str().unwrap().to_owned();
                }
                let _engaged = s.h.try_command(halt_engage(None, "flatten")).await;
            };
            s.h.elapse(millis(3_000)).await;
            if !s.h.is_alive() {
                died += 1;
                s.h.restart().await;
            }
            s.done(&halt).await;
            s.h.elapse(millis(2_000)).await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0), "{death:?}");
            let live = |state: &OrderState| state.is_live();
            assert!(!s.states().await.iter().any(live), "{death:?}: {:#?}", s.h.orders().await);
            let works = s.h.broker.orders().into_iter().any(|order| order.state.is_live());
            assert!(!works, "{death:?}: {:#?}", s.h.broker.orders());
            s.end().await;
        }
        assert!(died > 40, "{died}");
    });
}

/// S20: flat is what the broker shows. As long as its positions are not heard, nobody is told so, though
/// our book holds nothing.
#[test]
fn s20_flat_is_said_by_the_broker() {
    for ever_traded in [true, false] {
        simulate(async || {
            let s = Small::with(210, Venue::default(), |_| {}).await;
            if ever_traded {
                s.accept("BUY", "a").await;
                s.h.quiet().await;
                s.accept("EXIT", "b").await;
                s.h.quiet().await;
            }
            let name = Harness::broker_account(&s.account);
            s.h.broker.next_faults(Call::Positions, &[Fault::LostBefore; 500]);
            s.h.elapse(millis(1_000)).await;
            s.h.broker.move_by_hand(name, "ES", "3".parse().unwrap());
            let halt = s.stop_all("flatten", false).await;
            s.h.elapse(millis(20_000)).await;
            assert_eq!(s.shown(&halt).await["is_done"], json!(false), "{ever_traded}");
            // The broker is heard again.
            s.h.broker.chaos(None, 0);
            s.done(&halt).await;
            let holding = s.h.broker.holding(name, &"ES".parse().unwrap());
            assert_eq!(holding.ours + holding.hand, 0, "{ever_traded}");
            s.h.finish().await;
        });
    }
}

/// Accounts in the order in which they are looked at, each holding two ES.
async fn accounts(s: &Small, count: usize) -> Vec<String> {
    let mut all = vec![s.account.clone()];
    s.accept("BUY", "a").await;
    for number in 1..count {
        let name = format!("n{number}");
        let account = s.h.account(&name).await;
        let hook = s.h.webhook(&name, 100).await;
        s.h.strategy(strategy(&name, &hook, &account, "ES", "2")).await;
        s.h.elapse(millis(600)).await;
        super::accept(&s.h, &hook, &tradewarden_testkit::engine::signal("BUY", "a")).await;
        all.push(account);
    }
    s.h.quiet().await;
    all
}

/// S20: an account that cannot be closed, or whose broker never answers, holds up no other one, and no
/// other halt.
#[test]
fn s20_one_account_holds_up_no_other() {
    for hangs in [false, true] {
        simulate(async || {
            let s = Small::with(211, Venue::default(), |_| {}).await;
            let all = accounts(&s, 3).await;
            let ill = Harness::broker_account(&all[0]);
            if hangs {
                s.h.broker.hang(ill);
            } else {
                let id: tradewarden_domain::id::Id<tradewarden_domain::id::Account> =
                    all[0].parse().unwrap();
                let hex = tradewarden_seal::hex_encode(&id.to_bytes());
                let guard = format!(
                    "CREATE TRIGGER ill BEFORE INSERT ON orders WHEN NEW.account_id = x'{hex}' \
                     BEGIN SELECT RAISE(ABORT, 'no'); END"
                );
                s.h.sabotage_soon(&guard).await;
            }
            s.h.broker.usual_plan(FillPlan::AtOnce);
            s.h.halt(None, "flatten").await;
            s.h.elapse(millis(8_000)).await;
            for account in &all[1..] {
                assert!(s.h.position(account, "ES").await.is_zero(), "{hangs}: {account}");
            }
            if hangs {
                let position = s.position().await;
                assert_eq!(position, "0", "without the broker's word our book is closed");
            }
            s.h.finish().await;
        });
    }
}

/// S20: what cannot be asked back on one account is asked back on the others, and what they hold is closed.
#[test]
fn s20_an_account_that_cannot_be_canceled_holds_up_no_other() {
    simulate(async || {
        let s = Small::with(214, Venue::default(), |_| {}).await;
        let all = accounts(&s, 2).await;
        s.h.broker.usual_plan(FillPlan::Rests);
        for account in &all {
            let new = OrderCreate {
                account_id: account.clone(),
                symbol: "ES".to_owned(),
                side: Side::Buy,
                order_type: OrderType::Stop,
                quantity: "1".parse().unwrap(),
                limit_price: None,
                stop_price: Some("5100".parse().unwrap()),
                time_in_force: None,
                reduce_only: false,
                expires_at: None,
                tag: None,
                allow_repeat: true,
            };
            s.h.command(Command::OrderCreate(new)).await;
        }
        s.h.elapse(millis(300)).await;
        let id: tradewarden_domain::id::Id<tradewarden_domain::id::Account> =
            all[0].parse().unwrap();
        let hex = tradewarden_seal::hex_encode(&id.to_bytes());
        let guard = format!(
            "CREATE TRIGGER ill BEFORE UPDATE ON orders WHEN NEW.account_id = x'{hex}' \
             AND NEW.cancel_requested = 1 BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        s.h.sabotage_soon(&guard).await;
        s.h.broker.usual_plan(FillPlan::AtOnce);
        let halt = s.h.halt(None, "flatten").await;
        s.h.elapse(millis(4_000)).await;
        assert_eq!(s.shown(&halt).await["is_done"], json!(false));
        let orders = s.h.orders().await;
        let resting = orders.iter().filter(|order| order.purpose == Purpose::Entry);
        let second = resting.clone().find(|o| o.account_id != id && o.stop_price.is_some());
        assert_eq!(second.unwrap().state, OrderState::Canceled);
        assert!(s.h.position(&all[1], "ES").await.is_zero());
        s.h.sabotage_soon("DROP TRIGGER ill").await;
        s.done(&halt).await;
        assert!(s.h.orders().await.iter().all(|order| !order.state.is_live()));
        s.h.finish().await;
    });
}

/// Product 7: a halt cancels within a second, whatever another one waits for.
#[test]
fn s20_a_cancel_waits_for_no_other_halt() {
    simulate(async || {
        let s = Small::trading(212).await;
        let ill = s.h.account("ill").await;
        s.h.broker.hang(Harness::broker_account(&ill));
        s.h.halt(Some(&format!("account:{ill}")), "flatten").await;
        s.h.elapse(millis(1_500)).await;
        s.h.halt(Some(&format!("account:{}", s.account)), "cancel").await;
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.order(1).await.state, OrderState::Canceled);
        s.end().await;
    });
}

/// C11: the emergency cancel waits for nothing that another halt is waiting for.
#[test]
fn c11_an_emergency_cancel_waits_for_no_other_halt() {
    simulate(async || {
        let s = Small::trading(213).await;
        let ill = s.h.account("ill").await;
        s.h.broker.hang(Harness::broker_account(&ill));
        s.h.halt(Some(&format!("account:{ill}")), "flatten").await;
        s.h.elapse(millis(1_500)).await;
        let [takes_away, gives_back] = database_away();
        s.h.sabotage_soon(&takes_away).await;
        let made = s.h.command(halt_engage(None, "cancel")).await;
        assert_eq!(made["local"], json!(true));
        s.h.elapse(millis(1_500)).await;
        let entries = s.h.broker.orders().into_iter().filter(|order| order.side == Side::Buy);
        assert_eq!(entries.filter(|order| order.state.is_live()).count(), 0);
        s.h.sabotage_soon(&gives_back).await;
        s.h.finish().await;
    });
}
