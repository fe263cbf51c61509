//! C2SP tlog-proof: everything that is needed to see, offline, that an entry is in the log.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>            optional, not authenticated
//! index <decimal>
//! <base64 hash>             from the leaf's neighbour upwards, none in a tree of one
//!
//! <checkpoint, verbatim>
//! ```

use std::{fmt, str::FromStr};

use crate::{
    Checkpoint, CheckpointError, Digest, VerifierKey,
    decimal::parse_decimal,
    digest::{base64_decode, base64_encode},
    merkle::{InvalidProof, leaf_hash, verify_inclusion},
    note::MAX_NOTE_BYTES,
};

/// Most hashes of a proof: the height of the largest tree.
pub const MAX_PROOF_HASHES: usize = 64;

/// Most extra data, in bytes.
pub const MAX_EXTRA_BYTES: usize = 64 * 1024;

/// Longest text of a proof, in bytes: the note, the extra data in base64, the hashes, and room for
/// the rest.
pub const MAX_PROOF_BYTES: usize =
    MAX_NOTE_BYTES + MAX_EXTRA_BYTES / 3 * 4 + 4 + MAX_PROOF_HASHES * 45 + 128;

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// The text is not a proof, or over a limit.
    Malformed,
    /// The checkpoint in it is not one of the log.
    Checkpoint(CheckpointError),
    /// The hashes do not lead from the entry to the checkpoint's root.
    Inclusion(InvalidProof),
}

impl fmt::Display for ProofError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("the text is not a tlog-proof"),
            Self::Checkpoint(error) => fmt::Display::fmt(error, formatter),
            Self::Inclusion(error) => fmt::Display::fmt(error, formatter),
        }
    }
}

impl std::error::Error for ProofError {}

impl From<CheckpointError> for ProofError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(error)
    }
}

impl From<InvalidProof> for ProofError {
    fn from(error: InvalidProof) -> Self {
        Self::Inclusion(error)
    }
}

/// A proof that stands alone. Its text form is its `Display` and `FromStr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the reader may need to make the entry, such as a salt. Not authenticated: believe it
    /// only if the proof verifies with it.
    pub extra: Option<Vec<u8>>,
    /// The entry's position in the log, from 0.
    pub index: u64,
    /// The neighbours on the way to the root.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint, cosignatures included.
    pub checkpoint_note: String,
}

impl TlogProof {
    /// The checkpoint that the entry `leaf` (its bytes, not its hash) is shown to be under.
    pub fn verify(&self, leaf: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint_note, key)?;
        verify_inclusion(
            self.index,
            checkpoint.size,
            &leaf_hash(leaf),
            &self.hashes,
            &checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HEADER)?;
        if let Some(extra) = &self.extra {
            writeln!(formatter, "extra {}", base64_encode(extra))?;
        }
        writeln!(formatter, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(formatter, "{}", base64_encode(hash.as_bytes()))?;
        }
        write!(formatter, "\n{}", self.checkpoint_note)
    }
}

impl FromStr for TlogProof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        parse(text).ok_or(ProofError::Malformed)
    }
}

fn parse(text: &str) -> Option<TlogProof> {
    if text.len() > MAX_PROOF_BYTES {
        return None;
    }
    // Only the checkpoint has blank lines of its own, so the first one ends the proof's part.
    let (head, checkpoint_note) = text.strip_prefix(HEADER)?.split_once("\n\n")?;
    let mut lines = head.split('\n').peekable();
    let extra = match lines.next_if(|line| line.starts_with("extra ")) {
        Some(line) => Some(
            base64_decode(line.strip_prefix("extra ")?)
                .ok()
                .filter(|extra| extra.len() <= MAX_EXTRA_BYTES)?,
        ),
        None => None,
    };
    let index = parse_decimal(lines.next()?.strip_prefix("index ")?)?;
    let hashes = lines.map(parse_hash).collect::<Option<Vec<_>>>()?;
    let fits = hashes.len() <= MAX_PROOF_HASHES
        && checkpoint_note.len() <= MAX_NOTE_BYTES
        && !checkpoint_note.is_empty();
    fits.then(|| TlogProof { extra, index, hashes, checkpoint_note: checkpoint_note.to_owned() })
}

