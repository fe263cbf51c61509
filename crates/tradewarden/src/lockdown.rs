//! `lockdown bundle`: what whoever finds out what happened is handed, in a file.

use std::io::Write as _;

use serde_json::{Value, json};
use tradewarden_engine::command::Command;

use crate::cli::{LockdownBundle, Shape};
use crate::config::Config;
use crate::outcome::{Exit, Failure};
use crate::{commands, files};

/// Writes the bundle to a file that only its owner can read.
pub(crate) async fn bundle(
    config: &Config,
    organization: Option<&str>,
    asked: &LockdownBundle,
    json: bool,
) -> Result<Exit, Failure> {
    let bundle = commands::carry_out(config, organization, Command::LockdownBundle).await?;
    let failed = |cause| files::failed("write", &asked.out, &cause);
    let mut file = files::create_private(&asked.out)?;
    file.write_all(format!("{bundle}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let count = |name: &str| bundle.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    let written = json!({
        "file": asked.out, "entries": count("entries"), "findings": count("findings"),
        "sessions": count("sessions"), "keys": count("keys"),
    });
    commands::show(&written, Shape::One, json)?;
    Ok(Exit::Done)
}
