//! The data directory: its lock, its secrets, and where everything in it is.
//!
//! ```text
//! lock              held by the one process that writes
//! control.sock      the running gateway's ear for the command line
//! tradewarden.db    SQLite, unless the database is elsewhere
//! kek               the key that wraps all keys; back it up apart from the database
//! checkpoint        the newest checkpoint of the audit log, outside the database
//! restoring         there while a restore is under way: nothing starts
//! halt              halts that the database did not take; an empty file halts everything
//! log-origin        the name of the audit log
//! last-backup       when `db backup` last made a copy
//! node              this node's name among several on one database
//! paper/            the paper broker's own journal; paper.sock if it is a process of its own
//! demo.json         what `demo` made, with its webhook's secret
//! tls/              the local CAs and what they issued
//! acme/             the account and the certificate of another authority
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tradewarden_domain::time::Timestamp;
use tradewarden_seal::{FileKeySource, KeySource, KeySources, Keyring, Randomness, hex_encode};

use crate::config::{Config, SourceKind};
use crate::outcome::Failure;
use crate::{control, files, output};

/// How often we look again while somebody else holds the lock.
pub(crate) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often at most: five seconds, in which a gateway has started and a command has ended.
pub(crate) const LOOKS_MAX: u32 = 100;
/// Longest file that holds one name, in bytes.
const NAME_BYTES_MAX: u64 = 256;
/// What names the log; there from the first start on, with whichever database.
const LOG_ORIGIN: &str = "log-origin";
/// What says when the database was last copied.
const LAST_BACKUP: &str = "last-backup";

/// A data directory, locked or not.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    root: PathBuf,
}

/// The right to write: nobody else has it while this exists.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: File,
}

/// What locking found.
pub(crate) enum Locking {
    /// We have it.
    Held(Lock),
    /// Another process has it.
    Taken,
}

impl Data {
    /// The directory of this configuration, which need not exist.
    pub(crate) fn at(config: &Config) -> Self {
        Self { root: config.data.clone() }
    }

