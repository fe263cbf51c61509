//! The ledger: entries get their place in a Merkle log, and its head is signed.
//!
//! One transaction does it all: entries leave the queue, get positions, tiles grow, the head moves
//! to a signed checkpoint. A crash before its commit leaves the old head and the queue; a crash
//! after it leaves the new head. A checkpoint is published only after the commit, and a head that
//! does not extend the last published one is never signed.

mod names;
mod tail;

pub use self::names::{EndedName, Names};
pub(crate) use self::tail::{Tail, tail};

use crate::Shared;
use crate::journal::Urgency;
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewarden_domain::id::{self, Id};
use tradewarden_domain::time::Timestamp;
use tradewarden_seal::merkle::{self, Tile, TileError, Tree};
use tradewarden_seal::{Checkpoint, Digest, LedgerKey, TlogProof, VerifierKey};
use tradewarden_store::audit::{self, Placed};
use tradewarden_store::{Error, Store, Tx};

/// Runs of entries of one sealing: at most 16,384 entries.
const SEAL_MAX: i64 = 64;
/// Problems that are told at once.
const PROBLEMS_MAX: usize = 20;

/// Seals what is queued; says how many entries got their place.
pub(crate) async fn seal(shared: &Arc<Shared>) -> Result<usize, String> {
    let inner = Arc::clone(shared);
    let written = shared
        .journal
        .write(Urgency::Soon, async move |tx, _effects| seal_in(tx, &inner).await)
        .await;
    match written {
        Ok(None) => Ok(0),
        Ok(Some((count, checkpoint))) => {
            shared.publish(checkpoint);
            Ok(count)
        }
        Err(error) => Err(error.0),
    }
}

async fn seal_in(tx: &mut Tx<'_>, shared: &Shared) -> Result<Option<(usize, Published)>, Error> {
    let queued = audit::drain(tx, SEAL_MAX).await?;
    let head = audit::ledger_in(tx).await?;
    let head = head.ok_or_else(|| Error::unreadable("the audit log has no head"))?;
    let published = shared.published.load();
    refuse_another(shared, &head, published.size)?;
    if queued.is_empty() {
        // A sealing whose asker was stopped between commit and publication (a clean stop does
        // that) is published by the next one.
        let unpublished = head.size > published.size;
        let head = Published { size: head.size, note: head.checkpoint };
        return Ok(unpublished.then_some((0, head)));
    }
    let now = shared.environment.now();
    let placed = place(tx, &shared.ledger_key, &head, &queued, now).await?;
    let count = placed.size.saturating_sub(head.size);
    Ok(Some((usize::try_from(count).unwrap_or(usize::MAX), placed)))
}

/// The database was put back under this process, or failed over to one that lacks what was published: it
/// ends. Whoever starts it again is told what to do (C16).
fn refuse_another(shared: &Shared, head: &audit::Ledger, published: u64) -> Result<(), Error> {
    let name = shared.ledger_key.verifier().name();
    if head.origin != name {
        return Err(Error::replaced(format!(
            "the audit log is called {} now, not {name}: the database was restored",
            head.origin
        )));
    }
    if head.size < published {
        return Err(Error::replaced(format!(
            "the audit log has {} entries and {published} were published: the database was set back",
            head.size
        )));
    }
    Ok(())
}

/// Gives the entries of these runs the places after `head`, and signs the head that it makes.
pub(crate) async fn place(
    tx: &mut Tx<'_>,
    key: &LedgerKey,
    head: &audit::Ledger,
    queued: &[audit::Run],
    now: Timestamp,
) -> Result<Published, Error> {
    let hashes: Vec<Digest> = queued
        .iter()
        .flat_map(|run| &run.leaf_hashes)
        .map(|hash| Digest::from_bytes(*hash))
        .collect();
    let mut tiles = KnownTiles::default();
    let written = loop {
        match merkle::extend_tiles(head.size, &hashes, &|tile| tiles.read(tile)) {
            Err(TileError::Missing(tile)) => tiles.fetch(tx, tile).await?,
            outcome => break outcome.map_err(|error| Error::unreadable(error.to_string()))?,
        }
    };
    for (tile, bytes) in &written {
        tiles.put(*tile, bytes.clone());
    }
    let size = head.size.saturating_add(u64::try_from(hashes.len()).unwrap_or(0));
    let tree = loop {
        match Tree::load(size, &|tile| tiles.read(tile)) {
            Err(TileError::Missing(tile)) => tiles.fetch(tx, tile).await?,
            outcome => break outcome.map_err(|error| Error::unreadable(error.to_string()))?,
        }
    };
    let checkpoint = Checkpoint { origin: head.origin.clone(), size, root: tree.root() };
    let note = checkpoint.sign(key).map_err(|error| Error::unreadable(error.to_string()))?;
    audit::append(tx, head.size, queued).await?;
    let rows =
        written.into_iter().map(|(tile, bytes)| (tile.level(), tile.index(), bytes)).collect();
    audit::put_tiles(tx, rows).await?;
    audit::advance(tx, head.size, size, &note, now).await?;
    Ok(Published { size, note })
}

