//! Schedules held against a second implementation: Python's `zoneinfo`, which has its own reading
//! of the time zone database and its own copy of it. The zones are such whose rules did not change in
//! these years, for the copies may be of different age.

use std::io::Write as _;
use std::process::{Command, Stdio};
use tradewarden_domain::schedule::Schedule;
use tradewarden_domain::time::Timestamp;

const ORACLE: &str = include_str!("oracle.py");

const SCHEDULES: [&str; 12] = [
    "mon-fri 09:30-16:00 America/New_York",
    "sun-thu 18:00-17:00 America/New_York",
    "sun-thu 17:00-17:00 America/New_York",
    "mon-fri 08:00-16:30 Europe/London",
    "mon-fri 09:00-11:30,12:30-15:30 Asia/Tokyo",
    "sat-sun 01:00-02:30,23:30-01:15 Europe/Berlin",
    "sun 02:10-02:50; sat 23:00-02:30 America/New_York",
    "mon-sun 02:00-02:45 Australia/Lord_Howe",
    "mon-sun 00:00-00:01,23:59-24:00 America/St_Johns",
    "fri-mon 22:00-06:00 Europe/Dublin",
    "mon-fri 09:15-15:30 Asia/Kolkata except 2026-01-26 2026-03-03 2026-11-08=18:00-19:15",
    "mon-fri 09:30-16:00 America/New_York except 2026-11-26 2026-11-27=09:30-13:00 2026-12-25",
];

/// Every 13 minutes of 2025 and 2026, which meets each minute of the hour.
#[test]
fn agrees_with_zoneinfo() {
    let mut python = Command::new("python3")
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3 with its zoneinfo module and the system's time zones");
    let asked = SCHEDULES.join("\n");
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut answers = text.lines();
    let mut instants = 0_u32;
    for text in SCHEDULES {
        let schedule: Schedule = text.parse().unwrap();
        for second in sample() {
            let open = schedule.is_open(Timestamp::from_unix_micros(second * 1_000_000));
            let line = answers.next().unwrap();
            assert_eq!(line, format!("{second} {}", u8::from(open)), "{text}");
            instants += 1;
        }
    }
    assert_eq!(answers.next(), None);
    assert!(instants > 900_000, "{instants}");
}

/// The same as in the oracle: 2025-01-01 to 2027-01-01.
fn sample() -> impl Iterator<Item = i64> {
    (1_735_689_600..1_798_761_600).step_by(780)
}
