//! C2SP tlog-checkpoint: the signed statement "my log has this many entries and this root".
//!
//! The caller must never sign a checkpoint that does not extend the last one it signed; that rule
//! needs the log and lives with it.

use std::fmt;

use crate::{
    Digest, LedgerKey, NoteError, VerifierKey,
    decimal::parse_decimal,
    digest::{base64_decode, base64_encode},
    note::{open_note, sign_note},
};

/// Why a text is not taken as a checkpoint, or one is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it.
    Note(NoteError),
    /// The signed text is not origin, size and root. Extension lines are not taken: nobody could
    /// audit them.
    Malformed,
    /// The origin is not the name of the key: the statement of another log, or of another
    /// incarnation of this one.
    OtherLog,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => fmt::Display::fmt(error, formatter),
            Self::Malformed => formatter.write_str("the signed text is not a checkpoint"),
            Self::OtherLog => formatter.write_str("the checkpoint is of another log than the key"),
        }
    }
}

impl std::error::Error for CheckpointError {}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        Self::Note(error)
    }
}

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, and which incarnation of it.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree of that size.
    pub root: Digest,
}

impl Checkpoint {
    /// The signed note. The key has to be the one named after the origin.
    pub fn sign(&self, key: &LedgerKey) -> Result<String, CheckpointError> {
        if self.origin != key.verifier().name() {
            return Err(CheckpointError::OtherLog);
        }
        Ok(sign_note(&self.to_string(), key)?)
    }

    /// The checkpoint in a note that `key` has signed.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(open_note(note, key)?).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin == key.name() {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::OtherLog)
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let root = Digest::try_from(base64_decode(root).ok()?.as_slice()).ok()?;
        (lines.next().is_none() && !origin.is_empty()).then_some(Self {
            origin: origin.to_owned(),
            size: parse_decimal(size)?,
            root,
        })
    }
}

impl fmt::Display for Checkpoint {
    /// The three lines that are signed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            base64_encode(self.root.as_bytes())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{merkle::EMPTY_ROOT, randomness::testing::Counting};

    fn key(origin: &str) -> LedgerKey {
        LedgerKey::generate(origin, &mut Counting(0)).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/log/1".to_owned(), size: 20_852_163, root: EMPTY_ROOT }
    }

    /// Ed25519 is deterministic, so the whole note is frozen.
    #[test]
    fn the_format_is_frozen() {
        let note = checkpoint().sign(&key("example.com/log/1")).unwrap();
        assert_eq!(
            note,
            "example.com/log/1\n20852163\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— example.com/log/1 qYB/N+n7vMWPtm7fLVaYKTnIn07d/3g8TTJVAtHCdxlMyRayft9XimT3puU0jV+fXQGD9z9Wrpb3ZDtAjkZGpD9gTg4=\n"
        );
        assert_eq!(Checkpoint::open(&note, key("example.com/log/1").verifier()), Ok(checkpoint()));
    }

    #[test]
    fn the_origin_is_the_name_of_the_key() {
        assert_eq!(checkpoint().sign(&key("example.com/log/2")), Err(CheckpointError::OtherLog));
        let note = sign_note(&checkpoint().to_string(), &key("example.com/log/2")).unwrap();
        assert_eq!(
            Checkpoint::open(&note, key("example.com/log/2").verifier()),
            Err(CheckpointError::OtherLog)
        );
        assert_eq!(
            Checkpoint::open(&note, key("example.com/log/1").verifier()),
            Err(CheckpointError::Note(NoteError::NotSigned))
        );
    }

    #[test]
    fn only_three_lines_in_their_one_form() {
        let key = key("log");
        let root = base64_encode(EMPTY_ROOT.as_bytes());
        for text in [
            format!("log\n1\n{root}\nextension\n"),
            format!("log\n01\n{root}\n"),
            format!("log\n+1\n{root}\n"),
            format!("log\n18446744073709551616\n{root}\n"),
            format!("log\n\n1\n{root}\n"),
            format!("\n1\n{root}\n"),
            "log\n1\n47DEQpj8HBSa\n".to_owned(),
            "log\n1\n".to_owned(),
            "log\n".to_owned(),
        ] {
            let note = sign_note(&text, &key).unwrap();
            assert_eq!(
                Checkpoint::open(&note, key.verifier()),
                Err(CheckpointError::Malformed),
                "{text:?}"
            );
        }
        let note = sign_note(&format!("log\n0\n{root}\n"), &key).unwrap();
        assert_eq!(Checkpoint::open(&note, key.verifier()).unwrap().size, 0);
    }
}
