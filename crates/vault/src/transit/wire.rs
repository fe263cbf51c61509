//! What is said over the line: questions, answers, and what of them is a version or a sentence.

use serde::{Deserialize, Serialize};
use tradewarden_outbound::{Answered, Bytes};
use tradewarden_seal::SourceError;
use zeroize::Zeroizing;

/// The server's own sentence is shown up to here, in characters.
const SHOWN_MAX: usize = 200;

/// An answer with a token in it.
#[derive(Deserialize)]
pub(super) struct LoggedIn {
    pub(super) auth: Auth,
}

#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) client_token: String,
    pub(super) lease_duration: u64,
    pub(super) renewable: bool,
}

#[derive(Deserialize)]
pub(super) struct LookedUp {
    pub(super) data: Looked,
}

#[derive(Deserialize)]
pub(super) struct Looked {
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

/// What is asked of many at once.
#[derive(Serialize)]
pub(super) struct Batch<T> {
    pub(super) batch_input: Vec<T>,
}

#[derive(Serialize)]
pub(super) struct ToEncrypt<'a> {
    pub(super) plaintext: &'a str,
}

#[derive(Serialize)]
pub(super) struct ToDecrypt<'a> {
    pub(super) ciphertext: &'a str,
}

#[derive(Serialize)]
pub(super) struct LogIn<'a> {
    pub(super) role_id: &'a str,
    pub(super) secret_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct Empty {}

#[derive(Deserialize)]
pub(super) struct Answers {
    pub(super) data: BatchResults,
}

#[derive(Deserialize)]
pub(super) struct BatchResults {
    pub(super) batch_results: Vec<BatchResult>,
}

/// One answer: what was asked for, or what is wrong with it.
#[derive(Deserialize)]
pub(super) struct BatchResult {
    #[serde(default)]
    pub(super) plaintext: String,
    #[serde(default)]
    pub(super) ciphertext: String,
    #[serde(default)]
    pub(super) error: String,
}

#[derive(Deserialize)]
pub(super) struct Problems {
    pub(super) errors: Vec<String>,
}

/// A body, in memory that is wiped when it was sent.
pub(super) fn written(body: &impl Serialize) -> Result<Bytes, SourceError> {
    // Counted beforehand: a buffer that grows would leave what it held behind.
    let mut length = Length(0);
    serde_json::to_writer(&mut length, body).map_err(|_| unreadable())?;
    let mut written = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *written, body).map_err(|_| unreadable())?;
    Ok(Bytes::from_owner(written))
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The version in `vault:v3:...`.
pub(super) fn version_of(ciphertext: &str) -> Option<&str> {
    let (version, _) = ciphertext.strip_prefix("vault:")?.split_once(':')?;
    is_version(version).then_some(version)
}

pub(super) fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or_default();
    (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn parsed<'a, T: Deserialize<'a>>(answer: &'a Answered) -> Result<T, SourceError> {
    let body = answer.body.as_deref().ok_or_else(unreadable)?;
    serde_json::from_slice(body).map_err(|_| unreadable())
}

pub(super) fn unreadable() -> SourceError {
    SourceError::Refused("the answer is not one of a Transit engine".to_owned())
}

/// What the server says went wrong, in short and in brackets. It names no secret of ours.
pub(super) fn said(answer: &Answered) -> String {
    let problems: Option<Problems> =
        answer.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
    let first = problems.and_then(|problems| problems.errors.into_iter().next());
    first.map_or_else(String::new, |text| {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        format!(" ({})", text.chars().map(plain).take(SHOWN_MAX).collect::<String>().trim())
    })
}
