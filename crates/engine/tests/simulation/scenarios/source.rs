//! Strategies whose source is a key: its signed signals are judged as a webhook's are, and nobody
//! else's reach them.

use super::keys::{caller, key};
use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::OrderState;
use tradewarden_domain::source::Source;
use tradewarden_engine::actor::Actor;
use tradewarden_engine::command::{Command, CommandError, StrategyCreate};
use tradewarden_engine::intake::{SignalStatus, SignedSignal};
use tradewarden_engine::once::OnceKey;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, Heard, Reply, simulate};
use tradewarden_testkit::life::Death;

/// A gateway on which the key `bot` is the source of a strategy for two ES on one account.
pub(super) struct Bot {
    pub(super) h: Harness,
    pub(super) account: String,
    pub(super) key: Value,
    strategy: String,
}

fn command(members: Value) -> Command {
    serde_json::from_value(members).unwrap()
}

/// Numbers the nonces.
fn nonce(number: u32) -> String {
    format!("nonce-{number:013}")
}

pub(super) fn once(key: &str, body: &Value) -> OnceKey {
    OnceKey::read(key, "POST", "/api/v1/signals", body.to_string().as_bytes()).unwrap()
}

impl Bot {
    pub(super) async fn new(seed: u64, settings: Value) -> Self {
        Self::until(seed, settings, Death::Never).await
    }

    async fn until(seed: u64, settings: Value, death: Death) -> Self {
        let h = Harness::sqlite_until(seed, Venue::default(), death).await;
        h.ready().await;
        let account = h.account("main").await;
        let mut scoped = json!({"scopes": ["signals:write", "orders:read"], "tier": "pro"});
        scoped.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let key = key(&h, scoped).await;
        let strategy = h.strategy(of_key(&key, &account, "ES")).await;
        h.sane_limits().await;
        Self { h, account, key, strategy }
    }

    pub(super) async fn sent(
        &self,
        key: &Value,
        number: u32,
        body: &Value,
        once: Option<OnceKey>,
    ) -> Result<(Heard, bool), CommandError> {
        let actor = caller(&self.h, key, &nonce(number));
        let body = body.to_string().into_bytes();
        self.h.send_signed(SignedSignal { body, dry_run: false, once }, &actor).await
    }

    pub(super) async fn send(&self, number: u32, body: Value) -> Reply {
        let (heard, replayed) = self.sent(&self.key, number, &body, None).await.unwrap();
        assert!(!replayed, "{heard:?}");
        heard.answer()
    }

    pub(super) async fn position(&self) -> String {
        self.h.position(&self.account, "ES").await.to_string()
    }

    pub(super) async fn end(self) {
        assert!(self.h.verify().await.ok);
        assert!(self.h.broker.violations().is_empty(), "{:?}", self.h.broker.violations());
        assert!(self.h.broker.doubled().is_empty(), "{:?}", self.h.broker.doubled());
        self.h.finish().await;
    }
}

fn of_key(key: &Value, account: &str, symbol: &str) -> StrategyCreate {
    let new = json!({"name": "of a key", "key": key["id"], "account": account, "symbol": symbol,
                     "quantity": "2"});
    serde_json::from_value(new).unwrap()
}

fn told(reply: &Reply) -> (SignalStatus, Option<Code>) {
    (reply.status, reply.code)
}

