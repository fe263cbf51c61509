//! C2SP signed-note: a text, a blank line, and signature lines `— name base64(key id ||
//! signature)`.
//!
//! A note's text is nothing until a key that the reader trusts has verified it, so [`open_note`] is
//! the only way to it.

use std::fmt;

use crate::{
    LedgerKey, VerifierKey,
    digest::{base64_decode, base64_encode},
    ledger_key::is_valid_key_name,
};

/// Longest note, in bytes. Sixteen post-quantum cosignatures fit.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;

/// Most signatures on a note. The specification asks for at least 16.
pub const MAX_NOTE_SIGNATURES: usize = 64;

/// Why a note is not signed or not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// Not a note, or over a limit.
    Malformed,
    /// The key has not signed it.
    NotSigned,
    /// There is a signature in the key's name that is not by it.
    WrongSignature,
    /// The cryptographic library refused to sign.
    Refused,
}

impl fmt::Display for NoteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "the text is not a signed note",
            Self::NotSigned => "the note is not signed by the key",
            Self::WrongSignature => "the signature on the note is wrong",
            Self::Refused => "the cryptographic library refused to sign",
        })
    }
}

impl std::error::Error for NoteError {}

/// The note of `text`, which ends with a newline, signed by `key`.
pub fn sign_note(text: &str, key: &LedgerKey) -> Result<String, NoteError> {
    if !text.ends_with('\n') || !is_note_text(text) {
        return Err(NoteError::Malformed);
    }
    let signature = key.sign(text.as_bytes()).ok_or(NoteError::Refused)?;
    let verifier = key.verifier();
    let encoded = base64_encode(&[verifier.id().as_slice(), &signature].concat());
    Ok(format!("{text}\n— {} {encoded}\n", verifier.name()))
}

/// The text of a note that `key` has signed. Signatures of other keys are passed over.
pub fn open_note<'note>(note: &'note str, key: &VerifierKey) -> Result<&'note str, NoteError> {
    let (text, signatures) = split_note(note).ok_or(NoteError::Malformed)?;
    let mut signed = false;
    for (position, line) in signatures.lines().enumerate() {
        let signature = SignatureLine::parse(line)
            .filter(|_| position < MAX_NOTE_SIGNATURES)
            .ok_or(NoteError::Malformed)?;
        if signature.name == key.name() && signature.key_id == key.id() {
            if !key.verifies(text.as_bytes(), &signature.bytes) {
                return Err(NoteError::WrongSignature);
            }
            signed = true;
        }
    }
    if signed { Ok(text) } else { Err(NoteError::NotSigned) }
}

/// Text and signature lines, divided at the last blank line.
fn split_note(note: &str) -> Option<(&str, &str)> {
    if !is_note_text(note) || !note.ends_with('\n') {
        return None;
    }
    let (text, signatures) = note.split_at_checked(note.rfind("\n\n")? + 1)?;
    let signatures = signatures.strip_prefix('\n')?;
    (!signatures.is_empty()).then_some((text, signatures))
}

fn is_note_text(text: &str) -> bool {
    text.len() <= MAX_NOTE_BYTES && !text.bytes().any(|byte| byte < b' ' && byte != b'\n')
}

struct SignatureLine<'note> {
    name: &'note str,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'note> SignatureLine<'note> {
    fn parse(line: &'note str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        let decoded = base64_decode(encoded).ok()?;
        let (key_id, bytes) = decoded.split_first_chunk()?;
        (is_valid_key_name(name) && !bytes.is_empty()).then(|| Self {
            name,
            key_id: *key_id,
            bytes: bytes.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemRandomness, randomness::testing::Counting};

    // From the tests of golang.org/x/mod/sumdb/note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const TEXT: &str = "This is an example message.\n";
    const SIGNATURE: &str = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key() -> VerifierKey {
        VKEY.parse().unwrap()
    }

    #[test]
    fn the_vector_of_the_first_implementation_verifies() {
        let note = format!("{TEXT}\n{SIGNATURE}");
        assert_eq!(open_note(&note, &key()), Ok(TEXT));
        let changed = note.replace("example message", "example massage");
        assert_eq!(open_note(&changed, &key()), Err(NoteError::WrongSignature));
    }

    #[test]
    fn other_keys_are_passed_over() {
        let other = LedgerKey::generate("example.com/foo", &mut SystemRandomness::new()).unwrap();
        let signed_by_other = sign_note(TEXT, &other).unwrap();
        assert_eq!(open_note(&signed_by_other, &key()), Err(NoteError::NotSigned));
        let signed_by_both = format!("{signed_by_other}{SIGNATURE}");
        assert_eq!(open_note(&signed_by_both, &key()), Ok(TEXT));
        assert_eq!(open_note(&signed_by_both, other.verifier()), Ok(TEXT));
    }

    #[test]
    fn the_text_ends_at_the_last_blank_line() {
        let key = LedgerKey::generate("log", &mut Counting(0)).unwrap();
        for text in ["a\n", "a\n\nb\n", "a\n\n", "— not a signature\n", "\n"] {
            let note = sign_note(text, &key).unwrap();
            assert_eq!(open_note(&note, key.verifier()), Ok(text), "{text:?}");
        }
        for text in ["", "a", "a\r\n", "a\tb\n", "a\u{0}\n"] {
            assert_eq!(sign_note(text, &key), Err(NoteError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let good = format!("{TEXT}\n{SIGNATURE}");
        let many = format!("{TEXT}\n{}", SIGNATURE.repeat(MAX_NOTE_SIGNATURES + 1));
        let long = format!("{}\n\n{SIGNATURE}", "a".repeat(MAX_NOTE_BYTES));
        for note in [
            String::new(),
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            format!("{TEXT}{SIGNATURE}"),
            good.trim_end().to_owned(),
            good.replace('—', "-"),
            good.replace("— ", "—"),
            good.replace("example.com/foo Uw", "Uw"),
            good.replace("aQM=", "aQM"),
            format!("{good}junk\n"),
            good.replace('\n', "\r\n"),
            good.replace("Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=", "Uw2QOg=="),
            many,
            long,
        ] {
            assert_eq!(open_note(&note, &key()), Err(NoteError::Malformed), "{note:?}");
        }
    }
}
