//! S23, rule by rule: from what a loss is measured, what breaks a limit, and what must not.

#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]

use super::*;
use proptest::prelude::*;

const SESSION: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);
const NEXT_SESSION: Timestamp = Timestamp::from_unix_micros(1_790_086_400_000_000);

fn money(whole: i64) -> Money {
    Money::from_whole(whole).unwrap()
}

fn at(millis: u64) -> Timestamp {
    SESSION.plus(Duration::from_millis(millis))
}

/// Something is open: `total` was made by marks, `realized` of it is closed.
fn marked(millis: u64, realized: i64, total: i64) -> Reading {
    Reading {
        realized: money(realized),
        total: Some(money(total)),
        before: None,
        marked_at: at(millis),
        equity: Some(money(100_000 + total)),
        is_flat: false,
    }
}

fn flat(millis: u64, realized: i64) -> Reading {
    Reading { is_flat: true, ..marked(millis, realized, realized) }
}

fn daily(limit: i64) -> Bounds {
    Bounds { daily_loss: Some(money(limit)), ..Bounds::default() }
}

/// A watch whose session began with three marks of nothing.
fn settled() -> Watch {
    let mut watch = Watch::begin(SESSION, &marked(0, 0, 0));
    for second in 1..=2 {
        assert_eq!(
            watch.read(&marked(second * 1_000, 0, 0), SESSION, at(0), &Bounds::default()),
            []
        );
    }
    watch
}

fn read(watch: &mut Watch, reading: &Reading, bounds: &Bounds) -> Vec<Step> {
    watch.read(reading, SESSION, reading.marked_at, bounds)
}

fn broken(kind: LossKind, loss: i64, limit: i64) -> Vec<Step> {
    vec![Step::Broken { kind, loss: money(loss), limit: money(limit) }]
}

fn warned(kind: LossKind, percent: u8, loss: i64, limit: i64) -> Vec<Step> {
    vec![Step::Warned { kind, percent, loss: money(loss), limit: money(limit) }]
}

#[test]
fn s23_three_marks_a_second_apart_break_a_limit() {
    let (mut watch, bounds) = (settled(), daily(1_000));
    assert_eq!(
        read(&mut watch, &marked(10_000, 0, -1_000), &bounds),
        warned(LossKind::Daily, 90, 1_000, 1_000)
    );
    // Half a second later is the same mark; a second later is another.
    assert_eq!(read(&mut watch, &marked(10_500, 0, -1_000), &bounds), []);
    assert_eq!(read(&mut watch, &marked(11_000, 0, -1_000), &bounds), []);
    assert_eq!(read(&mut watch, &marked(11_999, 0, -1_000), &bounds), []);
    assert_eq!(
        read(&mut watch, &marked(12_000, 0, -1_001), &bounds),
        broken(LossKind::Daily, 1_001, 1_000)
    );
}

/// At the limit it is broken, just over it too, just under it it is not.
#[test]
fn s23_a_limit_at_just_under_and_just_over() {
    for (off, is_broken) in [(-1_i64, false), (0, true), (1, true)] {
        let mut watch = settled();
        let total = Money::from_units(-(money(1_000).units() + off));
        let steps: Vec<_> = (10..13)
            .flat_map(|second| {
                let reading = Reading { total: Some(total), ..marked(second * 1_000, 0, 0) };
                read(&mut watch, &reading, &daily(1_000))
            })
            .collect();
        let breaks = steps.iter().any(|step| matches!(step, Step::Broken { .. }));
        assert_eq!(breaks, is_broken, "{off}: {steps:?}");
    }
}

#[test]
fn s23_one_bad_tick_does_not_trip() {
    let (mut watch, bounds) = (settled(), daily(1_000));
    for round in 0..51 {
        let bad = if round % 3 == 2 { 0 } else { -90_000 };
        let steps = read(&mut watch, &marked(10_000 + round * 1_000, 0, bad), &bounds);
        assert!(!steps.iter().any(|step| matches!(step, Step::Broken { .. })), "{round}");
    }
    // The same quote looked at again and again is one mark.
    for _ in 0..10 {
        let steps = read(&mut watch, &marked(90_000, 0, -90_000), &bounds);
        assert_eq!(steps, []);
    }
}

