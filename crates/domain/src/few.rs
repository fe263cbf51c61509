//! A list that is mostly empty.

use serde::{Serialize, Serializer};
use std::ops::Deref;

/// A list that has the room of one pointer while it is empty, for settings that most of a million
/// keys and webhooks do not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<T>(Option<Box<Box<[T]>>>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], |items| items)
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(items: Vec<T>) -> Self {
        Self((!items.is_empty()).then(|| Box::new(items.into_boxed_slice())))
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::from(Vec::from_iter(items))
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.deref().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_list_it_was_made_of() {
        assert_eq!(size_of::<Few<String>>(), size_of::<usize>());
        for items in [vec![], vec![7], vec![1, 2, 3]] {
            let few: Few<i32> = items.iter().copied().collect();
            assert_eq!((&*few, &few), (&*items, &Few::from(items.clone())));
            assert_eq!(few == Few::default(), items.is_empty());
            let (few, items) = (serde_json::to_value(&few), serde_json::to_value(&items));
            assert_eq!(few.unwrap(), items.unwrap());
        }
    }
}
