//! Losses of a stored period, judged by another policy (S23), against sums of cash that the test makes.

use super::replay::{period, policy, sent, tried};
use super::{Small, millis};
use serde_json::{Value, json};
use std::time::Duration;
use tradewarden_broker::port::MarketState;
use tradewarden_domain::money::Money;
use tradewarden_domain::order::{Order, OrderType, Side};
use tradewarden_domain::strategy::Sizing;
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::command::{Command, OrderCreate};
use tradewarden_testkit::broker::Venue;
use tradewarden_testkit::engine::simulate;

/// What a point of one ES is worth, and what the scripted broker takes for each fill.
const POINT: i64 = 50;
const FEE_CENTS: i64 = 1;

pub(super) async fn price(small: &Small, text: &str) {
    small.h.broker.set_market("ES", Some(text.parse().unwrap()), MarketState::Open);
    small.h.elapse(millis(100)).await;
}

pub(super) async fn trade(small: &Small, number: u32, action: &str) {
    sent(small, &json!({"action": action, "id": format!("t-{number}"), "quantity": "1"})).await;
    small.h.quiet().await;
    small.h.elapse(millis(4_000)).await;
}

/// Closes one by request.
async fn close_by_request(small: &Small) {
    let new = OrderCreate {
        account_id: small.account.clone(),
        symbol: "ES".to_owned(),
        side: Side::Sell,
        order_type: OrderType::Market,
        quantity: "1".parse().unwrap(),
        limit_price: None,
        stop_price: None,
        time_in_force: None,
        reduce_only: true,
        expires_at: None,
        tag: None,
        allow_repeat: false,
    };
    small.h.command(Command::OrderCreate(new)).await;
    small.h.quiet().await;
    small.h.elapse(millis(4_000)).await;
}

/// A hundred lost, 150 made, 350 lost by request, 200 lost; and one more.
async fn day(small: &Small) {
    let trips = [("5000", "4998"), ("4998", "5001"), ("5001", "4994"), ("4994", "4990")];
    for (number, (bought, sold)) in (0..).zip(trips) {
        price(small, bought).await;
        trade(small, number * 2, "BUY").await;
        price(small, sold).await;
        if number == 2 {
            close_by_request(small).await;
        } else {
            trade(small, number * 2 + 1, "EXIT").await;
        }
    }
    trade(small, 100, "BUY").await;
    trade(small, 101, "EXIT").await;
}

pub(super) async fn trader(seed: u64, session: &str) -> Small {
    let h = tradewarden_testkit::engine::Harness::sqlite(seed, Venue::default()).await;
    h.ready().await;
    let account = h.account_with("main", |new| new.session = Some(session.to_owned())).await;
    let hook = h.webhook("tv", 100).await;
    let mut new = tradewarden_testkit::engine::strategy("es", &hook, &account, "ES", "2");
    new.sizing = Some(Sizing::Payload);
    h.strategy(new).await;
    h.sane_limits().await;
    Small { h, hook, account }
}

pub(super) async fn with(small: &Small, name: &str, value: &str) -> Value {
    let mut limits = policy(&small.h, &[]).await;
    let more = json!({"scope": format!("account:{}", small.account), "name": name, "value": value});
    limits.as_array_mut().unwrap().push(more);
    limits
}

/// What there is in cents after each order that leaves nothing open, by cash alone: what was paid and
/// what was got.
fn cash(orders: &[Order]) -> Vec<(Timestamp, i64)> {
    let (mut cents, mut held, mut flat) = (0, 0, Vec::new());
    let mut filled: Vec<_> = orders.iter().filter(|order| order.average_price.is_some()).collect();
    filled.sort_by_key(|order| order.created_at);
    for order in filled {
        let quantity = order.filled_quantity.units() / 100_000_000;
        let price = order.average_price.unwrap().units() / 1_000_000;
        let signed = if order.side == Side::Buy { quantity } else { -quantity };
        cents -= signed * price * POINT + FEE_CENTS;
        held += signed;
        if held == 0 {
            flat.push((order.created_at, cents));
        }
    }
    flat
}

pub(super) fn cents(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Money>().unwrap().units() / 1_000_000
}

pub(super) fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// All of a replay, by steps of this size: trips, and what became of which signal.
pub(super) async fn by_steps(
    small: &Small,
    mut asked: Value,
    size: u32,
) -> (Vec<Value>, Vec<String>) {
    asked["signals_max"] = json!(size);
    let (mut trips, mut changed) = (Vec::new(), Vec::new());
    loop {
        let step = tried(&small.h, asked.clone()).await.unwrap();
        assert_eq!(step["unexplained"], 0, "{step:#}");
        trips.extend(step["trips"].as_array().unwrap().clone());
        changed.extend(
            step["differences"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| format!("{} {}", one["now"]["status"], one["now"]["code"])),
        );
        let Some(state) = step.get("state") else { break };
        asked["state"] = state.clone();
    }
    (trips, changed)
}