    /// Makes the directory, closed to others, if it is not there.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        files::private_directory(&self.root)?;
        files::private_directory(&self.tls())
    }

    /// Whether there is one.
    pub(crate) fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// The directory itself, in full, so that it means the same from everywhere.
    pub(crate) fn root(&self) -> PathBuf {
        std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone())
    }

    /// The lock's file.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The control socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// The paper broker's socket.
    pub(crate) fn paper_socket(&self) -> PathBuf {
        self.root.join("paper.sock")
    }

    /// The paper broker's directory.
    pub(crate) fn paper(&self) -> PathBuf {
        self.root.join("paper")
    }

    /// SQLite's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("tradewarden.db")
    }

    /// The key that wraps all keys, where the source is a file.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.root.join("kek")
    }

    /// Notes that the database was copied.
    pub(crate) fn note_backup(&self, at: Timestamp) -> Result<(), Failure> {
        files::write_private(&self.root.join(LAST_BACKUP), &format!("{at}\n"))
    }

    /// When the database was last copied by a command of ours, as far as that was noted here.
    pub(crate) fn last_backup(&self) -> Option<Timestamp> {
        let noted = files::read_text_if_there(&self.root.join(LAST_BACKUP), NAME_BYTES_MAX);
        noted.ok().flatten()?.trim_end().parse().ok()
    }

    /// The newest checkpoint.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// There while a restore is under way; it names where the database before it goes.
    pub(crate) fn restoring(&self) -> PathBuf {
        self.root.join("restoring")
    }

    /// That no restore was interrupted: the database may be away, and must not be made anew.
    pub(crate) fn refuse_amid_restore(&self) -> Result<(), Failure> {
        if self.restoring().exists() {
            return Err(Failure::no(
                "a restore of the database was interrupted: give the same `tradewarden db restore` again",
            ));
        }
        Ok(())
    }

    /// Halts that are kept beside the database.
    pub(crate) fn halt(&self) -> PathBuf {
        self.root.join("halt")
    }

    /// What the demo remembers, with the webhook's secret.
    pub(crate) fn demo(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// Certificates and their keys.
    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// What belongs to certificates by ACME.
    pub(crate) fn acme(&self) -> PathBuf {
        self.root.join("acme")
    }

    /// Takes the right to write, if nobody has it.
    pub(crate) fn lock(&self) -> Result<Locking, Failure> {
        let path = self.lock_file();
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|cause| files::failed("open", &path, &cause))?;
        match file.try_lock() {
            Ok(()) => Ok(Locking::Held(Lock { _held: file })),
            Err(TryLockError::WouldBlock) => Ok(Locking::Taken),
            Err(TryLockError::Error(cause)) => Err(files::failed("lock", &path, &cause)),
        }
    }

    /// The same for a gateway, for which a taken lock is the end.
    pub(crate) fn lock_for_gateway(&self) -> Result<Lock, Failure> {
        match self.lock()? {
            Locking::Held(lock) => Ok(lock),
            Locking::Taken => Err(self.in_use()),
        }
    }

    /// The same where a command may have it, which has ended soon: that is waited for. Who listens at the
    /// control socket is a gateway, and ends when it is stopped.
    pub(crate) async fn lock_for_start(&self) -> Result<Lock, Failure> {
        for look in 0..LOOKS_MAX {
            match self.lock()? {
                Locking::Held(lock) => return Ok(lock),
                Locking::Taken if control::is_answered(self).await => return Err(self.in_use()),
                Locking::Taken => {}
            }
            if look == 0 {
                output::note(&format!(
                    "another process uses the data directory {}: waiting up to {} s for its end",
                    self.root.display(),
                    LOOK_AGAIN_AFTER.saturating_mul(LOOKS_MAX).as_secs()
                ));
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        self.lock_for_gateway()
    }

    /// What is said when somebody else has the lock.
    pub(crate) fn in_use(&self) -> Failure {
        Failure::unavailable(format!(
            "another gateway uses the data directory {}: stop it first, or name another directory \
             with --data",
            self.root.display()
        ))
    }

    /// The keys, on the configured sources.
    pub(crate) fn keyring(
        &self,
        config: &Config,
        randomness: &mut dyn Randomness,
    ) -> Result<Keyring, Failure> {
        let vault = &config.vault;
        let current = self.source(config, vault.source, randomness)?;
        let previous = vault.previous.map(|kind| self.source(config, kind, randomness));
        let others = previous.transpose()?.into_iter().collect();
        Ok(Keyring::on(KeySources { current, others, stay_open: vault.stay_open() }))
    }

    /// A source that a running gateway uses from now on, beside those it has. A key file is made if there
    /// is none: what is sealed opens with those.
    pub(crate) fn further_source(
        &self,
        config: &Config,
        kind: SourceKind,
        randomness: &mut dyn Randomness,
    ) -> Result<Arc<dyn KeySource>, Failure> {
        if let Some(outside) = config.vault.outside(kind, &config.outbound)? {
            return Ok(outside);
        }
        let path = self.key_file();
        let source = if path.exists() {
            FileKeySource::open(&path)
        } else {
            FileKeySource::create(&path, randomness)
        };
        Ok(Arc::new(source.map_err(|error| Failure::no(error.to_string()))?))
    }

    /// A source; a key file is made on first use, where it is what wraps.
    fn source(
        &self,
        config: &Config,
        kind: SourceKind,
        randomness: &mut dyn Randomness,
    ) -> Result<Arc<dyn KeySource>, Failure> {
        let vault = &config.vault;
        if let Some(outside) = vault.outside(kind, &config.outbound)? {
            return Ok(outside);
        }
        let path = self.key_file();
        let source = if path.exists() {
            FileKeySource::open(&path)
        } else if vault.previous == Some(kind) || self.was_used() && vault.previous.is_none() {
            return Err(Failure::no(format!(
                "the key file {} is missing, but there is a database sealed with it: put the \
                 key's backup back",
                path.display()
            )));
        } else {
            FileKeySource::create(&path, randomness)
        };
        match source {
            Ok(source) => Ok(Arc::new(source)),
            Err(error) => Err(Failure::no(error.to_string())),
        }
    }

    /// That there is what a command which only reads would otherwise make: an installation, and the key
    /// file that is to wrap its keys.
    pub(crate) fn is_set_up(&self, config: &Config) -> Result<(), Failure> {
        if !self.was_used() {
            return Err(Failure::not_found(format!(
                "there is no installation in {}: `tradewarden init` makes it, --data names another one",
                self.root.display()
            )));
        }
        let kek = self.key_file();
        // Without a previous source it is lost, which whoever opens it says.
        let is_to_be_made = config.vault.previous.is_some_and(|kind| kind != SourceKind::File);
        if config.vault.source == SourceKind::File && is_to_be_made && !kek.exists() {
            return Err(Failure::not_found(format!(
                "there is no key file {} yet: the next start of the gateway makes it",
                kek.display()
            )));
        }
        Ok(())
    }

    /// What is said where SQLite's file is not: the installation may well be in another database.
    pub(crate) fn no_database(&self) -> String {
        let file = self.database();
        let file = file.display();
        if self.was_used() {
            format!(
                "there is no database {file}, though a gateway ran on this directory: name with --config \
                 the configuration that it ran with, which says where its database is"
            )
        } else {
            format!("there is no database {file}: --data names the data directory")
        }
    }

    /// Whether a gateway ran on this directory, with whichever database.
    fn was_used(&self) -> bool {
        self.database().exists() || self.root.join(LOG_ORIGIN).exists()
    }

    /// Removes the token with which older versions let the operator in: it opens nothing any more.
    pub(crate) fn remove_operator_token(&self) -> Result<(), Failure> {
        let path = self.root.join("operator-token");
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(files::failed("remove", &path, &cause))
            }
            _ => Ok(()),
        }
    }

    /// The name of the audit log: as configured, else a random one that is kept, because a log that
    /// changed its name would be another log.
    pub(crate) fn log_origin(
        &self,
        config: &Config,
        randomness: &mut dyn Randomness,
    ) -> Result<String, Failure> {
        self.kept(LOG_ORIGIN, || match &config.log_origin {
            Some(origin) => origin.clone(),
            None => format!("localhost/tradewarden-{}", random_word(randomness)),
        })
    }

    /// This node's name among those on one database, the same after every restart.
    pub(crate) fn node(&self, randomness: &mut dyn Randomness) -> Result<String, Failure> {
        self.kept("node", || format!("node-{}", random_word(randomness)))
    }

    /// The line in the file of this name, which is made on first use.
    fn kept(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
        let path = self.root.join(name);
        if let Some(kept) = files::read_text_if_there(&path, NAME_BYTES_MAX)? {
            return Ok(kept.trim_end().to_owned());
        }
        let line = make();
        files::write_private(&path, &format!("{line}\n"))?;
        Ok(line)
    }
}

