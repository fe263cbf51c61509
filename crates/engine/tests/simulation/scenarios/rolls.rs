//! S11: continuous symbols, the roll table, and what becomes of old months.

use super::Small;
use serde_json::json;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::Side;
use tradewarden_domain::strategy::{OnOpposite, Pyramiding, Sizing};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{ById, Command, CommandError, RollSet, StrategyCreate};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::{Harness, simulate, strategy};

fn contract(name: &str, expires_on: &str, roll_at: Option<&str>) -> Command {
    Command::RollSet(RollSet {
        root: "ES".to_owned(),
        contract: name.to_owned(),
        expires_on: expires_on.parse().unwrap(),
        first_notice_on: None,
        roll_at: roll_at.map(|at| at.parse().unwrap()),
    })
}

/// Two of `ES1!`: until 14:40 that is ESH26, whose last day is tomorrow, and then ESM26. Simulated
/// days begin at 14:30 on 2026-03-02.
pub(super) async fn with_months(seed: u64, change: impl FnOnce(&mut StrategyCreate)) -> Small {
    let h = Harness::sqlite(seed, Venue::default()).await;
    h.broker.list_like("ES", "ESH26");
    h.broker.list_like("ES", "ESM26");
    h.ready().await;
    let account = h.account("main").await;
    let hook = h.webhook("tv", 100).await;
    h.command(contract("ESH26", "2026-03-03", Some("2026-03-02T14:40:00Z"))).await;
    h.command(contract("ESM26", "2026-06-18", None)).await;
    let mut new = strategy("es", &hook, &account, "ES1!", "2");
    change(&mut new);
    h.strategy(new).await;
    h.sane_limits().await;
    h.elapse(Duration::from_secs(2)).await;
    Small { h, hook, account }
}

/// Goes to an instant: the last minutes by the timers, what is before them by the clock alone.
pub(super) async fn until(s: &Small, instant: &str) {
    let instant: Timestamp = instant.parse().unwrap();
    let span = instant.since(s.h.now());
    let timed = span.min(Duration::from_mins(15));
    s.h.clock.advance(span.saturating_sub(timed));
    s.h.elapse(timed).await;
}

pub(super) async fn held(s: &Small) -> (String, String) {
    let of = async |month| s.h.position(&s.account, month).await.to_string();
    (of("ESH26").await, of("ESM26").await)
}

pub(super) async fn holds(s: &Small, old: &str, new: &str) {
    s.h.quiet().await;
    assert_eq!(held(s).await, (old.to_owned(), new.to_owned()), "{:#?}", s.h.orders().await);
}

/// Entries go to the front month; an old month is neither added to nor rolled, is told of, and is
/// what an exit closes.
#[test]
fn s11_entries_go_to_the_front_and_exits_to_what_is_held() {
    simulate(async || {
        let mut s = with_months(70, |_| {}).await;
        s.accept("BUY", "a").await;
        holds(&s, "2", "0").await;
        until(&s, "2026-03-02T14:41:00Z").await;
        let along = s.send("BUY", "b").await;
        assert_eq!(
            (along.status, along.code),
            (SignalStatus::Skipped, Some(Code::StrategyAlreadyLong))
        );
        holds(&s, "2", "0").await;
        let told = async |s: &Small| {
            s.h.findings().await.iter().filter(|found| found.code == "position.old_month").count()
        };
        until(&s, "2026-03-02T15:30:00Z").await;
        assert_eq!(told(&s).await, 1, "once a day");
        s.h.restart().await;
        s.h.ready().await;
        let half = json!({ "action": "EXIT", "comment": "EXIT_50", "id": "c" });
        let reply = s.h.send(&s.hook, &half).await.answer();
        assert_eq!(reply.status, SignalStatus::Accepted, "{reply:?}");
        holds(&s, "1", "0").await;
        // Midnight in New York.
        until(&s, "2026-03-03T05:20:00Z").await;
        assert_eq!(told(&s).await, 2, "and on the next day");
        s.accept("EXIT", "d").await;
        holds(&s, "0", "0").await;
        s.accept("BUY", "e").await;
        holds(&s, "0", "2").await;
        let symbols: Vec<_> =
            s.h.orders().await.iter().map(|order| order.symbol.to_string()).collect();
        assert_eq!(symbols, ["ESH26", "ESH26", "ESH26", "ESM26"]);
        s.end().await;
    });
}

