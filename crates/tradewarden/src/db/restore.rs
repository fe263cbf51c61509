//! `tradewarden db restore`: a copy takes the place of the database, and goes on as another incarnation.
//!
//! The copy is made ready beside the database: looked at, verified, opened with this installation's keys,
//! given its incarnation. Then it takes the database's place, whose files are moved aside and never
//! removed. While that lasts a file says so, and no gateway starts.
//!
//! Crash story: before that file is there nothing has changed. While it is there no command opens the
//! database, the old one is whole where it was or where it was moved to, and so is the new one; the same
//! command, given again, begins anew and moves what is still in the way to where the rest went.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tradewarden_domain::time::Clock;
use tradewarden_engine::incarnation::{self, Begun, Restoring};
use tradewarden_engine::ledger;
use tradewarden_seal::SystemRandomness;
use tradewarden_store::{Location, Store, Writer, migrate};

use crate::cli::{DbRestore, Shape};
use crate::clock::SystemClock;
use crate::commands::show;
use crate::config::{Config, SourceKind};
use crate::data::Data;
use crate::files;
use crate::outcome::{Exit, Failure};
use crate::output;

/// SQLite's companions of a database file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// Largest checkpoint that is taken into the log, in bytes: what an entry holds, and room.
const CHECKPOINT_BYTES_MAX: u64 = 16 * 1024;
/// Longest name of a place where files are moved aside, in bytes.
const ASIDE_BYTES_MAX: u64 = 256;

/// Does what was asked.
pub(super) async fn run(config: &Config, asked: DbRestore, json: bool) -> Result<Exit, Failure> {
    config.refuse_insecure_start()?;
    let data = Data::at(config);
    let location = config.database.location(data.database())?;
    let keys = data.root().join("kek");
    if config.vault.source == SourceKind::File && config.vault.previous.is_none() && !keys.exists()
    {
        return Err(Failure::no(format!(
            "the key file {} is missing: put its backup back, mode 0600; without it nothing sealed in \
             the copy opens",
            keys.display()
        )));
    }
    data.create()?;
    let lock = data.lock_for_gateway()?;
    let from = asked.from.filter(|_| !asked.declare);
    let (begun, aside) = match (from, location) {
        (Some(from), Location::Sqlite(database)) => {
            Swap { config, data: &data, database }.replace(&from).await?
        }
        (Some(_), Location::Postgres(_)) => {
            return Err(Failure::usage(
                "a PostgreSQL database is restored with its own tools (pg_restore) into the database \
                 that is configured; then say so: tradewarden db restore --declare",
            ));
        }
        (None, location) => (declare(config, &data, location).await?, None),
    };
    drop(lock);
    for sentence in [
        "everything is reduce_only until a person resumes the halt; start the gateway, compare \
         positions and open orders with the brokers, then: tradewarden halt resume",
        "what was revoked, disabled or tightened after the copy is as it was before: go through keys, \
         members, webhooks and limits; all sessions were ended",
    ] {
        output::note(sentence);
    }
    let answer = json!({
        "incarnation": begun.number,
        "origin": begun.origin,
        "previous_origin": begun.previous_origin,
        "verifier_key": begun.verifier,
        "entries": begun.entries,
        "lost_entries_min": begun.lost_entries_min,
        "orders_in_doubt": begun.orders_in_doubt,
        "changes_in_doubt": begun.changes_in_doubt,
        "approvals_ended": begun.approvals_ended,
        "overrides_ended": begun.overrides_ended,
        "invitations_ended": begun.invitations_ended,
        "sessions_ended": begun.sessions_ended,
        "halt_id": begun.halt,
        "aside": aside,
    });
    show(&answer, Shape::One, json)?;
    Ok(Exit::Done)
}

/// The database that is in its place was restored by other means.
async fn declare(config: &Config, data: &Data, location: Location) -> Result<Begun, Failure> {
    data.refuse_amid_restore()?;
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        return Err(Failure::not_found(format!("there is no database {}", path.display())));
    }
    let begun = go_on(config, data, location, "another tool").await?;
    // The newest checkpoint before it is evidence.
    let checkpoint = data.checkpoint();
    if let Some(note) = files::read_text_if_there(&checkpoint, CHECKPOINT_BYTES_MAX)? {
        files::write_private(&beside(&checkpoint, &aside_name()), &note)?;
    }
    files::write_private(&checkpoint, &begun.checkpoint)?;
    Ok(begun)
}

/// A copy that is to take the place of SQLite's file.
struct Swap<'a> {
    config: &'a Config,
    data: &'a Data,
    database: PathBuf,
}

