//! What only SQLite can show.

use crate::backend::{Backend, count};
use crate::rows::signals;
use tradewarden_store::{Kind, Location, Store, Value, Writer, migrate, signals as rows};

async fn pragma(writer: &mut Writer, sql: &'static str) -> String {
    let mut tx = writer.begin().await.unwrap();
    let mut row = tx.query(sql, &[]).await.unwrap().remove(0);
    row.text().unwrap()
}

/// What is acknowledged is on the disk, and a row cannot name one that is not there.
#[tokio::test]
async fn the_writer_syncs_and_holds_references() {
    let backend = Backend::sqlite();
    let mut writer = backend.writer().await;
    for round in 0..2 {
        // Twice: what is set on a connection must be set again on the next.
        let journal = "SELECT journal_mode FROM pragma_journal_mode";
        assert_eq!(pragma(&mut writer, journal).await, "wal", "{round}");
        let synchronous = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
        assert_eq!(pragma(&mut writer, synchronous).await, "2", "{round}");
        let references = "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys";
        assert_eq!(pragma(&mut writer, references).await, "1", "{round}");
        drop(writer);
        writer = backend.writer().await;
    }
    drop(writer);
    backend.remove().await;
}

/// Waits five seconds: so long a writer may be in the way.
#[tokio::test]
async fn a_second_writer_is_busy_while_the_first_writes() {
    let backend = Backend::sqlite();
    let (mut first, _store) = backend.migrated().await;
    let mut second = backend.writer().await;
    let mut tx = first.begin().await.unwrap();
    migrate::set_meta(&mut tx, "mine", "1").await.unwrap();
    let Err(error) = second.begin().await else { panic!("two writers at once") };
    assert_eq!(error.kind(), Kind::Busy);
    tx.commit().await.unwrap();
    let mut tx = second.begin().await.unwrap();
    assert_eq!(migrate::meta(&mut tx, "mine").await.unwrap().as_deref(), Some("1"));
    tx.commit().await.unwrap();
    drop((first, second));
    backend.remove().await;
}

#[tokio::test]
async fn a_reader_cannot_write_and_makes_no_database() {
    let backend = Backend::sqlite();
    let absent = Store::open(backend.location().clone()).await;
    assert_eq!(absent.err().map(|error| error.kind()), Some(Kind::Broken));
    let (writer, store) = backend.migrated().await;
    let write = "INSERT INTO meta (name, value) VALUES ($1, $1)";
    store.query(write, vec![Value::Word("x")]).await.unwrap_err();
    drop((writer, store));
    backend.remove().await;
}

/// The copy is whole and at one instant, while a writer is in the middle of something.
#[tokio::test]
async fn a_backup_is_a_database_of_its_own() {
    const ALL: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM signals";
    const INTEGRITY: &str = "SELECT integrity_check FROM pragma_integrity_check";
    let backend = Backend::sqlite();
    let (mut writer, store) = backend.migrated().await;
    let stored = signals(1, 200);
    let mut tx = writer.begin().await.unwrap();
    rows::insert(&mut tx, stored).await.unwrap();
    tx.commit().await.unwrap();
    let stored = signals(1_000, 5);
    let mut tx = writer.begin().await.unwrap();
    rows::insert(&mut tx, stored).await.unwrap();

    let target = backend.directory().join("copy.db");
    store.backup(target.clone()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&store, ALL).await, 205);

    let copy = Location::Sqlite(target.clone());
    let copied = Store::open(copy.clone()).await.unwrap();
    assert_eq!(count(&copied, ALL).await, 200, "what was committed before");
    let mut row = copied.query_one(INTEGRITY, Vec::new()).await.unwrap().unwrap();
    assert_eq!(row.text().unwrap(), "ok");
    let mut restored = Writer::open(&copy).await.unwrap();
    assert_eq!(migrate::migrate(&mut restored).await.unwrap(), migrate::VERSION_NOW);

    // A target that is there is never written over; an empty file is the caller's to make.
    let before = std::fs::read(&target).unwrap();
    store.backup(target.clone()).await.unwrap_err();
    assert_eq!(std::fs::read(&target).unwrap(), before);
    let other = backend.directory().join("other.txt");
    std::fs::write(&other, "not a database").unwrap();
    store.backup(other.clone()).await.unwrap_err();
    assert_eq!(std::fs::read(&other).unwrap(), b"not a database");
    let empty = backend.directory().join("empty.db");
    std::fs::write(&empty, []).unwrap();
    store.backup(empty.clone()).await.unwrap();
    store.backup(backend.directory().join("no/such/directory.db")).await.unwrap_err();
    drop((writer, store, copied, restored));
    backend.remove().await;
}

#[tokio::test]
async fn what_is_no_database_is_fatal() {
    let backend = Backend::sqlite();
    let Location::Sqlite(path) = backend.location() else { panic!("SQLite") };
    std::fs::write(path, "this is no database, whatever its name says".repeat(100)).unwrap();
    let Err(error) = Writer::open(backend.location()).await else { panic!("opened") };
    assert_eq!(error.kind(), Kind::Fatal, "{error}");
    backend.remove().await;
}