/// The root of the log's first `size` entries, by its leaves; `None` if there are not so many.
pub async fn root_at(store: &Store, size: u64) -> Result<Option<Digest>, Error> {
    let mut tree = Tree::new();
    while tree.size() < size {
        let end = tree.size().saturating_add(256).min(size);
        let entries = audit::range(store, tree.size(), end).await?;
        if entries.is_empty() {
            return Ok(None);
        }
        tree.extend(entries.iter().map(|entry| merkle::leaf_hash(entry.leaf.as_bytes())));
    }
    Ok(Some(tree.root()))
}

/// The newest published checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) note: String,
}

/// Tiles that were read or written in this transaction.
#[derive(Default)]
struct KnownTiles {
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl KnownTiles {
    fn read(&self, tile: Tile) -> Option<Vec<u8>> {
        self.tiles
            .get(&(tile.level(), tile.index()))
            .filter(|bytes| bytes.len() >= usize::from(tile.width()).saturating_mul(32))
            .cloned()
    }

    fn put(&mut self, tile: Tile, bytes: Vec<u8>) {
        self.tiles.insert((tile.level(), tile.index()), bytes);
    }

    async fn fetch(&mut self, tx: &mut Tx<'_>, tile: Tile) -> Result<(), Error> {
        let stored = audit::tile_in(tx, tile.level(), tile.index()).await?;
        self.accept(tile, stored)
    }

    async fn fetch_from(&mut self, store: &Store, tile: Tile) -> Result<(), Error> {
        let stored = audit::tile(store, tile.level(), tile.index()).await?;
        self.accept(tile, stored)
    }

    fn accept(&mut self, tile: Tile, stored: Option<Vec<u8>>) -> Result<(), Error> {
        let needed = usize::from(tile.width()).saturating_mul(32);
        match stored {
            Some(bytes) if bytes.len() >= needed => {
                self.put(tile, bytes);
                Ok(())
            }
            _ => Err(Error::unreadable(format!("tile {} is missing", tile.path()))),
        }
    }
}

/// Proves that an entry is in the log, under the newest published checkpoint that covers it.
pub(crate) async fn prove(shared: &Shared, entry: &Placed) -> Result<Option<TlogProof>, Error> {
    let Some(index) = entry.position else { return Ok(None) };
    let head = audit::ledger(&shared.store).await?;
    let Some(head) = head.filter(|head| head.size > index) else { return Ok(None) };
    let mut tiles = KnownTiles::default();
    let hashes = loop {
        match merkle::prove_inclusion(index, head.size, &|tile| tiles.read(tile)) {
            Err(TileError::Missing(tile)) => tiles.fetch_from(&shared.store, tile).await?,
            outcome => break outcome.map_err(|error| Error::unreadable(error.to_string()))?,
        }
    };
    Ok(Some(TlogProof { extra: None, index, hashes, checkpoint_note: head.checkpoint }))
}

/// What a verification of the whole log found.
#[derive(Debug, serde::Serialize)]
pub struct Verification {
    /// Whether everything holds.
    pub ok: bool,
    /// The log's name.
    pub origin: String,
    /// Which incarnation of the installation writes it.
    pub incarnation: u64,
    /// The names it had before, the first one first: their last checkpoints were checked, too.
    pub earlier: Vec<Earlier>,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The root it states.
    pub root: String,
    /// How many entries still wait for their place.
    pub unsealed: i64,
    /// What does not hold, in sentences; at most 20.
    pub problems: Vec<String>,
}

/// A name that the log had until a restore.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Earlier {
    /// Which incarnation it was.
    pub incarnation: u64,
    /// The log's name in it.
    pub origin: String,
    /// How many entries its last checkpoint covers that is in this database.
    pub size: u64,
}