impl Swap<'_> {
    /// Answers the incarnation that began, and where the database that was there is now.
    async fn replace(&self, from: &Path) -> Result<(Begun, Option<PathBuf>), Failure> {
        let ready = beside(&self.database, "restoring");
        self.copy(from, &ready)?;
        let prepared = self.prepare(from, &ready).await;
        if prepared.is_err() {
            remove(&ready)?;
            for companion in COMPANIONS {
                remove(&with(&ready, companion))?;
            }
        }
        let begun = prepared?;
        let places = Places {
            database: self.database.clone(),
            checkpoint: self.data.checkpoint(),
            marker: self.data.restoring(),
        };
        let (steps, kept) = places.steps(&ready, &begun.checkpoint)?;
        for step in &steps {
            step.carry_out()?;
        }
        Ok((begun, kept.exists().then_some(kept)))
    }

    /// A private copy on the data directory's disk, durable when this returns.
    fn copy(&self, from: &Path, ready: &Path) -> Result<(), Failure> {
        let is_same = |one: &Path, other: &Path| {
            fs::canonicalize(one).ok().is_some_and(|one| fs::canonicalize(other).ok() == Some(one))
        };
        if is_same(from, &self.database) {
            return Err(Failure::usage(
                "this is the database itself: if it was put in its place by other means, say \
                 `tradewarden db restore --declare`",
            ));
        }
        if is_same(from, ready) {
            return Err(Failure::usage(
                "this is what an interrupted restore left, and not whole: name the copy itself",
            ));
        }
        for companion in COMPANIONS {
            let other = with(from, companion);
            if fs::metadata(&other).is_ok_and(|file| file.len() > 0) {
                return Err(Failure::no(format!(
                    "{} lies beside the copy, so the copy was made by copying files of a database in \
                     use, and is not whole without it; make copies with `tradewarden db backup`",
                    other.display()
                )));
            }
            remove(&with(ready, companion))?;
        }
        remove(ready)?;
        let mut source = File::open(from).map_err(|cause| files::failed("read", from, &cause))?;
        let mut target = files::create_private(ready)?;
        let copied = std::io::copy(&mut source, &mut target).and_then(|_| target.sync_all());
        copied.map_err(|cause| files::failed("copy to", ready, &cause))
    }

    async fn prepare(&self, from: &Path, ready: &Path) -> Result<Begun, Failure> {
        let location = Location::Sqlite(ready.to_owned());
        let store = Store::open(location.clone()).await?;
        let damages = store.damages().await;
        drop(store);
        let damages = damages.map_err(|error| {
            Failure::no(format!("{} is no whole database: {error}", from.display()))
        })?;
        if let Some(first) = damages.first() {
            return Err(Failure::no(format!("{} is damaged: {first}", from.display())));
        }
        let name = from.file_name().unwrap_or(from.as_os_str()).to_string_lossy();
        let begun = go_on(self.config, self.data, location, &name).await?;
        // Closed by its last user, SQLite has folded its log into the file.
        for companion in COMPANIONS {
            if with(ready, companion).exists() {
                return Err(Failure::unavailable(format!(
                    "{} could not be closed: another program has it open",
                    ready.display()
                )));
            }
        }
        Ok(begun)
    }
}

/// The files that change places.
struct Places {
    database: PathBuf,
    checkpoint: PathBuf,
    /// There as long as the database may be away.
    marker: PathBuf,
}