/// S23: what was lost by closing trips when the cash says so, and refuses what came after.
#[test]
fn s23_a_replay_judges_the_loss_of_the_day() {
    simulate(async || {
        let small = trader(331, "00:00 UTC").await;
        let from = json!(small.h.now());
        day(&small).await;
        let flat = cash(&small.h.orders().await);
        let limits = with(&small, "daily_loss", "300").await;
        let asked = period(&small, &from, &limits);
        let told = tried(&small.h, asked.clone()).await.unwrap();
        assert_eq!(told["unexplained"], 0, "{told:#}");
        let (at, lost) = *flat.iter().find(|(_, cents)| *cents <= -30_000).unwrap();
        assert_eq!(lost, -30_006, "a hundred, less 150, and 350, and six fills");
        let trip = &told["trips"][0];
        assert_eq!(
            (&trip["limit"], &trip["account_id"]),
            (&json!("daily_loss"), &json!(small.account))
        );
        assert_eq!((cents(&trip["loss"]), cents(&trip["allowed"])), (-lost, 30_000));
        let apart = time(&trip["at"]).since(at);
        assert!(apart <= Duration::from_secs(1), "{apart:?}: {trip}");
        assert_eq!(told["trips"].as_array().unwrap().len(), 1);
        // Two entries, and two exits that find nothing.
        let changed = [
            r#""refused" "halt.active""#,
            r#""skipped" "strategy.flat""#,
            r#""refused" "halt.active""#,
            r#""skipped" "strategy.flat""#,
        ];
        let (trips, all) = by_steps(&small, asked.clone(), 5_000).await;
        assert_eq!(all, changed);
        for size in [1, 2, 3] {
            let (same, all) = by_steps(&small, asked.clone(), size).await;
            assert_eq!((&same, all), (&trips, changed.map(str::to_owned).to_vec()), "{size}");
        }
        // Of what was open so shortly there are no marks: it is said of the account, from when to when.
        let unmarked = told["losses_not_judged"].as_array().unwrap();
        assert!(!unmarked.is_empty());
        for span in unmarked {
            assert_eq!(span["account_id"], json!(small.account));
            assert!(
                time(&span["to"]).since(time(&span["from"])) <= Duration::from_secs(9),
                "{span}"
            );
        }
        // A cent more is not reached.
        let enough = with(&small, "daily_loss", "500.11").await;
        let told = tried(&small.h, period(&small, &from, &enough)).await.unwrap();
        assert_eq!(flat.last().unwrap().1, -50_010);
        assert_eq!((&told["trips"], &told["differs"]), (&json!([]), &json!(0)), "{told:#}");
        small.end().await;
    });
}

/// S23: a fall from the best, which three looks in a row confirm.
#[test]
fn s23_a_replay_judges_a_drawdown() {
    simulate(async || {
        let small = trader(332, "00:00 UTC").await;
        let from = json!(small.h.now());
        day(&small).await;
        let flat = cash(&small.h.orders().await);
        let best = flat.iter().map(|(_, cents)| *cents).max().unwrap();
        assert_eq!(best, 4_996);
        let (at, low) = *flat.iter().find(|(_, cents)| best - *cents >= 40_000).unwrap();
        let limits = with(&small, "drawdown", "400").await;
        let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
        let trip = &told["trips"][0];
        assert_eq!((&trip["limit"], cents(&trip["loss"])), (&json!("drawdown"), best - low));
        let apart = time(&trip["at"]).since(at);
        assert!((Duration::from_secs(2)..=Duration::from_secs(3)).contains(&apart), "{apart:?}");
        small.end().await;
    });
}

/// S23: where the limit was in force the replay comes to what happened; by none of it all would have
/// been accepted, and with the next session it ends.
#[test]
fn s23_a_replay_comes_to_the_halts_that_there_were() {
    simulate(async || {
        // The simulated day begins at 14:30.
        let small = trader(333, "15:00 UTC").await;
        small.h.limit(&format!("account:{}", small.account), "daily_loss", "300").await;
        small.h.elapse(millis(3_000)).await;
        let from = json!(small.h.now());
        day(&small).await;
        small.h.clock.advance(Duration::from_mins(35));
        small.h.elapse(millis(5_000)).await;
        trade(&small, 200, "BUY").await;
        trade(&small, 201, "EXIT").await;
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["unexplained"], &told["differs"]), (&json!(0), &json!(0)), "{told:#}");
        assert_eq!(told["trips"].as_array().unwrap().len(), 1, "{told:#}");
        let statuses: Vec<_> =
            small.h.signals().await.into_iter().map(|signal| signal.status).collect();
        assert_eq!(statuses.last().unwrap(), "accepted", "the session is over: {statuses:?}");
        let loose = policy(&small.h, &[("daily_loss", "100000")]).await;
        let told = tried(&small.h, period(&small, &from, &loose)).await.unwrap();
        assert_eq!((&told["trips"], &told["unexplained"]), (&json!([]), &json!(0)), "{told:#}");
        assert_eq!(told["differences"][0]["then"]["code"], "halt.active", "{told:#}");
        assert_eq!(told["differences"][0]["now"]["status"], "accepted", "{told:#}");
        small.end().await;
    });
}

