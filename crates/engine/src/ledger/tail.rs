//! The end of the log, looked at quickly.

use super::{EndedName, KnownTiles, PROBLEMS_MAX, disagreement, ended_names};
use crate::incarnation::key_under;
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::merkle::{self, TileError, Tree};
use tradewarden_seal::{Checkpoint, Digest, VerifierKey};
use tradewarden_store::audit::{self, Ledger, Placed};
use tradewarden_store::{Error, Store};

/// What a look at the end of the log found.
#[derive(Debug)]
pub(crate) struct Tail {
    /// How many entries the checkpoint covers.
    pub(crate) size: u64,
    /// How many of them were looked at.
    pub(crate) looked_at: u64,
    /// When the newest one was made.
    pub(crate) newest_at: Option<Timestamp>,
    /// What does not hold, in sentences.
    pub(crate) problems: Vec<String>,
}

/// Checks the newest entries of the log as [`verify`] does all of them; that the signed root is that of
/// the tiles; and that `outside`, a checkpoint that was kept elsewhere and read before, is one of the same
/// log.
pub(crate) async fn tail(
    store: &Store,
    entries_max: u64,
    outside: Option<&str>,
) -> Result<Tail, Error> {
    let head = audit::ledger(store).await?;
    let head = head.ok_or_else(|| Error::unreadable("there is no audit log yet"))?;
    let key: VerifierKey =
        head.verifier.parse().map_err(|_| Error::unreadable("the verifier key is unreadable"))?;
    let ended = ended_names(store).await?;
    let start = head.size.saturating_sub(entries_max);
    let mut tail = Tail {
        size: head.size,
        looked_at: head.size.saturating_sub(start),
        newest_at: None,
        problems: Vec::new(),
    };
    match Checkpoint::open(&head.checkpoint, &key) {
        Err(error) => {
            tail.problems.push(format!("the newest checkpoint does not verify: {error}"));
        }
        Ok(signed) if signed.size != head.size => tail.problems.push(format!(
            "the newest checkpoint covers {} entries, but the log says {}",
            signed.size, head.size
        )),
        Ok(signed) if root_at(store, signed.size).await? != signed.root => {
            tail.problems.push(
                "the log is not the one of its newest checkpoint: it was rewritten".to_owned(),
            );
        }
        Ok(_) => {}
    }
    if let Some(note) = outside {
        tail.problems.extend(contradiction(store, note, &key, &head, &ended).await?);
    }
    let mut next = start;
    while next < head.size && tail.problems.is_empty() {
        let tile = next / 256;
        let end = tile.saturating_add(1).saturating_mul(256).min(head.size);
        let stored = audit::tile(store, 0, tile).await?.unwrap_or_default();
        let before = usize::try_from(next % 256).unwrap_or_default();
        let mut sealed = stored.chunks_exact(32).skip(before);
        for entry in audit::range(store, next, end).await? {
            if entry.position != Some(next) {
                break;
            }
            let hash = merkle::leaf_hash(entry.leaf.as_bytes());
            if sealed.next() != Some(hash.as_bytes().as_slice()) {
                tail.problems
                    .push(format!("entry {next}: its leaf is not the one that was sealed"));
            }
            if let Some(text) = disagreement(&entry) {
                tail.problems.push(format!("entry {next}: {text}"));
            }
            tail.newest_at = made_at(&entry).or(tail.newest_at);
            next = next.saturating_add(1);
        }
        if next != end {
            tail.problems.push(format!("entry {next} is missing"));
        }
    }
    tail.problems.truncate(PROBLEMS_MAX);
    Ok(tail)
}

/// Whether the log contradicts the checkpoint outside the database, and how.
async fn contradiction(
    store: &Store,
    note: &str,
    key: &VerifierKey,
    head: &Ledger,
    ended: &[EndedName],
) -> Result<Option<String>, Error> {
    let origin = note.lines().next().unwrap_or_default();
    // A name that ended with a restore is one that the log had before: that what its last checkpoint
    // covered and the copy lacked is gone is told by the entry after it (C16).
    let covered = if origin == head.origin {
        Some(head.size)
    } else {
        let mut before = ended.iter().filter(|ended| ended.incarnation < head.incarnation);
        before.find(|ended| ended.origin == origin).map(|ended| ended.size)
    };
    let Some((covered, key)) = covered.zip(key_under(origin, key)) else {
        return Ok(Some(format!(
            "the copy outside is of the log {origin:?}, and the database is not: it was set back"
        )));
    };
    let outside = match Checkpoint::open(note, &key) {
        Ok(outside) => outside,
        Err(error) => return Ok(Some(format!("the copy outside does not verify: {error}"))),
    };
    if outside.size > covered {
        let is_present = origin == head.origin;
        return Ok(is_present.then(|| {
            format!(
                "the copy outside covers {} entries, but the database has {covered}: it was set back",
                outside.size
            )
        }));
    }
    let root = root_at(store, outside.size).await?;
    Ok((root != outside.root)
        .then(|| "the log does not extend the copy outside: it was rewritten".to_owned()))
}

async fn root_at(store: &Store, size: u64) -> Result<Digest, Error> {
    let mut tiles = KnownTiles::default();
    loop {
        match Tree::load(size, &|tile| tiles.read(tile)) {
            Err(TileError::Missing(tile)) => tiles.fetch_from(store, tile).await?,
            outcome => {
                let tree = outcome.map_err(|error| Error::unreadable(error.to_string()))?;
                return Ok(tree.root());
            }
        }
    }
}

fn made_at(entry: &Placed) -> Option<Timestamp> {
    let leaf: serde_json::Value = serde_json::from_str(&entry.leaf).ok()?;
    serde_json::from_value(leaf.get("at")?.clone()).ok()
}
