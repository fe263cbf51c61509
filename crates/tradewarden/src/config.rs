//! Configuration: one TOML file under the command line's options, over defaults that are safe.
//!
//! Order of precedence: command line, file, default. Paths in the file count from the directory of
//! the file. Nothing else is read from the environment than what `database = "env:NAME"` names, and
//! only here. A start that would be insecure is refused with a sentence that says what to do.

mod acme;
mod calls;
mod check;
mod database;
mod file;
mod keys;
mod messages;
mod pins;
mod vault;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tradewarden_domain::person::Profile;
use tradewarden_domain::tier::Tiers;
use tradewarden_engine::CallLimits;
use tradewarden_messenger::Outbound;
use tradewarden_web::peer::TrustedProxies;

pub(crate) use self::acme::{Acme, ChallengeKind};
pub(crate) use self::calls::CallsMax;
pub(crate) use self::database::Database;
pub(crate) use self::keys::{print, print_json, reference};
pub(crate) use self::pins::PublicPins;
pub(crate) use self::vault::{SourceKind, Vault};
use crate::outcome::Failure;

/// Where `serve` keeps its data unless told otherwise.
pub(crate) const DATA_DEFAULT: &str = "tradewarden-data";

/// What the command line says itself; each field that is set wins over the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--listen`.
    pub(crate) listen: Option<SocketAddr>,
    /// `--internal-listen`.
    pub(crate) internal_listen: Option<SocketAddr>,
}

/// The effective configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file that it was read from.
    pub(crate) file: Option<PathBuf>,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The public listener's address.
    pub(crate) listen: SocketAddr,
    /// The internal listener's address.
    pub(crate) internal_listen: SocketAddr,
    /// Where it is answered without TLS, if anywhere: port 80.
    pub(crate) http_listen: Option<SocketAddr>,
    /// `https://HOST[:PORT]` as clients write it; from the listener's address if absent.
    pub(crate) public_origin: Option<String>,
    /// Where orders, signals and the audit log are.
    pub(crate) database: Database,
    /// The name of the audit log, for its first start.
    pub(crate) log_origin: Option<String>,
    /// Certificate files; without them the local CA is used.
    pub(crate) tls: Option<CertificateFiles>,
    /// The authority that issues the certificate by itself.
    pub(crate) acme: Option<Acme>,
    /// Further names for the local CA's certificate.
    pub(crate) host_names: Vec<String>,
    /// The second host name, for webhooks (C5).
    pub(crate) hooks_host: Option<String>,
    /// The CAs under which client certificates shown at that name must be issued, as a PEM file;
    /// without it nobody is asked for one.
    pub(crate) hooks_client_ca_file: Option<PathBuf>,
    /// The proxies whose word about their clients is taken, as written.
    pub(crate) trusted_proxies: Vec<String>,
    /// Whether connections begin with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Whether browsers are told to preload HSTS, if somebody chose.
    pub(crate) hsts_preload: Option<bool>,
    /// How strict the rules for people are.
    pub(crate) profile: Profile,
    /// Whether a password needs characters of four classes.
    pub(crate) require_classes: bool,
    /// What is published of the public certificate's keys, if anything.
    pub(crate) pins: Option<PublicPins>,
    /// How others are spoken to.
    pub(crate) outbound: Outbound,
    /// The mail server; without one no mail is sent.
    pub(crate) smtp: Option<messages::Smtp>,
    /// The provider of text messages; without one none are sent.
    pub(crate) sms: Option<messages::Sms>,
    /// Where alerts go besides mail.
    pub(crate) alerts: Option<messages::Alerts>,
    /// Where the key is that wraps data keys.
    pub(crate) vault: Vault,
    /// The paper broker.
    pub(crate) paper: Paper,
    /// The form of the logs.
    pub(crate) log: LogFormat,
    /// How much is logged.
    pub(crate) log_level: LogLevel,
    /// The public listener's limits.
    pub(crate) listener: Limits,
    /// How many nodes share the limits of callers (C17).
    pub(crate) nodes: u32,
    /// With so many live orders an organization enters nothing more.
    pub(crate) live_orders_max: u64,
    /// What each tier allows, all nodes together.
    pub(crate) tiers: Tiers,
}

