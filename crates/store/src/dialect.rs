//! The only place where the two databases differ.
//!
//! SQLite: one writer connection that blocks its own thread, `BEGIN IMMEDIATE`, WAL with
//! `synchronous=FULL`; row locks are nothing, because the writer owns the file. Readers are a few
//! more connections on blocking threads. PostgreSQL: `READ COMMITTED` with row locks in one fixed
//! order; statements of one kind are pipelined.

use crate::changes::{self, Change};
use crate::guarded::{self, Image, Named};
use crate::value::{Row, Value};
use crate::{Error, postgres, sqlite};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tradewarden_domain::time::Timestamp;

/// SQLite alone knows it, so it is no statement of both databases.
const INTEGRITY: &str = "-- dialect::integrity\nPRAGMA integrity_check(20)";

/// Where the data is.
#[derive(Clone)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A `postgres://` address; it may hold a password, so it is never printed.
    Postgres(String),
}

impl Location {
    /// The driver's name, for people.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

/// Which lock a look-up takes on the rows it finds, where the database has row locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Others may lock them for sharing, nobody may change them.
    Share,
    /// Nobody else may lock or change them.
    Update,
}

/// An insert of many rows of one shape.
#[derive(Debug, Clone, Copy)]
pub struct Insert {
    /// The text up to `VALUES`, beginning with a comment that names the function.
    pub into: &'static str,
    /// How many columns a row has.
    pub columns: usize,
    /// What follows the rows, for example `ON CONFLICT`.
    pub tail: &'static str,
}

impl Insert {
    /// The text for so many rows.
    pub fn text(&self, rows: usize) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(self.into.len().saturating_add(rows * 16));
        text.push_str(self.into);
        text.push_str(" VALUES ");
        let mut parameter = 0_usize;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..self.columns {
                parameter = parameter.saturating_add(1);
                let comma = if column == 0 { "" } else { ", " };
                // Writing to a String cannot fail.
                let _written = write!(text, "{comma}${parameter}");
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }
}

const SQLITE_FACTS: &str = "-- dialect::sqlite_facts\nSELECT sqlite_version()";
const POSTGRES_FACTS: &str = "-- dialect::postgres_facts\n\
    SELECT current_setting('server_version'), current_setting('fsync'), \
    current_setting('full_page_writes'), current_setting('synchronous_standby_names'), \
    CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END, \
    (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint";

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Its version.
    pub version: String,
    /// What PostgreSQL says besides.
    pub postgres: Option<PostgresFacts>,
}

/// What a PostgreSQL server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresFacts {
    /// Whether it syncs what it acknowledges.
    pub fsync: bool,
    /// Whether a page that was torn by a crash can be put right.
    pub full_page_writes: bool,
    /// The standbys that a commit waits for, as configured; empty is none.
    pub synchronous_standby_names: String,
    /// Whether it only follows another server.
    pub is_standby: bool,
    /// Its clock.
    pub now: Timestamp,
}

/// Readers of a database.
#[derive(Clone)]
pub struct Store {
    location: Location,
    readers: Readers,
}

#[derive(Clone)]
enum Readers {
    Sqlite(Arc<sqlite::Readers>),
    Postgres(Arc<postgres::Readers>),
}

impl Store {
    /// Opens the database for reading; it must have been migrated.
    pub async fn open(location: Location) -> Result<Self, Error> {
        let readers = match &location {
            Location::Sqlite(path) => Readers::Sqlite(Arc::new(sqlite::Readers::open(path)?)),
            Location::Postgres(url) => {
                Readers::Postgres(Arc::new(postgres::Readers::open(url).await?))
            }
        };
        Ok(Self { location, readers })
    }

    /// Where the data is.
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// Runs a look-up on a reader, which never waits for the writer.
    pub async fn query(
        &self,
        sql: &'static str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        refuse_nul(sql, &parameters)?;
        match &self.readers {
            Readers::Sqlite(readers) => readers.query(sql, parameters).await,
            Readers::Postgres(readers) => readers.query(sql, &parameters).await,
        }
    }

