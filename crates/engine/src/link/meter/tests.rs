use super::*;
use tradewarden_testkit::randomness::SplitMix64;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_micros(millis * 1_000)
}

fn window(seconds: u64, weight_max: u32) -> CallWindow {
    CallWindow { span: Duration::from_secs(seconds), weight_max }
}

fn meter(windows: &[CallWindow]) -> Meter {
    Meter::new(windows.iter().copied(), 1)
}

fn ten_a_second() -> Meter {
    meter(&[window(1, 10)])
}

/// How many calls of a class fit at one instant, each answered at once; no more than 10,000 are tried.
fn spend(meter: &mut Meter, class: Class, now: Timestamp) -> u32 {
    let mut count = 0;
    while count < 10_000 && meter.fits(class, 1, now) {
        meter.begin(class, 1);
        meter.end(class, 1, now);
        count += 1;
    }
    count
}

/// S18: 20 %, rounded up, and at least what is open and held; of a window below 10 s, as much of that as
/// lets everything be canceled within 10 s.
#[test]
fn s18_the_arithmetic_of_the_reserve() {
    let table: [(&[CallWindow], u64, u32, u32); 15] = [
        // windows, open and held, entries that fit, cancels that fit after them
        (&[], 1_000, 10_000, 10_000),
        (&[window(1, 10)], 0, 8, 2),
        (&[window(1, 11)], 0, 8, 3),
        (&[window(1, 5)], 0, 4, 1),
        (&[window(1, 1)], 0, 0, 1),
        (&[window(60, 80)], 0, 64, 16),
        (&[window(60, 80)], 16, 63, 17),
        (&[window(60, 80)], 15, 64, 16),
        (&[window(60, 80)], 78, 1, 79),
        (&[window(60, 80)], 79, 0, 80),
        (&[window(60, 80)], 500, 0, 80),
        (&[window(10, 100)], 50, 49, 51),
        (&[window(1, 100)], 50, 80, 20),
        (&[window(1, 100)], 300, 69, 31),
        (&[window(1, 50), window(10, 60)], 0, 40, 10),
    ];
    for (windows, open, entries, cancels) in table {
        let mut meter = meter(windows);
        meter.guard(open);
        assert_eq!(spend(&mut meter, Class::Entry, at(0)), entries, "{windows:?} {open}");
        assert_eq!(spend(&mut meter, Class::Cancel, at(0)), cancels, "{windows:?} {open}");
    }
}

#[test]
fn s18_what_adds_risk_leaves_the_reserve() {
    let mut meter = ten_a_second();
    assert_eq!(spend(&mut meter, Class::Entry, at(0)), 8);
    assert_eq!(spend(&mut meter, Class::Routine, at(0)), 1, "half of the reserve");
    assert_eq!(spend(&mut meter, Class::Guard, at(0)), 1);
    assert_eq!(spend(&mut meter, Class::Cancel, at(0)), 0);
    assert_eq!(meter.left(at(0)), Some(0));
    assert_eq!(spend(&mut meter, Class::Cancel, at(999)), 0);
    assert_eq!(meter.left(at(1_000)), Some(10));
    assert_eq!(spend(&mut meter, Class::Cancel, at(1_000)), 10);
}

#[test]
fn s18_what_is_asked_again_and_again_keeps_to_its_share() {
    let mut meter = ten_a_second();
    assert_eq!(spend(&mut meter, Class::Routine, at(0)), 4);
    assert_eq!(spend(&mut meter, Class::Entry, at(0)), 4);
    assert_eq!(spend(&mut meter, Class::Cancel, at(0)), 2);
    let mut meter = ten_a_second();
    meter.guard(700);
    assert_eq!(spend(&mut meter, Class::Routine, at(0)), 4, "however much is open");
}

#[test]
fn the_nodes_of_a_gateway_share_what_is_asked_again_and_again() {
    let windows = [window(1, 100)];
    let (mut leads, mut follows) =
        (Meter::new(windows.into_iter(), 2), Meter::new(windows.into_iter(), 2));
    assert_eq!(spend(&mut follows, Class::Routine, at(0)), 20);
    assert_eq!(spend(&mut leads, Class::Routine, at(0)), 20);
    assert_eq!(spend(&mut leads, Class::Entry, at(0)), 44);
    assert_eq!(spend(&mut leads, Class::Cancel, at(0)), 16);
}

#[test]
fn a_cancel_that_waits_goes_first() {
    let mut meter = ten_a_second();
    meter.wait(9);
    assert_eq!(spend(&mut meter, Class::Entry, at(0)), 0);
    assert_eq!(spend(&mut meter, Class::Routine, at(0)), 0);
    assert_eq!(spend(&mut meter, Class::Guard, at(0)), 1);
    assert_eq!(spend(&mut meter, Class::Cancel, at(0)), 9);
    meter.waited(9);
    assert_eq!(spend(&mut meter, Class::Entry, at(1_000)), 8);
}

#[test]
fn what_is_under_way_or_booked_counts() {
    let mut meter = ten_a_second();
    for _ in 0..6 {
        meter.begin(Class::Entry, 1);
    }
    meter.book(2);
    assert!(!meter.fits(Class::Entry, 1, at(0)));
    assert!(!meter.fits(Class::Entry, 1, at(60_000)), "not answered yet");
    meter.unbook(2);
    assert_eq!(spend(&mut meter, Class::Entry, at(60_000)), 2);
    for _ in 0..6 {
        meter.end(Class::Entry, 1, at(60_500));
    }
    assert_eq!(spend(&mut meter, Class::Cancel, at(61_400)), 4, "a window after the answer");
}

