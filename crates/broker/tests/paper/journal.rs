//! The journal on disk: what a crash leaves, what corruption is, what compaction keeps.

use crate::support::{NOON, Scratch, TestClock, account, assert_same, buy, name, start};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tradewarden_broker::paper::{
    Command, Journal, PaperError, PaperExchange, PaperSettings, PaperTask, Reply, Twist,
};
use tradewarden_broker::port::{Cancellation, Lookup, PlaceOrder, Placement};
use tradewarden_domain::order::{OrderType, Side, TimeInForce};
use tradewarden_domain::time::Timestamp;

fn open(directory: &Path) -> Result<(Journal, PaperExchange), PaperError> {
    Journal::open(directory, 1, Journal::COMPACT_AT)
}

fn limit(id: &str) -> PlaceOrder {
    PlaceOrder {
        order_type: OrderType::Limit,
        limit_price: Some("30000".parse().unwrap()),
        time_in_force: TimeInForce::Gtc,
        ..buy(id)
    }
}

/// Commands that make every kind of change that trading makes.
fn commands() -> Vec<Command> {
    let currency = "USD".to_owned();
    vec![
        Command::OpenAccount { account: account(), cash: "100000".parse().unwrap(), currency },
        Command::Place(buy("one")),
        Command::Place(buy("one")),
        Command::Place(limit("two")),
        Command::Place(PlaceOrder { side: Side::Sell, ..buy("three") }),
        Command::Cancel(name("two")),
        Command::Place(PlaceOrder { quantity: "0".parse().unwrap(), ..buy("four") }),
        Command::PositionByHand {
            account: account(),
            symbol: "ES".parse().unwrap(),
            quantity: "-3".parse().unwrap(),
        },
    ]
}

/// Does a command and makes it durable.
fn commit(
    journal: &mut Journal,
    exchange: &mut PaperExchange,
    command: Command,
    now: Timestamp,
) -> Reply {
    let applied = exchange.apply(command, now, Twist::None).unwrap();
    journal.append(&applied.records).unwrap();
    applied.reply
}

/// The journal's bytes after each command, in a directory of its own.
fn lengths(directory: &Path) -> Vec<(usize, PaperExchange)> {
    let (mut journal, mut exchange) = open(directory).unwrap();
    let mut lengths = Vec::new();
    for command in commands() {
        commit(&mut journal, &mut exchange, command, NOON);
        let bytes = fs::read(directory.join("paper.journal")).unwrap();
        let copy = PaperExchange::from_snapshot(1, exchange.snapshot()).unwrap();
        lengths.push((bytes.len(), copy));
    }
    lengths
}

fn with_journal(bytes: &[u8]) -> Scratch {
    let scratch = Scratch::new("bytes");
    fs::create_dir_all(scratch.path()).unwrap();
    fs::write(scratch.path().join("paper.journal"), bytes).unwrap();
    scratch
}

#[test]
fn a_crash_after_each_record_loads_the_same_state() {
    let scratch = Scratch::new("crash");
    let steps = lengths(scratch.path());
    let bytes = fs::read(scratch.path().join("paper.journal")).unwrap();
    for (length, state) in steps {
        let cut = with_journal(&bytes[..length]);
        let (_, loaded) = open(cut.path()).unwrap();
        assert_same(&loaded, &state);
    }
}

#[test]
fn a_torn_tail_is_cut_off_at_each_byte() {
    let scratch = Scratch::new("torn");
    let steps = lengths(scratch.path());
    let bytes = fs::read(scratch.path().join("paper.journal")).unwrap();
    let (whole, before) = &steps[steps.len() - 2];
    for length in *whole..bytes.len() {
        let torn = with_journal(&bytes[..length]);
        let (mut journal, mut loaded) = open(torn.path()).unwrap();
        assert_same(&loaded, before);
        // What is written next stands where the torn record stood.
        commit(&mut journal, &mut loaded, Command::Place(buy("next")), NOON);
        drop(journal);
        assert_same(&open(torn.path()).unwrap().1, &loaded);
    }
    // The size may be on disk before the bytes are.
    let mut zeros = bytes[..*whole].to_vec();
    zeros.resize(bytes.len(), 0);
    assert_same(&open(with_journal(&zeros).path()).unwrap().1, before);
}

