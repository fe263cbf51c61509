//! A fresh PostgreSQL database for one test.
//!
//! A database that cannot be reached fails the test with a sentence. It is never a skip: a suite
//! that passes without its database says nothing.

use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, Error, NoTls};

/// Names the server whose databases are ours to make, as `postgres://user@host:port/database`.
pub const VARIABLE: &str = "TRADEWARDEN_TEST_POSTGRES";

const NOT_SET: &str = "TRADEWARDEN_TEST_POSTGRES is not set: run `cargo xtask test`, or start one \
                       with `cargo xtask postgres`";

/// An empty database that no other test sees.
///
/// Call [`drop_database`](Self::drop_database) when done. A test that panics before leaves its
/// database behind, on a server that `cargo xtask` removes whole.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Make a database on the server that [`VARIABLE`] names.
    ///
    /// # Panics
    ///
    /// When the variable is not set, or the server does not do as it is told.
    pub async fn create() -> Self {
        let server = server();
        let name = unique_name();
        // template0: nobody is ever connected to it, and its locale and encoding are the server's.
        order(&server, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let url = with_database(&server, &name);
        Self { server, name, url }
    }

    /// A copy of it as it is now, which nobody may be connected to.
    ///
    /// # Panics
    ///
    /// When the server does not do as it is told.
    pub async fn copy(&self) -> Self {
        let name = unique_name();
        order(&self.server, &format!("CREATE DATABASE {name} TEMPLATE {}", self.name)).await;
        let url = with_database(&self.server, &name);
        Self { server: self.server.clone(), name, url }
    }

    /// Where to connect to this database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Run statements on it behind the gateway's back.
    ///
    /// # Panics
    ///
    /// When the server does not do as it is told.
    pub async fn execute(&self, statements: &str) {
        order(&self.url, statements).await;
    }

    /// Where the server keeps the files of this database and its write-ahead log, all written down to
    /// this moment.
    ///
    /// # Panics
    ///
    /// When the server does not say it, as to who may not know.
    pub async fn files(&self) -> [PathBuf; 2] {
        order(&self.server, "CHECKPOINT").await;
        let asked = "SELECT current_setting('data_directory'), oid::TEXT FROM pg_database \
                     WHERE datname = current_database()";
        let said = async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
            let row = async move { client.query_one(asked, &[]).await };
            let (row, _end) = tokio::join!(row, connection);
            row
        };
        let row = said.await.expect("the server says where its files are");
        let directory = PathBuf::from(row.get::<_, String>(0));
        [directory.join("base").join(row.get::<_, String>(1)), directory.join("pg_wal")]
    }

    /// Remove the database, whoever is still connected to it.
    ///
    /// # Panics
    ///
    /// When the server does not do as it is told.
    pub async fn drop_database(self) {
        order(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the test runner hands the server over like this")]
#[expect(clippy::panic, reason = "a test without its database must fail, and say why")]
fn server() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{NOT_SET}"))
}

/// Only letters, digits and underscores, so that it needs no quotes in a statement.
///
/// The process and the counter keep tests of one run apart; the time keeps a reused process id
/// from meeting what an earlier run left behind.
#[expect(clippy::disallowed_methods, reason = "a name must be new, not repeatable")]
fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("tradewarden_test_{}_{counter}_{nanos}", process::id())
}

/// The same server, another database; what follows a `?` stays.
fn with_database(server: &str, name: &str) -> String {
    let (address, options) = match server.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (server, String::new()),
    };
    let host = address.find("://").map_or(0, |scheme| scheme + "://".len());
    let (scheme, rest) = address.split_at(host);
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    format!("{scheme}{authority}/{name}{options}")
}

/// Say one statement to the server's own database.
#[expect(clippy::panic, reason = "a test without its database must fail, and say why")]
async fn order(server: &str, statement: &str) {
    if let Err(cause) = say(server, statement).await {
        panic!("`{statement}` on the server of {VARIABLE}: {}", said(&cause));
    }
}

async fn say(server: &str, statement: &str) -> Result<(), Error> {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await?;
    // The connection ends when its client is dropped, so both are driven to their end together.
    let (answer, end) = tokio::join!(execute(client, statement), connection);
    answer.and(end)
}

async fn execute(client: Client, statement: &str) -> Result<(), Error> {
    client.batch_execute(statement).await
}

/// The server's own words, or the machine's: the driver's message is only "db error".
fn said(cause: &Error) -> String {
    match std::error::Error::source(cause) {
        Some(source) => format!("{cause}: {source}"),
        None => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_is_replaced() {
        let cases = [
            ("postgres://postgres@127.0.0.1:5432/postgres", "postgres://postgres@127.0.0.1:5432/x"),
            ("postgres://postgres@127.0.0.1:5432", "postgres://postgres@127.0.0.1:5432/x"),
            ("postgres://a:b@host/db?connect_timeout=3", "postgres://a:b@host/x?connect_timeout=3"),
            ("postgres:///db?host=/run/socket", "postgres:///x?host=/run/socket"),
        ];
        for (server, expected) in cases {
            assert_eq!(with_database(server, "x"), expected);
        }
    }

    #[test]
    fn names_differ() {
        assert_ne!(unique_name(), unique_name());
    }

    #[tokio::test]
    async fn a_database_is_empty_ours_and_gone_afterwards() {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        // Still connected when the database is dropped: that must not stop the drop.
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let use_it = async {
            client.batch_execute("CREATE TABLE t (id BIGINT)").await.unwrap();
            let row = client.query_one("SELECT current_database()", &[]).await.unwrap();
            assert!(url.ends_with(row.get::<_, &str>(0)));
            database.drop_database().await;
        };
        let (end, ()) = tokio::join!(connection, use_it);
        assert!(end.is_err(), "the server ended our connection");
        assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    }
}
