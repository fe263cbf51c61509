//! A database of one test, of either kind.

use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use tradewarden_domain::id::Id;
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Location, Store, Tx, Writer, migrate};
use tradewarden_testkit::postgres::TestDatabase;

pub(crate) struct Backend {
    location: Location,
    kept: Kept,
}

enum Kept {
    Directory(PathBuf),
    Database(TestDatabase),
}

impl Backend {
    pub(crate) fn sqlite() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What an earlier process with this number left behind after a failure.
        if directory.exists() {
            std::fs::remove_dir_all(&directory).unwrap();
        }
        std::fs::create_dir_all(&directory).unwrap();
        let location = Location::Sqlite(directory.join("store.db"));
        Self { location, kept: Kept::Directory(directory) }
    }

    pub(crate) async fn postgres() -> Self {
        let database = TestDatabase::create().await;
        let location = Location::Postgres(database.url().to_owned());
        Self { location, kept: Kept::Database(database) }
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The directory of an SQLite database.
    pub(crate) fn directory(&self) -> &PathBuf {
        match &self.kept {
            Kept::Directory(directory) => directory,
            Kept::Database(_) => panic!("only SQLite has a directory"),
        }
    }

    /// One more connection that writes.
    pub(crate) async fn writer(&self) -> Writer {
        Writer::open(&self.location).await.unwrap()
    }

    /// A writer and readers of a database with the present schema.
    pub(crate) async fn migrated(&self) -> (Writer, Store) {
        let mut writer = self.writer().await;
        migrate::migrate(&mut writer).await.unwrap();
        (writer, self.store().await)
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(self.location.clone()).await.unwrap()
    }

    pub(crate) async fn remove(self) {
        match self.kept {
            Kept::Directory(directory) => std::fs::remove_dir_all(directory).unwrap(),
            Kept::Database(database) => database.drop_database().await,
        }
    }
}

/// The `number`th identifier of its kind; they sort by number.
pub(crate) fn id<K>(number: u64) -> Id<K> {
    let mut bytes = [0x80; 16];
    let (_, tail) = bytes.split_at_mut(8);
    tail.copy_from_slice(&number.to_be_bytes());
    Id::from_bytes(bytes)
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_790_000_000_000_000 + second * 1_000_000)
}

/// How many rows a `SELECT COUNT(*)` counts.
pub(crate) async fn count(store: &Store, sql: &'static str) -> i64 {
    store.query_one(sql, Vec::new()).await.unwrap().unwrap().int().unwrap()
}

/// Drops a transaction in the middle. It has no `Drop` of its own: the next `begin` rolls it back.
pub(crate) fn abandon(_tx: Tx<'_>) {}