#[test]
fn a_broken_byte_in_the_middle_stops_the_start() {
    let scratch = Scratch::new("corrupt");
    let steps = lengths(scratch.path());
    let bytes = fs::read(scratch.path().join("paper.journal")).unwrap();
    let last = steps[steps.len() - 2].0;
    for place in 0..last {
        let mut broken = bytes.clone();
        broken[place] ^= 0x10;
        let loaded = open(with_journal(&broken).path());
        assert!(matches!(loaded, Err(PaperError::Corrupt { .. })), "byte {place}");
    }
    // A record that is missing as a whole.
    let mut gap = bytes[..steps[1].0].to_vec();
    gap.extend_from_slice(&bytes[steps[2].0..]);
    assert!(matches!(open(with_journal(&gap).path()), Err(PaperError::Corrupt { .. })));
    let beginning = &bytes[steps[0].0..];
    assert!(matches!(open(with_journal(beginning).path()), Err(PaperError::Corrupt { .. })));
}

#[test]
fn a_second_process_does_not_start() {
    let scratch = Scratch::new("locked");
    let held = open(scratch.path()).unwrap();
    assert!(matches!(open(scratch.path()), Err(PaperError::Locked { .. })));
    drop(held);
    assert!(open(scratch.path()).is_ok());
}

