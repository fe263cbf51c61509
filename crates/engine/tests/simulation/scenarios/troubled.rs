//! The essence of rules that are about signals, each while the broker is slow, fills in parts, says no,
//! loses an answer, or holds what another hand moved.

use super::followers::Led;
use super::source::{Bot, once};
use super::{Small, accept, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::code::Code;
use tradewarden_domain::order::{OrderType, Purpose, Side};
use tradewarden_engine::command::{Command, CommandError, OrderCreate};
use tradewarden_engine::intake::SignalStatus;
use tradewarden_testkit::broker::{Call, Fault, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{Harness, Heard, Hook, raw, signal, simulate, strategy};

/// What is wrong with the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The next order fills late, and its fill is told later.
    Delay,
    /// It fills in two parts.
    Parts,
    /// It is rejected.
    Reject,
    /// It is placed, and the answer is lost.
    LostAnswer,
    /// Another hand bought one, and that was read twice.
    Hand,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::Delay, Self::Parts, Self::Reject, Self::LostAnswer, Self::Hand];

    /// The next order at the broker meets it; a hand moves the position of this account now.
    async fn strike(self, h: &Harness, account: &str) {
        match self {
            Self::Delay => {
                let (fill, report) = (FillPlan::After(millis(900)), Report::Late(millis(700)));
                h.broker.next_plans(&[OrderPlan { fill, report, crosses: false }]);
            }
            Self::Parts => h.broker.next_plans(&[FillPlan::InTwo(millis(900)).into()]),
            Self::Reject => h.broker.next_plans(&[FillPlan::Rejected.into()]),
            Self::LostAnswer => h.broker.next_faults(Call::Place, &[Fault::LostAfter]),
            Self::Hand => {
                let name = Harness::broker_account(account);
                h.broker.move_by_hand(name, "ES", "1".parse().unwrap());
                h.elapse(Duration::from_secs(12)).await;
                assert!(h.has_finding("position.mismatch").await, "a hand is told of");
            }
        }
    }

    /// What an entry of two comes to that is struck by it after it left.
    fn entered(self) -> &'static str {
        if self == Self::Reject { "0" } else { "2" }
    }
}

impl Small {
    async fn struck(&self, trouble: Trouble) {
        trouble.strike(&self.h, &self.account).await;
    }

    /// Buys two that the trouble strikes; a hand moves only once they are here, for it stops entries.
    async fn buys(&self, trouble: Trouble, body: &Value) {
        if trouble != Trouble::Hand {
            self.struck(trouble).await;
        }
        accept(&self.h, &self.hook, body).await;
        self.h.elapse(millis(300)).await;
        if trouble == Trouble::Hand {
            self.struck(trouble).await;
        }
    }

    /// All is at rest: no more than this is held here and, of ours, at the broker; nothing that another
    /// hand holds was touched.
    async fn holds(&self, wanted: &str, trouble: Trouble) {
        self.h.quiet().await;
        let orders = self.h.orders().await;
        assert_eq!(self.position().await, wanted, "{trouble:?}: {orders:#?}");
        assert_eq!(self.held().to_string(), wanted, "{trouble:?} at the broker");
        let account = Harness::broker_account(&self.account);
        let hand = self.h.broker.holding(account, &"ES".parse().unwrap()).hand;
        assert_eq!(hand != 0, trouble == Trouble::Hand, "{trouble:?}");
        for exit in orders.iter().filter(|order| order.purpose == Purpose::Exit) {
            assert!(exit.filled_quantity.units() <= 200_000_000, "{trouble:?}: {exit:?}");
        }
    }

    /// An exit that was struck has closed all; one that was rejected is told, and another closes.
    async fn is_closed(&self, trouble: Trouble) {
        self.h.quiet().await;
        if trouble == Trouble::Reject && self.position().await != "0" {
            assert!(self.h.has_finding("order.exit_rejected").await);
            self.accept("EXIT", "once more").await;
        }
        self.holds("0", trouble).await;
    }
}

/// Runs it under each trouble.
fn under_each(seed: u64, rule: &impl AsyncFn(&mut Small, Trouble)) {
    for (seed, trouble) in (seed..).zip(Trouble::ALL) {
        simulate(async || {
            let mut s = Small::with(seed, Venue::default(), |_| {}).await;
            rule(&mut s, trouble).await;
            s.end().await;
        });
    }
}