    /// Runs look-ups that all see the database as it is at one instant; the answers come in the same
    /// order.
    pub async fn query_together(
        &self,
        lookups: Vec<(&'static str, Vec<Value>)>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        lookups.iter().try_for_each(|(sql, parameters)| refuse_nul(sql, parameters))?;
        match &self.readers {
            Readers::Sqlite(readers) => readers.query_together(lookups).await,
            Readers::Postgres(readers) => readers.query_together(&lookups).await,
        }
    }

    /// Runs a look-up of at most one row.
    pub async fn query_one(
        &self,
        sql: &'static str,
        parameters: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    /// What is wrong with the database file, in the driver's words, at most 20; PostgreSQL looks after its
    /// own files.
    pub async fn damages(&self) -> Result<Vec<String>, Error> {
        if matches!(self.readers, Readers::Postgres(_)) {
            return Ok(Vec::new());
        }
        let rows = self.query(INTEGRITY, Vec::new()).await?;
        let told = rows.into_iter().map(|mut row| row.text()).collect::<Result<Vec<_>, Error>>()?;
        Ok(told.into_iter().filter(|text| text != "ok").collect())
    }

    /// What the database says of itself.
    pub async fn facts(&self) -> Result<DatabaseFacts, Error> {
        match &self.location {
            Location::Sqlite(_) => {
                let row = self.query_one(SQLITE_FACTS, Vec::new()).await?;
                let mut row = row.ok_or_else(|| Error::unreadable("SQLite has no version"))?;
                Ok(DatabaseFacts { version: row.text()?, postgres: None })
            }
            Location::Postgres(_) => {
                let row = self.query_one(POSTGRES_FACTS, Vec::new()).await?;
                let mut row = row.ok_or_else(|| Error::unreadable("PostgreSQL has no version"))?;
                let version = row.text()?;
                let postgres = PostgresFacts {
                    fsync: row.text()? == "on",
                    full_page_writes: row.text()? == "on",
                    synchronous_standby_names: row.text()?,
                    is_standby: row.text()? == "on",
                    now: row.time()?,
                };
                Ok(DatabaseFacts { version, postgres: Some(postgres) })
            }
        }
    }

    /// Writes a consistent copy of an SQLite database to `target`, which must not exist or be an
    /// empty file (so that the caller can make it private first).
    pub async fn backup(&self, target: PathBuf) -> Result<(), Error> {
        match &self.readers {
            Readers::Sqlite(readers) => readers.backup(target).await,
            Readers::Postgres(_) => Err(Error::broken(
                "a PostgreSQL database is backed up with its own tools: \
                 pg_dump --format=custom --file=FILE DATABASE",
            )),
        }
    }
}

/// The connection that writes. It blocks the thread it is used on (SQLite) and belongs to one task.
pub struct Writer {
    driver: Driver,
}

enum Driver {
    Sqlite(Box<sqlite::Connection>),
    Postgres(Box<postgres::Connection>),
}

impl Writer {
    /// Opens the connection. For PostgreSQL it must be used on the runtime that opened it.
    pub async fn open(location: &Location) -> Result<Self, Error> {
        let driver = match location {
            Location::Sqlite(path) => {
                Driver::Sqlite(Box::new(sqlite::Connection::open_writer(path)?))
            }
            Location::Postgres(url) => {
                Driver::Postgres(Box::new(postgres::Connection::open(url).await?))
            }
        };
        Ok(Self { driver })
    }

    /// Begins a transaction. Dropping it without commit rolls it back before the next begins.
    pub async fn begin(&mut self) -> Result<Tx<'_>, Error> {
        match &mut self.driver {
            Driver::Sqlite(connection) => connection.begin()?,
            Driver::Postgres(connection) => connection.begin().await?,
        }
        Ok(Tx {
            driver: &mut self.driver,
            failed: false,
            changed: BTreeSet::new(),
            guarded: BTreeMap::new(),
        })
    }

    /// Folds SQLite's write-ahead log into the database: after it the file alone is all there is, until
    /// something is written again. PostgreSQL looks after its own.
    pub fn fold(&mut self) -> Result<(), Error> {
        match &mut self.driver {
            Driver::Sqlite(connection) => connection.run_script("PRAGMA wal_checkpoint(TRUNCATE)"),
            Driver::Postgres(_) => Ok(()),
        }
    }

    /// Runs statements that are not part of a transaction, for migrations.
    pub(crate) async fn run_script(&mut self, script: &str) -> Result<(), Error> {
        match &mut self.driver {
            Driver::Sqlite(connection) => connection.run_script(script),
            Driver::Postgres(connection) => connection.run_script(script).await,
        }
    }

    /// Puts this database's words into a migration.
    pub(crate) fn words(&self, migration: &str) -> String {
        let words: [(&str, &str); 5] = match &self.driver {
            Driver::Sqlite(_) => [
                ("{int}", "INTEGER"),
                ("{text}", "TEXT"),
                ("{bytes}", "BLOB"),
                ("{strict}", " STRICT"),
                ("{clustered}", " STRICT, WITHOUT ROWID"),
            ],
            Driver::Postgres(_) => [
                ("{int}", "BIGINT"),
                ("{text}", "TEXT"),
                ("{bytes}", "BYTEA"),
                ("{strict}", ""),
                ("{clustered}", ""),
            ],
        };
        words.iter().fold(migration.to_owned(), |text, (word, name)| text.replace(word, name))
    }

    /// Takes a database-wide lock for migrations, where other programs may migrate too.
    pub(crate) async fn lock_for_migration(&mut self) -> Result<(), Error> {
        match &mut self.driver {
            Driver::Sqlite(_) => Ok(()),
            Driver::Postgres(connection) => {
                connection.run_script("SELECT pg_advisory_lock(7316574)").await
            }
        }
    }

    /// Whether a table of this name exists.
    pub(crate) async fn has_table(&mut self, name: &'static str) -> Result<bool, Error> {
        let sql = match &self.driver {
            Driver::Sqlite(_) => {
                "-- dialect::has_table\n\
                 SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1"
            }
            Driver::Postgres(_) => {
                "-- dialect::has_table\n\
                 SELECT table_name::text FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND table_name = $1::text"
            }
        };
        let mut tx = self.begin().await?;
        let rows = tx.query(sql, &[Value::Word(name)]).await?;
        tx.commit().await?;
        Ok(!rows.is_empty())
    }

    /// Prepares a statement without running it, to see that this database takes it.
    pub async fn check(&mut self, sql: &str) -> Result<(), Error> {
        match &mut self.driver {
            Driver::Sqlite(connection) => connection.check(sql),
            Driver::Postgres(connection) => connection.check(sql).await,
        }
    }
}

/// An open transaction.
pub struct Tx<'w> {
    driver: &'w mut Driver,
    /// A statement failed, or was dropped before its answer was heard.
    failed: bool,
    /// What others know by heart and this transaction changes.
    changed: BTreeSet<Change>,
    /// What the guarded rows held that this transaction writes.
    guarded: BTreeMap<Named, Option<Image>>,
}

