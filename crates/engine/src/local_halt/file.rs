//! The file: a short list of halts as JSON, readable by its owner only, replaced as a whole and synced
//! with its directory before anything is answered.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tradewarden_domain::halt::{Halt, HaltMode};
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;

/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024;
/// Halts that are kept; one more is refused, and those there are hold.
const HALTS_MAX: usize = 64;
const FORMAT: u32 = 1;

/// A halt that is no row yet, or whose end is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRecord {
    /// The halt.
    pub halt: Halt,
    /// By whom and when it was ended, if it was.
    pub resumed: Option<Resumed>,
}

/// The end of a halt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumed {
    /// By whom.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    halts: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Id<id::Halt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org_id: Option<Id<id::Org>>,
    scope: String,
    mode: HaltMode,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    include_protective: bool,
    reason: String,
    engaged_by: String,
    engaged_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resumed: Option<Resumed>,
}

impl Line {
    fn of(LocalRecord { halt, resumed }: &LocalRecord) -> Self {
        Self {
            id: halt.id,
            org_id: halt.org_id,
            scope: halt.scope.to_string(),
            mode: halt.mode,
            include_protective: halt.include_protective,
            reason: halt.reason.clone(),
            engaged_by: halt.engaged_by.clone(),
            engaged_at: halt.engaged_at,
            resumed: resumed.clone(),
        }
    }

    fn record(self) -> Result<LocalRecord, String> {
        let scope = self.scope.parse().map_err(|_| format!("{:?} is no scope", self.scope))?;
        let halt = Halt {
            id: self.id,
            org_id: self.org_id,
            scope,
            mode: self.mode,
            include_protective: self.include_protective,
            reason: self.reason,
            engaged_by: self.engaged_by,
            engaged_at: self.engaged_at,
        };
        Ok(LocalRecord { halt, resumed: self.resumed })
    }
}

/// What is in the file.
pub(super) enum Found {
    /// These; none if there is no file.
    Records(Vec<LocalRecord>),
    /// There is one, and this is wrong with it.
    Unreadable(String),
}

/// The halt file of a data directory, whether it is there or not.
#[derive(Debug, Clone)]
pub struct LocalHaltFile {
    path: PathBuf,
}

impl LocalHaltFile {
    /// The file at this path, whose directory must exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The halts in it, those excepted that were ended. A file that cannot be read is one halt,
    /// which `unreadable` makes of the reason.
    pub fn in_force(&self, unreadable: impl FnOnce(&str) -> LocalRecord) -> Vec<Halt> {
        let records = match self.read() {
            Found::Records(records) => records,
            Found::Unreadable(why) => vec![unreadable(&why)],
        };
        let in_force = records.into_iter().filter(|record| record.resumed.is_none());
        in_force.map(|record| record.halt).collect()
    }

