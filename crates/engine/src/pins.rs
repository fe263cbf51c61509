//! Pins of the public certificate's keys, published as a text that the audit log's key signs.

use crate::Engine;
use crate::actor::{Actor, Who};
use crate::command::PinsPublish;
use crate::command::error::{CommandError, invalid, no, to_value};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinsDocument {
    /// Whose keys they are.
    pub host: String,
    /// Until when they may be believed.
    pub not_after: Timestamp,
    /// The pins, that of the key in use first.
    pub pins: Vec<Pin>,
}

/// The SHA-256 of a public key in base64 (RFC 7469 section 2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The hash.
    pub sha256: String,
    /// What the key is for.
    #[serde(rename = "use")]
    pub usage: PinUse,
}

/// What a pinned key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinUse {
    /// The certificate that is shown has it.
    Current,
    /// No certificate has it yet; it is kept elsewhere.
    Backup,
}

/// Pins that were signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPins {
    /// What was signed.
    pub document: PinsDocument,
    /// The same as a signed note (C2SP signed-note), whose text is the document in one line.
    pub note: String,
    /// The key of the audit log, which signed it, as C2SP writes it. Whoever checks the note has it
    /// from elsewhere.
    pub verifier_key: String,
}

impl PublishedPins {
    /// `res/xml/network_security_config.xml` of an Android app.
    pub fn android(&self) -> String {
        // Host names and base64 hold nothing that XML would read.
        let PinsDocument { host, not_after, pins } = &self.document;
        let mut lines = String::new();
        for Pin { sha256, .. } in pins {
            // Writing to a string cannot fail.
            let _written = writeln!(lines, "            <pin digest=\"SHA-256\">{sha256}</pin>");
        }
        let until = not_after.to_string();
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<network-security-config>\n    \
             <domain-config>\n        <domain includeSubdomains=\"false\">{host}</domain>\n        \
             <pin-set expiration=\"{until}\">\n{lines}        </pin-set>\n    </domain-config>\n\
             </network-security-config>\n",
            until = until.split('T').next().unwrap_or_default(),
        )
    }

    /// What goes into the `dict` of an iOS app's `Info.plist`.
    pub fn ios(&self) -> String {
        let mut lines = String::new();
        for Pin { sha256, .. } in &self.document.pins {
            let _written = writeln!(
                lines,
                "                <dict>\n                    <key>SPKI-SHA256-BASE64</key>\n                    \
                 <string>{sha256}</string>\n                </dict>"
            );
        }
        format!(
            "<key>NSAppTransportSecurity</key>\n<dict>\n    <key>NSPinnedDomains</key>\n    <dict>\n        \
             <key>{host}</key>\n        <dict>\n            <key>NSPinnedLeafIdentities</key>\n            \
             <array>\n{lines}            </array>\n        </dict>\n    </dict>\n</dict>\n",
            host = self.document.host,
        )
    }

    /// Whether it is time for others: the key in use is another one, or half of their life is over.
    fn is_stale(&self, asked: &PinsPublish, now: Timestamp) -> bool {
        let current = self.document.pins.first().map(|pin| pin.sha256.as_str());
        let left = self.document.not_after.since(now).saturating_mul(2);
        current != Some(asked.current.as_str()) || left < asked.not_after.since(now)
    }
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
        let published = self.sign_pins(&asked)?;
        let mut payload = json!({ "document": published.document });
        actor.sign(&mut payload);
        self.enter_about_installation("pins.published", payload).await?;
        to_value(&published)
    }

    /// Shows the pins that the configuration names, signed anew if it is time, with an entry
    /// `pins.published`.
    pub async fn show_pins(&self, asked: &PinsPublish) -> Result<(), CommandError> {
        if self.pins().is_some_and(|shown| !shown.is_stale(asked, self.now())) {
            return Ok(());
        }
        let published = self.sign_pins(asked)?;
        let payload = json!({ "document": published.document });
        self.enter_about_installation("pins.published", payload).await?;
        self.parts.pins.store(Some(Arc::new(published)));
        Ok(())
    }

    /// The pins that are shown to everybody, if the configuration names any.
    pub fn pins(&self) -> Option<Arc<PublishedPins>> {
        self.parts.pins.load_full()
    }

    fn sign_pins(&self, asked: &PinsPublish) -> Result<PublishedPins, CommandError> {
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
        let uses = std::iter::once(PinUse::Current).chain(std::iter::repeat(PinUse::Backup));
        let pins = all.into_iter().zip(uses);
        let pins = pins.map(|(sha256, usage)| Pin { sha256: sha256.clone(), usage }).collect();
        let host = asked.host.clone();
        let document = PinsDocument { host, not_after: asked.not_after, pins };
        let mut text = to_value(&document)?.to_string();
        text.push('\n');
        let unsigned = |_| CommandError::Unavailable { detail: "it cannot be signed".to_owned() };
        let note = sign_note(&text, &self.parts.ledger_key).map_err(unsigned)?;
        let verifier_key = self.parts.ledger_key.verifier().to_string();
        Ok(PublishedPins { document, note, verifier_key })
    }
}
