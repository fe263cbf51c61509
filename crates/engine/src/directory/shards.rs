//! A map that is cheap to copy and to change by one: many small tables, each shared by all copies until
//! one changes it. A change of a million entries' map copies a few hundred of them.
//!
//! A look-up among a million waits for memory and for little else. So key and value lie side by side
//! in one row of slots, and whoever is not in the slot where its hash begins is in one of the next.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use tradewarden_domain::id::Id;
use tradewarden_domain::source::Source;

/// Tables of which one is copied for a change: so many that each is well filled by a million entries,
/// and most have not had to grow for some more than the others have.
const SHARDS: u64 = 6_144;

/// Slots of a table that has any.
const SLOTS_MIN: usize = 4;

/// What entries are found by.
pub(crate) trait Key: Copy + Eq {
    /// Where it belongs, for everybody who has not this hasher a random number.
    fn hash(&self, hasher: &RandomState) -> u64;
}

impl<K> Key for Id<K> {
    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one(self)
    }
}

impl Key for Source {
    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one(self)
    }
}

/// The hash of something that is too long to lie in a slot: see [`Shards::print`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print(u64);

impl Key for Print {
    fn hash(&self, _: &RandomState) -> u64 {
        self.0
    }
}

type Slot<K, V> = Option<(K, V)>;

/// A table of none or a power of two slots, of which at most three quarters are taken.
struct Shard<K, V> {
    slots: Arc<[Slot<K, V>]>,
    taken: usize,
}

impl<K, V> Clone for Shard<K, V> {
    fn clone(&self) -> Self {
        Self { slots: Arc::clone(&self.slots), taken: self.taken }
    }
}

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
        // One empty table for all, until they are filled.
        let empty = Shard { slots: Arc::new([]), taken: 0 };
        let shards = (0..SHARDS).map(|_| empty.clone()).collect();
        Self { hasher: RandomState::new(), shards: Arc::new(shards) }
    }
}

impl<K, V> Shards<K, V> {
    /// Every entry, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let slots = self.shards.iter().flat_map(|shard| shard.slots.iter());
        slots.flatten().map(|(key, value)| (key, value))
    }

    /// Every value, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// What entries are found by whose own keys are longer. Two keys may have one print.
    pub(crate) fn print(&self, key: &(impl Hash + ?Sized)) -> Print {
        Print(self.hasher.hash_one(key))
    }
}

impl<K: Key, V: Clone> Shards<K, V> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(key, |_| true)
    }

    /// Of the values of a key the one that is meant.
    pub(crate) fn find(&self, key: &K, is_meant: impl Fn(&V) -> bool) -> Option<&V> {
        let hash = key.hash(&self.hasher);
        let slots = &*self.shards.get(shard_of(hash))?.slots;
        let place = position(slots, hash, key, is_meant)?;
        slots.get(place)?.as_ref().map(|(_, value)| value)
    }

    /// Puts a value in the place of the one before.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.add(key, value);
    }

    /// Puts a value beside those that the key may have.
    pub(crate) fn add(&mut self, key: K, value: V) {
        let hash = key.hash(&self.hasher);
        let Some(shard) = Arc::make_mut(&mut self.shards).get_mut(shard_of(hash)) else { return };
        if shard.taken >= shard.slots.len() / 4 * 3 {
            shard.grow(&self.hasher);
        }
        put(Arc::make_mut(&mut shard.slots), hash, key, value);
        shard.taken += 1;
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.remove_found(key, |_| true)
    }

    /// Takes out what [`Shards::find`] finds.
    pub(crate) fn remove_found(&mut self, key: &K, is_meant: impl Fn(&V) -> bool) -> Option<V> {
        let hash = key.hash(&self.hasher);
        let place = position(&self.shards.get(shard_of(hash))?.slots, hash, key, is_meant)?;
        let shard = Arc::make_mut(&mut self.shards).get_mut(shard_of(hash))?;
        let slots = Arc::make_mut(&mut shard.slots);
        let (_, value) = slots.get_mut(place)?.take()?;
        shard.taken = shard.taken.saturating_sub(1);
        close(slots, place, &self.hasher);
        Some(value)
    }
}

impl<K: Key, V: Clone> Shard<K, V> {
    fn grow(&mut self, hasher: &RandomState) {
        let length = self.slots.len().saturating_mul(2).max(SLOTS_MIN);
        let mut slots: Vec<Slot<K, V>> = std::iter::repeat_with(|| None).take(length).collect();
        for (key, value) in self.slots.iter().flatten() {
            put(&mut slots, key.hash(hasher), *key, value.clone());
        }
        self.slots = slots.into();
    }
}

