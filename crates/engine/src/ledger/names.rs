//! The names that a log had (C16): each ends with a checkpoint, and the entry after it names both that and
//! the name from there on. So one tree proves the whole chain, in the database as in a bundle.

use crate::incarnation::BEGAN;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::iter::Peekable;
use std::slice::Iter;
use tradewarden_seal::merkle::Tree;
use tradewarden_seal::{Checkpoint, VerifierKey};
use tradewarden_store::audit::PastIncarnation;

/// A name that the log had until a restore, and what is signed under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedName {
    /// Which incarnation had it.
    pub incarnation: u64,
    /// The name.
    pub origin: String,
    /// The key that verifies its checkpoints.
    pub verifier_key: String,
    /// How many entries its last checkpoint covers, of those that a restore kept.
    pub size: u64,
    /// That checkpoint, a signed note.
    pub checkpoint: String,
}

impl From<&PastIncarnation> for EndedName {
    fn from(past: &PastIncarnation) -> Self {
        Self {
            incarnation: past.number,
            origin: past.origin.clone(),
            verifier_key: past.verifier.clone(),
            size: past.size,
            checkpoint: past.checkpoint.clone(),
        }
    }
}

/// Checks the chain of names beside the entries, in their order.
pub struct Names<'n> {
    ended: Peekable<Iter<'n, EndedName>>,
    public: Option<[u8; 32]>,
    /// The name from the newest link on.
    said: Option<String>,
}

impl<'n> Names<'n> {
    /// Names in their order, of a log whose checkpoints verify with this key; without one, whether all
    /// names have one key is not looked at.
    pub fn new(ended: &'n [EndedName], key: Option<&VerifierKey>) -> Self {
        Self { ended: ended.iter().peekable(), public: key.map(|key| *key.public()), said: None }
    }

    /// What is wrong with the names where this entry follows those of `tree`.
    pub fn at(&mut self, tree: &Tree, leaf: &str, payload: &str) -> Option<String> {
        let is_link = leaf.contains(BEGAN) && text_at(leaf, "/event").as_deref() == Some(BEGAN);
        let Some(ended) = self.ended.next_if(|ended| ended.size == tree.size()) else {
            let place = tree.size();
            return is_link
                .then(|| format!("entry {place} ends a name of the log that is not listed"));
        };
        let broken = self.broken(ended, tree).or_else(|| {
            let named = text_at(payload, "/previous/checkpoint");
            let is_named = is_link && named.as_ref() == Some(&ended.checkpoint);
            (!is_named).then(|| "the entry after its last does not name its checkpoint".to_owned())
        });
        self.said = text_at(payload, "/origin");
        broken.map(|text| format!("incarnation {} ({}): {text}", ended.incarnation, ended.origin))
    }

    /// What is wrong with the end of an incarnation: its checkpoint is not that of the entries so far, or
    /// is not the log's.
    fn broken(&self, ended: &EndedName, tree: &Tree) -> Option<String> {
        if self.said.as_ref().is_some_and(|said| *said != ended.origin) {
            return Some("no entry says that the log was called so".to_owned());
        }
        let Ok(key) = ended.verifier_key.parse::<VerifierKey>() else {
            return Some("its verifier key is unreadable".to_owned());
        };
        if self.public.is_some_and(|public| public != *key.public()) {
            return Some("its verifier key is another log's".to_owned());
        }
        let checkpoint = match Checkpoint::open(&ended.checkpoint, &key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Some(format!("its last checkpoint does not verify: {error}")),
        };
        if checkpoint.origin != ended.origin {
            return Some(format!("its last checkpoint is of the log {}", checkpoint.origin));
        }
        let is_reached = (checkpoint.size, checkpoint.root) == (tree.size(), tree.root());
        (!is_reached).then(|| {
            format!(
                "its last checkpoint states {} entries and root {}, the log has {} and {}",
                checkpoint.size,
                checkpoint.root,
                tree.size(),
                tree.root()
            )
        })
    }

    /// What is wrong with the names after the last entry, of a log that is called so now.
    pub fn end(self, origin: &str) -> Vec<String> {
        let mut problems: Vec<String> = self
            .ended
            .map(|ended| {
                format!(
                    "incarnation {} ({}): its last checkpoint covers {} entries, and no entry follows them",
                    ended.incarnation, ended.origin, ended.size
                )
            })
            .collect();
        if self.said.is_some_and(|said| said != origin) {
            problems.push(format!("no entry says that the log is called {origin} now"));
        }
        problems
    }
}

/// The text at this place of a JSON document.
fn text_at(json: &str, pointer: &str) -> Option<String> {
    let value = serde_json::from_str::<Value>(json).ok()?;
    value.pointer(pointer)?.as_str().map(str::to_owned)
}
