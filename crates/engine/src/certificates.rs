//! Certificates: what is told, by entries and findings, of those that listeners show and of those that
//! clients of the internal listener were given. The files are somebody else's.

use crate::actor::{Actor, Who};
use crate::book::Book;
use crate::command::error::{CommandError, away, invalid, no, to_value};
use crate::command::{CertificateEvent, CertificateNote};
use crate::effects::Severity;
use crate::{Engine, Shared};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tradewarden_domain::certificate::Ending;
use tradewarden_domain::code::Code;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_store::{Tx, findings};

/// Most characters of a text in a note.
const TEXT_MAX: usize = 256;
/// How long the same fault is not told again.
const UNUSABLE_AGAIN: Duration = Duration::from_hours(24);

/// A certificate that a listener shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The listener's name, for example `public`.
    pub listener: &'static str,
    /// Its serial number, in lower-case hex.
    pub serial: String,
    /// Its pin (RFC 7469).
    pub spki_sha256: String,
    /// Valid from then.
    pub not_before: Timestamp,
    /// Valid until then.
    pub not_after: Timestamp,
}

impl Engine {
    /// A listener shows another certificate than before: an entry `cert.renewed`.
    pub async fn certificate_renewed(&self, shown: &ShownCertificate) -> Result<(), CommandError> {
        let payload = json!({
            "actor": "gateway", "listener": shown.listener, "not_after": shown.not_after,
            "serial": shown.serial, "spki": shown.spki_sha256,
        });
        self.enter_about_installation("cert.renewed", payload).await
    }

    /// Tells people when the end of a certificate is near, once for each step nearer.
    pub async fn watch_certificate(&self, shown: &ShownCertificate) -> Result<(), CommandError> {
        let now = self.now();
        let Some(ending) = Ending::at(shown.not_before, shown.not_after, now) else {
            return Ok(());
        };
        let subject = format!("{} {} {}", shown.listener, shown.serial, ending.text());
        let severity = if ending.is_critical() { Severity::Critical } else { Severity::Warning };
        let left_h = shown.not_after.since(now).as_secs().checked_div(3600).unwrap_or_default();
        let detail = match ending {
            Ending::Over => format!(
                "the certificate of the {} listener has ended: no client that checks it connects",
                shown.listener
            ),
            _ => format!(
                "the certificate of the {} listener ends in {left_h} hours and was not renewed",
                shown.listener
            ),
        };
        self.found_once(shown.not_before, "certificate.ending", severity, subject, detail).await
    }

    /// A new certificate cannot be used, and the old one stays: told once a day.
    pub async fn certificate_unusable(&self, why: &str) -> Result<(), CommandError> {
        let since = self.now().minus(UNUSABLE_AGAIN);
        let (subject, why) = ("certificate".to_owned(), bounded(why));
        let detail = format!("a new certificate cannot be used, the old one stays: {why}");
        self.found_once(since, "certificate.unusable", Severity::Warning, subject, detail).await
    }

    /// Records that a certificate of the internal listener's CA was issued or revoked.
    pub(crate) async fn note_certificate(
        &self,
        note: CertificateNote,
        actor: &Actor,
    ) -> Result<Value, CommandError> {
        if !matches!(actor.who(), Who::Operator) {
            return Err(no(Code::AuthPermission));
        }
        let is_hex = note.serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || !(1..=40).contains(&note.serial.len()) {
            return Err(invalid("serial", &"must be a serial number in lower-case hex"));
        }
        for (field, text) in [("name", Some(&note.name)), ("reason", note.reason.as_ref())] {
            if text.is_some_and(|text| *text != bounded(text)) {
                return Err(invalid(field, &"must be at most 256 printable characters"));
            }
        }
        let event = match note.event {
            CertificateEvent::Issued => "cert.issued",
            CertificateEvent::Revoked => "cert.revoked",
        };
        let mut payload = json!({
            "name": note.name, "not_after": note.not_after, "serial": note.serial,
        });
        if let (Some(reason), Some(fields)) = (&note.reason, payload.as_object_mut()) {
            fields.insert("reason".to_owned(), reason.as_str().into());
        }
        actor.sign(&mut payload);
        self.enter_about_installation(event, payload).await?;
        to_value(&note)
    }

    /// An entry about what belongs to no organization stands with the first one, which was founded
    /// with the installation.
    pub(crate) async fn enter_about_installation(
        &self,
        event: &'static str,
        payload: Value,
    ) -> Result<(), CommandError> {
        let org = self.org_id().ok_or(CommandError::NotFound)?;
        let shared = Arc::clone(&self.parts);
        self.parts
            .note(async move |_: &mut Tx<'_>, book: &mut Book| {
                book.enter(&shared, org, org, event, &payload);
                Ok(())
            })
            .await
    }

    async fn found_once(
        &self,
        since: Timestamp,
        code: &'static str,
        severity: Severity,
        subject: String,
        detail: String,
    ) -> Result<(), CommandError> {
        let org: Id<id::Org> = self.org_id().ok_or(CommandError::NotFound)?;
        let known = findings::was_found(&self.parts.store, org, since, code, &subject).await;
        if known.map_err(|error| away(&error))? {
            return Ok(());
        }
        let shared: Arc<Shared> = Arc::clone(&self.parts);
        self.parts
            .note(async move |_: &mut Tx<'_>, book: &mut Book| {
                book.find(&shared, org, code, severity, subject.clone(), detail.clone());
                Ok(())
            })
            .await
    }
}

/// A text fit to be kept and shown.
fn bounded(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_MAX).collect()
}