/// S6: an exit for the side that is not held is skipped and told, one whose number cannot be read is
/// refused and told, whatever becomes of the entry; neither changes anything.
#[test]
fn s6_comments_in_trouble() {
    under_each(810, &async |s, trouble| {
        s.buys(trouble, &signal("BUY", "a")).await;
        let wrong = json!({ "action": "BUY", "comment": "EXIT_50", "id": "b" });
        let reply = s.h.send(&s.hook, &wrong).await.answer();
        assert_eq!(reply.status, SignalStatus::Skipped, "{trouble:?}: {reply:?}");
        if trouble != Trouble::Reject {
            assert_eq!(reply.code, Some(Code::StrategyWrongSide), "{trouble:?}: {reply:?}");
            assert!(s.h.has_finding("strategy.wrong_side").await);
        }
        let unread = json!({ "action": "EXIT", "comment": "EXIT_101", "id": "c" });
        let reply = s.h.send(&s.hook, &unread).await.answer();
        assert_eq!(reply.status, SignalStatus::Refused, "{trouble:?}: {reply:?}");
        assert!(s.h.findings().await.len() > usize::from(trouble != Trouble::Reject));
        s.holds(trouble.entered(), trouble).await;
        assert_eq!(s.h.orders().await.len(), 1, "{trouble:?}");
    });
}

/// S10: what becomes of the leader's entry or exit stops no follower, and each closes what it holds.
#[test]
fn s10_followers_in_trouble() {
    for (seed, trouble) in (820..).zip(Trouble::ALL) {
        simulate(async || {
            let led = Led::with(seed, |_| {}).await;
            trouble.strike(&led.h, &led.accounts[0]).await;
            let reply = led.send("BUY", "a").await;
            assert_eq!(reply.status, SignalStatus::Accepted, "{trouble:?}: {reply:?}");
            let refused = reply.accounts.iter().filter(|a| a.code == Some(Code::HaltActive));
            assert_eq!(refused.count(), usize::from(trouble == Trouble::Hand), "{reply:?}");
            led.h.quiet().await;
            let mut held = led.positions().await;
            held.sort();
            let misses = [Trouble::Reject, Trouble::Hand].contains(&trouble);
            assert_eq!(held, [if misses { "0" } else { "2" }, "2", "2"], "{trouble:?}");
            if trouble != Trouble::Hand {
                trouble.strike(&led.h, &led.accounts[0]).await;
            }
            led.send("EXIT", "b").await;
            led.h.quiet().await;
            if trouble == Trouble::Reject {
                assert!(led.h.has_finding("order.exit_rejected").await);
                let left = led.positions().await;
                assert_eq!(left.iter().filter(|held| *held != "0").count(), 1, "{left:?}");
                led.send("EXIT", "c").await;
                led.h.quiet().await;
            }
            assert_eq!(led.positions().await, ["0", "0", "0"], "{trouble:?}");
            for account in &led.accounts {
                let name = Harness::broker_account(account);
                assert_eq!(led.h.broker.holding(name, &"ES".parse().unwrap()).ours, 0);
            }
            led.end().await;
        });
    }
}

/// S13: an exit that is older than an accepted entry is refused and told, whatever the broker makes of the
/// entry; one that is only old is not.
#[test]
fn s13_times_of_sending_in_trouble() {
    under_each(830, &async |s, trouble| {
        let before = s.h.now().to_string();
        s.h.elapse(millis(2_000)).await;
        let entered_at = s.h.now().to_string();
        let entry = json!({ "action": "BUY", "id": "a", "timenow": entered_at });
        s.buys(trouble, &entry).await;
        let late = json!({ "action": "EXIT", "id": "b", "timenow": before });
        let reply = s.h.send(&s.hook, &late).await.answer();
        assert_eq!(reply.code, Some(Code::SignalOutOfOrder), "{trouble:?}: {reply:?}");
        assert!(s.h.has_finding("signal.out_of_order").await);
        s.holds(trouble.entered(), trouble).await;
        let sent_at = s.h.now().to_string();
        s.h.elapse(Duration::from_mins(5)).await;
        let old = json!({ "action": "EXIT", "id": "c", "timenow": sent_at });
        let reply = s.h.send(&s.hook, &old).await.answer();
        let closes = trouble != Trouble::Reject;
        assert_eq!(reply.status == SignalStatus::Accepted, closes, "{trouble:?}: {reply:?}");
        s.holds("0", trouble).await;
    });
}

