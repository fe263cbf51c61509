//! The port: whoever keeps the keys that wrap data keys. A file beside the database
//! ([`crate::FileKeySource`]), a server, a token; the last two are adapters outside this crate.
//!
//! A source has one key with versions. It wraps under the newest one and opens under every one it
//! still has. It is handed 32 bytes at a time and learns nothing of what they are for: who may open
//! them where is bound around it, in `keyring.rs`.

use std::{fmt, future::Future, pin::Pin};

use crate::SecretBytes;

/// What a call of the port returns: a future that may be sent to another thread.
pub type SourceAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Longest name of a version of a source's key, in bytes.
pub const MAX_SOURCE_KEY_ID_BYTES: usize = 200;

/// Largest form in which a source gives a wrapped secret back, in bytes.
pub const MAX_WRAPPING_BYTES: usize = 1024;

/// Random bytes that come with each secret to wrap.
pub const SOURCE_NONCE_BYTES: usize = 24;

/// How many secrets a source takes at once that takes them one by one.
const AT_ONCE: usize = 64;

/// What is about one secret is its own answer; anything else is the source's.
fn for_itself<T>(answer: Result<T, SourceError>) -> Result<Result<T, SourceError>, SourceError> {
    match answer {
        Err(error @ (SourceError::Unavailable(_) | SourceError::Refused(_))) => Err(error),
        answer => Ok(answer),
    }
}

/// Why a source did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// It was not reached, is sealed, is gone or took too long: the same may work later.
    Unavailable(String),
    /// It answered, and does not do that: credentials, permissions, a key that is not there. Somebody
    /// must change something. Without secrets, in words for who runs the gateway.
    Refused(String),
    /// What was given to open was not wrapped by it, or was changed.
    DoesNotOpen,
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(formatter, "the key source is not available: {why}"),
            Self::Refused(why) => write!(formatter, "the key source refuses: {why}"),
            Self::DoesNotOpen => {
                formatter.write_str("the key source did not wrap this, or it was changed")
            }
        }
    }
}

impl std::error::Error for SourceError {}

/// A secret as a source wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapping {
    /// The version of the key that did it, at most [`MAX_SOURCE_KEY_ID_BYTES`].
    pub key_id: String,
    /// What opens with it, at most [`MAX_WRAPPING_BYTES`].
    pub bytes: Vec<u8>,
}

/// Whoever keeps the keys that wrap data keys. Every call ends in bounded time.
pub trait KeySource: Send + Sync {
    /// What it is, in one word: `file`, `transit`, `pkcs11`.
    fn kind(&self) -> &'static str;

    /// Where it is, for people; without secrets.
    fn place(&self) -> String;

    /// Whether a version with this name is one of its own. It says nothing of whether it can still
    /// be used.
    fn holds(&self, key_id: &str) -> bool;

    /// The name of the version that it wraps under now. Asked anew each time: this is how anybody
    /// learns whether the source is there.
    fn newest(&self) -> SourceAnswer<'_, String>;

    /// Wraps 32 secret bytes under the newest version. `nonce` is random and used once, for sources
    /// that draw no randomness themselves.
    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping>;

    /// Opens what this version wrapped.
    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes>;

    /// How many secrets it takes at once, for whoever divides many among several calls: so each call
    /// stays short.
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    /// Wraps several as [`wrap`](Self::wrap) does, at most [`at_once`](Self::at_once) of them: one answer
    /// for each, in the same order. One that fails harms no other; a source that is away or refuses fails
    /// as a whole.
    fn wrap_many<'a>(
        &'a self,
        secrets: &'a [(&'a SecretBytes, &'a [u8; SOURCE_NONCE_BYTES])],
    ) -> SourceAnswer<'a, Vec<Result<Wrapping, SourceError>>> {
        Box::pin(async move {
            let mut wrapped = Vec::with_capacity(secrets.len());
            for (secret, nonce) in secrets {
                wrapped.push(for_itself(self.wrap(secret, nonce).await)?);
            }
            Ok(wrapped)
        })
    }

    /// Opens several as [`unwrap`](Self::unwrap) does, each with the name of its version, as
    /// [`wrap_many`](Self::wrap_many) wraps them.
    fn unwrap_many<'a>(
        &'a self,
        wrapped: &'a [(&'a str, &'a [u8])],
    ) -> SourceAnswer<'a, Vec<Result<SecretBytes, SourceError>>> {
        Box::pin(async move {
            let mut opened = Vec::with_capacity(wrapped.len());
            for (key_id, bytes) in wrapped {
                opened.push(for_itself(self.unwrap(key_id, bytes).await)?);
            }
            Ok(opened)
        })
    }

    /// Makes a new version, which wraps from now on, and gives its name; the others still open.
    /// `fresh` is 32 random bytes, for sources whose key is made here.
    fn rotate(&self, fresh: SecretBytes) -> SourceAnswer<'_, String>;
}