#[test]
fn a_strategy_hears_its_key_and_no_other() {
    simulate(async || {
        let bot = Bot::new(501, json!({})).await;
        let bought = bot.send(1, json!({"action": "BUY"})).await;
        assert_eq!(told(&bought), (SignalStatus::Accepted, None), "{bought:?}");
        bot.h.quiet().await;
        assert_eq!(bot.position().await, "2");
        let orders = bot.h.orders().await;
        let id = bot.key["id"].as_str().unwrap();
        assert_eq!(orders[0].key_id.unwrap().to_string(), id);
        assert_eq!(orders[0].signal_id, Some(bought.signal_id));
        let stored = bot.h.signals().await;
        assert_eq!(stored[0].source, Source::Key(id.parse().unwrap()));

        let other = key(&bot.h, json!({"scopes": ["signals:write"]})).await;
        let nobody =
            bot.sent(&other, 1, &json!({"action": "EXIT"}), None).await.unwrap().0.answer();
        assert_eq!(told(&nobody), (SignalStatus::Refused, Some(Code::StrategyNone)));
        let hook = bot.h.webhook("tv", 100).await;
        let nobody = bot.h.send(&hook, &json!({"action": "EXIT"})).await.answer();
        assert_eq!(told(&nobody), (SignalStatus::Refused, Some(Code::StrategyNone)));

        bot.send(2, json!({"action": "EXIT"})).await;
        bot.h.quiet().await;
        assert_eq!(bot.position().await, "0");
        bot.end().await;
    });
}

/// What a limit of a key counts are the orders of its signals too.
#[test]
fn a_limit_of_a_key_counts_the_orders_of_its_signals() {
    simulate(async || {
        let bot = Bot::new(590, json!({})).await;
        let scope = format!("key:{}", bot.key["id"].as_str().unwrap());
        bot.h.limit(&scope, "max_orders_per_minute", "1").await;
        let first = bot.send(1, json!({"action": "BUY", "id": "a"})).await;
        assert_eq!(told(&first), (SignalStatus::Accepted, None), "{first:?}");
        bot.h.quiet().await;
        bot.send(2, json!({"action": "EXIT", "id": "b"})).await;
        bot.h.quiet().await;
        let second = bot.send(3, json!({"action": "BUY", "id": "c"})).await;
        let no = (SignalStatus::Refused, Some(Code::RiskMaxOrdersPerMinute));
        assert_eq!(told(&second), no, "{second:?}");
        bot.h.elapse(millis(61_000)).await;
        let third = bot.send(4, json!({"action": "BUY", "id": "d"})).await;
        assert_eq!(told(&third), (SignalStatus::Accepted, None), "{third:?}");
        bot.h.quiet().await;
        bot.end().await;
    });
}

/// S15: what tells signals apart counts by key.
#[test]
fn s15_duplicates_are_known_by_key() {
    simulate(async || {
        let bot = Bot::new(502, json!({})).await;
        let buy = json!({"action": "BUY", "id": "a"});
        let first = bot.send(1, buy.clone()).await;
        let again = bot.send(2, buy.clone()).await;
        assert_eq!(told(&again), (SignalStatus::Duplicate, None));
        assert_eq!(again.signal_id, first.signal_id);
        let conflict = bot.send(3, json!({"action": "SELL", "id": "a"})).await;
        assert_eq!(told(&conflict), (SignalStatus::Refused, Some(Code::DuplicateIdConflict)));

        let other = key(&bot.h, json!({"scopes": ["signals:write"]})).await;
        let account = bot.h.account("second").await;
        bot.h.strategy(of_key(&other, &account, "AAPL")).await;
        let fresh = bot.sent(&other, 1, &buy, None).await.unwrap().0.answer();
        assert_eq!(told(&fresh), (SignalStatus::Accepted, None), "the same id of another key");
        bot.h.quiet().await;
        assert_eq!(bot.h.orders().await.len(), 2);
        bot.end().await;
    });
}