/// S14: an exit that is held for a closed market leaves at its first second and closes all the same; an
/// entry is refused and never leaves later.
#[test]
fn s14_a_closed_market_in_trouble() {
    under_each(840, &async |s, trouble| {
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.h.broker.set_market("ES", None, MarketState::Closed);
        s.h.elapse(millis(1_000)).await;
        s.accept("EXIT", "b").await;
        s.struck(trouble).await;
        s.h.elapse(Duration::from_secs(20)).await;
        assert_eq!(s.order(1).await.code, Some(Code::ExitPendingOpen), "{trouble:?}");
        assert_eq!(s.h.broker.sent().len(), 1, "{trouble:?}: held");
        let entry = s.send("BUY", "c").await;
        assert_ne!(entry.status, SignalStatus::Accepted, "{trouble:?}: {entry:?}");
        s.h.broker.set_market("ES", None, MarketState::Open);
        s.h.elapse(millis(1_000)).await;
        assert_eq!(s.h.broker.sent().len(), 2, "{trouble:?}: at the first tradable second");
        s.is_closed(trouble).await;
        let orders = s.h.orders().await;
        let entries = orders.iter().filter(|order| order.purpose == Purpose::Entry);
        assert_eq!(entries.count(), 1, "{trouble:?}");
    });
}

/// S15: the same again, also after a restart, has the first answer and makes no second order, whatever
/// is known of the first one.
#[test]
fn s15_duplicates_in_trouble() {
    under_each(850, &async |s, trouble| {
        s.buys(trouble, &signal("BUY", "a")).await;
        for restarts in [false, true] {
            if restarts {
                s.h.restart().await;
                s.h.ready().await;
            }
            let again = s.send("BUY", "a").await;
            assert_eq!(again.status, SignalStatus::Duplicate, "{trouble:?}: {again:?}");
            let other = s.send("SELL", "a").await;
            assert_eq!(other.code, Some(Code::DuplicateIdConflict), "{trouble:?}: {other:?}");
        }
        s.holds(trouble.entered(), trouble).await;
        assert_eq!(s.h.orders().await.len(), 1, "{trouble:?}");
        // A full exit under the id of another body is carried out, once.
        let exits = trouble != Trouble::Reject;
        let exit = s.send("EXIT", "a").await;
        assert_eq!(exit.status == SignalStatus::Accepted, exits, "{trouble:?}: {exit:?}");
        assert_eq!(s.send("EXIT", "a").await.status, SignalStatus::Duplicate, "{trouble:?}");
        s.holds("0", trouble).await;
        assert_eq!(s.h.orders().await.len(), 1 + usize::from(exits), "{trouble:?}");
    });
}

/// S16: what is too much is refused and told, and the exit passes, whatever becomes of the one entry.
#[test]
fn s16_too_many_in_trouble() {
    for (seed, trouble) in (860..).zip(Trouble::ALL) {
        simulate(async || {
            let h = Harness::sqlite(seed, Venue::default()).await;
            h.ready().await;
            let account = h.account("main").await;
            let hook = h.webhook("tv", 10).await;
            h.strategy(strategy("es", &hook, &account, "ES", "2")).await;
            h.sane_limits().await;
            let s = Small { h, hook, account };
            if trouble != Trouble::Hand {
                s.struck(trouble).await;
            }
            let entries = (0..15).map(|n| raw(&s.hook, &signal("BUY", &n.to_string()))).collect();
            let answers = s.h.send_together(entries).await.into_iter().map(Heard::answer);
            let limited = answers.filter(|answer| answer.code == Some(Code::LimitRate));
            assert_eq!(limited.count(), 5, "{trouble:?}");
            assert!(s.h.has_finding("limit.rate").await);
            s.h.elapse(millis(300)).await;
            if trouble == Trouble::Hand {
                s.struck(trouble).await;
            }
            let exit = s.send("EXIT", "x").await;
            assert_ne!(exit.code, Some(Code::LimitRate), "{trouble:?}: {exit:?}");
            s.holds("0", trouble).await;
            s.end().await;
        });
    }
}

fn buys_one(account: &str, allow_repeat: bool) -> Command {
    Command::OrderCreate(OrderCreate {
        account_id: account.to_owned(),
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
        allow_repeat,
    })
}

