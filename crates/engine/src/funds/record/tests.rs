use super::*;
use tradewarden_domain::account::Activity;
use tradewarden_domain::loss::LossReset;
use tradewarden_domain::session::{SessionStart, TradingDays};

fn account() -> Account {
    Account {
        id: Id::from_bytes([1; 16]),
        org_id: Id::from_bytes([2; 16]),
        name: "main".to_owned(),
        broker: "paper".to_owned(),
        broker_account: "P-1".to_owned(),
        currency: "USD".to_owned(),
        state: Activity::Active,
        days: TradingDays::new(SessionStart::FUTURES.parse().unwrap(), LossReset::Session),
        instruments: BTreeMap::new(),
        created_at: Timestamp::default(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000 + second * 1_000_000)
}

/// What is kept of what was heard, as it stands in the database after the last write: when, how much,
/// heard until when.
fn kept(heard: &[(i64, i64)]) -> (Vec<(i64, i64, i64)>, usize) {
    let (account, mut record) = (account(), Record::default());
    let (mut rows, mut writes) = (BTreeMap::new(), 0);
    let second = |of: Timestamp| (of.unix_micros() - at(0).unix_micros()) / 1_000_000;
    for (now, whole) in heard {
        record.hear(&account, Money::from_whole(*whole).unwrap(), at(*now));
        for row in record.take() {
            writes += 1;
            let whole = row.equity.units() / 100_000_000;
            rows.insert(second(row.at), (whole, second(row.heard_until)));
        }
    }
    (rows.into_iter().map(|(at, (whole, until))| (at, whole, until)).collect(), writes)
}

#[test]
fn what_stays_the_same_is_one_row_and_is_written_every_half_minute() {
    let heard: Vec<_> = (0..=60).map(|step| (step * 5, 100)).collect();
    assert_eq!(kept(&heard), (vec![(0, 100, 300)], 11));
}

#[test]
fn what_changes_all_the_time_is_one_row_a_minute() {
    let heard: Vec<_> = (0..=36).map(|step| (step * 5, 100 + step)).collect();
    let (rows, _) = kept(&heard);
    assert_eq!(rows, [(0, 100, 55), (60, 112, 115), (120, 124, 175), (180, 136, 180)]);
}

/// What changed once within the minute is in the next row, and no broker's silence is bridged.
#[test]
fn a_change_and_a_silence_begin_rows() {
    let (rows, _) = kept(&[(0, 100), (5, 90), (55, 90), (60, 90), (65, 90)]);
    assert_eq!(rows, [(0, 100, 55), (60, 90, 60)]);
    let (rows, _) = kept(&[(0, 100), (60, 100), (120, 100), (181, 100)]);
    assert_eq!(rows, [(0, 100, 120), (181, 100, 181)]);
    let (rows, _) = kept(&[(10, 100), (5, 90), (10, 80)]);
    assert_eq!(rows, [(10, 100, 10)]);
}

/// What could not be written is written with the next; a bound holds what waits.
#[test]
fn what_was_not_written_is_not_lost() {
    let (account, mut record) = (account(), Record::default());
    for minute in 0..3 {
        record.hear(&account, Money::from_units(minute), at(minute * 60));
    }
    let rows = record.take();
    assert_eq!(rows.len(), 3);
    assert_eq!(record.take(), []);
    record.give_back(rows.clone());
    let mut again = record.take();
    again.sort_by_key(|row| row.at);
    assert_eq!(again, rows);
    record.forget();
    let many = i64::try_from(OVER_MAX).unwrap() + 9;
    for minute in 0..many {
        record.hear(&account, Money::from_units(minute), at(minute * 60));
    }
    let mut count = 0;
    loop {
        let rows = record.take();
        if rows.is_empty() {
            break;
        }
        assert!(rows.len() <= ROWS_MAX);
        count += rows.len();
    }
    assert_eq!(count, OVER_MAX + 1);
}
