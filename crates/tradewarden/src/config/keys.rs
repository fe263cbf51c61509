//! The table of keys: what `config print` and `config reference` are made from. A test holds it
//! against the keys that the file takes.

mod transport;
mod vault;

use std::fmt::Write as _;
use std::path::Path;

use super::messages::SmsProvider;
use super::{Config, LogFormat, LogLevel, PaperMode};
use crate::outcome::Failure;

/// One key.
pub(super) struct Key {
    /// Its table, empty at the top.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What its value is.
    kind: &'static str,
    /// What it means, in a sentence or two.
    meaning: &'static str,
    /// Its value as TOML; `None` while it is not set.
    shown: fn(&Config) -> Option<String>,
}

/// Every key, in the order in which it is printed: those without a table first.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    TOP.iter().chain(transport::KEYS).chain(vault::KEYS).chain(FURTHER)
}

/// Those without a table.
const TOP: &[Key] = &[
    Key {
        section: "",
        name: "data",
        kind: "path",
        meaning: "The data directory: database, keys, certificates, sockets. Made with mode 0700; \
                  one that others can use is refused. `demo` uses `tradewarden-demo` if nothing \
                  is said.",
        shown: |config| Some(path(&config.data)),
    },
    Key {
        section: "",
        name: "listen",
        kind: "address:port",
        meaning: "The public listener. Port 0 takes any free port. An address that other machines \
                  reach needs certificate files and `public_origin`.",
        shown: |config| Some(text(&config.listen)),
    },
    Key {
        section: "",
        name: "internal_listen",
        kind: "address:port",
        meaning: "The internal listener: `/livez`, `/readyz`, `/metrics`. It takes only clients \
                  with a certificate of the private CA in `DATA/tls`.",
        shown: |config| Some(text(&config.internal_listen)),
    },
    Key {
        section: "",
        name: "http_listen",
        kind: "address:port",
        meaning: "Where it is answered without TLS, if anywhere: port 80. Answers to challenges of \
                  `[acme]`, and a redirect to `public_origin` for browsers; programs are refused.",
        shown: |config| config.http_listen.as_ref().map(text),
    },
    Key {
        section: "",
        name: "public_origin",
        kind: "https://HOST[:PORT]",
        meaning: "What clients write before the path. If not set: the listener's address.",
        shown: |config| config.public_origin.as_ref().map(text),
    },
    Key {
        section: "",
        name: "database",
        kind: "sqlite, postgres://..., file:PATH or env:NAME",
        meaning: "`sqlite` is the file `DATA/tradewarden.db`. A PostgreSQL address may hold a \
                  password: then the configuration must be closed to others, or the address \
                  stands in a file of its own or in an environment variable.",
        shown: |config| Some(text(&config.database)),
    },
    Key {
        section: "",
        name: "log_origin",
        kind: "text",
        meaning: "The name of the audit log, for example `trade.example.com/audit`. It counts at \
                  the very first start and cannot change later. If not set: a random name.",
        shown: |config| config.log_origin.as_ref().map(text),
    },
    Key {
        section: "",
        name: "host_names",
        kind: "list of names and addresses",
        meaning: "More names for the local CA's certificate, besides localhost, 127.0.0.1 and \
                  ::1. Without effect when certificate files are set.",
        shown: |config| Some(list(&config.host_names)),
    },
    Key {
        section: "",
        name: "hooks_host",
        kind: "host name",
        meaning: "A second host name on the public listener, for webhooks: only there senders are \
                  asked for a TLS client certificate, if `hooks_client_ca_file` is set. The \
                  gateway's own certificate must cover this name too.",
        shown: |config| config.hooks_host.as_ref().map(text),
    },
    Key {
        section: "",
        name: "hooks_client_ca_file",
        kind: "path",
        meaning: "The CAs, as PEM, under which client certificates shown at `hooks_host` must be \
                  issued; read at the start. A certificate that is not, is expired or is not for \
                  client authentication counts as not shown: the connection goes on, and \
                  webhooks that require one refuse. If not set: nobody is asked for a \
                  certificate, and no webhook can require one.",
        shown: |config| config.hooks_client_ca_file.as_deref().map(path),
    },
    Key {
        section: "",
        name: "trusted_proxies",
        kind: "list of addresses and networks",
        meaning: "Proxies whose `X-Forwarded-For` and `Forwarded` are believed. A network that \
                  covers every address is refused.",
        shown: |config| Some(list(&config.trusted_proxies)),
    },
    Key {
        section: "",
        name: "proxy_protocol",
        kind: "true or false",
        meaning: "Every public connection must come from a trusted proxy and begin with a PROXY \
                  header, version 1 or 2.",
        shown: |config| Some(config.proxy_protocol.to_string()),
    },
    Key {
        section: "",
        name: "hsts_preload",
        kind: "true or false",
        meaning: "Whether Strict-Transport-Security has `includeSubDomains` and `preload`, which \
                  wants TLS of every subdomain. If not set: true where `public_origin` is a host \
                  name other than `localhost`, false at an address.",
        shown: |config| Some(config.preloads_hsts().to_string()),
    },
    Key {
        section: "",
        name: "profile",
        kind: "standard or hardened",
        meaning: "How strict the rules for people are: the length of passwords, how long tokens and \
                  sessions last, and what a second factor is needed for. `hardened` wants a passkey \
                  for everything.",
        shown: |config| Some(text(&config.profile)),
    },
    Key {
        section: "",
        name: "require_classes",
        kind: "true or false",
        meaning: "Whether a password needs letters in both cases, a digit and another character. NIST \
                  forbids such rules; some houses must have them.",
        shown: |config| Some(config.require_classes.to_string()),
    },
    Key {
        section: "",
        name: "log",
        kind: "text or json",
        meaning: "The form of the logs on standard error.",
        shown: |config| Some(text(&word_of_log(config.log))),
    },
    Key {
        section: "",
        name: "log_level",
        kind: "error, warn, info, debug or trace",
        meaning: "How much is logged.",
        shown: |config| Some(text(&word_of_level(config.log_level))),
    },
    Key {
        section: "",
        name: "nodes",
        kind: "1 or more",
        meaning: "How many gateways share one database: each takes its share of every caller's \
                  limits, so that all together keep them.",
        shown: |config| Some(config.nodes.to_string()),
    },
    Key {
        section: "",
        name: "live_orders_max",
        kind: "1 to 50000",
        meaning: "With so many live orders an organization enters nothing more, until there are \
                  fewer: `risk.max_open_orders`. Exits and cancels pass. Counted once a second.",
        shown: |config| Some(config.live_orders_max.to_string()),
    },
];

