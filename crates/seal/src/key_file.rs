//! The key that wraps all data keys, kept in a file that only its owner can read.
//!
//! Each line is a version, `twkek_<43 base64url>_<6 checksum>`: 32 random bytes. The last line wraps,
//! the others still open what they wrapped. Whoever has the file and the database has everything; a
//! backup of the database without it has nothing. Losing it loses every sealed value: back it up apart
//! from the database, and anew after each rotation.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use zeroize::Zeroizing;

use crate::{
    Digest, KeySource, Randomness, SOURCE_NONCE_BYTES, SecretBytes, SecretString, SourceAnswer,
    SourceError, Wrapping, checked_text, committing,
    digest::{base64url_decode, base64url_encode, hex_encode},
    envelope::associated_data,
};

const PREFIX: &str = "twkek";
const KEY_BYTES: usize = 32;
const KEY_CHARACTERS: usize = 43;

/// Most versions of the key in one file.
pub const MAX_KEY_FILE_VERSIONS: usize = 16;

/// A line has 57 bytes; more than this is some other file.
const MAX_FILE_BYTES: usize = 64 * MAX_KEY_FILE_VERSIONS;

/// Why a key file cannot be used. The texts name the path and say what to do.
#[derive(Debug)]
pub enum KeyFileError {
    /// Others than the owner can read or write it.
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not one of our key files, or was changed.
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The system refused to make or read it.
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        cause: io::Error,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOpen { path, mode } => {
                let path = path.display();
                write!(
                    formatter,
                    "the key file {path} can be used by others than its owner (mode {mode:04o}); run `chmod 600 {path}`, and if others \
                     have accounts on this machine, replace the key"
                )
            }
            Self::NotAKey { path } => {
                let path = path.display();
                write!(
                    formatter,
                    "{path} is not a Tradewarden key file or is damaged; put its backup back"
                )
            }
            Self::Io { path, action, cause } => {
                write!(formatter, "cannot {action} the key file {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            Self::TooOpen { .. } | Self::NotAKey { .. } => None,
        }
    }
}

/// The wrapping key with its versions, read from its file.
pub struct FileKeySource {
    /// None where the key is in memory only.
    path: Option<PathBuf>,
    versions: RwLock<Arc<Vec<Version>>>,
}

/// One version of the key.
struct Version {
    id: String,
    key: SecretBytes,
}

impl FileKeySource {
    /// Makes a new key and writes it to `path`, which must not exist yet. When this returns, the
    /// file is on the disk, mode 0600.
    ///
    /// The file is there as a whole or not at all: a crash may leave a draft beside it, which the
    /// next start writes anew.
    pub fn create(path: &Path, randomness: &mut dyn Randomness) -> Result<Self, KeyFileError> {
        let version = Version::of(SecretBytes::random(KEY_BYTES, randomness));
        let failed =
            |action| move |cause| KeyFileError::Io { path: path.to_owned(), action, cause };
        if path.exists() {
            return Err(failed("create")(io::ErrorKind::AlreadyExists.into()));
        }
        let draft = write_draft(path, &[&version])?;
        // A link never replaces a key that somebody else has made meanwhile.
        fs::hard_link(&draft, path).map_err(failed("create"))?;
        fs::remove_file(&draft).map_err(failed("remove the draft of"))?;
        sync_directory(path)?;
        Ok(Self::of(Some(path.to_owned()), vec![version]))
    }