/// S17: a request under an idempotency key makes one order, and one that is too much like another within
/// two seconds makes none, though nobody knows yet what became of the first.
#[test]
fn s17_repeated_requests_in_trouble() {
    for (seed, trouble) in (870..).zip(Trouble::ALL) {
        simulate(async || {
            let bot = Bot::new(seed, json!({})).await;
            let buy = json!({ "action": "BUY" });
            if trouble != Trouble::Hand {
                trouble.strike(&bot.h, &bot.account).await;
            }
            let first = bot.sent(&bot.key, 1, &buy, Some(once("k", &buy))).await.unwrap();
            let first = first.0.answer();
            bot.h.elapse(millis(300)).await;
            if trouble == Trouble::Hand {
                trouble.strike(&bot.h, &bot.account).await;
            }
            let again = bot.sent(&bot.key, 2, &buy, Some(once("k", &buy))).await.unwrap();
            assert!(again.1, "{trouble:?}: it is the first answer");
            assert_eq!(again.0.answer().signal_id, first.signal_id, "{trouble:?}");
            bot.h.quiet().await;
            assert_eq!(bot.position().await, trouble.entered(), "{trouble:?}");
            assert_eq!(bot.h.orders().await.len(), 1, "{trouble:?}");
            bot.end().await;

            let s = Small::with(seed + 5, Venue::default(), |_| {}).await;
            if trouble != Trouble::Hand {
                s.struck(trouble).await;
            }
            let first = s.h.command(buys_one(&s.account, false)).await;
            s.h.elapse(millis(300)).await;
            if trouble == Trouble::Hand {
                let name = Harness::broker_account(&s.account);
                s.h.broker.move_by_hand(name, "ES", "1".parse().unwrap());
            }
            let no = s.h.try_command(buys_one(&s.account, false)).await.unwrap();
            let Err(CommandError::Order(no)) = no else { panic!("{trouble:?}: {no:?}") };
            assert_eq!(no.code, Code::DuplicateSuspect, "{trouble:?}");
            assert_eq!(no.order_id.unwrap().to_string(), first["id"].as_str().unwrap());
            s.h.quiet().await;
            let meant = usize::from(trouble != Trouble::Reject);
            assert_eq!(s.position().await, meant.to_string(), "{trouble:?}");
            assert_eq!(s.h.broker.sent().len(), 1, "{trouble:?}");
            s.end().await;
        });
    }
}

/// S19: a suspended key, and strangers who guess at a secret, keep nobody from closing.
#[test]
fn s19_suspended_keys_and_strangers_in_trouble() {
    for (seed, trouble) in (890..).zip(Trouble::ALL) {
        simulate(async || {
            let bot = Bot::new(seed, json!({})).await;
            bot.send(1, json!({ "action": "BUY", "id": "a" })).await;
            bot.h.quiet().await;
            let id = bot.key["id"].as_str().unwrap().to_owned();
            let suspend = json!({ "command": "key-suspend", "id": id });
            bot.h.command(serde_json::from_value(suspend).unwrap()).await;
            let hook = bot.h.webhook("tv", 10).await;
            let forged = Hook { secret: "wrong".to_owned(), ..hook };
            for _ in 0..20 {
                let heard = bot.h.send(&forged, &signal("BUY", "x")).await;
                assert_eq!(heard, Heard::Unauthenticated);
            }
            trouble.strike(&bot.h, &bot.account).await;
            let no = bot.send(2, json!({ "action": "BUY", "id": "b" })).await;
            assert_eq!(no.code, Some(Code::AuthPermission), "{trouble:?}: {no:?}");
            let exit = bot.send(3, json!({ "action": "EXIT", "id": "c" })).await;
            assert_eq!(exit.status, SignalStatus::Accepted, "{trouble:?}: {exit:?}");
            bot.h.quiet().await;
            if trouble == Trouble::Reject {
                assert!(bot.h.has_finding("order.exit_rejected").await);
                bot.send(4, json!({ "action": "EXIT", "id": "d" })).await;
                bot.h.quiet().await;
            }
            assert_eq!(bot.position().await, "0", "{trouble:?}");
            bot.end().await;
        });
    }
}

/// S22: without a price nothing is opened, and what closes needs none, in whatever trouble; a price in
/// the signal justifies nothing.
#[test]
fn s22_unknown_prices_in_trouble() {
    under_each(900, &async |s, trouble| {
        s.accept("BUY", "a").await;
        s.h.quiet().await;
        s.struck(trouble).await;
        s.h.broker.fall_silent("ES");
        s.h.elapse(Duration::from_secs(65)).await;
        let entry = json!({ "action": "BUY", "id": "b", "price": "5000" });
        let far = json!({ "action": "EXIT", "id": "c", "price": "1" });
        accept(&s.h, &s.hook, &far).await;
        s.is_closed(trouble).await;
        let reply = s.h.send(&s.hook, &entry).await.answer();
        assert_eq!(reply.status, SignalStatus::Refused, "{trouble:?}: {reply:?}");
        assert!(s.h.orders().await.iter().all(|order| !order.state.is_live()), "{trouble:?}");
    });
}
