//! Who sent how many risk-increasing orders lately: the durable counter behind the limits of orders a
//! second and a minute. It is kept with the account; other levels add up those of the accounts.

use crate::id::{self, Id};
use crate::instrument::Symbol;
use crate::time::Timestamp;

/// Whom an order counts for beside its account and organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its strategy, if it has one.
    pub strategy: Option<Id<id::Strategy>>,
    /// The API key that asked for it, if one did.
    pub key: Option<Id<id::Key>>,
    /// What it trades.
    pub symbol: Symbol,
}

/// How many there were lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recent {
    /// In the last 60 seconds; up to one second too much, never too little.
    pub minute: u64,
    /// In the last second; up to 20 ms too much, never too little.
    pub second: u64,
}

/// The orders of one account in the last 61 seconds, by their source. Those of the last second are
/// counted in fiftieths of a second, older ones in whole seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderCounter {
    sources: Vec<Source>,
    counts: Vec<Count>,
}

/// How many one source sent in one step of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// Fiftieths of a second since 1970; of whole seconds the first one.
    step: i64,
    /// The place of the source, or [`ANY`].
    source: u16,
    orders: u32,
}

/// Stands where an order counts for every source.
const ANY: u16 = u16::MAX;

impl OrderCounter {
    /// Sources that are told apart. An order of one more counts as one of every source.
    pub const SOURCES_MAX: usize = 256;
    const STEPS_PER_SECOND: i64 = 50;
    const MICROS_PER_STEP: i64 = 20_000;
    const SECONDS: i64 = 60;

    /// From the stored form; what is malformed counts as nothing stored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        if bytes.0.is_empty() {
            return Some(Self::default());
        }
        let known = u16::from_be_bytes(bytes.take()?);
        let sources: Vec<_> = (0..known).map(|_| bytes.source()).collect::<Option<_>>()?;
        let mut counts: Vec<Count> = Vec::new();
        while !bytes.0.is_empty() {
            let before = counts.last().map_or(0, |count| count.step);
            let step = before.checked_add(i64::try_from(bytes.number()?).ok()?)?;
            let source = u16::try_from(bytes.number()?).ok()?;
            if source != ANY && source >= known {
                return None;
            }
            counts.push(Count { step, source, orders: u32::try_from(bytes.number()?).ok()? });
        }
        Some(Self { sources, counts })
    }

    /// The stored form: each source once, then some four bytes for each step of time in which one of
    /// them sent something, of which there are at most 113. It is written with each order, so it is
    /// short: by the steps since the count before it, in numbers of seven bits a byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.counts.len().saturating_mul(4).saturating_add(64));
        bytes.extend(u16::try_from(self.sources.len()).unwrap_or(ANY).to_be_bytes());
        for source in &self.sources {
            write(source, &mut bytes);
        }
        let mut before = 0;
        for Count { step, source, orders } in &self.counts {
            // No step is before the one before it, and none before 1970.
            let gap = u64::try_from(step.saturating_sub(before)).unwrap_or_default();
            write_number(gap, &mut bytes);
            write_number(u64::from(*source), &mut bytes);
            write_number(u64::from(*orders), &mut bytes);
            before = *step;
        }
        bytes
    }

    /// Counts one more.
    pub fn add(&mut self, now: Timestamp, source: Source) {
        // A clock that steps back counts into the newest step: too much, never too little.
        let newest = self.counts.last().map_or(i64::MIN, |count| count.step);
        let step = step_of(now).max(newest);
        if step > newest {
            self.compact(now);
        }
        let source = self.place_of(source);
        count(&mut self.counts, Count { step, source, orders: 1 });
    }

    /// How many there were, by source; `None` counts for every source.
    pub fn recent(&self, now: Timestamp) -> impl Iterator<Item = (Option<&Source>, Recent)> {
        let (minute, second) = horizons(now);
        let from = self.counts.partition_point(|count| count.step < minute);
        let mut sums = vec![Recent::default(); self.sources.len()];
        let mut any = Recent::default();
        for count in self.counts.iter().skip(from) {
            let sum = sums.get_mut(usize::from(count.source)).unwrap_or(&mut any);
            sum.minute = sum.minute.saturating_add(u64::from(count.orders));
            if count.step >= second {
                sum.second = sum.second.saturating_add(u64::from(count.orders));
            }
        }
        let told = self.sources.iter().map(Some).zip(sums).chain([(None, any)]);
        told.filter(|(_, recent)| recent.minute > 0)
    }

    /// Whether it counts nothing any more.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        let (minute, _) = horizons(now);
        self.counts.last().is_none_or(|count| count.step < minute)
    }

    /// The place of a source, which is made if there is room.
    fn place_of(&mut self, source: Source) -> u16 {
        let known = self.sources.iter().position(|of| *of == source);
        let place = known.unwrap_or(self.sources.len());
        if place >= Self::SOURCES_MAX {
            return ANY;
        }
        if known.is_none() {
            self.sources.push(source);
        }
        u16::try_from(place).unwrap_or(ANY)
    }

    /// Forgets what is older than a minute, and counts by whole seconds what is older than one.
    fn compact(&mut self, now: Timestamp) {
        let (minute, second) = horizons(now);
        let mut kept = Vec::with_capacity(self.counts.len().saturating_add(1));
        for one in &self.counts {
            let within = one.step.rem_euclid(Self::STEPS_PER_SECOND);
            let step = if one.step < second { one.step.saturating_sub(within) } else { one.step };
            if step >= minute {
                count(&mut kept, Count { step, ..*one });
            }
        }
        self.counts = kept;
        self.forget_unused();
    }

    /// Forgets the sources of which nothing is counted.
    fn forget_unused(&mut self) {
        let mut places: Vec<Option<u16>> = vec![None; self.sources.len()];
        let mut used = Vec::with_capacity(self.sources.len());
        for one in &mut self.counts {
            let place = usize::from(one.source);
            let (Some(slot), Some(source)) = (places.get_mut(place), self.sources.get(place))
            else {
                continue;
            };
            one.source = *slot.get_or_insert_with(|| {
                used.push(source.clone());
                u16::try_from(used.len().saturating_sub(1)).unwrap_or(ANY)
            });
        }
        self.sources = used;
    }
}