/// Those of who carries messages, and of the parts of the gateway.
const FURTHER: &[Key] = &[
    Key {
        section: "smtp",
        name: "host",
        kind: "host name",
        meaning: "The mail server that takes the gateway's mails, as its certificate names it. \
                  Without this table no mail is sent.",
        shown: |config| config.smtp.as_ref().map(|smtp| text(&smtp.host)),
    },
    Key {
        section: "smtp",
        name: "port",
        kind: "1 to 65535",
        meaning: "Its port. If not set: 465 with `tls`, 587 with `starttls`, 25 with `none`.",
        shown: |config| config.smtp.as_ref().map(|smtp| smtp.port().to_string()),
    },
    Key {
        section: "smtp",
        name: "security",
        kind: "tls, starttls or none",
        meaning: "How the connection is secured; `tls` if not set. `none` is taken for a server on \
                  this machine only.",
        shown: |config| config.smtp.as_ref().map(|smtp| text(&smtp.security.word())),
    },
    Key {
        section: "smtp",
        name: "username",
        kind: "text",
        meaning: "The user name at the mail server, if it wants one.",
        shown: |config| config.smtp.as_ref()?.username.as_ref().map(text),
    },
    Key {
        section: "smtp",
        name: "password_file",
        kind: "path",
        meaning: "The file that holds the password, in one line. One that others can read is \
                  refused.",
        shown: |config| config.smtp.as_ref()?.password_file.as_deref().map(path),
    },
    Key {
        section: "smtp",
        name: "from",
        kind: "address",
        meaning: "The sender: `gateway@example.com` or `Tradewarden <gateway@example.com>`.",
        shown: |config| config.smtp.as_ref().map(|smtp| text(&smtp.from)),
    },
    Key {
        section: "smtp",
        name: "ca_file",
        kind: "path",
        meaning: "The CAs, as PEM, under which the server's certificate must be issued, in place \
                  of those that browsers trust.",
        shown: |config| config.smtp.as_ref()?.ca_file.as_deref().map(path),
    },
    Key {
        section: "sms",
        name: "provider",
        kind: "twilio",
        meaning: "Whose interface the provider of text messages offers. Without this table nobody \
                  can enrol a phone.",
        shown: |config| {
            config.sms.as_ref().map(|sms| match sms.provider {
                SmsProvider::Twilio => text(&"twilio"),
            })
        },
    },
    Key {
        section: "sms",
        name: "base_url",
        kind: "https://HOST[:PORT][/PATH]",
        meaning: "Where the provider is. If not set: Twilio's own address.",
        shown: |config| config.sms.as_ref().map(|sms| text(&sms.base_url())),
    },
    Key {
        section: "sms",
        name: "account_sid",
        kind: "text",
        meaning: "The account at the provider.",
        shown: |config| config.sms.as_ref().map(|sms| text(&sms.account_sid)),
    },
    Key {
        section: "sms",
        name: "auth_token_file",
        kind: "path",
        meaning: "The file that holds the account's token, in one line. One that others can read \
                  is refused.",
        shown: |config| config.sms.as_ref().map(|sms| path(&sms.auth_token_file)),
    },
    Key {
        section: "sms",
        name: "from",
        kind: "number or name",
        meaning: "The sender: a number like `+14155550123`, or a name of up to 11 letters and \
                  digits.",
        shown: |config| config.sms.as_ref().map(|sms| text(&sms.from)),
    },
    Key {
        section: "sms",
        name: "ca_file",
        kind: "path",
        meaning: "The CAs, as PEM, under which the provider's certificate must be issued, in place \
                  of those that browsers trust.",
        shown: |config| config.sms.as_ref()?.ca_file.as_deref().map(path),
    },
    Key {
        section: "alerts",
        name: "webhook_url",
        kind: "https://HOST[:PORT][/PATH]",
        meaning: "A program that is told of alerts by requests signed after Standard Webhooks.",
        shown: |config| config.alerts.as_ref()?.webhook_url.as_ref().map(text),
    },
    Key {
        section: "alerts",
        name: "webhook_secret_file",
        kind: "path",
        meaning: "The file that holds the secret they are signed with, `whsec_` and base64, in one \
                  line. One that others can read is refused.",
        shown: |config| config.alerts.as_ref()?.webhook_secret_file.as_deref().map(path),
    },
    Key {
        section: "alerts",
        name: "chat_url_file",
        kind: "path",
        meaning: "The file that holds the address of a chat's incoming webhook as Slack has them, in \
                  one line: whoever knows it may write there. One that others can read is refused.",
        shown: |config| config.alerts.as_ref()?.chat_url_file.as_deref().map(path),
    },
    Key {
        section: "alerts",
        name: "ca_file",
        kind: "path",
        meaning: "The CAs, as PEM, under which the certificates of both must be issued, in place of \
                  those that browsers trust.",
        shown: |config| config.alerts.as_ref()?.ca_file.as_deref().map(path),
    },
    Key {
        section: "paper",
        name: "mode",
        kind: "in_process or socket",
        meaning: "Where the paper broker runs: on a thread of the gateway, or in a process of its \
                  own behind `DATA/paper.sock`.",
        shown: |config| Some(text(&word_of_paper(config.paper.mode))),
    },
    Key {
        section: "paper",
        name: "seed",
        kind: "whole number",
        meaning: "Synthetic prices are a function of this number, the symbol and the time.",
        shown: |config| Some(config.paper.seed.to_string()),
    },
    Key {
        section: "paper",
        name: "calls_per_s_max",
        kind: "10 to 10,000,000",
        meaning: "The most calls of the broker in any second, whatever they are for; 20 % of them, and \
                  room to cancel and close what is open, is kept for cancels, exits and questions. \
                  It only lowers what the broker takes. If not set: no limit of its own.",
        shown: |config| config.paper.calls.per_s.map(|most| most.to_string()),
    },
    Key {
        section: "paper",
        name: "calls_per_min_max",
        kind: "10 to 10,000,000",
        meaning: "The same for any minute; both hold.",
        shown: |config| config.paper.calls.per_min.map(|most| most.to_string()),
    },
    Key {
        section: "paper",
        name: "calls_per_h_max",
        kind: "10 to 10,000,000",
        meaning: "The same for any hour.",
        shown: |config| config.paper.calls.per_h.map(|most| most.to_string()),
    },
    Key {
        section: "listener",
        name: "connections_max",
        kind: "1 to 1,000,000",
        meaning: "Connections of the public listener at one time.",
        shown: |config| Some(config.listener.connections_max.to_string()),
    },
    Key {
        section: "listener",
        name: "connections_per_address_max",
        kind: "1 to 1,000,000",
        meaning: "The same from one IPv4 address or one IPv6 /64.",
        shown: |config| Some(config.listener.connections_per_address_max.to_string()),
    },
    Key {
        section: "listener",
        name: "header_timeout_ms",
        kind: "1 to 3,600,000",
        meaning: "How long the handshake and the head of a request may take, in milliseconds.",
        shown: |config| Some(config.listener.header_timeout_ms.to_string()),
    },
    Key {
        section: "listener",
        name: "drain_ms",
        kind: "0 to 3,600,000",
        meaning: "How long requests under way may go on after a stop, in milliseconds.",
        shown: |config| Some(config.listener.drain_ms.to_string()),
    },
    Key {
        section: "tiers.free",
        name: "per_s",
        kind: "1 to 1,000,000",
        meaning: "Requests of a caller of this tier within any second, and as many orders.",
        shown: |config| Some(config.tiers.free.per_s.to_string()),
    },
    Key {
        section: "tiers.free",
        name: "per_day",
        kind: "whole number",
        meaning: "The same within any 24 hours; 0 is without end.",
        shown: |config| Some(config.tiers.free.per_day.unwrap_or(0).to_string()),
    },
    Key {
        section: "tiers.standard",
        name: "per_s",
        kind: "1 to 1,000,000",
        meaning: "Requests of a caller of this tier within any second, and as many orders.",
        shown: |config| Some(config.tiers.standard.per_s.to_string()),
    },
    Key {
        section: "tiers.standard",
        name: "per_day",
        kind: "whole number",
        meaning: "The same within any 24 hours; 0 is without end.",
        shown: |config| Some(config.tiers.standard.per_day.unwrap_or(0).to_string()),
    },
    Key {
        section: "tiers.pro",
        name: "per_s",
        kind: "1 to 1,000,000",
        meaning: "Requests of a caller of this tier within any second, and as many orders.",
        shown: |config| Some(config.tiers.pro.per_s.to_string()),
    },
    Key {
        section: "tiers.pro",
        name: "per_day",
        kind: "whole number",
        meaning: "The same within any 24 hours; 0 is without end.",
        shown: |config| Some(config.tiers.pro.per_day.unwrap_or(0).to_string()),
    },
    Key {
        section: "tiers.institutional",
        name: "per_s",
        kind: "1 to 1,000,000",
        meaning: "Requests of a caller of this tier within any second, and as many orders.",
        shown: |config| Some(config.tiers.institutional.per_s.to_string()),
    },
    Key {
        section: "tiers.institutional",
        name: "per_day",
        kind: "whole number",
        meaning: "The same within any 24 hours; 0 is without end.",
        shown: |config| Some(config.tiers.institutional.per_day.unwrap_or(0).to_string()),
    },
];

