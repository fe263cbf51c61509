//! A key source that a test takes away.

use crate::randomness::Seeded;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tradewarden_seal::{
    FileKeySource, KeySource, SOURCE_NONCE_BYTES, SecretBytes, SourceAnswer, SourceError, Wrapping,
};

/// A key in memory, behind a link that a test cuts. Clones are the same.
#[derive(Clone)]
pub struct ScriptedKeys {
    inner: Arc<FileKeySource>,
    is_away: Arc<AtomicBool>,
}

impl ScriptedKeys {
    /// One that answers.
    pub fn new(seed: u64) -> Self {
        let inner = Arc::new(FileKeySource::from_randomness(&mut Seeded::new(seed)));
        Self { inner, is_away: Arc::default() }
    }

    /// From now on it does not answer.
    pub fn go_away(&self) {
        self.is_away.store(true, Ordering::SeqCst);
    }

    /// From now on it answers again.
    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
    }

    fn there<'a, T: Send + 'a>(&self, answer: SourceAnswer<'a, T>) -> SourceAnswer<'a, T> {
        if self.is_away.load(Ordering::SeqCst) {
            let away = SourceError::Unavailable("the link is cut".to_owned());
            return Box::pin(std::future::ready(Err(away)));
        }
        answer
    }
}

impl KeySource for ScriptedKeys {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn holds(&self, key_id: &str) -> bool {
        self.inner.holds(key_id)
    }

    fn newest(&self) -> SourceAnswer<'_, String> {
        self.there(self.inner.newest())
    }

    fn wrap<'a>(
        &'a self,
        secret: &'a SecretBytes,
        nonce: &'a [u8; SOURCE_NONCE_BYTES],
    ) -> SourceAnswer<'a, Wrapping> {
        self.there(self.inner.wrap(secret, nonce))
    }

    fn unwrap<'a>(&'a self, key_id: &'a str, wrapped: &'a [u8]) -> SourceAnswer<'a, SecretBytes> {
        self.there(self.inner.unwrap(key_id, wrapped))
    }

    fn rotate(&self, fresh: SecretBytes) -> SourceAnswer<'_, String> {
        self.there(self.inner.rotate(fresh))
    }
}