/// Reads the whole log and checks it: every leaf is the entry that was sealed, every payload is the
/// one its leaf commits to, the tiles are those of the leaves, and the root is the signed one. So are
/// those of the last checkpoints under earlier names, and the entry after each names it: see [`Names`].
pub async fn verify(
    store: &Store,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification, Error> {
    let head = audit::ledger(store).await?;
    let head = head.ok_or_else(|| Error::unreadable("there is no audit log yet"))?;
    let past = ended_names(store).await?;
    let mut verification = Verification {
        ok: true,
        origin: head.origin.clone(),
        incarnation: head.incarnation,
        earlier: past.iter().map(Earlier::from).collect(),
        size: head.size,
        root: String::new(),
        unsealed: audit::count_queued(store).await?,
        problems: Vec::new(),
    };
    let mut problem = |text: String| {
        if verification.problems.len() < PROBLEMS_MAX {
            verification.problems.push(text);
        }
    };
    let key: VerifierKey =
        head.verifier.parse().map_err(|_| Error::unreadable("the verifier key is unreadable"))?;
    let mut tree = Tree::new();
    let mut start = 0_u64;
    let mut names = Names::new(&past, Some(&key));
    while start < head.size {
        let end = start.saturating_add(256).min(head.size);
        let entries = audit::range(store, start, end).await?;
        let mut hashes = Vec::with_capacity(256);
        for (expected, entry) in (start..end).zip(&entries) {
            if entry.position != Some(expected) {
                problem(format!("entry {expected} is missing"));
            }
            if let Some(text) = names.at(&tree, &entry.leaf, &entry.payload) {
                problem(text);
            }
            let hash = merkle::leaf_hash(entry.leaf.as_bytes());
            hashes.push(hash);
            tree.push(hash);
            if let Some(text) = disagreement(entry) {
                problem(format!("entry {expected}: {text}"));
            }
        }
        if entries.len() != hashes.len()
            || u64::try_from(hashes.len()).ok() != end.checked_sub(start)
        {
            problem(format!("entries {start} to {end} are not all there"));
        }
        let stored = audit::tile(store, 0, start / 256).await?.unwrap_or_default();
        let mut sealed = stored.chunks_exact(32);
        for (place, hash) in (start..end).zip(&hashes) {
            match sealed.next() {
                Some(sealed) if sealed == hash.as_bytes() => {}
                Some(_) => {
                    problem(format!("entry {place}: its leaf is not the one that was sealed"));
                }
                None => problem(format!("entry {place}: the tile of its hash ends before it")),
            }
        }
        start = end;
        progress(start, head.size);
    }
    match audit::count_unplaced(store).await? {
        0 => {}
        count => problem(format!("{count} entries have no place and do not wait for one")),
    }
    names.end(&head.origin).into_iter().for_each(&mut problem);
    if head.incarnation > 1 && past.is_empty() {
        problem(format!("no name before {} is listed", head.origin));
    }
    match Checkpoint::open(&head.checkpoint, &key) {
        Err(error) => problem(format!("the checkpoint does not verify: {error}")),
        Ok(checkpoint) => {
            if checkpoint.size != head.size || checkpoint.root != tree.root() {
                problem(format!(
                    "the checkpoint states {} entries and root {}, the log has {} and {}",
                    checkpoint.size,
                    checkpoint.root,
                    tree.size(),
                    tree.root()
                ));
            }
        }
    }
    verification.root = tree.root().to_string();
    verification.ok = verification.problems.is_empty();
    Ok(verification)
}

impl From<&EndedName> for Earlier {
    fn from(ended: &EndedName) -> Self {
        Self { incarnation: ended.incarnation, origin: ended.origin.clone(), size: ended.size }
    }
}

/// The names that the log had before, the first one first.
pub async fn ended_names(store: &Store) -> Result<Vec<EndedName>, Error> {
    Ok(audit::past_incarnations(store).await?.iter().map(EndedName::from).collect())
}

/// Whether a stored entry contradicts itself.
fn disagreement(entry: &Placed) -> Option<&'static str> {
    let Ok(leaf) = serde_json::from_str::<serde_json::Value>(&entry.leaf) else {
        return Some("its leaf is unreadable");
    };
    let text = |name: &str| leaf.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    if text("id") != entry.id.to_string() {
        return Some("its leaf names another entry");
    }
    // What is looked up by these columns would else be hidden, or shown to somebody else.
    let object = text("object").rsplit_once('_').map_or("", |(_, bytes)| bytes);
    if text("org") != entry.org_id.to_string()
        || object != Id::<id::Entry>::from_bytes(entry.object_id).bare_text()
    {
        return Some("its row names another object or owner");
    }
    let Ok(commitment) = text("commitment").parse::<Digest>() else {
        return Some("its commitment is unreadable");
    };
    if !tradewarden_seal::opens_commitment(&commitment, &entry.salt, entry.payload.as_bytes()) {
        return Some("its payload is not the one that was sealed");
    }
    None
}

/// Begins the log: a new signing key, sealed, and an empty head.
pub(crate) fn new_head(
    origin: &str,
    key: &LedgerKey,
    sealed: Vec<u8>,
    now: Timestamp,
) -> Result<audit::Ledger, String> {
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: 0, root: merkle::EMPTY_ROOT };
    Ok(audit::Ledger {
        origin: origin.to_owned(),
        size: 0,
        checkpoint: checkpoint.sign(key).map_err(|error| error.to_string())?,
        verifier: key.verifier().to_string(),
        signing_key: sealed,
        incarnation: 1,
        began_at: now,
    })
}
