//! The SQLite driver.

use crate::dialect::{Insert, name_of};
use crate::value::{Row, Value};
use crate::{Error, Kind};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags, ToSql};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const STATEMENTS_CACHED: usize = 256;
const READERS: usize = 4;
/// With the retries of a batch this stays below the 3 s after which TradingView gives up.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// The write-ahead log is folded into the database file every so many pages of 4 KiB. A page that was
/// written often in between is folded in once; reading the log after a crash takes some 0.1 s.
const CHECKPOINT_PAGES: i64 = 16_000;
/// Memory for pages, in KiB (negative, as SQLite wants it).
const CACHE_KIB: i64 = -16_384;

pub(crate) struct Connection {
    inner: rusqlite::Connection,
    texts: Texts,
    insert_texts: HashMap<&'static str, String>,
    open: bool,
}

/// Statements in SQLite's spelling, by the address of the common text. To SQLite `$1` is a name,
/// numbered where it first stands; `?1` is the number.
#[derive(Default)]
struct Texts {
    spelled: HashMap<usize, String>,
}

impl Texts {
    fn spell(&mut self, sql: &'static str) -> &str {
        self.spelled.entry(sql.as_ptr().addr()).or_insert_with(|| numbered(sql))
    }
}

fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

impl Connection {
    pub(crate) fn open_writer(path: &Path) -> Result<Self, Error> {
        create_private(path)?;
        let inner = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let pragma = |name: &str, value: &str| {
            inner.pragma_update(None, name, value).map_err(|error| from_sqlite(name, &error))
        };
        pragma("journal_mode", "WAL")?;
        pragma("synchronous", "FULL")?;
        pragma("foreign_keys", "ON")?;
        pragma("temp_store", "MEMORY")?;
        inner
            .pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
            .and_then(|()| inner.pragma_update(None, "cache_size", CACHE_KIB))
            .map_err(|error| from_sqlite("pragma", &error))?;
        Ok(Self { inner, texts: Texts::default(), insert_texts: HashMap::new(), open: false })
    }

    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        if self.open {
            self.rollback()?;
        }
        self.run("BEGIN IMMEDIATE")?;
        self.open = true;
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        self.run("COMMIT")?;
        self.open = false;
        Ok(())
    }

    pub(crate) fn rollback(&mut self) -> Result<(), Error> {
        self.open = false;
        if self.inner.is_autocommit() {
            // SQLite has rolled back by itself, as it does when the disk is full.
            return Ok(());
        }
        self.run("ROLLBACK")
    }

    fn run(&self, sql: &'static str) -> Result<(), Error> {
        let mut statement =
            self.inner.prepare_cached(sql).map_err(|error| from_sqlite(sql, &error))?;
        statement.raw_execute().map_err(|error| from_sqlite(sql, &error))?;
        Ok(())
    }

    pub(crate) fn run_script(&self, script: &str) -> Result<(), Error> {
        self.inner.execute_batch(script).map_err(|error| from_sqlite("script", &error))
    }

    pub(crate) fn check(&self, sql: &str) -> Result<(), Error> {
        self.inner
            .prepare(&numbered(sql))
            .map(|_| ())
            .map_err(|error| from_sqlite(name_of(sql), &error))
    }

    pub(crate) fn execute<'v>(
        &mut self,
        sql: &'static str,
        sets: impl Iterator<Item = &'v [Value]>,
    ) -> Result<u64, Error> {
        let mut statement = prepare(&self.inner, self.texts.spell(sql))?;
        let mut hits = 0_u64;
        for parameters in sets {
            let hit = statement
                .execute(rusqlite::params_from_iter(parameters))
                .map_err(|error| from_sqlite(name_of(sql), &error))?;
            hits = hits.saturating_add(u64::try_from(hit).unwrap_or(u64::MAX));
        }
        Ok(hits)
    }

    pub(crate) fn query(
        &mut self,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<Vec<Row>, Error> {
        query(&self.inner, self.texts.spell(sql), parameters)
    }

    pub(crate) fn query_each(
        &mut self,
        sql: &'static str,
        sets: &[Vec<Value>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let mut statement = prepare(&self.inner, self.texts.spell(sql))?;
        let mut answers = Vec::with_capacity(sets.len());
        for parameters in sets {
            let mut rows = Vec::new();
            read(&mut statement, sql, parameters, &mut rows)?;
            answers.push(rows);
        }
        Ok(answers)
    }

    pub(crate) fn insert(&mut self, insert: &Insert, values: &[Value]) -> Result<Vec<Row>, Error> {
        let text =
            self.insert_texts.entry(insert.into).or_insert_with(|| numbered(&insert.text(1)));
        let mut statement = prepare(&self.inner, text)?;
        let mut rows = Vec::new();
        for row in values.chunks(insert.columns) {
            read(&mut statement, insert.into, row, &mut rows)?;
        }
        Ok(rows)
    }
}

/// Reading connections, each used by one blocking thread at a time.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<(rusqlite::Connection, Texts)>>,
    permits: Arc<tokio::sync::Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            return Err(Error::broken(format!("there is no database at {}", path.display())));
        }
        Ok(Self {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(tokio::sync::Semaphore::new(READERS)),
        })
    }

    pub(crate) async fn query(
        self: &Arc<Self>,
        sql: &'static str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        self.on_a_reader(move |connection, texts| query(connection, texts.spell(sql), &parameters))
            .await
    }

    pub(crate) async fn query_together(
        self: &Arc<Self>,
        lookups: Vec<(&'static str, Vec<Value>)>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        self.on_a_reader(move |connection, texts| {
            let run = |script| {
                connection.execute_batch(script).map_err(|error| from_sqlite("together", &error))
            };
            run("BEGIN")?;
            let mut found = Vec::with_capacity(lookups.len());
            let answer = lookups.iter().try_for_each(|(sql, parameters)| {
                found.push(query(connection, texts.spell(sql), parameters)?);
                Ok(())
            });
            run("COMMIT")?;
            answer.map(|()| found)
        })
        .await
    }

    pub(crate) async fn backup(self: &Arc<Self>, target: PathBuf) -> Result<(), Error> {
        self.on_a_reader(move |connection, _texts| {
            let path = target.to_str().ok_or_else(|| Error::broken("the path is not UTF-8"))?;
            connection
                .execute("VACUUM INTO ?1", [path])
                .map(|_| ())
                .map_err(|error| from_sqlite("backup", &error))
        })
        .await
    }

    async fn on_a_reader<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&rusqlite::Connection, &mut Texts) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::new(Kind::Gone, "the readers are closed"))?;
        let readers = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let taken = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (connection, mut texts) = match taken {
                Some(reader) => reader,
                None => (open(&readers.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?, Texts::default()),
            };
            let answer = work(&connection, &mut texts);
            let mut idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, texts));
            answer
        });
        answer.await.map_err(|_| Error::new(Kind::Gone, "a reader stopped"))?
    }
}

