//! A key source that a test takes away.

use crate::randomness::Seeded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tradewarden_seal::{
    FileKeySource, KeySource, SOURCE_NONCE_BYTES, SecretBytes, SourceAnswer, SourceError, Wrapping,
};

/// A key in memory, behind a link that a test cuts. Clones are the same.
#[derive(Clone)]
pub struct ScriptedKeys {
    inner: Arc<FileKeySource>,
    /// How many more calls it answers.
    answers: Arc<AtomicU64>,
}

impl ScriptedKeys {
    /// One that answers.
    pub fn new(seed: u64) -> Self {
        let inner = Arc::new(FileKeySource::from_randomness(&mut Seeded::new(seed)));
        Self { inner, answers: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// From now on it does not answer.
    pub fn go_away(&self) {
        self.go_away_after(0);
    }

    /// It answers so many more calls.
    pub fn go_away_after(&self, calls: u64) {
        self.answers.store(calls, Ordering::SeqCst);
    }

    /// From now on it answers again.
    pub fn come_back(&self) {
        self.answers.store(u64::MAX, Ordering::SeqCst);
    }

    fn there<'a, T: Send + 'a>(&self, answer: SourceAnswer<'a, T>) -> SourceAnswer<'a, T> {
        let one_less = |left: u64| left.checked_sub(1);
        if self.answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err() {
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
