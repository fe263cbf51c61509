//! Time and chance, given from outside.

use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::id::Id;
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_seal::Randomness;

/// The clock and the random source that everything in the engine shares.
#[derive(Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    randomness: Arc<Mutex<Box<dyn Randomness>>>,
}

impl Environment {
    /// An environment of these two.
    pub fn new(clock: Arc<dyn Clock>, randomness: Box<dyn Randomness>) -> Self {
        Self { clock, randomness: Arc::new(Mutex::new(randomness)) }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new identifier.
    pub fn id<K>(&self, at: Timestamp) -> Id<K> {
        let mut random = [0_u8; 10];
        self.with_randomness(|randomness| randomness.fill(&mut random));
        Id::new(at, random)
    }

    /// Lets `work` draw from the random source.
    pub fn with_randomness<T>(&self, work: impl FnOnce(&mut dyn Randomness) -> T) -> T {
        let mut randomness = self.randomness.lock().unwrap_or_else(PoisonError::into_inner);
        work(randomness.as_mut())
    }
}
