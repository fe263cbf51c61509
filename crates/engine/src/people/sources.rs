//! Sources: where wrong credentials come from. A source that fails often is slowed, and nobody else
//! is (S19): its tries take turns, one a second, and who would wait too long is told to come again.

use crate::command::error::{CommandError, no};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::code::Code;
use tradewarden_domain::time::Timestamp;

/// Failures within the window from which on a source is slowed.
const FAILURES_MAX: u32 = 20;
/// How long failures count.
const WINDOW: Duration = Duration::from_mins(10);
/// The pace of a slowed source.
const PACE: Duration = Duration::from_secs(1);
/// Longest wait; beyond it the source is told to come again.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Sources that are remembered. When there are more, those that failed longest ago are forgotten.
const SOURCES_MAX: usize = 4_096;

/// Failures by source.
#[derive(Default)]
pub(crate) struct Sources {
    by_address: Mutex<HashMap<IpAddr, Source>>,
}

#[derive(Clone, Copy)]
struct Source {
    failures: u32,
    since: Timestamp,
    next: Timestamp,
}

impl Sources {
    /// How long a try from there has to wait, or that it may not wait.
    pub(crate) fn wait(&self, address: IpAddr, now: Timestamp) -> Result<Duration, CommandError> {
        let mut sources = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = sources.get_mut(&network(address)) else { return Ok(Duration::ZERO) };
        if source.since.plus(WINDOW) < now || source.failures < FAILURES_MAX {
            return Ok(Duration::ZERO);
        }
        let begin = source.next.max(now);
        let wait = begin.since(now);
        if wait > WAIT_MAX {
            return Err(no(Code::LimitRate));
        }
        source.next = begin.plus(PACE);
        Ok(wait)
    }

    /// Counts a failure from there.
    pub(crate) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut sources = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&address) {
            sources.retain(|_, source| source.since.plus(WINDOW) >= now);
            if sources.len() >= SOURCES_MAX
                && let Some(oldest) =
                    sources.iter().min_by_key(|(_, source)| source.since).map(|(key, _)| *key)
            {
                sources.remove(&oldest);
            }
        }
        let fresh = Source { failures: 0, since: now, next: now };
        let source = sources.entry(address).or_insert(fresh);
        if source.since.plus(WINDOW) < now {
            *source = fresh;
        }
        source.failures = source.failures.saturating_add(1);
    }
}

/// An address of IPv4 alone; the network of a customer in IPv6, who has a /64 of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::from((u128::from(address) & !u128::from(u64::MAX)).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_source_that_fails_often_is_slowed_alone() {
        let sources = Sources::default();
        let (bad, good) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..FAILURES_MAX {
            assert_eq!(sources.wait(bad, at(0)), Ok(Duration::ZERO));
            sources.failed(bad, at(0));
        }
        let waits: Vec<_> = (0..7).map(|_| sources.wait(bad, at(1))).collect();
        let expected: Vec<_> = (0..=5).map(|s| Ok(Duration::from_secs(s))).collect();
        assert_eq!(waits[..6], expected[..]);
        assert!(matches!(waits[6], Err(CommandError::Refused { code: Code::LimitRate, .. })));
        assert_eq!(sources.wait(good, at(1)), Ok(Duration::ZERO));
        assert_eq!(sources.wait(bad, at(601)), Ok(Duration::ZERO), "failures are forgotten");
    }

    #[test]
    fn sources_are_bounded_and_networks_of_ipv6_count_as_one() {
        let sources = Sources::default();
        for number in 0..10_000_u32 {
            sources.failed(IpAddr::from(number.to_be_bytes()), at(0));
        }
        assert_eq!(sources.by_address.lock().unwrap().len(), SOURCES_MAX);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_eq!(network(mapped), IpAddr::from([192, 0, 2, 7]));
    }
}
