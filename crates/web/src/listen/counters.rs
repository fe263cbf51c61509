//! What a listener counts from its start; nothing ever counts down but the open connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one listener. They are read while they move, so one snapshot may be off by the
/// connection of the moment.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    accepted: AtomicU64,
    refused_by_total: AtomicU64,
    refused_by_address: AtomicU64,
    handshake_failed: AtomicU64,
    timed_out: AtomicU64,
    closed_idle: AtomicU64,
    open: AtomicU64,
}

/// The counters at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Connections taken from the system, also those closed at once.
    pub accepted: u64,
    /// Closed at once because `connections_max` were open.
    pub refused_by_total: u64,
    /// Closed at once because `connections_per_address_max` were open from their address.
    pub refused_by_address: u64,
    /// Ended before HTTP: no TLS 1.3 handshake, no or a wrong PROXY header, or a PROXY header from
    /// an address that is no proxy of ours.
    pub handshake_failed: u64,
    /// Ended because the handshake or the headers of a request took too long.
    pub timed_out: u64,
    /// Ended because nothing was asked, or nothing of an answer was taken, for too long.
    pub closed_idle: u64,
    /// Connections that are served at this time.
    pub open: u64,
}

impl ListenerCounters {
    /// All counters.
    pub fn snapshot(&self) -> ListenerCounts {
        ListenerCounts {
            accepted: self.accepted.load(Relaxed),
            refused_by_total: self.refused_by_total.load(Relaxed),
            refused_by_address: self.refused_by_address.load(Relaxed),
            handshake_failed: self.handshake_failed.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            closed_idle: self.closed_idle.load(Relaxed),
            open: self.open.load(Relaxed),
        }
    }

    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn refused_by_total(&self) {
        self.refused_by_total.fetch_add(1, Relaxed);
    }

    pub(super) fn refused_by_address(&self) {
        self.refused_by_address.fetch_add(1, Relaxed);
    }

    pub(super) fn handshake_failed(&self) {
        self.handshake_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn timed_out(&self) {
        self.timed_out.fetch_add(1, Relaxed);
    }

    pub(super) fn closed_idle(&self) {
        self.closed_idle.fetch_add(1, Relaxed);
    }

    /// Counts a connection as open for as long as the answer lives.
    pub(super) fn opened(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Relaxed);
        Open(Arc::clone(self))
    }
}

/// One open connection.
pub(super) struct Open(Arc<ListenerCounters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