    /// Reads the key. Refuses a file that group or others can use in any way, because then they may
    /// have it.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self::of(Some(path.to_owned()), read(path)?))
    }

    /// A source whose key is in memory only: for tests and simulation, where nothing outlives the
    /// process.
    pub fn from_randomness(randomness: &mut dyn Randomness) -> Self {
        Self::of(None, vec![Version::of(SecretBytes::random(KEY_BYTES, randomness))])
    }

    fn of(path: Option<PathBuf>, versions: Vec<Version>) -> Self {
        Self { path, versions: RwLock::new(Arc::new(versions)) }
    }

    fn versions(&self) -> Arc<Vec<Version>> {
        Arc::clone(&self.versions.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of the newest version, in every data key it wraps. It tells versions apart and
    /// nothing about them.
    fn newest_id(&self) -> Result<String, SourceError> {
        let versions = self.versions();
        let newest = versions.last().ok_or_else(no_version)?;
        self.is_on_the_disk(newest)?;
        Ok(newest.id.clone())
    }

    /// A version wraps as long as the file has it: what it wrapped would not open after a restart.
    fn is_on_the_disk(&self, newest: &Version) -> Result<(), SourceError> {
        let Some(path) = &self.path else { return Ok(()) };
        let there = read(path).map_err(|error| SourceError::Refused(error.to_string()))?;
        if there.iter().any(|version| version.id == newest.id) {
            return Ok(());
        }
        Err(SourceError::Refused(format!(
            "{} no longer has the newest version of the key: put its newest backup back before the \
             gateway is stopped",
            path.display()
        )))
    }

    fn wrap_now(
        &self,
        secret: &SecretBytes,
        nonce: &[u8; SOURCE_NONCE_BYTES],
    ) -> Result<Wrapping, SourceError> {
        let versions = self.versions();
        let version = versions.last().ok_or_else(no_version)?;
        self.is_on_the_disk(version)?;
        let mut bytes = Vec::new();
        let associated = context(&version.id)?;
        committing::seal_with_nonce(&version.key, &associated, secret.expose(), nonce, &mut bytes)
            .map_err(|error| SourceError::Refused(error.to_string()))?;
        Ok(Wrapping { key_id: version.id.clone(), bytes })
    }

    fn unwrap_now(&self, key_id: &str, wrapped: &[u8]) -> Result<SecretBytes, SourceError> {
        let versions = self.versions();
        let version = versions.iter().find(|version| version.id == key_id);
        let version = version.ok_or(SourceError::DoesNotOpen)?;
        committing::open(&version.key, &context(key_id)?, wrapped)
            .map_err(|_| SourceError::DoesNotOpen)
    }

    /// Writes the new version behind the others, which are read anew: what is on the disk counts. When
    /// this returns, the file is on the disk with the new version; a crash leaves the old file or the
    /// new one.
    fn rotate_now(&self, fresh: SecretBytes) -> Result<String, SourceError> {
        let mut held = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        let refused = |error: KeyFileError| SourceError::Refused(error.to_string());
        self.is_on_the_disk(held.last().ok_or_else(no_version)?)?;
        let mut versions = match &self.path {
            Some(path) => read(path).map_err(refused)?,
            None => held.iter().map(Version::copied).collect(),
        };
        if versions.len() >= MAX_KEY_FILE_VERSIONS {
            return Err(SourceError::Refused(format!(
                "{} has {MAX_KEY_FILE_VERSIONS} versions of the key already: rewrap, wait until no \
                 backup is needed that older ones opened, and remove their lines",
                self.place()
            )));
        }
        let version = Version::of(fresh);
        let id = version.id.clone();
        versions.push(version);
        if let Some(path) = &self.path {
            let all: Vec<&Version> = versions.iter().collect();
            let draft = write_draft(path, &all).map_err(refused)?;
            fs::rename(&draft, path).map_err(|cause| {
                refused(KeyFileError::Io { path: path.clone(), action: "replace", cause })
            })?;
            sync_directory(path).map_err(refused)?;
        }
        *held = Arc::new(versions);
        Ok(id)
    }
}

impl KeySource for FileKeySource {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "memory".to_owned(),
        }
    }

    fn holds(&self, key_id: &str) -> bool {
        self.versions().iter().any(|version| version.id == key_id)
    }

    fn newest(&self) -> SourceAnswer<'_, String> {
        Box::pin(std::future::ready(self.newest_id()))
    }

    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        Box::pin(std::future::ready(self.wrap_now(secret, nonce)))
    }

    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        Box::pin(std::future::ready(self.unwrap_now(key_id, wrapped)))
    }

    fn rotate(&self, fresh: SecretBytes) -> SourceAnswer<'_, String> {
        Box::pin(std::future::ready(self.rotate_now(fresh)))
    }
}

