//! Durable state of Tradewarden: one SQL text, two drivers (SQLite and PostgreSQL).
//!
//! Never here: business decisions, HTTP, brokers. Every value is supplied by the caller; the
//! database makes up no time, no identifier and no default.
//!
//! Invariants
//! - Only `dialect`, `sqlite`, `postgres` and `migrate` know which driver is in use.
//! - Look-ups return `Option`; a change that hits the wrong number of rows is an error.
//! - Every statement is registered in `statements` and prepared on both databases by a test.

pub mod acme_accounts;
pub mod alerts;
pub mod api_keys;
pub mod audit;
pub mod auto_rolls;
pub mod challenges;
pub mod changes;
pub mod closes;
pub mod dead_men;
pub mod dialect;
pub mod directory;
pub mod equities;
pub mod exposures;
pub mod factors;
pub mod findings;
pub mod guarded;
pub mod halt_progress;
pub mod idempotency;
pub mod invitations;
pub mod key_usage;
pub mod keys;
pub mod leases;
pub mod lockdowns;
pub mod losses;
pub mod marks;
pub mod migrate;
pub mod nonces;
pub mod orders;
pub mod outbox;
pub mod overrides;
pub mod pending;
pub mod rates;
pub mod recent;
pub mod sealed;
pub mod sessions;
pub mod signals;
pub mod source_keys;
pub mod statements;
pub mod token_keys;
pub mod users;
pub mod value;
pub mod webhook_secrets;

mod postgres;
mod sqlite;

pub use dialect::{DatabaseFacts, Location, Lock, PostgresFacts, Store, Tx, Writer};
pub use value::{Row, Value};

use std::fmt;

/// What a caller can do about a failed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Another writer was in the way: load again and repeat.
    Busy,
    /// A unique row exists already.
    Exists,
    /// The connection is gone; whether the last commit happened is not known.
    Gone,
    /// The disk is full; nothing was written.
    Full,
    /// Durable data could not be read or written: the process must end (C14).
    Fatal,
    /// The data is not what this version of the program wrote, or the statement is wrong.
    Broken,
}

/// A failed database operation.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Data that this version of the program cannot have written.
    pub fn unreadable(message: impl Into<String>) -> Self {
        Self::new(Kind::Broken, message)
    }

    /// The database is not the one that this process was writing: going on would make it worse.
    pub fn replaced(message: impl Into<String>) -> Self {
        Self::new(Kind::Fatal, message)
    }

    /// A unique row that somebody else has made.
    pub fn taken(message: impl Into<String>) -> Self {
        Self::new(Kind::Exists, message)
    }

    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self::new(Kind::Broken, message)
    }

    /// What to do about it.
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database: {}", self.message)
    }
}

impl std::error::Error for Error {}
