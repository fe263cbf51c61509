//! Certificates: the files that are configured, or those of the local CA, made and renewed here.
//!
//! Two authorities live in `DATA/tls`, each for one purpose: `ca.pem` for the public listener, so
//! that a client can trust this gateway alone, and `internal-ca.pem` for the internal one, whose
//! clients need a certificate too. A certificate is made anew when less than a third of its life is
//! left, when the names changed, or when it is not the one that was noted.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use tradewarden_domain::time::Timestamp;
use tradewarden_engine::ShownCertificate;
use tradewarden_seal::certificate::{DAY_S, DEFAULT_ISSUED_DAYS, MAX_PEM_BYTES};
use tradewarden_seal::{
    CertificateError, CertificateFacts, Digest, IssuedCertificate, LocalAuthority, Randomness,
    SecretString,
};
use tradewarden_web::tls::{Admission, Certificates, Challenges, ClientCertificates, Tls};

use crate::acme::{certificate_file, chain_and_key};
use crate::config::{CertificateFiles, Config};
use crate::data::Data;
use crate::files;
use crate::internal_clients::InternalClients;
use crate::outcome::Failure;

/// A client whose clock is behind takes a new certificate as well.
const BACKDATE_S: i64 = 3_600;
/// Largest PEM file, in bytes.
const PEM_BYTES_MAX: u64 = 65_536;
const _: () = assert!(MAX_PEM_BYTES == 65_536);
/// The names by which a client on this machine reaches us (C21).
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the certificates come from, and what of them is in use.
pub(crate) struct TlsFiles {
    tls: PathBuf,
    source: Source,
    hooks_host: Option<(String, ClientCertificates)>,
    internal_names: BTreeSet<String>,
    clients: InternalClients,
    public: InUse,
    internal: InUse,
}

/// What one listener shows now.
struct InUse {
    listener: &'static str,
    certificates: Certificates,
    /// When it ends, for the metrics.
    ends_unix_s: Arc<AtomicI64>,
    /// Whether it was made at this start.
    is_new: bool,
}

impl InUse {
    fn of(listener: &'static str, pair: &Pair) -> Result<Self, Failure> {
        let in_use = Self {
            listener,
            certificates: loaded(pair)?,
            ends_unix_s: Arc::default(),
            is_new: pair.is_new,
        };
        in_use.note_end();
        Ok(in_use)
    }

    /// Takes another pair into use; whether it has another certificate than before.
    fn replace(&self, pair: &Pair) -> Result<bool, Failure> {
        let before = self.certificates.leaf_der();
        replace(&self.certificates, pair)?;
        self.note_end();
        Ok(self.certificates.leaf_der() != before)
    }

    fn note_end(&self) {
        if let Some(shown) = self.shown() {
            self.ends_unix_s.store(shown.not_after.unix_seconds(), Relaxed);
        }
    }

    fn shown(&self) -> Option<ShownCertificate> {
        let facts = CertificateFacts::from_der(&self.certificates.leaf_der()).ok()?;
        let at = |unix_s: i64| Timestamp::from_unix_micros(unix_s.saturating_mul(1_000_000));
        Some(ShownCertificate {
            listener: self.listener,
            serial: facts.serial,
            spki_sha256: facts.spki_sha256,
            not_before: at(facts.not_before_unix_s),
            not_after: at(facts.not_after_unix_s),
        })
    }
}

/// What tells a file from the one that it replaces: inode, length, and the time of its change.
type Stamp = (u64, u64, i64, i64);

/// The owner's certificate and key as they were at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamps([Option<Stamp>; 2]);

enum Source {
    /// The owner's own files.
    Files(CertificateFiles),
    /// What ACME brought, once it has; until then the local CA, for these names.
    Acme { file: PathBuf, names: BTreeSet<String> },
    /// The local CA, for these names.
    LocalAuthority(BTreeSet<String>),
}

