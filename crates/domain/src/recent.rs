//! The entries that a strategy sent lately on one account and instrument: what a size is usual, and
//! whether something repeats itself.

use crate::money::Quantity;
use crate::order::Side;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// The newest entries, at most [`RecentEntries::KEPT`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecentEntries {
    entries: VecDeque<(Timestamp, Side, Quantity)>,
}

impl RecentEntries {
    /// So many are kept.
    pub const KEPT: usize = 32;
    /// A usual size is that of so many entries.
    pub const USUAL_OF: usize = 15;
    /// With fewer entries nothing is usual yet.
    pub const USUAL_FROM: usize = 5;
    /// What repeats itself does so within this span.
    pub const REPEATED_WITHIN: Duration = Duration::from_mins(1);

    /// From the stored form; what is malformed counts as nothing stored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let entries = bytes.chunks_exact(16).filter_map(|chunk| {
            let (at, size) = (chunk.first_chunk::<8>()?, chunk.last_chunk::<8>()?);
            let units = i64::from_be_bytes(*size);
            let side = if units < 0 { Side::Sell } else { Side::Buy };
            let at = Timestamp::from_unix_micros(i64::from_be_bytes(*at));
            Some((at, side, Quantity::from_units(units).magnitude()))
        });
        Self { entries: entries.collect() }
    }

    /// The stored form, at most 32 times 16 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.entries.iter();
        entries
            .flat_map(|(at, side, quantity)| {
                let (at, size) = (at.unix_micros(), side.signed(*quantity).units());
                [at.to_be_bytes(), size.to_be_bytes()].concat()
            })
            .collect()
    }

    /// Counts one more.
    pub fn add(&mut self, now: Timestamp, side: Side, quantity: Quantity) {
        if self.entries.len() >= Self::KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back((now, side, quantity));
    }

    /// How many there were on this side in the last minute.
    pub fn repeated(&self, side: Side, now: Timestamp) -> usize {
        let since = now.minus(Self::REPEATED_WITHIN);
        self.entries.iter().filter(|(at, of, _)| *of == side && *at > since).count()
    }

    /// The middle one of the newest sizes; `None` while there are too few.
    pub fn usual_size(&self) -> Option<Quantity> {
        let mut sizes = [Quantity::ZERO; Self::USUAL_OF];
        let mut count = 0_usize;
        for ((_, _, quantity), slot) in self.entries.iter().rev().zip(&mut sizes) {
            *slot = *quantity;
            count = count.saturating_add(1);
        }
        if count < Self::USUAL_FROM {
            return None;
        }
        let known = sizes.get_mut(..count)?;
        known.sort_unstable();
        // Of an even number the smaller middle one: the careful side.
        known.get(count.saturating_sub(1).checked_div(2)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_unix_micros(1_790_000_000_000_000);

    fn whole(number: i64) -> Quantity {
        Quantity::from_whole(number).unwrap()
    }

    #[test]
    fn what_repeats_is_counted_by_side_for_a_minute() {
        let mut recent = RecentEntries::default();
        recent.add(NOW.minus(Duration::from_mins(1)), Side::Buy, whole(1));
        recent.add(NOW.minus(Duration::from_micros(59_999_999)), Side::Buy, whole(1));
        recent.add(NOW, Side::Sell, whole(1));
        recent.add(NOW, Side::Buy, whole(1));
        assert_eq!((recent.repeated(Side::Buy, NOW), recent.repeated(Side::Sell, NOW)), (2, 1));
    }

    #[test]
    fn the_usual_size_is_the_middle_one() {
        let mut recent = RecentEntries::default();
        for (size, usual) in
            [(5, None), (1, None), (4, None), (2, None), (3, Some(3)), (9, Some(3))]
        {
            recent.add(NOW, Side::Buy, whole(size));
            assert_eq!(recent.usual_size(), usual.map(whole), "after {size}");
        }
        // Only the newest fifteen count.
        for _ in 0..15 {
            recent.add(NOW, Side::Sell, whole(70));
        }
        assert_eq!(recent.usual_size(), Some(whole(70)));
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(
            entries in prop::collection::vec((any::<i64>(), any::<bool>(), 1_i64..i64::MAX), 0..80),
        ) {
            let mut recent = RecentEntries::default();
            for (at, buys, units) in entries {
                let side = if buys { Side::Buy } else { Side::Sell };
                recent.add(Timestamp::from_unix_micros(at), side, Quantity::from_units(units));
                prop_assert_eq!(RecentEntries::from_bytes(&recent.to_bytes()), recent.clone());
            }
            prop_assert!(recent.to_bytes().len() <= 32 * 16);
        }
    }
}