/// A certificate chain and its key, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first.
    pub(crate) certificate_file: PathBuf,
    /// Its private key in PEM.
    pub(crate) key_file: PathBuf,
}

/// The paper broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paper {
    /// Where it runs.
    pub(crate) mode: PaperMode,
    /// Where its synthetic prices come from.
    pub(crate) seed: u64,
    /// How much it is called.
    pub(crate) calls: CallsMax,
}

/// Limits of the public listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at one time.
    pub(crate) connections_max: usize,
    /// Connections at one time from one v4 address or v6 /64.
    pub(crate) connections_per_address_max: usize,
    /// How long the head of a request may take.
    pub(crate) header_timeout_ms: u64,
    /// How long requests under way may go on after a stop.
    pub(crate) drain_ms: u64,
}

/// Where the paper broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaperMode {
    /// On a thread of the gateway.
    InProcess,
    /// In a process of its own, behind `DATA/paper.sock`.
    Socket,
}

/// The form of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogLevel {
    /// What needs a person.
    Error,
    /// And what may soon.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// The level for the demo, whose walk should not drown: what is usual is left out.
    pub(crate) const fn at_most_for_demo(self) -> Self {
        match self {
            Self::Info => Self::Warn,
            other => other,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            data: PathBuf::from(DATA_DEFAULT),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443),
            internal_listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8444),
            http_listen: None,
            public_origin: None,
            database: Database::Sqlite,
            log_origin: None,
            tls: None,
            acme: None,
            host_names: Vec::new(),
            hooks_host: None,
            hooks_client_ca_file: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            hsts_preload: None,
            profile: Profile::Standard,
            require_classes: false,
            pins: None,
            outbound: Outbound::default(),
            smtp: None,
            sms: None,
            alerts: None,
            vault: Vault::default(),
            paper: Paper { mode: PaperMode::InProcess, seed: 1, calls: CallsMax::default() },
            log: LogFormat::Text,
            log_level: LogLevel::Info,
            listener: Limits {
                connections_max: 4_096,
                connections_per_address_max: 256,
                header_timeout_ms: 10_000,
                drain_ms: 10_000,
            },
            nodes: 1,
            live_orders_max: 10_000,
            tiers: Tiers::default(),
        }
    }
}

impl Config {
    /// The configuration for these options, read and checked. `data_default` is the data directory
    /// if neither the command line nor the file names one.
    pub(crate) fn load(overrides: &Overrides, data_default: &str) -> Result<Self, Failure> {
        let (file, data) = (overrides.config.clone(), PathBuf::from(data_default));
        let mut config = Self { file, data, ..Self::default() };
        if let Some(path) = &overrides.config {
            file::apply(path, &mut config)?;
        }
        if let Some(data) = &overrides.data {
            config.data.clone_from(data);
        }
        config.listen = overrides.listen.unwrap_or(config.listen);
        config.internal_listen = overrides.internal_listen.unwrap_or(config.internal_listen);
        check::values(&config)?;
        Ok(config)
    }

    /// The same configuration with what its file says now of key sources, and of how others are spoken to.
    pub(crate) fn with_key_sources_now(&self) -> Result<Self, Failure> {
        let overrides = Overrides { config: self.file.clone(), ..Overrides::default() };
        let now = Self::load(&overrides, DATA_DEFAULT)?;
        Ok(Self { vault: now.vault, outbound: now.outbound, ..self.clone() })
    }

    /// Refuses a start that would be insecure. Looks at files, makes none.
    pub(crate) fn refuse_insecure_start(&self) -> Result<(), Failure> {
        check::start(self)
    }

    /// The CAs of senders' client certificates, as PEM, read and checked.
    pub(crate) fn hooks_client_ca(&self) -> Result<Option<String>, Failure> {
        check::client_ca(self)
    }

    /// The trusted proxies; every network in the list was read before.
    pub(crate) fn trusted_proxies(&self) -> Result<TrustedProxies, Failure> {
        TrustedProxies::parse(&self.trusted_proxies).map_err(|error| Failure::no(error.to_string()))
    }