/// The key that follows on another is the same source: its strategies hear it, and it cannot repeat
/// what was sent before the rotation.
#[test]
fn s15_a_rotated_key_is_the_same_source() {
    simulate(async || {
        let bot = Bot::new(503, json!({})).await;
        let buy = json!({"action": "BUY", "id": "a"});
        bot.send(1, buy.clone()).await;
        let rotate = json!({"command": "key-rotate", "id": bot.key["id"], "rotation": {}});
        let next = bot.h.command(command(rotate)).await;
        let again = bot.sent(&next, 1, &buy, None).await.unwrap().0.answer();
        assert_eq!(told(&again), (SignalStatus::Duplicate, None));
        let exit = bot.sent(&next, 2, &json!({"action": "EXIT"}), None).await.unwrap().0.answer();
        assert_eq!(told(&exit), (SignalStatus::Accepted, None), "{exit:?}");
        bot.h.quiet().await;
        assert_eq!(bot.position().await, "0");
        let signals = bot.h.signals().await;
        assert!(signals.iter().all(|signal| signal.source == signals[0].source));
        let last = bot.h.orders().await.pop().unwrap();
        assert_eq!(last.key_id.unwrap().to_string(), next["id"].as_str().unwrap());
        // A strategy that is made for the successor follows the same line.
        let account = bot.h.account("second").await;
        let made = bot.h.strategy(of_key(&next, &account, "AAPL")).await;
        let shown = bot.h.command(command(json!({"command": "strategy-show", "id": made}))).await;
        assert_eq!(shown["key_id"], bot.key["id"]);
        let both = bot.sent(&bot.key, 9, &json!({"action": "BUY"}), None).await.unwrap().0.answer();
        assert_eq!(both.accounts.len(), 2, "{both:?}");
        bot.end().await;
    });
}

/// A replay judges a signal as the key that signed it, one of several that follow on one another, also
/// when none of them is valid any more.
#[test]
fn a_replay_judges_as_the_key_that_signed() {
    simulate(async || {
        let bot = Bot::new(511, json!({})).await;
        let from = json!(bot.h.now());
        bot.send(1, json!({"action": "BUY"})).await;
        bot.h.quiet().await;
        bot.send(2, json!({"action": "EXIT"})).await;
        bot.h.quiet().await;
        let rotate = json!({"command": "key-rotate", "id": bot.key["id"], "rotation": {}});
        let next = bot.h.command(command(rotate)).await;
        bot.h.elapse(std::time::Duration::from_secs(2)).await;
        let third = json!({"action": "BUY", "id": "third"});
        let third = bot.sent(&next, 3, &third, None).await.unwrap().0.answer();
        bot.h.quiet().await;
        for key in [&bot.key, &next] {
            bot.h.command(command(json!({"command": "key-revoke", "id": key["id"]}))).await;
        }
        let listed = bot.h.command(Command::LimitList).await;
        let mut limits: Vec<_> = listed["items"].as_array().unwrap().iter().map(|limit| {
            json!({"scope": limit["scope"], "name": limit["name"], "value": limit["value"]})
        }).collect();
        let scope = format!("key:{}", next["id"].as_str().unwrap());
        limits.push(json!({"scope": scope, "name": "max_order_quantity", "value": "0.5"}));
        let asked = json!({
            "command": "replay-period", "from": from, "to": json!(bot.h.now()), "limits": limits,
        });
        let told = bot.h.command(command(asked)).await;
        assert_eq!((&told["judged"], &told["unexplained"]), (&json!(3), &json!(0)), "{told:#}");
        assert_eq!(told["differs"], 1, "{told:#}");
        assert_eq!(told["differences"][0]["signal_id"], json!(third.signal_id));
        assert_eq!(told["differences"][0]["now"]["code"], "risk.max_order_quantity");
        bot.end().await;
    });
}

