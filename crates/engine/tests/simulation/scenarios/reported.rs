//! S9: fills that stay away while the broker shows the order and the position: the stop is placed by its
//! word, nothing is protected twice, and no exit opens a position.

use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_domain::bracket::Leg;
use tradewarden_domain::exposure::Reported;
use tradewarden_domain::order::{OrderState, OrderType, Side};
use tradewarden_testkit::broker::{Call, FillPlan, OrderPlan, Report, Venue};
use tradewarden_testkit::engine::{Harness, simulate};
use tradewarden_testkit::life::Death;

const NEVER: Duration = Duration::from_hours(10);

fn bracketed(id: &str) -> Value {
    json!({ "action": "BUY", "id": id, "take_profit": "5050", "stop_loss": "4980" })
}

fn stop(quantity: &str) -> Vec<(Leg, String)> {
    vec![(Leg::StopLoss, quantity.to_owned())]
}

fn both(quantity: &str) -> Vec<(Leg, String)> {
    vec![(Leg::StopLoss, quantity.to_owned()), (Leg::TakeProfit, quantity.to_owned())]
}

/// Told so much later, though the order and the position are shown at once.
fn withheld(fill: FillPlan, span: Duration) -> OrderPlan {
    OrderPlan { fill, report: Report::Late(span), crosses: false }
}

impl Small {
    async fn reported(&self) -> Option<Reported> {
        let exposures = self.h.exposures(&self.account).await;
        exposures.into_iter().find_map(|(_, exposure)| exposure.reported)
    }

    async fn count(&self, code: &str) -> usize {
        self.h.findings().await.iter().filter(|found| found.code == code).count()
    }

    /// Sell orders that protect, and what else left.
    fn sent_stops(&self) -> usize {
        let sent = self.h.broker.sent().into_iter();
        sent.filter(|sent| sent.order.order_type == OrderType::Stop).count()
    }

    /// Waits until the broker has said what is held once more.
    async fn reading(&self) {
        let count = || {
            let records = self.h.broker.records();
            records.iter().filter(|record| record.call == Call::Positions).count()
        };
        let before = count();
        while count() == before {
            self.h.elapse(millis(50)).await;
        }
    }

    fn stops_at_broker(&self) -> i64 {
        let orders = self.h.broker.orders().into_iter();
        let live = orders.filter(|order| order.state.is_live() && order.stop_price.is_some());
        let left = live.map(|order| order.quantity.saturating_minus(order.filled_quantity));
        left.map(|quantity| quantity.units() / 100_000_000).sum()
    }
}

/// An entry fills and its fills are never told: within two readings its stop works, a person hears of it, and
/// when the stop fills nothing more is sold or bought.
#[test]
fn s9_an_entry_whose_fills_stay_away_is_protected() {
    simulate(async || {
        let s = Small::with(911, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[withheld(FillPlan::After(millis(100)), NEVER)]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(millis(12_000)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 2));
        assert_eq!((s.legs().await, s.stops_at_broker()), (stop("2"), 2));
        let reported = s.reported().await.unwrap();
        let entry = s.order(0).await;
        assert_eq!((reported.entry_id, reported.side), (entry.id, Side::Buy));
        assert_eq!(reported.quantity.to_string(), "2");
        let apart = reported.second_read_at.since(reported.first_read_at);
        assert!(apart >= Duration::from_secs(5), "{reported:?}");
        assert_eq!(s.count("position.reported").await, 1);
        let entries = s.h.entries(entry.id.to_bytes()).await;
        let of_it = entries.iter().filter(|entry| entry.leaf.contains("order.reported"));
        assert_eq!(of_it.count(), 1);

        // It is as large as what is there, however long the fills stay away.
        s.h.elapse(Duration::from_secs(30)).await;
        assert_eq!((s.legs().await, s.sent_stops()), (stop("2"), 1));
        assert_eq!((s.count("position.reported").await, s.count("position.naked").await), (1, 0));

        s.trades_at("4970");
        s.h.elapse(Duration::from_secs(20)).await;
        assert_eq!(s.held(), 0);
        assert_eq!(s.h.broker.sent().len(), 2, "nothing follows the stop");
        assert_eq!((s.legs().await.len(), s.stops_at_broker()), (0, 0));
        assert_eq!(s.count("position.flipped").await, 0);
        s.end().await;
    });
}