/// S11: who holds a month that ends soon hears of it as soon as the table says so or the day begins, also
/// right after a start.
#[test]
fn s11_an_old_month_is_told_at_once() {
    simulate(async || {
        let mut s = with_months(77, |_| {}).await;
        s.h.command(contract("ESH26", "2026-03-20", None)).await;
        s.accept("BUY", "a").await;
        holds(&s, "2", "0").await;
        s.h.elapse(Duration::from_mins(15)).await;
        let told = async |s: &Small| {
            s.h.findings().await.iter().filter(|found| found.code == "position.old_month").count()
        };
        assert_eq!(told(&s).await, 0);
        s.h.command(contract("ESH26", "2026-03-06", None)).await;
        s.h.elapse(Duration::from_secs(3)).await;
        assert_eq!(told(&s).await, 1, "the table changed");
        // Midnight in New York.
        until(&s, "2026-03-03T05:00:03Z").await;
        assert_eq!(told(&s).await, 2, "the day began");
        s.h.clock.advance(Duration::from_hours(24));
        s.h.restart().await;
        s.h.ready().await;
        s.h.elapse(Duration::from_secs(3)).await;
        assert_eq!(told(&s).await, 3, "it started");
        s.end().await;
    });
}

/// An exit closes every month that is held, oldest first; a stated quantity is for all together.
#[test]
fn s11_an_exit_covers_every_month() {
    for (quantity, old, new) in [(None, "0", "0"), (Some("3"), "0", "1"), (Some("1"), "1", "2")] {
        simulate(async || {
            let s = with_months(71, |new| {
                new.pyramiding = Some(Pyramiding::Allow);
                new.sizing = Some(Sizing::Payload);
            })
            .await;
            let buy = |id: &str| json!({ "action": "BUY", "quantity": "2", "id": id });
            super::accept(&s.h, &s.hook, &buy("a")).await;
            s.h.quiet().await;
            until(&s, "2026-03-02T14:41:00Z").await;
            super::accept(&s.h, &s.hook, &buy("b")).await;
            holds(&s, "2", "2").await;
            let mut exit = json!({ "action": "EXIT", "id": "c" });
            if let Some(quantity) = quantity {
                exit["quantity"] = quantity.into();
            }
            super::accept(&s.h, &s.hook, &exit).await;
            holds(&s, old, new).await;
            s.end().await;
        });
    }
}

/// S7, S11: a percentage is of all months together, and rounded up once.
#[test]
fn s11_a_percentage_of_several_months_is_rounded_once() {
    simulate(async || {
        let s = with_months(76, |new| {
            new.pyramiding = Some(Pyramiding::Allow);
            new.quantity = "1".parse().unwrap();
        })
        .await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        until(&s, "2026-03-02T14:41:00Z").await;
        s.accept("BUY", "b").await;
        holds(&s, "1", "1").await;
        for (comment, id, old, new) in [("EXIT_50", "c", "0", "1"), ("EXIT_25", "d", "0", "0")] {
            let part = json!({ "action": "EXIT", "comment": comment, "id": id });
            super::accept(&s.h, &s.hook, &part).await;
            holds(&s, old, new).await;
        }
        s.end().await;
    });
}

/// A signal against an old month closes it and opens nothing, even under `reverse`.
#[test]
fn s11_against_an_old_month_nothing_opens() {
    simulate(async || {
        let s = with_months(72, |new| {
            new.on_opposite = Some(OnOpposite::Reverse);
            new.allow_short = true;
        })
        .await;
        s.accept("BUY", "a").await;
        holds(&s, "2", "0").await;
        until(&s, "2026-03-02T14:41:00Z").await;
        s.accept("SELL", "b").await;
        holds(&s, "0", "0").await;
        s.accept("SELL", "c").await;
        holds(&s, "0", "-2").await;
        let sides: Vec<_> = s.h.orders().await.iter().map(|order| order.side).collect();
        assert_eq!(sides, [Side::Buy, Side::Sell, Side::Sell]);
        s.end().await;
    });
}

