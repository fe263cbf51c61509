//! What leaves the house and is verified elsewhere, without a gateway and without a database: a
//! bundle of the whole log, or the proof of one entry.
//!
//! A bundle is lines of JSON: first [`Header`], then an [`Entry`] for each place from 0 on. It is
//! read as a stream, so its size is bounded by nothing but the disk.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tradewarden_engine::incarnation::key_under;
use tradewarden_engine::ledger::{Earlier, EndedName, Names};
use tradewarden_seal::merkle::{Tree, leaf_hash};
use tradewarden_seal::{
    Checkpoint, Digest, TlogProof, VerifierKey, base64_decode, opens_commitment,
};

use super::{Lines, PROOF_BYTES_MAX};
use crate::files;
use crate::outcome::Failure;

/// Longest line of a bundle, in bytes: a payload of 48 KiB with every character escaped, and room.
const LINE_BYTES_MAX: u64 = 512 * 1024;
/// Most problems that are told.
const PROBLEMS_MAX: usize = 20;
/// How a tlog-proof begins.
const PROOF_BEGIN: &[u8] = b"c2sp.org/tlog-proof@";

/// The first line of a bundle.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The log's name.
    pub(super) origin: String,
    /// The key that verifies the checkpoint, by the bundle's own word.
    pub(super) verifier_key: String,
    /// The signed checkpoint that the entries add up to.
    pub(super) checkpoint: String,
    /// The names that the log had before, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) earlier: Vec<EndedName>,
}

/// One entry of a bundle.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its place.
    pub(super) index: u64,
    /// Its public part: what is hashed into the log.
    pub(super) leaf: String,
    /// The owner's part.
    pub(super) payload: String,
    /// What opens the commitment in the leaf; base64.
    pub(super) salt: String,
}

/// A proof as `audit prove --json` prints it.
#[derive(Debug, Deserialize)]
struct Proof {
    leaf: String,
    payload: String,
    salt: String,
    #[serde(rename = "proof")]
    path: String,
    verifier_key: String,
}

/// Writes a value as one line.
pub(super) fn write_line(to: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

/// Verifies the file at `path`, whichever of the forms it has. `trusted` is the key that the caller
/// knows from elsewhere.
pub(super) fn verify(path: &Path, trusted: Option<&str>) -> Result<Value, Failure> {
    let trusted = trusted
        .map(|key| {
            key.parse::<VerifierKey>().map_err(|error| Failure::usage(format!("--key: {error}")))
        })
        .transpose()?;
    let mut lines = Lines::open(path, LINE_BYTES_MAX)?;
    let first = lines.next().map_err(|cause| unreadable(path, &cause))?.unwrap_or_default();
    if first.starts_with(PROOF_BEGIN) {
        return verify_proof(&files::read_text(path, PROOF_BYTES_MAX)?, trusted.as_ref());
    }
    if let Ok(proof) = serde_json::from_slice::<Proof>(&first) {
        return verify_shown_proof(&proof, trusted.as_ref());
    }
    let header: Header = serde_json::from_slice(&first).map_err(|_| {
        Failure::usage(format!(
            "{} is neither a bundle of `audit export` nor a proof of `audit prove`",
            path.display()
        ))
    })?;
    verify_bundle(path, &header, lines, trusted)
}

fn verify_bundle<R: io::BufRead>(
    path: &Path,
    header: &Header,
    mut lines: Lines<R>,
    trusted: Option<VerifierKey>,
) -> Result<Value, Failure> {
    let mut problems = Problems::default();
    let own_names = header.earlier.iter().map(|ended| ended.verifier_key.as_str());
    let own_names: Vec<_> = own_names.chain([header.verifier_key.as_str()]).collect();
    let key = problems.key(&own_names, trusted);
    let mut names = Names::new(&header.earlier, key.as_ref());
    let mut tree = Tree::new();
    loop {
        let place = tree.size();
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            // What was cut off is no bundle any more, however often it is read.
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                problems.add(format!("entry {place}: {cause}"));
                break;
            }
            Err(cause) => return Err(unreadable(path, &cause)),
        };
        let Ok(entry) = serde_json::from_slice::<Entry>(&line) else {
            problems.add(format!("entry {place} is unreadable"));
            break;
        };
        if entry.index != place {
            problems.add(format!("entry {place} is missing: here is entry {}", entry.index));
            break;
        }
        if let Some(problem) = disagreement(&entry.leaf, &entry.payload, &entry.salt) {
            problems.add(format!("entry {place}: {problem}"));
        }
        if let Some(problem) = names.at(&tree, &entry.leaf, &entry.payload) {
            problems.add(problem);
        }
        tree.push(leaf_hash(entry.leaf.as_bytes()));
    }
    names.end(&header.origin).into_iter().for_each(|problem| problems.add(problem));
    match key.as_ref().map(|key| Checkpoint::open(&header.checkpoint, key)) {
        None => {}
        Some(Err(error)) => problems.add(format!("the checkpoint does not verify: {error}")),
        Some(Ok(checkpoint)) => {
            if checkpoint.origin != header.origin {
                problems.add(format!("the checkpoint is of the log {}", checkpoint.origin));
            }
            if (checkpoint.size, checkpoint.root) != (tree.size(), tree.root()) {
                problems.add(format!(
                    "the checkpoint states {} entries and root {}, the bundle has {} and {}",
                    checkpoint.size,
                    checkpoint.root,
                    tree.size(),
                    tree.root()
                ));
            }
        }
    }
    Ok(json!({
        "ok": problems.0.is_empty(),
        "origin": header.origin,
        "earlier": header.earlier.iter().map(Earlier::from).collect::<Vec<_>>(),
        "size": tree.size(),
        "root": tree.root().to_string(),
        "verifier_key": key.map(|key| key.to_string()),
        "problems": problems.0,
    }))
}