#[test]
fn s23_one_bad_tick_at_the_beginning_is_not_measured_from() {
    for bad in [-80_000, 80_000] {
        for place in 0..3 {
            let marks = [0, 1, 2].map(|mark| if mark == place { bad } else { 100 });
            let mut watch = Watch::begin(SESSION, &marked(0, 0, marks[0]));
            for (second, mark) in (1..).zip(&marks[1..]) {
                read(&mut watch, &marked(second * 1_000, 0, *mark), &Bounds::default());
            }
            assert_eq!(watch.opening(), money(100), "{bad} at {place}");
        }
    }
}

#[test]
fn s23_one_bad_tick_before_the_beginning_is_not_measured_from() {
    for bad in [-80_000, 80_000] {
        for place in 0..4 {
            let marks = [0, 1, 2, 3].map(|mark| if mark == place { bad } else { 100 });
            let first = Reading { before: Some(money(marks[0])), ..marked(0, 0, marks[1]) };
            let mut watch = Watch::begin(SESSION, &first);
            for (second, mark) in (1..).zip(&marks[2..]) {
                read(&mut watch, &marked(second * 1_000, 0, *mark), &Bounds::default());
            }
            assert_eq!(watch.opening(), money(100), "{bad} at {place}");
        }
    }
}

/// Something is open when the watch begins, and it falls after the first mark.
#[test]
fn s23_what_falls_right_after_an_open_beginning_is_lost() {
    let first = Reading { before: Some(money(10)), ..marked(0, 0, 0) };
    let (mut watch, bounds) = (Watch::begin(SESSION, &first), daily(1_000));
    assert_eq!(
        read(&mut watch, &marked(1_000, 0, -1_200), &bounds),
        warned(LossKind::Daily, 90, 1_200, 1_000)
    );
    assert_eq!(read(&mut watch, &marked(2_000, 0, -1_200), &bounds), []);
    assert_eq!(watch.opening(), money(0));
    assert_eq!(
        read(&mut watch, &marked(3_000, 0, -1_200), &bounds),
        broken(LossKind::Daily, 1_200, 1_000)
    );
    // The same at a session that begins while it is watched.
    let mut next = settled();
    let begins = Reading { before: Some(money(0)), marked_at: NEXT_SESSION, ..marked(0, 0, 0) };
    next.read(&begins, NEXT_SESSION, NEXT_SESSION, &bounds);
    for second in 1..=3 {
        let marked_at = NEXT_SESSION.plus(Duration::from_secs(second));
        let later = Reading { marked_at, ..marked(0, 0, -1_200) };
        let steps = next.read(&later, NEXT_SESSION, later.marked_at, &bounds);
        assert_eq!(!steps.is_empty(), second != 2, "{second}: {steps:?}");
    }
}

/// A limit is set, something is bought, and it falls: all within the first three marks.
#[test]
fn s23_what_falls_right_after_a_flat_beginning_is_lost() {
    let (mut watch, bounds) = (Watch::begin(SESSION, &flat(0, 0)), daily(1_000));
    assert_eq!(
        read(&mut watch, &marked(1_000, 0, -1_200), &bounds),
        warned(LossKind::Daily, 90, 1_200, 1_000)
    );
    assert_eq!(read(&mut watch, &marked(2_000, 0, -1_200), &bounds), []);
    assert_eq!(
        read(&mut watch, &marked(3_000, 0, -1_200), &bounds),
        broken(LossKind::Daily, 1_200, 1_000)
    );
    // The same at the next session that begins flat, and after a person resumed.
    let at_next = Reading { marked_at: NEXT_SESSION, ..flat(0, -1_200) };
    let mut next = Watch::begin(SESSION, &flat(0, -1_200));
    next.read(&at_next, NEXT_SESSION, NEXT_SESSION, &bounds);
    next.resumed(LossKind::Daily, &at_next);
    for second in 1..=3 {
        let later = Reading {
            marked_at: NEXT_SESSION.plus(Duration::from_secs(second)),
            ..marked(0, -1_200, -2_400)
        };
        let steps = next.read(&later, NEXT_SESSION, later.marked_at, &bounds);
        assert_eq!(!steps.is_empty(), second != 2, "{second}: {steps:?}");
    }
}

/// Closing at a bad price right after the session began is lost; it is no beginning.
#[test]
fn s23_a_position_that_is_closed_in_the_first_seconds_begins_as_it_was_marked() {
    let mut watch = Watch::begin(SESSION, &marked(0, 0, 100));
    let steps = read(&mut watch, &flat(1_000, -1_000), &daily(1_000));
    assert_eq!((watch.opening(), steps), (money(100), broken(LossKind::Daily, 1_100, 1_000)));
}