#[test]
fn a_signal_may_mean_one_of_the_strategies() {
    simulate(async || {
        let bot = Bot::new(504, json!({})).await;
        let account = bot.h.account("second").await;
        let second = bot.h.strategy(of_key(&bot.key, &account, "AAPL")).await;
        let one = bot.send(1, json!({"action": "BUY", "strategy_id": second})).await;
        assert_eq!(one.accounts.len(), 1, "{one:?}");
        assert_eq!(one.accounts[0].strategy_id.to_string(), second);
        let both = bot.send(2, json!({"action": "EXIT"})).await;
        assert_eq!(both.accounts.len(), 2, "{both:?}");
        for (number, wrong) in (3..).zip(["str_00000000000000000000000000", "nothing", ""]) {
            let id = format!("wrong {number}");
            let none =
                bot.send(number, json!({"action": "BUY", "strategy_id": wrong, "id": id})).await;
            assert_eq!(told(&none), (SignalStatus::Refused, Some(Code::StrategyNone)), "{wrong}");
            assert_eq!(none.field.as_deref(), Some("strategy_id"));
        }
        bot.h.quiet().await;
        assert_eq!(bot.strategy.len(), second.len());
        bot.end().await;
    });
}

/// S19: a suspended key closes and opens nothing.
#[test]
fn s19_a_suspended_key_only_closes() {
    simulate(async || {
        let bot = Bot::new(505, json!({})).await;
        bot.send(1, json!({"action": "BUY"})).await;
        bot.h.quiet().await;
        bot.h.command(command(json!({"command": "key-suspend", "id": bot.key["id"]}))).await;
        for entry in ["BUY", "SELL"] {
            let no = bot.send(if entry == "BUY" { 2 } else { 3 }, json!({"action": entry})).await;
            assert_eq!(told(&no), (SignalStatus::Refused, Some(Code::AuthPermission)), "{entry}");
        }
        let exit = bot.send(4, json!({"action": "SELL", "comment": "EXIT_FINAL"})).await;
        assert_eq!(told(&exit), (SignalStatus::Accepted, None), "{exit:?}");
        bot.h.quiet().await;
        assert_eq!(bot.position().await, "0");
        bot.end().await;
    });
}

/// What a key may not do by itself, its signals do not do either.
#[test]
fn a_key_keeps_its_bounds_in_its_signals() {
    simulate(async || {
        let bot = Bot::new(506, json!({"max_notional": "1000"})).await;
        let no = bot.send(1, json!({"action": "BUY"})).await;
        assert_eq!(told(&no), (SignalStatus::Refused, Some(Code::KeyMaxNotional)), "{no:?}");
        let second = bot.h.account("second").await;
        let bound = json!({"scopes": ["signals:write"], "accounts": [bot.account],
                           "instruments": ["ES"]});
        let bound = key(&bot.h, bound).await;
        for (account, symbol) in [(&second, "ES"), (&bot.account, "AAPL")] {
            let new =
                command(json!({"command": "strategy-create", "name": "x", "key": bound["id"],
                       "account": account, "symbol": symbol, "quantity": "1"}));
            let refused = bot.h.try_command(new).await.unwrap();
            assert!(
                matches!(refused, Err(CommandError::Invalid { field: "key", .. })),
                "{account} {symbol}: {refused:?}"
            );
        }
        let scope = format!("key:{}", bot.key["id"].as_str().unwrap());
        bot.h.limit(&scope, "max_order_quantity", "1").await;
        let no = bot.send(2, json!({"action": "BUY", "id": "b"})).await;
        assert_eq!(told(&no), (SignalStatus::Refused, Some(Code::RiskMaxOrderQuantity)), "{no:?}");
        bot.h.halt(Some(&scope), "reduce_only").await;
        let no = bot.send(3, json!({"action": "BUY", "id": "c"})).await;
        assert_eq!(told(&no), (SignalStatus::Refused, Some(Code::HaltActive)), "{no:?}");
        assert!(bot.h.orders().await.is_empty());
        bot.end().await;
    });
}

/// The payload may name an instrument that the key may not trade: strategies may trade it, the key not.
#[test]
fn a_named_instrument_must_be_the_keys() {
    simulate(async || {
        let bot = Bot::new(507, json!({"instruments": ["ES"]})).await;
        let change = json!({"command": "strategy-change", "id": bot.strategy,
                            "changes": {"symbol_source": "payload"}});
        bot.h.command(command(change)).await;
        let no = bot.send(1, json!({"action": "BUY", "ticker": "AAPL"})).await;
        assert_eq!(told(&no), (SignalStatus::Refused, Some(Code::KeyInstrument)), "{no:?}");
        let yes = bot.send(2, json!({"action": "BUY", "ticker": "ES"})).await;
        assert_eq!(told(&yes), (SignalStatus::Accepted, None), "{yes:?}");
        bot.h.quiet().await;
        bot.end().await;
    });
}