fn random_word(randomness: &mut dyn Randomness) -> String {
    let mut bytes = [0; 8];
    randomness.fill(&mut bytes);
    hex_encode(&bytes)
}

impl AsRef<Path> for Data {
    fn as_ref(&self) -> &Path {
        &self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Exit;
    use crate::scratch::Scratch;
    use std::os::unix::fs::MetadataExt;
    use tradewarden_seal::SystemRandomness;

    fn data(scratch: &Scratch) -> (Config, Data) {
        let config = Config { data: scratch.path().join("data"), ..Config::default() };
        let data = Data::at(&config);
        data.create().unwrap();
        (config, data)
    }

    #[test]
    fn a_second_gateway_does_not_start() {
        let scratch = Scratch::new();
        let (_, data) = data(&scratch);
        let lock = data.lock_for_gateway().unwrap();
        let refused = data.lock_for_gateway().unwrap_err();
        assert_eq!(refused.exit, Exit::Unavailable);
        assert!(refused.sentence.starts_with("another gateway uses"), "{refused}");
        drop(lock);
        data.lock_for_gateway().unwrap();
    }

    #[test]
    fn reading_commands_find_what_is_there_and_make_nothing() {
        let scratch = Scratch::new();
        let (mut config, data) = data(&scratch);
        let refused = data.is_set_up(&config).unwrap_err();
        assert_eq!(refused.exit, Exit::NotFound);
        assert!(refused.sentence.contains("`tradewarden init` makes it"), "{refused}");
        data.log_origin(&config, &mut SystemRandomness::new()).unwrap();
        data.is_set_up(&config).unwrap();
        config.vault.previous = Some(SourceKind::Pkcs11);
        let refused = data.is_set_up(&config).unwrap_err();
        assert!(refused.sentence.contains("there is no key file"), "{refused}");
        assert!(!config.data.join("kek").exists());
    }

    #[test]
    fn who_misses_the_database_hears_where_it_may_be() {
        let scratch = Scratch::new();
        let (config, data) = data(&scratch);
        assert!(data.no_database().ends_with("--data names the data directory"));
        data.log_origin(&config, &mut SystemRandomness::new()).unwrap();
        assert!(data.no_database().contains("name with --config"), "{}", data.no_database());
    }

    #[test]
    fn secrets_are_made_once_and_closed_to_others() {
        let scratch = Scratch::new();
        let (config, data) = data(&scratch);
        let mut randomness = SystemRandomness::new();
        data.keyring(&Config::default(), &mut randomness).unwrap();
        data.keyring(&Config::default(), &mut randomness).unwrap();
        let origin = data.log_origin(&config, &mut randomness).unwrap();
        assert_eq!(data.log_origin(&config, &mut randomness).unwrap(), origin);
        for entry in fs::read_dir(&data).unwrap() {
            let metadata = entry.unwrap().metadata().unwrap();
            assert_eq!(metadata.mode() & 0o077, 0);
        }
    }

    #[test]
    fn a_lost_key_is_not_replaced_by_a_new_one() {
        let scratch = Scratch::new();
        let (config, data) = data(&scratch);
        fs::write(data.database(), "").unwrap();
        let refused = || {
            let refused = data.keyring(&Config::default(), &mut SystemRandomness::new());
            assert!(refused.unwrap_err().sentence.contains("put the key's backup back"));
        };
        refused();
        // With PostgreSQL there is no such file, and the log has its name.
        fs::remove_file(data.database()).unwrap();
        data.log_origin(&config, &mut SystemRandomness::new()).unwrap();
        refused();
        assert!(!data.root.join("kek").exists());
    }

    #[test]
    fn the_token_that_older_versions_left_is_removed() {
        let scratch = Scratch::new();
        let (_, data) = data(&scratch);
        let left_over = data.root().join("operator-token");
        files::write_private(&left_over, "two_left").unwrap();
        for _ in 0..2 {
            data.remove_operator_token().unwrap();
            assert!(!left_over.exists());
        }
        fs::create_dir(&left_over).unwrap();
        assert!(data.remove_operator_token().is_err(), "what stays is not passed over");
    }
}