fn parse_hash(line: &str) -> Option<Digest> {
    Digest::try_from(base64_decode(line).ok()?.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LedgerKey,
        merkle::{Tile, Tree, prove_inclusion},
        randomness::testing::Counting,
    };

    const ENTRIES: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];

    fn key() -> LedgerKey {
        LedgerKey::generate("example.com/log", &mut Counting(0)).unwrap()
    }

    fn proof(index: u64, size: usize, extra: Option<Vec<u8>>) -> TlogProof {
        let leaves: Vec<_> = ENTRIES.iter().take(size).map(|entry| leaf_hash(entry)).collect();
        let tree: Tree = leaves.iter().copied().collect();
        let read = |_: Tile| Some(leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect());
        let checkpoint = Checkpoint {
            origin: "example.com/log".to_owned(),
            size: tree.size(),
            root: tree.root(),
        };
        TlogProof {
            extra,
            index,
            hashes: prove_inclusion(index, tree.size(), &read).unwrap(),
            checkpoint_note: checkpoint.sign(&key()).unwrap(),
        }
    }

    #[test]
    fn a_proof_verifies_after_it_travelled_as_text() {
        for (index, entry) in (0..).zip(ENTRIES) {
            for extra in [None, Some(Vec::new()), Some(b"salt".to_vec())] {
                let made = proof(index, ENTRIES.len(), extra);
                let read: TlogProof = made.to_string().parse().unwrap();
                assert_eq!(read, made);
                assert_eq!(read.verify(entry, key().verifier()).unwrap().size, 5);
            }
        }
        let alone = proof(0, 1, None);
        let note = &alone.checkpoint_note;
        assert_eq!(alone.to_string(), format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{note}"));
        assert!(
            alone.to_string().parse::<TlogProof>().unwrap().verify(b"a", key().verifier()).is_ok()
        );
    }

    #[test]
    fn a_proof_of_something_else_does_not_verify() {
        let good = proof(2, ENTRIES.len(), None);
        let other = LedgerKey::generate("example.com/log", &mut Counting(9)).unwrap();
        assert_eq!(good.verify(b"d", key().verifier()), Err(ProofError::Inclusion(InvalidProof)));
        assert!(matches!(good.verify(b"c", other.verifier()), Err(ProofError::Checkpoint(_))));
        for index in [0, 1, 3, 4, 5, u64::MAX] {
            assert!(TlogProof { index, ..good.clone() }.verify(b"c", key().verifier()).is_err());
        }
        let smaller = proof(2, 3, None).checkpoint_note;
        assert!(
            TlogProof { checkpoint_note: smaller, ..good }.verify(b"c", key().verifier()).is_err()
        );
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let good = proof(2, ENTRIES.len(), Some(b"salt".to_vec())).to_string();
        let many = good.replace(
            "index 2\n",
            &format!("index 2\n{}", format!("{}\n", base64_encode(&[0; 32])).repeat(65)),
        );
        let large = good.replace("c2FsdA==", &base64_encode(&vec![0; MAX_EXTRA_BYTES + 3]));
        for text in [
            String::new(),
            "c2sp.org/tlog-proof@v1\n".to_owned(),
            "c2sp.org/tlog-proof@v1\nindex 0\n\n".to_owned(),
            "c2sp.org/tlog-proof@v1\nindex 0\ncheckpoint\n".to_owned(),
            good.replace("@v1", "@v2"),
            good.replace("index 2", "index 02"),
            good.replace("index 2\n", ""),
            good.replace("extra c2FsdA==", "extra c2FsdA"),
            good.replace("extra c2FsdA==\nindex 2", "index 2\nextra c2FsdA=="),
            good.replace("index 2\n", "index 2\nAAAA\n"),
            good.replace('\n', "\r\n"),
            many,
            large,
            format!("{good}{}", "a".repeat(MAX_PROOF_BYTES)),
        ] {
            assert_eq!(text.parse::<TlogProof>(), Err(ProofError::Malformed), "{text:.200}");
        }
    }
}
