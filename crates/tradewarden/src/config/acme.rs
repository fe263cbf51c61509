//! An authority that issues the public certificate by itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tradewarden_messenger::Roots;

use super::Config;
use crate::files;
use crate::outcome::Failure;

/// Largest bundle of CA certificates, in bytes.
const CA_BYTES_MAX: u64 = 1024 * 1024;
/// Most names in one certificate.
const DOMAINS_MAX: usize = 32;

/// The authority, and what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acme {
    /// The address of its directory.
    pub(crate) directory: String,
    /// Whom it may write to, as URIs.
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    /// The names in the certificate.
    pub(crate) domains: Vec<String>,
    /// How it is shown that they are ours.
    pub(crate) challenge: ChallengeKind,
    /// Whether its owner has agreed to the authority's terms.
    pub(crate) terms_agreed: bool,
    /// The authorities that are believed of its own certificate, in place of those of the web.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether a renewed certificate has the key of the one before.
    #[serde(default)]
    pub(crate) reuse_key: bool,
}

/// How it is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum ChallengeKind {
    /// By an answer at port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// By a handshake at port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl ChallengeKind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl Acme {
    pub(super) fn below(self, directory: &Path) -> Self {
        Self { ca_file: self.ca_file.map(|path| directory.join(path)), ..self }
    }

    /// The authorities that are believed of the directory's own certificate.
    pub(crate) fn roots(&self) -> Result<Roots, Failure> {
        let Some(path) = &self.ca_file else { return Ok(Roots::Web) };
        Ok(Roots::Own(files::read_text(path, CA_BYTES_MAX)?))
    }

    /// What can be judged from the values alone.
    pub(super) fn check(&self, config: &Config) -> Result<(), Failure> {
        let refuse = |sentence: String| Err(Failure::no(sentence));
        if !self.directory.starts_with("https://") {
            return refuse(format!(
                "directory under [acme] is {:?}; write the address that the authority gives, \
                 https://...",
                self.directory
            ));
        }
        if !self.terms_agreed {
            return refuse(
                "terms_agreed under [acme] is not true: read the terms of the authority, and write \
                 terms_agreed = true if you agree"
                    .to_owned(),
            );
        }
        if self.domains.is_empty() || self.domains.len() > DOMAINS_MAX {
            return refuse(format!("domains under [acme] has 1 to {DOMAINS_MAX} host names"));
        }
        if let Some(wrong) = self.domains.iter().find(|name| !is_domain(name)) {
            return refuse(format!(
                "{wrong:?} in domains under [acme] is not a host name in lower case; write for \
                 example trade.example.com"
            ));
        }
        if let Some(twice) = said_twice(&self.domains) {
            return refuse(format!("{twice:?} is in domains under [acme] twice: once is enough"));
        }
        if config.tls.is_some() {
            return refuse(
                "there are [tls] and [acme], and only one of them can bring the certificate: leave \
                 the other out"
                    .to_owned(),
            );
        }
        if let Some(host) = &config.hooks_host
            && !self.domains.contains(host)
        {
            return refuse(format!(
                "hooks_host is {host}, which is not in domains under [acme]: the certificate must \
                 cover it, add it there"
            ));
        }
        if self.challenge == ChallengeKind::Http01 && config.http_listen.is_none() {
            return refuse(
                "challenge under [acme] is http-01, which is answered at port 80: set http_listen, \
                 for example \"0.0.0.0:80\", or use tls-alpn-01"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

fn said_twice(domains: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    domains.iter().find(|domain| !seen.insert(*domain))
}

/// A name that an authority issues for without more than these challenges.
fn is_domain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    text.len() <= 253
        && text.split('.').all(label)
        && text.parse::<std::net::IpAddr>().is_err()
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}