impl TlsFiles {
    /// Makes what is missing or about to end, and loads it.
    pub(crate) fn prepare(
        config: &Config,
        data: &Data,
        now: Timestamp,
        randomness: &mut dyn Randomness,
    ) -> Result<Self, Failure> {
        let asked = match config.hooks_client_ca()? {
            Some(ca) => ClientCertificates::Requested { ca_pem: ca.into_bytes() },
            // A certificate that nobody checks is not worth asking for.
            None => ClientCertificates::None,
        };
        let names = public_names(config);
        let source = match (&config.tls, &config.acme) {
            (Some(files), _) => Source::Files(files.clone()),
            (None, Some(_)) => Source::Acme { file: certificate_file(data), names },
            (None, None) => Source::LocalAuthority(names),
        };
        let internal_names = local_names()
            .chain(routable(config.internal_listen).map(|address| address.to_string()))
            .collect();
        let material = Material { tls: data.tls(), now };
        let public = material.public(&source, randomness)?;
        let internal = material.internal(&internal_names, randomness)?;
        Ok(Self {
            tls: data.tls(),
            source,
            hooks_host: config.hooks_host.clone().map(|name| (name, asked)),
            internal_names,
            clients: InternalClients::at(data),
            public: InUse::of("public", &public)?,
            internal: InUse::of("internal", &internal)?,
        })
    }

    /// The certificate of the public listener as it lies there; nothing is made and nothing renewed, for a
    /// gateway may be running that does that.
    pub(crate) fn public_as_it_is(
        config: &Config,
        data: &Data,
    ) -> Result<CertificateFacts, Failure> {
        let (acme, local) = (certificate_file(data), data.tls().join("server.pem"));
        let file = match (&config.tls, &config.acme) {
            (Some(files), _) => files.certificate_file.clone(),
            (None, Some(_)) if acme.exists() => acme,
            (None, _) => local,
        };
        let Some(pem) = files::read_text_if_there(&file, PEM_BYTES_MAX)? else {
            return Err(Failure::not_found(format!(
                "there is no certificate {} yet: the gateway makes it when it starts",
                file.display()
            )));
        };
        let pem = SecretString::new(pem);
        CertificateFacts::from_pem(chain_and_key(pem.expose()).0).map_err(|error| refused(&error))
    }

    /// What each listener shows now.
    pub(crate) fn shown(&self) -> impl Iterator<Item = ShownCertificate> {
        [&self.public, &self.internal].into_iter().filter_map(InUse::shown)
    }

    /// What was made at this start.
    pub(crate) fn made(&self) -> impl Iterator<Item = ShownCertificate> {
        let new = [&self.public, &self.internal].into_iter().filter(|in_use| in_use.is_new);
        new.filter_map(InUse::shown)
    }

    /// The second since 1970 at which the certificate of the public and of the internal listener ends,
    /// kept true by every reload.
    pub(crate) fn ends_unix_s(&self) -> [Arc<AtomicI64>; 2] {
        [&self.public, &self.internal].map(|in_use| Arc::clone(&in_use.ends_unix_s))
    }