/// The effective values as a file that could be read back, without secrets.
pub(crate) fn print(config: &Config) -> String {
    let mut printed = String::new();
    let mut section = "";
    for key in keys() {
        let Some(value) = (key.shown)(config) else { continue };
        if key.section != section {
            section = key.section;
            written(writeln!(printed, "\n[{section}]"));
        }
        written(writeln!(printed, "{} = {value}", key.name));
    }
    printed
}

/// The same as one JSON object.
pub(crate) fn print_json(config: &Config) -> Result<String, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::unavailable(format!("the configuration cannot be shown: {cause}"))
    };
    let table: toml::Table = toml::from_str(&print(config)).map_err(|error| failed(&error))?;
    serde_json::to_string(&table).map_err(|error| failed(&error))
}

/// The page of the reference: every key with its type, default and meaning.
pub(crate) fn reference() -> String {
    let defaults = Config::default();
    let mut page = String::from(HEAD);
    let mut section = None;
    for key in keys() {
        if section != Some(key.section) {
            section = Some(key.section);
            let title = if key.section.is_empty() {
                "At the top".to_owned()
            } else {
                format!("`[{}]`", key.section)
            };
            written(write!(
                page,
                "\n## {title}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
            ));
        }
        let default =
            (key.shown)(&defaults).map_or("not set".to_owned(), |text| format!("`{text}`"));
        written(writeln!(page, "| `{}` | {} | {default} | {} |", key.name, key.kind, key.meaning));
    }
    page.push_str(TAIL);
    page
}

