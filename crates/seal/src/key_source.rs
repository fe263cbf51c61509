//! The key that wraps all data keys, kept in a file that only its owner can read.
//!
//! The file is one line, `twkek_<43 base64url>_<6 checksum>`: 32 random bytes. Whoever has it and
//! the database has everything; a backup of the database without it has nothing. Losing it loses
//! every sealed value: back it up apart from the database.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    Digest, Randomness, SecretBytes, SecretString, checked_text,
    digest::{base64url_decode, base64url_encode, hex_encode},
};

const PREFIX: &str = "twkek";
const KEY_BYTES: usize = 32;
const KEY_CHARACTERS: usize = 43;

/// The line has 56 bytes; more than this is some other file.
const MAX_FILE_BYTES: usize = 256;

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

/// The wrapping key, read from its file.
pub struct FileKeySource {
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
        let source = Self::from_randomness(randomness);
        let failed =
            |action| move |cause| KeyFileError::Io { path: path.to_owned(), action, cause };
        let encoded = SecretString::new(base64url_encode(source.key.expose()));
        let line = SecretString::new(checked_text::print(PREFIX, encoded.expose()));
        if path.exists() {
            return Err(failed("create")(io::ErrorKind::AlreadyExists.into()));
        }
        // Left over from a crash: nothing was sealed with it.
        let draft = path.with_extension("draft");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed("create"))?;
        file.write_all(line.expose().as_bytes()).map_err(failed("write"))?;
        file.write_all(b"\n").map_err(failed("write"))?;
        file.sync_all().map_err(failed("sync"))?;
        // A link never replaces a key that somebody else has made meanwhile.
        fs::hard_link(&draft, path).map_err(failed("create"))?;
        fs::remove_file(&draft).map_err(failed("remove the draft of"))?;
        // The name of the file is in its directory, which is synced apart.
        if let Some(directory) = path.parent() {
            let directory =
                if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(failed("sync the directory of"))?;
        }
        Ok(source)
    }

    /// Reads the key. Refuses a file that group or others can use in any way, because then they may
    /// have it.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
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
        let key = text
            .and_then(parse_line)
            .ok_or_else(|| KeyFileError::NotAKey { path: path.to_owned() })?;
        Ok(Self::from_key(key))
    }

    /// A source whose key is in memory only: for tests and simulation, where nothing outlives the
    /// process.
    pub fn from_randomness(randomness: &mut dyn Randomness) -> Self {
        Self::from_key(SecretBytes::random(KEY_BYTES, randomness))
    }

    /// The name of this key, in every data key it wrapped. It tells keys apart and nothing about
    /// them.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn key(&self) -> &SecretBytes {
        &self.key
    }

    fn from_key(key: SecretBytes) -> Self {
        let digest = Digest::sha256_parts(&[b"tradewarden/key-id/v1\0", key.expose()]);
        let (first, _) = digest.as_bytes().split_at(8);
        Self { id: format!("file-{}", hex_encode(first)), key }
    }
}

impl fmt::Debug for FileKeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileKeySource({})", self.id)
    }
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

fn parse_line(text: &str) -> Option<SecretBytes> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let key = SecretBytes::new(
        base64url_decode(checked_text::parse(PREFIX, KEY_CHARACTERS, line)?).ok()?,
    );
    (key.expose().len() == KEY_BYTES).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::randomness::testing::Counting;

    /// A directory that is gone when the test is over.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("tradewarden-seal-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_key_file_is_made_for_its_owner_and_read_back() {
        let directory = Directory::new("made");
        let path = directory.0.join("kek");
        let made = FileKeySource::create(&path, &mut Counting(0)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "twkek_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_32agcN\n"
        );
        let opened = FileKeySource::open(&path).unwrap();
        assert_eq!(opened.id(), made.id());
        assert!(opened.key().matches(made.key().expose()));
        assert_eq!(format!("{opened:?}"), format!("FileKeySource({})", made.id()));
        let again = FileKeySource::create(&path, &mut Counting(1)).unwrap_err();
        assert!(again.to_string().starts_with("cannot create the key file"), "{again}");
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_with_what_to_do() {
        let directory = Directory::new("open");
        let path = directory.0.join("kek");
        FileKeySource::create(&path, &mut Counting(0)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = FileKeySource::open(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("`chmod 600 {}`", path.display())), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(FileKeySource::open(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let directory = Directory::new("damaged");
        let path = directory.0.join("kek");
        FileKeySource::create(&path, &mut Counting(0)).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for bad in [
            String::new(),
            "twkek_".to_owned(),
            good.replace("AAEC", "AAED"),
            good.replace("twkek", "twwek"),
            format!("{good}\n"),
            good.repeat(10),
            "é".repeat(28),
        ] {
            fs::write(&path, &bad).unwrap();
            assert!(
                matches!(FileKeySource::open(&path), Err(KeyFileError::NotAKey { .. })),
                "{bad:?}"
            );
        }
        assert!(matches!(FileKeySource::open(&directory.0), Err(KeyFileError::NotAKey { .. })));
        assert!(matches!(
            FileKeySource::open(&directory.0.join("none")),
            Err(KeyFileError::Io { .. })
        ));
    }
}