#[test]
fn the_files_are_private() {
    let scratch = Scratch::new("private");
    let (mut journal, mut exchange) = open(scratch.path()).unwrap();
    journal.compact(&mut exchange, NOON).unwrap();
    for file in ["paper.journal", "paper.snapshot", "paper.lock"] {
        let mode = fs::metadata(scratch.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn compaction_keeps_the_state_and_each_crash_in_it_too() {
    let scratch = Scratch::new("compact");
    let path = |file: &str| scratch.path().join(file);
    drop(lengths(scratch.path()));
    let before = fs::read(path("paper.journal")).unwrap();
    let (mut journal, mut exchange) = open(scratch.path()).unwrap();
    journal.compact(&mut exchange, NOON).unwrap();
    assert_eq!(fs::metadata(path("paper.journal")).unwrap().len(), 0);
    drop(journal);
    assert_same(&open(scratch.path()).unwrap().1, &exchange);
    // A crash after the rename and before the journal was emptied.
    fs::write(path("paper.journal"), &before).unwrap();
    // A crash before the rename of a later compaction.
    fs::write(path("paper.snapshot.new"), b"half of a snap").unwrap();
    let (mut journal, mut loaded) = open(scratch.path()).unwrap();
    assert_same(&loaded, &exchange);
    assert!(!path("paper.snapshot.new").exists());
    commit(&mut journal, &mut loaded, Command::Place(buy("after")), NOON);
    drop(journal);
    assert_same(&open(scratch.path()).unwrap().1, &loaded);
    // A broken snapshot, and a journal that is gone.
    let mut snapshot = fs::read(path("paper.snapshot")).unwrap();
    fs::remove_file(path("paper.journal")).unwrap();
    assert!(matches!(open(scratch.path()), Err(PaperError::Corrupt { .. })));
    fs::write(path("paper.journal"), &before).unwrap();
    let middle = snapshot.len() / 2;
    snapshot[middle] ^= 1;
    fs::write(path("paper.snapshot"), &snapshot).unwrap();
    assert!(matches!(open(scratch.path()), Err(PaperError::Corrupt { .. })));
}

#[test]
fn what_is_dropped_is_never_called_absent_and_never_placed_again() {
    let scratch = Scratch::new("forget");
    let (mut journal, mut exchange) = open(scratch.path()).unwrap();
    for command in commands() {
        commit(&mut journal, &mut exchange, command, NOON);
    }
    commit(&mut journal, &mut exchange, Command::Place(limit("live")), NOON);
    let later = NOON.plus(Duration::from_hours(8 * 24));
    let order = PlaceOrder { expires_at: later, ..buy("recent") };
    commit(&mut journal, &mut exchange, Command::Place(order), later);
    let counts = exchange.counts();
    let positions = Command::Positions { account: account(), cursor: None };
    let held = exchange.apply(positions.clone(), later, Twist::None).unwrap().reply;
    journal.compact(&mut exchange, later).unwrap();
    drop(journal);
    let (_, mut loaded) = open(scratch.path()).unwrap();
    assert_same(&loaded, &exchange);
    let mut ask = |command| loaded.apply(command, later, Twist::None).unwrap().reply;
    assert_eq!(ask(positions), held);
    assert_eq!(ask(Command::Counts), Reply::Counts(counts));
    for id in ["live", "recent"] {
        assert!(matches!(ask(Command::Find(name(id))), Reply::Lookup(Lookup::Found(_))), "{id}");
    }
    for id in ["one", "two", "three", "four"] {
        let found = ask(Command::Find(name(id)));
        assert!(matches!(found, Reply::Lookup(Lookup::Unheard { .. })), "{id}: {found:?}");
        let canceled = ask(Command::Cancel(name(id)));
        assert_eq!(canceled, Reply::Cancellation(Cancellation::NotFound));
        match ask(Command::Place(buy(id))) {
            Reply::Placement(Placement::Rejected { code, .. }) => {
                assert_eq!(code, "duplicate_client_order_id");
            }
            other => panic!("{other:?}"),
        }
    }
    let once = Command::TimesReceived { client_order_id: "one".to_owned() };
    assert_eq!(ask(once), Reply::Times(3));
    let fills = |cursor: Option<&str>| Command::Fills {
        account: account(),
        cursor: cursor.map(str::to_owned),
        limit: 10,
    };
    for cursor in ["0", "1"] {
        let refused = ask(fills(Some(cursor)));
        assert!(matches!(&refused, Reply::Refused { code, .. } if code == "cursor_too_old"));
    }
    for (cursor, count) in [(None, 1), (Some("2"), 1), (Some("3"), 0)] {
        match ask(fills(cursor)) {
            Reply::Fills(page) => assert_eq!(page.items.len(), count, "{cursor:?}"),
            other => panic!("{other:?}"),
        }
    }
    let ahead = ask(fills(Some("4")));
    assert!(matches!(&ahead, Reply::Refused { code, .. } if code == "invalid_cursor"));
}

/// The task compacts by itself, answers go on, and a restart has them all.
#[tokio::test]
async fn the_task_compacts_and_restarts() {
    let scratch = Scratch::new("task");
    let clock = TestClock::at(NOON);
    let settings = PaperSettings { seed: 1, compact_at_bytes: 4_096 };
    let (task, desk) = PaperTask::open(scratch.path(), settings, clock.clone()).unwrap();
    let thread = std::thread::spawn(move || task.run_blocking());
    let admin = crate::support::open_account(&desk).await;
    let deadline = Duration::from_secs(5);
    for number in 0..100 {
        let reply = desk.ask(Command::Place(buy(&format!("id-{number}"))), deadline).await.unwrap();
        assert!(matches!(reply, Reply::Placement(Placement::Accepted { .. })), "{reply:?}");
    }
    assert!(fs::metadata(scratch.path().join("paper.snapshot")).unwrap().len() > 0);
    let counts = admin.counts().await.unwrap();
    assert_eq!((counts.orders_created, counts.fills), (100, 100));
    drop((desk, admin));
    thread.join().unwrap().unwrap();
    let again = start(scratch.path(), clock);
    let reply = again.desk.ask(Command::Counts, deadline).await;
    assert_eq!(reply, Ok(Reply::Counts(counts)));
}