/// A proof that carries its entry in the `extra` line.
fn verify_proof(text: &str, trusted: Option<&VerifierKey>) -> Result<Value, Failure> {
    let Some(key) = trusted else {
        return Err(Failure::usage(
            "a proof names no key: give the log's verifier key with --key; `tradewarden audit \
             prove ID --json` shows it as verifier_key",
        ));
    };
    let proof: TlogProof = text.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let key = &of_its_name(key, &proof);
    let Some(leaf) = &proof.extra else {
        return Err(Failure::usage(
            "the proof has no extra line with its entry, so there is nothing to check it against",
        ));
    };
    let shown = String::from_utf8_lossy(leaf).into_owned();
    let problems = proof.verify(leaf, key).err().map(|error| error.to_string());
    Ok(proof_verdict(&proof, key, &shown, problems))
}

/// The trusted key under the name of the proof's checkpoint: a restore gives the log another name and leaves
/// its key. Of another log's name the trusted one stays, and verifies nothing.
fn of_its_name(trusted: &VerifierKey, proof: &TlogProof) -> VerifierKey {
    let origin = proof.checkpoint_note.lines().next().unwrap_or_default();
    key_under(origin, trusted).unwrap_or_else(|| trusted.clone())
}

/// A proof with everything around it: the payload is checked too.
fn verify_shown_proof(shown: &Proof, trusted: Option<&VerifierKey>) -> Result<Value, Failure> {
    let mut problems = Problems::default();
    let proof: TlogProof =
        shown.path.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let trusted = trusted.map(|key| of_its_name(key, &proof));
    let key = problems.key(&[&shown.verifier_key], trusted);
    if let Some(problem) = disagreement(&shown.leaf, &shown.payload, &shown.salt) {
        problems.add(problem.to_owned());
    }
    let Some(key) = key else {
        return Ok(json!({ "ok": false, "problems": problems.0 }));
    };
    if let Err(error) = proof.verify(shown.leaf.as_bytes(), &key) {
        problems.add(error.to_string());
    }
    Ok(proof_verdict(&proof, &key, &shown.leaf, problems.0))
}

fn proof_verdict(
    proof: &TlogProof,
    key: &VerifierKey,
    leaf: &str,
    problems: impl IntoIterator<Item = String>,
) -> Value {
    let problems: Vec<_> = problems.into_iter().collect();
    json!({
        "ok": problems.is_empty(),
        "origin": key.name(),
        "index": proof.index,
        "leaf": leaf,
        "verifier_key": key.to_string(),
        "problems": problems,
    })
}

/// What does not hold, in sentences.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: String) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(problem);
        }
    }

    /// The key to verify with, under the file's newest name. `own` are the keys of its names by its own
    /// word, the newest last; the trusted one must be one of them.
    fn key(&mut self, own: &[&str], trusted: Option<VerifierKey>) -> Option<VerifierKey> {
        let newest = own.last().map(|key| key.parse::<VerifierKey>());
        match (trusted, newest) {
            (Some(trusted), Some(Ok(newest))) => {
                let is_own =
                    |key: &&str| key.parse::<VerifierKey>().is_ok_and(|key| key == trusted);
                if own.iter().any(is_own) && newest.public() == trusted.public() {
                    return Some(newest);
                }
                self.add("the file names another verifier key than --key".to_owned());
                Some(trusted)
            }
            (Some(trusted), _) => Some(trusted),
            (None, Some(Ok(newest))) => Some(newest),
            (None, Some(Err(error))) => {
                self.add(format!("the verifier key is unreadable: {error}"));
                None
            }
            (None, None) => None,
        }
    }
}

/// Whether a payload is not the one that its leaf commits to.
fn disagreement(leaf: &str, payload: &str, salt: &str) -> Option<&'static str> {
    let Ok(leaf) = serde_json::from_str::<Value>(leaf) else {
        return Some("its leaf is unreadable");
    };
    let commitment = leaf.get("commitment").and_then(Value::as_str);
    let Some(Ok(commitment)) = commitment.map(str::parse::<Digest>) else {
        return Some("its commitment is unreadable");
    };
    let Some(salt) = base64_decode(salt).ok().and_then(|salt| salt.try_into().ok()) else {
        return Some("its salt is unreadable");
    };
    (!opens_commitment(&commitment, &salt, payload.as_bytes()))
        .then_some("its payload is not the one that was sealed")
}

fn unreadable(path: &Path, cause: &io::Error) -> Failure {
    files::failed("read", path, cause)
}

#[cfg(test)]
mod tests;
