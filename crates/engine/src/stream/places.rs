//! How many streams each caller has open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tradewarden_domain::id::{self, Id};

/// Whose streams are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sitter {
    Operator,
    Session(Id<id::Session>),
    Key(Id<id::Key>),
}

/// The open streams of each caller. Holds no more entries than there are streams.
pub(super) struct Places {
    taken: Mutex<BTreeMap<Sitter, usize>>,
    per_sitter_max: usize,
    all_max: usize,
}

impl Places {
    pub(super) fn new(per_sitter_max: usize, all_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), per_sitter_max, all_max })
    }

    /// A place for one stream, given back when it is dropped; or how many there are, if none is
    /// free.
    pub(super) fn take(self: &Arc<Self>, sitter: Sitter) -> Result<Place, usize> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.all_max {
            return Err(self.all_max);
        }
        let count = taken.entry(sitter).or_insert(0);
        if *count >= self.per_sitter_max {
            return Err(self.per_sitter_max);
        }
        *count += 1;
        Ok(Place { places: Arc::clone(self), sitter })
    }
}

/// The place of one stream.
pub(super) struct Place {
    places: Arc<Places>,
    sitter: Sitter,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.sitter) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.sitter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_stream_ends() {
        let places = Places::new(2, 3);
        let session = Sitter::Session(Id::from_bytes([1; 16]));
        let key = Sitter::Key(Id::from_bytes([1; 16]));
        let first = places.take(session).ok().unwrap();
        let second = places.take(session).ok().unwrap();
        assert_eq!(places.take(session).err(), Some(2));
        let third = places.take(key).ok().unwrap();
        assert_eq!(places.take(key).err(), Some(3));
        drop(first);
        let again = places.take(session).ok();
        assert!(again.is_some());
        drop((second, third, again));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
