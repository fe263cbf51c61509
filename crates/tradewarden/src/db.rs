//! `tradewarden db`: the schema, a copy that can be put back, and putting it back.

mod restore;

use std::path::Path;

use serde_json::json;
use tradewarden_domain::time::Clock;
use tradewarden_store::{Location, Store, Writer, migrate};

use crate::cli::{DbVerb, Shape};
use crate::clock::SystemClock;
use crate::commands::show;
use crate::config::{Config, SourceKind};
use crate::data::Data;
use crate::outcome::{Exit, Failure};

/// Does what was asked.
pub(crate) async fn run(config: &Config, verb: DbVerb, json: bool) -> Result<Exit, Failure> {
    match verb {
        DbVerb::Migrate => migrate_schema(config, json).await,
        DbVerb::Backup(asked) => backup(config, &asked.out, json).await,
        DbVerb::Restore(asked) => restore::run(config, asked, json).await,
    }
}

async fn migrate_schema(config: &Config, json: bool) -> Result<Exit, Failure> {
    let data = Data::at(config);
    config.refuse_insecure_start()?;
    data.create()?;
    let lock = data.lock_for_gateway()?;
    data.refuse_amid_restore()?;
    let location = config.database.location(data.database())?;
    let mut writer = Writer::open(&location).await?;
    let from = migrate::migrate(&mut writer).await?;
    drop(lock);
    show(&json!({ "from": from, "to": migrate::VERSION_NOW }), Shape::One, json)?;
    Ok(Exit::Done)
}

/// SQLite copies itself while others write; what was committed before is in the copy.
async fn backup(config: &Config, out: &Path, json: bool) -> Result<Exit, Failure> {
    let data = Data::at(config);
    data.refuse_amid_restore()?;
    let location = config.database.location(data.database())?;
    if matches!(location, Location::Postgres(_)) {
        return Err(Failure::usage(
            "a PostgreSQL database is backed up with its own tools: pg_dump --format=custom \
             --file=FILE DATABASE",
        ));
    }
    if !data.database().exists() {
        return Err(Failure::not_found(data.no_database()));
    }
    // Made first and closed to others; SQLite writes its copy into the empty file.
    drop(crate::files::create_private(out)?);
    let store = Store::open(location).await?;
    if let Err(error) = store.backup(out.to_owned()).await {
        let _what_is_there_is_no_backup = std::fs::remove_file(out);
        return Err(error.into());
    }
    crate::files::make_private(out)?;
    // The copy is whole whether that can be noted or not.
    if let Err(failure) = data.note_backup(SystemClock.now()) {
        crate::output::note(&format!("when this copy was made could not be noted: {failure}"));
    }
    let bytes = std::fs::metadata(out).map(|metadata| metadata.len()).unwrap_or_default();
    if config.vault.uses(SourceKind::File) {
        crate::output::note(&format!(
            "keep {} apart from this copy: without that key its sealed values cannot be opened",
            data.root().join("kek").display()
        ));
    }
    show(&json!({ "file": out, "bytes": bytes }), Shape::One, json)?;
    Ok(Exit::Done)
}