/// The fills come later, at once or in parts: the stop stays as it is, and the other leg comes with them.
#[test]
fn s9_fills_that_come_late_are_protected_once() {
    for in_parts in [false, true] {
        simulate(async || {
            let s = Small::with(912, Venue::default(), |_| {}).await;
            let fill =
                if in_parts { FillPlan::InTwo(Duration::from_secs(3)) } else { FillPlan::AtOnce };
            s.h.broker.next_plans(&[withheld(fill, Duration::from_secs(30))]);
            s.enter(&bracketed("a")).await;
            s.h.elapse(Duration::from_secs(27)).await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 2));
            assert_eq!(s.legs().await, stop("2"));
            let stops = s.sent_stops();
            s.h.elapse(millis(4_500)).await;
            if in_parts {
                assert_eq!(s.position().await, "1");
                assert_eq!(s.reported().await.unwrap().quantity.to_string(), "1");
                let legs = s.legs().await;
                assert_eq!(legs[0], stop("2")[0], "{legs:?}");
                assert_eq!(legs[1], both("1")[1], "{legs:?}");
                s.h.elapse(millis(4_000)).await;
            }
            assert_eq!((s.position().await.as_str(), s.reported().await), ("2", None));
            assert_eq!(s.legs().await, both("2"));
            assert_eq!((s.sent_stops(), s.stops_at_broker()), (stops, 2), "it is the same stop");
            s.trades_at("4970");
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
            assert_eq!((s.legs().await.len(), s.stops_at_broker()), (0, 0));
            let exposures = s.h.exposures(&s.account).await;
            assert!(exposures.iter().all(|(_, exposure)| exposure.bracket.is_none()));
            s.end().await;
        });
    }
}

/// The stop fills, and is told, before the fills of its entry are: it has opened nothing, so nothing closes
/// it, and the entry's fills bring the book to flat.
#[test]
fn s9_a_stop_that_is_told_before_its_entry_opens_nothing() {
    simulate(async || {
        let s = Small::with(913, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, Duration::from_secs(40))]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(Duration::from_secs(12)).await;
        assert_eq!(s.legs().await, stop("2"));
        s.trades_at("4970");
        s.h.elapse(Duration::from_secs(5)).await;
        assert_eq!((s.position().await.as_str(), s.held()), ("-2", 0));
        assert_eq!(s.h.broker.sent().len(), 2, "{:#?}", s.h.broker.sent());
        // Neither a person who leaves nor a signal buys what nobody sold.
        let _skipped_or_waiting = s.send("EXIT", "b").await;
        s.h.elapse(Duration::from_secs(5)).await;
        assert_eq!((s.h.broker.sent().len(), s.held()), (2, 0));
        s.h.elapse(Duration::from_secs(25)).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        assert_eq!((s.reported().await, s.h.broker.sent().len()), (None, 2));
        assert_eq!(s.count("position.flipped").await, 0);
        s.end().await;
    });
}

/// S1: a signal that leaves closes what the broker shows: the stop makes room, the exit goes out, and the
/// entry's fills change nothing any more.
#[test]
fn s1_an_exit_closes_what_is_only_reported() {
    simulate(async || {
        let s = Small::with(914, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, Duration::from_secs(40))]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(Duration::from_secs(12)).await;
        assert_eq!(s.legs().await, stop("2"));
        s.accept("EXIT", "b").await;
        s.h.elapse(Duration::from_secs(5)).await;
        assert_eq!((s.held(), s.stops_at_broker()), (0, 0), "{:#?}", s.h.orders().await);
        let sent = s.h.broker.sent().len();
        s.h.elapse(Duration::from_secs(30)).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
        assert_eq!((s.reported().await, s.h.broker.sent().len()), (None, sent));
        assert_eq!((s.legs().await.len(), s.count("position.flipped").await), (0, 0));
        s.end().await;
    });
}