#[test]
fn s23_a_realised_loss_breaks_at_once() {
    let (mut watch, bounds) = (settled(), daily(1_000));
    // It is explained by what is closed, whatever else is open.
    let steps = read(&mut watch, &marked(10_000, -1_000, -1_200), &bounds);
    assert_eq!(steps, broken(LossKind::Daily, 1_200, 1_000));
    // Nothing is open: no mark is needed.
    let mut watch = settled();
    assert_eq!(
        read(&mut watch, &flat(10_000, -1_000), &bounds),
        broken(LossKind::Daily, 1_000, 1_000)
    );
    // Without a mark what is realised alone says it.
    let mut watch = settled();
    let unmarked = Reading { total: None, ..marked(10_000, -1_000, 0) };
    assert_eq!(read(&mut watch, &unmarked, &bounds), broken(LossKind::Daily, 1_000, 1_000));
    // A gain that is open and makes up for it keeps the day's loss under the limit.
    let mut watch = settled();
    assert_eq!(read(&mut watch, &marked(10_000, -1_000, 50), &bounds), []);
}

/// A position that was 900 down when the session began is closed at that: no loss of this day.
#[test]
fn a_loss_of_yesterday_is_not_one_of_today() {
    let mut watch = Watch::begin(SESSION, &marked(0, 0, -900));
    for second in 1..=2 {
        read(&mut watch, &marked(second * 1_000, 0, -900), &Bounds::default());
    }
    assert_eq!(read(&mut watch, &flat(10_000, -900), &daily(500)), []);
    assert_eq!(watch.of_the_day(), Money::ZERO);
}

#[test]
fn s23_warns_at_70_and_90_once_a_session() {
    let (mut watch, bounds) = (settled(), daily(1_000));
    for (second, total, percent) in [
        (10, -699, None),
        (11, -700, Some(70)),
        (12, -600, None),
        (13, -899, None),
        (14, -900, Some(90)),
        (15, -10, None),
        (16, -950, None),
    ] {
        let expected =
            percent.map_or(Vec::new(), |percent| warned(LossKind::Daily, percent, -total, 1_000));
        assert_eq!(
            read(&mut watch, &marked(second * 1_000, 0, total), &bounds),
            expected,
            "{total}"
        );
    }
    let steps = watch.read(&marked(86_400_000, 0, -950), NEXT_SESSION, NEXT_SESSION, &bounds);
    assert_eq!(steps, [Step::Began]);
    let later = marked(86_410_000, 0, -1_650);
    let steps = watch.read(&later, NEXT_SESSION, later.marked_at, &bounds);
    assert_eq!(steps, warned(LossKind::Daily, 70, 700, 1_000));
}

#[test]
fn after_a_breach_nothing_is_said_until_it_is_resumed() {
    let (mut watch, bounds) = (settled(), daily(1_000));
    let halt = Id::from_bytes([7; 16]);
    assert_eq!(read(&mut watch, &flat(10_000, -1_000), &bounds).len(), 1);
    watch.halted(LossKind::Daily, halt, LossReset::Person);
    assert_eq!(watch.halt_of_session(), None);
    watch.halted(LossKind::Daily, halt, LossReset::Session);
    assert_eq!(watch.halt_of_session(), Some(halt));
    assert_eq!(read(&mut watch, &flat(11_000, -5_000), &bounds), []);
    assert_eq!(watch.halt(LossKind::Daily), Some(halt));
    // What is lost from then on counts anew.
    watch.resumed(LossKind::Daily, &flat(12_000, -5_000));
    for second in [13, 14] {
        assert_eq!(read(&mut watch, &flat(second * 1_000, -5_000), &bounds), []);
    }
    assert_eq!(read(&mut watch, &flat(15_000, -5_699), &bounds), []);
    assert_eq!(
        read(&mut watch, &flat(16_000, -6_000), &bounds),
        broken(LossKind::Daily, 1_000, 1_000)
    );
}