/// S23: a session that began before the period counts from its beginning.
#[test]
fn s23_a_replay_counts_the_whole_session() {
    simulate(async || {
        let small = trader(334, "00:00 UTC").await;
        price(&small, "5000").await;
        trade(&small, 1, "BUY").await;
        price(&small, "4990").await;
        trade(&small, 2, "EXIT").await;
        let from = json!(small.h.now());
        trade(&small, 3, "BUY").await;
        let limits = with(&small, "daily_loss", "300").await;
        let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
        assert!(time(&told["trips"][0]["at"]) < time(&from), "{told:#}");
        assert_eq!(told["differences"][0]["now"]["code"], "halt.active", "{told:#}");
        small.end().await;
    });
}

/// S23: what was open is marked as it was quoted then, and a fall that recovered trips all the same.
#[test]
fn s23_a_replay_marks_what_was_open() {
    simulate(async || {
        let small = trader(335, "00:00 UTC").await;
        let from = json!(small.h.now());
        price(&small, "5000").await;
        trade(&small, 1, "BUY").await;
        small.h.elapse(millis(40_000)).await;
        let fell_at = small.h.now();
        price(&small, "4990").await;
        small.h.elapse(millis(40_000)).await;
        let rose_at = small.h.now();
        price(&small, "5000").await;
        small.h.elapse(millis(40_000)).await;
        trade(&small, 2, "EXIT").await;
        trade(&small, 3, "BUY").await;
        let bought = small.h.orders().await.remove(0);
        let paid = bought.average_price.unwrap().units() / 1_000_000 * POINT + FEE_CENTS;
        let lost = paid - 4_990 * 100 * POINT;
        let limits = with(&small, "daily_loss", "300").await;
        let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
        let trip = &told["trips"][0];
        assert_eq!((cents(&trip["loss"]), lost), (50_001, 50_001), "{told:#}");
        let at = time(&trip["at"]);
        assert!(at >= fell_at.plus(Duration::from_secs(2)) && at < rose_at, "{at}");
        // From the entry on until the first mark was stored nothing is known, and that is said.
        let unmarked = told["losses_not_judged"].as_array().unwrap();
        assert!(
            unmarked
                .iter()
                .all(|span| time(&span["to"]) < fell_at || time(&span["from"]) > rose_at),
            "{unmarked:#?}"
        );
        assert_eq!(told["differs"], 1, "{told:#}");
        assert_eq!(told["differences"][0]["now"]["code"], "halt.active");
        let mut asked = period(&small, &from, &limits);
        let whole = by_steps(&small, asked.clone(), 5_000).await;
        assert_eq!(by_steps(&small, asked.clone(), 1).await, whole);
        // A step that may look at few marks ends between two signals, and the next goes on there.
        asked["marks_max"] = json!(3);
        assert_eq!(by_steps(&small, asked.clone(), 5_000).await, whole);
        asked["signals_max"] = json!(5_000);
        let first = tried(&small.h, asked).await.unwrap();
        assert_eq!(first["judged"], 1, "{first:#}");
        assert!(time(&first["through"]) < fell_at, "{first:#}");
        // A cent more is not reached.
        let enough = with(&small, "daily_loss", "500.02").await;
        let told = tried(&small.h, period(&small, &from, &enough)).await.unwrap();
        assert_eq!((&told["trips"], &told["differs"]), (&json!([]), &json!(0)), "{told:#}");
        small.end().await;
    });
}

/// S23: where an open loss tripped in truth, the replay trips at the marks that were stored.
#[test]
fn s23_a_replay_comes_to_the_open_loss_that_halted() {
    simulate(async || {
        let small = trader(336, "00:00 UTC").await;
        small.h.limit(&format!("account:{}", small.account), "daily_loss", "300").await;
        small.h.elapse(millis(3_000)).await;
        let from = json!(small.h.now());
        price(&small, "5000").await;
        trade(&small, 1, "BUY").await;
        small.h.elapse(millis(40_000)).await;
        price(&small, "4990").await;
        small.h.elapse(millis(40_000)).await;
        trade(&small, 2, "BUY").await;
        trade(&small, 3, "EXIT").await;
        let same = policy(&small.h, &[]).await;
        let told = tried(&small.h, period(&small, &from, &same)).await.unwrap();
        assert_eq!((&told["unexplained"], &told["differs"]), (&json!(0), &json!(0)), "{told:#}");
        let halts = small.h.command(Command::HaltStatus).await;
        let engaged_at = time(&halts["items"][0]["engaged_at"]);
        let apart = time(&told["trips"][0]["at"]).since(engaged_at);
        assert!(apart <= Duration::from_secs(31), "{apart:?}");
        small.end().await;
    });
}

