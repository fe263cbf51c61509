//! `tradewarden pins`: the keys that clients of ours may hold us to, signed by the audit log's key, and
//! the same for apps.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tradewarden_domain::time::Clock;
use tradewarden_engine::command::{Command, PinsPublish};
use tradewarden_seal::SystemRandomness;

use crate::certificates::TlsFiles;
use crate::cli::{Pins, PinsForm};
use crate::clock::SystemClock;
use crate::config::Config;
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
    let tls = TlsFiles::prepare(config, &data, now, &mut SystemRandomness::new())?;
    let shown = tls.shown().find(|shown| shown.listener == "public");
    let current = shown.ok_or_else(|| Failure::no("the certificate cannot be read"))?.spki_sha256;
    let publish = PinsPublish {
        host: asked.host,
        current,
        backups: asked.backups,
        not_after: now.plus(Duration::from_hours(24).saturating_mul(u32::from(asked.days))),
    };
    let command = Command::PinsPublish(publish);
    let answer = commands::carry_out(config, organization, command).await?;
    if json {
        output::print(&answer.to_string())?;
        return Ok(Exit::Done);
    }
    let document = answer.get("document").unwrap_or(&Value::Null);
    output::print(&match asked.form {
        PinsForm::Json => text(&answer, "note").to_owned(),
        PinsForm::Android => android(document),
        PinsForm::Ios => ios(document),
    })?;
    Ok(Exit::Done)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn pins(document: &Value) -> impl Iterator<Item = &str> {
    let pins = document.get("pins").and_then(Value::as_array);
    pins.into_iter().flatten().map(|pin| text(pin, "sha256"))
}

/// `res/xml/network_security_config.xml`.
fn android(document: &Value) -> String {
    // Host names and base64 hold nothing that XML would read.
    let mut lines = String::new();
    for pin in pins(document) {
        // Writing to a string cannot fail.
        let _written = writeln!(lines, "            <pin digest=\"SHA-256\">{pin}</pin>");
    }
    let until = text(document, "not_after").split('T').next().unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<network-security-config>\n    \
         <domain-config>\n        <domain includeSubdomains=\"false\">{host}</domain>\n        \
         <pin-set expiration=\"{until}\">\n{lines}        </pin-set>\n    </domain-config>\n\
         </network-security-config>\n",
        host = text(document, "host")
    )
}

/// What goes into the `dict` of an app's `Info.plist`.
fn ios(document: &Value) -> String {
    let mut lines = String::new();
    for pin in pins(document) {
        let _written = writeln!(
            lines,
            "                <dict>\n                    <key>SPKI-SHA256-BASE64</key>\n                    \
             <string>{pin}</string>\n                </dict>"
        );
    }
    format!(
        "<key>NSAppTransportSecurity</key>\n<dict>\n    <key>NSPinnedDomains</key>\n    <dict>\n        \
         <key>{host}</key>\n        <dict>\n            <key>NSPinnedLeafIdentities</key>\n            \
         <array>\n{lines}            </array>\n        </dict>\n    </dict>\n</dict>\n",
        host = text(document, "host")
    )
}
