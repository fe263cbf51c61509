//! `tradewarden ca ...`: who may come to the internal listener.
//!
//! Clients are issued certificates of the private CA in `DATA/tls`. `internal-clients.json` beside it
//! says which, and which of them open nothing any more; the listener reads it in every handshake, so a
//! revocation holds from the next connection on, with or without a database. A certificate that is not
//! in the list was issued by a gateway to itself.
//!
//! Crash story: a certificate stands in the log, then in the list, then its key is written: one that opens
//! anything is in the log, and one that somebody holds is in both. What died in between opens nothing. A revocation stands in the list first and holds; if it did not come into
//! the log, it is told, and repeating it enters it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tradewarden_domain::card_number::holds_card_number;
use tradewarden_domain::code::Code;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_engine::command::{CertificateEvent, CertificateNote, Command};
use tradewarden_seal::certificate::DAY_S;
use tradewarden_seal::{CertificateFacts, SystemRandomness};

use crate::certificates::internal_authority;
use crate::cli::{CaIssue, CaRevoke, CaVerb, Columns, Shape};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data::Data;
use crate::outcome::{Exit, Failure};
use crate::{commands, files};

/// Certificates that are known at one time; those that have ended make room.
const CLIENTS_MAX: usize = 256;
/// Largest list, in bytes.
const LIST_BYTES_MAX: u64 = 256 * 1024;
/// The longest a certificate is issued for, in days.
const DAYS_MAX: u16 = 90;
/// A listener whose clock is behind takes a new certificate as well.
const BACKDATE_S: i64 = 3_600;
/// The trust domain of clients' names while the gateway has no name of its own.
const TRUST_DOMAIN: &str = "tradewarden.internal";

const COLUMNS: Columns = &[
    ("SERIAL", "serial"),
    ("NAME", "name"),
    ("URI", "uri"),
    ("ISSUED AT", "issued_at"),
    ("NOT AFTER", "not_after"),
    ("REVOKED AT", "revoked_at"),
];

/// A certificate that was issued to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InternalClient {
    serial: String,
    name: String,
    uri: String,
    issued_at: Timestamp,
    not_after: Timestamp,
    revoked_at: Option<Timestamp>,
    reason: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    clients: Vec<InternalClient>,
}

/// The list of a data directory.
#[derive(Debug, Clone)]
pub(crate) struct InternalClients {
    path: PathBuf,
}

impl InternalClients {
    /// The one of this directory, which need not be there yet.
    pub(crate) fn at(data: &Data) -> Self {
        Self { path: data.tls().join("internal-clients.json") }
    }

    /// Whether a certificate of the private CA opens the internal listener: the gateway's own does, and
    /// those on the list that were not revoked. A list that is away or cannot be read lets in no other.
    pub(crate) fn admits(&self, der: &[u8]) -> bool {
        let Ok(facts) = CertificateFacts::from_der(der) else { return false };
        if self.own_serial().is_some_and(|own| own == facts.serial) {
            return true;
        }
        match self.read() {
            Ok(list) => list
                .clients
                .iter()
                .any(|client| client.serial == facts.serial && client.revoked_at.is_none()),
            Err(failure) => {
                tracing::error!(%failure, "nobody is let in at the internal listener");
                false
            }
        }
    }

    fn own_serial(&self) -> Option<String> {
        let own = self.path.with_file_name("internal-client.pem");
        let chain = files::read_text_if_there(&own, LIST_BYTES_MAX).ok().flatten()?;
        CertificateFacts::from_pem(&chain).ok().map(|facts| facts.serial)
    }

    fn read(&self) -> Result<List, Failure> {
        let Some(text) = files::read_text_if_there(&self.path, LIST_BYTES_MAX)? else {
            return Ok(List::default());
        };
        serde_json::from_str(&text).map_err(|error| {
            Failure::no(format!(
                "{} cannot be used: {error}; put its backup back",
                self.path.display()
            ))
        })
    }

    fn write(&self, list: &List) -> Result<(), Failure> {
        let text = serde_json::to_string(list)
            .map_err(|error| Failure::unavailable(format!("cannot be written: {error}")))?;
        files::write_private(&self.path, &text)
    }