/// Says when the days of the account begin, once the running one is over.
async fn move_days(small: &Small, session: &str) {
    let change = json!({
        "command": "account-change", "id": small.account, "changes": {"session": session},
    });
    small.h.command(serde_json::from_value(change).unwrap()).await;
}

/// Loses 500 at 14:31 of a day that begins at midnight, and enters at 14:35.
async fn loss_before_entry(seed: u64) -> (Small, Value, Value) {
    let small = trader(seed, "00:00 UTC").await;
    price(&small, "5000").await;
    trade(&small, 1, "BUY").await;
    price(&small, "4990").await;
    trade(&small, 2, "EXIT").await;
    small.h.clock.advance(Duration::from_mins(5));
    small.h.elapse(millis(1_000)).await;
    let from = json!(small.h.now());
    trade(&small, 3, "BUY").await;
    let to = json!(small.h.now());
    trade(&small, 4, "EXIT").await;
    (small, from, to)
}

/// S23: a period is judged by the days of its time, however often they were changed since.
#[test]
fn s23_a_replay_judges_by_the_days_of_its_time() {
    simulate(async || {
        let (small, from, to) = loss_before_entry(337).await;
        // From the day after tomorrow on a day would begin between the loss and the entry.
        for session in ["14:33 UTC", "20:00 UTC"] {
            move_days(&small, session).await;
            small.h.clock.advance(Duration::from_hours(48));
            small.h.elapse(millis(5_000)).await;
        }
        let limits = with(&small, "daily_loss", "300").await;
        let mut asked = period(&small, &from, &limits);
        asked["to"] = to;
        let told = tried(&small.h, asked).await.unwrap();
        assert!(time(&told["trips"][0]["at"]) < time(&from), "{told:#}");
        assert_eq!(told["differences"][0]["now"]["code"], "halt.active", "{told:#}");
        small.end().await;
    });
}

/// S23: a session that lasts longer because its account's days were moved is one session.
#[test]
fn s23_a_replay_counts_a_session_that_lasted_longer() {
    simulate(async || {
        let (small, _, _) = loss_before_entry(338).await;
        move_days(&small, "14:33 UTC").await;
        // The next day at half past ten it is still the session of midnight.
        small.h.clock.advance(Duration::from_hours(20));
        small.h.elapse(millis(1_000)).await;
        let from = json!(small.h.now());
        trade(&small, 5, "BUY").await;
        let limits = with(&small, "daily_loss", "300").await;
        let asked = period(&small, &from, &limits);
        let told = tried(&small.h, asked.clone()).await.unwrap();
        assert_eq!(told["differences"][0]["now"]["code"], "halt.active", "{told:#}");
        // And once the new days began, they count.
        small.h.clock.advance(Duration::from_hours(5));
        small.h.elapse(millis(1_000)).await;
        let from = json!(small.h.now());
        trade(&small, 6, "EXIT").await;
        trade(&small, 7, "BUY").await;
        let told = tried(&small.h, period(&small, &from, &limits)).await.unwrap();
        assert_eq!((&told["trips"], &told["differs"]), (&json!([]), &json!(0)), "{told:#}");
        small.end().await;
    });
}

/// S23: what is watched by a limit that was set within the period is watched from step to step.
#[test]
fn s23_a_limit_set_within_a_period_is_kept_between_steps() {
    simulate(async || {
        let small = trader(339, "00:00 UTC").await;
        let from = json!(small.h.now());
        price(&small, "5000").await;
        trade(&small, 300, "BUY").await;
        trade(&small, 301, "EXIT").await;
        small.h.limit(&format!("account:{}", small.account), "daily_loss", "300").await;
        small.h.elapse(millis(3_000)).await;
        day(&small).await;
        let signals = small.h.signals().await;
        assert!(signals.iter().any(|signal| signal.code.as_deref() == Some("halt.active")));
        let same = policy(&small.h, &[]).await;
        let asked = period(&small, &from, &same);
        let whole = by_steps(&small, asked.clone(), 5_000).await;
        assert_eq!(by_steps(&small, asked, 1).await, whole);
        small.end().await;
    });
}
