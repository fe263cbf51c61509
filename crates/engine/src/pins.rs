//! Pins of the public certificate's keys, published as a text that the audit log's key signs.

use crate::Engine;
use crate::actor::{Actor, Who};
use crate::administer::{invalid, to_value};
use crate::command::{CommandError, PinsPublish};
use crate::people::no;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{base64_decode, sign_note};

/// Most pins that are published.
const PINS_MAX: usize = 8;
/// The longest that they may be believed.
const LIFE_MAX: Duration = Duration::from_hours(24 * 366);

/// What is signed. It is one line of JSON, so it can never be taken for a checkpoint, whose first line
/// is the log's name.
#[derive(Debug, Serialize)]
struct Document<'a> {
    host: &'a str,
    not_after: Timestamp,
    pins: Vec<Pin<'a>>,
}

#[derive(Debug, Serialize)]
struct Pin<'a> {
    sha256: &'a str,
    #[serde(rename = "use")]
    usage: &'static str,
}

impl Engine {
    /// Signs the pins of a host, with an entry `pins.published`.
    pub(crate) async fn publish_pins(
        &self,
        asked: PinsPublish,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if !matches!(actor.who(), Who::Operator) {
            return Err(no(Code::AuthPermission));
        }
        let now = self.now();
        if asked.not_after <= now || asked.not_after.since(now) > LIFE_MAX {
            return Err(invalid("not_after", &"must be within the next 366 days"));
        }
        let all: Vec<&String> = std::iter::once(&asked.current).chain(&asked.backups).collect();
        let is_pin = |pin: &str| base64_decode(pin).is_ok_and(|bytes| bytes.len() == 32);
        if !all.iter().all(|pin| is_pin(pin)) {
            return Err(invalid("backups", &"must be SHA-256 of public keys in base64"));
        }
        let several: BTreeSet<_> = all.iter().collect();
        if several.len() < 2 || several.len() != all.len() || all.len() > PINS_MAX {
            return Err(invalid("backups", &"must name 1 to 7 keys other than the current one"));
        }
        let is_host = (1..=253).contains(&asked.host.len())
            && asked.host.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            });
        if !is_host {
            return Err(invalid("host", &"must be a host name in lower case"));
        }
        let pins = all.iter().zip(std::iter::once("current").chain(std::iter::repeat("backup")));
        let pins = pins.map(|(sha256, usage)| Pin { sha256: sha256.as_str(), usage }).collect();
        let document = Document { host: &asked.host, not_after: asked.not_after, pins };
        let mut text = to_value(&document)?.to_string();
        let document = to_value(&document)?;
        text.push('\n');
        let unsigned = |_| CommandError::Unavailable { detail: "it cannot be signed".to_owned() };
        let note = sign_note(&text, &self.parts.ledger_key).map_err(unsigned)?;
        let mut payload = json!({ "document": document });
        actor.sign(&mut payload);
        self.enter_about_installation("pins.published", payload).await?;
        let verifier_key = self.parts.ledger_key.verifier().to_string();
        Ok(json!({ "document": document, "note": note, "verifier_key": verifier_key }))
    }
}