/// A month takes no entries on its last day, under its own name too, and lets exits pass. Without a
/// month ahead a continuous symbol stands for nothing.
#[test]
fn s11_no_entries_on_the_last_day_or_without_a_month() {
    simulate(async || {
        let s = with_months(73, |new| "ESH26".clone_into(&mut new.symbol)).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        until(&s, "2026-03-03T05:00:01Z").await;
        s.accept("EXIT", "b").await;
        holds(&s, "0", "0").await;
        assert_eq!(s.send("BUY", "c").await.code, Some(Code::RiskLastDay));
        s.end().await;
    });
    simulate(async || {
        let s = with_months(74, |_| {}).await;
        s.h.command(Command::RollRemove(ById { id: "ESM26".to_owned() })).await;
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        until(&s, "2026-03-02T14:41:00Z").await;
        s.accept("EXIT", "b").await;
        holds(&s, "0", "0").await;
        assert_eq!(s.send("BUY", "c").await.code, Some(Code::RiskRollUnresolved));
        assert_eq!(s.send("EXIT", "d").await.code, Some(Code::StrategyFlat));
        s.end().await;
    });
}

/// S11, S24: an exit closes the month that it may, and a person hears of the one that it may not.
#[test]
fn s11_a_month_whose_exit_is_refused_is_told() {
    simulate(async || {
        let s = with_months(75, |new| new.pyramiding = Some(Pyramiding::Allow)).await;
        s.accept("BUY", "a").await;
        holds(&s, "2", "0").await;
        until(&s, "2026-03-02T14:41:00Z").await;
        s.accept("BUY", "b").await;
        holds(&s, "2", "2").await;
        s.h.halt(Some("instrument:ESH26"), "block").await;
        s.accept("EXIT", "c").await;
        holds(&s, "2", "0").await;
        let findings = s.h.findings().await;
        let told = findings.iter().find(|found| found.subject.contains(" ESH26 "));
        let told = told.unwrap_or_else(|| panic!("{findings:?}"));
        assert_eq!((told.code.as_str(), told.severity.as_str()), ("halt.active", "critical"));
        s.end().await;
    });
}

/// S11: a month in which something is held stays where the exits of its continuous symbol find it.
#[test]
fn s11_a_month_that_is_held_stays_in_the_table() {
    simulate(async || {
        let s = with_months(76, |_| {}).await;
        s.accept("BUY", "a").await;
        holds(&s, "2", "0").await;
        let mut elsewhere = contract("ESH26", "2026-03-03", None);
        if let Command::RollSet(new) = &mut elsewhere {
            "NQ".clone_into(&mut new.root);
        }
        let remove = || Command::RollRemove(ById { id: "ESH26".to_owned() });
        for command in [remove(), elsewhere] {
            let refused = s.h.try_command(command).await.unwrap();
            assert!(
                matches!(&refused, Err(CommandError::Refused { code, .. })
                    if *code == Code::StrategyOpenPosition),
                "{refused:?}"
            );
        }
        s.h.command(contract("ESH26", "2026-03-03", Some("2026-03-02T14:39:00Z"))).await;
        s.accept("EXIT", "b").await;
        holds(&s, "0", "0").await;
        s.h.command(remove()).await;
        s.end().await;
    });
}

/// S11: a halt or a limit of a continuous symbol would bind no order, so it is refused with the month that
/// is meant; an exchange in front, as charts have it, is left out.
#[test]
fn s11_halts_and_limits_name_what_trades() {
    simulate(async || {
        let s = with_months(219, |_| {}).await;
        let limit = |scope: &str| json!({ "command": "limit-set", "scope": scope, "name": "restricted", "value": "1" });
        let halt = |scope: &str| json!({ "command": "halt-engage", "scope": scope });
        let pair = format!("pair:{}/ES1!", s.account);
        for asked in [
            limit("instrument:ES1!"),
            halt("instrument:ES1!"),
            halt("instrument:CME:ES2!"),
            halt(&pair),
        ] {
            let asked: Command = serde_json::from_value(asked).unwrap();
            match s.h.try_command(asked).await.unwrap() {
                Err(CommandError::Invalid { field: "scope", detail }) => {
                    assert!(detail.contains("name each month"), "{detail}");
                }
                other => panic!("it binds nothing: {other:?}"),
            }
        }
        s.h.halt(Some("instrument:CME_MINI:ESH26"), "block").await;
        assert_eq!(s.send("BUY", "a").await.code, Some(Code::HaltActive));
        let stored =
            s.h.command(serde_json::from_value(limit("instrument:CME:ESM26")).unwrap()).await;
        assert_eq!(stored["scope"], "instrument:ESM26");
        s.end().await;
    });
}