/// S1: a stop fills in part, or all of it, and its fills are not told: an exit waits two seconds for them, not
/// longer, and closes what the stop left and no more.
#[test]
fn s1_a_stop_whose_fills_stay_away_holds_no_exit() {
    let parts = [FillPlan::InTwo(Duration::from_secs(45)), FillPlan::AtOnce];
    for (fill, of_entry) in parts.into_iter().flat_map(|fill| [(fill, false), (fill, true)]) {
        simulate(async || {
            let s = Small::with(919, Venue::default(), |_| {}).await;
            let late = Duration::from_secs(40);
            let entry =
                if of_entry { withheld(FillPlan::AtOnce, late) } else { OrderPlan::default() };
            s.h.broker.next_plans(&[entry, withheld(fill, late)]);
            s.enter(&json!({ "action": "BUY", "id": "a", "stop_loss": "4980" })).await;
            s.h.elapse(Duration::from_secs(12)).await;
            assert_eq!((s.legs().await, s.held()), (stop("2"), 2));
            s.trades_at("4970");
            let left = i64::from(fill != FillPlan::AtOnce);
            assert_eq!(s.held(), left, "{:#?}", s.h.broker.orders());
            s.h.elapse(millis(500)).await;
            s.accept("EXIT", "b").await;
            s.h.elapse(Duration::from_secs(4)).await;
            let orders = s.h.broker.orders();
            assert_eq!((s.held(), s.stops_at_broker()), (0, 0), "{of_entry} {orders:#?}");
            s.h.elapse(Duration::from_secs(50)).await;
            s.h.quiet().await;
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 0));
            assert_eq!((s.reported().await, s.legs().await.len()), (None, 0));
            assert_eq!(s.h.broker.orders().len(), orders.len(), "nothing follows");
            assert_eq!(s.count("position.flipped").await, 0);
            s.end().await;
        });
    }
}

/// What was reported and is closed by another hand keeps no stop, which would open a position: after two
/// readings so much less is reported, and a person hears of it.
#[test]
fn s9_what_is_reported_and_closed_by_hand_keeps_no_stop() {
    for (by, left) in [("-2", 0), ("-1", 1)] {
        simulate(async || {
            let s = Small::with(920, Venue::default(), |_| {}).await;
            s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, NEVER)]);
            s.enter(&bracketed("a")).await;
            s.h.elapse(Duration::from_secs(12)).await;
            assert_eq!((s.legs().await, s.count("position.reported").await), (stop("2"), 1));
            let name = Harness::broker_account(&s.account);
            s.h.broker.move_by_hand(name, "ES", by.parse().unwrap());
            s.reading().await;
            s.h.elapse(millis(1_000)).await;
            assert_eq!((s.legs().await, s.stops_at_broker()), (stop("2"), 2), "read only once");
            s.h.elapse(Duration::from_secs(15)).await;
            let units = s.reported().await.map_or(0, |there| there.quantity.units() / 100_000_000);
            assert_eq!((units, s.stops_at_broker()), (left, left), "{:#?}", s.h.orders().await);
            assert_eq!(s.count("position.reported").await, 2);
            let entry = s.order(0).await;
            let entries = s.h.entries(entry.id.to_bytes()).await;
            let of_it = entries.iter().filter(|entry| entry.leaf.contains("order.reported"));
            assert_eq!(of_it.count(), 2);
            s.trades_at("4970");
            s.h.elapse(Duration::from_secs(12)).await;
            let exits = s.h.broker.orders().into_iter().filter(|order| order.side == Side::Sell);
            let sold: i64 = exits.map(|order| order.filled_quantity.units() / 100_000_000).sum();
            assert_eq!(sold, left, "nothing is sold that is not there");
            s.end().await;
        });
    }
}

/// What a stop of ours has closed is no other hand's, as long as its fills are not told.
#[test]
fn s9_what_a_stop_closed_untold_stays_reported() {
    simulate(async || {
        let s = Small::with(921, Venue::default(), |_| {}).await;
        let (entry, leg) = (Duration::from_mins(2), Duration::from_secs(45));
        let at_once = FillPlan::AtOnce;
        s.h.broker.next_plans(&[withheld(at_once, entry), withheld(at_once, leg)]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(Duration::from_secs(12)).await;
        s.trades_at("4970");
        s.h.elapse(Duration::from_secs(30)).await;
        assert_eq!((s.held(), s.position().await.as_str()), (0, "0"));
        assert_eq!(s.reported().await.unwrap().quantity.to_string(), "2");
        s.h.elapse(Duration::from_secs(90)).await;
        s.h.quiet().await;
        assert_eq!((s.position().await.as_str(), s.reported().await), ("0", None));
        assert_eq!((s.h.broker.sent().len(), s.count("position.reported").await), (2, 1));
        assert_eq!(s.count("position.flipped").await, 0);
        s.end().await;
    });
}

/// S24: a broker that falls silent is told of where a position is only reported, too.
#[test]
fn s24_a_lost_link_is_told_of_where_a_position_is_only_reported() {
    simulate(async || {
        let s = Small::with(922, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, NEVER)]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(Duration::from_secs(12)).await;
        assert_eq!((s.position().await.as_str(), s.legs().await), ("0", stop("2")));
        s.h.broker.hang_on(Call::Positions, Harness::broker_account(&s.account));
        s.h.elapse(Duration::from_secs(80)).await;
        let findings = s.h.findings().await;
        let lost: Vec<_> = findings.iter().filter(|it| it.code == "broker.link_lost").collect();
        assert_eq!(lost.len(), 1, "{findings:#?}");
        assert!(lost[0].detail.contains("2 ES"), "{}", lost[0].detail);
        s.h.finish().await;
    });
}