impl fmt::Debug for FileKeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileKeySource({})", self.place())
    }
}

impl Version {
    fn of(key: SecretBytes) -> Self {
        let digest = Digest::sha256_parts(&[b"tradewarden/key-id/v1\0", key.expose()]);
        let (first, _) = digest.as_bytes().split_at(8);
        Self { id: format!("file-{}", hex_encode(first)), key }
    }

    fn copied(&self) -> Self {
        Self { id: self.id.clone(), key: SecretBytes::new(self.key.expose().to_vec()) }
    }
}

fn no_version() -> SourceError {
    SourceError::Refused("there is no version of the key".to_owned())
}

/// What a wrapping is bound to: that it is one, and the version that made it.
fn context(key_id: &str) -> Result<Vec<u8>, SourceError> {
    associated_data(&[b"tw/file-wrapping/v1", key_id.as_bytes()])
        .map_err(|error| SourceError::Refused(error.to_string()))
}

/// Writes a draft beside `path` and syncs it. What a crash leaves of one is written anew: nothing was
/// sealed with it.
fn write_draft(path: &Path, versions: &[&Version]) -> Result<PathBuf, KeyFileError> {
    let failed = |action| move |cause| KeyFileError::Io { path: path.to_owned(), action, cause };
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft);
    let mut file = file.map_err(failed("create"))?;
    for version in versions {
        let encoded = SecretString::new(base64url_encode(version.key.expose()));
        let line = SecretString::new(checked_text::print(PREFIX, encoded.expose()));
        file.write_all(line.expose().as_bytes()).map_err(failed("write"))?;
        file.write_all(b"\n").map_err(failed("write"))?;
    }
    file.sync_all().map_err(failed("sync"))?;
    Ok(draft)
}

/// The name of a file is in its directory, which is synced apart.
fn sync_directory(path: &Path) -> Result<(), KeyFileError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|cause| KeyFileError::Io {
        path: path.to_owned(),
        action: "sync the directory of",
        cause,
    })
}

/// Every version in the file, in their order.
fn read(path: &Path) -> Result<Vec<Version>, KeyFileError> {
    let failed = |cause| KeyFileError::Io { path: path.to_owned(), action: "read", cause };
    let file = File::open(path).map_err(failed)?;
    // Of the opened file, not of the path: what is judged is what is read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAKey { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    let mut buffer = Zeroizing::new([0; MAX_FILE_BYTES]);
    let text = read_text(file, buffer.as_mut_slice()).map_err(failed)?;
    let versions = text.and_then(parse_lines);
    versions.ok_or_else(|| KeyFileError::NotAKey { path: path.to_owned() })
}

/// The text of a file that fits into `buffer`.
fn read_text(mut file: File, buffer: &mut [u8]) -> io::Result<Option<&str>> {
    let mut length = 0;
    while let Some(free) = buffer.get_mut(length..).filter(|free| !free.is_empty()) {
        match file.read(free)? {
            0 => {
                return Ok(buffer.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()));
            }
            read => length += read,
        }
    }
    Ok(None)
}

fn parse_lines(text: &str) -> Option<Vec<Version>> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let versions: Option<Vec<Version>> =
        text.split('\n').map(|line| parse_line(line).map(Version::of)).collect();
    versions.filter(|versions| versions.len() <= MAX_KEY_FILE_VERSIONS)
}

fn parse_line(line: &str) -> Option<SecretBytes> {
    let key = SecretBytes::new(
        base64url_decode(checked_text::parse(PREFIX, KEY_CHARACTERS, line)?).ok()?,
    );
    (key.expose().len() == KEY_BYTES).then_some(key)
}

#[cfg(test)]
mod tests;