#[test]
fn a_session_that_nobody_saw_begin_counts_from_what_was_known_before() {
    let mut watch = settled();
    read(&mut watch, &marked(10_000, 0, 300), &Bounds::default());
    let late = NEXT_SESSION.plus(Duration::from_mins(5));
    let reading = Reading { marked_at: late, ..flat(0, -200) };
    watch.read(&reading, NEXT_SESSION, late, &Bounds::default());
    assert_eq!(watch.opening(), money(300), "lost while nobody looked");
    // Seen in time, the session begins where it begins.
    let mut watch = settled();
    read(&mut watch, &marked(10_000, 0, 300), &Bounds::default());
    let reading = Reading { marked_at: NEXT_SESSION, ..flat(0, -200) };
    watch.read(&reading, NEXT_SESSION, NEXT_SESSION, &Bounds::default());
    assert_eq!(watch.opening(), money(-200));
}

#[test]
fn s23_drawdown_is_from_the_best_that_lasted() {
    let bounds = Bounds { drawdown: Some(money(1_000)), ..Bounds::default() };
    let mut watch = settled();
    // One high tick is not the best there was.
    read(&mut watch, &marked(10_000, 0, 50_000), &bounds);
    assert_eq!(read(&mut watch, &marked(11_000, 0, 0), &bounds), []);
    assert_eq!(watch.best(), Money::ZERO);
    for (second, total) in [(20, 2_100), (21, 2_000), (22, 2_500)] {
        assert_eq!(read(&mut watch, &marked(second * 1_000, 0, total), &bounds), []);
    }
    assert_eq!(watch.best(), money(2_000));
    // It trails: no session brings it down, and one fall does not break it.
    let steps = watch.read(&marked(86_400_000, 0, 1_000), NEXT_SESSION, NEXT_SESSION, &bounds);
    assert_eq!(steps[1..], warned(LossKind::Drawdown, 90, 1_000, 1_000));
    for second in [86_401, 86_402] {
        let reading = marked(second * 1_000, 0, 1_000);
        let steps = watch.read(&reading, NEXT_SESSION, reading.marked_at, &bounds);
        assert_eq!(!steps.is_empty(), second == 86_402, "{second}");
    }
    watch.halted(LossKind::Drawdown, Id::from_bytes([7; 16]), LossReset::Session);
    assert_eq!(watch.halt_of_session(), None);
    watch.resumed(LossKind::Drawdown, &marked(86_500_000, 0, 900));
    assert_eq!(watch.best(), money(900));
}

/// 100,000 of equity and 5 %: a fall of 5,000 from the best breaks it, whatever was deposited since.
#[test]
fn a_drawdown_in_percent_is_of_the_equity_without_the_fall() {
    let percent = "5".parse().unwrap();
    let bounds = Bounds { drawdown_percent: Some(percent), ..Bounds::default() };
    for (total, is_broken) in [(-4_999, false), (-5_000, true), (-5_001, true)] {
        let mut watch = settled();
        let breaks = (10..13).any(|second| {
            let steps = read(&mut watch, &marked(second * 1_000, 0, total), &bounds);
            steps.iter().any(|step| matches!(step, Step::Broken { .. }))
        });
        assert_eq!(breaks, is_broken, "{total}");
    }
    // Without the broker's word of the equity it cannot be judged.
    let mut watch = settled();
    let unknown = Reading { equity: None, ..marked(10_000, 0, -90_000) };
    assert_eq!(read(&mut watch, &unknown, &bounds), []);
}

proptest! {
    /// What is stored and read again goes on as if nothing had happened.
    #[test]
    fn a_watch_survives_being_stored_at_any_moment(
        readings in prop::collection::vec((0_u64..3_000, -3_000_i64..3_000, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let bounds = Bounds { drawdown: Some(money(1_500)), ..daily(1_000) };
        let mut now = 0;
        let mut kept = Watch::begin(SESSION, &flat(0, 0));
        let mut stored = serde_json::to_string(&kept).unwrap();
        for (gap, total, is_flat, has_mark) in readings {
            now += gap;
            let reading = Reading {
                is_flat,
                total: (is_flat || has_mark).then(|| money(total)),
                ..marked(now, if is_flat { total } else { 0 }, total)
            };
            let mut read_again: Watch = serde_json::from_str(&stored).unwrap();
            let expected = read(&mut kept, &reading, &bounds);
            prop_assert_eq!(read(&mut read_again, &reading, &bounds), expected);
            prop_assert_eq!(&read_again, &kept);
            stored = serde_json::to_string(&read_again).unwrap();
        }
    }
}
