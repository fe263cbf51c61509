//! Who carries messages to people: a mail server, a provider of text messages, a webhook and a chat for
//! alerts. Without its table each is switched off.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tradewarden_domain::message::Channel;
use tradewarden_engine::Messengers;
use tradewarden_messenger::{Chat, ChatOptions, Webhook, WebhookOptions};
use tradewarden_messenger::{Messenger, Outbound, Roots, Security, twilio};
use tradewarden_messenger::{Smtp as MailServer, SmtpOptions, Twilio, TwilioOptions, Unusable};
use tradewarden_seal::SecretString;

use super::Config;
use crate::files;
use crate::outcome::Failure;

/// Largest file with a password or token, in bytes.
const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// Largest bundle of CA certificates, in bytes.
const CA_BYTES_MAX: u64 = 1024 * 1024;

/// The mail server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smtp {
    /// Its host name.
    pub(super) host: String,
    /// Its port; the usual one if absent.
    pub(super) port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub(super) security: MailSecurity,
    /// The user name, if the server wants one.
    pub(super) username: Option<String>,
    /// The file with its password.
    pub(super) password_file: Option<PathBuf>,
    /// The sender.
    pub(super) from: String,
    /// The authorities that are believed, in place of those of the web.
    pub(super) ca_file: Option<PathBuf>,
}

/// How the connection to the mail server is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MailSecurity {
    /// TLS from the first byte.
    #[default]
    Tls,
    /// TLS after `STARTTLS`.
    StartTls,
    /// None; for this machine only.
    None,
}

/// The provider of text messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sms {
    /// Whose interface it offers.
    pub(super) provider: SmsProvider,
    /// Where; Twilio's own address if absent.
    pub(super) base_url: Option<String>,
    /// The account.
    pub(super) account_sid: String,
    /// The file with its token.
    pub(super) auth_token_file: PathBuf,
    /// The sender.
    pub(super) from: String,
    /// The authorities that are believed, in place of those of the web.
    pub(super) ca_file: Option<PathBuf>,
}

/// Where alerts go besides mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alerts {
    /// The program that takes signed requests.
    pub(super) webhook_url: Option<String>,
    /// The file with the secret that they are signed with.
    pub(super) webhook_secret_file: Option<PathBuf>,
    /// The file with the address of a chat's incoming webhook.
    pub(super) chat_url_file: Option<PathBuf>,
    /// The authorities that are believed, in place of those of the web.
    pub(super) ca_file: Option<PathBuf>,
}

/// Whose interface a provider of text messages offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SmsProvider {
    /// Twilio's.
    Twilio,
}

impl MailSecurity {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }
}

impl Smtp {
    pub(super) fn below(self, directory: &Path) -> Self {
        Self {
            password_file: self.password_file.map(|path| directory.join(path)),
            ca_file: self.ca_file.map(|path| directory.join(path)),
            ..self
        }
    }

    /// The port (RFC 8314 section 3.3, RFC 6409 section 3.1, RFC 5321 section 4.5.4.2).
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            MailSecurity::Tls => 465,
            MailSecurity::StartTls => 587,
            MailSecurity::None => 25,
        })
    }

    /// What can be judged from the values alone.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.security == MailSecurity::None && !is_this_machine(&self.host) {
            return Err(Failure::no(format!(
                "refusing to send mail to {} without TLS: others could read and change it; set \
                 security = \"tls\" or \"starttls\" under [smtp], or use a mail server on this \
                 machine",
                self.host
            )));
        }
        if self.username.is_some() != self.password_file.is_some() {
            return Err(Failure::no(
                "username and password_file under [smtp] belong together: set both or neither",
            ));
        }
        Ok(())
    }

    fn messenger(&self, hello: &str, outbound: &Outbound) -> Result<MailServer, Failure> {
        if outbound.pins.contains_key(&self.host.to_ascii_lowercase()) {
            return Err(Failure::no(format!(
                "pins under [outbound] names {}, the mail server: pins are not for mail; leave it \
                 out there",
                self.host
            )));
        }
        let credentials = match (&self.username, &self.password_file) {
            (Some(name), Some(file)) => Some((name.clone(), secret(file)?)),
            _ => None,
        };
        let options = SmtpOptions {
            host: self.host.clone(),
            port: self.port(),
            security: match self.security {
                MailSecurity::Tls => Security::Tls,
                MailSecurity::StartTls => Security::StartTls,
                MailSecurity::None => Security::None,
            },
            roots: roots(self.ca_file.as_deref(), "[smtp]")?,
            outbound: outbound.clone(),
            credentials,
            from: self.from.clone(),
            hello: hello.to_owned(),
        };
        MailServer::new(options).map_err(|error| unusable("[smtp]", &error))
    }
}

impl Sms {
    pub(super) fn below(self, directory: &Path) -> Self {
        Self {
            auth_token_file: directory.join(&self.auth_token_file),
            ca_file: self.ca_file.map(|path| directory.join(path)),
            ..self
        }
    }

    pub(super) fn base_url(&self) -> &str {
        self.base_url.as_deref().unwrap_or(twilio::BASE_URL)
    }

