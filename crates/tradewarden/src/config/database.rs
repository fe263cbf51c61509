//! Where the database is: a file of ours, or an address that may hold a password and is therefore
//! never printed.

use std::fmt;
use std::path::{Path, PathBuf};

use tradewarden_seal::SecretString;
use tradewarden_store::Location;

use crate::files;
use crate::outcome::Failure;

/// Longest database address, in bytes.
const ADDRESS_BYTES_MAX: u64 = 4_096;

/// The database as it is configured.
#[derive(Clone)]
pub(crate) enum Database {
    /// `DATA/tradewarden.db`.
    Sqlite,
    /// An address that stands in the configuration file itself.
    Inline(std::sync::Arc<SecretString>),
    /// An address in a file of its own.
    File(PathBuf),
    /// An address in an environment variable.
    Variable(String),
}

impl Database {
    /// Reads the value of the key `database`; `directory` is where its paths count from.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, Failure> {
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(directory.join(path)));
        }
        if let Some(name) = text.strip_prefix("env:") {
            return Ok(Self::Variable(name.to_owned()));
        }
        match text {
            "sqlite" => Ok(Self::Sqlite),
            address if is_postgres(address) => {
                Ok(Self::Inline(std::sync::Arc::new(SecretString::new(address.to_owned()))))
            }
            _ => Err(Failure::no(
                "database is none of \"sqlite\", \"postgres://...\", \"file:PATH\" and \
                 \"env:NAME\"; use one of these",
            )),
        }
    }

    /// Whether the configuration file itself holds a password.
    pub(crate) fn has_inline_password(&self) -> bool {
        let Self::Inline(address) = self else { return false };
        let rest = address.expose().split_once("://").map_or("", |(_, rest)| rest);
        let user = rest.split('/').next().and_then(|authority| authority.rsplit_once('@'));
        user.is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=")
    }

    /// Whether it is a file of ours.
    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite)
    }

    /// Where the data is, secrets looked up.
    pub(crate) fn location(&self, sqlite_file: PathBuf) -> Result<Location, Failure> {
        let (address, place) = match self {
            Self::Sqlite => return Ok(Location::Sqlite(sqlite_file)),
            Self::Inline(address) => (address.expose().to_owned(), "database".to_owned()),
            Self::File(path) => {
                (files::read_secret(path, ADDRESS_BYTES_MAX)?, path.display().to_string())
            }
            Self::Variable(name) => (variable(name)?, name.clone()),
        };
        let address = address.trim();
        if !is_postgres(address) {
            return Err(Failure::no(format!(
                "{place} holds no address like postgres://USER:PASSWORD@HOST/DATABASE"
            )));
        }
        Ok(Location::Postgres(address.to_owned()))
    }
}

impl fmt::Display for Database {
    /// The value of the key without a secret: an address shows nothing but its kind.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => formatter.write_str("sqlite"),
            Self::Inline(_) => formatter.write_str("postgres://..."),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
            Self::Variable(name) => write!(formatter, "env:{name}"),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

#[expect(clippy::disallowed_methods, reason = "the configuration names this variable itself")]
fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| {
        Failure::no(format!(
            "database names the environment variable {name}, which is not set: set it to the \
             database's address"
        ))
    })
}
