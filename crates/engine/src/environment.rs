//! Time and chance, given from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tradewarden_domain::id::{Id, Kind};
use tradewarden_domain::time::{Clock, Timestamp};
use tradewarden_seal::Randomness;

/// The clock and the random source that everything in the engine shares.
#[derive(Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    chance: Arc<Mutex<Chance>>,
}

/// The random source, which incarnation it serves, and the newest identifier of each kind, as bytes by
/// prefix.
struct Chance {
    randomness: Box<dyn Randomness>,
    incarnation: u8,
    newest: BTreeMap<&'static str, [u8; 16]>,
}

impl Environment {
    /// An environment of these two.
    pub fn new(clock: Arc<dyn Clock>, randomness: Box<dyn Randomness>) -> Self {
        let chance = Chance { randomness, incarnation: 1, newest: BTreeMap::new() };
        Self { clock, chance: Arc::new(Mutex::new(chance)) }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How far the clock is ahead of the machine's, which was set back.
    pub(crate) fn ahead(&self) -> Duration {
        self.clock.ahead()
    }

    /// From here on identifiers are those of this incarnation.
    pub(crate) fn live_as(&self, incarnation: u64) {
        let [.., lowest] = incarnation.to_be_bytes();
        let mut chance = self.chance();
        chance.incarnation = lowest;
        chance.newest.clear();
    }

    /// A new identifier. Those of one kind and millisecond sort as they were made here, so that what
    /// is listed by them keeps its order.
    pub fn id<K: Kind>(&self, at: Timestamp) -> Id<K> {
        let mut chance = self.chance();
        let mut random = [0_u8; 10];
        chance.randomness.fill(&mut random);
        let newest = chance.newest.get(K::PREFIX).copied().map(Id::from_bytes);
        // The most significant one, so that no two incarnations share a range of identifiers.
        let [first, ..] = &mut random;
        *first = chance.incarnation;
        let id = Id::after(newest, at, random);
        chance.newest.insert(K::PREFIX, id.to_bytes());
        id
    }

    /// The identifier right after `previous` if that is the newest of its kind; else a new one.
    pub(crate) fn id_following<K: Kind>(&self, previous: Option<Id<K>>, at: Timestamp) -> Id<K> {
        let mut chance = self.chance();
        let newest = chance.newest.get(K::PREFIX).copied().map(Id::from_bytes);
        if let Some(id) = previous.filter(|id| newest == Some(*id)).and_then(Id::successor) {
            chance.newest.insert(K::PREFIX, id.to_bytes());
            return id;
        }
        drop(chance);
        self.id(at)
    }

    /// Lets `work` draw from the random source.
    pub fn with_randomness<T>(&self, work: impl FnOnce(&mut dyn Randomness) -> T) -> T {
        work(self.chance().randomness.as_mut())
    }

    fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tradewarden_domain::id::Order;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_micros(1_790_000_000_000_000)
        }

        fn ahead(&self) -> Duration {
            Duration::ZERO
        }
    }

    struct Same;

    impl Randomness for Same {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    /// C16: with one clock and one draw two incarnations still give out other identifiers.
    #[test]
    fn c16_an_identifier_carries_its_incarnation() {
        let made = |incarnation: u64| -> Id<Order> {
            let environment = Environment::new(Arc::new(Still), Box::new(Same));
            environment.live_as(incarnation);
            environment.id(environment.now())
        };
        let (first, second) = (made(1), made(2));
        assert_eq!((first.to_bytes()[6], second.to_bytes()[6]), (1, 2));
        assert!(first < second);
        assert_eq!(first.to_bytes()[7..], second.to_bytes()[7..]);
    }
}