    fn messenger(&self, outbound: &Outbound) -> Result<Twilio, Failure> {
        let options = TwilioOptions {
            base_url: self.base_url().to_owned(),
            account_sid: self.account_sid.clone(),
            auth_token: secret(&self.auth_token_file)?,
            from: self.from.clone(),
            roots: roots(self.ca_file.as_deref(), "[sms]")?,
            outbound: outbound.clone(),
        };
        match self.provider {
            SmsProvider::Twilio => Twilio::new(options).map_err(|error| unusable("[sms]", &error)),
        }
    }
}

impl Alerts {
    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        Self {
            webhook_secret_file: below(self.webhook_secret_file),
            chat_url_file: below(self.chat_url_file),
            ca_file: below(self.ca_file),
            ..self
        }
    }

    fn messengers(&self, messengers: &mut Messengers, outbound: &Outbound) -> Result<(), Failure> {
        let roots = || roots(self.ca_file.as_deref(), "[alerts]");
        let is_unusable = |error: Unusable| unusable("[alerts]", &error);
        match (&self.webhook_url, &self.webhook_secret_file) {
            (Some(url), Some(file)) => {
                let (url, secret) = (url.clone(), secret(file)?);
                let outbound = outbound.clone();
                let options = WebhookOptions { url, secret, roots: roots()?, outbound };
                let webhook = Webhook::new(&options).map_err(is_unusable)?;
                messengers.insert(Channel::Webhook, Arc::new(webhook));
            }
            (None, None) => {}
            _ => {
                return Err(Failure::no(
                    "webhook_url and webhook_secret_file under [alerts] belong together: set both \
                     or neither",
                ));
            }
        }
        if let Some(file) = &self.chat_url_file {
            let outbound = outbound.clone();
            let options = ChatOptions { url: secret(file)?, roots: roots()?, outbound };
            let chat = Chat::new(&options).map_err(is_unusable)?;
            messengers.insert(Channel::Chat, Arc::new(chat));
        }
        Ok(())
    }
}

impl Config {
    /// Whoever carries messages, for a gateway at this origin. Nothing is connected.
    pub(crate) fn messengers(&self, origin: &str) -> Result<Messengers, Failure> {
        let mut messengers: Messengers = BTreeMap::new();
        if let Some(smtp) = &self.smtp {
            let mail: Arc<dyn Messenger> =
                Arc::new(smtp.messenger(host_of(origin), &self.outbound)?);
            messengers.insert(Channel::Mail, mail);
        }
        if let Some(sms) = &self.sms {
            let texts: Arc<dyn Messenger> = Arc::new(sms.messenger(&self.outbound)?);
            messengers.insert(Channel::Sms, texts);
        }
        if let Some(alerts) = &self.alerts {
            alerts.messengers(&mut messengers, &self.outbound)?;
        }
        Ok(messengers)
    }
}

impl Config {
    /// The hosts that this configuration has us speak to under the policy of `[outbound]`, in lower case.
    pub(super) fn outbound_hosts(&self) -> Result<BTreeSet<String>, Failure> {
        let mut addresses: Vec<SecretString> = Vec::new();
        let plain = |text: &str| SecretString::new(text.to_owned());
        addresses.extend(self.acme.iter().map(|acme| plain(&acme.directory)));
        addresses.extend(self.sms.iter().map(|sms| plain(sms.base_url())));
        addresses.extend(self.vault.transit_address().map(plain));
        if let Some(alerts) = &self.alerts {
            addresses.extend(alerts.webhook_url.as_deref().map(plain));
            if let Some(file) = &alerts.chat_url_file {
                addresses.push(secret(file)?);
            }
        }
        let hosts = addresses.iter().map(|address| host_in(address.expose()));
        let mail = self.smtp.iter().map(|smtp| smtp.host.as_str());
        let named = |host: &str| host.trim_end_matches('.').to_ascii_lowercase();
        Ok(hosts.chain(mail).map(named).collect())
    }
}

/// The host in an address, without brackets.
fn host_in(address: &str) -> &str {
    let rest = address.strip_prefix("https://").unwrap_or(address);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// The host of an origin, without its port.
fn host_of(origin: &str) -> &str {
    let authority = origin.trim_start_matches("https://");
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn secret(file: &Path) -> Result<SecretString, Failure> {
    let text = files::read_secret(file, SECRET_BYTES_MAX)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(['\r', '\n']) {
        let file = file.display();
        return Err(Failure::no(format!("{file} is to hold one line, the secret alone")));
    }
    Ok(SecretString::new(line.to_owned()))
}

fn roots(file: Option<&Path>, table: &str) -> Result<Roots, Failure> {
    let Some(file) = file else { return Ok(Roots::Web) };
    let roots = Roots::Own(files::read_text(file, CA_BYTES_MAX)?);
    roots.store().map_err(|error| {
        Failure::no(format!("ca_file {} under {table}: {error}", file.display()))
    })?;
    Ok(roots)
}

fn unusable(table: &str, error: &Unusable) -> Failure {
    Failure::no(format!("what {table} says cannot be used: {error}"))
}