    /// What the owner's files look like now, without reading them; nothing where there are none.
    pub(crate) fn stamps(&self) -> Stamps {
        let Source::Files(paths) = &self.source else { return Stamps::default() };
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        };
        Stamps([stamp(&paths.certificate_file), stamp(&paths.key_file)])
    }

    /// Reads the files again, and renews what the local CA issued if it is time. Gives what is shown
    /// from now on and was not before, and why others could not be used: those leave the old in use, and
    /// are no reason to let the other listener's end.
    pub(crate) fn reload(
        &self,
        now: Timestamp,
        randomness: &mut dyn Randomness,
    ) -> (Vec<ShownCertificate>, Vec<Failure>) {
        let material = Material { tls: self.tls.clone(), now };
        let public = material
            .public(&self.source, randomness)
            .and_then(|public| self.public.replace(&public));
        let internal = material
            .internal(&self.internal_names, randomness)
            .and_then(|internal| self.internal.replace(&internal));
        let (mut changed, mut failures) = (Vec::new(), Vec::new());
        for (replaced, in_use) in [(public, &self.public), (internal, &self.internal)] {
            match replaced {
                Ok(true) => changed.extend(in_use.shown()),
                Ok(false) => {}
                Err(failure) => failures.push(failure),
            }
        }
        (changed, failures)
    }

    /// TLS of the public listener.
    pub(crate) fn public(&self, challenges: &Challenges) -> Result<Tls, Failure> {
        let public = &self.public.certificates;
        let tls = Tls::new(public, &ClientCertificates::None).map_err(unusable)?;
        let tls = tls.with_challenges(challenges.clone());
        match &self.hooks_host {
            None => Ok(tls),
            Some((name, asked)) => tls.with_second_host(name, public, asked).map_err(unusable),
        }
    }

    /// TLS of the internal listener: no client without a certificate of its private CA, and none whose
    /// certificate was revoked.
    pub(crate) fn internal(&self) -> Result<Tls, Failure> {
        let ca = files::read_text(&self.tls.join("internal-ca.pem"), PEM_BYTES_MAX)?;
        let clients = self.clients.clone();
        let admission = Admission::by(move |der| clients.admits(der));
        let required = ClientCertificates::Required { ca_pem: ca.into_bytes(), admission };
        Tls::new(&self.internal.certificates, &required).map_err(unusable)
    }

    /// The certificate to trust for the public listener; absent where the files are the owner's.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        match self.source {
            Source::Files(_) | Source::Acme { .. } => None,
            Source::LocalAuthority(_) => Some(self.tls.join("ca.pem")),
        }
    }
}

/// The public listener's certificate as it lies there, with where its key is.
#[derive(Debug)]
pub(crate) struct PublicPair {
    pub(crate) facts: CertificateFacts,
    /// In PEM, the server's own first.
    pub(crate) chain: String,
    pub(crate) key_file: PathBuf,
    /// Whether the gateway renews it by itself.
    pub(crate) is_renewed: bool,
    /// Whether the key belongs to it.
    pub(crate) fits: Result<(), Failure>,
}

/// Reads it; nothing is made and nothing renewed. `None` where there is none yet.
pub(crate) fn public_pair_as_it_is(
    config: &Config,
    data: &Data,
) -> Result<Option<PublicPair>, Failure> {
    let acme = certificate_file(data);
    let (file, key_file) = match (&config.tls, &config.acme) {
        (Some(files), _) => (files.certificate_file.clone(), files.key_file.clone()),
        (None, Some(_)) if acme.exists() => (acme.clone(), acme),
        (None, _) => (data.tls().join("server.pem"), data.tls().join("server.key")),
    };
    let Some(pem) = files::read_text_if_there(&file, PEM_BYTES_MAX)? else {
        if config.tls.is_none() {
            return Ok(None);
        }
        return Err(Failure::no(format!("there is no certificate {}", file.display())));
    };
    let pem = SecretString::new(pem);
    let chain = chain_and_key(pem.expose()).0.to_owned();
    let facts = CertificateFacts::from_pem(&chain).map_err(|error| refused(&error))?;
    let fits = files::read_text(&key_file, PEM_BYTES_MAX)
        .map(SecretString::new)
        .and_then(|key| loaded(&Pair { chain: chain.clone(), key, is_new: false }).map(drop));
    Ok(Some(PublicPair { facts, chain, key_file, is_renewed: config.tls.is_none(), fits }))
}

/// Whether a start could use the owner's files: certificates, and the key of the first one.
pub(crate) fn check(files: &CertificateFiles) -> Result<(), Failure> {
    loaded(&owners(files)?).map(drop)
}

fn owners(paths: &CertificateFiles) -> Result<Pair, Failure> {
    Ok(Pair {
        chain: files::read_text(&paths.certificate_file, PEM_BYTES_MAX)?,
        key: SecretString::new(files::read_secret(&paths.key_file, PEM_BYTES_MAX)?),
        is_new: false,
    })
}