#[test]
fn a_source_is_one_webhook_or_one_key() {
    simulate(async || {
        let small = Small::with(508, Venue::default(), |_| {}).await;
        let h = &small.h;
        let sends = key(h, json!({"scopes": ["signals:write"]})).await;
        let reads = key(h, json!({"scopes": ["orders:read"]})).await;
        let account = h.account("second").await;
        let new = |source: Value| {
            let mut new = json!({"command": "strategy-create", "name": "x", "account": account,
                                 "symbol": "AAPL", "quantity": "1"});
            new.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            command(new)
        };
        let none = "key_00000000000000000000000000";
        for (source, field) in [
            (json!({}), Some("webhook")),
            (json!({"webhook": small.hook.id, "key": sends["id"]}), Some("key")),
            (json!({"key": reads["id"]}), Some("key")),
            (json!({"key": "whk_00000000000000000000000000"}), Some("key")),
            (json!({"key_id": none}), None),
        ] {
            match (h.try_command(new(source.clone())).await.unwrap(), field) {
                (Err(CommandError::Invalid { field, .. }), Some(wrong)) => {
                    assert_eq!(field, wrong, "{source}");
                }
                (Err(CommandError::NotFound), None) => {}
                (other, _) => panic!("{source}: {other:?}"),
            }
        }
        let made = h.command(new(json!({"key_id": sends["id"]}))).await;
        assert_eq!((&made["key_id"], &made["webhook_id"]), (&sends["id"], &Value::Null));
        let change = |changes: Value| {
            command(json!({"command": "strategy-change", "id": made["id"], "changes": changes}))
        };
        let moved = h.command(change(json!({"webhook": small.hook.id}))).await;
        assert_eq!(moved["webhook_id"], small.hook.id.as_str());
        assert_eq!(moved["key_id"], Value::Null);
        let back = h.command(change(json!({"key": sends["id"]}))).await;
        assert_eq!((&back["key_id"], &back["webhook_id"]), (&sends["id"], &Value::Null));
        small.end().await;
    });
}

/// S17: the same request under the same key of the caller has the same answer, also a refusal, and
/// also of another process; another body under it is refused.
#[test]
fn s17_a_signal_under_an_idempotency_key_is_taken_once() {
    simulate(async || {
        let mut bot = Bot::new(509, json!({})).await;
        let (buy, far) = (json!({"action": "BUY"}), json!({"action": "HOLD"}));
        let first = bot.sent(&bot.key, 1, &buy, Some(once("k", &buy))).await.unwrap();
        assert!(!first.1);
        let first = first.0.answer();
        let no = bot.sent(&bot.key, 2, &far, Some(once("n", &far))).await.unwrap().0.answer();
        assert_eq!(no.status, SignalStatus::Refused);
        bot.h.elapse(Duration::from_mins(2)).await;
        bot.h.crash().await;
        bot.h.restart().await;
        bot.h.ready().await;
        let again = bot.sent(&bot.key, 3, &buy, Some(once("k", &buy))).await.unwrap();
        assert!(again.1, "it is the first answer");
        let again = again.0.answer();
        assert_eq!((told(&again), again.signal_id), (told(&first), first.signal_id));
        let no_again = bot.sent(&bot.key, 4, &far, Some(once("n", &far))).await.unwrap();
        assert!(no_again.1);
        let no_again = no_again.0.answer();
        assert_eq!((no_again.code, no_again.field), (no.code, no.field));
        let other = bot.sent(&bot.key, 5, &far, Some(once("k", &far))).await;
        assert!(
            matches!(other, Err(CommandError::Refused { code: Code::IdempotencyKeyReused, .. })),
            "{other:?}"
        );
        assert_eq!(bot.h.signals().await.len(), 2);
        assert_eq!(bot.h.orders().await.len(), 1);
        bot.h.quiet().await;
        bot.end().await;
    });
}

