//! The journal on disk.
//!
//! `paper.journal` is a row of frames, each the records of one group of commands, written at once
//! and synced before any of the group is answered. `paper.snapshot` is one frame with the whole
//! state through the frame whose number it carries. `paper.lock` keeps a second process out.
//!
//! A frame is a header of 24 bytes, all little endian, and its body in JSON:
//! ```text
//!   magic u32 | length u32 | number u64 | crc32 of body u32 | crc32 of the 20 bytes before u32
//! ```
//!
//! The crash story
//! - *In an append*: what is on disk of the last frame is torn or missing. None of its group was
//!   answered. Loading cuts it off. The header has its own checksum, and one frame at a time is
//!   unsynced, so a broken frame with any whole frame behind it was once synced: that is no crash
//!   but corruption, and it stops the start. (The very last frame rotting on its own cannot be told
//!   from a torn one.)
//! - *In a compaction*, before the rename: a temporary file that the next load removes. After it,
//!   before the journal was emptied: frames that the snapshot already contains; loading skips them
//!   by their number.
//! - *An I/O error* is the end: what is on disk is not known any more, so the caller must stop.

use super::crc::crc32;
use super::record::Record;
use super::snapshot::Snapshot;
use super::state::{Inconsistent, PaperExchange};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tradewarden_domain::time::Timestamp;

const MAGIC: u32 = u32::from_le_bytes(*b"TWP1");
const HEADER: usize = 24;

/// The paper exchange cannot start or go on.
#[derive(Debug)]
pub enum PaperError {
    /// Reading or writing failed; what is on disk is not known.
    Io {
        /// What was attempted, on which file.
        what: String,
        /// How it failed.
        cause: io::Error,
    },
    /// Another process has the directory.
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// A file is not what was written; nobody can say what happened since.
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        offset: usize,
        /// What is wrong.
        why: String,
    },
    /// A record does not fit the state before it.
    Inconsistent(Inconsistent),
}

impl fmt::Display for PaperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, cause } => write!(f, "paper exchange: cannot {what}: {cause}"),
            Self::Locked { directory } => {
                let directory = directory.display();
                write!(f, "paper exchange: another process has {directory}; stop it first")
            }
            Self::Corrupt { file, offset, why } => write!(
                f,
                "paper exchange: {} is damaged at byte {offset}: {why}; restore it from a backup, \
                 or move the directory away to begin anew",
                file.display()
            ),
            Self::Inconsistent(inconsistent) => inconsistent.fmt(f),
        }
    }
}

impl std::error::Error for PaperError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            Self::Inconsistent(inconsistent) => Some(inconsistent),
            Self::Locked { .. } | Self::Corrupt { .. } => None,
        }
    }
}

impl From<Inconsistent> for PaperError {
    fn from(inconsistent: Inconsistent) -> Self {
        Self::Inconsistent(inconsistent)
    }
}

/// The open journal. One at a time on a directory, by lock.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    /// Held for its lock.
    _lock: File,
    /// Bytes of whole frames.
    length: u64,
    /// Number of the last frame.
    number: u64,
    /// Beyond this many bytes a compaction is due.
    compact_at: u64,
    /// Where a frame is put together; kept for its capacity.
    buffer: Vec<u8>,
}

impl Journal {
    /// Beyond so many bytes the journal is compacted.
    pub const COMPACT_AT: u64 = 64 * 1_048_576;

