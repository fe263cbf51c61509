//! What the text says, and what the wall clock decides on the days on which clocks change.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_text_is_printed_the_shortest_way() {
    let cases = [
        ("mon-fri 09:30-16:00 America/New_York", "mon-fri 09:30-16:00 America/New_York"),
        ("  tue,mon 13:00-15:00,09:00-12:00   UTC ", "mon-tue 09:00-12:00,13:00-15:00 UTC"),
        ("mon-sun 00:00-00:00 UTC", "mon-sun 00:00-24:00 UTC"),
        ("sun-thu 18:00-17:00 America/Chicago", "sun-thu 18:00-17:00 America/Chicago"),
        (
            "sun 17:00-17:00; mon-thu 17:00-17:00 America/New_York",
            "sun-thu 17:00-17:00 America/New_York",
        ),
        (
            "fri 09:00-12:00;mon-thu 09:00-17:00 Asia/Tokyo",
            "mon-thu 09:00-17:00; fri 09:00-12:00 Asia/Tokyo",
        ),
        (
            "mon,wed,fri 08:00-20:00 europe/berlin",
            "mon 08:00-20:00; wed 08:00-20:00; fri 08:00-20:00 Europe/Berlin",
        ),
        (
            "mon-fri 09:30-16:00 America/New_York except 2026-12-25 2026-11-27=09:30-13:00",
            "mon-fri 09:30-16:00 America/New_York except 2026-11-27=09:30-13:00 2026-12-25",
        ),
    ];
    for (text, printed) in cases {
        assert_eq!(schedule(text).to_string(), printed, "{text}");
        assert_eq!(schedule(printed), schedule(text), "{text}");
    }
}

#[test]
fn what_is_no_schedule_is_refused() {
    let long = format!("mon 09:00-10:00 UTC except{}", " 2026-12-25".repeat(1_600));
    for text in [
        "",
        "mon",
        "mon 09:00-10:00",
        "09:00-10:00 UTC",
        "mon 09:00-10:00 Mars/Olympus",
        "mon 09:00-10:00 +02:00",
        "mon 09:00-10:00 EST5EDT,M3.2.0,M11.1.0",
        "Mon 09:00-10:00 UTC",
        "mon-funday 09:00-10:00 UTC",
        "mon 9:00-10:00 UTC",
        "mon 09:00 UTC",
        "mon 09:60-10:00 UTC",
        "mon 24:00-10:00 UTC",
        "mon 09:00-24:01 UTC",
        "mon 09:00-11:00,10:00-12:00 UTC",
        "mon 09:00-11:00,11:00-12:00 UTC",
        "mon 18:00-17:00,19:00-20:00 UTC",
        "mon,mon 09:00-10:00 UTC",
        "mon-fri 09:00-10:00; wed 11:00-12:00 UTC",
        "mon 09:00-10:00 11:00-12:00 UTC",
        "mon 09:00-10:00; UTC",
        "mon 09:00-10:00 UTC except",
        "mon 09:00-10:00 UTC except 2026-02-30",
        "mon 09:00-10:00 UTC except 2026-12-25 2026-12-25",
        "mon 09:00-10:00 UTC except 2026-12-25T00:00",
        "mon 09:00-10:00 UTC except 2026-12-25=",
        &long,
    ] {
        assert!(text.parse::<Schedule>().is_err(), "{text}");
    }
}

/// Windows end before their last minute, cross midnight, and belong to the day they begin on.
#[test]
fn windows_hold_from_their_first_minute_to_before_their_last() {
    let new_york = schedule("mon-fri 09:30-16:00 America/New_York");
    let futures = schedule("sun-thu 18:00-17:00 America/New_York");
    // 2026-11-23 is a Monday, five hours behind UTC.
    let cases = [
        (&new_york, "2026-11-23T14:29:59.999999Z", false),
        (&new_york, "2026-11-23T14:30:00Z", true),
        (&new_york, "2026-11-23T20:59:59.999999Z", true),
        (&new_york, "2026-11-23T21:00:00Z", false),
        (&new_york, "2026-11-22T18:00:00Z", false),
        (&futures, "2026-11-22T22:59:59Z", false),
        (&futures, "2026-11-22T23:00:00Z", true),
        (&futures, "2026-11-23T05:00:00Z", true),
        (&futures, "2026-11-23T22:30:00Z", false),
        (&futures, "2026-11-27T21:59:59Z", true),
        (&futures, "2026-11-27T22:00:00Z", false),
        (&futures, "2026-11-28T12:00:00Z", false),
    ];
    for (schedule, instant, open) in cases {
        assert_eq!(schedule.is_open(at(instant)), open, "{schedule} at {instant}");
    }
}