impl Tx<'_> {
    /// Runs a change and says how many rows it hit.
    pub async fn execute(&mut self, sql: &'static str, parameters: &[Value]) -> Result<u64, Error> {
        let rows = guarded::all_named(sql, std::iter::once(parameters))?;
        let guarded = self.look_before(rows).await?;
        let failed_before = self.expect_failure();
        refuse_nul(sql, parameters)?;
        let hit = match self.driver {
            Driver::Sqlite(connection) => connection.execute(sql, std::iter::once(parameters)),
            Driver::Postgres(connection) => connection.execute(sql, parameters).await,
        }?;
        if hit > 0 {
            self.hear(sql, std::iter::once(parameters.first()))?;
            self.guarded.extend(guarded);
        }
        self.failed = failed_before;
        Ok(hit)
    }

    /// Runs a change that must hit exactly one row.
    pub async fn execute_one(
        &mut self,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<(), Error> {
        match self.execute(sql, parameters).await? {
            1 => Ok(()),
            hit => Err(Error::broken(format!("{} hit {hit} rows instead of one", name_of(sql)))),
        }
    }

    /// Runs a look-up.
    pub async fn query(
        &mut self,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let failed_before = self.expect_failure();
        refuse_nul(sql, parameters)?;
        refuse_guarded(sql)?;
        let rows = match self.driver {
            Driver::Sqlite(connection) => connection.query(sql, parameters),
            Driver::Postgres(connection) => connection.query(sql, parameters).await,
        }?;
        self.hear(sql, std::iter::once(parameters.first()))?;
        self.failed = failed_before;
        Ok(rows)
    }

    /// Runs one look-up for each set of parameters; the answers come in the same order.
    pub async fn query_each(
        &mut self,
        sql: &'static str,
        sets: &[Vec<Value>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        self.look_up_each(sql, sets, None).await
    }

    /// Like [`Tx::query_each`], and locks what it finds. The sets must be sorted, so that all
    /// transactions lock in one order.
    pub async fn lock_each(
        &mut self,
        sql: &'static str,
        sets: &[Vec<Value>],
        lock: Lock,
    ) -> Result<Vec<Vec<Row>>, Error> {
        self.look_up_each(sql, sets, Some(lock)).await
    }

    async fn look_up_each(
        &mut self,
        sql: &'static str,
        sets: &[Vec<Value>],
        lock: Option<Lock>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        let failed_before = self.expect_failure();
        sets.iter().try_for_each(|parameters| refuse_nul(sql, parameters))?;
        refuse_guarded(sql)?;
        let rows = match self.driver {
            Driver::Sqlite(connection) => connection.query_each(sql, sets),
            Driver::Postgres(connection) => connection.query_each(sql, sets, lock).await,
        }?;
        self.hear(sql, sets.iter().map(|set| set.first()))?;
        self.failed = failed_before;
        Ok(rows)
    }

    /// Runs one change for each set of parameters and says how many rows were hit in all.
    pub async fn execute_each(
        &mut self,
        sql: &'static str,
        sets: &[Vec<Value>],
    ) -> Result<u64, Error> {
        let rows = guarded::all_named(sql, sets.iter().map(Vec::as_slice))?;
        let guarded = self.look_before(rows).await?;
        let failed_before = self.expect_failure();
        sets.iter().try_for_each(|parameters| refuse_nul(sql, parameters))?;
        let hit = match self.driver {
            Driver::Sqlite(connection) => connection.execute(sql, sets.iter().map(Vec::as_slice)),
            Driver::Postgres(connection) => connection.execute_each(sql, sets).await,
        }?;
        self.hear(sql, sets.iter().map(|set| set.first()))?;
        self.guarded.extend(guarded);
        self.failed = failed_before;
        Ok(hit)
    }

    /// Inserts rows; `values` holds them one after the other.
    pub async fn insert(&mut self, insert: &Insert, values: &[Value]) -> Result<Vec<Row>, Error> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let failed_before = self.expect_failure();
        refuse_nul(insert.into, values)?;
        refuse_guarded(insert.into)?;
        if values.len().checked_rem(insert.columns) != Some(0) {
            let (name, count) = (name_of(insert.into), values.len());
            return Err(Error::broken(format!("{name}: {count} values are no whole rows")));
        }
        let rows = match self.driver {
            Driver::Sqlite(connection) => connection.insert(insert, values),
            Driver::Postgres(connection) => connection.insert(insert, values).await,
        }?;
        self.hear(insert.into, values.chunks(insert.columns).map(<[Value]>::first))?;
        self.failed = failed_before;
        Ok(rows)
    }

    /// Tells every node to read everything anew, on behalf of this organization.
    pub fn have_all_read_anew(&mut self, org: [u8; 16]) {
        self.changed.insert(Change { subject: changes::Subject::Erased, id: org });
    }

    /// Makes everything durable. When this fails with [`crate::Kind::Gone`], nobody knows whether
    /// it happened. After a failed statement it undoes everything and fails: PostgreSQL would answer
    /// a COMMIT with a rollback and no error, SQLite would commit what came before.
    pub async fn commit(mut self) -> Result<(), Error> {
        let changed = std::mem::take(&mut self.changed);
        if !self.failed && !changed.is_empty() {
            changes::put(&mut self, changed).await?;
        }
        if self.failed {
            self.rollback().await?;
            return Err(Error::broken("a statement failed, so the transaction was undone"));
        }
        match self.driver {
            Driver::Sqlite(connection) => connection.commit(),
            Driver::Postgres(connection) => connection.commit().await,
        }
    }

    /// What guarded rows hold that a statement is about to write, but for those that were written
    /// before.
    async fn look_before(
        &mut self,
        rows: BTreeSet<Named>,
    ) -> Result<Vec<(Named, Option<Image>)>, Error> {
        let mut before = Vec::new();
        for row in rows {
            if !self.guarded.contains_key(&row) {
                before.push((row, guarded::image(self, row).await?));
            }
        }
        Ok(before)
    }

    /// The guarded rows that were written and not taken yet, and what they held before.
    pub(crate) const fn guarded(&self) -> &BTreeMap<Named, Option<Image>> {
        &self.guarded
    }

    /// The guarded rows that were written since this was last asked, and what they held before.
    pub(crate) fn take_guarded(&mut self) -> BTreeMap<Named, Option<Image>> {
        std::mem::take(&mut self.guarded)
    }

    /// Notes what a statement changed that others know by heart; `rows` are the first values of
    /// each row.
    fn hear<'v>(
        &mut self,
        sql: &str,
        rows: impl Iterator<Item = Option<&'v Value>>,
    ) -> Result<(), Error> {
        let Some(subject) = changes::written(sql) else {
            return Ok(());
        };
        for first in rows {
            self.changed.insert(changes::change(sql, subject, first)?);
        }
        Ok(())
    }

    /// Counts the statement that comes now as failed until its answer is heard, and says whether
    /// one failed before.
    const fn expect_failure(&mut self) -> bool {
        std::mem::replace(&mut self.failed, true)
    }

    /// Undoes everything.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.driver {
            Driver::Sqlite(connection) => connection.rollback(),
            Driver::Postgres(connection) => connection.rollback().await,
        }
    }
}

/// PostgreSQL has no NUL in a TEXT, SQLite has: neither gets one, so that both are the same.
fn refuse_nul(sql: &str, parameters: &[Value]) -> Result<(), Error> {
    if parameters.iter().any(Value::has_nul) {
        return Err(Error::broken(format!("{}: a text holds a NUL", name_of(sql))));
    }
    Ok(())
}

/// What guarded rows hold is read before they are written, which only [`Tx::execute`] and
/// [`Tx::execute_each`] do.
fn refuse_guarded(sql: &str) -> Result<(), Error> {
    match guarded::written(sql) {
        Some(_) => Err(Error::broken(format!("{} writes a guarded table unseen", name_of(sql)))),
        None => Ok(()),
    }
}

pub(crate) fn name_of(sql: &str) -> &str {
    sql.lines().next().unwrap_or(sql).trim_start_matches("-- ")
}