/// Adds to the count of the same source in the newest step, or makes one.
fn count(counts: &mut Vec<Count>, more: Count) {
    let mut newest = counts.iter_mut().rev().take_while(|count| count.step == more.step);
    match newest.find(|count| count.source == more.source) {
        Some(known) => known.orders = known.orders.saturating_add(more.orders),
        None => counts.push(more),
    }
}

fn step_of(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(OrderCounter::MICROS_PER_STEP)
}

/// The first steps that count for the last minute and for the last second.
fn horizons(now: Timestamp) -> (i64, i64) {
    let first_second = now.unix_seconds().saturating_sub(OrderCounter::SECONDS);
    let minute = first_second.saturating_mul(OrderCounter::STEPS_PER_SECOND);
    (minute, step_of(now).saturating_sub(OrderCounter::STEPS_PER_SECOND))
}

const HAS_STRATEGY: u8 = 1;
const HAS_KEY: u8 = 2;

fn write(source: &Source, bytes: &mut Vec<u8>) {
    let strategy = source.strategy.map_or(0, |_| HAS_STRATEGY);
    bytes.push(strategy | source.key.map_or(0, |_| HAS_KEY));
    bytes.extend(source.strategy.into_iter().flat_map(Id::to_bytes));
    bytes.extend(source.key.into_iter().flat_map(Id::to_bytes));
    let symbol = source.symbol.as_str().as_bytes();
    bytes.push(u8::try_from(symbol.len()).unwrap_or(u8::MAX));
    bytes.extend(symbol);
}