/// Crash story of a signed signal: with the process dying before or after its commit, a request that
/// is sent again under its idempotency key counts once.
#[test]
fn a_signed_signal_survives_a_crash_at_its_commit() {
    let buy = json!({"action": "BUY"});
    let number = simulate(async || {
        let bot = Bot::new(510, json!({})).await;
        let before = bot.h.commits_that_wrote().len();
        let (heard, _) = bot.sent(&bot.key, 1, &buy, Some(once("k", &buy))).await.unwrap();
        assert!(matches!(heard, Heard::Answer(_)), "{heard:?}");
        let number = bot.h.commits_that_wrote()[before];
        bot.h.finish().await;
        number
    });
    for death in [Death::BeforeCommit(number), Death::AfterCommit(number)] {
        simulate(async || {
            let mut bot = Bot::until(510, json!({}), death).await;
            let (heard, _) = bot.sent(&bot.key, 1, &buy, Some(once("k", &buy))).await.unwrap();
            assert!(!matches!(heard, Heard::Answer(_)), "{death:?}: {heard:?}");
            bot.h.restart().await;
            bot.h.ready().await;
            let (heard, replayed) =
                bot.sent(&bot.key, 2, &buy, Some(once("k", &buy))).await.unwrap();
            assert_eq!(told(&heard.answer()), (SignalStatus::Accepted, None), "{death:?}");
            assert_eq!(replayed, matches!(death, Death::AfterCommit(_)), "{death:?}");
            bot.h.quiet().await;
            let orders = bot.h.orders().await;
            assert_eq!(orders.len(), 1, "{death:?}");
            assert!(matches!(orders[0].state, OrderState::Filled | OrderState::Expired));
            bot.end().await;
        });
    }
}

/// C17: a nonce that only the database knows trades nothing.
#[test]
fn c17_a_signal_claims_its_nonce() {
    simulate(async || {
        let bot = Bot::new(511, json!({})).await;
        let actor: Actor = caller(&bot.h, &bot.key, &nonce(1));
        let send = async |id: &str| {
            let body = json!({"action": "BUY", "id": id}).to_string().into_bytes();
            bot.h.send_signed(SignedSignal { body, dry_run: false, once: None }, &actor).await
        };
        let first = send("a").await.unwrap().0.answer();
        assert_eq!(first.status, SignalStatus::Accepted);
        // The same verified request once more, as a second node would see it.
        let (again, _) = send("b").await.unwrap();
        assert!(matches!(again, Heard::Unauthenticated), "{again:?}");
        assert_eq!(bot.h.signals().await.len(), 1);
        bot.h.quiet().await;
        assert_eq!(bot.position().await, "2");
        bot.end().await;
    });
}

/// S24: a strategy that expects its key's signals is told of when none comes.
#[test]
fn s24_the_silence_of_a_key_is_told() {
    simulate(async || {
        let bot = Bot::new(512, json!({})).await;
        let change = json!({"command": "strategy-change", "id": bot.strategy,
                            "changes": {"expected_every_s": 60}});
        bot.h.command(command(change)).await;
        bot.h.elapse(Duration::from_secs(40)).await;
        bot.send(1, json!({"action": "EXIT"})).await;
        bot.h.elapse(Duration::from_secs(50)).await;
        assert!(!bot.h.has_finding("strategy.silent").await);
        bot.h.elapse(Duration::from_secs(40)).await;
        assert!(bot.h.has_finding("strategy.silent").await);
        bot.h.elapse(millis(10)).await;
        bot.end().await;
    });
}