#[test]
fn a_venue_that_asks_for_silence_gets_it() {
    let mut meter = ten_a_second();
    assert!(meter.limit(at(3_000), at(0)));
    assert!(!meter.limit(at(2_000), at(0)));
    assert!(!meter.fits(Class::Cancel, 1, at(2_999)));
    assert!(meter.fits(Class::Cancel, 1, at(3_000)));
    let hour = 3_600_000;
    assert!(meter.limit(at(30 * hour), at(4_000)));
    assert!(!meter.fits(Class::Cancel, 1, at(4_000 + hour - 1)));
    assert!(meter.fits(Class::Cancel, 1, at(4_000 + hour)), "not for ever");
}

/// S18: who begins inside a window has half of the reserve at once, which nobody but a cancel, an exit or a
/// question has used; of it a half is for cancels alone.
#[test]
fn s18_a_new_process_does_not_spend_a_second_window() {
    let of_ten_seconds = || meter(&[window(10, 100)]);
    let mut begins = of_ten_seconds();
    begins.assume_spent(at(0));
    assert_eq!(spend(&mut begins, Class::Entry, at(0)), 0);
    assert_eq!(spend(&mut begins, Class::Routine, at(0)), 5);
    assert_eq!(spend(&mut begins, Class::Guard, at(0)), 0);
    assert_eq!(spend(&mut begins, Class::Cancel, at(0)), 5);
    assert_eq!(spend(&mut begins, Class::Cancel, at(9_999)), 0);
    assert_eq!(spend(&mut begins, Class::Entry, at(10_000)), 80);
    let mut leads = of_ten_seconds();
    assert_eq!(spend(&mut leads, Class::Entry, at(0)), 80);
    leads.assume_spent(at(1));
    assert_eq!(spend(&mut leads, Class::Cancel, at(1)), 10, "what it spent itself counts once");
    let mut of_an_hour = meter(&[window(3_600, 4_000)]);
    of_an_hour.assume_spent(at(0));
    assert_eq!(spend(&mut of_an_hour, Class::Cancel, at(0)), 400);
    assert_eq!(spend(&mut of_an_hour, Class::Cancel, at(180_000)), 180, "a twentieth comes back");
    assert_eq!(spend(&mut of_an_hour, Class::Cancel, at(1_800_000)), 9 * 180);
}

#[test]
fn a_clock_that_is_set_back_takes_along_what_was_noted() {
    let mut meter = ten_a_second();
    assert!(meter.limit(at(7_200_000), at(7_199_000)));
    assert_eq!(spend(&mut meter, Class::Cancel, at(7_199_500)), 0);
    assert_eq!(spend(&mut meter, Class::Cancel, at(100)), 0);
    assert_eq!(spend(&mut meter, Class::Cancel, at(599)), 0);
    assert_eq!(spend(&mut meter, Class::Cancel, at(2_000)), 10);
    assert_eq!(spend(&mut meter, Class::Cancel, at(1_999)), 0, "another thread's clock");
    assert_eq!(spend(&mut meter, Class::Cancel, at(500)), 0);
    assert_eq!(spend(&mut meter, Class::Cancel, at(1_499)), 0);
    assert_eq!(spend(&mut meter, Class::Cancel, at(1_500)), 10);
}

#[test]
fn looks_at_many_orders_are_far_apart() {
    assert_eq!(meter(&[]).rounds_every(10_000), Duration::ZERO);
    let meter = meter(&[window(60, 80), window(3_600, 5_000)]);
    assert_eq!(meter.rounds_every(16), Duration::from_mins(1), "16 of the share's 32");
    assert_eq!(meter.rounds_every(1_000), Duration::from_secs(3_750));
}

/// S18: whenever the venue counts a call between its first byte and its answer, no span of a window's
/// length holds more than the window.
#[test]
fn s18_no_window_holds_more_than_it_may() {
    for seed in 0..200 {
        let mut random = SplitMix64::new(seed);
        let windows = [window(1, 10), window(5, 30)];
        let mut meter = meter(&windows);
        let mut now = 0;
        let mut open: Vec<(i64, Class, u64)> = Vec::new();
        let mut counted: Vec<(i64, u64)> = Vec::new();
        let mut below = |bound: u64| i64::try_from(random.below(bound)).unwrap();
        for _ in 0..300 {
            now += below(200);
            let classes = [Class::Cancel, Class::Guard, Class::Routine, Class::Entry];
            let class = classes[usize::try_from(below(4)).unwrap()];
            let weight = u64::try_from(1 + below(3)).unwrap();
            let takes = below(700);
            open.sort_by_key(|(ends, ..)| *ends);
            while open.first().is_some_and(|(ends, ..)| *ends <= now) {
                let (ends, class, weight) = open.remove(0);
                meter.end(class, weight, at(ends));
            }
            if meter.fits(class, weight, at(now)) {
                meter.begin(class, weight);
                open.push((now + takes, class, weight));
                counted.push((now + below(701) * takes / 700, weight));
            }
        }
        assert!(counted.len() > 50, "seed {seed}: {}", counted.len());
        for (from, _) in &counted {
            for CallWindow { span, weight_max } in windows {
                let until = from + i64::try_from(span.as_millis()).unwrap();
                let inside = counted.iter().filter(|(at, _)| (*from..until).contains(at));
                let sum: u64 = inside.map(|(_, weight)| weight).sum();
                assert!(sum <= u64::from(weight_max), "seed {seed}: {sum} from {from} in {span:?}");
            }
        }
    }
}
