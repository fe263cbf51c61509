//! The PostgreSQL driver.

use crate::dialect::{Insert, Lock, name_of};
use crate::value::{Row, Value};
use crate::{Error, Kind};
use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Statement};

const READERS: usize = 4;
/// Rows of one insert statement, largest first; a batch is cut into these.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

pub(crate) struct Connection {
    url: String,
    client: Client,
    statements: HashMap<String, Statement>,
    open: bool,
}

impl Connection {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        let client = connect(url).await?;
        let mut connection =
            Self { url: url.to_owned(), client, statements: HashMap::new(), open: false };
        connection.refuse_without_fsync().await?;
        Ok(connection)
    }

    /// A database that does not sync loses what was acknowledged (C16).
    async fn refuse_without_fsync(&mut self) -> Result<(), Error> {
        for setting in ["fsync", "full_page_writes"] {
            let row = self
                .client
                .query_one(&format!("SHOW {setting}"), &[])
                .await
                .map_err(|error| from_postgres("show", &error))?;
            if row.get::<_, String>(0) != "on" {
                return Err(Error::broken(format!(
                    "PostgreSQL runs with {setting} = off and would lose what was acknowledged; \
                     set it to on"
                )));
            }
        }
        Ok(())
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        if self.client.is_closed() {
            *self = Self::open(&self.url).await?;
        }
        match self.begin_here().await {
            // Lost without having been seen. Nothing was done yet, so nothing is done twice.
            Err(error) if error.kind() == Kind::Gone => {
                *self = Self::open(&self.url).await?;
                self.begin_here().await
            }
            begun => begun,
        }
    }

    async fn begin_here(&mut self) -> Result<(), Error> {
        if self.open {
            self.rollback().await?;
        }
        self.run_script("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        self.open = true;
        Ok(())
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.open = false;
        self.run_script("COMMIT").await
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        self.open = false;
        self.run_script("ROLLBACK").await
    }

    pub(crate) async fn run_script(&self, script: &str) -> Result<(), Error> {
        self.client.batch_execute(script).await.map_err(|error| from_postgres("script", &error))
    }

    pub(crate) async fn check(&self, sql: &str) -> Result<(), Error> {
        let prepared = self.client.prepare(sql).await;
        prepared.map(|_| ()).map_err(|error| from_postgres(name_of(sql), &error))
    }

    async fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let prepared = self.client.prepare(sql).await;
        let statement = prepared.map_err(|error| from_postgres(name_of(sql), &error))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(crate) async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Error> {
        let statement = self.statement(sql).await?;
        let hit = self.client.execute(&statement, &as_parameters(parameters)).await;
        hit.map_err(|error| from_postgres(name_of(sql), &error))
    }

    pub(crate) async fn query(
        &mut self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql).await?;
        run_query(&self.client, &statement, sql, parameters).await
    }

    /// All look-ups are on their way before the first answer is awaited.
    pub(crate) async fn query_each(
        &mut self,
        sql: &str,
        sets: &[Vec<Value>],
        lock: Option<Lock>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        let locking = match lock {
            None => sql.to_owned(),
            Some(Lock::Share) => format!("{sql} FOR SHARE"),
            Some(Lock::Update) => format!("{sql} FOR UPDATE"),
        };
        let statement = self.statement(&locking).await?;
        let client = &self.client;
        pipelined(sets.iter().map(|set| run_query(client, &statement, sql, set))).await
    }

    pub(crate) async fn execute_each(
        &mut self,
        sql: &str,
        sets: &[Vec<Value>],
    ) -> Result<u64, Error> {
        let statement = self.statement(sql).await?;
        let (client, statement) = (&self.client, &statement);
        let hits = pipelined(sets.iter().map(|set| async move {
            let hit = client.execute(statement, &as_parameters(set)).await;
            hit.map_err(|error| from_postgres(name_of(sql), &error))
        }))
        .await?;
        Ok(hits.iter().sum())
    }

    pub(crate) async fn insert(
        &mut self,
        insert: &Insert,
        values: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let mut parts = Vec::new();
        let mut rest = values;
        for chunk in CHUNKS {
            while rest.len() >= chunk.saturating_mul(insert.columns) {
                let (now, later) = rest.split_at(chunk.saturating_mul(insert.columns));
                parts.push((self.statement(&insert.text(chunk)).await?, now));
                rest = later;
            }
        }
        let client = &self.client;
        let answers = pipelined(
            parts.iter().map(|(statement, part)| run_query(client, statement, insert.into, part)),
        )
        .await?;
        Ok(answers.into_iter().flatten().collect())
    }
}