/// The upper half of the hash says in which table; the tables use the lower one.
fn shard_of(hash: u64) -> usize {
    usize::try_from((hash >> 32).saturating_mul(SHARDS) >> 32).unwrap_or(0)
}

/// The slot where an entry of this hash would best be.
fn home<T>(slots: &[T], hash: u64) -> usize {
    usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & slots.len().saturating_sub(1)
}

fn following<T>(slots: &[T], place: usize) -> usize {
    (place + 1) & slots.len().saturating_sub(1)
}

/// There is always a slot that is free, and after it nothing is looked for.
fn position<K: Key, V>(
    slots: &[Slot<K, V>],
    hash: u64,
    key: &K,
    is_meant: impl Fn(&V) -> bool,
) -> Option<usize> {
    let mut place = home(slots, hash);
    while let Some((other, value)) = slots.get(place)? {
        if other == key && is_meant(value) {
            return Some(place);
        }
        place = following(slots, place);
    }
    None
}

fn put<K: Key, V>(slots: &mut [Slot<K, V>], hash: u64, key: K, value: V) {
    let mut place = home(slots, hash);
    while slots.get(place).is_some_and(Option::is_some) {
        place = following(slots, place);
    }
    if let Some(slot) = slots.get_mut(place) {
        *slot = Some((key, value));
    }
}

/// Moves into the free slot whoever would not be found behind it, and into that one's slot the next.
fn close<K: Key, V>(slots: &mut [Slot<K, V>], mut free: usize, hasher: &RandomState) {
    let mask = slots.len().saturating_sub(1);
    let mut place = following(slots, free);
    while let Some(Some((key, _))) = slots.get(place) {
        let from_home = place.wrapping_sub(home(slots, key.hash(hasher))) & mask;
        if from_home >= place.wrapping_sub(free) & mask {
            slots.swap(free, place);
            free = place;
        }
        place = following(slots, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    impl Key for u32 {
        fn hash(&self, hasher: &RandomState) -> u64 {
            hasher.hash_one(self)
        }
    }

    /// Everybody of one table, and most at one slot.
    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    struct Crowded(u8);

    impl Key for Crowded {
        fn hash(&self, _: &RandomState) -> u64 {
            u64::from(self.0 / 16)
        }
    }

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
    fn a_change_copies_one_small_table() {
        let mut map = Shards::default();
        for number in 0..100_000_u32 {
            map.insert(number, Arc::new(number));
        }
        let before = map.clone();
        map.insert(7, Arc::new(7));
        let shards = map.shards.iter().zip(before.shards.iter());
        let copied = shards.filter(|(new, old)| !Arc::ptr_eq(&new.slots, &old.slots));
        let copied: Vec<_> = copied.map(|(new, _)| new.taken).collect();
        assert_eq!(copied.len(), 1);
        assert!(copied[0] < 100, "{copied:?}");
    }

    #[test]
    fn whatever_is_put_in_and_taken_out_is_found_as_in_another_map() {
        let (mut map, mut other) = (Shards::default(), HashMap::new());
        // The period of this step visits all of 256 in an order of its own.
        for turn in 0..20_000_u32 {
            let key = Crowded(
                u8::try_from(turn.wrapping_mul(167).wrapping_add(turn / 256) % 256).unwrap(),
            );
            if turn.wrapping_mul(2_654_435_761) >> 30 == 0 {
                assert_eq!(map.remove(&key), other.remove(&key));
            } else {
                map.insert(key, turn);
                other.insert(key, turn);
            }
            if turn % 97 == 0 {
                for key in (0..=255).map(Crowded) {
                    assert_eq!(map.get(&key), other.get(&key), "{turn}");
                }
                assert_eq!(map.iter().count(), other.len());
            }
        }
        for key in (0..=255).map(Crowded) {
            assert_eq!(map.remove(&key), other.remove(&key));
        }
        assert_eq!(map.iter().count(), 0);
    }

    #[test]
    fn of_two_with_one_print_each_is_found() {
        let mut map = Shards::default();
        let print = map.print("one");
        map.add(print, "one");
        map.add(print, "two");
        assert_eq!(map.find(&print, |value| *value == "two"), Some(&"two"));
        assert_eq!(map.remove_found(&print, |value| *value == "one"), Some("one"));
        assert_eq!(map.find(&print, |value| *value == "one"), None);
        assert_eq!(map.find(&print, |value| *value == "two"), Some(&"two"));
    }
}