const HEAD: &str = "# Configuration

This page is written by `cargo xtask reference` (`tradewarden config reference`).

One TOML file, named by `--config FILE`. Without it every key has its default. The command line wins
over the file, the file over the defaults. An unknown key stops the start. Paths in the file count
from the file's directory. `tradewarden config check` says whether a start would be refused and why,
`tradewarden config print` shows the effective values without secrets.
";

const TAIL: &str = "
## Starts that are refused

- `listen` on an address that other machines reach without certificate files or `[acme]`, or without
  `public_origin`.
- `[acme]` beside `[tls]`, without agreed terms, or with http-01 and no `http_listen`.
- A pinned host with fewer than two pins.
- A private key, a key file in the data directory, a configuration with a database password, or the
  data directory itself that others can use.
- `hooks_client_ca_file` without `hooks_host`, or one that holds no CA certificate that can be used.
- A trusted proxy that covers every address; `proxy_protocol` without trusted proxies.
- A second gateway on the same data directory.
";

fn text(value: &impl ToString) -> String {
    toml::Value::String(value.to_string()).to_string()
}

fn path(value: &Path) -> String {
    text(&value.display())
}

fn list(values: &[String]) -> String {
    let values = values.iter().cloned().map(toml::Value::String).collect();
    toml::Value::Array(values).to_string()
}

const fn word_of_log(log: LogFormat) -> &'static str {
    match log {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

const fn word_of_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

const fn word_of_paper(mode: PaperMode) -> &'static str {
    match mode {
        PaperMode::InProcess => "in_process",
        PaperMode::Socket => "socket",
    }
}

/// Writing to a String cannot fail.
fn written(_result: std::fmt::Result) {}