/// Reading connections.
pub(crate) struct Readers {
    url: String,
    slots: Vec<tokio::sync::Mutex<Option<Reader>>>,
    next: std::sync::atomic::AtomicUsize,
}

struct Reader {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Readers {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        let first = Reader { client: connect(url).await?, statements: HashMap::new() };
        let mut slots = vec![tokio::sync::Mutex::new(Some(first))];
        slots.resize_with(READERS, || tokio::sync::Mutex::new(None));
        Ok(Self { url: url.to_owned(), slots, next: std::sync::atomic::AtomicUsize::new(0) })
    }

    pub(crate) async fn query(
        &self,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<Vec<Row>, Error> {
        let mut slot = self.slot()?.lock().await;
        let reader = match slot.take() {
            Some(reader) if !reader.client.is_closed() => slot.insert(reader),
            _ => slot.insert(Reader::connect(&self.url).await?),
        };
        reader.query(sql, parameters).await
    }

    pub(crate) async fn query_together(
        &self,
        lookups: &[(&'static str, Vec<Value>)],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let mut slot = self.slot()?.lock().await;
        // It comes back when its transaction is over; one that nobody waited for ends with its connection.
        let mut reader = match slot.take() {
            Some(reader) if !reader.client.is_closed() => reader,
            _ => Reader::connect(&self.url).await?,
        };
        reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut found = Vec::with_capacity(lookups.len());
        for (sql, parameters) in lookups {
            found.push(reader.query(sql, parameters).await?);
        }
        reader.run("COMMIT").await?;
        let _before = slot.insert(reader);
        Ok(found)
    }

    fn slot(&self) -> Result<&tokio::sync::Mutex<Option<Reader>>, Error> {
        let turn = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let slot = self.slots.get(turn.checked_rem(READERS).unwrap_or(0));
        slot.ok_or_else(|| Error::new(Kind::Gone, "no reader"))
    }
}

impl Reader {
    async fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self { client: connect(url).await?, statements: HashMap::new() })
    }

    async fn run(&self, script: &str) -> Result<(), Error> {
        self.client.batch_execute(script).await.map_err(|error| from_postgres("script", &error))
    }

    async fn query(&mut self, sql: &'static str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
        let statement = if let Some(statement) = self.statements.get(sql) {
            statement.clone()
        } else {
            let prepared = self.client.prepare(sql).await;
            let statement = prepared.map_err(|error| from_postgres(name_of(sql), &error))?;
            self.statements.insert(sql, statement.clone());
            statement
        };
        run_query(&self.client, &statement, sql, parameters).await
    }
}

async fn connect(url: &str) -> Result<Client, Error> {
    let config: tokio_postgres::Config =
        url.parse().map_err(|error| from_postgres("the database address", &error))?;
    refuse_remote_without_tls(&config)?;
    let (client, connection) =
        config.connect(NoTls).await.map_err(|error| from_postgres("connect", &error))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver's own task: it ends by itself when its client is dropped"
    )]
    let _driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = %error, "the connection to PostgreSQL ended");
        }
    });
    client
        .batch_execute(
            "SET client_min_messages = warning; SET statement_timeout = '30s'; \
             SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s'; \
             SET synchronous_commit = on",
        )
        .await
        .map_err(|error| from_postgres("connect", &error))?;
    Ok(client)
}

