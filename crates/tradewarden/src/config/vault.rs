//! Where the key is that wraps data keys: in a file of the data directory unless something else is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tradewarden_seal::{KeySource, SecretString};
use tradewarden_vault::{
    Outbound, Pkcs11 as TokenSource, Pkcs11Options, Roots, SecretReader, Transit as TransitSource,
    TransitAuth, TransitOptions,
};

use crate::files;
use crate::outcome::Failure;

/// Largest file with a token, in bytes.
const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// Largest bundle of CA certificates, in bytes.
const CA_BYTES_MAX: u64 = 1024 * 1024;

/// The key sources.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Vault {
    /// The source that wraps.
    pub(crate) source: SourceKind,
    /// The source that wrapped before, while data keys are moved.
    pub(crate) previous: Option<SourceKind>,
    /// How long data keys stay open while the source does not answer; 0 is without end.
    pub(super) unreachable_max_s: u32,
    /// After how many days a data key is replaced by itself; 0 is never.
    pub(super) data_key_rotate_days: u32,
    /// A key in OpenBao or HashiCorp Vault.
    pub(super) transit: Option<Transit>,
    /// A key in a PKCS#11 token.
    pub(super) pkcs11: Option<Pkcs11>,
}

/// What a key source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SourceKind {
    /// `DATA/kek`.
    File,
    /// A key in the Transit engine of OpenBao or HashiCorp Vault.
    Transit,
    /// A key in a PKCS#11 token.
    Pkcs11,
}

/// A key in OpenBao or HashiCorp Vault.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transit {
    /// Where.
    pub(super) address: String,
    /// Where the engine is mounted.
    #[serde(default = "usual_mount")]
    pub(super) mount: String,
    /// The key's name.
    pub(super) key: String,
    /// The file with a token.
    pub(super) token_file: Option<PathBuf>,
    /// The AppRole's identifier.
    pub(super) role_id: Option<String>,
    /// The file with its secret.
    pub(super) secret_id_file: Option<PathBuf>,
    /// The authorities that are believed, in place of those of the web.
    pub(super) ca_file: Option<PathBuf>,
}

/// A key in a PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pkcs11 {
    /// The module, a shared library.
    pub(super) module: PathBuf,
    /// The token's label.
    pub(super) token: String,
    /// The label of the keys.
    pub(super) key: String,
    /// The file with the user's PIN.
    pub(super) pin_file: PathBuf,
}

fn usual_mount() -> String {
    "transit".to_owned()
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            source: SourceKind::File,
            previous: None,
            unreachable_max_s: 3_600,
            data_key_rotate_days: 0,
            transit: None,
            pkcs11: None,
        }
    }
}

impl SourceKind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Transit => "transit",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

