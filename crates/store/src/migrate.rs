//! Migrations: only forward, each in one transaction, the same text for both databases.

use crate::dialect::Writer;
use crate::value::Value;
use crate::{Error, Row};

/// All migrations, oldest first; a released one never changes.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_foundation.sql"),
    include_str!("../migrations/0002_people.sql"),
];

const SET_VERSION: &str = "-- migrate::set_version\n\
    INSERT INTO meta (name, value) VALUES ('schema_version', $1) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const VERSION: &str = "-- migrate::version\n\
    SELECT value FROM meta WHERE name = 'schema_version'";
const META: &str = "-- migrate::meta\n\
    SELECT value FROM meta WHERE name = $1";
const SET_META: &str = "-- migrate::set_meta\n\
    INSERT INTO meta (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(crate) const STATEMENTS: &[&str] = &[SET_VERSION, VERSION, META, SET_META];

/// The version of the schema that this program writes.
pub const VERSION_NOW: usize = MIGRATIONS.len();

/// Brings the schema up to this program's version and says from which version it came. A schema
/// that is newer than this program is refused.
pub async fn migrate(writer: &mut Writer) -> Result<usize, Error> {
    writer.lock_for_migration().await?;
    let found = version(writer).await?;
    if found > VERSION_NOW {
        return Err(Error::broken(format!(
            "the database has schema version {found}, this program knows up to {VERSION_NOW}: \
             use the newer program"
        )));
    }
    for (place, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        let script = writer.words(migration);
        let version = place.saturating_add(1);
        // A crash inside leaves the old version: both databases change schemas transactionally.
        writer.run_script("BEGIN").await?;
        writer.run_script(&script).await?;
        writer
            .run_script(&format!(
                "INSERT INTO meta (name, value) VALUES ('schema_version', '{version}') \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ))
            .await?;
        writer.run_script("COMMIT").await?;
    }
    Ok(found)
}

async fn version(writer: &mut Writer) -> Result<usize, Error> {
    if !writer.has_table("meta").await? {
        return Ok(0);
    }
    let mut tx = writer.begin().await?;
    let rows = tx.query(VERSION, &[]).await?;
    tx.commit().await?;
    let text = rows.into_iter().next().map(|mut row: Row| row.text()).transpose()?;
    text.map_or(Ok(0), |text| {
        text.parse().map_err(|_| Error::broken("the schema version is no number"))
    })
}

/// A named value of the installation.
pub async fn meta(tx: &mut crate::Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    let rows = tx.query(META, &[Value::from(name)]).await?;
    rows.into_iter().next().map(|mut row| row.text()).transpose()
}

/// Sets a named value of the installation.
pub async fn set_meta(tx: &mut crate::Tx<'_>, name: &str, value: &str) -> Result<(), Error> {
    tx.execute_one(SET_META, &[Value::from(name), Value::from(value)]).await
}

/// A named value of the installation, read without a transaction.
pub async fn read_meta(store: &crate::Store, name: &str) -> Result<Option<String>, Error> {
    let row = store.query_one(META, vec![Value::from(name)]).await?;
    row.map(|mut row| row.text()).transpose()
}