fn refuse_remote_without_tls(config: &tokio_postgres::Config) -> Result<(), Error> {
    use tokio_postgres::config::Host;
    let local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    });
    if local {
        return Ok(());
    }
    Err(Error::broken(
        "PostgreSQL on another machine needs TLS, which this version does not speak to it: use a \
         local socket, or a TLS tunnel that ends on this machine",
    ))
}

async fn run_query(
    client: &Client,
    statement: &Statement,
    sql: &str,
    parameters: &[Value],
) -> Result<Vec<Row>, Error> {
    let rows = client.query(statement, &as_parameters(parameters)).await;
    let rows = rows.map_err(|error| from_postgres(name_of(sql), &error))?;
    rows.iter().map(|row| decode(row, sql)).collect()
}

fn decode(row: &tokio_postgres::Row, sql: &str) -> Result<Row, Error> {
    let failed = |error: tokio_postgres::Error| from_postgres(name_of(sql), &error);
    let mut values = Vec::with_capacity(row.len());
    for (place, column) in row.columns().iter().enumerate() {
        values.push(match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(place).map_err(failed)?.map(Value::Int),
            Type::TEXT => row.try_get::<_, Option<String>>(place).map_err(failed)?.map(Value::Text),
            Type::BYTEA => {
                row.try_get::<_, Option<Vec<u8>>>(place).map_err(failed)?.map(Value::Bytes)
            }
            ref other => {
                return Err(Error::broken(format!("{}: column type {other}", name_of(sql))));
            }
        });
    }
    Ok(Row::new(values.into_iter().map(|value| value.unwrap_or(Value::Null)).collect()))
}

fn as_parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect()
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(kind, out),
            Self::Text(text) => text.as_str().to_sql(kind, out),
            Self::Word(text) => text.to_sql(kind, out),
            Self::Bytes(_) | Self::Id(_) | Self::Hash(_) => {
                self.bytes().unwrap_or_default().to_sql(kind, out)
            }
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

/// Polls all futures together, so that their requests leave in order before the first answer is
/// awaited; the answers come in the same order.
async fn pipelined<T, F: Future<Output = Result<T, Error>>>(
    futures: impl Iterator<Item = F>,
) -> Result<Vec<T>, Error> {
    let mut waiting: Vec<(Pin<Box<F>>, Option<T>)> =
        futures.map(|future| (Box::pin(future), None)).collect();
    let all = std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, answer) in &mut waiting {
            if answer.is_some() {
                continue;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => *answer = Some(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(Ok(())) }
    });
    pin!(all).await?;
    Ok(waiting.into_iter().filter_map(|(_, answer)| answer).collect())
}

fn from_postgres(what: &str, error: &tokio_postgres::Error) -> Error {
    let code = error.code().map(tokio_postgres::error::SqlState::code);
    let kind = match code {
        Some("40001" | "40P01" | "55P03" | "57014") => Kind::Busy,
        Some("23505") => Kind::Exists,
        Some("53100") => Kind::Full,
        Some("58030" | "XX001" | "XX002") => Kind::Fatal,
        Some("57P01" | "57P02" | "57P03" | "08000" | "08003" | "08006") => Kind::Gone,
        None if error.is_closed()
            || error
                .source()
                .is_some_and(<dyn std::error::Error + 'static>::is::<std::io::Error>) =>
        {
            Kind::Gone
        }
        Some(_) | None => Kind::Broken,
    };
    // The server's DETAIL repeats values (a webhook's token, for one): only its message is kept.
    let message = match error.as_db_error() {
        Some(server) => format!("{} ({})", server.message(), server.code().code()),
        None => error.to_string(),
    };
    Error::new(kind, format!("{what}: {message}"))
}