/// Seven bits a byte, lowest first; each but the last has its highest bit set (LEB128).
fn write_number(number: u64, bytes: &mut Vec<u8>) {
    let mut left = number;
    loop {
        let [low, ..] = left.to_le_bytes();
        left >>= 7;
        if left == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// What is left to read.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, left) = self.0.split_first_chunk()?;
        self.0 = left;
        Some(*taken)
    }

    /// What [`write_number`] wrote; of no more than 63 bits.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let [byte] = self.take()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn source(&mut self) -> Option<Source> {
        let [flags] = self.take()?;
        let (mut strategy, mut key) = (None, None);
        if flags & HAS_STRATEGY != 0 {
            strategy = Some(Id::from_bytes(self.take()?));
        }
        if flags & HAS_KEY != 0 {
            key = Some(Id::from_bytes(self.take()?));
        }
        let [length] = self.take()?;
        let (text, left) = self.0.split_at_checked(usize::from(length))?;
        self.0 = left;
        Some(Source { strategy, key, symbol: str::from_utf8(text).ok()?.parse().ok()? })
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests compute with small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_790_000_000_000_000 + micros)
    }

    fn source(number: u16) -> Source {
        let id = |kind: u8| [kind, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]].repeat(4);
        Source {
            strategy: number.is_multiple_of(2).then(|| Id::from_bytes(id(1).try_into().unwrap())),
            key: number.is_multiple_of(3).then(|| Id::from_bytes(id(2).try_into().unwrap())),
            symbol: format!("S{number}").parse().unwrap(),
        }
    }

    fn of(counter: &OrderCounter, wanted: &Source, now: Timestamp) -> Recent {
        let own = counter.recent(now).filter(|(of, _)| of.is_none_or(|of| of == wanted));
        own.fold(Recent::default(), |sum, (_, recent)| Recent {
            minute: sum.minute + recent.minute,
            second: sum.second + recent.second,
        })
    }

    #[test]
    fn each_source_is_counted_for_a_second_and_for_a_minute() {
        let mut counter = OrderCounter::default();
        counter.add(at(0), source(0));
        counter.add(at(0), source(0));
        counter.add(at(500_000), source(1));
        let counted = |counter: &OrderCounter, number, now| {
            let Recent { minute, second } = of(counter, &source(number), now);
            (minute, second)
        };
        assert_eq!(counted(&counter, 0, at(900_000)), (2, 2));
        assert_eq!(counted(&counter, 1, at(900_000)), (1, 1));
        assert_eq!(counted(&counter, 0, at(1_019_999)), (2, 2), "20 ms too much");
        assert_eq!(counted(&counter, 0, at(1_020_000)), (2, 0));
        assert_eq!(counted(&counter, 0, at(60_999_999)), (2, 0), "a second too much");
        assert_eq!(counted(&counter, 0, at(61_000_000)), (0, 0));
        assert!(!counter.is_idle(at(60_000_000)) && counter.is_idle(at(62_000_000)));
    }

    /// What cannot be told apart any more counts for everybody.
    #[test]
    fn too_many_sources_count_for_each() {
        let mut counter = OrderCounter::default();
        for number in 0..=256 {
            counter.add(at(0), source(number));
        }
        counter.add(at(0), source(7));
        let one = |number| of(&counter, &source(number), at(0)).minute;
        assert_eq!((one(7), one(8), one(256), one(999)), (3, 2, 1, 1));
        assert_eq!(counter.recent(at(0)).map(|(_, recent)| recent.minute).sum::<u64>(), 258);
        let bytes = counter.to_bytes();
        assert_eq!(OrderCounter::from_bytes(&bytes), counter);
        counter.add(at(70_000_000), source(300));
        assert_eq!(of(&counter, &source(300), at(70_000_000)).minute, 1, "room was made");
        assert_eq!(of(&counter, &source(301), at(70_000_000)).minute, 0);
    }

    /// A row of more than a quarter of a page would cost a page with each order.
    #[test]
    fn a_busy_minute_is_stored_in_little() {
        let mut counter = OrderCounter::default();
        for number in 0..61 * 100 {
            counter.add(at(number * 10_000), source(0));
        }
        let bytes = counter.to_bytes();
        assert!(bytes.len() < 480, "{}", bytes.len());
        assert_eq!(OrderCounter::from_bytes(&bytes), counter);
    }

    #[test]
    fn what_is_malformed_counts_as_nothing() {
        let mut counter = OrderCounter::default();
        counter.add(at(0), source(6));
        let bytes = counter.to_bytes();
        for length in 0..bytes.len() {
            let cut = OrderCounter::from_bytes(&bytes[..length]);
            assert!(cut.is_idle(at(0)), "{length}");
        }
        let endless = [&bytes[..bytes.len() - 1], &[0xff; 20]].concat();
        assert!(OrderCounter::from_bytes(&endless).is_idle(at(0)));
        assert!(OrderCounter::from_bytes(&[1, 2, 3]).is_idle(at(0)));
    }

    proptest! {
        #[test]
        fn nothing_is_undercounted_and_what_is_stored_comes_back(
            gaps in prop::collection::vec((0_i64..9_000_000, 0_u16..4, 0_i64..3), 1..80),
        ) {
            let mut counter = OrderCounter::default();
            let (mut time, mut times) = (0, Vec::new());
            for (gap, number, is_long) in gaps {
                time += if is_long == 0 { gap } else { gap / 100 };
                let now = at(time);
                for wanted in 0..4 {
                    let is_in = |(at, of): &(i64, u16), span| *of == wanted && *at > time - span;
                    let within = |span: i64| {
                        let inside = times.iter().filter(|sent| is_in(sent, span)).count();
                        u64::try_from(inside).unwrap()
                    };
                    let counted = of(&counter, &source(wanted), now);
                    prop_assert!(counted.minute >= within(60_000_000));
                    prop_assert!(counted.minute <= within(61_000_000));
                    prop_assert!(counted.second >= within(1_000_000));
                    prop_assert!(counted.second <= within(1_020_001));
                }
                counter.add(now, source(number));
                times.push((time, number));
                prop_assert_eq!(OrderCounter::from_bytes(&counter.to_bytes()), counter.clone());
            }
            prop_assert!(counter.to_bytes().len() <= 2 + 4 * 66 + 4 * 112 * 14);
        }

        #[test]
        fn a_clock_that_steps_back_counts_too_much(back in 0_u64..2_000_000) {
            let mut counter = OrderCounter::default();
            counter.add(at(0), source(1));
            let earlier = at(0).minus(Duration::from_micros(back));
            counter.add(earlier, source(1));
            prop_assert_eq!(of(&counter, &source(1), earlier).minute, 2);
        }
    }
}