    /// Holds off every other command that changes the list, as long as the file is open.
    fn lock(&self) -> Result<File, Failure> {
        let path = self.path.with_extension("lock");
        let failed = |cause| files::failed("lock", &path, &cause);
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

/// Does what the verb says.
pub(crate) async fn run(
    config: &Config,
    organization: Option<&str>,
    verb: CaVerb,
    json: bool,
) -> Result<Exit, Failure> {
    let data = Data::at(config);
    if !data.exists() {
        return Err(Failure::not_found(format!(
            "there is no data directory {}: `tradewarden init` makes it, --data names another one",
            config.data.display()
        )));
    }
    files::private_directory(&config.data)?;
    let clients = InternalClients::at(&data);
    match verb {
        CaVerb::Issue(asked) => {
            let made = issue(config, &data, &clients, organization, asked).await?;
            commands::show(&made, Shape::One, json)?;
        }
        CaVerb::List => {
            let list = json!({ "items": clients.read()?.clients, "next": null });
            commands::show(&list, Shape::List(COLUMNS), json)?;
        }
        CaVerb::Revoke(asked) => {
            let revoked = revoke(config, &clients, organization, asked).await?;
            commands::show(&json!(revoked), Shape::One, json)?;
        }
    }
    Ok(Exit::Done)
}

async fn issue(
    config: &Config,
    data: &Data,
    clients: &InternalClients,
    organization: Option<&str>,
    asked: CaIssue,
) -> Result<serde_json::Value, Failure> {
    if !(1..=DAYS_MAX).contains(&asked.days) {
        return Err(Failure::usage(format!("--days must be 1 to {DAYS_MAX}")));
    }
    if !is_name(&asked.name) {
        return Err(Failure::usage(
            "--name must be 1 to 63 small letters, digits, dots and hyphens, beginning with a \
             letter or digit",
        ));
    }
    if holds_card_number(&asked.name) {
        return Err(Failure::usage(format!("--name: {}", Code::TextCardNumber.meaning())));
    }
    let directory = asked.out.unwrap_or_else(|| data.tls());
    let place = |ending: &str| directory.join(format!("client-{}.{ending}", asked.name));
    let (certificate_file, key_file) = (place("pem"), place("key"));
    if let Some(taken) = [&certificate_file, &key_file].into_iter().find(|path| path.exists()) {
        return Err(Failure::usage(format!(
            "{} exists already; move it away, or name another directory with --out",
            taken.display()
        )));
    }
    // Before anything is recorded: what is in the log was delivered.
    if !directory.is_dir() {
        let directory = directory.display();
        return Err(Failure::not_found(format!(
            "there is no directory {directory}: make it, or name another one with --out"
        )));
    }
    let key_place = NewFile::create(&key_file)?;
    let certificate_place = NewFile::create(&certificate_file)?;
    let _alone = clients.lock()?;
    let mut list = clients.read()?;
    let now = SystemClock.now();
    list.clients.retain(|client| client.not_after > now);
    if list.clients.len() >= CLIENTS_MAX {
        return Err(Failure::no(format!(
            "there are {CLIENTS_MAX} certificates that have not ended; issue for fewer days"
        )));
    }
    let mut randomness = SystemRandomness::new();
    let authority = internal_authority(data, now, &mut randomness)?;
    let uri = format!("spiffe://{}/{}", trust_domain(config), asked.name);
    let begin = now.unix_seconds().saturating_sub(BACKDATE_S);
    let end = now.unix_seconds().saturating_add(i64::from(asked.days).saturating_mul(DAY_S));
    let issued = authority
        .issue_client(&asked.name, Some(&uri), begin, end, &mut randomness)
        .map_err(|error| Failure::no(error.to_string()))?;
    let facts = CertificateFacts::from_pem(&issued.chain_pem)
        .map_err(|error| Failure::unavailable(error.to_string()))?;
    let client = InternalClient {
        serial: facts.serial,
        name: asked.name,
        uri,
        issued_at: now,
        not_after: Timestamp::from_unix_micros(end.saturating_mul(1_000_000)),
        revoked_at: None,
        reason: None,
    };
    list.clients.push(client.clone());
    record(config, organization, CertificateEvent::Issued, &client).await?;
    clients.write(&list)?;
    key_place.fill(issued.key_pem.expose())?;
    certificate_place.fill(&issued.chain_pem)?;
    let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok(json!({
        "serial": client.serial, "name": client.name, "uri": client.uri,
        "not_after": client.not_after, "certificate_file": full(&certificate_file),
        "key_file": full(&key_file), "ca_file": full(&data.tls().join("internal-ca.pem")),
    }))
}

async fn revoke(
    config: &Config,
    clients: &InternalClients,
    organization: Option<&str>,
    asked: CaRevoke,
) -> Result<InternalClient, Failure> {
    let _alone = clients.lock()?;
    let mut list = clients.read()?;
    let serial = asked.serial.to_ascii_lowercase();
    let Some(client) = list.clients.iter_mut().find(|client| client.serial == serial) else {
        return Err(Failure::not_found(format!(
            "no certificate {serial} was issued, or it has ended; `tradewarden ca list` has them"
        )));
    };
    if client.revoked_at.is_none() {
        client.revoked_at = Some(SystemClock.now());
        client.reason = asked.reason;
    }
    let revoked = client.clone();
    clients.write(&list)?;
    record(config, organization, CertificateEvent::Revoked, &revoked).await.map_err(|failure| {
        Failure {
            sentence: format!(
                "the certificate is revoked, but that is not in the log ({failure}); repeat the \
                 command"
            ),
            ..failure
        }
    })?;
    Ok(revoked)
}

async fn record(
    config: &Config,
    organization: Option<&str>,
    event: CertificateEvent,
    client: &InternalClient,
) -> Result<(), Failure> {
    let note = CertificateNote {
        event,
        serial: client.serial.clone(),
        name: client.name.clone(),
        not_after: client.not_after,
        reason: client.reason.clone(),
    };
    commands::carry_out(config, organization, Command::CertificateNote(note)).await.map(drop)
}

/// A file of our own that is there already and empty; it goes away again unless it is filled.
struct NewFile<'p> {
    path: &'p Path,
    file: File,
    is_filled: bool,
}

impl<'p> NewFile<'p> {
    fn create(path: &'p Path) -> Result<Self, Failure> {
        Ok(Self { path, file: files::create_private(path)?, is_filled: false })
    }

