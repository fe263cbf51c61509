//! `tradewarden pins`: the keys that clients of ours may hold us to, signed by the audit log's key, and
//! the same for apps.

use std::time::Duration;

use serde_json::json;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::command::{Command, PinsPublish};
use tradewarden_engine::pins::PublishedPins;

use crate::certificates::TlsFiles;
use crate::cli::{Pins, PinsForm};
use crate::clock::SystemClock;
use crate::config::{Config, PublicPins};
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::{commands, output};

/// Signs and prints the pins.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    asked: Pins,
    json: bool,
) -> Result<Exit, Failure> {
    let data = Data::at(config);
    if !data.exists() {
        return Err(Failure::not_found(format!(
            "there is no data directory {}: `tradewarden init` makes it, --data names another one",
            config.data.display()
        )));
    }
    let now = SystemClock.now();
    let current = TlsFiles::public_as_it_is(config, &data)?.spki_sha256;
    let publish = PinsPublish {
        host: asked.host,
        current,
        backups: asked.backups,
        not_after: now.plus(Duration::from_hours(24).saturating_mul(u32::from(asked.days))),
    };
    let command = Command::PinsPublish(publish);
    let answer = commands::carry_out(config, organization, command).await?;
    if json && asked.form == PinsForm::Json {
        output::print(&answer.to_string())?;
        return Ok(Exit::Done);
    }
    let unreadable = |error: serde_json::Error| {
        Failure::unavailable(format!("the answer is unreadable: {error}"))
    };
    let published: PublishedPins = serde_json::from_value(answer).map_err(unreadable)?;
    let (form, text) = match asked.form {
        PinsForm::Json => ("json", published.note),
        PinsForm::Android => ("android", published.android()),
        PinsForm::Ios => ("ios", published.ios()),
    };
    if json {
        output::print(&json!({ "form": form, "text": text }).to_string())?;
    } else {
        output::print(&text)?;
    }
    Ok(Exit::Done)
}

/// What the configuration publishes, with the key that is shown now; nothing if it names none.
pub(crate) fn configured(
    pins: Option<&PublicPins>,
    tls: &TlsFiles,
    now: Timestamp,
) -> Option<PinsPublish> {
    let PublicPins { host, backups, days } = pins?;
    let current = tls.shown().find(|shown| shown.listener == "public")?.spki_sha256;
    Some(PinsPublish {
        host: host.clone(),
        // Once a backup is in use, the others are what is left.
        backups: backups.iter().filter(|pin| **pin != current).cloned().collect(),
        current,
        not_after: now.plus(Duration::from_hours(24).saturating_mul(u32::from(*days))),
    })
}
