//! `tradewarden limit export|import|check`: limits as a file.

mod file;

pub(crate) use self::file::read;

use serde_json::{Value, json};
use tradewarden_engine::command::{Command, LimitsImport, LimitsVersion, Paging};

use crate::cli::{CHANGES, LimitCheck, LimitExport, LimitFileVerb, LimitImport, Shape};
use crate::commands::{carry_out, show};
use crate::config::Config;
use crate::outcome::{Exit, Failure};
use crate::{files, output};

/// Does what was asked.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    verb: LimitFileVerb,
    json: bool,
) -> Result<Exit, Failure> {
    match verb {
        LimitFileVerb::Export(asked) => export(config, organization, &asked, json).await,
        LimitFileVerb::Import(asked) => import(config, organization, asked, json).await,
        LimitFileVerb::Check(asked) => check(config, organization, &asked, json).await,
    }
}

async fn export(
    config: &Config,
    organization: Option<&str>,
    asked: &LimitExport,
    json: bool,
) -> Result<Exit, Failure> {
    let version = if let Some(version) = asked.version {
        version
    } else {
        let newest = Command::LimitsVersions(Paging { cursor: None, limit: Some(1) });
        let page = carry_out(config, organization, newest).await?;
        page.pointer("/items/0/version").and_then(Value::as_i64).unwrap_or(0)
    };
    let wanted = Command::LimitsShow(LimitsVersion { version });
    let policy = carry_out(config, organization, wanted).await?;
    let text = file::print(&policy)?;
    match &asked.output {
        None if json => show(&policy, Shape::One, json)?,
        None => output::print(&text)?,
        Some(path) => {
            files::write_private(path, &text)?;
            show(&json!({ "file": path, "version": version }), Shape::One, json)?;
        }
    }
    Ok(Exit::Done)
}

async fn import(
    config: &Config,
    organization: Option<&str>,
    asked: LimitImport,
    json: bool,
) -> Result<Exit, Failure> {
    let limits = read(&asked.file)?;
    let wanted = LimitsImport { limits, reason: asked.reason, base_version: None, dry_run: true };
    let seen = carry_out(config, organization, Command::LimitsImport(wanted.clone())).await?;
    if asked.dry_run || !differs(&seen) {
        let mut seen = seen;
        if let Some(said) = seen.get_mut("dry_run") {
            *said = Value::Bool(asked.dry_run);
        }
        return shown(&seen, json).map(|()| Exit::Done);
    }
    if !json {
        show_changes(&seen)?;
    }
    // What was shown is what is done: a change in between is refused.
    let base_version = seen.get("version").and_then(Value::as_i64);
    let wanted = LimitsImport { base_version, dry_run: false, ..wanted };
    let done = carry_out(config, organization, Command::LimitsImport(wanted)).await?;
    if json {
        return show(&done, Shape::One, json).map(|()| Exit::Done);
    }
    let version = done.get("version").cloned().unwrap_or_default();
    output::print(&format!("version {version} is in force"))?;
    Ok(Exit::Done)
}

async fn check(
    config: &Config,
    organization: Option<&str>,
    asked: &LimitCheck,
    json: bool,
) -> Result<Exit, Failure> {
    let limits = read(&asked.file)?;
    let wanted = LimitsImport { limits, reason: None, base_version: None, dry_run: true };
    let seen = carry_out(config, organization, Command::LimitsImport(wanted)).await?;
    shown(&seen, json)?;
    Ok(if differs(&seen) { Exit::No } else { Exit::Done })
}

fn differs(seen: &Value) -> bool {
    seen.get("changes").and_then(Value::as_array).is_some_and(|changes| !changes.is_empty())
}

/// What a file would change.
fn shown(seen: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return show(seen, Shape::One, json);
    }
    if differs(seen) {
        return show_changes(seen);
    }
    let version = seen.get("version").cloned().unwrap_or_default();
    output::print(&format!("version {version} is in force and says the same"))
}

fn show_changes(seen: &Value) -> Result<(), Failure> {
    let changes = json!({ "items": seen.get("changes"), "next": null });
    show(&changes, Shape::List(CHANGES), false)
}