/// The dates are those of 15 U.S.C. 260a (second Sunday of March, first of November at 02:00) and of
/// Directive 2000/84/EC (last Sundays of March and October at 01:00 UTC).
#[test]
fn days_on_which_clocks_change() {
    let opens = "sun 02:30-04:00 America/New_York";
    let inside = "sun 02:10-02:50 America/New_York";
    let ends = "sun 01:00-02:30 America/New_York";
    let twice = "sun 01:15-01:45 America/New_York";
    let reaches = "sun 00:30-01:30 America/New_York";
    let berlin = "sun 02:00-02:30 Europe/Berlin";
    let cases = [
        // 2026-03-08: after 01:59:59 EST (06:59:59Z) comes 03:00:00 EDT.
        (opens, "2026-03-08T06:59:59Z", false),
        (opens, "2026-03-08T07:00:00Z", true),
        (opens, "2026-03-08T08:00:00Z", false),
        (inside, "2026-03-08T06:59:59Z", false),
        (inside, "2026-03-08T07:00:00Z", false),
        (ends, "2026-03-08T06:59:59Z", true),
        (ends, "2026-03-08T07:00:00Z", false),
        // 2026-11-01: 01:00 to 02:00 is shown twice, from 05:00Z and from 06:00Z.
        (twice, "2026-11-01T05:14:59Z", false),
        (twice, "2026-11-01T05:15:00Z", true),
        (twice, "2026-11-01T05:45:00Z", false),
        (twice, "2026-11-01T06:15:00Z", true),
        (twice, "2026-11-01T06:45:00Z", false),
        (reaches, "2026-11-01T05:29:59Z", true),
        (reaches, "2026-11-01T05:30:00Z", false),
        (reaches, "2026-11-01T06:00:00Z", true),
        (reaches, "2026-11-01T06:30:00Z", false),
        // 2026-10-25 in Berlin: 02:00 to 03:00 from 00:00Z and from 01:00Z.
        (berlin, "2026-10-25T00:29:59Z", true),
        (berlin, "2026-10-25T00:30:00Z", false),
        (berlin, "2026-10-25T01:00:00Z", true),
        (berlin, "2026-10-25T01:30:00Z", false),
    ];
    for (text, instant, open) in cases {
        assert_eq!(schedule(text).is_open(at(instant)), open, "{text} at {instant}");
    }
}

/// A dated exception replaces what begins on its date, not what began the day before.
#[test]
fn exceptions_are_of_the_day_on_which_a_window_begins() {
    let schedule =
        schedule("sun-thu 18:00-17:00 America/New_York except 2026-11-25=18:00-13:00 2026-12-24");
    let cases = [
        ("2026-11-25T21:59:00Z", true), // Wednesday 16:59: the session of Tuesday
        ("2026-11-26T17:59:59Z", true), // Thanksgiving 12:59
        ("2026-11-26T18:00:00Z", false), // 13:00
        ("2026-11-26T23:00:00Z", true), // 18:00: the session of Thursday
        ("2026-12-24T20:00:00Z", true), // 15:00 on the 24th: the session of the 23rd
        ("2026-12-24T23:30:00Z", false),
        ("2026-12-25T15:00:00Z", false),
    ];
    for (instant, open) in cases {
        assert_eq!(schedule.is_open(at(instant)), open, "{instant}");
    }
}

#[test]
fn the_next_change() {
    let cases = [
        (
            "mon-fri 09:30-16:00 America/New_York",
            "2026-11-27T20:00:00Z",
            Some("2026-11-27T21:00:00Z"),
        ),
        (
            "mon-fri 09:30-16:00 America/New_York",
            "2026-11-27T21:00:00Z",
            Some("2026-11-30T14:30:00Z"),
        ),
        ("sun 02:30-04:00 America/New_York", "2026-03-08T06:00:00Z", Some("2026-03-08T07:00:00Z")),
        ("sun 01:15-01:45 America/New_York", "2026-11-01T05:50:00Z", Some("2026-11-01T06:15:00Z")),
        (
            "sun-thu 17:00-17:00 America/New_York",
            "2026-11-23T12:00:00Z",
            Some("2026-11-27T22:00:00Z"),
        ),
        ("mon-sun 00:00-24:00 UTC", "2026-11-23T12:00:00Z", None),
    ];
    for (text, from, change) in cases {
        assert_eq!(schedule(text).changes_after(at(from)), change.map(at), "{text} from {from}");
    }
}