    /// The origin that clients write, once it is known where the public listener is bound.
    pub(crate) fn origin_at(&self, bound: SocketAddr) -> String {
        match &self.public_origin {
            Some(origin) => origin.clone(),
            None if bound.port() == 443 => format!("https://{}", host_of(bound)),
            None => format!("https://{bound}"),
        }
    }

    /// The host that clients write, without its port; an address in brackets keeps them.
    pub(crate) fn public_host(&self) -> Option<&str> {
        let authority = self.public_origin.as_deref()?.strip_prefix("https://")?;
        if authority.starts_with('[') {
            return authority.split_inclusive(']').next();
        }
        authority.split(':').next()
    }

    /// The port that clients write, or that of the listener where nobody said.
    pub(crate) fn public_port(&self) -> u16 {
        let Some(origin) = &self.public_origin else { return self.listen.port() };
        let behind_address = origin.rsplit_once(']').map_or(origin.as_str(), |(_, rest)| rest);
        let port = behind_address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or(443)
    }

    /// The origin of the console's pages: browsers keep passkeys for names, not for addresses (C21).
    pub(crate) fn console_origin(&self, origin: &str) -> String {
        match (&self.public_origin, origin.rsplit_once(':')) {
            (None, Some((_, port))) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("https://localhost:{port}")
            }
            (None, _) => "https://localhost".to_owned(),
            (Some(origin), _) => origin.clone(),
        }
    }

    /// The same for the host name under which senders are asked for a client certificate, at the
    /// port of the main origin; `None` where nobody is asked.
    pub(crate) fn hooks_origin(&self, public_origin: &str) -> Option<String> {
        let (host, _) = self.hooks_host.as_ref().zip(self.hooks_client_ca_file.as_ref())?;
        let authority = public_origin.strip_prefix("https://").unwrap_or(public_origin);
        // The colons inside the brackets are the address's own.
        let behind_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        Some(match behind_address.rsplit_once(':') {
            Some((_, port)) => format!("https://{host}:{port}"),
            None => format!("https://{host}"),
        })
    }

    /// Whether browsers are told to use TLS for all subdomains too, and to be shipped with that
    /// (standards 2.11): unless somebody chose, at every name but this machine's own (C21).
    pub(crate) fn preloads_hsts(&self) -> bool {
        let authority =
            self.public_origin.as_deref().and_then(|text| text.strip_prefix("https://"));
        let host = authority.map(|text| text.rsplit_once(':').map_or(text, |(host, _)| host));
        self.hsts_preload.unwrap_or_else(|| {
            host.is_some_and(|host| {
                let is_local = host == "localhost" || host.ends_with(".localhost");
                let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
                !is_local && !is_address
            })
        })
    }

    /// More origins that callers may sign for: while none is configured, the other names of this
    /// machine.
    pub(crate) fn further_origins(&self, origin: &str) -> Vec<String> {
        if self.public_origin.is_some() {
            return Vec::new();
        }
        let authority = origin.trim_start_matches("https://");
        let port = authority.parse::<SocketAddr>().map(|address| format!(":{}", address.port()));
        let port = port.unwrap_or_default();
        ["localhost", "127.0.0.1", "[::1]"]
            .into_iter()
            .map(|host| format!("https://{host}{port}"))
            .filter(|further| further != origin)
            .collect()
    }

    /// How much this node calls brokers.
    pub(crate) fn call_limits(&self) -> CallLimits {
        let windows = BTreeMap::from([("paper".to_owned(), self.paper.calls.windows())]);
        CallLimits { windows, nodes: self.nodes }
    }

    /// This node's share of what the tiers allow.
    pub(crate) fn tiers_of_this_node(&self) -> Result<Tiers, Failure> {
        self.tiers.shared_by(self.nodes).ok_or_else(|| {
            Failure::no(format!(
                "nodes is {}, and a tier allows less than one request for each: raise per_s and \
                 per_day of every tier to at least the number of nodes",
                self.nodes
            ))
        })
    }
}

fn host_of(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests;