/// The CA of the internal listener's clients, made on first use.
pub(crate) fn internal_authority(
    data: &Data,
    now: Timestamp,
    randomness: &mut dyn Randomness,
) -> Result<LocalAuthority, Failure> {
    Material { tls: data.tls(), now }.internal_authority(randomness)
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Use {
    Server,
    Client,
}

/// What was noted beside a certificate when it was issued.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    usage: Use,
    names: BTreeSet<String>,
    not_before_unix_s: i64,
    not_after_unix_s: i64,
    /// Of the certificate's PEM, in hex: the note of another certificate says nothing.
    sha256: String,
}

impl Note {
    /// Whether a certificate with this note does for these names until the next look.
    fn does(&self, usage: Use, names: &BTreeSet<String>, chain: &str, now: Timestamp) -> bool {
        let life = self.not_after_unix_s.saturating_sub(self.not_before_unix_s);
        let left = self.not_after_unix_s.saturating_sub(now.unix_seconds());
        self.usage == usage
            && self.names == *names
            && self.sha256 == Digest::sha256(chain.as_bytes()).to_string()
            && left.saturating_mul(3) >= life
    }
}

/// A chain and its key as they go into TLS.
struct Pair {
    chain: String,
    key: SecretString,
    /// Whether it was made just now.
    is_new: bool,
}

/// The directory of certificates at one instant.
struct Material {
    tls: PathBuf,
    now: Timestamp,
}

impl Material {
    fn public(&self, source: &Source, randomness: &mut dyn Randomness) -> Result<Pair, Failure> {
        match source {
            Source::Files(paths) => owners(paths),
            Source::Acme { file, names } => {
                match files::read_text_if_there(file, PEM_BYTES_MAX)? {
                    // Chain and key in one file, so that a crash never leaves one without the other.
                    Some(both) => {
                        let both = SecretString::new(both);
                        let (chain, key) = chain_and_key(both.expose());
                        let key = SecretString::new(key.to_owned());
                        Ok(Pair { chain: chain.to_owned(), key, is_new: false })
                    }
                    None => self.public(&Source::LocalAuthority(names.clone()), randomness),
                }
            }
            Source::LocalAuthority(names) => {
                let authority = self.authority("ca", "Tradewarden local CA", randomness)?;
                self.issued(&authority, "server", Use::Server, names, randomness)
            }
        }
    }

    fn internal(
        &self,
        names: &BTreeSet<String>,
        randomness: &mut dyn Randomness,
    ) -> Result<Pair, Failure> {
        let authority = self.internal_authority(randomness)?;
        let client = BTreeSet::from(["tradewarden internal client".to_owned()]);
        self.issued(&authority, "internal-client", Use::Client, &client, randomness)?;
        self.issued(&authority, "internal-server", Use::Server, names, randomness)
    }

    fn internal_authority(
        &self,
        randomness: &mut dyn Randomness,
    ) -> Result<LocalAuthority, Failure> {
        self.authority("internal-ca", "Tradewarden internal CA", randomness)
    }

    /// The authority of this name, made on first use. It is kept for its ten years: clients trust
    /// its certificate.
    fn authority(
        &self,
        name: &str,
        common_name: &str,
        randomness: &mut dyn Randomness,
    ) -> Result<LocalAuthority, Failure> {
        let (certificate, key) = self.paths(name);
        if certificate.exists() {
            let pem = files::read_text(&certificate, PEM_BYTES_MAX)?;
            let key = SecretString::new(files::read_secret(&key, PEM_BYTES_MAX)?);
            return LocalAuthority::from_pem(&pem, &key).map_err(|error| {
                Failure::no(format!(
                    "{}: {error}; put its backup back, or move {} away to make a new CA that \
                     clients must be told to trust",
                    certificate.display(),
                    self.tls.display()
                ))
            });
        }
        let authority = LocalAuthority::create(common_name, self.now.unix_seconds(), randomness)
            .map_err(|error| refused(&error))?;
        // The key first: a crash between leaves a key without a certificate, which is made again.
        files::write_private(&key, authority.key_pem().expose())?;
        files::write_private(&certificate, authority.certificate_pem())?;
        Ok(authority)
    }