impl Vault {
    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        let transit = self.transit.map(|transit| Transit {
            token_file: below(transit.token_file),
            secret_id_file: below(transit.secret_id_file),
            ca_file: below(transit.ca_file),
            ..transit
        });
        let pkcs11 = self.pkcs11.map(|token| Pkcs11 {
            module: directory.join(token.module),
            pin_file: directory.join(token.pin_file),
            ..token
        });
        Self { transit, pkcs11, ..self }
    }

    /// What can be judged from the values alone.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.previous == Some(self.source) {
            return Err(Failure::no(
                "source and previous under [vault] are the same: previous names the source that keys \
                 are moved away from; leave it out when nothing is moved",
            ));
        }
        if self.uses(SourceKind::Transit) && self.transit.is_none() {
            return Err(Failure::no(
                "[vault] names transit, but there is no table [vault.transit] with address and key",
            ));
        }
        if self.uses(SourceKind::Pkcs11) && self.pkcs11.is_none() {
            return Err(Failure::no(
                "[vault] names pkcs11, but there is no table [vault.pkcs11] with module, token, key and \
                 pin_file",
            ));
        }
        let Some(transit) = &self.transit else { return Ok(()) };
        let app_role = (transit.role_id.is_some(), transit.secret_id_file.is_some());
        match (transit.token_file.is_some(), app_role) {
            (true, (false, false)) | (false, (true, true)) => Ok(()),
            _ => Err(Failure::no(
                "[vault.transit] needs token_file, or role_id and secret_id_file, and not both",
            )),
        }
    }

    /// Whether this kind of source is asked for anything.
    pub(crate) fn uses(&self, kind: SourceKind) -> bool {
        self.source == kind || self.previous == Some(kind)
    }

    /// Where Transit is, if it is asked for anything.
    pub(super) fn transit_address(&self) -> Option<&str> {
        let transit = self.transit.as_ref().filter(|_| self.uses(SourceKind::Transit));
        transit.map(|transit| transit.address.as_str())
    }

    /// How long a data key seals before another takes its place by itself.
    pub(crate) fn data_keys_last(&self) -> Option<Duration> {
        let days = u64::from(self.data_key_rotate_days);
        (days > 0).then(|| Duration::from_hours(days.saturating_mul(24)))
    }

    /// How long data keys stay open while the source does not answer. A key file that is away is told of;
    /// what is in memory is then the last copy, and stays.
    pub(crate) fn stay_open(&self) -> Option<Duration> {
        let seconds = u64::from(self.unreachable_max_s);
        (seconds > 0 && self.source != SourceKind::File).then(|| Duration::from_secs(seconds))
    }

    /// Whether both mean the same source of this kind.
    pub(crate) fn agrees(&self, other: &Self, kind: SourceKind) -> bool {
        match kind {
            SourceKind::File => true,
            SourceKind::Transit => self.transit == other.transit,
            SourceKind::Pkcs11 => self.pkcs11 == other.pkcs11,
        }
    }

    /// Notes where the sources of this kind is, as the other one says it.
    pub(crate) fn take(&mut self, other: &Self, kind: SourceKind) {
        match kind {
            SourceKind::File => {}
            SourceKind::Transit => self.transit.clone_from(&other.transit),
            SourceKind::Pkcs11 => self.pkcs11.clone_from(&other.pkcs11),
        }
    }

    /// What the files that the sources need say, without asking anybody.
    pub(super) fn check_files(&self, outbound: &Outbound) -> Result<(), Failure> {
        if let Some(transit) = self.transit.as_ref().filter(|_| self.uses(SourceKind::Transit)) {
            transit.source(outbound)?;
        }
        if let Some(token) = self.pkcs11.as_ref().filter(|_| self.uses(SourceKind::Pkcs11)) {
            files::read_secret(&token.pin_file, SECRET_BYTES_MAX)?;
        }
        Ok(())
    }

    /// The source of this kind, if it is not the file.
    pub(crate) fn outside(
        &self,
        kind: SourceKind,
        outbound: &Outbound,
    ) -> Result<Option<Arc<dyn KeySource>>, Failure> {
        Ok(match (kind, &self.transit, &self.pkcs11) {
            (SourceKind::Transit, Some(transit), _) => Some(Arc::new(transit.source(outbound)?)),
            (SourceKind::Pkcs11, _, Some(token)) => Some(Arc::new(token.source()?)),
            _ => None,
        })
    }
}

impl Pkcs11 {
    /// Loads the module, so only once in a process.
    fn source(&self) -> Result<TokenSource, Failure> {
        let options = Pkcs11Options {
            module: self.module.clone(),
            token: self.token.clone(),
            key: self.key.clone(),
            pin: reader(&self.pin_file)?,
        };
        TokenSource::new(options).map_err(|error| Failure::no(format!("[vault.pkcs11]: {error}")))
    }
}

impl Transit {
    fn source(&self, outbound: &Outbound) -> Result<TransitSource, Failure> {
        let auth = match (&self.token_file, &self.role_id, &self.secret_id_file) {
            (Some(file), _, _) => TransitAuth::Token(reader(file)?),
            (None, Some(role_id), Some(file)) => {
                TransitAuth::AppRole { role_id: role_id.clone(), secret_id: reader(file)? }
            }
            _ => return Err(Failure::no("[vault.transit] needs token_file, or an AppRole")),
        };
        let roots = match &self.ca_file {
            Some(path) => Roots::Own(files::read_text(path, CA_BYTES_MAX)?),
            None => Roots::Web,
        };
        let options = TransitOptions {
            address: self.address.clone(),
            roots,
            outbound: outbound.clone(),
            mount: self.mount.clone(),
            key: self.key.clone(),
            auth,
        };
        TransitSource::new(options)
            .map_err(|error| Failure::no(format!("[vault.transit]: {error}")))
    }
}

/// Reads the secret in a file each time it is needed; it must be readable now, by its owner only.
fn reader(path: &Path) -> Result<SecretReader, Failure> {
    files::read_secret(path, SECRET_BYTES_MAX)?;
    let path = path.to_owned();
    Ok(Box::new(move || {
        let text =
            files::read_secret(&path, SECRET_BYTES_MAX).map_err(|error| error.to_string())?;
        Ok(SecretString::new(text.trim_end().to_owned()))
    }))
}
