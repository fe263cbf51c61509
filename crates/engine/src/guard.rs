//! The guard before authentication: whoever fails too often is kept waiting. It looks at the source
//! alone, so that nobody can keep anybody else out (S19), and it counts failures alone, so that
//! whoever shows the right credentials does not know it is there.

use crate::Engine;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tradewarden_domain::rate::Bucket;
use tradewarden_domain::time::Timestamp;

/// Failures a second, and how many at once. Judging as many takes a small part of one core.
const FAILURES_PER_S: u32 = 100;
const FAILURES_BURST: u32 = 5_000;
/// Sources that are told apart; when there are more, those that failed longest ago are forgotten.
const SOURCES_MAX: usize = 50_000;
/// Longest that a source is kept waiting.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Default)]
pub(crate) struct Guard {
    sources: Mutex<HashMap<IpAddr, Source>>,
}

struct Source {
    failures: Bucket,
    failed_at: Timestamp,
    closed_until: Timestamp,
}

impl Guard {
    /// Whether requests of this source are judged, or how long they are not.
    fn admit(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match sources.get(&source_of(address)) {
            Some(source) if source.closed_until > now => Err(source.closed_until.since(now)),
            _ => Ok(()),
        }
    }

    fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let address = source_of(address);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&address) {
            let horizon = now.minus(WAIT_MAX);
            sources.retain(|_, source| source.failed_at > horizon);
            if sources.len() >= SOURCES_MAX {
                sources.clear();
            }
        }
        let source = sources.entry(address).or_insert_with(|| Source {
            failures: Bucket::new(FAILURES_PER_S, FAILURES_BURST),
            failed_at: now,
            closed_until: now,
        });
        source.failed_at = now;
        if let Err(wait) = source.failures.admit(now) {
            source.closed_until = now.plus(wait.max(Duration::from_secs(1)).min(WAIT_MAX));
        }
    }
}

/// A network of IPv6 is one source, for it has one owner.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

impl Engine {
    /// Whether requests of this source are judged at all, or how long they are not.
    pub fn may_knock(&self, address: IpAddr) -> Result<(), Duration> {
        self.parts.guard.admit(address, self.now())
    }

    /// Somebody at this source showed wrong credentials.
    pub fn knocked_wrongly(&self, address: IpAddr) {
        self.parts.guard.failed(address, self.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_fails_too_often_waits_and_nobody_else_does() {
        let guard = Guard::default();
        let now = Timestamp::from_unix_micros(1_000_000_000);
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..FAILURES_BURST {
            guard.failed(bad, now);
            assert_eq!(guard.admit(bad, now), Ok(()));
        }
        guard.failed(bad, now);
        assert_eq!(guard.admit(bad, now), Err(Duration::from_secs(1)));
        assert_eq!(guard.admit(good, now), Ok(()));
        assert_eq!(guard.admit(bad, now.plus(Duration::from_secs(1))), Ok(()));
    }

    #[test]
    fn a_network_is_one_source_and_a_mapped_address_is_its_own() {
        assert_eq!(source_of(address("2001:db8:0:1::1")), source_of(address("2001:db8:0:1:f::2")));
        assert_ne!(source_of(address("2001:db8:0:1::1")), source_of(address("2001:db8:0:2::1")));
        assert_eq!(source_of(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn sources_are_bounded() {
        let guard = Guard::default();
        let now = Timestamp::from_unix_micros(1_000_000_000);
        for number in 0..u32::try_from(SOURCES_MAX).unwrap() + 10 {
            guard.failed(IpAddr::V4(number.into()), now);
        }
        assert!(guard.sources.lock().unwrap().len() <= SOURCES_MAX);
    }
}