/// One reading never acts, nor does what another hand bought: the broker shows no entry of ours as filled.
#[test]
fn s9_neither_one_reading_nor_another_hand_places_a_stop() {
    simulate(async || {
        // Told after one reading and before the next.
        let s = Small::with(915, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, millis(4_500))]);
        s.enter(&bracketed("a")).await;
        s.h.elapse(Duration::from_secs(4)).await;
        assert_eq!((s.position().await.as_str(), s.legs().await.len()), ("0", 0));
        s.h.elapse(Duration::from_secs(10)).await;
        assert_eq!((s.position().await.as_str(), s.legs().await), ("2", both("2")));
        assert_eq!(s.count("position.reported").await, 0);
        s.end().await;

        // A position that was read wrongly once, while an entry works whose fills are all told.
        let s = Small::with(916, Venue::default(), |_| {}).await;
        s.h.broker.next_plans(&[FillPlan::Rests.into()]);
        s.enter(&bracketed("a")).await;
        let name = Harness::broker_account(&s.account);
        s.h.broker.move_by_hand(name, "ES", "2".parse().unwrap());
        s.h.elapse(Duration::from_secs(30)).await;
        assert_eq!((s.legs().await.len(), s.reported().await), (0, None));
        assert_eq!((s.sent_stops(), s.count("position.reported").await), (0, 0));
        s.h.finish().await;
    });
}

/// What one reading showed and the next did not is not held.
#[test]
fn s9_a_reading_that_does_not_come_again_places_no_stop() {
    simulate(async || {
        let s = Small::with(917, Venue::default(), |_| {}).await;
        // The order is shown as filled, and its position is gone again at every second reading.
        let name = Harness::broker_account(&s.account);
        s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, NEVER)]);
        s.enter(&bracketed("a")).await;
        for _ in 0..4 {
            for by in ["-2", "2"] {
                s.reading().await;
                s.h.broker.move_by_hand(name, "ES", by.parse().unwrap());
            }
        }
        assert_eq!((s.sent_stops(), s.reported().await), (0, None));
        s.h.finish().await;
    });
}

/// At whichever commit or call the process dies, one stop of the right size works afterwards, and what comes
/// late is protected once.
#[test]
fn s9_no_crash_loses_or_doubles_a_stop_by_the_brokers_word() {
    simulate(async || {
        let commits = (1..=10).flat_map(|n| [Death::BeforeCommit(n), Death::AfterCommit(n)]);
        let calls =
            (150..=220).step_by(10).flat_map(|n| [Death::BeforeCall(n), Death::AfterCall(n)]);
        let mut died = 0;
        for death in commits.chain(calls) {
            let mut s = Small::with(918, Venue::default(), |_| {}).await;
            s.h.broker.next_plans(&[withheld(FillPlan::AtOnce, Duration::from_mins(1))]);
            s.enter(&bracketed("a")).await;
            s.h.elapse(Duration::from_secs(1)).await;
            assert_eq!(s.order(0).await.state, OrderState::Working);
            s.h.stop().await;
            s.h.start(death).await;
            s.h.elapse(Duration::from_secs(16)).await;
            if !s.h.is_alive() {
                died += 1;
                s.h.restart().await;
                s.h.elapse(Duration::from_secs(16)).await;
            }
            assert_eq!((s.position().await.as_str(), s.held()), ("0", 2), "{death:?}");
            assert_eq!((s.legs().await, s.stops_at_broker()), (stop("2"), 2), "{death:?}");
            s.h.elapse(Duration::from_secs(50)).await;
            assert_eq!((s.position().await.as_str(), s.reported().await), ("2", None));
            assert_eq!((s.legs().await, s.stops_at_broker()), (both("2"), 2), "{death:?}");
            s.end().await;
        }
        assert!(died > 12, "{died}");
    });
}