    fn fill(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|cause| files::failed("write", self.path, &cause))?;
        self.is_filled = true;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_filled {
            // What is left is empty and in nobody's way but that of the next attempt, which says so.
            let _left = std::fs::remove_file(self.path);
        }
    }
}

/// A segment of a SPIFFE path that is a fine file name, too.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'))
        && text.bytes().next().is_some_and(plain)
}

/// The host name of the public origin, if it has one.
fn trust_domain(config: &Config) -> &str {
    let origin = config.public_origin.as_deref().and_then(|text| text.strip_prefix("https://"));
    let host = origin.and_then(|rest| rest.split(':').next());
    host.filter(|host| is_name(host) && host.parse::<std::net::IpAddr>().is_err())
        .unwrap_or(TRUST_DOMAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use tradewarden_seal::LocalAuthority;

    fn der(chain: &str) -> Vec<u8> {
        let body: String = chain.lines().filter(|line| !line.starts_with("-----")).collect();
        tradewarden_seal::base64_decode(&body).unwrap()
    }

    #[test]
    fn who_is_not_on_the_list_or_revoked_is_not_let_in() {
        let scratch = Scratch::new();
        let config = Config { data: scratch.path().join("data"), ..Config::default() };
        let data = Data::at(&config);
        data.create().unwrap();
        let (now, mut randomness) = (SystemClock.now(), SystemRandomness::new());
        let authority = internal_authority(&data, now, &mut randomness).unwrap();
        let clients = InternalClients::at(&data);
        let from = now.unix_seconds();
        let made = |authority: &LocalAuthority| {
            let mut randomness = SystemRandomness::new();
            let made = authority.issue_client("x", None, from, from + DAY_S, &mut randomness);
            der(&made.unwrap().chain_pem)
        };
        let (one, other) = (made(&authority), made(&authority));
        assert!(!clients.admits(&one), "no list, as after a restore without it");
        let mut listed = InternalClient {
            serial: CertificateFacts::from_der(&one).unwrap().serial,
            name: "x".to_owned(),
            uri: String::new(),
            issued_at: now,
            not_after: now,
            revoked_at: None,
            reason: None,
        };
        clients.write(&List { clients: vec![listed.clone()] }).unwrap();
        assert!(clients.admits(&one) && !clients.admits(&other), "one that nobody listed");
        files::write_private(&clients.path, "{").unwrap();
        assert!(!clients.admits(&one), "who cannot read the list lets nobody in");
        listed.revoked_at = Some(now);
        clients.write(&List { clients: vec![listed] }).unwrap();
        assert!(!clients.admits(&one));
        assert!(!clients.admits(b"no certificate"));
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "metrics", "node-2.example", "0"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", ".", "..", "A", "a/b", "a b", "\u{e9}", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
        let at = |origin: &str| {
            let config = Config { public_origin: Some(origin.to_owned()), ..Config::default() };
            trust_domain(&config).to_owned()
        };
        assert_eq!(at("https://trade.example.com:8443"), "trade.example.com");
        assert_eq!(at("https://192.0.2.1"), TRUST_DOMAIN);
        assert_eq!(at("https://[::1]:8443"), TRUST_DOMAIN);
        assert_eq!(trust_domain(&Config::default()), TRUST_DOMAIN);
    }
}