    /// Opens or makes the journal in `directory`, and the exchange that it tells of.
    pub fn open(
        directory: &Path,
        seed: u64,
        compact_at: u64,
    ) -> Result<(Self, PaperExchange), PaperError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|cause| io_error("create", directory, cause))?;
        let lock = lock(directory)?;
        remove_if_there(&directory.join("paper.snapshot.new"))?;
        let (mut exchange, through) = load_snapshot(directory, seed)?;

        let path = directory.join("paper.journal");
        let is_new = !path.exists();
        if is_new && through > 0 {
            let why = "the snapshot is there but the journal is not".to_owned();
            return Err(PaperError::Corrupt { file: path, offset: 0, why });
        }
        let file = private_file(&path)?;
        if is_new {
            sync_directory(directory)?;
        }
        let bytes = fs::read(&path).map_err(|cause| io_error("read", &path, cause))?;
        let whole = replay(&mut exchange, &path, &bytes, through)?;
        if whole.length < bytes.len() {
            tracing::warn!(
                file = %path.display(),
                offset = whole.length,
                bytes = bytes.len().saturating_sub(whole.length),
                "cut off a torn record at the end of the paper journal; it was never answered"
            );
            file.set_len(as_u64(whole.length)).map_err(|cause| io_error("cut", &path, cause))?;
            file.sync_all().map_err(|cause| io_error("sync", &path, cause))?;
        }
        let journal = Self {
            directory: directory.to_owned(),
            file,
            _lock: lock,
            length: as_u64(whole.length),
            number: whole.number,
            compact_at,
            buffer: Vec::new(),
        };
        Ok((journal, exchange))
    }

    /// Appends the records of one group and syncs them. After an error nothing may be answered
    /// from the exchange any more.
    pub fn append(&mut self, records: &[Record]) -> Result<(), PaperError> {
        let number = self.number.saturating_add(1);
        let path = || self.directory.join("paper.journal");
        frame(&mut self.buffer, number, records).map_err(|e| io_error("write", &path(), e))?;
        let written = self.file.write_all_at(&self.buffer, self.length);
        written.map_err(|cause| io_error("append to", &path(), cause))?;
        self.file.sync_data().map_err(|cause| io_error("sync", &path(), cause))?;
        self.length = self.length.saturating_add(as_u64(self.buffer.len()));
        self.number = number;
        Ok(())
    }

    /// Makes every later append fail, as a dying disk does.
    #[cfg(test)]
    pub(super) fn break_disk(&mut self) {
        self.file = File::open(self.directory.join("paper.journal")).unwrap();
    }

    /// Whether the journal has grown enough to be compacted.
    pub fn is_long(&self) -> bool {
        self.length > self.compact_at
    }

    /// Puts the whole state into the snapshot and empties the journal; drops what
    /// [`PaperExchange::forget`] drops.
    pub fn compact(
        &mut self,
        exchange: &mut PaperExchange,
        now: Timestamp,
    ) -> Result<(), PaperError> {
        let dropped = exchange.forget(now);
        let (new, path) =
            (self.directory.join("paper.snapshot.new"), self.directory.join("paper.snapshot"));
        frame(&mut self.buffer, self.number, &exchange.snapshot())
            .map_err(|cause| io_error("write", &new, cause))?;
        let mut file = private_file(&new)?;
        file.write_all(&self.buffer).map_err(|cause| io_error("write", &new, cause))?;
        file.sync_all().map_err(|cause| io_error("sync", &new, cause))?;
        self.buffer = Vec::new();
        fs::rename(&new, &path).map_err(|cause| io_error("rename", &new, cause))?;
        sync_directory(&self.directory)?;
        // From here the snapshot is the state; the frames it contains are only skipped.
        let journal = self.directory.join("paper.journal");
        self.file.set_len(0).map_err(|cause| io_error("empty", &journal, cause))?;
        self.file.sync_all().map_err(|cause| io_error("sync", &journal, cause))?;
        self.length = 0;
        tracing::info!(dropped_orders = dropped, through = self.number, "compacted paper journal");
        Ok(())
    }
}

/// How much of a journal is whole, and the number of its last frame.
struct Whole {
    length: usize,
    number: u64,
}

fn replay(
    exchange: &mut PaperExchange,
    path: &Path,
    bytes: &[u8],
    through: u64,
) -> Result<Whole, PaperError> {
    let corrupt = |offset, why: &str| PaperError::Corrupt {
        file: path.to_owned(),
        offset,
        why: why.to_owned(),
    };
    let mut whole = Whole { length: 0, number: through };
    let mut before = None;
    while whole.length < bytes.len() {
        let offset = whole.length;
        let rest = bytes.get(offset..).unwrap_or_default();
        let Some(frame) = Frame::read(rest) else {
            if whole_frame_behind(rest) {
                return Err(corrupt(offset, "a broken record with whole records behind it"));
            }
            break;
        };
        let follows = match before {
            None => frame.number >= 1 && frame.number <= through.saturating_add(1),
            Some(before) => frame.number == before + 1,
        };
        if !follows {
            return Err(corrupt(offset, "records are missing before it"));
        }
        if frame.number > through {
            let records: Vec<Record> = serde_json::from_slice(frame.body)
                .map_err(|cause| corrupt(offset, &format!("an unreadable record: {cause}")))?;
            for record in &records {
                exchange.fold(record)?;
            }
            whole.number = frame.number;
        }
        before = Some(frame.number);
        whole.length = offset.saturating_add(HEADER).saturating_add(frame.body.len());
    }
    Ok(whole)
}