#[test]
fn the_wall_clock_is_shown() {
    let schedule = schedule("mon-fri 09:30-16:00 America/New_York except 2026-12-25");
    let shown = schedule.wall_clock(at("2026-11-22T23:05:00Z")).to_string();
    assert_eq!(shown, "Sun 2026-11-22 18:05 America/New_York");
    assert_eq!(&*schedule.regular(), "mon-fri 09:30-16:00 America/New_York");
}

/// A schedule of any shape, as text.
fn texts() -> impl Strategy<Value = String> {
    let zones = prop::sample::select(vec![
        "UTC",
        "America/New_York",
        "Europe/Berlin",
        "Asia/Tokyo",
        "Australia/Lord_Howe",
        "America/St_Johns",
    ]);
    // A beginning and a length for each day; no length, no window.
    let day = prop::option::of((0_u16..1_440, 1_u16..=1_440));
    let days =
        prop::array::uniform7(day).prop_filter("some day", |days| days.iter().any(Option::is_some));
    let exceptions = prop::collection::btree_map(
        0_i32..60,
        prop::option::of((0_u16..1_440, 1_u16..=1_440)),
        0..4,
    );
    (days, zones, exceptions).prop_map(|(days, zone, exceptions)| {
        let window = |(from, length): (u16, u16)| {
            let until = (from + length) % 1_440;
            format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
        };
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let rules: Vec<_> = names
            .iter()
            .zip(days)
            .filter_map(|(name, day)| day.map(|day| format!("{name} {}", window(day))))
            .collect();
        let mut text = format!("{} {zone}", rules.join("; "));
        for (place, (day, windows)) in exceptions.into_iter().enumerate() {
            let date = Timestamp::from_unix_micros(1_792_000_000_000_000)
                .plus(Duration::from_secs(86_400 * u64::try_from(day).unwrap()))
                .to_string();
            text.push_str(if place == 0 { " except " } else { " " });
            text.push_str(&date[..10]);
            if let Some(windows) = windows {
                text.push('=');
                text.push_str(&window(windows));
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(text in texts()) {
        let first = schedule(&text);
        let printed = first.to_string();
        prop_assert_eq!(schedule(&printed), first);
        prop_assert_eq!(schedule(&printed).to_string(), printed);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _parsed = text.parse::<Schedule>();
    }

    /// Minute by minute: nothing changes before the change, and at it something does. The weeks
    /// around 2026-10-14 to 2026-12-13 have the ends of daylight-saving time in them.
    #[test]
    fn the_next_change_is_the_next(text in texts(), minutes in 0_u64..86_400) {
        let schedule = schedule(&text);
        let start = Timestamp::from_unix_micros(1_792_000_020_000_000).plus(Duration::from_secs(minutes * 60));
        let now = schedule.is_open(start);
        let counted = (1..=14 * 1_440_u64)
            .map(|minute| start.plus(Duration::from_secs(minute * 60)))
            .find(|instant| schedule.is_open(*instant) != now);
        prop_assert_eq!(schedule.changes_after(start), counted);
    }
}

/// Only what is open counts, over nights and changes of the clock.
#[test]
fn how_long_it_was_open() {
    let schedule: Schedule = "mon-fri 09:30-16:00 America/New_York".parse().unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for (from, until, minutes) in [
        ("2026-11-02T14:30:00Z", "2026-11-02T15:00:00Z", 30),
        // Friday afternoon to Monday morning, over the end of summer time on Sunday.
        ("2026-10-30T19:30:00Z", "2026-11-02T15:00:00Z", 60),
        ("2026-11-02T21:00:00Z", "2026-11-03T14:30:00Z", 0),
        ("2026-11-02T00:00:00Z", "2026-11-07T00:00:00Z", 5 * 390),
        ("2026-11-02T15:00:00Z", "2026-11-02T14:30:00Z", 0),
    ] {
        let open = schedule.open_between(at(from), at(until));
        assert_eq!(open.as_secs(), minutes * 60, "{from} to {until}");
    }
}