    /// Looks without opening first: that there is no file is known without a free descriptor.
    pub(super) fn read(&self) -> Found {
        let unreadable = |error: &dyn std::fmt::Display| Found::Unreadable(error.to_string());
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Records(Vec::new()),
            Err(error) => unreadable(&error),
            Ok(_) => match self.parse() {
                Ok(records) => Found::Records(records),
                Err(error) => unreadable(&error),
            },
        }
    }

    fn parse(&self) -> Result<Vec<LocalRecord>, String> {
        let mut text = String::new();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // Removed since the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_there() => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.to_string()),
        };
        let read = file.take(BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        let document: Document = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("format {} is not known", document.format));
        }
        document.halts.into_iter().map(Line::record).collect()
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok()
    }

    /// Adds a halt. On disk when this returns. Where not even that can be written, an empty file is
    /// left, which halts everything.
    pub fn engage(
        &self,
        halt: &Halt,
        unreadable: impl FnOnce(&str) -> LocalRecord,
    ) -> io::Result<()> {
        let record = LocalRecord { halt: halt.clone(), resumed: None };
        let written = self.change(unreadable, |records| {
            if records.len() >= HALTS_MAX {
                return Err(io::Error::other("the local halt file is full"));
            }
            records.retain(|known| known.halt.id != halt.id);
            records.push(record);
            Ok(())
        });
        written.or_else(|error| {
            // A full disk often has room for a name.
            let mut options = OpenOptions::new();
            let empty = options.write(true).create_new(true).mode(0o600).open(&self.path);
            empty.and_then(|_| self.sync_directory()).map_err(|_| error)
        })
    }

    /// Ends a halt. The record stays, so that its entries can be written.
    pub fn resume(
        &self,
        halt: &Halt,
        resumed: &Resumed,
        unreadable: impl FnOnce(&str) -> LocalRecord,
    ) -> io::Result<()> {
        self.change(unreadable, |records| {
            records.retain(|known| known.halt.id != halt.id);
            records.push(LocalRecord { halt: halt.clone(), resumed: Some(resumed.clone()) });
            Ok(())
        })
    }

    /// Removes what is recorded elsewhere. A record that has changed since stays.
    pub(super) fn remove(
        &self,
        journaled: &[LocalRecord],
        unreadable: impl FnOnce(&str) -> LocalRecord,
    ) -> io::Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        self.change(unreadable, |records| {
            records.retain(|known| !journaled.contains(known));
            Ok(())
        })
    }

    /// Reads, changes and replaces the file, one process at a time. What could not be read is kept
    /// beside it.
    fn change(
        &self,
        unreadable: impl FnOnce(&str) -> LocalRecord,
        change: impl FnOnce(&mut Vec<LocalRecord>) -> io::Result<()>,
    ) -> io::Result<()> {
        let directory = File::open(self.directory())?;
        directory.lock()?;
        let mut records = match self.read() {
            Found::Records(records) => records,
            Found::Unreadable(why) => {
                let aside = self.path.with_extension("unreadable");
                let _there_was_none = fs::remove_file(&aside);
                if let Err(error) = fs::hard_link(&self.path, &aside) {
                    tracing::warn!(error = %error, "the unreadable halt file is not kept");
                }
                vec![unreadable(&why)]
            }
        };
        change(&mut records)?;
        if records.is_empty() {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        } else {
            self.replace(&records)?;
        }
        directory.sync_all()
    }

    fn replace(&self, records: &[LocalRecord]) -> io::Result<()> {
        let document = Document { format: FORMAT, halts: records.iter().map(Line::of).collect() };
        let text = serde_json::to_vec(&document)?;
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(self.directory())?.sync_all()
    }

    fn directory(&self) -> &Path {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tradewarden_domain::halt::HaltScope;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tradewarden-halt-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> LocalHaltFile {
            LocalHaltFile::at(self.0.join("halt"))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _left_for_the_system = fs::remove_dir_all(&self.0);
        }
    }

    fn halt(number: u8) -> Halt {
        Halt {
            id: Id::from_bytes([number; 16]),
            org_id: None,
            scope: HaltScope::Global,
            mode: HaltMode::Cancel,
            include_protective: number.is_multiple_of(2),
            reason: format!("reason \"{number}\""),
            engaged_by: "operator".to_owned(),
            engaged_at: Timestamp::default(),
        }
    }

    fn unreadable(why: &str) -> LocalRecord {
        LocalRecord { halt: Halt { reason: why.to_owned(), ..halt(255) }, resumed: None }
    }

    fn ids(halts: &[Halt]) -> Vec<u8> {
        halts.iter().map(|halt| halt.id.to_bytes()[0]).collect()
    }

    #[test]
    fn halts_come_go_and_leave_no_file() {
        let scratch = Scratch::new();
        let file = scratch.file();
        assert_eq!(file.in_force(unreadable), []);
        file.engage(&halt(1), unreadable).unwrap();
        file.engage(&halt(2), unreadable).unwrap();
        file.engage(&halt(1), unreadable).unwrap();
        assert_eq!(ids(&file.in_force(unreadable)), [2, 1]);
        let resumed = Resumed { by: "operator".to_owned(), at: Timestamp::default() };
        file.resume(&halt(2), &resumed, unreadable).unwrap();
        assert_eq!(file.in_force(unreadable), [halt(1)]);
        // What was journaled before the resumption is not what is there now.
        let journaled = [halt(1), halt(2)].map(|halt| LocalRecord { halt, resumed: None });
        file.remove(&journaled, unreadable).unwrap();
        let Found::Records(left) = file.read() else { panic!("unreadable") };
        assert_eq!(left, [LocalRecord { halt: halt(2), resumed: Some(resumed) }]);
        file.remove(&left, unreadable).unwrap();
        assert!(!file.is_there());
    }

    #[test]
    fn what_cannot_be_read_is_a_halt_and_is_kept_aside() {
        let scratch = Scratch::new();
        let file = scratch.file();
        for text in ["", "{}", "{\"format\":2,\"halts\":[]}", &"x".repeat(70_000)] {
            fs::write(&file.path, text).unwrap();
            assert_eq!(ids(&file.in_force(unreadable)), [255]);
            file.engage(&halt(1), unreadable).unwrap();
            assert_eq!(ids(&file.in_force(unreadable)), [255, 1]);
            assert_eq!(fs::read_to_string(scratch.0.join("halt.unreadable")).unwrap(), text);
        }
        fs::remove_file(&file.path).unwrap();
        fs::create_dir(&file.path).unwrap();
        assert_eq!(ids(&file.in_force(unreadable)), [255]);
    }

    #[test]
    fn where_only_a_name_can_be_written_everything_is_halted() {
        let scratch = Scratch::new();
        let file = scratch.file();
        // In the way of the new file, as a full disk would be.
        fs::create_dir(scratch.0.join("halt.new")).unwrap();
        file.engage(&halt(1), unreadable).unwrap();
        assert_eq!(ids(&file.in_force(unreadable)), [255]);
        assert!(file.engage(&halt(2), unreadable).is_err());
        assert_eq!(ids(&file.in_force(unreadable)), [255]);
    }
}