    /// The certificate of this name, made when there is none that does.
    fn issued(
        &self,
        authority: &LocalAuthority,
        name: &str,
        usage: Use,
        names: &BTreeSet<String>,
        randomness: &mut dyn Randomness,
    ) -> Result<Pair, Failure> {
        let (certificate, key) = self.paths(name);
        let note = self.tls.join(format!("{name}.json"));
        if let Some(chain) = files::read_text_if_there(&certificate, PEM_BYTES_MAX)?
            && let Some(noted) = files::read_text_if_there(&note, PEM_BYTES_MAX)?
            && let Ok(noted) = serde_json::from_str::<Note>(&noted)
            && noted.does(usage, names, &chain, self.now)
            && key.exists()
        {
            let key = SecretString::new(files::read_secret(&key, PEM_BYTES_MAX)?);
            let pair = Pair { chain, key, is_new: false };
            match loaded(&pair) {
                Ok(_) => return Ok(pair),
                Err(why) => tracing::warn!(name, %why, "a certificate is made anew"),
            }
        }
        let not_before = self.now.unix_seconds().saturating_sub(BACKDATE_S).max(0);
        let not_after = not_before.saturating_add(DEFAULT_ISSUED_DAYS * DAY_S);
        let listed: Vec<String> = names.iter().cloned().collect();
        let made = match usage {
            Use::Server => authority.issue_server(&listed, not_before, not_after, randomness),
            Use::Client => {
                authority.issue_client(&listed.join(" "), None, not_before, not_after, randomness)
            }
        };
        let IssuedCertificate { chain_pem, key_pem } = made.map_err(|error| refused(&error))?;
        let noted = Note {
            usage,
            names: names.clone(),
            not_before_unix_s: not_before,
            not_after_unix_s: not_after,
            sha256: Digest::sha256(chain_pem.as_bytes()).to_string(),
        };
        let noted = serde_json::to_string(&noted)
            .map_err(|error| Failure::unavailable(format!("cannot note a certificate: {error}")))?;
        // The note last: a crash before it leaves a pair without one, which is made again.
        files::write_private(&key, key_pem.expose())?;
        files::write_private(&certificate, &chain_pem)?;
        files::write_private(&note, &noted)?;
        Ok(Pair { chain: chain_pem, key: key_pem, is_new: true })
    }

    fn paths(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.tls.join(format!("{name}.pem")), self.tls.join(format!("{name}.key")))
    }
}

fn public_names(config: &Config) -> BTreeSet<String> {
    let origin = config.public_origin.as_deref().and_then(|origin| origin.strip_prefix("https://"));
    let origin_host = origin.and_then(|host| {
        // A bracketed v6 address has colons of its own.
        match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => host.split(':').next(),
        }
    });
    local_names()
        .chain(routable(config.listen).map(|address| address.to_string()))
        .chain(config.host_names.iter().cloned())
        .chain(config.acme.iter().flat_map(|acme| acme.domains.iter().cloned()))
        .chain(config.hooks_host.iter().cloned())
        .chain(origin_host.map(str::to_owned))
        .collect()
}

fn local_names() -> impl Iterator<Item = String> {
    LOCAL_NAMES.into_iter().map(str::to_owned)
}

/// An address that a client can name.
fn routable(address: std::net::SocketAddr) -> Option<std::net::IpAddr> {
    Some(address.ip()).filter(|address| !address.is_unspecified())
}

fn loaded(pair: &Pair) -> Result<Certificates, Failure> {
    Certificates::from_pem(pair.chain.as_bytes(), pair.key.expose().as_bytes()).map_err(unusable)
}

fn replace(certificates: &Certificates, pair: &Pair) -> Result<(), Failure> {
    certificates.replace(pair.chain.as_bytes(), pair.key.expose().as_bytes()).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::no(format!("the certificate cannot be used: {error}"))
}

fn refused(error: &CertificateError) -> Failure {
    Failure::no(error.to_string())
}

#[cfg(test)]
mod tests;