/// Whether any whole frame begins after the first byte.
fn whole_frame_behind(bytes: &[u8]) -> bool {
    let magic = MAGIC.to_le_bytes();
    let mut at = 1_usize;
    while let Some(rest) = bytes.get(at..) {
        if rest.is_empty() {
            break;
        }
        if rest.starts_with(&magic) && Frame::read(rest).is_some() {
            return true;
        }
        at = at.saturating_add(1);
    }
    false
}

fn load_snapshot(directory: &Path, seed: u64) -> Result<(PaperExchange, u64), PaperError> {
    let path = directory.join("paper.snapshot");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Ok((PaperExchange::new(seed), 0));
        }
        Err(cause) => return Err(io_error("read", &path, cause)),
    };
    let corrupt = |why: String| PaperError::Corrupt { file: path.clone(), offset: 0, why };
    let whole = Frame::read(&bytes).filter(|frame| frame.body.len() + HEADER == bytes.len());
    let frame = whole.ok_or_else(|| corrupt("the checksum does not fit".to_owned()))?;
    let snapshot: Snapshot = serde_json::from_slice(frame.body)
        .map_err(|cause| corrupt(format!("an unreadable snapshot: {cause}")))?;
    Ok((PaperExchange::from_snapshot(seed, snapshot)?, frame.number))
}

/// A frame whose checksums fit.
struct Frame<'a> {
    number: u64,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The whole frame at the beginning of `bytes`, if there is one.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let (checked, header_crc) = header.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*header_crc) != crc32(checked) {
            return None;
        }
        let (magic, checked) = checked.split_first_chunk::<4>()?;
        let (length, checked) = checked.split_first_chunk::<4>()?;
        let (number, body_crc) = checked.split_first_chunk::<8>()?;
        let (body_crc, _) = body_crc.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let body = rest.get(..length)?;
        let fits =
            u32::from_le_bytes(*magic) == MAGIC && u32::from_le_bytes(*body_crc) == crc32(body);
        fits.then(|| Self { number: u64::from_le_bytes(*number), body })
    }
}

/// Puts a frame together in `buffer`.
fn frame(
    buffer: &mut Vec<u8>,
    number: u64,
    body: &(impl serde::Serialize + ?Sized),
) -> io::Result<()> {
    buffer.clear();
    buffer.extend_from_slice(&[0; HEADER]);
    serde_json::to_writer(&mut *buffer, body)?;
    let (header, body) = buffer.split_first_chunk_mut::<HEADER>().ok_or(io::ErrorKind::Other)?;
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut checked = Vec::with_capacity(HEADER);
    checked.extend_from_slice(&MAGIC.to_le_bytes());
    checked.extend_from_slice(&length.to_le_bytes());
    checked.extend_from_slice(&number.to_le_bytes());
    checked.extend_from_slice(&crc32(body).to_le_bytes());
    let header_crc = crc32(&checked).to_le_bytes();
    for (slot, byte) in header.iter_mut().zip(checked.into_iter().chain(header_crc)) {
        *slot = byte;
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, PaperError> {
    let path = directory.join("paper.lock");
    let file = private_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(PaperError::Locked { directory: directory.to_owned() })
        }
        Err(TryLockError::Error(cause)) => Err(io_error("lock", &path, cause)),
    }
}

/// A file that only its owner reads, made if it is not there.
fn private_file(path: &Path) -> Result<File, PaperError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let file = opened.map_err(|cause| io_error("open", path, cause))?;
    let narrowed = file.set_permissions(fs::Permissions::from_mode(0o600));
    narrowed.map_err(|cause| io_error("set the mode of", path, cause))?;
    Ok(file)
}

fn remove_if_there(path: &Path) -> Result<(), PaperError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path, cause))
        }
        _ => Ok(()),
    }
}

fn sync_directory(directory: &Path) -> Result<(), PaperError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|cause| io_error("sync", directory, cause))
}

fn io_error(verb: &str, path: &Path, cause: io::Error) -> PaperError {
    PaperError::Io { what: format!("{verb} {}", path.display()), cause }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