/// The file is its owner's alone; SQLite gives its companions the same permissions. A file that is there
/// is left alone: whoever closes a descriptor of it ends all locks that this process holds on it, and the
/// next other program that closes the database would take its log away from under us.
fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(_) => Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(Error::broken(format!("{} cannot be made: {cause}", path.display()))),
    }
}

fn open(path: &Path, flags: OpenFlags) -> Result<rusqlite::Connection, Error> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)
        .map_err(|error| from_sqlite("open", &error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| from_sqlite("open", &error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Without it SQLite prepares a statement again for every new value that stands beside a
    // partial index.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|error| from_sqlite("open", &error))?;
    Ok(connection)
}

fn query(
    connection: &rusqlite::Connection,
    sql: &str,
    parameters: &[Value],
) -> Result<Vec<Row>, Error> {
    let mut found = Vec::new();
    let mut statement = prepare(connection, sql)?;
    read(&mut statement, sql, parameters, &mut found)?;
    Ok(found)
}

fn prepare<'c>(
    connection: &'c rusqlite::Connection,
    sql: &str,
) -> Result<rusqlite::CachedStatement<'c>, Error> {
    connection.prepare_cached(sql).map_err(|error| from_sqlite(name_of(sql), &error))
}

/// Runs a statement once and adds what it answers to `found`.
fn read(
    statement: &mut rusqlite::Statement<'_>,
    sql: &str,
    parameters: &[Value],
    found: &mut Vec<Row>,
) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| from_sqlite(name_of(sql), &error);
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(parameters)).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column).map_err(failed)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Text(text) => Value::Text(
                    String::from_utf8(text.to_vec())
                        .map_err(|_| Error::broken("a text is not UTF-8"))?,
                ),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                ValueRef::Real(_) => return Err(Error::broken("a column holds a float")),
            });
        }
        found.push(Row::new(values));
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Word(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Id(bytes) => ValueRef::Blob(bytes),
            Self::Hash(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn from_sqlite(what: &str, error: &rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Busy,
        Some(ErrorCode::ConstraintViolation) if is_unique(error) => Kind::Exists,
        Some(ErrorCode::DiskFull) => Kind::Full,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::FileLockingProtocolFailed,
        ) => Kind::Fatal,
        _ => Kind::Broken,
    };
    Error::new(kind, format!("{what}: {error}"))
}

/// Other constraints (NOT NULL, a reference, a type) are mistakes, not rows that exist.
fn is_unique(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi;
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(
            ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID
        )
    )
}
