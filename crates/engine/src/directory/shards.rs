//! A map that is cheap to copy and to change by one: many small maps, each shared by all copies until
//! one changes it. A change of a million entries' map copies a few hundred of them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// Maps of which one is copied for a change: so many that each is well filled by a million entries.
const SHARDS: u64 = 5_120;

type Shard<K, V> = Arc<HashMap<K, V, RandomState>>;

/// See the module.
pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    shards: Arc<Vec<Shard<K, V>>>,
}

impl<K, V> Clone for Shards<K, V> {
    fn clone(&self) -> Self {
        Self { hasher: self.hasher.clone(), shards: Arc::clone(&self.shards) }
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        // One empty map for all, until they are filled.
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        let shards = (0..SHARDS).map(|_| Arc::clone(&empty)).collect();
        Self { hasher, shards: Arc::new(shards) }
    }
}

impl<K, V> Shards<K, V> {
    /// Every entry, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Every value, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    /// The value of a key.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards.get(self.place(key))?.get(key)
    }

    /// The key itself, as it was put in.
    pub(crate) fn get_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        self.shards.get(self.place(key))?.get_key_value(key).map(|(key, _)| key)
    }

    /// Puts a value in the place of the one before.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let place = self.place(&key);
        if let Some(shard) = self.shard(place) {
            shard.insert(key, value);
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.shard(self.place(key))?.remove(key)
    }

    fn shard(&mut self, place: usize) -> Option<&mut HashMap<K, V, RandomState>> {
        Arc::make_mut(&mut self.shards).get_mut(place).map(Arc::make_mut)
    }

    /// The maps use other bits of the hash.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        let hash = self.hasher.hash_one(key) >> 32;
        usize::try_from(hash.checked_rem(SHARDS).unwrap_or(0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_the_other_changes() {
        let mut first = Shards::default();
        for number in 0..10_000_u32 {
            first.insert(number, number);
        }
        let before = first.clone();
        first.insert(7, 8);
        first.insert(10_000, 1);
        assert_eq!(first.remove(&9), Some(9));
        assert_eq!(first.remove(&9), None);
        assert_eq!((first.get(&7), first.get(&9), first.get(&10_000)), (Some(&8), None, Some(&1)));
        assert_eq!(
            (before.get(&7), before.get(&9), before.get(&10_000)),
            (Some(&7), Some(&9), None)
        );
        assert_eq!((first.iter().count(), before.values().count()), (10_000, 10_000));
    }

    #[test]
    fn a_change_copies_one_small_map() {
        let mut map = Shards::default();
        for number in 0..100_000_u32 {
            map.insert(number, Arc::new(number));
        }
        let before = map.clone();
        map.insert(7, Arc::new(7));
        let shared = |left: &Shard<_, _>, right: &Shard<_, _>| Arc::ptr_eq(left, right);
        let copied = map.shards.iter().zip(before.shards.iter()).filter(|(l, r)| !shared(l, r));
        let copied: Vec<_> = copied.map(|(new, _)| new.len()).collect();
        assert_eq!(copied.len(), 1);
        assert!(copied[0] < 100, "{copied:?}");
    }
}
