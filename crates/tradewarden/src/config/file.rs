//! The configuration file as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tradewarden_domain::person::Profile;

use super::acme::Acme;
use super::messages::{Alerts, Sms, Smtp};
use super::pins::PublicPins;
use super::{CallsMax, CertificateFiles, Config, Database, LogFormat, LogLevel, PaperMode, Vault};
use crate::files;
use crate::outcome::Failure;

/// Largest configuration file, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// Every key, each absent unless written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "the keys are what people write")]
pub(super) struct File {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    internal_listen: Option<SocketAddr>,
    http_listen: Option<SocketAddr>,
    public_origin: Option<String>,
    database: Option<String>,
    log_origin: Option<String>,
    host_names: Option<Vec<String>>,
    hooks_host: Option<String>,
    hooks_client_ca_file: Option<PathBuf>,
    trusted_proxies: Option<Vec<String>>,
    proxy_protocol: Option<bool>,
    hsts_preload: Option<bool>,
    profile: Option<Profile>,
    require_classes: Option<bool>,
    log: Option<LogFormat>,
    log_level: Option<LogLevel>,
    tls: Option<Tls>,
    acme: Option<Acme>,
    pins: Option<PublicPins>,
    outbound: Outbound,
    smtp: Option<Smtp>,
    sms: Option<Sms>,
    alerts: Option<Alerts>,
    vault: Option<Vault>,
    paper: Paper,
    listener: Listener,
    nodes: Option<u32>,
    live_orders_max: Option<u64>,
    tiers: Tiers,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Outbound {
    tls_1_2_hosts: BTreeSet<String>,
    pins: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tiers {
    free: Tier,
    standard: Tier,
    pro: Tier,
    institutional: Tier,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tier {
    per_s: Option<u32>,
    per_day: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    certificate_file: PathBuf,
    key_file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Paper {
    mode: Option<PaperMode>,
    seed: Option<u64>,
    calls_per_s_max: Option<u32>,
    calls_per_min_max: Option<u32>,
    calls_per_h_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Listener {
    connections_max: Option<usize>,
    connections_per_address_max: Option<usize>,
    header_timeout_ms: Option<u64>,
    drain_ms: Option<u64>,
}

/// Reads the file at `path` over what the configuration holds already.
pub(super) fn apply(path: &Path, config: &mut Config) -> Result<(), Failure> {
    let text = files::read_text(path, BYTES_MAX)?;
    let file: File = toml::from_str(&text).map_err(|error| unreadable(path, &text, &error))?;
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    file.apply(&directory, config)?;
    if config.database.has_inline_password() {
        let metadata =
            std::fs::metadata(path).map_err(|cause| files::failed("look at", path, &cause))?;
        files::closed_to_others(path, metadata.mode()).map_err(|failure| {
            Failure::no(format!(
                "{failure}; or move the database's address to a file of its own and write \
                 database = \"file:PATH\""
            ))
        })?;
    }
    Ok(())
}

/// The parser's sentence, with the key and line that it is about and without any value: one in the
/// wrong place may be a secret.
fn unreadable(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let path = path.display();
    let place = error.span().map_or_else(String::new, |span| place(text, span.start));
    let message = without_value(error.message().trim_end_matches('.'));
    Failure::no(format!(
        "the configuration {path} cannot be used: {place}{message}; `tradewarden config reference` \
         lists every key"
    ))
}

/// The line of this byte, and the key that is written there, if it is one of ours.
fn place(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let number = before.matches('\n').count().saturating_add(1);
    let mut table = "";
    let mut name = "";
    for line in text.lines().take(number).map(str::trim) {
        name = "";
        if let Some(header) = line.strip_prefix('[') {
            table = header.split(']').next().unwrap_or_default().trim_matches('[').trim();
        } else if let Some((key, _)) = line.split_once('=') {
            name = key.trim();
        }
    }
    let is_ours = |table: &str, name: &str| {
        super::keys::keys().any(|key| key.section == table && (name.is_empty() || key.name == name))
    };
    match (table, name) {
        ("", name) if !name.is_empty() && is_ours("", name) => format!("{name} (line {number}): "),
        (table, "") if !table.is_empty() && is_ours(table, "") => {
            format!("{table} (line {number}): ")
        }
        (table, name) if !name.is_empty() && is_ours(table, name) => {
            format!("{table}.{name} (line {number}): ")
        }
        _ => format!("(line {number}) "),
    }
}

/// What was expected, and of which kind what was found is.
fn without_value(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    for begin in ["invalid type: ", "invalid value: ", "unknown variant"] {
        if let Some(rest) = found.strip_prefix(begin) {
            let kind = rest.split(['`', '"']).next().unwrap_or_default().trim_end();
            return format!("{begin}{kind}, expected {expected}");
        }
    }
    message.to_owned()
}

impl File {
    fn apply(self, directory: &Path, config: &mut Config) -> Result<(), Failure> {
        if let Some(database) = self.database {
            config.database = Database::parse(&database, directory)?;
        }
        if let Some(data) = self.data {
            config.data = directory.join(data);
        }
        set(&mut config.listen, self.listen);
        set(&mut config.internal_listen, self.internal_listen);
        set(&mut config.host_names, self.host_names);
        set(&mut config.trusted_proxies, self.trusted_proxies);
        set(&mut config.proxy_protocol, self.proxy_protocol);
        config.hsts_preload = self.hsts_preload;
        set(&mut config.profile, self.profile);
        set(&mut config.require_classes, self.require_classes);
        set(&mut config.log, self.log);
        set(&mut config.log_level, self.log_level);
        set(&mut config.paper.mode, self.paper.mode);
        set(&mut config.paper.seed, self.paper.seed);
        config.paper.calls = CallsMax {
            per_s: self.paper.calls_per_s_max,
            per_min: self.paper.calls_per_min_max,
            per_h: self.paper.calls_per_h_max,
        };
        let limits = &mut config.listener;
        set(&mut limits.connections_max, self.listener.connections_max);
        set(&mut limits.connections_per_address_max, self.listener.connections_per_address_max);
        set(&mut limits.header_timeout_ms, self.listener.header_timeout_ms);
        set(&mut limits.drain_ms, self.listener.drain_ms);
        set(&mut config.nodes, self.nodes);
        set(&mut config.live_orders_max, self.live_orders_max);
        let tiers = &mut config.tiers;
        for (allowance, tier) in [
            (&mut tiers.free, self.tiers.free),
            (&mut tiers.standard, self.tiers.standard),
            (&mut tiers.pro, self.tiers.pro),
            (&mut tiers.institutional, self.tiers.institutional),
        ] {
            set(&mut allowance.per_s, tier.per_s);
            let per_day = tier.per_day.map(|count| Some(count).filter(|count| *count > 0));
            set(&mut allowance.per_day, per_day);
        }
        config.http_listen = self.http_listen;
        config.pins = self.pins;
        config.acme = self.acme.map(|acme| acme.below(directory));
        config.outbound.tls_1_2_hosts = self.outbound.tls_1_2_hosts;
        config.outbound.pins = self.outbound.pins;
        config.smtp = self.smtp.map(|smtp| smtp.below(directory));
        config.sms = self.sms.map(|sms| sms.below(directory));
        config.alerts = self.alerts.map(|alerts| alerts.below(directory));
        set(&mut config.vault, self.vault.map(|vault| vault.below(directory)));
        config.public_origin = self.public_origin;
        config.log_origin = self.log_origin;
        config.hooks_host = self.hooks_host;
        config.hooks_client_ca_file = self.hooks_client_ca_file.map(|path| directory.join(path));
        config.tls = self.tls.map(|tls| CertificateFiles {
            certificate_file: directory.join(tls.certificate_file),
            key_file: directory.join(tls.key_file),
        });
        Ok(())
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