/// One step of changing places. The program may end after any of them.
enum Step {
    Write(PathBuf, String),
    /// What is not there needs no other place.
    MoveAside(PathBuf, PathBuf),
    PutInPlace(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Places {
    /// What is to be done so that `ready` is the database and `note` its newest checkpoint, and where the
    /// database goes that is there. A restore that was interrupted is gone on with under its own name;
    /// nothing is ever written over.
    fn steps(&self, ready: &Path, note: &str) -> Result<(Vec<Step>, PathBuf), Failure> {
        let aside = match files::read_text_if_there(&self.marker, ASIDE_BYTES_MAX)? {
            Some(name) => name.trim_end().to_owned(),
            None => aside_name(),
        };
        let free = |path: PathBuf| {
            if path.exists() { beside(&path, &aside_name()) } else { path }
        };
        let kept = beside(&self.database, &aside);
        let mut steps = vec![Step::Write(self.marker.clone(), format!("{aside}\n"))];
        let evidence = beside(&self.checkpoint, &aside);
        let kept_note = files::read_text_if_there(&evidence, CHECKPOINT_BYTES_MAX)?;
        let newest = files::read_text_if_there(&self.checkpoint, CHECKPOINT_BYTES_MAX)?;
        if let Some(newest) = newest.filter(|newest| kept_note.as_ref() != Some(newest)) {
            steps.push(Step::Write(free(evidence), newest));
        }
        steps.push(Step::MoveAside(self.database.clone(), free(kept.clone())));
        for companion in COMPANIONS {
            let there = with(&self.database, companion);
            steps.push(Step::MoveAside(there, free(with(&kept, companion))));
        }
        steps.extend([
            Step::PutInPlace(ready.to_owned(), self.database.clone()),
            Step::Write(self.checkpoint.clone(), note.to_owned()),
            Step::Remove(self.marker.clone()),
        ]);
        Ok((steps, kept))
    }
}

impl Step {
    /// Does it, durable when this returns.
    fn carry_out(&self) -> Result<(), Failure> {
        match self {
            Self::Write(path, text) => files::write_private(path, text),
            Self::MoveAside(from, to) if from.exists() => rename(from, to),
            Self::MoveAside(..) => Ok(()),
            Self::PutInPlace(from, to) => rename(from, to),
            Self::Remove(path) => remove(path),
        }
    }
}

/// Verifies a restored database that nobody uses, and lets it go on as another incarnation.
async fn go_on(
    config: &Config,
    data: &Data,
    location: Location,
    from: &str,
) -> Result<Begun, Failure> {
    let mut writer = Writer::open(&location).await?;
    migrate::migrate(&mut writer).await?;
    drop(writer);
    let store = Store::open(location.clone()).await?;
    let found = ledger::verify(&store, &mut |_done, _all| {}).await;
    drop(store);
    if let Some(problem) = found?.problems.first() {
        return Err(Failure::no(format!("its audit log does not hold: {problem}")));
    }
    let mut randomness = SystemRandomness::new();
    let keyring = Arc::new(data.keyring(config, &mut randomness)?);
    let restoring = Restoring {
        location,
        clock: Arc::new(SystemClock),
        randomness: Box::new(randomness),
        keyring,
        published: files::read_text_if_there(&data.checkpoint(), CHECKPOINT_BYTES_MAX)?,
        from: from.to_owned(),
    };
    let begun = incarnation::begin(restoring).await;
    begun.map_err(|error| Failure::no(error.to_string()))
}

/// What is moved aside now has this at its end.
fn aside_name() -> String {
    format!("aside-{}", SystemClock.now().unix_micros())
}

/// A file of this one's name with something behind it.
fn beside(path: &Path, what: &str) -> PathBuf {
    with(path, &format!(".{what}"))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    let renamed = fs::rename(from, to).and_then(|()| files::sync_directory_of(to));
    renamed.map_err(|cause| files::failed("put in place", to, &cause))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed
            .and_then(|()| files::sync_directory_of(path))
            .map_err(|cause| files::failed("remove", path, &cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn text(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    fn is(path: &Path, expected: &str) -> bool {
        text(path).as_deref() == Some(expected)
    }

    /// C16: wherever it is killed, the old database and the new one are whole, nothing starts while neither
    /// is in its place, and the same command given again ends what was begun.
    #[test]
    fn c16_a_restore_that_is_killed_loses_neither_database() {
        for killed_after in 0..=8 {
            let scratch = Scratch::new();
            let config = Config { data: scratch.path().to_owned(), ..Config::default() };
            let data = Data::at(&config);
            let places = Places {
                database: data.database(),
                checkpoint: data.checkpoint(),
                marker: data.restoring(),
            };
            let log = with(&places.database, "-wal");
            let ready = beside(&places.database, "restoring");
            for (path, text) in [
                (&places.database, "old"),
                (&log, "old log"),
                (&places.checkpoint, "old head"),
                (&ready, "new"),
            ] {
                fs::write(path, text).unwrap();
            }
            let (steps, kept) = places.steps(&ready, "new head").unwrap();
            assert_eq!(steps.len(), 8);
            for step in &steps[..killed_after] {
                step.carry_out().unwrap();
            }

            let is_old = is(&places.database, "old") && is(&log, "old log");
            let is_new = is(&places.database, "new") && !log.exists();
            assert_eq!(data.refuse_amid_restore().is_err(), (1..8).contains(&killed_after));
            assert!(places.marker.exists() || is_old || is_new, "{killed_after}");
            assert!(is(&places.database, "old") || is(&kept, "old"), "{killed_after}");
            assert!(is(&ready, "new") || is(&places.database, "new"), "{killed_after}");
            if killed_after == 8 {
                assert!(is_new && is(&places.checkpoint, "new head"));
                continue;
            }

            fs::write(&ready, "new again").unwrap();
            let (steps, kept) = places.steps(&ready, "newest head").unwrap();
            for step in &steps {
                step.carry_out().unwrap();
            }
            data.refuse_amid_restore().unwrap();
            assert!(is(&places.database, "new again") && !log.exists(), "{killed_after}");
            assert!(is(&places.checkpoint, "newest head"), "{killed_after}");
            assert!(is(&kept, "old") && is(&with(&kept, "-wal"), "old log"), "{killed_after}");
            let told = fs::read_dir(scratch.path()).unwrap();
            let told = told.filter(|file| is(&file.as_ref().unwrap().path(), "old head"));
            assert_eq!(told.count(), 1, "{killed_after}: the evidence is kept");
        }
    }
}
